"""What a body says is read as a browser would read it, whatever the bytes."""

import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.bufferedreaders import ChunkedDataReader

from pipeline.capture import content, markup
from pipeline.capture.content import (
    PAGE_LIMIT,
    agrees,
    charset,
    css_charset,
    decode,
    media_type,
    read_html,
    sniff,
    to_text,
)
from pipeline.capture.markup import MOST_TAGS

SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))

# ------------------------------------------------------------------------ media types

TYPES = {
    "plain": ("text/html", "text/html"),
    "with a charset": ("Text/HTML; charset=utf-8", "text/html"),
    "with blanks": (" image/svg+xml ;", "image/svg+xml"),
    "none": ("", ""),
    "no type at all": ("html", ""),
    "nonsense": ("text/html/x", ""),
    "two at once": ("text/html, text/plain", ""),
}


@pytest.mark.parametrize(("told", "expected"), TYPES.values(), ids=TYPES.keys())
def test_a_content_type_names_a_media_type(told, expected):
    assert media_type(told) == expected


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    return file.getvalue()


SNIFFED = {
    "a doctype": (b"<!DOCTYPE html>", "text/html"),
    "a page behind blanks, a mark and comments": (b"\xef\xbb\xbf \n<!-- c -->\n<HTML lang=en>", "text/html"),
    "a fragment": (b"<p>words", "text/html"),
    "XHTML behind its declaration": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">', "text/html"),
    "XML": (b'<?xml version="1.0"?><rss/>', "application/xml"),
    "a drawing": (b'<svg xmlns="x">', "image/svg+xml"),
    "a drawing behind a declaration": (b'<?xml version="1.0"?><!DOCTYPE svg><svg>', "image/svg+xml"),
    "an object": (b' {"a": 1}', "application/json"),
    "an empty object": (b"{}", "application/json"),
    "a list": (b'["a", 1]', "application/json"),
    "a list of numbers": (b"[1, 2]", "application/json"),
    "a script that starts with a block": (b'{"use strict";}', ""),
    "PDF": (b"%PDF-1.7\n", "application/pdf"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0", "image/png"),
    "JPEG": (b"\xff\xd8\xff\xe0", "image/jpeg"),
    "GIF": (b"GIF89a..", "image/gif"),
    "WebP": (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    "AVIF": (b"\0\0\0\x20ftypavif", "image/avif"),
    "MP4": (b"\0\0\0\x20ftypisom", "video/mp4"),
    "zip": (zipped(), "application/zip"),
    "gzip": (b"\x1f\x8b\x08\0", "application/gzip"),
    "WOFF2": (b"wOF2\0\1\0\0", "font/woff2"),
    "words": (b"plain words", ""),
    "OTTO in capitals": (b"OTTO VON BISMARCK", ""),
    "nothing": (b"", ""),
    "only a comment": (b"<!-- no more", ""),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), SNIFFED.values(), ids=SNIFFED.keys())
def test_first_bytes_tell_a_type(data, expected):
    assert sniff(data) == expected


AGREEING = {
    "the same": ("text/html", "text/html", True),
    "nothing served": ("", "text/html", True),
    "nothing found": ("text/css", "", True),
    "XHTML": ("application/xhtml+xml", "text/html", True),
    "a feed": ("application/rss+xml", "application/xml", True),
    "a document of an office": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip", True),
    "a favicon": ("image/vnd.microsoft.icon", "image/x-icon", True),
    "sound in an MP4": ("audio/mp4", "video/mp4", True),
    "a page for a picture": ("image/png", "text/html", False),
    "a page for a PDF": ("application/pdf", "text/html", False),
    "one picture for another": ("image/png", "image/jpeg", False),
}  # fmt: skip


@pytest.mark.parametrize(
    ("served", "found", "expected"), AGREEING.values(), ids=AGREEING.keys()
)
def test_types_agree_or_not(served, found, expected):
    assert agrees(served, found) is expected


# ------------------------------------------------------------------------- characters

PERSIAN = "<p>زندان"
CHARSETS = {
    "a mark beats all": (b"\xef\xbb\xbf<meta charset=koi8-r>", "text/html; charset=latin1", "utf-8"),
    "a UTF-16 mark": (b"\xff\xfea\0", "", "utf-16le"),
    "a UTF-16 mark, the other way": (b"\xfe\xff\0a", "", "utf-16be"),
    "the header beats the page": (b"<meta charset=koi8-r>", "text/html; Charset=utf-8", "utf-8"),
    "ISO-8859-1 is windows-1252": (b"", "text/html; charset=ISO-8859-1", "windows-1252"),
    "quoted": (b"", 'text/html; charset="windows-1256"', "windows-1256"),
    "an unknown header, a known page": (b"<meta charset=koi8-r>", "text/html; charset=nonsense", "koi8-r"),
    "a header that is not ASCII": (b"", "text/html; charset=\u0443tf-8", "utf-8"),
    "the page": (b"<html><head><META CharSet='Windows-1256'>", "text/html", "windows-1256"),
    "the page, http-equiv": (b'<meta content="text/html; charset=shift_jis" http-equiv=Content-Type>', "", "shift_jis"),
    "content without http-equiv": (b'<meta content="text/html; charset=koi8-r">\xff', "", "windows-1252"),
    "UTF-16 in ASCII letters": (b"<meta charset=utf-16>", "", "utf-8"),
    "x-user-defined": (b"<meta charset=x-user-defined>", "", "windows-1252"),
    "in a comment": (b"<!-- <meta charset=koi8-r> -->", "", "utf-8"),
    "in an attribute": (b"<a title='<meta charset=koi8-r>'>", "", "utf-8"),
    "the end of a meta": (b"</meta charset=koi8-r>", "", "utf-8"),
    "too late": (b" " * 1030 + b"<meta charset=koi8-r>", "", "utf-8"),
    "an XML declaration": (b'<?xml version="1.0" encoding="windows-1251"?><a/>', "", "windows-1251"),
    "meta beats the XML declaration": (b'<?xml version="1.0" encoding="koi8-r"?><meta charset=gbk>', "", "gbk"),
    "an XML declaration in UTF-16": ("<?xml version='1.0'?>".encode("utf-16le"), "", "utf-16le"),
    "nothing, valid UTF-8": (PERSIAN.encode(), "", "utf-8"),
    "nothing, UTF-8 cut within a character": (PERSIAN.encode()[:-1], "", "utf-8"),
    "nothing, no UTF-8": ("<p>Montaz\xe9ri".encode("latin-1"), "", "windows-1252"),
    "nothing at all": (b"", "", "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "told", "expected"), CHARSETS.values(), ids=CHARSETS.keys()
)
def test_a_text_is_read_in_the_encoding_that_browsers_choose(data, told, expected):
    assert charset(data, told) == expected


SHEETS = {
    "a mark": (b"\xef\xbb\xbfa{}", "text/css; charset=koi8-r", "gbk", "utf-8"),
    "the header": (b'@charset "gbk";', "text/css; charset=koi8-r", "utf-8", "koi8-r"),
    "the rule": (b'@charset "Windows-1251"; a{}', "text/css", "utf-8", "windows-1251"),
    "a rule that can't be": (b'@charset "utf-16le";', "", "koi8-r", "utf-8"),
    "a rule of no encoding": (b'@charset "nonsense";', "", "koi8-r", "koi8-r"),
    "a rule written otherwise": (b"@charset 'gbk';", "", "koi8-r", "koi8-r"),
    "the page": (b"a{}", "", "koi8-r", "koi8-r"),
    "nothing": (b"a{}", "", "", "utf-8"),
}


@pytest.mark.parametrize(
    ("data", "told", "page", "expected"), SHEETS.values(), ids=SHEETS.keys()
)
def test_a_style_sheet_is_read_in_its_own_encoding(data, told, page, expected):
    assert css_charset(data, told, page) == expected


def test_bytes_that_make_no_sense_are_replaced():
    assert to_text(b"\xef\xbb\xbfa\xff", "utf-8") == "a\ufffd"
    assert to_text(b"a", "no-such-encoding") == "a"


@pytest.mark.parametrize("name", ["x-mac-cyrillic", "iso-8859-8-i", "replacement", "x-user-defined", "windows-874", "hz-gb-2312"])  # fmt: skip
def test_every_name_of_the_standard_can_be_read(name):
    assert isinstance(
        to_text(b"words", charset(b"", f"text/html; charset={name}")), str
    )


# -------------------------------------------------------------------- words of a page

WORDS = {
    "blocks on lines of their own": ("<h1>One</h1>two<p>three<div>four</div>five", "One\ntwo\nthree\nfour\nfive"),
    "formatting within a word": ("<b>J</b>ohn <i>D</i><a href=x>oe</a>", "John Doe"),
    "blanks run together": ("  a \n\t b <b> c</b>  <p>  d  ", "a b c\nd"),
    "a hard space stays": ("1&nbsp;500", "1\u00a0500"),
    "breaks": ("a<br>b<br><br>c<hr>d", "a\nb\nc\nd"),
    "a break that may be": ("mas<wbr>sacre", "massacre"),
    "a list": ("<ul><li>a<li>b</ul>", "a\nb"),
    "a table": ("<table><tr><td>a</td> <td></td><td>b<tr><th>c</table>d", "a\tb\nc\nd"),
    "text as written": ("<pre>a  b\n  c</pre><textarea>d\ne</textarea>f\ng", "a b\nc\nd\ne\nf g"),
    "a form": ("<form><label>a</label><select><option>b<option>c</select><button>d</button>e<input value=no></form>", "a\nb\nc\nd\te"),
    "what no one sees": ("a<script>no</script><style>no</style><template>no</template><!-- no --><noscript>no</noscript><title>no</title>b", "ab"),
    "in place of what is seen": ("a<video>no</video><object>no</object><iframe>no</iframe><canvas>no</canvas><audio>no</audio><img alt=no>b", "ab"),
    "hidden": ("a<p hidden>no</p><p hidden=hidden>no<b>no</b></p>b", "a\nb".replace("\n", "")),
    "hidden until it is found": ("a<p hidden=until-found>b", "a\nb"),
    "dialogues": ("<dialog>no</dialog><dialog open>yes</dialog>", "yes"),
    "closed details": ("<details><summary>a</summary>b</details>", "a\nb"),
    "ruby": ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢kan"),
    "a drawing": ("<svg><title>no</title><desc>no</desc><text>a</text></svg>", "a"),
    "a formula": ("<math><mi>x</mi><annotation>no</annotation></math>", "x"),
    "a shadow root": ("<div><template shadowrootmode=open><p>a</p><slot></slot></template>b</div>", "a\nb"),
    "hidden in a shadow root": ("<div><template shadowrootmode=open><p hidden>no</p>a</template></div>", "a"),
    "nothing": ("", ""),
    "only frames": ("<frameset><frame src=a></frameset>", ""),
    "entities": ("&lt;a&gt; &amp; &eacute;&#x6cc;", "<a> & éی"),
    "NUL": ("a\0b", "ab"),
    "ends of nothing": ("</div></p>a</b>b</html>c", "a\nbc".replace("a\nb", "ab")),
}  # fmt: skip


@pytest.mark.parametrize(("html", "expected"), WORDS.values(), ids=WORDS.keys())
def test_the_visible_words_of_a_page_are_read(html, expected):
    assert read_html(f"<body>{html}".encode(), "utf-8").text == expected


TITLES = {
    "in the head": ("<head><title> A \n B </title>", "A B"),
    "in the body": ("<p>x<title>A</title>", "A"),
    "the first of two": ("<title>A</title><title>B</title>", "A"),
    "of a drawing": ("<svg><title>A</title></svg>", ""),
    "behind that of a drawing": (
        "<body><svg><title>A</title></svg><title>B</title>",
        "B",
    ),
    "none": ("<p>x", ""),
}


@pytest.mark.parametrize(("html", "expected"), TITLES.values(), ids=TITLES.keys())
def test_a_page_has_its_own_title(html, expected):
    assert read_html(html.encode(), "utf-8").title == expected


def test_a_page_says_its_language():
    assert read_html(b"<!doctype html><html lang=' fa '>", "utf-8").lang == "fa"
    assert read_html(b"<p>x", "utf-8").lang == ""


def test_a_page_is_read_in_its_encoding():
    assert read_html("<p>زندان".encode("windows-1256"), "windows-1256").text == "زندان"


def test_a_page_too_large_is_read_as_far_as_it_goes():
    page = read_html(b"<p>a" + b" " * PAGE_LIMIT + b"<p>b", "utf-8")
    assert (page.text, page.complete) == ("a", False)
    assert read_html(b"<p>a", "utf-8").complete


def test_a_page_of_more_tags_than_are_read_says_so():
    page = read_html(b"<p>a" * (MOST_TAGS + 1), "utf-8")
    assert (page.text.count("a"), page.complete) == (MOST_TAGS, False)


def test_more_words_than_are_read_are_cut_there_and_it_is_said(monkeypatch):
    monkeypatch.setattr(content, "WORDS_LIMIT", 12)
    page = read_html(b"<p>some words<p>and some more", "utf-8")
    assert (page.text, page.complete) == ("some words\nan", False)
    assert content.read_text(b"some words and some more", "utf-8") == ("some words a", False)  # fmt: skip
    assert content.read_text("ab\u00e9".encode(), "utf-8") == ("ab\u00e9", True)


def test_blanks_without_end_take_no_time():
    start = time.process_time()
    assert read_html(b"x" + b"<i> </i>" * 45_000 + b"y", "utf-8").text == "x y"
    assert time.process_time() - start < 60  # measured 0.2; this is a fuse


def test_a_page_nested_without_end_is_read_all_the_same():
    assert read_html(b"<div>" * 20_000 + b"words", "utf-8").text == "words"


def test_half_a_million_characters_take_no_time():
    part = "<div class=x><p>Some <b>words</b> of a text, and a <a href=/x>link</a>.</p></div>"
    data = (part * (500_000 // len(part))).encode()
    start = time.process_time()
    read_html(data, "utf-8")
    assert time.process_time() - start < 30  # measured 0.1; this is a fuse


@settings(max_examples=100)
@given(
    st.binary(max_size=200),
    st.sampled_from(["utf-8", "windows-1256", "utf-16le", "gb18030"]),
)
def test_any_bytes_can_be_read(data, encoding):
    page = read_html(data, encoding)
    assert page.text == page.text.strip(" \t\n")
    assert charset(data, "")
    assert isinstance(sniff(data), str)


@settings(max_examples=50)
@given(st.lists(st.text("abcé ی&<", min_size=1), max_size=5))
def test_words_put_in_a_page_are_read(words):
    body = "".join(
        f"<p>{text.replace('&', '&amp;').replace('<', '&lt;')}" for text in words
    )
    lines = [" ".join(text.split(" ")).strip(" ") for text in words]
    said = [" ".join(part for part in line.split(" ") if part) for line in lines]
    assert read_html(body.encode(), "utf-8").text == "\n".join(filter(None, said))


# ----------------------------------------------------------------------- real records

RECORDINGS = sorted((SHARED / "data" / "real").glob("*.warc.gz"))


def pages(recording):
    with recording.open("rb") as file:
        for record in ArchiveIterator(file):
            head = record.http_headers
            told = head.get_header("content-type", "") if head else ""
            if record.rec_type == "response" and media_type(told) == "text/html":
                coding = head.get_header("content-encoding", "")
                body = ChunkedDataReader(record.raw_stream, decomp_type=None)
                yield decode(body.read(), coding).data, told


@pytest.mark.skipif(not RECORDINGS, reason=f"no recordings in {SHARED}/data/real")
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_real_pages_are_read_and_none_is_taken_for_hostile(recording):
    found = [
        (read_html(data, charset(data, told)), to_text(data, charset(data, told)))
        for data, told in pages(recording)
    ]
    assert found
    assert all(page.title and page.text for page, html in found if "<title>" in html)
    assert not any(markup.is_treacherous(html) for _, html in found)
