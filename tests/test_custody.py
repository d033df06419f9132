"""The custody log: canonical lines, no gaps, and a torn end that is set aside."""

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.disk import Disk
from pipeline.errors import FixityError, StorageError
from pipeline.holdings.custody import (
    FIRST_LOOK,
    LIMIT,
    Act,
    Entry,
    Log,
    canonical,
    line_of,
    parse_line,
)
from pipeline.holdings.merkle import EMPTY, Head, Tree, leaf_of
from pipeline.model import Digest

AT = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
ENTRY = Entry(
    act=Act.ACCESSION,
    at=AT,
    bag="iran-1988_reuters-2019_20260924t031700z_1a2b3c4d",
    job="iran-1988",
    run="iran-1988_run_20260924t031700z_5e6f7a8b",
    path="iran-1988/2026/iran-1988_reuters-2019_20260924t031700z_1a2b3c4d",
    tagmanifests=(Digest("sha256", "ab" * 32), Digest("sha512", "cd" * 64)),
    software="Muniment 0.1.0",
)
SHORT = Entry(act=Act.FIXITY_CHECK, at=AT, bag="b", outcome="success")


class Tracing(Disk):
    """Tells the order in which things were made durable."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, str]] = []

    def write(self, descriptor: int, data: bytes) -> int:
        self.acts.append(("write", name_of(descriptor)))
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.acts.append(("sync", name_of(descriptor)))
        super().sync(descriptor)


class Full(Disk):
    """Takes so many bytes of a line and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, descriptor: int, data: bytes) -> int:
        return super().write(descriptor, data[: self.room])


class Careless(Disk):
    """Does not wait for the disk: for tests that try every byte."""

    def sync(self, descriptor: int) -> None:
        pass


class Failing(Disk):
    """Fails to sync."""

    def sync(self, descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def name_of(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


def log_of(folder: Path, *entries: Entry, disk: Disk | None = None) -> Log:
    log = Log(folder / "custody.jsonl", disk=disk or Disk())
    for entry in entries:
        log.append(entry)
    return log


# ------------------------------------------------------------------------------ lines


def test_a_line_is_canonical_json_without_its_empty_fields() -> None:
    assert line_of(7, SHORT) == (
        b'{"act":"fixity-check","at":"2026-09-24T03:17:00.000000Z","bag":"b",'
        b'"n":7,"outcome":"success"}\n'
    )


def test_a_line_is_ascii_whatever_it_tells() -> None:
    line = line_of(0, Entry(act=Act.ACCESS, at=AT, detail="مدارک\n\udcff"))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert parse_line(line).entry.detail == "مدارک\n\udcff"


words = st.text(max_size=20)
entries = st.builds(
    Entry,
    act=st.sampled_from(Act),
    at=st.datetimes(AT.replace(year=1970, tzinfo=None), timezones=st.just(UTC)),
    bag=words,
    job=words,
    run=words,
    path=words,
    outcome=words,
    software=words,
    detail=words,
    tagmanifests=st.lists(
        st.sampled_from([Digest("sha256", "00" * 32), Digest("sha512", "11" * 64)]),
        unique=True,
    ).map(lambda some: tuple(sorted(some, key=str))),
)


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 10**9), entries)
def test_a_line_reads_back_as_what_was_written(n: int, entry: Entry) -> None:
    logged = parse_line(line_of(n, entry))
    assert (logged.n, logged.entry) == (n, entry)
    assert logged.line == line_of(n, entry)


def test_fields_of_a_later_version_stay_in_the_line() -> None:
    line = canonical(
        json.loads(line_of(0, SHORT)) | {"witness": "elsewhere", "count": 3}
    )
    assert parse_line(line).line == line


GOOD = line_of(0, ENTRY)
ODD_LINES = {
    "no line feed": GOOD[:-1],
    "not JSON": b"{\n",
    "not UTF-8": b'{"act":"\xff"}\n',
    "nested beyond reason": b"[" * 100_000 + b"\n",
    "not an object": b"[]\n",
    "spaces": GOOD.replace(b":", b": ", 1),
    "keys out of order": b'{"n":0,"act":"access","at":"2026-09-24T03:17:00Z"}\n',
    "a key twice": GOOD.replace(b'"n":0', b'"n":0,"n":0'),
    "an escape that was not needed": GOOD.replace(b"iran", b"\\u0069ran", 1),
    "no number": canonical({"act": "access", "at": "2026-09-24T03:17:00Z"}),
    "a number that is none": canonical({"act": "access", "at": "x", "n": True}),
    "an act nobody knows": canonical({"act": "theft", "at": "x", "n": 0}),
    "no moment": canonical({"act": "access", "n": 0}),
    "a moment without zone": canonical(
        {"act": "access", "at": "2026-09-24T03:17:00", "n": 0}
    ),
    "a bag that is no text": canonical(
        {"act": "access", "at": "2026-09-24T03:17:00Z", "bag": 1, "n": 0}
    ),
    "tag manifests that are no object": canonical(
        {"act": "access", "at": "2026-09-24T03:17:00Z", "n": 0, "tagmanifest": ["a"]}
    ),
    "a digest that is no hexadecimal": canonical(
        {
            "act": "access",
            "at": "2026-09-24T03:17:00Z",
            "n": 0,
            "tagmanifest": {"sha256": "xyz"},
        }
    ),
}


