"""A bench: contenders that do one job, their rounds, and the ratios between them.

Rounds are interleaved, and each begins with another contender, so that a machine that
slows down slows all of them. The first round of each contender is proved: a fast one
that did not do the work is no contender.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measure import Cost, Step, WrongError, run_steps

MB = 1_000_000
IDLE_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do the job; each round has a fresh folder."""

    name: str
    steps: Callable[[Path], Sequence[Step]]
    proof: Callable[[Path], None]
    idle: Callable[[Path], Sequence[Step]] | None = (
        None  # the same with next to no work
    )
    absent: str = ""  # why it can't be measured here


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What must hold: how many times faster than whom, or at most how much."""

    contender: str
    against: str = ""
    at_least: float = 0.0  # times as fast
    at_work: bool = False  # start-up left out on both sides
    seconds: float = 0.0  # at most
    resident: float = 0.0  # MB at most
    memory: float = 0.0  # of the other's at most
    growth: float = 0.0  # MB at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A job, who does it, and what must hold."""

    name: str
    job: str
    amount: float  # how much work one round is
    unit: str
    contenders: tuple[Contender, ...]
    wants: tuple[Want, ...]
    rounds: int


@dataclass(slots=True, kw_only=True)
class Series:
    """What one contender's rounds cost, or why there are none."""

    absent: str = ""
    failure: str = ""
    idle: list[Cost] = field(default_factory=list)  # with next to no work
    costs: list[Cost] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Tell the median of the wall times."""
        return statistics.median(cost.seconds for cost in self.costs)

    @property
    def cpu(self) -> float:
        """Tell the median of the processor times."""
        return statistics.median(cost.cpu for cost in self.costs)

    @property
    def resident(self) -> float:
        """Tell the most megabytes of any round."""
        return max(cost.resident for cost in self.costs) / MB

    @property
    def growth(self) -> float:
        """Tell by how many megabytes that is more than with next to no work."""
        idle = max((cost.resident for cost in self.idle), default=0)
        return self.resident - idle / MB if idle else 0.0

    @property
    def busy(self) -> float:
        """Tell the seconds at work: without what starting up and ending take."""
        idle = min((cost.seconds for cost in self.idle), default=0.0)
        return self.seconds - idle


def play(bench: Bench, *, home: Path, budget: float) -> dict[str, Series]:
    """Run the rounds, at least one, and none that would overdraw the budget."""
    series = {one.name: Series(absent=one.absent) for one in bench.contenders}
    present = [one for one in bench.contenders if not one.absent]
    started = time.monotonic()
    for number in range(bench.rounds):
        spent = time.monotonic() - started
        if number and spent * (number + 1) / number > budget:
            break
        turn = number % max(1, len(present))
        for one in present[turn:] + present[:turn]:
            if not series[one.name].failure:
                _play_round(one, series[one.name], home)
    return series


def _play_round(one: Contender, series: Series, home: Path) -> None:
    try:
        if one.idle and len(series.idle) < IDLE_ROUNDS:
            with _folder(home) as folder:
                series.idle.append(run_steps(one.idle(folder), folder))
        with _folder(home) as folder:
            series.costs.append(run_steps(one.steps(folder), folder))
            if len(series.costs) == 1:
                one.proof(folder)
    except WrongError as error:
        series.failure = str(error)


@contextmanager
def _folder(home: Path) -> Iterator[Path]:
    """Lend a fresh folder and remove it with whatever a contender left in it."""
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
