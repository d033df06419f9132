"""What looks like a secret, what does not, and that neither is shown by mistake."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.intake.notation import parse
from pipeline.intake.secrecy import (
    blank,
    continues_secret,
    find,
    hide,
    is_credential,
    is_reference,
    is_secret_field,
    telling_parameters,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Passwd",
        "secret",
        "client_secret",
        "token",
        "access-token",
        "apikey",
        "X-Api-Key",
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Auth-Token",
        "X-Session-Id",
        "private key",
        "credentials",
        "X-Auth",
    ],
)
def test_a_name_says_that_its_field_holds_a_secret(name):
    assert is_secret_field(("package", name))


@pytest.mark.parametrize(
    "name", ["secretary", "token-gesture", "author", "Accept", "title", "keyword"]
)
def test_an_ordinary_name_says_nothing_of_the_kind(name):
    assert not is_secret_field((name,))


def test_the_id_of_a_source_is_the_authors_own_word():
    assert not is_secret_field(("sources", "leaked-token"))
    assert is_secret_field(("sources", "a", "token"))


@pytest.mark.parametrize(
    "text", ["env:TOKEN", "env:_a1", "file:/run/secrets/t", "file:~/t"]
)
def test_a_reference_is_known(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["env:", "env:1A", "env:A B", "file:", "file: a", "ENV:A", "x"]
)
def test_what_only_resembles_a_reference_is_none(text):
    assert not is_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "Bearer x",
        "bearer abc",
        "Basic dXNlcjpwdw==",
        "Negotiate YII",
        JWT,
        "ghp_" + "a1" * 15,
        "AKIA" + "A" * 16,
        "9f86d081884c7d659a2feaa0c55ad015",
    ],
)
def test_the_value_of_a_header_looks_like_credentials(text):
    assert is_credential(text)


@pytest.mark.parametrize(
    "text",
    [
        "fa",
        "fa,en;q=0.5",
        "text/html",
        "no-cache",
        "https://www.example.org/a/b/c/d/e/f/1",
        "Mon, 02 Mar 2026 06:00:00 GMT",
    ],
)
def test_the_value_of_a_header_is_harmless(text):
    assert not is_credential(text)


@pytest.mark.parametrize(
    ("url", "names"),
    {
        "https://a.example/?api_key=1": ("api_key",),
        "https://a.example/?x=1&access_token=2&y=3": ("access_token",),
        "https://a.example/?X-Amz-Signature=ab&X-Amz-Credential=c": ("X-Amz-Signature", "X-Amz-Credential"),
        "https://a.example/#token=1": ("token",),
        "https://a.example/?sig=1;user.auth=2": ("sig", "user.auth"),
        "https://a.example/?gId=25503&monkey=1&design=2&q=token": (),
        "https://a.example/token=1/x": (),
        "https://a.example/?token=": (),
    }.items(),
)  # fmt: skip
def test_the_parameters_of_an_address_that_look_like_secrets_are_named(url, names):
    assert telling_parameters(url) == names


HIDDEN = {
    "a password in an address": (
        "see https://me:pw@a.example/",
        "see https://*****@a.example/",
    ),
    "a password without a scheme": ("me:pw@a.example", "*****@a.example"),
    "a password that is not escaped": (
        "https://me:p/w@a.example/",
        "https://******@a.example/",
    ),
    "a user alone": ("https://me@a.example/", "https://**@a.example/"),
    "a parameter": (
        "https://a.example/?token=abc&x=1",
        "https://a.example/?token=***&x=1",
    ),
    "a named value": ("  password: hunter2", "  password: *******"),
    "a named value in JSON": ('{"token": "abc"}', '{"token": ******'),
    "a token by its form": (f"note: {JWT}.", f"note: {'*' * len(JWT)}."),
    "a scheme and its credentials": ("a: Bearer abc.def-123", "a: ******************"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY----- MIIE", "*" * 36),
}


@pytest.mark.parametrize(("text", "shown"), HIDDEN.values(), ids=HIDDEN)
def test_what_looks_like_a_secret_is_masked_at_equal_length(text, shown):
    assert hide(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "password: env:PW",
        "password: 'file:/pw'",
        "title: Basic principles of the law",
        "title: a token gesture",
        "Authorization: *****, Accept: fa",
        "https://a.example/@b",
        "https://a.example:8080/@b",
        "url: https://a.example",
        "me@a.example",
    ],
)
def test_what_is_no_secret_is_shown(text):
    assert hide(text) == text


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_masking_keeps_the_length_and_can_be_repeated(text):
    hidden = hide(text)
    assert len(hidden) == len(text)
    assert hide(hidden) == hidden


@pytest.mark.parametrize(
    "piece", ["eyJ-", "://", "token ", "password: ", "&a", "Bearer "]
)
def test_a_long_text_is_searched_in_proportion_to_its_length(piece):
    root = parse(f"note: |\n  {piece * 200_000}\n".encode()).root
    assert len(list(find(root))) <= 1


# ------------------------------------------------------------------------ in a tree

FOUND = {
    "a field by its name": ("password: hunter2", [("password",)]),
    "whatever it holds": ("password: {a: [b]}", [("password",)]),
    "a password that looks like a tag": ("password: !hunter2", [("password",)]),
    "in a list of blocks": ("a: [{token: b}]", [("a", "0", "token")]),
    "a header by its value": ("headers: {X: Bearer b}", [("headers", "X")]),
    "a token in a text": (f"note: it is {JWT}", [("note",)]),
    "an empty field": ("password:", []),
    "nothing, in words": ("password: null", []),
    "a reference": ("password: env:PW", []),
    "a reference in a header": ("headers: {Cookie: file:/c}", []),
    "a reference to a token": ("headers: {X: env:A_1234567890123456789012345678901234567890}", []),
    "a token in an address": (f"note: https://a.example/?t={JWT}", []),
    "an alias": ("a: *b", []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "paths"), FOUND.values(), ids=FOUND)
def test_the_secrets_of_a_tree_are_found(text, paths):
    root = parse(text.encode()).root
    assert [secret.path for secret in find(root)] == paths


def test_a_stretch_is_blanked_and_its_lines_stay():
    text = "password: |\n  one\n  two\nx: 1\n"
    spans = tuple(secret.span for secret in find(parse(text.encode()).root))
    shown = blank(text, spans)
    assert "one" not in shown
    assert "two" not in shown
    assert shown.endswith("\nx: 1\n")
    assert shown.count("\n") == text.count("\n")


def test_stretches_that_overlap_are_blanked_once():
    (inner,) = (s.span for s in find(parse(b"password: abcdef\n").root))
    assert blank("password: abcdef\n", (inner, inner)) == "password: ******\n"


CONTINUED = {
    "the line below a password": ('password: "a\n   b', True),
    "two lines below": ('password: "a\n   b\n\n   c', True),
    "the line below a title": ('title: "a\n   b', False),
    "a line that is as deep": ("password: a\nb", False),
    "the first line": ("  a", False),
}


@pytest.mark.parametrize(("text", "is_hidden"), CONTINUED.values(), ids=CONTINUED)
def test_a_line_below_a_secrets_name_is_part_of_it_where_there_is_no_tree(
    text, is_hidden
):
    assert continues_secret(text, len(text)) is is_hidden
