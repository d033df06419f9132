"""What a server may do to us, case by case: one table, and a server that does it.

``CASES`` names by what is odd about it how a server behaves and what has to come of a
visit: verdict, reasons, WARC-Truncated, anomalies, requisites that are missing. For
every case alike the bytes kept are the bytes received, the visit ends within its
deadline and half a second, and memory grows by less than ``MOST`` MiB. Nothing
but loopback is ever connected to: names are resolved here, and lead here.

``python tests/hostile_web.py --write`` regenerates the table in README.md;
``--grows NAME ...`` prints by how many MiB a process grows that visits each of these,
``--late`` which cases come nearest to their deadline.
"""

import argparse
import gzip
import hashlib
import multiprocessing
import random
import socket
import ssl
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import groupby
from pathlib import Path

import brotli
from certificates import Authority
from origins import Answer, Origin, answer, redirect

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.net import Network
from pipeline.capture.robots import Robots
from pipeline.capture.tls import Trust, tls_context
from pipeline.capture.visit import Task, visit
from pipeline.clock import SystemClock
from pipeline.model import Capture, Purpose, Quote, RobotsPolicy, Source, TlsPolicy

HERE = Path(__file__).parent
MIB = 2**20
SLACK = 0.5  # seconds beyond a deadline
HANG = 300  # seconds that no machine is busy for; `--late` measures what it takes
MOST = 32  # MiB by which memory may grow, whatever comes
PAGE = b"<!doctype html><title>A page</title><p>Some words of it."
GIF = answer(b"GIF89a", kind="image/gif")
Ending = Callable[[socket.socket], None]
Pages = Mapping[str, Answer] | Callable[[str], Answer]


# -------------------------------------------------------------- what a server may do


