"""What a handshake is told to have been is what the server was set up to do."""

import ssl
from dataclasses import dataclass

import pytest
from origins import LOOPBACK, Origin, answer
from pki import DER, Pki

from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.order import Order, Patience
from pipeline.capture.tls import ANOTHER, ERRORS, PUBLIC, error_name, tls_context, told
from pipeline.clock import SystemClock


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def meet(network, tmp_path, pki):
    """Ask a server once, trusting the root, and return the reply."""
    doors = []

    def ask(site, host="localhost", *, trusts=True, takes_invalid=False):
        if not doors:
            doors.append(network(SystemClock(), cacert=pki.roots if trusts else None))
        url = f"https://{host}:{site.port}/"
        order = Order(url=url, headers={}, folder=tmp_path, takes_invalid=takes_invalid)
        return doors[0].fetch(order)

    return ask


def pages():
    return {"/": answer(b"x")}


# --------------------------------------------------------------------- what was agreed


def test_a_chain_is_kept_as_it_was_sent(meet, pki):
    leaf = pki.leaf()
    with Origin(pages(), tls=pki.server(leaf, pki.intermediate)) as site:
        made = meet(site).contact.handshake
    sent = tuple(one.public_bytes(DER) for one in (leaf, pki.intermediate))
    assert made.chain == sent
    assert not made.is_leaf_only
    assert made.root == pki.root.public_bytes(DER)
    assert (made.error, made.detail) == ("", "")


def test_what_a_server_sends_beside_the_point_is_kept_in_its_order(meet, pki):
    leaf, stray = pki.leaf(), pki.self_signed("stray.example")
    with Origin(pages(), tls=pki.server(leaf, stray, pki.intermediate)) as site:
        made = meet(site).contact.handshake
    sent = (leaf, stray, pki.intermediate)
    assert made.chain == tuple(one.public_bytes(DER) for one in sent)


VERSIONS = {"tls/1.2": ssl.TLSVersion.TLSv1_2, "tls/1.3": ssl.TLSVersion.TLSv1_3}


@pytest.mark.parametrize("version", VERSIONS)
def test_version_cipher_and_alpn_are_what_the_server_agreed_to(meet, pki, version):
    server = pki.server(pki.leaf(), pki.intermediate)
    server.minimum_version = server.maximum_version = VERSIONS[version]
    server.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")  # of TLS 1.2; 1.3 has its own
    with Origin(pages(), tls=server) as site:
        reply = meet(site)
    made = reply.contact.handshake
    assert made.version == reply.contact.tls == version
    assert made.cipher == reply.contact.cipher
    assert made.cipher.startswith("TLS_" if version == "tls/1.3" else "ECDHE-ECDSA-AES128")  # fmt: skip
    assert made.alpn == "http/1.1"


def test_an_alpn_that_was_not_chosen_is_none(meet, pki):
    server = pki.server(pki.leaf(), pki.intermediate)
    server.set_alpn_protocols([])
    with Origin(pages(), tls=server) as site:
        assert meet(site).contact.handshake.alpn == ""


def test_plain_http_has_no_handshake(network, tmp_path):
    with Origin(pages()) as site:
        reply = network().fetch(Order(url=site.url, headers={}, folder=tmp_path))
    assert reply.contact.handshake is None


# -------------------------------------------------------------------------- whose roots


def test_a_root_of_the_operators_is_said_to_be_one(meet, pki):
    with Origin(pages(), tls=pki.server(pki.leaf(), pki.intermediate)) as site:
        assert meet(site).contact.handshake.trusted_by == "--cacert"


def test_a_public_root_is_certifis_even_beside_the_operators(pki):
    alone, beside = tls_context(), tls_context(pki.roots)
    public = alone.verifying.get_ca_certs(binary_form=True)[0]
    assert alone.origin(public) == beside.origin(public) == PUBLIC
    assert beside.origin(pki.root.public_bytes(DER)) == "--cacert"


