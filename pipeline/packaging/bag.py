"""BagIt bags (RFC 8493, version 1.0): made and read.

``write`` puts the tag files around a payload that already stands, with the digests that
were taken while it was written; ``make`` copies a folder into a new bag, hashing as it
copies. Nothing is ever made in place and nothing is read twice. ``read`` tells a bag at
rest; whether it is right, ``validate`` says.
"""

import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec.structs import replace

from pipeline.disk import DISK, sync_folder, sync_tree
from pipeline.errors import FixityError, StorageError, UsageError
from pipeline.fixity import ALGORITHMS, PIECE, Digester, Sink, write_file
from pipeline.model import Artefact, Bag, Digest, Severity
from pipeline.packaging import tagfiles
from pipeline.packaging.copying import Note, copy_payload, make_folder
from pipeline.packaging.encoding import Recoder, lines
from pipeline.packaging.names import plain, show, twins, unsafe
from pipeline.packaging.tree import Folder, Tree
from pipeline.packaging.walk import (
    Kind,
    chunks,
    file_beneath,
    names,
    opened,
    reason,
    walk,
)

WRITTEN = tuple(name for name, hashed in tagfiles.HASHES.items() if name == hashed)

# ---------------------------------------------------------------------------- writing


def write(
    folder: Path,
    *,
    payload: Sequence[Artefact],
    info: Sequence[tuple[str, str]],
    readme: bytes = b"",
    algorithms: tuple[str, ...] = ALGORITHMS,
) -> Bag:
    """Make a bag of a folder whose payload stands in ``data/``, reading none of it.

    ``info`` keeps its order; Payload-Oxum is computed and comes last. Raises UsageError
    for payload or metadata that no bag can carry, FixityError for payload that is not
    there as told, StorageError for what the file system refuses.
    """
    _require_payload(payload, algorithms)
    _require_present(folder, payload)
    size = sum(one.size for one in payload)
    tags = tagfiles.render_info((*_described(info), _oxum(size, len(payload))))
    make_folder(folder / "data")  # RFC 8493 2.1.2: even where there is no payload
    files = {"bagit.txt": tagfiles.DECLARATION, "bag-info.txt": tags}
    if readme:
        files["README.txt"] = readme
    seals = _tag_files(folder, files, payload, algorithms)
    return Bag(
        id=folder.absolute().name,
        path=folder,
        tagmanifests=seals,
        files=len(payload),
        size=size,
    )


def _tag_files(
    folder: Path,
    files: Mapping[str, bytes],
    payload: Sequence[Artefact],
    algorithms: tuple[str, ...],
) -> tuple[Digest, ...]:
    """Write all tag files, the tag manifests last, and return what identifies them."""
    made = [
        write_file(folder, name, data, algorithms=algorithms)
        for name, data in files.items()
    ]
    made += [
        _manifest(folder, f"manifest-{one}.txt", payload, one, algorithms)
        for one in algorithms
    ]
    seals = [
        _manifest(folder, f"tagmanifest-{one}.txt", made, one, (one,))
        for one in algorithms
    ]
    return tuple(seal.digests[0] for seal in seals)


