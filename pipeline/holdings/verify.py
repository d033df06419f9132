"""A bag with what the archive knows of it: validate, composed with the custody log.

``Verification.of`` takes what ``validate`` found of a bag and adds what stands against
it in the log of the archive that keeps it; a bag that no archive keeps is left as it
is. Seals are judged beside it and their findings are added in the same way. A log is
read once, however many bags are asked about.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.fixity import Digester
from pipeline.holdings.ledger import Standing, finding, standing_of, unlogged
from pipeline.holdings.room import OWN, YEAR
from pipeline.model import Digest, Finding, Level, Severity
from pipeline.packaging.validate import Report

PIECE = 1 << 20


class Verification(Struct):
    """Bags judged beside their archives, each log read when it is first asked for."""

    _logs: dict[Path, tuple[Standing, tuple[Finding, ...]]] = field(
        default_factory=dict
    )

    def of(self, report: Report) -> Report:
        """Add to a report what the custody log has against the bag."""
        bag = report.path.absolute()
        root = archive_of(bag)
        if root is None:
            return report
        standing, damage = self._log(root)
        path = bag.relative_to(root).as_posix()
        found = tuple(against(bag, path, standing.kept.get(path)))
        if damage:
            found += (_unreadable(damage),)
        return _with(report, found)

    def missing(self, folder: Path, *, level: Level) -> Iterator[Report]:
        """Yield a report on each bag that should stand in a folder and is not there."""
        asked = folder.absolute()
        if archive_of(asked):  # a bag, and there
            return
        for root in (asked, *asked.parents):
            if (root / OWN / "custody.jsonl").is_file():
                for path in self._log(root)[0].missing(root, below=asked):
                    gone = finding(
                        "ledger-missing-bag",
                        "",
                        f"the log says that {path} is kept, and it is not there; "
                        "bring it back from a copy",
                    )
                    report = Report(path=root / path, level=level)
                    yield replace(report, findings=(gone,))

    def _log(self, root: Path) -> tuple[Standing, tuple[Finding, ...]]:
        if root not in self._logs:
            self._logs[root] = standing_of(root)
        return self._logs[root]


def beside_logs(
    reports: Iterable[Report], asked: Iterable[Path], *, level: Level
) -> list[Report]:
    """Judge bags beside their logs; last come those that are gone from where one asked.

    Raises StorageError where a log can't be read.
    """
    archives = Verification()
    judged = [archives.of(one) for one in reports]
    for folder in asked:
        judged += archives.missing(folder, level=level)
    return judged


def against_logs(bags: Iterable[Path]) -> Iterator[tuple[Path, Finding]]:
    """Tell what the logs have against bags of archives, however valid the bags are.

    Raises StorageError where a log can't be read.
    """
    archives = Verification()
    for bag in bags:
        for one in archives.of(Report(path=bag, level=Level.OXUM)).findings:
            if one.severity is Severity.ERROR:
                yield bag, one


def archive_of(bag: Path) -> Path | None:
    """Find the archive that a bag stands in, at its place; None for any other bag."""
    if len(bag.parents) < 3 or not YEAR.fullmatch(bag.parent.name):  # noqa: PLR2004
        return None
    root = bag.parents[2]
    is_kept = bag.is_dir() and (root / OWN / "custody.jsonl").is_file()
    return root if is_kept else None


def _with(report: Report, found: tuple[Finding, ...]) -> Report:
    is_sound = not any(one.severity is Severity.ERROR for one in found)
    return replace(
        report, ok=report.ok and is_sound, findings=(*found, *report.findings)
    )


def _unreadable(damage: tuple[Finding, ...]) -> Finding:
    first = damage[0]
    message = f"{first.path}: {first.message}; `muniment log verify` tells all of it"
    return finding(first.code, "", message)


def against(
    bag: Path, path: str, logged: tuple[Digest, ...] | None
) -> Iterator[Finding]:
    """Compare a bag with the line of the log that tells how it came here."""
    if logged is None:
        yield replace(unlogged(path), path="")
        return
    for digest in logged:
        name = f"tagmanifest-{digest.algorithm}.txt"
        try:
            found = str(_digest(bag / name, digest.algorithm))
        except OSError as error:
            found = f"none: {error.strerror}"
        if found != str(digest):
            yield finding(
                "ledger-mismatch",
                name,
                f"the log has {digest}, found {found}: this is not the bag that was "
                "kept; bring it back from a copy",
            )


def _digest(file: Path, algorithm: str) -> Digest:
    """Digest a tag manifest. Raises OSError where there is no such file."""
    digester = Digester((algorithm,))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(file, flags)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a file")
        for piece in iter(partial(opened.read, PIECE), b""):
            digester.update(piece)
    return digester.digests()[0]
