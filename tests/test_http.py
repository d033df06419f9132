"""The HTTP engine: a document, what it needs level by level, alternates."""

import socket
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from origins import LOOPBACK, FixedClock, Origin, answer, redirect

from pipeline import warc
from pipeline.capture.client import LONGEST_URL, Client, Manner
from pipeline.capture.http import (
    CSS_DEPTH,
    FRAME_DEPTH,
    REFRESH_LIMIT,
    SOON_KEPT,
    HttpEngine,
    body_of,
    is_text,
)
from pipeline.capture.records import WARC_PATH, Records
from pipeline.capture.wire import Recording
from pipeline.model import Purpose, Source

GIF = answer(b"GIF89a", kind="image/gif")


def css(text, **fields):
    return answer(text.encode(), kind="text/css", **fields)


def page(text):
    return answer(text.encode(), kind="text/html; charset=utf-8")


@dataclass
class Outcome:
    requisites: object
    notes: tuple
    exchanges: list
    records: list
    asked: list = field(default_factory=list)

    @property
    def missing(self):
        return {url.partition("/")[2].partition("/")[2] for url in self.requisites.missing}  # fmt: skip


@pytest.fixture
def captured(network, tmp_path):
    """Capture a page with what it needs; ``door`` and fields of the source may vary."""

    def run(site, door=None, **told):
        told = {"requisite_delay": timedelta(0), "retries": 0} | told
        source = Source(id="one", url=f"{site.url}/", **told)
        door = door or network()
        client = Client(network=door, source=source, folder=tmp_path, headers={})
        records = Records(tmp_path, clock=door.clock, about=())
        engine = HttpEngine(client=client, records=records, source=source)
        try:
            landing = engine.approach(source.url, Purpose.DOCUMENT)
            body = body_of(landing.last.reply.url, landing.message)
            engine.land(landing)
            requisites, notes = engine.requisites_of(body)
        finally:
            records.finish()
        kept = list(warc.read(tmp_path / WARC_PATH))
        return Outcome(requisites, notes, engine.exchanges, kept, list(site.requests))

    return run


def test_a_page_its_styles_and_pictures_are_kept_once_each(captured):
    site = Origin(
        {
            "/": page('<link rel=stylesheet href=a.css><img src=a.gif><img src="a.gif#x"><img src="/"><p style="background:url(c.gif)">'),
            "/a.css": css("@import 'b.css'; p { background: url(a.gif) }"),
            "/b.css": css("p { background: url(b.gif) }"),
            "/a.gif": GIF,
            "/b.gif": GIF,
            "/c.gif": GIF,
        }
    )  # fmt: skip
    with site:
        got = captured(site)
    assert sorted(got.asked) == ["/", "/a.css", "/a.gif", "/b.css", "/b.gif", "/c.gif"]
    assert (got.requisites.wanted, got.requisites.kept) == (5, 5)
    assert got.requisites.missing == got.notes == ()
    assert [e.purpose for e in got.exchanges] == [Purpose.DOCUMENT] + [Purpose.REQUISITE] * 5  # fmt: skip
    assert sum(record.type == "response" for record in got.records) == 6


def test_each_is_asked_for_on_behalf_of_what_needs_it(captured):
    pages = {"/": page("<link rel=stylesheet href=a.css>"), "/a.css": css("@import 'b.css'"), "/b.css": css("")}  # fmt: skip
    with Origin(pages) as site:
        got = captured(site)
        told = [head.decode().partition("Referer: ")[2].split("\r\n")[0] for head in site.heads]  # fmt: skip
        assert told == ["", f"{site.url}/", f"{site.url}/a.css"]
        assert [e.referrer for e in got.exchanges] == told


def test_imports_are_followed_to_a_depth_and_what_lies_beyond_is_listed(captured):
    def sheets(path):
        if path == "/":
            return page("<link rel=stylesheet href=/1>")
        return css(f"@import '/{int(path[1:]) + 1}'")

    with Origin(sheets) as site:
        got = captured(site)
    assert got.asked == ["/"] + [f"/{n}" for n in range(1, CSS_DEPTH + 1)]
    assert got.requisites.missing == (f"{site.url}/{CSS_DEPTH + 1}",)
    assert got.requisites.wanted == CSS_DEPTH + 1
    assert got.requisites.kept == CSS_DEPTH
    assert "nested" in got.notes[0]


