"""BagIt profiles: what bags have been agreed to be, read from JSON.

``load`` reads a profile that comes with Muniment or that stands in a file, of any
version of the BagIt Profiles Specification from 1.1 to 1.4. A field that is newer than
the version a profile declares binds nobody: it is kept among the unknown ones and
named by ``dormant``. Three things are read that the specification does not know and
others use: ``recommended`` (Beyond the Repository), ``emptyOk`` (DART) and
``Other-Info``, rules for tag files like aptrust-info.txt (bagit-support). Whether a bag
is what its profile says, ``conformity`` tells.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from importlib import resources
from pathlib import Path

from msgspec import Struct

from pipeline.errors import UsageError

SHIPPED = {  # by the name a person gives
    "muniment": "muniment.json",
    "btr": "btr-1.0.json",
    "aptrust": "aptrust-2.3.json",
}
LARGEST = 1 << 20  # bytes; the largest profile known to us has eleven thousand
IDENTIFIER = "BagIt-Profile-Identifier"

_OLDEST: tuple[int, ...] = (1, 1, 0)  # of a profile that does not say
_SINCE = {
    "Tag-Files-Allowed": (1, 2),
    "Manifests-Allowed": (1, 3),
    "Tag-Manifests-Allowed": (1, 3),
    "Fetch.txt-Required": (1, 4),
    "Data-Empty": (1, 4),
    "Payload-Files-Required": (1, 4),
    "Payload-Files-Allowed": (1, 4),
}

Unknown = tuple[tuple[str, str], ...]


class Serialization(StrEnum):
    """Whether a bag comes as one file."""

    FORBIDDEN = "forbidden"
    REQUIRED = "required"
    OPTIONAL = "optional"


class TagRule(Struct, frozen=True, kw_only=True):
    """What is agreed about one label of bag-info.txt or of another tag file."""

    label: str
    required: bool = False
    recommended: bool = False
    values: tuple[str, ...] = ()  # none: any
    repeatable: bool = True
    empty_ok: bool = True
    description: str = ""
    unknown: Unknown = ()


class Choice(Struct, frozen=True, kw_only=True):
    """What must be there, and what may be; ``allowed`` is None where all may."""

    required: tuple[str, ...] = ()
    allowed: tuple[str, ...] | None = None


class About(Struct, frozen=True, kw_only=True):
    """Whose profile it is, and which version of it and of the specification."""

    identifier: str
    version: str
    source_organization: str
    external_description: str
    contact_name: str = ""
    contact_email: str = ""
    contact_phone: str = ""
    specification: tuple[int, ...] = _OLDEST
    unknown: Unknown = ()


class Profile(Struct, frozen=True, kw_only=True):
    """What is agreed about bags. ``unknown`` has further fields, as JSON."""

    name: str  # as it was asked for
    about: About
    bag_info: tuple[TagRule, ...] = ()
    other_info: tuple[tuple[str, tuple[TagRule, ...]], ...] = ()  # by tag file
    manifests: Choice = Choice()  # by algorithm: lower case, letters and digits
    tag_manifests: Choice = Choice()
    tag_files: Choice = Choice()  # by path, what is allowed also by pattern
    payload_files: Choice = Choice()
    allow_fetch: bool = True
    fetch_required: bool = False
    data_empty: bool = False
    serialization: Serialization = Serialization.OPTIONAL
    accept_serialization: tuple[str, ...] = ()  # media types; none: any
    accept_versions: tuple[str, ...] = ()
    unknown: Unknown = ()

    @property
    def dormant(self) -> tuple[str, ...]:
        """Return the fields that are newer than the specification it declares."""
        return tuple(key for key, _ in self.unknown if key in _SINCE)


def load(name_or_path: str) -> Profile:
    """Read a profile by the name of one that is shipped, or from a JSON file.

    Raises UsageError for what is no profile, naming the key that is wrong.
    """
    shipped = SHIPPED.get(name_or_path)
    if shipped:
        file = resources.files("pipeline.packaging") / "profiles" / shipped
        return parse(file.read_bytes(), name=name_or_path)
    return parse(_read(name_or_path), name=name_or_path)


def _read(path: str) -> bytes:
    try:
        if Path(path).is_file():  # a fifo would be waited on
            with Path(path).open("rb") as file:
                return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"profile {path!r} cannot be read: {error.strerror}"
        ) from error
    known = ", ".join(SHIPPED)
    raise UsageError(
        f"{path!r}: expected a JSON file or one of the profiles {known}; found neither"
    )


def parse(data: bytes, *, name: str) -> Profile:
    """Read a profile from its JSON. Raises UsageError for what is malformed."""
    fields = _Fields(_decoded(data, name), name)
    about = _about(fields)
    fields.newest = about.specification
    profile = Profile(
        name=name,
        about=about,
        bag_info=_rules(fields.inner("Bag-Info")),
        other_info=tuple(_other_info(fields)),
        manifests=_algorithms(fields, "Manifests"),
        tag_manifests=_algorithms(fields, "Tag-Manifests"),
        tag_files=_choice(fields, "Tag-Files"),
        payload_files=_choice(fields, "Payload-Files"),
        allow_fetch=fields.flag("Allow-Fetch.txt", default=True),
        fetch_required=fields.flag("Fetch.txt-Required", default=False),
        data_empty=fields.flag("Data-Empty", default=False),
        serialization=_serialization(fields),
        accept_serialization=fields.texts("Accept-Serialization") or (),
        accept_versions=fields.texts("Accept-BagIt-Version") or (),
        unknown=fields.rest(),
    )
    for key, expected in _contradictions(profile):
        raise _wrong(name, key, expected)
    return profile


def covering(allowed: Iterable[str] | None) -> Callable[[bytes], object]:
    """Make a test of whether a path is allowed: it is an entry, or fits one.

    An asterisk stands for any characters, slashes too; nothing else is special.
    """
    entries = ("*",) if allowed is None else allowed
    patterns = [_pattern(one) for one in entries] or [b"(?!)"]
    return re.compile(b"|".join(patterns), re.DOTALL).fullmatch


def _pattern(entry: str) -> bytes:
    first, *others = (re.escape(part.encode()) for part in entry.split("*"))
    if not others:
        return first
    *middle, last = others
    # the nearest place for each part is as good as any: no pattern is slow
    return first + b"".join(b"(?>.*?%s)" % part for part in middle) + b".*" + last


# ----------------------------------------------------------------------------- JSON


def _wrong(name: str, key: str, expected: str, found: object = None) -> UsageError:
    said = "" if found is None else f", found {_shown(found)}"
    return UsageError(
        f"profile {name!r}: {key}: expected {expected}{said};"
        " see the BagIt Profiles Specification 1.4.0"
    )


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."  # noqa: PLR2004 - one line


def _decoded(data: bytes, name: str) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise _wrong(name, ascii(twice), "each key once in an object")
        return fields

    if len(data) > LARGEST:
        raise UsageError(f"profile {name!r} is larger than {LARGEST:,} bytes")
    try:
        value: object = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
        json.dumps(value, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"profile {name!r}: expected JSON in UTF-8, found: {error}; mend the file"
        ) from error
    return value


class _Fields:
    """A JSON object that is read field by field, each of the type it must have."""

    def __init__(self, value: object, name: str, place: str = "") -> None:
        if not isinstance(value, dict):
            raise _wrong(name, place or "the file", "an object", value)
        self._fields: dict[str, object] = {**value}
        self._place = place
        self.name = name
        self.newest: tuple[int, ...] | None = None  # later fields are let stand

    def place(self, key: str) -> str:
        """Name a field from the top."""
        return f"{self._place}.{key}" if self._place else key

    def take(self, key: str) -> object:
        """Take a field out, None where it is absent or binds nobody yet."""
        if self.newest is not None and self.newest < _SINCE.get(key, ()):
            return None
        return self._fields.pop(key, None)

    def has(self, key: str) -> bool:
        """Tell whether a field is there and says something."""
        return bool(self._fields.get(key))

    def text(self, key: str) -> str:
        """Take a string, empty where there is none."""
        value = self.take(key)
        if value is None or isinstance(value, str):
            return value or ""
        raise _wrong(self.name, self.place(key), "a string", value)

    def required_text(self, key: str) -> str:
        """Take a string that must be there and say something."""
        text = self.text(key).strip()
        if not text:
            raise _wrong(self.name, self.place(key), "a string that says something")
        return text

    def flag(self, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        raise _wrong(self.name, self.place(key), "true or false", value)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Take a list of strings, None where there is none."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise _wrong(self.name, self.place(key), "a list of strings", value)
        for one in value:
            if not isinstance(one, str):
                raise _wrong(self.name, self.place(key), "strings alone", one)
        return tuple(value)

    def inner(self, key: str) -> "_Fields | None":
        """Take an object within this one."""
        value = self.take(key)
        return None if value is None else _Fields(value, self.name, self.place(key))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields that were not taken yet."""
        return tuple(self._fields)

    def rest(self) -> Unknown:
        """Return what nobody took, as JSON."""
        return tuple((key, json.dumps(value)) for key, value in self._fields.items())


