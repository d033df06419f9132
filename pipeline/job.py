"""A run: one manifest in, bags out.

The spine decides only the order. Every source is visited on a worker, one host one line
of sources; what comes home is packed, accessioned and logged here, by a single writer.
At the end one bag records the run itself: the plan, the manifest, every outcome.
"""

import os
import platform
import traceback
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import __version__, resume
from pipeline.capture.address import Policy
from pipeline.capture.compare import change
from pipeline.capture.net import Network
from pipeline.capture.robots import Robots
from pipeline.capture.tls import tls_context
from pipeline.capture.visit import Task, Visited, header_values, visit
from pipeline.clock import Clock
from pipeline.errors import InterruptedRunError, PipelineError, StorageError
from pipeline.fixity import Sink, digest_of, write_file
from pipeline.holdings.custody import Entry as LogEntry
from pipeline.holdings.journal import Journal, Step
from pipeline.holdings.merkle import head_json
from pipeline.holdings.store import Store
from pipeline.model import (
    Accession,
    Artefact,
    Bag,
    Capture,
    Change,
    Event,
    EventType,
    Manifest,
    Run,
    Source,
    Verdict,
)
from pipeline.outcome import Kept, Outcome, Visit, outcome_of, sealed
from pipeline.packaging import bag, provenance
from pipeline.packaging.rendering import Json, Rendering
from pipeline.plan import SALT_BYTES, Entry, Plan, chosen, named_ports, shards
from pipeline.warc import MEDIA_TYPE, shifted

if TYPE_CHECKING:  # whoever seals brings it along: it loads cryptography
    from pipeline.notary import Notary
    from pipeline.sealing.seal import Seal

SOFTWARE = f"Muniment {__version__}"
INDEX_PATH = "data/metadata/index.cdxj"
WARC_PATH = "data/objects/capture.warc.gz"
DOCUMENT_FOLDER = "data/metadata/submissionDocumentation/document"
CDXJ = "text/x-cdxj"
STANDS_ON = (  # whose versions a court may ask for
    "requests",
    "urllib3",
    "certifi",
    "cryptography",
    "rfc3161-client",
    "warcio",
    "isal",
    "selectolax",
    "tinycss2",
    "ada-url",
    "protego",
    "brotli",
)
CRASHED = "internal-error"  # the reason where the fault is ours
WORKERS = 16  # hosts visited at the same time
PIECE = 1 << 20


class Progress(Protocol):
    """Who is told how a run goes."""

    def planned(self, sources: int, hosts: int) -> None:
        """Hear how much there is to do."""

    def said(self, sentence: str) -> None:
        """Hear a remark."""

    def visiting(self, source: Source) -> None:
        """Hear that a visit begins."""

    def kept(self, capture: Capture, change: Change) -> None:
        """Hear what became of a source."""


