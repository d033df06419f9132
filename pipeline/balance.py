"""What came of an audit: values, JSON and an exit status.

Of a hundred thousand bags those that are sound are counted; those that are not are kept
in a file until all is told, so that neither memory nor a report grows with an archive.
"""

import hashlib
import math
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.errors import Exit, first_exit
from pipeline.holdings import checks
from pipeline.holdings.checks import Checked
from pipeline.holdings.ledger import Examined, finding_json
from pipeline.model import Finding, Severity
from pipeline.packaging.rendering import Json


class Scope(Struct, frozen=True, kw_only=True):
    """How much is to be checked."""

    percent: float = 100.0
    seed: str = ""  # what chooses the sample
    budget: timedelta | None = None
    copies: bool = False

    def sample(self, paths: Iterable[str]) -> list[str]:
        """Choose among paths, the same by the same seed, wherever others come or go."""
        known = list(paths)
        if self.percent >= 100:  # noqa: PLR2004 - percent
            return known
        known.sort(key=lambda path: _lot(self.seed, path))
        return known[: math.ceil(len(known) * self.percent / 100)]


class Troubled:
    """The checks that found something, kept in a file that nobody else sees."""

    def __init__(self) -> None:
        self._files: dict[bool, IO[bytes]] = {}
        self._past: dict[str, int] = {}
        for is_wrong in (True, False):
            file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this is
            weakref.finalize(self, file.close)
            self._files[is_wrong] = file

    def add(self, one: Checked) -> None:
        """Keep a check, if it found anything."""
        if one.findings:
            file = self._files[not one.ok]
            file.seek(0, os.SEEK_END)
            file.write(checks.line_of(one))

    def forget(self, path: str) -> None:
        """Let what was found of a bag until now be past."""
        self._past[path] = self._files[True].seek(0, os.SEEK_END)

    def wrong(self) -> Iterator[Checked]:
        """Yield those that found errors."""
        return self._read(is_wrong=True)

    def warnings(self) -> tuple["Warned", ...]:
        """Sum up the warnings, by code: most are the same for bag after bag."""
        found: dict[str, Warned] = {}
        for one in self.all():
            codes = set()
            for each in one.findings:
                if each.severity is Severity.WARNING:
                    kind = found.setdefault(
                        each.code, Warned(first=each, path=one.path)
                    )
                    kind.findings += 1
                    kind.bags += each.code not in codes
                    codes.add(each.code)
        return tuple(found[code] for code in sorted(found))

    def all(self) -> Iterator[Checked]:
        """Yield those that found errors, then those with warnings alone."""
        yield from self._read(is_wrong=True)
        yield from self._read(is_wrong=False)

    def _read(self, *, is_wrong: bool) -> Iterator[Checked]:
        file, at = self._files[is_wrong], 0
        while True:
            file.seek(at)
            line = file.readline()
            if not line:
                return
            one, before, at = checks.parse_line(line), at, file.tell()
            if not is_wrong or before >= self._past.get(one.path, 0):
                yield one


class Warned(Struct):
    """A kind of warning: how often, and where it was first seen."""

    first: Finding
    path: str
    bags: int = 0
    findings: int = 0


class Mended(Struct, frozen=True, kw_only=True):
    """A bag that was damaged or gone, and what came of bringing it back."""

    bag: str
    path: str
    copy: str = ""  # where the good one came from; "" where there was none
    aside: str = ""  # where the damaged one lies now, from the archive down
    reason: str = ""  # why it was not mended
    findings: tuple[Finding, ...] = ()  # what had been wrong

    @property
    def is_mended(self) -> bool:
        """Whether the bag in its place is the one that was kept."""
        return not self.reason


class Audited(Struct, frozen=True, kw_only=True):
    """What an audit found."""

    root: Path
    started: datetime
    ended: datetime
    scope: Scope
    kept: int  # bags that the log or the folder has
    chosen: int  # of those, in the sample
    checked: int
    bytes: int
    wrong: int  # of the bags, now
    untrue: int  # of the receipts: copies that are not what they say
    log: Examined
    findings: tuple[Finding, ...]  # about the archive, no one bag's
    troubled: Troubled
    records: tuple[str, ...] = ()  # of the checks, from the archive down
    receipts: int = 0  # whose copies were asked for
    repaired: tuple[Mended, ...] = ()
    unlogged: str = ""  # why checks could not be logged
    notes: tuple[str, ...] = ()
    exits: tuple[Exit, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong now."""
        return Exit.FIXITY not in self.exits

    @property
    def exit(self) -> Exit:
        """The status that a command ends with."""
        if Exit.INTERRUPTED in self.exits and self.ok:
            return Exit.INTERRUPTED
        return first_exit(self.exits)


def head_json(told: Audited) -> dict[str, Json]:
    """Tell an audit as ``audit --json`` does, without its findings."""
    budget = told.scope.budget
    return {
        "ok": told.ok,
        "path": str(told.root),
        "started": stamp(told.started),
        "ended": stamp(told.ended),
        "bags": told.kept,
        "bags_chosen": told.chosen,
        "bags_checked": told.checked,
        "bags_wrong": told.wrong,
        "bytes": told.bytes,
        "sample": told.scope.percent,
        "seed": told.scope.seed,
        "budget": budget.total_seconds() if budget is not None else None,
        "receipts_checked": told.receipts,
        "receipts_wrong": told.untrue,
        "log": {"lines": told.log.head.size, "checkpoints": told.log.checkpoints},
        "records": [str(told.root / one) for one in told.records],
        "unlogged": told.unlogged,
        "repaired": [_mended(one, told.root) for one in told.repaired if one.is_mended],
        "unrepaired": [
            _mended(one, told.root) for one in told.repaired if not one.is_mended
        ],
        "exit": int(told.exit),
        "exits": [int(one) for one in told.exits],
    }


def _mended(one: Mended, root: Path) -> dict[str, Json]:
    """Tell of a bag that was to be brought back."""
    return {
        "bag": one.bag,
        "path": str(root / one.path),
        "copy": one.copy,
        "quarantine": str(root / one.aside) if one.aside else "",
        "reason": one.reason,
        "findings": [dict(finding_json(each)) for each in one.findings],
    }


def findings_json(told: Audited) -> Iterator[dict[str, Json]]:
    """Yield every finding: the archive's, then bag by bag, the wrong ones first."""
    for each in told.findings:
        yield {"bag": "", "bag_path": "", **finding_json(each)}
    for one in told.troubled.all():
        about = {"bag": one.bag, "bag_path": str(told.root / one.path)}
        if one.target:
            about["target"] = one.target
        for each in one.findings:
            yield {**about, **finding_json(each)}


def _lot(seed: str, path: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{path}".encode(errors="surrogateescape")).digest()
