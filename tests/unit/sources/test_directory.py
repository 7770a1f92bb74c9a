from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import watchfiles
import yaml
from tidegate.findings import Finding, ObjectKey
from tidegate.resources.changes import SourceUpdate
from tidegate.resources.model import ConfigMap, Resource
from tidegate.sources import directory, manifests, reader, tree
from tidegate.sources.directory import DirectorySource, MissingFolderError, load_once

LIMIT = 20.0


def config(name: str = "a", value: str = "1", **metadata: Any) -> str:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"value": value},
    }
    return yaml.safe_dump(manifest)


class Watcher:
    """Consumes a source; `state` and `findings` are what it has said so far."""

    def __init__(self, source: DirectorySource) -> None:
        self.source = source
        self.state: dict[ObjectKey, Resource] = {}
        self.findings: tuple[Finding, ...] = ()
        self.updates: list[SourceUpdate] = []
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watcher:
        self._task = asyncio.create_task(self._consume())
        await self.until(lambda: bool(self.updates))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _consume(self) -> None:
        updates = self.source.updates()
        assert isinstance(updates, AsyncGenerator)
        try:
            async for update in updates:
                self.updates.append(update)
                for change in update.changes:
                    if change.resource is None:
                        del self.state[change.key]
                    else:
                        assert self.state.get(change.key) != change.resource
                        self.state[change.key] = change.resource
                self.findings = update.findings
                self._moved.set()
        finally:
            await updates.aclose()

    async def until(self, condition: Callable[[], bool]) -> None:
        assert self._task is not None
        async with asyncio.timeout(LIMIT):
            while not condition():
                waiter = asyncio.create_task(self._moved.wait())
                await asyncio.wait({waiter, self._task}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                self._moved.clear()
                if self._task.done():
                    self._task.result()

    def value(self, name: str = "a") -> str | None:
        resource = self.state.get(ObjectKey("ConfigMap", "default", name))
        assert resource is None or isinstance(resource, ConfigMap)
        return resource.data["value"] if resource else None

    async def until_value(self, value: str | None, name: str = "a") -> None:
        await self.until(lambda: self.value(name) == value)


@pytest.fixture(autouse=True)
def events_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The regular look at everything comes too late to help: what tests see came from events."""
    monkeypatch.setattr(directory, "_RESCAN", 3600.0)


async def test_files_are_seen_when_they_come_change_and_go(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text(config())
    async with Watcher(DirectorySource(tmp_path)) as seen:
        assert seen.value() == "1"
        (tmp_path / "first.yaml").write_text(config(value="2"))
        await seen.until_value("2")
        (tmp_path / "more.yml").write_text(config("b"))
        (tmp_path / "more.json").write_text(
            '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"value": "1"}}'
        )
        await seen.until(lambda: seen.value("b") == seen.value("c") == "1")
        (tmp_path / "first.yaml").unlink()
        await seen.until_value(None)


async def test_a_folder_without_manifests_is_reported_until_it_has_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    async with Watcher(DirectorySource(tmp_path)) as seen:
        assert [finding.reason for finding in seen.findings] == ["NoManifests"]
        (tmp_path / "a.yaml").write_text(config())
        await seen.until(lambda: not seen.findings)
        (tmp_path / "a.yaml").unlink()
        await seen.until(lambda: [finding.reason for finding in seen.findings] == ["NoManifests"])


async def test_a_file_renamed_into_place_is_seen(tmp_path: Path) -> None:
    async with Watcher(DirectorySource(tmp_path)) as seen:
        (tmp_path / "a.yaml.tmp").write_text(config())
        (tmp_path / "a.yaml.tmp").rename(tmp_path / "a.yaml")
        await seen.until_value("1")
        (tmp_path / "a.yaml.tmp").write_text(config(value="2"))
        (tmp_path / "a.yaml.tmp").rename(tmp_path / "a.yaml")
        await seen.until_value("2")


async def test_folders_that_come_and_go_are_followed(tmp_path: Path) -> None:
    async with Watcher(DirectorySource(tmp_path)) as seen:
        deep = tmp_path / "x" / "y" / "z"
        deep.mkdir(parents=True)
        (deep / "a.yaml").write_text(config())
        await seen.until_value("1")
        (deep / "a.yaml").write_text(config(value="2"))
        await seen.until_value("2")
        (tmp_path / "x").rename(tmp_path / "w")
        (tmp_path / "w" / "b.yaml").write_text(config("b"))
        await seen.until(lambda: seen.value("b") == "1" and seen.value() == "2")
        shutil.rmtree(tmp_path / "w")
        await seen.until(lambda: seen.value() is None and seen.value("b") is None)


async def test_a_folder_moved_in_from_elsewhere_is_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "a.yaml").write_text(config())
    async with Watcher(DirectorySource(root)) as seen:
        outside.rename(root / "inside")
        await seen.until_value("1")
        (root / "inside" / "sub" / "a.yaml").write_text(config(value="2"))
        await seen.until_value("2")


async def test_a_half_written_file_keeps_its_objects_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config())
    async with Watcher(DirectorySource(tmp_path)) as seen:
        file.write_text("apiVersion: v1\nkind: [")
        await seen.until(lambda: bool(seen.findings))
        assert seen.value() == "1"
        assert [(f.reason, f.place) for f in seen.findings] == [("UnreadableFile", f"{file}:2:8")]
        file.write_text(config(value="2"))
        await seen.until_value("2")
        assert seen.findings == ()


async def test_a_file_that_is_empty_for_a_moment_does_not_lose_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "EMPTY_GRACE", LIMIT / 2)  # a moment, also on a slow machine
    file = tmp_path / "a.yaml"
    file.write_text(config())
    async with Watcher(DirectorySource(tmp_path)) as seen:
        file.write_text("")
        (tmp_path / "b.yaml").write_text(config("b"))
        await seen.until_value("1", "b")  # by now the empty file was looked at as well
        file.write_text(config(value="2"))
        await seen.until_value("2")
        assert not any(change.resource is None for update in seen.updates for change in update.changes)


async def test_a_file_that_stays_empty_loses_its_objects(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config())
    async with Watcher(DirectorySource(tmp_path)) as seen:
        (tmp_path / "a.yaml").write_text("")
        await seen.until_value(None)


@pytest.mark.parametrize(
    "name", [".a.yaml", "a.yaml.tmp", "a.yaml~", "#a.yaml#", ".a.yaml.swp", "a.txt", ".git/a.yaml"]
)
async def test_other_files_are_none_of_our_business(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(config())
    async with Watcher(DirectorySource(tmp_path)) as seen:
        assert seen.value() is None
        (tmp_path / name).write_text(config(value="2"))
        (tmp_path / "b.yaml").write_text(config("b"))
        await seen.until_value("1", "b")
        assert seen.value() is None


def mount(root: Path, version: str, files: dict[str, str]) -> None:
    """What the kubelet does to a mounted ConfigMap."""
    data = root / f"..{version}"
    for name, text in files.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(text)
    old = (root / "..data").resolve() if (root / "..data").exists() else None
    (root / "..data_tmp").symlink_to(data.name)
    (root / "..data_tmp").rename(root / "..data")
    for name in files:
        top = Path(name).parts[0]
        if not (root / top).is_symlink():
            (root / top).symlink_to(f"..data/{top}")
    if old is not None:
        shutil.rmtree(old)


async def test_a_mounted_config_map_is_read_once_under_its_visible_names(tmp_path: Path) -> None:
    mount(tmp_path, "v1", {"a.yaml": config(), "sub/b.yaml": config("b")})
    async with Watcher(DirectorySource(tmp_path)) as seen:
        assert (seen.value(), seen.value("b")) == ("1", "1")
        assert seen.findings == ()


async def test_the_swap_of_a_mounted_config_map_is_seen(tmp_path: Path) -> None:
    mount(tmp_path, "v1", {"a.yaml": config(), "sub/b.yaml": config("b")})
    async with Watcher(DirectorySource(tmp_path)) as seen:
        for version in ("2", "3", "4"):
            files = {"a.yaml": config(value=version), "sub/b.yaml": config("b", version)}
            mount(tmp_path, f"v{version}", files)
            await seen.until(lambda expected=version: seen.value() == seen.value("b") == expected)  # type: ignore[misc]
        assert not any(change.resource is None for update in seen.updates for change in update.changes)


async def test_one_object_in_two_files_is_a_finding_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config(value="a"))
    (tmp_path / "b.yaml").write_text(config(value="b"))
    async with Watcher(DirectorySource(tmp_path)) as seen:
        assert seen.value() == "a"
        (finding,) = seen.findings
        assert finding.reason == "DuplicateObject"
        assert str(tmp_path / "a.yaml") in finding.message
        assert str(tmp_path / "b.yaml") in finding.message
        (tmp_path / "a.yaml").unlink()
        await seen.until_value("b")
        assert seen.findings == ()


async def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a.yaml").write_text(config())
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "dangling.yaml").symlink_to("nowhere")
    async with Watcher(DirectorySource(root)) as seen:
        assert seen.value() == "1"
        assert seen.findings == ()


async def test_creation_times_come_from_the_file_first_and_from_the_clock_later(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(config())
    os.utime(file, (1000, 1000))
    remembered = {ObjectKey("ConfigMap", "default", "old"): 5}
    (tmp_path / "old.yaml").write_text(config("old"))
    async with Watcher(DirectorySource(tmp_path, clock=lambda: 2000.9, created_before=remembered)) as seen:
        file.write_text(config(value="2"))
        (tmp_path / "b.yaml").write_text(config("b"))
        await seen.until(lambda: seen.value() == "2" and seen.value("b") == "1")
        created = {key.name: r.metadata.created for key, r in seen.state.items() if key.kind == "ConfigMap"}
        assert created == {"a": 1000, "b": 2000, "old": 5}


async def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("nowhere", "does not exist"), ("file", "is not a folder")):
        with pytest.raises(MissingFolderError, match=what):
            await anext(DirectorySource(tmp_path / name).updates())


async def test_a_folder_that_is_lost_keeps_its_objects_and_is_picked_up_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_RESCAN", 0.2)
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.yaml").write_text(config())
    async with Watcher(DirectorySource(root)) as seen:
        root.rename(tmp_path / "elsewhere")
        await seen.until(lambda: [f.reason for f in seen.findings] == ["FolderMissing"])
        assert seen.value() == "1"
        root.mkdir()
        (root / "a.yaml").write_text(config(value="2"))
        await seen.until(lambda: seen.value() == "2" and seen.findings == ())
        monkeypatch.setattr(directory, "_RESCAN", 3600.0)
        (root / "a.yaml").write_text(config(value="3"))
        await seen.until_value("3")


async def test_changes_that_no_event_told_of_are_found_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_RESCAN", 0.05)
    root, outside = tmp_path / "root", tmp_path / "outside.yaml"
    root.mkdir()
    outside.write_text(config())
    (root / "a.yaml").symlink_to(outside)
    async with Watcher(DirectorySource(root)) as seen:
        outside.write_text(config(value="longer"))
        await seen.until_value("longer")
        outside.unlink()
        await seen.until_value(None)


async def test_a_watcher_that_fails_is_a_finding_and_changes_are_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> AsyncGenerator[set[Any], None]:
        raise OSError("no space left on device")
        yield set()

    monkeypatch.setattr(watchfiles, "awatch", broken)
    monkeypatch.setattr(directory, "_RESCAN_SOON", 0.02)
    async with Watcher(DirectorySource(tmp_path)) as seen:
        (tmp_path / "a.yaml").write_text(config())
        await seen.until_value("1")
        await seen.until(lambda: bool(seen.findings))
        assert [f.reason for f in seen.findings] == ["WatchFailed"]
        assert "no space left" in seen.findings[0].message


async def test_a_burst_of_many_files_arrives_completely(tmp_path: Path) -> None:
    async with Watcher(DirectorySource(tmp_path)) as seen:
        for i in range(1500):
            folder = tmp_path / f"f{i % 40}"
            folder.mkdir(exist_ok=True)
            (folder / f"{i}.yaml").write_text(config(f"c{i}"))
        await seen.until(lambda: all(seen.value(f"c{i}") for i in range(1500)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config())
    (tmp_path / "a.yaml").chmod(0)
    assert [f.reason for f in load_once(tmp_path).findings] == ["UnreadableFile"]


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    update = load_once(tmp_path)
    assert [change.key.kind for change in update.changes] == ["IngressClass"]


def test_a_file_that_is_too_large_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (manifests, reader, tree):
        monkeypatch.setattr(module, "MAX_BYTES", 1024 * 1024)
    (tmp_path / "a.yaml").write_text("#" * (1024 * 1024 + 1))
    (finding,) = load_once(tmp_path).findings
    assert finding.reason == "UnreadableFile"
    assert "1 MiB" in finding.message


def test_a_folder_or_one_file_can_be_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "a.yaml"
    file.write_text(config())
    os.utime(file, (1000, 1000))
    for path in (tmp_path, file):
        update = load_once(path, ingress_class="mine")
        found = {str(change.key): change.resource for change in update.changes}
        assert found.keys() == {"ConfigMap default/a", "IngressClass mine"}
        resource = found["ConfigMap default/a"]
        assert resource is not None
        assert resource.metadata.created == 1000
    with pytest.raises(MissingFolderError):
        load_once(tmp_path / "nowhere")


def test_names_that_are_no_text_are_shown_safely(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"b\xff\n.yaml")).write_text("a: [")
    (finding,) = load_once(tmp_path).findings
    assert finding.place.isprintable()
    finding.place.encode()
