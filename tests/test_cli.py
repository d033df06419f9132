"""The command line: exit statuses, one JSON document, and a sentence for each fault."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import baggery
import click
import origins
import pytest
from origins import Origin, answer

from pipeline import __version__, cli, errors, terminal
from pipeline.capture import net
from pipeline.clock import SystemClock
from pipeline.holdings.room import Room
from pipeline.holdings.store import Store
from pipeline.packaging.validate import validate

ROOT = Path(__file__).parents[1]
TITLE = b"Hi\x1b[31m\x07 there\xc2\x9b2J"
PAGES: dict[str, origins.Answer] = {
    "/page": answer(b"<title>" + TITLE + b"</title><p>The words that are cited."),
    "/robots.txt": answer(b"User-agent: *\nAllow: /\n", "text/plain"),
}
GOOD = """\
version: 1
id: case
defaults: {delay: 0s}
sources:
  page: {url: "http://one.example/page", quotes: [The words that are cited]}
  gone: {url: "http://one.example/gone", expect: [http-404]}
"""
BAD = """\
version: 1
id: case
sources:
  page: {url: "http://one.example/page", captuer: http}
  other: {url: "ftp://one.example/page"}
"""
NEWS = GOOD.replace(", expect: [http-404]", "")


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        told = json.loads(self.out)
        assert isinstance(told, dict)
        return told


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with no configuration of this machine about."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    (here / "good.yaml").write_text(GOOD)
    (here / "bad.yaml").write_text(BAD)
    (here / "news.yaml").write_text(NEWS)
    return here


@pytest.fixture
def says(place, capfd):
    """Run a command in this process, as ``main`` does."""

    def run(*words: str) -> Said:
        status = cli._status(cli.gathered(words))
        sys.stdout.flush()
        told = capfd.readouterr()
        return Said(status, told.out, told.err)

    return run


def started(*words: str, env: dict[str, str] | None = None, shell: str = "") -> Said:
    """Run a command as a process of its own; ``shell`` is what follows it in sh."""
    command = [sys.executable, "-W", "error", "-m", "pipeline.cli", *words]
    if shell:
        command = ["sh", "-c", f'"$@" {shell}', "sh", *command]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def site() -> Iterator[tuple[str, str]]:
    with Origin(dict(PAGES)) as origin:
        yield "--connect-to", f"one.example:80:127.0.0.1:{origin.port}"


@pytest.fixture
def held(says, site, place) -> Path:
    """An archive that one run has filled."""
    assert says("run", "good.yaml", "--quiet", *site).status == 0
    return place / "archive"


def bag_of(archive: Path, source: str) -> Path:
    (found,) = archive.glob(f"case/*/case_{source}_*")
    return found


# ------------------------------------------------------------------------------- help


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


@pytest.mark.parametrize("words", [(), *commands(cli.app)], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_tells_its_use(says, words, option):
    said = says(*words, option)
    assert said.status == 0
    assert said.out.startswith("Usage: muniment")
    assert len(said.out.splitlines()) > 3
    assert said.err == ""


def test_no_command_is_answered_with_what_there_is(says):
    said = says()
    assert said.status == 2
    assert said.err.startswith("Usage: muniment")
    assert said.out == ""


def test_no_command_with_json_is_an_error_in_json(says):
    assert says("--json").json["error"]["exit"] == 2


def test_the_version_is_told(says):
    assert says("--version").out.strip() == f"muniment, version {__version__}"


def test_the_help_names_every_exit_status(says):
    told = " ".join(says("--help").out.split())
    for status in errors.Exit:
        assert re.search(rf"\b{int(status)} [a-z]", told), status


def test_help_loads_nothing_that_is_slow():
    code = (
        "import sys\nfrom pipeline import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'requests', 'yaml', 'rich', 'selectolax', 'bagit', 'sqlite3'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stderr == "[]\n"


# ------------------------------------------------------------------ a log for programs

LOG_KEYS = ["timestamp", "logLevel", "context", "message", "details"]
LOGGING = {
    "a usage error": ("run", "--no-such-option"),
    "no command": (),
    "a bad manifest": ("run", "bad.yaml"),
    "a folder with a bad manifest": ("run", "--due", "."),
    "an upkeep": ("tend", ".", "--budget", "0"),
    "an absent bag": ("verify", "absent", "--debug"),
    "no archive": ("list",),
}


def log_of(said: Said) -> list[dict]:
    """The lines of a log, each with the five keys and nothing between."""
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert all(list(one) == LOG_KEYS for one in lines)
    return lines


@pytest.mark.parametrize("words", LOGGING.values(), ids=LOGGING)
def test_whatever_goes_wrong_is_json_line_by_line(says, words):
    said = says(*words, "--log-json")
    assert said.status != 0
    assert log_of(said)[-1]["logLevel"] in {"warn", "error"}


def test_a_run_is_logged_event_by_event(says, site):
    said = says("run", "good.yaml", *site, "--log-json", "--json")
    assert said.status == 0
    lines = log_of(said)
    told = [(one["context"], one["message"]) for one in lines]
    assert ("crawlStatus", "planned") in told
    assert ("pageStatus", "visiting") in told
    assert ("pageStatus", "captured") in told
    assert told[-1] == ("crawlStatus", "ended")
    assert lines[-1]["details"]["run_bag"] == said.json["run_bag"]


def test_an_error_stands_in_the_log_and_in_the_document(says):
    said = says("run", "absent.yaml", "--log-json", "--json")
    assert said.status == 2
    (one,) = log_of(said)
    assert one["details"] == said.json["error"]
    assert one["message"] == said.json["error"]["message"]


# --------------------------------------------------------------- options that hold for all

ANYWHERE = {
    "before the command": ("--archive", "X", "list"),
    "after the command": ("list", "--archive", "X"),
    "with an equals sign": ("list", "--archive=X"),
    "before, with an equals sign": ("--archive=X", "list"),
    "within a group": ("catalogue", "--archive", "X", "rebuild"),
}


@pytest.mark.parametrize("words", ANYWHERE.values(), ids=ANYWHERE)
def test_the_archive_is_named_before_or_after_the_command(says, held, words):
    held.rename(held.with_name("X"))
    assert says(*words, "--json").status == 0
    assert not held.exists()


def test_json_and_debug_stand_anywhere(says, held):
    before = says("--json", "--debug", "list")
    after = says("list", "--debug", "--json")
    assert before == after
    assert "captures" in before.json


def test_a_configuration_is_named_anywhere(says, held, place):
    held.rename(place / "elsewhere")
    (place / "own.toml").write_text('archive = "elsewhere"\n')
    assert says("list", "--config", "own.toml").status == 0
    assert says("--config=own.toml", "list").status == 0
    assert says("list").status == 2


GATHERED = {
    "nothing": ([], []),
    "after": (["list", "--json"], ["--json", "list"]),
    "a value": (["list", "--archive", "--json"], ["--archive", "--json", "list"]),
    "no value": (["list", "--archive"], ["--archive", "list"]),
    "behind two dashes": (["list", "--", "--json"], ["list", "--", "--json"]),
    "another's": (["run", "--only", "x", "--debug"], ["--debug", "run", "--only", "x"]),
    "with a sign": (["a", "--config=b=c"], ["--config=b=c", "a"]),
}


@pytest.mark.parametrize(("words", "expected"), GATHERED.values(), ids=GATHERED)
def test_options_are_gathered_to_the_front(words, expected):
    assert cli.gathered(words) == expected


# ------------------------------------------------------------------------------ errors

FAULTS = {
    "no such command": (("nosuch",), 2, "usage"),
    "no such option": (("list", "--nosuch"), 2, "usage"),
    "an absent manifest": (("run", "absent.yaml"), 2, "usage"),
    "an absent manifest to be checked": (("check", "absent.yaml"), 2, "usage"),
    "an absent path": (("verify", "absent"), 2, "usage"),
    "a profile that is none": (("verify", ".", "--profile", "x"), 2, "usage"),
    "an absent file to be received": (("receive", "absent.tar"), 2, "usage"),
    "no archive to export from": (("export", "x", "--to", "tar", "x.tar"), 2, "usage"),
    "a form that is none": (("export", ".", "--to", "rar", "x.rar"), 2, "usage"),
    "an absent configuration": (("list", "--config", "absent.toml"), 2, "usage"),
    "an absent archive": (("list",), 2, "usage"),
    "an absent archive to be shown": (("show", "x"), 2, "usage"),
    "an absent archive to be rebuilt": (("catalogue", "rebuild"), 2, "usage"),
    "an unknown source": (("run", "good.yaml", "--only", "x"), 2, "usage"),
    "an unknown source to be planned": (("plan", "good.yaml", "--only", "x"), 2, "usage"),
    "no network": (("run", "good.yaml", "--allow-address", "x"), 2, "usage"),
    "no rule": (("run", "good.yaml", "--connect-to", "x"), 2, "usage"),
    "no roots": (("run", "good.yaml", "--cacert", "absent.pem"), 2, "usage"),
    "a bad manifest": (("run", "bad.yaml"), 4, "manifest"),
    "a bad manifest to be planned": (("plan", "bad.yaml"), 4, "manifest"),
    "a bad manifest beside a good one": (("run", "good.yaml", "bad.yaml"), 4, "manifest"),
    "a level that is none": (("verify", ".", "--level", "x"), 2, "usage"),
    "a folder that is absent": (("bag", "absent", "--into", "x"), 2, "usage"),
    "a bag that stands already": (("bag", ".", "--into", "."), 2, "usage"),
    "metadata without a value": (("bag", ".", "--into", "../x", "--info", "x"), 2, "usage"),
    "a shell that is none": (("completion", "tcsh"), 2, "usage"),
    "an archive that is a file": (("run", "good.yaml", "--archive", "good.yaml"), 3, "storage"),
    "a demo in a file": (("demo", "--archive", "good.yaml"), 3, "storage"),
    "a place that is a file": (("init", "good.yaml"), 3, "storage"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "status", "code"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_a_status_and_a_sentence(says, words, status, code):
    said = says(*words)
    assert said.status == status
    assert said.out == ""
    assert said.err.startswith("muniment: ")
    assert "Traceback" not in said.err
    told = says(*words, "--json")
    assert told.status == status
    error = told.json["error"]
    assert (error["code"], error["exit"]) == (code, status)
    assert error["message"] in said.err.removeprefix("muniment: ")


def test_nothing_is_made_by_a_command_that_was_refused(says, place):
    before = sorted(place.rglob("*"))
    for words, _, code in FAULTS.values():
        if code == "usage":
            says(*words)
    assert sorted(place.rglob("*")) == before


def test_the_problems_of_a_manifest_are_in_the_error(says):
    told = says("run", "bad.yaml", "--json").json
    assert len(told["problems"]) == 2
    assert {"severity", "file", "line", "column", "path", "message", "hint"} == set(
        told["problems"][0]
    )
    assert told["error"]["exit"] == 4


def test_a_configuration_that_makes_no_sense_is_told(says, place):
    (place / "muniment.toml").write_text("archive = [")
    said = says("check", "good.yaml")
    assert said.status == 2
    assert "muniment.toml" in said.err


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("unforeseen")


def test_a_fault_of_ours_is_a_sentence_without_debug_and_a_traceback_with_it(
    says, monkeypatch
):
    monkeypatch.setattr(terminal, "say_json", broken)
    said = says("schema")
    assert said.status == 1
    assert "RuntimeError: unforeseen; this is a fault of Muniment" in said.err
    assert "Traceback" not in said.err
    told = says("schema", "--debug")
    assert told.status == 1
    assert "Traceback" in told.err
    assert "in broken" in told.err


def test_an_error_has_a_traceback_under_debug_alone(says):
    assert "Traceback" in says("--debug", "verify", "absent").err
    assert "Traceback" not in says("verify", "--", "--debug").err


def test_ctrl_c_is_a_status_of_its_own(says, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "say_json", interrupted)
    said = says("schema")
    assert (said.status, said.err.strip()) == (11, "muniment: interrupted")


def test_main_ends_the_process_with_the_status(place, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "absent"])
    assert ended.value.code == 2
    at_once: list[int] = []
    monkeypatch.setattr(os, "_exit", at_once.append)
    monkeypatch.setattr(sys, "argv", ["muniment", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert at_once == [0]
    at_once.clear()
    monkeypatch.setattr(cli, "_status", lambda _: 11)
    with pytest.raises(SystemExit):
        cli.main([])
    assert at_once == [11]


# ---------------------------------------------------------------------- streams and tongues


def test_a_reader_who_leaves_early_sees_no_traceback(held):
    said = started("schema", shell="| head -n 1")
    assert (said.out, said.err) == ("{\n", "")


def test_a_reader_who_leaves_early_does_not_change_the_status(place, monkeypatch):
    """The reader closes its end before a word is written."""
    reading, writing = os.pipe()
    os.close(reading)
    (place / "bag").mkdir()
    (place / "bag" / "bagit.txt").write_text("no bag")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "verify", "bag", "--json"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (5, b"")


def test_a_run_goes_on_when_nobody_hears_of_it(place, site):
    said = started("run", "good.yaml", *site, shell="2>&1 | true")
    assert said.err == ""
    with Store.open(place / "archive", SystemClock()).lock("test"):
        pass
    assert len(list((place / "archive" / "case").glob("*/*"))) == 3


def test_a_result_that_finds_no_room_is_a_matter_of_storage(place):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    said = started("schema", shell="> /dev/full")
    assert said.status == 3
    assert said.err.startswith("muniment: standard output: No space left on device")
    assert len(said.err.splitlines()) == 1


TONGUES = {
    "plain C": {"LC_ALL": "C"},
    "C without coercion": {
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    },
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
}


@pytest.mark.parametrize("env", TONGUES.values(), ids=TONGUES)
def test_a_terminal_of_any_tongue_is_served(place, site, env):
    said = started("run", "news.yaml", *site, env=env)
    assert said.status == 6
    assert "refused: gone" in said.out
    assert "Traceback" not in said.err
    page = bag_of(place / "archive", "page").name
    assert started("show", page, env=env).status == 0
    assert started("show", page, "--json", env=env).json["bag"] == page


def test_a_title_that_would_steer_the_terminal_never_reaches_it(says, held):
    page = bag_of(held, "page").name
    for words in (("show", page), ("show", page, "--json"), ("list",), ("list", "--json")):  # fmt: skip
        said = says(*words)
        assert said.status == 0
        assert not any(c in said.out + said.err for c in "\x1b\x07\x9b")
    assert "there" in says("show", page).out


# -------------------------------------------------------------------------- manifests


def test_check_is_content_with_a_good_manifest(says):
    said = says("check", "good.yaml")
    assert (said.status, said.err) == (0, "")
    assert said.out == "good.yaml: ok, 2 sources, 1 quote, 0 claims\n"
    assert says("check", "good.yaml", "--json").json == {"ok": True, "problems": []}


def test_check_warns_of_a_variable_that_is_not_set(says, place, monkeypatch):
    text = GOOD.replace("cited]}", "cited], headers: {X-Key: env:MY_KEY}}")
    (place / "good.yaml").write_text(text)
    monkeypatch.delenv("MY_KEY", raising=False)
    said = says("check", "good.yaml")
    assert said.status == 0
    assert 'headers.X-Key: the variable "MY_KEY" is not set' in said.out
    assert "good.yaml: ok" in said.out
    assert says("check", "good.yaml", "--json").json["ok"] is True
    monkeypatch.setenv("MY_KEY", "x")
    assert says("check", "good.yaml", "--json").json["problems"] == []


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(says, place, command):
    os.mkfifo(place / "pipe")
    for name in (str(place / "pipe"), "/dev/zero"):
        said = says(command, name)
        assert said.status == 2
        assert f"{name}: expected a regular file" in said.err


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_file_cannot_forge_a_line_by_its_name(says, place, command):
    name = "a\nforged: ok\x1b[31m.yaml"
    for text in ("version: 1\n", None):
        if text:
            (place / name).write_text(text)
        else:
            (place / name).unlink()
        said = says(command, name)
        assert said.status != 0
        assert "\nforged" not in said.out + said.err
        assert "\x1b" not in said.out + said.err


def test_plan_tells_the_delay_as_one_writes_it(says, place):
    (place / "good.yaml").write_text(GOOD.replace("0s", "100ms"))
    assert "  0.1s  " in says("plan", "good.yaml").out
    (place / "good.yaml").write_text(GOOD.replace("0s", "5s"))
    assert "  5s     " in says("plan", "good.yaml").out


CHECKS = {0: (), 1: ("a: 1",), 5: ("a: 1", "b: 2", "c: 3", "d: 4", "e: 5")}


@pytest.mark.parametrize("count", CHECKS)
def test_check_tells_every_problem_at_once(says, place, count):
    (place / "odd.yaml").write_text("\n".join([GOOD, *CHECKS[count]]))
    said = says("check", "odd.yaml", "--json")
    assert said.status == (4 if count else 0)
    assert said.json["ok"] is not bool(count)
    assert len(said.json["problems"]) == count
    text = says("check", "odd.yaml")
    assert text.status == said.status
    assert text.out.count("odd.yaml:") == max(count, 1)


def test_check_reads_every_manifest_before_it_complains(says):
    said = says("check", "bad.yaml", "good.yaml")
    assert said.status == 4
    assert "2 problems in bad.yaml; nothing was fetched." in said.out
    assert "good.yaml: ok" in said.out


def test_the_operator_of_the_machine_is_given_to_every_reader_of_a_manifest(
    says, place, monkeypatch
):
    from pipeline.intake import manifest

    (place / "muniment.toml").write_text('[operator]\nname = "A. Archivist"\n')
    heard = []
    check, read = manifest.check, manifest.read

    def noting(call):
        def noted(path, *, operator, **more):
            heard.append(operator.name)
            return call(path, operator=operator, **more)

        return noted

    monkeypatch.setattr(manifest, "check", noting(check))
    says("check", "good.yaml")
    monkeypatch.setattr(manifest, "check", check)
    monkeypatch.setattr(manifest, "read", noting(read))
    says("plan", "good.yaml")
    assert heard == ["A. Archivist"] * 2


def test_the_schema_is_json(says):
    said = says("schema")
    assert said.status == 0
    assert "sources" in said.json["properties"]


def test_plan_touches_no_network(says, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(net, "resolve", refused)
    told = says("plan", "good.yaml", "--json")
    assert told.status == 0
    assert told.json["hosts"] == 1
    assert [s["id"] for s in told.json["sources"]] == ["page", "gone"]
    said = says("plan", "good.yaml", "--only", "page")
    assert "1 source on 1 host; nothing was asked." in said.out
    assert "User-Agent: Muniment/" in said.out


def test_plan_lists_what_is_skipped_and_why(says, place):
    (place / "later.yaml").write_text(
        "version: 1\nid: case\nsources:\n"
        "  a: {url: 'http://one.example/', skip: address unsure}\n"
    )
    assert "address unsure" in says("plan", "later.yaml").out


# --------------------------------------------------------------------------------- run


def test_a_run_prints_what_it_kept(says, site, place):
    said = says("run", "good.yaml", *site)
    assert said.status == 0
    assert "refused: gone: the server answered 404" in said.out
    assert "2 sources on 1 host" in said.err
    assert "[2/2]" in said.err


def test_a_run_prints_one_json_document(says, site):
    said = says("run", "good.yaml", "--json", *site)
    assert said.status == said.json["exit"] == 0
    run_bag = Path(said.json["run_bag"])
    kept = json.loads((run_bag / "data/metadata/run.json").read_bytes())
    assert said.json == kept | {"run_seal": said.json["run_seal"]}  # made after it
    assert said.json["bags"][0]["seal"]["state"] == "untimestamped"


def test_news_is_a_status_once(says, site):
    assert says("run", "news.yaml", *site).status == 6
    assert says("run", "news.yaml", *site).status == 0
    assert says("run", "news.yaml", "--strict", *site).status == 6


def test_several_manifests_are_told_in_one_document(says, site, place):
    (place / "second.yaml").write_text(NEWS.replace("id: case", "id: second"))
    said = says("run", "good.yaml", "second.yaml", "--json", *site)
    assert said.status == 6
    assert set(said.json) == {"runs", "exit"}
    assert [run["job"] for run in said.json["runs"]] == ["case", "second"]
    assert [run["exit"] for run in said.json["runs"]] == [0, 6]
    assert says("run", "good.yaml", "second.yaml", *site).out.count("run's own") == 2


def test_no_manifest_is_run_where_one_of_them_cannot_be(says, site, place):
    (place / "second.yaml").write_text(
        "version: 1\nid: second\nsources: {other: 'http://one.example/'}\n"
    )
    said = says("run", "good.yaml", "second.yaml", "--only", "page", *site)
    assert said.status == 2
    assert not (place / "archive").exists()


def test_an_address_on_this_machine_is_reached_when_it_is_allowed(says, place):
    with Origin(dict(PAGES)) as origin:
        (place / "own.yaml").write_text(
            "version: 1\nid: own\ndefaults: {delay: 0s}\n"
            f"sources: {{page: '{origin.url}/page'}}\n"
        )
        refused = says("run", "own.yaml", "--json")
        assert refused.json["sources"][0]["reasons"] == ["blocked-address"]
        assert refused.status == 6
        assert origin.requests == []
        allowed = says("run", "own.yaml", "--json", "--allow-address", "127.0.0.1/32")
        assert allowed.json["sources"][0]["verdict"] == "captured"


def test_roots_of_ones_own_are_trusted(says, place, authority):
    tls = authority.server("one.example")
    with Origin(dict(PAGES), tls=tls) as origin:
        rule = ("--connect-to", f"one.example:443:127.0.0.1:{origin.port}")
        (place / "tls.yaml").write_text(
            "version: 1\nid: tls\nsources:\n"
            "  page: {url: 'https://one.example/page', retries: 0, delay: 0s}\n"
        )
        distrusted = says("run", "tls.yaml", "--json", *rule)
        assert distrusted.json["sources"][0]["reasons"] == ["tls"]
        trusted = says("run", "tls.yaml", "--json", "--cacert", str(authority.path), *rule)  # fmt: skip
        assert trusted.json["sources"][0]["verdict"] == "captured"


def test_a_certificate_that_fails_is_kept_as_suspect_where_the_manifest_says(
    says, place, authority
):
    tls = authority.server("other.example")
    with Origin(dict(PAGES), tls=tls) as origin:
        rule = ("--connect-to", f"one.example:443:127.0.0.1:{origin.port}")
        (place / "record.yaml").write_text(
            "version: 1\nid: record\ndefaults: {retries: 0, delay: 0s, robots: ignore}\n"
            "sources:\n  page: {url: 'https://one.example/page', tls: record}\n"
        )
        roots = ("--cacert", str(authority.path))
        done = says("run", "record.yaml", "--json", *roots, *rule)
    (source,) = done.json["sources"]
    assert (source["verdict"], source["reasons"]) == ("suspect", ["tls-invalid"])
    assert done.status == 6
    assert says("verify", "archive").status == 0
    told = [json.loads(one.read_text()) for one in place.rglob("capture.json")]
    (connection,) = next(one for one in told if one["job"] == "record")["connections"]
    assert connection["error"] == "HOSTNAME_MISMATCH"


def test_a_second_run_on_a_held_archive_names_the_holder(says, site, place):
    asked, may_go = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        asked.set()
        may_go.wait(120)
        connection.sendall(answer(b"late"))

    with Origin({"/page": slow, "/robots.txt": PAGES["/robots.txt"]}) as origin:
        first = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "run", "good.yaml", "--connect-to", f"one.example:80:127.0.0.1:{origin.port}"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert asked.wait(120)
            second = started("run", "good.yaml", "--json", *site)
        finally:
            may_go.set()
            first.wait(120)
    assert second.status == 9
    error = second.json["error"]
    assert (error["code"], error["exit"]) == ("locked", 9)
    assert "run case" in error["message"]
    assert str(first.pid) in error["message"]
    assert first.returncode == 0


@pytest.fixture
def full(monkeypatch) -> None:
    """A disk that is full when the run's own bag of the second run is put away."""
    move = Room.move

    def refuse(room: Room, old: Path, new: Path) -> None:
        if new.name.startswith("case2_run") and ".muniment" not in new.parts:
            raise errors.StorageError(f"{new}: No space left on device")
        move(room, old, new)

    monkeypatch.setattr(Room, "move", refuse)


