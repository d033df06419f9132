"""What a bag says of itself, whatever it says."""

import json
import os
import shutil
from pathlib import Path

import pytest
import samples
import shelf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FixityError
from pipeline.holdings.catalogue import Catalogue
from pipeline.holdings.description import (
    CAPTURE,
    LARGEST_TEXT,
    PAGE_TEXT,
    RUN,
    Kind,
    describe,
    key_of,
)
from pipeline.packaging.story import capture_json

TOLD = shelf.accession()
STORY = dict(capture_json(TOLD))


def described(folder: Path, story: object, path: str = CAPTURE):
    name = folder / "bag"
    shelf.pack_bytes(name, "bag", path, json.dumps(story).encode())
    return describe(name)


def test_a_bag_of_a_source_tells_its_capture(tmp_path: Path) -> None:
    shelf.pack(tmp_path / TOLD.bag, TOLD)
    told = describe(tmp_path / TOLD.bag)
    assert (told.kind, told.job, told.run, told.source) == (
        Kind.SOURCE,
        "toll",
        shelf.run_id(0),
        "report",
    )
    assert told.remarks == ()
    assert {table: len(rows) for table, rows in told.rows.items()} == {
        "captures": 1,
        "exchanges": 4,
        "quotes": 1,
        "artefacts": 2,
        "words": 1,
    }
    assert told.rows["words"][0]["text"] == shelf.TEXT


def test_a_bag_of_a_run_tells_every_outcome(tmp_path: Path) -> None:
    sources = [
        shelf.outcome("a", "captured", "first"),
        shelf.outcome("b", "failed", ""),
    ]
    shelf.pack_run(tmp_path / "run", 0, sources)
    told = describe(tmp_path / "run")
    assert (told.kind, told.run, told.source) == (Kind.RUN, shelf.run_id(0), "")
    assert [row["verdict"] for row in told.rows["outcomes"]] == ["captured", "failed"]


def test_any_other_bag_is_told_without_a_story(tmp_path: Path) -> None:
    shelf.pack_bytes(tmp_path / "bag", "bag", "data/letter.txt", b"Dear Sir")
    told = describe(tmp_path / "bag")
    assert (told.kind, told.rows, told.remarks) == (Kind.OTHER, {}, ())
    assert ("External-Identifier", "bag") in told.info


def test_what_is_no_bag_is_a_fixity_error(tmp_path: Path) -> None:
    with pytest.raises(FixityError, match="expected a bag"):
        describe(tmp_path / "nothing")


UNREADABLE = {
    "not JSON": (b"{", "is not JSON"),
    "not UTF-8": (b'{"a":"\xff\xfe"}', "is not JSON"),
    "nested beyond reason": (b"[" * 200_000, "is not JSON"),
    "a list": (b"[]", "is no JSON object"),
    "another format": (b'{"format":"other/1"}', "not in the format"),
    "no moment": (
        json.dumps(STORY | {"started": "yesterday"}).encode(),
        "does not tell when",
    ),
    "a verdict nobody knows": (
        json.dumps(STORY | {"verdict": "splendid"}).encode(),
        "'splendid' is no verdict",
    ),
    "a change that is no text": (
        json.dumps(STORY | {"change": {"a": 1}}).encode(),
        "is no change",
    ),
}


