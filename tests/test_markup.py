"""Pages are parsed as browsers do, and none costs more than its size suggests."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.capture.markup import (
    MOST_TAGS,
    attributes,
    cut,
    flat,
    is_endless,
    is_treacherous,
    parse,
    parted,
    roots,
)


def tree_of(html):
    return parse(html.encode()).tree


def flattened(html):
    return flat(html).html


def numbered(pattern, count):
    return "".join(pattern.replace("#", str(n)) for n in range(count))


HOSTILE = {
    "elements within elements": "<div>" * 15_000,
    "ended by what does not end them": "<div></p>" * 15_000,
    "ended in comments": "<div><!--</div>-->" * 15_000,
    "ended in attributes": '<div a="</div>">' * 15_000,
    "with a quotation mark in the name of an attribute": '<div a">' * 15_000,
    "ended across a table": "<div><table><td></div>" * 10_000,
    "lists within lists": "<ul><li>" * 15_000,
    "kinds of list items in turn": "<table>" + "<dd><li>" * 15_000,
    "ruby texts without ruby, and ends of others": "<rt>" * 15_000 + "</x>" * 15_000,
    "unknown elements and ends of others": "<x>" * 15_000 + "</y>" * 15_000,
    "formatting left open before paragraphs": numbered("<b id=#>", 2000) + "<p>x" * 2000,
    "formatting ended where it does not count": numbered("<b id=#><object></b></object>", 3000) + "<p>x" * 3000,
    "formatting ended with its block": numbered("<div><font id=#></div>", 3000) + "<p>x" * 3000,
    "attributes on one element": "<a " + numbered("x#=1 ", 15_000) + ">",
    "attributes on one picture": "<img " + numbered("x#=1 ", 15_000) + ">",
    "attributes for the root": numbered("<html x#=1>", 15_000),
    "elements in the title of a drawing": "<svg><title>" + "<div>" * 15_000,
}  # fmt: skip


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_page_is_known_and_parsed_in_no_time(html):
    start = time.process_time()
    assert is_treacherous(html)
    assert tree_of(html).root is not None
    assert time.process_time() - start < 60  # unguarded: minutes, or gigabytes


HARMLESS = {
    "a long page": "<div class=a><p>Some <b>words</b> and <a href=/>links</a><br></div>" * 10_000,
    "a long list without ends": "<ul>" + "<li>one" * 10_000 + "</ul>",
    "a long table without ends": "<table>" + "<tr><td>one<td>two" * 10_000 + "</table>",
    "a long glossary without ends": "<dl>" + "<dt>one<dd>two" * 10_000 + "</dl>",
    "many paragraphs without ends": "<p>one" * 10_000,
    "many pictures": "<img src=a alt=b>" * 10_000,
    "ruby without ends": "<ruby>a<rp>(<rt>b<rp>)</ruby>" * 5000,
    "many drawings": '<svg><title>a</title><path d="M0 0"/><style>a{}</style></svg>' * 2000,
    "a script full of tags": "<script>" + "'<div>'+" * 10_000 + "</script>",
    "a long attribute": f'<div data-x="{"word " * 50_000}">',
    "nested as deep as pages are": ("<div>" * 60 + "x" + "</div>" * 60) * 500,
    "unclosed here and there": "<div><b>x</div><div><span>y</div>" * 300,
    "nothing but text": "a < b and c > d " * 50_000,
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("html", HARMLESS.values(), ids=HARMLESS.keys())
def test_an_ordinary_page_is_left_as_it_is(html):
    assert not is_treacherous(html)


def test_a_page_of_more_tags_than_are_read_is_cut_there():
    page = b"<p>one" * (MOST_TAGS + 5)
    assert is_endless(page)
    assert cut(page) == b"<p>one" * MOST_TAGS
    assert not is_endless(cut(page))
    assert cut(b"<p>one") == b"<p>one"


def test_nul_is_no_character_of_a_page():
    assert tree_of("<p>o\0ne").body.text() == "one"


UNENDING = {
    "tags": "<a",
    "attributes": '<a x="',
    "comments": "<!--",
    "declarations": "<!",
    "ends": "</",
    "brackets": "<",
    "scripts": "<script ",
    "ends of scripts": "<script></scrip",
    "equals signs": "<a = ",
    "slashes": "<a //",
}  # fmt: skip


@pytest.mark.parametrize("part", UNENDING.values(), ids=UNENDING.keys())
def test_reading_tags_takes_time_by_size_alone(part):
    start = time.process_time()
    is_treacherous(part * 60_000)
    assert time.process_time() - start < 60


FLAT = {
    "words in blocks": ("<div>one<p>two</p></div>three", "<br>one<br>two<br><br>three"),
    "words in formatting": ("o<b>n</b>e <span>two</span>", "one two"),
    "a picture": ("<IMG SRC='a b' alt=\"x\">", '<img src="a b">'),
    "a quotation mark in a value": ("<img src='a\"b'>", '<img src="a&quot;b">'),
    "a film": ("<video src=v><b>no</b></video>", '<video src="v"></video>no<br>'),
    "a script": ("<script src=s>a<b</script>", '<script src="s">a<b</script><br>'),
    "a comment": ("a<!-- <img src=no> -->b", "ab"),
    "a doctype": ("<!doctype html>a", "a"),
    "a lone bracket": ("a < b", "a &lt; b"),
    "an attribute twice": ("<img src=a src=b>", '<img src="a">'),
}  # fmt: skip


@pytest.mark.parametrize(("html", "expected"), FLAT.values(), ids=FLAT.keys())
def test_a_flat_page_keeps_words_breaks_and_urls(html, expected):
    assert flattened(html).removesuffix("<br>") == expected.removesuffix("<br>")


def test_scripts_are_on_so_noscript_is_text():
    tree = tree_of("<head><noscript><img src=a></noscript><title>t</title>")
    assert tree.css_first("noscript").text() == "<img src=a>"
    assert tree.css_first("head title") is not None


def test_declarative_shadow_roots_are_displayed_and_templates_are_not():
    tree = tree_of(
        "<template><i>no</i></template><div><template shadowrootmode=open><b>one</b>"
        "<p><template shadowrootmode=closed><b>two</b></template></p></template></div>"
    )
    shown = [node.text() for root in roots(tree) for node in root.css("b, i")]
    assert shown == ["one", "two"]


def test_of_attributes_with_one_name_the_first_counts():
    assert attributes(" A=1 a=2 b c='x y' d=\"q\" / e") == {
        "a": "1",
        "b": "",
        "c": "x y",
        "d": "q",
        "e": "",
    }


@settings(max_examples=100)
@given(st.text(alphabet="<>/!-=\"' abdivspn", max_size=80))
def test_any_text_can_be_parsed_and_flattened(html):
    assert tree_of(html).root is not None
    assert tree_of(flattened(html)).root is not None
    assert len(flattened(html)) <= 8 * len(html)


@settings(max_examples=50)
@given(st.text(alphabet="abc &;", max_size=40))
def test_flattening_changes_no_words(words):
    plain = tree_of(f"<body>{words}").body
    as_flat = tree_of(flattened(f"<body>{words}")).body
    assert as_flat.text() == plain.text()


def test_a_tree_of_many_attributes_is_not_built():
    tag = (
        "<p "
        + " ".join(f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40))
        + ">"
    )
    assert is_treacherous(tag * 10_000)
    assert not is_treacherous(tag * 100)


def test_a_flat_page_keeps_as_many_elements_as_have_room_and_all_words():
    found = flat("<img src=a>x" * 90_000)
    assert not found.complete
    assert found.html.count("<img") < 60_000
    assert found.html.count("x") == 90_000
    assert parse(b"<img src=a>x" * 90_000).complete is False
    assert parse(b"<img src=a>x" * 90).complete is True


def test_a_long_text_stands_in_several_nodes_and_reads_as_one():
    words = "word &amp; \u00e9\U0001f600 " * 20_000
    assert parted(words).replace("<!---->", "") == words
    assert tree_of(f"<p>{words}").body.text() == words.replace("&amp;", "&")
    assert parted(f"<script>{words}</script>") == f"<script>{words}</script>"
