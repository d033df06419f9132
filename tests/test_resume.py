"""A run that was stopped, and the command that goes on with it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace
from origins import Origin
from test_job import HEAD, PAGES, Desk, Heard, metadata, warc_of

from pipeline import job, resume
from pipeline.errors import InterruptedRunError
from pipeline.holdings.custody import Act, Entry
from pipeline.holdings.journal import Journal
from pipeline.model import Capture, Change, Verdict
from pipeline.outcome import Kept
from pipeline.packaging.validate import validate
from pipeline.warc import read

FOUR = """\
sources:
  page: http://one.example/page
  gone: http://one.example/gone
  cut: http://one.example/cut
  last: http://one.example/last
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Origin({**PAGES, "/last": PAGES["/page"]}) as origin:
        yield Desk(root=tmp_path, origin=origin)


class Stopping(Heard):
    """Stops the run when so many sources are kept."""

    def __init__(self, after: int, stop: Callable[[], None]) -> None:
        super().__init__()
        self.after = after
        self.stop = stop

    def kept(self, capture: Capture, change: Change) -> None:
        super().kept(capture, change)
        if len(self.outcomes) == self.after:
            self.stop()


def interrupt() -> None:
    raise KeyboardInterrupt


def stopped(desk: Desk, after: int, sources: str = FOUR, **order: object) -> str:
    """Run until so many sources are kept; return what is said of the stop."""
    with (
        closing(desk.network()) as network,
        closing(desk.store()) as store,
        pytest.raises(InterruptedRunError) as told,
    ):
        job.run(
            desk.manifest(sources),
            order=job.Order(workers=1, **order),
            store=store,
            network=network,
            progress=Stopping(after, interrupt),
        )
    return str(told.value)


def asked(desk: Desk) -> list[str]:
    """What was asked of the server since this was last called."""
    found = [one for one in desk.origin.requests if one != "/robots.txt"]
    desk.origin.requests.clear()
    return found


@pytest.mark.parametrize("after", [1, 2, 3])
def test_the_same_command_goes_on_and_asks_for_nothing_twice(
    desk: Desk, after: int
) -> None:
    said = stopped(desk, after)
    asked(desk)
    made = desk.bags()
    assert f"with {len(made)} of 4 sources done" in said
    assert len(made) == after
    outcome = desk.run(FOUR)
    done = {f"/{bag.name.split('_')[1]}" for bag in made}
    assert not done & set(asked(desk))
    (going_on,) = (one for one in desk.heard.sentences if "going on with" in one)
    assert f"{len(made)} of 4 sources were done and are not visited again" in going_on
    assert outcome.told["run"] in going_on
    assert [one["id"] for one in outcome.told["sources"]] == ["page", "gone", "cut", "last"]  # fmt: skip
    assert {Path(one["path"]) for one in outcome.told["bags"]} >= set(made)
    assert len(desk.bags()) == 5
    assert all(validate(bag).ok for bag in desk.bags())
    assert desk.own("staging") == []
    assert len(outcome.told["resumed"]) == 1


def test_what_a_run_says_does_not_depend_on_its_having_been_stopped(desk: Desk) -> None:
    stopped(desk, 3)
    going_on = desk.run(FOUR).told
    whole = Desk(root=desk.root / "other", origin=desk.origin)
    whole.root.mkdir()
    straight = whole.run(FOUR).told
    for told in (going_on, straight):
        for one in told["sources"]:
            one["bag"] = bool(one["bag"])
    assert going_on["sources"] == straight["sources"]
    assert going_on["counts"] == straight["counts"]
    assert going_on["exits"] == straight["exits"]


def test_every_bag_of_a_run_that_went_on_names_one_plan(desk: Desk) -> None:
    stopped(desk, 2)
    outcome = desk.run(FOUR)
    plans = {
        dict(line.split(b": ", 1) for line in first.block.splitlines())[b"plan-digest"]
        for bag in desk.bags()
        if bag != outcome.run_bag
        for first in [next(read(warc_of(bag)))]
    }
    assert len(plans) == 1


