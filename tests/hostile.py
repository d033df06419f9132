"""Archive files built byte by byte, with nothing of ours: sound ones, and hostile ones.

``TARS`` and ``ZIPS`` name by what is odd about them how each file is made, the code it
is rejected by, and a word of the sentence. None may be unpacked, and nothing of any may
be written.
"""

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from baggery import ALGORITHMS, line

from pipeline.packaging.members import Limits

PAYLOAD = {b"data/letter.txt": b"a letter\n"}
SYMLINK, DEVICE, FOLDER, FILE = 0o120777, 0o020666, 0o040755, 0o100644


def bag(
    payload: dict[bytes, bytes] = PAYLOAD, *, top: bytes = b"bag"
) -> dict[bytes, bytes]:
    """The files of a sound bag, by their paths."""
    files = {b"bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"}
    for one in ALGORITHMS:
        lines = b"".join(
            line(one, data, path) for path, data in sorted(payload.items())
        )
        files[b"manifest-%s.txt" % one.encode()] = lines
    tags = {
        one: b"".join(line(one, data, path) for path, data in sorted(files.items()))
        for one in ALGORITHMS
    }
    files |= {b"tagmanifest-%s.txt" % one.encode(): text for one, text in tags.items()}
    return {top + b"/" + path: data for path, data in (files | payload).items()}


