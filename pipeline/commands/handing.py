"""Copies with others: handed over, gone on with, and what was acknowledged."""

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import terminal
from pipeline.commands import evidence
from pipeline.commands.session import Session, command
from pipeline.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.config import Config
    from pipeline.handoff.courier import Courier
    from pipeline.handoff.deposit import Handed
    from pipeline.holdings.cards import Acknowledged, Holding
    from pipeline.holdings.receipts import Sign
    from pipeline.holdings.store import Store
    from pipeline.model import Finding, Manifest, Source


@click.command()
@click.argument("names", nargs=-1, metavar="RUN|BAG...")
@click.option("--to", "targets", multiple=True, metavar="NAME", help="The target.")
@click.option("--manifest", metavar="FILE", help="Targets that this manifest names.")
@click.option("--retry", is_flag=True, help="Go on with what has no receipt yet.")
@command
def deposit(
    session: Session,
    *,
    names: tuple[str, ...],
    targets: tuple[str, ...],
    manifest: str | None,
    retry: bool,
) -> Exit:
    """Hand bags to other archives: a run with its members, or one bag.

    A deposit is done when what the target has was read back and hashed; a signed
    receipt then lies beside the bags. One that failed is gone on with by --retry.
    """
    from pipeline.handoff import deposit as handover  # noqa: PLC0415 - start-up time

    if retry == bool(names):
        raise UsageError("expected a RUN or BAG to deposit, or --retry alone")
    if names and not targets:
        raise UsageError("expected --to NAME: the target that takes the bags")
    handed = handed_over(session, names, targets, manifest)
    if session.json:
        terminal.say_json(
            {
                "deposits": handover.handed_json(handed),
                "receipts": handover.receipts_json(handed),
            }
        )
    else:
        tell(handed)
    return max((one.exit for one in handed), default=Exit.OK)


def handed_over(
    session: Session,
    names: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
    manifest: str | None = None,
) -> "list[Handed]":
    """Hand over what is named; without names, whatever has no receipt yet."""
    session.holdings()
    handed: list[Handed] = []
    with closing(session.store()) as store, store.lock("deposit"):
        for note in store.recover():
            terminal.remark(note)
        counter = Counter(session.config(), store, manifest)
        due = asked(store, names, targets) if names else pending(store, targets)
        for bags, wanted in due:
            handed += counter.hand(bags, wanted)
    return handed


def asked(
    store: "Store", names: "Iterable[str]", targets: tuple[str, ...]
) -> "Iterator[tuple[tuple[Holding, ...], tuple[str, ...]]]":
    """Find what the command names. Raises UsageError before anything is sent."""
    from pipeline.handoff.deposit import consigned  # noqa: PLC0415 - start-up time

    found = [consigned(store.catalogue, name) for name in names]
    return ((bags, targets) for bags in found)


def pending(
    store: "Store", only: tuple[str, ...]
) -> "Iterator[tuple[tuple[Holding, ...], tuple[str, ...]]]":
    """Find what was begun and has no receipt."""
    from pipeline.handoff.deposit import consigned, pending_of  # noqa: PLC0415 - likewise

    found = [one for one in pending_of(store) if not only or one.target in only]
    for one in found:
        yield consigned(store.catalogue, one.bag), (one.target,)


class Counter:
    """Where bags are handed over: it knows the targets, and who signs."""

    def __init__(self, config: "Config", store: "Store", manifest: str | None) -> None:
        self._config = config
        self._store = store
        self._manifests = tuple(read(config, manifest))
        self._sign = signer(config, store)

    def hand(
        self, bags: "tuple[Holding, ...]", names: tuple[str, ...]
    ) -> "tuple[Handed, ...]":
        """Hand bags to targets. Raises UsageError for a target that is not known."""
        from pipeline.handoff import destination  # noqa: PLC0415 - start-up time
        from pipeline.handoff.deposit import Delivery  # noqa: PLC0415 - likewise

        known = destination.known(self._config, self._manifests, self._copies(bags))
        told = destination.chosen(known, names)
        delivery = Delivery(bags=bags, store=self._store, sign=self._sign)
        return delivery.to(
            destination.opened(
                told, environ=os.environ, clock=self._store.clock, root=self._store.root
            )
        )

    def _copies(self, bags: "tuple[Holding, ...]") -> "Iterator[Path]":
        """Find the manifests that lie in the bags of our own runs."""
        from pipeline.packaging.provenance import SUBMISSION  # noqa: PLC0415 - likewise

        runs = {one.run for one in bags if not one.is_received and one.run}
        for one in self._store.catalogue.bags():
            if one.bag.id in runs and not one.is_received:  # a stranger names nothing
                yield one.bag.path / SUBMISSION / "manifest.yaml"


