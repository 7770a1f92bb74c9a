"""Which certificate is shown for which host."""

from __future__ import annotations

import pytest
from made_pairs import made, pair_for
from tidegate.resources.model import IngressTLS
from tidegate.translate.certificates import InvalidCertificate, covers, parse_secret
from world import World, ingress, secret, service


@pytest.mark.parametrize(
    ("names", "host", "good"),
    [
        (("a.test",), "a.test", True),
        (("a.test",), "A.TEST", True),
        (("a.test",), "b.a.test", False),
        (("*.test",), "a.test", True),
        (("*.a.test",), "x.a.test", True),
        (("*.a.test",), "y.x.a.test", False),
        (("*.a.test",), "a.test", False),
        (("*.a.test",), "*.a.test", True),
        (("x.a.test",), "*.a.test", False),
        (("*",), "localhost", False),
        (("localhost",), "localhost", True),
        ((), "a.test", False),
        (("192.0.2.1",), "192.0.2.1", True),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(names: tuple[str, ...], host: str, good: bool) -> None:
    assert covers(names, host) is good


def test_the_common_name_counts_only_without_alternative_names() -> None:
    chain, key = made("", "cn.test")
    assert parse_secret(secret("s", tls_crt=chain, tls_key=key)).names == ("cn.test",)
    chain, key = made("san.test", "cn.test")
    assert parse_secret(secret("s", tls_crt=chain, tls_key=key)).names == ("san.test",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "no key tls.crt"),
        ({"tls_crt": "x"}, "no key tls.key"),
        ({"tls_crt": "x", "tls_key": "y"}, "no PEM certificate"),
        ({"tls_crt": made("a.test")[0], "tls_key": "y"}, "no PEM private key"),
        ({"tls_crt": made("a.test")[0], "tls_key": made("b.test")[1]}, "does not belong"),
        ({"tls_crt": "", "tls_key": ""}, "no PEM certificate"),
    ],
)
def test_a_secret_that_is_no_pair_says_why_and_never_shows_the_key(data: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidCertificate, match=said) as caught:
        parse_secret(secret("s", **data))
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_chain_keeps_its_order_with_the_leaf_first() -> None:
    chain, key = made("a.test")
    other, _ = made("b.test")
    bundle = parse_secret(secret("s", tls_crt=chain + other, tls_key=key))
    assert bundle.names == ("a.test",)
    assert bundle.pair.chain == chain + other


def shown(world: World, host: str = "a.test") -> str:
    certificate = world.translator.certificates.get(host)
    return certificate.pairs[0].chain if certificate else ""


def test_an_entry_for_the_host_decides_even_if_another_secret_would_fit() -> None:
    tls = [IngressTLS(("a.test",), "wrong"), IngressTLS((), "right")]
    pairs = (secret("wrong", **pair_for("b.test")), secret("right", **pair_for("a.test")))
    world = World(ingress(tls=tls), service(), *pairs)
    assert shown(world) == ""
    assert world.host().tls
    assert world.reasons().count("CertificateInvalid") == 1


def test_without_an_entry_for_the_host_the_first_secret_that_covers_it_is_shown() -> None:
    tls = [IngressTLS((), "gone"), IngressTLS(("x.test",), "b"), IngressTLS((), "a"), IngressTLS((), "wild")]
    pairs = (
        secret("b", **pair_for("b.test")),
        secret("a", **pair_for("a.test")),
        secret("wild", **pair_for("*.test")),
    )
    assert shown(World(ingress(tls=tls), service(), *pairs)) == made("a.test")[0]


def test_only_the_oldest_ingress_with_a_tls_section_is_asked() -> None:
    world = World(
        ingress("old", "/old"),
        ingress("first", "/1", created=1, tls=[IngressTLS(("a.test",), "")]),
        ingress("second", "/2", created=2, tls=[IngressTLS(("a.test",), "cert")]),
        secret("cert", **pair_for("a.test")),
    )
    assert shown(world) == ""
    assert world.host().tls


def test_a_secret_that_comes_changes_and_goes_takes_effect() -> None:
    world = World(ingress(tls=[IngressTLS(("a.test",), "cert")]), service())
    assert shown(world) == ""
    world.put(secret("cert", **pair_for("a.test")))
    assert shown(world) == made("a.test")[0]
    world.put(secret("cert", **pair_for("*.test")))
    assert shown(world) == made("*.test")[0]
    world.delete(secret("cert"))
    assert shown(world) == ""
    assert world.last is not None
    assert world.last.certificates == {"a.test": None}


def test_the_secret_of_another_namespace_is_not_used() -> None:
    world = World(ingress(tls=[IngressTLS(("a.test",), "cert")]), secret("cert", "other", **pair_for("a.test")))
    assert shown(world) == ""


def test_an_alias_has_the_certificate_of_its_host_only_if_it_is_covered() -> None:
    tls = [IngressTLS(("a.test",), "cert")]
    world = World(
        ingress(tls=tls, server_alias="b.test,c.test"), service(), secret("cert", **pair_for("a.test,b.test"))
    )
    assert (world.host("b.test").tls, world.host("c.test").tls) == (True, False)
    assert (bool(shown(world, "b.test")), bool(shown(world, "c.test"))) == (True, False)


def test_what_is_told_about_certificates_holds_no_key() -> None:
    tls = [IngressTLS(("a.test",), "cert")]
    world = World(ingress(tls=tls), service(), secret("cert", **pair_for("a.test")))
    assert "PRIVATE KEY" not in repr(world.translator.certificate_infos)
    assert "PRIVATE KEY" not in repr(world.translator.findings())
