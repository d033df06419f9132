"""The notary of a run: its plan stamped, its bags sealed, the log told of each token.

Sealing is done between packing and accession, on the coordinator. What was added is
written into the custody log once the bag is kept, so that whatever is taken away again
is missed: ``logged`` reads it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import __version__
from pipeline.capture.address import Policy
from pipeline.clock import Clock, stamp
from pipeline.config import Config, Timestamping
from pipeline.errors import Exit, FixityError
from pipeline.fixity import digest_of
from pipeline.holdings.custody import Act, Entry, Log
from pipeline.holdings.store import Store
from pipeline.model import Bag, Capture, Digest, Run, Verdict
from pipeline.packaging.provenance import SUBMISSION, Rendering
from pipeline.packaging.rendering import Json
from pipeline.packaging.story import environment_json
from pipeline.plan import canonical
from pipeline.sealing import keys, seal, shelf, token
from pipeline.sealing.authority import Authorities, Refusal
from pipeline.sealing.keys import Identity
from pipeline.sealing.seal import Facts, Seal, Signing, State
from pipeline.sealing.skew import median_skew
from pipeline.sealing.statement import Statement, parse
from pipeline.sealing.token import Authority

SOFTWARE = f"Muniment {__version__}"
MANY = 50  # bags of a run; beyond, the run's own bag alone is stamped
COMMITMENT = f"{SUBMISSION}/commitment.json"
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"


def trusted(configured: Iterable[Timestamping]) -> tuple[Authority, ...]:
    """Load the authorities of the configuration, with roots. Raises UsageError."""
    return tuple(
        Authority(name=one.name, url=one.url, roots=token.roots_of(one.name, one.roots))
        for one in configured
    )


def identity_of(
    config: Config, environ: Mapping[str, str], clock: Clock
) -> tuple[Identity, bool]:
    """Read the key that seals, or make this machine's own, and say whether it is new.

    Raises KeyFileError for a key that can't be used, StorageError where none is made.
    """
    path = config.key or keys.default_path(environ, Path("~").expanduser())
    keys.require_apart(path, config.archive)
    if config.key is not None:  # a key that was named is never made up
        return keys.read(path), False
    return keys.read_or_make(path, now=clock.now(), serial=clock.nonce(16))


def authorities_of(
    config: Config, policy: Policy, clock: Clock, cacert: Path | None = None
) -> Authorities | None:
    """Open the door to the authorities of the configuration; None for no authority.

    Raises UsageError for roots that can't be read.
    """
    found = trusted(config.authorities)
    if not found:
        return None
    # A rule that leads every host elsewhere is meant for the sources.
    rules = tuple(rule for rule in policy.connect_to if rule.host)
    door = replace(policy, connect_to=rules)
    return Authorities(found, policy=door, clock=clock, cacert=cacert)


@dataclass(slots=True, kw_only=True)
class Notary:
    """Whoever seals the bags of one run."""

    signing: Signing
    started: tuple[Rendering, ...] = ()  # the plan and its tokens, for every bag
    _start: dict[str, Json] = field(default_factory=dict)
    _is_many: bool = False

    @property
    def signer(self) -> str:
        """The fingerprint of whoever seals."""
        return str(self.signing.identity.fingerprint)

    @property
    def authorities(self) -> tuple[str, ...]:
        """The names of the authorities that are asked."""
        return self.signing.authorities.names if self.signing.authorities else ()

    def begin(self, commitment: Json, *, bags: int) -> tuple[str, ...]:
        """Have the plan stamped before the first request; say what was not had."""
        self._is_many = bags > MANY
        asked = self.signing.authorities
        if asked is None:
            return ()
        asked.forgive()
        data, now = canonical(commitment), self.signing.clock.now()
        stamps, refusals, self._start = seal.start(data, asked, now=now)
        files = [(COMMITMENT, data, "application/json")]
        for one in stamps:
            name = f"{SUBMISSION}/plan.{one.token.authority}"
            files += [
                (f"{name}.tsq", one.query, QUERY),
                (f"{name}.tsr", one.answer, REPLY),
            ]
        self.started = tuple(
            Rendering(path=path, data=data, media_type=kind)
            for path, data, kind in files
        )
        return tuple(
            f"no timestamp of the plan by {one.authority}: {one.reason}; going on"
            for one in refusals
        )

    def seal_source(self, folder: Path, run: Run, capture: Capture, head: Json) -> Seal:
        """Seal one source's bag."""
        told = self._facts(run, {str(capture.verdict): 1}, head)
        told["captured"] = {
            "source": capture.source.id,
            "started": stamp(capture.started),
            "ended": stamp(capture.ended),
        }
        if found := _skew([capture]):
            told["clock"] = found
        facts = Facts(told=told, is_stamped=not self._is_many)
        return seal.seal(folder, self.signing, facts)

    def seal_run(
        self,
        folder: Path,
        run: Run,
        captures: Iterable[Capture],
        members: Iterable[Bag],
        head: Json,
    ) -> Seal:
        """Seal a run's own bag, which answers for every bag of the run."""
        captures = tuple(captures)
        verdicts = [one.verdict for one in captures]
        counts = {str(v): verdicts.count(v) for v in Verdict if v in verdicts}
        told = self._facts(run, counts, head)
        told["members"] = [
            {"bag": one.id, **{d.algorithm: d.hex for d in one.tagmanifests}}
            for one in members
        ]
        if found := _skew(captures):
            told["clock"] = found
        if self.signing.authorities:
            self.signing.authorities.forgive()  # who was down may be up again
        return seal.seal(folder, self.signing, Facts(told=told))

    def _facts(self, run: Run, verdicts: dict[str, int], head: Json) -> dict[str, Json]:
        environment = canonical(environment_json(run))
        return {
            "run": run.id,
            "job": run.job,
            "plan": str(run.plan),
            "start": self._start,
            "verdicts": verdicts,
            "operator": {
                "name": run.operator.name,
                "organisation": run.operator.organisation,
            },
            "tool": run.software,
            "environment": str(digest_of(environment)),
            "custody": head,
            "timestamped": "with the run's own bag" if self._is_many else "by itself",
        }

    def close(self) -> None:
        """Hang up."""
        if self.signing.authorities:
            self.signing.authorities.close()


