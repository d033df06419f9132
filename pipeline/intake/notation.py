"""Strict YAML: bytes to nodes that know their line and column.

What a person writes in a hurry is read with less than YAML allows: one document, UTF-8,
no anchors, aliases, merge keys or tags, no key twice, a bounded size and depth. Scalars
mean what YAML 1.2 says they mean. Nothing here raises for bad content: every flaw comes
back with its place, and whatever could be read comes back beside it. Size and depth are
judged on the event stream, before anything is built. A byte order mark in front is
skipped, since some editors write one. What the fields mean is left to others.
"""

import re
from collections.abc import Iterator
from itertools import takewhile

import yaml
from msgspec import Struct, field
from msgspec.structs import force_setattr

from pipeline.model import Severity

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 20
MAX_NODES = 1_000_000  # an honest manifest has not half as many; it bounds the memory

# libyaml, several times faster, wherever PyYAML was built with it
LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LINE_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1 5.4, as the parser
# YAML 1.2.2 5.1, which is all that XML can hold; a byte order mark only in front (5.2)
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
)
MERGE_KEY = "<<"

# YAML 1.2.2 10.3.2, without octal, hexadecimal, infinities and digits beyond counting
NULL = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?")


class Span(Struct, frozen=True):
    """A stretch of the text: its line and column from 1, its characters from 0."""

    line: int
    column: int
    start: int
    end: int


START = Span(1, 1, 0, 0)


class Scalar(Struct, frozen=True):
    """One value as it was written; ``plain`` where it stands without quotes."""

    span: Span
    text: str
    plain: bool

    @property
    def value(self) -> str | float | bool | None:
        """What YAML 1.2 makes of it; ``NO``, ``0123`` and ``12:30:45`` stay text."""
        if not self.plain:
            return self.text
        if self.text in NULL:
            return None
        if self.text in BOOLEANS:
            return BOOLEANS[self.text]
        if INTEGER.fullmatch(self.text):
            return int(self.text)
        return float(self.text) if FLOAT.fullmatch(self.text) else self.text


class Sequence(Struct, frozen=True):
    """A list."""

    span: Span
    items: "tuple[Node, ...]"
    flow: bool  # in brackets


class Mapping(Struct, frozen=True):
    """Keys and values in their order; a key that stands twice is kept twice."""

    span: Span
    pairs: "tuple[tuple[Scalar, Node], ...]"
    flow: bool  # in braces
    _first: "dict[str, Node]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = {key.text: value for key, value in reversed(self.pairs)}
        force_setattr(self, "_first", first)

    def get(self, name: str) -> "Node | None":
        """Return the value of the first key of this name."""
        return self._first.get(name)


class Hole(Struct, frozen=True):
    """Where something stands that was complained of already."""

    span: Span


Node = Scalar | Sequence | Mapping | Hole


class Flaw(Struct, frozen=True, kw_only=True):
    """One complaint: where it is, what is wrong, what to do."""

    span: Span
    message: str
    hint: str = ""
    path: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR


class Reading(Struct, frozen=True, kw_only=True):
    """What came of reading: the text, its tree as far as it has one, the flaws."""

    text: str
    root: Node | None = None
    flaws: tuple[Flaw, ...] = ()


def parse(data: bytes, *, loader: type[yaml.SafeLoader] = LOADER) -> Reading:
    """Read bytes as one strict YAML document; never raises, whatever they hold."""
    text, flaw = _decode(data)
    if flaw:
        return Reading(text=text, flaws=(flaw,))
    builder = _Builder()
    try:
        builder.take_all(yaml.parse(text, Loader=loader))
    except _StopReading as stop:
        return Reading(text=text, flaws=(*builder.flaws, stop.flaw))
    except yaml.YAMLError as error:
        return Reading(text=text, flaws=(*builder.flaws, _syntax(error, text)))
    except (OverflowError, ValueError):  # PyYAML's own parser: chr() of \UFFFFFFFF
        odd = Flaw(span=START, message="an escape names no Unicode character")
        return Reading(text=text, flaws=(*builder.flaws, odd))
    if builder.root is None:
        empty = Flaw(span=START, message="the file is empty", hint=STARTER)
        return Reading(text=text, flaws=(*builder.flaws, empty))
    return Reading(text=text, root=builder.root, flaws=tuple(builder.flaws))


STARTER = "a manifest begins with version, id and sources"


