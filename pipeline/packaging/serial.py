"""Serialised bags (RFC 8493 4): a bag as one file, written and looked into.

Written: the same bag gives the same bytes on any day and machine, streaming, digested
on the way. Looked into without unpacking: the whole file is judged first, then read
once more for the digests its manifests need, and the findings are those that
``validate`` has for the folder. What no reader could be sure of is rejected whole.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from pipeline.errors import StorageError, UsageError
from pipeline.fixity import Sink
from pipeline.model import Artefact, Level
from pipeline.packaging import tarball, zipball
from pipeline.packaging.agreement import Progress
from pipeline.packaging.contents import PAYLOAD
from pipeline.packaging.members import (
    Damaged,
    Judge,
    Limits,
    Member,
    Pieces,
    RejectedError,
)
from pipeline.packaging.names import show
from pipeline.packaging.parcel import Form, Parcel, folder_members, looked_into
from pipeline.packaging.profile import Profile
from pipeline.packaging.rules import Verdicts
from pipeline.packaging.validate import (
    Report,
    check,
    concluded,
    find_bags,
    is_ours,
    validate,
)
from pipeline.packaging.walk import Kind, closed, opened

MEDIA_TYPES = {
    Form.TAR: "application/x-tar",
    Form.TAR_GZ: "application/gzip",
    Form.ZIP: "application/zip",
}

# ---------------------------------------------------------------------------- writing


class _Writer(Protocol):
    def folder(self, path: bytes) -> None: ...

    def file(self, path: bytes, size: int, pieces: Callable[[], Pieces]) -> None: ...

    def finish(self) -> None: ...


_WRITERS: dict[Form, Callable[[Callable[[bytes], object]], _Writer]] = {
    Form.TAR: tarball.Tar,
    Form.TAR_GZ: tarball.GzipTar,
    Form.ZIP: zipball.Zip,
}


def write(bag: Path, out: Path, form: Form) -> Artefact:
    """Write a bag as one new file, and tell what it holds; the bag is not touched.

    The file appears under its name only when it is whole and on disk. Tar and what is
    stored in a zip are the same bytes everywhere, what is deflated wherever zlib is the
    same. Raises UsageError for a bag that no such file can carry or a name that is
    taken, and StorageError for what the file system refuses.
    """
    _require_apart(bag, out)
    part = f".{out.name[:40]}.{secrets.token_hex(4)}.part"
    try:
        sink = Sink(out.parent, part, media_type=MEDIA_TYPES[form])
        try:
            with opened(bag) as root:
                _write_members(bag, root, _WRITERS[form](sink.write))
            made = sink.finish()
            _publish(out.parent / part, out)
        finally:
            sink.close()
            (out.parent / part).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError.at(error.filename or out, error) from error
    return Artefact(
        path=out.name, size=made.size, digests=made.digests, media_type=made.media_type
    )


def _require_apart(bag: Path, out: Path) -> None:
    if not bag.is_dir():
        raise UsageError(f"{bag}: expected a bag to serialise; name a bag's folder")
    if os.path.lexists(out):
        raise UsageError(f"{out} stands already; name a file that does not exist yet")
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is no folder; make it first")
    if out.parent.resolve().is_relative_to(bag.resolve()):
        raise UsageError(f"{out} would stand inside {bag}; put it elsewhere")


def _write_members(bag: Path, root: int, writer: _Writer) -> None:
    for one in carried(bag, root):
        if one.entry.kind is Kind.FOLDER:
            writer.folder(one.entry.path)
            continue
        try:
            writer.file(one.entry.path, one.entry.size, _exactly(one))
        except Damaged as error:
            message = f"{show(one.entry.path)}: {error.strerror}; retry"
            raise StorageError(message) from error
    writer.finish()


def carried(bag: Path, root: int) -> list[Member]:
    """List what is to be written, sorted, all of it what we would take ourselves."""
    judge = Judge(Limits(), packed=0, twins=False)
    found = list(folder_members(root, os.fsencode(bag.absolute().name)))
    for one in found:
        judge.take(one.entry)
    if judge.findings:
        first = judge.findings[0]
        more = f" and {len(judge.findings) - 1} more" if judge.findings[1:] else ""
        raise UsageError(
            f"{bag} cannot be serialised: {first.path}: {first.message}{more};"
            " rename or take out what no archive file should hold"
        )
    return found


def _exactly(one: Member) -> Callable[[], Pieces]:
    """Read a file that must be as long as its head will say."""

    def pieces() -> Pieces:
        size = 0
        for piece in one.pieces():
            size += len(piece)
            if size > one.entry.size:
                break
            yield piece
        if size != one.entry.size:
            raise Damaged("it changed while it was read")

    return pieces


def _publish(part: Path, out: Path) -> None:
    """Give a finished file its name, once it is on disk; never replace another."""
    _sync(part, os.O_NOFOLLOW)
    _link(part, out)
    _sync(out.parent, os.O_DIRECTORY)


def _sync(path: Path, flag: int) -> None:
    with closed(os.open(path, os.O_RDONLY | os.O_CLOEXEC | flag)) as descriptor:
        os.fsync(descriptor)


def _link(part: Path, out: Path) -> None:
    try:
        os.link(part, out, follow_symlinks=False)
    except PermissionError:  # a file system without hard links
        if os.path.lexists(out):
            raise UsageError(f"{out} stands already; nothing was replaced") from None
        part.rename(out)
    except FileExistsError as error:
        raise UsageError(f"{out} stands already; nothing was replaced") from error


# ------------------------------------------------------------------------- validating


def _silent(_done: int, _total: int) -> None:
    pass


def validate_serial(
    path: Path,
    *,
    level: Level = Level.FULL,
    profile: Profile | None = None,
    strict_profile: bool = False,
    limit: int = 10_000,
    progress: Progress = _silent,
    limits: Limits | None = None,
) -> Report:
    """Check a serialised bag without unpacking it, as ``validate`` checks a folder.

    A file that is rejected whole is a report with the reasons alone. Raises
    StorageError and UsageError where the path cannot be read at all.
    """
    verdicts = Verdicts(limit=limit, strict=strict_profile or is_ours(profile))
    report = Report(path=path, level=level)
    try:
        with looked_into(path, limits=limits) as parcel:
            form = MEDIA_TYPES[parcel.contents.form] if parcel.contents.form else ""
            report = check(
                parcel, report, verdicts, progress, profile=profile, serialization=form
            )
            _say_damaged(parcel, verdicts)
    except RejectedError as error:
        return replace(report, findings=error.findings)
    return concluded(report, verdicts)


def judged(
    path: Path, *, level: Level = Level.FULL, profile: Profile | None = None
) -> Iterator[Report]:
    """Check the bag in a file, the bag in a folder, or every bag below a folder.

    Raises StorageError and UsageError where the path cannot be read at all.
    """
    if not path.is_dir():
        yield validate_serial(path, level=level, profile=profile)
        return
    for bag in find_bags(path):
        yield validate(bag, level=level, profile=profile)


def _say_damaged(parcel: Parcel, verdicts: Verdicts) -> None:
    """Tell what is damaged though no manifest lists it."""
    for path, why in parcel.damaged:
        is_payload = path.startswith(PAYLOAD)
        code = "digest-mismatch" if is_payload else "tag-digest-mismatch"
        verdicts.add(code, show(path), f"no manifest lists it, and {why}")
