"""Digests of many files."""

import hashlib
import os

import pytest

from pipeline.packaging import hashing, walk
from pipeline.packaging.hashing import Failure, Job

BOTH = ("sha256", "sha512")


def job(folder, path: str, *, size: int | None = None) -> Job:
    file = folder / path
    found = file.lstat().st_size if size is None else size
    return Job(0, path.encode(), found, BOTH)


def digested(folder, *jobs: Job):
    large = [one for one in jobs if one.size >= hashing.LARGE]
    small = [one for one in jobs if one.size < hashing.LARGE]
    with walk.opened(folder) as root:
        return list(hashing.digest_files(root, large, hashing.small_files(root, small)))


def expected(data: bytes) -> tuple[bytes, ...]:
    return tuple(hashlib.new(one, data).digest() for one in BOTH)


SIZES = {
    "nothing": 0,
    "small": 10,
    "just small": hashing.LARGE - 1,
    "just large": hashing.LARGE,
    "large": hashing.LARGE + 1,
    "several pieces": 3 * hashing.LARGE + 7,
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_a_file_of_any_size_has_the_digests_of_its_bytes(tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    (outcome,) = digested(tmp_path, job(tmp_path, "file"))
    assert (outcome.size, outcome.digests) == (size, expected(data))


def test_many_files_in_many_folders_are_all_digested(tmp_path):
    names = [f"{n % 3}/{n % 2}/{n}" for n in range(30)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    jobs = [job(tmp_path, name)._replace(row=row) for row, name in enumerate(names)]
    found = {one.row: one.digests for one in digested(tmp_path, *jobs)}
    assert found == {row: expected(name.encode()) for row, name in enumerate(names)}


@pytest.mark.parametrize("size", [5, hashing.LARGE])
def test_a_file_that_grew_is_read_to_its_end(tmp_path, size):
    data = os.urandom(2 * size)
    (tmp_path / "file").write_bytes(data)
    (outcome,) = digested(tmp_path, job(tmp_path, "file", size=size))
    assert (outcome.size, outcome.digests) == (2 * size, expected(data))


FAILURES = {
    "gone": (lambda folder: None, Failure.GONE),
    "a link": (lambda folder: (folder / "x").symlink_to("y"), Failure.IRREGULAR),
    "a fifo": (lambda folder: os.mkfifo(folder / "x"), Failure.IRREGULAR),
    "a folder": (lambda folder: (folder / "x").mkdir(), Failure.IRREGULAR),
}


@pytest.mark.parametrize("size", [5, hashing.LARGE])
@pytest.mark.parametrize(("lay", "failure"), FAILURES.values(), ids=FAILURES.keys())
def test_what_is_no_longer_a_file_is_an_outcome(tmp_path, lay, failure, size):
    lay(tmp_path)
    (outcome,) = digested(tmp_path, job(tmp_path, "x", size=size))
    assert (outcome.failure, outcome.digests) == (failure, ())
    assert outcome.reason


def test_a_folder_that_is_gone_is_an_outcome_and_the_next_is_read(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").write_bytes(b"")
    found = digested(tmp_path, job(tmp_path, "a/x", size=1), job(tmp_path, "b/x"))
    assert [one.failure for one in found] == [Failure.GONE, Failure.NONE]


def test_a_file_that_cannot_be_read_is_an_outcome(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x")

    def failing(descriptor, size):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", failing)
    (outcome,) = digested(tmp_path, job(tmp_path, "x"))
    assert (outcome.failure, outcome.reason) == (
        Failure.UNREADABLE,
        "Input/output error",
    )


def test_a_large_file_that_cannot_be_read_is_an_outcome(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x" * (2 * hashing.LARGE))
    real = os.readv

    def failing(descriptor, buffers, calls=[]):  # noqa: B006 - counts
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return real(descriptor, buffers)

    monkeypatch.setattr(os, "readv", failing)
    (outcome,) = digested(tmp_path, job(tmp_path, "x"))
    assert outcome.failure is Failure.UNREADABLE
