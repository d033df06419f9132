"""What a bag holds, in rows small enough for millions."""

import hashlib

import pytest

from pipeline.packaging.contents import (
    ABSENT,
    BARE,
    NOT,
    WHOLE,
    Column,
    Inventory,
    Listing,
)
from pipeline.packaging.tagfiles import ManifestName, parse_manifest_name


def name(file: str) -> ManifestName:
    found = parse_manifest_name(file)
    assert found is not None
    return found


@pytest.fixture(params=[True, False], ids=["kept", "not kept"])
def column(request):
    return Column(name("manifest-md5.txt"), keep=request.param)


A, B = (hashlib.md5(text).hexdigest().encode() for text in (b"a", b"b"))


def test_a_path_has_one_row_for_good():
    inventory = Inventory()
    assert [inventory.add(path) for path in (b"a", b"b", b"a")] == [0, 1, 0]
    assert inventory.row(b"b") == 1
    assert inventory.row(b"c") is None
    assert len(inventory) == 2


def test_a_listed_path_is_not_present_and_a_file_is():
    inventory = Inventory()
    inventory.add(b"file", 0)
    inventory.add(b"listed")
    assert list(inventory.sizes) == [0, ABSENT]
    assert inventory.is_present(b"file")
    assert not inventory.is_present(b"listed")
    assert not inventory.is_present(b"neither")


def test_a_digest_is_noted_with_its_row(column):
    assert column.note(3, A) is Listing.NEW
    assert list(column.states) == [NOT, NOT, NOT, WHOLE]


def test_a_digest_comes_back_where_it_is_kept():
    column = Column(name("manifest-md5.txt"), keep=True)
    column.note(2, A.upper())
    assert column.digest(2) == bytes.fromhex(A.decode())


def test_a_second_digest_is_told_from_the_first(column):
    column.note(0, A)
    assert column.note(0, A.upper()) is Listing.SAME
    assert column.note(0, B) is Listing.OTHER
    assert column.note(0, b"00") is Listing.OTHER


def test_a_digest_of_the_wrong_width_is_listed_without(column):
    assert column.note(0, A + b"00") is Listing.WIDTH
    assert list(column.states) == [BARE]


def test_digests_of_an_unknown_algorithm_are_not_judged():
    column = Column(name("manifest-whirlpool.txt"), keep=True)
    assert column.note(0, A) is Listing.NEW
    assert column.note(0, B) is Listing.SAME
    assert list(column.states) == [BARE]


def test_the_next_row_the_one_after_and_an_earlier_one_are_taken(column):
    assert column.take(0, A)
    assert column.take(2, A)
    assert column.take(1, B)
    assert list(column.states) == [WHOLE] * 3


def test_a_row_is_taken_once(column):
    assert column.take(0, A)
    assert not column.take(0, A)


def test_what_is_noted_for_a_row_moves_to_another():
    column = Column(name("manifest-md5.txt"), keep=True)
    column.note(0, A)
    column.settle(2)
    column.move(0, 1)
    assert list(column.states) == [NOT, WHOLE]
    assert column.digest(1) == bytes.fromhex(A.decode())
