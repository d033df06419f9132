"""One connection to one host: connect by number, ask, record what comes.

A name is resolved once, every answer is judged, and the connection is made to a number
that was judged. ``wire`` alone reads what comes. What goes wrong before a connection
stands is an ``UnreachableError``; whatever comes over one is a ``Reply``.
"""

import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture import address
from pipeline.capture.order import (
    Contact,
    Listener,
    Order,
    Patience,
    Reply,
    UnreachableError,
    request_head,
)
from pipeline.capture.tls import InvalidError, Trust, shake_hands, told
from pipeline.capture.wire import SWITCHING, Recording, Truncation
from pipeline.clock import Clock

READ = 1 << 18  # bytes asked of the socket at a time
SAID = {
    "timeout": "connected, but nothing was answered in time",
    "reset": "the connection was reset before anything was answered",
    "no-response": "the connection was closed before anything was answered",
}
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")  # RFC 9110, 9.2.2
ANYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

Resolve = Callable[[str, int], list[str]]
Dial = Callable[[str, int, float], socket.socket]


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host, each once, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def dial(ip: str, port: int, timeout: float) -> socket.socket:
    """Connect to an address given by its number."""
    return socket.create_connection((ip, port), timeout=timeout)


class Reach(Struct, frozen=True, kw_only=True):
    """How far a run reaches: whom it may contact, whom it trusts, and by what means."""

    clock: Clock
    policy: address.Policy
    trust: Trust
    resolve: Resolve = resolve
    dial: Dial = dial


class Asked(Struct, frozen=True, kw_only=True):
    """A request that went out, and the recording of what comes of it."""

    order: Order
    recording: Recording
    started: datetime
    since: float  # on the monotonic clock
    is_reused: bool  # the connection


