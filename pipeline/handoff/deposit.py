"""A deposit: bags handed to targets, each with a receipt or a reason.

Before the first byte leaves, the bags are checked and the log says what is about to be
sent under which nonce; so whatever is interrupted is known, and ``retry`` goes on with
it under the same nonce. A receipt is kept only if it is of this transfer and of these
bags. What goes wrong with one target loses no other's receipt.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from pipeline import __version__
from pipeline.clock import stamp
from pipeline.errors import Exit, FixityError, PipelineError
from pipeline.handoff.consignment import Consignment
from pipeline.handoff.target import Target
from pipeline.holdings.cards import Acknowledged, Holding
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.receipts import ReplayError, Sign
from pipeline.holdings.store import Store
from pipeline.holdings.verify import against_logs
from pipeline.model import Level, Receipt, Severity
from pipeline.packaging.validate import validate

SOFTWARE = f"Muniment {__version__}"
BEGUN, ACCEPTED, FAILED = "begun", "accepted", "failure"
NONCE = 16  # bytes
LONGEST_REASON = 1000  # characters of a failure that the log keeps


class Handed(Struct, frozen=True, kw_only=True):
    """What became of one target: a receipt and where it is kept, or an error."""

    target: str
    receipt: Receipt | None = None
    path: Path | None = None
    error: PipelineError | None = None

    @property
    def exit(self) -> Exit:
        """Return what this comes to for a script."""
        return Exit.OK if self.error is None else Exit.DEPOSIT


class Pending(Struct, frozen=True, kw_only=True):
    """A transfer that the log says was begun, and has no receipt."""

    bag: str  # the one that the transfer is named by
    job: str
    target: str
    nonce: str
    accepted: str = ""  # what the target called it, a line for each thing it told


class Delivery(Struct, frozen=True, kw_only=True):
    """Bags on their way to targets, under the archive's lock."""

    bags: tuple[Holding, ...]  # the one that the transfer is named by first
    store: Store
    sign: Sign

    def to(self, targets: Iterable[Target]) -> tuple[Handed, ...]:
        """Hand the bags to each target in turn."""
        targets = tuple(targets)
        pending = {(one.bag, one.target): one for one in pending_of(self.store)}
        begun = [
            pending.get((self._first.bag.id, target.name)) or self._begin(target)
            for target in targets
        ]
        reason = self._unfit()
        return tuple(
            self._hand(target, one, reason)
            for target, one in zip(targets, begun, strict=True)
        )

    @property
    def _first(self) -> Holding:
        return self.bags[0]

    def _begin(self, target: Target) -> Pending:
        nonce = self.store.clock.nonce(NONCE).hex()
        self._log(target.name, nonce, BEGUN)
        return Pending(
            bag=self._first.bag.id,
            job=self._first.job,
            target=target.name,
            nonce=nonce,
        )

    def _unfit(self) -> PipelineError | None:
        """Find why these bags are not to be sent at all."""
        try:
            for one in self.bags:
                require_sound(one.bag.path)
        except PipelineError as error:
            return error
        return None

    def _hand(
        self, target: Target, pending: Pending, reason: PipelineError | None
    ) -> Handed:
        try:
            if reason is not None:
                raise reason
            receipt = self._received(target, pending)
            path = self.store.acknowledge(receipt, job=pending.job, sign=self.sign)
        except PipelineError as error:
            self._log(target.name, pending.nonce, FAILED, str(error))
            return Handed(target=target.name, error=error)
        finally:
            target.close()
        return Handed(target=target.name, receipt=receipt, path=path)

    def _received(self, target: Target, pending: Pending) -> Receipt:
        consignment = Consignment(
            nonce=pending.nonce,
            bags=tuple(one.bag for one in self.bags),
            accepted=pending.accepted,
            note=lambda text: self._log(target.name, pending.nonce, ACCEPTED, text),
        )
        target.preflight()
        receipt = target.deposit(consignment)
        if (receipt.nonce, receipt.bags) != (pending.nonce, consignment.consigned()):
            raise ReplayError(
                f"{target.name}: expected a receipt of the transfer {pending.nonce},"
                f" found one of {receipt.nonce} and"
                f" {', '.join(one.bag for one in receipt.bags)}; it is not kept"
            )
        return receipt

    def _log(self, target: str, nonce: str, outcome: str, detail: str = "") -> None:
        first = self._first
        told = f"{target} {nonce} {detail[:LONGEST_REASON]}".strip()
        self.store.record(
            Entry(
                act=Act.DEPOSIT,
                at=self.store.clock.now(),
                bag=first.bag.id,
                job=first.job,
                run=first.run,
                path=first.bag.path.relative_to(self.store.root).as_posix(),
                tagmanifests=first.bag.tagmanifests,
                outcome=outcome,
                software=SOFTWARE,
                detail=told,
            )
        )


