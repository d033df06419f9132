"""Playback: what was recorded, to the byte; what was not, named; and no network."""

import pytest
from origins import answer
from proxying import Client, Shelved

from pipeline.capture.playback import Playback, Played
from pipeline.clock import SystemClock
from pipeline.errors import StorageError

URL = "https://a.example"
PAGE = answer(b"hello")


@pytest.fixture
def made(tmp_path):
    return Shelved(tmp_path)


def playing(made):
    made.shelf()
    return Playback(SystemClock(), [made.path])


def tunnel(playback):
    return Client(playback.endpoint).secure("a.example:443")


RECORDED = {
    "an ordinary answer": PAGE,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "an end that only the connection told": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "odd lines": b"HTTP/1.1 200\tfine \nx-A:\t\xe9 \r\ncontent-LENGTH:1\r\n\r\n!",
    "less than was told": PAGE[:-2],
    "no status line": b"<html>",
    "two megabytes": answer(b"0123456789abcdef" * 2**17),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("block", RECORDED.values(), ids=RECORDED)
def test_what_was_recorded_is_sent_to_the_byte(block, made):
    with playing(made.put("/x", block)) as playback, tunnel(playback) as client:
        assert client.get("/x", "a.example", "Connection: close").all() == block
        assert playback.played == Played(served=1)


def test_a_connection_goes_on_behind_an_answer_that_tells_its_end(made):
    with playing(made.put("/x", PAGE).put("/y", PAGE)) as playback, tunnel(playback) as client:  # fmt: skip
        for path in "/x", "/y":
            assert client.get(path, "a.example").exactly(len(PAGE)) == PAGE


def test_what_was_not_recorded_is_marked_and_named_once(made):
    with playing(made.put("/x", PAGE)) as playback:
        for _ in range(2):
            with tunnel(playback) as client:
                told = client.get("/none", "a.example").all()
        assert told.startswith(
            b"HTTP/1.1 404 Not Found\r\nMuniment-Proxy: Not Found\r\n"
        )
        assert playback.played == Played(missing=(f"{URL}/none",))


def test_a_socket_is_missing_whatever_was_recorded_of_it(made):
    block = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    lines = ("Upgrade: websocket", "Connection: Upgrade")
    with playing(made.put("/ws", block, *lines)) as playback, tunnel(playback) as client:  # fmt: skip
        assert client.get("/ws", "a.example", *lines).all().startswith(b"HTTP/1.1 404 ")
        assert playback.played.missing == (f"{URL}/ws",)


def test_what_fits_loosely_is_counted_apart(made):
    with playing(made.put("/x?_=1", PAGE)) as playback, tunnel(playback) as client:
        assert client.get("/x?_=2", "a.example").exactly(len(PAGE)) == PAGE
        assert playback.played == Played(served=1, loose=(f"{URL}/x?_=2",))


WHOLES = {
    "a whole": (answer(b"0123456789" * 10_000), ()),
    "a longer part": (answer(b"0123456789" * 9_999, status="206 Partial Content", Content_Range="bytes 10-99999/100000"), ("Range: bytes=10-",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLES.values(), ids=WHOLES)
def test_a_part_of_it_is_cut_out_and_marked(case, made):
    block, lines = case
    with playing(made.put("/x", block, *lines)) as playback, tunnel(playback) as client:
        told = client.get("/x", "a.example", "Range: bytes=65533-65540").all()
        assert playback.played == Played(served=1, parts=1)
    head, _, body = told.partition(b"\r\n\r\n")
    assert body == b"34567890"
    assert head.startswith(
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\n"
    )
    assert (
        b"\r\nContent-Length: 8\r\nContent-Range: bytes 65533-65540/100000\r\n" in head
    )
    assert b"\r\nMuniment-Playback: " in head


def test_what_a_browser_asks_for_itself_is_not_missing(made):
    with playing(made.put("/x", PAGE)) as playback, Client(playback.endpoint) as client:
        told = client.ask("http://www.gstatic.com/generate_204").head()
        assert told.startswith(b"HTTP/1.1 403 ")
        assert playback.played == Played(own=1)


def test_a_warc_that_is_gone_is_told_when_it_is_asked_for(made):
    with playing(made.put("/x", PAGE)) as playback, tunnel(playback) as client:
        playback.check()
        made.path.unlink()
        client.get("/x", "a.example").all()
        with pytest.raises(StorageError):
            playback.check()


def test_a_browser_that_hangs_up_ends_its_connection_alone(made):
    block = answer(b"x" * 10_000_000)
    with playing(made.put("/x", block)) as playback:
        for path in ("/x", "/x"):
            with tunnel(playback) as client:
                client.get(path, "a.example").head()
        with tunnel(playback) as client:
            assert client.get("/x", "a.example", "Range: bytes=0-9999998").head()
        with tunnel(playback) as client:
            assert client.get("/x", "a.example").exactly(len(block)) == block


def test_closing_ends_a_connection_that_waits(made):
    with playing(made.put("/x", PAGE)) as playback, tunnel(playback) as client:
        playback.close()
        assert client.all() == b""
