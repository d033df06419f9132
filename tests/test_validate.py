"""What is wrong with a bag: the conformance suite, the defect suite, hostile bags."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import defects
import pytest
from baggery import ALGORITHMS, FILES, INFO, TAGS, append, line, put, seal, sound, swap
from defects import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.model import Level, Severity
from pipeline.packaging import listing, walk
from pipeline.packaging import tree as tree_module
from pipeline.packaging.parcel import Form
from pipeline.packaging.profile import parse
from pipeline.packaging.rules import BAG, METADATA, PROFILE, WARC
from pipeline.packaging.serial import validate_serial, write
from pipeline.packaging.validate import Report, find_bags, report_json, validate

SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
SUITE = Path(
    os.environ.get(
        "BAGIT_CONFORMANCE_SUITE", SHARED / "data" / "bagit-conformance-suite"
    )
)


def codes(report: Report, severity: Severity) -> set[str]:
    return {one.code for one in report.findings if one.severity is severity}


def errors(report: Report) -> set[str]:
    return codes(report, Severity.ERROR)


def warned(report: Report) -> set[str]:
    return codes(report, Severity.WARNING)


# ------------------------------------------------------------------ conformance suite

BAGS = {
    str(path.relative_to(SUITE)): path
    for path in sorted(SUITE.glob("v*/*/*/"))
    if path.parent.name != "windows-only"
}
# What git could not hold is absent from the suite itself: these bags lack a file.
FAULTY = (
    "v0.97/warning/duplicate-file-with-different-case",
    "v0.97/warning/special-system-files",
    "v0.97/warning/same-filename-listed-twice-with-different-normalization",
)
needs_suite = pytest.mark.skipif(
    not BAGS, reason=f"the BagIt conformance suite is not at {SUITE}"
)


@needs_suite
def test_the_suite_has_54_bags_for_linux():
    assert len(BAGS) == 54


@needs_suite
@pytest.mark.parametrize("name", [name for name in BAGS if name not in FAULTY])
def test_a_bag_of_the_conformance_suite_is_judged_as_the_specification_wants(name):
    report = validate(BAGS[name])
    assert report.ok == (BAGS[name].parent.name in ("valid", "warning"))


@needs_suite
@pytest.mark.parametrize("name", [name for name in BAGS if "/warning/" in name])
def test_the_validator_warns_where_the_suite_does(name):
    assert warned(validate(BAGS[name]))


@needs_suite
@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_bag_of_the_suite_fails_for_the_file_it_lacks_alone(name):
    report = validate(BAGS[name])
    missing = [one.path for one in report.findings if one.code == "missing-file"]
    assert len(missing) == 1
    assert not (BAGS[name] / missing[0]).exists()
    assert errors(report) <= {"missing-file", "oxum-mismatch"}


@needs_suite
@pytest.mark.parametrize("path", sorted(SUITE.glob("v*/windows-only/*/")), ids=lambda path: path.name)  # fmt: skip
def test_a_path_that_only_windows_follows_is_unsafe_here_too(path):
    assert "unsafe-path" in errors(validate(path))


# ------------------------------------------------------------------------ defect suite


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Build and judge each case once."""
    place = tmp_path_factory.mktemp("defects")

    @cache
    def judge(name: str) -> Report:
        return CASES[name].judge(CASES[name].build(place / name))

    return judge


@pytest.mark.parametrize("name", CASES)
def test_a_defect_is_found_and_nothing_else(name, judged):
    one, report = CASES[name], judged(name)
    assert errors(report) == {*one.errors.split()}
    assert warned(report) == {*one.warns.split()}
    assert report.ok == (not one.errors)


@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one.at is not None])  # fmt: skip
def test_a_defect_is_found_where_it_is(name, judged):
    code = name.partition("_")[0]
    found = {one.path for one in judged(name).findings if one.code == code}
    assert CASES[name].at in found


