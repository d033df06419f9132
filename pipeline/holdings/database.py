"""The catalogue's file: its tables, how it is opened, and what can be wrong with it.

SQLite's own errors stop here. Each becomes a StorageError, where the file system is to
blame, a LockedError, where another process is writing, or else a DatabaseError: the
file is damaged or another version's, and is to be built again.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from pipeline.errors import LockedError, StorageError

VERSION = 4  # of the tables; a file with another one is built anew
CHECKPOINT = 1 << 13  # pages in the journal before a commit has to fold them in
LARGEST = (1 << 63) - 1  # number that fits
PATIENCE = 10.0  # seconds to wait for another writer

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Value]

TABLES = """
CREATE TABLE bags (
  bag TEXT PRIMARY KEY, kind TEXT, job TEXT, run TEXT, source TEXT, path TEXT, at TEXT,
  files INTEGER, size INTEGER, tagmanifests TEXT, info TEXT) WITHOUT ROWID;
CREATE TABLE captures (
  bag TEXT PRIMARY KEY, job TEXT, run TEXT, source TEXT, url TEXT, title TEXT,
  publisher TEXT, author TEXT, published TEXT, lang TEXT, role TEXT, started TEXT,
  ended TEXT, verdict TEXT, reasons TEXT, detail TEXT, change TEXT, engine TEXT,
  final_url TEXT, page_title TEXT, payload TEXT, record TEXT, record_url TEXT
) WITHOUT ROWID;
CREATE INDEX captures_by_source ON captures (job, source, started);
CREATE INDEX captures_by_run ON captures (run, source);
CREATE TABLE exchanges (
  bag TEXT, n INTEGER, url TEXT, key TEXT, purpose TEXT, started TEXT, status INTEGER,
  failure TEXT, media_type TEXT, payload TEXT, record TEXT, offset INTEGER,
  length INTEGER);
CREATE INDEX exchanges_by_key ON exchanges (key); -- none by bag: bags rarely go
CREATE TABLE quotes (
  bag TEXT, n INTEGER, text TEXT, match TEXT, required INTEGER, found INTEGER,
  score REAL, exact TEXT, record TEXT, url TEXT, PRIMARY KEY (bag, n)) WITHOUT ROWID;
CREATE TABLE artefacts (
  bag TEXT, n INTEGER, path TEXT, size INTEGER, digests TEXT, media_type TEXT,
  derived_from TEXT, PRIMARY KEY (bag, n)) WITHOUT ROWID;
CREATE TABLE runs (
  bag TEXT PRIMARY KEY, run TEXT, job TEXT, started TEXT, ended TEXT, exit INTEGER,
  counts TEXT) WITHOUT ROWID;
CREATE TABLE outcomes (
  run_bag TEXT, source TEXT, run TEXT, job TEXT, url TEXT, verdict TEXT, reasons TEXT,
  change TEXT, bag TEXT, at TEXT, PRIMARY KEY (run_bag, source)) WITHOUT ROWID;
CREATE INDEX outcomes_by_source ON outcomes (job, source, at);
CREATE TABLE acts (
  n INTEGER PRIMARY KEY, act TEXT, at TEXT, bag TEXT, job TEXT, run TEXT, path TEXT,
  tagmanifests TEXT, outcome TEXT, software TEXT, detail TEXT);
CREATE INDEX acts_by_bag ON acts (bag);
CREATE TABLE checks ( -- what audits found, as their records tell
  bag TEXT, line INTEGER, target TEXT, at TEXT, ok INTEGER,
  PRIMARY KEY (bag, line, target)) WITHOUT ROWID;
CREATE TABLE receipts (
  nonce TEXT, bag TEXT, n INTEGER, job TEXT, target TEXT, kind TEXT, location TEXT,
  at TEXT, tagmanifests TEXT, files INTEGER, size INTEGER, verified INTEGER,
  transforms INTEGER, path TEXT, PRIMARY KEY (nonce, bag)) WITHOUT ROWID;
CREATE INDEX receipts_by_bag ON receipts (bag);
CREATE VIRTUAL TABLE words USING fts5 (
  bag UNINDEXED, title, url, text, tokenize = "unicode61 remove_diacritics 2");
-- What came from elsewhere is held and found, and is no capture of this archive's.
CREATE VIEW received AS
  SELECT DISTINCT bag FROM acts WHERE bag != '' AND (
    act = 'receive' AND outcome = 'success' OR act = 'accession' AND run = '');
CREATE VIEW own AS
  SELECT * FROM captures WHERE NOT EXISTS (
    SELECT 1 FROM received WHERE received.bag = captures.bag);
-- Every visit: those that brought a bag, and those that stand in a run's bag alone.
CREATE VIEW visits AS
  SELECT job, run, source, url, title, verdict, reasons, change, bag, started AS at,
    payload FROM own
  UNION ALL
  SELECT job, run, source, url, '', verdict, reasons, change, bag, at, ''
    FROM outcomes WHERE verdict != 'skipped' AND NOT EXISTS (
      SELECT 1 FROM captures
      WHERE captures.run = outcomes.run AND captures.source = outcomes.source)
    AND NOT EXISTS (SELECT 1 FROM received WHERE received.bag = outcomes.run_bag);
