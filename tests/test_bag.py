"""BagIt bags: made and read."""

import errno
import hashlib
import os
import subprocess
import tempfile
import warnings
from pathlib import Path

import bagit
import pytest
from baggery import put, sound
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FixityError, PipelineError, StorageError, UsageError
from pipeline.fixity import write_file
from pipeline.model import Artefact, Bag, Digest, Severity
from pipeline.packaging import bag, copying
from pipeline.packaging.names import folded
from pipeline.packaging.validate import validate

DATE = ("Bagging-Date", "2026-09-24")


def staged(folder: Path, **files: bytes) -> list[Artefact]:
    names = files or {"letter.txt": b"a letter\n"}
    return [write_file(folder, f"data/{name}", data) for name, data in names.items()]


def made(folder: Path, **options) -> Bag:
    return bag.write(folder, payload=staged(folder), info=[DATE], **options)


def ours(folder: Path) -> list[str]:
    return [
        f"{one.code} {one.path}: {one.message}" for one in validate(folder).findings
    ]


def theirs(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bagit.Bag(str(folder)).validate()


def summed(folder: Path, *manifests: str) -> None:
    tool = f"{manifests[0].rpartition('-')[2].removesuffix('.txt')}sum"
    subprocess.run(
        [tool, "--check", "--strict", "--quiet", *manifests], cwd=folder, check=True
    )


# ---------------------------------------------------------------------------- writing


def test_a_written_bag_is_valid_to_us_to_bagit_and_to_coreutils(tmp_path):
    folder = made(tmp_path / "one", readme=b"hello\n").path
    assert ours(folder) == []
    theirs(folder)
    for one in ("sha256", "sha512"):
        summed(folder, f"manifest-{one}.txt", f"tagmanifest-{one}.txt")


def test_what_is_written_is_what_is_read(tmp_path):
    written = made(tmp_path / "one")
    assert bag.read(tmp_path / "one") == written


def test_a_bag_has_the_digest_of_each_tag_manifest_by_its_own_algorithm(tmp_path):
    written = made(tmp_path / "one")
    data = (tmp_path / "one/tagmanifest-sha512.txt").read_bytes()
    assert written.tagmanifests[1] == Digest("sha512", hashlib.sha512(data).hexdigest())


def test_metadata_keeps_its_order_and_the_oxum_comes_last(tmp_path):
    tags = [("B", "1"), ("A", "2"), ("B", "3")]
    bag.write(tmp_path / "one", payload=staged(tmp_path / "one"), info=tags)
    assert bag.info(tmp_path / "one") == (*tags, ("Payload-Oxum", "9.1"))


def test_manifests_are_sorted_by_bytes_and_listed_with_two_spaces(tmp_path):
    folder = tmp_path / "one"
    names = ["\u00e9", "b", "a b", "a", "C"]
    payload = staged(folder, **{name: name.encode() for name in names})
    bag.write(folder, payload=payload, info=[])
    lines = (folder / "manifest-sha256.txt").read_text("utf-8").splitlines()
    assert [line[64:] for line in lines] == [f"  data/{name}" for name in sorted(names)]


def test_percent_and_line_ends_are_encoded(tmp_path):
    folder = tmp_path / "one"
    bag.write(folder, payload=staged(folder, **{"50%\r\n": b"x"}), info=[])
    assert b"  data/50%25%0D%0A\n" in (folder / "manifest-sha256.txt").read_bytes()
    assert validate(folder).ok


def test_an_empty_payload_makes_a_bag(tmp_path):
    assert bag.write(tmp_path / "one", payload=[], info=[]).files == 0
    assert ours(tmp_path / "one") == []


def test_other_algorithms_can_be_asked_for(tmp_path):
    folder = tmp_path / "one"
    payload = [write_file(folder, "data/x", b"x", algorithms=("blake2b", "sha384"))]
    bag.write(folder, payload=payload, info=[], algorithms=("blake2b", "sha384"))
    assert ours(folder) == []
    assert validate(folder).algorithms == ("blake2b", "sha384")


BOTH = (Digest("sha256", "00"), Digest("sha512", "00"))
UNBAGGABLE = {
    "outside data/": "notes/x",
    "data itself": "data/",
    "climbing out": "data/../x",
    "doubled slashes": "data//x",
    "a dot": "data/./x",
    "a NUL": "data/\0",
    "a surrogate": "data/\udcff",
}


@pytest.mark.parametrize("path", UNBAGGABLE.values(), ids=UNBAGGABLE.keys())
def test_a_path_that_no_bag_carries_is_refused(tmp_path, path):
    one = Artefact(path=path, size=0, digests=BOTH)
    with pytest.raises(UsageError, match="cannot stand in a bag"):
        bag.write(tmp_path / "one", payload=[one], info=[])


TWINS = {
    "by case": ("data/a", "data/A"),
    "by Unicode form": ("data/Zo\u00eb", "data/Zoe\u0308"),
    "a file and a folder": ("data/a", "data/A/b"),
    "two folders": ("data/a/x", "data/A/y"),
    "twice the same": ("data/a", "data/a"),
}


@pytest.mark.parametrize("paths", TWINS.values(), ids=TWINS.keys())
def test_twins_are_refused(tmp_path, paths):
    payload = [Artefact(path=path, size=0, digests=BOTH) for path in paths]
    with pytest.raises(UsageError, match=r"rename one|twice"):
        bag.write(tmp_path / "one", payload=payload, info=[])


def test_a_missing_digest_is_refused(tmp_path):
    one = Artefact(path="data/x", size=0, digests=BOTH[:1])
    with pytest.raises(UsageError, match="without its sha512"):
        bag.write(tmp_path / "one", payload=[one], info=[])


@pytest.mark.parametrize("algorithms", [(), ("whirlpool",)])
def test_algorithms_that_no_one_reads_are_refused(tmp_path, algorithms):
    with pytest.raises(UsageError, match="choose among md5, sha1"):
        bag.write(tmp_path / "one", payload=[], info=[], algorithms=algorithms)


def test_payload_that_is_not_there_is_refused(tmp_path):
    one = Artefact(path="data/x", size=0, digests=BOTH)
    with pytest.raises(StorageError, match="data/x"):
        bag.write(tmp_path / "one", payload=[one], info=[])


def test_payload_of_another_size_is_refused(tmp_path):
    payload = staged(tmp_path / "one")
    (tmp_path / "one/data/letter.txt").write_bytes(b"")
    with pytest.raises(FixityError, match="expected 9 bytes, found 0"):
        bag.write(tmp_path / "one", payload=payload, info=[])


@pytest.mark.parametrize("tag", [("A", "b\nc"), ("A:", "b"), ("Payload-Oxum", "1.1")])
def test_metadata_that_no_bag_carries_is_refused(tmp_path, tag):
    with pytest.raises(UsageError, match=r"bag-info\.txt"):
        bag.write(tmp_path / "one", payload=[], info=[tag])


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "one").write_bytes(b"")
    with pytest.raises(StorageError, match="one"):
        bag.write(tmp_path / "one", payload=[], info=[])


