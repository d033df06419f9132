"""Proofs for strangers: checked here with hashlib and the checkpoint alone."""

import json
import shutil
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import ledgers
import pytest
from ledgers import WEEKS, change, edited

from pipeline.errors import FixityError, UsageError
from pipeline.holdings import proof
from pipeline.holdings.merkle import Head, is_consistent, is_included
from pipeline.holdings.note import Checkpoint, Note, Verifier, signers
from pipeline.holdings.store import Store


@pytest.fixture(scope="session")
def mould(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("proof")
    ledgers.build(place / "archive", place / "keys")
    return place


@pytest.fixture
def store(mould: Path, tmp_path: Path):
    shutil.copytree(mould, tmp_path, dirs_exist_ok=True)
    opened = ledgers.opened(tmp_path / "archive")
    yield opened
    opened.close()


def bag_of(store: Store, number: int) -> str:
    return list(store.bags())[number].name


def head_of(told) -> Head:
    return Head(size=told["size"], root=b64decode(told["root"]))


@pytest.mark.parametrize("number", range(WEEKS))
def test_a_stranger_finds_a_bag_under_the_checkpoint(store, number) -> None:
    bag = bag_of(store, number)
    told = json.loads(json.dumps(proof.inclusion(store.root, bag)))
    note = Note.parse(told["checkpoint"].encode())
    assert signers(note, map(Verifier.parse, told["vkeys"]))
    head = Checkpoint.parse(note.text).head
    assert head == head_of(told)
    (entry,) = told["entries"]
    leaf = sha256(b"\0" + entry["line"].encode()).digest()
    assert b64decode(entry["leaf"]) == leaf
    assert json.loads(entry["line"])["bag"] == bag
    path = [b64decode(one) for one in entry["proof"]]
    assert is_included(leaf, entry["n"], path, head)
    assert told["later"] == []


def test_lines_behind_the_checkpoint_are_named(store) -> None:
    with store.lock("test"):
        store.record(next(store.log.read()).entry)
    told = proof.inclusion(store.root, bag_of(store, 0))
    assert told["later"] == [WEEKS]
    assert len(told["entries"]) == 1


def test_a_bag_that_no_checkpoint_covers_cannot_be_proven(store) -> None:
    with store.lock("test"):
        new = ledgers.keep(store, WEEKS)
    with pytest.raises(UsageError, match="not under a checkpoint yet"):
        proof.inclusion(store.root, new.name)
    with pytest.raises(UsageError, match=r"no line of .* names this bag"):
        proof.inclusion(store.root, "nobody")


def test_nothing_is_proven_of_a_log_that_was_changed(store) -> None:
    change(store.root, lambda own: [edited(own[0]), *own[1:]])
    with pytest.raises(FixityError, match=r"ledger-fork: .*nothing is proven"):
        proof.inclusion(store.root, bag_of(store, 1))


def test_sizes_and_checkpoints_are_consistent(store) -> None:
    folder = store.root / ".muniment/checkpoints"
    for old, new in (
        ("1", "3"),
        (str(folder / "00000002"), "4"),
        ("0", "4"),
        ("4", "4"),
    ):
        told = proof.consistency(store.root, old, new)
        assert (told["ok"], told["findings"]) == (True, [])
        path = [b64decode(one) for one in told["proof"]]
        assert is_consistent(head_of(told["old"]), head_of(told["new"]), path)


ODD = {
    "no size and no file": ("one", "2", "no such file"),
    "a size beyond the log": ("1", "9", "the log has 4 lines"),
    "the newer first": ("3", "2", "name the older one first"),
    "a negative size": ("-1", "2", "no such file"),
}


@pytest.mark.parametrize(("old", "new", "says"), ODD.values(), ids=ODD)
def test_what_names_no_head_is_refused(store, old, new, says) -> None:
    with pytest.raises(UsageError, match=says):
        proof.consistency(store.root, old, new)


def test_a_rollback_and_a_fork_are_findings(store) -> None:
    newest = str(store.root / ".muniment/checkpoint")
    change(store.root, lambda own: own[:-1])
    told = proof.consistency(store.root, "1", newest)
    assert (told["findings"][0]["code"], told["proof"]) == ("ledger-rollback", [])
    change(store.root, lambda own: [edited(own[0]), *own[1:], own[2].replace(b'"n":2', b'"n":3')])  # fmt: skip
    (found,) = proof.consistency(store.root, "1", newest)["findings"]
    assert (found["code"], found["path"]) == ("ledger-fork", newest)
