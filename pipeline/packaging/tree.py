"""Where the files of a bag stand: a folder, or whatever can be read like one.

What judges a bag sees a ``Tree`` and no more: what stands in it, the bytes of one file,
the digests of many. A folder is read beneath its own descriptor, through no link.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from pipeline.packaging.companion import digest_small
from pipeline.packaging.hashing import Job, Outcome, digest_files
from pipeline.packaging.walk import Entry, chunks, file_beneath, walk


class Tree(Protocol):
    """The files of a bag, by paths from its top."""

    def entries(self) -> Iterator[Entry]:
        """Yield everything that stands in it, in any order."""

    def pieces(self, path: bytes, *, most: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a file, at most so many. Raises OSError."""

    def digests(self, large: Iterable[Job], small: Iterable[Job]) -> Iterator[Outcome]:
        """Digest files, in any order; a failure is an outcome."""


class Folder:
    """A bag in a folder, by its open descriptor."""

    def __init__(self, root: int) -> None:
        self._root = root

    def entries(self) -> Iterator[Entry]:
        """Walk the folder."""
        return walk(self._root)

    def pieces(self, path: bytes, *, most: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a regular file. Raises OSError."""
        with file_beneath(self._root, path) as descriptor:
            yield from chunks(descriptor, most=most)

    def digests(self, large: Iterable[Job], small: Iterable[Job]) -> Iterator[Outcome]:
        """Digest files with every core."""
        return digest_files(self._root, large, digest_small(self._root, small))
