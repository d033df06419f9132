"""A bag handed out: written in some form, read back, and told in the custody log.

What was written is verified as a stranger would before anyone is told that it is there;
what is wrong is taken away again. The bag itself is not touched. A ``Writer`` knows one
form: here one file, elsewhere in this chapter a kit, a certificate.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.errors import FixityError, UsageError
from pipeline.holdings.cards import Holding, Sort
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.recovery import SOFTWARE
from pipeline.holdings.store import Store
from pipeline.holdings.verify import against_logs
from pipeline.model import Digest, Finding, Severity
from pipeline.packaging import serial
from pipeline.packaging.parcel import Form
from pipeline.packaging.validate import Report


class Exported(Struct, frozen=True, kw_only=True):
    """What was handed out of a bag, every digest in it checked."""

    bag: Path
    out: Path  # a file, or a folder
    form: str
    size: int  # bytes
    digests: tuple[Digest, ...] = ()  # of a file
    report: Report | None = None  # of the bag in it, where there is one
    said: tuple[str, ...] = ()  # by whoever checked it
    line: int | None = None  # of the custody log, where the bag is the archive's
    notes: tuple[str, ...] = ()  # what else was mended on the way


Writer = Callable[[Path, Path], Exported]


def in_one_file(form: Form) -> Writer:
    """Choose the writer of a serialised bag."""
    return partial(export, form=form)


def export(bag: Path, out: Path, form: Form) -> Exported:
    """Write a bag as one new file, and check every digest in that file.

    Raises UsageError for a bag that no such file can carry or a name that is taken,
    FixityError for a bag that is wrong, StorageError; then there is no file.
    """
    made = serial.write(bag, out, form)
    report = serial.validate_serial(out)
    try:
        require_sound(bag, report.findings)
    except FixityError:
        out.unlink()
        raise
    return Exported(
        bag=bag,
        out=out,
        form=form.value,
        size=made.size,
        digests=made.digests,
        report=report,
    )


def require_sound(bag: Path, findings: Iterable[Finding]) -> None:
    """Refuse to hand out a bag that is wrong. Raises FixityError."""
    errors = [one for one in findings if one.severity is Severity.ERROR]
    if errors:
        place = f"{errors[0].path}: " if errors[0].path else ""
        raise FixityError(
            f"{bag}: not exported, as it is no valid bag: {place}{errors[0].message} "
            f"(errors: {len(errors)}); verify it"
        )


def export_holding(
    holding: Holding, out: Path, write: Writer, *, store: Store, clock: Clock
) -> Exported:
    """Export a bag of the archive, under its lock, and log that it was, or failed.

    Raises LockedError, and whatever ``write`` raises.
    """
    if out.resolve().is_relative_to(store.root.resolve()):
        raise UsageError(f"{out} would stand in the archive itself; put it elsewhere")
    with store.lock(f"export {holding.bag.id}"):
        notes = store.recover()
        entry = Entry(
            act=Act.EXPORT,
            at=clock.now(),
            bag=holding.bag.id,
            job=holding.job,
            run=holding.run,
            path=holding.bag.path.relative_to(store.root).as_posix(),
            tagmanifests=holding.bag.tagmanifests,
            outcome="success",
            software=SOFTWARE,
        )
        try:
            _require_kept(holding.bag.path)
            done = write(holding.bag.path, out)
        except FixityError as error:
            store.record(replace(entry, outcome="failure", detail=str(error)))
            raise
        told = ", ".join((done.form, *map(str, done.digests[:1])))
        line = store.record(replace(entry, detail=f"{out.name} ({told})"))
    return replace(done, line=line, notes=(*notes, *store.notes))


def _require_kept(bag: Path) -> None:
    """Refuse a bag that is not the one the log says was kept, however valid it is."""
    for _, one in against_logs((bag,)):
        raise FixityError(f"{bag}: not exported: {one.message} [{one.code}]")


def holding_of(catalogue: Catalogue, name: str) -> Holding | None:
    """Find a bag of the archive by its folder or its name.

    Of a source it is the last bag, of a run the run's own; a folder that is none of
    its bags is nothing. Raises UsageError for a name that stands for no bag.
    """
    folder = Path(name)
    if folder.is_dir():
        place = folder.resolve()
        here = (one for one in catalogue.bags() if one.bag.id == place.name)
        return next((one for one in here if one.bag.path.resolve() == place), None)
    found = catalogue.find(name)
    is_run = found.sort is Sort.RUN
    bags = [one for one in found.bags if not is_run or one.bag.id == found.id]
    if not bags:
        raise UsageError(f"{name}: it has no bag of its own; name one from `show`")
    return bags[-1]


def exported_json(exported: Exported) -> dict[str, object]:
    """Tell an export as ``export --json`` does."""
    return {
        "bag": str(exported.bag.absolute()),
        "file": str(exported.out.absolute()),
        "form": exported.form,
        "bytes": exported.size,
        "digests": {one.algorithm: one.hex for one in exported.digests},
        "verified": exported.report is None or exported.report.ok,
        "said": list(exported.said),
        "log_line": exported.line,
    }
