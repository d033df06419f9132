"""The other end of the bracket: a plan that was stamped before its first request.

The commitment of the plan stands in the payload, with the query and the token of each
authority. The first record of a WARC names the plan and the digests of the tokens, and
so does the seal's statement: nobody could know these before the authority answered, so
that what names them is younger. The timestamp of the seal closes the bracket.
"""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.fixity import digest_of
from pipeline.packaging.tree import Tree
from pipeline.packaging.walk import reason
from pipeline.sealing import token
from pipeline.sealing.statement import Statement
from pipeline.sealing.token import Authority, Proof, Token

FOLDER = "data/metadata/submissionDocumentation"
COMMITMENT = f"{FOLDER}/commitment.json"
WARC = "data/objects/capture.warc.gz"
INFO = 1 << 16  # bytes in which the first record of a WARC ends
LARGEST = 1 << 20  # bytes; a commitment has some 300


class Flaw(Struct, frozen=True, kw_only=True):
    """What is wrong with the start of a run, and in which file."""

    path: str
    message: str


def judge(
    tree: Tree,
    said: Statement,
    *,
    trusted: Mapping[str, Authority],
    now: datetime,
    sealed_by: datetime | None,
) -> Iterator[Proof | Flaw]:
    """Judge each token that a statement lists for the start of its run.

    ``sealed_by`` is when the seal, and so the token within the bag, is proven to have
    existed. Tokens of authorities without roots here are passed over.
    """
    try:
        listed = _listed(said)
        data = _content(tree, COMMITMENT) if listed else b""
        if listed and (flaw := _unplanned(tree, said, data, listed.values())):
            yield flaw
    except ValueError as error:
        yield Flaw(path=COMMITMENT, message=str(error))
        return
    for name, digest in listed.items():
        try:
            if one := _token(tree, name, digest, data, trusted):
                yield Proof(token=one, basis=_basis(one.expires, now, sealed_by))
        except ValueError as error:
            yield Flaw(path=f"{FOLDER}/plan.{name}.tsr", message=str(error))


def _unplanned(
    tree: Tree, said: Statement, data: bytes, digests: Iterable[str]
) -> Flaw | None:
    """Say where plan and WARC are not those that were stamped. Raises ValueError."""
    if str(digest_of(data)) != said.facts.get("plan"):
        return Flaw(path=COMMITMENT, message="it is not the plan that the seal names")
    if not _stands(tree, WARC):
        return None
    # The WARC begins with what nobody could know before the plan was stamped.
    first = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        info = first.decompress(_content(tree, WARC, most=INFO), INFO)
    except zlib.error as error:
        raise ValueError(f"{WARC} cannot be read: {error}") from error
    if all(digest.encode() in info for digest in digests):
        return None
    message = "its first record does not name the timestamps of the plan"
    return Flaw(path=WARC, message=message)


def _token(
    tree: Tree, name: str, digest: str, data: bytes, trusted: Mapping[str, Authority]
) -> Token | None:
    """Judge one token; None where its authority has no roots here.

    Raises ValueError.
    """
    answer = _content(tree, f"{FOLDER}/plan.{name}.tsr")
    if digest_of(answer).hex != digest:
        raise ValueError("it is not the timestamp that the seal names")
    if name not in trusted:
        return None
    asked = _content(tree, f"{FOLDER}/plan.{name}.tsq")
    return token.judge(answer, data, asked=asked, authority=trusted[name])


def _listed(said: Statement) -> dict[str, str]:
    """Read which tokens a statement lists, by authority. Raises ValueError."""
    start: Any = said.facts.get("start") or {}
    try:
        return {one["authority"]: one["sha256"] for one in start.get("tokens", ())}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("the seal tells of its start what cannot be read") from error


def _basis(expires: datetime, now: datetime, sealed_by: datetime | None) -> str:
    """Tell why a token counts. Raises ValueError where it does not any more."""
    if expires >= now:
        return "its certificate is valid today"
    if sealed_by is not None and sealed_by <= expires:
        return (
            f"its certificate ended {stamp(expires)}; the seal proves that the token "
            f"existed by {stamp(sealed_by)}"
        )
    raise ValueError(
        f"its certificate ended {stamp(expires)}, and the seal does not prove that the "
        "token existed before"
    )


def _stands(tree: Tree, name: str) -> bool:
    """Tell whether a file stands in a bag, though it can't be read."""
    try:
        next(iter(tree.pieces(os.fsencode(name), most=1)), b"")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _content(tree: Tree, name: str, most: int = LARGEST) -> bytes:
    try:
        return b"".join(tree.pieces(os.fsencode(name), most=most))
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise ValueError(f"cannot be read: {why}") from error
