"""The rules a bag is judged by, and the collection of findings."""

import pytest

from pipeline.model import Severity
from pipeline.packaging.rules import BAG, RULES, Verdicts, finding

CODES = (
    "not-a-bag", "bagit-txt", "encoding", "bag-info", "missing-file",
    "unlisted-file", "digest-mismatch", "size-mismatch", "tag-missing-file",
    "tag-unlisted-file", "tag-digest-mismatch", "tag-size-mismatch",
    "incomplete-manifest", "malformed-line", "duplicate-entry", "unknown-algorithm",
    "weak-algorithm", "oxum-mismatch", "bag-count", "unsafe-path", "special-file",
    "case-collision", "unicode-collision", "percent-encoding", "portable-name",
    "fetch-line", "fetch-refused", "fetch-missing", "limit", "serialization",
)  # fmt: skip


def test_every_code_of_the_contract_has_a_rule_and_no_other():
    assert sorted(BAG) == sorted(CODES)


@pytest.mark.parametrize("code", BAG)
def test_every_rule_cites_a_clause_and_says_what_it_means(code):
    assert RULES[code].clause.startswith("RFC 8493 ")
    assert RULES[code].meaning


def test_a_finding_has_the_clause_and_the_weight_of_its_code():
    one = finding("weak-algorithm", "manifest-md5.txt", "md5")
    assert (one.severity, one.clause) == (Severity.WARNING, "RFC 8493 2.4")


def test_a_finding_may_weigh_otherwise():
    one = finding("encoding", "bagit.txt", "Latin-1", severity=Severity.WARNING)
    assert one.severity is Severity.WARNING


def test_errors_come_first_then_paths_in_order():
    verdicts = Verdicts(limit=10)
    verdicts.add("portable-name", "a", "")
    verdicts.add("missing-file", "z", "")
    verdicts.add("missing-file", "b", "")
    assert [one.path for one in verdicts.findings()] == ["b", "z", "a"]


def test_our_profile_makes_an_unlisted_tag_file_an_error():
    verdicts = Verdicts(limit=10, strict=True)
    verdicts.add("tag-unlisted-file", "x", "")
    verdicts.add("portable-name", "x", "")
    assert [one.severity for one in verdicts.findings()] == ["error", "warning"]


def full(limit: int) -> Verdicts:
    verdicts = Verdicts(limit=limit)
    for number in range(1000):
        verdicts.add("missing-file", f"data/{number:04}", "")
        verdicts.add("portable-name", f"data/{number:04}", "")
    verdicts.add("unsafe-path", "/etc/passwd", "")
    return verdicts


def test_a_full_report_counts_what_it_leaves_out():
    (limit,) = [one for one in full(50).findings() if one.code == "limit"]
    assert limit.severity is Severity.ERROR
    assert "951 of missing-file" in limit.message
    assert "1000 of portable-name" in limit.message


def test_a_full_report_holds_its_limit_and_one_more():
    assert len(full(50).findings()) == 51


def test_a_thousand_findings_of_one_code_drown_no_other():
    assert "unsafe-path" in {one.code for one in full(2).findings()}


def test_warnings_alone_left_out_are_a_warning():
    verdicts = Verdicts(limit=1)
    verdicts.add("portable-name", "a", "")
    verdicts.add("portable-name", "b", "")
    assert {one.severity for one in verdicts.findings()} == {Severity.WARNING}


def test_a_limit_of_nothing_still_tells_something():
    assert [one.code for one in full(0).findings()].count("limit") == 1
