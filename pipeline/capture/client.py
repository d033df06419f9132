"""Requests in a row for one source: manners, cookies, redirects hop by hop, retries.

``Client.hops`` yields every exchange as it happens: a redirect that is followed, an
attempt that will be repeated, and at last the answer, marked. It records nothing and
judges nothing; the engine does both.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from email.message import Message as EmailMessage
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import ada_url
import requests
from msgspec import Struct
from msgspec.structs import replace
from requests.cookies import (
    RequestsCookieJar,
    extract_cookies_to_jar,
    get_cookie_header,
)
from requests.sessions import SessionRedirectMixin
from requests.structures import CaseInsensitiveDict

from pipeline.capture.assess import retry_after
from pipeline.capture.net import Network
from pipeline.capture.order import Order, Patience, Reply
from pipeline.model import Purpose, Source, TlsPolicy

REDIRECTS = (301, 302, 303, 307, 308)
REDIRECT_LIMIT = 10
BACKOFF = 1.0  # seconds before the second attempt, doubled each time
LONGEST_WAIT = timedelta(minutes=5)  # of a Retry-After that we sit out
TOO_MANY = 429
SERVER_ERRORS = range(500, 600)
TRANSIENT = ("dns", "connect", "timeout", "reset", "no-response")
OURS = {"cookie": "Cookie", "referer": "Referer"}  # names that a request adds to
LONGEST_COOKIE = 4096  # bytes, attributes and all (RFC 6265, 6.1)
MOST_COOKIES = 3000  # of one visit, likewise
COOKIE_ROOM = 16 * 1024  # bytes of cookies in one request; servers take no more
LONGEST_URL = 8192  # characters; a longer one breaks readers of the WARC
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT_ENCODING = "gzip, deflate, br"
# RFC 6265bis 5.6, step 1: a cookie with control characters is none. An age that no
# number holds, or none, makes Python's cookie jar complain on standard error.
NO_COOKIE = re.compile(
    r"[\0-\x08\x0a-\x1f\x7f]|max-age\s*(?:=\s*\S{20}|;|$)", re.IGNORECASE
)


class Hop(Struct, frozen=True, kw_only=True):
    """One exchange on the way to an answer."""

    reply: Reply
    attempt: int = 1
    location: str = ""  # where a redirect leads, resolved
    is_final: bool = False
    stopped: str = ""  # redirect-limit, unsupported-scheme, deferred; "" = answered
    detail: str = ""  # the same in words


class Manner(Struct, frozen=True, kw_only=True):
    """How to ask: why, on whose behalf, how patiently."""

    purpose: Purpose
    referrer: str = ""
    delay: float = 0.0
    retries: int = 0
    longest_wait: timedelta = LONGEST_WAIT  # of a Retry-After that is sat out
    max_size: int | None = None  # bytes of one response; the source's where not given


class Client:
    """One source's conversation with the web; its cookies live as long as it does."""

    def __init__(
        self,
        *,
        network: Network,
        source: Source,
        folder: Path,
        headers: Mapping[str, str],
        secrets: tuple[bytes, ...] = (),
    ) -> None:
        self._network = network
        self._clock = network.clock
        self._folder = folder
        spelt = CaseInsensitiveDict(headers).items()  # each once, the last counts
        self._headers = {OURS.get(name.lower(), name): value for name, value in spelt}
        self._secrets = secrets
        self._home = ada_url.URL(source.url).href
        self._cookies = RequestsCookieJar()
        self._cookies_taken = 0
        self._ahead: Order | None = None
        self.takes_invalid = source.tls is TlsPolicy.RECORD
        self.patience = Patience(
            timeout=source.timeout.total_seconds(),
            ends_at=self._clock.monotonic() + source.deadline.total_seconds(),
            max_size=source.max_size,
        )

    @property
    def is_out_of_time(self) -> bool:
        """Tell whether the source's deadline has passed."""
        return self._clock.monotonic() >= self.patience.ends_at

    @property
    def is_ahead(self) -> bool:
        """Tell whether a request has gone out whose answer was not asked for yet."""
        return self._ahead is not None

    def ahead(self, url: str, manner: Manner) -> None:
        """Send the next request while the last answer is being kept, if it may be.

        The next ``hops`` is to be for the same URL in the same manner.
        """
        order = self._order(url, manner)
        if self._network.ahead(order):
            self._ahead = order

    def close(self) -> None:
        """Give up what was sent ahead, if the visit ends before its answer."""
        if self._ahead is not None:
            self._network.withdraw(self._ahead)
            self._ahead = None

    def hops(self, url: str, manner: Manner) -> Iterator[Hop]:
        """Ask for a URL and yield every exchange until an answer or a reason to stop.

        Raises StorageError where a large body can't be spooled.
        """
        for redirects in range(REDIRECT_LIMIT + 1):
            for hop in self._attempts(url, manner):
                if hop.location and redirects == REDIRECT_LIMIT:
                    yield _stopped(hop, "redirect-limit", f"{redirects} redirects")
                    return
                yield hop
            if hop.is_final:
                return
            url = hop.location

    def _attempts(self, url: str, manner: Manner) -> Iterator[Hop]:
        """Ask for one URL, again where it may help; the last hop is its answer."""
        for attempt in range(1, manner.retries + 2):
            reply = self._ask(url, manner)
            wait = self._wait(reply, attempt, manner.longest_wait)
            if wait is None:
                break
            if wait > manner.longest_wait.total_seconds():
                asked = timedelta(seconds=round(wait))
                hop = Hop(reply=reply, attempt=attempt)
                yield _stopped(hop, "deferred", f"the server asks to wait {asked}")
                return
            is_late = self._clock.monotonic() + wait >= self.patience.ends_at
            if attempt > manner.retries or is_late:
                break
            yield Hop(reply=reply, attempt=attempt)
            self._network.pause(wait)
        yield _answered(reply, attempt)

    def _ask(self, url: str, manner: Manner) -> Reply:
        order, self._ahead = self._ahead or self._order(url, manner), None
        assert order.url == url, "what was sent ahead is collected first"
        reply = self._network.fetch(order)
        self._remember(url, reply)
        return reply

    def _order(self, url: str, manner: Manner) -> Order:
        headers = self._headers_for(url)
        if manner.referrer and (told := referrer(manner.referrer, url)):
            headers["Referer"] = told
        if self._cookies_taken and (cookie := self._cookie(url)):
            own = headers.get("Cookie")
            headers["Cookie"] = f"{own}; {cookie}" if own else cookie
        return Order(
            url=url,
            headers=headers,
            folder=self._folder,
            patience=self._patience_for(manner),
            delay=manner.delay,
            secrets=self._secrets,
            takes_invalid=self.takes_invalid,
        )

    def _headers_for(self, url: str) -> dict[str, str]:
        """Choose what to send: a secret goes to the host it was meant for, no other."""
        if not self._secrets:
            return dict(self._headers)
        is_abroad = _MANNERS.should_strip_auth(self._home, url)
        return {
            name: value
            for name, value in self._headers.items()
            if not (is_abroad and value.encode() in self._secrets)
        }

    def _cookie(self, url: str) -> str:
        told = str(get_cookie_header(self._cookies, _asked(url)) or "")
        if len(told) <= COOKIE_ROOM:
            return told
        return told[:COOKIE_ROOM].rpartition("; ")[0]

    def _patience_for(self, manner: Manner) -> Patience:
        if manner.max_size is None:
            return self.patience
        return replace(self.patience, max_size=manner.max_size)

    def _remember(self, url: str, reply: Reply) -> None:
        """Keep the cookies of a response, as a browser would for one visit."""
        told = reply.message.head.values("set-cookie") if reply.message else ()
        cookies = [
            cookie
            for cookie in told
            if len(cookie) <= LONGEST_COOKIE and not NO_COOKIE.search(cookie)
        ][: MOST_COOKIES - self._cookies_taken]
        if not cookies:
            return
        fields = EmailMessage()
        for cookie in cookies:
            fields["Set-Cookie"] = cookie
        carrier = SimpleNamespace(_original_response=SimpleNamespace(msg=fields))
        extract_cookies_to_jar(self._cookies, _asked(url), carrier)
        self._cookies_taken += len(cookies)

    def _wait(self, reply: Reply, attempt: int, longest: timedelta) -> float | None:
        """Return the seconds to wait before asking again, None where it is no use."""
        if not is_worth_repeating(reply):
            return None
        told = reply.message.head.value("retry-after") if reply.message else ""
        asked = retry_after(told, self._clock.now()) if told else None
        backoff = BACKOFF * 2.0 ** (attempt - 1) * (0.5 + self._clock.jitter())
        backoff = min(backoff, longest.total_seconds())
        return max(backoff, asked.total_seconds() if asked else 0.0)


