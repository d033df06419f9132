"""Timestamping authorities, asked over the guarded door.

All are asked at once, each within its own deadline, so that a slow one holds nobody up
beyond that. An answer counts only when ``token`` has judged it. One that failed is left
alone for the rest of the job: its seals are pending, and are asked for later.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.address import Policy
from pipeline.capture.net import Network
from pipeline.capture.order import Order, Patience, Reply
from pipeline.capture.tls import tls_context
from pipeline.clock import Clock
from pipeline.sealing import token
from pipeline.sealing.token import Authority, Token

DEADLINE = 15.0  # seconds for one authority, from the name to the last byte
LARGEST = 1 << 18  # bytes of an answer; a real one has some 6,000
HEADERS = {
    "User-Agent": "Muniment",
    "Content-Type": "application/timestamp-query",  # RFC 3161 3.4
    "Accept": "application/timestamp-reply",
    "Connection": "close",
}
OK = 200


class Stamp(Struct, frozen=True, kw_only=True):
    """A token that was judged good, with the query that it answers."""

    token: Token
    query: bytes
    answer: bytes


class Refusal(Struct, frozen=True, kw_only=True):
    """An authority that gave no good token, and why."""

    authority: str
    reason: str


class Authorities:
    """The authorities of one job. Close it in the end."""

    def __init__(
        self,
        authorities: Sequence[Authority],
        *,
        policy: Policy,
        clock: Clock,
        cacert: Path | None = None,  # roots to be trusted as well, for HTTPS
        deadline: float = DEADLINE,
    ) -> None:
        self.all = tuple(authorities)
        self._clock = clock
        self._deadline = deadline
        self._refusals: dict[str, Refusal] = {}
        tls = tls_context(cacert)
        self._doors = {
            one.name: Network(clock=clock, policy=_opened(policy, one.url), tls=tls)
            for one in authorities
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the authorities, in their order."""
        return tuple(one.name for one in self.all)

    def forgive(self) -> None:
        """Ask again those that failed before."""
        self._refusals.clear()

    def stamp(
        self,
        data: bytes,
        *,
        names: Iterable[str] | None = None,
        queries: Mapping[str, bytes] | None = None,
    ) -> tuple[Stamp | Refusal, ...]:
        """Ask for timestamps over bytes, of all or of those named.

        ``queries`` holds queries that were made before and found no answer.
        """
        wanted = self.names if names is None else tuple(names)
        known = {one.name: one for one in self.all}
        absent = tuple(
            Refusal(authority=name, reason="it is not in the configuration")
            for name in wanted
            if name not in known
        )
        chosen = [known[name] for name in wanted if name in known]
        if not chosen:
            return absent

        def one(authority: Authority) -> Stamp | Refusal:
            asked = (queries or {}).get(authority.name) or token.query(
                data, self._clock.nonce(token.NONCE_BYTES)
            )
            return self._one(authority, data, asked)

        with ThreadPoolExecutor(len(chosen), "authority") as workers:
            return (*workers.map(one, chosen), *absent)

    def _one(self, authority: Authority, data: bytes, asked: bytes) -> Stamp | Refusal:
        if failed := self._refusals.get(authority.name):
            return failed
        try:
            answer = self._asked(authority, asked)
            told = token.judge(answer, data, asked=asked, authority=authority)
            return Stamp(token=told, query=asked, answer=answer)
        except ValueError as error:
            refusal = Refusal(authority=authority.name, reason=str(error))
            self._refusals[authority.name] = refusal
            return refusal

    def _asked(self, authority: Authority, asked: bytes) -> bytes:
        """Make one request, followed nowhere else. Raises ValueError."""
        with tempfile.TemporaryDirectory() as folder:
            order = Order(
                url=authority.url,
                method="POST",
                headers=HEADERS,
                body=asked,
                folder=Path(folder),
                patience=Patience(
                    timeout=self._deadline,
                    ends_at=self._clock.monotonic() + self._deadline,
                    max_size=LARGEST,
                ),
            )
            return _body(self._doors[authority.name].fetch(order))

    def close(self) -> None:
        """Hang up."""
        for door in self._doors.values():
            door.close()


def _opened(policy: Policy, url: str) -> Policy:
    """Let the door lead to the port that the configuration names."""
    parts = urlsplit(url)
    with suppress(ValueError):
        if parts.port and parts.hostname:
            pair = (parts.hostname, parts.port)
            return replace(policy, named=policy.named | {pair})
    return policy


def _body(reply: Reply) -> bytes:
    """Take the answer out of a reply. Raises ValueError where there is none."""
    message = reply.message
    if reply.failure or message is None:
        raise ValueError(reply.detail or reply.failure)
    try:
        if message.truncated:
            raise ValueError(f"the answer broke off ({message.truncated})")
        if message.head.status != OK:
            raise ValueError(f"answered with HTTP status {message.head.status}")
        return b"".join(bytes(piece) for piece in message.payload())
    finally:
        message.block.close()
