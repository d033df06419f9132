"""What a person reads on a terminal: tables, verdicts, complaints.

Results go to standard output, everything else to standard error.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.loglines import NAME as ERRORS
from pipeline.loglines import Level, Log
from pipeline.model import Capture, Change, Finding, Verdict
from pipeline.outlet import put

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.doctor import Report as Health
    from pipeline.handoff.receive import Received, Refused
    from pipeline.holdings.ledger import Examined
    from pipeline.packaging.opinion import Opinion
    from pipeline.packaging.validate import Report

MARKS = {
    Verdict.CAPTURED: "\u2713",
    Verdict.UNCHANGED: "=",
    Verdict.SKIPPED: "-",
    Verdict.PARTIAL: "!",
    Verdict.SUSPECT: "!",
    Verdict.REFUSED: "\u2717",
    Verdict.FAILED: "\u2717",
}
JOINERS = "\n\u200c\u200d"  # a line break that we wrote, ZWNJ, ZWJ
NAMED = 10  # bags that are named in a sentence
WIDEST = 72  # columns of one cell of a plain table


def say(text: str = "") -> None:
    """Print a line of the result."""
    put(sys.stdout, f"{clean(text)}\n")


def remark(text: str, level: Level = Level.INFO) -> None:
    """Print a line beside the result; a log for programs tells its level as well."""
    if isinstance(sys.stderr, Log):
        sys.stderr.log(text, level=level)
        return
    put(sys.stderr, f"{clean(text)}\n", ERRORS)
    put(sys.stderr, name=ERRORS)


def alarm(text: str) -> None:
    """Print a line from within a signal: nothing that is buffered may be touched."""
    log = sys.stderr
    told = log.line(text, Level.WARN) if isinstance(log, Log) else line(text)
    with suppress(OSError):
        os.write(2, f"{told}\n".encode())


def say_json(value: object) -> None:
    """Print the one JSON document of a command."""
    put(sys.stdout, f"{_json(value)}\n")


def say_json_with(value: object, name: str, items: Iterable[object]) -> None:
    """Print one JSON document, an object whose last member is a list of any length."""
    put(sys.stdout, f'{_json(value).removesuffix("}").rstrip()},\n  "{name}": [')
    comma = ""
    for one in items:
        told = _json(one).replace("\n", "\n    ")
        put(sys.stdout, f"{comma}\n    {told}")
        comma = ","
    end = "\n  ]" if comma else "]"
    put(sys.stdout, f"{end}\n}}\n")


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=not _speaks_unicode(), indent=2)
    if not text.isascii():
        text = "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in text)
    return text


def kept_before(paths: Sequence[str]) -> None:
    """Name, beside a complaint, the bags that were kept before it."""
    if paths:
        were = "was" if len(paths) == 1 else "were"
        named = ", ".join(paths[:NAMED])
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        remark(f"{counted(len(paths), 'bag')} {were} kept before: {line(named)}{more}")


def finish() -> None:
    """Hand over what was printed. Raises StorageError where it can't be written."""
    put(sys.stdout)


