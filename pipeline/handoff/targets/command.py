"""A program of the user's own: told what to keep, and asked to give it back.

Each bag is handed to ``command``, its path in place of ``{bag}`` and its name in place
of ``{name}``; what is to be kept under which names stands as one JSON object on its
standard input. It may answer with one JSON object. Then ``read`` writes each file that
it keeps, named in place of ``{file}``, to its standard output, and what comes back is
hashed. Exit status 75 says that a failure may pass, any other but 0 that it will not.
No shell reads any of this; a secret stands in the variable ``MUNIMENT_SECRET`` alone.
"""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct

from pipeline.clock import Clock
from pipeline.errors import StorageError
from pipeline.fixity import PIECE
from pipeline.handoff.consignment import Consignment, Item, Layout, hashed, name_of
from pipeline.handoff.copies import SOFTWARE, Copies, acknowledged, finding
from pipeline.handoff.target import (
    AbsentError,
    DepositError,
    TakenError,
    TransientError,
    UnfaithfulError,
)
from pipeline.handoff.wrapping import Retried
from pipeline.model import Bag, Finding, Receipt

FORMAT = "muniment-command/1"
SECRET = "MUNIMENT_SECRET"  # noqa: S105 - the name of a variable
MAY_PASS = 75  # EX_TEMPFAIL of sysexits.h
LONGEST = 6 * 3600.0  # seconds that a program may take
MOST_ANSWER = 1 << 16  # bytes
MOST_SAID = 500  # characters of what it complained of


class Program(Struct, frozen=True, kw_only=True):
    """The two commands, and what stands in their environment."""

    command: tuple[str, ...]
    read: tuple[str, ...] = ()  # nothing: it is believed
    environ: Mapping[str, str]
    secret: str = ""
    layout: Layout = Layout.TREE

    def __repr__(self) -> str:
        return f"Program({self.command[0]})"

    @property
    def location(self) -> str:
        """Name the program."""
        return f"command:{Path(self.command[0]).name}"

    def run(self, words: Sequence[str], told: Mapping[str, object]) -> Iterator[bytes]:
        """Run a program to its end and yield what it writes.

        Raises DepositError, TransientError where it does not end well.
        """
        secret = {SECRET: self.secret} if self.secret else {}
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
            given.write(json.dumps({"format": FORMAT, **told}).encode())
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the user's own, and no shell
                    list(words),
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**self.environ, **secret},
                )
            except (OSError, ValueError) as error:
                raise DepositError(
                    f"{words[0]}: it does not start: {error}; see whether it is there,"
                    " and may be run"
                ) from None
            with _ended(process) as output:
                while piece := output.read(PIECE):
                    yield piece
            if process.returncode:
                raise _failed(words[0], process.returncode, _said(errors))


class Shelf:
    """What a program keeps, as a place that is read and published to."""

    def __init__(
        self, program: Program, jobs: Mapping[str, Mapping[str, object]]
    ) -> None:
        self._program = program
        self._jobs = jobs  # by the name of a bag: what is told of it
        self.location = program.location

    def preflight(self) -> None:
        """Nothing can be asked of a program before it is run."""

    def put(self, transfer: str, item: Item) -> str:
        """Files go with their bag, by ``publish``."""
        raise NotImplementedError

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield what the program gives back under a name."""
        del transfer  # nothing stands aside
        words = [word.replace("{file}", path) for word in self._program.read]
        try:
            yield from self._program.run(words, {"act": "read", "file": path})
        except TransientError:
            raise
        except DepositError as error:
            raise AbsentError(f"{path}: it is not given back: {error}") from None

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Run the program for each bag and return its answers, a line each."""
        del transfer  # stands in what is told
        return "\n".join(filter(None, (self._kept(name) for name in names)))

    def close(self) -> None:
        """Nothing is held open."""

    def _kept(self, name: str) -> str:
        told = self._jobs[name]
        fields = {"{bag}": str(told["path"]), "{name}": name}
        words = [_filled(word, fields) for word in self._program.command]
        answer = bytearray()
        for piece in self._program.run(words, told):
            answer += piece[: MOST_ANSWER + 1 - len(answer)]
        return _judged(words[0], bytes(answer))


