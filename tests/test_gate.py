"""The door on loopback: who comes in, what is read of a request, how it closes."""

import socket

import pytest
from origins import Origin, answer
from proxying import WAIT, Client, block, own_threads, recording

from pipeline.capture.gate import Manners
from pipeline.capture.proxy import Bounds

QUICK = Bounds(manners=Manners(timeout=0.2, idle=WAIT))
PAGE = answer(b"hello")


def test_who_knows_the_token_comes_in(tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/").exactly(len(PAGE)) == PAGE
        assert block(kept.next()) == PAGE


STRANGERS = {
    "no token": b"",
    "another token": b"Proxy-Authorization: Basic bXVuaW1lbnQ6eA==\r\n",
    "another scheme": b"Proxy-Authorization: Bearer x\r\n",
    "the token of the origin": b"Authorization: Basic eDp4\r\n",
}


@pytest.mark.parametrize("line", STRANGERS.values(), ids=STRANGERS)
def test_who_does_not_is_asked_for_it_and_nothing_is_done(line, tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            host = site.url[7:].encode()
            client.send(
                b"GET http://%s/ HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host, host, line)
            )
            told = client.head()
        assert told.startswith(b"HTTP/1.1 407 ")
        assert b"\r\nProxy-Authenticate: Basic " in told
        assert site.requests == []
    assert kept.rest() == []


def test_who_is_asked_for_the_token_may_tell_it_on_the_same_connection(tmp_path):
    with (
        Origin({"/": PAGE}) as site,
        recording(tmp_path) as (proxy, _),
        Client(proxy.endpoint) as client,
    ):
        place = f"127.0.0.1:{site.port}".encode()
        client.send(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (place, place))
        told = client.head()
        size = int(told.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        client.exactly(size)
        assert client.connect(place.decode()).startswith(b"HTTP/1.1 200 ")


def test_the_body_of_a_stranger_is_not_read(tmp_path):
    with recording(tmp_path) as (proxy, _), Client(proxy.endpoint) as client:
        client.send(
            b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n"
        )
        told = client.all()
    assert told.startswith(b"HTTP/1.1 407 ")
    assert b"\r\nConnection: close\r\n" in told


REFUSED = {
    "two lengths": ("POST", b"Content-Length: 1\r\nContent-Length: 2\r\n", b"400"),
    "a length and chunks": ("POST", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"400"),
    "a coding that is not read": ("POST", b"Transfer-Encoding: gzip\r\n", b"501"),
    "a head without end": ("GET", b"X: " + b"x" * 200_000, b"431"),
    "a large head": ("GET", b"X: " + b"x" * 131_000 + b"\r\n", b"431"),
    "a large body": ("POST", b"Content-Length: 99999999999\r\n", b"413"),
    "a folded line": ("GET", b"X: a\r\n b\r\n", b"400"),
    "a bare line feed": ("GET", b"X: a\nY: b\r\n", b"400"),
    "chunks that are none": ("POST", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_read_in_two_ways_or_too_large_is_refused_unasked(case, tmp_path):
    method, lines, status = case
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            host = site.url[7:].encode()
            first = b"%s http://%s/ HTTP/1.1\r\nHost: %s\r\n" % (
                method.encode(),
                host,
                host,
            )
            client.send(first + client.token + lines + b"\r\n")
            assert client.all()[9:12] == status
        assert site.requests == []
    assert kept.rest() == []


NOISE = {
    "noise instead of TLS": b"\x16\x03\x01\x00\x05hello\r\n\r\n" * 3,
    "a hang-up": b"",
}


@pytest.mark.parametrize("data", NOISE.values(), ids=NOISE)
def test_what_is_no_handshake_ends_its_tunnel_and_no_other(data, tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.connect("a.example:443")
            client.send(data)
            client.sock.shutdown(socket.SHUT_WR)
            client.all()
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/").exactly(len(PAGE)) == PAGE
        kept.next()
    assert kept.rest() == []


def test_text_instead_of_tls_is_refused_as_no_request(tmp_path):
    with recording(tmp_path) as (proxy, _), Client(proxy.endpoint) as client:
        client.connect("a.example:443")
        assert client.send(b"hello\r\n\r\n").all().startswith(b"HTTP/1.1 400 ")


def test_who_speaks_before_the_tunnel_is_open_is_refused(tmp_path):
    with recording(tmp_path) as (proxy, _), Client(proxy.endpoint) as client:
        head = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n"
        client.send(head + client.token + b"\r\nearly")
        assert client.all().startswith(b"HTTP/1.1 400 ")


SLOW = {
    "a head that stalls": b"GET http://a.example/ HTTP/1.1\r\nHost: a.ex",
    "a body that stalls": b"POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n%s\r\nabc",
    "a handshake that stalls": b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n%s\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
def test_who_stalls_is_not_waited_for(data, tmp_path):
    with recording(tmp_path, bounds=QUICK) as (proxy, kept), Client(proxy.endpoint) as client:  # fmt: skip
        client.send(data.replace(b"%s", client.token))
        client.all()  # ends: the proxy hangs up
    assert kept.rest() == []


def test_a_body_that_ends_early_is_not_sent_on(tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, _):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/", "Content-Length: 9", method="POST", body=b"abc")
            client.sock.shutdown(socket.SHUT_WR)
            assert client.all().startswith(b"HTTP/1.1 400 ")
        assert site.requests == []


def test_who_comes_when_there_are_too_many_is_told_so(tmp_path):
    bounds = Bounds(manners=Manners(most=1))
    with recording(tmp_path, bounds=bounds) as (proxy, _):
        with Client(proxy.endpoint) as first:
            first.connect("a.example:443")
            with Client(proxy.endpoint) as second:
                assert second.all().startswith(b"HTTP/1.1 503 ")
        assert proxy.notes == ("limit: 1 connections at once, 1 refused",)


def test_closing_ends_every_connection_whatever_it_does(tmp_path):
    def silent(connection):
        connection.recv(1)

    with Origin({"/": silent}) as site, recording(tmp_path) as (proxy, kept):
        idle, asking, shaking, half = (Client(proxy.endpoint) for _ in range(4))
        asking.ask(f"{site.url}/")
        shaking.connect("a.example:443")
        half.send(b"GET http://a.ex")
        while site.requests != ["/"]:
            pass
        proxy.close()
        for client in (idle, asking, shaking, half):
            client.all()
            client.sock.close()
        assert own_threads() == []
        assert kept.next().reply.failure == "timeout"


def test_whoever_comes_after_closing_finds_nobody(tmp_path):
    with recording(tmp_path) as (proxy, _):
        proxy.close()
        with pytest.raises(OSError):
            Client(proxy.endpoint)
