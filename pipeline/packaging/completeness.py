"""What a bag lists beside what it holds: absent, unlisted, twice named. Pure.

Nothing is opened here: an inventory and the columns of its manifests go in, findings
come out. The digests are another matter.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from msgspec import Struct

from pipeline.packaging import names, tagfiles
from pipeline.packaging.contents import ABSENT, NOT, PAYLOAD, Column, Inventory
from pipeline.packaging.names import show
from pipeline.packaging.rules import ERROR, WARNING, Verdicts

_SEAL = re.compile(rb"seal-\d{4}\.[^/]*")  # laid beside the tag manifests they cover


class Holdings(Struct, frozen=True, kw_only=True):
    """A bag's inventory and what its tag files say of it."""

    inventory: Inventory
    columns: tuple[Column, ...]  # one for each manifest
    fetches: dict[int, int | None]
    strict: bool  # RFC 8493 itself, not a draft

    @property
    def payload(self) -> tuple[Column, ...]:
        """Return the columns of the payload manifests."""
        return tuple(one for one in self.columns if not one.name.is_tag)

    @property
    def tags(self) -> tuple[Column, ...]:
        """Return the columns of the tag manifests."""
        return tuple(one for one in self.columns if one.name.is_tag)


def check_completeness(held: Holdings, verdicts: Verdicts) -> None:
    """Compare every manifest with the files, and the files with every manifest."""
    for column in held.columns:
        column.settle(len(held.inventory))
    _rename_twins(held, verdicts)
    _check_payload(held, verdicts)
    _check_tags(held, verdicts)
    _check_fetches(held, verdicts)


def check_algorithms(held: Holdings, verdicts: Verdicts) -> None:
    """Judge which digests can be computed here, and which are worth computing."""
    for columns in (held.payload, held.tags):
        known = [one for one in columns if one.hash]
        for one in columns:
            if not one.name.is_normal:  # RFC 8493 2.4
                message = f"read as {one.name.algorithm}, which is how it is written"
                file = one.name.shown
                verdicts.add("unknown-algorithm", file, message, severity=WARNING)
            if not one.hash:
                _unknown(one, known, verdicts)
        if known and all(one.name.algorithm in tagfiles.WEAK for one in known):
            message = "md5 and sha1 can be forged; add sha512 for evidence"
            verdicts.add("weak-algorithm", known[0].name.shown, message)


def _unknown(one: Column, known: Sequence[Column], verdicts: Verdicts) -> None:
    shown = show(one.name.algorithm.encode())
    if known:
        covered = ", ".join(other.name.algorithm for other in known)
        message = f"{shown} cannot be computed here; {covered} covers the files"
    else:
        message = f"{shown} cannot be computed here, and nothing else covers the files"
    file = one.name.shown
    severity = WARNING if known else ERROR
    verdicts.add("unknown-algorithm", file, message, severity=severity)


def _check_payload(held: Holdings, verdicts: Verdicts) -> None:
    rows = len(held.inventory)
    payload = held.payload
    states = [one.states for one in payload]
    if not states:
        return
    some = states[0] if len(states) == 1 else bytes(map(max, *states))
    every = states[0] if len(states) == 1 else bytes(map(min, *states))
    sizes, paths = held.inventory.sizes, held.inventory.paths
    for row in range(rows):
        if sizes[row] == ABSENT:
            if some[row]:
                _missing(held, payload, row, verdicts)
        elif not every[row] and paths[row].startswith(PAYLOAD):
            _unlisted(held, row, verdicts)


def _missing(
    held: Holdings, payload: Sequence[Column], row: int, verdicts: Verdicts
) -> None:
    path = held.inventory.paths[row]
    if path in held.inventory.special:  # told as what it is
        return
    listed = _listing(payload, row)
    if path in held.inventory.folders:  # RFC 8493 2.1.3
        message = f"a folder, listed in {listed}, where files alone may stand"
        verdicts.add("malformed-line", show(path), message)
    elif row in held.fetches:
        message = f"listed in {listed}; to be had as fetch.txt says, and not there yet"
        verdicts.add("fetch-missing", show(path), message)
    else:
        verdicts.add("missing-file", show(path), f"listed in {listed}; not there")


def _unlisted(held: Holdings, row: int, verdicts: Verdicts) -> None:
    path = show(held.inventory.paths[row])
    listed = _listing(held.payload, row)
    if not listed:
        verdicts.add("unlisted-file", path, "listed in no payload manifest")
        return
    for column in held.payload:
        if column.states[row] == NOT:
            message = f"not listed in {column.name.shown}, though in {listed}"
            severity = ERROR if held.strict else WARNING  # RFC 8493 3: before 1.0, may
            verdicts.add("incomplete-manifest", path, message, severity=severity)


def _listing(columns: Sequence[Column], row: int) -> str:
    return ", ".join(one.name.shown for one in columns if one.states[row] != NOT)


# -------------------------------------------------------------------------- tag files


