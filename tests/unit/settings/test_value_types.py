"""What each value type accepts, yields and refuses."""

from __future__ import annotations

import pytest
from tidegate.settings.directives import WordPair
from tidegate.settings.lists import (
    CacheDurations,
    CidrList,
    CodeList,
    CommaList,
    NextUpstream,
    Origins,
    WordList,
)
from tidegate.settings.nginx_types import (
    BufferPair,
    Buffers,
    Ciphers,
    Duration,
    GoDuration,
    LogFormat,
    LogTarget,
    MimeType,
    WorkerCount,
)
from tidegate.settings.texts import (
    CharClass,
    CommonNamePattern,
    Containing,
    HashExpression,
    HeaderName,
    ObjectRef,
    Pair,
    PairOrOff,
    Reference,
    SameSite,
    ServiceName,
    Snippet,
    Text,
)
from tidegate.settings.types import (
    Choice,
    CookieAge,
    GoBool,
    Int,
    InvalidValue,
    LiteralInt,
    OnOff,
    Size,
    ValueType,
    WeakBool,
)
from tidegate.settings.urls import AbsolutePath, ErrorPage, Url

BASIC = Text(CharClass.BASIC)
LOOSE = Text(CharClass.PATHCAP, spaces_ignored=True)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_a_boolean_is_true_in_each_spelling_of_go(text: str) -> None:
    assert GoBool().parse(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_a_boolean_is_false_in_each_spelling_of_go(text: str) -> None:
    assert GoBool().parse(text) is False


def test_an_empty_boolean_of_the_configmap_is_false_and_an_empty_number_is_zero() -> None:
    assert WeakBool().parse("") is False
    assert LiteralInt().parse("") == 0


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Int(), "+1", 1),
        (Int(), "-7", -7),
        (Int(), "007", 7),
        (Int(1, 5, zero_means=3), "0", 3),
        (LiteralInt(), "0x1F", 31),
        (LiteralInt(), "010", 8),
        (LiteralInt(), "0o10", 8),
        (LiteralInt(), "-0b11", -3),
        (LiteralInt(), "00", 0),
        (OnOff(), "on", True),
        (OnOff(), "off", False),
        (Size(), "1000", 1000),
        (Size(), "8K", 8192),
        (Size(giga=True), "2g", 2 * 1024**3),
        (Choice(("HTTP", "GRPC"), any_case=True), "grpc", "GRPC"),
        (CookieAge(), "-100", -100),
        (Text(CharClass.BASIC_SP), " Test area ", "Test area"),
        (LOOSE, "/a b", "/a b"),
        (LOOSE, " /a ", "/a"),
        (AbsolutePath(), "/sub/$1", "/sub/$1"),
        (Url(), "http://x.test/y?z=1", "http://x.test/y?z=1"),
        (Url(CharClass.URLVAR), " http://$host/ ", "http://$host/"),
        (Url(any_http=True), "https://target.test/t", "https://target.test/t"),
        (Reference(), "users", ObjectRef("", "users")),
        (Reference(), "shop/users", ObjectRef("shop", "users")),
        (ServiceName(), "pages-2", "pages-2"),
        (HashExpression(), "${a}-b$request_uri", "${a}-b$request_uri"),
        (HeaderName(), "X-Forwarded_For", "X-Forwarded_For"),
        (Containing(("basic", "digest")), "basic", "basic"),
        (SameSite(), "Lax", "Lax"),
        (SameSite(), "lax", ""),
        (CommonNamePattern(), "CN=(bob|ali.*)", "CN=(bob|ali.*)"),
        (CommonNamePattern(), "CN=ann@shop.test;?", "CN=ann@shop.test;?"),
        (ErrorPage(), "http://e.test:81/a", "http://e.test:81/a"),
        (ErrorPage(), "https://e.test", "https://e.test"),
        (PairOrOff(CharClass.URL), "/one/ /", Pair("/one/", "/")),
        (PairOrOff(CharClass.URL), "off", None),
        (Snippet(), "  a b;\r\n\tc d;\n", "a b;\nc d;"),
        (
            CidrList(),
            "10.1.2.3/8, 127.0.0.7,::1/128 , 2001:DB8::1",
            ("10.0.0.0/8", "127.0.0.7/32", "::1/128", "2001:db8::1/128"),
        ),
        (CidrList(), "10.0.0.0/8,\n10.0.0.1/8\n", ("10.0.0.0/8",)),
        (CidrList(lenient=True), " , ", ()),
        (CodeList(), "503, 404,404", (404, 503)),
        (CommaList(CharClass.REGEX, ordered=False), "b.test, a.test,b.test,", ("a.test", "b.test")),
        (NextUpstream(), "non_idempotent error  http_502 error", ("error", "http_502", "non_idempotent")),
        (NextUpstream(), "error off", ("off",)),
        (WordList(("TLSv1.2", "TLSv1.3"), sorted_=True), "TLSv1.3 TLSv1.2", ("TLSv1.2", "TLSv1.3")),
        (Origins(), "https://a.test:8080, bad, http://*.b.test,", ("https://a.test:8080", "http://*.b.test")),
        (Origins(), "https://a.test, *", ("*",)),
        (Origins(), "  ", ("*",)),
        (Origins(), "bad, worse", ()),
        (CacheDurations(), "200 202  10m,401 1m", ("200 202 10m", "401 1m")),
        (CacheDurations(), "200 1m, ", ("200 1m",)),
        (Duration(), "1h30m", 5_400_000),
        (Duration(), "1h 30m 5", 5_405_000),
        (Duration(), "240s", 240_000),
        (Duration(), "500ms", 500),
        (Duration(), "90", 90_000),
        (Duration(), "1M", 30 * 86_400_000),
        (GoDuration(), "1m30s", 90_000),
        (GoDuration(), "1.5h", 5_400_000),
        (BufferPair(), "4 8k", Buffers(4, 8192)),
        (Ciphers(), "HIGH:!aNULL:ECDHE+AES:@STRENGTH:@SECLEVEL=1", "HIGH:!aNULL:ECDHE+AES:@STRENGTH:@SECLEVEL=1"),
        (Ciphers(optional=True), "", ""),
        (LogFormat(), '{"a": "$request ${status}"}', '{"a": "$request ${status}"}'),
        (LogFormat(), "\n$a\r\n$b\n\n", "$a\n$b"),
        (WordPair(), "off", None),
        (WordPair(), "/one/  /", Pair("/one/", "/")),
        (WordPair(), '/ "/; Secure; HttpOnly"', Pair("/", "/; Secure; HttpOnly")),
        (WordPair(), "~*^/(?<rest>.*)$ /x/$rest/$1", Pair("~*^/(?<rest>.*)$", "/x/$rest/$1")),
        (WordPair(), "$host other.test", Pair("$host", "other.test")),
        (LogTarget(), "/var/log/nginx/access.log", "/var/log/nginx/access.log"),
        (LogTarget(), "syslog:server=10.0.0.1:514,tag=ingress", "syslog:server=10.0.0.1:514,tag=ingress"),
        (MimeType(), "application/vnd.api+json", "application/vnd.api+json"),
        (WorkerCount(), "auto", None),
        (WorkerCount(), "3", 3),
    ],
)
def test_a_good_text_becomes_its_value(kind: ValueType[object], text: str, value: object) -> None:
    assert kind.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *[(GoBool(), text) for text in ("yes", "on", "tRUE", " true", "true ", "")],
        *[(Int(), text) for text in ("1.5", "1x", " 1", "0x1", "", "٣", "1_000", "9" * 5000)],
        *[(LiteralInt(), text) for text in ("1.5", " 1", "08", "0x", "1_000", "ten")],
        *[(Size(), text) for text in ("15r", "1kb", "", " 1k", "k", "-1", "5 megabytes")],
        *[(OnOff(), text) for text in ("ON", "true", "")],
        (Choice(("any", "all")), "ANY"),
        *[(CookieAge(), text) for text in ("soon", "+5", "1.5", "0x5")],
        *[(BASIC, text) for text in ("a b", "a\n", "a;b", "ä", "a\x00", "a\r")],
        (LOOSE, "/a;b"),
        *[(AbsolutePath(), text) for text in ("foo", "http://other.test/x", "/a b", "")],
        *[
            (Url(), text)
            for text in ("/check", "host:8080/check", "https://invalid..auth.url", "http://[x/", "http://a;b")
        ],
        *[(Url(any_http=True), text) for text in ("ftp://x.test", "/path", "httpx://a")],
        *[(Reference(), text) for text in ("us;ers", "a/b/c", "A/b", "/b", "a/", "a" * 300)],
        (Reference(namespace_required=True), "users"),
        *[(ServiceName(), text) for text in ("1a", "A", "a.b", "a-", "", "a" * 64)],
        *[(HashExpression(), text) for text in ("$request_uri;", "a$", "${a", "$ {a}", "$-")],
        *[(HeaderName(), text) for text in ("", "X Y", "proxy_protocol", "X:")],
        *[(Containing(("basic", "digest")), text) for text in ("ldap", "notbasic", "basic\n")],
        (SameSite(), "Maybe"),
        *[(CommonNamePattern(), text) for text in ("alice", "CN=(alice", "CN=a\nb", "CN=a{2,1}")],
        *[(ErrorPage(), text) for text in ("http://e.test/a;b", "e.test", "http://e.test/?a=b", "http://e.test?a=b")],
        *[(PairOrOff(CharClass.BASIC), text) for text in ("one", "a b c", "a;b c")],
        *[(Snippet(), text) for text in ("a\x00b", "a\x1bb", "a\rb")],
        *[
            (CidrList(), text)
            for text in ("localhost", "", "10.0.0.0/8,", "10.0.0.0/33", "1.2.3.4/255.0.0.0", "fe80::1%eth0")
        ],
        *[(CidrList(lenient=True), text) for text in ("all", "10.0.0.0/8;", "1\n0.0.0.0/8")],
        *[(CodeList(), text) for text in ("abc", "200", "404;", "4040", "", "404\n")],
        (CommaList(CharClass.REGEX), "x.test; }"),
        *[(NextUpstream(), text) for text in ("http_503 sometimes", "", " ", "error,timeout", "error\ttimeout")],
        *[(Origins(), text) for text in ('https://a.test"', "a;b", "https://a\n")],
        *[(CacheDurations(), text) for text in ("200 abc", "", ",", "999 1m", "200 1m;")],
        *[(Duration(), text) for text in ("", "1x", "30m1h", "1h ", "-1s", "1.5h")],
        (Duration(whole_seconds=True), "500ms"),
        *[(GoDuration(), text) for text in ("5", "", "1d", "-5s")],
        *[(BufferPair(), text) for text in ("4", "4 8x", "0 8k", "4 511", "8k 4k")],
        *[(Ciphers(), text) for text in ("HIGH;x", "", "@SECLEVEL=9", "a b", ":", "@FOO")],
        *[(LogFormat(), text) for text in ("$", "cost $ 5", "${a", "a\tb", " ", "")],
        *[
            (WordPair(), text)
            for text in (
                "",
                "one",
                "a b c",
                "'; a' b",
                "a b; c d",
                "a b {}",
                '"a b',
                "a\nb c",
                "~( x",
                "/a $nonsense",
                "/$ a",
            )
        ],
        *[(LogTarget(), text) for text in ("access.log", "/var/$host", "", "syslog:", "/a b", "/a;b")],
        *[(MimeType(), text) for text in ("text", "text/html; charset=x", "text/$a", "")],
        *[(WorkerCount(), text) for text in ("0", "-1", "many", "", "100000")],
    ],
)
def test_a_bad_text_is_refused(kind: ValueType[object], text: str) -> None:
    with pytest.raises(InvalidValue):
        kind.parse(text)


