"""The terms of a manifest: how one text becomes one value.

Each function takes the text of a scalar, trimmed, and returns what it means, or raises
``Unfit`` with what is wrong and what to write instead. Nothing here knows of YAML, of
positions, or of the network; an address is parsed as browsers parse it (WHATWG URL).
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from ipaddress import ip_address
from pathlib import PurePosixPath

import ada_url

from pipeline.fixity import ALGORITHMS
from pipeline.intake.secrecy import hide, is_reference
from pipeline.model import Verdict

SHOWN = 60  # characters of a value that a message repeats


class Unfit(ValueError):  # noqa: N818 - it says what the text is
    """A text that does not mean what its field asks for."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def shown(text: str) -> str:
    """Quote a value in a message: masked, on one line, not too long."""
    words = " ".join(hide(text[: 9 * SHOWN]).split())
    return f'"{words}"' if len(words) <= SHOWN else f'"{words[: SHOWN - 1]}…"'


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether one of the known words was meant; empty where none is near."""
    return _nearest(word[:SHOWN].lower(), tuple(known))


@lru_cache(maxsize=64)  # one slip often stands in every source
def _nearest(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word, known, 1)
    return f'did you mean "{close[0]}"?' if close else ""


# ------------------------------------------------------------------------ plain text

LANGUAGE = r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*"  # RFC 5646 2.1, its shape


def prose(text: str) -> str:
    """Take any text that says something."""
    if not text:
        raise Unfit("it is empty", "write something, or remove the line")
    return text


def line(text: str) -> str:
    """Take a text of one line."""
    if len(prose(text).splitlines()) > 1:
        raise Unfit("it has several lines, and one is allowed", "write it on one line")
    return text


def language(text: str) -> str:
    """Take a language tag."""
    if not re.fullmatch(LANGUAGE, text):
        raise Unfit(f"{shown(text)} is not a language tag", "like en, fa or pt-BR")
    return text


def file_name(text: str) -> str:
    """Take a path that stays in the manifest's folder."""
    path = PurePosixPath(line(text))
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise Unfit(
            f"{shown(text)} is not a path inside the manifest's folder",
            "put the file beside the manifest: documents/article.txt",
        )
    return text


def number_of_host(text: str) -> str:
    """Take an IP address, in its shortest form."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise Unfit(
            f"{shown(text)} is not an IP address",
            "write the address that sites see, as 8.8.4.4, or leave it out",
        ) from None


# -------------------------------------------------------------- durations and sizes

DURATION = r"[0-9]{1,9}(ms|s|m|h|d)"
LONGEST = timedelta(days=3650)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}

SIZE = r"[0-9]{1,12}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)"
_SIZES = {
    "B": 1,
    **{f"{letter}B": 1000**n for n, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**n for n, letter in enumerate("KMGT", 1)},
}


def duration(text: str) -> timedelta:
    """Take a span of time: ``500ms 30s 15m 6h 7d``."""
    number, unit = _quantity(text)
    if not re.fullmatch(DURATION, text):
        guess = unit if unit in _UNITS else unit[:1] or "s"
        hint = f'write "{number}{guess}"' if number and guess in _UNITS else ""
        message = f"{shown(text)} is not a duration like 500ms, 30s, 15m, 6h or 7d"
        raise Unfit(message, hint)
    if int(number) > LONGEST / _UNITS[unit]:
        raise Unfit(f"{shown(text)} is more than {LONGEST.days}d")
    return int(number) * _UNITS[unit]


def patience(text: str) -> timedelta:
    """Take a span of time that is longer than nothing."""
    span = duration(text)
    if not span:
        raise Unfit(f"{shown(text)} leaves no time at all", "like 30s")
    return span


def size(text: str) -> int:
    """Take a number of bytes: ``500MB 2GiB``."""
    number, unit = _quantity(text)
    if not re.fullmatch(SIZE, text):
        guess = next((known for known in _SIZES if known.lower() == unit), "MB")
        hint = f'write "{number}{guess}"' if number else ""
        raise Unfit(f"{shown(text)} is not a size like 500MB or 2GiB", hint)
    if not int(number):
        raise Unfit(f"{shown(text)} leaves no room at all", "like 500MB")
    factor: int = _SIZES[text[len(number) :]]
    return int(number) * factor


def _quantity(text: str) -> tuple[str, str]:
    """Split digits from what follows them, where it begins so at all."""
    found = re.fullmatch(r"([0-9]{1,12})\s*([A-Za-z]{0,12})", text)
    return (found[1], found[2].lower()) if found else ("", "")


# ------------------------------------------------------------------------------- ids

IDENTIFIER = r"[a-z0-9][a-z0-9._-]{0,63}"
RESERVED = {
    "document": "it is the source made of the document's own url",
    "run": "it is the name of the run's own bag",
}
# names that Windows keeps for devices, with any extension
DEVICES = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
)


def identifier(text: str) -> str:
    """Take an id, which becomes the name of a folder on any system."""
    if not re.fullmatch(IDENTIFIER, text):
        raise Unfit(
            f"{shown(text)} is not an id: 1 to 64 of a-z 0-9 . _ -, "
            "a letter or digit first",
            f'like "{slug(text)}"' if slug(text) else "like reuters-2019",
        )
    if text.endswith("."):
        raise Unfit(f"{shown(text)} ends with a dot", f'write "{text.rstrip(".")}"')
    if text.partition(".")[0] in DEVICES:
        message = f"{shown(text)} is the name of a device on Windows"
        raise Unfit(message, f'like "the-{text}"')
    if text in RESERVED:
        raise Unfit(f"{shown(text)} is reserved: {RESERVED[text]}", "choose another id")
    return text


def folded(name: str) -> str:
    """Reduce a name to what file systems tell apart at the least."""
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold())


def slug(text: str, longest: int = 64) -> str:
    """Make the beginning of an id of any text; empty where nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:longest].rstrip("-")