def cut(text: str, first: Node, last: Node, *, dedent: bool = True) -> str:
    """Cut out what stands from one node to another, as written, its margin removed.

    A remark behind it on its last line belongs to it.
    """
    piece = text[first.span.start : last.span.end].rstrip()
    end = first.span.start + len(piece)
    remark = re.compile(r"[ \t]+#[^\n\r\x85\u2028\u2029]*").match(text, end)
    piece += remark[0].rstrip() if remark else ""
    if dedent:
        margin = rf"(?<=[\n\r\x85\u2028\u2029]) {{1,{first.span.column - 1}}}"
        piece = re.sub(margin, "", piece) if first.span.column > 1 else piece
    return piece + "\n"


# -------------------------------------------------------------------- bytes to text


def _decode(data: bytes) -> tuple[str, Flaw | None]:
    if len(data) > MAX_BYTES:
        return "", Flaw(
            span=START,
            message=f"the file is larger than {MAX_BYTES >> 20} MiB",
            hint="split it into several manifests",
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", Flaw(
            span=START,
            message="the file is UTF-16, and a manifest is UTF-8",
            hint="save it again as UTF-8",
        )
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        readable = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        return data.decode("utf-8", "replace").removeprefix("\ufeff"), Flaw(
            span=span_at(readable, len(readable)),
            message=f"byte 0x{data[error.start]:02x} is not UTF-8",
            hint="save the file again as UTF-8",
        )
    odd = UNPRINTABLE.search(text)
    return text, _unprintable(odd[0], span_at(text, odd.start())) if odd else None


def _unprintable(character: str, span: Span, path: tuple[str, ...] = ()) -> Flaw:
    return Flaw(
        span=span,
        path=path,
        message=f"the character U+{ord(character):04X} may not stand in a manifest",
        hint="remove it; it shows nothing, and XML cannot hold it",
    )


def span_at(text: str, index: int) -> Span:
    """Find the line and column of a character."""
    line, begin = 1, 0
    for line_break in LINE_BREAK.finditer(text, 0, index):
        line, begin = line + 1, line_break.end()
    return Span(line, index - begin + 1, index, index)


# ------------------------------------------------------------------ events to nodes


class _StopReading(Exception):  # noqa: N818 - it never leaves this module
    """The text is such that reading on is not safe."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


class _Open(Struct):
    """A collection that has begun and not ended. Keys and values take turns."""

    start: Span
    flow: bool
    is_mapping: bool
    children: list[Node] = field(default_factory=list)

    def label(self) -> str:
        """Name what is being read in it: a key or a position."""
        if not self.is_mapping:
            return str(len(self.children))
        if len(self.children) % 2 == 0:
            return ""
        key = self.children[-1]
        return key.text if isinstance(key, Scalar) else "?"


class _Builder:
    """Makes nodes of events, and knows at any moment the path they stand at."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.flaws: list[Flaw] = []
        self._open: list[_Open] = []
        self._nodes = 0

    def take_all(self, events: "Iterator[yaml.Event]") -> None:
        """Take events until they end or a second document begins."""
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                message = "a second document begins here, and a manifest is one"
                hint = "put it into a file of its own"
                self._complain(_span(event), message, hint)
                return
            self._take(event)

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._judge_node(event)
                self._take_scalar(event)
            case yaml.AliasEvent():
                self._take_alias(event)
            case yaml.DocumentStartEvent():
                self._judge_version(event)
            case yaml.CollectionStartEvent():
                self._judge_node(event)
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                flow = bool(event.flow_style)
                self._open.append(_Open(_span(event), flow, is_mapping))
                self._judge_depth(event)
            case yaml.CollectionEndEvent():
                self._close(event)
            case _:
                pass  # the stream and the document have no content of their own

    def _path(self) -> tuple[str, ...]:
        return tuple(label for frame in self._open if (label := frame.label()))

    def _complain(self, span: Span, message: str, hint: str) -> None:
        path = self._path()
        self.flaws.append(Flaw(span=span, path=path, message=message, hint=hint))

    def _judge_version(self, event: yaml.DocumentStartEvent) -> None:
        if event.version not in (None, (1, 2)):
            message = f"%YAML {event.version[0]}.{event.version[1]} is not YAML 1.2"
            self._complain(_span(event), message, "remove this line")

    def _judge_node(self, event: yaml.NodeEvent) -> None:
        # the names are not repeated: a password may begin with & or * or !
        span = _span(event)
        if event.anchor is not None:
            message = "an anchor (&) is not allowed"
            self._complain(span, message, 'what sources share goes into "defaults"')
        if getattr(event, "tag", None) is not None:
            message = "a tag (!) is not allowed"
            self._complain(span, message, "remove it, or put the value in quotes")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            message = f"there are more than {MAX_NODES:,} values in the file"
            raise _StopReading(Flaw(span=span, message=message))

    def _judge_depth(self, event: yaml.NodeEvent) -> None:
        if len(self._open) > MAX_DEPTH:
            message = f"blocks stand more than {MAX_DEPTH} deep in one another"
            raise _StopReading(Flaw(span=_span(event), message=message))

    def _take_alias(self, event: yaml.AliasEvent) -> None:
        span = _span(event)
        # a merge key is complained of as such when its block ends
        if not self._open or self._open[-1].label() != MERGE_KEY:
            message = "an alias (*) is not allowed"
            hint = "write the value out, in quotes if it begins with *"
            self._complain(span, message, hint)
        self._add(Hole(span))

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        span = _span(event)
        odd = UNPRINTABLE.search(event.value)  # an escape may write what text may not
        if odd:
            self.flaws.append(_unprintable(odd[0], span, self._path()))
            self._add(Hole(span))
        else:
            plain = event.style in (None, "")
            self._add(Scalar(span, event.value, plain))

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        frame = self._open.pop()
        start, children = frame.start, frame.children
        end = _span(event).end
        if not frame.flow and children:
            # libyaml ends a block where the next one begins, behind remarks
            end = children[-1].span.end
        span = Span(start.line, start.column, start.start, end)
        if frame.is_mapping:
            pairs = tuple(self._pairs(children))
            self._add(Mapping(span, pairs, frame.flow))
        else:
            self._add(Sequence(span, tuple(children), frame.flow))

    def _pairs(self, children: list[Node]) -> Iterator[tuple[Scalar, Node]]:
        lines: dict[str, int] = {}
        for key, value in zip(children[::2], children[1::2], strict=True):
            if isinstance(key, Hole):
                continue
            if not isinstance(key, Scalar):
                message = "a list or a block cannot be a key"
                self._complain(key.span, message, "a key is one word")
            elif key.text == MERGE_KEY and key.plain:
                message = 'the merge key "<<" is not allowed'
                hint = 'what sources share goes into "defaults"'
                self._complain(key.span, message, hint)
            else:
                self._judge_twice(key, lines)
                yield key, value

    def _judge_twice(self, key: Scalar, lines: dict[str, int]) -> None:
        here = key.span.line
        if key.text not in lines:
            lines[key.text] = here
            return
        flaw = Flaw(
            span=key.span,
            path=(*self._path(), key.text),
            message=f"written twice, on line {lines[key.text]} and on line {here}",
            hint="keep one of the two, or give one another name",
        )
        self.flaws.append(flaw)

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node


