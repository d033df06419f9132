"""The terminal: what a person sees, and what a stranger's words can't do to it."""

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from pipeline import terminal
from pipeline.errors import StorageError
from pipeline.model import (
    Capture,
    Change,
    Finding,
    Level,
    Requisites,
    Severity,
    Source,
    Verdict,
)
from pipeline.packaging.validate import Report, validate

ESC = "\x1b[31mred\x07\x9b2J"
HOSTILE = f"{ESC}\u202egpj.exe\x00\r"


def capture(**told: object) -> Capture:
    settled = {"verdict": Verdict.CAPTURED, **told}
    source = Source(id="page", url="http://one.example/")
    return Capture(source=source, started=samples.NOON, ended=samples.NOON, **settled)


# ------------------------------------------------------------------------ cleanliness

CLEAN = {
    "plain words": ("plain words", "plain words"),
    "another script": ("آزادی é 中", "آزادی é 中"),
    "a Persian joiner": ("می\u200cخو", "می\u200cخو"),
    "a French space": ("dit\u202f: \u00a0oui", "dit\u202f: \u00a0oui"),
    "a tab and a line break of ours": ("a\tb\n", "a\tb\n"),
    "an escape sequence": ("\x1b[2Ja", "\ufffd[2Ja"),
    "one in eight bits": ("\x9b2Ja", "\ufffd2Ja"),
    "a carriage return": ("good\rbad", "good\ufffdbad"),
    "words turned round": ("\u202egpj", "\ufffdgpj"),
    "half a surrogate pair": ("a\udc80", "a\ufffd"),
}


@pytest.mark.parametrize(("text", "expected"), CLEAN.values(), ids=CLEAN)
def test_what_could_steer_a_terminal_is_taken_out(monkeypatch, text, expected):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert terminal.clean(text) == expected


@given(st.text())
def test_no_text_at_all_gets_a_control_through(text):
    cleaned = terminal.clean(text)
    assert not any(c in cleaned for c in map(chr, (*range(9), *range(11, 32), *range(127, 160))))  # fmt: skip
    assert "\n" not in terminal.line(text)


def test_a_title_cannot_forge_a_second_line(capsys):
    terminal.table(("title",), [("fine\nverdict captured",)])
    assert capsys.readouterr().out == "title\nfine verdict captured\n"


