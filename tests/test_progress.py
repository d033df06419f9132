"""Progress: nothing, lines, a picture or a log, as the place allows."""

import io
import json
import sys

import pytest
import samples

from pipeline.clock import SystemClock
from pipeline.loglines import Log, Told
from pipeline.model import Capture, Change, Source, Verdict
from pipeline.progress import Lines, Picture, Quiet, progress_of


def capture(**told: object) -> Capture:
    settled = {"verdict": Verdict.CAPTURED, **told}
    source = Source(id="page", url="http://one.example/")
    return Capture(source=source, started=samples.NOON, ended=samples.NOON, **settled)


class Standing(SystemClock):
    """A clock that stands still."""

    def monotonic(self) -> float:
        return 0.0


def screen_of(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 40 columns and 10 lines."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "40"), ("LINES", "10")):
        monkeypatch.setenv(name, value)
    return stream


PLACES = {
    "a terminal": ("xterm-256color", Picture),
    "a terminal that cannot go back": ("dumb", Lines),
    "a terminal of no name": ("", Lines),
}


@pytest.mark.parametrize(("name", "kind"), PLACES.values(), ids=PLACES)
def test_a_picture_is_drawn_where_one_can_be_shown(monkeypatch, name, kind):
    screen_of(monkeypatch)
    monkeypatch.setenv("TERM", name)
    assert type(progress_of(quiet=False)) is kind
    assert type(progress_of(quiet=True)) is Quiet


def test_elsewhere_there_are_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(progress_of(quiet=False)) is Lines


def test_programs_have_a_log(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Log(io.StringIO(), lambda: samples.NOON))
    assert type(progress_of(quiet=False)) is Told
    assert type(progress_of(quiet=True)) is Quiet


def test_lines_count_from_one_in_every_run(capsys):
    lines = Lines()
    for _ in range(2):
        lines.planned({"one.example": 1})
        lines.visiting(Source(id="page", url="http://one.example/"))
        lines.kept(capture(), Change.FIRST)
        lines.ended({})
    lines.close()
    assert capsys.readouterr().err == "1 source on 1 host\n[1/1] ✓ page: captured\n" * 2


def test_a_remark_is_heard_even_when_quiet(capsys):
    quiet = Quiet()
    quiet.planned({"one.example": 2})
    quiet.visiting(Source(id="page", url="http://one.example/"))
    quiet.kept(capture(), Change.FIRST)
    quiet.said("a bag was recovered")
    quiet.ended({})
    quiet.close()
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "a bag was recovered\n")


def test_a_picture_prints_each_outcome_and_wipes_itself(monkeypatch):
    screen = screen_of(monkeypatch)
    picture = Picture(Standing())
    picture.visiting(Source(id="early", url="http://one.example/"))
    picture.kept(capture(), Change.FIRST)  # before it is drawn: nothing to show yet
    for _ in range(2):
        picture.planned({"one.example": 1})
        picture.visiting(Source(id="page", url="http://one.example/"))
        picture.kept(
            capture(verdict=Verdict.FAILED, reasons=("[red]dns",)), Change.FIRST
        )
    picture.close()
    assert screen.getvalue().count("✗ page: failed ([red]dns)") == 2
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is back


def test_a_picture_shows_each_host_under_way_within_the_terminal(monkeypatch):
    screen = screen_of(monkeypatch)
    picture = Picture(Standing())
    picture.planned({f"{n}.example": 1 for n in range(50)})
    for n in range(50):
        picture.visiting(Source(id=f"page-{n}", url=f"http://{n}.example/"))
    picture._live.refresh()
    drawn = screen.getvalue()
    picture.close()
    last = drawn[drawn.rindex("0/50 sources") :]
    assert "0.example  1/1 page-0 0s" in last
    assert "and 44 more" in last
    assert last.count("\n") <= 10


def test_a_picture_that_was_never_drawn_can_be_closed():
    Picture(Standing()).close()


def test_a_log_tells_of_each_event_in_a_line():
    stream = io.StringIO()
    told = Told(Log(stream, lambda: samples.NOON))
    told.planned({"one.example": 1})
    told.visiting(Source(id="page", url="http://one.example/"))
    told.said("gone on with")
    told.kept(capture(verdict=Verdict.FAILED, reasons=("dns",)), Change.FIRST)
    told.ended(
        {
            **dict.fromkeys(("job", "run", "counts", "run_bag", "exit", "exits")),
            "deposits": [{"target": "a", "error": None}, {"target": "b", "error": {"code": "x"}}],
        }
    )  # fmt: skip
    told.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["logLevel"], one["context"], one["message"]) for one in lines] == [
        ("info", "crawlStatus", "planned"),
        ("info", "pageStatus", "visiting"),
        ("info", "general", "gone on with"),
        ("warn", "pageStatus", "failed"),
        ("info", "storage", "deposit"),
        ("error", "storage", "deposit"),
        ("info", "crawlStatus", "ended"),
    ]
    assert lines[3]["details"]["reasons"] == ["dns"]
