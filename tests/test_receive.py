"""A stranger's bag: kept when it is right, set aside when it is wrong, never trusted."""

import errno
import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import hostile
import pytest
import shelf
from baggery import FILES, get, sound, swap
from defects import CASES

from pipeline.errors import Exit, LockedError, StorageError, UsageError
from pipeline.handoff import receive as reception
from pipeline.handoff import unpacking
from pipeline.handoff.receive import AlreadyKeptError, receive, received_json
from pipeline.holdings.store import Store
from pipeline.packaging.members import Limits, RejectedError
from pipeline.packaging.parcel import Form
from pipeline.packaging.serial import write
from pipeline.packaging.validate import validate

HOSTILE = {f"tar: {name}": one for name, one in hostile.TARS.items()}
HOSTILE |= {f"zip: {name}": one for name, one in hostile.ZIPS.items()}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open(tmp_path / "archive", shelf.TickingClock())


def take_in(file: Path, store: Store, **options):
    return receive(file, store=store, clock=shelf.TickingClock(), **options)


def sent(tmp_path: Path, form: Form | None, *, name: str = "gift", **base) -> Path:
    """A sound bag as a stranger sends it; in no form it is a folder."""
    bag = sound(tmp_path / "theirs" / name, **base)
    if form is None:
        return bag
    write(bag, tmp_path / f"{name}.{form}", form)
    return tmp_path / f"{name}.{form}"


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else b""
        for path in folder.rglob("*")
    }


def acts(store: Store) -> list[tuple[str, str]]:
    return [(line.entry.act.value, line.entry.outcome) for line in store.log.read()]


def staged(store: Store) -> list[Path]:
    return list((store.root / ".muniment/staging").iterdir())


# ------------------------------------------------------------------------------- kept


@pytest.mark.parametrize("form", [None, *Form])
def test_a_sound_bag_is_kept_file_by_file_as_it_came(tmp_path, store, form):
    file = sent(tmp_path, form)
    received = take_in(file, store)
    assert received.is_kept
    assert received.path == store.root / "received/2026/gift"
    assert tree(received.path) == tree(tmp_path / "theirs/gift")
    assert validate(received.path).ok
    assert staged(store) == []


@pytest.mark.parametrize("form", [None, *Form])
def test_what_was_received_is_in_the_log_with_the_digest_of_the_file(
    tmp_path, store, form
):
    file = sent(tmp_path, form)
    received = take_in(file, store, job="gifts")
    assert acts(store) == [("accession", ""), ("receive", "success")]
    entry = [line.entry for line in store.log.read()][-1]
    assert (entry.bag, entry.job, entry.path) == ("gift", "gifts", "gifts/2026/gift")
    assert len(entry.tagmanifests) == 2
    if form is None:
        assert (received.digest, entry.detail) == (None, "gift (folder)")
    else:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert received.digest.hex == digest
        assert entry.detail == f"gift.{form} ({form}, sha256:{digest})"


def test_what_was_received_can_be_found_and_the_store_stays_sound(tmp_path, store):
    received = take_in(sent(tmp_path, Form.ZIP), store)
    assert [one.bag.path for one in store.catalogue.bags()] == [received.path]
    with store.lock("test"):
        assert store.recover() == ()


@pytest.mark.parametrize("name", hostile.HONEST)
def test_what_honest_programs_wrote_is_kept(name, tmp_path, store):
    file = tmp_path / "sent"
    file.write_bytes(hostile.HONEST[name])
    received = take_in(file, store)
    assert received.is_kept
    found = {
        f"bag/{path}".encode(): data
        for path, data in tree(received.path).items()
        if path != "data"
    }
    assert found == hostile.bag()


def test_the_file_and_the_folder_are_not_touched(tmp_path, store):
    sent(tmp_path, Form.TAR)
    before = tree(tmp_path / "theirs"), (tmp_path / "gift.tar").read_bytes()
    take_in(tmp_path / "gift.tar", store)
    assert (tree(tmp_path / "theirs"), (tmp_path / "gift.tar").read_bytes()) == before


def test_odd_names_and_empty_folders_arrive(tmp_path, store):
    odd = {b"data/" + b"deep/" * 40 + "Zo\u00eb".encode(): b"x", b"data/a\nb%0A": b"y"}
    sent(tmp_path, None, files=odd)
    (tmp_path / "theirs/gift/data/empty").mkdir()
    write(tmp_path / "theirs/gift", tmp_path / "gift.tar", Form.TAR)
    received = take_in(tmp_path / "gift.tar", store)
    assert received.is_kept
    assert tree(received.path) == tree(tmp_path / "theirs/gift")


def test_a_bag_without_tag_manifests_is_kept(tmp_path, store):
    bag = sent(tmp_path, None)
    for one in bag.glob("tagmanifest-*"):
        one.unlink()
    assert take_in(bag, store).is_kept
    with pytest.raises(AlreadyKeptError, match="another bag of the name gift"):
        take_in(bag, store)


