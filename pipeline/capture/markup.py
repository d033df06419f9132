"""HTML to a tree, whatever the HTML: no page costs more than its size suggests.

A few kilobytes of well-chosen tags make any HTML5 tree builder work for minutes or
take gigabytes: deep nesting makes it search its stack again and again, formatting
elements left open are copied into every paragraph behind them (measured: 29 KB gave a
tree of 1.4 GB). So the work is estimated first, from the tags alone. A page beyond the
bound is made flat: its words, breaks and URLs stay, its nesting goes, and with it what
only nesting tells (``hidden``). So is a page whose tree would take more memory than
``TREE_LIMIT``, told by its tags and attributes; of a flat one as many elements are kept
as that allows. Ordinary pages are parsed as a browser parses them.
"""

import io
import re
from itertools import islice
from string import ascii_uppercase

from msgspec import Struct
from selectolax.lexbor import LexborHTMLParser, LexborNode

WORK_LIMIT = 1_000_000  # elements copied, or their like, beyond what size explains
WORK_PER_TAG = 2
STEPS_PER_COPY = 32  # a step along the stack costs a fraction of a copied element
MOST_ATTRIBUTES = 1_000  # of one tag; each is compared with every other
LONG = 8_000  # characters of attributes worth counting
MOST_ROOTS = 100  # <html> and <body> tags, whose attributes are merged
SHADOWS = 16  # shadow roots within shadow roots
MOST_TAGS = 100_000  # of a page, or what may be some; each is a node in memory
TREE_LIMIT = 24 * 2**20  # bytes that a page and its tree may take
COPIES = 2  # of a page: the one in hand, the one that the tree is of
ELEMENT, ATTRIBUTES = 330, 250  # bytes of a tree for each, measured; words behind it
LIGHT = TREE_LIMIT // ATTRIBUTES * 2  # bytes in which no more attributes can be told
LONG_TEXT = 2**16  # characters that stand in one node, or a few more
REACH = 64  # how far down the stack an end tag is looked for


def names(listed: str) -> frozenset[str]:
    """Read names with blanks between them."""
    return frozenset(listed.split())


VOID = names("area base br col embed hr img input link meta param source track wbr")
# Elements that end where the next of them starts, if only here (HTML, 13.1.2.4).
IMPLIED = names("p option tr td th tbody thead tfoot colgroup caption html head body")
SIBLINGS = {"li": ("li",), "dd": ("dd", "dt"), "dt": ("dd", "dt")}
# Left open, these are opened again behind every block (HTML, 13.2.4.3).
FORMATTING = names("a b big code em font i nobr s small strike strong tt u")
# An end tag does not reach what stands behind these (HTML, 13.2.4.2).
BARRIERS = names("applet button marquee math object select svg table template")
FOREIGN = frozenset(("math", "svg"))
# What a flat page keeps of its elements: those that are or name something.
KEPT = names(
    "base embed frame iframe image img input link meta object script source style "
    "template textarea title track use video audio noscript"
)
_SMALL = {ord(letter): letter.lower() for letter in ascii_uppercase}
_BRACKET = re.compile(b"<")
# Of those, what is kept on a flat page: what names something, or says what it is.
TELLING = names(
    "src srcset href xlink:href data poster background style content http-equiv charset"
    " name type rel property imagesrcset shadowrootmode srcdoc lang"
    " data-src data-srcset data-lazy-src data-lazy-srcset data-original"
)
RAW = "script|style|title|textarea|iframe|noscript|xmp|noembed|noframes"

# Attributes as the tokenizer takes them apart (HTML, 13.2.5.32 to 13.2.5.40).
_NAME = r"=[^\s/>=]*+|[^\s/>=]++"
_VALUE = r""""[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+"""
_ATTRIBUTES = rf"(?:[\s/]++|(?:{_NAME})(?:\s*+=\s*+(?:{_VALUE}))?+)*+"
_END = r"(?:>|\Z)"
TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"  # a comment
    rf"|<(?P<raw>{RAW})(?=[\s/>])(?P<raw_attributes>{_ATTRIBUTES}){_END}"
    r"(?P<text>.*?)(?=</(?P=raw)[\s/>]|\Z)"  # an element of text, to its end tag
    rf"|<(?P<slash>/?)(?P<tag>[a-z][^\s/>]*+)(?P<attributes>{_ATTRIBUTES}){_END}"
    r"|<[!?/][^>]*+>?",  # a doctype, a processing instruction, a bogus comment
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
ATTRIBUTE = re.compile(
    rf"""({_NAME})(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]*+)))?+""", re.ASCII
)


