"""The catalogue: an index over the bags and the custody log.

It holds nothing of its own. Deleted, damaged or made by another version, it is built
again from the bags and the log to the same content. What a bag says is read by
``description``, the rows are kept by ``database``, and ``cards`` are what it answers
with; here bags are put in, and questions asked.
Paths are kept relative to the archive, which may be moved. One connection, one thread.
"""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pipeline.clock import stamp
from pipeline.errors import FixityError, StorageError, UsageError
from pipeline.holdings import cards, checks, receipts
from pipeline.holdings.cards import (
    Acknowledged,
    Attendance,
    Check,
    Found,
    Hit,
    Holding,
    Kept,
    PastRun,
    Sort,
    Visit,
)
from pipeline.holdings.custody import Entry, Logged
from pipeline.holdings.database import Database, Row, asking
from pipeline.holdings.description import PAGE_TEXT, Description, describe, key_of
from pipeline.model import Digest, Previous

BY_BAG = ("bags", "captures", "exchanges", "quotes", "artefacts", "runs", "words")
NEAR = 1000  # names that are looked through for one like a name not found


class Catalogue:
    """The index of one archive, open. Made by ``Catalogue.open`` or ``reading``.

    Any question may raise DatabaseError (build it again), StorageError or LockedError.
    """

    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root

    @classmethod
    def open(cls, path: Path, *, root: Path) -> "Catalogue":
        """Open the catalogue of the archive at ``root``; a new one is empty.

        Raises DatabaseError where it is damaged or another version's.
        """
        return cls(Database.open(path), root)

    @classmethod
    def reading(cls, path: Path, *, root: Path) -> "Catalogue":
        """Open it for questions alone: nothing is made, locked or written.

        Raises DatabaseError where it is absent, damaged or another version's.
        """
        return cls(Database.reading(path), root)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def add(self, bag: Path) -> tuple[str, ...]:
        """Take in a bag, reading nothing but the bag; once more changes nothing.

        Returns what of its story could not be read, in sentences. Raises FixityError
        where there is no bag.
        """
        described = describe(bag)
        with self._database.changing():
            _insert(self._database, described, self._root)
        return described.remarks

    def remove(self, bag: str) -> None:
        """Forget a bag that is no longer there."""
        with self._database.changing():
            _delete(self._database, bag)

    def note(self, acts: Iterable[Logged]) -> tuple[str, ...]:
        """Take in lines of the custody log, and the fixity checks that they record.

        Returns what of those records could not be read, in sentences.
        """
        with self._database.changing():
            return _noted(self._database, acts, self._root)

    def acknowledge(self, receipt: Path) -> None:
        """Take in a receipt, reading its file. Raises FixityError where it is none."""
        rows = cards.receipt_rows(receipts.read(receipt), self._root)
        with self._database.changing():
            self._database.put("receipts", rows)

    def noted(self) -> int:
        """Return how many lines of the log are taken in."""
        (row,) = self._database.ask("SELECT COUNT(*) AS lines FROM acts")
        return int(row["lines"])

    # ---------------------------------------------------------------------- questions

    def previous(self, job: str, source: str) -> Previous | None:
        """Return the last capture with a bag: what the next visit is compared with."""
        rows = self._database.ask(
            "SELECT own.*, tagmanifests, artefacts.digests AS words"
            " FROM own JOIN bags USING (bag) LEFT JOIN artefacts"
            " ON artefacts.bag = own.bag AND artefacts.path = :words"
            " WHERE own.job = :job AND own.source = :source"
            " AND verdict NOT IN ('unchanged', 'skipped')"
            " ORDER BY started DESC, bag DESC LIMIT 1",
            {"job": job, "source": source, "words": PAGE_TEXT},
        )
        with asking(self._database.path):
            return cards.previous(rows[0]) if rows else None

    def last_outcome(self, job: str, source: str) -> Visit | None:
        """Return the last visit, one that found nothing changed included."""
        rows = self._database.ask(
            "SELECT * FROM visits WHERE job = :job AND source = :source"
            " ORDER BY at DESC, run DESC LIMIT 1",
            {"job": job, "source": source},
        )
        with asking(self._database.path):
            return cards.visit(rows[0]) if rows else None

    def visits(
        self, *, job: str | None = None, source: str | None = None
    ) -> tuple[Visit, ...]:
        """Return every visit in order of time, with or without a bag."""
        rows = self._database.ask(
            "SELECT * FROM visits WHERE (:job IS NULL OR job = :job)"
            " AND (:source IS NULL OR source = :source) ORDER BY at, run, source",
            {"job": job, "source": source},
        )
        with asking(self._database.path):
            return tuple(cards.visit(row) for row in rows)

    def attendance(self, job: str, *, until: datetime) -> tuple[Attendance, ...]:
        """Return when each source of a job was visited; later than ``until`` apart."""
        rows = self._database.ask(
            "SELECT source, MIN(CASE WHEN at <= :until THEN at END) AS first,"
            " MAX(CASE WHEN at <= :until THEN at END) AS last, MAX(at) AS latest"
            " FROM visits WHERE job = :job AND at != '' GROUP BY source",
            {"job": job, "until": stamp(until)},
        )
        with asking(self._database.path):
            return tuple(cards.attendance(row) for row in rows)

    def captures(
        self, *, job: str | None = None, source: str | None = None
    ) -> tuple[Visit, ...]:
        """Return every capture whose bag is here, in order of time."""
        held = {holding.bag.id for holding in self.bags(job=job, source=source)}
        return tuple(
            one for one in self.visits(job=job, source=source) if one.bag in held
        )

    def bags(
        self,
        *,
        job: str | None = None,
        run: str | None = None,
        source: str | None = None,
        bag: str | None = None,
    ) -> tuple[Holding, ...]:
        """Return the bags in order of time, a run's own among them."""
        rows = self._database.ask(
            "SELECT bags.*, EXISTS (SELECT 1 FROM received"
            " WHERE received.bag = bags.bag) AS received"
            " FROM bags WHERE (:job IS NULL OR job = :job)"
            " AND (:run IS NULL OR run = :run)"
            " AND (:source IS NULL OR source = :source)"
            " AND (:bag IS NULL OR bags.bag = :bag) ORDER BY at, bag",
            {"job": job, "run": run, "source": source, "bag": bag},
        )
        with asking(self._database.path):
            return tuple(cards.holding(row, self._root) for row in rows)

    def runs(self, *, job: str | None = None) -> tuple[PastRun, ...]:
        """Return the runs in order of time, those that were cut short included."""
        rows = self._database.ask(
            "SELECT * FROM all_runs WHERE (:job IS NULL OR job = :job)"
            " ORDER BY started, run",
            {"job": job},
        )
        with asking(self._database.path):
            return tuple(cards.past_run(row) for row in rows)

    def acts(self, bag: str) -> tuple[Entry, ...]:
        """Return what was done to a bag, as the custody log tells it."""
        rows = self._database.ask(
            "SELECT * FROM acts WHERE bag = :bag ORDER BY n", {"bag": bag}
        )
        with asking(self._database.path):
            return tuple(cards.act(row) for row in rows)

    def checks(self, bag: str) -> tuple[Check, ...]:
        """Return every fixity check of a bag, in order of time, copies' included."""
        rows = self._database.ask(
            "SELECT * FROM checks WHERE bag = :bag ORDER BY line, target", {"bag": bag}
        )
        with asking(self._database.path):
            return tuple(cards.check(row) for row in rows)

    def last_checks(self) -> dict[str, int]:
        """Tell of each bag which line of the log records its last fixity check."""
        rows = self._database.each(
            "SELECT bag, MAX(line) AS line FROM checks WHERE target = '' GROUP BY bag"
        )
        return {row["bag"]: row["line"] for row in rows}

    def places(self) -> Iterator[tuple[str, tuple[Digest, ...]]]:
        """Yield the path of each bag, from the archive down, and its tag manifests."""
        for row in self._database.each("SELECT path, tagmanifests FROM bags"):
            with asking(self._database.path):
                yield row["path"], cards.digests(row["tagmanifests"])

    def receipts(
        self, *, bag: str | None = None, target: str | None = None
    ) -> tuple[Acknowledged, ...]:
        """Return what targets acknowledged, bag by bag in order of time."""
        rows = self._database.ask(
            "SELECT * FROM receipts WHERE (:bag IS NULL OR bag = :bag)"
            " AND (:target IS NULL OR target = :target) ORDER BY at, nonce, n",
            {"bag": bag, "target": target},
        )
        with asking(self._database.path):
            return tuple(cards.acknowledged(row, self._root) for row in rows)

    def responses(self, url: str) -> tuple[Kept, ...]:
        """Return every response to an address, in any of its spellings, in time."""
        rows = self._database.ask(
            "SELECT exchanges.*, path, verdict FROM exchanges"
            " JOIN bags USING (bag) JOIN captures USING (bag)"
            " WHERE key = :key AND exchanges.record != ''"
            " ORDER BY exchanges.started, bag, n",
            {"key": key_of(url)},
        )
        with asking(self._database.path):
            return tuple(cards.kept(row, self._root) for row in rows)

    def search(self, words: str, *, most: int = 50) -> tuple[Hit, ...]:
        """Return the captures in which all the words stand, the best first."""
        phrases = ['"' + word.replace('"', '""') + '"' for word in words.split()]
        if not phrases:
            return ()
        rows = self._database.ask(
            "SELECT words.bag, job, source, captures.title, captures.url,"
            " snippet(words, -1, '', '', ' ... ', 16) AS passage"
            " FROM words JOIN captures ON captures.bag = words.bag"
            " WHERE words MATCH :words ORDER BY rank, words.bag LIMIT :most",
            {"words": " ".join(phrases), "most": most},
        )
        return tuple(Hit(**row) for row in rows)

    def find(self, name: str) -> Found:
        """Tell what a name stands for: a bag, a run, job/source, or a lone source.

        Raises UsageError where nothing has the name, or more than one thing has.
        """
        found = (*self._runs_named(name), *self._sources_named(name))
        if not found:
            found = self._bags_named(name)
        if len(found) == 1:
            return found[0]
        if found:
            which = ", ".join(one.id for one in found)
            raise UsageError(f"{name} may be any of {which}; name one of them in full")
        raise UsageError(
            f"{name}: no bag, run or source of this name is in the archive at "
            f"{self._root}{self._hint(name)}"
        )

    def _own(self, job: str, source: str) -> tuple[Holding, ...]:
        """Return the bags of a source that were made here."""
        bags = self.bags(job=job, source=source)
        return tuple(one for one in bags if not one.is_received)

    def _bags_named(self, name: str) -> tuple[Found, ...]:
        bags = self.bags(bag=name)
        return tuple(Found(sort=Sort.BAG, id=name, bags=(bag,)) for bag in bags)

    def _runs_named(self, name: str) -> tuple[Found, ...]:
        rows = self._database.ask(
            "SELECT run FROM all_runs WHERE run = :run GROUP BY run", {"run": name}
        )
        return tuple(
            Found(sort=Sort.RUN, id=name, bags=self.bags(run=name)) for _ in rows
        )

    def _sources_named(self, name: str) -> tuple[Found, ...]:
        job, _, source = name.rpartition("/")
        rows = self._database.ask(
            "SELECT job, source FROM sources WHERE source = :source"
            " AND (:job = '' OR job = :job) ORDER BY job",
            {"job": job, "source": source},
        )
        return tuple(
            Found(
                sort=Sort.SOURCE,
                id=f"{row['job']}/{row['source']}",
                bags=self._own(row["job"], row["source"]),
            )
            for row in rows
        )

    def _hint(self, name: str) -> str:
        rows = self._database.ask(
            "SELECT source AS name FROM sources"
            " UNION SELECT job || '/' || source FROM sources"
            " UNION SELECT run FROM all_runs LIMIT :most",
            {"most": NEAR},
        )
        near = difflib.get_close_matches(name, [row["name"] for row in rows], n=1)
        return f"; did you mean {near[0]}?" if near else "; `muniment list` tells all"


