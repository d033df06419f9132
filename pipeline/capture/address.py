"""Which network addresses may be contacted, and which never.

Pure: names and numbers in, a refusal in words out ("" where there is none). What is
judged is the resolved address at the moment of connecting, at every hop, so a spelling
of a host cannot matter. Resolving and connecting are left to ``net``.
"""

import ipaddress
from collections.abc import Iterable

from msgspec import Struct

from pipeline.config import Network, parse_network
from pipeline.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

USUAL_PORTS = (80, 443)

# IANA special-purpose registries (RFC 6890) and what Python's is_global lets through.
NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy"),
        ("2001::/23", "protocol assignments (Teredo, ORCHID)"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
# All else is reserved, if not the shell of an IPv4 address (RFC 4291, 2.4); in it are
# the IPv4-translated ::ffff:0:a.b.c.d, which some systems still take for a.b.c.d.
GLOBAL = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
ISATAP = 0x5EFE  # the middle of ...:0:5efe:a.b.c.d, RFC 5214


class ConnectTo(Struct, frozen=True, kw_only=True):
    """curl's ``HOST1:PORT1:HOST2:PORT2``: go to the second; empty matches all."""

    host: str = ""
    port: int | None = None
    to_host: str = ""
    to_port: int | None = None

    def __str__(self) -> str:
        parts = (self.host, self.port or "", self.to_host, self.to_port or "")
        return ":".join(str(part) for part in parts)


class Policy(Struct, frozen=True, kw_only=True):
    """What a run may contact beyond the public internet on ports 80 and 443."""

    allow: tuple[Network, ...] = ()
    connect_to: tuple[ConnectTo, ...] = ()
    named: frozenset[tuple[str, int]] = frozenset()  # host and port in the manifest


class Destination(Struct, frozen=True, kw_only=True):
    """Where a connection really goes."""

    host: str
    port: int
    is_mapped: bool  # a connect-to of the operator's says so, which allows the port
    is_named: bool = False  # and names the host, which allows its address
    rule: str = ""  # as the operator wrote it


def refusal(address: str, allow: Iterable[Network] = ()) -> str:
    """Say why an address may not be contacted, or "" where it may."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address!r} is not an IP address"
    if any(ip.version == network.version and ip in network for network in allow):
        return ""
    inner = _carried(ip)
    for one in (ip, inner):
        for network, name in NEVER:
            if one.version == network.version and one in network and one != _shell(ip):
                return f"{address} is a {name} address ({network})"
    is_reserved = isinstance(inner, ipaddress.IPv6Address) and inner not in GLOBAL
    if is_reserved or not inner.is_global:
        return f"{address} is not a public address"
    return ""


def _carried(ip: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one, or the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    low = int(ip) & 0xFFFFFFFF
    if ip in NAT64 or (int(ip) >> 32) & 0xFDFFFFFF == ISATAP:
        return ipaddress.IPv4Address(low)
    return ip


def _shell(ip: Address) -> Address | None:
    """Return the IPv6 wrapping that says nothing of itself: only its inside counts."""
    return ip if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped else None


def port_refusal(host: str, port: int, policy: Policy) -> str:
    """Say why a port may not be contacted, or "" where it may."""
    if port in USUAL_PORTS or policy.allow or (host, port) in policy.named:
        return ""
    return f"port {port} of {host} is neither 80, 443 nor named in the manifest"


def destination(host: str, port: int, policy: Policy) -> Destination:
    """Apply the first connect-to that matches."""
    for rule in policy.connect_to:
        if rule.host in ("", host) and rule.port in (None, port):
            return Destination(
                host=rule.to_host or host,
                port=rule.to_port or port,
                is_mapped=True,
                is_named=bool(rule.to_host),
                rule=str(rule),
            )
    return Destination(host=host, port=port, is_mapped=False)


def is_name(host: str) -> bool:
    """Tell whether a host is a name, and no number that needs no asking."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def parse_allow(text: str) -> Network:
    """Read a CIDR such as ``127.0.0.0/8``. Raises UsageError for anything else."""
    try:
        return parse_network(text)
    except ValueError as error:
        raise UsageError(f"--allow-address {text}: {error}") from error


def parse_connect_to(text: str) -> ConnectTo:
    """Read curl's ``HOST1:PORT1:HOST2:PORT2``, IPv6 addresses in brackets.

    Raises UsageError for anything else.
    """
    parts = _split_outside_brackets(text)
    if len(parts) != 4:  # noqa: PLR2004 - the four names in the form
        raise UsageError(
            f"--connect-to {text}: expected HOST1:PORT1:HOST2:PORT2, "
            f"found {len(parts)} parts; an empty HOST1 or PORT1 matches all"
        )
    host, port, to_host, to_port = parts
    return ConnectTo(
        host=host.strip("[]").lower(),
        port=_port(port, text),
        to_host=to_host.strip("[]").lower(),
        to_port=_port(to_port, text),
    )


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _port(text: str, whole: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16:
        return int(text)
    raise UsageError(f"--connect-to {whole}: {text!r} is not a port, 1 to 65535")
