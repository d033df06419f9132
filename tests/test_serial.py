"""Serialised bags: the same bytes on any day, read by any program, judged unpacked."""

import gzip
import hashlib
import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import bagit
import pytest
from baggery import FILES, put, seal, sound
from defects import CASES, nothing
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.errors import StorageError, UsageError
from pipeline.model import Level
from pipeline.packaging import tarball, zipball
from pipeline.packaging.parcel import Form, looked_into
from pipeline.packaging.serial import validate_serial, write
from pipeline.packaging.validate import Report, validate

FORMS = list(Form)
LONG = b"data/" + b"long/" * 30 + b"name" * 30 + b".txt"
ODD = FILES | {
    "data/Zo\u00eb \u4e2d.txt".encode(): b"x",
    LONG: b"y",
    b"data/of\nlines": b"z",
}
# The sha256 of the sound bag as a tar: a promise to everyone who wrote one down.
GOLDEN = "0ff748ecc930118322f2750f4278b33225a2c154434df5603ce23ade04956ac1"


def serialised(tmp_path: Path, form: Form, **base) -> Path:
    out = tmp_path / f"bag.{form}"
    write(sound(tmp_path / "bag", **base), out, form)
    return out


# ---------------------------------------------------------------------------- writing


@pytest.mark.parametrize("form", FORMS)
def test_the_same_bag_gives_the_same_bytes_on_another_day_and_by_another_hand(
    tmp_path, form
):
    first = serialised(tmp_path, form, files=ODD)
    elsewhere = tmp_path / "elsewhere"
    again = sound(elsewhere / "bag", files=dict(reversed(ODD.items())))
    for path in again.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1, 1))
    write(again, elsewhere / "out", form)
    assert (elsewhere / "out").read_bytes() == first.read_bytes()


def test_a_tar_is_what_it_has_been_since_the_first_version(tmp_path):
    data = serialised(tmp_path, Form.TAR).read_bytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN


@pytest.mark.parametrize("form", FORMS)
def test_what_is_told_of_a_file_is_true(tmp_path, form):
    made = write(sound(tmp_path / "bag"), tmp_path / "out", form)
    data = (tmp_path / "out").read_bytes()
    assert (made.path, made.size) == ("out", len(data))
    assert {one.algorithm: one.hex for one in made.digests} == {
        name: hashlib.new(name, data).hexdigest() for name in ("sha256", "sha512")
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_bag_is_not_touched(tmp_path, form):
    bag = sound(tmp_path / "bag")

    def seen():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_mode)
            for path in bag.rglob("*")
        }

    before = seen()
    write(bag, tmp_path / "out", form)
    assert seen() == before


@pytest.mark.parametrize("form", FORMS)
def test_what_we_write_is_valid_to_us_and_keeps_empty_folders(tmp_path, form):
    bag = sound(tmp_path / "bag", files=ODD)
    (bag / "data/empty").mkdir()
    write(bag, tmp_path / "out", form)
    report = validate_serial(tmp_path / "out")
    assert (report.ok, report.files) == (True, len(ODD))
    with looked_into(tmp_path / "out", twins=False, deep=True) as parcel:
        assert b"bag/data/empty" in {one.path for one in parcel.contents.entries}


UNPACK = {
    Form.TAR: ["tar", "-xf"],
    Form.TAR_GZ: ["tar", "-xzf"],
    Form.ZIP: ["unzip", "-q"],
}


