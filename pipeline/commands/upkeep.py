"""What an archive needs to stay whole: audits, and repairs from copies."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import __version__, terminal
from pipeline.commands.handing import read
from pipeline.commands.session import Session, command, existing
from pipeline.errors import Exit, FixityError, UsageError
from pipeline.interruption import Interruption

if TYPE_CHECKING:
    from datetime import timedelta

    from pipeline.balance import Audited
    from pipeline.handoff.target import Target
    from pipeline.holdings.checks import Checked
    from pipeline.holdings.store import Store
    from pipeline.model import Finding, Receipt
    from pipeline.repair import Mender

PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)%?")
STOPPING = "stopping; the bags being read are finished first, and logged"


@click.command()
@click.option("--sample", metavar="P%", help="Check this share of the bags.")
@click.option("--seed", metavar="TEXT", help="With --sample: choose as another did.")
@click.option("--budget", metavar="TIME", help="Stop after 1h, 30m; go on next time.")
@click.option("--copies", is_flag=True, help="Ask deposit targets for theirs as well.")
@click.option("--repair", is_flag=True, help="Bring back what is damaged from copies.")
@click.option(
    "--from", "given", multiple=True, metavar="DIR|FILE", help="Where copies lie."
)
@click.option("--manifest", metavar="FILE", help="Targets that this manifest names.")
@click.option("--html", metavar="OUT.html", help="Write a page to show or print.")
@command
def audit(
    session: Session,
    *,
    sample: str | None,
    seed: str | None,
    budget: str | None,
    copies: bool,
    repair: bool,
    given: tuple[str, ...],
    manifest: str | None,
    html: str | None,
) -> Exit:
    """Say what is wrong with the archive: bags, seals, log, catalogue, copies.

    Bags that were longest unchecked come first, and every check is logged: an audit may
    be stopped at any time, and the next one goes on.
    """
    from pipeline import auditpage, sheet  # noqa: PLC0415 - start-up time

    if given and not repair:
        raise UsageError("--from goes with --repair: it names where copies lie")
    if html is not None:
        sheet.require_free(Path(html))  # before hours of reading
    ear = Ear(quiet=session.json)
    interruption = Interruption(lambda _: terminal.alarm(STOPPING))
    with interruption.listening():
        told = audited(
            session,
            ear,
            interruption,
            percent=percent(sample),
            seed=seed,
            budget=span(budget),
            copies=copies,
            given=given if repair else None,
            manifest=manifest,
        )
    if html is not None:
        auditpage.write(Path(html), told, software=f"muniment {__version__}")
    if session.json:
        say_json(told)
    else:
        ear.ended(told)
    return told.exit


def audited(
    session: Session,
    ear: "Ear",
    interruption: Interruption,
    *,
    percent: float = 100.0,
    seed: str | None = None,
    budget: "timedelta | None" = None,
    copies: bool = False,
    given: tuple[str, ...] | None = None,  # where copies lie; None: nothing is mended
    manifest: str | None = None,
) -> "Audited":
    """Audit the archive as far as it is asked, and mend it where that is asked."""
    from pipeline.audit import Auditor  # noqa: PLC0415 - start-up time
    from pipeline.balance import Scope  # noqa: PLC0415 - likewise

    session.holdings()
    with closing(session.store()) as store:
        counter = targets(session, store, manifest)
        scope = Scope(
            percent=percent,
            seed=seed if seed is not None else store.clock.nonce(4).hex(),
            budget=budget,
            copies=copies,
        )
        repairs = given is not None
        mender = mending(session, store, given or (), counter) if repairs else None
        return Auditor(
            store=store,
            clock=store.clock,
            scope=scope,
            ear=ear,
            authorities=session.config().authorities,
            target=counter,
            stops=lambda: interruption.is_asked,
            mend=mender.mend if mender else None,
        ).carry_out()


def percent(text: str | None) -> float:
    """Read a share: ``10%``, ``2.5``. Raises UsageError."""
    if text is None:
        return 100.0
    found = PERCENT.fullmatch(text.strip())
    share = float(found[1]) if found else 0.0
    if not 0 < share <= 100:  # noqa: PLR2004 - percent
        raise UsageError(f"--sample {text}: expected a share like 10%, above 0 to 100")
    return share


def span(text: str | None, option: str = "--budget") -> "timedelta | None":
    """Read a span of time: ``1h``. Raises UsageError."""
    from pipeline.intake.terms import Unfit, duration  # noqa: PLC0415 - start-up time

    if text is None:
        return None
    try:
        return duration(text)
    except Unfit as error:
        raise UsageError(f"{option} {error.message}") from error


def mending(
    session: Session,
    store: "Store",
    given: Iterable[str],
    target: "Callable[[Receipt], Target | None]",
) -> "Mender":
    """Make ready to mend: what a run left half done is put right first.

    Raises LockedError, and FixityError for a log that nothing can be added to.
    """
    from pipeline.repair import Deposited, Given, Mender  # noqa: PLC0415 - start-up time

    places = [existing(one).absolute() for one in given]
    try:
        with store.lock("audit --repair"):
            for sentence in store.recover():
                terminal.remark(terminal.line(sentence))
    except FixityError as error:
        raise FixityError(
            f"{error}; nothing is repaired while the log can't be relied on: "
            "`muniment log verify` tells all of it"
        ) from error
    return Mender(
        store=store,
        clock=store.clock,
        origins=(*(Given(place=one) for one in places), Deposited(target=target)),
        authorities=session.config().authorities,
    )


def targets(
    session: Session, store: "Store", manifest: str | None
) -> "Callable[[Receipt], Target | None]":
    """Find the target that gave a receipt, by what is configured now."""
    from pipeline.handoff import destination  # noqa: PLC0415 - start-up time
    from pipeline.packaging.provenance import SUBMISSION  # noqa: PLC0415 - likewise

    manifests = tuple(read(session.config(), manifest))

    def target(receipt: "Receipt") -> "Target | None":
        copies = [
            held.bag.path / SUBMISSION / "manifest.yaml"
            for one in receipt.bags
            for held in store.catalogue.bags(bag=one.bag)
            if held.bag.id == held.run and not held.is_received
        ]
        known = destination.known(session.config(), manifests, copies)
        if receipt.target not in known:
            return None
        return destination.target_of(
            known[receipt.target],
            environ=os.environ,
            clock=store.clock,
            work=store.root / ".muniment" / "work",
        )

    return target


# ----------------------------------------------------------------------------- telling


class Ear:
    """Tells of an audit while it goes on: what is wrong, and how far it is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_moving = not quiet and sys.stderr.isatty()
        self._chosen = self._done = self._wrong = 0

    def begun(self, chosen: int, _kept: int, found: "Sequence[Finding]") -> None:
        """Tell what is wrong with the archive itself."""
        self._chosen = chosen
        errors = [one for one in found if one.severity == "error"]
        if errors and not self._quiet:
            terminal.say("WRONG: the archive's own records:")
            terminal.findings(errors)

    def checked(self, one: "Checked") -> None:
        """Tell of a bag that is wrong, and how far it is."""
        self._done += 1
        self._wrong += not one.ok
        if not one.ok and not self._quiet:
            self._wipe()
            tell(one)
        if self._is_moving and self._done % 10 == 0:
            done = f"{self._done:,} of {self._chosen:,} checked, {self._wrong:,} wrong"
            sys.stderr.write(f"\r{done}\x1b[K")

    def ended(self, told: "Audited") -> None:
        """Tell the rest: warnings, repairs, and what it comes to."""
        self._wipe()
        for kind in told.troubled.warnings():
            bags = terminal.counted(kind.bags, "bag")
            terminal.say(
                terminal.line(
                    f"warning: {kind.first.code} in {bags}, the first {kind.path}: "
                    f"{kind.first.message}"
                )
            )
        warnings = [one for one in told.findings if one.severity == "warning"]
        if warnings:
            terminal.say("the archive's own records:")
            terminal.findings(warnings)
        summary(told)

    def _wipe(self) -> None:
        if self._is_moving:
            sys.stderr.write("\r\x1b[K")


