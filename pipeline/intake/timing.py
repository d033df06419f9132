"""When to run again: the terms of a schedule, one text to one value (pure).

A cron expression is five fields, as Debian's cron has them; one that never comes is
refused here, so that nothing waits for the thirty-first of June. A time zone is a name
of the IANA database that this machine holds.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from pipeline.intake.terms import Unfit, duration, line, nearest, patience, shown

LEAST = timedelta(minutes=1)  # cron knows no shorter span, and no archive needs one
FIELDS = 5
LONGEST = 200  # characters of an expression
FORM = r"\S+( +\S+){4}"
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
ZONE = r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}"


def every(text: str) -> timedelta:
    """Take how often."""
    span = patience(text)
    if span < LEAST:
        raise Unfit(f"{shown(text)} is more often than once a minute", "like 6h or 7d")
    return span


def jitter(text: str) -> timedelta:
    """Take how much later at most."""
    return duration(text)


def cron(text: str) -> str:
    """Take a cron expression of five fields that comes at some time."""
    known = " ".join(line(text).split())
    if known.lower() in NICKNAMES:
        raise Unfit(
            f"{shown(text)} is a nickname; five fields are wanted",
            f'write "{NICKNAMES[known.lower()]}"',
        )
    fields = known.split(" ")
    if len(fields) != FIELDS or len(known) > LONGEST:
        raise Unfit(
            f"{shown(text)} is not a cron expression of five fields",
            "minute hour day month weekday, like 17 3 * * 1",
        )
    if complaint := _complaint(known):
        raise Unfit(f"{shown(text)}: {complaint}", "like 17 3 * * 1")
    return known


def _complaint(expression: str) -> str:
    """Tell what is wrong with an expression; empty where it comes at some time."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - start-up time

    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        told = str(error).removeprefix("Bad ")
        return f"the {told} is none, or never comes"
    except StopIteration:
        return "no such day ever comes"
    return ""


def timezone(text: str) -> str:
    """Take the name of a time zone."""
    zones = _zones()
    if not zones:
        raise Unfit(
            "this machine has no time zones",
            "install tzdata: apt install tzdata, or pip install tzdata",
        )
    if text in zones:
        return text
    near = {name.lower(): name for name in zones}
    hint = nearest(text, near)
    if text.lower() in near:
        hint = f'write "{near[text.lower()]}"'
    elif found := re.search('"(.+)"', hint):
        hint = hint.replace(found[1], near[found[1]])
    raise Unfit(f"{shown(text)} is no time zone", hint or "like Europe/Stockholm")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    """List what this machine knows; a name for whatever it is set to is no zone."""
    from zoneinfo import available_timezones  # noqa: PLC0415 - start-up time

    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def complaints(values: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Tell what is wrong with a schedule as a whole: field, complaint, what to do."""
    if "every" in values and "cron" in values:
        yield "cron", '"every" stands beside it', "keep one of the two"
    if "every" in values and "timezone" in values:
        hint = "remove it; a span of time is as long in any zone"
        yield "timezone", 'it means nothing to "every"', hint
    span, spread = values.get("every"), values.get("jitter")
    if isinstance(span, timedelta) and isinstance(spread, timedelta) and spread >= span:
        yield "jitter", 'it is as long as "every"', "make it shorter"
