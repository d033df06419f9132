"""A page and a style sheet name what they need, resolved as browsers resolve it."""

import os
import time
from pathlib import Path

import ada_url
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import ChunkedDataReader

from pipeline.capture import requisites
from pipeline.capture.content import PAGE_LIMIT, charset, decode, media_type
from pipeline.capture.requisites import in_css, in_html, resolved, srcset

SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
HERE = "https://example.org/news/page?q=1"
TOP = "https://example.org/"
BESIDE = "https://example.org/news/"


def found(html, **options):
    return in_html(html.encode(), "utf-8", options.get("url", HERE))


def named(html):
    return [url.removeprefix(BESIDE) for url in found(html).urls]


NEEDED = {
    "a picture": ("<img src=a.png>", ["a.png"]),
    "a picture in several sizes": ("<img src=a srcset='b 1x, c 2x'>", ["a", "b", "c"]),
    "a picture of several kinds": ("<picture><source srcset='a.webp 100w'><img src=b></picture>", ["a.webp", "b"]),
    "an image, as some write it": ("<image src=a>", ["a"]),
    "a script": ("<script src=a.js></script>", ["a.js"]),
    "a film": ("<video src=a poster=b><source src=c><track src=d></video>", ["a", "b", "c", "d"]),
    "sound": ("<audio src=a></audio>", ["a"]),
    "a frame": ("<iframe src=a></iframe>", ["a"]),
    "a set of frames": ("<frameset><frame src=a><frame src=b></frameset>", ["a", "b"]),
    "objects": ("<object data=a></object><embed src=b>", ["a", "b"]),
    "a button": ("<input type=' Image' src=a><input type=text src=no>", ["a"]),
    "backgrounds": ("<body background=a><table background=b><tr background=c><td background=d><th background=e>", ["a", "b", "c", "d", "e"]),
    "a drawing": ("<svg><image href=a /><image xlink:href=b /><use href='c#x'/><feImage href=d /><script href=e></script></svg>", ["a", "b", "c", "d", "e"]),
    "a part of the same drawing": ("<svg><use href='#x'/></svg>", []),
    "a style attribute": ("<p style='background: url(\"a\") no-repeat'>", ["a"]),
    "a style attribute beside a picture": ("<img style='background:url(b)' src=a>", ["b", "a"]),
    "a style element": ("<style>@import 'a'; p {background: url(b)}</style>", ["a", "b"]),
    "a style in a drawing": ("<svg><style>p {background: url(a)}</style></svg>", ["a"]),
    "a pixel for those without scripts": ("<head><noscript><img src=a></noscript><link rel=icon href=b>", ["a", "b"]),
    "a page within": ("<iframe srcdoc='<img src=a>' src=b></iframe>", ["b", "a"]),
    "a shadow root": ("<div><template shadowrootmode=open><img src=a></template></div>", ["a"]),
    "a template": ("<template><img src=no></template>", []),
    "links to elsewhere": ("<a href=no>x</a><form action=no></form><area href=no><q cite=no>x</q>", []),
    "addresses that hold what they name": ("<img src=data:image/gif;base64,xx><img src=' DATA:,x'><iframe src=about:blank></iframe><script src=javascript:1></script><img src=blob:x><img src='java&#10;script:1'>", []),
    "an empty address": ("<img src=''><img src=' '><img src>", []),
    "each once, in the order they come": ("<img src=b><img src=a><img src='b#c'>", ["b", "a"]),
    "an address in entities": ("<img src='a?x=1&amp;y=2&copy=3'>", ["a?x=1&y=2&copy=3"]),
    "names in capitals": ("<IMG SRC=a><LINK REL=Stylesheet HREF=b>", ["a", "b"]),
}  # fmt: skip


@pytest.mark.parametrize(("html", "expected"), NEEDED.values(), ids=NEEDED.keys())
def test_a_page_names_what_it_needs(html, expected):
    assert named(html) == expected


