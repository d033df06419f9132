"""What the doctor sees, and that looking changes nothing."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import origins
import pytest
import shelf
from click.testing import CliRunner

from pipeline import cli, doctor
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.journal import Begun, Step
from pipeline.holdings.store import Store
from pipeline.model import Digest

ENVIRONMENT = (("python", "3"),)
SOME = Digest("sha256", "00" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An archive with one bag."""
    found = tmp_path / "archive"
    told = shelf.accession("first")
    with closing(Store.open(found, origins.FixedClock())) as store, store.lock("test"):
        bag = shelf.pack(store.stage(told.bag), told)
        store.accession(bag.path, bag, job="toll", run="run", started=told.run.started)
    return found


def own(root: Path) -> Path:
    return root / ".muniment"


def torn_log(root: Path) -> None:
    with (own(root) / "custody.jsonl").open("ab") as file:
        file.write(b'{"act":"acc')


def no_line(root: Path) -> None:
    lost = shelf.accession("lost")
    (root / "toll/2026" / lost.bag).mkdir()
    shelf.pack(root / "toll/2026" / lost.bag, lost)


def no_bag(root: Path) -> None:
    (bag,) = (root / "toll/2026").iterdir()
    bag.rename(root.parent / "elsewhere")


def half_done(root: Path) -> None:
    (own(root) / "staging/half/data").mkdir(parents=True)


def torn_journal(root: Path) -> None:
    (own(root) / "staging/toll_run.journal").write_bytes(b'{"format"')


def set_aside(root: Path) -> None:
    (own(root) / "quarantine/old").mkdir()


def stopped(root: Path) -> None:
    clock = origins.FixedClock()
    with closing(Store.open(root, clock)) as store, store.lock("test"):
        begun = Begun(
            run="toll_run_x",
            job="toll",
            started=clock.now(),
            manifest=SOME,
            plan=SOME,
            software="Muniment",
            order={},
            salts=(("a", "00"), ("b", "00")),
        )
        store.begin(begun).add(Step(source="a", staged="toll_a_x", digests=(SOME,)))


def no_catalogue(root: Path) -> None:
    (own(root) / "catalogue.sqlite").unlink()


def damaged_catalogue(root: Path) -> None:
    (own(root) / "catalogue.sqlite").write_bytes(b"no database, whatever it was" * 99)


def no_folder(root: Path) -> None:
    (own(root) / "quarantine").rmdir()


@dataclass(frozen=True)
class Case:
    harm: Callable[[Path], None]
    code: str
    ok: bool
    mended: bool = True


CASES = {
    "a torn line at the end of the log": Case(torn_log, "ledger-torn", ok=False),
    "a bag without a line": Case(no_line, "ledger-unlogged-bag", ok=False),
    "a line without a bag": Case(no_bag, "ledger-missing-bag", ok=False, mended=False),
    "what a run left half done": Case(half_done, "left-over", ok=True),
    "a journal torn in its first line": Case(torn_journal, "left-over", ok=True),
    "what was set aside": Case(set_aside, "quarantine", ok=True, mended=False),
    "a run that was stopped": Case(stopped, "stopped-run", ok=True, mended=False),
    "no catalogue": Case(no_catalogue, "catalogue", ok=True),
    "a damaged catalogue": Case(damaged_catalogue, "catalogue", ok=True),
    "a folder that is not there": Case(no_folder, "no-folder", ok=True),
}


def everything(root: Path) -> dict[str, bytes]:
    return {
        one.relative_to(root).as_posix(): one.read_bytes() if one.is_file() else b""
        for one in root.rglob("*")
        if not one.name.endswith(("-shm", "-wal"))  # of whoever reads the catalogue
    }


def codes(root: Path) -> set[str]:
    seen = doctor.look(root, environment=ENVIRONMENT)
    return {one.code for one in seen.signs} - {"space"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_wrong_is_seen_and_nothing_is_written(root: Path, case: Case) -> None:
    case.harm(root)
    before = everything(root)
    seen = doctor.look(root, environment=ENVIRONMENT)
    assert case.code in {one.code for one in seen.signs}
    assert seen.ok is case.ok
    assert everything(root) == before


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_can_be_mended_is_mended(root: Path, case: Case) -> None:
    case.harm(root)
    with closing(Store.open(root, origins.FixedClock())) as store:
        doctor.repair(store)
    assert (case.code not in codes(root)) is case.mended


def test_a_catalogue_that_lags_behind_is_seen(root: Path) -> None:
    clock = origins.FixedClock()
    with closing(Store.open(root, clock)) as store, store.lock("test"):
        store.log.append(Entry(act=Act.ACCESS, at=clock.now(), bag="first"))
    assert codes(root) == {"catalogue"}


def test_a_disk_that_is_nearly_full_or_read_only_is_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "SCARCE", 1 << 80)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    seen = doctor.look(root, environment=ENVIRONMENT)
    assert {one.code for one in seen.signs} == {"space", "read-only"}


def test_a_lock_file_of_odd_words_names_nobody(root: Path) -> None:
    (own(root) / "lock").write_bytes(b"[]")
    assert doctor.look(root, environment=ENVIRONMENT).archive["holder"] == ""


def test_an_archive_that_is_well_is_told_so(root: Path) -> None:
    assert codes(root) == set()


def test_a_folder_without_an_archive_is_told(tmp_path: Path) -> None:
    assert codes(tmp_path / "none") == {"no-archive"}
    assert not (tmp_path / "none").exists()


def test_a_stopped_run_is_told_with_how_far_it_came(root: Path) -> None:
    stopped(root)
    (told,) = doctor.look(root, environment=ENVIRONMENT).archive["stopped"]
    assert told == {"run": "toll_run_x", "job": "toll", "done": 1, "sources": 2}


def test_whoever_holds_the_archive_is_named(root: Path) -> None:
    with (
        closing(Store.open(root, origins.FixedClock())) as store,
        store.lock("run toll"),
    ):
        seen = doctor.look(root, environment=ENVIRONMENT)
    assert str(seen.archive["holder"]).startswith("run toll (process ")


def test_a_part_that_is_not_installed_has_no_version() -> None:
    assert doctor.version_of("muniment-has-no-such-part") == ""
    assert doctor.version_of("click")


def run(root: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        cli.app, ["--archive", str(root), *words], standalone_mode=False
    )
    return int(done.return_value or 0), done.stdout


def test_the_command_tells_and_repairs(root: Path) -> None:
    torn_log(root)
    status, said = run(root, "doctor")
    assert status == 5
    assert "ledger-torn" in said
    status, said = run(root, "doctor", "--repair")
    assert status == 0
    assert "repaired: " in said
    assert run(root, "doctor")[0] == 0


def test_the_command_tells_it_as_json(root: Path) -> None:
    status, said = run(root, "--json", "doctor")
    told = json.loads(said)
    assert status == 0
    assert told["ok"] is True
    assert told["archive"]["bags"] == 1
    assert set(told["extras"]) == set(doctor.EXTRAS)
