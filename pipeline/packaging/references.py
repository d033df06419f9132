"""What our own descriptions of a bag lead to: PREMIS and the tables beside it.

Every identifier that premis.xml links to is one it defines; every file it describes is
in the bag, of its size, with the digests of the manifests; every row of metadata.csv
and rights.csv is of a file that is there. The XML is a stranger's all the same: a
document type, and so an entity, is refused before anything is made of it.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.parsers import expat

from msgspec import Struct, field
from msgspec.json import decode

from pipeline.model import Finding
from pipeline.packaging.names import show
from pipeline.packaging.premis import NAMESPACE
from pipeline.packaging.rendering import one_line
from pipeline.packaging.rules import finding
from pipeline.packaging.tables import METADATA_PATH, RIGHTS_PATH
from pipeline.packaging.tagfiles import Tags, tagged
from pipeline.packaging.tree import Tree
from pipeline.packaging.walk import reason

PREMIS_PATH = "data/metadata/premis.xml"
LARGEST = 1 << 24  # bytes of one description; more is not read
DEEPEST = 100  # elements within elements; PREMIS needs ten
TABLES = {METADATA_PATH: "filename", RIGHTS_PATH: "file"}  # and the column of names

_DEFINES = {
    "objectIdentifier": "object",
    "eventIdentifier": "event",
    "agentIdentifier": "agent",
    "rightsStatementIdentifier": "rights statement",
}
_LEADS = {
    "linkingObjectIdentifier": "object",
    "relatedObjectIdentifier": "object",
    "linkingEventIdentifier": "event",
    "relatedEventIdentifier": "event",
    "linkingAgentIdentifier": "agent",
    "linkingRightsStatementIdentifier": "rights statement",
}
_TEXTS = ("originalName", "size", "messageDigestAlgorithm", "messageDigest")
_TYPE = "http://www.w3.org/2001/XMLSchema-instance type"

Name = tuple[str, str, str]  # of what kind, the type of the identifier, its value


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a file of the bag: its size, and what manifests say of it."""

    size: int
    digests: Mapping[str, str] = field(default_factory=dict)  # hex, by algorithm


Find = Callable[[str], Known | None]  # a file of the bag by its path, if it is there


def check_bag(tree: Tree, find: Find) -> Iterator[Finding]:
    """Yield what is wrong with the descriptions in a bag of ours, those it has."""
    data, found = _read(tree, PREMIS_PATH, "premis-malformed")
    yield from found if data is None else check_premis(data, find)
    for path in TABLES:
        data, found = _read(tree, path, "metadata-malformed")
        yield from found if data is None else check_table(path, data, find)


def check_label(tree: Tree, tags: Tags) -> Iterator[Finding]:
    """Yield where bag-info.txt says another thing than the story inside.

    A label that is not there says nothing; the profile tells which there must be.
    """
    for file, told in (
        ("data/metadata/capture.json", _capture_labels),
        ("data/metadata/run.json", _run_labels),
    ):
        story = _object(_read(tree, file, "label-mismatch")[0])
        for label, value in told(story) if story else ():
            for said in tagged(tags, label):
                if said != one_line(value):
                    message = (
                        f"{label} is '{_shown(said)}', {file} has '{_shown(value)}'"
                    )
                    yield finding("label-mismatch", "bag-info.txt", message)


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        told = decode(data or b"")
    except (ValueError, RecursionError):  # told where the WARC is checked
        return {}
    return told if isinstance(told, dict) else {}


