"""The main job on the built-in newsroom, told step by step.

Runs the demo manifest twice against the site on loopback, verifies what was kept,
damages a copy and shows the damage found, and ends with a stranger's check of a kit. It
writes below its own archive root alone; every step is one that a person could type.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from pipeline import job, terminal, timekeeper
from pipeline.capture.address import Policy, parse_allow, parse_connect_to
from pipeline.clock import SystemClock
from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.handoff import kit
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import Manifest
from pipeline.newsroom import Newsroom
from pipeline.notary import Notary
from pipeline.outcome import Outcome
from pipeline.packaging import validate
from pipeline.sealbook import Judge
from pipeline.sealing import keys
from pipeline.sealing.authority import Authorities
from pipeline.sealing.seal import Signing
from pipeline.sealing.worth import Demand
from pipeline.timekeeper import Timekeeper

INSTALLED = Path(__file__).parent / "demo.yaml"  # put there when a wheel is built
LONG = re.compile(r"\b((?:[0-9a-f]{2}:?){4})(?:[0-9a-f]{2}:?){12,}", re.IGNORECASE)
SHORT = r"\1..."  # of a digest
CHECKOUT = Path(__file__).parents[1] / "manifests" / "demo.yaml"
WANTED = [True, False]  # of the stranger: the kit as it was made, and one that was not


class Told(Struct, frozen=True, kw_only=True):
    """What the demo did, as one document, and whether all went as it should."""

    first: Outcome
    second: Outcome
    valid: bool
    damage: tuple[validate.Report, ...]
    stranger: tuple[kit.Answer, ...]  # none where there is no openssl

    @property
    def went_well(self) -> bool:
        """Tell whether both runs kept their bags and the damage was found."""
        changed = {one["id"] for one in self.second.told["sources"] if one["bag"]}
        found = not any(report.ok for report in self.damage)
        judged = [one.accepts for one in self.stranger]
        return self.valid and found and "ticker" in changed and judged in ([], WANTED)

    def json(self) -> dict[str, Any]:
        """Tell it as one JSON document."""
        return {
            "runs": [self.first.told, self.second.told],
            "valid": self.valid,
            "tampered": [validate.report_json(report) for report in self.damage],
            "stranger": [
                {"accepts": one.accepts, "said": list(one.said)}
                for one in self.stranger
            ],
            "ok": self.went_well,
        }


def tell(
    root: Path, *, show: Callable[[Outcome], None], progress: job.Progress
) -> Told:
    """Tell the story below ``root``; ``show`` prints what a run came to.

    Raises StorageError where the archive can't be written.
    """
    say = terminal.remark
    read = manifest.read(demo_manifest())
    with (
        Newsroom() as site,
        closing(Store.open(root, SystemClock())) as store,
        throw_away() as notary,
    ):
        say(f"A newspaper is served on 127.0.0.1:{site.port} as newsroom.example.")
        say(seals_said(notary))
        say("\n1. Keep what manifests/demo.yaml names.")
        first = run(read, site, store, progress, notary)
        show(first)
        say("\n2. Check every bag, byte for byte.")
        judge = judge_of(notary)
        judged = [judge.of(validate.validate(p)) for p in validate.find_bags(root)]
        reports = [report for report, _ in judged]
        bags = terminal.counted(len(reports), "bag")
        say(f"   {bags}, {sum(one.ok for one in reports)} valid.")
        _, assurance = judge.of(validate.validate(whole_bag(first)))
        if assurance:
            say(f"   The first is {assurance.sentence()}.")
        say("\n3. The newspaper changes one page. Run again: what is the same gets no")
        say("   bag; the change does, and so does what was refused or cut off.")
        site.publish()
        second = run(read, site, store, progress, notary)
        show(second)
    say("\n4. Tamper with a copy of a bag, in four ways; the last makes the manifests")
    say("   anew, so that the seal alone can tell.")
    damage = tampered(whole_bag(first, second), judge)
    for report in damage:
        for found in report.findings:
            said = LONG.sub(SHORT, f"{found.path}: {found.message}")
            say(f"   {found.severity}: {found.code}: {said} ({found.clause})")
    say("\n5. Hand a kit to a stranger, who has openssl and none of this program; then")
    say("   another, in which one byte is not what it was.")
    stranger = strangers(whole_bag(first), judge)
    for one in stranger:
        for line in one.said:
            say(f"   {LONG.sub(SHORT, line)}")
    if not stranger:
        say("   openssl is not here: the stranger has to wait.")
    say(f"\nThe archive is {root}. Each bag has a README.txt; look at one, then")
    say(f"    muniment verify {root}")
    return Told(
        first=first,
        second=second,
        valid=bool(reports) and all(one.ok for one in reports),
        damage=damage,
        stranger=stranger,
    )


def demo_manifest() -> Path:
    """Find the demo's manifest: beside the code, or in the checkout."""
    for path in (INSTALLED, CHECKOUT):
        if path.is_file():
            return path
    raise UsageError(f"{CHECKOUT}: the demo's manifest is missing; install again")


