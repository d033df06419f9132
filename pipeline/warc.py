"""WARC records: write, read, index (WARC 1.1, ISO 28500:2017).

One gzip member per record, in the order given, digested on the way to the disk. The
blocks of responses and requests are handed in as they crossed the wire and go out
unchanged. gzip heads are canonical (no name, no time), so same records, same bytes.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.fixity import Sink, digest_of
from pipeline.model import Digest, RecordRef

MEDIA_TYPE = "application/warc"
FIELDS = "application/warc-fields"
REVISIT_PROFILE = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # RFC 1952 2.3.1, nothing told
SMALL = 1 << 16  # a block up to this is joined before it is compressed
END_OF_RECORD = b"\r\n\r\n"
STORED_PIECE = 0xFFFF  # the most a stored deflate block holds, RFC 1951 3.2.4
LAST_BLOCK = b"\x01\x00\x00\xff\xff"
END_OF_PLACE = re.compile("[/?]")
NO_SIGNS = str.maketrans("", "", "-T:")


class _Compressor(Protocol):
    def compress(self, data: bytes | memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _fast_gzip() -> tuple[Callable[[], _Compressor], Callable[..., int]]:
    """Choose isal where it is installed; zlib gives other bytes, as good ones."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 - optional
    except ImportError:
        return (lambda: zlib.compressobj(6, zlib.DEFLATED, -15)), zlib.crc32
    return (lambda: isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)), isal_zlib.crc32


new_compressor, crc32 = _fast_gzip()


class StoredDeflate:
    """Deflate without compression, for what is compressed already: a copy, no more."""

    def compress(self, data: bytes | memoryview) -> bytes:
        """Wrap bytes in stored blocks (RFC 1951, 3.2.4)."""
        pieces: list[bytes | memoryview] = []
        view = memoryview(data)
        for at in range(0, len(view), STORED_PIECE):
            piece = view[at : at + STORED_PIECE]
            size = len(piece).to_bytes(2, "little")
            pieces += (b"\0", size, (len(piece) ^ 0xFFFF).to_bytes(2, "little"), piece)
        return b"".join(pieces)

    def flush(self) -> bytes:
        """End the stream."""
        return LAST_BLOCK


class Record(Struct, frozen=True, kw_only=True):
    """One WARC record to be written; ``size`` counts the bytes of ``block``."""

    id: str
    type: str
    fields: tuple[tuple[str, str], ...]
    block: Iterable[bytes]
    size: int
    is_compressed: bool = False  # the block will not shrink: store it as it is


def record_id(uuid: str) -> str:
    """Write a UUID as WARC-Record-ID has it."""
    return f"<urn:uuid:{uuid}>"


def small_record(
    *,
    id: str,  # noqa: A002 - the field's own word
    type: str,  # noqa: A002 - likewise
    block: bytes,
    date: datetime,
    fields: tuple[tuple[str, str], ...] = (),
) -> Record:
    """Make a record of bytes in hand: warcinfo, metadata, resource."""
    return Record(
        id=id,
        type=type,
        fields=(
            ("WARC-Date", stamp(date)),
            *fields,
            ("WARC-Block-Digest", str(digest_of(block))),
        ),
        block=(block,),
        size=len(block),
    )


