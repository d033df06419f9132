"""Bytes both ways between two connections, counted, until either ends."""

import select
import socket
import ssl
from collections.abc import Callable

from msgspec import Struct

PIECE = 1 << 16


class Relayed(Struct, frozen=True, kw_only=True):
    """How many bytes went each way."""

    out: int = 0
    back: int = 0


def relay(
    near: socket.socket,
    far: socket.socket,
    *,
    seconds_left: Callable[[], float],
    room: int,
) -> Relayed:
    """Carry bytes between two connections until one ends, or time or room does.

    One thread for both ways: a TLS connection is not to be read and written at once.
    """
    carried = {near: 0, far: 0}
    poll = select.poll()
    for one in carried:
        poll.register(one, select.POLLIN)
    by_number = {one.fileno(): one for one in carried}
    while (seconds := seconds_left()) > 0 and sum(carried.values()) < room:
        ready = [one for one in carried if _has_more(one)]
        if not ready:
            ready = [by_number[number] for number, _ in poll.poll(seconds * 1000)]
        if not ready:
            break
        for one in ready:
            other = far if one is near else near
            if (moved := _carry(one, other, seconds)) is None:
                return Relayed(out=carried[near], back=carried[far])
            carried[one] += moved
    return Relayed(out=carried[near], back=carried[far])


def _has_more(one: socket.socket) -> bool:
    """Tell whether TLS holds bytes that the socket will not show."""
    return isinstance(one, ssl.SSLSocket) and one.pending() > 0


def _carry(one: socket.socket, other: socket.socket, seconds: float) -> int | None:
    """Carry what is there; None at the end of it."""
    try:
        one.settimeout(0.0)
        data = one.recv(PIECE)
        other.settimeout(seconds)
        other.sendall(data)
    except (ssl.SSLWantReadError, BlockingIOError):
        return 0  # half a TLS record, or none of ours
    except OSError:
        return None
    return len(data) or None
