"""What is wrong with the custody log: read whole, beside its checkpoints and its bags.

The log is read line by line and never repaired here. A line that was changed, taken
out, put in or moved is found by its form and number; a log that was cut, or rewritten
with care, by a checkpoint signed before, the archive's own or one that was kept
elsewhere. An opponent who holds the archive can rewrite both log and checkpoints: only
what lies elsewhere tells of that. Checks of the bags themselves stand in ``verify``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from pipeline.errors import FixityError, PipelineError, StorageError
from pipeline.holdings.checkpoints import Checkpoints, Stored, read
from pipeline.holdings.custody import LIMIT, STILL_KEPT, Act, Entry, Logged, parse_line
from pipeline.holdings.merkle import Frontier, Head, head_json, leaf_of
from pipeline.holdings.note import Verifier, signers
from pipeline.holdings.room import Room, told
from pipeline.model import Digest, Finding, Severity

MOST = 20  # findings of one code; the rest are counted
CLAUSE = "archive/README.md, the custody log"
CHECKPOINT = "C2SP tlog-checkpoint"
CONSISTENCY = "RFC 9162 2.1.4"

Hear = Callable[[Logged], None]

RULES = {  # code: the clause, and what it means
    "ledger-torn": (CLAUSE, "the log ends within a line"),
    "ledger-line": (CLAUSE, "a line is not as the program writes it"),
    "ledger-gap": (CLAUSE, "lines are missing, put in or out of order"),
    "ledger-rollback": (CONSISTENCY, "the log is shorter than a checkpoint says"),
    "ledger-fork": (CONSISTENCY, "the log is not the one that was signed"),
    "ledger-checkpoint": (CHECKPOINT, "a checkpoint cannot be relied on"),
    "ledger-unknown-key": (CHECKPOINT, "no key of this log signed a checkpoint"),
    "ledger-missing-bag": (CLAUSE, "a bag that the log has kept is not there"),
    "ledger-unlogged-bag": (CLAUSE, "a bag stands in the archive and not in the log"),
    "ledger-mismatch": (CLAUSE, "a bag is not the one that the log names"),
    "ledger-checks": (CLAUSE, "a record of fixity checks is not what the log names"),
}


def finding(
    code: str, path: str, message: str, *, severity: Severity = Severity.ERROR
) -> Finding:
    """Make a finding with the clause of its code."""
    clause, _ = RULES[code]
    return Finding(
        code=code, severity=severity, path=path, message=message, clause=clause
    )


class Standing(Struct):
    """Where the log, read so far, says that bags stand."""

    kept: dict[str, tuple[Digest, ...]] = field(default_factory=dict)  # by path
    aside: set[str] = field(default_factory=set)  # paths whose bag was set aside since
    _path: dict[str, str] = field(default_factory=dict)  # of a bag, by its id

    def take(self, entry: Entry) -> None:
        """Take in the next line."""
        if entry.act in {Act.ACCESSION, Act.RECOVERY}:
            self.kept[entry.path] = entry.tagmanifests
            self._path[entry.bag] = entry.path
            self.aside.discard(entry.path)
        elif entry.act is Act.QUARANTINE and entry.outcome == STILL_KEPT:
            return
        elif entry.act is Act.QUARANTINE and entry.bag in self._path:
            self.aside.add(self._path[entry.bag])

    def missing(self, root: Path, *, below: Path) -> Iterator[str]:
        """Yield the paths, in order, where a bag should stand and does not."""
        for path in sorted(self.kept.keys() - self.aside):
            place = root / path
            if place.is_relative_to(below) and not place.is_dir():
                yield path


class Examined(Struct, frozen=True, kw_only=True):
    """What was found of one archive's log."""

    path: Path
    head: Head
    checkpoints: int  # that the log was compared with
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that counts."""
        return not any(one.severity is Severity.ERROR for one in self.findings)


def examine(
    root: Path, *, since: Iterable[Path] = (), hear: Hear | None = None
) -> Examined:
    """Read the whole log of an archive and report everything that is wrong with it.

    ``since`` names checkpoints that were kept elsewhere. Whoever wants to ``hear`` each
    line that can be read compares the bags with them as well, and that is left to him.
    Raises StorageError.
    """
    room = Room(root)
    # before the log, which is ahead
    standing = () if hear else tuple(map(room.relative, room.bags()))
    claims = _Claims.of(Checkpoints(root), room, since)
    reading = _Reading(claims.sizes(), hear=hear)
    path = room.own / "custody.jsonl"
    reading.read(path)
    found = [*reading.findings, *claims.findings, *claims.judged(reading)]
    if not hear:
        found += _beside_bags(room, reading.standing, standing)
    return Examined(
        path=path,
        head=reading.frontier.head(),
        checkpoints=len(claims.made),
        findings=tuple(_bounded(found)),
    )


def examined_json(told: Examined) -> dict[str, object]:
    """Tell what was found as ``log verify --json`` does."""
    return {
        "path": str(told.path),
        "ok": told.ok,
        **head_json(told.head),
        "checkpoints": told.checkpoints,
        "findings": [finding_json(one) for one in told.findings],
    }


def finding_json(one: Finding) -> dict[str, str]:
    """Tell a finding as ``verify --json`` does."""
    return {
        "code": one.code,
        "severity": str(one.severity),
        "path": one.path,
        "message": one.message,
        "clause": one.clause,
    }


def agreed(root: Path) -> None:
    """Let a log be signed only where it agrees with all that it signed before.

    Raises FixityError with what stands against it, StorageError.
    """
    room = Room(root)
    claims = _Claims.of(Checkpoints(root), room, ())
    reading = _Reading(claims.sizes(), is_close=False)
    reading.read(room.own / "custody.jsonl")
    if against := [*reading.findings, *claims.findings, *claims.judged(reading)]:
        raise FixityError(
            f"{against[0].code}: {against[0].path}: {against[0].message}; the log is "
            "not signed. `muniment log verify` tells all of it"
        )


def standing_of(root: Path) -> tuple[Standing, tuple[Finding, ...]]:
    """Read where the log says that bags stand, and what is wrong with its lines."""
    reading = _Reading()
    reading.read(Room(root).own / "custody.jsonl")
    return reading.standing, tuple(_bounded(reading.findings))


def _bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Let the first of each code through, and count the rest in one more."""
    made: Counter[str] = Counter()
    for one in findings:
        made[one.code] += 1
        if made[one.code] <= MOST:
            yield one
    for code, count in made.items():
        if count > MOST:
            yield finding(code, "", f"and {count - MOST} more like these")


