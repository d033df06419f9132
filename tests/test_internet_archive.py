"""The Internet Archive as a target: late, public, and not always true."""

import depositing
import pytest
from archives import InternetArchive
from baggery import sound
from buckets import ERROR, LIES
from depositing import NONCE, consignment

from pipeline.handoff.consignment import Consignment
from pipeline.handoff.target import DepositError, TransientError
from pipeline.handoff.targets.internet_archive import Account, identifier
from pipeline.packaging import bag as bags


@pytest.fixture
def stand(tmp_path):
    opened = []

    def stand(**oddities):
        archive = InternetArchive(**oddities)
        opened.append(archive)
        bench = depositing.internet_archive(tmp_path, archive)
        opened.append(bench.target)
        return archive, bench.target

    yield stand
    for one in opened:
        one.close()


def puts(archive):
    return [path for method, path in archive.asked if method == "PUT"]


def test_a_transfer_is_one_item_with_a_tar_of_each_bag(stand, tmp_path):
    archive, target = stand()
    receipt = target.deposit(consignment(tmp_path / "archive"))
    assert puts(archive) == ["/toll_run/toll_run.tar", "/toll_run/toll_report.tar"]
    assert receipt.location == f"{archive.url}/toll_run"
    head = archive.heads[0]
    assert head["x-archive-auto-make-bucket"] == "1"
    assert head["x-archive-keep-old-version"] == "1"
    assert head["x-archive-meta-collection"] == "test_collection"
    assert int(head["x-archive-size-hint"]) == sum(o.size for o in receipt.received)


def test_what_shows_up_late_is_waited_for(stand, tmp_path):
    _, target = stand(late=1)
    with pytest.raises(TransientError, match="it is not sent again"):
        target.deposit(consignment(tmp_path / "archive"))
    target.deposit(consignment(tmp_path / "archive"))


def test_what_was_accepted_is_not_sent_again(stand, tmp_path):
    archive, target = stand(late=1, lie=lambda data: None)
    notes = []
    with pytest.raises(TransientError):
        target.deposit(consignment(tmp_path / "archive", note=notes.append))
    accepted = "\n".join(notes)
    with pytest.raises(TransientError):
        target.deposit(consignment(tmp_path / "archive", accepted=accepted))
    assert len(puts(archive)) == 2


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_gets_a_receipt(stand, tmp_path, lie):
    body = ERROR if "tells an error" in lie else b""
    _, target = stand(lie=LIES[lie], body=body)
    with pytest.raises(DepositError):
        target.deposit(consignment(tmp_path / "archive"))


def test_a_full_house_is_told_before_anything_is_sent(stand):
    archive, target = stand(full=True)
    with pytest.raises(TransientError, match="takes no more just now"):
        target.preflight()
    assert puts(archive) == []


def test_the_secret_is_not_shown_where_we_are_led_to(stand, tmp_path):
    archive, target = stand()
    target.deposit(consignment(tmp_path / "archive"))
    assert len(archive.node.asked) == 2  # which looks that no secret came along


RIGHTS = b"file,grant_restriction\ndata/letter.txt,%s\n"


@pytest.mark.parametrize("word", [b"Disallow", b"Conditional", b"allowed by nobody"])
def test_what_not_everybody_may_see_is_not_sent(stand, tmp_path, word):
    archive, target = stand()
    files = {b"data/letter.txt": b"x", b"data/metadata/rights.csv": RIGHTS % word}
    place = sound(tmp_path / "toll_closed", files=files)
    closed = Consignment(nonce=NONCE, bags=(bags.read(place),))
    with pytest.raises(DepositError, match="shows what it has to all"):
        target.deposit(closed)
    assert archive.asked == []


def test_what_everybody_may_see_is_sent(stand, tmp_path):
    _, target = stand()
    files = {b"data/letter.txt": b"x", b"data/metadata/rights.csv": RIGHTS % b"Allow"}
    place = sound(tmp_path / "toll_open", files=files)
    target.deposit(Consignment(nonce=NONCE, bags=(bags.read(place),)))


def test_a_wrong_key_is_refused_without_being_told(tmp_path):
    archive = InternetArchive()
    from pipeline.handoff.targets.internet_archive import InternetArchive as Target

    account = Account(url=archive.url, access="me", secret="not-this-one")
    target = Target("ia", account, depositing.Clock())
    with pytest.raises(DepositError, match="status 403") as caught:
        target.deposit(consignment(tmp_path / "archive"))
    assert "not-this-one" not in f"{caught.value} {account}"
    target.close()
    archive.close()


NAMES = {
    "toll_report_20260924t031700z_1a2b3c4d": "toll_report_20260924t031700z_1a2b3c4d",
    "abc": None,
    "ein fall": None,
    "x" * 200: None,
}


@pytest.mark.parametrize("bag", NAMES)
def test_an_item_has_a_name_that_is_allowed_there(bag):
    name = identifier(bag)
    assert 5 <= len(name) <= 80
    assert set(name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    )
    assert (name == bag) == (NAMES[bag] == bag)
    assert len({identifier(bag), identifier(f"{bag}x")}) == 2
