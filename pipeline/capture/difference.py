"""The difference between two texts of a page, line by line (pure).

Lines are compared as a reader sees them, with space run together. Comparing takes time
that grows with the square of what differs, so that no more than ``MOST`` lines of
either are looked at; what is left out is said.
"""

from collections.abc import Iterator, Sequence
from difflib import unified_diff

from pipeline.model import Difference

MOST = 2_000  # lines of either text
KEPT = 400  # lines of the difference that are kept
WIDEST = 2_000  # characters of a line
CONTEXT = 2  # lines around a change


def difference(before: str, after: str, *, bag: str) -> Difference:
    """Compare the words of a page with those that ``bag`` has of it."""
    old, new = _lines(before), _lines(after)
    told = list(unified_diff(old[:MOST], new[:MOST], n=CONTEXT, lineterm=""))[2:]
    return Difference(
        before=bag,
        removed=sum(line.startswith("-") for line in told),
        added=sum(line.startswith("+") for line in told),
        lines=tuple(told[:KEPT]),
        is_whole=len(told) <= KEPT and max(len(old), len(new)) <= MOST,
    )


def _lines(text: str) -> Sequence[str]:
    return [line[:WIDEST] for line in _told(text)]


def _told(text: str) -> Iterator[str]:
    """Yield the lines that say something."""
    for line in text.splitlines():
        if words := " ".join(line.split()):
            yield words