@pytest.mark.parametrize(
    ("kind", "text", "misfit"),
    [
        (Int(300, 308), "200", True),
        (Int(300, 308), "two", False),
        (Size(), "1b", True),
        (Size(), "1g", True),
        (Size(), "1x", False),
        (Containing(("auth-file",)), "auth-files", True),
        (Containing(("auth-file",)), "auth-db", False),
        (Url(CharClass.URLVAR), "/check", True),
        (Url(CharClass.URLVAR), "http://a/b;c", False),
        (Reference(namespace_required=True), "users", True),
        (Reference(namespace_required=True), "us;ers", False),
    ],
)
def test_right_characters_without_sense_are_told_from_foreign_ones(
    kind: ValueType[object], text: str, misfit: bool
) -> None:
    with pytest.raises(InvalidValue) as raised:
        kind.parse(text)
    assert raised.value.misfit is misfit


def test_a_list_that_may_skip_elements_offers_its_good_ones() -> None:
    with pytest.raises(InvalidValue) as raised:
        CodeList(300, 599, lenient=True).parse("429,503,200,abc")
    assert raised.value.usable == (429, 503)
    assert raised.value.found == "200"


def test_the_message_names_what_was_found_and_what_is_allowed() -> None:
    with pytest.raises(InvalidValue) as raised:
        OnOff().parse("x\n" * 500)
    assert str(raised.value).startswith("found 'x\\nx")
    assert str(raised.value).endswith(", allowed: on or off")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
