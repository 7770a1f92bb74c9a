"""Every hostile text for every row of the registry in front of one real NGINX: nobody else notices, no answer and no
request to a backend has a line that a text made up, and what should protect something never opens."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
import rows
from rows import ANNOTATION_CASES, KEY_CASES, Case
from served import Answer, Up, Visitor, until, up
from shape import BAD_LOG, check_words
from tidegate.settings.registry import ANNOTATIONS
from tidegate.settings.setting import OnInvalid
from tidegate.settings.types import NOTHING

sys.path.append(str(Path(__file__).parents[1] / "golden"))
from made_certificates import make

CODE = ("-snippet",)  # rows whose values are configuration by purpose
ROUNDS = 12  # settings of the ConfigMap, each of them a reload
REFUSALS = (403, 404, 500, 503)
ALLOWED = {"allow-snippet-annotations": "true", "annotations-risk-level": "Critical"}
COUNT = itertools.count()
# Keys whose texts concern every client: the corpus would turn all of them away, or log in nobody.
FOR_EVERYBODY = ("block-user-agents", "block-referers", "global-auth-url", "annotation-value-word-blocklist")
FILES = ("access-log-path", "http-access-log-path", "stream-access-log-path", "error-log-path")  # which cannot be made
CONTROLS = {"/": 200, "/login": 401, "/list": 403}


def peer() -> rows.Manifest:
    """The Secret that TLS to backends and of clients refers to."""
    chain, key = make("peer.hostile.test")
    data = {"tls.crt": chain, "tls.key": key, "ca.crt": chain}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "peer", "namespace": "hostile"},
        "stringData": data,
    }


@pytest.fixture(scope="module")
def served() -> Iterator[Up]:
    with up() as one:
        one.put("0-peer.json", json.dumps(peer()))
        one.settle()
        yield one


class Client:
    """Asks one host after the other on a connection that is kept."""

    def __init__(self, served: Up) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)

    def ask(self, host: str) -> Answer:
        try:
            return self._ask(host)
        except (http.client.RemoteDisconnected, ConnectionResetError):  # a worker that ends closes what is idle
            self._connection.close()
            return self._ask(host)

    def _ask(self, host: str) -> Answer:
        self._connection.request("GET", "/", headers={"Host": host})
        answer = self._connection.getresponse()
        return Answer(answer.status, tuple(answer.getheaders()), answer.read(), 0.0)


def check_lines(answer: Answer, what: str) -> None:
    """No line of a text has become a header, of the answer or of the request to the backend, nor an answer."""
    assert not [name for name, _ in answer.headers if "inject" in name.lower()], (what, answer)
    assert answer.body.strip() != b"inject", (what, answer)
    if answer.status == 200 and answer.body.startswith(b"[["):
        names = [name.lower() for name, _ in json.loads(answer.body)]
        assert not [name for name in names if "inject" in name], (what, names)


def must_refuse(case: Case) -> bool:
    """Whether nobody without credentials may get in: the text is no value, or it merely says how one is let in."""
    if not case.setting.security:
        return False
    if case.name == "satisfy" or (case.name.startswith("auth-") and not case.name.startswith("auth-tls")):
        return True
    return case.problem is not None and case.setting.outcome(case.problem) in (OnInvalid.DENY, OnInvalid.REJECT)


def check_health(served: Up, visitor: Visitor) -> None:
    check_words(served.run / "conf/nginx.conf")
    log = served.errors()
    assert not BAD_LOG.search(log), [line for line in log.splitlines() if BAD_LOG.search(line)][:5]
    assert "Traceback" not in served.output(), served.output()[-3000:]
    assert not visitor.wrong, visitor.wrong[:5]
    assert visitor.requests > 0


def refused_by_nginx(served: Up) -> list[str]:
    return [f"{row['object']} {row['message']}" for row in served.findings() if "NGINX says" in row["message"]]


def put(served: Up, cases: Sequence[Case]) -> dict[str, Case]:
    """An Ingress for each case; the cases by host."""
    items, hosts = [], {}
    for number, case in enumerate(cases):
        item = rows.ingress_of(case, number)
        host = item["spec"]["rules"][0]["host"]
        hosts[host] = case
        if case.name.startswith("canary"):
            items.append(rows.manifest(f"of-{item['metadata']['name']}", host, {}))
        items.append(item)
    served.put("rows.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    until(lambda: {row["host"] for row in served.admin("/api/v1/routes")} >= {min(hosts)}, "the rows")
    served.settle()
    return hosts


def ask_all(served: Up, hosts: dict[str, Case]) -> int:
    """How many were answered by the backend."""
    client, good = Client(served), 0
    for host, case in hosts.items():
        if case.name.startswith("fastcgi-"):
            continue  # nobody speaks that here, and what does not speak it says nothing at all
        answer = client.ask(host)
        check_lines(answer, case.id)
        if must_refuse(case):
            assert answer.status in (401, *REFUSALS), (case.id, answer)
        if case.closes:
            # client certificates close with the status of a client that has none
            assert answer.status == (403 if case.name.startswith("auth-tls") else 503), (case.id, answer)
        good += answer.status == 200
    return good


def texts(names: Iterable[str]) -> list[Case]:
    """Cases of annotations: what is a value, some of what concerns a guard, a few of what only falls back.

    All of them are read in `test_every_setting`; here no more than a slow machine serves within a minute.
    """
    found = []
    for number, name in enumerate(names):
        cases = [case for case in ANNOTATION_CASES[name] if _is_text(case.text)]
        bad = [case for case in cases if case.problem is not None]
        step = 3 if bad and bad[0].setting.security else 8
        found += [case for case in cases if case.problem is None] + bad[number % step :: step]
    return found


def _is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def test_every_hostile_annotation_at_once_touches_nobody_else(served: Up, visitor: Visitor) -> None:
    """Among them each row with a value that is fine: so what it needs to take effect is there."""
    names = [name for name in ANNOTATION_CASES if not name.endswith(CODE)]
    fine = [Case(name, ANNOTATIONS[name], "a value", rows.sample(ANNOTATIONS[name]), None) for name in names]
    hosts = put(served, [*fine, *texts(names)])
    assert refused_by_nginx(served) == []
    assert ask_all(served, hosts) > 300
    check_health(served, visitor)


def test_snippets_that_are_no_configuration_are_refused_alone(served: Up, visitor: Visitor) -> None:
    served.put("config.json", json.dumps(rows.configmap(ALLOWED)))
    names = [name for name in ANNOTATION_CASES if name.endswith(CODE) and name != "modsecurity-snippet"]
    hosts = put(served, [case for case in texts(names) if case.problem is not None or case.what == "a comment"])
    ask_all(served, hosts)
    check_health(served, visitor)
    served.remove("rows.json")
    served.remove("config.json")
    served.settle()


def controls(served: Up) -> dict[str, int]:
    found = {}
    for path in CONTROLS:
        answer = served.ask("innocent.test", path)
        check_lines(answer, path)
        found[path] = answer.status
    return found


def set_keys(served: Up, data: dict[str, str]) -> None:
    """Returns when each key was read, and what it says is in force."""
    mark = f"no-key-{next(COUNT)}"  # which is told
    served.put("config.json", json.dumps(rows.configmap({**data, mark: "x"})))
    until(lambda: any(row["field"] == f"data[{mark}]" for row in served.findings()), "the settings are read")
    served.settle()


def without_effect(case: Case) -> bool:
    """Whether the text leaves its row as if it had not been set."""
    problem, setting = case.problem, case.setting
    return (
        problem is not None
        and problem.usable is NOTHING
        and setting.fallback is None
        and setting.outcome(problem) is OnInvalid.DEFAULT
    )


def test_hostile_settings_that_are_no_values_change_nothing(served: Up, visitor: Visitor) -> None:
    set_keys(served, {})
    reloads = served.admin("/api/v1/status")["reloads"]
    for number in range(3):
        data = {}
        for name, cases in KEY_CASES.items():
            bad = [case.text for case in cases if without_effect(case) and _is_text(case.text)]
            if bad:
                data[name] = bad[number * len(bad) // 3]
        assert len(data) > 100
        set_keys(served, data)
        assert {row["field"] for row in served.findings()} >= {f"data[{name}]" for name in data}
        assert controls(served) == CONTROLS
    assert served.admin("/api/v1/status")["reloads"] == reloads
    check_health(served, visitor)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_hostile_settings_that_are_values_are_taken_as_such(served: Up, visitor: Visitor, number: int) -> None:
    data = {}
    for name, cases in KEY_CASES.items():
        taken = [case.text for case in cases if case.problem is None and _is_text(case.text)]
        if taken and not name.endswith(CODE) and name not in (*FOR_EVERYBODY, *FILES):
            data[name] = taken[number * max(1, len(taken) // ROUNDS) % len(taken)]
    set_keys(served, data)
    assert refused_by_nginx(served) == []
    assert controls(served) == CONTROLS
    check_health(served, visitor)


def test_a_broken_key_that_protects_lets_nobody_in(served: Up) -> None:
    """Without a visitor: nobody is served, and that is right."""
    for name, cases in KEY_CASES.items():
        case = next((case for case in cases if case.closes and _is_text(case.text)), None)
        if case is None:
            continue
        set_keys(served, {name: case.text})
        found = controls(served)
        assert found["/"] == 503, case.id  # the others have settings of their own
        assert all(status in (401, 403, 503) for status in found.values()), case.id
    set_keys(served, {})
    assert controls(served) == CONTROLS
