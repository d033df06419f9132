"""The demo site keeps its promises, and breaks those it is there to break."""

import re
import socket
import struct
import threading
import zlib
from http.client import HTTPConnection, HTTPResponse, IncompleteRead

import pytest
import requests

from pipeline.newsroom import FIRST_EDITION, HOST, QUOTE, Newsroom, answer

PAGES = {
    "robots.txt is plain text": ("/robots.txt", 200, "text/plain"),
    "the article is HTML": ("/article", 200, "text/html; charset=utf-8"),
    "the style sheet is CSS": ("/style.css", 200, "text/css"),
    "the imported style sheet is CSS": ("/type.css", 200, "text/css"),
    "the script is JavaScript": ("/minutes.js", 200, "text/javascript"),
    "the report is a PDF": ("/report.pdf", 200, "application/pdf"),
    "the old address has moved": ("/old-address", 301, "text/html; charset=utf-8"),
    "it has moved once more": ("/moved", 302, "text/html; charset=utf-8"),
    "the new address stands": ("/new-address", 200, "text/html; charset=utf-8"),
    "the gone page has a body": ("/gone", 404, "text/html; charset=utf-8"),
    "an unknown path is lost": ("/nothing", 404, "text/html; charset=utf-8"),
    "a query changes nothing": ("/article?from=home", 200, "text/html; charset=utf-8"),
}
PICTURES = ("paper", "icon", "shelves", "register", "register-2x")


@pytest.fixture
def site():
    with Newsroom() as newsroom:
        yield newsroom


@pytest.fixture
def visitor(site):
    connection = HTTPConnection("127.0.0.1", site.port, timeout=10)
    yield connection
    connection.close()


def get(visitor: HTTPConnection, path: str, method: str = "GET") -> HTTPResponse:
    visitor.request(method, path, headers={"Host": HOST})
    return visitor.getresponse()


@pytest.mark.parametrize(("path", "status", "media_type"), PAGES.values(), ids=PAGES)
def test_each_page_has_its_status_and_its_type(visitor, path, status, media_type):
    response = get(visitor, path)
    body = response.read()
    assert (response.status, response.getheader("Content-Type")) == (status, media_type)
    assert body


def test_one_connection_carries_every_request(visitor):
    get(visitor, "/article").read()
    first = visitor.sock
    get(visitor, "/gone").read()
    assert visitor.sock is first


def test_the_old_address_leads_to_the_new_one_in_two_steps(site):
    response = requests.get(f"http://127.0.0.1:{site.port}/old-address", timeout=10)
    assert [hop.status_code for hop in response.history] == [301, 302]
    assert response.url.endswith("/new-address")


def test_the_article_says_the_words_that_the_demo_looks_for():
    text = answer("/article").body.decode()
    paragraphs = [
        re.sub(r"\s+", " ", p) for p in re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
    ]
    assert sum(QUOTE in paragraph for paragraph in paragraphs) == 1


def test_the_article_needs_nine_files_and_only_the_counter_is_missing():
    text = answer("/article").body.decode()
    needed = set(re.findall(r'(?:src|rel="stylesheet" href)="([^"]+)"', text))
    needed |= set(re.findall(r'rel="icon"[^>]* href="([^"]+)"', text))
    needed |= set(re.findall(r"(/\S+) \dx", text))
    for sheet in ("/style.css", "/type.css"):
        needed |= set(re.findall(r'url\("([^"]+)"\)', answer(sheet).body.decode()))
    assert len(needed) == 9
    assert {path for path in needed if answer(path).status == 404} == {"/counter.js"}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png(name):
    page = answer(f"/{name}.png")
    rest, kinds, pixels = page.body.removeprefix(b"\x89PNG\r\n\x1a\n"), [], b""
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        kind, data = rest[4:8], rest[8 : 8 + length]
        assert zlib.crc32(kind + data) == int.from_bytes(rest[8 + length : 12 + length])
        kinds.append(kind)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[:8])
        if kind == b"IDAT":
            pixels = zlib.decompress(data)
        rest = rest[12 + length :]
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert len(pixels) == height * (1 + width)


