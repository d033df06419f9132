"""Repair: a bag that is damaged or gone, brought back from a copy that is proven.

A copy may lie anywhere and be anybody's: it is brought to staging, validated whole,
and has to be the very bag that the log names, by the digests of its tag manifests. Only
then does the damaged one go to quarantine, where nothing is ever deleted, and the good
one to its place. Whatever stops this, the store's recovery finds one or the other.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from pipeline.balance import Mended
from pipeline.clock import Clock
from pipeline.config import Timestamping
from pipeline.disk import small_file
from pipeline.errors import PipelineError, StorageError, UsageError
from pipeline.fixity import digest_of, write_file
from pipeline.handoff.target import Target
from pipeline.handoff.unpacking import unpacked
from pipeline.holdings import receipts
from pipeline.holdings.checks import Checked
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.recovery import REPLACED, SOFTWARE, problem
from pipeline.holdings.room import Room
from pipeline.holdings.store import Store
from pipeline.holdings.survey import Logbook, Survey
from pipeline.inspection import Inspector, Standard, Task
from pipeline.model import Receipt
from pipeline.packaging import bag as bags
from pipeline.packaging.parcel import looked_into
from pipeline.sealing.shelf import LARGEST

NO_COPY = "no copy of it was found; name a folder or a file that has one with --from"
ENDINGS = (".tar", ".tar.gz", ".tgz", ".zip")
SEAL = "seal-"


class Origin(Protocol):
    """Where copies may be had."""

    @property
    def name(self) -> str:
        """What it is called."""

    def bring(self, bag: str, path: str, store: Store) -> Path | None:
        """Bring a copy into staging; None where there is none.

        ``path`` is the bag's in the archive. Raises PipelineError where there is one
        that can't be had; then nothing is left in staging.
        """


class Given(Struct, frozen=True, kw_only=True):
    """Copies below a folder that a person named, or one in a file."""

    place: Path

    @property
    def name(self) -> str:
        """What the person named."""
        return str(self.place)

    def bring(self, bag: str, path: str, store: Store) -> Path | None:
        """Unpack the first that is there: the bag itself, a folder, or in one file."""
        for one in self._candidates(bag, path):
            if one.exists():
                return _unpacked(one, bag, store)
        return None

    def _candidates(self, bag: str, path: str) -> Iterator[Path]:
        if not self.place.is_dir() or self.place.name == bag:
            yield self.place
            return
        yield self.place / bag
        yield self.place / path  # a copy of a whole archive
        yield from (self.place / f"{bag}{ending}" for ending in ENDINGS)


class Deposited(Struct, frozen=True, kw_only=True):
    """Copies that targets acknowledged and give back, the newest first."""

    target: Callable[[Receipt], Target | None]

    @property
    def name(self) -> str:
        """What they are together."""
        return "deposits"

    def bring(self, bag: str, path: str, store: Store) -> Path | None:
        """Ask one target after the other for the bag."""
        del path
        refusals = []
        for receipt in _of_bag(bag, store):
            try:
                return self._fetched(receipt, bag, store)
            except PipelineError as error:
                refusals.append(f"{receipt.target}: {error}")
        if refusals:
            raise StorageError("; ".join(refusals))
        return None

    def _fetched(self, receipt: Receipt, bag: str, store: Store) -> Path:
        target = self.target(receipt)
        if target is None:
            raise UsageError("no target of this name is configured")
        try:
            return target.fetch(receipt, bag, store.staging)
        finally:
            target.close()


class Mender(Struct, frozen=True, kw_only=True):
    """Mends the bags of one archive from whatever copies there are."""

    store: Store
    clock: Clock
    origins: tuple[Origin, ...]
    authorities: tuple[Timestamping, ...] = ()

    def mend(self, one: Checked, survey: Survey) -> Mended:
        """Bring back one bag, or say why it can't be."""
        book = survey.bags[one.path]
        mended = Mended(bag=book.bag, path=one.path, findings=one.errors())
        try:
            with self.store.lock("audit --repair"):
                return self._mend(one, book, mended)
        except PipelineError as error:
            return _failed(mended, str(error))

    def _mend(self, one: Checked, book: Logbook, mended: Mended) -> Mended:
        reasons = []
        for origin in self.origins:
            try:
                staged = origin.bring(book.bag, one.path, self.store)
            except PipelineError as error:
                reasons.append(f"{origin.name}: {error}")
                continue
            if staged is None:
                continue
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, staged, ignore_errors=True)
                self._carry_seals(self.store.root / one.path, staged, book)
                if why := self._unfit(staged, one, book):
                    reasons.append(f"{origin.name}: {why}")
                    continue
                undo.pop_all()
            entry = self._entry(one, book, origin.name)
            why = f"{REPLACED}: {one.errors()[0].code} {one.errors()[0].path}".strip()
            aside = self.store.restore(staged, entry, why=why)
            where = Room(self.store.root).relative(aside) if aside else ""
            return Mended(
                bag=book.bag,
                path=one.path,
                copy=origin.name,
                aside=where,
                findings=mended.findings,
            )
        return _failed(mended, "; ".join(reasons) or NO_COPY)

    def _entry(self, one: Checked, book: Logbook, name: str) -> Entry:
        return Entry(
            act=Act.RECOVERY,
            at=self.clock.now(),
            bag=book.bag,
            job=one.path.partition("/")[0],
            run=book.run,
            path=one.path,
            tagmanifests=book.tagmanifests,
            outcome="success",
            software=SOFTWARE,
            detail=f"restored from {name}; every digest was checked"[:1000],
        )

    def _unfit(self, staged: Path, one: Checked, book: Logbook) -> str:
        """Say why a copy can't take the place; empty where it can."""
        if wrong := problem(staged):
            return f"the copy is {wrong}"
        found = {*bags.read(staged).tagmanifests}
        if not book.tagmanifests or found != {*book.tagmanifests}:
            return "the copy is another bag than the one that the log has"
        if all(each.code.startswith(SEAL) for each in one.errors()):
            return self._seals(staged, book)
        return ""

    def _seals(self, staged: Path, book: Logbook) -> str:
        """Say what is wrong with the seals of a copy that would bring nothing else."""
        standard = Standard(
            root=staged.parent, at=self.clock.now(), authorities=self.authorities
        )
        task = Task(
            bag=book.bag,
            path=staged.name,
            tagmanifests=book.tagmanifests,
            seals=book.seals,
        )
        errors = Inspector(standard).inspect(task).errors()
        return f"the seals of the copy are no better: {errors[0].code}" * bool(errors)

    def _carry_seals(self, damaged: Path, staged: Path, book: Logbook) -> None:
        """Bring over seals that are younger than the copy, where they are sound."""
        if not damaged.is_dir():
            return
        for name in sorted(one.name for one in damaged.iterdir()):
            if not name.startswith(SEAL) or os.path.lexists(staged / name):
                continue
            with suppress(OSError):
                data = small_file(damaged / name, LARGEST)
                known = book.seals.get(name)
                if known is None or digest_of(data, known.algorithm) == known:
                    write_file(staged, name, data)


def _failed(mended: Mended, reason: str) -> Mended:
    return Mended(
        bag=mended.bag, path=mended.path, findings=mended.findings, reason=reason
    )


def _of_bag(bag: str, store: Store) -> Iterable[Receipt]:
    """Find the receipts that tell of a bag and are as they were signed."""
    found = []
    for path in store.receipts.paths():
        with suppress(PipelineError):
            receipt = receipts.read(path).receipt
            receipts.signer_of(path)
            if any(one.bag == bag for one in receipt.bags):
                found.append(receipt)
    return sorted(found, key=lambda one: one.at, reverse=True)


def _unpacked(place: Path, bag: str, store: Store) -> Path | None:
    """Unpack a copy into staging, judged as a stranger's is."""
    with looked_into(place, twins=False, deep=False) as parcel:
        if os.fsdecode(parcel.contents.top) != bag:
            return None
        staged = store.stage(bag)
        try:
            unpacked(parcel, staged)
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            raise StorageError.at(staged, error) from error
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    return staged
