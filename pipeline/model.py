"""The nouns: frozen values that flow one way, Manifest to Source to Capture to Bag.

Nothing here does anything but hold and name. Sizes are bytes, spans are timedeltas,
moments are aware and in UTC, digests are ``Digest`` and never bare hexadecimal.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

# ---------------------------------------------------------------- fixity and findings


class Digest(Struct, frozen=True):
    """A message digest with its algorithm: ``sha256:9f86...``."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Read ``algorithm:hex``. Raises ValueError for anything else."""
        algorithm, colon, digits = text.partition(":")
        if not colon or not algorithm or not digits:
            raise ValueError(f"{text!r} is not algorithm:hex")
        bytes.fromhex(digits)
        return cls(algorithm, digits.lower())


class Artefact(Struct, frozen=True, kw_only=True):
    """A file that was made, with the digests taken while it was written.

    ``path`` is relative to the bag, with slashes: ``data/objects/capture.warc.gz``.
    """

    path: str
    size: int
    digests: tuple[Digest, ...]
    media_type: str = "application/octet-stream"
    derived_from: str = ""  # a record id or a path; "" = captured


class Severity(StrEnum):
    """How much a finding weighs: errors make a bag invalid."""

    ERROR = "error"
    WARNING = "warning"


class Level(StrEnum):
    """How deeply a bag is read: count and size, names, or every digest."""

    OXUM = "oxum"
    COMPLETE = "complete"
    FULL = "full"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing a check noticed: a stable code, where, the clause it enforces."""

    code: str
    severity: Severity
    path: str  # relative to the bag; "" for the bag itself
    message: str
    clause: str


# -------------------------------------------------------------------------- manifest


class Match(StrEnum):
    """How the words of a quote are compared with the text of a capture."""

    EXACT = "exact"
    NORMALIZED = "normalized"
    FUZZY = "fuzzy"


class Role(StrEnum):
    """What a source is to the document that cites it."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    PARTY = "party"
    OFFICIAL = "official"
    LEGAL = "legal"
    SOCIAL = "social"
    CONTEXT = "context"


class Engine(StrEnum):
    """What visits a source."""

    AUTO = "auto"
    HTTP = "http"
    BROWSER = "browser"
    MEDIA = "media"


class RobotsPolicy(StrEnum):
    """What robots.txt decides: everything, nothing but a note, or not even that."""

    OBEY = "obey"
    RECORD = "record"
    IGNORE = "ignore"


class TlsPolicy(StrEnum):
    """What a certificate that fails does: end the capture, or make it suspect."""

    VERIFY = "verify"
    RECORD = "record"


class Identify(StrEnum):
    """What the User-Agent says of us: the product, or a contact as well."""

    PRODUCT = "product"
    CONTACT = "contact"


class Access(StrEnum):
    """Who may see the bag."""

    OPEN = "open"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class Judgement(StrEnum):
    """A person's verdict on a claim; no program ever sets it."""

    SUPPORTED = "supported"
    PARTLY = "partly"
    CONTRADICTED = "contradicted"
    UNRESOLVED = "unresolved"
    UNTESTED = "untested"


class Quote(Struct, frozen=True, kw_only=True):
    """Words that should be found in a capture."""

    text: str
    match: Match = Match.NORMALIZED
    at_least: float = 0.9  # the least score of a fuzzy match, 0 to 1
    required: bool = False


class Source(Struct, frozen=True, kw_only=True):
    """One cited thing and how to capture it; the citing text is ``document``."""

    id: str
    url: str  # as cited; its fragment is kept here and never sent
    also: tuple[str, ...] = ()
    title: str = ""
    publisher: str = ""
    author: tuple[str, ...] = ()
    published: str = ""
    lang: str = ""
    role: Role = Role.SECONDARY
    derives_from: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()
    expect: tuple[str, ...] = ()
    capture: Engine = Engine.AUTO
    requisites: bool = True
    max_requisites: int = 2000
    text: bool = True
    robots: RobotsPolicy = RobotsPolicy.RECORD
    tls: TlsPolicy = TlsPolicy.VERIFY
    identify: Identify = Identify.PRODUCT
    delay: timedelta = timedelta(seconds=2)
    requisite_delay: timedelta = timedelta(milliseconds=100)
    timeout: timedelta = timedelta(seconds=30)
    deadline: timedelta = timedelta(minutes=30)
    retries: int = 3
    max_size: int = 2 * 2**30
    headers: tuple[tuple[str, str], ...] = ()
    rights: str = ""
    access: Access = Access.INTERNAL
    skip: str = ""
    note: str = ""
    entry: str = ""  # this source's own part of the manifest, as YAML


