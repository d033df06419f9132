"""Bags sealed, completed and renewed, with authorities that behave and that do not."""

import subprocess
import time
from datetime import timedelta
from pathlib import Path

import baggery
import pytest
from timekeeping import OPENSSL, Clockmaker, House, Timekeeper

from pipeline.capture.address import Policy, parse_allow
from pipeline.clock import SystemClock
from pipeline.errors import FixityError
from pipeline.packaging.validate import validate
from pipeline.sealing import assurance, keys, seal
from pipeline.sealing.authority import Authorities
from pipeline.sealing.seal import Facts, Signing, State

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")
CLOCK = SystemClock()


def identity(folder: Path, name: str = "A. Archivist") -> keys.Identity:
    return keys.make(
        folder / f"{name}.pem", now=CLOCK.now(), serial=CLOCK.nonce(16), name=name
    )


def authorities(*keepers: Timekeeper, deadline: float = 10.0) -> Authorities:
    return Authorities(
        [one.authority for one in keepers],
        policy=Policy(allow=(parse_allow("127.0.0.0/8"),)),
        clock=CLOCK,
        deadline=deadline,
    )


@pytest.fixture
def bag(tmp_path):
    return baggery.sound(tmp_path / "bag")


@pytest.fixture
def keeper(tmp_path):
    made = []

    def make(name, **options):
        made.append(Timekeeper(Clockmaker(tmp_path / name, name, **options)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def judged(bag, *keepers, **options):
    trusted = [one.authority for one in keepers]
    return assurance.judge(bag, authorities=trusted, **{"now": CLOCK.now(), **options})


def codes(found) -> list[str]:
    return [one.code for one in found.findings]


def test_a_bag_is_sealed_by_a_signature_and_two_authorities(bag, keeper, tmp_path):
    one, two = keeper("one"), keeper("two")
    who = identity(tmp_path)
    asked = authorities(one, two)
    made = seal.seal(
        bag, Signing(identity=who, authorities=asked, clock=CLOCK), Facts()
    )
    assert made.state is State.SEALED
    assert sorted(p.name for p in bag.glob("seal-*")) == [
        "seal-0001.json", "seal-0001.json.p7s",
        "seal-0001.one.pem", "seal-0001.one.tsq", "seal-0001.one.tsr",
        "seal-0001.two.pem", "seal-0001.two.tsq", "seal-0001.two.tsr",
    ]  # fmt: skip
    found = judged(bag, one, two)
    assert found.findings == ()
    assert found.seals[0].fingerprint == who.fingerprint
    assert [p.token.authority for p in found.seals[0].proofs] == ["one", "two"]
    assert validate(bag).ok


def test_without_authorities_a_seal_is_a_signature(bag, tmp_path):
    made = seal.seal(bag, Signing(identity=identity(tmp_path), clock=CLOCK), Facts())
    assert made.state is State.UNTIMESTAMPED
    found = judged(bag)
    assert found.ok
    assert "time asserted by this machine only" in found.sentence()


@pytest.mark.parametrize("mode", ["down", "garbage", "slow"])
def test_one_authority_that_fails_leaves_the_seal_pending_and_a_retry_completes_it(
    mode, bag, keeper, tmp_path
):
    good, bad = keeper("good"), keeper("bad")
    bad.mode = mode
    who = identity(tmp_path)
    since = time.monotonic()
    made = seal.seal(
        bag,
        Signing(
            identity=who, authorities=authorities(good, bad, deadline=1.0), clock=CLOCK
        ),
        Facts(),
    )
    assert time.monotonic() - since < 60
    assert made.state is State.PENDING
    assert [one.authority for one in made.refusals] == ["bad"]
    assert not list(bag.glob("*bad*"))
    found = judged(bag, good, bad)
    assert found.ok
    assert codes(found) == ["seal-pending"]
    bad.mode = "ok"
    (again,) = seal.complete(bag, authorities(good, bad))
    assert again.state is State.SEALED
    assert judged(bag, good, bad).findings == ()
    assert seal.complete(bag, authorities(good, bad)) == ()


def test_an_authority_that_failed_is_not_asked_again_in_the_same_job(keeper):
    bad = keeper("bad")
    bad.mode = "down"
    asked = authorities(bad)
    asked.stamp(b"one")
    asked.stamp(b"two")
    assert bad.asked == 1
    asked.forgive()
    asked.stamp(b"three")
    assert bad.asked == 2


def test_a_certificate_that_had_ended_already_makes_no_seal(bag, keeper, tmp_path):
    old = keeper("old", house=House("old", -48, 48), span=(-48, -24))
    made = seal.seal(
        bag, Signing(identity=identity(tmp_path), authorities=authorities(old), clock=CLOCK), Facts()
    )  # fmt: skip
    assert "not to be trusted" in made.refusals[0].reason
    assert not list(bag.glob("*old*"))


def test_an_authority_that_had_ended_completes_the_seal_with_a_new_certificate(
    bag, keeper, tmp_path
):
    good, old = (
        keeper("good"),
        keeper("old", house=House("old", -48, 48), span=(-48, -24)),
    )
    who = Signing(
        identity=identity(tmp_path), authorities=authorities(good, old), clock=CLOCK
    )
    made = seal.seal(bag, who, Facts())
    assert made.state is State.PENDING
    assert [one.authority for one in made.refusals] == ["old"]
    assert codes(judged(bag, good, old)) == ["seal-pending"]
    old.maker = Clockmaker(tmp_path / "new", "old", house=old.maker.house)
    (again,) = seal.complete(bag, authorities(good, old))
    assert again.state is State.SEALED
    # the certificate is new; its house ends in two days
    assert codes(judged(bag, good, old)) == ["seal-expiring"]


SHA256 = bytes.fromhex("608648016503040201")
UNKNOWN = bytes.fromhex("60864801650304027f")


def test_a_token_in_an_algorithm_that_nobody_knows_is_not_kept(bag, keeper, tmp_path):
    good, odd = keeper("good"), keeper("odd")
    right, odd.maker.answer = (
        odd.maker.answer,
        lambda query: right(query).replace(SHA256, UNKNOWN),
    )
    who = Signing(
        identity=identity(tmp_path), authorities=authorities(good, odd), clock=CLOCK
    )
    made = seal.seal(bag, who, Facts())
    assert made.state is State.PENDING
    assert [one.authority for one in made.refusals] == ["odd"]
    assert "2.16.840.1.101.3.4.2.127" in made.refusals[0].reason
    assert not list(bag.glob("*odd*"))
    assert judged(bag, good, odd).ok


def test_a_stored_token_in_an_algorithm_that_nobody_knows_is_told(
    bag, keeper, tmp_path
):
    good = keeper("good")
    who = Signing(
        identity=identity(tmp_path), authorities=authorities(good), clock=CLOCK
    )
    seal.seal(bag, who, Facts())
    kept = bag / "seal-0001.good.tsr"
    kept.write_bytes(kept.read_bytes().replace(SHA256, UNKNOWN))
    found = judged(bag, good)
    assert {one.code for one in found.findings} == {"seal-token"}
    assert "2.16.840.1.101.3.4.2.127" in found.findings[0].message


def test_renewal_carries_a_token_beyond_its_certificate(bag, keeper, tmp_path):
    first, later = keeper("first", span=(-1, 24)), keeper("later")
    who = identity(tmp_path)
    seal.seal(
        bag, Signing(identity=who, authorities=authorities(first), clock=CLOCK), Facts()
    )
    in_a_year = CLOCK.now() + timedelta(days=400)
    assert codes(judged(bag, first, later)) == ["seal-expiring"]
    assert codes(judged(bag, first, later, now=in_a_year)) == ["seal-expired"]
    seal.renew(
        bag,
        Signing(identity=who, authorities=authorities(later), clock=CLOCK),
        Facts(),
        trusted=[first.authority],
    )
    found = judged(bag, first, later, now=in_a_year)
    assert found.findings == ()
    assert "a later seal proves" in found.seals[0].proofs[0].basis
    assert codes(judged(bag, first, later)) == []


def test_a_bag_that_does_not_verify_is_not_renewed(bag, tmp_path):
    signing = Signing(identity=identity(tmp_path), clock=CLOCK)
    with pytest.raises(FixityError, match="expected a seal to renew"):
        seal.renew(bag, signing, Facts(), trusted=())
    seal.seal(bag, signing, Facts())
    baggery.append(bag, "data/letter.txt", b"more")
    with pytest.raises(FixityError, match="not sealed again"):
        seal.renew(bag, signing, Facts(), trusted=())


def test_openssl_finds_the_same(bag, keeper, tmp_path):
    one = keeper("one")
    who = identity(tmp_path)
    seal.seal(
        bag, Signing(identity=who, authorities=authorities(one), clock=CLOCK), Facts()
    )
    key = tmp_path / "A. Archivist.pem"
    subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER",
         "-content", bag / "seal-0001.json", "-in", bag / "seal-0001.json.p7s",
         "-CAfile", key, "-out", "/dev/null"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["openssl", "ts", "-verify", "-queryfile", bag / "seal-0001.one.tsq",
         "-in", bag / "seal-0001.one.tsr", "-CAfile", one.maker.root,
         "-untrusted", bag / "seal-0001.one.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        ["openssl", "ts", "-verify", "-data", bag / "seal-0001.json.p7s",
         "-in", bag / "seal-0001.one.tsr", "-CAfile", one.maker.root],
        check=True, capture_output=True,
    )  # fmt: skip


def migrated(bag, tmp_path):
    signing = Signing(identity=identity(tmp_path), clock=CLOCK)
    seal.seal(bag, signing, Facts())
    seal.renew(bag, signing, Facts(), trusted=(), migrate=True)
    return bag / "seal-0002.blake2b.txt"


def test_a_renewal_can_bring_digests_that_b2sum_checks(bag, tmp_path):
    listed = migrated(bag, tmp_path)
    assert judged(bag).findings == ()
    words = ["b2sum", "--quiet", "--strict", "-c", listed.name]
    subprocess.run(words, cwd=bag, check=True, capture_output=True)
    names = [line.split("  ")[1] for line in listed.read_text().splitlines()]
    assert "data/letter.txt" in names
    assert "seal-0001.json.p7s" in names
    assert not any("seal-0002" in name for name in names)


CHANGES = {
    "a file with other bytes": (lambda bag: baggery.append(bag, "data/letter.txt", b"x"), "seal-digest"),
    "a file more": (lambda bag: baggery.put(bag, b"data/more.txt", b"x"), "seal-digest"),
    "a file less": (lambda bag: (bag / "notes/why.txt").unlink(), "seal-digest"),
    "a link in the bag": (lambda bag: (bag / "data/link").symlink_to("letter.txt"), "seal-digest"),
    "another list": (lambda bag: baggery.append(bag, "seal-0002.blake2b.txt", b"x"), "seal-subject"),
    "no list": (lambda bag: (bag / "seal-0002.blake2b.txt").unlink(), "seal-subject"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), CHANGES.values(), ids=CHANGES)
def test_a_bag_is_held_to_the_younger_digests_too(change, code, bag, tmp_path):
    migrated(bag, tmp_path)
    change(bag)
    assert code in codes(judged(bag))


def test_a_name_that_no_list_holds_is_not_sealed(bag, tmp_path):
    signing = Signing(identity=identity(tmp_path), clock=CLOCK)
    (bag / "data/two\nlines").write_bytes(b"")
    with pytest.raises(FixityError, match="cannot be listed"):
        seal.seal(bag, signing, Facts(), migrate=True)
