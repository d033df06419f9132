"""What others' readers say of a bag, set beside what we say, each difference explained.

bagit is asked about the bag, warcio and fastwarc about its WARC files. They are never
asked about a bag in which we found a link, a device or a path that leads elsewhere, as
they would follow it. A difference that no known one accounts for is a finding: an error
where the peer found damage that we did not, else a warning.
"""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pipeline.model import Finding, Level, Severity
from pipeline.packaging import peers, warccheck
from pipeline.packaging.names import show
from pipeline.packaging.validate import Report
from pipeline.packaging.walk import Kind, file_beneath, opened, reason, walk

PATIENCE = 60.0  # seconds, and one more for each so many bytes:
SLOWEST = 5_000_000
MOST_WARCS = 100  # of a bag
DANGERS = ("special-file", "unsafe-path", "limit")  # where more might stand unseen

CRASHES = {  # what we found: why bagit raises something that is no verdict
    "bagit-txt": "bagit raises on a bagit.txt that is not UTF-8",
    "encoding": "bagit raises on bytes that are not in the declared encoding",
    "malformed-line": "bagit raises on a NUL in a path",
    "oxum-mismatch": "bagit raises on a Payload-Oxum without two numbers",
    "fetch-line": "bagit raises on a line of fetch.txt without three parts",
}
BLIND = {  # an error of ours: why bagit sees none
    "bagit-txt": "bagit reads bagit.txt as tags in any order and number",
    "encoding": "bagit takes every codec of Python and skips a byte order mark",
    "bag-info": "bagit does not judge how the lines of bag-info.txt are written",
    "incomplete-manifest": "bagit takes a file as listed that any one manifest lists",
    "malformed-line": "bagit passes over lines that are no entries",
    "duplicate-entry": "bagit lets a file stand twice in a draft's manifest",
    "unknown-algorithm": "bagit passes over algorithms that it does not know",
    "fetch-line": "bagit looks at the addresses alone in fetch.txt",
    "size-mismatch": "bagit does not compare the lengths in fetch.txt",
    "tag-unlisted-file": "bagit does not look for tag files that are not listed",
}
DEEPER = {  # the same, for all codes that begin so
    "warc-": "bagit does not look into WARC files",
    "premis-": "bagit does not look into metadata",
    "metadata-": "bagit does not look into metadata",
    "label-": "bagit does not look into metadata",
    "profile-": "bagit knows no profiles",
    "seal-": "bagit knows no seals",
    "ledger-": "bagit knows no custody log",
}
TWINS = "bagit takes names in two Unicode forms for one file (RFC 8493 6.1.1.3)"
ESCAPED = "bagit does not read names that sha256sum wrote escaped"
ODD = {  # what is odd about an answer: why a reader gets its payload digest wrong
    "chunked": "it digests chunks with their framing on (WARC 1.1 6.3.2 takes it off)",
    "no-http": "it cannot tell where the payload of an answer that is no HTTP begins",
    "overlong": "it digests what came behind the end of the answer as well",
    "bare": "it does not see the end of a head whose lines end with LF alone",
}
RIGHT = "; read by the answers' own framing every payload digest is right"
UNSURE = {  # with these our own strict reading vouches for no payload
    "warc-payload-digest",
    "warc-block-digest",
    "warc-damaged",
    "warc-truncated",
    "warc-framing",
    "warc-junk",
    "warc-limit",
}
LOOSER = "it checks digests of records, not files, indexes or our stricter form"


class Word(StrEnum):
    """What a peer came to."""

    VALID = "valid"
    INVALID = "invalid"
    CRASHED = "crashed"
    LATE = "late"
    ABSENT = "absent"  # not installed
    UNASKED = "not-asked"


READERS = ("warcio", "fastwarc")
VERDICTS = (Word.VALID, Word.INVALID)


class Opinion(Struct, frozen=True, kw_only=True):
    """What one peer says of a bag, or of a file in it."""

    peer: str
    verdict: Word
    version: str = ""
    path: str = ""  # of the WARC; empty for the bag
    message: str = ""
    ours: bool = True  # whether we call it valid
    explained: str = ""  # the known difference, where the two differ

    @property
    def differs(self) -> bool:
        """Tell whether it was asked and did not say what we say."""
        if self.verdict in (Word.ABSENT, Word.UNASKED):
            return False
        return self.verdict != (Word.VALID if self.ours else Word.INVALID)

    @property
    def difference(self) -> str:
        """Say in words how it stands to ours."""
        if self.verdict in (Word.ABSENT, Word.UNASKED):
            return self.message
        if not self.differs:
            return "agrees"
        return f"differs: {self.explained or f'unexplained: {self.message}'}"


