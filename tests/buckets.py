"""S3 for the tests: moto's server as a process of its own, and a small one that lies."""

import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from pipeline.handoff.targets.s3 import Server

ACCESS, SECRET = "AKIDOFATEST", "s3-secret-of-the-test/+1"
ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>no</Message></Error>"


class Moto:
    """A real S3 server process, on a port of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._client = None
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                str(self.port),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not self._answers():
            assert self._process.poll() is None, "moto's server did not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def bucket(self, name: str, *, lock: bool = False):
        """Make a bucket and return a client that sees into it."""
        client = self._client = self._client or self.server(name).client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        return client

    def server(self, bucket: str, prefix: str = "toll/") -> Server:
        return Server(
            bucket=bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            access=ACCESS,
            secret=SECRET,
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


LIES = {
    "it keeps other bytes than it was sent": lambda data: (
        data[:-1] + bytes([data[-1] ^ 1])
    ),
    "it keeps only a part": lambda data: data[: len(data) // 2],
    "it keeps nothing, and says 200": lambda data: None,
    "it says 200, and tells an error": lambda data: None,
    "it keeps as many bytes, all zero": lambda data: bytes(len(data)),
}


class Liar:
    """An S3 server that answers as it should, and keeps what it likes."""

    def __init__(self, lie: str) -> None:
        self.kept: dict[str, bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.lie = lie
        handler = type("Handler", (_Lying,), {"liar": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def keep(self, path: str, data: bytes) -> bytes:
        """Keep what the lie leaves, and return the body of the answer."""
        kept = LIES[self.lie](data)
        if kept is not None:
            self.kept[path] = kept
        return ERROR if "tells an error" in self.lie else b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Lying(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    liar: Liar

    def log_message(self, *_):
        pass

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _asked(self) -> tuple[str, dict[str, list[str]], bytes]:
        parts = urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        query = parse_qs(parts.query, keep_blank_values=True)
        return parts.path, query, self.rfile.read(size)

    def do_HEAD(self) -> None:
        path, _, _ = self._asked()
        data = self.liar.kept.get(path)
        is_bucket = path.count("/") == 1
        if data is None and not is_bucket:
            self._say(404)
            return
        self._say(200, data or b"")

    def do_GET(self) -> None:
        path, query, _ = self._asked()
        if "uploads" in query:
            self._say(200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
        elif path in self.liar.kept:
            self._say(200, self.liar.kept[path])
        else:
            self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self) -> None:
        path, query, data = self._asked()
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        if number := query.get("partNumber"):
            self.liar.parts[int(number[0])] = data
            self._say(200, ETag=tag)
            return
        self._say(200, self.liar.keep(path, data), ETag=tag)

    def do_POST(self) -> None:
        path, query, _ = self._asked()
        if "uploads" in query:
            body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            self._say(200, body)
            return
        whole = b"".join(data for _, data in sorted(self.liar.parts.items()))
        answer = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        self._say(200, self.liar.keep(path, whole) or answer)


def keys(client, bucket: str) -> list[str]:
    """List the objects of a bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", ())]


def body(client, bucket: str, key: str) -> bytes:
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def safe(name: str) -> str:
    """Make a bucket's name of any text."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
