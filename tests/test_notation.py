"""Strict YAML: what is read, where it stands, what is refused."""

from dataclasses import dataclass

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.intake import notation
from pipeline.intake.notation import Hole, Mapping, Scalar, Sequence, cut, parse

LOADERS = {"libyaml": yaml.CSafeLoader, "PyYAML's own": yaml.SafeLoader}


def scalar(text: str) -> Scalar:
    root = parse(f"a: {text}\n".encode()).root
    assert isinstance(root, Mapping)
    node = root.get("a")
    assert isinstance(node, Scalar)
    return node


# ----------------------------------------------------------------------------- scalars


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("null", None),
        ("", None),
    ],
)
def test_a_plain_scalar_converts_as_yaml_1_2_says(written, meant):
    assert scalar(written).value == meant
    assert type(scalar(written).value) is type(meant)


@pytest.mark.parametrize(
    "written",
    [
        "NO",
        "no",
        "off",
        "on",
        "yes",
        "y",
        "12:30:45",
        "0123",
        "0x1F",
        "0o17",
        "1_000",
        "2019-12-23",
        "2019-12-23T10:00:00Z",
        ".inf",
        ".nan",
        "+",
        "1.",
        "=",
        "9" * 5000,
    ],
)
def test_what_yaml_1_1_would_have_converted_stays_text(written):
    assert scalar(written).value == written


@pytest.mark.parametrize("written", ['"true"', "'7'", '"null"', '""'])
def test_a_quoted_scalar_is_text(written):
    assert scalar(written).value == written[1:-1]


# ----------------------------------------------------------------------------- places


def test_a_node_knows_its_line_its_column_and_its_characters():
    text = "# remark\na:\n  - ä\n  - {b: 'c d'}\n"
    root = parse(text.encode()).root
    listed = root.get("a")
    inner = listed.items[1].get("b")
    assert (inner.span.line, inner.span.column) == (4, 9)
    assert text[inner.span.start : inner.span.end] == "'c d'"


def test_a_byte_order_mark_is_skipped_and_moves_no_column():
    reading = parse(b"\xef\xbb\xbfa: 1\n")
    assert not reading.flaws
    assert reading.root.pairs[0][0].span.column == 1


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_whatever_ends_them(line_break):
    text = line_break.join(("a: 1", "b: 2", ""))
    assert parse(text.encode()).root.pairs[1][0].span.line == 2


# ------------------------------------------------------------------------------- flaws


@dataclass(frozen=True, kw_only=True)
class Case:
    data: bytes
    line: int
    column: int
    says: str
    path: str = ""
    hint: str = ""


