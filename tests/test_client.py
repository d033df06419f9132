"""Requests in a row: redirects hop by hop, cookies, referrers, patience."""

import socket
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime

import origins
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from origins import FixedClock, Origin, answer, redirect

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.client import (
    COOKIE_ROOM,
    LONGEST_COOKIE,
    Client,
    Manner,
    referrer,
    resolved,
)
from pipeline.capture.order import Contact, Reply
from pipeline.capture.wire import Recording
from pipeline.model import Purpose, Source

DOCUMENT = Manner(purpose=Purpose.DOCUMENT)
STUBBORN = Manner(purpose=Purpose.DOCUMENT, retries=3)


@pytest.fixture
def client(network, tmp_path):
    """Make clients of one source, on a clock that moves when someone sleeps."""

    def make(door=None, headers=None, url="http://127.0.0.1/", secrets=(), **told):
        return Client(
            network=door or network(),
            source=Source(id="one", url=url, **told),
            folder=tmp_path,
            headers=headers or {"User-Agent": "test"},
            secrets=secrets,
        )

    return make


def named(site, *hosts):
    """Lead names to a server on loopback, whatever the port."""
    return Policy(
        connect_to=tuple(
            ConnectTo(host=host, to_host="127.0.0.1", to_port=site.port)
            for host in hosts
        )
    )


def field(head: bytes, name: str) -> str | None:
    for line in head.decode().split("\r\n"):
        key, colon, value = line.partition(": ")
        if colon and key.lower() == name.lower():
            return value
    return None


# -------------------------------------------------------------------------- redirects


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Gone"]
)
def test_every_kind_of_redirect_is_followed(status, client):
    with Origin({"/": redirect("/there", status), "/there": answer(b"x")}) as site:
        hops = list(client().hops(site.url + "/", DOCUMENT))
    assert [hop.reply.message.head.status for hop in hops] == [int(status[:3]), 200]
    assert [hop.location for hop in hops] == [f"{site.url}/there", ""]
    assert [hop.is_final for hop in hops] == [False, True]


@pytest.mark.parametrize("status", ["300 Choices", "304 Not Modified", "305 Use Proxy"])
def test_what_is_no_redirect_is_an_answer(status, client):
    with Origin({"/": redirect("/there", status)}) as site:
        (hop,) = client().hops(site.url + "/", DOCUMENT)
    assert (hop.is_final, hop.location, hop.stopped) == (True, "", "")


@dataclass(frozen=True, kw_only=True)
class Led:
    told: bytes
    to: str
    base: str = "http://a.example/dir/page?q#part"


LOCATIONS = {
    "absolute": Led(told=b"https://b.example/x", to="https://b.example/x"),
    "relative to the folder": Led(told=b"next", to="http://a.example/dir/next"),
    "relative to the host": Led(told=b"/next", to="http://a.example/next"),
    "only a query": Led(told=b"?p=2", to="http://a.example/dir/page?p=2"),
    "the scheme of the page": Led(told=b"//b.example/", to="http://b.example/"),
    "raw UTF-8": Led(
        told="/فارسی".encode(), to="http://a.example/%D9%81%D8%A7%D8%B1%D8%B3%DB%8C"
    ),
    "Latin-1": Led(told=b"/caf\xe9", to="http://a.example/caf%C3%A9"),
    "a name in Persian": Led(
        told="http://نمونه.example/".encode(), to="http://xn--hhbbbed.example/"
    ),
    "a fragment is dropped": Led(told=b"/x#part", to="http://a.example/x"),
    "a fragment alone": Led(told=b"#part", to="http://a.example/dir/page?q"),
    "a host in capitals": Led(told=b"HTTP://B.EXAMPLE/X", to="http://b.example/X"),
    "dots that climb": Led(told=b"../../../x", to="http://a.example/x"),
    "an address as one number": Led(told=b"http://2130706433/", to="http://127.0.0.1/"),
}


@pytest.mark.parametrize("led", LOCATIONS.values(), ids=LOCATIONS.keys())
def test_a_location_is_resolved_as_browsers_do(led):
    assert resolved(led.base, led.told.decode("latin-1")) == led.to


def test_a_raw_location_is_followed_over_the_wire(client):
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\xd8\xa7#x\r\n\r\n"
    with Origin({"/": head, "/%D8%A7": answer(b"found")}) as site:
        hops = list(client().hops(site.url + "/", DOCUMENT))
        assert site.requests == ["/", "/%D8%A7"]
    assert hops[-1].reply.message.head.status == 200


