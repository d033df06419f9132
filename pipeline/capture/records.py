"""One visit's WARC as it grows: exchanges to records, in the order they happened.

A response and its request stand side by side, bytes as they crossed the wire. What
left no response (a failed attempt), and what a response record has no field for (an
anomaly, interim heads), stands in metadata records. Beside the WARC grows its index.
"""

import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pipeline.capture.connections import (
    DNS,
    PEM,
    chain_block,
    connection_of,
    lookup_block,
)
from pipeline.capture.order import Contact, Reply
from pipeline.capture.wire import Message
from pipeline.clock import Clock, http_date, stamp
from pipeline.fixity import ALGORITHMS, Sink
from pipeline.model import (
    Artefact,
    Connection,
    Exchange,
    Previous,
    Purpose,
    RecordRef,
)
from pipeline.warc import (
    FIELDS,
    MEDIA_TYPE,
    REVISIT_PROFILE,
    Record,
    Writer,
    cdxj_line,
    record_id,
    small_record,
    warc_fields,
)

WARC_PATH = "data/objects/capture.warc.gz"
HTTP_RESPONSE = "application/http; msgtype=response"
HTTP_REQUEST = "application/http; msgtype=request"

# What is compressed already is stored as it is: squeezing it costs much, gains nothing.
DENSE_TYPES = frozenset(
    (
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "font/woff",
        "font/woff2",
        "application/zip",
        "application/gzip",
    )
)
DENSE_FAMILIES = ("video/", "audio/")
SAMPLE = 1 << 14
WORTH_SQUEEZING = 0.9  # of its size


class Note(Struct, frozen=True, kw_only=True):
    """Why an exchange was made, and beside what it is recorded."""

    purpose: Purpose
    attempt: int = 1
    referrer: str = ""
    location: str = ""  # where a redirect leads
    known: Previous | None = None  # the capture that holds the same payload


