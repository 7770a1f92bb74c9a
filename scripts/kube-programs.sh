#!/bin/bash
# Has etcd, kube-apiserver, kubectl and helm at hand for the tests of the cluster tier, or just the programs that are named.
# Those that are not found in KUBEBUILDER_ASSETS, on PATH or in a cache are built from pinned Go modules: about four minutes
# once, with 2 cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

modules=$PWD/tests/e2e/testcluster
bin=$PWD/.cache/kube/bin
PATH=${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS:}$PATH:$bin:${TIDEGATE_TESTCLUSTER_CACHE:-$HOME/.cache/tidegate-testcluster}/bin

(($#)) || set -- etcd kube-apiserver kubectl helm
missing=()
for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
done
((${#missing[@]})) || exit 0

if ! command -v go >/dev/null; then
    echo "kube-programs: ${missing[*]} not found, and no Go to build them with" >&2
    [[ -z ${CI:-} ]]
    exit
fi
mkdir -p "$bin"
for program in "${missing[@]}"; do
    echo "kube-programs: building $program" >&2
    flags='-s -w'
    case $program in
    etcd) module=tools package=./etcd ;;
    helm) module=tools package=helm.sh/helm/v3/cmd/helm ;;
    *)
        module=kubernetes package=k8s.io/kubernetes/cmd/$program
        # what the program says of its version, which tools read
        version=$(cd "$modules/$module" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
        IFS=. read -r major minor _ <<<"${version#v}"
        variables=k8s.io/component-base/version
        flags+=" -X $variables.gitVersion=$version -X $variables.gitMajor=$major -X $variables.gitMinor=$minor -X $variables.gitTreeState=clean"
        ;;
    esac
    (cd "$modules/$module" && CGO_ENABLED=0 GOBIN=$bin go install -trimpath -ldflags "$flags" "$package")
done
