"""The digests a bag lists beside the digests of its files.

Every file that a manifest lists is read once, for all its manifests; what disagrees,
changed meanwhile or cannot be read is a finding.
"""

import sys
from collections.abc import Callable, Iterator

from pipeline.packaging.completeness import Holdings
from pipeline.packaging.contents import PAYLOAD, WHOLE, Column
from pipeline.packaging.hashing import LARGE, Failure, Job, Outcome
from pipeline.packaging.names import show
from pipeline.packaging.rules import Verdicts
from pipeline.packaging.tree import Tree

Progress = Callable[[int, int], None]

_FAILURES = {
    Failure.GONE: ("missing-file", "it vanished while the bag was read"),
    Failure.IRREGULAR: ("special-file", "something else took the place of a file"),
    Failure.UNREADABLE: ("digest-mismatch", "not verified, as it cannot be read"),
}


def check_digests(
    tree: Tree, held: Holdings, verdicts: Verdicts, progress: Progress
) -> None:
    """Digest every listed file and compare; tell the bytes done and to be done."""
    sizes = held.inventory.sizes
    total, done = sum(size for size in sizes if size > 0), 0
    progress(done, total)
    large = list(_jobs(held, LARGE, sys.maxsize))
    for outcome in tree.digests(large, _jobs(held, 0, LARGE)):
        if outcome.failure:
            _say_failed(held, outcome, verdicts)
        elif not _agrees(held, outcome):
            _say_changed(held, outcome, verdicts)
            _say_wrong(held, outcome, verdicts)
        done += outcome.size
        progress(done, total)


def _jobs(held: Holdings, least: int, below: int) -> Iterator[Job]:
    """Yield what is to be digested of the files of certain sizes, in their order."""
    states = [column.states for column in held.columns]
    hashes: dict[tuple[int, ...], tuple[str, ...]] = {}
    rows = zip(held.inventory.paths, held.inventory.sizes, *states, strict=True)
    for row, (path, size, *listed) in enumerate(rows):
        if least <= size < below:
            how = tuple(listed)
            if how not in hashes:
                hashes[how] = tuple({one.hash: None for one in _columns(held, row)})
            if hashes[how]:
                yield Job(row, path, size, hashes[how])


def _columns(held: Holdings, row: int) -> list[Column]:
    return [one for one in held.columns if one.states[row] == WHOLE]


def _agrees(held: Holdings, outcome: Outcome) -> bool:
    """Tell at once what is true of nearly all files."""
    row, size, digests = outcome[:3]
    if size != held.inventory.sizes[row]:
        return False
    left = iter(digests)
    for column in held.columns:
        if column.states[row] == WHOLE and not column.has(row, next(left, b"?")):
            return False
    return next(left, None) is None


def _say_failed(held: Holdings, outcome: Outcome, verdicts: Verdicts) -> None:
    code, message = _FAILURES[outcome.failure]
    path = held.inventory.paths[outcome.row]
    if outcome.failure is not Failure.IRREGULAR:
        code = _tagged(code, path)
    verdicts.add(code, show(path), f"{message}: {outcome.reason}")


def _say_changed(held: Holdings, outcome: Outcome, verdicts: Verdicts) -> None:
    path = held.inventory.paths[outcome.row]
    before = held.inventory.sizes[outcome.row]
    if outcome.size != before:
        message = f"{before} bytes when it was listed, {outcome.size} when it was read"
        verdicts.add(_tagged("size-mismatch", path), show(path), message)


def _say_wrong(held: Holdings, outcome: Outcome, verdicts: Verdicts) -> None:
    path = held.inventory.paths[outcome.row]
    columns = _columns(held, outcome.row)
    hashes = dict.fromkeys(column.hash for column in columns)
    found = dict(zip(hashes, outcome.digests, strict=True))
    for column in columns:
        expected = column.digest(outcome.row)
        if found[column.hash] != expected:
            said = f"{column.name.shown} says {expected.hex()}"
            message = f"{said}, found {found[column.hash].hex()}"
            verdicts.add(_tagged("digest-mismatch", path), show(path), message)


def _tagged(code: str, path: bytes) -> str:
    return code if path.startswith(PAYLOAD) else f"tag-{code}"
