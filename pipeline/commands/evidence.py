"""Seals and keys: who vouches for a bag, and since when."""

import os
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from pipeline import terminal
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.holdings.store import Store
    from pipeline.job import Order
    from pipeline.model import Manifest
    from pipeline.notary import Notary
    from pipeline.packaging.validate import Report
    from pipeline.sealing.authority import Authorities
    from pipeline.sealing.seal import Seal
    from pipeline.sealing.worth import Assurance


@click.command()
@click.argument("names", nargs=-1, metavar="BAG...")
@click.option(
    "--pending", is_flag=True, help="Ask again for timestamps that have not come."
)
@click.option(
    "--renew", is_flag=True, help="Add a seal over all earlier ones, before they age."
)
@click.option(
    "--digests", is_flag=True, help="With --renew: list every file by its BLAKE2b too."
)
@command
def seal(
    session: Session,
    *,
    names: tuple[str, ...],
    pending: bool,
    renew: bool,
    digests: bool,
) -> Exit:
    """Seal a bag, complete its pending seals, or renew them.

    BAG is a folder, or a name that `show` knows. With --pending and no BAG, every bag
    of the archive that lacks a timestamp; with --renew, every bag whose certificates
    end within a year.
    """
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.sealing import expiry  # noqa: PLC0415 - likewise

    if pending and renew:
        raise UsageError("--pending and --renew: choose one")
    if digests and not renew:
        raise UsageError("--digests goes with --renew")
    if not names and not (pending or renew):
        raise UsageError("which bag? Name one, or ask for all: --pending, --renew")
    work = Work(pending=pending, renew=renew, digests=digests)
    root = session.config().archive.absolute()
    folders = tuple(Path(name).absolute() for name in names if Path(name).is_dir())
    if names and len(folders) == len(names) and not any(map(root_of(root), folders)):
        with closing(sealer(session, work)) as hand:
            made = [(bag, one) for bag in folders for one in hand.of(bag)]
    else:
        made = _in_the_archive(session, names, work)
    soon = expiry.of_bags({bag: None for bag, _ in made}, now=SystemClock().now())
    if session.json:
        told = [{"path": str(bag), **one.told()} for bag, one in made]
        terminal.say_json({"seals": told, "ending": [one.told() for one in soon]})
    for bag, one in () if session.json else made:
        terminal.say(terminal.line(f"{bag}: {sentence(one)}"))
    if not made and not session.json:
        terminal.say("no seal ends soon" if renew else "no timestamp is pending")
    for end in soon:
        terminal.remark(end.sentence(SystemClock().now()))
    is_pending = any(one.refusals for _, one in made)
    return Exit.RETRY if is_pending else Exit.OK


class Work(Struct, frozen=True, kw_only=True):
    """What is asked for."""

    pending: bool
    renew: bool
    digests: bool


def root_of(root: Path) -> "Callable[[Path], bool]":
    """Tell of paths whether they stand below a folder."""
    return lambda path: path.resolve().is_relative_to(root.resolve())


def completed(session: Session) -> "list[tuple[Path, Seal]]":
    """Ask again for every timestamp of the archive that did not come."""
    return _in_the_archive(session, (), Work(pending=True, renew=False, digests=False))


def _in_the_archive(
    session: Session, names: tuple[str, ...], work: Work
) -> "list[tuple[Path, Seal]]":
    """Seal bags of the archive, under its lock, and log what is added."""
    from pipeline import sealbook  # noqa: PLC0415 - start-up time
    from pipeline.holdings.verify import archive_of  # noqa: PLC0415 - likewise

    session.holdings()
    made = []
    with (
        closing(session.store()) as store,
        store.lock("seal"),
        closing(sealer(session, work)) as hand,
    ):
        bags = bags_named(names, store) or (
            sealbook.ending(store.bags(), now=store.clock.now())
            if work.renew
            else sealbook.pending(store.bags())
        )
        for bag in bags:
            for one in hand.of(bag):
                made.append((bag, one))
                if archive_of(bag) == store.root:
                    job = bag.parents[1].name
                    sealbook.record(store, one, path=bag, job=job)
    return made


def bags_named(names: tuple[str, ...], store: "Store") -> tuple[Path, ...]:
    """Find bags by their folders or their names; of a run, all. Raises UsageError."""
    found: list[Path] = []
    for name in names:
        if Path(name).is_dir():
            found.append(Path(name).absolute())
            continue
        known = store.catalogue.find(name)
        bags = known.bags if known.sort == "run" else known.bags[-1:]
        found += [one.bag.path for one in bags]
    return tuple(found)