def _beside_bags(
    room: Room, standing: Standing, here: Iterable[str]
) -> Iterator[Finding]:
    for path in standing.missing(room.root, below=room.root):
        yield missing(path)
    for path in here:
        if path not in standing.kept:
            yield unlogged(path)


def missing(path: str) -> Finding:
    """Tell of a bag that the log has and the archive has not."""
    return finding(
        "ledger-missing-bag",
        path,
        "the log says that this bag is kept, and it is not there; bring it back "
        "from a copy",
    )


def unlogged(path: str) -> Finding:
    """Tell of a bag that no line of the log names."""
    return finding(
        "ledger-unlogged-bag",
        path,
        "no line of the log tells how this bag came here; the next run checks it and "
        "logs it as recovered, or sets it aside",
    )


class _Reading:
    """One pass over the log: its lines, and its heads where somebody signed one."""

    def __init__(
        self,
        sizes: frozenset[int] = frozenset(),
        *,
        is_close: bool = True,
        hear: Hear | None = None,
    ) -> None:
        self._sizes = sizes
        self._is_close = is_close  # look at what each line says
        self._expected = 0
        self.frontier = Frontier()
        self.heads: dict[int, Head] = {0: self.frontier.head()}
        self.standing = Standing()
        self._hear = hear or (lambda logged: self.standing.take(logged.entry))
        self.findings: list[Finding] = []

    def read(self, path: Path) -> None:
        """Read a log; one that does not exist has no lines. Raises StorageError."""
        with told(path):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return
            with file:
                last = b""
                for line in iter(lambda: file.readline(LIMIT), b""):
                    self._take(last)
                    last = line
                self._take(last, is_last=True)

    def _take(self, line: bytes, *, is_last: bool = False) -> None:
        """Take in a line, once it is known whether another stands behind it."""
        if not line:
            return
        if is_last and (not line.endswith(b"\n") or b"\0" in line):
            self._say(
                "ledger-torn",
                "the log ends within a line: a crash, or a cut; the next run sets the "
                "torn end aside",
            )
            return
        self.frontier.add(leaf_of(line))
        if self.frontier.size in self._sizes:
            self.heads[self.frontier.size] = self.frontier.head()
        if self._is_close:
            self._look_at(line)

    def _look_at(self, line: bytes) -> None:
        try:
            logged = parse_line(line)
        except ValueError as error:
            self._say("ledger-line", f"{error}; bring the log back from a copy")
            self._expected += 1
            return
        if logged.n != self._expected:
            self._say("ledger-gap", self._misplaced(logged.n))
        self._expected = logged.n + 1
        self._hear(logged)

    def _misplaced(self, n: int) -> str:
        if n < self._expected:
            return f"number {n} stands here, again or too late; expected a later one"
        lacking = f"number {self._expected} is"
        if n > self._expected + 1:
            lacking = f"numbers {self._expected} to {n - 1} are"
        return f"number {n} stands here, and {lacking} not before it"

    def _say(self, code: str, message: str) -> None:
        line = self.frontier.size + (code == "ledger-torn")
        self.findings.append(finding(code, f".muniment/custody.jsonl:{line}", message))