class Records:
    """The WARC of one visit. Not thread-safe: one visit, one thread."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        about: Iterable[tuple[str, str]],
        algorithms: Iterable[str] = ALGORITHMS,
    ) -> None:
        self._clock = clock
        self._sink = Sink(
            folder, WARC_PATH, algorithms=algorithms, media_type=MEDIA_TYPE
        )
        self._writer = Writer(self._sink)
        self._index: list[str] = []
        self._numbers: dict[Contact, int] = {}
        self._kept: dict[bytes, RecordRef] = {}  # chains and lookups, each once
        self.connections: list[Connection] = []
        self._info = self._id()
        self._writer.write(
            small_record(
                id=self._info,
                type="warcinfo",
                block=warc_fields(about),
                date=clock.now(),
                fields=(
                    ("WARC-Filename", WARC_PATH.rpartition("/")[2]),
                    ("Content-Type", FIELDS),
                ),
            )
        )

    def remark(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Record what a reader of this WARC should know of all of it."""
        fields = [("WARC-Refers-To", self._info), ("Content-Type", FIELDS)]
        self._write_small("metadata", warc_fields(pairs), self._clock.now(), fields)

    def exchange(self, reply: Reply, note: Note) -> Exchange:
        """Record one exchange and tell it as a value."""
        message = reply.message
        response = request = None
        connection = 0
        if message is not None and message.block.size:
            response = self._response(reply, message, note)
        else:
            self._failure(reply, note)
        if message is not None:
            request = self._request(reply, message, response)
            self._oddities(reply, message, response)
            connection = self._numbers.get(reply.contact, 0)
            if not connection and reply.contact.ip:
                connection = self._connection(reply, response or request)
        return told(reply, note, response, request, connection)

    def resource(
        self, uri: str, data: bytes, media_type: str, *, about: RecordRef | None
    ) -> RecordRef:
        """Record something derived, and the record it was derived from."""
        fields = [("WARC-Target-URI", uri), ("Content-Type", media_type)]
        if about is not None:
            fields.append(("WARC-Refers-To", about.id))
        return self._resource(data, self._clock.now(), fields)

    def finish(self) -> tuple[Artefact, bytes]:
        """Close the WARC; return it, and the lines of its CDXJ index, sorted."""
        lines = "".join(f"{line}\n" for line in sorted(self._index))
        return self._sink.finish(), lines.encode()

    def close(self) -> None:
        """Close the file without a word; safe to call twice."""
        self._sink.close()

    # ---------------------------------------------------------------- the records

    def _response(self, reply: Reply, message: Message, note: Note) -> RecordRef:
        fields = [
            *_connection_fields(reply, message),
            ("WARC-Payload-Digest", str(message.payload_digest)),
            ("WARC-Warcinfo-ID", self._info),
            ("Content-Type", HTTP_RESPONSE),
        ]
        if note.known is not None:
            fields += _revisit_fields(note.known)
            head = message.head.raw  # all the block a revisit needs, WARC 1.1, 6.7.2
            ref = self._write_small("revisit", head, reply.started, fields)
        else:
            ref = self._whole_response(reply, message, fields)
        self._add_to_index(reply, message, ref, is_revisit=note.known is not None)
        return ref

    def _whole_response(
        self, reply: Reply, message: Message, fields: list[tuple[str, str]]
    ) -> RecordRef:
        return self._writer.write(
            Record(
                id=self._id(),
                type="response",
                fields=(
                    ("WARC-Date", stamp(reply.started)),
                    *fields,
                    ("WARC-Block-Digest", str(message.block_digest)),
                ),
                block=message.block,
                size=message.block.size,
                is_compressed=is_dense(message),
            )
        )

    def _request(
        self, reply: Reply, message: Message, response: RecordRef | None
    ) -> RecordRef:
        fields = [("WARC-Target-URI", reply.url)]
        if response is not None:
            fields.append(("WARC-Concurrent-To", response.id))
        if reply.contact.ip:
            fields.append(("WARC-IP-Address", reply.contact.ip))
        fields.append(("WARC-Warcinfo-ID", self._info))
        fields.append(("Content-Type", HTTP_REQUEST))
        return self._write_small("request", message.sent, reply.started, fields)

    def _failure(self, reply: Reply, note: Note) -> None:
        pairs = [
            ("failure", reply.failure),
            ("detail", reply.detail),
            ("attempt", str(note.attempt)),
            *(("dns-answer", answer) for answer in reply.contact.dns),
            ("ip", reply.contact.ip),
        ]
        lines = warc_fields((name, value) for name, value in pairs if value)
        fields = [("WARC-Target-URI", reply.url), ("Content-Type", FIELDS)]
        self._write_small("metadata", lines, reply.started, fields)

    def _oddities(
        self, reply: Reply, message: Message, response: RecordRef | None
    ) -> None:
        beside = [("WARC-Target-URI", reply.url)]
        if response is not None:
            beside.append(("WARC-Concurrent-To", response.id))
        for head in message.interim:
            fields = [*beside, ("Content-Type", HTTP_RESPONSE)]
            self._write_small("metadata", head, reply.started, fields)
        if message.anomalies:
            lines = warc_fields(("anomaly", name) for name in message.anomalies)
            fields = [*beside, ("Content-Type", FIELDS)]
            self._write_small("metadata", lines, reply.started, fields)

    def _connection(self, reply: Reply, beside: RecordRef) -> int:
        """Tell a connection that is new here; keep its chain and its lookup, once."""
        contact, number = reply.contact, len(self.connections) + 1
        one = connection_of(contact, number=number, seen=reply.started)
        near = ("WARC-Concurrent-To", beside.id)
        chain = lookup = None
        if contact.handshake is not None:
            fields = [("WARC-Target-URI", reply.url), near, ("Content-Type", PEM)]
            block = chain_block(one, contact.handshake.chain)
            chain = self._kept.get(block) or self._write_small(
                "metadata", block, one.started, fields
            )
            self._kept[block] = chain
        if one.asked:
            fields = [("WARC-Target-URI", f"dns:{one.asked}"), near]
            fields.append(("Content-Type", DNS))
            block = lookup_block(one)
            lookup = self._kept.get(block) or self._resource(block, one.started, fields)
            self._kept[block] = lookup
        self.connections.append(replace(one, chain=chain, lookup=lookup))
        self._numbers[contact] = number
        return number

    def _resource(
        self, data: bytes, date: datetime, fields: list[tuple[str, str]]
    ) -> RecordRef:
        ref = self._write_small("resource", data, date, fields)
        named = dict(fields)
        self._index.append(
            cdxj_line(
                named["WARC-Target-URI"],
                date,
                ref,
                status=None,
                media_type=named["Content-Type"],
                payload=None,
                file=WARC_PATH.rpartition("/")[2],
            )
        )
        return ref

    def _write_small(
        self, kind: str, block: bytes, date: datetime, fields: list[tuple[str, str]]
    ) -> RecordRef:
        return self._writer.write(
            small_record(
                id=self._id(), type=kind, block=block, date=date, fields=tuple(fields)
            )
        )

    def _add_to_index(
        self, reply: Reply, message: Message, ref: RecordRef, *, is_revisit: bool
    ) -> None:
        self._index.append(
            cdxj_line(
                reply.url,
                reply.started,
                ref,
                status=message.head.status,
                media_type="warc/revisit" if is_revisit else served_type(message),
                payload=message.payload_digest,
                file=WARC_PATH.rpartition("/")[2],
            )
        )

    def _id(self) -> str:
        return record_id(self._clock.uuid())