FLAWED = {
    "an empty file": Case(data=b"", line=1, column=1, says="empty"),
    "nothing but remarks": Case(data=b"# a\n", line=1, column=1, says="empty"),
    "UTF-16": Case(data="a: 1".encode("utf-16"), line=1, column=1, says="UTF-16", hint="UTF-8"),
    "UTF-16, the other way round": Case(data=b"\xfe\xff\0a", line=1, column=1, says="UTF-16"),
    "Latin-1": Case(data="a: 1\nb: caf\xe9\n".encode("latin-1"), line=2, column=7, says="0xe9 is not UTF-8"),
    "a NUL": Case(data=b"a: 1\nb: \0\n", line=2, column=4, says="U+0000"),
    "an escape sequence": Case(data=b"a: \x1b[31m\n", line=1, column=4, says="U+001B"),
    "a NUL by escape": Case(data=b'a:\n  b: "x\\0"\n', line=2, column=6, path="a.b", says="U+0000"),
    "a byte order mark within": Case(data="a: \ufeffx".encode(), line=1, column=4, says="U+FEFF"),
    "an anchor": Case(data=b"a: &x 1\n", line=1, column=4, path="a", says="anchor", hint="defaults"),
    "an alias": Case(data=b"a: 1\nb: *x\n", line=2, column=4, path="b", says="alias", hint="write the value out"),
    "an alias as a key": Case(data=b"*x : 1\n", line=1, column=1, says="alias"),
    "a merge key": Case(data=b"a: 1\nb:\n  <<: *x\n", line=3, column=3, path="b", says="merge key", hint="defaults"),
    "a tag": Case(data=b"a: !!str 1\n", line=1, column=4, path="a", says="tag"),
    "a tag of one's own": Case(data=b"a: !x {b: 1}\n", line=1, column=4, path="a", says="tag"),
    "the tag that forbids tags": Case(data=b"a: ! 1\n", line=1, column=4, path="a", says="tag"),
    "two documents": Case(data=b"a: 1\n---\nb: 2\n", line=2, column=1, says="second document"),
    "a key twice": Case(data=b"a: 1\nb: 2\na: 3\n", line=3, column=1, path="a", says="twice, on line 1 and on line 3"),
    "a key twice, deeper": Case(data=b"x:\n  - {a: 1,\n     a: 3}\n", line=3, column=6, path="x.0.a", says="twice, on line 2 and on line 3"),
    "a key twice, quoted once": Case(data=b"a: 1\n'a': 3\n", line=2, column=1, path="a", says="twice"),
    "a list as a key": Case(data=b"? [a]\n: b\n", line=1, column=3, says="cannot be a key"),
    "another YAML": Case(data=b"%YAML 1.1\n---\na: 1\n", line=1, column=1, says="1.1", hint="remove"),
    "a tab for a margin": Case(data=b"a:\n\tb: c\n", line=2, column=1, says="not valid YAML", hint="not with tabs"),
    "a colon in a value": Case(data=b"a: b: c\n", line=1, column=5, says="not valid YAML", hint="in quotes"),
    "a quote that is never closed": Case(data=b'a: "b\nc: d\n', line=3, column=1, says="began on line 1", hint="close the quotes"),
    "a bracket that is never closed": Case(data=b"a: [b\nc: d\n", line=2, column=2, says="began on line 1", hint="close the bracket"),
    "a value that begins with @": Case(data=b"a: @b\n", line=1, column=4, says="not valid YAML", hint="in quotes"),
    "an escape that is none": Case(data=b'a: "C:\\dir"\n', line=1, column=7, says="not valid YAML", hint="backslash twice"),
    "a surrogate by escape": Case(data=b'a: "\\ud800"\n', line=1, column=7, says="not valid YAML"),
    "too deep": Case(data=b"[" * 21, line=1, column=21, says="more than 20 deep"),
    "far deeper": Case(data=b"[" * 900, line=1, column=21, says="more than 20 deep"),
}  # fmt: skip


def test_a_million_levels_are_one_flaw_whoever_counts_them():
    (flaw,) = parse(b"[" * 1_000_000).flaws  # PyYAML counts as well, from 6.0.4 on
    assert flaw.span.line == 1
    assert "more than 20 deep" in flaw.message or "nesting depth" in flaw.message


@pytest.mark.parametrize("case", FLAWED.values(), ids=FLAWED)
def test_a_flaw_is_named_with_its_place(case):
    (flaw,) = parse(case.data).flaws
    found = (flaw.span.line, flaw.span.column, ".".join(flaw.path))
    assert found == (case.line, case.column, case.path)
    assert case.says in flaw.message
    assert case.hint in flaw.hint


def test_twenty_blocks_may_stand_in_one_another():
    assert not parse(b"[" * 20 + b"]" * 20).flaws


def test_a_file_of_16_mib_is_read_and_a_longer_one_is_not():
    full = b"a: 1\n".ljust(notation.MAX_BYTES - 1, b" ") + b"\n"
    assert not parse(full).flaws
    (flaw,) = parse(full + b"\n").flaws
    assert "larger than 16 MiB" in flaw.message


def test_the_number_of_values_is_bounded(monkeypatch):
    monkeypatch.setattr(notation, "MAX_NODES", 5)
    assert not parse(b"[1, 2, 3, 4]").flaws
    (flaw,) = parse(b"[1, 2, 3, 4, 5]").flaws
    assert "more than 5 values" in flaw.message


def test_yaml_1_2_may_be_declared():
    assert not parse(b"%YAML 1.2\n---\na: 1\n").flaws


def test_every_flaw_of_the_notation_is_found_in_one_pass():
    flaws = parse(b"a: &x 1\na: *x\nb: !t 2\n? [c]\n: 3\n---\nd: 4\n").flaws
    assert sorted(flaw.span.line for flaw in flaws) == [1, 2, 2, 3, 4, 6]


def test_an_alias_leaves_a_hole_that_is_complained_of_once():
    root = parse(b"a: *x\n").root
    assert isinstance(root.get("a"), Hole)


