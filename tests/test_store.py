"""The store: a bag that is said to be kept stays kept, and no half bag is ever seen."""

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import samples
import shelf

from pipeline.disk import DISK, Disk
from pipeline.errors import FixityError, LockedError, StorageError
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.merkle import leaf_of
from pipeline.holdings.store import Store
from pipeline.model import Accession, Verdict
from pipeline.packaging.validate import validate

FIRST = shelf.accession()
SECOND = shelf.accession(week=1, content=shelf.payload("b"))


class Careless(Disk):
    """Does not wait for the disk: the machine is not going to fail, only we are."""

    def sync(self, descriptor: int) -> None:
        pass

    def start(self, descriptor: int) -> None:
        pass


def opened(root: Path, disk: Disk | None = None) -> Store:
    return Store.open(root, shelf.TickingClock(), disk=disk or Careless())


def keep(store: Store, told: Accession) -> Path:
    """Stage, pack and accession one capture, under the lock."""
    staged = store.stage(told.bag)
    bag = shelf.pack(staged, told)
    run = told.run
    return store.accession(staged, bag, job=run.job, run=run.id, started=run.started)


def recovered(store: Store) -> tuple[str, ...]:
    with store.lock("test"):
        return store.recover()


def acts(store: Store) -> list[tuple[str, str]]:
    return [(line.entry.act.value, line.entry.bag) for line in store.log.read()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "آرشیو archive é"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    made = opened(root)
    yield made
    made.close()


@pytest.fixture
def held(store: Store) -> Store:
    """A store with one bag."""
    with store.lock("test"):
        keep(store, FIRST)
    return store


def assert_whole(root: Path) -> None:
    """An archive in which everything agrees with everything else."""
    store = opened(root)
    bags = list(store.bags())
    logged = {
        line.entry.path
        for line in store.log.read()
        if line.entry.act in (Act.ACCESSION, Act.RECOVERY)
    }
    aside = {
        line.entry.path for line in store.log.read() if line.entry.act is Act.QUARANTINE
    }
    own = root / ".muniment"
    assert {bag.relative_to(root).as_posix() for bag in bags} == logged
    assert all(validate(bag).ok for bag in bags)
    assert list((own / "staging").iterdir()) == []
    assert {
        path.relative_to(root).as_posix() for path in (own / "quarantine").iterdir()
    } == aside
    store.catalogue.bags()
    store.close()
    before = shelf.content(own / "catalogue.sqlite")
    store.rebuild()
    assert shelf.content(own / "catalogue.sqlite") == before
    assert recovered(store) == ()
    store.close()


# --------------------------------------------------------------------------- accession


def test_a_kept_bag_stands_in_its_place_whole_and_logged(store: Store) -> None:
    with store.lock("test"):
        place = keep(store, FIRST)
    assert place == store.root / "toll/2026" / FIRST.bag
    assert validate(place).ok
    (line,) = store.log.read()
    assert line.entry.act is Act.ACCESSION
    assert line.entry.bag == FIRST.bag
    assert line.entry.job == "toll"
    assert line.entry.run == FIRST.run.id
    assert line.entry.path == f"toll/2026/{FIRST.bag}"
    assert {digest.algorithm for digest in line.entry.tagmanifests} == {
        "sha256",
        "sha512",
    }
    assert line.entry.software.startswith("Muniment ")
    assert_whole(store.root)


def test_the_place_is_known_beforehand(store: Store) -> None:
    place = store.place(FIRST.bag, "toll", FIRST.run.started)
    with store.lock("test"):
        assert keep(store, FIRST) == place


def test_a_kept_bag_is_what_the_next_visit_is_compared_with(held: Store) -> None:
    previous = held.catalogue.previous("toll", "report")
    assert previous is not None
    assert previous.bag == FIRST.bag
    (entry,) = held.catalogue.acts(FIRST.bag)
    assert entry.act is Act.ACCESSION


def test_a_bag_of_the_same_name_is_never_replaced(store: Store) -> None:
    place = store.root / "toll/2026" / FIRST.bag
    place.mkdir(parents=True)
    (place / "mine").write_text("mine")
    with store.lock("test"), pytest.raises(StorageError, match="kept already"):
        keep(store, FIRST)
    assert [path.name for path in place.iterdir()] == ["mine"]
    assert (store.root / ".muniment/staging" / FIRST.bag / "bagit.txt").exists()
    assert acts(store) == []


class Tracing(Careless):
    """Tells what was made durable, in order, from the archive down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.acts: list[tuple[str, str]] = []

    def told(self, act: str, path: Path) -> None:
        self.acts.append((act, os.path.relpath(path, self.root)))

    def write(self, descriptor: int, data: bytes) -> int:
        self.told("write", Path(f"/proc/self/fd/{descriptor}").readlink())
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.told("sync", Path(f"/proc/self/fd/{descriptor}").readlink())

    def rename(self, old: Path, new: Path) -> None:
        self.told("rename", new)
        super().rename(old, new)


def test_a_bag_is_on_disk_before_its_name_and_its_name_before_its_line(
    root: Path,
) -> None:
    disk = Tracing(root)
    store = opened(root, disk)
    with store.lock("test"):
        disk.acts.clear()
        keep(store, FIRST)
    store.close()
    staged, log = f".muniment/staging/{FIRST.bag}", ".muniment/custody.jsonl"
    files = [act for act in disk.acts if act[1].startswith(f"{staged}/")]
    assert disk.acts[: len(files) + 1] == [*files, ("sync", staged)]
    assert {act for act, _ in files} == {"sync"}
    assert len(files) == 6 + 2 + 4  # tag files, payload, folders
    assert disk.acts[len(files) + 1 :] == [
        ("sync", "."),
        ("sync", "toll"),
        ("rename", f"toll/2026/{FIRST.bag}"),
        ("sync", "toll/2026"),
        ("sync", ".muniment/staging"),
        ("write", log),
        ("sync", log),
        ("sync", ".muniment"),
    ]


def test_two_bags_of_one_name_cannot_be_in_the_making(store: Store) -> None:
    with store.lock("test"):
        store.stage("bag")
        with pytest.raises(StorageError, match="File exists"):
            store.stage("bag")


def test_what_was_carried_into_another_bag_is_discarded(store: Store) -> None:
    with store.lock("test"):
        staged = store.stage("bag")
        (staged / "data").mkdir()
        (staged / "data/file").write_text("carried")
        store.discard(staged)
        assert not staged.exists()
        with pytest.raises(StorageError, match="No such file"):
            store.discard(staged)


def test_nothing_but_what_is_staged_is_ever_removed(held: Store) -> None:
    (bag,) = held.bags()
    with held.lock("test"), pytest.raises(AssertionError):
        held.discard(bag)
    assert bag.exists()


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.stage("bag"),
        lambda store: store.discard(store.root),
        lambda store: store.recover(),
        lambda store: store.record(Entry(act=Act.ACCESS, at=samples.NOON)),
        lambda store: keep(store, FIRST),
    ],
    ids=["stage", "discard", "recover", "record", "accession"],
)
def test_nothing_is_written_without_the_lock(
    store: Store, act: Callable[[Store], object]
) -> None:
    with pytest.raises(AssertionError, match="under its lock"):
        act(store)


def test_a_fixity_check_is_written_into_the_log_and_found_again(held: Store) -> None:
    entry = Entry(
        act=Act.FIXITY_CHECK, at=samples.NOON, bag=FIRST.bag, outcome="success"
    )
    with held.lock("test"):
        assert held.record(entry) == 1
    assert held.catalogue.acts(FIRST.bag)[-1] == entry


def test_the_commands_of_the_archives_own_page_do_what_it_says(held: Store) -> None:
    page = (Path(__file__).parents[1] / "archive/README.md").read_text("utf-8")
    check, look_up, leaf = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    (bag,) = held.bags()
    place = bag.relative_to(held.root)

    def said(command: str) -> str:
        command = command.replace("BAG", str(place))
        return subprocess.run(
            ["sh", "-c", command],
            cwd=held.root,
            check=False,
            capture_output=True,
            text=True,
        ).stdout

    assert "data/metadata/capture.json: OK" in said(check)
    assert f'"bag":"{FIRST.bag}"' in said(look_up)
    (line,) = held.log.read()
    assert said(leaf.replace("5p", "1p")).split()[0] == leaf_of(line.line).hex()
    (bag / "tagmanifest-sha512.txt").write_text("another\n")
    assert said(look_up) == ""


# -------------------------------------------------------------------------- contention

WORKER = """
import sys
from pathlib import Path
from pipeline.clock import SystemClock
from pipeline.errors import LockedError
from pipeline.holdings.store import Store
store = Store.open(Path(sys.argv[1]), SystemClock())
for order in sys.stdin:
    try:
        with store.lock(f"run of {sys.argv[2]}"):
            print("held", flush=True)
            sys.stdin.readline()
        print("free", flush=True)
    except LockedError as error:
        print(error.exit.value, error, flush=True)
"""


@dataclass
class Worker:
    process: "subprocess.Popen[str]"

    def told(self, order: str) -> str:
        """Give an order and hear the answer: the two processes move in step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@pytest.fixture
def workers(root: Path) -> Iterator[list[Worker]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(root), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=Path(__file__).parents[1],
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        )
        for name in ("one", "two")
    ]
    yield [Worker(process) for process in started]
    for process in started:
        process.kill()
        process.communicate()


