"""`make mutation`: each setting is ignored in turn, and a test on a real NGINX has to notice.

A hook in the program under test ignores it (`ignoring/sitecustomize.py`). The tests that mention it are run until one
fails. Conformance cases come first, many side by side in one controller, each with a setting of its own ignored;
data-plane tests follow for what is left. What noticed is then run once more with nothing ignored: a test that fails
there as well proves nothing, and the next one is asked.

Results are kept in `.cache/mutation/results.json`: a run that was interrupted goes on where it ended, and asks again
about what survived. Exit status 1: a setting can be ignored and `unseen.yaml` has no reason for it, or it has one in
vain.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from mentions import CASES, GROUPS, Candidate, Mentions, all_settings, load, mark
from test_conformance import missing_nginx, run_cases
from tidegate.settings.registry import ANNOTATIONS, CONFIGMAP_KEYS
from tidegate.settings.setting import Support

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
CACHE = PROJECT / ".cache" / "mutation"
RESULTS = CACHE / "results.json"
UNSEEN = HERE / "unseen.yaml"
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", re.MULTILINE)
FEW, MANY = 4, 25  # cases that are asked about a setting before data-plane tests are, and in all
WAVE = 40  # cases in one run
ROUND = 6  # data-plane tests in one run
MOST = 30  # of them, in all
SECONDS = 900  # for one run of them


@dataclass
class Result:
    """What became of one setting: which test noticed and how, and whether that test passes with nothing ignored."""

    test: str = ""
    message: str = ""
    trusted: bool = False
    tried: list[str] = field(default_factory=list)

    @property
    def noticed(self) -> bool:
        return bool(self.test)


def without_effect() -> int:
    """How many names are accepted and do nothing, as in the retired controller."""
    return sum(one.support is Support.DEAD for known in (ANNOTATIONS, CONFIGMAP_KEYS) for one in known.values())


def unseen() -> dict[str, str]:
    """Settings that no test can see, with the reason."""
    return yaml.safe_load(UNSEEN.read_text()) or {}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


# -- running tests -----------------------------------------------------------------------------------------------------


def hooked(ignored: str = "") -> dict[str, str]:
    """The environment of programs that ignore what an object names, and a setting in all objects."""
    path = [str(HERE / "ignoring"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "TIDEGATE_TEST_IGNORED": ignored, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def failing_cases(group: str, ignored: dict[str, str]) -> dict[str, str]:
    """Runs cases of a group, each with its own setting ignored (empty: none): case -> why it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, setting in ignored.items():
            (folder / case).parent.mkdir(exist_ok=True)
            text = yaml.safe_dump(mark(load(case), setting)) if setting else (CASES / f"{case}.yaml").read_text()
            (folder / f"{case}.yaml").write_text(text)
        ended = run_group(group, list(ignored), folder)
    return {case: row["message"] for case, row in ended.items() if row["result"] == "fail"}


def run_group(group: str, cases: list[str], folder: Path) -> dict[str, dict[str, str]]:
    """Runs cases in a folder; once more if the controller could not be started or did not live."""
    if GROUPS[group].newer and (reason := missing_nginx()):
        say(f"left out: cases of the group {group}, as there is no such NGINX: {reason}")
        return {}
    for last in (False, True):
        try:
            return run_cases(GROUPS[group], cases, cases=folder, results=CACHE, env=hooked())
        except RuntimeError as error:
            if last:
                raise
            say(f"again: {error}")
    raise AssertionError


