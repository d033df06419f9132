"""What the log proves to a stranger, as JSON that needs no program of ours.

Hashes are base64, as in checkpoints. A leaf is SHA-256 of a zero byte and the line
with its line feed; ``merkle.is_included`` and any RFC 9162 verifier check the rest.
"""

from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import FixityError, UsageError
from pipeline.holdings.checkpoints import Checkpoints, Stored, read
from pipeline.holdings.custody import Log, Logged
from pipeline.holdings.ledger import finding, finding_json
from pipeline.holdings.merkle import Head, Tree, head_json, leaf_of
from pipeline.holdings.room import Room
from pipeline.model import Finding

Json = dict[str, object]
HOW = (
    "leaf = SHA-256(0x00, line with its line feed); the proof leads from the leaf at "
    "index n to the root of the checkpoint as RFC 9162 2.1.3.2 tells; the checkpoint "
    "is a signed note (c2sp.org/signed-note) by the key"
)


def checkpoint_json(stored: Stored, checkpoints: Checkpoints) -> Json:
    """Tell a checkpoint, the note itself, and the keys of its log."""
    return {
        "path": str(stored.path),
        "origin": stored.said.origin,
        **head_json(stored.said.head),
        "checkpoint": bytes(stored.note).decode(),
        "vkeys": [str(one) for one in checkpoints.verifiers()],
    }


def inclusion(root: Path, bag: str) -> Json:
    """Prove that every line about a bag stands under the newest checkpoint.

    Lines behind the checkpoint are named in ``later``. Raises UsageError where no line
    names the bag or none is signed for yet, FixityError for a log that was changed.
    """
    checkpoints, log = Checkpoints(root), _log(root)
    lines = tuple(log.read())
    about = [one for one in lines if one.entry.bag == bag]
    stored = checkpoints.newest()
    if not about:
        raise UsageError(f"{bag}: no line of {log.path} names this bag")
    if stored is None or about[0].n >= stored.said.head.size:
        raise UsageError(
            f"{bag}: its lines are not under a checkpoint yet; `muniment log "
            "checkpoint` makes one"
        )
    signed = stored.said.head
    tree = _tree(lines)
    _require(tree, stored)
    return {
        "bag": bag,
        "how": HOW,
        **checkpoint_json(stored, checkpoints),
        "entries": [
            {
                "n": one.n,
                "line": one.line.decode(),
                "leaf": _text(leaf_of(one.line)),
                "proof": _texts(tree.inclusion(one.n, signed.size)),
            }
            for one in about
            if one.n < signed.size
        ],
        "later": [one.n for one in about if one.n >= signed.size],
    }


def consistency(root: Path, old: str, new: str) -> Json:
    """Prove that the log grew from one head to another, each a file or a size.

    Findings say what stands against it; then there is no proof. Raises UsageError for
    what is neither a checkpoint nor a size of the log.
    """
    tree = _tree(_log(root).read())
    heads = [_named(one, tree) for one in (old, new)]
    found = [
        one
        for name, head in zip((old, new), heads, strict=True)
        for one in _odds(name, head, tree)
    ]
    before, after = heads
    if before.size > after.size:
        raise UsageError(f"{old} has more lines than {new}; name the older one first")
    proof = () if found else tree.consistency(before.size, after.size)
    return {
        "ok": not found,
        "old": head_json(before),
        "new": head_json(after),
        "proof": _texts(proof),
        "findings": [finding_json(one) for one in found],
    }


def _named(text: str, tree: Tree) -> Head:
    """Read a size, or the checkpoint in a file."""
    path = Path(text)
    if path.is_file():
        return read(path).said.head
    if not text.isdecimal():
        raise UsageError(f"{text}: there is no such file; expected one, or a size")
    if int(text) > tree.size:
        raise UsageError(f"{text}: the log has {tree.size} lines, no more")
    return tree.head(int(text))


def _odds(name: str, head: Head, tree: Tree) -> tuple[Finding, ...]:
    if head.size > tree.size:
        message = f"{head.size} lines were signed, the log has {tree.size}: it was cut"
        return (finding("ledger-rollback", name, message),)
    if tree.head(head.size) != head:
        message = f"the first {head.size} lines are not those that were signed"
        return (finding("ledger-fork", name, message),)
    return ()


def _require(tree: Tree, stored: Stored) -> None:
    for one in _odds(str(stored.path), stored.said.head, tree):
        raise FixityError(f"{one.code}: {one.path}: {one.message}; nothing is proven")


def _log(root: Path) -> Log:
    return Log(Room(root).own / "custody.jsonl")


def _tree(lines: Iterable[Logged]) -> Tree:
    return Tree(leaf_of(one.line) for one in lines)


def _text(hashed: bytes) -> str:
    return b64encode(hashed).decode()


def _texts(hashes: Iterable[bytes]) -> list[str]:
    return [_text(one) for one in hashes]