@contextmanager
def throw_away() -> Iterator[Notary]:
    """Appoint a notary with a key and authorities that prove nothing to anybody."""
    clock = SystemClock()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        identity = keys.make(
            place / keys.FILE_NAME,
            now=clock.now(),
            serial=clock.nonce(16),
            name="Throw-away key of a demo that proves nothing",
        )
        asked = None
        if timekeeper.has_openssl():
            tag = clock.uuid()[:4]  # an earlier demo's are other authorities
            keepers = (Timekeeper(f"demo-{n}-{tag}") for n in ("one", "two"))
            known = [stack.enter_context(one).authority for one in keepers]
            policy = Policy(allow=(parse_allow("127.0.0.0/8"),))
            asked = Authorities(known, policy=policy, clock=clock)
            stack.callback(asked.close)
        signing = Signing(identity=identity, authorities=asked, clock=clock)
        yield Notary(signing=signing)


def seals_said(notary: Notary) -> str:
    """Say who seals in the demo, and that it is worth nothing beyond."""
    names = ", ".join(notary.authorities)
    return (
        f"Bags are sealed with a throw-away key and stamped by {names}, made for the "
        "demo: they prove nothing to anybody."
        if names
        else "Bags are sealed with a throw-away key; openssl is not here to play the "
        "timestamping authorities, so that no time is proven."
    )


def judge_of(notary: Notary) -> Judge:
    """Judge the demo's seals by the demo's own roots."""
    asked = notary.signing.authorities
    return Judge(
        authorities=asked.all if asked else (),
        demand=Demand(seal=True),
        now=SystemClock().now(),
    )


def run(
    read: Manifest,
    site: Newsroom,
    store: Store,
    progress: job.Progress,
    notary: Notary | None = None,
) -> Outcome:
    """Run the manifest, led to the newsroom instead of the network."""
    policy = Policy(connect_to=(parse_connect_to(site.connect_to),))
    order = job.Order(policy=policy, notary=notary)
    network = job.network_for(read, order, SystemClock())
    with closing(network):
        return job.run(
            read, order=order, store=store, network=network, progress=progress
        )


def whole_bag(*outcomes: Outcome) -> Path:
    """Pick a bag of a whole capture to damage a copy of, the first there is."""
    bags = [bag for outcome in outcomes for bag in outcome.told["bags"]]
    whole = (Path(bag["path"]) for bag in bags if bag["verdict"] == "captured")
    return next(whole, outcomes[-1].run_bag)


def tampered(bag: Path, judge: Judge) -> tuple[validate.Report, ...]:
    """Damage copies of a bag, each in another way, and judge them."""
    reports = []
    for damage in (flip_a_byte, remove_a_file, rewrite_the_verdict, forge_it_well):
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / bag.name
            shutil.copytree(bag, copy)
            damage(copy)
            report, _ = judge.of(validate.validate(copy))
            reports.append(report)
    return tuple(reports)


def strangers(bag: Path, judge: Judge) -> tuple[kit.Answer, ...]:
    """Make a kit of a bag and run its script, before and after a byte is flipped."""
    if not timekeeper.has_openssl():
        return ()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "kit"
        made = kit.kit(bag, out, authorities=judge.authorities, now=judge.now)
        flip_a_byte(out / bag.name)
        return kit.Answer(accepts=True, said=made.said), kit.ask(out)


def flip_a_byte(bag: Path) -> None:
    """Change one bit in the middle of the WARC."""
    file = bag / "data" / "objects" / "capture.warc.gz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def remove_a_file(bag: Path) -> None:
    """Take the index away."""
    (bag / "data" / "metadata" / "index.cdxj").unlink()


def rewrite_the_verdict(bag: Path) -> None:
    """Make bag-info.txt say something else."""
    file = bag / "bag-info.txt"
    file.write_bytes(file.read_bytes().replace(b"captured", b"refused"))


def forge_it_well(bag: Path) -> None:
    """Backdate the bag and make the tag manifests anew, with a skilled hand."""
    name = "bag-info.txt"
    before = (bag / name).read_bytes()
    after = re.sub(rb"(Bagging-Date: )\d{4}", rb"\g<1>2019", before)
    (bag / name).write_bytes(after)
    for path in bag.glob("tagmanifest-*.txt"):
        algorithm = path.stem.partition("-")[2]
        old, new = (digest_of(data, algorithm).hex for data in (before, after))
        path.write_text(path.read_text().replace(old, new))
