"""A run: one manifest in, bags out.

The spine decides only the order. The crew visits the sources, one host one line; the
keeper makes of each that comes home a sealed bag in the archive, and at the end one bag
of the run itself.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import resume, selftest
from pipeline.capture.address import Policy
from pipeline.capture.compare import change
from pipeline.capture.net import Network
from pipeline.capture.tls import tls_context
from pipeline.capture.visit import Task, header_values
from pipeline.clock import Clock
from pipeline.crew import CRASHED, WORKERS, Crew, Home
from pipeline.errors import InterruptedRunError, PipelineError
from pipeline.fixity import digest_of
from pipeline.handoff.deposit import Handed
from pipeline.holdings.custody import Entry as LogEntry
from pipeline.holdings.journal import Journal
from pipeline.holdings.store import Store
from pipeline.identity import SOFTWARE, bag_name, run_of, warcinfo
from pipeline.keeper import Keeper, document_file, opened
from pipeline.model import (
    Bag,
    Capture,
    Change,
    Keep,
    Manifest,
    SelfTest,
    Source,
    Verdict,
)
from pipeline.outcome import Outcome, Visit, deposited
from pipeline.packaging.rendering import Json
from pipeline.plan import SALT_BYTES, Entry, chosen, host_of, named_ports, shards

if TYPE_CHECKING:  # whoever seals brings it along: it loads cryptography
    from pipeline.notary import Notary


class Progress(Protocol):
    """Who is told how a run goes."""

    def planned(self, hosts: Mapping[str, int]) -> None:
        """Hear how many sources each host has."""

    def said(self, sentence: str) -> None:
        """Hear a remark."""

    def visiting(self, source: Source) -> None:
        """Hear that a visit begins."""

    def kept(self, capture: Capture, change: Change) -> None:
        """Hear what became of a source."""


class Courier(Protocol):
    """Who hands a finished run over to other archives."""

    def announce(
        self, manifest: Manifest, told: Mapping[str, Any], bag: Bag
    ) -> tuple[LogEntry, ...]:
        """Tell, for the log, what will be handed over of a run, as it ended."""

    def deliver(
        self, manifest: Manifest, told: Mapping[str, Any]
    ) -> tuple[Handed, ...]:
        """Hand over what is due of a run whose bags are kept."""


class Order(Struct, frozen=True, kw_only=True):
    """What a run is asked to do beyond its manifest."""

    only: tuple[str, ...] = ()
    strict: bool = False
    policy: Policy = field(default_factory=Policy)
    cacert: Path | None = None  # roots to be trusted as well
    workers: int = WORKERS
    fresh: bool = False  # a stopped run is given up, not gone on with
    notary: "Notary | None" = None  # None: nothing is sealed
    courier: Courier | None = None  # None: nothing is handed over

    def settings(self) -> tuple[tuple[str, str], ...]:
        """Tell the options that change what a capture proves, for the provenance."""
        roots: tuple[tuple[str, str], ...] = ()
        if self.cacert is not None:
            roots = (("cacert", str(digest_of(self.cacert.read_bytes()))),)
        return (
            *(("allow-address", str(network)) for network in self.policy.allow),
            *(("connect-to", str(rule)) for rule in self.policy.connect_to),
            *roots,
        )

    def options(self) -> dict[str, Json]:
        """Tell all that makes two commands the same: those go on with one run."""
        return {
            "only": sorted(set(self.only)),
            "strict": self.strict,
            "settings": [list(one) for one in self.settings()],
        }


def run(
    manifest: Manifest,
    *,
    order: Order,
    store: Store,
    network: Network,
    progress: Progress,
    keys: Path | None = None,
) -> Outcome:
    """Carry out one run, and sign the custody log with the key in the folder ``keys``.

    A run of the same manifest and options that was stopped is gone on with.
    Raises LockedError while another run holds the archive, StorageError where it can't
    be written, UsageError for an order that makes no sense, InterruptedRunError, and
    SelfTestError before anything is asked of anybody; the error knows the bags that
    were kept before it.
    """
    sources = preflight(manifest, order.only)
    with store.lock(f"run {manifest.id}"):
        ask = asked(manifest, sources, order)
        choice = resume.choose(ask, store.journals())
        for sentence in (*choice.said, *store.recover(choice.abandoned)):
            progress.said(sentence)
        # A run that died behind its own bag was finished by ``recover``.
        going_on = choice.journal in store.journals()
        tested = selftest.perform(network.clock, network.reach.trust)
        one = _Run(
            ask,
            choice.journal if going_on else None,
            order=order,
            store=store,
            network=network,
            progress=progress,
            tested=tested,
        )
        try:
            outcome = one.carry_out()
        except (KeyboardInterrupt, InterruptedRunError) as interrupt:
            stopped = InterruptedRunError(
                f"{one.id} was interrupted with {one.standing()}; the bags it made are "
                "kept, and the same command goes on with the rest"
            )
            stopped.bags = tuple(one.keeper.bags)
            raise stopped from interrupt
        except PipelineError as error:
            error.bags = tuple(one.keeper.bags)
            raise
        if order.courier is not None:
            outcome = _delivered(manifest, outcome, order.courier)
        if keys is not None:
            _sign(store, keys, progress)
        return outcome


def _delivered(manifest: Manifest, outcome: Outcome, courier: Courier) -> Outcome:
    """Hand a run over that is kept, whatever becomes of its deposits."""
    try:
        handed = courier.deliver(manifest, outcome.told)
    except KeyboardInterrupt as interrupt:
        stopped = InterruptedRunError(
            f"{outcome.told['run']} is kept; its deposits were interrupted, and"
            " `muniment deposit --retry` goes on with them"
        )
        stopped.bags = outcome.bags
        raise stopped from interrupt
    return deposited(outcome, handed)


def _sign(store: Store, keys: Path, progress: Progress) -> None:
    """Sign the log as it is after a run; what was kept is kept, signed or not."""
    try:
        store.checkpoint(keys)
    except PipelineError as error:
        progress.said(f"no checkpoint of the custody log was made: {error}")


def preflight(manifest: Manifest, only: Iterable[str] = ()) -> tuple[Source, ...]:
    """Choose the sources, and refuse now what would stop the run half way.

    Raises UsageError for an unknown source and for a secret that is not to be had,
    StorageError for a document that can't be read.
    """
    sources = chosen(manifest, only)
    for source in sources:
        if not source.skip:
            header_values(source, os.environ)
    if document := document_file(manifest):
        opened(document).close()
    return sources


def asked(manifest: Manifest, sources: tuple[Source, ...], order: Order) -> resume.Ask:
    """Tell what a command asks for beside what a stopped run was asked for."""
    return resume.Ask(
        manifest=manifest,
        sources=sources,
        options=order.options(),
        software=SOFTWARE,
        is_strict=order.strict,
        is_fresh=order.fresh,
    )


class _Run:
    """One run under way: which source next, and who is told."""

    def __init__(
        self,
        ask: resume.Ask,
        stopped: Journal | None,
        *,
        order: Order,
        store: Store,
        network: Network,
        progress: Progress,
        tested: SelfTest,
    ) -> None:
        clock, notary = network.clock, order.notary
        self._ask = ask
        self._manifest = ask.manifest
        self._notary = notary
        self._courier = order.courier
        self._store = store
        self._clock = clock
        self._progress = progress
        self._journal = stopped
        if stopped is None:
            started = clock.now()
            name = bag_name(ask.manifest.id, "run", started, clock.uuid())
            self._plan = ask.plan(name, lambda _: clock.nonce(SALT_BYTES))
        else:
            started = stopped.begun.started
            self._plan = ask.replan(stopped.begun)
        run = run_of(ask.manifest, self._plan, started, order.settings())
        run = replace(run, self_test=tested)
        if notary:
            run = replace(run, signer=notary.signer, authorities=notary.authorities)
        self._run = run
        self.id = run.id
        self._crew = Crew(network, workers=order.workers, tell=progress.visiting)
        self.keeper = Keeper(
            ask, run, self._plan, store=store, clock=clock, notary=notary
        )

    def standing(self) -> str:
        """Tell how far the run has come."""
        return f"{len(self.keeper.kept)} of {len(self._plan.entries)} sources done"

    def carry_out(self) -> Outcome:
        journal, keeper = self._begun(), self.keeper
        done = {one.source for one in keeper.kept}
        lines = shards(e for e in self._plan.entries if e.source.id not in done)
        self._progress.planned({host_of(one[0].source): len(one) for one in lines})
        with closing(self._crew.visits(lines, self._task)) as visits:
            for home in visits:
                self._come_home(journal, home)
        if len(keeper.kept) < len(self._plan.entries):
            raise InterruptedRunError("the run was stopped between two exchanges")
        outcome = keeper.close(journal, self._announce)
        if any(CRASHED in one.told["reasons"] for one in keeper.kept):
            self._set_aside()
        return outcome

    def _announce(self, told: dict[str, Any], bag: Bag) -> tuple[LogEntry, ...]:
        courier = self._courier
        return courier.announce(self._manifest, told, bag) if courier else ()

    def _begun(self) -> Journal:
        """Begin the run, or go on with it; its journal is on disk from here on."""
        notary, plan = self._notary, self._plan
        if (journal := self._journal) is not None:
            if notary and journal.begun.start:
                notary.take_up(journal.begun.start)
            past = resume.past(journal, self._store)
            self.keeper.take_up(past)
            journal.resume(self._clock.now())
            self._progress.said(resume.sentence(journal, past, len(plan.entries)))
            return journal
        start: Json = None
        if notary:  # before the first request
            for sentence in notary.begin(plan.commitment(), bags=len(plan.entries)):
                self._progress.said(sentence)
            start = notary.told()
        begun = resume.begun(plan, self._ask, started=self._run.started, start=start)
        self._journal = self._store.begin(begun)
        return self._journal

    def _come_home(self, journal: Journal, home: Home) -> None:
        """Compare a visit with the one before it, and keep what is not known yet."""
        capture, previous = home.visited.capture, home.task.previous
        told = change(previous, capture.verdict, capture.reasons, capture.payload)
        if CRASHED in capture.reasons:  # no bag is made of what was half written
            task = replace(home.task, folder=self._stage(home.task.source))
            home = replace(home, task=task)
        visit = Visit(
            capture=capture,
            change=told,
            previous=previous,
            clocks=self._notary.clocks(capture) if self._notary else (),
        )
        if capture.verdict is Verdict.UNCHANGED:
            self.keeper.stay(journal, home, visit)
        else:
            self.keeper.keep(journal, home, visit)
        self._progress.kept(capture, told)

    def _stage(self, source: Source) -> Path:
        run = self._run
        name = bag_name(run.job, source.id, run.started, self._clock.uuid())
        return self._store.stage(name)

    def _task(self, entry: Entry) -> Task:
        source, run = entry.source, self._run
        return Task(
            source=source,
            folder=self._stage(source),
            about=(
                *warcinfo(run, source, self._manifest.contact),
                *self.keeper.stamped_plan(),
            ),
            contact=self._manifest.contact or run.operator.contact,
            previous=self._store.catalogue.previous(run.job, source.id),
            algorithms=self._manifest.package.algorithms,
            keep_all=is_all_kept(self._manifest),
        )

    def _set_aside(self) -> None:
        """Let the store put what crashed visits left in staging into quarantine."""
        for sentence in self._store.recover():
            self._progress.said(sentence)


def is_all_kept(manifest: Manifest) -> bool:
    """Tell whether what did not change is kept again as well."""
    return manifest.schedule is not None and manifest.schedule.keep is Keep.ALL


def network_for(manifest: Manifest, order: Order, clock: Clock) -> Network:
    """Open the door as far as the manifest and the operator allow.

    Raises UsageError where the roots to be trusted can't be read.
    """
    policy = replace(order.policy, named=named_ports(manifest.sources))
    return Network(clock=clock, policy=policy, tls=tls_context(order.cacert))
