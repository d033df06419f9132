"""A large bag handed over to S3 and SFTP: its memory, and what is sent after a cut.

    python tests/bench/deposits.py [--size BYTES] [--part 0.5] [--seed N] [KIND...]

A bag of one file of random bytes is received into an archive and deposited by the
command line, over a line on loopback that counts what goes up. Then once more into an
empty place, killed when a random part of it has gone up, and gone on with by
``deposit --retry``. The servers are moto's and Debian's sshd, each a process of its own.

Prints, for each: seconds, the most memory held beside what the same command holds for a
bag of 1 kB, and the bytes that went up beside the bag's own.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import baggage  # noqa: E402 - found beside this file

MB = 1_000_000
SMALL = 1000  # bytes of the bag that costs next to nothing
KINDS = ("s3", "sftp")
WANTED = 32 * MB  # bytes of memory that a large bag may take more
SLACK = 10 * MB  # bytes that may go up twice: one part, and what was on its way


class Line:
    """A port that leads to another, counts what goes up, and may call for an end."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.up = 0
        self.cut_at = float("inf")
        self.cut = lambda: None
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for pair, is_up in (((near, far), True), ((far, near), False)):
                    told = (*pair, is_up)
                    threading.Thread(target=self._pump, args=told, daemon=True).start()

    def _pump(self, source: socket.socket, to: socket.socket, is_up: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(1 << 18):
                if is_up:
                    self._count(len(data))
                to.sendall(data)
        for one in (source, to):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> None:
        with self._lock:
            self.up += size
            if self.up >= self.cut_at:
                self.cut_at = float("inf")
                self.cut()

    def close(self) -> None:
        """Lead nowhere any more."""
        self._listener.close()


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a command came to."""

    status: int
    seconds: float
    resident: int  # bytes at the peak


class S3:
    """moto's server."""

    def __init__(self, home: Path) -> None:
        import buckets

        del home
        self._moto = buckets.Moto()
        self.line = Line(self._moto.port)
        self.environ = {"SECRET": f"{buckets.ACCESS}:{buckets.SECRET}"}

    def empty(self, name: str) -> str:
        """Make a place, and tell the configuration of a deposit there."""
        self._moto.bucket(name)
        return (
            f'to = "s3"\nurl = "s3://{name}/bags"\nsecret = "env:SECRET"\n'
            f'endpoint = "http://127.0.0.1:{self.line.port}"\n'
        )

    def close(self) -> None:
        """End it."""
        self.line.close()
        self._moto.close()


class Sftp:
    """Debian's sshd."""

    def __init__(self, home: Path) -> None:
        import ssh

        self._home = home
        self._sshd = ssh.Sshd(home / "served")
        self.line = Line(self._sshd.port)
        self.environ = {"SECRET": self._sshd.key}

    def empty(self, name: str) -> str:
        """Make a place, and tell the configuration of a deposit there."""
        folder = self._home / name
        folder.mkdir()
        user = self._sshd.login().user
        return (
            f'to = "sftp"\nurl = "sftp://{user}@127.0.0.1:{self.line.port}{folder}"\n'
            f'secret = "env:SECRET"\nhost_key = "{self._sshd.host_key}"\n'
        )

    def close(self) -> None:
        """End it."""
        self.line.close()
        self._sshd.close()


class Archive:
    """An archive that holds one bag, and the command line in front of it."""

    def __init__(self, home: Path, size: int) -> None:
        self.home = home
        home.mkdir()
        made = baggage.bag(home / "in", {"large.bin": size})
        self._run({}, "receive", str(made))
        shutil.rmtree(home / "in")
        self.bag = made.name

    def deposit(self, server: Any, place: str, *, cut_at: float | None = None) -> Told:
        """Deposit the bag; with a point to be killed at, no further than that."""
        lines = f"[deposit.{place}]\n{server.empty(place)}"
        (self.home / "muniment.toml").write_text(lines)
        words = ("deposit", self.bag, "--to", place)
        return self._run(server.environ, *words, line=server.line, cut_at=cut_at)

    def retry(self, server: Any) -> Told:
        """Go on with what was killed."""
        return self._run(server.environ, "deposit", "--retry")

    def _run(
        self,
        environ: dict[str, str],
        *words: str,
        line: Line | None = None,
        cut_at: float | None = None,
    ) -> Told:
        began = time.monotonic()
        with (self.home / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", *words],
                cwd=self.home,
                env={**os.environ, "HOME": str(self.home), **environ},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        if line is not None and cut_at is not None:
            line.cut, line.cut_at = process.kill, line.up + cut_at
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode and cut_at is None:
            raise SystemExit((self.home / "stderr").read_text())
        return Told(
            status=process.returncode,
            seconds=time.monotonic() - began,
            resident=usage.ru_maxrss * 1024,
        )


SERVERS = {"s3": S3, "sftp": Sftp}


def measure(kind: str, home: Path, *, size: int, part: float) -> dict[str, object]:
    """Deposit a bag whole, then killed when a part of it has gone up."""
    home.mkdir()
    small, large = Archive(home / "small", SMALL), Archive(home / "large", size)
    with closing(SERVERS[kind](home)) as server:
        idle = small.deposit(server, "idle")
        before = server.line.up
        whole = large.deposit(server, "whole")
        once = server.line.up - before
        before = server.line.up
        killed = large.deposit(server, "killed", cut_at=size * part)
        first = server.line.up - before
        resumed = large.retry(server)
        again = server.line.up - before
    return {
        "kind": kind,
        "size": size,
        "seconds": round(whole.seconds, 1),
        "growth": whole.resident - idle.resident,
        "up": once,
        "killed_by": killed.status,
        "killed_at": first,
        "seconds_resumed": round(resumed.seconds, 1),
        "growth_resumed": resumed.resident - idle.resident,
        "up_in_all": again,
        "up_twice": again - once,
    }


def main() -> int:
    """Measure each kind and print what it came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND")
    parser.add_argument("--size", type=int, default=2_000_000_000)
    parser.add_argument("--part", type=float, help="where it is killed: 0.5")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    told = parser.parse_args()
    chance = random.Random(told.seed)
    print(f"a bag of {told.size / MB:,.0f} MB; seed {told.seed}")
    is_fine = True
    for kind in told.kinds:
        with tempfile.TemporaryDirectory(prefix="muniment-deposits-") as folder:
            part = told.part or chance.uniform(0.1, 0.9)
            found = measure(kind, Path(folder) / kind, size=told.size, part=part)
        growth = max(found["growth"], found["growth_resumed"])
        is_met = growth < WANTED and found["up_twice"] < SLACK
        is_fine &= is_met
        print(json.dumps(found))
        print(
            f"{kind}: {found['seconds']} s; {growth / MB:.1f} MB more than for 1 kB;"
            f" killed at {found['killed_at'] / MB:,.0f} MB, gone on with in"
            f" {found['seconds_resumed']} s, {found['up_twice'] / MB:.1f} MB sent twice:"
            f" {'met' if is_met else 'MISSED'}"
        )
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