class Claim(Struct, frozen=True, kw_only=True):
    """What the document says, which sources carry it, and a person's verdict."""

    id: str
    says: str
    where: str = ""
    supports: tuple[str, ...] = ()
    contradicts: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    verdict: Judgement = Judgement.UNTESTED
    note: str = ""


class Document(Struct, frozen=True, kw_only=True):
    """The citing text."""

    title: str = ""
    author: tuple[str, ...] = ()
    url: str = ""
    file: str = ""  # relative to the manifest


class Operator(Struct, frozen=True, kw_only=True):
    """Who runs the capture; may be a pseudonym."""

    name: str = ""
    organisation: str = ""
    contact: str = ""
    ip: str = ""  # the address that sites see, where the operator states it


class Package(Struct, frozen=True, kw_only=True):
    """How bags are made."""

    algorithms: tuple[str, ...] = ("sha256", "sha512")
    profile: str = "muniment"
    max_bag: int = 50 * 2**30
    info: tuple[tuple[str, str], ...] = ()


class When(StrEnum):
    """When a run hands its bags over by itself."""

    ALWAYS = "always"
    COMPLETE = "complete"  # every source has a final outcome, refusals included
    MANUAL = "manual"


class Party(StrEnum):
    """The kinds of targets that deposits go to."""

    FOLDER = "folder"
    S3 = "s3"
    SFTP = "sftp"
    ARCHIVEMATICA = "archivematica"
    INTERNET_ARCHIVE = "internet-archive"
    DSPACE = "dspace"
    COMMAND = "command"


class Deposit(Struct, frozen=True, kw_only=True):
    """Where copies go: an address, and references to what opens it, never secrets."""

    name: str
    to: Party
    url: str = ""
    when: When | None = None  # None: not said
    layout: str = ""  # tree or tar; "" = what the kind of target is used to
    user: str = ""  # a name, or env:NAME or file:PATH, as ``secret`` always is
    secret: str = ""
    endpoint: str = ""  # of an S3 server
    region: str = ""
    retain: timedelta | None = None  # S3 Object Lock
    host_key: str = ""  # of an SFTP server: "ssh-ed25519 AAAA..."
    rate: int | None = None  # bytes a second
    command: tuple[str, ...] = ()
    read: tuple[str, ...] = ()  # the program that gives back what the other keeps
    drop: str = ""  # the folder that Archivematica takes transfers from
    location: str = ""  # and its UUID there
    processing: str = ""  # the name of a processing configuration there
    collection: str = ""  # at the Internet Archive
    base: Path = Path()  # what relative paths lean on


class Keep(StrEnum):
    """What a run of a schedule keeps of what did not change."""

    CHANGED = "changed"  # no bag of its own; the run's bag proves the visit
    ALL = "all"


class Schedule(Struct, frozen=True, kw_only=True):
    """When a manifest is to be run again: every so often, or as cron has it."""

    every: timedelta | None = None
    cron: str = ""  # five fields, read in the zone
    timezone: str = ""  # "" = UTC
    jitter: timedelta = timedelta(0)  # at most so much later, always the same
    keep: Keep = Keep.CHANGED


class Occasion(StrEnum):
    """What people may ask to be told of."""

    FAILED = "failed"  # a run, or a source that it did not capture: news alone
    GONE = "gone"  # a source that was there
    CHANGED = "changed"  # a source that reads otherwise now, or is back
    FIXITY = "fixity"  # a bag, a seal or a log that is not what it was


class Recipient(Struct, frozen=True, kw_only=True):
    """Whom to tell, and of what: an address, or a reference to it, never a secret."""

    url: str  # env:NAME, file:PATH, or an address of mail without a password
    on: tuple[Occasion, ...] = tuple(Occasion)


class Manifest(Struct, frozen=True, kw_only=True):
    """What to keep and why: one citing document and its sources.

    ``text`` is the YAML as its author wrote it, byte for byte, and ``digest`` is of it.
    """

    id: str
    sources: tuple[Source, ...]  # the document first, where it has a URL
    path: Path
    text: bytes
    digest: Digest
    title: str = ""
    contact: str = ""
    operator: Operator = Operator()
    document: Document | None = None
    claims: tuple[Claim, ...] = ()
    package: Package = Package()
    deposits: tuple[Deposit, ...] = ()
    schedule: Schedule | None = None
    notify: tuple[Recipient, ...] = ()
    timestamp: tuple[str, ...] | None = None  # authorities by name; None = all


# --------------------------------------------------------------------------- capture


class Verdict(StrEnum):
    """What one visit was worth. The first five stand in order of precedence."""

    FAILED = "failed"
    REFUSED = "refused"
    SUSPECT = "suspect"
    PARTIAL = "partial"
    CAPTURED = "captured"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


