"""One WARC record, read strictly out of its gzip member (WARC 1.1).

A member must hold exactly one record: its head, its block, an empty line twice. Fields
must be there and well formed, and both digests must come out again: the payload of an
answer is framed by the recorder that framed it when it came, from its bytes alone.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from pipeline.capture.wire import (
    END_OF_HEAD,
    HEAD_LIMIT,
    Chunks,
    Framing,
    Message,
    Recording,
    Truncation,
)
from pipeline.fixity import Hash
from pipeline.packaging.expected import Seen, shown
from pipeline.packaging.gzipmembers import Fault, Member, Stream, TornError
from pipeline.warc import REVISIT_PROFILE

LARGEST_HEAD = 1 << 20  # bytes of a record's head
LARGEST_REST = 1 << 26  # bytes behind a record, counted before a member is given up

_Piece = TypeVar("_Piece", bytes, memoryview)

ALWAYS = (
    "WARC-Type",
    "WARC-Record-ID",
    "WARC-Date",
    "WARC-Block-Digest",
    "Content-Length",
)
ALSO = {  # by type, WARC 1.1 6.2 to 6.9, and what we always write
    "warcinfo": ("Content-Type",),
    "response": (
        "WARC-Target-URI",
        "WARC-Payload-Digest",
        "WARC-Warcinfo-ID",
        "Content-Type",
    ),
    "resource": ("WARC-Target-URI", "Content-Type"),
    "request": ("WARC-Target-URI", "WARC-Warcinfo-ID", "Content-Type"),
    "metadata": ("Content-Type",),
    "revisit": (
        "WARC-Target-URI",
        "WARC-Payload-Digest",
        "WARC-Warcinfo-ID",
        "WARC-Profile",
        "WARC-Refers-To-Target-URI",
        "WARC-Refers-To-Date",
        "Content-Type",
    ),
    "conversion": ("WARC-Target-URI", "Content-Type"),
    "continuation": (
        "WARC-Target-URI",
        "WARC-Segment-Number",
        "WARC-Segment-Origin-ID",
    ),
}
REPEATABLE = ("warc-concurrent-to", "warc-protocol")  # WARC 1.1 5.7
ANSWERS = ("response", "revisit")

VERSION = b"WARC/1.1\r\n"
LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x1f\x7f]*)\Z")
REFERENCE = re.compile(r"<[A-Za-z][A-Za-z0-9+.-]{0,30}:[^\s<>]{1,200}>\Z")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\Z", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
LENGTH = re.compile(r"(0|[1-9]\d{0,17})\Z", re.ASCII)


def digested(pieces: Iterable[_Piece], digest: Hash) -> Iterator[_Piece]:
    """Digest bytes as they pass; a thread would wait for its turn at each record."""
    for piece in pieces:
        digest.update(piece)
        yield piece


class Reading:
    """One member read as one record; ``faults`` grow meanwhile."""

    def __init__(self, member: Member, method: str) -> None:
        self._member = member
        self._method = method
        self._stream = Stream(member.pieces())
        self._fields: dict[str, list[str]] = {}
        self._block = hashlib.sha256()
        self.name = f"the record at offset {member.start}"
        self.faults: list[Fault] = []

    def values(self, field: str) -> list[str]:
        """Return the values of a field; its name in lower case."""
        return self._fields.get(field, [])

    def read(self) -> Seen | None:
        """Read the member to its end; None where it holds no record. Raises TornError.

        The CRC comes last, so all else is known before it.
        """
        head = self._stream.until(b"\r\n\r\n", LARGEST_HEAD)
        if not head.startswith(VERSION):
            self._say_no_record(head)
            return None
        self._fields = self._parsed(head)
        length = self._value("content-length")
        self.faults += _field_faults(self.name, self._fields)
        if not LENGTH.match(length):
            self._rest()
            return None
        answer = self._answer(int(length))
        if not self._is_closed(int(length)):
            return None
        self._check_digests(answer)
        self._check_revisit(int(length), answer)
        return self._seen(int(length), answer)

    # -------------------------------------------------------------------- framing

    def _say_no_record(self, head: bytes) -> None:
        found = head or self._stream.peek(len(VERSION))
        wanted = "expected a head that begins with WARC/1.1"
        self._say("warc-framing", f"{wanted}, found {found[: len(VERSION)]!r}")
        self._rest()

    def _parsed(self, head: bytes) -> dict[str, list[str]]:
        fields: dict[str, list[str]] = {}
        try:
            text = head[len(VERSION) : -4].decode()
        except UnicodeDecodeError:
            self._say("warc-field", "its head is not UTF-8")
            text = head[len(VERSION) : -4].decode("utf-8", "replace")
        for line in text.split("\r\n") if text else ():
            parts = LINE.match(line)
            if parts:
                fields.setdefault(parts[1].lower(), []).append(parts[2])
            else:
                self._say("warc-field", f"{shown(line)} is not 'name: value'")
        return fields

    def _is_closed(self, size: int) -> bool:
        """Tell whether the block ends where it should, and the record behind it."""
        end = self._stream.take(4)
        if end == b"\r\n\r\n" and not self._stream.peek(1):
            return True
        before, more = self._stream.place - len(end), self._rest()
        if end == b"\r\n\r\n":
            found = f"{more} bytes more"
        else:
            found = f"{end!r} and {more} bytes more"
        wanted = f"a block of {size} bytes, an empty line twice, and no more"
        at = f"{before} bytes into the member"
        self._say("warc-framing", f"expected {wanted}, found at its end, {at}: {found}")
        return False

    def _rest(self) -> int:
        """Take what is left of the member, so that the next can be read."""
        count = sum(len(one) for one in self._stream.pieces(LARGEST_REST))
        if self._stream.peek(1):
            where = f"{self.name}: more than {LARGEST_REST:,} bytes too much"
            raise TornError("warc-framing", where)
        return count

    # -------------------------------------------------------------------- content

    def _answer(self, size: int) -> "_Answer":
        """Take the block; its payload as well, where an answer has one of its own."""
        block = Stream(digested(self._stream.pieces(size), self._block))
        kind = self._value("warc-type")
        answer = _read_answer(block, self._method) if kind in ANSWERS else _Answer()
        for _ in block.pieces(sys.maxsize):
            pass
        return answer

    def _check_digests(self, answer: "_Answer") -> None:
        block = f"sha256:{self._block.hexdigest()}"
        self._compare("warc-block-digest", block)
        if self._value("warc-type") not in ("revisit", "request"):
            payload = answer.payload or block
            if self._is_headless(block):
                payload = block
            self._compare("warc-payload-digest", payload)

    def _compare(self, field: str, found: str) -> None:
        told = self._value(field)
        if told and told != found:
            self._say(field, f"told {shown(told)}, found {found}")

    def _is_headless(self, block: str) -> bool:
        """Tell whether no head was taken for one, as after a flood of interim heads."""
        is_cut = self._value("warc-truncated") == Truncation.LENGTH
        return is_cut and self._value("warc-payload-digest") == block

    def _check_revisit(self, size: int, answer: "_Answer") -> None:
        if self._value("warc-type") != "revisit":
            return
        profile = self._value("warc-profile")
        if profile != REVISIT_PROFILE:
            self._say("warc-revisit", f"its profile {shown(profile)} is not ours")
        if answer.head != size:
            found = f"{size} bytes, of which {answer.head} are the head"
            self._say("warc-revisit", f"expected the head alone, found {found}")

    def _seen(self, size: int, answer: "_Answer") -> Seen:
        block = f"sha256:{self._block.hexdigest()}"
        is_headless = answer.payload and self._is_headless(block)
        if is_headless:
            answer = _Answer(payload_size=size)
        kind = self._value("warc-type")
        served = answer.media_type if kind in ANSWERS else self._value("content-type")
        return Seen(
            offset=self._member.start,
            length=self._member.length,
            type=kind,
            id=self._value("warc-record-id"),
            url=self._value("warc-target-uri"),
            date=self._value("warc-date"),
            payload=self._value("warc-payload-digest"),
            truncated=self._value("warc-truncated"),
            size=size,
            payload_size=answer.payload_size,
            status=answer.status,
            media_type=served,
        )

    def _value(self, field: str) -> str:
        return next(iter(self.values(field)), "")

    def _say(self, code: str, message: str) -> None:
        self.faults.append(Fault(code, f"{self.name}: {message}"))


# ------------------------------------------------------------------------- its fields


def _is_date(text: str) -> bool:
    try:
        return bool(DATE.match(text) and datetime.fromisoformat(text[:19]))
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "warc-type": (ALSO.__contains__, "one of the eight types"),
    "warc-record-id": (REFERENCE.match, "a URI between < and >"),
    "warc-concurrent-to": (REFERENCE.match, "a URI between < and >"),
    "warc-refers-to": (REFERENCE.match, "a URI between < and >"),
    "warc-warcinfo-id": (REFERENCE.match, "a URI between < and >"),
    "warc-date": (_is_date, "a moment in UTC"),
    "warc-refers-to-date": (_is_date, "a moment in UTC"),
    "warc-block-digest": (DIGEST.match, "sha256: and 64 digits"),
    "warc-payload-digest": (DIGEST.match, "sha256: and 64 digits"),
    "warc-truncated": (tuple(Truncation).__contains__, "length, time or disconnect"),
    "warc-ip-address": (_is_address, "an address"),
    "content-length": (LENGTH.match, "a number"),
}


def _field_faults(name: str, fields: dict[str, list[str]]) -> Iterator[Fault]:
    """Tell which fields are absent, repeated or malformed. Pure."""
    kind = next(iter(fields.get("warc-type", ())), "")
    for wanted in (*ALWAYS, *ALSO.get(kind, ())):
        if wanted.lower() not in fields:
            yield Fault("warc-field", f"{name}: it has no {wanted}")
    for field, values in fields.items():
        if len(values) > 1 and field not in REPEATABLE:
            message = f"{name}: it has {field} {len(values)} times"
            yield Fault("warc-field", message)
        is_right, wanted = FORMS.get(field, (None, ""))
        for value in values if is_right else ():
            if is_right and not is_right(value):
                message = f"{name}: {field} is {shown(value)}, expected {wanted}"
                yield Fault("warc-field", message)


# ------------------------------------------------------------------------- its payload


class _Answer(Struct, frozen=True, kw_only=True):
    """What the block of an answer turned out to hold."""

    head: int = 0  # bytes
    status: int | None = None
    media_type: str = ""
    payload: str = ""
    payload_size: int = 0


def _read_answer(block: Stream, method: str) -> _Answer:
    """Frame an answer as it was framed when it was recorded (RFC 9112, 6.3)."""
    start, end = _beginning(block)
    message = _framed(start[:end], method)
    digest, size = hashlib.sha256(), 0
    for piece in _payload(block, message) if end or not message.head.raw else ():
        size += len(piece)
        digest.update(piece)
    kind = message.head.value("content-type").partition(";")[0]
    return _Answer(
        head=len(message.head.raw),
        status=message.head.status,
        media_type=kind.strip().lower(),
        payload=f"sha256:{digest.hexdigest()}",
        payload_size=size,
    )


def _beginning(block: Stream) -> tuple[bytes, int | None]:
    """Return what may be a head, and where it ends if it does."""
    size = 1 << 12
    while True:
        start = block.peek(size)
        if found := END_OF_HEAD.search(start):
            return start, found.end()
        if len(start) < size or size >= HEAD_LIMIT:
            return start, None
        size *= 4


def _framed(head: bytes, method: str) -> Message:
    """Have the recorder read a head: the same bytes mean the same to it again."""
    recording = Recording(folder=Path(), method=method)
    recording.received(head)
    recording.end(Truncation.DISCONNECT)
    return recording.message()


def _payload(block: Stream, message: Message) -> Iterator[bytes | memoryview]:
    """Take the payload off a block, whose head stands first."""
    block.skip(len(message.head.raw))
    most, chunked = sys.maxsize, Chunks()
    if message.framing is Framing.NONE:
        most = 0
    elif message.framing is Framing.LENGTH:
        told = message.head.value("content-length")
        most = int(told.partition(",")[0].strip())  # as the recorder judged it
    for piece in block.pieces(most):
        if message.framing is Framing.CHUNKED:
            yield from chunked.feed(bytes(piece))
        else:
            yield piece
