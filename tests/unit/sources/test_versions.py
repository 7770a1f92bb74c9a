"""What comes late or twice changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tidegate.findings import ObjectKey
from tidegate.sources.versions import Versions

KEY = ObjectKey("Ingress", "default", "web")


def test_a_version_counts_once_and_only_forwards() -> None:
    versions = Versions()
    assert versions.put(KEY, 5)
    assert not versions.put(KEY, 5)
    assert not versions.put(KEY, 4)
    assert versions.put(KEY, 6)


def test_what_is_deleted_does_not_come_back_by_an_older_message() -> None:
    versions = Versions()
    versions.put(KEY, 5)
    assert versions.remove(KEY, 7)
    assert not versions.put(KEY, 6)
    assert versions.put(KEY, 8)


def test_a_deletion_of_an_older_object_does_not_remove_its_successor() -> None:
    versions = Versions()
    versions.put(KEY, 9)
    assert not versions.remove(KEY, 7)
    assert KEY in versions


def test_what_is_forgotten_is_news_again() -> None:
    versions = Versions()
    versions.put(KEY, 9)
    versions.forget([KEY])
    assert versions.put(KEY, 9)


@given(st.permutations(range(8)), st.integers(0, 7))
def test_whatever_the_order_of_the_messages_the_newest_one_decides(order: list[int], deleted: int) -> None:
    """Version `deleted` is a deletion, all others are states of the object."""
    versions, there = Versions(), None
    for version in order:
        if version == deleted:
            if versions.remove(KEY, version):
                there = None
        elif versions.put(KEY, version):
            there = version
    assert there == (None if deleted == 7 else 7)