class Change(StrEnum):
    """A visit beside the visit before it."""

    FIRST = "first"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    GONE = "gone"
    BACK = "back"


class Purpose(StrEnum):
    """Why an exchange was made."""

    ROBOTS = "robots"
    DOCUMENT = "document"  # the source's own URL, every hop of it
    ALTERNATE = "alternate"  # an ``also``, every hop of it
    REQUISITE = "requisite"


class RecordRef(Struct, frozen=True, kw_only=True):
    """Where a WARC record stands in data/objects/capture.warc.gz."""

    id: str  # <urn:uuid:...>
    offset: int  # of its gzip member
    length: int  # of its gzip member


class Certificate(Struct, frozen=True, kw_only=True):
    """One certificate as a server sent it; its bytes stand in the WARC."""

    digest: Digest  # of its DER
    subject: str = ""  # RFC 4514; "" where it can't be read, as of what follows
    issuer: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class LogTimestamp(Struct, frozen=True, kw_only=True):
    """A signed certificate timestamp: a public log's word that it knew of one."""

    log: str  # the log's id, RFC 6962 3.2, in hex
    at: datetime


class Connection(Struct, frozen=True, kw_only=True):
    """One connection that exchanges went over, and how far its other end is known."""

    number: int  # within its capture, as exchanges name it
    started: datetime
    host: str  # as the URL names it
    connect_to: str = ""  # the operator's rule that led elsewhere
    asked: str = ""  # the name that was resolved; "" where it was a number
    dns: tuple[str, ...] = ()  # the answers
    dns_seconds: float = 0.0
    ip: str = ""  # of the answers the one connected to
    port: int = 0
    tls: str = ""  # as WARC-Protocol names it; "" for plain HTTP, as of what follows
    cipher: str = ""
    alpn: str = ""  # "" where the server chose none
    verification: str = ""  # valid | invalid
    error: str = ""  # OpenSSL's name for what is wrong with the certificate
    detail: str = ""  # the same in words
    root: Certificate | None = None  # what the verified chain ends in
    trusted_by: str = ""  # where that root comes from: certifi 2024.7.4, --cacert
    certificates: tuple[Certificate, ...] = ()  # as sent, the leaf first
    is_leaf_only: bool = False  # no more of the chain was to be had
    scts: tuple[LogTimestamp, ...] = ()  # those within the leaf
    chain: RecordRef | None = None  # the record with the certificates
    lookup: RecordRef | None = None  # the record with the answers


class Exchange(Struct, frozen=True, kw_only=True):
    """One request and what came back, told without its bytes, which the WARC holds."""

    url: str
    purpose: Purpose
    started: datetime
    method: str = "GET"
    seconds: float = 0.0
    attempt: int = 1
    status: int | None = None
    failure: str = ""  # a reason code, where no response came
    detail: str = ""  # the same in words
    ip: str = ""
    port: int = 0
    dns: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()  # as WARC-Protocol names them
    cipher: str = ""
    date: datetime | None = None  # the server's own clock, where it told
    media_type: str = ""  # as served
    location: str = ""  # where a redirect leads, resolved
    referrer: str = ""
    size: int = 0  # of the response block
    payload_size: int = 0  # after transfer decoding, before content decoding
    payload: Digest | None = None
    truncated: str = ""  # length | time | disconnect, as WARC-Truncated names them
    anomalies: tuple[str, ...] = ()
    tls_invalid: str = ""  # what is wrong with the server's certificate, in words
    connection: int = 0  # the number of the one it went over; 0 where none was made
    response: RecordRef | None = None
    request: RecordRef | None = None


class Requisites(Struct, frozen=True, kw_only=True):
    """What a page needed: how many, how many were kept, and those that were not."""

    wanted: int = 0
    kept: int = 0
    missing: tuple[str, ...] = ()


class QuoteSighting(Struct, frozen=True, kw_only=True):
    """Whether a quote stands in a capture, and where (W3C TextQuoteSelector)."""

    text: str
    match: Match
    required: bool
    found: bool
    score: float  # 0 to 1
    exact: str = ""  # the words as they stand there; on a miss the nearest passage
    prefix: str = ""
    suffix: str = ""
    record: str = ""  # the id of the record whose text was searched
    url: str = ""


class EventType(StrEnum):
    """Acts, by their labels in the Library of Congress event type vocabulary."""

    CAPTURE = "capture"
    DIGEST = "message digest calculation"
    FORMAT = "format identification"
    CREATION = "creation"
    PACKAGE = "information package creation"
    METADATA = "metadata extraction"
    TRANSFER = "transfer"


