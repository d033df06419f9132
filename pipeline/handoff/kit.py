"""A kit: a bag with all that a stranger needs to check it, and none of it from the bag.

    OUT/<bag>           the bag, copied
    OUT/verify.sh       the check: POSIX sh, Debian's essential packages and openssl
    OUT/expected.txt    what the bag held here: its seals, their signers, their tokens
    OUT/roots/          the roots of the authorities, as this machine pins them
    OUT/README.txt      what to do, and what it shows

What was copied is verified, by our own check and by running the script in an empty
environment; a kit that either refuses is taken away again.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from pipeline.errors import FixityError, StorageError, UsageError
from pipeline.handoff.export import Exported, require_sound
from pipeline.packaging import bag as bags
from pipeline.packaging.copying import copy_tree
from pipeline.packaging.validate import Report, validate
from pipeline.sealing import assurance, shelf
from pipeline.sealing.migration import LISTING
from pipeline.sealing.shelf import Shelf, name_of
from pipeline.sealing.token import Authority
from pipeline.sealing.worth import Assurance, Judged

SCRIPT = "verify.sh"
BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # a stranger's environment
PART = ".part"
README = """\
A BAG, AND HOW TO CHECK IT WITHOUT TRUSTING WHOEVER MADE IT

    sh verify.sh

checks the bag beside it: every digest, every name, every seal and every
timestamp. Its exit status is 0 if all of it holds, else 1. It needs
openssl and what every Debian has; it is plain text: read it first.

expected.txt says what the bag held when this kit was made: a seal or a
timestamp that was taken away since is missed. roots/ holds the root
certificates of the timestamping authorities.

Three things the script cannot know; ask for them by another way than
the one by which this kit came to you, and compare what it prints:

- the fingerprint of whoever signed;
- the fingerprints of the authorities' roots: the authorities publish
  them;
- that this kit is the one that was made for you.

README.txt inside the bag says what the bag is, and what it does not
assert.
"""


class Answer(Struct, frozen=True, kw_only=True):
    """What a kit's script said of the bag beside it."""

    accepts: bool
    said: tuple[str, ...]  # lines


def kit(
    bag: Path, out: Path, *, authorities: Sequence[Authority], now: datetime
) -> Exported:
    """Make a kit of a bag, checked as a stranger would.

    Raises UsageError for a name that is taken, FixityError for a bag that is wrong or
    that the script refuses, StorageError; then there is no kit.
    """
    _require_place(bag, out)
    part = out.with_name(out.name + PART)
    try:
        part.mkdir()
        report = _fill(part, bag, authorities, now)
        said = _require_accepted(part)
        size = sum(one.stat().st_size for one in part.rglob("*") if one.is_file())
        bags.publish(part, out)
    except OSError as error:
        raise StorageError.at(part, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(bag=bag, out=out, form="kit", size=size, report=report, said=said)


def _require_place(bag: Path, out: Path) -> None:
    for taken in (out, out.with_name(out.name + PART)):
        if taken.exists() or taken.is_symlink():
            raise UsageError(f"{taken} stands already; name a folder that is not there")
    if out.resolve().is_relative_to(bag.resolve()):
        raise UsageError(f"{out} would stand in the bag itself; put it elsewhere")
    if not bag.absolute().name.isprintable():
        raise UsageError(f"{bag.name!r}: a bag of this name can't go into a kit")


def _fill(
    folder: Path, bag: Path, authorities: Sequence[Authority], now: datetime
) -> Report:
    """Copy a bag, judge the copy, and write what goes beside it."""
    copy = folder / bag.absolute().name
    copy.mkdir()
    copy_tree(bag, copy)
    report = validate(copy)
    require_sound(bag, report.findings)
    found = assurance.judge(copy, authorities=authorities, now=now)
    require_sound(bag, found.findings)
    for name, content in _beside(copy, found, authorities):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    return report


def ask(folder: Path) -> Answer:
    """Run a kit's script as a stranger would: in an empty environment."""
    done = subprocess.run(  # noqa: S603 - our own script, in an empty environment
        ["/bin/sh", str(folder / SCRIPT)],
        env=BARE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = tuple(done.stdout.decode("utf-8", "replace").splitlines())
    return Answer(accepts=done.returncode == 0, said=said)


def _require_accepted(folder: Path) -> tuple[str, ...]:
    answer = ask(folder)
    if not answer.accepts:
        told = "; ".join(line for line in answer.said if not line.startswith(" "))
        raise FixityError(f"{folder}: {SCRIPT} refuses the bag: {told}")
    return answer.said


def _beside(
    bag: Path, found: Assurance, authorities: Sequence[Authority]
) -> Iterator[tuple[str, bytes]]:
    """Write what stands beside the bag; the roots are those that were counted on."""
    held = shelf.read(bag)
    lines = "".join(f"{line}\n" for line in expected(bag.name, held, found))
    counted = {proof.token.authority for one in found.seals for proof in one.proofs}
    counted |= {proof.token.authority for one in found.seals for proof in one.begun}
    for one in authorities:
        if one.name in counted:
            roots = (root.public_bytes(Encoding.PEM) for root in one.roots)
            yield f"roots/{one.name}.pem", b"".join(roots)
    yield SCRIPT, resources.files(__package__).joinpath(SCRIPT).read_bytes()
    yield "README.txt", README.encode("ascii")
    yield "expected.txt", lines.encode()


def expected(name: str, held: Shelf, found: Assurance) -> Iterator[str]:
    """Tell what a bag holds, line by line, for the script to hold it to."""
    yield f"bag {name}"
    for one in found.seals:
        yield from _seal(one, held)
    for authority in sorted({p.token.authority for s in found.seals for p in s.begun}):
        yield f"plan {authority}"


def _seal(one: Judged, held: Shelf) -> Iterator[str]:
    if one.fingerprint is None:  # no bag with such a seal is exported
        return
    yield f"seal {one.number} {one.fingerprint.hex}"
    proven = {proof.token.authority for proof in one.proofs}
    start, end = name_of(one.number, ""), ".tsr"
    tokens = [f for f in sorted(held.files) if f.startswith(start) and f.endswith(end)]
    given = [file.removeprefix(start).removesuffix(end) for file in tokens]
    for authority in given:
        word = "token" if authority in proven else "unchecked"
        yield f"{word} {one.number} {authority}"
    for authority in one.pending:
        if authority not in given:  # what is not pinned waits as well, to our check
            yield f"pending {one.number} {authority}"
    if name_of(one.number, LISTING) in held.files:
        yield f"list {one.number} {name_of(one.number, LISTING)}"
