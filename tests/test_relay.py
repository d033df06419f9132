"""Bytes are carried both ways, counted, until either side ends or a bound is met."""

import socket
import threading

from pipeline.capture.relay import Relayed, relay


def carrying(*, room=1 << 20, seconds=10.0):
    """Return the outer ends of a relay under way, and what comes of it."""
    near, near_end = socket.socketpair()
    far, far_end = socket.socketpair()
    found = []

    def run():
        found.append(relay(near_end, far_end, seconds_left=lambda: seconds, room=room))
        near_end.close()
        far_end.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return near, far, thread, found


def test_what_goes_in_at_one_end_comes_out_at_the_other():
    near, far, thread, found = carrying()
    with near, far:
        near.sendall(b"ping")
        assert far.recv(10) == b"ping"
        far.sendall(b"pong!")
        assert near.recv(10) == b"pong!"
        near.close()
        thread.join(10)
    assert found == [Relayed(out=4, back=5)]


def test_either_side_may_end_it():
    near, far, thread, found = carrying()
    with near, far:
        far.close()
        assert near.recv(10) == b""
        thread.join(10)
    assert found == [Relayed()]


def test_it_ends_where_there_is_no_more_room():
    near, far, thread, found = carrying(room=100)
    with near, far:
        near.sendall(b"x" * 200)
        thread.join(10)
        assert far.recv(1000) == b"x" * 200
    assert found == [Relayed(out=200)]


def test_it_ends_where_nobody_speaks_for_too_long():
    near, far, thread, found = carrying(seconds=0.01)
    with near, far:
        thread.join(10)
    assert found == [Relayed()]


def test_it_does_not_begin_where_there_is_no_time():
    near, far, thread, found = carrying(seconds=0.0)
    with near, far:
        thread.join(10)
    assert found == [Relayed()]
