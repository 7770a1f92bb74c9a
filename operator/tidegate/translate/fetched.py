"""What the control plane has fetched about a certificate, put where it belongs.

Issuers that its chain lacks, and an OCSP answer to staple. What is not there yet becomes a wish.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from msgspec.structs import replace

from tidegate.resources.changes import Wish
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings
from tidegate.translate.certificates import Bundle
from tidegate.translate.options import Options
from tidegate.translate.reader import Reader


class Completed(NamedTuple):
    """A bundle with what was fetched for it, and what is still to be fetched, or again."""

    bundle: Bundle
    wishes: tuple[Wish, ...]


def complete(bundle: Bundle, settings: GlobalSettings, options: Options, reader: Reader) -> Completed:
    """The bundle as it is shown to clients."""
    wishes: list[Wish] = []
    pair, fingerprint = bundle.pair, bundle.info.fingerprint
    if options.complete_chains and bundle.incomplete:
        wishes.append(Wish("issuers", fingerprint, pair.chain))
        if issuers := reader.fetched("issuers", fingerprint):
            pair = replace(pair, chain=pair.chain + issuers.data.decode())
    if settings.get(cm.ENABLE_OCSP) and bundle.responder:
        wishes.append(Wish("staple", fingerprint, pair.chain))
        if staple := reader.fetched("staple", fingerprint):
            pair = replace(pair, staple=base64.b64encode(staple.data).decode(), staple_until=staple.until)
    return Completed(replace(bundle, pair=pair), tuple(wishes))
