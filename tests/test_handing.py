"""deposit and receipts on the command line: targets found, failures told, nothing lost."""

import json
import os
import shutil
import sys
from pathlib import Path

import depositing
import pytest
import shelf

from pipeline import cli
from pipeline.holdings.store import Store

TOML = """\
[deposit.disk]
to = "folder"
url = "disk"
[deposit.tars]
to = "folder"
url = "tars"
layout = "tar"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An archive with a run of one source, and a configuration with two targets."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    (tmp_path / "muniment.toml").write_text(TOML)
    for name in ("disk", "tars"):
        (tmp_path / name).mkdir()
    store = Store.open(tmp_path / "archive", depositing.Clock())
    depositing.fill(store)
    store.close()
    return tmp_path


@pytest.fixture
def says(place, capfd):
    def run(*words):
        status = cli._status(cli.gathered(words))
        sys.stdout.flush()
        told = capfd.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def tells(says):
    def run(*words):
        status, out, _ = says(*words, "--json")
        return status, json.loads(out)

    return run


RUN = shelf.run_id(0)


def test_a_run_is_deposited_and_its_receipt_is_listed(place, tells):
    status, told = tells("deposit", RUN, "--to", "disk")
    assert status == 0
    assert [one["bag"] for one in told["receipts"]] == [RUN, shelf.accession().bag]
    assert {path.name for path in (place / "disk").iterdir()} == {
        RUN,
        shelf.accession().bag,
    }
    status, listed = tells("receipts")
    assert (status, listed["receipts"], listed["findings"]) == (0, told["receipts"], [])
    assert set(told["receipts"][0]) >= {"bag", "target", "location", "received", "tagmanifest", "verified"}  # fmt: skip


def test_three_targets_one_down_then_retried(place, tells):
    (place / "muniment.toml").write_text(
        f'{TOML}[deposit.away]\nto = "folder"\nurl = "away"\n'
    )
    status, told = tells("deposit", RUN, "--to", "disk", "--to", "away", "--to", "tars")
    assert status == 22
    assert [bool(one["error"]) for one in told["deposits"]] == [False, True, False]
    assert len({one["nonce"] for one in told["receipts"]}) == 2
    (place / "away").mkdir()
    status, told = tells("deposit", "--retry")
    assert (status, [one["target"] for one in told["deposits"]]) == (0, ["away"])
    assert tells("deposit", "--retry") == (0, {"deposits": [], "receipts": []})
    assert len(tells("receipts")[1]["receipts"]) == 6


def test_a_bag_goes_alone(place, tells):
    status, told = tells("deposit", "report", "--to", "tars")
    assert (status, len(told["receipts"])) == (0, 1)
    assert [path.suffix for path in (place / "tars").iterdir()] == [".tar"]


def test_a_person_reads_what_failed_first(place, says):
    shutil.rmtree(place / "disk")
    status, out, _ = says("deposit", RUN, "--to", "tars", "--to", "disk")
    assert status == 22
    first, second, third = out.splitlines()
    assert first.startswith("failed: disk: ")
    assert "mount the disk" in first
    assert second.startswith("received: tars: 2 bags, ")
    assert "receipt" in third
    assert "read back" in says("receipts")[1]


def test_a_receipt_that_was_changed_is_told(place, tells):
    _, told = tells("deposit", RUN, "--to", "disk")
    path = Path(told["receipts"][0]["receipt"])
    path.write_text(f"{path.read_text()} ")
    status, listed = tells("receipts", RUN)
    assert status == 5
    assert [one["code"] for one in listed["findings"]] == ["receipt-damaged"]


def test_a_manifest_names_targets_too(place, tells):
    (place / "toll.yaml").write_text(
        "version: 1\nid: toll\nsources: {a: 'https://a.example/'}\n"
        "deposit: {mine: {to: folder, url: tars, layout: tar}}\n"
    )
    status, _ = tells("deposit", RUN, "--to", "mine", "--manifest", "toll.yaml")
    assert status == 0
    assert len(list((place / "tars").iterdir())) == 2


ODD = {
    "nothing is named": (("deposit",), "RUN or BAG"),
    "no target": (("deposit", RUN), "--to NAME"),
    "both a bag and --retry": (("deposit", RUN, "--retry"), "--retry alone"),
    "a target nobody knows": (
        ("deposit", RUN, "--to", "nasa"),
        "there are: disk, tars",
    ),
    "a bag nobody knows": (("deposit", "x", "--to", "disk"), "no bag, run or source"),
    "receipts of nothing": (("receipts", "x"), "no bag, run or source"),
}


@pytest.mark.parametrize(("words", "sentence"), ODD.values(), ids=ODD)
def test_what_makes_no_sense_is_told(says, words, sentence):
    status, _, err = says(*words)
    assert status == 2
    assert sentence in err


CONFIGURED = {
    "a secret written out": ('to = "s3"\nurl = "s3://evidence"\nsecret = "hunter22"', "env:NAME"),
    "no kind": ('url = "disk"', '"to" is missing'),
    "a kind nobody knows": ('to = "ftp"\nurl = "x"', "is not one of"),
    "a field of another kind": ('to = "folder"\nurl = "x"\nregion = "eu"', "means nothing to folder"),
    "an address of another kind": ('to = "s3"\nurl = "https://x"\nsecret = "env:X"', "like s3://"),
    "a folder that is an address": ('to = "folder"\nurl = "s3://x"', "is no folder"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "sentence"), CONFIGURED.values(), ids=CONFIGURED)
def test_what_is_configured_wrong_is_told_before_anything_is_sent(
    place, says, lines, sentence
):
    (place / "muniment.toml").write_text(f"[deposit.disk]\n{lines}\n")
    status, out, err = says("deposit", RUN, "--to", "disk")
    assert status == 2
    assert sentence in err
    assert "hunter22" not in out + err


def test_a_secret_that_is_not_there_is_a_failure_to_be_retried(place, tells):
    (place / "muniment.toml").write_text(
        '[deposit.vault]\nto = "s3"\nurl = "s3://evidence"\nsecret = "env:NOT_SET"\n'
    )
    status, told = tells("deposit", RUN, "--to", "vault")
    assert status == 22
    assert "the environment has no NOT_SET" in told["deposits"][0]["error"]["message"]
