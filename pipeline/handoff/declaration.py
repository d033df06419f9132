"""The paper of a certificate: a draft for a person to complete, as one HTML page.

It follows what Rules 902(13) and 902(14) of the US Federal Rules of Evidence ask for: a
process described, a copy compared by digests; other courts ask for the same facts in
other forms. What the program knows is filled in; what only a person can say, who they
are, what they know and whether they stand by it, is left blank. Pure: no file is read
here, and whatever a page or a bag says of itself is escaped.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from pipeline.sheet import policy, text

STYLE = """
@page { size: A4; margin: 22mm 20mm 24mm;
  @bottom-left { content: "DRAFT"; font: 8pt sans-serif; color: #8a0f13; }
  @bottom-right { content: counter(page) " of " counter(pages);
    font: 8pt sans-serif; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 46rem; color: #111;
  background: #fff; font: 11.5pt/1.45 "Liberation Serif", Georgia, "Times New Roman",
  serif; counter-reset: part; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0 .3rem; }
h2 { font-size: 1.1rem; margin: 1.9rem 0 .5rem; break-after: avoid; }
h2::before { counter-increment: part; content: counter(part) ". "; }
p { margin: .45rem 0; }
.under { color: #444; margin-top: 0; }
.draft { border: 2px solid #8a0f13; color: #8a0f13; padding: .5rem .8rem;
  font-family: "Liberation Sans", Arial, sans-serif; font-size: .92rem; }
.draft b { letter-spacing: .12em; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0;
  border-bottom: 1px solid #ccc; }
td { overflow-wrap: anywhere; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
.facts th { width: 12.5rem; font-weight: normal; color: #444; overflow-wrap: normal; }
.nowrap { white-space: nowrap; overflow-wrap: normal; }
code { font: .84em/1.4 "Liberation Mono", Menlo, Consolas, monospace; }
ol, ul { margin: .4rem 0; padding-left: 1.4rem; }
li { margin: .25rem 0; }
.blank { display: inline-block; border-bottom: 1px solid #111; min-width: 14rem;
  height: 1.25em; vertical-align: bottom; }
.line { display: block; border-bottom: 1px solid #111; height: 1.9em; }
.fill { break-inside: avoid; }
.box { display: inline-block; width: .8em; height: .8em; border: 1px solid #111;
  margin-right: .5em; vertical-align: -.05em; }
footer { margin-top: 2.5rem; padding-top: .6rem; border-top: 1px solid #999;
  color: #444; font-size: .85rem; }
@media print { body { padding: 0; max-width: none; } }
"""
POLICY = policy(STYLE)
BLANK = '<span class="blank"></span>'
DRAFT = (
    "Written by a program from the records of one bag. It certifies nothing until a "
    "qualified person has checked it, completed every blank, struck out what they "
    "cannot say, and signed. It gives no opinion, and is no legal advice."
)
PROCESS = (
    (
        "The program connects to the server that the address names, sends requests, "
        "and writes what comes over the connection, byte for byte and before anything "
        "is decoded, into a WARC file (ISO 28500), each request beside its answer. "
        "What is derived from it is kept apart and named so."
    ),
    (
        "Digests are computed from the bytes as they are written. The files are packed "
        "as a bag (RFC 8493), whose manifests name the digests of every file; what "
        "came of each request, failures included, is listed in data/metadata/."
    ),
)
COPY = (
    "The first digest was recorded when the file was written, and is covered by the "
    "bag's manifests; the second was computed from the copy that this draft is about, "
    "when the draft was made. Equal digests show that the bytes are the same."
)


class File(Struct, frozen=True, kw_only=True):
    """A file of the bag: what was recorded of it, and what it is now."""

    path: str
    size: int  # bytes
    media_type: str
    recorded: str  # SHA-256, hexadecimal
    found: str  # likewise


class Step(Struct, frozen=True, kw_only=True):
    """A line of the custody log."""

    number: int  # counted from 1, as a person counts lines
    at: datetime
    act: str
    outcome: str
    detail: str


class Certified(Struct, frozen=True, kw_only=True):
    """All that a certificate tells; what is empty is left out."""

    bag: str
    at: datetime  # when the draft was made
    software: str
    captured: tuple[tuple[str, str], ...]  # name and value: what, when, from where
    system: tuple[tuple[str, str], ...]  # by which program, on what
    files: tuple[File, ...]
    checked: str  # what the check of the whole bag came to
    tagmanifests: tuple[tuple[str, str], ...]  # name and digest of each
    seals: tuple[str, ...]  # by whom and when, a sentence each
    custody: tuple[Step, ...]
    limits: tuple[str, ...]  # what is known to be wanting, a sentence each
    not_asserted: tuple[str, ...]  # what no such capture shows, a clause each


def page(told: Certified) -> Iterator[str]:
    """Yield the paper, piece by piece (pure)."""
    yield from _head(told)
    yield from _person()
    yield "<h2>What was captured</h2>\n"
    yield from _facts(told.captured)
    yield "<h2>The process and the system</h2>\n"
    yield from (f"<p>{text(one)}</p>\n" for one in PROCESS)
    yield from _facts(told.system)
    yield from _copy(told)
    yield "<h2>Time and signature</h2>\n"
    yield from _list(told.seals)
    yield from _custody(told.custody)
    yield "<h2>What this does not show</h2>\n"
    yield from _list(told.limits)
    yield "<p>Nor is it asserted:</p>\n"
    yield from _list(told.not_asserted)
    yield from _declaration()
    yield (
        f"<footer><p>Drafted {_moment(told.at)} by {text(told.software)} for the bag "
        f"<code>{text(told.bag)}</code>. Anyone can check that bag without this "
        "program: its README.txt says how.</p></footer>\n</body>\n</html>\n"
    )


def _head(told: Certified) -> Iterator[str]:
    title = "Certificate of records made by an electronic process"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>DRAFT: {title}: {text(told.bag)}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<p class="draft"><b>DRAFT</b> {text(DRAFT)}</p>\n<h1>{title}</h1>\n'
        '<p class="under">and of data copied from a file: Federal Rules of Evidence '
        "902(13) and 902(14); 28 U.S.C. \u00a7 1746</p>\n"
    )


def _person() -> Iterator[str]:
    yield "<h2>The person who certifies</h2>\n"
    rows = (
        "Name",
        "Position and employer",
        "Qualification: training, experience, how long with such systems",
        "How I know the facts below: what I did, saw or checked myself",
    )
    for one in rows:
        lines = 1 + (":" in one)
        yield f'<div class="fill"><p>{one}</p>{_lines(lines)}</div>\n'


def _lines(number: int) -> str:
    return '<span class="line"></span>' * number


def _facts(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield '<table class="facts"><tbody>\n'
    for name, value in pairs:
        if value:
            yield f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>\n'
    yield "</tbody></table>\n"


def _list(sentences: Iterable[str]) -> Iterator[str]:
    yield "<ul>\n"
    yield from (f"<li>{text(one)}</li>\n" for one in sentences)
    yield "</ul>\n"


def _columns(*names: str) -> str:
    heads = "".join(f'<th scope="col">{one}</th>' for one in names)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n"


def _copy(told: Certified) -> Iterator[str]:
    yield f"<h2>Original and copy compared</h2>\n<p>{text(COPY)}</p>\n"
    yield _columns("file", "SHA-256 when recorded, and now")
    for one in told.files:
        word = "the same" if one.recorded == one.found else "NOT THE SAME"
        yield (
            f"<tr><td>{text(one.path)}<br>{one.size:,} bytes<br>"
            f"{text(one.media_type)}</td><td><code>{text(one.recorded)}<br>"
            f"{text(one.found)}</code><br>{word}</td></tr>\n"
        )
    yield f"</tbody></table>\n<p>{text(told.checked)}</p>\n"
    yield "<p>The whole bag is named by the SHA-256 digests of its tag manifests:</p>\n"
    yield from _facts(told.tagmanifests)


def _custody(steps: Iterable[Step]) -> Iterator[str]:
    yield "<h2>Custody</h2>\n"
    steps = tuple(steps)
    if not steps:
        yield (
            "<p>The bag stands in no archive of this program, so that no log of its "
            f"custody is at hand. Who had it, and when: {BLANK}</p>\n"
        )
        return
    yield (
        "<p>From the archive's custody log, to which lines are only ever added; each "
        "is a leaf of a hash tree whose head is signed.</p>\n"
    )
    yield _columns("line", "when (UTC)", "act", "outcome", "detail")
    for one in steps:
        yield (
            f'<tr><td class="nowrap">{one.number:,}</td>'
            f'<td class="nowrap">{_moment(one.at)}</td>'
            f'<td class="nowrap">{text(one.act)}</td>'
            f'<td class="nowrap">{text(one.outcome)}</td>'
            f"<td>{text(one.detail)}</td></tr>\n"
        )
    yield "</tbody></table>\n"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _declaration() -> Iterator[str]:
    choices = (
        "The process described in part 3 produces an accurate result. I base this on:",
        (
            "The copy that I produce with this certificate has the digests of part 4. "
            "I compared them myself, with:"
        ),
    )
    yield "<h2>Declaration</h2>\n"
    yield "<p>Mark what you declare, and strike out the rest.</p>\n"
    for one in choices:
        box = f'<p><span class="box"></span>{one}</p>'
        yield f'<div class="fill">{box}{_lines(2)}</div>\n'
    yield (
        '<div class="fill"><p>I declare under penalty of perjury under the laws of the '
        "United States of America that the foregoing is true and correct.</p>\n"
        f"<p>Executed on (date) {BLANK}</p>\n<p>at (place) {BLANK}</p>\n"
        f"<p>Signature {BLANK}</p></div>\n"
    )