class Command(Struct, frozen=True, kw_only=True):
    """A target that is a program."""

    name: str
    program: Program
    clock: Clock
    work: Path  # for a bag that travels as one file

    def preflight(self) -> None:
        """Nothing can be asked of a program before it is run."""

    def deposit(self, consignment: Consignment) -> Receipt:
        """Hand each bag to the program, unless it keeps it already; read all back."""
        layout = self.program.layout
        items = tuple(one for one in consignment.items(layout) if not one.is_folder)
        with self._jobs(consignment, items) as jobs:
            shelf = Retried(Shelf(self.program, jobs), self.clock)
            wanted = tuple(
                name for name, told in jobs.items() if self._is_wanted(shelf, told)
            )
            answer = shelf.publish(consignment.nonce, wanted)
            for one in items:
                self._require_kept(shelf, one)
        return Receipt(
            nonce=consignment.nonce,
            target=self.name,
            kind="command",
            location=_location(answer) or self.program.location,
            at=self.clock.now(),
            bags=consignment.consigned(),
            layout=layout.value,
            received=tuple(map(acknowledged, items)),
            is_verified=bool(self.program.read),
            answer=answer,
            software=SOFTWARE,
        )

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Have everything read back, and hash it."""
        if not self.program.read:
            message = "no command reads it back; set `read`"
            return (finding("copy-unreadable", receipt.location, message),)
        return self._copies(receipt).verify(receipt)

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Have one bag read back."""
        if not self.program.read:
            raise DepositError(f"{self.name}: no command reads it back; set `read`")
        found = self._copies(receipt).fetch(receipt, bag, into)
        (found / "data").mkdir(exist_ok=True)  # RFC 8493 2.1.2; empty, no file has it
        return found

    def close(self) -> None:
        """Nothing is held open."""

    def _copies(self, receipt: Receipt) -> Copies:
        return Copies(
            name=self.name,
            kind=receipt.kind,
            place=Retried(Shelf(self.program, {}), self.clock),
            layout=Layout(receipt.layout),
            clock=self.clock,
        )

    @contextmanager
    def _jobs(
        self, consignment: Consignment, items: tuple[Item, ...]
    ) -> Iterator[dict[str, dict[str, object]]]:
        """Tell of each bag what the program is told; a tar goes into ``work``."""
        folder = self.work / consignment.nonce
        jobs: dict[str, dict[str, object]] = {}
        try:
            for bag in consignment.bags:
                name = name_of(bag.id, self.program.layout)
                files = [one for one in items if one.path.split("/")[0] == name]
                path = bag.path.absolute()
                if self.program.layout is Layout.TAR:
                    path = _written(folder, files[0])
                jobs[name] = _told(consignment, bag, path, files)
            yield jobs
        finally:
            for path in folder.glob("*") if folder.is_dir() else ():
                path.unlink()

    def _is_wanted(self, shelf: Retried, told: Mapping[str, object]) -> bool:
        """Tell whether the program lacks any file of a bag. Raises TakenError."""
        if not self.program.read:
            return True
        is_wanted = False
        files = told["files"]
        assert isinstance(files, list)
        for one in files:
            try:
                size, digest = hashed(shelf.read(one["path"]))
            except AbsentError:
                is_wanted = True
                continue
            if (size, digest.hex) != (one["size"], one["sha256"]):
                raise TakenError(
                    f"{shelf.location}: {one['path']} stands already with other bytes,"
                    " and nothing is replaced there; look what it is, move it away,"
                    " and retry"
                )
        return is_wanted

    def _require_kept(self, shelf: Retried, item: Item) -> None:
        if not self.program.read:
            return
        size, digest = hashed(shelf.read(item.path))
        if (size, digest) != (item.size, item.digest):
            raise UnfaithfulError(
                f"{shelf.location}: {item.path} was read back: expected {item.size:,}"
                f" bytes with {item.digest}, found {size:,} with {digest}; no receipt"
                " is written. Mend the program, or name another target"
            )


def _told(
    consignment: Consignment, bag: Bag, path: Path, files: list[Item]
) -> dict[str, object]:
    """Tell a program what it is to keep."""
    return {
        "act": "deposit",
        "transfer": consignment.nonce,
        "bag": bag.id,
        "path": str(path),
        "tagmanifest": {one.algorithm: one.hex for one in bag.tagmanifests},
        "files": [
            {"path": one.path, "size": one.size, "sha256": one.digest.hex}
            for one in files
        ],
    }


def _written(folder: Path, item: Item) -> Path:
    path = folder / item.path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in item.read(0):
                file.write(piece)
    except OSError as error:
        raise StorageError.at(path, error) from error
    return path


def _filled(word: str, fields: Mapping[str, str]) -> str:
    for name, text in fields.items():
        word = word.replace(name, text)
    return word


def _judged(name: str, answer: bytes) -> str:
    """Take a program's answer. Raises DepositError for what is none, or an error."""
    if not answer.strip():
        return ""
    try:
        told = json.loads(answer) if len(answer) <= MOST_ANSWER else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise DepositError(
            f"{name}: expected one JSON object or nothing on its standard output, found"
            f" {answer[:60].decode('utf-8', 'replace')!r}; let it write words to"
            " standard error"
        )
    if told.get("error"):
        raise DepositError(f"{name}: it says: {str(told['error'])[:MOST_SAID]}")
    return answer.decode("utf-8", "replace").strip()


def _location(answer: str) -> str:
    """Find where a program says that the first bag is."""
    told = json.JSONDecoder().raw_decode(answer)[0] if answer else {}
    location = told.get("location")
    return location if isinstance(location, str) else ""


def _failed(name: str, status: int, said: str) -> DepositError:
    told = f"{name}: it ended with status {status}" + (f": {said}" if said else "")
    if status == MAY_PASS:
        return TransientError(f"{told}; retry")
    return DepositError(f"{told}; see what it needs, and retry")


def _said(errors: IO[bytes]) -> str:
    """Return the last of what a program complained of, on one line."""
    end = errors.seek(0, os.SEEK_END)
    errors.seek(max(end - 4 * MOST_SAID, 0))
    return " ".join(errors.read().decode("utf-8", "replace").split())[-MOST_SAID:]


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[IO[bytes]]:
    """Let no program outlive its time, nor us."""
    timer = threading.Timer(LONGEST, process.kill)
    timer.daemon = True
    timer.start()
    assert process.stdout is not None
    try:
        with process.stdout:
            yield process.stdout
            process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