class Order(Struct, frozen=True, kw_only=True):
    """What a run is asked to do beyond its manifest."""

    only: tuple[str, ...] = ()
    strict: bool = False
    policy: Policy = field(default_factory=Policy)
    cacert: Path | None = None  # roots to be trusted as well
    workers: int = WORKERS
    fresh: bool = False  # a stopped run is given up, not gone on with
    notary: "Notary | None" = None  # None: nothing is sealed

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
    be written, UsageError for an order that makes no sense, InterruptedRunError; the
    error knows the bags that were kept before it.
    """
    sources = preflight(manifest, order.only)
    with store.lock(f"run {manifest.id}"):
        ask = asked(manifest, sources, order)
        choice = resume.choose(ask, store.journals())
        for sentence in (*choice.said, *store.recover(choice.abandoned)):
            progress.said(sentence)
        # A run that died behind its own bag was finished by ``recover``.
        going_on = choice.journal in store.journals()
        one = _Run(
            ask,
            choice.journal if going_on else None,
            order=order,
            store=store,
            network=network,
            progress=progress,
        )
        try:
            outcome = one.carry_out()
        except (KeyboardInterrupt, InterruptedRunError) as interrupt:
            stopped = InterruptedRunError(
                f"{one.id} was interrupted with {one.standing()}; the bags it made are "
                "kept, and the same command goes on with the rest"
            )
            stopped.bags = tuple(one.bags)
            raise stopped from interrupt
        except PipelineError as error:
            error.bags = tuple(one.bags)
            raise
        if keys is not None:
            _sign(store, keys, progress)
        return outcome


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
    """One run under way: the coordinator, alone in writing to the archive."""

    def __init__(
        self,
        ask: resume.Ask,
        stopped: Journal | None,
        *,
        order: Order,
        store: Store,
        network: Network,
        progress: Progress,
    ) -> None:
        clock = network.clock
        self._ask = ask
        self._manifest = ask.manifest
        self._order = order
        self._store = store
        self._network = network
        self._clock = clock
        self._progress = progress
        self._robots = Robots()
        self._sources = ask.sources
        self._journal = stopped
        if stopped is None:
            started = clock.now()
            name = bag_name(ask.manifest.id, "run", started, clock.uuid())
            self._plan = ask.plan(name, lambda _: clock.nonce(SALT_BYTES))
        else:
            started = stopped.begun.started
            self._plan = ask.replan(stopped.begun)
        run = run_of(ask.manifest, self._plan, started, order.settings())
        if notary := order.notary:
            run = replace(run, signer=notary.signer, authorities=notary.authorities)
        self._run = run
        self.id = self._run.id
        self.bags: list[tuple[str, str]] = []  # kept so far, by id and path
        self._kept: list[Kept] = []
        self._revisited: list[tuple[Path, str]] = []  # staged, with its index

    def standing(self) -> str:
        """Tell how far the run has come."""
        return f"{len(self._kept)} of {len(self._plan.entries)} sources done"

    def carry_out(self) -> Outcome:
        journal = self._begun()
        done = {one.source for one in self._kept}
        lines = shards(e for e in self._plan.entries if e.source.id not in done)
        self._progress.planned(sum(map(len, lines)), len(lines))
        with closing(self._visits(lines)) as visits:
            for entry, task, visited in visits:
                self._come_home(journal, entry, task, visited)
        if len(self._kept) < len(self._plan.entries):
            raise InterruptedRunError("the run was stopped between two exchanges")
        outcome = self._close(journal)
        if any(CRASHED in one.told["reasons"] for one in self._kept):
            self._set_aside()
        return outcome

    def _begun(self) -> Journal:
        """Begin the run, or go on with it; its journal is on disk from here on."""
        notary, plan = self._order.notary, self._plan
        if (journal := self._journal) is not None:
            if notary and journal.begun.start:
                notary.take_up(journal.begun.start)
            past = resume.past(journal, self._store)
            self._kept += past.kept
            self._revisited += past.revisits
            self.bags += past.bags
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

    def _come_home(
        self, journal: Journal, entry: Entry, task: Task, visited: Visited
    ) -> None:
        """Compare a visit with the one before it, and keep what is not known yet."""
        capture, previous = visited.capture, task.previous
        told = change(previous, capture.verdict, capture.reasons, capture.payload)
        if CRASHED in capture.reasons:  # no bag is made of what was half written
            task = replace(task, folder=self._stage(task.source))
        notary = self._order.notary
        visit = Visit(
            capture=capture,
            change=told,
            previous=previous,
            clocks=notary.clocks(capture) if notary else (),
        )
        if capture.verdict is Verdict.UNCHANGED:
            one = self._stay(journal, task, visited, visit)
        else:
            one = self._keep(journal, entry, task, visited, visit)
        self._kept.append(one)
        self._progress.kept(capture, told)

    def _stay(
        self, journal: Journal, task: Task, visited: Visited, visit: Visit
    ) -> Kept:
        """Keep a visit that found nothing new in staging, for the run's own bag."""
        kept, index = visit.kept(strict=self._order.strict), visited.index.decode()
        (warc,) = (one for one in visited.capture.artefacts if one.path == WARC_PATH)
        self._store.settle(task.folder)
        journal.add(
            Step(
                source=kept.source,
                staged=task.folder.name,
                file=WARC_PATH,
                digests=warc.digests,
                told=resume.told(kept, index),
            )
        )
        self._revisited.append((task.folder, index))
        return kept

    def _set_aside(self) -> None:
        """Let the store put what crashed visits left in staging into quarantine."""
        for sentence in self._store.recover():
            self._progress.said(sentence)

    # ------------------------------------------------------------------- visiting

    def _visits(
        self, lines: Iterable[tuple[Entry, ...]]
    ) -> Generator[tuple[Entry, Task, Visited]]:
        """Visit every source, hosts in parallel, and yield each as it comes home."""
        workers = ThreadPoolExecutor(self._order.workers, "visit")
        waiting: dict[
            Future[Visited | None], tuple[Entry, Task, tuple[Entry, ...]]
        ] = {}

        def send(line: tuple[Entry, ...]) -> None:
            if line and not self._network.is_stopped:
                task = self._task(line[0])
                future = workers.submit(self._visit, task)
                waiting[future] = (line[0], task, line[1:])

        try:
            for line in lines:
                send(line)
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    entry, task, rest = waiting.pop(future)
                    send(rest)
                    if (visited := future.result()) is not None:
                        yield entry, task, visited
        except BaseException:
            is_asked_twice = self._network.is_stopped
            self._network.stop()
            workers.shutdown(wait=not is_asked_twice, cancel_futures=True)
            raise
        workers.shutdown()

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
                *self._stamped_plan(),
            ),
            contact=self._manifest.contact or run.operator.contact,
            previous=self._store.catalogue.previous(run.job, source.id),
            algorithms=self._manifest.package.algorithms,
        )

    def _visit(self, task: Task) -> Visited | None:
        """Visit one source; a visit that a stop cut short brings nothing home."""
        self._progress.visiting(task.source)
        started = self._clock.now()
        try:
            return visit(task, network=self._network, robots=self._robots)
        except InterruptedRunError:
            return None  # others may be on their way home
        except StorageError:
            raise  # it ends the run
        except Exception as error:  # noqa: BLE001 - between one source and the next
            return crashed(task.source, error, started, self._clock)

    # -------------------------------------------------------------------- keeping

    def _keep(
        self,
        journal: Journal,
        entry: Entry,
        task: Task,
        visited: Visited,
        visit: Visit,
    ) -> Kept:
        """Describe, pack, seal and accession one capture."""
        package = self._manifest.package
        accession = Accession(
            bag=task.folder.name,
            run=self._run,
            capture=visited.capture,
            change=visit.change,
            previous=task.previous,
            packed_at=self._clock.now(),
        )
        described = provenance.describe(
            accession, plan=self._plan.seen_by(entry), uuid=self._clock.uuid
        )
        index = Rendering(path=INDEX_PATH, data=visited.index, media_type=CDXJ)
        records = (*described, index, *self._started())
        made = bag.write(
            task.folder,
            payload=(
                *visited.capture.artefacts,
                *self._written(task.folder, records),
            ),
            info=provenance.bag_info(
                accession, info=package.info, number=len(self._kept) + 1
            ),
            readme=provenance.readme(accession, algorithms=package.algorithms),
            algorithms=package.algorithms,
        )
        seal = None
        if notary := self._order.notary:
            seal = notary.seal_source(
                task.folder, self._run, visited.capture, self._custody_head()
            )
        made = replace(made, path=self._place(made))
        kept = replace(visit, bag=made, seal=seal.told() if seal else None)
        told = kept.kept(strict=self._order.strict)
        self._accession(journal, task.folder, made, seal=seal, kept=told)
        return told

    def _place(self, made: Bag) -> Path:
        return self._store.place(made.id, self._run.job, self._run.started)

    def _started(self) -> tuple[Rendering, ...]:
        """Tell the plan as it was stamped before the first request, and its tokens."""
        return self._order.notary.started if self._order.notary else ()

    def _stamped_plan(self) -> tuple[tuple[str, str], ...]:
        """Name the timestamps of the plan: a WARC that does is younger than they."""
        notary = self._order.notary
        told = ", ".join(notary.start_digests) if notary else ""
        return (("plan-timestamps", told),) if told else ()

    def _custody_head(self) -> Json:
        """Tell the custody log as it stands: what a seal says happened before it."""
        return dict(head_json(self._store.log.head()))

    def _written(
        self, folder: Path, files: Iterable[Rendering]
    ) -> tuple[Artefact, ...]:
        algorithms = self._manifest.package.algorithms
        return tuple(
            write_file(
                folder,
                file.path,
                file.data,
                algorithms=algorithms,
                media_type=file.media_type,
            )
            for file in files
        )

    def _accession(
        self,
        journal: Journal,
        staged: Path,
        made: Bag,
        *,
        seal: "Seal | None",
        kept: Kept | None = None,
    ) -> None:
        """Keep a bag for good; the journal tells of it before, the log afterwards."""
        run = self._run
        also: tuple[LogEntry, ...] = ()
        if seal is not None:
            from pipeline.sealbook import lines  # noqa: PLC0415 - loads cryptography

            place = made.path.relative_to(self._store.root).as_posix()
            also = lines(
                seal, place=place, job=run.job, run=run.id, at=self._clock.now()
            )
        journal.add(
            Step(
                source=kept.source if kept else "",
                staged=made.id,
                digests=made.tagmanifests,
                entries=also,
                told=resume.told(kept) if kept else None,
            )
        )
        self._store.accession(
            staged,
            made,
            job=run.job,
            run=run.id,
            started=run.started,
            software=SOFTWARE,
            also=also,
        )
        self.bags.append((made.id, str(made.path)))

    # -------------------------------------------------------------------- the end

    def _close(self, journal: Journal) -> Outcome:
        """Pack the run's own bag: plan, manifest, every outcome, every revisit."""
        run, kept = self._run, self._kept
        folder = self._store.stage(run.id)
        revisits = self._revisits(folder)
        document = self._document(folder)
        outcome = outcome_of(
            run,
            self._sources,
            kept,
            ended=self._clock.now(),
            run_bag=self._store.place(run.id, run.job, run.started),
            resumed=journal.resumed,
            custody=self._store.log.head(),
            artefacts=(*revisits, *document),
        )
        packed_at = self._clock.now()
        described = provenance.run_describe(
            run,
            outcome=outcome.told,
            plan=self._plan.whole(),
            manifest=self._manifest.text,
            uuid=self._clock.uuid,
            packed_at=packed_at,
            artefacts=(*revisits, *document),
        )
        package = self._manifest.package
        bags = 1 + sum(one.bag is not None for one in kept)
        made = bag.write(
            folder,
            payload=(
                *revisits,
                *document,
                *self._written(folder, (*described, *self._started())),
            ),
            info=provenance.run_bag_info(
                run, packed_at=packed_at, info=package.info, bags=bags
            ),
            readme=provenance.run_readme(
                run,
                packed_at=packed_at,
                files=(one.path for one in (*revisits, *document)),
                algorithms=package.algorithms,
            ),
            algorithms=package.algorithms,
        )
        seal = self._seal_run(folder)
        made = replace(made, path=outcome.run_bag)
        self._accession(journal, folder, made, seal=seal)
        if seal is not None:
            outcome = sealed(outcome, seal.told())
        self._store.finish(journal)
        return outcome

    def _seal_run(self, folder: Path) -> "Seal | None":
        if self._order.notary is None:
            return None
        return self._order.notary.seal_run(
            folder, self._run, self._kept, self._custody_head()
        )

    def _revisits(self, folder: Path) -> tuple[Artefact, ...]:
        """Carry the visits that found nothing new into one WARC, member by member."""
        if not self._revisited:
            return ()
        sink = Sink(
            folder,
            WARC_PATH,
            algorithms=self._manifest.package.algorithms,
            media_type=MEDIA_TYPE,
        )
        lines: list[str] = []
        for staged, found in self._revisited:
            lines += shifted(found.encode(), by=sink.size)
            with opened(staged / WARC_PATH) as file:
                while piece := file.read(PIECE):
                    sink.write(piece)
        index = "".join(f"{line}\n" for line in sorted(lines)).encode()
        rendering = Rendering(path=INDEX_PATH, data=index, media_type=CDXJ)
        return (sink.finish(), *self._written(folder, (rendering,)))

    def _document(self, folder: Path) -> tuple[Artefact, ...]:
        """Copy the citing document's own file, where the manifest gives one."""
        origin = document_file(self._manifest)
        if origin is None:
            return ()
        sink = Sink(
            folder,
            f"{DOCUMENT_FOLDER}/document{origin.suffix.lower()}",
            algorithms=self._manifest.package.algorithms,
        )
        with opened(origin) as file:
            while piece := file.read(PIECE):
                sink.write(piece)
        return (sink.finish(),)


