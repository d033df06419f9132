"""Which records a WARC must hold: what index.cdxj and capture.json say of it.

Both are read as a stranger's: nothing in them is taken for what it should be. A record
found in the WARC is compared with each; what was never found is told in the end.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from pipeline.packaging.gzipmembers import Fault
from pipeline.warc import surt

SHOWN = 200  # characters of a stranger's text in a message
LONGEST_LINE = 1 << 20
INDEXED = ("response", "revisit", "resource")
EXCHANGED = {"response": ("response", "revisit"), "request": ("request",)}
CONNECTED = {"chain": ("metadata",), "lookup": ("resource",)}
DIGESTS = ("sha256", "sha512")  # of these the first that is told is taken


class Seen(Struct, frozen=True, kw_only=True):
    """A record as it was found in the WARC."""

    offset: int
    length: int
    type: str
    id: str
    url: str
    date: str
    payload: str = ""  # as WARC-Payload-Digest has it
    truncated: str = ""
    size: int = 0  # of the block
    payload_size: int = 0
    status: int | None = None
    media_type: str = ""


class _Told(Struct, frozen=True):
    """What one place says of the record at an offset."""

    where: str  # in words: a line of the index, an exchange
    types: tuple[str, ...]
    facts: dict[str, object]  # by the name of a field of Seen
    others: tuple[tuple[str, str], ...] = ()  # key and moment of a line


def shown(value: object) -> str:
    """Put a stranger's value into words, on one line and not at any length."""
    if isinstance(value, str):
        text = ascii(value[: SHOWN + 1])
    elif value is None or isinstance(value, int | float):
        text = str(value)
    else:  # however deep it is nested
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Index:
    """The lines of a CDXJ index, each waiting for its record."""

    def __init__(self, data: bytes, *, file: str) -> None:
        self._file = file
        self._lines: dict[int, _Told] = {}
        self.faults: list[Fault] = []
        if data and not data.endswith(b"\n"):
            self._say("its last line has no end")
        lines = data.splitlines()
        if lines != sorted(lines):
            self._say("its lines are not sorted")
        for number, line in enumerate(lines, 1):
            self._read(line, f"line {number}")

    def meet(self, seen: Seen) -> Iterator[Fault]:
        """Compare a record with its line."""
        if seen.type not in INDEXED:
            return
        told = self._lines.pop(seen.offset, None)
        if told is None:
            at = f"the {seen.type} at offset {seen.offset}"
            yield Fault("warc-index", f"no line leads to {at}, {shown(seen.url)}")
            return
        kind = "warc/revisit" if seen.type == "revisit" else seen.media_type
        yield from _differences("warc-index", told, seen, media_type=kind)
        expected = (("key", _key(seen.url)), ("time", _digits(seen.date)))
        for (name, found), (_, said) in zip(expected, told.others, strict=True):
            if found != said:
                message = f"{name} is {shown(said)}, expected {shown(found)}"
                yield Fault("warc-index", f"{told.where}: {message}")

    def left(self, torn: Iterable[int]) -> Iterator[Fault]:
        """Tell the lines whose records never came, but for those told as torn."""
        return _left("warc-index", self._lines, torn)

    def _read(self, line: bytes, where: str) -> None:
        parts = line[:LONGEST_LINE].split(b" ", 2)
        told = _json(parts[2]) if len(parts) == 3 else None  # noqa: PLR2004 - as split
        offset = _number(told.get("offset")) if isinstance(told, dict) else None
        if not isinstance(told, dict) or offset is None:
            self._say(f"{where} is not key, time and a JSON block with an offset")
            return
        if told.get("filename") != self._file:
            self._say(f"{where} leads to {shown(told.get('filename'))}")
        if offset in self._lines:
            self._say(f"{where}: another line leads to offset {offset} as well")
            return
        self._lines[offset] = _Told(
            where,
            INDEXED,
            {
                "url": told.get("url"),
                "length": told.get("length"),
                "status": told.get("status"),
                "payload": told.get("digest", ""),
                "media_type": told.get("mime", ""),
            },
            tuple(("", part.decode("utf-8", "replace")) for part in parts[:2]),
        )

    def _say(self, message: str) -> None:
        self.faults.append(Fault("warc-index", message))


