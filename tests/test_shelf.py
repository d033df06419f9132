"""What WARCs hold is found by what is asked, and how well it fits is told."""

import pytest
from origins import Origin, answer
from proxying import Client, Shelved, recording

from pipeline.capture.asking import Place, asking
from pipeline.capture.records import WARC_PATH, Note, Records
from pipeline.capture.shelf import How, Shelf, Span, within
from pipeline.clock import SystemClock
from pipeline.model import Previous, Purpose

SITE = Place(scheme="https", host="a.example", port=443)


def ask(path, *lines, method="GET", body=b""):
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a.example", *lines, "", ""])
    one = asking(head.encode(), SITE)
    return type(one)(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "content": body})  # fmt: skip


@pytest.fixture
def made(tmp_path):
    return Shelved(tmp_path)


def found(shelf, one):
    got = shelf.find(one)
    return got and (got.how, b"".join(got.held.block()))


def test_an_answer_is_found_by_address_and_method(made):
    page, posted = answer(b"got"), answer(b"posted")
    shelf = made.put("/x", page).put("/x", posted, method="POST").shelf()
    assert found(shelf, ask("/x")) == (How.EXACT, page)
    assert found(shelf, ask("/x", method="POST")) == (How.EXACT, posted)
    assert found(shelf, ask("/x", method="PUT")) is None
    assert found(shelf, ask("/y")) is None


def test_an_answer_without_a_request_beside_it_was_got(made):
    shelf = made.put("/x", answer(b"got"), request=False).shelf()
    assert found(shelf, ask("/x")) == (How.EXACT, answer(b"got"))


def test_posts_are_told_apart_by_their_bodies(made):
    shelf = made.put("/x", answer(b"1"), method="POST", body=b"one").put("/x", answer(b"2"), method="POST", body=b"two").shelf()  # fmt: skip
    assert found(shelf, ask("/x", method="POST", body=b"two")) == (
        How.EXACT,
        answer(b"2"),
    )
    assert found(shelf, ask("/x", method="POST", body=b"one")) == (
        How.EXACT,
        answer(b"1"),
    )


def test_another_body_is_answered_by_leave(made):
    shelf = made.put("/x", answer(b"1"), method="POST", body=b"at 1").shelf()
    assert found(shelf, ask("/x", method="POST", body=b"at 2")) == (
        How.LOOSE,
        answer(b"1"),
    )


CHUNKS = {
    "sound": (b"3\r\none\r\n0\r\n\r\n", b"one"),
    "broken": (b"x\r\none", b"x\r\none"),
}


@pytest.mark.parametrize("case", CHUNKS.values(), ids=CHUNKS)
def test_a_body_in_chunks_is_known_by_what_it_holds(case, made):
    body, content = case
    line = "Transfer-Encoding: chunked"
    shelf = made.put("/x", answer(b"1"), line, method="POST", body=body).shelf()
    assert found(shelf, ask("/x", method="POST", body=content))[0] is How.EXACT


def test_several_answers_come_in_their_order_and_then_the_last(made):
    for n in b"abc":
        made.put("/x", answer(bytes([n])))
    shelf = made.shelf()
    got = [found(shelf, ask("/x"))[1][-1:] for _ in range(5)]
    assert got == [b"a", b"b", b"c", b"c", b"c"]


def test_a_revisit_is_answered_by_what_it_refers_to_in_its_turn(made):
    first, last = answer(b"1"), answer(b"2")
    known = (("WARC-Refers-To", "<urn:uuid:00000001-0000-4000-8000-000000000000>"),)
    made.put("/x", first).put("/x", last)
    shelf = made.put(
        "/y", b"HTTP/1.1 200 OK\r\n\r\n", kind="revisit", fields=known
    ).shelf()
    assert found(shelf, ask("/y")) == (How.EXACT, first)


def test_a_revisit_is_resolved_by_address_and_date_as_well(made):
    known = (
        ("WARC-Refers-To-Target-URI", "https://a.example/x"),
        ("WARC-Refers-To-Date", "2026-09-24T03:17:01.000000Z"),
    )
    shelf = (
        made.put("/x", answer(b"1"))
        .put("/y", b"", kind="revisit", fields=known)
        .shelf()
    )
    assert found(shelf, ask("/y")) == (How.EXACT, answer(b"1"))


def test_a_revisit_of_what_is_elsewhere_is_missing(made):
    known = (("WARC-Refers-To", "<urn:uuid:0>"),)
    assert (
        found(made.put("/y", b"", kind="revisit", fields=known).shelf(), ask("/y"))
        is None
    )


LOOSE = {
    "a moment in milliseconds": (
        "/x?a=1&n=1700000000000",
        "/x?a=1&n=1800000000001",
        True,
    ),
    "a moment in seconds": ("/x?1700000000=", "/x?1700000001=", False),
    "a random fraction": ("/x?r=0.8347563487", "/x?r=0.1234567891", True),
    "a name for it": ("/x?_=abc", "/x?_=def", True),
    "an id": ("/x?id=12345", "/x?id=12346", False),
    "another parameter": ("/x?a=1&_=2", "/x?b=1&_=2", False),
    "another order": ("/x?a=1&b=2", "/x?b=2&a=1", False),
    "another path": ("/x?_=1", "/y?_=1", False),
}


