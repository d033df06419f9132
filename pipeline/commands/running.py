"""Running: what is named, or what is due, one manifest after the other."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from pipeline import terminal
from pipeline.commands import evidence, handing, lists
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, InterruptedRunError, PipelineError, first_exit
from pipeline.interruption import Interruption
from pipeline.loglines import Level

if TYPE_CHECKING:
    from pipeline.holdings.catalogue import Catalogue
    from pipeline.job import Order
    from pipeline.model import Manifest, Recipient
    from pipeline.notice import Notice
    from pipeline.outbox import Outbox
    from pipeline.outcome import Outcome
    from pipeline.progress import Listener
    from pipeline.roster import Roster
    from pipeline.schedule import Standing


def network_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how it meets the network."""
    options = (
        click.option(
            "--allow-address",
            multiple=True,
            metavar="CIDR",
            help="Open a network beyond the public internet, and any port.",
        ),
        click.option(
            "--connect-to",
            multiple=True,
            metavar="H:P:H:P",
            help="Go to the second host and port instead of the first, as in curl.",
        ),
        click.option("--cacert", metavar="FILE", help="Trust these roots as well."),
        click.option("--quiet", is_flag=True, help="No progress."),
    )
    for one in reversed(options):
        function = one(function)
    return function


@click.command()
@click.argument("manifests", nargs=-1, required=True, metavar="MANIFEST...")
@click.option("--only", multiple=True, metavar="ID", help="Only this source.")
@click.option("--due", is_flag=True, help="What is due now, of files and of folders.")
@click.option(
    "--strict", is_flag=True, help="Old news counts; every quote is required."
)
@click.option("--csv", metavar="OUT.csv", help="Write the results as a table.")
@click.option("--fresh", is_flag=True, help="Begin anew, even where a run was stopped.")
@network_options
@command
def run(
    session: Session,
    *,
    manifests: tuple[str, ...],
    only: tuple[str, ...],
    due: bool,
    strict: bool,
    csv: str | None,
    fresh: bool,
    **network: Any,
) -> Exit:
    """Visit every source, keep what came, and bag it.

    A run that was stopped is gone on with by the same command: what it kept is not
    visited again.
    """
    from pipeline import job, sheet  # noqa: PLC0415 - start-up time
    from pipeline.intake import manifest  # noqa: PLC0415 - likewise

    config = session.config()
    if csv is not None:
        sheet.require_free(Path(csv))
    is_ok = True
    if due:
        with closing(session.store()) as store:
            called, standings = stood(session, manifests, store.catalogue)
        is_ok = called.ok
        read = called.of(one for one in standings if one.is_due)
    else:
        who = config.operator
        read = tuple(manifest.read(Path(one), operator=who) for one in manifests)
        for one in read:  # before the first of them is run
            job.preflight(one, only)
            evidence.asked_of(config, one)
    order = ordered(session, **network)
    order = replace(order, only=only, strict=strict, fresh=fresh)
    with listening() as interruption:
        made = Runs(session, order, interruption, goes_on=due).of(
            read, quiet=bool(network["quiet"])
        )
    if csv is not None and made.outcomes:
        lists.write_results(session, Path(csv), [one.told for one in made.outcomes])
    if session.json:
        terminal.say_json(made.told())
    else:
        for outcome in made.outcomes:
            terminal.outcome(outcome.told)
        if due and not read:
            terminal.say("nothing is due")
    return made.exit or (Exit.OK if is_ok else Exit.MANIFEST)


@contextmanager
def listening() -> Iterator[Interruption]:
    """Listen to whoever wants it to stop."""
    interruption = Interruption(terminal.alarm)
    with interruption.listening():
        yield interruption


def ordered(
    session: Session,
    *,
    allow_address: Iterable[str],
    connect_to: Iterable[str],
    cacert: str | None,
    **_: Any,
) -> "Order":
    """Read how the network is met. Raises UsageError."""
    from pipeline import job  # noqa: PLC0415 - start-up time
    from pipeline.capture import address  # noqa: PLC0415 - likewise

    policy = address.Policy(
        allow=(*session.config().allow, *map(address.parse_allow, allow_address)),
        connect_to=tuple(map(address.parse_connect_to, connect_to)),
    )
    return job.Order(policy=policy, cacert=Path(cacert) if cacert else None)


def stood(
    session: Session, places: Iterable[str], catalogue: "Catalogue | None"
) -> "tuple[Roster, tuple[Standing, ...]]":
    """Call the roster, tell what is wrong with it, and how each job stands."""
    from pipeline import roster, schedule  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.intake import manifest  # noqa: PLC0415 - likewise

    config, now = session.config(), SystemClock().now()
    called = roster.call(places, operator=config.operator, environ=os.environ)
    if called.problems:
        terminal.remark(manifest.render(called.problems), Level.WARN)
    for sentence in called.wrong:
        terminal.remark(terminal.line(sentence), Level.WARN)
    standings = called.standings(catalogue, now)
    for one in standings:
        if sentence := schedule.clock_sentence(one, now):
            terminal.remark(terminal.line(sentence), Level.WARN)
    return called, standings


