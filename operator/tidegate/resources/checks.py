"""What the Kubernetes API server checks on names and values, and how it words what it refuses.

Source of the rules: k8s.io/apimachinery `validation` and `pkg/apis/*/validation` (Kubernetes 1.34). Pure.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

INVALID = "Invalid"
DEPRECATED = "DeprecatedAPI"
IGNORED = "IgnoredKind"

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DNS_1035_LABEL = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_QUALIFIED_PART = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_LEGACY_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")

_MAX_SHOWN = 80
_MAX_PROBLEMS = 20

NEEDS_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "start and end with an alphanumeric character, and be no longer than 253 characters"
)
NEEDS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "start and end with an alphanumeric character, and be no longer than 63 characters"
)
NEEDS_1035_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with a letter, "
    "end with an alphanumeric character, and be no longer than 63 characters"
)
NEEDS_WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain of lower case "
    "alphanumeric characters, '-' or '.', and end with an alphanumeric character"
)
NEEDS_PORT_NUMBER = "must be between 1 and 65535, inclusive"
NEEDS_PORT_NAME = (
    "must be a port name: 1 to 15 lower case alphanumeric characters or '-', at least one letter, "
    "no '--', no '-' at either end (a port number is written without quotes)"
)


def is_subdomain(text: str) -> bool:
    """RFC 1123 subdomain: lower case, at most 253 characters."""
    return len(text) <= 253 and _DNS_SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """RFC 1123 label: lower case, at most 63 characters."""
    return len(text) <= 63 and _DNS_LABEL.fullmatch(text) is not None


def is_1035_label(text: str) -> bool:
    """RFC 1035 label (begins with a letter): the names of Services."""
    return len(text) <= 63 and _DNS_1035_LABEL.fullmatch(text) is not None


def is_wildcard(text: str) -> bool:
    """`*.` and a subdomain."""
    return len(text) <= 253 and text.startswith("*.") and is_subdomain(text[2:])


def is_qualified_name(text: str) -> bool:
    """The key of a label or annotation: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(name) <= 63 and _QUALIFIED_PART.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    return not text or (len(text) <= 63 and _QUALIFIED_PART.fullmatch(text) is not None)


def is_port_name(text: str) -> bool:
    """IANA service name, as `IsValidPortName`."""
    return (
        0 < len(text) <= 15
        and _PORT_NAME.fullmatch(text) is not None
        and any("a" <= c <= "z" for c in text)
        and "--" not in text
        and text[0] != "-"
        and text[-1] != "-"
    )


def is_port(number: int) -> bool:
    return 1 <= number <= 65535


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address, without zone."""
    if "%" in text or len(text) > 45:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _LEGACY_IPV4.fullmatch(text) is not None and all(int(part) < 256 for part in text.split("."))
    return True


def unmapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one stands for (`::ffff:127.0.0.1`), else the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_data_key(text: str) -> bool:
    """A key of a ConfigMap or Secret: it may become a file name."""
    return len(text) <= 253 and text != "." and not text.startswith("..") and _DATA_KEY.fullmatch(text) is not None


def is_domain_prefixed_path(text: str) -> bool:
    """`acme.io/foo`: the controller of an IngressClass."""
    domain, slash, path = text.partition("/")
    return bool(slash) and is_subdomain(domain) and _HTTP_PATH.fullmatch(path) is not None


def type_name(value: object) -> str:
    """The YAML word for the type of a value."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "a boolean"
    for kind, name in ((str, "a string"), (int, "an integer"), (float, "a decimal number"), (dict, "a mapping")):
        if isinstance(value, kind):
            return name
    return "a list" if isinstance(value, list | tuple) else f"a value of type {type(value).__name__}"


def show(value: object) -> str:
    """A value as users wrote it: one line, printable ASCII, bounded."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**_MAX_SHOWN else "a huge integer"
    return repr(value) if isinstance(value, float) else type_name(value)


def printable(text: str, limit: int = 253) -> str:
    """A name fit for one line of output, whatever a manifest called it."""
    clean = text if text.isprintable() and text.isascii() else json.dumps(text)[1:-1]
    return clean if len(clean) <= limit else clean[:limit] + "..."


class Problem(msgspec.Struct, frozen=True):
    """One finding that does not know its object yet."""

    field: str
    severity: Severity
    reason: str
    message: str


class Problems:
    """Collects what is wrong with one object, in the API server's words; bounded."""

    def __init__(self) -> None:
        self._items: list[Problem] = []
        self._more = 0
        self.failed = False

    def _add(self, field: str, message: str) -> None:
        self.failed = True
        self._put(Problem(field, Severity.ERROR, INVALID, message))

    def _put(self, problem: Problem) -> None:
        if len(self._items) < _MAX_PROBLEMS:
            self._items.append(problem)
        else:
            self._more += 1

    def invalid(self, field: str, value: object, allowed: str) -> None:
        self._add(field, f"Invalid value: {show(value)}: {allowed}")

    def wrong(self, field: str, message: str) -> None:
        self._add(field, message)

    def required(self, field: str, what: str) -> None:
        self._add(field, f"Required value: {what}")

    def forbidden(self, field: str, why: str) -> None:
        self._add(field, f"Forbidden: {why}")

    def duplicate(self, field: str, value: object) -> None:
        self._add(field, f"Duplicate value: {show(value)}")

    def too_long(self, field: str, limit: int) -> None:
        self._add(field, f"Too long: may not be more than {limit} bytes")

    def unsupported(self, field: str, value: object, supported: Iterable[str]) -> None:
        names = ", ".join(json.dumps(name) for name in sorted(supported))
        self._add(field, f"Unsupported value: {show(value)}: supported values: {names}")

    def warn(self, field: str, reason: str, message: str) -> None:
        self._put(Problem(field, Severity.WARNING, reason, message))

    def findings(self, key: ObjectKey, place: str) -> tuple[Finding, ...]:
        """All of them, about the object `key` found at `place`."""
        found = [Finding(key, p.field, p.severity, p.reason, p.message, place) for p in self._items]
        if self._more:
            severity = Severity.ERROR if self.failed else Severity.WARNING
            found.append(Finding(key, "", severity, INVALID, f"{self._more} more problems are not listed", place))
        return tuple(found)


def check_port(value: int | None, field: str, problems: Problems) -> None:
    if value is None:
        problems.required(field, "must be between 1 and 65535, inclusive")
    elif not is_port(value):
        problems.invalid(field, value, NEEDS_PORT_NUMBER)


def string_map(
    value: Mapping[object, object] | None, field: str, problems: Problems, *, secret: bool = False
) -> dict[str, str]:
    """A map of strings; null values are empty strings, as for the API server. Other types are refused with a remedy."""
    if not value:
        return {}
    result: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            problems.wrong(field, f"found the key {show(key)}, {type_name(key)}; allowed: a string")
        elif isinstance(item, str):
            result[key] = item
        elif item is None:
            result[key] = ""
        else:
            found = type_name(item) if secret or isinstance(item, dict | list) else f"{type_name(item)}: {show(item)}"
            hint = "" if isinstance(item, dict | list) else " (put it in quotes)"
            problems.wrong(f"{field}[{printable(key)}]", f"found {found}; allowed: a string{hint}")
    return result
