"""Nothing that is spelled, resolved or redirected to a forbidden address is reached.

127.0.0.2 stands for every such address: whatever is dialled here arrives at a listening
socket there, which counts, so that a broken guard would be seen and reach nothing.
"""

import itertools
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote as percent

import pytest
from origins import FixedClock, Origin, answer, network, redirect

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.client import Client, Manner
from pipeline.capture.line import ANYWHERE
from pipeline.capture.order import Order, Patience
from pipeline.capture.robots import Robots
from pipeline.capture.visit import Task, requested, visit
from pipeline.clock import SystemClock
from pipeline.model import Purpose, RobotsPolicy, Source

DOCUMENT = Manner(purpose=Purpose.DOCUMENT)
OUTSIDE = "93.184.216.34"  # public; dialled here, it is 127.0.0.2 like all else

# ----------------------------------------------------------------------- spellings

FORBIDDEN = {
    "loopback": "127.0.0.2",
    "this network": "0.0.0.0",
    "private A": "10.1.2.3",
    "private B": "172.16.0.1",
    "private C": "192.168.1.1",
    "cloud metadata": "169.254.169.254",
    "CGNAT": "100.64.0.1",
    "multicast": "224.0.0.251",
    "broadcast": "255.255.255.255",
}


def parts(ip):
    return [int(part) for part in ip.split(".")]


def number(ip):
    return int.from_bytes(bytes(parts(ip)))


def words(ip):
    high, low = divmod(number(ip), 1 << 16)
    return f"{high:x}:{low:x}"


