"""Whatever the bytes, every reader of them ends soon, with a value or a typed error.

One table names each parser of outside bytes, a few sound inputs, and the errors that it
may raise. The inputs are spoilt: cut, doubled, with foreign pieces put in. Errors of any
other type are faults, and so is taking long.
"""

import gzip
import io
import json
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import brotli
import origins
import pytest
import sealing_cases
import shelf
from hostile import bag, tar, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.capture import assess, coding, connections, content
from pipeline.capture import requisites as needed
from pipeline.capture.client import Client, Hop, resolved
from pipeline.capture.datagram import Answer
from pipeline.capture.http import body_of, is_text
from pipeline.capture.order import Contact, Reply
from pipeline.capture.records import Note, Records
from pipeline.capture.robots import judged
from pipeline.capture.wire import Recording, Truncation
from pipeline.errors import FixityError, KeyFileError, UsageError
from pipeline.fixity import digest_of
from pipeline.holdings import note
from pipeline.holdings.custody import Act, Entry, line_of, parse_line
from pipeline.holdings.description import describe
from pipeline.holdings.journal import Begun, Journal, Step
from pipeline.intake import manifest
from pipeline.model import Purpose, Source
from pipeline.packaging import profile, references, tagfiles, warccheck
from pipeline.packaging.serial import validate_serial
from pipeline.packaging.validate import validate
from pipeline.sealing import der, keys, signature, sntp, statement, token

