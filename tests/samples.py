"""Fixed values of every noun between a source and its bag, for the tests of any module.

One story holds them together: a report cites a news page; the page answers after a
redirect, its picture is missing, its text is derived; it had been captured before.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from pipeline.model import (
    Access,
    Accession,
    Artefact,
    Capture,
    Change,
    Digest,
    Document,
    Event,
    EventType,
    Exchange,
    Match,
    Operator,
    Previous,
    Purpose,
    Quote,
    QuoteSighting,
    RecordRef,
    Requisites,
    Role,
    Run,
    Source,
    Verdict,
)

NOON = datetime(2026, 9, 24, 12, 0, 0, 123456, tzinfo=UTC)
RUN_ID = "toll_run_20260924t120000z_0a1b2c3d"
BAG_ID = "toll_report_20260924t120001z_1a2b3c4d"
URL = "https://news.example/report"
FINAL_URL = "https://news.example/2019/report"
WARC_PATH = "data/objects/capture.warc.gz"
TEXT_PATH = "data/objects/rendered/page.txt"


def at(seconds: float) -> datetime:
    """A moment of the story, counted from its noon."""
    return NOON + timedelta(seconds=seconds)


def digests(letter: str) -> tuple[Digest, ...]:
    """Two digests of nothing in particular."""
    return Digest("sha256", letter * 64), Digest("sha512", letter * 128)


def record(number: int) -> RecordRef:
    """A record of the WARC; its id ends in its number."""
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return RecordRef(id=f"<urn:uuid:{uuid}>", offset=1000 * number, length=900)


def counting() -> Callable[[], str]:
    """Name things by counting, where the program would take a random UUID."""
    given = iter(range(1, 1_000_000))
    return lambda: f"11111111-1111-4111-8111-{next(given):012d}"


SOURCE = Source(
    id="report",
    url=URL,
    also=("https://mirror.example/report",),
    title="The report",
    publisher="News Example",
    author=("First Desk", "Second Desk"),
    published="2019-12-23",
    lang="en",
    role=Role.PRIMARY,
    quotes=(Quote(text="about 1,500 people", required=True),),
    headers=(("Accept-Language", "en"), ("Authorization", "env:NEWS_TOKEN")),
    rights="(c) News Example; kept as evidence",
    access=Access.RESTRICTED,
    note="confirmed by telephone",
    entry="report:\n  url: https://news.example/report\n  lang: en\n",
)
DOCUMENT = Document(
    title="Who counts the toll", author=("A Desk",), url="https://journal.example/toll"
)
OPERATOR = Operator(
    name="Evidence Desk", organisation="Example Archive", contact="desk@archive.example"
)
RUN = Run(
    id=RUN_ID,
    job="toll",
    started=at(0),
    software="Muniment 0.1.0",
    plan=Digest("sha256", "d" * 64),
    manifest=Digest("sha256", "e" * 64),
    title="Sources of the toll",
    document=DOCUMENT,
    operator=OPERATOR,
    environment=(("Python", "3.11.2"), ("OpenSSL", "3.0.15")),
    settings=(
        ("--allow-address", "127.0.0.1/32"),
        ("--connect-to", "a.example:443:127.0.0.1:8443"),
        ("--connect-to", "b.example:443:127.0.0.1:8444"),
    ),
)
ROBOTS = Exchange(
    url="https://news.example/robots.txt",
    purpose=Purpose.ROBOTS,
    started=at(1),
    seconds=0.05,
    status=404,
    ip="192.0.2.7",
    port=443,
    media_type="text/plain",
    size=120,
    response=record(2),
    request=record(3),
)
REDIRECT = Exchange(
    url=URL,
    purpose=Purpose.DOCUMENT,
    started=at(2),
    seconds=0.25,
    status=301,
    ip="192.0.2.7",
    port=443,
    dns=("192.0.2.7", "2001:db8::7"),
    protocols=("http/1.1", "tls/1.3"),
    cipher="TLS_AES_256_GCM_SHA384",
    location=FINAL_URL,
    size=310,
    response=record(4),
    request=record(5),
)
PAGE = Exchange(
    url=FINAL_URL,
    purpose=Purpose.DOCUMENT,
    started=at(3),
    seconds=0.5,
    status=200,
    ip="2001:db8::7",
    port=443,
    protocols=("http/1.1", "tls/1.3"),
    media_type="text/html; charset=utf-8",
    size=5310,
    payload_size=5000,
    payload=Digest("sha256", "a" * 64),
    truncated="time",
    anomalies=("two Content-Length fields",),
    response=record(6),
    request=record(7),
)
PICTURE = Exchange(
    url="https://news.example/a picture.png",
    purpose=Purpose.REQUISITE,
    started=at(4),
    seconds=30.0,
    attempt=2,
    failure="timeout",
    detail="no answer in 30 s",
    referrer=FINAL_URL,
)
WARC = Artefact(
    path=WARC_PATH, size=20480, digests=digests("b"), media_type="application/warc"
)
TEXT = Artefact(
    path=TEXT_PATH,
    size=812,
    digests=digests("c"),
    media_type="text/plain; charset=utf-8",
    derived_from=record(6).id,
)
SIGHTING = QuoteSighting(
    text="about 1,500 people",
    match=Match.NORMALIZED,
    required=True,
    found=True,
    score=1.0,
    exact="About 1,500 people",
    prefix="It was told that ",
    suffix=" were killed",
    record=record(6).id,
    url=FINAL_URL,
)
CAPTURED = Event(
    id="22222222-2222-4222-8222-000000000001",
    type=EventType.CAPTURE,
    at=at(40),
    outcome="partial",
    detail="the answer was cut short",
    objects=(WARC_PATH,),
)
DERIVED = Event(
    id="22222222-2222-4222-8222-000000000002",
    type=EventType.CREATION,
    at=at(39),
    outcome="success",
    detail="text of the page, derived from its response",
    objects=(TEXT_PATH, record(6).id),
)
CAPTURE = Capture(
    source=SOURCE,
    started=at(1),
    ended=at(41),
    verdict=Verdict.PARTIAL,
    reasons=("truncated-time",),
    detail="The answer was cut short.",
    final_url=FINAL_URL,
    page_title="The Report | News Example",
    payload=Digest("sha256", "a" * 64),
    exchanges=(ROBOTS, REDIRECT, PAGE, PICTURE),
    requisites=Requisites(wanted=1, kept=0, missing=(PICTURE.url,)),
    quotes=(SIGHTING,),
    artefacts=(WARC, TEXT),
    events=(DERIVED, CAPTURED),
    notes=("robots.txt: none (404), so everything is allowed",),
)
PREVIOUS = Previous(
    bag="toll_report_20250924t120001z_9f8e7d6c",
    verdict=Verdict.CAPTURED,
    captured_at=datetime(2025, 9, 24, 12, 0, 1, tzinfo=UTC),
    payload=Digest("sha256", "9" * 64),
    record=record(9).id,
    url=FINAL_URL,
    tagmanifest=Digest("sha512", "8" * 128),
)
ACCESSION = Accession(
    bag=BAG_ID,
    run=RUN,
    capture=CAPTURE,
    change=Change.CHANGED,
    previous=PREVIOUS,
    packed_at=at(42),
)
PLAN = b'{"job":"toll"}\n'
MANIFEST = b"version: 1\nid: toll\nsources:\n  report: https://news.example/report\n"


def accession_saying(text: str) -> Accession:
    """The same story with one text in every place where a stranger's text may stand."""
    source = replace(
        SOURCE,
        url=text,
        title=text,
        publisher=text,
        author=(text, text),
        published=text,
        lang=text,
        rights=text,
        note=text,
        quotes=(Quote(text=text),),
        headers=((text, text),),
        entry=text,
    )
    page = replace(
        PAGE,
        url=text,
        location=text,
        media_type=text,
        detail=text,
        failure=text,
        ip=text,
        anomalies=(text,),
    )
    capture = replace(
        CAPTURE,
        source=source,
        detail=text,
        final_url=text,
        page_title=text,
        notes=(text,),
        exchanges=(page,),
        requisites=Requisites(wanted=1, kept=0, missing=(text,)),
        quotes=(replace(SIGHTING, text=text, exact=text, prefix=text, url=text),),
        artefacts=(WARC, replace(TEXT, media_type=text)),
        events=(DERIVED, replace(CAPTURED, detail=text, outcome=text)),
    )
    return replace(ACCESSION, run=run_saying(text), capture=capture)


def run_saying(text: str) -> Run:
    """The same run with one text in every place where a stranger's text may stand."""
    return replace(
        RUN,
        title=text,
        document=Document(title=text, author=(text,), url=text, file=text),
        operator=Operator(name=text, organisation=text, contact=text),
        environment=((text, text),),
        settings=((text, text), (text, text)),
    )
