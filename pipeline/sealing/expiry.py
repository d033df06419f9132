"""Which certificates end within a year, what they carry, and what to do before (pure).

``of_key`` looks at the key that signs, ``of_bags`` at the seals that bags have. A
timestamp, or a signature that nobody stamped, is good for as long as its certificate
is, unless a later seal covers it. Nothing here decides what is believed: certificates
are taken as they stand, so that a warning may be one too many.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from msgspec import Struct
from msgspec.structs import replace

from pipeline.clock import stamp
from pipeline.errors import FixityError
from pipeline.model import Digest
from pipeline.packaging.rendering import Json
from pipeline.sealing import shelf, signature, token
from pipeline.sealing.keys import fingerprint, subject
from pipeline.sealing.shelf import Shelf

AHEAD = timedelta(days=365)


class Carries(StrEnum):
    """What a certificate is the ground of."""

    TIMESTAMP = "timestamp"
    SIGNATURE = "signature"  # that no authority has stamped
    KEY = "key"  # the one that signs


DO = {
    Carries.TIMESTAMP: (
        "timestamps under it, of {bags}, prove nothing afterwards; "
        "renew the seals before: muniment seal --renew"
    ),
    Carries.SIGNATURE: (
        "signatures under it, of {bags}, are stamped by nobody and hold no longer; "
        "configure an authority and renew the seals before: muniment seal --renew"
    ),
    Carries.KEY: (
        "what it signs then does not verify; before, set [seal] key to a new file and "
        "make one: muniment keys init"
    ),
}


class Ending(Struct, frozen=True, kw_only=True):
    """A certificate that ends, and what stands on it."""

    carries: Carries
    whose: str
    fingerprint: Digest
    ends: datetime
    bags: tuple[Path, ...] = ()

    def is_near(self, now: datetime, ahead: timedelta = AHEAD) -> bool:
        """Tell whether it ends within a span, or has ended."""
        return self.ends - now < ahead

    def sentence(self, now: datetime) -> str:
        """Say what ends when, and what to do."""
        verb = "ends" if self.ends >= now else "ended"
        bags = "1 bag" if len(self.bags) == 1 else f"{len(self.bags)} bags"
        do = DO[self.carries].format(bags=bags)
        return f"the certificate of {self.whose} {verb} {stamp(self.ends)}; {do}"

    def told(self) -> dict[str, Json]:
        """Tell it as JSON."""
        return {
            "carries": self.carries.value,
            "whose": self.whose,
            "certificate": str(self.fingerprint),
            "ends": stamp(self.ends),
            "bags": [str(one) for one in self.bags],
        }


def ending(carries: Carries, certificate: x509.Certificate, *bags: Path) -> Ending:
    """Tell when a certificate ends."""
    return Ending(
        carries=carries,
        whose=subject(certificate),
        fingerprint=fingerprint(certificate),
        ends=certificate.not_valid_after_utc,
        bags=bags,
    )


def of_key(certificate: x509.Certificate) -> Ending:
    """Tell when the certificate of the key that signs ends."""
    return ending(Carries.KEY, certificate)


def of_bags(
    bags: Iterable[Path], *, now: datetime, ahead: timedelta = AHEAD
) -> tuple[Ending, ...]:
    """Tell which certificates end within a span, each once with the bags it carries.

    Reads the seal files of the bags and nothing else. Those that can't be read are
    passed over: ``verify`` has more to say of them.
    """
    found: dict[tuple[Carries, Digest], list[Ending]] = {}
    for bag in bags:
        try:
            held = shelf.read(bag)
        except FixityError:
            continue
        for one in {one.fingerprint: one for one in of_seals(held)}.values():
            if one.is_near(now, ahead):
                found.setdefault((one.carries, one.fingerprint), []).append(one)
    every = (
        replace(same[0], bags=tuple(bag for one in same for bag in one.bags))
        for same in found.values()
    )
    return tuple(sorted(every, key=lambda one: (one.ends, str(one.fingerprint))))


def of_seals(held: Shelf) -> Iterator[Ending]:
    """Tell on which certificates a bag stands: those that no later timestamp covers."""
    for number in reversed(held.numbers()):
        stamped = tuple(_stamped(held, number))
        yield from stamped
        if stamped:
            return
        yield from _signed(held, number)


def _stamped(held: Shelf, number: int) -> Iterator[Ending]:
    first = shelf.name_of(number, "")
    for name, data in held.files.items():
        if name.startswith(first) and name.endswith(".tsr"):
            try:
                certificate = token.certificate_of(data)
            except ValueError:
                continue
            yield ending(Carries.TIMESTAMP, certificate, held.path)


def _signed(held: Shelf, number: int) -> Iterator[Ending]:
    try:
        data = held.files.get(shelf.name_of(number, "json.p7s"), b"")
        certificate = signature.read(data).certificate
    except ValueError:
        return
    yield ending(Carries.SIGNATURE, certificate, held.path)
