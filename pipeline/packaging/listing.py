"""Manifests and fetch.txt read into columns, line by line, with what is wrong in them.

A line that is no entry, or leads where no bag may lead, becomes a finding and is left
out; small departures that readers forgive are told once for each manifest.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from pipeline.model import Severity
from pipeline.packaging import names, tagfiles
from pipeline.packaging.contents import PAYLOAD, Column, Inventory, Listing
from pipeline.packaging.encoding import LONGEST
from pipeline.packaging.names import show
from pipeline.packaging.rules import WARNING, Verdicts

MOST_ROWS = 5_000_000  # paths of one bag that are kept in memory
MOST_JUNK = 1000  # lines that are no entries, told one by one
_USUAL = re.compile(  # parts that start with no dot and hold nothing odd
    rb"data(?:/[^/.%*\\\x00][^/%*\\\x00]*)+", re.DOTALL
).fullmatch
_FULL = f"only the first {MOST_ROWS:,} paths of the bag were read"
_FETCH = tagfiles.ManifestName(
    file="fetch.txt", is_tag=False, algorithm="", shown="fetch.txt"
)
_FORGIVEN = {  # small departures, told once for each manifest
    "dot": "paths begin with './' or double a slash",
    "star": "paths begin with the '*' of md5sum (RFC 8493 6.1.3)",
    "slash": "lines are escaped with the backslash of GNU's tools (RFC 8493 6.1.3)",
}


class Reader:
    """Reads the manifests of one bag into columns, beside its inventory."""

    def __init__(
        self, inventory: Inventory, verdicts: Verdicts, *, strict: bool, keep: bool
    ) -> None:
        self._inventory = inventory
        self._verdicts = verdicts
        self._strict = strict
        self._keep = keep
        self._forgiven: Counter[str] = Counter()
        self._junk = tagfiles.Heap()

    def read(self, name: tagfiles.ManifestName, lines: Iterable[bytes]) -> Column:
        """Read one manifest."""
        column = Column(name, keep=self._keep)
        self._forgiven, self._junk = Counter(), tagfiles.Heap(MOST_JUNK)
        take = self._take if column.width and not name.is_tag else _never
        paths = self._inventory.paths
        for number, line in enumerate(lines, 1):
            if len(paths) >= MOST_ROWS:
                self._verdicts.add("limit", name.shown, _FULL)
                break
            if not take(column, line):
                self._line(column, number, line)
        self._tell("malformed-line", name.shown, "'checksum filepath'")
        return column

    def _take(self, column: Column, line: bytes) -> bool:
        """Note a line that needs no second look, as nearly all of them are.

        A path that has a row was looked at when it got it: it stands on disk, or came
        from another manifest.
        """
        end = 2 * column.width
        path = line[end + 2 :]
        if line[end : end + 2] != b"  " or path[:5] != PAYLOAD or b"%" in path:
            return False
        row = self._inventory.row(path)
        if row is None:
            if len(line) > LONGEST or not _USUAL(path):
                return False
            row = self._inventory.add(path)
        return column.take(row, line[:end])

    def _line(self, column: Column, number: int, line: bytes) -> None:
        entry = tagfiles.parse_entry(line)
        if entry is None or len(line) > LONGEST or b"\0" in line:
            self._junk.add(number, line)
            return
        slash, digest, path = entry
        if slash:
            self._forgiven["slash"] += 1
            path = tagfiles.unslash(path)
        path = self._path(column, number, path)
        if not path:
            return
        came = column.note(self._inventory.add(path), digest)
        if came is not Listing.NEW:
            self._say(came, column, number, path, digest)

    def _say(
        self, came: Listing, column: Column, number: int, path: bytes, digest: bytes
    ) -> None:
        where = f"{column.name.shown} line {number}"
        if came is Listing.WIDTH:
            message = (
                f"{where}: a digest of {len(digest)} digits,"
                f" where {column.name.algorithm} has {2 * column.width}"
            )
            self._verdicts.add("malformed-line", show(path), message)
            return
        is_grave = self._strict or came is Listing.OTHER
        how = "with another digest" if came is Listing.OTHER else "with the same digest"
        self._verdicts.add(
            "duplicate-entry",
            show(path),
            f"{where}: listed a second time, {how}",
            severity=Severity.ERROR if is_grave else WARNING,
        )

    def _path(self, column: Column, number: int, listed: bytes) -> bytes:
        """Return the path a line means, or nothing where it may mean none."""
        where = f"{column.name.shown} line {number}"
        path = self._starless(listed)
        if reason := names.unsafe(path):
            self._verdicts.add("unsafe-path", show(path), f"{where}: {reason}")
            return b""
        plain = names.plain(path)
        if plain != path:
            self._forgiven["dot"] += 1
        if reason := self._misplaced(column, plain):
            code = "malformed-line" if column.name.is_tag else "unsafe-path"
            code = "fetch-line" if column.name is _FETCH else code
            self._verdicts.add(code, show(path), f"{where}: {reason}")
            return b""
        return self._decoded(where, plain)

    def _starless(self, listed: bytes) -> bytes:
        if not listed.startswith(b"*") or self._inventory.is_present(listed):
            return listed
        self._forgiven["star"] += 1
        return listed[1:]

    def _misplaced(self, column: Column, path: bytes) -> str:
        if not column.name.is_tag:
            return "" if path.startswith(PAYLOAD) else "it stands outside data/"
        if not path:
            return "it names no file"
        if path.startswith(PAYLOAD):
            return "a tag manifest must not list payload (RFC 8493 2.2.1)"
        other = tagfiles.parse_manifest_name(path.decode(errors="surrogateescape"))
        if other and other.is_tag:
            return "a tag manifest must not list a tag manifest (RFC 8493 2.2.1)"
        return ""

    def _decoded(self, where: str, path: bytes) -> bytes:
        """Read %25, %0A and %0D as what they stand for, or as they are, and say which.

        Drafts before 1.0 encoded less or nothing; what stands on disk decides.
        """
        if b"%" not in path:
            return path
        decoded = tagfiles.decode_path(path)
        if decoded != path and not self._inventory.is_present(decoded):
            if self._inventory.is_present(path):
                message = f"{where}: read literally, as that is the file's name"
                self._verdicts.add("percent-encoding", show(path), message)
                return path
        elif self._strict and tagfiles.has_bare_percent(path):
            message = f"{where}: a % that should have been written %25 is read as it is"
            self._verdicts.add("percent-encoding", show(path), message)
        elif decoded != path and not self._strict:
            message = f"{where}: decoded, as RFC 8493 has it; the draft did not"
            self._verdicts.add("percent-encoding", show(path), message)
        return decoded

    def fetches(self, lines: Iterable[bytes]) -> dict[int, int | None]:
        """Read fetch.txt: the rows to be fetched, and the sizes it gives them."""
        column = Column(_FETCH, keep=False)
        rows: dict[int, int | None] = {}
        self._forgiven, self._junk = Counter(), tagfiles.Heap(MOST_JUNK)
        for number, line in enumerate(lines, 1):
            if len(self._inventory) >= MOST_ROWS:
                self._verdicts.add("limit", "fetch.txt", _FULL)
                break
            fetch = tagfiles.parse_fetch(line) if b"\0" not in line else None
            if fetch is None or len(line) > LONGEST:
                self._junk.add(number, line)
                continue
            path = self._path(column, number, fetch.path)
            if not path:
                continue
            row = self._inventory.add(path)
            if row in rows:
                message = f"fetch.txt line {number}: listed a second time"
                self._verdicts.add("fetch-line", show(path), message)
            rows[row] = fetch.size
            if reason := refused(fetch.url):
                message = f"fetch.txt line {number}: {reason}"
                self._verdicts.add("fetch-refused", show(path), message)
        self._tell("fetch-line", "fetch.txt", "'url length filepath'")
        return rows

    def _tell(self, code: str, file: str, form: str) -> None:
        """Tell what was counted while a file was read."""
        for what, count in self._forgiven.items():
            message = f"{count} {_FORGIVEN[what]}"
            self._verdicts.add(code, file, message, severity=WARNING)
        self._verdicts.extend(self._junk.told(code, file, form))


def _never(_column: Column, _line: bytes) -> bool:
    return False


def refused(url: str) -> str:
    """Say why an address in fetch.txt would never be fetched, as far as it tells."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        return f"the scheme '{show(parts.scheme.encode())}' is not http or https"
    host = parts.hostname or ""
    if host in ("", "localhost") or host.endswith((".localhost", ".local")):
        return f"'{show(host.encode())}' is no public host"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return "" if address.is_global else f"{host} is no public address"
