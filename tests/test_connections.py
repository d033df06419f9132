"""What is told of a connection, in capture.json and in the WARC, and that they agree."""

import io
import json
import shutil
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import samples
from cryptography import x509
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from origins import LOOPBACK, Origin, answer, redirect
from pki import DER, NOW, Pki, sct, sct_list
from warcio.archiveiterator import ArchiveIterator

from pipeline import warc
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.connections import (
    LONGEST_NAME,
    MOST_TOLD,
    certificate,
    chain_block,
    connection_of,
    log_timestamps,
    lookup_block,
)
from pipeline.capture.order import Contact
from pipeline.capture.robots import Robots
from pipeline.capture.tls import Handshake
from pipeline.capture.visit import Task, visit
from pipeline.clock import SystemClock
from pipeline.fixity import digest_of
from pipeline.model import RobotsPolicy, Source, TlsPolicy, Verdict
from pipeline.packaging import warccheck
from pipeline.packaging.story import capture_json

LOG = bytes(range(32))
MOMENT = datetime(2026, 9, 1, 12, 30, 0, 250_000, tzinfo=UTC)
MILLISECONDS = round(MOMENT.timestamp() * 1000)
ROOT = Path(__file__).parents[1]
WARC_PATH = "data/objects/capture.warc.gz"
PAGE = answer(
    b"<title>A</title><p>words that stand here<img src=/a.gif><img src=/b.gif>"
)
GIF = answer(b"GIF89a", kind="image/gif")
PAGES = {"/": PAGE, "/a.gif": GIF, "/b.gif": GIF}


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


class Home:
    """A visit brought home: what is told of it, and the WARC in three readings."""

    def __init__(self, home, folder):
        self.capture, self.index = home.capture, home.index
        self.path = folder / WARC_PATH
        told = capture_json(replace(samples.ACCESSION, capture=home.capture))
        self.story = json.loads(json.dumps(told))

    @property
    def records(self):
        return list(warc.read(self.path))

    def at(self, place):
        """The record that stands where a reference says."""
        data = self.path.read_bytes()[place["offset"] :][: place["length"]]
        found = next(ArchiveIterator(io.BytesIO(data), no_record_parse=True))
        assert found.rec_headers["WARC-Record-ID"] == place["record"]
        return found.rec_headers, found.raw_stream.read()

    def findings(self, story=None):
        with self.path.open("rb") as file:
            return tuple(
                warccheck.check(file, index=self.index, capture=story or self.story)
            )


@pytest.fixture
def visited(network, tmp_path, pki):
    """Visit https://HOST/ once, whatever port the server has."""

    def run(site, host="news.example", *, trusts=True, path="/", **told):
        rules = (ConnectTo(host=host, to_host="127.0.0.1", to_port=site.port),)
        policy = told.pop("policy", Policy(allow=(LOOPBACK,), connect_to=rules))
        door = network(
            SystemClock(), policy=policy, cacert=pki.roots if trusts else None
        )
        folder = tmp_path / f"visit-{host}-{site.port}"
        folder.mkdir()
        told = {
            "retries": 0,
            "delay": timedelta(0),
            "robots": RobotsPolicy.IGNORE,
        } | told
        told = {"requisite_delay": timedelta(0), "url": f"https://{host}{path}"} | told
        source = Source(id="one", **told)
        task = Task(source=source, folder=folder, about=(("software", "test"),))
        return Home(visit(task, network=door, robots=Robots()), folder)

    return run


@pytest.fixture
def site(pki):
    leaf = pki.leaf("news.example", extra=[sct_list(sct(LOG, MILLISECONDS))])
    with Origin(dict(PAGES), tls=pki.server(leaf, pki.intermediate)) as origin:
        origin.leaf = leaf
        yield origin


# ---------------------------------------------------------------------- in capture.json


