"""What a bag says of itself, read from the bag at rest and nothing else.

A source's bag tells its story in capture.json, a run's bag in run.json; any other bag
has its bag-info.txt. The story is laid out in rows, ready for the catalogue. A bag may
come from a stranger: whatever stands in these files, describing them ends well, and
what could not be read is said in ``remarks``.
"""

import json
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.json import decode

from pipeline.clock import stamp, unstamp
from pipeline.holdings.database import LARGEST, Row
from pipeline.model import Bag, Change, Digest, Purpose, Verdict
from pipeline.packaging import bag as bags
from pipeline.packaging.tagfiles import tagged
from pipeline.packaging.walk import file_beneath, opened

ATTACHMENT = "data/metadata/attachment.json"
CAPTURE = "data/metadata/capture.json"
RUN = "data/metadata/run.json"
PAGE_TEXT = "data/objects/rendered/page.txt"
FORMAT = "muniment-capture/1"
LARGEST_STORY = 1 << 28  # bytes of capture.json or run.json that are read
LARGEST_TEXT = 1 << 22  # bytes of a page's text that are searchable

Rows: TypeAlias = Mapping[str, tuple[Row, ...]]  # by table of the catalogue


_SURROGATES = re.compile("[\ud800-\udfff]")
_STAMP = re.compile(  # what clock.stamp writes
    r"[1-9]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z",
    re.ASCII,
)


class Kind(StrEnum):
    """What a bag tells of: one source, one whole run, or anything else."""

    SOURCE = "source"
    RUN = "run"
    OTHER = "other"


class Description(Struct, frozen=True, kw_only=True):
    """A bag and its story; ``job``, ``run`` and ``source`` are empty where unknown."""

    bag: Bag
    kind: Kind = Kind.OTHER
    job: str = ""
    run: str = ""
    source: str = ""
    at: str = ""  # when the capture or the run began
    info: tuple[tuple[str, str], ...] = ()
    rows: Rows
    remarks: tuple[str, ...] = ()


class _UnreadableError(ValueError):
    """A story that is not told in a way we know; the message says why."""


def describe(path: Path) -> Description:
    """Describe a bag from what stands in it.

    Raises FixityError where there is no bag, and never for what a bag says.
    """
    bag, info = bags.read(path), bags.info(path)
    try:
        return _told(bag, info)
    except _UnreadableError as reason:
        group = tagged(info, "Bag-Group-Identifier")
        remark = f"{path}: {reason}; only its bag-info.txt is listed"
        return Description(
            bag=bag,
            info=info,
            run=_text(group[0]) if group else "",
            rows={},
            remarks=(remark,),
        )


def _told(bag: Bag, info: tuple[tuple[str, str], ...]) -> Description:
    capture = _story(bag, CAPTURE)
    if capture is not None:
        return _of_capture(bag, info, capture)
    run = _story(bag, RUN)
    if run is not None:
        return _of_run(bag, info, run)
    supplied = _story(bag, ATTACHMENT)
    if supplied is not None:
        return _of_attachment(bag, info, supplied)
    return Description(bag=bag, info=info, rows={})


def _of_attachment(
    bag: Bag, info: tuple[tuple[str, str], ...], story: dict[str, Any]
) -> Description:
    """Tell what was supplied for a source: nothing of it is a capture."""
    return Description(
        bag=bag,
        job=_text(story.get("job")),
        source=_text(_object(story.get("source")).get("id")),
        at=_moment(story.get("supplied_at")),
        info=info,
        rows={},
    )


def _of_capture(
    bag: Bag, info: tuple[tuple[str, str], ...], story: dict[str, Any]
) -> Description:
    if story.get("format") != FORMAT:
        raise _UnreadableError(f"{CAPTURE} is not in the format {FORMAT}")
    if not _moment(story.get("started")):
        raise _UnreadableError(f"{CAPTURE} does not tell when the capture started")
    capture = _capture(bag.id, story)
    return Description(
        bag=bag,
        kind=Kind.SOURCE,
        job=str(capture["job"]),
        run=str(capture["run"]),
        source=str(capture["source"]),
        at=str(capture["started"]),
        info=info,
        rows={
            "captures": (capture,),
            "exchanges": _exchanges(bag.id, story),
            "quotes": _quotes(bag.id, story),
            "artefacts": _artefacts(bag.id, story),
            "words": (_words(bag, capture),),
        },
    )


