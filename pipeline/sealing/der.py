"""DER, as much of it as signatures need: strict values, read and written (pure).

cryptography writes no CMS with the attribute that binds a signer's certificate (RFC
5035), and reads no CMS signature at all; a general ASN.1 library would be one more to
trust. What is not DER to the letter is refused: one value has one form.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

INTEGER, OCTETS, OID, NULL, UTC_TIME = 0x02, 0x04, 0x06, 0x05, 0x17
GENERALIZED_TIME, SEQUENCE, SET, BOOLEAN = 0x18, 0x30, 0x31, 0x01
CONSTRUCTED = 0x20
CONTEXT = 0xA0  # constructed, context-specific, with its number added
LARGEST = 1 << 24  # bytes of a value; nothing we read comes near
LONG = 0x80  # the bit that says that more follows, or that a number is negative
MANY = 0x1F  # the tag number that says the same
LONGEST_LENGTH = 4  # bytes
UTC_TIME_ENDS = 2050  # RFC 5652 11.3


class Value(Struct, frozen=True, kw_only=True):
    """One value: its tag, what it holds, and the bytes it was read from."""

    tag: int
    content: bytes
    raw: bytes

    def parts(self, tag: int | None = None) -> tuple["Value", ...]:
        """Read the values within; they fill it. Raises ValueError."""
        if not self.tag & CONSTRUCTED or (tag is not None and self.tag != tag):
            raise ValueError(f"a DER value of tag {self.tag:#x} where {tag} was due")
        found, at = [], 0
        while at < len(self.content):
            value = _value(self.content, at)
            found.append(value)
            at += len(value.raw)
        return tuple(found)

    def must(self, tag: int) -> bytes:
        """Return the content of a value that must have a tag. Raises ValueError."""
        if self.tag != tag:
            raise ValueError(f"a DER value of tag {self.tag:#x} where {tag:#x} was due")
        return self.content

    def number(self) -> int:
        """Read an INTEGER. Raises ValueError."""
        content = self.must(INTEGER)
        number = int.from_bytes(content, "big", signed=True)
        if self.raw != integer(number):
            raise ValueError("an integer that is not DER")
        return number


def read(data: bytes) -> Value:
    """Read the one value that fills the bytes. Raises ValueError."""
    value = _value(data, 0)
    if len(value.raw) != len(data):
        raise ValueError(f"{len(data) - len(value.raw)} bytes behind a DER value")
    return value


def _value(data: bytes, at: int) -> Value:
    if len(data) < at + 2:
        raise ValueError("a DER value that is cut short")
    tag, first = data[at], data[at + 1]
    if tag & MANY == MANY:
        raise ValueError("a DER tag of more than one byte")
    start, length = at + 2, first
    if first >= LONG:
        count = first - LONG
        start += count
        length = int.from_bytes(data[at + 2 : start], "big")
        # X.690 10.1: the shortest form, and never the indefinite one.
        if not 1 <= count <= LONGEST_LENGTH or length < LONG or not data[at + 2]:
            raise ValueError("a DER length that is not in its shortest form")
    end = start + length
    if length > LARGEST or end > len(data):
        raise ValueError("a DER value that is cut short or too long")
    return Value(tag=tag, content=data[start:end], raw=data[at:end])


def tlv(tag: int, *parts: bytes) -> bytes:
    """Write a value: its tag, its length, what it holds."""
    content = b"".join(parts)
    length = len(content)
    if length < LONG:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, LONG | len(size))) + size + content


def sequence(*parts: bytes) -> bytes:
    """Write a SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """Write a SET OF, in the order that DER asks for (X.690 11.6)."""
    return tlv(SET, *sorted(parts))


def integer(number: int) -> bytes:
    """Write an INTEGER."""
    size = (number if number >= 0 else number + 1).bit_length() // 8 + 1
    return tlv(INTEGER, number.to_bytes(size, "big", signed=True))


def oid(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    return tlv(OID, *map(_base128, (first * 40 + second, *rest)))


def dotted(content: bytes) -> str:
    """Spell the content of an OBJECT IDENTIFIER, for people."""
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & LONG:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2) if numbers else 0
    head = [first, numbers[0] - first * 40] if numbers else []
    return ".".join(map(str, (*head, *numbers[1:])))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(LONG | number & 0x7F)
    return bytes(reversed(digits))


def time(moment: datetime) -> bytes:
    """Write a Time: UTCTime until 2049, GeneralizedTime from then on."""
    at = moment.astimezone(UTC)
    if at.year < UTC_TIME_ENDS:
        return tlv(UTC_TIME, at.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(GENERALIZED_TIME, at.strftime("%Y%m%d%H%M%SZ").encode())
