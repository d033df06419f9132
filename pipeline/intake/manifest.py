"""YAML to Manifest; every complaint has a line and a column.

A manifest is either usable as a whole or refused as a whole, with everything that is
wrong with it told at once: its notation, its fields, what they refer to, its secrets.
Only the manifest's own file is opened, and the document's file looked for; nothing is
fetched, and no secret is resolved.
"""

from collections.abc import Collection, Iterator
from collections.abc import Mapping as Lookup
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import fields, replace

from pipeline.disk import regular
from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.intake import timing
from pipeline.intake.contract import DEPOSITS, MANIFEST, schema
from pipeline.intake.handover import complaints, variables
from pipeline.intake.notation import (
    MAX_BYTES,
    Flaw,
    Mapping,
    Node,
    Scalar,
    Sequence,
    Span,
    cut,
    parse,
)
from pipeline.intake.problem import (
    ManifestError,
    Problem,
    problems_as_json,
    problems_of,
    render,
)
from pipeline.intake.secrecy import Secret, find, is_reference
from pipeline.intake.shape import Entry, Ledger, Place, Reference
from pipeline.intake.terms import nearest, sent, shown
from pipeline.model import (
    Claim,
    Deposit,
    Document,
    Identify,
    Manifest,
    Operator,
    Package,
    Schedule,
    Severity,
    Source,
)

__all__ = [
    "ManifestError",
    "Problem",
    "check",
    "examine",
    "problems_as_json",
    "read",
    "render",
    "require_known",
    "schema",
]

SEAL = "seal"
DOCUMENT = "document"  # the id of the source that the citing text itself is
NEAR = 2000  # ids, in all, that are looked through for ones that were meant
NOBODY = Operator()
_SOURCE_FIELDS = frozenset(each.name for each in fields(Source))


def read(path: Path, *, operator: Operator = NOBODY) -> Manifest:
    """Read a manifest; ``operator`` runs it, unless the manifest names another.

    Raises ManifestError with everything that is wrong, and UsageError where the file
    is absent or cannot be read.
    """
    manifest, problems = check(path, operator=operator)
    if manifest is None:
        raise ManifestError(problems)
    return manifest


def check(
    path: Path,
    *,
    operator: Operator = NOBODY,
    environ: Lookup[str, str] | None = None,
    authorities: Collection[str] | None = None,
) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """Read a manifest and tell what is wrong with it, warnings too.

    With ``environ``, headers that refer to a variable not set in it are warned of;
    with ``authorities``, the names that this machine knows, those that it does not.
    The manifest is None where something is an error. Raises UsageError where the file
    is absent or cannot be read.
    """
    return examine(
        _bytes(path),
        path,
        operator=operator,
        environ=environ,
        authorities=authorities,
    )


def require_known(manifest: Manifest, authorities: Collection[str]) -> None:
    """See that this machine knows every authority that a manifest names.

    Raises ManifestError, with the line: a run would be stamped by others, or nobody.
    """
    if not set(manifest.timestamp or ()) <= set(authorities):
        _, problems = examine(manifest.text, manifest.path, authorities=authorities)
        unknown = (one for one in problems if one.path.startswith(f"{SEAL}."))
        raise ManifestError(
            tuple(replace(one, severity=Severity.ERROR) for one in unknown)
        )


def examine(
    data: bytes,
    path: Path,
    *,
    operator: Operator = NOBODY,
    environ: Lookup[str, str] | None = None,
    authorities: Collection[str] | None = None,
) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """Do the same with a manifest in hand, as if it stood at ``path``."""
    reading = parse(data)
    ledger = Ledger(flaws=list(reading.flaws))
    secrets: tuple[Span, ...] = ()
    draft = _Draft(path=path, data=data, text=reading.text, machine=operator)
    if reading.root is not None:
        values = MANIFEST.read(reading.root, Place(ledger=ledger)) or {}
        draft = replace(draft, root=reading.root, values=values)
        ledger.flaws.extend(_afterthoughts(draft, ledger.references))
        if environ is not None:
            ledger.flaws.extend(_unset_variables(draft, environ))
        if authorities is not None:
            ledger.flaws.extend(_unknown_authorities(draft, authorities))
        found = tuple(find(reading.root))
        ledger.flaws.extend(map(_told, found))
        secrets = tuple(secret.span for secret in found)
    problems = problems_of(
        ledger.flaws, file=str(path), text=reading.text, secrets=secrets
    )
    if any(problem.severity is Severity.ERROR for problem in problems):
        return None, problems
    return _manifest(draft), problems


