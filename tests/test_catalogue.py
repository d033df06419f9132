"""The catalogue: what it is asked, and that it can be built again to the same."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import samples
import shelf
from msgspec.structs import replace

from pipeline.errors import FixityError, LockedError, StorageError, UsageError
from pipeline.holdings import database
from pipeline.holdings.cards import Sort
from pipeline.holdings.catalogue import Catalogue, rebuild
from pipeline.holdings.custody import Act, Entry, Logged
from pipeline.holdings.database import DatabaseError
from pipeline.holdings.description import Kind
from pipeline.model import Change, Digest, RecordRef, Verdict

SOURCE, OTHER = "report", "letter"
FIRST = shelf.accession()
SECOND = shelf.accession(
    week=2,
    verdict=Verdict.REFUSED,
    reasons=("http-404",),
    content=None,
    change=Change.GONE,
)


class Archive:
    """A folder of bags and their catalogue."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = shelf.opened(root)
        self.path = root / ".muniment/catalogue.sqlite"

    def place(self, name: str, job: str = "toll") -> Path:
        return self.root / job / "2026" / name

    def capture(self, told, text: str = shelf.TEXT) -> Path:
        path = self.place(told.bag, told.run.job)
        shelf.pack(path, told, text=text)
        assert self.catalogue.add(path) == ()
        return path

    def run(self, week: int, *outcomes) -> Path:
        path = self.place(shelf.run_id(week))
        shelf.pack_run(path, week, outcomes)
        assert self.catalogue.add(path) == ()
        return path

    def bags(self) -> list[Path]:
        return sorted(self.root.glob("*/2026/*"))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path / "archive")
    yield made
    made.catalogue.close()


@pytest.fixture
def weeks(archive: Archive) -> Archive:
    """Captured, then unchanged, then gone; then unchanged in another run's words."""
    archive.capture(FIRST)
    archive.run(0, shelf.outcome(SOURCE, "captured", "first", FIRST.bag))
    archive.run(1, shelf.outcome(SOURCE, "unchanged", "unchanged"))
    return archive


# --------------------------------------------------------------------------- previous


def test_a_source_never_captured_has_nothing_to_be_compared_with(
    archive: Archive,
) -> None:
    assert archive.catalogue.previous("toll", SOURCE) is None
    assert archive.catalogue.last_outcome("toll", SOURCE) is None


def test_the_last_capture_is_told_with_all_that_the_next_visit_needs(
    weeks: Archive,
) -> None:
    told = weeks.catalogue.previous("toll", SOURCE)
    assert told is not None
    assert told.bag == FIRST.bag
    assert told.verdict is Verdict.CAPTURED
    assert told.captured_at == FIRST.capture.started
    assert told.payload == FIRST.capture.payload
    assert (told.record, told.url) == (samples.record(6).id, samples.FINAL_URL)
    assert told.tagmanifest is not None
    assert told.tagmanifest.algorithm == "sha512"


def test_an_unchanged_visit_is_the_last_outcome_and_no_base_for_comparison(
    weeks: Archive,
) -> None:
    last = weeks.catalogue.last_outcome("toll", SOURCE)
    assert last is not None
    assert (last.verdict, last.change, last.bag) == (
        Verdict.UNCHANGED,
        Change.UNCHANGED,
        "",
    )
    assert last.run == shelf.run_id(1)
    previous = weeks.catalogue.previous("toll", SOURCE)
    assert previous is not None
    assert previous.bag == FIRST.bag


def test_a_later_refusal_is_what_the_next_visit_is_compared_with(
    weeks: Archive,
) -> None:
    weeks.capture(SECOND)
    previous = weeks.catalogue.previous("toll", SOURCE)
    last = weeks.catalogue.last_outcome("toll", SOURCE)
    assert previous is not None
    assert last is not None
    assert previous.verdict is last.verdict is Verdict.REFUSED
    assert previous.reasons == last.reasons == ("http-404",)
    assert previous.payload is None