# ------------------------------------------------------------------- parts of a profile

_VERSION = re.compile(r"1(?:\.[0-9]{1,4}){0,3}")


def _about(fields: _Fields) -> About:
    info = fields.inner("BagIt-Profile-Info")
    if info is None:
        raise _wrong(
            fields.name, "BagIt-Profile-Info", "an object that says whose it is"
        )
    return About(
        identifier=info.required_text(IDENTIFIER),
        version=info.required_text("Version"),
        source_organization=info.required_text("Source-Organization"),
        external_description=info.required_text("External-Description"),
        contact_name=info.text("Contact-Name"),
        contact_email=info.text("Contact-Email"),
        contact_phone=info.text("Contact-Phone"),
        specification=_specification(info),
        unknown=info.rest(),
    )


def _specification(info: _Fields) -> tuple[int, ...]:
    key = "BagIt-Profile-Version"
    text = info.text(key)
    if not text:  # asked for since 1.2.0: who does not say is held to 1.1.0
        return _OLDEST
    if not _VERSION.fullmatch(text):
        raise _wrong(info.name, info.place(key), "a version from 1.1.0 to 1.4.0", text)
    return tuple(int(part) for part in text.split("."))


def _rules(fields: _Fields | None) -> tuple[TagRule, ...]:
    return tuple(_rule(fields, label) for label in fields.names) if fields else ()


