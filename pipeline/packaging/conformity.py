"""A bag beside its profile: what it lacks of what was agreed, and has too much.

``check`` is told the bag as ``Facts`` and opens nothing. Paths are gone through once
and only where a rule asks for them. It finds everything and stops at nothing, also
where the specification lets a reader give up.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from msgspec import Struct

from pipeline.model import Finding
from pipeline.packaging.names import show
from pipeline.packaging.profile import (
    IDENTIFIER,
    Choice,
    Profile,
    Serialization,
    TagRule,
    covering,
)
from pipeline.packaging.rules import ERROR, WARNING, finding
from pipeline.packaging.tagfiles import Tags, parse_manifest_name, tagged

MOST = 1000  # findings of one code; the rest are counted
_NAMED = 12  # things a message names; the rest are counted


class Facts(Struct, frozen=True, kw_only=True):
    """What a profile may ask about a bag. Paths are bytes and are iterated once.

    ``fetch`` has the paths fetch.txt lists, None where there is none: a bag is judged
    as it will be once it is complete. ``other_info`` is of those tag files alone that
    the profile has rules for. ``serialization`` is the media type of the one file the
    bag stands in, empty for a folder, None where that is not to be judged.
    """

    version: str
    info: Tags = ()
    info_file: str = "bag-info.txt"
    other_info: tuple[tuple[str, Tags], ...] = ()
    manifests: tuple[str, ...] = ()  # algorithms, as parse_manifest_name has them
    tag_manifests: tuple[str, ...] = ()
    tag_files: Iterable[bytes] = ()
    payload: Iterable[bytes] = ()  # files beneath data/
    folders: Iterable[bytes] = ()  # beneath data/ too
    fetch: Iterable[bytes] | None = None
    files: int = 0  # payload files on disk
    bytes: int = 0
    serialization: str | None = ""


def check(profile: Profile, facts: Facts, *, most: int = MOST) -> tuple[Finding, ...]:
    """Say everything in which a bag is not what its profile wants.

    Of each code ``most`` findings are kept, and one more that counts the rest.
    """
    made: Counter[str] = Counter()
    kept = []
    for one in chain.from_iterable(rule(profile, facts) for rule in _CHECKS):
        made[one.code] += 1
        if made[one.code] <= most:
            kept.append(one)
    more = ((code, count - most) for code, count in made.items() if count > most)
    kept += (finding(code, "", f"{count} more such findings") for code, count in more)
    return tuple(kept)


def _quoted(value: str) -> str:
    return f"'{show(value.encode(errors='replace'))}'"


def _either(values: Sequence[str]) -> str:
    shown = ", ".join(show(one.encode()) for one in values[:_NAMED])
    more = len(values) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown or "none"


# ------------------------------------------------------------------ the bag as a whole


def _identifier(profile: Profile, facts: Facts) -> Iterator[Finding]:
    named = tagged(facts.info, IDENTIFIER)
    if profile.about.identifier in named:
        return
    # always required, but for a profile that says of itself that it is not
    is_free = any(
        one.label.lower() == IDENTIFIER.lower() and not one.required
        for one in profile.bag_info
    )
    found = ", ".join(_quoted(one) for one in named) or "none"
    message = f"expected {IDENTIFIER} {profile.about.identifier!r}, found {found}"
    severity = WARNING if is_free else ERROR
    yield finding("profile-identifier", facts.info_file, message, severity=severity)


def _version(profile: Profile, facts: Facts) -> Iterator[Finding]:
    if facts.version not in profile.accept_versions:
        accepted = _either(profile.accept_versions)
        found = _quoted(facts.version)
        message = f"expected BagIt-Version to be of {accepted}, found {found}"
        yield finding("profile-version", "bagit.txt", message)


def _serialization(profile: Profile, facts: Facts) -> Iterator[Finding]:
    form, wanted = facts.serialization, profile.serialization
    accepted = profile.accept_serialization
    if form is None:
        return
    if not form and wanted is Serialization.REQUIRED:
        message = f"expected one file, of {_either(accepted)}; found a folder"
        yield finding("profile-serialization", "", message)
    elif form and wanted is Serialization.FORBIDDEN:
        message = f"expected a folder, found one file, {_quoted(form)}"
        yield finding("profile-serialization", "", message)
    elif form and accepted and _media_type(form) not in map(_media_type, accepted):
        message = f"expected one of {_either(accepted)}, found {_quoted(form)}"
        yield finding("profile-accept-serialization", "", message)


_MEDIA_TYPES = {  # other names of the same; application/tar is registered nowhere
    "application/x-tar": "application/tar",
    "application/x-gtar": "application/tar",
    "application/x-gzip": "application/gzip",
    "application/tar+gzip": "application/gzip",
    "application/x-gtar-compressed": "application/gzip",
    "application/x-compressed-tar": "application/gzip",
    "application/x-tgz": "application/gzip",
    "application/x-zip-compressed": "application/zip",
}


def _media_type(name: str) -> str:
    plain = name.partition(";")[0].strip().lower()
    return _MEDIA_TYPES.get(plain, plain)


def _fetch(profile: Profile, facts: Facts) -> Iterator[Finding]:
    if facts.fetch is None and profile.fetch_required:
        message = "expected fetch.txt, found none"
        yield finding("profile-fetch-required", "fetch.txt", message)
    if facts.fetch is not None and not profile.allow_fetch:
        message = "expected no fetch.txt; complete the bag and take it out"
        yield finding("profile-fetch-allowed", "fetch.txt", message)


def _data_empty(profile: Profile, facts: Facts) -> Iterator[Finding]:
    is_empty = facts.files == 0 or (facts.files == 1 and facts.bytes == 0)
    if profile.data_empty and not is_empty:
        wanted = "expected data/ to hold nothing or one file of no bytes"
        message = f"{wanted}, found {facts.files} with {facts.bytes} bytes"
        yield finding("profile-data-empty", "data", message)


def _dormant(profile: Profile, _facts: Facts) -> Iterator[Finding]:
    version = ".".join(str(part) for part in profile.about.specification)
    for key in profile.dormant:
        message = f"{key} was not checked: the profile declares version {version}"
        yield finding("profile-dormant-field", "", message)


# --------------------------------------------------------------------------- metadata


def _tags(profile: Profile, facts: Facts) -> Iterator[Finding]:
    for rule in profile.bag_info:
        if rule.label.lower() != IDENTIFIER.lower():
            yield from _tag(rule, facts.info, facts.info_file)
    present = dict(facts.other_info)
    for file, rules in profile.other_info:
        for rule in rules if file in present else ():
            yield from _tag(rule, present[file], file)


def _tag(rule: TagRule, tags: Tags, file: str) -> Iterator[Finding]:
    values = tagged(tags, rule.label)  # RFC 8493 2.2.2: case does not count
    label = _quoted(rule.label)
    if not values and rule.required:
        message = f"expected {label}, found none"
        yield finding("profile-bag-info-required", file, message)
    elif not values and rule.recommended:
        message = f"{label} is recommended, found none"
        yield finding("profile-bag-info-recommended", file, message)
    if len(values) > 1 and not rule.repeatable:
        message = f"expected {label} once, found {len(values)} of it"
        yield finding("profile-bag-info-repeatable", file, message)
    for value in values:
        if rule.values and value not in rule.values:
            accepted = _either(rule.values)
            message = f"expected {label} to be of {accepted}; found {_quoted(value)}"
            yield finding("profile-bag-info-value", file, message)
        elif not value.strip() and (rule.required or not rule.empty_ok):
            severity = WARNING if rule.empty_ok else ERROR
            message = f"expected {label} to say something, found it empty"
            yield finding("profile-bag-info-value", file, message, severity=severity)


# ------------------------------------------------------------------ manifests, files


def _manifests(profile: Profile, facts: Facts) -> Iterator[Finding]:
    kinds = (
        ("manifest", profile.manifests, facts.manifests),
        ("tag-manifest", profile.tag_manifests, facts.tag_manifests),
    )
    for kind, choice, present in kinds:
        prefix = kind.replace("-", "")
        for one in choice.required:
            if one not in present:
                file = show(f"{prefix}-{one}.txt".encode())
                message = (
                    f"expected a {kind} by {_quoted(one)}, found {_either(present)}"
                )
                yield finding(f"profile-{kind}-required", file, message)
        for one in () if choice.allowed is None else present:
            if one not in (choice.allowed or ()):
                file = show(f"{prefix}-{one}.txt".encode())
                message = (
                    f"expected {_either(choice.allowed or ())}, found {_quoted(one)}"
                )
                yield finding(f"profile-{kind}-allowed", file, message)


def _tag_files(profile: Profile, facts: Facts) -> Iterator[Finding]:
    yield from _paths(
        "tag-file", profile.tag_files, facts.tag_files, is_exempt=_is_bagits_own
    )


def _is_bagits_own(path: bytes) -> bool:
    """Tell the files that other rules are about."""
    if path in (b"bagit.txt", b"bag-info.txt", b"package-info.txt", b"fetch.txt"):
        return True
    return b"/" not in path and parse_manifest_name(os.fsdecode(path)) is not None


def _payload(profile: Profile, facts: Facts) -> Iterator[Finding]:
    paths = chain(facts.payload, facts.fetch or ())
    folders = (path + b"/" for path in facts.folders)
    yield from _paths("payload", profile.payload_files, paths, folders=folders)


def _is_none_exempt(_path: bytes) -> bool:
    return False


def _paths(
    kind: str,
    choice: Choice,
    paths: Iterable[bytes],
    *,
    folders: Iterable[bytes] = (),
    is_exempt: Callable[[bytes], bool] = _is_none_exempt,
) -> Iterator[Finding]:
    """Go through paths once, if at all: what is refused, then what is missing."""
    absent = {one.encode() for one in choice.required}
    above = {one for one in absent if one.endswith(b"/")}
    is_allowed = covering(choice.allowed)
    allows_all = choice.allowed is None or "*" in choice.allowed
    if allows_all and not absent:
        return
    for path in paths:
        absent.discard(path)
        if above:
            above -= _holding(above, path)
        if not (allows_all or is_allowed(path) or is_exempt(path)):
            allowed = _either(choice.allowed or ())
            message = f"it is refused; allowed are {allowed}"
            yield finding(f"profile-{kind}-allowed", show(path), message)
    for path in folders if above else ():
        above -= _holding(above, path)
    missing = above | {one for one in absent if not one.endswith(b"/")}
    for path in sorted(missing):
        what = "folder with something in it" if path in above else "file"
        message = f"expected a {what}, found none"
        yield finding(f"profile-{kind}-required", show(path), message)


def _holding(folders: set[bytes], path: bytes) -> set[bytes]:
    """Tell which of the folders the path stands in."""
    return {one for one in folders if path.startswith(one) and path != one}


_CHECKS: tuple[Callable[[Profile, Facts], Iterator[Finding]], ...] = (
    _version,
    _serialization,
    _identifier,
    _tags,
    _manifests,
    _tag_files,
    _payload,
    _fetch,
    _data_empty,
    _dormant,
)