CREATE VIEW sources AS
  SELECT DISTINCT job, source FROM own
  UNION SELECT DISTINCT job, source FROM outcomes WHERE NOT EXISTS (
    SELECT 1 FROM received WHERE received.bag = outcomes.run_bag);
-- A run that was cut short has bags and no bag of its own.
CREATE VIEW all_runs AS
  SELECT run, job, bag, started, ended, exit, counts FROM runs
    WHERE NOT EXISTS (SELECT 1 FROM received WHERE received.bag = runs.bag)
  UNION ALL
  SELECT run, job, '', MIN(started), '', NULL, '{}' FROM own
    WHERE run != '' AND run NOT IN (SELECT run FROM runs) GROUP BY run, job;
"""
TROUBLE = frozenset(  # the file system's, not the file's
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class DatabaseError(StorageError):
    """The catalogue is damaged or of another version; it can be built again."""

    code = "catalogue"


class Database:
    """An open file of rows. Made by ``Database.open`` or ``Database.reading``."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path, *, is_scratch: bool = False) -> "Database":
        """Open a file, made with empty tables where there is none.

        A scratch file is for one process alone, which throws it away if it fails.
        Raises DatabaseError where the file is damaged or has other tables.
        """
        with asking(path):
            connection = sqlite3.connect(
                path, timeout=PATIENCE, isolation_level=None, cached_statements=256
            )
            try:
                _prepare(path, connection, is_scratch=is_scratch)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    @classmethod
    def reading(cls, path: Path) -> "Database":
        """Open a file to be read alone; on a disk that can't be written as well.

        Raises DatabaseError where the file is absent, damaged or has other tables.
        """
        if not path.exists():
            raise _damaged(path, "it is not there")
        with asking(path):
            try:
                return cls(path, _readable(path, "mode=ro"))
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in TROUBLE:
                    raise
            # WAL files can't be made beside it, so that nobody can be writing either.
            journal = path.with_name(f"{path.name}-wal")
            if journal.exists() and journal.stat().st_size:
                raise _damaged(path, "its journal cannot be read on a read-only disk")
            return cls(path, _readable(path, "mode=ro&immutable=1"))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Make what is done within appear at once, or not at all."""
        with asking(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise
            self._connection.execute("COMMIT")

    def ask(self, question: str, values: Mapping[str, Value] = {}) -> list[sqlite3.Row]:
        """Return the rows that answer a question with ``:named`` values."""
        with asking(self.path):
            return self._connection.execute(question, values).fetchall()

    def each(self, question: str) -> Iterator[sqlite3.Row]:
        """Yield the rows that answer a question, one by one."""
        with asking(self.path):
            yield from self._connection.execute(question)

    def put(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of one shape to a table, in place of rows with the same key."""
        if rows:
            columns, holes = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
            order = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({holes})"  # noqa: S608 - our own names
            values = (tuple(row.values()) for row in rows)
            with asking(self.path):
                self._connection.executemany(order, values)

    def drop(self, table: str, column: str, value: Value) -> None:
        """Take out the rows with a value in a column."""
        order = f"DELETE FROM {table} WHERE {column} = ?"  # noqa: S608 - our own names
        with asking(self.path):
            self._connection.execute(order, (value,))


@contextmanager
def asking(path: Path) -> Iterator[None]:
    """Tell what SQLite, or reading what it gave, runs into."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a mistake of ours
    except sqlite3.Error as error:
        raise _told(path, error) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _told(path: Path, error: sqlite3.Error) -> StorageError | LockedError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in TROUBLE:
        return StorageError(f"{path}: {error}; the bags are as they were")
    if code in BUSY:
        return LockedError(f"{path}: another process is writing to it; try again")
    return _damaged(path, str(error))


def _damaged(path: Path, reason: str) -> DatabaseError:
    return DatabaseError(
        f"{path}: the catalogue cannot be used: {reason}. Nothing is lost: it is "
        "built again from the bags with `muniment catalogue rebuild`"
    )


def _readable(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
    )
    try:
        connection.row_factory = sqlite3.Row
        _judge_version(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _judge_version(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        reason = f"it has tables of version {version}, not {VERSION}"
        raise _damaged(path, reason)


def _prepare(path: Path, connection: sqlite3.Connection, *, is_scratch: bool) -> None:
    connection.row_factory = sqlite3.Row
    # Nothing here is worth waiting for the disk: every row can be made again.
    connection.execute(f"PRAGMA journal_mode = {'OFF' if is_scratch else 'WAL'}")
    connection.execute(f"PRAGMA synchronous = {'OFF' if is_scratch else 'NORMAL'}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
        )
    else:
        _judge_version(path, connection)
