"""A page cache that forgets: every act on the disk recorded, then lost as one likes.

``Recorder`` notes each act that changes files below a folder, in the order in which it
happened. ``Disk.after`` replays a beginning of that record, and ``state`` tells what a
machine could find after it: everything, where a process was killed, or, after a power
cut, what was synced and any part of what was not. Names and bytes are lost apart; a
rename keeps both its ends or neither until one of the two folders is synced.
"""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from pipeline.disk import Disk as RealDisk

NOT_MODELLED = ("lock", "catalogue.sqlite")  # neither is evidence; both are rebuilt


@dataclass(frozen=True)
class Act:
    """One act on the disk."""

    kind: str  # create write truncate sync mkdir remove rename link, or ack
    path: str
    other: str = ""  # the new name
    at: int = 0
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


def opened(descriptor: int) -> str:
    """Tell what a descriptor is open on."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


Refuse = Callable[[Act], None]


class Recorder:
    """Notes every act below ``root``; ``before`` may refuse it, or end the process."""

    def __init__(self, root: Path, before: Refuse | None = None) -> None:
        self.root = root.resolve()
        self.acts: list[Act] = []
        self.before = before
        self.fault: Callable[[Act], str] = lambda _act: ""
        self._lock = threading.RLock()

    def note(self, kind: str, path: str, **more: object) -> None:
        self.acts.append(Act(kind, path, **more))

    def inside(self, path: object, dir_fd: int | None = None) -> str | None:
        """Tell a path from the root down; None for what is elsewhere."""
        if isinstance(path, int):
            found = opened(path)
        else:
            found = os.fsdecode(path)
            if dir_fd is not None:
                found = f"{opened(dir_fd)}/{found}"
        root = str(self.root)
        if not found.startswith(f"{root}/") and found != root:
            return None
        inner = found[len(root) + 1 :]
        name = inner.removeprefix(".muniment/")
        return None if name.startswith(NOT_MODELLED) else inner

    @contextmanager
    def recording(self) -> Iterator["Recorder"]:
        with (
            mock.patch.multiple(
                os,
                open=self._open(os.open),
                write=self._write(os.write),
                fsync=self._simple("sync", os.fsync),
                ftruncate=self._truncate(os.ftruncate),
                mkdir=self._simple("mkdir", os.mkdir),
                unlink=self._simple("remove", os.unlink),
                rmdir=self._simple("remove", os.rmdir),
                link=self._link(os.link),
            ),
            mock.patch.object(RealDisk, "rename", self._rename(RealDisk.rename)),
        ):
            yield self

    def _done(self, act: Act, do: Callable[[], object]) -> object:
        with self._lock:
            self._ask(act)
            result = do()
            self.acts.append(act)
            return result

    def _ask(self, act: Act) -> str:
        """Let whoever sweeps end the process here, refuse the act, or spoil it."""
        if self.before is not None:
            self.before(act)
        told = self.fault(act)
        if told in {"ENOSPC", "EIO"}:
            code = getattr(errno, told)
            raise OSError(code, os.strerror(code), act.path)
        return told

    def _simple(self, kind: str, real: Callable) -> Callable:
        def wrapped(path: object, *rest: object, **more: object) -> object:
            inner = self.inside(path, more.get("dir_fd"))
            if inner is None:
                return real(path, *rest, **more)
            return self._done(Act(kind, inner), lambda: real(path, *rest, **more))

        return wrapped

    def _open(self, real: Callable) -> Callable:
        def wrapped(path: object, flags: int, *rest: object, **more: object) -> int:
            inner = self.inside(path, more.get("dir_fd"))
            is_new = flags & os.O_CREAT and inner is not None
            if not is_new or os.path.lexists(self.root / (inner or "")):
                return real(path, flags, *rest, **more)
            return self._done(
                Act("create", inner), lambda: real(path, flags, *rest, **more)
            )

        return wrapped

    def _write(self, real: Callable) -> Callable:
        def wrapped(descriptor: int, data: bytes) -> int:
            inner = self.inside(descriptor)
            if inner is None:
                return real(descriptor, data)
            with self._lock:
                told = self._ask(Act("write", inner, data=bytes(data)))
                if told == "lie":
                    real(descriptor, data[: len(data) // 2])
                    return len(data)
                if told == "wrong":
                    data = bytes([data[0] ^ 1]) + data[1:]
                taken = real(
                    descriptor, data[: len(data) // 2 or 1] if told == "short" else data
                )
                at = os.lseek(descriptor, 0, os.SEEK_CUR) - taken
                self.note("write", inner, at=at, data=bytes(data[:taken]))
                return taken

        return wrapped

    def _truncate(self, real: Callable) -> Callable:
        def wrapped(descriptor: int, size: int) -> None:
            inner = self.inside(descriptor)
            if inner is None:
                real(descriptor, size)
            else:
                act = Act("truncate", inner, at=size)
                self._done(act, lambda: real(descriptor, size))

        return wrapped

    def _link(self, real: Callable) -> Callable:
        def wrapped(old: object, new: object) -> None:
            inner = self.inside(old)
            if inner is None:
                real(old, new)
            else:
                act = Act("link", inner, other=self.inside(new) or "")
                self._done(act, lambda: real(old, new))

        return wrapped

    def _rename(self, real: Callable) -> Callable:
        recorder = self

        def wrapped(self: RealDisk, old: Path, new: Path) -> None:
            inner = recorder.inside(old)
            if inner is None:
                real(self, old, new)
            else:
                act = Act("rename", inner, other=recorder.inside(new) or "")
                recorder._done(act, lambda: real(self, old, new))

        return wrapped


# ------------------------------------------------------------------------- the model


@dataclass(eq=False)
class File:
    """A file: what is on disk, and what was written since."""

    kept: bytes = b""
    since: list[Act] = field(default_factory=list)

    def whole(self) -> bytes:
        return replayed(self.kept, self.since)


@dataclass(eq=False)
class Change:
    """A name that came or went and is not sure yet. A rename is one, in two folders."""

    name: str
    node: "File | Folder | None"  # None: the name went
    moved: object = None  # what the two ends of a rename share


@dataclass(eq=False)
class Folder:
    """A folder: the names on disk, and what became of them since."""

    kept: dict[str, "File | Folder"] = field(default_factory=dict)
    since: list[Change] = field(default_factory=list)

    def whole(self) -> dict[str, "File | Folder"]:
        return named(self.kept, self.since)


def replayed(kept: bytes, acts: Sequence[Act]) -> bytes:
    data = bytearray(kept)
    for act in acts:
        if act.kind == "truncate":
            del data[act.at :]
        else:
            data += bytes(max(0, act.at - len(data)))
            data[act.at : act.at + len(act.data)] = act.data
    return bytes(data)


def named(
    kept: dict[str, File | Folder], changes: Sequence[Change]
) -> dict[str, File | Folder]:
    found = dict(kept)
    for one in changes:
        if one.node is None:
            found.pop(one.name, None)
        else:
            found[one.name] = one.node
    return found


class Cut:
    """What a power cut leaves of what was not synced."""

    def names(self, changes: list[Change]) -> list[Change]:
        return []

    def data(self, file: File) -> bytes:
        return file.kept


class Killed(Cut):
    """A process that was killed: the cache lives on."""

    def names(self, changes: list[Change]) -> list[Change]:
        return changes

    def data(self, file: File) -> bytes:
        return file.whole()


class NamesAlone(Cut):
    """Every name is there, and no byte: files are as long as they were, of zeros."""

    def names(self, changes: list[Change]) -> list[Change]:
        return changes

    def data(self, file: File) -> bytes:
        return file.kept + bytes(max(0, len(file.whole()) - len(file.kept)))


class BytesAlone(Cut):
    """Every byte is there, and no name that was not synced."""

    def data(self, file: File) -> bytes:
        return file.whole()


class NothingGoes(Cut):
    """What came is there, and nothing is gone: a moved folder stands in two places."""

    def names(self, changes: list[Change]) -> list[Change]:
        return [one for one in changes if one.node is not None]

    def data(self, file: File) -> bytes:
        return file.whole()


class AnyOf(Cut):
    """Some of it, in any order: each change by the toss of a coin."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._moves: dict[object, bool] = {}

    def names(self, changes: list[Change]) -> list[Change]:
        return [one for one in changes if self._tossed(one)]

    def _tossed(self, change: Change) -> bool:
        toss = self._random.random() < 0.5
        if change.moved is None:
            return toss
        return self._moves.setdefault(change.moved, toss)

    def data(self, file: File) -> bytes:
        choice = self._random.randrange(4)
        some = [act for act in file.since if self._random.random() < 0.5]
        if choice == 0 and some:
            last = some[-1]
            torn = last.data[: len(last.data) // 2]
            some[-1] = Act(last.kind, last.path, at=last.at, data=torn)
        return file.whole() if choice == 1 else replayed(file.kept, some)


class Model:
    """A disk with a cache, as acts make it."""

    def __init__(self, base: Path | None = None) -> None:
        self.root = read_folder(base) if base else Folder()

    def find(self, path: str) -> File | Folder:
        node: File | Folder = self.root
        for part in path.split("/") if path else ():
            assert isinstance(node, Folder)
            node = node.whole()[part]
        return node

    def parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self.find(above)
        assert isinstance(folder, Folder)
        return folder, name

    def do(self, act: Act) -> None:
        match act.kind:
            case "create" | "mkdir":
                folder, name = self.parent(act.path)
                new = File() if act.kind == "create" else Folder()
                folder.since.append(Change(name, new))
            case "write" | "truncate":
                file = self.find(act.path)
                assert isinstance(file, File)
                file.since.append(act)
            case "remove":
                folder, name = self.parent(act.path)
                folder.since.append(Change(name, None))
            case "rename":
                node, move = self.find(act.path), object()
                folder, name = self.parent(act.path)
                folder.since.append(Change(name, None, move))
                folder, name = self.parent(act.other)
                folder.since.append(Change(name, node, move))
            case "link":
                node = self.find(act.path)
                folder, name = self.parent(act.other)
                folder.since.append(Change(name, node))
            case "sync":
                node = self.find(act.path)
                node.kept = node.whole()
                node.since = []

    def state(self, into: Path, cut: Cut) -> None:
        """Write what is left after a cut into a new folder."""
        write_folder(self.root, into, cut)


def read_folder(path: Path) -> Folder:
    folder = Folder()
    for one in path.iterdir():
        if not one.name.startswith(NOT_MODELLED) or path.name != ".muniment":
            folder.kept[one.name] = (
                read_folder(one) if one.is_dir() else File(one.read_bytes())
            )
    return folder


def write_folder(folder: Folder, path: Path, cut: Cut) -> None:
    path.mkdir(exist_ok=True)
    for name, node in named(folder.kept, cut.names(folder.since)).items():
        if isinstance(node, Folder):
            write_folder(node, path / name, cut)
        else:
            (path / name).write_bytes(cut.data(node))
