"""The roster: what stands in a folder, and what is wrong with it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import roster
from pipeline.errors import UsageError
from pipeline.model import Operator

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXT = """\
version: 1
id: {}
sources: {{a: http://a.example/}}
"""


def manifest(path: Path, name: str, more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT.format(name) + more)
    return path


def called(*places: Path) -> roster.Roster:
    return roster.call(map(str, places), operator=Operator(), environ={})


def names(it: roster.Roster) -> list[str]:
    return [one.id for one in it.manifests]


def test_a_folder_is_read_to_its_depth_in_order_and_no_further(tmp_path):
    for name in (
        "b.yaml",
        "a.yml",
        "deep/c.yaml",
        ".hidden/d.yaml",
        "e.txt",
        ".f.yaml",
    ):
        manifest(tmp_path / name, Path(name).stem.lstrip("."))
    assert names(called(tmp_path)) == ["a", "b", "c"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path):
    one = manifest(tmp_path / "a.yaml", "a")
    assert names(called(one, tmp_path, one)) == ["a"]


def test_a_manifest_that_is_wrong_keeps_no_other_from_its_turn(tmp_path):
    manifest(tmp_path / "a.yaml", "a")
    (tmp_path / "b.yaml").write_text("version: 2\n")
    it = called(tmp_path)
    assert names(it) == ["a"]
    assert not it.ok
    assert {one.file for one in it.problems} == {str(tmp_path / "b.yaml")}


def test_two_of_one_name_are_both_left_out_and_named(tmp_path):
    manifest(tmp_path / "a.yaml", "same")
    manifest(tmp_path / "b.yaml", "same")
    manifest(tmp_path / "c.yaml", "c")
    it = called(tmp_path)
    assert (names(it), it.ok) == (["c"], False)
    assert "a.yaml" in it.wrong[0]
    assert "b.yaml" in it.wrong[0]


def test_a_path_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        called(tmp_path / "absent")


def test_a_job_without_a_schedule_is_never_due(tmp_path):
    manifest(tmp_path / "a.yaml", "a")
    manifest(tmp_path / "b.yaml", "b", "schedule: {every: 1d}\n")
    it = called(tmp_path)
    standings = it.standings(None, NOW)
    assert [(one.job, one.is_due) for one in standings] == [("b", True)]
    assert [one.id for one in it.of(standings)] == ["b"]
    told = it.told(standings)
    assert told["unscheduled"] == ["a"]
    assert told["ok"] is True
