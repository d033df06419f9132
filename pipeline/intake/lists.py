"""Others' lists of sources: seeds, CSV, browsertrix's YAML (pure).

Whatever a list holds, it is either taken as a source or told of with its line: an
address that is none, one that stands there twice, a column or a setting that a manifest
has no place for. Values of settings are never repeated: one of them is a password.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.intake.notation import Mapping, Node, Scalar, Sequence, parse
from pipeline.intake.problem import ManifestError, problems_of
from pipeline.intake.secrecy import hide
from pipeline.intake.terms import Unfit, sent, url

QUOTES = "\"'"
# an apostrophe, and what it keeps a spreadsheet from reckoning with
MARK = "'"
MARKED = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", MARK)
# auto-archiver's column of addresses, and what else it may be called
LINKS = ("link", "url", "links", "urls", "address", "seed")
# columns with a field of a source for them; the first two names are auto-archiver's
COLUMNS = {
    "upload title": "title",
    "upload timestamp": "published",
    "id": "id",
    "source": "id",
    **{
        name: name
        for name in ("title", "published", "publisher", "author", "lang", "note")
    },
}
LONGEST = 200  # characters of names that are repeated
SEEDS = {"seeds", "url"}  # two names of one setting
PAGE = "page"  # the one scope of browsertrix that is ours as well


class Form(StrEnum):
    """How a list is written."""

    SEEDS = "seeds"
    CSV = "csv"
    BROWSERTRIX = "browsertrix"


class Listed(Struct, frozen=True, kw_only=True):
    """One source of a list, and the line that it begins on."""

    line: int
    url: str
    fields: tuple[tuple[str, str], ...] = ()  # by their names in a manifest


class Remark(Struct, frozen=True, kw_only=True):
    """What was not taken as it stands, or not at all; ``line`` is 0 for the whole."""

    line: int
    message: str
    is_bad: bool = False  # something that was to be a source is none


class Reading(Struct, frozen=True, kw_only=True):
    """What a list holds."""

    sources: tuple[Listed, ...] = ()
    remarks: tuple[Remark, ...] = ()
    title: str = ""


def form_of(name: str) -> Form:
    """Tell by the name of a file how its list is written."""
    ending = name.lower().rpartition(".")[2]
    if ending in {"csv", "tsv"}:
        return Form.CSV
    return Form.BROWSERTRIX if ending in {"yaml", "yml"} else Form.SEEDS


def read(data: bytes, form: Form, *, name: str, column: str = "") -> Reading:
    """Read a list; ``column`` names the one with the addresses, of a CSV.

    Raises UsageError for what is no list at all, ManifestError for YAML that is none.
    """
    if form is Form.BROWSERTRIX:
        return _apart(_browsertrix(data, name))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name}:{at}: this is not UTF-8; save the list as UTF-8 and try again"
        ) from error
    if form is Form.CSV:
        return _apart(_csv(text, name, column))
    return _apart(_seeds(text))


def _apart(found: Iterator[Listed | Remark | str]) -> Reading:
    """Tell sources from remarks, and of twins only the first is a source."""
    sources: dict[str, Listed] = {}
    remarks: list[Remark] = []
    title = ""
    for one in found:
        if isinstance(one, str):
            title = one
        elif isinstance(one, Remark):
            remarks.append(one)
        elif (twin := sources.setdefault(sent(one.url), one)) is not one:
            message = f"the same address stands on line {twin.line}; it is taken once"
            remarks.append(Remark(line=one.line, message=message))
    return Reading(
        sources=tuple(sources.values()),
        remarks=tuple(sorted(remarks, key=lambda one: one.line)),
        title=title,
    )


def _listed(
    text: str, line: int, fields: tuple[tuple[str, str], ...] = ()
) -> Listed | Remark:
    """Take an address, in quotes or without."""
    plain = text.strip()
    if len(plain) > 1 and plain[0] in QUOTES and plain[-1] == plain[0]:
        plain = plain[1:-1].strip()
    if not plain.isprintable():
        return _bad(line, "an address holds no control characters")
    try:
        return Listed(line=line, url=url(plain), fields=fields)
    except Unfit as error:
        return _bad(line, str(error))


def _bad(line: int, message: str) -> Remark:
    return Remark(line=line, message=hide(message), is_bad=True)


# ------------------------------------------------------------------------------- seeds


def _seeds(text: str) -> Iterator[Listed | Remark]:
    """Read an address a line; a line that begins with # is a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield _listed(line, number)


# --------------------------------------------------------------------------------- csv


