"""The page that tells what a verification found."""

import base64
import hashlib
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline import report
from pipeline.errors import StorageError, UsageError
from pipeline.model import Finding, Level, Severity
from pipeline.packaging.opinion import Opinion, Word
from pipeline.packaging.validate import Report
from pipeline.sheet import text

NOON = datetime(2026, 9, 24, 12, tzinfo=UTC)
GONE = Finding(
    code="missing-file",
    severity=Severity.ERROR,
    path="data/a.txt",
    message="listed in manifest-sha256.txt; not there",
    clause="RFC 8493 3",
)
ODD = replace(GONE, code="portable-name", severity=Severity.WARNING, clause="6.1.2")
SOUND = Report(
    path=Path("/archive/sound"),
    level=Level.FULL,
    ok=True,
    version="1.0",
    algorithms=("sha256", "sha512"),
    files=1200,
    bytes=3_000_000,
)
BROKEN = replace(SOUND, path=Path("/archive/broken"), ok=False, findings=(GONE, ODD))
WARNED = replace(SOUND, path=Path("/archive/warned"), findings=(ODD,))
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(*reports: Report, opinions: tuple[Opinion, ...] = ()) -> str:
    judged = [report.Judged(report=one, opinions=opinions) for one in reports]
    return "".join(report.page(judged, at=NOON, software="muniment 9"))


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_tells_counts_levels_algorithms_time_and_software():
    text = read(page(BROKEN, SOUND)).text
    for words in (
        "1 of 2 bags invalid",
        "checked 2026-09-24 12:00:00 UTC, by the clock of this machine",
        "with muniment 9",
        "level full",
        "payload 2,400 files, 6,000,000 bytes",
        "digests sha256, sha512",
        "found 1 error, 1 warning",
    ):
        assert words in text


def test_every_finding_has_its_code_path_message_and_clause():
    text = read(page(BROKEN)).text
    row = "error missing-file data/a.txt listed in manifest-sha256.txt; not there RFC 8493 3"
    assert row in text
    assert "missing-file a listed payload file is absent" in text


def test_failures_come_first_then_warnings_then_the_rest():
    html = page(SOUND, WARNED, BROKEN)
    places = [html.index(f"/archive/{one}<") for one in ("broken", "warned", "sound")]
    assert places == sorted(places)
    assert html.index("</section>") < html.index("/archive/sound<")


VERDICTS = {
    "none": ((), "No bag was found"),
    "one sound": ((SOUND,), "1 bag, none invalid"),
    "one warned": ((WARNED, SOUND), "2 bags, none invalid"),
    "all broken": ((BROKEN,), "1 of 1 bag invalid"),
}


@pytest.mark.parametrize(("reports", "words"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_stands_on_top(reports, words):
    reader = read(page(*reports))
    assert reader.text.startswith(
        f"Verification of bags: {words} Verification of bags {words}"
    )


def test_opinions_stand_with_their_bag():
    told = (
        Opinion(peer="bagit", version="1.9", verdict=Word.VALID),
        Opinion(peer="warcio", verdict=Word.INVALID, path="data/x.warc", message="<b>"),
    )
    text = read(page(SOUND, opinions=told)).text
    assert "bagit 1.9 valid the bag agrees" in text
    assert "warcio invalid data/x.warc differs: unexplained: <b>" in text


def test_nothing_is_asked_of_anyone():
    html = page(BROKEN, SOUND)
    for tag, attributes in read(html).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "form", "base")
        assert not {"src", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_the_style_by_its_digest_and_nothing_else():
    html = page(SOUND)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = (
        one["content"] for _, one in read(html).tags if one.get("http-equiv")
    )  # fmt: skip
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_prints_and_knows_the_dark():
    assert "@media print" in report.STYLE
    assert "prefers-color-scheme: dark" in report.STYLE


def test_every_link_leads_to_a_section():
    reader = read(page(BROKEN, WARNED, SOUND))
    links = {one["href"] for tag, one in reader.tags if tag == "a"}
    assert links == {f"#{one['id']}" for tag, one in reader.tags if tag == "section"}


HOSTILE = {
    "a script": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "an end of an attribute": ("\" onload='x", "\" onload='x"),
    "a line that is turned": ("a\u202egpj.exe", "a\\u202egpj.exe"),
    "an isolate without end": ("a\u2066b", "a\\u2066b"),
    "a terminal's colours": ("\x1b[31m\x07", "\\x1b[31m\\x07"),
    "a second line": ("a\nb", "a\\nb"),
    "a NUL": ("a\x00b", "a\\x00b"),
    "an entity": ("&lt;b&gt;", "&lt;b&gt;"),
    "a lone surrogate": ("a\udcffb", "a\\udcffb"),
}


@pytest.mark.parametrize(("evil", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_bag_says_is_only_ever_text(evil, shown):
    hostile = replace(GONE, path=evil, message=f"about {evil}", clause=evil, code=evil)
    plain = read(page(replace(BROKEN, findings=(GONE,), version="x")))
    reader = read(page(replace(BROKEN, findings=(hostile,), version=evil)))
    assert shown in reader.words
    assert f"about {shown}" in reader.words
    fewer = {"dl", "dt", "dd", "h2", "code"}  # an unknown code is not in the glossary
    tags = [tag for tag, _ in reader.tags if tag not in fewer]
    assert tags == [tag for tag, _ in plain.tags if tag not in fewer]


def test_a_bag_with_a_name_of_any_bytes_is_named():
    odd = replace(SOUND, path=Path(os.fsdecode(b"/archive/<b>\xff\xe2\x80\xae")))
    assert "/archive/<b>\\xff\\u202e" in read(page(odd)).words


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_stays_one_line_that_nothing_steers(words):
    shown = text(words)
    assert shown.isprintable()
    assert not re.search("[<>\"']", shown)
    assert shown.encode() or not words


def test_ten_thousand_findings_are_told(tmp_path):
    many = tuple(replace(GONE, path=f"data/{n}.txt") for n in range(10_000))
    judged = [report.Judged(report=replace(BROKEN, findings=many))]
    report.write(tmp_path / "r.html", judged, at=NOON, software="x")
    html = (tmp_path / "r.html").read_text("utf-8")
    assert html.count("<tr>") == 10_000 + 3
    assert "10,000 errors" in html


# --------------------------------------------------------------------------- writing


def write(path: Path) -> None:
    report.write(path, [report.Judged(report=SOUND)], at=NOON, software="x")


def test_the_page_is_all_that_is_left_in_the_folder(tmp_path):
    write(tmp_path / "r.html")
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text("utf-8").endswith("</html>\n")


def test_a_page_that_exists_is_not_written_over(tmp_path):
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(
        UsageError, match=r"r\.html exists already; nothing was written"
    ):
        write(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "r.html").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "r.html")
    assert not (tmp_path / "elsewhere").exists()


def test_a_page_that_came_meanwhile_is_not_written_over(tmp_path, monkeypatch):
    def fill(*_args, **_options):
        (tmp_path / "r.html").write_text("mine")
        yield "ours"

    monkeypatch.setattr(report, "page", fill)
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "r.html")
    assert [one.read_text() for one in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UsageError, match="is no folder; make it, then try again"):
        write(tmp_path / "absent" / "r.html")


def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write(tmp_path / "r.html")
    assert not [*tmp_path.iterdir()]
