"""bag-info.txt: what stands on the outside of a bag."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import (
    ACCESSION,
    BAG_ID,
    PREVIOUS,
    RUN,
    RUN_ID,
    SOURCE,
    accession_saying,
    at,
    run_saying,
)

from pipeline.intake.terms import Unfit, info_name
from pipeline.model import Digest, Document, Operator
from pipeline.packaging.label import FACTS, bag_info, run_bag_info
from pipeline.packaging.tagfiles import render_info

SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
BTR = SHARED / "data" / "profiles" / "btr-bagit-profile-1.0.json"
INFO = bag_info(ACCESSION, number=3)
RUN_INFO = run_bag_info(RUN, packed_at=at(60), bags=4)


def with_run(**changes):
    return replace(ACCESSION, run=replace(RUN, **changes))


def test_the_order_is_kept():
    assert [name for name, _ in INFO] == [
        "Source-Organization",
        "Contact-Name",
        "Contact-Email",
        "External-Description",
        "Bagging-Date",
        "Internal-Sender-Identifier",
        "External-Identifier",
        "Bag-Group-Identifier",
        "Bag-Count",
        "Bag-Software-Agent",
        "BagIt-Profile-Identifier",
        "Evidence-Citing-Document",
        "Evidence-Source-URL",
        "Evidence-Captured-At",
        "Evidence-Verdict",
        "Evidence-Access",
        "Evidence-Rights",
        "Evidence-Previous-Bag",
        "Evidence-Previous-Tagmanifest-SHA512",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "Source-Organization": "Example Archive",
        "Bagging-Date": "2026-09-24",
        "Internal-Sender-Identifier": BAG_ID,
        "External-Identifier": "toll/report",
        "Bag-Group-Identifier": RUN_ID,
        "Bag-Count": "3 of ?",
        "Bag-Software-Agent": "Muniment 0.1.0",
        "Evidence-Citing-Document": "Who counts the toll <https://journal.example/toll>",
        "Evidence-Source-URL": SOURCE.url,
        "Evidence-Captured-At": "2026-09-24T12:00:01.123456Z",
        "Evidence-Verdict": "partial",
        "Evidence-Previous-Bag": PREVIOUS.bag,
        "Evidence-Previous-Tagmanifest-SHA512": "8" * 128,
    }.items(),
)
def test_a_field_says(name, value):
    assert dict(INFO)[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "External-Identifier": "toll/run",
        "Bag-Group-Identifier": RUN_ID,
        "Bag-Count": "4 of 4",
        "Evidence-Captured-At": "2026-09-24T12:00:00.123456Z",
    }.items(),
)
def test_a_field_of_a_runs_own_bag_says(name, value):
    assert dict(RUN_INFO)[name] == value


def test_a_run_has_no_verdict_of_its_own():
    assert "Evidence-Verdict" not in dict(RUN_INFO)


def test_a_bag_whose_place_is_not_known_counts_nothing():
    assert "Bag-Count" not in dict(bag_info(ACCESSION))


CITED = {
    "a title and an address": (Document(title="T", url="u"), "T <u>"),
    "an address wins over a file": (Document(title="T", url="u", file="f"), "T <u>"),
    "a title and a file": (Document(title="T", file="f"), "T <f>"),
    "a title alone": (Document(title="T"), "T"),
    "an address alone": (Document(url="u"), "u"),
    "nothing": (None, None),
}


@pytest.mark.parametrize(("document", "value"), CITED.values(), ids=CITED.keys())
def test_the_citing_document_is(document, value):
    info = dict(bag_info(with_run(document=document)))
    assert info.get("Evidence-Citing-Document") == value


def test_a_person_without_an_organisation_is_the_source():
    info = dict(bag_info(with_run(operator=Operator(name="A Person"))))
    assert info["Source-Organization"] == "A Person"


def test_a_contact_that_is_no_address_is_not_given_as_one():
    info = dict(bag_info(with_run(operator=Operator(contact="room 7"))))
    assert "Contact-Email" not in info


def test_a_first_capture_follows_nothing():
    info = dict(bag_info(replace(ACCESSION, previous=None)))
    assert [name for name in info if name.startswith("Evidence-Previous")] == []


@pytest.mark.parametrize("digest", [None, Digest("sha256", "00")])
def test_no_other_digest_passes_for_sha512(digest):
    previous = replace(PREVIOUS, tagmanifest=digest)
    info = dict(bag_info(replace(ACCESSION, previous=previous)))
    assert "Evidence-Previous-Tagmanifest-SHA512" not in info


SAID = {
    "who sends the bag": ("Source-Organization", "Another", ["Another"]),
    "in any case of letters": ("source-organization", "Another", ["Another"]),
    "a field of the profile that we leave open": ("Contact-Phone", "1", ["1"]),
    "a field of its own": ("Collection", "Tolls", ["Tolls"]),
    "with a colon in its name": ("Collection:", "Tolls", ["Tolls"]),
    "over two lines": ("Collection", "To\nlls", ["To lls"]),
    "nothing": ("Collection", "", []),
}


@pytest.mark.parametrize(("name", "value", "said"), SAID.values(), ids=SAID.keys())
def test_the_manifest_may_say(name, value, said):
    info = bag_info(ACCESSION, info=((name, value),))
    known = name.casefold().strip(":")
    assert [text for label, text in info if label.casefold() == known] == said


OWN = [*FACTS, "Evidence-Verdict", "evidence-anything"]


@pytest.mark.parametrize("name", [*OWN, "BAG-SIZE", "Payload-Oxum ", "Bag-\u017fize"])
def test_a_manifest_that_restates_a_fact_is_refused(name):
    with pytest.raises(Unfit, match="every bag writes it itself"):
        info_name(name)


@pytest.mark.parametrize("name", OWN)
def test_the_manifest_may_not_restate_a_fact(name):
    assert bag_info(ACCESSION, info=((name, "false"),), number=3) == INFO


def test_what_the_manifest_says_twice_is_kept_twice():
    info = bag_info(ACCESSION, info=(("Contact-Phone", "1"), ("Contact-Phone", "2")))
    assert [value for name, value in info if name == "Contact-Phone"] == ["1", "2"]


def test_a_sender_field_stands_in_the_order_of_the_profile():
    names = [name for name, _ in bag_info(ACCESSION, info=(("Contact-Phone", "1"),))]
    assert names.index("Contact-Name") < names.index("Contact-Phone")
    assert names.index("Contact-Phone") < names.index("Contact-Email")


def test_the_profile_finds_what_it_requires():
    if not BTR.exists():
        pytest.skip("the BTR profile is not here; MUNIMENT_SHARED may name its place")
    asked = json.loads(BTR.read_text())["Bag-Info"]
    required = {name for name, rule in asked.items() if rule.get("required")}
    for info in (INFO, RUN_INFO):
        assert required - dict(info).keys() == {"Payload-Oxum"}  # the bag appends it


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), max_size=30))
def test_whatever_is_said_a_bag_can_be_labelled_with_it(text):
    said = ((text, text), ("Contact-Name", text))
    for info in (
        bag_info(accession_saying(text), info=said),
        run_bag_info(run_saying(text), packed_at=at(60), bags=1, info=said),
    ):
        assert len(render_info(info).decode().splitlines()) == len(info)
