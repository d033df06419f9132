"""Content codings come off, or it is said why not, and never too much comes out."""

import gzip
import tracemalloc
import zlib
from dataclasses import dataclass

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.capture.coding import MOST_MEMBERS, PLENTY, decode

PAGE = b"<!doctype html><p>" + b"".join(
    b"About %d people were killed. " % (n * n) for n in range(4000)
)
LATIN = "<p>Montaz\xe9ri".encode("latin-1")
GZIP = gzip.compress(PAGE)
ZLIB = zlib.compress(PAGE)
BROTLI = brotli.compress(PAGE)
PACKED = {"gzip": GZIP, "deflate": ZLIB, "br": BROTLI}
PACK = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}


def bare(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@dataclass(frozen=True, kw_only=True)
class Case:
    payload: bytes
    coding: str
    data: bytes = PAGE
    problem: str = ""
    complete: bool = True


CASES = {
    "nothing said": Case(payload=PAGE, coding=""),
    "identity": Case(payload=PAGE, coding="identity"),
    "gzip": Case(payload=GZIP, coding="gzip"),
    "gzip in capitals, with blanks and commas": Case(payload=GZIP, coding=" , GZip ,"),
    "x-gzip": Case(payload=GZIP, coding="x-gzip"),
    "gzip in several members": Case(payload=GZIP + GZIP, coding="gzip", data=PAGE * 2),
    "gzip with zeros behind it": Case(payload=GZIP + bytes(40), coding="gzip"),
    "gzip with more behind it": Case(payload=GZIP + b"more", coding="gzip", problem="gzip: 4 bytes behind the end"),
    "gzip with a wrong sum": Case(payload=GZIP[:-8] + bytes(4) + GZIP[-4:], coding="gzip", problem="gzip: damaged", complete=False),
    "zlib": Case(payload=ZLIB, coding="deflate"),
    "bare deflate": Case(payload=bare(PAGE), coding="deflate"),
    "brotli": Case(payload=BROTLI, coding="br"),
    "brotli with more behind it": Case(payload=BROTLI + b"more", coding="br", problem="br: 4 bytes behind the end"),
    "stacked, the last one off first": Case(payload=gzip.compress(BROTLI), coding="br, gzip"),
    "five of them": Case(payload=zlib.compress(gzip.compress(brotli.compress(gzip.compress(ZLIB)))), coding="deflate, gzip, br, gzip, deflate"),
    "six of them": Case(payload=GZIP, coding="gzip,gzip,gzip,gzip,gzip,gzip", data=GZIP, problem="6 content codings, more than 5", complete=False),
    "an empty body": Case(payload=b"", coding="gzip", data=b""),
    "zstd": Case(payload=PAGE, coding="zstd", problem="'zstd' was not asked for", complete=False),
    "plain, said to be gzip": Case(payload=PAGE, coding="gzip", problem="said to be gzip, but is not"),
    "plain, said to be deflate": Case(payload=PAGE, coding="deflate", problem="said to be deflate, but is not"),
    "plain, said to be br": Case(payload=PAGE, coding="br", problem="said to be br, but is not"),
    "one byte, said to be deflate": Case(payload=b"x", coding="deflate", data=b"x", problem="but is not"),
    "Latin-1, said to be br": Case(payload=LATIN, coding="br", data=LATIN, problem="but is not"),
    "a picture, said to be br": Case(payload=b"\x89PNG\r\n\x1a\n\xff\xff\xff", coding="br", data=b"\x89PNG\r\n\x1a\n\xff\xff\xff", problem="but is not"),
    "once gzip, said to be twice": Case(payload=GZIP, coding="gzip, gzip", problem="said to be gzip, but is not"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_body_is_decoded(case):
    found = decode(case.payload, case.coding)
    assert found.data == case.data
    assert case.problem in "; ".join(found.problems)
    assert bool(found.problems) is bool(case.problem)
    assert found.complete is case.complete


@pytest.mark.parametrize(("coding", "payload"), PACKED.items(), ids=PACKED.keys())
@pytest.mark.parametrize("cut", [1, 10, 60])
def test_what_stands_before_a_cut_is_kept(coding, payload, cut):
    found = decode(payload[:-cut], coding)
    assert found.problems == (f"{coding}: cut short",)
    assert not found.complete
    assert PAGE.startswith(found.data)


@pytest.mark.parametrize(("coding", "pack"), PACK.items(), ids=PACK.keys())
def test_what_stands_before_a_fault_is_kept(coding, pack):
    payload = bytearray(pack(PAGE))
    middle = len(payload) // 2
    payload[middle : middle + 200] = bytes(200)
    found = decode(bytes(payload), coding)
    assert found.data[:4000] == PAGE[:4000]
    assert found.problems[0].startswith(f"{coding}: damaged")
    assert not found.complete


@pytest.mark.parametrize(("coding", "pack"), PACK.items(), ids=PACK.keys())
def test_a_bomb_does_not_go_off(coding, pack):
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()
    try:
        found = decode(bomb, coding, limit=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.data == bytes(1_000_000)
    assert found.problems == (f"{coding}: longer than the 1000000 bytes read",)
    assert not found.complete
    assert peak < 3_000_000


def test_a_bomb_within_a_bomb_does_not_go_off():
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    found = decode(bomb, "gzip, gzip", limit=1000)
    assert len(found.data) == 1000
    assert not found.complete


@pytest.mark.parametrize(("coding", "pack"), PACK.items(), ids=PACK.keys())
def test_what_unpacks_to_more_than_text_ever_does_is_a_bomb(coding, pack):
    found = decode(pack(bytes(50_000_000)), coding)
    assert len(found.data) == PLENTY
    assert "longer than" in found.problems[0]


def test_a_plain_body_is_cut_at_the_bound_too():
    found = decode(PAGE, "", limit=10)
    assert (found.data, found.complete) == (PAGE[:10], False)


def test_a_body_of_just_the_bound_is_whole():
    found = decode(GZIP, "gzip", limit=len(PAGE))
    assert (found.data, found.complete) == (PAGE, True)


def test_members_without_end_are_not_followed():
    found = decode(gzip.compress(b"") * (MOST_MEMBERS + 5), "gzip")
    assert found.data == b""
    assert "bytes behind the end" in found.problems[0]


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br"]))
def test_nothing_makes_it_raise(payload, coding):
    found = decode(
        b"\x1f\x8b\x08\0" + payload if coding == "gzip" else payload, coding, limit=1000
    )
    assert len(found.data) <= 1000


@settings(max_examples=40)
@given(
    st.binary(max_size=2000),
    st.lists(st.sampled_from(["gzip", "deflate", "br"]), max_size=5),
)
def test_whatever_is_packed_comes_out_again(data, codings):
    payload = data
    for coding in codings:
        payload = PACK[coding](payload) if payload else payload
    found = decode(payload, ", ".join(codings))
    assert (found.data, found.problems, found.complete) == (data, (), True)