HERE = Path(__file__).parent
LONGEST = 30.0  # seconds that any of them may take; measured, hundredths
AT = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
URL = "http://a.example/dir/page"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads bytes, what they look like when sound, how it may complain."""

    read: Callable[[bytes, Path], object]
    seeds: tuple[bytes | str, ...]  # a text names what stands in ``made``
    errors: tuple[type[Exception], ...] = ()
    runs: int = 60


# ------------------------------------------------------------------------- how to read


def answered(data: bytes, folder: Path, end: Truncation | None = None) -> Reply:
    """Receive bytes as if they came from a server."""
    recording = Recording(folder=folder)
    for at in range(0, len(data), 50):
        if not recording.is_complete:
            recording.received(data[at : at + 50])
    recording.end(end) if end else recording.closed()
    return Reply(url=URL, started=AT, message=recording.message(), contact=Contact())


def read_answer(data: bytes, folder: Path) -> None:
    """Do all that is done with an answer: decode, read, judge, keep."""
    for end in (None, *Truncation):
        reply = answered(data, folder, end)
        assert reply.message is not None
        b"".join(bytes(piece) for piece in reply.message.payload())
        if is_text(reply.message):
            body = body_of(URL, reply.message)
            content.read_html(body.data, body.encoding)
    records = Records(folder, clock=origins.FixedClock(), about=())
    told = records.exchange(reply, Note(purpose=Purpose.DOCUMENT))
    records.finish()
    (folder / "data/objects/capture.warc.gz").unlink()
    assess.judge((told,))


def read_page(data: bytes, _: Path) -> None:
    encoding = content.charset(data, "")
    content.read_html(data, encoding)
    needed.in_html(data, encoding, URL)
    content.sniff(data)


def read_sheet(data: bytes, _: Path) -> None:
    needed.in_css(data, content.css_charset(data, "", "utf-8"), URL)


def read_coded(data: bytes, _: Path) -> None:
    for name in ("gzip", "br", "deflate", "gzip, br"):
        coding.decode(data, name)


def read_robots(data: bytes, folder: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data)
    judged(Hop(reply=answered(head + data, folder)), URL, "Muniment")


def read_location(data: bytes, _: Path) -> None:
    assert resolved(URL, data.decode("latin-1")).startswith(("http://", "https://"))


def read_retry_after(data: bytes, _: Path) -> None:
    told = assess.retry_after(data.decode("latin-1"), AT)
    assert told is None or told >= timedelta(0)


def read_cookies(data: bytes, folder: Path) -> None:
    network = origins.network()
    made = Client(network=network, source=Source(id="one", url=URL), folder=folder, headers={})  # fmt: skip
    made._remember(URL, answered(b"HTTP/1.1 200 OK\r\nSet-Cookie: " + data + b"\r\n\r\n", folder))  # fmt: skip
    assert not set("\r\n\0") & set(made._cookie(URL))


def read_warc(data: bytes, _: Path) -> None:
    list(warccheck.check(io.BytesIO(data), index=b"", capture={}))


def read_capture_json(data: bytes, folder: Path) -> None:
    place = folder / "bag"
    shelf.pack_bytes(place, "bag", "data/metadata/capture.json", data)
    describe(place)


def read_tags(data: bytes, _: Path) -> None:
    tagfiles.parse_declaration(data)
    lines = data.splitlines(keepends=True)
    for is_strict in (True, False):
        tagfiles.parse_info(lines, strict=is_strict)
    for line in lines:
        tagfiles.parse_entry(line)
        tagfiles.parse_fetch(line)


def read_bag(data: bytes, folder: Path) -> None:
    """Read one file of tags in its place within a bag."""
    name = {b"Bag": "bagit.txt", b"Pay": "bag-info.txt", b"htt": "fetch.txt"}
    for path, sound in bag(top=b".").items():
        place = folder / path.decode()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(sound)
    (folder / name.get(data[:3], "manifest-sha256.txt")).write_bytes(data)
    validate(folder)


def read_references(data: bytes, _: Path) -> None:
    def find(*told: object, **more: object) -> object:
        return (told, more)

    list(references.check_premis(data, find))
    list(references.check_table("data/metadata/metadata.csv", data, find))


def from_file(read: Callable[[Path], object], name: str) -> Callable[[bytes, Path], object]:  # fmt: skip
    """Read bytes from a file of this name."""

    def from_path(data: bytes, folder: Path) -> object:
        path = folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return read(path)

    return from_path


def read_token(data: bytes, _: Path) -> None:
    token.peek(data)
    token.chain_of(data)


def read_time(data: bytes, _: Path) -> None:
    sntp.reading(Answer(data=data, address="127.0.0.1", asked=AT, answered=AT), "x")


NTP = 3_999_000_000 << 32  # in September 2026
TIME = sntp.PACKET.pack(4 << 3 | 4, 2, 6, -20, 9, 9, 9, 0, 7, NTP, NTP)


def read_certificate(data: bytes, _: Path) -> None:
    connections.certificate(data)
    connections.log_timestamps(data)


def of_text(read: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    return lambda data, _: read(data.decode("latin-1"))


# --------------------------------------------------------------------------- the table

PAGE = (
    b'<!doctype html><html lang=fa><meta charset=utf-8><title>t</title><base href="/x/">'
    b"<link rel=stylesheet href=a.css><style>@import 'b.css'; a{background:url(c.png)}"
    b"</style><meta http-equiv=refresh content='5; url=/next'><p>Some <b>words</b> of it"
    b'<img srcset="a 1x, b 2x" src=c><iframe srcdoc="<img src=d>"></iframe><noscript><p>'
    b"</noscript><template shadowrootmode=open><i>x</i></template><svg><use href=#a />"
)
SHEET = b"@charset \"utf-8\"; @import url('a'); @font-face{src:url(b),url(\"c\")} d{background:image-set('e' 1x)}"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(gzip.compress(PAGE, mtime=0)), gzip.compress(PAGE, mtime=0))  # fmt: skip
CHUNKS = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 206 Partial\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n"
ENTRY = Entry(act=Act.ACCESSION, at=AT, bag="b", job="j", run="r", path="j/2026/b", tagmanifests=(digest_of(b""),))  # fmt: skip
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URY"
    "N7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()
CAPTURE = {
    "format": "muniment-capture/1",
    "source": {"id": "one", "url": URL},
    "started": "2026-09-24T03:17:00Z",
    "verdict": "captured",
    "reasons": ["x"],
    "exchanges": [{"url": URL, "status": 200, "response": {"id": "<urn:uuid:1>", "offset": 0, "length": 9}}],
    "quotes": [],
    "artefacts": [],
}  # fmt: skip

READERS = {
    "an answer": Reader(read=read_answer, seeds=(ANSWER, CHUNKS)),
    "a page": Reader(read=read_page, seeds=(PAGE,)),
    "a style sheet": Reader(read=read_sheet, seeds=(SHEET,)),
    "content codings": Reader(read=read_coded, seeds=(gzip.compress(PAGE) * 2, brotli.compress(PAGE), zlib.compress(PAGE))),
    "robots.txt": Reader(read=read_robots, seeds=(b"User-agent: *\nDisallow: /*.html$\nAllow: /dir\nCrawl-delay: 5\nSitemap: x\n",)),
    "Location": Reader(read=read_location, seeds=(b"//b.example:80/x?y#z", b"https://\xd9\x86.example/", b"../a/%2e%2e/b"), errors=(ValueError,)),
    "Retry-After": Reader(read=read_retry_after, seeds=(b"120", b"Wed, 21 Oct 2015 07:28:00 GMT")),
    "Set-Cookie": Reader(read=read_cookies, seeds=(b"a=b; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=99; Domain=a.example; Path=/; Secure; SameSite=None",)),
    "a certificate": Reader(read=read_certificate, seeds=("certificate",)),
    "a manifest": Reader(read=from_file(manifest.check, "case.yaml"), seeds=(b"version: 1\nid: case\ntitle: T\nsources:\n  one: http://a.example/\n  two: {url: 'http://b.example/', quotes: [a, {text: b}], delay: 2s}\n",)),
    "a WARC": Reader(read=read_warc, seeds=("warc",)),
    "tags": Reader(read=read_tags, seeds=(b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", b"Payload-Oxum: 9.1\nA: b\n  c\n", b"http://a.example/x 9 data/x\n", b"ab  data/a%0Ab\n")),
    "a bag's tag files": Reader(read=read_bag, seeds=(b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", b"Payload-Oxum: 9.1\nA: b\n  c\n", b"http://a.example/x 9 data/x\n", bag(top=b".")[b"./manifest-sha256.txt"]), runs=40),
    "a tar": Reader(read=from_file(validate_serial, "bag.tar"), seeds=(tar(), gzip.compress(tar())), runs=40),
    "a zip": Reader(read=from_file(validate_serial, "bag.zip"), seeds=(zipped(),), runs=40),
    "a profile": Reader(read=lambda data, _: profile.parse(data, name="p"), seeds=(b'{"BagIt-Profile-Info": {"BagIt-Profile-Identifier": "x", "Version": "1", "Source-Organization": "o", "External-Description": "d", "BagIt-Profile-Version": "1.4.0"}, "Bag-Info": {"A": {"required": true}}, "Accept-BagIt-Version": ["1.0"], "Manifests-Required": ["sha256"]}',), errors=(UsageError,)),
    "PREMIS and tables": Reader(read=read_references, seeds=(b'<premis xmlns="http://www.loc.gov/premis/v3"><object><objectIdentifier/></object></premis>', b"filename,dc.title\r\ndata/x,y\r\n")),
    "capture.json": Reader(read=read_capture_json, seeds=(json.dumps(CAPTURE).encode(),), runs=40),
    "a line of the log": Reader(read=lambda data, _: parse_line(data), seeds=(line_of(0, ENTRY),), errors=(ValueError,)),
    "a journal": Reader(read=from_file(Journal.read, "r.journal"), seeds=("journal",), errors=(FixityError,)),
    "a note": Reader(read=lambda data, _: note.Note.parse(data), seeds=(CHECKPOINT,), errors=(ValueError,)),
    "a checkpoint": Reader(read=of_text(note.Checkpoint.parse), seeds=(CHECKPOINT.partition(b"\n\n")[0] + b"\n",), errors=(ValueError,)),
    "a public key": Reader(read=of_text(note.Verifier.parse), seeds=(VKEY.encode(),), errors=(ValueError,)),
    "DER": Reader(read=lambda data, _: der.read(data), seeds=("certificate", "signature"), errors=(ValueError,)),
    "a signature": Reader(read=lambda data, _: signature.read(data), seeds=("signature",), errors=(ValueError,)),
    "a signature's worth": Reader(read=lambda data, _: signature.verify(b"x", data), seeds=("signature",), errors=(ValueError,)),
    "a seal's statement": Reader(read=lambda data, _: statement.parse(data), seeds=("statement",), errors=(ValueError,)),
    "a token": Reader(read=read_token, seeds=("token",), errors=(ValueError,)),
    "a time server's reply": Reader(read=read_time, seeds=(TIME,)),
    "a signing key": Reader(read=from_file(keys.read, "key.pem"), seeds=("key",), errors=(KeyFileError,), runs=30),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What can't be written down: signed, stamped, or compressed in pieces."""
    folder = tmp_path_factory.mktemp("made")
    scene = sealing_cases.scene(folder / "scene")
    records = Records(folder, clock=origins.FixedClock(), about=(("software", "x"),))
    records.exchange(answered(ANSWER, folder), Note(purpose=Purpose.DOCUMENT))
    records.finish()
    begun = Begun(run="r", job="j", started=AT, manifest=digest_of(b""), plan=digest_of(b"x"), software="s", order={}, salts=(("one", "00"),), start=None)  # fmt: skip
    journal = Journal.begin(folder, begun)
    journal.add(Step(source="one", staged="s", file="f", digests=(digest_of(b""),), entries=(ENTRY,), told={}))  # fmt: skip
    journal.resume(AT)
    identity, _ = keys.read_or_make(folder / "key.pem", now=AT, serial=bytes(range(16)))
    return {
        "certificate": sealing_cases._der(identity.certificate),
        "journal": journal.path.read_bytes(),
        "key": (folder / "key.pem").read_bytes(),
        "signature": scene.get(sealing_cases.P7S),
        "statement": scene.get(sealing_cases.JSON),
        "token": scene.get(f"{sealing_cases.ONE}.tsr"),
        "warc": (folder / "data/objects/capture.warc.gz").read_bytes(),
    }


