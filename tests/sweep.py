"""What is left when a run dies: at every point, in every way, and what is promised then.

    python tests/sweep.py            # sweep it all; some minutes
    python tests/sweep.py --write    # and write the table in tests/README.md

Three runs are recorded act by act: a first run, a second with unchanged sources, and one
that goes on with a run that died. Then each end is tried on a copy of the archive: the
process is killed before every act and in the middle of every write; the power is cut,
and what was not synced is lost in many ways; acts are refused, fall short or lie.
After each end the next run's recovery is done, and the promises are checked.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import origins
from origins import Origin, answer
from pagecache import (
    Act,
    AnyOf,
    BytesAlone,
    Cut,
    Killed,
    Model,
    NamesAlone,
    NothingGoes,
    Recorder,
)

from pipeline import job, resume
from pipeline.capture.address import ConnectTo, Policy
from pipeline.disk import Disk
from pipeline.errors import Exit, PipelineError
from pipeline.fixity import digest_of
from pipeline.holdings.custody import Act as Logged
from pipeline.holdings.custody import Log, parse_line
from pipeline.holdings.ledger import examine
from pipeline.holdings.room import Room
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import Bag, Capture, Change, Severity, Source
from pipeline.notary import Notary
from pipeline.packaging.validate import validate
from pipeline.sealing import keys
from pipeline.sealing.seal import Signing

PAGE = answer(b"<html><body><p>The words.<img src='/dot.png'></body></html>")
PAGES: dict[str, origins.Answer] = {
    "/page": PAGE,
    "/dot.png": answer(b"\x89PNG\r\n\x1a\n", "image/png"),
    "/other": answer(b"<html><body><p>Other words.</body></html>"),
}
CASE = """\
version: 1
id: case
defaults: {delay: 0s, requisite_delay: 0s, retries: 0, timeout: 5s, robots: ignore}
sources:
  page: http://one.example/page
  other: http://one.example/other
  gone: http://one.example/gone
"""
README = Path(__file__).with_name("README.md")
MARKS = ("<!-- sweep: make sweep -->\n", "<!-- end of sweep -->")
LOG = {".muniment", ".muniment/custody.jsonl"}


class Quiet:
    """Progress that notes who came home."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note

    def planned(self, hosts: Mapping[str, int]) -> None: ...

    def said(self, sentence: str) -> None: ...

    def visiting(self, source: Source) -> None: ...

    def kept(self, capture: Capture, change: Change) -> None:
        self._note("home", capture.source.id)


class Telling(Store):
    """A store that notes what it has said to be kept."""

    note: Callable[[str, str], None] = staticmethod(lambda _kind, _path: None)

    def accession(self, staged: Path, bag: Bag, **more: object) -> Path:
        place = super().accession(staged, bag, **more)
        self.note("ack", place.relative_to(self.root).as_posix())
        return place


class Careless(Disk):
    """Waits for no real disk: what a sync means, the model says."""

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def start(self, descriptor: int) -> None:
        """Hint nothing."""


class Ticking(origins.FixedClock):
    """A clock whose ids are its own: processes side by side must not share them."""

    def __init__(self, ids: int = 0) -> None:
        super().__init__()
        self._ids = ids


@dataclass
class Site:
    """Where runs are made: a server on loopback, a manifest, a folder in memory."""

    folder: Path
    port: int
    clock: Ticking = field(default_factory=Ticking)

    def notary(self) -> Notary:
        """Appoint one who seals with a throw-away key and asks nobody for the time."""
        identity, _ = keys.read_or_make(
            self.folder / "key.pem", now=self.clock.now(), serial=b"\x01" * 16
        )
        return Notary(signing=Signing(identity=identity, clock=self.clock))

    @property
    def case(self) -> Path:
        return self.folder / "case.yaml"

    def run(
        self, root: Path, note: Callable[[str, str], None] = lambda *_: None
    ) -> object:
        """Make one run as a command does."""
        self.clock.seconds += 86_400.0
        rule = ConnectTo(host="one.example", to_host="127.0.0.1", to_port=self.port)
        policy = Policy(connect_to=(rule,))
        store = Telling.open(root, self.clock, disk=Careless())
        store.note = note
        with (
            closing(origins.network(self.clock, policy=policy)) as network,
            closing(store),
        ):
            return job.run(
                manifest.read(self.case),
                order=job.Order(workers=1, notary=self.notary()),
                store=store,
                network=network,
                progress=Quiet(note),
            )


