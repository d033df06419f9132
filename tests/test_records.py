"""One visit's WARC: what crossed the wire, read back by three readers."""

import hashlib
import io
import json
import random
import socket
import zlib
from dataclasses import dataclass
from datetime import timedelta

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from origins import FixedClock, Origin, answer
from warcio.archiveiterator import ArchiveIterator

from pipeline import warc
from pipeline.capture.order import Order, Patience
from pipeline.capture.records import WARC_PATH, Note, Records, is_dense
from pipeline.capture.wire import Recording
from pipeline.clock import SystemClock
from pipeline.model import Digest, Previous, Purpose, Verdict

ABOUT = (("software", "Muniment/test"), ("robots", "record"))
NOTE = Note(purpose=Purpose.DOCUMENT)
DRAWN = random.Random(7).randbytes(200_000)


@dataclass
class Visit:
    """A WARC under way, and the door through which its exchanges come."""

    folder: object
    door: object
    records: Records

    def fetch(self, url, note=NOTE, **options):
        headers = options.pop("headers", {"User-Agent": "test"})
        order = Order(url=url, headers=headers, folder=self.folder, **options)
        reply = self.door.fetch(order)
        told = self.records.exchange(reply, note)
        if reply.message is not None:
            reply.message.block.close()
        return told

    def finish(self):
        self.artefact, self.index = self.records.finish()
        return list(warc.read(self.folder / WARC_PATH))

    @property
    def bytes(self):
        return (self.folder / WARC_PATH).read_bytes()


@pytest.fixture
def visit(network, tmp_path):
    made = []

    def make(door=None, clock=None):
        clock = clock or FixedClock()
        records = Records(tmp_path, clock=clock, about=ABOUT)
        made.append(records)
        return Visit(tmp_path, door or network(clock), records)

    yield make
    for one in made:
        one.close()


def of(records, kind):
    return [record for record in records if record.type == kind]


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# -------------------------------------------------------------------------- its shape


def test_warcinfo_stands_first_and_says_what_it_was_told(visit):
    under_way = visit()
    (info,) = under_way.finish()
    assert info.type == "warcinfo"
    assert info.block == b"software: Muniment/test\r\nrobots: record\r\n"
    assert dict(info.fields) == {
        "WARC-Type": "warcinfo",
        "WARC-Record-ID": "<urn:uuid:00000001-0000-4000-8000-000000000000>",
        "WARC-Date": "2026-09-24T03:17:00.000000Z",
        "WARC-Filename": "capture.warc.gz",
        "Content-Type": "application/warc-fields",
        "WARC-Block-Digest": sha256(info.block),
        "Content-Length": str(len(info.block)),
    }


def test_a_response_and_its_request_stand_side_by_side(visit):
    clock = FixedClock()
    clock.seconds = 1.5
    page = answer(b"hello")
    with Origin({"/a": page}) as site:
        under_way = visit(clock=clock)
        told = under_way.fetch(f"{site.url}/a")
        sent = site.heads[0]
    info, response, request = under_way.finish()
    assert response.fields == (
        ("WARC-Type", "response"),
        ("WARC-Record-ID", told.response.id),
        ("WARC-Date", "2026-09-24T03:17:01.500000Z"),
        ("WARC-Target-URI", f"{site.url}/a"),
        ("WARC-IP-Address", "127.0.0.1"),
        ("WARC-Protocol", "http/1.1"),
        ("WARC-Payload-Digest", sha256(b"hello")),
        ("WARC-Warcinfo-ID", info.field("WARC-Record-ID")),
        ("Content-Type", "application/http; msgtype=response"),
        ("WARC-Block-Digest", sha256(page)),
        ("Content-Length", str(len(page))),
    )
    assert request.fields == (
        ("WARC-Type", "request"),
        ("WARC-Record-ID", told.request.id),
        ("WARC-Date", "2026-09-24T03:17:01.500000Z"),
        ("WARC-Target-URI", f"{site.url}/a"),
        ("WARC-Concurrent-To", told.response.id),
        ("WARC-IP-Address", "127.0.0.1"),
        ("WARC-Warcinfo-ID", info.field("WARC-Record-ID")),
        ("Content-Type", "application/http; msgtype=request"),
        ("WARC-Block-Digest", sha256(sent)),
        ("Content-Length", str(len(sent))),
    )
    assert (response.block, request.block) == (page, sent)


