"""The log beside its checkpoints and its bags: every harm is found, with its code."""

import re
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ledgers
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledgers import WEEKS, change, edited, log_of, renumbered

from pipeline.errors import FixityError, StorageError
from pipeline.holdings import ledger
from pipeline.holdings.custody import line_of, parse_line
from pipeline.holdings.ledger import MOST, RULES, examine
from pipeline.holdings.note import Checkpoint, Note, sign
from pipeline.model import Severity

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass(frozen=True)
class Archive:
    root: Path
    keys: Path
    bags: tuple[Path, ...]

    @property
    def own(self) -> Path:
        return self.root / ".muniment"

    def checkpoint(self, size: int) -> Path:
        return self.own / "checkpoints" / f"{size:08d}"

    def codes(self, *since: Path) -> list[str]:
        return [one.code for one in examine(self.root, since=since).findings]


@pytest.fixture(scope="session")
def mould(tmp_path_factory) -> Archive:
    place = tmp_path_factory.mktemp("ledger")
    root, keys = place / "archive", place / "keys"
    return Archive(root, keys, ledgers.build(root, keys))


@pytest.fixture
def archive(mould: Archive, tmp_path: Path) -> Archive:
    root, keys = tmp_path / "archive", tmp_path / "keys"
    shutil.copytree(mould.root, root)
    shutil.copytree(mould.keys, keys)
    bags = tuple(root / bag.relative_to(mould.root) for bag in mould.bags)
    return Archive(root, keys, bags)


def test_a_sound_log_has_no_findings(archive) -> None:
    told = examine(archive.root)
    assert (told.ok, told.findings) == (True, ())
    assert (told.head.size, told.checkpoints) == (WEEKS, WEEKS)


def test_an_archive_without_a_log_has_no_lines(tmp_path) -> None:
    ledgers.opened(tmp_path).close()
    told = examine(tmp_path)
    assert (told.ok, told.head.size, told.checkpoints) == (True, 0, 0)


def lines(how: Callable[[list[bytes]], list[bytes]]) -> Callable[[Archive], None]:
    return lambda archive: change(archive.root, how)


def remove_bag(archive: Archive) -> None:
    shutil.rmtree(archive.bags[1])


def add_bag(archive: Archive) -> None:
    shutil.copytree(archive.bags[1], archive.bags[1].with_name("another"))


def forget(archive: Archive) -> None:
    """Take the checkpoints away, so that the lines alone can tell."""
    shutil.rmtree(archive.own / "checkpoints")
    (archive.own / "checkpoint").unlink()


def both(*acts: Callable[[Archive], None]) -> Callable[[Archive], None]:
    def act(archive: Archive) -> None:
        for one in acts:
            one(archive)

    return act


def rewritten(archive: Archive) -> None:
    """Rewrite the log to have one bag less, with care, and the bag is gone."""
    remove_bag(archive)
    change(archive.root, lambda own: renumbered([*own[:1], *own[2:]]))


def resigned(size: int, key=KEY, **said) -> Callable[[Archive], None]:
    """Put a checkpoint by another key, or that says something else, in the place."""

    def act(archive: Archive) -> None:
        file = archive.checkpoint(size)
        told = Checkpoint.parse(Note.parse(file.read_bytes()).text)
        text = str(told).replace(*said["text"]) if said else str(told)
        file.write_bytes(bytes(sign(text, text.split("\n")[0], key)))

    return act


def written(name: str, data: bytes) -> Callable[[Archive], None]:
    return lambda archive: (archive.own / name).write_bytes(data)


def signed_again(archive: Archive) -> None:
    """Change one letter of what was signed and keep the signature."""
    file = archive.checkpoint(2)
    file.write_bytes(file.read_bytes().replace(b"\n2\n", b"\n3\n"))