def read(config: "Config", manifest: str | None) -> "Iterator[Manifest]":
    """Read the manifest that is named, if one is. Raises ManifestError."""
    from pipeline.intake import manifest as intake  # noqa: PLC0415 - start-up time

    if manifest:
        yield intake.read(Path(manifest), operator=config.operator)


def courier(config: "Config", manifest: "Manifest", store: "Store") -> "Courier | None":
    """Appoint who hands a run over; nobody where nothing is to be handed over."""
    from pipeline.handoff import destination  # noqa: PLC0415 - start-up time
    from pipeline.model import When  # noqa: PLC0415 - likewise

    if not manifest.deposits and config.deposits is None:
        return None
    from pipeline.handoff.courier import Courier  # noqa: PLC0415 - start-up time

    known = destination.known(config, (manifest,)).values()
    return Courier(
        deposits=tuple(one for one in known if one.when is not When.MANUAL),
        opened=lambda told: destination.opened(
            told, environ=os.environ, clock=store.clock, root=store.root
        ),
        sign=signer(config, store),
        store=store,
    )


def signer(config: "Config", store: "Store") -> "Sign":
    """Find whoever seals: receipts are signed by the same."""
    from pipeline import notary  # noqa: PLC0415 - start-up time
    from pipeline.sealing import signature  # noqa: PLC0415 - likewise

    clock = store.clock
    identity, _ = notary.identity_of(config, os.environ, clock)
    return lambda data: signature.sign(data, identity, at=clock.now())


def tell(handed: "Iterable[Handed]") -> None:
    """Print what became of each target, failures first."""
    for one in sorted(handed, key=lambda one: one.error is None):
        if one.error is not None:
            terminal.say(terminal.line(f"failed: {one.target}: {one.error}"))
        elif one.receipt is not None:
            size = f"{sum(each.size for each in one.receipt.received):,} bytes"
            bags = terminal.counted(len(one.receipt.bags), "bag")
            word = "read back and hashed" if one.receipt.is_verified else "its word"
            told = f"received: {one.target}: {bags}, {size}, {word}"
            terminal.say(terminal.line(f"{told}: {one.receipt.location}"))
            terminal.say(terminal.line(f"    receipt {one.path}"))


@click.command()
@click.argument("name", required=False, metavar="BAG|RUN")
@click.option("--target", metavar="NAME", help="Only receipts of this target.")
@command
def receipts(session: Session, name: str | None, target: str | None) -> Exit:
    """List what other archives acknowledged, each signature checked."""
    from pipeline.handoff.deposit import acknowledged_json  # noqa: PLC0415 - likewise

    root = session.holdings()
    with closing(session.catalogue()) as catalogue:
        bags = {one.bag.id for one in catalogue.find(name).bags} if name else None
        found = [
            one
            for one in catalogue.receipts(target=target)
            if bags is None or one.bag in bags
        ]
    wrong = judged(root)
    if session.json:
        terminal.say_json(
            {
                "receipts": [acknowledged_json(one) for one in found],
                "findings": [
                    {"code": one.code, "path": one.path, "message": one.message}
                    for one in wrong
                ],
            }
        )
    else:
        columns = ("received", "target", "bag", "verified", "location")
        terminal.table(columns, [row(one) for one in found])
        for one in wrong:
            terminal.say(terminal.line(f"{one.path}: {one.message} [{one.code}]"))
    return Exit.FIXITY if wrong else Exit.OK


def row(one: "Acknowledged") -> tuple[object, ...]:
    """Lay out what one target acknowledged of one bag."""
    word = "read back" if one.is_verified else "its word"
    return (f"{one.at:%Y-%m-%d %H:%M}", one.target, one.bag, word, one.location)


