"""What every target of a deposit promises, and the ways in which one fails.

A ``Target`` takes bags and gives a receipt. Most of them are places: a ``Place`` keeps
bytes under names and gives them back, and knows nothing of bags or receipts. What was
interrupted is gone on with under the same transfer, a name that nobody else draws;
what a place holds already is never replaced.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.errors import Exit, PipelineError
from pipeline.handoff.consignment import Consignment, Item
from pipeline.model import Finding, Receipt


class DepositError(PipelineError):
    """A target did not take, keep or give what it should; the others are untouched."""

    code = "deposit"
    exit = Exit.DEPOSIT


class TransientError(DepositError):
    """A failure that may pass: a connection cut, a server overtaxed."""

    code = "deposit-transient"


class TakenError(DepositError):
    """Something else stands under the name; it was not replaced."""

    code = "deposit-taken"


class AbsentError(DepositError):
    """A target does not have what it acknowledged."""

    code = "deposit-absent"


class UnfaithfulError(DepositError):
    """What a target gives back is not what was sent to it, or handed to it before."""

    code = "deposit-mismatch"


class Place(Protocol):
    """Where bytes are kept under names, with slashes in them.

    What is put may stand aside until ``publish`` gives it its name. A name that ends in
    a slash is an empty folder. Every act may raise TransientError.
    """

    @property
    def location(self) -> str:
        """Tell where it is, as an address without any secret."""

    def preflight(self) -> None:
        """Raise DepositError where nothing can be put, and leave no trace."""

    def put(self, transfer: str, item: Item) -> str:
        """Keep one item and return the place's own answer, if it gives one.

        Goes on behind what an earlier attempt left; what stands there with these very
        bytes is left. Raises TakenError for other bytes under the name.
        """

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what is kept under a name, or stands aside for it in a transfer.

        Raises AbsentError where there is nothing.
        """

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Give what stands aside its names and return the place's own answer.

        A name is the first part of a path. Once more changes nothing. Raises
        TakenError, and then none has its name.
        """

    def close(self) -> None:
        """Hang up."""


class Target(Protocol):
    """A party that bags are handed to."""

    @property
    def name(self) -> str:
        """What the manifest or the configuration calls it."""

    def preflight(self) -> None:
        """Raise DepositError where a deposit could not succeed; nothing is sent."""

    def deposit(self, consignment: Consignment) -> Receipt:
        """Hand over the bags; return once the target's bytes were read back and hashed.

        An interrupted transfer is gone on with. Raises DepositError; then what was
        confirmed stays, and the same consignment can be handed over again.
        """

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Read back and hash what was acknowledged; say what is wrong with it now.

        Raises TransientError where the target cannot be asked.
        """

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Bring one bag back into a folder, as a new folder of the bag's name.

        Every byte is hashed on its way. Raises DepositError; then nothing is left.
        """

    def close(self) -> None:
        """Hang up."""
