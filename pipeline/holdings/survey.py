"""What the custody log says of each bag, gathered in the one pass that examines it.

For a hundred thousand bags this is what an audit keeps in memory, so it is kept short:
where each bag is put, the digests that make it what it is, and when it was last known
to be sound, as the number of a line.
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from pipeline.holdings import checks
from pipeline.holdings.custody import STILL_KEPT, Act, Entry, Logged
from pipeline.holdings.ledger import Examined, examine
from pipeline.model import Digest


class Logbook(Struct):
    """One bag by its lines."""

    bag: str
    line: int  # that says how it came here, the last one
    tagmanifests: tuple[Digest, ...]
    run: str = ""
    is_aside: bool = False
    seals: dict[str, Digest] = field(default_factory=dict)  # by name of the file


class Survey(Struct):
    """All bags by the log, and what else it names by its digest."""

    bags: dict[str, Logbook] = field(default_factory=dict)  # by path
    records: dict[str, Digest | None] = field(default_factory=dict)  # of checks, path
    receipts: dict[str, Digest] = field(default_factory=dict)  # by path
    _path: dict[str, str] = field(default_factory=dict)  # of a bag, by its id

    @classmethod
    def of(cls, root: Path) -> "tuple[Survey, Examined]":
        """Read the log of an archive once, examining it. Raises StorageError."""
        survey = cls()
        return survey, examine(root, hear=survey.take)

    def take(self, logged: Logged) -> None:
        """Take in the next line."""
        entry = logged.entry
        if entry.act in {Act.ACCESSION, Act.RECOVERY}:
            before = self.bags.get(entry.path)
            self.bags[entry.path] = Logbook(
                bag=entry.bag,
                line=logged.n,
                tagmanifests=entry.tagmanifests,
                run=entry.run,
                seals=before.seals if before else {},
            )
            self._path[entry.bag] = entry.path
        elif entry.act is Act.QUARANTINE:
            if entry.outcome != STILL_KEPT and entry.bag in self._path:
                self.bags[self._path[entry.bag]].is_aside = True
        elif entry.act in {Act.SEAL, Act.RENEWAL}:
            self._take_seal(entry)
        elif entry.act is Act.RECEIPT:
            if digest := checks.digest_in(entry):
                self.receipts[entry.path] = digest
        elif checks.is_record(entry):
            self.records[entry.path] = checks.digest_in(entry)

    def kept(self) -> Iterator[str]:
        """Yield the paths where the log says that a bag stands."""
        return (path for path, one in self.bags.items() if not one.is_aside)

    def _take_seal(self, entry: Entry) -> None:
        path, _, name = entry.path.rpartition("/")
        digest = checks.digest_in(entry)  # told in the same way
        if digest and path in self.bags:
            self.bags[path].seals[name] = digest
