"""Seals from the command line: run, verify, seal, keys."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import baggery
import pytest
from origins import Origin, answer
from test_sntp import Reply, Timeserver, saying
from timekeeping import OPENSSL, Clockmaker, Timekeeper

from pipeline import cli

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")
MANIFEST = """\
version: 1
id: case
defaults: {delay: 0s}
sources:
  page: {url: "http://one.example/page"}
"""
PAGES = {
    "/page": answer(b"<title>A page</title><p>The words."),
    "/robots.txt": answer(b"", "text/plain"),
}


class Desk:
    """A folder to work in, with two authorities configured."""

    def __init__(self, place: Path, capfd, port: int, *keepers: Timekeeper) -> None:
        self.place, self._capfd, self.keepers = place, capfd, keepers
        self._site = ("--connect-to", f"one.example:80:127.0.0.1:{port}")
        (place / "m.yaml").write_text(MANIFEST)

    def configure(self, text: str = "") -> None:
        tables = [
            f'[[seal.authority]]\nname = "{one.maker.name}"\nurl = "{one.url}"\n'
            f'roots = "{one.maker.root}"\n'
            for one in self.keepers
        ]
        head = f'[network]\nallow = ["127.0.0.0/8"]\n{text}\n'
        (self.place / "muniment.toml").write_text(head + "".join(tables))

    def says(self, *words: str) -> tuple[int, str, str]:
        status = cli._status(cli.gathered(words))
        sys.stdout.flush()
        told = self._capfd.readouterr()
        return status, told.out, told.err

    def run(self, *words: str) -> tuple[int, str, str]:
        return self.says("run", "m.yaml", *self._site, *words)

    def json(self, *words: str):
        status, out, _ = self.says(*words, "--json")
        return status, json.loads(out)

    def bag(self, source: str = "page") -> Path:
        return next(self.place.glob(f"archive/case/*/case_{source}_*"))


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    place = tmp_path / "desk"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in list(os.environ):
        if name.startswith("MUNIMENT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "conf"))
    keepers = [Timekeeper(Clockmaker(tmp_path / n, n)) for n in ("one", "two")]
    with Origin(dict(PAGES)) as origin:
        made = Desk(place, capfd, origin.port, *keepers)
        made.configure()
        yield made
    for one in keepers:
        one.stop()


def test_a_run_is_stamped_before_and_after(desk):
    status, out, err = desk.run()
    assert status == 0
    assert "a key of this machine was made" in err
    assert "timestamped by one, two" in out
    bag = desk.bag()
    submitted = bag / "data/metadata/submissionDocumentation"
    for name in ("one", "two"):
        assert (bag / f"seal-0001.{name}.tsr").is_file()
        subprocess.run(
            ["openssl", "ts", "-verify", "-data", submitted / "commitment.json",
             "-in", submitted / f"plan.{name}.tsr",
             "-CAfile", desk.place.parent / name / "root.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    said = json.loads((bag / "seal-0001.json").read_text())["predicate"]
    assert [one["authority"] for one in said["start"]["tokens"]] == ["one", "two"]
    assert said["verdicts"] == {"captured": 1}
    run = json.loads((desk.bag("run") / "seal-0001.json").read_text())["predicate"]
    assert [one["bag"] for one in run["members"]] == [bag.name]
    assert desk.says("verify", "archive", "--require-seal", "--require-timestamps", "2")[0] == 0  # fmt: skip
    assert "see the seal for others' word" in desk.says("show", "case/page")[1]


def choosing(desk: Desk, names: str) -> None:
    (desk.place / "m.yaml").write_text(f"{MANIFEST}seal: {{timestamp: {names}}}\n")


def test_a_manifest_chooses_who_is_asked(desk):
    choosing(desk, "[two]")
    assert desk.json("plan", "m.yaml")[1]["seal"] == {"timestamp": ["two"]}
    assert "Timestamps: asked of two" in desk.says("plan", "m.yaml")[1]
    assert "timestamped by two\n" in desk.run()[1]
    assert sorted(one.name for one in desk.bag().glob("*.tsr")) == ["seal-0001.two.tsr"]


def test_a_manifest_may_have_nobody_asked(desk):
    choosing(desk, "[]")
    assert "asked of nobody" in desk.says("plan", "m.yaml")[1]
    assert "time asserted by this machine only" in desk.run()[1]


def test_an_authority_that_the_configuration_lacks_ends_the_run_before_it_begins(desk):
    choosing(desk, "[two, three]")
    status, _, err = desk.run()
    assert status == 4
    assert 'seal.timestamp.1: muniment.toml names no authority "three"' in err
    assert desk.says("plan", "m.yaml")[0] == 4
    status, out, _ = desk.says("check", "m.yaml")
    assert status == 0
    assert "warning: seal.timestamp.1" in out
    assert not (desk.place / "archive").exists()


def test_of_several_due_one_without_its_authority_keeps_no_other_from_its_turn(desk):
    due = f"{MANIFEST}schedule: {{every: 1d}}\n"
    (desk.place / "m.yaml").write_text(f"{due}seal: {{timestamp: three}}\n")
    other = due.replace("id: case", "id: other")
    (desk.place / "other.yaml").write_text(other)
    words = ("--due", "other.yaml", "--json", "--quiet")
    status, out, _ = desk.run(*words)
    assert status == 4
    assert [one["job"] for one in json.loads(out)["runs"]] == ["other"]
    assert [one["exit"] for one in json.loads(out)["errors"]] == [4]


def test_the_readme_in_the_bag_checks_its_seal_as_it_stands(desk):
    desk.run()
    page = (desk.bag() / "README.txt").read_text()
    copy = shutil.copytree(desk.bag(), desk.place / "copy")
    after = page.partition("HOW TO CHECK ITS SEAL")[2].partition("HOW TO REPLAY")[0]
    lines = [line[4:] for line in after.splitlines() if line.startswith("    ")]
    script = "set -e\n" + "\n".join(lines[2:11])
    assert "grep -c" in script
    made = subprocess.run(
        ["sh", "-c", script], cwd=copy, capture_output=True, text=True, check=True
    )
    assert made.stdout.rstrip().endswith("2")
    digits = made.stdout.replace(":", "").lower()
    assert (
        "".join(lines[:2]) in digits
    )  # the fingerprint that is told is the one printed


def test_one_authority_down_is_pending_and_a_retry_completes_it(desk):
    desk.keepers[1].mode = "down"
    status, out, err = desk.run()
    assert status == 9
    assert "timestamps are pending (two: answered with HTTP status 503)" in out
    assert "no timestamp of the plan by two" in err
    status, found = desk.json("verify", "archive")
    assert status == 0
    assert {f["code"] for bag in found["bags"] for f in bag["findings"]} == {"seal-pending"}  # fmt: skip
    assert desk.says("seal", "--pending")[0] == 9
    assert desk.says("verify", "archive", "--require-timestamps", "2")[0] == 5
    desk.keepers[1].mode = "ok"
    status, told = desk.json("seal", "--pending")
    assert status == 0
    assert {one["state"] for one in told["seals"]} == {"sealed"}
    assert desk.says("seal", "--pending")[:2] == (0, "no timestamp is pending\n")
    assert desk.says("verify", "archive", "--require-timestamps", "2")[0] == 0


def test_a_token_taken_away_from_the_archive_is_missed(desk):
    desk.run()
    for path in desk.bag().glob("seal-0001.two.*"):
        path.unlink()
    status, found = desk.json("verify", str(desk.bag()))
    assert status == 5
    assert "seal-removed" in [f["code"] for f in found["bags"][0]["findings"]]


def test_all_seals_taken_away_from_a_copy_are_missed(desk):
    desk.run()
    copy = shutil.copytree(desk.bag(), desk.place / "copy")
    for path in copy.glob("seal-*"):
        path.unlink()
    status, found = desk.json("verify", "copy")
    assert status == 5
    assert [f["code"] for f in found["bags"][0]["findings"]] == ["seal-missing"]


def test_a_seal_is_renewed_and_logged(desk):
    desk.run()
    assert desk.says("seal", "case/page")[0] == 2
    status, out, _ = desk.says("seal", "case/page", "--renew", "--digests")
    assert (desk.bag() / "seal-0002.blake2b.txt").is_file()
    assert status == 0
    assert "seal 2 sealed" in out
    assert desk.says("verify", "archive")[0] == 0
    log = (desk.place / "archive/.muniment/custody.jsonl").read_text()
    assert log.count('"act":"renewal"') == 3
    assert log.count('"act":"seal"') == 6


def test_a_bag_of_ones_own_is_sealed_apart_from_any_archive(desk):
    baggery.sound(desk.place / "bag")
    assert desk.says("verify", "bag", "--require-seal")[0] == 5
    status, out, _ = desk.says("seal", "bag")
    assert status == 0
    assert "seal 1 sealed" in out
    assert not (desk.place / "archive").exists()
    assert desk.says("verify", "bag", "--require-seal", "--require-timestamps", "2")[0] == 0  # fmt: skip


def test_keys_are_made_shown_and_required(desk):
    desk.configure('[operator]\nname = "A. Archivist"')
    status, made = desk.json("keys", "init")
    assert status == 0
    assert Path(made["path"]) == desk.place.parent / "home/conf/muniment/signing.pem"
    assert desk.json("keys", "show")[1] == made
    assert "CN=A. Archivist" in desk.says("keys", "show")[1]
    _, _, err = desk.run()
    assert "a key of this machine" not in err
    assert (
        desk.says("verify", "archive", "--require-signer", made["fingerprint"])[0] == 0
    )
    other = "00" * 32
    status, found = desk.json("verify", "archive", "--require-signer", other)
    assert status == 5
    assert found["bags"][0]["findings"][0]["code"] == "seal-signer"


FAULTS = {
    "a signer that is no fingerprint": (("verify", "m", "--require-signer", "me"), "64 hexadecimal digits"),
    "both at once": (("seal", "m", "--pending", "--renew"), "choose one"),
    "no bag": (("seal",), "which bag?"),
    "digests of nothing": (("seal", "m", "--digests"), "goes with --renew"),
    "nobody's key": (("keys", "init"), "whose key?"),
    "no key to show": (("keys", "show"), "expected a signing key"),
    "a bag that is unknown": (("seal", "nobody"), "there is no archive"),
    "a key in the archive": (("run", "m.yaml"), "which is copied about"),
    "roots that are not there": (("run", "m.yaml"), "expected the roots"),
    "roots that are none": (("run", "m.yaml"), "expected the roots"),
    "a root that the bundle lacks": (("run", "m.yaml"), "no root of the installed certifi"),
    "a key that was named and is not there": (("run", "m.yaml"), "expected a signing key"),
    "a key that is encrypted": (("run", "m.yaml"), "it is encrypted"),
    "a key file that holds another thing": (("run", "m.yaml"), "holds 0 private keys"),
    "roots that are a folder": (("run", "m.yaml"), "Is a directory; expected the roots"),
}  # fmt: skip
SETTINGS = {
    "a key in the archive": '[seal]\nkey = "archive/k.pem"',
    "a key that was named and is not there": '[seal]\nkey = "k.pem"',
    "a key that is encrypted": '[seal]\nkey = "secret.pem"',
    "a key file that holds another thing": '[seal]\nkey = "other.pem"',
    "roots that are a folder": '[[seal.authority]]\nname = "x"\nurl = "http://x.example"\nroots = "m"',
    "roots that are not there": '[[seal.authority]]\nname = "x"\nurl = "http://x.example"\nroots = "gone.pem"',
    "roots that are none": '[[seal.authority]]\nname = "x"\nurl = "http://x.example"\nroots = "m.yaml"',
    "a root that the bundle lacks": f'[[seal.authority]]\nname = "x"\nurl = "http://x.example"\nroots = "sha256:{"ab" * 32}"',
}  # fmt: skip


KEY_FILES = {
    "secret.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "other.pem": "a shopping list\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_sentence_before_anything_is_asked(name, desk):
    desk.configure(SETTINGS.get(name, ""))
    words, why = FAULTS[name]
    (desk.place / "m").mkdir()
    for file, text in KEY_FILES.items():
        (desk.place / file).write_text(text)
        (desk.place / file).chmod(0o600)
    status, _, err = desk.says(*words)
    assert status == 2
    assert why in err
    assert "Traceback" not in err
    status, told = desk.json(*words)
    code = "seal-key" if "key" in name and name != "nobody's key" else "usage"
    assert (status, told["error"]["code"]) == (2, code)
    assert why in told["error"]["message"]
    assert [one.asked for one in desk.keepers] == [0, 0]


def test_beyond_fifty_bags_only_the_runs_own_is_stamped(desk, monkeypatch):
    from pipeline import notary

    monkeypatch.setattr(notary, "MANY", 0)
    status, told = desk.json("run", "m.yaml", *desk._site)
    assert status == 0
    assert told["bags"][0]["seal"]["state"] == "untimestamped"
    assert told["run_seal"]["state"] == "sealed"
    said = json.loads((desk.bag() / "seal-0001.json").read_text())["predicate"]
    assert said["timestamped"] == "with the run's own bag"


def test_a_root_is_named_by_its_digest_in_the_bundle():
    import base64

    import certifi

    from pipeline.fixity import digest_of
    from pipeline.sealing import token

    block = token.PEM.findall(Path(certifi.where()).read_bytes())[0]
    digest = digest_of(base64.b64decode(block))
    (root,) = token.roots_of("x", digest)
    assert token.fingerprint(root) == digest


def swap(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


STARTS = {
    "the plan is another": lambda at: swap(at / "commitment.json", b"case", b"cage"),
    "the plan is gone": lambda at: (at / "commitment.json").unlink(),
    "a token is gone": lambda at: (at / "plan.one.tsr").unlink(),
    "a token is another's": lambda at: shutil.copy(at / "plan.two.tsr", at / "plan.one.tsr"),
    "a query is another's": lambda at: shutil.copy(at / "plan.two.tsq", at / "plan.one.tsq"),
}  # fmt: skip


@pytest.mark.parametrize("change", STARTS.values(), ids=STARTS)
def test_the_start_of_a_run_is_held_to_its_timestamps(change, desk):
    desk.run()
    _, found = desk.json("verify", str(desk.bag()))
    assert [one["authority"] for one in found["bags"][0]["seals"][0]["begun"]] == ["one", "two"]  # fmt: skip
    change(desk.bag() / "data/metadata/submissionDocumentation")
    status, found = desk.json("verify", str(desk.bag()))
    assert status == 5
    assert "seal-start" in [f["code"] for f in found["bags"][0]["findings"]]


def test_a_warc_that_does_not_name_the_stamped_plan_is_older_for_all_we_know(desk):
    desk.run()
    warc = desk.bag() / "data/objects/capture.warc.gz"
    info, *rest = gzip_members(warc.read_bytes())
    older = re.sub(rb"plan-timestamps: [^\r]*", b"plan-timestamps: none", info)
    warc.write_bytes(b"".join(map(gzip.compress, (older, *rest))))
    _, found = desk.json("verify", str(desk.bag()))
    messages = [f["message"] for f in found["bags"][0]["findings"] if f["code"] == "seal-start"]  # fmt: skip
    assert messages == ["its first record does not name the timestamps of the plan"]
    warc.write_bytes(b"no gzip")
    _, found = desk.json("verify", str(desk.bag()))
    assert "seal-start" in [f["code"] for f in found["bags"][0]["findings"]]


def gzip_members(data: bytes) -> list[bytes]:
    found = []
    while data:
        one = zlib.decompressobj(31)
        found.append(one.decompress(data))
        data = one.unused_data
    return found


def test_what_time_servers_say_stands_in_each_seal(desk):
    with Timeserver(saying(Reply(ahead=0.25))) as one, Timeserver(saying(Reply(stratum=0))) as two:  # fmt: skip
        servers = [f"127.0.0.1:{server.port}" for server in (one, two)]
        desk.configure(f"[clock]\nsntp = {servers}")
        status, _, err = desk.run()
        assert status == 0
        # asked once a run, however many bags it has
        assert len(one.heard) == 1
    assert f"no time from {servers[1]}: " in err
    for bag in (desk.bag(), desk.bag("run")):
        told = json.loads((bag / "seal-0001.json").read_text())["predicate"]["clock"]
        assert [found["server"] for found in told["sntp"]] == servers
        assert abs(told["sntp"][0]["offset_seconds"] - 0.25) < 5
        assert told["sntp"][1]["reason"]
    assert desk.json("verify", "archive")[1]["ok"]


def test_without_a_time_server_the_seal_says_so(desk):
    desk.run()
    told = json.loads((desk.bag() / "seal-0001.json").read_text())["predicate"]
    assert told["clock"]["sntp"] == []


def test_a_clock_an_hour_off_is_said_and_the_capture_is_kept(desk):
    with Timeserver(saying(Reply(ahead=3600.0))) as server:
        desk.configure(f'[clock]\nsntp = ["127.0.0.1:{server.port}"]')
        status, _, err = desk.run()
    assert status == 0
    assert re.search(r"clock stands 3(599|600|601) seconds behind that of 127", err)
    assert "set it" in err
    status, found = desk.json("verify", "archive")
    assert status == 0
    codes = {one["code"] for bag in found["bags"] for one in bag["findings"]}
    assert codes == {"seal-clock"}


def test_all_that_ends_soon_is_renewed_at_once(desk, monkeypatch):
    from pipeline.sealing import expiry

    desk.run()
    assert desk.says("seal", "--renew") == (0, "no seal ends soon\n", "")
    monkeypatch.setattr(expiry.of_bags, "__kwdefaults__", {"ahead": 20 * expiry.AHEAD})
    status, told = desk.json("seal", "--renew")
    assert status == 0
    assert sorted(one["seal"] for one in told["seals"]) == [2, 2]
    assert {one["carries"] for one in told["ending"]} == {"timestamp"}
    assert len(told["ending"]) == 2


def test_a_key_that_ends_is_said_when_it_signs(desk):
    from pipeline.clock import SystemClock
    from pipeline.sealing import keys

    path, now = desk.place / "old.pem", SystemClock().now()
    desk.configure('[seal]\nkey = "old.pem"')
    keys.make(path, now=now - keys.LASTS * 0.99, serial=b"\1" * 16, name="A. N.")
    _, _, err = desk.run()
    assert err.count("muniment keys init") == 1
    assert "the certificate of CN=A. N. ends" in err
    status, _, err = desk.says("seal", "--renew", str(desk.bag()))
    assert (status, err.count("muniment keys init")) == (0, 1)


def test_a_bag_in_one_file_is_judged_and_received_with_its_seals(desk):
    desk.run()
    name = desk.bag().name
    assert desk.says("export", name, "--to", "tar.gz", "one.tar.gz")[0] == 0
    demands = ("--require-seal", "--require-timestamps", "2")
    status, out, _ = desk.says("verify", "one.tar.gz", *demands)
    assert status == 0
    assert "existed by the word of one at" in out
    assert "not before" in out  # the plan's timestamps hold too
    status, out, _ = desk.says("--archive", "elsewhere", "receive", "one.tar.gz")
    assert status == 0
    assert "existed by the word of one at" in out
    status, told = desk.json("--archive", "third", "receive", "one.tar.gz")
    assert [one["authority"] for one in told["received"][0]["seals"][0]["times"]] == ["one", "two"]  # fmt: skip


BAD_AUTHORITIES = {
    "down": "answered with HTTP status 503",
    "garbage": "no timestamp response",
    "ended": "not to be trusted",
    "unknown": "2.16.840.1.101.3.4.2.127",
}


@pytest.mark.parametrize(("mode", "why"), BAD_AUTHORITIES.items())
def test_whatever_is_wrong_with_one_authority_the_capture_is_kept(desk, mode, why):
    two = desk.keepers[1]
    right, maker = two.maker.answer, two.maker
    if mode == "ended":
        two.maker = Clockmaker(
            desk.place / "ended", "two", house=maker.house, span=(-48, -24)
        )
    elif mode == "unknown":
        two.maker.answer = lambda query: right(query).replace(
            bytes.fromhex("608648016503040201"), bytes.fromhex("60864801650304027f")
        )
    else:
        two.mode = mode
    status, out, err = desk.run()
    assert status == 9
    assert why in out
    assert "no timestamp of the plan by two" in err
    status, found = desk.json("verify", "archive", "--require-timestamps", "1")
    assert status == 0
    assert {one["code"] for bag in found["bags"] for one in bag["findings"]} == {
        "seal-pending"
    }
    two.mode, two.maker = "ok", maker
    two.maker.answer = right
    assert desk.says("seal", "--pending")[0] == 0
    assert desk.says("verify", "archive", "--require-timestamps", "2")[0] == 0


def test_a_run_that_goes_on_asks_for_the_time_again_and_tells_both(desk, monkeypatch):
    from pipeline.keeper import Keeper

    def stop(*_):
        raise KeyboardInterrupt

    with Timeserver(saying(Reply(ahead=0.25))) as server:
        desk.configure(f'[clock]\nsntp = ["127.0.0.1:{server.port}"]')
        with monkeypatch.context() as stopped:
            stopped.setattr(Keeper, "keep", stop)
            assert desk.run()[0] == 11
        assert desk.run()[0] == 0
    told = json.loads((desk.bag() / "seal-0001.json").read_text())["predicate"]
    first, second = told["clock"]["sntp"]
    assert first["at"] < told["self_test"]["at"] < second["at"]
    assert [one["authority"] for one in told["start"]["tokens"]] == ["one", "two"]
    status, found = desk.json("verify", "archive")
    assert [one["message"] for bag in found["bags"] for one in bag["findings"]] == []
    assert status == 0