@pytest.mark.parametrize("form", FORMS)
def test_other_programs_unpack_what_we_write_and_bagit_finds_it_valid(tmp_path, form):
    odd = {path: data for path, data in ODD.items() if b"\n" not in path}
    serialised(tmp_path, form, files=odd)
    (tmp_path / "there").mkdir()
    command = [*UNPACK[form], str(tmp_path / f"bag.{form}")]
    done = subprocess.run(
        command, cwd=tmp_path / "there", capture_output=True, text=True, check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stderr == ""
    assert bagit.Bag(str(tmp_path / "there/bag")).validate()
    assert (
        validate(tmp_path / "there/bag").findings == validate(tmp_path / "bag").findings
    )


@pytest.mark.parametrize("form", FORMS)
def test_the_standard_library_reads_the_same_members(tmp_path, form):
    out = serialised(tmp_path, form, files=ODD)
    if form is Form.ZIP:
        with zipfile.ZipFile(out) as archive:
            assert archive.testzip() is None
            found = {
                one.filename: archive.read(one)
                for one in archive.infolist()
                if not one.is_dir()
            }
    else:
        with tarfile.open(out) as archive:
            members = archive.getmembers()
            found = {
                one.name: archive.extractfile(one).read()
                for one in members
                if one.isfile()
            }
            assert {
                (one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members
            } == {(0, 0, "", "", tarball.TIME)}
    bag = tmp_path / "bag"
    assert found == {
        f"bag/{path.relative_to(bag)}": path.read_bytes()
        for path in bag.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_gzip_or_zip_tells_neither_time_nor_system(tmp_path, form):
    data = serialised(tmp_path, form).read_bytes()
    if form is Form.TAR_GZ:
        assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        assert gzip.decompress(data)[:4] == b"bag/"
    if form is Form.ZIP:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            dates = {one.date_time for one in archive.infolist()}
        assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_a_zip_deflates_what_shrinks_and_stores_the_rest(tmp_path):
    files = {
        b"data/page.txt": b"word " * 1000,
        b"data/page.txt.gz": b"word " * 1000,
        b"data/tiny.txt": b"x",
        b"data/large.txt": b"word " * (zipball.SMALL // 5 + 1),
    }
    with zipfile.ZipFile(serialised(tmp_path, Form.ZIP, files=files)) as archive:
        stored = {
            one.filename
            for one in archive.infolist()
            if one.compress_type == zipfile.ZIP_STORED
        }
        assert archive.testzip() is None
    assert "bag/data/page.txt" not in stored
    assert {"bag/data/page.txt.gz", "bag/data/tiny.txt", "bag/data/large.txt"} <= stored


REFUSED = {
    "a file for a bag": (lambda at: (at / "bag").write_bytes(b""), "expected a bag"),
    "no bag": (lambda at: None, "expected a bag"),
    "a name that is taken": (lambda at: sound(at / "bag") and (at / "out").write_bytes(b"x"), "stands already"),
    "a name that a link takes": (lambda at: sound(at / "bag") and (at / "out").symlink_to("gone"), "stands already"),
    "a link in the bag": (lambda at: (sound(at / "bag") / "data/x").symlink_to("letter.txt"), "symbolic link"),
    "a fifo in the bag": (lambda at: os.mkfifo(sound(at / "bag") / "data/x"), "fifo"),
    "a name that is not UTF-8": (lambda at: put(sound(at / "bag"), b"data/\xff", b""), "UTF-8"),
    "a backslash": (lambda at: put(sound(at / "bag"), b"data/a\\b", b""), "backslash"),
    "twins": (lambda at: put(sound(at / "bag"), b"data/LETTER.txt", b""), "in case or Unicode"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_serialised_is_refused_and_nothing_is_left(tmp_path, name, form):
    lay_out, words = REFUSED[name]
    lay_out(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=words):
        write(tmp_path / "bag", tmp_path / "out", form)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_is_not_written_into_its_own_bag_or_into_nothing(tmp_path):
    bag = sound(tmp_path / "bag")
    with pytest.raises(UsageError, match="inside"):
        write(bag, bag / "out.tar", Form.TAR)
    with pytest.raises(UsageError, match="is no folder"):
        write(bag, tmp_path / "none/out.tar", Form.TAR)


def test_several_odd_things_are_counted(tmp_path):
    bag = sound(tmp_path / "bag")
    (bag / "data/x").symlink_to("letter.txt")
    (bag / "data/y").symlink_to("letter.txt")
    with pytest.raises(UsageError, match="and 1 more; rename"):
        write(bag, tmp_path / "out", Form.TAR)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, 5_000_000, 9_000_000])
def test_a_file_that_changes_while_it_is_written_is_told(
    tmp_path, monkeypatch, form, size
):
    bag = sound(tmp_path / "bag", files={b"data/grows.gz": bytes(6_000_000)})
    from pipeline.packaging import parcel

    honest = parcel.walk

    def walk(root):
        yield from honest(root)
        os.truncate(bag / "data/grows.gz", size)

    monkeypatch.setattr(parcel, "walk", walk)
    with pytest.raises(StorageError, match="changed while it was read"):
        write(bag, tmp_path / "out", form)
    assert sorted(tmp_path.iterdir()) == [bag]


def test_a_file_that_changes_between_its_two_readings_is_told(tmp_path, monkeypatch):
    bag = sound(tmp_path / "bag", files={b"data/x.gz": bytes(zipball.SMALL + 1)})
    from pipeline.packaging import parcel

    honest, turns = parcel.chunks, []

    def chunks(descriptor, **options):
        yield from honest(descriptor, **options)
        turns.append(b"%d" % (len(turns) % 10))
        (bag / "data/x.gz").write_bytes(turns[-1] * (zipball.SMALL + 1))

    monkeypatch.setattr(parcel, "chunks", chunks)
    with pytest.raises(StorageError, match=r"x\.gz: it changed while it was read"):
        write(bag, tmp_path / "out", Form.ZIP)


def test_a_disk_without_hard_links_gets_its_file_too(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    out = serialised(tmp_path, Form.TAR)
    assert validate_serial(out).ok
    assert stat.S_ISREG(out.lstat().st_mode)


RACES = {"with hard links": False, "without": True}


@pytest.mark.parametrize("name", RACES)
def test_a_name_taken_meanwhile_is_not_replaced(tmp_path, monkeypatch, name):
    bag, out = sound(tmp_path / "bag"), tmp_path / "out"
    honest = os.link

    def link(old, new, **options):
        out.write_bytes(b"another's")
        if RACES[name]:
            raise PermissionError(1, "Operation not permitted")
        honest(old, new, **options)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UsageError, match="nothing was replaced"):
        write(bag, out, Form.TAR)
    assert out.read_bytes() == b"another's"
    assert sorted(tmp_path.iterdir()) == [bag, out]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    bag = sound(tmp_path / "bag")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        write(bag, tmp_path / "out", Form.TAR)
    assert sorted(tmp_path.iterdir()) == [bag]


# ------------------------------------------------------------------- sizes past usual


def test_a_size_past_octal_stands_in_a_pax_record():
    head = tarball.head(b"bag/data/x", 1 << 34)
    told = tarfile.TarInfo.frombuf(head[-512:], "utf-8", "strict")
    assert (told.name, told.size) == ("bag/data/x", 0)
    assert b" size=17179869184\n" in head


def test_zip64_stands_where_a_number_needs_it_and_nowhere_else():
    small = zipball.Placed(name=b"x", is_folder=False)
    large = zipball.Placed(
        name=b"x", is_folder=False, size=1 << 33, packed=1 << 33, offset=1 << 34
    )
    assert len(small.local()) == 31
    assert len(small.central()) == 47
    assert large.local()[31:] == b"\1\0\x10\0" + (1 << 33).to_bytes(8, "little") * 2
    assert large.central()[47:] == b"\1\0\x18\0" + (1 << 33).to_bytes(
        8, "little"
    ) * 2 + (1 << 34).to_bytes(8, "little")


def test_a_zip_of_more_than_65535_members_is_read_by_all(tmp_path):
    file = tmp_path / "many.zip"
    with file.open("wb") as stream:
        writer = zipball.Zip(stream.write)
        writer.folder(b"bag")
        for n in range(65_540):
            writer.file(b"bag/%d" % n, 1, lambda: iter((b"x",)))
        writer.finish()
    with looked_into(file, twins=False) as parcel:
        assert len(parcel.contents.entries) == 65_541
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 65_541
    subprocess.run(["unzip", "-tqq", str(file)], check=True, capture_output=True)


# ----------------------------------------------------------------- judged as a folder


UNCARRIED = {  # what no archive file can hold, or ours will not
    *("not-a-bag_a-file", "limit_depth", "portable-name_not-utf-8"),
    *("special-file_hard-link", "malformed-line_gnu-backslash"),
}
LINKS = [name for name in CASES if name.startswith("special-file_link")]
TWINS = [
    *(
        "case-collision_files",
        "case-collision_folders",
        "case-collision_file-and-folder",
    ),
    *("unicode-collision_twins", "unicode-collision_altered-twin"),
    "unicode-collision_unlisted-twin",
]
CARRIED = [
    name
    for name, one in CASES.items()
    if one.during is nothing
    and one.pack is None
    and name not in {*UNCARRIED, *TWINS}
    and not name.startswith("special-file_")
]


@pytest.mark.parametrize("name", CARRIED)
def test_a_defect_is_found_in_an_archive_as_it_is_in_a_folder(name, tmp_path):
    case = CASES[name]
    bag = case.build(tmp_path / name)
    expected = validate(bag, **case.options)
    for form in FORMS:
        write(bag, tmp_path / form, form)
        found = validate_serial(tmp_path / form, **case.options)
        assert replace(found, path=bag) == expected


def by_others(bag: Path, out: Path, form: Form) -> Path:
    """Serialise with the standard library, whatever the names."""
    paths = [(path, f"{bag.name}/{path.relative_to(bag)}") for path in bag.rglob("*")]
    if form is Form.ZIP:
        with zipfile.ZipFile(out, "w") as archive:
            for path, name in paths:
                archive.write(path, name)
    else:
        with tarfile.open(out, "w:gz" if form is Form.TAR_GZ else "w") as archive:
            for path, name in paths:
                archive.add(path, name, recursive=False)
    return out


def codes(report: Report) -> set[tuple[str, str]]:
    return {(one.severity, one.code) for one in report.findings}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("form", FORMS)
def test_twins_in_an_archive_of_others_are_told_as_in_a_folder(name, form, tmp_path):
    bag = CASES[name].build(tmp_path / name)
    found = validate_serial(by_others(bag, tmp_path / "out", form))
    assert codes(found) == codes(validate(bag))


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("form", [Form.TAR, Form.TAR_GZ])
def test_a_link_in_an_archive_of_others_rejects_it(name, form, tmp_path):
    bag = CASES[name].build(tmp_path / name)
    found = validate_serial(by_others(bag, tmp_path / "out", form))
    assert codes(found) == {("error", "special-file")}


OTHERS = {
    "GNU tar": ["tar", "--format=gnu", "-cf"],
    "GNU tar, posix": ["tar", "--format=posix", "-cf"],
    "GNU tar, posix, sparse files as they are": ["tar", "--format=pax", "-cf"],
    "GNU tar, ustar": ["tar", "--format=ustar", "--exclude=*long*", "-cf"],
    "GNU tar, gzip": ["tar", "-czf"],
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_tar_writes_of_odd_names_is_read(name, tmp_path):
    sound(tmp_path / "bag", files=ODD if "ustar" not in name else FILES)
    command = [*OTHERS[name], "out", "bag"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    report = validate_serial(tmp_path / "out")
    assert report.findings == validate(tmp_path / "bag").findings


@pytest.mark.parametrize("form", FORMS)
def test_what_the_standard_library_writes_of_odd_names_is_read(form, tmp_path):
    bag = sound(tmp_path / "bag", files=ODD)
    report = validate_serial(by_others(bag, tmp_path / "out", form))
    assert report.findings == validate(bag).findings


def test_an_archive_of_a_bag_in_another_algorithm_is_verified(tmp_path):
    out = serialised(tmp_path, Form.TAR, algorithms=("md5", "sha3_256"))
    assert validate_serial(out).ok


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("form", FORMS)
def test_every_level_is_judged_and_progress_is_told(tmp_path, form, level):
    out = serialised(tmp_path, form)
    heard = []
    report = validate_serial(
        out, level=level, progress=lambda *told: heard.append(told)
    )
    assert report == replace(validate(tmp_path / "bag", level=level), path=out)
    if level is Level.FULL:
        assert heard[0][0] == 0
        assert heard == sorted(heard)
        assert len({total for _, total in heard}) == 1


def test_a_strict_profile_and_a_limit_hold_for_archives(tmp_path):
    bag = sound(tmp_path / "bag")
    put(bag, b"stray.txt", b"x")
    write(bag, tmp_path / "out", Form.ZIP)
    assert validate_serial(tmp_path / "out").ok
    assert not validate_serial(tmp_path / "out", strict_profile=True).ok
    assert len(validate_serial(tmp_path / "out", limit=1).findings) == 2


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@settings(max_examples=25)
@given(payload=st.dictionaries(NAMES, st.binary(max_size=700), max_size=4))
def test_any_bag_of_ours_comes_through_every_form(payload, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    files = {b"data/" + name.encode(): data for name, data in payload.items()}
    bag = sound(folder / "bag", files=files)
    (bag / "data").mkdir(exist_ok=True)
    expected = validate(bag)
    for form in FORMS:
        out = folder / f"out.{form}"
        try:
            write(bag, out, form)
        except UsageError as error:
            assert "in case or Unicode form" in str(error)
            continue
        assert replace(validate_serial(out), path=bag) == expected


# ----------------------------------------------------------------------------- memory

MEASURE = """
import re, sys
from pathlib import Path
from pipeline.packaging.members import Limits
from pipeline.packaging.parcel import Form
from pipeline.packaging.serial import validate_serial, write
small, large, out = map(Path, sys.argv[1:4])
form = Form(sys.argv[4])
def peak():  # getrusage would tell of the process that started this one as well
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
limits = Limits(ratio=2000)  # zeros shrink a thousandfold
write(small, out / "small", form)
assert validate_serial(out / "small").ok
before = peak()
write(large, out / "large", form)
assert validate_serial(out / "large", limits=limits).ok
print(peak() - before)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A bag with one file of 500 MB, nearly all of it a hole."""
    bag = sound(tmp_path_factory.mktemp("large") / "bag", files={})
    (bag / "data").mkdir(exist_ok=True)
    file = bag / "data/large.warc"
    with file.open("wb") as stream:
        stream.write(b"head")
        stream.truncate(500_000_000)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    (bag / "manifest-sha512.txt").unlink()
    (bag / "manifest-sha256.txt").write_text(f"{digest}  data/large.warc\n")
    (bag / "bag-info.txt").write_text("Payload-Oxum: 500000000.1\n")
    seal(bag, ("sha256", "sha512"))
    return bag


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_a_file(tmp_path, large, form):
    small = sound(tmp_path / "bag", files={b"data/x": bytes(3000)})
    command = [sys.executable, "-c", MEASURE, *map(str, (small, large, tmp_path, form))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32_000  # KiB


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [b"data/unlisted.bin", b"unlisted.bin"])
def test_what_no_manifest_lists_is_found_however_large_it_is(tmp_path, form, name):
    bag = sound(tmp_path / "bag")
    put(bag, name, bytes(3 << 20))
    out = tmp_path / "bag.packed"
    write(bag, out, form)
    found = {one.code for one in validate_serial(out).findings}
    assert found & {"unlisted-file", "tag-unlisted-file"}