_MANNERS = SessionRedirectMixin()  # requests' own rule for Authorization


def _asked(url: str) -> requests.PreparedRequest:
    """Wrap a URL as requests' cookie jar wants to see it."""
    request = requests.PreparedRequest()
    request.url, request.headers = url, CaseInsensitiveDict()
    return request


def is_worth_repeating(reply: Reply) -> bool:
    """Tell whether a second attempt may end otherwise: no connection, 429, 5xx."""
    if reply.failure:
        return reply.failure in TRANSIENT
    status = reply.message.head.status if reply.message else None
    return status == TOO_MANY or (status or 0) in SERVER_ERRORS


def referrer(page: str, url: str) -> str:
    """Say where a request comes from: all of it to its own origin, else the origin.

    Referrer Policy, 3.4: strict-origin-when-cross-origin.
    """
    origin = _origin(page)
    if url.startswith(origin):
        return page.partition("#")[0]
    if origin.startswith("https:") and not url.startswith("https:"):
        return ""
    return origin


@lru_cache(maxsize=256)
def _origin(page: str) -> str:
    """Return the beginning of every serialised URL of one origin."""
    parts = urlsplit(page)
    return f"{parts.scheme}://{parts.netloc}/"


def _stopped(hop: Hop, reason: str, detail: str) -> Hop:
    return replace(hop, location="", is_final=True, stopped=reason, detail=detail)


