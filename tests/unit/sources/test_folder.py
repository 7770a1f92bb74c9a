from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tidegate.findings import ObjectKey, Severity
from tidegate.resources.changes import SourceUpdate
from tidegate.resources.model import Ingress, IngressClass, Resource
from tidegate.sources.directory import load_text
from tidegate.sources.entries import read_text
from tidegate.sources.folder import Folder


class Sim:
    """A folder with files written by hand; `state` is what a consumer knows."""

    def __init__(self, **kwargs: Any) -> None:
        self.folder = Folder(ingress_class="nginx", controller_class="k8s.io/ingress-nginx", **kwargs)
        self.state: dict[ObjectKey, Resource] = {}
        self.now = 100

    def write(self, name: str, *documents: Any) -> None:
        text = documents[0] if isinstance(documents[0], str) else yaml.safe_dump_all(documents)
        self.folder.put(name, read_text(text, name), self.now)

    def settle(self) -> SourceUpdate | None:
        update = self.folder.settle()
        for change in update.changes if update else ():
            assert self.state.get(change.key) != change.resource
            if change.resource is None:
                del self.state[change.key]
            else:
                assert change.resource.key == change.key
                self.state[change.key] = change.resource
        return update

    def ingress(self, name: str = "app") -> Ingress | None:
        self.settle()
        resource = self.state.get(ObjectKey("Ingress", "default", name))
        assert resource is None or isinstance(resource, Ingress)
        return resource

    def host(self, name: str = "app") -> str | None:
        resource = self.ingress(name)
        return resource.rules[0].host if resource else None

    def reasons(self) -> list[str]:
        self.settle()
        return [finding.reason for finding in self.folder.findings]


def ingress(host: str = "a.example", name: str = "app", class_name: str | None = None, **metadata: Any) -> Any:
    spec: dict[str, Any] = {"rules": [{"host": host}]}
    if class_name is not None:
        spec["ingressClassName"] = class_name
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def ingress_class(name: str, *, default: bool = False, created: str | None = None) -> Any:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name, "annotations": annotations, "creationTimestamp": created},
        "spec": {"controller": "a.io/b"},
    }


