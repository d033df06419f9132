"""WARC records that every reader takes, byte for byte."""

import gzip
import io
import json
import zlib
from datetime import UTC, datetime

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from pipeline import warc
from pipeline.fixity import Sink
from pipeline.model import Digest, RecordRef

WHEN = datetime(2026, 9, 24, 3, 17, 0, 123456, tzinfo=UTC)
HEAD = (
    b"HTTP/1.1 200 OK\nX-Odd:  caf\xe9\r\n folded\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def record(block: bytes, number: int = 1, **options) -> warc.Record:
    return warc.Record(
        id=warc.record_id(f"{number:08d}-0000-4000-8000-000000000000"),
        type=options.pop("type", "resource"),
        fields=(
            ("WARC-Target-URI", "urn:test:1"),
            ("WARC-Date", "2026-09-24T03:17:00.123456Z"),
            ("Content-Type", "application/octet-stream"),
        ),
        block=(block,),
        size=len(block),
        **options,
    )


def written(folder, *records):
    sink = Sink(folder, "a.warc.gz")
    writer = warc.Writer(sink)
    places = [writer.write(one) for one in records]
    return folder / "a.warc.gz", places, sink.finish()


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 3_000_000])
def test_a_block_comes_back_as_it_was(size, is_compressed, tmp_path):
    block = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path, _, _ = written(tmp_path, record(block, is_compressed=is_compressed))
    assert [one.block for one in warc.read(path)] == [block]


def test_each_record_is_a_member_of_its_own_where_it_is_told_to_be(tmp_path):
    blocks = [b"one", b"two" * 100_000, b""]
    path, places, _ = written(tmp_path, *(record(b, n) for n, b in enumerate(blocks)))
    data = path.read_bytes()
    for place, block in zip(places, blocks, strict=True):
        member = data[place.offset : place.offset + place.length]
        inflate = zlib.decompressobj(31)
        text = inflate.decompress(member)
        assert inflate.eof
        assert inflate.unused_data == b""
        assert text.endswith(b"\r\n\r\n" + block + b"\r\n\r\n")
    assert places[-1].offset + places[-1].length == len(data)


def test_warcio_and_fastwarc_read_what_we_wrote(tmp_path):
    response = record(HEAD + b"0\r\n\r\n", type="resource")
    path, _, _ = written(tmp_path, response, record(b"second", 2))
    with path.open("rb") as file:
        ours = [
            r.raw_stream.read() for r in ArchiveIterator(file, no_record_parse=True)
        ]
    theirs = [
        r.reader.read()
        for r in FastIterator(io.BytesIO(path.read_bytes()), parse_http=False)
    ]
    assert ours == theirs == [HEAD + b"0\r\n\r\n", b"second"]


def test_the_file_is_digested_while_it_is_written(tmp_path):
    import hashlib

    path, _, artefact = written(tmp_path, record(b"x" * 1_500_000, is_compressed=True))
    data = path.read_bytes()
    assert artefact.size == len(data)
    assert {d.algorithm: d.hex for d in artefact.digests} == {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha512": hashlib.sha512(data).hexdigest(),
    }


def test_the_same_records_are_the_same_bytes_with_no_time_in_them(tmp_path):
    one, _, _ = written(tmp_path / "1", record(b"x" * 99))
    two, _, _ = written(tmp_path / "2", record(b"x" * 99))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(warc.GZIP_HEAD)


def test_a_block_that_is_not_as_long_as_told_is_a_fault_of_ours(tmp_path):
    bad = warc.Record(id="<x>", type="resource", fields=(), block=(b"abc",), size=4)
    with pytest.raises(AssertionError, match="Content-Length is 4, the block has 3"):
        written(tmp_path, bad)


def test_a_small_record_carries_its_digest(tmp_path):
    small = warc.small_record(
        id="<urn:uuid:1>", type="metadata", block=b"abc", date=WHEN
    )
    path, _, _ = written(tmp_path, small)
    (found,) = warc.read(path)
    assert found.field("warc-block-digest") == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert found.field("WARC-Date") == "2026-09-24T03:17:00.123456Z"
    assert found.field("nothing") == ""


def test_fields_never_break_out_of_their_line():
    told = warc.warc_fields([("detail", "a\r\nWARC-Type: response"), ("b", "")])
    assert told == b"detail: a WARC-Type: response\r\nb: \r\n"


@given(st.binary(max_size=70_000), st.booleans())
def test_any_block_survives(data, is_compressed):
    deflate = warc.StoredDeflate() if is_compressed else warc.new_compressor()
    squeezed = deflate.compress(data) + deflate.flush()
    assert zlib.decompress(squeezed, -15) == data


def test_zlib_serves_where_isal_is_absent(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "isal", None)
    make, crc = warc._fast_gzip()
    deflate = make()
    data = b"plain" * 1000
    squeezed = deflate.compress(data) + deflate.flush()
    member = b"".join(
        (warc.GZIP_HEAD, squeezed, crc(data).to_bytes(4, "little"), len(data).to_bytes(4, "little"))
    )  # fmt: skip
    assert gzip.decompress(member) == data


SURTS = {
    "host reversed": ("https://www.example.org/a", "org,example,www)/a"),
    "no path": ("http://example.org", "org,example)/"),
    "usual port left out": ("http://example.org:80/", "org,example)/"),
    "the other usual port": ("https://example.org:443/", "org,example)/"),
    "unusual port kept": ("http://example.org:8080/", "org,example:8080)/"),
    "query sorted": ("http://example.org/?b=2&a=1", "org,example)/?a=1&b=2"),
    "case folded": ("http://EXAMPLE.org/A?B=C", "org,example)/a?b=c"),
    "fragment dropped": ("http://example.org/a#b", "org,example)/a"),
    "an address is not reversed": ("http://192.0.2.1/a", "192.0.2.1)/a"),
    "nor one of IPv6": ("http://[2001:db8::1]/a", "2001:db8::1)/a"),
    "a trailing dot": ("http://example.org./", "org,example)/"),
    "a derived record": (
        "urn:text:http://example.org/",
        "urn:text:http://example.org/",
    ),
}


@pytest.mark.parametrize(("url", "key"), SURTS.values(), ids=SURTS.keys())
def test_one_key_for_the_spellings_of_one_address(url, key):
    assert warc.surt(url) == key


def line(url="http://example.org/", offset=10):
    return warc.cdxj_line(
        url,
        WHEN,
        RecordRef(id="<x>", offset=offset, length=20),
        status=200,
        media_type="text/html",
        payload=Digest("sha256", "ab"),
        file="capture.warc.gz",
    )


def test_an_index_line_has_key_time_and_block():
    key, moment, block = line().split(" ", 2)
    assert (key, moment) == ("org,example)/", "20260924031700")
    assert json.loads(block) == {
        "url": "http://example.org/",
        "mime": "text/html",
        "status": 200,
        "digest": "sha256:ab",
        "length": 20,
        "offset": 10,
        "filename": "capture.warc.gz",
    }


def test_an_index_moves_with_its_records():
    moved = warc.shifted(f"{line()}\n{line(offset=50)}\n".encode(), by=100)
    assert [json.loads(one.split(" ", 2)[2])["offset"] for one in moved] == [110, 150]
