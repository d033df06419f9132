"""The second process that takes every other block of small files."""

import hashlib

import pytest

from pipeline.packaging import companion, walk
from pipeline.packaging.hashing import Failure, Job

MANY = 4 * companion.BLOCK + 3
COMPANIONS = {
    "is not to be had": None,
    "dies at once": "exit 1",
    "hears one block and dies": "head -c 4 >/dev/null",
    "answers with nothing": "head -c 100 /dev/zero",
    "answers with what it was asked": "exec cat",
    "tells of more than it says": "printf '\\177\\377\\377\\377'",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("many")
    for row in range(MANY):
        (made / str(row)).write_bytes(b"%d" % row)
    (made / "0").unlink()
    return made


def digests(folder, **options) -> dict[int, tuple[bytes, ...]]:
    jobs = (Job(n, b"%d" % n, len(str(n)), ("sha256", "sha512")) for n in range(MANY))
    with walk.opened(folder) as root:
        told = list(companion.digest_small(root, jobs, **options))
    assert len(told) == MANY
    assert [one.row for one in told if one.failure is Failure.GONE] == [0]
    return {one.row: one.digests for one in told if not one.failure}


EXPECTED = {
    row: (hashlib.sha256(b"%d" % row).digest(), hashlib.sha512(b"%d" % row).digest())
    for row in range(1, MANY)
}


def test_two_processes_find_what_one_finds(folder):
    assert digests(folder, alone=5, cores=2) == EXPECTED


def test_few_files_and_a_single_core_have_no_companion(folder):
    assert digests(folder, python="/is/not/there") == EXPECTED
    assert digests(folder, alone=0, cores=1, python="/is/not/there") == EXPECTED


@pytest.mark.parametrize("does", COMPANIONS.values(), ids=COMPANIONS.keys())
def test_what_a_companion_owes_is_done_without_it(folder, tmp_path, does):
    python = tmp_path / "python"
    if does is not None:
        python.write_text(f"#!/bin/sh\n{does}\n")
        python.chmod(0o755)
    assert digests(folder, alone=0, cores=2, python=str(python)) == EXPECTED


def test_the_companion_answers_each_block_with_the_outcomes_of_its_files(folder):
    block = tuple(Job(n, b"%d" % n, len(str(n)), ("sha256",)) for n in range(3))
    with walk.opened(folder) as root:
        asked, told = folder.parent / "asked", folder.parent / "told"
        with asked.open("wb") as pipe:
            companion._send(pipe, companion.msgspec.msgpack.encode(block))
        with asked.open("rb") as heard, told.open("wb") as said:
            companion.answer(root, heard, said)
    with told.open("rb") as pipe:
        outcomes = companion._OUTCOMES.decode(companion._received(pipe))
    assert [one.failure for one in outcomes] == [Failure.GONE, "", ""]
    assert outcomes[2].digests == (hashlib.sha256(b"2").digest(),)
