"""A stranger's folder, looked at without trusting it."""

import os
import socket
from contextlib import chdir
from pathlib import Path

import pytest

from pipeline.packaging import walk
from pipeline.packaging.walk import Kind


def found(folder) -> dict[bytes, walk.Entry]:
    with walk.opened(folder) as root:
        return {entry.path: entry for entry in walk.walk(root)}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "place"
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").write_bytes(b"four")
    return place


def test_files_and_folders_are_found_with_their_sizes(folder):
    entries = found(folder)
    assert {
        path: (one.kind, one.size) for path, one in entries.items() if one.size == 4
    } == {b"a/b/file": (Kind.FILE, 4)}
    assert entries[b"a"].kind is entries[b"a/b"].kind is Kind.FOLDER


def test_an_empty_folder_is_told_from_a_full_one(folder):
    (folder / "empty").mkdir()
    entries = found(folder)
    assert (entries[b"empty"].is_empty, entries[b"a"].is_empty) == (True, False)


def test_a_link_is_an_entry_and_not_a_way(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"")
    (folder / "link").symlink_to("../outside")
    entries = found(folder)
    assert entries[b"link"].kind is Kind.LINK
    assert entries[b"link"].detail == "../outside"
    assert b"link/secret" not in entries


def test_fifos_and_sockets_are_told_apart(folder):
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as one, chdir(folder):
        one.bind("socket")
        entries = found(folder)
    assert entries[b"fifo"].kind is Kind.FIFO
    assert entries[b"socket"].kind is Kind.SOCKET


def test_names_of_any_bytes_are_found(folder):
    (folder / os.fsdecode(b"\xff\n")).write_bytes(b"")
    assert found(folder)[b"\xff\n"].kind is Kind.FILE


def test_hard_links_share_an_inode(folder):
    os.link(folder / "a/b/file", folder / "other")
    entries = found(folder)
    assert entries[b"other"].links == 2
    assert entries[b"other"].inode == entries[b"a/b/file"].inode


def test_folders_too_deep_are_said_and_left(folder):
    (folder / ("d/" * (walk.DEEPEST + 2))).mkdir(parents=True)
    kinds = [one.kind for one in found(folder).values()]
    assert kinds.count(Kind.TOO_DEEP) == 1


def test_a_folder_that_cannot_be_read_is_an_entry(folder, monkeypatch):
    real = os.open

    def refusing(path, *args, **kwargs):
        if path == b"b":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    entry = found(folder)[b"a/b"]
    assert (entry.kind, entry.detail) == (Kind.UNREADABLE, "Permission denied")


def test_what_vanishes_between_listing_and_looking_is_no_entry(folder, monkeypatch):
    real = os.scandir

    class Gone:
        name = "gone"

        def stat(self, *, follow_symlinks):
            raise FileNotFoundError

    class Listing:
        def __init__(self, listed):
            self.listed = listed

        def __enter__(self):
            return iter([Gone(), *self.listed])

        def __exit__(self, *_):
            self.listed.close()

    monkeypatch.setattr(os, "scandir", lambda folder: Listing(real(folder)))
    assert b"gone" not in found(folder)


def test_a_file_is_opened_beneath_and_read(folder):
    with (
        walk.opened(folder) as root,
        walk.file_beneath(root, b"a/b/file") as descriptor,
    ):
        assert b"".join(walk.chunks(descriptor)) == b"four"


def test_no_more_is_read_than_asked_for(folder):
    with (
        walk.opened(folder) as root,
        walk.file_beneath(root, b"a/b/file") as descriptor,
    ):
        assert b"".join(walk.chunks(descriptor, most=3)) == b"fou"


WAYS_OUT = {
    "a link to a file": (
        b"link",
        lambda folder: (folder / "link").symlink_to("a/b/file"),
    ),
    "a link to a folder": (
        b"link/file",
        lambda folder: (folder / "link").symlink_to("a/b"),
    ),
    "a fifo": (b"fifo", lambda folder: os.mkfifo(folder / "fifo")),
    "a folder": (b"a/b", lambda folder: None),
}


@pytest.mark.parametrize(("path", "lay"), WAYS_OUT.values(), ids=WAYS_OUT.keys())
def test_nothing_but_a_regular_file_is_opened_and_nothing_waits(folder, path, lay):
    lay(folder)
    with (
        walk.opened(folder) as root,
        pytest.raises(OSError),
        walk.file_beneath(root, path),
    ):
        pass


def test_no_descriptor_is_left_open(folder):
    os.mkfifo(folder / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    found(folder)
    with walk.opened(folder) as root:
        for path in (b"fifo", b"a/b/none", b"a/none/x"):
            with pytest.raises(OSError), walk.file_beneath(root, path):
                pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_names_come_sorted(folder):
    (folder / "B").write_bytes(b"")
    with walk.opened(folder) as root:
        assert walk.names(root) == ["B", "a"]


REASONS = {
    "a link": (OSError(40, "Too many levels"), "something other"),
    "a fifo": (walk.Irregular("x is no regular file"), "something other"),
    "absent": (FileNotFoundError(2, "No such file"), "No such file"),
    "nothing said": (OSError(), "OSError"),
}


@pytest.mark.parametrize(("error", "words"), REASONS.values(), ids=REASONS.keys())
def test_an_error_is_told_in_words(error, words):
    assert words in walk.reason(error)
