"""A run that was stopped, and the one that goes on with it.

The same command goes on with the run that it was stopped in: same manifest, digest and
all, same options, same software, and a plan that comes out the same from the salts that
the journal keeps. What the run had kept by then is not visited again.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.holdings.journal import Begun, Journal, Step
from pipeline.holdings.store import Store
from pipeline.model import Manifest, Source
from pipeline.outcome import Kept
from pipeline.packaging.rendering import Json
from pipeline.plan import Entry, Plan, strictly


class Ask(Struct, frozen=True, kw_only=True):
    """What a command asks for, as far as two that ask for the same are told by it."""

    manifest: Manifest
    sources: tuple[Source, ...]
    options: dict[str, Json]
    software: str
    is_strict: bool = False
    is_fresh: bool = False  # go on with nothing

    def plan(self, run: str, salt: Callable[[str], bytes]) -> Plan:
        """Make the plan of a run: the same plan from the same salts."""
        visited = (s for s in self.sources if not s.skip)
        return Plan(
            run=run,
            job=self.manifest.id,
            manifest=self.manifest.digest,
            entries=tuple(
                Entry(source=strictly(s) if self.is_strict else s, salt=salt(s.id))
                for s in visited
            ),
        )

    def replan(self, begun: Begun) -> Plan:
        """Make the plan of a stopped run again; a source without a salt is told."""
        salts = {source: bytes.fromhex(digits) for source, digits in begun.salts}
        return self.plan(begun.run, lambda source: salts.get(source, b""))

    def objection(self, begun: Begun) -> str:
        """Tell why a stopped run of this job is not to be gone on with; "" to do so."""
        if self.is_fresh:
            return "this command begins anew"
        if begun.manifest != self.manifest.digest:
            return "the manifest has changed since"
        if begun.software != self.software:
            return f"{begun.software} began it, and this is {self.software}"
        if begun.order == self.options and self.replan(begun).digest() != begun.plan:
            return "its plan does not come out the same"
        return ""


class Choice(Struct, frozen=True, kw_only=True):
    """Which stopped run to go on with, which to give up, and what to say of it."""

    journal: Journal | None = None
    abandoned: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()


def choose(ask: Ask, journals: Iterable[Journal]) -> Choice:
    """Choose among the journals of stopped runs; those of other jobs are let be."""
    chosen, abandoned, said = None, set(), []
    for journal in journals:
        begun = journal.begun
        if begun.job != ask.manifest.id:
            continue
        if objection := ask.objection(begun):
            abandoned.add(begun.run)
            said.append(
                f"{begun.run} was stopped and is given up: {objection}; its bags are "
                "kept, what was half done goes to quarantine"
            )
        elif begun.order == ask.options:
            chosen = journal
        else:
            said.append(
                f"{begun.run} was stopped and waits for a command with its own options"
            )
    return Choice(journal=chosen, abandoned=frozenset(abandoned), said=tuple(said))


class Past(Struct, frozen=True, kw_only=True):
    """What a stopped run leaves to whoever goes on with it."""

    kept: tuple[Kept, ...] = ()
    revisits: tuple[tuple[Path, str], ...] = ()  # what is staged, and its index
    bags: tuple[tuple[str, str], ...] = ()


def past(journal: Journal, store: Store) -> Past:
    """Look for all that a journal tells of; what is not found is visited again."""
    kept, revisits, bags = [], [], []
    for step in journal.steps:
        if not step.source or (place := store.found(step, journal.begun)) is None:
            continue
        one, index = read(step)
        if one.bag is not None:
            one.bag["path"] = str(place)  # the archive may have been moved
            bags.append((step.staged, str(place)))
        else:
            revisits.append((place, index))
        kept.append(one)
    return Past(kept=tuple(kept), revisits=tuple(revisits), bags=tuple(bags))


def told(kept: Kept, index: str = "") -> Json:
    """Tell a source that is done, for a journal."""
    return {"kept": kept.json(), "index": index}


def read(step: Step) -> tuple[Kept, str]:
    """Read what ``told`` told."""
    assert isinstance(step.told, dict), "a step tells of a source in an object"
    return Kept.parse(step.told["kept"]), str(step.told["index"])


def sentence(journal: Journal, past: Past, sources: int) -> str:
    """Say what is gone on with."""
    begun = journal.begun
    rest = sources - len(past.kept)
    return (
        f"going on with {begun.run}, begun {stamp(begun.started)[:19]}Z and stopped: "
        f"{len(past.kept)} of {sources} sources were done and are not visited again, "
        f"{rest} to go"
    )


def begun(plan: Plan, ask: Ask, *, started: datetime, start: Json) -> Begun:
    """Tell a run that begins, for its journal."""
    return Begun(
        run=plan.run,
        job=plan.job,
        started=started,
        manifest=plan.manifest,
        plan=plan.digest(),
        software=ask.software,
        order=ask.options,
        salts=tuple((one.source.id, one.salt.hex()) for one in plan.entries),
        start=start,
    )