def test_every_code_has_two_cases_or_more():
    counts = Counter(name.partition("_")[0] for name in CASES)
    assert {*counts} == {*BAG, *METADATA}
    assert min(counts.values()) >= 2


@pytest.mark.parametrize(
    ("table", "rules"), [("warccheck", WARC), ("conformity", PROFILE)]
)
def test_every_code_of_a_deeper_check_has_a_case_in_its_own_table(table, rules):
    text = Path(__file__).with_name(f"test_{table}.py").read_text("utf-8")
    assert {code for code in rules if f'"{code}"' not in text} == set()


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_published_bags_are_those_that_the_cases_build(tmp_path):
    for name, one in defects.published().items():
        one.build(tmp_path / name)
    there = tree(defects.HERE / "bags")
    there.pop(".gitattributes")
    assert there == tree(tmp_path), "run: python tests/defects.py --write"


def test_the_table_tells_what_both_validators_find(tmp_path):
    assert defects.written_table() == defects.table(tmp_path), (
        "run: python tests/defects.py --write"
    )


@pytest.mark.parametrize("name", CASES)
def test_every_report_is_json_that_can_be_printed(name, judged):
    told = json.dumps(report_json(judged(name)), ensure_ascii=False)
    assert json.loads(told.encode())["ok"] == (not CASES[name].errors)


# ------------------------------------------------------------------------- sound bags


@pytest.mark.parametrize("version", ["0.97", "1.0"])
def test_a_sound_bag_has_no_findings(tmp_path, version):
    report = validate(sound(tmp_path / "bag", version=version))
    assert report.findings == ()
    assert report.ok


def test_a_report_tells_what_the_bag_is(tmp_path):
    report = validate(sound(tmp_path / "bag"))
    assert report_json(report) == {
        "path": str(tmp_path / "bag"),
        "ok": True,
        "level": "full",
        "version": "1.0",
        "algorithms": ["sha256", "sha512"],
        "files": 2,
        "bytes": 15,
        "findings": [],
    }


def test_a_manifest_that_is_only_listed_is_none_of_the_bag(tmp_path):
    bag = sound(tmp_path / "bag")
    append(bag, "tagmanifest-sha256.txt", line("sha256", b"", b"manifest-md5.txt"))
    report = validate(bag)
    assert report.algorithms == ("sha256", "sha512")
    assert errors(report) == {"tag-missing-file"}


def test_findings_are_told_with_code_severity_path_message_and_clause(tmp_path):
    bag = sound(tmp_path / "bag")
    (bag / "data/letter.txt").write_bytes(b"a lettes\n")
    found = report_json(validate(bag))["findings"]
    assert isinstance(found, list)
    assert {key: found[0][key] for key in ("code", "severity", "path", "clause")} == {
        "code": "digest-mismatch",
        "severity": "error",
        "path": "data/letter.txt",
        "clause": "RFC 8493 3",
    }
    assert "manifest-sha256.txt says " in found[0]["message"]


def test_a_relative_path_is_told_as_an_absolute_one(tmp_path, monkeypatch):
    sound(tmp_path / "bag")
    monkeypatch.chdir(tmp_path)
    assert report_json(validate(Path("bag")))["path"] == str(tmp_path / "bag")


def test_every_algorithm_is_verified(tmp_path):
    names = (
        "md5",
        "sha1",
        "sha224",
        "sha256",
        "sha384",
        "sha512",
        "blake2b",
        "blake2s",
    )
    report = validate(sound(tmp_path / "bag", algorithms=names))
    assert (report.findings, len(report.algorithms)) == ((), 8)


def test_sha3_is_known_by_its_normal_name(tmp_path):
    bag = sound(tmp_path / "bag")
    lines = (line("sha3_256", data, path) for path, data in sorted(FILES.items()))
    put(bag, b"manifest-sha3256.txt", b"".join(lines))
    assert validate(seal(bag)).findings == ()


