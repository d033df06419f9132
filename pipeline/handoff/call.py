"""Calls over HTTP to another archive: nothing of this machine read, failures told.

No proxy, no netrc, no cookie is used but what is handed in; a redirect is followed only
where that is asked for, and then without the secret when it leads elsewhere. What may
pass (no connection, 429, 5xx) is told apart from what will not.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import requests
from msgspec import Struct
from requests.exceptions import RequestException

from pipeline.fixity import PIECE
from pipeline.handoff.target import AbsentError, DepositError, TransientError

PATIENCE = (15.0, 120.0)  # seconds: to connect, and between any two bytes
MOST_ANSWER = 1 << 16  # bytes of an answer that is read as a whole
MOST_SAID = 300  # characters of one, in an error
OK, LED_ON, TOO_MANY, SERVER_FAULT = 200, 300, 429, 500
GONE = frozenset({404, 410})


class Body(Protocol):
    """Bytes to be sent, as many as it says."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Answer(Struct, frozen=True, kw_only=True):
    """What came back, read as a whole."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text, whatever it is."""
        return self.body.decode("utf-8", "replace").strip()

    @property
    def said(self) -> str:
        """Return its beginning on one line, for an error."""
        return " ".join(self.text.split())[:MOST_SAID] or "nothing"


class Caller:
    """Calls to one archive, all with the same headers."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self.address = address.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"Accept-Encoding": "identity", **headers})

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask, and read the answer whole. Raises TransientError, DepositError."""
        with self._asked(method, path, data=body, headers=headers) as response:
            data = bytearray()
            for piece in response.iter_content(PIECE):
                data += piece[: MOST_ANSWER - len(data)]
        return Answer(status=response.status_code, body=bytes(data))

    def ask_json(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Any], Answer]:
        """Ask for a JSON object. Raises DepositError for anything else."""
        kind = {"Content-Type": "application/json"} if body is not None else {}
        answer = self.ask(method, path, body=body, headers={**kind, **(headers or {})})
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise DepositError(
                f"{self.address}{path}: expected a JSON object, found {answer.said};"
                " see whether the address is right"
            )
        return told, answer

    def fetch(self, path: str) -> Iterator[bytes]:
        """Yield the bytes of what is kept, wherever we are led to.

        Raises AbsentError where there is nothing, TransientError, DepositError.
        """
        with self._asked("GET", path, follow=True) as response:
            self.require(response.status_code, path)
            yield from response.iter_content(PIECE)

    def require(self, status: int, path: str, said: str = "") -> None:
        """Raise AbsentError or DepositError for a status that is no success."""
        where = f"{self.address}{path}"
        if status in GONE:
            raise AbsentError(f"{where}: it is not there")
        if not OK <= status < LED_ON:
            raise DepositError(
                f"{where}: the server refuses, with status {status}"
                + (f": {said}" if said else "")
                + "; look at the address, the key and what it may do"
            )

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        *,
        data: Body | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = False,
    ) -> Iterator[requests.Response]:
        """Ask, and hang up in the end; what may pass is raised."""
        where = f"{self.address}{path}"
        try:
            with self._session.request(
                method,
                where,
                data=data,
                headers=headers,
                stream=True,
                timeout=PATIENCE,
                allow_redirects=follow,
            ) as response:
                status = response.status_code
                if status >= SERVER_FAULT or status == TOO_MANY:
                    raise TransientError(
                        f"{where}: status {status} {response.reason}; retry, or look"
                        " after the server"
                    )
                yield response
        except RequestException as error:
            raise TransientError(
                f"{where}: {error}; see whether the server is up, and retry"
            ) from None
