"""How far time servers stood from our clock: SNTP, where it is configured (RFC 4330).

A server is asked once, over UDP, at an address that was judged like any other, within
a bounded time. What is sent holds a random number in the place of our time, so that it
tells nothing of us and the echo shows that a reply answers it. No reply is signed: it
is evidence beside other evidence. A server that is silent or lies is told, and is never
an error.
"""

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.datagram import Answer, Datagrams, Question
from pipeline.capture.order import UnreachableError
from pipeline.clock import stamp
from pipeline.config import TimeServer
from pipeline.packaging.rendering import Json

DEADLINE = 3.0  # seconds for one server, from the name to the reply
SIZE = 48  # bytes of the header, RFC 5905 7.3
PACKET = struct.Struct("!BBbb3I4Q")
CLIENT, SERVER, VERSIONS = 3, 4, (3, 4)  # of the mode and version fields
UNSYNCHRONISED, KISS_OF_DEATH, FARTHEST = 3, 0, 15  # leap indicator, strata
EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
ERA = 1 << 32  # seconds until the count begins anew, in 2036
FRACTION = 1 << 32
SHORT = 1 << 16  # of a second, in root delay and root dispersion
TOO_FAR = 5.0  # seconds of root distance; of no more use as evidence
NONCE_BYTES, ECHO = 8, 24  # its length, and its place in a reply


class Reading(Struct, frozen=True, kw_only=True):
    """What one server's clock said beside ours, or why it said nothing."""

    server: str  # as configured
    at: datetime  # by our clock
    address: str = ""
    stratum: int = 0
    offset: float = 0.0  # seconds that it was ahead
    delay: float = 0.0  # seconds there and back; half of it bounds the error
    reason: str = ""  # why there is no offset

    def told(self) -> dict[str, Json]:
        """Tell it as JSON."""
        told: dict[str, Json] = {"server": self.server, "at": stamp(self.at)}
        if self.address:
            told["address"] = self.address
        if self.reason:
            return {**told, "reason": self.reason}
        return {
            **told,
            "stratum": self.stratum,
            "offset_seconds": round(self.offset, 6),
            "delay_seconds": round(self.delay, 6),
        }


class Times(Struct, frozen=True, kw_only=True):
    """A reply as far as it was believed: two moments of the server's, and its place."""

    received: int  # when our question came, in the units of NTP
    sent: int  # when the reply left
    stratum: int


# ------------------------------------------------------------------------------- pure


def question(nonce: bytes) -> bytes:
    """Write a client's packet, with a random number in the place of our time."""
    head = 4 << 3 | CLIENT  # no warning, version 4
    zeros = (0,) * 9
    return PACKET.pack(head, *zeros, int.from_bytes(nonce, "big"))


def echoes(data: bytes, nonce: bytes) -> bool:
    """Tell whether a datagram answers the question with this nonce (RFC 4330 5)."""
    return data[ECHO : ECHO + NONCE_BYTES] == nonce


def parse(data: bytes) -> Times:
    """Read a reply that echoes what was asked. Raises ValueError."""
    if len(data) < SIZE:
        raise ValueError(f"a reply of {len(data)} bytes is none")
    head, stratum, _, _, delay, dispersion, reference, *times = PACKET.unpack(
        data[:SIZE]
    )
    _, _, received, sent = times
    if head & 7 != SERVER or head >> 3 & 7 not in VERSIONS:
        raise ValueError("it is not a server's reply of version 3 or 4")
    if stratum == KISS_OF_DEATH:
        kiss = reference.to_bytes(4, "big")
        code = kiss.decode() if kiss.isascii() and kiss.isalpha() else kiss.hex()
        raise ValueError(f"it will not be asked (kiss of death, {code})")
    if head >> 6 == UNSYNCHRONISED or stratum > FARTHEST:
        raise ValueError("its own clock is not set")
    if not received or not sent:
        raise ValueError("it tells no time")
    if (delay / 2 + dispersion) / SHORT > TOO_FAR:
        raise ValueError("its own clock is not known well enough")
    return Times(received=received, sent=sent, stratum=stratum)


def moment(units: int, near: datetime) -> datetime:
    """Read a moment of NTP in the era that is nearest to another moment."""
    seconds, fraction = divmod(units, FRACTION)
    so_far = (near - EPOCH).total_seconds()
    era = round((so_far - seconds) / ERA)
    parts = fraction * 1_000_000 // FRACTION
    return EPOCH + timedelta(seconds=seconds + era * ERA, microseconds=parts)


def compare(
    times: Times, *, asked: datetime, answered: datetime
) -> tuple[float, float]:
    """Tell how far a server was ahead, and how long the way was (RFC 4330 5).

    Raises ValueError for moments that no way there and back allows.
    """
    received, sent = (moment(one, asked) for one in (times.received, times.sent))
    on_the_way = (answered - asked) - (sent - received)
    if sent < received or on_the_way < timedelta(milliseconds=-1):
        raise ValueError("its moments contradict each other")
    ahead = ((received - asked) + (sent - answered)) / 2
    return ahead.total_seconds(), max(0.0, on_the_way.total_seconds())


def reading(answer: Answer, server: str) -> Reading:
    """Read what a server answered, and compare its clock with ours."""
    found = Reading(server=server, at=answer.asked, address=answer.address)
    try:
        times = parse(answer.data)
        offset, delay = compare(times, asked=answer.asked, answered=answer.answered)
    except ValueError as error:
        return replace(found, reason=str(error))
    return replace(found, stratum=times.stratum, offset=offset, delay=delay)


# ----------------------------------------------------------------------------- asking


class Watch(Struct, frozen=True, kw_only=True):
    """Who is asked for the time, and how far that may lead."""

    servers: Sequence[TimeServer] = ()
    door: Datagrams
    deadline: float = DEADLINE

    def read(self) -> tuple[Reading, ...]:
        """Ask every server once, all at the same time; nothing is raised."""
        if not self.servers:
            return ()
        with ThreadPoolExecutor(len(self.servers), "sntp") as workers:
            return tuple(workers.map(self._one, self.servers))

    def _one(self, server: TimeServer) -> Reading:
        nonce, name = self.door.clock.nonce(NONCE_BYTES), str(server)
        asked = Question(
            host=server.host,
            port=server.port,
            data=question(nonce),
            is_answer=lambda data: echoes(data, nonce),
            deadline=self.deadline,
        )
        try:
            answer = self.door.ask(asked)
        except UnreachableError as error:
            at, ip = self.door.clock.now(), error.contact.ip
            return Reading(server=name, at=at, address=ip, reason=error.detail)
        return reading(answer, name)