def test_both_values_of_a_key_that_stands_twice_are_kept_to_be_judged():
    root = parse(b"a: 1\na: 2\n").root
    assert [value.text for _, value in root.pairs] == ["1", "2"]
    assert root.get("a").text == "1"


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("escape", ["\\ud800", "\\U00110000", "\\UFFFFFFFF"])
def test_an_escape_that_names_no_character_is_a_flaw_to_either_parser(loader, escape):
    assert parse(f'a: "{escape}"\n'.encode(), loader=loader).flaws


def test_a_complaint_without_a_place_is_one_about_the_first_line():
    class Mute(yaml.SafeLoader):
        def __init__(self, stream):
            raise yaml.YAMLError("no")

    (flaw,) = parse(b"a: 1\n", loader=Mute).flaws
    assert (flaw.span.line, flaw.message) == (1, "not valid YAML")


# --------------------------------------------------------------------------- cutting

CUTS = {
    "a line": ("a: b\nc: d\n", "a: b\n"),
    "a line and its remark": ("a: b   # why\nc: d\n", "a: b   # why\n"),
    "no remark of the next line": ("a: b\n# why\nc: d\n", "a: b\n"),
    "no hash that is part of the text": ("a: b#c\n", "a: b#c\n"),
    "a block": ("a:\n  b: 1\n\n  c: 2\n\n# d\ne: f\n", "a:\n  b: 1\n\n  c: 2\n"),
    "a block with a literal text": ("a:\n  b: |\n    x\n      y\n\ne: f\n", "a:\n  b: |\n    x\n      y\n"),
    "braces": ("a: {b: 1,\n    c: 2}\ne: f\n", "a: {b: 1,\n    c: 2}\n"),
    "Windows lines": ("a:\r\n  b: 1\r\ne: f\r\n", "a:\r\n  b: 1\n"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "piece"), CUTS.values(), ids=CUTS)
def test_a_piece_is_cut_out_as_it_was_written(text, piece):
    key, value = parse(text.encode()).root.pairs[0]
    assert cut(text, key, value) == piece


def test_a_piece_loses_the_margin_it_stood_in():
    text = "s:\n    a:\n      b: |\n        x\n         y\n    c: d\n"
    key, value = parse(text.encode()).root.get("s").pairs[0]
    assert cut(text, key, value) == "a:\n  b: |\n    x\n     y\n"


def test_what_stands_in_braces_keeps_its_lines():
    text = "s: {a: {b: 1,\n     c: 2}, d: 3}\n"
    key, value = parse(text.encode()).root.get("s").pairs[0]
    assert cut(text, key, value, dedent=False) == "a: {b: 1,\n     c: 2}\n"


# ------------------------------------------------------------------------ any bytes

FRAGMENTS = st.sampled_from(
    [
        "a",
        "b",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        '"',
        "'",
        "|",
        ">",
        "#",
        "&x ",
        "*x",
        "!t ",
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\t",
        "\r",
        "é",
        "\u2028",
        "\x00",
        "\ufeff",
        "1",
        "~",
        "true",
        '"\\x41"',
        '"\\UFFFFFFFF"',
        '"\\ud800"',
    ]
)
BYTES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode()),
)


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
@given(data=BYTES)
@settings(max_examples=200)
def test_whatever_the_bytes_there_is_a_tree_or_a_flaw_with_a_place(loader, data):
    reading = parse(data, loader=loader)
    lines = len(notation.LINE_BREAK.split(reading.text))
    assert reading.root is not None or reading.flaws
    for flaw in reading.flaws:
        assert 1 <= flaw.span.line <= lines
        assert flaw.span.column >= 1


WORDS = st.text(st.sampled_from("abcäé 漢#:-'\"{}[],&*!|>%@`\\\t\n"), max_size=12)
TREES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)
    ),
    max_leaves=8,
)


def plain(node):
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.pairs}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text


@given(tree=TREES, flow=st.booleans())
@settings(max_examples=100)
def test_what_was_dumped_is_read_back(tree, flow):
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    reading = parse(text.encode())
    assert not reading.flaws
    assert plain(reading.root) == tree


IDS = st.text(st.sampled_from("abc-."), min_size=1, max_size=5)


@given(tree=st.dictionaries(IDS, TREES, min_size=1, max_size=3))
@settings(max_examples=100)
def test_every_piece_that_is_cut_out_means_what_it_meant(tree):
    text = yaml.safe_dump({"outer": tree}, allow_unicode=True)
    inner = parse(text.encode()).root.get("outer")
    for key, value in inner.pairs:
        again = parse(cut(text, key, value).encode()).root
        assert plain(again) == {key.text: plain(value)}
