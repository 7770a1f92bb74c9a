#!/bin/bash
# Installs what is missing to run, test and benchmark Tidegate: Debian packages with apt (through sudo when not
# root), Python packages into .venv. Does nothing when all is there, and leaves no service running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/python.sh

# The LuaJIT that Debian's NGINX is built with: a package of its own in Debian 12, the usual one since.
luajit=luajit
if grep -qs '^VERSION_ID="12"' /etc/os-release; then luajit=luajit2; fi

PACKAGES=(
    ca-certificates
    nginx libnginx-mod-http-lua libnginx-mod-http-headers-more-filter lua-cjson   # the data plane
    libnginx-mod-stream libnginx-mod-stream-js                                    # its TCP and UDP services
    libnginx-mod-http-brotli-filter libnginx-mod-http-geoip2                      # what some settings load
    libnginx-mod-http-modsecurity modsecurity-crs                                 # its firewall
    "$luajit" lua-check                     # its Lua: tests and lint
    mmdebstrap patchelf                     # a second NGINX version for the tests
    haproxy wrk nghttp2-client              # peers and load of the benchmarks
    redis-server dnsmasq-base               # a TCP and a UDP service for the tests
)
SERVICES=(nginx haproxy redis-server)       # what Debian starts when it installs them
# `setup.sh e2e`: a container engine too, for a kind cluster.
if [[ ${1:-} == e2e ]]; then
    for program in dockerd containerd ctr runc iptables curl; do
        command -v "$program" >/dev/null && continue
        PACKAGES+=(docker.io containerd runc iptables curl)
        SERVICES+=(docker containerd)
        break
    done
fi
POLICY=/usr/sbin/policy-rc.d
APT_LOG=.cache/apt.log
MARK="# Written by Tidegate's scripts/setup.sh while it installs packages."

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this needs root and there is no sudo: $*"
    fi
}

installed() { [[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" == "install ok installed" ]]; }

# No service may start while packages are installed: policy-rc.d says no for that time.
forbid_services() {
    trap allow_services EXIT
    if [[ -e $POLICY ]] && ! grep -qF "$MARK" "$POLICY"; then
        as_root mv "$POLICY" "$POLICY.before-tidegate"
    fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

allow_services() {
    if [[ -e $POLICY ]] && grep -qF "$MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [[ -e $POLICY.before-tidegate ]]; then as_root mv "$POLICY.before-tidegate" "$POLICY"; fi
    trap - EXIT
}

# Nor at the next boot: only what was installed here is switched off.
disable_service() {
    if command -v systemctl >/dev/null && systemctl cat "$1.service" >/dev/null 2>&1; then
        as_root systemctl --quiet disable "$1.service" >/dev/null 2>&1 || true
    elif command -v deb-systemd-helper >/dev/null; then
        as_root deb-systemd-helper disable "$1.service" >/dev/null 2>&1 || true
    fi
    if command -v update-rc.d >/dev/null && [[ -e /etc/init.d/$1 ]]; then
        as_root update-rc.d "$1" disable >/dev/null 2>&1 || true
    fi
}

# apt's own words go to a file; they are shown when it fails.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@" >>"$APT_LOG" 2>&1
}

apt_update() {
    say "setup: asking for the list of packages"
    apt_get update || say "setup: some lists of packages could not be had; going on without them"
}

apt_install() {
    : >"$APT_LOG"
    local updated=
    if ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1; then
        apt_update
        updated=1
    fi
    apt_get --no-install-recommends install "$@" && return
    # A list of packages that is too old is the usual reason for a failure: get a new one, once.
    if [[ -z $updated ]]; then
        apt_update
        apt_get --no-install-recommends install "$@" && return
    fi
    tail -n 30 "$APT_LOG" >&2
    die "apt could not install: $*"
}

debian_packages() {
    local missing=() package python
    command -v dpkg-query >/dev/null || die "this is not Debian or one of its kin: install ${PACKAGES[*]} by hand"
    for package in "${PACKAGES[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [[ ! -x .venv/bin/python ]]; then
        if ! python=$(find_python); then
            [[ -z "${TIDEGATE_PYTHON:-}" ]] || die "$TIDEGATE_PYTHON is not a Python 3.11, 3.12 or 3.13"
            missing+=(python3 python3-venv)
        elif ! can_make_venv "$python"; then
            missing+=(python3-venv)
        fi
    fi
    [[ ${#missing[@]} == 0 ]] && return
    say "setup: installing ${missing[*]}"
    forbid_services
    apt_install "${missing[@]}"
    local service
    for service in "${SERVICES[@]}"; do
        if [[ " ${missing[*]} " == *" $service "* ]]; then disable_service "$service"; fi
    done
    allow_services
}

wanted_stamp() {
    # The folder is part of it: a virtual environment cannot be moved.
    { pwd; cat requirements.lock pyproject.toml scripts/setup.sh; } | sha256sum | cut -d ' ' -f 1
}

python_packages() {
    local stamp=.venv/.stamp wanted python
    wanted=$(wanted_stamp)
    if [[ -x .venv/bin/tidegate && -e $stamp && $(<"$stamp") == "$wanted" ]] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    rm -f "$stamp"
    if ! fitting_python .venv/bin/python >/dev/null || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || die "no Python 3.11, 3.12 or 3.13 found; name one with: make setup PYTHON=/path/to/python3"
        can_make_venv "$python" || die "$python has no venv or ensurepip; name another with: make setup PYTHON=/path/to/python3"
        say "setup: making .venv with $("$python" --version)"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "setup: installing the Python packages of requirements.lock"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
    .venv/bin/python -m pip install --quiet --require-hashes -r requirements.lock
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
    echo "$wanted" >"$stamp"
    say "setup: done"
}

# Two set-ups at the same time would step on each other.
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9
debian_packages 9>&-
python_packages 9>&-
