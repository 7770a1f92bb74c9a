#!/bin/bash
# Runs inside the image while it is built. First: NGINX and Python from Debian, and the two users. With `finish`: the
# program's environment around what was copied there, and the removal of what no container needs.
set -euo pipefail

here=$(dirname "$0")
home=/opt/tidegate

# The packages that the tests' Debian 13 has, so that both are the same NGINX.
packages() {
    local packages
    eval "$(grep -E '^packages\+?=' "$here/trixie-rootfs.sh")"
    echo "${packages//,/ } python3 ca-certificates"
}

missing() {
    local package
    for package in $(packages); do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
}

system() {
    local names
    mapfile -t names < <(missing)
    if ((${#names[@]})); then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${names[@]}"
    fi
    # Two users of one group: who faces the network cannot change what the operator writes.
    groupadd --gid 82 tidegate
    useradd --uid 101 --gid 82 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidegate-nginx
    useradd --uid 102 --gid 82 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidegate
}

finish() {
    python3 -m venv --without-pip "$home"
    printf '%s\n' "#!$home/bin/python" 'import sys' 'from tidegate.cli.main import main' 'sys.exit(main())' >"$home/bin/tidegate"
    chmod 755 "$home/bin/tidegate"
    install -m 755 "$here/keep-running.sh" "$home/bin/keep-running"
    # The root file system is read-only: what Python would write beside its sources must be there.
    python3 -m compileall -q --invalidation-mode unchecked-hash "$home/lib" /usr/lib/python3 /usr/lib/python3.13 || true
    # NGINX's own paths; its logs and pages are Tidegate's affair.
    rm -rf /var/www /var/log/nginx/* /etc/nginx/sites-* /etc/nginx/conf.d /etc/logrotate.d
    find /usr/share/doc -mindepth 1 ! -name copyright ! -type d -delete
    rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug
    rm -rf /var/cache/* /var/lib/apt/lists /var/log/*.log /var/log/apt /var/lib/systemd /tmp/* /root/.[!.]*
    find / -xdev -perm /6000 -type f -exec chmod a-s {} +
}

"${1:-system}"