class Parsed(Struct, frozen=True, kw_only=True):
    """A page as a tree, and whether it is the whole page."""

    tree: LexborHTMLParser
    complete: bool


def parse(page: bytes) -> Parsed:
    """Parse a page in UTF-8 as a browser with scripts would: ``noscript`` is mere text.

    Nowhere on the way do its characters become wider than they are in UTF-8: a single
    emoji would make the whole page take four bytes for each of them.
    """
    complete = not is_endless(page)
    # A NUL is ignored (HTML, 13.2.6.4.7), and costs twenty bytes in the tree.
    page = cut(page).replace(b"\0", b"")
    html = page.decode("latin-1")  # one character a byte
    if _LONG_TEXT.search(html):
        html = parted(html)
        page = html.encode("latin-1")
    if is_treacherous(html):
        flattened = flat(html)
        complete = complete and flattened.complete
        page = flattened.html.encode("latin-1")
        del flattened
    del html
    return Parsed(tree=LexborHTMLParser(page, scripting=True), complete=complete)


# Behind a blank, or a character of several bytes; else in the middle of anything.
_LONG_TEXT = re.compile(
    rf"[^<]{{{LONG_TEXT}}}(?:[^<]{{0,4095}}?(?:[ \t\n\f\r]|[\xc2-\xf4][\x80-\xbf]+)"
    r"|[^<]{4096}[\x80-\xbf]*)"
)


def parted(html: str) -> str:
    """Part long texts with comments, as each node is read at once."""
    pieces, at = [], 0
    for match in TOKEN.finditer(html):
        pieces.append(_LONG_TEXT.sub(r"\g<0><!---->", html[at : match.start()]))
        pieces.append(match[0])
        at = match.end()
    pieces.append(_LONG_TEXT.sub(r"\g<0><!---->", html[at:]))
    return "".join(pieces)


def is_endless(page: bytes) -> bool:
    """Tell whether a page has more tags than are read."""
    return page.count(b"<") > MOST_TAGS


def cut(page: bytes) -> bytes:
    """Return as much of a page as is read: all of it, but for the most absurd."""
    if not is_endless(page):
        return page
    at = next(islice(_BRACKET.finditer(page), MOST_TAGS, None)).start()
    return page[:at]


def lower(name: str) -> str:
    """Write a name in small letters; HTML knows those of ASCII alone (Infra, 4.7)."""
    return name.lower() if name.isascii() else name.translate(_SMALL)


def roots(tree: LexborHTMLParser) -> tuple[LexborNode, ...]:
    """List what is displayed of a tree: its root, then declarative shadow roots."""
    found = [] if tree.root is None else [tree.root]
    level = found
    for _ in range(SHADOWS):
        parts = [part for root in level for part in root.template_fragments()]
        level = [part for part in parts if _is_shadow(part)]
        found += level
    return tuple(found)


def _is_shadow(part: LexborNode) -> bool:
    return part.parent is not None and "shadowrootmode" in part.parent.attributes


def attributes(tag: str) -> dict[str, str]:
    """Take the attributes of a tag apart; of one name the first counts."""
    kept: dict[str, str] = {}
    for name, double, single, bare in ATTRIBUTE.findall(tag[:LONG]):
        kept.setdefault(lower(name), double or single or bare)
    return kept


