"""The Merkle tree of RFC 9162 (and RFC 6962): heads, proofs, and what proofs prove.

A leaf is SHA-256(0x00 || line), where the line is a line of the custody log with its
line feed, as ``sed -n 5p`` prints it: bytes that are final. A ``Frontier`` knows the
root of a list that grows and keeps no more than one hash for each bit of its length; a
``Tree`` keeps every hash and can prove. Nothing here reads or writes.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import reduce
from hashlib import sha256

from msgspec import Struct, field

Proof = tuple[bytes, ...]

WIDTH = 32  # bytes of a hash
EMPTY = sha256().digest()  # RFC 9162 2.1.1: the root of no leaves


class Head(Struct, frozen=True, kw_only=True):
    """How many leaves a tree has, and its root: what a checkpoint signs."""

    size: int
    root: bytes


def head_json(head: Head) -> dict[str, int | str]:
    """Tell a head as JSON does, the root in base64 as in a checkpoint."""
    return {"size": head.size, "root": b64encode(head.root).decode()}


def leaf_of(line: bytes) -> bytes:
    """Hash a line of the log, line feed included, as a leaf (RFC 9162 2.1.1)."""
    return sha256(b"\0" + line).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees as the node above them."""
    return sha256(b"\1" + left + right).digest()


def _joined(subtrees: Sequence[bytes]) -> bytes:
    """Join subtrees that shrink from left to right, from the right."""
    return reduce(lambda right, left: node_of(left, right), reversed(subtrees))


def _split(size: int) -> int:
    """Return the largest power of two below a size: where a tree divides."""
    return 1 << (size - 1).bit_length() - 1


class Frontier(Struct):
    """The head of a list that only grows: a hash for each whole subtree, no leaves."""

    size: int = 0
    _peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        """Take in the hash of the next leaf."""
        merges = self.size
        while merges & 1:
            leaf = node_of(self._peaks.pop(), leaf)
            merges >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def head(self) -> Head:
        """Tell the size and the root as of now."""
        return Head(size=self.size, root=_joined(self._peaks) if self._peaks else EMPTY)


class Tree:
    """Every whole subtree over a list of leaf hashes, so that proofs are looked up."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(below := self._levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self._levels.append([node_of(left, right) for left, right in pairs])

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def head(self, size: int) -> Head:
        """Tell the head that the first ``size`` leaves had."""
        self._require(0 <= size <= self.size)
        return Head(size=size, root=self._range(0, size) if size else EMPTY)

    def inclusion(self, index: int, size: int) -> Proof:
        """Prove that a leaf is among the first ``size`` (RFC 9162 2.1.3.1)."""
        self._require(0 <= index < size <= self.size)
        low, high, proof = 0, size, []
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        return tuple(reversed(proof))

    def consistency(self, old: int, new: int) -> Proof:
        """Prove that the first ``old`` leaves begin the first ``new`` (2.1.4.1)."""
        self._require(0 <= old <= new <= self.size)
        if old in {0, new}:
            return ()
        low, high, proof = 0, new, []
        while old != high:
            middle = low + _split(high - low)
            if old <= middle:
                proof.append(self._range(middle, high))
                high = middle
            else:
                proof.append(self._range(low, middle))
                low = middle
        if low:  # the verifier knows the root of a subtree that is the whole old tree
            proof.append(self._range(low, high))
        return tuple(reversed(proof))

    def _range(self, low: int, high: int) -> bytes:
        """Hash the leaves from ``low``, where a subtree begins, up to ``high``."""
        subtrees = []
        while low < high:
            level = (high - low).bit_length() - 1
            subtrees.append(self._levels[level][low >> level])
            low += 1 << level
        return _joined(subtrees)

    def _require(self, holds: bool) -> None:  # noqa: FBT001 - reads as an assertion
        if not holds:
            raise ValueError(f"no such leaves in a tree of {self.size}")


def is_included(leaf: bytes, index: int, proof: Sequence[bytes], head: Head) -> bool:
    """Tell whether a proof shows a leaf at its place under a head (2.1.3.2)."""
    if not 0 <= index < head.size or not _are_hashes(leaf, *proof, head.root):
        return False
    place, last, root = index, head.size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            root = node_of(one, root)
            place, last = _up_to_odd(place, last)
        else:
            root = node_of(root, one)
        place, last = place >> 1, last >> 1
    return last == 0 and root == head.root


def is_consistent(old: Head, new: Head, proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that one head grew into another (RFC 9162 2.1.4.2).

    Of no leaves and of the same number nothing is to be proven: the proof is empty.
    """
    if not 0 <= old.size <= new.size or not _are_hashes(old.root, new.root, *proof):
        return False
    if old.size == new.size:
        return not proof and old.root == new.root
    if old.size == 0:
        return not proof and old.root == EMPTY
    path = list(proof) if old.size & (old.size - 1) else [old.root, *proof]
    return bool(path) and _recomputed(old, new, path) == (old.root, new.root)


def _recomputed(old: Head, new: Head, path: list[bytes]) -> tuple[bytes, bytes] | None:
    """Compute both roots from a consistency proof; None where it does not fit."""
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for one in path[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            before, after = node_of(one, before), node_of(one, after)
            place, last = _up_to_odd(place, last)
        else:
            after = node_of(after, one)
        place, last = place >> 1, last >> 1
    return (before, after) if last == 0 else None


def _up_to_odd(place: int, last: int) -> tuple[int, int]:
    """Climb while this subtree has no neighbour to its left."""
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _are_hashes(*hashes: bytes) -> bool:
    return all(len(one) == WIDTH for one in hashes)