NOWHERE = [
    "file:///etc/passwd",
    "ftp://a.example/x",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://user@a.example/",
    "http://user:secret@a.example/",
    "http://:secret@a.example/",
    "http://[",
    "http://a b/",
    "http://",
    "https://a.example:99999/",
]


@pytest.mark.parametrize("location", NOWHERE)
def test_a_redirect_to_what_is_no_page_stops_in_words(location, client):
    with Origin({"/": redirect(location)}) as site:
        (hop,) = client().hops(site.url + "/", DOCUMENT)
        assert site.requests == ["/"]
    assert (hop.is_final, hop.stopped, hop.location) == (True, "unsupported-scheme", "")
    assert "redirect" in hop.detail
    assert "secret" not in hop.detail


@given(st.text(st.characters(max_codepoint=255)))
def test_a_location_is_a_page_or_a_value_error(told):
    try:
        target = resolved("https://a.example/b", told)
    except ValueError:
        return
    assert target.startswith(("http://", "https://"))
    assert target.isascii()
    assert "#" not in target


@pytest.mark.parametrize("head", [b"", b"Location:\r\n", b"Location:   \r\n"])
def test_a_redirect_that_leads_nowhere_is_an_answer(head, client):
    page = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n" + head + b"\r\n"
    with Origin({"/": page}) as site:
        (hop,) = client().hops(site.url + "/", DOCUMENT)
    assert (hop.is_final, hop.location, hop.stopped) == (True, "", "")


def test_a_redirect_without_end_stops_after_ten(client):
    with Origin(lambda path: redirect(f"/{int(path[1:]) + 1}")) as site:
        hops = list(client().hops(site.url + "/0", DOCUMENT))
        assert site.requests == [f"/{n}" for n in range(11)]
    assert [hop.is_final for hop in hops] == [False] * 10 + [True]
    assert (hops[-1].stopped, hops[-1].location) == ("redirect-limit", "")
    assert "10 redirects" in hops[-1].detail


def test_ten_redirects_are_not_too_many(client):
    def page(path):
        return answer(b"x") if path == "/10" else redirect(f"/{int(path[1:]) + 1}")

    with Origin(page) as site:
        hops = list(client().hops(site.url + "/0", DOCUMENT))
    assert len(hops) == 11
    assert hops[-1].stopped == ""


def test_a_redirect_to_a_forbidden_address_is_never_connected_to(network, client):
    asked = []

    def dial(ip, port, timeout):
        asked.append((ip, port))
        return socket.create_connection((ip, port), timeout)

    with Origin({"/": redirect("http://inner.example/")}) as site:
        door = network(
            dial=dial,
            resolve=lambda host, _: (
                ["127.0.0.2"] if host == "inner.example" else [host]
            ),
        )
        hops = list(client(door).hops(site.url + "/", STUBBORN))
    assert hops[-1].reply.failure == "blocked-address"
    assert asked == [("127.0.0.1", site.port)]


# ---------------------------------------------------------------------------- cookies


def test_a_cookie_of_one_hop_is_sent_on_the_next(client):
    def page(path):
        if path == "/":
            return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /in\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n\r\n"
        return answer(b"x")

    with Origin(page) as site:
        list(client().hops(site.url + "/", DOCUMENT))
        assert field(site.heads[0], "Cookie") is None
        assert set(field(site.heads[1], "Cookie").split("; ")) == {"a=1", "b=2"}


def test_a_cookie_is_not_sent_to_another_host_nor_by_another_client(network, client):
    def page(path):
        if path == "/":
            return answer(b"", status="302 Found", Location="http://b.example/in", Set_Cookie="a=1; Domain=example")  # fmt: skip
        return answer(b"", status="302 Found", Set_Cookie="c=3; Path=/", Location="http://a.example/out") if path == "/in" else answer(b"x")  # fmt: skip

    with Origin(page) as site:
        door = network(policy=named(site, "a.example", "b.example"))
        list(client(door).hops("http://a.example/", DOCUMENT))
        list(client(door).hops("http://a.example/other", DOCUMENT))
        assert site.requests == ["/", "/in", "/out", "/other"]
        assert [field(head, "Cookie") for head in site.heads] == [None] * 4


