"""The samples of certificates, which are kept from one scrape to the next."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from tidegate.model import CertificateInfo
from tidegate.report import certificate_metrics
from tidegate.report.certificate_metrics import CertificateSamples, Row

CLASS = "k8s.io/ingress-nginx"


def row(host: str, serial: int = 1, *, secret: str = "shop/cert", issuer: str = "somebody") -> Row:
    fingerprint = f"{serial:02x}{issuer}"
    return host, CertificateInfo(
        secret, (host,), issuer, 1_900_000_000 + serial, f"{serial:x}", fingerprint, "ACME", "RSA"
    )


def samples(text: str) -> dict[tuple[str, str, str], tuple[float, dict[str, str]]]:
    """Value and labels by metric, host and serial number."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    rows = {
        (one.name.removeprefix("nginx_ingress_controller_"), one.labels["host"], one.labels["identifier"]): (
            one.value,
            one.labels,
        )
        for one in found
    }
    assert len(rows) == len(found)
    return rows


def test_each_certificate_has_its_expiry_and_its_facts() -> None:
    found = samples(CertificateSamples(CLASS).text([row("a.test", 10), ("_", row("_", 11, secret="")[1])]))
    value, labels = found["ssl_expire_time_seconds", "a.test", "-10"]
    assert value == 1_900_000_010
    assert labels == {
        "namespace": "shop",
        "class": CLASS,
        "host": "a.test",
        "secret_name": "cert",
        "identifier": "-10",
    }
    value, labels = found["ssl_certificate_info", "a.test", "-10"]
    assert value == 1
    assert (
        labels.items()
        >= {
            "issuer_organization": "ACME",
            "issuer_common_name": "somebody",
            "serial_number": "10",
            "public_key_algorithm": "RSA",
        }.items()
    )
    _, labels = found["ssl_expire_time_seconds", "_", "-11"]
    assert (labels["namespace"], labels["secret_name"]) == ("", "")


def test_text_is_the_same_whatever_was_said_before() -> None:
    first = [row(f"h{number}.test", number) for number in range(20)]
    changed = [*first[5:], row("h1.test", 99), row("new.test", 100), row("h7.test", 7, secret="other/cert")]
    samples_ = CertificateSamples(CLASS)
    for rows in (first, changed, [], changed[:2], first):
        assert samples_.text(rows) == CertificateSamples(CLASS).text(rows)


def test_names_of_issuers_cannot_break_a_line() -> None:
    rows = [row("a.test", issuer='"quoted" \\ \n next \u2028 \x85 \x0b'), row("b.test", 2)]
    text = CertificateSamples(CLASS).text(rows)
    assert {host for _, host, _ in samples(text.replace("\u2028", "").replace("\x85", "").replace("\x0b", ""))} == {
        "a.test",
        "b.test",
    }
    assert len(text.split("\n")) == 2 * (2 + 2) + 1


def test_only_what_is_new_is_written_anew(monkeypatch) -> None:
    written: list[str] = []
    original = certificate_metrics._families

    def noted(rows, controller_class):
        written.extend(host for host, _ in rows)
        return original(rows, controller_class)

    monkeypatch.setattr(certificate_metrics, "_families", noted)
    kept = CertificateSamples(CLASS)
    rows = [row(f"h{number}.test", number) for number in range(100)]
    kept.text(rows)
    written.clear()
    kept.text([*rows[1:], row("h0.test", 500)])
    assert written == ["h0.test"]
