"""Whether cited words stand in a text, and where.

Pure. Both sides are brought to one form (``normalized``) or left as they are but for
blanks (``exact``); every word keeps its place in the text, so that what is reported are
the words as they stand on the page, with what surrounds them (W3C Web Annotation,
TextQuoteSelector). A quote neither begins nor ends inside a word. A miss names the
nearest passage and how near it comes. A found quote proves that the words stand there.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from itertools import accumulate

from pipeline.model import Match, Quote, QuoteSighting

CONTEXT = 32  # characters kept before and after
LONGEST = 200  # words of a quote that are compared for nearness
MOST = 10_000  # places of one word that are looked at for nearness

# Characters that are written in several ways and read in one.
SAME = {
    **dict.fromkeys(
        "\u2018\u2019\u201a\u201b\u2032\u2035\u02bc\u00b4`\u2039\u203a", "'"
    ),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb", '"'),
    **dict.fromkeys(
        "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"
    ),
    "\u064a": "\u06cc",  # Arabic yeh, Persian yeh
    "\u0649": "\u06cc",  # alef maksura, written for yeh
    "\u0643": "\u06a9",  # Arabic kaf, Persian keheh
    "\u0629": "\u0647",  # teh marbuta, heh
    "\u06c0": "\u0647",  # heh with yeh above, heh
    "\u2026": "...",
}
# Characters that say how to set the others, not what they say.
UNSEEN = frozenset(
    "\u00ad\u034f\u061c\u0640\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c"
    "\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)


UNSPACED = (  # scripts that put no space between words
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_TABLE = str.maketrans(SAME | dict.fromkeys(UNSEEN))
_WORD = re.compile(r"\S+")


def find(
    text: str, quotes: Sequence[Quote], *, record: str, url: str
) -> tuple[QuoteSighting, ...]:
    """Look for every quote in the text of a capture, in the order given."""
    read = {
        match: Reading(text, exact if match is Match.EXACT else normalized)
        for match in {quote.match for quote in quotes}
    }
    return tuple(_sighting(quote, read[quote.match], record, url) for quote in quotes)


@lru_cache(maxsize=1 << 16)
def normalized(word: str) -> str:
    """Bring a word to the form in which its ways of writing are one.

    NFKC, case folded, quotes and dashes unified, joiners and bidi marks dropped,
    Arabic and Persian letters unified, every digit a European one.
    """
    text = unicodedata.normalize("NFKC", word).translate(_TABLE)
    text = unicodedata.normalize("NFKC", text.casefold())
    if text.isascii():
        return text
    return "".join(str(unicodedata.digit(c, c)) for c in text)


def exact(word: str) -> str:
    """Leave a word as it is; only the blanks between words are made alike."""
    return word


class Reading:
    """A text as words in the form that is compared, each knowing its place."""

    def __init__(self, text: str, form: Callable[[str], str]) -> None:
        self.original = text
        self.form = form
        spans = [(m.start(), form(m.group())) for m in _WORD.finditer(text)]
        kept = [(start, word) for start, word in spans if word]
        self.words = [word for _, word in kept]
        self._starts = [start for start, _ in kept]
        self.text = " ".join(self.words)
        lengths = (len(word) + 1 for word in self.words)
        self._places = [0, *accumulate(lengths)][: len(self.words)]

    @cached_property
    def where(self) -> dict[str, list[int]]:
        """List for each word where it stands, counted in words."""
        found: dict[str, list[int]] = {}
        for number, word in enumerate(self.words):
            found.setdefault(word, []).append(number)
        return found

    def occurrence(self, wanted: str) -> tuple[int, int] | None:
        """Return the first place where words stand whole, in the original."""
        at = self.text.find(wanted)
        while wanted and at >= 0:
            end = at + len(wanted)
            if not (self._is_inside_word(at) or self._is_inside_word(end)):
                return self._origin(at), self._origin(end - 1, after=True)
            at = self.text.find(wanted, at + 1)
        return None

    def passage(self, first: int, last: int) -> tuple[int, int]:
        """Return where a run of words stands in the original."""
        end = self._origin(self._places[last] + len(self.words[last]) - 1, after=True)
        return self._starts[first], end

    def _is_inside_word(self, edge: int) -> bool:
        if not 0 < edge < len(self.text):
            return False
        before, after = self.text[edge - 1], self.text[edge]
        is_joined = before.isalnum() and after.isalnum()
        return is_joined and not (_is_unspaced(before) or _is_unspaced(after))

    def _origin(self, place: int, *, after: bool = False) -> int:
        """Return where a character of the form stands in the original, or ends."""
        number = bisect_right(self._places, place) - 1
        start, inside = self._starts[number], place - self._places[number]
        end = start + 1
        while len(self.form(self.original[start:end])) <= inside:
            end += 1
        if not after:
            return end - 1
        while self._is_mark(end):
            end += 1
        return end

    def _is_mark(self, place: int) -> bool:
        """Tell whether a character belongs to the one before it."""
        return place < len(self.original) and (
            unicodedata.combining(self.original[place]) > 0
        )


def _is_unspaced(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in UNSPACED)


def _sighting(quote: Quote, read: Reading, record: str, url: str) -> QuoteSighting:
    words = [word for word in map(read.form, quote.text.split()) if word]
    place, score = read.occurrence(" ".join(words)), 1.0
    is_found = place is not None
    if place is None:
        place, score = _nearest(words, read)
        is_found = quote.match is Match.FUZZY and score >= quote.at_least
    start, end = place
    return QuoteSighting(
        text=quote.text,
        match=quote.match,
        required=quote.required,
        found=is_found,
        score=score,
        exact=read.original[start:end],
        prefix=read.original[max(0, start - CONTEXT) : start],
        suffix=read.original[end : end + CONTEXT],
        record=record,
        url=url,
    )


def _nearest(words: list[str], read: Reading) -> tuple[tuple[int, int], float]:
    """Return the passage that is most like the words, and how like it is, 0 to 1.

    It is the run of as many words that shares most of them; likeness is difflib's.
    """
    words = words[:LONGEST]
    wanted = Counter(words)
    places = sorted(n for word in wanted for n in read.where.get(word, ())[:MOST])
    if not places:
        return (0, 0), 0.0
    first = _densest(places, len(words), read.words, wanted)
    last = min(first + len(words), len(read.words)) - 1
    passage = " ".join(read.words[first : last + 1])
    likeness = SequenceMatcher(None, " ".join(words), passage, autojunk=False)
    return read.passage(first, last), round(likeness.ratio(), 3)


def _densest(
    places: list[int], width: int, words: list[str], wanted: Counter[str]
) -> int:
    """Return where the run of ``width`` words begins that shares most words."""
    inside: Counter[str] = Counter()
    best, most, left, shared = places[0], 0, 0, 0
    for right in places:
        word = words[right]
        inside[word] += 1
        shared += inside[word] <= wanted[word]
        while places[left] <= right - width:
            gone = words[places[left]]
            shared -= inside[gone] <= wanted[gone]
            inside[gone] -= 1
            left += 1
        if shared > most:
            best, most = places[left], shared
    return best
