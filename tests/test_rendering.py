"""Values told as files: what every reader survives."""

import csv
import json
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import NOON, PAGE, record

from pipeline.model import Digest, Verdict
from pipeline.packaging.rendering import (
    csv_file,
    json_file,
    jsonl_file,
    one_line,
    readable,
    told,
    told_pairs,
    xml_text,
)

ANYTHING = st.text(st.characters(codec=None), max_size=40)
QUICK = settings(max_examples=80, derandomize=True, deadline=None)

TOLD = {
    "an enumeration is its value": (Verdict.PARTIAL, "partial"),
    "a digest is one word": (Digest("sha256", "ab"), "sha256:ab"),
    "a moment is as in WARC": (NOON, "2026-09-24T12:00:00.123456Z"),
    "a span is seconds": (timedelta(milliseconds=1500), 1.5),
    "a tuple is a list": ((1, True, None), [1, True, None]),
    "half a surrogate pair is replaced": ("a\ud800b", "a\ufffdb"),
    "a record is named as such": (
        record(1),
        {"record": record(1).id, "offset": 1000, "length": 900},
    ),
}


@pytest.mark.parametrize(("value", "expected"), TOLD.values(), ids=TOLD.keys())
def test_a_value_is_told(value, expected):
    assert told(value) == expected


def test_a_noun_is_told_with_every_field_it_has():
    every = told(PAGE)
    assert isinstance(every, dict)
    assert list(every) == list(PAGE.__struct_fields__)


def test_what_is_no_part_of_the_model_is_refused():
    with pytest.raises(TypeError, match="bytes is no part of the model"):
        told(b"x")


def test_a_class_is_no_part_of_the_model():
    with pytest.raises(TypeError, match="no part of the model"):
        told(Digest)


def test_a_name_given_twice_keeps_both_values():
    pairs = (("a", "1"), ("b", "2"), ("a", "3"))
    assert told_pairs(pairs) == {"a": ["1", "3"], "b": "2"}


@QUICK
@given(ANYTHING)
def test_any_text_becomes_utf_8(text):
    assert readable(readable(text).encode().decode()) == readable(text)


@QUICK
@given(ANYTHING)
def test_one_line_is_one_line_to_every_splitter(text):
    assert len(one_line(text).splitlines()) <= 1


@QUICK
@given(ANYTHING)
def test_any_text_can_stand_in_xml(text):
    element = ET.Element("a")
    element.text = xml_text(text)
    assert (ET.fromstring(ET.tostring(element)).text or "") == xml_text(text)


@QUICK
@given(st.dictionaries(ANYTHING, ANYTHING, max_size=3))
def test_any_json_is_read_back(value):
    read = json.loads(json_file("a.json", value).data.decode())
    assert list(read.values()) == [
        readable(v) for v in {readable(k): v for k, v in value.items()}.values()
    ]


@QUICK
@given(st.lists(ANYTHING, max_size=4))
def test_each_row_of_json_lines_is_one_line(rows):
    lines = jsonl_file("a.jsonl", rows).data.decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [readable(row) for row in rows]


@QUICK
@given(st.lists(st.lists(ANYTHING, min_size=2, max_size=2), max_size=4))
def test_any_table_is_read_back_cell_by_cell(rows):
    text = csv_file("a.csv", ("x", "y"), rows).data.decode()
    read = list(csv.reader(text.splitlines(keepends=True)))
    assert read[1:] == [[one_line(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_cell_that_looks_like_a_formula_is_kept_as_it_is(cell):
    assert csv_file("a.csv", ("x",), [[cell]]).data == f'"x"\r\n"{cell}"\r\n'.encode()


def test_what_json_has_no_number_for_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        told(float("nan"))