class Answer(Struct, frozen=True, kw_only=True):
    """What came back from the process of a peer."""

    verdict: Word
    version: str = ""
    problems: tuple[peers.Problem, ...] = ()

    @property
    def message(self) -> str:
        """Say the first problem, and how many there are."""
        if not self.problems:
            return ""
        more = len(self.problems) - 1
        told = self.problems[0]["message"]
        return f"{told} (and {more} more)" if more else told


def opinions(report: Report) -> tuple[Opinion, ...]:
    """Ask every peer about a bag that was judged. Raises nothing for a bag's sake."""
    if why := _unaskable(report):
        return tuple(
            Opinion(peer=one, verdict=Word.UNASKED, message=why, ours=report.ok)
            for one in peers.PEERS
        )
    patience = PATIENCE + report.bytes / SLOWEST
    return (
        of_bag(report, ask("bagit", patience, place=str(report.path.absolute()))),
        *_of_warcs(report, patience),
    )


def heard(report: Report, told: Sequence[Opinion]) -> Report:
    """Return a report that holds a finding for each difference left unexplained."""
    found = [_unexplained(one) for one in told if one.differs and not one.explained]
    if not found:
        return report
    findings = sorted(
        (*report.findings, *found), key=lambda one: one.severity is Severity.WARNING
    )
    is_sound = not any(one.severity is Severity.ERROR for one in findings)
    return replace(report, ok=is_sound, findings=tuple(findings))


def opinion_json(one: Opinion) -> dict[str, object]:
    """Tell an opinion as ``verify --second-opinion --json`` promises it."""
    return {
        "peer": one.peer,
        "version": one.version,
        "path": one.path,
        "verdict": str(one.verdict),
        "message": one.message,
        "agrees": one.verdict in VERDICTS and not one.differs,
        "explained": one.explained,
    }


def _unaskable(report: Report) -> str:
    """Say why nobody else should open a bag, or nothing if they may."""
    if not report.path.is_dir():
        return "others read a bag in a folder only"
    if report.level is Level.OXUM:
        return "nothing was read yet that tells whether it is safe; ask a higher level"
    codes = sorted({one.code for one in report.findings if one.code in DANGERS})
    if codes:
        return f"we found {', '.join(codes)}: others might be led astray"
    return ""


def _unexplained(one: Opinion) -> Finding:
    is_worse = one.ours and one.verdict is Word.INVALID
    ours = "valid" if one.ours else "invalid"
    peer = f"{one.peer} {one.version}".rstrip()
    said = f"{peer} says {one.verdict}, we say {ours}"
    told = f"{said}, and no known difference explains it: {one.message or 'no reason'}"
    return Finding(
        code="second-opinion",
        severity=Severity.ERROR if is_worse else Severity.WARNING,
        path=one.path,
        message=told,
        clause="RFC 8493 3",
    )


# ----------------------------------------------------------------------------- asking


