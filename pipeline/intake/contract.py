"""The contract: every field of a manifest, what it holds, and what is not built yet.

To build a feature, delete its line from ``UNBUILT`` and give the model its field.
"""

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from pipeline.intake import timing
from pipeline.intake.addressee import FORM as ADDRESSEE
from pipeline.intake.addressee import addressee
from pipeline.intake.handover import HOST_KEY, UUID, WEB_URL, Form, reference, user
from pipeline.intake.notation import Mapping, Node, Scalar, Sequence
from pipeline.intake.shape import (
    Address,
    Block,
    Choice,
    Entry,
    Field,
    Flag,
    Fraction,
    Many,
    Pairs,
    Place,
    Schema,
    SourceId,
    Table,
    Text,
    Whole,
)
from pipeline.intake.terms import (
    AUTHORITY,
    DURATION,
    IDENTIFIER,
    LANGUAGE,
    SIZE,
    algorithm,
    authority,
    duration,
    file_name,
    header_name,
    header_value,
    identifier,
    identifier_of,
    info_name,
    info_value,
    language,
    line,
    number_of_host,
    patience,
    prose,
    reason,
    size,
)
from pipeline.model import (
    Access,
    Engine,
    Identify,
    Judgement,
    Keep,
    Match,
    Occasion,
    Operator,
    Party,
    Quote,
    Recipient,
    RobotsPolicy,
    Role,
    TlsPolicy,
    When,
)

VERSION = 1

# The names are the contract; what stands here is refused with "not supported yet",
# never ignored. A field by its name, one value of it, or * for all but the default.
UNBUILT = frozenset(
    {
        "source.capture: browser",
        "source.capture: media",
        "source.linked",
        "source.screenshot",
        "source.pdf",
        "quote.match: fuzzy",
        "quote.at_least",
        "package.profile: *",
        "package.max_bag",
    }
)


def _choice(words: type[StrEnum]) -> Choice:
    return Choice(tuple(words), words)