class Sealer(Struct, frozen=True, kw_only=True):
    """What is done to each bag, and by whom."""

    notary: "Notary | None"  # None where nothing new is signed
    authorities: "Authorities | None"
    work: Work

    def of(self, bag: Path) -> "tuple[Seal, ...]":
        """Seal one bag, renew or complete its seals."""
        from pipeline.sealing import seal as sealing  # noqa: PLC0415 - start-up time
        from pipeline.sealing import shelf  # noqa: PLC0415 - likewise

        if self.notary is None:
            return sealing.complete(bag, self.authorities)
        signing = self.notary.signing
        if self.work.renew:
            known = self.authorities.all if self.authorities else ()
            made = sealing.renew(
                bag,
                signing,
                sealing.Facts(),
                trusted=known,
                migrate=self.work.digests,
            )
            return (made,)
        if shelf.read(bag).numbers():
            raise UsageError(f"{bag} is sealed already; --renew adds another seal")
        return (sealing.seal(bag, signing, sealing.Facts()),)

    def close(self) -> None:
        """Hang up."""
        if self.authorities:
            self.authorities.close()


def sealer(session: Session, work: Work) -> Sealer:
    """Appoint whoever the work needs: to complete a seal, nobody signs."""
    from pipeline import notary  # noqa: PLC0415 - start-up time
    from pipeline.capture.address import Policy  # noqa: PLC0415 - likewise
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.job import Order  # noqa: PLC0415 - likewise

    config = session.config()
    policy = Policy(allow=config.allow)
    if work.pending:
        asked = notary.authorities_of(config, policy, SystemClock())
        return Sealer(notary=None, authorities=asked, work=work)
    one = appointed(config, Order(policy=policy))
    for said in one.warnings():
        terminal.remark(said)
    return Sealer(notary=one, authorities=one.signing.authorities, work=work)


def asked_of(config: "Config", read: "Manifest") -> "Config":
    """Keep of the authorities those that a manifest chooses. Raises ManifestError."""
    from pipeline import notary  # noqa: PLC0415 - start-up time

    return notary.for_manifest(config, read)


def appointed(config: "Config", order: "Order") -> "Notary":
    """Appoint whoever seals by the configuration; say where a key is new.

    Raises UsageError, KeyFileError and StorageError.
    """
    from pipeline import notary  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise

    found, is_new = notary.notary_of(
        config,
        order.policy,
        environ=os.environ,
        clock=SystemClock(),
        cacert=order.cacert,
    )
    if is_new:
        terminal.remark(NEW_KEY.format(found.signer))
    return found


def demands(function: "Callable[..., int]") -> "Callable[..., int]":
    """Give a command the options that say what a seal must be."""
    for one in (
        click.option(
            "--require-signer",
            default="",
            metavar="FINGERPRINT",
            help="A seal by anyone else is wrong: SHA-256 of the certificate.",
        ),
        click.option(
            "--require-timestamps",
            type=click.IntRange(0),
            default=0,
            metavar="N",
            help="A seal with fewer accepted timestamps is wrong.",
        ),
        click.option("--require-seal", is_flag=True, help="A bag must be sealed."),
    ):
        function = one(function)
    return function


def assured(
    session: Session,
    reports: "list[Report]",
    *,
    require_seal: bool = False,
    require_timestamps: int = 0,
    require_signer: str = "",
) -> "tuple[list[Report], list[Assurance | None]]":
    """Judge the seals of bags beside what was found of them. Raises UsageError."""
    if require_signer and not FINGERPRINT.fullmatch(require_signer):
        raise UsageError(
            f"--require-signer {require_signer}: expected the SHA-256 of a "
            "certificate, 64 hexadecimal digits, as `muniment keys show` tells it"
        )
    is_asked = require_seal or require_timestamps or require_signer
    if not is_asked and not any(is_sealed(one.path) for one in reports):
        return reports, [None] * len(reports)
    from pipeline import notary, sealbook  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.sealing.worth import Demand  # noqa: PLC0415 - likewise

    judge = sealbook.Judge(
        authorities=notary.trusted(session.config().authorities),
        demand=Demand(
            seal=require_seal, timestamps=require_timestamps, signer=require_signer
        ),
        now=SystemClock().now(),
    )
    judged = [judge.of(one) for one in reports]
    return [report for report, _ in judged], [found for _, found in judged]