class Line:
    """One connection to one host, kept while its messages allow."""

    def __init__(self, reach: Reach, scheme: str, host: str, port: int) -> None:
        self._reach = reach
        self._is_secure = scheme == "https"
        self._host = host
        self._port = port
        self._contact = Contact()
        self._socket: socket.socket | None = None
        self._asked: Asked | None = None  # ahead of its time
        self._is_cut = False

    def ahead(self, order: Order) -> bool:
        """Send what was ordered if the connection stands; ``exchange`` is to follow."""
        if self._socket is None or self._is_spent(order):
            return False
        self._asked = self._ask(order)
        return True

    def exchange(self, order: Order, listener: Listener | None = None) -> Reply:
        """Send what was ordered and record what comes, heard by a listener meanwhile.

        Raises UnreachableError.
        """
        asked, self._asked = self._asked, None
        if asked is None:
            if self._socket is not None:
                self._is_spent(order)
            asked = self._ask(order)
        assert asked.order is order, "what was sent ahead is collected first"
        failure = self._hear(asked, listener)
        is_silent = asked.is_reused and not asked.recording.size
        if is_silent and failure != "timeout" and order.method in IDEMPOTENT:
            # The server let go of the kept connection just as we spoke.
            again = self._ask(order)
            asked = replace(again, started=asked.started, since=asked.since)
            failure = self._hear(asked, listener)
        return self._reply(asked, failure)

    def _reply(self, asked: Asked, failure: str) -> Reply:
        message = asked.recording.message()
        is_switched = asked.order.upgrades and message.head.status == SWITCHING
        if not (is_switched or message.may_keep_alive):
            self.hang_up()
        began = message.block.size > 0
        return Reply(
            url=asked.order.url,
            method=asked.order.method,
            started=asked.started,
            seconds=self._reach.clock.monotonic() - asked.since,
            message=message,
            failure="" if began else failure or "no-response",
            detail="" if began else SAID[failure or "no-response"],
            contact=self._contact,
        )

    def _ask(self, order: Order) -> Asked:
        """Send a request, over the connection that stands or a new one."""
        started, since = self._reach.clock.now(), self._reach.clock.monotonic()
        is_reused = self._socket is not None
        if self._socket is None:
            self._socket = self._connect(order)
        recording = Recording(
            folder=order.folder,
            method=order.method,
            secrets=order.secrets,
            upgrades=order.upgrades,
        )
        head = request_head(order) + order.body
        with suppress(OSError):  # it may have answered before it stopped listening
            self._socket.settimeout(self._seconds_left(order.patience))
            self._socket.sendall(head)
        recording.sent(head)
        return Asked(
            order=order,
            recording=recording,
            started=started,
            since=since,
            is_reused=is_reused,
        )

    def _hear(self, asked: Asked, listener: Listener | None) -> str:
        """Record what comes; return the failure if it never began or broke off."""
        assert self._socket is not None, "a request went out over it"
        failure = self._listen(self._socket, asked, listener)
        if failure:
            self.hang_up()
        return failure

    def _is_spent(self, order: Order) -> bool:
        """Hang up a kept connection that an order can't go over, and say so.

        It was closed or spoke out of turn, or its certificate was taken with another
        source's leave, which is not this one's.
        """
        assert self._socket is not None, "asked of a kept connection"
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        is_foreign = self._contact.tls_invalid and not order.takes_invalid
        if is_foreign or poll.poll(0):
            self.hang_up()
            return True
        return False

    def _listen(
        self, sock: socket.socket, asked: Asked, listener: Listener | None
    ) -> str:
        """Read until the message ends; return the failure if it broke off."""
        clock, recording = self._reach.clock, asked.recording
        begun = now = clock.monotonic()
        while not recording.is_complete:
            since = now if recording.has_head else begun  # a head has one patience
            until, room = _bounds(asked, listener, since)
            try:
                data = _read(sock, until - now, room)
            except TimeoutError:
                recording.end(Truncation.TIME)
                return "timeout"
            except OSError:
                recording.end(
                    Truncation.TIME if self._is_cut else Truncation.DISCONNECT
                )
                return "timeout" if self._is_cut else "reset"
            if data:
                recording.received(data)
                if listener is not None:
                    listener.hear(data)
            elif self._is_cut:  # by us: this end of it is not the server's
                recording.end(Truncation.TIME)
                return "timeout"
            elif data is None:
                recording.end(Truncation.LENGTH)
            else:
                recording.closed()
                return "no-response"
            now = clock.monotonic()
        return ""

    def cut(self) -> None:
        """End from another thread what is under way, as if its time were up."""
        self._is_cut, sock = True, self._socket
        if sock is not None:
            with suppress(OSError):  # SSLSocket's own would forget its keys in a read
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def taken_over(self) -> socket.socket:
        """Return the connection after a 101, of which nothing more is recorded."""
        assert self._socket is not None, "it switched to another protocol"
        return self._socket

    def hang_up(self) -> None:
        """Close the connection; the next order opens another."""
        self._asked = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ------------------------------------------------------------- connecting

    def _connect(self, order: Order) -> socket.socket:
        """Resolve once, judge every answer, connect to a number, shake hands.

        Raises UnreachableError.
        """
        clock, patience = self._reach.clock, order.patience
        self._contact = Contact()
        policy = self._reach.policy
        goal = address.destination(self._host, self._port, policy)
        refused = address.port_refusal(goal.host, goal.port, policy)
        if refused and not goal.is_mapped:
            raise UnreachableError("blocked-address", refused, Contact())
        started, since = clock.now(), clock.monotonic()
        answers = self._resolved(goal.host, goal.port, patience)
        self._contact = Contact(
            started=started,
            host=self._host,
            connect_to=goal.rule,
            asked=goal.host if address.is_name(goal.host) else "",
            dns=tuple(answers),
            dns_seconds=clock.monotonic() - since,
            port=goal.port,
        )
        allow = ANYWHERE if goal.is_named else policy.allow
        for answer in answers:  # one bad answer among several blocks all
            if refused := address.refusal(answer, allow):
                detail = f"{goal.host} may not be contacted: {refused}"
                raise UnreachableError("blocked-address", detail, self._contact)
        sock = self._dialled(answers, goal.port, patience)
        return self._secured(sock, order) if self._is_secure else sock

    def _resolved(self, host: str, port: int, patience: Patience) -> list[str]:
        """Ask in a thread of its own: the system's resolver knows no time limit."""
        answer: Future[list[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._reach.resolve(host, port))
            except (OSError, UnicodeError) as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        try:
            answers = answer.result(timeout=self._seconds_left(patience))
        except TimeoutError:
            raise UnreachableError(
                "dns", f"no answer to the name {host} in time", Contact()
            ) from None
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            detail = f"the name {host} was not resolved: {why}"
            raise UnreachableError("dns", detail, Contact()) from error
        if not answers:
            detail = f"the name {host} has no address"
            raise UnreachableError("dns", detail, Contact())
        return answers

    def _dialled(
        self, answers: list[str], port: int, patience: Patience
    ) -> socket.socket:
        """Try each address in turn within one patience."""
        said = ""
        for ip in answers:
            self._contact = replace(self._contact, ip=ip)
            try:
                return self._reach.dial(ip, port, self._seconds_left(patience))
            except OSError as error:
                said = f"{ip} port {port}: {error.strerror or error}"
        raise UnreachableError("connect", said, self._contact)

    def _seconds_left(self, patience: Patience) -> float:
        left = patience.ends_at - self._reach.clock.monotonic()
        return max(0.001, min(patience.timeout, left))

    def _secured(self, plain: socket.socket, order: Order) -> socket.socket:
        """Shake hands and check the certificate against the roots of the run.

        One that fails is met again without a check where the order takes it.
        """
        trust, failed = self._reach.trust, None
        try:
            sock = self._shaken(plain, trust.verifying, order.patience)
        except InvalidError as error:
            if not order.takes_invalid:
                raise self._no_tls(error) from error
            failed = error
            ip, port = self._contact.ip, self._contact.port  # the one that was judged
            again = self._dialled([ip], port, order.patience)
            sock = self._shaken(again, trust.recording, order.patience)
        made = told(sock, trust, failed)
        self._contact = replace(
            self._contact,
            tls=made.version,
            cipher=made.cipher,
            tls_invalid=made.detail,
            handshake=made,
        )
        return sock

    def _shaken(
        self, plain: socket.socket, context: ssl.SSLContext, patience: Patience
    ) -> ssl.SSLSocket:
        try:
            plain.settimeout(self._seconds_left(patience))
            return shake_hands(plain, context, self._host)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            plain.close()
            raise self._no_tls(error) from error

    def _no_tls(self, error: Exception) -> UnreachableError:
        detail = f"no TLS connection with {self._host}: {error}"
        return UnreachableError("tls", detail, self._contact)


def _bounds(asked: Asked, listener: Listener | None, since: float) -> tuple[float, int]:
    """Say until when a message is waited for, and how much more is taken of it."""
    patience = asked.order.patience
    until = min(since + patience.timeout, patience.ends_at)
    room = patience.max_size - asked.recording.size
    if listener is None:
        return until, room
    return min(until, listener.ends_at), min(room, listener.room)


def _read(sock: socket.socket, seconds: float, room: int) -> bytes | None:
    """Read what comes: b"" for an orderly close, None where there is no room."""
    if room <= 0:
        return None
    if seconds <= 0:
        raise TimeoutError
    sock.settimeout(seconds)
    try:
        return sock.recv(min(room, READ))
    except ssl.SSLEOFError:  # closed without a TLS goodbye
        return b""
