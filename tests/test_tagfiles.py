"""The tag files of a bag: bytes to values and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.model import Severity
from pipeline.packaging import tagfiles
from pipeline.packaging.encoding import LONGEST, lines
from pipeline.packaging.tagfiles import Fetch

GOOD = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def weights(findings) -> list[tuple[str, str]]:
    return [(one.code, str(one.severity)) for one in findings]


# ------------------------------------------------------------------------- bagit.txt


def test_what_we_declare_is_read_without_complaint():
    declared, findings = tagfiles.parse_declaration(tagfiles.DECLARATION)
    assert (declared.version, declared.encoding, findings) == ("1.0", "UTF-8", ())


ERROR, WARNING = ("bagit-txt", "error"), ("bagit-txt", "warning")
DECLARATIONS = {
    "CRLF at the ends": (GOOD.replace(b"\n", b"\r\n"), []),
    "CR at the ends": (GOOD.replace(b"\n", b"\r"), []),
    "no end of the last line": (GOOD[:-1], []),
    "nothing": (b"", [ERROR] * 3),
    "a third line": (GOOD + b"x\n", [ERROR]),
    "a blank third line": (GOOD + b"\n", [ERROR]),
    "two spaces": (GOOD.replace(b": ", b":  "), [ERROR] * 2),
    "a space at the end": (GOOD.replace(b"1.0", b"1.0 "), [ERROR]),
    "a small letter": (GOOD.replace(b"-Version", b"-version"), [ERROR]),
    "a version of one number": (GOOD.replace(b"1.0", b"1"), [ERROR]),
    "a version to come": (GOOD.replace(b"1.0", b"1.1"), [ERROR]),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, [ERROR]),
    "another encoding": (GOOD.replace(b"UTF-8", b"UTF-8\xff"), [ERROR, ("encoding", "error")]),
    "UTF-16": (GOOD.decode().encode("utf-16"), [ERROR] * 4),
    "spaces in a draft": (GOOD.replace(b": 1.0", b" :0.97"), [WARNING]),
    "a blank line in a draft": (GOOD.replace(b"1.0", b"0.96") + b"\n", [WARNING]),
    "a third line in a draft": (GOOD.replace(b"1.0", b"0.96") + b"x\n", [ERROR]),
    "a byte order mark in a draft": (b"\xef\xbb\xbf" + GOOD.replace(b"1.0", b"0.97"), [ERROR]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expected"), DECLARATIONS.values(), ids=DECLARATIONS.keys()
)
def test_a_declaration_is_exactly_two_lines(data, expected):
    _, findings = tagfiles.parse_declaration(data)
    assert weights(findings) == expected


@pytest.mark.parametrize("version", tagfiles.VERSIONS)
def test_every_version_from_0_93_is_known(version):
    declared, findings = tagfiles.parse_declaration(
        GOOD.replace(b"1.0", version.encode())
    )
    assert (declared.version, findings) == (version, ())
    assert declared.is_strict == (version == "1.0")


def test_the_metadata_file_was_called_package_info_before_0_96():
    assert tagfiles.Declaration(version="0.95").info_file == "package-info.txt"
    assert tagfiles.Declaration(version="0.96").info_file == "bag-info.txt"


def test_a_version_that_is_unknown_is_judged_as_1_0():
    declared, _ = tagfiles.parse_declaration(GOOD.replace(b"1.0", b"7.0"))
    assert declared.is_strict


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_declarations(data):
    tagfiles.parse_declaration(data)


# ---------------------------------------------------------------------- bag-info.txt


def info(text: str, *, strict: bool = True):
    return tagfiles.parse_info(text.encode().split(b"\n")[:-1], strict=strict)


def test_order_and_repetition_of_metadata_are_kept():
    tags, findings = info("B: 1\nA: 2\nB: 3\n")
    assert (tags, findings) == ((("B", "1"), ("A", "2"), ("B", "3")), ())


def test_a_continued_value_is_joined_by_a_space():
    tags, _ = info("A: one\n  two\n\tthree\nB: four\n")
    assert tags == (("A", "one two three"), ("B", "four"))


def test_labels_are_found_in_any_case():
    tags, _ = info("bag-COUNT: 1 of 2\n")
    assert tagfiles.tagged(tags, "Bag-Count") == ("1 of 2",)


def test_a_value_may_hold_colons():
    assert info("A: b: c\n")[0] == (("A", "b: c"),)


INFO = {
    "no colon": ("A b\n", ["error"]),
    "no label": (": b\n", ["error"]),
    "no space": ("A:b\n", ["error"]),
    "a space before the colon": ("A : b\n", ["error"]),
    "a space before the label": (" A: b\n", ["error"]),
    "a blank line": ("A: b\n\n\nC: d\n", ["warning"]),
    "a NUL": ("A: b\0\n", ["error"]),
    "two oxums": ("Payload-Oxum: 1.1\nPAYLOAD-OXUM: 1.1\n", ["error"]),
    "two dates": ("Bagging-Date: 2026-01-01\n" * 2, ["warning"]),
    "two sizes": ("Bag-Size: 1 MB\n" * 2, ["warning"]),
    "no date": ("Bagging-Date: 2026-13-01\n", ["warning"]),
    "no digits of ours": (
        "Bagging-Date: \u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661\n",
        ["warning"],
    ),
    "thirty bad lines": ("A b\n" * 30, ["error"] * 21),
}


@pytest.mark.parametrize(("text", "expected"), INFO.values(), ids=INFO.keys())
def test_a_malformed_metadata_line_is_told(text, expected):
    _, findings = info(text)
    assert weights(findings) == [("bag-info", weight) for weight in expected]


def test_drafts_allow_any_spacing_around_the_colon():
    tags, findings = info("A:b\nC  :   d\nE :f\n", strict=False)
    assert (tags, findings) == ((("A", "b"), ("C", "d"), ("E", "f")), ())


def test_an_overlong_metadata_line_is_told():
    _, findings = tagfiles.parse_info([b"A: " + b"x" * (LONGEST + 1)])
    assert weights(findings) == [("bag-info", "error")]


def test_a_million_continuations_take_no_time():
    tags, _ = tagfiles.parse_info([b"A: b", *[b" c"] * 100_000])
    assert len(tags[0][1]) == 200_001


TAGS = st.lists(
    st.tuples(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9),
        st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
    ),
    max_size=6,
)


@given(TAGS)
def test_metadata_comes_back_as_it_was_written(tags):
    data = tagfiles.render_info(tags)
    parsed, _ = tagfiles.parse_info(lines([data]))
    assert list(parsed) == tags


UNWRITABLE = {
    "a line feed in a value": ("A", "b\nc"),
    "a carriage return in a value": ("A", "b\rc"),
    "a control character": ("A", "b\x1bc"),
    "a line separator": ("A", "b\u2028c"),
    "a surrogate": ("A", "b\udcff"),
    "a space at the end": ("A", "b "),
    "a space before": ("A", " b"),
    "a line feed in a label": ("A\nB", "c"),
    "a space after the label": ("A ", "b"),
    "a colon in a label": ("A:B", "c"),
    "no label": ("", "c"),
}


@pytest.mark.parametrize("tag", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_metadata_that_one_line_cannot_hold_is_refused(tag):
    with pytest.raises(UsageError, match=r"bag-info\.txt"):
        tagfiles.render_info([tag])


def test_a_long_value_is_not_folded():
    assert tagfiles.render_info([("A", "b " * 100 + "c")]).count(b"\n") == 1


OXUMS = {
    "15.2": (15, 2),
    "0.0": (0, 0),
    "15": None,
    "15.2.1": None,
    "-1.2": None,
    "1e3.2": None,
    "\u0661\u0665.\u0662": None,
    "9" * 30 + ".1": None,
}


@pytest.mark.parametrize("value", OXUMS)
def test_an_oxum_is_octets_and_files(value):
    assert tagfiles.parse_oxum(value) == OXUMS[value]


@pytest.mark.parametrize("value", ["1 of 2", "4 of 4", "3 of ?", "89 of 145"])
def test_a_bag_count_counts(value):
    assert tagfiles.bad_count(value) == ""


@pytest.mark.parametrize("value", ["", "1", "1/2", "2 of 1", "0 of 1", "? of 2", "1 of 1 of 1"])  # fmt: skip
def test_a_bag_count_that_does_not_count_is_told(value):
    assert "Bag-Count" in tagfiles.bad_count(value)


# ------------------------------------------------------------------------- manifests

NAMES = {
    "manifest-sha256.txt": (False, "sha256", True),
    "tagmanifest-sha512.txt": (True, "sha512", True),
    "manifest-SHA-512.txt": (False, "sha512", False),
    "manifest-sha3_256.txt": (False, "sha3256", False),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_is_known_by_its_name(name):
    found = tagfiles.parse_manifest_name(name)
    assert found is not None
    assert (found.is_tag, found.algorithm, found.is_normal) == NAMES[name]


@pytest.mark.parametrize("name", ["manifest.txt", "manifest-.txt", "Manifest-md5.txt", "manifest-md5", "xmanifest-md5.txt"])  # fmt: skip
def test_other_files_are_no_manifests(name):
    assert tagfiles.parse_manifest_name(name) is None


def test_a_name_of_odd_bytes_can_be_shown():
    found = tagfiles.parse_manifest_name("manifest-\udcff.txt")
    assert found is not None
    assert found.shown == "manifest-\\xff.txt"


ENTRIES = {
    "two spaces": (b"ab  data/x", (b"", b"ab", b"data/x")),
    "one space": (b"ab data/x", (b"", b"ab", b"data/x")),
    "a tab": (b"ab\tdata/x", (b"", b"ab", b"data/x")),
    "upper case": (b"AB  data/x", (b"", b"AB", b"data/x")),
    "a space in the path": (b"ab  data/x y ", (b"", b"ab", b"data/x y ")),
    "a star": (b"ab *data/x", (b"", b"ab", b"*data/x")),
    "GNU's backslash": (b"\\ab  data\\\\x", (b"\\", b"ab", b"data\\\\x")),
    "no path": (b"ab  ", None),
    "no digest": (b"  data/x", None),
    "no hexadecimal": (b"xy  data/x", None),
    "no space": (b"ab", None),
    "a space before": (b" ab  data/x", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize(("line", "entry"), ENTRIES.values(), ids=ENTRIES.keys())
def test_a_manifest_line_is_a_checksum_and_a_path(line, entry):
    assert tagfiles.parse_entry(line) == entry


def test_gnu_writes_backslash_and_line_ends_with_a_backslash():
    assert tagfiles.unslash(b"a\\\\b\\nc\\rd") == b"a\\b\nc\rd"


PATHS = st.binary(min_size=1, max_size=30)


@given(PATHS)
def test_a_path_comes_back_from_its_encoding(path):
    assert tagfiles.decode_path(tagfiles.encode_path(path)) == path


@given(PATHS)
def test_an_encoded_path_fits_a_line_and_has_no_bare_percent(path):
    encoded = tagfiles.encode_path(path)
    assert not {*encoded} & {*b"\r\n"}
    assert not tagfiles.has_bare_percent(encoded)


def test_only_percent_line_feed_and_carriage_return_are_encoded():
    assert tagfiles.encode_path(b"a%\n\r ~\xff") == b"a%25%0A%0D ~\xff"


def test_no_other_escape_means_anything():
    assert tagfiles.decode_path(b"%7Ea%20b%0a%0d%25") == b"%7Ea%20b\n\r%"
    assert tagfiles.has_bare_percent(b"%7Ea")


@given(st.dictionaries(PATHS.map(lambda path: b"data/" + path), st.just("ab")))
def test_a_manifest_is_sorted_and_comes_back(entries):
    data = b"".join(tagfiles.render_manifest(entries.items()))
    parsed = [tagfiles.parse_entry(line) for line in lines([data])]
    assert [tagfiles.decode_path(entry[2]) for entry in parsed if entry] == sorted(
        entries
    )


# ------------------------------------------------------------------------- fetch.txt

FETCHES = {
    "with a length": (
        b"https://example.org/a 12 data/a b",
        Fetch(url="https://example.org/a", size=12, path=b"data/a b"),
    ),
    "without": (
        b"http://example.org/a\t-  data/a",
        Fetch(url="http://example.org/a", size=None, path=b"data/a"),
    ),
    "a file": (
        b"file:///a - data/a",
        Fetch(url="file:///a", size=None, path=b"data/a"),
    ),
    "relative": (b"a - data/a", None),
    "a length in words": (b"https://example.org/a many data/a", None),
    "a length below nothing": (b"https://example.org/a -1 data/a", None),
    "no path": (b"https://example.org/a -", None),
    "no brackets": (b"https://[::1 - data/a", None),
    "not ASCII": ("https://example.org/ë - data/a".encode(), None),
    "not UTF-8": (b"https://example.org/\xff - data/a", None),
    "a length without end": (
        b"https://example.org/a " + b"9" * 5000 + b" data/a",
        None,
    ),
}


@pytest.mark.parametrize(("line", "fetch"), FETCHES.values(), ids=FETCHES.keys())
def test_a_fetch_line_is_an_address_a_length_and_a_path(line, fetch):
    assert tagfiles.parse_fetch(line) == fetch


def test_a_heap_of_blank_lines_is_one_warning():
    heap = tagfiles.Heap()
    for number in range(5):
        heap.add(number, b"  ")
    (one,) = heap.told("malformed-line", "manifest-md5.txt", "an entry")
    assert (one.severity, one.message) == (Severity.WARNING, "5 blank lines")