# ------------------------------------------------------------------ what fails the check


@dataclass(frozen=True)
class Bad:
    error: str
    host: str = "localhost"
    days: tuple = (-10, 10)
    trusts: bool = True
    is_self_signed: bool = False
    sends_intermediate: bool = True


BAD = {
    "expired": Bad("CERT_HAS_EXPIRED", days=(-10, -1)),
    "of tomorrow": Bad("CERT_NOT_YET_VALID", days=(1, 10)),
    "of another host": Bad("HOSTNAME_MISMATCH", host="other.example"),
    "self-signed": Bad("DEPTH_ZERO_SELF_SIGNED_CERT", is_self_signed=True),
    "of an unknown authority": Bad("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", trusts=False),
    "without its intermediate": Bad("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", sends_intermediate=False),
}  # fmt: skip


def served(pki, bad):
    if bad.is_self_signed:
        return (pki.self_signed(bad.host),)
    leaf = pki.leaf(bad.host, days=bad.days)
    return (leaf, pki.intermediate) if bad.sends_intermediate else (leaf,)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_certificate_ends_it_without_leave(meet, pki, what):
    bad = BAD[what]
    with Origin(pages(), tls=pki.server(*served(pki, bad))) as site:
        reply = meet(site, trusts=bad.trusts)
    assert reply.failure == "tls"
    assert reply.message is None
    assert site.requests == []


@pytest.mark.parametrize("what", BAD)
def test_with_leave_it_is_met_again_and_the_error_named(meet, pki, what):
    bad = BAD[what]
    chain = served(pki, bad)
    with Origin(pages(), tls=pki.server(*chain)) as site:
        reply = meet(site, trusts=bad.trusts, takes_invalid=True)
    made = reply.contact.handshake
    assert made.error == bad.error
    assert made.detail == reply.contact.tls_invalid != ""
    assert made.chain == tuple(one.public_bytes(DER) for one in chain)
    assert (made.root, made.trusted_by) == (b"", "")
    assert b"".join(reply.message.payload()) == b"x"


def test_a_good_certificate_is_met_once_with_leave(meet, pki):
    with Origin(pages(), tls=pki.server(pki.leaf(), pki.intermediate)) as site:
        reply = meet(site, takes_invalid=True)
        assert reply.contact.tls_invalid == ""
        assert site.connections == 1


def test_what_is_no_certificate_error_stays_a_failure_with_leave(network, tmp_path):
    with Origin(pages()) as site:  # which speaks no TLS
        order = Order(
            url=f"https://127.0.0.1:{site.port}/",
            headers={},
            folder=tmp_path,
            takes_invalid=True,
            patience=Patience(timeout=0.2),
        )
        assert network(SystemClock()).fetch(order).failure == "tls"


def test_the_leave_of_one_source_is_not_anothers(meet, pki):
    with Origin(pages(), tls=pki.server(pki.self_signed())) as site:
        assert meet(site, takes_invalid=True).message is not None
        assert meet(site).failure == "tls"
        assert meet(site, takes_invalid=True).message is not None
        assert site.requests == ["/", "/"]


def test_a_connection_taken_with_leave_is_not_sent_ahead_on_without(
    network, tmp_path, pki
):
    door = network(SystemClock())
    with Origin(pages(), tls=pki.server(pki.self_signed())) as site:
        url = f"https://localhost:{site.port}/"
        order = Order(url=url, headers={}, folder=tmp_path, takes_invalid=True)
        assert door.fetch(order).message is not None
        assert not door.ahead(Order(url=url, headers={}, folder=tmp_path))