HARMS = {
    "the end is torn": (lines(lambda own: [*own, own[0][:9]]), ["ledger-torn"]),
    "the end is zeros": (lines(lambda own: [*own, bytes(8)]), ["ledger-torn"]),
    "the last line is cut within": (
        both(forget, lines(lambda own: [*own[:-1], own[-1][:-5]])),
        ["ledger-torn", "ledger-unlogged-bag"],
    ),
    "a line is no longer canonical": (
        both(forget, lines(lambda own: [own[0], own[1].replace(b":", b": ", 1), *own[2:]])),
        ["ledger-line", "ledger-unlogged-bag"],
    ),
    "a line is taken out": (
        both(forget, lines(lambda own: [own[0], *own[2:]])),
        ["ledger-gap", "ledger-unlogged-bag"],
    ),
    "a line stands twice": (
        both(forget, lines(lambda own: [own[0], own[0], *own[1:]])),
        ["ledger-gap"],
    ),
    "two lines changed places": (
        both(forget, lines(lambda own: [own[0], own[2], own[1], own[3]])),
        ["ledger-gap"] * 3,
    ),
    "a line is edited in good form": (
        lines(lambda own: [*own[:2], edited(own[2]), own[3]]),
        ["ledger-fork"] * 2,  # under the checkpoints of 3 and of 4
    ),
    "a line is taken out with care, and its bag": (
        rewritten,
        ["ledger-fork"] * 2 + ["ledger-rollback"],
    ),
    "the log is cut": (
        lines(lambda own: own[:3]),
        ["ledger-rollback", "ledger-unlogged-bag"],
    ),
    "the log is gone": (
        lambda archive: log_of(archive.root).unlink(),
        ["ledger-rollback"] * WEEKS + ["ledger-unlogged-bag"] * WEEKS,
    ),
    "the log went on in another way": (
        lines(lambda own: [*own[:3], edited(own[3]), line_of(4, parse_line(own[3]).entry)]),
        ["ledger-fork"],
    ),
    "a bag is gone": (remove_bag, ["ledger-missing-bag"]),
    "a bag came by another way": (add_bag, ["ledger-unlogged-bag"]),
    "a checkpoint is none": (written("checkpoints/00000002", b"?"), ["ledger-checkpoint"]),
    "a checkpoint is a folder": (
        lambda archive: (archive.own / "checkpoints/00000009").mkdir(),
        ["ledger-checkpoint"],
    ),
    "a checkpoint was changed": (signed_again, ["ledger-checkpoint"]),
    "a checkpoint has another's name": (
        lambda archive: archive.checkpoint(2).rename(archive.checkpoint(7)),
        ["ledger-checkpoint"],
    ),
    "a checkpoint is signed by another key": (resigned(2), ["ledger-unknown-key"]),
    "a checkpoint is another log's": (
        resigned(2, text=("muniment/log/", "other/log/")),
        ["ledger-checkpoint"],
    ),
    "the keys are gone": (
        lambda archive: (archive.own / "log.vkey").unlink(),
        ["ledger-unknown-key"] * WEEKS,
    ),
    "the keys are none": (
        written("log.vkey", b"\xff\n"),
        ["ledger-checkpoint"] + ["ledger-unknown-key"] * WEEKS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "codes"), HARMS.values(), ids=HARMS)
def test_harm_is_found_with_its_code(archive, harm, codes) -> None:
    harm(archive)
    told = examine(archive.root)
    assert sorted(one.code for one in told.findings) == sorted(codes)
    assert not told.ok
    for one in told.findings:
        assert one.clause == RULES[one.code][0]
        assert re.search(r"\w+ \w+", one.message)
        assert str(archive.root) not in one.path


def test_every_code_is_used() -> None:
    used = {code for _, codes in HARMS.values() for code in codes}
    assert used == RULES.keys() - {
        "ledger-mismatch",
        "ledger-checks",
    }  # found by others


def test_a_line_is_named_by_its_place_in_the_file(archive) -> None:
    change(archive.root, lambda own: [*own[:2], b"?\n", *own[3:]])
    assert examine(archive.root).findings[0].path == ".muniment/custody.jsonl:3"


