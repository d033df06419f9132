"""One source, from its manifest entry to a capture, against servers on loopback."""

import gzip
import hashlib
import json
import socket
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from origins import FixedClock, Origin, answer, redirect

from pipeline import __version__, warc
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.http import ANALYSED
from pipeline.capture.markup import MOST_TAGS
from pipeline.capture.robots import Robots
from pipeline.capture.visit import (
    TEXT_PATH,
    TOO_MUCH,
    Task,
    header_values,
    requested,
    user_agent,
    visit,
)
from pipeline.clock import SystemClock
from pipeline.errors import InterruptedRunError, UsageError
from pipeline.model import (
    Digest,
    EventType,
    Identify,
    Previous,
    Purpose,
    Quote,
    RobotsPolicy,
    Source,
    Verdict,
)

WARC_PATH = "data/objects/capture.warc.gz"
GIF = answer(b"GIF89a", kind="image/gif")
PAGE = "<!doctype html><title>The report</title><p>About 1,500 people were killed.<img src=/a.gif>"
ROBOTS = {"/robots.txt": answer(b"User-agent: *\nDisallow: /private", kind="text/plain")}  # fmt: skip


def page(text=PAGE, **fields):
    return answer(text.encode(), kind="text/html; charset=utf-8", **fields)


def quote(text, **told):
    return Quote(text=text, **told)


@pytest.fixture
def captured(network, tmp_path):
    """Visit a URL once; fields of the source and of the task may vary."""
    visits = []

    def run(url, door=None, *, asked=None, **told):
        folder = tmp_path / f"visit{len(visits)}"
        folder.mkdir()
        visits.append(folder)
        kept = {key: told.pop(key) for key in ("contact", "previous") if key in told}
        told = {"retries": 0, "delay": timedelta(0), "robots": RobotsPolicy.IGNORE} | told  # fmt: skip
        source = Source(id="one", url=url, **told)
        task = Task(source=source, folder=folder, about=(("software", "test"),), **kept)
        home = visit(task, network=door or network(), robots=asked or Robots())
        return Home(home, folder)

    return run


class Home:
    """A visit brought home, and what stands in its folder."""

    def __init__(self, visited, folder):
        self.capture, self.index, self.folder = visited.capture, visited.index, folder

    @property
    def said(self):
        return self.capture.verdict, self.capture.reasons

    @property
    def records(self):
        return list(warc.read(self.folder / WARC_PATH))

    def of(self, kind):
        return [record for record in self.records if record.type == kind]

    @property
    def bytes(self):
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        blocks = b"".join(record.block for record in self.records)
        return b"".join(path.read_bytes() for path in files) + blocks


# --------------------------------------------------------------------------- verdicts


def short(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")


def resetting(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def stalling(connection):
    short(connection)
    connection.recv(1)


WORTH = {
    "a page": (page(), "captured", ()),
    "a picture": (GIF, "captured", ()),
    "404": (page(status="404 Not Found"), "refused", ("http-404",)),
    "an empty 404": (answer(b"", status="404 Not Found"), "refused", ("http-404",)),
    "401": (page(status="401 Unauthorized"), "refused", ("http-401",)),
    "403": (page(status="403 Forbidden"), "refused", ("http-403",)),
    "410": (page(status="410 Gone"), "refused", ("http-410",)),
    "429": (page(status="429 Too Many"), "refused", ("http-429",)),
    "451": (page(status="451 Law"), "refused", ("http-451",)),
    "500": (page(status="500 Oh"), "refused", ("http-500",)),
    "a status nobody knows": (page(status="799 What"), "refused", ("http-799",)),
    "a redirect without Location": (answer(b"", status="302 Found"), "refused", ("http-302",)),
    "a wait too long": (page(status="503 Busy", Retry_After="9999"), "failed", ("deferred",)),
    "nothing in it": (answer(b""), "suspect", ("empty",)),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "suspect", ("empty",)),
    "closed early": (short, "partial", ("truncated-disconnect",)),
    "silent in the middle": (stalling, "partial", ("truncated-time",)),
    "too large": (answer(b"x" * 9000), "partial", ("truncated-length",)),
    "no HTTP": (lambda s: s.sendall(b"hello"), "partial", ("framing",)),
    "two lengths": (lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "partial", ("framing",)),
    "closed without a word": (lambda _: None, "failed", ("no-response",)),
    "reset": (resetting, "failed", ("reset",)),
    "silence": (lambda s: s.recv(1), "failed", ("timeout",)),
    "a redirect to a file": (redirect("file:///etc/passwd"), "failed", ("unsupported-scheme",)),
    "a redirect to itself": (redirect("/"), "failed", ("redirect-limit",)),
    "a redirect inside": (redirect("http://127.0.0.2/"), "failed", ("blocked-address",)),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "verdict", "reasons"), WORTH.values(), ids=WORTH)