def test_a_bag_kept_for_an_unchanged_visit_is_no_base_for_comparison(
    archive: Archive,
) -> None:
    archive.capture(FIRST)
    archive.capture(shelf.accession(week=1, verdict=Verdict.UNCHANGED))
    previous = archive.catalogue.previous("toll", SOURCE)
    assert previous is not None
    assert previous.bag == FIRST.bag


def test_jobs_and_sources_are_kept_apart(archive: Archive) -> None:
    archive.capture(FIRST)
    assert archive.catalogue.previous("toll", OTHER) is None
    assert archive.catalogue.previous("other", SOURCE) is None


def test_a_skipped_source_was_not_visited(weeks: Archive) -> None:
    weeks.run(2, shelf.outcome(SOURCE, "skipped", "unchanged"))
    last = weeks.catalogue.last_outcome("toll", SOURCE)
    assert last is not None
    assert last.verdict is Verdict.UNCHANGED


def test_the_main_record_is_the_one_whose_payload_the_capture_names(
    archive: Archive,
) -> None:
    named = samples.PAGE
    later = replace(named, payload=shelf.payload("b"), response=samples.record(8))
    told = shelf.accession()
    told = replace(told, capture=replace(told.capture, exchanges=(named, later)))
    archive.capture(told)
    previous = archive.catalogue.previous("toll", SOURCE)
    assert previous is not None
    assert previous.record == samples.record(6).id


def test_a_source_that_never_answered_has_no_record(archive: Archive) -> None:
    failed = replace(samples.PAGE, response=None, payload=None, failure="dns")
    archive.capture(
        shelf.accession(verdict=Verdict.FAILED, content=None, exchanges=(failed,))
    )
    previous = archive.catalogue.previous("toll", SOURCE)
    assert previous is not None
    assert (previous.record, previous.url) == ("", "")


# ---------------------------------------------------------------------------- listing


def test_the_history_of_a_source_tells_every_visit_in_order(weeks: Archive) -> None:
    weeks.capture(SECOND)
    visits = weeks.catalogue.visits(job="toll", source=SOURCE)
    assert [visit.change for visit in visits] == [
        Change.FIRST,
        Change.UNCHANGED,
        Change.GONE,
    ]
    captures = weeks.catalogue.captures(job="toll", source=SOURCE)
    assert [capture.bag for capture in captures] == [FIRST.bag, SECOND.bag]


def test_a_visit_is_told_once_although_bag_and_run_both_tell_it(
    weeks: Archive,
) -> None:
    assert len(weeks.catalogue.visits()) == 2


def test_a_visit_whose_bag_is_gone_is_still_told_by_its_run(weeks: Archive) -> None:
    weeks.catalogue.remove(FIRST.bag)
    (first, _) = weeks.catalogue.visits(source=SOURCE)
    assert (first.verdict, first.bag) == (Verdict.CAPTURED, FIRST.bag)
    assert weeks.catalogue.captures() == ()


def test_bags_are_listed_by_time_with_their_places(weeks: Archive) -> None:
    held = weeks.catalogue.bags()
    assert [one.kind for one in held] == [Kind.RUN, Kind.SOURCE, Kind.RUN]
    assert [one.bag.path for one in held] == [
        weeks.place(shelf.run_id(0)),
        weeks.place(FIRST.bag),
        weeks.place(shelf.run_id(1)),
    ]
    assert ("External-Identifier", FIRST.bag) in held[1].info
    assert held[1].bag.files == 2
    assert {one.algorithm for one in held[1].bag.tagmanifests} == {"sha256", "sha512"}


def test_bags_are_told_by_job_run_and_source(weeks: Archive) -> None:
    ask = weeks.catalogue.bags
    assert len(ask(job="toll")) == 3
    assert len(ask(job="other")) == 0
    assert len(ask(run=shelf.run_id(0))) == 2
    assert [one.bag.id for one in ask(source=SOURCE)] == [FIRST.bag]