def _bytes(path: Path) -> bytes:
    """Read a file, and no more of it than a manifest may have."""
    try:
        with regular(path) as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such manifest") from error
    except IsADirectoryError as error:
        message = f"{path}: this is a folder; name the manifest in it"
        raise UsageError(message) from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: {reason}; the manifest cannot be read") from error


class _Draft(Struct, frozen=True, kw_only=True):
    """A manifest on its way: its tree, and the values that were right."""

    path: Path
    data: bytes
    text: str
    machine: Operator  # the operator that the configuration names
    root: Node | None = None
    values: Lookup[str, Any] = field(default_factory=dict)

    def node(self, *names: str) -> Node | None:
        """Return the node at a path of fields."""
        node = self.root
        for name in names:
            node = node.get(name) if isinstance(node, Mapping) else None
        return node

    @property
    def sources(self) -> tuple[Entry, ...]:
        """The sources whose fields could be read."""
        entries: tuple[Entry, ...] = self.values.get("sources", ())
        return entries

    @property
    def operator(self) -> Operator:
        """Who runs it, as a whole: a pseudonym must not gain a real address."""
        named: Operator = self.values.get("operator", self.machine)
        return named

    @property
    def contact(self) -> str:
        """Whom to ask."""
        return str(self.values.get("contact", self.operator.contact))


# --------------------------------------------------- what only the whole can tell


def _afterthoughts(draft: _Draft, references: list[Reference]) -> Iterator[Flaw]:
    """Find what no field can know by itself, be the fields right or wrong."""
    yield from _lost_references(draft, references)
    yield from _twin_addresses(draft)
    yield from _silent_contact(draft)
    yield from _absent_file(draft)
    yield from _unfit_deposits(draft.values.get("deposit", ()))
    yield from _unfit_schedule(draft)


def _lost_references(draft: _Draft, references: list[Reference]) -> Iterator[Flaw]:
    known = _ids(draft)
    if not known:  # that there is no source was said already
        return
    heirs = {e.name for e in draft.sources if "derives_from" not in e.value}
    looks = 1 + NEAR // len(known)
    for reference in references:
        if reference.text not in known:
            message = f"there is no source {shown(reference.text)}"
            among = islice(known, NEAR if looks > 0 else 0)
            hint = nearest(reference.text, among) or f"known are {_some(known)}"
            looks -= 1
        elif _is_of_itself(reference, heirs):
            message = f"{shown(reference.text)} would be derived from itself"
            hint = "remove it, or name another source"
        else:
            continue
        yield Flaw(span=reference.span, path=reference.path, message=message, hint=hint)


def _ids(draft: _Draft) -> dict[str, None]:
    """Name every source that is written, be it right or wrong."""
    written = draft.node("sources")
    keys = (
        (key.text for key, _ in written.pairs) if isinstance(written, Mapping) else ()
    )
    ids = dict.fromkeys((*keys, *(entry.name for entry in draft.sources)))
    cited = (DOCUMENT,) if ids and draft.node(DOCUMENT, "url") else ()
    return ids | dict.fromkeys(cited)


def _some(names: Lookup[str, None], most: int = 8) -> str:
    told = ", ".join(shown(name)[1:-1] for name in islice(names, most))
    return f"{told} and {len(names) - most} more" if len(names) > most else told


def _is_of_itself(reference: Reference, heirs: set[str]) -> bool:
    """Tell whether a source derives from itself, be it by what it inherits."""
    if "derives_from" not in reference.path:
        return False
    if reference.path[0] == "sources":
        return reference.path[1] == reference.text
    return reference.text in heirs


def _twin_addresses(draft: _Draft) -> Iterator[Flaw]:
    first: dict[str, tuple[str, int]] = {}
    for name, path, node, address in _addresses(draft):
        same = sent(address)
        if same not in first:
            first[same] = (name, node.span.line)
            continue
        twin, line = first[same]
        yield Flaw(
            span=node.span,
            path=path,
            message=f'"{twin}" on line {line} has the same address',
            hint="it will be captured twice",
            severity=Severity.WARNING,
        )


