"""A target made of a place: copies, byte for byte, that can be had back.

Every item is put, in order, then all get their names; the receipt lists each with the
digest of what was read back. This module trusts its place to have verified that (see
``wrapping.Verified``).
"""

import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from pipeline import __version__
from pipeline.clock import Clock
from pipeline.errors import StorageError
from pipeline.fixity import Digester, create
from pipeline.handoff.consignment import Consignment, Item, Layout, hashed, name_of
from pipeline.handoff.target import (
    AbsentError,
    DepositError,
    Place,
    TransientError,
    UnfaithfulError,
)
from pipeline.model import Finding, Receipt, Received, Severity

SOFTWARE = f"Muniment {__version__}"
MOST_ANSWER = 1 << 16  # characters of a target's own words
CLAUSE = "Muniment: a copy is what its receipt says"


class Copies(Struct, frozen=True, kw_only=True):
    """Bags in a place, each as a tree of files or as one tar."""

    name: str
    kind: str
    place: Place
    layout: Layout
    clock: Clock

    def preflight(self) -> None:
        """Raise DepositError where nothing can be put."""
        self.place.preflight()

    def deposit(self, consignment: Consignment) -> Receipt:
        """Put every item, then give the bags their names."""
        items, names = consignment.items(self.layout), consignment.names(self.layout)
        return self.keep(consignment, items, names)

    def keep(
        self, consignment: Consignment, items: Iterable[Item], names: tuple[str, ...]
    ) -> Receipt:
        """Put items that a consignment is told by, and give them their names."""
        transfer, answers, received = consignment.nonce, [], []
        for item in items:
            answers.append(self.place.put(transfer, item))
            received.append(acknowledged(item))
        answers.append(self.place.publish(transfer, names))
        return Receipt(
            nonce=consignment.nonce,
            target=self.name,
            kind=self.kind,
            location=self.place.location,
            at=self.clock.now(),
            bags=consignment.consigned(),
            layout=self.layout.value,
            received=tuple(received),
            is_verified=True,
            answer=bounded("\n".join(filter(None, answers))),
            software=SOFTWARE,
        )

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Read back and hash everything that was acknowledged."""
        return tuple(filter(None, (self._judged(one) for one in receipt.received)))

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Bring one bag back, a tar unpacked."""
        layout = Layout(receipt.layout)
        top = name_of(bag, layout)
        wanted = [one for one in receipt.received if one.path.split("/")[0] == top]
        if not wanted:
            raise DepositError(
                f"{bag}: receipt {receipt.nonce} of {receipt.target} is of no such bag"
            )
        came = into / f".{bag}.part"
        try:
            came.mkdir()
            for one in wanted:
                bring(self.place, one, came)
            if layout is Layout.TAR:
                unpack(came / top, came)
            (came / bag).rename(into / bag)
        except OSError as error:
            raise StorageError.at(error.filename or came, error) from error
        finally:
            shutil.rmtree(came, ignore_errors=True)
        return into / bag

    def close(self) -> None:
        """Hang up."""
        self.place.close()

    def _judged(self, one: Received) -> Finding | None:
        try:
            size, digest = hashed(self.place.read(one.path))
        except TransientError:
            raise
        except AbsentError as error:
            return finding("copy-missing", one.path, str(error))
        except (DepositError, StorageError) as error:
            return finding("copy-unreadable", one.path, str(error))
        if (size, digest) == (one.size, one.digest):
            return None
        message = f"expected {one.size:,} bytes with {one.digest}, found {digest}"
        return finding("copy-mismatch", one.path, message)


def bring(place: Place, one: Received, into: Path) -> Path:
    """Bring back what a receipt names. Raises UnfaithfulError for other bytes."""
    path = into / one.path
    if one.path.endswith("/"):
        path.mkdir(parents=True)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    digester = Digester((one.digest.algorithm,))
    with open(create(path), "wb") as file:  # noqa: PTH123 - a descriptor
        for piece in place.read(one.path):
            digester.update(piece)
            file.write(piece)
    if digester.digests() != (one.digest,):
        raise UnfaithfulError(
            f"{place.location}: {one.path}: expected {one.digest}, found"
            f" {digester.digests()[0]}; nothing was brought back. Ask another copy"
        )
    return path


def acknowledged(item: Item) -> Received:
    """Tell an item as a place that verified it has it."""
    return Received(path=item.path, size=item.size, digest=item.digest)


def bounded(answer: str) -> str:
    """Cut a very long answer, and say so."""
    if len(answer) <= MOST_ANSWER:
        return answer
    return f"{answer[:MOST_ANSWER]}\n[cut: {len(answer) - MOST_ANSWER} more characters]"


def unpack(file: Path, into: Path) -> None:
    """Unpack a tar whose digest is the one that we sent."""
    with tarfile.open(file) as tar:
        tar.extractall(into, filter="data")
    file.unlink()


def finding(code: str, path: str, message: str) -> Finding:
    """Tell what is wrong with a copy."""
    return Finding(
        code=code, severity=Severity.ERROR, path=path, message=message, clause=CLAUSE
    )