def test_runs_are_told_and_so_is_one_that_was_cut_short(weeks: Archive) -> None:
    weeks.capture(SECOND)
    whole, _, cut = weeks.catalogue.runs(job="toll")
    assert (whole.id, whole.bag, whole.exit) == (shelf.run_id(0), shelf.run_id(0), 6)
    assert whole.counts == (("captured", 1),)
    assert (cut.id, cut.bag, cut.ended, cut.exit) == (shelf.run_id(2), "", None, None)
    assert cut.started == SECOND.capture.started
    assert weeks.catalogue.runs(job="other") == ()


def test_what_was_done_to_a_bag_is_told_from_the_log(archive: Archive) -> None:
    entry = Entry(
        act=Act.ACCESSION,
        at=samples.NOON,
        bag="b",
        path="j/2026/b",
        tagmanifests=(Digest("sha256", "ab" * 32),),
        detail="d",
    )
    check = replace(entry, act=Act.FIXITY_CHECK, outcome="success")
    archive.catalogue.note(
        (
            Logged(n=0, line=b"", entry=entry),
            Logged(n=1, line=b"", entry=replace(entry, bag="c")),
            Logged(n=2, line=b"", entry=check),
        )
    )
    assert archive.catalogue.acts("b") == (entry, check)
    assert archive.catalogue.noted() == 3


# -------------------------------------------------------------------------- addresses

SPELLINGS = {
    "as it is": samples.FINAL_URL,
    "another case": "HTTPS://News.Example/2019/report",
    "its usual port": "https://news.example:443/2019/report",
    "without TLS": "http://news.example/2019/report",
    "with a fragment": f"{samples.FINAL_URL}#toll",
}


@pytest.mark.parametrize("url", SPELLINGS.values(), ids=SPELLINGS)
def test_a_response_is_found_by_any_spelling_of_its_address(
    archive: Archive, url: str
) -> None:
    path = archive.capture(FIRST)
    (kept,) = archive.catalogue.responses(url)
    assert kept.bag == path
    assert kept.record == samples.record(6)
    assert (kept.status, kept.verdict) == (200, Verdict.CAPTURED)


def test_an_address_that_did_not_answer_has_no_response(archive: Archive) -> None:
    archive.capture(FIRST)
    assert archive.catalogue.responses(samples.PICTURE.url) == ()
    assert archive.catalogue.responses("https://news.example:99999/") == ()


# ----------------------------------------------------------------------------- search


@pytest.mark.parametrize(
    "words",
    [
        "KILLED people",
        "1,500",
        '"told" OR AND',
        "The report",
        "example/2019",
    ],
)
def test_words_are_found_in_text_title_and_address(
    archive: Archive, words: str
) -> None:
    archive.capture(FIRST, text='About 1,500 people were killed; "told OR and".')
    assert [hit.bag for hit in archive.catalogue.search(words)] == [FIRST.bag]


def test_a_hit_shows_the_passage(archive: Archive) -> None:
    archive.capture(FIRST, text="before " * 50 + "the word" + " after" * 50)
    (hit,) = archive.catalogue.search("word")
    assert "the word after" in hit.passage
    assert (hit.job, hit.source, hit.title) == ("toll", SOURCE, samples.SOURCE.title)


def test_persian_words_are_found(archive: Archive) -> None:
    archive.capture(FIRST, text="زندانیان سیاسی")
    assert len(archive.catalogue.search("سیاسی")) == 1


@pytest.mark.parametrize("words", ["", "   ", "nowhere", '"', "*"])
def test_words_that_stand_nowhere_are_not_found(archive: Archive, words: str) -> None:
    archive.capture(FIRST)
    assert archive.catalogue.search(words) == ()


# ------------------------------------------------------------------------------- find


