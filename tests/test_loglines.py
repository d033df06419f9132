"""Lines of a log: one line is one JSON document, whatever is told in it."""

import io
import json
import os
import sys
import traceback
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from pipeline import terminal
from pipeline.errors import StorageError
from pipeline.loglines import Context, Level, Log, written

KEYS = ["timestamp", "logLevel", "context", "message", "details"]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream) -> Log:
    return Log(stream, lambda: samples.NOON)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_keys_of_browsertrix_in_their_order(log, stream):
    log.log("planned", context=Context.RUN, details={"hosts": 1})
    (one,) = lines(stream)
    assert list(one) == KEYS
    assert one["timestamp"].startswith("20")
    assert one["details"] == {"hosts": 1}


@given(st.text(st.characters(codec=None)))
def test_any_text_is_one_line_of_ascii_and_comes_back(text):
    line = written(samples.NOON, Level.INFO, Context.GENERAL, text, {"url": text})
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert (told["message"], told["details"]["url"]) == (clean, clean)


def test_what_is_printed_beside_the_result_is_a_line(log, stream):
    with redirect_stderr(log):
        terminal.remark("two\nlines", Level.WARN)
    (one,) = lines(stream)
    assert (one["message"], one["logLevel"]) == ("two\nlines", "warn")


def test_what_others_print_is_a_line_when_it_is_handed_over(log, stream):
    with redirect_stderr(log):
        traceback.print_exception(ValueError("why"))
        sys.stderr.write("half a line")
    assert log.writable()
    log.flush()
    log.flush()
    (one,) = lines(stream)
    assert one["message"] == "ValueError: why\nhalf a line"


def test_from_within_a_signal_a_line_is_written_past_every_buffer(log, capfd):
    with redirect_stderr(log):
        terminal.alarm("stopping")
    assert json.loads(capfd.readouterr().err)["message"] == "stopping"


def test_a_reader_who_went_away_stops_no_work():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        log = Log(pipe, lambda: samples.NOON)
        for _ in range(3):
            log.log("x" * 100_000)
        assert log.fileno() == pipe.fileno()


def test_a_log_that_finds_no_room_is_told():
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        log = Log(full, lambda: samples.NOON)
        with pytest.raises(StorageError, match="standard error: No space left"):
            log.log("x")
