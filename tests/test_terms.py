"""The terms of a manifest: what a text means, and what is said where it means nothing."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.intake import terms
from pipeline.intake.terms import Unfit
from pipeline.model import Verdict


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("0s", timedelta(0)),
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, span):
    assert terms.duration(text) == span


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("500MB", 500_000_000),
        ("2GiB", 2 * 2**30),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("3TB", 3 * 10**12),
        ("3TiB", 3 * 2**40),
    ],
)
def test_a_size_is_a_number_and_a_unit(text, size):
    assert terms.size(text) == size


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example",
        "https://a.example:8443/x?y#z",
        "HTTPS://A.Example/",
        "http://exämple.org/پرونده",
        "https://پارسی.example/",
        "http://[2001:db8::1]/",
        "https://web.archive.org/web/2019/http://user@a.example/",
        "http://a.example/?q=a@b",
    ],
)
def test_an_address_is_kept_as_it_was_cited(address):
    assert terms.url(address) == address


def test_an_address_is_sent_without_its_fragment_and_as_browsers_write_it():
    sent = terms.sent("HTTP://Exämple.org:80/a/../پ#part")
    assert sent == "http://xn--exmple-cua.org/%D9%BE"


@pytest.mark.parametrize(
    "text", ["a", "reuters-2019", "0", "a.b_c-d", "x" * 64, "console", "com10"]
)
def test_an_id_is_taken(text):
    assert terms.identifier(text) == text


@pytest.mark.parametrize(
    "text", ["http-404", "http-599", "paywall", "dns", "robots", "limit"]
)
def test_an_outcome_is_taken(text):
    assert terms.reason(text) == text


def test_every_verdict_that_is_no_success_has_its_reasons():
    assert set(terms.REASONS) == {
        Verdict.PARTIAL,
        Verdict.SUSPECT,
        Verdict.REFUSED,
        Verdict.FAILED,
    }


UNFIT = {
    "a number alone": (terms.duration, "2", "not a duration", 'write "2s"'),
    "a unit in full": (terms.duration, "5 minutes", "not a duration", 'write "5m"'),
    "a unit that is none": (terms.duration, "5y", "not a duration", ""),
    "a fraction": (terms.duration, "1.5s", "not a duration", ""),
    "no number": (terms.duration, "soon", '"soon" is not a duration', ""),
    "Persian digits": (terms.duration, "\u06f5s", "not a duration", ""),
    "eleven years": (terms.duration, "4015d", "more than 3650d", ""),
    "no time at all": (terms.patience, "0s", "no time at all", "30s"),
    "a size without a unit": (terms.size, "500", "not a size", 'write "500MB"'),
    "a size in the wrong case": (terms.size, "2gib", "not a size", 'write "2GiB"'),
    "a size in words": (terms.size, "big", "not a size", ""),
    "no room at all": (terms.size, "0MB", "no room at all", ""),
    "an empty text": (terms.prose, "", "empty", "remove the line"),
    "two lines": (terms.line, "a\nb", "several lines", "on one line"),
    "a language in words": (terms.language, "Farsi!", "not a language tag", "fa"),
    "an absolute path": (terms.file_name, "/etc/passwd", "inside the manifest's folder", "beside"),
    "a path that climbs": (terms.file_name, "a/../../b", "inside the manifest's folder", ""),
    "a Windows path": (terms.file_name, "a\\b", "inside the manifest's folder", ""),
    "a path of two lines": (terms.file_name, "a\nb", "several lines", ""),
    "an id with capitals": (terms.identifier, "Reuters 2019", "not an id", 'like "reuters-2019"'),
    "an id that is no Latin": (terms.identifier, "تهران", "not an id", "like reuters-2019"),
    "a long id": (terms.identifier, "x" * 65, "not an id", f'like "{"x" * 64}"'),
    "an id that begins with a dot": (terms.identifier, ".a", "not an id", 'like "a"'),
    "an id that ends with a dot": (terms.identifier, "a.", "ends with a dot", 'write "a"'),
    "a device": (terms.identifier, "con", "device on Windows", 'like "the-con"'),
    "a device with an extension": (terms.identifier, "lpt1.txt", "device on Windows", ""),
    "a reserved id": (terms.identifier, "run", "is reserved", "another id"),
    "the document's id": (terms.identifier, "document", "is reserved", "another id"),
    "no scheme": (terms.url, "www.a.example/x", "not an address", 'did you mean "https://www.a.example/x"?'),
    "a scheme without a host": (terms.url, "://a.example", "not an address", '"https://a.example"?'),
    "words": (terms.url, "the report", "not an address", ""),
    "another scheme": (terms.url, "ftp://a.example/", 'the scheme "ftp"', ""),
    "a file": (terms.url, "file:///etc/passwd", 'the scheme "file"', ""),
    "a space": (terms.url, "https://a.example/a b", "no spaces", "%20"),
    "a backslash": (terms.url, "https://a.example\\b", "no backslashes", ""),
    "a user": (terms.url, "https://me:pw@a.example/", "a user or a password", "before the @"),
    "an empty user": (terms.url, "https://@a.example/", "a user or a password", ""),
    "no host": (terms.url, "https:///x", "names no host", ""),
    "a port without a host": (terms.url, "https://:80/", "names no host", ""),
    "a port beyond the last": (terms.url, "https://a.example:99999/", "no browser accepts", "the port"),
    "a host that is none": (terms.url, "http://[::1/", "no browser accepts", "the host"),
    "a header that is none": (terms.header_name, "Accept Language", "not the name of a header", ""),
    "the User-Agent": (terms.header_name, "user-agent", "cannot be set", ""),
    "a header of the connection": (terms.header_name, "Content-Length", "cannot be set", ""),
    "a reference to nothing": (terms.header_value, "env:", "not a reference", "env:NAME"),
    "a header of two lines": (terms.header_value, "a\r\nHost: b", "several lines", ""),
    "a header in Persian": (terms.header_value, "فا", "only Latin", ""),
    "a name with a colon": (terms.info_name, "a:b", "holds a colon", ""),
    "a name the bag writes": (terms.info_name, "payload-oxum", "writes it itself", "another name"),
    "a name of the evidence": (terms.info_name, "Evidence-Verdict", "writes it itself", ""),
    "a value with a line break": (terms.info_value, "a\nb", "a line break", ""),
    "a value with a control": (terms.info_value, "a\tb", "a control character", ""),
    "a bare status": (terms.reason, "404", "not one of http-NNN", 'did you mean "http-404"?'),
    "an outcome misspelt": (terms.reason, "paywal", "not one of", 'did you mean "paywall"?'),
    "an outcome that is none": (terms.reason, "http-999", "not one of", ""),
    "a weak digest": (terms.algorithm, "md5", "too weak", "sha256 or sha512"),
    "a weak digest by its other name": (terms.algorithm, "SHA-1", "too weak", ""),
    "a digest misspelt": (terms.algorithm, "sha-256", "is not sha256 or sha512", 'did you mean "sha256"?'),
}  # fmt: skip


@pytest.mark.parametrize(("take", "text", "says", "hint"), UNFIT.values(), ids=UNFIT)
def test_a_text_that_does_not_fit_is_refused_with_a_hint(take, text, says, hint):
    with pytest.raises(Unfit) as refused:
        take(text)
    assert says in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "me:hunter2@a.example",
        "x://me:hunter2@a.example",
        "https://me:hunter2@a.example/",
        "https://me:hun/hunter2@a.example/",
        "http:me:hunter2@a.example/",
    ],
)
def test_no_refusal_repeats_a_password(text):
    with pytest.raises(Unfit) as refused:
        terms.url(text)
    assert "hunter2" not in refused.value.message + refused.value.hint


def test_a_long_value_is_repeated_in_part():
    assert len(terms.shown("x" * 10_000)) == terms.SHOWN + 2
    assert terms.shown("a\n b") == '"a b"'


def test_an_address_without_an_id_is_named_by_its_host_and_its_digest():
    # sha256 of the address, its first eight digits
    assert (
        terms.identifier_of("https://www.example.org/a") == "www-example-org-5fcc169d"
    )
    assert terms.identifier_of("http://[::1]/").startswith("1-")
    assert terms.identifier(terms.identifier_of("http://" + "a" * 300 + ".example/"))


@given(st.text(max_size=40))
@settings(max_examples=150)
def test_every_term_takes_a_text_or_refuses_it(text):
    for take in (
        terms.duration,
        terms.patience,
        terms.size,
        terms.identifier,
        terms.url,
        terms.line,
        terms.language,
        terms.file_name,
        terms.header_name,
        terms.header_value,
        terms.info_name,
        terms.info_value,
        terms.reason,
        terms.algorithm,
    ):
        try:
            take(text)
        except Unfit as unfit:
            assert unfit.message


@given(
    st.text(st.sampled_from("abzäé:/.@?#[]%0\u202e漢-"), max_size=20).map(
        "http://".__add__
    )
)
@settings(max_examples=150)
def test_an_address_that_is_taken_can_be_sent_and_named(address):
    try:
        terms.url(address)
    except Unfit:
        return
    assert terms.sent(address).startswith("http://")
    assert terms.identifier(terms.identifier_of(address))
