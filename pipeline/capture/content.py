"""What a body says: its type, its characters, and the words of a page.

All of it for reading only, never for what is kept; bounded, and nothing raises.

``read_html`` gives the words a reader sees with scripts on and style sheets off: whole
page, document order, each block on a line of its own. Out are scripts, styles,
templates (but a declarative shadow root), ``noscript``, what stands for a picture or a
frame that would not load, alternative texts, ``hidden`` elements (but those that
searching reveals) and closed dialogues. In are closed details, options and text areas.
"""

import io
import re
from codecs import getincrementaldecoder

import webencodings
from msgspec import Struct
from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipeline.capture import markup
from pipeline.capture.coding import Decoded, decode

__all__ = [
    "Decoded",
    "Page",
    "agrees",
    "charset",
    "css_charset",
    "decode",
    "media_type",
    "read_html",
    "read_text",
    "sniff",
    "to_text",
]

PAGE_LIMIT = 4 * 2**20  # bytes of a page that are read
WORDS_LIMIT = 1_000_000  # characters of its words; one emoji makes each take four bytes
PIECE = 64 * 1024  # bytes decoded at a time
MOST_TITLES = 100  # that are looked at for the one of the page
PRESCAN = 1024  # bytes in which a page may name its encoding (HTML, 13.2.3.2)

# ----------------------------------------------------------------------- media types

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)


def media_type(content_type: str) -> str:
    """Return the media type that a Content-Type names, in lower case; "" for none."""
    named = content_type.partition(";")[0].strip().lower()
    return named if _MEDIA_TYPE.fullmatch(named) else ""


# What the first bytes say (MIME Sniffing, 6): offset, bytes, type.
SIGNATURES = (
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBPVP8", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypavis", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"\0\0\x01\0", "image/x-icon"),
    (8, b"WAVEfmt ", "audio/wav"),
    (0, b"ID3\3", "audio/mpeg"),
    (0, b"ID3\4", "audio/mpeg"),
    (0, b"OggS\0", "application/ogg"),
    (0, b"wOF2", "font/woff2"),
    (0, b"wOFF", "font/woff"),
    (0, b"OTTO\0", "font/otf"),
    (0, b"\0\1\0\0\0", "font/ttf"),
    (0, b"\0asm", "application/wasm"),
    (0, b"PK\3\4", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
)
# What may stand before the first element: comments, declarations, instructions.
_PROLOGUE = re.compile(
    rb"(?:\s++|<!--.*?-->|<\?[^>]*+>|<!doctype(?!\s+html)[^>]*+>)*+",
    re.DOTALL | re.IGNORECASE,
)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b"
    rb"|body|br|p)[\s>]",
    re.IGNORECASE,
)
_JSON = re.compile(
    rb'\s*(?:\{\s*(?:\}|"(?:[^"\\\n]|\\.)*+"\s*:)'
    rb'|\[\s*(?:[\]{\[]|"(?:[^"\\\n]|\\.)*+"\s*[\],]|-?\d[\d.eE+-]*\s*[\],]))'
)


def sniff(data: bytes) -> str:
    """Guess a media type from the first bytes; "" where they are no sure sign."""
    for offset, mark, found in SIGNATURES:
        if data.startswith(mark, offset):
            return found
    start = data[:PRESCAN].removeprefix(b"\xef\xbb\xbf")
    before = _PROLOGUE.match(start)
    rest = start[before.end() if before else 0 :]
    if _HTML.match(rest):
        return "text/html"
    if rest.startswith(b"<svg"):
        return "image/svg+xml"
    if start.lstrip().startswith(b"<?xml"):
        return "application/xml"
    return "application/json" if _JSON.match(start) else ""


# Types that are one thing under several names, or the container of the other.
_ALIKE = (
    ("text/html", "xhtml"),
    ("application/xml", "xml"),
    ("application/json", "json"),
    ("image/svg+xml", "xml"),
    ("image/x-icon", "image/vnd.microsoft.icon", "image/ico"),
    ("image/jpeg", "image/jpg", "image/pjpeg"),
    ("audio/wav", "wav"),
    ("audio/mpeg", "audio/mp3"),
    ("application/ogg", "ogg", "opus"),
    ("video/mp4", "mp4", "m4", "quicktime", "heic", "heif", "3gpp"),
    ("video/webm", "webm", "matroska"),
    ("application/gzip", "gzip", "octet-stream"),
    ("application/zip", "zip", "officedocument", "opendocument", "octet-stream"),
    ("application/zip", "java-archive", "android.package"),
    ("font/woff2", "woff2", "octet-stream"),
    ("font/woff", "woff", "octet-stream"),
    ("font/otf", "otf", "opentype", "sfnt", "octet-stream"),
    ("font/ttf", "ttf", "truetype", "sfnt", "octet-stream"),
)