def test_two_manifests_of_one_algorithm_are_both_verified(tmp_path):
    bag = sound(tmp_path / "bag")
    shutil.copy(bag / "manifest-sha512.txt", bag / "manifest-SHA512.txt")
    swap(bag, "manifest-SHA512.txt", b"  data/letter", b"\t data/letter")
    report = validate(seal(bag))
    assert (report.ok, warned(report)) == (
        True,
        {"unknown-algorithm", "case-collision"},
    )


def test_a_bag_may_be_named_through_a_link(tmp_path):
    sound(tmp_path / "bag")
    (tmp_path / "link").symlink_to("bag")
    assert validate(tmp_path / "link").ok


def test_tag_files_may_be_in_utf_16(tmp_path):
    bag = sound(tmp_path / "bag", files={"data/Zo\u00eb.txt".encode(): b"x"})
    for name in ("bag-info.txt", "manifest-sha256.txt", "manifest-sha512.txt"):
        put(bag, name.encode(), (bag / name).read_text("utf-8").encode("utf-16"))
    seal(bag)
    for one in ALGORITHMS:
        name = f"tagmanifest-{one}.txt"
        put(bag, name.encode(), (bag / name).read_bytes().decode().encode("utf-16"))
    put(bag, b"bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-16\n")
    report = validate(bag)
    assert errors(report) == {"tag-digest-mismatch"}  # of bagit.txt, sealed before
    assert {one.path for one in report.findings} == {"bagit.txt"}


def test_seals_beside_the_manifests_are_not_unlisted(tmp_path):
    bag = sound(tmp_path / "bag")
    for name in ("seal-0001.json", "seal-0001.json.p7s", "seal-0002.freetsa.tsr"):
        (bag / name).write_bytes(b"{}")
    assert validate(bag, strict_profile=True).findings == ()


@pytest.mark.parametrize("name", ["seal-1.json", "seals/seal-0001.json", "seal-0001"])
def test_what_only_looks_like_a_seal_is_unlisted(tmp_path, name):
    bag = sound(tmp_path / "bag")
    put(bag, name.encode(), b"{}")
    assert warned(validate(bag)) == {"tag-unlisted-file"}


def test_a_bag_without_tag_manifests_has_no_unlisted_tag_files(tmp_path):
    bag = sound(tmp_path / "bag")
    for one in ALGORITHMS:
        (bag / f"tagmanifest-{one}.txt").unlink()
    assert validate(bag).findings == ()


def test_package_info_is_the_metadata_before_0_96(tmp_path):
    bag = sound(tmp_path / "bag", version="0.95")
    (bag / "bag-info.txt").rename(bag / "package-info.txt")
    swap(bag, "package-info.txt", b"15.2", b"16.2")
    assert errors(validate(seal(bag))) == {"oxum-mismatch"}


def test_a_file_to_be_fetched_that_came_in_another_unicode_form_is_there(tmp_path):
    one, other = "data/Zo\u00eb", "data/Zoe\u0308"
    bag = sound(tmp_path / "bag", files={one.encode(): b"x"})
    put(bag, b"fetch.txt", f"https://example.org/x 1 {one}\n".encode())
    (bag / one).rename(bag / other)
    report = validate(seal(bag))
    assert (report.ok, warned(report)) == (True, {"unicode-collision"})


def test_a_missing_name_beside_an_unlisted_one_of_no_kin_is_missing(tmp_path):
    bag = sound(tmp_path / "bag", files={"data/Zo\u00eb".encode(): b"x"})
    (bag / "data/Zo\u00eb").rename(bag / "data/J\u00f6rg")
    assert errors(validate(bag)) == {"missing-file", "unlisted-file"}


# ----------------------------------------------------------------------------- levels


def agreed(**rules):
    about = {
        "BagIt-Profile-Identifier": "urn:example:profile",
        "Version": "1",
        "Source-Organization": "Example",
        "External-Description": "Example",
        "BagIt-Profile-Version": "1.4.0",
    }
    told = {"BagIt-Profile-Info": about, "Accept-BagIt-Version": ["1.0"], **rules}
    return parse(json.dumps(told).encode(), name="example")


