"""What was made elsewhere taken in for a source: a WARC, a PDF, a picture, any file.

Where a wall stood in the way, or a witness sent what they had, the files become a bag
of their own in the archive: sealed, logged, told as supplied and never as captured. The
words that the source is cited for are looked for in what can be read. A file is copied
once and hashed on the way; the file itself is not touched.
"""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from msgspec import Struct

from pipeline.capture import content, quotes
from pipeline.clock import Clock
from pipeline.disk import regular
from pipeline.errors import StorageError, UsageError
from pipeline.fixity import ALGORITHMS, Sink, write_file
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.recovery import SOFTWARE
from pipeline.holdings.store import Store
from pipeline.model import Artefact, Bag, Operator, QuoteSighting, Source
from pipeline.packaging import attachment
from pipeline.packaging import bag as bags
from pipeline.packaging.attachment import FOLDER, PATH, Attachment, Supplied
from pipeline.packaging.premis import premis_xml
from pipeline.packaging.rendering import Rendering, json_file, jsonl_file
from pipeline.packaging.story import event_lines
from pipeline.warc import answers

if TYPE_CHECKING:
    from pipeline.sealing.seal import Seal, Signing

PIECE = 1 << 20
MOST_TEXT = 1 << 24  # bytes of a file in which words are looked for
MOST_RECORDS = 10_000  # of a WARC
LONGEST_NAME = 100  # characters
KINDS = (  # by how a file begins
    (b"%PDF-", "pdf", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "picture", "image/png"),
    (b"\xff\xd8\xff", "picture", "image/jpeg"),
    (b"GIF8", "picture", "image/gif"),
    (b"WARC/", "warc", "application/warc"),
    (b"\x1f\x8b", "warc", "application/gzip"),
    (b"PK\x03\x04", "wacz", "application/zip"),
)
NAMED = {".wacz": "application/wacz", ".warc.gz": "application/warc"}


class Gift(Struct, frozen=True, kw_only=True):
    """What whoever brings files says of them."""

    by: str = ""
    made_at: str = ""
    note: str = ""


class Attached(Struct, frozen=True, kw_only=True):
    """The bag that files became."""

    bag: Bag
    told: Attachment
    seal: "Seal"

    def json(self) -> dict[str, object]:
        """Tell it as ``attach --json`` does."""
        return {
            "bag": self.bag.id,
            "path": str(self.bag.path),
            "tagmanifest": {one.algorithm: one.hex for one in self.bag.tagmanifests},
            **attachment.attachment_json(self.told),
            "seal": self.seal.told(),
        }


class Desk(Struct, frozen=True, kw_only=True):
    """Where files are taken in: the archive, who seals, and for whom."""

    store: Store
    clock: Clock
    operator: Operator
    signing: "Signing"

    def take(
        self, job: str, source: Source, files: Iterable[Path], gift: Gift
    ) -> Attached:
        """Make files a sealed bag, under the archive's lock.

        Raises UsageError for what is no file, StorageError; then nothing is kept.
        """
        files, now = tuple(files), self.clock.now()
        name = f"{job}_{source.id}_{now:%Y%m%dt%H%M%Sz}_{self.clock.uuid()[:8]}"
        staged = self.store.stage(name)
        try:
            told = Attachment(
                bag=name,
                job=job,
                source=source,
                files=tuple(_supplied(staged, files, source)),
                supplied_at=now,
                supplied_by=gift.by,
                made_at=gift.made_at,
                note=gift.note,
                operator=self.operator,
                software=SOFTWARE,
            )
            made = self._packed(staged, told)
            return self._kept(staged, made, told)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def _packed(self, staged: Path, told: Attachment) -> Bag:
        account = attachment.account_of(
            told, transfer=self.clock.uuid(), packing=self.clock.uuid()
        )
        records = (
            json_file(PATH, attachment.attachment_json(told)),
            premis_xml("data/metadata/premis.xml", account),
            jsonl_file("data/metadata/events.jsonl", event_lines(account.events)),
        )
        return bags.write(
            staged,
            payload=(
                *(one.artefact for one in told.files),
                *(_written(staged, one) for one in records),
            ),
            info=attachment.label(told),
            readme=attachment.readme(told),
        )

    def _kept(self, staged: Path, made: Bag, told: Attachment) -> Attached:
        from pipeline.sealing import seal  # noqa: PLC0415 - loads cryptography

        sealed = seal.seal(staged, self.signing, seal.Facts())
        place = self.store.accession(
            staged, made, job=told.job, run="", started=told.supplied_at
        )
        self.store.record(
            Entry(
                act=Act.RECEIVE,
                at=self.clock.now(),
                bag=made.id,
                job=told.job,
                path=place.relative_to(self.store.root).as_posix(),
                tagmanifests=made.tagmanifests,
                outcome="success",
                software=SOFTWARE,
                detail=f"supplied for {told.job}/{told.source.id}",
            )
        )
        bag = Bag(
            id=made.id,
            path=place,
            tagmanifests=made.tagmanifests,
            files=made.files,
            size=made.size,
        )
        return Attached(bag=bag, told=told, seal=sealed)


