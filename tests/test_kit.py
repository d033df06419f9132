"""Kits: a bag, its script, the roots beside it; and what is made of none."""

import os
import subprocess

import pytest
import sealing_cases
from baggery import append, sound, swap
from sealing_cases import CLOCK, AtHand, Scene
from timekeeping import OPENSSL

from pipeline.errors import FixityError, UsageError
from pipeline.handoff import kit as kits
from pipeline.handoff.kit import BARE, expected, kit
from pipeline.sealing import assurance, shelf
from pipeline.sealing import seal as seals
from pipeline.sealing.authority import Refusal
from pipeline.sealing.seal import Facts, Signing

pytestmark = pytest.mark.skipif(not OPENSSL, reason="there is no openssl")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sealing_cases.scene(tmp_path_factory.mktemp("scene"))


def made(it: Scene, out, **options):
    options = {"authorities": it.authorities, "now": CLOCK.now(), **options}
    return kit(it.bag, out, **options)


def files(folder) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.iterdir()}


def ran(folder, **environment):
    return subprocess.run(
        ["/bin/sh", str(folder / "verify.sh")],
        env={**BARE, **environment},
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )


def test_a_kit_is_the_bag_and_what_a_stranger_needs(original, tmp_path):
    done = made(original, tmp_path / "kit")
    assert files(tmp_path / "kit") == {
        "bag",
        "verify.sh",
        "expected.txt",
        "roots",
        "README.txt",
    }
    assert files(tmp_path / "kit/roots") == {"one.pem", "two.pem"}
    assert done.said[-1].startswith("VERIFIED: ")
    assert done.size == sum(
        one.stat().st_size for one in (tmp_path / "kit").rglob("*") if one.is_file()
    )


def test_the_bag_in_it_is_the_bag(original, tmp_path):
    made(original, tmp_path / "kit")
    for one in original.bag.rglob("*"):
        there = tmp_path / "kit/bag" / one.relative_to(original.bag)
        assert one.is_dir() or there.read_bytes() == one.read_bytes()
    assert {p.name for p in original.bag.rglob("*")} == {
        p.name for p in (tmp_path / "kit/bag").rglob("*")
    }


def test_who_signed_and_who_stamped_is_told(original, tmp_path):
    told = "\n".join(made(original, tmp_path / "kit").said)
    assert f"certificate sha256:{original.signer.fingerprint.hex}" in told
    assert "by one; its certificate is valid today" in told
    assert "by two; its certificate is valid today" in told
    assert told.count("Fingerprint=") == 2  # of the roots


