"""Bags handed out as one file: verified, logged, or not there at all."""

import pytest
import shelf
from baggery import sound, swap

from pipeline.errors import FixityError, LockedError, UsageError
from pipeline.handoff.export import (
    export,
    export_holding,
    exported_json,
    holding_of,
    in_one_file,
)
from pipeline.holdings.custody import Act
from pipeline.holdings.store import Store
from pipeline.packaging.parcel import Form


@pytest.fixture
def store(tmp_path):
    """An archive with two captures of a source and the bag of a run."""
    clock = shelf.TickingClock()
    store = Store.open(tmp_path / "archive", clock)
    with store.lock("test"):
        for week in (0, 1):
            told = shelf.accession(week=week)
            folder = store.stage(told.bag)
            bag = shelf.pack(folder, told)
            store.accession(folder, bag, job="toll", run=told.run.id, started=told.run.started)  # fmt: skip
        folder = store.stage(shelf.run_id(0))
        bag = shelf.pack_run(folder, 0, [shelf.outcome("report", "captured", "first")])
        store.accession(folder, bag, job="toll", run=bag.id, started=clock.now())
    yield store
    store.close()


def sent(store, holding, out, form=Form.TAR):
    return export_holding(
        holding, out, in_one_file(form), store=store, clock=shelf.TickingClock()
    )


def last(store):
    return [logged.entry for logged in store.log.read()][-1]


@pytest.mark.parametrize("form", Form)
def test_a_bag_of_nobodys_is_written_and_verified(tmp_path, form):
    bag, out = sound(tmp_path / "bag"), tmp_path / "out"
    done = export(bag, out, form)
    assert (done.report.ok, done.line) == (True, None)
    told = exported_json(done)
    assert (told["file"], told["form"]) == (str(out), form.value)
    assert told["bytes"] == out.stat().st_size


def test_a_wrong_bag_leaves_no_file(tmp_path):
    bag = sound(tmp_path / "bag")
    swap(bag, "data/letter.txt", b"letter", b"lettre")
    with pytest.raises(FixityError, match="letter"):
        export(bag, tmp_path / "out", Form.TAR)
    assert not (tmp_path / "out").exists()


def test_what_leaves_the_archive_is_logged_with_its_digest(tmp_path, store):
    holding = holding_of(store.catalogue, "toll/report")
    done = sent(store, holding, tmp_path / "out.tar")
    entry = last(store)
    assert (entry.act, entry.bag, entry.outcome) == (
        Act.EXPORT,
        holding.bag.id,
        "success",
    )
    assert entry.tagmanifests == holding.bag.tagmanifests
    assert entry.detail == f"out.tar (tar, {done.digests[0]})"
    assert done.line == store.log.count() - 1


def test_a_failure_is_logged_too(tmp_path, store):
    holding = holding_of(store.catalogue, "toll/report")
    swap(holding.bag.path, "bag-info.txt", b"group", b"grope")
    with pytest.raises(FixityError):
        sent(store, holding, tmp_path / "out.tar")
    assert (last(store).act, last(store).outcome) == (Act.EXPORT, "failure")


def test_a_source_stands_for_its_last_bag_and_a_run_for_its_own(store):
    assert holding_of(store.catalogue, "report").bag.id == shelf.accession(week=1).bag
    assert holding_of(store.catalogue, shelf.run_id(0)).bag.id == shelf.run_id(0)


def test_a_folder_is_found_by_its_place(tmp_path, store, monkeypatch):
    holding = holding_of(store.catalogue, "report")
    monkeypatch.chdir(holding.bag.path.parent)
    assert holding_of(store.catalogue, holding.bag.id) == holding
    assert holding_of(store.catalogue, str(tmp_path)) is None


def test_a_run_without_a_bag_is_told(store):
    with pytest.raises(UsageError, match="no bag of its own"):
        holding_of(store.catalogue, shelf.run_id(1))


def test_nothing_is_put_into_the_archive(store):
    holding = holding_of(store.catalogue, "report")
    with pytest.raises(UsageError, match="in the archive itself"):
        sent(store, holding, store.root / "out.tar")


def test_nothing_is_exported_while_another_is_at_work(tmp_path, store):
    holding = holding_of(store.catalogue, "report")
    other = Store.open(store.root, shelf.TickingClock())
    with other.lock("run"), pytest.raises(LockedError):
        sent(store, holding, tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()
