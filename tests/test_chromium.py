"""Chromium: found where it is, told where it is not, and given no network."""

import stat

import pytest

from pipeline import chromium
from pipeline.errors import StorageError, UsageError

PAGE = '<!DOCTYPE html><title>A page</title><p>Some words<img src="{}">'


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine without any browser."""
    monkeypatch.delenv(chromium.CHOSEN, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    return tmp_path


def program(path, text="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_where_there_is_none_there_is_none(nothing):
    assert chromium.find() is None


@pytest.mark.parametrize("name", chromium.NAMES)
def test_a_system_has_it_by_several_names(name, nothing):
    made = program(nothing / name)
    assert chromium.find() == made


def test_of_playwrights_the_newest_is_taken(nothing):
    for number in (1100, 1181):
        program(nothing / f"browsers/chromium-{number}/chrome-linux/chrome")
    assert "chromium-1181" in str(chromium.find())


def test_the_one_that_is_named_goes_first(nothing, monkeypatch):
    program(nothing / "chromium")
    mine = program(nothing / "mine")
    monkeypatch.setenv(chromium.CHOSEN, str(mine))
    assert chromium.find() == mine


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_name_for_no_program_is_refused(name, nothing, monkeypatch):
    monkeypatch.setenv(chromium.CHOSEN, str(nothing / name))
    with pytest.raises(UsageError, match="is no program"):
        chromium.find()


@pytest.mark.parametrize(
    ("does", "told"),
    {
        "says why": ("echo no display >&2; exit 1", "no display"),
        "says nothing": ("exit 7", "it ended with 7"),
    }.values(),
)
def test_a_browser_that_makes_nothing_is_told(does, told, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    with pytest.raises(StorageError, match=told):
        chromium.print_pdf(program(tmp_path / "odd", does), page, tmp_path / "out.pdf")


def test_a_browser_that_never_ends_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(chromium, "PATIENCE", 0.05)
    browser = program(tmp_path / "odd", "exec sleep 60")
    with pytest.raises(StorageError, match="timed out"):
        chromium.print_pdf(browser, tmp_path / "page.html", tmp_path / "out.pdf")


@pytest.mark.skipif(not chromium.find(), reason="there is no Chromium")
def test_a_page_is_printed_and_pictured_and_nobody_is_asked(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        port = listening.getsockname()[1]
        page = tmp_path / "page.html"
        page.write_text(PAGE.format(f"http://127.0.0.1:{port}/spy.png"))
        browser = chromium.find()
        chromium.print_pdf(browser, page, tmp_path / "page.pdf")
        chromium.picture(browser, page, tmp_path / "page.png", size=(400, 300))
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
