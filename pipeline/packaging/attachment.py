"""An attachment told: files that somebody supplied for a source, never captured (pure).

Nothing here says that the files are what they are said to be: ``attachment.json`` tells
who brought them, what they claim, and which of the cited words stand in them.
"""

import textwrap
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.model import (
    Artefact,
    Event,
    EventType,
    Operator,
    QuoteSighting,
    Source,
)
from pipeline.packaging.account import Account, Agent, AgentKind
from pipeline.packaging.readme import WIDTH
from pipeline.packaging.rendering import Json, readable, told
from pipeline.packaging.story import artefact_json

FORMAT = "muniment-attachment/1"
PATH = "data/metadata/attachment.json"
FOLDER = "data/objects/supplied"
NOTHING = "said by whoever supplied it; this program saw none of it happen"


class Supplied(Struct, frozen=True, kw_only=True):
    """One file as it was supplied."""

    name: str  # as whoever supplied it called it
    artefact: Artefact
    kind: str  # warc | wacz | pdf | picture | page | text | other, by its first bytes
    quotes: tuple[QuoteSighting, ...] = ()
    remark: str = ""  # why the words were not looked for, if they were not


class Attachment(Struct, frozen=True, kw_only=True):
    """Files that were supplied for a source, and what is said of them."""

    bag: str
    job: str
    source: Source
    files: tuple[Supplied, ...]
    supplied_at: datetime
    supplied_by: str = ""
    made_at: str = ""  # as they say
    note: str = ""
    operator: Operator = Operator()
    software: str = ""


def attachment_json(it: Attachment) -> dict[str, Json]:
    """Tell an attachment as attachment.json has it."""
    return {
        "format": FORMAT,
        "bag": it.bag,
        "job": it.job,
        "source": {
            "id": it.source.id,
            "url": readable(it.source.url),
            "title": readable(it.source.title),
        },
        "captured": False,
        "supplied_by": readable(it.supplied_by),
        "supplied_at": stamp(it.supplied_at),
        "made_at": readable(it.made_at),
        "note": readable(it.note),
        "basis": NOTHING,
        "files": [_file(one) for one in it.files],
        "operator": told(it.operator),
        "software": readable(it.software),
    }


def _file(one: Supplied) -> dict[str, Json]:
    return {
        "file": artefact_json(one.artefact),
        "name": readable(one.name),
        "kind": one.kind,
        "quotes": [told(each) for each in one.quotes],
        "remark": readable(one.remark),
    }


def account_of(it: Attachment, *, transfer: str, packing: str) -> Account:
    """Give the account of an attachment: a transfer and a packing, and no capture."""
    files = tuple(one.artefact for one in it.files)
    paths = tuple(one.path for one in files)
    by = it.supplied_by or "somebody who is not named"
    events = (
        Event(
            id=transfer,
            type=EventType.TRANSFER,
            at=it.supplied_at,
            outcome="success",
            detail=f"supplied by {by}; {NOTHING}",
            objects=paths,
        ),
        Event(
            id=packing,
            type=EventType.PACKAGE,
            at=it.supplied_at,
            outcome="success",
            detail="packed as a BagIt 1.0 bag (RFC 8493)",
            objects=paths,
        ),
    )
    return Account(
        bag=it.bag,
        identifiers=(("local", f"{it.job}/{it.source.id}"), ("URL", it.source.url)),
        title=it.source.title,
        files=files,
        events=events,
        agents=tuple(_agents(it)),
    )


def _agents(it: Attachment) -> Iterable[Agent]:
    name, _, version = it.software.rpartition(" ")
    if it.operator.name:
        yield Agent(kind=AgentKind.PERSON, name=it.operator.name)
    if it.operator.organisation:
        yield Agent(kind=AgentKind.ORGANIZATION, name=it.operator.organisation)
    yield Agent(kind=AgentKind.SOFTWARE, name=name, version=version)


def label(it: Attachment) -> tuple[tuple[str, str], ...]:
    """Label the bag: bag-info.txt."""
    what = it.source.title or it.source.url
    rows = (
        ("Source-Organization", it.operator.organisation),
        ("Contact-Name", it.operator.name),
        ("External-Description", f"Supplied material for {what}"),
        ("Bagging-Date", f"{it.supplied_at:%Y-%m-%d}"),
        ("External-Identifier", f"{it.job}/{it.source.id}"),
        ("Internal-Sender-Identifier", it.bag),
        ("Bag-Software-Agent", it.software),
        ("Evidence-Source-URL", it.source.url),
        ("Evidence-Supplied-By", it.supplied_by or "not named"),
    )
    return tuple((name, readable(value)) for name, value in rows if value)


def readme(it: Attachment) -> bytes:
    """Write README.txt, in plain words and ASCII."""
    said = (
        "This folder is a bag (BagIt, RFC 8493). It keeps files that somebody supplied "
        "for a source that a document cites. They were not captured by the program "
        "that packed them, which saw none of what they show."
    )
    check = (
        "To check that nothing has changed since, go into this folder and run "
        "sha256sum -c manifest-sha256.txt and sha256sum -c tagmanifest-sha256.txt; "
        "every line must end in OK."
    )
    rows = {
        "Bag": it.bag,
        "Source": f"{it.job}/{it.source.id}",
        "Address": it.source.url,
        "By": it.supplied_by or "somebody who is not named",
        "Supplied": f"{stamp(it.supplied_at)} (by this machine)",
        "Made": f"{it.made_at} (as they say)" if it.made_at else "",
    }
    lines = ["SUPPLIED, NOT CAPTURED", "", *_wrapped(said), ""]
    lines += [f"  {name:9} {_plain(value)}" for name, value in rows.items() if value]
    lines += ["", "data/metadata/attachment.json tells of every file.", ""]
    lines += _wrapped(check)
    return "\n".join((*lines, "")).encode("ascii", "backslashreplace")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def _plain(value: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in value)
