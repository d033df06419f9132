"""A folder on a server, over SFTP.

The server is known by one pinned key, and shown nothing before it has proven to hold
it. What is sent stands in a hidden folder of its transfer; what an earlier attempt left
there is gone on with behind its last byte that is ours, after it was read back and
compared. Then each bag is renamed into its place, if that is free.
"""

import io
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import paramiko
from msgspec import Struct
from paramiko.ssh_exception import AuthenticationException, SSHException

from pipeline.fixity import PIECE
from pipeline.handoff.consignment import Item, hashed
from pipeline.handoff.target import (
    AbsentError,
    DepositError,
    TakenError,
    TransientError,
)

ASIDE = ".muniment-"  # and the transfer
PATIENCE = 60.0  # seconds for any answer
BLOCK = 1 << 15  # bytes that every server gives at once
RSA = ("rsa-sha2-512", "rsa-sha2-256")
TAKEN = (
    "stands already with other bytes, and nothing is replaced there; look what it is,"
    " move it away, and retry"
)


class Login(Struct, frozen=True, kw_only=True):
    """A server, the key that it is known by, and who comes with what."""

    host: str
    port: int = 22
    folder: str
    host_key: str  # "ssh-ed25519 AAAA..."
    user: str
    secret: str  # a password, or a private key in PEM

    def __repr__(self) -> str:
        return f"Login({self.host})"

    def connect(self) -> paramiko.Transport:
        """Open a connection to the server that is pinned, and to no other.

        Raises DepositError where it is another, or lets nobody in.
        """
        kind, _, expected = self.host_key.partition(" ")
        line = socket.create_connection((self.host, self.port), PATIENCE)
        transport = paramiko.Transport(line)
        try:
            options = transport.get_security_options()
            options.key_types = RSA if kind == "ssh-rsa" else (kind,)
            transport.start_client(timeout=PATIENCE)
            self._require(transport.get_remote_server_key(), expected)
            self._enter(transport)
        except BaseException:
            transport.close()
            raise
        return transport

    def _enter(self, transport: paramiko.Transport) -> None:
        if "PRIVATE KEY" in self.secret:
            transport.auth_publickey(self.user, _key(self.secret))
        else:
            transport.auth_password(self.user, self.secret, fallback=False)

    def _require(self, found: paramiko.PKey, expected: str) -> None:
        if found.get_base64() != expected:
            raise DepositError(
                f"{self.host}: expected a server with the key {self.host_key}, found"
                f" one with {found.get_name()} {found.get_base64()}; nothing was sent,"
                " and no secret shown. Ask its operator"
            )


