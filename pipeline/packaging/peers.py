"""Readers that others wrote, each asked in a process of its own.

``pipeline.packaging.opinion`` starts this file as a script, with the name of a peer:
for bagit the path of a bag behind it, for warcio and fastwarc a WARC on standard
input. It prints one JSON document, of bounded size, and imports nothing of ours:
whatever a bag does to a peer, it does to a process that is given up afterwards.
"""

import json
import logging
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module, metadata
from itertools import islice
from typing import Any, BinaryIO

MOST_MEMORY = 4 << 30  # bytes; bagit keeps every path several times
MOST_PROBLEMS = 50
LONGEST = 300  # characters of a problem
LONGEST_HEAD = 1 << 14
ODD = {  # what an answer begins with, or has in its head
    "no-http": re.compile(rb"\A(?!HTTP/\d)"),
    "chunked": re.compile(
        rb"\A(?:[^\n]+\n)*?transfer-encoding:[^\n]*chunked", re.IGNORECASE
    ),
    "bare": re.compile(rb"\A(?:[^\n]+\n)*?[^\n]*[^\r\n]\n"),
}
LENGTH = re.compile(
    rb"\A(?:[^\n]+\n)*?content-length: *(\d{1,18})\r\n(?:[^\r\n]+\r\n)*\r\n",
    re.IGNORECASE,
)

Problem = dict[str, str]


def problem(message: object, *, path: str = "", why: str = "") -> Problem:
    """Tell one thing that a peer found wrong."""
    text = " ".join(str(message).split())
    told = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return {"message": told, "path": path[:LONGEST], "why": why}


def ask_bagit(place: str) -> Iterator[Problem]:
    """Yield what bagit finds wrong with the bag in a folder."""
    bagit: Any = import_module("bagit")
    try:
        bagit.Bag(place).validate(processes=1)
    except bagit.BagError as error:
        details = getattr(error, "details", None) or []
        for one in details:
            yield problem(one, path=getattr(one, "path", ""))
        if not details:
            yield problem(error)


def ask_warcio(_: str) -> Iterator[Problem]:
    """Yield what warcio finds wrong with the WARC on standard input."""
    reader: Any = import_module("warcio.archiveiterator")
    exceptions: Any = import_module("warcio.exceptions")
    records = reader.ArchiveIterator(sys.stdin.buffer, check_digests=True)
    failed: list[tuple[int, str]] = []
    count = 0
    try:
        for record in records:
            count += 1
            while record.content_stream().read(1 << 20):
                pass
            if record.digest_checker.passed is False:
                place = records.get_record_offset()
                found = record.digest_checker.problems
                failed += [(place, str(one)) for one in found]
    except exceptions.ArchiveLoadFailed as error:
        yield problem(error)
    if not count:
        yield problem("no record was read")
    yield from _explained(failed)


def ask_fastwarc(_: str) -> Iterator[Problem]:
    """Yield what fastwarc finds wrong with the WARC on standard input."""
    reader: Any = import_module("fastwarc.warc")
    failed: list[tuple[int, str]] = []
    count = 0
    for record in reader.ArchiveIterator(sys.stdin.buffer, parse_http=False):
        count += 1
        digest = record.headers.get("WARC-Payload-Digest") or ""
        if record.headers.get("WARC-Block-Digest") and not record.verify_block_digest(
            consume=False
        ):
            failed.append((record.stream_pos, "block digest failed"))
        is_answer = record.record_type == reader.WarcRecordType.response
        if digest and record.is_http and is_answer:
            record.parse_http()
            if not record.verify_payload_digest():
                failed.append((record.stream_pos, "payload digest failed"))
    if not count:
        yield problem("no record was read")
    yield from _explained(failed)


def _explained(failed: list[tuple[int, str]]) -> Iterator[Problem]:
    """Tell failed digests, and of payload digests what is odd about the record."""
    for offset, message in failed:
        why = _oddity(offset) if "payload" in message else ""
        yield problem(f"record at offset {offset}: {message}", why=why)


def _oddity(offset: int) -> str:
    """Say what about an answer may hide from a reader where its payload begins."""
    reader: Any = import_module("warcio.archiveiterator")
    sys.stdin.buffer.seek(offset)
    records = reader.ArchiveIterator(sys.stdin.buffer, no_record_parse=True)
    record = next(iter(records))
    size = int(record.rec_headers.get_header("Content-Length"))
    head = record.raw_stream.read(LONGEST_HEAD)
    for name, one in ODD.items():
        if one.search(head):
            return name
    whole = LENGTH.search(head)
    is_overlong = whole and size > whole.end() + int(whole[1])
    return "overlong" if is_overlong else ""


PEERS: dict[str, Callable[[str], Iterator[Problem]]] = {
    "bagit": ask_bagit,
    "warcio": ask_warcio,
    "fastwarc": ask_fastwarc,
}


def answer(peer: str, place: str = "") -> dict[str, Any]:
    """Ask a peer, and tell its verdict and all that it found, in bounds."""
    try:
        import_module(peer)
        version = metadata.version(peer)
    except ImportError:
        return {"verdict": "absent", "version": "", "problems": []}
    logging.disable(logging.CRITICAL)
    problems: list[Problem] = []
    verdict = "valid"
    try:
        problems += islice(PEERS[peer](place), MOST_PROBLEMS)
    except Exception as error:  # noqa: BLE001 - that it raises is the answer
        problems.append(problem(f"{type(error).__name__}: {error}"))
        verdict = "crashed"
    if problems and verdict == "valid":
        verdict = "invalid"
    return {"verdict": verdict, "version": version, "problems": problems}


def main(stdout: BinaryIO) -> None:
    """Answer for the peer, and about the bag, that the command line names."""
    with suppress(ValueError, OSError):  # where less is allowed already
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    told = answer(*sys.argv[1:])
    stdout.write(json.dumps(told).encode())


if __name__ == "__main__":
    main(sys.stdout.buffer)
