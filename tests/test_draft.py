"""A manifest made of a list: always one that is accepted, whatever the list holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.intake import manifest
from pipeline.intake.draft import draft
from pipeline.intake.lists import Listed, Reading, Remark

A = "https://a.example/"


def read(text: str) -> manifest.Manifest:
    found, problems = manifest.examine(text.encode(), Path("made.yaml"))
    assert found is not None, manifest.render(problems)
    return found


def made(*sources: Listed, title: str = ""):
    reading = Reading(sources=sources, title=title)
    return draft(reading, name="job", origin="list.txt")


def test_ids_are_made_of_the_host_and_the_address():
    text = made(Listed(line=1, url=A)).text
    (one,) = read(text).sources
    assert (one.id, one.url) == ("a-example-befde498", A)


def test_ids_are_as_a_plain_list_of_addresses_would_have_them():
    plain = f"version: 1\nid: job\nsources: ['{A}']\n"
    assert (
        read(plain).sources[0].id
        == read(made(Listed(line=1, url=A)).text).sources[0].id
    )


def test_fields_of_the_list_stand_in_the_source():
    fields = (("title", "A: “title” #1 \x07"), ("lang", "fa"), ("note", "می\u200cخو"))
    (one,) = read(made(Listed(line=1, url=A, fields=fields), title="Mine").text).sources
    assert (one.title, one.lang, one.note) == ("A: “title” #1", "fa", "می\u200cخو")


ODD = {
    "an id that is none": (("id", "No Id"),),
    "an id that is taken": (("id", "taken"),),
    "an id of ours": (("id", "document"),),
    "no language": (("lang", "Farsi!"),),
}


@pytest.mark.parametrize("fields", ODD.values(), ids=ODD)
def test_what_does_not_fit_a_field_is_told_and_the_source_stays(fields):
    taken = Listed(line=1, url="https://b.example/", fields=(("id", "taken"),))
    found = made(taken, Listed(line=2, url=A, fields=fields))
    assert len(read(found.text).sources) == 2
    assert [(one.line, one.is_bad) for one in found.remarks] == [(2, False)]
    assert found.is_whole


def test_an_id_that_is_made_twice_has_a_number():
    first = Listed(
        line=1, url="https://b.example/", fields=(("id", "a-example-befde498"),)
    )
    found = made(first, Listed(line=2, url=A))
    assert [one.id for one in read(found.text).sources][1] == "a-example-befde498-2"


def test_what_a_manifest_refuses_is_left_out_with_its_line():
    secret = (("note", "the password: hunter2 and the token: gh" + "p_" + "a1" * 15),)
    found = made(
        Listed(line=1, url=A), Listed(line=7, url="https://b.example/", fields=secret)
    )
    assert len(read(found.text).sources) == 1
    assert [(one.line, one.is_bad) for one in found.remarks] == [(7, True)]
    assert not found.is_whole
    assert "a1a1" not in found.remarks[0].message


def test_a_list_without_a_source_is_no_manifest():
    bad = Reading(remarks=(Remark(line=3, message="no address", is_bad=True),))
    with pytest.raises(
        UsageError, match="there is no source in it; line 3: no address"
    ):
        draft(bad, name="job", origin="x")
    with pytest.raises(UsageError, match=r"there is no source in it$"):
        draft(Reading(), name="job", origin="x")


def test_a_title_that_no_manifest_may_have_is_a_sentence():
    with pytest.raises(UsageError, match="title"):
        made(Listed(line=1, url=A), title="gh" + "p_" + "a1" * 15)


@given(st.text(), st.text(), st.text())
def test_whatever_stands_in_the_list_the_manifest_is_sound(title, name, note):
    fields = (("title", title), ("id", name), ("note", note))
    told = tuple((key, " ".join(text.split())) for key, text in fields if text.strip())
    try:
        found = made(
            Listed(line=1, url=A, fields=told), Listed(line=2, url="https://b.example/")
        )
    except UsageError:
        return
    assert len(read(found.text).sources) == found.sources
