"""The outbox: notices written down first, then sent; what could not be sent stays.

One file for each notice in the archive's own folder, so that a message outlives a
machine that dies, a network that is down, an address that is wrong. What cannot be sent
is told and harms nothing; each ``post`` tries again, for a week.

Addresses are looked up when they are used, and go to apprise alone: no sentence of ours
has one, and apprise's own are not listened to.
"""

import json
import logging
import warnings
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pipeline.clock import Clock, stamp, unstamp
from pipeline.disk import small_file
from pipeline.errors import PipelineError, StorageError, UsageError
from pipeline.fixity import write_file
from pipeline.holdings.room import OWN
from pipeline.intake.secrecy import is_reference
from pipeline.model import Occasion
from pipeline.notice import Notice, gathered

LARGEST = 1 << 20  # bytes of a notice, and of a file with an address
DAY = timedelta(days=1)
STALE = timedelta(days=7)  # what could not be sent for so long is given up
AT_ONCE = {Occasion.FIXITY}  # no digest keeps damage waiting
MISSING = "apprise is not installed: pip install 'muniment[notify]'"


class Sender(Protocol):
    """Whoever takes a message to an address; "" where it was taken, or why not."""

    def __call__(self, address: str, subject: str, body: str) -> str:
        """Take a message there."""


class Outbox(Struct, frozen=True, kw_only=True):
    """The notices of one archive that are still to be sent."""

    root: Path
    clock: Clock
    environ: Mapping[str, str]
    is_daily: bool = False
    send: Sender | None = None  # None: apprise

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.root / OWN / "outbox"

    def put(self, notices: Iterable[Notice]) -> None:
        """Write notices down, so that they last. Raises StorageError."""
        for one in notices:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{stamp(one.at)}-{self.clock.uuid()}.json".replace(":", "")
            told = {
                "at": stamp(one.at),
                "occasion": one.occasion.value,
                "subject": one.subject,
                "lines": one.lines,
                "to": one.to,
            }
            try:
                write_file(self.folder, name, json.dumps(told).encode())
            except OSError as error:
                raise StorageError.at(self.folder / name, error) from error

    def post(self) -> tuple[str, ...]:
        """Send what is due, one message to each address; return what went wrong."""
        waiting = {path: one for path in self._paths() if (one := _read(path))}
        due = dict(waiting) if self._is_due(waiting.values()) else {}
        due |= {p: one for p, one in waiting.items() if one.occasion in AT_ONCE}
        said: list[str] = []
        failed: set[str] = set()
        for address in sorted({to for one in due.values() for to in one.to}):
            mine = [one for one in due.values() if address in one.to]
            if why := self.deliver(address, *gathered(mine)):
                failed.add(address)
                said.append(f"not told to {address}: {why}")
        for path, one in due.items():
            self._close(path, one, failed, said)
        return tuple(said)

    def _close(
        self, path: Path, one: Notice, failed: set[str], said: list[str]
    ) -> None:
        """Take away what was sent, or has waited too long."""
        left = tuple(to for to in one.to if to in failed)
        if left and self.clock.now() - one.at > STALE:
            said.append(f"given up after {STALE.days} days: {one.subject}")
            left = ()
        if left == one.to:
            return
        if left:
            self.put((replace(one, to=left),))
        path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def _is_due(self, waiting: Iterable[Notice]) -> bool:
        """Tell whether a digest is due: a day after the first of its notices."""
        first = min((one.at for one in waiting), default=None)
        if first is None:
            return False
        return not self.is_daily or self.clock.now() - first >= DAY

    def deliver(self, reference: str, subject: str, body: str) -> str:
        """Send one message at once; return why it was not taken, or nothing."""
        try:
            address = resolved(reference, self.environ)
        except PipelineError as error:
            return str(error)
        return (self.send or by_apprise)(address, f"Muniment: {subject}", body)


def resolved(reference: str, environ: Mapping[str, str]) -> str:
    """Look an address up: ``env:NAME``, ``file:PATH``, or mail as it stands.

    Raises UsageError, which says what is wanted and never what was found.
    """
    if not is_reference(reference):
        return reference
    kind, _, place = reference.partition(":")
    if kind == "env":
        found = environ.get(place, "")
        why = f"the environment has no {place}; set it"
    else:
        why = f"{place} has no address in it; write one, and keep it to yourself"
        try:
            found = small_file(Path(place).expanduser(), LARGEST).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(why) from error
    if not found.strip():
        raise UsageError(why)
    return found.strip()


def by_apprise(address: str, subject: str, body: str) -> str:
    """Hand a message to apprise; "" where it was taken."""
    with warnings.catch_warnings():  # of what apprise loads, which it does late
        warnings.simplefilter("ignore")
        try:
            import apprise  # noqa: PLC0415 - an extra, and slow to load
        except ImportError:
            return MISSING
        logging.getLogger("apprise").disabled = True  # its sentences have the address
        box = apprise.Apprise()
        if not box.add(address):
            return "it is no address that apprise knows; see its list of services"
        try:
            taken = box.notify(title=subject, body=body, body_format="text")
        except (OSError, TypeError, ValueError) as error:
            return f"it failed: {type(error).__name__}"
    return "" if taken else "it was not taken; look at the address and its service"


def _read(path: Path) -> Notice | None:
    """Read a notice; what is none of ours is left where it is."""
    try:
        told = json.loads(small_file(path, LARGEST))
        return Notice(
            at=unstamp(told["at"]),
            occasion=Occasion(told["occasion"]),
            subject=str(told["subject"]),
            lines=tuple(map(str, told["lines"])),
            to=tuple(map(str, told["to"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