def test_an_error_half_way_names_the_bags_of_every_run(says, site, place, full):
    (place / "second.yaml").write_text(GOOD.replace("id: case", "id: case2"))
    words = ("run", "good.yaml", "second.yaml", "--quiet", *site)
    said = says(*words)
    assert said.status == 3
    assert "\n5 bags were kept before: /" in said.err
    error = says(*words, "--json").json["error"]
    assert error["code"] == "storage"
    kept = [Path(one["path"]) for one in error["bags"]]
    assert all(path.is_dir() for path in kept)
    assert [path.name for path in kept] == [one["id"] for one in error["bags"]]


def test_an_archive_that_may_not_be_written_is_named(says, place):
    if os.geteuid() == 0:
        target = Path("/proc/muniment")  # where even root writes nothing
    else:
        target = place / "closed" / "archive"
        target.parent.mkdir(mode=0o555)
    said = says("run", "good.yaml", "--archive", str(target))
    assert said.status == 3
    assert str(target.parent) in said.err


# -------------------------------------------------------------------------------- verify


def test_a_whole_archive_is_verified(says, held):
    said = says("verify", str(held))
    assert said.status == 0
    assert said.out.endswith("3 bags, 0 invalid\n")
    told = says("verify", str(held), "--json").json
    assert told["ok"] is True
    assert {"path", "ok", "level", "version", "algorithms", "files", "bytes", "findings"} <= set(told["bags"][0])  # fmt: skip
    assert all(Path(bag["path"]).is_absolute() for bag in told["bags"])


