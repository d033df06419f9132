"""The recorder keeps every byte, follows the framing, and never raises."""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.capture.wire import HEAD_LIMIT, IN_MEMORY, Message, Recording, Truncation

OK = b"HTTP/1.1 200 OK\r\n"
DISCONNECT, LENGTH, TIME = Truncation.DISCONNECT, Truncation.LENGTH, Truncation.TIME


@dataclass(frozen=True, kw_only=True)
class Case:
    wire: bytes
    payload: bytes = b""
    status: int | None = 200
    truncated: str = ""
    anomalies: tuple[str, ...] = ()
    may_keep_alive: bool = False
    method: str = "GET"
    interim: int = 0
    end: Truncation | None = None  # how it ends; None: an orderly close


CASES = {
    "a length and as much body": Case(
        wire=OK + b"Content-Length: 5\r\n\r\nhello", payload=b"hello", may_keep_alive=True
    ),
    "a length of nothing": Case(wire=OK + b"Content-Length: 0\r\n\r\n", may_keep_alive=True),
    "the connection is not kept": Case(
        wire=OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", payload=b"ok"
    ),
    "HTTP/1.0 closes unless it says otherwise": Case(
        wire=b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", payload=b"ok"
    ),
    "HTTP/1.0 keeps the connection alive": Case(
        wire=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        payload=b"ok",
        may_keep_alive=True,
    ),
    "chunks": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\n\r\n",
        payload=b"hello wo",
        may_keep_alive=True,
    ),
    "chunks and a trailer": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
        payload=b"a",
        may_keep_alive=True,
    ),
    "chunk sizes in capitals and with zeros": Case(
        wire=OK + b"Transfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        payload=b"0123456789",
        may_keep_alive=True,
    ),
    "until close": Case(wire=OK + b"\r\nall there is", payload=b"all there is"),
    "until close, and reset": Case(
        wire=OK + b"\r\npart", payload=b"part", end=DISCONNECT, truncated="disconnect"
    ),
    "a short body": Case(
        wire=OK + b"Content-Length: 10\r\n\r\nhello", payload=b"hello", truncated="disconnect"
    ),
    "silence in the body": Case(
        wire=OK + b"Content-Length: 10\r\n\r\nhello", payload=b"hello", end=TIME, truncated="time"
    ),
    "more than we take": Case(
        wire=OK + b"Content-Length: 10\r\n\r\nhello", payload=b"hello", end=LENGTH, truncated="length"
    ),
    "a body longer than told": Case(
        wire=OK + b"Content-Length: 2\r\n\r\nokay", payload=b"ok", anomalies=("overlong",)
    ),
    "a body where none belongs": Case(
        wire=b"HTTP/1.1 204 No Content\r\n\r\nboo", status=204, anomalies=("overlong",)
    ),
    "not modified": Case(
        wire=b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", status=304, may_keep_alive=True
    ),
    "an answer to HEAD": Case(
        wire=OK + b"Content-Length: 99\r\n\r\n", method="HEAD", may_keep_alive=True
    ),
    "the last chunk is missing": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        payload=b"hello",
        truncated="disconnect",
        anomalies=("missing-last-chunk",),
    ),
    "a chunk size that is none": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\nworld",
        payload=b"hello",
        truncated="disconnect",
        anomalies=("bad-chunk", "missing-last-chunk"),
    ),
    "a chunk that is longer than told": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        payload=b"he",
        truncated="disconnect",
        anomalies=("bad-chunk", "missing-last-chunk"),
    ),
    "a negative chunk": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        truncated="disconnect",
        anomalies=("bad-chunk", "missing-last-chunk"),
    ),
    "bytes behind the last chunk": Case(
        wire=OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        payload=b"a",
        anomalies=("overlong",),
    ),
    "two lengths that differ": Case(
        wire=OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        payload=b"hello!",
        anomalies=("two-lengths",),
    ),
    "the same length twice": Case(
        wire=OK + b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
        payload=b"hello",
        may_keep_alive=True,
    ),
    "a negative length": Case(
        wire=OK + b"Content-Length: -5\r\n\r\nhello", payload=b"hello", anomalies=("bad-length",)
    ),
    "a length in other digits": Case(
        wire=OK + b"Content-Length: 0x5\r\n\r\nhello", payload=b"hello", anomalies=("bad-length",)
    ),
    "a length and chunks": Case(
        wire=OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        payload=b"a",
        anomalies=("length-and-chunked",),
    ),
    "a transfer coding we do not take off": Case(
        wire=OK + b"Transfer-Encoding: gzip\r\n\r\nzzz", payload=b"zzz"
    ),
    "lines that end in a bare LF": Case(
        wire=b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", payload=b"ok", anomalies=("bare-lf",)
    ),
    "a folded header": Case(
        wire=OK + b"X-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok", payload=b"ok", anomalies=("obs-fold",)
    ),
    "NUL and Latin-1 in a header": Case(
        wire=OK + b"X-A: caf\xe9\0\r\nContent-Length: 2\r\n\r\nok", payload=b"ok", anomalies=("nul",)
    ),
    "a header without a colon": Case(
        wire=OK + b"nonsense\r\nContent-Length: 2\r\n\r\nok", payload=b"ok", anomalies=("header-junk",)
    ),
    "a space before the colon": Case(
        wire=OK + b"X-A : b\r\nContent-Length: 2\r\n\r\nok", payload=b"ok", anomalies=("header-junk",)
    ),
    "no status line": Case(
        wire=b"<html>hello</html>", payload=b"<html>hello</html>", status=None, anomalies=("no-status-line",)
    ),
    "random bytes": Case(
        wire=b"\x00\xff\x16\x03\x01HTTP/1.1", payload=b"\x00\xff\x16\x03\x01HTTP/1.1", status=None, anomalies=("no-status-line",)
    ),
    "a status line with no number": Case(
        wire=b"HTTP/1.1 two hundred\r\n\r\nhello", payload=b"hello", status=None, anomalies=("no-status-line",)
    ),
    "a status without a reason": Case(
        wire=b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", payload=b"ok", may_keep_alive=True
    ),
    "the head is cut": Case(
        wire=OK + b"Content-Type: text/h", truncated="disconnect"
    ),
    "the status line is cut": Case(
        wire=b"HTTP/1", status=None, truncated="disconnect", anomalies=("no-status-line",)
    ),
    "nothing at all": Case(wire=b"", status=None, truncated="disconnect"),
    "early hints, then the answer": Case(
        wire=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
        payload=b"ok",
        interim=1,
        may_keep_alive=True,
    ),
    "100 continue, then nothing": Case(
        wire=b"HTTP/1.1 100 Continue\r\n\r\n", status=None, interim=1, truncated="disconnect"
    ),
    "switching protocols is an answer": Case(
        wire=b"HTTP/1.1 101 Switching Protocols\r\n\r\n", status=101, may_keep_alive=True
    ),
    "endless interim heads": Case(
        wire=b"HTTP/1.1 102 Processing\r\n\r\n" * 40,
        payload=b"HTTP/1.1 102 Processing\r\n\r\n" * 19,
        status=None,
        interim=21,
        truncated="length",
        anomalies=("interim-flood",),
    ),
    "two hundred headers are taken": Case(
        wire=OK + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"Content-Length: 2\r\n\r\nok",
        payload=b"ok",
        may_keep_alive=True,
    ),
    "more than a thousand header lines": Case(
        wire=OK + b"X: y\r\n" * 1100 + b"Content-Length: 2\r\n\r\nok",
        payload=b"ok",
        truncated="length",
        anomalies=("too-many-headers",),
    ),
}  # fmt: skip


