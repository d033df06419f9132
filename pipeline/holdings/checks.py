"""Fixity checks at rest: a line for each bag, in files that the custody log names.

    .muniment/checks/<time>_<8 hex>.jsonl    up to a thousand bags, as they were checked

Ten thousand bags a day would drown the log in lines that all say "sound", so those
stand here, and one line of the log has the file's digest; a bag that is wrong has a
line of its own in the log as well. A file is written once. The catalogue's history of
checks is built from both.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline import __version__
from pipeline.clock import Clock, stamp, unstamp
from pipeline.disk import DISK, Disk
from pipeline.errors import FixityError
from pipeline.fixity import Digester, digest_of, write_file
from pipeline.holdings.custody import Act, Entry, canonical
from pipeline.holdings.room import OWN, Room, entries, told
from pipeline.model import Digest, Finding, Severity

SOFTWARE = f"Muniment {__version__}"
FOLDER = "checks"
FORMAT = "muniment-checks/1"
PLACE = f"{OWN}/{FOLDER}/"
LONGEST = 1 << 26  # bytes of a line; ten thousand findings take a twentieth
ALGORITHM = "sha256"


class Checked(Struct, frozen=True, kw_only=True):
    """What came of checking one bag, or what one target has of a transfer."""

    bag: str
    path: str  # of the bag, or of the receipt, from the archive down
    at: datetime
    files: int = 0
    bytes: int = 0
    findings: tuple[Finding, ...] = ()
    target: str = ""  # who has the copies; "" for the bag itself

    @property
    def ok(self) -> bool:
        """Whether nothing was found that counts."""
        return not self.errors()

    def errors(self) -> tuple[Finding, ...]:
        """Return what was found that counts."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)


class Checks:
    """The records of fixity checks of the archive at ``root``."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self._room = Room(root, disk)
        self._disk = disk
        self.folder = self._room.own / FOLDER

    def paths(self) -> tuple[Path, ...]:
        """List the files, the oldest first."""
        return entries(self.folder) if self.folder.is_dir() else ()

    def keep(self, checked: Sequence[Checked], clock: Clock) -> Entry:
        """Write a record durably, and return the line that the log is told of it."""
        at = clock.now()
        head = canonical({"format": FORMAT, "software": SOFTWARE})
        data = head + b"".join(line_of(one, is_brief=True) for one in checked)
        name = f"{at:%Y%m%dt%H%M%Sz}_{clock.nonce(4).hex()}.jsonl"
        staged = self._room.staging / name
        write_file(staged.parent, name, data)
        with told(staged), staged.open("rb") as file:
            self._disk.sync(file.fileno())
        self._room.make(self.folder)
        self._room.move(staged, self.folder / name)
        return _entry(PLACE + name, digest_of(data), checked, at)

    def entry(self, path: Path, clock: Clock) -> Entry:
        """Make the line for a record that has none. Raises FixityError."""
        with told(path):
            digest = digest_of(path.read_bytes())
        place = self._room.relative(path)
        return _entry(place, digest, tuple(read(path, digest)), clock.now())


def is_record(entry: Entry) -> bool:
    """Tell a line of the log that names a record from every other."""
    return entry.act is Act.FIXITY_CHECK and entry.path.startswith(PLACE)


def digest_in(entry: Entry) -> Digest | None:
    """Read the digest that a line of the log has for a record."""
    try:
        return Digest.parse(entry.detail.partition(" ")[0])
    except ValueError:
        return None


def line_of(one: Checked, *, is_brief: bool = False) -> bytes:
    """Write a check as a line; a brief one counts its warnings, bag by bag the same."""
    fields: dict[str, object] = {
        "at": stamp(one.at),
        "bag": one.bag,
        "bytes": one.bytes,
        "files": one.files,
        "ok": one.ok,
        "path": one.path,
    }
    if one.target:
        fields["target"] = one.target
    findings = one.errors() if is_brief else one.findings
    if warned := len(one.findings) - len(findings):
        fields["warnings"] = warned
    if findings:
        fields["findings"] = [
            {
                "clause": each.clause,
                "code": each.code,
                "message": each.message,
                "path": each.path,
                "severity": each.severity.value,
            }
            for each in findings
        ]
    return canonical(fields)


def parse_line(line: bytes) -> Checked:
    """Read a line of a record. Raises ValueError for any other bytes."""
    try:
        fields: dict[str, Any] = json.loads(line)
        return Checked(
            bag=fields["bag"],
            path=fields["path"],
            at=unstamp(fields["at"]),
            files=fields["files"],
            bytes=fields["bytes"],
            target=fields.get("target", ""),
            findings=tuple(
                Finding(**{**each, "severity": Severity(each["severity"])})
                for each in fields.get("findings", ())
            ),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"the line is no fixity check: {error}") from error


def read(path: Path, digest: Digest) -> Iterator[Checked]:
    """Yield the checks of a record; only at its end is it known to be the one meant.

    Raises FixityError where it is another, or none.
    """
    digester = Digester((digest.algorithm,))
    where = f"{path}: expected the record of fixity checks with {digest}"
    advice = "bring it back from a copy"
    try:
        with told(path), path.open("rb") as file:
            head = file.readline(LONGEST)
            digester.update(head)
            if json.loads(head).get("format") != FORMAT:
                raise ValueError("it is in another format")  # noqa: TRY301 - told alike
            for line in iter(lambda: file.readline(LONGEST), b""):
                digester.update(line)
                yield parse_line(line)
    except (ValueError, AttributeError, RecursionError) as error:
        raise FixityError(f"{where}, found none: {error}; {advice}") from error
    found = digester.digests()[0]
    if found != digest:
        raise FixityError(f"{where}, found {found}; {advice}")


def damage(one: Checked, at: datetime) -> Entry:
    """Tell a check that found something wrong, for the log."""
    errors = one.errors()
    first = f"{errors[0].code} {errors[0].path}".strip()
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    copy = f"copy at {one.target}: " if one.target else ""
    return Entry(
        act=Act.FIXITY_CHECK,
        at=at,
        bag=one.bag,
        job=one.path.partition("/")[0],
        path=one.path,
        outcome="failure",
        software=SOFTWARE,
        detail=f"{copy}{first}{more}"[:LONGEST_TOLD],
    )


LONGEST_TOLD = 500  # characters of what was found, in a line of the log


def _entry(
    place: str, digest: Digest, checked: Iterable[Checked], at: datetime
) -> Entry:
    made = tuple(checked)
    wrong = sum(not one.ok for one in made)
    return Entry(
        act=Act.FIXITY_CHECK,
        at=at,
        path=place,
        outcome="failure" if wrong else "success",
        software=SOFTWARE,
        detail=f"{digest} {len(made)} checked, {wrong} wrong",
    )
