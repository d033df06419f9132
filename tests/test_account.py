"""An account of a bag: what an event names, and who acted."""

import pytest
from msgspec.structs import replace
from samples import (
    ACCESSION,
    CAPTURE,
    CAPTURED,
    DERIVED,
    OPERATOR,
    RUN,
    TEXT,
    TEXT_PATH,
    WARC,
    WARC_PATH,
    record,
)

from pipeline.model import Access, EventType, Operator
from pipeline.packaging.account import (
    Terms,
    account_of,
    agents_of,
    captured,
    made,
    origins,
    touched,
)

ACCOUNT = account_of(ACCESSION)
TOUCHED = {
    "a path is that file": ((TEXT_PATH,), (TEXT,)),
    "a record id is the WARC that holds it": ((record(6).id,), (WARC,)),
    "a record id may come without brackets": (("urn:uuid:00",), (WARC,)),
    "each file is named once": ((WARC_PATH, record(1).id, record(2).id), (WARC,)),
    "no name at all means what was captured": ((), (WARC,)),
    "a name that is not in the bag means the same": (("data/objects/gone",), (WARC,)),
}
AGENTS = {
    "all three are known": (OPERATOR, ["person", "organization", "software"]),
    "a name alone": (Operator(name="A"), ["person", "software"]),
    "an organisation alone": (Operator(organisation="B"), ["organization", "software"]),
    "nobody": (Operator(), ["software"]),
}


@pytest.mark.parametrize(("objects", "files"), TOUCHED.values(), ids=TOUCHED.keys())
def test_an_event_concerns_files(objects, files):
    assert touched(ACCOUNT, replace(CAPTURED, objects=objects)) == files


@pytest.mark.parametrize(("operator", "kinds"), AGENTS.values(), ids=AGENTS.keys())
def test_only_those_who_are_named_acted(operator, kinds):
    agents = agents_of(replace(RUN, operator=operator))
    assert [agent.kind for agent in agents] == kinds


def test_the_software_is_told_apart_from_its_version():
    software = agents_of(RUN)[-1]
    assert (software.name, software.version) == ("Muniment", "0.1.0")


def test_software_without_a_version_has_a_name():
    software = agents_of(replace(RUN, software="Muniment"))[-1]
    assert (software.name, software.version) == ("Muniment", "")


def test_a_person_and_an_organisation_of_one_name_are_two_agents():
    operator = Operator(name="Same", organisation="Same")
    person, organisation, _ = agents_of(replace(RUN, operator=operator))
    assert person.id != organisation.id


def test_a_derived_file_has_its_origin():
    assert origins(ACCOUNT) == {TEXT_PATH: WARC}


def test_a_file_is_never_its_own_origin():
    odd = replace(TEXT, derived_from=TEXT_PATH)
    capture = replace(CAPTURE, artefacts=(odd,))
    assert origins(account_of(replace(ACCESSION, capture=capture))) == {}


def test_derived_is_not_captured():
    assert captured(ACCOUNT) == (WARC,)


def test_a_capture_makes_the_warc_and_not_what_is_derived_from_it():
    event = replace(CAPTURED, objects=(WARC_PATH, TEXT_PATH))
    assert made(ACCOUNT, event) == (WARC,)


def test_a_creation_makes_the_derived_file_and_not_its_source():
    assert made(ACCOUNT, DERIVED) == (TEXT,)


def test_other_acts_make_no_file():
    assert made(ACCOUNT, replace(CAPTURED, type=EventType.DIGEST)) == ()


@pytest.mark.parametrize("access", Access)
def test_every_access_has_a_restriction_in_words_archivematica_knows(access):
    terms = Terms(access=access, rights="", since=ACCESSION.packed_at)
    assert terms.restriction in ("Allow", "Conditional", "Disallow")
