"""The one door: exact bytes, one connection, a guard that nothing passes."""

import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from origins import FixedClock, Origin, answer

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.net import MOST_LINES
from pipeline.capture.order import Order, Patience
from pipeline.capture.tls import tls_context
from pipeline.clock import SystemClock
from pipeline.errors import InterruptedRunError, UsageError

QUICK = Patience(timeout=0.3)


def order(tmp_path, url, **options):
    headers = options.pop("headers", {"User-Agent": "test"})
    return Order(url=url, headers=headers, folder=tmp_path, **options)


def body(reply):
    return b"".join(bytes(piece) for piece in reply.message.payload())


def test_what_was_sent_and_received_is_kept_byte_for_byte(network, tmp_path):
    page = answer(b"hello", X_Odd="  a,b ;c")
    with Origin({"/a?b=%7e": page}) as site:
        reply = network().fetch(order(tmp_path, f"{site.url}/a?b=%7e"))
    assert b"".join(reply.message.block) == page
    assert reply.message.sent == site.heads[0]
    assert reply.message.sent.startswith(b"GET /a?b=%7e HTTP/1.1\r\nHost: 127.0.0.1:")
    assert reply.contact.ip == "127.0.0.1"
    assert reply.contact.port == site.port


def test_one_connection_serves_many_requests(network, tmp_path):
    with Origin(lambda _: answer(b"x")) as site:
        door = network()
        for n in range(5):
            assert (
                door.fetch(order(tmp_path, f"{site.url}/{n}")).message.head.status
                == 200
            )
        assert site.connections == 1
        door.close()


def test_a_connection_that_the_server_gave_up_is_opened_again(network, tmp_path):
    def once(connection):
        connection.sendall(answer(b"once"))

    with Origin({"/once": once, "/again": answer(b"again")}) as site:
        door = network()
        door.fetch(order(tmp_path, f"{site.url}/once"))
        reply = door.fetch(order(tmp_path, f"{site.url}/again"))
        assert body(reply) == b"again"
        assert site.connections == 2


def test_an_odd_answer_ends_its_connection(network, tmp_path):
    with Origin({"/long": answer(b"") + b"extra", "/next": answer(b"next")}) as site:
        door = network()
        reply = door.fetch(order(tmp_path, f"{site.url}/long"))
        assert b"".join(reply.message.block).startswith(b"HTTP/1.1 200 OK")
        assert body(door.fetch(order(tmp_path, f"{site.url}/next"))) == b"next"


