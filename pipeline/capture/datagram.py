"""One question in a datagram, and what answers it: the door for what has no connection.

As everywhere, a name is resolved once, every answer is judged, and the number that was
judged is the one that is asked. What comes is read for a bounded time, from that
number alone, and what does not answer the question is passed over.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.capture import address
from pipeline.capture.order import Contact, UnreachableError
from pipeline.clock import Clock

LARGEST = 1 << 11  # bytes of an answer
MOST_ANSWERS = 16  # that are looked at; a flood ends there

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host, each once, in its order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


class Answer(Struct, frozen=True, kw_only=True):
    """What answered, and when it was asked and came, by our clock."""

    data: bytes
    address: str
    asked: datetime
    answered: datetime


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of whom, and how long to wait. A host and port that are named."""

    host: str
    port: int
    data: bytes
    is_answer: Callable[[bytes], bool]
    deadline: float  # seconds, from the name to the answer


class Datagrams(Struct, frozen=True, kw_only=True):
    """Whom questions may be sent to. Thread-safe."""

    policy: address.Policy
    clock: Clock
    resolve: Resolve = resolve

    def ask(self, question: Question) -> Answer:
        """Send a question once and wait for its answer. Raises UnreachableError."""
        ends_at = self.clock.monotonic() + question.deadline
        ip = self._address(question)
        try:
            return self._asked(question, ip, ends_at)
        except OSError as error:
            said = error.strerror or str(error)
            raise UnreachableError("connect", said, Contact(ip=ip)) from error

    def _address(self, question: Question) -> str:
        """Resolve a name and judge every answer, or raise UnreachableError.

        In a thread of its own: the system's resolver knows no time limit.
        """
        answer: Future[list[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self.resolve(question.host, question.port))
            except (OSError, UnicodeError) as error:
                answer.set_exception(error)

        name = f"resolve {question.host}"
        threading.Thread(target=ask, name=name, daemon=True).start()
        try:
            answers = answer.result(timeout=question.deadline)
        except TimeoutError:
            raise _unknown("no answer to its name in time") from None
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise _unknown(f"its name was not resolved: {why}") from error
        if not answers:
            raise _unknown("its name has no address")
        for one in answers:  # one bad answer among several blocks all
            if refused := address.refusal(one, self.policy.allow):
                said = f"it may not be contacted: {refused}"
                raise UnreachableError("blocked-address", said, Contact())
        return answers[0]

    def _asked(self, question: Question, ip: str, ends_at: float) -> Answer:
        """Ask a number, or raise OSError or UnreachableError."""
        monotonic, said = self.clock.monotonic, "nothing came in time"
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((ip, question.port))  # what others send is not taken
            asked, since = self.clock.now(), monotonic()
            sock.send(question.data)
            for _ in range(MOST_ANSWERS):
                sock.settimeout(max(0.001, ends_at - monotonic()))
                try:
                    data = sock.recv(LARGEST)
                except TimeoutError:
                    break
                took = timedelta(seconds=monotonic() - since)
                if question.is_answer(data):
                    return Answer(
                        data=data, address=ip, asked=asked, answered=asked + took
                    )
                said = "what came does not answer what was asked"
        raise UnreachableError("no-response", said, Contact(ip=ip))


def _unknown(said: str) -> UnreachableError:
    return UnreachableError("dns", said, Contact())