def recorded(case: Case, folder: Path, pieces: list[bytes]) -> Message:
    recording = Recording(folder=folder, method=case.method)
    for piece in pieces:
        if recording.is_complete and not recording.has_head:
            break
        recording.received(piece)
    if case.end:
        recording.end(case.end)
    else:
        recording.closed()
    return recording.message()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_message_is_told_as_it_came(case, tmp_path):
    message = recorded(case, tmp_path, [case.wire] if case.wire else [])
    assert message.head.status == case.status
    assert b"".join(bytes(p) for p in message.payload()) == case.payload
    assert message.payload_size == len(case.payload)
    assert message.truncated == case.truncated
    assert set(message.anomalies) == set(case.anomalies)
    assert message.may_keep_alive == case.may_keep_alive
    assert len(message.interim) == case.interim


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_byte_received_is_kept(case, tmp_path):
    message = recorded(case, tmp_path, [case.wire])
    assert b"".join(message.interim) + b"".join(message.block) == case.wire


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_digests_are_of_the_block_and_of_the_payload(case, tmp_path):
    message = recorded(case, tmp_path, [case.wire])
    block = b"".join(message.block)
    assert message.block_digest.hex == hashlib.sha256(block).hexdigest()
    assert message.payload_digest.hex == hashlib.sha256(case.payload).hexdigest()


