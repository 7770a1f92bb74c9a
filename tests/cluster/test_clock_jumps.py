"""The time of day of an operator jumps by hours and weeks, forward and back: it goes on as if nothing had happened."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from apiserver import ApiServer, Manifest, until
from dataplane import self_signed
from driven import secret
from network import Network
from running import NAMESPACE, PATIENCE, Run, backend, ingress_class, namespace, slices
from steadyload import Load
from up import ingress

CLASS, CONTROLLER, ADDRESS = "clock", "tidegate.dev/clock", "192.0.2.9"
# In Python's place at its start: shifts the time of day by the seconds that a file says, as they change.
HOOK = """
import os, pathlib, threading, time
import time_machine

def follow(file, traveller, shift=0.0):
    while True:
        wanted = float(file.read_text())
        traveller.shift(wanted - shift)
        shift = wanted
        time.sleep(0.05)

machine = time_machine.travel(time.time(), tick=True)
words = pathlib.Path(os.environ["TEST_CLOCK"]), machine.start()
threading.Thread(target=follow, args=words, daemon=True).start()
"""
NEAR = datetime.timedelta(minutes=30)


class Clock:
    """The time of day of one process."""

    def __init__(self, folder: Path, run: Run) -> None:
        self._file = folder / "shift"
        self.shift = datetime.timedelta()
        self.jump(self.shift)
        (folder / "sitecustomize.py").write_text(HOOK)
        run.env |= {"PYTHONPATH": str(folder), "TEST_CLOCK": str(self._file)}

    def jump(self, shift: datetime.timedelta) -> None:
        """To so much off the right time."""
        self.shift = shift
        new = self._file.with_suffix(".new")
        new.write_text(str(shift.total_seconds()))
        new.replace(self._file)

    def made(self, text: str | None) -> bool:
        """Whether this time was taken from it since its last jump."""
        if not text:
            return False
        now = datetime.datetime.now(datetime.UTC) + self.shift
        return abs(datetime.datetime.fromisoformat(text) - now) < NEAR


def shown(name: str) -> Manifest:
    """An Ingress with the certificate."""
    found = ingress(f"clock-{name}", f"{name}.clock.test", backend="clock-app", tls="clock-tls", ssl_redirect="false")
    found["spec"]["ingressClassName"] = CLASS
    return found


@pytest.fixture
def both(cluster: ApiServer, network: Network) -> Iterator[tuple[Run, Run]]:
    pair = self_signed("*.clock.test")  # valid from yesterday on, for a month
    certificate = secret("clock-tls", "kubernetes.io/tls", tls_crt=pair.chain, tls_key=pair.key)
    certificate["metadata"]["namespace"] = "default"
    cluster.apply(namespace(NAMESPACE), ingress_class(CLASS, CONTROLLER), certificate, shown("steady"))
    cluster.apply(slices("clock-app", backend(network, "clock-app")))
    flags = ("--ingress-class", CLASS, "--controller-class", CONTROLLER, "--election-id", CLASS)
    flags += ("--publish-status-address", ADDRESS)
    with Run(cluster, *flags) as one, Run(cluster, *flags, pod="tidegate-1") as other:
        yield one, other


def lease(cluster: ApiServer) -> Manifest:
    return dict(cluster.get("lease", CLASS, NAMESPACE)["spec"])


def told_at(cluster: ApiServer, name: str) -> str | None:
    """When the newest Event about an Ingress was written, as it says itself."""
    rows = [row for row in cluster.items("events", "default") if row["involvedObject"]["name"] == name]
    return str(rows[-1]["lastTimestamp"]) if rows else None


def has_address(cluster: ApiServer, name: str) -> bool:
    found = cluster.get("ingress", name)["status"]["loadBalancer"].get("ingress") or [{}]
    return bool(found[0].get("ip") == ADDRESS)


def test_a_clock_that_jumps_forward_and_back_changes_nothing_but_what_is_said_of_certificates(
    cluster: ApiServer, both: tuple[Run, Run], tmp_path: Path
) -> None:
    leader, follower = both
    clock = Clock(tmp_path, leader)
    leader.start()
    until(lambda: leader.status()["leader"], PATIENCE, leader.said)
    follower.start()
    leader.serves("steady.clock.test")
    with Load(leader, "steady.clock.test", most=1_000_000) as load:
        for name, hours, said in (
            ("later", 31 * 24, {"CertificateExpired"}),
            ("earlier", -30, {"CertificateNotYetValid"}),
            ("right", 0, set()),
        ):
            clock.jump(datetime.timedelta(hours=hours))
            until(lambda: clock.made(lease(cluster)["renewTime"]), PATIENCE, lambda: lease(cluster))
            cluster.apply(shown(name))
            for run in both:
                run.serves(f"{name}.clock.test")
            until(lambda name=name: has_address(cluster, f"clock-{name}"), PATIENCE, leader.said)
            until(lambda name=name: clock.made(told_at(cluster, f"clock-{name}")), PATIENCE, leader.said)
            until(lambda said=said: of_certificates(leader) == said, PATIENCE, lambda: of_certificates(leader))
            assert of_certificates(follower) == set()
            assert 0 <= leader.status()["uptime"] < 3600
        load.more()
    assert load.failures == []
    assert (leader.status()["leader"], follower.status()["leader"]) == (True, False)
    assert lease(cluster).get("leaseTransitions", 0) == 0


def of_certificates(run: Run) -> set[str]:
    return {row["reason"] for row in run.api("findings") if row["reason"].startswith("Certificate")}
