"""An audit finds what is wrong, all of it and nothing else, and goes on where it was."""

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import ledgers
import pytest
import shelf
from auditing import Ear, audited, build, copied, opened, spoil, wrong
from msgspec.structs import replace

from pipeline import auditpage, coherence
from pipeline.balance import Scope, findings_json, head_json
from pipeline.errors import Exit
from pipeline.holdings import checks
from pipeline.holdings.custody import Act, Log
from pipeline.holdings.database import Database
from pipeline.holdings.survey import Survey
from pipeline.inspection import Standard, Task, inspected


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("template") / "archive"
    build(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "archive"))


def bags_of(root: Path) -> list[Path]:
    with closing(opened(root)) as store:
        return list(store.bags())


def lines(root: Path) -> list:
    return [one.entry for one in Log(ledgers.log_of(root)).read()]


# ----------------------------------------------------------------------- what is found


def test_a_sound_archive_is_sound(root: Path) -> None:
    told = audited(root)
    assert (told.ok, told.exit, told.checked, told.kept) == (True, Exit.OK, 4, 4)
    assert wrong(told) == {}
    assert told.findings == ()


def unlog(root: Path) -> None:
    """Put in a bag that no line of the log names."""
    bag = bags_of(root)[0]
    shutil.copytree(bag, bag.with_name("toll_strange_20260101t000000z"))


def swap(root: Path) -> None:
    """Put another whole bag in the place of one."""
    first, second = bags_of(root)[:2]
    shutil.rmtree(first)
    shutil.copytree(second, first)


def drop_seal(root: Path) -> None:
    """Log a seal that is not there."""
    with closing(opened(root)) as store, store.lock("test"):
        bag = bags_of(root)[0]
        (entry, *_) = lines(root)
        digest = f"sha256:{'ab' * 32}"
        store.record(
            replace(
                entry,
                act=Act.SEAL,
                path=f"toll/2026/{bag.name}/seal-0001.json.p7s",
                tagmanifests=(),
                detail=f"{digest} sha256:{'cd' * 32}",
            )
        )


HARM = {
    "a changed byte": (lambda root: spoil(bags_of(root)[1]), "digest-mismatch"),
    "a lost file": (
        lambda root: (bags_of(root)[1] / "data/objects/rendered/page.txt").unlink(),
        "missing-file",
    ),
    "a lost bag": (lambda root: shutil.rmtree(bags_of(root)[0]), "ledger-missing-bag"),
    "a strange bag": (unlog, "ledger-unlogged-bag"),
    "another bag in its place": (swap, "ledger-mismatch"),
    "a seal that is gone": (drop_seal, "seal-removed"),
    "a bag that is no bag": (
        lambda root: (bags_of(root)[2] / "bagit.txt").unlink(),
        "not-a-bag",
    ),
}


@pytest.mark.parametrize(("harm", "code"), HARM.values(), ids=HARM)
def test_what_is_wrong_with_a_bag_is_found(harm, code: str, root: Path) -> None:
    harm(root)
    told = audited(root)
    assert [code in codes for codes in wrong(told).values()] == [True]
    assert (told.ok, told.exit, told.wrong) == (False, Exit.FIXITY, 1)


def cut_line(root: Path) -> None:
    ledgers.change(root, lambda all_: all_[:1] + all_[2:])


def tear(root: Path) -> None:
    ledgers.change(root, lambda all_: [*all_, b'{"act":'])


def spoil_record(root: Path) -> None:
    told = audited(root)
    path = root / told.records[0]
    path.write_bytes(path.read_bytes().replace(b'"ok":true', b'"ok":false', 1))


def lose_record(root: Path) -> None:
    (root / audited(root).records[0]).unlink()


def misname(root: Path) -> None:
    database = Database.open(root / ".muniment/catalogue.sqlite")
    database.ask(f"UPDATE bags SET tagmanifests = 'sha256:{'0' * 64}'")
    database.close()


ARCHIVE = {
    "a line taken out": (cut_line, "ledger-gap"),
    "a torn end": (tear, "ledger-torn"),
    "a record that was changed": (spoil_record, "ledger-checks"),
    "a record that is gone": (lose_record, "ledger-checks"),
    "a catalogue that says otherwise": (misname, "catalogue"),
}


@pytest.mark.parametrize(("harm", "code"), ARCHIVE.values(), ids=ARCHIVE)
def test_what_is_wrong_with_the_archive_itself_is_found(harm, code, root: Path) -> None:
    harm(root)
    told = audited(root)
    errors = {one.code for one in told.findings if one.severity == "error"}
    assert errors == {code}
    assert told.exit is Exit.FIXITY


def remove_index(root: Path) -> None:
    (root / ".muniment/catalogue.sqlite").unlink()


def forget_a_bag(root: Path) -> None:
    with closing(opened(root)) as store:
        store.catalogue.remove(bags_of(root)[0].name)


STALE = {"no catalogue": remove_index, "a catalogue that lacks a bag": forget_a_bag}