def _rule(fields: _Fields, label: str) -> TagRule:
    rule = fields.inner(label)
    if rule is None:
        raise _wrong(fields.name, fields.place(label), "an object")
    return TagRule(
        label=label,
        required=rule.flag("required", default=False),
        recommended=rule.flag("recommended", default=False),
        values=rule.texts("values") or (),
        repeatable=rule.flag("repeatable", default=True),
        empty_ok=rule.flag("emptyOk", default=True),
        description=rule.text("description"),
        unknown=rule.rest(),
    )


def _other_info(fields: _Fields) -> Iterator[tuple[str, tuple[TagRule, ...]]]:
    """Read rules for other tag files: ``APTrust-Info`` is of aptrust-info.txt."""
    key = "Other-Info"
    value = fields.take(key)
    if value is None:
        return
    if not isinstance(value, list):
        raise _wrong(fields.name, key, "a list of objects", value)
    for one in value:
        files = _Fields(one, fields.name, key)
        for file in files.names:
            yield f"{file.lower()}.txt", _rules(files.inner(file))


def _serialization(fields: _Fields) -> Serialization:
    key = "Serialization"
    text = fields.text(key)
    if not text:
        return Serialization.OPTIONAL
    if text not in tuple(Serialization):
        raise _wrong(fields.name, key, f"one of {', '.join(Serialization)}", text)
    if text != Serialization.FORBIDDEN and not fields.has("Accept-Serialization"):
        place = "Accept-Serialization"
        raise _wrong(fields.name, place, f"a media type, as {key} is {text}")
    return Serialization(text)


def _choice(fields: _Fields, what: str) -> Choice:
    return Choice(
        required=fields.texts(f"{what}-Required") or (),
        allowed=fields.texts(f"{what}-Allowed"),
    )


def _algorithms(fields: _Fields, what: str) -> Choice:
    stated = _choice(fields, what)
    allowed = stated.allowed
    return Choice(
        required=tuple(normal(one) for one in stated.required),
        allowed=None if allowed is None else tuple(normal(one) for one in allowed),
    )


def normal(algorithm: str) -> str:
    """Write the name of an algorithm as manifests are named (RFC 8493 2.4)."""
    return "".join(c for c in algorithm.lower() if c.isalnum())


def _contradictions(profile: Profile) -> Iterator[tuple[str, str]]:
    """Tell which field asks for what no bag, or no profile, can be."""
    if not profile.accept_versions:
        yield "Accept-BagIt-Version", "at least one version"
    if profile.fetch_required and not profile.allow_fetch:
        yield "Fetch.txt-Required", "false where Allow-Fetch.txt is false"
    if profile.manifests.allowed == ():
        yield "Manifests-Allowed", "at least one algorithm, as every bag has a manifest"
    yield from _uncovered("Manifests", profile.manifests)
    yield from _uncovered("Tag-Manifests", profile.tag_manifests)
    yield from _uncovered("Tag-Files", profile.tag_files)
    yield from _uncovered("Payload-Files", profile.payload_files)
    for one in profile.payload_files.required:
        if not one.startswith("data/"):
            yield "Payload-Files-Required", f"paths in data/, not {one!r}"
    for one in profile.payload_files.allowed or ():
        if one.endswith("/"):
            yield "Payload-Files-Allowed", f"'{one}*', a pattern, for a folder"


def _uncovered(what: str, choice: Choice) -> Iterator[tuple[str, str]]:
    is_covered = covering(choice.allowed)
    for one in choice.required:
        if not is_covered(one.encode()):
            yield f"{what}-Allowed", f"to cover {one!r}, which {what}-Required has"