def _addresses(draft: _Draft) -> Iterator[tuple[str, tuple[str, ...], Node, str]]:
    """Give each source that has an address: its id, path, node and address."""
    cited = draft.values.get(DOCUMENT, {}).get("url")
    node = draft.node(DOCUMENT, "url")
    if cited and node:
        yield DOCUMENT, (DOCUMENT, "url"), node, cited
    for entry in draft.sources:
        if "url" in entry.value:
            written = entry.node.get("url") if isinstance(entry.node, Mapping) else None
            path = ("sources", entry.name, *(("url",) if written else ()))
            yield entry.name, path, written or entry.node, entry.value["url"]


def _silent_contact(draft: _Draft) -> Iterator[Flaw]:
    if draft.contact:
        return
    named = (("sources", entry.name, "identify") for entry in draft.sources)
    for path in (("defaults", "identify"), *named):
        node = draft.node(*path)
        if isinstance(node, Scalar) and node.text == Identify.CONTACT:
            yield Flaw(
                span=node.span,
                path=path,
                message="there is no contact to identify with",
                hint='add "contact" to the manifest, or to [operator] in muniment.toml',
                severity=Severity.WARNING,
            )


def _absent_file(draft: _Draft) -> Iterator[Flaw]:
    name = draft.values.get(DOCUMENT, {}).get("file")
    node = draft.node(DOCUMENT, "file")
    if not name or not node:
        return
    folder = draft.path.parent
    try:
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
        present = (folder / name).is_file()
    except (OSError, RuntimeError):  # a name too long, a loop of links
        inside = present = False
    if not present or not inside:
        yield Flaw(
            span=node.span,
            path=(DOCUMENT, "file"),
            message=f"there is no file {shown(name)} in the manifest's folder",
            hint="put it there, or remove the line",
        )


def _unfit_deposits(entries: tuple[Entry, ...]) -> Iterator[Flaw]:
    for entry in entries:
        for name, message, hint in complaints(entry.value):
            written = entry.node.get(name) if isinstance(entry.node, Mapping) else None
            yield Flaw(
                span=(written or entry.key).span,
                path=("deposit", entry.name, name),
                message=message,
                hint=hint,
            )


def _unfit_schedule(draft: _Draft) -> Iterator[Flaw]:
    values, written = draft.values.get("schedule"), draft.node("schedule")
    if values is None or written is None:
        return
    for name, message, hint in timing.complaints(values):
        span = (draft.node("schedule", name) or written).span
        yield Flaw(span=span, path=("schedule", name), message=message, hint=hint)
    if not any(draft.node("schedule", name) for name in ("every", "cron")):
        message = "it says neither how often nor when"
        hint = "write every: 7d, or cron: 17 3 * * 1"
        yield Flaw(span=written.span, path=("schedule",), message=message, hint=hint)


def deposits_of(text: str, base: Path) -> tuple[Deposit, ...]:
    """Read deposits that stand in a configuration, told as one JSON object.

    Relative paths in them lean on ``base``. Raises UsageError with all that is wrong.
    """
    reading, ledger = parse(text.encode()), Ledger()
    entries: tuple[Entry, ...] = ()
    if reading.root is not None:
        place = Place(ledger=ledger, path=("deposit",))
        entries = DEPOSITS.read(reading.root, place) or ()
        ledger.flaws.extend(_unfit_deposits(entries))
    found = [*reading.flaws, *ledger.flaws]
    if found:
        told = (f"{'.'.join(one.path)}: {one.message}; {one.hint}" for one in found)
        raise UsageError("; ".join(told))
    return _deposits(entries, base)


def deposits_in(path: Path) -> tuple[Deposit, ...]:
    """Read what a manifest's copy in a run's bag says of deposits, and nothing else.

    Relative paths in them lean on nothing. Raises UsageError where it can't be read.
    """
    root = parse(_bytes(path)).root
    values = MANIFEST.read(root, Place(ledger=Ledger())) if root is not None else None
    entries = (values or {}).get("deposit", ())
    sound = tuple(one for one in entries if not any(complaints(one.value)))
    return _deposits(sound, Path())


def _deposits(entries: tuple[Entry, ...], base: Path) -> tuple[Deposit, ...]:
    return tuple(Deposit(name=one.name, base=base, **one.value) for one in entries)


