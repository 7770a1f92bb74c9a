"""Secret and ConfigMap, checked as the API server does. Values of Secrets never appear in findings.

Source: pkg/apis/core/validation (`ValidateSecret`, `ValidateConfigMap`).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sized

from tidegate.resources import checks
from tidegate.resources.checks import Problems, printable, type_name
from tidegate.resources.model import ConfigMap, Metadata, Secret
from tidegate.resources.raw import RawConfigMap, RawSecret

MAX_SIZE = 1024 * 1024
_NO_LINE_ENDS = str.maketrans("", "", "\r\n")
_NEEDS_KEY = (
    "a valid key must consist of alphanumeric characters, '-', '_' or '.', at most 253, and not begin with '..'"
)


def decode_secret(raw: RawSecret, metadata: Metadata, problems: Problems) -> Secret:
    """`data` decoded from base64, `stringData` merged over it."""
    data: dict[str, bytes] = {}
    for key, value in (raw.data or {}).items():
        decoded = _decode(key, value, problems)
        if decoded is not None:
            data[key] = decoded
    for key, text in checks.string_map(raw.string_data, "stringData", problems, secret=True).items():
        data[key] = text.encode("utf-8", "surrogatepass")
    _check_data(data, problems)
    kind = raw.type or "Opaque"
    if kind == "kubernetes.io/tls" and not problems.failed:
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                problems.required(f"data[{key}]", "a Secret of type kubernetes.io/tls needs tls.crt and tls.key")
    return Secret(metadata=metadata, type=kind, data=data)


def decode_config_map(raw: RawConfigMap, metadata: Metadata, problems: Problems) -> ConfigMap:
    data = checks.string_map(raw.data, "data", problems)
    _check_data(data, problems)
    return ConfigMap(metadata=metadata, data=data)


def _decode(key: object, value: object, problems: Problems) -> bytes | None:
    if not isinstance(key, str):
        problems.wrong("data", f"found a key that is {type_name(key)}; allowed: a string")
        return None
    field = f"data[{printable(key)}]"
    if value is None:
        return b""
    if not isinstance(value, str):
        problems.wrong(
            field, f"found {type_name(value)}; allowed: base64 text (plain text goes to stringData, in quotes)"
        )
        return None
    try:
        text = value.translate(_NO_LINE_ENDS).encode("ascii")
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except (UnicodeEncodeError, binascii.Error) as error:
        reason = "not ASCII" if isinstance(error, UnicodeEncodeError) else str(error)
        problems.wrong(
            field, f"found text that is not base64 ({reason}); allowed: base64 (plain text goes to stringData)"
        )
        return None


def _check_data(data: Mapping[str, Sized], problems: Problems) -> None:
    for key in data:
        if not checks.is_data_key(key):
            problems.invalid(f"data[{printable(key)}]", key, _NEEDS_KEY)
    if sum(map(len, data.values())) > MAX_SIZE:
        problems.too_long("data", MAX_SIZE)
