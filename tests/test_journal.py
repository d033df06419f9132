"""The journal of a run: written ahead, read up to its last whole line."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline.disk import Disk
from pipeline.errors import FixityError, StorageError
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.journal import Begun, Journal, Step, journals
from pipeline.model import Digest

AT = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
SOME = Digest("sha256", "00" * 32)
BEGUN = Begun(
    run="case_run_x",
    job="case",
    started=AT,
    manifest=SOME,
    plan=SOME,
    software="Muniment 0",
    order={"only": [], "strict": False},
    salts=(("page", "07"), ("متن", "08")),
    start={"files": []},
)
PAGE = Step(
    source="page",
    staged="case_page_x",
    digests=(SOME,),
    entries=(Entry(act=Act.SEAL, at=AT, bag="case_page_x", path="p/seal.p7s"),),
    told={"kept": "متن"},
)
VISIT = Step(source="متن", staged="case_y", file="data/a.warc.gz", digests=(SOME,))


class Failing(Disk):
    """Refuses one write, or takes half of it."""

    def __init__(self, *, takes_half: bool) -> None:
        self.takes_half = takes_half
        self.is_well = False

    def write(self, descriptor: int, data: bytes) -> int:
        if self.is_well:
            return super().write(descriptor, data)
        if self.takes_half:
            return super().write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.begin(tmp_path, BEGUN)


def test_a_journal_reads_as_it_was_written(journal: Journal) -> None:
    journal.add(PAGE)
    journal.add(VISIT)
    journal.resume(AT)
    again = Journal.read(journal.path)
    assert again == journal
    assert len({again, journal}) == 1
    assert again.begun == BEGUN
    assert again.steps == (PAGE, VISIT)
    assert again.resumed == (AT,)


def test_the_last_word_on_a_source_counts(journal: Journal) -> None:
    journal.add(PAGE)
    journal.add(replace(PAGE, staged="another"))
    (step,) = Journal.read(journal.path).steps
    assert step.staged == "another"


ENDS = {
    "half a line": b'{"source":"x","sta',
    "zeros": bytes(40),
    "a line of zeros": bytes(40) + b"\n",
    "another object": b'{"n":1}\n',
    "no object": b"[1]\n",
    "digests of nothing": (
        b'{"source":"x","staged":"y","file":"",'
        b'"digests":["q"],"entries":[],"told":null}\n'
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_is_torn_is_not_read_and_is_written_over(
    journal: Journal, end: bytes
) -> None:
    journal.add(PAGE)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + end)
    again = Journal.read(journal.path)
    assert again.steps == (PAGE,)
    again.add(VISIT)
    assert journal.path.read_bytes().startswith(whole)
    assert Journal.read(journal.path).steps == (PAGE, VISIT)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]\n", b'{"format":"another/1"}\n', b'{"format":1,"run":2}\n']
)
def test_a_journal_without_its_first_line_tells_of_no_run(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(data)
    with pytest.raises(FixityError, match=r"x\.journal: it tells of no run"):
        Journal.read(path)
    assert list(journals(tmp_path)) == []


def test_links_and_other_files_are_no_journals(journal: Journal) -> None:
    folder = journal.path.parent
    (folder / "link.journal").symlink_to(journal.path)
    (folder / "note.txt").write_text("a note")
    assert list(journals(folder)) == [journal]


@pytest.mark.parametrize("takes_half", [True, False])
def test_a_line_that_is_not_taken_is_told_and_the_next_stands_in_its_place(
    journal: Journal, *, takes_half: bool
) -> None:
    disk = Failing(takes_half=takes_half)
    again = Journal.read(journal.path, disk=disk)
    with pytest.raises(StorageError, match=r"case_run_x\.journal"):
        again.add(PAGE)
    assert again.steps == ()
    disk.is_well = True
    again.add(VISIT)
    assert Journal.read(journal.path).steps == (VISIT,)


def test_a_journal_is_never_begun_twice(journal: Journal) -> None:
    with pytest.raises(StorageError, match="File exists"):
        Journal.begin(journal.path.parent, BEGUN)
