"""A second process that digests every other block of a bag's small files.

Small files cost system calls under the interpreter's lock, so that threads only wait
for one another. The companion is worth its start-up where a bag has many of them; it
holds the same open folder, and is handed a few blocks at a time, so that neither waits
for the other. One that dies costs time and nothing else: what it owed is done here.
"""

import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import IO, Self

import msgspec

from pipeline.packaging.hashing import CORES, Job, Outcome, small_files

ALONE = 16_384  # small files of a bag before a companion is worth while
BLOCK = 256  # files handed over at a time; their digests fit into a pipe
_OWED = 2  # blocks that the companion has before it
_LENGTH = 4  # bytes that tell how long a message is
_CALL = (
    "import sys; from pipeline.packaging import companion;"
    "companion.answer({root}, sys.stdin.buffer, sys.stdout.buffer)"
)
_JOBS = msgspec.msgpack.Decoder(tuple[Job, ...])
_OUTCOMES = msgspec.msgpack.Decoder(tuple[Outcome, ...])


def digest_small(
    root: int,
    jobs: Iterable[Job],
    *,
    alone: int = ALONE,
    cores: int = CORES,
    python: str = sys.executable,
) -> Iterator[Outcome]:
    """Digest small files beneath an open folder, in two processes if they are many.

    Those of one folder should stand together.
    """
    left = iter(jobs)
    yield from small_files(root, islice(left, alone))
    block = tuple(islice(left, BLOCK))
    if len(block) < BLOCK or cores == 1:
        yield from small_files(root, chain(block, left))
        return
    with Companion(root, python) as companion:
        while block:
            if not companion.take(block):
                yield from small_files(root, block)
            yield from companion.answers()
            block = tuple(islice(left, BLOCK))
        yield from companion.rest()


class Companion:
    """The second process, and the blocks that it has not answered yet."""

    def __init__(self, root: int, python: str) -> None:
        self._root = root
        self._owed: deque[tuple[Job, ...]] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # no process to be had: all is done here
            self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
                [python, "-S", "-c", _CALL.format(root=root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(root,),
                env={"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            )

    def take(self, block: tuple[Job, ...]) -> bool:
        """Hand a block over, if the companion is not busy with enough already."""
        if self._process is None or len(self._owed) >= _OWED:
            return False
        assert self._process.stdin is not None, "a pipe was asked for"
        try:
            _send(self._process.stdin, msgspec.msgpack.encode(block))
        except OSError:
            self._end()
            return False
        self._owed.append(block)
        return True

    def answers(self) -> Iterator[Outcome]:
        """Yield what the companion has done by now."""
        while self._owed and self._is_ready():
            yield from self._answer()

    def rest(self) -> Iterator[Outcome]:
        """Yield all that is still owed."""
        while self._owed:
            yield from self._answer()

    def _is_ready(self) -> bool:
        if self._process is None or self._process.stdout is None:
            return True
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def _answer(self) -> Iterable[Outcome]:
        """Take the answer to the oldest block, or do it here."""
        block = self._owed.popleft()
        if self._process is not None:
            assert self._process.stdout is not None, "a pipe was asked for"
            with suppress(EOFError, OSError, msgspec.MsgspecError):
                told = _OUTCOMES.decode(_received(self._process.stdout))
                if [one.row for one in told] == [job.row for job in block]:
                    return told
            self._end()
        return small_files(self._root, block)

    def _end(self) -> None:
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            with suppress(OSError), process:  # OSError: what it will not hear any more
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


def answer(root: int, asked: IO[bytes], told: IO[bytes]) -> None:
    """Be the companion: digest what is asked for until nobody asks."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            jobs = _JOBS.decode(_received(asked))
            _send(told, msgspec.msgpack.encode(tuple(small_files(root, jobs))))


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH, "big") + message)
    pipe.flush()


def _received(pipe: IO[bytes]) -> bytes:
    """Read one message. Raises EOFError where it ends too soon."""
    size = int.from_bytes(_exactly(pipe, _LENGTH), "big")
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