@pytest.mark.parametrize("harm", STALE.values(), ids=STALE)
def test_a_stale_catalogue_is_a_warning(harm, root: Path) -> None:
    harm(root)
    told = audited(root)
    assert [(one.code, one.severity) for one in told.findings] == [
        ("catalogue", "warning")
    ]
    assert told.exit is Exit.OK


def test_only_the_first_of_many_like_it_is_told_and_the_rest_counted(root) -> None:
    survey, _ = Survey.of(root)
    here = [f"toll/2026/{n}" for n in range(100)]
    with closing(opened(root)) as store:
        found = list(coherence.findings(store, survey, here))
    assert len(found) == coherence.MOST + 1
    assert "and 80 more like these" in found[-1].message


def test_exactly_the_damaged_of_many_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    bags = build(root, 200)
    harmed = {bags[n] for n in (0, 17, 99, 150, 199)}
    for bag in harmed:
        spoil(bag)
    told = audited(root, processes=2)
    assert set(wrong(told)) == {bag.name for bag in harmed}
    assert (told.checked, told.wrong) == (200, 5)
    failures = [one for one in lines(root) if one.outcome == "failure" and one.bag]
    assert {one.bag for one in failures} == {bag.name for bag in harmed}


# ---------------------------------------------------------------------------- choosing


def heard(root: Path, **options: object) -> list[str]:
    ear = Ear()
    audited(root, ear=ear, **options)
    return [one.path for one in ear.heard]


def test_those_unchecked_for_longest_come_first(root: Path) -> None:
    everything = heard(root)
    clock = Stopping(after=2)
    first = heard(root, stops=clock.asked)
    rest = heard(root)
    assert first == everything[:2]
    assert rest == [*everything[2:], *everything[:2]]


class Stopping:
    """Asks for an end after so many questions."""

    def __init__(self, after: int) -> None:
        self.left = after

    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_an_audit_that_is_stopped_logs_what_it_did_and_says_so(root: Path) -> None:
    told = audited(root, stops=Stopping(after=3).asked)
    assert (told.checked, told.exit) == (3, Exit.INTERRUPTED)
    assert len((root / told.records[0]).read_bytes().splitlines()) == 1 + 3


def test_damage_weighs_more_than_an_interruption(root: Path) -> None:
    shutil.rmtree(bags_of(root)[3])
    told = audited(root, stops=Stopping(after=2).asked)
    assert told.exit is Exit.FIXITY


