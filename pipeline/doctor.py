"""What ails an archive, and the machine that it is on; nothing is written.

``look`` reads what is there without taking the lock, so that it may be asked beside a
run: the log with its checkpoints and bags, staging, quarantine, the catalogue. Whether
each bag is what it was is for ``verify``. ``repair`` does what every run does first.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

from pipeline.errors import KeyFileError, PipelineError
from pipeline.holdings.journal import SUFFIX, Journal, journals
from pipeline.holdings.ledger import examine
from pipeline.holdings.room import Room, entries
from pipeline.holdings.store import Store
from pipeline.model import Finding, Severity
from pipeline.packaging.rendering import Json
from pipeline.sealing import expiry, keys

EXTRAS = {  # what brings each optional part
    "browser": "playwright",
    "s3": "boto3",
    "sftp": "paramiko",
    "cluster": "distributed",
    "web": "starlette",
    "media": "yt-dlp",
    "notify": "apprise",
}
SCARCE = 1 << 30  # bytes free; a run with less is soon at its end
REPAIR = "`muniment doctor --repair` or the next run sees to it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One thing that was noticed, and what to do about it."""

    severity: Severity
    code: str
    message: str

    def told(self) -> dict[str, Json]:
        """Tell it as JSON."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was seen of one archive."""

    environment: tuple[tuple[str, str], ...]
    extras: tuple[tuple[str, str], ...]  # name and version; "" where not installed
    archive: dict[str, Json]
    signs: tuple[Sign, ...]
    repaired: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong that counts."""
        return not any(one.severity is Severity.ERROR for one in self.signs)

    def told(self) -> dict[str, Json]:
        """Tell it as the command prints it."""
        return {
            "ok": self.ok,
            "environment": dict(self.environment),
            "extras": {name: version or None for name, version in self.extras},
            "archive": self.archive,
            "findings": [one.told() for one in self.signs],
            "repaired": list(self.repaired),
        }


def look(
    root: Path,
    *,
    environment: tuple[tuple[str, str], ...],
    now: datetime | None = None,
    key: Path | None = None,
) -> Report:
    """See how an archive is, and write nothing. Raises StorageError.

    Where it is told what time it is, certificates that end are noticed: those under the
    bags' seals, and that of the file with the signing key.
    """
    extras = tuple((name, version_of(part)) for name, part in EXTRAS.items())
    if not (root / ".muniment").is_dir():
        message = f"{root}: there is no archive yet; the first run makes one"
        return Report(
            environment=environment,
            extras=extras,
            archive={"path": str(root), "exists": False},
            signs=(sign(Severity.WARNING, "no-archive", message),),
        )
    room = Room(root)
    stopped = tuple(journals(room.staging)) if room.staging.is_dir() else ()
    seen = examine(root)
    return Report(
        environment=environment,
        extras=extras,
        archive={
            "path": str(root),
            "exists": True,
            "free": shutil.disk_usage(root).free,
            "bags": sum(1 for _ in room.bags()),
            "log_lines": seen.head.size,
            "checkpoints": seen.checkpoints,
            "stopped": [stopped_run(one) for one in stopped],
            "quarantine": len(listed(room.quarantine)),
            "holder": holder(room.own / "lock"),
        },
        signs=(
            *of_log(seen.findings),
            *of_folders(room, stopped),
            *of_catalogue(root, seen.head.size),
            *(of_certificates(room, key, now) if now else ()),
        ),
    )


def repair(store: Store) -> tuple[str, ...]:
    """Do what every run does first, and say what was done.

    Raises LockedError beside a run, FixityError for a log that is damaged for good.
    """
    with store.lock("doctor --repair"):
        return store.recover()


def sign(severity: Severity, code: str, message: str) -> Sign:
    """Tell one thing that was noticed."""
    return Sign(severity=severity, code=code, message=message)


def of_log(findings: Iterable[Finding]) -> Iterator[Sign]:
    """Notice what is wrong with the log, beside its checkpoints and its bags."""
    for one in findings:
        message = f"{one.path}: {one.message}" if one.path else one.message
        yield sign(one.severity, one.code, message)


def of_folders(room: Room, stopped: tuple[Journal, ...]) -> Iterator[Sign]:
    """Notice what is in the way of a run, what one left, and what was set aside."""
    for folder in (room.root, room.own, room.staging, room.quarantine):
        if not folder.is_dir():
            message = f"{folder}: it is not there; {REPAIR}"
            yield sign(Severity.WARNING, "no-folder", message)
        elif not os.access(folder, os.W_OK):
            message = f"{folder}: it can't be written; bags are read, none is kept"
            yield sign(Severity.WARNING, "read-only", message)
    if (free := shutil.disk_usage(room.root).free) < SCARCE:
        message = f"{room.root}: {free} bytes are free; make room before a run"
        yield sign(Severity.WARNING, "space", message)
    for journal in stopped:
        run, done = journal.begun.run, len(journal.steps)
        message = (
            f"{run} is under way or was stopped: {done} of {len(journal.begun.salts)} "
            "sources are done; the command that began it goes on with it"
        )
        yield sign(Severity.WARNING, "stopped-run", message)
    told = {step.staged for journal in stopped for step in journal.steps}
    told |= {journal.path.name for journal in stopped}
    left = [one for one in listed(room.staging) if one.name not in told]
    if left:
        kinds = "a torn journal among them; " * any(SUFFIX in one.name for one in left)
        message = (
            f"{room.staging}: {len(left)} left half done, by a run under way or one "
            f"that died; {kinds}the next run sets them aside"
        )
        yield sign(Severity.WARNING, "left-over", message)
    if aside := listed(room.quarantine):
        message = f"{room.quarantine}: {len(aside)} set aside; the log tells why"
        yield sign(Severity.WARNING, "quarantine", message)


def of_certificates(room: Room, key: Path | None, now: datetime) -> Iterator[Sign]:
    """Notice what ends within a year: under the seals of bags, and the key's own."""
    for one in expiry.of_bags(room.bags(), now=now):
        yield sign(Severity.WARNING, "seal-expiring", one.sentence(now))
    if key is None or not key.exists():  # the first run makes one
        return
    try:
        end = expiry.of_key(keys.read(key).certificate)
    except KeyFileError as error:
        yield sign(Severity.WARNING, error.code, str(error))
        return
    if end.is_near(now):
        yield sign(Severity.WARNING, "key-expiring", end.sentence(now))


