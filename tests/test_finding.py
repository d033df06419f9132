# ruff: noqa: F811 - fixtures come from another file
"""What is held of an address, a source, some words; and what changed between."""

from pathlib import Path

import pytest
from origins import Origin, answer
from test_cli import PAGES, held, place, says  # noqa: F401 - fixtures


@pytest.fixture
def origin():
    with Origin(dict(PAGES)) as it:
        yield it


@pytest.fixture
def site(origin):
    return "--connect-to", f"one.example:80:127.0.0.1:{origin.port}"


@pytest.fixture
def twice(held, says, site, origin) -> Path:
    """An archive of two runs: the words of the page are others in the second."""
    origin.pages["/page"] = answer(
        b"<html><title>News</title><p>The words that are cited.<p>Risen <b>since</b>.</html>"
    )
    assert says("run", "good.yaml", "--quiet", *site).status == 0
    return held


@pytest.mark.usefixtures("twice")
def test_every_response_to_an_address_is_found_with_its_record(says):
    told = says("get", "http://one.example/page", "--json").json
    assert told["url"] == "http://one.example/page"
    assert [one["verdict"] for one in told["captures"]] == ["captured", "captured"]
    for one in told["captures"]:
        assert Path(one["path"]).name == one["bag"]
        assert one["record"].startswith("<urn:uuid:")
        assert one["length"] > 0
    out = says("get", "HTTP://one.example:80/page#x").out  # another spelling
    assert out.count("<urn:uuid:") == 2
    assert "nothing is kept of" in says("get", "http://one.example/absent").out


@pytest.mark.usefixtures("twice")
def test_the_history_of_a_source_is_every_visit(says, site):
    assert says("run", "good.yaml", "--quiet", *site).status == 0  # nothing new
    told = says("history", "case/page", "--json").json
    assert told["source"] == "case/page"
    assert [(one["change"], one["changed"]) for one in told["captures"]] == [
        ("first", False),
        ("changed", True),
        ("unchanged", False),
    ]
    assert told["captures"][2]["bag"] is None
    assert says("history", "page").out.count("captured") == 3  # and the column's name
    bag = told["captures"][0]["bag"]
    assert says("history", bag).status == 2


@pytest.mark.usefixtures("twice")
def test_words_are_found_in_titles_and_texts(says):
    told = says("search", "risen", "since", "--json").json
    (one,) = told["captures"]
    assert one["source"] == "case/page"
    assert "Risen since." in one["passage"]
    assert "case/page" in says("search", "risen").out
    assert "nothing that is kept" in says("search", "nowhere-to-be-found").out
    assert says("search", "a", "--most", "0").status == 2


@pytest.mark.parametrize("words", ['"', "AND", "a*", "NEAR(", "'; DROP TABLE bags; --"])
@pytest.mark.usefixtures("held")
def test_any_words_can_be_asked_for(words, says):
    assert says("search", words).status == 0


@pytest.mark.usefixtures("twice")
def test_what_changed_between_two_captures_is_shown(says, place):
    said = says("diff", "case/page", "--html", "d.html", "--json")
    assert said.json["added"] >= 1
    assert "+Risen since." in said.json["lines"]
    assert "<ins>+Risen since.</ins>" in (place / "d.html").read_text()
    bags = (said.json["before"], said.json["after"])
    out = says("diff", *bags[::-1]).out
    assert "-Risen since." in out
    assert "the words are the same" in says("diff", bags[0], bags[0]).out


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("words", [("page",), ("gone", "nothing"), ("nothing",)])
def test_what_cannot_be_compared_is_told(words, says):
    said = says("diff", *words)
    assert said.status == 2
    assert said.err.startswith("muniment: ")
