#!/bin/bash
# Builds the container image: Debian's NGINX and Python 3.13, and the program with its locked dependencies.
#   scripts/image.sh [TAG]         tidegate:dev without TAG
#   BASE=debian:trixie-slim        from that image instead of a base made here with mmdebstrap
#   PLATFORMS=linux/amd64,linux/arm64   several architectures with buildx; needs BASE, and OUTPUT (--push, say)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/debian.sh

tag=${1:-tidegate:dev}
platforms=${PLATFORMS:-}
work=.cache/image
pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check)

say() { printf 'image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

command -v docker >/dev/null || die "docker is missing: install it, or Debian's docker.io"
docker info >/dev/null 2>&1 || die "no Docker engine answers: start dockerd"

# The machine's name in Python's wheels.
wheel_machine() {
    case $1 in
        amd64) echo x86_64 ;;
        arm64) echo aarch64 ;;
        *) die "no wheels are known for the architecture $1" ;;
    esac
}

# The program and what it needs, for Python 3.13 on the given architecture, whatever this machine is.
python_files() {
    local architecture=$1 machine target=$work/python-$1 tags=() libc
    machine=$(wheel_machine "$architecture")
    for libc in 2_5 2_12 2_17 2_24 2_27 2_28 2_31 2_34 2_35 2_36 2_39; do
        tags+=(--platform "manylinux_${libc}_$machine")
    done
    tags+=(--platform "manylinux2014_$machine" --platform "manylinux2010_$machine")
    rm -rf "$target" "$work/wheel"
    "${pip[@]}" install --target "$target" --no-deps --no-compile --require-hashes --only-binary :all: \
        --implementation cp --python-version 3.13 "${tags[@]}" -r requirements-run.lock
    rm -rf "$target/bin"
    "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$work/wheel" .
    "${pip[@]}" install --target "$target" --no-deps --no-compile --no-index "$work"/wheel/*.whl
    rm -rf "$target/bin"
}

# A Debian of our own, with the packages in it: nothing is pulled, and the build needs no network.
make_base() {
    local name=$1 packages site security sources wanted
    eval "$(grep -E '^packages\+?=' scripts/trixie-rootfs.sh)"
    site=$(debian_mirror) || die "no Debian archive found in the sources of apt"
    security=$(debian_security_mirror)
    sources=("deb $site trixie main" "deb $site trixie-updates main")
    [[ -z $security ]] || sources+=("deb $security trixie-security main")
    wanted=$({ printf '%s\n' "${sources[@]}"; date +%G-%V; cat scripts/image.sh scripts/trixie-rootfs.sh; } | sha256sum | cut -c1-16)
    if [[ $(docker image inspect -f '{{index .Config.Labels "tidegate.base"}}' "$name" 2>/dev/null) == "$wanted" ]]; then
        return
    fi
    say "making a Debian 13 with mmdebstrap"
    mkdir -p "$work"
    mmdebstrap --quiet --format=tar --variant=essential --include="$packages,python3,ca-certificates,passwd" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        trixie - "${sources[@]}" | docker import --change "LABEL tidegate.base=$wanted" - "$name" >/dev/null
}

start=$EPOCHSECONDS
mkdir -p "$work"
if [[ -n $platforms ]]; then
    [[ -n ${BASE:-} ]] || die "PLATFORMS needs BASE, for example debian:trixie-slim"
    for platform in ${platforms//,/ }; do python_files "${platform#*/}"; done
    # shellcheck disable=SC2086
    docker buildx build --platform "$platforms" --build-arg "BASE=$BASE" --tag "$tag" ${OUTPUT:-} .
    exit
fi

base=${BASE:-}
network=default
architecture=$(docker version -f '{{.Server.Arch}}')
if [[ -z $base ]]; then
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: run make setup, or give BASE=debian:trixie-slim"
    base=tidegate/base:trixie
    make_base "$base"
    network=none
fi
python_files "$architecture"
if ! docker build --network "$network" --build-arg "BASE=$base" --build-arg "TARGETARCH=$architecture" --tag "$tag" . \
    >"$work/build.log" 2>&1; then
    tail -n 40 "$work/build.log" >&2
    die "docker could not build it; all of its words are in $work/build.log"
fi
# What no tag names any more: the first stage, and images that this one takes the place of.
docker image prune --force --filter label=dev.tidegate.stage >/dev/null
size=$(docker image inspect -f '{{.Size}}' "$tag")
say "$tag: $((size / 1000000)) MB, built in $((EPOCHSECONDS - start)) s"
