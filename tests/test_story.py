"""The whole story of one source: capture.json and the plain records beside it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace
from samples import (
    ACCESSION,
    CAPTURE,
    CAPTURED,
    FINAL_URL,
    PAGE,
    PICTURE,
    PREVIOUS,
    RUN,
    TEXT_PATH,
    URL,
    accession_saying,
    record,
)

from pipeline.model import Exchange, Source
from pipeline.packaging.rendering import told
from pipeline.packaging.story import (
    CRAWL_LOG_HEAD,
    _exchange,
    capture_json,
    crawl_log,
    environment_json,
    event_lines,
)

STORY = capture_json(ACCESSION)
FIELDS = [
    "format",
    "bag",
    "job",
    "run",
    "source",
    "document",
    "started",
    "ended",
    "verdict",
    "reasons",
    "detail",
    "change",
    "engine",
    "user_agent",
    "final_url",
    "page_title",
    "payload",
    "redirects",
    "exchanges",
    "connections",
    "requisites",
    "quotes",
    "artefacts",
    "previous",
    "text_diff",
    "notes",
    "operator",
    "software",
    "plan",
    "settings",
    "environment",
    "self_test",
]


def test_the_fields_are_those_that_others_read():
    assert list(STORY) == FIELDS


def test_the_source_is_told_whole_but_for_its_entry():
    named = {field.name for field in fields(Source)} - {"entry"}
    assert set(STORY["source"]) == named


def test_a_secret_header_is_told_as_the_place_it_was_read_from():
    assert STORY["source"]["headers"]["Authorization"] == "env:NEWS_TOKEN"


def test_every_exchange_is_told_with_every_field():
    named = [field.name for field in fields(Exchange)]
    assert [list(told) for told in STORY["exchanges"]] == [named] * 4


def test_an_exchange_points_at_its_records():
    ref = {"record": record(6).id, "offset": 6000, "length": 900}
    assert STORY["exchanges"][2]["response"] == ref


def test_an_exchange_without_an_answer_points_at_nothing():
    assert STORY["exchanges"][3]["response"] is None


def test_redirects_are_those_of_the_source_itself():
    hop = {"url": URL, "status": 301, "location": FINAL_URL}
    assert STORY["redirects"] == [hop]


def test_a_quote_is_a_text_quote_selector():
    assert STORY["quotes"][0]["selector"] == {
        "type": "TextQuoteSelector",
        "exact": "About 1,500 people",
        "prefix": "It was told that ",
        "suffix": " were killed",
    }


def test_an_artefact_is_told_with_its_digests_by_name():
    told = STORY["artefacts"][1]
    assert (told["path"], told["digests"]["sha256"]) == (TEXT_PATH, "c" * 64)


def test_what_the_page_needed_and_did_not_get_is_listed():
    assert STORY["requisites"] == {"wanted": 1, "kept": 0, "missing": [PICTURE.url]}


def test_a_recapture_names_what_it_follows():
    assert STORY["previous"] == {
        "bag": PREVIOUS.bag,
        "verdict": "captured",
        "captured_at": "2025-09-24T12:00:01.000000Z",
        "tagmanifest": f"sha512:{'8' * 128}",
    }


def test_a_first_capture_follows_nothing():
    assert capture_json(replace(ACCESSION, previous=None))["previous"] is None


def test_without_a_citing_document_there_is_none():
    run = replace(RUN, document=None)
    assert capture_json(replace(ACCESSION, run=run))["document"] is None


def test_a_capture_without_a_payload_says_null():
    capture = replace(CAPTURE, payload=None)
    assert capture_json(replace(ACCESSION, capture=capture))["payload"] is None


def test_the_environment_is_what_the_story_says_it_is():
    told = environment_json(RUN)
    names = ("software", "environment", "settings")
    assert told == {name: STORY[name] for name in names}


def test_an_event_is_one_line_with_every_field():
    (line,) = event_lines((CAPTURED,))
    assert list(line) == ["id", "type", "at", "outcome", "detail", "objects"]


def test_the_log_has_a_line_for_each_exchange():
    lines = crawl_log(CAPTURE.exchanges).removeprefix(CRAWL_LOG_HEAD).splitlines()
    assert len(lines) == len(CAPTURE.exchanges)


def test_a_line_of_the_log_reads_from_left_to_right():
    (line,) = crawl_log((PICTURE,)).removeprefix(CRAWL_LOG_HEAD).splitlines()
    assert line == (
        "2026-09-24T12:00:04.123456Z - GET requisite 2 "
        "https://news.example/a%20picture.png 0 - 30.000 - - "
        "timeout; no answer in 30 s"
    )


def test_an_address_of_ipv6_stands_in_brackets():
    assert " [2001:db8::7]:443 " in crawl_log((PAGE,))


def test_a_cut_answer_says_so_in_the_log():
    assert "truncated: time; two Content-Length fields\n" in crawl_log((PAGE,))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), max_size=30))
def test_whatever_a_server_says_is_one_line_with_all_its_fields(text):
    exchanges = accession_saying(text).capture.exchanges
    (line,) = crawl_log(exchanges).removeprefix(CRAWL_LOG_HEAD).splitlines()
    assert len(line.split(" ", 11)) == 12


def test_an_exchange_is_told_with_every_field_of_its_noun():
    for exchange in CAPTURE.exchanges:
        assert _exchange(exchange) == told(exchange)
