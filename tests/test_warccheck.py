"""What is wrong with a WARC of ours: found, named, and never a crash."""

import dataclasses
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import tracemalloc
import zlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import samples
from baggery import sound
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from origins import FixedClock

from pipeline import warc
from pipeline.capture.order import Contact, Reply
from pipeline.capture.records import Note, Records
from pipeline.capture.wire import Recording, Truncation
from pipeline.fixity import Sink, digest_of
from pipeline.model import Level, Previous, Purpose, Verdict
from pipeline.packaging import expected, gzipmembers, warccheck, warcrecord
from pipeline.packaging.gzipmembers import TRAILER
from pipeline.packaging.label import PROFILE
from pipeline.packaging.parcel import Form
from pipeline.packaging.rules import WARC
from pipeline.packaging.serial import validate_serial, write
from pipeline.packaging.story import capture_json
from pipeline.packaging.tree import Folder
from pipeline.packaging.validate import validate
from pipeline.packaging.warccheck import CAPTURE_PATH, INDEX_PATH, RUN_PATH, WARC_PATH
from pipeline.warc import GZIP_HEAD

OK = b"HTTP/1.1 200 OK\r\n"
PAGE = OK + b"Content-Type: text/HTML; a=b\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
)
PICTURE = (
    OK + b"Content-Type: image/png\r\nContent-Length: 40\r\n\r\n" + bytes(range(40))
)
KNOWN = Previous(
    bag="old",
    verdict=Verdict.CAPTURED,
    captured_at=FixedClock().at - timedelta(days=3),
    payload=digest_of(b"hello"),
    record="<urn:uuid:old>",
    url="http://old.example/page",
)


@dataclass
class Sample:
    """A WARC and what tells of it."""

    data: bytes
    index: bytes
    capture: dict

    def findings(self, data=None, **options):
        options = {"index": self.index, "capture": self.capture} | options
        return tuple(
            warccheck.check(io.BytesIO(self.data if data is None else data), **options)
        )

    @property
    def members(self):
        """The members, one by one."""
        found, rest = [], self.data
        while rest:
            inflate = zlib.decompressobj(31)
            inflate.decompress(rest)
            found.append(rest[: len(rest) - len(inflate.unused_data)])
            rest = inflate.unused_data
        return found


class Visit:
    """A visit whose answers come from no network."""

    def __init__(self, folder):
        self.folder, self.clock = folder, FixedClock()
        self.records = Records(folder, clock=self.clock, about=(("software", "test"),))
        self.exchanges = []

    def answer(self, wire, *, pieces=(), end=None, known=None, method="GET"):
        """Record an answer that comes in pieces, cut at the places given."""
        recording = Recording(folder=self.folder, method=method)
        recording.sent(b"GET / HTTP/1.1\r\n\r\n")
        cuts = [0, *sorted(at % (len(wire) + 1) for at in pieces), len(wire)]
        for start, stop in itertools.pairwise(cuts):
            if not recording.is_complete and start < stop:
                recording.received(wire[start:stop])
        recording.end(end) if end else recording.closed()
        message = recording.message()
        reply = Reply(
            url=f"http://news.example/{len(self.exchanges)}",
            started=self.clock.now(),
            seconds=0.1,
            message=message,
            failure="" if message.block.size else "no-response",
            detail="",
            contact=Contact(ip="192.0.2.7", port=80),
        )
        note = Note(purpose=Purpose.DOCUMENT, known=known)
        told = self.records.exchange(reply, note)
        self.exchanges.append(replace(told, method=method))
        message.block.close()

    def finish(self):
        artefact, index = self.records.finish()
        told = replace(
            samples.CAPTURE,
            exchanges=tuple(self.exchanges),
            connections=tuple(self.records.connections),
            artefacts=(artefact,),
        )
        story = capture_json(replace(samples.ACCESSION, capture=told))
        data = (self.folder / WARC_PATH).read_bytes()
        return Sample(data, index, json.loads(json.dumps(story)))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """An info record, an answer squeezed and one stored, a revisit, a text."""
    visit = Visit(tmp_path_factory.mktemp("sample"))
    visit.answer(CHUNKED)
    visit.answer(PICTURE)
    visit.answer(PAGE, known=KNOWN)
    about = visit.exchanges[0].response
    visit.records.resource("urn:text:x", b"hello", "text/plain", about=about)
    return visit.finish()


def codes(findings):
    return {one.code for one in findings}


# ------------------------------------------------------------------ what is as it was


def test_nothing_is_wrong_with_what_we_write(sample):
    assert sample.findings() == ()
    assert sample.findings(index=None, capture=None) == ()


def test_a_failure_and_an_anomaly_are_no_fault(tmp_path):
    visit = Visit(tmp_path)
    visit.answer(b"")
    visit.answer(b"HTTP/1.1 103 Early\r\n\r\n" + PAGE + b"too much")
    visit.records.remark((("masked-request-header", "Cookie"),))
    assert visit.finish().findings() == ()


