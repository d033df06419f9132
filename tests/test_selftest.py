"""The self-test: what it compares, and that a run whose tool is wrong asks nobody."""

import json
import os
import sys
import threading

import origins
import pytest
from origins import Origin, answer

from pipeline import cli, selftest
from pipeline.capture.tls import tls_context
from pipeline.capture.wire import Recording
from pipeline.clock import SystemClock
from pipeline.errors import Exit
from pipeline.fixity import digest_of
from pipeline.selftest import PAGE, SERVED, SelfTestError

MANIFEST = """\
version: 1
id: case
defaults: {delay: 0s, retries: 0}
sources:
  page: {url: "http://one.example/page"}
"""


@pytest.fixture(scope="module")
def trust():
    return tls_context(None)


def test_a_tool_that_is_right_passes(trust):
    found = selftest.perform(SystemClock(), trust)
    assert found.passed
    assert (found.block, found.payload) == (digest_of(SERVED), digest_of(PAGE))
    assert len(found.compared) == 7
    assert found.seconds > 0


def test_the_page_has_every_byte_and_the_frame_what_parsers_change():
    assert set(PAGE) == set(range(256))
    for odd in (
        b"chunked",
        b";known=yes",
        b"X-Trailer",
        b"Content-type:  text",
        b"\xff",
    ):
        assert odd in SERVED


def test_nothing_of_it_is_left(trust, monkeypatch, tmp_path):
    monkeypatch.setattr(selftest.tempfile, "tempdir", str(tmp_path))
    before = threading.active_count()
    selftest.perform(origins.FixedClock(), trust)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() <= before


def flip(monkeypatch):
    """A recorder that changes one byte of what it is fed."""
    fed = Recording.received

    def received(self, data):
        fed(self, data.replace(b"\x80", b"\x81"))

    monkeypatch.setattr(Recording, "received", received)


def swallow(monkeypatch):
    """A recorder that normalises a header."""
    fed = Recording.received
    monkeypatch.setattr(
        Recording, "received", lambda self, data: fed(self, data.replace(b"type:  ", b"type: "))
    )  # fmt: skip


def lie(monkeypatch):
    """A WARC whose digest is that of other bytes."""
    from pipeline.capture import records

    monkeypatch.setattr(
        records.Message, "payload_digest", property(lambda _: digest_of(b"other"))
    )


def no_record(monkeypatch):
    monkeypatch.setattr(selftest, "SERVED", b"")


def crash(monkeypatch):
    def visit(*_, **__):
        raise RuntimeError("a part is broken")

    monkeypatch.setattr(selftest, "visit", visit)


def no_loopback(monkeypatch):
    def refused(*_):
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(selftest.socket, "create_server", refused)


WRONG = {
    "a byte is changed": (flip, "block: expected sha256:"),
    "a header is made tidy": (swallow, "block: expected sha256:"),
    "a digest is another's": (lie, "digest"),
    "nothing is recorded": (no_record, "its record cannot be read"),
    "the recorder crashes": (crash, "RuntimeError: a part is broken"),
    "there is no loopback": (no_loopback, "no page can be served on 127.0.0.1"),
}


@pytest.mark.parametrize(("harm", "said"), WRONG.values(), ids=WRONG)
def test_a_tool_that_is_wrong_is_found(trust, monkeypatch, harm, said):
    harm(monkeypatch)
    with pytest.raises(SelfTestError, match="the self-test failed") as caught:
        selftest.perform(SystemClock(), trust)
    assert said in str(caught.value)
    assert "nothing was asked of anybody" in str(caught.value)
    assert caught.value.exit is Exit.UNEXPECTED


class Desk:
    """The command line in a folder, and a site for it to visit."""

    def __init__(self, place, capfd, site) -> None:
        self.place, self._capfd, self.site = place, capfd, site
        (place / "m.yaml").write_text(MANIFEST)

    def says(self, *words):
        status = cli._status(cli.gathered(words))
        sys.stdout.flush()
        told = self._capfd.readouterr()
        return status, told.out, told.err

    def run(self, *words):
        to = f"one.example:80:127.0.0.1:{self.site.port}"
        return self.says("run", "m.yaml", "--connect-to", to, *words)

    def bags(self):
        return sorted(self.place.glob("archive/case/*/*"))


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "conf"))
    with Origin({"/page": answer(b"<p>The words.")}) as site:
        yield Desk(tmp_path, capfd, site)


def test_every_bag_tells_that_the_tool_was_tried_and_no_capture_holds_it(desk):
    assert desk.run()[0] == 0
    bag, own = desk.bags()
    tested = json.loads((own / "data/metadata/run.json").read_text())["self_test"]
    capture = json.loads((bag / "data/metadata/capture.json").read_text())
    assert tested["passed"] is True
    assert tested["block"] == str(digest_of(SERVED))
    assert capture["self_test"] == tested
    for one in (bag, own):
        said = json.loads((one / "seal-0001.json").read_text())["predicate"]
        assert said["self_test"] == tested
    assert tested["at"] < capture["started"]
    assert all("known" not in one["url"] for one in capture["exchanges"])
    assert desk.site.requests == ["/robots.txt", "/page"]
    status, out, _ = desk.says("verify", "archive", "--json")
    assert status == 0
    assert all(one["seals"][0]["self_test"] for one in json.loads(out)["bags"])
    assert "the tool tested in the same run" in desk.says("verify", "archive")[1]
    assert "self-test  passed" in desk.says("show", "case/page")[1]


def test_a_run_whose_test_fails_asks_nobody_and_keeps_nothing(desk, monkeypatch):
    flip(monkeypatch)
    status, _, err = desk.run()
    assert status == 1
    assert "the self-test failed" in err
    assert "Traceback" not in err
    status, out, _ = desk.run("--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, "self-test")
    assert desk.site.requests == []
    assert desk.bags() == []


def test_a_run_that_goes_on_is_tested_again(desk, monkeypatch):
    """Stopped behind its first request, then with a tool that is wrong, then well."""
    from pipeline.keeper import Keeper

    keep = Keeper.keep

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Keeper, "keep", stop)
    assert desk.run()[0] == 11
    monkeypatch.setattr(Keeper, "keep", keep)
    with monkeypatch.context() as wrong:
        flip(wrong)
        assert desk.run()[0] == 1
    assert desk.bags() == []
    status, _, err = desk.run()
    assert status == 0
    assert "going on" in err or "goes on" in err
    assert len(desk.bags()) == 2
