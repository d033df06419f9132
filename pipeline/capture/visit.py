"""One visit to one source: robots, engine, quotes, verdict.

``visit`` writes into a staging folder and returns a ``Capture``. A refusal, a failure,
a page that lacks the cited words: each is a result, and what bytes came are kept.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import ada_url
from msgspec import Struct
from msgspec.structs import replace

from pipeline import __version__
from pipeline.capture import assess, compare, content, quotes, walls
from pipeline.capture.client import ACCEPT, ACCEPT_ENCODING, Client, Hop
from pipeline.capture.http import Body, HttpEngine, Landing, body_of, is_text
from pipeline.capture.net import Network
from pipeline.capture.records import Note, Records, served_type
from pipeline.capture.robots import Robots
from pipeline.clock import Clock
from pipeline.disk import small_file
from pipeline.errors import UsageError
from pipeline.fixity import ALGORITHMS, digest_of, write_file
from pipeline.model import (
    Artefact,
    Capture,
    Event,
    EventType,
    Exchange,
    Identify,
    Previous,
    Purpose,
    QuoteSighting,
    Requisites,
    RobotsPolicy,
    Source,
    Verdict,
)

TEXT_PATH = "data/objects/rendered/page.txt"
TOO_MUCH = (
    "limit: the page has more tags or words than are read; what is behind was not seen"
)
LARGEST_SECRET = 1 << 16  # bytes of the file that it is read from
PRODUCT = f"Muniment/{__version__}"


class Task(Struct, frozen=True, kw_only=True):
    """What a visit is told: the source, where to write, what the last visit found."""

    source: Source
    folder: Path  # the staging folder of the bag to be
    about: tuple[tuple[str, str], ...]  # what warcinfo says of the run
    contact: str = ""
    previous: Previous | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    keep_all: bool = False  # what did not change is kept once more


class Visited(Struct, frozen=True, kw_only=True):
    """What a visit brings home: the capture, and the index of its WARC."""

    capture: Capture
    index: bytes


class Reading(Struct, frozen=True, kw_only=True):
    """What a document says: its text, and whether the cited words are in it."""

    body: Body | None = None
    title: str = ""
    text: str = ""
    quotes: tuple[QuoteSighting, ...] = ()
    signs: tuple[walls.Sign, ...] = ()


def visit(task: Task, *, network: Network, robots: Robots) -> Visited:
    """Visit one source and keep what came.

    Raises StorageError where the staging folder can't be written, and UsageError
    where a header's secret is not to be had.
    """
    values, secrets = header_values(task.source, os.environ)
    client = Client(
        network=network,
        source=task.source,
        folder=task.folder,
        headers={**_headers(task), **values},
        secrets=secrets,
    )
    records = Records(
        task.folder, clock=network.clock, about=task.about, algorithms=task.algorithms
    )
    try:
        if secrets:
            masked = (n for n, value in values.items() if value.encode() in secrets)
            records.remark(("masked-request-header", name) for name in masked)
        return _Visit(task, network.clock, client, records).run(robots)
    finally:
        client.close()
        records.close()


class _Visit:
    """The steps of one visit, in order."""

    def __init__(
        self, task: Task, clock: Clock, client: Client, records: Records
    ) -> None:
        self._task = task
        self._source = task.source
        self._clock = clock
        self._client = client
        self._records = records
        self._engine = HttpEngine(client=client, records=records, source=task.source)
        self._events: list[Event] = []
        self._notes: list[str] = []
        self._requisites = Requisites()
        self._text: Artefact | None = None
        self._kept_robots: list[tuple[Hop, ...]] = []

    def run(self, robots: Robots) -> Visited:
        started, url = self._clock.now(), requested(self._source.url)
        if not self._may_go(url, robots):
            refusal = assess.judge((), reason="robots", detail=self._notes[-1])
            return self._finish(started, refusal, Reading(), None)
        landing = self._engine.approach(url, Purpose.DOCUMENT)
        reading = read(landing, self._source)
        self._notes += remarks(reading, landing)
        verdict = assess.judge(
            landing.exchanges,
            reason=landing.last.stopped,
            detail=landing.last.detail,
            quotes=reading.quotes,
            signs=reading.signs,
        )
        known = self._known(landing, verdict.verdict)
        main = self._engine.land(landing, known)
        if known is not None:
            detail = f"the same bytes as in {known.bag}"
            verdict = replace(verdict, verdict=Verdict.UNCHANGED, detail=detail)
            return self._finish(started, verdict, reading, main)
        if same := self._said_before(reading, verdict.verdict):
            detail = f"the same words as in {same.bag}, in other bytes, which are kept"
            verdict = replace(verdict, verdict=Verdict.UNCHANGED, detail=detail)
            return self._finish(started, verdict, reading, main)
        self._requisites = self._all_it_needs(reading.body, main)
        self._write_text(reading, main)
        self._alternates(robots)
        return self._finish(started, verdict, reading, main)

    def _may_go(self, url: str, robots: Robots) -> bool:
        """Ask robots.txt, keep what it said, and let the manifest's policy decide."""
        if self._source.robots is RobotsPolicy.IGNORE:
            return True
        opinion = robots.opinion(url, self._client, PRODUCT.partition("/")[0])
        if opinion.hops not in self._kept_robots:
            self._kept_robots.append(opinion.hops)
            for hop in opinion.hops:
                note = Note(purpose=Purpose.ROBOTS, location=hop.location)
                self._engine.exchanges.append(self._records.exchange(hop.reply, note))
        is_own = url == requested(self._source.url)
        self._notes.append(f"{'' if is_own else f'{url}: '}{opinion.because}")
        return opinion.permits or self._source.robots is RobotsPolicy.RECORD

    def _known(self, landing: Landing, verdict: Verdict) -> Previous | None:
        """Return the previous capture if it holds these very bytes, and was whole.

        Where everything is to be kept again, none is.
        """
        if self._task.keep_all:
            return None
        previous, message = self._task.previous, landing.message
        payload = message.payload_digest if message is not None else None
        is_known = compare.is_unchanged(previous, payload, verdict=verdict)
        return previous if is_known else None

    def _said_before(self, reading: Reading, verdict: Verdict) -> Previous | None:
        """Return the previous capture if its page said the same, and was whole."""
        previous, is_page = self._task.previous, reading.body and reading.body.is_html
        if self._task.keep_all or not (self._source.text and is_page and reading.text):
            return None
        words = digest_of(written(reading.text))
        same = compare.says_the_same(previous, words, verdict=verdict)
        return previous if same else None

    def _all_it_needs(self, body: Body | None, main: Exchange) -> Requisites:
        is_page = body is not None and body.is_html and main.status in range(200, 300)
        if not is_page or body is None or not self._source.requisites:
            return Requisites()
        requisites, notes = self._engine.requisites_of(body)
        self._notes += notes
        return requisites

    def _alternates(self, robots: Robots) -> None:
        """Keep the source's other addresses; what becomes of them decides nothing."""
        for url in map(requested, self._source.also):
            if self._may_go(url, robots):
                landing = self._engine.approach(url, Purpose.ALTERNATE)
                body = read(landing, self._source).body
                self._all_it_needs(body, self._engine.land(landing))

    def _write_text(self, reading: Reading, main: Exchange) -> None:
        """Keep the words of a page as a derived file, and say from what."""
        is_page = reading.body is not None and reading.body.is_html
        if not (self._source.text and is_page and reading.text and main.response):
            return
        data = written(reading.text)
        uri = f"urn:text:{main.url}"
        self._records.resource(uri, data, "text/plain", about=main.response)
        self._text = write_file(
            self._task.folder,
            TEXT_PATH,
            data,
            algorithms=self._task.algorithms,
            media_type="text/plain; charset=utf-8",
            derived_from=main.response.id,
        )
        self._event(
            EventType.CREATION,
            "success",
            "text of the page, derived from its response",
            TEXT_PATH,
            main.response.id,
        )

    def _finish(
        self,
        started: datetime,
        verdict: assess.Assessment,
        reading: Reading,
        main: Exchange | None,
    ) -> Visited:
        warc, index = self._records.finish()
        self._event(EventType.CAPTURE, verdict.verdict, verdict.detail, warc.path)
        record = main.response.id if main and main.response else ""
        artefacts = (warc,) if self._text is None else (warc, self._text)
        capture = Capture(
            source=self._source,
            started=started,
            ended=self._clock.now(),
            verdict=verdict.verdict,
            reasons=verdict.reasons,
            detail=verdict.detail,
            user_agent=user_agent(self._source.identify, self._task.contact),
            final_url=main.url if main else "",
            page_title=reading.title,
            payload=main.payload if main else None,
            exchanges=tuple(self._engine.exchanges),
            connections=tuple(self._records.connections),
            requisites=self._requisites,
            quotes=tuple(replace(found, record=record) for found in reading.quotes),
            artefacts=artefacts,
            events=tuple(self._events),
            notes=tuple(self._notes),
        )
        return Visited(capture=capture, index=index)

    def _event(self, kind: EventType, outcome: str, detail: str, *objects: str) -> None:
        self._events.append(
            Event(
                id=self._clock.uuid(),
                type=kind,
                at=self._clock.now(),
                outcome=outcome,
                detail=detail,
                objects=objects,
            )
        )


