"""BagIt bags (RFC 8493, version 1.0): made and read.

``write`` puts the tag files around a payload that already stands, with the digests that
were taken while it was written; ``make`` copies a folder into a new bag, hashing as it
copies. Nothing is ever made in place and nothing is read twice. ``read`` tells a bag at
rest; whether it is right, ``validate`` says.
"""

import ctypes
import errno
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path

from pipeline.errors import FixityError, StorageError, UsageError
from pipeline.fixity import ALGORITHMS, PIECE, Digester, Sink, write_file
from pipeline.model import Artefact, Bag, Digest, Severity
from pipeline.packaging import tagfiles
from pipeline.packaging.names import folded, folders, plain, show, unportable, unsafe
from pipeline.packaging.walk import (
    Entry,
    Kind,
    chunks,
    closed,
    file_beneath,
    folder_beneath,
    names,
    open_file,
    opened,
    reason,
    walk,
)

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
    files = {"bagit.txt": tagfiles.DECLARATION, "bag-info.txt": tags}
    if readme:
        files["README.txt"] = readme
    _make_folder(folder / "data")  # RFC 8493 2.1.2: even where there is no payload
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
    return Bag(
        id=folder.absolute().name,
        path=folder,
        tagmanifests=tuple(seal.digests[0] for seal in seals),
        files=len(payload),
        size=size,
    )