@pytest.mark.parametrize(
    "case",
    [c for c in CASES.values() if len(c.wire) < 2000],
    ids=lambda c: str(c.wire[:40]),
)
def test_a_message_byte_by_byte_is_the_same_message(case, tmp_path):
    whole = recorded(case, tmp_path, [case.wire])
    single = recorded(
        case, tmp_path, [case.wire[n : n + 1] for n in range(len(case.wire))]
    )
    assert b"".join(single.block) == b"".join(whole.block)
    assert single.head.status == whole.head.status
    assert single.head.headers == whole.head.headers
    assert single.payload_digest == whole.payload_digest
    assert single.truncated == whole.truncated
    assert set(single.anomalies) == set(whole.anomalies)


def test_an_endless_head_stops_at_its_limit(tmp_path):
    recording = Recording(folder=tmp_path)
    recording.received(OK)
    while not recording.is_complete:
        recording.received(b"X-More: " + b"y" * 1000 + b"\r\n")
    message = recording.message()
    assert HEAD_LIMIT < message.block.size < HEAD_LIMIT + 2000
    assert message.truncated == "length"
    assert message.anomalies == ("header-too-large",)


FLOODS = {
    "trailers without end": (b"0\r\n", b"X-More: y\r\n", "trailer-too-large"),
    "one trailer without end": (b"0\r\nX: ", b"y" * 999, "trailer-too-large"),
    "a chunk's size without end": (b"", b"1" * 999, "chunk-line-too-large"),
    "a chunk extension without end": (b"5;a=", b"b" * 999, "chunk-line-too-large"),
}


@pytest.mark.parametrize(("start", "more", "anomaly"), FLOODS.values(), ids=FLOODS)
def test_what_surrounds_the_chunks_has_its_limit(start, more, anomaly, tmp_path):
    recording = Recording(folder=tmp_path)
    recording.received(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    recording.received(b"5\r\nhello\r\n" + start)
    while not recording.is_complete:
        recording.received(more)
        assert recording.size < HEAD_LIMIT + 2000
    message = recording.message()
    assert message.truncated == "length"
    assert message.anomalies == (anomaly,)
    assert b"".join(bytes(p) for p in message.payload()) == b"hello"
    assert not message.may_keep_alive


def test_a_giant_chunk_extension_is_no_better_for_coming_at_once(tmp_path):
    recording = Recording(folder=tmp_path)
    recording.received(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    recording.received(b"5;a=" + b"b" * 20_000 + b"\r\nhello\r\n0\r\n\r\n")
    message = recording.message()
    assert message.anomalies == ("chunk-line-too-large",)
    assert message.truncated == "length"


def test_a_large_body_goes_to_disk_and_comes_back_whole(tmp_path):
    body = bytes(range(256)) * (3 * IN_MEMORY // 256)
    recording = Recording(folder=tmp_path)
    recording.received(OK + b"Content-Length: %d\r\n\r\n" % len(body))
    for at in range(0, len(body), 300_000):
        recording.received(body[at : at + 300_000])
    message = recording.message()
    assert recording.is_complete
    assert b"".join(bytes(p) for p in message.payload()) == body
    assert message.payload_digest.hex == hashlib.sha256(body).hexdigest()
    assert list(tmp_path.iterdir()) == []  # the spool has no name
    message.block.close()


def test_secrets_are_masked_at_equal_length(tmp_path):
    recording = Recording(folder=tmp_path, secrets=(b"hunter2",))
    recording.sent(b"GET / HTTP/1.1\r\nAuthorization: Bearer hunter2\r\n\r\n")
    recording.closed()
    sent = recording.message().sent
    assert sent == b"GET / HTTP/1.1\r\nAuthorization: Bearer *******\r\n\r\n"


def test_a_header_is_found_by_its_name_in_lower_case(tmp_path):
    case = Case(
        wire=OK + b"SET-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    )
    head = recorded(case, tmp_path, [case.wire]).head
    assert head.values("set-cookie") == ("a=1", "b=2")
    assert head.value("set-cookie") == "a=1"
    assert head.value("location") == ""


@settings(max_examples=300, deadline=None)
@given(
    wire=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [OK, b"\r\n", b"\n", b"Transfer-Encoding: chunked", b"Content-Length: 3", b"0\r\n\r\n", b"2\r\nab", b":", b"HTTP/1.1 100 C\r\n\r\n", b"\0", b" x"]
            ),
            max_size=12,
        ).map(b"".join),
    ),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    end=st.sampled_from([None, *Truncation]),
)  # fmt: skip
def test_no_bytes_make_it_raise_or_lose_any(wire, cuts, end, tmp_path_factory):
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    pieces = [wire[a:b] for a, b in itertools.pairwise(edges)]
    case = Case(wire=wire, end=end)
    message = recorded(case, tmp_path_factory.getbasetemp(), [p for p in pieces if p])
    assert b"".join(message.interim) + b"".join(message.block) == wire
    assert message.payload_size == sum(map(len, message.payload()))
