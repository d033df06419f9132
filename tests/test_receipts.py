"""Receipts at rest: signed, bound, never replayed, and indexed anew from their files."""

import subprocess

import pytest
import samples
import shelf
from msgspec.structs import replace

from pipeline.disk import Disk
from pipeline.errors import FixityError, StorageError
from pipeline.holdings import receipts
from pipeline.holdings.custody import Act
from pipeline.holdings.receipts import ReplayError, judge, parse, read, render
from pipeline.holdings.store import Store
from pipeline.model import Consigned, Digest, Receipt, Received
from pipeline.sealing import keys, signature

RECEIPT = Receipt(
    nonce="ab" * 16,
    target="vault",
    kind="s3",
    location="s3://evidence/toll",
    at=samples.at(60),
    bags=(
        Consigned(bag="toll_run", tagmanifests=samples.digests("a")),
        Consigned(bag="toll_report", tagmanifests=samples.digests("b")),
    ),
    layout="tree",
    received=(Received(path="toll_run/bagit.txt", size=55, digest=Digest("sha256", "c" * 64)),),
    is_verified=True,
    answer='{"ETag": "\N{SNOWMAN}"}\n',
    software="Muniment",
)  # fmt: skip


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    return keys.make(path, now=samples.NOON, serial=bytes(range(16)))


@pytest.fixture
def sign(identity):
    return lambda data: signature.sign(data, identity, at=samples.at(61))


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "archive", shelf.TickingClock())
    yield store
    store.close()


def kept(store, sign, receipt=RECEIPT):
    with store.lock("test"):
        return store.acknowledge(receipt, job="toll", sign=sign)


def logged(store):
    found = (one.entry for one in store.log.read() if one.entry.act is Act.RECEIPT)
    return frozenset(Digest.parse(one.detail.split()[0]) for one in found)


def test_a_receipt_is_read_as_it_was_written():
    assert parse(render(RECEIPT)) == RECEIPT


ODD = {
    "not JSON": b"receipt",
    "another thing": b"{}",
    "deep": b"[" * 100_000,
    "not as we write it": render(RECEIPT).replace(b"\n", b"\n\n"),
    "two of one key": render(RECEIPT).replace(
        b'"nonce"', b'"nonce": "1",\n "nonce"', 1
    ),
    "more than is signed": render(RECEIPT)[:-3] + b',\n "more": 1\n}\n',
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_no_receipt_is_not_taken_for_one(data):
    with pytest.raises(ValueError, match="receipt"):
        parse(data)


def test_it_lies_beside_the_bags_and_never_in_one(store, sign):
    path = kept(store, sign)
    assert path.parent == store.root / "toll/receipts"
    assert list(store.bags()) == []


def test_openssl_reads_the_signature(store, sign, tmp_path):
    path = kept(store, sign)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-noverify", "-inform",
         "DER", "-in", f"{path}.p7s", "-content", path, "-out", tmp_path / "out"],
        check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_it_stands_in_the_log_by_its_digest(store, sign):
    path = kept(store, sign)
    entry = [one.entry for one in store.log.read()][-1]
    assert (entry.act, entry.bag, entry.outcome) == (
        Act.RECEIPT,
        "toll_run",
        "verified",
    )
    assert entry.detail == f"{read(path).digest} vault {RECEIPT.nonce}"
    assert entry.tagmanifests == RECEIPT.bags[0].tagmanifests


def test_the_catalogue_tells_of_each_bag(store, sign):
    kept(store, sign)
    found = store.catalogue.receipts()
    assert [one.bag for one in found] == ["toll_run", "toll_report"]
    assert [one.tagmanifests for one in found] == [c.tagmanifests for c in RECEIPT.bags]
    assert store.catalogue.receipts(bag="toll_report", target="vault") == found[1:]


def test_a_catalogue_made_anew_tells_the_same(store, sign):
    kept(store, sign)
    before = store.catalogue.receipts()
    assert store.rebuild() == ()
    assert store.catalogue.receipts() == before


def test_a_damaged_receipt_keeps_no_other_out_of_the_catalogue(store, sign):
    path = kept(store, sign)
    kept(store, sign, replace(RECEIPT, nonce="cd" * 16))
    path.write_bytes(b"{}")
    (problem,) = store.rebuild()
    assert str(path) in problem
    assert {one.nonce for one in store.catalogue.receipts()} == {"cd" * 16}


def test_the_same_nonce_is_not_taken_twice(store, sign):
    kept(store, sign)
    again = replace(RECEIPT, bags=RECEIPT.bags[1:], at=samples.at(99))
    with pytest.raises(ReplayError, match="kept already"):
        kept(store, sign, again)
    assert len(store.catalogue.receipts()) == 2


def test_what_is_right_is_judged_so(store, sign):
    path = kept(store, sign)
    assert list(judge([path], logged(store))) == []


def spoil_text(path):
    path.write_bytes(path.read_bytes().replace(b"evidence", b"evidense"))


def another_name(path):
    other = path.with_name(f"copy_{path.name}")
    other.write_bytes(path.read_bytes())
    path.with_name(f"{other.name}.p7s").write_bytes(
        path.with_name(f"{path.name}.p7s").read_bytes()
    )


WRONG = {
    "one letter of it is changed": (spoil_text, "receipt-damaged"),
    "it is cut": (lambda path: path.write_bytes(path.read_bytes()[:99]), "receipt-damaged"),
    "its signature is gone": (lambda path: path.with_name(f"{path.name}.p7s").unlink(), "receipt-damaged"),
    "it stands there twice": (another_name, "receipt-replayed"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "code"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told(store, sign, harm, code):
    harm(kept(store, sign))
    assert [one.code for one in judge(store.receipts.paths(), logged(store))] == [code]


def test_a_receipt_that_the_log_does_not_know_is_told(store, sign):
    path = kept(store, sign)
    assert [one.code for one in judge([path], frozenset())] == ["receipt-unlogged"]


def test_a_receipt_kept_and_not_logged_is_logged_by_the_next_run(store, sign):
    with store.lock("test"):
        stored = store.receipts.keep(RECEIPT, job="toll", sign=sign)
        (said,) = store.recover()
        assert str(stored.path) in said
        assert store.recover() == ()
    assert logged(store) == {stored.digest}
    assert len(store.catalogue.receipts()) == 2


def test_a_receipt_that_nobody_signed_is_not_logged(store, sign):
    with store.lock("test"):
        stored = store.receipts.keep(RECEIPT, job="toll", sign=lambda _: b"nothing")
        assert any("signature" in said for said in store.recover())
    assert logged(store) == frozenset()
    assert stored.path.exists()


def test_a_full_disk_leaves_no_receipt(tmp_path, sign):
    class Full(Disk):
        def rename(self, old, new):
            raise OSError(28, "No space left on device")

    store = Store.open(tmp_path / "archive", shelf.TickingClock(), disk=Full())
    with pytest.raises(StorageError, match="No space"):
        kept(store, sign)
    assert list(store.receipts.paths()) == []
    assert list(store.log.read()) == []


def test_a_receipt_that_is_not_there_is_no_receipt(tmp_path):
    with pytest.raises((FixityError, StorageError)):
        read(tmp_path / "none.json")
    assert receipts.FORMAT in render(RECEIPT).decode()
