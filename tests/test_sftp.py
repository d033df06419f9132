"""SFTP: the pinned server alone, nothing sent twice, no dropped block believed."""

import pytest
from depositing import NONCE, Clock, consignment

pytest.importorskip("paramiko", reason="pip install 'muniment[sftp]'")

from ssh import Sshd

from pipeline.handoff.consignment import Layout, item
from pipeline.handoff.copies import Copies
from pipeline.handoff.target import (
    DepositError,
    TakenError,
    TransientError,
    UnfaithfulError,
)
from pipeline.handoff.targets.sftp import Login, Sftp
from pipeline.handoff.wrapping import Retried, Verified

DATA = b"".join(bytes([n]) * 100_000 for n in range(40))


def long(sent=None, path="bag/data/long.bin"):
    """Four million bytes, and a note of each offset they were read from."""

    def read(offset):
        if sent is not None:
            sent.append(offset)
        for at in range(offset, len(DATA), 100_000):
            yield DATA[at : at + 100_000]

    return item(path, len(DATA), read)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    server = Sshd(tmp_path_factory.mktemp("sshd") / "served")
    yield server
    server.close()


def liar(tmp_path_factory, lie):
    return Sshd(tmp_path_factory.mktemp("liar") / "served", lie)


@pytest.fixture
def place(sshd, tmp_path):
    made = []

    def make(**changes) -> Sftp:
        made.append(Sftp(sshd.login(tmp_path, **changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_another_server_is_shown_nothing(place, sshd):
    pinned = sshd.host_key[:-6] + "AAAAAA"
    with pytest.raises(DepositError, match="nothing was sent") as caught:
        place(host_key=pinned).preflight()
    assert sshd.host_key in str(caught.value)


def test_a_stranger_is_not_let_in(place, sshd):
    with pytest.raises(DepositError, match="does not let"):
        place(secret=sshd.stranger).preflight()


def test_a_password_where_none_is_taken_is_told(place):
    with pytest.raises(DepositError, match="does not let") as caught:
        place(secret="hunter22").preflight()
    assert "hunter22" not in str(caught.value)


def test_what_is_no_key_is_told(place):
    with pytest.raises(DepositError, match="can't be read"):
        place(secret="-----BEGIN PRIVATE KEY-----\nx\n").preflight()


def test_a_folder_that_is_not_there_is_told(sshd, tmp_path):
    one = Sftp(sshd.login(tmp_path / "none"))
    with pytest.raises(DepositError, match="not there"):
        one.preflight()
    one.close()


def test_a_file_is_no_folder(sshd, tmp_path):
    (tmp_path / "file").touch()
    one = Sftp(sshd.login(tmp_path / "file"))
    with pytest.raises(DepositError, match="another kind"):
        one.preflight()
    one.close()


def test_a_server_that_is_not_there_may_come_back():
    one = Sftp(Login(host="127.0.0.1", port=9, folder="/", host_key="ssh-ed25519 A", user="u", secret="s"))  # fmt: skip
    with pytest.raises(TransientError):
        one.preflight()
    assert "s" not in repr(one._login).removeprefix("Login(")


def test_what_is_there_is_gone_on_with_behind_its_last_byte(place, tmp_path):
    aside = tmp_path / f".muniment-{NONCE}/bag/data"
    aside.mkdir(parents=True)
    (aside / "long.bin").write_bytes(DATA[:1_234_567])
    sent = []
    wanted = long(sent)
    sent.clear()
    place().put(NONCE, wanted)
    assert sent == [0, 1_234_567]  # compared, then sent
    assert (aside / "long.bin").read_bytes() == DATA


@pytest.mark.parametrize("odd", [b"x" * 9, DATA + b"more", DATA[:99] + b"y"])
def test_what_is_of_other_bytes_is_written_anew(place, tmp_path, odd):
    aside = tmp_path / f".muniment-{NONCE}/bag/data"
    aside.mkdir(parents=True)
    (aside / "long.bin").write_bytes(odd)
    place().put(NONCE, long())
    assert (aside / "long.bin").read_bytes() == DATA


def test_a_line_that_is_cut_again_and_again_comes_to_an_end(tmp_path_factory, tmp_path):
    server = liar(tmp_path_factory, "cut:1500000")
    offsets, clock = [], Clock()
    one = Verified(Retried(Sftp(server.login(tmp_path)), clock))
    wanted = long(offsets)
    offsets.clear()
    one.put(NONCE, wanted)
    begun = [at for at in offsets if at]  # each beginning of sending but the first
    assert len(begun) == 2
    assert begun == sorted(begun)
    assert all(at >= 1_000_000 * n for n, at in enumerate(begun, 1))
    assert len(clock.waited) == 2
    one.close()
    server.close()


@pytest.mark.parametrize("layout", Layout)
def test_a_dropped_block_at_full_size_gets_no_receipt(
    tmp_path_factory, tmp_path, layout
):
    server = liar(tmp_path_factory, "zero")
    clock = Clock()
    target = Copies(
        name="liar",
        kind="sftp",
        place=Verified(Retried(Sftp(server.login()), clock)),
        layout=layout,
        clock=clock,
    )
    with pytest.raises(UnfaithfulError, match="read back"):
        target.deposit(consignment(tmp_path))
    assert not [
        path for path in server.folder.iterdir() if not path.name.startswith(".")
    ]
    target.close()
    server.close()


def test_a_name_that_is_taken_meanwhile_is_not_replaced(place, tmp_path):
    one = place()
    one.put(NONCE, long(path="bag/file"))
    (tmp_path / "bag").mkdir()
    with pytest.raises(TakenError, match="nothing is replaced"):
        one.publish(NONCE, ("bag",))
    assert list((tmp_path / "bag").iterdir()) == []


def test_nothing_secret_stands_in_its_address(place):
    one = place()
    assert one.location.startswith("sftp://127.0.0.1:")
    assert "@" not in one.location
