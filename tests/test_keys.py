"""Signing identities: made once, read with suspicion, told by fingerprint."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.errors import Exit, KeyFileError, StorageError
from pipeline.sealing import keys
from pipeline.sealing.keys import Identity

NOW = datetime(2026, 9, 24, 3, 17, tzinfo=UTC)
SERIAL = bytes(range(16))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "conf" / "muniment" / "signing.pem"


def make(path, **options):
    return keys.make(path, now=NOW, serial=SERIAL, **options)


def test_a_key_is_for_its_owner_alone(path):
    make(path, name="A. Archivist")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["signing.pem"]


def test_what_was_made_is_read_again(path):
    made = make(path, name="A. Archivist", organisation="The Archive")
    found = keys.read(path)
    assert found.fingerprint == made.fingerprint
    assert found.chain == ()
    assert keys.told(found.certificate) == (
        "O=The Archive,CN=A. Archivist, self-signed: nobody else vouches for the name"
    )


def test_openssl_prints_the_same_fingerprint(path):
    made = make(path)
    words = ["openssl", "x509", "-in", str(path), "-noout", "-fingerprint", "-sha256"]
    try:
        printed = subprocess.run(words, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    digits = printed.decode().partition("=")[2].strip().replace(":", "").lower()
    assert digits == made.fingerprint.hex


def test_a_machine_key_is_called_one_and_made_once(path):
    made, is_new = keys.read_or_make(path, now=NOW, serial=SERIAL)
    assert is_new
    assert "a machine's, not a person's" in keys.told(made.certificate)
    again, is_new = keys.read_or_make(path, now=NOW, serial=SERIAL)
    assert (again.fingerprint, is_new) == (made.fingerprint, False)


def test_of_runs_that_begin_at_once_one_makes_the_key_and_all_have_it(tmp_path):
    path, starting = tmp_path / "settings" / "key.pem", threading.Barrier(8)

    def begun(n: int) -> tuple[Identity, bool]:
        starting.wait()
        return keys.read_or_make(path, now=NOW, serial=bytes([n]) * 16)

    with ThreadPoolExecutor(8) as runs:
        made = list(runs.map(begun, range(8)))
    assert [is_new for _, is_new in made].count(True) == 1
    assert len({one.fingerprint for one, _ in made}) == 1


def test_a_key_is_never_replaced(path):
    make(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never replaced"):
        make(path)
    assert path.read_bytes() == before


def test_a_place_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        make(tmp_path / "file" / "signing.pem")


def test_a_name_that_no_certificate_holds_is_told(path):
    with pytest.raises(KeyFileError, match="cannot be a certificate's name"):
        make(path, name="\ud800")


def test_a_key_below_the_archive_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="which is copied about"):
        keys.require_apart(tmp_path / "archive" / "x" / "k.pem", tmp_path / "archive")
    keys.require_apart(tmp_path / "k.pem", tmp_path / "archive")


def secret(key, password=None) -> bytes:
    guard = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()  # fmt: skip
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard
    )


def certificate(path) -> bytes:
    data = path.read_bytes()
    return data[data.index(b"-----BEGIN CERTIFICATE") :]


ODD = {
    "an encrypted key": (lambda p: secret(keys.read(p).key, b"x") + certificate(p), "it is encrypted"),
    "no key": (certificate, "holds 0 private keys"),
    "two keys": (lambda p: secret(keys.read(p).key) * 2 + certificate(p), "holds 2 private keys"),
    "a key without its certificate": (lambda p: secret(keys.read(p).key), "PEM"),
    "another's certificate": (lambda p: secret(ec.generate_private_key(ec.SECP256R1())) + certificate(p), "no certificate in it is of its key"),
    "another curve": (lambda p: secret(ec.generate_private_key(ec.SECP384R1())) + certificate(p), "no ECDSA key on P-256"),
    "an RSA key": (lambda p: secret(rsa.generate_private_key(65537, 2048)) + certificate(p), "no ECDSA key on P-256"),
    "nonsense within": (lambda p: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + certificate(p), "not readable as PEM"),
}  # fmt: skip


@pytest.mark.parametrize(("odd", "why"), ODD.values(), ids=ODD)
def test_what_is_no_key_is_told_in_a_sentence(odd, why, path):
    make(path)
    data = odd(path)
    path.write_bytes(data)
    with pytest.raises(KeyFileError, match=why) as caught:
        keys.read(path)
    assert (caught.value.code, caught.value.exit) == ("seal-key", Exit.USAGE)
    assert str(path) in str(caught.value)


def test_a_key_that_others_may_read_is_refused(path):
    make(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match=r"0644.*chmod 600"):
        keys.read(path)


def test_a_key_that_is_not_there_is_told(path):
    with pytest.raises(KeyFileError, match="No such file"):
        keys.read(path)
    path.mkdir(parents=True)
    with pytest.raises(KeyFileError, match="Is a directory"):
        keys.read(path)