def warc_fields(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Write application/warc-fields: a line for each name and value."""
    lines = (f"{name}: {' '.join(value.split())}\r\n" for name, value in pairs)
    return "".join(lines).encode()


class Writer:
    """Appends records to a new file, one gzip member each."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, record: Record) -> RecordRef:
        """Write one record and say where it stands. Raises StorageError."""
        start = self._sink.size
        deflate = StoredDeflate() if record.is_compressed else new_compressor()
        crc, size, squeezed = 0, 0, GZIP_HEAD
        for piece in _pieces(record):
            crc, size = crc32(piece, crc), size + len(piece)
            squeezed += deflate.compress(piece)
            if len(squeezed) > SMALL:
                self._sink.write(squeezed)
                squeezed = b""
        told = crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
        self._sink.write(squeezed + deflate.flush() + told)
        return RecordRef(id=record.id, offset=start, length=self._sink.size - start)


def _head(record: Record) -> bytes:
    lines = [
        f"WARC/1.1\r\nWARC-Type: {record.type}\r\nWARC-Record-ID: {record.id}\r\n",
        *(f"{name}: {value}\r\n" for name, value in record.fields),
        f"Content-Length: {record.size}\r\n\r\n",
    ]
    return "".join(lines).encode("utf-8", "replace")


def _pieces(record: Record) -> Iterable[bytes]:
    """Give a record as it stands in the file; a small one is one piece."""
    head = _head(record)
    if record.size > SMALL:
        return _streamed(head, record)
    whole = b"".join((head, *record.block, END_OF_RECORD))
    _assert_whole(record, len(whole) - len(head) - len(END_OF_RECORD))
    return (whole,)


def _streamed(head: bytes, record: Record) -> Iterator[bytes]:
    yield head
    size = 0
    for piece in record.block:
        size += len(piece)
        yield piece
    yield END_OF_RECORD
    _assert_whole(record, size)


def _assert_whole(record: Record, size: int) -> None:
    assert size == record.size, (
        f"{record.id}: Content-Length is {record.size}, the block has {size} bytes"
    )


# ----------------------------------------------------------------------------- read


class StoredRecord(Struct, frozen=True, kw_only=True):
    """One record of a WARC file at rest, its block as it crossed the wire."""

    type: str
    fields: tuple[tuple[str, str], ...]
    block: bytes

    def field(self, name: str) -> str:
        """Return a header field, or ""."""
        return next((v for n, v in self.fields if n.lower() == name.lower()), "")


def read(path: Path) -> Iterator[StoredRecord]:
    """Read the records of a WARC file in order, each whole, through warcio."""
    with path.open("rb") as file:
        yield from _records(file)


class StandingRecord(Struct, frozen=True, kw_only=True):
    """A record of a WARC at rest: where it stands, and how its block begins."""

    type: str
    fields: Mapping[str, str]  # names in lower case
    offset: int
    beginning: bytes


def standing(path: Path, most: Mapping[str, int]) -> Iterator[StandingRecord]:
    """Say what stands in a WARC and where, of each block so many bytes, by its type.

    Raises OSError where it can't be read, ValueError where it is no WARC.
    """
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - start-up time
    from warcio.exceptions import ArchiveLoadFailed  # noqa: PLC0415 - likewise

    try:
        with path.open("rb") as file:
            found: Any
            records = ArchiveIterator(file, no_record_parse=True)
            for found in records:
                told = reversed(found.rec_headers.headers)  # the first of a name counts
                wanted = most.get(found.rec_type, 0)
                beginning = b"".join(_some(found.raw_stream, wanted))
                yield StandingRecord(
                    type=found.rec_type,
                    fields={name.lower(): value for name, value in told},
                    offset=records.get_record_offset(),  # which reads to the end of it
                    beginning=beginning,
                )
    except ArchiveLoadFailed as error:
        raise ValueError(f"{path}: {error}") from error


def block_at(path: Path, offset: int) -> Iterator[bytes]:
    """Read the block of the record that stands there. Raises OSError."""
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - start-up time

    with path.open("rb") as file:
        file.seek(offset)
        found: Any = next(ArchiveIterator(file, no_record_parse=True))
        yield from _some(found.raw_stream)


def _some(stream: IO[bytes], most: int | None = None) -> Iterator[bytes]:
    left = most
    while left is None or left > 0:
        piece = stream.read(SMALL if left is None else min(left, SMALL))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


class Answered(Struct, frozen=True, kw_only=True):
    """What a response of anybody's WARC says, its codings undone by warcio."""

    record: str
    url: str
    media_type: str
    body: bytes


def answers(file: IO[bytes], *, most: int) -> Iterator[Answered]:
    """Read the responses of an open WARC, of each body so many bytes.

    Raises what warcio does for a file that is no WARC: ValueError among them.
    """
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - start-up time
    from warcio.exceptions import ArchiveLoadFailed  # noqa: PLC0415 - likewise

    try:
        for found in ArchiveIterator(file):
            if found.rec_type == "response" and found.http_headers:
                stream, body = found.content_stream(), b""
                while len(body) < most and (piece := stream.read(most - len(body))):
                    body += piece
                header = found.rec_headers.get_header
                yield Answered(
                    record=header("WARC-Record-ID") or "",
                    url=header("WARC-Target-URI") or "",
                    media_type=found.http_headers.get_header("Content-Type") or "",
                    body=body,
                )
    except ArchiveLoadFailed as error:
        raise ValueError(str(error)) from error


def _records(file: IO[bytes]) -> Iterator[StoredRecord]:
    from warcio.archiveiterator import ArchiveIterator  # noqa: PLC0415 - start-up time

    found: Any
    for found in ArchiveIterator(file, no_record_parse=True):
        yield StoredRecord(
            type=found.rec_type,
            fields=tuple(found.rec_headers.headers),
            block=found.raw_stream.read(),
        )


# ---------------------------------------------------------------------------- index


def surt(url: str) -> str:
    """Turn a URL into its sort-friendly key: ``org,example,www)/path?query``.

    The host reversed and in lower case, www. kept, usual ports and the fragment left
    out, the query sorted: one key for the spellings of one address.
    """
    scheme, slashes, rest = url.partition("#")[0].partition("://")
    if not slashes or ":" in scheme:  # urn:text:http://... has no host to turn round
        return url
    netloc = END_OF_PLACE.split(rest, 1)[0]
    path, mark, query = rest[len(netloc) :].partition("?")
    if "&" in query:
        query = "&".join(sorted(query.split("&")))
    place = _surt_place(scheme, netloc)
    return f"{place}){path or '/'}{mark if query else ''}{query}".lower()


@lru_cache(maxsize=256)
def _surt_place(scheme: str, netloc: str) -> str:
    """Turn a host round, and keep a port that is not the usual one."""
    parts = urlsplit(f"{scheme}://{netloc}")
    host = (parts.hostname or "").rstrip(".")
    is_number = ":" in host or host.replace(".", "").isdigit()
    key = host if is_number else ",".join(reversed(host.split(".")))
    usual = {"http": 80, "https": 443}.get(scheme)
    return f"{key}:{parts.port}" if parts.port and parts.port != usual else key


def cdxj_line(
    url: str,
    moment: datetime,
    place: RecordRef,
    *,
    status: int | None,
    media_type: str,
    payload: Digest | None,
    file: str,
) -> str:
    """Write one line of a CDXJ index: key, 14 digits of time, a JSON block."""
    told = [f'{{"url": {quoted(url)}']
    if media_type:
        told.append(f'"mime": {quoted(media_type)}')
    if status is not None:
        told.append(f'"status": {status}')
    if payload is not None:
        told.append(f'"digest": "{payload}"')
    told.append(f'"length": {place.length}, "offset": {place.offset}')
    told.append(f'"filename": {quoted(file)}}}')
    return f"{surt(url)} {_digits(moment)} {', '.join(told)}"


def _digits(moment: datetime) -> str:
    """Write a moment as a CDXJ index has it: 14 digits, to the second."""
    return stamp(moment)[:19].translate(NO_SIGNS)


def shifted(index: bytes, *, by: int) -> list[str]:
    """Move the lines of a CDXJ index along with records that were moved."""
    moved = []
    for line in index.decode().removesuffix("\n").split("\n"):
        key, moment, block = line.split(" ", 2)
        told = json.loads(block)
        told["offset"] += by
        moved.append(f"{key} {moment} {json.dumps(told)}")
    return moved
