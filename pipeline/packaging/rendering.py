"""Values told as files: JSON, lines of JSON, CSV and plain text.

Everything here is pure, and the same value always gives the same bytes: UTF-8 without
a byte order mark, fields in the order of the model. Text that came off the wire may
hold what no reader of these formats would survive (half a surrogate pair, a NUL in
XML, a line break in a CSV cell): ``readable``, ``one_line`` and ``xml_text`` put
U+FFFD or a space in its place. The bytes themselves stand in the WARC.

A CSV cell of a bag is always quoted and never altered to please a spreadsheet: a cell
that begins with ``=``, ``+``, ``-`` or ``@`` is data here, and is to be opened as text.
What is written to be opened in a spreadsheet goes through ``inert`` first.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from math import isfinite
from typing import TypeAlias

from msgspec import Struct
from msgspec.json import encode
from msgspec.structs import fields

from pipeline.clock import stamp
from pipeline.model import Digest, RecordRef

LAID_OUT = 2  # levels of a JSON document that have a line for each of their parts

Json: TypeAlias = (
    "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
)

# what begins a formula in one spreadsheet or another, and the mark of what is none
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# XML 1.0 section 2.2, production Char; a bare carriage return is taken as a line end
_NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


class Rendering(Struct, frozen=True, kw_only=True):
    """A file of a bag before it is written: where it goes and what it holds."""

    path: str  # relative to the bag, with slashes
    data: bytes
    media_type: str


def readable(text: str) -> str:
    """Put U+FFFD where half a surrogate pair stands, which UTF-8 cannot hold."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Put a space where a control character or a line break stands."""
    return _CONTROLS.sub(" ", readable(text)).strip()


def xml_text(text: str) -> str:
    """Put U+FFFD where a character stands that XML 1.0 has no way to write."""
    return _NOT_XML.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def told(value: object) -> Json:
    """Tell a noun of the model as JSON: every field, by its own name.

    Raises TypeError for a value that is no part of the model, ValueError for a number
    that is none.
    """
    if type(value) is str:
        return readable(value)
    if isinstance(value, tuple):
        return [told(item) for item in value]
    if isinstance(value, RecordRef):
        return {"record": value.id, "offset": value.offset, "length": value.length}
    if isinstance(value, Struct) and not isinstance(value, Digest):
        return {name: told(getattr(value, name)) for name in _names(type(value))}
    return _plain(value)


@cache
def _names(noun: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(noun))


def _plain(value: object) -> Json:
    match value:
        case float() if not isfinite(value):
            raise ValueError(f"JSON has no number for {value}")
        case None | bool() | int() | float():
            return value
        case str() | Digest():  # an enumeration is spelt as its value
            return readable(str(value))
        case datetime():
            return stamp(value)
        case timedelta():
            return value.total_seconds()
    raise TypeError(f"{type(value).__name__} is no part of the model")


def told_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, Json]:
    """Tell named values as one object; a name given more than once has a list."""
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(readable(name), []).append(readable(value))
    return {n: vs[0] if len(vs) == 1 else list(vs) for n, vs in gathered.items()}


def json_file(path: str, value: Json) -> Rendering:
    """Render one JSON document, laid out for people as much as for programs."""
    return text_file(path, laid_out(value) + "\n", "application/json")


def laid_out(value: Json, depth: int = 0) -> str:
    """Write JSON with a line for each field and item of the upper two levels.

    What is deeper stands on its line: three thousand exchanges are three thousand
    lines, and json's own indentation would take as long as fetching them did.
    """
    if depth == LAID_OUT or not value or not isinstance(value, Mapping | list):
        return _encode(value)
    inner = "\n" + "  " * (depth + 1)
    if isinstance(value, Mapping):
        told = (f"{_encode(k)}: {laid_out(v, depth + 1)}" for k, v in value.items())
        return f"{{{inner}{f',{inner}'.join(told)}{inner[:-2]}}}"
    items = (laid_out(item, LAID_OUT) for item in value)
    return f"[{inner}{f',{inner}'.join(items)}{inner[:-2]}]"


def _encode(value: Json) -> str:
    """Write JSON on one line; msgspec does it in a sixth of json's time."""
    return encode(value).decode()


def jsonl_file(path: str, rows: Iterable[Json]) -> Rendering:
    """Render one JSON value a line."""
    lines = (_encode(row) + "\n" for row in rows)
    return text_file(path, "".join(lines), "application/x-ndjson")


def inert(cell: str) -> str:
    """Keep a spreadsheet from reckoning with a cell: what it sees is text.

    An apostrophe before the cell is how spreadsheets themselves mark text.
    """
    plain = one_line(cell)
    return f"'{plain}" if plain.startswith(FORMULA) else plain


def csv_file(
    path: str, header: Sequence[str], rows: Iterable[Sequence[str]]
) -> Rendering:
    """Render a table, every cell quoted and on one line (RFC 4180)."""
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([one_line(cell) for cell in row] for row in rows)
    return text_file(path, table.getvalue(), "text/csv")


def text_file(path: str, text: str, media_type: str = "text/plain") -> Rendering:
    """Render text as UTF-8."""
    return Rendering(path=path, data=readable(text).encode(), media_type=media_type)