def test_a_tag_manifest_of_an_unknown_algorithm_is_no_identity(tmp_path, store):
    bag = sent(tmp_path, None)
    (bag / "tagmanifest-crc32.txt").write_bytes(get(bag, "tagmanifest-sha256.txt"))
    assert take_in(bag, store).is_kept


def test_what_an_earlier_run_left_is_mended_first_and_told(tmp_path, store):
    with store.lock("test"):
        store.stage("left")
    received = take_in(sent(tmp_path, Form.TAR), store)
    assert "left in staging" in received.notes[0]


# ------------------------------------------------------------------------- set aside


@pytest.mark.parametrize("form", [None, *Form])
def test_a_wrong_bag_goes_to_quarantine_with_what_is_wrong_beside_it(
    tmp_path, store, form
):
    bag = sent(tmp_path, None)
    swap(bag, "data/letter.txt", b"letter", b"LETTER")
    file = bag
    if form is not None:
        file = tmp_path / "gift"
        write(bag, file, form)
    received = take_in(file, store)
    assert not received.is_kept
    assert received.path == store.root / ".muniment/quarantine/gift"
    assert tree(received.path / "gift") == tree(bag)
    told = json.loads((received.path / "findings.json").read_text())
    assert {(one["code"], one["path"]) for one in told["findings"]} == {
        ("digest-mismatch", "data/letter.txt")
    }
    assert acts(store) == [("quarantine", ""), ("receive", "failure")]
    assert staged(store) == []
    with store.lock("test"):
        assert store.recover() == ()


def test_two_wrong_bags_of_one_name_stand_side_by_side(tmp_path, store):
    bag = sent(tmp_path, None)
    (bag / "data/letter.txt").unlink()
    names = [take_in(bag, store).path.name for _ in range(2)]
    assert names == ["gift", "gift~2"]


WRONG = [
    "not-a-bag_no-declaration",
    "missing-file_never-there",
    "unlisted-file_added",
    "unsafe-path_absolute",
    "encoding_rot13",
    "fetch-missing_one",
]


@pytest.mark.parametrize("name", WRONG)
def test_every_kind_of_defect_is_set_aside_with_its_code(tmp_path, store, name):
    bag = CASES[name].build(tmp_path / name)
    write(bag, tmp_path / "sent", Form.TAR)
    received = take_in(tmp_path / "sent", store)
    assert not received.is_kept
    assert received.report.findings == validate(bag).findings


def test_what_became_of_a_bag_is_json(tmp_path, store):
    received = take_in(sent(tmp_path, Form.TAR), store)
    told = json.loads(json.dumps(received_json(received)))
    assert (told["bag"], told["kept"], told["report"]["ok"]) == ("gift", True, True)
    assert told["digest"].startswith("sha256:")
    assert (
        received_json(take_in(sent(tmp_path, None, name="other", info=b""), store))[
            "digest"
        ]
        is None
    )


# --------------------------------------------------------------------------- rejected


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_rejected_and_not_a_byte_is_written(tmp_path, store, name):
    case = HOSTILE[name]
    file = tmp_path / "sent"
    file.write_bytes(case.data)
    before = tree(tmp_path)
    with pytest.raises(RejectedError) as caught:
        take_in(file, store, limits=case.limits)
    assert caught.value.findings[0].code == case.code
    assert case.words in str(caught.value)
    assert caught.value.exit is Exit.FIXITY
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", hostile.TWINS)
def test_names_that_are_one_name_elsewhere_are_rejected(tmp_path, store, name):
    (tmp_path / "sent").write_bytes(hostile.TWINS[name])
    with pytest.raises(RejectedError, match="in case or Unicode form alone"):
        take_in(tmp_path / "sent", store)


ODD_FOLDERS = {
    "a link": lambda bag: (bag / "data/x").symlink_to("/etc/passwd"),
    "a fifo": lambda bag: os.mkfifo(bag / "data/x"),
    "a link for a folder": lambda bag: (bag / "data/d").symlink_to("/tmp"),
}


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_a_folder_with_what_no_bag_holds_is_rejected(tmp_path, store, name):
    bag = sent(tmp_path, None)
    ODD_FOLDERS[name](bag)
    with pytest.raises(RejectedError, match="a bag holds files and folders"):
        take_in(bag, store)
    assert acts(store) == []


@pytest.mark.parametrize("form", [None, *Form])
def test_the_same_bag_twice_is_refused_and_told_where_it_stands(tmp_path, store, form):
    first = take_in(sent(tmp_path, Form.TAR), store)
    file = tmp_path / "theirs/gift"
    if form is not None:
        file = tmp_path / "again"
        write(tmp_path / "theirs/gift", file, form)
    with pytest.raises(AlreadyKeptError, match=f"kept already, as {first.path}"):
        take_in(file, store)
    assert len(acts(store)) == 2


