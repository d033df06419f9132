"""Digests of many files: one read for all algorithms, every core at work.

Large files go first, the largest first, each algorithm in a thread of its own: hashlib
frees the interpreter lock. A small file costs system calls, not hashing, so small ones
run in one thread, folder by folder; more threads only wait for one another there, and
processes cost more to start than they save below a million files.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from pipeline.packaging.walk import (
    Irregular,
    chunks,
    file_beneath,
    folder_beneath,
    open_file,
    reason,
)

LARGE = 1 << 20  # bytes from which a file is worth threads
_PIECE = 1 << 20  # bytes read and hashed at a time
CORES = len(os.sched_getaffinity(0))


class Failure(StrEnum):
    """Why a file has no digests."""

    NONE = ""
    GONE = "gone"
    IRREGULAR = "irregular"
    UNREADABLE = "unreadable"


class Job(NamedTuple):
    """A file to digest, by which of hashlib's algorithms; ``row`` is the caller's."""

    row: int
    path: bytes
    size: int
    hashes: tuple[str, ...]


class Outcome(NamedTuple):
    """The digests of a file, in the order asked for, or why there are none."""

    row: int
    size: int = 0
    digests: tuple[bytes, ...] = ()
    failure: Failure = Failure.NONE
    reason: str = ""


def digest_files(
    root: int, large: Iterable[Job], small: Iterable[Job]
) -> Iterator[Outcome]:
    """Digest files beneath an open folder, yielding outcomes in no certain order.

    Small jobs of one folder should stand together. Nothing is raised for a file: a
    failure is an outcome.
    """
    jobs = sorted(large, key=lambda job: -job.size)
    lanes = min(CORES, len(jobs))
    if not lanes:
        yield from _small(root, small)
        return
    with (
        ThreadPoolExecutor(lanes, "file") as files,
        ThreadPoolExecutor(2 * CORES, "hash") as hashers,
    ):
        futures = [files.submit(_large, root, job, hashers) for job in jobs]
        yield from _small(root, small)
        yield from (future.result() for future in as_completed(futures))


def _small(root: int, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Digest files one by one, keeping the folder open from one to the next."""
    here: bytes | None = None
    folder = -1
    with ExitStack() as opened:
        for job in jobs:
            parent, _, name = job.path.rpartition(b"/")
            try:
                if parent != here:
                    opened.close()
                    here = None
                    folder = opened.enter_context(folder_beneath(root, parent))
                    here = parent
                yield _small_one(folder, name, job)
            except OSError as error:
                yield _failed(job, error)


def _small_one(folder: int, name: bytes, job: Job) -> Outcome:
    descriptor = open_file(folder, name)
    try:
        data = os.read(descriptor, job.size + 1)  # a buffer no larger than it needs
        if len(data) <= job.size:
            digests = [getattr(hashlib, one)(data).digest() for one in job.hashes]
            return Outcome(job.row, len(data), tuple(digests))
        return _streamed(job, chain((data,), chunks(descriptor)))  # it grew meanwhile
    finally:
        os.close(descriptor)


def _streamed(job: Job, pieces: Iterable[bytes]) -> Outcome:
    hashes = [hashlib.new(one) for one in job.hashes]
    size = 0
    for piece in pieces:
        size += len(piece)
        for one in hashes:
            one.update(piece)
    return Outcome(job.row, size, tuple(one.digest() for one in hashes))


def _large(root: int, job: Job, hashers: Executor) -> Outcome:
    try:
        with file_beneath(root, job.path) as descriptor:
            return _threaded(job, descriptor, hashers)
    except OSError as error:
        return _failed(job, error)


def _threaded(job: Job, descriptor: int, hashers: Executor) -> Outcome:
    """Read the next piece while every algorithm works on this one."""
    hashes = [hashlib.new(one) for one in job.hashes]
    buffers = [memoryview(bytearray(_PIECE)) for _ in range(2)]
    size = 0
    turn = 0
    filled = os.readv(descriptor, [buffers[turn]])
    while filled:
        size += filled
        piece = buffers[turn][:filled]
        working = [hashers.submit(one.update, piece) for one in hashes]
        turn = 1 - turn
        try:
            filled = os.readv(descriptor, [buffers[turn]])
        finally:
            for one in working:
                one.result()
    return Outcome(job.row, size, tuple(one.digest() for one in hashes))


def _failed(job: Job, error: OSError) -> Outcome:
    """Say why a file has no digests, by what stands in its place."""
    if isinstance(error, Irregular) or error.errno in (errno.ELOOP, errno.ENXIO):
        failure = Failure.IRREGULAR  # ELOOP: O_NOFOLLOW met a link; ENXIO: a socket
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        failure = Failure.GONE
    else:
        failure = Failure.UNREADABLE
    return Outcome(job.row, failure=failure, reason=reason(error))
