"""The demo: it runs to its end, finds its own damage, and says what is so."""

import json
import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline import demo, terminal, timekeeper
from pipeline.errors import Exit, StorageError, UsageError
from pipeline.packaging.validate import find_bags, validate
from pipeline.progress import Quiet


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> tuple[Path, list[demo.Told], str]:
    """The demo told two times over in one archive, and what it said."""
    root = tmp_path_factory.mktemp("demo") / "archive"
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "remark", said.append)
        told = [
            demo.tell(root, show=lambda _: None, progress=Quiet()) for _ in range(2)
        ]
    return root, told, "\n".join(said)


@pytest.mark.parametrize("time", [0, 1], ids=["the first time", "the second time"])
def test_the_demo_goes_well(twice, time):
    assert twice[1][time].went_well


@pytest.mark.parametrize("time", [0, 1], ids=["the first time", "the second time"])
def test_each_of_three_kinds_of_damage_is_found_and_named(twice, time):
    found = [
        {(one.code, one.path) for one in report.findings}
        for report in twice[1][time].damage
    ]
    warc = "data/objects/capture.warc.gz"
    assert ("digest-mismatch", warc) in found[0]
    assert ("missing-file", "data/metadata/index.cdxj") in found[1]
    assert ("tag-digest-mismatch", "bag-info.txt") in found[2]


@pytest.mark.skipif(not timekeeper.has_openssl(), reason="there is no openssl")
def test_a_stranger_accepts_the_kit_and_refuses_the_one_that_was_changed(twice):
    whole, changed = twice[1][0].stranger
    assert (whole.accepts, changed.accepts) == (True, False)
    assert whole.said[-1].startswith("VERIFIED: ")
    assert any("capture.warc.gz: FAILED" in line for line in changed.said)
    assert changed.said[-1].startswith("REFUSED: ")


def test_it_damages_copies_alone(twice):
    bags = list(find_bags(twice[0]))
    assert len(bags) > 10
    assert all(validate(bag).ok for bag in bags)


def test_the_first_time_every_source_has_a_bag(twice):
    first = twice[1][0].first.told
    assert all(one["bag"] for one in first["sources"])
    assert {one["id"]: one["verdict"] for one in first["sources"]} == {
        "article": "captured",
        "report": "captured",
        "moved": "captured",
        "gone": "refused",
        "ticker": "captured",
        "liar": "partial",
    }


def test_the_second_run_bags_what_changed_and_what_was_not_whole(twice):
    second = twice[1][0].second.told
    changes = {one["id"]: one["change"] for one in second["sources"] if one["bag"]}
    assert changes == {"ticker": "changed", "gone": "unchanged", "liar": "unchanged"}
    assert twice[1][0].second.exit is Exit.OK


def test_its_words_are_true(twice):
    said = twice[2]
    assert "only the change" not in said  # refusals are kept again each time
    counted = re.findall(r"(\d+) bags, (\d+) valid", said)
    assert [int(n) == int(valid) for n, valid in counted] == [True, True]
    assert f"muniment verify {twice[0]}" in said


def test_it_is_told_as_one_json_document(twice):
    told = json.loads(json.dumps(twice[1][0].json()))
    assert set(told) == {"runs", "valid", "tampered", "stranger", "ok"}
    assert told["ok"] is True
    assert [report["ok"] for report in told["tampered"]] == [False] * 4
    assert [run["job"] for run in told["runs"]] == ["demo", "demo"]


def test_damage_that_is_not_found_is_no_success(twice):
    (told, _), (bag, *_) = twice[1], find_bags(twice[0])
    blind = replace(told, damage=(validate(bag),))
    assert not blind.went_well


@pytest.mark.skipif(not timekeeper.has_openssl(), reason="there is no openssl")
def test_a_stranger_who_comes_to_another_end_is_no_success(twice):
    (told, _) = twice[1]
    assert not replace(told, stranger=told.stranger[:1] * 2).went_well
    assert not replace(told, stranger=told.stranger[::-1]).went_well
    assert replace(told, stranger=()).went_well  # where there is no openssl


def test_a_bag_is_damaged_that_was_captured_whole(twice):
    (told, again) = twice[1]
    article = demo.whole_bag(told.first, told.second)
    assert "_article_" in article.name
    assert "_ticker_" in demo.whole_bag(again.first, again.second).name
    nothing = told.first.told | {"bags": []}
    empty = demo.Outcome(told=nothing, exit=Exit.OK, run_bag=told.first.run_bag)
    assert demo.whole_bag(empty) == told.first.run_bag


def test_the_manifest_of_an_installed_demo_stands_beside_the_code(
    tmp_path, monkeypatch
):
    installed = tmp_path / "demo.yaml"
    shutil.copy(demo.CHECKOUT, installed)
    monkeypatch.setattr(demo, "INSTALLED", installed)
    assert demo.demo_manifest() == installed
    installed.unlink()
    assert demo.demo_manifest() == demo.CHECKOUT


def test_a_demo_without_its_manifest_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "INSTALLED", tmp_path / "absent.yaml")
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path / "absent.yaml")
    with pytest.raises(UsageError, match="install again"):
        demo.demo_manifest()


def test_an_archive_that_is_a_file_is_named(tmp_path):
    (tmp_path / "archive").write_text("")
    with pytest.raises(StorageError, match=str(tmp_path / "archive")):
        demo.tell(tmp_path / "archive", show=print, progress=Quiet())


def test_every_bag_is_sealed_and_stamped_where_openssl_is(twice):
    _, told, said = twice
    assert "prove nothing to anybody" in said or "openssl is not here" in said
    states = {bag["seal"]["state"] for bag in told[0].first.told["bags"]}
    assert states == {"sealed" if timekeeper.has_openssl() else "untimestamped"}


def test_a_forgery_that_bagit_believes_is_found_by_its_seal(twice):
    forged = twice[1][0].damage[-1]
    assert {one.code for one in forged.findings} == {"seal-subject"}


def test_without_openssl_bags_are_signed_and_no_time_is_proven(monkeypatch):
    monkeypatch.setattr(timekeeper, "has_openssl", lambda: False)
    with demo.throw_away() as notary:
        assert notary.authorities == ()
        assert "no time is proven" in demo.seals_said(notary)
