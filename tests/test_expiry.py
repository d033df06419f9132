"""Certificates that end: noticed a year ahead, by what stands on them."""

import dataclasses
import shutil
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import baggery
import pytest
import sealing_cases
from sealing_cases import AtHand, Scene
from timekeeping import OPENSSL, Clockmaker

from pipeline import doctor
from pipeline.clock import SystemClock
from pipeline.holdings.store import Store
from pipeline.sealing import assurance, expiry, keys, seal
from pipeline.sealing.expiry import Carries
from pipeline.sealing.seal import Facts, Signing

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")
CLOCK = SystemClock()
HOURS = 24.0
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A bag stamped by one whose certificate ends in 400 days, another's in nine years."""
    folder = tmp_path_factory.mktemp("scene")
    made = sealing_cases.scene(folder)
    made.unseal()
    short = Clockmaker(folder / "short", "short", span=(-1, 400 * HOURS))
    made = dataclasses.replace(made, one=short)
    made.seal()
    return made


@pytest.fixture
def it(original, tmp_path) -> Scene:
    return original.copy(tmp_path / "copy")


@pytest.fixture
def now() -> datetime:
    return CLOCK.now()


def resealed(it: Scene, *makers: Clockmaker) -> None:
    """Add a seal over all that the bag has."""
    asked = AtHand(*makers) if makers else None
    seal.seal(it.bag, Signing(identity=it.signer, authorities=asked, clock=CLOCK), Facts())  # fmt: skip


def found(it: Scene, now: datetime) -> list[tuple[Carries, str]]:
    return [(one.carries, one.whose) for one in expiry.of_bags([it.bag], now=now)]


SHORT, LONG = (Carries.TIMESTAMP, "CN=short TSA"), (Carries.TIMESTAMP, "CN=two TSA")
DAYS = {
    "today": (0, []),
    "a year before": (36, [SHORT]),
    "when it has ended": (500, [SHORT]),
    "when both end": (9 * 365, [SHORT, LONG]),
}


@pytest.mark.parametrize(("days", "names"), DAYS.values(), ids=DAYS)
def test_a_timestamp_that_ends_is_noticed_a_year_ahead(it, now, days, names):
    assert found(it, now + days * DAY) == names


def test_a_span_of_ones_own_may_be_asked_for(it, now):
    assert expiry.of_bags([it.bag], now=now, ahead=500 * DAY)
    assert not expiry.of_bags([it.bag], now=now + 36 * DAY, ahead=30 * DAY)


def test_what_a_later_timestamp_covers_is_no_longer_at_risk(it, now):
    resealed(it, it.two)
    assert found(it, now + 36 * DAY) == []


def test_a_later_signature_alone_covers_nothing(it, now):
    resealed(it)
    assert found(it, now + 36 * DAY) == [SHORT]
    names = [carries for carries, _ in found(it, now + 9 * 365 * DAY)]
    assert names.count(Carries.SIGNATURE) == 1


def test_a_signature_that_nobody_stamped_stands_on_its_own_certificate(it, now):
    it.unseal()
    resealed(it)
    (one,) = expiry.of_bags([it.bag], now=now + 9 * 365 * DAY)
    assert one.carries is Carries.SIGNATURE
    assert one.fingerprint == it.signer.fingerprint
    judged = assurance.judge(it.bag, now=now + (9 * 365 - 9) * DAY)
    assert [one.code for one in judged.findings] == ["seal-expiring"]
    assert "configure an authority" in judged.findings[0].message


def test_one_certificate_is_told_once_with_every_bag(it, now, tmp_path):
    bags = [it.bag, shutil.copytree(it.bag, tmp_path / "twin")]
    (one,) = expiry.of_bags(bags, now=now + 36 * DAY)
    assert one.bags == tuple(bags)
    assert "2 bags" in one.sentence(now)
    assert one.told()["bags"] == [str(bag) for bag in bags]


def test_what_can_not_be_read_is_passed_over(it, now, tmp_path):
    for name in ("seal-0001.short.tsr", "seal-0001.two.tsr", "seal-0001.json.p7s"):
        (it.bag / name).write_bytes(b"no such thing")
    bare = baggery.sound(tmp_path / "bare")
    assert expiry.of_bags([it.bag, bare, tmp_path / "none"], now=now + 99 * 365 * DAY) == ()  # fmt: skip


def test_the_key_that_signs_is_noticed_and_what_to_do(tmp_path, now):
    made = keys.make(tmp_path / "key.pem", now=now, serial=b"\1" * 16, name="A. N.")
    end = expiry.of_key(made.certificate)
    assert not end.is_near(now)
    late = made.certificate.not_valid_after_utc - 9 * DAY
    assert end.is_near(late)
    assert "ends" in end.sentence(late)
    assert "muniment keys init" in end.sentence(late)
    assert "ended" in end.sentence(late + 10 * DAY)


def test_verify_says_what_to_do(it, now):
    judged = assurance.judge(it.bag, authorities=it.authorities, now=now + 36 * DAY)
    (one,) = judged.findings
    assert (one.code, one.severity, one.path) == ("seal-expiring", "warning", "seal-0001.short.tsr")  # fmt: skip
    assert "muniment seal --renew" in one.message


@pytest.fixture
def room(it, tmp_path) -> Path:
    """An archive with the sealed bag in it."""
    root = tmp_path / "archive"
    with closing(Store.open(root, CLOCK)):
        place = root / "case/2026"
        place.mkdir(parents=True)
        shutil.copytree(it.bag, place / it.bag.name)
    return root


def signs(room: Path, **options) -> list[tuple[str, str]]:
    seen = doctor.look(room, environment=(), **options)
    wanted = {"seal-expiring", "key-expiring", "seal-key"}
    return [(one.code, one.message) for one in seen.signs if one.code in wanted]


def test_the_doctor_tells_of_seals_and_of_the_key(room, tmp_path, now):
    key = tmp_path / "signing.pem"
    assert signs(room, now=now + 36 * DAY, key=key)[0][0] == "seal-expiring"
    assert signs(room, now=now, key=key) == []
    keys.make(key, now=now - keys.LASTS + 9 * DAY, serial=b"\1" * 16)
    ((code, message),) = signs(room, now=now, key=key)
    assert code == "key-expiring"
    assert "keys init" in message
    key.write_bytes(b"no key")
    assert [code for code, _ in signs(room, now=now, key=key)] == ["seal-key"]