def test_names_of_all_sorts_are_found(weeks: Archive) -> None:
    found = {
        name: weeks.catalogue.find(name)
        for name in (FIRST.bag, shelf.run_id(0), "toll/report", "report")
    }
    assert [one.sort for one in found.values()] == [
        Sort.BAG,
        Sort.RUN,
        Sort.SOURCE,
        Sort.SOURCE,
    ]
    assert found["report"].id == "toll/report"
    assert [one.bag.id for one in found["report"].bags] == [FIRST.bag]
    assert [one.bag.id for one in found[shelf.run_id(0)].bags] == [
        shelf.run_id(0),
        FIRST.bag,
    ]


def test_a_source_that_never_had_a_bag_is_found(archive: Archive) -> None:
    archive.run(0, shelf.outcome("quiet", "skipped", "unchanged"))
    assert archive.catalogue.find("quiet").bags == ()


def test_a_run_cut_short_is_found(archive: Archive) -> None:
    archive.capture(FIRST)
    assert archive.catalogue.find(shelf.run_id(0)).sort is Sort.RUN


def test_a_name_that_two_jobs_use_lists_them(archive: Archive) -> None:
    archive.capture(FIRST)
    archive.capture(shelf.accession(job="other"))
    with pytest.raises(UsageError, match="any of other/report, toll/report"):
        archive.catalogue.find("report")
    assert archive.catalogue.find("other/report").id == "other/report"


def test_a_name_not_found_is_answered_with_one_like_it(archive: Archive) -> None:
    archive.capture(FIRST)
    with pytest.raises(UsageError, match="did you mean report"):
        archive.catalogue.find("reprot")
    with pytest.raises(UsageError, match="muniment list"):
        archive.catalogue.find("nothing of the kind")


# -------------------------------------------------------------------- again, and anew


def test_adding_a_bag_once_more_changes_nothing(weeks: Archive) -> None:
    before = shelf.content(weeks.path)
    for bag in weeks.bags():
        weeks.catalogue.add(bag)
    assert shelf.content(weeks.path) == before


def test_a_removed_bag_leaves_nothing_behind(weeks: Archive) -> None:
    for bag in weeks.bags():
        weeks.catalogue.remove(bag.name)
    assert all(not rows for rows in shelf.content(weeks.path).values())


def test_removing_what_is_not_there_is_no_error(archive: Archive) -> None:
    archive.catalogue.remove("nothing")


def lines() -> list[Logged]:
    entry = Entry(act=Act.ACCESSION, at=samples.NOON, bag=FIRST.bag)
    return [Logged(n=n, line=b"", entry=entry) for n in range(3)]


def test_a_catalogue_built_again_holds_the_same(weeks: Archive) -> None:
    weeks.capture(SECOND)
    weeks.catalogue.note(lines())
    before = shelf.content(weeks.path)
    weeks.catalogue.close()
    weeks.path.unlink()
    assert rebuild(weeks.path, root=weeks.root, bags=weeks.bags(), log=lines()) == ()
    assert shelf.content(weeks.path) == before
    assert [path.name for path in weeks.path.parent.iterdir()] == [weeks.path.name]


def test_the_order_of_the_bags_makes_no_difference(weeks: Archive) -> None:
    weeks.catalogue.close()
    before = shelf.content(weeks.path)
    bags = reversed(weeks.bags())
    rebuild(weeks.path, root=weeks.root, bags=bags, log=())
    assert shelf.content(weeks.path) == before


def test_an_unchanged_visit_survives_a_rebuild(weeks: Archive) -> None:
    weeks.catalogue.close()
    rebuild(weeks.path, root=weeks.root, bags=weeks.bags(), log=())
    weeks.catalogue = Catalogue.open(weeks.path, root=weeks.root)
    last = weeks.catalogue.last_outcome("toll", SOURCE)
    assert last is not None
    assert last.verdict is Verdict.UNCHANGED


