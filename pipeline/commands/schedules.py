"""What is due, the timers that ask, and the upkeep that they call."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import terminal
from pipeline.clock import SystemClock, stamp
from pipeline.commands import evidence, handing, upkeep
from pipeline.commands.running import (
    Made,
    Runs,
    listening,
    network_options,
    ordered,
    outbox,
    stood,
    tell,
    watchers,
)
from pipeline.commands.session import Session, command, existing
from pipeline.errors import (
    Exit,
    InterruptedRunError,
    PipelineError,
    UsageError,
    first_exit,
)
from pipeline.loglines import Level

if TYPE_CHECKING:
    from pipeline.balance import Audited
    from pipeline.interruption import Interruption
    from pipeline.schedule import Standing
    from pipeline.timer import Call

HEARTBEAT = "heartbeat.json"


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="MANIFEST|DIR...")
@command
def due(session: Session, places: tuple[str, ...]) -> Exit:
    """Tell which manifests are due, since when, and when each is next."""
    if session.config().archive.exists():
        with closing(session.catalogue()) as catalogue:
            called, standings = stood(session, places, catalogue)
    else:
        called, standings = stood(session, places, None)
    if session.json:
        terminal.say_json(called.told(standings))
        return Exit.OK if called.ok else Exit.MANIFEST
    columns = ("job", "schedule", "last", "now", "next", "why")
    terminal.table(columns, [_row(one) for one in standings])
    without = [one.id for one in called.manifests if one.schedule is None]
    if without:
        terminal.say(terminal.line(f"without a schedule: {', '.join(without)}"))
    return Exit.OK if called.ok else Exit.MANIFEST


def _row(one: "Standing") -> tuple[object, ...]:
    word = "overdue" if one.is_overdue else "due" if one.is_due else ""
    return (one.job, one.schedule, _short(one.last), word, _short(one.next), one.why)


def _short(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%MZ}" if at else ""


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="MANIFEST|DIR...")
@click.option("--systemd", "form", flag_value="systemd", help="A service and a timer.")
@click.option("--cron", "form", flag_value="cron", help="A line for crontab -e.")
@click.option("--every", default="15m", metavar="TIME", help="How often to look: 15m.")
@click.option("--into", metavar="DIR", help="Write the units there as files.")
@command
def schedule(
    session: Session,
    *,
    places: tuple[str, ...],
    form: str | None,
    every: str,
    into: str | None,
) -> None:
    """Print timers of the system that call `tend`; nothing is installed."""
    from pipeline import timer  # noqa: PLC0415 - start-up time

    if form is None:
        raise UsageError("which timer? --systemd or --cron")
    if into and form == "cron":
        raise UsageError(
            "--into goes with --systemd; a line of cron goes to crontab -e"
        )
    called = call(session, places, every)
    units = timer.systemd(called) if form == "systemd" else (("", timer.cron(called)),)
    if into:
        for name, text in units:
            _put(Path(into) / name, text)
    elif session.json:
        terminal.say_json({"units": [{"name": n, "text": text} for n, text in units]})
    else:
        for name, text in units:
            terminal.say(f"# ---- {name}\n{text}" if name else text.rstrip("\n"))


def _put(path: Path, text: str) -> None:
    from pipeline.sheet import put  # noqa: PLC0415 - start-up time

    put(path, (text,))
    terminal.say(terminal.line(f"wrote {path}"))


def call(session: Session, places: Iterable[str], every: str) -> "Call":
    """Say what a timer is to call, with absolute paths."""
    from pipeline import timer  # noqa: PLC0415 - start-up time

    archive = session.config().archive.absolute()
    words = [*program(), "--archive", str(archive)]
    if session.config_file:
        words += ["--config", str(Path(session.config_file).absolute())]
    words += ["tend", *(str(existing(one).absolute()) for one in places), "--quiet"]
    span = upkeep.span(every, "--every")
    assert span is not None
    return timer.Call(
        words=tuple(words), folder=Path.cwd(), archive=archive, every=span
    )


def program() -> tuple[str, ...]:
    """Find how this program is called from anywhere."""
    for one in (shutil.which("muniment"), Path(sys.executable).parent / "muniment"):
        if one and os.access(one, os.X_OK):
            return (str(Path(one).absolute()),)
    return (sys.executable, "-m", "pipeline.cli")


# ------------------------------------------------------------------------------ upkeep


@click.command()
@click.argument("places", nargs=-1, required=True, metavar="MANIFEST|DIR...")
@click.option(
    "--budget", default="10m", metavar="TIME", help="For the audit: 10m; 0s for none."
)
@network_options
@command
def tend(
    session: Session, *, places: tuple[str, ...], budget: str, **network: Any
) -> Exit:
    """Do all that an unattended archive needs, and tell whoever asked.

    What is due is run; timestamps and deposits that did not come are asked for again;
    bags are audited for a while, those longest unchecked first; what ends soon or is
    overdue is told. One part that fails keeps no other from its turn.
    """
    with listening() as interruption:
        upkeeping = Upkeep(session, interruption)
        upkeeping.carry_out(places, budget, network)
    told = upkeeping.close()
    if session.json:
        terminal.say_json(told)
    return Exit(told["exit"])


class Upkeep:
    """The parts of one upkeep, and what came of each."""

    def __init__(self, session: Session, interruption: "Interruption") -> None:
        self._session = session
        self._interruption = interruption
        self._begun = SystemClock().now()
        self._exits: set[Exit] = set()
        self._told: dict[str, Any] = {"begun": stamp(self._begun)}
        self._errors: list[dict[str, object]] = []
        self._warnings: list[str] = []

    def carry_out(
        self, places: tuple[str, ...], budget: str, network: dict[str, Any]
    ) -> None:
        """Do each part in its turn, until an end is asked for."""
        span = None if budget in {"0", "0s"} else budget
        parts: dict[str, Callable[[], Any]] = {
            "runs": lambda: self._runs(places, network),
            "seals": self._seals,
            "deposits": self._deposits,
            "audit": lambda: self._audit(span) if span else None,
            "ending": self._ending,
        }
        for name, act in parts.items():
            if self._interruption.is_asked:
                self._exits.add(Exit.INTERRUPTED)
                return
            try:
                self._told[name] = act()
            except InterruptedRunError as error:
                self._failed(name, error)
                return
            except PipelineError as error:
                self._failed(name, error)

    def close(self) -> dict[str, Any]:
        """Tell whoever asked, leave a sign of life, and say what it all came to."""
        from pipeline import notice  # noqa: PLC0415 - start-up time

        session, whom, now = self._session, watchers(self._session), SystemClock().now()
        archive = session.config().archive.absolute()
        tell(session, notice.of_warnings(str(archive), self._warnings, whom, now))
        for sentence in outbox(session).post():  # what could not be sent before
            terminal.remark(terminal.line(sentence), Level.WARN)
        code = first_exit(self._exits) or max(self._exits, default=Exit.OK)
        self._told |= {
            "ended": stamp(now),
            "warnings": self._warnings,
            "errors": self._errors,
            "exit": int(code),
            "exits": sorted(int(one) for one in self._exits),
        }
        if archive.is_dir():
            self._live(archive)
        return self._told

    def _failed(self, part: str, error: PipelineError) -> None:
        """Note a part that came to no end; a lock is only a matter of time."""
        from pipeline import notice  # noqa: PLC0415 - start-up time

        self._exits.add(error.exit)
        self._errors.append(
            {
                "part": part,
                "code": error.code,
                "message": str(error),
                "exit": int(error.exit),
            }
        )
        terminal.remark(terminal.line(f"{part}: {error}"), Level.ERROR)
        if error.exit not in {Exit.RETRY, Exit.INTERRUPTED}:
            now = SystemClock().now()
            whom = watchers(self._session)
            tell(
                self._session, notice.of_failure(f"tend: {part}", str(error), whom, now)
            )

    def _runs(self, places: tuple[str, ...], network: dict[str, Any]) -> Any:
        session = self._session
        with closing(session.store()) as store:
            called, standings = stood(session, places, store.catalogue)
        if not called.ok:
            self._exits.add(Exit.MANIFEST)
            self._warnings.append("a manifest is wrong, and is not run: see `due`")
        for one in standings:
            if one.is_overdue:
                self._warn(f"{one.job}: overdue: {one.why}")
        read = called.of(one for one in standings if one.is_due)
        runs = Runs(
            session, ordered(session, **network), self._interruption, goes_on=True
        )
        made: Made = runs.of(read, quiet=bool(network["quiet"]))
        self._exits.add(made.exit)
        if not session.json:
            for outcome in made.outcomes:
                terminal.outcome(outcome.told)
            if not read:
                terminal.say("nothing is due")
        return made.told().get("runs", [made.told()] if made.outcomes else [])

    def _seals(self) -> list[dict[str, object]]:
        made = evidence.completed(self._session)
        if any(one.refusals for _, one in made):
            self._exits.add(Exit.RETRY)
        for bag, one in () if self._session.json else made:
            terminal.say(terminal.line(f"{bag}: {evidence.sentence(one)}"))
        return [{"path": str(bag), **one.told()} for bag, one in made]

    def _deposits(self) -> Any:
        from pipeline.handoff.deposit import handed_json  # noqa: PLC0415 - start-up time

        handed = handing.handed_over(self._session)
        self._exits |= {one.exit for one in handed}
        if not self._session.json:
            handing.tell(handed)
        return handed_json(handed)

    def _audit(self, budget: str) -> dict[str, Any]:
        from pipeline import notice  # noqa: PLC0415 - start-up time
        from pipeline.balance import head_json  # noqa: PLC0415 - likewise

        session = self._session
        told: Audited = upkeep.audited(
            session,
            upkeep.Ear(quiet=session.json),
            self._interruption,
            budget=upkeep.span(budget),
        )
        self._exits.add(told.exit)
        if not session.json:
            upkeep.summary(told)
        archive = str(session.config().archive.absolute())
        now, whom = SystemClock().now(), watchers(session)
        tell(session, notice.of_damage(archive, damage(told), whom, now))
        return head_json(told)

    def _ending(self) -> Any:
        from pipeline.sealing import expiry  # noqa: PLC0415 - start-up time

        now = SystemClock().now()
        with closing(self._session.store()) as store:
            found = expiry.of_bags(store.bags(), now=now)
        for one in found:
            self._warn(one.sentence(now))
        return [one.told() for one in found]

    def _warn(self, sentence: str) -> None:
        self._warnings.append(sentence)
        terminal.remark(terminal.line(sentence), Level.WARN)

    def _live(self, archive: Path) -> None:
        """Leave a sign that the upkeep came to its end, here and where one watches."""
        from pipeline.fixity import write_file  # noqa: PLC0415 - start-up time
        from pipeline.holdings.room import OWN  # noqa: PLC0415 - likewise

        told = {key: self._told[key] for key in ("begun", "ended", "exit")}
        own = archive / OWN
        part = f"{HEARTBEAT}.part-{os.getpid()}"
        write_file(own, part, json.dumps(told).encode() + b"\n")
        (own / part).replace(own / HEARTBEAT)
        if address := self._session.config().notify.heartbeat:
            subject = f"alive, exit {told['exit']}"
            if why := outbox(self._session).deliver(address, subject, str(archive)):
                said = terminal.line(f"not told to {address}: {why}")
                terminal.remark(said, Level.WARN)


def damage(told: "Audited") -> Iterable[str]:
    """Tell what an audit found wrong, a line each."""
    for one in told.findings:
        if one.severity == "error":
            yield f"{one.path}: {one.message} [{one.code}]"
    for bag in told.troubled.wrong():
        first = bag.errors()[0]
        yield f"{bag.path}: {first.path}: {first.message} [{first.code}]"