def assurance_of(session: Session, bag: Path) -> "Assurance":
    """Judge the seals of one bag, nothing else. Raises UsageError."""
    from pipeline import notary  # noqa: PLC0415 - start-up time
    from pipeline.clock import SystemClock  # noqa: PLC0415 - likewise
    from pipeline.sealing import assurance  # noqa: PLC0415 - likewise

    known = notary.trusted(session.config().authorities)
    return assurance.judge(bag, authorities=known, now=SystemClock().now())


def assay(session: Session) -> "Callable[[Path], Assurance | None]":
    """Judge the seals of bags where they have any, or say that they should."""

    def judged(bag: Path) -> "Assurance | None":
        return assurance_of(session, bag) if is_sealed(bag) else None

    return judged


def is_sealed(bag: Path) -> bool:
    """Tell quickly whether a bag may have seals: one in a file may."""
    if bag.is_file():
        return True
    try:
        label = (bag / "bag-info.txt").read_bytes()
    except OSError:
        label = b""
    return b"Evidence-Signer:" in label or any(bag.glob("seal-*"))


FINGERPRINT = re.compile(r"(sha256:)?[0-9a-f]{2}(:?[0-9a-f]{2}){31}", re.IGNORECASE)
NEW_KEY = (
    "no signing key is configured: a key of this machine was made ({}); it stands for "
    "a machine and names no person. `muniment keys init` makes one that names you"
)


def sentence(one: "Seal") -> str:
    """Tell what came of a seal, in one line."""
    told = [f"seal {one.number} {one.state}, by {one.signer}"]
    told += [
        f"{s.token.authority} says {s.token.at:%Y-%m-%d %H:%M:%SZ}" for s in one.stamps
    ]
    told += [f"{refused.authority}: {refused.reason}" for refused in one.refusals]
    return "; ".join(told)


@click.group()
def keys() -> None:
    """Make and show the key that seals."""


@keys.command()
@click.option("--name", metavar="NAME", help="Whose key it is; else the operator's.")
@click.option("--organisation", metavar="NAME", help="Of which organisation.")
@command
def init(session: Session, name: str | None, organisation: str | None) -> None:
    """Make a signing key that names its owner; none is ever replaced."""
    from pipeline.clock import SystemClock  # noqa: PLC0415 - start-up time
    from pipeline.notary import key_of  # noqa: PLC0415 - likewise
    from pipeline.sealing import keys as signing  # noqa: PLC0415 - likewise

    config, clock = session.config(), SystemClock()
    path = key_of(config, os.environ)
    signing.require_apart(path, config.archive)
    owner = name or config.operator.name
    if not owner:
        raise UsageError(
            "whose key? Set [operator] name in muniment.toml, or give --name"
        )
    made = signing.make(
        path,
        now=clock.now(),
        serial=clock.nonce(16),
        name=owner,
        organisation=organisation or config.operator.organisation,
    )
    _tell(session, path, made.certificate, "wrote")


@keys.command()
@command
def show(session: Session) -> None:
    """Show whose key seals, and its fingerprint."""
    from pipeline.notary import key_of  # noqa: PLC0415 - start-up time
    from pipeline.sealing import keys as signing  # noqa: PLC0415 - likewise

    config = session.config()
    path = key_of(config, os.environ)
    _tell(session, path, signing.read(path).certificate, "key  ")


def _tell(session: Session, path: Path, certificate: object, verb: str) -> None:
    from cryptography import x509  # noqa: PLC0415 - start-up time

    from pipeline.sealing import keys as signing  # noqa: PLC0415 - likewise

    assert isinstance(certificate, x509.Certificate)
    told = {
        "path": str(path),
        "signer": signing.told(certificate),
        "fingerprint": str(signing.fingerprint(certificate)),
        "expires": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
    }
    if session.json:
        terminal.say_json(told)
        return
    terminal.say(terminal.line(f"{verb} {told['path']}"))
    terminal.say(terminal.line(f"signer {told['signer']}"))
    terminal.say(f"fingerprint {told['fingerprint']}, until {told['expires']}")
    terminal.say("keep a copy apart from the archive; give readers the fingerprint")