NAMED = INFO + b"BagIt-Profile-Identifier: urn:example:profile\n"
NOTES = {"Other-Info": [{"Notes": {"Title": {"required": True}}}]}
PROFILES = {
    "nothing it does not want": ({}, {}, ""),
    "a tag file with rules": (NOTES, {b"notes.txt": b"Title: Letters\n"}, ""),
    "a tag file that lacks a label": (NOTES, {b"notes.txt": b"Titel: x\n"}, "profile-bag-info-required"),
    "a tag file that is absent": (NOTES, {}, ""),
    "a label": ({"Bag-Info": {"Contact-Name": {"required": True}}}, {}, "profile-bag-info-required"),
    "a tag file": ({"Tag-Files-Allowed": ["x"]}, {}, "profile-tag-file-allowed"),
    "a payload file": ({"Payload-Files-Allowed": ["data/*.txt"]}, {}, "profile-payload-allowed"),
    "a folder in the payload": ({"Payload-Files-Required": ["data/photos/"]}, {}, ""),
    "a manifest": ({"Manifests-Required": ["md5"]}, {}, "profile-manifest-required"),
    "a tag manifest": ({"Tag-Manifests-Required": ["md5"]}, {}, "profile-tag-manifest-required"),
    "one file": ({"Serialization": "required", "Accept-Serialization": ["application/zip"]}, {}, "profile-serialization"),
    "no fetch.txt": ({"Allow-Fetch.txt": False}, {b"fetch.txt": b"https://example.org/x - data/letter.txt\n"}, "profile-fetch-allowed"),
}  # fmt: skip


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(("rules", "tags", "code"), PROFILES.values(), ids=PROFILES)
def test_a_bag_is_held_to_a_profile_at_every_level(tmp_path, rules, tags, code, level):
    bag = sound(tmp_path / "bag", info=NAMED, tags=TAGS | tags)
    assert errors(validate(bag, profile=agreed(**rules), level=level)) == {
        *code.split()
    }


def test_what_is_still_to_be_fetched_counts_for_a_profile(tmp_path):
    bag = sound(tmp_path / "bag", info=NAMED)
    put(bag, b"fetch.txt", b"https://example.org/x - data/letter.txt\n")
    seal(bag)
    (bag / "data/letter.txt").unlink()
    profile = agreed(**{"Payload-Files-Required": ["data/letter.txt"]})
    assert "profile-payload-required" not in errors(validate(bag, profile=profile))


def test_what_an_archive_file_is_counts_for_a_profile(tmp_path):
    write(sound(tmp_path / "bag", info=NAMED), tmp_path / "bag.tar", Form.TAR)
    wanted = {"Serialization": "required", "Accept-Serialization": ["application/zip"]}
    found = validate_serial(tmp_path / "bag.tar", profile=agreed(**wanted))
    assert errors(found) == {"profile-accept-serialization"}


def test_twins_are_told_in_one_order_whatever_the_folder_says(tmp_path, monkeypatch):
    names = (b"data/a", b"data/A", "data/Zoe\u0308".encode(), "data/Zo\u00eb".encode())
    bag = sound(tmp_path / "bag", files=dict.fromkeys(names, b"x"))
    expected = validate(bag).findings
    there = walk.walk

    def backwards(root):
        return reversed([*there(root)])

    monkeypatch.setattr(tree_module, "walk", backwards)
    assert validate(bag).findings == expected
    assert [one.path for one in expected if one.code == "case-collision"] == ["data/a"]


def test_level_oxum_counts_and_reads_no_manifest(tmp_path):
    bag = sound(tmp_path / "bag")
    put(bag, b"manifest-sha256.txt", b"junk\n")
    report = validate(bag, level=Level.OXUM)
    assert (report.ok, report.algorithms) == (True, ("sha256", "sha512"))
    put(bag, b"data/more", b"")
    assert errors(validate(bag, level=Level.OXUM)) == {"oxum-mismatch"}


