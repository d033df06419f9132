"""What WARCs hold, found by what is asked: method, address, range, body.

Each answer is found by the request beside it and read from where it stands when it is
wanted. An address asked for several times was answered several times: so in their
order, then the last again. What answers only by leave (another query that says no more
than the time, another body) is marked as such.
"""

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote_plus

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.asking import END_OF_HEAD, Asking, RefusedError, Unchunked
from pipeline.capture.wire import END_OF_HEAD as END_OF_ANSWER
from pipeline.capture.wire import HEAD_LIMIT, Chunks
from pipeline.warc import StandingRecord, block_at, standing

LARGEST_REQUEST = 64 * 2**20
READ = {"request": LARGEST_REQUEST, "response": HEAD_LIMIT + 1}  # bytes of each
NO_BODY = ""
WHOLE, PART = 200, 206
STATUS = re.compile(rb"HTTP/\d\.\d[ \t]+(\d{3})")
SPAN = re.compile(rb"(?im)^content-range:[ \t]*bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
IN_CHUNKS = re.compile(rb"(?im)^transfer-encoding:.*chunked[ \t]*\r?$")
RANGE_FIELD = re.compile(rb"(?im)^range:[ \t]*([^\r\n]*?)[ \t]*\r?$")
ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
CHUNKED_REQUEST = re.compile(rb"(?im)^transfer-encoding:[ \t]*chunked[ \t]*\r?$")
# Values that name no more than the moment of asking, and names of such.
A_MOMENT = re.compile(r"\d{10}(?:\d{3})?|0\.\d{6,}", re.ASCII)
CACHE_BUSTERS = frozenset(
    ("_", "cb", "cachebuster", "cache_bust", "nocache", "rand", "random", "rnd", "ts")
)


class How(StrEnum):
    """How an answer fits what is asked."""

    EXACT = "exact"
    PART = "part"  # of a longer answer that is held
    LOOSE = "loose"  # to another query that busts caches, or another body


class Span(Struct, frozen=True):
    """Some bytes of a whole, first and last, as Content-Range tells them."""

    first: int
    last: int
    whole: int


class Held(Struct, frozen=True, kw_only=True):
    """One answer that stands in a WARC."""

    path: Path
    offset: int
    record: str
    date: str
    url: str
    status: int
    head_size: int
    size: int  # of the block
    span: Span | None = None  # of a 206
    is_chunked: bool = False
    is_cut: bool = False

    def block(self) -> Iterator[bytes]:
        """Read it as it came over the wire."""
        return block_at(self.path, self.offset)

    def head(self) -> bytes:
        """Read its head."""
        got = b""
        for piece in self.block():
            got += piece
            if len(got) >= self.head_size:
                break
        return got[: self.head_size]

    def payload(self) -> Iterator[bytes]:
        """Read what it carries, its framing taken off."""
        skip, chunks = self.head_size, Chunks()
        for piece in self.block():
            rest, skip = piece[skip:], max(0, skip - len(piece))
            if self.is_chunked:
                yield from map(bytes, chunks.feed(rest))
            else:
                yield rest


class Found(Struct, frozen=True, kw_only=True):
    """What answers a request, and how well; of a part, which."""

    held: Held
    how: How
    span: Span | None = None


class _Request(Struct, frozen=True):
    """What was asked, as far as it decides the answer."""

    method: str
    url: str
    range: str = ""
    body: str = NO_BODY


class Shelf:
    """The answers in some WARCs. Thread-safe.

    Raises OSError where one can't be read, ValueError where one is no WARC.
    """

    def __init__(self, warcs: Iterable[Path]) -> None:
        self._exact: dict[_Request, list[Held]] = defaultdict(list)
        self._loose: dict[_Request, list[Held]] = defaultdict(list)
        self._next: dict[int, int] = defaultdict(int)  # of a list, the answer in turn
        self._guard = threading.Lock()
        answers, requests = _sorted(warcs)
        whole = [one for one in answers if isinstance(one, Held)]
        by_id = {held.record: held for held in whole}
        by_place = {(held.url, held.date): held for held in whole}
        for one in answers:
            held = one if isinstance(one, Held) else _resolved(one, by_id, by_place)
            if held is not None:
                asked = requests.get(_id(one)) or _Request("GET", held.url)
                self._put(asked, held)

    def _put(self, asked: _Request, held: Held) -> None:
        self._exact[asked].append(held)
        self._loose[_loosened(asked)].append(held)

    def find(self, one: Asking) -> Found | None:
        """Find what answers a request; None where nothing does."""
        asked = _Request(one.method, one.url, one.value("range"), digest(one.content))
        if asked in self._exact:
            return Found(held=self._in_turn(self._exact[asked]), how=How.EXACT)
        if asked.range and (part := self._part(asked)):
            return part
        for several in (
            self._loose.get(_loosened(asked)),
            self._loose.get(_loosened(replace(asked, range=""))),  # RFC 9110, 14.2
        ):
            if several:
                return Found(held=self._in_turn(several), how=How.LOOSE)
        return None

    def _in_turn(self, several: list[Held]) -> Held:
        with self._guard:
            turn = self._next[id(several)]
            self._next[id(several)] = min(turn + 1, len(several) - 1)
        return several[turn]

    def _part(self, asked: _Request) -> Found | None:
        """Cut what is asked for out of a longer answer that is held."""
        for other, several in self._exact.items():
            if (other.method, other.url) != (asked.method, asked.url):
                continue
            for held in several:
                if (has := _extent(held)) and (span := within(asked.range, has)):
                    return Found(held=held, how=How.PART, span=span)
        return None


def digest(content: bytes) -> str:
    """Return the digest by which bodies of requests are told apart."""
    return hashlib.sha256(content).hexdigest() if content else NO_BODY


def within(told: str, has: Span) -> Span | None:
    """Read a Range of one part; return what of it is held (RFC 9110, 14.2)."""
    found = ONE_RANGE.fullmatch(told)
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        first, last = int(found[1]), int(found[2] or has.whole - 1)
    else:
        first, last = max(0, has.whole - int(found[2])), has.whole - 1
    if not has.first <= first <= min(last, has.last):
        return None
    return Span(first, min(last, has.last), has.whole)


def _extent(held: Held) -> Span | None:
    """Say what bytes an answer holds; of one in chunks that takes a reading."""
    if held.status == PART or held.is_cut:
        return held.span
    size = held.size - held.head_size if held.status == WHOLE else 0
    if size and held.is_chunked:
        size = sum(map(len, held.payload()))
    return Span(0, size - 1, size) if size else None


def _sorted(
    warcs: Iterable[Path],
) -> tuple[list[Held | StandingRecord], Mapping[str, _Request]]:
    """Tell answers and revisits, as they were recorded, and what was asked for each."""
    answers: list[Held | StandingRecord] = []
    requests = {}
    for path in warcs:
        for one in standing(path, READ):
            if one.type == "response":
                answers.append(_held(path, one))
            elif one.type == "revisit":
                answers.append(one)
            elif one.type == "request":
                requests[one.fields.get("warc-concurrent-to", "")] = _request(one)
    return answers, requests


def _id(one: Held | StandingRecord) -> str:
    if isinstance(one, Held):
        return one.record
    return one.fields.get("warc-record-id", "")


def _held(path: Path, one: StandingRecord) -> Held:
    end = END_OF_ANSWER.search(one.beginning)
    head = one.beginning[: end.end()] if end else b""
    status, span = STATUS.match(head), SPAN.search(head)
    return Held(
        path=path,
        offset=one.offset,
        record=_id(one),
        date=one.fields.get("warc-date", ""),
        url=one.fields.get("warc-target-uri", ""),
        status=int(status[1]) if status else 0,
        head_size=len(head),
        size=int(one.fields.get("content-length", "0")),
        span=Span(int(span[1]), int(span[2]), int(span[3])) if span else None,
        is_chunked=IN_CHUNKS.search(head) is not None,
        is_cut="warc-truncated" in one.fields,
    )


def _request(one: StandingRecord) -> _Request:
    head, _, body = one.beginning.partition(END_OF_HEAD)
    told = RANGE_FIELD.search(head)
    if CHUNKED_REQUEST.search(head):
        body = _unchunked(body)
    return _Request(
        head.partition(b" ")[0].decode("latin-1"),
        one.fields.get("warc-target-uri", ""),
        told[1].decode("latin-1") if told else "",
        digest(body),
    )


def _unchunked(body: bytes) -> bytes:
    read = Unchunked(LARGEST_REQUEST)
    try:
        read.feed(body)
    except RefusedError:
        return body
    return read.content


def _resolved(
    one: StandingRecord,
    by_id: Mapping[str, Held],
    by_place: Mapping[tuple[str, str], Held],
) -> Held | None:
    """Find the answer that a revisit leaves to another record."""
    fields = one.fields
    place = (
        fields.get("warc-refers-to-target-uri", ""),
        fields.get("warc-refers-to-date", ""),
    )
    return by_id.get(fields.get("warc-refers-to", "")) or by_place.get(place)


def _loosened(asked: _Request) -> _Request:
    """Leave out of a request what may differ from one visit to the next."""
    path, mark, query = asked.url.partition("?")
    return _Request(asked.method, path + mark + _settled(query), asked.range)


def _settled(query: str) -> str:
    """Leave the values out of a query that name no more than the moment."""
    parts = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        is_moment = A_MOMENT.fullmatch(unquote_plus(value)) is not None
        is_buster = name.lower() in CACHE_BUSTERS
        parts.append(name if is_moment or is_buster else part)
    return "&".join(parts)
