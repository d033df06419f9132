"""PREMIS: valid, every reference leads somewhere, and Archivematica takes it."""

import os
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import (
    ACCESSION,
    BAG_ID,
    CAPTURE,
    CAPTURED,
    DERIVED,
    RUN,
    TEXT,
    TEXT_PATH,
    WARC,
    WARC_PATH,
    accession_saying,
    at,
    run_saying,
)

from pipeline.model import Digest, Event, EventType, Operator
from pipeline.packaging.account import account_of, run_account
from pipeline.packaging.premis import EVENT_CODES, premis_xml

NS = {"premis": "http://www.loc.gov/premis/v3"}
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
XSD = SHARED / "data" / "xsd" / "premis.xsd"
PACKED = Event(
    id="22222222-2222-4222-8222-000000000003",
    type=EventType.PACKAGE,
    at=at(42),
    outcome="success",
    objects=(WARC_PATH, TEXT_PATH),
)
CASES = {
    "a capture with all there is": account_of(ACCESSION, (PACKED,)),
    "no operator": account_of(
        replace(ACCESSION, run=replace(RUN, operator=Operator())), (PACKED,)
    ),
    "an event that names nothing of the bag": account_of(
        replace(
            ACCESSION,
            capture=replace(CAPTURE, events=(replace(CAPTURED, objects=("gone",)),)),
        )
    ),
    "a digest without an address of its own": account_of(
        replace(
            ACCESSION,
            capture=replace(
                CAPTURE,
                artefacts=(replace(WARC, digests=(Digest("blake2b", "00"),)),),
            ),
        )
    ),
    "an event without a detail": account_of(
        replace(
            ACCESSION,
            capture=replace(CAPTURE, events=(replace(CAPTURED, detail=""),)),
        )
    ),
    "a run's own bag": run_account(RUN, (WARC,), (PACKED,)),
    "a run without a title, and no files": run_account(
        replace(RUN, title=""), (), (PACKED,)
    ),
}
EVERY_CASE = pytest.mark.parametrize("account", CASES.values(), ids=CASES.keys())


def render(account):
    return ET.fromstring(premis_xml("premis.xml", account).data)


def pairs(root, name):
    """Every identifier of this name, as type and value."""
    return [
        (
            found.findtext(f"premis:{name}Type", "", NS),
            found.findtext(f"premis:{name}Value", "", NS),
        )
        for found in root.iterfind(f".//premis:{name}", NS)
    ]


def objects(root, kind):
    found = root.iterfind("premis:object", NS)
    return [one for one in found if one.get(XSI_TYPE) == f"premis:{kind}"]


@pytest.fixture(scope="module")
def schema():
    etree = pytest.importorskip("lxml.etree", reason="lxml reads the schema")
    if not XSD.exists():
        pytest.skip("the PREMIS schema is not here; MUNIMENT_SHARED may name its place")
    parser = etree.XMLParser(no_network=True)
    return etree.XMLSchema(etree.parse(str(XSD), parser)), etree


@EVERY_CASE
def test_the_schema_finds_nothing_wrong(account, schema):
    valid, etree = schema
    valid.assertValid(etree.fromstring(premis_xml("premis.xml", account).data))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), max_size=30))
def test_whatever_a_page_says_the_schema_finds_nothing_wrong(schema, text):
    valid, etree = schema
    for account in (
        account_of(accession_saying(text), (PACKED,)),
        run_account(run_saying(text), (), ()),
    ):
        valid.assertValid(etree.fromstring(premis_xml("premis.xml", account).data))


LINKS = {
    "relatedObjectIdentifier": "objectIdentifier",
    "linkingObjectIdentifier": "objectIdentifier",
    "linkingEventIdentifier": "eventIdentifier",
    "linkingAgentIdentifier": "agentIdentifier",
    "linkingRightsStatementIdentifier": "rightsStatementIdentifier",
}


@EVERY_CASE
@pytest.mark.parametrize(("link", "target"), LINKS.items(), ids=LINKS.keys())
def test_every_reference_leads_somewhere(account, link, target):
    root = render(account)
    assert set(pairs(root, link)) <= set(pairs(root, target))


@EVERY_CASE
@pytest.mark.parametrize("name", sorted(set(LINKS.values())))
def test_no_identifier_is_given_twice(account, name):
    found = pairs(render(account), name)
    assert len(found) == len(set(found))


def test_relations_hold_from_both_sides():
    seen = set()
    for one in render(CASES["a capture with all there is"]).iterfind(
        "premis:object", NS
    ):
        me = one.findtext(".//premis:objectIdentifierValue", None, NS)
        for relation in one.iterfind("premis:relationship", NS):
            kind = relation.findtext("premis:relationshipSubType", None, NS)
            seen |= {
                (me, kind, other)
                for _, other in pairs(relation, "relatedObjectIdentifier")
            }
    reverse = {
        "is Represented By": "represents",
        "has Part": "is Part Of",
        "has Source": "is Source Of",
    }
    reverse |= {back: forth for forth, back in reverse.items()}
    assert {(there, reverse[kind], here) for here, kind, there in seen} == seen