def test_a_relative_path_is_told_absolute(says, held):
    told = says("verify", "archive", "--json").json
    assert all(Path(bag["path"]).is_absolute() for bag in told["bags"])


def test_a_folder_without_a_bag_is_no_success(says, place):
    (place / "empty").mkdir()
    said = says("verify", "empty")
    assert (said.status, said.out) == (5, "no bag was found there\n")
    assert says("verify", "empty", "--json").json == {"bags": [], "ok": False}


def test_a_damaged_bag_is_told_with_its_file_and_the_clause(says, held):
    bag = bag_of(held, "page")
    with (bag / "data/metadata/capture.json").open("ab") as file:
        file.write(b" ")
    said = says("verify", str(bag))
    assert said.status == 5
    assert "data/metadata/capture.json" in said.out
    assert "RFC 8493" in said.out
    (told,) = says("verify", str(bag), "--json").json["bags"]
    assert told["ok"] is False
    assert {"code", "severity", "path", "message", "clause"} == set(told["findings"][0])
    assert "data/metadata/capture.json" in {one["path"] for one in told["findings"]}


def test_one_bad_bag_among_good_ones_is_enough_and_comes_first(says, held):
    (bag_of(held, "gone") / "data/metadata/index.cdxj").unlink()
    said = says("verify", str(held))
    assert said.status == 5
    assert said.out.startswith("INVALID: ")
    assert said.out.endswith("3 bags, 1 invalid\n")


