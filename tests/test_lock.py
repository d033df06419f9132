"""One writer at a time, between real processes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import samples

from pipeline.errors import LockedError, StorageError
from pipeline.holdings.lock import Lock

HOLDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipeline.holdings.lock import Lock
with Lock(Path(sys.argv[1])).held("run iran-1988", since=datetime(2026, 9, 24, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock until it is told to let go, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / ".muniment").mkdir()
    return tmp_path / ".muniment/lock"


def take(path: Path) -> None:
    with Lock(path).held("test", since=samples.NOON):
        pass


def test_a_second_process_is_refused_and_told_who_is_at_work(path: Path) -> None:
    with another_process(path) as process, pytest.raises(LockedError) as told:
        take(path)
    said = str(told.value)
    assert str(path.parent.parent) in said
    assert "'run iran-1988'" in said
    assert f"process {process.pid} on " in said
    assert "since 2026-09-24T00:00:00.000000Z" in said


def test_the_next_takes_the_lock_when_the_first_is_done(path: Path) -> None:
    with another_process(path) as process:
        process.communicate("done\n")
        take(path)


def test_a_process_that_was_killed_holds_nothing(path: Path) -> None:
    with another_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert path.read_bytes()  # what it wrote still stands, and nobody minds
        take(path)


def test_two_locks_of_one_process_exclude_each_other(path: Path) -> None:
    first = Lock(path).held("first", since=samples.NOON)
    with first, pytest.raises(LockedError, match="'first'"):
        take(path)
    take(path)


def test_a_refusal_leaves_the_holders_words_alone(path: Path) -> None:
    with Lock(path).held("first", since=samples.NOON):
        before = path.read_bytes()
        with pytest.raises(LockedError):
            take(path)
        assert path.read_bytes() == before


def test_the_file_is_empty_when_nobody_holds_the_lock(path: Path) -> None:
    lock = Lock(path)
    with lock.held("first", since=samples.NOON):
        assert lock.is_held
        assert json.loads(path.read_bytes())["command"] == "first"
    assert not lock.is_held
    assert path.read_bytes() == b""


def test_a_disk_that_takes_no_more_words_frees_the_lock_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError

    with Lock(path).held("first", since=samples.NOON):
        monkeypatch.setattr("os.ftruncate", refuse)
    monkeypatch.undo()
    take(path)


@pytest.mark.parametrize("words", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff"])
def test_a_holder_that_has_not_said_who_it_is_is_another_process(
    path: Path, words: bytes
) -> None:
    with Lock(path).held("first", since=samples.NOON):
        path.write_bytes(words)
        with pytest.raises(LockedError, match="in use by another process"):
            take(path)


def test_an_error_within_is_the_callers_and_frees_the_lock(path: Path) -> None:
    with pytest.raises(OSError, match="mine"), Lock(path).held("a", since=samples.NOON):
        raise OSError("mine")
    take(path)


def test_a_lock_that_is_a_folder_is_a_storage_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match="lock"):
        take(path)


def test_a_lock_that_is_a_link_is_not_followed(path: Path) -> None:
    (path.parent / "elsewhere").write_text("keep")
    path.symlink_to(path.parent / "elsewhere")
    with pytest.raises(StorageError, match="lock"):
        take(path)
    assert (path.parent / "elsewhere").read_text() == "keep"


def test_words_that_do_not_fit_the_disk_are_a_storage_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(StorageError, match="full"):
        take(full)