def head(*fields: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    kind = "Content-Type: text/html; charset=utf-8"
    return "\r\n".join((status, kind, *fields, "", "")).encode("latin-1")


def shut(_: socket.socket) -> None:
    """Close in good order."""


def reset(connection: socket.socket) -> None:
    linger = b"\1\0\0\0\0\0\0\0"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def wait(connection: socket.socket) -> None:
    while connection.recv(65536):  # until the other side hangs up
        pass


def says(*pieces: bytes, then: Ending = shut) -> Answer:
    """Send, and end the connection in some way."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"".join(pieces))  # at once: what is overlong, comes along
        then(connection)

    return speak


def forever(start: bytes, piece: bytes, *, every: float = 0.0) -> Answer:
    """Send without end, all at once or drop by drop."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            if every:
                time.sleep(every)

    return speak


def much(start: bytes, piece: bytes, count: int, end: bytes = b"") -> Answer:
    """Send a large body, without holding it."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(count):
            connection.sendall(piece)
        connection.sendall(end)

    return speak


def page(text: str | bytes = PAGE, *, count: int = 1, **fields: str) -> bytes:
    body = (text if isinstance(text, bytes) else text.encode()) * count
    return answer(body, kind="text/html; charset=utf-8", **fields)


def css(text: str) -> bytes:
    return answer(text.encode(), kind="text/css")


def chunked(*parts: bytes, more: str = "") -> Answer:
    lines = ("Transfer-Encoding: chunked", *([more] if more else []))
    return says(head(*lines), *parts)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def coded(data: bytes, coding: str, **fields: str) -> bytes:
    return page(data, Content_Encoding=coding, **fields)


class counting:  # noqa: N801 - reads as the function it is used as
    """Answer by how often anything was asked before, afresh for each server."""

    def __init__(self, pages: Callable[[int], Answer]) -> None:
        self._pages = pages
        self._numbers = iter(range(10**9))

    def __call__(self, _path: str) -> Answer:
        return self._pages(next(self._numbers))

    def afresh(self) -> "counting":
        return counting(self._pages)


def served(case: "Case") -> Callable[[str], Answer] | Mapping[str, Answer]:
    """What a server of a case answers; whatever counts begins to count anew."""
    if isinstance(case.pages, counting):
        return case.pages.afresh()
    return case.pages or (lambda _path: case.speaks or b"")


def in_turn(*answers: Answer) -> Callable[[str], Answer]:
    return counting(lambda number: answers[min(number, len(answers) - 1)])


def only(path: str, hostile: Answer, text: str) -> dict[str, Answer]:
    """A sound page that needs one hostile thing."""
    return {"/": page(text), path: hostile}


def bomb(size: int) -> bytes:
    """As many zeros as gzip, member by member: a thousandth of them."""
    return gzip.compress(bytes(16 * MIB)) * (size // (16 * MIB))


# ---------------------------------------------------------------------- the cases


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a server behaves, and what has to come of it."""

    speaks: Answer | None = None  # whatever is asked; None with no pages: nobody there
    pages: Pages | None = None  # or by what is asked
    verdict: str = "captured"
    reasons: tuple[str, ...] = ()
    truncated: str = ""  # WARC-Truncated of the answer
    anomalies: tuple[str, ...] = ()
    missing: int = 0  # of what the page needs
    secure: str = ""  # https, and what is wrong with the certificate
    deadline: float = 8.0
    is_large: bool = False  # visited alone, and measured in a process of its own
    asked: int | None = None  # how many requests the server sees
    names: dict[str, list[str]] = field(default_factory=dict)  # what resolves to what
    told: dict[str, object] = field(default_factory=dict)  # of the source

    @property
    def public(self) -> list[str]:
        """Name the public addresses that may be asked for, to no avail."""
        return [ip for ips in self.names.values() for ip in ips if ip[:2] == "93"]

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://site.example/"


PARTIAL = partial(Case, verdict="partial")
CUT = partial(PARTIAL, reasons=("truncated-disconnect",), truncated="disconnect")
LATE = partial(PARTIAL, reasons=("truncated-time",), truncated="time")
FULL = partial(PARTIAL, reasons=("truncated-length",), truncated="length")
LIMIT = partial(PARTIAL, reasons=("limit",), truncated="length")
ODD = partial(PARTIAL, reasons=("framing",))
EMPTY = partial(Case, verdict="suspect", reasons=("empty",))
QUIET = {"timeout": timedelta(seconds=0.4)}
SMALL = {"max_size": 200_000}


def failed(reason: str, speaks: Answer | None = None, **told: object) -> Case:
    return Case(speaks=speaks, verdict="failed", reasons=(reason,), **told)


def refused(status: str, body: bytes = b"no", **fields: str) -> Case:
    code = f"http-{status[:3]}"
    return Case(
        speaks=answer(body, status=status, **fields), verdict="refused", reasons=(code,)
    )


NOISE = random.Random(5).randbytes(5000)
CHUNKED = head("Transfer-Encoding: chunked")
BOMB = bomb(2048 * MIB)
TAG_BOMB = b"<p>" * (8 * MIB // 3)
SHEET = "".join(f".c{n}{{background:url(/{n}.gif)}}" for n in range(60_000))
MILLION = page("".join(f"<img src={n}>" for n in range(10**6)))
LONG_HEAD = [f"X-{n}: {'v' * 40}" for n in range(1200)]
NEXT_YEAR = "Wed, 21 Oct 2099 07:28:00 GMT"

FRAMING = {
    "truncated length": CUT(speaks=says(head("Content-Length: 100"), b"part")),
    "nothing of a length": CUT(speaks=says(head("Content-Length: 100"))),
    "missing last chunk": CUT(speaks=chunked(chunk(PAGE)), anomalies=("missing-last-chunk",)),
    "a chunk cut in the middle": CUT(speaks=chunked(b"ff\r\nhalf"), anomalies=("missing-last-chunk",)),
    "bad chunk size": PARTIAL(speaks=chunked(chunk(PAGE), b"zz\r\nx\r\n"), reasons=("truncated-disconnect", "framing"), truncated="disconnect", anomalies=("bad-chunk", "missing-last-chunk")),
    "negative chunk size": PARTIAL(speaks=chunked(chunk(PAGE), b"-5\r\nx\r\n"), reasons=("truncated-disconnect", "framing"), truncated="disconnect", anomalies=("bad-chunk", "missing-last-chunk")),
    "chunk size in C notation": PARTIAL(speaks=chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), reasons=("truncated-disconnect", "framing"), truncated="disconnect", anomalies=("bad-chunk", "missing-last-chunk")),
    "chunk size past every disk": CUT(speaks=chunked(b"ffffffffffffffff\r\n", PAGE), anomalies=("missing-last-chunk",)),
    "chunk size of too many digits": PARTIAL(speaks=chunked(b"0" * 17 + b"5\r\nhello\r\n0\r\n\r\n"), reasons=("truncated-disconnect", "framing"), truncated="disconnect", anomalies=("bad-chunk", "missing-last-chunk")),
    "a chunk longer than it says": PARTIAL(speaks=chunked(b"3\r\nhello\r\n0\r\n\r\n"), reasons=("truncated-disconnect", "framing"), truncated="disconnect", anomalies=("bad-chunk", "missing-last-chunk")),
    "chunks that end in bare LF": Case(speaks=chunked(b"5\nhello\n0\n\n")),
    "chunk extensions": Case(speaks=chunked(b'5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n')),
    "a chunk's line without end": LIMIT(speaks=forever(CHUNKED + b"5;", b"x" * 4096), anomalies=("chunk-line-too-large",)),
    "trailers": Case(speaks=chunked(chunk(PAGE), b"0\r\nX-Sum: 1\r\n\r\n")),
    "trailers without end": LIMIT(speaks=forever(CHUNKED + b"0\r\n", b"X-T: y\r\n" * 100), anomalies=("trailer-too-large",)),
    "reset before an answer": failed("reset", says(then=reset), truncated="disconnect"),
    "reset in the head": CUT(speaks=says(b"HTTP/1.1 200 OK\r\nContent-", then=reset), anomalies=("header-junk",)),
    "reset in the body": CUT(speaks=says(head("Content-Length: 100"), b"part", then=reset)),
    "overlong body": Case(speaks=says(head("Content-Length: 5"), b"hello and more"), anomalies=("overlong",)),
    "a second answer unasked": Case(pages=in_turn(page("<img src=a.gif>") + answer(b"evil"), GIF), anomalies=("overlong",), asked=2),
    "bytes behind the last chunk": Case(speaks=chunked(chunk(PAGE), b"0\r\n\r\nmore"), anomalies=("overlong",)),
    "two lengths": ODD(speaks=says(head("Content-Length: 5", "Content-Length: 6"), b"hello"), anomalies=("two-lengths",)),
    "two lengths that agree": Case(speaks=says(head("Content-Length: 5", "Content-Length: 5"), b"hello")),
    "two lengths in one line": ODD(speaks=says(head("Content-Length: 5, 6"), b"hello"), anomalies=("two-lengths",)),
    "negative length": ODD(speaks=says(head("Content-Length: -5"), b"hello"), anomalies=("bad-length",)),
    "length with a sign": ODD(speaks=says(head("Content-Length: +5"), b"hello"), anomalies=("bad-length",)),
    "length in words": ODD(speaks=says(head("Content-Length: five"), b"hello"), anomalies=("bad-length",)),
    "empty length": ODD(speaks=says(head("Content-Length: "), b"hello"), anomalies=("bad-length",)),
    "length of twenty digits": ODD(speaks=says(head(f"Content-Length: {'9' * 20}"), b"hello"), anomalies=("bad-length",)),
    "length and chunked": Case(speaks=chunked(chunk(PAGE), b"0\r\n\r\n", more="Content-Length: 3"), anomalies=("length-and-chunked",)),
    "an unknown transfer coding": Case(speaks=says(head("Transfer-Encoding: squeezed"), PAGE)),
    "chunked in capitals, after another": Case(speaks=says(head("Transfer-Encoding: gzip, CHUNKED"), chunk(gzip.compress(PAGE)), b"0\r\n\r\n")),
    "until close": Case(speaks=says(head(), PAGE)),
}  # fmt: skip

HEADS = {
    "bare LF": Case(speaks=says(head("Content-Length: 5").replace(b"\r\n", b"\n"), b"hello"), anomalies=("bare-lf",)),
    "bare LF here and there": Case(speaks=says(b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello"), anomalies=("bare-lf",)),
    "obs-fold": Case(speaks=says(head("X-Long: a\r\n\tb", "Content-Length: 5"), b"hello"), anomalies=("obs-fold",)),
    "a length in a fold": ODD(speaks=says(head("Content-Length:\r\n 5", "Content-Length: 6"), b"hello"), anomalies=("obs-fold", "two-lengths")),
    "NUL in a header": Case(speaks=says(head("X-Odd: a\0b", "Content-Length: 5"), b"hello"), anomalies=("nul",)),
    "Latin-1 in a header": Case(speaks=says(head("X-Odd: caf\xe9", "Content-Length: 5"), b"hello")),
    "a header without a colon": Case(speaks=says(head("no colon here", "Content-Length: 5"), b"hello"), anomalies=("header-junk",)),
    "a blank before the colon": Case(speaks=says(head("Content-Length : 5"), b"hello"), anomalies=("header-junk",)),
    "a header without a name": Case(speaks=says(head(": x", "Content-Length: 5"), b"hello")),
    "no status line": ODD(speaks=says(b"Content-Type: text/html\r\n\r\n", PAGE), anomalies=("no-status-line",)),
    "HTTP/0.9": ODD(speaks=says(PAGE), anomalies=("no-status-line",)),
    "random bytes": ODD(speaks=says(NOISE), anomalies=("no-status-line",)),
    "an empty line first": ODD(speaks=says(b"\r\n", page()), anomalies=("no-status-line",)),
    "a status of four digits": ODD(speaks=says(head("Content-Length: 5", status="HTTP/1.1 2000 OK"), b"hello"), anomalies=("no-status-line",)),
    "a status in words": ODD(speaks=says(head("Content-Length: 5", status="HTTP/1.1 Fine"), b"hello"), anomalies=("no-status-line",)),
    "a status line without a phrase": Case(speaks=says(head("Content-Length: 5", status="HTTP/1.1 200"), b"hello")),
    "a status line in small letters": ODD(speaks=says(head("Content-Length: 5", status="http/1.1 200 ok"), b"hello"), anomalies=("no-status-line",)),
    "HTTP/2.0 in a status line": Case(speaks=says(head("Content-Length: 5", status="HTTP/2.0 200 OK"), b"hello")),
    "ICY 200 OK": ODD(speaks=says(head("Content-Length: 5", status="ICY 200 OK"), b"hello"), anomalies=("no-status-line",)),
    "HTTP/1.0": Case(speaks=says(head("Content-Length: 5", status="HTTP/1.0 200 OK"), b"hello")),
    "200 headers": Case(speaks=says(head(*LONG_HEAD[:200], "Content-Length: 5"), b"hello")),
    "1,200 headers": LIMIT(speaks=says(head(*LONG_HEAD, "Content-Length: 5"), b"hello"), anomalies=("too-many-headers",)),
    "endless headers": LIMIT(speaks=forever(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 200), anomalies=("header-too-large", "too-many-headers")),
    "a header without end": LIMIT(speaks=forever(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 8192), anomalies=("header-too-large",)),
    "a status line without end": LIMIT(speaks=forever(b"HTTP/1.1 200 ", b"x" * 8192), anomalies=("header-too-large",)),
    "closed in the head": CUT(speaks=says(b"HTTP/1.1 200 OK\r\nContent-Ty"), anomalies=("header-junk",)),
    "endless 1xx": LIMIT(speaks=forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10), anomalies=("interim-flood",)),
    "103 then 200": Case(speaks=says(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", page())),
    "100 then nothing": failed("no-response", says(b"HTTP/1.1 100 Continue\r\n\r\n"), truncated="disconnect"),
    "100 then silence": failed("timeout", says(b"HTTP/1.1 100 Continue\r\n\r\n", then=wait), told=QUIET, truncated="time"),
    "101 and another protocol": failed("no-response", says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", NOISE), anomalies=("overlong",)),
    "a type without end": Case(speaks=says(b"HTTP/1.1 200 OK\r\nContent-Type: " + b"a/b;" * 20_000 + b"\r\nContent-Length: 5\r\n\r\nhello")),
}  # fmt: skip

TIME = {
    "infinite body": FULL(speaks=forever(head(), b"x" * 65536), told={"max_size": 32 * MIB}, is_large=True, deadline=20.0),
    "infinite film": FULL(speaks=forever(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n", b"x" * 65536), told={"max_size": 32 * MIB}, is_large=True, deadline=20.0),
    "infinite body over https": FULL(speaks=forever(head(), b"x" * 65536), told=SMALL, secure="good"),
    "infinite chunks": FULL(speaks=forever(CHUNKED, chunk(b"x" * 4096)), told=SMALL),
    "chunks of one byte": FULL(speaks=forever(CHUNKED, chunk(b"x") * 1000), told={"max_size": 20_000}),
    "header drip": LATE(speaks=forever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", every=0.02), told=QUIET),
    "status line drip": LATE(speaks=forever(b"HTTP/1.1 200 ", b"O", every=0.02), told=QUIET),
    "body drip": LATE(speaks=forever(head(), b"x", every=0.02), deadline=1.0),
    "chunk drip": LATE(speaks=forever(CHUNKED, chunk(b"x"), every=0.02), deadline=1.0),
    "drip over https": LATE(speaks=forever(head(), b"x", every=0.02), deadline=1.0, secure="good"),
    "silence": failed("timeout", says(then=wait), told=QUIET, truncated="time"),
    "silence in the head": LATE(speaks=says(b"HTTP/1.1 200 OK\r\nX: ", then=wait), told=QUIET),
    "silence behind the head": LATE(speaks=says(head("Content-Length: 9"), then=wait), told=QUIET),
    "silence in a chunk": LATE(speaks=says(CHUNKED, b"ff\r\nhalf", then=wait), told=QUIET),
    "silence before the deadline": LATE(speaks=says(head("Content-Length: 9"), b"part", then=wait), deadline=0.6),
    "no end and no close": LATE(speaks=says(head(), PAGE, then=wait), told=QUIET),
    "a large body in little memory": Case(speaks=much(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % (128 * MIB), bytes(MIB), 128), is_large=True, deadline=60.0),
    "a large page in chunks": Case(speaks=much(CHUNKED, chunk(b"words " * 10_000), 60, b"0\r\n\r\n"), is_large=True),
    "nobody there": failed("connect"),
}  # fmt: skip

CODINGS = {
    "gzip bomb": Case(speaks=coded(BOMB, "gzip"), is_large=True),
    "gzip bomb of tags": Case(speaks=coded(gzip.compress(TAG_BOMB, 1), "gzip"), is_large=True),
    "gzip bomb of text, and a quote": Case(speaks=answer(BOMB, kind="text/plain", Content_Encoding="gzip"), told={"quotes": (Quote(text="words"),)}, is_large=True),
    "brotli bomb": Case(speaks=coded(brotli.compress(bytes(64 * MIB), quality=5), "br"), is_large=True),
    "deflate bomb": Case(speaks=coded(zlib.compress(bytes(64 * MIB), 1), "deflate"), is_large=True),
    "a bomb in a bomb": Case(speaks=coded(gzip.compress(bomb(512 * MIB)), "gzip, gzip"), is_large=True),
    "six stacked encodings": Case(speaks=coded(PAGE, ", ".join(["gzip"] * 6))),
    "encodings without end": Case(speaks=coded(PAGE, ", ".join(["gzip"] * 20_000))),
    "mislabelled gzip": Case(speaks=coded(PAGE, "gzip")),
    "mislabelled brotli": Case(speaks=coded(PAGE, "br")),
    "mislabelled deflate": Case(speaks=coded(PAGE, "deflate")),
    "gzip cut short": Case(speaks=coded(gzip.compress(PAGE)[:-12], "gzip")),
    "gzip damaged": Case(speaks=coded(gzip.compress(PAGE)[:20] + NOISE, "gzip")),
    "gzip with noise behind": Case(speaks=coded(gzip.compress(PAGE) + NOISE, "gzip")),
    "gzip of ten thousand members": Case(speaks=coded(gzip.compress(b"x") * 10_050, "gzip")),
    "an encoding nobody asked for": Case(speaks=coded(NOISE, "zstd")),
    "nothing at all as gzip": EMPTY(speaks=coded(b"", "gzip")),
}  # fmt: skip

REDIRECTS = {
    "redirect loop": failed("redirect-limit", redirect("/"), asked=11),
    "redirects in a circle": failed("redirect-limit", pages=lambda path: redirect("/b" if path == "/" else "/"), asked=11),
    "redirects ever further": failed("redirect-limit", pages=counting(lambda n: redirect(f"/{n}")), asked=11),
    "redirect to private": failed("blocked-address", redirect("http://private.example/"), names={"private.example": ["127.0.0.2"]}),
    "redirect to private by number": failed("blocked-address", redirect("http://127.0.0.2/")),
    "redirect to private in octal": failed("blocked-address", redirect("http://0177.0.0.02/")),
    "redirect to an IPv6 of loopback": failed("blocked-address", redirect("http://[::1]/")),
    "redirect to a mapped address": failed("blocked-address", redirect("http://[::ffff:127.0.0.2]/")),
    "redirect to cloud metadata": failed("blocked-address", redirect("http://169.254.169.254/latest/meta-data/")),
    "redirect to ssh": failed("blocked-address", redirect("http://site.example:22/")),
    "redirect to file:": failed("unsupported-scheme", redirect("file:///etc/passwd")),
    "redirect to data:": failed("unsupported-scheme", redirect("data:text/html,x")),
    "redirect to javascript:": failed("unsupported-scheme", redirect("javascript:alert(1)")),
    "redirect to gopher:": failed("unsupported-scheme", redirect("gopher://127.0.0.2:25/_x")),
    "redirect that names a user": failed("unsupported-scheme", redirect("http://site.example@127.0.0.2/")),
    "redirect to 100,000 characters": failed("unsupported-scheme", redirect("/" + "x" * 100_000)),
    "redirect to nonsense": failed("unsupported-scheme", redirect("http://[")),
    "raw UTF-8 Location": Case(pages={"/": says(head("Content-Length: 0", status="HTTP/1.1 302 Found")[:-2] + b"Location: /\xd9\x81\xd8\xa7\r\n\r\n"), "/%D9%81%D8%A7": page()}),
    "two Locations": Case(pages={"/": answer(b"", status="302 Found", Location="/a\r\nLocation: /b"), "/a": page()}),
    "no Location": Case(speaks=answer(b"", status="302 Found"), verdict="refused", reasons=("http-302",)),
    "a redirect with an infinite body": Case(pages={"/": forever(head("Location: /a", status="HTTP/1.1 302 Found"), b"x" * 65536), "/a": page()}, told=SMALL),
    "meta refresh": Case(pages={"/": page("<meta http-equiv=refresh content='0;url=/a'>"), "/a": page()}),
    "meta refresh loop": Case(pages=counting(lambda n: page(f"<meta http-equiv=refresh content='0;url=/{n}'>")), asked=4),
    "meta refresh to private": failed("blocked-address", page("<meta http-equiv=refresh content='0;url=http://127.0.0.2/'>")),
    "meta refresh to file:": Case(speaks=page("<meta http-equiv=refresh content='0;url=file:///etc/passwd'>")),
    "meta refresh after endless digits": Case(speaks=page("<meta http-equiv=refresh content='" + "1" * 15_000 + "'>")),
    "a flood of cookies": Case(pages=in_turn(*[says(head(*(f"Set-Cookie: c{n}_{m}={'v' * 4000}" for m in range(60)), "Content-Length: 0", f"Location: /{n}", status="HTTP/1.1 302 Found")) for n in range(9)], page())),
    "cookies that make no sense": Case(pages={"/": says(head("Set-Cookie: =;;;=", "Set-Cookie: a=b; Max-Age=" + "9" * 5000, "Set-Cookie: a=b; Expires=" + "1 " * 5000, "Set-Cookie: \x7f=\x01", "Content-Length: 0", "Location: /a", status="HTTP/1.1 302 Found")), "/a": page()}),
}  # fmt: skip

NAMES = {
    "DNS that changes its answer": failed("blocked-address", redirect("http://turns.example/"), names={"turns.example": ["127.0.0.2"]}),
    "mixed DNS answers": failed("blocked-address", redirect("http://mixed.example/"), names={"mixed.example": ["93.184.216.34", "127.0.0.2"]}),
    "mixed families": failed("blocked-address", redirect("http://mixed.example/"), names={"mixed.example": ["2606:2800:220:1:248:1893:25c8:1946", "::1"]}),
    "no such name": failed("dns", redirect("http://nowhere.example/")),
    "a name without addresses": failed("dns", redirect("http://empty.example/"), names={"empty.example": []}),
    "an answer that is no address": failed("blocked-address", redirect("http://odd.example/"), names={"odd.example": ["not an address"]}),
    "a thousand addresses": failed("connect", redirect("http://many.example/"), names={"many.example": [f"93.184.{n // 250}.{n % 250}" for n in range(1000)]}),
    "a name of 300 characters": failed("dns", redirect(f"http://{'a' * 300}.example/")),
}  # fmt: skip

SECURE = {
    "a sound certificate": Case(speaks=page(), secure="good"),
    "expired": failed("tls", page(), secure="expired", asked=0),
    "wrong host": failed("tls", page(), secure="other.example", asked=0),
    "self-signed": failed("tls", page(), secure="self-signed", asked=0),
    "unknown authority": failed("tls", page(), secure="unknown authority", asked=0),
    "expired, recorded": Case(speaks=page(), secure="expired", verdict="suspect", reasons=("tls-invalid",), told={"tls": TlsPolicy.RECORD}),
    "wrong host, recorded": Case(speaks=page(), secure="other.example", verdict="suspect", reasons=("tls-invalid",), told={"tls": TlsPolicy.RECORD}),
    "self-signed, recorded": Case(speaks=page(), secure="self-signed", verdict="suspect", reasons=("tls-invalid",), told={"tls": TlsPolicy.RECORD}),
    "no TLS behind https": failed("tls", secure="plain words"),
    "noise for a handshake": failed("tls", secure="noise"),
    "silence for a handshake": failed("tls", secure="silence", told=QUIET),
    "a handshake drop by drop": failed("tls", secure="drip", told=QUIET),
    "closed in the handshake": failed("tls", secure="closed"),
    "reset in the handshake": failed("tls", secure="reset"),
    "cut without a goodbye": CUT(speaks=says(head("Content-Length: 100"), b"part"), secure="good"),
    "until close without a goodbye": Case(speaks=says(head(), PAGE), secure="good"),
    "from https to http": Case(pages=in_turn(redirect("http://plain.example/"), page()), secure="good"),
}  # fmt: skip

STATUSES = {
    "204": EMPTY(speaks=b"HTTP/1.1 204 No Content\r\n\r\n"),
    "204 with a body": EMPTY(speaks=says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"), anomalies=("overlong",)),
    "205": EMPTY(speaks=answer(b"", status="205 Reset Content")),
    "200 with nothing in it": EMPTY(speaks=answer(b"")),
    "304 that nobody asked for": Case(speaks=b"HTTP/1.1 304 Not Modified\r\n\r\n", verdict="refused", reasons=("http-304",)),
    "empty 404": refused("404 Not Found", b""),
    "404": refused("404 Not Found"),
    "HEAD-like body": CUT(speaks=says(head("Content-Length: 5000"))),
    "206": ODD(speaks=answer(PAGE, status="206 Partial Content", Content_Range="bytes 0-9/100")),
    "401": refused("401 Unauthorized", WWW_Authenticate='Basic realm="x"'),
    "403": refused("403 Forbidden"),
    "407": refused("407 Proxy Authentication Required"),
    "416": refused("416 Range Not Satisfiable"),
    "451": refused("451 Unavailable For Legal Reasons"),
    "429, wait a second": refused("429 Too Many Requests", Retry_After="1"),
    "429, wait until a date": Case(speaks=answer(b"", status="429 Too Many Requests", Retry_After=NEXT_YEAR), verdict="failed", reasons=("deferred",)),
    "503, wait a second": refused("503 Service Unavailable", Retry_After="1"),
    "503, wait an absurd time": Case(speaks=answer(b"", status="503 Service Unavailable", Retry_After="9" * 5000), verdict="failed", reasons=("deferred",)),
    "503, wait for nonsense": refused("503 Service Unavailable", Retry_After="Mon, " * 5000),
    "500 then 200": Case(pages=in_turn(answer(b"", status="500 Oh"), page()), told={"retries": 1}),
    "600": refused("600 What"),
    "999": refused("999 Request Denied"),
    "099": failed("no-response", answer(b"x", status="099 Low")),
}  # fmt: skip

REQUISITES = {
    "CSS cycle": Case(pages={"/": page("<link rel=stylesheet href=a.css>"), "/a.css": css("@import 'b.css'"), "/b.css": css("@import 'a.css'; @import 'b.css'")}, asked=3),
    "style sheets without end": Case(pages=counting(lambda n: css(f"@import '/{n}'") if n else page("<link rel=stylesheet href=/a>")), missing=1, asked=6),
    "deep iframes": Case(pages=counting(lambda n: page(f"<iframe src=/{n}>")), missing=1, asked=4),
    "an iframe of itself": Case(speaks=page("<p>Some words.<iframe src=/></iframe><iframe src=/?></iframe>"), asked=2),
    "a million subresources": Case(pages=lambda path: MILLION if path == "/" else GIF, told={"max_requisites": 20}, missing=38_235, asked=21, is_large=True, deadline=30.0),
    "many hosts": Case(pages=lambda path: page("".join(f"<img src=http://h{n}.example/>" for n in range(300))) if path == "/" else GIF, names={f"h{n}.example": ["127.0.0.2"] for n in range(300)}, missing=300, asked=1),
    "a picture without end": Case(pages=only("/a.gif", forever(head(), b"x" * 65536), "<img src=a.gif>"), told=SMALL, missing=1),
    "a picture that never comes": Case(pages=only("/a.gif", says(then=wait), "<p>Words.<img src=a.gif>"), told=QUIET, missing=1),
    "pictures that never come": Case(pages=lambda path: page("<p>Words." + "".join(f"<img src={n}>" for n in range(50))) if path == "/" else says(then=wait), told=QUIET, deadline=1.5, missing=50),
    "a picture at a private address": Case(speaks=page("<img src=http://127.0.0.2/a.gif><img src=http://2130706434/b.gif>"), missing=2),
    "a picture that redirects to private": Case(pages=only("/a.gif", redirect("http://127.0.0.2/"), "<img src=a.gif>"), missing=1),
    "a picture from a file": Case(speaks=page("<p>Words.<img src=file:///etc/passwd><img src=data:image/gif,x>"), asked=1),
    "a base that leads inside": Case(speaks=page("<base href=http://127.0.0.2/><img src=a.gif>"), missing=1, asked=1),
    "an address of 100,000 characters": Case(speaks=page(f"<img src=/{'x' * 100_000}>"), missing=1, asked=1),
    "a style sheet of 60,000 pictures": Case(pages=lambda path: {"/": page("<link rel=stylesheet href=a.css>"), "/a.css": css(SHEET)}.get(path, GIF), told={"max_requisites": 10}, missing=30_585, is_large=True, deadline=30.0),
    "a page of nothing but tags": Case(speaks=page(TAG_BOMB), is_large=True, deadline=30.0),
    "a page of nothing but brackets": Case(speaks=page(b"<" * 8 * MIB), is_large=True, deadline=30.0),
    "a page of nothing but emoji": Case(speaks=page("\U0001f600" * 3 * MIB), is_large=True, deadline=30.0),
    "a long page and one emoji": Case(speaks=page("\U0001f600" + "words and " * MIB), told={"quotes": (Quote(text="words and more"),)}, is_large=True, deadline=30.0),
    "a long text and one emoji": Case(speaks=answer(("\U0001f600" + "words and " * MIB).encode(), kind="text/plain"), told={"quotes": (Quote(text="words and more"),)}, is_large=True, deadline=30.0),
    "tags of forty attributes": Case(speaks=page(b"<p " + b" ".join(b"%c%c" % (97 + n // 26, 97 + n % 26) for n in range(40)) + b">", count=34_000), is_large=True, deadline=30.0),
    "pictures of ten attributes": Case(speaks=page(b"<img src=x " + b" ".join(b"%c=1" % (97 + n) for n in range(9)) + b">", count=90_000), is_large=True, deadline=30.0),
    "a tag of nothing but attributes": Case(speaks=page(b"<a " + b"b " * MIB), is_large=True, deadline=30.0),
    "elements within elements": Case(speaks=page(b"<div>" * 100_000), is_large=True, deadline=30.0),
    "formatting that multiplies": Case(speaks=page("".join(f"<b id={n}>" for n in range(3000)) + "<p>x" * 3000)),
    "UTF-16 and nothing behind it": Case(speaks=page(b"\xff\xfe" + b"\0\xd8" * 1000)),
    "robots.txt without end": Case(pages=lambda path: forever(head(), b"Disallow: /x\n" * 500) if path == "/robots.txt" else page(), told={"robots": RobotsPolicy.OBEY}),
    "robots.txt never comes": Case(pages=lambda path: says(then=wait) if path == "/robots.txt" else page(), told={"robots": RobotsPolicy.OBEY} | QUIET, verdict="refused", reasons=("robots",)),
    "robots.txt is a bomb": Case(pages=lambda path: coded(BOMB, "gzip") if path == "/robots.txt" else page(), told={"robots": RobotsPolicy.OBEY}, is_large=True),
    "robots.txt redirects to private": Case(pages=lambda path: redirect("http://127.0.0.2/robots.txt") if path == "/robots.txt" else page(), told={"robots": RobotsPolicy.OBEY}, verdict="refused", reasons=("robots",)),
    "robots.txt of nothing but stars": Case(pages=lambda path: answer(b"User-agent: *\nDisallow: /" + b"*a" * 2000 + b"$", kind="text/plain") if path == "/robots.txt" else page(), told={"robots": RobotsPolicy.OBEY}),
}  # fmt: skip

CASES = FRAMING | HEADS | TIME | CODINGS | REDIRECTS | NAMES | SECURE | STATUSES | REQUISITES  # fmt: skip
CHAPTERS = {
    "framing": FRAMING,
    "heads": HEADS,
    "time and size": TIME,
    "content codings": CODINGS,
    "redirects and cookies": REDIRECTS,
    "names": NAMES,
    "TLS": SECURE,
    "statuses": STATUSES,
    "what a page needs": REQUISITES,
}


# ------------------------------------------------------------------ a visit, overheard


@dataclass
class Ear:
    """What one thread received, byte for byte, and how long it was ready to wait."""

    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    first: float = 0.0  # reading of the clock
    last: float = 0.0
    until: float = 0.0  # the latest moment to which it would have waited

    def hear(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)

    def reads(self, moment: float) -> None:
        self.first, self.last = self.first or moment, moment

    def waits(self, seconds: float) -> None:
        self.until = max(self.until, self.last + seconds)


HEARING = threading.local()


class Overheard(socket.socket):
    """A socket that tells its thread's ear what it received."""

    def recv(self, *told: int) -> bytes:
        data = super().recv(*told)
        HEARING.ear.hear(data)
        return data

    def settimeout(self, seconds: float | None) -> None:
        HEARING.ear.waits(seconds or 0)
        super().settimeout(seconds)


class SecureOverheard(ssl.SSLSocket):
    """The same, of what came through TLS."""

    def recv(self, *told: int) -> bytes:
        data = super().recv(*told)
        HEARING.ear.hear(data)
        return data

    def settimeout(self, seconds: float | None) -> None:
        HEARING.ear.waits(seconds or 0)
        super().settimeout(seconds)


class Watched(SystemClock):
    """The machine's clock, that tells its thread's ear what it was read and asked.

    How long a wait may last is computed from a reading: from that it is counted here,
    so that a machine that is busy in between changes nothing.
    """

    def monotonic(self) -> float:
        moment = super().monotonic()
        HEARING.ear.reads(moment)
        return moment

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        HEARING.ear.waits(seconds)
        super().sleep(seconds, until)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a visit."""

    capture: Capture
    seconds: float  # that passed
    waits: float  # the latest that any wait would have ended, whatever else the CPU did
    received: tuple[int, str]  # how many bytes, and their digest
    kept: tuple[int, str]
    truncated: tuple[str, ...]  # WARC-Truncated of every response, as it stands
    requests: int
    dialled: frozenset[str]

    @property
    def answer(self) -> object:
        own = (Purpose.DOCUMENT,)
        told = [one for one in self.capture.exchanges if one.purpose in own]
        return told[-1] if told else None


class Web:
    """Everything a case needs around it: certificates, trust, a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority.made(folder)
        self._trust = self._trusting(tls_context(self._authority.path))
        self._served: dict[str, ssl.SSLContext] = {}

    @staticmethod
    def _trusting(trust: Trust) -> Trust:
        for context in (trust.verifying, trust.recording):
            context.sslsocket_class = SecureOverheard
        return trust

    def _tls(self, kind: str) -> ssl.SSLContext | None:
        """Choose the certificate of a case."""
        if kind not in self._served:
            name = kind if kind == "other.example" else "site.example"
            is_strange = kind in ("self-signed", "unknown authority")
            by = self._authority.stranger() if is_strange else self._authority
            self._served[kind] = by.server(
                name, expired=kind == "expired", alone=kind == "self-signed"
            )
        return self._served[kind]

    def visit(self, case: Case) -> Seen:
        """Visit the server of a case, and tell what came of it."""
        with ExitStack() as stack:
            hosts = self._hosts(case, stack)
            return self._visit(case, hosts, stack)

    def _hosts(self, case: Case, stack: ExitStack) -> dict[tuple[str, int], Origin]:
        """Start the servers of a case; return which name and port leads to which."""
        pages = served(case)
        act = HANDSHAKES.get(case.secure)
        tls = self._tls(case.secure) if case.secure and act is None else None
        site = Origin(pages, tls=tls) if act is None else Blunt(act)
        is_there = case.secure or case.pages or case.speaks
        if is_there:
            stack.enter_context(site)
        else:
            site.shut()
        found = {("site.example", 443 if case.secure else 80): site}
        if case.secure == "good":
            found["plain.example", 80] = stack.enter_context(Origin(pages))
        return found

    def _visit(
        self, case: Case, hosts: dict[tuple[str, int], Origin], stack: ExitStack
    ) -> Seen:
        dialled: list[str] = []

        def resolve(host: str, port: int) -> list[str]:
            if host in case.names:
                return case.names[host]
            if host[0].isdigit() or ":" in host:
                return [host]
            raise socket.gaierror(-2, "Name or service not known")

        def dial(ip: str, port: int, timeout: float) -> socket.socket:
            dialled.append(ip)
            HEARING.ear.waits(timeout)
            if ip != "127.0.0.1":  # nothing leaves the machine, guard or no guard
                raise ConnectionRefusedError(111, "Connection refused")
            plain = socket.create_connection((ip, port), timeout)
            made = Overheard(fileno=plain.detach())
            made.settimeout(timeout)
            return made

        mapped = tuple(
            ConnectTo(host=host, port=port, to_host="127.0.0.1", to_port=site.port)
            for (host, port), site in hosts.items()
        )
        network = Network(
            clock=Watched(),
            policy=Policy(connect_to=mapped),
            tls=self._trust,
            resolve=resolve,
            dial=dial,
        )
        stack.callback(network.close)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        told = {"retries": 0, "delay": timedelta(0), "requisite_delay": timedelta(0), "robots": RobotsPolicy.IGNORE}  # fmt: skip
        source = Source(id="one", url=case.url, deadline=timedelta(seconds=case.deadline), **{**told, **case.told})  # fmt: skip
        HEARING.ear = ear = Ear()
        began = time.monotonic()
        home = visit(Task(source=source, folder=folder, about=()), network=network, robots=Robots())  # fmt: skip
        seconds = time.monotonic() - began
        size, digest, truncated = in_warc(folder / "data/objects/capture.warc.gz")
        return Seen(
            capture=home.capture,
            seconds=seconds,
            waits=ear.until - ear.first,
            received=(ear.size, ear.digest.hexdigest()),
            kept=(size, digest),
            truncated=truncated,
            requests=sum(len(site.requests) for site in hosts.values()),
            dialled=frozenset(dialled),
        )


def in_warc(path: Path) -> tuple[int, str, tuple[str, ...]]:
    """Count and digest what responses hold, as received; tell how each was cut."""
    interim: dict[str, bytes] = {}
    for told, block in records(path):
        if told["content-type"] == RESPONSE and told["warc-type"] == "metadata":
            beside = told.get("warc-concurrent-to", told["warc-record-id"])
            interim[beside] = interim.get(beside, b"") + b"".join(block)
    ear, truncated = Ear(), []
    for told, block in records(path):
        ear.hear(interim.pop(told["warc-record-id"], b""))
        if told["warc-type"] == "response":
            truncated.append(told.get("warc-truncated", ""))
            for piece in block:
                ear.hear(piece)
    return ear.size, ear.digest.hexdigest(), tuple(truncated)


RESPONSE = "application/http; msgtype=response"


def records(path: Path) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
    """Read a WARC with nothing of ours: fields, and the block piece by piece."""
    with gzip.open(path) as file:
        while file.readline():
            told: dict[str, str] = {}
            while (line := file.readline().decode().rstrip()) != "":
                name, _, value = line.partition(": ")
                told[name.lower()] = value
            left = int(told["content-length"])
            block = _block(file, left)
            yield told, block
            for _ in block:  # whatever was left unread
                pass
            assert file.read(4) == b"\r\n\r\n"


def _block(file: gzip.GzipFile, left: int) -> Iterator[bytes]:
    while left:
        piece = file.read(min(left, MIB))
        left -= len(piece)
        yield piece


class Blunt(Origin):
    """A server that never shakes hands properly."""

    def __init__(self, act: Ending) -> None:
        super().__init__({})
        self._act = act

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(20)
            self._act(connection)


def drip(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB, some day
    while True:
        connection.sendall(b"\x02")
        time.sleep(0.02)


HANDSHAKES: dict[str, Ending] = {
    "plain words": lambda connection: connection.sendall(page()),
    "noise": lambda connection: connection.sendall(NOISE),
    "silence": wait,
    "drip": drip,
    "closed": lambda connection: connection.recv(1),
    "reset": lambda connection: (connection.recv(1), reset(connection)),
}


# ------------------------------------------------------------------- the whole table


def all_seen(folder: Path, names: Iterable[str], workers: int = 8) -> dict[str, Seen]:
    """Visit several cases at a time."""
    web, seen = Web(folder), {}
    names = sorted(names, key=lambda name: CASES[name].is_large)
    for is_large, some in groupby(names, key=lambda name: CASES[name].is_large):
        with ThreadPoolExecutor(1 if is_large else workers) as pool:
            chosen = tuple(some)
            seen |= zip(chosen, pool.map(lambda n: web.visit(CASES[n]), chosen), strict=True)  # fmt: skip
    return seen


def memory(key: str) -> float:
    """Ask the kernel for VmRSS or VmHWM of this process, in MiB."""
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.split(f"{key}:")[1].split()[0]) / 1024


def growth(names: Iterable[str]) -> dict[str, float]:
    """Visit cases, and tell by how many MiB a warm process grew for each.

    Large ones have a process each, that nothing which another left is used again. They
    come first: a process that has threads is not to be forked.
    """
    names = list(names)
    large = {name: grown_apart(name) for name in names if CASES[name].is_large}
    return large | grown(name for name in names if name not in large)


def grown_apart(name: str) -> float:
    ours, theirs = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=lambda: theirs.send(grown([name])[name]))
    child.start()
    child.join(HANG)
    child.kill()
    assert ours.poll(), f"{name}: no answer"
    return float(ours.recv())


def grown(names: Iterable[str]) -> dict[str, float]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        web = Web(Path(folder))
        web.visit(CASES["103 then 200"])
        web.visit(CASES["a sound certificate"])
        for name in names:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before = memory("VmRSS")
            web.visit(CASES[name])
            found[name] = memory("VmHWM") - before
    return found


TABLE = HERE / "README.md"
START, END = (
    "<!-- hostile web: python tests/hostile_web.py --write -->",
    "<!-- end of hostile web -->",
)


def table() -> str:
    """Lay out what has to come of every case."""
    rows = [
        START,
        "| the server | verdict | WARC-Truncated | anomalies | not got | ends within | grows by less than |",
        "|---|---|---|---|---|---|---|",
    ]
    for chapter, cases in CHAPTERS.items():
        rows.append(f"| **{chapter}** | | | | | | |")
        rows += [row(name, case) for name, case in cases.items()]
    return "\n".join([*rows, END])


def row(name: str, case: Case) -> str:
    reasons = ", ".join(f"`{reason}`" for reason in case.reasons)
    verdict = f"{case.verdict}: {reasons}" if reasons else case.verdict
    anomalies = ", ".join(f"`{anomaly}`" for anomaly in case.anomalies)
    cells = (
        name,
        verdict,
        case.truncated,
        anomalies,
        f"{case.missing:,}" if case.missing else "",
        f"{case.deadline + SLACK:g} s",
        f"{MOST} MiB",
    )
    return f"| {' | '.join(cells)} |"


def written_table() -> str:
    """Return the table as it stands in the README."""
    text = TABLE.read_text("utf-8")
    return text[text.index(START) : text.index(END) + len(END)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="regenerate the table")
    parser.add_argument(
        "--late",
        action="store_true",
        help="visit all, one at a time: those that end nearest to their deadline or past it",
    )
    parser.add_argument("--grows", nargs="+", metavar="NAME", help="visit, and measure")
    chosen = parser.parse_args()
    if chosen.grows:
        for name, size in growth(chosen.grows).items():
            print(f"{size:.1f} {name}")
    if chosen.late:
        with tempfile.TemporaryDirectory() as folder:
            seen = all_seen(Path(folder), CASES, workers=1)
        late = {name: seen[name].seconds - CASES[name].deadline for name in CASES}
        for name in sorted(late, key=late.__getitem__)[-10:]:
            print(f"{late[name]:+.3f} s  {name}")
    if chosen.write:
        text = TABLE.read_text("utf-8").replace(written_table(), table())
        TABLE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
