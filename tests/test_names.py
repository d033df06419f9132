"""What file names mean to other systems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.packaging import names

UNSAFE = {
    "absolute": b"/etc/passwd",
    "climbs out": b"data/../../x",
    "climbs at the start": b"../x",
    "climbs at the end": b"data/..",
    "climbs with backslashes": b"data\\..\\x",
    "a home folder": b"~/x",
    "another's home folder": b"~root/x",
    "a drive": b"C:\\x",
    "a drive in lower case": b"c:x",
    "a machine": b"\\\\server\\share",
    "a variable of Windows": b"%HomeDrive%\\x",
}
SAFE = {
    "plain": b"data/x",
    "two dots in a name": b"data/a..b",
    "a name of three dots": b"data/...",
    "a tilde within": b"data/~x",
    "a percent within": b"data/50%x%",
    "a colon within": b"data/a:b",
    "a line feed": b"data/a\nb",
    "a backslash within": b"data/a\\b",
}


@pytest.mark.parametrize("path", UNSAFE.values(), ids=UNSAFE.keys())
def test_a_path_that_leads_elsewhere_is_unsafe(path):
    assert names.unsafe(path)


@pytest.mark.parametrize("path", SAFE.values(), ids=SAFE.keys())
def test_a_path_that_stays_is_not_unsafe(path):
    assert names.unsafe(path) == ""


UNPORTABLE = {
    "reserved": (b"data/con", "reserves"),
    "reserved with an ending": (b"data/LPT1.txt", "reserves"),
    "reserved as a folder": (b"data/Aux/x", "reserves"),
    "a dot at the end": (b"data/x.", "ends with"),
    "a folder with a space at its end": (b"data/x /y", "ends with"),
    "a question mark": (b"data/why?", "one of"),
    "a backslash": (b"data/a\\b", "one of"),
    "a tab": (b"data/a\tb", "control"),
    "a line separator": ("data/a\u2028b".encode(), "control"),
    "a next line": ("data/a\x85b".encode(), "control"),
    "a delete": (b"data/a\x7f", "control"),
    "a desktop's index": (b"data/.DS_Store", "desktop"),
    "a desktop's thumbnails": (b"data/Thumbs.db", "desktop"),
    "a twin of a Mac file": (b"data/._x", "desktop"),
    "too long": (b"data/" + b"x" * 251, "longer"),
    "too long in letters": (("data/" + "é" * 251).encode(), "longer"),
    "not UTF-8": (b"data/\xff", "UTF-8"),
}
PORTABLE = {
    "plain": b"data/x.txt",
    "a reserved beginning": b"data/console.txt",
    "a reserved middle": b"data/falcon",
    "letters beyond ASCII": "data/Zoë".encode(),
    "as long as can be": b"data/" + b"x" * 250,
    "as many letters as can be": ("data/" + "é" * 250).encode(),
    "a name of dots and more": b"data/..x",
}


@pytest.mark.parametrize(("path", "why"), UNPORTABLE.values(), ids=UNPORTABLE.keys())
def test_a_name_that_other_systems_refuse_is_told_with_its_reason(path, why):
    assert why in names.unportable(path)


@pytest.mark.parametrize("path", PORTABLE.values(), ids=PORTABLE.keys())
def test_an_ordinary_name_is_portable(path):
    assert names.unportable(path) == ""


PLAIN = {
    "dot and slash": (b"./data/x", b"data/x"),
    "double slash": (b"data//x", b"data/x"),
    "dots within": (b"data/./x/.", b"data/x"),
    "slash at the end": (b"data/x/", b"data/x"),
    "nothing but a dot": (b".", b""),
    "a dot in a name": (b"data/a./b", b"data/a./b"),
}


@pytest.mark.parametrize(("path", "plain"), PLAIN.values(), ids=PLAIN.keys())
def test_a_path_is_made_plain(path, plain):
    assert names.plain(path) == plain


@given(st.binary(max_size=40))
def test_plain_is_plain_already(path):
    assert names.plain(names.plain(path)) == names.plain(path)


def test_twins_by_case_fold_into_one():
    assert names.folded(b"data/A.txt") == names.folded(b"data/a.TXT")


def test_twins_by_unicode_form_fold_into_one_and_compose_into_one():
    one, other = "Zo\u00eb".encode(), "Zoe\u0308".encode()
    assert names.folded(one) == names.folded(other)
    assert names.composed(one) == names.composed(other) == one


@given(st.binary(max_size=40))
def test_folding_never_fails_and_does_it_all_at_once(path):
    assert names.folded(names.folded(path)) == names.folded(path)


def test_folders_of_a_path_come_outermost_first():
    assert names.folders(b"data/a/b/c.txt") == [b"data", b"data/a", b"data/a/b"]


@given(st.binary(max_size=60))
def test_whatever_is_shown_can_be_printed(path):
    shown = names.show(path)
    assert shown.isprintable()
    shown.encode()


def test_a_long_name_is_cut_when_shown():
    assert len(names.show(b"x" * 10_000)) < 1100


def test_a_line_feed_is_shown_as_it_is_written():
    assert names.show(b"a\nb\xff") == "a\\nb\\xff"
