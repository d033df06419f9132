"""Which manifests are due: no slot twice, none forgotten, whatever the clocks do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.fixity import digest_of
from pipeline.holdings.cards import Attendance
from pipeline.model import Manifest, Schedule, Source
from pipeline.schedule import (
    TRUST,
    clock_sentence,
    delay,
    slots,
    span,
    standing,
    told,
    trusted_until,
)

STOCKHOLM = "Europe/Stockholm"
ONE = Source(id="one", url="http://one.example/")
TWO = Source(id="two", url="http://two.example/")
LATER = Source(id="later", url="http://later.example/", skip="unsure")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def job(schedule: Schedule | None, *sources: Source) -> Manifest:
    return Manifest(
        id="job",
        sources=sources or (ONE,),
        path=Path("job.yaml"),
        text=b"",
        digest=digest_of(b""),
        schedule=schedule,
    )


class Book:
    """Visits as the catalogue tells of them."""

    def __init__(self, **visits: list[datetime]) -> None:
        self.visits = visits

    def at(self, now: datetime) -> tuple[Attendance, ...]:
        return tuple(self._one(name, all_of) for name, all_of in self.visits.items())

    def _one(self, name: str, all_of: list[datetime]) -> Attendance:
        known = [one for one in all_of if one <= self.until]
        return Attendance(
            source=name,
            first=min(known, default=None),
            last=max(known, default=None),
            latest=max(all_of),
        )

    until = datetime.max.replace(tzinfo=UTC)


def attendance(now: datetime, **visits: list[datetime]) -> tuple[Attendance, ...]:
    book = Book(**visits)
    book.until = trusted_until(now)
    return book.at(now)


WEEKLY = Schedule(every=timedelta(days=7))
NIGHTLY = Schedule(cron="17 3 * * *", timezone=STOCKHOLM)


def test_a_manifest_without_a_schedule_has_no_standing():
    assert standing(job(None), (), utc("2026-01-01")) is None


# ------------------------------------------------------------------------ when due


@dataclass(frozen=True, kw_only=True)
class Case:
    now: str
    schedule: Schedule = WEEKLY
    sources: tuple[Source, ...] = (ONE, TWO)
    visits: dict[str, tuple[str, ...]]
    due: bool
    since: str = ""
    next: str = ""
    overdue: bool = False
    why: str = ""


BOTH = {"one": ("2026-01-01T10:00:30",), "two": ("2026-01-01T10:00:40",)}
CASES = {
    "never run": Case(now="2026-01-01", visits={}, due=True, why="never run"),
    "run just now": Case(now="2026-01-01T10:01:00", visits=BOTH, due=False, next="2026-01-08T10:00:00"),
    "a second before its slot": Case(now="2026-01-08T09:59:59", visits=BOTH, due=False, next="2026-01-08T10:00:00"),
    "at its slot": Case(now="2026-01-08T10:00:00", visits=BOTH, due=True, since="2026-01-08T10:00:00", next="2026-01-15T10:00:00", why="2026-01-08T10:00:00Z passed"),
    "two slots late": Case(now="2026-01-15T10:00:00", visits=BOTH, due=True, since="2026-01-08T10:00:00", overdue=True),
    "one source of two": Case(now="2026-01-02", visits={"one": BOTH["one"]}, due=True, why="two was never visited"),
    "one source of two visited since": Case(now="2026-01-09", visits=BOTH | {"one": ("2026-01-01T10:00:30", "2026-01-08T12:00:00")}, due=True, since="2026-01-08T10:00:00"),
    "all that is not skipped": Case(now="2026-01-02", sources=(ONE, LATER), visits={"one": BOTH["one"]}, due=False),
    "nothing but what is skipped": Case(now="2026-01-02", sources=(LATER,), visits={}, due=False),
    "a source that is gone from the manifest": Case(now="2026-01-02", sources=(ONE,), visits=BOTH, due=False),
    "a late run keeps the row of slots": Case(now="2026-01-15T10:00:00", sources=(ONE,), visits={"one": ("2026-01-01T10:00:30", "2026-01-12T20:00:00")}, due=True, since="2026-01-15T10:00:00"),
    "before a night": Case(schedule=NIGHTLY, now="2026-01-02T02:16:59", visits=BOTH, due=False, next="2026-01-02T02:17:00"),
    "in a night": Case(schedule=NIGHTLY, now="2026-01-02T02:17:00", visits=BOTH, due=True, since="2026-01-02T02:17:00", next="2026-01-03T02:17:00"),
    "in UTC where no zone is named": Case(schedule=Schedule(cron="17 3 * * *"), now="2026-01-02T03:17:00", visits=BOTH, due=True, since="2026-01-02T03:17:00"),
    "a year without power": Case(schedule=NIGHTLY, now="2027-01-02T12:00:00", visits=BOTH, due=True, since="2026-01-02T02:17:00", overdue=True),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_job_is_due_when_a_slot_passed_since_all_was_visited(case):
    now = utc(case.now)
    visits = {name: [utc(one) for one in at] for name, at in case.visits.items()}
    one = standing(job(case.schedule, *case.sources), attendance(now, **visits), now)
    assert one.is_due is case.due
    assert one.is_overdue is case.overdue
    assert one.since == (utc(case.since) if case.since else None)
    assert not case.next or one.next == utc(case.next)
    assert case.why in one.why


def test_several_sources_never_visited_are_told_by_one_and_a_number():
    now = utc("2026-01-02")
    three = Source(id="three", url="http://three.example/")
    one = standing(job(WEEKLY, ONE, TWO, three), attendance(now, one=[now]), now)
    assert one.why == "two and 1 more was never visited"


def test_a_standing_is_told_as_json():
    now = utc("2026-01-08T10:00:00")
    visits = {name: [utc(one) for one in at] for name, at in BOTH.items()}
    one = standing(job(WEEKLY, ONE, TWO), attendance(now, **visits), now)
    assert one.told() == {
        "job": "job",
        "manifest": str(Path("job.yaml").absolute()),
        "schedule": "every 7d",
        "last": "2026-01-01T10:00:30.000000Z",
        "due": True,
        "since": "2026-01-08T10:00:00.000000Z",
        "next": "2026-01-15T10:00:00.000000Z",
        "overdue": False,
        "why": "the slot of 2026-01-08T10:00:00Z passed",
    }


# ----------------------------------------------------------- hours skipped and repeated


@dataclass(frozen=True, kw_only=True)
class Night:
    cron: str
    after: str
    comes: tuple[str, ...]
    zone: str = STOCKHOLM


NIGHTS = {
    "an hour that is skipped falls behind the gap": Night(cron="30 2 * * *", after="2026-03-28T12:00", comes=("2026-03-29T01:00", "2026-03-30T00:30")),
    "a quarter of each hour that is skipped, once": Night(cron="*/15 2 * * *", after="2026-03-28T12:00", comes=("2026-03-29T01:00", "2026-03-30T00:00")),
    "an hour that comes twice counts once": Night(cron="30 2 * * *", after="2026-10-24T12:00", comes=("2026-10-25T00:30", "2026-10-26T01:30")),
    "from within the repeated hour": Night(cron="30 2 * * *", after="2026-10-25T01:10", comes=("2026-10-26T01:30",)),
    "every hour goes on through the repeated one": Night(cron="0 * * * *", after="2026-10-24T23:30", comes=("2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00")),
    "every hour goes on behind the gap": Night(cron="0 * * * *", after="2026-03-29T00:30", comes=("2026-03-29T01:00", "2026-03-29T02:00")),
    "midnight that is skipped": Night(cron="0 0 * * *", after="2026-03-28T12:00", zone="Asia/Beirut", comes=("2026-03-28T22:00", "2026-03-29T21:00")),
    "a day that never was": Night(cron="0 12 30 12 *", after="2011-12-01T00:00", zone="Pacific/Apia", comes=("2011-12-30T10:00", "2012-12-29T22:00")),
}  # fmt: skip


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_slots_are_read_on_the_wall(night):
    schedule = Schedule(cron=night.cron, timezone=night.zone)
    after = utc(night.after)
    found = slots(schedule, after=after, anchor=after)
    assert [next(found) for _ in night.comes] == [utc(one) for one in night.comes]


# ---------------------------------------------------------------------- the clock back


def test_a_clock_set_back_a_little_runs_no_slot_twice():
    before, now = utc("2026-01-02T02:17:05"), utc("2026-01-02T02:17:01")
    one = standing(job(NIGHTLY), attendance(now, one=[before]), now)
    assert not one.is_due
    assert clock_sentence(one, now) == ""


def test_a_clock_set_back_by_hours_is_told_and_runs_no_slot_twice():
    before, now = utc("2026-01-02T12:17:05"), utc("2026-01-02T02:17:01")
    one = standing(job(NIGHTLY), attendance(now, one=[before]), now)
    assert not one.is_due
    assert "2026-01-02T12:17:05Z" in clock_sentence(one, now)
    assert "counts" in clock_sentence(one, now)


def test_a_visit_from_another_year_stops_no_schedule():
    wrong, now = utc("2036-01-01T00:00:00"), utc("2026-01-02T02:18:00")
    was = utc("2026-01-01T02:17:05")
    one = standing(job(NIGHTLY), attendance(now, one=[was, wrong]), now)
    assert one.is_due
    assert "left out of account" in clock_sentence(one, now)
    alone = standing(job(NIGHTLY), attendance(now, one=[wrong]), now)
    assert alone.is_due
    assert alone.last is None


def test_no_visit_at_all_is_no_word_on_the_clock():
    now = utc("2026-01-02")
    assert clock_sentence(standing(job(WEEKLY), (), now), now) == ""


# ------------------------------------------------------------------------- in general

ZONES = st.sampled_from(
    ["UTC", STOCKHOLM, "America/New_York", "Australia/Lord_Howe", "Asia/Beirut",
     "Africa/Casablanca", "America/Havana", "Asia/Kathmandu"]
)  # fmt: skip
CRONS = st.builds(
    "{} {} {} * {}".format,
    st.sampled_from(["0", "30", "59", "*/20", "*", "0,30"]),
    st.sampled_from(["0", "2", "3", "1-3", "*", "*/2", "23"]),
    st.sampled_from(["*", "*", "1", "29", "31", "L"]),
    st.sampled_from(["*", "*", "SUN", "1-5"]),
)
SPANS = st.integers(1, 60 * 24 * 40).map(lambda n: timedelta(minutes=n))
JITTERS = st.sampled_from([timedelta(0), timedelta(seconds=40), timedelta(hours=3)])
SCHEDULES = st.one_of(
    st.builds(Schedule, every=SPANS, jitter=st.just(timedelta(0))),
    st.builds(Schedule, cron=CRONS, timezone=ZONES, jitter=JITTERS),
)
# most of them near a change of clocks
MOMENTS = st.one_of(
    st.integers(-(10**5), 10**5).map(
        lambda s: utc("2026-03-29T01:00") + timedelta(seconds=s)
    ),
    st.integers(-(10**5), 10**5).map(
        lambda s: utc("2026-10-25T01:00") + timedelta(seconds=s)
    ),
    st.integers(0, 10**8).map(lambda s: utc("2024-01-01") + timedelta(seconds=s)),
)
MANY = settings(max_examples=150, derandomize=True, deadline=None)


def at(manifest: Manifest, now: datetime, visits: list[datetime]):
    told = attendance(now, one=visits) if visits else ()
    return standing(manifest, told, now)


@MANY
@given(SCHEDULES, MOMENTS)
def test_slots_come_in_order_and_never_before_they_were_asked_for(schedule, after):
    found = slots(schedule, after=after, anchor=after)
    row = [after, *(next(found) for _ in range(5))]
    assert all(one < two for one, two in pairwise(row))


@MANY
@given(SCHEDULES, MOMENTS, st.integers(0, 10**7))
def test_whoever_ran_just_now_is_not_due_until_the_slot_that_was_told(
    schedule, start, wait
):
    manifest = job(schedule)
    now = start + timedelta(seconds=wait)
    one = at(manifest, now, [start, now])
    assert not one.is_due
    assert not at(manifest, one.next - timedelta(seconds=1), [start, now]).is_due
    assert at(manifest, one.next, [start, now]).is_due


@MANY
@given(SCHEDULES, MOMENTS, st.lists(st.integers(1, 10**6), min_size=1, max_size=12))
def test_however_seldom_one_looks_no_slot_runs_twice_and_none_is_forgotten(
    schedule, start, waits
):
    manifest, visits, now = job(schedule), [start], start
    served = set()
    for wait in waits:
        now += timedelta(seconds=wait)
        one = at(manifest, now, visits)
        passed = at(manifest, visits[-1], visits).next <= now
        assert one.is_due is passed
        if one.is_due:
            assert one.since not in served
            served.add(one.since)
            visits = [*visits, now]


@MANY
@given(SCHEDULES, MOMENTS, st.integers(0, int(TRUST.total_seconds())))
def test_a_clock_set_back_by_less_than_a_day_runs_no_slot_twice(schedule, start, back):
    manifest, now = job(schedule), start
    slot = at(manifest, now, [start]).next
    ran = slot + timedelta(seconds=1)
    earlier = ran - timedelta(seconds=back)
    one = at(manifest, earlier, [start, ran])
    assert not one.is_due


@MANY
@given(SCHEDULES, MOMENTS)
def test_a_day_of_cron_has_as_many_slots_as_its_wall_or_fewer(schedule, after):
    """No wall time of a fixed hour gives two slots."""
    if not schedule.cron or schedule.cron.split()[1].startswith("*"):
        return
    zone = ZoneInfo(schedule.timezone)
    found = slots(schedule, after=after, anchor=after)
    walls = [next(found).astimezone(zone).replace(tzinfo=None) for _ in range(8)]
    assert len(set(walls)) == len(walls)


# ------------------------------------------------------------------ jitter, and words


def test_jitter_is_the_same_each_time_and_within_its_bounds():
    schedule = replace(NIGHTLY, jitter=timedelta(hours=1))
    spans = {name: delay(schedule, name) for name in map(str, range(50))}
    assert all(timedelta(0) <= one < timedelta(hours=1) for one in spans.values())
    assert spans == {name: delay(schedule, name) for name in spans}
    assert max(spans.values()) - min(spans.values()) > timedelta(minutes=30)


def test_jitter_moves_every_slot_by_its_span():
    plain, moved = job(NIGHTLY), job(replace(NIGHTLY, jitter=timedelta(hours=1)))
    now = utc("2026-01-02T12:00:00")
    late = delay(moved.schedule, "job")
    assert at(moved, now, [now]).next == at(plain, now, [now]).next + late


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(days=7), "7d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (timedelta(0), "0s"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(time, words):
    assert span(time) == words


def test_a_schedule_is_told_in_a_line():
    assert told(NIGHTLY) == "cron 17 3 * * * (Europe/Stockholm)"
    assert told(Schedule(cron="0 0 * * *")) == "cron 0 0 * * * (UTC)"
