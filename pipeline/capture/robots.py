"""What robots.txt says: asked once per host and run, kept for all (RFC 9309).

The bytes are kept as an exchange like any other; what they mean for one URL is told
beside it. Whether that decides anything is the manifest's ``robots`` field.
"""

import threading
from urllib.parse import urlsplit

from msgspec import Struct, field
from protego import Protego

from pipeline.capture import content
from pipeline.capture.client import Client, Hop, Manner
from pipeline.capture.wire import Message
from pipeline.model import Purpose

MOST_HOSTS = 64  # whose file is held; each is done with its sources in a row
LIMIT = 512 * 1024  # RFC 9309 2.5 asks for at least 500 KiB


class Opinion(Struct, frozen=True, kw_only=True):
    """What a host's robots.txt says of one URL."""

    permits: bool
    because: str
    hops: tuple[Hop, ...]  # how it was got, to be recorded


class _Page(Struct):
    lock: threading.Lock = field(default_factory=threading.Lock)
    hops: tuple[Hop, ...] = ()


class Robots:
    """The robots.txt of the hosts that a run deals with at present. Thread-safe."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, bool], _Page] = {}
        self._guard = threading.Lock()

    def opinion(self, url: str, client: Client, agent: str) -> Opinion:
        """Ask the host of a URL, unless it was asked before, and read the answer.

        Raises StorageError where the answer can't be spooled.
        """
        parts = urlsplit(url)
        address = f"{parts.scheme}://{parts.netloc}/robots.txt"
        # what one source may take, another may not: ``tls: record``
        key = address, client.takes_invalid
        page = self._page(key)
        with page.lock:
            if not page.hops:
                manner = Manner(purpose=Purpose.ROBOTS, max_size=LIMIT)
                page.hops = tuple(client.hops(address, manner))
            hops = page.hops
            if client.is_out_of_time:  # our own impatience, no answer for others
                page.hops = ()
        permits, because = judged(hops[-1], url, agent)
        return Opinion(permits=permits, because=because, hops=hops)

    def _page(self, key: tuple[str, bool]) -> _Page:
        """Take a host's page, and let go of the one that was longest not asked for."""
        with self._guard:
            page = self._pages.pop(key, None) or _Page()
            self._pages[key] = page  # the last taken stands last
            if len(self._pages) > MOST_HOSTS:
                self._pages.pop(next(iter(self._pages)))
        return page


def judged(last: Hop, url: str, agent: str) -> tuple[bool, str]:
    """Read an answer as RFC 9309, 2.3.1 has it: absent permits, a failing host not."""
    message = last.reply.message
    status = message.head.status if message is not None else None
    if last.reply.failure or last.stopped or status is None:
        why = last.reply.failure or last.stopped or "no HTTP"
        return False, f"robots.txt was not to be had ({why})"
    if status in range(400, 500):
        return True, f"there is no robots.txt ({status})"
    if status not in range(200, 300) or message is None:
        return False, f"robots.txt answered {status}"
    if Protego.parse(_text(message)).can_fetch(url, agent):
        return True, "robots.txt permits it"
    return False, "robots.txt disallows it"


def _text(message: Message) -> str:
    """Read the file as RFC 9309, 2.2 has it: UTF-8, here without its coding and BOM."""
    coding = ", ".join(message.head.values("content-encoding"))
    decoded = content.decode(b"".join(message.payload()), coding, limit=LIMIT)
    return content.to_text(decoded.data, "utf-8")