def pending_of(store: Store) -> tuple[Pending, ...]:
    """Read from the log which transfers were begun and have no receipt."""
    found: dict[str, Pending] = {}
    for one in (logged.entry for logged in store.log.read()):
        if one.act is Act.RECEIPT:
            found.pop(one.detail.split()[-1], None)
        elif one.act is Act.DEPOSIT:
            target, nonce, *rest = one.detail.split(" ", 2)
            before = found.get(nonce)
            accepted = [before.accepted] if before and before.accepted else []
            if one.outcome == ACCEPTED:  # a target may tell of several bags
                accepted += rest
            found[nonce] = Pending(
                bag=one.bag,
                job=one.job,
                target=target,
                nonce=nonce,
                accepted="\n".join(accepted),
            )
    return tuple(found.values())


def consigned(catalogue: Catalogue, name: str) -> tuple[Holding, ...]:
    """Find what is handed over under a name: a run with its members, or one bag.

    Raises UsageError for a name that stands for nothing.
    """
    found = catalogue.find(Path(name).name if Path(name).is_dir() else name)
    own = [one for one in found.bags if not one.is_received]
    if found.sort != "run":
        return found.bags[-1:]
    first = [one for one in own if one.bag.id == found.id]
    return (*first, *(one for one in own if one.bag.id != found.id))


def require_sound(bag: Path) -> None:
    """Refuse a bag that is damaged, or is not the one that was kept.

    Raises FixityError, StorageError.
    """
    errors = [one for _, one in against_logs((bag,))]
    if not errors:
        found = validate(bag, level=Level.FULL).findings
        errors = [one for one in found if one.severity is Severity.ERROR]
    for one in errors:
        where = f"{one.path}: " if one.path else ""
        raise FixityError(
            f"{bag}: not deposited: {where}{one.message} [{one.code}]; verify it, and"
            " bring it back from a copy"
        )


# ------------------------------------------------------------------------------- told


def handed_json(handed: Sequence[Handed]) -> list[dict[str, object]]:
    """Tell what became of each target."""
    return [
        {
            "target": one.target,
            "receipt": str(one.path) if one.path else None,
            "error": {"code": one.error.code, "message": str(one.error)}
            if one.error
            else None,
        }
        for one in handed
    ]


def receipts_json(handed: Iterable[Handed]) -> list[dict[str, object]]:
    """Tell the receipts that came, bag by bag, as cli.md's contract has it."""
    return [
        _told(one.receipt, number, one.path)
        for one in handed
        if one.receipt is not None
        for number in range(len(one.receipt.bags))
    ]


def _told(receipt: Receipt, number: int, path: Path | None) -> dict[str, object]:
    bag = receipt.bags[number]
    return {
        "bag": bag.bag,
        "target": receipt.target,
        "location": receipt.location,
        "received": stamp(receipt.at),
        "tagmanifest": {one.algorithm: one.hex for one in bag.tagmanifests},
        "verified": receipt.is_verified,
        "kind": receipt.kind,
        "nonce": receipt.nonce,
        "files": len(receipt.received),
        "bytes": sum(one.size for one in receipt.received),
        "transforms": receipt.transforms,
        "receipt": str(path),
    }


def acknowledged_json(one: Acknowledged) -> dict[str, object]:
    """Tell what the catalogue knows of one bag at one target, in the same words."""
    return {
        "bag": one.bag,
        "target": one.target,
        "location": one.location,
        "received": stamp(one.at),
        "tagmanifest": {each.algorithm: each.hex for each in one.tagmanifests},
        "verified": one.is_verified,
        "kind": one.kind,
        "nonce": one.nonce,
        "files": one.files,
        "bytes": one.size,
        "transforms": one.transforms,
        "receipt": str(one.path),
    }
