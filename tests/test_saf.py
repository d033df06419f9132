"""Simple Archive Format: what DSpace's importer is to find, byte for byte the same."""

import io
import xml.etree.ElementTree as ET
import zipfile

import depositing
import pytest
import shelf
from baggery import sound
from depositing import NONCE, consignment

from pipeline.handoff import labels, saf
from pipeline.handoff.consignment import Consignment, Layout
from pipeline.handoff.target import DepositError
from pipeline.packaging import bag as bags
from pipeline.packaging.tables import metadata_csv, rights_csv
from pipeline.packaging.validate import validate


def entries(whole):
    tars = whole.items(Layout.TAR)
    return [
        saf.Entry(bag=bag.id, tar=tar, labels=labels.read(bag.path))
        for bag, tar in zip(whole.bags, tars, strict=True)
    ]


def read(item):
    return zipfile.ZipFile(io.BytesIO(b"".join(item.read(0))))


@pytest.fixture
def ours(tmp_path):
    """A bag with the tables that ours have."""
    told = shelf.accession()
    tables = (metadata_csv(told), rights_csv(told))
    files = {one.path.encode(): one.data for one in tables}
    place = sound(tmp_path / told.bag, files=files)
    return Consignment(nonce=NONCE, bags=(bags.read(place),))


def test_each_bag_is_an_item_with_what_an_importer_asks_for(tmp_path):
    whole = consignment(tmp_path)
    with read(saf.archive("x.zip", entries(whole))) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == [
            "item_0001/contents",
            "item_0001/dublin_core.xml",
            "item_0001/toll_run.tar",
            "item_0002/contents",
            "item_0002/dublin_core.xml",
            "item_0002/toll_report.tar",
        ]
        for number, bag in enumerate(whole.bags, start=1):
            listed = file.read(f"item_{number:04}/contents").decode()
            assert listed.split("\t")[0] == f"{bag.id}.tar"


def test_it_is_the_same_each_time_from_any_byte_on(tmp_path):
    one = saf.archive("x.zip", entries(consignment(tmp_path)))
    again = saf.archive("x.zip", entries(consignment(tmp_path)))
    assert one.digest == again.digest
    whole = b"".join(one.read(0))
    assert len(whole) == one.size
    for offset in (1, 60, 5000, one.size // 2, one.size - 1, one.size):
        assert b"".join(one.read(offset)) == whole[offset:]


def test_a_bag_of_ours_is_described_as_its_tables_have_it(ours):
    (entry,) = entries(ours)
    told = ET.fromstring(saf.dublin_core(entry))
    assert told.attrib == {"schema": "dc"}
    found = [(v.get("element"), v.get("qualifier"), v.text) for v in told]
    title = entry.labels.of("dc.title")[0]
    assert ("title", "none", title) in found
    assert ("source", "uri", entry.labels.of("dc.source")[0]) in found
    assert ("identifier", "none", entry.bag) in found
    assert [one[0] for one in found].count("title") == 1


def test_what_not_everybody_may_see_is_closed_until_somebody_decides(ours):
    (entry,) = entries(ours)
    assert entry.labels.is_restricted  # access is `internal` where nothing is said
    assert b"\tpermissions:-r 'Administrator'" in saf.contents(entry)


def test_a_bag_that_says_nothing_has_its_name_for_a_title(tmp_path):
    entry = entries(consignment(tmp_path))[0]
    assert b'element="title" qualifier="none">toll_run<' in saf.dublin_core(entry)
    assert b"permissions" not in saf.contents(entry)


def test_what_xml_cannot_hold_does_not_break_it(tmp_path):
    table = b"filename,dc.title\ndata/x,\"<a> & \x01 'b' ]]>\"\n"
    place = sound(tmp_path / "odd", files={b"data/metadata/metadata.csv": table})
    one = Consignment(nonce=NONCE, bags=(bags.read(place),))
    told = ET.fromstring(saf.dublin_core(entries(one)[0]))
    assert told[0].text == "<a> & \ufffd 'b' ]]>"


NO_TABLES = {
    "no UTF-8": b"\xff\xfe",
    "nothing": b"",
    "a head alone": b"filename,dc.title\n",
    "a NUL": b"filename\0,x\n\0",
    "a cell without end": b'filename,"' + b"x" * 200_000,
}


@pytest.mark.parametrize("table", NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_says_nothing(tmp_path, table):
    files = {b"data/metadata/metadata.csv": table, b"data/metadata/rights.csv": table}
    place = sound(tmp_path / "odd", files=files)
    assert labels.read(place) == labels.Labels()


def test_a_zip_that_was_imported_is_told_as_gone(tmp_path):
    bench = depositing.dspace(tmp_path)
    receipt = bench.target.deposit(consignment(tmp_path / "archive"))
    assert receipt.transforms
    assert receipt.layout == "saf"
    bench.lose("toll_run.saf.zip")
    assert [one.code for one in bench.target.verify(receipt)] == ["copy-missing"]


def test_a_bag_that_the_receipt_does_not_name_is_not_looked_for(tmp_path):
    bench = depositing.dspace(tmp_path)
    receipt = bench.target.deposit(consignment(tmp_path / "archive"))
    with pytest.raises(DepositError, match="no such bag"):
        bench.target.fetch(receipt, "toll_other", tmp_path)


def test_a_bag_of_ours_comes_back_out_of_it(tmp_path, ours):
    bench = depositing.dspace(tmp_path)
    receipt = bench.target.deposit(ours)
    (tmp_path / "back").mkdir()
    assert validate(bench.target.fetch(receipt, ours.bags[0].id, tmp_path / "back")).ok
