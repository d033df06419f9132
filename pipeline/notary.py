"""The notary of a run: its plan stamped, its bags sealed.

Sealing is done between packing and accession, on the coordinator; a signature takes
milliseconds, and an authority that fails once is not waited for again in the same run.
Who seals, and whom they ask, comes from the configuration. What the archive makes of
the seals, ``sealbook`` tells.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.capture.address import Policy
from pipeline.clock import Clock, stamp
from pipeline.config import Config, Timestamping, own_folder
from pipeline.fixity import digest_of
from pipeline.intake.manifest import require_known
from pipeline.model import Capture, Manifest, Run, Verdict
from pipeline.outcome import Kept
from pipeline.packaging.provenance import SUBMISSION, Rendering
from pipeline.packaging.rendering import Json
from pipeline.packaging.rendering import told as as_json
from pipeline.packaging.story import environment_json
from pipeline.plan import canonical
from pipeline.sealing import keys, seal, token
from pipeline.sealing.authority import Authorities
from pipeline.sealing.bracket import COMMITMENT
from pipeline.sealing.expiry import of_key
from pipeline.sealing.keys import Identity
from pipeline.sealing.seal import Facts, Seal, Signing
from pipeline.sealing.skew import FAR, offsets, skew_of
from pipeline.sealing.token import Authority

if TYPE_CHECKING:
    from pipeline.sealing.sntp import Watch

MANY = 50  # bags of a run; beyond, the run's own bag alone is stamped
QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"


def trusted(configured: Iterable[Timestamping]) -> tuple[Authority, ...]:
    """Load the authorities of the configuration, with roots. Raises UsageError."""
    return tuple(
        Authority(name=one.name, url=one.url, roots=token.roots_of(one.name, one.roots))
        for one in configured
    )


def for_manifest(config: Config, manifest: Manifest) -> Config:
    """Keep of the authorities those that a manifest chooses, in its order.

    Raises ManifestError where it names one that the configuration does not.
    """
    if manifest.timestamp is None:
        return config
    known = {one.name: one for one in config.authorities}
    require_known(manifest, known)
    chosen = tuple(known[name] for name in manifest.timestamp)
    return replace(config, authorities=chosen)


def key_of(config: Config, environ: Mapping[str, str]) -> Path:
    """Tell which file holds the key that seals: the one that is named, or our own."""
    return config.key or own_folder(environ) / keys.FILE_NAME


def identity_of(
    config: Config, environ: Mapping[str, str], clock: Clock
) -> tuple[Identity, bool]:
    """Read the key that seals, or make this machine's own, and say whether it is new.

    Raises KeyFileError for a key that can't be used, StorageError where none is made.
    """
    path = key_of(config, environ)
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


def notary_of(
    config: Config,
    policy: Policy,
    *,
    environ: Mapping[str, str],
    clock: Clock,
    cacert: Path | None = None,
) -> "tuple[Notary, bool]":
    """Appoint whoever the configuration names; say whether a machine key is new.

    Raises UsageError, KeyFileError and StorageError, before anything is asked.
    """
    authorities = authorities_of(config, policy, clock, cacert)
    identity, is_new = identity_of(config, environ, clock)
    signing = Signing(identity=identity, authorities=authorities, clock=clock)
    return Notary(signing=signing, watch=watch_of(config, policy, clock)), is_new


def watch_of(config: Config, policy: Policy, clock: Clock) -> "Watch | None":
    """Appoint the time servers of the configuration; None for no server."""
    if not config.sntp:
        return None
    from pipeline.capture.datagram import Datagrams  # noqa: PLC0415 - start-up time
    from pipeline.sealing.sntp import Watch  # noqa: PLC0415 - likewise

    return Watch(servers=config.sntp, door=Datagrams(policy=policy, clock=clock))


class Notary(Struct, kw_only=True):
    """Whoever seals the bags of one run."""

    signing: Signing
    watch: "Watch | None" = None  # the time servers that are asked, if any
    started: tuple[Rendering, ...] = ()  # the plan and its tokens, for every bag
    _start: dict[str, Json] = field(default_factory=dict)
    _read: list[Json] = field(default_factory=list)  # what time servers said
    _is_many: bool = False

    @property
    def signer(self) -> str:
        """The fingerprint of whoever seals."""
        return str(self.signing.identity.fingerprint)

    @property
    def authorities(self) -> tuple[str, ...]:
        """The names of the authorities that are asked."""
        return self.signing.authorities.names if self.signing.authorities else ()

    @property
    def start_digests(self) -> tuple[str, ...]:
        """The digests of the plan's tokens, which every WARC of the run names."""
        told: Any = self._start.get("tokens", ())
        return tuple(f"{one['authority']} sha256:{one['sha256']}" for one in told)

    def begin(self, commitment: Json, *, bags: int) -> tuple[str, ...]:
        """Have the plan stamped before the first request; say what was not had."""
        self._is_many = bags > MANY
        said = (*self.warnings(), *self._ask_the_time())
        asked = self.signing.authorities
        if asked is None:
            return said
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
        refused = (
            f"no timestamp of the plan by {one.authority}: {one.reason}; going on"
            for one in refusals
        )
        clocks = (
            (one.token.authority, (one.token.at - now).total_seconds())
            for one in stamps
        )
        return (*said, *refused, *off(clocks))

    def warnings(self) -> tuple[str, ...]:
        """Say that the key's certificate ends within a year, where it does."""
        end, now = of_key(self.signing.identity.certificate), self.signing.clock.now()
        return (end.sentence(now),) if end.is_near(now) else ()

    def _ask_the_time(self) -> tuple[str, ...]:
        """Read the time servers, and say what was not had or is far from our clock."""
        found = self.watch.read() if self.watch else ()
        self._read += [one.told() for one in found]
        silent = (
            f"no time from {one.server}: {one.reason}; going on"
            for one in found
            if one.reason
        )
        return (
            *silent,
            *off((one.server, one.offset) for one in found if not one.reason),
        )

    def seal_source(self, folder: Path, run: Run, capture: Capture, head: Json) -> Seal:
        """Seal one source's bag."""
        told = self._facts(run, {str(capture.verdict): 1}, head)
        told["captured"] = {
            "source": capture.source.id,
            "started": stamp(capture.started),
            "ended": stamp(capture.ended),
        }
        told["clock"] = self._clock(self.clocks(capture))
        facts = Facts(told=told, is_stamped=not self._is_many)
        return seal.seal(folder, self.signing, facts)

    def seal_run(
        self, folder: Path, run: Run, kept: Sequence[Kept], head: Json
    ) -> Seal:
        """Seal a run's own bag, which answers for every bag of the run."""
        verdicts = [one.verdict for one in kept]
        counts = {str(v): verdicts.count(v) for v in Verdict if v in verdicts}
        told = self._facts(run, counts, head)
        told["members"] = [
            {"bag": bag, **{d.algorithm: d.hex for d in digests}}
            for one in kept
            for bag, digests in one.members()
        ]
        told["clock"] = self._clock(pair for one in kept for pair in one.clocks)
        if self.signing.authorities:
            self.signing.authorities.forgive()  # who was down may be up again
        return seal.seal(folder, self.signing, Facts(told=told))

    @staticmethod
    def clocks(capture: Capture) -> tuple[tuple[str, float], ...]:
        """Tell how far the clock of each server that was met was ahead of ours."""
        return offsets(
            (one.ip, one.date, one.started)
            for one in capture.exchanges
            if one.date is not None
        )

    def told(self) -> Json:
        """Tell how the plan was stamped, for a journal."""
        return {
            "start": self._start,
            "is_many": self._is_many,
            "sntp": self._read,
            "files": [
                [one.path, base64.b64encode(one.data).decode(), one.media_type]
                for one in self.started
            ],
        }

    def take_up(self, told: Any) -> None:
        """Go on with a run whose plan was stamped when it was begun."""
        self._start, self._is_many = told["start"], told["is_many"]
        self._read = list(told.get("sntp", ()))
        self._ask_the_time()  # of another day, perhaps
        self.started = tuple(
            Rendering(path=path, data=base64.b64decode(data), media_type=kind)
            for path, data, kind in told["files"]
        )

    def _clock(self, told: Iterable[tuple[str, float]]) -> dict[str, Json]:
        """Tell what other clocks said: the servers' that were met, time servers'."""
        skew = skew_of(told)
        return {
            "median_skew_seconds": skew.seconds if skew else None,
            "servers": skew.servers if skew else 0,
            "sntp": list(self._read),  # nothing where no time server is configured
        }

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
            "self_test": as_json(run.self_test),
            "custody": head,
            "timestamped": "with the run's own bag" if self._is_many else "by itself",
        }

    def close(self) -> None:
        """Hang up."""
        if self.signing.authorities:
            self.signing.authorities.close()


def off(clocks: Iterable[tuple[str, float]]) -> Iterator[str]:
    """Say of each clock that stands far from ours, by seconds, what to do about it."""
    for whose, ahead in clocks:
        if abs(ahead) > FAR.total_seconds():
            yield (
                f"this machine's clock stands {abs(ahead):.0f} seconds "
                f"{'behind' if ahead > 0 else 'before'} that of {whose}; its time "
                "stands in every bag: set it (timedatectl set-ntp true)"
            )
