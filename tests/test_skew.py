"""The clocks of servers beside ours."""

from datetime import UTC, datetime, timedelta

from pipeline.clock import http_date
from pipeline.sealing.skew import Skew, median_skew

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
