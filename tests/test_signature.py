"""Detached signatures: one form is believed, and no other."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from timekeeping import House

from pipeline.sealing import der, signature
from pipeline.sealing.keys import Identity

NOW = datetime.now(UTC)
HOUSE = House("An organisation")
KEY = ec.generate_private_key(ec.SECP256R1())
WHO = Identity(
    key=KEY, certificate=HOUSE.certified("A. Archivist", KEY), chain=(HOUSE.root,)
)
CONTENT = b"what is sealed\n"
SIGNED = signature.sign(CONTENT, WHO, at=NOW)


def test_a_signature_tells_whose_it_is():
    assert signature.verify(CONTENT, SIGNED) == WHO.certificate


def test_the_chain_comes_along():
    assert len(signature.read(SIGNED).certificates) == 2


def test_other_bytes_are_not_signed():
    with pytest.raises(ValueError, match="other bytes"):
        signature.verify(CONTENT + b" ", SIGNED)


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_no_byte_of_it_can_be_changed(at, mask):
    data = bytearray(SIGNED)
    data[at] ^= mask
    # Nothing signs the chain above the signer: what it says of itself is not believed.
    chain = signature.read(SIGNED).certificates
    root = next(one for one in chain if one != signature._encoded(WHO.certificate))
    start = SIGNED.index(root)
    loose = start <= at < start + len(root) or at in _unsigned_heads()
    try:
        assert signature.verify(CONTENT, bytes(data)) == WHO.certificate
        assert loose
    except ValueError:
        pass


def _unsigned_heads() -> set[int]:
    """The version and the list of digest algorithms, which nobody relies on."""
    signed = der.read(SIGNED).parts()[1].parts()[0]
    head = SIGNED.index(signed.content)
    version, algorithms = signed.parts()[:2]
    return set(range(head, head + len(version.raw) + len(algorithms.raw)))


def built(options, content=CONTENT, key=KEY, certificate=None, times=1):
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    for _ in range(times):
        builder = builder.add_signer(
            certificate or WHO.certificate, key, hashes.SHA256()
        )
    return builder.sign(serialization.Encoding.DER, options)


def _serial() -> bytes:
    return der.integer(WHO.certificate.serial_number)


def _negative() -> bytes:
    serial = bytearray(_serial())
    serial[2 if serial[2] else 3] |= 0x80
    return bytes(serial)


def _tbs() -> bytes:
    return WHO.certificate.tbs_certificate_bytes


DETACHED = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
OTHERS = {
    "a certificate that is not bound": (lambda: built(DETACHED), "lacks the signed attribute"),
    "the content within": (lambda: built([pkcs7.PKCS7Options.Binary]), "not a detached signature"),
    "no attributes": (lambda: built([*DETACHED, pkcs7.PKCS7Options.NoAttributes]), "fields"),
    "no certificates": (lambda: built([*DETACHED, pkcs7.PKCS7Options.NoCerts]), "certificates"),
    "two signers": (lambda: built(DETACHED, times=2), "2 signers"),
    "not CMS": (lambda: der.sequence(der.oid("1.2.3"), der.tlv(der.CONTEXT, der.integer(1))), "no CMS"),
    "a certificate with a number below one": (lambda: built(DETACHED).replace(_serial(), _negative()), "not positive"),
    "a certificate that is none": (lambda: built(DETACHED).replace(_tbs(), der.tlv(der.SEQUENCE, b"\5\0" * 3)), "cut short|DER"),
    "nothing": (lambda: b"", "cut short"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "why"), OTHERS.values(), ids=OTHERS)
def test_what_others_write_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        signature.verify(CONTENT, make())


def resigned(change):
    """Sign attributes that were changed, with the true key."""

    def make() -> bytes:
        one = signature._attributes(CONTENT, WHO.certificate, NOW)
        changed = change(one)
        old = der.tlv(der.CONTEXT, *sorted(one))
        new = der.tlv(der.CONTEXT, *sorted(changed))
        made = KEY.sign(der.set_of(changed), ec.ECDSA(hashes.SHA256()))
        parts = list(der.read(SIGNED).parts()[1].parts()[0].parts())
        (signer,) = parts[-1].parts()
        fields = [new if f.raw == old else f.raw for f in _same(signer, old)]
        fields[-1] = der.tlv(der.OCTETS, made)
        body = der.sequence(
            *(p.raw for p in parts[:-1]), der.set_of([der.sequence(*fields)])
        )
        return der.sequence(der.oid(signature.SIGNED_DATA), der.tlv(der.CONTEXT, body))

    return make


def _same(signer, old):
    fields = signer.parts()
    return [replace(f, raw=old) if f.tag == der.CONTEXT else f for f in fields]


def attribute(kind, value):
    return der.sequence(der.oid(kind), der.set_of([value]))


CHANGES = {
    "another content type": (lambda a: (attribute(signature.CONTENT_TYPE, der.oid("1.2.3")), *a[1:]), "content type"),
    "no digest": (lambda a: (a[0], a[1], a[3]), "lacks the signed attribute"),
    "an attribute twice": (lambda a: (*a, a[1]), "there twice"),
    "another certificate bound": (lambda a: (*a[:3], attribute(signature.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(der.sequence(der.tlv(der.OCTETS, b"x" * 32)))))), "another certificate"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), CHANGES.values(), ids=CHANGES)
def test_attributes_must_be_as_they_are_due(change, why):
    with pytest.raises(ValueError, match=why):
        signature.verify(CONTENT, resigned(change)())


def test_changes_are_what_make_the_difference():
    assert signature.verify(CONTENT, resigned(lambda a: a)()) == WHO.certificate


def certified(usage=None, key=KEY, purposes=None) -> x509.Certificate:
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    if usage:
        builder = builder.add_extension(usage, critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(key, hashes.SHA256())


def test_a_certificate_that_does_not_say_what_it_is_for_may_sign():
    made = signature.sign(CONTENT, Identity(key=KEY, certificate=certified()), at=NOW)
    assert signature.verify(CONTENT, made).serial_number == 7


def test_a_certificate_for_something_else_may_not():
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    made = signature.sign(
        CONTENT, Identity(key=KEY, certificate=certified(usage)), at=NOW
    )
    with pytest.raises(ValueError, match="not for signing"):
        signature.verify(CONTENT, made)


def test_a_key_of_another_kind_is_refused():
    key = rsa.generate_private_key(65537, 2048)
    odd = Identity(key=KEY, certificate=certified(key=key))
    with pytest.raises(ValueError, match="not made with ECDSA"):
        signature.verify(CONTENT, signature.sign(CONTENT, odd, at=NOW))


def test_a_signature_must_name_its_certificate_by_digest():
    other = replace(signature.read(SIGNED), certificate=HOUSE.root)
    with pytest.raises(ValueError, match="another certificate"):
        signature.require_bound(other)