def test_level_complete_reads_names_and_no_payload(tmp_path):
    bag = sound(tmp_path / "bag")
    put(bag, b"data/letter.txt", b"A LETTER\n")
    assert validate(bag, level=Level.COMPLETE).ok
    (bag / "data/letter.txt").unlink()
    assert "missing-file" in errors(validate(bag, level=Level.COMPLETE))


def test_level_complete_tells_two_digests_of_a_file_apart(tmp_path):
    bag = sound(tmp_path / "bag")
    append(bag, "manifest-sha256.txt", line("sha256", b"x", b"data/letter.txt"))
    (one,) = validate(bag, level=Level.COMPLETE).findings
    assert one.code == "duplicate-entry"
    assert "another digest" in one.message


def test_progress_tells_bytes_done_and_all_bytes(tmp_path):
    told: list[tuple[int, int]] = []
    bag = sound(tmp_path / "bag", files={b"data/a": b"x" * 1_500_000, b"data/b": b"y"})
    validate(bag, progress=lambda done, total: told.append((done, total)))
    listed = sum(
        path.stat().st_size
        for path in bag.rglob("*")
        if path.is_file() and not path.name.startswith("tagmanifest")
    )
    assert told[0][0] == 0
    assert told[-1][0] == listed
    assert told == sorted(told)


# ---------------------------------------------------------------------------- hostile


def test_a_name_with_percent_signs_is_found_encoded(tmp_path):
    files = {
        b"data/50%": b"a",
        b"data/%25": b"b",
        b"data/a\nb": b"c",
        b"data/%0A": b"d",
    }
    assert validate(sound(tmp_path / "bag", files=files)).ok


def test_an_encoded_name_is_told_from_a_literal_one_when_both_stand(tmp_path):
    files = {b"data/a%": b"one", b"data/a%25": b"two"}
    bag = sound(tmp_path / "bag", files=files)
    assert validate(bag).ok
    put(bag, b"data/a%25", b"TWO")
    (found,) = {one.path for one in validate(bag).findings}
    assert found == "data/a%25"


def test_a_flipped_bit_in_any_file_is_found(tmp_path):
    bag = sound(tmp_path / "bag")
    for path in sorted(bag.rglob("*")):
        if not path.is_file() or path.name.startswith("tagmanifest-"):
            continue
        data = path.read_bytes()
        for place in range(0, len(data), 7):
            flipped = bytearray(data)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            assert not validate(bag).ok, f"{path.name} byte {place}"
            path.write_bytes(data)


def test_three_hundred_thousand_missing_files_are_a_short_report(tmp_path):
    bag = sound(tmp_path / "bag")
    with (bag / "manifest-sha256.txt").open("ab") as stream:
        for number in range(300_000):
            stream.write(b"%064x  data/gone/%d\n" % (number, number))
    report = validate(bag, limit=100)
    assert errors(report) == {"missing-file", "tag-digest-mismatch", "limit"}
    assert len(report.findings) == 101
    assert "299902 of missing-file" in " ".join(one.message for one in report.findings)


MEMORY = """
import sys
from pathlib import Path
from pipeline.model import Level
from pipeline.packaging.validate import validate
validate(Path(sys.argv[1]), level=Level.COMPLETE)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def memory(bag: Path) -> int:
    """Return how many megabytes a check of a bag takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(bag)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return int(done.stdout) // 1024


def test_a_line_of_a_hundred_megabytes_costs_no_memory(tmp_path):
    bag = sound(tmp_path / "bag")
    for name in ("manifest-sha256.txt", "bag-info.txt", "fetch.txt", "bagit.txt"):
        with (bag / name).open("ab") as stream:
            stream.truncate(100 << 20)
    assert memory(bag) < 80


