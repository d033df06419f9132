"""Time servers on loopback: honest, silent and hostile."""

import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.address import Policy
from pipeline.capture.datagram import Datagrams
from pipeline.clock import SystemClock
from pipeline.config import TimeServer
from pipeline.sealing import sntp
from pipeline.sealing.sntp import PACKET, Watch

OPEN = Policy(allow=(ipaddress.ip_network("127.0.0.0/8"),))
NOW = datetime(2026, 11, 23, 3, 17, tzinfo=UTC)
NONCE = b"8 random"


def units(at: datetime) -> int:
    since = at - sntp.EPOCH
    whole = since.days * 86_400 + since.seconds
    return (whole % sntp.ERA) * sntp.FRACTION + (
        since.microseconds * sntp.FRACTION // 1_000_000
    )


@dataclass(frozen=True)
class Reply:
    """A reply, honest where nothing is said."""

    ahead: float = 0.0
    head: int = 4 << 3 | 4
    stratum: int = 2
    reference: bytes = b"GPS\0"
    root_delay: float = 0.01
    dispersion: float = 0.01
    echo: bool = True
    later: float = 0.0  # the moment of sending after that of receiving
    zero: bool = False
    cut: int = 48

    def to(self, asked: bytes, now: datetime) -> bytes:
        nonce = PACKET.unpack(asked)[-1]
        at = now + timedelta(seconds=self.ahead)
        times = (0, 0) if self.zero else (units(at), units(at + timedelta(seconds=self.later)))  # fmt: skip
        return PACKET.pack(
            self.head, self.stratum, 6, -20, int(self.root_delay * 65536), int(self.dispersion * 65536),
            int.from_bytes(self.reference, "big"), 0, nonce if self.echo else nonce ^ 1, *times,
        )[: self.cut]  # fmt: skip


Answer = Callable[[bytes], list[bytes]]


@dataclass
class Timeserver:
    """A UDP server on 127.0.0.1 that answers each datagram with some."""

    answer: Answer
    heard: list[bytes] = field(default_factory=list)

    def __enter__(self):
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while True:
            data, whence = self._sock.recvfrom(4096)
            if data == b"stop":
                return
            self.heard.append(data)
            for one in self.answer(data):
                self._sock.sendto(one, whence)

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._sock.close()


def saying(*replies: Reply) -> Answer:
    return lambda asked: [one.to(asked, datetime.now(UTC)) for one in replies]


def read(port: int, *, host: str = "127.0.0.1", **options) -> sntp.Reading:
    deadline = options.pop("deadline", 5.0)
    door = Datagrams(**{"policy": OPEN, "clock": SystemClock()} | options)
    server = TimeServer(host=host, port=port)
    (found,) = Watch(servers=(server,), door=door, deadline=deadline).read()
    return found


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -3600.0, 0.5])
def test_how_far_a_server_is_ahead_is_told(ahead):
    with Timeserver(saying(Reply(ahead=ahead))) as server:
        found = read(server.port)
    assert found.reason == ""
    # the server looked at its clock between our question and its answer
    assert abs(found.offset - ahead) <= found.delay / 2 + 0.001
    assert (found.stratum, found.address) == (2, "127.0.0.1")
    assert found.told()["offset_seconds"] == round(found.offset, 6)


def test_what_is_sent_tells_nothing_of_our_clock():
    with Timeserver(saying(Reply())) as server:
        read(server.port)
        read(server.port)
        first, second = server.heard
    assert first[0] == 0x23
    assert not any(first[1:40])
    assert first[40:] != second[40:]


