# Sourced by the other scripts: where is a Python that will do?

# Prints the real path of $1 if it is a Python 3.11, 3.12 or 3.13.
fitting_python() {
    "$1" -c '
import os, sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(1)
print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
' 2>/dev/null
}

# Prints the first fitting Python: the one asked for, or one on PATH, or Debian's.
find_python() {
    local candidate
    if [[ -n "${TIDEGATE_PYTHON:-}" ]]; then
        fitting_python "$TIDEGATE_PYTHON"
        return
    fi
    for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && fitting_python "$candidate"; then
            return 0
        fi
    done
    return 1
}

# Can $1 make a virtual environment with pip in it?
can_make_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}
