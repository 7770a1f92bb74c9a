"""Which records are wanted, and which of them the data plane does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from tidegate.apply.loader import Refused
from tidegate.apply.records import Record, in_order


class _Pending(msgspec.Struct, frozen=True):
    """A record to be pushed; the revisions that asked first for a change of its key, and that it comes from."""

    record: Record
    first: int
    latest: int


class WantedRecords:
    """`by_key` are all that are wanted, also those that are there."""

    def __init__(self) -> None:
        self.by_key: dict[str, Record] = {}
        self._pending: dict[str, _Pending] = {}

    def take(self, records: Iterable[Record], revision: int) -> None:
        """From now on these are wanted; one without a value is to be dropped."""
        for record in records:
            former = self._pending.get(record.key)
            self._pending[record.key] = _Pending(record, former.first if former else revision, revision)
            if record.value is None:
                self.by_key.pop(record.key, None)
            else:
                self.by_key[record.key] = record

    def compare(self, values: Mapping[str, bytes], revision: int) -> int:
        """What differs from these values of the data plane is to be pushed; how many records that are."""
        differing = [record for key, record in self.by_key.items() if values.get(key) != record.value]
        differing += [Record(key, None) for key in values if key not in self.by_key and not key.startswith("q:")]
        former = self._pending
        self._pending = {
            record.key: _Pending(record, former[record.key].first if record.key in former else revision, revision)
            for record in differing
        }
        return len(differing)

    def loaded(self, records: Mapping[str, Record]) -> None:
        """The data plane was started with just these records."""
        self._pending = {
            key: item for key, item in self._pending.items() if self.by_key.get(key) is not records.get(key)
        }

    def pushed(self, record: Record) -> None:
        """The data plane has this record; another of its key may be wanted by now."""
        item = self._pending.get(record.key)
        if item is not None and item.record is record:
            del self._pending[record.key]

    def refuse(self, refused: Refused) -> list[int]:
        """Set aside what needs something that NGINX does not take; the revisions since which it was wanted."""
        held = []
        for key, item in list(self._pending.items()):
            if item.record.policies & refused.policies.keys() or item.record.profile in refused.servers:
                held.append(item.first)
                del self._pending[key]
        return held

    @property
    def pending(self) -> Iterator[Record]:
        """Those to be pushed."""
        return (item.record for item in self._pending.values())

    @property
    def since(self) -> list[int]:
        """The revisions since which records wait."""
        return [item.first for item in self._pending.values()]

    def ready(self, fits: Callable[[Record], bool], settings_since: Iterable[int]) -> list[Record]:
        """Those that may be pushed now, in the order that breaks nothing.

        `fits` tells whether running workers can serve by a record, `settings_since` are the revisions whose settings
        they lack.
        """
        waiting = [item.latest for item in self._pending.values() if not fits(item.record)]
        first_blocked = min([*waiting, *settings_since], default=None)
        return in_order(item.record for item in self._pending.values() if _may_go(item, first_blocked))


def _may_go(item: _Pending, first_blocked: int | None) -> bool:
    """Routes keep their order: who sees a change sees all earlier ones. Endpoints and certificates overtake."""
    if first_blocked is None:
        return True
    if item.record.key.startswith("h:"):
        return item.latest < first_blocked
    return item.record.value is not None
