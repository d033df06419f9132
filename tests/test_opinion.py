"""Others' readers asked about a bag: what they say, beside what we say, explained."""

import gzip
import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import baggery
import pytest
from defects import CASES, nothing
from msgspec.structs import replace

from pipeline.model import Finding, Level, Severity
from pipeline.packaging import opinion, peers
from pipeline.packaging.opinion import Answer, Word
from pipeline.packaging.validate import validate

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
PLAIN = OK + b"Content-Length: 5\r\n\r\nhello"
WARC = "data/capture.warc.gz"


def record(kind: str, block: bytes, **fields: str) -> bytes:
    """A member of a WARC, canonical, with the digest of its block."""
    told = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-4000-8000-{len(block):012d}>",
        "WARC-Date": "2026-09-24T12:00:00Z",
        "Content-Type": "application/http; msgtype=response",
        "WARC-Block-Digest": f"sha256:{hashlib.sha256(block).hexdigest()}",
        "Content-Length": str(len(block)),
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    whole = b"WARC/1.1\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"
    return gzip.compress(whole, mtime=0)


def answer_of(block: bytes, payload: bytes) -> bytes:
    digest = f"sha256:{hashlib.sha256(payload).hexdigest()}"
    info = record(
        "warcinfo", b"software: x\r\n", Content_Type="application/warc-fields"
    )
    return info + record(
        "response",
        block,
        WARC_Payload_Digest=digest,
        WARC_Target_URI="http://news.example/",
    )


def bag_with(folder: Path, warc: bytes) -> Path:
    return baggery.sound(folder / "bag", files={WARC.encode(): warc})


def heard(bag: Path, **options):
    report = validate(bag, **options)
    told = opinion.opinions(report)
    return opinion.heard(report, told), {one.peer: one for one in told}


def differences():
    """Every case of the defect suite whose folder holds still and leads nowhere."""
    for name, case in CASES.items():
        is_led = name.startswith(("special-file", "unsafe-path", "limit"))
        is_fast = "level" in case.options or name == "not-a-bag_a-file"
        if case.during is nothing and not is_led and not is_fast:
            yield pytest.param(case, id=name)


@pytest.mark.parametrize("case", [*differences()])
def test_every_difference_from_bagit_in_the_defect_suite_is_explained(case, tmp_path):
    bag = case.build(tmp_path / "bag")
    report = case.judge(bag)
    one = opinion.of_bag(report, here(bag))
    assert not one.differs or one.explained, one
    assert opinion.heard(report, [one]) == report


def here(bag: Path) -> Answer:
    """bagit's answer, asked in this process, which is faster."""
    told = peers.answer("bagit", str(bag))
    return Answer(
        verdict=Word(told["verdict"]),
        version=told["version"],
        problems=tuple(told["problems"]),
    )


@pytest.fixture(autouse=True)
def _as_before():
    """A peer asked in this process leaves its logging switched off."""
    yield
    logging.disable(logging.NOTSET)


# ------------------------------------------------------------------------- processes


def test_all_three_agree_on_a_sound_bag(tmp_path):
    report, told = heard(bag_with(tmp_path, answer_of(PLAIN, b"hello")))
    assert report.ok
    assert {*told} == {"bagit", "warcio", "fastwarc"}
    assert {one.difference for one in told.values()} == {"agrees"}
    assert all(one.version for one in told.values())


ODDITIES = {
    "chunks": (CHUNKED, b"hello", "chunked"),
    "no HTTP": (b"SSH-2.0\r\n\r\nhello", b"SSH-2.0\r\n\r\nhello", "no-http"),
    "more than announced": (PLAIN + b"more", b"hello", "overlong"),
}


@pytest.mark.parametrize(("block", "payload", "why"), ODDITIES.values(), ids=ODDITIES)
def test_payload_digests_over_the_framing_are_a_known_difference(
    block, payload, why, tmp_path
):
    report, told = heard(bag_with(tmp_path, answer_of(block, payload)))
    assert report.ok
    for peer in ("warcio", "fastwarc"):
        assert told[peer].verdict is Word.INVALID
        assert told[peer].explained == opinion.ODD[why] + opinion.RIGHT


def test_a_payload_digest_that_is_wrong_either_way_is_damage_we_did_not_find(tmp_path):
    report, told = heard(bag_with(tmp_path, answer_of(CHUNKED, b"other")))
    assert not report.ok
    assert told["warcio"].difference.startswith("differs: unexplained: record at")
    assert {(f.code, f.severity, f.path) for f in report.findings} == {
        ("second-opinion", Severity.ERROR, WARC)
    }


def test_damage_that_we_name_as_well_is_agreed_upon(tmp_path):
    warc = bytearray(answer_of(PLAIN, b"hello"))
    bag = bag_with(tmp_path, bytes(warc))
    (bag / WARC).write_bytes(warc[:-30])
    report, told = heard(bag)
    assert "second-opinion" not in {one.code for one in report.findings}
    assert told["bagit"].verdict is Word.INVALID
    assert told["bagit"].difference == "agrees"