def test_a_level_says_how_deep_to_look(says, held):
    bag = bag_of(held, "page")
    file = bag / "data/metadata/capture.json"
    file.write_bytes(file.read_bytes().replace(b"case", b"csae"))
    assert says("verify", str(bag), "--level", "complete").status == 0
    assert says("verify", str(bag), "--level", "full").status == 5


def test_a_name_that_is_no_text_is_told_in_text_and_json(says, place):
    bag = place / "odd"
    (bag / "data").mkdir(parents=True)
    (bag / "data" / os.fsdecode(b"\xff\x1b[2J")).write_bytes(b"")
    said = says("verify", str(bag))
    assert said.status == 5
    assert "\x1b" not in said.out
    assert says("verify", str(bag), "--json").json["ok"] is False


def test_verify_holds_bags_to_a_profile_by_name_or_file(says, held, place):
    assert says("verify", str(held), "--profile", "muniment").status == 0
    profile = place / "own.json"
    shipped = Path(cli.__file__).parent / "packaging" / "profiles" / "btr-1.0.json"
    profile.write_bytes(shipped.read_bytes())
    for name in ("btr", str(profile)):
        said = says("verify", str(held), "--profile", name, "--json")
        codes = {one["code"] for bag in said.json["bags"] for one in bag["findings"]}
        assert (said.status, "profile-identifier" in codes) == (5, True)