def test_of_two_processes_one_works_and_the_other_is_told_who(
    workers: list[Worker], root: Path
) -> None:
    one, two = workers
    assert one.told("take") == "held"
    refusal = two.told("take")
    assert refusal.startswith(f"9 {root} is in use by 'run of one' ")
    assert f"process {one.process.pid} " in refusal
    assert one.told("done") == "free"
    assert two.told("take") == "held"
    assert one.told("take").startswith("9 ")


def test_a_process_that_is_killed_leaves_the_lock_to_the_next(
    workers: list[Worker],
) -> None:
    one, two = workers
    assert one.told("take") == "held"
    one.process.kill()
    one.process.wait()
    assert two.told("take") == "held"


def test_a_catalogue_to_be_rebuilt_waits_for_whoever_is_at_work(
    workers: list[Worker], held: Store
) -> None:
    held.close()
    (held.root / ".muniment/catalogue.sqlite").unlink()
    assert workers[0].told("take") == "held"
    with pytest.raises(LockedError, match="run of one"):
        held.catalogue.bags()
    assert workers[0].told("done") == "free"
    assert len(held.catalogue.bags()) == 1


# ----------------------------------------------------------------------------- crashes


class Died(BaseException):
    """The process ends here."""


class Dying(Careless):
    """Counts the acts that matter, and dies, or is refused, at one of them.

    ``before`` the act, ``after`` it, or ``halfway`` through a write. Where it is
    ``refused``, the process goes on to its end in good order.
    """

    def __init__(self, step: int, how: str) -> None:
        self.step = step
        self.how = how
        self.acts: list[str] = []

    def act(self, name: str, done: Callable[[], object], half: object = None) -> None:
        self.acts.append(name)
        if len(self.acts) != self.step + 1:
            done()
            return
        match self.how:
            case "halfway" if callable(half):
                half()
            case "after":
                done()
            case "refused":
                code = (errno.EIO, errno.ENOSPC)[self.step % 2]
                raise OSError(code, os.strerror(code))
        raise Died(f"{self.how} {name}")

    def write(self, descriptor: int, data: bytes) -> int:
        half = data[: len(data) // 2]
        self.act(
            "write",
            lambda: DISK.write(descriptor, data),
            lambda: DISK.write(descriptor, half),
        )
        return len(data)

    def sync(self, descriptor: int) -> None:
        self.act("sync", lambda: None)

    def rename(self, old: Path, new: Path) -> None:
        self.act("rename", lambda: DISK.rename(old, new))


def work(root: Path, disk: Disk, kept: list[Path]) -> None:
    """One run on an archive that has a bag and some leftovers; tells what it kept."""
    store = opened(root, disk)
    try:
        with store.lock("test"):
            store.recover()
            kept.append(keep(store, SECOND))
    finally:
        store.close()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has one: it is filled many times over."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def leftovers(memory: Path) -> Path:
    """An archive with a kept bag, a bag without its line, a torn line, a half bag."""
    root = memory / "archive"
    store = opened(root)
    with store.lock("test"):
        keep(store, FIRST)
        lost = shelf.accession("lost")
        shelf.pack(root / "toll/2026" / lost.bag, lost)
        (store.stage("half") / "data").mkdir()
    store.close()
    with (root / ".muniment/custody.jsonl").open("ab") as file:
        file.write(b'{"act":"acc')
    return root


def acts_of(leftovers: Path, folder: Path) -> list[str]:
    """Every act of a run that comes to its end, by name."""
    counter = Dying(-1, "never")
    shutil.copytree(leftovers, folder / "count")
    work(folder / "count", counter, [])
    return counter.acts


ENDS = {  # how a run ends, and at which acts that differs from what stands above it
    "before": {"sync", "write", "rename"},
    "refused": {"sync", "write", "rename"},
    "after": {"write", "rename"},
    "halfway": {"write"},
}


@pytest.mark.parametrize(("how", "at"), ENDS.items(), ids=ENDS)
def test_wherever_a_run_ends_the_next_one_makes_the_archive_whole(
    leftovers: Path, memory: Path, how: str, at: set[str]
) -> None:
    acts = acts_of(leftovers, memory)
    assert len(acts) > 30  # or they do not go through the disk that was handed in
    for step, act in enumerate(acts):
        if act in at:
            end_and_recover(leftovers, memory / f"{step}", Dying(step, how))


def end_and_recover(leftovers: Path, root: Path, disk: Dying) -> None:
    shutil.copytree(leftovers, root)
    kept: list[Path] = []
    with pytest.raises((Died, StorageError)) as end:
        work(root, disk, kept)
    assert disk.how != "refused" or str(root) in str(end.value)
    store = opened(root)
    recovered(store)
    store.close()
    assert_whole(root)
    assert set(store.bags()) >= {root / "toll/2026" / FIRST.bag, *kept}
    place = root / "toll/2026" / SECOND.bag
    if not place.exists():
        work(root, Careless(), kept)
    assert place.exists()
    shutil.rmtree(root)


def test_a_run_that_ends_well_leaves_an_archive_that_is_whole(leftovers: Path) -> None:
    kept: list[Path] = []
    work(leftovers, Careless(), kept)
    assert_whole(leftovers)
    assert len(kept) == 1


# ---------------------------------------------------------------------------- recovery


def test_a_new_archive_has_nothing_to_recover(store: Store) -> None:
    assert recovered(store) == ()


def test_a_whole_bag_without_its_line_is_logged(store: Store) -> None:
    assert store.catalogue.bags() == ()
    place = store.root / "toll/2026" / FIRST.bag
    shelf.pack(place, FIRST)
    (said,) = recovered(store)
    assert said.startswith(str(place))
    (line,) = store.log.read()
    assert line.entry.act is Act.RECOVERY
    assert (line.entry.bag, line.entry.job) == (FIRST.bag, "toll")
    assert line.entry.run == FIRST.run.id
    assert line.entry.outcome == "success"
    assert len(line.entry.tagmanifests) == 2
    assert_whole(store.root)


def test_a_broken_bag_without_its_line_goes_to_quarantine_and_says_why(
    store: Store,
) -> None:
    place = store.root / "toll/2026" / FIRST.bag
    shelf.pack(place, FIRST)
    (place / "data/metadata/capture.json").write_bytes(b"{}")
    (said,) = recovered(store)
    assert "data/metadata/capture.json" in said
    assert not place.exists()
    aside = store.root / ".muniment/quarantine" / FIRST.bag
    assert (aside / "data/metadata/capture.json").read_bytes() == b"{}"
    (line,) = store.log.read()
    assert (line.entry.act, line.entry.bag) == (Act.QUARANTINE, FIRST.bag)
    assert "not a whole bag" in line.entry.detail
    assert_whole(store.root)


def test_of_many_faults_some_are_told_and_the_rest_counted(store: Store) -> None:
    place = store.root / "toll/2026/bag"
    shelf.pack(place, FIRST)
    for number in range(20):
        (place / f"data/stray-{number}").write_text("stray")
    (said,) = recovered(store)
    assert said.count("stray-") <= 5
    assert " more" in said


def test_a_bag_that_is_logged_and_gone_is_told_of_until_it_is_back(
    held: Store,
) -> None:
    (bag,) = held.bags()
    away = bag.rename(held.root.parent / "away")
    for _ in range(2):
        (said,) = recovered(held)
        assert said.startswith(str(bag))
        assert "bring it back from a copy" in said
    assert held.catalogue.bags() == ()
    away.rename(bag)
    assert recovered(held) == ()
    assert len(held.catalogue.bags()) == 1
    assert acts(held) == [("accession", FIRST.bag)]


def test_a_bag_that_a_person_moved_is_checked_and_logged_where_it_is(
    held: Store,
) -> None:
    (bag,) = held.bags()
    new = held.root / "toll/2025" / bag.name
    new.parent.mkdir()
    bag.rename(new)
    (said,) = recovered(held)
    assert said.startswith(str(new))
    (holding,) = held.catalogue.bags()
    assert holding.bag.path == new
    assert recovered(held) == ()


def test_what_was_left_in_staging_goes_to_quarantine(store: Store) -> None:
    with store.lock("test"):
        (store.stage("half") / "file").write_text("half")
    (said,) = recovered(store)
    aside = store.root / ".muniment/quarantine/half"
    assert said.startswith(str(aside))
    assert (aside / "file").read_text() == "half"
    assert acts(store) == [("quarantine", "half")]
    assert_whole(store.root)


def test_what_stands_in_quarantine_without_a_line_is_logged_once(store: Store) -> None:
    (store.root / ".muniment/quarantine/what~2").mkdir()
    assert len(recovered(store)) == 1
    assert recovered(store) == ()
    assert acts(store) == [("quarantine", "what")]


def test_a_torn_line_is_set_aside_and_the_bag_it_told_of_logged_again(
    held: Store,
) -> None:
    log = held.root / ".muniment/custody.jsonl"
    log.write_bytes(log.read_bytes()[:-10])
    said = recovered(held)
    assert len(said) == 2
    assert [act for act, _ in acts(held)] == ["recovery", "quarantine"]
    assert_whole(held.root)


def test_a_damaged_log_stops_the_run_and_names_the_line(held: Store) -> None:
    with held.lock("test"):
        keep(held, SECOND)
    log = held.root / ".muniment/custody.jsonl"
    log.write_bytes(
        log.read_bytes().replace(b"toll", b"roll", 1).replace(b",", b" ", 1)
    )
    with pytest.raises(FixityError, match="line 1 "):
        recovered(held)


# --------------------------------------------------------------------------- catalogue


def index(store: Store) -> Path:
    return store.root / ".muniment/catalogue.sqlite"


def damage(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


@pytest.mark.parametrize("harm", [Path.unlink, damage], ids=["deleted", "damaged"])
def test_a_catalogue_that_is_lost_is_built_again_and_it_is_said(
    held: Store, harm: Callable[[Path], None]
) -> None:
    before = shelf.content(index(held))
    held.close()
    harm(index(held))
    assert len(held.catalogue.bags()) == 1
    assert "built again" in held.notes[0]
    assert shelf.content(index(held)) == before
    (said,) = recovered(held)
    assert said.endswith("(it was built again just now)")
    assert held.notes == ()


def test_a_catalogue_damaged_in_the_middle_is_built_again_by_the_next_run(
    held: Store,
) -> None:
    with sqlite3.connect(index(held)) as database:
        database.execute("DROP TABLE acts")
    database.close()
    (said,) = recovered(held)
    assert "acts" in said
    assert_whole(held.root)


def test_a_catalogue_that_fails_loses_no_bag(held: Store) -> None:
    with sqlite3.connect(index(held)) as database:
        database.execute("DROP TABLE captures")
    database.close()
    with held.lock("test"):
        place = keep(held, SECOND)
    assert validate(place).ok
    assert acts(held)[-1] == ("accession", SECOND.bag)
    assert "captures" in held.notes[0]
    recovered(held)
    assert_whole(held.root)


def test_a_catalogue_that_cannot_even_be_opened_loses_no_bag(store: Store) -> None:
    index(store).mkdir()
    with store.lock("test"):
        place = keep(store, FIRST)
    assert validate(place).ok
    assert acts(store) == [("accession", FIRST.bag)]
    assert all("catalogue.sqlite" in note for note in store.notes)


def test_a_log_that_the_catalogue_cannot_take_in_is_kept_all_the_same(
    held: Store,
) -> None:
    with sqlite3.connect(index(held)) as database:
        database.execute("DROP TABLE acts")
    database.close()
    with held.lock("test"):
        held.record(Entry(act=Act.ACCESS, at=samples.NOON, bag=FIRST.bag))
    assert acts(held)[-1] == ("access", FIRST.bag)
    assert "acts" in held.notes[0]


def test_a_catalogue_that_lags_behind_catches_up(held: Store) -> None:
    held.close()
    old = index(held).read_bytes()
    with held.lock("test"):
        keep(held, SECOND)
        keep(held, shelf.accession("third"))
    held.close()
    for path in index(held).parent.glob("catalogue*"):
        path.unlink()
    index(held).write_bytes(old)
    assert recovered(held) == ()
    assert len(held.catalogue.bags()) == 3
    assert_whole(held.root)


def test_a_catalogue_that_knows_more_than_the_log_is_built_again(held: Store) -> None:
    with held.lock("test"):
        keep(held, SECOND)
    log = held.root / ".muniment/custody.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    shutil.rmtree(held.root / "toll/2026" / SECOND.bag)
    (said,) = recovered(held)
    assert "knew more" in said
    assert_whole(held.root)


def test_a_bag_that_lost_its_declaration_is_told_of_and_stays(held: Store) -> None:
    (bag,) = held.bags()
    (bag / "bagit.txt").unlink()
    held.close()
    index(held).unlink()
    said = recovered(held)
    assert any("bagit.txt" in sentence for sentence in said)
    assert bag.exists()


def test_a_story_that_cannot_be_read_is_noted_and_the_bag_kept(store: Store) -> None:
    odd = shelf.accession(verdict=Verdict.CAPTURED)
    with store.lock("test"):
        staged = store.stage(odd.bag)
        bag = shelf.pack_bytes(staged, odd.bag, "data/metadata/capture.json", b"{")
        store.accession(staged, bag, job="toll", run="r", started=samples.NOON)
    assert "not JSON" in store.notes[0]
    assert len(store.catalogue.bags()) == 1


# ------------------------------------------------------------------------------ places


def test_an_archive_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(StorageError, match="expected a folder") as told:
        opened(tmp_path / "archive")
    assert told.value.exit == 3


def test_a_relative_path_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened(Path("archive")).root == tmp_path / "archive"


def test_opening_an_archive_writes_nothing_into_its_log(held: Store) -> None:
    before = held.log.path.read_bytes()
    opened(held.root)
    assert held.log.path.read_bytes() == before
