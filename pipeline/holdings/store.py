"""The store: stage, accession, find, recover.

A bag is made durable, then renamed into its place, then logged; only then is it said
to be kept. Whatever stops a run between two of these acts, ``recover`` finds the rest
and makes it whole: no kept bag is lost, no half bag is ever seen in its place, nothing
that was captured is deleted. The catalogue comes last, since it can be built again.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.disk import DISK, Disk, sync_folder, sync_tree
from pipeline.errors import FixityError, PipelineError, StorageError
from pipeline.fixity import PIECE, Digester
from pipeline.holdings import catalogue as index
from pipeline.holdings import receipts
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.checkpoints import Checkpoints, Stored
from pipeline.holdings.checks import Checks
from pipeline.holdings.custody import STILL_KEPT, Act, Entry, Log, Logged
from pipeline.holdings.database import DatabaseError
from pipeline.holdings.description import describe
from pipeline.holdings.journal import Begun, Journal, Step, journals
from pipeline.holdings.ledger import agreed
from pipeline.holdings.lock import Lock
from pipeline.holdings.receipts import Receipts, Sign
from pipeline.holdings.receipts import Stored as StoredReceipt
from pipeline.holdings.recovery import SOFTWARE, Recovery, clear, same
from pipeline.holdings.room import Room, name_of, told
from pipeline.model import Bag, Digest, Receipt

INDEX = "catalogue.sqlite"
TORN_VISIT = "not what the journal of its run tells of; its source is visited again"


class Store:
    """One archive folder. Made by ``Store.open``.

    What the file system refuses is a StorageError that names the path. ``notes`` tells,
    in sentences, what went wrong beside the work and lost nothing.
    """

    def __init__(self, root: Path, clock: Clock, disk: Disk = DISK) -> None:
        self.root = root
        self.notes: tuple[str, ...] = ()
        self._room = Room(root, disk)
        self.receipts = Receipts(root, disk)
        self.checks = Checks(root, disk)
        self.log = Log(self._room.own / "custody.jsonl", disk=disk)
        self.clock = self._clock = clock
        self._disk = disk
        self._lock = Lock(self._room.own / "lock")
        self._index_path = self._room.own / INDEX
        self._index: Catalogue | None = None
        self._unsettled: set[Path] = set()  # staged, and not yet sure to have a name

    @classmethod
    def open(cls, root: Path, clock: Clock, *, disk: Disk = DISK) -> "Store":
        """Open an archive, made where there is none."""
        store = cls(root.absolute(), clock, disk)
        store._room.furnish()
        return store

    @staticmethod
    def reading(root: Path) -> Catalogue:
        """Open an archive's catalogue for questions alone; nothing is written.

        Raises DatabaseError where it is to be built first.
        """
        return Catalogue.reading(Room(root).own / INDEX, root=root)

    def close(self) -> None:
        """Let go of the catalogue's file."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def bags(self) -> Iterator[Path]:
        """Yield every bag in its place, in order of job, year and name."""
        return self._room.bags()

    def place(self, bag: str, job: str, started: datetime) -> Path:
        """Tell where a bag of a job belongs. Raises UsageError for a name unfit."""
        return self._room.place(bag, job, started)

    @property
    def staging(self) -> Path:
        """Where bags are in the making."""
        return self._room.staging

    @property
    def catalogue(self) -> Catalogue:
        """The index of the archive, built anew where it is absent or damaged."""
        if self._index is None:
            self._index = self._opened()
        return self._index

    def rebuild(self) -> tuple[str, ...]:
        """Build the catalogue anew, from the bags and the log alone.

        Returns what could not be read, in sentences. Raises LockedError while another
        process is at work, FixityError where the log is damaged.
        """
        if not self._lock.is_held:
            with self.lock("catalogue rebuild"):
                return self.rebuild()
        self.close()
        return index.rebuild(
            self._index_path,
            root=self.root,
            bags=self.bags(),
            log=self.log.read(),
            acknowledged=self.receipts.paths(),
        )

    def _opened(self) -> Catalogue:
        try:
            if self._index_path.exists() or not any(self.bags()):
                return Catalogue.open(self._index_path, root=self.root)
            reason = f"{self._index_path}: the catalogue was not there"
        except DatabaseError as error:
            reason = str(error)
        remarks = self.rebuild()
        self._note(f"{reason} (it was built again just now)", *remarks)
        return Catalogue.open(self._index_path, root=self.root)

    # ------------------------------------------------------------------------ keeping

    @contextmanager
    def lock(self, holder: str) -> Iterator[None]:
        """Keep everyone else from writing; ``holder`` says what for.

        Raises LockedError, naming whoever is at work.
        """
        with self._lock.held(holder, since=self._clock.now()):
            yield

    def stage(self, bag: str) -> Path:
        """Make an empty folder for a bag in the making."""
        self._require_lock()
        folder = self._room.staging / name_of(bag)
        with told(folder):
            folder.mkdir()
        self._unsettled.add(folder)
        return folder

    def discard(self, staged: Path) -> None:
        """Remove a staging folder whose content stands in another bag by now."""
        self._require_lock()
        assert staged.parent == self._room.staging, "only what is staged is removed"
        with told(staged):
            shutil.rmtree(staged)

    def settle(self, staged: Path) -> None:
        """Make what is staged durable, where it is: a later run counts on it."""
        self._require_lock()
        sync_tree(staged, self._disk)
        if staged in self._unsettled:  # its own name, and those beside it
            sync_folder(staged.parent, self._disk)
            self._unsettled.clear()

    def begin(self, begun: Begun) -> Journal:
        """Begin the journal of a run."""
        self._require_lock()
        return Journal.begin(self._room.staging, begun, disk=self._disk)

    def journals(self) -> tuple[Journal, ...]:
        """Read the journals of the runs that were stopped."""
        return tuple(journals(self._room.staging, disk=self._disk))

    def finish(self, journal: Journal) -> None:
        """Clear away what a run left in staging, whose own bag is kept by now."""
        self._require_lock()
        clear(journal, self._room)

    def found(self, step: Step, begun: Begun) -> Path | None:
        """Find what a step of a journal tells of: kept, or still staged and whole.

        A bag that is staged and whole is accessioned; what is not as it is told goes to
        quarantine. Returns the bag's place, the staging folder of what makes no bag, or
        None where the source is to be visited again.
        """
        staged = self._room.staging / step.staged
        place = self.place(step.staged, begun.job, begun.started)
        if not step.file and place.is_dir():
            return place
        if not staged.is_dir():
            return None
        if step.file and _is_file(staged / step.file, step.digests):
            return staged
        if not step.file and (bag := _whole(staged, step.digests)) is not None:
            return self.accession(
                staged,
                bag,
                job=begun.job,
                run=begun.run,
                started=begun.started,
                also=step.entries,
            )
        aside = self.set_aside(staged, why=TORN_VISIT)
        self._note(f"{aside}: set aside: {TORN_VISIT}")
        return None

    def set_aside(self, path: Path, *, why: str, outcome: str = "") -> Path:
        """Move something to quarantine, where nothing is deleted, and log why."""
        self._require_lock()
        where = self._room.set_aside(path)
        entry = Entry(
            act=Act.QUARANTINE,
            at=self._clock.now(),
            bag=path.name,
            path=where,
            outcome=outcome,
            software=SOFTWARE,
            detail=why,
        )
        self.record(entry)
        return self.root / where

    def accession(
        self,
        staged: Path,
        bag: Bag,
        *,
        job: str,
        run: str,
        started: datetime,
        software: str = SOFTWARE,
        also: Iterable[Entry] = (),
    ) -> Path:
        """Keep a finished bag for good, and return its place once it is kept.

        ``also`` is what the log is told of it next: its seals. Raises StorageError; the
        bag is then still staged, or in its place and found by ``recover``.
        """
        self._require_lock()
        place = self.place(bag.id, job, started)
        self._ready()
        sync_tree(staged, self._disk)
        self._room.make(place.parent)
        self._room.move(staged, place)
        entry = Entry(
            act=Act.ACCESSION,
            at=self._clock.now(),
            bag=bag.id,
            job=job,
            run=run,
            path=self._room.relative(place),
            tagmanifests=bag.tagmanifests,
            software=software,
        )
        self.record(entry)
        for one in also:
            self.record(replace(one, at=self._clock.now()))
        self._take_in(place)
        return place

    def restore(self, staged: Path, entry: Entry, *, why: str) -> Path | None:
        """Put a whole bag from staging in the place of one that is damaged or gone.

        ``entry`` tells of it. The damaged one goes to quarantine, for the reason
        ``why``; its place there comes back. Raises StorageError; ``recover`` then finds
        one of them in the place, or puts it there.
        """
        self._require_lock()
        place, aside = self.root / entry.path, ""
        sync_tree(staged, self._disk)
        sync_folder(staged.parent, self._disk)  # from here on it can be found again
        self._room.make(place.parent)
        if os.path.lexists(place):
            aside = self._room.set_aside(place)
        self._room.move(staged, place)
        if aside:
            told = {"path": aside, "outcome": STILL_KEPT, "detail": why}
            gone = replace(entry, act=Act.QUARANTINE, tagmanifests=(), **told)
            self.record(gone)
        self.record(entry)
        self._take_in(place)
        return self.root / aside if aside else None

    def record(self, entry: Entry) -> int:
        """Write an act into the custody log and return the number of its line."""
        self._require_lock()
        n = self.log.append(entry)
        try:
            one = Logged(n=n, line=b"", entry=entry)
            self._note(*self.catalogue.note((one,)))
        except PipelineError as error:  # the log is what counts
            self._note(str(error))
        return n

    def checkpoint(self, keys: Path) -> Stored:
        """Sign the head of the log and keep the checkpoint; ``keys`` is a folder.

        Raises FixityError where the log is not the one that was signed before.
        """
        self._require_lock()
        agreed(self.root)
        stored = Checkpoints(self.root, self._disk)
        return stored.take(self.log.head(), keys=keys, clock=self._clock)

    def acknowledge(self, receipt: Receipt, *, job: str, sign: Sign) -> Path:
        """Keep a receipt beside the bags it is of, then log it; return its place.

        Raises ReplayError, StorageError.
        """
        self._require_lock()
        stored = self.receipts.keep(receipt, job=job, sign=sign)
        self._log_receipt(stored)
        self._acknowledge(stored.path)
        return stored.path

    def _log_receipt(self, stored: StoredReceipt) -> None:
        place = self._room.relative(stored.path)
        job, now = stored.path.parents[1].name, self._clock.now()
        self.record(receipts.line_of(stored, place=place, job=job, at=now))

    def _acknowledge(self, receipt: Path) -> None:
        try:
            self.catalogue.acknowledge(receipt)
        except PipelineError as error:  # the receipt is what counts
            self._note(str(error))

    def _ready(self) -> None:
        """Open the catalogue before there is a bag that it has to lack."""
        try:
            assert self.catalogue
        except PipelineError as error:
            self._note(str(error))

    def _take_in(self, bag: Path) -> None:
        try:
            self._note(*self.catalogue.add(bag))
        except PipelineError as error:  # the bag is what counts
            self._note(str(error))

    # --------------------------------------------------------------------- recovering

    def recover(self, abandoned: Collection[str] = ()) -> tuple[str, ...]:
        """Make whole what an earlier run left half done; say what was done.

        What a stopped run can go on with stays, unless its id is ``abandoned``. The
        catalogue is brought up to date.
        """
        self._require_lock()
        said = Recovery(
            room=self._room,
            log=self.log,
            receipts=self.receipts,
            checks=self.checks,
            record=self.record,
            clock=self._clock,
            disk=self._disk,
        ).carry_out(abandoned)
        said += self._bring_up()
        notes, self.notes = self.notes, ()
        return (*said, *notes)

    def _bring_up(self) -> tuple[str, ...]:
        """Give the catalogue what it missed; it may lag behind, or be another's."""
        try:
            if self._caught_up(self.catalogue):
                return ()
            reason = "the catalogue knew more than the custody log"
        except DatabaseError as error:
            reason = str(error)
        return (f"{reason} (it was built again just now)", *self.rebuild())

    def _caught_up(self, catalogue: Catalogue) -> bool:
        lines = self.log.count()
        if catalogue.noted() > lines:
            return False
        if catalogue.noted() < lines:
            self._note(*catalogue.note(self.log.read()))
        here = {self._room.relative(bag): bag for bag in self.bags()}
        held = {
            self._room.relative(one.bag.path): one.bag.id for one in catalogue.bags()
        }
        for path in held.keys() - here.keys():
            catalogue.remove(held[path])
        for path in sorted(here.keys() - held.keys()):
            try:
                self._note(*catalogue.add(here[path]))
            except FixityError as error:
                self._note(str(error))
        known = {one.path for one in catalogue.receipts()}
        for receipt in self.receipts.paths():
            if receipt not in known:
                self._acknowledge(receipt)
        return True

    def _note(self, *sentences: str) -> None:
        self.notes += sentences

    def _require_lock(self) -> None:
        assert self._lock.is_held, "the archive is written under its lock alone"


def _is_file(file: Path, digests: tuple[Digest, ...]) -> bool:
    """Tell whether a file is there with these digests."""
    digester = Digester(one.algorithm for one in digests)
    try:
        with file.open("rb") as opened:
            for piece in iter(lambda: opened.read(PIECE), b""):
                digester.update(piece)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.at(file, error) from error
    return set(digester.digests()) == set(digests)


def _whole(staged: Path, digests: tuple[Digest, ...]) -> Bag | None:
    """Read a bag in staging, if it is the one with these tag manifests, and whole."""
    return describe(staged).bag if same(staged, digests) else None