HOSTILE_COOKIES = {
    "a bare carriage return": b"a=b\rc",
    "a NUL": b"a=b\0c",
    "a line break in quotes": b'a="b\rHost: evil"',
    "Latin-1": b"a=caf\xe9",
    "no name": b"=x",
    "nothing": b"",
    "an absurd date": b"a=1; Expires=Mon, 99 Foo 99999999999999 99:99:99 GMT",
    "an absurd age": b"a=1; Max-Age=" + b"9" * 400,
    "an absurd version": b"a=1; Version=x",
    "an age of nothing": b"a=1; Max-Age",
    "an age of nothing, and more": b"a=1; Max-Age ; Secure",
}


@pytest.mark.parametrize("told", HOSTILE_COOKIES.values(), ids=HOSTILE_COOKIES.keys())
def test_no_cookie_stops_a_visit(told, client):
    head = (
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /in\r\nSet-Cookie: %s\r\nSet-Cookie: good=1\r\n\r\n"
        % told
    )
    with Origin({"/": head, "/in": answer(b"x")}) as site:
        hops = list(client().hops(site.url + "/", DOCUMENT))
        assert "good=1" in (field(site.heads[1], "Cookie") or "")
    assert hops[-1].reply.message.head.status == 200


def test_no_flood_of_cookies_is_sent_or_kept(client):
    def page(path):
        told = [f"Set-Cookie: {path[1:]}c{n}={'v' * 4000}" for n in range(60)]
        lines = ["HTTP/1.1 302 Found", f"Location: {path}x", "Content-Length: 0", *told]
        return "\r\n".join([*lines, "", ""]).encode()

    with Origin(page) as site:
        made = client()
        list(made.hops(site.url + "/", DOCUMENT))
        sent = field(site.heads[-1], "Cookie")
    assert 8000 < len(sent) <= COOKIE_ROOM
    assert all(cookie.endswith("=" + "v" * 4000) for cookie in sent.split("; "))


def test_no_more_cookies_are_taken_than_a_browser_takes(client, monkeypatch):
    monkeypatch.setattr("pipeline.capture.client.MOST_COOKIES", 3)
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /in\r\n"
    told = b"Set-Cookie: long=" + b"v" * LONGEST_COOKIE + b"\r\n"
    told += b"".join(b"Set-Cookie: c%d=1\r\n" % n for n in range(5))
    with Origin({"/": head + told + b"\r\n", "/in": answer(b"x")}) as site:
        list(client().hops(site.url + "/", DOCUMENT))
        assert field(site.heads[1], "Cookie") == "c0=1; c1=1; c2=1"


def test_a_cookie_of_the_manifest_is_kept_beside_those_of_the_server(client):
    page = {
        "/": answer(b"", status="302 Found", Location="/in", Set_Cookie="seen=1"),
        "/in": answer(b"x"),
    }
    with Origin(page) as site:
        made = client(headers={"Cookie": "session=mine"})
        list(made.hops(site.url + "/", DOCUMENT))
        assert field(site.heads[0], "Cookie") == "session=mine"
        assert field(site.heads[1], "Cookie") == "session=mine; seen=1"
        assert site.heads[1].lower().count(b"\r\ncookie:") == 1


# --------------------------------------------------------------------------- referrer

REFERRERS = {
    "its own origin hears all": ("https://a.example/p?q=1#f", "https://a.example/x", "https://a.example/p?q=1"),
    "another host hears the origin": ("https://a.example/p?q=1", "https://b.example/x", "https://a.example/"),
    "another port hears the origin": ("http://a.example:81/p", "http://a.example/x", "http://a.example:81/"),
    "from http to https it hears the origin": ("http://a.example/p", "https://a.example/x", "http://a.example/"),
    "from https to http it hears nothing": ("https://a.example/p", "http://a.example/x", ""),
}  # fmt: skip


@pytest.mark.parametrize(("page", "url", "told"), REFERRERS.values(), ids=REFERRERS)
def test_who_asks_is_told_strict_origin_when_cross_origin(page, url, told):
    assert referrer(page, url) == told


def test_the_referrer_goes_over_the_wire(client):
    with Origin(lambda _: answer(b"x")) as site:
        made = client()
        manner = Manner(purpose=Purpose.REQUISITE, referrer=f"{site.url}/page#x")
        list(made.hops(f"{site.url}/a.css", manner))
        list(made.hops(f"{site.url}/b.css", DOCUMENT))
        secure = Manner(purpose=Purpose.REQUISITE, referrer="https://a.example/")
        list(made.hops(f"{site.url}/c.css", secure))
        told = [field(head, "Referer") for head in site.heads]
    assert told == [f"{site.url}/page", None, None]


# --------------------------------------------------------------------------- patience


