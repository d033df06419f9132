"""Notices and the outbox: who is told of what, and nothing lost or leaked on the way."""

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from threading import Thread
from typing import ClassVar

import pytest

from pipeline import notice, outbox
from pipeline.errors import UsageError
from pipeline.model import Occasion, Recipient
from pipeline.notice import (
    MOST,
    Notice,
    gathered,
    of_damage,
    of_failure,
    of_run,
    of_warnings,
)
from pipeline.outbox import MISSING, STALE, Outbox, by_apprise, resolved

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WITH_APPRISE = pytest.mark.skipif(
    find_spec("apprise") is None, reason="apprise is not installed"
)
ALL = (Recipient(url="env:ME"),)


def source(name: str, verdict: str, change: str, *, news: bool = True) -> dict:
    return {
        "id": name,
        "url": f"http://{name}.example/",
        "verdict": verdict,
        "reasons": ["http-404"] if verdict == "refused" else [],
        "detail": "it is not there" if verdict == "refused" else "",
        "change": change,
        "news": news,
    }


def run(*sources: dict) -> dict:
    return {"job": "toll", "run": "toll_run_x", "run_bag": "/a/x", "sources": sources}


TOLD = {
    "all is well": (source("a", "captured", "first", news=False), None),
    "nothing new": (source("a", "unchanged", "unchanged", news=False), None),
    "skipped": (source("a", "skipped", None, news=False), None),
    "refused": (source("a", "refused", "first"), "toll: 1 source not captured"),
    "refused as before": (source("a", "refused", "unchanged", news=False), None),
    "gone": (source("a", "refused", "gone"), "toll: 1 source gone"),
    "changed": (
        source("a", "captured", "changed", news=False),
        "toll: 1 source changed",
    ),
    "back": (source("a", "captured", "back", news=False), "toll: 1 source changed"),
}


@pytest.mark.parametrize(("one", "subject"), TOLD.values(), ids=TOLD)
def test_a_run_is_told_by_its_news(one, subject):
    found = [one.subject for one in of_run(run(one), ALL, NOON)]
    assert found == ([subject] if subject else [])


def test_everyone_is_told_what_they_asked_for_and_no_more():
    gone = Recipient(url="env:GONE", on=(Occasion.GONE,))
    both = Recipient(url="env:BOTH", on=(Occasion.GONE, Occasion.CHANGED))
    told = run(source("a", "refused", "gone"), source("b", "captured", "changed"))
    found = {one.occasion: one.to for one in of_run(told, (gone, both, both), NOON)}
    assert found == {
        Occasion.GONE: ("env:GONE", "env:BOTH"),
        Occasion.CHANGED: ("env:BOTH",),
    }
    assert list(of_failure("toll", "no disk", (gone,), NOON)) == []
    assert list(of_damage("/a", ["a bag"], (gone,), NOON)) == []


def test_what_is_told_has_the_reason_and_the_place():
    (one,) = of_run(run(source("a", "refused", "first")), ALL, NOON)
    assert one.lines == (
        "a: refused (http-404): it is not there\n    http://a.example/",
        "",
        "run toll_run_x",
        "/a/x",
    )


def test_of_damage_and_warnings_nothing_is_said_where_there_is_none():
    assert list(of_damage("/a", [], ALL, NOON)) == []
    assert list(of_warnings("/a", [], ALL, NOON)) == []
    (one,) = of_warnings("/a", ["a certificate ends"], ALL, NOON)
    assert one.subject == "something to see to in /a"


def test_a_long_notice_is_cut_and_says_so():
    (one,) = of_damage("/a", (f"bag {n}" for n in range(MOST + 7)), ALL, NOON)
    assert one.text().splitlines()[-1] == "and 7 more"
    assert len(one.text().splitlines()) == MOST + 1


def test_several_are_one_message():
    two = [a_notice("a"), a_notice("b")]
    subject, body = gathered(two)
    assert subject == "2 notices"
    assert "a (2026-11-23T12:00:00.000000Z)\nwords" in body


# -------------------------------------------------------------------------- the outbox


def a_notice(subject: str = "it failed", *to: str, occasion=Occasion.FAILED) -> Notice:
    return Notice(
        at=NOON,
        occasion=occasion,
        subject=subject,
        lines=("words",),
        to=to or ("env:ME",),
    )


@dataclass
class Post:
    """Whoever takes messages, or does not."""

    refuses: set[str] = field(default_factory=set)
    taken: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, address: str, subject: str, body: str) -> str:
        if address in self.refuses:
            return "no such person"
        self.taken.append((address, subject, body))
        return ""


class Clock:
    def __init__(self) -> None:
        self.at = NOON
        self.count = 0

    def now(self) -> datetime:
        return self.at

    def uuid(self) -> str:
        self.count += 1
        return f"{self.count:036}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


ENVIRON = {"ME": "post://secret-me/", "YOU": "post://secret-you/"}


def box(tmp_path, clock, post, **options) -> Outbox:
    return Outbox(root=tmp_path, clock=clock, environ=ENVIRON, send=post, **options)


def left(tmp_path) -> list[dict]:
    found = sorted((tmp_path / ".muniment/outbox").glob("*"))
    return [json.loads(one.read_bytes()) for one in found]


