"""Muniment beside wget, warcio and bagit, on this machine, in one run.

    python tests/bench/bench.py [--only NAME]... [--quick] [--strict] [--out FILE]

Prints what each contender took and how they compare, and writes the same as JSON. What
is not installed is named as absent. README.md tells how to read the figures.
"""

import argparse
import compileall
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import baggage
import benches
import figures
import holdings
import logbook
from contest import MB, Bench, play
from origin import Origin, nginx, serve

PACKAGE = Path(__file__).parents[2] / "pipeline"
BUDGET = 180.0  # seconds for the rounds of one bench
PLACED = {**baggage.BENCHES, "log-100000": logbook.bench, "audit-10000": holdings.bench}
NAMES = ("page-3000", "body-300", "start", *PLACED)
QUICK = benches.Sizes(
    requisites=300,
    body=30 * MB,
    files=10_000,
    large=200 * MB,
    several=25 * MB,
    entries=100_000,
)


def prepared(
    names: Collection[str], home: Path, sizes: benches.Sizes
) -> Iterator[Bench]:
    """Make each bench ready when its turn comes."""
    if {"page-3000", "body-300"} & set(names):
        nowhere = nullcontext(Origin(port=0, paths=("/page.html",), body=sizes.body))
        site = serve(home, requisites=sizes.requisites, body=sizes.body)
        with site if nginx() else nowhere as origin:
            if "page-3000" in names:
                yield benches.page(origin)
            if "body-300" in names:
                yield benches.body(origin)
    if "start" in names:
        yield benches.start(home)
    for name, made in PLACED.items():
        if name in names:
            place = home / name
            place.mkdir()
            yield made(place, sizes)
            shutil.rmtree(place)


def machine() -> dict[str, object]:
    """Tell what the figures were taken on."""
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=NAMES, help="repeatable")
    parser.add_argument("--quick", action="store_true", help="a tenth, one round")
    parser.add_argument("--strict", action="store_true", help="a missed want exits 1")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    return parser.parse_args()


def main() -> int:
    """Hold the benches; 1 where a contender failed or, if strict, a want was missed."""
    chosen = arguments()
    compileall.compile_dir(PACKAGE, quiet=2)  # as pip leaves what it installs
    signal.signal(signal.SIGTERM, _leave)
    sizes = QUICK if chosen.quick else benches.Sizes()
    told: list[dict[str, object]] = []
    report = {"machine": machine(), "versions": benches.versions(), "benches": told}
    for title, facts in (("machine", machine()), ("versions", benches.versions())):
        shown = (f"{name} {value or 'absent'}" for name, value in facts.items())
        print(f"{title}: {', '.join(shown)}")
    is_fine = True
    with tempfile.TemporaryDirectory(prefix="muniment-bench-") as folder:
        for bench in prepared(chosen.only or NAMES, Path(folder), sizes):
            shortened = replace(bench, rounds=1) if chosen.quick else bench
            series = play(shortened, home=Path(folder), budget=BUDGET)
            figures.tell(bench, series)
            told.append(figures.record(bench, series))
            is_fine &= not any(one.failure for one in series.values())
            wants = figures.outcomes(bench, series)
            is_fine &= not chosen.strict or all(one.is_met for one in wants)
    chosen.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {chosen.out}")
    return 0 if is_fine else 1


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # so that nginx and the folder are cleared away


if __name__ == "__main__":
    sys.exit(main())