# ------------------------------------------------------------------------- how to spoil

PIECES = (
    b"", b"\0", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b"=", b"/", b"%", b"%00", b"\\", b'"', b"'", b"<", b">", b"&#0;",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\xed\xa0\x80", b"\xff" * 9, b"-1", b"0", b"1e999", b"9" * 30, b"0x10",
    b"null", b"true", b"[]", b"{}", b"[" * 3000, b'{"a":' * 3000, b"((((", b"!!python/object:os.system", b"&a [*a]", b"---\n",
    b"HTTP/1.1 200 OK\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n", b"<svg><title>", b"</p></b>", b"<template>", b"url(", b"@import '", b"}",
    b"\x1f\x8b\x08", b"WARC/1.1\r\n", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"../", b"data/", b"sha256:", "\u0660\u06f1\u00b2".encode(), b"<!ENTITY a 'b'>",
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=8)
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def spoilt(data: bytes, edits: Iterable[tuple[float, int, bytes]]) -> bytes:
    """Put pieces in the place of some bytes."""
    for where, length, piece in edits:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + length :]
    return data


@pytest.mark.parametrize("name", READERS)
def test_what_is_sound_is_read(name, made, tmp_path):
    reader = READERS[name]
    if name != "a signature's worth":  # that of other bytes
        for number, seed in enumerate(reader.seeds):
            folder = tmp_path / str(number)
            folder.mkdir()
            reader.read(made[seed] if isinstance(seed, str) else seed, folder)


FOUND = {
    "Set-Cookie": b"a=b; Max-Age",
    "a journal": b"[" * 3000 + b"\n",
}


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found_stays_mended(name, tmp_path):
    with suppress(*READERS[name].errors):
        READERS[name].read(FOUND[name], tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_what_is_spoilt_is_read_or_refused_in_time(name, made, tmp_path_factory):
    reader = READERS[name]
    seeds = [made[seed] if isinstance(seed, str) else seed for seed in reader.seeds]

    @settings(max_examples=reader.runs, suppress_health_check=list(HealthCheck))
    @given(
        st.one_of(
            st.builds(spoilt, st.sampled_from(seeds), EDITS),
            st.builds(lambda data, to: data[: int(to * len(data))], st.sampled_from(seeds), st.floats(0, 1)),
            st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join),
            st.binary(max_size=200),
        )
    )  # fmt: skip
    def one(data: bytes) -> None:
        folder = tmp_path_factory.mktemp("one")
        began = time.process_time()
        with suppress(*reader.errors):
            reader.read(data, folder)
        assert time.process_time() - began < LONGEST

    one()