def _of_run(
    bag: Bag, info: tuple[tuple[str, str], ...], story: dict[str, Any]
) -> Description:
    run: Row = {
        "run": _text(story.get("run")),
        "job": _text(story.get("job")),
        "bag": bag.id,
        "started": _moment(story.get("started")),
        "ended": _moment(story.get("ended")),
        "exit": _whole(story.get("exit")),
        "counts": _json(
            {k: _whole(v) or 0 for k, v in _object(story.get("counts")).items()}
        ),
    }
    outcomes = tuple(_outcome(run, one) for one in _objects(story.get("sources")))
    return Description(
        bag=bag,
        kind=Kind.RUN,
        job=str(run["job"]),
        run=str(run["run"]),
        at=str(run["started"]),
        info=info,
        rows={"runs": (run,), "outcomes": outcomes},
    )


# ------------------------------------------------------------------------------- rows


def _capture(bag: str, story: dict[str, Any]) -> Row:
    source = _object(story.get("source"))
    main = _main_exchange(story)
    return {
        "bag": bag,
        "job": _text(story.get("job")),
        "run": _text(story.get("run")),
        "source": _text(source.get("id")),
        "url": _text(source.get("url")),
        "title": _text(source.get("title")),
        "publisher": _text(source.get("publisher")),
        "author": _json(_texts(source.get("author"))),
        "published": _text(source.get("published")),
        "lang": _text(source.get("lang")),
        "role": _text(source.get("role")),
        "started": _moment(story.get("started")),
        "ended": _moment(story.get("ended")),
        "verdict": _member(Verdict, story.get("verdict")),
        "reasons": _json(_texts(story.get("reasons"))),
        "detail": _text(story.get("detail")),
        "change": _member(Change, story.get("change") or Change.FIRST),
        "engine": _text(story.get("engine")),
        "final_url": _text(story.get("final_url")),
        "page_title": _text(story.get("page_title")),
        "payload": _digest(story.get("payload")),
        "record": _text(_object(main.get("response")).get("record")),
        "record_url": _text(main.get("url")),
    }


def _main_exchange(story: dict[str, Any]) -> dict[str, Any]:
    """Choose the exchange whose response is the source's own document.

    The last answer is the one at the end of the redirects; where a quarrelsome server
    answered more than once, the one whose payload the capture names.
    """
    answers = [
        one
        for one in reversed(_objects(story.get("exchanges")))
        if one.get("purpose") == Purpose.DOCUMENT and one.get("response")
    ]
    payload = story.get("payload")
    named = (one for one in answers if one.get("payload") == payload)
    return next(named, answers[0] if answers else {})


def _exchanges(bag: str, story: dict[str, Any]) -> tuple[Row, ...]:
    def row(n: int, one: dict[str, Any]) -> Row:
        place = _object(one.get("response"))
        url = _text(one.get("url"))
        return {
            "bag": bag,
            "n": n,
            "url": url,
            "key": key_of(url),
            "purpose": _text(one.get("purpose")),
            "started": _moment(one.get("started")),
            "status": _whole(one.get("status")),
            "failure": _text(one.get("failure")),
            "media_type": _text(one.get("media_type")),
            "payload": _text(one.get("payload")),
            "record": _text(place.get("record")),
            "offset": _whole(place.get("offset")) or 0,
            "length": _whole(place.get("length")) or 0,
        }

    return tuple(row(n, x) for n, x in enumerate(_objects(story.get("exchanges"))))


