"""The Internet Archive, over its S3-like interface: one item, a tar of each bag in it.

Everybody can read what stands there: a bag that may not be seen by all is refused.

An item's name is everybody's: it is the first bag's, cut where it is too long. A file
that was taken shows up only after a while, so what was accepted is noted and not sent
again; the receipt is written once it was read back and hashed. Nothing is replaced;
what comes between is kept aside there (``x-archive-keep-old-version``).
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from pipeline.clock import Clock
from pipeline.handoff import labels
from pipeline.handoff.call import Caller
from pipeline.handoff.consignment import Consignment, Item, Layout, hashed
from pipeline.handoff.copies import SOFTWARE, Copies, acknowledged, bounded
from pipeline.handoff.target import (
    AbsentError,
    DepositError,
    Place,
    TakenError,
    TransientError,
    UnfaithfulError,
)
from pipeline.handoff.wrapping import Paced, Retried
from pipeline.model import Bag, Finding, Receipt

USUAL = "https://s3.us.archive.org"
LONGEST = 80  # characters of an item's name, as they advise
SHORTEST = 5
OK, ABSENT = 200, 404


class Account(Struct, frozen=True, kw_only=True):
    """Who deposits, and into which collection."""

    url: str = USUAL
    access: str
    secret: str
    collection: str = ""

    def __repr__(self) -> str:
        return f"Account({self.url})"

    def caller(self) -> Caller:
        """Open a line; nothing is asked yet."""
        headers = {"Authorization": f"LOW {self.access}:{self.secret}"}
        return Caller(self.url, headers)


class Body(Struct, frozen=True, kw_only=True):
    """An item's bytes, streamed with their length."""

    item: Item

    def __len__(self) -> int:
        return self.item.size

    def __iter__(self) -> Iterator[bytes]:
        return self.item.read(0)


class Shelf:
    """One item there, as a place: files under the item's name."""

    def __init__(self, account: Account, caller: Caller, name: str, size: int) -> None:
        self._caller = caller
        self._item = f"/{quote(name)}"
        self._headers = {
            "x-archive-auto-make-bucket": "1",
            "x-archive-keep-old-version": "1",
            "x-archive-queue-derive": "0",
            "x-archive-size-hint": str(size),
            "x-archive-meta-mediatype": "data",
            "x-archive-meta-title": name,
            "x-archive-meta-subject": "BagIt;WARC",
        }
        if account.collection:
            self._headers["x-archive-meta-collection"] = account.collection
        self.location = f"{caller.address}{self._item}"

    def preflight(self) -> None:
        """Raise TransientError where more is not taken just now."""
        told, answer = self._caller.ask_json("GET", "/?check_limit=1")
        self._caller.require(answer.status, "/?check_limit=1", answer.said)
        if told.get("over_limit"):
            raise TransientError(
                f"{self._caller.address}: it takes no more just now; retry later"
            )

    def put(self, transfer: str, item: Item) -> str:
        """Send one file, where there is none of its name."""
        del transfer  # nothing stands aside
        path = f"{self._item}/{quote(item.path)}"
        there = self._caller.ask("HEAD", path)
        if there.status != ABSENT:
            self._caller.require(there.status, path)
            self._require_same(item)
            return ""
        answer = self._caller.ask(
            "PUT", path, body=Body(item=item), headers=self._headers
        )
        self._caller.require(answer.status, path, answer.said)
        if "<Error" in answer.text:
            raise DepositError(
                f"{self._caller.address}{path}: it says {answer.status}, and an error:"
                f" {answer.said}; look at the key, and retry"
            )
        return f"{item.path} {answer.status} {answer.said}"

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield the bytes of a file."""
        del transfer  # nothing stands aside
        return self._caller.fetch(f"{self._item}/{quote(path)}")

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Nothing stands aside."""
        del transfer, names
        return ""

    def close(self) -> None:
        """Leave the line, which is the account's, open."""

    def _require_same(self, item: Item) -> None:
        if hashed(self.read(item.path)) != (item.size, item.digest):
            raise TakenError(
                f"{self.location}/{item.path} stands already with other bytes, and"
                " nothing is replaced there; look what it is, and deposit the bag under"
                " another account"
            )


class InternetArchive:
    """A target that keeps tars of bags where everybody can see them."""

    def __init__(
        self, name: str, account: Account, clock: Clock, rate: int = 0
    ) -> None:
        self.name = name
        self._account = account
        self._caller = account.caller()
        self._clock = clock
        self._rate = rate

    def preflight(self) -> None:
        """Raise DepositError where nothing would be taken just now."""
        Shelf(self._account, self._caller, "", 0).preflight()

    def deposit(self, consignment: Consignment) -> Receipt:
        """Send each tar that was not accepted before; then read all of them back."""
        for bag in consignment.bags:
            _require_open(bag)
        items = tuple(consignment.items(Layout.TAR))
        name = identifier(consignment.bags[0].id)
        shelf = self._shelf(name, sum(one.size for one in items))
        accepted = set(consignment.accepted.splitlines())
        answers = []
        for one in items:
            if one.path not in accepted:
                answers.append(shelf.put(consignment.nonce, one))
                consignment.note(one.path)
        for one in items:
            self._require_kept(shelf, one)
        return Receipt(
            nonce=consignment.nonce,
            target=self.name,
            kind="internet-archive",
            location=shelf.location,
            at=self._clock.now(),
            bags=consignment.consigned(),
            layout=Layout.TAR.value,
            received=tuple(map(acknowledged, items)),
            is_verified=True,
            answer=bounded("\n".join(filter(None, answers))),
            software=SOFTWARE,
        )

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Read back and hash everything that was acknowledged."""
        return self._copies(receipt).verify(receipt)

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Bring one bag back, unpacked."""
        return self._copies(receipt).fetch(receipt, bag, into)

    def close(self) -> None:
        """Hang up."""
        self._caller.close()

    def _shelf(self, name: str, size: int = 0) -> Place:
        shelf: Place = Shelf(self._account, self._caller, name, size)
        if self._rate:
            shelf = Paced(shelf, self._clock, self._rate)
        return Retried(shelf, self._clock)

    def _copies(self, receipt: Receipt) -> Copies:
        return Copies(
            name=self.name,
            kind=receipt.kind,
            place=self._shelf(identifier(receipt.bags[0].bag)),
            layout=Layout(receipt.layout),
            clock=self._clock,
        )

    def _require_kept(self, shelf: Place, item: Item) -> None:
        try:
            size, digest = hashed(shelf.read(item.path))
        except AbsentError:
            raise TransientError(
                f"{shelf.location}/{item.path}: it was accepted, and can't be read yet;"
                " retry later: it is not sent again"
            ) from None
        if (size, digest) != (item.size, item.digest):
            raise UnfaithfulError(
                f"{shelf.location}/{item.path} was read back: expected {item.size:,}"
                f" bytes with {item.digest}, found {size:,} with {digest}; no receipt"
                " is written. Look at the item's history there"
            )


def _require_open(bag: Bag) -> None:
    if (said := labels.read(bag.path)).is_restricted:
        raise DepositError(
            f"{bag.id}: expected a bag that everybody may see, found one that says"
            f" {', '.join(sorted(said.restrictions))} (`access` in its manifest); the"
            " Internet Archive shows what it has to all. Name another target"
        )


def identifier(bag: str) -> str:
    """Name the item that a bag stands in, within what is allowed there."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", bag)
    if SHORTEST <= len(name) <= LONGEST and name == bag:
        return name
    mark = hashlib.sha256(bag.encode()).hexdigest()[:12]
    return f"{name[: LONGEST - 13]}-{mark}"
