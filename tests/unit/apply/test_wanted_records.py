"""Which records wait, and in which order they may go."""

from __future__ import annotations

from tidegate.apply.loader import Refused
from tidegate.apply.records import Record
from tidegate.apply.wanted_records import WantedRecords


def route(name: str, *policies: str, value: bytes | None = b"{}", profile: str = "") -> Record:
    return Record(f"h:{name}", value, frozenset(policies), profile)


def backend(name: str, value: bytes | None = b"{}") -> Record:
    return Record(f"b:{name}", value)


def fits(record: Record) -> bool:
    """Workers that know no policy."""
    return not record.policies


def ready(records: WantedRecords, *settings_since: int) -> list[str]:
    return [record.key for record in records.ready(fits, settings_since)]


def test_endpoints_go_before_the_routes_that_use_them_and_are_dropped_after_them() -> None:
    records = WantedRecords()
    records.take([backend("old", None), route("old", value=None), route("new"), backend("new")], 1)
    assert ready(records) == ["b:new", "h:new", "h:old", "b:old"]


def test_a_route_waits_for_an_earlier_one_that_workers_cannot_serve_yet_while_endpoints_overtake() -> None:
    records = WantedRecords()
    records.take([route("first")], 1)
    records.take([route("blocked", "policy")], 2)
    records.take([route("later"), backend("new"), backend("gone", None)], 3)
    assert ready(records) == ["b:new", "h:first"]


def test_routes_wait_for_settings_of_an_earlier_revision() -> None:
    records = WantedRecords()
    records.take([route("before")], 1)
    records.take([route("after")], 3)
    assert ready(records, 2) == ["h:before"]


def test_a_record_keeps_the_revision_that_asked_first_for_a_change_of_its_key() -> None:
    records = WantedRecords()
    records.take([route("a", value=b"1")], 1)
    records.take([route("a", value=b"2")], 5)
    assert records.since == [1]
    assert [record.value for record in records.pending] == [b"2"]


def test_what_was_pushed_is_pending_no_longer_unless_something_else_is_wanted_by_now() -> None:
    records = WantedRecords()
    first, second = route("a", value=b"1"), route("a", value=b"2")
    records.take([first], 1)
    records.take([second], 2)
    records.pushed(first)
    assert list(records.pending) == [second]
    records.pushed(second)
    assert (list(records.pending), records.by_key) == ([], {"h:a": second})


def test_beside_a_data_plane_that_runs_only_what_differs_is_pending() -> None:
    records = WantedRecords()
    records.take([route("same", value=b"1"), route("other", value=b"1")], 1)
    values = {"h:same": b"1", "h:other": b"0", "h:gone": b"1", "q:kept": b"1"}
    assert records.compare(values, 4) == 2
    assert ready(records) == ["h:other", "h:gone"]
    assert records.since == [1, 4]


def test_what_is_wanted_while_nginx_comes_up_with_the_rest_stays_pending() -> None:
    records = WantedRecords()
    records.take([route("a"), route("b")], 1)
    started = dict(records.by_key)
    records.take([route("b", value=b"2"), route("a", value=None)], 2)
    records.loaded(started)
    assert ready(records) == ["h:b", "h:a"]


def test_what_needs_a_refused_policy_or_server_is_set_aside() -> None:
    records = WantedRecords()
    records.take([route("a", "bad"), route("c")], 1)
    records.take([route("b", profile="server")], 2)
    assert records.refuse(Refused(policies={"bad": "no"}, servers={"server": "no"})) == [1, 2]
    assert ready(records) == ["h:c"]
