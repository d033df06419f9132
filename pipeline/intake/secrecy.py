"""What looks like a secret, and how it is masked.

A manifest goes into every run bag, so a password in it is published. Secrets are
written as references, ``env:NAME`` or ``file:PATH``; this module finds those that are
not, and masks what looks like one in any line that is shown. It errs on the side of
masking. It resolves no reference: that is for whoever sends the request.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from pipeline.intake.notation import LINE_BREAK, Mapping, Node, Scalar, Sequence, Span

MASK = "*"
_REFERENCES = ("env:", "file:")
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")

# a name's last word decides: ``client_secret`` holds a secret, ``secretary`` does not
_WORDS = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|(?:api|access|secret|private)[-_ ]?key"
    r"|auth(?:orization)?|cookie|credential|session(?:[-_ ]?id)?)s?"
)
_NAME = re.compile(rf".*{_WORDS}", re.IGNORECASE | re.DOTALL)
_ASSIGNED = re.compile(
    # neither a reference nor what is masked already
    rf"{_WORDS}[\"']?\s*:\s+(?![\"']?(?:env|file):|\*{{3}})(?P<secret>\S.*)",
    re.IGNORECASE,
)

# tokens, by the forms their issuers gave them
_TOKEN = re.compile(
    r"(?P<secret>\beyJ[\w-]{16,}(?:\.[\w-]+)*"  # JWT, RFC 7519: base64url of {"
    r"|\bgh[oprsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeprs]-[\w-]{10,}|\b[rs]k_(?:live|test)_\w{10,}|\bsk-[A-Za-z0-9]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*"
    # RFC 9110 11.4, a scheme and its credentials; without a digit it is prose
    r"|\b(?:bearer|basic|digest|token) +(?=\S*[0-9=+/_])[\w.~+/=-]{8,})",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:bearer|basic|digest|token|negotiate)\s+\S", re.IGNORECASE)
# long, with letters and digits, and nothing that makes words of it (RFC 6750 2.1)
_OPAQUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[\w.~+/=-]{32,}")

_PARAMETER = re.compile(
    r"(?<=[?&;#])(?P<name>(?:[\w.\[\]%-]{0,40}?(?:token|secret|signature|credential"
    r"|passw(?:or)?d|(?:api|access)[-_]?key(?:[-_]?id)?|session(?:[-_]?id)?)"
    r"|(?:[\w.%]{1,40}?[-_.])?(?:sig|auth|pwd|sid|jwt)))"
    r"=(?P<secret>[^&;#\s\"'<>]+)",
    re.IGNORECASE,
)
# user:password@ with a scheme or without one, and with characters that do not belong in
# it; what follows a host's colon is digits (RFC 3986 3.2)
_USERINFO = re.compile(
    r"(?:(?<=://)|(?<![^\s\"'(\[{,]))"
    r"(?P<secret>[^/?#\s\"':@]+:(?!//|[0-9]{1,5}(?:[/?#]|$))[^\s\"']*|"
    r"(?<=://)[^/?#\s\"'@]+)(?=@)"
)


def is_secret_field(path: tuple[str, ...]) -> bool:
    """Say whether the field at a path holds a secret, to judge by its name."""
    # an id is the author's own word: a source may well be called ``secret``
    is_id = len(path) == 2 and path[0] in ("sources", "claims")  # noqa: PLR2004
    return not is_id and _NAME.fullmatch(path[-1]) is not None


def is_reference(text: str) -> bool:
    """Say whether a value only names the place where a secret is kept."""
    return _REFERENCE.fullmatch(text) is not None


def is_credential(text: str) -> bool:
    """Say whether the value of a header looks like something that opens a door."""
    return bool(_SCHEME.match(text) or _OPAQUE.fullmatch(text) or _TOKEN.search(text))


def telling_parameters(url: str) -> tuple[str, ...]:
    """Name the parameters of an address that look as if they held a secret."""
    return tuple(found["name"] for found in _PARAMETER.finditer(url))


def hide(text: str) -> str:
    """Mask whatever in a line looks like a secret, at equal length."""
    for pattern in (_USERINFO, _PARAMETER, _TOKEN, _ASSIGNED):
        text = pattern.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    begin, end = found.span("secret")
    whole, begin, end = found[0], begin - found.start(), end - found.start()
    return whole[:begin] + MASK * (end - begin) + whole[end:]


def blank(text: str, spans: tuple[Span, ...]) -> str:
    """Mask stretches of a text at equal length; its lines stay as they are."""
    pieces, last = [], 0
    for span in sorted(spans, key=lambda each: each.start):
        if span.end <= last:
            continue
        begin = max(span.start, last)
        hidden = text[begin : span.end]
        pieces += [text[last:begin], re.sub(r"[^\n\r\x85\u2028\u2029]", MASK, hidden)]
        last = span.end
    return "".join((*pieces, text[last:]))


class Secret(Struct, frozen=True, kw_only=True):
    """A secret that stands in the tree, literally."""

    span: Span
    path: tuple[str, ...]
    named: bool  # its field's name gives it away, not its form


def find(node: Node, path: tuple[str, ...] = ()) -> Iterator[Secret]:
    """Find the secrets that are written out in a tree."""
    match node:
        case Mapping():
            for key, value in node.pairs:
                inner = (*path, key.text)
                if not is_secret_field(inner):
                    yield from find(value, inner)
                elif not _is_harmless(value):
                    yield Secret(span=value.span, path=inner, named=True)
        case Sequence():
            for number, item in enumerate(node.items):
                yield from find(item, (*path, str(number)))
        case Scalar():
            if _is_secret(node.text.strip(), path):
                yield Secret(span=node.span, path=path, named=False)
        case _:
            pass


def _is_harmless(node: Node) -> bool:
    """Say whether a field for a secret holds nothing, or refers to another place."""
    if not isinstance(node, Scalar):
        return False
    # a tag stands in the span and not in the text, and might be a password with a !
    is_null = node.value is None and node.span.end - node.span.start == len(node.text)
    return is_null or node.text.strip().startswith(_REFERENCES)


def _is_secret(text: str, path: tuple[str, ...]) -> bool:
    if text.startswith(_REFERENCES):
        return False
    if "headers" in path[:-1]:
        return is_credential(text)
    # what an address carries is judged with the address
    return "://" not in text and _TOKEN.search(text) is not None


def continues_secret(text: str, index: int) -> bool:
    """Say whether a character stands in a value that a secret's name opened above.

    For text that is not YAML, where no tree says so.
    """
    lines = LINE_BREAK.split(text[:index])
    depth = _margin(lines.pop()) if lines else 0
    for line in reversed(lines):
        if line.strip() and _margin(line) < depth:
            name = line.partition(":")[0].strip(" -\"'{")
            return is_secret_field((name,))
    return False


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())
