"""The URLs that a page or a style sheet needs, read from its bytes. Pure.

Named are the images, styles, scripts, fonts, media and frames that a browser would
fetch, also behind ``noscript``, in ``srcdoc``, declarative shadow roots and ``style``
attributes; and the pictures that only a lazy-loading script would fetch (``data-src``
and its kin), which are listed in ``lazy`` as well. Links to elsewhere (``canonical``,
``alternate``, ``preconnect``) are none. Templates are inert and left alone. A meta
refresh is told apart: it leads away and is nothing the page needs.

URLs are absolute, http or https, without fragment, each once, in document order,
resolved as browsers do (WHATWG URL) but always in UTF-8.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import ada_url
import tinycss2
from msgspec import Struct
from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipeline.capture import markup
from pipeline.capture.content import PAGE_LIMIT, in_utf8, to_text

MOST_URLS = 100_000
CSS_LIMIT = 2**20  # bytes of a style sheet, or of all styles of a page, that are read
PORTION = 2**16  # characters of a style sheet that are read at a time, or a few more
NESTING = 3  # pages within pages: srcdoc, noscript
SHOWN = 200  # characters of a URL that could not be read

# Elements, and the attributes that name what they need.
NEEDS = {
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "script": ("src", "href", "xlink:href"),  # the latter within svg
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "iframe": ("src",),
    "frame": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "feImage": ("href", "xlink:href"),
    "body": ("background",),
    "table": ("background",),
    "tr": ("background",),
    "td": ("background",),
    "th": ("background",),
}
LAZY = ("data-src", "data-srcset", "data-lazy-src", "data-lazy-srcset", "data-original")
LAZY_ELEMENTS = frozenset(("img", "source", "iframe", "video"))
LINKS = markup.names(
    "stylesheet icon apple-touch-icon apple-touch-icon-precomposed mask-icon preload "
    "modulepreload manifest"
)
# What names no resource to fetch, or holds it already.
SILENT_SCHEMES = ("data:", "blob:", "javascript:", "about:", "mailto:", "tel:")
SELECTOR = ", ".join([*NEEDS, "link", "input", "meta", "style", "noscript", "[style]"])


class Found(Struct, frozen=True, kw_only=True):
    """What a page or a style sheet needs."""

    urls: tuple[str, ...]
    base: str  # what its relative URLs were resolved against
    refresh: str = ""  # where a meta refresh leads
    lazy: tuple[str, ...] = ()  # of the urls, those only a script would fetch
    dropped: tuple[str, ...] = ()  # as written: no URL at all, or of no use here
    complete: bool = True  # False where there was more than is read


def in_html(data: bytes, encoding: str, url: str) -> Found:
    """Name what a page needs. The first ``base`` that can be read counts."""
    parsed = markup.parse(in_utf8(data, encoding))
    tree, complete = parsed.tree, parsed.complete and len(data) <= PAGE_LIMIT
    base = _base(tree, url)
    wants, styles = _Wants(base), _Styles()
    for node in _nodes(tree):
        for written, is_lazy in _written(node, styles):
            wants.add(written, is_lazy=is_lazy)
        if wants.is_full:
            break
    return wants.found(refresh=_refresh(tree, base, url), complete=complete)


def in_css(data: bytes, encoding: str, url: str) -> Found:
    """Name what a style sheet needs."""
    wants = _Wants(url)
    for written in named_by_css(to_text(data[:CSS_LIMIT], encoding)):
        wants.add(written)
    return wants.found(complete=len(data) <= CSS_LIMIT)


# ---------------------------------------------------------------------------- URLs

# Most URLs are written as they are meant; these need no parser to be made absolute.
_SAFE = (
    r"(?:[A-Za-z0-9_~!$&()*+,;=:@.-]|/(?![./]))*+(?:\?[A-Za-z0-9_~!$&()*+,;=:@./-]*+)?"
)
_PATH = re.compile(rf"/(?![./]){_SAFE}")
_WHOLE = re.compile(rf"https?://(?:(?!xn--)[a-z0-9-]+\.)+[a-z]{{2,}}/(?![./]){_SAFE}")


class _Wants:
    """URLs as they are found: made absolute, each once."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._origin = resolved("/", base)[:-1]
        self._urls: dict[str, bool] = {}  # and whether a browser needs a script for it
        self._dropped: dict[str, None] = {}

    @property
    def is_full(self) -> bool:
        return len(self._urls) + len(self._dropped) >= MOST_URLS

    def add(self, written: str, *, is_lazy: bool = False) -> None:
        """Take up a URL as it is written."""
        text = written.partition("#")[0].strip()
        if not text or text[:11].lower().startswith(SILENT_SCHEMES) or self.is_full:
            return
        if is_lazy and "{" in text:  # a pattern for a script to fill in
            return
        url = self._absolute(text)
        if url.startswith(("http://", "https://")) and not _names_user(url):
            self._urls[url] = self._urls.get(url, is_lazy) and is_lazy
        elif not url.startswith(SILENT_SCHEMES):
            self._dropped[text[:SHOWN]] = None

    def found(self, *, refresh: str = "", complete: bool) -> Found:
        """Tell all of it."""
        return Found(
            urls=tuple(self._urls),
            base=self._base,
            refresh=refresh,
            lazy=tuple(url for url, is_lazy in self._urls.items() if is_lazy),
            dropped=tuple(self._dropped),
            complete=complete and not self.is_full,
        )

    def _absolute(self, text: str) -> str:
        if self._origin and _PATH.fullmatch(text):
            return self._origin + text
        if _WHOLE.fullmatch(text):
            return text
        return resolved(text, self._base)


