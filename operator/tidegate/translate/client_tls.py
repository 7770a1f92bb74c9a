"""What global settings of TLS towards clients take from Secrets: DH parameters and keys of session tickets."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final, NamedTuple

from tidegate.findings import Finding
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.settings.tls_types import decode_ticket_key
from tidegate.translate.global_checks import about
from tidegate.translate.pem import PemFile, pem_file
from tidegate.translate.reader import Reader

CURRENT: Final = "ticket.key"
LEAST_BITS: Final = 2048  # OpenSSL takes no smaller ones

_PARAMETERS: Final = re.compile(rb"-----BEGIN DH PARAMETERS-----([A-Za-z0-9+/=\s]+)-----END DH PARAMETERS-----")
_SEQUENCE, _INTEGER, _LONG = 0x30, 0x02, 0x80  # of DER


class ClientTLS(NamedTuple):
    """Digests of files: DH parameters (empty: none), and ticket keys, of which the first encrypts."""

    dh_param: str = ""
    ticket_keys: tuple[str, ...] = ()
    files: tuple[PemFile, ...] = ()
    findings: tuple[Finding, ...] = ()


NO_CLIENT_TLS: Final = ClientTLS()


class _Unusable(Exception):
    """Why a Secret cannot be used."""


def read_client_tls(settings: GlobalSettings, reader: Reader) -> ClientTLS:
    """What `ssl-dh-param` and `ssl-session-ticket-key` name; what cannot be used is left out with a finding."""
    files: list[PemFile] = []
    findings: list[Finding] = []
    digests: dict[str, tuple[str, ...]] = {}
    for setting, read, instead in (
        (cm.SSL_DH_PARAM, _dh_param, "DHE ciphers stay out of use"),
        (cm.SSL_SESSION_TICKET_KEY, _ticket_keys, "keys made by NGINX are used"),
    ):
        try:
            found = read(settings, reader)
        except _Unusable as error:
            found = ()
            findings.append(about(settings, setting, "InvalidSecret", f"{error}; {instead}"))
        files += found
        digests[setting.name] = tuple(file.digest for file in found)
    parameters = digests[cm.SSL_DH_PARAM.name]
    return ClientTLS(
        parameters[0] if parameters else "", digests[cm.SSL_SESSION_TICKET_KEY.name], tuple(files), tuple(findings)
    )


def _dh_param(settings: GlobalSettings, reader: Reader) -> tuple[PemFile, ...]:
    reference = settings.get(cm.SSL_DH_PARAM)
    if reference is None:
        return ()
    secret = reader.secret(reference.namespace, reference.name)
    if secret is None:
        raise _Unusable(f"there is no Secret {reference}")
    if "dhparam.pem" not in secret.data:
        raise _Unusable(f"the Secret {reference} has no key dhparam.pem")
    block = _PARAMETERS.search(secret.data["dhparam.pem"])
    bits = _bits(block[1]) if block else 0
    if block is None or not bits:
        raise _Unusable(f"dhparam.pem of the Secret {reference} holds no PEM of DH parameters")
    if bits < LEAST_BITS:
        raise _Unusable(f"dhparam.pem of the Secret {reference} has {bits} bits, allowed: {LEAST_BITS} or more")
    return (pem_file(block[0].decode() + "\n"),)


def _bits(body: bytes) -> int:
    """The size of the prime in PKCS #3 parameters, a DER sequence that begins with it; 0 if it is no such thing."""
    try:
        text = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        return 0
    kind, length, start = _header(text, 0)
    if kind != _SEQUENCE or start + length != len(text):
        return 0
    kind, length, start = _header(text, start)
    return int.from_bytes(text[start : start + length]).bit_length() if kind == _INTEGER else 0


def _header(text: bytes, position: int) -> tuple[int, int, int]:
    """Kind and length of the DER value at a position, and where its content begins; zeros for none."""
    if position + 2 > len(text):
        return 0, 0, 0
    kind, length, start = text[position], text[position + 1], position + 2
    if length < _LONG:
        return kind, length, start
    end = start + length - _LONG
    return kind, int.from_bytes(text[start:end]), end


def _ticket_keys(settings: GlobalSettings, reader: Reader) -> tuple[PemFile, ...]:
    wanted = settings.get(cm.SSL_SESSION_TICKET_KEY)
    if wanted is None:
        return ()
    keys = wanted.keys
    if wanted.secret is not None:
        secret = reader.secret(wanted.secret.namespace, wanted.secret.name)
        if secret is None:
            raise _Unusable(f"there is no Secret {wanted.secret}")
        if CURRENT not in secret.data:
            raise _Unusable(f"the Secret {wanted.secret} has no key {CURRENT}")
        names = [CURRENT, *sorted(name for name in secret.data if name != CURRENT)]
        decoded = {name: decode_ticket_key(secret.data[name]) for name in names}
        if bad := [name for name, key in decoded.items() if key is None]:
            raise _Unusable(f"{', '.join(bad)} of the Secret {wanted.secret} is no key of 48 or 80 bytes")
        keys = tuple(key for key in decoded.values() if key is not None)
    return tuple(PemFile(hashlib.sha256(key).hexdigest()[:32], key) for key in dict.fromkeys(keys))
