"""What any place gains by being wrapped: patience, a pace, and a second look.

Each wrapper is a place itself. ``Verified`` reads back and hashes what was put, since
an answer or a size may lie; ``Retried`` goes on after failures that may pass, waiting
longer each time; ``Paced`` keeps to so many bytes a second.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.handoff.consignment import Item, hashed
from pipeline.handoff.target import Place, TransientError, UnfaithfulError

ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds; doubled each time, and up to half as long again
LONGEST_WAIT = 60.0

T = TypeVar("T")


class Verified:
    """Reads back what was put, and hashes it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.preflight, self.read = place.preflight, place.read
        self.publish, self.close = place.publish, place.close

    @property
    def location(self) -> str:
        """Tell where the place is."""
        return self._place.location

    def put(self, transfer: str, item: Item) -> str:
        """Put an item and read it back. Raises UnfaithfulError for other bytes."""
        answer = self._place.put(transfer, item)
        size, digest = hashed(self._place.read(item.path, transfer=transfer))
        if (size, digest) != (item.size, item.digest):
            raise UnfaithfulError(
                f"{self.location}: {item.path} was read back: expected {item.size:,}"
                f" bytes with {item.digest}, found {size:,} with {digest}; no receipt"
                " is written. The target does not keep what it is given: mend it, or"
                " name another"
            )
        return answer


class Retried:
    """Goes on after failures that may pass."""

    def __init__(self, place: Place, clock: Clock, *, attempts: int = ATTEMPTS) -> None:
        self._place = place
        self._clock = clock
        self._attempts = attempts
        self.close = place.close

    @property
    def location(self) -> str:
        """Tell where the place is."""
        return self._place.location

    def preflight(self) -> None:
        """Ask again where no answer came."""
        self._patiently(self._place.preflight)

    def put(self, transfer: str, item: Item) -> str:
        """Put an item, going on where a connection was cut."""
        return self._patiently(lambda: self._place.put(transfer, item))

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what is kept, from the beginning again after a failure."""
        sent = 0
        for attempt in range(self._attempts):
            seen = 0
            try:
                for piece in self._place.read(path, transfer=transfer):
                    fresh = piece[max(sent - seen, 0) :]
                    seen += len(piece)
                    sent += len(fresh)
                    if fresh:
                        yield fresh
            except TransientError:
                if attempt + 1 == self._attempts:
                    raise
                self._wait(attempt)
            else:
                return

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Give what stands aside its names; those that have them keep them."""
        return self._patiently(lambda: self._place.publish(transfer, names))

    def _patiently(self, act: Callable[[], T]) -> T:
        for attempt in range(self._attempts - 1):
            try:
                return act()
            except TransientError:
                self._wait(attempt)
        return act()

    def _wait(self, attempt: int) -> None:
        span = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
        self._clock.sleep(span * (1 + self._clock.jitter() / 2))


class Paced:
    """Sends and reads at most so many bytes a second."""

    def __init__(self, place: Place, clock: Clock, rate: int) -> None:
        self._place = place
        self._clock = clock
        self._rate = rate
        self.preflight, self.publish = place.preflight, place.publish
        self.close = place.close

    @property
    def location(self) -> str:
        """Tell where the place is."""
        return self._place.location

    def put(self, transfer: str, item: Item) -> str:
        """Put an item at the pace agreed."""

        def read(offset: int) -> Iterator[bytes]:
            return self._slowly(item.read(offset))

        return self._place.put(transfer, replace(item, read=read))

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what is kept at the pace agreed."""
        return self._slowly(self._place.read(path, transfer=transfer))

    def _slowly(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        began, done = self._clock.monotonic(), 0
        for piece in pieces:
            yield piece
            done += len(piece)
            early = done / self._rate - (self._clock.monotonic() - began)
            if early > 0:
                self._clock.sleep(early)