RELATIONS = {
    "stylesheet": True,
    "alternate stylesheet": True,
    "icon": True,
    "shortcut icon": True,
    "apple-touch-icon": True,
    "apple-touch-icon-precomposed": True,
    "mask-icon": True,
    "preload": True,
    "modulepreload": True,
    "manifest": True,
    "canonical": False,
    "alternate": False,
    "preconnect": False,
    "dns-prefetch": False,
    "prefetch": False,
    "next": False,
    "": False,
}


@pytest.mark.parametrize(("relation", "is_needed"), RELATIONS.items())
def test_a_link_is_needed_for_what_it_is(relation, is_needed):
    assert named(f"<link rel='{relation}' href=a>") == ["a"] * is_needed


def test_a_link_without_a_relation_is_not_needed():
    assert named("<link href=a>") == []


def test_a_preloaded_picture_is_named_in_every_size():
    html = "<link rel=preload as=image href=a imagesrcset='b 1x, c 2x'>"
    assert named(html) == ["a", "b", "c"]


def test_pictures_that_wait_for_a_script_are_named_and_labelled():
    page = found("<img src=a data-src=b data-srcset='c 1x,d 2x'><iframe data-src=e>")
    assert [url.removeprefix(BESIDE) for url in page.urls] == ["a", "b", "c", "d", "e"]
    assert [url.removeprefix(BESIDE) for url in page.lazy] == ["b", "c", "d", "e"]


def test_what_is_named_both_ways_waits_for_no_script():
    assert found("<img data-src=a><img src=a><img data-src=a>").lazy == ()


def test_a_pattern_for_a_script_to_fill_in_is_no_address():
    assert found("<img data-src='a_{width}.png'>").urls == ()


def test_what_waits_on_other_elements_is_left_alone():
    assert found("<div data-src=a></div>").urls == ()


BASES = {
    "none": ("<img src=a>", BESIDE),
    "a path": ("<base href=/b/><img src=a>", TOP + "b/"),
    "another host": ("<base href=//cdn.example/x/y><img src=a>", "https://cdn.example/x/"),
    "behind what it is for": ("<img src=a><base href=/b/>", TOP + "b/"),
    "the first of two": ("<base href=/b/><base href=/c/><img src=a>", TOP + "b/"),
    "the first with an address": ("<base target=x><base href=/b/><img src=a>", TOP + "b/"),
    "one that can't be": ("<base href='http://['><img src=a>", BESIDE),
    "one that holds data": ("<base href=data:,x><img src=a>", BESIDE),
    "one in noscript": ("<noscript><base href=/no/></noscript><img src=a>", BESIDE),
}  # fmt: skip


@pytest.mark.parametrize(("html", "expected"), BASES.values(), ids=BASES.keys())
def test_addresses_are_resolved_against_the_base(html, expected):
    assert found(html).urls == (f"{expected}a",)


def test_the_base_is_told():
    assert found("<base href=/b/c#d>").base == TOP + "b/c"
    assert found("<p>x").base == HERE


WRITTEN = {
    "a path": ("/a/b", TOP + "a/b"),
    "a path with dots": ("/a/../b", TOP + "b"),
    "up": ("../a", TOP + "a"),
    "a host": ("//Cdn.Example:443/a", "https://cdn.example/a"),
    "in full": ("http://example.com/a?b=c", "http://example.com/a?b=c"),
    "a host alone": ("http://EXAMPLE.com", "http://example.com/"),
    "with blanks around": (" \n/a\t", TOP + "a"),
    "with blanks within": ("/a b", TOP + "a%20b"),
    "with line ends within": ("/a\n/b", TOP + "a/b"),
    "with backslashes": ("\\a\\b", TOP + "a/b"),
    "in Persian": ("/زندان", TOP + "%D8%B2%D9%86%D8%AF%D8%A7%D9%86"),
    "a name in Persian": ("http://مثال.ایران/", "http://xn--mgbh0fb.xn--mgba3a4f16a/"),
    "with a query alone": ("?a", BESIDE + "page?a"),
}


