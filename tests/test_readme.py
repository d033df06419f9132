"""README.txt: plain ASCII, and commands that work as they stand."""

import hashlib
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import (
    ACCESSION,
    CAPTURE,
    FINAL_URL,
    RUN,
    SOURCE,
    TEXT,
    WARC_PATH,
    accession_saying,
    at,
    run_saying,
)

from pipeline.model import Verdict
from pipeline.packaging.readme import readme, run_readme

TOLD = readme(ACCESSION).decode("ascii")
RUN_TOLD = run_readme(RUN, packed_at=at(60), files=(WARC_PATH,)).decode("ascii")
ALGORITHMS = ("sha256", "sha512")


def with_source(**changes):
    capture = replace(CAPTURE, source=replace(SOURCE, **changes))
    return replace(ACCESSION, capture=capture)


def commands(text, system):
    """The indented lines under the sentence that names a system."""
    _, after = re.split(rf"On {system}[^\n]*:\n\n", text, maxsplit=1)
    block = after.partition("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def counts(text):
    return [
        line.strip()
        for line in text.splitlines()
        if line.endswith(("wc -l", f"< manifest-{ALGORITHMS[0]}.txt"))
    ]


@pytest.fixture
def bag(tmp_path):
    """A small bag, made with nothing of ours but its README.txt."""
    (tmp_path / "data" / "objects").mkdir(parents=True)
    (tmp_path / "data" / "objects" / "a").write_bytes(b"one")
    (tmp_path / "data" / "b").write_bytes(b"two")
    (tmp_path / "README.txt").write_bytes(readme(ACCESSION))
    for algorithm in ALGORITHMS:
        write_list(tmp_path, f"manifest-{algorithm}.txt", ["data/objects/a", "data/b"])
    for algorithm in ALGORITHMS:
        tags = ["README.txt", *(f"manifest-{name}.txt" for name in ALGORITHMS)]
        write_list(tmp_path, f"tagmanifest-{algorithm}.txt", tags)
    return tmp_path


def write_list(folder, name, paths):
    algorithm = name.partition("-")[2].removesuffix(".txt")
    lines = [
        f"{hashlib.new(algorithm, (folder / path).read_bytes()).hexdigest()}  {path}\n"
        for path in paths
    ]
    (folder / name).write_text("".join(lines))


def run(folder, command):
    return subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("text", [TOLD, RUN_TOLD], ids=["a source", "a run"])
def test_no_line_is_longer_than_72_columns(text):
    assert max(len(line) for line in text.splitlines()) <= 72


@pytest.mark.parametrize("text", [TOLD, RUN_TOLD], ids=["a source", "a run"])
def test_it_says_whose_time_it_is(text):
    assert "(time asserted by this machine only)" in text


@pytest.mark.parametrize("text", [TOLD, RUN_TOLD], ids=["a source", "a run"])
def test_it_says_what_is_not_asserted(text):
    assert "WHAT IS NOT ASSERTED" in text


@pytest.mark.parametrize("said", [SOURCE.url, "partial", "truncated-time", FINAL_URL])
def test_it_says(said):
    assert said in TOLD


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict):
    capture = replace(CAPTURE, verdict=verdict, reasons=())
    text = readme(replace(ACCESSION, capture=capture)).decode()
    assert f"  Verdict   {verdict.value}\n" in text
    assert "Reasons" not in text


@pytest.mark.parametrize("text", [TOLD, RUN_TOLD], ids=["a source", "a run"])
def test_the_commands_for_linux_work_as_they_stand(text, bag):
    if not shutil.which("sha512sum"):
        pytest.skip("there is no sha512sum here")
    found = commands(text, "Linux")
    assert len(found) == 4
    assert [run(bag, command).returncode for command in found] == [0] * 4


def test_the_commands_for_macos_work_as_they_stand(bag):
    if not shutil.which("shasum"):
        pytest.skip("there is no shasum here")
    found = commands(TOLD, "macOS")
    assert len(found) == 4
    assert [run(bag, command).returncode for command in found] == [0] * 4


def test_the_commands_find_a_changed_file(bag):
    if not shutil.which("sha512sum"):
        pytest.skip("there is no sha512sum here")
    (bag / "data" / "b").write_bytes(b"too")
    (bag / "README.txt").write_bytes(b"another")
    found = commands(TOLD, "Linux")
    assert [run(bag, command).returncode for command in found] == [1] * 4


def test_the_two_numbers_agree(bag):
    first, second = (run(bag, command).stdout.strip() for command in counts(TOLD))
    assert (first, second) == ("2", "2")


def test_the_two_numbers_differ_where_a_file_was_added(bag):
    (bag / "data" / "added").write_bytes(b"")
    first, second = (run(bag, command).stdout.strip() for command in counts(TOLD))
    assert first != second


def test_the_commands_are_for_the_manifests_the_bag_has():
    text = readme(ACCESSION, algorithms=("md5", "sha512")).decode()
    assert commands(text, "Linux")[0] == "md5sum -c manifest-md5.txt"
    assert commands(text, "macOS")[0] == "shasum -a 512 -c manifest-sha512.txt"
    assert "sha256" not in text


def test_windows_has_its_own_lines():
    assert "Get-FileHash -Algorithm SHA256" in TOLD


def test_a_bag_without_a_warc_says_nothing_of_replay():
    capture = replace(CAPTURE, artefacts=(TEXT,))
    assert b"REPLAY" not in readme(replace(ACCESSION, capture=capture))


def test_before_any_answer_the_cited_address_is_the_one_to_open():
    capture = replace(CAPTURE, final_url="")
    text = readme(replace(ACCESSION, capture=capture)).decode()
    assert f"    {SOURCE.url}\n" in text


SPELT = {
    "quotation marks and dashes": (
        "\u201cIt\u2019s\u201d \u2014 so",
        'Title     "It\'s" - so\n',
    ),
    "another script": ("گزارش", "(not in ASCII; see data/metadata/capture.json)"),
}


@pytest.mark.parametrize(("title", "told"), SPELT.values(), ids=SPELT.keys())
def test_a_title_is_spelt_in_ascii_or_looked_up(title, told):
    assert told in readme(with_source(title=title)).decode()


def test_an_address_beyond_ascii_is_percent_encoded():
    text = readme(with_source(url="https://news.example/گ a")).decode()
    assert "https://news.example/%DA%AF%20a" in text


def test_a_run_without_a_document_names_none():
    text = run_readme(replace(RUN, document=None), packed_at=at(60)).decode()
    assert "  Document  " not in text


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.text(st.characters(codec=None), max_size=200))
def test_whatever_is_said_it_stays_ascii_in_72_columns(text):
    for data in (
        readme(accession_saying(text)),
        run_readme(run_saying(text), packed_at=at(60)),
    ):
        assert max(len(line) for line in data.decode("ascii").splitlines()) <= 72


def sealed(accession, *authorities):
    run = replace(accession.run, signer="sha256:" + "ab" * 32, authorities=authorities)
    return readme(replace(accession, run=run)).decode()


def test_a_seal_is_checked_with_openssl_line_by_line():
    page = sealed(ACCESSION)
    assert "HOW TO CHECK ITS SEAL" in page
    assert page.count("ab" * 16) == 2
    assert "openssl cms -verify" in page
    assert "openssl ts" not in page
    assert "time asserted by this machine only" in page
    assert max(map(len, page.splitlines())) <= 72


def test_authorities_are_named_and_roots_never_come_from_the_bag():
    page = " ".join(sealed(ACCESSION, "one", "two").split())
    assert "asked of one, two" in page
    assert "never from this bag" in page
    assert "asserted by this machine only" not in page
