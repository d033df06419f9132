"""The HTTP engine: a document hop by hop, then what its page needs, then alternates.

Every exchange is recorded as it happens and told as a value. ``approach`` follows a URL
to its answer and leaves that one answer in hand, so that it can be read before it is
recorded: a document known already becomes a revisit, all else is kept whole.
"""

from collections import deque
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture import content, requisites
from pipeline.capture.client import LONGEST_URL, Client, Hop, Manner
from pipeline.capture.records import Note, Records, served_type, told
from pipeline.capture.wire import Message
from pipeline.model import Exchange, Previous, Purpose, Requisites, Source

ANALYSED = content.PAGE_LIMIT  # decoded bytes of a document that are looked at
CSS_DEPTH = 5
TOO_LONG = f"limit: only the first {ANALYSED} bytes are read"
FRAME_DEPTH = 3
MORE_NEEDED = "limit: what is needed beyond what is read of a page or style is not told"
REFRESH_LIMIT = 3  # pages in a row that only lead on
SHORT_PAGE = 16 * 1024  # bytes; a longer page has something to say
SHORT_TEXT = 300  # characters, likewise
REQUISITE_BYTES = 2**30  # of all that one page needs, together
SOON_KEPT = 2**20  # bytes of an answer that is recorded in no time
REQUISITE_RETRIES = 1  # adverts fail on every real page; they must not hold it up
TEXT_TYPES = frozenset(
    ("application/xhtml+xml", "application/xml", "application/json", "image/svg+xml")
)
REQUISITE_WAIT = timedelta(seconds=10)  # of a Retry-After, likewise
HTML_TYPES = ("text/html", "application/xhtml+xml")


class Body(Struct, frozen=True, kw_only=True):
    """The decoded bytes of a document, and what is needed to read them."""

    url: str
    data: bytes
    media_type: str  # as served, or as found where nothing is told
    encoding: str
    problems: tuple[str, ...] = ()

    @property
    def is_html(self) -> bool:
        """Tell whether it is a page."""
        return self.media_type in HTML_TYPES

    @property
    def is_css(self) -> bool:
        """Tell whether it is a style sheet."""
        return self.media_type == "text/css"