def identifier_of(address: str) -> str:
    """Name a source that has no id: its host, and 8 digits of its address's sha256."""
    host = slug(ada_url.URL(address).hostname, 55) or "source"
    return f"{host}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


AUTHORITY = r"[a-z0-9][a-z0-9-]{0,31}"


def authority(text: str) -> str:
    """Take the name of a timestamping authority, which is a part of file names."""
    if not re.fullmatch(AUTHORITY, text):
        message = f"{shown(text)} is not the name of an authority: a-z, 0-9, hyphens"
        raise Unfit(message, "as muniment.toml names it, like freetsa")
    return text


# ------------------------------------------------------------------------- addresses

ADDRESS = r"[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\@\s][^\s]*"


def url(text: str) -> str:
    """Take an address of the web, and keep it as it was cited."""
    scheme, colon, rest = text.partition("://")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        hint = "" if re.search(r"\s", text) or "." not in text else _https(text)
        raise Unfit(f"{shown(text)} is not an address: http:// or https://", hint)
    if scheme.lower() not in ("http", "https"):
        raise Unfit(f'the scheme "{scheme[:20]}" is not http or https')
    if re.search(r"\s|\\", text):
        hint = "write %20 for a space and / for a backslash"
        raise Unfit("an address holds no spaces and no backslashes", hint)
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        message = "an address may not carry a user or a password"
        raise Unfit(message, "remove what stands before the @")
    if not rest or rest[0] in "/?#:":
        raise Unfit(f"{shown(text)} names no host", "like https://www.example.org/page")
    try:
        ada_url.URL(text)
    except ValueError as error:
        message = f"{shown(text)} is an address no browser accepts"
        raise Unfit(message, "look at the host and the port") from error
    return text


def _https(text: str) -> str:
    return f'did you mean "https://{hide(text[:SHOWN]).lstrip(":/")}"?'


def sent(address: str) -> str:
    """Write an address as it is sent: normalised, without its fragment."""
    parsed = ada_url.URL(address)
    parsed.hash = ""
    return str(parsed.href)


# -------------------------------------------------------------- headers and bag-info