def agrees(served: str, found: str) -> bool:
    """Tell whether a type as served and one as found can be of the same bytes."""
    if not served or not found or served == found:
        return True
    return any(
        found == kind and any(n in served for n in names) for kind, *names in _ALIKE
    )


# ------------------------------------------------------------------------ characters

_CHARSET = re.compile(
    r"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"']+))""", re.IGNORECASE
)
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]+)["']""")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)


def charset(data: bytes, content_type: str) -> str:
    """Name the encoding of a text as browsers decide it (HTML, 13.2.3.2).

    Byte order mark, Content-Type, what the page says of itself, the XML declaration;
    else UTF-8 where it is valid, and windows-1252. Names are those of the WHATWG
    Encoding Standard, in which iso-8859-1 is windows-1252.
    """
    start = data[:PRESCAN]
    return (
        _marked(start)
        or _label(_parameter(content_type))
        or _prescanned(start)
        or _declared(start)
        or _guessed(data)
    )


def css_charset(data: bytes, content_type: str, page_encoding: str) -> str:
    """Name the encoding of a style sheet (CSS Syntax, 3.2)."""
    rule = re.match(rb'@charset "([^"]*)";', data[:PRESCAN])
    return (
        _marked(data)
        or _label(_parameter(content_type))
        or (_unlikely_utf16(_label(rule[1].decode("latin-1"))) if rule else "")
        or page_encoding
        or "utf-8"
    )


def read_text(data: bytes, encoding: str) -> tuple[str, bool]:
    """Decode as much of a text as is read; tell whether that is all of it."""
    known = webencodings.lookup(encoding) or webencodings.UTF8
    decoder, said, left = webencodings.IncrementalDecoder(known), [], WORDS_LIMIT
    for at in range(0, len(data), PIECE):
        is_last = at + PIECE >= len(data)
        said.append(decoder.decode(data[at : at + PIECE], final=is_last))
        left -= len(said[-1])
        if left < 0:
            said[-1] = said[-1][:left]
            break
    return "".join(said), left >= 0


def to_text(data: bytes, encoding: str) -> str:
    """Decode a text; what makes no sense becomes U+FFFD, a byte order mark goes."""
    known = webencodings.lookup(encoding) or webencodings.UTF8
    return str(webencodings.decode(data, known)[0])


def in_utf8(data: bytes, encoding: str) -> bytes:
    """Write a text in UTF-8, as far as pages are read, without ever holding it wide."""
    known = webencodings.lookup(encoding) or webencodings.UTF8
    decoder, out = webencodings.IncrementalDecoder(known), io.BytesIO()
    for at in range(0, min(len(data), PAGE_LIMIT), PIECE):
        piece = data[at : min(at + PIECE, PAGE_LIMIT)]
        out.write(decoder.decode(piece).encode(errors="replace"))
    out.write(decoder.decode(b"", final=True).encode(errors="replace"))
    return out.getvalue()


def _marked(data: bytes) -> str:
    return next((name for mark, name in _BOMS if data.startswith(mark)), "")


def _label(text: str) -> str:
    """Return the name of the encoding that a label means; "" for an unknown one."""
    known = webencodings.lookup(text) if text.isascii() else None
    return str(known.name) if known else ""


def _parameter(content_type: str) -> str:
    found = _CHARSET.search(content_type)
    return next(filter(None, found.groups()), "") if found else ""


def _unlikely_utf16(name: str) -> str:
    """Read what claims UTF-16 in ASCII letters as the UTF-8 it must be."""
    return "utf-8" if name.startswith("utf-16") else name


def _prescanned(start: bytes) -> str:
    """Look for <meta charset> in the first bytes, comments passed over."""
    for match in markup.TOKEN.finditer(start.decode("latin-1")):
        if (match["tag"] or "").lower() != "meta" or match["slash"]:
            continue
        told = markup.attributes(match["attributes"])
        label = told.get("charset", "")
        if not label and told.get("http-equiv", "").lower() == "content-type":
            label = _parameter(told.get("content", ""))
        if name := _unlikely_utf16(_label(label)):
            return "windows-1252" if name == "x-user-defined" else name
    return ""


def _declared(start: bytes) -> str:
    for mark, name in ((b"<\0?\0x\0", "utf-16le"), (b"\0<\0?\0x", "utf-16be")):
        if start.startswith(mark):
            return name
    found = _XML_ENCODING.match(start)
    return _unlikely_utf16(_label(found[1].decode("latin-1"))) if found else ""


def _guessed(data: bytes) -> str:
    try:
        # Not final: a text may be cut within a character.
        getincrementaldecoder("utf-8")().decode(data[:PAGE_LIMIT])
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


# ------------------------------------------------------------------- words of a page