class TestFiles:
    def test_only_what_changed_is_reported(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress(), ingress(name="other"))
        first = sim.settle()
        assert first is not None
        assert len(first.changes) == 3  # with the class of our own
        sim.write("a.yaml", ingress(), ingress("b.example", name="other"))
        second = sim.settle()
        assert second is not None
        assert [change.key.name for change in second.changes] == ["other"]

    def test_the_same_content_again_is_no_update(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.write("a.yaml", "# a comment moves the lines\n" + yaml.safe_dump(ingress()))
        assert sim.settle() is None

    def test_an_object_goes_with_its_document_or_file(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress(), ingress(name="other"))
        sim.settle()
        sim.write("a.yaml", ingress())
        assert sim.ingress("other") is None
        sim.folder.remove("a.yaml")
        assert sim.ingress() is None

    def test_an_unreadable_file_keeps_its_last_good_objects(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.write("a.yaml", yaml.safe_dump(ingress("b.example")) + "---\nx: [\n")
        assert sim.host() == "a.example"
        (finding,) = sim.folder.findings
        assert finding.reason == "UnreadableFile"
        assert "stays in force" in finding.message
        sim.write("a.yaml", ingress("b.example"))
        assert sim.host() == "b.example"
        assert sim.reasons() == []

    def test_an_unreadable_file_seen_for_the_first_time_gives_its_readable_documents(self) -> None:
        sim = Sim()
        sim.write("a.yaml", yaml.safe_dump(ingress()) + "---\nx: [\n")
        assert sim.host() == "a.example"
        assert sim.reasons() == ["UnreadableFile"]

    def test_an_invalid_object_keeps_its_last_valid_version(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress(), ingress(name="other"))
        sim.settle()
        sim.write("a.yaml", ingress("NOT VALID"), ingress("b.example", name="other"))
        assert sim.host() == "a.example"
        assert sim.host("other") == "b.example"
        sim.write("a.yaml", ingress("STILL NOT"))
        assert sim.host() == "a.example"
        (finding,) = sim.folder.findings
        assert finding.reason == "Invalid"
        assert finding.place.startswith("a.yaml:")
        assert "stays in force" in finding.message
        sim.folder.remove("a.yaml")
        assert sim.ingress() is None
        assert sim.reasons() == []

    def test_an_object_that_was_never_valid_does_not_exist(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress("NOT VALID"))
        assert sim.ingress() is None
        assert sim.reasons() == ["Invalid"]

    def test_objects_of_other_kinds_are_counted_in_one_finding_per_kind(self) -> None:
        sim = Sim()
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
        sim.write("a.yaml", deployment, {**deployment, "metadata": {"name": "b"}})
        sim.write("b.yaml", {**deployment, "metadata": {"name": "c"}}, {"apiVersion": "v1", "kind": "Pod"})
        sim.settle()
        assert [(f.severity, f.reason) for f in sim.folder.findings] == [(Severity.INFO, "IgnoredKind")] * 2
        assert "3 objects" in sim.folder.findings[0].message
        sim.folder.remove("b.yaml")
        assert sim.reasons() == ["IgnoredKind"]
        assert "2 objects" in sim.folder.findings[0].message


class TestDuplicates:
    def test_the_file_that_sorts_first_wins_and_both_are_named(self) -> None:
        sim = Sim()
        sim.write("b.yaml", ingress("b.example"))
        assert sim.host() == "b.example"
        sim.write("a.yaml", ingress("a.example"))
        assert sim.host() == "a.example"
        (finding,) = sim.folder.findings
        assert (finding.severity, finding.reason) == (Severity.ERROR, "DuplicateObject")
        assert finding.object == ObjectKey("Ingress", "default", "app")
        assert "a.yaml:1" in finding.message
        assert "b.yaml:1" in finding.message

    def test_the_second_takes_over_when_the_first_goes(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress("a.example"))
        sim.settle()
        sim.now = 200
        sim.write("b.yaml", ingress("b.example"))
        sim.settle()
        sim.folder.remove("a.yaml")
        assert sim.host() == "b.example"
        assert sim.reasons() == []
        resource = sim.ingress()
        assert resource is not None
        assert resource.metadata.created == 100

    def test_an_invalid_first_definition_leaves_the_place_to_the_second(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress("NOT VALID"))
        sim.write("b.yaml", ingress("b.example"))
        assert sim.host() == "b.example"
        assert sorted(sim.reasons()) == ["DuplicateObject", "Invalid"]

    def test_twice_in_one_file_counts_too(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress("a.example"), ingress("b.example"))
        assert sim.host() == "a.example"
        assert sim.reasons() == ["DuplicateObject"]


class TestMetadata:
    def test_the_creation_time_is_when_the_object_appeared_and_stays(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.now = 200
        sim.write("a.yaml", ingress("b.example"), ingress(name="new"))
        old, new = sim.ingress(), sim.ingress("new")
        assert old is not None
        assert new is not None
        assert (old.metadata.created, new.metadata.created) == (100, 200)

    def test_an_object_that_moves_to_another_file_keeps_its_creation_time(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.now = 200
        sim.folder.remove("a.yaml")
        sim.write("b.yaml", ingress())
        assert sim.settle() is None

    def test_an_object_made_anew_is_new(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.folder.remove("a.yaml")
        sim.settle()
        sim.now = 200
        sim.write("a.yaml", ingress())
        resource = sim.ingress()
        assert resource is not None
        assert resource.metadata.created == 200

    def test_times_of_an_earlier_run_win_but_only_in_the_initial_state(self) -> None:
        key = ObjectKey("Ingress", "default", "app")
        sim = Sim(created_before={key: 50, ObjectKey("Ingress", "default", "late"): 50})
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.folder.forget_earlier_run()
        sim.write("b.yaml", ingress(name="late"))
        first, late = sim.ingress(), sim.ingress("late")
        assert first is not None
        assert late is not None
        assert (first.metadata.created, late.metadata.created) == (50, 100)

    def test_times_and_uids_that_are_written_win(self) -> None:
        sim = Sim(created_before={ObjectKey("Ingress", "default", "app"): 50})
        sim.write("a.yaml", ingress(creationTimestamp="1970-01-01T00:00:09Z", uid="own", generation=7))
        resource = sim.ingress()
        assert resource is not None
        metadata = resource.metadata
        assert (metadata.created, metadata.uid, metadata.generation) == (9, "own", 7)

    def test_a_uid_is_the_same_in_each_run(self) -> None:
        uids = set()
        for _ in range(2):
            sim = Sim()
            sim.write("a.yaml", ingress())
            resource = sim.ingress()
            assert resource is not None
            uids.add(resource.metadata.uid)
        assert len(uids) == 1
        assert len(uids.pop()) == 36

    def test_generations_count_changes_of_spec_and_annotations_only(self) -> None:
        sim = Sim()
        generations = []
        for document in [
            ingress(),
            ingress(labels={"a": "b"}),
            ingress("b.example"),
            ingress("b.example"),
            ingress("b.example", annotations={"a": "b"}),
            ingress("NOT VALID"),
            ingress(),
        ]:
            sim.write("a.yaml", document)
            resource = sim.ingress()
            assert resource is not None
            generations.append(resource.metadata.generation)
        assert generations == [1, 1, 2, 2, 3, 3, 4]


class TestDefaultClass:
    OWN = ObjectKey("IngressClass", "", "nginx")

    def class_of(self, sim: Sim) -> str | None:
        resource = sim.ingress()
        assert resource is not None
        return resource.ingress_class_name

    def test_without_a_class_in_the_folder_ours_exists_and_is_the_default(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        assert self.class_of(sim) == "nginx"
        own = sim.state[self.OWN]
        assert isinstance(own, IngressClass)
        assert (own.controller, own.is_default) == ("k8s.io/ingress-nginx", True)

    def test_it_goes_when_the_folder_has_a_class_and_comes_back_after_it(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.write("class.yaml", ingress_class("other"))
        assert self.class_of(sim) is None
        assert self.OWN not in sim.state
        sim.write("class.yaml", ingress_class("other", default=True))
        assert self.class_of(sim) == "other"
        sim.folder.remove("class.yaml")
        assert self.class_of(sim) == "nginx"
        assert self.OWN in sim.state

    def test_a_class_of_the_same_name_in_the_folder_replaces_ours(self) -> None:
        sim = Sim()
        sim.settle()
        sim.write("class.yaml", ingress_class("nginx"))
        sim.write("a.yaml", ingress())
        assert self.class_of(sim) is None
        own = sim.state[self.OWN]
        assert isinstance(own, IngressClass)
        assert own.controller == "a.io/b"

    def test_the_newest_of_several_defaults_is_filled_in(self) -> None:
        sim = Sim()
        sim.write(
            "class.yaml",
            ingress_class("old", default=True, created="2020-01-01T00:00:00Z"),
            ingress_class("new-b", default=True, created="2021-01-01T00:00:00Z"),
            ingress_class("new-a", default=True, created="2021-01-01T00:00:00Z"),
            ingress_class("none"),
        )
        sim.write("a.yaml", ingress())
        assert self.class_of(sim) == "new-a"

    @pytest.mark.parametrize("value", ["nginx", "other", ""])
    def test_an_ingress_with_the_class_annotation_is_left_alone(self, value: str) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress(annotations={"kubernetes.io/ingress.class": value}))
        assert self.class_of(sim) is None

    def test_an_ingress_with_a_class_keeps_it(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress(class_name="other"))
        assert self.class_of(sim) == "other"

    def test_filling_in_is_no_new_generation(self) -> None:
        sim = Sim()
        sim.write("a.yaml", ingress())
        sim.settle()
        sim.write("class.yaml", ingress_class("other", default=True))
        resource = sim.ingress()
        assert resource is not None
        assert resource.metadata.generation == 1


_documents = st.sampled_from(
    [
        ingress(),
        ingress("b.example"),
        ingress(name="other"),
        ingress(class_name="x"),
        ingress_class("one"),
        ingress_class("two", default=True),
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
    ]
)
_steps = st.lists(
    st.tuples(
        st.sampled_from(["a.yaml", "b.yaml", "c/d.yaml"]), st.none() | st.lists(_documents, min_size=1), st.booleans()
    )
)


@settings(deadline=None)
@given(_steps)
def test_changes_one_by_one_lead_to_the_same_state_as_a_fresh_look(steps: list[tuple[str, Any, bool]]) -> None:
    sim = Sim()
    files: dict[str, Any] = {}
    for name, documents, settle in steps:
        if documents is None:
            sim.folder.remove(name)
            files.pop(name, None)
        else:
            sim.write(name, *documents)
            files[name] = documents
        if settle:
            sim.settle()
    sim.settle()
    fresh = Sim()
    for name, documents in files.items():
        fresh.write(name, *documents)
    fresh.settle()
    assert {k: content(r) for k, r in sim.state.items()} == {k: content(r) for k, r in fresh.state.items()}
    assert set(sim.folder.findings) == set(fresh.folder.findings)


def content(resource: Resource) -> Resource:
    metadata = msgspec.structs.replace(resource.metadata, generation=0, created=0)
    return msgspec.structs.replace(resource, metadata=metadata)


def test_text_from_elsewhere_is_loaded_like_a_file() -> None:
    update = load_text(yaml.safe_dump_all([ingress(), {"kind": "x"}]), created=5)
    assert {change.key.kind for change in update.changes} == {"Ingress", "IngressClass"}
    (finding,) = update.findings
    assert finding.place == "<stdin>:9:1"
