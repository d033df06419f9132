"""Sources visited on workers: one host one line, the lines side by side.

Of a line the next source is asked for when the one before it is home, so that a host
hears one visitor at a time. What comes home is yielded to one consumer, in the order in
which it ends. A fault of ours in one visit is an event of that source and harms no
other.
"""

import traceback
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from pipeline.capture.net import Network
from pipeline.capture.robots import Robots
from pipeline.capture.visit import Task, Visited, visit
from pipeline.clock import Clock
from pipeline.errors import InterruptedRunError, StorageError
from pipeline.model import Capture, Event, EventType, Source, Verdict
from pipeline.plan import Entry

CRASHED = "internal-error"  # the reason where the fault is ours
WORKERS = 16  # hosts visited at the same time


class Home(Struct, frozen=True, kw_only=True):
    """One source come home: what was planned, what was told, what was found."""

    entry: Entry
    task: Task
    visited: Visited


class Crew:
    """The workers of one run, over one network."""

    def __init__(
        self,
        network: Network,
        *,
        workers: int,
        tell: Callable[[Source], None],
    ) -> None:
        self._network = network
        self._workers = workers
        self._tell = tell
        self._robots = Robots()

    def visits(
        self, lines: Iterable[tuple[Entry, ...]], task_of: Callable[[Entry], Task]
    ) -> Generator[Home]:
        """Visit every source, hosts in parallel, and yield each as it comes home.

        Raises StorageError where staging can't be written: it ends the run.
        """
        workers = ThreadPoolExecutor(self._workers, "visit")
        waiting: dict[
            Future[Visited | None], tuple[Entry, Task, tuple[Entry, ...]]
        ] = {}

        def send(line: tuple[Entry, ...]) -> None:
            if line and not self._network.is_stopped:
                task = task_of(line[0])
                future = workers.submit(self._visit, task)
                waiting[future] = (line[0], task, line[1:])

        try:
            for line in lines:
                send(line)
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    entry, task, rest = waiting.pop(future)
                    send(rest)
                    if (visited := future.result()) is not None:
                        yield Home(entry=entry, task=task, visited=visited)
        except BaseException:
            is_asked_twice = self._network.is_stopped
            self._network.stop()
            workers.shutdown(wait=not is_asked_twice, cancel_futures=True)
            raise
        workers.shutdown()

    def _visit(self, task: Task) -> Visited | None:
        """Visit one source; a visit that a stop cut short brings nothing home."""
        self._tell(task.source)
        clock = self._network.clock
        started = clock.now()
        try:
            return visit(task, network=self._network, robots=self._robots)
        except InterruptedRunError:
            return None  # others may be on their way home
        except StorageError:
            raise  # it ends the run
        except Exception as error:  # noqa: BLE001 - between one source and the next
            return crashed(task.source, error, started, clock)


def crashed(
    source: Source, error: Exception, started: datetime, clock: Clock
) -> Visited:
    """Tell a visit that ended in a fault of ours: an event, and no bytes."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = (
        f"{type(error).__name__}: {error} ({Path(last.filename).name}, line "
        f"{last.lineno}); a fault of Muniment, what came is in quarantine"
    )
    ended = clock.now()
    event = Event(
        id=clock.uuid(),
        type=EventType.CAPTURE,
        at=ended,
        outcome=Verdict.FAILED,
        detail=detail,
    )
    capture = Capture(
        source=source,
        started=started,
        ended=ended,
        verdict=Verdict.FAILED,
        reasons=(CRASHED,),
        detail=detail,
        events=(event,),
    )
    return Visited(capture=capture, index=b"")
