"""Secrets of every kind of target, looked for in every byte that a deposit leaves.

Each target is given a secret that is easy to find again. Some of the archives behave,
some fail, and some tell back whatever they were told, which is the worst they can do.
"""

import base64
import json
import logging
import os
import sys

import archives
import depositing
import pytest
import shelf

from pipeline import cli
from pipeline.clock import SystemClock
from pipeline.handoff.destination import Credentials
from pipeline.holdings.store import Store

RUN = shelf.run_id(0)
CORE = "pl4nted0core"
SECRET = f'a/{CORE}+&"it is"\\end'
SPELT = [  # a spelling that hides the core
    base64.b64encode(prefix.encode() + SECRET.encode())[4:28].decode()
    for prefix in ("", "x", "xx")
]


class Echo(archives.Server):
    """Answers everything with a status, and tells back all it was told, and more."""

    def __init__(self, status):
        super().__init__()
        self.status = status

    def answer(self, to, method, path, data):
        told = {
            "error": True,
            "message": SECRET,
            "id": SECRET,
            "uuid": SECRET,
            "head": dict(to.headers),
            "path": path,
            "body": data.decode("latin-1")[:100],
        }
        location = f"{self.url}/{CORE}" if self.status == 307 else ""
        to.say(self.status, json.dumps(told).encode(), Location=location)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An archive with a run of one source, and the secrets in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PLANTED", SECRET)
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
    store = Store.open(tmp_path / "archive", depositing.Clock())
    depositing.fill(store)
    store.close()
    (tmp_path / "drop").mkdir()
    return tmp_path


KINDS = {
    "s3": 'url = "s3://evidence"\nuser = "me"\nendpoint = "{url}"',
    "archivematica": f'url = "{{url}}"\nuser = "me"\ndrop = "drop"\n'
    f'location = "{archives.LOCATION}"',
    "internet-archive": 'url = "{url}"\nuser = "me"',
    "sftp": 'url = "sftp://me@127.0.0.1:{port}/"\nhost_key = "{key}"',
    "command": 'command = {command}\nread = ["false"]',
}


def deposit(place, capfd, kind, *words, **fields):
    """Deposit once, and return the status with everything that was said."""
    lines = KINDS[kind].format(**fields)
    toml = f'[deposit.there]\nto = "{kind}"\nsecret = "env:PLANTED"\n{lines}\n'
    (place / "muniment.toml").write_text(toml)
    status = cli._status(cli.gathered(("deposit", RUN, "--to", "there", *words)))
    sys.stdout.flush()
    told = capfd.readouterr()
    return status, told.out + told.err


def require_hidden(place, said):
    """Look through everything that was said, and every byte on disk."""
    kept = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert any(path.suffix == ".jsonl" for path in kept)
    for text in (CORE, *SPELT):
        assert text not in said
        assert [path for path in kept if text.encode() in kept[path]] == []


@pytest.mark.parametrize("words", [(), ("--json",), ("--debug",)], ids=" ".join)
@pytest.mark.parametrize("status", [200, 307, 403, 500])
@pytest.mark.parametrize("kind", ["s3", "archivematica", "internet-archive"])
def test_a_server_that_tells_it_back_is_not_repeated(
    place, capfd, caplog, kind, status, words
):
    caplog.set_level(logging.DEBUG)
    if kind == "s3":
        pytest.importorskip("boto3", reason="pip install 'muniment[s3]'")
        logging.getLogger("botocore").setLevel(logging.INFO)
    server = Echo(status)
    ended, said = deposit(place, capfd, kind, *words, url=server.url)
    server.close()
    assert ended == 22
    require_hidden(place, said)


TELL = 'printf "%s" "$MUNIMENT_SECRET"'  # echo of some shells would alter it
SHELLS = {
    "it answers with it": TELL,
    "it answers with it in JSON": f"printf '{{\"location\": \"'; {TELL}; printf '\"}}'",
    "it fails and tells it": f"{TELL} >&2; exit 1",
    "it fails for now and tells it": f"{TELL} >&2; exit 75",
    "it tells it in base64": f"({TELL}) | base64 -w0 >&2; exit 1",
}