@pytest.mark.parametrize("line", ODD_LINES.values(), ids=ODD_LINES)
def test_an_odd_line_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_line(line)


# --------------------------------------------------------------------------- the file


def test_a_log_that_does_not_exist_has_no_lines(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    log.sync()
    assert list(log.read()) == []
    assert log.cut_torn_tail(tmp_path) is None


def test_lines_are_numbered_from_nought_whoever_opens_the_log(tmp_path: Path) -> None:
    numbers = [log_of(tmp_path).append(ENTRY) for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert [logged.n for logged in log_of(tmp_path).read()] == [0, 1, 2]


def test_lines_stand_in_the_file_as_they_were_made(tmp_path: Path) -> None:
    log = log_of(tmp_path, ENTRY, SHORT)
    assert log.path.read_bytes() == line_of(0, ENTRY) + line_of(1, SHORT)
    assert [logged.line for logged in log.read()] == [
        line_of(0, ENTRY),
        line_of(1, SHORT),
    ]


def test_long_lines_are_counted_as_any_other(tmp_path: Path) -> None:
    long = Entry(act=Act.QUARANTINE, at=AT, detail="x" * (5 * FIRST_LOOK))
    log = log_of(tmp_path, long, long, SHORT, long)
    assert log.append(SHORT) == 4
    assert len(list(log.read())) == 5


def test_a_line_is_synced_before_its_number_is_told(tmp_path: Path) -> None:
    disk = Tracing()
    log_of(tmp_path, SHORT, SHORT, disk=disk)
    line = [("write", "custody.jsonl"), ("sync", "custody.jsonl")]
    assert disk.acts == [*line, ("sync", tmp_path.name), *line]


def test_sync_brings_the_log_and_its_name_to_disk(tmp_path: Path) -> None:
    log_of(tmp_path, SHORT)
    disk = Tracing()
    log_of(tmp_path, disk=disk).sync()
    assert disk.acts == [("sync", "custody.jsonl"), ("sync", tmp_path.name)]


def lines(count: int) -> list[bytes]:
    return [line_of(n, SHORT) for n in range(count)]


def test_a_line_taken_out_is_named(tmp_path: Path) -> None:
    a, _, c = lines(3)
    (tmp_path / "custody.jsonl").write_bytes(a + c)
    with pytest.raises(FixityError, match="line 2 is numbered 2, expected 1"):
        list(log_of(tmp_path).read())


def test_lines_in_another_order_are_named(tmp_path: Path) -> None:
    a, b, c = lines(3)
    (tmp_path / "custody.jsonl").write_bytes(a + c + b)
    with pytest.raises(FixityError, match="line 2 is numbered 2, expected 1"):
        list(log_of(tmp_path).read())


def test_a_line_that_was_edited_is_named_and_those_before_it_are_read(
    tmp_path: Path,
) -> None:
    a, b, c = lines(3)
    (tmp_path / "custody.jsonl").write_bytes(a + b.replace(b":", b": ") + c)
    read = log_of(tmp_path).read()
    assert next(read).n == 0
    with pytest.raises(FixityError, match="line 2 is not as it was written"):
        next(read)


def test_nothing_is_written_behind_a_last_line_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "custody.jsonl").write_bytes(lines(1)[0] + b"something else\n")
    with pytest.raises(FixityError, match="last line is not as it was written"):
        log_of(tmp_path).append(SHORT)


def test_a_file_without_line_ends_is_no_torn_line(tmp_path: Path) -> None:
    (tmp_path / "custody.jsonl").write_bytes(b"x" * (5 * LIMIT))
    with pytest.raises(FixityError, match="no line ends"):
        log_of(tmp_path).cut_torn_tail(tmp_path)


def test_a_line_longer_than_any_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "custody.jsonl").write_bytes(b"x" * (2 * LIMIT) + b"\n")
    with pytest.raises(FixityError, match="line 1 "):
        list(log_of(tmp_path).read())


# ------------------------------------------------------------------------------- torn


@pytest.mark.parametrize("before", [0, 2], ids=["the only line", "the third line"])
def test_a_line_torn_at_any_byte_is_set_aside_and_the_log_goes_on(
    tmp_path: Path, before: int
) -> None:
    whole, last = b"".join(lines(before)), line_of(before, ENTRY)
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    for cut in range(1, len(last)):
        log = log_of(tmp_path, disk=Careless())
        log.path.unlink(missing_ok=True)
        log.path.write_bytes(whole + last[:cut])
        with pytest.raises(FixityError, match="torn"):
            log.append(SHORT)
        with pytest.raises(FixityError, match=f"line {before + 1} "):
            list(log.read())
        kept = log.cut_torn_tail(quarantine)
        assert kept is not None
        assert kept.read_bytes() == last[:cut]
        assert log.path.read_bytes() == whole
        assert log.append(ENTRY) == before
        assert len(list(log.read())) == before + 1


