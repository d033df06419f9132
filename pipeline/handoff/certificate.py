"""A certificate of a bag: what the bag's records tell, drafted for a person to sign.

The bag is verified, its files are read once more, and what its capture.json, its seals
and the archive's log tell is set in the form of a ``declaration``: as OUT.html, and as
OUT.pdf where Chromium is at hand. It is a draft: no opinion, no name and no date is
filled in for anybody. Of a bag that is wrong there is no certificate.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.json import decode

from pipeline import chromium
from pipeline.clock import stamp
from pipeline.errors import FixityError, PipelineError, StorageError, UsageError
from pipeline.fixity import digest_of
from pipeline.handoff.declaration import Certified, File, Step, page
from pipeline.handoff.export import Exported, require_sound
from pipeline.holdings.custody import Log
from pipeline.holdings.recovery import SOFTWARE
from pipeline.holdings.room import Room
from pipeline.holdings.verify import archive_of
from pipeline.model import Verdict
from pipeline.packaging.names import unsafe
from pipeline.packaging.readme import (
    CAPTURE_PATH,
    MEANINGS,
    NOT_ASSERTED,
    STAMPABLE,
    UNSTAMPED,
)
from pipeline.packaging.validate import Report, validate
from pipeline.packaging.walk import chunks, file_beneath, opened
from pipeline.sealing import assurance
from pipeline.sealing.token import Authority
from pipeline.sealing.worth import Assurance, Judged
from pipeline.sheet import put, require_free

MOST = 1 << 28  # bytes of capture.json
SHOWN = 20  # requisites that are missing, by name


class _Source(Struct, frozen=True):
    url: str
    id: str = ""
    title: str = ""
    publisher: str = ""


class _Named(Struct, frozen=True):
    """A document, or an operator."""

    title: str = ""
    name: str = ""
    organisation: str = ""


class _Exchange(Struct, frozen=True):
    url: str
    purpose: str = ""
    method: str = ""
    status: int | None = None
    ip: str = ""
    port: int = 0
    size: int = 0
    connection: int = 0
    date: str = ""


class _Signed(Struct, frozen=True):
    """A certificate that a server sent."""

    digest: str = ""
    subject: str = ""
    issuer: str = ""


class _Connection(Struct, frozen=True):
    number: int = 0
    tls: str = ""
    cipher: str = ""
    verification: str = ""
    detail: str = ""
    trusted_by: str = ""
    certificates: tuple[_Signed, ...] = ()


class _Artefact(Struct, frozen=True):
    path: str
    size: int
    digests: dict[str, str]
    media_type: str = ""
    derived_from: str = ""


class _Requisites(Struct, frozen=True):
    wanted: int = 0
    kept: int = 0
    missing: tuple[str, ...] = ()


class _Quote(Struct, frozen=True):
    text: str
    found: bool = False


class _Tested(Struct, frozen=True):
    passed: bool = False
    at: str = ""


class Story(Struct, frozen=True):
    """As much of capture.json as a certificate tells."""

    bag: str
    job: str
    source: _Source
    started: str
    ended: str
    verdict: Verdict
    software: str
    document: _Named = _Named()
    operator: _Named = _Named()
    reasons: tuple[str, ...] = ()
    detail: str = ""
    engine: str = ""
    user_agent: str = ""
    final_url: str = ""
    page_title: str = ""
    exchanges: tuple[_Exchange, ...] = ()
    connections: tuple[_Connection, ...] = ()
    artefacts: tuple[_Artefact, ...] = ()
    requisites: _Requisites = _Requisites()
    quotes: tuple[_Quote, ...] = ()
    notes: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    environment: dict[str, str] = {}
    self_test: _Tested | None = None

    def main(self) -> _Exchange | None:
        """Find the last exchange about the document itself."""
        mine = [one for one in self.exchanges if one.purpose == "document"]
        return mine[-1] if mine else None


def certificate(
    bag: Path, out: Path, *, authorities: Sequence[Authority], now: datetime
) -> Exported:
    """Write a draft certificate of a source's bag, and print it where one can.

    Raises UsageError for a bag that is no capture or a name that is taken, FixityError
    for a bag that is wrong, StorageError; then nothing is written.
    """
    sheet, printed = out.with_suffix(".html"), out.with_suffix(".pdf")
    for one in (sheet, printed):
        require_free(one)
    report = validate(bag)
    require_sound(bag, report.findings)
    found = assurance.judge(bag, authorities=authorities, now=now)
    require_sound(bag, found.findings)
    put(sheet, page(certified(bag, report, found, now)))
    said = _printed(sheet, printed)
    data = sheet.read_bytes()
    return Exported(
        bag=bag,
        out=sheet,
        form="certificate",
        size=len(data),
        digests=(digest_of(data),),
        report=report,
        said=said,
    )


def _printed(sheet: Path, printed: Path) -> tuple[str, ...]:
    """Print a draft, where there is a browser; the draft itself stands in any case."""
    try:
        browser = chromium.find()
        if browser is None:
            return (f"not printed: there is no Chromium; {chromium.ADVICE}",)
        chromium.print_pdf(browser, sheet, printed)
    except PipelineError as error:
        return (f"not printed: {error}",)
    return (f"printed: {printed}",)


def certified(bag: Path, report: Report, found: Assurance, now: datetime) -> Certified:
    """Gather what is told of a sound bag. Raises as ``certificate`` does."""
    told = _story(bag)
    stamped = any(one.proofs for one in found.seals)
    return Certified(
        bag=bag.absolute().name,
        at=now,
        software=SOFTWARE,
        captured=tuple(_captured(told)),
        system=tuple(_system(told)),
        files=tuple(_file(bag, one) for one in told.artefacts),
        checked=_checked(report, now),
        tagmanifests=tuple(_tagmanifests(bag)),
        seals=tuple(_seals(found)),
        custody=tuple(_custody(bag)),
        limits=tuple(_limits(told, found)),
        not_asserted=(*NOT_ASSERTED, STAMPABLE if stamped else UNSTAMPED),
    )


# ---------------------------------------------------------------------- what was read


def _story(bag: Path) -> Story:
    try:
        data = b"".join(_pieces(bag, CAPTURE_PATH, most=MOST + 1))
    except FileNotFoundError:
        raise UsageError(
            f"{bag}: it has no {CAPTURE_PATH}; a certificate is of the bag of one "
            "source, not of a run or of a bag of another make"
        ) from None
    if len(data) > MOST:
        raise UsageError(f"{bag}: its {CAPTURE_PATH} is larger than {MOST:,} bytes")
    try:
        return decode(data, type=Story)
    except ValueError as error:  # msgspec's are
        raise FixityError(
            f"{bag}: {CAPTURE_PATH} is not the story of a capture: {error}; verify it"
        ) from error


def _pieces(bag: Path, path: str, most: int | None = None) -> Iterator[bytes]:
    try:
        with opened(bag) as root, file_beneath(root, path.encode()) as descriptor:
            yield from chunks(descriptor, most=most)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError.at(bag / path, error) from error


def _sha256(bag: Path, path: str) -> str:
    hashed = hashlib.sha256()
    for piece in _pieces(bag, path):
        hashed.update(piece)
    return hashed.hexdigest()


def _file(bag: Path, one: _Artefact) -> File:
    """Read a file once more beside what was recorded of it."""
    if why := unsafe(one.path.encode()):
        raise FixityError(f"{bag}: {CAPTURE_PATH} names {one.path!r}: {why}")
    try:
        found = _sha256(bag, one.path)
    except FileNotFoundError as error:
        raise FixityError(
            f"{bag}: {CAPTURE_PATH} names {one.path!r}, and it is not there; verify it"
        ) from error
    recorded = one.digests.get("sha256", "")
    if recorded != found:
        raise FixityError(
            f"{bag}: {one.path}: {CAPTURE_PATH} has sha256 {recorded or 'none'}, it is "
            f"{found}; verify it"
        )
    media = f"{one.media_type}, derived" if one.derived_from else one.media_type
    return File(
        path=one.path, size=one.size, media_type=media, recorded=recorded, found=found
    )


def _tagmanifests(bag: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(bag.glob("tagmanifest-*.txt")):
        yield path.name, _sha256(bag, path.name)


def _custody(bag: Path) -> Iterator[Step]:
    """Read the lines of the archive's log about the bag, where it stands in one."""
    root = archive_of(bag.absolute())
    if root is None:
        return
    for one in Log(Room(root).own / "custody.jsonl").read():
        entry = one.entry
        if entry.bag == bag.absolute().name:
            yield Step(
                number=one.n + 1,
                at=entry.at,
                act=entry.act.value,
                outcome=entry.outcome,
                detail=entry.detail,
            )


