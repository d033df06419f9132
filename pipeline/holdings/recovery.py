"""Recovery: what an earlier run left half done, made whole under the archive's lock.

A torn line of the log, leftovers in staging and broken bags without a line go to
quarantine; a whole bag without a line is logged. A repair that died is finished: a
bag that is gone from its place, and stands in staging whole and as the log has it, is
put back. A bag that is in the log and nowhere here can only be told of. Nothing is
deleted; the catalogue is left to ``store``.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import __version__
from pipeline.clock import Clock
from pipeline.disk import Disk, sync_folder, sync_tree
from pipeline.errors import FixityError, PipelineError
from pipeline.holdings import receipts
from pipeline.holdings.checks import Checks, is_record
from pipeline.holdings.custody import STILL_KEPT, Act, Entry, Log, Logged
from pipeline.holdings.description import describe
from pipeline.holdings.journal import Journal, journals
from pipeline.holdings.receipts import Receipts
from pipeline.holdings.room import Room, entries, told
from pipeline.model import Digest, Level, Severity
from pipeline.packaging.validate import validate

SOFTWARE = f"Muniment {__version__}"
ENOUGH = 5  # findings that are told of a broken bag
LEFT_OVER = "left in staging by a run that did not finish"
TORN = "the torn end of the custody log"
FOUND = "in quarantine without a line in the log"
WHOLE = "stood in its place without a line in the log; every digest was checked"
RESTORED = "put back by a repair that had not finished; every digest was checked"
REPLACED = "damaged, and replaced by a copy"  # so begins why a bag was set aside


class Recovery(Struct, frozen=True, kw_only=True):
    """One recovery of one archive; ``record`` writes a line of its log."""

    room: Room
    log: Log
    receipts: Receipts
    checks: Checks
    record: Callable[[Entry], int]
    clock: Clock
    disk: Disk

    def carry_out(self, abandoned: Collection[str] = ()) -> tuple[str, ...]:
        """Make whole what is half done, and say what was done, in sentences.

        Raises StorageError, and FixityError for a log that is damaged for good.
        """
        self.log.cut_torn_tail(self.room.quarantine)
        self.log.sync()
        known = Known.of(self.log.read())
        stopped = tuple(journals(self.room.staging, disk=self.disk))
        said = [*self._put_back(known, stopped)]
        said += self._see_to_bags(known)
        self._see_to_staging(known, stopped, abandoned)
        said += self._log_quarantine(known)
        said += self._see_to_replaced(known)
        said += self._see_to_receipts(known)
        self._see_to_checks(known)
        said += self._missing(known)
        return tuple(said)

    # ---------------------------------------------------------------------- in staging

    def _put_back(self, known: "Known", stopped: Iterable[Journal]) -> Iterator[str]:
        """Finish repairs that died between the damaged bag's going and the other's."""
        awaited = {step.staged for one in stopped for step in one.steps}
        for staged in entries(self.room.staging):
            place = known.last.get(staged.name)
            if place is None or staged.name in awaited or not staged.is_dir():
                continue
            if (self.room.root / place).is_dir() or not same(
                staged, known.digests[place]
            ):
                continue
            sync_tree(staged, self.disk)
            self.room.make((self.room.root / place).parent)
            self.room.move(staged, self.room.root / place)
            self._kept(self.room.root / place, RESTORED)
            known.placed[staged.name] = place
            known.replaced.discard(staged.name)
            yield f"{self.room.root / place}: put back by a repair that had not ended"

    def _see_to_staging(
        self, known: "Known", stopped: Iterable[Journal], abandoned: Collection[str]
    ) -> None:
        """Set aside what no run can go on with."""
        spared: set[Path] = set()
        for journal in stopped:
            begun = journal.begun
            self._log_late(journal, known)
            if self.room.place(begun.run, begun.job, begun.started).is_dir():
                clear(journal, self.room)
            elif begun.run not in abandoned:
                spared.add(journal.path)
                spared |= {self.room.staging / step.staged for step in journal.steps}
        for path in entries(self.room.staging):
            if path not in spared:
                known.aside[self.room.set_aside(path)] = LEFT_OVER

    def _log_late(self, journal: Journal, known: "Known") -> None:
        """Log what a run that died was about to log of a bag that is kept."""
        for step in journal.steps:
            for one in step.entries:
                if step.staged in known.placed and told_by(one) not in known.told:
                    self.record(replace(one, at=self.clock.now()))

    # ------------------------------------------------------------------ in their place

    def _see_to_bags(self, known: "Known") -> Iterator[str]:
        """Log or set aside every bag that has no line."""
        for bag in tuple(self.room.bags()):
            place = self.room.relative(bag)
            if place in known.digests:
                continue
            if wrong := problem(bag):
                known.aside[self.room.set_aside(bag)] = f"{place}: {wrong}"
                continue
            sync_tree(bag, self.disk)
            for folder in (bag.parent, bag.parent.parent, self.room.root):
                sync_folder(folder, self.disk)
            self._kept(bag, WHOLE)
            known.placed[bag.name] = place
            yield f"{bag}: had no line in the log; it is whole, and logged"

    def _kept(self, bag: Path, how: str) -> None:
        """Log a whole bag that is sure to be on disk."""
        described = describe(bag)
        entry = Entry(
            act=Act.RECOVERY,
            at=self.clock.now(),
            bag=bag.name,
            job=bag.parent.parent.name,
            run=described.run,
            path=self.room.relative(bag),
            tagmanifests=described.bag.tagmanifests,
            outcome="success",
            software=SOFTWARE,
            detail=how,
        )
        self.record(entry)

    def _missing(self, known: "Known") -> Iterator[str]:
        for bag, path in sorted(known.placed.items()):
            if not (self.room.root / path).is_dir():
                yield (
                    f"{self.room.root / path}: the custody log says that {bag} is kept"
                    " here, and it is not; bring it back from a copy"
                )

    # ----------------------------------------------------------------------- set aside

    def _log_quarantine(self, known: "Known") -> Iterator[str]:
        """Log what lies in quarantine without a line, whichever run put it there."""
        for path in entries(self.room.quarantine):
            where = self.room.relative(path)
            if where in known.quarantined:
                continue
            bag = "" if path.is_file() else path.name.partition("~")[0]
            stands = bag in known.last and (self.room.root / known.last[bag]).is_dir()
            reason = known.aside.get(where, TORN if path.is_file() else FOUND)
            entry = Entry(
                act=Act.QUARANTINE,
                at=self.clock.now(),
                bag=bag,
                path=where,
                outcome=STILL_KEPT if stands else "",
                software=SOFTWARE,
                detail=reason,
            )
            self.record(entry)
            if not stands:
                known.placed.pop(bag, None)
            elif reason == FOUND:
                known.replaced.add(bag)
            yield f"{path}: set aside: {reason}"

    def _see_to_replaced(self, known: "Known") -> Iterator[str]:
        """Log a bag that a repair had put in its place, and not yet logged."""
        for bag in sorted(known.replaced):
            place = known.last[bag]
            if same(self.room.root / place, known.digests[place]):
                self._kept(self.room.root / place, RESTORED)
                yield f"{self.room.root / place}: {RESTORED}"

    # ------------------------------------------------------------ receipts, and checks

    def _see_to_checks(self, known: "Known") -> None:
        """Log a record of fixity checks that was kept and not logged."""
        for path in self.checks.paths():
            if self.room.relative(path) not in known.checks:
                with suppress(FixityError):  # none of ours; it counts for nothing
                    self.record(self.checks.entry(path, self.clock))

    def _see_to_receipts(self, known: "Known") -> Iterator[str]:
        """Log a receipt that was kept and not logged, if its signature fits."""
        for path in self.receipts.paths():
            place = self.room.relative(path)
            if place in known.receipts:
                continue
            try:
                stored = receipts.read(path)
                receipts.signer_of(path)
            except PipelineError as error:
                yield str(error)
                continue
            job = path.parent.parent.name
            now = self.clock.now()
            self.record(receipts.line_of(stored, place=place, job=job, at=now))
            yield f"{path}: had no line in the log; it is signed, and logged"


class Known(Struct, frozen=True, kw_only=True):
    """What the custody log says of where things are, and what recovery set aside."""

    digests: dict[str, tuple[Digest, ...]] = field(default_factory=dict)  # by path,
    last: dict[str, str] = field(default_factory=dict)  # where a bag was put last
    placed: dict[str, str] = field(default_factory=dict)  # where a bag is, by its id
    quarantined: set[str] = field(default_factory=set)
    aside: dict[str, str] = field(default_factory=dict)  # why, by place in quarantine
    receipts: set[str] = field(default_factory=set)  # by place
    checks: set[str] = field(default_factory=set)  # records of them, by place
    replaced: set[str] = field(default_factory=set)  # by copies that nobody logged
    told: set[tuple[str, ...]] = field(default_factory=set)  # of seals, deposits

    @classmethod
    def of(cls, lines: Iterable[Logged]) -> "Known":
        """Read the lines of a log."""
        known = cls()
        for entry in (logged.entry for logged in lines):
            if entry.act in {Act.ACCESSION, Act.RECOVERY}:
                known.digests[entry.path] = entry.tagmanifests
                known.last[entry.bag] = known.placed[entry.bag] = entry.path
                known.replaced.discard(entry.bag)
            elif entry.act is Act.QUARANTINE:
                known.quarantined.add(entry.path)
                if entry.outcome != STILL_KEPT:
                    known.placed.pop(entry.bag, None)
                elif entry.detail.startswith(REPLACED) and entry.bag in known.last:
                    known.replaced.add(entry.bag)
            elif entry.act in {Act.SEAL, Act.RENEWAL, Act.DEPOSIT}:
                known.told.add(told_by(entry))
            elif entry.act is Act.RECEIPT:
                known.receipts.add(entry.path)
            elif is_record(entry):
                known.checks.add(entry.path)
        return known


def told_by(entry: Entry) -> tuple[str, ...]:
    """Tell a line on a seal or a deposit from every other, whenever it was written."""
    return (entry.act, entry.path, entry.detail)


def clear(journal: Journal, room: Room) -> None:
    """Clear away what a run left in staging, whose own bag is kept by now."""
    for step in journal.steps:
        staged = room.staging / step.staged
        if step.file and staged.is_dir():  # it stands in the run's own bag
            with told(staged):
                shutil.rmtree(staged)
    with told(journal.path):
        journal.path.unlink()


def same(bag: Path, digests: tuple[Digest, ...]) -> bool:
    """Tell whether a bag is the one with these tag manifests, and whole."""
    if problem(bag):
        return False
    return bool(digests) and set(describe(bag).bag.tagmanifests) == set(digests)


def problem(bag: Path) -> str:
    """Tell what is wrong with a bag, every digest checked; empty where it is whole."""
    report = validate(bag, level=Level.FULL)
    errors = [one for one in report.findings if one.severity is Severity.ERROR]
    if not errors:
        return ""
    named = (f"{one.path}: {one.message}".removeprefix(": ") for one in errors[:ENOUGH])
    more = f"; and {len(errors) - ENOUGH} more" if len(errors) > ENOUGH else ""
    return f"not a whole bag: {'; '.join(named)}{more}"
