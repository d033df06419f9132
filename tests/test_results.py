"""Results of a run as a table: every source a row, and no cell a formula."""

import csv
import io

import samples

from pipeline.holdings.cards import Visit
from pipeline.model import Change, Digest, Verdict
from pipeline.results import COLUMNS, table

PAGE = {
    "id": "page",
    "url": "http://one.example/",
    "verdict": "captured",
    "reasons": [],
    "detail": "",
    "change": "first",
    "news": False,
    "requisites": {"wanted": 2, "kept": 1, "missing": ["x"]},
    "bag": "job_page_1",
}
TOLD = {
    "job": "job",
    "run": "job_run_1",
    "sources": [PAGE],
    "bags": [
        {
            "id": "job_page_1",
            "status": 200,
            "tagmanifest": {"sha256": "ab" * 32},
            "quotes": [{"found": True}, {"found": False}],
        }
    ],
}
VISIT = Visit(
    job="job",
    run="job_run_1",
    source="page",
    url="http://one.example/",
    title="=HYPERLINK(1)",
    verdict=Verdict.CAPTURED,
    reasons=(),
    change=Change.FIRST,
    bag="job_page_1",
    at=samples.NOON,
    payload=Digest("sha256", "cd" * 32),
)


def rows(told: dict, *visits: Visit) -> list[dict[str, str]]:
    made = table([told], lambda _job, _source: visits, lambda bag: f"/archive/{bag}")
    return list(csv.DictReader(io.StringIO(made.data.decode(), newline="")))


def test_a_row_tells_what_became_of_a_source():
    (row,) = rows(TOLD, VISIT)
    assert tuple(row) == COLUMNS
    assert row["Archive status"] == row["Verdict"] == "captured"
    assert row["Archive location"] == "/archive/job_page_1"
    assert row["Hash"] == "sha256:" + "cd" * 32
    assert (row["Quotes found"], row["Quotes missing"]) == ("1", "1")
    assert (row["HTTP status"], row["Bag sha256"]) == ("200", "ab" * 32)


def test_no_cell_is_a_formula():
    (row,) = rows(TOLD, VISIT)
    assert row["Upload title"] == "'=HYPERLINK(1)"


def test_what_was_skipped_has_a_row_without_a_visit():
    skipped = {
        **PAGE,
        "verdict": "skipped",
        "bag": None,
        "change": None,
        "detail": "later",
    }
    (row,) = rows({**TOLD, "sources": [skipped]})
    assert (row["Archive status"], row["In words"]) == ("skipped", "later")
    assert (row["Archive date"], row["Archive location"], row["HTTP status"]) == (
        "",
        "",
        "",
    )


def test_a_refusal_says_why():
    refused = {**PAGE, "verdict": "refused", "reasons": ["http-404"], "news": True}
    (row,) = rows({**TOLD, "sources": [refused]}, VISIT)
    assert (row["Archive status"], row["News"]) == ("refused: http-404", "yes")
