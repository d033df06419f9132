"""The text of tag files: which encodings are trusted, and bytes to lines.

Everything becomes UTF-8 and lines, whatever a bag declares, in bounded memory; what was
wrong on the way is noted and never ends the reading. Pure: no file is opened.
"""

import codecs
import re
from collections.abc import Iterable, Iterator

from pipeline.model import Finding
from pipeline.packaging.names import show
from pipeline.packaging.rules import WARNING, finding

LONGEST = 1 << 18  # bytes of one line; the longest path Linux opens at once is 4096

_IANA = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._+()-]{0,39}")  # RFC 2978 2.3
_CODECS = frozenset(
    (
        *("utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32"),
        *("utf-32-le", "utf-32-be", "koi8-r", "koi8-u", "mac-roman", "tis-620"),
        *("shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5"),
        *(f"iso8859-{n}" for n in range(1, 17)),
        *(f"cp{n}" for n in (437, 850, 852, 855, 857, 862, 864, 866, 874, 932, 949)),
        *(f"cp{n}" for n in range(1250, 1259)),
    )
)


def parse_encoding(name: str) -> tuple[str, tuple[Finding, ...]]:
    """Choose a codec for a declared encoding; odd ones are read as UTF-8, and said."""
    if name.upper() == "UTF-8":
        return "utf-8", ()
    shown = show(name.encode(errors="replace"))
    try:
        codec = codecs.lookup(name).name if _IANA.fullmatch(name) else ""
    except (LookupError, ValueError):
        codec = ""
    if codec not in _CODECS:
        message = f"{shown} is no encoding to trust; the tag files are read as UTF-8"
        return "utf-8", (finding("encoding", "bagit.txt", message),)
    message = f"the tag files are in {shown}, where UTF-8 is strongly recommended"
    return codec, (finding("encoding", "bagit.txt", message, severity=WARNING),)


class Recoder:
    """Tag file bytes made UTF-8 while they stream, noting what was wrong with them."""

    def __init__(self, codec: str) -> None:
        self.has_bom = False
        self.is_broken = False
        self._codec = codec
        self._decoder = codecs.getincrementaldecoder(codec)()
        self._started = False

    def recode(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the same text in UTF-8; bytes that are not stand as they were."""
        for chunk in chunks:
            yield self._recode(chunk, final=False)
        yield self._recode(b"", final=True)

    def _recode(self, chunk: bytes, *, final: bool) -> bytes:
        if self._codec == "utf-8" and not self._started and chunk:
            self.has_bom = chunk.startswith(codecs.BOM_UTF8)  # RFC 8493 2.3
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        self._started = self._started or bool(chunk)
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeError:
            self.is_broken = True
            text = self._mended(chunk, final=final)
        return chunk if self._codec == "utf-8" else text.encode(errors="replace")

    def _mended(self, chunk: bytes, *, final: bool) -> str:
        """Read on after bytes that the codec refuses."""
        decoder = codecs.getincrementaldecoder(self._codec)(errors="replace")
        decoder.setstate(self._decoder.getstate())
        self._decoder = decoder
        try:
            return decoder.decode(chunk, final)
        except UnicodeError:  # UTF-16 or UTF-32 without the mark that tells their order
            self._decoder = codecs.getincrementaldecoder("latin-1")()
            return self._decoder.decode(chunk, final)


_BREAKS = re.compile(rb"\r\n|\r|\n")


def lines(chunks: Iterable[bytes], *, longest: int = LONGEST) -> Iterator[bytes]:
    """Split a stream into lines at LF, CR or CRLF (RFC 8493 2.3).

    A longer line is cut to ``longest + 1`` bytes, so that its reader can tell, and what
    follows of it is skipped: a line of a gigabyte costs no memory.
    """
    held = b""
    for chunk in chunks:
        *whole, held = _pieces(held + chunk)
        for line in whole:
            yield line[: longest + 1]
        if len(held) > 2 * longest:  # keep the end: it may be half of a CRLF
            held = held[: longest + 1] + held[-1:]
    *whole, held = _pieces(held.removesuffix(b"\r") + b"\n" if held else b"")
    for line in whole:
        yield line[: longest + 1]


def _pieces(data: bytes) -> list[bytes]:
    """Split at line ends; the last piece is unfinished, and keeps a CR at its end."""
    if b"\r" not in data:
        return data.split(b"\n")
    if data.endswith(b"\r"):
        pieces = _BREAKS.split(data[:-1])
        pieces[-1] += b"\r"
        return pieces
    return _BREAKS.split(data)
