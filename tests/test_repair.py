"""A repair: the very bag that was kept, from a copy that is proven, or nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from auditing import audited, build, copied, opened, refused, spoil, wrong
from test_store import Died, Dying
from test_store import opened as on

from pipeline.balance import Audited
from pipeline.errors import Exit, StorageError
from pipeline.holdings.custody import Act, Log
from pipeline.packaging.parcel import Form
from pipeline.packaging.serial import write
from pipeline.packaging.validate import validate


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("template") / "archive"
    build(root, bags=3)
    copied(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(copy_of(template), tmp_path / "archive-copy")
    return Path(shutil.copytree(template, tmp_path / "archive"))


def copy_of(root: Path) -> Path:
    return root.with_name(f"{root.name}-copy")


def bags_of(root: Path) -> list[Path]:
    with closing(opened(root)) as store:
        return list(store.bags())


def acts(root: Path) -> list[tuple[Act, str]]:
    log = Log(root / ".muniment/custody.jsonl").read()
    return [(one.entry.act, one.entry.outcome) for one in log]


def quarantined(root: Path) -> list[Path]:
    return sorted((root / ".muniment/quarantine").iterdir())


def damage(root: Path) -> Path:
    bag = bags_of(root)[1]
    spoil(bag)
    return bag


def mend(root: Path, *places: Path) -> Audited:
    return audited(root, mend=places)


# ------------------------------------------------------------------- what is brought back


def in_a_folder(bag: Path, out: Path) -> Path:
    out.mkdir()
    shutil.copytree(bag, out / bag.name)
    return out


def as_one_file(form: Form):
    def pack(bag: Path, out: Path) -> Path:
        out.mkdir()
        write(bag, out / f"{bag.name}.{form}", form)
        return out

    return pack


PLACES = {
    "the bag itself": lambda bag, _out: bag,
    "a folder of bags": in_a_folder,
    "a copy of the archive": lambda bag, _out: bag.parents[2],
    "a tar": as_one_file(Form.TAR),
    "a tar.gz": as_one_file(Form.TAR_GZ),
    "a zip": as_one_file(Form.ZIP),
    "the file itself": lambda bag, out: (
        as_one_file(Form.TAR)(bag, out) / f"{bag.name}.tar"
    ),
}


@pytest.mark.parametrize("lay", PLACES.values(), ids=PLACES)
def test_a_damaged_bag_is_brought_back_wherever_the_copy_lies(lay, root, tmp_path):
    bag = damage(root)
    whole = copy_of(root) / bag.relative_to(root)
    told = mend(root, lay(whole, tmp_path / "place"))
    assert (told.exit, told.wrong) == (Exit.OK, 0)
    assert all(validate(one).ok for one in bags_of(root))
    (aside,) = quarantined(root)
    assert not validate(aside).ok
    assert acts(root)[-4:-1] == [
        (Act.FIXITY_CHECK, "failure"),
        (Act.QUARANTINE, "still-kept"),
        (Act.RECOVERY, "success"),
    ]
    assert audited(root).ok


def test_a_bag_that_is_gone_is_brought_back(root):
    bag = bags_of(root)[0]
    shutil.rmtree(bag)
    told = mend(root, copy_of(root))
    assert (told.exit, quarantined(root)) == (Exit.OK, [])
    assert validate(bag).ok


def test_several_places_are_tried_in_turn(root, tmp_path):
    (tmp_path / "empty").mkdir()
    damage(root)
    assert mend(root, tmp_path / "empty", copy_of(root)).ok


def test_what_is_sound_is_not_touched(root):
    before = {one: one.stat().st_ino for one in bags_of(root)}
    damaged = damage(root)
    mend(root, copy_of(root))
    after = {one: one.stat().st_ino for one in bags_of(root)}
    assert {one for one in before if before[one] != after[one]} == {damaged}


# --------------------------------------------------------------------- what is refused


def spoilt(copy: Path) -> None:
    spoil(copy)


def another(copy: Path) -> None:
    """Another whole bag under the name."""
    others = [one for one in copy.parent.iterdir() if one.name != copy.name]
    shutil.rmtree(copy)
    shutil.copytree(others[0], copy)


def rebagged(copy: Path) -> None:
    """Changed with skill: every manifest agrees, the log does not."""
    from baggery import seal

    info = copy / "bag-info.txt"
    info.write_bytes(info.read_bytes() + b"Contact-Name: Somebody Else\n")
    seal(copy)


def lost(copy: Path) -> None:
    shutil.rmtree(copy)


def linked(copy: Path) -> None:
    """A link that leads to the damaged bag, or anywhere."""
    (copy / "data/objects/rendered/page.txt").unlink()
    (copy / "data/objects/rendered/page.txt").symlink_to("/etc/hostname")


UNFIT = {
    "damaged too": (spoilt, "the copy is "),
    "another bag": (another, "the copy is another bag"),
    "made anew with skill": (rebagged, "another bag than the one that the log has"),
    "not there": (lost, "no copy of it was found"),
    "a link in it": (linked, ""),
}


@pytest.mark.parametrize(("harm", "why"), UNFIT.values(), ids=UNFIT)
def test_a_copy_that_is_not_the_bag_replaces_nothing(harm, why, root):
    bag = damage(root)
    before = (bag / "data/objects/rendered/page.txt").read_bytes()
    harm(copy_of(root) / bag.relative_to(root))
    told = mend(root, copy_of(root))
    (one,) = told.repaired
    assert (told.exit, one.is_mended) == (Exit.FIXITY, False)
    assert why in one.reason
    assert (bag / "data/objects/rendered/page.txt").read_bytes() == before
    assert quarantined(root) == []
    assert list((root / ".muniment/staging").iterdir()) == []


def test_a_bag_whose_line_in_the_log_is_in_doubt_is_not_mended(root):
    bag = damage(root)
    log = root / ".muniment/custody.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"n":1', b'"n":7'))
    said = refused(lambda: mend(root, copy_of(root)))
    assert "custody" in said
    assert not validate(bag).ok


def test_beside_another_writer_nothing_is_mended(root):
    damage(root)
    with closing(opened(root)) as other, other.lock("run of another"):
        said = refused(lambda: mend(root, copy_of(root)))
    assert "run of another" in said
    assert quarantined(root) == []


# ----------------------------------------------------------------- ended at any instant


@pytest.fixture
def memory() -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def repair_on(root: Path, disk: Dying) -> None:
    with closing(on(root, disk)) as store:
        audited(root, mend=[copy_of(root)], store=store)


ENDS = {
    "before": {"sync", "write", "rename"},
    "after": {"write", "rename"},
    "halfway": {"write"},
    "refused": {"sync", "write", "rename"},
}


@pytest.mark.parametrize(("how", "at"), ENDS.items(), ids=ENDS)
def test_wherever_a_repair_ends_the_bag_stands_in_its_place_damaged_or_whole(
    how, at, template, memory
):
    """And the next one ends it; nothing is lost and nothing shown by half."""
    (memory / "t").mkdir()
    base = Path(shutil.copytree(template, memory / "t/archive"))
    shutil.copytree(copy_of(template), copy_of(base))
    bag = damage(base).relative_to(base)
    spoilt = (base / bag / "data/objects/rendered/page.txt").read_bytes()
    counter = Dying(-1, "never")
    shutil.copytree(base, memory / "count/archive")
    shutil.copytree(copy_of(base), memory / "count/archive-copy")
    repair_on(memory / "count/archive", counter)
    assert len(counter.acts) > 20
    for step, act in enumerate(counter.acts):
        if act not in at:
            continue
        root = Path(shutil.copytree(base, memory / f"{step}/archive"))
        (memory / f"{step}/archive-copy").symlink_to(copy_of(base))
        with suppress(Died, StorageError):
            repair_on(root, Dying(step, how))
        with closing(opened(root)) as store, store.lock("test"):
            store.recover()
        assert (root / bag).is_dir(), (how, step)
        told = mend(root, copy_of(root))
        assert told.ok, (how, step, wrong(told), told.repaired)
        assert validate(root / bag).ok
        kept = [one / "data/objects/rendered/page.txt" for one in quarantined(root)]
        assert spoilt in [one.read_bytes() for one in kept if one.is_file()]
        shutil.rmtree(memory / f"{step}")