def test_there_is_one_source_one_capture_and_every_file():
    root = render(CASES["a capture with all there is"])
    kinds = ("intellectualEntity", "representation", "file")
    assert [len(objects(root, kind)) for kind in kinds] == [1, 1, 2]


def test_a_file_has_fixity_size_and_format():
    warc, _ = objects(render(CASES["a capture with all there is"]), "file")
    digests = [found.text for found in warc.iterfind(".//premis:messageDigest", NS)]
    told = [
        warc.findtext(f".//premis:{name}", None, NS)
        for name in ("size", "formatName", "formatVersion", "formatRegistryKey")
    ]
    assert (digests, told) == (
        ["b" * 64, "b" * 128],
        ["20480", "WARC", "1.1", "fmt/1281"],
    )


def test_every_kind_of_event_has_its_address():
    assert set(EVENT_CODES) == set(EventType)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (EventType.CAPTURE, "cap"),
        (EventType.DIGEST, "mes"),
        (EventType.FORMAT, "for"),
        (EventType.CREATION, "cre"),
        (EventType.PACKAGE, "ipc"),
        (EventType.METADATA, "mee"),
    ],
)
def test_an_event_carries_the_label_and_the_address_of_its_type(kind, code):
    event = replace(CAPTURED, type=kind)
    capture = replace(CAPTURE, events=(event,))
    root = render(account_of(replace(ACCESSION, capture=capture)))
    told = root.find("premis:event/premis:eventType", NS)
    address = f"http://id.loc.gov/vocabulary/preservation/eventType/{code}"
    assert (told.text, told.get("valueURI")) == (kind.value, address)


def test_an_outcome_that_is_a_verdict_has_no_address():
    root = render(CASES["a capture with all there is"])
    _, captured, packed = root.iterfind(".//premis:eventOutcome", NS)
    assert (captured.text, captured.get("valueURI")) == ("partial", None)
    assert packed.get("valueURI").endswith("/eventOutcome/suc")


def test_a_derived_file_is_the_outcome_of_its_making_and_the_warc_its_source():
    derived, *_ = render(CASES["a capture with all there is"]).iterfind(
        "premis:event", NS
    )
    roles = [
        found.text for found in derived.iterfind(".//premis:linkingObjectRole", NS)
    ]
    assert (DERIVED.objects[0], roles) == (TEXT.path, ["outcome", "source"])


def test_rights_say_who_may_see_the_bag():
    rights = render(CASES["a capture with all there is"]).find("premis:rights", NS)
    told = [
        rights.findtext(f".//premis:{name}", None, NS)
        for name in ("act", "restriction", "otherRightsNote")
    ]
    assert told == ["disseminate", "Disallow", "(c) News Example; kept as evidence"]


def test_where_nothing_is_said_of_rights_there_is_no_note():
    source = replace(CAPTURE.source, rights="")
    capture = replace(CAPTURE, source=source)
    root = render(account_of(replace(ACCESSION, capture=capture)))
    assert root.find(".//premis:otherRightsNote", NS) is None


# What Archivematica asks of metadata/premis.xml before it loads any event of it


def test_archivematica_finds_its_own_prefix():
    data = premis_xml("premis.xml", CASES["a run's own bag"]).data
    assert b'<premis:object xsi:type="premis:file">' in data


@EVERY_CASE
def test_archivematica_finds_each_file_by_its_path_in_the_bag(account):
    names = [
        found.findtext("premis:originalName", None, NS)
        for found in objects(render(account), "file")
    ]
    assert names == [file.path for file in account.files]


@EVERY_CASE
def test_archivematica_finds_that_events_link_to_files_alone(account):
    files = {f"{account.bag}/{file.path}" for file in account.files}
    linked = {value for _, value in pairs(render(account), "linkingObjectIdentifier")}
    assert linked <= {*files, account.bag}  # rights link to the bag as well
    for event in render(account).iterfind("premis:event", NS):
        found = {value for _, value in pairs(event, "linkingObjectIdentifier")}
        assert found <= files
        assert bool(found) is bool(files)


@EVERY_CASE
def test_archivematica_finds_every_agent_on_every_event(account):
    root = render(account)
    agents = [value for _, value in pairs(root, "agentIdentifier")]
    events = root.findall("premis:event", NS)
    linked = [
        value for event in events for _, value in pairs(event, "linkingAgentIdentifier")
    ]
    assert linked == [agent for _, agent in product(events, agents)]


def test_files_are_named_by_their_bag():
    found = pairs(render(CASES["a capture with all there is"]), "objectIdentifier")
    assert ("local", f"{BAG_ID}/{WARC_PATH}") in found
