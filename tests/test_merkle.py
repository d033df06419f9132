"""The Merkle tree: the published vectors, and every proof up to 64 leaves."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.holdings.merkle import (
    EMPTY,
    Frontier,
    Head,
    Tree,
    is_consistent,
    is_included,
    leaf_of,
    node_of,
)

# The inputs and roots of Certificate Transparency's reference tests (RFC 6962).
INPUTS = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSIONS = {  # (index, size): the path
    (0, 1): (),
    (0, 8): (A, B, C),
    (5, 8): (D, E, ROOTS[4]),
    (2, 3): (ROOTS[2],),
    (1, 5): (ROOTS[1], B, D),
}
CONSISTENCIES = {  # (old, new): the path
    (1, 1): (),
    (1, 8): (A, B, C),
    (6, 8): (F, E, ROOTS[4]),
    (2, 5): (B, D),
}
MOST = 64
LEAVES = [leaf_of(b"line %d\n" % n) for n in range(MOST + 1)]
TREE = Tree(LEAVES)
HEADS = [TREE.head(size) for size in range(MOST + 2)]


def plain_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = max(1 << k for k in range(7) if 1 << k < len(leaves))
    return node_of(plain_root(leaves[:half]), plain_root(leaves[half:]))


def unhex(hashes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(one) for one in hashes)


# ---------------------------------------------------------------------- published values


@pytest.mark.parametrize("size", range(9))
def test_a_root_is_that_of_the_published_vectors(size) -> None:
    leaves = [leaf_of(one) for one in INPUTS[:size]]
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    assert Tree(leaves).head(size).root.hex() == ROOTS[size]
    assert frontier.head() == Tree(leaves).head(size)


@pytest.mark.parametrize(("index", "size"), INCLUSIONS)
def test_an_inclusion_proof_is_that_of_the_published_vectors(index, size) -> None:
    tree = Tree(leaf_of(one) for one in INPUTS)
    assert tree.inclusion(index, size) == unhex(INCLUSIONS[index, size])


@pytest.mark.parametrize(("old", "new"), CONSISTENCIES)
def test_a_consistency_proof_is_that_of_the_published_vectors(old, new) -> None:
    tree = Tree(leaf_of(one) for one in INPUTS)
    assert tree.consistency(old, new) == unhex(CONSISTENCIES[old, new])


# ------------------------------------------------------------------ every one up to 64


def test_every_head_is_what_the_definition_says() -> None:
    frontier = Frontier()
    for size in range(MOST + 1):
        expected = Head(size=size, root=plain_root(LEAVES[:size]))
        assert HEADS[size] == frontier.head() == expected
        frontier.add(LEAVES[size])


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_inclusion_is_proven_and_nothing_else(size) -> None:
    head = HEADS[size]
    for index in range(size):
        leaf, proof = LEAVES[index], TREE.inclusion(index, size)
        assert is_included(leaf, index, proof, head)
        wrong = [
            (LEAVES[index + 1], index, proof, head),
            (leaf, index + 1, proof, head),
            (leaf, index - 1, proof, head),
            (leaf, index, proof, HEADS[size + 1]),
            (leaf, index, proof, HEADS[size - 1]),
            (leaf, index, (*proof, EMPTY), head),
            (leaf, index, (EMPTY, *proof), head),
        ]
        if proof:
            wrong += [
                (leaf, index, proof[:-1], head),
                (leaf, index, proof[1:], head),
                (leaf, index, (*proof[:-1], EMPTY), head),
                (leaf, index, (EMPTY, *proof[1:]), head),
            ]
        assert not any(is_included(*one) for one in wrong)


@pytest.mark.parametrize("new", range(MOST + 1))
def test_every_consistency_is_proven_and_nothing_else(new) -> None:
    for old in range(new + 1):
        before, after, proof = HEADS[old], HEADS[new], TREE.consistency(old, new)
        assert is_consistent(before, after, proof)
        wrong = [
            (Head(size=old, root=b"\1" * 32), after, proof),
            (before, after, (*proof, EMPTY)),
        ]
        if old:  # no leaves begin every list: there is nothing to contradict
            wrong += [
                (before, Head(size=new, root=b"\1" * 32), proof),
                (HEADS[old - 1], after, (*proof, EMPTY)),
                (before, HEADS[new + 1], proof),
            ]
        if proof:
            wrong += [
                (before, after, proof[:-1]),
                (before, after, proof[1:]),
                (before, after, (EMPTY, *proof[1:])),
                (before, after, (*proof[:-1], EMPTY)),
                (after, before, proof),
            ]
        assert not any(is_consistent(*one) for one in wrong)


@settings(max_examples=100)
@given(st.data())
def test_a_proof_with_any_other_bytes_proves_nothing(data) -> None:
    size = data.draw(st.integers(2, MOST))
    index = data.draw(st.integers(0, size - 1))
    proof = TREE.inclusion(index, size)
    other = data.draw(st.lists(st.binary(max_size=33), max_size=8).map(tuple))
    if other != proof:
        assert not is_included(LEAVES[index], index, other, HEADS[size])
    old = data.draw(st.integers(1, size - 1))
    if other != TREE.consistency(old, size):
        assert not is_consistent(HEADS[old], HEADS[size], other)


ASKED = {
    "a leaf beyond the size": lambda: TREE.inclusion(3, 3),
    "a leaf before the first": lambda: TREE.inclusion(-1, 3),
    "a size beyond the leaves": lambda: TREE.inclusion(0, MOST + 2),
    "an old size beyond the new": lambda: TREE.consistency(4, 3),
    "a head beyond the leaves": lambda: TREE.head(MOST + 2),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_what_is_not_in_the_tree_cannot_be_asked_for(ask) -> None:
    with pytest.raises(ValueError, match="no such leaves in a tree of 65"):
        ask()