BAD = {
    "a kiss of death": (Reply(stratum=0, reference=b"RATE"), "kiss of death, RATE"),
    "a kiss in no letters": (Reply(stratum=0, reference=b"\x1b[2J"), "kiss of death, 1b5b324a"),
    "a server that is not set": (Reply(head=3 << 6 | 4 << 3 | 4), "its own clock is not set"),
    "a stratum that none has": (Reply(stratum=16), "its own clock is not set"),
    "a client's packet": (Reply(head=4 << 3 | 3), "not a server's reply"),
    "a broadcast": (Reply(head=4 << 3 | 5), "not a server's reply"),
    "a version of long ago": (Reply(head=1 << 3 | 4), "not a server's reply"),
    "no time": (Reply(zero=True), "tells no time"),
    "a clock that nobody knows well": (Reply(dispersion=9.0), "not known well enough"),
    "far from any clock": (Reply(root_delay=30.0), "not known well enough"),
    "an answer before the question": (Reply(later=-1.0), "contradict"),
    "a wait longer than ours": (Reply(later=60.0), "contradict"),
    "a packet cut in its echo": (Reply(cut=31), "does not answer what was asked"),
    "a short packet": (Reply(cut=47), "a reply of 47 bytes"),
    "an empty packet": (Reply(cut=0), "does not answer what was asked"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "why"), BAD.values(), ids=BAD.keys())
def test_a_reply_that_can_not_be_believed_is_told_and_not_used(reply, why):
    with Timeserver(saying(reply)) as server:
        found = read(server.port)
    assert why in found.reason
    assert "offset_seconds" not in found.told()
    assert found.told()["reason"] == found.reason


def test_what_answers_another_question_is_passed_over():
    forged = [Reply(echo=False, ahead=9e5), Reply(echo=False, stratum=0)]
    with Timeserver(saying(*forged, Reply(ahead=7.0))) as server:
        found = read(server.port)
    assert round(found.offset) == 7


def test_a_flood_of_forgeries_ends():
    with Timeserver(saying(*[Reply(echo=False)] * 100)) as server:
        found = read(server.port)
    assert found.reason == "what came does not answer what was asked"


def test_a_silent_server_is_told():
    with Timeserver(lambda _: []) as server:
        found = read(server.port, deadline=0.05)
    assert found.reason == "nothing came in time"


def test_where_nobody_listens_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "refused" in read(port).reason


def no_such_name(host: str, port: int) -> list[str]:
    raise OSError(-2, "Name or service not known")


REFUSED = {
    "a private address": (lambda *_: ["10.0.0.1"], "10.0.0.1 is a private address"),
    "one of several": (lambda *_: ["8.8.8.8", "169.254.169.254"], "link-local"),
    "no address": (lambda *_: [], "its name has no address"),
    "no such name": (no_such_name, "Name or service not known"),
}


@pytest.mark.parametrize(("resolve", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_an_address_is_judged_before_anything_is_sent(resolve, why):
    found = read(9, host="time.example", policy=Policy(), resolve=resolve)
    assert why in found.reason
    assert found.address == ""


def test_a_resolver_that_never_answers_holds_nobody_up():
    go_on = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        go_on.wait(20)
        return []

    found = read(9, host="time.example", resolve=slow, deadline=0.05)
    go_on.set()
    assert found.reason == "no answer to its name in time"


def test_several_are_asked_and_each_is_told_in_its_order():
    with Timeserver(saying(Reply())) as good, Timeserver(saying(Reply(stratum=0))) as bad:  # fmt: skip
        servers = tuple(
            TimeServer(host="127.0.0.1", port=one.port) for one in (bad, good)
        )
        door = Datagrams(policy=OPEN, clock=SystemClock())
        found = Watch(servers=servers, door=door).read()
    assert [bool(one.reason) for one in found] == [True, False]
    assert [one.server for one in found] == [str(one) for one in servers]


def test_nobody_is_asked_where_none_is_configured():
    assert Watch(door=Datagrams(policy=OPEN, clock=SystemClock())).read() == ()


@pytest.mark.parametrize("near", [NOW, datetime(2036, 2, 7, 6, 28, 10, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])  # fmt: skip
def test_a_moment_is_read_in_the_era_it_is_near(near):
    for away in (-9e8, -30.0, 0.0, 30.0, 9e8):
        at = near + timedelta(seconds=away)
        assert abs(sntp.moment(units(at), near) - at) <= timedelta(microseconds=1)


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_time_or_a_reason(data):
    for reply in (data, data[:24] + NONCE + data[24:]):
        try:
            times = sntp.parse(reply)
            ahead, delay = sntp.compare(times, asked=NOW, answered=NOW)
        except ValueError as error:
            assert str(error)
        else:
            assert delay >= 0
            assert abs(ahead) < sntp.ERA
