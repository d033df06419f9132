"""What file names mean to other systems: unsafe, unportable, twins. Pure.

Paths are bytes, relative to the bag, with slashes, as Linux has them; a bag's own
encoding is no concern here. Nothing is ever opened to decide on a name.
"""

import re
import unicodedata
from collections.abc import Iterable

LONGEST_PATH = 255  # RFC 8493 6.1.2, for Windows
SHOWN = 1024  # a name longer than this is cut when shown

_UNSAFE = (  # RFC 8493 5.1, and the Windows forms it names
    (re.compile(rb"\A/"), "it is absolute"),
    (re.compile(rb"\A~"), "it starts in a home folder"),
    (re.compile(rb"\A[A-Za-z]:"), "it names a drive"),
    (re.compile(rb"\A\\"), "it starts with a backslash, a path on another machine"),
    (re.compile(rb"\A%\w+%"), "it starts with an environment variable"),
    (re.compile(rb"(?:\A|[/\\])\.\.(?:[/\\]|\Z)"), "it climbs out with '..'"),
)
_MAYBE_UNSAFE = re.compile(rb"\A[/~\\%]|\A.:|\.\.", re.DOTALL)

_UNPLAIN = re.compile(rb"(?:\A|/)\.?(?:/|\Z)")

_UNPORTABLE = (  # RFC 8493 6.1.2; of a lower-case path after a slash
    (re.compile(rb"[\x00-\x1f\x7f]"), "it holds a control character"),
    (  # U+0080 to U+009F, U+2028, U+2029, where some tools end a line
        re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]"),
        "it holds a control character",
    ),
    (re.compile(rb'[<>:"|?*\\]'), 'it holds one of < > : " | ? * \\'),
    (re.compile(rb"[ .](?:/|\Z)"), "a part of it ends with a space or a dot"),
    (
        re.compile(rb"/(?:con|prn|aux|nul|com\d|lpt\d)(?:\.[^/]*)?(?:/|\Z)"),
        "Windows reserves a part of it",
    ),
    (
        re.compile(rb"/(?:thumbs\.db|desktop\.ini|\.ds_store|\._[^/]*)\Z"),
        "a desktop leaves such files behind; it is hardly content",
    ),
)
# Three quick looks that nearly every name passes.
_MAYBE_ODD = re.compile(rb'[\x00-\x1f\x7f<>:"|?*\\\xc2\xe2]').search
_MAYBE_ENDS = _UNPORTABLE[3][0].search
_MAYBE_RESERVED = re.compile(
    rb"/(?:con|prn|aux|nul|com\d|lpt\d|thumbs|desktop|\.ds|\._)"
).search


def unsafe(path: bytes) -> str:
    """Say why a listed path must not be opened, or nothing if it may."""
    if not _MAYBE_UNSAFE.search(path):
        return ""
    return next((why for pattern, why in _UNSAFE if pattern.search(path)), "")


def unportable(path: bytes) -> str:
    """Say why a name will not survive on other systems, or nothing if it will."""
    lower = b"/" + path.lower()
    if _MAYBE_ODD(lower) or _MAYBE_ENDS(lower) or _MAYBE_RESERVED(lower):
        for pattern, why in _UNPORTABLE:
            if pattern.search(lower):
                return why
    if len(path) <= LONGEST_PATH and path.isascii():
        return ""
    try:
        is_long = len(path.decode()) > LONGEST_PATH
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return f"it is longer than {LONGEST_PATH} characters" if is_long else ""


def plain(path: bytes) -> bytes:
    """Take out of a path what changes nothing: ``./`` and doubled slashes."""
    if not _UNPLAIN.search(path):
        return path
    return b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


def composed(path: bytes) -> bytes:
    """Write a name in Unicode's composed form (NFC), the same for all its twins."""
    if path.isascii():
        return path
    text = path.decode(errors="surrogateescape")
    return unicodedata.normalize("NFC", text).encode(errors="surrogateescape")


def folded(path: bytes) -> bytes:
    """Write a name so that twins by case or by Unicode form come out the same."""
    if path.isascii():
        return path.lower()
    text = path.decode(errors="surrogateescape")
    text = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", text).encode(errors="surrogateescape")


def folders(path: bytes) -> list[bytes]:
    """List the folders a path leads through, outermost first."""
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[: n + 1]) for n in range(len(parts))]


def twins(paths: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """Find two names, of files or their folders, that are one on another system.

    RFC 8493 6.1.1.3: they differ in case or in Unicode form alone.
    """
    files = {*paths}
    above = {folder for path in files for folder in folders(path)}
    seen: dict[bytes, bytes] = {}
    for path in files | above:
        other = seen.setdefault(folded(path), path)
        if other != path:
            return min(path, other), max(path, other)
    return None


def show(path: bytes) -> str:
    """Write a name for people and JSON: no controls, no odd bytes, not long."""
    text = path[: SHOWN + 1].decode(errors="backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
