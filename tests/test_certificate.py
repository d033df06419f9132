"""Certificates: what the records tell and no more, and blanks where a person speaks."""

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from baggery import FILES, sound, swap
from msgspec.structs import replace
from test_report import Reader, read

from pipeline import chromium, demo, timekeeper
from pipeline.clock import SystemClock, stamp
from pipeline.errors import FixityError, UsageError
from pipeline.handoff.certificate import certificate
from pipeline.handoff.declaration import Certified, File, Step, page
from pipeline.handoff.export import export_holding, holding_of
from pipeline.holdings.custody import Act
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.newsroom import Newsroom
from pipeline.progress import Quiet
from pipeline.sealing.token import Authority

LATER = timedelta(hours=1)  # the tokens are of today
NOW = datetime.now(UTC) + LATER
STAMPED = pytest.mark.skipif(
    not timekeeper.has_openssl(), reason="openssl answers for the authority"
)


@dataclass
class Kept:
    """What a run of the demo kept, and by whose roots its seals are judged."""

    root: Path
    bags: dict[str, Path]
    run: Path
    authorities: tuple[Authority, ...]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Kept:
    root = tmp_path_factory.mktemp("certified") / "archive"
    wanted = manifest.read(demo.demo_manifest())
    with (
        Newsroom() as site,
        closing(Store.open(root, SystemClock())) as store,
        demo.throw_away() as notary,
    ):
        done = demo.run(wanted, site, store, Quiet(), notary)
        judge = demo.judge_of(notary)
    bags = {one["source"]: Path(one["path"]) for one in done.told["bags"]}
    return Kept(root, bags, done.run_bag, tuple(judge.authorities))


BROWSER = chromium.find()


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch):
    """Print nothing, but where a test is about it: it takes seconds."""
    monkeypatch.setattr(chromium, "find", lambda: None)


def made(kept: Kept, source: str, folder: Path, **options) -> Reader:
    options = {"authorities": kept.authorities, "now": NOW, **options}
    done = certificate(kept.bags[source], folder / f"{source}.html", **options)
    return read(done.out.read_text("utf-8"))


def test_it_tells_what_was_captured_by_which_program_and_its_digests(kept, tmp_path):
    bag = kept.bags["article"]
    told = made(kept, "article", tmp_path).text
    story = json.loads((bag / "data/metadata/capture.json").read_bytes())
    for part in (
        "http://newsroom.example/article",
        "What the fire left, and what it could not reach",
        "A letter to the town council about the lost register",
        story["started"],
        "The source was captured: kept whole",
        "GET http://newsroom.example/article: 200",
        "127.0.0.1 port",
        "not encrypted: nothing shows who the server was",
        "\u201cthe register was copied before the fire\u201d: found on the page",
        "Muniment/0.1.0 (archiving of cited sources)",
        "byte for byte as served",
        f"On {stamp(NOW)} every file",
    ):
        assert part in told
    for one in story["artefacts"]:
        assert told.count(one["digests"]["sha256"]) == 2  # recorded, and found
        assert one["path"] in told


def test_what_is_wanting_is_told(kept, tmp_path):
    told = made(kept, "article", tmp_path).text
    assert "Parts of the page that were not had: http://newsroom.example/counter.js." in told  # fmt: skip
    assert "The operator had set connect-to to newsroom.example:80:127.0.0.1:" in told
    assert "That what the source says is true." in told


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("gone", "The server refused the source. Its answer was kept: "),
        ("liar", "The capture is not whole: the server closed the connection early"),
    ],
)
def test_a_capture_that_failed_is_certified_as_what_it_is(
    source, words, kept, tmp_path
):
    assert words in made(kept, source, tmp_path).text


@STAMPED
def test_times_have_their_authority_and_their_basis(kept, tmp_path):
    told = made(kept, "article", tmp_path).text
    names = [one.name for one in kept.authorities]
    assert all(f"by the word of {name} (RFC 3161); " in told for name in names)
    assert f"when {names[0]} stamped its plan" in told
    assert "A timestamp shows that the whole bag stood at its time" in told


def test_without_roots_no_time_is_told_as_proven(kept, tmp_path):
    told = made(kept, "article", tmp_path, authorities=()).text
    assert "Time asserted by the capturing machine only" in told
    assert "by the word of" not in told
    assert "they are asserted by this machine only" in told


def test_custody_is_the_archives_log(kept, tmp_path):
    told = made(kept, "article", tmp_path).text
    assert "accession" in told
    assert "so that no log of its custody is at hand" not in told


def test_a_bag_of_no_archive_has_a_blank_for_its_custody(kept, tmp_path):
    shutil.copytree(kept.bags["article"], tmp_path / "alone")
    one = replace_bag(kept, tmp_path / "alone")
    assert "no log of its custody is at hand" in made(one, "article", tmp_path).text


def replace_bag(kept: Kept, bag: Path) -> Kept:
    return Kept(kept.root, {"article": bag}, kept.run, kept.authorities)


def test_nothing_that_only_a_person_can_say_is_filled_in(kept, tmp_path):
    certificate(kept.bags["article"], tmp_path / "c.html", authorities=(), now=NOW)
    html = (tmp_path / "c.html").read_text("utf-8")
    assert html.count('class="line"') == 10  # the person's, and the two grounds
    assert html.count('class="blank"') == 3  # date, place, signature
    assert html.count('class="box"') == 2  # and neither is marked
    assert html.index("<b>DRAFT</b>") < html.index("<h1>")
    assert "It gives no opinion" in html


