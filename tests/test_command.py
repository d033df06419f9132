"""A program as a target: what it is told, what it may answer, how it may fail."""

import json
import os
from dataclasses import dataclass

import depositing
import pytest
from baggery import sound
from depositing import Clock, consignment

from pipeline.handoff.consignment import Consignment, Layout
from pipeline.handoff.target import DepositError, TakenError, TransientError
from pipeline.handoff.targets import command as module
from pipeline.handoff.targets.command import FORMAT, Command, Program
from pipeline.packaging import bag as bags
from pipeline.packaging.validate import validate

ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.fixture
def sent(tmp_path):
    return consignment(tmp_path / "archive")


def target(tmp_path, command, *, read=(), **options):
    program = Program(command=command, read=read, environ=ENVIRON, **options)
    return Command(name="ours", program=program, clock=Clock(), work=tmp_path / "work")


def shell(text, *words):
    return ("sh", "-c", text, *words)


def test_it_is_told_what_to_keep_under_which_names(tmp_path, sent):
    target(tmp_path, shell('cat > "$0"', str(tmp_path / "{name}.json"))).deposit(sent)
    for bag in sent.bags:
        told = json.loads((tmp_path / f"{bag.id}.json").read_text())
        assert told["format"] == FORMAT
        assert told["act"] == "deposit"
        assert (told["transfer"], told["bag"]) == (sent.nonce, bag.id)
        assert told["path"] == str(bag.path.absolute())
        assert {one["path"] for one in told["files"]} == {
            f"{bag.id}/{path}" for path in depositing.tree(bag.path)
        }


def test_a_tar_is_gone_when_the_program_is_done(tmp_path, sent):
    list_it = shell('tar tf "$0" >> "$1"', "{bag}", str(tmp_path / "listed"))
    target(tmp_path, list_it, layout=Layout.TAR).deposit(sent)
    assert "toll_report/bagit.txt" in (tmp_path / "listed").read_text()
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def test_its_own_words_stand_in_the_receipt(tmp_path, sent):
    answer = '{"location": "tape:7", "more": [1]}'
    receipt = target(tmp_path, shell(f"echo '{answer}'")).deposit(sent)
    assert receipt.location == "tape:7"
    assert receipt.answer == f"{answer}\n{answer}"


def test_what_nobody_reads_back_is_its_word(tmp_path, sent):
    one = target(tmp_path, ("true",))
    receipt = one.deposit(sent)
    assert not receipt.is_verified
    assert [found.code for found in one.verify(receipt)] == ["copy-unreadable"]
    with pytest.raises(DepositError, match="set `read`"):
        one.fetch(receipt, "toll_run", tmp_path)


def test_its_secret_stands_in_its_environment_alone(tmp_path, sent):
    see = shell('printf %s "$MUNIMENT_SECRET" > "$0"', str(tmp_path / "seen"))
    one = target(tmp_path, see, secret="hush-hush")
    one.deposit(sent)
    assert (tmp_path / "seen").read_text() == "hush-hush"
    assert "hush" not in repr(one)


@dataclass
class Case:
    command: tuple[str, ...]
    error: type[DepositError] = DepositError
    sentence: str = ""
    read: tuple[str, ...] = ("false",)


FAILURES = {
    "it is not there": Case(("/no/such/program",), sentence="does not start"),
    "it fails": Case(shell("echo full >&2; exit 3"), sentence="status 3: full"),
    "it fails for now": Case(shell("exit 75"), TransientError, "retry"),
    "it is killed": Case(shell("kill -9 $$"), sentence="status -9"),
    "it says words": Case(("echo", "all fine"), sentence="one JSON object"),
    "it says a list": Case(("echo", "[]"), sentence="one JSON object"),
    "it says too much": Case(("head", "-c", "200000", "/dev/zero"), sentence="JSON"),
    "it says an error, and 0": Case(
        ("echo", '{"error": "no room"}'), sentence="it says: no room"
    ),
    "it keeps nothing": Case(("true",), sentence="not given back", read=("false",)),
    "it keeps other bytes": Case(
        ("true",), TakenError, "other bytes", read=("echo", "else")
    ),
    "reading back fails for now": Case(
        ("true",), TransientError, "retry", read=shell("exit 75")
    ),
}


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_no_failure_and_no_lie_gets_a_receipt(tmp_path, sent, case):
    with pytest.raises(case.error, match=case.sentence):
        target(tmp_path, case.command, read=case.read).deposit(sent)


def test_what_it_spoils_on_the_way_gets_no_receipt(tmp_path, sent):
    root = tmp_path / "kept"
    root.mkdir()
    spoil = shell(
        'cp -r "$1" "$0/" && echo >> "$0/$2/bagit.txt"', str(root), "{bag}", "{name}"
    )
    with pytest.raises(DepositError, match="read back: expected"):
        target(tmp_path, spoil, read=("cat", f"{root}/{{file}}")).deposit(sent)


def test_a_program_that_never_ends_is_ended(tmp_path, sent, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.05)
    with pytest.raises(DepositError, match="status -9"):
        target(tmp_path, ("sleep", "600")).deposit(sent)


def test_a_bag_without_a_payload_comes_back_as_a_bag(tmp_path):
    bench = depositing.command(tmp_path)
    place = sound(tmp_path / "toll_empty", files={})
    whole = Consignment(nonce=depositing.NONCE, bags=(bags.read(place),))
    receipt = bench.target.deposit(whole)
    back = bench.target.fetch(receipt, "toll_empty", made(tmp_path / "back"))
    assert validate(back).ok


def made(folder):
    folder.mkdir()
    return folder
