"""What is wrong in a manifest, told so that a person can mend it.

A problem names its file, line and column, what was found, what is allowed, and quotes
the line with a caret and a hint. No secret leaves through it: the values that were
found to be secrets are masked, and besides them whatever looks like one.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from pipeline.errors import Exit, PipelineError
from pipeline.intake.notation import LINE_BREAK, UNPRINTABLE, Flaw, Span
from pipeline.intake.secrecy import MASK, blank, continues_secret, hide, is_secret_field
from pipeline.model import Severity

MOST = 1000  # problems that are told; who has more begins with these
LONGEST_LINE = 4000  # characters; a longer line is not quoted
LONGEST_NAME = 80  # characters of a key that a path repeats
WIDTH = 120  # characters of a line that are shown


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, and where. Lines and columns count from 1."""

    severity: Severity
    file: str
    line: int
    column: int
    path: str  # dotted: sources.reuters.capture
    message: str
    hint: str = ""
    excerpt: str = ""  # the line, its secrets masked


class ManifestError(PipelineError):
    """A manifest that cannot be run; ``problems`` has all that is wrong with it."""

    code = "manifest"
    exit = Exit.MANIFEST

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(render(problems))
        self.problems = tuple(problems)

    def details(self) -> dict[str, object]:
        """Return the problems, in the shape of ``check --json``."""
        return {"problems": problems_as_json(self.problems)["problems"]}


def problems_of(
    flaws: Iterable[Flaw], *, file: str, text: str, secrets: tuple[Span, ...] = ()
) -> tuple[Problem, ...]:
    """Turn flaws into problems, in the order of the text, each once.

    ``secrets`` are the stretches of the text that no excerpt may show.
    """
    unique = dict.fromkeys(flaws)
    if not unique:
        return ()
    ordered = sorted(unique, key=lambda flaw: (flaw.span.line, flaw.span.column))
    lines = LINE_BREAK.split(blank(text, secrets))
    told = [_problem(flaw, file, text, lines) for flaw in ordered[:MOST]]
    if len(ordered) > MOST:
        message = f"{len(ordered) - MOST} problems more are not listed"
        last = told[-1]
        told.append(
            Problem(
                severity=Severity.ERROR,
                file=file,
                line=last.line,
                column=last.column,
                path="",
                message=message,
            )
        )
    return tuple(told)


def _problem(flaw: Flaw, file: str, text: str, lines: list[str]) -> Problem:
    span = flaw.span
    excerpt = lines[span.line - 1] if span.line <= len(lines) else ""
    is_inside = not flaw.path and span.column > 1  # of something, or of no tree at all
    if is_inside and continues_secret(text, span.start):
        excerpt = MASK * len(excerpt)
    return Problem(
        severity=flaw.severity,
        file=file,
        line=span.line,
        column=span.column,
        path=_dotted(flaw.path),
        message=flaw.message,
        hint=flaw.hint,
        excerpt=_quotable(excerpt),
    )


def _dotted(path: tuple[str, ...]) -> str:
    """Write a path, without what stands inside of a secret."""
    depths = range(1, len(path) + 1)
    end = next((depth for depth in depths if is_secret_field(path[:depth])), len(path))
    return hide(".".join(name[:LONGEST_NAME] for name in path[:end]))


def _quotable(line: str) -> str:
    """Take from a line what a terminal should not get: secrets, controls, excess."""
    if len(line) > LONGEST_LINE:
        return f"(a line of {len(line):,} characters)"
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", hide(line))


# ------------------------------------------------------------------------ for people


def render(problems: Sequence[Problem]) -> str:
    """Write problems as a person reads them, with one line at the end that sums up."""
    if not problems:
        return ""
    return "\n".join((*(_told(problem) for problem in problems), summary(problems)))


def summary(problems: Sequence[Problem]) -> str:
    """Sum up problems in one line."""
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    counts = " and ".join(
        f"{count} {word}{'s' * (count != 1)}"
        for count, word in ((errors, "problem"), (warnings, "warning"))
        if count
    )
    rest = "; nothing was fetched." if errors else "."
    return f"{counts} in {_plain(problems[0].file)}{rest}"


def _told(problem: Problem) -> str:
    place = f"{_plain(problem.file)}:{problem.line}:{problem.column}"
    kind = "warning: " if problem.severity is Severity.WARNING else ""
    path = f"{_plain(problem.path)}: " if problem.path else ""
    shown, before = _window(problem.excerpt, problem.column - 1)
    number = str(problem.line)
    caret = f"{_blank_as_wide_as(before)}^ {_plain(problem.hint)}".rstrip()
    return (
        f"{place}: {kind}{path}{_plain(problem.message)}\n"
        f"  {number} | {shown}\n"
        f"  {' ' * len(number)} | {caret}"
    )


def _plain(text: str) -> str:
    """Write out, as a number, what would end the line or steer a terminal."""
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        else letter
        for letter in text
    )


def _window(line: str, at: int) -> tuple[str, str]:
    """Cut a long line to what stands around a column; also give what is before it."""
    if len(line) <= WIDTH:
        return line, line[:at]
    begin = max(0, min(at - WIDTH // 2, len(line) - WIDTH))
    end = begin + WIDTH
    head = "…" if begin else ""
    tail = "…" if end < len(line) else ""
    return f"{head}{line[begin:end]}{tail}", f"{head}{line[begin:at]}"


def _blank_as_wide_as(text: str) -> str:
    """Fill the width that a terminal gives a text, tabs as tabs."""
    return "".join(
        "\t" if letter == "\t" else " " * _columns(letter) for letter in text
    )


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0  # combining marks, joiners
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


# ---------------------------------------------------------------------- for programs


def problems_as_json(problems: Sequence[Problem]) -> dict[str, object]:
    """Write problems as ``check --json`` prints them, their files' paths absolute."""
    return {
        "ok": all(problem.severity is not Severity.ERROR for problem in problems),
        "problems": [
            {
                "severity": str(problem.severity),
                "file": str(Path(problem.file).absolute()),
                "line": problem.line,
                "column": problem.column,
                "path": problem.path,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ],
    }