class Made(Struct, frozen=True, kw_only=True):
    """What came of several runs, those included that came to no end."""

    outcomes: "tuple[Outcome, ...]"
    failures: tuple[tuple[str, PipelineError], ...] = ()  # by job

    @property
    def exit(self) -> Exit:
        """The one status they end with."""
        codes = {one.exit for one in self.outcomes}
        codes |= {error.exit for _, error in self.failures}
        return first_exit(codes) or max(codes, default=Exit.OK)

    def told(self) -> dict[str, Any]:
        """Tell them in one document."""
        from pipeline.outcome import together  # noqa: PLC0415 - start-up time

        told = together(self.outcomes)
        if not self.failures:
            return told
        runs = told.get("runs", [told])
        errors = [
            {
                "job": job,
                "code": error.code,
                "message": str(error),
                "exit": int(error.exit),
            }
            for job, error in self.failures
        ]
        return {"runs": runs, "errors": errors, "exit": int(self.exit)}


class Runs:
    """Runs manifests; whoever asked is told of each when it is done."""

    def __init__(
        self,
        session: Session,
        order: "Order",
        interruption: Interruption,
        *,
        goes_on: bool,
    ) -> None:
        self._session = session
        self._order = order
        self._interruption = interruption
        self._goes_on = goes_on  # with the next, where one comes to no end

    def of(self, manifests: "Sequence[Manifest]", *, quiet: bool) -> Made:
        """Run them. Raises PipelineError, which names the bags of them all."""
        outcomes: list[Outcome] = []
        failures: list[tuple[str, PipelineError]] = []
        from pipeline.progress import progress_of  # noqa: PLC0415 - start-up time

        progress = progress_of(quiet=quiet)
        try:
            for one in manifests:
                try:
                    outcomes.append(self._one(one, progress))
                except InterruptedRunError:
                    raise
                except PipelineError as error:
                    if not self._goes_on:
                        raise
                    terminal.remark(terminal.line(f"{one.id}: {error}"), Level.ERROR)
                    failures.append((one.id, error))
        except PipelineError as error:
            error.bags = (*(bag for made in outcomes for bag in made.bags), *error.bags)
            raise
        finally:
            progress.close()
        return Made(outcomes=tuple(outcomes), failures=tuple(failures))

    def _one(self, one: "Manifest", progress: "Listener") -> "Outcome":
        from pipeline import job, notice  # noqa: PLC0415 - start-up time

        if self._interruption.is_asked:
            raise InterruptedRunError(f"interrupted before {one.id} was begun")
        whom = notice.whom_of(one, watchers(self._session))
        try:
            job.preflight(one, self._order.only)
            outcome = self._run(one, progress)
        except InterruptedRunError:
            raise
        except PipelineError as error:
            said = notice.of_failure(one.id, str(error), whom, now())
            tell(self._session, said)
            raise
        progress.ended(outcome.told)
        tell(self._session, notice.of_run(outcome.told, whom, now()))
        return outcome

    def _run(self, read: "Manifest", progress: "Listener") -> "Outcome":
        """Run one manifest through a door of its own."""
        from pipeline import job  # noqa: PLC0415 - start-up time
        from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
        from pipeline.config import own_folder  # noqa: PLC0415 - likewise

        config = self._session.config()
        with (
            closing(job.network_for(read, self._order, SystemClock())) as network,
            closing(self._session.store()) as store,
            closing(
                evidence.appointed(evidence.asked_of(config, read), self._order)
            ) as notary,
        ):
            self._interruption.ends(network.stop)
            courier = handing.courier(config, read, store)
            return job.run(
                read,
                order=replace(self._order, notary=notary, courier=courier),
                store=store,
                network=network,
                progress=progress,
                keys=own_folder(os.environ),
            )


# -------------------------------------------------------------------- whoever is told


def now() -> Any:
    """Look at the clock."""
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time

    return SystemClock().now()


def watchers(session: Session) -> "tuple[Recipient, ...]":
    """Find whom the configuration names."""
    from pipeline.model import Recipient  # noqa: PLC0415 - start-up time

    url = session.config().notify.url
    return (Recipient(url=url),) if url else ()


def outbox(session: Session) -> "Outbox":
    """Open the outbox of the archive."""
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.outbox import Outbox  # noqa: PLC0415 - likewise

    config = session.config()
    return Outbox(
        root=config.archive.absolute(),
        clock=SystemClock(),
        environ=os.environ,
        is_daily=config.notify.is_daily,
    )


def tell(session: Session, notices: "Iterable[Notice]") -> None:
    """Write notices down and send what is due; what goes wrong there harms nothing."""
    some = tuple(notices)
    if not some:
        return
    box = outbox(session)
    try:
        box.put(some)
        said = box.post()
    except PipelineError as error:
        said = (str(error),)
    for sentence in said:
        terminal.remark(terminal.line(sentence), Level.WARN)
