"""A sample of the crash sweep, and the model of the disk that it stands on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sweep
from pagecache import (
    Act,
    AnyOf,
    BytesAlone,
    Cut,
    Killed,
    Model,
    NamesAlone,
    NothingGoes,
    Recorder,
)

from pipeline.disk import Disk


@pytest.fixture(scope="module")
def site() -> Iterator[sweep.Site]:
    with sweep.site() as found:
        yield found


@pytest.fixture(scope="module")
def runs(site: sweep.Site) -> tuple[sweep.Trace, ...]:
    return sweep.traces(site)


def assert_kept(tally: sweep.Tally, least: int) -> None:
    assert tally.said == []
    assert tally.points >= least


def test_there_are_points_enough_to_sweep(runs: tuple[sweep.Trace, ...]) -> None:
    assert sum(1 for run in runs for _ in sweep.kills(run)) >= 2000


def test_a_killed_run_breaks_no_promise(site, runs) -> None:
    assert_kept(sweep.kill_sweep(site, runs, every=50), 40)


def test_a_power_cut_breaks_no_promise(site, runs) -> None:
    assert_kept(sweep.power_sweep(site, runs, every=120, seeds=1), 60)


def test_what_a_dropped_sync_or_a_moved_line_breaks_is_noticed(site, runs) -> None:
    assert_kept(sweep.mutation_sweep(site, runs[:2], every=29), 7)


@pytest.mark.parametrize("kind", [sweep.logged_early, sweep.acknowledged_early])
def test_a_moved_line_of_the_log_is_noticed(site, runs, kind) -> None:
    moved = next(kind(runs[0]))
    judge = sweep.Judge(site)
    assert sweep.notices(site, judge, moved, 0)


def test_a_fault_breaks_no_promise(site, runs) -> None:
    for tally in sweep.fault_sweep(site, [runs[1].base], every=45):
        assert_kept(tally, 1)


def test_a_process_that_is_killed_breaks_no_promise(site, runs) -> None:
    tally = sweep.process_sweep(site, len(runs[0].acts), points=1, side_by_side=2)
    assert_kept(tally, 1)


def test_the_model_is_what_stands_on_the_disk(site, runs, tmp_path: Path) -> None:
    root = site.folder / "beside"
    shutil.copytree(runs[0].base, root)
    recorder = Recorder(root)
    with recorder.recording():
        site.run(root, recorder.note)
    run = sweep.Trace("beside", runs[0].base, tuple(recorder.acts))
    sweep.Ended(run, len(run.acts)).leave(tmp_path / "state", Killed())
    assert tree(tmp_path / "state") == tree(root)


def tree(root: Path) -> dict[str, bytes | None]:
    found = {
        one.relative_to(root).as_posix(): one.read_bytes() if one.is_file() else None
        for one in root.rglob("*")
    }
    return {
        path: data
        for path, data in found.items()
        if not path.startswith((".muniment/lock", ".muniment/catalogue"))
    }


# ------------------------------------------------------------------------- the model


def left(acts: list[Act], cut: Cut, folder: Path) -> dict[str, bytes | None]:
    model = Model()
    for act in acts:
        model.do(act)
    model.state(folder / "state", cut)
    return tree(folder / "state")


WRITTEN = [Act("create", "a"), Act("write", "a", data=b"bytes")]
CUTS = {
    "nothing that was not synced": (WRITTEN, Cut(), {}),
    "all, where a process was killed": (WRITTEN, Killed(), {"a": b"bytes"}),
    "a name without its bytes": (WRITTEN, NamesAlone(), {"a": bytes(5)}),
    "a name that was synced, of bytes that were not": (
        [*WRITTEN, Act("sync", "")],
        Cut(),
        {"a": b""},
    ),
    "bytes that were synced, of no name": ([*WRITTEN, Act("sync", "a")], Cut(), {}),
    "both": ([*WRITTEN, Act("sync", "a"), Act("sync", "")], Cut(), {"a": b"bytes"}),
    "bytes with a name that was synced before": (
        [Act("create", "a"), Act("sync", ""), WRITTEN[1]],
        BytesAlone(),
        {"a": b"bytes"},
    ),
    "a name that was to go": (
        [Act("create", "a"), Act("sync", ""), Act("remove", "a")],
        Cut(),
        {"a": b""},
    ),
    "a folder under both its names": (
        [
            Act("mkdir", "x"),
            Act("mkdir", "y"),
            Act("mkdir", "x/a"),
            Act("sync", "x"),
            Act("sync", ""),
            Act("rename", "x/a", other="y/b"),
        ],
        NothingGoes(),
        {"x": None, "x/a": None, "y": None, "y/b": None},
    ),
}


@pytest.mark.parametrize(("acts", "cut", "expected"), CUTS.values(), ids=CUTS)
def test_a_cut_leaves(acts, cut, expected, tmp_path: Path) -> None:
    assert left(acts, cut, tmp_path) == expected


def test_a_rename_that_was_not_synced_keeps_one_name_or_the_other(
    tmp_path: Path,
) -> None:
    acts = [
        Act("mkdir", "x"),
        Act("create", "a"),
        Act("sync", "x"),
        Act("sync", ""),
        Act("rename", "a", other="x/b"),
    ]
    found = set()
    for seed in range(12):
        names = left(acts, AnyOf(seed), tmp_path)
        found.add(frozenset(names))
        shutil.rmtree(tmp_path / "state", ignore_errors=True)
    assert found == {frozenset({"x", "a"}), frozenset({"x", "x/b"})}


def test_acts_elsewhere_are_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    recorder = Recorder(tmp_path / "root")
    with recorder.recording():
        (tmp_path / "other").mkdir()
        Disk().rename(tmp_path / "other", tmp_path / "another")
    assert recorder.acts == []
