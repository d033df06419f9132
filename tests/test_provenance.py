"""All of data/metadata: complete, deterministic, and readable whatever a page said."""

import csv
import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import (
    ACCESSION,
    BAG_ID,
    CAPTURE,
    CAPTURED,
    MANIFEST,
    PLAN,
    RUN,
    RUN_ID,
    WARC,
    accession_saying,
    at,
    counting,
    run_saying,
)

from pipeline.fixity import digest_of
from pipeline.model import EventType
from pipeline.packaging import provenance
from pipeline.packaging.provenance import describe, run_describe

M = "data/metadata"
S = f"{M}/submissionDocumentation"
OUTCOME = {"job": "toll", "run": RUN_ID, "sources": []}


def files_of(accession=ACCESSION):
    rendered = describe(accession, plan=PLAN, uuid=counting())
    return {rendering.path: rendering.data for rendering in rendered}


def run_files(run=RUN, **more):
    rendered = run_describe(
        run,
        outcome=OUTCOME,
        plan=PLAN,
        manifest=MANIFEST,
        uuid=counting(),
        packed_at=at(60),
        **more,
    )
    return {rendering.path: rendering.data for rendering in rendered}


FILES = files_of()
RUN_FILES = run_files(artefacts=(WARC,), events=(CAPTURED,))


def test_a_sources_bag_has_every_file_but_the_index():
    assert sorted(FILES) == sorted(
        [
            f"{M}/capture.json",
            f"{M}/events.jsonl",
            f"{M}/formats.json",
            f"{M}/identifiers.json",
            f"{M}/metadata.csv",
            f"{M}/premis.xml",
            f"{M}/prov.json",
            f"{M}/rights.csv",
            f"{S}/crawl.log",
            f"{S}/entry.yaml",
            f"{S}/environment.json",
            f"{S}/plan.json",
        ]
    )


def test_a_runs_own_bag_is_told_more_briefly():
    assert sorted(RUN_FILES) == sorted(
        [
            f"{M}/events.jsonl",
            f"{M}/metadata.csv",
            f"{M}/premis.xml",
            f"{M}/run.json",
            f"{S}/environment.json",
            f"{S}/manifest.yaml",
            f"{S}/plan.json",
        ]
    )


@pytest.mark.parametrize("make", [files_of, run_files], ids=["a source", "a run"])
def test_the_same_values_give_the_same_bytes(make):
    assert make() == make()


@pytest.mark.parametrize(
    ("files", "path", "data"),
    [
        (FILES, f"{S}/plan.json", PLAN),
        (FILES, f"{S}/entry.yaml", CAPTURE.source.entry.encode()),
        (RUN_FILES, f"{S}/plan.json", PLAN),
        (RUN_FILES, f"{S}/manifest.yaml", MANIFEST),
    ],
)
def test_what_was_handed_in_is_kept_as_it_is(files, path, data):
    assert files[path] == data


def test_the_run_is_told_as_it_was_printed():
    assert json.loads(RUN_FILES[f"{M}/run.json"]) == OUTCOME


def test_the_events_end_with_the_making_of_the_package():
    lines = FILES[f"{M}/events.jsonl"].decode().splitlines()
    assert [json.loads(line)["type"] for line in lines] == [
        EventType.CREATION,
        EventType.CAPTURE,
        EventType.DIGEST,
        EventType.FORMAT,
        EventType.PACKAGE,
    ]


def test_the_events_that_are_added_concern_every_file():
    lines = FILES[f"{M}/events.jsonl"].decode().splitlines()
    paths = [artefact.path for artefact in CAPTURE.artefacts]
    assert [json.loads(line)["objects"] for line in lines[2:]] == [paths] * 3


def test_digests_were_taken_during_the_visit():
    line = json.loads(FILES[f"{M}/events.jsonl"].decode().splitlines()[2])
    assert (line["at"], line["detail"]) == (
        "2026-09-24T12:00:41.123456Z",
        "sha256, sha512, as the files were written",
    )


def test_a_capture_without_digests_claims_none():
    capture = replace(CAPTURE, artefacts=(replace(WARC, digests=()),))
    lines = files_of(replace(ACCESSION, capture=capture))[f"{M}/events.jsonl"]
    assert b"message digest calculation" not in lines


def test_events_of_a_run_are_those_handed_in_and_the_packing():
    lines = RUN_FILES[f"{M}/events.jsonl"].decode().splitlines()
    assert [json.loads(line)["type"] for line in lines] == [
        "capture",
        "information package creation",
    ]


def test_every_story_tells_the_same_events():
    ids = [json.loads(line)["id"] for line in FILES[f"{M}/events.jsonl"].splitlines()]
    premis = [
        found.text
        for found in ET.fromstring(FILES[f"{M}/premis.xml"]).iterfind(
            ".//{*}eventIdentifierValue"
        )
    ]
    prov = json.loads(FILES[f"{M}/prov.json"])["activity"]
    assert (premis, list(prov)) == (ids, [f"uuid:{one}" for one in ids])


def test_the_premis_of_a_run_holds_its_own_records_to_their_digests():
    root = ET.fromstring(RUN_FILES[f"{M}/premis.xml"])
    found = {
        one.findtext(".//{*}originalName"): one.findtext(".//{*}messageDigest")
        for one in root.iterfind("{*}object")
    }
    path = f"{M}/run.json"
    assert found[path] == digest_of(RUN_FILES[path]).hex


def test_every_file_of_a_run_is_linked_to_an_event():
    root = ET.fromstring(run_files()[f"{M}/premis.xml"])
    linked = {
        found.text for found in root.iterfind(".//{*}linkingObjectIdentifierValue")
    }
    records = (
        f"{M}/run.json",
        f"{S}/manifest.yaml",
        f"{S}/plan.json",
        f"{S}/environment.json",
    )
    assert linked == {f"{RUN_ID}/{path}" for path in records}


def test_the_secrets_place_is_all_that_is_told_of_it():
    assert b"env:NEWS_TOKEN" in FILES[f"{M}/capture.json"]


def test_no_path_is_rendered_twice():
    rendered = describe(ACCESSION, plan=PLAN, uuid=counting())
    assert len(rendered) == len({rendering.path for rendering in rendered})


def test_the_bag_is_named_in_every_story():
    named = (
        "capture.json",
        "identifiers.json",
        "metadata.csv",
        "premis.xml",
        "prov.json",
    )
    assert all(BAG_ID.encode() in FILES[f"{M}/{name}"] for name in named)


@pytest.mark.parametrize("name", provenance.__all__)
def test_what_the_module_offers_it_has(name):
    assert hasattr(provenance, name)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), max_size=40))
def test_whatever_a_page_says_every_file_can_be_read(text):
    for files in (files_of(accession_saying(text)), run_files(run_saying(text))):
        for path, data in files.items():
            read(path, data.decode("utf-8"))


def read(path, text):
    if path.endswith(".json"):
        json.loads(text)
    elif path.endswith(".jsonl"):
        assert all(json.loads(line) for line in text.split("\n")[:-1])
    elif path.endswith(".xml"):
        ET.fromstring(text.encode())
    elif path.endswith(".csv"):
        assert (
            len({len(row) for row in csv.reader(text.splitlines(keepends=True))}) == 1
        )
