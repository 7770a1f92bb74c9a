"""What the NGINX at hand is: its version and where its modules and Lua libraries are."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from dataclasses import astuple, replace
from pathlib import Path

from tidegate.render.firewall import FirewallFiles
from tidegate.render.runtime import HEADERS_MORE, NginxFeatures

VERSION = re.compile(r"nginx version: nginx/(\d+)\.(\d+)\.(\d+)")
MODULES_PATH = re.compile(r"--modules-path=(\S+)")
STANDARD_MODULES = "/usr/lib/nginx/modules"
REQUIRED = ("ndk_http_module.so", "ngx_http_lua_module.so")
STREAM = ("ngx_stream_module.so", "ngx_stream_js_module.so")
OPTIONAL = "ngx_http_*_module.so"


class NginxMissingError(Exception):
    """There is no NGINX that Tidegate can use; the message says what is missing."""


def find_binary(name: str) -> str:
    """The path of the program; also looks where ordinary users' PATH does not. Raises NginxMissingError."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        raise NginxMissingError(f"there is no NGINX: {name!r} was not found on PATH")
    return found


def require_streams(features: NginxFeatures) -> None:
    """Raises NginxMissingError when this NGINX cannot serve TCP and UDP."""
    if not features.stream_modules:
        raise NginxMissingError(f"NGINX lacks {', '.join(STREAM)} (Debian: libnginx-mod-stream-js)")


def require_http3(features: NginxFeatures) -> None:
    """Raises NginxMissingError when this NGINX cannot speak HTTP/3."""
    if not features.http3:
        version = ".".join(map(str, features.version))
        raise NginxMissingError(f"NGINX {version} was built without HTTP/3 (--enable-http3); Debian 13 has one with it")


async def probe(binary: str) -> NginxFeatures:
    """Ask `nginx -V`. Raises NginxMissingError when a module that Tidegate needs is not there."""
    process = await asyncio.create_subprocess_exec(
        find_binary(binary), "-V", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode(errors="replace")
    version = VERSION.search(output)
    if version is None:
        raise NginxMissingError(f"{binary} -V does not name a version: {output[:200]!r}")
    found = MODULES_PATH.search(output)
    folder = found[1] if found else STANDARD_MODULES
    features = _features((int(version[1]), int(version[2]), int(version[3])), Path(folder))
    return replace(
        features,
        debug="--with-debug" in output,
        http3="--with-http_v3_module" in output,
    )


def _features(version: tuple[int, int, int], modules: Path) -> NginxFeatures:
    missing = [name for name in REQUIRED if not (modules / name).is_file()]
    if missing:
        raise NginxMissingError(f"NGINX lacks {', '.join(missing)} in {modules} (Debian: libnginx-mod-http-lua)")
    headers_more = (modules / HEADERS_MORE).is_file()
    names = [*REQUIRED, HEADERS_MORE] if headers_more else list(REQUIRED)
    stream = tuple(str(modules / name) for name in STREAM)
    root = str(modules).removesuffix(STANDARD_MODULES) if str(modules).endswith(STANDARD_MODULES) else ""
    return NginxFeatures(
        version=version,
        modules=tuple(str(modules / name) for name in names),
        headers_more=headers_more,
        optional=tuple(sorted(str(file) for file in modules.glob(OPTIONAL) if file.name not in names)),
        lua_libraries=f"{root}/usr/share/lua/5.1/?.lua" if root else "",
        lua_cpath=f"{root}/usr/lib/{os.uname().machine}-linux-gnu/lua/5.1/?.so;;" if root else "",
        mime_types=f"{root}/etc/nginx/mime.types",
        firewall=_firewall_files(root),
        stream_modules=stream if all(Path(name).is_file() for name in stream) else (),
    )


def _firewall_files(root: str) -> FirewallFiles:
    usual = FirewallFiles(*(root + name for name in astuple(FirewallFiles())))
    base = usual.base if Path(usual.base).is_file() else ""
    core = Path(usual.core_setup).is_file() and any(Path(usual.core_rules).glob("*.conf"))
    return replace(usual, base=base) if core else FirewallFiles(base, "", "")