# -------------------------------------------------------------------------- decisions


def written(text: str) -> bytes:
    """Write the words of a page as they are kept."""
    return text.encode("utf-8", "replace")


def requested(url: str) -> str:
    """Write a cited URL as it is asked for: serialised (WHATWG), without fragment."""
    parsed = ada_url.URL(url)
    parsed.hash = ""
    return str(parsed.href)


def read(landing: Landing, source: Source) -> Reading:
    """Read the answer in hand: its text, its title, the quotes in it.

    What is no text is not decoded: a film of two gigabytes is kept, not looked at.
    """
    last, message = landing.last, landing.message
    if message is None or not message.payload_size or not is_text(message):
        return Reading(quotes=quotes.find("", source.quotes, record="", url=""))
    body = body_of(last.reply.url, message)
    title, text = "", ""
    if body.is_html:
        page = content.read_html(body.data, body.encoding)
        title, text = page.title, page.text
        if not page.complete:
            body = replace(body, problems=(*body.problems, TOO_MUCH))
    elif source.quotes:
        text, is_whole = content.read_text(body.data, body.encoding)
        if not is_whole:
            body = replace(body, problems=(*body.problems, TOO_MUCH))
    found = quotes.find(text, source.quotes, record="", url=body.url)
    sight = walls.Sight(
        asked=requested(source.url),
        url=body.url,
        headers=message.head.headers,
        html=body.data if body.is_html and not body.problems else b"",
        title=title,
        text=text,
    )
    return Reading(
        body=body, title=title, text=text, quotes=found, signs=walls.look(sight)
    )


