"""The text of tag files: trusted encodings, bytes to lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.packaging import encoding


def weights(findings) -> list[tuple[str, str]]:
    return [(one.code, str(one.severity)) for one in findings]


ENCODINGS = {
    "UTF-8": ("utf-8", []),
    "utf-8": ("utf-8", []),
    "UTF8": ("utf-8", [("encoding", "warning")]),
    "ISO-8859-1": ("iso8859-1", [("encoding", "warning")]),
    "US-ASCII": ("ascii", [("encoding", "warning")]),
    "UTF-16": ("utf-16", [("encoding", "warning")]),
    "Shift_JIS": ("shift_jis", [("encoding", "warning")]),
    "windows-1252": ("cp1252", [("encoding", "warning")]),
    "UTF-7": ("utf-8", [("encoding", "error")]),
    "rot13": ("utf-8", [("encoding", "error")]),
    "base64": ("utf-8", [("encoding", "error")]),
    "unicode_escape": ("utf-8", [("encoding", "error")]),
    "idna": ("utf-8", [("encoding", "error")]),
    "cp037": ("utf-8", [("encoding", "error")]),
    "no-such-thing": ("utf-8", [("encoding", "error")]),
    "../../etc/passwd": ("utf-8", [("encoding", "error")]),
    "\0": ("utf-8", [("encoding", "error")]),
    "UTF-8" * 100: ("utf-8", [("encoding", "error")]),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encoding_is_trusted_only_if_it_is_one_of_text(name):
    codec, findings = encoding.parse_encoding(name)
    assert (codec, weights(findings)) == ENCODINGS[name]


def recode(codec: str, *chunks: bytes) -> tuple[bytes, encoding.Recoder]:
    recoder = encoding.Recoder(codec)
    return b"".join(recoder.recode(chunks)), recoder


def test_utf_16_is_made_utf_8_across_odd_chunks():
    data = "Zoë\n".encode("utf-16")
    text, recoder = recode("utf-16", data[:3], data[3:4], data[4:])
    assert (text, recoder.is_broken, recoder.has_bom) == (
        "Zoë\n".encode(),
        False,
        False,
    )


def test_a_byte_order_mark_before_utf_8_is_taken_off_and_noted():
    text, recoder = recode("utf-8", b"", b"\xef\xbb\xbfx")
    assert (text, recoder.has_bom) == (b"x", True)


def test_bytes_that_are_not_utf_8_stand_as_they_were_and_are_noted():
    text, recoder = recode("utf-8", b"a\xff", b"b\xfe", b"c")
    assert (text, recoder.is_broken) == (b"a\xffb\xfec", True)


def test_utf_8_cut_off_at_the_end_is_noted():
    _, recoder = recode("utf-8", b"a\xc3")
    assert recoder.is_broken


def test_a_letter_across_two_chunks_is_no_fault():
    _, recoder = recode("utf-8", b"\xc3", b"\xab")
    assert not recoder.is_broken


def test_reading_goes_on_after_bytes_that_a_codec_refuses():
    text, recoder = recode("ascii", b"a\xffb", b"c")
    assert (text, recoder.is_broken) == ("a\ufffdbc".encode(), True)


CODECS = sorted({encoding.parse_encoding(name)[0] for name in ENCODINGS})


@given(st.sampled_from(CODECS), st.lists(st.binary(max_size=20), max_size=5))
def test_no_bytes_break_the_recoder(codec, chunks):
    text, _ = recode(codec, *chunks)
    assert codec == "utf-8" or text.decode() is not None


LINES = {
    "three kinds of ends": ([b"a\nb\rc\r\nd"], [b"a", b"b", b"c", b"d"]),
    "CRLF across two chunks": ([b"a\r", b"\nb\n"], [b"a", b"b"]),
    "CR across two chunks": ([b"a\r", b"b\r"], [b"a", b"b"]),
    "blank lines": ([b"\n\na\n"], [b"", b"", b"a"]),
    "a line in pieces": ([b"a", b"b", b"", b"c\n"], [b"abc"]),
    "no end": ([b"abc"], [b"abc"]),
    "nothing": ([], []),
    "LF and CR": ([b"a\n\rb"], [b"a", b"", b"b"]),
    "other breaks of Unicode": (["a\u2028b\x0bc\x85".encode()], ["a\u2028b\x0bc\x85".encode()]),
}  # fmt: skip


@pytest.mark.parametrize(("chunks", "expected"), LINES.values(), ids=LINES.keys())
def test_lines_end_with_lf_cr_or_crlf(chunks, expected):
    assert list(encoding.lines(chunks)) == expected


@given(st.lists(st.text("ab\r\n", max_size=6), max_size=6))
def test_chunks_make_no_difference_to_lines(texts):
    whole = "".join(texts).encode()
    expected = whole.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if expected[-1] == "":
        expected.pop()
    chunks = [text.encode() for text in texts]
    assert [line.decode() for line in encoding.lines(chunks)] == expected


def test_a_line_without_end_costs_no_memory():
    chunks = (b"x" * 100 for _ in range(1000))
    (line,) = encoding.lines(chunks, longest=50)
    assert len(line) == 51


def test_what_follows_an_overlong_line_is_read():
    chunks = [b"x" * 500, b"y" * 500 + b"\r", b"\nnext\n"]
    assert list(encoding.lines(chunks, longest=50)) == [b"x" * 51, b"next"]
