"""What the figures say: wants judged, a table for people, the same as JSON."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from contest import Bench, Series, Want

GAP = 20  # columns of a contender's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A want beside what was found."""

    want: Want
    found: float
    is_met: bool
    sentence: str


def outcomes(bench: Bench, series: Mapping[str, Series]) -> tuple[Outcome, ...]:
    """Judge the wants of a bench whose contenders were all measured."""
    measured = {name for name, one in series.items() if one.costs and not one.failure}
    return tuple(
        _judge(want, series)
        for want in bench.wants
        if {want.contender, want.against} <= measured | {""}
    )


def _judge(want: Want, series: Mapping[str, Series]) -> Outcome:
    ours = series[want.contender]
    if want.against:
        other = series[want.against]
        if want.memory:
            share = ours.resident / other.resident
            claim = f"{share:.2f} of the memory of {want.against}"
            aim = f"at most {want.memory:g}"
            return _outcome(want, share, claim, aim, is_met=share <= want.memory)
        ratio = other.seconds / ours.seconds
        if want.at_work:
            ratio = other.busy / ours.busy
        spared = series[want.against].cpu / ours.cpu
        how = " at work" if want.at_work else ""
        claim = f"{ratio:.2f} times as fast as {want.against}{how}, {spared:.2f} by cpu"
        aim = f"at least {want.at_least:g}"
        return _outcome(want, ratio, claim, aim, is_met=ratio >= want.at_least)
    most, found, unit = (
        (want.seconds, ours.seconds, "s")
        if want.seconds
        else (want.growth, ours.growth, "MB above next to no work")
        if want.growth
        else (want.resident, ours.resident, "MB resident")
    )
    claim = f"{found:.2f} {unit}" if want.seconds else f"{found:.0f} {unit}"
    return _outcome(want, found, claim, f"at most {most:g}", is_met=found <= most)


def _outcome(
    want: Want, found: float, claim: str, aim: str, *, is_met: bool
) -> Outcome:
    verdict = "met" if is_met else "MISSED"
    sentence = f"{want.contender}: {claim} ({aim}: {verdict})"
    return Outcome(want=want, found=found, is_met=is_met, sentence=sentence)


def tell(bench: Bench, series: Mapping[str, Series]) -> None:
    """Print one bench as a table and a list."""
    print(f"\n{bench.name}: {bench.job}")
    columns = f"{'wall s':>9}{'cpu s':>9}{bench.unit:>13}{'resident MB':>13}"
    print(f"  {'':{GAP}}{columns}{'rounds':>8}")
    for one in bench.contenders:
        print(f"  {one.name:{GAP}}{_row(bench, series[one.name])}")
    for outcome in outcomes(bench, series):
        print(f"  {outcome.sentence}")
    for name, one in series.items():
        if one.failure:
            print(f"  {name}: {one.failure}")
    sys.stdout.flush()


def _row(bench: Bench, found: Series) -> str:
    if found.absent:
        return f"   absent: {found.absent}"
    if found.failure:
        return "   FAILED"
    times = f"{found.seconds:9.2f}{found.cpu:9.2f}{bench.amount / found.seconds:13,.0f}"
    return f"{times}{found.resident:13.0f}{len(found.costs):8}"


def record(bench: Bench, series: Mapping[str, Series]) -> dict[str, object]:
    """Write one bench as JSON has it."""
    return {
        "name": bench.name,
        "job": bench.job,
        "unit": bench.unit,
        "contenders": [
            {"name": name} | _record(bench, one) for name, one in series.items()
        ],
        "wants": [
            {name: value for name, value in asdict(one.want).items() if value}
            | {"found": round(one.found, 3), "met": one.is_met}
            for one in outcomes(bench, series)
        ],
    }


def _record(bench: Bench, found: Series) -> dict[str, object]:
    if found.absent or found.failure:
        return {"absent": found.absent, "failure": found.failure}
    return {
        "seconds": [round(cost.seconds, 4) for cost in found.costs],
        "median": round(found.seconds, 4),
        "cpu": round(found.cpu, 4),
        "rate": round(bench.amount / found.seconds, 2),
        "resident_mb": round(found.resident, 1),
        "growth_mb": round(found.growth, 1),
    }
