"""Content codings taken off a body: gzip, deflate, br, stacked, and never too much.

For reading only, never for what is kept. What comes out is bounded, and so is what is
made on the way. Bytes that are not what they are said to be come back as they are, cut
or damaged ones as far as they make sense, each with the problem told in words; nothing
raises.
"""

import io
import re
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from typing import Protocol

import brotli
from msgspec import Struct
from msgspec.structs import replace

LIMIT = 64 * 2**20  # decoded bytes
MOST_CODINGS = 5
MOST_MEMBERS = 10_000  # of one gzip body
STEP = 16 * 1024  # bytes put into a decoder at a time
PIECE = 64 * 1024  # bytes a decoder is asked for at a time
PLENTY = 2 * 2**20  # decoded bytes that any body may have, however few it came as
MOST_RATIO = 100  # beyond that, decoded bytes for one of the body; text has up to 30
GZIP = b"\x1f\x8b"
_MARKUP = re.compile(rb"\s*<[^\0-\x08\x0e-\x1f]*", re.DOTALL)


class Decoded(Struct, frozen=True, kw_only=True):
    """A body without its content codings, as far as they could be taken off."""

    data: bytes
    problems: tuple[str, ...] = ()
    complete: bool = True  # nothing was cut, damaged or left on


def decode(payload: bytes, content_encoding: str, *, limit: int = LIMIT) -> Decoded:
    """Take off the content codings of a body, the last applied first (RFC 9110, 8.4).

    Never more than ``limit`` bytes come out of a coding, whatever goes in.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if len(codings) > MOST_CODINGS:
        problem = f"{len(codings)} content codings, more than {MOST_CODINGS}: left on"
        return Decoded(data=payload[:limit], problems=(problem,), complete=False)
    all_so_far = Decoded(data=payload)
    for coding in reversed(codings):
        one = _without(coding, all_so_far.data, limit)
        all_so_far = Decoded(
            data=one.data,
            problems=all_so_far.problems + one.problems,
            complete=all_so_far.complete and one.complete,
        )
    if len(all_so_far.data) <= limit:
        return all_so_far
    return replace(all_so_far, data=all_so_far.data[:limit], complete=False)


def _without(coding: str, data: bytes, limit: int) -> Decoded:
    """Take off one coding."""
    if not data:  # HEAD-like bodies say gzip and hold nothing
        return Decoded(data=data)
    if coding in ("gzip", "x-gzip"):
        return _gunzip(data, limit)
    if coding == "deflate":
        # RFC 9110 8.4.1.2 says zlib; some servers send it bare. RFC 1950, 2.2.
        is_zlib = data[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(data[:2]) % 31
        window = zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
        return _unsigned(data, "deflate", lambda: _Zlib(window), limit)
    if coding == "br":
        return _unsigned(data, "br", _Brotli, limit)
    problem = f"content coding {coding[:40]!r} was not asked for and is left on"
    return Decoded(data=data, problems=(problem,), complete=False)


def _gunzip(data: bytes, limit: int) -> Decoded:
    """Unpack every member of a gzip body (RFC 1952, 2.2)."""
    if not data.startswith(GZIP):
        return _mislabelled(data, "gzip")
    unpacking = _Unpacking(data, limit)
    end = _End(at=0)
    for _ in range(MOST_MEMBERS):
        end = unpacking.stream(lambda: _Zlib(zlib.MAX_WBITS | 16), end.at)
        if end.problem or not data.startswith(GZIP, end.at):
            break
    return unpacking.told("gzip", end)


def _unsigned(
    data: bytes, coding: str, make: "Callable[[], _Decoder]", limit: int
) -> Decoded:
    """Unpack a coding without a signature, unless the bytes are plainly plain."""
    unpacking = _Unpacking(data, limit)
    end = unpacking.stream(make)
    is_empty = end.is_damaged and not unpacking.size
    if is_empty or (end.problem and _is_text(data)):
        return _mislabelled(data, coding)
    return unpacking.told(coding, end)


def _mislabelled(data: bytes, coding: str) -> Decoded:
    return Decoded(data=data, problems=(f"said to be {coding}, but is not",))


def _is_text(data: bytes) -> bool:
    """Tell whether bytes are text already: UTF-8, or markup in whatever encoding."""
    start = data[:4096]
    try:
        getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return _MARKUP.fullmatch(start) is not None
    return True


class _Decoder(Protocol):
    """What takes a coding off: bytes in, at most about a piece out."""

    @property
    def is_done(self) -> bool: ...
    @property
    def unused(self) -> int:
        """Count the bytes of the last input that stand behind the end."""

    def take(self, data: bytes, most: int) -> bytes:
        """Take bytes and give some back; call again with b"" until none come.

        Raises ValueError where the bytes make no sense.
        """


class _Zlib:
    """gzip, zlib or bare deflate, as the window size says."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)

    @property
    def is_done(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> int:
        return len(self._inner.unused_data)

    def take(self, data: bytes, most: int) -> bytes:
        if self._inner.eof:
            return b""
        try:
            return self._inner.decompress(data or self._inner.unconsumed_tail, most)
        except zlib.error as error:
            raise ValueError(str(error)) from error


class _Brotli:
    """Brotli (RFC 7932), which takes bytes behind its end for a fault."""

    unused = 0

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def is_done(self) -> bool:
        return bool(self._inner.is_finished())

    def take(self, data: bytes, most: int) -> bytes:
        try:
            return bytes(self._inner.process(data, output_buffer_limit=most))
        except brotli.error as error:
            raise ValueError(str(error)) from error


class _End(Struct, frozen=True, kw_only=True):
    """Where in the input a stream ended, and why if not by itself."""

    at: int
    problem: str = ""
    is_damaged: bool = False


class _Unpacking:
    """Streams of one body on their way out, all of them within one limit."""

    def __init__(self, data: bytes, limit: int) -> None:
        self._data = data
        self._limit = limit
        self._out = io.BytesIO()

    @property
    def size(self) -> int:
        return self._out.tell()

    def stream(self, make: Callable[[], _Decoder], start: int = 0) -> _End:
        """Unpack one stream; what stood before a fault is kept to the last byte."""
        mark = self.size
        end = self._run(make(), _steps(start, len(self._data)))
        if not end.is_damaged:
            return end
        # A fault costs a decoder the output of its whole step: go there byte by byte.
        self._out.seek(mark)
        self._out.truncate()
        last = min(end.at + STEP, len(self._data))
        bytewise = ((at, at + 1) for at in range(end.at, last))
        return self._run(make(), (*_steps(start, end.at), *bytewise))

    def told(self, coding: str, end: _End) -> Decoded:
        """Tell what came out; bytes behind the end are no loss."""
        problem = end.problem
        # RFC 1952 is silent on padding; zeros behind the end do no harm.
        if not problem and self._data[end.at :].strip(b"\0"):
            problem = f"{len(self._data) - end.at} bytes behind the end"
        return Decoded(
            data=self._out.getvalue(),
            problems=(f"{coding}: {problem}",) if problem else (),
            complete=not end.problem,
        )

    def _run(self, decoder: _Decoder, steps: Iterable[tuple[int, int]]) -> _End:
        for at, end in steps:
            most = min(self._limit, max(PLENTY, MOST_RATIO * end))
            try:
                is_full = self._take(decoder, self._data[at:end], most)
            except ValueError as error:
                return _End(at=at, problem=f"damaged, {error}", is_damaged=True)
            if is_full:
                return _End(at=end, problem=f"longer than the {most} bytes read")
            if decoder.is_done:
                return _End(at=end - decoder.unused)
        return _End(at=len(self._data), problem="cut short")

    def _take(self, decoder: _Decoder, given: bytes, most: int) -> bool:
        """Take all that a decoder makes of some bytes; tell if it is too much."""
        while made := decoder.take(given, min(PIECE, most - self.size + 1)):
            self._out.write(made)
            given = b""
            if self.size > most:
                self._out.truncate(most)
                return True
        return False


def _steps(start: int, stop: int) -> Iterable[tuple[int, int]]:
    return ((at, min(at + STEP, stop)) for at in range(start, stop, STEP))
