"""ModSecurity: from annotations and the ConfigMap to what inspects requests (reference: annotations 13).

The retired controller puts global rules at the http level and lets locations add to them; here each policy says what
it wants, and the data plane shares what is expensive.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from tidegate.model import Firewall, Policy
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.settings.setting import AnySetting
from tidegate.translate.expressions import UnsoundExpression, check_variables
from tidegate.translate.options import NginxFacts
from tidegate.translate.references import Denied

MODULE = "ngx_http_modsecurity_module.so"
# Where the retired controller's image keeps its files; rules of users include them by these names.
BASE_FILE = "/etc/nginx/modsecurity/modsecurity.conf"
CORE_FILE = "/etc/nginx/owasp-modsecurity-crs/nginx-modsecurity.conf"
INCLUDE = re.compile(r'include\s+"?([^"\s]+)"?', re.IGNORECASE)
_ESCAPED = re.compile(r"""\\(["'\\])""")  # a pattern reads `\n` and the like itself


def _unescaped(rules: str) -> str:
    """Rules as they are meant: the retired controller puts the text between NGINX's single quotes."""
    return _ESCAPED.sub(r"\1", rules)


def _own_files(rules: str) -> tuple[str, frozenset[str]]:
    """Rules without the lines that include the retired controller's files, and which of these they were."""
    kept, found = [], set()
    for line in _unescaped(rules).split("\n"):
        include = INCLUDE.fullmatch(line)
        if include and include[1] in (BASE_FILE, CORE_FILE):
            found.add(include[1])
        else:
            kept.append(line)
    return "\n".join(kept), frozenset(found)


def global_firewall(globals_: GlobalSettings) -> Firewall | None:
    """What inspects the requests of locations that say nothing."""
    if not globals_.get(cm.ENABLE_MODSECURITY):
        return None
    _, included = _own_files(globals_.get(cm.MODSECURITY_SNIPPET))
    core = globals_.get(cm.ENABLE_OWASP_MODSECURITY_CRS) or CORE_FILE in included
    return Firewall(common=True, base=BASE_FILE in included, core=core)


def global_rules(globals_: GlobalSettings) -> str:
    """The rules in place of the recommended ones, as far as they are the ConfigMap's own."""
    return _own_files(globals_.get(cm.MODSECURITY_SNIPPET))[0]


def firewall_of(settings: IngressSettings, globals_: GlobalSettings) -> Firewall | None:
    """What inspects the requests of an Ingress; None where nothing does."""
    if not settings.get(ann.ENABLE_MODSECURITY):
        return None
    found = global_firewall(globals_)
    rules, included = _own_files(settings.get(ann.MODSECURITY_SNIPPET))
    if found is None:
        found = Firewall(base=not rules and not included)
    return replace(
        found,
        rules=rules,
        base=found.base or BASE_FILE in included,
        core=found.core or CORE_FILE in included or settings.get(ann.ENABLE_OWASP_CORE_RULES),
        transaction_id=settings.get(ann.MODSECURITY_TRANSACTION_ID),
    )


def without_effect(settings: IngressSettings) -> tuple[tuple[str, str], ...]:
    """Annotations that say nothing without another one: name and message."""
    if settings.get(ann.ENABLE_MODSECURITY):
        return ()
    rest: tuple[AnySetting, ...] = (
        ann.ENABLE_OWASP_CORE_RULES,
        ann.MODSECURITY_SNIPPET,
        ann.MODSECURITY_TRANSACTION_ID,
    )
    return tuple((one.name, "has no effect without enable-modsecurity") for one in rest if settings.get(one))


def _lacking(firewall: Firewall, nginx: NginxFacts) -> str:
    if not (nginx.has(MODULE) and nginx.firewall_rules):
        return "NGINX lacks ModSecurity (Debian: libnginx-mod-http-modsecurity)"
    if firewall.core and not nginx.core_rules:
        return "the OWASP core rules are not installed (Debian: modsecurity-crs)"
    return ""


def usable_firewall(globals_: GlobalSettings, nginx: NginxFacts) -> Firewall | None:
    """What inspects requests that nobody's route takes; there is nothing to protect where this NGINX cannot."""
    firewall = global_firewall(globals_)
    return firewall if firewall and not _lacking(firewall, nginx) else None


def with_firewall(policy: Policy, settings: IngressSettings, globals_: GlobalSettings, nginx: NginxFacts) -> Policy:
    """The policy with what inspects its requests. Raises Denied where this NGINX cannot."""
    firewall = firewall_of(settings, globals_)
    if firewall is None:
        return policy
    try:
        check_variables(firewall.transaction_id, globals_.own_variables)
    except UnsoundExpression as error:
        raise Denied(ann.MODSECURITY_TRANSACTION_ID.name, str(error)) from None
    if lacking := _lacking(firewall, nginx):
        raise Denied("", lacking)
    return replace(policy, firewall=firewall)