def resolved(written: str, base: str) -> str:
    """Make a URL absolute, without its fragment; "" where it makes no sense."""
    try:
        return str(ada_url.join_url(base, written.partition("#")[0]))
    except (ValueError, UnicodeError):  # a lone surrogate is no text
        return ""


def _names_user(url: str) -> bool:
    """Tell whether a URL brings a name or a password; browsers fetch no such thing."""
    return "@" in url and "@" in url.split("/", 3)[2]


# ---------------------------------------------------------------------------- HTML


def _nodes(tree: LexborHTMLParser, level: int = 0) -> Iterator[LexborNode]:
    """Yield what may name a requisite, pages within the page in their places."""
    for root in markup.roots(tree):
        for node in root.css(SELECTOR):
            yield node
            for inner in _pages_within(node) if level < NESTING else ():
                within = markup.parse(inner.encode(errors="replace")).tree
                yield from _nodes(within, level + 1)


def _pages_within(node: LexborNode) -> Iterator[str]:
    if node.tag == "noscript":
        yield node.text()
    elif node.tag == "iframe":
        yield node.attributes.get("srcdoc") or ""


def _base(tree: LexborHTMLParser, url: str) -> str:
    """Return what relative URLs stand for (HTML, 4.2.3: the first base that can be)."""
    node = tree.css_first("base[href]")
    if node is None:
        return url
    base = resolved(node.attributes.get("href") or "", url)
    return base if base and not base.startswith(SILENT_SCHEMES) else url


def _written(node: LexborNode, styles: "_Styles") -> Iterator[tuple[str, bool]]:
    """Name what an element needs, as written, and whether only a script fetches it."""
    tag, told = node.tag or "", node.attributes
    needs = NEEDS.get(tag, ())
    for name, value in told.items():
        if not value:
            continue
        is_lazy = name in LAZY and tag in LAZY_ELEMENTS
        if name in needs or is_lazy:
            several = srcset(value) if name.endswith("srcset") else (value,)
            for url in several:
                yield url, is_lazy
        elif name == "style":
            for url in styles.names(value):
                yield url, False
    for url in _otherwise(node, styles):
        yield url, False


def _otherwise(node: LexborNode, styles: "_Styles") -> Iterable[str]:
    """Name what an element needs that none of those attributes tells."""
    if node.tag == "style":
        return styles.names(node.text())
    ask = _OTHERWISE.get(node.tag or "")
    return ask(node) if ask else ()


def _input(node: LexborNode) -> Iterable[str]:
    told = node.attributes
    is_image = (told.get("type") or "").strip().lower() == "image"
    return (told.get("src") or "",) if is_image else ()


def _link(node: LexborNode) -> Iterable[str]:
    told = node.attributes
    if LINKS.isdisjoint((told.get("rel") or "").lower().split()):
        return ()
    return (told.get("href") or "", *srcset(told.get("imagesrcset") or ""))


_OTHERWISE = {"input": _input, "link": _link}

# A candidate's URL runs to a blank, its descriptors to a comma outside parentheses.
_CANDIDATE = re.compile(r"[\s,]*+([^\s]+)")
_DESCRIPTORS = re.compile(r"(?:[^,(]++|\([^)]*+\)?)*+,?")


def srcset(value: str) -> Iterator[str]:
    """Name every candidate of a srcset (HTML, 4.8.4.2.2)."""
    at = 0
    while match := _CANDIDATE.match(value, at):
        url = match[1].rstrip(",")
        at = match.end()
        if url == match[1]:
            descriptors = _DESCRIPTORS.match(value, at)
            at = descriptors.end() if descriptors else at
        yield url