def test_tls_is_told_with_its_cipher(visit, network, authority):
    with Origin({"/": answer(b"x")}, tls=authority.server("localhost")) as site:
        under_way = visit(network(cacert=authority.path))
        told = under_way.fetch(f"https://localhost:{site.port}/")
    response = of(under_way.finish(), "response")[0]
    assert [v for n, v in response.fields if n == "WARC-Protocol"] == ["http/1.1", "tls/1.3"]  # fmt: skip
    assert response.field("WARC-Cipher-Suite") == told.cipher != ""


def test_an_exchange_is_told_as_the_file_has_it(visit):
    page = answer(b"hello", kind="Text/HTML; charset=utf-8")
    with Origin({"/a": page}) as site:
        under_way = visit()
        note = Note(purpose=Purpose.REQUISITE, attempt=2, referrer="http://a.example/", location="http://b.example/")  # fmt: skip
        told = under_way.fetch(f"{site.url}/a", note)
    assert (told.url, told.status, told.media_type) == (f"{site.url}/a", 200, "text/html")  # fmt: skip
    assert (told.size, told.payload_size) == (len(page), 5)
    assert str(told.payload) == sha256(b"hello")
    assert (told.ip, told.port, told.dns) == ("127.0.0.1", site.port, ("127.0.0.1",))
    assert told.protocols == ("http/1.1",)
    assert (told.purpose, told.attempt) == (Purpose.REQUISITE, 2)
    assert (told.referrer, told.location) == ("http://a.example/", "http://b.example/")