def test_a_kit_may_be_moved_and_its_script_run_from_anywhere(original, tmp_path):
    made(original, tmp_path / "kit")
    place = tmp_path / "a place's name, with odd $letters"
    (tmp_path / "kit").rename(place)
    done = ran(place)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "tr_TR.UTF-8"},
        {"TZ": "Asia/Tehran"},
        {"CDPATH": "/tmp"},
        {"POSIXLY_CORRECT": "1"},
        {"IFS": "/"},
        {"OPENSSL_CONF": "/nonexistent"},
    ],
    ids=lambda one: next(iter(one)),
)
def test_a_strangers_environment_changes_nothing(environment, original, tmp_path):
    made(original, tmp_path / "kit")
    done = ran(tmp_path / "kit", **environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bag_without_a_seal_is_checked_as_far_as_it_goes(tmp_path):
    done = kit(sound(tmp_path / "bag"), tmp_path / "kit", authorities=(), now=CLOCK.now())  # fmt: skip
    assert any("no seal: who packed this bag" in one for one in done.said)
    assert "roots" not in files(tmp_path / "kit")


def test_a_seal_without_a_timestamp_says_whose_word_the_time_is(original, tmp_path):
    it = original.copy(tmp_path / "copy")
    it.unseal()
    signing = Signing(identity=it.signer, authorities=AtHand(), clock=CLOCK)
    seals.seal(it.bag, signing, Facts())
    told = "\n".join(made(it, tmp_path / "kit").said)
    assert "asserted by the signer's machine only" in told


def test_an_authority_that_is_not_pinned_is_told_as_unchecked(original, tmp_path):
    done = made(original, tmp_path / "kit", authorities=original.authorities[:1])
    assert files(tmp_path / "kit/roots") == {"one.pem"}
    told = "\n".join(done.said)
    assert "the timestamp of two is not checked" in told
    assert "had not given it" not in told


class Late(AtHand):
    """Authorities of which the second has not answered yet."""

    def stamp(self, data, *, names=None, queries=None):
        first, _ = super().stamp(data, names=names, queries=queries)
        return first, Refusal(authority="two", reason="it did not answer")


def test_what_had_not_come_yet_is_told(original, tmp_path):
    it = original.copy(tmp_path / "copy")
    it.unseal()
    late = Late(it.one, it.two)
    seals.seal(it.bag, Signing(identity=it.signer, authorities=late, clock=CLOCK), Facts())  # fmt: skip
    done = made(it, tmp_path / "kit")
    assert any("two had been asked for a timestamp" in one for one in done.said)
    it.answer(it.two, "seal-0001.two")
    # what comes later is no file of this kit
    (tmp_path / "kit/bag/seal-0001.two.tsr").write_bytes(it.get("seal-0001.two.tsr"))
    assert ran(tmp_path / "kit").returncode == 1


def test_a_list_of_digests_of_another_kind_is_checked_too(tmp_path):
    bag = sound(tmp_path / "bag", algorithms=("sha512", "blake2b"))
    out = tmp_path / "kit"
    kit(bag, out, authorities=(), now=CLOCK.now())
    append(out / "bag", "data/letter.txt", b"more")
    done = ran(out)
    assert done.returncode == 1
    assert "manifest-blake2b.txt" in done.stdout


@pytest.mark.parametrize(
    "name",
    ["kit", "kit.part", "bag/kit"],
)
def test_a_place_that_will_not_do_is_refused(name, tmp_path):
    bag = sound(tmp_path / "bag")
    taken = tmp_path / name
    if taken.parent == tmp_path:
        taken.mkdir()
        (taken / "mine.txt").write_text("mine")
    out = taken.with_suffix("")
    with pytest.raises(UsageError):
        kit(bag, out, authorities=(), now=CLOCK.now())
    assert taken.parent != tmp_path or files(taken) == {"mine.txt"}


def test_a_wrong_bag_makes_no_kit(tmp_path):
    bag = sound(tmp_path / "bag")
    swap(bag, "data/letter.txt", b"letter", b"lettre")
    with pytest.raises(FixityError, match="no valid bag"):
        kit(bag, tmp_path / "kit", authorities=(), now=CLOCK.now())
    assert files(tmp_path) == {"bag"}


def test_a_seal_that_is_wrong_makes_no_kit(original, tmp_path):
    it = original.copy(tmp_path / "copy")
    sealing_cases.about_other_data(it)
    with pytest.raises(FixityError, match="no valid bag"):
        made(it, tmp_path / "kit")
    assert files(tmp_path) == {"copy"}


def test_what_the_script_refuses_is_no_kit(tmp_path, monkeypatch):
    bag = sound(tmp_path / "bag")
    monkeypatch.setattr(kits, "expected", lambda name, *_: iter(["bag elsewhere"]))
    with pytest.raises(FixityError, match=r"verify\.sh refuses the bag.*gone"):
        kit(bag, tmp_path / "kit", authorities=(), now=CLOCK.now())
    assert files(tmp_path) == {"bag"}


def test_a_name_that_could_not_stand_in_a_list_is_refused(tmp_path):
    bag = sound(tmp_path / "a\nb")
    with pytest.raises(UsageError, match="can't go into a kit"):
        kit(bag, tmp_path / "kit", authorities=(), now=CLOCK.now())


def test_expectations_are_of_the_bag_as_it_was_judged(original):
    found = assurance.judge(original.bag, authorities=original.authorities, now=CLOCK.now())  # fmt: skip
    told = tuple(expected("bag", shelf.read(original.bag), found))
    signer = original.signer.fingerprint.hex
    assert told == ("bag bag", f"seal 1 {signer}", "token 1 one", "token 1 two")


HOSTILE_NAMES = {
    "a percent sign": b"data/100%.txt",
    "a backslash": b"data/a\\b.txt",
    "a leading blank": b"data/ blank.txt",
    "a trailing blank": b"data/blank .txt",
    "a leading hyphen": b"data/-rf",
    "a quote": b'data/it\'s "so".txt',
    "a dollar": b"data/$(touch x).txt",
    "an escape": b"data/\x1b[31mred.txt",
    "Persian": "data/کشتار.txt".encode(),
    "a bracket": b"data/[a-z]*.txt",
}


@pytest.mark.parametrize("path", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_a_name_of_any_kind_is_checked(path, tmp_path):
    bag = sound(tmp_path / "bag", files={path: b"some bytes\n"})
    out = tmp_path / "kit"
    kit(bag, out, authorities=(), now=CLOCK.now())
    (out / "bag" / os.fsdecode(path)).write_bytes(b"other bytes\n")
    done = ran(out)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
