"""The refusal matrix: every attack on a sealed bag, by our verifier and by a stranger's.

A kit is made of the bag before the attack, as ``export --to kit`` makes it; then the bag
in it is attacked, and its ``verify.sh`` is run with nothing in its environment but the
system's own programs. A time is set by a ``date`` of our own in front of these.

    python tests/refusals.py --write    # regenerate the table in tests/README.md
"""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sealing_cases import CASES, Case, Scene

from pipeline.handoff.kit import kit
from pipeline.model import Severity
from pipeline.packaging.validate import validate
from pipeline.sealing import shelf
from pipeline.sealing.assurance import judge

MARKS = (
    "<!-- refusals: python tests/refusals.py --write -->",
    "<!-- end of refusals -->",
)
README = Path(__file__).parent / "README.md"
LONG = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Seen:
    """What both said of one case."""

    ours: tuple[str, ...]  # codes of errors
    theirs: tuple[str, ...]  # lines
    status: int


class Stage:
    """Each scene made once, with its kit; copies of it for every case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes: dict[Callable[[Path], Scene], Scene] = {}

    def ready(self, make: Callable[[Path], Scene]) -> Scene:
        if make not in self.scenes:
            folder = self.folder / make.__name__
            folder.mkdir()
            made = make(folder)
            kit(made.bag, folder / "kit", authorities=made.authorities, now=datetime.now(UTC))  # fmt: skip
            self.scenes[make] = made
        return self.scenes[make]

    def see(self, case: Case, folder: Path) -> Seen:
        """Do to a bag what the case says, and let both judge it."""
        original = self.ready(case.scene)
        it = original.copy(folder)
        case.attack(it)
        shutil.copytree(original.folder / "kit", folder / "kit")
        given = folder / "kit" / original.bag.name
        shutil.rmtree(given)
        shutil.copytree(it.bag, given, symlinks=True)
        done = stranger(folder / "kit", datetime.now(UTC) + case.age, folder)
        lines = tuple(done.stdout.decode().splitlines())
        return Seen(
            ours=codes(original, it, case), theirs=lines, status=done.returncode
        )


def codes(original: Scene, it: Scene, case: Case) -> tuple[str, ...]:
    """List the errors that our verifier finds, the log of the archive beside it."""
    logged = {one.name: one.digests[0] for one in shelf.read(original.bag).before(9999)}
    found = judge(
        it.bag,
        authorities=original.authorities,
        now=datetime.now(UTC) + case.age,
        demand=original.demand,
        logged=logged,
    )
    findings = (*found.findings, *validate(it.bag).findings)
    told = (one.code for one in findings if one.severity is Severity.ERROR)
    return tuple(dict.fromkeys(told))


def stranger(
    kit: Path, now: datetime, work: Path
) -> subprocess.CompletedProcess[bytes]:
    """Run a kit's script as a stranger would, at a time that is not now."""
    clock = work / "bin" / "date"
    clock.parent.mkdir(exist_ok=True)
    clock.write_text(
        f'#!/bin/sh\n[ "$*" = +%s ] && exec echo {int(now.timestamp())}\n'
        'exec /usr/bin/env -i PATH=/usr/bin:/bin date "$@"\n'
    )
    clock.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(kit / "verify.sh")],
        env={"PATH": f"{clock.parent}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )


def seen_all(folder: Path) -> dict[str, Seen]:
    """See every case."""
    stage = Stage(folder)
    for case in CASES.values():
        stage.ready(case.scene)
    places = [folder / f"case-{number}" for number in range(len(CASES))]
    with ThreadPoolExecutor(2) as workers:
        return dict(
            zip(CASES, workers.map(stage.see, CASES.values(), places), strict=True)
        )


def table(seen: dict[str, Seen]) -> Iterator[str]:
    """Tell what both said, a case a line."""
    yield "| what was done | Muniment | openssl and coreutils |"
    yield "|---|---|---|"
    for name, one in seen.items():
        ours = ", ".join(f"`{code}`" for code in one.ours) or "holds"
        yield f"| {name} | {ours} | {_said(one)} |"


def _said(one: Seen) -> str:
    if one.status == 0:
        basis = [line for line in one.theirs if "ended" in line]
        return "; ".join(["holds", *(_plain(line) for line in basis[:1])])
    wrong = [_plain(line) for line in one.theirs if line.startswith("WRONG")]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"refused: {wrong[0]}{more}"


def _plain(line: str) -> str:
    told = LONG.sub("…", line.removeprefix("WRONG").strip())
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "…", told).replace("|", "\\|")


def written() -> list[str]:
    """Return the table as it stands in the README."""
    text = README.read_text(encoding="utf-8")
    return text.split(MARKS[0])[1].split(MARKS[1])[0].strip().splitlines()


def main() -> int:
    """See every case and print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write tests/README.md")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = "\n".join(table(seen_all(Path(folder))))
    if told.write:
        before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        README.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")  # fmt: skip
    else:
        sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        raise SystemExit(main())