FRAGMENTS = st.sampled_from(
    [
        OK,
        b"HTTP/1.1 103 Early\r\n\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 7\n",
        b"Content-Length: 5\x1d\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello",
        b"X: y\r\n" * 1200,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 21,
        b"X: " + b"y" * 300_000 + b"\r\n",
    ]
)
WIRES = st.lists(FRAGMENTS | st.binary(max_size=9), max_size=9).map(b"".join)


@settings(max_examples=150)
@given(
    wire=WIRES,
    pieces=st.lists(st.integers(0, 400_000), max_size=4),
    end=st.sampled_from([None, *Truncation]),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_whatever_a_server_sends_its_record_is_found_whole(
    wire, pieces, end, method, tmp_path_factory
):
    visit = Visit(tmp_path_factory.mktemp("visit"))
    visit.answer(wire, pieces=pieces, end=end, method=method)
    assert visit.finish().findings() == ()


# ------------------------------------------------------------------- every bit counts


def test_every_cut_is_found(sample):
    missed = [at for at in range(len(sample.data)) if not sample.findings(sample.data[:at])]  # fmt: skip
    assert missed == []


def test_every_cut_is_found_by_what_must_be_there_where_no_size_is_told(sample):
    capture = {"exchanges": sample.capture["exchanges"]}
    known = codes(sample.findings(capture=capture))
    assert known == {"warc-capture"}
    whole = len(sample.findings(capture=capture))
    cuts = range(len(sample.data))
    missed = [at for at in cuts if len(sample.findings(sample.data[:at], capture=capture)) == whole]  # fmt: skip
    assert missed == []


def test_every_flip_is_found(sample):
    missed = []
    for place in range(len(sample.data)):
        flipped = bytearray(sample.data)
        flipped[place] ^= 1 << place % 8
        found = sample.findings(bytes(flipped))
        if all("its sha256 is" in one.message for one in found):
            # Deflate has several ways to say the same, and idle bits at its end: such
            # a flip changes no byte of any record, and only the file's digest tells.
            assert gzip.decompress(flipped) == gzip.decompress(sample.data)
        if not found:
            missed.append(place)
    assert missed == []


def test_an_idle_bit_at_the_end_of_deflate_is_found(sample):
    end = len(sample.members[0]) - TRAILER - 1
    found = [sample.findings(changed(sample.data, end, sample.data[end] ^ 1 << bit)) for bit in range(8)]  # fmt: skip
    assert all(found)


def test_a_member_cut_off_at_the_end_is_found_without_a_story(sample):
    for count in range(1, len(sample.members)):
        cut = b"".join(sample.members[:count])
        assert sample.findings(cut, capture=None), count


def test_a_lone_answer_is_missed_in_a_bag_without_a_story(sample):
    cut = b"".join(sample.members[:2])
    (found,) = sample.findings(cut, index=None, capture=None)
    assert found.code == "warc-reference"
    assert "has no request beside it" in found.message


def test_a_torn_member_does_not_hide_what_is_behind_it(sample):
    members = sample.members
    for number, member in enumerate(members):
        torn = bytearray(member)
        torn[10] = 0xFF  # no such block type, RFC 1951 3.2.3
        data = b"".join((*members[:number], bytes(torn), *members[number + 1 :]))
        found = sample.findings(data)
        damaged = [one for one in found if one.code == "warc-damaged"]
        at = sum(map(len, members[:number]))
        assert [f"at offset {at}:" in one.message for one in damaged] == [True]
        assert not [one for one in found if "starts at offset" in one.message]


# ------------------------------------------------------------------------ gzip members


def squeezed(raw):
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(raw) + deflate.flush()
    return GZIP_HEAD + body + trailer(raw)


def trailer(raw):
    return zlib.crc32(raw).to_bytes(4, "little") + len(raw).to_bytes(4, "little")


def stored(raw):
    deflate = warc.StoredDeflate()
    return GZIP_HEAD + deflate.compress(raw) + deflate.flush() + trailer(raw)


def inflated(member):
    return zlib.decompress(member, 31)


def changed(member, at, value):
    return member[:at] + bytes([value]) + member[at + 1 :]


MEMBERS = {
    "a time in the head": (lambda m: [changed(m, 4, 7)], {"warc-gzip"}),
    "a name in the head": (lambda m: [m[:3] + b"\x08" + m[4:10] + b"name\0" + m[10:]], {"warc-gzip", "warc-damaged"}),
    "another system": (lambda m: [changed(m, 9, 3)], {"warc-gzip"}),
    "no magic": (lambda m: [b"\0" + m[1:]], {"warc-junk"}),
    "junk before it": (lambda m: [b"junk" * 9, m], {"warc-junk"}),
    "a few bytes of junk": (lambda m: [b"\0" * 3, m], {"warc-junk"}),
    "a wrong CRC": (lambda m: [changed(m, len(m) - 8, m[-8] ^ 1)], {"warc-damaged"}),
    "a wrong size": (lambda m: [changed(m, len(m) - 4, m[-4] ^ 1)], {"warc-damaged"}),
    "two records in one": (lambda m: [squeezed(inflated(m) * 2)], {"warc-framing"}),
    "one record in two": (lambda m: [squeezed(inflated(m)[:300]), squeezed(inflated(m)[300:])], {"warc-framing"}),
    "an empty one before it": (lambda m: [squeezed(b""), m], {"warc-framing"}),
    "no record": (lambda m: [squeezed(b"hello" * 99), m], {"warc-framing"}),
    "stored instead": (lambda m: [stored(inflated(m))], set()),
    "stored with idle bits": (lambda m: [changed(stored(inflated(m)), 10, 0xF8)], {"warc-gzip"}),
    "stored with two blocks of idle bits": (lambda m: [changed(changed(stored(inflated(m)), 10, 0xF8), -13, 0xF9)], {"warc-gzip"}),
    "a garbled stored length": (lambda m: [changed(stored(inflated(m)), 11, 0)], {"warc-damaged"}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), MEMBERS.values(), ids=MEMBERS)
def test_a_member_that_is_not_as_ours(change, wanted, sample):
    *before, last = sample.members
    data = b"".join((*before, *change(last)))
    assert codes(sample.findings(data, index=None, capture=None)) == wanted


def test_zlib_serves_where_isal_is_absent(sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    make, errors = gzipmembers._fast_inflate()
    monkeypatch.setattr(gzipmembers, "new_inflater", make)
    monkeypatch.setattr(gzipmembers, "INFLATE_ERRORS", errors)
    assert sample.findings() == ()
    torn = changed(sample.data, len(GZIP_HEAD), 0xFF)
    assert "warc-damaged" in codes(sample.findings(torn))


def test_stored_blocks_may_lead_on_to_others(sample):
    *before, last = sample.members
    raw = inflated(last)
    first, rest = raw[:200], raw[200:]
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=first)
    body = warc.StoredDeflate().compress(first) + deflate.compress(rest)
    mixed = GZIP_HEAD + body + deflate.flush() + trailer(raw)
    assert inflated(mixed) == raw
    data = b"".join((*before, mixed))
    assert sample.findings(data, index=None, capture=None) == ()


TAILS = {
    "a byte": (b"\0", "warc-junk"),
    "a head begun": (b"\x1f\x8b\x08", "warc-truncated"),
    "a head alone": (GZIP_HEAD, "warc-truncated"),
    "a page of zeros": (bytes(100_000), "warc-junk"),
    "what begins like a member": (GZIP_HEAD * 20_000, "warc-damaged"),
}


@pytest.mark.parametrize(("tail", "code"), TAILS.values(), ids=TAILS)
def test_what_comes_behind_the_last_record(tail, code, sample):
    found = sample.findings(sample.data + tail)
    assert codes(found) >= {code, "warc-capture"}
    assert codes(sample.findings(sample.data + tail, capture=None)) == {code}


def test_gzip_inside_a_torn_record_is_not_taken_for_a_member(tmp_path):
    visit = Visit(tmp_path)
    inner = squeezed(b"no record") * 3
    visit.answer(OK + b"Content-Encoding: gzip\r\n\r\n" + inner)
    visit.answer(PAGE)
    sample = visit.finish()
    info, answer, *rest = sample.members
    data = b"".join((info, changed(answer, 12, answer[12] ^ 1), *rest))
    found = sample.findings(data, capture=None)
    damaged = [one for one in found if one.code == "warc-damaged"]
    at = len(info) + len(answer)
    assert [one.message.endswith(f"at offset {at}") for one in damaged] == [True]


# ------------------------------------------------------------------------- the records


def swap(old, new):
    def change(raw):
        assert old in raw
        return raw.replace(old, new, 1)

    return change


def sub(pattern, new):
    def change(raw):
        told, count = re.subn(pattern, new, raw, count=1)
        assert count
        return told

    return change


def length(more):
    def change(raw):
        told = int(re.search(rb"Content-Length: (\d+)", raw)[1])
        return raw.replace(b": %d\r\n\r\n" % told, b": %d\r\n\r\n" % (told + more), 1)

    return change


FIRST = b"WARC-Type: response\r\n"
DATE = b"WARC-Date: 2026-09-24T03:17:00.000000Z"
ID = rb"WARC-Record-ID: <[^>]*>"
LONG = b"X: " + b"y" * (1 << 21) + b"\r\n"
RECORDS = {
    "another version": (swap(b"WARC/1.1", b"WARC/1.0"), "warc-framing"),
    "bare line feeds": (lambda raw: raw.replace(b"\r\n", b"\n"), "warc-framing"),
    "a bare line feed": (swap(FIRST, b"WARC-Type: response\n"), "warc-field"),
    "a head without end": (swap(FIRST, FIRST + LONG), "warc-framing"),
    "a folded line": (swap(FIRST, FIRST + b" more\r\n"), "warc-field"),
    "a line without a colon": (swap(FIRST, FIRST + b"junk\r\n"), "warc-field"),
    "a control character": (swap(FIRST, FIRST + b"X: a\0b\r\n"), "warc-field"),
    "Latin-1": (swap(FIRST, FIRST + b"X: caf\xe9\r\n"), "warc-field"),
    "UTF-8 is no fault": (swap(FIRST, FIRST + "X: é\r\n".encode()), None),
    "one byte too short": (length(-1), "warc-framing"),
    "one byte too long": (length(1), "warc-framing"),
    "far too long": (length(10**12), "warc-framing"),
    "no number": (sub(rb"Content-Length: ", b"Content-Length: -"), "warc-field"),
    "a number with a zero before it": (sub(rb"Content-Length: ", b"Content-Length: 0"), "warc-field"),
    "no end": (lambda raw: raw[:-4], "warc-framing"),
    "half an end": (lambda raw: raw[:-2], "warc-framing"),
    "more than an end": (lambda raw: raw + b"\r\n", "warc-framing"),
    "no type": (swap(FIRST, b""), "warc-field"),
    "an unknown type": (swap(FIRST, b"WARC-Type: answer\r\n"), "warc-field"),
    "no date": (swap(DATE + b"\r\n", b""), "warc-field"),
    "a date without its zone": (swap(DATE, DATE[:-1]), "warc-field"),
    "a day that is none": (swap(b"2026-09-24", b"2026-02-30"), "warc-field"),
    "a type twice": (swap(FIRST, FIRST + FIRST), "warc-field"),
    "a name without brackets": (sub(ID, b"WARC-Record-ID: urn:uuid:1"), "warc-field"),
    "the name of another": (sub(ID, b"WARC-Record-ID: <urn:uuid:00000001-0000-4000-8000-000000000000>"), "warc-record-id"),
    "no block digest": (sub(rb"WARC-Block-Digest: \S+\r\n", b""), "warc-field"),
    "another block digest": (sub(rb"(WARC-Block-Digest: sha256:)\w{9}", rb"\g<1>000000000"), "warc-block-digest"),
    "a block digest of another kind": (sub(rb"WARC-Block-Digest: \S+", b"WARC-Block-Digest: sha1:" + b"a" * 40), "warc-field"),
    "another payload digest": (sub(rb"(WARC-Payload-Digest: sha256:)\w{9}", rb"\g<1>000000000"), "warc-payload-digest"),
    "another block": (swap(b"hello", b"hallo"), "warc-block-digest"),
    "another payload": (swap(b"hello", b"hallo"), "warc-payload-digest"),
    "another size of chunk": (swap(b"5;x=y", b"4;x=y"), "warc-payload-digest"),
    "an info record that is none": (sub(rb"(WARC-Warcinfo-ID: )<[^>]*>", rb"\g<1><urn:uuid:00000003-0000-4000-8000-000000000000>"), "warc-reference"),
    "an info record that is nowhere": (sub(rb"(WARC-Warcinfo-ID: )<[^>]*>", rb"\g<1><urn:uuid:9>"), "warc-reference"),
    "no address": (swap(b"192.0.2.7", b"192.0.2.777"), "warc-field"),
    "an odd truncation": (swap(FIRST, FIRST + b"WARC-Truncated: luck\r\n"), "warc-field"),
    "a response that names another": (swap(FIRST, FIRST + b"WARC-Concurrent-To: <urn:uuid:9>\r\n"), "warc-reference"),
    "a response that refers to nothing": (swap(FIRST, FIRST + b"WARC-Refers-To: <urn:uuid:9>\r\n"), "warc-reference"),
    "it refers to what is no reference": (swap(FIRST, FIRST + b"WARC-Refers-To: nowhere\r\n"), "warc-field"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_not_as_it_should_be(change, code, sample):
    info, answer, *rest = sample.members
    data = b"".join((info, squeezed(change(inflated(answer))), *rest))
    found = codes(sample.findings(data, index=None, capture=None))
    assert code in found if code else not found


def test_a_head_alone_is_a_record_without_fields(sample):
    data = squeezed(b"WARC/1.1\r\n\r\n") + sample.data
    found = sample.findings(data, index=None, capture=None)
    assert codes(found) == {"warc-field"}
    assert len(found) == len(warcrecord.ALWAYS)


REVISITS = {
    "no profile": (sub(rb"WARC-Profile: \S+\r\n", b""), "warc-field"),
    "another profile": (swap(b"identical-payload-digest", b"server-not-modified"), "warc-revisit"),
    "no date": (sub(rb"WARC-Refers-To-Date: \S+\r\n", b""), "warc-field"),
    "an odd date": (swap(b"WARC-Refers-To-Date: 2", b"WARC-Refers-To-Date: x"), "warc-field"),
    "an odd reference": (swap(b"<urn:uuid:old>", b"old"), "warc-field"),
    "no payload digest": (sub(rb"WARC-Payload-Digest: \S+\r\n", b""), "warc-field"),
    "the rest as well": (lambda raw: length(5)(raw[:-4]) + b"hello\r\n\r\n", "warc-revisit"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), REVISITS.values(), ids=REVISITS)
def test_a_revisit_that_is_not_as_its_profile_wants(change, code, sample):
    members = sample.members
    (at,) = [n for n, one in enumerate(members) if b"-Type: revisit" in inflated(one)]
    raw = change(inflated(members[at]))
    data = b"".join((*members[:at], squeezed(raw), *members[at + 1 :]))
    assert code in codes(sample.findings(data, index=None, capture=None))


def test_a_request_whose_answer_is_elsewhere(sample):
    info, _, *rest = sample.members
    found = sample.findings(b"".join((info, *rest)), index=None, capture=None)
    assert codes(found) == {"warc-reference"}


def test_the_first_record_describes_the_file(sample):
    info, *rest = sample.members
    found = sample.findings(b"".join((*rest, info)), index=None, capture=None)
    assert codes(found) == {"warc-warcinfo"}


def test_a_resource_has_its_block_for_a_payload(sample):
    *before, last = sample.members
    for digest, wanted in ((digest_of(b"hello"), set()), (digest_of(b"x"), {"warc-payload-digest"})):  # fmt: skip
        line = f"Content-Type: text/plain\r\nWARC-Payload-Digest: {digest}\r\n"
        raw = swap(b"Content-Type: text/plain\r\n", line.encode())(inflated(last))
        data = b"".join((*before, squeezed(raw)))
        assert codes(sample.findings(data, index=None, capture=None)) == wanted


def test_an_empty_file_holds_nothing(sample):
    assert codes(sample.findings(b"", index=None, capture=None)) == {"warc-truncated"}


# ------------------------------------------------------------- index.cdxj, capture.json


def lined(change):
    """Change the JSON block of the first line."""

    def apply(index):
        first, *rest = index.splitlines(keepends=True)
        key, moment, block = first.split(b" ", 2)
        told = json.loads(block)
        change(told)
        return b" ".join((key, moment, json.dumps(told).encode())) + b"\n" + b"".join(rest)  # fmt: skip

    return apply


INDEXES = {
    "empty": lambda index: b"",
    "no end": lambda index: index[:-1],
    "a line less": lambda index: index.split(b"\n", 1)[1],
    "a line more": lambda index: index + index.splitlines()[-1].replace(b"offset", b"ofset") + b"\n",
    "a line twice": lambda index: index.splitlines()[0] + b"\n" + index,
    "not sorted": lambda index: b"".join(reversed(index.splitlines(keepends=True))),
    "an empty line": lambda index: b"\n" + index,
    "no JSON": lambda index: b"a b {\n" + index,
    "deep JSON": lambda index: b"a b " + b"[" * 100_000 + b"\n" + index,
    "a list": lambda index: b"a b []\n" + index,
    "another key": swap(b"example,news)/0 ", b"example,news)/00 "),
    "another time": swap(b" 20260924", b" 20260923"),
    "another address": lined(lambda told: told.update(url="http://news.example/9")),
    "an address that is none": lined(lambda told: told.update(url=["x"])),
    "another status": lined(lambda told: told.update(status=404)),
    "a status that is true": lined(lambda told: told.update(status=True)),
    "another digest": lined(lambda told: told.update(digest="sha256:00")),
    "no digest": lined(lambda told: told.pop("digest")),
    "another type": lined(lambda told: told.update(mime="text/css")),
    "another length": lined(lambda told: told.update(length=1)),
    "another offset": lined(lambda told: told.update(offset=told["offset"] + 1)),
    "an offset that is none": lined(lambda told: told.update(offset=-1)),
    "beyond the end": lined(lambda told: told.update(offset=10**9)),
    "another file": lined(lambda told: told.update(filename="x" * 10_000)),
}  # fmt: skip


@pytest.mark.parametrize("change", INDEXES.values(), ids=INDEXES)
def test_an_index_that_tells_something_else(change, sample):
    index = change(sample.index)
    assert codes(sample.findings(index=index)) == {"warc-index"}


def exchange(**changes):
    return lambda told: told["exchanges"][0].update(changes)


def place(role, **changes):
    return lambda told: told["exchanges"][0][role].update(changes)


STORIES = {
    "nothing in it": lambda told: told.clear(),
    "no exchanges": lambda told: told.update(exchanges=7),
    "exchanges that are none": lambda told: told.update(exchanges=[7, None, []]),
    "an exchange less": lambda told: told["exchanges"].pop(),
    "an exchange twice": lambda told: told["exchanges"].append(told["exchanges"][0]),
    "no response": exchange(response=None),
    "no request": exchange(request=None),
    "a response that is none": exchange(response=[]),
    "another address": exchange(url="http://other.example/"),
    "another moment": exchange(started="2026-09-24T03:17:00.000001Z"),
    "another status": exchange(status=404),
    "another payload": exchange(payload="sha256:00"),
    "another size": exchange(size=1),
    "another size of payload": exchange(payload_size=1),
    "another type": exchange(media_type="text/css"),
    "cut short": exchange(truncated="time"),
    "another name of the response": place("response", record="<urn:uuid:9>"),
    "another name of the request": place("request", record="<urn:uuid:9>"),
    "another offset": place("request", offset=3),
    "no offset": place("request", offset="3"),
    "another length": place("request", length=3),
    "the parts exchanged": lambda told: told["exchanges"][0].update(
        response=told["exchanges"][0]["request"], request=told["exchanges"][0]["response"]
    ),
    "no artefacts": lambda told: told.pop("artefacts"),
    "no digests": lambda told: told["artefacts"][0].update(digests=None),
    "another digest": lambda told: told["artefacts"][0]["digests"].update(sha256="00"),
    "another digest, sha512 alone": lambda told: told["artefacts"][0].update(digests={"sha512": "00"}),
    "a larger file than told": lambda told: told["artefacts"][0].update(size=1),
    "a size that is none": lambda told: told["artefacts"][0].update(size=None),
}  # fmt: skip


@pytest.mark.parametrize("change", STORIES.values(), ids=STORIES)
def test_a_story_that_tells_something_else(change, sample):
    capture = json.loads(json.dumps(sample.capture))
    change(capture)
    assert codes(sample.findings(capture=capture)) == {"warc-capture"}


def test_a_smaller_file_than_told_is_cut(sample):
    capture = json.loads(json.dumps(sample.capture))
    capture["artefacts"][0]["size"] += 1
    (found,) = sample.findings(capture=capture)
    assert (found.code, found.message.endswith(": 1 are gone")) == ("warc-truncated", True)  # fmt: skip


VALUES = {
    "a word": ("x", "'x'"),
    "many": ("x" * 999, "'" + "x" * 199 + "..."),
    "half a surrogate pair": ("\ud800\n", r"'\ud800\n'"),
    "a number": (7, "7"),
    "nothing": (None, "None"),
    "a deep list": ([[[[]]]], "a list"),
}


@pytest.mark.parametrize(("value", "words"), VALUES.values(), ids=VALUES)
def test_a_strangers_value_in_a_message(value, words):
    assert expected.shown(value) == words


def test_an_address_that_is_none_has_no_key(tmp_path):
    visit = Visit(tmp_path)
    visit.records.resource("urn:text:x", b"hello", "text/plain", about=None)
    sample = visit.finish()
    info, text = sample.members
    raw = inflated(text).replace(b"urn:text:x", b"http://[x/")
    index = sample.index.replace(b"urn:text:x ", b" ").replace(
        b"urn:text:x", b"http://[x/"
    )
    found = sample.findings(info + squeezed(raw), index=index, capture=None)
    assert codes(found) <= {"warc-index"}
    assert not [one for one in found if "key" in one.message]


# --------------------------------------------------------------------------- a whole bag


@pytest.fixture
def bag(sample, tmp_path):
    """A folder like a bag of ours; its manifests are no concern here."""
    files = {
        WARC_PATH: sample.data,
        INDEX_PATH: sample.index,
        CAPTURE_PATH: json.dumps(sample.capture).encode(),
    }
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def checked(folder):
    root = os.open(folder, os.O_RDONLY)
    try:
        return tuple(warccheck.check_bag(Folder(root)))
    finally:
        os.close(root)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


BAGS = {
    "as it was": (lambda bag: None, set()),
    "no WARC": (lambda bag: (bag / WARC_PATH).unlink(), {"warc-truncated"}),
    "no index": (lambda bag: (bag / INDEX_PATH).unlink(), {"warc-index"}),
    "no story": (lambda bag: (bag / CAPTURE_PATH).unlink(), {"warc-capture"}),
    "a story that is no JSON": (lambda bag: (bag / CAPTURE_PATH).write_bytes(b"{"), {"warc-capture"}),
    "a story that is a list": (lambda bag: (bag / CAPTURE_PATH).write_bytes(b"[]"), {"warc-capture"}),
    "a fifo for a WARC": (lambda bag: fifo(bag / WARC_PATH), {"warc-damaged"}),
    "a fifo for an index": (lambda bag: fifo(bag / INDEX_PATH), {"warc-limit"}),
    "an endless index": (lambda bag: os.truncate(bag / INDEX_PATH, 1 << 25), {"warc-limit"}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), BAGS.values(), ids=BAGS)
def test_a_bag_of_ours(change, wanted, bag):
    change(bag)
    assert codes(checked(bag)) == wanted


def test_a_bag_of_a_run_has_no_story_and_may_have_no_warc(bag):
    (bag / CAPTURE_PATH).rename(bag / RUN_PATH)
    assert checked(bag) == ()
    (bag / INDEX_PATH).unlink()
    (bag / WARC_PATH).unlink()
    (bag / RUN_PATH).write_text('{"artefacts": []}')
    assert checked(bag) == ()


def test_a_cut_behind_the_last_indexed_record_of_a_run_is_found(bag):
    (bag / CAPTURE_PATH).rename(bag / RUN_PATH)
    os.truncate(bag / WARC_PATH, (bag / WARC_PATH).stat().st_size - 1)
    assert "warc-truncated" in codes(checked(bag))


def test_a_run_that_tells_of_a_warc_must_have_it(bag):
    (bag / CAPTURE_PATH).rename(bag / RUN_PATH)
    (bag / INDEX_PATH).unlink()
    (bag / WARC_PATH).unlink()
    assert codes(checked(bag)) == {"warc-truncated"}


def test_what_a_run_says_of_its_warc_must_be_true(bag):
    story = json.loads((bag / CAPTURE_PATH).read_bytes())
    (bag / CAPTURE_PATH).unlink()
    for one in story["artefacts"]:
        one["digests"] = {"sha256": "0" * 64}
    (bag / RUN_PATH).write_text(json.dumps(story))
    (found,) = checked(bag)
    assert (found.code, "run.json says" in found.message) == ("warc-capture", True)
    story["artefacts"] = []
    (bag / RUN_PATH).write_text(json.dumps(story))
    assert codes(checked(bag)) == {"warc-capture"}


def test_a_capture_that_tells_of_no_warc_need_not_have_one(bag):
    (bag / WARC_PATH).unlink()
    (bag / INDEX_PATH).write_bytes(b"")
    (bag / CAPTURE_PATH).write_text('{"exchanges": [], "artefacts": []}')
    assert checked(bag) == ()


# ------------------------------------------------------------------------ a whole bag


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An info record and one answer, for what is done at every byte."""
    visit = Visit(tmp_path_factory.mktemp("small"))
    visit.answer(PAGE)
    return visit.finish()


def packed(folder, sample):
    """A bag of ours around a sample, its manifests true of what is in it."""
    files = {
        WARC_PATH: sample.data,
        INDEX_PATH: sample.index,
        CAPTURE_PATH: json.dumps(sample.capture).encode(),
    }
    return sound(folder, files={path.encode(): data for path, data in files.items()})


def test_every_flipped_byte_of_a_warc_in_a_bag_is_found(small, tmp_path):
    bag = packed(tmp_path / "bag", small)
    assert validate(bag).findings == ()
    missed = []
    with (bag / WARC_PATH).open("r+b", buffering=0) as file:
        for at, byte in enumerate(small.data):
            os.pwrite(file.fileno(), bytes([byte ^ 0xFF]), at)
            if validate(bag).ok:
                missed.append(at)
            os.pwrite(file.fileno(), bytes([byte]), at)
    assert missed == []
    assert validate(bag).ok


def test_every_truncation_is_found_even_by_manifests_made_around_it(small, tmp_path):
    missed = []
    for size in range(len(small.data)):
        bag = packed(
            tmp_path / f"bag-{size}", dataclasses.replace(small, data=small.data[:size])
        )
        if codes(validate(bag).findings) <= {"bag-info"}:
            missed.append(size)
        shutil.rmtree(bag)
    assert missed == []


@pytest.mark.parametrize("form", Form)
def test_a_warc_is_read_in_an_archive_file_too(sample, tmp_path, form):
    whole = packed(tmp_path / "whole", sample)
    short = packed(
        tmp_path / "short", dataclasses.replace(sample, data=sample.data[:-1])
    )
    for bag in (whole, short):
        write(bag, tmp_path / f"{bag.name}.{form}", form)
    assert validate_serial(tmp_path / f"whole.{form}").ok
    found = validate_serial(tmp_path / f"short.{form}").findings
    assert "warc-truncated" in codes(found)
    assert found == validate(short).findings


NOT_OURS = {
    "another level": ({}, {"level": Level.COMPLETE}),
    "a stranger's WARC": ({CAPTURE_PATH: None}, {}),
    "a WARC without an index": ({INDEX_PATH: None}, {}),
}


@pytest.mark.parametrize(("change", "options"), NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_ours_or_not_asked_for_is_not_read(
    change, options, sample, tmp_path
):
    files = {WARC_PATH: b"", INDEX_PATH: b"", CAPTURE_PATH: b""} | change
    told = {path.encode(): data for path, data in files.items() if data is not None}
    assert validate(sound(tmp_path / "bag", files=told), **options).ok


def test_a_bag_that_names_our_profile_is_ours_whatever_it_lacks(sample, tmp_path):
    info = (
        b"Bagging-Date: 2026-09-24\nBagIt-Profile-Identifier: %s\n" % PROFILE.encode()
    )
    capture = json.dumps(sample.capture).encode()
    bag = sound(tmp_path / "bag", files={CAPTURE_PATH.encode(): capture}, info=info)
    assert codes(validate(bag).findings) == {"warc-truncated"}


def test_every_code_that_is_told_has_its_rule(sample):
    names = ("expected", "gzipmembers", "warcrecord", "warccheck")
    folder = Path(warccheck.__file__).parent
    text = "".join((folder / f"{name}.py").read_text() for name in names)
    used = set(re.findall(r'"(warc-[a-z-]+)"', text)) & set(WARC)
    assert used == set(WARC)
    (found,) = sample.findings(sample.data + b"\0", capture=None)
    rule = WARC[found.code]
    assert (found.path, found.clause, found.severity) == (WARC_PATH, rule.clause, rule.severity)  # fmt: skip


# ------------------------------------------------------------------------------ limits


def large_warc(folder, pieces, **options):
    """One answer that inflates to many pieces, with its request."""
    head = OK + b"\r\n"
    whole, body = hashlib.sha256(head), hashlib.sha256()
    for piece in pieces():
        whole.update(piece)
        body.update(piece)
    size = len(head) + sum(len(piece) for piece in pieces())
    sink = Sink(folder, "large.warc.gz")
    writer = warc.Writer(sink)
    info, answer = (
        warc.record_id(f"0000000{n}-0000-4000-8000-000000000000") for n in (1, 2)
    )
    when = samples.NOON
    writer.write(
        warc.small_record(
            id=info,
            type="warcinfo",
            block=b"a: b\r\n",
            date=when,
            fields=(("Content-Type", "application/warc-fields"),),
        )
    )
    fields = (
        ("WARC-Target-URI", "http://a.example/"),
        ("WARC-Warcinfo-ID", info),
        ("Content-Type", "application/http"),
    )
    writer.write(
        warc.Record(
            id=answer,
            type="response",
            fields=(
                ("WARC-Date", warc.stamp(when)),
                *fields,
                ("WARC-Payload-Digest", f"sha256:{body.hexdigest()}"),
                ("WARC-Block-Digest", f"sha256:{whole.hexdigest()}"),
            ),
            block=(piece for part in ((head,), pieces()) for piece in part),
            size=size,
            **options,
        )
    )
    writer.write(
        warc.small_record(
            id="<urn:uuid:3>",
            type="request",
            block=b"GET / HTTP/1.1\r\n\r\n",
            date=when,
            fields=(*fields, ("WARC-Concurrent-To", answer)),
        )
    )
    sink.finish()
    return folder / "large.warc.gz"  # fmt: skip


@pytest.mark.parametrize("is_compressed", [False, True])
def test_memory_stays_small_whatever_a_record_inflates_to(is_compressed, tmp_path):
    zeros = bytes(1 << 20)
    path = large_warc(
        tmp_path, lambda: (zeros for _ in range(48)), is_compressed=is_compressed
    )
    tracemalloc.start()
    with path.open("rb") as file:
        assert list(warccheck.check(file, index=None, capture=None)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20


def test_a_bomb_behind_a_record_is_given_up(sample, monkeypatch):
    monkeypatch.setattr(warcrecord, "LARGEST_REST", 1 << 20)
    *before, last = sample.members
    bomb = squeezed(inflated(last) + bytes(1 << 23))
    found = sample.findings(b"".join((*before, bomb, last)), index=None, capture=None)
    assert codes(found) == {"warc-framing"}
    assert "too much" in found[0].message


def test_reading_ends_where_more_records_come_than_are_taken_down(sample, monkeypatch):
    monkeypatch.setattr(warccheck, "MOST_RECORDS", 3)
    (found,) = sample.findings()
    assert (found.code, "first 3 records" in found.message) == ("warc-limit", True)


# ------------------------------------------------------------------------ never a crash


@settings(max_examples=150)
@given(st.binary(max_size=300), st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_crash_it(data, index, raw):
    shapes = (data, GZIP_HEAD + data, squeezed(b"WARC/1.1\r\n" + raw))
    for one in shapes:
        sample = Sample(one, index, {})
        assert sample.findings()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["response", "offset", "record", "path", "size", "digests", "sha256"]),
        inner,
        max_size=3,
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(exchanges=JSON, artefacts=JSON, line=JSON)
def test_no_story_crashes_it(exchanges, artefacts, line):
    capture = {"exchanges": exchanges, "artefacts": artefacts}
    index = b"a b " + json.dumps(line).encode() + b"\n"
    assert Sample(b"", index, capture).findings()


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_crashes_it(data, sample):
    raw = bytearray(sample.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        cut = data.draw(st.integers(0, 40))
        raw[at : at + cut] = data.draw(st.binary(max_size=40))
    found = sample.findings(bytes(raw))
    assert bool(found) == (bytes(raw) != sample.data)