# -------------------------------------------------------------------------------- tar


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def block(
    name: bytes,
    size: int | bytes = 0,
    *,
    kind: bytes = b"0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes = b"",
) -> bytes:
    """One head of a tar."""
    told = size if isinstance(size, bytes) else octal(size, 12)
    fields = [
        name.ljust(100, b"\0"),
        octal(0o644, 8),
        octal(0, 8),
        octal(0, 8),
        told,
        octal(0, 12),
        b" " * 8,
    ]
    rest = [
        kind,
        link.ljust(100, b"\0"),
        magic,
        bytes(80),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    head = b"".join(fields + rest)
    assert len(head) == 512
    return head[:148] + (checksum or b"%06o\0 " % sum(head)) + head[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", **options: object) -> bytes:
    return block(name, len(data), **options) + padded(data)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for key, text in records:
        rest = len(key) + len(text) + 3
        length = next(n for n in range(rest, rest + 9) if n == rest + len(b"%d" % n))
        body += b"%d %s=%s\n" % (length, key, text)
    return member(b"PaxHeader", body, kind=kind)


END = bytes(1024)
SOUND = b"".join(member(path, data) for path, data in bag().items())


def tar(*more: bytes, end: bytes = END) -> bytes:
    """A sound bag, something more, and the end."""
    return SOUND + b"".join(more) + end


# -------------------------------------------------------------------------------- zip


@dataclass(kw_only=True)
class Z:
    """One member of a zip; ``local`` and ``central`` say what the heads say instead."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    mode: int = FILE
    dos: int = 0
    packed: bytes | None = None
    mark: bytes = b"PK\3\4"
    after: bytes = b""
    extra: bytes = b""
    local: dict[str, object] = field(default_factory=dict)
    central: dict[str, object] = field(default_factory=dict)

    def head(self, said: dict[str, object]) -> dict[str, object]:
        packed = self.packed if self.packed is not None else self.data
        return {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "packed": len(packed),
            "size": len(self.data),
            "extra": self.extra,
        } | said

    def whole(self) -> bytes:
        h = self.head(self.local)
        head = struct.pack(
            "<4s5H3I2H",
            self.mark,
            20,
            h["flags"],
            h["method"],
            0,
            33,
            h["crc"],
            h["packed"],
            h["size"],
            len(h["name"]),
            len(h["extra"]),
        )
        packed = self.packed if self.packed is not None else self.data
        return head + h["name"] + h["extra"] + packed + self.after

    def entry(self, offset: int) -> bytes:
        h = self.head({"offset": offset, "disk": 0} | self.central)
        head = struct.pack(
            "<4s6H3I5H2I",
            b"PK\1\2",
            3 << 8 | 20,
            20,
            h["flags"],
            h["method"],
            0,
            33,
            h["crc"],
            h["packed"],
            h["size"],
            len(h["name"]),
            len(h["extra"]),
            0,
            h["disk"],
            0,
            self.mode << 16 | self.dos,
            h["offset"],
        )
        return head + h["name"] + h["extra"]


def the_end(
    count: int,
    size: int,
    start: int,
    *,
    comment: bytes = b"",
    disk: int = 0,
    here: int | None = None,
) -> bytes:
    here = count if here is None else here
    return (
        struct.pack(
            "<4s4H2IH", b"PK\5\6", disk, disk, here, count, size, start, len(comment)
        )
        + comment
    )


def zipped(
    *more: Z,
    before: bytes = b"",
    gap: bytes = b"",
    make_end: Callable[..., bytes] = the_end,
    files: bool = True,
) -> bytes:
    """A sound bag and something more, and the end."""
    members = [Z(name=path, data=data) for path, data in bag().items()] if files else []
    body, directory = [before], []
    at = len(before)
    for one in (*members, *more):
        directory.append(one.entry(one.central.get("offset", at)))
        body.append(one.whole())
        at += len(body[-1])
    told = b"".join(directory)
    count = len(members) + len(more)
    return b"".join((*body, gap, told, make_end(count, len(told), at + len(gap))))


def deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


def squeezed(name: bytes, data: bytes, **options: object) -> Z:
    options.setdefault("packed", deflated(data))
    return Z(name=name, data=data, method=8, **options)


def extra(mark: int, data: bytes) -> bytes:
    return struct.pack("<2H", mark, len(data)) + data


def end64(
    count: int,
    size: int,
    start: int,
    *,
    lie: int = 0,
    record: int = 44,
    place: int = 0,
    full: bool = True,
) -> bytes:
    """A Zip64 end, its locator, and the end that points at them."""
    told = (count + lie, count + lie, size, start)
    block = struct.pack("<4sQ2H2I4Q", b"PK\6\6", record, 45, 45, 0, 0, *told)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size + place, 1)
    return block + locator + the_end(0xFFFF if full else count, size, start)


# ------------------------------------------------------------------------------ cases


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file, and what it is rejected for."""

    data: bytes
    words: str
    code: str = "serialization"
    path: str | None = None
    limits: Limits | None = None
    deep: bool = False  # told by reading every byte, as receive does


def _odd(name: bytes, **options: object) -> bytes:
    return tar(member(name, b"", **options))


LONG = b"bag/data/" + b"n" * 150
NFC, NFD = "bag/data/Zo\u00eb".encode(), "bag/data/Zoe\u0308".encode()
SPARSE = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"bag/data/x"))
SMALL = Limits(members=4, total=1 << 40)
TIGHT = Limits(ratio=10, ratio_from=1000)
ZEROS = bytes(200_000)