def _csv(text: str, name: str, column: str) -> Iterator[Listed | Remark]:
    """Read a table by its head; without one, the first column has the addresses."""
    rows = _rows(text, name)
    begun, cells = next(rows, (1, [""]))
    head = [cell.strip() for cell in cells]
    links, meant = 0, dict[int, str]()
    if not column and isinstance(first := _listed(head[0], begun), Listed):
        yield first
        head = []  # it was no head but the first of the rows
    else:
        links, meant = _columns(head, name, column)
    left: Counter[int] = Counter()
    for line, row in rows:
        told = {n: cell.strip() for n, cell in enumerate(row) if cell.strip()}
        address = told.pop(links, "")
        left.update(told.keys() - meant.keys())
        fields = {meant[n]: _words(cell) for n, cell in told.items() if n in meant}
        if address:
            yield _listed(address, line, tuple(fields.items()))
        elif told:
            yield _bad(line, "there is no address in this row")
    for n, count in sorted(left.items()):
        title = f'"{head[n]}"' if n < len(head) and head[n] else f"number {n + 1}"
        yield Remark(
            line=begun,
            message=f"the column {title} has no place in a manifest; left out of "
            f"{count:,} row{'' if count == 1 else 's'}",
        )


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, each with the line that it begins on. Raises UsageError."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begun = 1
    try:
        for row in reader:
            if row:
                yield begun, row
            begun = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{name}:{begun}: this is no CSV: {error}; mend it") from error


def _columns(head: list[str], name: str, column: str) -> tuple[int, dict[int, str]]:
    """Find the column with the addresses, and what others mean. Raises UsageError."""
    names = [cell.casefold() for cell in head]
    wanted = (column.casefold(),) if column else LINKS
    links = next((names.index(one) for one in wanted if one in names), None)
    if links is None:
        known = ", ".join(f'"{cell}"' for cell in head if cell) or "none"
        raise UsageError(
            f'{name}: expected a column "{column or "Link"}" with the addresses, found '
            f"{hide(known)[:LONGEST]}; --column names it"
        )
    meant: dict[int, str] = {}
    for n, title in enumerate(names):
        if n != links and title in COLUMNS and COLUMNS[title] not in meant.values():
            meant[n] = COLUMNS[title]
    return links, meant


def _words(text: str) -> str:
    """Take a cell as one line, without what keeps a spreadsheet from reckoning."""
    is_marked = text.startswith(MARK) and text[1:].startswith(MARKED)
    plain = text[1:] if is_marked else text
    return " ".join(plain.split())


# ------------------------------------------------------------------------- browsertrix


def _browsertrix(data: bytes, name: str) -> Iterator[Listed | Remark | str]:
    """Read the seeds of a crawl's configuration. Raises ManifestError, UsageError."""
    reading = parse(data)
    if reading.flaws:
        raise ManifestError(problems_of(reading.flaws, file=name, text=reading.text))
    root, is_page = reading.root, False
    seeds: list[Node] = []
    for key, node in root.pairs if isinstance(root, Mapping) else ():
        if key.text in SEEDS:
            seeds += node.items if isinstance(node, Sequence) else [node]
        elif key.text == "title" and isinstance(node, Scalar):
            yield " ".join(node.text.split())
        elif key.text == "scopeType" and _is_page(node):
            is_page = True
        else:
            yield _unknown(key)
    if not seeds:
        raise UsageError(
            f'{name}: expected "seeds", a list of addresses; there is none'
        )
    follows = False
    for seed in seeds:
        found, own = _seed(seed)
        yield from found
        follows = follows or not (own or is_page)
    if follows:
        yield Remark(
            line=0,
            message="the crawler would follow links within the scope of a seed; a "
            "source is one page, and no link is followed",
        )


def _seed(node: Node) -> tuple[list[Listed | Remark], bool]:
    """Read one seed, and whether it says itself that it is one page."""
    line = node.span.line
    if isinstance(node, Scalar):
        return [_listed(node.text, line)], False
    address = node.get("url") if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(address, Scalar):
        return [_bad(line, "this seed has no url")], False
    is_page = any(key.text == "scopeType" and _is_page(one) for key, one in node.pairs)
    left = [
        _unknown(key)
        for key, one in node.pairs
        if key.text != "url" and not (key.text == "scopeType" and _is_page(one))
    ]
    return [_listed(address.text, line), *left], is_page


def _is_page(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text == PAGE


def _unknown(key: Scalar) -> Remark:
    name = hide(" ".join(key.text.split()))[:LONGEST]
    message = f'"{name}" is the crawler\'s and has no place in a manifest; left out'
    return Remark(line=key.span.line, message=message)