def _form(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$"}


WORDS = {"type": ["string", "number"]}  # a number stays as it was written
LINE = Text(parse=line, form=WORDS)
PROSE = Text(parse=prose, form=WORDS)
ID = Text(parse=identifier, wanted="an id", form=_form(IDENTIFIER))
HOST_NUMBER = Text(parse=number_of_host, wanted="an IP address")
LANG = Text(parse=language, wanted="a language tag", form=_form(LANGUAGE))
DELAY = Text(parse=duration, wanted="a duration", form=_form(DURATION))
PATIENCE = Text(parse=patience, wanted="a duration", form=_form(DURATION))
BYTES = Text(parse=size, wanted="a size", form=_form(SIZE))
ADDRESS = Address()
LINES = Many(of=LINE)
SOURCE_IDS = Many(of=SourceId())

HEADERS = Pairs(
    table=Table(
        key=header_name,
        value=Text(parse=header_value),
        wanted="headers and their values",
    )
)
INFO = Pairs(
    table=Table(
        key=info_name,
        value=Many(of=Text(parse=info_value)),
        wanted="names and values",
    )
)


class Sources(Struct, frozen=True):
    """The sources: blocks or addresses by their ids, or a plain list of addresses."""

    table: Table

    def read(self, node: Node, at: Place) -> tuple[Entry, ...] | None:
        """Return the sources that can be used."""
        if isinstance(node, Scalar) or not _children(node):
            hint = "name at least one source: an id and its address"
            at.refuse("there is no source", hint)
            return None
        if not isinstance(node, Sequence):
            return self.table.read(node, at)
        return tuple(self._listed(node, at))

    def _listed(self, node: Sequence, at: Place) -> Iterator[Entry]:
        taken: dict[str, int] = {}
        for number, item in enumerate(node.items):
            inside = at.inside(str(number), item.span)
            if isinstance(item, Mapping):
                hint = "in a list stand addresses; a block needs an id: my-source: ..."
                inside.refuse("a block has no id here", hint)
                continue
            address = Address().read(item, inside)
            if address is not None:
                name = _free(identifier_of(address), taken)
                yield Entry(name=name, key=item, node=item, value={"url": address})

    def schema(self) -> Schema:
        """Describe both forms."""
        listed = {"type": "array", "items": Address().schema(), "minItems": 1}
        named = {
            **self.table.schema(),
            "propertyNames": _form(IDENTIFIER),
            "minProperties": 1,
        }
        return {"anyOf": [named, listed]}


def _children(node: Node) -> bool:
    if isinstance(node, Mapping):
        return bool(node.pairs)
    return not isinstance(node, Sequence) or bool(node.items)


def _free(name: str, taken: dict[str, int]) -> str:
    """Give an address that is listed twice a number behind its id."""
    taken[name] = number = taken.get(name, 0) + 1
    return name if number == 1 else f"{name}-{number}"


class Words(Struct, frozen=True):
    """A program and its arguments, one by one; no shell ever reads them."""

    def read(self, node: Node, at: Place) -> tuple[str, ...] | None:
        """Return the words in their order."""
        if not isinstance(node, Sequence) or not node.items:
            hint = 'write ["program", "--option", "{bag}"]'
            at.refuse("expected a list of words", hint, at=node.span)
            return None
        words = [
            Text(parse=prose).read(item, at.inside(str(n), item.span))
            for n, item in enumerate(node.items)
        ]
        return None if None in words else tuple(words)

    def schema(self) -> Schema:
        """Describe the list."""
        return {"type": "array", "items": {"type": "string"}, "minItems": 1}


# ---------------------------------------------------------------------------- fields

QUOTE = Block(
    name="quote",
    short="text",
    required=("text",),
    unbuilt=UNBUILT,
    make=Quote,
    fields={
        "text": Field(PROSE, "words that should be found in the capture"),
        "match": Field(_choice(Match), "how they are compared", "normalized"),
        "at_least": Field(Fraction(), "the least score of a fuzzy match", "0.9"),
        "required": Field(Flag(), "a miss is news, exit status 7", "false"),
    },
)

INHERITED = {
    "also": Field(Many(of=ADDRESS), "mirrors, other languages: kept in the same bag"),
    "title": Field(LINE, "its title"),
    "publisher": Field(LINE, "who published it"),
    "author": Field(LINES, "who wrote it"),
    "published": Field(LINE, "when, as a date or in words"),
    "lang": Field(LANG, "its language: en, fa, pt-BR"),
    "role": Field(_choice(Role), "what it is to the document", "secondary"),
    "derives_from": Field(SOURCE_IDS, "the sources that it repeats"),
    "quotes": Field(Many(of=QUOTE), "words that should be found in the capture"),
    "expect": Field(
        Many(of=Text(parse=reason)), "outcomes that are no news: http-404, paywall"
    ),
    "capture": Field(_choice(Engine), "what visits it", "auto"),
    "requisites": Field(Flag(), "keep images, styles, scripts, fonts too", "true"),
    "max_requisites": Field(Whole(0, 1_000_000), "at most so many of them", "2000"),
    "linked": Field(LINES, "also keep linked documents that match: *.pdf"),
    "screenshot": Field(Flag(), "keep a picture of the page", "true"),
    "pdf": Field(Flag(), "keep a printed page", "false"),
    "text": Field(Flag(), "keep the text of the page", "true"),
    "robots": Field(_choice(RobotsPolicy), "what robots.txt decides", "record"),
    "tls": Field(_choice(TlsPolicy), "what a certificate that fails does", "verify"),
    "identify": Field(_choice(Identify), "what the User-Agent says", "product"),
    "delay": Field(DELAY, "between documents of one host", "2s"),
    "requisite_delay": Field(DELAY, "between what one page needs", "100ms"),
    "timeout": Field(PATIENCE, "to connect, for the headers, of any silence", "30s"),
    "deadline": Field(PATIENCE, "for the whole source", "30m"),
    "retries": Field(Whole(0, 100), "after connection errors, 429, 5xx", "3"),
    "max_size": Field(BYTES, "a longer response is cut, and said to be", "2GiB"),
    "headers": Field(HEADERS, "request headers; secrets as env:NAME or file:PATH"),
    "rights": Field(PROSE, "what may be done with it"),
    "access": Field(_choice(Access), "who may see the bag", "internal"),
    "skip": Field(LINE, "why it is listed and not fetched"),
    "note": Field(PROSE, "anything else"),
}

OUTSIDE = "it belongs at the left margin, outside of the sources"
SOURCE = Block(
    name="source",
    short="url",
    required=("url",),
    unbuilt=UNBUILT,
    homes=dict.fromkeys(
        ("claims", "sources", "document", "defaults", "package", "operator"), OUTSIDE
    ),
    fields={"url": Field(ADDRESS, "its address, as it is cited"), **INHERITED},
)
DEFAULTS = Block(
    name="source",
    unbuilt=UNBUILT,
    homes={"url": "each source has an address of its own"},
    fields=INHERITED,
)

CLAIM = Block(
    name="claim",
    required=("says",),
    fields={
        "says": Field(PROSE, "what the document claims, in your own words"),
        "where": Field(LINE, "where in the document: paragraph 4"),
        "supports": Field(SOURCE_IDS, "sources that carry it"),
        "contradicts": Field(SOURCE_IDS, "sources that speak against it"),
        "context": Field(SOURCE_IDS, "sources to read beside it"),
        "verdict": Field(_choice(Judgement), "a person's own", "untested"),
        "note": Field(PROSE, "anything else"),
    },
)

DOCUMENT = Block(
    name="document",
    fields={
        "title": Field(LINE, "its title"),
        "author": Field(LINES, "who wrote it"),
        "url": Field(ADDRESS, "its address: captured as the source document"),
        "file": Field(
            Text(parse=file_name), "a copy beside the manifest, kept in the run bag"
        ),
    },
)

OPERATOR = Block(
    name="operator",
    make=Operator,
    fields={
        "name": Field(LINE, "who runs the capture; may be a pseudonym"),
        "organisation": Field(LINE, "for whom"),
        "contact": Field(LINE, "how to reach them"),
        "ip": Field(HOST_NUMBER, "the address that sites see, if it may be told"),
    },
)

PACKAGE = Block(
    name="package",
    unbuilt=UNBUILT,
    fields={
        "algorithms": Field(
            Many(of=Text(parse=algorithm), least=1), "digests: sha256, sha512"
        ),
        "profile": Field(LINE, "the BagIt profile", "muniment"),
        "max_bag": Field(BYTES, "the largest bag", "50GiB"),
        "info": Field(INFO, "more fields of bag-info.txt"),
    },
)

DEPOSIT = Block(
    name="deposit",
    required=("to",),
    fields={
        "to": Field(_choice(Party), "the kind of target"),
        "url": Field(LINE, "its address, or a folder"),
        "when": Field(_choice(When), "after which runs", "complete"),
        "layout": Field(Choice(("tree", "tar")), "a bag as its files, or as one file"),
        "user": Field(Text(parse=user), "who deposits; or env:NAME, file:PATH"),
        "secret": Field(
            Text(parse=reference), "password or key, as env:NAME or file:PATH"
        ),
        "endpoint": Field(
            Text(parse=Form(WEB_URL, "a server", "https://s3.example")),
            "an S3 server that is not Amazon's",
        ),
        "region": Field(LINE, "its region"),
        "retain": Field(PATIENCE, "S3 Object Lock: nobody can delete it for so long"),
        "host_key": Field(
            Text(parse=Form(HOST_KEY, "a public host key", "ssh-ed25519 AAAA...")),
            "the one key that an SFTP server is known by",
        ),
        "rate": Field(BYTES, "at most so many bytes a second"),
        "command": Field(Words(), "a program and its arguments; {bag} is the bag"),
        "read": Field(Words(), "the program that gives it back; {file} is a file"),
        "drop": Field(LINE, "the folder that Archivematica takes transfers from"),
        "location": Field(
            Text(parse=Form(UUID, "a UUID", "2a2e8f51-...")), "its UUID there"
        ),
        "processing": Field(LINE, "the processing configuration there"),
        "collection": Field(LINE, "the collection at the Internet Archive"),
    },
)
DEPOSITS = Table(key=identifier, value=DEPOSIT, wanted="deposits by their names")

SCHEDULE = Block(
    name="schedule",
    fields={
        "every": Field(
            Text(parse=timing.every, wanted="a duration", form=_form(DURATION)),
            "a span from the first run on: 7d",
        ),
        "cron": Field(
            Text(parse=timing.cron, form=_form(timing.FORM)),
            "minute hour day month weekday, as in cron: 17 3 * * 1",
        ),
        "timezone": Field(
            Text(parse=timing.timezone, form=_form(timing.ZONE)),
            "where cron's hours are read",
            "UTC",
        ),
        "jitter": Field(
            Text(parse=timing.jitter, wanted="a duration", form=_form(DURATION)),
            "at most so much later, the same each time",
            "0s",
        ),
        "keep": Field(
            _choice(Keep), "of what did not change: no bag, or all", "changed"
        ),
    },
)

SEAL = Block(
    name="seal",
    fields={
        "timestamp": Field(
            Many(of=Text(parse=authority, form=_form(AUTHORITY))),
            "authorities of muniment.toml, else all of them; [] for none",
        ),
    },
)

RECIPIENT = Block(
    name="recipient",
    required=("url",),
    make=Recipient,
    fields={
        "on": Field(Many(of=_choice(Occasion), least=1), "of what they are told"),
        "url": Field(
            Text(parse=addressee, form=_form(f"({ADDRESSEE})")),
            "env:NAME or file:PATH of an address, or mailto:me@example.org",
        ),
    },
)

MANIFEST = Block(
    name="manifest",
    required=("version", "id", "sources"),
    unbuilt=UNBUILT,
    homes=dict.fromkeys(
        ("url", *INHERITED), 'it belongs in a source, or in "defaults" for all of them'
    ),
    fields={
        "version": Field(Whole(VERSION, VERSION), f"the form of this file: {VERSION}"),
        "id": Field(ID, "a short name; it becomes a folder"),
        "title": Field(LINE, "what is kept, in a line"),
        "contact": Field(LINE, "an address for questions; it goes into provenance"),
        "operator": Field(OPERATOR, "who runs the capture"),
        "document": Field(DOCUMENT, "the citing text"),
        "defaults": Field(DEFAULTS, "any field of a source; every source inherits it"),
        "sources": Field(
            Sources(Table(key=identifier, value=SOURCE, wanted="sources by their ids")),
            "ids and addresses: reuters-2019: https://...",
        ),
        "claims": Field(
            Table(key=identifier, value=CLAIM, wanted="claims by their ids"),
            "what the document says, and which source carries it",
        ),
        "schedule": Field(SCHEDULE, "when to run again"),
        "seal": Field(SEAL, "whose word on the time is asked for"),
        "package": Field(PACKAGE, "how bags are made"),
        "deposit": Field(DEPOSITS, "where copies go"),
        "notify": Field(Many(of=RECIPIENT), "whom to tell, and of what"),
    },
)


def schema() -> Schema:
    """Describe a manifest as JSON Schema, for the completion that editors offer.

    What is not built is left out, so that no editor offers it. References between
    claims and sources, secrets, and names that only spelling tells apart cannot be
    said in JSON Schema; ``muniment check`` finds them.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Muniment manifest",
        "description": "The web sources that a document cites, and how to keep them.",
        **MANIFEST.schema(),
    }
