"""The tool tried on what is known, before each run asks anything of anybody.

A page of ours, every byte of it known, is served on loopback and visited by the very
code that visits sources: the same network, the same recorder, the same WARC. What
stands in the WARC then is compared with what was served, byte for byte. The page goes
into no bag; that the test passed is told in each, and a run whose test fails ends.
"""

import socket
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

from pipeline.capture.address import Policy
from pipeline.capture.net import Network
from pipeline.capture.records import WARC_PATH
from pipeline.capture.robots import Robots
from pipeline.capture.tls import Trust
from pipeline.capture.visit import Task, Visited, visit
from pipeline.clock import Clock, SystemClock
from pipeline.errors import PipelineError, StorageError
from pipeline.fixity import digest_of
from pipeline.model import Exchange, Quote, RobotsPolicy, SelfTest, Source

HOST = "127.0.0.1"
PATIENCE = timedelta(seconds=10)  # of a machine that is very busy
WORDS = "Every byte of this page is known beforehand."
# All byte values, in two chunks, one with an extension, and a trailer: what a parser
# between the wire and the record would not leave as it is.
PAGE = b"<title>Known</title>\n<p>%b</p>\n<!--%b-->\n" % (
    WORDS.encode(),
    bytes(range(256)),
)
HALF = len(PAGE) // 2
SERVED = b"".join(
    (
        b"HTTP/1.1 200 OK\r\nContent-type:  text/html; charset=utf-8\r\n",
        b"transfer-ENCODING: chunked\r\nX-Odd: \xff \t\r\nConnection: close\r\n\r\n",
        b"%x;known=yes\r\n%b\r\n" % (HALF, PAGE[:HALF]),
        b"%X\r\n%b\r\n" % (len(PAGE) - HALF, PAGE[HALF:]),
        b"0\r\nX-Trailer: known\r\n\r\n",
    )
)


class SelfTestError(PipelineError):
    """What was recorded of a known page is not what was served."""

    code = "self-test"


def perform(clock: Clock, trust: Trust) -> SelfTest:
    """Visit the known page and compare. Raises SelfTestError, StorageError."""
    at, since = clock.now(), clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="muniment-") as name, served() as site:
        folder = Path(name)
        with reached(trust) as network:
            visited = _visited(folder, site, network)
        facts = compared(folder, site, visited)
    for what, (wanted, found) in facts.items():
        if wanted != found:
            raise _failed(f"{what}: expected {wanted}, found {found}")
    return SelfTest(
        passed=True,
        at=at,
        seconds=round(clock.monotonic() - since, 6),
        block=digest_of(SERVED),
        payload=digest_of(PAGE),
        compared=tuple(facts),
    )


def compared(
    folder: Path, site: "Site", visited: Visited
) -> dict[str, tuple[object, object]]:
    """Set what was served beside what was recorded, by what is compared.

    Raises SelfTestError where there is no record to look at.
    """
    capture = visited.capture
    try:
        (exchange,) = capture.exchanges
        fields, block = record(folder / WARC_PATH, exchange)
    except (ValueError, OSError, zlib.error) as error:
        raise _failed(
            f"its record cannot be read ({error}); {capture.detail}"
        ) from error
    return {
        "verdict": ("captured", capture.verdict.value),
        "block": (digest_of(SERVED), digest_of(block)),
        "block digest": (str(digest_of(SERVED)), fields.get("warc-block-digest")),
        "payload digest": (str(digest_of(PAGE)), fields.get("warc-payload-digest")),
        "payload": (digest_of(PAGE), exchange.payload),
        "request heard": (True, f"GET {PATH} HTTP/1.1" in site.heard),
        "words found": ([True], [one.found for one in capture.quotes]),
    }


def record(warc: Path, exchange: Exchange) -> tuple[dict[str, str], bytes]:
    """Read the response's record from the file, with nothing of ours.

    Raises ValueError, OSError and zlib.error.
    """
    if exchange.response is None:
        raise ValueError(exchange.detail or "there is none")
    with warc.open("rb") as file:
        file.seek(exchange.response.offset)
        member = file.read(exchange.response.length)
    head, _, rest = zlib.decompress(member, zlib.MAX_WBITS | 16).partition(b"\r\n\r\n")
    pairs = (line.partition(":") for line in head.decode().split("\r\n")[1:])
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    return fields, rest[: int(fields.get("content-length", ""))]


def _visited(folder: Path, site: "Site", network: Network) -> Visited:
    source = Source(
        id="self-test",
        url=f"http://{HOST}:{site.port}{PATH}",
        quotes=(Quote(text=WORDS),),
        robots=RobotsPolicy.IGNORE,
        requisites=False,
        text=False,
        delay=timedelta(),
        timeout=PATIENCE,
        deadline=2 * PATIENCE,
        retries=0,
    )
    task = Task(source=source, folder=folder, about=(("software", "Muniment"),))
    try:
        return visit(task, network=network, robots=Robots())
    except StorageError:
        raise  # it says which disk
    except Exception as error:  # whatever it is, the tool is not as it should be
        raise _failed(f"{type(error).__name__}: {error}") from error


@contextmanager
def reached(trust: Trust) -> Iterator[Network]:
    """Open a door that leads to this machine alone, and close it."""
    policy = Policy(allow=(ip_network(f"{HOST}/32"),))
    # A clock of its own: no time and no name of the run's is used up.
    network = Network(clock=SystemClock(), policy=policy, tls=trust)
    try:
        yield network
    finally:
        network.close()


def _failed(what: str) -> SelfTestError:
    return SelfTestError(
        f"the self-test failed, so that nothing was asked of anybody: {what}; a page "
        "served on this machine should be recorded byte for byte. Install Muniment "
        "anew; where that does not help, report it with this line"
    )


# -------------------------------------------------------------------------- the server

PATH = "/known"
HEAD_END = b"\r\n\r\n"
LONGEST_HEAD = 1 << 14


class Site:
    """The known page on a port of the system's choosing, for one visitor."""

    def __init__(self, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        self.heard: list[str] = []  # request lines
        self._listening = listening

    def serve(self) -> None:
        """Answer whoever comes, until nobody may come any more."""
        with suppress(OSError):  # it ends by being shut
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    connection.settimeout(PATIENCE.total_seconds())
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while HEAD_END not in head and len(head) < LONGEST_HEAD:
            if not (data := connection.recv(LONGEST_HEAD)):
                return
            head += data
        self.heard.append(head.partition(b"\r\n")[0].decode("latin-1"))
        connection.sendall(SERVED)


@contextmanager
def served() -> Iterator[Site]:
    """Serve the known page on loopback. Raises SelfTestError where that can't be."""
    try:
        listening = socket.create_server((HOST, 0))
    except OSError as error:
        raise _failed(f"no page can be served on {HOST}: {error}") from error
    with listening:
        site = Site(listening)
        thread = threading.Thread(target=site.serve, name="self-test", daemon=True)
        thread.start()
        try:
            yield site
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # wakes whoever waits
            thread.join(PATIENCE.total_seconds())