@pytest.mark.parametrize(("written", "expected"), WRITTEN.values(), ids=WRITTEN.keys())
def test_an_address_is_resolved_as_browsers_do(written, expected):
    assert found(f"<img src='{written}'>").urls == (expected,)


def test_what_is_no_address_or_of_no_use_is_told_as_dropped():
    page = found("<img src='http://['><img src=ftp://a/b><img src='http://['>")
    assert page.urls == ()
    assert page.dropped == ("http://[", "ftp://a/b")


SRCSETS = {
    "nothing": ("", []),
    "one": ("a", ["a"]),
    "densities": ("a 1x, b 2x", ["a", "b"]),
    "widths without blanks behind the comma": ("a 1w,b 2w", ["a", "b"]),
    "commas in the address": ("a,b,c 1x, d", ["a,b,c", "d"]),
    "a comma at the end of an address": ("a, b", ["a", "b"]),
    "commas about": (",, a ,, b,", ["a", "b"]),
    "data": ("data:image/png;base64,AA 1x, b", ["data:image/png;base64,AA", "b"]),
    "a comma in parentheses": ("a (x, y) 1x, b", ["a", "b"]),
    "parentheses without end": ("a (x, b", ["a"]),
    "line ends": ("\n a 1x,\n\t b 2x\n", ["a", "b"]),
    "only commas": (" , ,", []),
}


@pytest.mark.parametrize(("value", "expected"), SRCSETS.values(), ids=SRCSETS.keys())
def test_every_candidate_of_a_srcset_is_named(value, expected):
    assert list(srcset(value)) == expected


REFRESHES = {
    "as most write it": ("0; url=/next", TOP + "next"),
    "in capitals and quotes": ("5;URL='/next#part'", TOP + "next"),
    "with a comma": ("0,url=/next", TOP + "next"),
    "with blanks alone": ("0 /next", TOP + "next"),
    "without url=": ("0; /next", TOP + "next"),
    "with a fraction": (".5; url=/next", TOP + "next"),
    "with blanks about": (" 1.25 ; url = /next", TOP + "next"),
    "with a quote that does not end": ('0; url="/next', TOP + "next"),
    "with more behind the quotes": ('0; url="/next" x', TOP + "next"),
    "to itself": ("300", ""),
    "to itself by name": (f"300; url={HERE}#top", ""),
    "without a number": ("url=/next", ""),
    "without a separator": ("0url=/next", ""),
    "to nothing": ("0; url=", ""),
    "to a script": ("0; url=javascript:1", ""),
    "to what is no address": ("0; url=http://[", ""),
}


@pytest.mark.parametrize(("told", "expected"), REFRESHES.values(), ids=REFRESHES.keys())
def test_a_meta_refresh_is_told_and_is_no_requisite(told, expected):
    told = told.replace('"', "&quot;")
    page = found(f'<meta http-equiv=Refresh content="{told}">')
    assert page.refresh == expected
    assert page.urls == ()


def test_of_two_refreshes_the_first_counts():
    refresh = "<meta http-equiv=refresh content='0;url=/{}'>"
    other = "<meta http-equiv=content-type content=text/html>"
    page = found(other + refresh.format("a") + refresh.format("b"))
    assert page.refresh == TOP + "a"


def test_a_refresh_for_those_without_scripts_does_not_count():
    html = "<noscript><meta http-equiv=refresh content='0;url=/a'></noscript>"
    assert found(html).refresh == ""


def test_a_page_within_pages_without_end_is_left():
    html = "<img src=a{}>"
    for level in range(6):
        inner = html.replace("&", "&amp;").replace('"', "&quot;")
        html = f'<img src=b{level}><iframe srcdoc="{inner}"></iframe>'
    assert named(html) == ["b5", "b4", "b3", "b2"]


# ------------------------------------------------------------------------ style sheets