def test_a_lower_level_is_told_of_the_damage_that_bagit_saw(tmp_path):
    bag = baggery.sound(tmp_path / "bag")
    baggery.put(bag, b"data/letter.txt", b"A letter\n")
    assert validate(bag, level=Level.COMPLETE).ok
    report, _ = heard(bag, level=Level.COMPLETE)
    assert [(f.code, f.severity) for f in report.findings] == [
        ("second-opinion", Severity.ERROR)
    ]


@pytest.mark.parametrize("name", ["special-file_link-outside", "unsafe-path_climbs"])
def test_nobody_is_asked_about_a_bag_that_leads_elsewhere(name, tmp_path):
    report = CASES[name].judge(CASES[name].build(tmp_path / "bag"))
    told = opinion.opinions(report)
    assert {one.verdict for one in told} == {Word.UNASKED}
    assert all(name.partition("_")[0] in one.difference for one in told)
    assert opinion.heard(report, told) == report


def test_nobody_is_asked_before_names_were_read(tmp_path):
    _, told = heard(baggery.sound(tmp_path / "bag"), level=Level.OXUM)
    assert {one.verdict for one in told.values()} == {Word.UNASKED}


def test_nobody_is_asked_about_what_is_no_folder(tmp_path):
    (tmp_path / "bag.tar").touch()
    told = opinion.opinions(validate(tmp_path / "bag.tar"))
    assert {one.message for one in told} == {"others read a bag in a folder only"}


def test_more_warc_files_than_can_be_asked_about_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(opinion, "MOST_WARCS", 1)
    warc = answer_of(PLAIN, b"hello")
    files = {b"data/a.warc.gz": warc, b"data/b.warc.gz": warc}
    report = validate(baggery.sound(tmp_path / "bag", files=files))
    told = opinion.opinions(report)
    assert [one.path for one in told if one.verdict is Word.VALID] == [
        "", "data/a.warc.gz", "data/a.warc.gz",
    ]  # fmt: skip
    assert told[-1].message == "1 more WARC files; 1 were asked about"