def test_frames_are_followed_to_a_depth_and_what_lies_beyond_is_listed(captured):
    def frames(path):
        return page(f"<iframe src=/{int(path[1:] or 0) + 1}></iframe>")

    with Origin(frames) as site:
        got = captured(site)
    assert got.asked == ["/"] + [f"/{n}" for n in range(1, FRAME_DEPTH + 1)]
    assert got.requisites.missing == (f"{site.url}/{FRAME_DEPTH + 1}",)


def test_a_frame_brings_what_it_needs(captured):
    pages = {
        "/": page("<iframe src=/frame></iframe>"),
        "/frame": page("<base href=/sub/><img src=a.gif>"),
        "/sub/a.gif": GIF,
    }
    with Origin(pages) as site:
        assert captured(site).asked == ["/", "/frame", "/sub/a.gif"]


def test_sheets_that_import_one_another_end(captured):
    pages = {"/": page("<link rel=stylesheet href=a.css>"), "/a.css": css("@import 'b.css'"), "/b.css": css("@import 'a.css'; @import 'b.css'")}  # fmt: skip
    with Origin(pages) as site:
        got = captured(site)
    assert got.asked == ["/", "/a.css", "/b.css"]
    assert got.requisites.missing == ()


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (1, 1), (3, 3), (10, 10)])
def test_no_more_than_max_requisites_are_asked_and_the_rest_is_missing(most, kept, captured):  # fmt: skip
    pictures = "".join(f"<img src=/{n}.gif>" for n in range(10))
    with Origin(lambda path: page(pictures) if path == "/" else GIF) as site:
        got = captured(site, max_requisites=most)
    assert len(got.asked) == 1 + kept
    assert (got.requisites.wanted, got.requisites.kept) == (10, kept)
    assert got.requisites.missing == tuple(f"{site.url}/{n}.gif" for n in range(kept, 10))  # fmt: skip
    assert bool(got.notes) is (kept < 10)
    assert all("max_requisites" in note for note in got.notes)


def test_a_page_may_not_need_more_bytes_than_we_take(captured, monkeypatch):
    monkeypatch.setattr("pipeline.capture.http.REQUISITE_BYTES", 5000)
    pictures = "".join(f"<img src=/{n}>" for n in range(5))
    with Origin(lambda path: page(pictures) if path == "/" else answer(b"x" * 3000)) as site:  # fmt: skip
        got = captured(site)
    assert got.requisites.kept == 2
    assert "bytes" in got.notes[0]


def shut(_):
    return None


