"""Child processes, measured: wall time, processor time, the most memory they held.

The peak is what the kernel reports for the child and all it waited for (getrusage(2)).
Linux lets a child inherit the peak of the process that started it, so no figure is below
the bench's own, about 25 MB; the bench imports nothing large for that reason.
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Peers that are Python start as they would for a person: from compiled modules.
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
PATIENCE = 600.0  # seconds that any one child may run
TAIL = 600  # characters of a failed child's last words


class WrongError(Exception):
    """A contender failed, or did not do the work that it was measured for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a contender, and the exit status it must end with."""

    argv: tuple[str, ...]
    exit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it took: seconds on the wall and of all cores, bytes resident at the peak."""

    seconds: float
    cpu: float
    resident: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            seconds=self.seconds + other.seconds,
            cpu=self.cpu + other.cpu,
            resident=max(self.resident, other.resident),
        )


def run_steps(steps: Sequence[Step], folder: Path) -> Cost:
    """Run one step after the other and add up what they cost."""
    total = Cost(seconds=0.0, cpu=0.0, resident=0)
    for step in steps:
        total += run(step, folder)
    return total


def run(step: Step, folder: Path) -> Cost:
    """Run a command in a folder; its output goes to ``stdout`` and ``stderr`` there."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            step.argv,
            cwd=folder,
            env=PLAIN,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        alarm = threading.Timer(PATIENCE, process.kill)
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C: leave no child behind
            process.kill()
            process.wait()
            raise
        finally:
            alarm.cancel()
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != step.exit:
        raise WrongError(_last_words(step, process.returncode, folder))
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(seconds=seconds, cpu=cpu, resident=usage.ru_maxrss * 1024)


def _last_words(step: Step, status: int, folder: Path) -> str:
    said = "".join(
        (folder / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")
    )
    command = " ".join(step.argv)
    return f"{command}: exit {status}, expected {step.exit}\n{said[-TAIL:]}"