def failing_tests(tests: list[str], ignored: str = "", *, all_: bool = False) -> dict[str, str]:
    """Runs tests of pytest with settings ignored, until one fails; or all of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rfE"]
    command += [*([] if all_ else ["-x"]), *tests]
    with subprocess.Popen(
        command, cwd=PROJECT, env=hooked(ignored), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as pytest:
        try:
            said, _ = pytest.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            pytest.send_signal(signal.SIGINT)  # so that the tests stop what they started
            said, _ = pytest.communicate()
    if pytest.returncode not in (0, 1):
        raise RuntimeError(f"could not run {' '.join(tests)} with {ignored or 'nothing'} ignored:\n{said[-2000:]}")
    reasons = [line for line in said.splitlines() if line.startswith(("E ", "/"))]
    return dict.fromkeys(FAILED.findall(said), reasons[-1] if reasons else "")


# -- the run -----------------------------------------------------------------------------------------------------------


class Run:
    """The settings that were asked for, and what became of them so far."""

    def __init__(self, settings: list[str], *, fresh: bool) -> None:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        self.results = {name: Result(**row) for name, row in kept.items() if not (fresh and name in settings)}
        for setting in settings:
            result = self.results.setdefault(setting, Result())
            if not result.noticed:
                result.tried.clear()
        self.settings = settings
        self.mentions = Mentions(all_settings())

    def go(self) -> None:
        """Asks until each setting has survived all its tests, or is noticed by one that can be trusted."""
        while True:
            self._ask_cases(FEW)
            self._ask_together()
            for setting in self._open():
                self._ask_tests(setting)
            self._ask_cases(MANY)
            if not self._distrust():
                return

    def _open(self) -> list[str]:
        return [one for one in self.settings if not self.results[one].noticed]

    def _untried(self, setting: str, *, cases: bool) -> list[Candidate]:
        tried = self.results[setting].tried
        return [one for one in self.mentions.of(setting) if one.test not in tried and bool(one.group) is cases]

    def _ask_together(self) -> None:
        """Runs data-plane tests, many at once: each is to miss a setting that it names, and names no other such one."""
        while chosen := self._batch():
            say(f"{len(chosen)} data-plane tests")
            failed = failing_tests(list(chosen), ",".join(chosen.values()), all_=True)
            for test, setting in chosen.items():
                hits = {found: why for found, why in failed.items() if found == test or found.startswith(f"{test}[")}
                self._take(setting, [test], hits)

    def _batch(self) -> dict[str, str]:
        """Tests, each with the setting that it is to miss."""
        chosen: dict[str, str] = {}
        named: set[str] = set()
        for setting in self._open():
            for one in self._untried(setting, cases=False):
                mentions = self.mentions.named[one.test]
                fits = setting not in named and not mentions & set(chosen.values())
                if one.distance == 0 and fits and len(chosen) < WAVE:
                    chosen[one.test] = setting
                    named |= mentions
                    break
        return chosen

    def _ask_cases(self, most: int) -> None:
        """Runs cases in waves, in each of them one for each open setting that has more to ask."""
        while True:
            wave: dict[str, dict[str, str]] = {}  # by group: case -> the setting that it is to miss
            for setting in self._open():
                left = self._untried(setting, cases=True)
                asked = len([one for one in self.results[setting].tried if "::" not in one])
                # A case is named after its host, so it can be there only once at a time.
                free = [one for one in left if one.test not in wave.get(one.group, {})]
                if free and asked < most and len(wave.get(free[0].group, {})) < WAVE:
                    wave.setdefault(free[0].group, {})[free[0].test] = setting
            if not wave:
                return
            for group, ignored in wave.items():
                say(f"{len(ignored)} cases of the group {group}")
                failed = failing_cases(group, ignored)
                for case, setting in ignored.items():
                    self._take(setting, [case], {case: failed[case]} if case in failed else {})

    def _ask_tests(self, setting: str) -> None:
        """Runs data-plane tests of one setting until one notices."""
        left = [one.test for one in self._untried(setting, cases=False)][:MOST]
        while left and not self.results[setting].noticed:
            tests, left = left[:ROUND], left[ROUND:]
            self._take(setting, tests, failing_tests(tests, setting))
        if not self.results[setting].noticed:
            say(f"{setting}: none of {len(self.results[setting].tried)} tests notices")

    def _take(self, setting: str, tried: list[str], failed: dict[str, str]) -> None:
        result = self.results[setting]
        result.tried += tried
        for test, message in failed.items():
            result.test, result.message = test, message
            say(f"{setting}: noticed by {test}")
            break
        self._keep()

    def _distrust(self) -> list[str]:
        """Runs what noticed with nothing ignored; the settings whose test fails then, too."""
        due = [one for one in self.settings if self.results[one].noticed and not self.results[one].trusted]
        tests = {self.results[one].test for one in due}
        say(f"{len(tests)} tests that noticed, with nothing ignored")
        bad = failing_untouched(tests)
        again = [one for one in due if self.results[one].test in bad]
        for setting in due:
            result = self.results[setting]
            if setting in again:
                say(f"{setting}: {result.test} fails with nothing ignored as well: {bad[result.test]}")
                result.test = result.message = ""
            else:
                result.trusted = True
        self._keep()
        return again

    def _keep(self) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        new = RESULTS.with_suffix(".new")
        new.write_text(json.dumps({name: asdict(result) for name, result in sorted(self.results.items())}, indent=1))
        new.rename(RESULTS)


def failing_untouched(tests: Iterable[str]) -> dict[str, str]:
    """The tests that fail with nothing ignored, with the reason."""
    found: dict[str, str] = {}
    for group in GROUPS.values():
        if cases := [case for case in group.cases() if case in tests]:
            found |= failing_cases(group.name, dict.fromkeys(cases, ""))
    if others := [test for test in tests if "::" in test]:
        found |= failing_tests(sorted(others), all_=True)
    return found


def conclude(results: dict[str, Result]) -> int:
    """Says what survived; how many faults there are."""
    reasons = unseen()
    survived = [name for name, result in results.items() if not result.noticed]
    for name in survived:
        say(f"{name} can be ignored: {reasons.get(name, 'no test notices, and unseen.yaml gives no reason')}")
    vain = [name for name in reasons if name in results and results[name].noticed]
    for name in vain:
        say(f"{name} is noticed by {results[name].test}: remove it from unseen.yaml")
    say(
        f"{len(results)} settings: {len(results) - len(survived)} noticed, {len(survived)} not "
        f"({sum(name in reasons for name in survived)} with a reason); {without_effect()} more have no effect"
    )
    return len(vain) + sum(name not in reasons for name in survived)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="a name, with annotation/ or configmap/ before it or not; * and ? are wildcards")
    parser.add_argument("--shard", default="1/1", metavar="N/M", help="the Nth of M parts")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    given = parser.parse_args()
    part, parts = map(int, given.shard.split("/"))
    settings = all_settings()[part - 1 :: parts]
    if given.only:
        settings = matching(settings, given.only)
        if not settings:
            parser.error(f"no setting is named {given.only}")
    run = Run(settings, fresh=given.fresh)
    run.go()
    return 1 if conclude({name: run.results[name] for name in settings}) else 0


def matching(settings: list[str], pattern: str) -> list[str]:
    """The settings whose name, with or without its kind, is like this."""
    return [one for one in settings if fnmatchcase(one, pattern) or fnmatchcase(one.partition("/")[2], pattern)]


if __name__ == "__main__":
    sys.exit(main())
