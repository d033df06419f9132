"""Whether cited words stand in a text, and where. Pure.

A found quote proves that the words stand there, no more. ``normalized``, the default,
looks past what typesetting changes and a reader does not see: composition and width
(NFKC), case, runs of blanks and line ends, the shapes of quotation marks, dashes and
ellipses, soft hyphens, joiners and direction marks, tatweel; Arabic and Persian yeh,
kaf and digits are one. ``exact`` compares code points; only a line end, with the blanks
about it, counts as one blank. ``fuzzy`` accepts the nearest passage if its score is
high enough and its numbers are the same: a misprint may be forgiven, another figure
never.

However compared, a quote neither begins nor ends within a word or a number: "1,500
people were killed" is not found in "... were killedly", nor "500 people" in "1,500
people". A digit right behind a word is taken for the number of a note. Scripts that put
no blanks between words are exempt.

On a miss the nearest passage is told, in whole words, and its score: one minus the edit
distance divided by the length of the longer of the two.
"""

import bisect
import heapq
import math
import re
import unicodedata
from collections.abc import Callable, Iterator

from msgspec import Struct

from pipeline.model import Match, Quote, QuoteSighting

CONTEXT = 32  # characters of prefix and suffix
SEARCHED = 16 * 2**20  # characters of a text, at most
_LINE_END = re.compile(r"[ \t]*\n[ \t\n]*")


def find(
    text: str, quotes: tuple[Quote, ...], *, record: str, url: str
) -> tuple[QuoteSighting, ...]:
    """Look for quotes in a text; each sighting tells the words as they stand there."""
    folded = _Folded(_evenly_ended(text[:SEARCHED]))
    return tuple(_sighting(quote, folded, record, url) for quote in quotes)


def _sighting(quote: Quote, text: "_Folded", record: str, url: str) -> QuoteSighting:
    passage = _passage(quote, text)
    start, end = passage.start, passage.end
    is_found = passage.is_found
    return QuoteSighting(
        text=quote.text,
        match=quote.match,
        required=quote.required,
        found=is_found,
        score=round(passage.score, 4),
        exact=text.source[start:end],
        prefix=text.source[max(0, start - CONTEXT) : start] if is_found else "",
        suffix=text.source[end : end + CONTEXT] if is_found else "",
        record=record,
        url=url,
    )


class _Passage(Struct, frozen=True, kw_only=True):
    """A stretch of a text, and how near it comes to a quote."""

    start: int = 0
    end: int = 0
    score: float = 0.0
    is_found: bool = False


def _passage(quote: Quote, text: "_Folded") -> _Passage:
    if quote.match is Match.EXACT:
        return _exact(quote.text, text)
    needle = fold(quote.text)
    at = _hit(needle, text.folded)
    if at >= 0:
        start, end = text.span(at, at + len(needle))
        return _Passage(start=start, end=end, score=1.0, is_found=True)
    near = _nearest(needle, text.folded)
    if not near.end:
        return near
    start, end = text.span(near.start, near.end)
    is_found = (
        quote.match is Match.FUZZY
        and near.score >= quote.at_least
        and _figures(needle) == _figures(text.folded[near.start : near.end])
    )
    return _Passage(start=start, end=end, score=near.score, is_found=is_found)


def _exact(quote: str, text: "_Folded") -> _Passage:
    words = _LINE_END.sub(" ", _evenly_ended(quote)).strip()
    pattern = re.compile(
        rf"(?: |{_LINE_END.pattern})".join(map(re.escape, words.split(" ")))
    )
    found = pattern.search(text.source) if words else None
    while found is not None:
        if _is_whole(text.source, found.start(), found.end()):
            return _Passage(
                start=found.start(), end=found.end(), score=1.0, is_found=True
            )
        found = pattern.search(text.source, found.start() + 1)
    near = _nearest(fold(quote), text.folded)
    start, end = text.span(near.start, near.end) if near.end else (0, 0)
    there = _LINE_END.sub(" ", text.source[start:end])
    return _Passage(start=start, end=end, score=_likeness(words, there))