def test_a_hundred_thousand_entries_take_little_memory(tmp_path):
    bag = sound(tmp_path / "bag")
    paths = [b"data/some-folder/Another-Folder/%07d.tiff" % n for n in range(100_000)]
    for one in ALGORITHMS:
        append(
            bag, f"manifest-{one}.txt", b"".join(line(one, b"", path) for path in paths)
        )
    assert memory(bag) < 80


def test_more_paths_than_are_kept_is_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MOST_ROWS", 10)
    bag = sound(tmp_path / "bag")
    for number in range(20):
        append(bag, "manifest-sha256.txt", line("sha256", b"", b"data/%d" % number))
    put(bag, b"fetch.txt", b"https://example.org/x - data/x\n" * 20)
    report = validate(bag, level=Level.COMPLETE)
    limits = {one.path for one in report.findings if one.code == "limit"}
    assert limits == {
        "fetch.txt", "manifest-sha256.txt", "manifest-sha512.txt",
        "tagmanifest-sha256.txt", "tagmanifest-sha512.txt",
    }  # fmt: skip


def test_a_bag_that_is_not_there_is_a_finding(tmp_path):
    report = validate(tmp_path / "none")
    assert errors(report) == {"not-a-bag"}
    assert "No such file" in report.findings[0].message


def test_a_folder_that_cannot_be_looked_into_is_a_finding(tmp_path, monkeypatch):
    bag = sound(tmp_path / "bag")
    real = os.scandir
    inode = (bag / "data/photos").stat().st_ino

    def refusing(place):
        if isinstance(place, int) and os.fstat(place).st_ino == inode:
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "scandir", refusing)
    found = {(one.code, one.path) for one in validate(bag).findings}
    assert ("missing-file", "data/photos") in found


@pytest.mark.parametrize(("place", "code"), [("", "not-a-bag"), ("notes", "tag-missing-file")])  # fmt: skip
def test_other_folders_that_cannot_be_looked_into_are_findings(
    tmp_path, monkeypatch, place, code
):
    bag = sound(tmp_path / "bag")
    real = os.scandir
    inode = (bag / place).stat().st_ino

    def refusing(folder):
        if isinstance(folder, int) and os.fstat(folder).st_ino == inode:
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert (code, place) in {(one.code, one.path) for one in validate(bag).findings}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bagit.txt", "not-a-bag"),
        ("manifest-sha256.txt", "tag-missing-file"),
        ("data/letter.txt", "digest-mismatch"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_finding(tmp_path, monkeypatch, name, code):
    bag = sound(tmp_path / "bag")
    real = os.open
    base = name.rpartition("/")[2].encode()

    def refusing(path, *args, **kwargs):
        if path == base:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)
    found = {(one.code, one.path) for one in validate(bag).findings}
    assert (code, name) in found


def test_a_manifest_with_a_name_of_odd_bytes_is_told_in_print(tmp_path):
    bag = sound(tmp_path / "bag")
    put(bag, b"manifest-\xff\n.txt", b"junk\n")
    put(bag, b"tagmanifest-\xff.txt", b"junk\n")
    report = validate(bag)
    json.dumps(report_json(report)).encode()
    assert "manifest-\\xff\\n.txt" in {one.path for one in report.findings}


