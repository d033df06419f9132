"""The main job on the built-in newsroom, told step by step.

Runs the demo manifest twice against the site on loopback, verifies what was kept, then
damages a copy and shows the damage found. It writes below its own archive root alone;
every step is one that a person could type.
"""

import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import job, terminal
from pipeline.capture.address import Policy, parse_connect_to
from pipeline.clock import SystemClock
from pipeline.errors import UsageError
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import Manifest
from pipeline.newsroom import Newsroom
from pipeline.outcome import Outcome
from pipeline.packaging import validate

INSTALLED = Path(__file__).parent / "demo.yaml"  # put there when a wheel is built
LONG = re.compile(r"([0-9a-f]{8})[0-9a-f]{24,}")  # a digest
CHECKOUT = Path(__file__).parents[1] / "manifests" / "demo.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the demo did, as one document, and whether all went as it should."""

    first: Outcome
    second: Outcome
    valid: bool
    damage: tuple[validate.Report, ...]

    @property
    def went_well(self) -> bool:
        """Tell whether both runs kept their bags and the damage was found."""
        changed = {one["id"] for one in self.second.told["sources"] if one["bag"]}
        return self.valid and not any(r.ok for r in self.damage) and "ticker" in changed

    def json(self) -> dict[str, Any]:
        """Tell it as one JSON document."""
        return {
            "runs": [self.first.told, self.second.told],
            "valid": self.valid,
            "tampered": [validate.report_json(report) for report in self.damage],
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
    with Newsroom() as site, closing(Store.open(root, SystemClock())) as store:
        say(f"A newspaper is served on 127.0.0.1:{site.port} as newsroom.example.")
        say("\n1. Keep what manifests/demo.yaml names.")
        first = run(read, site, store, progress)
        show(first)
        say("\n2. Check every bag, byte for byte.")
        reports = [validate.validate(path) for path in validate.find_bags(root)]
        bags = terminal.counted(len(reports), "bag")
        say(f"   {bags}, {sum(one.ok for one in reports)} valid.")
        say("\n3. The newspaper changes one page. Run again: what is the same gets no")
        say("   bag; the change does, and so does what was refused or cut off.")
        site.publish()
        second = run(read, site, store, progress)
        show(second)
    say("\n4. Tamper with a copy of a bag, in three ways.")
    damage = tampered(whole_bag(first, second))
    for report in damage:
        for found in report.findings:
            said = LONG.sub(r"\1...", f"{found.path}: {found.message}")
            say(f"   {found.severity}: {found.code}: {said} ({found.clause})")
    say(f"\nThe archive is {root}. Each bag has a README.txt; look at one, then")
    say(f"    muniment verify {root}")
    return Told(
        first=first,
        second=second,
        valid=bool(reports) and all(one.ok for one in reports),
        damage=damage,
    )


def demo_manifest() -> Path:
    """Find the demo's manifest: beside the code, or in the checkout."""
    for path in (INSTALLED, CHECKOUT):
        if path.is_file():
            return path
    raise UsageError(f"{CHECKOUT}: the demo's manifest is missing; install again")


def run(
    read: Manifest, site: Newsroom, store: Store, progress: job.Progress
) -> Outcome:
    """Run the manifest, led to the newsroom instead of the network."""
    policy = Policy(connect_to=(parse_connect_to(site.connect_to),))
    order = job.Order(policy=policy)
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


def tampered(bag: Path) -> tuple[validate.Report, ...]:
    """Damage copies of a bag, each in another way, and judge them."""
    reports = []
    for damage in (flip_a_byte, remove_a_file, rewrite_the_verdict):
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / bag.name
            shutil.copytree(bag, copy)
            damage(copy)
            reports.append(validate.validate(copy))
    return tuple(reports)


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
