"""The tag files of a bag: bagit.txt, bag-info.txt, manifests and fetch.txt.

Bytes to values and back, with no file opened. A reader here never fails: what does not
parse becomes a finding, and the rest is read on. Versions 0.93 to 1.0 differ where the
text says so; RFC 8493 is version 1.0.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.model import Finding, Severity
from pipeline.packaging.encoding import LONGEST, parse_encoding
from pipeline.packaging.names import show
from pipeline.packaging.rules import WARNING, finding

LARGEST_INFO = 1 << 20  # bytes of bag-info.txt that are read
VERSIONS = ("0.93", "0.94", "0.95", "0.96", "0.97", "1.0")
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

# ------------------------------------------------------------------------- bagit.txt

_LABELS = ("BagIt-Version", "Tag-File-Character-Encoding")  # RFC 8493 2.1.1
_EXACT = tuple(re.compile(rf"{label}: (\S+)") for label in _LABELS)
_LOOSE = tuple(
    re.compile(rf"\s*{label}\s*:\s*(\S+)\s*", re.IGNORECASE) for label in _LABELS
)
_ENDS = re.compile("\r\n|\r|\n")


class Declaration(Struct, frozen=True, kw_only=True):
    """What bagit.txt declares; ``codec`` is what Python reads the tag files with."""

    version: str = "1.0"
    encoding: str = "UTF-8"
    codec: str = "utf-8"

    @property
    def is_strict(self) -> bool:
        """Tell whether RFC 8493 itself applies, and not a draft before it."""
        return self.version == "1.0"

    @property
    def info_file(self) -> str:
        """Return the name the metadata file has in this version."""
        return "package-info.txt" if self.version < "0.96" else "bag-info.txt"


def parse_declaration(data: bytes) -> tuple[Declaration, tuple[Finding, ...]]:
    """Read bagit.txt and say what is wrong with it."""
    text, grave = _declaration_text(data)
    lines = _ENDS.split(text)
    if lines[-1] == "":
        lines.pop()
    version, encoding = (_value(lines, place) for place in (0, 1))
    if version and version not in VERSIONS:
        known = ", ".join(VERSIONS)
        grave.append(f"version {show(version.encode())} is none of {known}")
    codec, findings = parse_encoding(encoding or "UTF-8")
    declared = Declaration(
        version=version if version in VERSIONS else "1.0",
        encoding=encoding or "UTF-8",
        codec=codec,
    )
    is_loose = not declared.is_strict and _is_loose(lines)
    problems = [finding("bagit-txt", "bagit.txt", one) for one in grave]
    for one in _misshapen(lines):
        severity = WARNING if is_loose else None  # drafts did not count white space
        problems.append(finding("bagit-txt", "bagit.txt", one, severity=severity))
    return declared, (*problems, *findings)


def _declaration_text(data: bytes) -> tuple[str, list[str]]:
    """Decode bagit.txt, which is UTF-8 whatever it declares (RFC 8493 2.1.1)."""
    problems = []
    if data.startswith(codecs.BOM_UTF8):
        problems.append("it begins with a byte order mark")
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode(), problems
    except UnicodeDecodeError:
        return data.decode(errors="replace"), [*problems, "it is not UTF-8"]


def _value(lines: Sequence[str], place: int) -> str:
    """Return what a line of bagit.txt declares, in any spacing, or nothing."""
    match = _LOOSE[place].fullmatch(lines[place]) if place < len(lines) else None
    return match[1] if match else ""


def _misshapen(lines: Sequence[str]) -> Iterator[str]:
    for place, label in enumerate(_LABELS):
        line = lines[place] if place < len(lines) else ""
        if not _EXACT[place].fullmatch(line):
            yield f"line {place + 1} is '{show(line.encode())}', not '{label}: ...'"
    if len(lines) != len(_LABELS):
        yield f"it has {len(lines)} lines where there are exactly two"


def _is_loose(lines: Sequence[str]) -> bool:
    """Tell whether both lines stand there, but for white space and blank lines."""
    full = [line for line in lines if line.strip()]
    return len(full) == len(_LABELS) and all(
        pattern.fullmatch(line) for pattern, line in zip(_LOOSE, full, strict=True)
    )


# ---------------------------------------------------------------------- bag-info.txt

_STRICT_LINE = re.compile(r"([^:\s](?:[^:]*[^:\s])?):[ \t](.*)")  # RFC 8493 2.2.2
_LOOSE_LINE = re.compile(r"[ \t]*([^:\s](?:[^:]*[^:\s])?)[ \t]*:[ \t]*(.*)")
_ONCE = {  # RFC 8493 2.2.2: MUST NOT, and SHOULD NOT, be repeated
    "payload-oxum": Severity.ERROR,
    "bagging-date": Severity.WARNING,
    "bag-size": Severity.WARNING,
    "bag-group-identifier": Severity.WARNING,
    "bag-count": Severity.WARNING,
}
_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")

Tags = tuple[tuple[str, str], ...]


def parse_info(
    data: Iterable[bytes], *, file: str = "bag-info.txt", strict: bool = True
) -> tuple[Tags, tuple[Finding, ...]]:
    """Read metadata lines, in order; continued lines are joined by a space."""
    pattern = _STRICT_LINE if strict else _LOOSE_LINE
    values: list[tuple[str, list[str]]] = []
    odd = Heap()
    for number, raw in enumerate(data, 1):
        line = raw.decode(errors="replace")
        if values and line[:1] in (" ", "\t") and line.strip():
            values[-1][1].append(line.strip())
            continue
        match = pattern.fullmatch(line)
        if not match or "\0" in line or len(raw) > LONGEST:
            odd.add(number, raw)
            match = _LOOSE_LINE.fullmatch(line)
        if match:
            values.append((match[1], [match[2].rstrip()]))
    tags = tuple((label, " ".join(parts)) for label, parts in values)
    findings = odd.told("bag-info", file, "'Label: value'")
    return tags, (*findings, *_info_rules(tags, file))


class Heap:
    """Lines that are not as they should be: the first few, and how many in all."""

    def __init__(self, most: int = 20) -> None:
        self._most = most
        self._lines: list[tuple[int, bytes]] = []
        self._count = 0
        self._blank = 0

    def add(self, number: int, line: bytes) -> None:
        """Note a line; a blank one is only counted."""
        if not line.strip():
            self._blank += 1
            return
        self._count += 1
        if self._count <= self._most:
            self._lines.append((number, line[:200]))

    def told(self, code: str, file: str, form: str) -> Iterator[Finding]:
        """Tell the lines as findings; blank ones are a warning."""
        for number, line in self._lines:
            message = f"line {number} is '{show(line)}', not {form}"
            yield finding(code, file, message)
        if self._count > self._most:
            message = f"{self._count - self._most} more lines are not {form}"
            yield finding(code, file, message)
        if self._blank:
            message = f"{self._blank} blank lines"
            yield finding(code, file, message, severity=WARNING)


def _info_rules(tags: Tags, file: str) -> Iterator[Finding]:
    for label, severity in _ONCE.items():
        count = sum(1 for name, _ in tags if name.lower() == label)
        if count > 1:
            message = f"{label.title()} stands {count} times where once is allowed"
            yield finding("bag-info", file, message, severity=severity)
    for date in tagged(tags, "Bagging-Date"):
        if not _DATE.fullmatch(date):
            message = f"Bagging-Date is '{show(date.encode())}', not YYYY-MM-DD"
            yield finding("bag-info", file, message, severity=WARNING)


def tagged(tags: Tags, label: str) -> tuple[str, ...]:
    """Return every value of a label, whose case does not count (RFC 8493 2.2.2)."""
    return tuple(value for name, value in tags if name.lower() == label.lower())


_COUNT = re.compile(r"([0-9]{1,18}) of ([0-9]{1,18}|\?)")
_OXUM = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})")


def parse_oxum(value: str) -> tuple[int, int] | None:
    """Read a Payload-Oxum: octets and files, or nothing where it is none."""
    match = _OXUM.fullmatch(value)
    return (int(match[1]), int(match[2])) if match else None


def bad_count(value: str) -> str:
    """Say what is wrong with a Bag-Count, or nothing (RFC 8493 2.2.2)."""
    match = _COUNT.fullmatch(value)
    shown = show(value.encode())
    if not match:
        return f"Bag-Count is '{shown}', not 'N of T' or 'N of ?'"
    number, total = match.groups()
    if int(number) == 0 or (total != "?" and int(number) > int(total)):
        return f"Bag-Count is '{shown}', which counts past its end"
    return ""


def render_info(tags: Iterable[tuple[str, str]]) -> bytes:
    """Write metadata lines in the order given, each on one line however long.

    Folding is not done: what a fold does to the value is read in two ways (RFC 8493
    2.2.2), and 79 characters are a recommendation. Raises UsageError for a label or a
    value that one line cannot hold.
    """
    return b"".join(_info_line(label, value) for label, value in tags)


def _info_line(label: str, value: str) -> bytes:
    for what, text in (("label", label), ("value", value)):
        if not _is_line(text) or text != text.strip():
            raise UsageError(
                f"bag-info.txt: the {what} {text!r} has line breaks, control"
                " characters or spaces at its ends; write it in one plain line"
            )
    if not label or ":" in label:
        raise UsageError(
            f"bag-info.txt: the label {label!r} is empty or holds a colon;"
            " choose a name such as External-Identifier"
        )
    return f"{label}: {value}\n".encode()


def _is_line(text: str) -> bool:
    odd = ("Cc", "Cs", "Zl", "Zp")
    return text.isprintable() or not any(unicodedata.category(c) in odd for c in text)


# ------------------------------------------------------------------------- manifests

_MANIFEST = re.compile(r"(tag)?manifest-(.+)\.txt", re.DOTALL)
_ENTRY = re.compile(rb"(\\?)([0-9A-Fa-f]+)[ \t]+([^ \t].*)", re.DOTALL).fullmatch
_ENCODED = re.compile(rb"%(25|0[Aa]|0[Dd])")
_DECODED = {b"25": b"%", b"0A": b"\n", b"0D": b"\r"}
_BARE_PERCENT = re.compile(rb"%(?!25|0[AaDd])")
_SLASHED = re.compile(rb"\\(.)", re.DOTALL)
_GNU = {b"n": b"\n", b"r": b"\r"}

HASHES: Mapping[str, str] = MappingProxyType(  # normalised name: hashlib's
    {
        **{name: name for name in ("md5", "sha1", "sha224", "sha256", "sha384")},
        **{name: name for name in ("sha512", "blake2b", "blake2s")},
        **{f"sha3{n}": f"sha3_{n}" for n in (224, 256, 384, 512)},
        "blake2b512": "blake2b",
        "blake2s256": "blake2s",
    }
)
WEAK = frozenset(("md5", "sha1"))


class ManifestName(Struct, frozen=True, kw_only=True):
    """What the name of a manifest says: of what, and by which algorithm."""

    file: str
    is_tag: bool
    algorithm: str  # normalised: lower case, letters and digits (RFC 8493 2.4)
    shown: str  # the file's name, printable

    @property
    def is_normal(self) -> bool:
        """Tell whether the file is named as RFC 8493 2.4 wants."""
        prefix = "tagmanifest" if self.is_tag else "manifest"
        return self.file == f"{prefix}-{self.algorithm}.txt"


def parse_manifest_name(file: str) -> ManifestName | None:
    """Read a file name as a manifest's, if it is one."""
    match = _MANIFEST.fullmatch(file)
    if not match:
        return None
    algorithm = "".join(c for c in match[2].lower() if c.isalnum())
    shown = show(file.encode(errors="surrogateescape"))
    return ManifestName(
        file=file, is_tag=bool(match[1]), algorithm=algorithm, shown=shown
    )