def _unset_variables(draft: _Draft, environ: Lookup[str, str]) -> Iterator[Flaw]:
    named = (("sources", entry.name, "headers") for entry in draft.sources)
    for path in (("defaults", "headers"), *named):
        headers = draft.node(*path)
        pairs = headers.pairs if isinstance(headers, Mapping) else ()
        for key, value in pairs:
            text = value.text.strip() if isinstance(value, Scalar) else ""
            name = text.removeprefix("env:")
            if name != text and is_reference(text) and name not in environ:
                yield Flaw(
                    span=value.span,
                    path=(*path, key.text),
                    message=f"the variable {shown(name)} is not set",
                    hint="set it before the run, which stops without it",
                    severity=Severity.WARNING,
                )
    for entry in draft.values.get("deposit", ()):
        for name in variables(entry.value):
            if name not in environ:
                yield Flaw(
                    span=entry.key.span,
                    path=("deposit", entry.name),
                    message=f"the variable {shown(name)} is not set",
                    hint="set it before the run, or the deposit fails",
                    severity=Severity.WARNING,
                )
    for n, one in enumerate(draft.values.get("notify", ())):
        name = one.url.removeprefix("env:")
        node = draft.node("notify")
        if node is not None and name != one.url and name not in environ:
            yield Flaw(
                span=node.span,
                path=("notify", str(n)),
                message=f"the variable {shown(name)} is not set",
                hint="set it before the run, or nobody is told",
                severity=Severity.WARNING,
            )


def _unknown_authorities(draft: _Draft, known: Collection[str]) -> Iterator[Flaw]:
    written = draft.node(SEAL, "timestamp")
    items = written.items if isinstance(written, Sequence) else (written,)
    for number, node in enumerate(items):
        if isinstance(node, Scalar) and node.text not in known:
            hint = nearest(node.text, known) or (
                f"known are {_some(dict.fromkeys(known))}"
                if known
                else "it names none: see [[seal.authority]] there"
            )
            yield Flaw(
                span=node.span,
                path=(SEAL, "timestamp", str(number)),
                message=f"muniment.toml names no authority {shown(node.text)}",
                hint=hint,
                severity=Severity.WARNING,
            )


def _told(secret: Secret) -> Flaw:
    is_sent = secret.named or "headers" in secret.path
    return Flaw(
        span=secret.span,
        path=secret.path,
        message="a secret is written out, and the manifest goes into every run bag",
        hint="write env:NAME or file:PATH" if is_sent else "remove it from here",
    )


# ------------------------------------------------------------- values to the nouns


def _manifest(draft: _Draft) -> Manifest:
    values = draft.values
    document = values.get(DOCUMENT)
    return Manifest(
        id=values["id"],
        sources=tuple(_sources(draft)),
        path=draft.path,
        text=draft.data,
        digest=digest_of(draft.data),
        title=values.get("title", ""),
        contact=draft.contact,
        operator=draft.operator,
        document=None if document is None else Document(**document),
        claims=tuple(
            Claim(id=entry.name, **entry.value) for entry in values.get("claims", ())
        ),
        package=Package(**values.get("package", {})),
        deposits=_deposits(values.get("deposit", ()), draft.path.absolute().parent),
        schedule=Schedule(**values["schedule"]) if "schedule" in values else None,
        notify=values.get("notify", ()),
        timestamp=values.get("seal", {}).get("timestamp"),
    )


def _sources(draft: _Draft) -> Iterator[Source]:
    """Make the sources, the document first where it has an address."""
    defaults = draft.values.get("defaults", {})
    document = draft.values.get(DOCUMENT, {})
    if "url" in document:
        yield _source(DOCUMENT, {**defaults, **document}, _document_entry(draft))
    for entry in draft.sources:
        yield _source(entry.name, {**defaults, **entry.value}, _entry(draft, entry))


def _source(name: str, values: dict[str, Any], entry: str) -> Source:
    # ``file`` is the document's alone
    known = {key: value for key, value in values.items() if key in _SOURCE_FIELDS}
    return Source(id=name, entry=entry, **known)


def _entry(draft: _Draft, entry: Entry) -> str:
    """Cut a source's own part out of the text."""
    written = draft.node("sources")
    if isinstance(written, Sequence):
        return f"- {cut(draft.text, entry.key, entry.node, dedent=False)}"
    flow = isinstance(written, Mapping) and written.flow
    return cut(draft.text, entry.key, entry.node, dedent=not flow)


def _document_entry(draft: _Draft) -> str:
    root = draft.root
    assert isinstance(root, Mapping)  # or there would be no document
    key, node = next(pair for pair in root.pairs if pair[0].text == DOCUMENT)
    return cut(draft.text, key, node, dedent=not root.flow)
