"""The clocks of servers beside ours."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.clock import http_date, stamp
from pipeline.sealing.skew import FAR, Skew, machine_ahead, median_skew

NOW = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)


def seen(server: str, *seconds: float):
    return [(server, NOW + timedelta(seconds=s), NOW) for s in seconds]


def test_a_busy_server_counts_once():
    found = median_skew([*seen("a", *[600.0] * 50), *seen("b", -1.0), *seen("c", 0.0)])
    assert found == Skew(seconds=0.5, servers=3)


def test_without_a_clock_there_is_nothing_to_tell():
    assert median_skew([]) is None


def test_dates_are_read_in_all_their_forms():
    for text in ("Thu, 24 Sep 2026 03:17:00 GMT", "Thursday, 24-Sep-26 03:17:00 GMT"):
        assert http_date(text) == NOW
    for text in ("", "yesterday", "Thu, 99 Sep 2026 03:17:00 GMT", "1"):
        assert http_date(text) is None


def start(seconds: float):
    """A plan that was stamped by an authority so far from the machine's clock."""
    told = {"at": stamp(NOW + timedelta(seconds=seconds))}
    return {"machine_clock": stamp(NOW), "tokens": [told]}


HOUR = timedelta(hours=1)
CLOCKS = {
    "all agree": ({"sealed_at": stamp(NOW), "start": start(2)}, [NOW], -timedelta(seconds=2)),
    "behind when it began": ({"start": start(3600)}, [], -HOUR),
    "ahead when it began": ({"start": start(-3600)}, [], HOUR),
    "sealed after it was stamped": ({"sealed_at": stamp(NOW + HOUR)}, [NOW], HOUR),
    "stamped much later": ({"sealed_at": stamp(NOW)}, [NOW + 90 * HOUR], timedelta()),
    "a time server ahead": ({"clock": {"sntp": [{"offset_seconds": 3600.0}]}}, [], -HOUR),
    "a time server that is silent": ({"clock": {"sntp": [{"reason": "no"}]}}, [], timedelta()),
    "of several the farthest": (
        {"clock": {"sntp": [{"offset_seconds": 1}, {"offset_seconds": -3600}]}, "start": start(9)},
        [],
        HOUR,
    ),
    "nothing told": ({}, [NOW], timedelta()),
    "not in our form": ({"sealed_at": 7, "start": [], "clock": {"sntp": "no"}}, [NOW], timedelta()),
    "beyond all spans": ({"clock": {"sntp": [{"offset_seconds": 1e300}]}}, [], timedelta()),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "stamped", "ahead"), CLOCKS.values(), ids=CLOCKS)
def test_how_far_the_machine_was_ahead(facts, stamped, ahead):
    assert machine_ahead(facts, stamped) == ahead


def test_an_hour_is_far():
    assert FAR < HOUR
