"""Where things live and who works here: flags, the environment, muniment.toml.

``load`` takes each setting from the highest place that names it: a flag, a variable
``MUNIMENT_*``, the ``muniment.toml`` found upward from where one stands (or the file
named with ``--config``), the user's own ``~/.config/muniment/config.toml``, a default.
Every value remembers where it came from. Nothing is ignored: a key that is unknown, of
the wrong kind or not built yet is refused with its file and line. Files are read here
and never written; what a manifest may say stands in ``manifest``.
"""

import json
import re
import tomllib
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice
from pathlib import Path
from typing import NoReturn, cast
from unicodedata import category
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pipeline.disk import small_file
from pipeline.errors import UsageError
from pipeline.model import Digest, Operator

LARGEST = 1 << 20  # bytes of a configuration file

Network = IPv4Network | IPv6Network


class Timestamping(Struct, frozen=True, kw_only=True):
    """A timestamping authority as configured, and where its pinned roots are."""

    name: str  # a part of file names
    url: str
    roots: Path | Digest  # a PEM file, or one root of the certifi bundle

    def __str__(self) -> str:
        return f"{self.name} <{self.url}>"


class TimeServer(Struct, frozen=True, kw_only=True):
    """A server that is asked for the time over SNTP."""

    host: str
    port: int = 123

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Notifying(Struct, frozen=True, kw_only=True):
    """Whom the operator wants told of everything: references, never the secrets."""

    url: str = ""
    heartbeat: str = ""  # told after each upkeep that came to its end
    is_daily: bool = False  # a digest a day; damage is told at once


class Table(Struct, frozen=True, kw_only=True):
    """A table that others know how to read, and the folder its paths lean on."""

    text: str  # as JSON
    folder: Path

    def __str__(self) -> str:
        return ", ".join(json.loads(self.text))


Value = (
    Path
    | str
    | tuple[Network, ...]
    | tuple[Timestamping, ...]
    | tuple[TimeServer, ...]
    | Table
    | None
)

FILE_NAME = "muniment.toml"

STARTER_TOML = """\
# Muniment's settings. Paths are relative to this file; ~ is your home folder.
# A flag overrules this file, and so does a variable such as MUNIMENT_ARCHIVE or
# MUNIMENT_OPERATOR_NAME. `muniment config --show-origin` tells what holds, and why.

archive = "archive"     # the folder that keeps the bags

[operator]              # who captures: stands in every bag, and may be a pseudonym
name = ""
organisation = ""
contact = ""            # sent to web sites only where a manifest says identify: contact
# ip = ""               # the address that sites see; nobody else tells of it

[seal]                  # every bag is signed; `muniment keys init` makes a key of yours
# key = "file:~/.config/muniment/signing.pem"
# Each authority says when, over the signature; roots are pinned here, never taken from
# an answer: a PEM file, or "sha256:..." of one root in the installed certifi bundle.
# [[seal.authority]]
# name = "digicert"
# url = "http://timestamp.digicert.com"
# roots = "sha256:552f7bdcf1a7af9e6ce672017f4f12abf77240c78e761ac203d1d9d20ac89988"
# [[seal.authority]]
# name = "freetsa"
# url = "https://freetsa.org/tsr"
# roots = "roots/freetsa.pem"

# [deposit.second-disk] # where copies go, beside those that a manifest names itself
# to = "folder"
# url = "/mnt/second-disk/bags"

[clock]
# sntp = ["time.example.org"]  # asked once a run; what they say stands in each seal

[notify]                # needs muniment[notify]; one address, as apprise writes them
# url = "env:MUNIMENT_NOTIFY"        # where it is kept, or mailto:me@example.org
# digest = "daily"                   # one message a day; damage is told at once
# heartbeat = "env:MUNIMENT_ALIVE"   # told after each `tend`, for a watch on the watch

[network]
allow = []              # networks beyond the public internet, as ["192.168.7.0/24"]
"""

STARTER_MANIFEST = """\
# A manifest names the sources that a document cites, and the words they should hold.
#   muniment check FILE    reads it and tells every mistake with its line
#   muniment plan FILE     tells what a run would fetch, and fetches nothing
#   muniment run FILE      visits the sources and keeps what they sent

version: 1
id: first-case            # names a folder of the archive: a-z 0-9 . _ -
title: The sources of my first document
# document: {title: "...", author: "...", url: "https://..."}   # captured as well

sources:
  example:                # an id of your choosing
    url: https://www.example.org/
    title: Example Domain
    quotes:               # words that should stand on the page
      - Example Domain
#  another: https://...   # a bare address is enough

# claims:                 # what the document says, and which source carries it
#   first-claim: {says: "...", supports: [example]}
"""