class Story:
    """Exchanges and connections of capture.json, their records waiting to be found."""

    def __init__(self, capture: dict[str, Any]) -> None:
        self._records: dict[int, _Told] = {}
        self._heads: set[int] = set()
        self.faults: list[Fault] = []
        for number, exchange in enumerate(_dicts(capture.get("exchanges")), 1):
            self._read(exchange, f"exchange {number}")
        connections = _dicts(capture.get("connections"))
        for number, connection in enumerate(connections, 1):
            self._connect(connection, f"connection {number}")
        numbers = {_number(one.get("number")) for one in connections}
        for number, exchange in enumerate(_dicts(capture.get("exchanges")), 1):
            named = exchange.get("connection", 0)  # 0 where none was made
            if named != 0 and _number(named) not in numbers:
                self._say(f"exchange {number}: there is no connection {shown(named)}")

    def method(self, offset: int) -> str:
        """Return the method of the request whose response stands at an offset."""
        return "HEAD" if offset in self._heads else "GET"

    def meet(self, seen: Seen) -> Iterator[Fault]:
        """Compare a record with the exchange or connection that names it."""
        told = self._records.pop(seen.offset, None)
        if told is None:
            if seen.type not in ("response", "revisit", "request"):
                return
            at = f"the {seen.type} at offset {seen.offset}"
            message = f"no exchange names {at}, {shown(seen.url)}"
            yield Fault("warc-capture", message)
            return
        yield from _differences("warc-capture", told, seen)

    def left(self, torn: Iterable[int]) -> Iterator[Fault]:
        """Tell the records that never came, but for those told as torn."""
        return _left("warc-capture", self._records, torn)

    def _read(self, exchange: dict[str, Any], where: str) -> None:
        for role, types in EXCHANGED.items():
            place = exchange.get(role)
            if place is None:
                continue
            offset = _number(place.get("offset")) if isinstance(place, dict) else None
            if offset is None or offset in self._records:
                self._say(f"{where}: its {role} has no offset of its own")
                continue
            facts = _facts(exchange, place, is_response=role == "response")
            self._records[offset] = _Told(f"{where}, {role}", types, facts)
            if exchange.get("method") == "HEAD":  # whose answer has no body to frame
                self._heads.add(offset)

    def _connect(self, connection: dict[str, Any], where: str) -> None:
        """Read what a connection names; several may name the same."""
        for role, types in CONNECTED.items():
            place = connection.get(role)
            if place is None:
                continue
            offset = _number(place.get("offset")) if isinstance(place, dict) else None
            if offset is None:
                self._say(f"{where}: its {role} has no offset")
                continue
            facts = {"id": place.get("record"), "length": place.get("length")}
            told = _Told(f"{where}, {role}", types, facts)
            known = self._records.setdefault(offset, told)
            if (known.types, known.facts) != (told.types, told.facts):
                self._say(f"{where}: its {role} is not where {known.where} is")

    def _say(self, message: str) -> None:
        self.faults.append(Fault("warc-capture", f"capture.json: {message}"))


class Whole:
    """What capture.json, or run.json, says of the file as a whole."""

    def __init__(
        self, told: dict[str, Any], *, path: str, file: str = "capture.json"
    ) -> None:
        self._file = file
        artefacts = _dicts(told.get("artefacts"))
        self._artefact = next((a for a in artefacts if a.get("path") == path), {})
        digests = self._artefact.get("digests")
        self._digests = digests if isinstance(digests, dict) else {}
        self.faults: list[Fault] = []
        if not self._artefact:
            self._say(f"its artefacts do not name {path}")
        elif not self.hash():
            self._say(f"it tells neither sha256 nor sha512 of {path}")

    @property
    def is_told(self) -> bool:
        """Tell whether anything is said of it."""
        return bool(self._artefact)

    def hash(self) -> "hashlib._Hash | None":
        """Return a hash to take of the whole file, where its digest is told."""
        name = next((one for one in DIGESTS if one in self._digests), None)
        return hashlib.new(name) if name else None

    def compare(self, size: int, digest: "hashlib._Hash | None") -> Iterator[Fault]:
        """Compare the whole file with what was told when it was made."""
        told = _number(self._artefact.get("size"))
        if told is not None and size < told:
            message = f"the file is {size} bytes, {self._file} says {told}"
            yield Fault("warc-truncated", f"{message}: {told - size} are gone")
        elif self._artefact and size != told:
            said = shown(self._artefact.get("size"))
            message = f"the file is {size} bytes, {self._file} says {said}"
            yield Fault("warc-capture", message)
        elif digest and digest.hexdigest() != self._digests[digest.name]:
            said = f"its {digest.name} is {digest.hexdigest()}"
            told_hex = shown(self._digests[digest.name])
            yield Fault("warc-capture", f"{said}, {self._file} says {told_hex}")

    def _say(self, message: str) -> None:
        self.faults.append(Fault("warc-capture", f"{self._file}: {message}"))


def _facts(
    exchange: dict[str, Any], place: dict[str, Any], *, is_response: bool
) -> dict[str, object]:
    """Gather what an exchange says of one of its records."""
    facts: dict[str, object] = {
        "id": place.get("record"),
        "length": place.get("length"),
        "url": exchange.get("url"),
        "date": exchange.get("started"),
    }
    if is_response:
        names = ("status", "truncated", "size", "payload_size", "media_type")
        facts |= {name: exchange.get(name) for name in names}
        facts["payload"] = exchange.get("payload")
    return facts


def _differences(
    code: str, told: _Told, seen: Seen, **instead: object
) -> Iterator[Fault]:
    if seen.type not in told.types:
        wanted = " or ".join(told.types)
        message = f"{told.where}: offset {seen.offset} holds a {seen.type}, no {wanted}"
        yield Fault(code, message)
        return
    for name, said in told.facts.items():
        if seen.type == "revisit" and name in ("size", "payload_size"):
            continue  # told of the whole answer, of which the head alone is kept
        found = instead.get(name, getattr(seen, name))
        if found != said or isinstance(said, bool):
            at = f"the record at offset {seen.offset} has {shown(found)}"
            yield Fault(code, f"{told.where}: {name} is {shown(said)}, {at}")


def _left(code: str, told: dict[int, _Told], torn: Iterable[int]) -> Iterator[Fault]:
    known = set(torn)
    for offset, one in told.items():
        if offset not in known:
            message = f"{one.where}: no whole record starts at offset {offset}"
            if "url" in one.facts:
                message += f", {shown(one.facts['url'])}"
            yield Fault(code, message)


def _key(url: str) -> str:
    try:
        return surt(url)
    except ValueError:  # an address that is none has no key
        return ""


def _digits(date: str) -> str:
    return "".join(char for char in date[:19] if char.isdigit())


def _json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _number(value: object) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and isinstance(value, int) and value >= 0 else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return (
        [one for one in value if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )
