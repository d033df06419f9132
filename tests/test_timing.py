"""When to run again: expressions and zones that mean something, and those that do not."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.intake import timing
from pipeline.intake.terms import Unfit


@dataclass(frozen=True, kw_only=True)
class Bad:
    text: str
    says: str
    hint: str = ""


BAD_CRON = {
    "nothing": Bad(text="", says="it is empty"),
    "a word": Bad(text="daily", says="not a cron expression", hint="minute hour day"),
    "four fields": Bad(text="0 3 * *", says="of five fields"),
    "seconds": Bad(text="0 0 3 * * *", says="of five fields"),
    "a nickname": Bad(text="@Daily", says="nickname", hint='write "0 0 * * *"'),
    "the thirty-first of June": Bad(text="0 0 31 6 *", says="never comes"),
    "the thirtieth of February": Bad(text="0 0 30,31 2 *", says="never comes"),
    "a first that is a fifth Monday": Bad(text="0 0 */31 * 1#5", says="ever comes"),
    "an hour of 24": Bad(text="0 24 * * *", says="the hour is none"),
    "a step of nothing": Bad(text="*/0 * * * *", says="the minute is none"),
    "a range that runs back": Bad(text="0 9-8 * * *", says="the hour is none"),
    "a month that is none": Bad(text="0 0 1 FOO *", says="the month is none"),
    "another script": Bad(text="\u0660 \u0663 * * *", says="the minute is none"),
    "two lines": Bad(text="0 3 * * *\n1 3 * * *", says="several lines"),
    "no end": Bad(text="0," * 120 + "0 3 * * *", says="not a cron expression"),
}


@pytest.mark.parametrize("case", BAD_CRON.values(), ids=BAD_CRON)
def test_what_is_no_cron_expression_is_told(case):
    with pytest.raises(Unfit) as caught:
        timing.cron(case.text)
    assert case.says in caught.value.message
    assert case.hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "17 3 * * 1",
        "*/5 * * * *",
        "0 0 29 2 *",
        "0 0 L * *",
        "0 9 * jan-mar Mon,fri",
        "0 0 31 2 1",
    ],
)
def test_what_comes_at_some_time_is_taken(text):
    assert timing.cron(text) == text


def test_blanks_between_fields_do_not_count():
    assert timing.cron("0  3 *\t* *") == "0 3 * * *"


BAD_ZONES = {
    "a slip": Bad(text="Europe/Stokholm", says="no time zone", hint="Europe/Stockholm"),
    "small letters": Bad(
        text="europe/stockholm", says="no time zone", hint='write "Europe/Stockholm"'
    ),
    "a path": Bad(text="../../etc/passwd", says="no time zone"),
    "whatever the machine is set to": Bad(text="localtime", says="no time zone"),
    "an offset": Bad(text="+02:00", says="no time zone", hint="like Europe/Stockholm"),
}


@pytest.mark.parametrize("case", BAD_ZONES.values(), ids=BAD_ZONES)
def test_what_is_no_zone_is_told(case):
    with pytest.raises(Unfit) as caught:
        timing.timezone(case.text)
    assert case.says in caught.value.message
    assert case.hint in caught.value.hint


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Stockholm", "America/Argentina/Ushuaia", "Etc/GMT+5"]
)
def test_a_zone_is_taken_by_its_name(zone):
    assert timing.timezone(zone) == zone


def test_a_machine_without_zones_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(timing, "_zones", frozenset)
    with pytest.raises(Unfit) as caught:
        timing.timezone("UTC")
    assert "tzdata" in caught.value.hint


def test_less_than_a_minute_is_too_often():
    assert timing.every("1m") == timedelta(minutes=1)
    with pytest.raises(Unfit, match="once a minute"):
        timing.every("59s")


PIECES = st.lists(
    st.sampled_from([*"0123456789*/,-#L ", "MON", "JAN", "LW", "٣", "²"]), max_size=20
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(PIECES.map("".join))
def test_whatever_is_taken_comes_and_whatever_is_not_is_told(text):
    try:
        known = timing.cron(text)
    except Unfit:
        return
    assert next(CronSim(known, datetime(2026, 1, 1, tzinfo=UTC)))