@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
def test_a_program_that_tells_it_is_not_repeated(place, capfd, shell):
    command = json.dumps(["sh", "-c", shell])
    _, said = deposit(place, capfd, "command", command=command)
    require_hidden(place, said)


def test_what_a_program_answers_stands_in_the_receipt_without_it(
    place, capfd, monkeypatch
):
    monkeypatch.setenv("PLANTED", CORE)  # that can be told in JSON as it is
    monkeypatch.setitem(KINDS, "command", "command = {command}")
    shell = 'cat >/dev/null; printf \'{"location": "at %s"}\' "$MUNIMENT_SECRET"'
    command = json.dumps(["sh", "-c", shell])
    ended, said = deposit(place, capfd, "command", command=command)
    assert ended == 0
    assert "at ***" in said
    require_hidden(place, said)


def test_an_archive_that_takes_it_leaves_no_trace_of_it(place, capfd, monkeypatch):
    monkeypatch.setattr(archives, "ACCESS", "me")
    monkeypatch.setattr(archives, "SECRET", SECRET)
    server = archives.InternetArchive()
    ended, said = deposit(place, capfd, "internet-archive", url=server.url)
    server.close()
    assert ended == 0
    require_hidden(place, said)


def test_an_archivematica_that_takes_it_leaves_no_trace_of_it(
    place, capfd, monkeypatch
):
    monkeypatch.setattr(archives, "USER", "me")
    monkeypatch.setattr(archives, "KEY", SECRET)
    server = archives.Archivematica(place / "drop")
    ended, said = deposit(place, capfd, "archivematica", url=server.url)
    server.close()
    assert ended == 0
    require_hidden(place, said)


def test_a_server_that_lets_nobody_in_is_told_without_it(place, capfd, tmp_path):
    pytest.importorskip("paramiko", reason="pip install 'muniment[sftp]'")
    import ssh

    server = ssh.Sshd(tmp_path / "sshd")
    for key in (server.host_key, "ssh-ed25519 " + "A" * 68):
        ended, said = deposit(
            place, capfd, "sftp", "--debug", port=server.port, key=key
        )
        assert ended == 22
        require_hidden(place, said)
    server.close()


def test_a_key_that_lets_us_in_stands_nowhere(place, capfd, tmp_path, monkeypatch):
    pytest.importorskip("paramiko", reason="pip install 'muniment[sftp]'")
    import ssh

    server = ssh.Sshd(tmp_path / "sshd")
    user = server.login().user
    (tmp_path / "far").mkdir()
    monkeypatch.setenv("PLANTED", server.key)
    monkeypatch.setitem(
        KINDS,
        "sftp",
        f'url = "sftp://{user}@127.0.0.1:{server.port}{tmp_path}/far"\n'
        f'host_key = "{server.host_key}"',
    )
    ended, said = deposit(place, capfd, "sftp")
    server.close()
    assert ended == 0
    held = [path for path in place.rglob("*") if path.is_file()]
    for line in server.key.splitlines()[1:-1]:
        assert line not in said
        found = [path for path in held if line.encode() in path.read_bytes()]
        assert {path.parent.name for path in found} == {"sshd-keys"}


def test_a_short_secret_does_not_mask_every_text():
    keys = Credentials(secret="a")
    assert keys.mask("a banana") == "a banana"
    assert repr(keys) == "Credentials(***)"


@pytest.mark.parametrize("at", range(8, len(SECRET), 3))
def test_a_text_that_is_cut_within_it_tells_no_part_of_it(at):
    keys = Credentials(secret=SECRET)
    said = keys.mask(f"{SECRET[at:]} was said, and {SECRET[:at]}")
    pieces = {SECRET[n : n + 8] for n in range(len(SECRET) - 7)}
    assert [piece for piece in pieces if piece in said] == []
    assert "was said, and" in said
