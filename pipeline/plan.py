"""What a run will do, fixed before its first request (pure).

The plan commits to every entry by a salted digest, and to all of them by the root of a
Merkle tree over these (RFC 9162). A source's bag carries that commitment, its own entry
and salt, and the digests that prove its place: disclosing one exhibit tells nothing of
the others, while anyone can check that it belongs to the plan, and that the plan was
not longer or shorter. What a bag carries does not grow with the plan.
"""

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from pipeline.capture.visit import requested, user_agent
from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.holdings.merkle import Tree, leaf_of
from pipeline.model import Deposit, Digest, Engine, Manifest, Source
from pipeline.packaging.rendering import Json, told

FORMAT = "muniment-plan/2"
SALT_BYTES = 32


class Entry(Struct, frozen=True, kw_only=True):
    """One source in a plan: what will be done, and the salt that hides it."""

    source: Source
    salt: bytes
    _leaf: bytes = b""  # digested once

    def __post_init__(self) -> None:
        force_setattr(self, "_leaf", leaf_of(canonical(self.told())))

    def told(self) -> Json:
        """Tell the entry as it stands in plan.json."""
        return {**_settings(self.source), "salt": self.salt.hex()}

    def leaf(self) -> bytes:
        """Return the digest of the entry with its salt: a leaf of the plan's tree."""
        return self._leaf


class Plan(Struct, frozen=True, kw_only=True, eq=False):
    """The entries of a run in order, and what commits to them.

    Two plans are the same where their digests are.
    """

    run: str
    job: str
    manifest: Digest
    entries: tuple[Entry, ...]
    _tree: Tree | None = None  # made once, as every bag asks it
    _places: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        force_setattr(self, "_tree", Tree(entry.leaf() for entry in self.entries))
        places = {entry.source.id: at for at, entry in enumerate(self.entries)}
        force_setattr(self, "_places", places)

    @property
    def tree(self) -> Tree:
        """The Merkle tree over the entries."""
        assert self._tree is not None, "made with the plan"
        return self._tree

    def commitment(self) -> dict[str, Json]:
        """Tell what every bag of the run may know of the plan."""
        return {
            "format": FORMAT,
            "run": self.run,
            "job": self.job,
            "manifest": str(self.manifest),
            "size": len(self.entries),
            "root": self.tree.head(len(self.entries)).root.hex(),
        }

    def digest(self) -> Digest:
        """Digest the commitment: what warcinfo names and a timestamp can cover."""
        return digest_of(canonical(self.commitment()))

    def whole(self) -> bytes:
        """Write plan.json of the run bag: every entry in clear."""
        entries = [entry.told() for entry in self.entries]
        return canonical({"commitment": self.commitment(), "entries": entries})

    def seen_by(self, entry: Entry) -> bytes:
        """Write plan.json of one source's bag: its own entry alone in clear."""
        place = self._places[entry.source.id]
        proof = self.tree.inclusion(place, len(self.entries))
        return canonical(
            {
                "commitment": self.commitment(),
                "entry": entry.told(),
                "index": place,
                "proof": [one.hex() for one in proof],
            }
        )


def canonical(value: Json) -> bytes:
    """Write JSON in the one form that is digested: sorted, compact, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def chosen(manifest: Manifest, only: Iterable[str] = ()) -> tuple[Source, ...]:
    """Pick the sources of a run. Raises UsageError for an id the manifest lacks."""
    wanted = tuple(only)
    known = {source.id for source in manifest.sources}
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"--only {name}: {manifest.path} has no such source; "
                f"it has {', '.join(sorted(known))}"
            )
    return tuple(s for s in manifest.sources if not wanted or s.id in wanted)


def shards(entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], ...]:
    """Group entries by host, in their order: one host, one line of sources."""
    hosts: dict[str, list[Entry]] = {}
    for entry in entries:
        hosts.setdefault(host_of(entry.source), []).append(entry)
    return tuple(map(tuple, hosts.values()))


def preview(
    manifest: Manifest,
    sources: tuple[Source, ...],
    deposits: Iterable[Deposit] = (),
    authorities: Iterable[str] = (),
) -> dict[str, Json]:
    """Tell what a run would fetch and hand over, as cli.md's contract has it."""
    return {
        "job": manifest.id,
        "sources": [
            {
                "id": source.id,
                "url": source.url,
                "host": host_of(source),
                "engine": str(engine_of(source)),
                "delay": source.delay.total_seconds(),
                "robots": str(source.robots),
                "user_agent": user_agent(source.identify, manifest.contact),
                "skip": source.skip,
            }
            for source in sources
        ],
        "hosts": len({host_of(source) for source in sources if not source.skip}),
        "deposits": [
            {
                "name": one.name,
                "to": str(one.to),
                "url": one.url,
                "when": str(one.when),
                "layout": one.layout,
            }
            for one in deposits
        ],
        "seal": {"timestamp": list(authorities)},
    }


def user_agents(manifest: Manifest, sources: tuple[Source, ...]) -> tuple[str, ...]:
    """List how the run will name itself, each name once."""
    told = (user_agent(source.identify, manifest.contact) for source in sources)
    return tuple(dict.fromkeys(told))


def host_of(source: Source) -> str:
    """Name the host that a source is asked from."""
    return urlsplit(requested(source.url)).hostname or ""


def named_ports(sources: Iterable[Source]) -> frozenset[tuple[str, int]]:
    """List each host and port that the manifest itself names."""
    pairs = set()
    for source in sources:
        for url in (source.url, *source.also):
            parts = urlsplit(requested(url))
            if parts.port and parts.hostname:
                pairs.add((parts.hostname, parts.port))
    return frozenset(pairs)


def engine_of(source: Source) -> Engine:
    """Name the engine that will visit: of the built ones, auto means HTTP."""
    return Engine.HTTP if source.capture is Engine.AUTO else source.capture


def strictly(source: Source) -> Source:
    """Return a source whose every quote is required."""
    quotes = tuple(replace(quote, required=True) for quote in source.quotes)
    return replace(source, quotes=quotes)


def _settings(source: Source) -> dict[str, Json]:
    settings = told(source)
    assert isinstance(settings, dict), "a dataclass is told as an object"
    return {name: value for name, value in settings.items() if name != "entry"}