def _quotes(bag: str, story: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(
        {
            "bag": bag,
            "n": n,
            "text": _text(one.get("text")),
            "match": _text(one.get("match")),
            "required": _whole(one.get("required")),
            "found": _whole(one.get("found")),
            "score": _number(one.get("score")),
            "exact": _text(_object(one.get("selector")).get("exact")),
            "record": _text(one.get("record")),
            "url": _text(one.get("url")),
        }
        for n, one in enumerate(_objects(story.get("quotes")))
    )


def _artefacts(bag: str, story: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(
        {
            "bag": bag,
            "n": n,
            "path": _text(one.get("path")),
            "size": _whole(one.get("size")),
            "digests": _json(
                {k: _text(v) for k, v in _object(one.get("digests")).items()}
            ),
            "media_type": _text(one.get("media_type")),
            "derived_from": _text(one.get("derived_from")),
        }
        for n, one in enumerate(_objects(story.get("artefacts")))
    )


def _words(bag: Bag, capture: Row) -> Row:
    titles = (capture["title"], capture["page_title"], capture["publisher"])
    addresses = (capture["url"], capture["final_url"])
    text = _read(bag.path, PAGE_TEXT, LARGEST_TEXT) or b""
    return {
        "bag": bag.id,
        "title": "\n".join(str(one) for one in titles if one),
        "url": "\n".join(dict.fromkeys(str(one) for one in addresses if one)),
        "text": text[:LARGEST_TEXT].decode(errors="replace"),
    }


def _outcome(run: Row, one: dict[str, Any]) -> Row:
    return {
        "run": run["run"],
        "job": run["job"],
        "run_bag": run["bag"],
        "source": _text(one.get("id")),
        "url": _text(one.get("url")),
        "verdict": _member(Verdict, one.get("verdict")),
        "reasons": _json(_texts(one.get("reasons"))),
        "change": _member(Change, one.get("change") or Change.UNCHANGED),
        "bag": _text(one.get("bag")),
        "at": _moment(one.get("started")) or run["started"],
    }


# -------------------------------------------------------------------- outside formats


def _story(bag: Bag, path: str) -> dict[str, Any] | None:
    data = _read(bag.path, path, LARGEST_STORY)
    if data is None:
        return None
    if len(data) > LARGEST_STORY:
        raise _UnreadableError(f"{path} is larger than {LARGEST_STORY} bytes")
    try:  # half the time that json takes for a page of thousands
        story = decode(data)
    except (ValueError, RecursionError) as error:  # DecodeError is a ValueError
        raise _UnreadableError(f"{path} is not JSON") from error
    if not isinstance(story, dict):
        raise _UnreadableError(f"{path} is no JSON object")
    return story


def _read(bag: Path, path: str, most: int) -> bytes | None:
    """Read a file of a bag through no link, as far as the most and one byte more."""
    try:
        with (
            opened(bag) as root,
            file_beneath(root, path.encode()) as descriptor,
            os.fdopen(descriptor, "rb", closefd=False) as file,
        ):
            return file.read(min(os.fstat(descriptor).st_size, most + 1))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _UnreadableError(f"{path} cannot be read: {error}") from error


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else []
    return [one for one in items if isinstance(one, dict)]


def _texts(value: object) -> list[str]:
    return [_text(one) for one in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    """Take text as text; SQLite takes no half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    if value.isascii() or not _SURROGATES.search(value):
        return value
    return _SURROGATES.sub("\ufffd", value)


def _number(value: object) -> float | None:
    if isinstance(value, float):
        return value
    return _whole(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) <= LARGEST else None


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(value: object) -> str:
    try:
        return str(Digest.parse(_text(value)))
    except ValueError:
        return ""


def _moment(value: object) -> str:
    if isinstance(value, str) and _STAMP.fullmatch(value):
        return value  # as we write it, thousands of times a page
    try:
        return stamp(unstamp(_text(value)))
    except (ValueError, OverflowError):
        return ""


def _member(kind: type[StrEnum], value: object) -> str:
    try:
        return kind(str(value)).value
    except ValueError as error:
        one = kind.__name__.lower()
        raise _UnreadableError(f"{value!r:.60} is no {one} that we know") from error


def key_of(url: str) -> str:
    """Return what the spellings of an address have in common, to look it up by.

    In lower case, without scheme, usual port and fragment; quicker to make, for the
    thousands of addresses of a page, than the SURT form of the bag's own index.
    """
    address = url.partition("#")[0].lower()
    host, _, path = (
        address.removeprefix("https://").removeprefix("http://").partition("/")
    )
    return f"{host.removesuffix(':443').removesuffix(':80')}/{path}"
