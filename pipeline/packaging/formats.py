"""What the files of a bag are, by our own rule.

Registries of formats see a ``.warc.gz`` as gzip and stop there. Ours looks one step
further: a gzip file whose first member, unpacked, starts with ``WARC/`` is a WARC. The
files told of here were written by this software, so that their formats are known from
the writing; the rule is written down so that a stranger can apply it.
"""

from msgspec import Struct

from pipeline.model import Artefact, Exchange
from pipeline.packaging.rendering import Json, readable

WARC_RULE = "a gzip file whose first member, unpacked, starts with WARC/ is a WARC"


class Format(Struct, frozen=True, kw_only=True):
    """A file format by name, and by its PRONOM identifier where it is certain."""

    name: str
    version: str = ""
    puid: str = ""
    note: str = ""


# PRONOM's signature of fmt/1281 asks for WARC/1.1 itself, of no other version
WARC = Format(
    name="WARC",
    version="1.1",
    puid="fmt/1281",
    note="application/warc, gzip, one member per record",
)


def format_of(artefact: Artefact) -> Format:
    """Name the format of a file that this software wrote."""
    if artefact.path.endswith(".warc.gz"):
        return WARC
    return Format(name=artefact.media_type)


def formats_json(
    artefacts: tuple[Artefact, ...], exchanges: tuple[Exchange, ...]
) -> dict[str, Json]:
    """Tell the format of every file, and the type every payload was served as."""
    return {
        "format": "muniment-formats/1",
        "rule": WARC_RULE,
        "basis": "known from the writing: this software wrote the files",
        "files": [_file(artefact) for artefact in artefacts],
        "payloads": [
            {
                "url": readable(exchange.url),
                "record": exchange.response.id,
                "served": readable(exchange.media_type),
            }
            for exchange in exchanges
            if exchange.response
        ],
    }


def _file(artefact: Artefact) -> Json:
    known = format_of(artefact)
    return {
        "path": readable(artefact.path),
        "media_type": readable(artefact.media_type),
        "name": readable(known.name),
        "version": known.version,
        "pronom": known.puid or None,
        "note": known.note,
    }
