"""How a problem is told: the place, the line, the caret, the sum, and no secret."""

from pathlib import Path

import pytest

from pipeline.errors import Exit
from pipeline.intake.notation import START, Flaw, Span, span_at
from pipeline.intake.problem import (
    ManifestError,
    Problem,
    problems_as_json,
    problems_of,
    render,
)
from pipeline.model import Severity


def told(text: str, at: str, **more) -> tuple[Problem, ...]:
    index = text.index(at)
    flaw = Flaw(span=span_at(text, index), message="it is odd", **more)
    return problems_of([flaw], file="m.yaml", text=text)


def test_a_problem_is_told_in_three_lines_and_summed_up_in_one():
    problems = told("a: 1\nb: odd\n", "odd", path=("x", "b"), hint="mend it")
    assert render(problems) == (
        "m.yaml:2:4: x.b: it is odd\n"
        "  2 | b: odd\n"
        "    |    ^ mend it\n"
        "1 problem in m.yaml; nothing was fetched."
    )


def test_without_a_path_and_a_hint_nothing_stands_in_their_place():
    assert render(told("odd", "odd")).splitlines()[:3] == [
        "m.yaml:1:1: it is odd",
        "  1 | odd",
        "    | ^",
    ]


def test_the_margin_is_as_wide_as_the_number_of_the_line():
    lines = render(told("\n" * 99 + "odd\n", "odd")).splitlines()
    assert lines[1:3] == ["  100 | odd", "      | ^"]


def test_a_warning_says_that_it_is_one_and_fetching_goes_on():
    problems = told("odd", "odd", path=("a",), severity=Severity.WARNING)
    lines = render(problems).splitlines()
    assert lines[0] == "m.yaml:1:1: warning: a: it is odd"
    assert lines[-1] == "1 warning in m.yaml."


def test_problems_and_warnings_are_counted_apart():
    text = "odd odd odd"
    flaws = [
        Flaw(span=Span(1, column, column - 1, column), message="m", severity=severity)
        for column, severity in ((9, "error"), (5, "warning"), (1, "error"))
        for severity in (Severity(severity),)
    ]
    problems = problems_of(flaws, file="m.yaml", text=text)
    assert [problem.column for problem in problems] == [1, 5, 9]
    assert render(problems).endswith(
        "2 problems and 1 warning in m.yaml; nothing was fetched."
    )


def test_no_problem_says_nothing():
    assert problems_of([], file="m.yaml", text="a: 1") == ()
    assert render(()) == ""


def test_one_flaw_found_twice_is_told_once():
    flaw = Flaw(span=Span(1, 1, 0, 1), message="m")
    assert len(problems_of([flaw, flaw], file="m.yaml", text="a")) == 1


@pytest.mark.parametrize(
    ("line", "caret"),
    {
        "a: odd": "   ^",
        "\ta: odd": "\t   ^",
        "漢字: odd": "      ^",
        "e\u0301: odd": "   ^",
        "می\u200cکنم: odd": "       ^",
    }.items(),
)
def test_the_caret_stands_below_the_letter_as_a_terminal_shows_it(line, caret):
    assert render(told(line, "odd")).splitlines()[2] == f"    | {caret}"


@pytest.mark.parametrize("at", [0, 1000, 2990])
def test_a_long_line_is_cut_to_what_stands_around_the_place(at):
    text = "".join(chr(97 + number % 26) for number in range(3000))
    flaw = Flaw(span=Span(1, at + 1, at, at + 1), message="m")
    line, caret = render(problems_of([flaw], file="m", text=text)).splitlines()[1:3]
    assert len(line) < 140
    assert line[caret.index("^")] == text[at]


def test_an_endless_line_is_not_quoted():
    (problem,) = told("a" * 100_000 + "odd", "odd")
    assert problem.excerpt == "(a line of 100,003 characters)"
    assert len(render((problem,))) < 400


def test_a_place_behind_the_last_line_is_told():
    flaw = Flaw(span=Span(7, 1, 4, 4), message="m")
    (problem,) = problems_of([flaw], file="m", text="a: 1")
    assert (problem.line, problem.excerpt) == (7, "")


def test_nothing_that_a_terminal_would_obey_is_quoted():
    (problem,) = told("odd \x1b[31m\x07", "odd")
    assert problem.excerpt == "odd \ufffd[31m\ufffd"


def test_neither_a_name_nor_a_message_can_forge_a_line():
    flaw = Flaw(span=START, message="a\nb", hint="c\x1b[2J", path=("d\u2028e",))
    text = render(problems_of([flaw], file="x\ny.yaml", text="a: 1\n"))
    assert len(text.splitlines()) == 4
    assert "x\\ny.yaml:1:1: d\\u2028e: a\\nb" in text
    assert "c\\x1b[2J" in text


def test_what_is_known_to_be_a_secret_is_masked_in_every_line():
    text = "a: plainword, odd\n"
    flaw = Flaw(span=Span(1, 15, 14, 17), message="m")
    (problem,) = problems_of([flaw], file="m", text=text, secrets=(Span(1, 4, 3, 12),))
    assert problem.excerpt == "a: *********, odd"


def test_the_path_ends_where_a_secret_begins():
    flaw = Flaw(span=Span(1, 1, 0, 1), message="m", path=("a", "password", "hunter2"))
    (problem,) = problems_of([flaw], file="m", text="x")
    assert problem.path == "a.password"


def test_a_key_of_any_length_makes_a_short_path():
    flaw = Flaw(span=Span(1, 1, 0, 1), message="m", path=("a" * 100_000,))
    (problem,) = problems_of([flaw], file="m", text="x")
    assert len(problem.path) == 80


def test_after_a_thousand_problems_the_rest_is_counted():
    flaws = [Flaw(span=Span(1, n, 0, 1), message="m") for n in range(1, 1205)]
    problems = problems_of(flaws, file="m", text="x" * 2000)
    assert len(problems) == 1001
    assert problems[-1].message == "204 problems more are not listed"


def test_the_error_carries_its_problems_and_reads_as_they_are_told():
    problems = told("odd", "odd")
    error = ManifestError(problems)
    assert str(error) == render(problems)
    assert error.problems == problems
    assert (error.code, error.exit) == ("manifest", Exit.MANIFEST)


def test_programs_get_the_same_without_the_line():
    problems = told("odd", "odd", path=("a", "b"), hint="mend it")
    assert problems_as_json(problems) == {
        "ok": False,
        "problems": [
            {
                "severity": "error",
                "file": str(Path.cwd() / "m.yaml"),
                "line": 1,
                "column": 1,
                "path": "a.b",
                "message": "it is odd",
                "hint": "mend it",
            }
        ],
    }


def test_warnings_alone_are_no_failure_to_programs():
    assert problems_as_json(told("a", "a", severity=Severity.WARNING))["ok"] is True
    assert problems_as_json(()) == {"ok": True, "problems": []}
