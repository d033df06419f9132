"""No spelling of a forbidden address gets past the guard."""

import ipaddress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.address import (
    NEVER,
    ConnectTo,
    Policy,
    destination,
    parse_allow,
    parse_connect_to,
    port_refusal,
    refusal,
)
from pipeline.errors import UsageError

FORBIDDEN = {
    "loopback": "127.0.0.1",
    "loopback, another": "127.255.255.254",
    "this network": "0.0.0.0",
    "private, class A": "10.1.2.3",
    "private, class B": "172.31.255.255",
    "private, class C": "192.168.0.1",
    "carrier-grade NAT": "100.64.0.1",
    "link-local, cloud metadata": "169.254.169.254",
    "documentation": "192.0.2.1",
    "benchmarking": "198.19.255.255",
    "multicast": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "6to4 relay": "192.88.99.1",
    "IPv6 loopback": "::1",
    "IPv6 unspecified": "::",
    "IPv4-mapped private": "::ffff:10.0.0.1",
    "IPv4-mapped loopback in hexadecimal": "::ffff:7f00:1",
    "IPv4-compatible": "::127.0.0.1",
    "IPv4-compatible of a public address": "::8.8.8.8",
    "unique local": "fd00::1",
    "link-local": "fe80::1",
    "link-local with a zone": "fe80::1%eth0",
    "site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
    "6to4 of a private address": "2002:0a00:0001::1",
    "6to4 of a public address": "2002:0808:0808::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "NAT64 of a private address": "64:ff9b::10.0.0.1",
    "NAT64 of loopback": "64:ff9b::7f00:1",
    "local NAT64": "64:ff9b:1::1",
    "ISATAP of a private address": "2a00:1450::5efe:10.0.0.1",
    "ISATAP of a private address, universal": "2a00:1450::200:5efe:10.0.0.1",
    "discard": "100::1",
    "IPv6 documentation": "2001:db8::1",
    "new IPv6 documentation": "3fff::1",
    "segment routing": "5f00::1",
    "IPv4-translated": "::ffff:0:7f00:1",
    "IPv4-translated of a public address": "::ffff:0:808:808",
    "never given to anyone": "4000::1",
    "no address at all": "localhost",
    "octal, as a text": "0177.0.0.1",
}

PUBLIC = {
    "IPv4": "93.184.216.34",
    "IPv6": "2606:2800:220:1:248:1893:25c8:1946",
    "IPv4-mapped public": "::ffff:93.184.216.34",
    "NAT64 of a public address": "64:ff9b::93.184.216.34",
}


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_forbidden_address_is_refused_in_words(address):
    assert address in refusal(address)


@pytest.mark.parametrize("address", PUBLIC.values(), ids=PUBLIC.keys())
def test_a_public_address_may_be_contacted(address):
    assert refusal(address) == ""


@pytest.mark.parametrize(("network", "name"), NEVER, ids=str)
def test_both_ends_of_every_forbidden_network_are_refused(network, name):
    for number in (network[0], network[-1]):
        assert refusal(str(number))


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_what_it_carries(ip):
    assert bool(refusal(f"::ffff:{ip}")) == bool(refusal(str(ip)))
    assert bool(refusal(f"64:ff9b::{ip}")) == bool(refusal(str(ip)))


@given(st.ip_addresses())
def test_nothing_passes_that_python_calls_private(ip):
    if not ip.is_global or ip.is_multicast:
        mapped = getattr(ip, "ipv4_mapped", None)
        if mapped is None:
            assert refusal(str(ip))


def test_the_operator_can_open_a_network():
    allow = (parse_allow("127.0.0.0/8"), parse_allow("fd00::/8"))
    assert refusal("127.0.0.1", allow) == ""
    assert refusal("fd00::1", allow) == ""
    assert refusal("10.0.0.1", allow)


@dataclass(frozen=True, kw_only=True)
class Port:
    port: int
    refused: bool
    policy: Policy = field(default_factory=Policy)


PORTS = {
    "http": Port(port=80, refused=False),
    "https": Port(port=443, refused=False),
    "ssh": Port(port=22, refused=True),
    "another web server": Port(port=8080, refused=True),
    "one the manifest names": Port(
        port=8080, refused=False, policy=Policy(named=frozenset({("example.org", 8080)}))
    ),
    "one it names for another host": Port(
        port=8080, refused=True, policy=Policy(named=frozenset({("other.org", 8080)}))
    ),
    "any, once a network is opened": Port(
        port=22, refused=False, policy=Policy(allow=(ipaddress.ip_network("10.0.0.0/8"),))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PORTS.values(), ids=PORTS.keys())
def test_ports_beyond_the_usual_must_be_named(case):
    assert bool(port_refusal("example.org", case.port, case.policy)) == case.refused


@dataclass(frozen=True, kw_only=True)
class Rule:
    text: str
    goal: tuple[str, int]
    is_mapped: bool = True


RULES = {
    "host and port": Rule(text="a.org:443:127.0.0.1:8443", goal=("127.0.0.1", 8443)),
    "an empty host matches all": Rule(text="::127.0.0.1:8443", goal=("127.0.0.1", 8443)),
    "an empty port matches all": Rule(text="a.org::b.org:81", goal=("b.org", 81)),
    "an empty target keeps what is": Rule(text="a.org:443::8443", goal=("a.org", 8443)),
    "IPv6 in brackets": Rule(text="a.org:443:[::1]:8443", goal=("::1", 8443)),
    "capitals": Rule(text="A.ORG:443:B.org:", goal=("b.org", 443)),
    "another host": Rule(text="b.org:443:127.0.0.1:1", goal=("a.org", 443), is_mapped=False),
    "another port": Rule(text="a.org:80:127.0.0.1:1", goal=("a.org", 443), is_mapped=False),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_connect_to_leads_where_curl_would(rule):
    policy = Policy(connect_to=(parse_connect_to(rule.text),))
    goal = destination("a.org", 443, policy)
    assert (goal.host, goal.port) == rule.goal
    assert goal.is_mapped == rule.is_mapped


def test_the_first_rule_that_matches_counts():
    rules = (parse_connect_to("a.org:443:one:1"), parse_connect_to(":::2"))
    assert destination("a.org", 443, Policy(connect_to=rules)).host == "one"
    assert destination("b.org", 443, Policy(connect_to=rules)).port == 2


def test_a_rule_is_told_as_it_was_written():
    assert (
        str(parse_connect_to("a.org:443:127.0.0.1:8443")) == "a.org:443:127.0.0.1:8443"
    )
    assert str(ConnectTo(to_host="x")) == "::x:"


@pytest.mark.parametrize(
    "text", ["", "a", "a:b", "a:1:b", "a:1:b:c", "a:0:b:1", "a:70000:b:1", "a:1:b:2:c", "a:-1:b:1", "a:¹:b:1"]
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused_with_itself(text):
    with pytest.raises(UsageError, match="connect-to"):
        parse_connect_to(text)


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/33", "1.2.3"]
)
def test_a_network_that_makes_no_sense_is_refused_with_itself(text):
    with pytest.raises(UsageError, match="allow-address"):
        parse_allow(text)
