"""Seal files: read without trust, added whole, never replaced."""

import os

import baggery
import pytest

from pipeline.errors import FixityError, StorageError
from pipeline.sealing import shelf


@pytest.fixture
def bag(tmp_path):
    return baggery.sound(tmp_path / "bag")


def test_what_is_added_is_read_again(bag):
    shelf.add(bag, [("seal-0001.json", b"a"), ("seal-0001.json.p7s", b"b")])
    found = shelf.read(bag)
    assert dict(found.files) == {"seal-0001.json": b"a", "seal-0001.json.p7s": b"b"}
    assert found.numbers() == (1,)
    assert [one.name for one in found.before(2)] == ["seal-0001.json", "seal-0001.json.p7s"]  # fmt: skip
    assert found.before(1) == ()


def test_nothing_is_replaced(bag):
    shelf.add(bag, [("seal-0001.json", b"a")])
    shelf.add(bag, [("seal-0001.json", b"a")])
    with pytest.raises(FixityError, match="never replaced"):
        shelf.add(bag, [("seal-0001.json", b"b")])
    assert (bag / "seal-0001.json").read_bytes() == b"a"


def test_what_an_attempt_that_died_left_is_swept_away(bag):
    (bag / "seal-0001.json.part").write_bytes(b"half")
    assert not shelf.read(bag).files
    shelf.add(bag, [("seal-0001.json", b"a")])
    assert sorted(p.name for p in bag.glob("seal-*")) == ["seal-0001.json"]


def test_a_place_that_refuses_is_named(bag):
    with pytest.raises(StorageError, match="seal-0001"):
        shelf.add(bag / "gone", [("seal-0001.json", b"a")])
    with pytest.raises(StorageError, match="gone"):
        shelf.add(bag / "gone", [])


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "huge"])
def test_what_is_no_file_of_a_seal_is_told_and_not_read(kind, bag, monkeypatch):
    place = bag / "seal-0001.one.tsr"
    match kind:
        case "link":
            place.symlink_to("/etc/hostname")
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "huge":
            monkeypatch.setattr(shelf, "LARGEST_SMALL", 3)
            place.write_bytes(b"four")
    found = shelf.read(bag)
    assert list(found.unreadable) == ["seal-0001.one.tsr"]
    assert found.numbers() == (1,)
    assert not found.files


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FixityError, match="expected a bag"):
        shelf.read(tmp_path / "gone")