def test_what_came_is_kept_and_judged(wire, verdict, reasons, captured, network):
    with Origin({"/": wire, "/a.gif": GIF}) as site:
        got = captured(
            site.url + "/",
            network(SystemClock()),
            timeout=timedelta(seconds=0.3),
            max_size=5000,
        )
    assert got.said == (verdict, reasons)
    assert got.capture.detail
    main = got.capture.exchanges[-1 if verdict != "captured" else 0]
    assert bool(main.response) is bool(main.size)
    if isinstance(wire, bytes) and len(wire) < 5000:
        assert got.of("response")[0].block == wire


def test_a_refused_connection_a_dead_name_and_a_bad_certificate_fail(captured, network, authority):  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert captured(f"http://127.0.0.1:{port}/").said == ("failed", ("connect",))

    def resolve(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    got = captured("http://nowhere.example/", network(resolve=resolve))
    assert got.said == ("failed", ("dns",))
    assert got.capture.payload is None
    assert got.of("metadata")[0].block.startswith(b"failure: dns\r\n")
    with Origin({"/": page()}, tls=authority.server("localhost", expired=True)) as site:
        url = f"https://localhost:{site.port}/"
        assert captured(url, network(SystemClock(), cacert=authority.path)).said == ("failed", ("tls",))  # fmt: skip


def test_an_answer_after_redirects_and_retries_is_captured(captured):
    left = [answer(b"", status="503 Busy"), redirect("/b#x"), page()]
    with Origin(lambda path: GIF if path == "/a.gif" else left.pop(0)) as site:
        got = captured(site.url + "/a?b#part", retries=2)
        assert site.requests == ["/a?b", "/a?b", "/b", "/a.gif"]
    assert got.said == ("captured", ())
    assert got.capture.final_url == f"{site.url}/b"
    assert [e.status for e in got.capture.exchanges] == [503, 302, 200, 200]
    assert got.capture.exchanges[1].location == f"{site.url}/b"


# ------------------------------------------------------------------- words and quotes


def test_the_words_of_a_page_are_an_artefact_and_a_record(captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/")
    text = (got.folder / TEXT_PATH).read_bytes()
    assert text.strip() == b"About 1,500 people were killed."
    (resource,) = got.of("resource")
    main = got.of("response")[0].field("WARC-Record-ID")
    assert resource.block == text
    assert resource.field("WARC-Target-URI") == f"urn:text:{site.url}/"
    assert resource.field("WARC-Refers-To") == main
    artefact = got.capture.artefacts[1]
    assert (artefact.path, artefact.derived_from) == (TEXT_PATH, main)
    (event,) = [e for e in got.capture.events if e.type is EventType.CREATION]
    assert event.objects == (TEXT_PATH, main)
    assert got.capture.page_title == "The report"


@pytest.mark.parametrize("told", [{"text": False}, {"robots": RobotsPolicy.IGNORE}])
def test_no_text_is_kept_where_none_is_wanted_or_there_is_none(told, captured):
    wire = page() if "text" in told else GIF
    with Origin({"/": wire, "/a.gif": GIF}) as site:
        got = captured(site.url + "/", **told)
    assert not (got.folder / TEXT_PATH).exists()
    assert len(got.capture.artefacts) == 1


def test_artefacts_and_payload_carry_the_digests_of_what_is_there(captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/")
    for artefact in got.capture.artefacts:
        data = (got.folder / artefact.path).read_bytes()
        assert artefact.size == len(data)
        for digest in artefact.digests:
            assert digest.hex == hashlib.new(digest.algorithm, data).hexdigest()
    assert [d.algorithm for d in got.capture.artefacts[0].digests] == ["sha256", "sha512"]  # fmt: skip
    assert got.capture.payload.hex == hashlib.sha256(PAGE.encode()).hexdigest()


def test_quotes_are_found_or_missed_and_only_a_required_miss_decides(captured):
    quotes = (
        quote("about 1,500 people", required=True),
        quote("about 2,000 people"),
    )
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", quotes=quotes)
        missed = captured(site.url + "/", quotes=(replace(quotes[1], required=True),))
    found, lost = got.capture.quotes
    assert got.said == ("captured", ())
    assert (found.found, found.exact, found.url) == (True, "About 1,500 people", f"{site.url}/")  # fmt: skip
    assert found.record == got.of("response")[0].field("WARC-Record-ID")
    assert not lost.found
    assert missed.said == ("suspect", ("quote-missing",))
    assert "about 2,000 people" in missed.capture.detail


def test_a_required_quote_is_missed_in_what_cannot_be_read(captured):
    with Origin({"/": GIF}) as site:
        got = captured(site.url + "/", quotes=(quote("words", required=True),))
    assert got.said == ("suspect", ("quote-missing",))


PERSIAN = "کشته‌شدگان اعتراضات"
TEXTS = {
    "UTF-8": ("text/plain; charset=utf-8", "utf-8"),
    "windows-1256": ("text/plain; charset=windows-1256", "windows-1256"),
    "a page in windows-1256": ("text/html; charset=windows-1256", "windows-1256"),
    "JSON": ("application/json", "utf-8"),
    "UTF-16 with its mark": ("text/plain", "utf-16"),
}


@pytest.mark.parametrize(("kind", "encoding"), TEXTS.values(), ids=TEXTS.keys())
def test_words_are_found_in_the_character_set_of_the_page(kind, encoding, captured):
    written = PERSIAN.replace("ی", "ي") if "1256" in encoding else PERSIAN
    body = f"... {written} ...".encode(encoding)
    with Origin({"/": answer(body, kind=kind)}) as site:
        got = captured(site.url + "/", quotes=(quote(PERSIAN, required=True),))
    assert got.said == ("captured", ())


LABELS = ["iso-8859-8-i", "x-mac-cyrillic", "x-user-defined", "replacement", "hex", "utf-7", "no such", "\xe9"]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_no_name_of_a_character_set_stops_a_visit(label, kind, captured):
    with Origin({"/": answer(b"plain words", kind=f"{kind}; charset={label}")}) as site:
        got = captured(site.url + "/", quotes=(quote("plain words"),))
    assert got.capture.verdict is Verdict.CAPTURED


def test_a_compressed_page_is_read_and_kept_as_it_came(captured):
    wire = answer(gzip.compress(PAGE.encode(), mtime=0), Content_Encoding="gzip")
    with Origin({"/": wire, "/a.gif": GIF}) as site:
        got = captured(site.url + "/", quotes=(quote("1,500 people", required=True),))
    assert got.said == ("captured", ())
    assert got.of("response")[0].block == wire


# -------------------------------------------------------------------------- unchanged


def known(body=PAGE, **told):
    told = {"verdict": Verdict.CAPTURED} | told
    return Previous(
        bag="bag-of-yesterday",
        captured_at=FixedClock().at - timedelta(days=1),
        payload=Digest("sha256", hashlib.sha256(body.encode()).hexdigest()),
        record="<urn:uuid:old>",
        url="http://a.example/",
        **told,
    )


def test_the_same_bytes_are_a_revisit_and_nothing_else_is_asked(captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", previous=known(), also=(f"{site.url}/also",), quotes=(quote("1,500"),))  # fmt: skip
        assert site.requests == ["/"]
    assert got.said == ("unchanged", ())
    assert "bag-of-yesterday" in got.capture.detail
    (revisit,) = got.of("revisit")
    assert got.of("response") == got.of("resource") == []
    assert revisit.field("WARC-Refers-To") == "<urn:uuid:old>"
    assert got.capture.payload == known().payload
    assert got.capture.quotes[0].record == revisit.field("WARC-Record-ID")
    assert len(got.capture.artefacts) == 1


CHANGED = {
    "other bytes": known("other"),
    "was suspect": known(verdict=Verdict.SUSPECT),
    "was partial": known(verdict=Verdict.PARTIAL),
    "payload not known": replace(known(), payload=None),
}


@pytest.mark.parametrize("previous", CHANGED.values(), ids=CHANGED.keys())
def test_anything_else_is_kept_whole(previous, captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", previous=previous)
    assert got.said == ("captured", ())
    assert got.of("response")[0].block == page()


def test_the_same_bytes_that_lack_a_quote_now_required_are_kept_whole(captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", previous=known(), quotes=(quote("not there", required=True),))  # fmt: skip
        assert "/a.gif" in site.requests
    assert got.said == ("suspect", ("quote-missing",))
    assert got.of("response")[0].block == page()


def test_the_same_bytes_as_an_error_are_kept_whole(captured):
    wire = page(status="404 Not Found")
    with Origin({"/": wire}) as site:
        got = captured(site.url + "/", previous=known())
    assert got.said == ("refused", ("http-404",))
    assert got.of("response")[0].block == wire


# ----------------------------------------------------------------------------- robots

OBEY, RECORD = RobotsPolicy.OBEY, RobotsPolicy.RECORD


def test_what_robots_forbids_is_not_asked_where_the_manifest_obeys(captured):
    with Origin(ROBOTS | {"/private": page()}) as site:
        got = captured(site.url + "/private", robots=OBEY)
        assert site.requests == ["/robots.txt"]
    assert got.said == ("refused", ("robots",))
    assert "robots.txt disallows it" in got.capture.detail
    assert [e.purpose for e in got.capture.exchanges] == [Purpose.ROBOTS]
    assert got.of("response")[0].block == ROBOTS["/robots.txt"]
    assert (got.capture.final_url, got.capture.payload) == ("", None)


def test_what_robots_forbids_is_noted_where_the_manifest_records(captured):
    with Origin(ROBOTS | {"/private": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/private", robots=RECORD)
        assert site.requests == ["/robots.txt", "/private", "/a.gif"]
    assert got.said == ("captured", ())
    assert got.capture.notes == ("robots.txt disallows it",)
    assert got.of("response")[0].block == ROBOTS["/robots.txt"]


def test_what_robots_permits_is_asked_where_the_manifest_obeys(captured):
    with Origin(ROBOTS | {"/": GIF}) as site:
        assert captured(site.url + "/", robots=OBEY).said == ("captured", ())


def test_nobody_asks_for_robots_where_the_manifest_ignores_it(captured):
    with Origin(ROBOTS | {"/private": GIF}) as site:
        got = captured(site.url + "/private")
        assert site.requests == ["/private"]
    assert got.capture.notes == ()


def test_robots_is_asked_once_and_kept_in_every_warc(captured):
    robots = Robots()
    with Origin(ROBOTS | {"/a": GIF, "/b": GIF}) as site:
        visits = [
            captured(site.url + path, asked=robots, robots=RECORD)
            for path in ("/a", "/b")
        ]
        assert site.requests == ["/robots.txt", "/a", "/b"]
    for got in visits:
        assert got.of("response")[0].block == ROBOTS["/robots.txt"]
        assert got.of("request")[0].block.startswith(b"GET /robots.txt")
        assert got.capture.exchanges[0].response is not None


# -------------------------------------------------------------------------- alternates


def test_alternates_are_kept_with_what_they_need_and_decide_nothing(captured):
    pages = {
        "/": GIF,
        "/old": redirect("/mirror"),
        "/mirror": page("<img src=/a.gif>"),
        "/a.gif": answer(b"", status="404 Not Found"),
        "/gone": answer(b"", status="410 Gone"),
        "/cut": short,
    }
    with Origin(pages) as site:
        also = tuple(f"{site.url}{path}" for path in ("/old", "/gone", "/cut"))
        got = captured(site.url + "/", also=also)
    assert got.said == ("captured", ())
    assert got.capture.final_url == f"{site.url}/"
    assert got.capture.requisites.missing == ()
    told = [(e.purpose, e.url.removeprefix(site.url)) for e in got.capture.exchanges]
    assert told == [
        (Purpose.DOCUMENT, "/"),
        (Purpose.ALTERNATE, "/old"),
        (Purpose.ALTERNATE, "/mirror"),
        (Purpose.REQUISITE, "/a.gif"),
        (Purpose.ALTERNATE, "/gone"),
        (Purpose.ALTERNATE, "/cut"),
    ]


def test_alternates_are_kept_where_the_source_is_gone(captured):
    with Origin({"/mirror": GIF}) as site:
        got = captured(site.url + "/", also=(f"{site.url}/mirror",))
    assert got.said == ("refused", ("http-404",))
    assert got.of("response")[1].block == GIF


def test_an_alternate_obeys_robots_as_well(captured):
    with Origin(ROBOTS | {"/": GIF, "/mirror": GIF}) as site:
        also = (f"{site.url}/private", f"{site.url}/mirror")
        got = captured(site.url + "/", also=also, robots=OBEY)
        assert site.requests == ["/robots.txt", "/", "/mirror"]
    assert got.said == ("captured", ())
    assert f"{site.url}/private: robots.txt disallows it" in got.capture.notes
    assert sum(e.purpose is Purpose.ROBOTS for e in got.capture.exchanges) == 1


# -------------------------------------------------------------------------- requisites


def test_what_a_page_needs_is_asked_unless_it_is_not_wanted(captured):
    with Origin({"/": page()}) as site:
        asked = captured(site.url + "/")
        spared = captured(site.url + "/", requisites=False)
    assert asked.said == spared.said == ("captured", ())
    assert asked.capture.requisites.missing == (f"{site.url}/a.gif",)
    assert spared.capture.requisites.wanted == 0


def test_what_a_refusal_needs_is_not_asked(captured):
    with Origin({"/": page(status="403 Forbidden")}) as site:
        captured(site.url + "/")
        assert site.requests == ["/"]


def test_a_limit_that_was_met_is_noted(captured):
    with Origin({"/": page("<img src=/a><img src=/b>")}) as site:
        got = captured(site.url + "/", max_requisites=1)
    assert got.capture.notes == ("requisites: stopped at max_requisites, 1",)


# ----------------------------------------------------------------- what a site is told


def test_a_site_hears_who_asks_and_a_contact_only_where_that_is_wanted(captured):
    with Origin({"/": GIF}) as site:
        captured(site.url + "/", contact="desk@archive.example", lang="fa")
        captured(site.url + "/", contact="desk@archive.example", identify=Identify.CONTACT)  # fmt: skip
        one, two = (head.decode() for head in site.heads)
    product = f"User-Agent: Muniment/{__version__} (archiving of cited sources"
    assert f"{product})\r\n" in one
    assert "desk@archive.example" not in one
    assert "Accept-Language: fa, *;q=0.5\r\n" in one
    assert f"{product}; desk@archive.example)\r\n" in two
    assert "Accept-Language" not in two
    assert "Accept-Encoding: gzip, deflate, br\r\n" in two
    assert user_agent(Identify.CONTACT, "") == user_agent(Identify.PRODUCT, "a")


SECRET = "s3cr3t-from-elsewhere"


def test_secrets_are_sent_and_stand_in_no_byte_that_is_kept(captured, tmp_path, monkeypatch):  # fmt: skip
    monkeypatch.setenv("MUNIMENT_TEST_KEY", SECRET)
    file = tmp_path / "key"
    file.write_text(f"{SECRET}-two\n")
    headers = (
        ("Authorization", "env:MUNIMENT_TEST_KEY"),
        ("X-Key", f"file:{file}"),
        ("Accept-Language", "fa"),
    )
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", headers=headers, lang="en")
        head = site.heads[0].decode()
    assert f"Authorization: {SECRET}\r\n" in head
    assert f"X-Key: {SECRET}-two\r\n" in head
    assert "Accept-Language: fa\r\n" in head
    assert SECRET.encode() not in got.bytes + got.index
    assert SECRET not in repr(got.capture)
    remark = got.of("metadata")[0]
    assert remark.block == b"masked-request-header: Authorization\r\nmasked-request-header: X-Key\r\n"  # fmt: skip


def test_a_secret_within_another_is_masked_as_well(captured, monkeypatch):
    monkeypatch.setenv("MUNIMENT_TEST_ONE", "abcdef")
    monkeypatch.setenv("MUNIMENT_TEST_TWO", "abcdefghijk")
    headers = (("X-One", "env:MUNIMENT_TEST_ONE"), ("X-Two", "env:MUNIMENT_TEST_TWO"))
    with Origin({"/": GIF}) as site:
        got = captured(site.url + "/", headers=headers)
    assert b"ghijk" not in got.bytes


def test_secrets_are_not_sent_elsewhere(captured, network, monkeypatch):
    monkeypatch.setenv("MUNIMENT_TEST_KEY", SECRET)
    with Origin({"/": page("<img src=http://b.example/a.gif>"), "/a.gif": GIF}) as site:
        rules = (ConnectTo(to_host="127.0.0.1", to_port=site.port),)
        door = network(policy=Policy(connect_to=rules))
        headers = (("X-Key", "env:MUNIMENT_TEST_KEY"),)
        captured("http://a.example/", door, headers=headers)
        one, two = site.heads
    assert SECRET.encode() in one
    assert b"Host: b.example" in two
    assert SECRET.encode() not in two
    assert b"X-Key" not in two


UNKNOWN = {
    "no such variable": ("env:MUNIMENT_NO_SUCH", {}, "the environment has no"),
    "an empty variable": ("env:EMPTY", {"EMPTY": " "}, "is empty"),
    "a variable that is no text": ("env:ODD", {"ODD": "a\udcff"}, "can't be read"),
    "no such file": ("file:/no/such/file", {}, "can't be read"),
    "a device": ("file:/dev/zero", {}, "expected a regular file"),
}


@pytest.mark.parametrize(("told", "environ", "words"), UNKNOWN.values(), ids=UNKNOWN)
def test_a_secret_that_is_not_to_be_had_stops_with_its_place(told, environ, words):
    source = Source(id="one", url="http://a.example/", headers=(("X-Key", told),))
    with pytest.raises(UsageError, match=r"sources\.one\.headers\.X-Key") as caught:
        header_values(source, environ)
    assert words in str(caught.value)


def test_a_missing_secret_stops_before_anything_is_asked_or_written(captured, tmp_path):
    with Origin({"/": GIF}) as site:
        with pytest.raises(UsageError):
            captured(site.url + "/", headers=(("X-Key", "file:/no/such/file"),))
        assert site.requests == []
    assert list((tmp_path / "visit0").iterdir()) == []


# ------------------------------------------------------------------------------- URLs

ASKED = {
    "the fragment stays at home": ("http://a.example/x#part", "http://a.example/x"),
    "Persian in a path": ("http://a.example/فا", "http://a.example/%D9%81%D8%A7"),
    "a name in Persian": ("http://نمونه.example/", "http://xn--hhbbbed.example/"),
    "blanks and capitals": ("HTTP://A.Example/a b", "http://a.example/a%20b"),
    "no path": ("http://a.example", "http://a.example/"),
    "escapes as they are": ("http://a.example/%7e%2F", "http://a.example/%7e%2F"),
}


@pytest.mark.parametrize(("url", "asked"), ASKED.values(), ids=ASKED.keys())
def test_a_url_is_asked_for_as_browsers_do(url, asked):
    assert requested(url) == asked


def test_a_url_in_persian_goes_over_the_wire(captured, network):
    with Origin({"/%D9%81?%D8%A8": GIF}) as site:
        rules = (ConnectTo(to_host="127.0.0.1", to_port=site.port),)
        door = network(policy=Policy(connect_to=rules))
        got = captured("http://نمونه.example/ف?ب#پ", door)
        assert site.requests == ["/%D9%81?%D8%A8"]
        assert b"\r\nHost: xn--hhbbbed.example\r\n" in site.heads[0]
    assert got.said == ("captured", ())
    assert got.capture.source.url == "http://نمونه.example/ف?ب#پ"


# ------------------------------------------------------------------------ what is told


def test_a_visit_is_told_with_its_events(captured):
    with Origin({"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/")
    made, kept = got.capture.events
    assert (made.type, made.outcome) == (EventType.CREATION, "success")
    assert (kept.type, kept.outcome) == (EventType.CAPTURE, "captured")
    assert kept.objects == (WARC_PATH,)
    assert len({made.id, kept.id}) == 2
    assert got.capture.started <= made.at <= kept.at <= got.capture.ended


def test_records_of_exchanges_stand_where_they_are_told_to(captured):
    with Origin(ROBOTS | {"/": page(), "/a.gif": GIF}) as site:
        got = captured(site.url + "/", robots=RECORD)
    data = (got.folder / WARC_PATH).read_bytes()
    for exchange in got.capture.exchanges:
        for place in (exchange.response, exchange.request):
            member = gzip.decompress(data[place.offset : place.offset + place.length])
            assert place.id.encode() in member.partition(b"\r\n\r\n")[0]
    urls = [json.loads(line.split(" ", 2)[2])["url"] for line in got.index.decode().splitlines()]  # fmt: skip
    assert len(urls) == 4
    assert f"urn:text:{site.url}/" in urls


def test_a_large_film_is_kept_and_not_looked_at(captured):
    size = 48 * 2**20

    def film(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % size)  # fmt: skip
        piece = bytes(2**20)
        for _ in range(size // len(piece)):
            connection.sendall(piece)

    with Origin({"/": film}) as site:
        tracemalloc.start()
        try:
            got = captured(site.url + "/", quotes=(quote("words"),))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert got.said == ("captured", ())
    assert got.capture.exchanges[0].payload_size == size
    assert most < size / 3


def test_nothing_but_the_bag_to_be_is_left_behind(captured):
    with Origin({"/": answer(b"x" * 3_000_000)}) as site:
        got = captured(site.url + "/", text=False)
    left = [path for path in Path(got.folder).rglob("*") if path.is_file()]
    assert left == [got.folder / WARC_PATH]


def test_a_run_that_is_stopped_leaves_no_file_open(network, captured, tmp_path):
    door = network()

    def last(_path):
        door.stop()
        return page()

    with Origin(last) as site, pytest.raises(InterruptedRunError):
        captured(site.url + "/", door)
    # what was recorded so far is whole
    (written,) = (tmp_path / "visit0").rglob("*.gz")
    assert [r.type for r in warc.read(written)] == ["warcinfo", "response", "request"]


def test_quotes_in_what_we_do_not_read_are_said_not_to_be_looked_for(captured):
    with Origin({"/a.pdf": answer(b"%PDF-1.4", kind="application/pdf")}) as site:
        told = captured(f"{site.url}/a.pdf", quotes=(quote("words"),)).capture
    assert told.verdict is Verdict.CAPTURED
    assert "not looked for: application/pdf" in " ".join(told.notes)


def test_what_was_odd_about_a_coding_is_noted(captured):
    mislabelled = page("<p>plain all along", Content_Encoding="gzip")
    with Origin({"/": mislabelled}) as site:
        told = captured(f"{site.url}/").capture
    assert told.notes


def test_words_that_were_not_read_are_said_not_to_be(captured):
    many = page("<p>a" * (MOST_TAGS + 1))
    large = answer(b"x " * (ANALYSED // 2 + 1), kind="text/plain")
    with Origin({"/many": many, "/large": large}) as site:
        assert TOO_MUCH in captured(f"{site.url}/many").capture.notes
        told = captured(f"{site.url}/large", quotes=(quote("words"),)).capture
    assert f"limit: only the first {ANALYSED} bytes are read" in told.notes
