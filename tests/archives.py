"""Other archives on loopback: an Archivematica and an Internet Archive that behave.

Or misbehave, where a test says so. They answer as the real ones do, as far as their
sources and documents tell, and know nothing of our code.
"""

import base64
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

USER, KEY = "archivist", "am-key-of-the-test-0123456789abcdef"
ACCESS, SECRET = "IAaccess", "ia-secret-of-the-test"
LOCATION = "2a2e8f51-4c1f-4f0e-9a59-3c8e5d1c7b11"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    archive = None

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _any(self):
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size)
        if len(data) == size:  # else the line was cut
            self.archive.answer(self, self.command, self.path, data)

    do_GET = do_HEAD = do_PUT = do_POST = _any  # noqa: N815 - http.server's names


class Server:
    """A server on a port of its own."""

    def __init__(self):
        handler = type("Handler", (_Handler,), {"archive": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.asked = []
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Archivematica(Server):
    """Takes unzipped bags from a folder, and is a while about it."""

    def __init__(self, drop: Path, **oddities):
        super().__init__()
        self.drop = drop
        self.transfers = {}  # uuid: what was asked for
        self.keys = []
        self.looks = {}  # uuid: how often somebody asked
        self.odd = oddities
        self.configurations = ["default", "automated"]

    def answer(self, to, method, path, data):
        path = urlsplit(path).path
        self.asked.append((method, path, data))
        if key := to.headers.get("Idempotency-Key"):
            self.keys.append(key)
        if to.headers.get("Authorization") != f"ApiKey {USER}:{KEY}":
            body = {"message": "API key not valid.", "error": True}
            self._tell(to, 403, body)
        elif path.startswith("/api/processing-configuration"):
            self._tell(to, 200, {"processing_configurations": self.configurations})
        elif path == "/api/v2beta/package/" and method == "POST":
            self._tell(to, *self._package(json.loads(data)))
        else:
            _, _, unit, _, one = path.rstrip("/").split("/")
            self._tell(to, *self._status(unit, one))

    def _tell(self, to, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        to.say(status, data, Content_Type="application/json")

    def _package(self, told):
        if "package" in self.odd:
            return self.odd["package"]
        location, _, path = base64.b64decode(told["path"]).decode().partition(":")
        if location != LOCATION or not (self.drop / path).is_dir():
            return 500, {"error": True, "message": "Package cannot be created"}
        one = str(uuid.uuid4())
        self.transfers[one] = told
        return 202, {"id": one}

    def _status(self, unit, one):
        self.looks[one] = self.looks.get(one, 0) + 1
        if unit in self.odd:
            return self.odd[unit](one, self.looks[one])
        if self.looks[one] == 1:  # it is so for a while after a transfer was begun
            message = f"Unable to determine the status of the unit {one}"
            return 400, {"error": True, "message": message}
        if self.looks[one] == 2:
            return 200, self.told(one, unit, "PROCESSING")
        return 200, self.told(one, unit, "COMPLETE")

    def told(self, one, unit, status, **fields):
        if unit == "transfer" and status == "COMPLETE":
            fields.setdefault("sip_uuid", str(uuid.uuid5(uuid.UUID(one), "sip")))
        name = self.transfers.get(one, {}).get("name", "x")
        return {
            "type": "SIP" if unit == "ingest" else "transfer",
            "uuid": one,
            "name": name,
            "directory": f"{name}-{one}",
            "status": status,
            "microservice": "Verify transfer compliance",
            "message": f"Fetched status for {one} successfully.",
            **fields,
        }


class InternetArchive(Server):
    """Keeps files in items, shows them late, and leads elsewhere to read them."""

    def __init__(self, *, late=0, lie=lambda data: data, body=b"", full=False):
        super().__init__()
        self.kept = {}
        self.late, self.lie, self.body, self.full = late, lie, body, full
        self.heads = []
        self.node = _Node(self)

    def answer(self, to, method, path, data):
        path, query = unquote(urlsplit(path).path), urlsplit(path).query
        self.asked.append((method, path))
        if to.headers.get("Authorization") != f"LOW {ACCESS}:{SECRET}":
            to.say(
                403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
            )
        elif "check_limit" in query:
            to.say(200, json.dumps({"over_limit": int(self.full)}).encode())
        elif method == "PUT":
            self.heads.append(dict(to.headers))
            if (kept := self.lie(data)) is not None:
                self.kept[path] = kept
            to.say(200, self.body)
        elif path not in self.kept or self._is_late(method):
            to.say(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif method == "HEAD":
            to.say(200)
        else:
            to.say(307, Location=f"{self.node.url}{path}")

    def _is_late(self, method):
        if method == "GET" and self.late:
            self.late -= 1
            return True
        return False

    def close(self):
        self.node.close()
        super().close()


class _Node(Server):
    """Where the bytes are; nobody shows it a secret."""

    def __init__(self, archive):
        super().__init__()
        self.archive = archive

    def answer(self, to, method, path, data):
        assert "Authorization" not in to.headers
        self.asked.append((method, path))
        to.say(200, self.archive.kept[unquote(path)])
