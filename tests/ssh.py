"""Debian's sshd for the tests: on loopback, as this user, with throw-away keys."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.handoff.targets.sftp import Login

LIAR = Path(__file__).with_name("sftp_liar.py")


def program() -> str:
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
    if not found:
        pytest.skip("sshd is not installed: apt-get install openssh-server")
    return found


class Sshd:
    """A server of one folder; ``lie`` is what its SFTP does wrong, if anything."""

    def __init__(self, folder: Path, lie: str = "") -> None:
        sshd = program()
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates privileges
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        keys = folder.with_name(f"{folder.name}-keys")
        keys.mkdir(mode=0o700)
        for name in ("host", "user", "other"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name],
                check=True,
            )
        shutil.copy(keys / "user.pub", keys / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        subsystem = f"{sys.executable} -S {LIAR} {lie}" if lie else "internal-sftp"
        (keys / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\n"
            f"AuthorizedKeysFile {keys}/authorized\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
            f"PermitRootLogin yes\nPidFile none\nSubsystem sftp {subsystem}\n"
        )
        self.host_key = " ".join((keys / "host.pub").read_text().split()[:2])
        self.key = (keys / "user").read_text()
        self.stranger = (keys / "other").read_text()
        with (keys / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", str(keys / "config")],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        while not self._answers():
            assert self._process.poll() is None, (keys / "log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 5) as line,
        ):
            return line.recv(4) == b"SSH-"
        return False

    def login(self, folder: Path | None = None, **changes) -> Login:
        told = {
            "host": "127.0.0.1",
            "port": self.port,
            "folder": str(folder or self.folder),
            "host_key": self.host_key,
            "user": getpass.getuser(),
            "secret": self.key,
        }
        return Login(**told | changes)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
