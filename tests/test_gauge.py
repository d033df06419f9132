"""The gauge: how far a run has come, told within any width and height."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gauge import Course, cut, packed, size, span
from pipeline.model import Verdict

HOSTS = {"one.example": 4, "two.example": 2}


def under_way() -> Course:
    """Two of four sources of one host took ten seconds each; the other has begun."""
    course = Course.planned(HOSTS)
    course = course.visiting("one.example", "a", 0.0)
    course = course.kept("one.example", Verdict.CAPTURED, 1_000, 10.0)
    course = course.visiting("one.example", "b", 10.0)
    course = course.visiting("two.example", "x", 12.0)
    course = course.kept("one.example", Verdict.FAILED, 500, 20.0)
    return course.visiting("one.example", "c", 22.0)


def test_hosts_sources_bytes_and_verdicts_are_counted():
    told = under_way().lines(width=72, height=20, now=25.0, at_once=16)
    assert told == (
        "2/6 sources, 0/2 hosts, 1.5 kB, about 20s left",
        "1 captured, 1 failed",
        "two.example  1/2 x 13s",
        "one.example  3/4 c 3s",
    )


def test_a_host_is_done_with_the_last_of_its_sources():
    course = Course.planned({"one.example": 1}).visiting("one.example", "a", 0.0)
    course = course.kept("one.example", Verdict.CAPTURED, 0, 1.0)
    told = course.lines(width=72, height=20, now=2.0, at_once=16)
    assert told == ("1/1 sources, 1/1 hosts, 0 bytes, about 0s left", "1 captured")


def test_before_anything_is_done_no_time_is_promised():
    course = Course.planned(HOSTS).visiting("one.example", "a", 0.0)
    assert course.left(16) is None
    assert "left" not in " ".join(
        course.lines(width=72, height=20, now=99.0, at_once=16)
    )


def test_the_longest_row_decides_how_long_it_takes():
    course = Course.planned({"slow.example": 11, "fast.example": 2})
    course = course.visiting("slow.example", "a", 0.0)
    course = course.visiting("fast.example", "a", 0.0)
    course = course.kept("fast.example", Verdict.CAPTURED, 0, 1.0)
    course = course.kept("slow.example", Verdict.CAPTURED, 0, 30.0)
    assert course.left(16) == 300.0


def test_hosts_that_wait_for_each_other_take_the_longer():
    course = Course.planned({f"{n}.example": 1 for n in range(101)})
    course = course.visiting("0.example", "a", 0.0)
    course = course.kept("0.example", Verdict.CAPTURED, 0, 4.0)
    assert course.left(4) == 100.0


def test_what_does_not_fit_is_counted():
    course = Course.planned({f"{n}.example": 1 for n in range(9)})
    for n in range(9):
        course = course.visiting(f"{n}.example", "a", float(n))
    told = course.lines(width=72, height=4, now=9.0, at_once=16)
    assert told[1:] == ("0.example  1/1 a 9s", "1.example  1/1 a 8s", "and 7 more")


def test_a_visit_that_nobody_planned_is_shown_as_well():
    course = Course().visiting("one.example", "a", 0.0)
    assert (course.total, course.done) == (1, 0)
    assert Course().kept("one.example", Verdict.CAPTURED, 1, 2.0).done == 1


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,70}\.example", fullmatch=True), st.integers(1, 10**7), max_size=30),
    st.integers(1, 120),
    st.integers(1, 40),
)  # fmt: skip
def test_it_is_never_wider_nor_taller_than_the_terminal(hosts, width, height):
    course = Course.planned(hosts)
    for n, host in enumerate(hosts):
        course = course.visiting(host, "a-long-name-of-a-source" * 2, float(n))
        if n % 2:
            course = course.kept(host, Verdict.SUSPECT, 10**n, n + 1.5)
    told = course.lines(width=width, height=height, now=1e6, at_once=16)
    assert len(told) <= height
    assert all(len(line) <= width for line in told)


SPANS = {
    "nothing": (0, "0s"),
    "a clock that ran backwards": (-5, "0s"),
    "seconds": (59.4, "59s"),
    "minutes": (150, "2m"),
    "hours": (7200, "2h"),
    "days": (1e6, "12d"),
    "years are days": (1e9, "11574d"),
}


@pytest.mark.parametrize(("seconds", "told"), SPANS.values(), ids=SPANS)
def test_a_span_is_told_in_its_largest_unit(seconds, told):
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_bytes_are_told_in_their_largest_unit(count, told):
    assert size(count) == told


def test_parts_share_a_line_while_there_is_room():
    assert packed(["one", "two", "three"], ", ", 8) == ["one, two", "three"]
    assert packed([], ", ", 8) == []


@pytest.mark.parametrize(
    ("width", "told"), [(9, "host.name"), (7, "host..."), (2, ".."), (0, "")]
)
def test_what_is_too_wide_is_marked_as_cut(width, told):
    assert cut("host.name", width) == told
