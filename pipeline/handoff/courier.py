"""Who hands a run over when it is done: what is due, announced, and delivered.

What is due is announced in the log with the accession of the run's own bag, so that a
run that dies before it has handed anything over leaves transfers that are known and can
be gone on with. The run itself knows nothing of targets.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from pipeline.clock import Clock
from pipeline.handoff.deposit import BEGUN, NONCE, SOFTWARE, Delivery, Handed, consigned
from pipeline.handoff.target import Target
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.receipts import Sign
from pipeline.holdings.store import Store
from pipeline.model import Bag, Deposit, Manifest, When

UNFINISHED = frozenset({"deferred", "internal-error"})  # reasons that are not final

Opener = Callable[[Iterable[Deposit]], Iterable[Target]]


class Courier(Struct, frozen=True, kw_only=True):
    """Hands a run's bags to the deposits that its manifest and the operator name."""

    deposits: tuple[Deposit, ...]
    opened: Opener
    sign: Sign
    store: Store

    def announce(
        self, manifest: Manifest, told: Mapping[str, Any], bag: Bag
    ) -> tuple[Entry, ...]:
        """Tell, for the log, what will be handed over of a run, as it ended."""
        return tuple(
            begun(one.name, bag, told=told, clock=self.store.clock)
            for one in due(self.deposits, manifest, told)
        )

    def deliver(
        self, manifest: Manifest, told: Mapping[str, Any]
    ) -> tuple[Handed, ...]:
        """Hand over what is due of a run whose bags are kept."""
        wanted = due(self.deposits, manifest, told)
        if not wanted:
            return ()
        bags = consigned(self.store.catalogue, told["run"])
        delivery = Delivery(bags=bags, store=self.store, sign=self.sign)
        return delivery.to(self.opened(wanted))


def due(
    deposits: Iterable[Deposit], manifest: Manifest, told: Mapping[str, Any]
) -> tuple[Deposit, ...]:
    """Choose the deposits that a run is handed to by itself."""
    wanted = (
        {When.ALWAYS, When.COMPLETE} if is_complete(manifest, told) else {When.ALWAYS}
    )
    return tuple(one for one in deposits if one.when in wanted)


def is_complete(manifest: Manifest, told: Mapping[str, Any]) -> bool:
    """Tell whether every source of a manifest has a final outcome in a run."""
    final = {one["id"] for one in told["sources"] if not UNFINISHED & {*one["reasons"]}}
    return final >= {one.id for one in manifest.sources}


def begun(target: str, bag: Bag, *, told: Mapping[str, Any], clock: Clock) -> Entry:
    """Tell that a run is about to be handed to a target, under a nonce drawn now."""
    return Entry(
        act=Act.DEPOSIT,
        at=clock.now(),
        bag=bag.id,
        job=told["job"],
        run=told["run"],
        path="/".join(bag.path.parts[-3:]),  # as it will stand in the archive
        tagmanifests=bag.tagmanifests,
        outcome=BEGUN,
        software=SOFTWARE,
        detail=f"{target} {clock.nonce(NONCE).hex()}",
    )