def test_a_path_of_a_listed_name_that_is_too_long_to_open_is_missing(tmp_path):
    bag = sound(tmp_path / "bag")
    append(
        bag, "manifest-sha256.txt", line("sha256", b"", b"data/" + b"x/" * 5000 + b"x")
    )
    report = validate(bag, level=Level.COMPLETE)
    assert errors(report) == {"missing-file"}
    assert all(len(one.path) < 2000 for one in report.findings)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"BagIt-Version: 1.0\n",
            b"BagIt-Version: 0.97\n",
            b"Tag-File-Character-Encoding: UTF-8\n",
            b"Tag-File-Character-Encoding: UTF-16\n",
            b"Tag-File-Character-Encoding: Shift_JIS\n",
            b"Payload-Oxum: 15.2\n",
            b"\r",
            b"\n",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"0" * 64 + b"  data/letter.txt\n",
            b"0" * 32 + b" *./data//x\n",
            b"\\" + b"0" * 64 + b"  data/a\\nb\n",
            b"0" * 64 + b"  data/%0A%25%7E\n",
            b"0" * 64 + b"  /etc/passwd\n",
            b"https://example.org/x 5 data/letter.txt\n",
            b"http://[::1]/x - data/x\n",
            b"  continued\n",
        ]
    ),
)
TAG_FILES = (
    b"bagit.txt", b"bag-info.txt", b"fetch.txt", b"manifest-sha256.txt",
    b"tagmanifest-sha256.txt", b"manifest-\xff.txt", b"package-info.txt",
)  # fmt: skip
TAMPERED = st.dictionaries(
    st.sampled_from(TAG_FILES), st.lists(PIECES, max_size=6).map(b"".join), min_size=1
)


@settings(max_examples=150)
@given(TAMPERED, st.sampled_from(Level))
def test_no_bytes_in_a_tag_file_break_the_validator(tampered, level):
    with tempfile.TemporaryDirectory() as place:
        bag = sound(Path(place) / "bag")
        for name, data in tampered.items():
            put(bag, name, data)
        report = validate(bag, level=level)
        json.dumps(report_json(report), ensure_ascii=False).encode()
        assert all(one.path.isprintable() for one in report.findings)


# ----------------------------------------------------------------------- finding bags


def test_bags_are_found_in_order_and_not_inside_bags(tmp_path):
    for name in ("b", "a/two", "a/one"):
        (tmp_path / name).mkdir(parents=True)
        sound(tmp_path / name / "bag")
    sound(tmp_path / "b/bag/data/inner")
    (tmp_path / "empty/deeper").mkdir(parents=True)
    found = [str(path.relative_to(tmp_path)) for path in find_bags(tmp_path)]
    assert found == ["a/one/bag", "a/two/bag", "b/bag"]


def test_a_bag_itself_is_the_bag_that_is_found(tmp_path):
    sound(tmp_path / "bag")
    assert list(find_bags(tmp_path / "bag")) == [tmp_path / "bag"]


SIGNS = {
    "its declaration": "bagit.txt",
    "its payload": "data/x",
    "its metadata": "bag-info.txt",
    "a manifest": "manifest-md5.txt",
}


@pytest.mark.parametrize("name", SIGNS.values(), ids=SIGNS.keys())
def test_what_passes_for_a_bag_is_found_by(tmp_path, name):
    put(tmp_path / "odd", name.encode(), b"")
    assert list(find_bags(tmp_path)) == [tmp_path / "odd"]


NO_SIGNS = {
    "a file called data": "data",
    "a tag manifest alone": "tagmanifest-md5.txt",
    "a text": "readme.txt",
    "what Muniment keeps for itself": ".muniment/bag/bagit.txt",
}


@pytest.mark.parametrize("name", NO_SIGNS.values(), ids=NO_SIGNS.keys())
def test_nothing_else_passes_for_a_bag(tmp_path, name):
    put(tmp_path, name.encode(), b"")
    assert list(find_bags(tmp_path)) == []


def test_no_bag_is_found_through_a_link(tmp_path):
    (tmp_path / "archive").mkdir()
    sound(tmp_path / "bag")
    (tmp_path / "archive/link").symlink_to("../bag")
    assert list(find_bags(tmp_path / "archive")) == []


def test_bags_are_not_looked_for_in_what_is_no_folder(tmp_path):
    with pytest.raises(StorageError, match="none"):
        list(find_bags(tmp_path / "none"))


def test_a_name_with_a_percent_sign_that_is_not_there_is_missing(tmp_path):
    bag = sound(tmp_path / "bag")
    append(bag, "manifest-sha256.txt", line("sha256", b"", b"data/50%25"))
    (found,) = validate(seal(bag)).findings
    assert (found.code, found.path) == ("missing-file", "data/50%")