class Setting(Struct, frozen=True, kw_only=True):
    """One value, and where it comes from: a flag, a variable, a file, or nowhere."""

    name: str
    value: Value
    origin: str


class Config(Struct, frozen=True, kw_only=True):
    """The settings that hold, ready for use; ``settings`` has them with origins."""

    archive: Path
    operator: Operator
    allow: tuple[Network, ...]
    key: Path | None  # the signing key; None where no setting names one
    authorities: tuple[Timestamping, ...]
    sntp: tuple[TimeServer, ...]  # asked for the time, unauthenticated
    settings: tuple[Setting, ...]
    notify: Notifying = Notifying()
    deposits: Table | None = None  # as ``deposit`` of a manifest; None for none


class _Place(Struct, frozen=True):
    """Where a value was written, and what a path in it leans on."""

    origin: str
    folder: Path
    home: Path

    def at(self, line: int) -> "_Place":
        return replace(self, origin=f"{self.origin}:{line}") if line else self


# ------------------------------------------------------------------- kinds of settings


def _refuse(expected: str, found: object) -> NoReturn:
    shown = f'"{found}"' if isinstance(found, str) else _kind(found)
    raise ValueError(f"expected {expected}, found {shown}")


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number"}
    kinds |= {list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _text(value: object, _: _Place) -> str:
    if not isinstance(value, str):
        _refuse("text in quotes", value)
    if any(category(mark) in {"Cc", "Cs", "Zl", "Zp"} for mark in value):
        raise ValueError(f"expected one line of plain text, found {value!a}")
    return value


def _path(value: object, place: _Place) -> Path:
    text = _text(value, place)
    if text == "~" or text.startswith("~/"):
        return place.home / text[2:]
    if not text or text.startswith("~"):
        _refuse("a folder, from / or ~/ or relative", text)
    return place.folder / text


def _key(value: object, place: _Place) -> Path | None:
    if value is None:
        return None
    return _path(_text(value, place).removeprefix("file:"), place)


def _table(value: object, place: _Place) -> Table | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(
        isinstance(one, dict) for one in value.values()
    ):
        _refuse("tables, as [deposit.vault]", value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return Table(text=text, folder=place.folder)


HOST = re.compile(r"[a-z0-9][a-z0-9.:-]{0,252}")
AUTHORITY = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
MARKS = ("name", "url", "roots")


def _authorities(value: object, place: _Place) -> tuple[Timestamping, ...]:
    if not isinstance(value, list | tuple):
        _refuse("tables, each under [[seal.authority]]", value)
    found = tuple(_authority(one, place) for one in value)
    for name, count in Counter(one.name for one in found).items():
        if count > 1:
            raise ValueError(f'"{name}" names {count} authorities; name each once')
    return found


def _authority(told: object, place: _Place) -> Timestamping:
    if not isinstance(told, dict):
        _refuse("a table", told)
    for key in told.keys() - {*MARKS}:
        raise ValueError(f'unknown key "{key}"; known: {", ".join(MARKS)}')
    for key in MARKS:
        if not told.get(key):
            why = "; without pinned roots nobody is believed" if key == "roots" else ""
            raise ValueError(f"an authority needs its {key}{why}")
    name, url, roots = (_text(told[key], place) for key in MARKS)
    if not AUTHORITY.fullmatch(name):
        _refuse("a short name of a-z, 0-9 and hyphens", name)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        _refuse("the URL of an authority, http or https", url)
    if not roots.startswith("sha256:"):
        return Timestamping(name=name, url=url, roots=_path(roots, place))
    digits = roots.removeprefix("sha256:").replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        _refuse("sha256: and 64 hexadecimal digits", roots)
    return Timestamping(name=name, url=url, roots=Digest("sha256", digits))


def _networks(value: object, place: _Place) -> tuple[Network, ...]:
    if not isinstance(value, list | tuple):
        _refuse("a list of networks", value)
    return tuple(parse_network(_text(one, place)) for one in value)


MOST_SERVERS = 8  # asked for the time; more prove no more


def _time_servers(value: object, place: _Place) -> tuple[TimeServer, ...]:
    if not isinstance(value, list | tuple):
        _refuse("a list of time servers", value)
    if len(value) > MOST_SERVERS:
        raise ValueError(f"expected at most {MOST_SERVERS} servers, found {len(value)}")
    return tuple(_time_server(_text(one, place)) for one in value)


def _time_server(text: str) -> TimeServer:
    """Read ``host``, ``host:port`` or ``[2001:db8::1]:port``. Raises ValueError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
        is_plain = not (parts.path or parts.query or parts.fragment or parts.username)
    except ValueError:  # a port or a bracket that is none
        host, port, is_plain = "", None, False
    if not is_plain or not HOST.fullmatch(host) or port == 0:
        _refuse("a time server, as time.example.org or 192.0.2.1:123", text)
    return TimeServer(host=host, port=port or 123)


def parse_network(text: str) -> Network:
    """Read a network such as ``127.0.0.0/8``. Raises ValueError, which says how."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 192.168.7.0/24") from error


def _host_number(value: object, place: _Place) -> str:
    text = _text(value, place).strip()
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        _refuse("an IP address, the one that sites see", text)


REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")
MAIL = re.compile(r"mailto:(//)?[\w.+-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)


def _address(value: object, place: _Place) -> str:
    """Read whom to tell: such an address is a key as a rule, and not written out."""
    text = _text(value, place)
    if text.startswith("file:") and REFERENCE.fullmatch(text):
        return f"file:{_path(text.removeprefix('file:'), place)}"
    if text and not (REFERENCE.fullmatch(text) or MAIL.fullmatch(text)):
        raise ValueError(
            "expected env:NAME or file:PATH, where the address is kept, or "
            "mailto:me@example.org; found something else, which is not shown"
        )
    return text


def _digest(value: object, place: _Place) -> str:
    text = _text(value, place)
    if text not in {"", "daily"}:
        _refuse('"daily", or "" for each at once', text)
    return text


def _no_proxy(value: object, place: _Place) -> str:
    if _text(value, place):
        raise ValueError('not supported yet; leave it out, or write ""')
    return ""


class _Rule(Struct, frozen=True):
    """How a setting is read, what it is when nobody says, and the flag that says."""

    read: Callable[[object, _Place], Value]
    default: object
    flag: str = ""


RULES: Mapping[str, _Rule] = {
    "archive": _Rule(_path, "archive", "--archive"),
    "operator.name": _Rule(_text, ""),
    "operator.organisation": _Rule(_text, ""),
    "operator.contact": _Rule(_text, ""),
    "operator.ip": _Rule(_host_number, ""),
    "network.allow": _Rule(_networks, (), "--allow-address"),
    "network.proxy": _Rule(_no_proxy, ""),
    "clock.sntp": _Rule(_time_servers, ()),
    "seal.key": _Rule(_key, None),
    "seal.authority": _Rule(_authorities, ()),
    "notify.url": _Rule(_address, ""),
    "notify.digest": _Rule(_digest, ""),
    "notify.heartbeat": _Rule(_address, ""),
    "deposit": _Rule(_table, None),
}
SECTIONS = {"operator", "network", "seal", "clock", "notify"}


def _setting(name: str, value: object, place: _Place) -> Setting:
    try:
        read = RULES[name].read(value, place)
    except ValueError as error:
        raise UsageError(f"{place.origin}: {name}: {error}") from error
    return Setting(name=name, value=read, origin=place.origin)


# ------------------------------------------------------------------- places to look at

_Layer = dict[str, Setting]


def _from_flags(flags: Mapping[str, object], place: _Place) -> _Layer:
    """Read what the command line gave; None and an empty list were not given."""
    return {
        name: _setting(name, value, replace(place, origin=RULES[name].flag or name))
        for name, value in flags.items()
        if value not in (None, (), [])
    }


def _from_environment(environ: Mapping[str, str], place: _Place) -> _Layer:
    """Read ``MUNIMENT_OPERATOR_NAME`` and its like; a list is parted by commas."""
    layer = {}
    for name, rule in RULES.items():
        variable = "MUNIMENT_" + name.upper().replace(".", "_")
        if rule.read not in {_authorities, _table} and (text := environ.get(variable)):
            is_list = rule.read in {_networks, _time_servers}
            value = text.replace(",", " ").split() if is_list else text
            layer[name] = _setting(name, value, replace(place, origin=variable))
    return layer


def _from_file(path: Path, home: Path) -> _Layer:
    """Read a muniment.toml. Raises UsageError with the file and the line."""
    text = _content(path)
    place = _Place(str(path), path.parent, home)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_toml_complaint(path, text, str(error))) from error
    return {
        name: _setting(name, value, place.at(_line_of(text, name)))
        for name, value in _flat(table, "", text, place)
    }


def _content(path: Path) -> str:
    try:
        return small_file(path, LARGEST).decode()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; expected a configuration file that can be read"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error


def _toml_complaint(path: Path, text: str, message: str) -> str:
    """Put the position first, as every complaint here has it."""
    what, _, where = message.rpartition(" (at ")
    found = re.fullmatch(r"line (\d+), column (\d+)\)", where)
    line, column = found.groups() if found else (text.count("\n") + 1, 1)
    return (
        f"{path}:{line}:{column}: {what}; expected TOML, as `muniment init` writes it"
    )


def _flat(
    table: Mapping[str, object], prefix: str, text: str, place: _Place
) -> Iterator[tuple[str, object]]:
    """Walk the table as dotted names, and refuse what no setting has."""
    for key, value in table.items():
        name = prefix + key
        here = place.at(_line_of(text, name)).origin
        if name in SECTIONS and isinstance(value, dict):
            yield from _flat(value, f"{name}.", text, place)
        elif name in RULES:
            yield name, value
        else:
            raise UsageError(f"{here}: {name}: {_unknown(name, value)}")


def _unknown(name: str, value: object) -> str:
    if name in SECTIONS:
        return f"expected a table, found {_kind(value)}"
    known = {full.rpartition(".")[2]: full for full in (*RULES, *SECTIONS)}
    near = get_close_matches(name.rpartition(".")[2], known, n=1)
    hint = f'did you mean "{known[near[0]]}"?' if near else f"known: {', '.join(RULES)}"
    return f"unknown setting; {hint}"


HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]")
KEY = re.compile(r"\s*([\w.-]+)\s*=")


