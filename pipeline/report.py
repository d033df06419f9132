"""A page that tells what a verification found: one file that needs nothing beside it.

No script, no font, no picture, no request: a Content-Security-Policy allows the page's
own style alone, by its digest. Whatever comes from a bag is a stranger's: it is escaped
for HTML, controls and characters that turn the line are spelt out, and each name stands
in a direction of its own. What is wrong comes first.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, starmap
from pathlib import Path

from msgspec import Struct

from pipeline.model import Finding, Severity
from pipeline.packaging.names import show
from pipeline.packaging.opinion import Opinion
from pipeline.packaging.rules import RULES
from pipeline.packaging.validate import Report
from pipeline.sheet import policy, put, text

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #5a636c; --line: #d5dade;
  --paper: #fff; --tint: #f4f6f7; --bad: #a4161a; --bad-tint: #fdecec;
  --warn: #7a4b00; --warn-tint: #fff4dc; --good: #1b6b3a; --good-tint: #e8f5ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --dim: #a0a9b2;
  --line: #3a4148; --paper: #16191c; --tint: #20252a; --bad: #ff9a94;
  --bad-tint: #3c1c1c; --warn: #f2c06a; --warn-tint: #372b12; --good: #83d3a0;
  --good-tint: #16301f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 68rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1.02rem; margin: 2rem 0 .25rem; overflow-wrap: anywhere; }
h4 { font-size: .92rem; margin: 1rem 0 0; color: var(--dim); }
.verdict { margin: 0 0 1.5rem; padding: .9rem 1.1rem; border-left: .4rem solid;
  border-radius: .25rem; font-size: 1.15rem; font-weight: 600; }
.bad { color: var(--bad); } .warn { color: var(--warn); } .good { color: var(--good); }
.verdict.bad { background: var(--bad-tint); }
.verdict.good { background: var(--good-tint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem;
  margin: 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.facts { color: var(--dim); margin: 0 0 .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; border-bottom-width: 2px; }
td { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
td.word { white-space: nowrap; font-weight: 600; overflow-wrap: normal; }
td.clause { color: var(--dim); min-width: 7.5rem; }
code, bdi { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace;
  font-size: .92em; }
.name { min-width: 12rem; } .found { min-width: 15rem; }
.code { white-space: nowrap; overflow-wrap: normal; }
a { color: inherit; }
.wide { overflow-x: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .92rem; }
ins, del { text-decoration: none; display: inline-block; width: 100%; }
ins { background: var(--good-tint); } del { background: var(--bad-tint); }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line);
  color: var(--dim); font-size: .92rem; }
@media print { :root { color-scheme: light; --ink: #000; --dim: #444; --line: #bbb;
  --paper: #fff; --bad: #8a0f13; --warn: #5f3a00; --good: #125029; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  .verdict { border: 1px solid; border-left-width: .4rem; }
  .wide { overflow: visible; } thead { display: table-header-group; }
  tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .name, .found, td.clause { min-width: 0; } }
"""
POLICY = policy(STYLE)
DOT = " \u00b7 "
SORTS = {Severity.ERROR: "bad", Severity.WARNING: "warn"}
FINDINGS = ("severity", "code", "path", "what was found", "clause")


class Judged(Struct, frozen=True, kw_only=True):
    """A bag as it was found, and what others say of it if they were asked."""

    report: Report
    opinions: tuple[Opinion, ...] = ()


def write(path: Path, judged: Sequence[Judged], *, at: datetime, software: str) -> None:
    """Write the page whole or not at all, to a name that is free.

    Raises UsageError where something stands there, StorageError where it can't be
    written.
    """
    put(path, page(judged, at=at, software=software))


def page(judged: Sequence[Judged], *, at: datetime, software: str) -> Iterator[str]:
    """Yield the page, piece by piece (pure); ``at`` is in UTC."""
    ordered = sorted(judged, key=_rank)
    yield from head("Verification of bags", _verdict(ordered))
    yield from _summary(ordered, at=at, software=software)
    numbered = tuple(enumerate(ordered, 1))
    troubled = [one for one in numbered if one[1].report.findings]
    sound = [one for one in numbered if not one[1].report.findings]
    for heading, some in (
        ("Bags with findings", troubled),
        ("Bags without findings", sound),
    ):
        if some:
            yield from _bags(heading, some)
            yield from chain.from_iterable(starmap(_details, some))
    yield from _glossary(ordered)
    yield from _foot()


def isolated(path: str) -> str:
    """Write a name so that it turns nothing around it."""
    return f'<bdi dir="ltr">{text(path)}</bdi>' if path else ""


def _place(path: Path) -> str:
    return isolated(show(os.fsencode(path)))


def _rank(one: Judged) -> tuple[bool, bool, bytes]:
    report = one.report
    return report.ok, not report.findings, os.fsencode(report.path)


def _counts(findings: Iterable[Finding]) -> Counter[Severity]:
    return Counter(one.severity for one in findings)


def counted(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ------------------------------------------------------------------------------ parts


def _verdict(judged: Sequence[Judged]) -> tuple[str, str]:
    bad = sum(not one.report.ok for one in judged)
    if not judged:
        return "bad", "No bag was found"
    if bad:
        return "bad", f"{bad:,} of {counted(len(judged), 'bag')} invalid"
    return "good", f"{counted(len(judged), 'bag')}, none invalid"


def head(title: str, verdict: tuple[str, str]) -> Iterator[str]:
    """Begin a page: what it is of, and what it comes to, with its sort of news."""
    sort, words = verdict
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}: {text(words)}</title>\n<style>{STYLE}</style>\n"
        f"</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
        f'<p class="verdict {sort}">{text(words)}</p>\n'
    )


