"""A throw-away authority vouches for the proxy in the name of any host."""

import base64
import hashlib
import socket
import ssl
import threading
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from origins import FixedClock

from pipeline.capture import authority
from pipeline.capture.authority import Authority
from pipeline.clock import SystemClock


def shaken(made, host, asked):
    """Shake hands with the side of a host as a client that asked for another."""
    near, far = socket.socketpair()
    seen = {}

    def serve():
        with (
            suppress(OSError),
            made.side(host).wrap_socket(near, server_side=True) as sock,
        ):
            seen["alpn"] = sock.selected_alpn_protocol()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.load_verify_locations(cadata=made.pem.decode())
    with context.wrap_socket(far, server_hostname=asked) as sock:
        told = sock.getpeercert()
    thread.join(10)
    return told, seen["alpn"]


HOSTS = {
    "a name": "www.example.org",
    "a number": "127.0.0.1",
    "a number of IPv6": "2001:db8::1",
    "a long name": ".".join(["a" * 60] * 4),
    "a name with an underscore": "a_b.example",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_client_that_trusts_the_root_believes_the_side_of_a_host(host):
    told, alpn = shaken(Authority(SystemClock()), host, host)
    assert told["subjectAltName"]
    assert alpn == "http/1.1"


def test_one_host_does_not_answer_for_another():
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(Authority(SystemClock()), "a.example", "b.example")


def test_its_leaves_vouch_for_nobody():
    root = x509.load_pem_x509_certificate(Authority(FixedClock()).pem)
    told = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (told.value.ca, told.value.path_length) == (True, 0)


def test_the_fingerprint_is_that_of_the_roots_key():
    made = Authority(FixedClock())
    key = x509.load_pem_x509_certificate(made.pem).public_key()
    told = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(made.spki) == hashlib.sha256(told).digest()


def test_a_host_has_one_leaf_as_long_as_it_is_asked_for():
    made = Authority(FixedClock())
    assert made.side("a.example") is made.side("a.example")
    assert made.side("a.example") is not made.side("b.example")


def test_the_leaf_that_was_longest_not_asked_for_is_forgotten(monkeypatch):
    monkeypatch.setattr(authority, "MOST_LEAVES", 2)
    made = Authority(FixedClock())
    first, second = made.side("a.example"), made.side("b.example")
    made.side("a.example")
    made.side("c.example")
    assert made.side("a.example") is first
    assert made.side("b.example") is not second


def test_two_authorities_have_two_keys():
    assert Authority(FixedClock()).spki != Authority(FixedClock()).spki
