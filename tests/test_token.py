"""Timestamps: what is asked, and what is believed of an answer."""

import subprocess
from importlib import metadata

import pytest
import rfc3161_client
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from timekeeping import OPENSSL, Clockmaker, House, pem

from pipeline.errors import UsageError
from pipeline.model import Digest
from pipeline.sealing import der, token

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")
DATA = b"a signature\n"
NONCE = bytes(range(1, 17))


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Clockmaker(tmp_path_factory.mktemp("one") / "one", "one")


@pytest.fixture(scope="module")
def answer(maker):
    return maker.answer(token.query(DATA, NONCE))


def judge(answer, maker, **options):
    options = {"data": DATA, "asked": token.query(DATA, NONCE), **options}
    return token.judge(answer, authority=maker.authority(), **options)


def test_openssl_reads_our_query(tmp_path):
    (tmp_path / "q").write_bytes(token.query(DATA, NONCE))
    words = ["openssl", "ts", "-query", "-in", tmp_path / "q", "-text"]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "Hash Algorithm: sha512" in told
    assert "Nonce: 0x0102030405060708090A0B0C0D0E0F10" in told
    assert "Certificate required: yes" in told


def test_a_token_says_when_and_by_whose_word(maker, answer):
    found = judge(answer, maker)
    assert (found.authority, found.signer) == ("one", "CN=one TSA")
    assert found.expires == maker.certificate.not_valid_after_utc
    assert token.peek(answer) == (found.at, found.signer)


def test_the_library_is_one_that_takes_no_root_from_a_token():
    version = tuple(map(int, metadata.version("rfc3161-client").split(".")[:3]))
    assert version >= (1, 0, 9)


def test_a_chain_is_told_as_openssl_tells_it(maker, answer):
    assert token.chain_of(answer) == pem(maker.certificate)


def test_a_root_in_the_token_is_no_root(maker, tmp_path):
    house = House("one", is_wide=True)
    forged = Clockmaker(tmp_path / "f", "one", house=house, embed=pem(house.root))
    made = forged.answer(token.query(DATA, NONCE))
    assert len(rfc3161_client.decode_timestamp_response(made).signed_data.certificates) == 2  # fmt: skip
    assert judge(made, forged).signer == "CN=one TSA"
    with pytest.raises(ValueError, match="no chain to a root pinned for one"):
        judge(made, maker)


def test_the_roots_of_one_authority_are_not_those_of_the_next(maker, tmp_path):
    """The builder's lists are shared between builders that are not made anew."""
    other = Clockmaker(tmp_path / "two", "two")
    made = other.answer(token.query(DATA, NONCE))
    judge(made, other)
    for _ in range(2):
        with pytest.raises(ValueError, match="not to be trusted"):
            judge(made, maker)


def test_a_rejection_is_read_from_its_status(maker, tmp_path):
    words = ["openssl", "ts", "-query", "-digest", "00" * 20, "-sha1", "-cert"]
    asked = subprocess.run(words, check=True, capture_output=True).stdout
    made = maker.answer(asked)
    with pytest.raises(ValueError, match="refused with status 2"):
        judge(made, maker)
    with pytest.raises(ValueError, match="holds no token"):
        token.chain_of(made)


def test_a_signer_that_had_ended_is_not_believed(tmp_path):
    old = Clockmaker(tmp_path / "old", "old", house=House("old", -48, 48), span=(-48, -24))  # fmt: skip
    made = old.answer(token.query(DATA, NONCE))
    with pytest.raises(ValueError, match="not to be trusted"):
        judge(made, old)


WRONG = {
    "other data": ({"data": b"other"}, "asks about other bytes"),
    "another nonce": ({"asked": token.query(DATA, b"another nonce!!!")}, "Nonce"),
    "no query": ({"asked": b""}, "DER"),
    "a query of another form": ({"asked": der.sequence(der.integer(1))}, "no query that Muniment makes"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "why"), WRONG.values(), ids=WRONG)
def test_an_answer_to_another_question_is_refused(options, why, maker, answer):
    with pytest.raises(ValueError, match=why):
        judge(answer, maker, **options)


@given(data=st.data())
@settings(max_examples=150)
def test_whatever_comes_for_an_answer_is_judged_or_refused(data, maker, answer):
    at = data.draw(st.integers(0, len(answer) - 1))
    odd = bytearray(answer)
    odd[at] ^= data.draw(st.integers(1, 255))
    for made in (bytes(odd), answer[:at]):
        try:
            judge(made, maker)
        except ValueError:
            continue
        assert made != answer[:at]


@given(data=st.binary(max_size=80))
def test_noise_is_refused(maker, data):
    with pytest.raises(ValueError, match=r"."):
        judge(data, maker)


@pytest.mark.parametrize(
    "purposes",
    [(), (ExtendedKeyUsageOID.SERVER_AUTH,), (ExtendedKeyUsageOID.TIME_STAMPING,) * 1],
)
def test_only_a_timestamping_certificate_stamps(purposes, maker):
    key = House("x").key
    certificate = maker.house.certified("x", key, purposes=purposes)
    if purposes == (ExtendedKeyUsageOID.TIME_STAMPING,):
        token.require_timestamping(certificate)
        return
    with pytest.raises(ValueError, match="its certificate"):
        token.require_timestamping(certificate)


def test_roots_are_read_from_pem_or_told(maker, tmp_path):
    assert token.roots_of("one", maker.root) == (maker.house.root,)
    with pytest.raises(UsageError, match="No such file"):
        token.roots_of("one", tmp_path / "gone.pem")
    (tmp_path / "none.pem").write_text("no certificate")
    with pytest.raises(UsageError, match="expected the roots"):
        token.roots_of("one", tmp_path / "none.pem")
    with pytest.raises(UsageError, match="certifi"):
        token.roots_of("one", Digest("sha256", "00" * 32))


def test_the_authority_offered_by_init_has_its_root_in_the_bundle():
    import tomllib

    from pipeline.config import STARTER_TOML

    lines = [line.removeprefix("# ") for line in STARTER_TOML.splitlines()]
    start = next(n for n, line in enumerate(lines) if "seal.authority" in line)
    told = tomllib.loads("\n".join(lines[start : start + 4]))["seal"]["authority"][0]
    root = token.roots_of(told["name"], Digest.parse(told["roots"]))
    assert "DigiCert" in root[0].subject.rfc4514_string()
