"""Rate and connection limits: what one replica counts (reference: annotations 7).

Each replica counts by itself. Where the ConfigMap asks for it, each gets its share of a limit, rounded up; the replicas
are the ready endpoints of the controller's own Service.
"""

from __future__ import annotations

from tidegate.model import RateLimit
from tidegate.settings import annotations as ann
from tidegate.settings import configmap as cm
from tidegate.settings.resolve import GlobalSettings, IngressSettings
from tidegate.translate.options import Options
from tidegate.translate.reader import Reader

MOST_CONNECTIONS = 65535  # NGINX knows no higher limit


def replicas(settings: IngressSettings, globals_: GlobalSettings, options: Options, reader: Reader) -> int:
    """By how many the limits of an Ingress are divided; at least 1."""
    limits = (ann.LIMIT_RPS, ann.LIMIT_RPM, ann.LIMIT_CONNECTIONS)
    service = options.publish_service
    if service is None or not globals_.get(cm.LIMIT_DIVIDE_BY_REPLICAS) or all(settings.get(it) <= 0 for it in limits):
        return 1
    # a pod of two address families stands in two slices
    pods = {
        endpoint.target or endpoint.addresses[0]
        for item in reader.slices(service.namespace, service.name)
        for endpoint in item.endpoints
        if endpoint.ready is not False
    }
    return max(len(pods), 1)


def _share(whole: int, count: int) -> int:
    return -(-whole // count)


def _rate(rate: int, unit: str, count: int) -> tuple[int, str]:
    """NGINX knows whole numbers only: a share that is none per second is counted per minute."""
    if unit == "m" or rate % count == 0:
        return _share(rate, count), unit
    return _share(rate * 60, count), "m"


def rates(settings: IngressSettings, count: int) -> tuple[RateLimit, ...]:
    """The request rates of an Ingress for one of `count` replicas."""
    factor = settings.get(ann.LIMIT_BURST_MULTIPLIER)
    found = []
    for setting, unit in ((ann.LIMIT_RPS, "s"), (ann.LIMIT_RPM, "m")):
        whole = settings.get(setting)
        if whole > 0:
            rate, per = _rate(whole, unit, count)
            found.append(RateLimit(rate, "s" if per == "s" else "m", _share(max(whole * factor, 0), count)))
    return tuple(found)


def connections(settings: IngressSettings, count: int) -> int:
    """The open requests of one client for one of `count` replicas; 0: any number."""
    return min(_share(max(settings.get(ann.LIMIT_CONNECTIONS), 0), count), MOST_CONNECTIONS)
