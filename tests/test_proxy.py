"""The recording proxy: the browser gets what the server sent, and so does the record."""

import socket
import threading
from contextlib import suppress

import pytest
from certificates import Authority
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from origins import Origin, answer, redirect
from proxying import WAIT, Client, block, recording

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.order import Patience
from pipeline.capture.proxy import Bounds
from pipeline.errors import StorageError

PAGE = answer(b"hello")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
HASTY = Patience(timeout=0.3)


def says(data, then=lambda _: None):
    def speak(connection):
        connection.sendall(data)
        then(connection)

    return speak


def reset(connection):
    linger = b"\1\0\0\0\0\0\0\0"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


# ---------------------------------------------------------- byte for byte, both ways

SENT = {
    "an ordinary answer": says(PAGE),
    "chunks with extensions and trailers": says(CHUNKED),
    "a body that ends with the connection": says(b"HTTP/1.0 200 OK\r\n\r\nhello"),
    "bare line feeds": says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    "odd spelling, order, Latin-1 and NUL": says(b"HTTP/1.1 200\tfine \r\nx-A:\t\xe9 \r\nX-a:\0\r\ncontent-LENGTH:1\r\n\r\n!"),
    "a folded line": says(b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    "no status line": says(b"<html>hello"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    "a length beside chunks": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    "more than was told": says(answer(b"ok") + b"and more"),
    "less than was told": says(PAGE[:-2]),
    "less than was told, and a reset": says(PAGE[:-2], reset),
    "half a head": says(b"HTTP/1.1 200 OK\r\nContent-"),
    "a bad chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"),
    "no content": says(b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
    "not modified": says(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n"),
    "early hints, then the answer": says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + PAGE),
    "a megabyte and a half": says(answer(b"0123456789abcdef" * 100_000)),
    "a part of a whole": says(answer(b"ell", status="206 Partial Content", Content_Range="bytes 1-3/5")),
    "a redirect into the house": says(redirect("http://10.0.0.1/admin")),
    "a challenge that is not the proxy's": says(answer(b"", status="407 Proxy Authentication Required", Proxy_Authenticate="Basic realm=x")),
}  # fmt: skip


@pytest.mark.parametrize("page", SENT.values(), ids=SENT)
def test_the_browser_and_the_record_have_what_the_server_sent(page, tmp_path):
    sent = []

    def speak(connection):
        near, far = socket.socketpair()
        with near, far:
            threading.Thread(target=lambda: (page(near), near.close())).start()
            while data := far.recv(65536):
                sent.append(data)
                connection.sendall(data)
        if page is SENT["less than was told, and a reset"]:
            reset(connection)

    with Origin({"/x": speak}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            got = client.ask(f"{site.url}/x", "Connection: close").all()
        one = kept.next()
    assert got == b"".join(sent)
    assert b"".join(one.reply.message.interim) + block(one) == got
    assert kept.rest() == []


PIECES = st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=6)
HEADS = st.sampled_from(
    (
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\n",
    )
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(start=HEADS, pieces=PIECES)
def test_whatever_a_server_sends_reaches_the_browser_and_the_record(start, pieces, tmp_path):  # fmt: skip
    sent = start + b"".join(pieces)
    with Origin(lambda _: says(sent)) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            got = client.ask(f"{site.url}/", "Connection: close").all()
        one = kept.next()
    message = one.reply.message
    if message.truncated == "length":  # an end that the framing told
        assert sent.startswith(got)
    elif message.block.size:
        assert sent.startswith(got)
        assert b"".join(message.interim) + block(one) == got
    else:
        assert got.startswith(b"".join(message.interim) + b"HTTP/1.1 502 ")


def test_a_head_request_has_a_head_for_answer_and_the_connection_goes_on(tmp_path):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    with Origin({"/x": head, "/y": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/x", method="HEAD").exactly(len(head)) == head
            assert client.ask(f"{site.url}/y").exactly(len(PAGE)) == PAGE
        first, second = kept.next(), kept.next()
        assert site.connections == 1
    assert (block(first), block(second)) == (head, PAGE)
    assert first.reply.method == "HEAD"


def test_requests_sent_in_a_row_are_answered_in_their_order(tmp_path):
    with Origin(lambda path: answer(path.encode())) as site, recording(tmp_path) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            for name in "abc":
                client.ask(f"{site.url}/{name}")
            expected = b"".join(answer(f"/{name}".encode()) for name in "abc")
            assert client.exactly(len(expected)) == expected
        assert [kept.next().number for _ in "abc"] == [1, 2, 3]


def test_the_server_gets_the_lines_of_the_browser_and_not_the_proxys(tmp_path):
    with Origin({"/x": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/x", "X-oDD:  1", "accept: */*").exactly(len(PAGE))
        host = site.url[7:]
        expected = (
            f"GET /x HTTP/1.1\r\nHost: {host}\r\nX-oDD:  1\r\naccept: */*\r\n\r\n"
        )
        assert site.heads == [expected.encode()]
        assert kept.next().reply.message.sent == expected.encode()


def posted(tmp_path, *lines, body):
    """Post through the proxy to a server that keeps all it gets."""
    got, done = [], threading.Event()

    def serve(listening):
        connection, _ = listening.accept()
        with connection:
            data = b""
            while not data.endswith((b"abcdef", b"0\r\n\r\n")):
                data += connection.recv(65536)
            got.append(data)
            connection.sendall(PAGE)
            done.wait(WAIT)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        with recording(tmp_path) as (proxy, kept), Client(proxy.endpoint) as client:
            client.ask(url, *lines, method="POST", body=body)
            told = client.exactly(len(PAGE))
            one = kept.next()
            done.set()
    return got[0], told, one


def test_a_body_goes_on_with_its_length(tmp_path):
    got, told, one = posted(tmp_path, "Content-Length: 6", body=b"abcdef")
    assert got.endswith(b"\r\nContent-Length: 6\r\n\r\nabcdef")
    assert told == PAGE
    assert one.reply.message.sent == got
    assert (one.order.method, one.reply.method) == ("POST", "POST")


def test_a_body_in_chunks_goes_on_as_one_chunk(tmp_path):
    body = b"1;x\r\na\r\n002\r\nbc\r\n0\r\nT: u\r\n\r\n"
    got, told, one = posted(tmp_path, "Transfer-Encoding: chunked", body=body)
    assert got.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert told == PAGE
    assert one.reply.message.sent == got


def test_who_waits_for_leave_to_send_a_body_is_given_it(tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/", "Content-Length: 2", "Expect: 100-continue", method="POST")  # fmt: skip
            assert client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"ok")
            assert client.exactly(len(PAGE)) == PAGE
        assert kept.next().reply.message.sent.endswith(b"\r\n\r\nok")


# ------------------------------------------------------------------ as it comes, and on


def test_bytes_reach_the_browser_before_the_answer_is_whole(tmp_path):
    go_on = threading.Event()

    def events(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
        go_on.wait(WAIT)
        connection.sendall(b"data: 2\n\n")

    with Origin({"/": events}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").head()
            assert client.exactly(9) == b"data: 1\n\n"
            assert (proxy.under_way, proxy.asked) == (1, 1)
            go_on.set()
            assert client.all() == b"data: 2\n\n"
        assert block(kept.next()).endswith(b"data: 1\n\ndata: 2\n\n")


def test_a_browser_that_hangs_up_does_not_cut_the_record(tmp_path):
    gone = threading.Event()
    body = b"x" * 300_000

    def slow(connection):
        whole = answer(body * 10)
        connection.sendall(whole[:100_000])
        gone.wait(WAIT)
        connection.sendall(whole[100_000:])

    with Origin({"/": slow}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").head()
            reset(client.sock)
        gone.set()
        one = kept.next()
    assert block(one) == answer(body * 10)
    assert one.reply.message.truncated == ""


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def test_what_never_ends_is_cut_some_time_after_the_browser_has_gone(tmp_path):
    bounds = Bounds(after=2**20)
    with Origin({"/": endless}) as site, recording(tmp_path, bounds=bounds) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").head()
            reset(client.sock)
        assert kept.next().reply.message.truncated == "length"


def test_what_says_nothing_more_is_not_waited_for_when_the_browser_has_gone(tmp_path):
    def silent(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000_000)
        connection.recv(1)

    bounds = Bounds(after_seconds=0.1)
    with Origin({"/": silent}) as site, recording(tmp_path, bounds=bounds) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").head()
            reset(client.sock)
        assert kept.next().reply.message.truncated == "time"


def test_what_is_larger_than_one_answer_may_be_is_cut_for_both(tmp_path):
    patience = Patience(max_size=100_000)
    with Origin({"/": endless}) as site, recording(tmp_path, patience=patience) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            got = client.ask(f"{site.url}/").all()
        one = kept.next()
    assert (len(got), block(one)) == (100_000, got)
    assert one.reply.message.truncated == "length"


def test_closing_cuts_what_is_under_way_and_says_that_it_was_time(tmp_path):
    def silent(connection):
        connection.sendall(PAGE[:-1])
        connection.recv(1)

    with Origin({"/": silent}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").exactly(len(PAGE) - 1)
            proxy.close()
        one = kept.next()
    assert block(one) == PAGE[:-1]
    assert one.reply.message.truncated == "time"


# ---------------------------------------------------------------- what is not reached


def test_a_redirect_is_left_to_the_browser_and_its_goal_to_the_guard(tmp_path):
    page = redirect("http://10.0.0.1/admin")
    with Origin({"/": page}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/").exactly(len(page)) == page
            told = client.ask("http://10.0.0.1/admin").all()
        kept.next()
        one = kept.next()
    assert told.startswith(b"HTTP/1.1 502 Bad Gateway\r\nMuniment-Proxy: ")
    assert told.endswith(
        b"blocked-address: 10.0.0.1 may not be contacted: 10.0.0.1 is a private address (10.0.0.0/8)\n"
    )
    assert (one.reply.failure, one.reply.message) == ("blocked-address", None)
    assert one.order.url == "http://10.0.0.1/admin"


def dead():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def unresolved(*_):
    raise OSError(0, "no such name")


def mute(connection):
    connection.recv(1)


NOTHING = {
    "nobody listens": (None, "connect", b"502"),
    "an end before anything": (says(b""), "no-response", b"502"),
    "a reset before anything": (says(b"", reset), "reset", b"502"),
    "silence": (mute, "timeout", b"504"),
}


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_where_nothing_came_the_browser_hears_it_from_the_proxy(case, tmp_path):
    page, failure, status = case
    with Origin({"/": page or PAGE}) as site, recording(tmp_path, patience=HASTY) as (proxy, kept):  # fmt: skip
        url = site.url if page else f"http://127.0.0.1:{dead()}"
        with Client(proxy.endpoint) as client:
            told = client.ask(f"{url}/").all()
        one = kept.next()
    assert told[9:12] == status
    assert b"Muniment-Proxy" in told
    assert one.reply.failure == failure
    assert one.reply.message is None or one.reply.message.block.size == 0
    assert kept.rest() == []


def test_what_a_browser_asks_for_itself_is_refused_and_not_told(tmp_path):
    with recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            told = client.ask("http://www.gstatic.com/generate_204").head()
        assert told.startswith(b"HTTP/1.1 403 ")
        assert proxy.notes == ("1 requests of the browser's own were not made",)
    assert kept.rest() == []


LIMITS = {
    "too many exchanges": (Bounds(exchanges=1), "limit: 1 exchanges, no other"),
    "too many bytes": (Bounds(size=len(PAGE)), f"limit: {len(PAGE)} bytes in all, no more"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIMITS.values(), ids=LIMITS)
def test_beyond_a_limit_the_browser_is_refused_and_a_note_says_so(case, tmp_path):
    bounds, note = case
    with Origin({"/": PAGE}) as site, recording(tmp_path, bounds=bounds) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").exactly(len(PAGE))
            assert client.ask(f"{site.url}/").all().startswith(b"HTTP/1.1 503 ")
        kept.next()
        assert proxy.notes == (note,)
        assert site.requests == ["/"]
    assert kept.rest() == []


def test_after_the_deadline_nothing_is_waited_for(tmp_path):
    patience = Patience(ends_at=0.0)
    with Origin({"/": mute}) as site, recording(tmp_path, patience=patience) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/").all().startswith(b"HTTP/1.1 504 ")
        assert kept.next().reply.failure == "timeout"


def test_what_goes_wrong_in_keeping_is_raised_when_it_is_asked_for(tmp_path):
    def full(_):
        raise StorageError("no space")

    with Origin({"/": PAGE}) as site, recording(tmp_path, hears=full) as (proxy, _):
        proxy.check()
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/").all()
        with pytest.raises(StorageError):
            proxy.check()


# ------------------------------------------------------------------------------- TLS


@pytest.fixture
def authority(tmp_path):
    return Authority.made(tmp_path)


def leading(site):
    """Lead every name to a server on loopback."""
    rule = ConnectTo(to_host="127.0.0.1", to_port=site.port)
    return Policy(connect_to=(rule,))


def test_within_a_tunnel_the_connection_behind_it_is_told(tmp_path, authority):
    pages = {"/a": PAGE, "/b": CHUNKED}
    with (
        Origin(pages, tls=authority.server("a.example")) as site,
        recording(tmp_path, cacert=authority.path, policy=leading(site)) as (
            proxy,
            kept,
        ),
    ):
        with Client(proxy.endpoint) as client:
            client.secure("a.example:443")
            asked = ("Referer: https://b.example/", "Sec-Fetch-Dest: image")
            client.get("/a", "a.example", *asked)
            assert client.exactly(len(PAGE)) == PAGE
            assert client.get("/b", "a.example").exactly(len(CHUNKED)) == CHUNKED
        first, second = kept.next(), kept.next()
        assert site.connections == 1
    assert first.order.url == "https://a.example/a"
    assert (first.referrer, first.destination) == ("https://b.example/", "image")
    assert first.reply.contact.tls == "tls/1.3"
    assert first.reply.contact.handshake.trusted_by == "--cacert"
    assert second.reply.contact is first.reply.contact
    assert (first.tunnel, second.tunnel) == (1, 1)


def test_a_certificate_that_fails_is_a_failure_and_nothing_is_asked(
    tmp_path, authority
):
    with (
        Origin({"/": PAGE}, tls=authority.server("a.example", expired=True)) as site,
        recording(tmp_path, cacert=authority.path, policy=leading(site)) as (
            proxy,
            kept,
        ),
    ):
        with Client(proxy.endpoint) as client:
            told = client.secure("a.example:443").get("/", "a.example").all()
        one = kept.next()
        assert site.requests == []
    assert told.startswith(b"HTTP/1.1 502 ")
    assert one.reply.failure == "tls"


def test_a_certificate_that_fails_is_taken_and_told_where_that_is_asked(
    tmp_path, authority
):
    with (
        Origin({"/": PAGE}, tls=authority.server("a.example", expired=True)) as site,
        recording(tmp_path, cacert=authority.path, policy=leading(site), takes_invalid=True) as (proxy, kept),
    ):  # fmt: skip
        with Client(proxy.endpoint) as client:
            client.secure("a.example:443").get("/", "a.example")
            assert client.exactly(len(PAGE)) == PAGE
        assert kept.next().reply.contact.tls_invalid == "certificate has expired"


def test_secrets_are_masked_in_what_is_kept_and_sent_as_they_are(tmp_path):
    with Origin({"/": PAGE}) as site, recording(tmp_path, secrets=(b"s3cret",)) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            client.ask(f"{site.url}/", "Cookie: id=s3cret").exactly(len(PAGE))
        assert b"Cookie: id=s3cret\r\n" in site.heads[0]
        assert b"Cookie: id=******\r\n" in kept.next().reply.message.sent


# ------------------------------------------------------------------------- WebSocket

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")


def echoing(connection):
    connection.sendall(SWITCH + b"hi")
    with suppress(OSError):
        while data := connection.recv(100):
            connection.sendall(data)


def test_a_socket_is_carried_and_its_frames_are_not_claimed(tmp_path):
    with Origin({"/ws": echoing}) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            client.connect(f"127.0.0.1:{site.port}")  # as Chromium does for ws:
            client.get("/ws", site.url[7:], *UPGRADE)
            assert client.exactly(len(SWITCH) + 2) == SWITCH + b"hi"
            one = kept.next()
            assert client.send(b"frame").exactly(5) == b"frame"
        while not proxy.notes:
            pass
        assert proxy.notes == (f"{site.url}/ws: websocket, 5 bytes received and 5 sent behind the 101 were carried, not kept",)  # fmt: skip
    assert block(one) == SWITCH
    assert one.reply.message.anomalies == ()
    assert one.order.url == f"{site.url}/ws"


def test_a_socket_is_carried_within_tls(tmp_path, authority):
    with (
        Origin({"/ws": echoing}, tls=authority.server("a.example")) as site,
        recording(tmp_path, cacert=authority.path, policy=leading(site)) as (
            proxy,
            kept,
        ),
        Client(proxy.endpoint) as client,
    ):
        client.secure("a.example:443").get("/ws", "a.example", *UPGRADE)
        assert client.exactly(len(SWITCH) + 2) == SWITCH + b"hi"
        assert client.send(b"x" * 90).exactly(90) == b"x" * 90
        assert block(kept.next()) == SWITCH


def test_a_101_that_nobody_asked_for_is_an_answer_like_any(tmp_path):
    with Origin({"/": says(SWITCH + b"hi")}) as site, recording(tmp_path) as (proxy, kept):  # fmt: skip
        with Client(proxy.endpoint) as client:
            assert client.ask(f"{site.url}/").all() == SWITCH + b"hi"
        one = kept.next()
    assert block(one) == SWITCH + b"hi"
    assert one.reply.message.anomalies == ("overlong",)
