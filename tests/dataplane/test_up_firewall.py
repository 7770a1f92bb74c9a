"""ModSecurity on a real NGINX: what inspects which requests, with which rules."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from dataplane import Server, until
from up import Manifest, Up, configmap, ingress, service

FLAGS = ("--configmap", "default/settings")
ALLOWED = {"allow_snippet_annotations": "true", "annotations_risk_level": "Critical"}
BLOCK = 'SecRuleEngine On\nSecRule REQUEST_HEADERS:User-Agent "@contains block-ua" "id:107,phase:1,deny,status:403"'
ATTACK = "/?q=../../etc/passwd"


@pytest.fixture
def up() -> Iterator[Up]:
    with Server("echo") as server, Up(*FLAGS) as one:
        yield one.start(service("echo", server.port), configmap(**ALLOWED), ingress("plain", "plain.test"))


def guarded(name: str, rules: str = "", **more: str) -> Manifest:
    if rules:
        more["modsecurity_snippet"] = rules
    return ingress(name, f"{name}.test", enable_modsecurity="true", **more)


def blocked(up: Up, host: str) -> tuple[int, int]:
    """Status with and without the user agent that `BLOCK` forbids."""
    return up.get(host, headers={"User-Agent": "block-ua"})[0], up.get(host, headers={"User-Agent": "curl"})[0]


def test_rules_of_an_ingress_inspect_its_own_requests_and_nobody_elses(up: Up) -> None:
    up.apply("batch", guarded("own", BLOCK), ingress("off", "off.test", modsecurity_snippet=BLOCK))
    assert [blocked(up, host) for host in ("own.test", "off.test", "plain.test")] == [
        (403, 200),
        (200, 200),
        (200, 200),
    ]
    assert [item["reason"] for item in up.ingress("off")["findings"]] == ["NoEffect"]


def test_rules_may_be_escaped_as_text_between_quotes_of_nginx(up: Up) -> None:
    rules = r"""SecRuleEngine On
SecRule REQUEST_HEADERS:User-Agent \"block-ua\" \"log,deny,id:107,status:403,msg:\'UA blocked\'\"
SecRule ARGS:word "@rx \\bbad\\b" "id:108,phase:1,deny,status:406"
"""
    up.apply("own", guarded("own", rules))
    assert blocked(up, "own.test") == (403, 200)
    assert [up.get("own.test", f"/?word={word}")[0] for word in ("so%20bad", "badly")] == [406, 200]
    up.delete("own")  # its rules have the same numbers
    up.apply("settings", configmap(**ALLOWED, enable_modsecurity="true", modsecurity_snippet=rules))
    assert blocked(up, "plain.test") == (403, 200)


def test_bodies_are_inspected_and_reach_the_backend_whole(up: Up) -> None:
    rules = (
        'SecRuleEngine On\nSecRequestBodyAccess On\nSecRule ARGS_POST:word "@streq bad" "id:1,phase:2,deny,status:406"'
    )
    up.apply("own", guarded("own", rules))

    def post(word: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", up.http, timeout=20)
        head = {"Host": "own.test", "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/", f"word={word}", head)
        answer = connection.getresponse()
        assert answer.status != 200 or f"word={word}".encode() in answer.read()
        connection.close()
        return answer.status

    assert [post("bad"), post("good")] == [406, 200]


def test_the_core_rules_block_where_they_are_wanted_and_the_engine_is_on(up: Up) -> None:
    up.apply(
        "batch",
        guarded("core", "SecRuleEngine On", enable_owasp_core_rules="true"),
        guarded("included", "SecRuleEngine On\nInclude /etc/nginx/owasp-modsecurity-crs/nginx-modsecurity.conf"),
        guarded("detects", enable_owasp_core_rules="true"),
        guarded("without", BLOCK),
    )
    assert [up.get(f"{name}.test", ATTACK)[0] for name in ("core", "included", "detects", "without")] == [
        403,
        403,
        200,
        200,
    ]
    assert blocked(up, "without.test") == (403, 200)
    until(lambda: "OWASP_CRS" in (up.run / "logs" / "error.log").read_text())
    conf = (up.run / "conf" / "nginx.conf").read_text()
    assert conf.count("/*.conf") == 1  # however many policies use them


def test_the_configmap_turns_it_on_for_all_and_an_ingress_off_or_further_up(up: Up) -> None:
    rules = BLOCK + "\nInclude /etc/nginx/modsecurity/modsecurity.conf"
    up.apply(
        "batch",
        ingress("off", "off.test", enable_modsecurity="false"),
        guarded("more", 'SecRule ARGS:q "@streq x" "id:5,phase:1,deny,status:406"'),
    )
    up.apply("settings", configmap(**ALLOWED, enable_modsecurity="true", modsecurity_snippet=rules))
    hosts = ("plain.test", "off.test", "more.test", "unknown.test")
    assert [blocked(up, host) for host in hosts] == [(403, 200), (200, 200), (403, 200), (403, 404)]
    assert [up.get(host, "/?q=x")[0] for host in ("plain.test", "more.test")] == [200, 406]
    assert up.get("plain.test", ATTACK)[0] == 200
    settings = configmap(
        **ALLOWED,
        enable_modsecurity="true",
        enable_owasp_modsecurity_crs="true",
        modsecurity_snippet="SecRuleEngine On\nInclude /etc/nginx/modsecurity/modsecurity.conf",
    )
    up.apply("settings", settings)
    assert [up.get(host, ATTACK)[0] for host in ("plain.test", "off.test")] == [403, 200]


def test_the_recommended_rules_alone_only_detect(up: Up) -> None:
    up.apply("settings", configmap(**ALLOWED, enable_modsecurity="true"))
    assert up.get("plain.test", ATTACK)[0] == 200
    assert "modsecurity_rules_file" in (up.run / "conf" / "nginx.conf").read_text()


def test_rules_that_modsecurity_refuses_reject_their_own_ingress_only(up: Up) -> None:
    up.apply("batch", guarded("bad", "SecRuleEngine Perhaps"), guarded("good", BLOCK))
    assert (up.ingress("bad")["state"], up.ingress("good")["state"]) == ("rejected", "applied")
    assert blocked(up, "good.test") == (403, 200)
    up.apply("good", guarded("late", BLOCK))
    up.apply("good", guarded("late", BLOCK + "\nSecRuleEngine Perhaps"))
    assert up.get("late.test")[0] == 503  # what should have protected it is not there


def test_the_transaction_id_names_a_request_in_the_log(up: Up) -> None:
    up.apply("own", guarded("own", BLOCK, modsecurity_transaction_id="$request_id-$host"))
    up.get("own.test", headers={"User-Agent": "block-ua"})
    until(lambda: '-own.test"' in (up.run / "logs" / "error.log").read_text())


def test_rules_too_long_for_one_argument_are_given_in_several(up: Up) -> None:
    second = 'SecRule ARGS:b "@streq 1" "t:none"'
    many = [
        f'SecRule ARGS:a{n} "@streq {n}" "id:{1000 + n},phase:1,deny,status:406,chain"\n{second}' for n in range(80)
    ]
    up.apply("own", guarded("own", "SecRuleEngine On\n" + "\n".join(many)))
    assert not up.ingress("own")["findings"]
    assert [up.get("own.test", path)[0] for path in ("/?a79=79&b=1", "/?a79=79", "/?a0=0&b=1")] == [406, 200, 406]
