"""The seal files of a bag: read without trust, added durably, never replaced.

    seal-0001.json              what the seal says
    seal-0001.json.p7s          the signature over it
    seal-0001.<name>.tsq .tsr   an authority's query and answer over the signature
    seal-0001.<name>.pem        the certificates that came with the answer

A file is written under a name of its own, made durable, then linked to its place, which
must be free. The certificates follow from the answer, and come last.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from pipeline.errors import FixityError, StorageError
from pipeline.fixity import create
from pipeline.packaging import tagfiles
from pipeline.packaging.tree import Folder, Tree
from pipeline.packaging.walk import names, opened, reason
from pipeline.sealing.statement import Subject

NAME = re.compile(r"seal-(\d{4})\.(.+)")
WAITING = ".part"
LARGEST = 1 << 26  # bytes of a seal file; a statement lists the bags of a run
LARGEST_SMALL = 1 << 20  # of any other


class Shelf(Struct, frozen=True, kw_only=True):
    """What a bag holds at its top: its tag manifests and its seal files, as bytes."""

    path: Path
    tagmanifests: tuple[Subject, ...]
    files: Mapping[str, bytes]
    unreadable: Mapping[str, str]  # seal files that are none: the reason, by name

    def numbers(self) -> tuple[int, ...]:
        """List the numbers of the seals, in order."""
        names = (NAME.fullmatch(name) for name in (*self.files, *self.unreadable))
        return tuple(sorted({int(found[1]) for found in names if found}))

    def before(self, number: int) -> tuple[Subject, ...]:
        """List the files of all seals before one, as the subject of that seal."""
        return tuple(
            Subject.of(name, data)
            for name, data in sorted(self.files.items())
            if int(name[5:9]) < number
        )


def name_of(number: int, rest: str) -> str:
    """Name a file of a seal."""
    return f"seal-{number:04}.{rest}"


def read(path: Path) -> Shelf:
    """Read the seal files of a bag. Raises FixityError where there is no folder."""
    try:
        with opened(path) as root:
            return read_in(path, Folder(root), names(root))
    except OSError as error:
        raise FixityError(
            f"{path}: expected a bag with its seals, found {reason(error)}"
        ) from error


def read_in(path: Path, tree: Tree, top: Iterable[str]) -> Shelf:
    """Read the seal files of a bag that is open; ``top`` are the names at its top."""
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    tagmanifests: list[Subject] = []
    for name in top:
        manifest = tagfiles.parse_manifest_name(name)
        is_seal = NAME.fullmatch(name) and not name.endswith(WAITING)
        if not is_seal and not (manifest and manifest.is_tag):
            continue
        try:
            data = _content(tree, name)
        except OSError as error:
            unreadable[name] = reason(error)
            continue
        if is_seal:
            files[name] = data
        else:
            tagmanifests.append(Subject.of(name, data))
    return Shelf(
        path=path,
        tagmanifests=tuple(tagmanifests),
        files=files,
        unreadable={n: why for n, why in unreadable.items() if NAME.fullmatch(n)},
    )


def _content(tree: Tree, name: str) -> bytes:
    most = LARGEST if name.endswith((".json", ".txt")) else LARGEST_SMALL
    data = b"".join(tree.pieces(os.fsencode(name), most=most + 1))
    if len(data) > most:
        raise OSError(0, f"more than {most} bytes")
    return data


def add(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Add files to a bag's seals, each whole and on disk before the next.

    A file that stands with these very bytes is left. Raises FixityError for one with
    others, since nothing here is ever replaced, and StorageError.
    """
    for name, data in files:
        place, waiting = path / name, path / f"{name}{WAITING}"
        try:
            waiting.unlink(missing_ok=True)  # of an attempt that died
            _write(waiting, data)
            try:
                os.link(waiting, place)
            except FileExistsError:
                _require_same(place, data)
            waiting.unlink()
        except OSError as error:
            raise StorageError.at(place, error) from error
    try:
        with opened(path) as folder:
            os.fsync(folder)
    except OSError as error:
        raise StorageError.at(path, error) from error


def _write(path: Path, data: bytes) -> None:
    descriptor, view = create(path), memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
        if os.fstat(descriptor).st_size != len(data):
            raise OSError(0, "fewer bytes are there than were written")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_same(place: Path, data: bytes) -> None:
    if place.read_bytes() != data:
        raise FixityError(
            f"{place} stands already with other bytes, and seals are never replaced; "
            "verify the bag"
        )