def _described(info: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    if tagfiles.tagged(tuple(info), "Payload-Oxum"):
        raise UsageError(
            "bag-info.txt: Payload-Oxum is computed from the payload; leave it out"
        )
    return info


def _oxum(size: int, files: int) -> tuple[str, str]:
    return ("Payload-Oxum", f"{size}.{files}")  # RFC 8493 2.2.2


def _manifest(
    folder: Path,
    name: str,
    listed: Iterable[Artefact],
    algorithm: str,
    algorithms: tuple[str, ...],
) -> Artefact:
    """Write one manifest, digesting it for those that will list it."""
    entries = ((os.fsencode(one.path), _digest(one, algorithm).hex) for one in listed)
    sink = Sink(folder, name, algorithms=algorithms)
    try:
        for line in tagfiles.render_manifest(entries):
            sink.write(line)
    finally:
        sink.close()
    return sink.finish()


def _digest(one: Artefact, algorithm: str) -> Digest:
    return next(digest for digest in one.digests if digest.algorithm == algorithm)


# ------------------------------------------------------------- what no bag can carry


def _require_payload(payload: Sequence[Artefact], algorithms: tuple[str, ...]) -> None:
    if not algorithms or not {*algorithms} <= {*WRITTEN}:
        raise UsageError(
            f"a bag with the algorithms {', '.join(algorithms) or '(none)'} cannot be"
            f" made; choose among {', '.join(WRITTEN)}"
        )
    for one in payload:
        if reason := _unbaggable(one, algorithms):
            raise UsageError(f"{one.path!r} cannot stand in a bag: {reason}")
    for path, count in Counter(one.path for one in payload).items():
        if count > 1:
            raise UsageError(f"{path} was given twice; a bag lists a file once")
    if pair := twins(one.path.encode() for one in payload):
        first, second = map(show, pair)
        raise UsageError(
            f"{first} and {second} differ in case or Unicode form alone and are one"
            " name on other systems; rename one"
        )


def _unbaggable(one: Artefact, algorithms: tuple[str, ...]) -> str:
    try:
        path = one.path.encode()
    except UnicodeEncodeError:
        return "its name is not Unicode, and manifests are UTF-8"
    if not path.startswith(b"data/") or path.endswith(b"/"):
        return "payload stands in data/"
    if reason := unsafe(path):
        return reason
    if plain(path) != path or b"\0" in path:
        return "its path is not plain"
    missing = {*algorithms} - {digest.algorithm for digest in one.digests}
    return f"it comes without its {', '.join(sorted(missing))}" if missing else ""


def _require_present(folder: Path, payload: Sequence[Artefact]) -> None:
    for one in payload:
        file = f"{folder}/{one.path}"
        try:
            size = os.lstat(file).st_size
        except OSError as error:
            raise StorageError.at(file, error) from error
        if size != one.size:
            raise FixityError(f"{file}: expected {one.size} bytes, found {size}")


# ----------------------------------------------------------------- a bag of a folder


def silent(_: str) -> None:
    """Hear a note and say nothing."""


def make(
    source: Path,
    new: Path,
    *,
    info: Sequence[tuple[str, str]] = (),
    algorithms: tuple[str, ...] = ALGORITHMS,
    note: Note = silent,
) -> Bag:
    """Copy a folder into a new bag, hashing on the way; the folder is not touched.

    ``note`` hears of what is carried but may be lost on other systems: empty folders,
    which no manifest can list, and unportable names. The bag appears under its name
    only when it is whole and on disk. Raises UsageError for what no bag can carry and
    StorageError for what the file system refuses.
    """
    _require_apart(source, new)
    staged = new.parent / f".{new.name[:40]}.{secrets.token_hex(4)}.part"
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, staged, ignore_errors=True)
        make_folder(staged / "data")
        payload = copy_payload(source, staged / "data", algorithms, note)
        bag = write(staged, payload=payload, info=info, algorithms=algorithms)
        publish(staged, new)
        undo.pop_all()
    return replace(bag, id=new.absolute().name, path=new)


def _require_apart(source: Path, new: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"{source}: expected a folder to make a bag of; name one")
    if os.path.lexists(new):
        raise UsageError(f"{new} stands already; name a bag that does not exist yet")
    if not new.parent.is_dir():
        raise UsageError(f"{new.parent} is no folder; make it first")
    if new.parent.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{new} would stand inside {source}; put it elsewhere")


def publish(staged: Path, new: Path) -> None:
    """Give a finished folder its name, once all of it is on disk; never replace.

    Raises StorageError where the name is taken or the file system refuses.
    """
    sync_tree(staged)
    try:
        DISK.rename(staged, new)
    except OSError as error:
        raise StorageError.at(new, error) from error
    sync_folder(new.parent)


# ---------------------------------------------------------------------------- reading


