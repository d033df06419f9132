"""What comes home, kept: described, packed, sealed, brought into the archive.

One writer does all of it, bag after bag. The journal is told of a bag before it is in
the archive and the custody log afterwards, so that a run that dies between the two is
gone on with. At the end one bag records the run itself: the plan, the manifest, every
outcome, every visit that found nothing new.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from msgspec.structs import replace

from pipeline import resume
from pipeline.capture.difference import difference
from pipeline.capture.visit import TEXT_PATH
from pipeline.clock import Clock
from pipeline.crew import Home
from pipeline.disk import small_file
from pipeline.errors import StorageError
from pipeline.fixity import Sink, digest_of, write_file
from pipeline.holdings.custody import Entry as LogEntry
from pipeline.holdings.journal import Journal, Step
from pipeline.holdings.merkle import head_json
from pipeline.holdings.store import Store
from pipeline.identity import SOFTWARE
from pipeline.model import Accession, Artefact, Bag, Difference, Manifest, Run
from pipeline.outcome import Kept, Outcome, Visit, outcome_of, sealed
from pipeline.packaging import bag, provenance
from pipeline.packaging.rendering import Json, Rendering
from pipeline.plan import Plan
from pipeline.warc import MEDIA_TYPE, shifted

if TYPE_CHECKING:  # whoever seals brings it along: it loads cryptography
    from pipeline.notary import Notary
    from pipeline.sealing.seal import Seal

INDEX_PATH = "data/metadata/index.cdxj"
WARC_PATH = "data/objects/capture.warc.gz"
SUBJECT_PATH = "data/objects/manifest.yaml"
DOCUMENT_FOLDER = "data/metadata/submissionDocumentation/document"
CDXJ = "text/x-cdxj"
PIECE = 1 << 20
MOST_WORDS = 1 << 24  # bytes of a text that is compared


Announce = Callable[[dict[str, Any], Bag], tuple[LogEntry, ...]]


def silent(_told: dict[str, Any], _bag: Bag) -> tuple[LogEntry, ...]:
    """Announce nothing."""
    return ()


class Keeper:
    """Who keeps what one run brings home: alone in writing to the archive."""

    def __init__(
        self,
        ask: resume.Ask,
        run: Run,
        plan: Plan,
        *,
        store: Store,
        clock: Clock,
        notary: "Notary | None" = None,
    ) -> None:
        self._manifest = ask.manifest
        self._sources = ask.sources
        self._strict = ask.is_strict
        self._run = run
        self._plan = plan
        self._store = store
        self._clock = clock
        self._notary = notary
        self._revisited: list[tuple[Path, str]] = []  # staged, with its index
        self.kept: list[Kept] = []
        self.bags: list[tuple[str, str]] = []  # by id and path

    def take_up(self, past: resume.Past) -> None:
        """Go on from what a stopped run had kept."""
        self.kept += past.kept
        self.bags += past.bags
        self._revisited += past.revisits

    # ----------------------------------------------------------------- one source

    def stay(self, journal: Journal, home: Home, visit: Visit) -> Kept:
        """Keep a visit that found nothing new in staging, for the run's own bag."""
        told, index = visit.kept(strict=self._strict), home.visited.index.decode()
        found = home.visited.capture.artefacts
        (warc,) = (one for one in found if one.path == WARC_PATH)
        folder = home.task.folder
        self._store.settle(folder)
        journal.add(
            Step(
                source=told.source,
                staged=folder.name,
                file=WARC_PATH,
                digests=warc.digests,
                told=resume.told(told, index),
            )
        )
        self._revisited.append((folder, index))
        self.kept.append(told)
        return told

    def keep(self, journal: Journal, home: Home, visit: Visit) -> Kept:
        """Describe, pack, seal and accession one capture."""
        folder, capture = home.task.folder, home.visited.capture
        package = self._manifest.package
        accession = Accession(
            bag=folder.name,
            run=self._run,
            capture=capture,
            change=visit.change,
            previous=home.task.previous,
            difference=self._difference(home),
            packed_at=self._clock.now(),
        )
        described = provenance.describe(
            accession, plan=self._plan.seen_by(home.entry), uuid=self._clock.uuid
        )
        index = Rendering(path=INDEX_PATH, data=home.visited.index, media_type=CDXJ)
        records = (*described, index, *self._started())
        made = bag.write(
            folder,
            payload=(*capture.artefacts, *self._written(folder, records)),
            info=provenance.bag_info(
                accession, info=package.info, number=len(self.kept) + 1
            ),
            readme=provenance.readme(accession, algorithms=package.algorithms),
            algorithms=package.algorithms,
        )
        seal = None
        if self._notary:
            seal = self._notary.seal_source(
                folder, self._run, capture, self._custody_head()
            )
        made = replace(made, path=self._place(made.id))
        kept = replace(visit, bag=made, seal=seal.told() if seal else None)
        told = kept.kept(strict=self._strict)
        self._accession(journal, folder, made, seal=seal, kept=told)
        self.kept.append(told)
        return told

    def _difference(self, home: Home) -> Difference | None:
        """Compare the words with those of the capture before, where both have some."""
        before = home.task.previous
        mine = home.task.folder / TEXT_PATH
        if before is None or before.words is None or not mine.is_file():
            return None
        for one in self._store.catalogue.bags(bag=before.bag):
            try:
                old = small_file(one.bag.path / TEXT_PATH, MOST_WORDS)
                new = small_file(mine, MOST_WORDS)
            except OSError:  # that the bag is damaged is for an audit to tell
                continue
            if digest_of(old) == before.words:
                return difference(old.decode(), new.decode(), bag=before.bag)
        return None

    def stamped_plan(self) -> tuple[tuple[str, str], ...]:
        """Name the timestamps of the plan: a WARC that does is younger than they."""
        told = ", ".join(self._notary.start_digests) if self._notary else ""
        return (("plan-timestamps", told),) if told else ()

    # -------------------------------------------------------------------- the end

    def close(self, journal: Journal, announce: Announce = silent) -> Outcome:
        """Pack the run's own bag: plan, manifest, every outcome, every revisit.

        ``announce`` tells what the log is to know of the finished run with its bag.
        """
        run, kept = self._run, self.kept
        folder = self._store.stage(run.id)
        revisits = self._revisits(folder)
        objects = (*revisits, *self._document(folder), *self._subject(folder))
        outcome = outcome_of(
            run,
            self._sources,
            kept,
            ended=self._clock.now(),
            run_bag=self._place(run.id),
            resumed=journal.resumed,
            custody=self._store.log.head(),
            artefacts=objects,
        )
        packed_at = self._clock.now()
        described = provenance.run_describe(
            run,
            outcome=outcome.told,
            plan=self._plan.whole(),
            manifest=self._manifest.text,
            uuid=self._clock.uuid,
            packed_at=packed_at,
            artefacts=objects,
        )
        package = self._manifest.package
        bags = 1 + sum(one.bag is not None for one in kept)
        made = bag.write(
            folder,
            payload=(
                *objects,
                *self._written(folder, (*described, *self._started())),
            ),
            info=provenance.run_bag_info(
                run, packed_at=packed_at, info=package.info, bags=bags
            ),
            readme=provenance.run_readme(
                run,
                packed_at=packed_at,
                files=(one.path for one in objects),
                algorithms=package.algorithms,
            ),
            algorithms=package.algorithms,
        )
        seal = self._seal_run(folder)
        made = replace(made, path=outcome.run_bag)
        announced = announce(outcome.told, made)
        self._accession(journal, folder, made, seal=seal, announced=announced)
        if seal is not None:
            outcome = sealed(outcome, seal.told())
        self._store.finish(journal)
        return outcome

    def _seal_run(self, folder: Path) -> "Seal | None":
        if self._notary is None:
            return None
        return self._notary.seal_run(folder, self._run, self.kept, self._custody_head())

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

    def _subject(self, folder: Path) -> tuple[Artefact, ...]:
        """Keep what the run is of among its objects; often nothing else is there.

        A repository makes nothing of a package without any (archivematica/Issues 419).
        """
        subject = Rendering(
            path=SUBJECT_PATH, data=self._manifest.text, media_type="application/yaml"
        )
        return self._written(folder, (subject,))

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

    # ----------------------------------------------------------------- every bag

    def _place(self, name: str) -> Path:
        return self._store.place(name, self._run.job, self._run.started)

    def _started(self) -> tuple[Rendering, ...]:
        """Tell the plan as it was stamped before the first request, and its tokens."""
        return self._notary.started if self._notary else ()

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
        announced: tuple[LogEntry, ...] = (),
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
        also += announced
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