def test_a_moved_archive_keeps_its_catalogue(weeks: Archive, tmp_path: Path) -> None:
    weeks.catalogue.close()
    there = weeks.root.rename(tmp_path / "elsewhere")
    catalogue = shelf.opened(there)
    assert all(one.bag.path.is_dir() for one in catalogue.bags())
    catalogue.close()


def test_one_broken_bag_keeps_no_other_out_of_a_rebuild(weeks: Archive) -> None:
    weeks.catalogue.close()
    broken = weeks.place("broken")
    broken.mkdir()
    (remark,) = rebuild(
        weeks.path, root=weeks.root, bags=[broken, *weeks.bags()], log=()
    )[:1]
    assert "broken" in remark
    weeks.catalogue = Catalogue.open(weeks.path, root=weeks.root)
    assert len(weeks.catalogue.bags()) == 3


def test_adding_what_is_no_bag_is_a_fixity_error(archive: Archive) -> None:
    with pytest.raises(FixityError):
        archive.catalogue.add(archive.place("nothing"))


def test_a_rebuild_that_fails_leaves_the_old_catalogue(weeks: Archive) -> None:
    def torn() -> Iterator[Logged]:
        yield lines()[0]
        raise FixityError("line 1 is torn")

    before = shelf.content(weeks.path)
    with pytest.raises(FixityError):
        rebuild(weeks.path, root=weeks.root, bags=weeks.bags(), log=torn())
    assert shelf.content(weeks.path) == before
    assert not list(weeks.path.parent.glob("*.new"))


def test_a_rebuild_without_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        rebuild(tmp_path / "no/catalogue.sqlite", root=tmp_path, bags=(), log=())


# ---------------------------------------------------------------------------- damaged

