"""How a run is told of while it goes on: not at all, in lines, in a picture that moves.

The picture is for a terminal that can show one, below the lines; rich is loaded only
there. It is never taller or wider than the terminal, whatever the number of hosts.
"""

import os
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from pipeline.clock import Clock, SystemClock
from pipeline.crew import WORKERS
from pipeline.gauge import Course
from pipeline.loglines import Log, Told
from pipeline.model import Capture, Change, Source
from pipeline.plan import host_of
from pipeline.terminal import counted, line, remark, verdict_line

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

DUMB = {"", "dumb", "unknown"}  # terminals that cannot go back over a line


class Quiet:
    """Progress that nobody hears."""

    def planned(self, hosts: Mapping[str, int]) -> None:
        """Hear how many sources each host has."""

    def said(self, sentence: str) -> None:
        """Pass on a remark: those are never swallowed."""
        remark(line(sentence))

    def visiting(self, source: Source) -> None:
        """Hear that a visit begins."""

    def kept(self, capture: Capture, change: Change) -> None:
        """Hear what became of a source."""

    def ended(self, told: Mapping[str, object]) -> None:
        """Hear what a run came to."""

    def close(self) -> None:
        """End."""


class Lines(Quiet):
    """Progress in plain lines, one for each source that is done."""

    def __init__(self) -> None:
        self._done = 0
        self._all = 0

    def planned(self, hosts: Mapping[str, int]) -> None:
        """Say how much there is to do."""
        self._done, self._all = 0, sum(hosts.values())
        remark(f"{counted(self._all, 'source')} on {counted(len(hosts), 'host')}")

    def kept(self, capture: Capture, change: Change) -> None:
        """Say what became of a source."""
        self._done += 1
        remark(f"[{self._done}/{self._all}] {line(verdict_line(capture, change))}")


class Picture(Quiet):
    """Progress as a picture that moves, below a line for each source that is done."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # visits are told of by their workers
        self._course = Course()
        self._live: Live | None = None

    def planned(self, hosts: Mapping[str, int]) -> None:
        """Draw it."""
        from rich.console import Console  # noqa: PLC0415 - for terminals only
        from rich.live import Live  # noqa: PLC0415 - likewise

        self.close()  # of the run before
        self._course = Course.planned(hosts)
        console = Console(stderr=True)
        self._live = Live(
            console=console,
            get_renderable=lambda: self._drawn(console),
            transient=True,
        )
        self._live.start()

    def visiting(self, source: Source) -> None:
        """Show the source under way."""
        with self._lock:
            self._course = self._course.visiting(
                host_of(source), line(source.id), self._clock.monotonic()
            )

    def kept(self, capture: Capture, change: Change) -> None:
        """Print a line above the picture, and move it on."""
        with self._lock:
            self._course = self._course.kept(
                host_of(capture.source),
                capture.verdict,
                sum(exchange.size for exchange in capture.exchanges),
                self._clock.monotonic(),
            )
        if self._live is not None:
            text = line(verdict_line(capture, change))
            self._live.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Wipe it."""
        if self._live is not None:
            self._live.stop()

    def _drawn(self, console: "Console") -> "Group":
        from rich.console import Group  # noqa: PLC0415 - for terminals only
        from rich.padding import Padding  # noqa: PLC0415 - likewise
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - likewise
        from rich.text import Text  # noqa: PLC0415 - likewise

        with self._lock:
            course = self._course
        width, height = console.size
        told = course.lines(
            width=width,
            height=max(1, height - 2),  # the bar, and a line that was printed
            now=self._clock.monotonic(),
            at_once=WORKERS,
        )
        bar = ProgressBar(total=max(1, course.total), completed=course.done)
        # of itself it ends no line
        return Group(Padding(bar, 0), *(Text(one, no_wrap=True) for one in told))


Listener: TypeAlias = Quiet | Told


def progress_of(*, quiet: bool) -> Listener:
    """Choose how to tell of progress: a picture where one can be shown."""
    if quiet:
        return Quiet()
    if isinstance(sys.stderr, Log):
        return Told(sys.stderr)
    if sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in DUMB:
        return Picture(SystemClock())
    return Lines()