def _span(event: yaml.Event) -> Span:
    start, end = event.start_mark, event.end_mark
    assert start is not None  # every event of a text has its marks
    assert end is not None
    return Span(start.line + 1, start.column + 1, start.index, end.index)


# ------------------------------------------------------------ what is no YAML at all

# what the parser says -> what a person should look at
REMEDIES = (
    ("mapping values", "a value with a colon and a space in it stands in quotes"),
    ("unexpected end of stream", "close the quotes that were opened there"),
    ("cannot start any token", "a value that begins like this stands in quotes"),
    ("',' or ']'", "close the bracket that was opened there"),
    ("',' or '}'", "close the brace that was opened there"),
    ("sequence entries", "a list begins on a line of its own"),
    ("undefined tag", "tags are not allowed; put the value in quotes"),
    ("escape", "write a backslash twice, or use single quotes: 'C:\\x'"),
    ("hexdecimal", "after \\x, \\u and \\U come 2, 4 and 8 hexadecimal digits"),
    ("expected key", "look at the indentation and the quotes of this line"),
    ("block end", "look at the indentation and the quotes of this line"),
    ("'-' indicator", "begin each line of the list with a dash"),
    ("could not find expected ':'", "a key is followed by a colon and a space"),
)
TABS = "indent with spaces, not with tabs"


def _syntax(error: yaml.YAMLError, text: str) -> Flaw:
    """Tell a parser's complaint in our words."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Flaw(
            span=START, message="not valid YAML", hint="is this the right file?"
        )
    problem = str(getattr(error, "problem", None) or "it cannot be read")
    opened = getattr(error, "context_mark", None)
    context = str(getattr(error, "context", None) or "")
    if context and opened is not None:
        problem += f" ({context} that began on line {opened.line + 1})"
    index = min(mark.index, len(text))
    return Flaw(
        span=span_at(text, index),
        message=f"not valid YAML: {problem}",
        hint=_remedy(problem, text[index - mark.column : index + 1]),
    )


def _remedy(problem: str, line: str) -> str:
    margin = "".join(takewhile(str.isspace, line))
    if "\t" in margin:
        return TABS
    return next((remedy for words, remedy in REMEDIES if words in problem), "")