def test_a_log_that_ends_as_it_should_is_not_cut(tmp_path: Path) -> None:
    log = log_of(tmp_path, ENTRY, SHORT)
    before = log.path.read_bytes()
    assert log.cut_torn_tail(tmp_path) is None
    assert log.path.read_bytes() == before


ZEROS = {
    "after the last line": lambda line: line + b"\0" * 100,
    "in place of the end of the line": lambda line: line + line[:9] + b"\0" * 50,
    "in the middle of a line that has its end": lambda line: (
        line + line[:9] + b"\0" * 50 + line[-5:]
    ),
}


@pytest.mark.parametrize("torn", ZEROS.values(), ids=ZEROS)
def test_zeros_that_a_power_cut_leaves_are_a_torn_line(tmp_path: Path, torn) -> None:
    log = log_of(tmp_path, ENTRY)
    log.path.write_bytes(torn(line_of(0, ENTRY)))
    assert log.cut_torn_tail(tmp_path) is not None
    assert log.path.read_bytes() == line_of(0, ENTRY)


def test_what_an_earlier_attempt_set_aside_is_not_overwritten(tmp_path: Path) -> None:
    log = log_of(tmp_path, SHORT)
    kept = []
    for _ in range(2):
        with log.path.open("ab") as file:
            file.write(b'{"act"')
        kept.append(log.cut_torn_tail(tmp_path))
    assert len(set(kept)) == 2
    assert {path.read_bytes() for path in kept if path} == {b'{"act"'}


def test_the_torn_bytes_are_on_disk_before_they_are_cut(tmp_path: Path) -> None:
    log_of(tmp_path, SHORT)
    disk = Tracing()
    log = log_of(tmp_path, disk=disk)
    log.path.write_bytes(line_of(0, SHORT) + b"{")
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    kept = log.cut_torn_tail(quarantine)
    assert kept is not None
    assert [name for _, name in disk.acts] == [
        kept.name,
        "quarantine",
        "custody.jsonl",
    ]


# --------------------------------------------------------------------- when it cannot


def test_a_line_the_disk_took_half_of_is_not_acknowledged(tmp_path: Path) -> None:
    log = log_of(tmp_path, SHORT)
    with pytest.raises(StorageError, match=r"20 of \d+ bytes of line 2"):
        log_of(tmp_path, disk=Full(20)).append(ENTRY)
    assert log.cut_torn_tail(tmp_path) is not None
    assert log.append(ENTRY) == 1


def test_nothing_is_written_after_a_sync_that_failed(tmp_path: Path) -> None:
    log = log_of(tmp_path, disk=Failing())
    with pytest.raises(StorageError, match="Input/output error"):
        log.append(SHORT)
    before = log.path.read_bytes()
    with pytest.raises(StorageError, match="could not be written before"):
        log.append(SHORT)
    assert log.path.read_bytes() == before


def test_a_log_that_is_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "custody.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"custody\.jsonl"):
        log_of(tmp_path).append(SHORT)


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "custody.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"custody\.jsonl"):
        log_of(tmp_path).append(SHORT)


def test_a_folder_whose_name_is_not_ascii_holds_a_log(tmp_path: Path) -> None:
    folder = tmp_path / "مدارک é 資料"
    folder.mkdir()
    assert log_of(folder, ENTRY).append(SHORT) == 1


# ------------------------------------------------------------------------------- heads


def plain_head(log: Log) -> Head:
    return Tree(leaf_of(one.line) for one in log.read()).head(log.count())


def test_the_head_is_that_of_the_lines_as_they_stand(tmp_path) -> None:
    log = log_of(tmp_path)
    assert log.head() == Head(size=0, root=EMPTY)
    for n in range(9):
        log.append(SHORT)
        assert log.head() == plain_head(log)
        assert log.head().size == n + 1


def test_a_head_follows_what_another_wrote_and_what_was_cut(tmp_path) -> None:
    log, other = log_of(tmp_path, ENTRY), log_of(tmp_path)
    assert log.head().size == 1
    other.append(SHORT)
    assert log.head() == plain_head(log)
    with log.path.open("ab") as file:
        file.write(b"torn")
    assert log.head().size == 2
    log.cut_torn_tail(tmp_path)
    assert log.head() == plain_head(log)
    os.truncate(log.path, len(line_of(0, ENTRY)))
    assert log.head() == plain_head(log)


def test_every_act_is_told_to_readers_of_the_archive() -> None:
    page = (Path(__file__).parents[1] / "archive/README.md").read_text()
    table = page.partition("| act |")[2].partition("\n\n")[0]
    assert [act for act in Act if f"`{act}`" not in table] == []
