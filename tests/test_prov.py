"""PROV-JSON: which act made which file out of what, and who acted."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import ACCESSION, BAG_ID, CAPTURED, DERIVED, RUN, accession_saying, at

from pipeline.model import Event, EventType, Operator
from pipeline.packaging.account import account_of, run_account
from pipeline.packaging.prov import prov_json

PACKED = Event(id="packed", type=EventType.PACKAGE, at=at(42), outcome="success")
TOLD = prov_json(account_of(ACCESSION, (PACKED,)))
WARC = "bag:data/objects/capture.warc.gz"
TEXT = "bag:data/objects/rendered/page.txt"
CAPTURE_ACT, CREATION_ACT = f"uuid:{CAPTURED.id}", f"uuid:{DERIVED.id}"
# PROV-JSON 3: a qualified name; PROV-N's PN_LOCAL lets a slash and a percent stand
NAME = re.compile(r"(bag|uuid):[A-Za-z0-9_./~%-]+")


def rows(told, kind, *names):
    return [tuple(row[f"prov:{name}"] for name in names) for row in told[kind].values()]


def test_a_file_stands_where_it_stands_in_the_bag():
    assert TOLD["prefix"]["bag"] == f"arcp://name,{BAG_ID}/"


def test_the_capture_made_the_warc_out_of_the_source():
    assert (WARC, CAPTURE_ACT) in rows(TOLD, "wasGeneratedBy", "entity", "activity")
    assert (CAPTURE_ACT, "bag:subject") in rows(TOLD, "used", "activity", "entity")


def test_the_derivation_made_the_text_out_of_the_warc():
    assert (TEXT, CREATION_ACT) in rows(TOLD, "wasGeneratedBy", "entity", "activity")
    used = [
        pair
        for pair in rows(TOLD, "used", "activity", "entity")
        if pair[0] == CREATION_ACT
    ]
    assert used == [(CREATION_ACT, WARC)]


def test_a_derivation_that_names_only_its_result_used_its_origin():
    event = replace(DERIVED, objects=DERIVED.objects[:1])
    capture = replace(ACCESSION.capture, events=(event,))
    told = prov_json(account_of(replace(ACCESSION, capture=capture)))
    assert rows(told, "used", "activity", "entity") == [(CREATION_ACT, WARC)]


def test_the_text_was_derived_from_the_warc():
    found = rows(TOLD, "wasDerivedFrom", "generatedEntity", "usedEntity")
    assert found == [(TEXT, WARC)]


def test_the_packing_made_the_bag():
    made = rows(TOLD, "wasGeneratedBy", "entity", "activity")
    assert ("bag:bag", "uuid:packed") in made


def test_the_bag_holds_every_file():
    members = rows(TOLD, "hadMember", "collection", "entity")
    assert members == [("bag:bag", WARC), ("bag:bag", TEXT)]


def test_the_software_acts_for_the_person_and_the_person_for_the_organisation():
    assert rows(TOLD, "actedOnBehalfOf", "delegate", "responsible") == [
        ("bag:agent/software", "bag:agent/person"),
        ("bag:agent/person", "bag:agent/organization"),
    ]


def test_software_with_no_one_behind_it_acts_for_no_one():
    told = prov_json(run_account(replace(RUN, operator=Operator()), (), ()))
    assert "actedOnBehalfOf" not in told


def test_a_subject_without_a_title_has_its_name():
    told = prov_json(run_account(replace(RUN, title=""), (), ()))
    assert told["entity"]["bag:subject"]["prov:label"] == "toll/run"


@pytest.mark.parametrize(
    ("kind", "ends"),
    {
        "wasGeneratedBy": ("entity", "activity"),
        "used": ("activity", "entity"),
        "wasAssociatedWith": ("activity", "agent"),
        "actedOnBehalfOf": ("delegate", "responsible"),
        "wasDerivedFrom": ("generatedEntity", "usedEntity"),
        "hadMember": ("collection", "entity"),
    }.items(),
)
def test_every_relation_leads_somewhere(kind, ends):
    known = {*TOLD["entity"], *TOLD["activity"], *TOLD["agent"]}
    assert {name for row in rows(TOLD, kind, *ends) for name in row} <= known


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), min_size=1, max_size=20))
def test_names_stay_qualified_names_whatever_an_event_is_called(text):
    event = replace(PACKED, id=text)
    told = prov_json(account_of(accession_saying(text), (event,)))
    names = [*told["entity"], *told["activity"], *told["agent"]]
    assert [name for name in names if not NAME.fullmatch(name)] == []