SHEETS = {
    "url": ("a {background: url(a)}", ["a"]),
    "url in quotes": ("a {background: url( 'a b' )}", ["a%20b"]),
    "several": ('a {background: url(a), URL("b")}', ["a", "b"]),
    "@import": ("@import 'a'; @import url(b) screen; @IMPORT url('c') layer(x);", ["a", "b", "c"]),
    "@import of words behind it": ("@import 'a' supports(content: 'no');", ["a"]),
    "a font": ("@font-face {src: url(a) format('woff2'), local('no'), url('b')}", ["a", "b"]),
    "image-set": ("a {background: image-set('a' 1x, url(b) 2x, 'c' type('image/png'))}", ["a", "b", "c"]),
    "-webkit-image-set": ("a {background: -webkit-image-set(url(a) 1x)}", ["a"]),
    "src()": ("a {background: src('a')}", ["a"]),
    "within @media": ("@media print {a {background: url(a)} @supports (x: y) {b {c: url(b)}}}", ["a", "b"]),
    "in a custom property": ("a {--b: url(a)}", ["a"]),
    "escapes": ("a {background: u\\72l(a\\62)}", ["ab"]),
    "a comment": ("/* url(no) */ a {b: url(a)}", ["a"]),
    "words": ("a {content: 'url(no)'; b: 'no'}", []),
    "@namespace": ("@namespace svg url(http://no); @namespace 'no'; a {b: url(a)}", ["a"]),
    "part of the page itself": ("a {filter: url(#a)}", []),
    "data": ("a {b: url(data:image/png;base64,xx)}", []),
    "an address broken": ("a {b: url(a b c)} c {d: url(e)}", ["e"]),
    "without end": ("a {b: url(a", ["a"]),
    "nothing to read": ("a {color: red}", []),
    "nothing": ("", []),
}  # fmt: skip


@pytest.mark.parametrize(("css", "expected"), SHEETS.values(), ids=SHEETS.keys())
def test_a_style_sheet_names_what_it_needs(css, expected):
    sheet = in_css(css.encode(), "utf-8", BESIDE + "style.css")
    assert [url.removeprefix(BESIDE) for url in sheet.urls] == expected
    assert sheet.base == BESIDE + "style.css"


def test_a_style_sheet_is_read_in_its_encoding():
    sheet = in_css("a {b: url(é)}".encode("windows-1252"), "windows-1252", TOP)
    assert sheet.urls == (TOP + "%C3%A9",)


@pytest.mark.parametrize("part", ["(", "{", "[({", "url('a' ", "@import ", "\\", "/*", "u+"])  # fmt: skip
def test_a_hostile_style_sheet_takes_time_by_size_alone(part):
    start = time.process_time()
    in_css(b"a {b: url(x)}" + part.encode() * 20_000, "utf-8", TOP)
    assert time.process_time() - start < 60


# ----------------------------------------------------------------------------- bounds


def test_addresses_beyond_the_bound_are_left_and_it_is_said(monkeypatch):
    monkeypatch.setattr(requisites, "MOST_URLS", 3)
    page = found("".join(f"<img src=a{n}>" for n in range(5)))
    assert (len(page.urls), page.complete) == (3, False)
    sheet = in_css(b"a {b: url(a) url(b) url(c) url(d)}", "utf-8", TOP)
    assert (len(sheet.urls), sheet.complete) == (3, False)


def test_a_page_too_large_is_read_as_far_as_it_goes():
    page = found("<img src=a>" + " " * PAGE_LIMIT + "<img src=b>")
    assert ([url.removeprefix(BESIDE) for url in page.urls], page.complete) == (
        ["a"],
        False,
    )


def test_what_names_a_user_is_never_fetched():
    page = found(
        "<img src=http://a@b.example/><img src=//a:b@c.example/x><img src=/d@e>"
    )
    assert [url.removeprefix(TOP) for url in page.urls] == ["d@e"]
    assert page.dropped == ("http://a@b.example/", "//a:b@c.example/x")


def test_styles_beyond_the_bound_are_not_read(monkeypatch):
    monkeypatch.setattr(requisites, "CSS_LIMIT", 60)
    page = "<style>a {b: url(a)}</style><p style='b: url(b)'><p style='cc: url(c)'>"
    assert named(page + "<style>" + " " * 60 + "d {e: url(d)}</style>") == [
        "a",
        "b",
        "c",
    ]


