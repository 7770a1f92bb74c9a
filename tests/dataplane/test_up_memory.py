"""`tidegate up` with more data than the shared memory was made for: it grows ahead of need, and nothing is lost."""

from __future__ import annotations

from dataplane import until
from up import Load, Up, ingress, running

HOSTS = 70
PATHS = 20
LONG = "long-" * 600


def many(first: int) -> list[dict[str, object]]:
    """Ingresses with long paths: about 9 MB of routes."""
    found = []
    for number in range(first, first + HOSTS):
        one = ingress(f"many{number}", f"many{number}.test")
        rule = one["spec"]["rules"][0]["http"]["paths"][0]
        one["spec"]["rules"][0]["http"]["paths"] = [
            {**rule, "path": f"/{place}/" + LONG + str(number)} for place in range(PATHS)
        ]
        found.append(one)
    return found


def test_memory_grows_ahead_of_need_and_no_route_is_lost_meanwhile() -> None:
    with running(manifests=lambda port: [ingress("shop", "shop.test")]) as (up, _):
        before = up.status()["memory"]["capacity"]
        assert before == 32 * 1024 * 1024
        with Load(up, "shop.test") as load:
            for turn in range(3):
                revision = up.status()["revision"]["wanted"]
                up.write_json(f"many{turn}", many(turn * HOSTS))
                up.wait(revision + 1)
                load.more(10)
            until(lambda: up.status()["memory"]["capacity"] > before)
            check(up, range(0, 3 * HOSTS, 9))
            load.more(10)
        assert not load.failures
        memory = up.status()["memory"]
        assert memory["free"] > 0.3 * memory["capacity"]
        assert not [item for item in up.api("findings") if item["reason"] == "DataPlaneFull"]
        up.kill()  # a later control plane finds all of it
        up.spawn()
        up.wait_ready()
        assert up.status()["reloads"] == 0
        check(up, range(0, 3 * HOSTS, 19))


def check(up: Up, numbers: range) -> None:
    for number in numbers:
        path = f"/{number % PATHS}/" + LONG + str(number)
        assert up.backend_of(f"many{number}.test", path) == "echo"
