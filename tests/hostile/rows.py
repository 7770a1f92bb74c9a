"""Each row of the registry with hostile texts, and what a manifest has to say beside it for the row to count.

The texts are those of published holes of ingress controllers: ends of directives and of blocks, quotes, variables, Lua,
line ends, NUL, patterns without end, paths that climb, letters that look like others. A text that a type would take
comes once more with each of them behind it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tidegate.settings.directives import Directives
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import AnySetting, OnInvalid, Support
from tidegate.settings.types import InvalidValue

PAYLOADS = {
    "a quote and a directive": '"; return 200 inject; #',
    "another quote and a directive": "'; return 200 'inject",
    "a directive": "x; return 200 inject",
    "a line and a directive": "x\nreturn 200 inject;",
    "the end of a block": "} location /inject { return 200",
    "the end of a server": '"; } server { listen 1; } #',
    "an open brace": "{",
    "a closing brace": "}",
    "a comment": "#",
    "a backslash": "\\",
    "an escaped quote": '\\"; deny all; "',
    "a variable": "$uri",
    "a variable in braces": "${uri}",
    "a variable nobody knows": "$nonesuch",
    "a variable of the program": "$tidegate_users",
    "a dollar": "$",
    "a brace that stays open": "${uri",
    "a header behind a line end": "x\r\nX-Inject: inject",
    "an encoded line end": "/%0d%0aX-Inject:%20inject",
    "an answer behind a line end": "/\r\n\r\nHTTP/1.1 200 OK\r\n\r\ninject",
    "the end of a long text of Lua": "]=====] os.execute('id') --[=====[",
    "a call of Lua": "') os.execute('touch /tmp/inject') --",
    "a directive of Lua": "content_by_lua_block { ngx.say('inject') }",
    "a module": "off; load_module /tmp/inject.so",
    "a shell": "$(touch /tmp/inject)`id`",
    "a path that climbs": "../../../../etc/passwd",
    "a file of secrets": "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "a socket": "unix:/tmp/inject.sock",
    "the addresses of clouds": "http://169.254.169.254/latest/meta-data/",
    "a pattern without end": "(a+)+$",
    "a pattern that stays open": "(" * 300,
    "a large repetition": "(?:a{1000}){1000}",
    "NUL": "a\x00b",
    "an escape": "\x1b[31mred",
    "a separator of lines": "a\u2028b",
    "letters from right to left": "\u202eevil",
    "digits of another script": "１２",
    "a long s": "HTTPſ",
    "a byte order mark": "\ufefftrue",
    "half of a letter": "\ud800",
    "a huge number": "9" * 400,
    "a number below zero": "-1",
    "a fraction": "1e9",
    "a large text": "A" * 9000,
    "blanks": "   ",
    "a format": "%s%n{0}{{7*7}}",
    "another object": "kube-system/inject",
    "a script": "javascript:alert(1)",
}
TAILS = ('"; deny all; "', "; deny all", "\n}", "\r\nX-Inject: inject", "{", "$nonesuch", "\x00", "`id`", ",,;")

# Values that are fine for some type; the first that a row takes is its sample.
_SAMPLES = (
    "true", "on", "basic", "auth-map", "2", "hostile/users", "http://echo.hostile.svc/", "/a", "10.0.0.0/8",
    "GET", "any", "cookie", "persistent", "Lax", "sticky", "ewma", "404,503", "http_502", "8k", "8m", "1.0", "close",
    "TLSv1.2", "HIGH:!aNULL", "echo", "index.php", "5s", "200 5m", "CN=a", "$request_uri", "X-Client", "off",
    "/x /y", "a.test b.test", "403", "a", "set $x 1;", "legacy", "https://a.test", "GET, PUT", "4 8k", "0101 1010",
    "text/plain", "prime256v1", "AlwaysOff", "0.5", "30s", "warn", "Medium", "192.0.2.9", "A" * 64, "buffer=16k", "60",
    "307", "HTTPS",
)  # fmt: skip

# What stands beside the annotations whose names match: without it they would never get as far as NGINX.
_BESIDE: tuple[tuple[str, dict[str, str]], ...] = (
    ("auth-secret-type|auth-realm|auth-secret", {"auth-type": "basic", "auth-secret": "users"}),
    ("auth-type", {"auth-secret": "users"}),
    ("auth-tls-.*", {"auth-tls-secret": "hostile/peer"}),
    ("auth-.*", {"auth-url": "http://echo.hostile.svc/"}),
    ("satisfy", {"auth-type": "basic", "auth-secret": "users", "whitelist-source-range": "192.0.2.1"}),
    ("(session-cookie|affinity)-.*", {"affinity": "cookie"}),
    ("cors-.*", {"enable-cors": "true"}),
    ("canary-weight-total", {"canary": "true", "canary-weight": "1"}),
    ("canary-by-header-.*", {"canary": "true", "canary-by-header": "X-Canary"}),
    ("canary-.*", {"canary": "true"}),
    ("upstream-hash-by-.*", {"upstream-hash-by": "$uri"}),
    ("mirror-.*", {"mirror-target": "http://echo.hostile.svc/"}),
    ("proxy-ssl-.*", {"backend-protocol": "HTTPS", "proxy-ssl-secret": "hostile/peer"}),
    ("fastcgi-.*", {"backend-protocol": "FCGI"}),
    ("modsecurity-.*|enable-owasp-core-rules", {"enable-modsecurity": "true"}),
    ("limit-(whitelist|allowlist|burst-multiplier)", {"limit-rps": "100000"}),
    ("limit-rate|proxy-bu.*|proxy-max-temp-file-size", {"proxy-buffering": "on"}),
    ("limit-rate-after", {"proxy-buffering": "on", "limit-rate": "100000"}),
    ("proxy-redirect-to", {"proxy-redirect-from": "http://one.test/"}),
    ("proxy-redirect-from", {"proxy-redirect-to": "/two/"}),
    ("x-forwarded-prefix|use-regex", {"rewrite-target": "/$1"}),
    ("permanent-redirect-code", {"permanent-redirect": "http://a.test/"}),
    ("temporal-redirect-code", {"temporal-redirect": "http://a.test/"}),
    ("relative-redirects|use-port-in-redirects", {"app-root": "/a"}),
    ("opentelemetry-.*", {"enable-opentelemetry": "true"}),
    ("default-backend|disable-proxy-intercept-errors", {"custom-http-errors": "404"}),
)


class Case(NamedTuple):
    """One text for one row; `problem` is what its type has against it, None where it is a value."""

    name: str
    setting: AnySetting
    what: str
    text: str
    problem: InvalidValue | None

    @property
    def id(self) -> str:
        return f"{self.name}: {self.what}"

    @property
    def closes(self) -> bool:
        """Whether the text must leave no open route."""
        return self.problem is not None and self.setting.outcome(self.problem) is OnInvalid.DENY


def problem_of(setting: AnySetting, text: str) -> InvalidValue | None:
    try:
        setting.type.parse(text)
    except InvalidValue as problem:
        return problem
    return None


def sample(setting: AnySetting) -> str:
    """A text that is a value of this row, and not its default where there is one."""
    fine = [text for text in _SAMPLES if problem_of(setting, text) is None]
    return next((text for text in fine if setting.type.parse(text) != setting.default), fine[0])


def beside(name: str) -> dict[str, str]:
    """What an Ingress has to have besides this annotation."""
    found = next((rows for pattern, rows in _BESIDE if re.fullmatch(pattern, name)), {})
    return {key: text for key, text in found.items() if key != name}


def known(settings: Mapping[str, AnySetting]) -> Iterator[tuple[str, AnySetting]]:
    """The rows that may do something, by each of their names."""
    return ((name, setting) for name, setting in settings.items() if setting.support is not Support.DEAD)


def cases(name: str, setting: AnySetting) -> list[Case]:
    """Every hostile text for a row."""
    good = sample(setting)
    texts = {**PAYLOADS, **{f"{good!r} and {tail!r}": good + tail for tail in TAILS}}
    return [Case(name, setting, what, text, problem_of(setting, text)) for what, text in texts.items()]


ANNOTATION_CASES = {name: cases(name, setting) for name, setting in known(ANNOTATIONS)}
KEY_CASES = {name: cases(name, setting) for name, setting in known(CONFIGMAP_KEYS)}


def is_code(setting: AnySetting) -> bool:
    """Whether its value is configuration by purpose."""
    return isinstance(setting.type, Directives)


# -- manifests ---------------------------------------------------------------------------------------------------------

PREFIX = "nginx.ingress.kubernetes.io"
Manifest = dict[str, Any]


def manifest(name: str, host: str, annotations: Mapping[str, object], path: str = "/") -> Manifest:
    """An Ingress of the namespace `hostile` for the Service `echo`."""
    backend = {"service": {"name": "echo", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": "hostile",
            "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
            "annotations": {f"{PREFIX}/{key}": text for key, text in annotations.items()},
        },
        "spec": {"rules": [rule]},
    }


def configmap(data: Mapping[str, object]) -> Manifest:
    """The ConfigMap of settings."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": "hostile"},
        "data": data,
    }


def ingress_of(case: Case, number: int) -> Manifest:
    """The Ingress that carries a case, on a host of its own."""
    name = f"r{number}"
    return manifest(name, f"{name}.rows.test", {**beside(case.name), case.name: case.text})
