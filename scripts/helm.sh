#!/bin/bash
# Runs helm, from where scripts/kube-programs.sh finds or builds it. With `--if-found` as the first argument nothing is built:
# without a helm it just says so.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:$here/.cache/kube/bin:${TIDEGATE_TESTCLUSTER_CACHE:-$HOME/.cache/tidegate-testcluster}/bin
if [[ ${1:-} == --if-found ]]; then
    shift
    command -v helm >/dev/null || { echo "helm: none here yet, so no '$1'; the tests of the cluster tier build one and do it" >&2; exit; }
fi
"$here/scripts/kube-programs.sh" helm
exec helm "$@"