def test_our_own_profile_makes_an_unlisted_tag_file_an_error(says, held):
    bag = bag_of(held, "page")
    (bag / "later.txt").write_text("later")
    assert says("verify", str(bag)).status == 0
    assert says("verify", str(bag), "--profile", "muniment").status == 5


def test_a_file_that_is_no_bag_is_named_with_the_rule(says):
    said = says("verify", "good.yaml")
    assert said.status == 5
    assert "INVALID: good.yaml" in said.out
    assert "serialization: it is neither tar" in said.out


# -------------------------------------------------------------------- out, and in again

FORMS = ("tar", "tar.gz", "zip")


@pytest.mark.parametrize("form", FORMS)
def test_a_bag_goes_out_and_comes_in_again(says, held, place, form):
    out = f"page.{form}"
    said = says("export", "case/page", "--to", form, out)
    assert said.status == 0
    assert said.out.startswith(f"wrote {out} (")
    assert "verified; line " in said.out
    assert hashlib.sha256((place / out).read_bytes()).hexdigest() in said.out
    assert says("verify", out, "--profile", "muniment").status == 0
    said = says("receive", out, "--archive", "other", "--job", "gifts")
    assert said.status == 0
    assert said.out.startswith(f"kept: {out} as ")
    (kept,) = (place / "other").glob("gifts/*/case_page_*")
    assert says("verify", str(kept)).status == 0


def test_a_kit_goes_out_with_the_word_of_its_script(says, held, place):
    said = says("export", "case/page", "--to", "kit", "kit")
    assert said.status == 0, said.err
    assert "no time is proven by others" in said.out
    assert "VERIFIED: " in said.out
    assert "wrote kit (" in said.out
    told = says("export", "case/page", "--to", "kit", "again", "--json").json
    assert told["form"] == "kit"
    assert told["digests"] == {}
    assert told["said"][-1].startswith("VERIFIED: ")
    (place / "kit" / bag_of(held, "page").name / "added.txt").write_text("x")
    done = subprocess.run(["/bin/sh", place / "kit/verify.sh"], env={}, check=False)
    assert done.returncode == 1


def test_an_export_is_in_the_custody_log(says, held):
    told = says("export", "page", "--to", "zip", "page.zip", "--json").json
    assert told["verified"] is True
    assert told["bag"] == str(bag_of(held, "page"))
    lines = (held / ".muniment" / "custody.jsonl").read_text().splitlines()
    logged = json.loads(lines[told["log_line"]])
    assert (logged["act"], logged["outcome"]) == ("export", "success")
    assert logged["bag"] == bag_of(held, "page").name
    assert told["digests"]["sha256"] in logged["detail"]


def test_an_export_by_folder_is_logged_where_it_is_the_archives(says, held, place):
    said = says("export", str(bag_of(held, "page")), "--to", "tar", "in.tar", "--json")
    assert said.json["log_line"] is not None
    elsewhere = place / "copy"
    shutil.copytree(bag_of(held, "page"), elsewhere)
    said = says("export", str(elsewhere), "--to", "tar", "out.tar", "--json")
    assert (said.status, said.json["log_line"]) == (0, None)


