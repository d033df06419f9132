"""robots.txt: asked once per host, kept for all, and the policy decides."""

import gzip
import socket
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from origins import Origin, answer, redirect

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.client import Client, Hop
from pipeline.capture.order import Contact, Reply
from pipeline.capture.robots import LIMIT, MOST_HOSTS, Robots, judged
from pipeline.capture.wire import Recording
from pipeline.clock import SystemClock
from pipeline.model import Source

AGENT = "Muniment"


@pytest.fixture
def client(network, tmp_path):
    door = network()

    def make(host=door, **told):
        source = Source(id="one", url="http://127.0.0.1/", **told)
        return Client(network=host, source=source, folder=tmp_path, headers={})

    return make


def plain(text, **fields):
    return answer(text.encode(), kind="text/plain", **fields)


OURS = {
    "disallowed to all": (plain("User-agent: *\nDisallow: /"), False),
    "disallowed to us": (plain("User-agent: muniment\nDisallow: /page"), False),
    "disallowed to others": (plain("User-agent: other\nDisallow: /"), True),
    "ours stands before that of all": (plain("User-agent: *\nDisallow: /\n\nUser-agent: Muniment\nAllow: /"), True),
    "another path": (plain("User-agent: *\nDisallow: /else"), True),
    "the longest rule counts": (plain("User-agent: *\nDisallow: /\nAllow: /page"), True),
    "a wildcard": (plain("User-agent: *\nDisallow: /*.html?*b$"), False),
    "an empty file": (plain(""), True),
    "a byte order mark": (plain("\ufeffUser-agent: *\nDisallow: /"), False),
    "line ends of an old Macintosh": (plain("User-agent: *\rDisallow: /"), False),
    "compressed": (
        answer(gzip.compress(b"User-agent: *\nDisallow: /"), kind="text/plain", Content_Encoding="gzip"),
        False,
    ),
    "a page in its place": (answer(b"<!doctype html><p>not found"), True),
    "noise": (answer(bytes(range(256))), True),
    "404": (answer(b"", status="404 Not Found"), True),
    "401": (answer(b"", status="401 Unauthorized"), True),
    "410": (answer(b"", status="410 Gone"), True),
    "500": (answer(b"", status="500 Internal Server Error"), False),
    "503": (answer(b"User-agent: *\nAllow: /", status="503 Busy"), False),
    "a redirect that leads nowhere": (redirect("file:///robots.txt"), False),
    "a redirect without end": (redirect("/robots.txt"), False),
    "closed without a word": (lambda _: None, False),
    "no status line": (lambda s: s.sendall(b"User-agent: *"), False),
}  # fmt: skip


@pytest.mark.parametrize(("page", "permits"), OURS.values(), ids=OURS.keys())
def test_what_it_says_of_a_page(page, permits, client):
    with Origin({"/robots.txt": page}) as site:
        opinion = Robots().opinion(f"{site.url}/page.html?a=b", client(), AGENT)
    assert opinion.permits is permits
    assert opinion.because
    assert "()" not in opinion.because


def test_a_redirect_is_followed_and_every_hop_handed_on(client):
    pages = {"/robots.txt": redirect("/r"), "/r": plain("User-agent: *\nDisallow: /")}
    with Origin(pages) as site:
        opinion = Robots().opinion(f"{site.url}/page", client(), AGENT)
    assert not opinion.permits
    assert [hop.reply.url for hop in opinion.hops] == [
        f"{site.url}/robots.txt",
        f"{site.url}/r",
    ]


def test_a_host_that_cannot_be_reached_disallows(client):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    opinion = Robots().opinion(f"http://127.0.0.1:{port}/", client(), AGENT)
    assert not opinion.permits
    assert "connect" in opinion.because


def test_a_host_is_asked_once_for_all_its_pages(client):
    with Origin({"/robots.txt": plain("User-agent: *\nDisallow: /b")}) as site:
        robots = Robots()
        said = [
            robots.opinion(f"{site.url}{path}", client(), AGENT)
            for path in ("/a", "/b", "/c")
        ]
        assert site.requests == ["/robots.txt"]
    assert [one.permits for one in said] == [True, False, True]
    assert said[0].hops == said[1].hops == said[2].hops


def test_each_port_is_asked_for_itself(client):
    with Origin({"/robots.txt": plain("")}) as one, Origin({}) as other:
        robots = Robots()
        robots.opinion(f"{one.url}/", client(), AGENT)
        robots.opinion(f"{other.url}/", client(), AGENT)
        assert one.requests == other.requests == ["/robots.txt"]


def test_a_host_is_asked_once_from_many_threads(network, client):
    door = network(SystemClock())
    all_are_here = threading.Barrier(8)
    said = []
    with Origin({"/robots.txt": plain("User-agent: *\nDisallow: /")}) as site:
        robots = Robots()

        def ask(number):
            all_are_here.wait(120)
            said.append(robots.opinion(f"{site.url}/{number}", client(door), AGENT))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert site.requests == ["/robots.txt"]
    assert [one.permits for one in said] == [False] * 8


def test_an_endless_file_is_cut_and_its_beginning_read(client):
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /x\n")
        while True:
            connection.sendall(b"# nothing\n" * 1000)

    with Origin({"/robots.txt": endless}) as site:
        robots = Robots()
        opinion = robots.opinion(f"{site.url}/x", client(), AGENT)
        assert robots.opinion(f"{site.url}/y", client(), AGENT).permits
    assert not opinion.permits
    assert opinion.hops[-1].reply.message.block.size == LIMIT
    assert opinion.hops[-1].reply.message.truncated == "length"


def test_a_file_that_swells_without_end_is_read_to_the_limit(client):
    bomb = gzip.compress(b"User-agent: *\nDisallow: /x\n" + b"#" * 50_000_000)
    with Origin({"/robots.txt": answer(bomb, Content_Encoding="gzip")}) as site:
        assert not Robots().opinion(f"{site.url}/x", client(), AGENT).permits


@given(text=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_file_raises(text, tmp_path):
    recording = Recording(folder=tmp_path)
    recording.received(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: " + text)
    recording.closed()
    reply = Reply(
        url="http://a.example/robots.txt",
        started=SystemClock().now(),
        message=recording.message(),
        contact=Contact(),
    )
    permits, because = judged(Hop(reply=reply), "http://a.example/%?a", AGENT)
    assert isinstance(permits, bool)
    assert because


def test_the_files_of_hosts_long_done_with_are_let_go(client, network):
    with Origin(lambda _: plain("User-agent: *")) as site:
        rule = ConnectTo(to_host="127.0.0.1", to_port=site.port)
        made = client(network(policy=Policy(connect_to=(rule,))))
        robots = Robots()
        for n in range(MOST_HOSTS + 1):
            robots.opinion(f"http://h{n}.example/", made, AGENT)
        robots.opinion("http://h1.example/x", made, AGENT)
        assert len(site.requests) == MOST_HOSTS + 1
        robots.opinion("http://h0.example/x", made, AGENT)
        assert len(site.requests) == MOST_HOSTS + 2
