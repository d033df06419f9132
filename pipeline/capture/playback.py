"""Playback: the door of the recording proxy, with a WARC behind it and no network.

What was recorded is sent as it was recorded, to the byte. What was not is answered by
us, marked, and named: the list of what is missing is what a replay check is for. A part
of what is held whole is cut out of it, and marked; what fits only loosely is counted
apart.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from msgspec import Struct

from pipeline.capture import chatter
from pipeline.capture.asking import Asking
from pipeline.capture.gate import LAST, Endpoint, Gate, Manners, Visitor, own_answer
from pipeline.capture.shelf import Found, Held, How, Shelf, Span
from pipeline.capture.wire import IN_MEMORY, Recording
from pipeline.clock import Clock
from pipeline.errors import StorageError

FORBIDDEN, NOT_FOUND = 403, 404
MOST_NAMED = 1000  # of what is missing


class Played(Struct, frozen=True, kw_only=True):
    """What was asked of a playback, and what of it was there."""

    served: int = 0
    parts: int = 0  # of these, cut out of longer answers
    loose: tuple[str, ...] = ()  # of these, addresses answered by leave
    missing: tuple[str, ...] = ()  # addresses that nothing answers, each once
    own: int = 0  # what the browser asked for itself


class Playback:
    """A proxy that answers from WARCs alone, open as long as its ``with`` block.

    Raises OSError where one can't be read, ValueError where one is no WARC.
    """

    def __init__(
        self, clock: Clock, warcs: Iterable[Path], manners: Manners | None = None
    ) -> None:
        self._shelf = Shelf(warcs)
        self._guard = threading.Lock()
        self._served = self._parts = self._own = 0
        self._loose: dict[str, None] = {}  # sets that keep their order
        self._missing: dict[str, None] = {}
        self._gate = Gate(clock, self._welcome, manners or Manners())

    @property
    def endpoint(self) -> Endpoint:
        """Where a browser finds it."""
        return self._gate.endpoint

    @property
    def played(self) -> Played:
        """Tell what was asked so far."""
        with self._guard:
            return Played(
                served=self._served,
                parts=self._parts,
                loose=tuple(self._loose),
                missing=tuple(self._missing),
                own=self._own,
            )

    def __enter__(self) -> Self:
        self._gate.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection."""
        self._gate.close()

    def check(self) -> None:
        """Raise what went wrong on a connection, if anything did: StorageError."""
        if self._gate.failure is not None:
            raise self._gate.failure

    def _welcome(self) -> "Player":
        return Player(self)

    def find(self, one: Asking) -> Found | None:
        """Find what answers a request, and count it."""
        found = None if one.upgrades else self._shelf.find(one)
        with self._guard:
            if found is None:
                if len(self._missing) < MOST_NAMED:
                    self._missing[one.url] = None
                return None
            self._served += 1
            self._parts += found.how is How.PART
            if found.how is How.LOOSE:
                self._loose[one.url] = None
        return found

    def pass_by(self) -> None:
        """Count what a browser asked for itself."""
        with self._guard:
            self._own += 1


class Player:
    """Answers the requests of one connection from what is held."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    def attend(self, one: Asking, visitor: Visitor) -> bool:
        """Send what was recorded. Raises StorageError where it can't be read."""
        if chatter.is_own(one.url, one.place.host):
            self._playback.pass_by()
            visitor.send(own_answer(FORBIDDEN, "a browser's own request is not made"))
            return True
        found = self._playback.find(one)
        if found is None:
            visitor.send(own_answer(NOT_FOUND, "this was not recorded", LAST))
            return False
        try:
            if found.span is not None:
                return _send_part(found.held, found.span, visitor)
            return _send_whole(found.held, one, visitor)
        except OSError as error:
            raise StorageError.at(found.held.path, error) from error

    def cut(self) -> None:
        """Do nothing: what is read from a disk comes to its end."""

    def leave(self) -> None:
        """Let go of nothing."""


def _send_whole(held: Held, one: Asking, visitor: Visitor) -> bool:
    """Send a response as it was recorded; tell whether its end was told by itself."""
    recording: Recording | None = Recording(folder=held.path.parent, method=one.method)
    for piece in held.block():
        visitor.send(piece)
        if visitor.is_gone:
            return False
        if recording is not None and recording.size + len(piece) > IN_MEMORY:
            recording = None  # it would be spooled: rather a new connection
        if recording is not None:
            recording.received(piece)
    if recording is None or not recording.is_complete:
        return False
    return recording.message().may_keep_alive


def _send_part(held: Held, span: Span, visitor: Visitor) -> bool:
    """Cut some bytes out of what is held (RFC 9110, 15.3.7)."""
    at = held.span.first if held.span is not None else 0
    visitor.send(_head_of_part(held, span))
    for piece in held.payload():
        start, end = max(span.first - at, 0), span.last + 1 - at
        if end <= 0 or visitor.is_gone:
            break
        visitor.send(piece[start:end])
        at += len(piece)
    return False


def _head_of_part(held: Held, span: Span) -> bytes:
    size = span.last - span.first + 1
    dropped = ("content-length", "content-range", "transfer-encoding", "connection")
    lines = held.head().decode("latin-1").splitlines()[1:]
    kept = [
        line
        for line in lines
        if line.strip() and line.partition(":")[0].strip().lower() not in dropped
    ]
    return "\r\n".join(
        [
            "HTTP/1.1 206 Partial Content",
            *kept,
            f"Content-Length: {size}",
            f"Content-Range: bytes {span.first}-{span.last}/{span.whole}",
            "Muniment-Playback: cut out of what was recorded",
            LAST,
            "",
            "",
        ]
    ).encode("latin-1")