class Answers:
    """A page that answers in turn, and the last for good."""

    def __init__(self, *answers):
        self.left = list(answers)

    def __call__(self, _path):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def asked(client, pages, manner=STUBBORN, **told):
    clock = FixedClock()
    with Origin(pages) as site:
        made = client(origins.network(clock), **told)
        try:
            hops = list(made.hops(site.url + "/", manner))
        finally:
            made._network.close()
    return hops, clock, site


BUSY = answer(b"busy", status="503 Service Unavailable")
WORTH = {
    "429": answer(b"", status="429 Too Many Requests"),
    "500": answer(b"", status="500 Internal Server Error"),
    "503": BUSY,
    "closed without a word": lambda _: None,
}


@pytest.mark.parametrize("trouble", WORTH.values(), ids=WORTH.keys())
def test_what_may_pass_is_asked_again_and_every_attempt_told(trouble, client):
    hops, clock, _ = asked(client, Answers(trouble, answer(b"x")))
    assert [(hop.attempt, hop.is_final) for hop in hops] == [(1, False), (2, True)]
    assert hops[-1].reply.message.head.status == 200
    assert clock.slept == [1.0]


@pytest.mark.parametrize(
    "status",
    ["400 Bad", "401 Login", "403 No", "404 Gone", "410 Gone", "451 Law", "200 OK"],
)
def test_what_will_not_pass_is_asked_once(status, client):
    hops, clock, site = asked(client, {"/": answer(b"x", status=status)})
    assert len(hops) == len(site.requests) == 1
    assert clock.slept == []


def test_waiting_doubles_and_ends_with_the_retries(client):
    hops, clock, site = asked(client, {"/": BUSY})
    assert [hop.attempt for hop in hops] == [1, 2, 3, 4]
    assert clock.slept == [1.0, 2.0, 4.0]
    assert hops[-1].is_final
    assert hops[-1].stopped == ""
    assert len(site.requests) == 4


def test_jitter_spreads_the_waiting(client):
    class Fidgety(FixedClock):
        def jitter(self):
            return 0.0 if not self.slept else 0.75

    clock = Fidgety()
    door = origins.network(clock)
    with Origin(Answers(BUSY, BUSY, answer(b"x"))) as site:
        list(client(door).hops(site.url + "/", STUBBORN))
    door.close()
    assert clock.slept == [0.5, 2.5]


def test_many_retries_never_wait_longer_than_five_minutes_each(client):
    hops, clock, _ = asked(
        client,
        {"/": BUSY},
        Manner(purpose=Purpose.DOCUMENT, retries=12),
        deadline=timedelta(days=1),
    )
    assert len(hops) == 13
    assert hops[-1].stopped == ""
    assert max(clock.slept) == 300


def test_a_refused_connection_is_tried_again(client):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    made = client()
    hops = list(made.hops(f"http://127.0.0.1:{port}/", STUBBORN))
    assert [hop.reply.failure for hop in hops] == ["connect"] * 4
    assert made._clock.slept == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("trouble", ["blocked-address", "tls"])
def test_what_no_waiting_mends_is_tried_once(trouble, network, client):
    with Origin({"/": answer(b"x")}) as site:
        allow = () if trouble == "blocked-address" else None
        url = f"{'https' if trouble == 'tls' else 'http'}://127.0.0.1:{site.port}/"
        made = client(network(allow=allow) if allow == () else network(), timeout=timedelta(seconds=0.3))  # fmt: skip
        hops = list(made.hops(url, STUBBORN))
    assert [hop.reply.failure for hop in hops] == [trouble]
    assert made._clock.slept == []


def after(told):
    return answer(b"", status="503 Busy", Retry_After=told)


AT = FixedClock().at
WAITS = {
    "seconds": ("7", 7.0),
    "the most we sit out": ("300", 300.0),
    "a date": (format_datetime(AT + timedelta(seconds=90), usegmt=True), 90.0),
    "a date gone by": (format_datetime(AT - timedelta(days=1), usegmt=True), 1.0),
    "less than our own patience": ("0", 1.0),
    "nonsense": ("soon", 1.0),
    "a negative number": ("-5", 1.0),
}


@pytest.mark.parametrize(("told", "slept"), WAITS.values(), ids=WAITS.keys())
def test_retry_after_is_honoured(told, slept, client):
    hops, clock, _ = asked(client, Answers(after(told), answer(b"x")))
    assert hops[-1].reply.message.head.status == 200
    assert clock.slept == [slept]


