"""Archivematica as a target: each bag started once, watched, and told as it is."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import archives
import depositing
import pytest
from archives import LOCATION, USER
from depositing import consignment

from pipeline.handoff.target import AbsentError, DepositError, TransientError
from pipeline.handoff.targets import archivematica as module


@pytest.fixture
def drop(tmp_path):
    place = tmp_path / "transfer source"
    place.mkdir()
    return place


@pytest.fixture
def archive(drop):
    server = archives.Archivematica(drop)
    yield server
    server.close()


@pytest.fixture
def target(tmp_path, archive):
    one = depositing.archivematica(tmp_path, archive).target
    yield one
    one.close()


@pytest.fixture
def sent(tmp_path):
    return consignment(tmp_path / "archive")


def started(archive):
    return [told["name"] for told in archive.transfers.values()]


def test_each_bag_is_a_transfer_of_its_own(target, archive, sent):
    receipt = target.deposit(sent)
    assert started(archive) == ["toll_run", "toll_report"]
    assert archive.keys == [f"{sent.nonce}-toll_run-0", f"{sent.nonce}-toll_report-0"]
    assert {told["type"] for told in archive.transfers.values()} == {"unzipped bag"}
    assert receipt.transforms
    assert receipt.is_verified  # what it took was read back there


def test_the_receipt_has_its_own_words_and_its_names_for_each_aip(target, sent):
    told = json.loads(target.deposit(sent).answer)
    assert list(told) == ["toll_run", "toll_report"]
    for one in told.values():
        assert one["ingest"]["status"] == "COMPLETE"
        assert one["ingest"]["uuid"] == one["transfer"]["sip_uuid"]


def test_nothing_is_started_twice(tmp_path, target, archive):
    notes = []
    first = consignment(tmp_path / "archive", note=notes.append)
    archive.odd["ingest"] = lambda one, _: (
        200,
        archive.told(one, "ingest", "PROCESSING"),
    )
    with pytest.raises(TransientError, match="still at work"):
        target.deposit(first)
    del archive.odd["ingest"]
    again = consignment(tmp_path / "archive", accepted="\n".join(notes))
    target.deposit(again)
    assert started(archive) == ["toll_run", "toll_report"]


def test_what_failed_there_is_started_anew(tmp_path, target, archive):
    notes = []
    first = consignment(tmp_path / "archive", note=notes.append)
    archive.odd["transfer"] = lambda one, _: (
        200,
        archive.told(one, "transfer", "FAILED"),
    )
    with pytest.raises(DepositError, match="came to FAILED at 'Verify transfer"):
        target.deposit(first)
    del archive.odd["transfer"]
    target.deposit(consignment(tmp_path / "archive", accepted="\n".join(notes)))
    assert started(archive) == ["toll_run", "toll_report", "toll_run"]
    assert len(set(archive.keys)) == 3  # another attempt is another request


@dataclass
class Case:
    odd: dict[str, Any]
    sentence: str
    error: type[DepositError] = DepositError


def says(unit, status, **fields):
    def answer(one, _):
        return 200, {"uuid": one, "status": status, "type": unit, **fields}

    return {unit: answer}


AIP = "0d5f0a3c-5a0e-4a39-9a21-6f8f3a0f6a55"
FAILURES = {
    "it takes nothing": Case(
        {"package": (500, {"error": True, "message": "Package cannot be created"})},
        "status 500",
        TransientError,
    ),
    "it says 202, and an error": Case(
        {"package": (202, {"error": True, "message": "no"})}, "not taken"
    ),
    "it says 200, and nothing": Case({"package": (200, {})}, "UUID of a transfer"),
    "it says no UUID": Case({"package": (202, {"id": "../.."})}, "UUID of a transfer"),
    "it says a page": Case({"package": (200, b"<html>Login")}, "a JSON object"),
    "it asks a person": Case(
        says("transfer", "USER_INPUT"), "decision of a person", TransientError
    ),
    "it rejects": Case(says("ingest", "REJECTED"), "came to REJECTED"),
    "it is in the backlog": Case(
        says("transfer", "COMPLETE", sip_uuid="BACKLOG"), "backlog", TransientError
    ),
    "it names no AIP": Case(says("transfer", "COMPLETE"), "UUID of an AIP"),
    "it tells of another": Case(
        {"transfer": lambda *_: (200, {"uuid": AIP, "status": "COMPLETE"})},
        "expected word of",
    ),
    "it never says anything": Case(
        {"transfer": lambda *_: (400, {"error": True})}, "still at work", TransientError
    ),
    "it says 200, and an error": Case(
        {"ingest": lambda one, _: (200, {"uuid": one, "error": True})}, "expected word"
    ),
}


@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_no_failure_and_no_lie_gets_a_receipt(target, archive, sent, case):
    archive.odd.update(case.odd)
    with pytest.raises(case.error, match=case.sentence):
        target.deposit(sent)


def test_an_aip_that_is_gone_is_found(target, archive, sent):
    receipt = target.deposit(sent)
    archive.odd["ingest"] = lambda *_: (400, {"error": True, "message": "Cannot fetch"})
    found = target.verify(receipt)
    assert [(one.code, one.path) for one in found] == [
        ("copy-missing", "toll_run"),
        ("copy-missing", "toll_report"),
    ]


def test_its_folder_may_be_cleared_once_the_aip_is_stored(target, drop, sent, tmp_path):
    receipt = target.deposit(sent)
    for path in sorted(drop.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert target.verify(receipt) == ()
    with pytest.raises(AbsentError, match="ask there for the AIP"):
        target.fetch(receipt, "toll_run", tmp_path)


def test_a_receipt_of_very_many_bags_still_names_their_aips(target, sent, monkeypatch):
    monkeypatch.setattr(module, "MOST_ANSWER", 100)
    receipt = target.deposit(sent)
    assert target.verify(receipt) == ()
    assert "microservice" not in receipt.answer


def test_a_wrong_key_is_told_before_anything_is_put(tmp_path, archive, drop):
    pipeline = module.Pipeline(
        url=archive.url, user=USER, key="another-key", location=LOCATION
    )
    folder = depositing.dropped(drop, "am", "archivematica")
    target = module.Archivematica(pipeline, folder, depositing.Clock())
    with pytest.raises(DepositError, match="status 403") as caught:
        target.preflight()
    assert "another-key" not in str(caught.value)
    assert list(drop.iterdir()) == []
    target.close()


def test_a_processing_configuration_that_it_does_not_have_is_told(archive, drop):
    pipeline = module.Pipeline(
        url=archive.url,
        user=USER,
        key=archives.KEY,
        location=LOCATION,
        processing="nightly",
    )
    folder = depositing.dropped(drop, "am", "archivematica")
    target = module.Archivematica(pipeline, folder, depositing.Clock())
    with pytest.raises(DepositError, match="nightly, found default, automated"):
        target.preflight()
    archive.configurations.append("nightly")
    target.preflight()
    target.close()


# Archivematica's own client is the referee: it must get from our stand-in what it
# expects, and the two must ask for the same things in the same words.

CLIENT = Path(sysconfig.get_path("scripts")) / "amclient"


def amclient(log, *words):
    done = subprocess.run(
        [sys.executable, str(CLIENT), "--log-file", str(log), *words],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not CLIENT.exists(), reason="pip install 'muniment[dev]'")
def test_its_own_client_asks_as_we_do(target, archive, sent, tmp_path):
    target.deposit(sent)
    ours = [told for told in archive.transfers.values() if told["name"] == "toll_run"]
    log = tmp_path / "amclient.log"
    said = amclient(
        log, "create-package", "--am-user-name", USER, "--am-url", archive.url,
        "--transfer-source", LOCATION, "--transfer-type", "unzipped bag",
        "--processing-config", "automated", "--output-mode", "json",
        "--transfer-name", "toll_run", archives.KEY, "toll_run",
    )  # fmt: skip
    one = json.loads(said)["id"]
    theirs = archive.transfers[one]
    assert {name: ours[0][name] for name in theirs} == theirs
    for _ in range(3):
        said = amclient(
            log, "get-transfer-status", "--am-user-name", USER, "--am-url", archive.url,
            "--output-mode", "json", one, archives.KEY,
        )  # fmt: skip
    assert json.loads(said)["status"] == "COMPLETE"
    paths = {path for method, path, _ in archive.asked if one in path}
    assert paths == {f"/api/transfer/status/{one}/"}