def _written(folder: Path, one: Rendering) -> Artefact:
    return write_file(folder, one.path, one.data, media_type=one.media_type)


# ------------------------------------------------------------------------- what it is


def _supplied(
    staged: Path, files: tuple[Path, ...], source: Source
) -> Iterator[Supplied]:
    """Copy files into a bag to be, look what they are, and look for the words."""
    taken: set[str] = set()
    for file in files:
        name = _name(file, taken)
        kind, media = kind_of(file)
        artefact = _copied(file, staged, f"{FOLDER}/{name}", media)
        found, remark = _searched(staged / artefact.path, kind, source)
        yield Supplied(
            name=file.name, artefact=artefact, kind=kind, quotes=found, remark=remark
        )


def _name(file: Path, taken: set[str]) -> str:
    """Name a file so that it means the same on every system, each once."""
    marks = (
        c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in file.name
    )
    plain = "".join(marks)
    plain = plain.strip("._-")[-LONGEST_NAME:] or "file"
    name, number = plain, 1
    while name.casefold() in taken:
        number += 1
        name = f"{number}-{plain}"
    taken.add(name.casefold())
    return name


def kind_of(file: Path) -> tuple[str, str]:
    """Tell what a file is by how it begins, and its media type."""
    with _opened(file) as opened:
        head = opened.read(512)
    for begins, kind, media in KINDS:
        if head.startswith(begins):
            return _by_name(file, kind, media)
    if b"\0" in head:
        return "other", "application/octet-stream"
    is_page = b"<html" in head.lower() or b"<!doctype html" in head.lower()
    return ("page", "text/html") if is_page else ("text", "text/plain")


def _by_name(file: Path, kind: str, media: str) -> tuple[str, str]:
    """Take a gzip for a WARC, and a zip for a WACZ, only where its name says so."""
    if media not in {"application/gzip", "application/zip"}:
        return kind, media
    for ending, named in NAMED.items():
        if file.name.lower().endswith(ending):
            return kind, named
    return "other", media


def _opened(file: Path) -> IO[bytes]:
    try:
        return regular(file)
    except OSError as error:
        raise UsageError(
            f"{file}: {error.strerror}; expected a file to attach"
        ) from error


def _copied(file: Path, staged: Path, path: str, media: str) -> Artefact:
    sink = Sink(staged, path, algorithms=ALGORITHMS, media_type=media)
    try:
        with _opened(file) as opened:
            while piece := opened.read(PIECE):
                sink.write(piece)
        return sink.finish()
    except OSError as error:
        raise StorageError.at(staged / path, error) from error
    finally:
        sink.close()


# ------------------------------------------------------------------- the words in it


def _searched(
    file: Path, kind: str, source: Source
) -> tuple[tuple[QuoteSighting, ...], str]:
    """Look for the words that a source is cited for; say where that is not possible."""
    if not source.quotes:
        return (), ""
    try:
        texts = tuple(_texts(file, kind))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        return (), f"the words were not looked for: it could not be read: {error}"
    if not texts:
        return (), f"the words were not looked for: no text is read of a {kind} file"
    found = (
        quotes.find(text, source.quotes, record=record, url=url)
        for text, record, url in texts
    )
    each = zip(*found, strict=True)  # by quote: its sightings in every text
    return tuple(max(seen, key=lambda one: one.score) for seen in each), ""


def _texts(file: Path, kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield each text of a file, with the record and the address that it stands at."""
    if kind in {"page", "text"}:
        data = file.read_bytes()[:MOST_TEXT]
        yield _text(data, is_page=kind == "page"), "", ""
    elif kind == "warc":
        with file.open("rb") as opened:
            yield from _of_records(opened)
    elif kind == "wacz":
        with zipfile.ZipFile(file) as packed:
            for name in packed.namelist():
                if name.startswith("archive/") and name.endswith((".warc", ".warc.gz")):
                    with packed.open(name) as member:
                        yield from _of_records(member)


def _of_records(file: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    for one in islice(answers(file, most=MOST_TEXT), MOST_RECORDS):
        if "html" in one.media_type.lower():
            yield _text(one.body, is_page=True), one.record, one.url


def _text(data: bytes, *, is_page: bool) -> str:
    if is_page:
        return content.read_html(data, "utf-8").text
    return content.to_text(data, "utf-8")