def parse_entry(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Split ``checksum filepath``, and the backslash that may stand before it.

    GNU's tools put one there when the path is escaped as ``unslash`` reads it.
    """
    match = _ENTRY(line)
    return (match[1], match[2], match[3]) if match else None


def unslash(path: bytes) -> bytes:
    """Read a path that GNU's tools escaped with backslashes (RFC 8493 6.1.3)."""
    return _SLASHED.sub(lambda match: _GNU.get(match[1], match[1]), path)


def encode_path(path: bytes) -> bytes:
    """Write a path for a manifest: %, LF and CR encoded, and only those (2.1.3)."""
    return path.replace(b"%", b"%25").replace(b"\n", b"%0A").replace(b"\r", b"%0D")


def decode_path(path: bytes) -> bytes:
    """Read a path of a manifest: only %25, %0A and %0D mean something (2.1.3)."""
    return _ENCODED.sub(lambda m: _DECODED[m[1].upper()], path)


def has_bare_percent(path: bytes) -> bool:
    """Tell whether a % stands in a listed path that should have been encoded."""
    return bool(_BARE_PERCENT.search(path))


def render_manifest(entries: Iterable[tuple[bytes, str]]) -> Iterator[bytes]:
    """Write the lines of a manifest from paths and hexadecimal digests, sorted.

    Two spaces stand between, so that ``sha256sum -c`` reads it too.
    """
    for path, digest in sorted(entries):
        yield digest.encode() + b"  " + encode_path(path) + b"\n"


# ------------------------------------------------------------------------- fetch.txt

_FETCH = re.compile(rb"(\S+)[ \t]+(\d{1,18}|-)[ \t]+(.+)", re.DOTALL).fullmatch


class Fetch(Struct, frozen=True, kw_only=True):
    """One line of fetch.txt: where a payload file can be had, and how large it is."""

    url: str
    size: int | None
    path: bytes


def parse_fetch(line: bytes) -> Fetch | None:
    """Read ``url length filepath``, or nothing where the line is none (2.2.3)."""
    match = _FETCH(line)
    if not match or not _is_absolute(match[1].decode(errors="replace")):
        return None
    size = None if match[2] == b"-" else int(match[2])
    return Fetch(url=match[1].decode(), size=size, path=match[3])


def _is_absolute(url: str) -> bool:
    if not url.isascii():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path))