def test_a_refresh_after_digits_without_end_takes_no_time():
    start = time.process_time()
    assert found(f"<meta http-equiv=refresh content='{'1' * 100_000}'>").refresh == ""
    assert time.process_time() - start < 30  # measured 0.01; in each way, minutes


def test_three_thousand_pictures_take_no_time():
    html = "".join(f'<img src="/images/{n}.jpg" alt="a picture">' for n in range(3000))
    start = time.process_time()
    assert len(found(html).urls) == 3000
    assert time.process_time() - start < 10  # measured 0.02; this is a fuse


def test_a_hostile_page_still_names_what_it_needs():
    assert named("<div>" * 20_000 + "<img src=a>") == ["a"]


# ----------------------------------------------------------------------------- any text

PATHS = st.text(alphabet="ab/.:?&=,;@!$()*+~_-%#'\\ é0", max_size=20)
HOSTS = st.from_regex(r"https?://[a-zA-Z0-9.:@%-]{1,20}", fullmatch=True)


@settings(max_examples=400)
@given(st.one_of(PATHS, PATHS.map("/{}".format), st.tuples(HOSTS, PATHS).map("".join)))
def test_the_short_way_and_the_parser_agree(written):
    escaped = written.replace("&", "&amp;").replace('"', "&quot;")
    page = found(f'<img src="{escaped}">')
    text = written.partition("#")[0].strip()
    try:
        expected = ada_url.join_url(HERE, text) if text else ""
    except ValueError:
        expected = ""
    is_meant = expected.startswith("http") and not ada_url.URL(expected).username
    is_meant = is_meant and not ada_url.URL(expected).password
    assert page.urls == ((expected,) if is_meant else ())


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data):
    for read in (in_html, in_css):
        for url in read(data, "utf-8", HERE).urls:
            assert resolved(url, HERE) == url


@settings(max_examples=100)
@given(st.text(alphabet="ab ,()", max_size=40))
def test_any_srcset_can_be_read(value):
    for url in srcset(value):
        assert url in value
        assert " " not in url


RECORDINGS = sorted((SHARED / "data" / "real").glob("*.warc.gz"))


@pytest.mark.skipif(not RECORDINGS, reason=f"no recordings in {SHARED}/data/real")
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_most_of_what_real_pages_need_was_recorded_with_them(recording):
    recorded, wanted = set(), set()
    with recording.open("rb") as file:
        for record in ArchiveIterator(file):
            url = record.rec_headers.get_header("WARC-Target-URI", "")
            recorded.add(url)
            head = record.http_headers
            if record.rec_type != "response" or head is None:
                continue
            told = head.get_header("content-type", "")
            coding = head.get_header("content-encoding", "")
            read = {"text/html": in_html, "text/css": in_css}.get(media_type(told))
            if read and head.get_statuscode() == "200":
                body = ChunkedDataReader(record.raw_stream, decomp_type=None)
                data = decode(body.read(), coding).data
                wanted |= set(read(data, charset(data, told), url).urls)
    assert wanted
    assert len(wanted & recorded) / len(wanted) > 0.5, sorted(wanted - recorded)


def test_a_large_style_sheet_is_cut_behind_rules_and_names_what_it_did():
    rule = "@media x { .a { background: url(/#) ; content: '}' } } /* } */ "
    sheet = "".join(rule.replace("#", str(n)) for n in range(4000))
    pieces = list(requisites.portions(sheet))
    assert "".join(pieces) == sheet
    assert len(pieces) > 2
    assert all(piece.endswith("} }") for piece in pieces[:-1])
    assert len(in_css(sheet.encode(), "utf-8", TOP).urls) == 4000


def test_a_block_without_end_is_cut_within():
    sheet = "@media x {" + ".a { b: url(/c) }" * 40_000
    pieces = list(requisites.portions(sheet))
    assert "".join(pieces) == sheet
    assert max(map(len, pieces)) <= 4 * requisites.PORTION + 20