def _evenly_ended(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _figures(folded: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*", folded)


# ------------------------------------------------------------------------- word ends

# Scripts without blanks between words: Thai to Tibetan, Burmese, Khmer, Han, kana.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_SEPARATORS = ".,'\u2019\u066b\u066c"  # within a number


def _hit(needle: str, text: str) -> int:
    """Find a needle that no word or number runs on beyond; -1 where there is none."""
    at = text.find(needle) if needle else -1
    while at >= 0 and not _is_whole(text, at, at + len(needle)):
        at = text.find(needle, at + 1)
    return at


def _is_whole(text: str, start: int, end: int) -> bool:
    """Tell whether a stretch of text begins and ends where words do."""
    return not (_begins_within(text, start) or _ends_within(text, end))


def _begins_within(text: str, at: int) -> bool:
    """Tell whether what begins at a place begins within a word or a number."""
    return 0 < at < len(text) and (
        _is_in_number(text, at) or _runs_on(text[at], text[at - 1])
    )


def _ends_within(text: str, at: int) -> bool:
    """Tell whether what ends at a place ends within a word or a number."""
    return 0 < at < len(text) and (
        _is_in_number(text, at) or _runs_on(text[at - 1], text[at])
    )


def _is_in_number(text: str, at: int) -> bool:
    """Tell whether a place stands on either side of a separator between digits."""
    return any(
        text[mark] in _SEPARATORS
        and text[mark - 1 : mark].isdigit()
        and text[mark + 1 : mark + 2].isdigit()
        for mark in (at - 1, at)
    )


def _runs_on(inside: str, outside: str) -> bool:
    """Tell whether a character continues the word of the one beside it."""
    if not (_is_of_word(inside) and _is_of_word(outside)):
        return False
    if _UNSPACED.match(inside) or _UNSPACED.match(outside):
        return False
    return inside.isdigit() or not outside.isdigit()


def _is_of_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


# ------------------------------------------------------------------------ normalising

PIECE = 512  # characters folded at a time, at least
WIDEST = 8 * PIECE  # and at most, but for marks that belong to the last

_DROPPED = (
    "\u00ad\u034f\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069"
    "\ufe00-\ufe0f\ufeff"
)
_SINGLE = "`\u00b4\u02bb\u02bc\u2018-\u201b\u2032\u2035\u2039\u203a"
_DOUBLE = "\u00ab\u00bb\u201c-\u201f\u2033\u2036\u301d-\u301f"
_DASHES = "\u2010-\u2015\u2043\u2212\ufe31\ufe32\ufe58"
_DIGITS = "\u0660-\u0669\u06f0-\u06f9"
_SHAPES = (
    (_DROPPED, ""),
    (_SINGLE, "'"),
    (_DOUBLE, '"'),
    (_DASHES, "-"),
    ("\u0649\u064a\ufeef-\ufef4", "\u06cc"),  # yeh
    ("\u0643\u06aa\ufed9-\ufedc", "\u06a9"),  # kaf
    ("\u066b", "."),  # decimal separator
    ("\u066c", ","),  # thousands separator
)
_ODD = re.compile(f"[{''.join(odd for odd, _ in _SHAPES)}{_DIGITS}]+")
_CUT = re.compile(rf"\s[\s{_DROPPED}]*+")


def _members(odd: str) -> Iterator[int]:
    """Name the characters that a part of a regular expression's class stands for."""
    for first, last in re.findall("(.)(?:-(.))?", odd):
        yield from range(ord(first), ord(last or first) + 1)


_EVEN: dict[int, str] = {
    **{char: even for odd, even in _SHAPES for char in _members(odd)},
    **{char: str(int(chr(char))) for char in _members(_DIGITS)},
}


def fold(text: str) -> str:
    """Write a text as ``normalized`` compares it, without blanks at its ends."""
    # First what NFKC would take apart, or make of it what is odd again.
    even = _ODD.sub(lambda odd: odd[0].translate(_EVEN), text)
    if "--" in even:
        even = re.sub("--+", "-", even)
    return " ".join(unicodedata.normalize("NFKC", even).casefold().split())


class _Folded:
    """A text as compared, and the way back to where each character of it stood."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._starts: list[int] = []  # of pieces, in the source
        self._at: list[int] = []  # of the same, folded
        pieces, size = [], 0
        for start, end, is_blank in _pieces(source):
            piece = fold(source[start:end])
            piece += " " if piece and is_blank else ""
            self._starts.append(start)
            self._at.append(size)
            pieces.append(piece)
            size += len(piece)
        self._starts.append(len(source))
        self.folded = "".join(pieces)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the source a stretch of the folded text stands."""
        return self._back(start, is_end=False), self._back(end, is_end=True)

    def _back(self, at: int, *, is_end: bool) -> int:
        number = bisect.bisect_right(self._at, at - is_end) - 1
        first, last = self._starts[number : number + 2]
        # A character begins behind all that folds to no more than stands before it,
        # and ends with the first that makes up its length.
        side = bisect.bisect_left if is_end else bisect.bisect_right
        steps = side(range(first, last), at - self._at[number], key=self._size(first))
        if not is_end:
            return first + steps - 1
        end = first + steps
        while end < last and unicodedata.combining(self.source[end]):
            end += 1
        return end

    def _size(self, start: int) -> Callable[[int], int]:
        return lambda end: len(fold(self.source[start:end]))


def _pieces(text: str) -> Iterator[tuple[int, int, bool]]:
    """Cut a text behind blanks, or where nothing hangs together; tell which."""
    start = 0
    while start < len(text):
        cut = _CUT.search(text, start + PIECE, start + WIDEST)
        end = cut.end() if cut else min(start + WIDEST, len(text))
        while not cut and end < len(text) and _hangs_on(text[end]):
            end += 1
        yield start, end, cut is not None
        start = end


def _hangs_on(char: str) -> bool:
    """Tell whether a character may melt into the one before it (UAX 15)."""
    is_jamo = "\u1160" <= char <= "\u11ff"
    return is_jamo or unicodedata.category(char).startswith("M")


# ------------------------------------------------------------------------ the nearest

LONGEST = 4_000  # characters of a quote whose nearest passage is looked for
SHINGLE = 3  # characters that are looked up together; of short quotes, fewer
SHORT = 12
MOST_SHINGLES = 96
MOST_HITS = 20_000  # of all shingles together; the commonest tell the least
PLACES = 3  # looked at closely
LONG = 500  # characters of a quote for which one place must do
REACH = 64  # characters by which a passage is stretched to whole words


def _nearest(needle: str, text: str) -> _Passage:
    """Find the passage most like a needle: first where, then exactly what."""
    if not needle or len(needle) > LONGEST:
        return _Passage()
    best = _Passage()
    for start, end in _places(needle, text):
        near = _aligned(needle, text, start, end)
        best = max(best, near, key=lambda one: one.score)
    return best


def _places(needle: str, text: str) -> list[tuple[int, int]]:
    """Choose the stretches of a text that share the most with a needle."""
    width = max(len(needle), 2 * SHINGLE)
    votes: dict[int, float] = {}
    for shingle, count in _rarest(needle, text):
        weight = math.log(2 + len(text) / count)
        last, at = -1, text.find(shingle)
        while at >= 0:
            bucket = at // width
            if bucket != last:
                votes[bucket] = votes.get(bucket, 0.0) + weight
                last = bucket
            at = text.find(shingle, at + 1)
    best = heapq.nlargest(
        PLACES if len(needle) < LONG else 1,
        votes,
        key=lambda bucket: votes[bucket] + votes.get(bucket + 1, 0.0),
    )
    slack = width // 4
    return [(max(0, at * width - slack), (at + 2) * width + slack) for at in best]


def _rarest(needle: str, text: str) -> Iterator[tuple[str, int]]:
    """Yield some shingles of a needle with their counts in the text, rarest first."""
    size = SHINGLE if len(needle) >= SHORT else 1 + (len(needle) > SHINGLE)
    starts = range(len(needle) - size + 1)
    step = max(1, len(starts) // MOST_SHINGLES)
    shingles = {needle[at : at + size] for at in starts[::step]} - {" "}
    hits = 0
    for count, shingle in sorted((text.count(one), one) for one in shingles):
        if count and (hits + count <= MOST_HITS or not hits):
            hits += count
            yield shingle, count


def _aligned(needle: str, text: str, start: int, end: int) -> _Passage:
    """Fit a needle into a stretch of text, and that to whole words."""
    place = text[start:end]
    distances = _distances(needle, place, is_anchored=False)
    stop = distances.index(min(distances))
    back = _distances(needle[::-1], place[:stop][::-1], is_anchored=True)
    first = stop - back.index(min(back))
    few = 1 if len(needle) >= LONG else 2
    return max(
        (
            _Passage(start=a, end=b, score=_likeness(needle, text[a:b]))
            for a in _whole_starts(text, start + first)[:few]
            for b in _whole_ends(text, start + stop)[:few]
            if a < b and _is_whole(text, a, b)
        ),
        key=lambda one: one.score,
        default=_Passage(),
    )


def _whole_starts(text: str, at: int) -> tuple[int, int]:
    """Return where the word at a place starts, and where the next one does."""
    at += text.startswith(" ", at)
    out = into = at
    while at - out < REACH and _begins_within(text, out):
        out -= 1
    while into - at < REACH and _begins_within(text, into):
        into += 1
    return out, into + text.startswith(" ", into)


def _whole_ends(text: str, at: int) -> tuple[int, int]:
    """Return where the word at a place ends, and where the one before does."""
    at -= text.endswith(" ", 0, at)
    out = into = at
    while out - at < REACH and _ends_within(text, out):
        out += 1
    while at - into < REACH and _ends_within(text, into):
        into -= 1
    return out, into - text.endswith(" ", 0, into)


def _likeness(one: str, other: str) -> float:
    longer = max(len(one), len(other))
    if not longer:
        return 0.0
    return 1 - _distances(one, other, is_anchored=True)[-1] / longer


def _distances(needle: str, text: str, *, is_anchored: bool) -> list[int]:
    """Return the edit distance of a needle to each prefix of a text.

    Not anchored, to the likest suffix of each prefix. Myers' bit vectors in the form
    of Hyyro (2003): one machine word, or one long integer, holds a whole column.
    """
    if not needle:
        return list(range(len(text) + 1)) if is_anchored else [0] * (len(text) + 1)
    masks: dict[str, int] = {}
    for bit, char in enumerate(needle):
        masks[char] = masks.get(char, 0) | 1 << bit
    full, top = (1 << len(needle)) - 1, 1 << (len(needle) - 1)
    up, down, distance = full, 0, len(needle)
    told = [distance]
    for char in text:
        equal = masks.get(char, 0)
        same = ((((equal & up) + up) ^ up) | equal | down) & full
        rise, fall = (down | ~(same | up)) & full, up & same
        distance += bool(rise & top) - bool(fall & top)
        rise, fall = (rise << 1 | is_anchored) & full, (fall << 1) & full
        up, down = (fall | ~(same | rise)) & full, rise & same
        told.append(distance)
    return told