def test_a_stop_at_the_last_source_leaves_only_the_bag_of_the_run_to_make(
    desk: Desk,
) -> None:
    stopped(desk, 4)
    asked(desk)
    assert desk.run(FOUR).told["counts"] == {
        "refused": 1,
        "partial": 1,
        "captured": 2,
    }
    assert asked(desk) == []


def test_a_run_may_be_stopped_again_and_again(desk: Desk) -> None:
    for after in (1, 1):
        stopped(desk, after)
    outcome = desk.run(FOUR)
    assert len(outcome.told["resumed"]) == 2
    assert len(desk.bags()) == 5


def test_an_unchanged_visit_outlives_a_stop(desk: Desk) -> None:
    desk.run(FOUR)
    stopped(desk, 1)
    assert asked(desk).count("/page") == 2
    outcome = desk.run(FOUR)
    assert "/page" not in asked(desk)
    assert outcome.told["counts"]["unchanged"] == 2
    revisits = [one for one in read(warc_of(outcome.run_bag)) if one.type == "revisit"]
    assert [one.field("WARC-Target-URI") for one in revisits] == [
        "http://one.example/page",
        "http://one.example/last",
    ]
    assert b"http://one.example/page" in metadata(outcome.run_bag, "index.cdxj")
    assert validate(outcome.run_bag).ok


