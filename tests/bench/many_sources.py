"""How much memory a run takes by the number of its sources: it should not tell.

``python tests/bench/many_sources.py 300`` makes a run of so many sources, each on a host
of its own with a robots.txt, and prints as JSON by how many MiB the process grew between
its tenth source and its end, the most files it had open, and the seconds it took.
The server is a process of its own; nothing leaves the machine.
"""

import argparse
import ipaddress
import json
import socketserver
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from pipeline import job
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.net import Network
from pipeline.capture.tls import tls_context
from pipeline.clock import SystemClock
from pipeline.disk import Disk
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import Capture

WARM = 10  # sources before which memory is not looked at
BODY = b"<!doctype html><title>A page</title><p>Some words of it."
ROBOTS = (
    b"User-agent: *\nDisallow: /private\n" + b"# and words that say nothing\n" * 500
)
HEAD = """\
version: 1
id: many
title: Many sources
contact: desk@case.example
operator: {name: A. Archivist, organisation: The Archive}
defaults: {delay: 0s, requisite_delay: 0s, retries: 0, timeout: 20s}
sources:
"""


class Answering(socketserver.StreamRequestHandler):
    """Answers whatever is asked, over and over."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            body, kind = (ROBOTS, "plain") if b"robots" in line else (BODY, "html")
            told = f"HTTP/1.1 200 OK\r\nContent-Type: text/{kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(told.encode() + body)


def serve() -> None:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


class Careless(Disk):
    """Does not wait for the disk, which is not what is measured."""

    def sync(self, descriptor: int) -> None:
        pass

    def start(self, descriptor: int) -> None:
        pass


def resident() -> float:
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


class Watching:
    """Progress that measures as sources come home."""

    def __init__(self) -> None:
        self.done, self.captured, self.warm, self.most, self.files = 0, 0, 0.0, 0.0, 0

    def planned(self, *_: object) -> None:
        pass

    said = visiting = planned

    def kept(self, capture: Capture, _: object) -> None:
        self.done += 1
        self.captured += capture.verdict == "captured"
        if self.done == WARM:
            self.warm = resident()
        self.look()

    def look(self) -> None:
        self.most = max(self.most, resident())
        self.files = max(self.files, sum(1 for _ in Path("/proc/self/fd").iterdir()))


def measure(count: int, root: Path) -> dict[str, float]:
    file = root / "many.yaml"
    lines = (f"  s{n}: http://h{n}.example/\n" for n in range(count))
    file.write_text(HEAD + "".join(lines), encoding="utf-8")
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)  # fmt: skip
    try:
        port = int(server.stdout.readline())
        rule = ConnectTo(port=80, to_host="127.0.0.1", to_port=port)
        policy = Policy(connect_to=(rule,), allow=(ipaddress.ip_network("127.0.0.1/32"),))  # fmt: skip
        clock, watching, began = SystemClock(), Watching(), time.monotonic()
        network = Network(clock=clock, policy=policy, tls=tls_context())
        store = Store.open(root / "archive", clock, disk=Careless())
        with closing(network), closing(store):
            job.run(manifest.read(file), order=job.Order(), store=store, network=network, progress=watching)  # fmt: skip
        watching.look()
    finally:
        server.terminate()
        server.communicate()
    return {
        "sources": count,
        "captured": watching.captured,
        "grew": round(watching.most - watching.warm, 1),
        "files": watching.files,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=int, nargs="?", default=300)
    parser.add_argument("--serve", action="store_true", help="be the server")
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    with tempfile.TemporaryDirectory() as root:
        print(json.dumps(measure(chosen.sources, Path(root))))


if __name__ == "__main__":
    main()
