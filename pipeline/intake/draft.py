"""A manifest written from a list, so that ``check`` accepts it (pure).

Ids are made as a plain list of addresses would have them: the host, and 8 digits of
the address's sha256. The draft goes through the same reading as any manifest; a source
that fails there is left out and told of, so that one line keeps no other back.
"""

import json
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.intake import manifest
from pipeline.intake.lists import Listed, Reading, Remark
from pipeline.intake.terms import Unfit, folded, identifier, identifier_of, language
from pipeline.model import Severity

HEAD = """\
# Made from {origin}. `muniment check` reads it, `muniment plan` tells what a run would
# do; add the words that each source should hold, as quotes.
version: 1
id: {id}
"""
JOINERS = "\u200c\u200d"  # Persian and others need them


class Draft(Struct, frozen=True, kw_only=True):
    """A manifest in text, the number of its sources, and what is told of the list."""

    text: str
    sources: int
    remarks: tuple[Remark, ...]

    @property
    def is_whole(self) -> bool:
        """Tell whether all that was to be a source is one."""
        return not any(one.is_bad for one in self.remarks)


class _Part(Struct, frozen=True, kw_only=True):
    """The lines of one source in the draft, and the line of the list it stands for."""

    line: int
    text: str


def draft(reading: Reading, *, name: str, origin: str) -> Draft:
    """Write a manifest of the id ``name``, leaving out what it cannot hold.

    Raises UsageError where nothing is left to be a source.
    """
    told = list(reading.remarks)
    head = HEAD.format(origin=_plain(origin), id=name)
    if reading.title:
        head += f"title: {_quoted(reading.title)}\n"
    head += "sources:\n"
    parts = tuple(_parts(reading.sources, told.append))
    while parts and (wrong := _wrong(head, parts)):
        told += (
            Remark(line=parts[n].line, message=why, is_bad=True)
            for n, why in wrong.items()
        )
        parts = tuple(part for n, part in enumerate(parts) if n not in wrong)
    if not parts:
        first = next((one for one in told if one.is_bad), None)
        why = f"; line {first.line}: {first.message}" if first else ""
        raise UsageError(f"{origin}: there is no source in it{why}")
    return Draft(
        text=head + "".join(part.text for part in parts),
        sources=len(parts),
        remarks=tuple(sorted(told, key=lambda one: one.line)),
    )


def _parts(
    sources: tuple[Listed, ...], tell: Callable[[Remark], None]
) -> Iterator[_Part]:
    """Write each source under an id of its own."""
    taken: set[str] = set()
    for one in sources:
        fields = dict(one.fields)
        name = _name(one, fields.pop("id", ""), taken, tell)
        if "lang" in fields and not _fits(language, fields["lang"]):
            message = f"{fields.pop('lang')!r} is no language tag; left out"
            tell(Remark(line=one.line, message=message))
        if not fields:
            yield _Part(line=one.line, text=f"  {name}: {_quoted(one.url)}\n")
            continue
        written = {"url": one.url, **fields}.items()
        lines = (f"    {field}: {_quoted(text)}\n" for field, text in written)
        yield _Part(line=one.line, text=f"  {name}:\n{''.join(lines)}")


def _name(
    one: Listed, wanted: str, taken: set[str], tell: Callable[[Remark], None]
) -> str:
    """Choose an id: the one that is wanted, where it is one and free."""
    made = identifier_of(one.url)
    if wanted and (folded(wanted) in taken or not _fits(identifier, wanted)):
        message = f"{_plain(wanted)!r} is no id, or is taken; it is {made} instead"
        tell(Remark(line=one.line, message=message))
        wanted = ""
    name, number = wanted or made, 1
    while folded(name) in taken:
        number += 1
        name = f"{made}-{number}"
    taken.add(folded(name))
    return name


def _wrong(head: str, parts: tuple[_Part, ...]) -> dict[int, str]:
    """Read the draft as any manifest is read, and tell which parts fail, and why.

    Raises UsageError where it is the head that fails.
    """
    begun, line = [], head.count("\n") + 1
    for part in parts:
        begun.append(line)
        line += part.text.count("\n")
    text = head + "".join(part.text for part in parts)
    _, problems = manifest.examine(text.encode(), Path("manifest.yaml"))
    wrong: dict[int, str] = {}
    for problem in problems:
        if problem.severity is Severity.ERROR:
            n = bisect_right(begun, problem.line) - 1
            if n < 0:
                raise UsageError(f"{problem.path}: {problem.message}; {problem.hint}")
            wrong.setdefault(n, problem.message)
    return wrong


def _fits(term: Callable[[str], object], text: str) -> bool:
    try:
        term(text)
    except Unfit:
        return False
    return True


def _quoted(text: str) -> str:
    """Write text in double quotes; YAML reads it as JSON does."""
    return json.dumps(_plain(text), ensure_ascii=False)


def _plain(text: str) -> str:
    """Put a space where a character stands that YAML or a terminal would take amiss."""
    return "".join(
        char
        if char.isprintable() or char in JOINERS or unicodedata.category(char) == "Zs"
        else " "
        for char in text
    ).strip()