def damage(desk: Desk, what: str) -> None:
    (staged,) = (desk.archive / ".muniment/staging").glob("case_page*")
    warc = warc_of(staged)
    match what:
        case "torn":
            warc.write_bytes(warc.read_bytes()[:-7])
        case "emptied":
            warc.write_bytes(b"")
        case "gone":
            warc.unlink()
        case "changed":
            warc.write_bytes(warc.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("what", ["torn", "emptied", "gone", "changed"])
def test_an_unchanged_visit_whose_warc_is_not_what_it_was_is_made_again(
    desk: Desk, what: str
) -> None:
    desk.run(FOUR)
    stopped(desk, 1)
    damage(desk, what)
    asked(desk)
    outcome = desk.run(FOUR)
    assert "/page" in asked(desk)
    assert outcome.told["counts"]["unchanged"] == 2
    assert any("case_page" in name for name in desk.own("quarantine"))
    assert desk.own("staging") == []


def test_a_half_fetched_source_is_fetched_anew_and_its_rest_is_set_aside(
    desk: Desk,
) -> None:
    stopped(desk, 1)
    half = desk.archive / ".muniment/staging/case_gone_half"
    (half / "data/objects").mkdir(parents=True)
    (half / "data/objects/capture.warc.gz").write_bytes(b"\x1f\x8b\x08\0torn")
    outcome = desk.run(FOUR)
    assert "case_gone_half" in desk.own("quarantine")
    assert len(outcome.told["bags"]) == 4
    with closing(desk.store()) as store:
        acts = [(one.entry.act, one.entry.path) for one in store.log.read()]
    assert (Act.QUARANTINE, ".muniment/quarantine/case_gone_half") in acts


def test_a_bag_that_was_packed_and_not_accessioned_is_accessioned(desk: Desk) -> None:
    class Dying(BaseException):
        pass

    class Store(type(desk.store())):
        def accession(self, *_: object, **__: object) -> Path:
            raise Dying

    with closing(desk.network()) as network, pytest.raises(Dying):
        store = desk.store()
        store.__class__ = Store
        with closing(store):
            job.run(
                desk.manifest(FOUR),
                order=job.Order(workers=1),
                store=store,
                network=network,
                progress=Heard(),
            )
    assert desk.bags() == []
    asked(desk)
    outcome = desk.run(FOUR)
    assert "/page" not in asked(desk)
    assert len(outcome.told["bags"]) == 4
    assert all(validate(bag).ok for bag in desk.bags())


def test_a_seal_that_a_run_died_before_logging_is_logged_once(desk: Desk) -> None:
    stopped(desk, 1)
    (bag,) = desk.bags()
    clock = desk.clock
    line = Entry(
        act=Act.SEAL, at=clock.now(), bag=bag.name, path="p", detail="sha256:0"
    )
    with closing(desk.store()) as store, store.lock("test"):
        (journal,) = store.journals()
        (step,) = journal.steps
        journal.add(replace(step, entries=(line,)))
        store.recover()
        store.recover()
        seals = [one for one in store.log.read() if one.entry.act is Act.SEAL]
    assert [one.entry.bag for one in seals] == [bag.name]


def test_another_manifest_gives_the_stopped_run_up(desk: Desk) -> None:
    stopped(desk, 1)
    made = desk.bags()
    outcome = desk.run(FOUR + "  more: http://two.example/page\n")
    assert any(
        "is given up: the manifest has changed since" in one
        for one in desk.heard.sentences
    )
    assert len(outcome.told["bags"]) + len(outcome.told["sources"]) > 5
    assert set(made) <= set(desk.bags())
    assert any(name.endswith(".journal") for name in desk.own("quarantine"))
    assert desk.own("staging") == []


def test_fresh_begins_anew(desk: Desk) -> None:
    stopped(desk, 1)
    asked(desk)
    outcome = desk.run(FOUR, fresh=True)
    assert "/page" in asked(desk)
    assert outcome.told["resumed"] == []
    assert any("this command begins anew" in one for one in desk.heard.sentences)


def test_a_command_with_other_options_lets_the_stopped_run_wait(desk: Desk) -> None:
    stopped(desk, 1)
    other = desk.run(FOUR, only=("last",))
    assert [one["id"] for one in other.told["sources"]] == ["last"]
    assert any("waits for a command with its own" in one for one in desk.heard.sentences)  # fmt: skip
    asked(desk)
    desk.run(FOUR)
    assert asked(desk).count("/page") == 0
    assert desk.own("staging") == []


def test_a_run_of_another_job_leaves_a_stopped_run_alone(desk: Desk) -> None:
    stopped(desk, 1)
    desk.run(FOUR, head=HEAD.replace("id: case", "id: other"))
    assert [one for one in desk.own("staging") if one.endswith(".journal")]
    asked(desk)
    desk.run(FOUR)
    assert "/page" not in asked(desk)


def test_a_bag_that_went_missing_meanwhile_is_fetched_anew(desk: Desk) -> None:
    stopped(desk, 1)
    bag = next(bag for bag in desk.bags() if "page" in bag.name)
    bag.rename(desk.root / "elsewhere")
    asked(desk)
    outcome = desk.run(FOUR)
    assert "/page" in asked(desk)
    assert len(outcome.told["bags"]) == 4


def test_an_archive_that_was_moved_meanwhile_is_told_where_it_is(desk: Desk) -> None:
    stopped(desk, 1)
    moved = Desk(root=desk.root / "moved", origin=desk.origin)
    moved.root.mkdir()
    desk.archive.rename(moved.archive)
    outcome = moved.run(FOUR)
    assert all(Path(one["path"]).is_dir() for one in outcome.told["bags"])


# ---------------------------------------------------------------------------- choosing


def ask(desk: Desk, **changes: object) -> resume.Ask:
    read_in = desk.manifest(FOUR)
    return replace(job.asked(read_in, read_in.sources, job.Order()), **changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"software": "Muniment 9"}, "Muniment 9"),
        ({"is_fresh": True}, "begins anew"),
        ({"is_strict": True, "sources": ()}, "does not come out the same"),
    ],
)
def test_a_run_that_could_not_be_gone_on_with_truly_is_given_up(
    desk: Desk, changes: dict, why: str
) -> None:
    stopped(desk, 1)
    with closing(desk.store()) as store:
        (journal,) = store.journals()
    choice = resume.choose(ask(desk, **changes), [journal])
    assert choice.journal is None
    assert choice.abandoned == {journal.begun.run}
    assert why in choice.said[0]