def test_an_export_replaces_nothing(says, held, place):
    said = says("export", "page", "--to", "tar", "good.yaml")
    assert said.status == 2
    assert (place / "good.yaml").read_text() == GOOD


def test_a_wrong_bag_is_not_exported(says, held, place):
    bag = bag_of(held, "page")
    (bag / "data/objects/capture.warc.gz").write_bytes(b"x")
    said = says("export", "page", "--to", "tar", "page.tar")
    assert (said.status, said.out) == (5, "")
    assert not (place / "page.tar").exists()
    log = (held / ".muniment" / "custody.jsonl").read_text()
    assert '"outcome":"failure"' in log.splitlines()[-1]


def forged(bag: Path, old: str, new: str) -> Path:
    """Change what a bag tells of itself and make its manifests anew."""
    for path in (bag / "data/metadata/capture.json", bag / "bag-info.txt"):
        text = path.read_text("utf-8")
        path.write_text(text.replace(old, new), "utf-8")
    for path in bag.glob("seal-*"):
        path.unlink()
    data = [path for path in (bag / "data").rglob("*") if path.is_file()]
    files = {os.fsencode(path.relative_to(bag)): path.read_bytes() for path in data}
    oxum = f"Payload-Oxum: {sum(map(len, files.values()))}.{len(files)}"
    info = (bag / "bag-info.txt").read_text("utf-8")
    info = re.sub(r"Payload-Oxum: .*", oxum, info)
    info = re.sub(r"Evidence-Signer: .*\n", "", info)
    (bag / "bag-info.txt").write_text(info, "utf-8")
    for algorithm in baggery.ALGORITHMS:
        baggery.manifest(bag, algorithm, files)
    return baggery.seal(bag)


