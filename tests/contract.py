"""The contract of deposits as a table: every target, every promise, as tried.

python tests/contract.py            # try all, print the table
python tests/contract.py --write    # and write it into tests/README.md
"""

import argparse
import re
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
README = HERE / "README.md"
SUITE = HERE / "test_targets.py"
MARKS = (
    "<!-- contract: python tests/contract.py --write -->",
    "<!-- end of contract -->",
)

Tried = dict[tuple[str, str], str]  # promise, target: what came of it


def tried() -> Tried:
    """Run the suite in a process of pytest's own making."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        pytest.main(["-q", "--no-header", f"--junitxml={report}", str(SUITE)])
        cases = [one for one in ET.parse(report).iter("testcase") if is_of_one(one)]
        return {named(case.get("name", "")): word(case) for case in cases}


def is_of_one(case: ET.Element) -> bool:
    """Tell whether a case is of one target."""
    return "[" in case.get("name", "")


def named(name: str) -> tuple[str, str]:
    """Part the name of a case into the promise and the target."""
    found = re.fullmatch(r"test_(\w+)\[(.+)\]", name)
    assert found, name
    return found[1].replace("_", " "), found[2]


def word(case: ET.Element) -> str:
    """Tell what came of a case."""
    skipped = case.find("skipped")
    if skipped is not None:
        return skipped.get("message", "not tried")
    broken = case.find("failure") is not None or case.find("error") is not None
    return "**broken**" if broken else "kept"


def table(found: Tried) -> Iterator[str]:
    """Write one line for each promise, one column for each target."""
    promises = list(dict.fromkeys(promise for promise, _ in found))
    targets = list(dict.fromkeys(target for _, target in found))
    yield f"| promise | {' | '.join(targets)} |"
    yield f"|---|{'---|' * len(targets)}"
    for promise in promises:
        yield f"| {promise} | {' | '.join(found[promise, t] for t in targets)} |"


def written() -> list[str]:
    """Return the table as it stands in the README."""
    text = README.read_text(encoding="utf-8")
    return text.split(MARKS[0])[1].split(MARKS[1])[0].strip().splitlines()


def main() -> int:
    """Try everything and print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write tests/README.md")
    told = parser.parse_args()
    found = tried()
    text = "\n".join(table(found))
    if told.write:
        before, rest = README.read_text(encoding="utf-8").split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        README.write_text(
            f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8"
        )
    else:
        sys.stdout.write(f"{text}\n")
    return int("**broken**" in found.values())


if __name__ == "__main__":
    sys.exit(main())
