"""Which words came and which went."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture import difference as module
from pipeline.capture.difference import KEPT, MOST, WIDEST, difference

LINES = st.lists(st.text(st.characters(categories=("L", "Nd", "Zs")), max_size=8), max_size=12)  # fmt: skip


def test_what_went_and_what_came_is_told_with_its_surroundings():
    found = difference("a\nb\nc\nd\n", "a\nb\nC\nd\n", bag="old")
    assert (found.before, found.removed, found.added, found.is_whole) == ("old", 1, 1, True)  # fmt: skip
    assert found.lines == ("@@ -1,4 +1,4 @@", " a", " b", "-c", "+C", " d")


def test_space_and_empty_lines_are_no_difference():
    assert difference("a  b\n\n\nc", " a b\nc\n", bag="old").lines == ()


def test_a_long_difference_is_cut_and_says_so():
    old, new = ("\n".join(f"{side}{n}" for n in range(KEPT)) for side in "ab")
    found = difference(old, new, bag="old")
    assert len(found.lines) == KEPT
    assert (found.removed, found.added, found.is_whole) == (KEPT, KEPT, False)


def test_a_text_without_end_is_compared_as_far_as_is_bearable():
    long = "\n".join(map(str, range(MOST * 2)))
    found = difference(long, f"{long}\nmore", bag="old")
    assert (found.lines, found.is_whole) == ((), False)


def test_a_line_without_end_is_cut():
    (_, _, came) = difference("a", "b" * 10_000, bag="old").lines
    assert len(came) == WIDEST + 1


@given(LINES, LINES)
def test_a_difference_leads_from_the_one_to_the_other(old, new):
    before, after = "\n".join(old), "\n".join(new)
    found = difference(before, after, bag="old")
    lines = [line for line in found.lines if not line.startswith("@@")]
    taken = [one[1:] for one in lines if one[0] in " -"]
    given_ = [one[1:] for one in lines if one[0] in " +"]
    kept_old, kept_new = list(module._told(before)), list(module._told(after))
    assert (found.lines == ()) is (kept_old == kept_new)
    assert set(taken) <= set(kept_old)
    assert set(given_) <= set(kept_new)
    assert found.removed - found.added == len(kept_old) - len(kept_new)