def test_one_connection_is_told_once_however_many_exchanges(visited, site):
    home = visited(site)
    (one,) = home.capture.connections
    assert [each.connection for each in home.capture.exchanges] == [1, 1, 1]
    assert one.number == site.connections == 1


def test_a_connection_tells_what_the_server_showed(visited, site, pki):
    (told,) = visited(site).story["connections"]
    assert (told["host"], told["ip"], told["port"]) == (
        "news.example",
        "127.0.0.1",
        site.port,
    )
    assert told["connect_to"] == f"news.example::127.0.0.1:{site.port}"
    assert (told["tls"], told["alpn"]) == ("tls/1.3", "http/1.1")
    assert told["cipher"].startswith("TLS_")
    assert (told["verification"], told["error"], told["detail"]) == ("valid", "", "")
    assert told["is_leaf_only"] is False
    sent = (site.leaf, pki.intermediate)
    assert [each["digest"] for each in told["certificates"]] == [
        str(digest_of(one.public_bytes(DER))) for one in sent
    ]
    leaf = told["certificates"][0]
    assert (leaf["subject"], leaf["issuer"]) == (
        "CN=news.example",
        "CN=Test intermediate",
    )
    assert (
        leaf["valid_until"] == f"{NOW + timedelta(days=10):%Y-%m-%dT%H:%M:%S}.000000Z"
    )
    assert told["root"]["subject"] == "CN=Test root"
    assert told["trusted_by"] == "--cacert"
    assert told["scts"] == [{"log": LOG.hex(), "at": "2026-09-01T12:30:00.250000Z"}]


def test_plain_http_tells_where_and_nothing_of_tls(network, tmp_path):
    with Origin({"/": answer(b"words")}) as site:
        source = Source(id="one", url=f"{site.url}/", robots=RobotsPolicy.IGNORE)
        task = Task(source=source, folder=tmp_path, about=())
        home = Home(visit(task, network=network(), robots=Robots()), tmp_path)
    (told,) = home.story["connections"]
    assert (told["ip"], told["port"], told["asked"]) == ("127.0.0.1", site.port, "")
    assert (told["tls"], told["verification"], told["certificates"]) == ("", "", [])
    assert (told["chain"], told["lookup"]) == (None, None)
    assert {record.type for record in home.records} == {"warcinfo", "response", "request", "resource"}  # fmt: skip


def test_a_connection_of_an_earlier_source_is_told_in_each_bag(network, tmp_path):
    door, homes = network(), []
    with Origin({"/": answer(b"words")}) as site:
        for number in (1, 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            source = Source(id="one", url=f"{site.url}/", delay=timedelta(0), robots=RobotsPolicy.IGNORE)  # fmt: skip
            task = Task(source=source, folder=folder, about=())
            homes.append(visit(task, network=door, robots=Robots()).capture)
        assert site.connections == 1
    assert homes[0].connections == homes[1].connections
    assert [each.connection for each in homes[1].exchanges] == [1]


# --------------------------------------------------------------------------- in the WARC


def test_the_chain_stands_in_the_warc_as_it_was_sent(visited, site, pki):
    home = visited(site)
    (told,) = home.story["connections"]
    fields, block = home.at(told["chain"])
    assert fields["WARC-Type"] == "metadata"
    assert fields["Content-Type"] == "application/x-pem-file"
    assert fields["WARC-Target-URI"] == "https://news.example/"
    assert fields["WARC-Concurrent-To"] == home.capture.exchanges[0].response.id
    kept = x509.load_pem_x509_certificates(block)
    assert kept == [site.leaf, pki.intermediate]
    text = block.decode()
    assert "Verification: valid\n" in text
    assert f"Root: {digest_of(pki.root.public_bytes(DER))} CN=Test root\n" in text
    assert "Trusted by: --cacert\n" in text


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_openssl_reads_the_chain_out_of_its_record(visited, site):
    home = visited(site)
    _, block = home.at(home.story["connections"][0]["chain"])
    read = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"],
        input=block, capture_output=True, check=True,
    )  # fmt: skip
    assert b"news.example" in read.stdout


