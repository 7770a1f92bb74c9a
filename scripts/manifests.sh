#!/bin/bash
# Prints what the chart makes, as one file for `kubectl apply --filename`: namespace tidegate-system, or what NAMESPACE says.
#   scripts/manifests.sh [VALUES_FILE...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

namespace=${NAMESPACE:-tidegate-system}
values=()
for file in "$@"; do values+=(--values "$file"); done
printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n' "$namespace"
scripts/helm.sh template tidegate charts/tidegate --kube-version "${KUBE_VERSION:-1.34.0}" --namespace "$namespace" \
    --no-hooks "${values[@]}" | sed '/helm.sh\/resource-policy: keep/d; /app.kubernetes.io\/managed-by: Helm/d; /helm.sh\/chart:/d'