def test_a_warc_that_went_meanwhile_is_not_asked_about(tmp_path, monkeypatch):
    bag = bag_with(tmp_path, answer_of(PLAIN, b"hello"))
    report = validate(bag)

    def gone(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(opinion, "file_beneath", gone)
    told = opinion.opinions(report)[1:]
    assert {one.message for one in told} == {
        "it cannot be read: No such file or directory"
    }


def peer_script(folder: Path, text: str, monkeypatch) -> None:
    script = folder / "peer.py"
    script.write_text(text)
    monkeypatch.setattr(peers, "__file__", str(script))


def test_a_peer_that_never_answers_is_given_up(tmp_path, monkeypatch):
    peer_script(tmp_path, "import time; time.sleep(60)", monkeypatch)
    told = opinion.ask("bagit", 0.2)
    assert (told.verdict, told.message) == (Word.LATE, "no answer within 0 seconds")


def test_a_peer_whose_process_dies_has_crashed(tmp_path, monkeypatch):
    peer_script(tmp_path, "import os; os.abort()", monkeypatch)
    told = opinion.ask("bagit", 20)
    assert (told.verdict, told.message) == (Word.CRASHED, "it ended with status -6")


def test_a_peer_that_is_not_installed_is_named_as_absent(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fastwarc", None)
    told = peers.answer("fastwarc")
    assert told == {"verdict": "absent", "version": "", "problems": []}
    report = validate(baggery.sound(tmp_path / "bag"))
    one = opinion.of_warc(report, WARC, "fastwarc", Answer(verdict=Word.ABSENT))
    assert one.difference == "fastwarc is not installed: pip install fastwarc"
    assert opinion.heard(report, [one]) == report


def test_the_folder_we_stand_in_is_not_imported_from(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a trap')")
    (tmp_path / "bagit.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(tmp_path)
    told = opinion.ask("bagit", 20, place=str(baggery.sound(tmp_path / "bag")))
    assert told.verdict is Word.VALID


def test_a_script_asked_by_hand_answers_in_json(tmp_path):
    bag = baggery.sound(tmp_path / "bag")
    done = subprocess.run(
        [sys.executable, "-P", peers.__file__, "bagit", str(bag)],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["verdict"] == "valid"


# ------------------------------------------------------------------------- comparing


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return validate(baggery.sound(tmp_path_factory.mktemp("sound") / "bag"))


def problems(*paths: str):
    return tuple(peers.problem(f"{path} is wrong", path=path) for path in paths)


def with_error(report, code: str, path: str = ""):
    error = Finding(
        code=code, severity=Severity.ERROR, path=path, message="", clause=""
    )
    return replace(report, ok=False, findings=(error,))


def test_damage_that_bagit_alone_found_makes_the_bag_invalid(report):
    told = opinion.of_bag(
        report, Answer(verdict=Word.INVALID, problems=problems("data/a", "data/b"))
    )
    judged = opinion.heard(report, [told])
    assert not judged.ok
    assert judged.findings[0].message == (
        "bagit says invalid, we say valid, and no known difference explains it: "
        "data/a is wrong (and 1 more)"
    )


def test_a_difference_explains_only_the_name_that_it_is_about(report):
    twin = Finding(
        code="unicode-collision", severity=Severity.WARNING,
        path="data/Zo\u00eb", message="", clause="",
    )  # fmt: skip
    warned = replace(report, findings=(twin,))
    known = Answer(verdict=Word.INVALID, problems=problems("data/Zoe\u0308"))
    more = Answer(verdict=Word.INVALID, problems=problems("data/Zoe\u0308", "data/x"))
    assert opinion.of_bag(warned, known).explained == opinion.TWINS
    assert opinion.of_bag(warned, more).explained == ""


UNEXPLAINED = {
    "damage that bagit is not blind to": ("digest-mismatch", Word.VALID),
    "a crash out of the blue": ("digest-mismatch", Word.CRASHED),
    "no answer in time": ("digest-mismatch", Word.LATE),
}


@pytest.mark.parametrize(("code", "verdict"), UNEXPLAINED.values(), ids=UNEXPLAINED)
def test_what_is_unexplained_but_no_new_damage_is_a_warning(report, code, verdict):
    bad = with_error(report, code)
    told = opinion.of_bag(bad, Answer(verdict=verdict))
    judged = opinion.heard(bad, [told])
    assert [(f.code, f.severity) for f in judged.findings] == [
        (code, Severity.ERROR), ("second-opinion", Severity.WARNING),
    ]  # fmt: skip


def test_deeper_checks_of_ours_are_a_known_difference(report):
    bad = with_error(report, "warc-index")
    told = opinion.of_bag(bad, Answer(verdict=Word.VALID))
    assert told.explained == "bagit does not look into WARC files"


def test_a_warc_that_we_judge_more_strictly_is_a_known_difference(report):
    bad = with_error(report, "warc-gzip", WARC)
    told = opinion.of_warc(bad, WARC, "warcio", Answer(verdict=Word.VALID))
    assert told.explained == opinion.LOOSER


def test_a_reader_that_crashes_on_a_warc_is_unexplained(report):
    told = opinion.of_warc(report, WARC, "warcio", Answer(verdict=Word.CRASHED))
    assert told.differs
    assert not told.explained


def test_an_opinion_is_told_in_json(report):
    told = opinion.opinion_json(
        opinion.of_bag(report, Answer(verdict=Word.VALID, version="1.9.0"))
    )
    assert told == {
        "peer": "bagit", "version": "1.9.0", "path": "", "verdict": "valid",
        "message": "", "agrees": True, "explained": "",
    }  # fmt: skip


# ------------------------------------------------------------------------------ peers


def asked_here(peer: str, data: bytes, tmp_path, monkeypatch):
    file = tmp_path / "x.warc.gz"
    file.write_bytes(data)
    with file.open("rb") as stream:

        class Input:
            buffer = stream

        monkeypatch.setattr(sys, "stdin", Input)
        return peers.answer(peer)


@pytest.mark.parametrize("peer", ["warcio", "fastwarc"])
def test_a_block_that_is_not_its_digest_is_damage_without_excuse(
    peer, tmp_path, monkeypatch
):
    block = record("resource", b"x", WARC_Block_Digest=f"sha256:{'0' * 64}")
    told = asked_here(peer, block, tmp_path, monkeypatch)
    assert told["verdict"] == "invalid"
    assert "block digest failed" in told["problems"][0]["message"]
    assert told["problems"][0]["why"] == ""


@pytest.mark.parametrize("peer", ["warcio", "fastwarc"])
def test_a_payload_that_is_odd_in_no_known_way_has_no_excuse(
    peer, tmp_path, monkeypatch
):
    told = asked_here(peer, answer_of(PLAIN, b"other"), tmp_path, monkeypatch)
    assert [one["why"] for one in told["problems"]] == [""]


@pytest.mark.parametrize("data", [b"", b"no WARC at all\n"])
@pytest.mark.parametrize("peer", ["warcio", "fastwarc"])
def test_a_file_without_records_is_not_valid(peer, data, tmp_path, monkeypatch):
    told = asked_here(peer, data, tmp_path, monkeypatch)
    assert told["verdict"] != "valid"


def test_a_peer_that_raises_is_told_and_bounded(monkeypatch):
    def rages(_):
        yield peers.problem("x" * 1000)
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")

    monkeypatch.setitem(peers.PEERS, "bagit", rages)
    told = peers.answer("bagit", os.devnull)
    assert told["verdict"] == "crashed"
    assert len(told["problems"][0]["message"]) == peers.LONGEST + 3
    assert told["problems"][1]["message"].startswith("UnicodeDecodeError: ")
