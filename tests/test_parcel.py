"""A parcel is judged as a whole: what is hostile is rejected, what is honest is read."""

import gzip
import hashlib
import os
from pathlib import Path

import hostile
import pytest
from baggery import sound

from pipeline.errors import Exit, StorageError, UsageError
from pipeline.model import Level, Severity
from pipeline.packaging.members import Limits, RejectedError
from pipeline.packaging.parcel import KEPT_IN_MEMORY, Form, looked_into
from pipeline.packaging.serial import validate_serial
from pipeline.packaging.zipreader import LARGEST_DIRECTORY

CASES = {f"tar: {name}": one for name, one in hostile.TARS.items()}
CASES |= {f"zip: {name}": one for name, one in hostile.ZIPS.items()}


def put(folder: Path, data: bytes) -> Path:
    file = folder / "sent"
    file.write_bytes(data)
    return file


def look(file: Path, **options) -> Form | None:
    with looked_into(file, **options) as parcel:
        return parcel.contents.form


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_rejected_whole_and_told_why(name, tmp_path):
    case = CASES[name]
    with pytest.raises(RejectedError) as caught:
        look(put(tmp_path, case.data), limits=case.limits, twins=False, deep=True)
    first = caught.value.findings[0]
    assert (first.code, first.severity) == (case.code, Severity.ERROR)
    assert case.words in first.message
    assert case.path in (None, first.path)


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_invalid_and_nothing_is_raised(name, tmp_path):
    case = CASES[name]
    assert not validate_serial(put(tmp_path, case.data), limits=case.limits).ok


@pytest.mark.parametrize("name", hostile.TWINS)
def test_twins_reject_where_names_must_survive_and_are_told_elsewhere(name, tmp_path):
    file = put(tmp_path, hostile.TWINS[name])
    assert look(file) is Form.TAR
    with pytest.raises(RejectedError, match="in case or Unicode form alone"):
        look(file, twins=False)
    told = {one.code for one in validate_serial(file).findings}
    assert told & {"case-collision", "unicode-collision"}


@pytest.mark.parametrize("name", hostile.HONEST)
def test_what_honest_programs_write_is_read(name, tmp_path):
    file = put(tmp_path, hostile.HONEST[name])
    report = validate_serial(file)
    assert (report.ok, report.findings, report.files) == (True, (), 1)
    assert look(file, twins=False, deep=True) is not None


@pytest.mark.parametrize("name", ["as it is", "in gzip", "zip", "zip, deflated"])
def test_a_file_cut_short_anywhere_is_rejected(name, tmp_path):
    data = hostile.HONEST[name]
    step = max(1, len(data) // 97)
    for size in range(0, len(data) - 512, step):
        assert not validate_serial(put(tmp_path, data[:size])).ok, size


@pytest.mark.parametrize("name", ["as it is", "zip", "zip, deflated"])
def test_no_changed_byte_of_content_goes_unseen(name, tmp_path):
    data = hostile.HONEST[name]
    at = (
        data.find(b"a letter\n")
        if name != "zip, deflated"
        else data.find(b"bag/data/letter.txt") + 20
    )
    for place in range(at, at + 5):
        changed = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        assert not validate_serial(put(tmp_path, changed)).ok, place


def test_every_finding_on_an_archive_is_told(tmp_path):
    data = hostile.tar(
        hostile.member(b"/a"), hostile.member(b"../b"), hostile.member(b"c", kind=b"2")
    )
    with pytest.raises(RejectedError, match=r"rejected whole.*and 2 more") as caught:
        look(put(tmp_path, data))
    assert [one.path for one in caught.value.findings] == ["/a", "../b", "c"]
    assert caught.value.exit is Exit.FIXITY
    told = caught.value.details()["findings"]
    assert told[0] == {"code": "unsafe-path", "path": "/a", "message": "it is absolute"}


def test_a_report_on_a_hostile_file_is_bounded(tmp_path):
    data = hostile.tar(*(hostile.member(b"/%d" % n) for n in range(300)))
    assert len(validate_serial(put(tmp_path, data)).findings) == 100


def test_a_folder_is_judged_by_the_same_rules(tmp_path):
    bag = sound(tmp_path / "bag")
    assert look(bag, twins=False, deep=True) is None
    (bag / "data/link").symlink_to("/etc/passwd")
    with pytest.raises(RejectedError, match="symbolic link"):
        look(bag)


def test_a_path_that_holds_nothing_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="found nothing"):
        look(tmp_path / "absent")


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="another kind of thing"):
        look(tmp_path / "fifo")


