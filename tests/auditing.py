"""Archives for the tests of audits: many small bags, copies of them, and harm."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import shelf
from ledgers import Careless, opened

from pipeline import audit
from pipeline.balance import Audited, Scope
from pipeline.errors import PipelineError
from pipeline.holdings.checks import Checked
from pipeline.holdings.store import Store
from pipeline.model import Finding
from pipeline.repair import Deposited, Given, Mender

__all__ = ["Careless", "opened"]


def build(root: Path, bags: int = 4) -> tuple[Path, ...]:
    """Keep bags of as many sources, each with a line in the log."""
    store = opened(root)
    made = []
    with store.lock("test"):
        for n in range(bags):
            told = shelf.accession(f"source-{n:05}")
            staged = store.stage(told.bag)
            bag = shelf.pack(staged, told, text=f"{n}: {shelf.TEXT}")
            run = told.run
            place = store.accession(
                staged, bag, job=run.job, run=run.id, started=run.started
            )
            made.append(place)
    store.close()
    return tuple(made)


def copied(root: Path) -> Path:
    """Copy an archive beside itself, before anything happens to it."""
    copy = root.with_name(f"{root.name}-copy")
    shutil.copytree(root, copy)
    return copy


def spoil(bag: Path, file: str = "data/objects/rendered/page.txt") -> None:
    """Change one byte, as a bad disk does."""
    path = bag / file
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


class Ear:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[Checked] = []
        self.found: Sequence[Finding] = ()

    def begun(self, chosen: int, kept: int, found: Sequence[Finding]) -> None:
        self.found = found

    def checked(self, one: Checked) -> None:
        self.heard.append(one)


def audited(
    root: Path,
    *,
    scope: Scope | None = None,
    mend: Sequence[Path] | None = None,
    store: Store | None = None,
    ear: Ear | None = None,
    **options: object,
) -> Audited:
    """Audit an archive, and mend it from copies if there are any named."""
    held = store or opened(root)
    target = options.get("target") or (lambda _: None)
    mender = None
    if mend is not None:
        with held.lock("test"):
            held.recover()
        mender = Mender(
            store=held,
            clock=held.clock,
            origins=(*(Given(place=one) for one in mend), Deposited(target=target)),
        )
    try:
        return audit.Auditor(
            store=held,
            clock=held.clock,
            scope=scope or Scope(),
            ear=ear or Ear(),
            mend=mender.mend if mender else None,
            **options,
        ).carry_out()
    finally:
        if store is None:
            held.close()


def wrong(told: Audited) -> dict[str, set[str]]:
    """Name what is wrong: the codes, by bag."""
    return {
        one.path.rpartition("/")[2]: {each.code for each in one.errors()}
        for one in told.troubled.wrong()
    }


def refused(act: Callable[[], object]) -> str:
    """Tell why something is refused."""
    try:
        act()
    except PipelineError as error:
        return str(error)
    return ""