def test_a_bag_that_is_not_the_one_that_was_kept_is_not_exported(says, held, place):
    bag = forged(bag_of(held, "page"), "kept whole", "kept by us")
    said = says("export", "page", "--to", "tar", "page.tar")
    assert said.status == 5
    assert "ledger-mismatch" in said.err
    assert not (place / "page.tar").exists()
    log = (held / ".muniment" / "custody.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["outcome"] == "failure"
    rebuilt = says("catalogue", "rebuild")
    assert f"{bag}: the log has sha256:" in rebuilt.out


def test_what_was_received_is_no_capture_of_this_archive(says, held, place, site):
    mine = bag_of(held, "page")
    theirs = place / mine.name.replace("page_2", "page_9")
    shutil.copytree(mine, theirs)
    started_at = json.loads((mine / "data/metadata/capture.json").read_text())[
        "started"
    ]
    forged(theirs, started_at, "2099-01-01T00:00:00.000000Z")
    forged(theirs, mine.name, theirs.name)
    kept = says("receive", str(theirs), "--job", "case", "--json").json["received"]
    assert kept[0]["kept"], kept
    assert says("show", "case/page", "--json").json["path"] == str(mine)
    listed = says("list", "--json").json["captures"]
    assert [one["origin"] for one in listed].count("received") == 1
    told = says("show", theirs.name).out
    assert "origin     received, not captured here" in told
    assert says("run", "good.yaml", "--quiet", *site).status == 0
    for bag in held.glob("case/*/*"):
        if bag.name != theirs.name:
            assert theirs.name not in (bag / "bag-info.txt").read_text()


def test_a_strangers_bag_is_listed_and_shown(says, held, place):
    baggery.sound(place / "gift")
    assert says("receive", "gift").status == 0
    assert "  received  " in says("list").out
    told = says("show", "gift")
    assert told.status == 0
    assert "Payload-Oxum:" in told.out


def test_a_job_that_is_not_there_is_not_an_empty_one(says, held):
    said = says("list", "nojob")
    assert (said.status, said.out) == (2, "")
    assert "there are: case" in said.err


def test_what_is_wrong_is_set_aside_and_what_is_odd_refused(says, held, place):
    bag = place / "gift"
    shutil.copytree(bag_of(held, "page"), bag)
    assert says("receive", str(bag), "--archive", "other").status == 0
    said = says("receive", str(bag), "good.yaml", "--archive", "other", "--json")
    assert said.status == 5
    again, odd = said.json["received"]
    assert again["error"]["code"] == "already-kept"
    assert (odd["kept"], odd["error"]["code"]) == (False, "rejected")
    assert odd["error"]["findings"][0]["code"] == "serialization"
    (bag / "data/objects/capture.warc.gz").write_bytes(b"x")
    bag.rename(place / "wrong")
    said = says("receive", "wrong", "--archive", "third")
    assert said.status == 5
    assert said.out.startswith("SET ASIDE: wrong as ")
    assert "error: digest-mismatch: data/objects/capture.warc.gz" in said.out
    assert said.out.count("\n") > 1


def test_a_bag_that_is_here_already_is_a_sentence(says, held):
    bag = bag_of(held, "page")
    said = says("export", "page", "--to", "tar", "page.tar")
    said = says("receive", "page.tar")
    assert said.status == 2
    assert said.out.startswith(f"refused: page.tar: this bag is kept already, as {bag}")


# ------------------------------------------------------------------------------ holdings


def test_a_verification_is_written_as_a_page(says, place):
    baggery.sound(place / "bag")
    said = says("verify", "bag", "--html", "out.html", "--json")
    assert (said.status, said.json["ok"]) == (0, True)
    page = (place / "out.html").read_text("utf-8")
    assert "1 bag, none invalid" in page
    assert f"muniment {__version__}" in page
    again = says("verify", "bag", "--html", "out.html")
    assert again.status == 2
    assert again.err == "muniment: out.html exists already; nothing was written\n"
    assert (place / "out.html").read_text("utf-8") == page


def test_a_second_opinion_stands_beside_ours(says, place):
    bag = baggery.sound(place / "bag")
    baggery.swap(bag, "bag-info.txt", b"Date: ", b"Date:")
    baggery.seal(bag)
    said = says("verify", "bag", "--second-opinion")
    assert said.status == 5
    (row,) = [one for one in said.out.splitlines() if one.startswith("bagit ")]
    assert "valid" in row
    assert "differs: bagit does not judge how" in row
    (told,) = says("verify", "bag", "--second-opinion", "--json").json["bags"]
    (opinion,) = told["opinions"]
    assert (opinion["peer"], opinion["agrees"]) == ("bagit", False)
    assert "opinions" not in says("verify", "bag", "--json").json["bags"][0]


def test_what_is_held_is_listed(says, held):
    captures = says("list", "--json").json["captures"]
    assert {(one["source"], one["verdict"]) for one in captures} == {
        ("page", "captured"),
        ("gone", "refused"),
    }
    assert all(Path(one["path"]).is_dir() for one in captures)
    said = says("list", "case")
    assert said.status == 0
    assert len(said.out.splitlines()) == 3
    assert says("list", "another").status == 2


SHOWN = {"by its bag": "{bag}", "by job and source": "case/page", "by source": "page"}


@pytest.mark.parametrize("name", SHOWN.values(), ids=SHOWN)
def test_a_source_is_shown(says, held, name):
    bag = bag_of(held, "page")
    said = says("show", name.format(bag=bag.name))
    assert said.status == 0
    assert f"folder     {bag}" in said.out
    assert "quote      found: The words that are cited" in said.out
    told = says("show", name.format(bag=bag.name), "--json").json
    assert told["path"] == str(bag)
    assert told["verdict"] == "captured"


def test_a_run_is_shown_by_its_bags(says, held):
    run_bag = bag_of(held, "run")
    said = says("show", run_bag.name)
    assert said.status == 0
    assert str(bag_of(held, "page")) in said.out
    told = says("show", run_bag.name, "--json").json
    assert str(bag_of(held, "page")) in told["bags"]


def test_what_is_not_held_is_not_shown(says, held):
    assert says("show", "nothing").status == 2


def test_a_bag_that_tells_nothing_is_a_matter_of_fixity(says, held):
    bag = bag_of(held, "page")
    (bag / "data/metadata/capture.json").write_text("{")
    assert says("show", bag.name).status == 5
    (bag / "data/metadata/capture.json").unlink()
    said = says("show", bag.name)
    assert said.status == 5
    assert "neither capture.json nor run.json" in said.err


@pytest.fixture
def frozen(held) -> Iterator[Path]:
    """A copy of the archive that this process may read and not write."""
    is_root = os.geteuid() == 0  # who may write anywhere
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(shutil.copytree(held, Path(folder) / "archive"))
        tree = [copy, *copy.rglob("*")]
        for path in tree:
            path.chmod(0o555 if path.is_dir() else 0o444)
        if is_root:
            os.seteuid(65534)
        try:
            yield copy
        finally:
            if is_root:
                os.seteuid(0)
            for path in tree:
                path.chmod(0o755)


def test_an_archive_that_cannot_be_written_is_read_and_left_as_it_was(says, frozen):
    before = sorted(frozen.rglob("*"))
    listed = says("list", "--json", "--archive", str(frozen))
    assert listed.status == 0
    assert len(listed.json["captures"]) == 2
    assert says("show", "page", "--archive", str(frozen)).status == 0
    assert sorted(frozen.rglob("*")) == before


def test_a_reader_waits_for_no_lock_and_takes_none(says, held):
    with closing(Store.open(held, SystemClock())) as store, store.lock("a test"):
        assert says("list").status == 0


@pytest.mark.parametrize("words", [("list",), ("show", "page")], ids=" ".join)
def test_a_reader_makes_nothing_where_there_is_no_catalogue(says, place, words):
    (place / "archive").mkdir()
    said = says(*words)
    assert said.status == 3
    assert "`muniment catalogue rebuild`" in said.err
    assert not list((place / "archive").iterdir())


def test_the_catalogue_is_made_anew(says, held):
    (held / ".muniment/catalogue.sqlite").unlink()
    assert says("catalogue", "rebuild", "--json").json == {"bags": 3, "problems": []}
    assert says("catalogue", "rebuild").out == "the catalogue lists 3 bags\n"
    file = bag_of(held, "page") / "data/metadata/capture.json"
    file.write_text("{")
    said = says("catalogue", "rebuild")
    assert said.status == 0
    assert "capture.json" in said.out


# ---------------------------------------------------------------------------- beginnings


def test_a_folder_becomes_a_bag_and_is_not_touched(says, place):
    folder = place / "folder"
    (folder / "empty").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    said = says("bag", "folder", "--into", "new", "--info", "Source-Organization=A=B")
    assert said.status == 0
    assert said.out == "new: 1 file, 1 byte\n"
    assert "empty" in said.err  # no manifest can list it
    assert validate(place / "new").ok
    assert "Source-Organization: A=B" in (place / "new/bag-info.txt").read_text()
    assert sorted(one.name for one in folder.iterdir()) == ["a.txt", "empty"]
    told = says("bag", "folder", "--into", "newer", "--json").json
    assert told["path"] == str(place / "newer")
    assert set(told["tagmanifest"]) == {"sha256", "sha512"}


def test_a_beginning_is_written_and_checked(says, place):
    said = says("init", "fresh")
    assert said.status == 0
    assert "next: fill in the manifest" in said.out
    assert says("check", "fresh/manifests/example.yaml").status == 0
    assert says("config", "--config", "fresh/muniment.toml").status == 0
    again = says("init", "fresh")
    assert again.status == 2
    assert "exists already; nothing was written" in again.err
    told = says("init", "other", "--json").json
    assert [Path(path).is_file() for path in told["written"]] == [True, True]


def test_init_replaces_nothing_and_leaves_no_half(says, place):
    (place / "manifests").mkdir()
    (place / "manifests/example.yaml").write_text("mine")
    assert says("init").status == 2
    assert (place / "manifests/example.yaml").read_text() == "mine"
    assert not (place / "muniment.toml").exists()


def test_the_settings_that_hold_are_shown_and_whence(says, place):
    (place / "muniment.toml").write_text('archive = "kept"\n')
    said = says("config")
    assert str(place / "kept") in said.out
    assert "origin" not in said.out
    assert "muniment.toml" in says("config", "--show-origin").out
    rows = {row["name"]: row for row in says("config", "--json").json["settings"]}
    assert rows["archive"]["value"] == str(place / "kept")
    flagged = says("config", "--json", "--archive", "other").json["settings"]
    assert {row["name"]: row for row in flagged}["archive"]["value"].endswith("other")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_to_complete(place, shell):
    said = started("completion", shell)
    assert said.status == 0
    assert "_MUNIMENT_COMPLETE" in said.out
    assert said.err == ""


def test_completion_answers_a_shell(place):
    env = {
        "_MUNIMENT_COMPLETE": "bash_complete",
        "COMP_WORDS": "muniment ver",
        "COMP_CWORD": "1",
    }
    said = started(env=env)
    assert said.out == "plain,verify\n"


def test_the_demo_tells_its_story_twice(place):
    for _ in range(2):
        said = started("demo")
        assert said.status == 0, said.err
        assert "run's own" in said.out
        assert "digest-mismatch" in said.err
    assert started("verify", "archive/demo").status == 0


def test_the_demo_is_told_as_one_json_document(says):
    said = says("demo", "--json")
    assert said.status == 0
    assert said.json["ok"] is True
    assert len(said.json["runs"]) == 2


def test_a_demo_that_goes_wrong_is_no_success(says, monkeypatch):
    from pipeline import demo

    monkeypatch.setattr(demo, "flip_a_byte", lambda bag: None)
    assert says("demo", "--json").status == 1


# ------------------------------------------------------------------------------------ log


def log_lines(archive: Path) -> Path:
    return archive / ".muniment/custody.jsonl"


def test_a_run_leaves_a_log_that_is_sound_and_signed(says, held):
    said = says("log", "verify")
    assert said.status == 0
    assert said.out == f"sound: {log_lines(held)} (6 lines, 1 checkpoint compared)\n"
    told = says("log", "verify", "--json").json
    assert (told["ok"], told["size"], told["findings"]) == (True, 6, [])


def test_a_log_that_was_changed_is_told_with_every_finding(says, held):
    text = log_lines(held).read_text()
    log_lines(held).write_text(text.replace('"n":1', '"n":7'))
    said = says("log", "verify")
    assert said.status == 5
    assert said.out.startswith("DAMAGED: ")
    assert (
        "    error: ledger-gap: .muniment/custody.jsonl:2: number 7 stands" in said.out
    )
    assert (
        "    error: ledger-fork: .muniment/checkpoints/00000006: the first 6 lines"
        in said.out
    )
    told = says("log", "verify", "--json").json
    assert {"code", "severity", "path", "message", "clause"} == {*told["findings"][0]}


def test_a_checkpoint_is_printed_kept_and_written_where_one_asks(says, held, place):
    said = says("log", "checkpoint", "--out", "head.txt")
    assert said.status == 0
    file = held / ".muniment/checkpoints/00000006"
    assert said.out == file.read_text() == (place / "head.txt").read_text()
    assert (held / ".muniment/log.vkey").read_text().strip() in said.err
    assert says("log", "checkpoint", "--out", "head.txt").status == 3  # never replaced
    told = says("log", "checkpoint", "--json").json
    assert (told["size"], told["checkpoint"]) == (6, file.read_text())


def test_a_checkpoint_kept_elsewhere_exposes_a_rollback(says, held, site):
    says("log", "checkpoint", "--out", "head.txt")
    assert says("log", "verify", "--since", "head.txt").status == 0
    own = log_lines(held)
    own.write_bytes(b"".join(own.read_bytes().splitlines(keepends=True)[:-2]))
    shutil.rmtree(held / ".muniment/checkpoints")
    (held / ".muniment/checkpoint").unlink()
    shutil.rmtree(next(held.glob("case/*/case_run_*")))
    assert says("log", "verify").status == 0
    said = says("log", "verify", "--since", "head.txt")
    assert said.status == 5
    assert "ledger-rollback: head.txt: 6 lines were signed, the log has 4" in said.out


def test_a_bag_is_proven_by_its_path_or_its_name(says, held):
    bag = bag_of(held, "page")
    told = says("log", "prove", str(bag)).json
    assert told == says("log", "prove", bag.name, "--json").json
    accession, sealed = told["entries"]
    assert accession["line"] in log_lines(held).read_text()
    assert "seal-0001.json.p7s" in sealed["line"]
    assert says("log", "prove", "case/page").json == told
    own = bag_of(held, "run").name
    assert says("log", "prove", own).json["bag"] == own
    assert says("log", "prove", "nobody").status == 2


def test_a_bag_that_is_gone_is_proven_by_its_name(says, held):
    bag = bag_of(held, "page")
    told = says("log", "prove", bag.name).json
    bag.rename(held.parent / "elsewhere")
    (held / ".muniment/catalogue.sqlite").unlink()
    assert says("log", "prove", bag.name).json == told


def test_the_log_is_proven_to_have_grown_or_not(says, held):
    newest = str(held / ".muniment/checkpoint")
    told = says("log", "consistency", "1", newest).json
    assert (told["ok"], told["old"]["size"], told["new"]["size"]) == (True, 1, 6)
    log_lines(held).write_bytes(
        log_lines(held).read_bytes().replace(b"case_", b"cose_")
    )
    said = says("log", "consistency", "1", newest)
    assert (said.status, said.json["findings"][0]["code"]) == (5, "ledger-fork")


def test_a_log_that_was_changed_is_not_signed(says, held):
    log_lines(held).write_bytes(
        log_lines(held).read_bytes().replace(b"case_", b"cose_")
    )
    said = says("log", "checkpoint")
    assert said.status == 5
    assert "the log is not signed" in said.err


@pytest.mark.parametrize("words", [("verify",), ("checkpoint",), ("prove", "x")])
def test_without_an_archive_there_is_no_log(says, words):
    said = says("log", *words)
    assert (said.status, "there is no archive" in said.err) == (2, True)


def test_bags_in_an_archive_are_verified_beside_its_log(says, held):
    gone, bag = bag_of(held, "gone"), bag_of(held, "page")
    shutil.rmtree(gone)
    log_lines(held).write_bytes(
        log_lines(held).read_bytes().replace(b'"sha256":"', b'"sha256":"0', 1)
    )
    shutil.copytree(bag, bag.with_name("another"))
    said = says("verify", str(held), "--json")
    assert said.status == 5
    found = {
        (Path(one["path"]).name, finding["code"])
        for one in said.json["bags"]
        for finding in one["findings"]
    }
    assert (gone.name, "ledger-missing-bag") in found
    assert ("another", "ledger-unlogged-bag") in found


@pytest.mark.parametrize("words", [("--profile", ""), ("--archive", "", "--html", "")])
def test_an_empty_name_is_no_name(says, place, words):
    baggery.sound(place / "bag")
    assert says("verify", "bag", *words).status == 2
    assert says("list", "--archive", "").status == 2
