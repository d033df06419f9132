"""Archives with a custody log that is signed after every bag, and ways to harm it."""

import json
from collections.abc import Callable
from pathlib import Path

import shelf

from pipeline.disk import Disk
from pipeline.holdings.custody import canonical
from pipeline.holdings.store import Store

WEEKS = 4  # bags, and so lines, and so checkpoints


class Careless(Disk):
    """Does not wait for the disk."""

    def sync(self, descriptor: int) -> None:
        pass

    def start(self, descriptor: int) -> None:
        pass


def opened(root: Path) -> Store:
    return Store.open(root, shelf.TickingClock(), disk=Careless())


def keep(store: Store, week: int) -> Path:
    told = shelf.accession(week=week, content=shelf.payload("abcdef"[week]))
    staged = store.stage(told.bag)
    bag = shelf.pack(staged, told)
    run = told.run
    return store.accession(staged, bag, job=run.job, run=run.id, started=run.started)


def build(root: Path, keys: Path, *, weeks: int = WEEKS) -> tuple[Path, ...]:
    """Keep a bag a week, signing the log after each; return the bags."""
    store = opened(root)
    bags = []
    with store.lock("test"):
        for week in range(weeks):
            bags.append(keep(store, week))
            store.checkpoint(keys)
    store.close()
    return tuple(bags)


def log_of(root: Path) -> Path:
    return root / ".muniment/custody.jsonl"


def change(root: Path, how: Callable[[list[bytes]], list[bytes]]) -> None:
    """Rewrite the lines of a log."""
    file = log_of(root)
    file.write_bytes(b"".join(how(file.read_bytes().splitlines(keepends=True))))


def renumbered(lines: list[bytes]) -> list[bytes]:
    """Number lines anew, as an opponent would who knows the form."""
    return [canonical(json.loads(line) | {"n": n}) for n, line in enumerate(lines)]


def edited(line: bytes) -> bytes:
    """Say something else, in good form."""
    return canonical(json.loads(line) | {"software": "Other 1.0"})