def _skew(captures: Iterable[Capture]) -> dict[str, Json] | None:
    """Tell how far the clocks of the servers met were from ours; None for no clock."""
    skew = median_skew(
        (one.ip, one.date, one.started)
        for capture in captures
        for one in capture.exchanges
        if one.date is not None
    )
    if skew is None:
        return None
    return {"median_skew_seconds": skew.seconds, "servers": skew.servers}


# ----------------------------------------------------------------- the archive's view


def record(store: Store, made: Seal, *, path: Path, job: str, run: str) -> None:
    """Write a seal and each token that came into the custody log."""
    place = path.relative_to(store.root).as_posix()
    times = {one.token.authority: one.token.at for one in made.stamps}
    for name, digest in made.files:
        if not name.endswith((".p7s", ".tsr")):
            continue  # the statement is bound by the signature, the rest by the token
        authority = name.split(".")[1] if name.endswith(".tsr") else ""
        said = (
            f"{authority} {stamp(times[authority])}" if authority else str(made.signer)
        )
        store.record(
            Entry(
                act=Act.SEAL if made.number == 1 else Act.RENEWAL,
                at=store.clock.now(),
                bag=path.name,
                job=job,
                run=run,
                path=f"{place}/{name}",
                outcome=str(made.state),
                software=SOFTWARE,
                detail=f"{digest} {said}",
            )
        )


def logged(log: Log) -> dict[str, dict[str, Digest]]:
    """Read what the log says was added to bags, by path of the bag and name of file.

    Raises FixityError for a log that is damaged.
    """
    found: dict[str, dict[str, Digest]] = {}
    for one in log.read():
        entry = one.entry
        if entry.act in {Act.SEAL, Act.RENEWAL}:
            bag, _, name = entry.path.rpartition("/")
            try:
                digest = Digest.parse(entry.detail.partition(" ")[0])
            except ValueError:
                continue
            found.setdefault(bag, {})[name] = digest
    return found


def pending(bags: Iterable[Path]) -> tuple[Path, ...]:
    """Find the bags with a seal whose tokens have not all come."""
    return tuple(bag for bag in bags if any(_lacks(bag)))


def _lacks(bag: Path) -> Iterable[str]:
    held = shelf.read(bag)
    for said in _statements(held):
        for one in said.authorities:
            if shelf.name_of(said.number, f"{one}.tsr") not in held.files:
                yield one


def _statements(held: shelf.Shelf) -> Iterable[Statement]:
    for number in held.numbers():
        try:
            yield parse(held.files.get(shelf.name_of(number, "json"), b""))
        except ValueError as error:
            raise FixityError(
                f"{held.path}: the statement of seal {number}: {error}; verify the bag"
            ) from error


def exit_of(seals: Iterable[Seal]) -> Exit:
    """Tell the exit status that seals come to: 9 while a token is still to come."""
    is_pending = any(one.state is State.PENDING for one in seals)
    return Exit.RETRY if is_pending else Exit.OK


def why(refusals: Iterable[Refusal]) -> str:
    """Tell why tokens have not come, in one line."""
    return "; ".join(f"{one.authority}: {one.reason}" for one in refusals)