def clean(text: str) -> str:
    """Take out what could steer a terminal: a page's title is a stranger's words."""
    kept = "".join(c if _is_harmless(c) or c == "\t" else "\ufffd" for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    return kept.encode(encoding, "replace").decode(encoding)


def line(text: object) -> str:
    """Clean text that must not pass for more than one line."""
    return clean(" ".join(str(text).split()))


def _is_harmless(char: str) -> bool:
    """Tell what moves, hides or turns nothing: Persian needs joiners, French spaces."""
    return char.isprintable() or char in JOINERS or unicodedata.category(char) == "Zs"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table with plain columns, as wide as they need to be."""
    cells = [[line(cell) for cell in row] for row in rows]
    lines = [list(columns), *cells]
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*lines, strict=True)]
    for row in lines:
        told = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(told).rstrip())


def health(report: "Health") -> None:
    """Print what the doctor saw: the machine, the archive, what is wrong with it."""
    for name, value in report.environment:
        say(line(f"{name:<16}{value}"))
    for name, version in report.extras:
        say(line(f"[{name}]{'':<{14 - len(name)}}{version or 'not installed'}"))
    say()
    for name, found in report.archive.items():
        shown = len(found) if isinstance(found, list) else found
        say(line(f"{name.replace('_', ' '):<16}{shown}"))
    for done in report.repaired:
        say(line(f"repaired: {done}"))
    for one in report.signs:
        say(line(f"{one.severity}: {one.code}: {one.message}"))
    if not report.signs:
        say("nothing is wrong")


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def verdict_line(capture: Capture, change: Change) -> str:
    """Tell one source's outcome in a line."""
    mark = MARKS[capture.verdict]
    reasons = f" ({', '.join(capture.reasons)})" if capture.reasons else ""
    needed = capture.requisites
    kept = f", {needed.kept} of {needed.wanted} requisites" if needed.wanted else ""
    is_said = change is Change.FIRST or capture.verdict is Verdict.UNCHANGED
    news = "" if is_said else f", {change}"
    return f"{mark} {capture.source.id}: {capture.verdict}{reasons}{kept}{news}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: 1 source, 2 sources."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(files: int, size: int) -> str:
    """Write how much there is of a bag."""
    return f"{counted(files, 'file')}, {counted(size, 'byte')}"


def span(time: timedelta) -> str:
    """Write a span of time as seconds: 5s, 0.1s."""
    return f"{time.total_seconds():g}s"


# --------------------------------------------------------------------------- results


def outcome(told: dict[str, Any]) -> None:
    """Print what became of a run, what was not kept first."""
    troubled = [
        s for s in told["sources"] if s["verdict"] not in ("captured", "unchanged")
    ]
    paths = {bag["id"]: bag["path"] for bag in told["bags"]}
    say()
    for source in troubled:
        why = source["detail"] or ", ".join(source["reasons"])
        say(line(f"{source['verdict']}: {source['id']}: {why}"))
        say(f"    {line(source['url'])}")
    if troubled:
        say()
    table(
        ("source", "verdict", "change", "requisites", "bag"),
        [
            (
                source["id"],
                source["verdict"],
                source["change"] or "",
                "{kept}/{wanted}".format(**source["requisites"]),
                source["bag"] or "",
            )
            for source in told["sources"]
        ],
    )
    counts = ", ".join(f"{n} {verdict}" for verdict, n in told["counts"].items())
    say()
    bags = counted(len(paths), "bag")
    say(line(f"{counts}; {bags} and the run's own: {told['run_bag']}"))
    if seal := told.get("run_seal"):
        say(line(seal_line(seal, told["bags"])))


def seal_line(seal: dict[str, Any], bags: Iterable[dict[str, Any]]) -> str:
    """Tell who sealed a run, and whose word on the time it has or waits for."""
    who = f"sealed by {seal['signer']}"
    waiting = [one for bag in bags for one in bag.get("seal", {}).get("pending", ())]
    waiting = [*waiting, *seal["pending"]]
    if waiting:
        why = "; ".join(
            dict.fromkeys(f"{one['authority']}: {one['reason']}" for one in waiting)
        )
        return f"{who}; timestamps are pending ({why}); try: muniment seal --pending"
    if seal["state"] == "untimestamped":
        return f"{who}; time asserted by this machine only"
    names = ", ".join(one["authority"] for one in seal["timestamps"])
    return f"{who}; timestamped by {names}"


def reports(
    judged: "Sequence[Report]", seals: "Mapping[Path, str] | None" = None
) -> None:
    """Print what was found, the invalid bags first; ``seals`` tells of theirs."""
    for report in sorted(judged, key=lambda one: one.ok):
        files = f"{size(report.files, report.bytes)}, level {report.level}"
        word = "valid" if report.ok else "INVALID"
        say(line(f"{word}: {report.path} ({files})"))
        findings(report.findings)
        if seals and report.path in seals:
            say(f"    {line(seals[report.path])}")
    bad = sum(not report.ok for report in judged)
    if not judged:
        say("no bag was found there")
    else:
        say(f"{counted(len(judged), 'bag')}, {bad} invalid")


def findings(found: Iterable[Finding]) -> None:
    """Print findings, each with its rule's clause."""
    for one in found:
        where = f" {one.path}:" if one.path else ""
        told = f"{one.code}:{where} {one.message} [{one.clause}]"
        say(f"    {one.severity}: {line(told)}")


def received(one: "Received | Refused") -> None:
    """Print what became of a bag that came from elsewhere."""
    from pipeline.handoff.receive import Refused  # noqa: PLC0415 - start-up time

    if isinstance(one, Refused):
        say(line(f"refused: {one.error}"))
        return
    for note in one.notes:
        remark(note)
    held = size(one.report.files, one.report.bytes)
    word = "kept" if one.is_kept else "SET ASIDE"
    say(line(f"{word}: {one.file} as {one.path} ({held})"))
    findings(one.report.findings)
    if one.seals is not None:
        say(f"    {line(one.seals.sentence())}")


def opinions(report: "Report", told: "Sequence[Opinion]") -> None:
    """Print what others' readers say of a bag, if they were asked."""
    if not told:
        return
    say()
    say(line(f"second opinion: {report.path}"))
    table(
        ("reader", "says", "of", "beside ours"),
        [
            (
                f"{one.peer} {one.version}".rstrip(),
                one.verdict,
                one.path or "the bag",
                one.difference,
            )
            for one in told
        ],
    )


def examined(told: "Examined") -> None:
    """Print what was found of a custody log."""
    lines = counted(told.head.size, "line")
    compared = counted(told.checkpoints, "checkpoint")
    word = "sound" if told.ok else "DAMAGED"
    say(line(f"{word}: {told.path} ({lines}, {compared} compared)"))
    findings(told.findings)


ASSERTED = "time asserted by this machine only"


def story(told: dict[str, Any]) -> None:
    """Print what a bag says of itself."""
    if "bags" in told and "verdict" not in told:
        say(line(f"run {told['run']}"))
        for bag in told["bags"]:
            say(f"    {line(bag if isinstance(bag, str) else bag['path'])}")
        return
    if "origin" in told:
        rows = [("bag", told["bag"]), ("origin", told["origin"])]
        rows += [("seal", told.get("sealed", "")), ("folder", told["path"])]
        _fields([*rows, *((f"  {label}:", value) for label, value in told["info"])])
        return
    source = told["source"]
    requisites = "{kept} of {wanted} requisites kept".format(**told["requisites"])
    rows = [
        ("bag", told["bag"]),
        ("source", f"{told['job']}/{source['id']}"),
        ("title", source["title"] or told["page_title"]),
        ("cited as", source["url"]),
        ("ended at", told["final_url"]),
        ("captured", f"{told['started']} ({told.get('basis') or ASSERTED})"),
        ("seal", told.get("sealed", "")),
        ("verdict", " ".join([told["verdict"], *told["reasons"]])),
        ("in words", told["detail"]),
        ("kept", f"{counted(len(told['exchanges']), 'exchange')}, {requisites}"),
        *(
            ("quote", f"{'found' if quote['found'] else 'NOT found'}: {quote['text']}")
            for quote in told["quotes"]
        ),
        ("self-test", _tested(told.get("self_test"))),
        ("folder", told["path"]),
    ]
    _fields(rows)


def _tested(told: Any) -> str:
    """Say that the tool was tried on a known page in the run that made a bag."""
    if not isinstance(told, dict) or told.get("passed") is not True:
        return ""
    return f"passed {told.get('at')}: a known page, recorded byte for byte"


def _fields(rows: Iterable[tuple[str, str]]) -> None:
    for name, value in rows:
        if value:
            say(f"{line(name):10} {line(value)}")
