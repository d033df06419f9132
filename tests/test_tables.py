"""metadata.csv, rights.csv and identifiers.json, in Archivematica's forms."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import (
    ACCESSION,
    BAG_ID,
    CAPTURE,
    RUN,
    RUN_ID,
    SOURCE,
    TEXT_PATH,
    WARC,
    WARC_PATH,
    accession_saying,
)

from pipeline.model import Access
from pipeline.packaging.tables import (
    RIGHTS_COLUMNS,
    identifiers_json,
    metadata_csv,
    rights_csv,
    run_metadata_csv,
)

ARCHIVEMATICA_RIGHTS = (
    "file,basis,status,determination_date,jurisdiction,start_date,end_date,terms,"
    "citation,note,grant_act,grant_restriction,grant_start_date,grant_end_date,"
    "grant_note,doc_id_type,doc_id_value,doc_id_role"
)
QUICK = settings(max_examples=40, derandomize=True, deadline=None)


def read(rendering):
    return list(csv.reader(rendering.data.decode().splitlines(keepends=True)))


def from_source(**changes):
    capture = replace(CAPTURE, source=replace(SOURCE, **changes))
    return replace(ACCESSION, capture=capture)


def column(rendering, name):
    header, *rows = read(rendering)
    return [row[header.index(name)] for row in rows]


def test_the_first_column_is_the_path_of_each_file_in_the_bag():
    header, *rows = read(metadata_csv(ACCESSION))
    assert (header[0], [row[0] for row in rows]) == ("filename", [WARC_PATH, TEXT_PATH])


def test_every_other_column_is_dublin_core():
    header, *_ = read(metadata_csv(ACCESSION))
    assert [n for n in header[1:] if not n.startswith(("dc.", "dcterms."))] == []


def test_each_author_has_a_column():
    header, *_ = read(metadata_csv(ACCESSION))
    assert header.count("dc.creator") == 2


def test_without_an_author_the_column_stays():
    assert column(metadata_csv(from_source(author=())), "dc.creator") == ["", ""]


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "dc.title": "The report",
        "dc.identifier": "toll/report",
        "dc.publisher": "News Example",
        "dc.date": "2019-12-23",
        "dc.source": SOURCE.url,
        "dc.language": "en",
        "dc.rights": SOURCE.rights,
        "dcterms.created": "2026-09-24T12:00:01.123456Z",
        "dcterms.isPartOf": BAG_ID,
    }.items(),
)
def test_a_column_tells_of_the_source(name, value):
    assert column(metadata_csv(ACCESSION), name) == [value, value]


@pytest.mark.parametrize(
    ("accession", "title"),
    [
        (from_source(title=""), CAPTURE.page_title),
        (
            replace(
                ACCESSION,
                capture=replace(
                    CAPTURE, source=replace(SOURCE, title=""), page_title=""
                ),
            ),
            SOURCE.url,
        ),
    ],
    ids=["the page's own", "its address"],
)
def test_a_source_without_a_title_is_called_by(accession, title):
    assert column(metadata_csv(accession), "dc.title")[0] == title


def test_a_run_is_described_by_its_title_and_its_operator():
    table = run_metadata_csv(RUN, (WARC,))
    assert read(table)[1][:4] == [WARC_PATH, RUN.title, "Example Archive", RUN_ID]


def test_a_run_without_a_document_has_no_source():
    table = run_metadata_csv(replace(RUN, document=None, title=""), (WARC,))
    assert (column(table, "dc.source"), column(table, "dc.title")) == ([""], ["toll"])


def test_the_columns_of_rights_are_those_archivematica_allows():
    assert ",".join(RIGHTS_COLUMNS) == ARCHIVEMATICA_RIGHTS


def test_rights_are_stated_for_every_file():
    assert column(rights_csv(ACCESSION), "file") == [WARC_PATH, TEXT_PATH]


@pytest.mark.parametrize(
    ("access", "restriction"),
    {
        Access.OPEN: "Allow",
        Access.INTERNAL: "Conditional",
        Access.RESTRICTED: "Disallow",
    }.items(),
)
def test_access_is_a_grant_to_disseminate(access, restriction):
    table = rights_csv(from_source(access=access))
    assert column(table, "grant_act") == ["disseminate", "disseminate"]
    assert column(table, "grant_restriction") == [restriction, restriction]


def test_the_basis_is_one_archivematica_knows():
    known = {"copyright", "statute", "license", "donor", "policy", "other"}
    assert set(column(rights_csv(ACCESSION), "basis")) <= known


@QUICK
@given(st.text(st.characters(codec=None), max_size=30))
def test_whatever_a_title_says_a_row_has_as_many_cells_as_the_header(text):
    for table in (metadata_csv, rights_csv):
        header, *rows = read(table(accession_saying(text)))
        assert [len(row) for row in rows] == [len(header)] * 2


def test_identifiers_name_the_package_first_and_then_its_files():
    told = identifiers_json(ACCESSION)
    paths = [one["file"] for one in told]
    assert paths == ["", "objects/capture.warc.gz", "objects/rendered/page.txt"]


def test_the_package_is_bound_to_its_bag_its_source_and_its_run():
    package, *_ = identifiers_json(ACCESSION)
    assert package["identifiers"] == [
        {"identifierType": "Muniment bag", "identifier": BAG_ID},
        {"identifierType": "Muniment source", "identifier": "toll/report"},
        {"identifierType": "Muniment run", "identifier": RUN_ID},
    ]
