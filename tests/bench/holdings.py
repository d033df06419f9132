"""The bench of an archive: audited beside verified, the damaged bags named exactly."""

import json
import random
import subprocess
import sys
from pathlib import Path

from benches import MUNIMENT, Sizes, absent, nothing
from contest import Bench, Contender, Want
from measure import Step, WrongError

sys.path.append(str(Path(__file__).parents[1]))

import auditing

BAGS = 10_000
DAMAGED = 7
SLOWER = 1.15  # an audit takes at most so many times what a verification takes


def bench(place: Path, sizes: Sizes) -> Bench:
    """Every bag of an archive read, a few of them damaged."""
    bags = BAGS if sizes == Sizes() else BAGS // 10
    root = place / "archive"
    made = auditing.build(root, bags)
    damaged = random.Random(bags).sample(made, DAMAGED)
    for bag in damaged:
        auditing.spoil(bag)
    size = sum(one.stat().st_size for one in root.rglob("*") if one.is_file())
    audit = (*MUNIMENT, "--archive", str(root), "audit")

    def exactly(_: Path) -> None:
        done = subprocess.run([*audit, "--json"], capture_output=True, check=False)
        told = json.loads(done.stdout)
        found = {one["bag"] for one in told["findings"] if one["severity"] == "error"}
        if found != {one.name for one in damaged} or told["bags_checked"] != bags:
            raise WrongError(f"audit names {sorted(found)}")

    return Bench(
        name="audit-10000",
        job=f"an archive of {bags:,} bags, {size / 1e6:.0f} MB, {DAMAGED} of them damaged",
        amount=bags,
        unit="bags/s",
        contenders=(
            Contender(
                name="muniment verify",
                steps=lambda _: [
                    Step(
                        argv=(*MUNIMENT, "--archive", str(root), "verify", str(root)),
                        exit=5,
                    )
                ],
                proof=nothing,
                absent=absent("muniment"),
            ),
            Contender(
                name="muniment audit",
                steps=lambda _: [Step(argv=audit, exit=5)],
                proof=exactly,
                absent=absent("muniment"),
            ),
        ),
        wants=(
            Want(
                contender="muniment audit",
                against="muniment verify",
                at_least=1 / SLOWER,
            ),
        ),
        rounds=2,
    )
