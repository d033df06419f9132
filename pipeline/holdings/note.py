"""Signed notes and checkpoints, as C2SP has them: parsed strictly, signed, verified.

A note is a text, an empty line and signature lines (c2sp.org/signed-note). A checkpoint
is a note whose text names a log, how many lines it had and the root of its tree
(c2sp.org/tlog-checkpoint). Keys are Ed25519 alone; signatures of other kinds are kept
and passed over, as the specification wants. Nothing here reads or writes files.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.holdings.merkle import WIDTH, Head

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LARGEST = 1 << 20  # bytes of a note
MOST_SIGNATURES = 100  # at least 16 have to be taken
ED25519 = b"\x01"  # the signature type of the specification
KEY_ID = 4  # bytes
DASH = "\N{EM DASH} "
SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Verifier(Struct, frozen=True, kw_only=True):
    """A public key under a name; as text, the vkey that others pin."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        told = self.name.encode() + b"\n" + ED25519 + self.public
        return sha256(told).digest()[:KEY_ID]

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read a vkey. Raises ValueError with the reason for any other text."""
        name, _, rest = text.partition("+")
        key_id, _, key = rest.partition("+")  # base64 may hold more of them
        kind, public = (raw := _unbase64(key))[:1], raw[1:]
        if kind != ED25519 or len(public) != WIDTH:
            raise ValueError("the key is not an Ed25519 key")
        verifier = cls(name=_key_name(name), public=public)
        if key_id != verifier.key_id.hex():
            raise ValueError(f"the key has the id {verifier.key_id.hex()}, not its own")
        return verifier

    def __str__(self) -> str:
        key = b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    def has_signed(self, note: "Note") -> bool:
        """Tell whether this key signed a note. Raises ValueError where it did not.

        A signature that names this key and does not fit is an error, none is False.
        """
        ours = [one for one in note.signatures if one.names(self)]
        if not all(_fits(self.public, one.value, note.text) for one in ours):
            raise ValueError(f"the signature of {self.name} does not fit the text")
        return bool(ours)


class Signature(Struct, frozen=True, kw_only=True):
    """One signature line: whose key, by name and id, and what it wrote."""

    name: str
    key_id: bytes
    value: bytes

    def names(self, verifier: Verifier) -> bool:
        """Tell whether the line claims to be by a key."""
        return (self.name, self.key_id) == (verifier.name, verifier.key_id)

    def __str__(self) -> str:
        return f"{DASH}{self.name} {b64encode(self.key_id + self.value).decode()}"


class Note(Struct, frozen=True, kw_only=True):
    """A text that ends in a line feed, and who signed it."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: bytes) -> "Note":
        """Read a note. Raises ValueError with the reason for what is none."""
        if len(data) > LARGEST:
            raise ValueError(f"it is longer than {LARGEST} bytes")
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"byte {error.start} is not UTF-8") from error
        if any(mark < " " and mark != "\n" for mark in whole):
            raise ValueError("it holds control characters")
        text, gap, below = whole.rpartition("\n\n")
        if not gap or not text or not below.endswith("\n"):
            raise ValueError("an empty line and whole signature lines must end it")
        lines = below[:-1].split("\n")
        if len(lines) > MOST_SIGNATURES:
            raise ValueError(f"it has more than {MOST_SIGNATURES} signatures")
        return cls(text=f"{text}\n", signatures=tuple(map(_signature, lines)))

    def __bytes__(self) -> bytes:
        lines = "".join(f"{one}\n" for one in self.signatures)
        return f"{self.text}\n{lines}".encode()


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What a checkpoint says: the log's name, and its head at one moment."""

    origin: str
    head: Head
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the text of a note. Raises ValueError with the reason."""
        origin, *rest = text.removesuffix("\n").split("\n")
        if len(rest) < 2 or not all((origin, *rest)):  # noqa: PLR2004 - size and root
            raise ValueError("expected the lines origin, size and root, none empty")
        size, root, *extensions = rest
        if not SIZE.fullmatch(size):
            raise ValueError("the second line is no size")
        if len(hashed := _unbase64(root)) != WIDTH:
            raise ValueError("the third line is no SHA-256")
        head = Head(size=int(size), root=hashed)
        return cls(origin=origin, head=head, extensions=tuple(extensions))

    def __str__(self) -> str:
        root = b64encode(self.head.root).decode()
        lines = (self.origin, str(self.head.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def sign(text: str, name: str, key: "Ed25519PrivateKey") -> Note:
    """Sign a text with a key under a name."""
    assert text.endswith("\n"), "the text of a note ends in a line feed"
    verifier = Verifier(
        name=_key_name(name), public=key.public_key().public_bytes_raw()
    )
    value = key.sign(text.encode())
    signature = Signature(name=name, key_id=verifier.key_id, value=value)
    return Note(text=text, signatures=(signature,))


def signers(note: Note, known: Iterable[Verifier]) -> tuple[Verifier, ...]:
    """Tell which of the keys that are known signed a note.

    Raises ValueError where a signature by one of them does not fit.
    """
    return tuple(one for one in known if one.has_signed(note))


def _signature(line: str) -> Signature:
    name, gap, value = line.removeprefix(DASH).partition(" ")
    if not line.startswith(DASH) or not gap:
        raise ValueError("a signature line is not an em dash, a key's name and base64")
    raw = _unbase64(value)
    if len(raw) <= KEY_ID:
        raise ValueError("a signature line holds no signature")
    return Signature(name=_key_name(name), key_id=raw[:KEY_ID], value=raw[KEY_ID:])


def _key_name(name: str) -> str:
    if not name or "+" in name or any(mark.isspace() or mark < " " for mark in name):
        raise ValueError("a key's name is empty, or has spaces or a plus sign")
    return name


def _unbase64(text: str) -> bytes:
    """Decode base64 in the one form that encoding it again gives (RFC 4648 4)."""
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise ValueError("the base64 in it is broken") from error
    if b64encode(raw).decode() != text:
        raise ValueError("the base64 in it is not canonical")
    return raw


def _fits(public: bytes, value: bytes, text: str) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - start-up time
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(value, text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