ABSURD = {
    "a second too much": "301",
    "a day": "86400",
    "a number without end": "9" * 60,
    "a date next year": format_datetime(AT + timedelta(days=365), usegmt=True),
}


@pytest.mark.parametrize("told", ABSURD.values(), ids=ABSURD.keys())
def test_a_longer_retry_after_is_left_to_the_next_run(told, client):
    hops, clock, site = asked(client, {"/": after(told)})
    (hop,) = hops
    assert (hop.is_final, hop.stopped) == (True, "deferred")
    assert "asks to wait" in hop.detail
    assert clock.slept == []
    assert len(site.requests) == 1


def test_it_is_deferred_as_well_where_no_attempt_is_left(client):
    hops, _, _ = asked(client, Answers(BUSY, after("3600")), Manner(purpose=Purpose.DOCUMENT, retries=1))  # fmt: skip
    assert hops[-1].stopped == "deferred"


def test_nothing_is_repeated_after_the_deadline(client):
    hops, clock, site = asked(client, {"/": after("60")}, deadline=timedelta(seconds=90))  # fmt: skip
    assert [hop.attempt for hop in hops] == [1, 2]
    assert clock.slept == [60.0]
    assert len(site.requests) == 2


def test_the_deadline_is_that_of_the_source(client):
    made = client(deadline=timedelta(seconds=5))
    assert not made.is_out_of_time
    made._clock.sleep(5)
    assert made.is_out_of_time


def test_a_manner_may_take_less_than_the_source(client):
    with Origin({"/": answer(b"x" * 5000)}) as site:
        made = client(max_size=3000)
        small = Manner(purpose=Purpose.ROBOTS, max_size=1000)
        assert [hop.reply.message.block.size for hop in made.hops(site.url + "/", small)] == [1000]  # fmt: skip
        assert [hop.reply.message.block.size for hop in made.hops(site.url + "/", DOCUMENT)] == [3000]  # fmt: skip


def test_the_delay_is_kept_between_hops(client):
    manner = Manner(purpose=Purpose.DOCUMENT, delay=2.0)
    hops, clock, _ = asked(client, Answers(redirect("/a"), answer(b"x")), manner)
    assert len(hops) == 2
    assert clock.slept == [2.0]


# ---------------------------------------------------------------------------- secrets

SECRET = "s3cr3t-0123456789"


def test_a_secret_goes_to_the_host_it_was_meant_for_and_to_no_other(network, client):
    def page(path):
        return redirect("http://b.example/in") if path == "/" else answer(b"x")

    with Origin(page) as site:
        door = network(policy=named(site, "a.example", "b.example"))
        headers = {"X-Key": SECRET, "Accept-Language": "fa"}
        made = client(
            door, headers, url="http://A.example/", secrets=(SECRET.encode(),)
        )
        list(made.hops("http://a.example/", DOCUMENT))
        list(made.hops("http://a.example/style.css", DOCUMENT))
        assert [field(head, "X-Key") for head in site.heads] == [SECRET, None, SECRET]
        assert [field(head, "Accept-Language") for head in site.heads] == ["fa"] * 3


def test_a_header_is_sent_once_however_it_is_spelt(client):
    with Origin({"/": answer(b"", status="302 Found", Location="/", Set_Cookie="a=1")}) as site:  # fmt: skip
        made = client(headers={"cookie": "mine=1", "referer": "http://x.example/"})
        list(made.hops(site.url + "/", Manner(purpose=Purpose.DOCUMENT, referrer=site.url + "/p")))  # fmt: skip
        head = site.heads[1].lower()
    assert head.count(b"\r\ncookie: ") == head.count(b"\r\nreferer: ") == 1


def responded(cookie: bytes, folder):
    recording = Recording(folder=folder)
    recording.received(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: %s\r\n\r\n" % cookie
    )
    recording.closed()
    return Reply(
        url="http://a.example/",
        started=AT,
        message=recording.message(),
        contact=Contact(),
    )


@given(told=st.text(st.characters(max_codepoint=255), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_set_cookie_makes_a_header_that_cannot_be_sent(door, told, tmp_path):
    made = Client(
        network=door,
        source=Source(id="one", url="http://a.example/"),
        folder=tmp_path,
        headers={},
    )
    reply = responded(b"a=" + told.encode("latin-1"), tmp_path)
    made._remember("http://a.example/", reply)
    assert not set("\r\n\0") & set(made._cookie("http://a.example/"))


@pytest.fixture
def door(network):
    return network()