# ------------------------------------------------------------------------- decisions


def served_type(message: Message) -> str:
    """Return the media type a response names, without its parameters."""
    return message.head.media_type


def is_dense(message: Message) -> bool:
    """Tell whether a response will not shrink: by its type, or by a sample of it."""
    kind = served_type(message)
    if message.head.value("content-encoding").lower() not in ("", "identity"):
        return True
    if kind in DENSE_TYPES or kind.startswith(DENSE_FAMILIES):
        return True
    if kind.startswith("text/") or message.payload_size < SAMPLE:
        return False
    sample = _beginning(message)
    return len(zlib.compress(sample, 1)) > WORTH_SQUEEZING * len(sample)


def _beginning(message: Message) -> bytes:
    """Take a sample of the payload; the head would say nothing of it."""
    taken, size = [], 0
    for piece in message.payload():
        taken.append(bytes(piece[: SAMPLE - size]))
        size += len(taken[-1])
        if size >= SAMPLE:
            break
    return b"".join(taken)


def protocols(reply: Reply) -> tuple[str, ...]:
    """Name the protocols of an exchange as WARC-Protocol does."""
    message = reply.message
    version = message.head.version if message is not None else ""
    spoken = (f"http/{version}" if version else "", reply.contact.tls)
    return tuple(name for name in spoken if name)


def _connection_fields(reply: Reply, message: Message) -> list[tuple[str, str]]:
    fields = [("WARC-Target-URI", reply.url)]
    if reply.contact.ip:
        fields.append(("WARC-IP-Address", reply.contact.ip))
    fields += [("WARC-Protocol", name) for name in protocols(reply)]
    if reply.contact.cipher:
        fields.append(("WARC-Cipher-Suite", reply.contact.cipher))
    if message.truncated:
        fields.append(("WARC-Truncated", message.truncated))
    return fields


def _revisit_fields(known: Previous) -> list[tuple[str, str]]:
    fields = [
        ("WARC-Profile", REVISIT_PROFILE),
        ("WARC-Refers-To-Target-URI", known.url),
        ("WARC-Refers-To-Date", stamp(known.captured_at)),
    ]
    if known.record:
        fields.append(("WARC-Refers-To", known.record))
    return fields


def told(
    reply: Reply,
    note: Note,
    response: RecordRef | None = None,
    request: RecordRef | None = None,
    connection: int = 0,
) -> Exchange:
    """Tell an exchange as a value, and where its records stand once they do."""
    message, contact = reply.message, reply.contact
    return Exchange(
        url=reply.url,
        purpose=note.purpose,
        method=reply.method,
        started=reply.started,
        seconds=round(reply.seconds, 6),
        attempt=note.attempt,
        status=message.head.status if message else None,
        failure=reply.failure,
        detail=reply.detail,
        ip=contact.ip,
        port=contact.port,
        dns=contact.dns,
        protocols=protocols(reply),
        cipher=contact.cipher,
        date=http_date(message.head.value("date")) if message else None,
        media_type=served_type(message) if message else "",
        location=note.location,
        referrer=note.referrer,
        size=message.block.size if message else 0,
        payload_size=message.payload_size if message else 0,
        payload=message.payload_digest if message else None,
        truncated=message.truncated if message else "",
        anomalies=message.anomalies if message else (),
        tls_invalid=contact.tls_invalid,
        connection=connection,
        response=response,
        request=request,
    )