def _summary(judged: Sequence[Judged], *, at: datetime, software: str) -> Iterator[str]:
    reports = [one.report for one in judged]
    counts = _counts(finding for one in reports for finding in one.findings)
    facts = {
        "checked": f"{at:%Y-%m-%d %H:%M:%S} UTC, by the clock of this machine",
        "with": software,
        "level": ", ".join(sorted({str(one.level) for one in reports})),
        "payload": f"{counted(sum(one.files for one in reports), 'file')}, "
        f"{counted(sum(one.bytes for one in reports), 'byte')}",
        "digests": ", ".join(sorted({a for one in reports for a in one.algorithms})),
        "found": f"{counted(counts[Severity.ERROR], 'error')}, "
        f"{counted(counts[Severity.WARNING], 'warning')}",
    }
    yield from facts_list(facts)


def facts_list(facts: Mapping[str, str]) -> Iterator[str]:
    """Write what is known, and end the head of a page."""
    yield "<dl>\n"
    for name, value in facts.items():
        if value:
            yield f"<dt>{name}</dt><dd>{text(value)}</dd>\n"
    yield "</dl>\n</header>\n<main>\n"


def table(columns: Iterable[str]) -> str:
    """Begin a table."""
    heads = (f'<th scope="col"{_sort(one)}>{text(one)}</th>' for one in columns)
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    return f'<div class="wide"><table>\n{head}\n<tbody>\n'


def _sort(column: str) -> str:
    numbers = ("files", "bytes", "errors", "warnings", "bags")
    return ' class="number"' if column in numbers else ""


END = "</tbody>\n</table></div>\n"


def _bags(heading: str, numbered: Iterable[tuple[int, Judged]]) -> Iterator[str]:
    yield f"<h2>{heading}</h2>\n"
    columns = ("verdict", "bag", "version", "files", "bytes", "errors", "warnings")
    yield table(columns)
    for number, one in numbered:
        report, counts = one.report, _counts(one.report.findings)
        sort, word = ("good", "valid") if report.ok else ("bad", "invalid")
        name = _place(report.path)
        if report.findings or one.opinions:
            name = f'<a href="#bag-{number}">{name}</a>'
        figures = (report.files, report.bytes, *(counts[one] for one in Severity))
        cells = "".join(f'<td class="number">{one:,}</td>' for one in figures)
        yield (
            f'<tr><td class="word {sort}">{word}</td><td class="name">{name}</td>'
            f"<td>{text(report.version)}</td>{cells}</tr>\n"
        )
    yield END


def _details(number: int, one: Judged) -> Iterator[str]:
    if not (one.report.findings or one.opinions):
        return
    report, counts = one.report, _counts(one.report.findings)
    sort, word = ("good", "valid") if report.ok else ("bad", "invalid")
    facts = (
        f"level {report.level}",
        f"BagIt {report.version}" if report.version else "",
        ", ".join(report.algorithms),
        counted(report.files, "file"),
        counted(report.bytes, "byte"),
        counted(counts[Severity.ERROR], "error"),
        counted(counts[Severity.WARNING], "warning"),
    )
    yield (
        f'<section id="bag-{number}">\n'
        f'<h3><span class="{sort}">{word}</span> {_place(report.path)}</h3>\n'
        f'<p class="facts">{text(DOT.join(filter(None, facts)))}</p>\n'
    )
    if report.findings:
        yield table(FINDINGS)
        yield from map(row, report.findings)
        yield END
    if one.opinions:
        yield from _opinions(one.opinions)
    yield "</section>\n"


def row(one: Finding) -> str:
    """Write a finding as a row of the table with the columns ``FINDINGS``."""
    return (
        f'<tr><td class="word {SORTS[one.severity]}">{one.severity}</td>'
        f'<td class="code"><code>{text(one.code)}</code></td>'
        f'<td class="name">{isolated(one.path)}</td>'
        f'<td class="found">{text(one.message)}</td>'
        f'<td class="clause">{text(one.clause)}</td></tr>\n'
    )


def _opinions(told: Iterable[Opinion]) -> Iterator[str]:
    yield "<h4>Second opinion</h4>\n"
    yield table(("reader", "says", "of", "beside ours"))
    for one in told:
        reader = text(f"{one.peer} {one.version}".rstrip())
        yield (
            f'<tr><td class="word">{reader}</td><td class="code">{one.verdict}</td>'
            f'<td class="name">{isolated(one.path) or "the bag"}</td>'
            f'<td class="found">{text(one.difference)}</td></tr>\n'
        )
    yield END


def _glossary(judged: Iterable[Judged]) -> Iterator[str]:
    found = {finding.code for one in judged for finding in one.report.findings}
    known = sorted(code for code in found if code in RULES)
    if not known:
        return
    yield "<h2>What the codes mean</h2>\n<dl>\n"
    for code in known:
        yield f"<dt><code>{code}</code></dt><dd>{text(RULES[code].meaning)}</dd>\n"
    yield "</dl>\n"


def _foot() -> Iterator[str]:
    yield (
        "</main>\n<footer>\n<p>An error makes a bag invalid; a warning does not. "
        "Level oxum counts files and bytes, complete compares names as well, full "
        "reads every byte and compares every digest. A valid bag holds what its "
        "manifests say, nothing less and nothing else; it does not say who wrote "
        "them.</p>\n"
        "<p>To check a bag without this program, go into its folder and run "
        "<code>sha512sum -c tagmanifest-sha512.txt</code> and "
        "<code>sha512sum -c manifest-sha512.txt</code>, or the same for the "
        "algorithm that it has.</p>\n</footer>\n</body>\n</html>\n"
    )