def network_for(manifest: Manifest, order: Order, clock: Clock) -> Network:
    """Open the door as far as the manifest and the operator allow.

    Raises UsageError where the roots to be trusted can't be read.
    """
    policy = replace(order.policy, named=named_ports(manifest.sources))
    return Network(clock=clock, policy=policy, tls=tls_context(order.cacert))


def document_file(manifest: Manifest) -> Path | None:
    """Find the citing document's own file, where the manifest names one."""
    document = manifest.document
    if document is None or not document.file:
        return None
    return manifest.path.parent / document.file


def opened(path: Path) -> IO[bytes]:
    """Open a file to be copied. Raises StorageError, which names it."""
    try:
        return path.open("rb")
    except OSError as error:
        raise StorageError.at(path, error) from error


# -------------------------------------------------------------------------- decisions


def crashed(
    source: Source, error: Exception, started: datetime, clock: Clock
) -> Visited:
    """Tell a visit that ended in a fault of ours: an event, and no bytes."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = (
        f"{type(error).__name__}: {error} ({Path(last.filename).name}, line "
        f"{last.lineno}); a fault of Muniment, what came is in quarantine"
    )
    ended = clock.now()
    event = Event(
        id=clock.uuid(),
        type=EventType.CAPTURE,
        at=ended,
        outcome=Verdict.FAILED,
        detail=detail,
    )
    capture = Capture(
        source=source,
        started=started,
        ended=ended,
        verdict=Verdict.FAILED,
        reasons=(CRASHED,),
        detail=detail,
        events=(event,),
    )
    return Visited(capture=capture, index=b"")


def bag_name(job: str, source: str, moment: datetime, uuid: str) -> str:
    """Name a bag; names are for people and are never parsed."""
    return f"{job}_{source}_{moment:%Y%m%dt%H%M%Sz}_{uuid[:8]}"


def run_of(
    manifest: Manifest,
    plan: Plan,
    started: datetime,
    settings: tuple[tuple[str, str], ...],
) -> Run:
    """Gather what every bag will say of the run."""
    return Run(
        id=plan.run,
        job=manifest.id,
        started=started,
        software=SOFTWARE,
        plan=plan.digest(),
        manifest=manifest.digest,
        title=manifest.title,
        document=manifest.document,
        operator=manifest.operator,
        environment=environment(),
        settings=settings,
    )


def environment() -> tuple[tuple[str, str], ...]:
    """Name what runs: the interpreter, the system, every part we stand on."""
    parts = [
        ("python", platform.python_version()),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("muniment", __version__),
    ]
    for name in STANDS_ON:
        try:
            parts.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:  # optional
            continue
    return tuple(parts)


def warcinfo(run: Run, source: Source, contact: str) -> tuple[tuple[str, str], ...]:
    """Say in the WARC's first record what it is part of (WARC 1.1, 6.2)."""
    pairs = (
        ("software", run.software),
        ("format", "WARC File Format 1.1"),
        ("conformsTo", "http://iipc.github.io/warc-specifications/"),
        ("operator", ", ".join(filter(None, (run.operator.name, contact)))),
        ("isPartOf", run.id),
        ("description", f"{run.job}/{source.id}"),
        ("robots", source.robots.value),
        ("plan-digest", str(run.plan)),
        ("manifest-digest", str(run.manifest)),
    )
    return tuple((name, value) for name, value in pairs if value)
