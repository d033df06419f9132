# ruff: noqa: F811 - fixtures come from another file
"""What was made elsewhere: taken in as supplied, and never told as captured."""

import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from test_cli import bag_of, held, place, says, site  # noqa: F401 - fixtures

from pipeline.handoff.attach import kind_of
from pipeline.packaging.validate import validate

WORDS = "The words that are cited"


@pytest.fixture
def warc(held: Path) -> bytes:
    """A WARC that holds the page: our own, as good as anybody's."""
    return (bag_of(held, "page") / "data/objects/capture.warc.gz").read_bytes()


def packed(warc: bytes) -> bytes:
    """A WACZ around a WARC."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("datapackage.json", "{}")
        file.writestr("archive/data.warc.gz", warc)
    return out.getvalue()


def attached(said) -> Path:
    assert said.status == 0, said.err
    return Path(said.json["path"])


def test_a_bag_of_its_own_is_sealed_and_logged_and_no_capture(says, held, place, warc):
    (place / "seen.warc.gz").write_bytes(warc)
    said = says("attach", "case/page", "seen.warc.gz", "--by", "A witness", "--json")
    bag = attached(said)
    assert validate(bag).findings == ()
    assert said.json["captured"] is False
    assert said.json["supplied_by"] == "A witness"
    assert (bag / "seal-0001.json.p7s").is_file()
    assert "SUPPLIED, NOT CAPTURED" in (bag / "README.txt").read_text()
    log = (held / ".muniment/custody.jsonl").read_text()
    acts = [json.loads(line)["act"] for line in log.splitlines() if bag.name in line]
    assert acts == ["accession", "receive", "seal"]
    assert says("verify", str(held)).status == 0
    history = says("history", "case/page", "--json").json["captures"]
    assert [one["change"] for one in history] == ["first"]
    assert bag.name in says("list").out
    assert says("log", "verify").status == 0


def test_the_next_run_is_not_compared_with_it(says, held, place, site, warc):
    (place / "seen.warc.gz").write_bytes(warc)
    attached(says("attach", "case/page", "seen.warc.gz", "--json"))
    said = says("run", "good.yaml", "--quiet", "--json", *site)
    (page,) = (one for one in said.json["sources"] if one["id"] == "page")
    assert page["change"] == "unchanged"


HOLDS = {
    "a WARC": ("a.warc.gz", "warc", lambda warc: warc, True),
    "a WACZ": ("a.wacz", "wacz", packed, True),
    "a page": ("a.html", "page", lambda _: f"<html><p>{WORDS}".encode(), True),
    "a text": ("a.txt", "text", lambda _: WORDS.encode(), True),
    "other words": ("b.txt", "text", lambda _: b"nothing of it", False),
    "a picture": ("a.png", "picture", lambda _: b"\x89PNG\r\n\x1a\n rest", None),
    "a PDF": ("a.pdf", "pdf", lambda _: b"%PDF-1.7 and so on", None),
    "another gzip": ("a.gz", "other", lambda warc: warc, None),
    "another zip": ("a.zip", "other", packed, None),
    "a torn WARC": ("t.warc.gz", "warc", lambda warc: warc[:40], None),
    "no WARC": ("n.warc.gz", "warc", lambda _: b"\x1f\x8b\x08junk", None),
    "a torn WACZ": ("t.wacz", "wacz", lambda warc: packed(warc)[:99], None),
    "bytes": ("a.bin", "other", lambda _: bytes(range(256)), None),
    "nothing": ("a.empty", "text", lambda _: b"", False),
}


@pytest.mark.parametrize(("name", "kind", "make", "found"), HOLDS.values(), ids=HOLDS)
def test_the_cited_words_are_looked_for_in_what_can_be_read(
    name, kind, make, found, says, held, place, warc
):
    (place / name).write_bytes(make(warc))
    said = says("attach", "page", name, "--json")
    bag = attached(said)
    (one,) = said.json["files"]
    assert (one["kind"], one["name"]) == (kind, name)
    assert [quote["found"] for quote in one["quotes"]] == (
        [] if found is None else [found]
    )
    assert bool(one["remark"]) is (found is None)
    assert (bag / one["file"]["path"]).read_bytes() == make(warc)  # whatever it is


ODD_NAMES = {
    "Persian": "کشتار.txt",
    "blanks": "two words.txt",
    "an escape": "a\x1b[31m.txt",
    "leading dots": "...txt",
    "a device": "CON.txt",
    "only marks": "§§§",
}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_name_of_any_kind_is_told_and_written_so_that_it_travels(name, says, place):
    (place / name).write_text("words")
    said = says("attach", "page", name, "--json")
    bag = attached(said)
    found = validate(bag)
    assert found.ok
    assert all(c.isascii() and c.isprintable() for c in said.json["files"][0]["file"]["path"])  # fmt: skip


@pytest.mark.usefixtures("held")
def test_two_of_one_name_are_both_kept(says, place):
    for folder in ("a", "b"):
        (place / folder).mkdir()
        (place / folder / "one.txt").write_text(folder)
    said = says("attach", "page", "a/one.txt", "b/one.txt", "--json")
    bag = attached(said)
    files = sorted((bag / "data/objects/supplied").iterdir())
    assert [one.read_text() for one in files] == ["b", "a"]


def test_a_source_that_was_never_captured_is_named_with_its_manifest(says, place):
    (place / "seen.txt").write_text(WORDS)
    said = says("attach", "case/page", "seen.txt", "--manifest", "good.yaml", "--json")
    bag = attached(said)
    assert said.json["files"][0]["quotes"][0]["found"] is True
    assert bag.parents[1].name == "case"


REFUSED = {
    "no source": ("nothing", "seen.txt"),
    "a run": ("RUN", "seen.txt"),
    "no file": ("page", "absent.txt"),
    "a folder": ("page", "."),
    "a pipe": ("page", "pipe"),
    "no such source in the manifest": ("x", "seen.txt", "--manifest", "good.yaml"),
    "a name with a line break": ("page", "seen.txt", "--by", "a\nb"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_attached_is_refused_and_leaves_nothing(
    words, says, held, place
):
    (place / "seen.txt").write_text("words")
    subprocess.run(["mkfifo", place / "pipe"], check=True)
    before = (held / ".muniment/custody.jsonl").read_bytes()
    (own,) = held.glob("case/*/case_run_*")
    said = says("attach", *(own.name if one == "RUN" else one for one in words))
    assert said.status == 2
    assert (held / ".muniment/custody.jsonl").read_bytes() == before
    assert list((held / ".muniment/staging").iterdir()) == []


def test_a_kind_is_told_by_how_a_file_begins_and_not_by_its_name(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"\xff\xd8\xff\xe0 a picture")
    assert kind_of(tmp_path / "a.pdf") == ("picture", "image/jpeg")
