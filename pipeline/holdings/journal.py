"""The journal of a run under way: what a later run needs in order to go on with it.

One file in staging for each run, ``<run>.journal``, in lines of JSON. The first
tells how it was begun; then one line for each source that is done, on disk before its
bag is accessioned. So whatever stops a run, each of its sources is either
told here, with what to look for, or is to be visited again. A torn last line is none.
The file is removed when the run's own bag is kept.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline.clock import stamp, unstamp
from pipeline.disk import DISK, Disk, sync_folder
from pipeline.errors import FixityError, StorageError
from pipeline.fixity import create
from pipeline.holdings.custody import Entry, canonical, line_of, parse_line
from pipeline.model import Digest
from pipeline.packaging.rendering import Json

SUFFIX = ".journal"
FORMAT = "muniment-journal/1"


class Begun(Struct, frozen=True, kw_only=True):
    """A run as it was begun: enough to make the same plan again."""

    run: str
    job: str
    started: datetime
    manifest: Digest
    plan: Digest
    software: str
    order: Mapping[str, Json]  # the options of the command
    salts: tuple[tuple[str, str], ...]  # by source, in hex
    start: Json = None  # the notary's word on the plan, where there is a notary


class Step(Struct, frozen=True, kw_only=True):
    """One source that is done, or the run's own bag: what is staged, and what it is."""

    source: str  # "" for the run's own bag
    staged: str  # the name of its folder in staging, and of the bag where it is one
    file: str = ""  # what ``digests`` are of; "" for a bag, and they are its tag
    digests: tuple[Digest, ...]  # manifests'
    entries: tuple[Entry, ...] = ()  # what the custody log is told after its accession
    told: Json = None  # for whoever goes on with the run


class Journal:
    """One run's journal. Made by ``begin`` or ``read``.

    What the file system refuses is a StorageError that names the file.
    """

    def __init__(
        self, path: Path, begun: Begun, *, size: int, disk: Disk = DISK
    ) -> None:
        self.path = path
        self.begun = begun
        self.resumed: tuple[datetime, ...] = ()
        self._steps: dict[str, Step] = {}
        self._size = size  # of the lines that are whole
        self._disk = disk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Journal) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done, the last word on each source."""
        return tuple(self._steps.values())

    @classmethod
    def begin(cls, folder: Path, begun: Begun, *, disk: Disk = DISK) -> "Journal":
        """Begin a journal; its first step brings it to disk, and its name."""
        journal = cls(folder / f"{begun.run}{SUFFIX}", begun, size=0, disk=disk)
        os.close(create(journal.path))
        journal._write(_begun_json(begun))
        return journal

    @classmethod
    def read(cls, path: Path, *, disk: Disk = DISK) -> "Journal":
        """Read a journal up to its last whole line.

        Raises FixityError where not even its first line is whole.
        """
        with _told(path):
            lines = path.read_bytes().splitlines(keepends=True)
        try:
            begun = _begun(_fields(lines[0]))
        except (IndexError, ValueError, KeyError, TypeError) as error:
            raise FixityError(f"{path}: it tells of no run: {error}") from error
        journal = cls(path, begun, size=len(lines[0]), disk=disk)
        for line in lines[1:]:
            try:
                journal._take(_fields(line))
            except (ValueError, KeyError, TypeError):  # torn, as is what follows
                break
            journal._size += len(line)
        return journal

    def add(self, step: Step) -> None:
        """Add a step; it is on disk when this returns."""
        self._write(_step_json(step), sync=True)
        if not self._steps:
            sync_folder(self.path.parent, self._disk)
        self._steps[step.source] = step

    def resume(self, at: datetime) -> None:
        """Note that the run goes on; what a killed run had written is on disk now."""
        self._write({"resumed": stamp(at)}, sync=True)
        sync_folder(self.path.parent, self._disk)
        self.resumed += (at,)

    def _take(self, fields: dict[str, Any]) -> None:
        if "resumed" in fields:
            self.resumed += (unstamp(fields["resumed"]),)
        else:
            step = _step(fields)
            self._steps[step.source] = step

    def _write(self, fields: dict[str, Any], *, sync: bool = False) -> None:
        """Write a line behind the last whole one, whatever a stop left there."""
        line = canonical(fields)
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
        with _told(self.path):
            descriptor = os.open(self.path, flags)
            try:
                if os.fstat(descriptor).st_size != self._size:
                    os.ftruncate(descriptor, self._size)
                self._disk.write(descriptor, line)
                taken = os.fstat(descriptor).st_size - self._size
                if taken != len(line):
                    raise StorageError(
                        f"{self.path}: {taken} of {len(line)} bytes were taken, is the "
                        "disk full? Make room, and the same command goes on"
                    )
                if sync:
                    self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
        self._size += len(line)


def journals(folder: Path, *, disk: Disk = DISK) -> Iterator[Journal]:
    """Read every journal in staging that tells of a run."""
    with _told(folder):
        found = sorted(folder.glob(f"*{SUFFIX}"))
    for path in found:
        try:
            if path.is_file() and not path.is_symlink():
                yield Journal.read(path, disk=disk)
        except FixityError:  # torn in its first line: no request was made
            continue


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError.at(path, error) from error


# ----------------------------------------------------------------------------- lines


def _fields(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("a line is torn")
    try:
        fields = json.loads(line)
    except RecursionError as error:
        raise ValueError("a line is nested without end") from error
    if not isinstance(fields, dict):
        raise ValueError("a line is no object")  # noqa: TRY004 - one kind to catch
    return fields


def _begun_json(begun: Begun) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run": begun.run,
        "job": begun.job,
        "started": stamp(begun.started),
        "manifest": str(begun.manifest),
        "plan": str(begun.plan),
        "software": begun.software,
        "order": begun.order,
        "salts": dict(begun.salts),
        "start": begun.start,
    }


def _begun(fields: dict[str, Any]) -> Begun:
    if fields["format"] != FORMAT:
        raise ValueError(f"its format is {fields['format']!r}, not {FORMAT}")
    return Begun(
        run=fields["run"],
        job=fields["job"],
        started=unstamp(fields["started"]),
        manifest=Digest.parse(fields["manifest"]),
        plan=Digest.parse(fields["plan"]),
        software=fields["software"],
        order=fields["order"],
        salts=tuple(dict(fields["salts"]).items()),
        start=fields["start"],
    )


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "source": step.source,
        "staged": step.staged,
        "file": step.file,
        "digests": [str(one) for one in step.digests],
        "entries": [line_of(0, entry).decode() for entry in step.entries],
        "told": step.told,
    }


def _step(fields: dict[str, Any]) -> Step:
    return Step(
        source=fields["source"],
        staged=fields["staged"],
        file=fields["file"],
        digests=tuple(map(Digest.parse, fields["digests"])),
        entries=tuple(parse_line(str.encode(one)).entry for one in fields["entries"]),
        told=fields["told"],
    )
