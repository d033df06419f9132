"""The manifest: what is read, and that everything wrong with it is told at once."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.intake import contract
from pipeline.intake.contract import MANIFEST, SOURCE, UNBUILT
from pipeline.intake.manifest import (
    ManifestError,
    check,
    problems_as_json,
    read,
    render,
    require_known,
    schema,
)
from pipeline.intake.notation import START, Scalar
from pipeline.intake.shape import Ledger, Place
from pipeline.model import (
    Access,
    Document,
    Engine,
    Identify,
    Judgement,
    Match,
    Operator,
    Package,
    Quote,
    RobotsPolicy,
    Role,
    Severity,
    Source,
    TlsPolicy,
)

MANIFESTS = Path(__file__).parents[1] / "manifests"
HEAD = "version: 1\nid: job\nsources:\n  one: http://one.example/\n"
SECRET = "hunter2s3cr3t"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _write(text: str | bytes) -> Path:
        data = text if isinstance(text, bytes) else text.encode()
        Path("m.yaml").write_bytes(data)
        return Path("m.yaml")

    return _write


# ------------------------------------------------------------------- what is refused


@dataclass(frozen=True, kw_only=True)
class Case:
    """A manifest with one mistake; ``more`` stands below a sound beginning."""

    more: str = ""
    text: str = ""
    line: int
    column: int
    path: str
    says: str
    hint: str = ""
    severity: Severity = Severity.ERROR


def within(block: str, line: str, **rest) -> Case:
    """Make a case of a line in a block of its own below the beginning."""
    return Case(more=f"{block}:\n  {line}\n", line=6, **rest)


def of_source(lines: str, **rest) -> Case:
    """Make a case of more fields of a source, which begin on line 7."""
    block = "  two:\n    url: http://two.example/\n    " + lines.replace("\n", "\n    ")
    return Case(more=f"{block}\n", **{"line": 7, **rest})


WARNING = Severity.WARNING
CASES = {
    # when to run again, and whom to tell
    "a schedule without a time": within("schedule", "keep: all", column=3, path="schedule", says="neither how often nor when", hint="every: 7d"),
    "a span and a time": Case(more='schedule: {every: 7d, cron: "0 3 * * *"}\n', line=5, column=29, path="schedule.cron", says='"every" stands beside it'),
    "a zone for a span": Case(more="schedule: {every: 7d, timezone: UTC}\n", line=5, column=33, path="schedule.timezone", says="it means nothing to"),
    "a jitter beyond its span": Case(more="schedule: {every: 1h, jitter: 1h}\n", line=5, column=31, path="schedule.jitter", says="as long as"),
    "a cron that never comes": within("schedule", "cron: 0 0 31 6 *", column=9, path="schedule.cron", says="never comes", hint="like 17 3 * * 1"),
    "a zone that is none": Case(more='schedule: {cron: "0 3 * * *", timezone: Europe/Stokholm}\n', line=5, column=41, path="schedule.timezone", says="is no time zone", hint='did you mean "Europe/Stockholm"?'),
    "an address that is a key": within("notify", "- url: slack://a/b/c", column=10, path="notify.0.url", says="often a key", hint="env:NAME"),
    "nobody to tell": within("notify", "- on: [gone]", column=5, path="notify.0", says='"url" is missing'),
    "an occasion that is none": within("notify", "- {on: [gon], url: env:A}", column=11, path="notify.0.on.0", says="is not one of failed, gone, changed, fixity", hint='"gone"'),
    # the whole
    "not a block": Case(text="- a\n- b\n", line=1, column=1, path="", says="expected a block of fields: version, id", hint=""),
    "a word": Case(text="hello\n", line=1, column=1, path="", says='found "hello"'),
    "no version": Case(text="id: a\nsources: {b: http://b.example}\n", line=1, column=1, path="", says='"version" is missing', hint="add version"),
    "no id": Case(text="version: 1\nsources: {b: http://b.example}\n", line=1, column=1, path="", says='"id" is missing', hint="add id"),
    "no sources": Case(text="version: 1\nid: a\n", line=1, column=1, path="", says='"sources" is missing', hint="add sources"),
    "another version": Case(text=HEAD.replace("1", "2", 1), line=1, column=10, path="version", says='expected 1, found "2"'),
    "a version in quotes": Case(text=HEAD.replace("1", '"1"', 1), line=1, column=10, path="version", says='expected 1, found "1"', hint="without quotes"),
    "a version that is no integer": Case(text=HEAD.replace("1", "1.0", 1), line=1, column=10, path="version", says='expected 1, found "1.0"'),
    "sources that are none": Case(text="version: 1\nid: a\nsources: {}\n", line=3, column=1, path="sources", says="there is no source", hint="an id and its address"),
    "sources left empty": Case(text="version: 1\nid: a\nsources:\n", line=3, column=1, path="sources", says="there is no source"),
    "an empty list": Case(text="version: 1\nid: a\nsources: []\n", line=3, column=1, path="sources", says="there is no source"),
    "one address for sources": Case(text="version: 1\nid: a\nsources: http://b.example\n", line=3, column=1, path="sources", says="there is no source"),
    "a block in a plain list": Case(text="version: 1\nid: a\nsources:\n  - url: http://b.example\n", line=4, column=5, path="sources.0", says="no id", hint="a block needs an id"),
    # names of fields
    "an unknown field": Case(more="titel: a\n", line=5, column=1, path="titel", says='there is no field "titel"', hint='did you mean "title"?'),
    "an unknown field of a source": of_source("captrue: auto", column=5, path="sources.two.captrue", says="there is no field", hint='did you mean "capture"?'),
    "an unknown field, unlike any": within("document", "isbn: 1", column=3, path="document.isbn", says="there is no field", hint="known here: title, author, url, file"),
    "a source's field at the margin": Case(more="delay: 2s\n", line=5, column=1, path="delay", says="there is no field", hint='in a source, or in "defaults"'),
    "the claims among a source's fields": of_source("claims: {}", column=5, path="sources.two.claims", says="there is no field", hint="left margin"),
    "an address for all": within("defaults", "url: http://a.example", column=3, path="defaults.url", says="there is no field", hint="each source"),
    "a field twice": of_source("lang: en\nlang: fa", line=8, column=5, path="sources.two.lang", says="written twice, on line 7 and on line 8", hint="keep one"),
    "a source twice": Case(more="  one: http://two.example/\n", line=5, column=3, path="sources.one", says="written twice, on line 4 and on line 5"),
    # values
    "a field left empty": Case(more="title:\n", line=5, column=1, path="title", says="it has no value", hint="remove the line"),
    "a field with null": Case(more="title: null\n", line=5, column=1, path="title", says="it has no value"),
    "a boolean for a text": of_source("skip: false", column=11, path="sources.two.skip", says='expected text, found "false"', hint='"false" in quotes'),
    "a list for a text": Case(more="title: [a]\n", line=5, column=8, path="title", says="expected text, found a list"),
    "a block for a text": Case(more="title: {a: b}\n", line=5, column=8, path="title", says="expected text, found a block of fields"),
    "a text for a block": Case(more="document: http://a.example\n", line=5, column=11, path="document", says="expected a block of fields: title, author, url, file"),
    "a list for claims": Case(more="claims: [a]\n", line=5, column=9, path="claims", says="expected claims by their ids, found a list"),
    "two lines for a title": Case(more='title: "a\n\n  b"\n', line=5, column=8, path="title", says="several lines"),
    "nothing but quotes": Case(more='title: " "\n', line=5, column=8, path="title", says="it is empty"),
    "a word for a choice": of_source("capture: browsr", column=14, path="sources.two.capture", says='"browsr" is not one of auto, http, browser, media', hint='did you mean "browser"?'),
    "off for a choice": of_source("robots: off", column=13, path="sources.two.robots", says='"off" is not one of obey, record, ignore'),
    "a boolean for a choice": of_source("robots: false", column=13, path="sources.two.robots", says='expected one of obey, record, ignore, found "false"'),
    "a list for a choice": of_source("role: [party]", column=11, path="sources.two.role", says="expected one of primary"),
    "NO for a boolean": of_source("requisites: NO", column=17, path="sources.two.requisites", says='expected true or false, found "NO"', hint="write false, without quotes"),
    "a boolean in quotes": of_source('text: "true"', column=11, path="sources.two.text", says="expected true or false", hint="write true, without quotes"),
    "a list for a boolean": of_source("text: []", column=11, path="sources.two.text", says="expected true or false, found a list"),
    "a number too large": of_source("retries: 1000", column=14, path="sources.two.retries", says="expected a whole number from 0 to 100"),
    "a number below nothing": of_source("retries: -1", column=14, path="sources.two.retries", says="expected a whole number"),
    "a number with a zero in front": of_source("retries: 03", column=14, path="sources.two.retries", says='found "03"'),
    "a number beyond counting": of_source("retries: " + "9" * 5000, column=14, path="sources.two.retries", says="expected a whole number"),
    "true for a number": of_source("retries: true", column=14, path="sources.two.retries", says="expected a whole number"),
    "a list for a number": of_source("retries: [1]", column=14, path="sources.two.retries", says="found a list"),
    "a duration without a unit": of_source("delay: 2", column=12, path="sources.two.delay", says="not a duration", hint='write "2s"'),
    "a clock for a duration": of_source("timeout: 12:30:45", column=14, path="sources.two.timeout", says='"12:30:45" is not a duration'),
    "no time at all": of_source("deadline: 0s", column=15, path="sources.two.deadline", says="no time at all"),
    "a size in the wrong case": of_source("max_size: 2gib", column=15, path="sources.two.max_size", says="not a size", hint='write "2GiB"'),
    "a language that is none": of_source("lang: in English", column=11, path="sources.two.lang", says="not a language tag"),
    "an outcome that is none": of_source("expect: [http-404, gone]", column=24, path="sources.two.expect.1", says='"gone" is not one of'),
    "a list left empty in the middle": of_source("author:\n- a\n-", line=9, column=6, path="sources.two.author.1", says="it has no value"),
    "an item twice": of_source("expect: [dns, dns]", column=19, path="sources.two.expect.1", says="twice", severity=WARNING),
    # quotes
    "a quote without words": of_source("quotes: [{required: true}]", column=14, path="sources.two.quotes.0", says='"text" is missing'),
    "a quote with a wrong word": of_source("quotes:\n  - {text: a, match: fuzy}", line=8, column=26, path="sources.two.quotes.0.match", says='"fuzy" is not one of exact, normalized, fuzzy'),
    "a quote in a list of lists": of_source("quotes: [[a]]", column=14, path="sources.two.quotes.0", says="expected text, found a list"),
    # ids
    "an id with capitals": Case(text=HEAD.replace("job", "Job 1"), line=2, column=5, path="id", says='"Job 1" is not an id', hint='like "job-1"'),
    "a reserved job": Case(text=HEAD.replace("job", "run"), line=2, column=5, path="id", says='"run" is reserved'),
    "a reserved source": Case(more="  document: http://two.example/\n", line=5, column=3, path="sources.document", says='"document" is reserved'),
    "a device": Case(more="  nul.x: http://two.example/\n", line=5, column=3, path="sources.nul.x", says="a device on Windows", hint='like "the-nul.x"'),
    "a trailing dot": Case(more="  two.: http://two.example/\n", line=5, column=3, path="sources.two.", says="ends with a dot", hint='write "two"'),
    "an id that is a boolean": Case(more="  true: http://two.example/\n", line=5, column=3, path="sources.true", says='found "true"', hint="in quotes"),
    "an id left empty": Case(more="  ~: http://two.example/\n", line=5, column=3, path="sources.~", says="it has no value"),
    "a claim with a wrong id": within("claims", "A claim: {says: a}", column=3, path="claims.A claim", says="not an id", hint='like "a-claim"'),
    # addresses
    "another scheme": Case(more="  two: ftp://two.example/\n", line=5, column=8, path="sources.two", says='the scheme "ftp" is not http or https'),
    "no scheme": of_source("also: [www.two.example]", column=12, path="sources.two.also.0", says="not an address", hint='did you mean "https://www.two.example"?'),
    "a user and a password": Case(more=f"  two: https://me:{SECRET}@two.example/\n", line=5, column=8, path="sources.two", says="a user or a password", hint="before the @"),
    "a source without an address": Case(more="  two: {title: a}\n", line=5, column=3, path="sources.two", says='"url" is missing', hint="its address, as it is cited"),
    "a source left empty": Case(more="  two:\n", line=5, column=3, path="sources.two", says="it has no value"),
    "one address twice": Case(more="  two: http://ONE.example#part\n", line=5, column=8, path="sources.two", says='"one" on line 4 has the same address', severity=WARNING),
    "the document's address again": Case(more="  two: http://d.example/\ndocument: {url: 'http://d.example/'}\n", line=5, column=8, path="sources.two", says='"document" on line 6', severity=WARNING),
    "a secret in a query": Case(more=f"  two: https://two.example/?api_key={SECRET}&a=1\n", line=5, column=8, path="sources.two", says='the parameter "api_key" looks like a secret', hint="leave it out", severity=WARNING),
    # references
    "a claim on no source": within("claims", "c: {says: a, supports: [one, ones]}", column=32, path="claims.c.supports.1", says='there is no source "ones"', hint='did you mean "one"?'),
    "a claim against no source": within("claims", "c: {says: a, contradicts: x-y-z}", column=29, path="claims.c.contradicts", says="there is no source", hint="known are one"),
    "a claim beside no source": within("claims", "c: {says: a, context: [document]}", column=26, path="claims.c.context.0", says='there is no source "document"'),
    "a source that repeats no source": of_source("derives_from: [three]", column=20, path="sources.two.derives_from.0", says="there is no source"),
    "a source that repeats itself": of_source("derives_from: two", column=19, path="sources.two.derives_from", says="derived from itself"),
    "all sources repeat one of them": within("defaults", "derives_from: [one]", column=18, path="defaults.derives_from.0", says="derived from itself"),
    "a claim that says nothing": within("claims", "c: {supports: [one]}", column=3, path="claims.c", says='"says" is missing'),
    "a verdict of one's own": within("claims", "c: {says: a, verdict: true}", column=25, path="claims.c.verdict", says="expected one of supported"),
    # headers and secrets
    "a password as a header": of_source(f"headers: {{Authorization: Basic {SECRET}}}", column=30, path="sources.two.headers.Authorization", says="a secret is written out", hint="env:NAME or file:PATH"),
    "a cookie": of_source(f"headers:\n  Cookie: id={SECRET}", line=8, column=15, path="sources.two.headers.Cookie", says="a secret is written out"),
    "a key of one's own": of_source(f'headers: {{X-Api-Key: "{SECRET}"}}', column=26, path="sources.two.headers.X-Api-Key", says="a secret is written out"),
    "a bearer token in any header": of_source(f"headers: {{X-Any: Bearer {SECRET}}}", column=22, path="sources.two.headers.X-Any", says="a secret is written out"),
    "a token in a note": of_source(f"note: use ghp_{SECRET}aaaaaaaaaa", column=11, path="sources.two.note", says="a secret is written out", hint="remove it"),
    "a secret over several lines": of_source(f'headers:\n  Cookie: "a\n    {SECRET}"', line=8, column=15, path="sources.two.headers.Cookie", says="a secret is written out"),
    "a reference that is none": of_source("headers: {Cookie: 'env:MY-COOKIE'}", column=23, path="sources.two.headers.Cookie", says="not a reference", hint="env:NAME"),
    "a header twice": of_source("headers: {Accept: a, accept: b}", column=26, path="sources.two.headers.accept", says='differs from "Accept" on line 7 only in its spelling'),
    "a header of our own": of_source("headers: {User-Agent: a}", column=15, path="sources.two.headers.User-Agent", says="cannot be set"),
    "a header that is none": of_source("headers: {'A B': a}", column=15, path="sources.two.headers.A B", says="not the name of a header"),
    "headers in a list": of_source("headers: [a]", column=14, path="sources.two.headers", says="expected headers and their values, found a list"),
    "no contact to identify with": of_source("identify: contact", column=15, path="sources.two.identify", says="there is no contact", hint="muniment.toml", severity=WARNING),
    "none for anyone": within("defaults", "identify: contact", column=13, path="defaults.identify", says="there is no contact", severity=WARNING),
    # packages and the document
    "no digest": within("package", "algorithms: []", column=15, path="package.algorithms", says="the list is empty"),
    "a weak digest": within("package", "algorithms: [sha256, md5]", column=24, path="package.algorithms.1", says="too weak"),
    "a digest of another kind": within("package", "algorithms: [blake3]", column=16, path="package.algorithms.0", says="is not sha256 or sha512"),
    "a field of the bag's own": within("package", "info: {Bagging-Date: a}", column=10, path="package.info.Bagging-Date", says="writes it itself"),
    "a field of the bag's own in other letters": within("package", "info: {A: b, payload-OXUM: c}", column=16, path="package.info.payload-OXUM", says="writes it itself"),
    "a value of two lines": within("package", 'info: {A: "a\\nb"}', column=13, path="package.info.A", says="a line break"),
    "a name with a colon": within("package", 'info: {"A:b": a}', column=10, path="package.info.A:b", says="holds a colon"),
    "a file that is not there": within("document", "file: article.txt", column=9, path="document.file", says='there is no file "article.txt"'),
    "a file elsewhere": within("document", "file: ../m.yaml", column=9, path="document.file", says="inside the manifest's folder"),
    "a file with an endless name": within("document", f"file: {'a' * 5000}", column=9, path="document.file", says="there is no file"),
    # the notation
    "not YAML": Case(more="title: a: b\n", line=5, column=9, path="", says="not valid YAML", hint="in quotes"),
    "an anchor": Case(more="title: &a b\n", line=5, column=8, path="title", says="an anchor"),
    "an alias for a source": Case(more="  two: *a\n", line=5, column=8, path="sources.two", says="an alias"),
    "an alias for an id": of_source("derives_from: [*a]", column=20, path="sources.two.derives_from.0", says="an alias"),
    "an address in a list": Case(text="version: 1\nid: a\nsources:\n- a.example\n", line=4, column=3, path="sources.0", says="not an address"),
    "a list for the id of a source": of_source("derives_from: {a: b}", column=19, path="sources.two.derives_from", says="expected the id of a source"),
    "a merge key": of_source("<<: *a", column=5, path="sources.two", says="merge key"),
    "bytes that are no text": Case(text="version: \udcff1\n", line=1, column=10, path="", says="not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_is_told_with_its_place(case, write):
    text = case.text or HEAD + case.more
    manifest, problems = check(write(text.encode(errors="surrogateescape")))
    (problem,) = [p for p in problems if case.says in p.message]
    found = (problem.line, problem.column, problem.path, problem.severity)
    assert found == (case.line, case.column, case.path, case.severity)
    assert case.hint in problem.hint
    assert (manifest is None) is (case.severity is Severity.ERROR)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_mistake_is_one_problem(case, write):
    text = case.text or HEAD + case.more
    _, problems = check(write(text.encode(errors="surrogateescape")))
    assert len(problems) == 1, render(problems)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_secret_is_shown(case, write):
    text = case.text or HEAD + case.more
    _, problems = check(write(text.encode(errors="surrogateescape")))
    assert SECRET not in render(problems)
    assert SECRET not in json.dumps(problems_as_json(problems))
    assert SECRET not in repr(problems)


def test_the_message_has_the_form_of_the_contract(write):
    path = write(
        HEAD + "  reuters:\n    url: http://two.example/\n    capture: browsr\n"
    )
    with pytest.raises(ManifestError) as refused:
        read(path)
    assert str(refused.value) == (
        'm.yaml:7:14: sources.reuters.capture: "browsr" is not one of auto, http, browser, media\n'
        "  7 |     capture: browsr\n"
        '    |              ^ did you mean "browser"?\n'
        "1 problem in m.yaml; nothing was fetched."
    )


def test_everything_is_told_in_one_pass_whatever_kind_it_is(write):
    text = (
        "version: 2\n"
        "id: Job\n"
        "titel: a\n"
        "sources:\n"
        "  one:\n"
        "    url: &a http://one.example/\n"
        "    capture: browsr\n"
        "    capture: auto\n"
        f"    headers: {{Cookie: {SECRET}}}\n"
        "  two: {url: http://one.example/, derives_from: [three]}\n"
        "claims:\n"
        "  c: {supports: [ones]}\n"
        "seal: {timestamp: [A!]}\n"
    )
    _, problems = check(write(text))
    assert [(p.line, p.path) for p in problems] == [
        (1, "version"),
        (2, "id"),
        (3, "titel"),
        (6, "sources.one.url"),
        (7, "sources.one.capture"),
        (8, "sources.one.capture"),
        (9, "sources.one.headers.Cookie"),
        (10, "sources.two.url"),
        (10, "sources.two.derives_from.0"),
        (12, "claims.c"),
        (12, "claims.c.supports.0"),
        (13, "seal.timestamp.0"),
    ]
    assert render(problems).endswith(
        "11 problems and 1 warning in m.yaml; nothing was fetched."
    )


def test_a_mistake_in_the_defaults_is_told_once_where_it_is_written(write):
    text = HEAD + "  two: http://two.example/\ndefaults:\n  delay: 2\n"
    _, problems = check(write(text))
    assert [(p.line, p.column, p.path) for p in problems] == [(7, 10, "defaults.delay")]


def test_a_source_with_a_mistake_can_be_referred_to(write):
    text = HEAD + "  two: ftp://two.example/\nclaims: {c: {says: a, supports: [two]}}\n"
    _, problems = check(write(text))
    assert [p.path for p in problems] == ["sources.two"]


def test_where_the_sources_are_missing_no_reference_is_complained_of(write):
    _, problems = check(
        write("version: 1\nid: a\nclaims: {c: {says: a, supports: b}}\n")
    )
    assert [p.message for p in problems] == ['"sources" is missing']


def test_of_many_sources_a_few_are_named(write):
    more = "".join(f"  s{n}: http://s{n}.example/\n" for n in range(20))
    _, (problem,) = check(
        write(f"{HEAD}{more}claims: {{c: {{says: a, supports: qqq}}}}\n")
    )
    assert problem.hint == "known are one, s0, s1, s2, s3, s4, s5, s6 and 13 more"


def test_ids_that_differ_only_in_case_are_refused_beside_their_own_mistake(write):
    _, problems = check(write(HEAD + "  ONE: http://two.example/\n"))
    assert sorted(p.message.partition(":")[0] for p in problems) == [
        '"ONE" is not an id',
        'it differs from "one" on line 4 only in its spelling',
    ]


def test_a_secret_is_masked_in_the_line_of_another_mistake(write):
    line = f"    headers: {{Cookie: {SECRET}, 'A B': x}}\n"
    _, problems = check(write(HEAD + "  two:\n    url: http://two.example/\n" + line))
    assert len(problems) == 2
    assert all("Cookie: *************, 'A B': x" in p.excerpt for p in problems)


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}: x\n",
        f"headers:\n  Authorization: Bearer {SECRET}: x\n",
        f'headers:\n  Cookie: "a\n    {SECRET}\\q"\n',
        f"token: @{SECRET}\n",
        f"token: *{SECRET}\n",
        f"token: !{SECRET}\n",
        f"token: &{SECRET} x\n",
        f"token: [{SECRET}\n",
        f"token:\n  {SECRET}: x\n  {SECRET}: y\n",
        f"deposit: {{vault: {{secret: {SECRET}}}}}\n",
        f"url: https://me:{SECRET}@a.example/ : x\n",
    ],
)
def test_no_secret_is_shown_where_the_notation_is_broken_or_the_field_unknown(
    text, write
):
    manifest, problems = check(write(HEAD + text))
    assert manifest is None
    assert SECRET not in render(problems)


# ---------------------------------------------------------------- what is not built

UNBUILT_LINES = {
    "source.capture: browser": ("defaults: {capture: browser}", "defaults.capture"),
    "source.capture: media": ("defaults: {capture: media}", "defaults.capture"),
    "source.linked": ("defaults: {linked: ['*.pdf']}", "defaults.linked"),
    "source.screenshot": ("defaults: {screenshot: true}", "defaults.screenshot"),
    "source.pdf": ("defaults: {pdf: false}", "defaults.pdf"),
    "quote.match: fuzzy": ("defaults: {quotes: [{text: a, match: fuzzy}]}", "defaults.quotes.0.match"),
    "quote.at_least": ("defaults: {quotes: [{text: a, at_least: 0.9}]}", "defaults.quotes.0.at_least"),
    "package.profile: *": ("package: {profile: btr}", "package.profile"),
    "package.max_bag": ("package: {max_bag: 50GiB}", "package.max_bag"),
}  # fmt: skip


def test_each_line_of_what_is_not_built_is_tried_below():
    assert set(UNBUILT_LINES) == UNBUILT


@pytest.mark.parametrize(("line", "path"), UNBUILT_LINES.values(), ids=UNBUILT_LINES)
def test_what_is_not_built_is_refused_and_never_ignored(line, path, write):
    manifest, problems = check(write(f"{HEAD}{line}\n"))
    assert manifest is None
    assert [problem.path for problem in problems] == [path]
    assert "not supported yet" in problems[0].message


def test_a_value_that_is_not_built_is_named_with_those_that_are(write):
    _, (problem,) = check(write(HEAD + "defaults: {capture: browser}\n"))
    assert problem.message == '"browser" is not supported yet'
    assert problem.hint == "write auto or http, or remove the line"
    _, (problem,) = check(write(HEAD + "package: {profile: btr}\n"))
    assert problem.hint == "write muniment, or remove the line"


@pytest.mark.parametrize(
    "line",
    [
        "defaults: {capture: http, tls: verify, quotes: [{text: a, match: exact}]}",
        "package: {profile: muniment}",
    ],
)
def test_what_is_built_of_the_same_fields_is_taken(line, write):
    assert read(write(f"{HEAD}{line}\n"))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0.0),
        ("0.9", 0.9),
        ("1", 1.0),
        ("1.1", None),
        ("true", None),
        ("much", None),
    ],
)
def test_the_score_of_a_quote_is_ready_for_the_day_it_is_built(written, value):
    node = Scalar(START, written, plain=True)
    assert (
        contract.QUOTE.fields["at_least"].kind.read(node, Place(ledger=Ledger()))
        == value
    )


# ------------------------------------------------------------------------ what is read

FULL = """\
version: 1
id: full
title: All of it
contact: archive@example.org
operator: {name: A. Example, organisation: Example Archive}
document:
  title: The citing text
  author: [A. Example, B. Example]
  url: https://d.example/text
  file: text.txt