def judged(root: Path) -> "tuple[Finding, ...]":
    """Judge every receipt of an archive beside the log."""
    from pipeline.holdings.custody import Act, Log  # noqa: PLC0415 - start-up time
    from pipeline.holdings.receipts import Receipts, judge  # noqa: PLC0415 - likewise
    from pipeline.holdings.room import OWN  # noqa: PLC0415 - likewise
    from pipeline.model import Digest  # noqa: PLC0415 - likewise

    lines = (one.entry for one in Log(root / OWN / "custody.jsonl").read())
    logged = frozenset(
        Digest.parse(one.detail.split()[0]) for one in lines if one.act is Act.RECEIPT
    )
    return tuple(judge(Receipts(root).paths(), logged))


# ------------------------------------------------------------- what was made elsewhere


@click.command()
@click.argument("name", metavar="SOURCE")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--manifest", metavar="FILE", help="Where the source is told of.")
@click.option("--by", default="", metavar="NAME", help="Who supplied the files.")
@click.option("--made", default="", metavar="WHEN", help="When they say it was made.")
@click.option("--note", default="", metavar="TEXT", help="How it came to you.")
@command
def attach(
    session: Session,
    *,
    name: str,
    files: tuple[str, ...],
    manifest: str | None,
    by: str,
    made: str,
    note: str,
) -> Exit:
    """Take in files made elsewhere for a source: a WARC, a PDF, a picture.

    They become a sealed bag of their own, told as supplied and never as captured.
    """
    from pipeline import sealbook  # noqa: PLC0415 - start-up time
    from pipeline.handoff.attach import Desk, Gift  # noqa: PLC0415 - likewise
    from pipeline.job import Order  # noqa: PLC0415 - likewise

    config = session.config()
    for text in (by, made, note):
        if not text.isprintable():
            raise UsageError(f"{text!r}: expected one line of plain text")
    with (
        closing(session.store()) as store,
        closing(evidence.appointed(config, Order())) as notary,
        store.lock("attach"),
    ):
        for sentence in store.recover():
            terminal.remark(terminal.line(sentence))
        job, source = _source(name, tuple(read(config, manifest)), store)
        desk = Desk(
            store=store,
            clock=store.clock,
            operator=config.operator,
            signing=notary.signing,
        )
        gift = Gift(by=by, made_at=made, note=note)
        done = desk.take(job, source, map(Path, files), gift)
        sealbook.record(store, done.seal, path=done.bag.path, job=job)
    if session.json:
        terminal.say_json(done.json())
        return Exit.OK
    terminal.say(terminal.line(f"attached to {job}/{source.id}: {done.bag.path}"))
    for one in done.told.files:
        size = f"{one.artefact.size:,} bytes"
        terminal.say("    " + terminal.line(f"{one.name}: {one.kind}, {size}"))
        for quote in one.quotes:
            word = "found" if quote.found else "not found"
            terminal.say("        " + terminal.line(f"{word}: {quote.text}"))
        if one.remark:
            terminal.say("        " + terminal.line(one.remark))
    return Exit.OK


def _source(
    name: str, manifests: "tuple[Manifest, ...]", store: "Store"
) -> "tuple[str, Source]":
    """Find a source in a manifest, or as it was last captured. Raises UsageError."""
    wanted, slash, part = name.rpartition("/")
    for one in manifests:
        for source in one.sources:
            if source.id == part and (not slash or wanted == one.id):
                return one.id, source
    if manifests:
        raise UsageError(f"{name}: {manifests[0].path} has no such source")
    found = store.catalogue.find(name)
    mine = [one for one in found.bags if not one.is_received]
    if found.sort != "source" or not mine:
        raise UsageError(
            f"{name}: expected a source, as job/source; one that was never captured is "
            "named with --manifest FILE"
        )
    return mine[-1].job, _as_captured(mine[-1])


def _as_captured(held: "Holding") -> "Source":
    """Read a source as its last capture tells of it."""
    from pipeline.disk import small_file  # noqa: PLC0415 - start-up time
    from pipeline.holdings.description import (  # noqa: PLC0415 - likewise
        CAPTURE,
        LARGEST_STORY,
    )
    from pipeline.model import Match, Quote, Source  # noqa: PLC0415 - likewise

    try:
        data = small_file(held.bag.path / CAPTURE, LARGEST_STORY)
        told = json.loads(data)["source"]
        quotes = tuple(
            Quote(text=one["text"], match=Match(one["match"])) for one in told["quotes"]
        )
        return Source(
            id=held.source, url=told["url"], title=told["title"], quotes=quotes
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{held.bag.id}: its story can't be read ({error}); name the manifest with "
            "--manifest FILE"
        ) from error
