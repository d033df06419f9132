"""Requests of a browser: read strictly, in one way alone, and passed on as written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.asking import (
    Place,
    RefusedError,
    Unchunked,
    asking,
    place,
    rechunked,
)

SITE = Place(scheme="https", host="a.example", port=443)
HOST = "Host: a.example"


def head(first, *lines):
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def refused(data, within=SITE):
    with pytest.raises(RefusedError) as caught:
        asking(data, within)
    return caught.value.status


def test_lines_go_on_in_their_order_and_spelling():
    lines = (HOST, "X-oDD:  a ;b", "accept: */*", "X-Latin: caf\xe9", "Connection: x")
    told = head("GET /p?q=%7e HTTP/1.1", *lines)
    assert asking(told, SITE).head == told


def test_what_is_meant_for_the_proxy_does_not_go_on():
    told = head(
        "GET http://a.example/x HTTP/1.1",
        HOST,
        "Proxy-Authorization: Basic eHg=",
        "proxy-connection: keep-alive",
        "Accept: */*",
    )
    one = asking(told, None)
    assert one.head == head("GET /x HTTP/1.1", HOST, "Accept: */*")
    assert one.url == "http://a.example/x"
    assert one.value("proxy-authorization") == "Basic eHg="


PLACES = {
    "a usual port is not written": ("https", "A.example:443", "https://a.example"),
    "another is": ("https", "a.example:444", "https://a.example:444"),
    "none is the scheme's": ("http", "a.example", "http://a.example"),
    "443 is not usual everywhere": ("http", "a.example:443", "http://a.example:443"),
    "IPv6 keeps its brackets": ("https", "[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES.values(), ids=PLACES)
def test_a_place_is_the_beginning_of_its_urls(case):
    scheme, told, origin = case
    assert place(scheme, told).origin == origin


ADDRESSES = {
    "no path": ("http://a.example", b"GET / ", "http://a.example/"),
    "a query and no path": ("http://a.example?q", b"GET /?q ", "http://a.example/?q"),
    "a port": ("http://a.example:8080/x", b"GET /x ", "http://a.example:8080/x"),
}


@pytest.mark.parametrize("case", ADDRESSES.values(), ids=ADDRESSES)
def test_an_absolute_address_becomes_a_path_of_its_host(case):
    told, first, url = case
    host = told.partition("//")[2].partition("/")[0].partition("?")[0]
    one = asking(head(f"GET {told} HTTP/1.1", f"Host: {host}"), None)
    assert one.head.startswith(first)
    assert one.url == url


AMBIGUOUS = {
    "two lengths": ("Content-Length: 3", "Content-Length: 4"),
    "the same length twice": ("Content-Length: 3", "Content-Length: 3"),
    "a list of lengths": ("Content-Length: 3, 3",),
    "a length and chunks": ("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunks twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "a negative length": ("Content-Length: -1",),
    "a signed length": ("Content-Length: +3",),
    "a length in hexadecimal": ("Content-Length: 0x3",),
    "an endless length": ("Content-Length: " + "9" * 40,),
    "a space before the colon": ("Content-Length : 3",),
    "a folded line": ("X: a", " b"),
    "no colon": ("nonsense",),
    "no name": (": x",),
    "a bare line feed": ("X: a\nContent-Length: 3",),
    "a bare carriage return": ("X: a\rb",),
    "a NUL": ("X: a\0b",),
    "two hosts": ("Host: a.example",),
    "two hosts, another": ("Host: b.example",),
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_readers_may_read_in_two_ways_is_refused(lines):
    assert refused(head("POST / HTTP/1.1", HOST, *lines)) == 400


ODD = {
    "another coding": (head("POST / HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked"), SITE, 501),
    "no host": (head("GET / HTTP/1.1"), SITE, 400),
    "another host": (head("GET / HTTP/1.1", "Host: b.example"), SITE, 400),
    "another port": (head("GET / HTTP/1.1", "Host: a.example:444"), SITE, 400),
    "a host that is none": (head("GET / HTTP/1.1", "Host: a/b"), SITE, 400),
    "a user in the address": (head("GET http://me@a.example/ HTTP/1.1", HOST), None, 400),
    "a path of a proxy": (head("GET / HTTP/1.1", HOST), None, 400),
    "https of a proxy": (head("GET https://a.example/ HTTP/1.1", HOST), None, 400),
    "ftp of a proxy": (head("GET ftp://a.example/ HTTP/1.1", HOST), None, 400),
    "an address within a tunnel": (head("GET http://a.example/ HTTP/1.1", HOST), SITE, 400),
    "a tunnel within a tunnel": (head("CONNECT a.example:443 HTTP/1.1", HOST), SITE, 400),
    "a tunnel to nowhere": (head("CONNECT a.example:99999 HTTP/1.1", HOST), None, 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", SITE, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", SITE, 400),
    "noise": (b"\x16\x03\x01\r\n\r\n", SITE, 400),
    "two spaces": (head("GET  / HTTP/1.1", HOST), SITE, 400),
    "a space in the path": (head("GET /a b HTTP/1.1", HOST), SITE, 400),
    "a fragment sent": (head("GET http://a.example/#x HTTP/1.1", HOST), None, 400),
    "a long address": (head(f"GET /{'x' * 9000} HTTP/1.1", HOST), SITE, 414),
    "many fields": (head("GET / HTTP/1.1", HOST, *["A: b"] * 400), SITE, 431),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_what_is_odd_is_refused_with_its_status(case):
    data, within, status = case
    assert refused(data, within) == status


LASTS = {
    "HTTP/1.1 goes on": ("1.1", (), False),
    "HTTP/1.1 that says so ends": ("1.1", ("Connection: x, Close",), True),
    "HTTP/1.0 ends": ("1.0", (), True),
    "HTTP/1.0 that says so goes on": ("1.0", ("Connection: Keep-Alive",), False),
}


@pytest.mark.parametrize("case", LASTS.values(), ids=LASTS)
def test_a_request_says_whether_its_connection_goes_on(case):
    version, lines, is_last = case
    assert asking(head(f"GET / HTTP/{version}", HOST, *lines), SITE).is_last is is_last


def test_an_upgrade_is_one_if_the_connection_is_told_of_it():
    told = ("Upgrade: websocket", "Connection: keep-alive, Upgrade")
    assert asking(head("GET / HTTP/1.1", HOST, *told), SITE).upgrades
    assert not asking(head("GET / HTTP/1.1", HOST, told[0]), SITE).upgrades


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(data):
    try:
        asking(data + b"\r\n\r\n", SITE)
    except RefusedError as error:
        assert error.status in (400, 414, 431, 501)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_a_body_in_chunks_is_read_whatever_the_pieces(content, size):
    body, data = Unchunked(1000), rechunked(content) + b"GET"
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        if body.feed(piece):
            rest = body.rest + data[at + size :]
            break
    assert body.content == content
    assert rest == b"GET"


BROKEN = {
    "no size": (b"x\r\n", 400),
    "a chunk that is longer than told": (b"1\r\nab\r\n0\r\n\r\n", 400),
    "an endless size line": (b"1;" + b"x" * 20_000, 400),
    "more than is read": (b"7d1\r\n" + b"x" * 2001, 413),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_chunks_that_are_broken_or_too_many_are_refused(case):
    data, status = case
    with pytest.raises(RefusedError) as caught:
        Unchunked(2000).feed(data)
    assert caught.value.status == status