def test_what_is_put_is_sent_once(tmp_path, clock):
    post = Post()
    it = box(tmp_path, clock, post)
    it.put([a_notice()])
    assert it.post() == ()
    assert post.taken == [("post://secret-me/", "Muniment: it failed", "words")]
    assert it.post() == ()
    assert len(post.taken) == 1
    assert left(tmp_path) == []


def test_what_lies_there_has_no_secret(tmp_path, clock):
    box(tmp_path, clock, Post()).put([a_notice()])
    assert left(tmp_path)[0]["to"] == ["env:ME"]


def test_what_could_not_be_sent_stays_and_is_tried_again(tmp_path, clock):
    post = Post(refuses={"post://secret-me/"})
    it = box(tmp_path, clock, post)
    it.put([a_notice("it failed", "env:ME", "env:YOU")])
    assert it.post() == ("not told to env:ME: no such person",)
    assert [one["to"] for one in left(tmp_path)] == [["env:ME"]]  # the other was told
    post.refuses.clear()
    assert it.post() == ()
    assert [address for address, *_ in post.taken] == [
        "post://secret-you/",
        "post://secret-me/",
    ]


def test_after_a_week_it_is_given_up_and_that_is_said(tmp_path, clock):
    it = box(tmp_path, clock, Post(refuses={"post://secret-me/"}))
    it.put([a_notice()])
    clock.at = NOON + STALE + timedelta(seconds=1)
    assert it.post()[-1] == "given up after 7 days: it failed"
    assert left(tmp_path) == []


def test_a_digest_waits_a_day_for_company(tmp_path, clock):
    post = Post()
    it = box(tmp_path, clock, post, is_daily=True)
    it.put([a_notice("a")])
    clock.at += timedelta(hours=23)
    it.put([a_notice("b")])
    it.post()
    assert post.taken == []
    clock.at += timedelta(hours=1)
    it.post()
    assert [subject for _, subject, _ in post.taken] == ["Muniment: 2 notices"]


def test_damage_waits_for_no_digest(tmp_path, clock):
    post = Post()
    it = box(tmp_path, clock, post, is_daily=True)
    it.put([a_notice("a"), a_notice("damage", occasion=Occasion.FIXITY)])
    it.post()
    assert [subject for _, subject, _ in post.taken] == ["Muniment: damage"]


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"[1]", b"\xff", b'{"at":"x","occasion":"failed"}']
)
def test_what_is_none_of_ours_is_left_where_it_is(junk, tmp_path, clock):
    it = box(tmp_path, clock, Post())
    it.put([a_notice()])
    (it.folder / "0.json").write_bytes(junk)
    assert it.post() == ()
    assert [one.name for one in it.folder.iterdir()] == ["0.json"]


# ----------------------------------------------------------------------------- addresses


def test_an_address_is_looked_up_where_it_is_kept(tmp_path):
    (tmp_path / "address").write_text("post://x/\n")
    assert resolved("env:ME", ENVIRON) == "post://secret-me/"
    assert resolved(f"file:{tmp_path / 'address'}", {}) == "post://x/"
    assert resolved("mailto:me@example.org", {}) == "mailto:me@example.org"


@pytest.mark.parametrize(
    "name", ["env:NOBODY", "env:EMPTY", "file:/nonexistent", "file:/"]
)
def test_an_address_that_is_not_there_is_told_by_its_place(name):
    with pytest.raises(UsageError, match=name.partition(":")[2]):
        resolved(name, {"EMPTY": " "})


class Hook(BaseHTTPRequestHandler):
    """A webhook that keeps what it was sent."""

    heard: ClassVar[list[bytes]]
    status = 200

    def do_POST(self) -> None:
        self.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook():
    class Mine(Hook):
        heard: ClassVar[list[bytes]] = []

    with HTTPServer(("127.0.0.1", 0), Mine) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        Mine.address = f"json://127.0.0.1:{server.server_port}/key-of-mine"
        yield Mine
        server.shutdown()


@WITH_APPRISE
def test_apprise_takes_a_message_to_a_webhook(hook):
    assert by_apprise(hook.address, "Muniment: it failed", "words") == ""
    told = json.loads(hook.heard[0])
    assert (told["title"], told["message"]) == ("Muniment: it failed", "words")


@WITH_APPRISE
def test_a_webhook_that_refuses_is_told_and_its_key_is_not(hook, capfd, caplog):
    hook.status = 403
    with caplog.at_level(logging.INFO):
        said = by_apprise(hook.address, "a", "b")
    assert said == "it was not taken; look at the address and its service"
    told = capfd.readouterr()
    assert "key-of-mine" not in said + told.out + told.err + caplog.text


@WITH_APPRISE
def test_an_address_that_is_none_is_told_without_it(capfd, caplog):
    with caplog.at_level(logging.INFO):
        said = by_apprise("nosuch://key-of-mine", "a", "b")
    assert "no address that apprise knows" in said
    told = capfd.readouterr()
    assert "key-of-mine" not in said + told.out + told.err + caplog.text


def test_without_apprise_it_says_how_to_get_it(monkeypatch, tmp_path, clock):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    it = Outbox(root=tmp_path, clock=clock, environ=ENVIRON)
    it.put([a_notice()])
    assert it.post() == (f"not told to env:ME: {MISSING}",)


def test_the_words_of_occasions_are_all_there():
    assert {one for one in Occasion if one is not Occasion.FIXITY} == set(notice._WORDS)
    assert {Occasion.FIXITY} == outbox.AT_ONCE