def test_every_offset_of_the_report_points_at_its_object():
    pdf = answer("/report.pdf").body
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n\Z", pdf)[1])
    lines = pdf[start:].split(b"\n")
    assert lines[0] == b"xref"
    count = int(lines[1].split()[1])
    entries = lines[2 : 2 + count]
    assert {len(entry) for entry in entries} == {19}  # and its line feed: 20 bytes
    for number, entry in enumerate(entries[1:], start=1):
        assert pdf[int(entry[:10]) :].startswith(b"%d 0 obj\n" % number)
    assert f"/Size {count} ".encode() in pdf


def test_the_length_of_the_reports_stream_is_right():
    pdf = answer("/report.pdf").body
    length, stream = re.search(
        rb"/Length (\d+) >>\nstream\n(.*)\nendstream", pdf, re.DOTALL
    ).groups()
    assert int(length) == len(stream)


def test_the_liar_sends_less_than_it_promised_and_hangs_up(visitor):
    response = get(visitor, "/liar")
    promised = int(response.getheader("Content-Length"))
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    assert len(caught.value.partial) == promised - 4096


def test_the_ticker_stays_the_same_within_an_edition(visitor):
    first, second = (get(visitor, "/ticker").read() for _ in range(2))
    assert first == second


def test_the_ticker_changes_when_an_edition_is_published(site, visitor):
    before = get(visitor, "/ticker")
    old = before.read()
    assert site.publish() == 2
    after = get(visitor, "/ticker")
    assert after.read() != old
    assert (before.getheader("ETag"), after.getheader("ETag")) == (
        '"edition-1"',
        '"edition-2"',
    )
    assert before.getheader("Date") == "Mon, 02 Mar 2026 06:00:00 GMT"
    assert after.getheader("Date") == "Tue, 03 Mar 2026 06:00:00 GMT"


def test_no_other_page_changes_with_the_edition():
    assert answer("/article", edition=1) == answer("/article", edition=5)


def test_there_are_more_editions_than_headlines():
    bodies = {answer("/ticker", edition=number).body for number in range(1, 12)}
    assert len(bodies) == 11


def test_pages_are_dated_by_the_first_edition_and_not_by_the_clock(visitor):
    response = get(visitor, "/article")
    response.read()
    assert response.getheader("Date") == f"{FIRST_EDITION:%a, %d %b %Y %H:%M:%S} GMT"


def test_a_head_request_gets_the_length_and_no_body(visitor):
    response = get(visitor, "/article", "HEAD")
    assert response.read() == b""
    assert int(response.getheader("Content-Length")) == len(answer("/article").body)


def test_the_newsroom_remembers_what_it_was_asked_for(site, visitor):
    get(visitor, "/article?a=1").read()
    get(visitor, "/gone", "HEAD").read()
    assert site.requests == (("GET", "/article?a=1"), ("HEAD", "/gone"))


def test_many_visitors_at_once_are_all_counted(site):
    def visit():
        connection = HTTPConnection("127.0.0.1", site.port, timeout=10)
        for _ in range(5):
            get(connection, "/icon.png").read()
        connection.close()

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join()
    assert site.requests == (("GET", "/icon.png"),) * 40


def test_a_visitor_that_hangs_up_rudely_disturbs_nobody(site, visitor, capsys):
    with socket.create_connection(("127.0.0.1", site.port)) as rude:
        # RST instead of FIN, before the answer can be read
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        rude.sendall(
            b"GET /shelves.png HTTP/1.1\r\nHost: newsroom.example\r\n\r\n" * 50
        )
    assert get(visitor, "/article").status == 200
    assert capsys.readouterr().err == ""


def test_the_site_tells_where_it_really_listens(site):
    assert site.connect_to == f"newsroom.example:80:127.0.0.1:{site.port}"


def test_closing_the_newsroom_hangs_up_on_idle_visitors():
    before = threading.active_count()
    with Newsroom() as site:
        visitor = HTTPConnection("127.0.0.1", site.port, timeout=10)
        get(visitor, "/article").read()
        idle = visitor.sock
    assert threading.active_count() == before
    assert idle.recv(1) == b""
    visitor.close()


def test_a_closed_newsroom_takes_no_more_visitors():
    with Newsroom() as site:
        port = site.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
