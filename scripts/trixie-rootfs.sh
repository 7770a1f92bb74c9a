#!/bin/bash
# Makes .cache/trixie, a small Debian 13 with its NGINX 1.26 and Lua modules, so that the tests can run on the version
# that a container image has. scripts/nginx-trixie runs it. A second call does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/debian.sh

suite=trixie
packages=nginx,libnginx-mod-http-lua,libnginx-mod-http-headers-more-filter,lua-cjson
packages+=,libnginx-mod-stream,libnginx-mod-stream-js,libnginx-mod-http-brotli-filter,libnginx-mod-http-geoip2
packages+=,libnginx-mod-http-modsecurity,modsecurity-crs
root=.cache/$suite
stamp=$root/.tidegate-stamp

say() { printf '%s\n' "$*" >&2; }

mkdir -p .cache
exec 9>.cache/$suite.lock
flock 9
wanted=$({ pwd; cat scripts/trixie-rootfs.sh; } | sha256sum)
[[ -e $stamp && $(<"$stamp") == "$wanted" ]] && exit 0

for tool in mmdebstrap patchelf; do
    command -v $tool >/dev/null || { say "trixie-rootfs: $tool is missing: run make setup"; exit 1; }
done
site=$(debian_mirror || true)
[[ -n $site ]] || { say "trixie-rootfs: no Debian archive found in the sources of apt"; exit 1; }

say "trixie-rootfs: making $root from the archive that apt uses here (a few seconds)"
rm -rf "$root" "$root.new"
log=.cache/$suite.log
mode=root
[[ $(id -u) == 0 ]] || mode=chrootless
if ! mmdebstrap --mode="$mode" --variant=extract --include="$packages" "$suite" "$root.new" \
    "deb $site $suite main" >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    say "trixie-rootfs: mmdebstrap failed; all of its words are in $log"
    exit 1
fi

# Not a chroot: the binary shall see this machine's files. So it is told where its own loader and libraries are.
loader=$(patchelf --print-interpreter "$root.new/usr/sbin/nginx")
libraries=("$root.new"/usr/lib/*-linux-gnu*)
libraries=$PWD/$root/usr/lib/${libraries[0]##*/}
patchelf --set-interpreter "$libraries/${loader##*/}" --force-rpath --set-rpath "$libraries" "$root.new/usr/sbin/nginx"
echo "$wanted" >"$root.new/${stamp##*/}"
mv "$root.new" "$root"
