"""Detached CMS signatures over bytes (RFC 5652): made, and verified strictly (pure).

A signature binds the certificate it was made under (RFC 5035), so that no other can be
put in its place; ``openssl cms -verify -binary -cades`` insists on that, and
cryptography's own builder does not write it. Verifying asks for one form alone: one
signer, the signer's certificate inside, the attributes once each, nothing besides.
Whether the signer is to be trusted is not decided here.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from pipeline.sealing import der
from pipeline.sealing.keys import Identity

DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"  # RFC 2634, by SHA-1
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"  # RFC 5035
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
DIGESTS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
ATTRIBUTES, CERTIFICATES = der.CONTEXT, der.CONTEXT  # [0] in two places
UNSIGNED, REVOCATIONS = der.CONTEXT + 1, der.CONTEXT + 1  # [1] likewise
ISSUER = 2  # its place in a certificate, the version left out
SIGNER_FIELDS = 6  # RFC 5652 5.3, without unsigned attributes
SIGNER_VERSION = 1  # RFC 5652 5.3: named by issuer and serial number
USAGE = ExtendedKeyUsageOID.EMAIL_PROTECTION  # what openssl cms asks for as well


# ----------------------------------------------------------------------------- making


def sign(content: bytes, identity: Identity, *, at: datetime) -> bytes:
    """Sign bytes as a detached CMS SignedData, in DER."""
    attributes = _attributes(content, identity.certificate, at)
    signature = identity.key.sign(der.set_of(attributes), ec.ECDSA(hashes.SHA256()))
    algorithm = der.sequence(der.oid(DIGESTS["sha256"]))
    certificate = identity.certificate
    signer = der.sequence(
        der.integer(SIGNER_VERSION),
        der.sequence(
            certificate.issuer.public_bytes(), der.integer(certificate.serial_number)
        ),
        algorithm,
        der.tlv(ATTRIBUTES, *sorted(attributes)),
        der.sequence(der.oid(ECDSA_SHA256)),
        der.tlv(der.OCTETS, signature),
    )
    certificates = (certificate, *identity.chain)
    signed = der.sequence(
        der.integer(1),
        der.set_of((algorithm,)),
        der.sequence(der.oid(DATA)),  # detached: no content
        der.tlv(CERTIFICATES, *sorted(map(_encoded, certificates))),
        der.set_of((signer,)),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.tlv(der.CONTEXT, signed))


def _attributes(
    content: bytes, certificate: x509.Certificate, at: datetime
) -> tuple[bytes, ...]:
    digest = hashlib.sha256(content).digest()
    # RFC 5035 3: SHA-256 is the default and is left out.
    binding = der.sequence(
        der.sequence(
            der.sequence(
                der.tlv(der.OCTETS, hashlib.sha256(_encoded(certificate)).digest())
            )
        )
    )
    values = {
        CONTENT_TYPE: der.oid(DATA),
        SIGNING_TIME: der.time(at),
        MESSAGE_DIGEST: der.tlv(der.OCTETS, digest),
        SIGNING_CERTIFICATE_V2: binding,
    }
    return tuple(
        der.sequence(der.oid(kind), der.set_of((value,)))
        for kind, value in values.items()
    )


def _encoded(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


# ---------------------------------------------------------------------------- reading


class Signed(Struct, frozen=True, kw_only=True):
    """CMS SignedData with its one signer, read and not yet believed."""

    content_type: bytes  # an OID, in DER
    is_bare: bool  # no content, no revocation lists, nothing unsigned
    certificate: x509.Certificate  # the signer's, found by issuer and serial number
    certificates: tuple[bytes, ...]  # all, in their order
    digest: str
    algorithm: bytes  # of the signature, an OID in DER
    attributes: dict[bytes, der.Value]
    attribute_bytes: bytes  # as they are signed
    signature: bytes


def read(data: bytes) -> Signed:
    """Read CMS SignedData in DER. Raises ValueError for any doubt."""
    kind, wrapped = _exactly(der.read(data), 2)
    if kind.raw != der.oid(SIGNED_DATA):
        raise ValueError("it is no CMS SignedData")
    (signed,) = wrapped.parts(der.CONTEXT)
    version, _, wrapping, *rest = signed.parts(der.SEQUENCE)
    version.number()
    tags = [one.tag for one in rest]
    if tags not in ([CERTIFICATES, der.SET], [CERTIFICATES, REVOCATIONS, der.SET]):
        raise ValueError("it does not hold certificates and signers")
    certificates = tuple(one.raw for one in rest[0].parts())
    signers = rest[-1].parts()
    if len(signers) != 1:
        raise ValueError(f"it has {len(signers)} signers, and one is wanted")
    content = wrapping.parts(der.SEQUENCE)
    is_bare = len(content) == 1 and len(rest) == len((CERTIFICATES, der.SET))
    return _signed(signers[0], certificates, content[0].raw, is_bare=is_bare)


def _signed(
    signer: der.Value,
    certificates: tuple[bytes, ...],
    content_type: bytes,
    *,
    is_bare: bool,
) -> Signed:
    parts = signer.parts(der.SEQUENCE)
    if parts and parts[-1].tag == UNSIGNED:
        parts, is_bare = parts[:-1], False
    if len(parts) != SIGNER_FIELDS:
        raise ValueError(f"its signer has {len(parts)} fields")
    version, name, digest, attributes, algorithm, signature = parts
    if version.number() != SIGNER_VERSION:
        raise ValueError("its signer is not named by issuer and serial number")
    return Signed(
        content_type=content_type,
        is_bare=is_bare,
        certificate=_signer_among(certificates, name),
        certificates=certificates,
        digest=_digest_named(digest),
        algorithm=algorithm.parts(der.SEQUENCE)[0].raw,
        attributes=_attributes_of(attributes),
        # RFC 5652 5.4: signed as a SET OF, whatever tag they stand under.
        attribute_bytes=der.tlv(der.SET, attributes.content),
        signature=signature.must(der.OCTETS),
    )


def _exactly(value: der.Value, count: int) -> tuple[der.Value, ...]:
    parts = value.parts(der.SEQUENCE)
    if len(parts) != count:
        raise ValueError(f"a CMS part of {len(parts)} fields where {count} were due")
    return parts


def _signer_among(certificates: Sequence[bytes], name: der.Value) -> x509.Certificate:
    """Find the signer's certificate, and read that one alone."""
    issuer, serial = _exactly(name, 2)
    found = [one for one in certificates if _names(one) == (serial.raw, issuer.raw)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} certificates in it are its signer's")
    if serial.number() <= 0:  # RFC 5280 4.1.2.2
        raise ValueError("the number of its certificate is not positive")
    try:
        return x509.load_der_x509_certificate(found[0])
    except x509.InvalidVersion as error:  # no ValueError, as all else is
        raise ValueError(f"its certificate is of no known version: {error}") from error


