#!/bin/bash
# The e2e tests: builds the image, makes a kind cluster, runs tests/e2e with it, and removes the cluster.
#
# With kind, helm, kubectl and docker on PATH it is a stock kind cluster. Where one of them is missing and no registry can be
# reached, all is built from Debian packages and Go modules (tests/e2e/testcluster): 8 to 15 minutes once, as root on Debian 12.
#   scripts/e2e.sh [PYTEST_ARGUMENT...]
#   KEEP=1 leaves the cluster; CLUSTER=name names it; CLUSTER_FROM=stock|built decides
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${CLUSTER:-tidegate-e2e}
image=tidegate:e2e
testcluster=tests/e2e/testcluster
start=$EPOCHSECONDS

note() { printf 'e2e: %s (%d s)\n' "$*" $((EPOCHSECONDS - start)) >&2; }
die() { printf 'e2e: %s\n' "$*" >&2; exit 1; }

missing=()
for program in kind helm kubectl docker; do
    command -v "$program" >/dev/null || missing+=("$program")
done
from=${CLUSTER_FROM:-}
[[ -n $from ]] || { ((${#missing[@]})) && from=built || from=stock; }

how="Get docker from your distribution, kind with 'go install sigs.k8s.io/kind@latest', helm and kubectl from their projects' releases."
if [[ $from == stock ]]; then
    ((${#missing[@]} == 0)) || die "missing: ${missing[*]}. $how"
else
    reasons=()
    [[ $(id -u) == 0 ]] || reasons+=("root")
    grep -qs '^VERSION_ID="12"' /etc/os-release || reasons+=("Debian 12")
    command -v go >/dev/null || reasons+=("Go 1.24 or later")
    ((${#reasons[@]} == 0)) || die "missing: ${missing[*]}. $how Building them here would need: ${reasons[*]}."
fi

work=$(mktemp -d)
started_dockerd=
finish() {
    local status=$?
    trap - EXIT INT TERM
    if [[ -z ${KEEP:-} ]]; then
        if [[ $from == stock ]]; then
            kind delete cluster --name "$name" >/dev/null 2>&1 || true
        else
            "$testcluster/down" "$name" >/dev/null 2>&1 || true
            [[ -z $started_dockerd ]] || kill "$started_dockerd" 2>/dev/null || true
        fi
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [[ $from == stock ]]; then
    scripts/image.sh "$image"
    note "making a kind cluster"
    export KUBECONFIG=$work/kubeconfig
    kind create cluster --name "$name" --kubeconfig "$KUBECONFIG" --wait 120s
    kind load docker-image --name "$name" "$image"
else
    scripts/setup.sh e2e
    docker info >/dev/null 2>&1 || was_down=1
    # Two at once would build the same twice.
    exec 9>"${TMPDIR:-/tmp}/tidegate-testcluster.lock"
    flock 9
    note "the parts of the cluster"
    "$testcluster/build" 9>&-
    # shellcheck source=tests/e2e/testcluster/lib.sh
    source "$testcluster/lib.sh"
    ensure_dockerd 9>&-
    exec 9>&-
    [[ -z ${was_down:-} || ! -e $cache/dockerd.pid ]] || started_dockerd=$(<"$cache/dockerd.pid")
    scripts/image.sh "$image"
    note "making the cluster"
    export TIDEGATE_TESTCLUSTER_HTTP_PORT=${TIDEGATE_TESTCLUSTER_HTTP_PORT:-18180} TIDEGATE_TESTCLUSTER_HTTPS_PORT=${TIDEGATE_TESTCLUSTER_HTTPS_PORT:-18543}
    "$testcluster/down" "$name" >/dev/null 2>&1 || true
    KUBECONFIG=$("$testcluster/up" "$name")
    export KUBECONFIG
    "$testcluster/load" "$name" "$image"
fi

note "the tests"
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$name-control-plane")
E2E_NODE=$name-control-plane E2E_ADDRESS=$address E2E_IMAGE=$image .venv/bin/pytest tests/e2e -p no:cacheprovider "$@"
note "done"