def of_catalogue(root: Path, lines: int) -> Iterator[Sign]:
    """Notice an index that is absent, damaged or behind: it can be built again."""
    try:
        catalogue = Store.reading(root)
        try:
            noted = catalogue.noted()
        finally:
            catalogue.close()
    except PipelineError as error:
        if lines:
            yield sign(Severity.WARNING, "catalogue", f"{error}")
        return
    if noted != lines:
        message = (
            f"{root}: the catalogue knows {noted} lines of the log, which has {lines}; "
            f"{REPAIR}"
        )
        yield sign(Severity.WARNING, "catalogue", message)


def stopped_run(journal: Journal) -> dict[str, Json]:
    """Tell a run that has a journal: under way, or stopped."""
    begun = journal.begun
    return {
        "run": begun.run,
        "job": begun.job,
        "done": sum(1 for step in journal.steps if step.source),
        "sources": len(begun.salts),
    }


def holder(lock: Path) -> str:
    """Tell who holds the archive, or died holding it, by the words in the lock file."""
    try:
        told = json.loads(lock.read_bytes() or b"{}")
        return f"{told['command']} (process {told['pid']} on {told['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def version_of(part: str) -> str:
    """Tell the version of an optional part; "" where it is not installed."""
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return ""


def listed(folder: Path) -> tuple[Path, ...]:
    """List what is in a folder that may not be there."""
    return entries(folder) if folder.is_dir() else ()