def _answered(reply: Reply, attempt: int) -> Hop:
    """Mark an answer: a redirect to follow, or the end."""
    message = reply.message
    if message is None or message.head.status not in REDIRECTS:
        return Hop(reply=reply, attempt=attempt, is_final=True)
    told = message.head.value("location")
    if not told:
        return Hop(reply=reply, attempt=attempt, is_final=True)
    try:
        target = resolved(reply.url, told)
    except ValueError as error:
        hop = Hop(reply=reply, attempt=attempt)
        return _stopped(hop, "unsupported-scheme", str(error))
    return Hop(reply=reply, attempt=attempt, location=target)


def resolved(base: str, told: str) -> str:
    """Resolve a Location header, its fragment dropped, raw UTF-8 understood.

    Raises ValueError where it leads to what is no page: file:, a user's name, nonsense.
    """
    with suppress(UnicodeError):  # else Latin-1, as RFC 9110 5.5 has it
        told = told.encode("latin-1").decode()
    try:
        target = ada_url.URL(told, base=base)
    except ValueError as error:
        raise ValueError("a redirect to what is no URL is not followed") from error
    if target.protocol not in ("http:", "https:"):
        raise ValueError(f"a redirect to {target.protocol} is not followed")
    if target.username or target.password:
        raise ValueError("a redirect that names a user is not followed")
    target.hash = ""
    href = str(target.href)
    if len(href) > LONGEST_URL:
        raise ValueError(f"a redirect to {len(href)} characters is not followed")
    return href
