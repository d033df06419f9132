"""Time, patience and identifiers: handed in as one value, never taken from the air.

Everything that needs to know the time, wait, or name a new thing receives a ``Clock``.
Tests hand in one that stands still.
"""

import random
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from threading import Event
from typing import Protocol

LONGEST_DATE = 64  # characters; no form of a date has as many


class Clock(Protocol):
    """Where time and identifiers come from."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, to measure spans by."""

    def sleep(self, seconds: float, until: Event | None = None) -> None:
        """Wait, or until an event is set."""

    def uuid(self) -> str:
        """Return a new random UUID (RFC 9562, version 4)."""

    def nonce(self, size: int) -> bytes:
        """Return unguessable bytes, for salts."""

    def jitter(self) -> float:
        """Return a number from 0 up to 1, to spread retries by."""


class SystemClock:
    """The machine's own clock and random numbers."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards, to measure spans by."""
        return time.monotonic()

    def sleep(self, seconds: float, until: Event | None = None) -> None:
        """Wait, or until an event is set."""
        if until is None:
            time.sleep(seconds)
        else:
            until.wait(seconds)

    def uuid(self) -> str:
        """Return a new random UUID (RFC 9562, version 4)."""
        digits = secrets.token_hex(16)
        variant = "89ab"[int(digits[16], 16) & 3]
        return (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
            f"{variant}{digits[17:20]}-{digits[20:]}"
        )

    def nonce(self, size: int) -> bytes:
        """Return unguessable bytes, for salts."""
        return secrets.token_bytes(size)

    def jitter(self) -> float:
        """Return a number from 0 up to 1, to spread retries by."""
        return random.random()  # noqa: S311 - spreads load, guards nothing


@lru_cache(maxsize=8192)  # one exchange is told in six places
def stamp(moment: datetime) -> str:
    """Write a moment as WARC 1.1 has it: ``2026-09-24T03:17:00.123456Z``."""
    told = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return told.replace("+00:00", "Z")


def unstamp(text: str) -> datetime:
    """Read a moment that ``stamp`` wrote, or any ISO 8601 moment with its zone.

    Raises ValueError where the text is no moment or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)


def http_date(text: str) -> datetime | None:
    """Read a ``Date`` header (RFC 9110 5.6.7); None for what is no date."""
    return _date(text) if len(text) <= LONGEST_DATE else None


@lru_cache(maxsize=256)  # a server says the same for a second
def _date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - start-up time

    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
