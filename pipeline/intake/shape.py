"""The shapes a field can have: each kind reads a node, and writes its JSON Schema.

A kind never raises and never stops at the first flaw: what is wrong goes into the
``Ledger`` with its place, and the value comes back as None. So one pass over the tree
finds everything. Which fields there are is said elsewhere.
"""

from collections.abc import Callable
from collections.abc import Mapping as Lookup
from typing import Any, Protocol

from msgspec import Struct, field

from pipeline.intake.notation import (
    START,
    Flaw,
    Hole,
    Mapping,
    Node,
    Scalar,
    Sequence,
    Span,
)
from pipeline.intake.secrecy import telling_parameters
from pipeline.intake.terms import Unfit, folded, nearest, prose, shown, url
from pipeline.model import Severity

Schema = dict[str, object]


class Reference(Struct, frozen=True, kw_only=True):
    """A word that must be the id of a source, and where it stands."""

    text: str
    span: Span
    path: tuple[str, ...]


class Ledger(Struct, frozen=True, kw_only=True):
    """What a reading gathers: flaws, and references to look up at its end."""

    flaws: list[Flaw] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


class Place(Struct, frozen=True, kw_only=True):
    """How far the reading has come: the path, and the key that led here."""

    ledger: Ledger
    path: tuple[str, ...] = ()
    span: Span = START

    def inside(self, name: str, span: Span) -> "Place":
        """Go one step down."""
        return Place(ledger=self.ledger, path=(*self.path, name), span=span)

    def refuse(self, message: str, hint: str = "", *, at: Span | None = None) -> None:
        """Note that what stands here cannot be used."""
        self._note(message, hint, at or self.span, Severity.ERROR)

    def warn(self, message: str, hint: str = "", *, at: Span | None = None) -> None:
        """Note that what stands here can be used, and hardly was meant."""
        self._note(message, hint, at or self.span, Severity.WARNING)

    def _note(self, message: str, hint: str, span: Span, severity: Severity) -> None:
        flaw = Flaw(
            span=span, path=self.path, message=message, hint=hint, severity=severity
        )
        self.ledger.flaws.append(flaw)


class Kind(Protocol):
    """One shape of a value."""

    def read(self, node: Node, at: Place) -> Any:
        """Return the value of a node, or None where it was complained of."""

    def schema(self) -> Schema:
        """Describe the shape as JSON Schema."""


def _found(node: Node) -> str:
    match node:
        case Scalar():
            return shown(node.text) if node.value is not None else "nothing"
        case Sequence():
            return "a list"
        case _:
            return "a block of fields"


def _expect(wanted: str, node: Node, at: Place, hint: str = "") -> None:
    """Complain that a node has another shape than its field."""
    if isinstance(node, Hole):
        return
    if isinstance(node, Scalar) and node.value is None:
        at.refuse("it has no value", hint or "write one, or remove the line")
    else:
        at.refuse(f"expected {wanted}, found {_found(node)}", hint, at=node.span)


def _text(node: Node, at: Place, wanted: str) -> str | None:
    """Take the text of a scalar as it was written, numbers and dates too."""
    if not isinstance(node, Scalar) or node.value is None:
        _expect(wanted, node, at)
    elif isinstance(node.value, bool):
        _expect(wanted, node, at, f'write "{node.text}" in quotes to mean the word')
    else:
        return node.text.strip()
    return None


class Text(Struct, frozen=True, kw_only=True):
    """A scalar whose text one of the ``terms`` understands."""

    parse: Callable[[str], object] = prose
    wanted: str = "text"
    form: Lookup[str, object] = field(default_factory=lambda: {"type": "string"})

    def read(self, node: Node, at: Place) -> Any:
        """Return what the text means."""
        text = _text(node, at, self.wanted)
        if text is None:
            return None
        try:
            return self.parse(text)
        except Unfit as unfit:
            at.refuse(unfit.message, unfit.hint, at=node.span)
            return None

    def schema(self) -> Schema:
        """Describe the text as the terms know it."""
        return dict(self.form)


class Address(Struct, frozen=True):
    """An address of the web, watched for secrets that it carries along."""

    def read(self, node: Node, at: Place) -> str | None:
        """Return the address as it was cited."""
        address: str | None = Text(parse=url, wanted="an address").read(node, at)
        names = telling_parameters(address) if address else ()
        if names:
            told = ", ".join(f'"{name}"' for name in dict.fromkeys(names))
            message = f"the parameter {told} looks like a secret, and will be kept"
            hint = "leave it out if the page comes without it"
            at.warn(message, hint, at=node.span)
        return address

    def schema(self) -> Schema:
        """Describe an address."""
        return {
            "type": "string",
            "format": "iri",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://.",
        }