def test_what_is_many_is_counted(archive) -> None:
    change(archive.root, lambda own: own + [b"?\n"] * 50)
    found = examine(archive.root).findings
    assert len(found) == MOST + 1
    assert found[-1].message == "and 30 more like these"


# --------------------------------------------------------------------------- elsewhere


def roll_back(archive: Archive) -> None:
    """Forget the last week: lines, checkpoints and bag, leaving nothing to see."""
    shutil.rmtree(archive.bags[-1])
    change(archive.root, lambda own: own[:-1])
    archive.checkpoint(WEEKS).unlink()
    shutil.copy(archive.checkpoint(WEEKS - 1), archive.own / "checkpoint")


def test_only_a_checkpoint_kept_elsewhere_exposes_a_rollback_with_care(
    archive, tmp_path
) -> None:
    elsewhere = shutil.copy(archive.checkpoint(WEEKS), tmp_path / "printout")
    roll_back(archive)
    assert archive.codes() == []
    assert archive.codes(elsewhere) == ["ledger-rollback"]
    shutil.copy(elsewhere, archive.own / "checkpoint")  # the copy alone tells as well
    assert archive.codes() == ["ledger-rollback"]


def test_a_checkpoint_kept_elsewhere_exposes_a_log_begun_anew(
    archive, tmp_path
) -> None:
    elsewhere = shutil.copy(archive.checkpoint(2), tmp_path / "printout")
    roll_back(archive)
    forget(archive)
    change(archive.root, lambda own: [edited(one) for one in own])
    assert archive.codes() == []
    assert archive.codes(elsewhere) == ["ledger-fork"]


def test_an_older_checkpoint_of_a_sound_log_is_no_finding(archive) -> None:
    assert archive.codes(archive.checkpoint(1)) == []


def test_a_checkpoint_from_elsewhere_by_an_unknown_key_is_compared_and_told(
    archive, tmp_path
) -> None:
    file = archive.checkpoint(2)
    text = Note.parse(file.read_bytes()).text
    other = tmp_path / "other"
    other.write_bytes(bytes(sign(text, text.split("\n")[0], KEY)))
    (found,) = examine(archive.root, since=(other,)).findings
    assert (found.code, found.severity) == ("ledger-unknown-key", Severity.WARNING)
    root = b64encode(b"1" * 32).decode()
    text = f"{text.split()[0]}\n2\n{root}\n"
    other.write_bytes(bytes(sign(text, text.split("\n")[0], KEY)))
    assert archive.codes(other) == ["ledger-unknown-key", "ledger-fork"]


def test_a_checkpoint_that_is_absent_is_an_error(archive, tmp_path) -> None:
    with pytest.raises(StorageError, match="absent"):
        examine(archive.root, since=(tmp_path / "absent",))


# ----------------------------------------------------------------------------- signing


def test_a_log_that_was_changed_is_not_signed_again(archive) -> None:
    change(archive.root, lambda own: [*own[:2], edited(own[2]), own[3]])
    store = ledgers.opened(archive.root)
    with store.lock("test"):
        ledgers.keep(store, WEEKS)
        with pytest.raises(FixityError, match=r"ledger-fork: .* is not signed"):
            store.checkpoint(archive.keys)
    store.close()
    assert not archive.checkpoint(WEEKS + 1).exists()


def test_a_bag_set_aside_is_not_missed(archive) -> None:
    store = ledgers.opened(archive.root)
    staged = archive.own / "staging" / archive.bags[0].name
    archive.bags[0].rename(staged)
    with store.lock("test"):
        store.recover()
    store.close()
    assert archive.codes() == []


def test_signing_looks_at_no_bag(archive, monkeypatch) -> None:
    monkeypatch.setattr(ledger, "_beside_bags", None)
    ledger.agreed(archive.root)


def test_the_archives_own_page_tells_every_code() -> None:
    page = (Path(__file__).parents[1] / "archive/README.md").read_text()
    rows = re.findall(r"^\| `(ledger-[a-z-]+)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(code, meaning) for code, (_, meaning) in RULES.items()]