@pytest.mark.parametrize(("story", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_story_that_cannot_be_read_is_said_and_the_bag_still_listed(
    tmp_path: Path, story: bytes, reason: str
) -> None:
    shelf.pack_bytes(tmp_path / "bag", "bag", CAPTURE, story)
    told = describe(tmp_path / "bag")
    assert (told.kind, told.run, told.rows) == (Kind.OTHER, "group", {})
    assert reason in told.remarks[0]


def test_a_story_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    shelf.pack(tmp_path / "bag", TOLD)
    shutil.move(tmp_path / "bag" / CAPTURE, tmp_path / "elsewhere")
    (tmp_path / "bag" / CAPTURE).symlink_to(tmp_path / "elsewhere")
    assert "cannot be read" in describe(tmp_path / "bag").remarks[0]


def test_a_story_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    shelf.pack(tmp_path / "bag", TOLD)
    (tmp_path / "bag" / CAPTURE).unlink()
    os.mkfifo(tmp_path / "bag" / CAPTURE)
    assert "cannot be read" in describe(tmp_path / "bag").remarks[0]


def test_a_story_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.holdings.description.LARGEST_STORY", 1000)
    shelf.pack(tmp_path / "bag", TOLD)
    assert "larger than" in describe(tmp_path / "bag").remarks[0]


def test_a_long_text_is_searchable_as_far_as_it_is_read(tmp_path: Path) -> None:
    shelf.pack(tmp_path / "bag", TOLD, text="x" * (LARGEST_TEXT + 10))
    text = describe(tmp_path / "bag").rows["words"][0]["text"]
    assert isinstance(text, str)
    assert len(text) == LARGEST_TEXT


def test_a_text_that_is_not_utf_8_is_searchable_all_the_same(tmp_path: Path) -> None:
    shelf.pack(tmp_path / "bag", TOLD)
    (tmp_path / "bag" / PAGE_TEXT).write_bytes(b"caf\xe9 open")
    assert describe(tmp_path / "bag").rows["words"][0]["text"] == "caf\ufffd open"


def test_numbers_that_no_column_holds_are_left_out(tmp_path: Path) -> None:
    exchange = dict(STORY["exchanges"][2]) | {"status": 10**30}
    told = described(tmp_path, STORY | {"exchanges": [exchange, "odd", 3]})
    (row,) = told.rows["exchanges"]
    assert row["status"] is None


def test_an_address_that_never_was_one_is_kept_as_written(tmp_path: Path) -> None:
    exchange = dict(STORY["exchanges"][2]) | {"url": "http://[Half"}
    told = described(tmp_path, STORY | {"exchanges": [exchange]})
    assert told.rows["exchanges"][0]["url"] == "http://[Half"


KEYS = {
    "HTTP://Example.org": "example.org/",
    "https://example.org:443/A?b=C#d": "example.org/a?b=c",
    "http://example.org:80/": "example.org/",
    "http://example.org:8080/": "example.org:8080/",
    "ftp://example.org/x": "ftp://example.org/x",
    "": "/",
}


@pytest.mark.parametrize(("url", "key"), KEYS.items())
def test_an_address_is_looked_up_by_what_its_spellings_share(
    url: str, key: str
) -> None:
    assert key_of(url) == key


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["url", "response", "id", "payload", "purpose", "record"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
FIELDS = [key for key in STORY if key not in ("format", "verdict", "started")]


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), values), values)
def test_whatever_a_strangers_bag_says_the_catalogue_takes_it(
    tmp_path_factory: pytest.TempPathFactory, odd: dict[str, object], source: object
) -> None:
    root = tmp_path_factory.mktemp("archive")
    outcome = {"id": source, "verdict": "captured", "reasons": source, "bag": source}
    run = {"run": source, "sources": [outcome], "counts": source, "exit": source}
    for name, path, story in (("a", CAPTURE, STORY | odd), ("b", RUN, run)):
        data = json.dumps(story).encode()
        shelf.pack_bytes(root / name, name, path, data)
    catalogue: Catalogue = shelf.opened(root)
    catalogue.add(root / "a")
    catalogue.add(root / "b")
    assert len(catalogue.bags()) == 2
    catalogue.visits()
    catalogue.runs()
    catalogue.previous("toll", "report")
    catalogue.responses(samples.FINAL_URL)
    catalogue.close()
    shutil.rmtree(root)


def test_a_payload_oxum_beyond_all_numbers_is_listed(tmp_path: Path) -> None:
    shelf.pack(tmp_path / "bag", TOLD)
    info = tmp_path / "bag/bag-info.txt"
    info.write_text(
        info.read_text().replace("Payload-Oxum: ", "Payload-Oxum: 9" * 2 + "9" * 30)
    )
    catalogue = shelf.opened(tmp_path)
    catalogue.add(tmp_path / "bag")
    (held,) = catalogue.bags()
    assert held.bag.size <= 2**63 - 1
    catalogue.close()