def _check_tags(held: Holdings, verdicts: Verdicts) -> None:
    for row, path in _tag_files(held.inventory):
        shown = show(path)
        if held.inventory.sizes[row] == ABSENT:
            if (listed := _listing(held.tags, row)) and (
                path not in held.inventory.special
            ):
                message = f"listed in {listed}; not there"
                verdicts.add("tag-missing-file", shown, message)
            continue
        name = tagfiles.parse_manifest_name(path.decode(errors="surrogateescape"))
        if (name and name.is_tag) or _SEAL.fullmatch(path):
            continue
        for column in held.tags:
            if column.states[row] != NOT:
                continue
            message = f"not listed in {column.name.shown}"
            if name:  # RFC 8493 2.2.1: payload manifests MUST be listed
                severity = ERROR if held.strict else WARNING
                verdicts.add("incomplete-manifest", shown, message, severity=severity)
            else:
                verdicts.add("tag-unlisted-file", shown, message)


def _tag_files(inventory: Inventory) -> Iterator[tuple[int, bytes]]:
    for row, path in enumerate(inventory.paths):
        if not path.startswith(PAYLOAD):
            yield row, path


# -------------------------------------------------------------------------- fetch.txt


def _check_fetches(held: Holdings, verdicts: Verdicts) -> None:
    for row, size in held.fetches.items():
        path = show(held.inventory.paths[row])
        lacking = [one.name.shown for one in held.payload if one.states[row] == NOT]
        if lacking:  # RFC 8493 2.2.3
            message = f"listed in fetch.txt and not in {', '.join(lacking)}"
            verdicts.add("fetch-line", path, message)
        found = held.inventory.sizes[row]
        if size is not None and found not in (ABSENT, size):
            message = f"fetch.txt says {size} bytes, found {found}"
            verdicts.add("size-mismatch", path, message)


# ------------------------------------------------------------------------------ names


def _rename_twins(held: Holdings, verdicts: Verdicts) -> None:
    """Take a file for the listed one where only the Unicode form changed (6.1.1.3)."""
    inventory = held.inventory
    odd = [row for row, path in enumerate(inventory.paths) if not path.isascii()]
    odd.sort(key=inventory.paths.__getitem__)  # not as the file system has them
    unlisted: dict[bytes, int] = {}
    for row in odd:
        if inventory.sizes[row] != ABSENT and not _listing(held.columns, row):
            unlisted[names.composed(inventory.paths[row])] = row
    if not unlisted:
        return
    for row in odd:
        if inventory.sizes[row] != ABSENT or not _listing(held.columns, row):
            continue
        twin = unlisted.pop(names.composed(inventory.paths[row]), None)
        if twin is None:
            continue
        for column in held.columns:
            column.move(row, twin)
        if row in held.fetches:
            held.fetches[twin] = held.fetches.pop(row)
        inventory.renamed.add(row)
        listed = inventory.paths[row].decode(errors="replace")
        message = f"listed as {listed!a}, in another Unicode form; taken for the same"
        verdicts.add("unicode-collision", show(inventory.paths[twin]), message)


def check_names(inventory: Inventory, verdicts: Verdicts) -> None:
    """Find names that other systems refuse or take for one another."""
    paths = inventory.paths
    for row, path in enumerate(paths):
        if row not in inventory.renamed and (reason := names.unportable(path)):
            verdicts.add("portable-name", show(path), reason)
    for first, other in _twins(inventory):
        is_form = names.composed(first) == names.composed(other)
        code, what = (
            ("unicode-collision", "Unicode form")
            if is_form
            else ("case-collision", "case")
        )
        twin = ascii(first.decode(errors="replace")) if is_form else show(first)
        message = f"differs from {twin} in {what} alone"
        verdicts.add(code, show(other), message)


def _twins(inventory: Inventory) -> Iterator[tuple[bytes, bytes]]:
    """Yield pairs of different names that fold into one, in little memory.

    First every folded name is counted into one of many small slots; then names that
    share a slot are compared, which are few.
    """
    size = 1 << (16 * len(inventory)).bit_length()
    slots = bytearray(size)
    are_shared = False
    for path in _names(inventory):
        slot = hash(names.folded(path)) & (size - 1)
        if slots[slot]:
            are_shared = True
            slots[slot] = 2
        else:
            slots[slot] = 1
    if not are_shared:
        return
    alike: dict[bytes, set[bytes]] = {}
    for path in _names(inventory):
        folded = names.folded(path)
        if slots[hash(folded) & (size - 1)] > 1:
            alike.setdefault(folded, set()).add(path)
    for folded in sorted(alike):  # not as the file system has them
        first, *others = sorted(alike[folded])
        for other in others:
            yield first, other


def _names(inventory: Inventory) -> Iterator[bytes]:
    rows = enumerate(inventory.paths)
    listed = (path for row, path in rows if row not in inventory.renamed)
    return chain(listed, sorted(inventory.folders))