class SourceId(Struct, frozen=True):
    """The id of a source of this manifest; whether there is one is asked at the end."""

    def read(self, node: Node, at: Place) -> str | None:
        """Return the id, and note that it has to be looked up."""
        text = _text(node, at, "the id of a source")
        if text is not None:
            reference = Reference(text=text, span=node.span, path=at.path)
            at.ledger.references.append(reference)
        return text

    def schema(self) -> Schema:
        """Describe an id."""
        return {"type": "string"}


class Flag(Struct, frozen=True):
    """True or false, and no other word for it."""

    def read(self, node: Node, at: Place) -> bool | None:
        """Return which of the two."""
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        word = node.text.strip().lower() if isinstance(node, Scalar) else ""
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(
            word, word
        )
        hint = f"write {meant}, without quotes" if meant in ("true", "false") else ""
        _expect("true or false", node, at, hint)
        return None

    def schema(self) -> Schema:
        """Describe a boolean."""
        return {"type": "boolean"}


class Whole(Struct, frozen=True):
    """A whole number within limits."""

    least: int
    most: int

    def read(self, node: Node, at: Place) -> int | None:
        """Return the number."""
        value = node.value if isinstance(node, Scalar) else None
        if type(value) is int and self.least <= value <= self.most:
            return value
        wanted = f"a whole number from {self.least} to {self.most}"
        if self.least == self.most:
            wanted = f"{self.least}"
        text = node.text.strip() if isinstance(node, Scalar) else ""
        hint = "write it without quotes" if value == text and text.isdecimal() else ""
        _expect(wanted, node, at, hint)
        return None

    def schema(self) -> Schema:
        """Describe the limits."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Fraction(Struct, frozen=True):
    """A number from 0 to 1."""

    def read(self, node: Node, at: Place) -> float | None:
        """Return the number."""
        value = node.value if isinstance(node, Scalar) else None
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 <= value <= 1
        ):
            return float(value)
        _expect("a number from 0 to 1", node, at)
        return None

    def schema(self) -> Schema:
        """Describe the limits."""
        return {"type": "number", "minimum": 0, "maximum": 1}


class Choice(Struct, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]
    make: Callable[[str], object] = str

    def read(self, node: Node, at: Place) -> Any:
        """Return the word, as its enumeration has it."""
        text = _text(node, at, f"one of {', '.join(self.words)}")
        if text is None or text in self.words:
            return None if text is None else self.make(text)
        message = f"{shown(text)} is not one of {', '.join(self.words)}"
        at.refuse(message, nearest(text, self.words), at=node.span)
        return None

    def schema(self) -> Schema:
        """List the words."""
        return {"enum": list(self.words)}


class Many(Struct, frozen=True, kw_only=True):
    """A list; one value alone is a list of one."""

    of: Kind
    least: int = 0

    def read(self, node: Node, at: Place) -> tuple[Any, ...] | None:
        """Return the values, each once."""
        if not isinstance(node, Sequence):
            value = self.of.read(node, at)
            return None if value is None else (value,)
        if len(node.items) < self.least:
            at.refuse("the list is empty", "name at least one", at=node.span)
            return None
        values: dict[Any, None] = {}
        for number, item in enumerate(node.items):
            inside = at.inside(str(number), item.span)
            value = self.of.read(item, inside)
            if value in values:
                inside.warn("it stands in this list twice", "one of them is enough")
            if value is not None:
                values[value] = None
        return tuple(values)

    def schema(self) -> Schema:
        """Describe one value or several."""
        one = self.of.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": self.least}]}


class Entry(Struct, frozen=True, kw_only=True):
    """One line of a table: its name, the nodes it was made of, its value."""

    name: str
    key: Node
    node: Node
    value: Any


class Table(Struct, frozen=True, kw_only=True):
    """A block whose keys are the author's own words."""

    key: Callable[[str], str]
    value: Kind
    wanted: str

    def read(self, node: Node, at: Place) -> tuple[Entry, ...] | None:
        """Return the entries that can be used."""
        if not isinstance(node, Mapping):
            _expect(self.wanted, node, at)
            return None
        seen: dict[str, Scalar] = {}
        entries = []
        for key, value in node.pairs:
            inside = at.inside(key.text, key.span)
            self._judge_twin(key, seen, inside)
            name = Text(parse=self.key).read(key, inside)
            read = self.value.read(value, inside)
            if name is not None and read is not None:
                entries.append(Entry(name=name, key=key, node=value, value=read))
        return tuple(entries)

    def _judge_twin(self, key: Scalar, seen: dict[str, Scalar], at: Place) -> None:
        """Refuse a name that some file systems cannot tell from another."""
        first = seen.setdefault(folded(key.text), key)
        if first.text != key.text:
            where = f"{shown(first.text)} on line {first.span.line}"
            at.refuse(
                f"it differs from {where} only in its spelling", "choose another name"
            )

    def schema(self) -> Schema:
        """Describe the values; the keys are free."""
        return {"type": "object", "additionalProperties": self.value.schema()}


