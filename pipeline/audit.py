"""Audit: what is wrong with the holdings, whichever part of them says so.

Bags, seals, custody log, catalogue, receipts and the copies that they tell of are held
against each other. What can be seen at once comes first: the log, bags that are gone,
bags that nobody logged; then the bags are read, those longest unchecked first. Every
check is logged before long, so that an audit may end at any time, by its budget or by
a hand, and the next one goes on where it ended. Nobody who writes to the archive is
kept waiting: the lock is taken to log, and for nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import coherence
from pipeline.balance import Audited, Mended, Scope, Troubled
from pipeline.clock import Clock
from pipeline.config import Timestamping
from pipeline.errors import (
    Exit,
    FixityError,
    PipelineError,
    StorageError,
)
from pipeline.handoff.target import Target, TransientError
from pipeline.holdings import checks, receipts
from pipeline.holdings.checks import Checked
from pipeline.holdings.room import Room
from pipeline.holdings.store import Store
from pipeline.holdings.survey import Survey
from pipeline.inspection import Standard, Task, inspected, processes_for
from pipeline.model import Finding, Receipt, Severity

BATCH = 1000  # bags that one record tells of
FULL = 5000  # findings that close a record before that
MINUTES = timedelta(minutes=5)  # after which one is closed, however short
COPY = "Muniment: a copy is what its receipt says"


class Ear(Protocol):
    """Whoever hears of an audit while it goes on."""

    def begun(self, chosen: int, kept: int, found: Sequence[Finding]) -> None:
        """Hear how many bags there are, and what is wrong with the archive itself."""

    def checked(self, one: Checked) -> None:
        """Hear what came of one bag, or of the copies that a receipt tells of."""


class Auditor(Struct, kw_only=True):
    """One audit of one archive."""

    store: Store
    clock: Clock
    scope: Scope
    ear: Ear
    authorities: tuple[Timestamping, ...] = ()
    target: Callable[[Receipt], Target | None] = lambda _receipt: None
    stops: Callable[[], bool] = lambda: False  # whether somebody asked for an end
    processes: int = 0  # 0: as many as pay
    mend: "Callable[[Checked, Survey], Mended] | None" = None
    _batch: list[Checked] = field(default_factory=list)
    _troubled: Troubled = field(default_factory=Troubled)
    _records: list[str] = field(default_factory=list)
    _exits: set[Exit] = field(default_factory=set)
    _unlogged: PipelineError | None = None
    _logged_at: float = 0.0
    _checked: int = 0
    _bytes: int = 0
    _wrong: int = 0
    _untrue: int = 0

    def carry_out(self) -> Audited:
        """Audit, and return what was found once it is logged.

        Raises StorageError where the log or the archive itself can't be read.
        """
        started, begun = self.clock.now(), self.clock.monotonic()
        self._logged_at = begun
        here = {self._place(bag): None for bag in Room(self.store.root).bags()}
        survey, log = Survey.of(self.store.root)  # after the bags: it is ahead of them
        found = (*log.findings, *coherence.findings(self.store, survey, here))
        found = tuple(sorted(found, key=lambda one: one.severity.value))
        chosen = self._chosen(survey, here)
        everything = len(here.keys() | set(survey.kept()))
        self.ear.begun(len(chosen), everything, found)
        standard = self._standard(started)
        for one in inspected(
            self._tasks(chosen, begun),
            standard,
            processes=self.processes or processes_for(len(chosen)),
        ):
            self._take(replace(one, at=self.clock.now()))
            self._checked += 1
            self._bytes += one.bytes
        asked = self._copies() if self.scope.copies else 0
        self._log()
        repaired = self._mended(survey, standard) if self.mend else ()
        self._log()
        self._weigh(found)
        return Audited(
            root=self.store.root,
            started=started,
            ended=self.clock.now(),
            scope=self.scope,
            kept=everything,
            chosen=len(chosen),
            checked=self._checked,
            bytes=self._bytes,
            wrong=self._wrong,
            untrue=self._untrue,
            log=log,
            findings=found,
            troubled=self._troubled,
            records=tuple(self._records),
            receipts=asked,
            repaired=repaired,
            unlogged=str(self._unlogged or ""),
            notes=self.store.notes,
            exits=tuple(sorted(self._exits)),
        )

    # ------------------------------------------------------------------------- choosing

    def _chosen(self, survey: Survey, here: dict[str, None]) -> list[Task]:
        """Order what is to be checked: what is plainly wrong, then the longest ago."""
        root = self.store.root
        kept = set(survey.kept())
        gone = sorted(path for path in kept - here.keys() if not (root / path).is_dir())
        strange = [path for path in here if path not in survey.bags]
        known = [path for path in here if path in survey.bags]
        last = self._last_checks()

        def age(path: str) -> tuple[int, str]:
            book = survey.bags[path]
            return max(last.get(book.bag, -1), book.line), path

        ordered = sorted(self.scope.sample(known), key=age)
        return [_task(path, survey) for path in (*gone, *strange, *ordered)]

    def _last_checks(self) -> dict[str, int]:
        try:
            catalogue = Store.reading(self.store.root)
        except PipelineError:  # which is told of elsewhere
            return {}
        try:
            return catalogue.last_checks()
        except PipelineError:
            return {}
        finally:
            catalogue.close()

    def _tasks(self, chosen: Iterable[Task], begun: float) -> Iterator[Task]:
        """Yield tasks until there are none, the time is spent, or an end is asked."""
        budget = self.scope.budget
        for task in chosen:
            if self.stops():
                self._exits.add(Exit.INTERRUPTED)
                return
            spent = self.clock.monotonic() - begun
            if budget is not None and spent >= budget.total_seconds():
                return
            yield task

    def _standard(self, at: datetime) -> Standard:
        return Standard(root=self.store.root, at=at, authorities=self.authorities)

    def _place(self, bag: Path) -> str:
        return bag.relative_to(self.store.root).as_posix()

    # ------------------------------------------------------------------------- copies

    def _copies(self) -> int:
        """Ask every target for what it acknowledged; return how many receipts told."""
        asked = 0
        for path in self.store.receipts.paths():
            if self.stops():
                self._exits.add(Exit.INTERRUPTED)
                break
            try:
                receipt = receipts.read(path).receipt
            except (FixityError, StorageError):
                continue  # told of with the archive
            found = self._asked(receipt)
            one = Checked(
                bag=receipt.bags[0].bag,
                path=self._place(path),
                at=self.clock.now(),
                files=len(receipt.received),
                bytes=sum(each.size for each in receipt.received),
                findings=found,
                target=receipt.target,
            )
            asked += 1
            self._take(one)
        return asked

    def _asked(self, receipt: Receipt) -> tuple[Finding, ...]:
        try:
            target = self.target(receipt)
            if target is None:
                why = f"no target {receipt.target} is configured; name it again"
                return (_unasked(why),)
            try:
                return target.verify(receipt)
            finally:
                target.close()
        except TransientError as error:
            self._exits.add(Exit.RETRY)
            return (_unasked(str(error)),)
        except PipelineError as error:
            return (_unasked(str(error)),)

    # ------------------------------------------------------------------ taking, logging

    def _take(self, one: Checked) -> None:
        """Take in one check: told, kept, and logged when there are enough."""
        if one.target:
            self._untrue += not one.ok
        else:
            self._wrong += not one.ok
        self._troubled.add(one)
        self.ear.checked(one)
        self._batch.append(one)
        is_full = sum(len(each.findings) for each in self._batch) >= FULL
        age = self.clock.monotonic() - self._logged_at
        if is_full or len(self._batch) >= BATCH or age > MINUTES.total_seconds():
            self._log()

    def _log(self) -> None:
        """Log the checks that are not logged yet, if the archive can be written."""
        if not self._batch:
            return
        self._logged_at = self.clock.monotonic()
        try:
            with self.store.lock("audit"):
                entry = self.store.checks.keep(self._batch, self.clock)
                self.store.record(entry)
                for one in self._batch:
                    if not one.ok:
                        self.store.record(checks.damage(one, self.clock.now()))
        except PipelineError as error:  # what is wrong is told all the same
            self._unlogged = error
            return
        self._records.append(entry.path)
        self._batch = []
        self._unlogged = None

    def _mended(self, survey: Survey, standard: Standard) -> tuple[Mended, ...]:
        """Bring back what is damaged, and check it again."""
        assert self.mend is not None
        done = []
        for one in tuple(self._troubled.wrong()):
            if one.target or one.path not in survey.bags or self.stops():
                continue
            mended = self.mend(one, survey)
            done.append(mended)
            if mended.is_mended:
                self._troubled.forget(one.path)
                task = _task(one.path, survey)
                (again,) = inspected([task], standard)
                self._wrong -= again.ok
                self._troubled.add(again)
                self._batch.append(replace(again, at=self.clock.now()))
        return tuple(done)

    def _weigh(self, found: Iterable[Finding]) -> None:
        if self._unlogged is not None:
            self._exits.add(self._unlogged.exit)
        is_wrong = any(one.severity is Severity.ERROR for one in found)
        if is_wrong or self._wrong or self._untrue:
            self._exits.add(Exit.FIXITY)


def _unasked(why: str) -> Finding:
    return Finding(
        code="copy-unasked",
        severity=Severity.WARNING,
        path="",
        message=f"the copy could not be checked: {why}",
        clause=COPY,
    )


def _task(path: str, survey: Survey) -> Task:
    book = survey.bags.get(path)
    if book is None:
        return Task(bag=path.rpartition("/")[2], path=path, is_logged=False)
    return Task(
        bag=book.bag, path=path, tagmanifests=book.tagmanifests, seals=book.seals
    )