def test_responses_name_protocol_and_cipher(visited, site):
    home = visited(site)
    for record in home.records:
        if record.type == "response":
            spoken = [value for key, value in record.fields if key == "WARC-Protocol"]
            assert spoken == ["http/1.1", "tls/1.3"]
            assert record.field("WARC-Cipher-Suite").startswith("TLS_")
            assert record.field("WARC-IP-Address") == "127.0.0.1"


def test_the_answers_to_a_name_are_a_dns_record(visited, pki):
    leaf = pki.leaf("localhost")
    with Origin(dict(PAGES), tls=pki.server(leaf, pki.intermediate)) as site:
        rule = ConnectTo(host="localhost", port=443, to_port=site.port)
        policy = Policy(allow=(LOOPBACK,), connect_to=(rule,))
        home = visited(site, "localhost", policy=policy)
    (told,) = home.story["connections"]
    assert told["asked"] == "localhost"
    assert "127.0.0.1" in told["dns"]
    fields, block = home.at(told["lookup"])
    assert fields["WARC-Type"] == "resource"
    assert fields["WARC-Target-URI"] == "dns:localhost"
    assert fields["Content-Type"] == "text/dns"
    assert fields["WARC-Date"] == told["started"]
    assert b"\r\nlocalhost. IN A 127.0.0.1\r\n" in block
    assert any(line.startswith(b"dns:localhost ") for line in home.index.splitlines())
    assert home.findings() == ()


def test_a_chain_and_a_lookup_are_kept_once_for_many_connections(visited, pki):
    closing = {path: page.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) for path, page in PAGES.items()}  # fmt: skip

    def once(page):
        return lambda connection: connection.sendall(page)

    pages = {path: once(page) for path, page in closing.items()}
    with Origin(pages, tls=pki.server(pki.leaf("localhost"), pki.intermediate)) as site:
        rule = ConnectTo(host="localhost", port=443, to_port=site.port)
        policy = Policy(allow=(LOOPBACK,), connect_to=(rule,))
        home = visited(site, "localhost", policy=policy)
    told = home.story["connections"]
    assert [one["number"] for one in told] == [1, 2, 3]
    assert [one["connection"] for one in home.story["exchanges"]] == [1, 2, 3]
    assert len({one["chain"]["record"] for one in told}) == 1
    assert len({one["lookup"]["record"] for one in told}) == 1
    types = [record.type for record in home.records]
    assert (types.count("metadata"), types.count("response")) == (1, 3)
    assert home.findings() == ()


def test_warcio_and_fastwarc_read_what_we_read_and_find_the_digests_right(
    visited, site
):
    home = visited(site)
    ours = [(record.type, record.field("WARC-Record-ID")) for record in home.records]
    with home.path.open("rb") as file:
        theirs = []
        for one in ArchiveIterator(file, check_digests="raise"):
            one.raw_stream.read()
            theirs.append((one.rec_type, one.rec_headers["WARC-Record-ID"]))
    with home.path.open("rb") as file:
        fast = []
        for one in FastIterator(file, parse_http=False):
            assert one.verify_block_digest()
            fast.append((one.headers["WARC-Type"], one.headers["WARC-Record-ID"]))
    assert ours == theirs == fast


def test_our_own_check_finds_nothing_wrong(visited, site):
    assert visited(site).findings() == ()