# Not displayed (HTML, 15.3.1), or standing for what is displayed in their place.
SILENT = markup.names(
    "area base basefont datalist link meta noembed noframes noscript param rp script "
    "style template title annotation audio canvas embed iframe img object video "
    "-comment -doctype desc metadata defs"
)
BLOCKS = markup.names(
    "address article aside blockquote body br caption center dd details dialog dir div "
    "dl dt fieldset figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header "
    "hgroup hr html legend li listing main menu nav ol optgroup option p plaintext pre "
    "search section summary table tbody textarea tfoot thead tr ul xmp"
)
APART = markup.names("td th button select")  # on one line, but apart
AS_WRITTEN = markup.names("pre listing textarea xmp plaintext")

# Any run of blanks but the one blank that it becomes: most stand as they should.
_BLANKS = re.compile(r"[\t\n\f\r][ \t\n\f\r]*+| [ \t\n\f\r]++")
_BLANKS_IN_LINE = re.compile(r"[\t\f][ \t\f]*+| [ \t\f]++")
_GAPS = re.compile(r"[ \t]{2,}")
_LINE_END = re.compile(r"(?<![ \t])[ \t]*+\n[ \t\n]*+")  # no run is tried twice


class Page(Struct, frozen=True, kw_only=True):
    """A page as words: its title, its visible text, the language it says it is in."""

    title: str
    text: str
    lang: str
    complete: bool = True  # False where the page has more than is read


def read_html(data: bytes, encoding: str) -> Page:
    """Read the visible words of a page, in document order, block by block."""
    page = in_utf8(data, encoding)
    parsed = markup.parse(page)
    tree, complete = parsed.tree, parsed.complete and len(data) <= PAGE_LIMIT
    del page
    reader = _Reader(markup.roots(tree))
    root = tree.css_first("html")
    lang = root.attributes.get("lang") if root else ""
    return Page(
        title=_title(tree),
        text=reader.text(),
        lang=(lang or "").strip(),
        complete=complete and not reader.is_full,
    )


def _title(tree: LexborHTMLParser) -> str:
    """Return the page's title, which is not that of a drawing in it."""
    for node in tree.css("title")[:MOST_TITLES]:
        around = node.parent
        while around is not None and around.tag != "svg":
            around = around.parent
        if around is None:
            return _BLANKS.sub(" ", node.text()).strip()
    return ""


class _Reader:
    """Walks a tree and takes down its words; deep trees cost no more than wide ones."""

    def __init__(self, roots: tuple[LexborNode, ...]) -> None:
        self._shadows = {
            part.parent.mem_id: part for part in roots[1:] if part.parent is not None
        }
        self._hidden = {
            node.mem_id
            for root in roots
            for node in root.css("[hidden], dialog:not([open])")
            if node.attributes.get("hidden") != "until-found"
        }
        self._as_written = 0  # how many elements around keep their line ends
        self._said: list[str] = []
        self._left = WORDS_LIMIT
        for root in roots[:1]:
            self._read(root)

    @property
    def is_full(self) -> bool:
        """Whether there are more words than are read."""
        return self._left <= 0

    def text(self) -> str:
        """Return the words, blanks run together, no line empty; they are said once."""
        said, self._said = "".join(self._said), []
        said = _LINE_END.sub("\n", said).strip(" \t\n")
        return _GAPS.sub(lambda gap: "\t" if "\t" in gap[0] else " ", said)

    def _say(self, words: str) -> None:
        self._said.append(words[: self._left] if len(words) > self._left else words)
        self._left -= len(words)

    def _read(self, root: LexborNode) -> None:
        node, depth = root, 0
        while True:
            inside = self._enter(node)
            if inside is not None:
                node, depth = inside, depth + 1
                continue
            while depth and node.next is None:
                depth -= 1
                assert node.parent is not None, "what was entered is left"
                node = node.parent
                self._leave(node.tag)
            if not depth:
                return
            assert node.next is not None, "the loop above saw to it"
            node = node.next

    def _enter(self, node: LexborNode) -> LexborNode | None:
        """Take down what a node says itself; return what is to be read within."""
        tag = node.tag
        if self._left <= 0:
            return None
        if tag == "-text":
            blanks = _BLANKS_IN_LINE if self._as_written else _BLANKS
            self._say(blanks.sub(" ", node.text_content or ""))
            return None
        if tag == "template" and node.mem_id in self._shadows:
            self._read(self._shadows[node.mem_id])
            return None
        if tag in SILENT or (self._hidden and node.mem_id in self._hidden):
            return None
        self._part(tag)
        inside = node.first_child
        self._as_written += inside is not None and tag in AS_WRITTEN
        return inside

    def _leave(self, tag: str | None) -> None:
        self._as_written -= tag in AS_WRITTEN
        self._part(tag)

    def _part(self, tag: str | None) -> None:
        if tag in BLOCKS:
            self._said.append("\n")
        elif tag in APART:
            self._said.append("\t")