def test_the_second_meeting_is_with_the_address_that_was_judged(network, tmp_path, pki):
    dialled, answers = [], iter((["127.0.0.1"], ["10.0.0.1"]))

    def dial(ip, port, timeout):
        import socket

        dialled.append(ip)
        return socket.create_connection((ip, port), timeout)

    door = network(SystemClock(), resolve=lambda *_: next(answers), dial=dial)
    with Origin(pages(), tls=pki.server(pki.self_signed())) as site:
        url = f"https://localhost:{site.port}/"
        order = Order(url=url, headers={}, folder=tmp_path, takes_invalid=True)
        assert door.fetch(order).message is not None
    assert dialled == ["127.0.0.1", "127.0.0.1"]


def test_another_chain_at_the_second_meeting_is_said_to_be_one(meet, pki):
    first, second = pki.self_signed(), pki.leaf()
    shown = [pki.server(first), pki.server(second, pki.intermediate)]

    class Fickle:
        def wrap_socket(self, connection, **options):
            return shown.pop(0).wrap_socket(connection, **options)

    with Origin(pages(), tls=Fickle()) as site:
        made = meet(site, takes_invalid=True).contact.handshake
    assert made.error == "DEPTH_ZERO_SELF_SIGNED_CERT"  # and never taken for valid
    assert made.detail == f"self-signed certificate; {ANOTHER}"
    assert made.chain[0] == second.public_bytes(DER)


def test_an_error_without_a_name_here_keeps_its_number():
    assert error_name(10) == "CERT_HAS_EXPIRED"
    assert error_name(4711) == "X509_V_ERR 4711"
    assert len(set(ERRORS.values())) == len(ERRORS)


# ------------------------------------------------------------- what was asked and answered


def test_a_contact_tells_the_name_its_answers_and_the_rule_that_led_elsewhere(
    network, tmp_path, pki
):
    with Origin(pages(), tls=pki.server(pki.leaf("a.example"), pki.intermediate)) as site:  # fmt: skip
        rule = ConnectTo(host="a.example", to_host="localhost", to_port=site.port)
        policy = Policy(allow=(LOOPBACK,), connect_to=(rule,))
        door = network(SystemClock(), policy=policy, cacert=pki.roots)
        contact = door.fetch(Order(url="https://a.example/", headers={}, folder=tmp_path)).contact  # fmt: skip
    assert (contact.host, contact.asked, contact.port) == ("a.example", "localhost", site.port)  # fmt: skip
    assert contact.connect_to == f"a.example::localhost:{site.port}"
    assert "127.0.0.1" in contact.dns
    assert contact.ip in contact.dns
    assert contact.dns_seconds > 0
    assert contact.started is not None


def test_a_number_is_not_asked_for(network, tmp_path):
    with Origin(pages()) as site:
        contact = network().fetch(Order(url=site.url, headers={}, folder=tmp_path)).contact  # fmt: skip
    assert (contact.host, contact.asked) == ("127.0.0.1", "")


# ------------------------------------------------------------------------ other Pythons


class Sock:
    """A socket as some Python has it."""

    def __init__(self, **methods):
        for name, found in methods.items():
            setattr(self, name, lambda found=found: found)

    def version(self):
        return "TLSv1.3"

    def cipher(self):
        return None

    def getpeercert(self, *, binary_form):
        return b"leaf"

    def selected_alpn_protocol(self):
        return None


PYTHONS = {
    "public, 3.13": (Sock(get_unverified_chain=[b"leaf", b"middle"], get_verified_chain=[b"leaf", b"root"]), (b"leaf", b"middle"), b"root"),
    "none at all": (Sock(), (b"leaf",), b""),
    "none told": (Sock(get_unverified_chain=None), (b"leaf",), b""),
}  # fmt: skip


@pytest.mark.parametrize("python", PYTHONS)
def test_a_chain_is_asked_of_what_there_is(python):
    sock, chain, root = PYTHONS[python]
    made = told(sock, tls_context(), None)
    assert (made.chain, made.root) == (chain, root)
    assert made.is_leaf_only == (len(chain) == 1)
    assert made.cipher == made.alpn == ""