class Pairs(Struct, frozen=True, kw_only=True):
    """A table read as names and values; a list of values repeats the name."""

    table: Table

    def read(self, node: Node, at: Place) -> tuple[tuple[str, str], ...] | None:
        """Return the pairs in their order."""
        entries = self.table.read(node, at)
        if entries is None:
            return None
        return tuple(
            (entry.name, value)
            for entry in entries
            for value in (
                entry.value if isinstance(entry.value, tuple) else (entry.value,)
            )
        )

    def schema(self) -> Schema:
        """Describe the table."""
        return self.table.schema()


# ---------------------------------------------------------------------------- blocks


class Field(Struct, frozen=True):
    """One field of a block: its kind, what it is for, its default as one writes it."""

    kind: Kind
    says: str
    default: str = ""


class Block(Struct, frozen=True, kw_only=True):
    """A block of fields, all of them known.

    ``unbuilt`` names what belongs to the contract and does not work yet, as
    ``block.field``, ``block.field: value``, or ``block.field: *`` for every value but
    the default; ``homes`` says where a field belongs that people write here by mistake.
    """

    name: str
    fields: Lookup[str, Field]
    required: tuple[str, ...] = ()
    short: str = ""  # the field that a bare value stands for
    unbuilt: frozenset[str] = frozenset()
    homes: Lookup[str, str] = field(default_factory=dict)
    make: Callable[..., Any] = dict

    def read(self, node: Node, at: Place) -> Any:
        """Return what ``make`` makes of the fields that are written and right."""
        if self.short and not isinstance(node, Mapping):
            value = self.fields[self.short].kind.read(node, at)
            return None if value is None else self.make(**{self.short: value})
        if not isinstance(node, Mapping):
            _expect(f"a block of fields: {', '.join(self._built())}", node, at)
            return None
        values: dict[str, Any] = {}
        for key, child in node.pairs:
            value = self._read_field(key, child, at.inside(key.text, key.span))
            if value is not None:
                values[key.text] = value
        missing = [name for name in self.required if node.get(name) is None]
        for name in missing:
            self._miss(name, node, at)
        unread = any(name not in values for name in self.required)
        return None if unread and self.make is not dict else self.make(**values)

    def _read_field(self, key: Scalar, node: Node, at: Place) -> Any:
        known = self.fields.get(key.text)
        if f"{self.name}.{key.text}" in self.unbuilt:
            at.refuse("not supported yet", "remove it; it would have no effect")
        elif known is None:
            at.refuse(f"there is no field {shown(key.text)} here", self._hint(key.text))
        elif isinstance(node, Scalar) and self._is_unbuilt(key.text, node.text.strip()):
            at.refuse(
                f"{shown(node.text)} is not supported yet",
                self._instead(key.text),
                at=node.span,
            )
        else:
            return known.kind.read(node, at)
        return None

    def _is_unbuilt(self, name: str, text: str) -> bool:
        line = f"{self.name}.{name}"
        if f"{line}: *" in self.unbuilt:
            return text not in ("", self.fields[name].default)
        return f"{line}: {text}" in self.unbuilt

    def _instead(self, name: str) -> str:
        kind = self.fields[name].kind
        words = kind.words if isinstance(kind, Choice) else (self.fields[name].default,)
        built = [word for word in words if not self._is_unbuilt(name, word)]
        return f"write {' or '.join(built)}, or remove the line"

    def _hint(self, name: str) -> str:
        known = self._built()
        if name in self.homes:
            return self.homes[name]
        return nearest(name, self.fields) or f"known here: {', '.join(known)}"

    def _built(self) -> tuple[str, ...]:
        return tuple(
            name for name in self.fields if f"{self.name}.{name}" not in self.unbuilt
        )

    def _miss(self, name: str, node: Mapping, at: Place) -> None:
        span = at.span if at.path else node.span
        hint = f"add {name}: {self.fields[name].says}"
        at.refuse(f'"{name}" is missing', hint, at=span)

    def schema(self) -> Schema:
        """Describe the fields that are built; no others are allowed."""
        block: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: self._property(name) for name in self._built()},
        }
        if self.required:
            block["required"] = list(self.required)
        if self.short:
            return {"anyOf": [self.fields[self.short].kind.schema(), block]}
        return block

    def _property(self, name: str) -> Schema:
        known = self.fields[name]
        written = known.kind.schema()
        if isinstance(known.kind, Choice):
            words = [
                word for word in known.kind.words if not self._is_unbuilt(name, word)
            ]
            written = {"enum": words}
        default: Schema = {"default": _as_json(known.default)} if known.default else {}
        return {"description": known.says, **default, **written}


def _as_json(default: str) -> object:
    """Turn a default, as one would write it, into JSON's own types."""
    return Scalar(START, default, plain=True).value