def ask(
    peer: str, patience: float, *, place: str = "", warc: int | None = None
) -> Answer:
    """Ask a peer in a process of its own, which ends with our patience."""
    command = [sys.executable, "-P", peers.__file__, peer, place]
    try:
        done = subprocess.run(  # noqa: S603 - our own script, by its own path
            command,
            stdin=subprocess.DEVNULL if warc is None else warc,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            env=os.environ | {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _failed(Word.LATE, f"no answer within {patience:.0f} seconds")
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return _failed(Word.CRASHED, f"it ended with status {done.returncode}")
    return Answer(
        verdict=Word(told["verdict"]),
        version=told["version"],
        problems=tuple(told["problems"]),
    )


def _failed(verdict: Word, message: str) -> Answer:
    return Answer(verdict=verdict, problems=(peers.problem(message),))


def _of_warcs(report: Report, patience: float) -> Iterator[Opinion]:
    """Ask about each WARC, which is opened here, so that nothing can lead elsewhere."""
    with opened(report.path) as root:
        files = (one.path for one in walk(root) if one.kind is Kind.FILE)
        paths = sorted(one for one in files if one.endswith((b".warc", b".warc.gz")))
        for path in paths[:MOST_WARCS]:
            yield from _of_warc(root, path, report, patience)
    if more := len(paths) - MOST_WARCS:
        message = f"{more} more WARC files; {MOST_WARCS} were asked about"
        for peer in READERS if more > 0 else ():
            yield Opinion(peer=peer, verdict=Word.UNASKED, message=message)


def _of_warc(
    root: int, path: bytes, report: Report, patience: float
) -> Iterator[Opinion]:
    shown = show(path)
    for peer in READERS:
        try:
            with file_beneath(root, path) as file:
                told = of_warc(report, shown, peer, ask(peer, patience, warc=file))
            is_odd = told.differs and told.explained and told.verdict is Word.INVALID
            if is_odd and not _is_right(root, path):
                told = replace(told, explained="")
        except OSError as error:
            answer = _failed(Word.UNASKED, f"it cannot be read: {reason(error)}")
            told = of_warc(report, shown, peer, answer)
        yield told


def _is_right(root: int, path: bytes) -> bool:
    """Read a WARC strictly ourselves: is every payload digest right."""
    with file_beneath(root, path) as file, os.fdopen(os.dup(file), "rb") as stream:
        found = warccheck.check(stream, index=None, capture=None, path=show(path))
        return not any(one.code in UNSURE for one in found)


# --------------------------------------------------------------------------- comparing


def of_bag(report: Report, answer: Answer) -> Opinion:
    """Set what bagit says of a bag beside our report (pure)."""
    told = _opinion("bagit", "", answer, ours=report.ok)
    return replace(told, explained=_why(report, answer)) if told.differs else told


def _why(report: Report, answer: Answer) -> str:
    codes = {one.code for one in report.findings}
    errors = {one.code for one in report.findings if one.severity is Severity.ERROR}
    if answer.verdict is Word.CRASHED:
        return next((CRASHES[one] for one in CRASHES if one in codes), "")
    if answer.verdict is Word.VALID:
        reasons = {one: _blindness(one) for one in sorted(errors)}
        return (
            "; ".join(dict.fromkeys(reasons.values())) if all(reasons.values()) else ""
        )
    if answer.verdict is Word.INVALID:
        return _peculiarity(report.findings, answer.problems)
    return ""


def _blindness(code: str) -> str:
    deeper = (why for start, why in DEEPER.items() if code.startswith(start))
    return BLIND.get(code) or next(deeper, "")


def _peculiarity(findings: Sequence[Finding], problems: Sequence[peers.Problem]) -> str:
    """Explain each problem of bagit by the very name that it is about, or none."""
    twins = _paths(findings, "unicode-collision")
    odd = _paths(findings, "portable-name")
    is_escaped = any(one.code == "malformed-line" for one in findings)
    reasons: dict[str, None] = {}
    for one in problems:
        path = one["path"]
        if path and _composed(path) in twins:
            reasons[TWINS] = None
        elif is_escaped and path.replace("\\\\", "\\") in odd:
            reasons[ESCAPED] = None
        else:
            return ""
    return "; ".join(reasons)


def _paths(findings: Sequence[Finding], code: str) -> set[str]:
    return {_composed(one.path) for one in findings if one.code == code}


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def of_warc(report: Report, path: str, peer: str, answer: Answer) -> Opinion:
    """Set what a reader says of a WARC beside what we found in it (pure).

    That its payload digests are right, where it says not, is for the caller to see.
    """
    errors = [one for one in report.findings if one.severity is Severity.ERROR]
    ours = not any(one.path == path for one in errors)
    told = _opinion(peer, path, answer, ours=ours)
    if not told.differs:
        return told
    if answer.verdict is Word.VALID:
        return replace(told, explained=LOOSER)
    if answer.verdict is not Word.INVALID:
        return told
    reasons = [ODD.get(one["why"], "") for one in answer.problems]
    why = "; ".join(dict.fromkeys(reasons)) + RIGHT if all(reasons) else ""
    return replace(told, explained=why)


def _opinion(peer: str, path: str, answer: Answer, *, ours: bool) -> Opinion:
    message = answer.message
    if answer.verdict is Word.ABSENT:
        message = f"{peer} is not installed: pip install {peer}"
    return Opinion(
        peer=peer,
        path=path,
        verdict=answer.verdict,
        version=answer.version,
        message=message,
        ours=ours,
    )
