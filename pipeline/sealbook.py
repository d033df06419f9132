"""The archive's view of seals: logged as they come, read back, judged with the bag.

Every seal and every token that was received has a line in the custody log, with its
digest, so that whatever is taken away again is missed. ``Judge`` adds to what
``validate`` found of a bag what its seals are worth here: by the roots that are pinned
in the configuration, and beside the log of the archive that keeps the bag.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import __version__
from pipeline.clock import stamp
from pipeline.errors import FixityError
from pipeline.holdings.custody import Act, Entry, Log
from pipeline.holdings.room import OWN
from pipeline.holdings.store import Store
from pipeline.holdings.verify import archive_of
from pipeline.model import Digest, Finding, Severity
from pipeline.packaging.members import RejectedError
from pipeline.packaging.parcel import Parcel, looked_into
from pipeline.packaging.validate import Report
from pipeline.packaging.walk import Kind
from pipeline.sealing import assurance, bracket, expiry, shelf
from pipeline.sealing.seal import Seal
from pipeline.sealing.statement import Statement, parse
from pipeline.sealing.token import Authority
from pipeline.sealing.worth import Assurance, Demand

SOFTWARE = f"Muniment {__version__}"


def record(store: Store, made: Seal, *, path: Path, job: str, run: str = "") -> None:
    """Write a seal and each token that came into the custody log."""
    place = path.relative_to(store.root).as_posix()
    for entry in lines(made, place=place, job=job, run=run, at=store.clock.now()):
        store.record(entry)


def lines(
    made: Seal, *, place: str, job: str, run: str, at: datetime
) -> tuple[Entry, ...]:
    """Tell a seal and each token that came, for the custody log.

    ``place`` is the bag's, from the archive down.
    """
    times = {one.token.authority: one.token.at for one in made.stamps}
    found = []
    for name, digest in made.files:
        if not name.endswith((".p7s", ".tsr")):
            continue  # the statement is bound by the signature, the rest by the token
        authority = name.split(".")[1] if name.endswith(".tsr") else ""
        said = (
            f"{authority} {stamp(times[authority])}" if authority else str(made.signer)
        )
        found.append(
            Entry(
                act=Act.SEAL if made.number == 1 else Act.RENEWAL,
                at=at,
                bag=place.rpartition("/")[2],
                job=job,
                run=run,
                path=f"{place}/{name}",
                outcome=str(made.state),
                software=SOFTWARE,
                detail=f"{digest} {said}",
            )
        )
    return tuple(found)


def logged(log: Log) -> dict[str, dict[str, Digest]]:
    """Read what the log says was added to bags, by path of the bag and name of file.

    Raises FixityError for a log that is damaged.
    """
    found: dict[str, dict[str, Digest]] = {}
    for one in log.read():
        entry = one.entry
        if entry.act in {Act.SEAL, Act.RENEWAL}:
            bag, _, name = entry.path.rpartition("/")
            try:
                digest = Digest.parse(entry.detail.partition(" ")[0])
            except ValueError:
                continue
            found.setdefault(bag, {})[name] = digest
    return found


def pending(bags: Iterable[Path]) -> tuple[Path, ...]:
    """Find the bags with a seal whose tokens have not all come."""
    return tuple(bag for bag in bags if any(_lacks(bag)))


def ending(bags: Iterable[Path], *, now: datetime) -> tuple[Path, ...]:
    """Find the bags whose seal stands on a certificate that ends within a year."""
    found = expiry.of_bags(bags, now=now)
    return tuple(dict.fromkeys(bag for one in found for bag in one.bags))


def _lacks(bag: Path) -> Iterable[str]:
    held = shelf.read(bag)
    for said in _statements(held):
        for one in said.authorities:
            if shelf.name_of(said.number, f"{one}.tsr") not in held.files:
                yield one


def _statements(held: shelf.Shelf) -> Iterable[Statement]:
    for number in held.numbers():
        try:
            yield parse(held.files.get(shelf.name_of(number, "json"), b""))
        except ValueError as error:
            raise FixityError(
                f"{held.path}: the statement of seal {number}: {error}; verify the bag"
            ) from error


class Judge(Struct, kw_only=True):
    """Bags judged by their seals, each archive's log read when it is first needed."""

    authorities: Sequence[Authority]
    demand: Demand
    now: datetime
    _logs: dict[Path, dict[str, dict[str, Digest]]] = field(default_factory=dict)

    def of(self, report: Report) -> tuple[Report, Assurance | None]:
        """Add to a report what is wrong with the seals of the bag."""
        if not report.path.is_dir():
            return self._in_one_file(report)
        found = assurance.judge(
            report.path,
            authorities=self.authorities,
            now=self.now,
            demand=self.demand,
            logged=self._logged(report.path.absolute()),
        )
        return _with(report, found.findings), found

    def _in_one_file(self, report: Report) -> tuple[Report, Assurance | None]:
        """Judge the seals of a bag in one file, which is not unpacked."""
        try:
            with looked_into(report.path, keeps=is_of_the_plan) as parcel:
                found = assurance.judge_in(
                    report.path,
                    parcel,
                    top_of(parcel),
                    authorities=self.authorities,
                    now=self.now,
                    demand=self.demand,
                )
        except RejectedError:  # the report says why
            return report, None
        if not found.seals and not found.findings:
            return report, None  # nobody said that there should be any
        return _with(report, found.findings), found

    def _logged(self, bag: Path) -> dict[str, Digest]:
        root = archive_of(bag)
        if root is None:
            return {}
        if root not in self._logs:
            try:
                self._logs[root] = logged(Log(root / OWN / "custody.jsonl"))
            except FixityError:  # what is wrong with the log, others tell
                self._logs[root] = {}
        return self._logs[root].get(bag.relative_to(root).as_posix(), {})


def is_of_the_plan(path: bytes) -> bool:
    """Tell which small files of the payload the seals of a bag are judged by."""
    return path.startswith(f"{bracket.FOLDER}/".encode())


def top_of(parcel: Parcel) -> tuple[str, ...]:
    """Name the files at the top of a bag, in order."""
    found = (one.path for one in parcel.entries() if one.kind is Kind.FILE)
    return tuple(sorted(os.fsdecode(path) for path in found if b"/" not in path))


def _with(report: Report, found: tuple[Finding, ...]) -> Report:
    is_sound = not any(one.severity is Severity.ERROR for one in found)
    return replace(
        report, ok=report.ok and is_sound, findings=(*found, *report.findings)
    )