# ---------------------------------------------------------------------- what is told


def _captured(told: Story) -> Iterator[tuple[str, str]]:
    main = told.main()
    reasons = f" ({', '.join(told.reasons)})" if told.reasons else ""
    yield "Address asked for", told.source.url
    yield "Address that answered", told.final_url
    yield "Title, as cited", told.source.title
    yield "Title, on the page", told.page_title
    yield "Publisher, as cited", told.source.publisher
    yield "Cited by", told.document.title
    yield "Begun", f"{told.started}, by the clock of the machine"
    yield "Ended", f"{told.ended}, by the clock of the machine"
    yield "What came of it", f"{_ended(told)}{reasons}"
    if main:
        status = "no answer" if main.status is None else str(main.status)
        yield "Answer to the request", f"{main.method} {main.url}: {status}"
        yield "Server", f"{main.ip} port {main.port}" if main.ip else ""
        yield "Date, by the server", main.date
        yield from _connection(told, main)
    size = sum(one.size for one in told.exchanges)
    yield "Exchanges kept", f"{len(told.exchanges):,}, answers of {size:,} bytes"
    for one in told.quotes:
        yield "Words looked for", f"\u201c{one.text}\u201d: {_found(one)}"


def _ended(told: Story) -> str:
    return f"{MEANINGS[told.verdict].rstrip('.')}: {told.detail}"