# ----------------------------------------------------------------- a bag of a folder


@pytest.fixture
def source(tmp_path) -> Path:
    put(tmp_path / "source", b"letter.txt", b"a letter\n")
    put(tmp_path / "source", b"photos/cat.jpg", b"a cat\n" * 500_000)
    return tmp_path / "source"


def test_a_folder_becomes_a_bag(source, tmp_path):
    made = bag.make(source, tmp_path / "new", info=[DATE])
    assert (made.id, made.path, made.files) == ("new", tmp_path / "new", 2)
    assert ours(made.path) == []
    theirs(made.path)


def test_nothing_is_left_beside_a_new_bag(source, tmp_path):
    bag.make(source, tmp_path / "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "source"]


def test_the_folder_is_not_touched(source, tmp_path):
    def state():
        return [
            (path, path.lstat().st_mtime_ns, path.lstat().st_ino)
            for path in sorted(source.rglob("*"))
        ]

    before = state()
    bag.make(source, tmp_path / "new")
    assert state() == before


def test_files_keep_their_dates(source, tmp_path):
    os.utime(source / "letter.txt", ns=(10**18, 10**18))
    bag.make(source, tmp_path / "new")
    assert (tmp_path / "new/data/letter.txt").stat().st_mtime_ns == 10**18


def test_a_bag_is_made_of_a_bag(source, tmp_path):
    bag.make(source, tmp_path / "new")
    bag.make(tmp_path / "new", tmp_path / "newer")
    assert ours(tmp_path / "newer") == []


def test_empty_folders_are_carried_and_told(source, tmp_path):
    (source / "empty").mkdir()
    notes: list[str] = []
    bag.make(source, tmp_path / "new", note=notes.append)
    assert (tmp_path / "new/data/empty").is_dir()
    assert notes == ["empty: an empty folder; no manifest can vouch for it"]


def test_unportable_names_are_carried_and_told(source, tmp_path):
    put(source, b"con.txt", b"")
    notes: list[str] = []
    bag.make(source, tmp_path / "new", note=notes.append)
    assert [note.split(":")[0] for note in notes] == ["con.txt"]
    assert {one.severity for one in validate(tmp_path / "new").findings} == {
        Severity.WARNING
    }


UNCARRIED = {
    "a link": (
        lambda source: (source / "x").symlink_to("letter.txt"),
        "symbolic link: letter.txt",
    ),
    "a fifo": (lambda source: os.mkfifo(source / "x"), r"x \(fifo\)"),
    "a name that is not UTF-8": (lambda source: put(source, b"\xff", b""), "not UTF-8"),
    "twins": (lambda source: put(source, b"LETTER.txt", b""), "differ in case"),
    "many links": (
        lambda source: [(source / f"x{n}").symlink_to("y") for n in range(7)],
        "and 2 more",
    ),
}


@pytest.mark.parametrize(("lay", "words"), UNCARRIED.values(), ids=UNCARRIED.keys())
def test_what_a_bag_cannot_carry_is_refused_and_nothing_made(
    source, tmp_path, lay, words
):
    lay(source)
    with pytest.raises(UsageError, match=words):
        bag.make(source, tmp_path / "new")
    assert [one.name for one in tmp_path.iterdir()] == ["source"]


PLACES = {
    "there already": (lambda tmp: (tmp / "new").mkdir(), "source", "new", "stands already"),
    "a link that leads nowhere": (lambda tmp: (tmp / "new").symlink_to("no"), "source", "new", "stands already"),
    "inside the folder": (lambda tmp: None, "source", "source/photos/new", "inside"),
    "inside, through a link": (lambda tmp: (tmp / "way").symlink_to("source"), "source", "way/new", "inside"),
    "nowhere": (lambda tmp: None, "source", "none/new", "no folder"),
    "of a file": (lambda tmp: None, "source/letter.txt", "new", "expected a folder"),
    "of nothing": (lambda tmp: None, "none", "new", "expected a folder"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("lay", "old", "new", "words"), PLACES.values(), ids=PLACES.keys()
)
def test_a_bag_is_made_only_where_it_can_stand(source, tmp_path, lay, old, new, words):
    lay(tmp_path)
    with pytest.raises(UsageError, match=words):
        bag.make(tmp_path / old, tmp_path / new)


def test_a_file_that_changes_while_it_is_copied_ends_the_bag(
    source, tmp_path, monkeypatch
):
    real = copying.chunks

    def growing(descriptor):
        yield from real(descriptor)
        with (source / "letter.txt").open("ab") as stream:
            stream.write(b"more")

    monkeypatch.setattr(copying, "chunks", growing)
    with pytest.raises(StorageError, match="changed while it was copied"):
        bag.make(source, tmp_path / "new")
    assert [one.name for one in tmp_path.iterdir()] == ["source"]


def test_a_full_disk_ends_the_bag_and_leaves_nothing(source, tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=r"the copy of .*: No space left"):
        bag.make(source, tmp_path / "new")
    monkeypatch.undo()
    assert [one.name for one in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_cannot_be_read_is_refused(source, tmp_path, monkeypatch):
    def refusing(root):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(copying, "walk", refusing)
    with pytest.raises(StorageError, match="source: Permission denied"):
        bag.make(source, tmp_path / "new")


# ------------------------------------------------------------------------- publishing


def test_publishing_never_replaces(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with pytest.raises(StorageError, match="File exists"):
        bag.publish(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "old").is_dir()


# ---------------------------------------------------------------------------- reading


def test_a_bag_without_an_oxum_is_counted(tmp_path):
    folder = sound(tmp_path / "one")
    (folder / "bag-info.txt").write_bytes(b"Payload-Oxum: unknown\n")
    found = bag.read(folder)
    assert (found.files, found.size) == (2, 15)


def test_a_bag_without_metadata_has_none(tmp_path):
    folder = sound(tmp_path / "one")
    (folder / "bag-info.txt").unlink()
    assert bag.info(folder) == ()


def test_payload_digests_are_read_by_path(tmp_path):
    folder = sound(tmp_path / "one", files={b"data/50%": b"x", b"data/a\nb": b"y"})
    digests = bag.payload_digests(folder, "sha256")
    assert [*digests] == ["data/50%", "data/a\nb"]
    assert {one.algorithm for one in digests.values()} == {"sha256"}


UNREADABLE = {
    "nothing": (lambda folder: None, "expected a bag"),
    "a file": (lambda folder: folder.write_bytes(b""), "expected a bag"),
    "an empty folder": (lambda folder: folder.mkdir(), r"bagit\.txt"),
    "a wrong declaration": (lambda folder: put(folder, b"bagit.txt", b"x"), r"bagit\.txt"),
    "a fifo": (lambda folder: (folder.mkdir(), os.mkfifo(folder / "bagit.txt")), "something other"),
}  # fmt: skip


@pytest.mark.parametrize(("lay", "words"), UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize(
    "reader", [bag.read, bag.info, lambda path: bag.payload_digests(path, "sha256")]
)
def test_what_is_no_bag_is_named(tmp_path, lay, words, reader):
    lay(tmp_path / "one")
    with pytest.raises(FixityError, match=rf"one: .*{words}"):
        reader(tmp_path / "one")


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    folder = sound(tmp_path / "one")
    with pytest.raises(FixityError, match=r"manifest-md5\.txt"):
        bag.payload_digests(folder, "md5")


def test_a_line_that_is_no_entry_is_named(tmp_path):
    folder = sound(tmp_path / "one")
    put(folder, b"manifest-sha256.txt", b"junk\n")
    with pytest.raises(FixityError, match="no entry: 'junk'"):
        bag.payload_digests(folder, "sha256")


# ------------------------------------------------------------------------- any folder

ODD = (
    *(b"a", b"A", b"b.txt", b"con", b".hidden", b"x ", b" x", b"50%", b"%0A", b"%25"),
    *(b"a\nb", b"\r", b"*", b"~", b"back\\slash", b"-rf", b"$HOME", b"'\"", b"\xff"),
    *(
        "Zo\u00eb".encode(),
        "Zoe\u0308".encode(),
        b"data",
        b"bagit.txt",
        b"manifest-md5.txt",
    ),
)
PART = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12).map(
        lambda text: text.encode(errors="surrogatepass")
    ),
    st.binary(min_size=1, max_size=8).filter(lambda one: not {*one} & {0, 47}),
).filter(lambda part: part not in (b".", b"..") and len(part) < 250)
TREES = st.dictionaries(
    st.lists(PART, min_size=1, max_size=3).map(tuple),
    st.one_of(st.none(), st.binary(max_size=30), st.just(b"x" * (1 << 20))),
    max_size=8,
)


def lay_tree(folder: Path, tree: dict[tuple[bytes, ...], bytes | None]) -> None:
    """Make the files, and for None the folders, of a tree as far as they go together."""
    folder.mkdir()
    for parts, data in tree.items():
        path = folder / os.fsdecode(b"/".join(parts))
        try:
            if data is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except OSError:
            continue


def paths_of(folder: Path) -> list[bytes]:
    return [os.fsencode(one.relative_to(folder)) for one in folder.rglob("*")]


def is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def bagit_reads(path: bytes) -> bool:
    """Tell whether bagit understands a name in a manifest that RFC 8493 wrote."""
    text = path.decode().replace("\n", "").replace("\r", "")
    return "%" not in text and text == text.rstrip() and len(text.splitlines()) <= 1


def coreutils_read(path: bytes) -> bool:
    return not {*path} & {*b"%\r\n"}


@settings(max_examples=60)
@given(TREES)
def test_any_folder_becomes_a_valid_bag_or_is_refused_with_a_reason(tree):
    with tempfile.TemporaryDirectory() as place:
        source, new = Path(place) / "source", Path(place) / "new"
        lay_tree(source, tree)
        paths = paths_of(source)
        carried = all(map(is_utf8, paths))
        apart = len({folded(path) for path in paths}) == len(paths)
        try:
            bag.make(source, new)
        except PipelineError as error:
            assert not (carried and apart), error
            return
        assert carried
        assert apart
        report = validate(new)
        assert [one for one in report.findings if one.severity is Severity.ERROR] == []
        if all(map(bagit_reads, paths)):
            theirs(new)
        if all(map(coreutils_read, paths)) and report.files:
            summed(new, "manifest-sha256.txt", "tagmanifest-sha256.txt")
