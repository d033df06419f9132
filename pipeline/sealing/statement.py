"""What a seal says: an in-toto Statement v1 in clear bytes (pure).

The subject lists every tag manifest of the bag, and in a later seal the files of every
earlier one, each with two digests. The predicate says what the run was, who signs, and
which authorities were asked, so that a token that was taken away is missed. The bytes
are laid out so that ``grep`` and a person can read them; what is signed is the bytes.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from pipeline.fixity import digest_of
from pipeline.model import Digest
from pipeline.packaging.rendering import Json

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:muniment:seal:1"
TWO = ("sha256", "sha512")
HEX = {"sha256": 64, "sha512": 128}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")  # of an authority: a part of file names


class Subject(Struct, frozen=True, kw_only=True):
    """A file that is sealed: its name and two digests of it."""

    name: str
    digests: tuple[Digest, ...]

    @classmethod
    def of(cls, name: str, data: bytes) -> "Subject":
        """Digest a file that is in hand."""
        return cls(name=name, digests=tuple(digest_of(data, one) for one in TWO))


class Statement(Struct, frozen=True, kw_only=True):
    """What one seal says. ``facts`` are told as they are handed in."""

    number: int
    bag: str
    subjects: tuple[Subject, ...]
    signer: Digest
    authorities: tuple[str, ...] = ()  # whose tokens belong to the seal
    facts: Mapping[str, Json] = field(default_factory=dict)


def render(statement: Statement) -> bytes:
    """Write a statement, the same for the same: sorted, indented, ASCII."""
    told = {
        "_type": STATEMENT,
        "subject": [
            {"name": one.name, "digest": {d.algorithm: d.hex for d in one.digests}}
            for one in statement.subjects
        ],
        "predicateType": PREDICATE,
        "predicate": {
            **statement.facts,
            "bag": statement.bag,
            "seal": statement.number,
            "signer": str(statement.signer),
            "authorities": list(statement.authorities),
        },
    }
    return json.dumps(told, indent=1, sort_keys=True, default=dict).encode() + b"\n"


def parse(data: bytes) -> Statement:
    """Read a statement. Raises ValueError for bytes that ``render`` did not write."""
    try:
        told = json.loads(data)
        statement = _statement(told)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no statement of a seal ({error})") from error
    # One statement, one form: no duplicate keys, nothing between the lines.
    if render(statement) != data:
        raise ValueError("it is not in the form that a seal's statement has")
    return statement


def _statement(told: Any) -> Statement:
    if (told["_type"], told["predicateType"]) != (STATEMENT, PREDICATE):
        raise ValueError(f"it is a {told['_type']} on {told['predicateType']}")
    predicate = dict(told["predicate"])
    number, authorities = predicate.pop("seal"), tuple(predicate.pop("authorities"))
    bag = predicate.pop("bag")
    if type(number) is not int or not isinstance(bag, str):
        raise ValueError("its number or its bag is not told")
    if not all(isinstance(one, str) and NAME.fullmatch(one) for one in authorities):
        raise ValueError("the name of an authority is not one")
    subjects = tuple(
        Subject(name=str(one["name"]), digests=_digests(one["digest"]))
        for one in told["subject"]
    )
    return Statement(
        number=number,
        bag=bag,
        subjects=subjects,
        signer=Digest.parse(predicate.pop("signer")),
        authorities=authorities,
        facts=predicate,
    )


def _digests(told: Mapping[str, str]) -> tuple[Digest, ...]:
    digests = tuple(Digest.parse(f"{name}:{value}") for name, value in told.items())
    found = {one.algorithm: len(one.hex) for one in digests}
    if any(found.get(name) != length for name, length in HEX.items()):
        raise ValueError("a subject lacks its sha256 or its sha512")
    return digests
