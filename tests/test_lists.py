# ruff: noqa: F811 - fixtures come from another file
"""Others' lists: what they hold is taken, or told of with its line."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import place, says, site  # noqa: F401 - fixtures

from pipeline.errors import PipelineError, UsageError
from pipeline.intake.lists import Form, Reading, form_of, read
from pipeline.intake.problem import ManifestError
from pipeline.packaging.rendering import inert, one_line


def seeds(text: str) -> Reading:
    return read(text.encode(), Form.SEEDS, name="seeds.txt")


def table(text: str, column: str = "") -> Reading:
    return read(text.encode(), Form.CSV, name="l.csv", column=column)


def crawl(text: str) -> Reading:
    return read(text.encode(), Form.BROWSERTRIX, name="c.yaml")


def urls(reading: Reading) -> list[str]:
    return [one.url for one in reading.sources]


def told(reading: Reading) -> list[tuple[int, str]]:
    return [(one.line, one.message) for one in reading.remarks]


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.txt", Form.SEEDS), ("seeds", Form.SEEDS), ("A.CSV", Form.CSV), ("a.yml", Form.BROWSERTRIX)],
)  # fmt: skip
def test_the_ending_tells_the_form(name, form):
    assert form_of(name) is form


# ------------------------------------------------------------------------------- seeds


def test_seeds_are_addresses_a_line_with_comments():
    reading = seeds("\ufeff# mine\nhttps://a.example/\r\n\n  'https://b.example/x'  \n")
    assert urls(reading) == ["https://a.example/", "https://b.example/x"]
    assert [one.line for one in reading.sources] == [2, 4]
    assert reading.remarks == ()


BAD = {
    "another scheme": ("ftp://a.example/", 'the scheme "ftp" is not http or https'),
    "no address": ("a.example", "is not an address"),
    "two on a line": ("https://a.example/ https://b.example/", "no spaces"),
    "a control character": ("https://a.example/\x01", "no control characters"),
    "a password": ("https://me:hidden@a.example/", "may not carry a user"),
}


@pytest.mark.parametrize(("line", "why"), BAD.values(), ids=BAD)
def test_a_bad_line_is_told_and_no_secret_with_it(line, why):
    reading = seeds(f"https://good.example/\n{line}\n")
    ((number, message),) = told(reading)
    assert (number, reading.remarks[0].is_bad) == (2, True)
    assert why in message
    assert "hidden" not in message


def test_what_stands_there_twice_is_taken_once():
    reading = seeds("https://a.example\nhttps://A.example/#part\n")
    assert urls(reading) == ["https://a.example"]
    assert told(reading) == [(2, "the same address stands on line 1; it is taken once")]
    assert not reading.remarks[0].is_bad


def test_bytes_that_are_no_text_are_told_with_their_line():
    with pytest.raises(UsageError, match=r"seeds.txt:2: this is not UTF-8"):
        read(b"https://a.example/\n\xff\n", Form.SEEDS, name="seeds.txt")


# --------------------------------------------------------------------------------- csv


def test_auto_archivers_columns_are_known_by_their_names():
    reading = table(
        "Link,Archive status,Upload title,Upload timestamp,Hash\n"
        'https://a.example/,ok,"A ""title""\nof two lines",2020-01-02,\n'
        "https://b.example/,,,,abc\n"
    )
    first, second = reading.sources
    assert (first.line, second.line) == (2, 4)
    assert first.fields == (
        ("title", 'A "title" of two lines'),
        ("published", "2020-01-02"),
    )
    assert [message for _, message in told(reading)] == [
        'the column "Archive status" has no place in a manifest; left out of 1 row',
        'the column "Hash" has no place in a manifest; left out of 1 row',
    ]


FORMS = {
    "semicolons, as European spreadsheets have them": ("Url;Title\nhttps://a.example/;T\n", "T"),
    "tabs": ("title\turl\nT\thttps://a.example/\n", "T"),
    "no head at all": ("https://a.example/,x\n", None),
    "a title that was marked as text": ("link,title\nhttps://a.example/,'=1+1\n", "=1+1"),
    "a title in single quotes": ("link,title\nhttps://a.example/,'so called'\n", "'so called'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "title"), FORMS.values(), ids=FORMS)
def test_a_table_is_read_however_it_is_written(text, title):
    (one,) = table(text).sources
    assert one.url == "https://a.example/"
    assert dict(one.fields).get("title") == title


def test_the_column_with_the_addresses_can_be_named():
    reading = table("where,url\nhttps://a.example/,https://b.example/\n", "WHERE")
    assert urls(reading) == ["https://a.example/"]


def test_a_row_without_an_address_is_told():
    reading = table("link,title\n,lost\n,\nhttps://a.example/,\n")
    assert told(reading) == [(2, "there is no address in this row")]


def test_cells_beyond_the_head_are_told_by_their_number():
    reading = table("link\nhttps://a.example/,more\n")
    assert "the column number 2" in told(reading)[0][1]


NO_TABLE = {
    "no column of addresses": ("a,b\n1,2\n", 'a column "Link"'),
    "quotes that never end": ('link\nhttps://a.example/\n"x', "l.csv:3: this is no CSV"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), NO_TABLE.values(), ids=NO_TABLE)
def test_what_is_no_table_of_sources_is_a_sentence(text, why):
    with pytest.raises(UsageError, match=why):
        table(text)


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_title_that_goes_out_comes_back(title):
    plain = " ".join(one_line(title).split())
    written = io.StringIO()
    csv.writer(written).writerows(
        [("link", "title"), ("https://a.example/", inert(plain))]
    )
    (one,) = table(written.getvalue()).sources
    assert dict(one.fields).get("title", "") == plain


# ------------------------------------------------------------------------- browsertrix


def test_seeds_of_a_crawl_are_text_or_blocks():
    reading = crawl(
        "title: My  crawl\nscopeType: page\nseeds:\n- https://a.example/\n"
        "- url: https://b.example/\n"
    )
    assert urls(reading) == ["https://a.example/", "https://b.example/"]
    assert (reading.title, reading.remarks) == ("My crawl", ())


def test_one_seed_needs_no_list():
    assert urls(crawl("url: https://a.example/\nscopeType: page\n")) == [
        "https://a.example/"
    ]


def test_what_has_no_counterpart_is_told_by_name_and_not_by_value():
    reading = crawl(
        "workers: 8\nseeds:\n- url: https://a.example/\n  scopeType: page\n"
        "  auth: user:hidden\n- url: https://b.example/\n  depth: 2\n- {depth: 1}\n"
    )
    lines = told(reading)
    assert lines[0][0] == 0
    assert "no link is followed" in lines[0][1]
    assert [line for line, _ in lines[1:]] == [1, 5, 7, 8]
    assert "hidden" not in str(lines)
    assert "this seed has no url" in str(lines)


NO_CRAWL = {
    "no seeds": ("workers: 8\n", UsageError),
    "no block at all": ("- https://a.example/\n", UsageError),
    "no YAML": ("seeds: [\n", ManifestError),
    "an alias": ("seeds: &x [https://a.example/]\nurl: *x\n", ManifestError),
}


@pytest.mark.parametrize(("text", "error"), NO_CRAWL.values(), ids=NO_CRAWL)
def test_what_is_no_crawl_is_refused(text, error):
    with pytest.raises(error):
        crawl(text)


@pytest.mark.parametrize("form", Form)
@given(data=st.binary(max_size=200))
def test_any_bytes_at_all_are_a_list_or_an_error_of_ours(form, data):
    try:
        reading = read(data, form, name="x")
    except PipelineError:
        return
    assert isinstance(reading, Reading)


# ------------------------------------------------------------------- as a person types it


def test_a_list_becomes_a_manifest_that_check_accepts(says, place):
    (place / "seeds.txt").write_text("https://a.example/\nnothing\n")
    said = says("import", "seeds.txt", "--into", "new.yaml", "--json")
    assert said.status == 4  # a line was no address, and the other is there
    assert said.json["sources"] == 1
    assert [one["line"] for one in said.json["remarks"]] == [2]
    assert "seeds.txt:2: " in said.err
    assert says("check", "new.yaml").status == 0


def test_nothing_is_replaced(says, place):
    (place / "seeds.txt").write_text("https://a.example/\n")
    said = says("import", "seeds.txt", "--into", "good.yaml")
    assert said.status == 2
    assert "exists already" in said.err


def test_without_a_name_the_manifest_is_printed(says, place):
    (place / "l.csv").write_text("https://a.example/\n")
    said = says("import", "l.csv", "--id", "mine")
    assert said.status == 0
    (place / "printed.yaml").write_text(said.out)
    assert says("plan", "printed.yaml", "--json").json["job"] == "mine"
    assert (
        says("import", "l.csv", "--id", "mine", "--json").json["manifest"] in said.out
    )


WRONG = {
    "no file": ("absent.txt",),
    "a folder": (".",),
    "no id": ("seeds.txt", "--id", "No Id"),
    "a column of a text": ("seeds.txt", "--column", "x"),
    "another form": ("seeds.txt", "--form", "csv"),
    "no source": ("empty.txt",),
}


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_what_cannot_be_taken_in_is_a_sentence(says, place, words):
    (place / "seeds.txt").write_text("# none\nhttps://a.example/\n")
    (place / "empty.txt").write_text("# none\n")
    said = says("import", *words)
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("muniment: ")


def test_results_go_back_as_a_table(says, site, place):
    words = ("run", "good.yaml", *site, "--quiet", "--json", "--csv")
    first = says(*words, "one.csv").json
    says(*words, "two.csv")
    with (place / "one.csv").open(newline="") as file:
        rows = {row["Source"]: row for row in csv.DictReader(file)}
    by_id = {one["id"]: one for one in first["sources"]}
    assert rows.keys() == by_id.keys()
    for name, row in rows.items():
        assert row["Link"] == by_id[name]["url"]
        assert row["Verdict"] == by_id[name]["verdict"]
        assert row["Archive location"].endswith(by_id[name]["bag"])
    with (place / "two.csv").open(newline="") as file:
        again = {row["Source"]: row for row in csv.DictReader(file)}
    same = [n for n, row in again.items() if row["Verdict"] == "unchanged"]
    assert same
    assert all(
        again[n]["Archive location"] == rows[n]["Archive location"] for n in same
    )
    assert says("import", "one.csv", "--json").json["sources"] == len(rows)


def test_results_replace_nothing_and_are_refused_before_the_run(says, site, place):
    (place / "one.csv").write_text("mine")
    said = says("run", "good.yaml", *site, "--csv", "one.csv", "--json")
    assert said.status == 2
    assert json.loads(said.out)["error"]["code"] == "usage"
    assert not (place / "archive").exists()
