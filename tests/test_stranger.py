"""A sealed bag checked by a stranger, with coreutils and openssl alone, beside our check.

Both see the same table of attacks, with the same roots and the same signer, and must
come to the same end.
"""

import shutil

import pytest
import refusals
from sealing_cases import CASES

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="there is no openssl"
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return refusals.seen_all(tmp_path_factory.mktemp("refusals"))


@pytest.mark.parametrize("name", CASES)
def test_our_verifier_says_what_the_table_says(name, seen):
    code = CASES[name].code
    assert code in seen[name].ours if code else seen[name].ours == ()


@pytest.mark.parametrize("name", CASES)
def test_a_stranger_comes_to_the_same_end(name, seen):
    assert (seen[name].status == 0) is (seen[name].ours == ())


@pytest.mark.parametrize("name", CASES)
def test_the_script_never_stumbles(name, seen):
    """Each line is the script's own; a shell's complaint has another form."""
    begins = ("Checking ", "WRONG  ", "REFUSED: ", "VERIFIED: ", "       ")
    assert [one for one in seen[name].theirs if not one.startswith(begins)] == []


def test_whoever_accepts_says_on_which_basis(seen):
    told = "\n".join(seen["the signer's certificate ended since"].theirs)
    assert "the signer's certificate has ended since; it held at" in told
    told = "\n".join(seen["the same, and a later seal covers its token"].theirs)
    assert "a later seal proves that it existed by" in told


def test_the_table_of_refusals_is_as_it_was_written(seen):
    assert refusals.written() == list(refusals.table(seen))