def wide(text):
    """Write in full-width forms, which IDNA takes for the plain ones."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


def circled(ip):
    return "".join(char if char == "." else "⓪①②③④⑤⑥⑦⑧⑨"[int(char)] for char in ip)


WAYS = {
    "plainly": lambda ip: ip,
    "as one number": lambda ip: str(number(ip)),
    "as one hexadecimal number": lambda ip: f"0x{number(ip):x}",
    "as one HEXADECIMAL number": lambda ip: f"0X{number(ip):X}",
    "as one octal number": lambda ip: f"0{number(ip):o}",
    "in hexadecimal": lambda ip: ".".join(f"0x{part:x}" for part in parts(ip)),
    "in padded hexadecimal": lambda ip: ".".join(f"0x{part:06x}" for part in parts(ip)),
    "in octal": lambda ip: ".".join(f"0{part:o}" for part in parts(ip)),
    "in padded octal": lambda ip: ".".join(f"{part:06o}" for part in parts(ip)),
    "mixed": lambda ip: "0x{:x}.{}.0{:o}.{}".format(*parts(ip)),
    "in three parts": lambda ip: "{}.{}.{}".format(*parts(ip)[:2], number(ip) & 0xFFFF),
    "in two parts": lambda ip: f"{parts(ip)[0]}.{number(ip) & 0xFFFFFF}",
    "in two parts, in hexadecimal": lambda ip: f"0x{parts(ip)[0]:x}.0x{number(ip) & 0xFFFFFF:x}",
    "with a dot behind": lambda ip: f"{ip}.",
    "percent-encoded": lambda ip: "".join(f"%{ord(char):02x}" for char in ip),
    "percent-encoded in part": lambda ip: ip.replace(".", "%2e"),
    "in full-width digits": wide,
    "in circled digits": circled,
    "with ideographic stops": lambda ip: ip.replace(".", "\u3002"),
    "with full-width stops": lambda ip: ip.replace(".", "\uff0e"),
    "with half-width stops": lambda ip: percent(ip.replace(".", "\uff61"), safe="."),
    "with soft hyphens": lambda ip: ip.replace(".", "\u00ad."),
    "with a tab": lambda ip: ip.replace(".", ".\t", 1),
    "with a line end": lambda ip: ip.replace(".", "\n.", 1),
    "behind a user": lambda ip: f"example.org@{ip}",
    "behind a password": lambda ip: f"a:b@{ip}",
    "on port 80": lambda ip: f"{ip}:80",
    "on a padded port": lambda ip: f"{ip}:00080",
    "before a backslash": lambda ip: f"{ip}\\@example.org",
    "mapped": lambda ip: f"[::ffff:{ip}]",
    "mapped, in words": lambda ip: f"[::FFFF:{words(ip)}]",
    "mapped, in full": lambda ip: f"[0:0:0:0:0:ffff:{words(ip)}]",
    "compatible": lambda ip: f"[::{ip}]",
    "translated": lambda ip: f"[::ffff:0:{words(ip)}]",
    "6to4": lambda ip: f"[2002:{words(ip)}::1]",
    "NAT64": lambda ip: f"[64:ff9b::{ip}]",
    "NAT64, in words": lambda ip: f"[64:ff9b:0:0:0:0:{words(ip)}]",
    "local NAT64": lambda ip: f"[64:ff9b:1::{ip}]",
    "Teredo's server": lambda ip: f"[2001:0:{words(ip)}::1]",
    "Teredo's client": lambda ip: f"[2001:0:808:808:0:0:{number(ip) >> 16 ^ 0xFFFF:x}:{number(ip) & 0xFFFF ^ 0xFFFF:x}]",
    "ISATAP": lambda ip: f"[2a00:1450::5efe:{ip}]",
    "by a name": lambda ip: f"{ip.replace('.', '-')}.names.example",
    "by a name that looks like one": lambda ip: f"{ip}.names.example",
}  # fmt: skip

OTHERS = {
    "localhost": "localhost",
    "localhost with a dot": "localhost.",
    "LOCALHOST": "LOCALHOST",
    "below localhost": "x.localhost",
    "nothing but zero": "0",
    "127.1": "127.1",
    "IPv6 loopback": "[::1]",
    "IPv6 loopback in full": "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "IPv6 loopback, percent-encoded": "%5B::1%5D",
    "IPv6 unspecified": "[::]",
    "link-local": "[fe80::1]",
    "link-local with a zone": "[fe80::1%25lo]",
    "link-local with a bare zone": "[fe80::1%lo]",
    "site-local": "[fec0::1]",
    "unique local": "[fd00::1]",
    "unique local, the other half": "[fc00::1]",
    "all nodes": "[ff02::1]",
    "discard": "[100::1]",
    "documentation": "[2001:db8::1]",
    "new documentation": "[3fff::1]",
    "segment routing": "[5f00::1]",
    "ORCHID": "[2001:20::1]",
    "benchmarking": "[2001:2::1]",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "benchmarking of IPv4": "198.18.0.1",
    "6to4 relay": "192.88.99.1",
    "protocol assignments": "192.0.0.170",
    "reserved": "240.0.0.1",
}
SPELLINGS = {
    f"{whose}, {how}": f"http://{write(ip)}/"
    for (whose, ip), (how, write) in itertools.product(FORBIDDEN.items(), WAYS.items())
} | {name: f"http://{host}/" for name, host in OTHERS.items()} | {
    "no slashes": "http:127.0.0.2/",
    "three slashes": "http:///127.0.0.2/",
    "backslashes": "http:\\\\127.0.0.2\\",
    "https": "https://127.0.0.2/",
    "blanks around": "  http://127.0.0.2/  ",
}  # fmt: skip
NOT_AN_ADDRESS = {  # what no tool takes for the address that a person might see in it
    "256 in a part": "http://256.0.0.2/",
    "five parts": "http://127.0.0.0.2/",
    "more than 32 bits": "http://4294967298/",
    "a port of letters": "http://127.0.0.2:http/",
}


class Trap:
    """Listens on 127.0.0.2, counts who comes, and is where every dial ends."""

    def __init__(self):
        self.dialled, self.count = [], 0
        self._listening = socket.create_server(("127.0.0.2", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.count += 1
                with suppress(OSError), connection:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # until the other side hangs up
                        pass

    def dial(self, ip, port, timeout):
        self.dialled.append(ip)
        return socket.create_connection(("127.0.0.2", self.port), timeout)

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@pytest.fixture
def trap():
    made = Trap()
    yield made
    made.close()


def resolve(host, port):
    """Resolve numbers as the system does, and names as an attacker would."""
    if host.endswith((".names.example", "localhost", "localhost.")):
        inner = host.removesuffix(".names.example").replace("-", ".")
        return [inner if inner[0].isdigit() else "127.0.0.2"]
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    return [answer[4][0] for answer in found]


def door(trap, **options):
    told = {"resolve": resolve, "dial": trap.dial, "policy": Policy()} | options
    return network(SystemClock(), **told)


def client(door, tmp_path, url="http://example.org/"):
    source = Source(id="one", url=url, timeout=timedelta(seconds=5))
    return Client(network=door, source=source, folder=tmp_path, headers={})


def asked(door, tmp_path, spelling):
    """Ask for a URL as a manifest would have it; return why nothing came of it."""
    try:
        url = requested(spelling)
    except ValueError:
        return "no URL"
    return door.fetch(Order(url=url, headers={}, folder=tmp_path)).failure


def test_there_are_more_than_250_spellings():
    assert len(set(SPELLINGS.values())) >= 250


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_no_spelling_of_a_forbidden_address_is_connected_to(spelling, trap, tmp_path):
    with_guard = door(trap)
    assert asked(with_guard, tmp_path, spelling) in ("blocked-address", "no URL", "dns")
    with_guard.close()
    assert (trap.dialled, trap.count) == ([], 0)


@pytest.mark.parametrize("spelling", NOT_AN_ADDRESS.values(), ids=NOT_AN_ADDRESS)
def test_what_is_no_address_is_not_connected_to_either(spelling, trap, tmp_path):
    assert asked(door(trap), tmp_path, spelling) in ("no URL", "dns")
    assert trap.dialled == []


def test_without_the_guard_nearly_all_of_them_would_be(trap, tmp_path):
    """Else the tests here would show nothing."""
    open_door = door(trap, policy=Policy(allow=ANYWHERE))
    for spelling in SPELLINGS.values():
        asked(open_door, tmp_path, spelling)
    open_door.close()
    assert len(trap.dialled) > 250
    assert trap.count > 250


def test_a_public_address_is_connected_to_and_counted(trap, tmp_path):
    assert asked(door(trap), tmp_path, f"http://{OUTSIDE}/") == "no-response"
    assert (trap.dialled, trap.count) == ([OUTSIDE], 1)


def test_the_real_dial_reaches_no_socket_on_127_0_0_2(trap, tmp_path):
    named = frozenset({("127.0.0.2", trap.port), ("::ffff:7f00:2", trap.port)})
    real = network(SystemClock(), policy=Policy(named=named))
    spelt = [write("127.0.0.2") for how, write in WAYS.items() if "name" not in how]
    for host in spelt:
        asked(real, tmp_path, f"http://{host.partition(':80')[0]}:{trap.port}/")
        asked(real, tmp_path, f"http://{host}:{trap.port}/")
    real.close()
    assert trap.count == 0


# ------------------------------------------------------------------- by what leads there


def test_no_redirect_leads_there(trap, tmp_path):
    urls = [percent(url, safe="%/:@[]\\.\t") for url in SPELLINGS.values()]

    def page(path):
        return redirect(urls[int(path[1:])]) if path[1:].isdigit() else answer(b"x")

    with Origin(page) as site:
        guarded = leading_to(site, trap)
        made = client(guarded, tmp_path)
        asked = [f"http://site.example/{n}" for n in range(len(urls))]
        ends = [list(made.hops(url, DOCUMENT))[-1] for url in asked]
        guarded.close()
    refused = [end for end in ends if end.stopped or end.reply.failure]
    assert len(refused) >= 250  # a few are relative here, and lead nowhere else
    assert (set(trap.dialled), trap.count) == ({"127.0.0.1"}, 0)


def leading_to(site, trap):
    """Lead site.example to a server on loopback; all else ends in the trap."""
    rule = ConnectTo(host="site.example", to_host="127.0.0.1", to_port=site.port)

    def dial(ip, port, timeout):
        if (ip, port) == ("127.0.0.1", site.port):
            trap.dialled.append(ip)
            return socket.create_connection((ip, port), timeout)
        return trap.dial(ip, port, timeout)

    return door(trap, policy=Policy(connect_to=(rule,)), dial=dial)


def test_no_requisite_lies_there(trap, tmp_path):
    pictures = "".join(f'<img src="{url}">' for url in SPELLINGS.values())
    with Origin(lambda _: answer(pictures.encode())) as site:
        guarded = leading_to(site, trap)
        source = Source(id="one", url="http://site.example/", robots=RobotsPolicy.IGNORE, requisite_delay=timedelta(0), retries=0)  # fmt: skip
        task = Task(source=source, folder=tmp_path, about=())
        capture = visit(task, network=guarded, robots=Robots()).capture
        guarded.close()
    assert capture.verdict == "captured"
    assert len(capture.requisites.missing) > 140  # each once, however it was written
    assert not any("@127" in url for url in capture.requisites.missing)
    assert (set(trap.dialled), trap.count) == ({"127.0.0.1"}, 0)


def test_no_robots_txt_is_asked_for_there(trap, tmp_path):
    robots, guarded = Robots(), door(trap)
    made = client(guarded, tmp_path)
    for spelling in SPELLINGS.values():
        with suppress(ValueError):
            opinion = robots.opinion(requested(spelling), made, "Muniment")
            assert not opinion.permits
    guarded.close()
    assert (trap.dialled, trap.count) == ([], 0)


def test_no_source_lies_there_whatever_its_manifest_says_of_ports(trap, tmp_path):
    named = frozenset({("127.0.0.2", 8080)})
    guarded = door(trap, policy=Policy(named=named))
    assert asked(guarded, tmp_path, "http://127.0.0.2:8080/") == "blocked-address"
    assert trap.dialled == []


# -------------------------------------------------------------------------- resolvers


@dataclass(frozen=True, kw_only=True)
class Rebinding:
    answers: list[list[str]]  # to one question after the other
    failures: list[str]
    dialled: list[str] = field(default_factory=list)


LATER = "93.184.216.35"
REBINDING = {
    "public, then private": Rebinding(answers=[[OUTSIDE], ["127.0.0.2"]], failures=["no-response", "blocked-address"], dialled=[OUTSIDE]),
    "private, then public": Rebinding(answers=[["10.0.0.1"], [OUTSIDE]], failures=["blocked-address", "no-response"], dialled=[OUTSIDE]),
    "public and private in turn": Rebinding(answers=[[OUTSIDE], ["::1"], [LATER], ["fd00::1"]], failures=["no-response", "blocked-address"] * 2, dialled=[OUTSIDE, LATER]),
    "one bad answer behind a good one": Rebinding(answers=[[OUTSIDE, "127.0.0.2"]], failures=["blocked-address"]),
    "one bad answer before a good one": Rebinding(answers=[["127.0.0.2", OUTSIDE]], failures=["blocked-address"]),
    "one bad answer among many": Rebinding(answers=[[OUTSIDE] * 50 + ["169.254.169.254"] + [OUTSIDE] * 50], failures=["blocked-address"]),
    "one bad answer of the other family": Rebinding(answers=[[OUTSIDE, "fe80::1%eth0"]], failures=["blocked-address"]),
    "one bad answer, mapped": Rebinding(answers=[["2606:2800:220:1:248:1893:25c8:1946", "::ffff:10.0.0.1"]], failures=["blocked-address"]),
    "an answer that is no address": Rebinding(answers=[["127.0.0.2 "], ["0x7f.2"], ["localhost"], [""]], failures=["blocked-address"] * 4),
    "no answer at all": Rebinding(answers=[[]], failures=["dns"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REBINDING.values(), ids=REBINDING)
def test_what_is_judged_is_what_is_dialled(case, trap, tmp_path):
    left = list(case.answers)
    guarded = door(trap, resolve=lambda host, port: left.pop(0))
    order = Order(url="http://turns.example/", headers={}, folder=tmp_path)
    failures = [guarded.fetch(order).failure for _ in case.answers]
    guarded.close()
    assert (failures, trap.dialled) == (case.failures, case.dialled)
    assert left == []  # asked once for each connection, never between


def test_the_second_handshake_goes_to_the_address_that_was_judged(authority, tmp_path):
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    dialled = []

    def dial(ip, port, timeout):
        dialled.append(ip)
        return socket.create_connection(("127.0.0.1", site.port), timeout)

    with Origin({"/": answer(b"x")}, tls=authority.server("other.example")) as site:
        taking = network(SystemClock(), cacert=authority.path, resolve=lambda h, p: answers.pop(0), dial=dial)  # fmt: skip
        order = Order(url="https://turns.example/", headers={}, folder=tmp_path, takes_invalid=True, patience=Patience(timeout=5))  # fmt: skip
        assert taking.fetch(order).message is not None
        taking.close()
    assert dialled == ["127.0.0.1"] * 2


def test_a_kept_connection_needs_no_name_and_so_no_second_judgement(tmp_path):
    questions = []

    def once(host, port):
        questions.append(host)
        return ["127.0.0.1"] if len(questions) == 1 else ["127.0.0.2"]

    with Origin(lambda _: answer(b"x")) as site:
        opened = network(FixedClock(), resolve=once)
        for n in range(3):
            opened.fetch(Order(url=f"http://turns.example:{site.port}/{n}", headers={}, folder=tmp_path))  # fmt: skip
        opened.close()
    assert (len(questions), site.connections) == (1, 1)