def _line_of(text: str, name: str) -> int:
    """Find the line that sets a name, or its table; 0 for none found.

    tomllib keeps no positions, so this looks for them; it only ever helps a reader.
    """
    lines = tuple(_written(text))
    exact = (number for number, written in lines if written == name)
    near = (
        number
        for number, written in lines
        if name.startswith(f"{written}.") or written.startswith(f"{name}.")
    )
    return next(exact, next(near, 0))


def _written(text: str) -> Iterator[tuple[int, str]]:
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            section = f"{header[1]}."
            yield number, header[1]
        elif key := KEY.match(line):
            yield number, section + key[1]


def _files(
    environ: Mapping[str, str], cwd: Path, home: Path, named: Path | None
) -> Iterator[Path]:
    """Name the files to read, the highest first."""
    if text := str(named or environ.get("MUNIMENT_CONFIG", "")):
        yield home / text[2:] if text.startswith("~/") else cwd / text
    else:
        upward = (folder / FILE_NAME for folder in (cwd, *cwd.parents))
        yield from islice(filter(_stands, upward), 1)
    own = own_folder(environ, home) / "config.toml"
    if _stands(own):
        yield own


def own_folder(environ: Mapping[str, str], home: Path | None = None) -> Path:
    """Tell where the user's own settings and private keys lie, outside any archive."""
    # XDG Base Directory 0.8: a relative XDG_CONFIG_HOME is to be ignored.
    named = Path(environ.get("XDG_CONFIG_HOME", ""))
    return (named if named.is_absolute() else _home(environ, home)) / "muniment"