TARS = {
    "an absolute path": Hostile(data=_odd(b"/etc/passwd"), code="unsafe-path", words="absolute", path="/etc/passwd"),
    "a path that climbs": Hostile(data=_odd(b"bag/../../evil"), code="unsafe-path", words="climbs"),
    "a path that climbs at once": Hostile(data=_odd(b"../evil"), code="unsafe-path", words="climbs"),
    "a path that ends climbing": Hostile(data=_odd(b"bag/data/..", kind=b"5"), code="unsafe-path", words="climbs"),
    "a drive letter": Hostile(data=_odd(b"C:/evil"), code="unsafe-path", words="drive"),
    "a home folder": Hostile(data=_odd(b"~/evil"), code="unsafe-path", words="home"),
    "a backslash": Hostile(data=_odd(b"bag\\..\\evil"), code="unsafe-path", words="climbs"),
    "a backslash within": Hostile(data=_odd(b"bag/data/a\\b"), code="unsafe-path", words="backslash"),
    "a symbolic link": Hostile(data=_odd(b"bag/data/x", kind=b"2", link=b"/etc/passwd"), code="special-file", words="/etc/passwd", path="bag/data/x"),
    "a hard link": Hostile(data=_odd(b"bag/data/x", kind=b"1", link=b"bag/data/letter.txt"), code="special-file", words="hard link"),
    "a link and a file through it": Hostile(data=tar(member(b"bag/data/d", kind=b"2", link=b"/tmp"), member(b"bag/data/d/x", b"x")), code="special-file", words="symbolic link"),
    "a character device": Hostile(data=_odd(b"bag/data/x", kind=b"3"), code="special-file", words="character device"),
    "a block device": Hostile(data=_odd(b"bag/data/x", kind=b"4"), code="special-file", words="block device"),
    "a fifo": Hostile(data=_odd(b"bag/data/x", kind=b"6"), code="special-file", words="fifo"),
    "a file twice": Hostile(data=_odd(b"bag/data/letter.txt"), words="twice", path="bag/data/letter.txt"),
    "a file twice, written otherwise": Hostile(data=_odd(b"./bag//data/./letter.txt"), words="twice"),
    "two top folders": Hostile(data=_odd(b"other/x"), words="beside the top folder"),
    "no top folder": Hostile(data=member(b"bagit.txt", b"x") + END, words="own folder"),
    "a file for the top folder": Hostile(data=member(b"bag", b"x") + END, words="own folder"),
    "a file beneath a file": Hostile(data=_odd(b"bag/data/letter.txt/x"), words="in a file"),
    "a file for a folder": Hostile(data=_odd(b"bag/data"), words="folder as well"),
    "nothing at all": Hostile(data=b"", words="neither tar"),
    "nothing but the end": Hostile(data=block(b"./", kind=b"5") + END, words="empty"),
    "a name that is not UTF-8": Hostile(data=_odd(b"bag/data/\xff"), words="UTF-8"),
    "a name that is empty": Hostile(data=_odd(b""), words="no name"),
    "a name that is a dot": Hostile(data=_odd(b"."), words="no name"),
    "a hidden top folder": Hostile(data=member(b".bag/bagit.txt", b"x") + END, words="hidden"),
    "a control character in the top folder": Hostile(data=member(b"b\x1bag/bagit.txt", b"x") + END, words="control"),
    "bytes hidden after a name": Hostile(data=_odd(b"bag/data/x\0/../../evil"), words="hidden"),
    "bytes hidden after a link": Hostile(data=_odd(b"bag/data/x", link=b"\0x"), words="hidden"),
    "a file that says where it links": Hostile(data=_odd(b"bag/data/x", link=b"y"), words="links to"),
    "a part longer than disks take": Hostile(data=tar(pax((b"path", b"bag/" + b"n" * 300)), member(b"bag/n")), code="limit", words="longer"),
    "folders without end": Hostile(data=tar(pax((b"path", b"bag/" + b"d/" * 300 + b"x")), member(b"bag/n")), code="limit", words="deeper"),
    "a pax path that renames": Hostile(data=tar(pax((b"path", b"bag/data/evil")), member(b"bag/data/x")), words="renames"),
    "a pax path that climbs": Hostile(data=tar(pax((b"path", b"bag/../" + LONG)), member(b"bag/data/x")), code="unsafe-path", words="climbs"),
    "a pax path with NUL": Hostile(data=tar(pax((b"path", LONG + b"\0x")), member(b"bag/data/x")), words="NUL"),
    "a pax path twice": Hostile(data=tar(pax((b"path", LONG), (b"path", LONG)), member(b"bag/data/x")), words="twice"),
    "a pax size of its own": Hostile(data=tar(pax((b"size", b"1024")), member(b"bag/data/x", b"x")), words="two sizes"),
    "a pax size that is none": Hostile(data=tar(pax((b"size", b"-1")), member(b"bag/data/x", b"x")), words="no number"),
    "a pax linkpath": Hostile(data=tar(pax((b"linkpath", b"/etc")), member(b"bag/data/x", kind=b"2")), words="linkpath"),
    "a pax sparse map": Hostile(data=tar(SPARSE, member(b"bag/data/x", b"1\n0\n1\n")), words="GNU.sparse"),
    "a pax character set": Hostile(data=tar(pax((b"hdrcharset", b"BINARY")), member(b"bag/data/x")), words="hdrcharset"),
    "a pax record that is none": Hostile(data=tar(member(b"P", b"99 path=x\n", kind=b"x"), member(b"bag/data/x")), words="pax record"),
    "a pax record of no length": Hostile(data=tar(member(b"P", b"6 path=\n", kind=b"x"), member(b"bag/data/x")), words="pax record"),
    "a pax head before a pax head": Hostile(data=tar(pax((b"mtime", b"1")), pax((b"path", LONG)), member(b"bag/data/x")), words="kind 'x'"),
    "a pax head before nothing": Hostile(data=tar(pax((b"mtime", b"1"))), words="no member"),
    "a pax head without end": Hostile(data=tar(block(b"P", 1 << 30, kind=b"x")), code="limit", words="extended head"),
    "a pax head cut short": Hostile(data=tar(block(b"P", 9999, kind=b"x")), words="cut short"),
    "a global path": Hostile(data=pax((b"path", LONG), kind=b"g") + tar(), words="global"),
    "a global size": Hostile(data=pax((b"size", b"0"), kind=b"g") + tar(), words="global"),
    "a long name that is short": Hostile(data=tar(member(b"././@LongLink", b"bag/data/evil\0", kind=b"L"), member(b"bag/data/x")), words="renames"),
    "a long name with NUL": Hostile(data=tar(member(b"././@LongLink", LONG + b"\0x\0", kind=b"L"), member(b"bag/data/x")), words="NUL"),
    "a long link": Hostile(data=tar(member(b"././@LongLink", LONG + b"\0", kind=b"K"), member(b"bag/data/x", kind=b"2")), words="kind 'K'"),
    "a sparse file": Hostile(data=_odd(b"bag/data/x", kind=b"S"), words="sparse"),
    "a part of another volume": Hostile(data=_odd(b"bag/data/x", kind=b"M"), words="kind 'M'"),
    "a volume's label": Hostile(data=_odd(b"bag", kind=b"V"), words="kind 'V'"),
    "a folder that holds bytes": Hostile(data=tar(member(b"bag/data/d/", b"x", kind=b"5")), words="holds bytes"),
    "a file with a folder's name": Hostile(data=_odd(b"bag/data/d/"), words="folder's name"),
    "a negative size": Hostile(data=tar(block(b"bag/data/x", b"\xff" * 12)), words="no number"),
    "a binary size that fits in octal": Hostile(data=tar(block(b"bag/data/x", b"\x80" + bytes(10) + b"\1")), words="no number"),
    "a size past every disk": Hostile(data=tar(block(b"bag/data/x", b"\x80" + b"\xff" * 11)), words="no number"),
    "a size of no digits": Hostile(data=tar(block(b"bag/data/x", b"0x10".ljust(12, b"\0"))), words="no number"),
    "more bytes than there are": Hostile(data=tar(block(b"bag/data/x", 1 << 20)), words="cut short", path="bag/data/x"),
    "a terabyte told": Hostile(data=tar(block(b"bag/data/x", b"\x80" + bytes(4) + (1 << 50).to_bytes(7, "big"))), code="limit", words="more than 1,099,511,627,776 bytes"),
    "more bytes than are allowed": Hostile(data=tar(member(b"bag/data/x", bytes(2000))), code="limit", words="more than 1,000 bytes", limits=Limits(total=1000)),
    "more members than are allowed": Hostile(data=tar(), code="limit", words="members", limits=SMALL),
    "a wrong checksum": Hostile(data=tar(block(b"bag/data/x", checksum=b"000001\0 ")), words="checksum"),
    "a head of junk": Hostile(data=tar(b"junk" * 128), words="checksum"),
    "an end that is missing": Hostile(data=tar(end=b""), words="cut short"),
    "half an end": Hostile(data=tar(end=bytes(512)), words="cut short"),
    "something after the end": Hostile(data=tar(end=END + b"secret".ljust(512, b"\0")), words="follows"),
    "a second archive after the end": Hostile(data=tar() + tar(), words="follows"),
    "zeros without end": Hostile(data=tar(end=bytes(3 << 20)), words="follows"),
    "another kind of file": Hostile(data=b"%PDF-1.7\n" * 100, words="neither tar"),
    "tar in xz": Hostile(data=b"\xfd7zXZ\0" + bytes(600), words="neither tar"),
    "gzip cut short": Hostile(data=gzip.compress(tar())[:-20], words="cut short"),
    "gzip with a wrong CRC": Hostile(data=gzip.compress(tar())[:-8] + bytes(8), words="damaged"),
    "gzip of junk": Hostile(data=b"\x1f\x8b" + b"junk" * 10, words="gzip"),
    "gzip with junk after it": Hostile(data=gzip.compress(tar()) + b"junk", words="junk"),
    "gzip of no tar": Hostile(data=gzip.compress(b"hello" * 200), words="checksum"),
    "gzip with a tar after the end": Hostile(data=gzip.compress(tar()) + gzip.compress(tar()), words="follows"),
    "gzip that blows up": Hostile(data=gzip.compress(tar(member(b"bag/data/x", ZEROS))), code="limit", words="times its own size", limits=TIGHT),
}  # fmt: skip