def is_treacherous(html: str) -> bool:
    """Tell whether a tree builder would work far beyond what the size explains."""
    stack, weight = _Stack(), _Weight(html)
    bound = WORK_LIMIT + WORK_PER_TAG * html.count("<")
    work = roots = 0
    for token in TOKEN.finditer(html):
        raw, raw_told, text, slash, tag, told = token.groups("")
        name = lower(tag or raw)
        if raw:
            # Within svg and math the same names hold elements, not text.
            work += text.count("<") ** 2 // STEPS_PER_COPY if stack.is_foreign else 0
        elif name in IMPLIED:
            roots += name in ("html", "body")
        elif name and name not in VOID:
            stack.take(name, is_end=bool(slash))
        if not slash:
            weight.add(told or raw_told)
        if weight.is_too_much or _has_many(told or raw_told):
            return True
        work += len(stack.names) // STEPS_PER_COPY + stack.formatting
        if work > bound or roots > MOST_ROOTS:
            return True
    return False


class _Weight:
    """The memory that a tree would take, its words apart; small pages are light."""

    def __init__(self, html: str) -> None:
        self._is_light = len(html) <= LIGHT
        self._bytes = COPIES * len(html)

    @property
    def is_too_much(self) -> bool:
        return self._bytes > TREE_LIMIT

    def add(self, attributes: str) -> None:
        """Add an element."""
        if not self._is_light:
            count = sum(1 for _ in ATTRIBUTE.finditer(attributes)) if attributes else 0
            self._bytes += ELEMENT + ATTRIBUTES * count


class _Stack:
    """The open elements, as few as a tree builder may have closed by now."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.formatting = 0  # open, or waiting to be opened again

    @property
    def is_foreign(self) -> bool:
        return not FOREIGN.isdisjoint(self.names)

    def take(self, name: str, *, is_end: bool) -> None:
        if not is_end:
            if self.names and self.names[-1] in SIBLINGS.get(name, ()):
                self.names.pop()
            self.names.append(name)
            self.formatting += name in FORMATTING
            return
        above = 0 if self.names[-1:] == [name] else self._above(name)
        if above >= 0:
            # Formatting that stood above is closed here and opened again behind.
            self.formatting -= name in FORMATTING
            del self.names[len(self.names) - above - 1 :]

    def _above(self, name: str) -> int:
        """Count what stands above an element; -1 where its end tag does not reach."""
        reach = self.names[: -REACH - 1 : -1]
        above = reach.index(name) if name in reach else -1
        return above if BARRIERS.isdisjoint(reach[: max(above, 0)]) else -1


class Flat(Struct, frozen=True, kw_only=True):
    """A page without its nesting, and whether all that it keeps had room."""

    html: str
    complete: bool


def flat(html: str) -> Flat:
    """Rewrite a page without its nesting: words, breaks, and elements with URLs."""
    out, at, left = io.StringIO(), 0, TREE_LIMIT - COPIES * len(html)
    for match in TOKEN.finditer(html):
        out.write(html[at : match.start()].replace("<", "&lt;"))
        tag = _flat_tag(match)
        left -= (ELEMENT + ATTRIBUTES * tag.count('="')) if tag else 0
        if left > 0:
            out.write(tag)
        at = match.end()
    out.write(html[at:].replace("<", "&lt;"))
    return Flat(html=out.getvalue(), complete=left > 0)


def _flat_tag(match: re.Match[str]) -> str:
    name = lower(match["tag"] or match["raw"] or "")
    if match["raw"]:
        return f"<{name}{_few(match['raw_attributes'])}>{match['text']}</{name}>"
    if name in KEPT and not match["slash"]:
        end = "" if name in VOID else f"</{name}>"
        return f"<{name}{_few(match['attributes'])}>{end}"
    return "" if not name or name in FORMATTING or name == "span" else "<br>"


def _few(tag: str) -> str:
    """Write anew what a tag tells, as much as is read."""
    pairs = (one for one in attributes(tag).items() if one[0] in TELLING)
    return "".join(f' {key}="{v.replace(chr(34), "&quot;")}"' for key, v in pairs)


def _has_many(tag: str) -> bool:
    some = islice(ATTRIBUTE.finditer(tag), MOST_ATTRIBUTES, None)
    return len(tag) > LONG and next(some, None) is not None