def _home(environ: Mapping[str, str], home: Path | None) -> Path:
    return (home or Path(environ.get("HOME") or Path("~").expanduser())) / ".config"


def _stands(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered holds nothing for us
        return False


# ------------------------------------------------------------------------ what is used


def load(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
    config_file: Path | None = None,
) -> Config:
    """Find what holds, reading files and nothing else from outside.

    ``flags`` holds settings by name, as ``{"network.allow": ("127.0.0.0/8",)}``.
    Raises UsageError for a file that is absent or broken and a setting that is wrong.
    """
    home = Path(environ.get("HOME") or Path("~").expanduser())
    place = _Place("default", cwd, home)
    layers = (
        _from_flags(flags, place),
        _from_environment(environ, place),
        *(_from_file(path, home) for path in _files(environ, cwd, home, config_file)),
        {name: _setting(name, rule.default, place) for name, rule in RULES.items()},
    )
    return _config(ChainMap(*layers))


def _config(found: Mapping[str, Setting]) -> Config:
    archive, allow = found["archive"].value, found["network.allow"].value
    key, authorities = found["seal.key"].value, found["seal.authority"].value
    assert isinstance(archive, Path)
    assert isinstance(key, Path | None)
    assert isinstance(allow, tuple)
    assert isinstance(authorities, tuple)
    sntp = found["clock.sntp"].value
    assert isinstance(sntp, tuple)
    deposits = found["deposit"].value
    assert isinstance(deposits, Table | None)
    parts = ("name", "organisation", "contact", "ip")
    return Config(
        archive=archive,
        operator=Operator(
            **{part: str(found[f"operator.{part}"].value) for part in parts}
        ),
        allow=cast("tuple[Network, ...]", allow),
        key=key,
        authorities=cast("tuple[Timestamping, ...]", authorities),
        sntp=cast("tuple[TimeServer, ...]", sntp),
        settings=tuple(found[name] for name in RULES),
        notify=Notifying(
            url=str(found["notify.url"].value),
            heartbeat=str(found["notify.heartbeat"].value),
            is_daily=found["notify.digest"].value == "daily",
        ),
        deposits=deposits,
    )


def show(config: Config) -> tuple[tuple[str, str, str], ...]:
    """Tell each setting, its value as text, and where the value comes from."""
    return tuple((one.name, _shown(one.value), one.origin) for one in config.settings)


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
