"""What a folder of manifests says as a whole: which file's object counts, since when, and which changes follow.

Plays the part of the API server: an invalid object keeps its last valid version, an object keeps its creation time,
generations are counted, the default IngressClass is filled in. No I/O and no clock; not thread-safe.
"""

from __future__ import annotations

import bisect
import uuid
from collections.abc import Iterable, Mapping

import msgspec

from tidegate.findings import Finding, ObjectKey, Severity
from tidegate.resources.changes import Change, SourceUpdate
from tidegate.resources.ingress import CLASS_ANNOTATION
from tidegate.resources.model import Ingress, IngressClass, Metadata, Resource
from tidegate.sources.entries import Entry, FileContent
from tidegate.sources.manifests import UNREADABLE

DUPLICATE = "DuplicateObject"
_UIDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://tidegate.dev/objects")
_KEPT = " (the last valid version stays in force)"
_KEPT_FILE = " (what the file said before stays in force)"


def uid_of(key: ObjectKey) -> str:
    """The UID of an object that has none of its own: the same in each run."""
    return str(uuid.uuid5(_UIDS, "/".join(key)))


class Folder:
    """Files go in with `put` and `remove`, changes come out of `settle`."""

    def __init__(
        self, *, ingress_class: str, controller_class: str, created_before: Mapping[ObjectKey, int] | None = None
    ) -> None:
        self._created_before = dict(created_before or {})
        self._files: dict[str, FileContent] = {}
        self._notices: dict[str, Finding] = {}
        self._defined: dict[ObjectKey, list[tuple[str, int]]] = {}
        self._since: dict[ObjectKey, int] = {}
        self._dirty: set[ObjectKey] = set()
        self._base: dict[ObjectKey, Resource] = {}
        self._published: dict[ObjectKey, Resource] = {}
        self._duplicates: dict[ObjectKey, Finding] = {}
        self._classless: set[ObjectKey] = set()
        self._classes: dict[str, IngressClass] = {}
        self._noted: set[str] = set()
        self._findings: tuple[Finding, ...] = ()
        self._findings_dirty = False
        key = ObjectKey("IngressClass", "", ingress_class)
        self._own_class = IngressClass(
            metadata=Metadata(name=ingress_class, uid=uid_of(key), generation=1),
            controller=controller_class,
            is_default=True,
        )
        self._own_class_there = False
        self._default_class: str | None = None

    def files(self) -> Iterable[str]:
        return self._files.keys()

    def has_objects(self, name: str) -> bool:
        return name in self._files and bool(self._files[name].entries)

    def put(self, name: str, content: FileContent, when: int) -> None:
        """The file `name` says `content` now; objects never seen before exist since `when` (epoch seconds)."""
        old = self._files.get(name)
        content = content if old is None else _merge(old, content)
        self._files[name] = content
        self._note(name, content, old)
        if old is not None and old.entries == content.entries:
            return
        if old is not None:
            self._forget(name, old)
        for index, entry in enumerate(content.entries):
            self._dirty.add(entry.key)
            if entry.key not in self._base:
                self._since.setdefault(entry.key, when)
            places = self._defined.get(entry.key)
            if places is None:
                self._defined[entry.key] = [(name, index)]
            else:
                bisect.insort(places, (name, index))

    def remove(self, name: str) -> None:
        old = self._files.pop(name, None)
        if old is not None:
            self._note(name, FileContent(), old)
            self._forget(name, old)

    def notice(self, subject: str, finding: Finding | None) -> None:
        """A finding about something else than a file's content; None takes it back."""
        if self._notices.get(subject) != finding:
            self._findings_dirty = True
            if finding is None:
                self._notices.pop(subject, None)
            else:
                self._notices[subject] = finding

    def keep_notices(self, prefix: str, subjects: set[str]) -> None:
        """Take back all notices whose subject begins with `prefix`, except `subjects`."""
        for subject in [s for s in self._notices if s.startswith(prefix) and s not in subjects]:
            self.notice(subject, None)

    def settle(self) -> SourceUpdate | None:
        """The changes since the last call, and all findings; None when there is nothing new."""
        changed: set[ObjectKey] = set()
        classes_changed = not self._own_class_there and not self._classes
        for key in self._dirty:
            self._rebase(key)
            changed.add(key)
            classes_changed = classes_changed or key.kind == "IngressClass"
        self._dirty.clear()
        self._since.clear()
        if classes_changed:
            changed |= self._choose_default_class()
        changes = []
        for key in sorted(changed):
            resource = self._effective(key)
            if resource != self._published.get(key):
                changes.append(Change(key, resource))
                if resource is None:
                    del self._published[key]
                else:
                    self._published[key] = resource
        news = self._refresh_findings()
        return SourceUpdate(tuple(changes), self._findings) if changes or news else None

    def forget_earlier_run(self) -> None:
        """The initial state is complete: an object that appears from now on is a new one."""
        self._created_before.clear()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._findings

    def _forget(self, name: str, content: FileContent) -> None:
        for key in {entry.key for entry in content.entries}:
            self._dirty.add(key)
            places = [place for place in self._defined[key] if place[0] != name]
            if places:
                self._defined[key] = places
            else:
                del self._defined[key]

    def _entry(self, place: tuple[str, int]) -> Entry:
        return self._files[place[0]].entries[place[1]]

    def _rebase(self, key: ObjectKey) -> None:
        """Which definition counts now: the first (in the order of paths) that has a valid version."""
        entries = [self._entry(place) for place in self._defined.get(key, ())]
        duplicate = _duplicate(key, entries) if len(entries) > 1 else None
        if self._duplicates.get(key) != duplicate:
            self._findings_dirty = True
            if duplicate is None:
                del self._duplicates[key]
            else:
                self._duplicates[key] = duplicate
        resource = next((entry.resource for entry in entries if entry.resource is not None), None)
        if resource is None:
            self._base.pop(key, None)
        else:
            self._base[key] = resource = self._stamped(key, resource)
        if isinstance(resource, Ingress) and resource.ingress_class_name is None:
            self._classless.add(key)
        else:
            self._classless.discard(key)
        if key.kind == "IngressClass":
            if isinstance(resource, IngressClass):
                self._classes[key.name] = resource
            else:
                self._classes.pop(key.name, None)

    def _stamped(self, key: ObjectKey, resource: Resource) -> Resource:
        """With creation time, UID and generation, as the API server would have given them."""
        metadata, prior = resource.metadata, self._base.get(key)
        if prior is None:
            created = metadata.created or self._created_before.get(key) or self._since.get(key, 0)
            generation = metadata.generation or 1
        else:
            created = metadata.created or prior.metadata.created
            generation = metadata.generation or prior.metadata.generation
            if not metadata.generation and _content(resource) != _content(prior):
                generation += 1
        uid = metadata.uid or (prior.metadata.uid if prior else "") or uid_of(key)
        metadata = msgspec.structs.replace(metadata, created=created, generation=generation, uid=uid)
        return msgspec.structs.replace(resource, metadata=metadata)

    def _choose_default_class(self) -> set[ObjectKey]:
        """Sees to the class of our own and the default one; the objects that this touches."""
        touched = {self._own_class.key}
        self._own_class_there = not self._classes
        defaults = [c for c in self._classes.values() if c.is_default] if self._classes else [self._own_class]
        newest = min(defaults, key=lambda c: (-c.metadata.created, c.metadata.name), default=None)
        name = newest.metadata.name if newest else None
        if name != self._default_class:
            self._default_class = name
            touched |= self._classless
        return touched

    def _effective(self, key: ObjectKey) -> Resource | None:
        resource = self._base.get(key)
        if resource is None:
            return self._own_class if self._own_class_there and key == self._own_class.key else None
        if (
            isinstance(resource, Ingress)
            and resource.ingress_class_name is None
            and self._default_class is not None
            and CLASS_ANNOTATION not in resource.metadata.annotations
        ):
            return msgspec.structs.replace(resource, ingress_class_name=self._default_class)
        return resource

    def _note(self, name: str, content: FileContent, old: FileContent | None) -> None:
        before = (old.findings, old.ignored) if old else ((), ())
        if before != (content.findings, content.ignored):
            self._findings_dirty = True
            if content.findings or content.ignored:
                self._noted.add(name)
            else:
                self._noted.discard(name)

    def _refresh_findings(self) -> bool:
        if not self._findings_dirty:
            return False
        self._findings_dirty = False
        files = [self._files[name] for name in sorted(self._noted)]
        found = [finding for file in files for finding in file.findings]
        found += self._duplicates.values()
        found += self._notices.values()
        found += _ignored([finding for file in files for finding in file.ignored])
        before, self._findings = self._findings, tuple(found)
        return before != self._findings


