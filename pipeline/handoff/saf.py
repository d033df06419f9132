"""DSpace's Simple Archive Format: bags as items, each with its Dublin Core (pure).

    item_0001/dublin_core.xml    what the bag says of itself
    item_0001/contents           the files of the item, and who may read them
    item_0001/<bag>.tar          the bag

A bag that not everybody may see can be read by administrators alone, until somebody
decides otherwise. The whole is a zip without compression whose bytes are the same each
time, and which is nowhere stored to be sent.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

from msgspec import Struct

from pipeline.handoff.consignment import Item, Reader, at_hand, item, laid
from pipeline.handoff.labels import Labels
from pipeline.packaging.rendering import one_line, xml_text
from pipeline.packaging.zipball import Placed, ending
from pipeline.warc import crc32

DUBLIN_CORE = {  # a term of metadata.csv: element and qualifier in DSpace's registry
    "dc.title": ("title", "none"),
    "dc.creator": ("contributor", "author"),
    "dc.publisher": ("publisher", "none"),
    "dc.date": ("date", "issued"),
    "dc.identifier": ("identifier", "other"),
    "dc.source": ("source", "uri"),
    "dc.language": ("language", "iso"),
    "dc.rights": ("rights", "none"),
    "dcterms.created": ("date", "created"),
    "dcterms.isPartOf": ("relation", "ispartof"),
}
CLOSED = "permissions:-r 'Administrator'"
SUFFIX = ".saf.zip"


class Entry(Struct, frozen=True, kw_only=True):
    """One item to be: a bag as a tar, and what it says of itself."""

    bag: str
    tar: Item
    labels: Labels


def folder(number: int) -> str:
    """Name the folder of an item, counted from one."""
    return f"item_{number:04}"


def dublin_core(entry: Entry) -> bytes:
    """Describe an item."""
    terms = entry.labels.terms or (("dc.title", entry.bag),)
    rows = [
        _value(*DUBLIN_CORE[name], value)
        for name, value in terms
        if name in DUBLIN_CORE
    ]
    rows.append(_value("identifier", "none", entry.bag))
    rows.append(_value("format", "mimetype", "application/x-tar"))
    body = "".join(f"  {row}\n" for row in rows)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<dublin_core schema="dc">\n{body}</dublin_core>\n'.encode()


def _value(element: str, qualifier: str, text: str) -> str:
    told = xml_text(text).replace("&", "&amp;").replace("<", "&lt;")
    told = told.replace(">", "&gt;")
    return f'<dcvalue element="{element}" qualifier="{qualifier}">{told}</dcvalue>'


def contents(entry: Entry) -> bytes:
    """List the files of an item."""
    words = [one_line(entry.tar.path), "bundle:ORIGINAL", "primary:true"]
    if entry.labels.is_restricted:
        words.append(CLOSED)
    words.append("description:BagIt bag, RFC 8493, as one tar")
    return ("\t".join(words) + "\n").encode()


def files(entries: Iterable[Entry]) -> Iterator[tuple[str, int, Reader]]:
    """Yield every file of the archive: its path, its size, how it is read."""
    for number, entry in enumerate(entries, start=1):
        for name, data in (
            ("dublin_core.xml", dublin_core(entry)),
            ("contents", contents(entry)),
        ):
            size, read = at_hand(data)
            yield f"{folder(number)}/{name}", size, read
        yield f"{folder(number)}/{entry.tar.path}", entry.tar.size, entry.tar.read


def archive(name: str, entries: Iterable[Entry]) -> Item:
    """Lay everything out as one zip, readable from any byte on."""
    parts: list[tuple[int, Reader]] = []
    placed: list[Placed] = []
    offset = 0
    for path, size, read in files(entries):
        one = Placed(
            name=path.encode(),
            is_folder=False,
            crc=reduce(lambda crc, piece: crc32(piece, crc), read(0), 0),
            packed=size,
            size=size,
            offset=offset,
        )
        placed.append(one)
        parts += [at_hand(one.local()), (size, read)]
        offset += len(one.local()) + size
    directory = b"".join(one.central() for one in placed)
    parts.append(at_hand(directory + ending(len(placed), offset, len(directory))))
    return item(name, *laid(parts))
