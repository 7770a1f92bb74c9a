"""An NGINX that refuses what a test says."""

from __future__ import annotations

from pathlib import Path

PICKY = r"""#!/bin/sh
# NGINX that does not take what the file beside it names: <how> TAB <extended regular expression>
if [ "$1" = -t ]; then
    for conf; do :; done
    while IFS="$(printf '\t')" read -r how pattern; do
        line=$(grep -nE -m1 -- "$pattern" "$conf" | cut -d: -f1)
        if [ -n "$line" ]; then
            if [ "$how" = line ]; then
                echo "nginx: [emerg] there is no liking \"$pattern\" in $conf:$line" >&2
            else
                echo "nginx: [emerg] something is not to be liked" >&2
            fi
            echo "nginx: configuration file $conf test failed" >&2
            exit 1
        fi
    done < "$0.rules"
fi
exec /usr/sbin/nginx "$@"
"""


def picky_nginx(folder: Path, *rules: tuple[str, str]) -> Path:
    """An NGINX that refuses configurations with certain lines, and names the line (`line`) or does not (`none`)."""
    binary = folder / "nginx"
    binary.write_text(PICKY)
    binary.chmod(0o755)
    like(binary, *rules)
    return binary


def like(binary: Path, *rules: tuple[str, str]) -> None:
    """Changes what it refuses."""
    Path(f"{binary}.rules").write_text("".join(f"{how}\t{pattern}\n" for how, pattern in rules))