def rebuild(
    path: Path,
    *,
    root: Path,
    bags: Iterable[Path],
    log: Iterable[Logged],
    acknowledged: Iterable[Path] = (),
) -> tuple[str, ...]:
    """Build the catalogue of an archive anew, and then put it in the old one's place.

    Returns what could not be taken in, in sentences; nothing that is wrong with one
    bag keeps out the others. Raises StorageError, and FixityError for the log.
    """
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    remarks: list[str] = []
    try:
        _clear(scratch)
        database = Database.open(scratch, is_scratch=True)
        try:
            with database.changing():
                for bag in bags:
                    remarks += _tried(database, bag, root)
                for receipt in acknowledged:
                    remarks += _acknowledged(database, receipt, root)
                remarks += _noted(database, log, root)
        finally:
            database.close()
        with scratch.open("rb") as file:
            os.fsync(file.fileno())  # an empty file would be taken for a new one
        # A journal left beside a new file would be played into it.
        _clear(path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        scratch.replace(path)
    except OSError as error:
        raise StorageError.at(path, error) from error
    finally:
        with suppress(OSError):
            _clear(scratch)
    return tuple(remarks)


def _clear(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _tried(database: Database, bag: Path, root: Path) -> tuple[str, ...]:
    try:
        described = describe(bag)
    except FixityError as error:
        return (str(error),)
    _insert(database, described, root)
    return described.remarks


def _acknowledged(database: Database, receipt: Path, root: Path) -> tuple[str, ...]:
    try:
        rows = cards.receipt_rows(receipts.read(receipt), root)
    except FixityError as error:
        return (str(error),)
    database.put("receipts", rows)
    return ()


def _noted(database: Database, acts: Iterable[Logged], root: Path) -> tuple[str, ...]:
    rows: list[Row] = []
    remarks: list[str] = []
    for logged in acts:
        rows.append(cards.act_row(logged))
        if checks.is_record(logged.entry):
            remarks += _recorded(database, logged, root)
    database.put("acts", rows)
    return tuple(remarks)


def _recorded(database: Database, logged: Logged, root: Path) -> tuple[str, ...]:
    """Take in the fixity checks of one record, if it is the one that the log names."""
    path, digest = root / logged.entry.path, checks.digest_in(logged.entry)
    try:
        if digest is not None:
            made = checks.read(path, digest)
            database.put("checks", [cards.check_row(logged.n, one) for one in made])
    except (FixityError, StorageError) as error:
        return (str(error),)
    return ()


def _insert(database: Database, described: Description, root: Path) -> None:
    _delete(database, described.bag.id)
    database.put("bags", (cards.bag_row(described, root),))
    for table, rows in described.rows.items():
        database.put(table, rows)


def _delete(database: Database, bag: str) -> None:
    if not database.ask("SELECT 1 FROM bags WHERE bag = :bag", {"bag": bag}):
        return  # spares a search through all the words
    for table in BY_BAG:
        database.drop(table, "bag", bag)
    database.drop("outcomes", "run_bag", bag)