def read(path: Path) -> Bag:
    """Tell a bag at rest: its identity, and the size its metadata or its files give.

    A tag manifest's digest is by its own algorithm. Raises FixityError where there is
    no bag, naming it.
    """
    with _bag(path) as root:
        _declared(path, Folder(root))
        manifests = (tagfiles.parse_manifest_name(name) for name in names(root))
        seals = tuple(
            _digest_tag_file(root, one)
            for one in manifests
            if one and one.is_tag and one.algorithm in tagfiles.HASHES
        )
        files, size = _extent(root, _info(path, Folder(root)))
    return Bag(
        id=path.absolute().name, path=path, tagmanifests=seals, files=files, size=size
    )


def info(path: Path) -> tagfiles.Tags:
    """Return the metadata of a bag, in order. Raises FixityError."""
    with _bag(path) as root:
        return _info(path, Folder(root))


def info_in(path: Path, tree: Tree) -> tagfiles.Tags:
    """Return the metadata of a bag that is open, in order. Raises FixityError."""
    try:
        return _info(path, tree)
    except OSError as error:
        raise _unreadable(path, error) from error


def payload_digests(path: Path, algorithm: str) -> Mapping[str, Digest]:
    """Return what one payload manifest lists, by path. Raises FixityError."""
    name = f"manifest-{algorithm}.txt"
    with _bag(path) as root:
        codec = _declared(path, Folder(root)).codec
        with file_beneath(root, name.encode()) as descriptor:
            listed = lines(Recoder(codec).recode(chunks(descriptor)))
            return dict(_entries(path, name, algorithm, listed))


def _entries(
    path: Path, name: str, algorithm: str, listed: Iterable[bytes]
) -> Iterator[tuple[str, Digest]]:
    for line in listed:
        entry = tagfiles.parse_entry(line)
        if entry is None:
            raise FixityError(
                f"{path}: {name} has a line that is no entry: {show(line)!r};"
                " verify the bag"
            )
        _, digest, encoded = entry
        file = os.fsdecode(plain(tagfiles.decode_path(encoded)))
        yield file, Digest(algorithm, digest.decode().lower())


@contextmanager
def _bag(path: Path) -> Iterator[int]:
    try:
        with opened(path) as root:
            yield root
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> FixityError:
    return FixityError(
        f"{path}: expected a bag with its tag files, found {reason(error)}"
        f" at {show(os.fsencode(error.filename or path))}; verify it"
    )


def _declared(path: Path, tree: Tree) -> tagfiles.Declaration:
    data = b"".join(tree.pieces(b"bagit.txt", most=PIECE))
    declared, problems = tagfiles.parse_declaration(data)
    if any(one.severity is Severity.ERROR for one in problems):
        raise FixityError(f"{path}: bagit.txt: {problems[0].message}; verify the bag")
    return declared


def _info(path: Path, tree: Tree) -> tagfiles.Tags:
    declared = _declared(path, tree)
    try:
        name = declared.info_file.encode()
        pieces = tree.pieces(name, most=tagfiles.LARGEST_INFO)
        listed = lines(Recoder(declared.codec).recode(pieces))
        return tagfiles.parse_info(listed, strict=declared.is_strict)[0]
    except FileNotFoundError:  # RFC 8493 2.2.2: it is optional
        return ()


def _digest_tag_file(root: int, one: tagfiles.ManifestName) -> Digest:
    digester = Digester((tagfiles.HASHES[one.algorithm],))
    with file_beneath(root, os.fsencode(one.file)) as descriptor:
        for piece in chunks(descriptor):
            digester.update(piece)
    return Digest(one.algorithm, digester.digests()[0].hex)


def _extent(root: int, tags: tagfiles.Tags) -> tuple[int, int]:
    for value in tagfiles.tagged(tags, "Payload-Oxum"):
        if oxum := tagfiles.parse_oxum(value):
            return oxum[1], oxum[0]
    sizes = [
        one.size
        for one in walk(root)
        if one.kind is Kind.FILE and one.path.startswith(b"data/")
    ]
    return len(sizes), sum(sizes)
