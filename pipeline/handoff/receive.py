"""A stranger's bag taken in: judged whole, unpacked, checked, kept or set aside.

A file that may do harm is rejected before a byte is written. What is unpacked goes
beneath one new folder in staging, through no link and over nothing that is there, and
every byte is digested on its way. A bag that is right is kept for good; one that is
wrong goes to quarantine, with what was found wrong beside it. The file itself, or the
folder, is not touched.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.disk import sync_tree
from pipeline.errors import Exit, StorageError, UsageError
from pipeline.fixity import Digester, write_file
from pipeline.handoff.unpacking import unpacked
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.recovery import SOFTWARE
from pipeline.holdings.room import Room
from pipeline.holdings.store import Store
from pipeline.model import Bag, Digest, Severity
from pipeline.packaging import bag as bags
from pipeline.packaging import tagfiles
from pipeline.packaging.members import Limits, RejectedError
from pipeline.packaging.names import show
from pipeline.packaging.parcel import Parcel, looked_into
from pipeline.packaging.validate import Report, report_json
from pipeline.packaging.walk import Kind

if TYPE_CHECKING:  # whoever judges brings it along: it loads cryptography
    from pipeline.sealing.worth import Assurance

JOB = "received"
FINDINGS = "findings.json"


Assay = Callable[[Path], "Assurance | None"]  # what the seals of a bag are worth


class AlreadyKeptError(UsageError):
    """The archive holds this bag, or another of its name."""

    code = "already-kept"


class Received(Struct, frozen=True, kw_only=True):
    """What became of a bag that was taken in."""

    file: Path
    bag: str
    path: Path  # the bag where it is kept, or its folder in quarantine
    is_kept: bool
    report: Report
    seals: "Assurance | None" = None  # None where nobody judged, or there are none
    digest: Digest | None = None  # sha256 of the file as it came; a folder has none
    notes: tuple[str, ...] = field(default=())  # what else was mended on the way

    @property
    def exit(self) -> Exit:
        """Return what this comes to for a script."""
        return Exit.OK if self.is_kept else Exit.FIXITY


class Refused(Struct, frozen=True, kw_only=True):
    """A file that was not unpacked, and why."""

    file: Path
    error: RejectedError | AlreadyKeptError

    @property
    def exit(self) -> Exit:
        """Return what this comes to for a script."""
        return self.error.exit


def receive(
    file: Path,
    *,
    store: Store,
    clock: Clock,
    job: str = JOB,
    limits: Limits | None = None,
    judge: Assay | None = None,
) -> Received:
    """Take in a serialised bag, or a bag in a folder, under the archive's lock.

    Raises RejectedError for a file that is not to be unpacked, AlreadyKeptError naming
    where the bag stands, LockedError, StorageError; then nothing is left in staging.
    What ``judge`` finds wrong with the seals sets a bag aside, as any fault does.
    """
    _require_apart(file, store)
    with looked_into(file, limits=limits, twins=False, deep=True) as parcel:
        digest = parcel.digest()
        with store.lock(f"receive {show(os.fsencode(file.name))}"):
            notes = store.recover()
            one = _Reception(
                parcel=parcel,
                store=store,
                clock=clock,
                job=job,
                digest=digest,
                judge=judge,
            )
            return one.carry_out(notes)


def receive_all(
    files: Iterable[Path],
    *,
    store: Store,
    clock: Clock,
    job: str = JOB,
    judge: Assay | None = None,
) -> Iterator[Received | Refused]:
    """Take in one bag after the other; one that is refused stops no other.

    Raises LockedError, StorageError, and UsageError for what is no file or folder.
    """
    for file in files:
        try:
            yield receive(file, store=store, clock=clock, job=job, judge=judge)
        except (RejectedError, AlreadyKeptError) as error:
            yield Refused(file=file, error=error)


def received_json(received: Received | Refused) -> dict[str, object]:
    """Tell a reception as ``receive --json`` does."""
    if isinstance(received, Refused):
        error = received.error
        told = {"code": error.code, "message": str(error), "exit": int(error.exit)}
        return {
            "file": str(received.file.absolute()),
            "kept": False,
            "error": told | error.details(),
        }
    return {
        "file": str(received.file.absolute()),
        "bag": received.bag,
        "path": str(received.path),
        "kept": received.is_kept,
        "digest": str(received.digest) if received.digest else None,
        "report": report_json(received.report),
        "seals": received.seals.told() if received.seals else [],
    }


def _require_apart(file: Path, store: Store) -> None:
    if file.is_dir() and store.root.resolve().is_relative_to(file.resolve()):
        raise UsageError(f"{file} holds the archive itself; name one bag in it")


class _Reception(Struct, frozen=True, kw_only=True):
    """One bag on its way from a parcel into the archive."""

    parcel: Parcel
    store: Store
    clock: Clock
    job: str
    digest: Digest | None
    judge: Assay | None = None

    @property
    def bag(self) -> str:
        """The bag's id: the name of its own folder."""
        return os.fsdecode(self.parcel.contents.top)

    def carry_out(self, notes: tuple[str, ...]) -> Received:
        """Unpack and check the bag, and keep it or set it aside."""
        now = self.clock.now()
        self._require_new(now)
        self._require_space()
        with ExitStack() as undo:
            shell = self.store.stage(self.bag)
            undo.callback(shutil.rmtree, shell, ignore_errors=True)
            report = self._unpacked(shell / self.bag)
            seals = self.judge(shell / self.bag) if self.judge else None
            undo.pop_all()
        if seals is not None:
            report = replace(
                report,
                ok=report.ok and seals.ok,
                findings=(*seals.findings, *report.findings),
            )
        keep = self._kept if report.ok else self._set_aside
        path = keep(shell, now, report)
        return Received(
            file=self.parcel.contents.file,
            bag=self.bag,
            path=path,
            is_kept=report.ok,
            report=report,
            seals=seals,
            digest=self.digest,
            notes=(*notes, *self.store.notes),
        )

    # --------------------------------------------------------------- before unpacking

    def _require_new(self, now: datetime) -> None:
        """Refuse a bag that is here, and another that has the name of one."""
        seals = {*_tagmanifests(self.parcel)}
        place = self.store.place(self.bag, self.job, now)
        for held in self.store.catalogue.bags():
            if seals & {*held.bag.tagmanifests}:
                raise AlreadyKeptError(
                    f"{self.parcel.contents.file}: this bag is kept already, as"
                    f" {held.bag.path}; nothing was unpacked"
                )
            if held.bag.id == self.bag:
                self._refuse_name(held.bag.path)
        if os.path.lexists(place):
            self._refuse_name(place)

    def _refuse_name(self, place: Path) -> None:
        raise AlreadyKeptError(
            f"{self.parcel.contents.file}: another bag of the name {self.bag} is kept"
            f" as {place}; nothing was unpacked. Ask its sender for another name"
        )

    def _require_space(self) -> None:
        wanted = self.parcel.contents.size
        free = shutil.disk_usage(self.store.root).free
        if wanted > free:
            raise StorageError(
                f"{self.store.root}: {self.parcel.contents.file} unpacks to"
                f" {wanted:,} bytes, {free:,} are free; nothing was unpacked, make room"
            )

    # ---------------------------------------------------------------------- unpacking

    def _unpacked(self, staged: Path) -> Report:
        """Unpack the bag, checking every byte on its way."""
        try:
            staged.mkdir()
            return unpacked(self.parcel, staged)
        except OSError as error:
            raise StorageError.at(staged, error) from error

    # ------------------------------------------------------------------ keep, or aside

    def _kept(self, shell: Path, now: datetime, _: Report) -> Path:
        bag = bags.read(shell / self.bag)
        place = self.store.accession(bag.path, bag, job=self.job, run="", started=now)
        self._record(Act.RECEIVE, place, bag=bag, outcome="success")
        self.store.discard(shell)
        return place

    def _set_aside(self, shell: Path, _: datetime, report: Report) -> Path:
        """Put a bag that is wrong in quarantine, and what is wrong beside it."""
        told = json.dumps(report_json(report), indent=2) + "\n"
        write_file(shell, FINDINGS, told.encode())
        sync_tree(shell)
        room = Room(self.store.root)
        place = self.store.root / room.set_aside(shell)
        errors = [one for one in report.findings if one.severity is Severity.ERROR]
        why = f"{len(errors)} errors, the first: {errors[0].code} {errors[0].path}"
        self._record(Act.QUARANTINE, place, detail=f"{self._came_as()}: {why.strip()}")
        self._record(Act.RECEIVE, place, outcome="failure")
        return place

    def _record(
        self,
        act: Act,
        place: Path,
        *,
        bag: Bag | None = None,
        outcome: str = "",
        detail: str = "",
    ) -> None:
        entry = Entry(
            act=act,
            at=self.clock.now(),
            bag=self.bag,
            job=self.job,
            path=place.relative_to(self.store.root).as_posix(),
            tagmanifests=bag.tagmanifests if bag else (),
            outcome=outcome,
            software=SOFTWARE,
            detail=detail or self._came_as(),
        )
        self.store.record(entry)

    def _came_as(self) -> str:
        """Say what the bag came as, for the log."""
        contents = self.parcel.contents
        form = contents.form or "folder"
        digest = f", {self.digest}" if self.digest else ""
        return f"{show(os.fsencode(contents.file.name))} ({form}{digest})"


def _tagmanifests(parcel: Parcel) -> tuple[Digest, ...]:
    """Tell a bag's identity without unpacking it."""
    found = []
    for one in parcel.entries():
        name = tagfiles.parse_manifest_name(os.fsdecode(one.path))
        if one.kind is Kind.FILE and name and name.is_tag and b"/" not in one.path:
            algorithm = tagfiles.HASHES.get(name.algorithm)
            if algorithm is not None:
                digester = Digester((algorithm,))
                for piece in parcel.pieces(one.path):
                    digester.update(piece)
                found.append(Digest(name.algorithm, digester.digests()[0].hex))
    return tuple(found)