def tell(one: "Checked") -> None:
    """Print what is wrong with a bag, or with the copies of some."""
    copies = f" (copies at {one.target})" if one.target else ""
    held = terminal.size(one.files, one.bytes)
    terminal.say(terminal.line(f"WRONG: {one.path}{copies} ({held})"))
    terminal.findings(one.errors())


def summary(told: "Audited") -> None:
    """Print what an audit comes to."""
    from pipeline import auditpage  # noqa: PLC0415 - start-up time

    for one in told.repaired:
        word = "repaired" if one.is_mended else "NOT REPAIRED"
        said = auditpage.repair_sentence(one)
        terminal.say(terminal.line(f"{word}: {one.path}: {said}"))
    for sentence in told.notes:
        terminal.remark(terminal.line(sentence))
    log = "sound" if told.log.ok else "DAMAGED"
    size = terminal.counted(told.log.head.size, "line")
    terminal.say(terminal.line(f"custody log: {log} ({size})"))
    if told.scope.copies:
        asked = terminal.counted(told.receipts, "receipt")
        terminal.say(f"copies: {asked} asked for, {told.untrue:,} wrong")
    checked = f"checked: {auditpage.scope_sentence(told)}; {told.wrong:,} wrong"
    terminal.say(terminal.line(checked))
    if told.unlogged:
        terminal.say(terminal.line(f"NOT LOGGED: {told.unlogged}"))
    for record in told.records:
        terminal.say(terminal.line(f"logged in {record}"))


def say_json(told: "Audited") -> None:
    """Print the one document, finding by finding: there may be many."""
    from pipeline.balance import findings_json, head_json  # noqa: PLC0415

    terminal.say_json_with(head_json(told), "findings", findings_json(told))