def short(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")


MISSING = {
    "not there": answer(b"", status="404 Not Found"),
    "broken": answer(b"", status="500 Internal Server Error"),
    "forbidden": answer(b"", status="403 Forbidden"),
    "closed without a word": shut,
    "cut": short,
    "a redirect to nowhere": redirect("file:///x"),
    "a redirect without end": redirect("/it"),
    "asks to wait a day": answer(b"", status="503 Busy", Retry_After="86400"),
    "no status line": lambda s: s.sendall(b"x"),
}


@pytest.mark.parametrize("trouble", MISSING.values(), ids=MISSING.keys())
def test_what_is_not_got_whole_is_missing_and_the_next_is_asked(trouble, captured):
    pages = {"/": page("<img src=/it><img src=/b.gif>"), "/it": trouble, "/b.gif": GIF}
    with Origin(pages) as site:
        got = captured(site)
    assert got.requisites.missing == (f"{site.url}/it",)
    assert (got.requisites.wanted, got.requisites.kept) == (2, 1)
    assert got.asked[-1] == "/b.gif"


def test_a_redirected_requisite_is_kept_with_its_hops(captured):
    pages = {
        "/": page("<link rel=stylesheet href=/a.css>"),
        "/a.css": redirect("/sub/b.css"),
        "/sub/b.css": css("p{background:url(c.gif)}"),
        "/sub/c.gif": GIF,
    }
    with Origin(pages) as site:
        got = captured(site)
    assert got.asked == ["/", "/a.css", "/sub/b.css", "/sub/c.gif"]
    assert (got.requisites.wanted, got.requisites.missing) == (2, ())
    assert got.exchanges[1].location == f"{site.url}/sub/b.css"


def test_a_requisite_is_tried_no_more_than_twice(captured):
    pages = {"/": page("<img src=/a>"), "/a": answer(b"", status="503 Busy")}
    with Origin(pages) as site:
        got = captured(site, retries=3)
    assert got.asked == ["/", "/a", "/a"]
    assert [e.attempt for e in got.exchanges] == [1, 1, 2]


def test_a_requisite_at_a_forbidden_address_is_never_connected_to(captured, network):
    dialled = []

    def dial(ip, port, timeout):
        dialled.append(ip)
        return socket.create_connection((ip, port), timeout)

    door = network(
        allow=(LOOPBACK,),
        dial=dial,
        resolve=lambda host, _: ["127.0.0.2"] if host.endswith(".example") else [host],
    )
    urls = ("http://evil.example/a.gif", "http://127.0.0.2/b.gif", "http://2130706434/c.gif")  # fmt: skip
    text = "".join(f"<img src={url}>" for url in urls)
    with Origin({"/": page(text + "<img src=/ok.gif>"), "/ok.gif": GIF}) as site:
        got = captured(site, door)
    assert set(dialled) == {"127.0.0.1"}
    failures = [e.failure for e in got.exchanges if e.purpose is Purpose.REQUISITE]
    # the last is the address before it, written as one number
    assert failures == ["blocked-address"] * 3 + [""]
    assert got.requisites.kept == 1


class Spy:
    """A network that writes down what is asked of it, and when."""

    def __init__(self, door, heard):
        self._door, self._heard = door, heard
        self.clock = door.clock

    def ahead(self, order):
        self._heard.append(f"ahead {order.url[-1]}")
        return self._door.ahead(order)

    def fetch(self, order):
        self._heard.append(f"fetch {order.url[-1]}")
        return self._door.fetch(order)

    def withdraw(self, order):
        self._heard.append(f"withdraw {order.url[-1]}")
        self._door.withdraw(order)


def test_the_next_is_on_its_way_while_the_last_is_being_kept(
    captured, network, monkeypatch
):
    heard = []
    keep = Records.exchange

    def exchange(records, reply, note):
        heard.append(f"keep {reply.url[-1]}")
        return keep(records, reply, note)

    monkeypatch.setattr(Records, "exchange", exchange)
    pictures = "".join(f"<img src=/{n}>" for n in range(3))
    with Origin(lambda path: page(pictures) if path == "/" else GIF) as site:
        got = captured(site, Spy(network(), heard))
    assert heard[2:] == [
        *("fetch 0", "ahead 1", "keep 0"),
        *("fetch 1", "ahead 2", "keep 1"),
        *("fetch 2", "keep 2"),
    ]
    assert got.asked == ["/", "/0", "/1", "/2"]


def test_what_takes_long_to_keep_is_kept_before_the_next_is_asked(captured, network):
    heard = []
    large = answer(b"x" * (SOON_KEPT + 1), kind="image/gif")
    with Origin(
        lambda path: page("<img src=/0><img src=/1>") if path == "/" else large
    ) as site:
        captured(site, Spy(network(), heard))
    assert heard == ["fetch /", "fetch 0", "fetch 1"]


def test_a_visit_that_breaks_off_gives_up_what_it_sent_ahead(network, tmp_path):
    heard = []
    with Origin(lambda _: GIF) as site:
        source = Source(id="one", url=f"{site.url}/")
        door = Spy(network(), heard)
        client = Client(network=door, source=source, folder=tmp_path, headers={})
        manner = Manner(purpose=Purpose.REQUISITE)
        list(client.hops(source.url, manner))
        client.ahead(f"{site.url}/1", manner)
        assert client.is_ahead
        client.close()
        assert heard[-1] == "withdraw 1"
        list(client.hops(f"{site.url}/2", manner))
        client.close()
    assert heard[-1] == "fetch 2"


class Slow:
    """A network on which every exchange takes its time, told by its clock."""

    def __init__(self, door, seconds):
        self._door = door
        self._seconds = seconds
        self.clock = door.clock

    def ahead(self, order):
        return self._door.ahead(order)

    def fetch(self, order):
        reply = self._door.fetch(order)
        self.clock.seconds += (
            self._seconds
        )  # once the answer is home, so that none is cut
        return reply


def test_the_deadline_in_the_middle_leaves_the_rest_missing(captured, network):
    pictures = "".join(f"<img src=/{n}>" for n in range(5))
    with Origin(lambda path: page(pictures) if path == "/" else GIF) as site:
        got = captured(site, Slow(network(), 3), deadline=timedelta(seconds=8))
    assert len(got.asked) == 3
    assert got.requisites.wanted == 5
    assert len(got.requisites.missing) == 3
    assert got.notes == ("requisites: stopped at the deadline",)


def test_nothing_is_asked_where_the_page_used_up_the_time(captured, network):
    with Origin({"/": page("<img src=/a>")}) as site:
        got = captured(site, Slow(network(), 10), deadline=timedelta(seconds=8))
    assert got.asked == ["/"]
    assert got.requisites.missing == (f"{site.url}/a",)
    assert len(got.exchanges) == 1


def test_requisites_of_one_host_are_spaced(captured, network):
    clock = FixedClock()
    with Origin(lambda path: page("<img src=/a><img src=/b>") if path == "/" else GIF) as site:  # fmt: skip
        captured(site, network(clock), requisite_delay=timedelta(milliseconds=250))
    assert clock.slept == [0.25, 0.25]


def test_a_compressed_sheet_is_read(captured):
    import gzip

    coded = answer(gzip.compress(b"p{background:url(a.gif)}"), kind="text/css", Content_Encoding="gzip")  # fmt: skip
    with Origin({"/": page("<link rel=stylesheet href=a.css>"), "/a.css": coded, "/a.gif": GIF}) as site:  # fmt: skip
        assert captured(site).asked == ["/", "/a.css", "/a.gif"]


# ------------------------------------------------------------------------------ bodies


def message(wire, folder):
    recording = Recording(folder=folder)
    recording.received(wire)
    recording.closed()
    return recording.message()


READABLE = {
    "a page": ("text/html", True),
    "plain text": ("text/plain; charset=x", True),
    "JSON": ("application/json", True),
    "a drawing": ("image/svg+xml", True),
    "nothing told": ("", True),
    "a picture": ("image/png", False),
    "a film": ("video/mp4", False),
    "bytes": ("application/octet-stream", False),
    "a PDF": ("application/pdf", False),
}


@pytest.mark.parametrize(("kind", "readable"), READABLE.values(), ids=READABLE.keys())
def test_what_can_be_read(kind, readable, tmp_path):
    assert is_text(message(answer(b"x", kind=kind), tmp_path)) is readable


def test_a_body_is_decoded_no_further_than_the_limit(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr("pipeline.capture.http.ANALYSED", 1000)
    plain = body_of("http://a.example/", message(answer(b"x" * 5000), tmp_path))
    bomb = answer(gzip.compress(b"x" * 5000), Content_Encoding="gzip")
    coded = body_of("http://a.example/", message(bomb, tmp_path))
    assert len(plain.data) == len(coded.data) == 1000


def test_a_type_that_is_not_told_is_found(tmp_path):
    body = body_of("http://a.example/", message(b"HTTP/1.1 200 OK\r\n\r\n<!doctype html>", tmp_path))  # fmt: skip
    assert body.is_html
    assert not body.is_css


REFRESH = '<meta http-equiv="refresh" content="0; url=/two">'


def approached(captured, pages, **told):
    with Origin({"/robots.txt": answer(b"")} | pages) as site:
        captured(site, **told)
        return site.requests


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        (REFRESH, True),
        (f"{REFRESH}<p>You are being taken there.", True),
        (f"{REFRESH}<p>{'A page with a story of its own. ' * 20}", False),
        (REFRESH.replace("/two", "/"), False),
        ("<p>no refresh", False),
    ],
    ids=[
        "bare",
        "with a word on it",
        "on a page that says something",
        "to itself",
        "none",
    ],
)
def test_a_page_that_only_leads_on_is_a_hop(captured, text, follows):
    pages = {"/": page(text), "/two": page("<p>here")}
    assert ("/two" in approached(captured, pages)) == follows


def test_pages_that_lead_on_in_a_circle_end(captured):
    pages = {"/": page(REFRESH), "/two": page(REFRESH.replace("/two", "/"))}
    assert len(approached(captured, pages)) == REFRESH_LIMIT + 1


def test_an_address_too_long_for_readers_of_the_warc_is_listed_and_not_asked(captured):
    long = "/" + "a" * LONGEST_URL
    with Origin(
        {"/": page(f"<img src={long}><img src=/b.gif>"), "/b.gif": GIF}
    ) as site:
        told = captured(site)
    assert (told.requisites.wanted, told.requisites.kept) == (2, 1)
    assert all(len(url) <= LONGEST_URL for url in told.requisites.missing)
    assert "too long" in " ".join(told.notes)
