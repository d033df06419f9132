"""The store: stage, accession, find, recover.

A bag is made durable, then renamed into its place, then logged; only then is it said
to be kept. Whatever stops a run between two of these acts, ``recover`` finds the rest
and makes it whole: no kept bag is lost, no half bag is ever seen in its place, nothing
that was captured is deleted. The catalogue comes last, since it can be built again.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import __version__
from pipeline.clock import Clock
from pipeline.disk import DISK, Disk, sync_folder, sync_tree
from pipeline.errors import FixityError, PipelineError, StorageError
from pipeline.fixity import PIECE, Digester
from pipeline.holdings import catalogue as index
from pipeline.holdings import receipts
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.checkpoints import Checkpoints, Stored
from pipeline.holdings.custody import Act, Entry, Log, Logged
from pipeline.holdings.database import DatabaseError
from pipeline.holdings.description import describe
from pipeline.holdings.journal import Begun, Journal, Step, journals
from pipeline.holdings.ledger import agreed
from pipeline.holdings.lock import Lock
from pipeline.holdings.receipts import Receipts, Sign
from pipeline.holdings.receipts import Stored as StoredReceipt
from pipeline.holdings.room import Room, entries, name_of, told
from pipeline.model import Bag, Digest, Level, Receipt, Severity
from pipeline.packaging.validate import validate

SOFTWARE = f"Muniment {__version__}"
INDEX = "catalogue.sqlite"
ENOUGH = 5  # findings that are told of a broken bag
LEFT_OVER = "left in staging by a run that did not finish"
TORN = "the torn end of the custody log"
TORN_VISIT = "not what the journal of its run tells of; its source is visited again"
FOUND = "in quarantine without a line in the log"
WHOLE = "stood in its place without a line in the log; every digest was checked"


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
        for step in journal.steps:
            staged = self._room.staging / step.staged
            if step.file and staged.is_dir():  # it stands in the run's own bag
                self.discard(staged)
        with told(journal.path):
            journal.path.unlink()

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
        known = _Known(aside={self._room.set_aside(staged): TORN_VISIT})
        known.quarantined.update(one.path for one in self._quarantined())
        self._note(*self._log_quarantine(known))
        return None

    def _quarantined(self) -> Iterator[Entry]:
        logged = (one.entry for one in self.log.read())
        return (entry for entry in logged if entry.act is Act.QUARANTINE)

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

    def record(self, entry: Entry) -> int:
        """Write an act into the custody log and return the number of its line."""
        self._require_lock()
        n = self.log.append(entry)
        try:
            self.catalogue.note((Logged(n=n, line=b"", entry=entry),))
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

        A torn line of the log, leftovers in staging and broken bags go to quarantine,
        but what a stopped run can go on with stays, unless its id is ``abandoned``.
        A whole bag that is not in the log is logged. A bag that is in the log and not
        in its place can only be told of. The catalogue is brought up to date.
        """
        self._require_lock()
        self.log.cut_torn_tail(self._room.quarantine)
        self.log.sync()
        known = _Known.of(self.log.read())
        said = self._see_to_bags(known)
        self._see_to_staging(known, abandoned)
        said += self._log_quarantine(known)
        said += self._see_to_receipts(known)
        said += self._missing(known)
        said += self._bring_up()
        notes, self.notes = self.notes, ()
        return (*said, *notes)

    def _see_to_staging(self, known: "_Known", abandoned: Collection[str]) -> None:
        """Set aside what no run can go on with."""
        spared: set[Path] = set()
        for journal in self.journals():
            begun = journal.begun
            self._log_late(journal, known)
            if self.place(begun.run, begun.job, begun.started).is_dir():
                self.finish(journal)
            elif begun.run not in abandoned:
                spared.add(journal.path)
                spared |= {self._room.staging / step.staged for step in journal.steps}
        for path in entries(self._room.staging):
            if path not in spared:
                known.aside[self._room.set_aside(path)] = LEFT_OVER

    def _log_late(self, journal: Journal, known: "_Known") -> None:
        """Log what a run that died was about to log of a bag that is kept."""
        for step in journal.steps:
            for one in step.entries:
                if step.staged in known.placed and told_by(one) not in known.told:
                    self.record(replace(one, at=self._clock.now()))

    def _see_to_bags(self, known: "_Known") -> list[str]:
        """Log or set aside every bag that has no line."""
        said = []
        for bag in tuple(self.bags()):
            place = self._room.relative(bag)
            if place in known.paths:
                continue
            if problem := _problem(bag):
                known.aside[self._room.set_aside(bag)] = f"{place}: {problem}"
            else:
                self._recovered(bag)
                known.placed[bag.name] = place
                said.append(f"{bag}: had no line in the log; it is whole, and logged")
        return said

    def _recovered(self, bag: Path) -> None:
        """Log a whole bag that has no line, once it is sure to be on disk."""
        sync_tree(bag, self._disk)
        for folder in (bag.parent, bag.parent.parent, self.root):
            sync_folder(folder, self._disk)
        described = describe(bag)
        entry = Entry(
            act=Act.RECOVERY,
            at=self._clock.now(),
            bag=bag.name,
            job=bag.parent.parent.name,
            run=described.run,
            path=self._room.relative(bag),
            tagmanifests=described.bag.tagmanifests,
            outcome="success",
            software=SOFTWARE,
            detail=WHOLE,
        )
        self.record(entry)

    def _log_quarantine(self, known: "_Known") -> Iterator[str]:
        """Log what lies in quarantine without a line, whichever run put it there."""
        for path in entries(self._room.quarantine):
            where = self._room.relative(path)
            if where in known.quarantined:
                continue
            reason = known.aside.get(where, TORN if path.is_file() else FOUND)
            entry = Entry(
                act=Act.QUARANTINE,
                at=self._clock.now(),
                bag="" if path.is_file() else path.name.partition("~")[0],
                path=where,
                software=SOFTWARE,
                detail=reason,
            )
            self.record(entry)
            yield f"{path}: set aside: {reason}"

    def _see_to_receipts(self, known: "_Known") -> Iterator[str]:
        """Log a receipt that was kept and not logged, if its signature fits."""
        for path in self.receipts.paths():
            if self._room.relative(path) in known.receipts:
                continue
            try:
                stored = receipts.read(path)
                receipts.signer_of(path)
            except PipelineError as error:
                yield str(error)
                continue
            self._log_receipt(stored)
            yield f"{path}: had no line in the log; it is signed, and logged"

    def _missing(self, known: "_Known") -> Iterator[str]:
        for bag, path in sorted(known.placed.items()):
            if not (self.root / path).is_dir():
                yield (
                    f"{self.root / path}: the custody log says that {bag} is kept here,"
                    " and it is not; bring it back from a copy"
                )

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
            catalogue.note(self.log.read())
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


