#!/bin/bash
# Writes requirements.lock: every dependency (run, development, build) with the hashes of all its files, for
# Python 3.11 to 3.13. Keeps the versions that are locked already; UPGRADE=1 takes the newest ones.
# And requirements-run.lock: of the same versions those that the program runs with, for the image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/python.sh

tool=.cache/lock
if [[ ! -x $tool/bin/uv ]]; then
    python=$(find_python) || { echo "lock: no Python 3.11, 3.12 or 3.13 found" >&2; exit 1; }
    rm -rf "$tool"
    "$python" -m venv "$tool"
    "$tool/bin/python" -m pip install --quiet uv
fi

# What builds the package is installed beforehand, so that the build needs nothing more. An editable build by
# hatchling needs `editables` too.
"$tool/bin/python" - >"$tool/build.in" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join([*tomllib.load(file)["build-system"]["requires"], "editables"]))
PYTHON

compile() {
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}

compile ${UPGRADE:+--upgrade} --extra dev --output-file requirements.lock pyproject.toml "$tool/build.in"
rm -f requirements-run.lock  # its versions come from the other one alone
compile --constraints requirements.lock --output-file requirements-run.lock pyproject.toml

if grep -nE '://|^--' requirements.lock requirements-run.lock; then
    echo "lock: a lock file names a host or an option" >&2
    exit 1
fi