def cut(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")


def stalling(connection):
    cut(connection)
    connection.recv(1)


TRUNCATED = {
    "disconnect": (cut, Patience(timeout=5)),
    "time": (stalling, Patience(timeout=0.2)),
    "length": (answer(b"x" * 1000), Patience(max_size=500)),
}


@pytest.mark.parametrize("why", TRUNCATED)
def test_a_cut_response_says_so(why, visit, network):
    page, patience = TRUNCATED[why]
    with Origin({"/": page}) as site:
        under_way = visit(network(SystemClock()))
        told = under_way.fetch(site.url + "/", patience=patience)
    response = of(under_way.finish(), "response")[0]
    assert response.field("WARC-Truncated") == told.truncated == why
    assert response.field("WARC-Block-Digest") == sha256(response.block)
    body = response.block.partition(b"\r\n\r\n")[2]
    assert response.field("WARC-Payload-Digest") == sha256(body)


# ------------------------------------------------------------------- what left nothing


def test_a_refused_connection_is_a_metadata_record(visit):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    under_way = visit()
    told = under_way.fetch(f"http://127.0.0.1:{port}/", Note(purpose=Purpose.DOCUMENT, attempt=3))  # fmt: skip
    _, failed = under_way.finish()
    assert failed.type == "metadata"
    assert failed.field("WARC-Target-URI") == f"http://127.0.0.1:{port}/"
    assert failed.field("Content-Type") == "application/warc-fields"
    assert failed.block.decode().splitlines() == [
        "failure: connect",
        f"detail: 127.0.0.1 port {port}: Connection refused",
        "attempt: 3",
        "dns-answer: 127.0.0.1",
        "ip: 127.0.0.1",
    ]
    assert (told.failure, told.response, told.request) == ("connect", None, None)
    assert told.status is None
    assert under_way.index == b""


def test_a_name_that_leads_nowhere_keeps_what_was_answered(visit, network):
    door = network(resolve=lambda host, port: ["127.0.0.2", "127.0.0.3"])
    under_way = visit(door)
    told = under_way.fetch("http://evil.example/")
    block = under_way.finish()[1].block
    assert b"failure: blocked-address\r\n" in block
    assert b"dns-answer: 127.0.0.2\r\ndns-answer: 127.0.0.3\r\n" in block
    assert told.dns == ("127.0.0.2", "127.0.0.3")


def test_a_request_without_a_response_is_kept_beside_the_failure(visit):
    with Origin({"/": lambda _: None}) as site:
        under_way = visit()
        told = under_way.fetch(site.url + "/")
        sent = site.heads[-1]
    _, failed, request = under_way.finish()
    assert failed.block.startswith(b"failure: no-response\r\n")
    assert (request.type, request.block) == ("request", sent)
    assert request.field("WARC-Concurrent-To") == ""
    assert (told.response, told.request.id) == (None, request.field("WARC-Record-ID"))


def test_interim_heads_and_anomalies_stand_beside_the_response(visit):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    odd = b"HTTP/1.1 200 OK\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nokay"
    with Origin({"/": lambda s: s.sendall(early + early + odd)}) as site:
        under_way = visit()
        told = under_way.fetch(site.url + "/")
    _, response, request, one, two, anomalies = under_way.finish()
    assert (response.block, request.type) == (odd, "request")
    assert one.block == two.block == early
    assert one.field("Content-Type") == "application/http; msgtype=response"
    named = anomalies.block.decode().splitlines()
    assert set(named) == {"anomaly: bare-lf", "anomaly: obs-fold", "anomaly: overlong"}
    assert set(told.anomalies) == {"bare-lf", "obs-fold", "overlong"}
    assert [r.type for r in (one, two, anomalies)] == ["metadata"] * 3
    assert {r.field("WARC-Concurrent-To") for r in (one, two, anomalies)} == {told.response.id}  # fmt: skip


# --------------------------------------------------------------------------- revisits


def test_a_revisit_holds_the_head_and_says_where_the_rest_is(visit):
    page = answer(b"hello")
    clock = FixedClock()
    known = Previous(
        bag="old",
        verdict=Verdict.CAPTURED,
        captured_at=clock.at - timedelta(days=3, microseconds=7),
        payload=Digest("sha256", hashlib.sha256(b"hello").hexdigest()),
        record="<urn:uuid:old>",
        url="http://old.example/page",
    )
    with Origin({"/": page}) as site:
        under_way = visit(clock=clock)
        note = Note(purpose=Purpose.DOCUMENT, known=known)
        told = under_way.fetch(site.url + "/", note)
    revisit = under_way.finish()[1]
    assert revisit.type == "revisit"
    assert revisit.block == page.removesuffix(b"hello")
    assert revisit.field("WARC-Profile") == "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"  # fmt: skip
    assert revisit.field("WARC-Refers-To") == "<urn:uuid:old>"
    assert revisit.field("WARC-Refers-To-Target-URI") == "http://old.example/page"
    assert revisit.field("WARC-Refers-To-Date") == "2026-09-21T03:16:59.999993Z"
    assert revisit.field("WARC-Payload-Digest") == sha256(b"hello")
    assert revisit.field("WARC-Block-Digest") == sha256(revisit.block)
    assert told.payload_size == 5
    assert json.loads(under_way.index.split(b" ", 2)[2])["mime"] == "warc/revisit"


def test_a_revisit_of_a_record_whose_name_is_lost_does_without(visit):
    known = Previous(bag="old", verdict=Verdict.CAPTURED, captured_at=FixedClock().at)
    with Origin({"/": answer(b"x")}) as site:
        under_way = visit()
        under_way.fetch(site.url + "/", Note(purpose=Purpose.DOCUMENT, known=known))
    assert under_way.finish()[1].field("WARC-Refers-To") == ""


# -------------------------------------------------------------------------- resources


def test_a_resource_names_what_it_was_derived_from(visit):
    with Origin({"/": answer(b"x")}) as site:
        under_way = visit()
        told = under_way.fetch(site.url + "/")
        uri, text = f"urn:text:{site.url}/", "متن".encode()
        ref = under_way.records.resource(uri, text, "text/plain", about=told.response)
        under_way.records.resource("urn:x:1", b"y", "text/plain", about=None)
    *_, resource, lone = under_way.finish()
    assert resource.fields == (
        ("WARC-Type", "resource"),
        ("WARC-Record-ID", ref.id),
        ("WARC-Date", "2026-09-24T03:17:00.000000Z"),
        ("WARC-Target-URI", uri),
        ("Content-Type", "text/plain"),
        ("WARC-Refers-To", told.response.id),
        ("WARC-Block-Digest", sha256(text)),
        ("Content-Length", str(len(text))),
    )
    assert resource.block == text
    assert lone.field("WARC-Refers-To") == ""


# ------------------------------------------------------------------------------ index


def test_the_index_agrees_with_the_file(visit):
    with Origin({"/b": answer(b"bb"), "/a": answer(b"a" * 100_000)}) as site:
        under_way = visit()
        by_url = {}
        for path in ("/b", "/a", "/none"):
            told = under_way.fetch(f"{site.url}{path}")
            by_url[told.url] = told
        ref = under_way.records.resource("urn:text:x", b"x", "text/plain", about=None)
    under_way.finish()
    lines = under_way.index.decode().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 4
    for line in lines:
        told = json.loads(line.split(" ", 2)[2])
        assert told["filename"] == "capture.warc.gz"
        member = under_way.bytes[told["offset"] : told["offset"] + told["length"]]
        inflate = zlib.decompressobj(31)
        text = inflate.decompress(member)
        assert inflate.eof
        assert inflate.unused_data == b""
        exchange = by_url.get(told["url"])
        place = exchange.response if exchange else ref
        assert (told["offset"], told["length"]) == (place.offset, place.length)
        assert f"WARC-Record-ID: {place.id}\r\n".encode() in text
        assert f"WARC-Target-URI: {told['url']}\r\n".encode() in text
        if exchange:
            assert told["status"] == exchange.status
            assert f"WARC-Payload-Digest: {told['digest']}\r\n".encode() in text


def test_the_artefact_is_the_file(visit):
    under_way = visit()
    with Origin({"/": answer(DRAWN)}) as site:
        under_way.fetch(site.url + "/")
    under_way.finish()
    assert under_way.artefact.path == WARC_PATH
    assert under_way.artefact.size == len(under_way.bytes)
    assert under_way.artefact.media_type == "application/warc"
    assert {str(d) for d in under_way.artefact.digests} == {
        f"{name}:{hashlib.new(name, under_way.bytes).hexdigest()}"
        for name in ("sha256", "sha512")
    }


# -------------------------------------------------------------------- hostile answers

OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE = {
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "a bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded lines": OK + b"X: a\r\n\tb\r\nContent-Length: 0\r\n\r\n",
    "NUL and Latin-1": OK + b"X: a\0b\r\nY: caf\xe9\r\nContent-Length: 1\r\n\r\nx",
    "overlong": OK + b"Content-Length: 2\r\n\r\nokay",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokay",
    "a negative length": OK + b"Content-Length: -1\r\n\r\nokay",
    "length and chunks": OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "no status line": b"<html>hello",
    "noise": DRAWN[:3000],
    "a status line alone": b"HTTP/1.1 200 OK\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nX: ",
    "a WARC in a body": OK + b"\r\nWARC/1.1\r\nWARC-Type: response\r\nContent-Length: 0\r\n\r\n\r\n\r\n",
    "a gzip member in a body": OK + b"\r\n" + warc.GZIP_HEAD + DRAWN[:100],
    "two hundred headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"Content-Length: 1\r\n\r\nx",
    "a large body": OK + b"\r\n" + DRAWN * 8,
    "no body": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("wire", HOSTILE.values(), ids=HOSTILE.keys())
def test_three_readers_find_what_the_server_sent(wire, visit):
    with Origin({"/": lambda s: s.sendall(wire)}) as site:
        under_way = visit()
        told = under_way.fetch(site.url + "/")
    ours = of(under_way.finish(), "response")
    assert [record.block for record in ours] == [wire]
    assert ours[0].field("WARC-Block-Digest") == sha256(wire)
    assert told.size == len(wire)
    with (under_way.folder / WARC_PATH).open("rb") as file:
        warcio = [
            record.raw_stream.read()
            for record in ArchiveIterator(file, no_record_parse=True)
            if record.rec_type == "response"
        ]
    fastwarc = [
        record.reader.read()
        for record in FastIterator(io.BytesIO(under_way.bytes), parse_http=False)
        if record.headers["WARC-Type"] == "response"
    ]
    assert warcio == fastwarc == [wire]


# ------------------------------------------------------------------------ what is kept


def test_secrets_are_masked_in_the_request_and_in_every_byte(visit):
    secret = "s3cr3t-0123456789"
    with Origin({"/": answer(b"x")}) as site:
        under_way = visit()
        headers = {"User-Agent": "test", "Authorization": f"Bearer {secret}"}
        under_way.fetch(site.url + "/", headers=headers, secrets=(secret.encode(),))
        assert secret.encode() in site.heads[0]
    records = under_way.finish()
    (request,) = of(records, "request")
    assert f"Authorization: Bearer {'*' * len(secret)}\r\n".encode() in request.block
    assert len(request.block) == len(site.heads[0])
    assert all(secret.encode() not in record.block for record in records)
    assert secret.encode() not in under_way.bytes + under_way.index


DENSE = {
    "a picture": (answer(b"x" * 20_000, kind="image/PNG; a=b"), True),
    "a film": (answer(b"x" * 20_000, kind="video/mp4"), True),
    "a coded text": (answer(b"x" * 20_000, Content_Encoding="gzip"), True),
    "identity is no coding": (answer(b"x" * 20_000, Content_Encoding="identity"), False),
    "a text": (answer(b"x" * 20_000, kind="text/html"), False),
    "a text that looks random": (answer(DRAWN, kind="text/plain"), False),
    "an untold large random body": (answer(DRAWN, kind=""), True),
    "a random body larger than memory": (answer(DRAWN * 8, kind="application/x-y"), True),
    "random chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"400\r\n" + DRAWN[n : n + 1024] + b"\r\n" for n in range(0, 102_400, 1024)) + b"0\r\n\r\n", True),
    "an untold large text": (answer(b"hello " * 20_000, kind=""), False),
    "a small random body": (answer(DRAWN[:1000], kind=""), False),
    "a vector drawing": (answer(b"<svg>" * 9000, kind="image/svg+xml"), False),
    "no body at all": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    "a large head and no body": (OK + b"X: y\r\n" * 900 + b"X: " + b"y" * 15_000 + b"\r\nContent-Length: 0\r\n\r\n", False),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "dense"), DENSE.values(), ids=DENSE.keys())
def test_what_will_not_shrink_is_stored(wire, dense, tmp_path):
    recording = Recording(folder=tmp_path)
    for at in range(0, len(wire), 1 << 16):
        recording.received(wire[at : at + (1 << 16)])
    recording.closed()
    message = recording.message()
    assert is_dense(message) is dense
    message.block.close()


def test_what_is_stored_is_in_the_file_as_it_came(visit):
    with Origin({"/": answer(DRAWN[:30_000], kind="image/png"), "/t": answer(b"z" * 30_000)}) as site:  # fmt: skip
        under_way = visit()
        under_way.fetch(site.url + "/")
        text = under_way.fetch(site.url + "/t")
    under_way.finish()
    assert DRAWN[1000:29_000] in under_way.bytes
    assert text.response.length < 1000
