"""Patience, a pace, a second look: each around a place that does as a test says."""

import hashlib
from dataclasses import dataclass, field

import pytest
from depositing import NONCE, Clock

from pipeline.handoff.consignment import item
from pipeline.handoff.target import (
    DepositError,
    TakenError,
    TransientError,
    UnfaithfulError,
)
from pipeline.handoff.wrapping import Paced, Retried, Verified

DATA = bytes(range(256)) * 40


def letter(data=DATA):
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    return item("bag/letter", len(data), lambda _: iter(pieces))


@dataclass
class Place:
    """Keeps what it is given, after as many failures as it is told to have."""

    failures: int = 0
    error: type[DepositError] = TransientError
    cut_at: int = 10**9  # bytes that one reading gives before it fails
    kept: dict = field(default_factory=dict)
    acts: list = field(default_factory=list)
    location: str = "place:here"

    def _fail(self, act):
        self.acts.append(act)
        if self.failures:
            self.failures -= 1
            raise self.error("not now")

    def preflight(self):
        self._fail("preflight")

    def put(self, transfer, one):
        self._fail("put")
        self.kept[one.path] = b"".join(one.read(0))
        return "kept"

    def read(self, path, *, transfer=""):
        self.acts.append("read")
        for at in range(0, len(self.kept[path]), 1000):
            if at >= self.cut_at and self.failures:
                self.failures -= 1
                raise TransientError("cut")
            yield self.kept[path][at : at + 1000]

    def publish(self, transfer, names):
        self._fail("publish")
        return "named"

    def close(self):
        self.acts.append("close")


ACTS = {
    "preflight": lambda one: one.preflight(),
    "put": lambda one: one.put(NONCE, letter()),
    "publish": lambda one: one.publish(NONCE, ("bag",)),
}


@pytest.mark.parametrize("act", ACTS)
def test_what_may_pass_is_tried_again_after_ever_longer_waits(act):
    place, clock = Place(failures=4), Clock()
    ACTS[act](Retried(place, clock))
    assert place.acts == [act] * 5
    assert clock.waited == [1, 2, 4, 8]


@pytest.mark.parametrize("act", ACTS)
def test_patience_ends(act):
    place, clock = Place(failures=100), Clock()
    with pytest.raises(TransientError):
        ACTS[act](Retried(place, clock, attempts=3))
    assert place.acts == [act] * 3


@pytest.mark.parametrize("act", ACTS)
def test_what_will_not_pass_is_not_tried_again(act):
    place, clock = Place(failures=1, error=TakenError), Clock()
    with pytest.raises(TakenError):
        ACTS[act](Retried(place, clock))
    assert (place.acts, clock.waited) == ([act], [])


def test_no_wait_is_longer_than_a_minute():
    clock = Clock()
    Retried(Place(failures=9), clock, attempts=10).preflight()
    assert max(clock.waited) == 60


def test_a_reading_that_is_cut_gives_each_byte_once():
    place, clock = Place(failures=3, cut_at=4000), Clock()
    place.kept["bag/letter"] = DATA
    assert b"".join(Retried(place, clock).read("bag/letter")) == DATA
    assert place.acts == ["read"] * 4


def test_a_reading_that_is_cut_again_and_again_ends():
    place = Place(failures=100, cut_at=4000)
    place.kept["bag/letter"] = DATA
    with pytest.raises(TransientError):
        list(Retried(place, Clock()).read("bag/letter"))


class Watch(Clock):
    """A clock on which nothing takes any time but waiting."""

    def monotonic(self):
        return sum(self.waited)


@pytest.mark.parametrize("rate", [100, 1000, 5000])
def test_no_more_bytes_a_second_are_sent_or_read_than_agreed(rate):
    place, clock = Place(), Watch()
    paced = Paced(place, clock, rate)
    assert paced.put(NONCE, letter()) == "kept"
    assert clock.monotonic() == pytest.approx(len(DATA) / rate)
    assert b"".join(paced.read("bag/letter")) == DATA
    assert clock.monotonic() == pytest.approx(2 * len(DATA) / rate)


def test_who_is_slow_already_is_not_held_up():
    class Late(Clock):
        def monotonic(self):
            self.at = getattr(self, "at", 0) + 3600
            return self.at

    clock = Late()
    Paced(Place(), clock, 1000).put(NONCE, letter())
    assert clock.waited == []


@pytest.mark.parametrize(
    "kept", [b"", DATA[:-1], DATA + b"x", bytes(len(DATA))], ids=len
)
def test_a_second_look_finds_what_is_not_what_was_put(kept):
    place = Place()
    place.put = lambda *_: place.kept.update({"bag/letter": kept}) or "all fine"
    with pytest.raises(UnfaithfulError, match="no receipt is written"):
        Verified(place).put(NONCE, letter())


def test_a_second_look_leaves_the_answer():
    assert Verified(Place()).put(NONCE, letter()) == "kept"
    assert hashlib.sha256(DATA).hexdigest() == letter().digest.hex


def test_each_is_where_its_place_is_and_hangs_up():
    place, clock = Place(), Clock()
    whole = Verified(Retried(Paced(place, clock, 1000), clock))
    whole.preflight()
    whole.close()
    assert whole.location == "place:here"
    assert place.acts == ["preflight", "close"]