def test_the_same_bag_by_another_name_is_refused(tmp_path, store):
    take_in(sent(tmp_path, None), store)
    with pytest.raises(AlreadyKeptError, match="received/2026/gift"):
        take_in(sent(tmp_path, None, name="renamed"), store, job="other")


def test_another_bag_of_a_name_that_is_kept_is_refused(tmp_path, store):
    take_in(sent(tmp_path, None), store)
    file = sent(tmp_path / "more", Form.TAR, files={b"data/other": b"x"})
    with pytest.raises(AlreadyKeptError, match="another bag of the name gift is kept"):
        take_in(file, store, job="other")


def test_a_place_that_something_else_takes_is_refused(tmp_path, store):
    (store.root / "received/2026").mkdir(parents=True)
    (store.root / "received/2026/gift").write_bytes(b"")
    with pytest.raises(AlreadyKeptError, match="another bag of the name gift is kept"):
        take_in(sent(tmp_path, Form.TAR), store)


def test_a_job_that_is_no_folder_is_refused(tmp_path, store):
    with pytest.raises(UsageError, match="cannot be a folder"):
        take_in(sent(tmp_path, Form.TAR), store, job="../elsewhere")
    assert staged(store) == []


def test_a_folder_that_holds_the_archive_is_refused(tmp_path, store):
    with pytest.raises(UsageError, match="holds the archive itself"):
        take_in(tmp_path, store)


def test_while_another_is_at_work_nothing_is_taken_in(tmp_path, store):
    other = Store.open(store.root, shelf.TickingClock())
    with other.lock("run"), pytest.raises(LockedError):
        take_in(sent(tmp_path, Form.TAR), store)


def test_a_bag_larger_than_the_disk_is_refused_before_it_is_unpacked(
    tmp_path, store, monkeypatch
):
    usage = SimpleNamespace(free=3)
    monkeypatch.setattr(reception.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="nothing was unpacked, make room"):
        take_in(sent(tmp_path, Form.TAR), store)


# -------------------------------------------------------------------------- underway


@pytest.mark.parametrize("form", [None, *Form])
def test_a_disk_that_fills_up_is_told_and_staging_is_cleared(
    tmp_path, store, monkeypatch, form
):
    file = sent(tmp_path, form)
    honest = os.write

    def full(descriptor, data):
        if bytes(data) == FILES[b"data/letter.txt"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=r"data/letter\.txt: No space left"):
        take_in(file, store)
    assert staged(store) == []
    assert acts(store) == []


def test_a_short_write_is_written_on(tmp_path, store, monkeypatch):
    file = sent(tmp_path, Form.TAR)
    honest = os.write
    letter = FILES[b"data/letter.txt"]

    def short(descriptor, data):
        return honest(descriptor, data[:4] if letter.endswith(bytes(data)) else data)

    monkeypatch.setattr(os, "write", short)
    received = take_in(file, store)
    assert (received.path / "data/letter.txt").read_bytes() == letter


TRAPS = {
    "a link for a folder": lambda bag, trap: (bag / "data").symlink_to(trap),
    "a link for a file": lambda bag, trap: (bag / "bagit.txt").symlink_to(
        trap / "bagit.txt"
    ),
    "a file that is there": lambda bag, trap: (bag / "bagit.txt").write_bytes(
        b"theirs"
    ),
    "a file for a folder": lambda bag, trap: (bag / "data").write_bytes(b"theirs"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_nothing_is_written_through_a_trap_in_staging(
    tmp_path, store, monkeypatch, name
):
    """Someone with access to staging lays a link there while a bag is unpacked."""
    trap = tmp_path / "trap"
    trap.mkdir()
    honest = unpacking._Unpacking

    def laid(root, parcel):
        (bag,) = (store.root / ".muniment/staging/gift").iterdir()
        TRAPS[name](bag, trap)
        return honest(root, parcel)

    monkeypatch.setattr(unpacking, "_Unpacking", laid)
    with pytest.raises(StorageError):
        take_in(sent(tmp_path, Form.TAR), store)
    assert list(trap.iterdir()) == []
    assert acts(store) == []


def test_a_file_that_changes_while_it_is_unpacked_leaves_nothing(
    tmp_path, store, monkeypatch
):
    file = sent(tmp_path, Form.TAR)
    honest = unpacking._Unpacking

    def changed(root, parcel):
        file.write_bytes(hostile.tar(hostile.member(b"/etc/evil")))
        return honest(root, parcel)

    monkeypatch.setattr(unpacking, "_Unpacking", changed)
    with pytest.raises(RejectedError, match="changed while it was read"):
        take_in(file, store)
    assert staged(store) == []


def test_a_staging_folder_that_cannot_be_opened_is_told(tmp_path, store, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(unpacking, "_Unpacking", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        take_in(sent(tmp_path, Form.TAR), store)


def test_limits_are_handed_on(tmp_path, store):
    with pytest.raises(RejectedError, match="more than 3 members"):
        take_in(sent(tmp_path, Form.TAR), store, limits=Limits(members=3))