class _Claims:
    """What checkpoints say of the log, and what is wrong with themselves."""

    def __init__(self, verifiers: tuple[Verifier, ...]) -> None:
        self._verifiers = verifiers
        self.made: list[Stored] = []
        self.findings: list[Finding] = []
        self._names: dict[Path, str] = {}

    @classmethod
    def of(
        cls, stored: Checkpoints, room: Room, elsewhere: Iterable[Path]
    ) -> "_Claims":
        """Read every checkpoint there is. Raises StorageError."""
        findings = []
        try:
            claims = cls(stored.verifiers())
        except FixityError as error:
            claims = cls(())
            where = room.relative(stored.keys)
            findings.append(finding("ledger-checkpoint", where, str(error)))
        for path in stored.files():
            claims.add(path, room.relative(path), of_archive=True)
            if path.parent == stored.folder:
                claims.check_name(path)
        for path in elsewhere:
            claims.add(path, str(path), of_archive=False)
        claims.findings += findings
        return claims

    def add(self, path: Path, name: str, *, of_archive: bool) -> None:
        """Take in one checkpoint, if it is one of this log."""
        self._names[path] = name
        try:
            claim = read(path)
            if of_archive and claim.note in (one.note for one in self.made):
                return  # the newest has a copy
            by = signers(claim.note, self._verifiers)
        except StorageError as error:
            if not of_archive:
                raise
            self._doubt(path, str(error))
            return
        except (PipelineError, ValueError) as error:
            self._doubt(path, str(error))
            return
        if self._verifiers and claim.said.origin != self._verifiers[0].name:
            known = self._verifiers[0].name
            self._doubt(path, f"it is of {claim.said.origin}, and this log is {known}")
            return
        if not by:
            self._say_unknown(path, of_archive=of_archive)
        self.made.append(claim)

    def sizes(self) -> frozenset[int]:
        """Tell the sizes at which the log has to be known."""
        return frozenset(one.said.head.size for one in self.made)

    def check_name(self, path: Path) -> None:
        """Find a stored checkpoint under a name that is not its size."""
        if self.made and self.made[-1].path == path:
            size = self.made[-1].said.head.size
            if path.name != f"{size:08d}":
                self._doubt(path, f"it is of {size} lines, and not named so")

    def judged(self, reading: _Reading) -> Iterator[Finding]:
        """Compare what was signed with what the log is."""
        size = reading.frontier.size
        for claim in self.made:
            signed, name = claim.said.head, self._names[claim.path]
            if signed.size > size:
                message = f"{signed.size} lines were signed, the log has {size}"
                yield finding("ledger-rollback", name, f"{message}: it was cut")
            elif reading.heads[signed.size].root != signed.root:
                message = f"the first {signed.size} lines are not those that were"
                yield finding("ledger-fork", name, f"{message} signed; one was changed")

    def _say_unknown(self, path: Path, *, of_archive: bool) -> None:
        severity = Severity.ERROR if of_archive else Severity.WARNING
        message = "none of the keys in .muniment/log.vkey signed it"
        self.findings.append(
            finding("ledger-unknown-key", self._names[path], message, severity=severity)
        )

    def _doubt(self, path: Path, message: str) -> None:
        name = self._names[path]
        message = message.removeprefix(f"{path}: ")
        self.findings.append(finding("ledger-checkpoint", name, message))