def _capture_labels(story: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    source = story.get("source")
    source = source if isinstance(source, dict) else {}
    return (
        ("Internal-Sender-Identifier", str(story.get("bag"))),
        ("External-Identifier", f"{story.get('job')}/{source.get('id')}"),
        ("Bag-Group-Identifier", str(story.get("run"))),
        ("Evidence-Source-URL", str(source.get("url"))),
        ("Evidence-Captured-At", str(story.get("started"))),
        ("Evidence-Verdict", str(story.get("verdict"))),
    )


def _run_labels(story: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return (
        ("Internal-Sender-Identifier", str(story.get("run"))),
        ("External-Identifier", f"{story.get('job')}/run"),
        ("Bag-Group-Identifier", str(story.get("run"))),
        ("Evidence-Captured-At", str(story.get("started"))),
    )


def _read(tree: Tree, path: str, code: str) -> tuple[bytes | None, list[Finding]]:
    """Read a description whole, if it is there, not endless."""
    try:
        data = b"".join(tree.pieces(path.encode(), most=LARGEST + 1))
    except FileNotFoundError:  # that it is missing is told as such
        return None, []
    except OSError as error:
        return None, [finding(code, path, f"cannot be read: {reason(error)}")]
    if len(data) > LARGEST:
        message = f"it is larger than {LARGEST:,} bytes and was not read"
        return None, [finding("limit", path, message)]
    return data, []


def check_premis(data: bytes, find: Find) -> Iterator[Finding]:
    """Yield what premis.xml says that leads nowhere or that the manifests deny."""
    reader = _Premis()
    try:
        reader.read(data)
    except (expat.ExpatError, _RefusedError) as error:
        yield finding("premis-malformed", PREMIS_PATH, f"not read: {error}")
        return
    for message in reader.odd:
        yield finding("premis-malformed", PREMIS_PATH, message)
    for name in reader.twice:
        yield finding("premis-reference", PREMIS_PATH, f"{_said(name)} is there twice")
    for name in reader.leads:
        if name not in reader.defined:
            message = f"it links to {_said(name)}, which it does not describe"
            yield finding("premis-reference", PREMIS_PATH, message)
    for one in reader.files:
        yield from _file(one, find)


def check_table(path: str, data: bytes, find: Find) -> Iterator[Finding]:
    """Yield the rows of metadata.csv or rights.csv that describe no file of the bag."""
    column = TABLES[path]
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        header = next(rows, [])
        if header[:1] != [column] or len(header) == 1 or not all(header):
            message = f"its header does not begin with {column} and name every column"
            yield finding("metadata-malformed", path, message)
            return
        seen: set[str] = set()
        for row in rows:
            where = f"line {rows.line_num}"
            if len(row) != len(header):
                message = f"{where}: {len(row)} cells under {len(header)} columns"
                yield finding("metadata-malformed", path, message)
            elif odd := _odd_row(row[0], seen, find):
                yield finding("metadata-reference", path, f"{where}: {odd}")
    except (csv.Error, UnicodeDecodeError) as error:
        yield finding("metadata-malformed", path, f"not read to its end: {error}")


def _odd_row(name: str, seen: set[str], find: Find) -> str:
    """Say what is wrong with whom a row describes."""
    if name in seen:
        return f"{_shown(name)} has a row already"
    seen.add(name)
    return "" if find(name) else f"{_shown(name)} is no file of the bag"


def _shown(text: str) -> str:
    return show(text.encode("utf-8", "surrogatepass"))


def _said(name: Name) -> str:
    kind, sort, value = name
    return f"the {kind} {_shown(sort)} '{_shown(value)}'"


# ------------------------------------------------------------------------------ PREMIS


class _File(Struct, kw_only=True):
    """A file as premis.xml describes it."""

    path: str = ""
    sizes: list[str] = field(default_factory=list)
    digests: list[tuple[str, str]] = field(default_factory=list)


def _file(one: _File, find: Find) -> Iterator[Finding]:
    if not one.path:
        message = "it describes a file without originalName"
        yield finding("premis-malformed", PREMIS_PATH, message)
        return
    shown = _shown(one.path)
    known = find(one.path)
    if known is None:
        message = f"it describes {shown}, which is no file of the bag"
        yield finding("premis-reference", PREMIS_PATH, message)
        return
    for size in one.sizes:
        if size != str(known.size):
            message = f"it says {shown} has {_shown(size)} bytes, found {known.size}"
            yield finding("premis-fixity", PREMIS_PATH, message)
    if not one.digests:
        message = f"it says nothing of the fixity of {shown}"
        yield finding("premis-fixity", PREMIS_PATH, message)
    for algorithm, digest in one.digests:
        listed = known.digests.get(algorithm.replace("-", "").lower())
        if listed is not None and digest.lower() != listed:
            said = f"it says {_shown(algorithm)} of {shown} is {_shown(digest)}"
            message = f"{said}, the manifest {listed}"
            yield finding("premis-fixity", PREMIS_PATH, message)


class _RefusedError(Exception):
    """The document holds what no description of ours does."""


class _Premis:
    """What a PREMIS document defines, and what it links to."""

    def __init__(self) -> None:
        self.defined: set[Name] = set()
        self.twice: dict[Name, None] = {}
        self.leads: dict[Name, None] = {}
        self.files: list[_File] = []
        self.odd: dict[str, None] = {}
        self._path: list[str] = []  # the names of the open elements
        self._text: list[str] = []
        self._pair = ["", ""]  # type and value of the identifier under way
        self._algorithm = ""
        self._file: _File | None = None

    def read(self, data: bytes) -> None:
        """Read the document whole. Raises ExpatError and _RefusedError."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(data, True)

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("it declares a document type, which PREMIS has no need of")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if not self._path and (space, local) != (NAMESPACE, "premis"):
            raise _RefusedError(f"its root is {_shown(local)}, expected PREMIS 3")
        if len(self._path) >= DEEPEST:
            raise _RefusedError(f"elements stand deeper than {DEEPEST}")
        self._path.append(local if space == NAMESPACE else "")
        self._text.clear()
        if local in _DEFINES or local in _LEADS:
            self._pair = ["", ""]
        if self._path[1:] == ["object"]:
            is_file = attributes.get(_TYPE, "").rpartition(":")[2] == "file"
            self._file = _File() if is_file else None

    def _end(self, _: str) -> None:
        local = self._path.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        if local.endswith(("IdentifierType", "IdentifierValue")):
            self._pair[local.endswith("Value")] = text
        elif local in _DEFINES:
            self._define((_DEFINES[local], self._pair[0], self._pair[1]))
        elif local in _LEADS:
            self.leads[_LEADS[local], self._pair[0], self._pair[1]] = None
        elif local == "object" and self._file:
            self.files.append(self._file)
            self._file = None
        elif local in _TEXTS and self._file:
            self._note(self._file, local, text)

    def _define(self, name: Name) -> None:
        if not all(name):
            self.odd[f"the identifier of an {name[0]} lacks its type or value"] = None
        if name in self.defined:
            self.twice[name] = None
        self.defined.add(name)

    def _note(self, file: _File, local: str, text: str) -> None:
        match local:
            case "originalName":
                file.path = text
            case "size":
                file.sizes.append(text)
            case "messageDigestAlgorithm":
                self._algorithm = text
            case _:
                file.digests.append((self._algorithm, text))
