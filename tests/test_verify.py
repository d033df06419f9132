"""A bag beside the log of its archive."""

import shutil
from pathlib import Path

import ledgers
import pytest
from ledgers import change, edited
from msgspec.structs import replace

from pipeline.fixity import digest_of
from pipeline.holdings.verify import Verification, archive_of, beside_logs
from pipeline.model import Level
from pipeline.packaging.validate import Report, validate


@pytest.fixture(scope="session")
def mould(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("verify")
    ledgers.build(place / "archive", place / "keys", weeks=2)
    return place / "archive"


@pytest.fixture
def root(mould: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mould, tmp_path / "archive"))


def bags(root: Path) -> list[Path]:
    return sorted(one.parent for one in root.glob("*/*/*/bagit.txt"))


def judged(bag: Path) -> Report:
    return Verification().of(validate(bag))


def codes(report: Report) -> list[str]:
    return [one.code for one in report.findings]


def rebag(bag: Path) -> None:
    """Change a bag and all its manifests alike, so that it is valid again."""
    file = bag / "data/metadata/capture.json"
    old = file.read_bytes()
    new = old.replace(b"toll", b"toll", 1).replace(b"2026", b"2025", 1)
    file.write_bytes(new)
    for name, below in (("manifest", [file]), ("tagmanifest", None)):
        for algorithm in ("sha256", "sha512"):
            listed = bag / f"{name}-{algorithm}.txt"
            text = listed.read_text()
            for line in text.splitlines():
                digest, path = line.split("  ", 1)
                if below is None or bag / path in below:
                    now = digest_of((bag / path).read_bytes(), algorithm).hex
                    text = text.replace(digest, now)
            listed.write_text(text)


def test_a_bag_that_is_the_one_logged_has_no_more_findings(root) -> None:
    for bag in bags(root):
        assert judged(bag) == validate(bag)
        assert judged(bag).ok


def test_a_bag_rewritten_with_care_is_valid_and_not_the_one_logged(root) -> None:
    bag = bags(root)[0]
    rebag(bag)
    assert validate(bag).ok
    told = judged(bag)
    assert codes(told)[:2] == ["ledger-mismatch"] * 2
    assert {one.path for one in told.findings[:2]} == {
        "tagmanifest-sha256.txt",
        "tagmanifest-sha512.txt",
    }
    assert not told.ok


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def make_link(file: Path) -> None:
    file.rename(file.with_name("aside"))
    file.symlink_to("aside")


@pytest.mark.parametrize("harm", [Path.unlink, make_folder, make_link])
def test_a_tag_manifest_that_is_no_file_is_not_the_one_logged(root, harm) -> None:
    bag = bags(root)[0]
    harm(bag / "tagmanifest-sha512.txt")
    assert "ledger-mismatch" in codes(judged(bag))


def test_a_bag_that_no_line_names_is_told(root) -> None:
    bag = shutil.copytree(bags(root)[0], bags(root)[0].with_name("another"))
    told = judged(bag)
    assert codes(told) == ["ledger-unlogged-bag"]
    assert told.findings[0].path == ""


def test_a_log_that_is_damaged_is_told_with_each_bag(root) -> None:
    change(root, lambda own: [own[0], b"?\n", own[1]])
    told = judged(bags(root)[0])
    assert codes(told) == ["ledger-line"]
    assert "`muniment log verify` tells all of it" in told.findings[0].message


def test_a_bag_outside_an_archive_is_left_as_it_is(root, tmp_path) -> None:
    bag = shutil.copytree(bags(root)[0], tmp_path / "bag")
    assert archive_of(bag) is None
    assert judged(bag) == validate(bag)
    assert archive_of(Path("/bag")) is None
    shutil.rmtree(root / ".muniment")
    assert judged(bags(root)[0]).ok


def test_bags_that_are_gone_are_reported_where_they_are_asked_for(root) -> None:
    gone, here = bags(root)
    shutil.rmtree(gone)
    for folder in (root, root.parent / "archive" / "toll", gone.parent, gone):
        (told,) = Verification().missing(folder, level=Level.OXUM)
        assert (told.path, codes(told), told.ok) == (
            gone,
            ["ledger-missing-bag"],
            False,
        )
    assert not list(Verification().missing(here, level=Level.FULL))
    assert not list(Verification().missing(root.parent / "elsewhere", level=Level.FULL))


def test_a_log_is_read_once(root, monkeypatch) -> None:
    one = Verification()
    reports = [validate(bag) for bag in bags(root)]
    first = one.of(reports[0])
    change(root, lambda own: [edited(line) for line in own] + [b"?"])
    assert first.ok
    assert one.of(reports[1]).ok
    assert replace(reports[1], ok=True) == one.of(reports[1])


def test_bags_beside_their_logs_come_first_and_then_what_is_gone(root) -> None:
    gone, here = bags(root)
    shutil.rmtree(gone)
    told = beside_logs([validate(here)], [root], level=Level.FULL)
    assert [(one.path, one.ok) for one in told] == [(here, True), (gone, False)]


def test_a_bag_in_one_file_is_none_of_the_archives(root) -> None:
    file = bags(root)[0].with_suffix(".tar")
    file.touch()
    assert archive_of(file) is None
