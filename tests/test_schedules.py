# ruff: noqa: F811 - fixtures come from another file
"""What comes round, as a person types it: due, run --due, schedule, tend."""

import json
from pathlib import Path

import pytest
from test_cli import bag_of, place, says, site  # noqa: F401 - fixtures

EVERY = "schedule: {every: 7d}\n"


@pytest.fixture
def kept(place: Path) -> Path:
    """A folder of manifests: one scheduled, one not."""
    folder = place / "manifests"
    folder.mkdir()
    good = (place / "good.yaml").read_text()
    (folder / "good.yaml").write_text(good + EVERY)
    (folder / "other.yaml").write_text(good.replace("id: case", "id: other"))
    return folder


@pytest.mark.usefixtures("kept")
def test_what_was_never_run_is_due(says):
    said = says("due", "manifests", "--json")
    assert said.status == 0
    (one,) = said.json["jobs"]
    assert (one["job"], one["due"], one["last"]) == ("case", True, None)
    assert said.json["unscheduled"] == ["other"]
    assert "it was never run" in says("due", "manifests").out


@pytest.mark.usefixtures("kept")
def test_what_is_due_is_run_and_then_is_not(says, site):
    said = says("run", "--due", "manifests", *site, "--json", "--quiet")
    assert said.status == 0, said.err
    assert said.json["job"] == "case"
    again = says("run", "--due", "manifests", *site, "--json", "--quiet")
    assert (again.status, again.json) == (0, {"runs": [], "exit": 0})
    assert "nothing is due" in says("run", "--due", "manifests", *site).out
    (one,) = says("due", "manifests", "--json").json["jobs"]
    assert (one["due"], one["why"]) == (False, "")


def test_a_wrong_manifest_is_told_and_the_others_run(says, kept, site):
    (kept / "bad.yaml").write_text("version: 7\n")
    said = says("run", "--due", "manifests", *site, "--json", "--quiet")
    assert said.status == 4
    assert said.json["job"] == "case"
    assert "bad.yaml" in said.err
    assert says("due", "manifests").status == 4


def test_a_run_that_comes_to_no_end_keeps_no_other_from_its_turn(
    says, kept, site, place
):
    text = (kept / "good.yaml").read_text()
    (kept / "aaa.yaml").write_text(text.replace("id: case", "id: aaa"))
    blocked = place / "archive" / "aaa"
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    said = says("run", "--due", "manifests", *site, "--json", "--quiet")
    assert said.status == 3
    assert [one["job"] for one in said.json["runs"]] == ["case"]
    assert [one["job"] for one in said.json["errors"]] == ["aaa"]


@pytest.mark.usefixtures("kept")
def test_beside_another_run_it_is_politely_refused(says, site, place):
    from pipeline.clock import SystemClock
    from pipeline.holdings.store import Store

    other = Store.open(place / "archive", SystemClock())
    with other.lock("run"):
        said = says("run", "--due", "manifests", *site, "--json", "--quiet")
        assert said.status == 9
        assert said.json["errors"][0]["code"] == "locked"
        said = says("tend", "manifests", *site, "--json", "--quiet")
        assert said.status == 9
    other.close()


# ------------------------------------------------------------------------------- timers


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("form", ["--systemd", "--cron"])
def test_a_timer_calls_tend_with_absolute_paths(says, place, form):
    said = says("schedule", "manifests", form, "--every", "1h")
    assert said.status == 0
    assert (
        f"--archive {place / 'archive'} tend {place / 'manifests'} --quiet" in said.out
    )


@pytest.mark.usefixtures("kept")
def test_units_are_written_where_one_says_and_over_nothing(says, place):
    (place / "units").mkdir()
    assert says("schedule", "manifests", "--systemd", "--into", "units").status == 0
    written = sorted(one.name for one in (place / "units").iterdir())
    assert written == ["muniment-tend.service", "muniment-tend.timer"]
    assert says("schedule", "manifests", "--systemd", "--into", "units").status == 2


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "words",
    [
        ("manifests",),
        ("manifests", "--cron", "--into", "x"),
        ("manifests", "--cron", "--every", "7m"),
        ("manifests", "--cron", "--every", "often"),
        ("absent", "--cron"),
    ],
    ids=["no form", "cron into", "an odd span", "no span", "no folder"],
)
def test_what_makes_no_timer_is_refused(words, says):
    assert says("schedule", *words).status == 2


# --------------------------------------------------------------------------------- tend


@pytest.mark.usefixtures("kept")
def test_an_upkeep_does_all_and_leaves_a_sign_of_life(says, site, place):
    said = says("tend", "manifests", *site, "--json", "--quiet")
    assert said.status == 0, said.err
    told = said.json
    assert [one["job"] for one in told["runs"]] == ["case"]
    assert (told["seals"], told["deposits"], told["errors"]) == ([], [], [])
    assert told["audit"]["bags_checked"] == 3
    sign = json.loads((place / "archive/.muniment/heartbeat.json").read_bytes())
    assert sign == {key: told[key] for key in ("begun", "ended", "exit")}


@pytest.mark.usefixtures("kept")
def test_damage_is_told_to_whoever_asked_and_lasts_until_it_is(says, site, place):
    (place / "muniment.toml").write_text('[notify]\nurl = "env:NOBODY_KNOWS"\n')
    assert says("tend", "manifests", *site, "--quiet").status == 0
    bag = bag_of(place / "archive", "page")
    (bag / "data/objects/capture.warc.gz").write_bytes(b"x")
    said = says("tend", "manifests", *site, "--json", "--quiet")
    assert said.status == 5
    assert (
        "not told to env:NOBODY_KNOWS: the environment has no NOBODY_KNOWS" in said.err
    )
    (waiting,) = (place / "archive/.muniment/outbox").iterdir()
    told = json.loads(waiting.read_bytes())
    assert told["occasion"] == "fixity"
    assert bag.name in told["lines"][0]


@pytest.mark.usefixtures("kept")
def test_one_part_that_fails_keeps_no_other_from_its_turn(says, site, place):
    (place / "muniment.toml").write_text('[seal]\nkey = "absent-folder/../bad.pem"\n')
    (place / "bad.pem").write_text("no key")
    said = says("tend", "manifests", *site, "--json", "--quiet")
    assert said.status != 0
    assert said.json["errors"]
    assert "audit" in said.json


@pytest.mark.usefixtures("kept")
def test_an_upkeep_without_an_audit_reads_no_bag(says, site):
    said = says("tend", "manifests", "--budget", "0s", *site, "--json", "--quiet")
    assert said.json["audit"] is None
