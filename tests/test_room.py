"""The archive folder: what belongs where, what is taken for a bag, and moving it."""

import errno
import os
from pathlib import Path

import pytest
import samples

from pipeline.disk import Disk
from pipeline.errors import StorageError, UsageError
from pipeline.holdings.room import Room


class Refusing(Disk):
    """Refuses to rename, with an error of one's choice."""

    def __init__(self, code: int) -> None:
        self.code = code

    def rename(self, old: Path, new: Path) -> None:
        raise OSError(self.code, os.strerror(self.code), str(new))


class Tracing(Disk):
    """Tells which folders were synced."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync(self, descriptor: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path / "archive")
    made.furnish()
    return made


def test_a_room_is_furnished_once_and_then_left_as_it_is(room: Room) -> None:
    room.furnish()
    assert sorted(path.name for path in room.own.iterdir()) == ["quarantine", "staging"]


def test_folders_get_what_the_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        room = Room(tmp_path / "archive")
        room.furnish()
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o777 for path in (room.root, room.own)} == {0o750}


def test_new_folders_are_on_disk_by_name(tmp_path: Path) -> None:
    disk = Tracing()
    Room(tmp_path, disk).make(tmp_path / "a/b")
    assert disk.synced == [tmp_path.name, "a"]


@pytest.mark.parametrize("name", ["archive", "archive/.muniment"])
def test_a_file_where_the_archive_should_be_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a file")
    with pytest.raises(StorageError, match="archive"):
        Room(tmp_path / "archive").furnish()
    assert (tmp_path / name).read_text() == "a file"


def test_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "archive").symlink_to("nowhere")
    with pytest.raises(StorageError, match="expected a folder, found something else"):
        Room(tmp_path / "archive").furnish()


def test_a_link_to_a_folder_is_an_archive_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "archive").symlink_to("disk")
    Room(tmp_path / "archive").furnish()
    assert (tmp_path / "disk/.muniment/staging").is_dir()


def test_a_file_system_that_takes_no_folders_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="/proc/archive"):
        Room(Path("/proc/archive")).furnish()


def test_a_bag_belongs_to_its_job_and_its_year(room: Room) -> None:
    place = room.place("bag", "iran-1988", samples.NOON)
    assert room.relative(place) == "iran-1988/2026/bag"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/etc", "a\0b"])
def test_a_name_that_is_no_visible_folder_is_refused(room: Room, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a folder"):
        room.place(name, "job", samples.NOON)
    with pytest.raises(UsageError, match="cannot be a folder"):
        room.place("bag", name, samples.NOON)


@pytest.mark.parametrize("folder", ["job", "job/2026"])
def test_bags_are_not_put_behind_a_link(room: Room, folder: str) -> None:
    (room.root / folder).parent.mkdir(exist_ok=True)
    (room.root / folder).symlink_to(room.root.parent)
    with pytest.raises(UsageError, match="is a link"):
        room.place("bag", "job", samples.NOON)


def test_bags_are_not_put_into_another_archive(room: Room) -> None:
    Room(room.root / "demo").furnish()
    with pytest.raises(UsageError, match="archive of its own"):
        room.place("bag", "demo", samples.NOON)


def test_bags_are_found_in_order_and_nothing_else_is_one(room: Room) -> None:
    bags = ["a/2025/z", "a/2026/b", "a/2026/c", "b/2026/متن"]
    for path in (
        *reversed(bags),
        "a/notes/x",
        "a/20260/x",
        "a/2026/.hidden",
        ".git/2026/x",
        "demo/2026/x",
    ):
        (room.root / path).mkdir(parents=True)
    (room.root / "README.md").write_text("about")
    (room.root / "a/2026/file").write_text("no folder")
    (room.root / "a/2026/link").symlink_to(room.root / "a/2026/b")
    Room(room.root / "demo").furnish()
    assert [room.relative(path) for path in room.bags()] == bags


def test_a_name_that_is_taken_is_told_as_such(room: Room) -> None:
    for name in ("old", "new"):
        (room.root / name).mkdir()
    with pytest.raises(StorageError, match="new: a bag of this name is kept already"):
        room.move(room.root / "old", room.root / "new")
    assert (room.root / "old").is_dir()


REFUSALS = {
    "another file system": (errno.EXDEV, "on one file system"),
    "no space": (errno.ENOSPC, "No space left on device"),
    "read-only": (errno.EROFS, "Read-only file system"),
}


@pytest.mark.parametrize(("code", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_move_that_is_refused_says_why(tmp_path: Path, code: int, said: str) -> None:
    room = Room(tmp_path, Refusing(code))
    with pytest.raises(StorageError, match=f"new: .*{said}"):
        room.move(tmp_path / "old", tmp_path / "new")


def test_what_is_set_aside_never_replaces_what_was(room: Room) -> None:
    names = []
    for content in ("first", "second", "third"):
        (room.staging / "bag").mkdir()
        (room.staging / "bag/file").write_text(content)
        names.append(room.set_aside(room.staging / "bag"))
    assert names == [
        ".muniment/quarantine/bag",
        ".muniment/quarantine/bag~2",
        ".muniment/quarantine/bag~3",
    ]
    assert (room.root / names[1] / "file").read_text() == "second"
