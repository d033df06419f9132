"""Which manifests are due: manifests, the visits of the catalogue and now (pure).

A schedule is a row of slots. A job is due when a slot has passed since the source that
was waited for longest was visited; one run makes up for however many slots passed. So a
run cut short, a run of some sources only, and a source that was added leave the job
due, and a run by hand serves like any other. A visit serves every slot before it, and
therefore no slot is served twice.

Slots of ``every`` are counted from the first visit, so that they do not drift. Those of
``cron`` are read on the wall of its zone: an hour that is skipped falls right behind
the gap, an hour that comes twice counts once, but for jobs of every hour.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim
from msgspec import Struct

from pipeline.clock import stamp
from pipeline.holdings.cards import Attendance
from pipeline.model import Manifest, Schedule
from pipeline.packaging.rendering import Json

MINUTE = timedelta(minutes=1)
TRUST = timedelta(days=1)  # how far a clock may have been set back, and a visit count
SLACK = timedelta(minutes=5)  # by which clocks differ and nobody is told


class Standing(Struct, frozen=True, kw_only=True):
    """How one job stands: whether it is due, since when, and when it is next."""

    job: str
    manifest: str
    schedule: str
    last: datetime | None  # when all its sources had been visited; None = never
    is_due: bool
    since: datetime | None  # the first slot that nobody served; None = no slot yet
    next: datetime | None  # the first slot from now on; None = none in fifty years
    is_overdue: bool  # another slot passed as well
    why: str  # in words
    ahead: datetime | None = None  # a visit that our clock cannot explain

    def told(self) -> dict[str, Json]:
        """Tell it as JSON."""
        return {
            "job": self.job,
            "manifest": self.manifest,
            "schedule": self.schedule,
            "last": _told(self.last),
            "due": self.is_due,
            "since": _told(self.since),
            "next": _told(self.next),
            "overdue": self.is_overdue,
            "why": self.why,
        }


def standing(
    manifest: Manifest, visits: Iterable[Attendance], now: datetime
) -> Standing | None:
    """Tell how a job stands; None for a manifest without a schedule."""
    schedule = manifest.schedule
    if schedule is None:
        return None
    seen = {one.source: one for one in visits}
    wanted = [one.id for one in manifest.sources if not one.skip]
    lasts = [seen[name].last if name in seen else None for name in wanted]
    never = [name for name, at in zip(wanted, lasts, strict=True) if at is None]
    last = None if never else min(filter(None, lasts), default=None)
    row = _Row(schedule, job=manifest.id, anchor=_anchor(seen.values(), now))
    since = row.after(last) if last else None
    is_due = bool(never) or (since is not None and since <= now)
    second = row.after(since) if since and is_due else None
    return Standing(
        job=manifest.id,
        manifest=str(manifest.path.absolute()),
        schedule=told(schedule),
        last=last,
        is_due=is_due,
        since=since if is_due else None,
        next=row.after(now),
        is_overdue=second is not None and second <= now,
        why=_why(wanted, never, since if is_due else None),
        ahead=max((one.latest for one in seen.values()), default=None),
    )


def trusted_until(now: datetime) -> datetime:
    """Tell up to when a visit may be dated, and count."""
    return now + TRUST


def clock_sentence(one: Standing, now: datetime) -> str:
    """Say that a visit is dated later than now; empty where none is."""
    if one.ahead is None or one.ahead - now <= SLACK:
        return ""
    counts = "counts" if one.ahead <= trusted_until(now) else "is left out of account"
    ahead, clock = stamp(one.ahead)[:19], stamp(now)[:19]
    return (
        f"{one.job}: a visit is dated {ahead}Z and this machine's clock says {clock}Z: "
        "it is wrong now or was wrong then; the visit "
        f"{counts}. Look at the clock, and at its time server"
    )


def told(schedule: Schedule) -> str:
    """Tell a schedule in a line."""
    if schedule.every is not None:
        return f"every {span(schedule.every)}"
    return f"cron {schedule.cron} ({schedule.timezone or 'UTC'})"


def span(time: timedelta) -> str:
    """Write a span in the largest unit that it is a whole number of."""
    seconds = int(time.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def delay(schedule: Schedule, job: str) -> timedelta:
    """Tell by how much the slots of a job are moved: always the same, from 0 on."""
    digest = hashlib.sha256(job.encode()).digest()
    return schedule.jitter * (int.from_bytes(digest[:4]) / (1 << 32))


def slots(
    schedule: Schedule, *, after: datetime, anchor: datetime
) -> Iterator[datetime]:
    """Yield the slots behind a moment, in UTC, each later than the one before."""
    if schedule.every is None:
        yield from _by_cron(schedule, after)
        return
    passed = (after - anchor) // schedule.every
    while True:
        passed += 1
        yield anchor + passed * schedule.every


class _Row(Struct, frozen=True):
    """The slots of one job, moved by its jitter."""

    schedule: Schedule
    job: str
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        """Return the first slot behind a moment."""
        late = delay(self.schedule, self.job)
        found = slots(self.schedule, after=moment - late, anchor=self.anchor)
        slot = next(found, None)
        return None if slot is None else slot + late


def _anchor(visits: Iterable[Attendance], now: datetime) -> datetime:
    """Count from the minute of the first visit, so that a timer need not be exact."""
    first = min((one.first for one in visits if one.first), default=now)
    return first.replace(second=0, microsecond=0)


def _by_cron(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone or "UTC")
    start = after.astimezone(zone)
    # What comes every hour goes by the clock on the wall and never waits two hours.
    is_hourly = schedule.cron.split()[1].startswith("*")
    ticks = CronSim(schedule.cron, start if is_hourly else start.replace(tzinfo=None))
    for tick in ticks:
        slot = (tick if is_hourly else _real(tick, zone)).astimezone(UTC)
        if slot > after:  # several may fall behind one gap, or before a repeated hour
            after = slot
            yield slot


def _real(wall: datetime, zone: ZoneInfo) -> datetime:
    """Find when a wall shows a time, or the first time behind the gap it falls into."""
    moment = wall.replace(tzinfo=zone)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        wall += MINUTE
        moment = wall.replace(tzinfo=zone)
    return moment


def _why(wanted: list[str], never: list[str], since: datetime | None) -> str:
    if since is not None:
        return f"the slot of {stamp(since)[:19]}Z passed"
    if not never:
        return ""
    if len(never) == len(wanted):
        return "it was never run"
    more = f" and {len(never) - 1} more" if len(never) > 1 else ""
    return f"{never[0]}{more} was never visited"


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)
