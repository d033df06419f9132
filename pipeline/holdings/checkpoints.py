"""The checkpoints of the custody log: its key, and every head that it ever signed.

    .muniment/log.vkey              the log's public keys, one a line, the oldest first
    .muniment/checkpoints/<size>    every checkpoint, each written once
    .muniment/checkpoint            a copy of the newest, where readers of logs look

The private key is made at first need and lies in the user's own folder, readable by the
user alone: it speaks for this log on this machine, and for no person. On a machine
that lacks it another is made, and its public half is added. A key in the archive proves
nothing to a stranger, who pins the one that was handed over when all was well.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.clock import Clock
from pipeline.disk import DISK, Disk, sync_folder
from pipeline.errors import FixityError, StorageError, UsageError
from pipeline.fixity import write_file
from pipeline.holdings.merkle import Head
from pipeline.holdings.note import LARGEST, Checkpoint, Note, Verifier, sign
from pipeline.holdings.room import Room, entries, told

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "muniment/log/"  # and a UUID: what names a log, wherever it is copied to
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Stored(Struct, frozen=True, kw_only=True):
    """A checkpoint as it lies in the archive."""

    path: Path
    note: Note
    said: Checkpoint


class Checkpoints:
    """The checkpoints of the archive at ``root``.

    What the file system refuses is a StorageError; what is none of our notes or keys
    is a FixityError that names the file.
    """

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self._room = Room(root, disk)
        self._disk = disk
        self.folder = self._room.own / "checkpoints"
        self.latest = self._room.own / "checkpoint"
        self.keys = self._room.own / "log.vkey"

    def verifiers(self) -> tuple[Verifier, ...]:
        """Return the public keys of the log, the oldest first; a new log has none."""
        if not os.path.lexists(self.keys):
            return ()
        try:
            lines = content(self.keys).decode().splitlines()
            return tuple(map(Verifier.parse, lines))
        except ValueError as error:
            raise FixityError(
                f"{self.keys}: expected one key of this log on each line: {error}. "
                "Bring it back from a copy"
            ) from error

    def files(self) -> tuple[Path, ...]:
        """List the files that hold a checkpoint, by size, and then the newest's."""
        kept = entries(self.folder) if self.folder.is_dir() else ()
        latest = (self.latest,) if os.path.lexists(self.latest) else ()
        return (*sorted(kept, key=lambda one: (len(one.name), one.name)), *latest)

    def newest(self) -> Stored | None:
        """Return the checkpoint over the most lines, or None before the first."""
        files = self.files()
        found = [read(path) for path in (files[-2:] if files else ())]
        return max(found, key=lambda one: one.said.head.size, default=None)

    def take(self, head: Head, *, keys: Path, clock: Clock) -> Stored:
        """Sign a head and keep it; a size that was signed before is not signed again.

        ``keys`` is the user's own folder. That the head agrees with every checkpoint
        before it is for the caller to know: a log signs one history.
        """
        path = self.folder / f"{head.size:08d}"
        if path.exists():
            return read(path)
        name, key = self._signer(keys, clock)
        said = Checkpoint(origin=name, head=head)
        note = sign(str(said), name, key)
        self._room.make(self.folder)
        self._room.move(self._staged(bytes(note)), path)
        with told(self.latest):
            self._staged(bytes(note)).replace(self.latest)
        sync_folder(self._room.own, self._disk)
        return Stored(path=path, note=note, said=said)

    def _staged(self, data: bytes) -> Path:
        """Write bytes durably where nobody takes them for finished."""
        place = self._room.staging / "checkpoint"
        with told(place):
            place.unlink(missing_ok=True)  # of a process that died; it can be made anew
        write_file(place.parent, place.name, data)
        with told(place), place.open("rb") as file:
            self._disk.sync(file.fileno())
        return place

    def _signer(self, folder: Path, clock: Clock) -> "tuple[str, Ed25519PrivateKey]":
        """Find a key of this log on this machine, or make one. Raises UsageError."""
        known = self.verifiers()
        for verifier in reversed(known):
            path = folder / f"log-{verifier.key_id.hex()}.pem"
            if path.exists():
                return verifier.name, _private(path, verifier)
        if folder.resolve().is_relative_to(self._room.root.resolve()):
            raise UsageError(
                f"{folder}: a private key does not lie in the archive, which is copied "
                "about; set XDG_CONFIG_HOME to a folder outside it"
            )
        name = known[0].name if known else ORIGIN + clock.uuid()
        key, verifier = _made(folder, name)
        self._publish(verifier)
        return name, key

    def _publish(self, verifier: Verifier) -> None:
        """Add a public key to those of the log."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with told(self.keys):
            descriptor = os.open(self.keys, flags, 0o644)
            try:
                os.write(descriptor, f"{verifier}\n".encode())
                self._disk.sync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(self.keys.parent, self._disk)


def read(path: Path) -> Stored:
    """Read a checkpoint. Raises FixityError for what is none, StorageError."""
    try:
        note = Note.parse(content(path))
        return Stored(path=path, note=note, said=Checkpoint.parse(note.text))
    except ValueError as error:
        raise FixityError(
            f"{path}: expected a checkpoint of a log: {error}. Bring it back from a "
            "copy, or name another file"
        ) from error


def content(path: Path) -> bytes:
    """Read a small file that must be one. Raises StorageError."""
    with told(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"{path}: expected a file, found something else")
            return file.read(LARGEST + 1)


def _made(folder: Path, name: str) -> "tuple[Ed25519PrivateKey, Verifier]":
    """Make a key, durable before anything is signed with it."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.generate()
    verifier = Verifier(name=name, public=key.public_key().public_bytes_raw())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / f"log-{verifier.key_id.hex()}.pem"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with told(path):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)
    return key, verifier


def _private(path: Path, verifier: Verifier) -> "Ed25519PrivateKey":
    """Read the key that belongs to a public one. Raises UsageError."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    wrong = f"{path}: expected the private key of {verifier.name}"
    with told(path):
        mode = path.stat().st_mode
    if mode & OTHERS:
        raise UsageError(f"{path}: others may read this key; chmod 600 it")
    try:
        key = serialization.load_pem_private_key(content(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{wrong}: {error}; bring it back, or move it away") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{wrong}, found one of another kind; move it away")
    if key.public_key().public_bytes_raw() != verifier.public:
        raise UsageError(f"{wrong}, found another key; bring it back, or move it away")
    return key
