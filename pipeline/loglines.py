"""What a command does, line by line, for programs: ``--log-json``.

One line is one JSON document with the five keys of browsertrix's logs: ``timestamp``,
``logLevel``, ``context``, ``message``, ``details``. All that would have been printed to
standard error goes through a ``Log``, whoever printed it, so that a reader of the
stream meets nothing else. What is written is ASCII: no text can begin a line of its
own, or steer a terminal.
"""

import io
import json
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TextIO

from pipeline.clock import stamp
from pipeline.model import Capture, Change, Source, Verdict
from pipeline.outlet import put

NAME = "standard error"
GOOD = {Verdict.CAPTURED, Verdict.UNCHANGED, Verdict.SKIPPED}
_BEYOND = re.compile(r"[^\x20-\x7e]")


class Level(StrEnum):
    """How much a line matters, as browsertrix spells it."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Context(StrEnum):
    """What a line is about, as browsertrix spells it."""

    GENERAL = "general"
    RUN = "crawlStatus"
    SOURCE = "pageStatus"
    STORAGE = "storage"


def written(
    at: datetime,
    level: Level,
    context: Context,
    message: str,
    details: Mapping[str, object],
) -> str:
    """Write one line, without its end."""
    told = {
        "timestamp": stamp(at),
        "logLevel": level,
        "context": context,
        "message": message,
        "details": details,
    }
    # Half a surrogate pair is no text, and readers of JSON refuse it.
    return _BEYOND.sub(_escaped, json.dumps(told, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    return r"\ufffd" if "\ud800" <= char <= "\udfff" else json.dumps(char)[1:-1]


class Log(io.TextIOBase):
    """Standard error for programs. What is printed to it becomes lines of the log."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._now = now
        self._printed: list[str] = []
        self._lock = threading.RLock()  # visits are told of by their workers

    def log(
        self,
        message: str,
        *,
        level: Level = Level.INFO,
        context: Context = Context.GENERAL,
        details: Mapping[str, object] = {},
    ) -> None:
        """Write one line of the log. Raises StorageError."""
        with self._lock:
            put(self._stream, f"{self.line(message, level, context, details)}\n", NAME)
            put(self._stream, name=NAME)

    def line(
        self,
        message: str,
        level: Level = Level.INFO,
        context: Context = Context.GENERAL,
        details: Mapping[str, object] = {},
    ) -> str:
        """Return a line as it would be written now."""
        return written(self._now(), level, context, message, details)

    def write(self, text: str) -> int:
        """Take what somebody prints; it is told when it is handed over."""
        with self._lock:
            self._printed.append(text)
        return len(text)

    def flush(self) -> None:
        """Tell what was printed until now, as one line."""
        with self._lock:
            message, self._printed = "".join(self._printed).strip(), []
            if message:
                self.log(message)

    def writable(self) -> bool:
        """Say that it can be printed to."""
        return True

    def fileno(self) -> int:
        """Name the descriptor beneath."""
        return self._stream.fileno()


class Told:
    """A run, told to a log: each event is a line."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._done = 0
        self._all = 0

    def planned(self, hosts: Mapping[str, int]) -> None:
        """Tell how much there is to do."""
        self._done, self._all = 0, sum(hosts.values())
        self._tell("planned", Context.RUN, sources=self._all, hosts=len(hosts))

    def said(self, sentence: str) -> None:
        """Tell a remark."""
        self._log.log(sentence)

    def visiting(self, source: Source) -> None:
        """Tell that a visit begins."""
        self._tell("visiting", Context.SOURCE, id=source.id, url=source.url)

    def kept(self, capture: Capture, change: Change) -> None:
        """Tell what became of a source."""
        self._done += 1
        needed = capture.requisites
        self._tell(
            str(capture.verdict),
            Context.SOURCE,
            level=Level.INFO if capture.verdict in GOOD else Level.WARN,
            id=capture.source.id,
            url=capture.source.url,
            verdict=str(capture.verdict),
            reasons=list(capture.reasons),
            detail=capture.detail,
            change=str(change),
            exchanges=len(capture.exchanges),
            bytes=sum(one.size for one in capture.exchanges),
            requisites={"wanted": needed.wanted, "kept": needed.kept},
            done=self._done,
            total=self._all,
        )

    def ended(self, told: Mapping[str, Any]) -> None:
        """Tell what a run came to, and of each of its deposits."""
        for one in told.get("deposits", ()):
            level = Level.ERROR if one["error"] else Level.INFO
            self._tell("deposit", Context.STORAGE, level=level, **one)
        names = ("job", "run", "counts", "run_bag", "exit", "exits")
        self._tell("ended", Context.RUN, **{name: told[name] for name in names})

    def close(self) -> None:
        """End."""

    def _tell(
        self,
        message: str,
        context: Context,
        *,
        level: Level = Level.INFO,
        **details: object,
    ) -> None:
        self._log.log(message, level=level, context=context, details=details)
