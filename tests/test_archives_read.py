"""What Archivematica makes of a bag of ours: taken apart as it does, nothing is lost.

The steps are those of its transfers of unzipped bags (1.17): ``data/<folder>`` becomes
``<folder>``, tag files go to ``logs/BagIt``, then its scripts read the tables, the PREMIS
and the identifiers, each by paths of its own.
"""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import bagit
import pytest
import test_job

done = test_job.done  # a run with six sources of all sorts
KEPT = re.compile(r"[A-Za-z0-9_.()-]+")  # names that it leaves as they are
PREMIS = {"premis": "http://www.loc.gov/premis/v3"}
RIGHTS = {
    "file", "basis", "status", "determination_date", "start_date", "end_date",
    "jurisdiction", "terms", "citation", "note", "grant_act", "grant_restriction",
    "grant_start_date", "grant_end_date", "grant_note", "doc_id_type", "doc_id_value",
    "doc_id_role",
}  # fmt: skip


class Transfer:
    """A bag taken apart; ``came`` are the paths that its files had on arrival."""

    def __init__(self, bag, into):
        shutil.copytree(bag, into)
        self.root = into
        bagit.Bag(str(into)).validate()
        self.came = {
            path.relative_to(into).as_posix(): path.read_bytes()
            for path in into.rglob("*")
            if path.is_file()
        }
        for folder in list((into / "data").iterdir()):
            assert folder.is_dir(), "a file in data/ would land among the objects"
            folder.rename(into / folder.name)
        (into / "data").rmdir()
        logs = into / "logs/BagIt"
        logs.mkdir(parents=True)
        for path in list(into.iterdir()):
            if path.is_file():
                is_manifest = path.name.startswith("manifest")
                path.rename((into / "metadata" if is_manifest else logs) / path.name)

    def table(self, name):
        with (self.root / "metadata" / name).open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))


@pytest.fixture(params=["page", "gone", "dead", "run"])
def transfer(request, done, tmp_path):
    is_run = request.param == "run"
    bag = Path(done.outcome.told["run_bag"]) if is_run else done.bag_of(request.param)
    return Transfer(bag, tmp_path / "transfer")


def test_nothing_is_left_outside_of_what_it_takes(transfer):
    assert {path.name for path in transfer.root.iterdir()} == {
        "logs",
        "metadata",
        "objects",
    }
    assert any(transfer.root.joinpath("objects").iterdir())
    documents = transfer.root / "metadata/submissionDocumentation"
    assert (documents / "plan.json").is_file()


def test_it_has_no_name_to_change(transfer):
    for path in transfer.root.rglob("*"):
        assert KEPT.fullmatch(path.name), path


def test_each_row_of_its_description_finds_a_file(transfer):
    head, *rows = transfer.table("metadata.csv")
    assert head[0] == "filename"
    assert all(re.fullmatch(r"(dc|dcterms)\.\w+", name) for name in head[1:])
    assert {row[0] for row in rows} <= set(transfer.came)
    objects = {path for path in transfer.came if path.startswith("data/objects/")}
    assert objects <= {row[0] for row in rows}
    titles = {row[head.index("dc.title")] for row in rows}
    assert titles not in ({""}, set())


def test_each_row_of_its_rights_finds_a_file_and_speaks_its_words(transfer):
    if not (transfer.root / "metadata/rights.csv").exists():
        pytest.skip("a run's own bag states no rights: each of its sources does")
    head, *rows = transfer.table("rights.csv")
    assert set(head) <= RIGHTS
    assert rows
    for row in rows:
        told = dict(zip(head, row, strict=True))
        assert told["file"] in transfer.came
        assert told["basis"].capitalize() in {"Policy", "Copyright", "Other"}
        assert told["grant_restriction"].lower() in {"allow", "disallow", "conditional"}


def test_each_object_of_its_premis_finds_a_file_and_has_events(transfer):
    root = ET.parse(transfer.root / "metadata/premis.xml").getroot()
    named = [
        one.findtext("premis:originalName", "", PREMIS)
        for one in root.iterfind("premis:object", PREMIS)
        if one.find("premis:originalName", PREMIS) is not None
    ]
    assert {path for path in named if path.startswith("data/")} <= set(transfer.came)
    assert any(path.startswith("data/objects/") for path in named)
    types = {
        one.findtext("premis:eventType", "", PREMIS)
        for one in root.iterfind("premis:event", PREMIS)
    }
    assert "capture" in types or "information package creation" in types


def test_each_identifier_finds_a_file_where_it_was_moved(transfer):
    path = transfer.root / "metadata/identifiers.json"
    if not path.exists():
        pytest.skip("a run's own bag has no identifiers but its name")
    told = json.loads(path.read_text())
    assert told[0]["file"] == ""  # the package itself
    for one in told:
        assert one["file"] == "" or (transfer.root / one["file"]).is_file()
        for name in one["identifiers"]:
            assert set(name) == {"identifierType", "identifier"}


def test_each_label_of_bag_info_can_be_an_element_of_its_mets(transfer):
    text = transfer.came["bag-info.txt"].decode()
    labels = re.findall(r"^([^\s:][^:]*):", text, re.MULTILINE)
    assert labels
    for label in labels:
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", label)