# RFC 9110 5.6.2
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OWN_HEADERS = {
    "user-agent": 'it says who we are; see "identify"',
    **dict.fromkeys(
        (
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "expect",
            "keep-alive",
            "proxy-connection",
        ),
        "it belongs to the connection, which the capture makes itself",
    ),
}

# capture writes them, and a person's word must not stand where they are looked for
OWN_INFO = (
    "payload-oxum",
    "bagging-date",
    "bag-software-agent",
    "bagit-profile-identifier",
    "external-identifier",
    "bag-group-identifier",
    "bag-count",
    "bag-size",
)
OWN_INFO_PREFIX = "evidence-"


def header_name(text: str) -> str:
    """Take the name of a request header."""
    if not _FIELD_NAME.fullmatch(text):
        raise Unfit(
            f"{shown(text)} is not the name of a header", "like Accept-Language"
        )
    if text.lower() in OWN_HEADERS:
        raise Unfit(f"{shown(text)} cannot be set: {OWN_HEADERS[text.lower()]}")
    return text


def header_value(text: str) -> str:
    """Take the value of a request header, or a reference to it."""
    line(text)
    if text.startswith(("env:", "file:")) and not is_reference(text):
        raise Unfit(f"{shown(text)} is not a reference", "like env:NAME or file:PATH")
    # RFC 9110 5.5: visible characters, spaces and obs-text
    if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", text):
        raise Unfit("a header holds only Latin characters", "write it percent-encoded")
    return text


def info_name(text: str) -> str:
    """Take the name of a bag-info field."""
    line(text)
    if ":" in text:  # RFC 8493 2.2.2
        raise Unfit(f"{shown(text)} holds a colon", "a colon ends the name in bag-info")
    name = " ".join(text.split()).casefold()  # RFC 8493 2.2.2: case does not count
    if name in OWN_INFO or name.startswith(OWN_INFO_PREFIX):
        message = f"{shown(text)} cannot be set: every bag writes it itself"
        raise Unfit(message, "choose another name, or remove the line")
    return text


def info_value(text: str) -> str:
    """Take the value of a bag-info field."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", prose(text)):
        message = "it holds a line break or a control character"
        raise Unfit(message, "write it on one line; repeat a field as a list")
    return text


# ----------------------------------------------------------------- words of the house

# the reasons a verdict may have; besides them http-NNN, any status at all
REASONS = {
    Verdict.PARTIAL: (
        "truncated-length",
        "truncated-time",
        "truncated-disconnect",
        "framing",
        "limit",
    ),
    Verdict.SUSPECT: (
        "bot-wall",
        "login-wall",
        "paywall",
        "consent-wall",
        "soft-404",
        "parked",
        "js-shell",
        "empty",
        "quote-missing",
        "redirected-home",
        "tls-invalid",
    ),
    Verdict.REFUSED: ("robots",),
    Verdict.FAILED: (
        "dns",
        "connect",
        "tls",
        "timeout",
        "reset",
        "blocked-address",
        "redirect-limit",
        "no-response",
        "deferred",
        "unsupported-scheme",
    ),
}
STATUS = r"http-[1-5][0-9]{2}"
WEAK = frozenset({"md5", "sha1"})


def reason(text: str) -> str:
    """Take an outcome that is no news."""
    known = tuple(each for several in REASONS.values() for each in several)
    if text not in known and not re.fullmatch(STATUS, text):
        hint = nearest(text, (*known, "http-404", "http-403", "http-410"))
        if re.fullmatch(r"[1-5][0-9]{2}", text):
            hint = f'did you mean "http-{text}"?'
        allowed = ", ".join(known)
        raise Unfit(f"{shown(text)} is not one of http-NNN, {allowed}", hint)
    return text


def algorithm(text: str) -> str:
    """Take the name of a digest that still proves something."""
    if text in ALGORITHMS:
        return text
    allowed = " or ".join(ALGORITHMS)
    if text.lower().replace("-", "") in WEAK:
        message = f"{shown(text)} is too weak: two files can be made to have one digest"
        raise Unfit(message, f"write {allowed}")
    raise Unfit(f"{shown(text)} is not {allowed}", nearest(text, ALGORITHMS))
