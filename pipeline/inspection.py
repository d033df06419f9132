"""Bags inspected: each whole, beside its lines in the custody log and its seals.

One bag is one task, and what came of it is one value, so that several processes can
share the work: a small bag is a matter of system calls and of Python, which a second
process halves. What the log says of a bag goes along with the task, since to read the
log again for each would take longer than to read the bag.
"""

import ctypes
import multiprocessing
import signal
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.config import Timestamping
from pipeline.errors import PipelineError
from pipeline.holdings.checks import Checked
from pipeline.holdings.ledger import missing, unlogged
from pipeline.holdings.verify import against
from pipeline.model import Digest, Finding
from pipeline.packaging import rules
from pipeline.packaging.hashing import CORES
from pipeline.packaging.validate import validate
from pipeline.sealing import assurance, token
from pipeline.sealing.token import Authority

WORTH = 200  # bags from which a second process pays for its start, a second
AHEAD = 4  # tasks for each process, so that none waits for us
PR_SET_PDEATHSIG = 1


class Task(Struct, frozen=True, kw_only=True):
    """A bag to inspect, and what the log says of it."""

    bag: str
    path: str  # from the archive down
    tagmanifests: tuple[Digest, ...] = ()
    seals: Mapping[str, Digest] = field(default_factory=dict)
    is_logged: bool = True


class Standard(Struct, frozen=True, kw_only=True):
    """What every bag of one audit is held against."""

    root: Path
    at: datetime
    authorities: tuple[Timestamping, ...] = ()

    def trusted(self) -> tuple[Authority, ...]:
        """Load the authorities, with the roots that are pinned. Raises UsageError."""
        return tuple(
            Authority(
                name=one.name, url=one.url, roots=token.roots_of(one.name, one.roots)
            )
            for one in self.authorities
        )


class Inspector:
    """Inspects bags, one after the other."""

    def __init__(self, standard: Standard) -> None:
        self._standard = standard
        self._trusted = standard.trusted()

    def inspect(self, task: Task) -> Checked:
        """Say what is wrong with a bag; whatever it holds, there is an answer."""
        folder = self._standard.root / task.path
        one = Checked(bag=task.bag, path=task.path, at=self._standard.at)
        if task.is_logged and not folder.is_dir():
            return replace(one, findings=(replace(missing(task.path), path=""),))
        report = validate(folder)
        found = (*self._beside_log(task, folder), *self._seals(task, folder))
        return replace(
            one,
            files=report.files,
            bytes=report.bytes,
            findings=tuple(sorted((*found, *report.findings), key=_weight)),
        )

    def _beside_log(self, task: Task, folder: Path) -> tuple[Finding, ...]:
        if not task.is_logged:
            return (replace(unlogged(task.path), path=""),)
        return tuple(against(folder, task.path, task.tagmanifests))

    def _seals(self, task: Task, folder: Path) -> tuple[Finding, ...]:
        try:
            judged = assurance.judge(
                folder,
                authorities=self._trusted,
                now=self._standard.at,
                logged=task.seals,
            )
        except PipelineError as error:
            return (rules.finding("not-a-bag", "", str(error)),)
        return judged.findings


def inspected(
    tasks: Iterable[Task], standard: Standard, *, processes: int = 1
) -> Iterator[Checked]:
    """Inspect bags, in several processes and in no certain order if there are many.

    No more tasks are taken than are soon worked on, so that they can end at any time.
    """
    if processes == 1:
        yield from map(Inspector(standard).inspect, tasks)
        return
    # Not forked: what else this process may hold is not theirs.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (standard,)) as pool:
        waiting: set[Future[Checked]] = set()
        try:
            for task in tasks:
                waiting.add(pool.submit(_work, task))
                if len(waiting) >= processes * AHEAD:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        except BrokenProcessPool as error:
            raise PipelineError(
                "a process that checked bags was ended from outside, for want of "
                "memory perhaps; what was checked before is logged. Run it again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def processes_for(bags: int) -> int:
    """Tell how many processes so many bags are worth."""
    return CORES if bags >= WORTH else 1


_inspectors: list[Inspector] = []  # of this process, once it is one of several


def _begin(standard: Standard) -> None:
    """Begin as one process of several: its parent alone is told to stop."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it outlives no parent
    _inspectors.append(Inspector(standard))


def _work(task: Task) -> Checked:
    return _inspectors[0].inspect(task)


def _weight(one: Finding) -> str:
    return one.severity.value  # "error" stands before "warning"
