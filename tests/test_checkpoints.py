"""The log's key and its checkpoints: made once, kept apart, never written again."""

import shutil
import stat
from pathlib import Path

import ledgers
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ledgers import keep, opened

from pipeline.errors import FixityError, PipelineError, StorageError, UsageError
from pipeline.holdings.checkpoints import Checkpoints, Stored, read
from pipeline.holdings.note import signers


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "config" / "muniment"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def signed(root: Path, keys: Path, *weeks: int) -> Stored:
    store = opened(root)
    try:
        with store.lock("test"):
            for week in weeks:
                keep(store, week)
            return store.checkpoint(keys)
    finally:
        store.close()


def test_a_checkpoint_tells_the_head_and_verifies_by_the_key_in_the_archive(
    root, keys
) -> None:
    made = signed(root, keys, 0, 1)
    stored = Checkpoints(root)
    (verifier,) = stored.verifiers()
    assert made.said.origin == verifier.name
    assert made.said.head == opened(root).log.head()
    assert signers(made.note, (verifier,)) == (verifier,)
    assert made.path == root / ".muniment/checkpoints/00000002"
    assert stored.newest().said == made.said
    assert stored.latest.read_bytes() == made.path.read_bytes()


def test_the_key_is_the_users_alone_and_outside_the_archive(root, keys) -> None:
    signed(root, keys, 0)
    (file,) = keys.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert file.name == f"log-{Checkpoints(root).verifiers()[0].key_id.hex()}.pem"
    assert not any(b"PRIVATE" in one.read_bytes() for one in root.rglob("*") if one.is_file())  # fmt: skip


def test_a_key_is_made_once_and_two_archives_have_one_each(
    root, keys, tmp_path
) -> None:
    signed(root, keys, 0)
    again = signed(root, keys, 1)
    other = signed(tmp_path / "other", keys, 0)
    assert len(list(keys.iterdir())) == 2
    assert again.said.origin != other.said.origin


def test_what_was_signed_is_not_signed_again(root, keys) -> None:
    first = signed(root, keys, 0)
    before = first.path.stat()
    assert signed(root, keys).note == first.note
    assert first.path.stat().st_ino == before.st_ino


def test_the_newest_replaces_its_copy_alone(root, keys) -> None:
    first = signed(root, keys, 0)
    data = first.path.read_bytes()
    second = signed(root, keys, 1)
    assert first.path.read_bytes() == data
    assert [one.name for one in Checkpoints(root).files()] == ["00000001", "00000002", "checkpoint"]  # fmt: skip
    assert Checkpoints(root).latest.read_bytes() == second.path.read_bytes()
    assert list((root / ".muniment/staging").iterdir()) == []


def test_an_archive_that_was_never_signed_has_neither_keys_nor_checkpoints(
    root,
) -> None:
    opened(root).close()
    stored = Checkpoints(root)
    assert (stored.verifiers(), stored.files(), stored.newest()) == ((), (), None)


def test_on_a_machine_without_the_key_another_is_made_under_the_same_name(
    root, keys, tmp_path
) -> None:
    first = signed(root, keys, 0)
    second = signed(root, tmp_path / "elsewhere", 1)
    one, two = Checkpoints(root).verifiers()
    assert (one.name, one.name) == (two.name, second.said.origin)
    assert signers(first.note, (one, two)) == (one,)
    assert signers(second.note, (one, two)) == (two,)
    third = signed(root, keys, 2)  # back where the first key is
    assert signers(third.note, (one, two)) == (one,)


def test_the_key_may_not_lie_in_the_archive(root) -> None:
    with pytest.raises(UsageError, match="does not lie in the archive"):
        signed(root, root / "config", 0)
    assert not Checkpoints(root).verifiers()


def other_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def swap(file: Path, tmp_path: Path) -> None:
    signed(tmp_path / "other", tmp_path / "others", 0)
    (other,) = (tmp_path / "others").iterdir()
    file.write_bytes(other.read_bytes())


ODD_KEYS = {
    "open to others": (lambda file, _: file.chmod(0o640), "chmod 600"),
    "no key": (lambda file, _: file.write_bytes(b"?"), "bring it back"),
    "another kind": (lambda file, _: file.write_bytes(other_key()), "another kind"),
    "another log's": (swap, "found another key"),
}


@pytest.mark.parametrize(("harm", "says"), ODD_KEYS.values(), ids=ODD_KEYS)
def test_a_key_that_cannot_be_used_is_refused(root, keys, tmp_path, harm, says) -> None:
    signed(root, keys, 0)
    (file,) = keys.iterdir()
    harm(file, tmp_path)
    with pytest.raises(UsageError, match=says):
        signed(root, keys, 1)


def test_a_key_file_that_is_a_folder_is_told(root, keys) -> None:
    signed(root, keys, 0)
    (file,) = keys.iterdir()
    file.unlink()
    file.mkdir(mode=0o700)
    with pytest.raises(PipelineError, match="log-"):
        signed(root, keys, 1)


def test_public_keys_that_are_none_are_told(root, keys) -> None:
    signed(root, keys, 0)
    Checkpoints(root).keys.write_bytes(b"?\n")
    with pytest.raises(FixityError, match=r"log\.vkey: expected one key"):
        Checkpoints(root).verifiers()


def test_a_checkpoint_that_is_none_is_told(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"?")
    with pytest.raises(FixityError, match="expected a checkpoint"):
        read(tmp_path / "file")
    with pytest.raises(StorageError, match="found something else"):
        read(Path("/dev/null"))


def test_what_a_dead_process_left_in_staging_is_made_anew(root, keys) -> None:
    signed(root, keys, 0)
    (root / ".muniment/staging/checkpoint").write_bytes(b"half")
    assert signed(root, keys, 1).said.head.size == 2


def test_a_private_folder_is_made_with_those_above_it(root, tmp_path) -> None:
    folder = tmp_path / "a" / "b" / "muniment"
    signed(root, folder, 0)
    assert len(list(folder.iterdir())) == 1
    shutil.rmtree(tmp_path / "a")
    ledgers.opened(root).close()