def _described(info: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    if tagfiles.tagged(tuple(info), "Payload-Oxum"):
        raise UsageError(
            "bag-info.txt: Payload-Oxum is computed from the payload; leave it out"
        )
    return info


def _oxum(size: int, files: int) -> tuple[str, str]:
    return ("Payload-Oxum", f"{size}.{files}")  # RFC 8493 2.2.2


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.at(path, error) from error


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
        for lines in _gathered(tagfiles.render_manifest(entries)):
            sink.write(lines)
    finally:
        sink.close()
    return sink.finish()


def _gathered(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines into pieces worth a system call."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _digest(one: Artefact, algorithm: str) -> Digest:
    return next(digest for digest in one.digests if digest.algorithm == algorithm)


# ------------------------------------------------------------- what no bag can carry


def _require_payload(payload: Sequence[Artefact], algorithms: tuple[str, ...]) -> None:
    if not algorithms or not {*algorithms} <= {*tagfiles.HASHES}:
        raise UsageError(
            f"a bag with the algorithms {', '.join(algorithms) or '(none)'} cannot be"
            f" made; choose among {', '.join(tagfiles.HASHES)}"
        )
    for one in payload:
        if reason := _unbaggable(one, algorithms):
            raise UsageError(f"{one.path!r} cannot stand in a bag: {reason}")
    _require_no_twins([one.path.encode() for one in payload])


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


def _require_no_twins(paths: Sequence[bytes]) -> None:
    """Refuse names that are one name on another system (RFC 8493 6.1.1.3)."""
    twice = next((path for path, count in Counter(paths).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"{show(twice)} was given twice; a bag lists it once")
    seen: dict[bytes, bytes] = {}
    above = {folder for path in paths for folder in folders(path)}
    for path in {*paths, *above}:
        other = seen.setdefault(folded(path), path)
        if other != path:
            raise UsageError(
                f"{show(other)} and {show(path)} differ in case or Unicode form alone"
                " and are one name on other systems; rename one"
            )


def _require_present(folder: Path, payload: Sequence[Artefact]) -> None:
    for one in payload:
        file = folder / one.path
        try:
            size = file.lstat().st_size
        except OSError as error:
            raise StorageError.at(file, error) from error
        if size != one.size:
            raise FixityError(f"{file}: expected {one.size} bytes, found {size}")


# ----------------------------------------------------------------- a bag of a folder


def _silent(_: str) -> None:
    pass


def make(
    source: Path,
    new: Path,
    *,
    info: Sequence[tuple[str, str]] = (),
    algorithms: tuple[str, ...] = ALGORITHMS,
    note: Callable[[str], None] = _silent,
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
        _make_folder(staged / "data")
        payload = _copied(source, staged, algorithms, note)
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


def _copied(
    source: Path, staged: Path, algorithms: tuple[str, ...], note: Callable[[str], None]
) -> list[Artefact]:
    try:
        with opened(source) as root, opened(staged / "data") as target:
            entries = list(walk(root))
            _require_carried(source, entries)
            _tell(entries, note)
            for one in entries:
                if one.kind is Kind.FOLDER:
                    _make_folder(staged / "data" / os.fsdecode(one.path))
            return list(_copies(root, target, entries, algorithms))
    except OSError as error:
        raise StorageError.at(source, error) from error


def _copies(
    root: int, target: int, entries: Iterable[Entry], algorithms: tuple[str, ...]
) -> Iterator[Artefact]:
    files = (one for one in entries if one.kind is Kind.FILE)
    for parent, inside in groupby(files, lambda one: one.path.rpartition(b"/")[0]):
        with folder_beneath(root, parent) as here, folder_beneath(target, parent) as to:
            for one in inside:
                yield _copy(here, to, one, algorithms)


def _copy(here: int, to: int, entry: Entry, algorithms: tuple[str, ...]) -> Artefact:
    """Copy one file and digest it in the same read; its date goes with it."""
    name = entry.path.rpartition(b"/")[2]
    digester = Digester(algorithms)
    size = 0
    with closed(open_file(here, name)) as old, closed(_create(to, name)) as new:
        for piece in chunks(old):
            digester.update(piece)
            _write(new, piece, entry)
            size += len(piece)
        status = os.fstat(old)
        if status.st_size != size:
            raise StorageError(f"{show(entry.path)} changed while it was copied; retry")
        os.utime(new, ns=(status.st_mtime_ns, status.st_mtime_ns))
    path = "data/" + os.fsdecode(entry.path)
    return Artefact(path=path, size=size, digests=digester.digests())


def _create(folder: int, name: bytes) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o644, dir_fd=folder)


def _write(descriptor: int, data: bytes, entry: Entry) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise StorageError.at(f"the copy of {show(entry.path)}", error) from error


def _require_carried(source: Path, entries: Sequence[Entry]) -> None:
    """Refuse, all at once, what a bag cannot carry."""
    odd = [
        f"{show(one.path)} ({one.kind}{': ' + one.detail if one.detail else ''})"
        for one in entries
        if one.kind not in (Kind.FILE, Kind.FOLDER)
    ]
    odd += [f"{show(one.path)} (not UTF-8)" for one in entries if not _utf8(one.path)]
    if odd:
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""  # noqa: PLR2004
        raise UsageError(
            f"{source}: a bag carries files and folders with UTF-8 names; found"
            f" {', '.join(odd[:5])}{more}; take them out or replace them by files"
        )
    _require_no_twins([b"data/" + one.path for one in entries])


def _utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _tell(entries: Sequence[Entry], note: Callable[[str], None]) -> None:
    for one in sorted(entries, key=lambda entry: entry.path):
        if one.is_empty:  # RFC 8493 2.1.3: manifests list files only
            note(f"{show(one.path)}: an empty folder; no manifest can vouch for it")
        if reason := unportable(b"data/" + one.path):
            note(f"{show(one.path)}: may not survive elsewhere: {reason}")


def publish(staged: Path, new: Path) -> None:
    """Give a finished folder its name, once all of it is on disk; never replace.

    Raises StorageError where the name is taken or the file system refuses.
    """
    try:
        with opened(staged) as folder:
            _sync(folder)
        _rename(staged, new)
        with opened(new.parent) as folder:
            os.fsync(folder)
    except OSError as error:
        raise StorageError.at(new, error) from error


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _sync(folder: int) -> None:
    """Write out one file system, or all where the system cannot tell them apart."""
    syncfs = getattr(_libc(), "syncfs", None)
    if syncfs is None or syncfs(folder) != 0:
        os.sync()


_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def _rename(old: Path, new: Path) -> None:
    rename = getattr(_libc(), "renameat2", None)
    pair = (_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new))
    if rename is not None and rename(*pair, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if rename is not None and code not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(code, os.strerror(code), os.fspath(new))
    if os.path.lexists(new):  # an older kernel or file system
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(new))
    old.rename(new)


# ---------------------------------------------------------------------------- reading


def read(path: Path) -> Bag:
    """Tell a bag at rest: its identity, and the size its metadata or its files give.

    A tag manifest's digest is by its own algorithm. Raises FixityError where there is
    no bag, naming it.
    """
    with _bag(path) as root:
        _declared(path, root)
        manifests = (tagfiles.parse_manifest_name(name) for name in names(root))
        seals = tuple(
            _digest_tag_file(root, one)
            for one in manifests
            if one and one.is_tag and one.algorithm in tagfiles.HASHES
        )
        files, size = _extent(root, _info(path, root))
    return Bag(
        id=path.absolute().name, path=path, tagmanifests=seals, files=files, size=size
    )


def info(path: Path) -> tagfiles.Tags:
    """Return the metadata of a bag, in order. Raises FixityError."""
    with _bag(path) as root:
        return _info(path, root)


def payload_digests(path: Path, algorithm: str) -> Mapping[str, Digest]:
    """Return what one payload manifest lists, by path. Raises FixityError."""
    name = f"manifest-{algorithm}.txt"
    with _bag(path) as root:
        codec = _declared(path, root).codec
        with file_beneath(root, name.encode()) as descriptor:
            recoded = tagfiles.Recoder(codec).recode(chunks(descriptor))
            return dict(_entries(path, name, algorithm, tagfiles.lines(recoded)))


def _entries(
    path: Path, name: str, algorithm: str, lines: Iterable[bytes]
) -> Iterator[tuple[str, Digest]]:
    for line in lines:
        entry = tagfiles.parse_entry(line)
        if entry is None:
            raise FixityError(
                f"{path}: {name} has a line that is no entry: {show(line)!r};"
                " verify the bag"
            )
        _, digest, listed = entry
        file = os.fsdecode(plain(tagfiles.decode_path(listed)))
        yield file, Digest(algorithm, digest.decode().lower())


@contextmanager
def _bag(path: Path) -> Iterator[int]:
    try:
        with opened(path) as root:
            yield root
    except OSError as error:
        raise FixityError(
            f"{path}: expected a bag with its tag files, found {reason(error)}"
            f" at {show(os.fsencode(error.filename or path))}; verify it"
        ) from error


def _declared(path: Path, root: int) -> tagfiles.Declaration:
    with file_beneath(root, b"bagit.txt") as descriptor:
        declared, problems = tagfiles.parse_declaration(os.read(descriptor, PIECE))
    if any(one.severity is Severity.ERROR for one in problems):
        raise FixityError(f"{path}: bagit.txt: {problems[0].message}; verify the bag")
    return declared


def _info(path: Path, root: int) -> tagfiles.Tags:
    declared = _declared(path, root)
    try:
        with file_beneath(root, declared.info_file.encode()) as descriptor:
            pieces = chunks(descriptor, most=tagfiles.LARGEST_INFO)
            lines = tagfiles.lines(tagfiles.Recoder(declared.codec).recode(pieces))
            return tagfiles.parse_info(lines, strict=declared.is_strict)[0]
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