ONE = b"bag/data/x"
ZIPS = {
    "an absolute path": Hostile(data=zipped(Z(name=b"/etc/passwd")), code="unsafe-path", words="absolute"),
    "a path that climbs": Hostile(data=zipped(Z(name=b"bag/../../evil")), code="unsafe-path", words="climbs"),
    "a backslash": Hostile(data=zipped(Z(name=b"bag\\data\\x")), code="unsafe-path", words="backslash"),
    "a drive letter": Hostile(data=zipped(Z(name=b"C:evil")), code="unsafe-path", words="drive"),
    "a symbolic link": Hostile(data=zipped(Z(name=ONE, data=b"/etc/passwd", mode=SYMLINK)), code="special-file", words="symbolic link", path="bag/data/x"),
    "a device": Hostile(data=zipped(Z(name=ONE, mode=DEVICE)), code="special-file", words="a bag holds files"),
    "a file twice": Hostile(data=zipped(Z(name=b"bag/data/letter.txt")), words="twice"),
    "two top folders": Hostile(data=zipped(Z(name=b"other/x")), words="beside the top folder"),
    "no members": Hostile(data=zipped(files=False), words="empty"),
    "a name that is not UTF-8": Hostile(data=zipped(Z(name=b"bag/data/\xff", flags=1 << 11)), words="UTF-8"),
    "a name in no told encoding": Hostile(data=zipped(Z(name=NFC)), words="encoding"),
    "a name with NUL": Hostile(data=zipped(Z(name=b"bag/data/x\0.txt")), words="NUL"),
    "a name that an extra field changes": Hostile(data=zipped(Z(name=ONE, extra=extra(0x7075, b"\1" + bytes(4) + b"bag/../evil"))), words="renames"),
    "another name in its local head": Hostile(data=zipped(Z(name=ONE, local={"name": b"bag/data/y"})), words="another name", path="bag/data/x"),
    "another size in its local head": Hostile(data=zipped(Z(name=ONE, data=b"x", local={"size": 9})), words="another size"),
    "another CRC in its local head": Hostile(data=zipped(Z(name=ONE, data=b"x", local={"crc": 9})), words="another CRC"),
    "another method in its local head": Hostile(data=zipped(Z(name=ONE, local={"method": 8})), words="another method"),
    "other flags in its local head": Hostile(data=zipped(Z(name=ONE, local={"flags": 8})), words="another method"),
    "no local head": Hostile(data=zipped(Z(name=ONE, mark=b"PK\3\5")), words="no local head", path="bag/data/x"),
    "a local head that is none": Hostile(data=zipped(Z(name=ONE, data=b"P" * 60, central={"offset": 0})), words="overlaps"),
    "members that overlap": Hostile(data=zipped(Z(name=ONE, local={"packed": 60, "size": 60}, central={"packed": 60, "size": 60}), Z(name=ONE + b"y", data=b"y" * 30)), words="overlaps", path="bag/data/x"),
    "bytes that no member tells of": Hostile(data=zipped(Z(name=ONE, data=b"x" * 50, central={"packed": 20, "size": 20}, local={"packed": 20, "size": 20})), words="belong to nothing"),
    "one local head for two": Hostile(data=zipped(Z(name=ONE), Z(name=ONE + b"y", central={"offset": 0})), words="overlaps"),
    "something before the first": Hostile(data=zipped(before=b"PK\3\4junk"), words="before the first"),
    "a gap between members": Hostile(data=zipped(Z(name=ONE, after=b"secret"), Z(name=ONE + b"y")), words="belong to nothing"),
    "a gap before the directory": Hostile(data=zipped(gap=b"secret"), words="belong to nothing"),
    "bytes of no member": Hostile(data=zipped(before=b"PK\3\4secret", files=False), words="no member"),
    "no end": Hostile(data=zipped()[:-10], words="no end"),
    "two ends": Hostile(data=zipped(make_end=lambda *a: the_end(*a, comment=the_end(*a))), words="more than one end"),
    "more members than the end says": Hostile(data=zipped(make_end=lambda n, s, a: the_end(n - 1, s, a)), words="the end says"),
    "fewer members than the end says": Hostile(data=zipped(make_end=lambda n, s, a: the_end(n + 1, s, a)), words="the end says"),
    "a directory elsewhere": Hostile(data=zipped(make_end=lambda n, s, a: the_end(n, s, a - 4)), words="does not stand"),
    "a directory of junk": Hostile(data=zipped(make_end=lambda n, s, a: bytes(50) + the_end(n, s + 50, a)), words="directory is damaged"),
    "the end of another part": Hostile(data=zipped(make_end=lambda n, s, a: the_end(n, s, a, disk=1)), words="several parts"),
    "a part of several": Hostile(data=zipped(make_end=lambda n, s, a: the_end(n, s, a, here=n - 1)), words="several parts"),
    "a member on another disk": Hostile(data=zipped(Z(name=ONE, central={"disk": 1})), words="damaged"),
    "a password": Hostile(data=zipped(Z(name=ONE, flags=1)), words="encrypted"),
    "strong encryption": Hostile(data=zipped(Z(name=ONE, flags=1 << 6)), words="encrypted"),
    "a patch": Hostile(data=zipped(Z(name=ONE, flags=1 << 5)), words="method"),
    "a method that is not read": Hostile(data=zipped(Z(name=ONE, method=12)), words="method 12"),
    "a folder that holds bytes": Hostile(data=zipped(Z(name=b"bag/data/d/", data=b"x", mode=FOLDER)), words="holds bytes"),
    "a folder by its mode alone": Hostile(data=zipped(Z(name=b"bag/data/d", mode=FOLDER)), words="to others"),
    "a folder by DOS's mark alone": Hostile(data=zipped(Z(name=b"bag/data/d", dos=0x10)), words="to others"),
    "a file with a folder's name": Hostile(data=zipped(Z(name=b"bag/data/d/")), words="to others"),
    "stored in another size": Hostile(data=zipped(Z(name=ONE, data=b"xy", packed=b"xyz")), words="another size than its own"),
    "an extra field cut short": Hostile(data=zipped(Z(name=ONE, extra=b"\1\0\x10")), words="extra field"),
    "an extra field past its end": Hostile(data=zipped(Z(name=ONE, extra=b"\1\0\x10\0x")), words="extra field"),
    "Zip64 sizes that nothing asks for": Hostile(data=zipped(Z(name=ONE, extra=extra(1, bytes(8)))), words="Zip64"),
    "Zip64 sizes that disagree with its others": Hostile(data=zipped(Z(name=ONE, local={"extra": extra(1, struct.pack("<2Q", 9, 9))})), words="Zip64"),
    "Zip64 sizes that are missing": Hostile(data=zipped(Z(name=ONE, central={"size": 0xFFFFFFFF})), words="Zip64"),
    "a size past every disk": Hostile(data=zipped(Z(name=ONE, central={"size": 0xFFFFFFFF, "extra": extra(1, b"\xff" * 8)})), words="past what any disk"),
    "a terabyte told": Hostile(data=zipped(Z(name=ONE, method=8, central={"size": 0xFFFFFFFF, "extra": extra(1, struct.pack("<Q", 1 << 39))}, local={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra(1, struct.pack("<2Q", 1 << 39, 0))})), code="limit", words="times its own size"),
    "one size in Zip64 locally": Hostile(data=zipped(Z(name=ONE, local={"size": 0xFFFFFFFF, "extra": extra(1, bytes(8))})), words="one size in Zip64"),
    "no Zip64 end": Hostile(data=zipped(make_end=lambda n, s, a: the_end(0xFFFF, s, a)), words="no Zip64 end"),
    "a Zip64 end that disagrees": Hostile(data=zipped(make_end=partial(end64, lie=1, full=False)), words="disagree"),
    "a Zip64 end elsewhere": Hostile(data=zipped(make_end=partial(end64, place=-4)), words="Zip64 end"),
    "a Zip64 end with room in it": Hostile(data=zipped(make_end=partial(end64, record=60)), words="Zip64 end"),
    "a descriptor that disagrees": Hostile(data=zipped(Z(name=ONE, data=b"x", flags=8, local={"crc": 0, "size": 0, "packed": 0}, after=struct.pack("<4s3I", b"PK\7\x08", 1, 1, 1))), words="descriptor"),
    "no descriptor": Hostile(data=zipped(Z(name=ONE, data=b"x", flags=8, local={"crc": 0, "size": 0, "packed": 0})), words="descriptor"),
    "a descriptor and more": Hostile(data=zipped(Z(name=ONE, data=b"x", flags=8, local={"crc": 0, "size": 0, "packed": 0}, after=struct.pack("<4s3I", b"PK\7\x08", zlib.crc32(b"x"), 1, 1) + b"more and more")), words="descriptor"),
    "a size in the head and a descriptor": Hostile(data=zipped(Z(name=ONE, data=b"x", flags=8, local={"crc": 1, "size": 1, "packed": 1}, after=struct.pack("<4s3I", b"PK\7\x08", zlib.crc32(b"x"), 1, 1))), words="another CRC"),
    "a bomb that tells": Hostile(data=zipped(squeezed(ONE, ZEROS)), code="limit", words="times its own size", limits=TIGHT),
    "a bomb that lies": Hostile(data=zipped(squeezed(ONE, b"x", packed=deflated(ZEROS))), words="more bytes than", path="bag/data/x", deep=True),
    "fewer bytes than told": Hostile(data=zipped(squeezed(ONE, b"xyz", packed=deflated(b"x"))), words="unpacks to 1 bytes", deep=True),
    "bytes behind the deflate stream": Hostile(data=zipped(squeezed(ONE, b"xyz", packed=deflated(b"xyz") + b"secret")), words="behind", deep=True),
    "a deflate stream cut short": Hostile(data=zipped(squeezed(ONE, b"xyz" * 9, packed=deflated(b"xyz" * 9)[:-2])), words="", deep=True),
    "a deflate stream of junk": Hostile(data=zipped(squeezed(ONE, b"xyz", packed=b"\xff\xff\xff")), words="damaged", deep=True),
    "a wrong CRC": Hostile(data=zipped(Z(name=ONE, data=b"xyz", local={"crc": 1}, central={"crc": 1})), words="CRC-32", path="bag/data/x", deep=True),
    "a tag file with a wrong CRC": Hostile(data=zipped(Z(name=b"bag/x", data=b"xyz", local={"crc": 1}, central={"crc": 1})), words="CRC-32", deep=True),
    "more members than are allowed": Hostile(data=zipped(), code="limit", words="members", limits=SMALL),
}  # fmt: skip

