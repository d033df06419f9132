"""The built-in demo site: a small newspaper on loopback, with a newspaper's troubles.

``Newsroom`` is a real HTTP/1.1 server on 127.0.0.1, on a port of the system's choosing,
that stands in for the host ``newsroom.example``. Every visitor gets the same bytes, but
on ``/ticker``, which changes when ``publish`` is called; and the newsroom remembers
what it was asked for. Nothing it tells ever happened.

    /robots.txt    everything is allowed
    /article       a page that needs nine files, one of which is missing
    /report.pdf    one page, made here
    /old-address   moved, and moved again, to /new-address
    /gone          a story that was taken down: 404, with a body
    /ticker        another text in every edition
    /liar          promises more bytes than it sends, and hangs up
"""

import socketserver
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import SHUT_RDWR, socket
from typing import Self

from msgspec import Struct

HOST = "newsroom.example"
QUOTE = "the register was copied before the fire"
FIRST_EDITION = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
PATIENCE = 30  # seconds that a connection may stay silent

# ---------------------------------------------------------------------- what is served


class Page(Struct, frozen=True, kw_only=True):
    """What the newsroom answers to one path."""

    body: bytes
    media_type: str = "text/html; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()
    dated: datetime = FIRST_EDITION
    withheld: int = 0  # bytes that it promises and never sends


def _page(title: str, text: str, *, extra: str = "") -> bytes:
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - The Harbour Lantern</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" type="image/png" href="/icon.png">
{extra}</head>
<body>
<header><a href="/article">The Harbour Lantern</a></header>
<main>
{text.strip()}
</main>
<footer>The Harbour Lantern is the demo site that comes with Muniment.
Its town, its fire and its register are invented.</footer>
</body>
</html>
""".encode()


# No server here ever had a counter.js: every real page misses something too.
SCRIPTS = """\
<script src="/minutes.js" defer></script>
<script src="/counter.js" defer></script>
"""

ARTICLE = f"""
<p class="kicker">Town archive</p>
<h1>What the fire left, and what it could not reach</h1>
<p class="lead">The old customs house burned for two nights. By the third morning the
town knew what it had lost, and what it had not.</p>
<figure><img src="/shelves.png" width="640" height="280"
 alt="Four shelves of bound volumes">
<figcaption>The reading room as it stood in spring.</figcaption></figure>
<p>The building held the only list of the families who were moved out of the lower
harbour. Whoever claimed a house there had to point to a line in it. When the roof came
down, many took the matter for settled.</p>
<p>It was not. The archivists say that {QUOTE}, page by page, and that each copy was
counted, sealed and carried to another town. They had begun with the pages that were
asked for most often, because those were the ones that somebody might want gone.</p>
<figure><img src="/register.png" srcset="/register.png 1x, /register-2x.png 2x"
 width="320" height="200" alt="An open register, ruled in red and blue">
<figcaption>Two pages of the register, drawn from the copy.</figcaption></figure>
<blockquote>A record that stands in one place is a record on loan.</blockquote>
<p>The copies were laid beside the few scorched leaves that were saved, and agreed with
them to the letter. The <a href="/report.pdf">archive's report</a> tells how anyone may
check a page, so that nobody need take the archivists' word for it.</p>
<p>An <a href="/gone">earlier story</a> of this newspaper, which called the register
lost, has been taken down. <a href="/ticker">More as it comes in.</a></p>
"""

MOVED = '<h1>Moved</h1>\n<p>See <a href="{0}">{0}</a>.</p>'
NEW_ADDRESS = "<h1>You have found us</h1>\n<p>The readers' desk has moved twice.</p>"
GONE = "<h1>This story is gone</h1>\n<p>It was taken down by its editors.</p>"
NOT_FOUND = "<h1>Nothing stands here</h1>\n<p>The address may be mistyped.</p>"
LIAR = "<h1>The whole story</h1>\n<p>We promise to tell it to the end.</p>"
TICKER = """
<p class="kicker">Edition {edition}, {dated:%d %B %Y}</p>
<h1>The ticker</h1>
<p>{headline}</p>
"""
HEADLINES = (
    "The harbour office opens again, in two rooms above the bakery.",
    "Divers bring up the bell of the customs house, cracked but whole.",
    "The second box of copies arrives by mail coach; its seals are unbroken.",
    "Surveyors begin to lay the lower harbour's lines from the copied register.",
)

STYLE = b"""\
@import url("/type.css");

