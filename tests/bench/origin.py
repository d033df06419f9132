"""The origin of the bench: a page with 3,000 requisites and a large body, from nginx.

The page and its requisites are the same in every run, from a fixed seed; the body is
random. nginx runs as a child of ours with a configuration of its own, listens on
loopback alone, and is ended by its process id; no other nginx is ever touched.
"""

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "bench.example"
PATIENCE = 10.0  # seconds that nginx may take to listen, or to end

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 120s;
    keepalive_requests 1000000;
    open_file_cache max=10000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    default_type application/octet-stream;
    types {{
        text/html html; text/css css; text/javascript js; image/svg+xml svg;
        image/png png; image/jpeg jpg; font/woff2 woff2; text/plain txt;
    }}
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""

# How a page asks for each kind, and whether its bytes compress.
KINDS = {
    "css": ('<link rel="stylesheet" href="{0}">', True),
    "png": ('<img src="{0}" alt="">', False),
    "js": ('<script src="{0}"></script>', True),
    "jpg": ('<img src="{0}" alt="">', False),
    "svg": ('<img src="{0}" alt="">', True),
    "woff2": ('<link rel="preload" as="font" href="{0}" crossorigin>', False),
}
STARTS = {
    "css": b"/* %d */\n",
    "js": b"// %d\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><!-- %d -->\n',
    "png": b"\x89PNG\r\n\x1a\n%d\n",
    "jpg": b"\xff\xd8\xff\xe0%d\n",
    "woff2": b"wOF2%d\n",
}
ENDS = {"svg": b"</svg>\n"}
WORDS = [
    "margin",
    "padding",
    "colour",
    "width",
    "height",
    "border",
    "float",
    "table",
    "cell",
    "line",
    "page",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the site is served, and what it holds."""

    port: int
    paths: tuple[str, ...]  # /page.html first, then what it needs
    body: int  # bytes of /body.bin

    def addresses(self, paths: tuple[str, ...]) -> str:
        """Write a list of addresses as wget's --input-file takes it."""
        return "".join(f"http://127.0.0.1:{self.port}{path}\n" for path in paths)

    @property
    def connect_to(self) -> str:
        """Write where the host really listens, as ``--connect-to`` takes it."""
        return f"{HOST}:80:127.0.0.1:{self.port}"


def _text(chance: random.Random, size: int) -> bytes:
    """Make text that compresses about as style sheets and scripts do."""
    lines = []
    while sum(map(len, lines)) < size:
        words = chance.choices(WORDS, k=6)
        lines.append(f"{' '.join(words)} {chance.getrandbits(32):08x};\n")
    return "".join(lines)[:size].encode()


def _requisite(chance: random.Random, number: int, kind: str) -> bytes:
    size = chance.randint(2_000, 6_000)
    start, end = STARTS[kind] % number, ENDS.get(kind, b"")
    text = _text(chance, size) if KINDS[kind][1] else chance.randbytes(size)
    if kind == "svg":
        text = b"<desc>" + text + b"</desc>"
    if kind in {"css", "js"}:
        text = b"/*" + text + b"*/\n"
    return start + text + end


def make(root: Path, *, requisites: int, body: int) -> tuple[str, ...]:
    """Write the site and return its paths, the page first."""
    chance = random.Random(20260302)
    (root / "r").mkdir(parents=True)
    paths, tags = [], []
    kinds = tuple(KINDS)
    for number in range(requisites):
        kind = kinds[number % len(kinds)]
        path = f"/r/{number:04d}.{kind}"
        (root / path[1:]).write_bytes(_requisite(chance, number, kind))
        paths.append(path)
        tags.append(KINDS[kind][0].format(path))
    page = (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>Bench</title>"
    )
    page += f"</head><body><h1>{requisites} requisites</h1>\n" + "\n".join(tags)
    (root / "page.html").write_text(page + "\n</body></html>\n", encoding="utf-8")
    (root / "small.bin").write_bytes(chance.randbytes(1_000))
    (root / "robots.txt").write_text("User-agent: *\nAllow: /\n", encoding="utf-8")
    _write_random(root / "body.bin", body)
    return ("/page.html", *paths)


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, 1 << 22)))


def nginx() -> str:
    """Find nginx, also where a plain user's PATH does not look; "" where absent."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(home: Path, *, requisites: int, body: int) -> Iterator[Origin]:
    """Make the site under a folder and serve it while the block runs."""
    root, port = home / "site", _free_port()
    paths = make(root, requisites=requisites, body=body)
    user = "user root;" if os.geteuid() == 0 else ""  # to read a private folder
    text = CONFIGURATION.format(home=home, root=root, port=port, user=user)
    (home / "nginx.conf").write_text(text, encoding="utf-8")
    command = [nginx(), "-e", str(home / "error.log"), "-c", str(home / "nginx.conf")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Origin(port=port, paths=paths, body=body)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nginx does not listen on 127.0.0.1:{port}")
