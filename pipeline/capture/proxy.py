"""The recording proxy: what a browser asks, asked for it, and kept as it comes.

One connection of the browser is one thread and one ``Line``, so a page in Chromium is
recorded by the code that records everything else: the same bytes, guard, limits and
facts of the connection. The browser is told each byte as it comes and as it came. Each
exchange that has ended is told once to whoever keeps them, on the thread of its
connection; where none was made the browser hears it from the proxy, marked as such, and
the reply says why.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from msgspec import Struct

from pipeline.capture import chatter
from pipeline.capture.asking import Asking
from pipeline.capture.gate import LAST, Endpoint, Gate, Manners, Visitor, own_answer
from pipeline.capture.line import Line, Reach
from pipeline.capture.order import Order, Patience, Reply, UnreachableError, unreached
from pipeline.capture.relay import relay
from pipeline.capture.wire import SWITCHING
from pipeline.clock import Clock

FORBIDDEN, BAD_GATEWAY, UNAVAILABLE, LATE = 403, 502, 503, 504


class Bounds(Struct, frozen=True, kw_only=True):
    """How much one visit may take through the proxy."""

    exchanges: int = 20_000
    size: int = 8 * 2**30  # bytes of all responses together
    after: int = 64 * 2**20  # bytes of a response whose browser has hung up
    after_seconds: float = 30.0  # likewise
    manners: Manners = Manners()


class Errand(Struct, frozen=True, kw_only=True):
    """On whose behalf the proxy asks, and how."""

    folder: Path  # where large responses are spooled
    patience: Patience = Patience()
    takes_invalid: bool = False  # of certificates that fail
    secrets: tuple[bytes, ...] = ()  # masked in what is kept of requests
    bounds: Bounds = Bounds()


class Overheard(Struct, frozen=True, kw_only=True):
    """One exchange of the browser, and what the proxy knows of whose it is."""

    number: int  # in the order in which they were asked
    tunnel: int  # the connection of the browser
    order: Order
    reply: Reply
    ended: datetime
    referrer: str = ""
    destination: str = ""  # Sec-Fetch-Dest: document, image, font ...
    mode: str = ""  # Sec-Fetch-Mode: navigate, cors, websocket ...


class Budget:
    """What a visit has taken so far, and what may still be. Thread-safe."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._guard = threading.Lock()
        self._notes: dict[str, None] = {}
        self.asked = 0
        self.size = 0
        self.under_way = 0
        self.own = 0  # what the browser asked for itself
        self.tunnels = 0

    def tunnel(self) -> int:
        """Give a connection its number."""
        with self._guard:
            self.tunnels += 1
            return self.tunnels

    def begin(self) -> int:
        """Give an exchange its number; 0 where there may be no other."""
        bounds = self._bounds
        with self._guard:
            if self.asked >= bounds.exchanges:
                self._notes[f"limit: {bounds.exchanges} exchanges, no other"] = None
                return 0
            if self.room <= 0:
                self._notes[f"limit: {bounds.size} bytes in all, no more"] = None
                return 0
            self.asked += 1
            self.under_way += 1
            return self.asked

    def end(self) -> None:
        """Note that an exchange has ended."""
        with self._guard:
            self.under_way -= 1

    def take(self, size: int) -> None:
        """Note bytes that came."""
        with self._guard:
            self.size += size

    def pass_by(self) -> None:
        """Note what was not asked."""
        with self._guard:
            self.own += 1

    def note(self, words: str) -> None:
        """Say what a reader of the capture should know."""
        with self._guard:
            self._notes[words] = None

    @property
    def room(self) -> int:
        """How many bytes more may come."""
        return self._bounds.size - self.size

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was said, each once."""
        with self._guard:
            return tuple(self._notes)


class Proxy:
    """A recording proxy for one visit, open as long as its ``with`` block.

    ``hears`` is called once for each exchange, from several threads. What goes wrong
    in it, such as a StorageError, ends the connection and is raised by ``check``.
    """

    def __init__(
        self, reach: Reach, errand: Errand, hears: Callable[[Overheard], None]
    ) -> None:
        self._reach = reach
        self._errand = errand
        self._hears = hears
        self._telling = threading.Lock()
        self._is_closed = False
        self._budget = Budget(errand.bounds)
        self._gate = Gate(reach.clock, self._welcome, errand.bounds.manners)

    @property
    def endpoint(self) -> Endpoint:
        """Where a browser finds it."""
        return self._gate.endpoint

    @property
    def under_way(self) -> int:
        """How many exchanges have begun and not ended."""
        return self._budget.under_way

    @property
    def asked(self) -> int:
        """How many exchanges have begun."""
        return self._budget.asked

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what a reader should know: limits, sockets, the browser's own traffic."""
        told = list(self._budget.notes)
        if self._gate.turned_away:
            most = self._errand.bounds.manners.most
            told.append(
                f"limit: {most} connections at once, {self._gate.turned_away} refused"
            )
        if self._budget.own:
            told.append(
                f"{self._budget.own} requests of the browser's own were not made"
            )
        return tuple(told)

    def __enter__(self) -> Self:
        self._gate.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection; afterwards nothing more is told."""
        self._gate.close()
        with self._telling:
            self._is_closed = True

    def check(self) -> None:
        """Raise what went wrong on a connection, if anything did: PipelineError."""
        if self._gate.failure is not None:
            raise self._gate.failure

    def _welcome(self) -> "Tunnel":
        number = self._budget.tunnel()
        return Tunnel(number, self._reach, self._errand, self._budget, self._tell)

    def _tell(self, one: Overheard) -> None:
        with self._telling:
            if self._is_closed:
                self._budget.note(f"{one.order.url}: ended after the visit, not kept")
                if one.reply.message is not None:
                    one.reply.message.block.close()
                return
        self._hears(one)


class Ear:
    """The browser, as it hears one response while it is recorded."""

    def __init__(
        self, visitor: Visitor, budget: Budget, bounds: Bounds, clock: Clock
    ) -> None:
        self._visitor = visitor
        self._budget = budget
        self._clock = clock
        self._bounds = bounds
        self._behind = 0  # bytes that came after it hung up
        self.ends_at = float("inf")

    def hear(self, data: bytes) -> None:
        """Pass on what came; a browser that hung up ends the recording only later."""
        self._budget.take(len(data))
        if self._visitor.is_gone:
            self._behind += len(data)
            return
        self._visitor.send(data)
        if self._visitor.is_gone:
            self.ends_at = self._clock.monotonic() + self._bounds.after_seconds

    @property
    def room(self) -> int:
        """How many bytes more are wanted."""
        return min(self._budget.room, self._bounds.after - self._behind)


class Tunnel:
    """One connection of the browser, and the line that carries what it asks."""

    def __init__(
        self,
        number: int,
        reach: Reach,
        errand: Errand,
        budget: Budget,
        tell: Callable[[Overheard], None],
    ) -> None:
        self._number = number
        self._reach = reach
        self._errand = errand
        self._budget = budget
        self._tell = tell
        self._line: tuple[str, Line] | None = None
        self._is_cut = False

    def attend(self, one: Asking, visitor: Visitor) -> bool:
        """Ask what is asked, unless it is the browser's own or too much."""
        if chatter.is_own(one.url, one.place.host):
            self._budget.pass_by()
            visitor.send(own_answer(FORBIDDEN, "a browser's own request is not made"))
            return True
        number = self._budget.begin()
        if not number:
            visitor.send(own_answer(UNAVAILABLE, "this visit has taken enough", LAST))
            return False
        try:
            return self._exchange(number, one, visitor)
        finally:
            self._budget.end()

    def _exchange(self, number: int, one: Asking, visitor: Visitor) -> bool:
        order = self._order(one)
        reply = self._asked(order, one, visitor)
        ended = self._reach.clock.now()
        self._tell(
            Overheard(
                number=number,
                tunnel=self._number,
                order=order,
                reply=reply,
                ended=ended,
                referrer=one.value("referer"),
                destination=one.value("sec-fetch-dest"),
                mode=one.value("sec-fetch-mode"),
            )
        )
        message = reply.message
        if message is None or not message.block.size:
            status = LATE if reply.failure == "timeout" else BAD_GATEWAY
            words = f"{reply.failure}: {reply.detail}"
            visitor.send(own_answer(status, words, LAST))
            return False
        if message.head.status == SWITCHING and order.upgrades:
            self._relay(one, visitor)
            return False
        return message.may_keep_alive and not visitor.is_gone

    def _order(self, one: Asking) -> Order:
        errand = self._errand
        return Order(
            url=one.url,
            method=one.method,
            headers={},
            head=one.head,
            body=one.body,
            folder=errand.folder,
            patience=errand.patience,
            secrets=errand.secrets,
            takes_invalid=errand.takes_invalid,
            upgrades=one.upgrades,
        )

    def _asked(self, order: Order, one: Asking, visitor: Visitor) -> Reply:
        clock = self._reach.clock
        ear = Ear(visitor, self._budget, self._errand.bounds, clock)
        started, since = clock.now(), clock.monotonic()
        try:
            return self._line_to(one).exchange(order, ear)
        except UnreachableError as error:
            return unreached(order, error, started, clock.monotonic() - since)

    def _line_to(self, one: Asking) -> Line:
        """Keep one line; a browser that asks another host of us gets another."""
        origin = one.place.origin
        if self._line is not None and self._line[0] == origin:
            return self._line[1]
        self.leave()
        line = Line(self._reach, one.place.scheme, one.place.host, one.place.port)
        self._line = origin, line
        if self._is_cut:
            line.cut()
        return line

    def _relay(self, one: Asking, visitor: Visitor) -> None:
        """Carry what is no HTTP, and say how much of it is not kept."""
        assert self._line is not None, "a 101 came over it"
        patience, clock = self._errand.patience, self._reach.clock
        carried = relay(
            visitor.connection,
            self._line[1].taken_over(),
            seconds_left=lambda: min(
                patience.ends_at - clock.monotonic(), self._errand.bounds.manners.idle
            ),
            room=min(self._budget.room, patience.max_size),
        )
        self._budget.take(carried.back)
        self._budget.note(
            f"{one.url}: {one.value('upgrade')}, {carried.back} bytes received and "
            f"{carried.out} sent behind the 101 were carried, not kept"
        )

    def cut(self) -> None:
        """End from another thread what is under way."""
        self._is_cut = True
        if self._line is not None:
            self._line[1].cut()

    def leave(self) -> None:
        """Hang up on the origin."""
        if self._line is not None:
            self._line[1].hang_up()
            self._line = None