def _names(certificate: bytes) -> tuple[bytes, bytes]:
    """Take serial number and issuer out of a certificate (RFC 5280 4.1)."""
    fields = der.read(certificate).parts(der.SEQUENCE)[0].parts(der.SEQUENCE)
    if fields and fields[0].tag == der.CONTEXT:  # the version
        fields = fields[1:]
    if len(fields) < ISSUER + 1:
        raise ValueError("a certificate that is cut short")
    return fields[0].raw, fields[ISSUER].raw


def _digest_named(value: der.Value) -> str:
    name = value.parts(der.SEQUENCE)[0]
    for known, dotted in DIGESTS.items():
        if name.raw == der.oid(dotted):
            return known
    raise ValueError(
        f"its digest algorithm is not known here: expected {', '.join(DIGESTS)}, found "
        f"the object identifier {der.dotted(name.must(der.OID))}"
    )


def _attributes_of(value: der.Value) -> dict[bytes, der.Value]:
    found: dict[bytes, der.Value] = {}
    for one in value.parts(ATTRIBUTES):
        kind, values = _exactly(one, 2)
        if kind.raw in found or len(values.parts(der.SET)) != 1:
            raise ValueError("a signed attribute is there twice")
        found[kind.raw] = values.parts()[0]
    return found


# -------------------------------------------------------------------------- verifying


