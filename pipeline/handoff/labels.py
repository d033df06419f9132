"""What a bag says of itself to other archives: Dublin Core, and who may see it.

Read from ``metadata.csv`` and ``rights.csv``, where our bags and others that were made
for Archivematica have them. What is not there, or is no table, says nothing.
"""

import csv
import io
from pathlib import Path

from msgspec import Struct

from pipeline.disk import small_file
from pipeline.packaging.tables import METADATA_PATH, RIGHTS_PATH

LARGEST = 1 << 24  # bytes of a table
OPEN = "allow"


class Labels(Struct, frozen=True, kw_only=True):
    """What a bag says of itself."""

    terms: tuple[tuple[str, str], ...] = ()  # "dc.title" and the like, in their order
    restrictions: frozenset[str] = frozenset()  # allow, conditional, disallow

    @property
    def is_restricted(self) -> bool:
        """Tell whether anything in it may not be seen by everybody."""
        return bool(self.restrictions - {OPEN})

    def of(self, term: str) -> tuple[str, ...]:
        """Return the values of a term."""
        return tuple(value for name, value in self.terms if name == term)


def read(bag: Path) -> Labels:
    """Read what a bag says of itself, as its first file is described."""
    described = _table(bag / METADATA_PATH)
    names, first = (described[0], described[1]) if described[1:] else ([], [])
    rights = _table(bag / RIGHTS_PATH)
    column = rights[0].index("grant_restriction") if _has_grants(rights) else -1
    return Labels(
        terms=tuple(
            (name, value)
            for name, value in zip(names[1:], first[1:], strict=False)
            if value and name != "dc.format"  # that is the file's own
        ),
        restrictions=frozenset(
            row[column].strip().lower() for row in rights[1:] if 0 <= column < len(row)
        )
        - {""},
    )


def _has_grants(rights: list[list[str]]) -> bool:
    return bool(rights) and "grant_restriction" in rights[0]


def _table(path: Path) -> list[list[str]]:
    try:
        text = small_file(path, LARGEST).decode()
        return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (OSError, ValueError, csv.Error):
        return []
