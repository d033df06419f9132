"""What other archives acknowledged, kept beside the bags: signed, never replaced.

    <job>/receipts/<target>_<time>_<nonce>.json      the receipt, for a person to read
    <job>/receipts/<target>_<time>_<nonce>.json.p7s  signed by whoever seals the bags

A receipt is evidence to a stranger as a seal is, so the same identity signs both, and
``openssl cms -verify`` reads it; the log's own key vouches for the line that names the
receipt by digest. A nonce is good for one receipt: another with it is refused.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pipeline.disk import DISK, Disk, small_file
from pipeline.errors import FixityError, StorageError
from pipeline.fixity import digest_of, write_file
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.room import OWN, Room, entries, folders, told
from pipeline.model import Digest, Finding, Receipt, Severity

FORMAT = "muniment-receipt/1"
FOLDER = "receipts"
SIGNATURE = ".p7s"
LARGEST = 1 << 26  # bytes; a receipt lists each file of the bags
LARGEST_SIGNATURE = 1 << 20
CLAUSE = "Muniment: a receipt is signed, and of one transfer"

Sign = Callable[[bytes], bytes]


class ReplayError(FixityError):
    """A receipt of another transfer was handed over as if it were of this one."""

    code = "receipt-replayed"


class Stored(Struct, frozen=True, kw_only=True):
    """A receipt as it lies in the archive."""

    path: Path
    digest: Digest
    receipt: Receipt


def render(receipt: Receipt) -> bytes:
    """Write a receipt, the same for the same: sorted, indented, ASCII."""
    fields = {"format": FORMAT, **msgspec.to_builtins(receipt)}
    return json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n"


def parse(data: bytes) -> Receipt:
    """Read a receipt. Raises ValueError for bytes that ``render`` did not write."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(data)
        receipt = msgspec.convert(fields, Receipt)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise ValueError(f"it is no receipt: {error}") from error
    if render(receipt) != data:
        raise ValueError("it is not in the form that a receipt has")
    return receipt


class Receipts:
    """The receipts of the archive at ``root``."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self._room = Room(root, disk)
        self._disk = disk

    def paths(self) -> Iterator[Path]:
        """Yield every receipt's file, in order of job and name."""
        for job in folders(self._room.root):
            place = job / FOLDER
            if not (job / OWN).exists() and place.is_dir():
                yield from (one for one in entries(place) if one.suffix == ".json")

    def keep(self, receipt: Receipt, *, job: str, sign: Sign) -> Stored:
        """Sign a receipt and keep it, durably.

        Raises ReplayError where a receipt with this nonce is kept, StorageError.
        """
        for path in self.paths():
            if path.stem.endswith(f"_{receipt.nonce}"):
                raise ReplayError(
                    f"{receipt.target}: a receipt with the nonce {receipt.nonce} is"
                    f" kept already, as {path}; a receipt is good for one transfer,"
                    " and this one is not kept"
                )
        data = render(receipt)
        place = self._room.root / job / FOLDER
        name = f"{receipt.target}_{receipt.at:%Y%m%dt%H%M%Sz}_{receipt.nonce}.json"
        self._room.make(place)
        for suffix, content in ((SIGNATURE, sign(data)), ("", data)):
            self._room.move(
                self._staged(name + suffix, content), place / f"{name}{suffix}"
            )
        return Stored(path=place / name, digest=digest_of(data), receipt=receipt)

    def _staged(self, name: str, data: bytes) -> Path:
        """Write bytes durably where nobody takes them for finished."""
        staged = self._room.staging / name
        with told(staged):
            staged.unlink(missing_ok=True)  # of a process that died
        write_file(staged.parent, staged.name, data)
        with told(staged), staged.open("rb") as file:
            self._disk.sync(file.fileno())
        return staged


def read(path: Path) -> Stored:
    """Read a receipt. Raises FixityError for what is none, StorageError."""
    data = _content(path, LARGEST)
    try:
        return Stored(path=path, digest=digest_of(data), receipt=parse(data))
    except ValueError as error:
        raise FixityError(f"{path}: {error}; bring it back from a copy") from error


def line_of(stored: Stored, *, place: str, job: str, at: datetime) -> Entry:
    """Tell a receipt for the custody log; ``place`` is its path in the archive."""
    receipt = stored.receipt
    return Entry(
        act=Act.RECEIPT,
        at=at,
        bag=receipt.bags[0].bag,
        job=job,
        path=place,
        tagmanifests=receipt.bags[0].tagmanifests,
        outcome="verified" if receipt.is_verified else "accepted",
        software=receipt.software,
        detail=f"{stored.digest} {receipt.target} {receipt.nonce}",
    )


def judge(paths: Iterable[Path], logged: frozenset[Digest]) -> Iterator[Finding]:
    """Say what is wrong with receipts: damaged, unsigned, replayed, not in the log.

    ``logged`` are the digests of the receipts that the custody log names.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        try:
            stored = read(path)
            signer_of(path)
        except (FixityError, StorageError) as error:
            yield _finding("receipt-damaged", path, str(error))
            continue
        first = seen.setdefault(stored.receipt.nonce, path)
        if first != path:
            message = (
                f"it is of the same transfer as {first}: one of them is no receipt"
            )
            yield _finding("receipt-replayed", path, message)
        if stored.digest not in logged:
            yield _finding("receipt-unlogged", path, "the custody log has no such one")


def signer_of(path: Path) -> Digest:
    """Tell the fingerprint of whoever signed a receipt. Raises FixityError."""
    from pipeline.sealing import keys, signature  # noqa: PLC0415 - start-up time

    place = path.with_name(path.name + SIGNATURE)
    try:
        made = _content(place, LARGEST_SIGNATURE)
        return keys.fingerprint(signature.verify(_content(path, LARGEST), made))
    except ValueError as error:
        raise FixityError(
            f"{place}: the signature of the receipt: {error}; bring both back from a"
            " copy"
        ) from error


def _content(path: Path, most: int) -> bytes:
    try:
        return small_file(path, most)
    except OSError as error:
        raise StorageError.at(path, error) from error


def _finding(code: str, path: Path, message: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.ERROR,
        path=str(path),
        message=message,
        clause=CLAUSE,
    )