class Event(Struct, frozen=True, kw_only=True):
    """One act, as PREMIS names it."""

    id: str
    type: EventType
    at: datetime
    outcome: str  # success | failure | warning, or a verdict
    detail: str = ""
    objects: tuple[str, ...] = ()  # paths in the bag, or record ids


class Capture(Struct, frozen=True, kw_only=True):
    """What happened at one visit to one source. A refusal is a result, and is kept."""

    source: Source
    started: datetime
    ended: datetime
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    detail: str = ""  # the verdict in a sentence
    engine: Engine = Engine.HTTP
    user_agent: str = ""  # as it was sent
    final_url: str = ""
    page_title: str = ""
    payload: Digest | None = None  # of the source's own document
    exchanges: tuple[Exchange, ...] = ()
    connections: tuple[Connection, ...] = ()
    requisites: Requisites = Requisites()
    quotes: tuple[QuoteSighting, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()  # remarks: robots.txt's opinion, limits that were met


class Previous(Struct, frozen=True, kw_only=True):
    """The last capture of a source, as far as the next visit needs to know it."""

    bag: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    captured_at: datetime
    payload: Digest | None = None
    words: Digest | None = None  # of the text of its page, where it is one
    record: str = ""  # the id of its main response record
    url: str = ""  # of that record
    tagmanifest: Digest | None = None  # sha512


# ------------------------------------------------------------------------------- bag


class Bag(Struct, frozen=True, kw_only=True):
    """A bag at rest. Its identity is the digest of its tag manifest."""

    id: str
    path: Path
    tagmanifests: tuple[Digest, ...]
    files: int  # payload files
    size: int  # payload bytes


class SelfTest(Struct, frozen=True, kw_only=True):
    """That a known page was recorded byte for byte, just before the first request."""

    passed: bool
    at: datetime
    seconds: float
    block: Digest  # of the response as it was served, head and framing
    payload: Digest  # of the page
    compared: tuple[str, ...]


class Run(Struct, frozen=True, kw_only=True):
    """What every bag of a run says of the run it was made in."""

    id: str  # <job>_run_<time>_<8 hex>, the run bag's own name
    job: str
    started: datetime
    software: str  # name and version, as in Bag-Software-Agent
    plan: Digest  # of the commitment in plan.json, fixed before the first request
    manifest: Digest  # of the YAML as written
    title: str = ""
    document: Document | None = None
    operator: Operator = Operator()
    environment: tuple[tuple[str, str], ...] = ()  # name and version of what ran
    settings: tuple[tuple[str, str], ...] = ()  # --allow-address and the like
    signer: str = ""  # the fingerprint of whoever seals its bags; "" = unsealed
    authorities: tuple[str, ...] = ()  # asked for timestamps over its bags
    self_test: SelfTest | None = None  # of the process that made the bag


class Difference(Struct, frozen=True, kw_only=True):
    """How the words of a page differ from those of the capture before it."""

    before: str  # the bag that was compared with
    removed: int  # lines
    added: int
    lines: tuple[str, ...]  # unified, as many as are kept
    is_whole: bool = True  # False: there was more than is kept, or than was compared


class Accession(Struct, frozen=True, kw_only=True):
    """A capture on its way into the archive, and what is known beyond it."""

    bag: str  # the id of the bag to be
    run: Run
    capture: Capture
    change: Change
    previous: Previous | None = None
    difference: Difference | None = None  # of the words; None where nothing is compared
    packed_at: datetime


# --------------------------------------------------------------------------- hand-off


class Consigned(Struct, frozen=True, kw_only=True):
    """A bag that was handed over, named by the digests of its tag manifests."""

    bag: str
    tagmanifests: tuple[Digest, ...]


class Received(Struct, frozen=True, kw_only=True):
    """One file as a target has it: where it stands there, and the digest of it."""

    path: str
    size: int
    digest: Digest


class Receipt(Struct, frozen=True, kw_only=True):
    """A target's acknowledgement, bound to the bags, the place, a nonce and a time."""

    nonce: str  # of the transfer, drawn by us; no two receipts have the same
    target: str  # as the manifest or the configuration names it
    kind: str  # folder, s3, sftp ...
    location: str  # where, without any secret
    at: datetime
    bags: tuple[Consigned, ...]  # the run's own bag or the one asked for first
    layout: str  # tree, tar ...: how a bag becomes the files below
    received: tuple[Received, ...]
    is_verified: bool  # each file was read back there and hashed by us
    transforms: bool = False  # what the target keeps is made of what it received
    answer: str = ""  # its own words, verbatim, cut where they are very long
    software: str = ""
