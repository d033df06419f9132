"""The contract of the family: what every target of a deposit promises, one by one.

The table in README.md, target by promise, is made of this file.
"""

import hashlib

import contract
import depositing
import pytest
from depositing import NONCE, CutError, Watched, consignment, tree

from pipeline.errors import PipelineError
from pipeline.handoff.consignment import Layout
from pipeline.handoff.target import DepositError
from pipeline.model import Consigned
from pipeline.packaging.validate import validate

TARGETS = {
    "folder, tree": lambda tmp, _: depositing.folder(tmp, Layout.TREE),
    "folder, tar": lambda tmp, _: depositing.folder(tmp, Layout.TAR),
    "sftp, tree": lambda tmp, get: depositing.sftp(tmp, get("sshd"), Layout.TREE),
    "sftp, tar": lambda tmp, get: depositing.sftp(tmp, get("sshd"), Layout.TAR),
    "s3, tree": lambda tmp, get: depositing.s3(tmp, get("moto"), Layout.TREE),
    "s3, tar": lambda tmp, get: depositing.s3(tmp, get("moto"), Layout.TAR),
    "archivematica": lambda tmp, _: depositing.archivematica(tmp),
    "internet-archive": lambda tmp, _: depositing.internet_archive(tmp),
    "dspace": lambda tmp, _: depositing.dspace(tmp),
    "command, tree": lambda tmp, _: depositing.command(tmp, Layout.TREE),
    "command, tar": lambda tmp, _: depositing.command(tmp, Layout.TAR),
}


@pytest.fixture(scope="module")
def moto():
    """An S3 server in a process of its own."""
    pytest.importorskip("moto", reason="pip install 'muniment[test]'")
    pytest.importorskip("boto3", reason="pip install 'muniment[s3]'")
    import buckets

    server = buckets.Moto()
    yield server
    server.close()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """Debian's sshd on a loopback port."""
    pytest.importorskip("paramiko", reason="pip install 'muniment[sftp]'")
    import ssh

    server = ssh.Sshd(tmp_path_factory.mktemp("sshd") / "served")
    yield server
    server.close()


@pytest.fixture(params=TARGETS)
def bench(request, tmp_path):
    one = TARGETS[request.param](tmp_path, request.getfixturevalue)
    promise = request.function.__name__
    if promise in one.exempt:
        pytest.skip(one.exempt[promise])
    yield one
    one.target.close()
    if one.server:
        one.server.close()


@pytest.fixture
def sent(tmp_path):
    return consignment(tmp_path / "archive")


def a_file(bench):
    """The largest of what the target keeps."""
    held = bench.held()
    return max(held, key=lambda path: len(held[path]))


def test_the_receipt_names_every_bag_and_the_transfer(bench, sent):
    receipt = bench.target.deposit(sent)
    assert receipt.nonce == NONCE
    assert receipt.bags == tuple(
        Consigned(bag=one.id, tagmanifests=one.tagmanifests) for one in sent.bags
    )
    assert receipt.target == bench.target.name


def test_every_file_in_the_receipt_is_there_with_its_digest(bench, sent):
    receipt = bench.target.deposit(sent)
    held = bench.held()
    assert {one.path for one in receipt.received} == set(held)
    for one in receipt.received:
        assert one.digest.hex == hashlib.sha256(held[one.path]).hexdigest()
        assert one.size == len(held[one.path])


def test_the_stored_bags_are_not_altered(bench, sent, tmp_path):
    before = tree(tmp_path / "archive")
    bench.target.deposit(sent)
    assert tree(tmp_path / "archive") == before


def test_a_sound_deposit_verifies(bench, sent):
    receipt = bench.target.deposit(sent)
    assert bench.target.verify(receipt) == ()


def test_one_byte_that_changed_there_is_found(bench, sent):
    receipt = bench.target.deposit(sent)
    bench.spoil(path := a_file(bench))
    found = bench.target.verify(receipt)
    assert [(one.code, one.path) for one in found] == [("copy-mismatch", path)]


def test_what_is_gone_there_is_found(bench, sent):
    receipt = bench.target.deposit(sent)
    bench.lose(path := a_file(bench))
    found = bench.target.verify(receipt)
    assert [(one.code, one.path) for one in found] == [("copy-missing", path)]


def test_a_bag_comes_back_whole(bench, sent, tmp_path):
    receipt = bench.target.deposit(sent)
    into = tmp_path / "back"
    into.mkdir()
    for one in sent.bags:
        back = bench.target.fetch(receipt, one.id, into)
        assert validate(back).ok
        assert tree(back) == tree(one.path)


def test_a_bag_that_is_spoilt_there_does_not_come_back(bench, sent, tmp_path):
    receipt = bench.target.deposit(sent)
    bench.spoil(a_file(bench))
    with pytest.raises(DepositError):
        bench.target.fetch(receipt, sent.bags[0].id, tmp_path)
    assert not (tmp_path / sent.bags[0].id).exists()


def test_what_stands_there_is_not_overwritten(bench, sent):
    bench.target.deposit(sent)
    path = a_file(bench)
    for one in bench.held():
        bench.lose(one)
    bench.put(path, b"another's")
    with pytest.raises(DepositError, match="nothing is replaced"):
        bench.target.deposit(sent)
    assert bench.held()[path] == b"another's"


def test_the_same_deposit_again_changes_nothing(bench, sent):
    first = bench.target.deposit(sent)
    before = bench.held()
    again = bench.target.deposit(sent)
    assert (again.received, bench.held()) == (first.received, before)


def test_an_interrupted_deposit_is_gone_on_with(bench, tmp_path):
    whole = consignment(tmp_path / "archive")
    if bench.cut:
        bench.cut()
    with pytest.raises((CutError, PipelineError)):
        bench.target.deposit(Watched(whole, most=1_500_000))
    receipt = bench.target.deposit(whole)
    assert {one.path for one in receipt.received} == set(bench.held())
    assert bench.target.verify(receipt) == ()


def test_the_table_in_the_readme_has_every_promise_and_every_target():
    head, _, *rows = contract.written()
    assert head == f"| promise | {' | '.join(TARGETS)} |"
    tests = [name for name in globals() if name.startswith("test_")]
    promises = [contract.named(f"{name}[x]")[0] for name in tests[:-1]]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == promises
    assert "broken" not in "".join(rows)
