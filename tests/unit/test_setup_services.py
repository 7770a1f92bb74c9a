"""What `make setup` does to a machine, on a copy of this one that is thrown away: its root folder under a layer of its
own, with process ids of its own. The packages that bring services are taken away there, and set-up brings them back.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SERVICES = ("nginx", "haproxy", "redis-server")
NO_PACKAGES = 77
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
LAYER = """
mount -t tmpfs layer "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
for folder in tmp run; do mount -t tmpfs "$folder" "$1/root/$folder"; done
mkdir -p "$1/root/tmp/project/scripts"
cp scripts/setup.sh scripts/python.sh "$1/root/tmp/project/scripts"
cd "$1/root"
mkdir tmp/before
pivot_root . tmp/before  # in a mere chroot packages start no service
umount -l /tmp/before
exec bash -euc "$2" </dev/null
"""
INSIDE = """
export DEBIAN_FRONTEND=noninteractive
cd /tmp/project
take_away() { apt-get -q -y purge "$@" >>/tmp/log 2>&1 || { tail -n 30 /tmp/log; exit 1; }; }
processes() { cat /proc/[0-9]*/comm 2>/dev/null || true; }

rm -f /usr/sbin/policy-rc.d /sbin/runlevel
printf '#!/bin/sh\necho N 2\n' >/sbin/runlevel  # as on a machine that has started
chmod 755 /sbin/runlevel
take_away nginx nginx-common 'libnginx-mod-*' haproxy redis-server

fetch() { (cd /tmp && apt-get -q download redis-server >>/tmp/log 2>&1); }
fetch || { apt-get -q update >>/tmp/log 2>&1 && fetch; } || exit 77  # NO_PACKAGES
unshare --net sh -c 'ip link set lo up; dpkg -i /tmp/redis-server_*.deb' >>/tmp/log 2>&1
echo "== processes without set-up"; processes
take_away redis-server

sed -i '/^python_packages 9/d' scripts/setup.sh  # they start nothing
scripts/setup.sh
echo "== processes"; processes
echo "== boot"; ls /etc/rc2.d
echo "== left"; ls /usr/sbin/policy-rc.d* 2>/dev/null || true
"""


def on_a_copy(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return subprocess.run(
        [*ALONE, "bash", "-euc", LAYER, "layer", str(folder), script],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_no_service_of_the_packages_that_set_up_installs_is_left_running(tmp_path: Path) -> None:
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("apt-get", "unshare", "ip")):
        pytest.skip("needs root on Debian, and unshare and ip")
    trial = on_a_copy(tmp_path / "trial", "true")
    if trial.returncode:
        pytest.skip(f"a copy of this machine cannot be made: {trial.stderr}")
    done = on_a_copy(tmp_path / "copy", INSIDE)
    if done.returncode == NO_PACKAGES:
        pytest.skip("no package can be had from Debian's archive")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.split(r"== (.+)\n", done.stdout)[1:]
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    for service in SERVICES:
        assert service in done.stderr, "set-up has installed it"
        assert service not in said["processes"]
        assert not re.search(rf"^S\d\d{service}$", said["boot"], re.MULTILINE), "it would start at the next boot"
        assert re.search(rf"^K\d\d{service}$", said["boot"], re.MULTILINE)
    assert said["left"] == ""
    assert "redis-server" in said["processes without set-up"]  # what it is that set-up prevents