class Landing(Struct, frozen=True, kw_only=True):
    """Where a URL led: the hops recorded so far, and the answer still in hand."""

    hops: tuple[Exchange, ...]
    last: Hop
    note: Note

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Tell every hop, the one in hand as if it were recorded."""
        return (*self.hops, told(self.last.reply, self.note))

    @property
    def message(self) -> Message | None:
        """Return the answer, where there is one."""
        return self.last.reply.message


def is_text(message: Message) -> bool:
    """Tell whether a response can be read: by its type, or where none is told."""
    kind = served_type(message)
    return not kind or kind.startswith("text/") or kind in TEXT_TYPES


def body_of(url: str, message: Message) -> Body:
    """Decode a response for reading, never more than 4 MiB of it."""
    taken, size = [], 0
    for piece in message.payload():
        taken.append(bytes(piece[: ANALYSED - size]))
        size += len(taken[-1])
        if size >= ANALYSED:
            break
    is_long = message.payload_size > ANALYSED
    coding = ", ".join(message.head.values("content-encoding"))
    decoded = content.decode(b"".join(taken), coding, limit=ANALYSED)
    kind = served_type(message) or content.sniff(decoded.data)
    served = message.head.value("content-type")
    if kind == "text/css":
        encoding = content.css_charset(decoded.data, served, "utf-8")
    else:
        encoding = content.charset(decoded.data, served)
    return Body(
        url=url,
        data=decoded.data,
        media_type=kind,
        encoding=encoding,
        problems=(TOO_LONG,) * is_long + decoded.problems,
    )


class Wish(Struct, frozen=True, kw_only=True):
    """One requisite: how to ask for it, and how far from the page it is."""

    url: str
    manner: Manner
    depth: int


class Wants:
    """What a page needs, found level by level, each URL once."""

    def __init__(self, page: Body, source: Source) -> None:
        self._source = source
        self.seen: set[str] = set()
        self.queue: deque[Wish] = deque()
        self.too_deep: list[str] = []
        self.too_long: list[str] = []  # cut to the length that is allowed
        self.is_complete = True
        self._page = page.url
        self.add(page, 1)

    @property
    def asked(self) -> int:
        """Count what was asked for so far."""
        return len(self.seen) - len(self.queue) - len(self.left_out)

    @property
    def left_out(self) -> list[str]:
        """Name what will not be asked for."""
        return self.too_deep + self.too_long

    def add(self, body: Body, depth: int) -> None:
        """Take up what a page, frame or style sheet needs in its turn."""
        is_too_deep = depth > (CSS_DEPTH if body.is_css else FRAME_DEPTH)
        manner = self._manner(body.url)
        found = needs(body)
        self.is_complete = self.is_complete and found.complete
        for url in found.urls:
            if url in self.seen or url == self._page:
                continue
            self.seen.add(url)
            if len(url) > LONGEST_URL:
                self.too_long.append(url[:LONGEST_URL])
            elif is_too_deep:
                self.too_deep.append(url)
            else:
                self.queue.append(Wish(url=url, manner=manner, depth=depth))

    def _manner(self, referrer: str) -> Manner:
        source = self._source
        return Manner(
            purpose=Purpose.REQUISITE,
            referrer=referrer,
            delay=source.requisite_delay.total_seconds(),
            retries=min(REQUISITE_RETRIES, source.retries),
            longest_wait=REQUISITE_WAIT,
        )


class HttpEngine:
    """Visits with plain HTTP; ``exchanges`` holds all that was recorded, in order."""

    def __init__(self, *, client: Client, records: Records, source: Source) -> None:
        self._client = client
        self._records = records
        self._source = source
        self.exchanges: list[Exchange] = []

    def approach(self, url: str, purpose: Purpose) -> Landing:
        """Follow a URL to its answer, recording every hop but that last one.

        A page that does nothing but lead on (meta refresh) is a hop as well.
        """
        hops: tuple[Exchange, ...] = ()
        for refreshes in range(REFRESH_LIMIT + 1):
            landing = self._answer(url, purpose, hops)
            url = leads_on(landing)
            if not url or refreshes == REFRESH_LIMIT:
                break
            note = replace(landing.note, location=url)
            hops = (*landing.hops, self._record(landing.last, note))
        return landing

    def _answer(
        self, url: str, purpose: Purpose, hops: tuple[Exchange, ...]
    ) -> Landing:
        manner = Manner(
            purpose=purpose,
            delay=self._source.delay.total_seconds(),
            retries=self._source.retries,
        )
        for hop in self._client.hops(url, manner):
            note = Note(purpose=purpose, attempt=hop.attempt, location=hop.location)
            if hop.is_final:
                return Landing(hops=hops, last=hop, note=note)
            hops = (*hops, self._record(hop, note))
        raise AssertionError("hops always end with an answer")

    def land(self, landing: Landing, known: Previous | None = None) -> Exchange:
        """Record the answer in hand: whole, or as a revisit of what is known."""
        return self._record(landing.last, replace(landing.note, known=known))

    def requisites_of(self, page: Body) -> tuple[Requisites, tuple[str, ...]]:
        """Fetch what a page needs, level by level; say what was not to be had."""
        wants, missing, room = Wants(page, self._source), [], REQUISITE_BYTES
        notes: list[str] = []
        while wants.queue:
            if not self._client.is_ahead and (
                stop := self._reason_to_stop(wants.asked, room)
            ):
                notes.append(stop)
                break
            wish = wants.queue.popleft()
            exchange, body = self._requisite(wish, wants, room)
            room -= exchange.size
            if not is_kept(exchange):
                missing.append(wish.url)
            elif body is not None:
                wants.add(body, wish.depth + 1)
        if not wants.is_complete:
            notes.append(MORE_NEEDED)
        if wants.too_deep:
            notes.append(
                f"requisites: {len(wants.too_deep)} nested too deep, not asked"
            )
        if wants.too_long:
            notes.append(f"limit: {len(wants.too_long)} addresses too long to ask for")
        missing += [*(wish.url for wish in wants.queue), *wants.left_out]
        count = len(wants.seen)
        kept = count - len(missing)
        listed = Requisites(wanted=count, kept=kept, missing=tuple(missing))
        return listed, tuple(notes)

    def _requisite(
        self, wish: Wish, wants: Wants, room: int
    ) -> tuple[Exchange, Body | None]:
        """Fetch one requisite; return its last exchange, its body where that counts."""
        for hop in self._client.hops(wish.url, wish.manner):
            note = Note(
                purpose=Purpose.REQUISITE,
                attempt=hop.attempt,
                referrer=wish.manner.referrer,
                location=hop.location,
            )
            body, message = None, hop.reply.message
            if message is not None and hop.is_final:
                self._look_ahead(wants, room, message.block.size)
                kind = served_type(message)
                if kind == "text/css" or kind in HTML_TYPES:
                    body = body_of(hop.reply.url, message)
            exchange = self._record(hop, note)
        return exchange, body

    def _look_ahead(self, wants: Wants, room: int, size: int) -> None:
        """Let the server work on the next requisite while this one is being kept.

        One request at a time still: the answer before it is whole. What takes long to
        keep is kept first, so that nobody waits for us in the middle of an answer.
        """
        if size > SOON_KEPT or not wants.queue:
            return
        if not self._reason_to_stop(wants.asked, room - size):
            following = wants.queue[0]
            self._client.ahead(following.url, following.manner)

    def _reason_to_stop(self, done: int, room: int) -> str:
        if done >= self._source.max_requisites:
            return f"requisites: stopped at max_requisites, {done}"
        if room <= 0:
            return f"requisites: stopped after {REQUISITE_BYTES} bytes"
        if self._client.is_out_of_time:
            return "requisites: stopped at the deadline"
        return ""

    def _record(self, hop: Hop, note: Note) -> Exchange:
        exchange = self._records.exchange(hop.reply, note)
        if hop.reply.message is not None:
            hop.reply.message.block.close()
        self.exchanges.append(exchange)
        return exchange


def leads_on(landing: Landing) -> str:
    """Say where a page leads that says next to nothing itself; "" where it stays."""
    message = landing.message
    if message is None or not 0 < message.payload_size <= SHORT_PAGE:
        return ""
    if message.head.status not in range(200, 300) or not is_text(message):
        return ""
    body = body_of(landing.last.reply.url, message)
    if not body.is_html:
        return ""
    if len(content.read_html(body.data, body.encoding).text) > SHORT_TEXT:
        return ""
    return requisites.in_html(body.data, body.encoding, body.url).refresh


def needs(body: Body) -> requisites.Found:
    """Name what a page or style sheet needs."""
    if body.is_html:
        return requisites.in_html(body.data, body.encoding, body.url)
    if body.is_css:
        return requisites.in_css(body.data, body.encoding, body.url)
    return requisites.Found(urls=(), base=body.url)


def is_kept(exchange: Exchange) -> bool:
    """Tell whether a requisite was got whole."""
    is_ok = exchange.status is not None and 200 <= exchange.status < 300  # noqa: PLR2004 - RFC 9110, 15.3
    return is_ok and not exchange.truncated and not exchange.failure
