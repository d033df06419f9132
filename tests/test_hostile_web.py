"""Whatever a server does: bytes kept, a verdict that is right, in time, in memory."""

import os
import subprocess
import sys
from pathlib import Path

import hostile_web
import pytest
from hostile_web import CASES, HANG, MOST, SLACK, all_seen, table, written_table

SLOW = [name for name in CASES if "drip" in name or "silence" in name]
each = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What came of every case, several at a time."""
    return all_seen(tmp_path_factory.mktemp("hostile"), CASES)


def test_every_case_has_a_name_of_its_own():
    assert len(CASES) == sum(map(len, hostile_web.CHAPTERS.values()))


def test_the_table_in_the_readme_is_up_to_date():
    assert written_table() == table()


@each
def test_what_comes_of_it_is_what_the_table_says(name, seen):
    capture, answer, case = seen[name].capture, seen[name].answer, CASES[name]
    cut, odd = (answer.truncated, answer.anomalies) if answer else ("", ())
    told = (capture.verdict, capture.reasons, cut, odd, len(capture.requisites.missing))
    assert told == (
        case.verdict,
        case.reasons,
        case.truncated,
        case.anomalies,
        case.missing,
    )


@each
def test_the_bytes_kept_are_the_bytes_received(name, seen):
    assert seen[name].kept == seen[name].received


@each
def test_every_cut_is_marked_in_the_warc(name, seen):
    kept = [one for one in seen[name].capture.exchanges if one.response]
    assert seen[name].truncated == tuple(one.truncated for one in kept)


@each
def test_no_wait_would_end_past_the_deadline(name, seen):
    """Counted from what the clock said, not timed: a busy machine changes nothing."""
    assert seen[name].waits < CASES[name].deadline + SLACK


@each
def test_it_ends_and_nobody_else_is_asked(name, seen):
    case = CASES[name]
    assert seen[name].seconds < case.deadline + HANG
    assert seen[name].dialled <= {"127.0.0.1", *case.public}
    assert case.asked in (None, seen[name].requests)


def test_no_response_takes_more_memory_than_is_said():
    script = [sys.executable, hostile_web.__file__, "--grows", *(name for name in CASES if name not in SLOW)]  # fmt: skip
    root = Path(hostile_web.__file__).parents[1]
    done = subprocess.run(script, cwd=root, env={**os.environ, "PYTHONPATH": f"{root}"}, capture_output=True, text=True, check=True)  # fmt: skip
    grown = {name: float(size) for size, name in (line.split(" ", 1) for line in done.stdout.splitlines())}  # fmt: skip
    assert len(grown) == len(CASES) - len(SLOW)
    assert {name: size for name, size in grown.items() if size >= MOST} == {}
