"""Being told to stop: Ctrl-C, SIGTERM, a terminal that went away.

Told once, the work under way comes to a good end: the exchanges on the wire are
finished, what is whole is kept. Told twice, it ends at once, and nothing is lost for it
but the visits under way.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST = (
    "stopping; the exchanges under way are finished first, "
    "and a second Ctrl-C stops at once"
)


class Interruption:
    """Whether an end was asked for, and what is to be done about it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.is_asked = False
        self._tell = tell
        self._end: Callable[[], None] = lambda: None

    def ends(self, end: Callable[[], None]) -> None:
        """Set what is called when an end is asked for; at once, where it was."""
        self._end = end
        if self.is_asked:
            end()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the signals that nobody has chosen to ignore (as nohup does)."""
        before = {
            one: signal.signal(one, self._hear)
            for one in SIGNALS
            if signal.getsignal(one) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True
        self._end()  # first: the second signal may come while this one is told of
        self._tell(FIRST)


def treat_alike() -> None:
    """Let every signal that ends a program end it as Ctrl-C does, with a sentence."""
    for one in SIGNALS:
        if signal.getsignal(one) is signal.SIG_DFL:
            signal.signal(one, signal.default_int_handler)
