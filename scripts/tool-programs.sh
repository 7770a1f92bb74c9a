#!/bin/bash
# Has tools that drive ingress controllers at hand for the tests of the cluster tier (test_real_*.py): each is built from a Go
# module of pinned version and hash into .cache/tools, with the definitions of its own kinds beside it. Five minutes once, with
# 2 cores. (cert-manager 1.11 is the last one whose controller is in its main module: the later ones' is in none that can be had.)
#   scripts/tool-programs.sh [NAME...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

place=$PWD/.cache/tools
# name, module, version, hash, package, folder of custom resource definitions
tools='
rollouts-controller github.com/argoproj/argo-rollouts v1.8.3 h1:blbtQva4IK9r6gFh+dWkCrLnFdPOWiv9ubQYu36qeaA= ./cmd/rollouts-controller manifests/crds
flagger github.com/fluxcd/flagger v1.36.1 h1:X2PumtNwZz9YSGaOtZLFm2zAKLgHhFkbNv8beg7ifyc= ./cmd/flagger artifacts/flagger
oauth2-proxy github.com/oauth2-proxy/oauth2-proxy/v7 v7.15.6 h1:4xZOFvyGysSUxdrEVyLjo+NduqGHbGV9bLE8XD49IJM= . -
cert-manager github.com/cert-manager/cert-manager v1.11.5 h1:K2LurvwIE4hIhODQZnkOW6ljYe3lVMAliS/to+gI05o= ./cmd/controller deploy/crds
acmesolver github.com/cert-manager/cert-manager v1.11.5 h1:K2LurvwIE4hIhODQZnkOW6ljYe3lVMAliS/to+gI05o= ./cmd/acmesolver -
pebble github.com/letsencrypt/pebble/v2 v2.7.0 h1:3fqfs8+5lUooQSqZtXtYB4Jd+TPsQXBPaS8TBXOSzpY= ./cmd/pebble -
'

mkdir -p "$place/bin" "$place/crds"
while read -r name module version hash package crds; do
    [[ -n $name ]] || continue
    (($# == 0)) || [[ " $* " == *" $name "* ]] || continue
    stamp=$place/$name.version
    [[ -x $place/bin/$name && -e $stamp && $(<"$stamp") == "$version" ]] && continue
    if ! command -v go >/dev/null; then
        echo "tool-programs: $name not found, and no Go to build it with" >&2
        [[ -z ${CI:-} ]]
        exit
    fi
    echo "tool-programs: building $name" >&2
    found=$(go mod download -json "$module@$version")
    [[ $found == *"\"Sum\": \"$hash\""* ]] || { echo "tool-programs: $module@$version is not what it was" >&2; exit 1; }
    folder=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$found")
    (cd "$folder" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' -o "$place/bin/$name" "$package")
    if [[ $crds != - ]]; then
        rm -rf "$place/crds/$name"
        mkdir -p "$place/crds/$name"
        grep -lr '^kind: CustomResourceDefinition' "$folder/$crds" | xargs cp -t "$place/crds/$name"
        chmod -R u+w "$place/crds/$name"
        sed -i '/{{/d' "$place/crds/$name"/*  # labels that a chart would fill in
    fi
    echo "$version" >"$stamp"
done <<<"$tools"
