"""A bag sealed, a pending seal completed, an old one renewed.

A seal is a statement over the bag's tag manifests, a signature over the statement, and
a token over the signature from each authority. The signature needs nobody and is never
late; an authority that is down, slow or lying leaves the seal ``pending``, and nothing
that can't be verified is ever stored. Seals are only added: a renewal is one more seal,
over the files of all before it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field

from pipeline.clock import Clock, stamp
from pipeline.errors import FixityError
from pipeline.fixity import digest_of
from pipeline.model import Digest, Severity
from pipeline.packaging.rendering import Json
from pipeline.packaging.validate import validate
from pipeline.sealing import assurance, shelf, signature, statement, token
from pipeline.sealing.authority import Authorities, Refusal, Stamp
from pipeline.sealing.keys import Identity
from pipeline.sealing.migration import LISTING, listing
from pipeline.sealing.statement import Statement, Subject
from pipeline.sealing.token import Authority

NONCE_BYTES = 32
LAST = 9999  # seals of one bag


class State(StrEnum):
    """How far a seal has come."""

    SEALED = "sealed"  # every authority has answered
    PENDING = "pending"  # one at least is still to answer
    UNTIMESTAMPED = "untimestamped"  # no authority was asked: a signature alone


class Signing(Struct, frozen=True, kw_only=True):
    """Who seals, and whom they ask for the time."""

    identity: Identity
    authorities: Authorities | None = None
    clock: Clock


class Seal(Struct, frozen=True, kw_only=True):
    """One seal of a bag, as it was made or completed just now."""

    bag: str
    number: int
    signer: Digest
    files: tuple[tuple[str, Digest], ...]  # those added now, with their sha256
    stamps: tuple[Stamp, ...] = ()  # likewise
    refusals: tuple[Refusal, ...] = ()
    authorities: tuple[str, ...] = ()  # all that belong to it

    @property
    def state(self) -> State:
        """Tell how far the seal has come."""
        if self.refusals:
            return State.PENDING
        return State.SEALED if self.authorities else State.UNTIMESTAMPED

    def told(self) -> dict[str, Json]:
        """Tell the seal as JSON."""
        return {
            "seal": self.number,
            "state": str(self.state),
            "signer": str(self.signer),
            "timestamps": [
                {"authority": one.token.authority, "at": stamp(one.token.at)}
                for one in self.stamps
            ],
            "pending": [
                {"authority": one.authority, "reason": one.reason}
                for one in self.refusals
            ],
        }


class Facts(Struct, frozen=True, kw_only=True):
    """What a statement says beside its subject: told by the run, or by nobody."""

    told: Mapping[str, Json] = field(default_factory=dict)
    is_stamped: bool = True  # False where the run's own bag is stamped for it


def seal(bag: Path, signing: Signing, facts: Facts, *, migrate: bool = False) -> Seal:
    """Seal a bag, after all seals that it has; ``migrate`` adds a list of digests.

    Raises FixityError and StorageError.
    """
    held = shelf.read(bag)
    number = max(held.numbers(), default=0) + 1
    if not held.tagmanifests or held.unreadable or number > LAST:
        raise FixityError(
            f"{bag}: expected a bag with tag manifests and room for a seal; verify it"
        )
    files = []
    if migrate:
        files = [(shelf.name_of(number, LISTING), listing(bag, number))]
    extra = tuple(Subject.of(*one) for one in files)
    said = _statement(held, number, signing, facts, extra)
    clear = statement.render(said)
    signed = signature.sign(clear, signing.identity, at=signing.clock.now())
    name = shelf.name_of(number, "json")
    files += [(name, clear), (f"{name}.p7s", signed)]
    shelf.add(bag, files)
    return _stamped(bag, said, signed, signing.authorities, added=files)


def _statement(
    held: shelf.Shelf,
    number: int,
    signing: Signing,
    facts: Facts,
    extra: tuple[Subject, ...],
) -> Statement:
    clock, asked = signing.clock, signing.authorities
    now = clock.now()
    own: dict[str, Json] = {
        "sealed_at": stamp(now),
        "sealed_at_basis": "time asserted by this machine only",
        "nonce": clock.nonce(NONCE_BYTES).hex(),
    }
    return Statement(
        number=number,
        bag=held.path.name,
        subjects=(*held.tagmanifests, *held.before(number), *extra),
        signer=signing.identity.fingerprint,
        authorities=asked.names if asked and facts.is_stamped else (),
        facts={**facts.told, **own},
    )


def _stamped(
    bag: Path,
    said: Statement,
    signed: bytes,
    authorities: Authorities | None,
    *,
    added: Sequence[tuple[str, bytes]] = (),
    names: Sequence[str] | None = None,
    queries: Mapping[str, bytes] | None = None,
) -> Seal:
    """Ask the authorities of a seal, and store what is good."""
    wanted = said.authorities if names is None else names
    asked: tuple[Stamp | Refusal, ...]
    if authorities is not None and wanted:
        asked = authorities.stamp(signed, names=wanted, queries=queries)
    else:
        reason = "no authority of this name is configured"
        asked = tuple(Refusal(authority=one, reason=reason) for one in wanted)
    stamps = tuple(one for one in asked if isinstance(one, Stamp))
    tokens = [pair for one in stamps for pair in _token_files(said.number, one)]
    if tokens:
        shelf.add(bag, tokens)
    return Seal(
        bag=said.bag,
        number=said.number,
        signer=said.signer,
        files=tuple((name, digest_of(data)) for name, data in (*added, *tokens)),
        stamps=stamps,
        refusals=tuple(one for one in asked if isinstance(one, Refusal)),
        authorities=said.authorities,
    )


def _token_files(number: int, one: Stamp) -> tuple[tuple[str, bytes], ...]:
    """Name what is kept of a token: what it answers first, what it implies last."""
    name = shelf.name_of(number, one.token.authority)
    return (
        (f"{name}.tsq", one.query),
        (f"{name}.tsr", one.answer),
        (f"{name}.pem", token.chain_of(one.answer)),
    )


def complete(bag: Path, authorities: Authorities | None) -> tuple[Seal, ...]:
    """Ask again for every token that the seals of a bag still lack.

    Returns the seals that were pending. Raises FixityError for a seal that is unsound:
    nobody is asked to stamp what was altered.
    """
    held, done = shelf.read(bag), []
    for number in held.numbers():
        name = shelf.name_of(number, "json")
        clear, signed = held.files.get(name), held.files.get(f"{name}.p7s")
        if clear is None or signed is None:
            raise FixityError(
                f"{bag / name}: half of this seal is gone; verify the bag"
            )
        try:
            said = statement.parse(clear)
            signature.verify(clear, signed)
        except ValueError as error:
            raise FixityError(f"{bag / name}: {error}; verify the bag") from error
        _mend_chains(bag, held, said)
        lacking = [one for one in said.authorities if not _has(held, number, one)]
        if lacking:
            queries = {one: _query(held, number, one, signed) for one in lacking}
            again = {one: query for one, query in queries.items() if query}
            done.append(
                _stamped(bag, said, signed, authorities, names=lacking, queries=again)
            )
    return tuple(done)


def _mend_chains(bag: Path, held: shelf.Shelf, said: Statement) -> None:
    """Add the certificates of a token whose keeper died before it wrote them."""
    for one in said.authorities:
        answer = held.files.get(shelf.name_of(said.number, f"{one}.tsr"))
        name = shelf.name_of(said.number, f"{one}.pem")
        if answer and name not in held.files:
            shelf.add(bag, [(name, token.chain_of(answer))])


def _has(held: shelf.Shelf, number: int, authority: str) -> bool:
    return shelf.name_of(number, f"{authority}.tsr") in held.files


def _query(held: shelf.Shelf, number: int, authority: str, signed: bytes) -> bytes:
    """Find the query of an attempt that died before its answer was stored."""
    asked = held.files.get(shelf.name_of(number, f"{authority}.tsq"), b"")
    try:
        if asked:
            token.nonce_of(asked, signed)
    except ValueError:
        return b""
    return asked


def renew(
    bag: Path,
    signing: Signing,
    facts: Facts,
    *,
    trusted: Sequence[Authority],
    migrate: bool = False,
) -> Seal:
    """Add a seal over all earlier ones, once they and the whole bag were verified.

    Raises FixityError for what does not hold: a renewal would only cover it up.
    """
    now = signing.clock.now()
    report = validate(bag)
    judged = assurance.judge(bag, authorities=trusted, now=now)
    for one in (*report.findings, *judged.findings):
        if one.severity is Severity.ERROR:
            raise FixityError(
                f"{bag}: {one.path}: {one.message}; a bag that does not verify is not "
                "sealed again"
            )
    if not judged.seals:
        raise FixityError(f"{bag}: expected a seal to renew, found none; seal it first")
    return seal(bag, signing, facts, migrate=migrate)


def start(
    data: bytes, authorities: Authorities | None, *, now: datetime
) -> tuple[tuple[Stamp, ...], tuple[Refusal, ...], dict[str, Json]]:
    """Stamp a plan before its first request; tell it for the statements of the run."""
    asked = authorities.stamp(data) if authorities else ()
    stamps = tuple(one for one in asked if isinstance(one, Stamp))
    refusals = tuple(one for one in asked if isinstance(one, Refusal))
    told: dict[str, Json] = {
        "tokens": [
            {
                "authority": one.token.authority,
                "at": stamp(one.token.at),
                "sha256": digest_of(one.answer).hex,
            }
            for one in stamps
        ],
        "missing": [
            {"authority": one.authority, "reason": one.reason} for one in refusals
        ],
        "machine_clock": stamp(now),
    }
    return stamps, refusals, told
