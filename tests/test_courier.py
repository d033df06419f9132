"""A run that hands itself over: what is due, what the run tells, what is gone on with."""

import json
import os
import sys
from types import SimpleNamespace

import depositing
import pytest
import samples
from msgspec.structs import replace
from origins import Origin, answer

from pipeline import cli
from pipeline.handoff.courier import Courier, due
from pipeline.handoff.deposit import pending_of
from pipeline.holdings.store import Store
from pipeline.model import Bag, Deposit, Party, When

MANIFEST = """\
version: 1
id: case
defaults: {delay: 0s}
sources:
  page: {url: "http://one.example/page"}
  other: {url: "http://one.example/other"}
deposit:
  disk: {to: folder, url: disk}
  safe: {to: folder, url: safe, when: always, layout: tar}
  later: {to: folder, url: later, when: manual}
"""
SOURCES = tuple(SimpleNamespace(id=name) for name in ("page", "other"))
FINAL = {"page": ["http-404"], "other": []}
TOLD = {
    "every source came": (FINAL, ["disk", "safe"]),
    "one is deferred": ({"page": [], "other": ["deferred"]}, ["safe"]),
    "one was not asked for": ({"page": []}, ["safe"]),
    "one ended in a fault of ours": (
        {"page": ["internal-error"], "other": []},
        ["safe"],
    ),
}


def deposits():
    when = {"disk": When.COMPLETE, "safe": When.ALWAYS, "later": When.MANUAL}
    return [Deposit(name=n, to=Party.FOLDER, when=w) for n, w in when.items()]


@pytest.mark.parametrize(("reasons", "expected"), TOLD.values(), ids=TOLD)
def test_what_is_due_depends_on_how_the_run_ended(reasons, expected):
    told = {"sources": [{"id": name, "reasons": why} for name, why in reasons.items()]}
    manifest = SimpleNamespace(sources=SOURCES)
    assert [one.name for one in due(deposits(), manifest, told)] == expected


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    for name in ("disk", "safe", "later"):
        (tmp_path / name).mkdir()
    (tmp_path / "case.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.fixture
def tells(place, capfd):
    pages = {"/page": answer(b"<p>One"), "/other": answer(b"<p>Two")}
    with Origin(pages) as origin:

        def run(*words):
            if words[0] == "run":
                words = (
                    *words,
                    "--connect-to",
                    f"one.example:80:127.0.0.1:{origin.port}",
                )
            status = cli._status(cli.gathered((*words, "--json")))
            sys.stdout.flush()
            told = capfd.readouterr()
            assert "Traceback" not in told.err
            return status, json.loads(told.out)

        yield run


def test_a_run_hands_itself_over(place, tells):
    status, told = tells("run", "case.yaml")
    assert status == 0
    bags = {told["run"], *(one["id"] for one in told["bags"])}
    assert {path.name for path in (place / "disk").iterdir()} == bags
    assert {path.name for path in (place / "safe").iterdir()} == {
        f"{b}.tar" for b in bags
    }
    assert list((place / "later").iterdir()) == []
    assert {one["target"] for one in told["receipts"]} == {"disk", "safe"}
    assert len(told["receipts"]) == 2 * len(bags)
    assert all(one["receipt"] for one in told["deposits"])


def test_one_target_down_is_exit_22_and_the_run_is_kept(place, tells):
    (place / "disk").rmdir()
    status, told = tells("run", "case.yaml")
    assert (status, told["exit"], told["exits"]) == (22, 22, [22])
    assert {one["target"] for one in told["receipts"]} == {"safe"}
    (place / "disk").mkdir()
    status, told = tells("deposit", "--retry")
    assert status == 2 or told["deposits"][0]["error"]  # relative to its manifest
    status, told = tells("deposit", "--retry", "--manifest", "case.yaml")
    assert (status, [one["target"] for one in told["deposits"]]) == (0, ["disk"])


def test_a_part_of_the_sources_is_no_complete_run(place, tells):
    _, told = tells("run", "case.yaml", "--only", "page")
    assert {one["target"] for one in told["receipts"]} == {"safe"}


def test_a_plan_shows_where_copies_go(tells):
    _, told = tells("plan", "case.yaml")
    assert [(one["name"], one["when"]) for one in told["deposits"]] == [
        ("disk", "complete"), ("safe", "always"), ("later", "manual"),
    ]  # fmt: skip


def test_the_operator_names_another_address_and_the_manifest_says_when(place, tells):
    (place / "muniment.toml").write_text(
        '[deposit.disk]\nto = "folder"\nurl = "later"\n'
    )
    _, told = tells("run", "case.yaml")
    assert len(told["receipts"]) == 6
    assert list((place / "disk").iterdir()) == []
    assert list((place / "later").iterdir())


def test_what_is_due_is_known_before_anything_is_sent(tmp_path):
    """A run that dies between its own bag and its deposits leaves them pending."""
    store = Store.open(tmp_path / "archive", depositing.Clock())
    depositing.fill(store)
    run = store.catalogue.runs()[0]
    told = {"job": "toll", "run": run.id, "sources": []}
    courier = Courier(
        deposits=tuple(deposits()), opened=lambda _: (), sign=bytes, store=store
    )
    bag = replace(store.catalogue.bags(run=run.id)[-1].bag)
    entries = courier.announce(SimpleNamespace(sources=()), told, bag)
    assert [one.detail.split()[0] for one in entries] == ["disk", "safe"]
    with store.lock("test"):
        for one in entries:
            store.record(one)
    assert [(one.bag, one.target) for one in pending_of(store)] == [
        (bag.id, "disk"),
        (bag.id, "safe"),
    ]
    assert entries[0].path == bag.path.relative_to(store.root).as_posix()
    assert isinstance(bag, Bag)
    assert entries[0].at > samples.NOON
    store.close()