@pytest.mark.parametrize("case", LOOSE.values(), ids=LOOSE)
def test_a_query_that_busts_caches_is_answered_by_leave(case, made):
    recorded, asked, is_found = case
    shelf = made.put(recorded, answer(b"1")).shelf()
    assert found(shelf, ask(asked)) == ((How.LOOSE, answer(b"1")) if is_found else None)


HAS = Span(0, 9, 10)
RANGES = {
    "a beginning": ("bytes=0-3", HAS, Span(0, 3, 10)),
    "an open end": ("bytes=4-", HAS, Span(4, 9, 10)),
    "the last bytes": ("bytes=-3", HAS, Span(7, 9, 10)),
    "more than there is": ("bytes=4-99", HAS, Span(4, 9, 10)),
    "more last bytes than there are": ("bytes=-99", HAS, Span(0, 9, 10)),
    "behind the end": ("bytes=10-", HAS, None),
    "no last bytes": ("bytes=-0", HAS, None),
    "the wrong way round": ("bytes=5-4", HAS, None),
    "two parts": ("bytes=0-1,3-4", HAS, None),
    "nothing": ("bytes=-", HAS, None),
    "other units": ("lines=0-1", HAS, None),
    "before what is held": ("bytes=0-", Span(5, 9, 10), None),
    "within what is held": ("bytes=6-7", Span(5, 9, 10), Span(6, 7, 10)),
}


@pytest.mark.parametrize("case", RANGES.values(), ids=RANGES)
def test_a_range_is_read_against_what_is_held(case):
    told, has, expected = case
    assert within(told, has) == expected


def test_a_range_that_was_recorded_is_answered_as_it_was(made):
    part = answer(b"ell", status="206 Partial Content", Content_Range="bytes 1-3/5")
    shelf = made.put("/x", answer(b"hello")).put("/x", part, "Range: bytes=1-3").shelf()
    assert found(shelf, ask("/x", "Range: bytes=1-3")) == (How.EXACT, part)
    assert found(shelf, ask("/x")) == (How.EXACT, answer(b"hello"))


WHOLES = {
    "a whole": (answer(b"hello"), ()),
    "a whole in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", ()),
    "a longer part": (answer(b"ello", status="206 Partial Content", Content_Range="bytes 1-4/5"), ("Range: bytes=1-",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLES.values(), ids=WHOLES)
def test_a_range_is_cut_out_of_what_is_held(case, made):
    block, lines = case
    got = made.put("/z", answer(b"")).put("/x", block, *lines).shelf().find(ask("/x", "Range: bytes=2-3"))  # fmt: skip
    assert (got.how, got.span) == (How.PART, Span(2, 3, 5))


UNCUT = {
    "what came cut": (answer(b"hello"), (("WARC-Truncated", "length"),)),
    "what is no success": (answer(b"hello", status="404 Not Found"), ()),
    "nothing": (answer(b""), ()),
}


@pytest.mark.parametrize("case", UNCUT.values(), ids=UNCUT)
def test_a_range_of_what_is_not_whole_is_answered_by_all_of_it(case, made):
    block, fields = case
    shelf = made.put("/x", block, fields=fields).shelf()
    assert found(shelf, ask("/x", "Range: bytes=1-2")) == (How.LOOSE, block)


def test_what_is_no_warc_is_told(tmp_path):
    (tmp_path / "x.warc").write_bytes(b"hello\n" * 100)
    with pytest.raises(ValueError, match=r"x\.warc"):
        Shelf([tmp_path / "x.warc"])


def test_what_our_own_records_keep_is_found(tmp_path):
    pages = {"/a": answer(b"a"), "/b": answer(b"b" * 2_000_000)}
    records = Records(tmp_path, clock=SystemClock(), about=())
    note = Note(purpose=Purpose.DOCUMENT)
    with Origin(pages) as site, recording(tmp_path) as (proxy, kept):
        with Client(proxy.endpoint) as client:
            for path in "/a", "/b", "/none":
                client.ask(f"{site.url}{path}", "Connection: close" if path == "/none" else "A: b")  # fmt: skip
            client.all()
        for _ in pages:
            records.exchange(kept.next().reply, note)
        one = kept.next()
        known = Previous(bag="", verdict="captured", captured_at=one.reply.started, url=f"{site.url}/a")  # fmt: skip
        records.exchange(one.reply, Note(purpose=Purpose.DOCUMENT, known=known))
        place = Place(scheme="http", host="127.0.0.1", port=site.port)
    records.finish()
    shelf = Shelf([tmp_path / WARC_PATH])
    for path, page in pages.items():
        head = f"GET {path} HTTP/1.1\r\nHost: {site.url[7:]}\r\n\r\n".encode()
        assert found(shelf, asking(head, place)) == (How.EXACT, page)