def told_of(encoding: str, monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    return raw


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_is_spoken_to(monkeypatch, encoding):
    raw = told_of(encoding, monkeypatch)
    terminal.say("آ ✓ a")
    sys.stdout.flush()
    assert raw.getvalue().decode(encoding).endswith("a\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("text", [HOSTILE, "آ\u200c 😀", "\udc80"])
def test_json_carries_any_text_to_any_terminal_whole_and_harmless(
    monkeypatch, encoding, text
):
    raw = told_of(encoding, monkeypatch)
    terminal.say_json({"title": text})
    sys.stdout.flush()
    written = raw.getvalue().decode(encoding)
    assert json.loads(written) == {"title": text}
    assert not any(c in written for c in "\x1b\x9b\u202e\x00\r")


def test_json_is_readable_where_the_terminal_can_show_it(monkeypatch):
    raw = told_of("utf-8", monkeypatch)
    terminal.say_json(["آزادی"])
    sys.stdout.flush()
    assert "آزادی" in raw.getvalue().decode()


# ---------------------------------------------------------------- a reader who went away


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """Standard output that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    yield stream
    stream.close()


def test_a_reader_who_went_away_stops_no_work(closed):
    for _ in range(3):
        terminal.say("x" * 100_000)
        terminal.say_json(["x" * 100_000])
        terminal.remark("x")
    terminal.finish()


def test_a_result_that_finds_no_room_is_told(monkeypatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full on this system")
    with full.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.say("x")
        with pytest.raises(StorageError, match="standard output: No space left"):
            terminal.finish()
        assert Path(f"/proc/self/fd/{stream.fileno()}").readlink() == Path(os.devnull)


# ---------------------------------------------------------------------------- outcomes

LINES = {
    "a first capture": ({}, Change.FIRST, "✓ page: captured"),
    "a refusal": (
        {"verdict": Verdict.REFUSED, "reasons": ("http-404",)},
        Change.GONE,
        "✗ page: refused (http-404), gone",
    ),
    "what a page needs": (
        {"requisites": Requisites(wanted=3, kept=2, missing=("x",))},
        Change.CHANGED,
        "✓ page: captured, 2 of 3 requisites, changed",
    ),
    "the same as before, said once": (
        {"verdict": Verdict.UNCHANGED},
        Change.UNCHANGED,
        "= page: unchanged",
    ),
}


@pytest.mark.parametrize(("told", "change", "expected"), LINES.values(), ids=LINES)
def test_an_outcome_is_a_line(told, change, expected):
    assert terminal.verdict_line(capture(**told), change) == expected


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_mark(verdict):
    assert verdict in terminal.MARKS


# ----------------------------------------------------------------------------- results


def source_told(**told: object) -> dict:
    return {
        "id": "page",
        "url": "http://one.example/",
        "verdict": "captured",
        "reasons": [],
        "detail": "kept whole",
        "change": "first",
        "requisites": {"wanted": 0, "kept": 0, "missing": []},
        "bag": "case_page_x",
        **told,
    }


def outcome_of(*sources: dict) -> dict:
    return {
        "sources": list(sources),
        "bags": [{"id": "case_page_x", "path": "/archive/x"}],
        "counts": {"captured": 1},
        "run_bag": "/archive/run",
    }


def test_what_was_not_kept_is_told_first_and_why(capsys):
    bad = source_told(id="bad", verdict="failed", reasons=["dns"], detail="")
    terminal.outcome(outcome_of(source_told(), bad))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["failed: bad: dns", "    http://one.example/"]
    assert lines[-1] == "1 captured; 1 bag and the run's own: /archive/run"


def test_a_run_without_trouble_is_a_table(capsys):
    terminal.outcome(outcome_of(source_told(change=None, bag=None)))
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "source",
        "verdict",
        "change",
        "requisites",
        "bag",
    ]


def test_columns_are_as_wide_as_they_need_to_be(capsys):
    terminal.table(("a", "b"), [("long cell", 1), ("x", "y")])
    assert capsys.readouterr().out == "a          b\nlong cell  1\nx          y\n"


def test_a_table_without_rows_is_its_head(capsys):
    terminal.table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_invalid_bags_come_first_with_file_and_clause(capsys, tmp_path):
    good = Report(path=tmp_path / "good", level=Level.FULL, ok=True)
    found = Finding(
        code="digest-mismatch",
        severity=Severity.ERROR,
        path="data/\x1b[31mx\ny",
        message="not what was kept",
        clause="RFC 8493 3",
    )
    bad = Report(path=tmp_path / "bad", level=Level.FULL, findings=(found,))
    terminal.reports([good, bad])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"INVALID: {tmp_path / 'bad'}")
    assert lines[1] == (
        "    error: digest-mismatch: data/\ufffd[31mx y: not what was kept [RFC 8493 3]"
    )
    assert lines[2].startswith("valid: ")
    assert lines[3] == "2 bags, 1 invalid"


def test_a_finding_of_the_bag_itself_names_no_file(capsys, tmp_path):
    terminal.reports([validate(tmp_path)])
    assert "not-a-bag" in capsys.readouterr().out


def test_where_there_is_no_bag_it_says_so(capsys):
    terminal.reports([])
    assert capsys.readouterr().out == "no bag was found there\n"


STORY = {
    "bag": "case_page_x",
    "job": "case",
    "source": {"id": "page", "title": "", "url": "http://one.example/"},
    "page_title": f"Hello {HOSTILE}\nverdict    forged",
    "final_url": "",
    "started": "2026-09-24T12:00:00Z",
    "verdict": "suspect",
    "reasons": ["quote-missing"],
    "detail": "required words are not there",
    "exchanges": [1, 2],
    "requisites": {"wanted": 2, "kept": 1, "missing": ["x"]},
    "quotes": [{"text": "a", "found": True}, {"text": "b", "found": False}],
    "path": "/archive/x",
}


def test_a_bag_tells_its_story_and_its_title_steers_nothing(capsys):
    terminal.story(STORY)
    told = capsys.readouterr().out
    assert "verdict    suspect quote-missing\n" in told
    assert "\nverdict    forged" not in told
    assert "quote      NOT found: b" in told
    assert "kept       2 exchanges, 1 of 2 requisites kept" in told
    assert "ended at" not in told
    assert "\x1b" not in told
    assert "asserted by this machine only" in told


def test_a_run_tells_its_bags(capsys):
    terminal.story({"run": "r", "bags": ["/a", {"path": "/b"}]})
    assert capsys.readouterr().out == "run r\n    /a\n    /b\n"