def remarks(reading: Reading, landing: Landing) -> tuple[str, ...]:
    """Say what a reader of the capture should know of how it was read."""
    if reading.body is not None:
        signs = (f"{sign.name}: {sign.evidence}" for sign in reading.signs)
        return (*reading.body.problems, *signs)
    if reading.quotes and landing.message is not None and landing.message.payload_size:
        kind = served_type(landing.message) or "what has no type"
        return (f"the quotes were not looked for: {kind} is kept, not read",)
    return ()


def user_agent(identify: Identify, contact: str) -> str:
    """Say honestly who asks: the product, and whom to write to where that is wanted."""
    if identify is Identify.CONTACT and contact:
        return f"{PRODUCT} (archiving of cited sources; {contact})"
    return f"{PRODUCT} (archiving of cited sources)"


def header_values(
    source: Source, environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[bytes, ...]]:
    """Look up a source's extra headers; return them, and the secrets among them.

    Raises UsageError where a reference leads nowhere.
    """
    values, secrets = {}, []
    for name, told in source.headers:
        kind, _, where = told.partition(":")
        value = told
        if kind in ("env", "file"):
            value = _secret(kind, where, environ, f"sources.{source.id}.headers.{name}")
            secrets.append(value.encode())
        values[name] = value
    # the longest first: one secret may stand within another
    return values, tuple(sorted(secrets, key=len, reverse=True))


def _secret(kind: str, where: str, environ: Mapping[str, str], path: str) -> str:
    try:
        value = environ[where] if kind == "env" else _told_in(where)
        value.encode()  # an environment may hold what is no text
    except KeyError:
        raise UsageError(f"{path}: the environment has no {where}") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UsageError(f"{path}: can't be read as text: {where}: {why}") from error
    if not value.strip():
        raise UsageError(f"{path}: {kind}:{where} is empty")
    return value.strip()


def _told_in(file: str) -> str:
    return small_file(file, LARGEST_SECRET).decode()


def _headers(task: Task) -> dict[str, str]:
    source = task.source
    language = {"Accept-Language": f"{source.lang}, *;q=0.5"} if source.lang else {}
    return {
        "User-Agent": user_agent(source.identify, task.contact),
        "Accept": ACCEPT,
        **language,
        "Accept-Encoding": ACCEPT_ENCODING,
    }