def _found(one: _Quote) -> str:
    return "found on the page" if one.found else "not found"


def _connection(told: Story, main: _Exchange) -> Iterator[tuple[str, str]]:
    used = [one for one in told.connections if one.number == main.connection]
    for one in used:
        if not one.tls:
            yield "Connection", "not encrypted: nothing shows who the server was"
            continue
        held = {"valid": f"valid, by the roots of {one.trusted_by}"}
        word = held.get(one.verification, f"NOT VALID: {one.detail}")
        yield "Connection", f"{one.tls}, {one.cipher}; certificate {word}"
        for leaf in one.certificates[:1]:
            yield "Server's certificate", f"{leaf.subject}, by {leaf.issuer}"
            yield "Its SHA-256", leaf.digest


def _system(told: Story) -> Iterator[tuple[str, str]]:
    parts = dict(told.environment)
    system, python = parts.pop("system", ""), parts.pop("python", "")
    yield "Program", told.software
    yield "Way of visiting", told.engine
    yield "It called itself", told.user_agent
    who = (told.operator.name, told.operator.organisation)
    yield "Run by", ", ".join(filter(None, who))
    yield "Machine", system
    yield "Python", python
    yield "With", ", ".join(f"{name} {version}" for name, version in parts.items())
    if told.self_test:
        came = "byte for byte as served" if told.self_test.passed else "IT FAILED"
        yield (
            "Self-test",
            (
                f"at {told.self_test.at}, in the same run, a known page was captured "
                f"through the same path: {came}"
            ),
        )


def _checked(report: Report, now: datetime) -> str:
    algorithms = " and ".join(report.algorithms)
    return (
        f"On {stamp(now)} every file of the bag was read and compared with its "
        f"manifests ({report.files:,} files of payload, {report.bytes:,} bytes; "
        f"{algorithms}), and every record of the WARC with the digests in it. Nothing "
        "was wrong."
    )


def _seals(found: Assurance) -> Iterator[str]:
    for one in found.seals:
        yield from _seal(one)
    if not found.seals:
        yield "The bag is not sealed: no signature shows who packed it."
    if not any(one.proofs for one in found.seals):
        yield "Time asserted by the capturing machine only: no authority proves it."


def _seal(one: Judged) -> Iterator[str]:
    """Tell a seal, and every time with its basis."""
    yield f"Seal {one.number}: signed by {one.signer}, certificate {one.fingerprint}."
    for proof in one.proofs:
        yield (
            f"The sealed bag existed at {stamp(proof.token.at)}, by the word of "
            f"{proof.token.authority} (RFC 3161); {proof.basis}."
        )
    for proof in one.begun:
        yield (
            f"The capture was made after {stamp(proof.token.at)}, when "
            f"{proof.token.authority} stamped its plan, whose digest stands in the "
            f"WARC; {proof.basis}."
        )


def _limits(told: Story, found: Assurance) -> Iterator[str]:
    missing = told.requisites.missing
    if told.verdict is not Verdict.CAPTURED:
        yield f"The capture is not whole: {told.detail}."
    if missing:
        named = ", ".join(missing[:SHOWN])
        more = f" and {len(missing) - SHOWN:,} more" if missing[SHOWN:] else ""
        yield f"Parts of the page that were not had: {named}{more}."
    for name, value in told.settings.items():
        yield f"The operator had set {name} to {value}."
    for note in told.notes:
        yield f"Noted at the capture: {note}."
    for one in found.findings:
        yield f"Seen when this was drafted: {one.path}: {one.message} [{one.code}]."