def test_a_source_that_is_kept_is_told_and_read_alike() -> None:
    one = Kept(
        source="page",
        verdict=Verdict.CAPTURED,
        told={"id": "page"},
        bag={"id": "b", "tagmanifest": {"sha256": "00"}},
        clocks=(("192.0.2.1", 0.5),),
    )
    assert Kept.parse(one.json()) == one


# ------------------------------------------------------------------------- real deaths


@pytest.fixture
def command(tmp_path: Path) -> Iterator["Command"]:
    asked, may_go = threading.Event(), threading.Event()

    def late(connection) -> None:
        asked.set()
        may_go.wait(120)
        connection.sendall(PAGES["/page"])

    with Origin({**PAGES, "/slow": late}) as origin:
        (tmp_path / "case.yaml").write_text(
            "version: 1\nid: case\n"
            "defaults: {robots: ignore, delay: 0s, requisite_delay: 0s}\n"
            "sources:\n  page: http://one.example/page\n"
            "  slow: http://one.example/slow\n"
        )
        yield Command(tmp_path, origin, asked, may_go)
        may_go.set()


@dataclass
class Command:
    """The command itself, in a process that can be killed."""

    root: Path
    origin: Origin
    asked: threading.Event
    may_go: threading.Event

    def begin(self) -> "subprocess.Popen[str]":
        # What we are told to ignore (nohup), it would ignore as well.
        hung_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            return self._begun()
        finally:
            signal.signal(signal.SIGHUP, hung_up)

    def _begun(self) -> "subprocess.Popen[str]":
        rule = f"one.example:80:127.0.0.1:{self.origin.port}"
        words = ["run", "case.yaml", "--archive", "archive", "--connect-to", rule]
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *words],
            cwd=self.root,
            env=os.environ
            | {
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "XDG_CONFIG_HOME": str(self.root),
            },
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )


DEATHS = {
    "SIGINT": ([signal.SIGINT], 11),
    "SIGTERM": ([signal.SIGTERM], 11),
    "SIGHUP": ([signal.SIGHUP], 11),
    "SIGINT twice": ([signal.SIGINT, signal.SIGINT], 11),
    "SIGTERM, then SIGINT": ([signal.SIGTERM, signal.SIGINT], 11),
    "SIGKILL": ([signal.SIGKILL], -9),
}


@pytest.mark.parametrize(("signals", "status"), DEATHS.values(), ids=DEATHS)
def test_however_a_command_is_ended_the_same_command_goes_on(
    command: Command, signals: list[signal.Signals], status: int
) -> None:
    with command.begin() as first:
        assert first.stderr is not None
        assert any("page: captured" in line for line in first.stderr)
        assert command.asked.wait(120)
        for at, number in enumerate(signals):
            first.send_signal(number)
            if number is not signal.SIGKILL and at == 0:
                assert any("stopping" in line for line in first.stderr)
        if len(signals) == 1:
            command.may_go.set()
        first.communicate(timeout=120)
    assert first.returncode == status
    command.may_go.set()
    with command.begin() as second:
        _, said = second.communicate(timeout=120)
    assert second.returncode == 0
    assert "going on with case_run_" in said
    assert command.origin.requests.count("/page") == 1


def test_a_journal_that_is_torn_in_its_first_line_is_set_aside(desk: Desk) -> None:
    stopped(desk, 1)
    (path,) = (desk.archive / ".muniment/staging").glob("*.journal")
    path.write_bytes(path.read_bytes()[:40])
    desk.run(FOUR)
    assert path.name in desk.own("quarantine")


def test_a_journal_goes_on_behind_its_last_whole_line(desk: Desk) -> None:
    stopped(desk, 2)
    (path,) = (desk.archive / ".muniment/staging").glob("*.journal")
    with path.open("ab") as file:
        file.write(b'{"source":"cut","sta')
    journal = Journal.read(path)
    assert [one.source for one in journal.steps] == ["page", "gone"]
    outcome = desk.run(FOUR)
    assert len(outcome.told["bags"]) == 4
