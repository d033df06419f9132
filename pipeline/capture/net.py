"""The only door to the network: connect, record, pace.

``Network.fetch`` makes one exchange and returns a ``Reply``, whatever happens: a
refused connection is a result like a page. requests carries the request to a transport
adapter of ours, which records at the socket; ``wire`` alone reads what comes. One
connection per host at a time; names are resolved once, judged, and connected to by
number. Redirects, retries and what an answer means are left to ``client``.
"""

import ipaddress
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from pipeline.capture import address
from pipeline.capture.tls import Handshake, InvalidError, Trust, shake_hands, told
from pipeline.capture.wire import Message, Recording, Truncation
from pipeline.clock import Clock
from pipeline.errors import InterruptedRunError, UsageError

MOST_LINES = 32  # connections kept open, beyond those in use
READ = 1 << 18  # bytes asked of the socket at a time
SAID = {
    "timeout": "connected, but nothing was answered in time",
    "reset": "the connection was reset before anything was answered",
    "no-response": "the connection was closed before anything was answered",
}
END_OF_PLACE = re.compile("[/?]")
ANYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

Resolve = Callable[[str, int], list[str]]
Dial = Callable[[str, int, float], socket.socket]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait and how much to take."""

    timeout: float = 30.0  # seconds to connect, to complete the head, of any silence
    ends_at: float = float("inf")  # the deadline, on the monotonic clock
    max_size: int = 2 * 2**30  # bytes of one response


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request to be made. The URL is absolute, in its serialised form."""

    url: str
    headers: Mapping[str, str]
    folder: Path  # where a large response is spooled
    method: str = "GET"
    patience: Patience = Patience()
    delay: float = 0.0  # seconds since the last exchange with the host
    secrets: tuple[bytes, ...] = ()  # masked in what is kept of the request
    body: bytes = b""  # of a POST
    takes_invalid: bool = False  # goes on where a certificate fails, and says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of an order: a message, or the failure in its place."""

    url: str
    started: datetime
    seconds: float = 0.0
    message: Message | None = None  # None where no connection was made
    failure: str = ""  # a reason code of a failed verdict, where nothing came
    detail: str = ""
    contact: "Contact"


class UnreachableError(Exception):
    """No connection was made: a reason code, why in words, and how far it came."""

    def __init__(self, reason: str, detail: str, contact: "Contact") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.contact = contact


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # each is its own
class Contact:
    """What is known of one connection."""

    started: datetime | None = None
    host: str = ""  # as the URL names it
    connect_to: str = ""  # the operator's rule that led elsewhere
    asked: str = ""  # the name that was resolved; "" where it was a number
    dns: tuple[str, ...] = ()
    dns_seconds: float = 0.0
    ip: str = ""
    port: int = 0
    tls: str = ""  # as WARC-Protocol names it: tls/1.3
    cipher: str = ""
    tls_invalid: str = ""  # what is wrong with the certificate, in words
    handshake: Handshake | None = None


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host, each once, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


def dial(ip: str, port: int, timeout: float) -> socket.socket:
    """Connect to an address given by its number."""
    return socket.create_connection((ip, port), timeout=timeout)


@dataclass(slots=True)
class Host:
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
        policy: address.Policy,
        tls: Trust,
        resolve: Resolve = resolve,
        dial: Dial = dial,
    ) -> None:
        self.clock = clock
        self.policy = policy
        self.tls = tls
        self.resolve = resolve
        self.dial = dial
        self._hosts: dict[str, Host] = {}
        self._adapter = RecordingAdapter(self)
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
        seconds = moment - self.clock.monotonic()
        if max(moment, self.clock.monotonic()) >= patience.ends_at:
            return False
        if seconds > 0:
            self.pause(seconds)
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
            return Reply(
                url=order.url,
                started=started,
                seconds=self.clock.monotonic() - since,
                failure=error.reason,
                detail=error.detail,
                contact=error.contact,
            )
        return cast("Reply", response.raw)

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

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
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

    def _taken(self, key: tuple[str, str, int]) -> "Line":
        """Take a line, and hang up the longest idle beyond the most that are kept.

        How many hosts there are is a page's choice; how many sockets, ours.
        """
        with self._guard:
            self._busy.add(key)
            line = self._lines.pop(key, None) or Line(self._network, *key)
            self._lines[key] = line  # the last taken stands last
            idle = [one for one in self._lines if one not in self._busy]
            for one in idle[: max(0, len(self._lines) - MOST_LINES)]:
                self._lines.pop(one).hang_up()
        return line

    def close(self) -> None:
        """Hang up every line."""
        for line in self._lines.values():
            line.hang_up()


@lru_cache(maxsize=64)  # one exchange asks four times
def place_of(url: str) -> tuple[str, str, int]:
    """Take scheme, host and port from a serialised URL."""
    scheme, netloc, _ = _parts(url)
    return _place(scheme, netloc)