TWINS = {
    "names that differ in case": tar(member(b"bag/data/LETTER.txt", b"x")),
    "names that differ in Unicode form": tar(member(NFC, b"x"), member(NFD, b"x")),
    "folders that differ in case": tar(
        member(b"bag/data/a/x"), member(b"bag/data/A/y")
    ),
    "a case that only folds": tar(
        member("bag/data/stra\u00dfe".encode()), member(b"bag/data/strasse")
    ),
}

HONEST = {
    "as it is": tar(),
    "with ./ before every name": member(b"./", kind=b"5") + b"".join(member(b"./" + p, d) for p, d in bag().items()) + END,
    "with folders told": member(b"bag/", kind=b"5") + member(b"bag/data/", kind=b"5") + tar(),
    "with a comment for all": pax((b"comment", b"a" * 40), kind=b"g") + tar(),
    "with times in pax": b"".join(pax((b"mtime", b"1.5"), (b"SCHILY.dev", b"1")) + member(p, d) for p, d in bag().items()) + END,
    "of the old kind": b"".join(member(p, d, kind=b"\0", magic=bytes(8)) for p, d in bag().items()) + END,
    "of GNU's kind": b"".join(member(p, d, magic=b"ustar  \0") for p, d in bag().items()) + END,
    "with a prefix": b"".join(member(p[4:], d, prefix=b"bag") for p, d in bag().items()) + END,
    "with spaces for digits": b"".join(block(p, b"%11o " % len(d)) + padded(d) for p, d in bag().items()) + END,
    "in gzip": gzip.compress(tar()),
    "in gzip of two members": gzip.compress(tar()[:700]) + gzip.compress(tar()[700:]),
    "with a long record": tar(end=bytes(1 << 19)),
    "zip": zipped(),
    "zip, deflated": zipped(*(squeezed(p, d) for p, d in bag().items()), files=False),
    "zip with a comment": zipped(make_end=lambda *a: the_end(*a, comment=b"hello")),
    "zip with Zip64 ends": zipped(make_end=end64),
    "zip with descriptors": zipped(*(Z(name=p, data=d, flags=8, local={"crc": 0, "size": 0, "packed": 0}, after=struct.pack("<4s3I", b"PK\7\x08", zlib.crc32(d), len(d), len(d))) for p, d in bag().items()), files=False),
    "zip with bare wide descriptors": zipped(*(Z(name=p, data=d, flags=8, local={"crc": 0, "size": 0, "packed": 0}, after=struct.pack("<I2Q", zlib.crc32(d), len(d), len(d))) for p, d in bag().items()), files=False),
    "zip with sizes and descriptors": zipped(*(Z(name=p, data=d, flags=8, after=struct.pack("<3I", zlib.crc32(d), len(d), len(d))) for p, d in bag().items()), files=False),
    "zip of a stream in Zip64": zipped(*(Z(name=p, data=d, flags=8, local={"crc": 0, "size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra(1, bytes(16))}, after=struct.pack("<I2Q", zlib.crc32(d), len(d), len(d))) for p, d in bag().items()), files=False),
    "zip with Zip64 in local heads": zipped(*(Z(name=p, data=d, local={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": extra(1, struct.pack("<2Q", len(d), len(d)))}) for p, d in bag().items()), files=False),
    "zip with sizes told twice": zipped(*(Z(name=p, data=d, local={"extra": extra(1, struct.pack("<2Q", len(d), len(d)))}) for p, d in bag().items()), files=False),
    "zip of DOS's making": zipped(*(Z(name=p, data=d, mode=0) for p, d in bag().items()), Z(name=b"bag/data/", mode=0, dos=0x10), files=False),
    "zip with its names told twice": zipped(Z(name=b"bag/", mode=FOLDER, extra=extra(0x7075, b"\1" + bytes(4) + b"bag/"))),
}  # fmt: skip