_REFRESH = re.compile(
    r"\s*+(?:\d++[\d.]*+|\.[\d.]*+)(?=[\s;,])\s*+[;,]?+\s*+(?:url\s*+=\s*+)?+(.+)",
    re.IGNORECASE | re.DOTALL,
)


def _refresh(tree: LexborHTMLParser, base: str, url: str) -> str:
    """Say where the first meta refresh leads, "" where it stays (HTML, 4.2.5.3)."""
    for node in tree.css("meta[http-equiv][content]"):
        told = node.attributes
        if (told.get("http-equiv") or "").lower() != "refresh":
            continue
        found = _REFRESH.match(told.get("content") or "")
        if found is None:
            return ""
        text = found[1]
        if text[0] in "\"'":
            text = text[1:].partition(text[0])[0]
        target = resolved(text, base)
        is_away = target.startswith("http") and target != url.partition("#")[0]
        return target if is_away else ""
    return ""


# ----------------------------------------------------------------------------- CSS

_NAMES_SOMETHING = ("url", "src", "import", "image-set", "\\")  # "\\": an escape
_IMAGE_SETS = ("image-set", "-webkit-image-set")
_NAMING = ("namespace", "document", "-moz-document")  # rules whose URLs only name


def named_by_css(css: str) -> Iterator[str]:
    """Name what a style sheet or a style attribute needs, as written.

    That is every url() and src(), the strings of @import and image-set(), of fonts
    and images alike; not those of @namespace, which are never fetched.
    """
    folded = css.lower()
    if not any(word in folded for word in _NAMES_SOMETHING):
        return
    for portion in portions(css):
        yield from _named_by(portion)


# What may hold a bracket that is none; then the brackets.
_CSS_TOKEN = re.compile(
    r"""/\*.*?(?:\*/|\Z)|\\.|"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?"""
    r"""|url\(\s*+(?!["'])(?:[^)\\]|\\.)*+\)?|([{}])""",
    re.DOTALL | re.IGNORECASE,
)


def portions(css: str) -> Iterator[str]:
    """Cut a large style sheet behind rules, as its tokens take much memory.

    Between rules, where they are as short as rules are; else within a block, whose
    URLs are URLs outside it as well.
    """
    start = depth = 0
    for token in _CSS_TOKEN.finditer(css) if len(css) > PORTION else ():
        if token[1] == "{":
            depth += 1
        elif token[1] == "}":
            depth = max(0, depth - 1)
            size = token.end() - start
            if size >= PORTION and (not depth or size >= 4 * PORTION):
                yield css[start : token.end()]
                start, depth = token.end(), 0
    yield css[start:]


def _named_by(css: str) -> Iterator[str]:
    levels = [_Level(tinycss2.parse_component_value_list(css, skip_comments=True))]
    while levels:
        level = levels[-1]
        for token in level.tokens:
            yield from level.names(token)
            inner = _inside(token)
            if inner is not None:
                levels.append(inner)
                break
        else:
            levels.pop()


class _Styles:
    """The styles within one page, read as long as they are no more than a page has."""

    def __init__(self) -> None:
        self._left = CSS_LIMIT

    def names(self, css: str) -> Iterator[str]:
        """Name what one of them needs, as written."""
        read = css[: self._left]
        self._left -= len(read)
        yield from named_by_css(read)


class _Level:
    """The tokens of one block, or of the whole sheet, and where in them we are."""

    def __init__(self, tokens: Iterable[Any], *, is_image_set: bool = False) -> None:
        self.tokens = iter(tokens)
        self._is_image_set = is_image_set
        self._rule = ""  # the at-rule whose prelude this is

    def names(self, token: Any) -> Iterator[str]:
        """Name what a token itself says, and keep track of at-rules."""
        if token.type == "at-keyword":
            self._rule = token.lower_value
        elif token.type == "{} block" or token == ";":  # noqa: S105 - no password
            self._rule = ""
        elif token.type == "string":
            if self._is_image_set or self._rule == "import":
                yield token.value
            self._rule = ""
        elif self._rule not in _NAMING:
            yield from _address(token)


def _address(token: Any) -> Iterator[str]:
    """Name the URL of url(...), url("...") and src("...")."""
    if token.type == "url":
        yield token.value
    elif token.type == "function" and token.lower_name in ("url", "src"):
        strings = (inner for inner in token.arguments if inner.type == "string")
        yield from (string.value for string in strings)


def _inside(token: Any) -> _Level | None:
    """Return what is to be read within a token."""
    if token.type == "function":
        is_set = token.lower_name in _IMAGE_SETS
        return _Level(token.arguments, is_image_set=is_set)
    is_block = token.type in ("{} block", "() block", "[] block")
    return _Level(token.content) if is_block else None
