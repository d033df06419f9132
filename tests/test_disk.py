"""What makes bytes durable: names that must be free, and the order of syncs."""

import ctypes
import errno
import os
from pathlib import Path

import pytest

from pipeline import disk as disks
from pipeline.disk import Disk, small_file, sync_folder, sync_tree
from pipeline.errors import StorageError


class Tracing(Disk):
    """Tells what was synced, in order, from a folder down."""

    def __init__(self, top: Path, fails: str = "") -> None:
        self.top = top
        self.fails = fails
        self.synced: list[str] = []
        self.started: list[str] = []

    def name(self, descriptor: int) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return path.relative_to(self.top).as_posix()

    def start(self, descriptor: int) -> None:
        self.started.append(self.name(descriptor))
        super().start(descriptor)

    def sync(self, descriptor: int) -> None:
        name = self.name(descriptor)
        if name == self.fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.synced.append(name)
        super().sync(descriptor)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "bag/data/objects").mkdir(parents=True)
    (tmp_path / "bag/bagit.txt").write_text("b")
    (tmp_path / "bag/data/متن.txt").write_text("d")
    (tmp_path / "bag/data/objects/capture.warc.gz").write_text("o")
    return tmp_path / "bag"


def test_files_are_synced_before_folders_and_folders_from_the_innermost_out(
    tree: Path,
) -> None:
    disk = Tracing(tree)
    sync_tree(tree, disk)
    files = ["bagit.txt", "data/objects/capture.warc.gz", "data/متن.txt"]
    assert sorted(disk.synced[:3]) == files
    assert disk.synced[3:] == ["data/objects", "data", "."]
    assert sorted(disk.started) == files


def test_links_and_pipes_are_passed_over(tree: Path) -> None:
    (tree / "link").symlink_to("/etc/hostname")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    disk = Tracing(tree)
    sync_tree(tree, disk)
    assert len(disk.synced) == 6


def test_what_could_not_be_synced_is_named(tree: Path) -> None:
    with pytest.raises(StorageError, match=r"data/objects/capture\.warc\.gz: No space"):
        sync_tree(tree, Tracing(tree, fails="data/objects/capture.warc.gz"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing"):
        sync_tree(tmp_path / "nothing")
    with pytest.raises(StorageError, match="nothing"):
        sync_folder(tmp_path / "nothing")


class Library:
    """A C library in which renameat2 fails with an error of one's choice."""

    def __init__(self, code: int) -> None:
        self.code = code

    def renameat2(self, *_args: object) -> int:
        disks.ctypes.set_errno(self.code)
        return -1


@pytest.fixture(params=["renameat2", "no renameat2", "not on this file system"])
def any_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk with the system call, without it, and where it is not supported."""
    if request.param != "renameat2":
        lack = object() if request.param[:2] == "no " else Library(errno.EINVAL)
        monkeypatch.setattr(disks, "_libc", lambda: lack)
    return Disk()


def test_a_folder_is_renamed_to_a_free_name(any_disk: Disk, tree: Path) -> None:
    new = tree.parent / "تازه"
    any_disk.rename(tree, new)
    assert (new / "bagit.txt").exists()
    assert not tree.exists()


@pytest.mark.parametrize("kind", ["empty folder", "full folder", "file", "link"])
def test_a_name_that_is_taken_is_never_replaced(
    any_disk: Disk, tree: Path, kind: str
) -> None:
    new = tree.parent / "new"
    match kind:
        case "file":
            new.write_text("mine")
        case "link":
            new.symlink_to("nowhere")
        case _:
            new.mkdir()
    if kind == "full folder":
        (new / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        any_disk.rename(tree, new)
    assert (tree / "bagit.txt").exists()
    assert os.path.lexists(new)


def test_a_name_that_is_not_there_is_told(any_disk: Disk, tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        any_disk.rename(tree.parent / "nothing", tree.parent / "new")


def test_any_other_refusal_is_told_and_not_tried_another_way(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_libc", lambda: Library(errno.EXDEV))
    with pytest.raises(OSError, match="cross-device") as told:
        Disk().rename(tree, tree.parent / "new")
    assert told.value.errno == errno.EXDEV
    assert tree.exists()


def test_without_the_hint_files_are_synced_all_the_same(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_libc", object)
    sync_tree(tree)


class Whole(Tracing):
    """Tells when all of the file system was synced."""

    def sync_all(self, descriptor: int) -> None:
        self.synced.append(f"all from {self.name(descriptor)}")
        super().sync_all(descriptor)


def test_of_many_files_the_file_system_is_synced_once(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MANY", 2)
    disk = Whole(tree)
    sync_tree(tree, disk)
    assert disk.synced == ["all from ."]
    assert disk.started == []


class Unsynced:
    """A C library whose syncfs is refused."""

    def syncfs(self, _: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1


def test_a_file_system_that_could_not_be_synced_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "MANY", 0)
    monkeypatch.setattr(disks, "_libc", Unsynced)
    with pytest.raises(StorageError, match="Input/output error"):
        sync_tree(tree)


def test_without_syncfs_every_file_system_is_synced(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(disks, "MANY", 0)
    monkeypatch.setattr(disks, "_libc", object)
    monkeypatch.setattr(os, "sync", lambda: synced.append("all"))
    sync_tree(tree)
    assert synced == ["all"]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "absent", "too large"])
def test_only_a_small_regular_file_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "too large":
            path.write_bytes(b"12345")
    with pytest.raises(OSError, match=r"regular file|directory|No such|at most 4"):
        small_file(path, 4)


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    assert small_file(tmp_path / "file", 4) == b"1234"
