"""The only door to the network: whose turn it is, and over which connection.

``Network.fetch`` makes one exchange and returns a ``Reply``, whatever happens: a
refused connection is a result like a page. requests carries the order to a transport
adapter of ours, which keeps one line per host at a time. Redirects, retries and what an
answer means are left to ``client``.
"""

import threading
from typing import cast

import requests
from msgspec import Struct, field
from requests.adapters import BaseAdapter

from pipeline.capture.address import Policy
from pipeline.capture.line import Dial, Line, Reach, Resolve, dial, resolve
from pipeline.capture.order import (
    Contact,
    Order,
    Patience,
    Reply,
    UnreachableError,
    place_of,
    unreached,
)
from pipeline.capture.tls import Trust
from pipeline.clock import Clock
from pipeline.errors import InterruptedRunError

MOST_LINES = 32  # connections kept open, beyond those in use


class Host(Struct):
    """One host's turn-taking: who speaks, and when the last exchange ended."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rested_at: float = float("-inf")
    ahead: Order | None = None  # sent already, by whoever holds the lock


class Network:
    """The network as one run may use it. Thread-safe; a host waits for itself only."""

    def __init__(
        self,
        *,
        clock: Clock,
        policy: Policy,
        tls: Trust,
        resolve: Resolve = resolve,
        dial: Dial = dial,
    ) -> None:
        self.clock = clock
        self.reach = Reach(
            clock=clock, policy=policy, trust=tls, resolve=resolve, dial=dial
        )
        self._hosts: dict[str, Host] = {}
        self._adapter = RecordingAdapter(self.reach)
        self._stopped = threading.Event()

    def fetch(self, order: Order) -> Reply:
        """Make one exchange, when it is this host's turn.

        Raises StorageError where a large body can't be spooled, InterruptedRunError
        once the network was stopped.
        """
        host = self._host_of(order)
        if host.ahead is not order:  # else this thread holds the turn
            if self._stopped.is_set():
                raise InterruptedRunError("the run was stopped between two exchanges")
            host.lock.acquire()
        try:
            return self._in_turn(order, host)
        finally:
            host.lock.release()

    def ahead(self, order: Order) -> bool:
        """Send a request before its reply is wanted, if nothing has to be waited for.

        Where this is so the host's turn is taken, and ``fetch`` or ``withdraw`` of the
        same order has to follow on the same thread.
        """
        host = self._host_of(order)
        if (
            self._stopped.is_set()
            or order.delay
            or not host.lock.acquire(blocking=False)
        ):
            return False
        if not self._adapter.ahead(order):
            host.lock.release()
            return False
        host.ahead = order
        return True

    def withdraw(self, order: Order) -> None:
        """Give up a request that was sent ahead, and the connection with it."""
        host = self._host_of(order)
        if host.ahead is order:
            self._adapter.withdraw(order)
            host.ahead = None
            host.lock.release()

    def _host_of(self, order: Order) -> Host:
        _, name, _ = place_of(order.url)
        return self._hosts.get(name) or self._hosts.setdefault(name, Host())

    def _in_turn(self, order: Order, host: Host) -> Reply:
        is_sent, host.ahead = host.ahead is order, None
        due = host.rested_at + order.delay
        if not is_sent and not self._wait_until(due, order.patience):
            return Reply(
                url=order.url,
                method=order.method,
                started=self.clock.now(),
                failure="timeout",
                detail="the deadline came before this host's turn",
                contact=Contact(),
            )
        try:
            return self._exchange(order)
        finally:
            host.rested_at = self.clock.monotonic()

    def _wait_until(self, moment: float, patience: Patience) -> bool:
        now = self.clock.monotonic()
        if max(moment, now) >= patience.ends_at:
            return False
        if moment > now:
            self.pause(moment - now)
        return True

    def pause(self, seconds: float) -> None:
        """Wait. Raises InterruptedRunError once the network is stopped."""
        self.clock.sleep(seconds, self._stopped)
        if self._stopped.is_set():
            raise InterruptedRunError("the run was stopped between two exchanges")

    def _exchange(self, order: Order) -> Reply:
        started, since = self.clock.now(), self.clock.monotonic()
        try:
            response = self._adapter.send(OrderedRequest(order))
        except UnreachableError as error:
            return unreached(order, error, started, self.clock.monotonic() - since)
        return cast("Reply", response.raw)

    @property
    def is_stopped(self) -> bool:
        """Whether the run was told to end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Let exchanges under way end, begin no other, and wait for nothing."""
        self._stopped.set()

    def close(self) -> None:
        """Hang up."""
        self._adapter.close()


# ------------------------------------------------------- requests, with our own line


class OrderedRequest(requests.PreparedRequest):
    """A prepared request that knows the order it carries out.

    Prepared by hand: requests would rewrite the URL, and what is asked for is what
    the page named.
    """

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order
        self.method = order.method
        self.url = order.url
        self.headers = order.headers  # type: ignore[assignment] # read, never changed


class Carrier(requests.Response):
    """The response that an adapter owes, with nothing in it but the reply."""

    def __init__(self, request: requests.PreparedRequest, reply: Reply) -> None:
        # requests' own makes a cookie jar with its locks, three thousand times a page
        self.request, self.url, self.raw = request, reply.url, reply


class RecordingAdapter(BaseAdapter):
    """A transport adapter for requests that speaks over lines which record."""

    def __init__(self, reach: Reach) -> None:
        super().__init__()
        self._reach = reach
        self._lines: dict[tuple[str, str, int], Line] = {}
        self._busy: set[tuple[str, str, int]] = set()
        self._guard = threading.Lock()

    def send(  # type: ignore[override] # a line needs none of the other options
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        """Make one exchange; the reply is the raw part of the response.

        Raises UnreachableError.
        """
        assert isinstance(request, OrderedRequest), "made by Network alone"
        key = place_of(request.order.url)
        line = self._taken(key)
        try:
            reply = line.exchange(request.order)
        finally:
            with self._guard:
                self._busy.discard(key)
        return Carrier(request, reply)

    def ahead(self, order: Order) -> bool:
        """Send over a line that stands open, if there is one; ``send`` is to follow."""
        key = place_of(order.url)
        with self._guard:
            line = self._lines.get(key)
            if line is None or not line.ahead(order):
                return False
            self._busy.add(key)
        return True

    def withdraw(self, order: Order) -> None:
        """Hang up on what was sent ahead."""
        key = place_of(order.url)
        with self._guard:
            self._lines.pop(key).hang_up()
            self._busy.discard(key)

    def _taken(self, key: tuple[str, str, int]) -> Line:
        """Take a line, and hang up the longest idle beyond the most that are kept.

        How many hosts there are is a page's choice; how many sockets, ours.
        """
        with self._guard:
            self._busy.add(key)
            line = self._lines.pop(key, None) or Line(self._reach, *key)
            self._lines[key] = line  # the last taken stands last
            idle = [one for one in self._lines if one not in self._busy]
            for one in idle[: max(0, len(self._lines) - MOST_LINES)]:
                self._lines.pop(one).hang_up()
        return line

    def close(self) -> None:
        """Hang up every line."""
        for line in self._lines.values():
            line.hang_up()