class _Known(Struct, frozen=True, kw_only=True):
    """What the custody log says of where things are, and what recovery set aside."""

    paths: set[str] = field(default_factory=set)  # where a bag was ever put
    placed: dict[str, str] = field(default_factory=dict)  # where a bag is, by its id
    quarantined: set[str] = field(default_factory=set)
    aside: dict[str, str] = field(default_factory=dict)  # why, by place in quarantine
    told: set[tuple[str, ...]] = field(default_factory=set)  # of seals
    receipts: set[str] = field(default_factory=set)  # by place

    @classmethod
    def of(cls, lines: Iterable[Logged]) -> "_Known":
        known = cls()
        for entry in (logged.entry for logged in lines):
            if entry.act in {Act.ACCESSION, Act.RECOVERY}:
                known.paths.add(entry.path)
                known.placed[entry.bag] = entry.path
            elif entry.act is Act.QUARANTINE:
                known.quarantined.add(entry.path)
                known.placed.pop(entry.bag, None)
            elif entry.act in {Act.SEAL, Act.RENEWAL}:
                known.told.add(told_by(entry))
            elif entry.act is Act.RECEIPT:
                known.receipts.add(entry.path)
        return known


def told_by(entry: Entry) -> tuple[str, ...]:
    """Tell a line on a seal from every other, whenever it was written."""
    return (entry.act, entry.path, entry.detail)


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
    if _problem(staged):
        return None
    bag = describe(staged).bag
    return bag if set(bag.tagmanifests) == set(digests) else None


def _problem(bag: Path) -> str:
    """Tell what is wrong with a bag, every digest checked; empty where it is whole."""
    report = validate(bag, level=Level.FULL)
    errors = [one for one in report.findings if one.severity is Severity.ERROR]
    if not errors:
        return ""
    named = (f"{one.path}: {one.message}".removeprefix(": ") for one in errors[:ENOUGH])
    more = f"; and {len(errors) - ENOUGH} more" if len(errors) > ENOUGH else ""
    return f"not a whole bag: {'; '.join(named)}{more}"
