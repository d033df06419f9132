"""A client of the proxy that writes and reads bytes, and nothing it was not told to.

Beside it what a proxy tells, and a WARC in the making, for playback.
"""

import base64
import socket
import ssl
import threading
from contextlib import contextmanager
from ipaddress import ip_network
from queue import Empty, Queue

from msgspec.structs import replace
from origins import FixedClock, trust

from pipeline.capture.address import Policy
from pipeline.capture.line import Reach
from pipeline.capture.proxy import Bounds, Errand, Proxy
from pipeline.capture.shelf import Shelf
from pipeline.clock import SystemClock
from pipeline.fixity import Sink
from pipeline.warc import MEDIA_TYPE, Writer, small_record

LOOPBACK = ip_network("127.0.0.0/8")
WAIT = 20  # seconds that no machine is busy for


class Held(bytes):
    """A block in memory, when the one that was spooled is closed."""

    @property
    def size(self):
        return len(self)

    def __iter__(self):
        yield bytes(self)

    def close(self):
        """Let go of nothing."""


class Kept:
    """What a proxy told, in the order in which it came."""

    def __init__(self):
        self._queue = Queue()

    def __call__(self, one):
        message = one.reply.message
        if message is not None:
            held = Held(b"".join(message.block))
            message.block.close()
            one = replace(
                one, reply=replace(one.reply, message=replace(message, block=held))
            )
        self._queue.put(one)

    def next(self):
        return self._queue.get(timeout=WAIT)

    def rest(self):
        found = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except Empty:
                return found


def block(one):
    return b"".join(one.reply.message.block)


@contextmanager
def recording(folder, *, bounds=None, allow=(LOOPBACK,), cacert=None, policy=None, hears=None, **errand):  # fmt: skip
    """Open a proxy to loopback; give it, and what it tells."""
    told = Kept()
    reach = Reach(
        clock=SystemClock(),
        policy=policy or Policy(allow=allow),
        trust=trust(cacert),
    )
    one = Errand(folder=folder, bounds=bounds or Bounds(), **errand)
    with Proxy(reach, one, hears or told) as proxy:
        yield proxy, told


class Client:
    """One connection to a proxy."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        port = int(endpoint.server.rpartition(":")[2])
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    @property
    def token(self):
        told = f"{self.endpoint.username}:{self.endpoint.password}".encode()
        return b"Proxy-Authorization: Basic %s\r\n" % base64.b64encode(told)

    def send(self, data):
        self.sock.sendall(data)
        return self

    def ask(self, url, *lines, method="GET", body=b""):
        """Ask for a URL of http:, in the absolute form."""
        host = url.split("/")[2]
        head = f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n".encode() + self.token
        return self.send(
            head + b"".join(line.encode() + b"\r\n" for line in lines) + b"\r\n" + body
        )

    def get(self, path, host, *lines, method="GET", body=b""):
        """Ask within a tunnel."""
        head = "\r\n".join(
            [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]
        )
        return self.send(head.encode() + body)

    def connect(self, place):
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n".encode()
        self.send(head + self.token + b"\r\n")
        return self.head()

    def secure(self, place):
        """Open a tunnel and shake hands in it, believing the proxy's authority alone."""
        assert self.connect(place).startswith(b"HTTP/1.1 200 ")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        context.load_verify_locations(cadata=self.endpoint.authority.decode())
        host = place.rpartition(":")[0].strip("[]")
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        return self

    def head(self):
        """Read to the end of a head, and not a byte more."""
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            if not (byte := self.sock.recv(1)):
                return got
            got += byte
        return got

    def exactly(self, size):
        got = b""
        while len(got) < size and (data := self.sock.recv(size - len(got))):
            got += data
        return got

    def all(self):
        """Read until the other side hangs up."""
        got = b""
        try:
            while data := self.sock.recv(65536):
                got += data
        except ConnectionError:
            pass
        return got


class Shelved:
    """A WARC in the making, of exchanges that nobody had."""

    def __init__(self, folder):
        self._sink = Sink(
            folder, "x.warc.gz", algorithms=("sha256",), media_type=MEDIA_TYPE
        )
        self._writer = Writer(self._sink)
        self._clock = FixedClock()
        self.path = folder / "x.warc.gz"

    def put(self, path, block, *lines, method="GET", body=b"", kind="response", fields=(), request=True):  # fmt: skip
        number = self._clock.uuid()
        url = f"https://a.example{path}"
        self._write(kind, f"<urn:uuid:{number}>", url, block, fields)
        if request:
            head = "\r\n".join(
                [f"{method} {path} HTTP/1.1", "Host: a.example", *lines, "", ""]
            )
            beside = (("WARC-Concurrent-To", f"<urn:uuid:{number}>"),)
            self._write("request", f"<urn:uuid:{self._clock.uuid()}>", url, head.encode() + body, beside)  # fmt: skip
        return self

    def _write(self, kind, number, url, block, fields):
        self._clock.seconds += 1
        told = (("WARC-Target-URI", url), *fields)
        self._writer.write(small_record(id=number, type=kind, block=block, date=self._clock.now(), fields=told))  # fmt: skip

    def shelf(self):
        self._sink.finish()
        return Shelf([self.path])


def own_threads():
    return [one for one in threading.enumerate() if one.name == "tunnel"]