DAMAGES = {
    "text in its place": lambda data: b"not a database at all, " * 100,
    "cut in half": lambda data: data[: len(data) // 2],
    "its head overwritten": lambda data: b"\0" * 64 + data[64:],
    "zeros behind its head": lambda data: data[:100] + b"\0" * (len(data) - 100),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_catalogue_is_said_in_a_sentence(weeks: Archive, damage) -> None:
    weeks.catalogue.close()
    weeks.path.write_bytes(damage(weeks.path.read_bytes()))
    with pytest.raises(DatabaseError, match="muniment catalogue rebuild"):
        ask_everything(Catalogue.open(weeks.path, root=weeks.root))


def ask_everything(catalogue: Catalogue) -> None:
    try:
        catalogue.previous("toll", SOURCE)
        catalogue.visits()
        catalogue.bags()
        catalogue.runs()
        catalogue.search("people")
        catalogue.responses(samples.FINAL_URL)
        catalogue.acts("b")
        catalogue.noted()
    finally:
        catalogue.close()


def test_a_catalogue_of_another_version_is_said(weeks: Archive) -> None:
    weeks.catalogue.close()
    with sqlite3.connect(weeks.path) as file:
        file.execute("PRAGMA user_version = 999")
    file.close()
    for way in (Catalogue.open, Catalogue.reading):
        with pytest.raises(DatabaseError, match=r"version 999.*catalogue rebuild"):
            way(weeks.path, root=weeks.root)


def test_a_reader_changes_nothing(weeks: Archive) -> None:
    weeks.catalogue.close()
    before = weeks.path.read_bytes()
    reader = Catalogue.reading(weeks.path, root=weeks.root)
    with pytest.raises(StorageError, match="readonly"):
        reader.remove(FIRST.bag)
    assert len(reader.bags()) == 3
    reader.close()
    assert weeks.path.read_bytes() == before


def test_a_reader_sees_what_a_writer_added_and_keeps_open(weeks: Archive) -> None:
    reader = Catalogue.reading(weeks.path, root=weeks.root)
    weeks.run(2, shelf.outcome(SOURCE, "unchanged", "unchanged"))
    assert len(reader.bags()) == len(weeks.catalogue.bags())
    reader.close()


READ_ONLY = sqlite3.OperationalError("unable to open database file")
READ_ONLY.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
BUSY = sqlite3.OperationalError("database is locked")
BUSY.sqlite_errorcode = sqlite3.SQLITE_BUSY


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch):
    """Let SQLite refuse to open a file in the plain way."""

    def refuse(error: sqlite3.Error) -> None:
        real = sqlite3.connect

        def connect(name, **options):
            if "immutable" in str(name):
                return real(name, **options)
            raise error

        monkeypatch.setattr(database.sqlite3, "connect", connect)

    return refuse


def test_a_reader_manages_where_no_journal_can_be_made(
    weeks: Archive, refusing
) -> None:
    weeks.catalogue.close()
    refusing(READ_ONLY)
    reader = Catalogue.reading(weeks.path, root=weeks.root)
    ask_everything(reader)


def test_a_reader_does_not_pass_over_a_journal(weeks: Archive, refusing) -> None:
    weeks.catalogue.close()
    weeks.path.with_name("catalogue.sqlite-wal").write_bytes(b"rows")
    refusing(READ_ONLY)
    with pytest.raises(DatabaseError, match=r"journal.*catalogue rebuild"):
        Catalogue.reading(weeks.path, root=weeks.root)


def test_a_reader_does_not_pass_over_a_writer(weeks: Archive, refusing) -> None:
    refusing(BUSY)
    with pytest.raises(LockedError):
        Catalogue.reading(weeks.path, root=weeks.root)


def test_a_row_that_is_not_ours_is_said(weeks: Archive) -> None:
    with sqlite3.connect(weeks.path) as file:
        file.execute("UPDATE captures SET verdict = 'splendid'")
    file.close()
    with pytest.raises(DatabaseError, match="splendid"):
        weeks.catalogue.visits()


def test_a_table_that_is_gone_is_said(weeks: Archive) -> None:
    with sqlite3.connect(weeks.path) as file:
        file.execute("DROP TABLE exchanges")
    file.close()
    with pytest.raises(DatabaseError):
        weeks.catalogue.responses(samples.FINAL_URL)


def test_a_catalogue_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as told:
        Catalogue.open(tmp_path / "no/catalogue.sqlite", root=tmp_path)
    assert told.type is StorageError


def test_another_writer_is_waited_for_and_then_named_as_such(
    weeks: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.0)
    hasty = Catalogue.open(weeks.path, root=weeks.root)
    other = sqlite3.connect(weeks.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockedError, match="another process is writing"):
        hasty.remove(FIRST.bag)
    other.close()
    hasty.close()


def test_what_fails_halfway_is_not_there_at_all(weeks: Archive) -> None:
    before = shelf.content(weeks.path)

    def half() -> Iterator[Logged]:
        yield lines()[0]
        raise FixityError("torn")

    with pytest.raises(FixityError):
        weeks.catalogue.note(half())
    with pytest.raises(RuntimeError), weeks.catalogue._database.changing():
        weeks.catalogue._database.drop("bags", "bag", FIRST.bag)
        raise RuntimeError
    assert shelf.content(weeks.path) == before


def test_a_closed_catalogue_is_a_mistake_of_ours_and_not_damage(
    archive: Archive,
) -> None:
    archive.catalogue.close()
    with pytest.raises(sqlite3.ProgrammingError):
        archive.catalogue.noted()


def test_other_processes_read_while_one_writes(weeks: Archive) -> None:
    reader = Catalogue.open(weeks.path, root=weeks.root)
    with weeks.catalogue._database.changing():
        weeks.catalogue._database.drop("bags", "bag", FIRST.bag)
        assert len(reader.bags()) == 3
    assert len(reader.bags()) == 2
    reader.close()


def test_a_response_tells_where_its_record_stands(archive: Archive) -> None:
    archive.capture(FIRST)
    (kept,) = archive.catalogue.responses(samples.ROBOTS.url)
    assert kept.record == RecordRef(id=samples.record(2).id, offset=2000, length=900)