def test_requests_to_one_host_take_turns(network, tmp_path):
    busy, seen = threading.Lock(), []

    def page(_path):
        seen.append(busy.acquire(blocking=False))
        busy.release()
        return answer(b"x")

    with Origin(page) as site:
        door = network(SystemClock())
        threads = [
            threading.Thread(
                target=door.fetch, args=(order(tmp_path, f"{site.url}/{n}"),)
            )
            for n in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert seen == [True] * 10
        assert site.connections == 1


def test_the_delay_counts_from_the_end_of_the_last_exchange(network, tmp_path):
    clock = FixedClock()
    with Origin(lambda _: answer(b"x")) as site:
        door = network(clock)
        for _ in range(3):
            door.fetch(order(tmp_path, site.url + "/", delay=2.0))
    assert clock.slept == [2.0, 2.0]


def test_a_turn_that_comes_after_the_deadline_is_a_timeout(network, tmp_path):
    clock = FixedClock()
    with Origin(lambda _: answer(b"x")) as site:
        door = network(clock)
        door.fetch(order(tmp_path, site.url + "/"))
        late = order(
            tmp_path, site.url + "/", delay=2.0, patience=Patience(ends_at=1.0)
        )
        reply = door.fetch(late)
    assert (reply.failure, reply.message) == ("timeout", None)
    assert clock.slept == []


# ------------------------------------------------------------------ ahead of its time


def test_what_is_sent_ahead_is_what_the_next_fetch_answers(network, tmp_path):
    with Origin(lambda path: answer(path.encode())) as site:
        door = network()
        door.fetch(order(tmp_path, f"{site.url}/first"))
        second = order(tmp_path, f"{site.url}/second")
        assert door.ahead(second)
        assert body(door.fetch(second)) == b"/second"
        assert site.requests == ["/first", "/second"]
        assert site.connections == 1


NOT_YET = {
    "no connection stands": lambda door, one: None,
    "a delay is due": lambda door, one: door.fetch(replace(one, delay=0.0)),
    "the run was stopped": lambda door, one: (door.fetch(one), door.stop()),
    "the host let go": lambda door, one: door.fetch(replace(one, url=f"{one.url}last")),
}


@pytest.mark.parametrize("before", NOT_YET.values(), ids=NOT_YET.keys())
def test_nothing_is_sent_ahead_that_would_have_to_wait(before, network, tmp_path):
    pages = {"/": answer(b"x"), "/last": answer(b"x", Connection="close")}
    with Origin(pages) as site:
        door = network()
        one = order(tmp_path, site.url + "/")
        before(door, one)
        sent = len(site.requests)
        late = replace(one, delay=1.0) if before is NOT_YET["a delay is due"] else one
        assert not door.ahead(late)
        assert len(site.requests) == sent


def test_nothing_is_sent_ahead_while_another_has_the_turn(network, tmp_path):
    with Origin(lambda _: answer(b"x")) as site:
        door = network()
        door.fetch(order(tmp_path, site.url + "/"))
        mine, theirs = (order(tmp_path, f"{site.url}/{n}") for n in range(2))
        assert door.ahead(mine)
        said = []
        thread = threading.Thread(target=lambda: said.append(door.ahead(theirs)))
        thread.start()
        thread.join(10)
        assert said == [False]
        assert door.fetch(mine).message is not None
        assert door.ahead(theirs)
        assert door.fetch(theirs).message is not None


def test_what_is_withdrawn_leaves_the_host_to_the_next(network, tmp_path):
    with Origin(lambda path: answer(path.encode())) as site:
        door = network()
        door.fetch(order(tmp_path, site.url + "/"))
        given_up = order(tmp_path, f"{site.url}/given-up")
        assert door.ahead(given_up)
        door.withdraw(given_up)
        assert body(door.fetch(order(tmp_path, f"{site.url}/next"))) == b"/next"
        assert site.connections == 2


def test_what_was_sent_ahead_to_a_server_that_let_go_is_sent_again(network, tmp_path):
    def gone(_):  # the connection ends without a word, once
        pages["/next"] = answer(b"next")

    pages = {"/": answer(b"x"), "/next": gone}
    with Origin(pages) as site:
        door = network()
        door.fetch(order(tmp_path, site.url + "/"))
        following = order(tmp_path, f"{site.url}/next")
        assert door.ahead(following)
        assert body(door.fetch(following)) == b"next"
        assert site.requests == ["/", "/next", "/next"]


def test_what_was_sent_before_the_stop_is_still_collected(network, tmp_path):
    with Origin(lambda _: answer(b"x")) as site:
        door = network()
        door.fetch(order(tmp_path, site.url + "/"))
        following = order(tmp_path, f"{site.url}/next")
        assert door.ahead(following)
        door.stop()
        assert body(door.fetch(following)) == b"x"


# --------------------------------------------------------------------- what goes wrong


def silent(connection):
    connection.recv(1)  # until the other side hangs up


def resetting(connection):
    linger = b"\1\0\0\0\0\0\0\0"  # close with a reset
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


FAILURES = {
    "nothing is ever answered": (silent, "timeout"),
    "reset": (resetting, "reset"),
    "closed without a word": (lambda _: None, "no-response"),
    "an interim head and no more": (
        lambda s: s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n"),
        "no-response",
    ),
}


@pytest.mark.parametrize(("speak", "failure"), FAILURES.values(), ids=FAILURES.keys())
def test_no_answer_is_a_failure_with_a_reason(network, speak, failure, tmp_path):
    with Origin({"/": speak}) as site:
        door = network(SystemClock())
        reply = door.fetch(order(tmp_path, site.url + "/", patience=QUICK))
    assert reply.failure == failure
    assert reply.detail


def test_a_body_that_stalls_is_cut_and_kept(network, tmp_path):
    def stall(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        silent(connection)

    with Origin({"/": stall}) as site:
        door = network(SystemClock())
        reply = door.fetch(order(tmp_path, site.url + "/", patience=QUICK))
    assert reply.failure == ""
    assert reply.message.truncated == "time"
    assert body(reply) == b"part"


def test_a_dripping_body_ends_at_the_deadline(network, tmp_path):
    drip = threading.Event()

    def dripping(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(6000):  # a minute, and the connection is closed
            if drip.wait(0.01):
                break
            connection.sendall(b"x")

    clock = SystemClock()
    with Origin({"/": dripping}) as site:
        patience = Patience(timeout=3600, ends_at=clock.monotonic() + 0.3)
        reply = network(clock).fetch(order(tmp_path, site.url + "/", patience=patience))
        drip.set()
    assert reply.message.truncated == "time"


def test_a_dripping_head_ends_at_the_timeout(network, tmp_path):
    drip = threading.Event()

    def dripping(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(900):  # no more lines than a head may have
            if drip.wait(0.01):
                break
            connection.sendall(b"X-A: b\r\n")

    with Origin({"/": dripping}) as site:
        door = network(SystemClock())
        reply = door.fetch(order(tmp_path, site.url + "/", patience=QUICK))
        drip.set()
    assert reply.message.truncated == "time"


def test_more_than_max_size_is_cut_there_to_the_byte(network, tmp_path):
    with Origin({"/": answer(b"x" * 500_000)}) as site:
        patience = Patience(max_size=100_000)
        reply = network().fetch(order(tmp_path, site.url + "/", patience=patience))
    assert reply.message.truncated == "length"
    assert reply.message.block.size == 100_000


def test_a_refused_connection_names_the_address(network, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reply = network().fetch(order(tmp_path, f"http://127.0.0.1:{port}/"))
    assert reply.failure == "connect"
    assert f"127.0.0.1 port {port}" in reply.detail


def test_a_name_that_does_not_resolve_is_told(network, tmp_path):
    def resolve(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    reply = network(resolve=resolve).fetch(order(tmp_path, "http://nowhere.example/"))
    assert reply.failure == "dns"
    assert "nowhere.example" in reply.detail
    assert "Name or service not known" in reply.detail


def test_a_resolver_that_never_answers_ends_at_the_timeout(network, tmp_path):
    wait = threading.Event()

    def resolve(host, port):
        wait.wait(10)
        return ["127.0.0.1"]

    door = network(SystemClock(), resolve=resolve)
    reply = door.fetch(order(tmp_path, "http://slow.example/", patience=QUICK))
    wait.set()
    assert reply.failure == "dns"


def test_the_second_address_is_tried_when_the_first_refuses(network, tmp_path):
    tried = []

    def dial(ip, port, timeout):
        tried.append(ip)
        if len(tried) == 1:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", site.port), timeout)

    with Origin({"/": answer(b"x")}) as site:
        door = network(
            resolve=lambda host, port: ["93.184.216.34", "93.184.216.35"], dial=dial
        )
        reply = door.fetch(order(tmp_path, "http://two.example/"))
    assert body(reply) == b"x"
    assert reply.contact.dns == ("93.184.216.34", "93.184.216.35")
    assert reply.contact.ip == "93.184.216.35"


# --------------------------------------------------------------------------- the guard


class Connector:
    """A dial that reaches nothing and remembers who was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, ip, port, timeout):
        self.asked.append(ip)
        raise ConnectionRefusedError(111, "Connection refused")


BLOCKED = {
    "loopback": ["127.0.0.2"],
    "one bad answer among good ones": ["93.184.216.34", "127.0.0.2"],
    "a mapped address": ["::ffff:127.0.0.2"],
    "cloud metadata": ["169.254.169.254"],
}


@pytest.mark.parametrize("answers", BLOCKED.values(), ids=BLOCKED.keys())
def test_a_forbidden_answer_is_never_connected_to(network, answers, tmp_path):
    dial = Connector()
    door = network(allow=(), resolve=lambda host, port: answers, dial=dial)
    reply = door.fetch(order(tmp_path, "http://evil.example/"))
    assert reply.failure == "blocked-address"
    assert "evil.example" in reply.detail
    assert dial.asked == []


def test_an_answer_that_changes_is_judged_each_time(network, tmp_path):
    answers = iter((["93.184.216.34"], ["127.0.0.2"]))
    dial = Connector()
    door = network(allow=(), resolve=lambda host, port: next(answers), dial=dial)
    assert door.fetch(order(tmp_path, "http://r.example/")).failure == "connect"
    assert door.fetch(order(tmp_path, "http://r.example/")).failure == "blocked-address"
    assert dial.asked == ["93.184.216.34"]


def test_an_unusual_port_is_not_asked_for_a_name(network, tmp_path):
    asked = []
    door = network(
        allow=(), resolve=lambda host, port: asked.append(host), dial=Connector()
    )
    reply = door.fetch(order(tmp_path, "http://a.example:22/"))
    assert reply.failure == "blocked-address"
    assert "port 22" in reply.detail
    assert asked == []


def test_connect_to_leads_elsewhere_and_is_allowed(network, tmp_path):
    with Origin({"/": answer(b"x")}) as site:
        rule = ConnectTo(
            host="a.example", port=80, to_host="127.0.0.1", to_port=site.port
        )
        door = network(policy=Policy(connect_to=(rule,)))
        reply = door.fetch(order(tmp_path, "http://a.example/"))
        assert body(reply) == b"x"
        assert b"Host: a.example\r\n" in site.heads[0]
        dial = Connector()
        door = network(
            policy=Policy(connect_to=(rule,)),
            resolve=lambda h, p: ["127.0.0.2"],
            dial=dial,
        )
        other = door.fetch(order(tmp_path, "http://b.example/"))
    assert other.failure == "blocked-address"
    assert dial.asked == []


def test_no_environment_proxy_or_netrc_is_used(network, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Origin({"/": answer(b"x")}) as site:
        reply = network().fetch(order(tmp_path, site.url + "/"))
    assert body(reply) == b"x"
    assert b"Authorization" not in site.heads[0]


# -------------------------------------------------------------------------------- TLS


def test_https_tells_version_and_cipher(network, tmp_path, authority):
    with Origin({"/": answer(b"x")}, tls=authority.server("localhost")) as site:
        url = f"https://localhost:{site.port}/"
        reply = network(cacert=authority.path).fetch(order(tmp_path, url))
    assert body(reply) == b"x"
    assert reply.contact.tls == "tls/1.3"
    assert reply.contact.cipher.startswith("TLS_")


@pytest.mark.parametrize("trouble", ["unknown authority", "wrong host", "expired"])
def test_a_bad_certificate_is_a_tls_failure_in_words(
    network, trouble, tmp_path, authority
):
    name = "other.example" if trouble == "wrong host" else "localhost"
    server = authority.server(name, expired=trouble == "expired")
    cacert = None if trouble == "unknown authority" else authority.path
    with Origin({"/": answer(b"x")}, tls=server) as site:
        url = f"https://localhost:{site.port}/"
        reply = network(SystemClock(), cacert=cacert).fetch(order(tmp_path, url))
    assert reply.failure == "tls"
    assert "localhost" in reply.detail
    assert site.requests == []


def test_plain_http_on_a_tls_port_is_a_tls_failure(network, tmp_path):
    with Origin({"/": answer(b"x")}) as site:
        reply = network(SystemClock()).fetch(
            order(tmp_path, f"https://127.0.0.1:{site.port}/", patience=QUICK)
        )
    assert reply.failure == "tls"


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_roots_that_are_none_are_refused_with_their_path(content, tmp_path):
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"roots\.pem"):
        tls_context(path)


def test_only_http_1_is_offered():
    assert isinstance(tls_context().verifying, ssl.SSLContext)


# ------------------------------------------------------------------------------- ends


class Dozing(SystemClock):
    """A clock that tells when somebody begins to wait."""

    def __init__(self) -> None:
        self.dozes = threading.Event()

    def sleep(self, seconds: float, until: threading.Event | None = None) -> None:
        self.dozes.set()
        super().sleep(seconds, until)


def test_a_stop_ends_the_waiting_for_a_turn(network, tmp_path):
    clock = Dozing()
    with Origin({"/": answer(b"x")}) as site, ThreadPoolExecutor(1) as pool:
        door = network(clock)
        first = order(tmp_path, site.url + "/")
        door.fetch(first)
        late = pool.submit(door.fetch, replace(first, delay=3600.0))
        assert clock.dozes.wait(120)
        door.stop()
        with pytest.raises(InterruptedRunError):
            late.result(timeout=120)
        assert site.requests == ["/"]


def test_a_stop_ends_a_pause(network):
    clock = Dozing()
    door = network(clock)
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(door.pause, 3600.0)
        assert clock.dozes.wait(120)
        door.stop()
        with pytest.raises(InterruptedRunError):
            paused.result(timeout=120)


def test_a_stopped_network_begins_nothing(network, tmp_path):
    with Origin({"/": answer(b"x")}) as site:
        door = network()
        door.stop()
        with pytest.raises(InterruptedRunError):
            door.fetch(order(tmp_path, site.url + "/"))
    assert site.connections == 0


def test_a_line_break_in_a_header_is_never_sent(network, tmp_path):
    with Origin({"/": answer(b"x")}) as site:
        bad = order(tmp_path, site.url + "/", headers={"X": "a\r\nHost: evil"})
        with pytest.raises(UsageError, match="line break"):
            network().fetch(bad)
        assert (
            network().fetch(replace(bad, headers={"X": "a"})).message.head.status == 200
        )


def test_a_port_mapped_elsewhere_opens_no_address(network, tmp_path):
    dial = Connector()
    rule = ConnectTo(port=80, to_port=8081)
    door = network(
        policy=Policy(connect_to=(rule,)), resolve=lambda h, p: ["127.0.0.2"], dial=dial
    )
    assert door.fetch(order(tmp_path, "http://a.example/")).failure == "blocked-address"
    assert dial.asked == []


def test_many_hosts_hold_few_sockets(network, tmp_path):
    open_now, most = set(), []

    def dial(ip, port, timeout):
        made = socket.create_connection(("127.0.0.1", site.port), timeout)
        open_now.add(made)
        most.append(sum(one.fileno() >= 0 for one in open_now))
        return made

    with Origin(lambda _: answer(b"x")) as site:
        door = network(resolve=lambda h, p: ["93.184.216.34"], dial=dial)
        for n in range(MOST_LINES * 3):
            reply = door.fetch(order(tmp_path, f"http://h{n}.example/"))
            assert body(reply) == b"x"
    assert max(most) <= MOST_LINES + 1