def _parts(url: str) -> tuple[str, str, str]:
    """Take a serialised URL apart: scheme, host and port, what is asked of them."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    netloc = END_OF_PLACE.split(rest, 1)[0]
    return scheme, netloc, rest[len(netloc) :]


@lru_cache(maxsize=1024)
def _place(scheme: str, netloc: str) -> tuple[str, str, int]:
    parts = urlsplit(f"{scheme}://{netloc}")
    port = parts.port or (443 if scheme == "https" else 80)
    return scheme, parts.hostname or "", port


def request_head(order: Order) -> bytes:
    """Write a request as it goes out (RFC 9112, 3)."""
    _, netloc, target = _parts(order.url)
    fields = {"Host": netloc.rpartition("@")[2], **order.headers}
    lines = [f"{order.method} {target} HTTP/1.1"]
    if order.body:
        fields["Content-Length"] = str(len(order.body))
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([*lines, "", ""])
    breaks = (head.count("\r"), head.count("\n"), head.count("\0"))
    if breaks != (len(lines) + 1, len(lines) + 1, 0):
        raise UsageError(f"{order.url}: a header or the address holds a line break")
    return head.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that went out, and the recording of what comes of it."""

    order: Order
    recording: Recording
    started: datetime
    since: float  # on the monotonic clock
    is_reused: bool  # the connection


class Line:
    """One connection to one host, kept while its messages allow."""

    def __init__(self, network: Network, scheme: str, host: str, port: int) -> None:
        self._network = network
        self._is_secure = scheme == "https"
        self._host = host
        self._port = port
        self._contact = Contact()
        self._socket: socket.socket | None = None
        self._asked: Asked | None = None  # ahead of its time

    def ahead(self, order: Order) -> bool:
        """Send what was ordered if the connection stands; ``exchange`` is to follow."""
        if self._socket is None or self._is_spent(order):
            return False
        self._asked = self._ask(order)
        return True

    def exchange(self, order: Order) -> Reply:
        """Send what was ordered and record what comes. Raises UnreachableError."""
        asked, self._asked = self._asked, None
        if asked is None:
            if self._socket is not None:
                self._is_spent(order)
            asked = self._ask(order)
        assert asked.order is order, "what was sent ahead is collected first"
        failure = self._hear(asked)
        if asked.is_reused and not asked.recording.size and failure != "timeout":
            # The server let go of the kept connection just as we spoke.
            again = self._ask(order)
            asked = replace(again, started=asked.started, since=asked.since)
            failure = self._hear(asked)
        return self._reply(asked, failure)

    def _reply(self, asked: Asked, failure: str) -> Reply:
        message = asked.recording.message()
        if not message.may_keep_alive:
            self.hang_up()
        began = message.block.size > 0
        return Reply(
            url=asked.order.url,
            started=asked.started,
            seconds=self._network.clock.monotonic() - asked.since,
            message=message,
            failure="" if began else failure or "no-response",
            detail="" if began else SAID[failure or "no-response"],
            contact=self._contact,
        )

    def _ask(self, order: Order) -> Asked:
        """Send a request, over the connection that stands or a new one."""
        started, since = self._network.clock.now(), self._network.clock.monotonic()
        is_reused = self._socket is not None
        if self._socket is None:
            self._socket = self._connect(order)
        recording = Recording(
            folder=order.folder, method=order.method, secrets=order.secrets
        )
        head = request_head(order) + order.body
        with suppress(OSError):  # it may have answered before it stopped listening
            if self._socket.gettimeout() != order.patience.timeout:
                self._socket.settimeout(order.patience.timeout)
            self._socket.sendall(head)
        recording.sent(head)
        return Asked(
            order=order,
            recording=recording,
            started=started,
            since=since,
            is_reused=is_reused,
        )

    def _hear(self, asked: Asked) -> str:
        """Record what comes; return the failure if it never began or broke off."""
        assert self._socket is not None, "a request went out over it"
        failure = self._listen(self._socket, asked.order.patience, asked.recording)
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
        self, sock: socket.socket, patience: Patience, recording: Recording
    ) -> str:
        """Read until the message ends; return the failure if it broke off."""
        clock = self._network.clock
        begun = now = clock.monotonic()
        while not recording.is_complete:
            since = now if recording.has_head else begun  # a head has one patience
            seconds = min(since + patience.timeout, patience.ends_at) - now
            try:
                data = _read(sock, seconds, patience.max_size - recording.size)
            except TimeoutError:
                recording.end(Truncation.TIME)
                return "timeout"
            except OSError:
                recording.end(Truncation.DISCONNECT)
                return "reset"
            if data:
                recording.received(data)
            elif data is None:
                recording.end(Truncation.LENGTH)
            else:
                recording.closed()
                return "no-response"
            now = clock.monotonic()
        return ""

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
        clock, patience = self._network.clock, order.patience
        self._contact = Contact()
        policy = self._network.policy
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
                answer.set_result(self._network.resolve(host, port))
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
                return self._network.dial(ip, port, self._seconds_left(patience))
            except OSError as error:
                said = f"{ip} port {port}: {error.strerror or error}"
        raise UnreachableError("connect", said, self._contact)

    def _seconds_left(self, patience: Patience) -> float:
        left = patience.ends_at - self._network.clock.monotonic()
        return max(0.001, min(patience.timeout, left))

    def _secured(self, plain: socket.socket, order: Order) -> socket.socket:
        """Shake hands and check the certificate against the roots of the run.

        One that fails is met again without a check where the order takes it.
        """
        trust, failed = self._network.tls, None
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


def _read(sock: socket.socket, seconds: float, room: int) -> bytes | None:
    """Read what comes: b"" for an orderly close, None where there is no room."""
    if room <= 0:
        return None
    if seconds <= 0:
        raise TimeoutError
    if sock.gettimeout() != seconds:  # as a rule it was set to send
        sock.settimeout(seconds)
    try:
        return sock.recv(min(room, READ))
    except ssl.SSLEOFError:  # closed without a TLS goodbye
        return b""