def verify(content: bytes, data: bytes) -> x509.Certificate:
    """Verify a detached signature, and return whose certificate it was made under.

    Raises ValueError, which says what is wrong, for a signature that is not sound.
    """
    signed = read(data)
    # 1. It is over bytes that stand elsewhere, and says so.
    if signed.content_type != der.oid(DATA) or not signed.is_bare:
        raise ValueError("it is not a detached signature over plain bytes, and no more")
    if _attribute(signed, CONTENT_TYPE).raw != der.oid(DATA):
        raise ValueError("its content type is signed as another")
    # 2. The signed digest is that of the bytes (RFC 5652 11.2).
    if signed.digest == "sha1":
        raise ValueError("it digests with SHA-1")
    stated = _attribute(signed, MESSAGE_DIGEST).must(der.OCTETS)
    if stated != hashlib.new(signed.digest, content).digest():
        raise ValueError("it signs other bytes than these")
    # 3. The certificate is the one that the signature names (RFC 5035).
    require_bound(signed)
    # 4. Its key may sign, and did.
    _require_usage(signed.certificate)
    is_ours = signed.algorithm == der.oid(ECDSA_SHA256)
    try:
        key = signed.certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError("the key of its certificate is of no known kind") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not is_ours:
        raise ValueError("it is not made with ECDSA and SHA-256")
    try:
        key.verify(signed.signature, signed.attribute_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise ValueError("the key of its certificate did not make it") from error
    return signed.certificate


def _attribute(signed: Signed, dotted: str) -> der.Value:
    try:
        return signed.attributes[der.oid(dotted)]
    except KeyError:
        raise ValueError(f"it lacks the signed attribute {dotted}") from None


def require_bound(signed: Signed) -> None:
    """Require that the signature names its certificate by digest. Raises ValueError."""
    second = signed.attributes.get(der.oid(SIGNING_CERTIFICATE_V2))
    binding = second or _attribute(signed, SIGNING_CERTIFICATE)
    # SigningCertificate: a sequence of ESSCertIDs, the signer's own first
    first = binding.parts(der.SEQUENCE)[0].parts(der.SEQUENCE)[0]
    parts = first.parts(der.SEQUENCE)
    algorithm = "sha256" if second else "sha1"
    if second and parts[0].tag == der.SEQUENCE:
        algorithm, parts = _digest_named(parts[0]), parts[1:]
    digest = hashlib.new(algorithm, _encoded(signed.certificate)).digest()
    if parts[0].must(der.OCTETS) != digest:
        raise ValueError("it was made under another certificate than it carries")


def _require_usage(certificate: x509.Certificate) -> None:
    """Require that a certificate is for signing, where it says what it is for."""
    usage = extension_of(certificate, x509.KeyUsage)
    if usage and not (usage.value.digital_signature or usage.value.content_commitment):
        raise ValueError("its certificate is not for signing")
    purposes = extension_of(certificate, x509.ExtendedKeyUsage)
    if purposes and USAGE not in purposes.value:
        raise ValueError("its certificate is for another purpose than signing")


Kind = TypeVar("Kind", bound=x509.ExtensionType)


def extension_of(
    certificate: x509.Certificate, kind: type[Kind]
) -> x509.Extension[Kind] | None:
    """Find an extension of a certificate. Raises ValueError for malformed ones."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("the extensions of its certificate are malformed") from error