class Sftp:
    """A folder that is there already on a server."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._root = login.folder.rstrip("/")
        self._transport: paramiko.Transport | None = None
        self._client: paramiko.SFTPClient | None = None

    @property
    def location(self) -> str:
        """Tell where it is."""
        return f"sftp://{self._login.host}:{self._login.port}{self._root}"

    def preflight(self) -> None:
        """Raise DepositError where there is no folder for us."""
        with self._told(self._root) as sftp:
            mode = sftp.stat(self._root or "/").st_mode or 0
        if not stat.S_ISDIR(mode):
            raise DepositError(
                f"{self.location}: expected a folder, found another kind"
            )

    def put(self, transfer: str, item: Item) -> str:
        """Write an item aside, behind what an earlier attempt wrote of it."""
        with self._told(item.path) as sftp:
            if (there := _stat(sftp, self._place(item.path))) is not None:
                self._require_same(item, there)
                return ""
            place = self._place(item.path, transfer)
            folder = place if item.is_folder else place.rpartition("/")[0]
            _make(sftp, folder, below=self._root)
            if not item.is_folder:
                self._append(sftp, place, item)
        return ""

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what is kept, or stands aside."""
        with self._told(path) as sftp:
            aside = self._place(path, transfer) if transfer else ""
            place = aside if aside and _stat(sftp, aside) else self._place(path)
            if path.endswith("/"):
                sftp.stat(place)
                return
            with sftp.open(place, "rb") as file:
                yield from _pieces(file, sftp.stat(place).st_size or 0)

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Rename each bag to its name."""
        with self._told(transfer) as sftp:
            aside = f"{self._root}/{ASIDE}{transfer}"
            waiting = [n for n in names if _stat(sftp, f"{aside}/{n}") is not None]
            for name in waiting:
                if _stat(sftp, self._place(name)) is not None:
                    raise TakenError(f"{self.location}/{name} {TAKEN}")
            for name in waiting:
                sftp.rename(f"{aside}/{name}", self._place(name))
            for name in names:
                sftp.stat(self._place(name))  # its word for the rename is not enough
            if _stat(sftp, aside) is not None:
                sftp.rmdir(aside)
        return ""

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
        self._transport = self._client = None

    # -------------------------------------------------------------------------- inside

    def _place(self, path: str, transfer: str = "") -> str:
        aside = f"{ASIDE}{transfer}/" if transfer else ""
        return f"{self._root}/{aside}{path}".rstrip("/")

    def _append(self, sftp: paramiko.SFTPClient, place: str, item: Item) -> None:
        """Write what is missing of a file, if what is there is its beginning."""
        start = self._agreed(sftp, place, item)
        with sftp.open(place, "r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            file.set_pipelined(True)
            for piece in item.read(start):
                file.write(piece)

    def _agreed(self, sftp: paramiko.SFTPClient, place: str, item: Item) -> int:
        """Tell how much of what is there is the beginning of an item, by its bytes."""
        there = _stat(sftp, place)
        size = (there.st_size or 0) if there else 0
        if not 0 < size <= item.size:
            return 0
        with sftp.open(place, "rb") as file:
            ours = _cut(item.read(0), size)
            same = hashed(_pieces(file, size)) == hashed(ours)
        return size if same else 0

    def _require_same(self, item: Item, there: paramiko.SFTPAttributes) -> None:
        is_folder = stat.S_ISDIR(there.st_mode or 0)
        if is_folder == item.is_folder and (
            is_folder or hashed(self.read(item.path)) == (item.size, item.digest)
        ):
            return
        raise TakenError(f"{self.location}/{item.path} {TAKEN}")

    def _opened(self) -> paramiko.SFTPClient:
        if self._client is None:
            self._transport = self._login.connect()
            client = paramiko.SFTPClient.from_transport(self._transport)
            if client is None:
                raise SSHException("the server gives no SFTP")
            channel = client.get_channel()
            if channel is not None:
                channel.settimeout(PATIENCE)
            self._client = client
        return self._client

    @contextmanager
    def _told(self, path: str) -> Iterator[paramiko.SFTPClient]:
        """Tell what the server or the line runs into."""
        where = f"{self.location}: {path}"
        try:
            yield self._opened()
        except AuthenticationException as error:
            self.close()
            raise DepositError(
                f"{where}: the server does not let {self._login.user} in: {error};"
                " look at the key or the password, and what it may do"
            ) from None
        except FileNotFoundError:
            raise AbsentError(f"{where}: it is not there") from None
        except PermissionError:
            raise DepositError(f"{where}: this user may not do that there") from None
        except (SSHException, EOFError, OSError) as error:
            is_answer = isinstance(error, OSError) and error.errno is None
            if is_answer and "closed" not in str(error):  # SSH_FX_FAILURE
                raise DepositError(
                    f"{where}: the server refuses: {error}; is its disk full?"
                ) from None
            self.close()
            raise TransientError(
                f"{where}: {error or type(error).__name__}; see whether the server is"
                " up, and retry"
            ) from None


def _key(pem: str) -> paramiko.PKey:
    """Read a private key, of whatever kind. Raises DepositError."""
    kinds: tuple[type[paramiko.PKey], ...] = (
        paramiko.Ed25519Key,
        paramiko.ECDSAKey,
        paramiko.RSAKey,
    )
    for kind in kinds:
        try:
            return kind.from_private_key(io.StringIO(f"{pem}\n"))
        except (SSHException, ValueError, IndexError):
            continue
    raise DepositError(
        "the secret is a private key that can't be read; give one of Ed25519, ECDSA or"
        " RSA without a passphrase"
    )


def _stat(sftp: paramiko.SFTPClient, path: str) -> paramiko.SFTPAttributes | None:
    try:
        return sftp.lstat(path)
    except FileNotFoundError:
        return None


def _make(sftp: paramiko.SFTPClient, folder: str, *, below: str) -> None:
    """Make a folder and those above it, as far as the root."""
    if folder == below or _stat(sftp, folder) is not None:
        return
    _make(sftp, folder.rpartition("/")[0], below=below)
    sftp.mkdir(folder)


def _pieces(file: paramiko.SFTPFile, size: int) -> Iterator[bytes]:
    """Read a file, many blocks asked for at once and few of them in memory."""
    blocks = ((at, min(BLOCK, size - at)) for at in range(0, size, BLOCK))
    while window := list(islice(blocks, PIECE // BLOCK)):
        yield b"".join(file.readv(window))


def _cut(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return