STORIES = {
    "a chain that is elsewhere": (lambda one: one["chain"].update(offset=7), "no whole record starts at offset 7"),
    "a chain of another name": (lambda one: one["chain"].update(record="<urn:x:y>"), "connection 1, chain: id is"),
    "a chain that is no place": (lambda one: one.update(chain=3), "its chain has no offset"),
    "a number that no exchange means": (lambda one: one.update(number=2), "exchange 1: there is no connection 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", STORIES)
def test_a_story_that_the_warc_does_not_bear_out_is_found(visited, site, what):
    change, words = STORIES[what]
    home = visited(site)
    change(home.story["connections"][0])
    found = home.findings()
    assert {one.code for one in found} == {"warc-capture"}
    assert any(words in one.message for one in found)


def test_a_lookup_that_is_said_to_be_a_response_is_found(visited, site):
    home = visited(site)
    home.story["connections"][0]["lookup"] = home.story["exchanges"][0]["response"]
    (found,) = home.findings()
    assert "its lookup is not where exchange 1, response is" in found.message


# -------------------------------------------------------------------------- tls: record


def test_without_leave_a_bad_certificate_fails_the_source(visited, pki):
    with Origin(dict(PAGES), tls=pki.server(pki.self_signed("news.example"))) as site:
        home = visited(site)
    assert (home.capture.verdict, home.capture.reasons) == (Verdict.FAILED, ("tls",))
    assert home.capture.connections == ()
    assert site.requests == []


def test_with_leave_the_content_is_kept_and_suspect(visited, pki):
    with Origin(dict(PAGES), tls=pki.server(pki.self_signed("news.example"))) as site:
        home = visited(site, tls=TlsPolicy.RECORD)
    assert (home.capture.verdict, home.capture.reasons) == (
        Verdict.SUSPECT,
        ("tls-invalid",),
    )
    assert "self-signed certificate" in home.capture.detail
    (told,) = home.story["connections"]
    assert (told["verification"], told["error"]) == (
        "invalid",
        "DEPTH_ZERO_SELF_SIGNED_CERT",
    )
    assert (told["root"], told["trusted_by"]) == (None, "")
    _, block = home.at(told["chain"])
    assert (
        b"Verification: invalid\nError: DEPTH_ZERO_SELF_SIGNED_CERT, self-signed"
        in block
    )
    assert [each.tls_invalid for each in home.capture.exchanges] == [
        "self-signed certificate"
    ] * 3
    assert home.capture.requisites.kept == 2
    assert home.findings() == ()


def test_with_leave_a_good_certificate_is_no_reason(visited, site):
    home = visited(site, tls=TlsPolicy.RECORD)
    assert (home.capture.verdict, home.capture.reasons) == (Verdict.CAPTURED, ())


def test_a_refusal_behind_a_bad_certificate_has_both_reasons(visited, pki):
    with Origin({}, tls=pki.server(pki.self_signed("news.example"))) as site:
        home = visited(site, tls=TlsPolicy.RECORD)
    assert home.capture.verdict is Verdict.REFUSED
    assert home.capture.reasons == ("http-404", "tls-invalid")


def test_a_redirect_from_behind_a_bad_certificate_makes_its_goal_suspect(visited, pki):
    # whoever answered in the host's place chose where it leads
    with Origin({"/goal": answer(b"words")}) as goal:
        pages = {"/": redirect(f"{goal.url}/goal")}
        with Origin(pages, tls=pki.server(pki.self_signed("news.example"))) as site:
            home = visited(site, tls=TlsPolicy.RECORD)
    assert home.capture.final_url == f"{goal.url}/goal"
    assert home.capture.reasons == ("tls-invalid",)
    assert [each.connection for each in home.capture.exchanges] == [1, 2]


def test_robots_txt_behind_a_bad_certificate_is_asked_with_leave(visited, pki):
    pages = {
        "/robots.txt": answer(b"User-agent: *\nDisallow: /x", kind="text/plain"),
        **PAGES,
    }
    with Origin(pages, tls=pki.server(pki.self_signed("news.example"))) as site:
        home = visited(site, tls=TlsPolicy.RECORD, robots=RobotsPolicy.OBEY)
    assert home.capture.verdict is Verdict.SUSPECT
    assert site.requests[0] == "/robots.txt"


# --------------------------------------------------------------- a stranger's certificate


def test_plain_http_never_loads_cryptography():
    script = (
        "import sys, pipeline.capture.visit; sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_what_is_no_certificate_has_a_digest_and_nothing_else():
    told = certificate(b"nonsense")
    assert told.digest == digest_of(b"nonsense")
    assert (told.subject, told.issuer, told.valid_from, told.valid_until) == (
        "",
        "",
        None,
        None,
    )
    assert log_timestamps(b"nonsense") == ()


@pytest.fixture(scope="module")
def der(pki):
    made = sct_list(sct(LOG, MILLISECONDS))
    return pki.leaf("news.example", extra=[made]).public_bytes(DER)


@settings(max_examples=60)
@given(at=st.integers(0, 400), to=st.integers(0, 255))
def test_a_certificate_with_any_byte_changed_is_told_or_not_and_never_raises(
    der, at, to
):
    changed = bytearray(der)
    changed[at % len(changed)] = to
    assert certificate(bytes(changed)).digest == digest_of(bytes(changed))
    assert len(log_timestamps(bytes(changed))) <= 1


def test_a_leaf_without_scts_has_none(pki):
    assert log_timestamps(pki.leaf().public_bytes(DER)) == ()


def test_scts_are_told_up_to_a_number(pki):
    many = sct_list(*(sct(LOG, MILLISECONDS + n) for n in range(MOST_TOLD + 5)))
    found = log_timestamps(pki.leaf(extra=[many]).public_bytes(DER))
    assert len(found) == MOST_TOLD
    assert (found[0].log, found[0].at) == (LOG.hex(), MOMENT)


def test_an_sct_of_no_moment_that_a_calendar_holds_is_left_out(pki):
    leaf = pki.leaf(extra=[sct_list(sct(LOG, 2**63))])
    assert log_timestamps(leaf.public_bytes(DER)) == ()


SPELT = "evil\n-----BEGIN CERTIFICATE-----\nAAAA\x1b[2J"


def test_a_name_cannot_pass_for_a_certificate(pki):
    der = pki.made(SPELT, "Test root").public_bytes(DER)
    contact = Contact(
        ip="192.0.2.7",
        handshake=Handshake(version="tls/1.3", cipher="", alpn="", chain=(der,)),
    )
    told = connection_of(contact, number=1, seen=MOMENT)
    block = chain_block(told, (der,)).decode()
    assert block.count("-----BEGIN CERTIFICATE-----") == 1
    assert "\x1b" not in block
    assert ssl.PEM_cert_to_DER_cert(block[block.index("-----BEGIN") :]) == der


def test_a_long_name_and_a_long_chain_are_told_in_part_and_kept_whole(pki):
    der = pki.made("x" * 60, "Test root").public_bytes(DER)
    assert len(certificate(der).subject) <= LONGEST_NAME
    chain = (der,) * (MOST_TOLD + 3)
    made = Handshake(version="tls/1.3", cipher="", alpn="", chain=chain)
    told = connection_of(Contact(handshake=made), number=1, seen=MOMENT)
    assert len(told.certificates) == MOST_TOLD
    assert chain_block(told, chain).count(b"-----BEGIN") == len(chain)


def test_that_only_the_leaf_was_to_be_had_is_said(pki):
    der = pki.leaf().public_bytes(DER)
    made = Handshake(
        version="tls/1.3", cipher="", alpn="", chain=(der,), is_leaf_only=True
    )
    told = connection_of(Contact(handshake=made), number=1, seen=MOMENT)
    assert told.is_leaf_only
    assert b"Only the leaf was to be had.\n" in chain_block(told, (der,))


def test_answers_of_both_kinds_are_lines_of_a_master_file():
    contact = Contact(asked="a.example.", dns=("192.0.2.7", "fe80::1%eth0"))
    told = connection_of(contact, number=1, seen=MOMENT)
    assert told.started == MOMENT
    assert lookup_block(told).splitlines()[1:] == [
        b"a.example. IN A 192.0.2.7",
        b"a.example. IN AAAA fe80::1",
    ]