defaults: {delay: 0s, access: open, headers: {Accept-Language: fa}}
sources:
  plain: https://plain.example/#part   # as cited

  # everything a source can say
  block:
    url: https://block.example/
    also: [https://mirror.example/]
    title: 1984
    publisher: Example
    author: A. Example
    published: 2020-09-03
    lang: NO
    role: official
    derives_from: [plain]
    quotes:
      - some words
      - {text: other words, match: exact, required: true}
    expect: [http-404, paywall]
    capture: http
    requisites: false
    max_requisites: 5
    text: false
    robots: obey
    tls: record
    identify: contact
    delay: 500ms
    requisite_delay: 1s
    timeout: 10s
    deadline: 6h
    retries: 0
    max_size: 500MB
    headers: {X-Key: env:KEY, Cookie: file:/run/cookie}
    rights: all reserved
    access: restricted
    skip: not now
    note: |
      two
      lines
claims:
  first: {says: It is so., where: 4, supports: [plain, document], contradicts: block, context: [block], verdict: partly, note: a}
  second: {says: It is not.}
package:
  algorithms: sha512
  profile: muniment
  info: {Source-Organization: Example, Contact-Name: [A. Example, B. Example]}
"""


@pytest.fixture
def full(write, tmp_path):
    (tmp_path / "text.txt").write_text("text")
    return read(write(FULL))


def test_a_manifest_keeps_its_bytes_and_their_digest(full):
    assert full.text == FULL.encode()
    assert full.digest == digest_of(FULL.encode())
    assert full.path == Path("m.yaml")


def test_the_head_of_a_manifest_is_read(full):
    assert (full.id, full.title, full.contact) == (
        "full",
        "All of it",
        "archive@example.org",
    )
    assert full.operator == Operator(name="A. Example", organisation="Example Archive")
    assert full.document == Document(
        title="The citing text",
        author=("A. Example", "B. Example"),
        url="https://d.example/text",
        file="text.txt",
    )
    assert full.package == Package(
        algorithms=("sha512",),
        info=(
            ("Source-Organization", "Example"),
            ("Contact-Name", "A. Example"),
            ("Contact-Name", "B. Example"),
        ),
    )


def test_every_field_of_a_source_is_read(full):
    entry = FULL[FULL.index("  block:") : FULL.index("claims:")]
    assert full.sources[2] == Source(
        id="block",
        url="https://block.example/",
        also=("https://mirror.example/",),
        title="1984",
        publisher="Example",
        author=("A. Example",),
        published="2020-09-03",
        lang="NO",
        role=Role.OFFICIAL,
        derives_from=("plain",),
        quotes=(
            Quote(text="some words"),
            Quote(text="other words", match=Match.EXACT, required=True),
        ),
        expect=("http-404", "paywall"),
        capture=Engine.HTTP,
        requisites=False,
        max_requisites=5,
        text=False,
        robots=RobotsPolicy.OBEY,
        tls=TlsPolicy.RECORD,
        identify=Identify.CONTACT,
        delay=timedelta(milliseconds=500),
        requisite_delay=timedelta(seconds=1),
        timeout=timedelta(seconds=10),
        deadline=timedelta(hours=6),
        retries=0,
        max_size=500_000_000,
        headers=(("X-Key", "env:KEY"), ("Cookie", "file:/run/cookie")),
        rights="all reserved",
        access=Access.RESTRICTED,
        skip="not now",
        note="two\nlines",
        entry=re.sub("^  ", "", entry, flags=re.MULTILINE),
    )


def test_every_field_of_a_source_is_tried_above():
    known = {each.name for each in fields(Source)} - {"id", "entry"}
    assert known == set(re.findall(r"^    (\w+):", FULL, re.MULTILINE))


def test_a_plain_address_is_a_source_with_the_defaults(full):
    assert full.sources[1] == Source(
        id="plain",
        url="https://plain.example/#part",
        delay=timedelta(0),
        access=Access.OPEN,
        headers=(("Accept-Language", "fa"),),
        entry="plain: https://plain.example/#part   # as cited\n",
    )


def test_the_document_is_the_first_source_with_the_defaults(full):
    document = full.sources[0]
    assert (document.id, document.url) == ("document", "https://d.example/text")
    assert (document.title, document.author) == (
        "The citing text",
        ("A. Example", "B. Example"),
    )
    assert document.access is Access.OPEN
    assert document.entry.startswith("document:\n  title: The citing text\n  author:")
    assert document.entry.endswith("  file: text.txt\n")


def test_claims_are_read_with_their_sources(full):
    first, second = full.claims
    assert (first.id, first.says, first.where, first.note) == (
        "first",
        "It is so.",
        "4",
        "a",
    )
    assert first.supports == ("plain", "document")
    assert (first.contradicts, first.context) == (("block",), ("block",))
    assert (first.verdict, second.verdict) == (Judgement.PARTLY, Judgement.UNTESTED)


def test_without_an_address_the_document_is_no_source(write):
    manifest = read(write(HEAD + "document: {title: a}\n"))
    assert [source.id for source in manifest.sources] == ["one"]


def test_without_a_document_there_is_none(write):
    assert read(write(HEAD)).document is None


def test_a_plain_list_names_its_sources_itself(write):
    text = "version: 1\nid: a\nsources:\n  - http://www.one.example/x  # why\n  - http://two.example\n"
    one, two = read(write(text)).sources
    assert (one.id, one.url) == ("www-one-example-889d983d", "http://www.one.example/x")
    assert one.entry == "- http://www.one.example/x  # why\n"
    assert two.entry == "- http://two.example\n"


def test_an_address_listed_twice_is_kept_twice_with_a_warning(write):
    manifest, problems = check(
        write("version: 1\nid: a\nsources: [http://a.example, http://a.example]\n")
    )
    first, second = manifest.sources
    assert second.id == f"{first.id}-2"
    assert [problem.severity for problem in problems] == [Severity.WARNING]


def test_a_source_in_braces_is_cut_out_as_it_stands(write):
    text = "{version: 1, id: a, document: {url: 'http://d.example'},\n sources: {b: {url: 'http://b.example',\n   lang: fa}, c: 'http://c.example'}}\n"
    document, second, third = read(write(text)).sources
    assert document.entry == "document: {url: 'http://d.example'}\n"
    assert second.entry == "b: {url: 'http://b.example',\n   lang: fa}\n"
    assert third.entry == "c: 'http://c.example'\n"


def test_a_byte_order_mark_is_accepted_and_kept(write):
    data = b"\xef\xbb\xbf" + HEAD.encode()
    assert read(write(data)).text == data


def test_the_operator_of_the_machine_stands_in_where_none_is_named(write):
    operator = Operator(name="M. Achine", contact="m@example.org")
    manifest = read(write(HEAD), operator=operator)
    assert (manifest.operator, manifest.contact) == (operator, "m@example.org")


def test_a_pseudonym_gains_nothing_from_the_machines_operator(write):
    operator = Operator(name="M. Achine", organisation="Real", contact="m@example.org")
    manifest = read(write(HEAD + "operator: {name: P. Seudonym}\n"), operator=operator)
    assert manifest.operator == Operator(name="P. Seudonym")
    assert manifest.contact == ""


def test_a_contact_to_identify_with_is_enough_wherever_it_is_known(write):
    path = write(HEAD + "defaults: {identify: contact}\n")
    assert check(path, operator=Operator(contact="m@example.org"))[1] == ()
    assert len(check(path)[1]) == 1


def test_a_file_through_a_link_out_of_the_folder_is_refused(write, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "outside.txt").write_text("x")
    (tmp_path / "inner" / "text.txt").symlink_to(tmp_path / "outside.txt")
    path = tmp_path / "inner" / "m.yaml"
    path.write_text(HEAD + "document: {file: text.txt}\n")
    _, (problem,) = check(path)
    assert "there is no file" in problem.message


# ------------------------------------------------------------------------- the file


def test_an_absent_manifest_is_a_matter_of_usage(tmp_path):
    for refuse in (read, check):
        with pytest.raises(UsageError, match="there is no such manifest"):
            refuse(tmp_path / "m.yaml")


def test_a_folder_is_no_manifest(tmp_path):
    with pytest.raises(UsageError, match="this is a folder"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["m.yaml/below", "a" * 300, "nul\0"])
def test_a_manifest_that_cannot_be_read_is_a_matter_of_usage(tmp_path, name):
    (tmp_path / "m.yaml").write_text(HEAD)
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / name)


# -------------------------------------------------------------------- what is shipped


@pytest.mark.parametrize("name", ["demo.yaml", "iran-1988.yaml"])
def test_a_shipped_manifest_is_sound(name):
    manifest, problems = check(MANIFESTS / name)
    assert problems == ()
    assert manifest.id == name.removesuffix(".yaml")


def test_the_demo_visits_the_newsroom_without_waiting():
    sources = read(MANIFESTS / "demo.yaml").sources
    assert [source.url.removeprefix("http://newsroom.example/") for source in sources] == [
        "article", "report.pdf", "old-address", "gone", "ticker", "liar"
    ]  # fmt: skip
    assert {source.delay for source in sources} == {timedelta(0)}


def test_the_first_case_says_of_every_source_how_sure_its_address_is():
    sources = read(MANIFESTS / "iran-1988.yaml").sources
    assert len(sources) == 23
    assert all(re.match(r"FOUND|RECALLED", source.note) for source in sources[1:])
    recalled = {source.id for source in sources if source.note.startswith("RECALLED")}
    assert recalled == {"rome-statute", "un-experts-2020"}


def test_the_readme_names_every_field_and_every_default():
    words = (MANIFESTS / "README.md").read_text()
    blocks = (MANIFEST, SOURCE, contract.QUOTE, contract.CLAIM, contract.PACKAGE)
    for block in (*blocks, contract.SCHEDULE, contract.RECIPIENT):
        for name, known in block.fields.items():
            assert f"`{name}" in words, name
            if f"{block.name}.{name}" not in UNBUILT and known.default:
                assert f"`{known.default}`" in words, name


def test_the_manifests_in_the_readme_are_sound(write):
    blocks = re.findall(
        r"```yaml\n(.*?)```", (MANIFESTS / "README.md").read_text(), re.DOTALL
    )
    assert len(blocks) == 2
    for block in blocks:
        assert check(write(block))[1] == ()


# ----------------------------------------------------------------------------- seals

SEALS = {
    "nothing said": ("", None),
    "a table without a word": ("seal: {}\n", None),
    "one": ("seal: {timestamp: one}\n", ("one",)),
    "two in their order": ("seal: {timestamp: [two, one]}\n", ("two", "one")),
    "nobody": ("seal: {timestamp: []}\n", ()),
}


@pytest.mark.parametrize(("text", "names"), SEALS.values(), ids=SEALS)
def test_authorities_are_chosen_by_name(write, text, names):
    manifest, problems = check(write(HEAD + text), authorities=["one", "two"])
    assert problems == ()
    assert manifest.timestamp == names
    require_known(manifest, ["one", "two"])


def test_an_authority_that_nobody_knows_is_warned_of_and_no_run_goes_on(write):
    path = write(HEAD + "seal: {timestamp: [one, onne]}\n")
    manifest, (problem,) = check(path, authorities=["one", "two"])
    assert (problem.severity, problem.path) == ("warning", "seal.timestamp.1")
    assert problem.hint == 'did you mean "one"?'
    with pytest.raises(ManifestError, match="names no authority") as refused:
        require_known(manifest, ["one", "two"])
    assert refused.value.exit == 4


def test_without_any_authority_the_hint_says_where_they_are_named(write):
    manifest, (problem,) = check(
        write(HEAD + "seal: {timestamp: one}\n"), authorities=()
    )
    assert "[[seal.authority]]" in problem.hint
    _, (other,) = check(
        write(HEAD + "seal: {timestamp: one}\n"), authorities=["freetsa"]
    )
    assert other.hint == "known are freetsa"
    assert manifest is not None


# -------------------------------------------------------------------- the JSON Schema


def test_the_schema_offers_what_is_built_and_nothing_else():
    told = schema()
    assert told["$schema"].endswith("2020-12/schema")
    assert told["required"] == ["version", "id", "sources"]
    assert set(told["properties"]) == set(MANIFEST.fields)
    named = told["properties"]["sources"]["anyOf"][0]
    source = named["additionalProperties"]["anyOf"][1]
    assert set(source["properties"]) == set(SOURCE.fields) - {
        "linked",
        "screenshot",
        "pdf",
    }
    assert source["properties"]["capture"]["enum"] == ["auto", "http"]
    assert source["properties"]["tls"]["enum"] == ["verify", "record"]
    assert source["additionalProperties"] is False


def test_the_schema_is_json():
    assert json.loads(json.dumps(schema())) == schema()


def test_the_defaults_of_the_contract_are_those_of_the_model():
    model = {each.name: each.default for each in fields(Source)}
    for name, known in SOURCE.fields.items():
        if known.default and name in model:
            node = Scalar(START, known.default, plain=True)
            assert known.kind.read(node, Place(ledger=Ledger())) == model[name], name


# --------------------------------------------------------------------------- any bytes

PIECES = st.sampled_from(
    [
        *re.findall(r"\S+|\s+", FULL),
        "&a ",
        "*a",
        "!t ",
        "<<: ",
        "\x00",
        "\t",
        "null",
        "true",
        "[",
        "]",
        "{",
        "}",
        "9" * 30,
        "http://[::1",
        "headers: {Cookie: a}",
        "- ",
        "\n",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.lists(PIECES, max_size=60).map(lambda parts: "".join(parts).encode()),
    st.tuples(st.integers(0, len(FULL)), st.integers(0, 30), PIECES).map(
        lambda cut: (FULL[: cut[0]] + cut[2] + FULL[cut[0] + cut[1] :]).encode()
    ),
)


@given(data=TEXTS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_there_is_a_manifest_or_a_problem_that_can_be_shown(
    data, write
):
    manifest, problems = check(write(data))
    assert manifest is not None or any(p.severity is Severity.ERROR for p in problems)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
    render(problems).encode()
    json.dumps(problems_as_json(problems))


def test_a_bad_manifest_is_told_in_less_than_half_a_second(write):
    path = write(FULL.replace("robots: obey", "robots: obay"))
    script = (
        "import sys, pathlib\n"
        "from pipeline.intake import manifest\n"
        "print(manifest.render(manifest.check(pathlib.Path(sys.argv[1]))[1]))\n"
    )
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, check=True
    )
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert b'did you mean "obey"?' in ended.stdout
    # of the processor, which does not depend on what else the machine does
    assert spent.ru_utime + spent.ru_stime - begun.ru_utime - begun.ru_stime < 0.5


# ---------------------------------------------------------------------------- large ones


def _many(head: str, line: str, tail: str = "") -> Callable[[int], str]:
    """Write a manifest with as many lines of a kind as are asked for."""
    return lambda count: (
        "version: 1\nid: big\n"
        + head
        + "".join(line.format(n=n) for n in range(count))
        + tail.format(all=", ".join(f"s{n}" for n in range(count)))
    )


SOURCE_LINE = "  s{n}: https://h{n}.example/page\n"
LARGE = {
    "sources": _many("sources:\n", SOURCE_LINE),
    "one address again and again": _many("sources:\n", "  - https://a.example/\n"),
    "each derived from another": _many(
        "sources:\n", "  s{n}: {{url: 'https://h{n}.example/', derives_from: s0}}\n"
    ),
    "one claim on all": _many(
        "sources:\n", SOURCE_LINE, "claims:\n  c: {{says: so, supports: [{all}]}}\n"
    ),
    "defaults that name all": _many(
        "sources:\n", SOURCE_LINE, "defaults: {{derives_from: [{all}]}}\n"
    ),
    "each with a lost reference": _many(
        "sources:\n", "  s{n}: {{url: 'https://h{n}.example/', derives_from: x{n}}}\n"
    ),
    "each with a slip": _many(
        "sources:\n", "  s{n}: {{url: 'https://h{n}.example/', titel: x}}\n"
    ),
    "keys at the margin that are refused": _many(
        "sources: [https://a.example/]\n", "<<: {n}\n"
    ),
}


@pytest.mark.parametrize("write", LARGE.values(), ids=LARGE)
def test_a_large_manifest_takes_as_long_as_it_is_large(tmp_path, write):
    """Ten times the lines are ten times the calls, not a hundred times."""
    path = tmp_path / "big.yaml"

    def work(count: int) -> int:
        path.write_text(write(count))
        steps = 0

        def step(*_: object) -> None:
            nonlocal steps
            steps += 1

        sys.setprofile(step)
        try:
            check(path)
        finally:
            sys.setprofile(None)
        return steps

    assert work(2000) < 15 * work(200)
