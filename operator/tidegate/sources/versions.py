"""Which version of each object was seen last, so that what comes late or twice changes nothing.

Objects come by several ways (lists, watches, single reads) whose order is not that of the changes. Versions are those
of etcd: numbers that grow with each change of a kind (Kubernetes KEP 5504).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from tidegate.findings import ObjectKey

GRAVES = 20_000  # deleted objects that are remembered


class Versions:
    """See the module. Of deleted objects the last `GRAVES` are remembered."""

    def __init__(self) -> None:
        self._seen: dict[ObjectKey, int] = {}
        self._gone: OrderedDict[ObjectKey, int] = OrderedDict()

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._seen

    def of_kind(self, kind: str) -> Iterator[tuple[ObjectKey, int]]:
        return ((key, version) for key, version in self._seen.items() if key.kind == kind)

    def is_news(self, key: ObjectKey, version: int) -> bool:
        """Whether nothing as new was seen of this object, its deletion included."""
        return version > self._seen.get(key, -1) and version > self._gone.get(key, -1)

    def put(self, key: ObjectKey, version: int) -> bool:
        """Note a version; False when it is no news."""
        if not self.is_news(key, version):
            return False
        self._seen[key] = version
        self._gone.pop(key, None)
        return True

    def remove(self, key: ObjectKey, version: int) -> bool:
        """Note that the object was gone at this version; False when it is known to be there later, or to be gone."""
        if not self.is_news(key, version) and self._seen.get(key) != version:
            return False
        self._gone[key] = version
        self._gone.move_to_end(key)
        while len(self._gone) > GRAVES:
            self._gone.popitem(last=False)
        return self._seen.pop(key, None) is not None

    def forget(self, keys: Iterable[ObjectKey]) -> None:
        """These are no longer followed."""
        for key in keys:
            self._seen.pop(key, None)
            self._gone.pop(key, None)