def test_nothing_is_asked_of_anyone(kept, tmp_path):
    seen = made(kept, "article", tmp_path)
    assert not {"script", "img", "link", "a", "iframe", "form"} & {
        t for t, _ in seen.tags
    }


EVIL = '<script>alert(1)</script>"\u202e\x1b[2J\n</td>'


def test_what_a_bag_says_is_only_ever_text():
    both = (EVIL, EVIL)
    told = Certified(
        bag=EVIL,
        at=NOW,
        software=EVIL,
        captured=(both,),
        system=(both,),
        files=(File(path=EVIL, size=1, media_type=EVIL, recorded=EVIL, found="b"),),
        checked=EVIL,
        tagmanifests=(both,),
        seals=(EVIL,),
        custody=(Step(number=1, at=NOW, act=EVIL, outcome=EVIL, detail=EVIL),),
        limits=(EVIL,),
        not_asserted=(EVIL,),
    )
    html = "".join(page(told))
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "NOT THE SAME" in html
    assert "the same<" not in "".join(page(replace(told, files=())))


# ----------------------------------------------------------------------- what is refused


def story_of(kept: Kept, **changes) -> bytes:
    path = kept.bags["article"] / "data/metadata/capture.json"
    return json.dumps(json.loads(path.read_bytes()) | changes).encode()


def artefact(**changes):
    usual = {"path": "data/letter.txt", "size": 9, "digests": {"sha256": "00" * 32}}
    return usual | changes


STORIES = {
    "no JSON": (b"{", "is not the story of a capture"),
    "no object": (b"[]", "is not the story of a capture"),
    "another object": (b"{}", "is not the story of a capture"),
    "bytes that are no text": (b'{"bag": "\xff"}', "is not the story of a capture"),
    "a verdict that is none": ({"verdict": "proven"}, "is not the story of a capture"),
    "a file with another digest": ({"artefacts": [artefact()]}, "has sha256 0000"),
    "a file without a digest": ({"artefacts": [artefact(digests={})]}, "sha256 none"),
    "a file that is not there": ({"artefacts": [artefact(path="data/x")]}, "is not there"),
    "a path that leads outside": ({"artefacts": [artefact(path="../../x")]}, r"names '\.\./\.\./x'"),
    "a path from the root": ({"artefacts": [artefact(path="/etc/hostname")]}, "names '/etc"),
}  # fmt: skip


@pytest.mark.parametrize(("story", "words"), STORIES.values(), ids=STORIES)
def test_a_story_that_is_none_is_no_certificate(story, words, kept, tmp_path):
    data = story if isinstance(story, bytes) else story_of(kept, **story)
    files = {**FILES, b"data/metadata/capture.json": data}
    bag = sound(tmp_path / "bag", files=files)
    with pytest.raises(FixityError, match=words):
        certificate(bag, tmp_path / "c.html", authorities=(), now=NOW)
    assert not (tmp_path / "c.html").exists()


def test_a_run_has_no_certificate_of_its_own(kept, tmp_path):
    with pytest.raises(UsageError, match="of the bag of one source"):
        certificate(kept.run, tmp_path / "c.html", authorities=(), now=NOW)


def test_a_wrong_bag_has_none(kept, tmp_path):
    bag = sound(tmp_path / "bag")
    swap(bag, "data/letter.txt", b"letter", b"lettre")
    with pytest.raises(FixityError, match="no valid bag"):
        certificate(bag, tmp_path / "c.html", authorities=(), now=NOW)


@pytest.mark.parametrize("name", ["c.html", "c.pdf"])
def test_nothing_is_written_over(name, kept, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        made_at(kept, tmp_path / "c.html")
    assert [one.name for one in tmp_path.iterdir()] == [name]


def made_at(kept: Kept, out: Path):
    return certificate(kept.bags["article"], out, authorities=kept.authorities, now=NOW)


# ------------------------------------------------------------------------------- printed


def test_without_a_browser_the_page_stands_and_says_how_to_get_one(kept, tmp_path):
    done = made_at(kept, tmp_path / "c.html")
    assert done.said == (f"not printed: there is no Chromium; {chromium.ADVICE}",)
    assert [one.name for one in tmp_path.iterdir()] == ["c.html"]


def test_a_browser_that_fails_costs_the_print_alone(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: Path("/bin/false"))
    done = made_at(kept, tmp_path / "c.html")
    assert done.said[0].startswith("not printed: ")
    assert done.out.is_file()


@pytest.mark.skipif(not BROWSER, reason="there is no Chromium")
def test_with_a_browser_it_is_printed(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: BROWSER)
    done = made_at(kept, tmp_path / "c.pdf")  # either name will do
    assert done.out.name == "c.html"
    assert done.said == (f"printed: {tmp_path / 'c.pdf'}",)
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_the_log_has_a_line_with_its_digest(kept, tmp_path):
    def write(bag: Path, out: Path):
        return certificate(bag, out, authorities=(), now=NOW)

    with closing(Store.open(kept.root, SystemClock())) as store:
        holding = holding_of(store.catalogue, "report")
        done = export_holding(holding, tmp_path / "c.html", write, store=store, clock=SystemClock())  # fmt: skip
        *_, last = store.log.read()
    assert last.entry.act is Act.EXPORT
    assert last.entry.detail == f"c.html (certificate, {done.digests[0]})"