def _merge(old: FileContent, new: FileContent) -> FileContent:
    """What holds now: last valid versions stay where the new text or an object in it is unusable."""
    if not new.readable:
        findings = tuple(
            msgspec.structs.replace(f, message=f.message + _KEPT_FILE) if old.entries else f
            for f in new.findings
            if f.reason == UNREADABLE
        )
        kept = tuple(f for f in old.findings if f.reason != UNREADABLE)
        return FileContent(old.entries, findings + kept, old.ignored, False)
    invalid = {entry.key for entry in new.entries if entry.resource is None}
    if not invalid:
        return new
    valid = {entry.key: entry.resource for entry in reversed(old.entries) if entry.resource is not None}
    entries = tuple(
        Entry(entry.key, valid.get(entry.key), entry.place) if entry.resource is None else entry
        for entry in new.entries
    )
    kept_keys = invalid & valid.keys()
    findings = tuple(
        msgspec.structs.replace(f, message=f.message + _KEPT)
        if f.object in kept_keys and f.severity is Severity.ERROR
        else f
        for f in new.findings
    )
    return FileContent(entries, findings, new.ignored)


def _content(resource: Resource) -> Resource:
    """Spec and annotations: what a generation counts."""
    metadata = resource.metadata
    return msgspec.structs.replace(resource, metadata=Metadata(name="", annotations=metadata.annotations))


def _duplicate(key: ObjectKey, entries: list[Entry]) -> Finding:
    used = next((entry for entry in entries if entry.resource is not None), entries[0])
    others = [entry.place for entry in entries if entry is not used]
    message = f"defined more than once: {used.place} counts, {' and '.join(others[:5])} not"
    return Finding(key, "metadata.name", Severity.ERROR, DUPLICATE, message, others[0])


def _ignored(findings: list[Finding]) -> list[Finding]:
    """One finding for each kind, with the number of objects."""
    first: dict[str, Finding] = {}
    count: dict[str, int] = {}
    for finding in findings:
        first.setdefault(finding.message, finding)
        count[finding.message] = count.get(finding.message, 0) + 1
    return [
        finding
        if count[message] == 1
        else msgspec.structs.replace(
            finding, message=f"{message} ({count[message]} objects, the first: {finding.object.name})"
        )
        for message, finding in first.items()
    ]
