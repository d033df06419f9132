"""Signed notes and checkpoints: the specification's own examples, and what is odd."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.holdings.merkle import Head
from pipeline.holdings.note import (
    LARGEST,
    MOST_SIGNATURES,
    Checkpoint,
    Note,
    Verifier,
    sign,
    signers,
)

# c2sp.org/signed-note, "Example"
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZ"
    "XsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# c2sp.org/tlog-checkpoint
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URY"
    "N7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NAME = "log.example/one"
VERIFIER = Verifier(name=NAME, public=KEY.public_key().public_bytes_raw())
LINE = EXAMPLE.splitlines(keepends=True)[-1]
ROOT = b64encode(bytes(32)).decode()


def test_the_example_of_the_specification_verifies() -> None:
    verifier = Verifier.parse(VKEY)
    assert str(verifier) == VKEY
    assert signers(Note.parse(EXAMPLE), (VERIFIER, verifier)) == (verifier,)


def test_the_checkpoint_of_the_specification_is_read_and_written_as_it_is() -> None:
    note = Note.parse(CHECKPOINT)
    told = Checkpoint.parse(note.text)
    assert (told.origin, told.head.size) == ("example.com/behind-the-sofa", 20852163)
    assert str(told) == note.text
    assert bytes(note) == CHECKPOINT


def test_what_is_signed_verifies_under_its_name_alone() -> None:
    note = sign("one\n\ntwo\n", NAME, KEY)
    assert signers(Note.parse(bytes(note)), (VERIFIER,)) == (VERIFIER,)
    other = Verifier(name="log.example/two", public=VERIFIER.public)
    assert signers(note, (other,)) == ()


def test_a_signature_that_does_not_fit_condemns_the_note() -> None:
    data = bytes(sign("ten\n", NAME, KEY)).replace(b"ten", b"one")
    with pytest.raises(ValueError, match="does not fit the text"):
        signers(Note.parse(data), (VERIFIER,))


def test_a_signature_of_another_length_does_not_fit_either() -> None:
    short = b64encode(VERIFIER.key_id + b"short").decode()
    note = Note.parse(f"ten\n\n— {NAME} {short}\n".encode())
    with pytest.raises(ValueError, match="does not fit the text"):
        signers(note, (VERIFIER,))


def test_signatures_of_unknown_keys_are_kept_and_passed_over() -> None:
    data = bytes(sign("ten\n", NAME, KEY)) + LINE
    note = Note.parse(data)
    assert signers(note, (VERIFIER,)) == (VERIFIER,)
    assert bytes(note) == data


ODD_NOTES = {
    "nothing": b"",
    "no signature": b"text\n",
    "no signature line behind the empty line": b"text\n\n",
    "no text": b"\n\n" + LINE,
    "no empty line": b"text\n" + LINE,
    "not UTF-8": b"\xff" + EXAMPLE,
    "a control character": EXAMPLE.replace(b" is", b"\tis"),
    "carriage returns": EXAMPLE.replace(b"\n", b"\r\n"),
    "no line feed at the end": EXAMPLE[:-1],
    "a hyphen for the dash": EXAMPLE.replace("—".encode(), b"-"),
    "no space behind the dash": EXAMPLE.replace("— ".encode(), "—".encode()),
    "no name": EXAMPLE.replace(b"example.com/foo ", b""),
    "an empty name": EXAMPLE.replace(b"example.com/foo", b""),
    "a plus sign in the name": EXAMPLE.replace(b"example.com/foo", b"a+b"),
    "a wide space in the name": EXAMPLE.replace(b"com/foo", "com\u3000foo".encode()),
    "two spaces before the base64": EXAMPLE.replace(b"foo U", b"foo  U"),
    "base64 that is none": EXAMPLE.replace(b"Uw2Q", b"U*2Q"),
    "base64 cut short": EXAMPLE.replace(b"aQM=", b"aQM"),
    "base64 with bits to spare": EXAMPLE.replace(b"aQM=", b"aQN="),
    "base64 that is not ASCII": EXAMPLE.replace(b"aQM=", "aQM\uff1d".encode()),
    "no bytes behind the key's id": "t\n\n— a AAAAAA==\n".encode(),
    "a text below the signatures": EXAMPLE + b"text\n",
    "an empty line at the end": EXAMPLE + b"\n",
    "more signatures than anyone needs": EXAMPLE + LINE * MOST_SIGNATURES,
    "no end": b"a" * LARGEST + EXAMPLE,
}


@pytest.mark.parametrize("data", ODD_NOTES.values(), ids=ODD_NOTES)
def test_what_is_no_note_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Note.parse(data)


def test_sixteen_signatures_are_taken() -> None:
    assert len(Note.parse(EXAMPLE + LINE * 15).signatures) == 16


ODD_CHECKPOINTS = {
    "no root": "origin\n1\n",
    "an empty origin": f"\n1\n{ROOT}\n",
    "an empty line below": f"origin\n1\n{ROOT}\n\n",
    "a size with a zero before it": f"origin\n01\n{ROOT}\n",
    "a size below nothing": f"origin\n-1\n{ROOT}\n",
    "a size with a sign": f"origin\n+1\n{ROOT}\n",
    "a size in other digits": f"origin\n\u0661\n{ROOT}\n",
    "a size beyond 64 bits": f"origin\n{10**19}\n{ROOT}\n",
    "a root that is too short": "origin\n1\nAAAA\n",
    "a root in hexadecimal": f"origin\n1\n{'ab' * 32}\n",
}


@pytest.mark.parametrize("text", ODD_CHECKPOINTS.values(), ids=ODD_CHECKPOINTS)
def test_what_is_no_checkpoint_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Checkpoint.parse(text)


def test_what_stands_below_the_root_is_kept() -> None:
    text = f"origin\n0\n{ROOT}\nwitness elsewhere\n"
    assert Checkpoint.parse(text).extensions == ("witness elsewhere",)
    assert str(Checkpoint.parse(text)) == text


ODD_KEYS = {
    "nothing": "",
    "no key": "example.com/foo+530d903a",
    "another's id": VKEY.replace("530d903a", "530d903b"),
    "an id in capitals": VKEY.replace("530d903a", "530D903A"),
    "another name": VKEY.replace("foo", "fop"),
    "no name": VKEY.replace("example.com/foo", ""),
    "another kind of key": f"a+00000000+{b64encode(b'2' + bytes(32)).decode()}",
    "a key too short": f"a+00000000+{b64encode(b'1' + bytes(31)).decode()}",
    "base64 that is none": VKEY + "*",
}


@pytest.mark.parametrize("text", ODD_KEYS.values(), ids=ODD_KEYS)
def test_what_is_no_key_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Verifier.parse(text)


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="+"),
    min_size=1,
    max_size=12,
)  # fmt: skip
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=60)
@given(names, st.integers(0, 2**62), st.binary(min_size=32, max_size=32), st.lists(lines, max_size=2))  # fmt: skip
def test_a_checkpoint_reads_back_as_it_was_signed(name, size, root, more) -> None:
    told = Checkpoint(
        origin=name, head=Head(size=size, root=root), extensions=tuple(more)
    )
    note = Note.parse(bytes(sign(str(told), name, KEY)))
    assert Checkpoint.parse(note.text) == told
    verifier = Verifier(name=name, public=VERIFIER.public)
    assert signers(note, (Verifier.parse(str(verifier)),)) == (verifier,)


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_any_bytes_are_refused_or_read_back_as_they_were(data) -> None:
    try:
        note = Note.parse(data)
    except ValueError:
        return
    assert bytes(note) == data


@settings(max_examples=150)
@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 255))
def test_no_byte_of_a_note_can_be_changed(place, byte) -> None:
    changed = EXAMPLE[:place] + bytes((byte,)) + EXAMPLE[place + 1 :]
    try:
        known = signers(Note.parse(changed), (Verifier.parse(VKEY),))
    except ValueError:
        return
    assert not known or changed == EXAMPLE