class Counting(shelf.TickingClock):
    """A clock on which a second passes with every look."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


def test_a_budget_ends_an_audit_and_the_next_goes_on(root: Path) -> None:
    with closing(opened(root)) as store:
        store.clock = clock = Counting()
        scope = Scope(budget=timedelta(seconds=4))
        told = audited(root, store=store, scope=scope)
        assert told.exit is Exit.OK
        assert 0 < told.checked < told.chosen
        assert clock.seconds
    left = "left to the next audit"
    assert left in auditpage.scope_sentence(told)


def test_a_sample_is_the_same_by_the_same_seed(root: Path) -> None:
    def sample(seed: str) -> list[str]:
        return sorted(heard(root, scope=Scope(percent=50, seed=seed)))

    assert sample("a") == sample("a")
    assert {tuple(sample(seed)) for seed in "abcdefgh"} != {tuple(sample("a"))}
    assert len(sample("a")) == 2


def test_what_is_gone_is_told_by_every_sample(root: Path) -> None:
    shutil.rmtree(bags_of(root)[0])
    for seed in "abcd":
        told = audited(root, scope=Scope(percent=25, seed=seed))
        assert told.wrong == 1


# ----------------------------------------------------------------------------- history


def test_every_check_is_in_the_history_and_rebuilt_with_the_catalogue(root) -> None:
    name = bags_of(root)[1].name
    audited(root)
    spoil(bags_of(root)[1])
    audited(root)
    with closing(opened(root)) as store:
        told = store.catalogue.checks(name)
        store.rebuild()
        assert store.catalogue.checks(name) == told
    assert [one.ok for one in told] == [True, False]


def test_an_audit_of_sound_bags_is_one_line_of_the_log(root: Path) -> None:
    before = len(lines(root))
    audited(root)
    (line,) = lines(root)[before:]
    assert line.act is Act.FIXITY_CHECK
    assert line.detail.endswith("4 checked, 0 wrong")


def test_a_record_without_a_line_is_logged_by_the_next_recovery(root: Path) -> None:
    with closing(opened(root)) as store, store.lock("test"):
        one = checks.Checked(bag="b", path="toll/2026/b", at=store.clock.now())
        store.checks.keep([one], store.clock)
        store.recover()
        assert [one.ok for one in store.catalogue.checks("b")] == [True]
    assert checks.is_record(lines(root)[-1])
    assert audited(root).ok


def test_a_record_that_is_none_of_ours_is_passed_over(root: Path) -> None:
    audited(root)
    (root / ".muniment/checks/zz.jsonl").write_bytes(b"{}\n")
    before = lines(root)
    with closing(opened(root)) as store, store.lock("test"):
        store.recover()
    assert lines(root) == before


def test_a_damaged_record_costs_its_history_alone(root: Path) -> None:
    spoil_record(root)
    with closing(opened(root)) as store:
        (remark,) = store.rebuild()
        assert "expected the record of fixity checks" in remark
        assert len(store.catalogue.bags()) == 4


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"bag": 1}', b"\xff", b"null"])
def test_a_line_that_is_no_check_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"no fixity check|Expecting|can't decode"):
        checks.parse_line(line)


def test_a_line_of_a_record_says_what_was_written(root: Path) -> None:
    spoil(bags_of(root)[0])
    told = audited(root)
    (one,) = told.troubled.wrong()
    assert checks.parse_line(checks.line_of(one)) == one


def test_records_are_closed_before_they_are_long(root: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.audit.BATCH", 3)
    told = audited(root)
    assert len(told.records) == 2
    assert len(lines(root)) == 4 + 2


# --------------------------------------------------------------------------- the lock


def test_an_audit_beside_a_run_tells_all_and_logs_nothing(root: Path) -> None:
    spoil(bags_of(root)[0])
    before = lines(root)
    with closing(opened(root)) as other, other.lock("run toll"):
        told = audited(root)
    assert "run toll" in told.unlogged
    assert set(told.exits) == {Exit.FIXITY, Exit.RETRY}
    assert told.exit is Exit.FIXITY
    assert lines(root) == before


def test_nobody_is_kept_waiting_while_bags_are_read(root: Path) -> None:
    free = []

    class Trying(Ear):
        def checked(self, one) -> None:
            with closing(opened(root)) as other, other.lock("run toll"):
                free.append(one.path)

    audited(root, ear=Trying())
    assert len(free) == 4


# ------------------------------------------------------------------------- in processes


def tasks(root: Path) -> list[Task]:
    survey, _ = Survey.of(root)
    return [
        Task(bag=one.bag, path=path, tagmanifests=one.tagmanifests)
        for path, one in survey.bags.items()
    ]


def test_several_processes_find_what_one_finds(root: Path) -> None:
    spoil(bags_of(root)[2])
    standard = Standard(root=root, at=shelf.TickingClock().now())

    def found(processes: int) -> list:
        told = inspected(tasks(root) * 6, standard, processes=processes)
        return sorted(told, key=lambda one: one.path)

    assert found(2) == found(1)


# ---------------------------------------------------------------------------- telling


def test_the_document_is_told_finding_by_finding(root: Path) -> None:
    spoil(bags_of(root)[0])
    told = audited(root)
    document = {**head_json(told), "findings": list(findings_json(told))}
    assert json.loads(json.dumps(document)) == document
    assert (document["bags_checked"], document["ok"], document["exit"]) == (4, False, 5)
    assert {one["bag"] for one in document["findings"]} == {bags_of(root)[0].name}


@dataclass
class Page:
    """An archive, and the words on its page."""

    harm: object
    words: tuple[str, ...]
    scope: Scope | None = None


PAGES = {
    "nothing wrong": Page(lambda _: None, ("4 bags checked, none wrong",)),
    "a damaged bag": Page(
        lambda root: spoil(bags_of(root)[0]),
        ("1 of 4 checked bags is wrong", "data/objects/rendered/page.txt"),
    ),
    "a wrong log": Page(cut_line, ("1 of 4 checked bags is wrong", "ledger-gap")),
    "a wrong record": Page(spoil_record, ("own records: 1 error", "ledger-checks")),
    "a stale catalogue": Page(forget_a_bag, ("none wrong", "does not list this bag")),
    "a sample": Page(
        lambda _: None,
        ("a sample of 50%, seed x", "nothing is said of them here"),
        Scope(percent=50, seed="x"),
    ),
    "a budget": Page(
        lambda _: None,
        ("in at most 1 hour 30 minutes, longest unchecked first",),
        Scope(budget=timedelta(minutes=90)),
    ),
}


@pytest.mark.parametrize("case", PAGES.values(), ids=PAGES)
def test_the_page_says(case: Page, root: Path) -> None:
    case.harm(root)
    told = audited(root, scope=case.scope)
    page = "".join(auditpage.page(told, software="Muniment"))
    assert [words in page for words in case.words] == [True] * len(case.words)
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page


def test_warnings_are_summed_up_by_kind(root: Path) -> None:
    for bag in bags_of(root)[:3]:
        (bag / "note.txt").write_bytes(b"unlisted")
    told = audited(root)
    (warned,) = [
        one for one in told.troubled.warnings() if one.first.code == "tag-unlisted-file"
    ]
    assert (warned.bags, warned.findings) == (3, 6)  # by both manifests
    assert "Warnings, by kind" in "".join(auditpage.page(told, software="M"))


def test_a_copy_of_an_archive_can_be_audited(root: Path) -> None:
    audited(root)
    assert audited(copied(root)).ok
