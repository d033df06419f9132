"""What a seal says: one statement, one form."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.model import Digest
from pipeline.sealing.statement import Statement, Subject, parse, render

SAID = Statement(
    number=1,
    bag="case_page_1",
    subjects=(Subject.of("tagmanifest-sha256.txt", b"x"),),
    signer=Digest("sha256", "ab" * 32),
    authorities=("one", "two"),
    facts={"verdicts": {"captured": 1}, "nonce": "00"},
)
TEXT = render(SAID)


def without(*path):
    told = json.loads(TEXT)
    at = told
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"


ODD = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "text": b'"x"',
    "nested beyond reason": b"[" * 100_000,
    "a byte more": TEXT + b" ",
    "a key twice": TEXT.replace(b' "predicate": {', b' "predicate": {}, "predicate": {'),
    "another type": TEXT.replace(b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2"),
    "another predicate": TEXT.replace(b"urn:muniment:seal:1", b"urn:muniment:seal:2"),
    "a number that is none": TEXT.replace(b'"seal": 1', b'"seal": "1"'),
    "a truth for a number": TEXT.replace(b'"seal": 1', b'"seal": true'),
    "an authority that leads elsewhere": TEXT.replace(b'"two"', b'"../x"'),
    "a subject without sha512": without("subject", 0, "digest", "sha512"),
    "a subject with a short digest": TEXT.replace(SAID.subjects[0].digests[0].hex.encode(), b"ab"),
    "no signer": without("predicate", "signer"),
    "no subject": without("subject"),
    "UTF-16": TEXT.decode().encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_no_statement_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        parse(data)


def test_a_statement_is_an_in_toto_statement_that_grep_can_read():
    told = json.loads(TEXT)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["subject"][0]["name"] == "tagmanifest-sha256.txt"
    assert f'"sha256": "{SAID.subjects[0].digests[0].hex}"'.encode() in TEXT


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.integers(1, 9999),
    st.lists(st.tuples(WORDS, st.binary(max_size=4)), max_size=3),
    st.dictionaries(WORDS.map(lambda w: f"x{w}"), WORDS, max_size=3),
)
@settings(max_examples=50)
def test_statements_come_back(number, files, facts):
    subjects = tuple(Subject.of(name, data) for name, data in files)
    said = replace(SAID, number=number, subjects=subjects, facts=facts)
    assert parse(render(said)) == said
