"""A deposit as an act: what is logged, what one failure harms, what is gone on with."""

from pathlib import Path

import depositing
import pytest
import samples
import shelf
from baggery import swap
from msgspec.structs import replace

from pipeline.errors import FixityError, UsageError
from pipeline.handoff.deposit import (
    Delivery,
    consigned,
    handed_json,
    pending_of,
    receipts_json,
)
from pipeline.handoff.target import DepositError, TransientError
from pipeline.holdings.custody import Act
from pipeline.holdings.receipts import ReplayError
from pipeline.holdings.store import Store
from pipeline.sealing import keys, signature


@pytest.fixture(scope="module")
def sign(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    identity = keys.make(path, now=samples.NOON, serial=bytes(range(16)))
    return lambda data: signature.sign(data, identity, at=samples.at(61))


@pytest.fixture
def store(tmp_path):
    """An archive with the bag of a source and the bag of its run."""
    clock = depositing.Clock()
    store = Store.open(tmp_path / "archive", clock)
    depositing.fill(store)
    yield store
    store.close()


def run_of(store):
    return consigned(store.catalogue, shelf.run_id(0))


def sent(store, sign, *targets, bags=None):
    with store.lock("deposit"):
        return Delivery(bags=bags or run_of(store), store=store, sign=sign).to(targets)


def lines(store):
    acts = (one.entry for one in store.log.read())
    return [
        (one.act, one.outcome) for one in acts if one.act in {Act.DEPOSIT, Act.RECEIPT}
    ]


class Odd:
    """A folder that does as it should, but for what a test says."""

    def __init__(self, tmp_path: Path, name: str = "odd", **oddities) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        self.name = name
        self.inner = replace(depositing.folder(tmp_path / name).target, name=name)
        self.asked = []
        for act, change in oddities.items():
            setattr(self, act, change)

    def preflight(self):
        self.inner.preflight()

    def close(self):
        self.inner.close()

    def deposit(self, consignment):
        self.asked.append((consignment.nonce, consignment.accepted))
        return self.inner.deposit(consignment)


def down(*_):
    raise TransientError("vault: no answer came; see whether it is up")


def test_a_run_is_one_transfer_with_one_receipt(tmp_path, store, sign):
    (handed,) = sent(store, sign, Odd(tmp_path))
    assert handed.error is None
    told = receipts_json([handed])
    assert [one["bag"] for one in told] == [shelf.run_id(0), shelf.accession().bag]
    assert len({one["nonce"] for one in told}) == 1
    assert [one.path for one in store.catalogue.receipts()] == [handed.path] * 2


def test_a_source_stands_for_its_last_bag(store):
    assert [one.bag.id for one in consigned(store.catalogue, "report")] == [
        shelf.accession().bag
    ]
    folder = run_of(store)[1].bag.path
    assert consigned(store.catalogue, str(folder)) == run_of(store)[1:]
    with pytest.raises(UsageError, match="no bag, run or source"):
        consigned(store.catalogue, "nothing")


def test_the_log_tells_of_a_transfer_before_and_after(tmp_path, store, sign):
    sent(store, sign, Odd(tmp_path))
    assert lines(store) == [(Act.DEPOSIT, "begun"), (Act.RECEIPT, "verified")]
    assert pending_of(store) == ()


def test_one_target_down_loses_no_other_receipt(tmp_path, store, sign):
    targets = (
        Odd(tmp_path, "first"),
        Odd(tmp_path, "second", deposit=down),
        Odd(tmp_path, "third"),
    )
    handed = sent(store, sign, *targets)
    assert [one.error is None for one in handed] == [True, False, True]
    assert [one.exit for one in handed] == [0, 22, 0]
    assert [one.target for one in pending_of(store)] == ["second"]
    assert "no answer" in str(handed_json(handed)[1]["error"])


def test_what_failed_is_gone_on_with_under_its_nonce(tmp_path, store, sign):
    sent(store, sign, Odd(tmp_path, deposit=down))
    (waiting,) = pending_of(store)
    target = Odd(tmp_path)
    (handed,) = sent(store, sign, target)
    assert handed.receipt.nonce == waiting.nonce
    assert target.asked == [(waiting.nonce, "")]
    assert pending_of(store) == ()


def test_what_a_target_called_it_is_remembered(tmp_path, store, sign):
    def half(consignment):
        consignment.note("transfer 7f3a")
        raise TransientError("am: still processing")

    sent(store, sign, Odd(tmp_path, deposit=half))
    target = Odd(tmp_path)
    sent(store, sign, target)
    assert [accepted for _, accepted in target.asked] == ["transfer 7f3a"]


def test_a_transfer_that_died_is_pending(tmp_path, store, sign):
    def die(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sent(store, sign, Odd(tmp_path, deposit=die), Odd(tmp_path, "other"))
    assert [one.target for one in pending_of(store)] == ["odd", "other"]


def test_a_receipt_of_another_transfer_is_refused(tmp_path, store, sign):
    target = Odd(tmp_path)
    (first,) = sent(store, sign, target, bags=run_of(store)[1:])
    target.deposit = lambda _: first.receipt
    (handed,) = sent(store, sign, target)
    assert isinstance(handed.error, ReplayError)
    assert len(store.catalogue.receipts()) == 1


def test_a_receipt_of_other_bags_is_refused(tmp_path, store, sign):
    target = Odd(tmp_path)
    target.deposit = lambda c: replace(target.inner.deposit(c), bags=c.consigned()[1:])
    (handed,) = sent(store, sign, target)
    assert isinstance(handed.error, ReplayError)


def test_a_damaged_member_keeps_all_from_being_sent(tmp_path, store, sign):
    swap(run_of(store)[1].bag.path, "bag-info.txt", b"group", b"grope")
    target = Odd(tmp_path)
    (handed,) = sent(store, sign, target)
    assert isinstance(handed.error, FixityError)
    assert target.asked == []
    assert [one.target for one in pending_of(store)] == ["odd"]


def test_a_preflight_that_fails_sends_nothing(tmp_path, store, sign):
    target = Odd(tmp_path, preflight=down)
    (handed,) = sent(store, sign, target)
    assert isinstance(handed.error, DepositError)
    assert target.asked == []


def test_no_bag_holds_its_receipt(tmp_path, store, sign):
    (handed,) = sent(store, sign, Odd(tmp_path))
    assert not any(handed.path.is_relative_to(bag) for bag in store.bags())