def test_a_file_that_must_not_be_read_is_a_storage_error(tmp_path):
    file = tmp_path / ("n" * 300)
    with pytest.raises(StorageError, match="File name too long"):
        look(file)


def test_a_file_that_changes_after_it_was_judged_is_rejected(tmp_path):
    file = put(tmp_path, hostile.tar())
    with looked_into(file) as parcel:
        file.write_bytes(hostile.tar(hostile.member(b"bag/data/evil")))
        with pytest.raises(RejectedError, match="changed while it was read"):
            list(parcel.members())
        file.write_bytes(
            hostile.member(b"bag/bagit.txt", hostile.bag()[b"bag/bagit.txt"])
            + hostile.END
        )
        with pytest.raises(RejectedError, match="changed while it was read"):
            list(parcel.members())


def test_a_folder_that_loses_a_file_is_a_storage_error(tmp_path):
    bag = sound(tmp_path / "bag", tags={b"large.bin": bytes(KEPT_IN_MEMORY + 1)})
    with looked_into(bag) as parcel:
        (bag / "large.bin").unlink()
        (bag / "large.bin").symlink_to("/etc/passwd")
        with pytest.raises(RejectedError, match="changed while it was read"):
            b"".join(parcel.pieces(b"large.bin"))


@pytest.mark.parametrize("form", ["tar", "gzip", "zip"])
def test_a_tag_file_too_large_for_memory_is_read_again(tmp_path, form):
    payload = {b"data/%0120d" % n: b"" for n in range(25_000)}
    if form == "zip":
        members = [
            hostile.Z(name=path, data=data)
            for path, data in hostile.bag(payload).items()
        ]
        data = hostile.zipped(*members, files=False)
    else:
        data = (
            b"".join(
                hostile.member(path, text, prefix=b"")
                if len(path) < 100
                else hostile.pax((b"path", path)) + hostile.member(b"bag/x", text)
                for path, text in hostile.bag(payload).items()
            )
            + hostile.END
        )
    if form == "gzip":
        data = gzip.compress(data, 1)
    report = validate_serial(put(tmp_path, data), level=Level.COMPLETE)
    assert (report.ok, report.files) == (True, 25_000)


def test_a_directory_past_a_limit_is_not_read(tmp_path):
    file = tmp_path / "sent"
    size = LARGEST_DIRECTORY + 1
    with file.open("wb") as stream:
        stream.write(b"PK\3\4")
        stream.seek(4 + size)
        stream.write(hostile.the_end(1, size, 4))
    with pytest.raises(RejectedError, match="a directory of more than 268,435,456"):
        look(file)


def test_a_limit_that_is_not_reached_is_not_told(tmp_path):
    limits = Limits(members=6, total=10_000)
    assert validate_serial(put(tmp_path, hostile.tar()), limits=limits).ok


def test_the_digest_is_that_of_the_file_as_it_came(tmp_path):
    file = put(tmp_path, hostile.tar())
    with looked_into(file) as parcel:
        assert parcel.digest().hex == hashlib.sha256(file.read_bytes()).hexdigest()
    with looked_into(sound(tmp_path / "bag")) as parcel:
        assert parcel.digest() is None


def test_a_file_that_is_not_there_cannot_be_read_from_a_parcel(tmp_path):
    with (
        looked_into(put(tmp_path, hostile.tar())) as parcel,
        pytest.raises(FileNotFoundError),
    ):
        list(parcel.pieces(b"absent"))