@contextmanager
def site() -> Iterator[Site]:
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder,
        Origin(PAGES) as origin,
    ):
        found = Site(Path(folder).resolve(), origin.port)
        found.case.write_text(CASE)
        yield found


# ------------------------------------------------------------------------- recordings


@dataclass(frozen=True)
class Trace:
    """A run as it happened on the disk, from an archive that stood there before."""

    name: str
    base: Path
    acts: tuple[Act, ...]


def recorded(site: Site, name: str, base: Path) -> Trace:
    root = site.folder / f"run-{name}"
    shutil.copytree(base, root)
    recorder = Recorder(root)
    with recorder.recording():
        site.run(root, recorder.note)
    shutil.rmtree(root)
    return Trace(name, base, tuple(recorder.acts))


def traces(site: Site) -> tuple[Trace, ...]:
    """Record a first run, a second, and one that goes on with a run that died."""
    empty, after = site.folder / "empty", site.folder / "after"
    Store.open(empty, site.clock).close()
    first = recorded(site, "a first run", empty)
    shutil.copytree(empty, after)
    site.run(after)
    second = recorded(site, "a second run", after)
    return first, second, *going_on(site, first), *going_on(site, second)


def going_on(site: Site, run: Trace) -> Iterator[Trace]:
    """Record runs that go on with one that died, early, late and between two lines."""
    logs = [n for n, act in enumerate(run.acts) if act.path.endswith("custody.jsonl")]
    for at in (len(run.acts) // 3, len(run.acts) * 3 // 4, logs[-3]):
        died = site.folder / f"died-{run.name}-{at}"
        Ended(run, at).leave(died, Killed())
        yield recorded(site, f"{run.name} that died at act {at}, gone on with", died)


@dataclass(frozen=True)
class Ended:
    """A run that ended before one of its acts, or in the middle of it."""

    trace: Trace
    at: int
    is_torn: bool = False

    def leave(self, into: Path, cut: Cut) -> None:
        model = Model(self.trace.base)
        for act in self.trace.acts[: self.at]:
            if act.kind not in {"ack", "home"}:
                model.do(act)
        if self.is_torn:
            act = self.trace.acts[self.at]
            model.do(replace(act, data=act.data[: len(act.data) // 2]))
        model.state(into, cut)

    def told(self, kind: str) -> set[str]:
        acts = self.trace.acts[: self.at]
        return {act.path for act in acts if act.kind == kind}

    def __str__(self) -> str:
        acts = self.trace.acts
        act = acts[self.at] if self.at < len(acts) else "its end"
        where = "in the middle of" if self.is_torn else "before"
        return f"{self.trace.name}, {where} act {self.at}: {act}"


def kills(trace: Trace) -> Iterator[Ended]:
    """Every point at which a process can be killed: before an act, within a write."""
    for at, act in enumerate((*trace.acts, None)):
        yield Ended(trace, at)
        if act is not None and act.kind == "write" and len(act.data) > 1:
            yield Ended(trace, at, is_torn=True)


# --------------------------------------------------------------------------- promises


@dataclass
class Judge:
    """Checks what is promised of an archive, whatever happened to it."""

    site: Site
    _known: dict[int, bool] = field(default_factory=dict)

    def is_whole(self, bag: Path) -> bool:
        """Validate a bag; what has been validated is known again by its bytes."""
        files = sorted(one for one in bag.rglob("*") if one.is_file())
        told = b"".join(
            b"%s\0%d\0" % (os.fsencode(one.relative_to(bag)), zlib.crc32(data))
            for one in files
            for data in [one.read_bytes()]
        )
        key = hash((bag.name, told))
        if key not in self._known:
            self._known[key] = validate(bag).ok
        return self._known[key]

    def broken(
        self, root: Path, acked: set[str], home: set[str], base: Path | None = None
    ) -> list[str]:
        """Name every promise that is broken, before and after the next recovery.

        ``base`` is the archive that the run began with, where it had bags.
        """
        earlier = {bag.name for bag in Room(base).bags()} if base else set()
        said = [*self.at_once(root, acked)]
        before = contents(root)
        store = Store.open(root, self.site.clock, disk=Careless())
        try:
            with closing(store), store.lock("sweep"):
                store.recover()
                said += self.remembered(store, home, earlier)
        except (PipelineError, AssertionError) as error:
            return [*said, f"recovery failed: {error}"]
        said += [f"lost: {path} is nowhere" for path in gone(before, contents(root))]
        return [*said, *self.afterwards(root, acked)]

    def at_once(self, root: Path, acked: set[str]) -> Iterator[str]:
        """What a stranger sees before anybody mends anything."""
        bags = {bag.relative_to(root).as_posix(): bag for bag in Room(root).bags()}
        for path, bag in bags.items():
            if not self.is_whole(bag):
                yield f"partial: {path} is visible and not whole"
            for statement in bag.rglob("seal-*.json"):
                if not statement.read_bytes().endswith(b"}\n"):
                    yield f"partial: {path} is visible and its seal is torn"
        logged = lines(root)
        for path in sorted(logged - bags.keys()):
            yield f"log: {path} has a line and is not there"
        staging = root / ".muniment/staging"
        for path in sorted(acked):
            if path not in bags:
                yield f"lost: {path} was acknowledged and is not there"
            if path not in logged:
                yield f"log: {path} was acknowledged and has no line"
            if (staging / Path(path).name).exists():
                yield f"twice: {path} is kept, and in staging too"

    def remembered(
        self, store: Store, home: set[str], earlier: set[str]
    ) -> Iterator[str]:
        """Whoever came home is not to be visited again."""
        for journal in store.journals():
            known = {one.source for one in resume.past(journal, store).kept}
            for source in sorted(home - known):
                yield f"forgotten: {source} came home and would be visited again"
            return
        made = {bag.name for bag in store.bags()} - earlier
        if home and not any("_run_" in name for name in made):
            yield "forgotten: the journal is gone, and the run's own bag is not there"

    def afterwards(self, root: Path, acked: set[str]) -> Iterator[str]:
        for bag in Room(root).bags():
            if not self.is_whole(bag):
                yield f"partial: {bag.name} stayed visible and is not whole"
        for path in sorted(acked):
            if not (root / path).is_dir():
                yield f"lost: {path} was acknowledged and went missing in recovery"
        said = seal_lines(root)
        seals = (one for bag in Room(root).bags() for one in bag.rglob("*.p7s"))
        for seal in seals:
            told = (
                seal.relative_to(root).as_posix(),
                str(digest_of(seal.read_bytes())),
            )
            if told not in said:
                yield f"log: {told[0]} is not the seal that the log tells of"
        for one in examine(root).findings:
            if one.severity is Severity.ERROR:
                yield f"log: {one.code} {one.path} {one.message}"


def contents(root: Path) -> dict[bytes, str]:
    """What captured bytes there are, wherever they stand: nothing is ever deleted."""
    files = root.rglob("*capture.warc.gz")
    return {one.read_bytes(): one.relative_to(root).as_posix() for one in files}


def gone(before: dict[bytes, str], after: dict[bytes, str]) -> list[str]:
    """Name what was there and is nowhere; a run's bag takes in unchanged visits."""
    lost = before.keys() - after.keys()
    return [before[one] for one in lost if not any(one in all_ for all_ in after)]


def lines(root: Path) -> set[str]:
    """What the log says is kept, up to a torn end."""
    found = set()
    log = root / ".muniment/custody.jsonl"
    for line in log.read_bytes().splitlines(keepends=True) if log.exists() else ():
        try:
            entry = parse_line(line).entry
        except ValueError:
            break
        if entry.act in {Logged.ACCESSION, Logged.RECOVERY}:
            found.add(entry.path)
    return found


def seal_lines(root: Path) -> set[tuple[str, str]]:
    """What the log says of seals: where, and the digest."""
    log = Log(root / ".muniment/custody.jsonl").read()
    return {
        (one.entry.path, one.entry.detail.partition(" ")[0])
        for one in log
        if one.entry.act is Logged.SEAL
    }


# ----------------------------------------------------------------------------- sweeps


@dataclass
class Tally:
    """How one sweep went."""

    name: str
    points: int = 0
    lost: int = 0
    partial: int = 0
    other: int = 0
    note: str = ""
    said: list[str] = field(default_factory=list)

    def count(self, where: object, broken: Iterable[str]) -> None:
        self.points += 1
        kinds = {one.partition(":")[0] for one in broken}
        self.lost += "lost" in kinds
        self.partial += "partial" in kinds
        self.other += bool(kinds - {"lost", "partial"})
        self.said += [f"{where}: {one}" for one in broken]

    @property
    def row(self) -> str:
        if self.note and not self.points:
            return f"| {self.name} | {self.note} | | | |"
        name = f"{self.name}{'; ' + self.note if self.note else ''}"
        counts = f"{self.points} | {self.lost} | {self.partial} | {self.other}"
        return f"| {name} | {counts} |"


def tried(site: Site, judge: Judge, end: Ended, cut: Cut) -> list[str]:
    """Let a run end so, recover, and name the promises that are broken."""
    root = site.folder / "state"
    end.leave(root, cut)
    try:
        if not (root / ".muniment/quarantine").is_dir():
            return ["lost: the archive itself"]
        told = end.told("ack"), end.told("home")
        return judge.broken(root, *told, end.trace.base)
    finally:
        shutil.rmtree(root)


def sample(items: Iterable[Ended], every: int, at: int = 0) -> Iterator[Ended]:
    return itertools.islice(items, at % every, None, every)


def kill_sweep(site: Site, runs: Iterable[Trace], *, every: int = 1) -> Tally:
    tally, judge = Tally("SIGKILL before every act and within every write"), Judge(site)
    for trace in runs:
        for end in sample(kills(trace), every, len(trace.acts)):
            tally.count(end, tried(site, judge, end, Killed()))
    return tally


def cuts(seeds: int, at: int) -> Iterator[Cut]:
    yield Cut()
    yield NamesAlone()
    yield BytesAlone()
    yield NothingGoes()
    yield from (AnyOf(at * seeds + one) for one in range(seeds))


def power_sweep(
    site: Site, runs: Iterable[Trace], *, every: int = 1, seeds: int = 3
) -> Tally:
    tally, judge = Tally("power cut: unsynced names and bytes lost"), Judge(site)
    for trace in runs:
        for at in range(len(trace.acts) % every, len(trace.acts) + 1, every):
            end = Ended(trace, at)
            for cut in cuts(seeds, at):
                where = f"{end} ({type(cut).__name__})"
                tally.count(where, tried(site, judge, end, cut))
    return tally


# -------------------------------------------------------------------------- mutations


def syncs(trace: Trace) -> Iterator[frozenset[int]]:
    """Group the syncs of one file or folder between two acknowledgements.

    What was synced before is passed over: the cache is as it was without it.
    """
    model, groups, needed, since = Model(trace.base), {}, set(), 0
    for at, act in enumerate(trace.acts):
        if act.kind in {"ack", "home"}:
            since += 1
            continue
        if act.kind == "sync":
            node = model.find(act.path)
            groups.setdefault((since, id(node)), []).append(at)
            if node.since:
                needed.add((since, id(node)))

        model.do(act)
    return (frozenset(groups[one]) for one in groups if one in needed)


def without(trace: Trace, acts: frozenset[int]) -> Trace:
    """Leave acts out, as if somebody had."""
    left = (act for at, act in enumerate(trace.acts) if at not in acts)
    return replace(trace, acts=tuple(left))


def logged_early(trace: Trace) -> Iterator[Trace]:
    """Move a line of the log before the rename that it tells of."""
    acts = trace.acts
    for at, act in enumerate(acts):
        if act.kind == "rename" and "/staging/" in act.path and "/2026/" in act.other:
            end = next(n for n in range(at, len(acts)) if acts[n].kind == "ack")
            lines = [one for one in acts[at:end] if one.path in LOG]
            others = [one for one in acts[at:end] if one.path not in LOG]
            yield replace(trace, acts=(*acts[:at], *lines, *others, *acts[end:]))


def acknowledged_early(trace: Trace) -> Iterator[Trace]:
    """Say that a bag is kept before its line is on disk."""
    acts = trace.acts
    for at, act in enumerate(acts):
        if act.kind == "ack":
            move = max(n for n in range(at) if acts[n].kind == "rename")
            rest = (*acts[move + 1 : at], *acts[at + 1 :])
            yield replace(trace, acts=(*acts[: move + 1], act, *rest))


def notices(site: Site, judge: Judge, trace: Trace, start: int) -> str:
    """Name a promise that a mutated run breaks where its power is cut."""
    telling = [
        at + 1
        for at in range(start, len(trace.acts))
        if trace.acts[at].kind in {"ack", "home", "rename"}
        or "custody" in trace.acts[at].path
    ]
    for at in (*telling[:12], len(trace.acts)):
        for cut in (Killed(), *cuts(1, at)):
            if broken := tried(site, judge, Ended(trace, at), cut):
                return broken[0]
    return ""


def mutations(trace: Trace) -> Iterator[tuple[str, int, Trace]]:
    """Every mutation of a run: what was done, from which act on, and what it left."""
    for group in syncs(trace):
        first = min(group)
        yield f"no {trace.acts[first]} ({first})", first, without(trace, group)
    for kind in (logged_early, acknowledged_early):
        for one in kind(trace):
            pairs = zip(one.acts, trace.acts, strict=True)
            first = next(n for n, (a, b) in enumerate(pairs) if a != b)
            yield f"{kind.__name__} ({first})", first, one


def mutation_sweep(site: Site, runs: Iterable[Trace], *, every: int = 1) -> Tally:
    """Mutate runs; ``other`` counts the mutations that nothing noticed."""
    tally, judge = Tally("mutations: an fsync dropped, a log line moved"), Judge(site)
    for trace in runs:
        for what, start, one in itertools.islice(mutations(trace), 0, None, every):
            told = notices(site, judge, one, start)
            tally.count(f"{trace.name}: {what}", [] if told else ["unnoticed"])
    return tally


# ----------------------------------------------------------------------------- faults

FAULTS = {  # what goes wrong, at which acts, and whether it stays so
    "no space from here on": ("ENOSPC", {"create", "mkdir", "write"}, True),
    "no space once": ("ENOSPC", {"create", "mkdir", "write", "sync"}, False),
    "input/output error": ("EIO", {"create", "write", "sync", "rename"}, False),
    "a write falls short": ("short", {"write"}, False),
    "a write lies of its length": ("lie", {"write"}, False),
    "a write puts down other bytes": ("wrong", {"write"}, False),
}


class Fault:
    """Spoils the n-th act of its kinds, or all from there on."""

    def __init__(self, told: str, kinds: set[str], at: int, *, stays: bool) -> None:
        self.told, self.kinds, self.at, self.stays = told, kinds, at, stays
        self.struck: list[Act] = []
        self.seen = 0

    def __call__(self, act: Act) -> str:
        if act.kind not in self.kinds:
            return ""
        self.seen += 1
        strikes = self.seen > self.at if self.stays else self.seen == self.at + 1
        if strikes:
            self.struck.append(act)
        return self.told if strikes else ""


def faulted(
    site: Site, judge: Judge, base: Path, fault: Fault
) -> tuple[str, list[str]]:
    """Run with a fault, then recover on a disk that is well; tell how the run ended."""
    root = site.folder / "faulted"
    shutil.copytree(base, root)
    recorder = Recorder(root)
    recorder.fault = fault
    try:
        with recorder.recording():
            site.run(root, recorder.note)
        ended = "well"
    except PipelineError:
        ended = "told"
    except Exception as error:  # noqa: BLE001 - whatever else it is, it is a fault
        ended = f"crash: {type(error).__name__}: {error}"
    told = {kind: {a.path for a in recorder.acts if a.kind == kind} for kind in ("ack", "home")}  # fmt: skip
    try:
        return ended, judge.broken(root, told["ack"], told["home"], base)
    finally:
        shutil.rmtree(root)


def verdict(fault: Fault, ended: str, broken: list[str]) -> list[str]:
    """Judge a run with a fault: other bytes than were written must be found by verify."""
    if ended.startswith("crash"):
        return [ended]
    if fault.told != "wrong":
        return broken
    (act,) = fault.struck
    is_of_a_bag = act.path.count("/") > 2 and not act.path.endswith(".part")
    return ["silent: nothing names the bytes that changed"] if is_of_a_bag and ended == "well" and not broken else []  # fmt: skip


def fault_sweep(
    site: Site, bases: Iterable[Path], *, every: int = 1, most: int = 1000
) -> Iterator[Tally]:
    judge = Judge(site)
    for name, (told, kinds, stays) in FAULTS.items():
        tally, named = Tally(name), 0
        for base in bases:
            for at in range(0, most, every):
                fault = Fault(told, kinds, at, stays=stays)
                ended, broken = faulted(site, judge, base, fault)
                if not fault.struck:
                    break
                named += bool(broken) and told == "wrong"
                where = f"{name} at {fault.struck[0]} ({at})"
                tally.count(where, verdict(fault, ended, broken))
        if told == "wrong":
            tally.note = f"{named} reached a bag or the log, and verify names them"
        yield tally


# ---------------------------------------------------------------------- real processes


def child(root: Path, folder: Path, port: int, ids: int, ends_at: int) -> None:
    """Make a run in this process, and end it for good before one of its acts."""
    site = Site(folder, port, Ticking(ids))
    recorder = Recorder(root)

    def end(_: Act) -> None:
        if len(recorder.acts) >= ends_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(kind: str, path: str) -> None:
        recorder.note(kind, path)
        print(kind, path, flush=True)

    recorder.before = end
    with recorder.recording():
        try:
            site.run(root, note)
        except PipelineError as error:
            print("ended", error.exit.value, flush=True)


def begun(site: Site, root: Path, ids: int, ends_at: int) -> "subprocess.Popen[str]":
    words = [root, site.folder, site.port, ids, ends_at]
    return subprocess.Popen(
        [sys.executable, __file__, "--child", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
    )


def said_by(process: "subprocess.Popen[str]") -> dict[str, set[str]]:
    out, _ = process.communicate(timeout=120)
    told: dict[str, set[str]] = {"ack": set(), "home": set(), "ended": set()}
    for line in out.splitlines():
        kind, _, path = line.partition(" ")
        told[kind].add(path)
    return told


def process_sweep(site: Site, acts: int, *, points: int, side_by_side: int) -> Tally:
    """Kill processes for good, one alone or the first of several at once."""
    alone = f"SIGKILL of a process, {side_by_side} at once"
    tally, judge, chance = Tally(alone), Judge(site), random.Random(points)
    for number in range(points):
        root = site.folder / "processes"
        Store.open(root, site.clock).close()
        acked, home, held = set(), set(), 0
        ids = (number * side_by_side + 1) << 20
        started = [
            begun(site, root, ids + (one << 16), chance.randrange(acts))
            for one in range(side_by_side)
        ]
        for process in started:
            told = said_by(process)
            acked, home = acked | told["ack"], home | told["home"]
            held += str(Exit.RETRY.value) in told["ended"]
        tally.count(f"round {number}", judge.broken(root, acked, home))
        shutil.rmtree(root)
    return tally


# ------------------------------------------------------------------------- real disks


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[str]:
    """Mount something; yields why not, where this machine will not have it."""
    place.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        yield "skipped: needs root and mount"
        return
    done = subprocess.run(["mount", *options, place], capture_output=True, check=False)
    try:
        yield f"skipped: {done.stderr.decode().strip()}" if done.returncode else ""
    finally:
        if not done.returncode:
            subprocess.run(["umount", place], check=True)


def full_disk(site: Site) -> Tally:
    """Fill a disk of 8 MB, run into its end, make room, and run again."""
    tally, place = Tally("a file system of 8 MB that is full"), site.folder / "small"
    with mounted(place, "-t", "tmpfs", "-o", "size=8m", "none") as why:
        if why:
            tally.note = why
            return tally
        for room in range(0, 300 << 10, 20 << 10):
            root = place / f"archive-{room}"
            Store.open(root, site.clock).close()
            fill = place / "fill"
            left = os.statvfs(place)
            fill.write_bytes(bytes(left.f_bavail * left.f_frsize - room))
            recorder = Recorder(root)
            try:
                with recorder.recording():
                    site.run(root, recorder.note)
            except PipelineError:
                pass
            fill.unlink()
            told = {a.path for a in recorder.acts if a.kind == "ack"}
            home = {a.path for a in recorder.acts if a.kind == "home"}
            tally.count(f"{room} bytes left", Judge(site).broken(root, told, home))
            shutil.rmtree(root)
    return tally


def read_only(site: Site, every: int) -> Tally:
    """Remount a disk read-only in the middle of a run."""
    tally = Tally("a file system that turns read-only")
    place = site.folder / "turning"
    with mounted(place, "-t", "tmpfs", "-o", "size=32m", "none") as why:
        if why:
            tally.note = why
            return tally
        for at in range(0, 400, every):
            root = place / "archive"
            Store.open(root, site.clock).close()
            recorder = Recorder(root)

            def turn(_: Act, at: int = at, recorder: Recorder = recorder) -> None:
                if len(recorder.acts) == at:  # refused while a file is being written
                    remount(place, "ro")

            recorder.before = turn
            try:
                with recorder.recording():
                    site.run(root, recorder.note)
            except PipelineError:
                pass
            remount(place, "rw")
            told = {a.path for a in recorder.acts if a.kind == "ack"}
            home = {a.path for a in recorder.acts if a.kind == "home"}
            tally.count(f"before act {at}", Judge(site).broken(root, told, home))
            shutil.rmtree(root)
    return tally


def remount(place: Path, how: str) -> None:
    """Best effort: a kernel does not turn while a file is open for writing."""
    words = ["mount", "-o", f"remount,{how}", place]
    subprocess.run(words, capture_output=True, check=False)


def power_cut_ext4(site: Site, *, points: int) -> Tally:
    """Copy the image of a mounted ext4 while a run writes to it: what a cut leaves."""
    tally = Tally("power cut on a loop-mounted ext4 image")
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        tally.note = "skipped: needs root and mkfs.ext4"
        return tally
    image, copy = site.folder / "image", site.folder / "copy"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    judge, chance = Judge(site), random.Random(4)
    with mounted(site.folder / "ext4", "-o", "loop,commit=1", str(image)) as why:
        if why:
            tally.note = why
            return tally
        for number in range(points):
            root = site.folder / "ext4" / f"archive-{number}"
            Store.open(root, site.clock).close()
            subprocess.run(["sync", "-f", root], check=True)
            told = cut_at(site, root, chance.randrange(20, 380), image, copy)
            again = site.folder / f"cut-{number}"
            with mounted(again, "-o", "loop", str(copy)) as refused:
                broken = [refused] if refused else judge.broken(again / root.name, *told)  # fmt: skip
                tally.count(f"round {number}", broken)
            shutil.rmtree(root)
    return tally


def cut_at(
    site: Site, root: Path, at: int, image: Path, copy: Path
) -> tuple[set[str], set[str]]:
    """Run until one act, and copy the image as it is at that instant."""
    recorder = Recorder(root)

    class Cut(BaseException):
        pass

    def end(_: Act) -> None:
        if len(recorder.acts) >= at:
            shutil.copyfile(image, copy)
            raise Cut

    recorder.before = end
    try:
        with recorder.recording():
            site.run(root, recorder.note)
        shutil.copyfile(image, copy)
    except Cut:
        pass
    acts = recorder.acts
    return tuple({a.path for a in acts if a.kind == kind} for kind in ("ack", "home"))


# ------------------------------------------------------------------------------ the tool


def sweep(site: Site) -> Iterator[Tally]:
    runs = traces(site)
    yield kill_sweep(site, runs)
    yield power_sweep(site, runs, every=16)
    yield mutation_sweep(site, runs[:2])
    bases = (site.folder / "empty", site.folder / "after")
    yield from fault_sweep(site, bases, every=4)
    yield process_sweep(site, len(runs[0].acts), points=12, side_by_side=1)
    yield process_sweep(site, len(runs[0].acts), points=4, side_by_side=2)
    yield process_sweep(site, len(runs[0].acts), points=2, side_by_side=4)
    yield full_disk(site)
    yield read_only(site, every=16)
    yield power_cut_ext4(site, points=12)


def table(tallies: Iterable[Tally]) -> str:
    head = "| sweep | points tried | lost | partial | other promises broken |\n|---|---|---|---|---|\n"  # fmt: skip
    return head + "".join(f"{one.row}\n" for one in tallies)


def write_table(text: str) -> None:
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    README.write_text(f"{before}{MARKS[0]}{text}{MARKS[1]}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write tests/README.md")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        root, folder, *numbers = chosen.child
        child(Path(root), Path(folder), *map(int, numbers))
        return 0
    done = []
    with site() as found:
        for tally in sweep(found):
            done.append(tally)
            print(tally.row, flush=True)
            print(
                "".join(f"    {one}\n" for one in tally.said[:20]), end="", flush=True
            )
    if chosen.write:
        write_table(table(done))
    return int(any(one.lost or one.partial or one.other for one in done))


if __name__ == "__main__":
    sys.exit(main())