body { margin: 0; background: #f4efe4 url("/paper.png"); color: #2b2622; }
header, main, footer { max-width: 40rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { border-bottom: 3px double #8a2f23; }
header a { color: #8a2f23; text-decoration: none; font-variant: small-caps; }
figure { margin: 2rem 0; }
figure img { max-width: 100%; height: auto; border: 1px solid #cbbfa9; }
figcaption, footer, .kicker { color: #6d6257; font-size: 0.85rem; }
blockquote { margin: 2rem 0; padding-left: 1rem; border-left: 4px solid #8a2f23; }
a { color: #24507a; }
footer { border-top: 1px solid #cbbfa9; margin-top: 3rem; }
"""

TYPE = b"""\
body { font: 1.1rem/1.65 Charter, "Bitstream Charter", Cambria, Georgia, serif; }
header { font-size: 1.6rem; letter-spacing: 0.03em; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0.3rem 0 1rem; }
blockquote { font-size: 1.35rem; font-style: italic; }
.lead { font-size: 1.25rem; }
.kicker { text-transform: uppercase; letter-spacing: 0.1em; margin: 1rem 0 0; }
"""

MINUTES = b"""\
// Tells how long the article takes to read, at 200 words a minute.
const words = document.querySelector("main").textContent.trim().split(/\\s+/).length;
const note = document.createElement("p");
note.className = "kicker";
note.textContent = `${Math.ceil(words / 200)} minutes to read`;
document.querySelector("h1").after(note);
"""

REPORT = (
    "The Harbour Lantern, supplement",
    "Report of the town archive",
    "1. Of 412 pages, 412 were copied, counted and sealed.",
    "2. Of 17 leaves that were saved, all agree with their copies.",
    "3. Whoever doubts a page may compute its checksum.",
    "(Invented, as is everything in this newspaper.)",
)


# ------------------------------------------------------------ pictures and the report

PALETTE = ("f4efe4", "eae3d4", "5b4632", "8a2f23", "24507a", "c08a3e", "4b6b4f")
PAPER, SHADE, WOOD, RED, BLUE, OCHRE, GREEN = range(len(PALETTE))


class Block(Struct, frozen=True):
    """A rectangle in one colour of the palette."""

    x: int
    y: int
    width: int
    height: int
    colour: int


def _png(width: int, height: int, blocks: Iterable[Block]) -> bytes:
    """Paint blocks on paper, each over those before it, as an indexed PNG."""
    rows = [bytearray([PAPER]) * width for _ in range(height)]
    for block in blocks:
        for row in rows[block.y : block.y + block.height]:
            row[block.x : block.x + block.width] = bytes([block.colour]) * block.width
    pixels = b"".join(b"\0" + row for row in rows)  # PNG 9.2: filter type 0, none
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes.fromhex("".join(PALETTE))),
        (b"IDAT", zlib.compress(pixels, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(
            f">I4s{len(data)}sI", len(data), kind, data, zlib.crc32(kind + data)
        )
        for kind, data in chunks
    )


def _paper() -> Iterator[Block]:
    for line in range(12, 48, 24):
        yield Block(0, line, 48, 1, SHADE)


def _icon() -> Iterator[Block]:
    yield Block(9, 4, 14, 4, RED)
    yield Block(11, 8, 10, 16, OCHRE)
    yield Block(15, 8, 2, 16, RED)
    yield Block(7, 24, 18, 4, RED)


def _shelves() -> Iterator[Block]:
    for shelf in range(4):
        floor, x, book = 66 + shelf * 70, 8, shelf * 5
        while x < 640 - 28:  # the widest book, and a little air
            book += 1
            width, height = 11 + book * 7 % 13, 38 + book * 11 % 20
            colour = (RED, BLUE, OCHRE, GREEN, WOOD)[book * 3 % 5]
            yield Block(x, floor - height, width, height, colour)
            yield Block(x + 2, floor - height + 7, width - 4, 2, PAPER)
            x += width + (9 if book % 9 == 0 else 1)
        yield Block(0, floor, 640, 4, WOOD)


def _register(scale: int) -> Iterator[Block]:
    """Draw an open book of ruled lines and written words, 320 by 200 times scale."""
    yield Block(159 * scale, 8 * scale, 2 * scale, 184 * scale, WOOD)
    for line in range(1, 18):
        base, ink = (10 + 10 * line) * scale, RED if line == 1 else BLUE
        for left in (12, 172):
            yield Block(left * scale, base, 136 * scale, scale, SHADE)
            for word in range(4):
                x, length = left + 34 * word, 10 + (line * 5 + word * 11 + left) % 20
                yield Block(x * scale, base - 4 * scale, length * scale, 2 * scale, ink)


def _pdf(lines: Iterable[str]) -> bytes:
    """Set plain ASCII lines on one page (ISO 32000-1, 7.5: a file's structure)."""
    literal = str.maketrans({"\\": r"\\", "(": r"\(", ")": r"\)"})  # 7.3.4.2
    shown = "\n".join(f"({line.translate(literal)}) Tj T*" for line in lines)
    content = f"BT /F1 14 Tf 30 TL 72 760 Td\n{shown}\nET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 595 842] >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Resources 6 0 R >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Font << /F1 4 0 R >> >>",
    )
    text = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    table = b"0000000000 65535 f \n"
    for number, body in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(text)
        text += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    size = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\n" % size
    xref = b"xref\n0 %d\n%b%bstartxref\n%d\n" % (size, table, trailer, len(text))
    return text + xref + b"%%EOF\n"


# ------------------------------------------------------------------------- the answers


def _picture(width: int, height: int, blocks: Iterable[Block]) -> Page:
    return Page(body=_png(width, height, blocks), media_type="image/png")


def _moved(target: str, status: HTTPStatus) -> Page:
    body = _page("Moved", MOVED.format(target))
    return Page(body=body, status=status, headers=(("Location", target),))


def _ticker(edition: int) -> Page:
    dated = FIRST_EDITION + timedelta(days=edition - 1)
    headline = HEADLINES[(edition - 1) % len(HEADLINES)]
    text = TICKER.format(edition=edition, dated=dated, headline=headline)
    tag = ("ETag", f'"edition-{edition}"')
    return Page(body=_page("Ticker", text), headers=(tag,), dated=dated)


@cache
def _pages() -> Mapping[str, Page]:
    """Everything that stays the same from edition to edition."""
    return {
        "/robots.txt": Page(body=b"User-agent: *\nAllow: /\n", media_type="text/plain"),
        "/article": Page(body=_page("What the fire left", ARTICLE, extra=SCRIPTS)),
        "/style.css": Page(body=STYLE, media_type="text/css"),
        "/type.css": Page(body=TYPE, media_type="text/css"),
        "/minutes.js": Page(body=MINUTES, media_type="text/javascript"),
        "/paper.png": _picture(48, 48, _paper()),
        "/icon.png": _picture(32, 32, _icon()),
        "/shelves.png": _picture(640, 280, _shelves()),
        "/register.png": _picture(320, 200, _register(1)),
        "/register-2x.png": _picture(640, 400, _register(2)),
        "/report.pdf": Page(body=_pdf(REPORT), media_type="application/pdf"),
        "/old-address": _moved("/moved", HTTPStatus.MOVED_PERMANENTLY),
        "/moved": _moved("/new-address", HTTPStatus.FOUND),
        "/new-address": Page(body=_page("The readers' desk", NEW_ADDRESS)),
        "/gone": Page(body=_page("Gone", GONE), status=HTTPStatus.NOT_FOUND),
        "/liar": Page(body=_page("The whole story", LIAR), withheld=4096),
    }


def answer(path: str, *, edition: int = 1) -> Page:
    """Choose what a path gets in an edition; an unknown one gets a plain 404."""
    if path == "/ticker":
        return _ticker(edition)
    lost = Page(body=_page("Not found", NOT_FOUND), status=HTTPStatus.NOT_FOUND)
    return _pages().get(path, lost)


def _head(page: Page) -> bytes:
    fields = (
        ("Date", format_datetime(page.dated, usegmt=True)),
        ("Server", "Newsroom"),
        ("Content-Type", page.media_type),
        ("Content-Length", str(len(page.body) + page.withheld)),
        *page.headers,
    )
    lines = [f"HTTP/1.1 {page.status.value} {page.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


# -------------------------------------------------------------------------- the server


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive until either side has had enough."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = PATIENCE
    server: "_Server"

    def handle(self) -> None:
        with suppress(ConnectionError):  # a visitor who hangs up is no news
            super().handle()

    def do_GET(self) -> None:
        page = self.server.asked(self.command, self.path)
        body = b"" if self.command == "HEAD" else page.body
        self.wfile.write(_head(page) + body)
        if page.withheld:
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - likewise

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing; ``Newsroom.requests`` tells."""


class _Server(socketserver.ThreadingTCPServer):
    """A thread for every connection, each of which can be hung up."""

    request_queue_size = 128

    def __init__(self, asked: Callable[[str, str], Page]) -> None:
        self.asked = asked
        self._open: set[socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket, object]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def close_request(self, request: socket | tuple[bytes, socket]) -> None:
        assert isinstance(request, socket)  # the tuple is for datagrams
        self._open.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        """End every connection, wait for its thread, and stop listening."""
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
        self.server_close()


class Newsroom:
    """The demo site, open for as long as its ``with`` block runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[tuple[str, str]] = []
        self._edition = 1
        self.port = 0

    def __enter__(self) -> Self:
        self._server = _Server(self._asked)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="newsroom"
        )
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()

    @property
    def connect_to(self) -> str:
        """Say where the host really listens, as ``--connect-to`` takes it."""
        return f"{HOST}:80:127.0.0.1:{self.port}"

    @property
    def requests(self) -> tuple[tuple[str, str], ...]:
        """List the method and path of every request so far, in order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def publish(self) -> int:
        """Bring out the next edition of the ticker and return its number."""
        with self._lock:
            self._edition += 1
            return self._edition

    def _asked(self, method: str, target: str) -> Page:
        with self._lock:
            self._requests.append((method, target))
            edition = self._edition
        return answer(target.partition("?")[0], edition=edition)
