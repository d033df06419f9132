"""A run, from a manifest to bags that other people's tools accept."""

import errno
import gc
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import bagit
import origins
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from origins import Origin, answer
from warcio.archiveiterator import ArchiveIterator

from pipeline import identity, job, keeper, plan
from pipeline import outcome as outcomes
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.line import resolve
from pipeline.capture.net import Network
from pipeline.disk import Disk
from pipeline.errors import (
    Exit,
    InterruptedRunError,
    LockedError,
    StorageError,
    UsageError,
)
from pipeline.fixity import digest_of
from pipeline.holdings.ledger import examine
from pipeline.holdings.merkle import Head, Tree, head_json, is_included, leaf_of
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import Capture, Change, Manifest, Source, Verdict
from pipeline.packaging.profile import load
from pipeline.packaging.validate import validate
from pipeline.warc import read

DAY = 86_400.0
PAGE = answer(
    b"<html><head><title>A page</title></head><body><p>The words that are cited."
    b'<img src="/dot.png"></body></html>'
)
CUT = answer(b"x" * 50)[:-20]


def cut_short(connection: socket.socket) -> None:
    connection.sendall(CUT)


PAGES: dict[str, origins.Answer] = {
    "/page": PAGE,
    "/dot.png": answer(b"\x89PNG\r\n\x1a\n", "image/png"),
    "/cut": cut_short,
    "/robots.txt": answer(b"User-agent: *\nAllow: /\n", "text/plain"),
}
HEAD = """\
version: 1
id: case
title: The case
contact: desk@case.example
operator: {name: A. Archivist, organisation: The Archive}
defaults: {delay: 0s, requisite_delay: 0s, retries: 0, timeout: 5s}
"""
SIX = """\
sources:
  page:
    url: http://one.example/page
    quotes: [The words that are cited, words that are nowhere]
  gone: http://one.example/gone
  cut: http://one.example/cut
  other: http://two.example/page
  dead: http://dead.example/
  later: {url: "http://later.example/", skip: address to be confirmed}
"""
ONE = """\
sources:
  page: http://one.example/page
"""


class Careless(Disk):
    """Does not wait for the disk."""

    def sync(self, descriptor: int) -> None:
        pass

    def start(self, descriptor: int) -> None:
        pass


class Heard:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.visits: list[str] = []
        self.outcomes: dict[str, tuple[Verdict, Change]] = {}
        self.plan = (0, 0)

    def planned(self, hosts: Mapping[str, int]) -> None:
        self.plan = (sum(hosts.values()), len(hosts))

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def visiting(self, source: Source) -> None:
        self.visits.append(source.id)

    def kept(self, capture: Capture, change: Change) -> None:
        self.outcomes[capture.source.id] = (capture.verdict, change)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass
class Desk:
    """Where runs are made: a site, an archive, a clock that tests can turn."""

    root: Path
    origin: Origin
    clock: origins.FixedClock = field(default_factory=origins.FixedClock)
    disk: Disk = field(default_factory=Careless)
    heard: Heard = field(default_factory=Heard)
    resolve: Callable[[str, int], list[str]] = resolve
    keys: Path | None = None

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    def manifest(self, sources: str, head: str = HEAD) -> Manifest:
        file = self.root / "case.yaml"
        file.write_text(head + sources, encoding="utf-8")
        return manifest.read(file)

    def network(self) -> Network:
        to_origin = (
            ConnectTo(
                host=f"{name}.example", to_host="127.0.0.1", to_port=self.origin.port
            )
            for name in ("one", "two", "three")
        )
        dead = ConnectTo(
            host="dead.example", to_host="127.0.0.1", to_port=closed_port()
        )
        policy = Policy(connect_to=(*to_origin, dead))
        return origins.network(self.clock, policy=policy, resolve=self.resolve)

    def run(
        self, sources: str = SIX, head: str = HEAD, **order: object
    ) -> outcomes.Outcome:
        read_in = self.manifest(sources, head)
        self.clock.seconds += DAY
        self.heard = Heard()
        with closing(self.network()) as network, closing(self.store()) as store:
            return job.run(
                read_in,
                order=job.Order(**order),
                store=store,
                network=network,
                progress=self.heard,
                keys=self.keys,
            )

    def store(self) -> Store:
        return Store.open(self.archive, self.clock, disk=self.disk)

    def bags(self) -> list[Path]:
        with closing(self.store()) as store:
            return list(store.bags())

    def own(self, name: str) -> list[str]:
        return sorted(one.name for one in (self.archive / ".muniment" / name).iterdir())


@pytest.fixture
def pages() -> dict[str, origins.Answer]:
    return dict(PAGES)


@pytest.fixture
def desk(tmp_path: Path, pages: dict[str, origins.Answer]) -> Iterator[Desk]:
    with Origin(pages) as origin:
        yield Desk(root=tmp_path, origin=origin)


@dataclass(frozen=True)
class Done:
    """A run of six sources and all it left."""

    outcome: outcomes.Outcome
    root: Path
    bags: tuple[Path, ...]
    sources: dict[str, dict]
    heard: Heard
    requests: tuple[str, ...]

    def bag_of(self, source: str) -> Path:
        (found,) = (
            Path(b["path"]) for b in self.outcome.told["bags"] if b["source"] == source
        )
        return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    with Origin(dict(PAGES)) as origin:
        desk = Desk(root=tmp_path_factory.mktemp("six"), origin=origin)
        outcome = desk.run()
        yield Done(
            outcome=outcome,
            root=desk.archive,
            bags=tuple(desk.bags()),
            sources={one["id"]: one for one in outcome.told["sources"]},
            heard=desk.heard,
            requests=tuple(origin.requests),
        )


def metadata(bag: Path, name: str) -> bytes:
    return (bag / "data" / "metadata" / name).read_bytes()


def all_bytes(bag: Path) -> bytes:
    """Every byte of a bag, what is compressed laid open too."""
    found = b""
    for file in sorted(bag.rglob("*")):
        if file.is_file():
            found += file.relative_to(bag).as_posix().encode() + file.read_bytes()
            if file.suffix == ".gz":
                found += gzip.decompress(file.read_bytes())
    return found


def warc_of(bag: Path) -> Path:
    return bag / keeper.WARC_PATH


# ------------------------------------------------------------------ one bag per source


def test_every_visited_source_has_a_bag_and_the_run_has_its_own(done):
    told = done.outcome.told
    visited = {"page", "gone", "cut", "other", "dead"}
    assert {bag["source"] for bag in told["bags"]} == visited
    paths = {Path(bag["path"]) for bag in told["bags"]} | {done.outcome.run_bag}
    assert set(done.bags) == paths
    assert done.sources["later"]["bag"] is None
    assert all(done.sources[name]["bag"] for name in visited)


VERDICTS = {
    "page": ("captured", []),
    "gone": ("refused", ["http-404"]),
    "cut": ("partial", ["truncated-disconnect"]),
    "other": ("captured", []),
    "dead": ("failed", ["connect"]),
    "later": ("skipped", []),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_outcome_is_told_for_what_it_is(done, name):
    found = done.sources[name]
    assert (found["verdict"], found["reasons"]) == VERDICTS[name]


def test_a_skipped_source_is_never_asked_for(done):
    assert "later" not in done.heard.visits
    assert done.sources["later"]["detail"] == "address to be confirmed"
    assert done.heard.plan == (5, 3)


def test_every_bag_stands_in_the_year_of_its_job(done):
    assert {bag.parent.relative_to(done.root).as_posix() for bag in done.bags} == {
        "case/2026"
    }


def test_nothing_is_left_in_staging_or_quarantine(done):
    own = done.root / ".muniment"
    assert list((own / "staging").iterdir()) == []
    assert list((own / "quarantine").iterdir()) == []


# --------------------------------------------------------------------- other people's


def test_every_bag_is_valid_for_us(done):
    findings = [one for bag in done.bags for one in validate(bag).findings]
    assert findings == []


def test_every_bag_is_valid_for_bagit(done):
    for bag in done.bags:
        assert bagit.Bag(str(bag)).validate()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_every_bag_is_checked_by_coreutils_alone(done, algorithm):
    for bag in done.bags:
        for manifest_file in (f"manifest-{algorithm}.txt", f"tagmanifest-{algorithm}.txt"):  # fmt: skip
            checked = subprocess.run(
                [f"{algorithm}sum", "--strict", "--quiet", "-c", manifest_file],
                cwd=bag,
                capture_output=True,
                check=False,
            )
            assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_premis_file_is_valid_by_its_schema(done, shared):
    from lxml import etree

    file = shared / "data" / "xsd" / "premis.xsd"
    if not file.is_file():
        pytest.skip(f"the PREMIS schema is not at {file}")
    schema = etree.XMLSchema(etree.parse(file))
    for bag in done.bags:
        schema.assertValid(etree.parse(bag / "data/metadata/premis.xml"))


def test_warcio_reads_every_record(done):
    for name in ("page", "gone", "cut", "other", "dead"):
        file = warc_of(done.bag_of(name))
        with file.open("rb") as stream:
            reader = ArchiveIterator(stream, check_digests="raise")
            types = []
            for record in reader:
                record.content_stream().read()
                types.append(record.rec_type)
        assert types == [record.type for record in read(file)]
        assert types[0] == "warcinfo"
        assert "response" in types or name == "dead"


def test_fastwarc_verifies_every_block_digest(done):
    for name in ("page", "gone", "cut", "other", "dead"):
        data = warc_of(done.bag_of(name)).read_bytes()
        checked = [
            record.verify_block_digest()
            for record in FastIterator(io.BytesIO(data), parse_http=False)
            if "WARC-Block-Digest" in record.headers
        ]
        assert checked
        assert all(checked)


def test_the_index_leads_to_every_record_it_names(done):
    for name in ("page", "gone", "cut", "other"):
        bag = done.bag_of(name)
        for line in metadata(bag, "index.cdxj").splitlines():
            told = json.loads(line.split(b" ", 2)[2])
            check_index_line(bag, told)


def check_index_line(bag: Path, told: dict) -> str:
    """Cut the record out as an index says, and read it by itself."""
    data = warc_of(bag).read_bytes()
    offset, length = int(told["offset"]), int(told["length"])
    member = data[offset : offset + length]
    (record,) = ArchiveIterator(io.BytesIO(member))
    assert record.rec_headers["WARC-Target-URI"] == told["url"]
    return str(record.rec_type)


# --------------------------------------------------------------------------- the plan


def test_the_plan_that_every_warc_names_is_the_commitment_in_its_bag(done):
    whole = json.loads(metadata(done.outcome.run_bag, "submissionDocumentation/plan.json"))  # fmt: skip
    digest = digest_of(plan.canonical(whole["commitment"]))
    head = Head(size=whole["commitment"]["size"], root=bytes.fromhex(whole["commitment"]["root"]))  # fmt: skip
    for name in ("page", "gone", "cut", "other", "dead"):
        bag = done.bag_of(name)
        info = gzip.decompress(warc_of(bag).read_bytes()).split(b"\r\n\r\n")[1]
        fields = dict(line.split(": ", 1) for line in info.decode().splitlines())
        assert fields["plan-digest"] == str(digest)
        assert fields["isPartOf"] == done.outcome.told["run"]
        assert fields["description"] == f"case/{name}"
        seen = json.loads(metadata(bag, "submissionDocumentation/plan.json"))
        assert seen["commitment"] == whole["commitment"]
        leaf, proof = leaf_of(plan.canonical(seen["entry"])), tuple(map(bytes.fromhex, seen["proof"]))  # fmt: skip
        assert is_included(leaf, seen["index"], proof, head)


SECRETS = {
    "page": ["one.example/page", "The words that are cited"],
    "gone": ["one.example/gone"],
    "cut": ["one.example/cut"],
    "other": ["two.example"],
    "dead": ["dead.example"],
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_bag_discloses_nothing_of_the_other_sources(done, name):
    held = all_bytes(done.bag_of(name))
    for other, words in SECRETS.items():
        for word in words:
            is_shared = other != name and {other, name} == {"page", "other"}
            if other != name and not (is_shared and " " in word):  # one text, two hosts
                assert word.encode() not in held, f"{word} in the bag of {name}"
    assert b"version: 1" not in held


def test_the_run_bag_holds_the_manifest_as_it_was_written(done):
    run_bag = done.outcome.run_bag
    written = metadata(run_bag, "submissionDocumentation/manifest.yaml")
    assert written.decode() == HEAD + SIX
    assert b"later.example" in written


# ----------------------------------------------------------------------- what is told


def test_run_json_is_what_the_run_returned(done):
    assert json.loads(metadata(done.outcome.run_bag, "run.json")) == done.outcome.told


SHAPE = {
    "job": str,
    "run": str,
    "started": str,
    "resumed": list,
    "ended": str,
    "bags": [
        {
            "id": str,
            "path": str,
            "source": str,
            "url": str,
            "verdict": str,
            "reasons": [str],
            "detail": str,
            "tagmanifest": {"sha256": str, "sha512": str},
            "status": (int, None),
            "exchanges": int,
            "bytes": int,
            "quotes": [{"text": str, "found": bool, "score": float}],
        }
    ],
    "sources": [
        {
            "id": str,
            "url": str,
            "verdict": str,
            "reasons": [str],
            "detail": str,
            "change": (str, None),
            "news": bool,
            "requisites": {"wanted": int, "kept": int, "missing": [str]},
            "bag": (str, None),
        }
    ],
    "run_bag": str,
    "custody": {"size": int, "root": str},
    "self_test": {
        "passed": bool,
        "at": str,
        "seconds": float,
        "block": str,
        "payload": str,
        "compared": [str],
    },
    "artefacts": [
        {
            "path": str,
            "size": int,
            "digests": {"sha256": str, "sha512": str},
            "media_type": str,
            "derived_from": str,
        }
    ],
    "receipts": [str],
    "exit": int,
    "exits": [int],
}


def check_shape(told: object, shape: object, where: str = "") -> None:
    if isinstance(shape, dict):
        assert isinstance(told, dict), where
        assert set(told) == set(shape), where
        for name, inner in shape.items():
            check_shape(told[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(told, list), where
        for number, one in enumerate(told):
            check_shape(one, shape[0], f"{where}[{number}]")
    elif isinstance(shape, tuple):
        assert told is None or type(told) is shape[0], where
    else:
        assert type(told) is shape, f"{where}: {told!r}"


def test_the_outcome_has_the_shape_of_the_contract(done):
    told = json.loads(json.dumps(done.outcome.told))
    counts = told.pop("counts")
    check_shape(told, SHAPE)
    assert counts == {
        "failed": 1,
        "refused": 1,
        "partial": 1,
        "captured": 2,
        "skipped": 1,
    }
    assert told["job"] == "case"
    assert Path(told["run_bag"]).is_absolute()
    assert all(Path(bag["path"]).is_absolute() for bag in told["bags"])


def test_the_digests_that_are_told_are_those_of_the_tag_manifests(done):
    for bag in done.outcome.told["bags"]:
        for algorithm, told in bag["tagmanifest"].items():
            file = Path(bag["path"]) / f"tagmanifest-{algorithm}.txt"
            assert digest_of(file.read_bytes(), algorithm).hex == told


def test_a_bag_is_told_with_its_status_its_quotes_and_its_size(done):
    bags = {bag["source"]: bag for bag in done.outcome.told["bags"]}
    assert [bags[name]["status"] for name in ("page", "gone", "dead")] == [200, 404, None]  # fmt: skip
    found = {quote["text"]: quote["found"] for quote in bags["page"]["quotes"]}
    assert found == {
        "The words that are cited": True,
        "words that are nowhere": False,
    }
    assert bags["page"]["exchanges"] == 3  # robots, page, picture
    assert bags["dead"]["bytes"] == 0


def test_what_a_page_needs_is_counted(done):
    assert done.sources["page"]["requisites"] == {"wanted": 1, "kept": 1, "missing": []}


def test_robots_is_asked_once_for_a_host(done):
    assert done.requests.count("/robots.txt") == 2  # one.example and two.example


def test_bag_info_names_the_run_and_what_was_cited(done):
    info = bagit.Bag(str(done.bag_of("gone"))).info
    assert info["Bag-Group-Identifier"] == done.outcome.told["run"]
    assert info["Evidence-Source-URL"] == "http://one.example/gone"
    assert info["Evidence-Verdict"].startswith("refused")
    run_info = bagit.Bag(str(done.outcome.run_bag)).info
    assert run_info["Bag-Group-Identifier"] == done.outcome.told["run"]


# ------------------------------------------------------------------------ the next run


def test_an_unchanged_source_is_proved_in_the_run_bag_alone(desk):
    first = desk.run()
    again = desk.run()
    sources = {one["id"]: one for one in again.told["sources"]}
    for name in ("page", "other"):
        assert sources[name]["verdict"] == "unchanged"
        assert sources[name]["change"] == "unchanged"
        assert sources[name]["bag"] is None
    assert {bag["source"] for bag in again.told["bags"]} == {"gone", "cut", "dead"}
    assert desk.own("staging") == []
    assert validate(again.run_bag, profile=load("muniment")).findings == ()
    assert bagit.Bag(str(again.run_bag)).validate()
    assert len(desk.bags()) == len(first.told["bags"]) + 1 + 3 + 1


def test_an_unchanged_source_is_kept_again_where_all_is_to_be_kept(desk):
    all_of_it = f"{ONE}schedule: {{every: 7d, keep: all}}\n"
    desk.run(all_of_it)
    again = desk.run(all_of_it)
    (source,) = again.told["sources"]
    assert (source["verdict"], source["change"]) == ("captured", "unchanged")
    assert source["bag"] is not None


def advertised(number: int) -> origins.Answer:
    """The same page with another advertisement, token and script."""
    return answer(
        b"<html><head><title>A page</title><script>x = %d</script></head><body>"
        b"<p>The words that are cited.<img src='/dot.png?%d'>"
        b"<form><input type=hidden value=%d></form></body></html>" % ((number,) * 3)
    )


def test_a_rotating_advertisement_is_no_change_and_its_bytes_are_kept(desk):
    desk.origin.pages["/page"] = advertised(1)
    first = desk.run(ONE)
    desk.origin.pages["/page"] = advertised(2)
    again = desk.run(ONE)
    (source,) = again.told["sources"]
    assert (source["verdict"], source["change"]) == ("unchanged", "unchanged")
    assert source["bag"] is None
    assert first.told["bags"][0]["id"] in source["detail"]
    records = {one.type: one for one in read(warc_of(again.run_bag))}
    assert b"x = 2" in records["response"].block  # other bytes: the whole of them
    assert "revisit" not in records
    assert validate(again.run_bag, profile=load("muniment")).findings == ()


def test_where_all_is_to_be_kept_an_advertisement_makes_a_bag(desk):
    all_of_it = f"{ONE}schedule: {{every: 7d, keep: all}}\n"
    desk.origin.pages["/page"] = advertised(1)
    desk.run(all_of_it)
    desk.origin.pages["/page"] = advertised(2)
    (source,) = desk.run(all_of_it).told["sources"]
    assert source["bag"] is not None


def test_words_that_changed_are_told_line_by_line(desk):
    desk.run(ONE)
    desk.origin.pages["/page"] = answer(
        b"<html><body><p>Other words, cited.</body></html>"
    )
    again = desk.run(ONE)
    (bag,) = again.told["bags"]
    told = json.loads((Path(bag["path"]) / "data/metadata/capture.json").read_bytes())
    assert told["change"] == "changed"
    assert told["text_diff"]["before"] == told["previous"]["bag"]
    assert "-The words that are cited." in told["text_diff"]["lines"]
    assert "+Other words, cited." in told["text_diff"]["lines"]


def test_words_are_not_compared_with_a_bag_that_is_not_what_it_was(desk):
    first = desk.run(ONE)
    (bag,) = first.told["bags"]
    (Path(bag["path"]) / "data/objects/rendered/page.txt").write_text("forged")
    desk.origin.pages["/page"] = answer(b"<html><body><p>Other words.</body></html>")
    (bag,) = desk.run(ONE).told["bags"]
    told = json.loads((Path(bag["path"]) / "data/metadata/capture.json").read_bytes())
    assert told["text_diff"] is None


def test_a_revisit_leads_back_to_the_response_that_is_kept(desk):
    first = desk.run(ONE)
    again = desk.run(ONE)
    (kept,) = (Path(bag["path"]) for bag in first.told["bags"])
    responses = {
        record.field("WARC-Target-URI"): record
        for record in read(warc_of(kept))
        if record.type == "response"
    }
    records = list(read(warc_of(again.run_bag)))
    (revisit,) = (record for record in records if record.type == "revisit")
    original = responses["http://one.example/page"]
    assert revisit.field("WARC-Refers-To") == original.field("WARC-Record-ID")
    assert revisit.field("WARC-Payload-Digest") == original.field("WARC-Payload-Digest")
    requests = [r.field("WARC-Concurrent-To") for r in records if r.type == "request"]
    assert revisit.field("WARC-Record-ID") in requests


def test_a_revisit_that_is_cut_off_is_missed_even_where_no_manifest_tells(desk):
    desk.run()
    bag = desk.run().run_bag
    warc, *_ = json.loads(metadata(bag, "run.json"))["artefacts"]
    data = warc_of(bag).read_bytes()
    assert (warc["path"], warc["size"]) == (keeper.WARC_PATH, len(data))
    assert warc["digests"]["sha512"] == hashlib.sha512(data).hexdigest()
    os.truncate(warc_of(bag), len(data) - 1)
    found = {one.code for one in validate(bag).findings}
    assert {"digest-mismatch", "oxum-mismatch", "warc-truncated"} <= found


def test_the_index_of_the_revisits_leads_to_them(desk):
    desk.run()
    again = desk.run()
    lines = metadata(again.run_bag, "index.cdxj").splitlines()
    assert lines == sorted(lines)
    told = [json.loads(line.split(b" ", 2)[2]) for line in lines]
    kinds = {one["url"]: check_index_line(again.run_bag, one) for one in told}
    assert kinds["http://one.example/page"] == "revisit"
    assert kinds["http://two.example/page"] == "revisit"
    data = warc_of(again.run_bag).read_bytes()
    blocks = [
        record.verify_block_digest()
        for record in FastIterator(io.BytesIO(data), parse_http=False)
    ]
    assert blocks
    assert all(blocks)


def test_a_source_changes_goes_and_comes_back(desk, pages):
    found = []
    for page in (PAGE, PAGE, answer(b"<p>New words"), None, None, PAGE):
        pages["/page"] = page or b""
        outcome = desk.run(ONE)
        (source,) = outcome.told["sources"]
        found.append((source["change"], source["verdict"], bool(source["bag"])))
    assert found == [
        ("first", "captured", True),
        ("unchanged", "unchanged", False),
        ("changed", "captured", True),
        ("gone", "refused", True),
        ("unchanged", "refused", True),
        ("back", "captured", True),
    ]


def test_a_new_capture_names_the_one_before_it(desk, pages):
    (first,) = desk.run(ONE).told["bags"]
    pages["/page"] = answer(b"<p>New words")
    (second,) = desk.run(ONE).told["bags"]
    info = bagit.Bag(second["path"]).info
    assert info["Evidence-Previous-Bag"] == first["id"]
    assert info["Evidence-Previous-Tagmanifest-SHA512"] == first["tagmanifest"]["sha512"]  # fmt: skip


# ------------------------------------------------------------------------ how it exits

REQUIRED = """\
sources:
  page:
    url: http://one.example/page
    quotes: [{text: words that are nowhere, required: true}]
"""
OPTIONAL = REQUIRED.replace(", required: true", "")
GONE = """\
sources:
  gone: http://one.example/gone
"""
EXPECTED = """\
sources:
  gone: {url: "http://one.example/gone", expect: [http-404]}
"""
BUSY = """\
sources:
  busy: {url: "http://one.example/busy", retries: 1}
"""
BUSY_AND_GONE = BUSY + "  gone: http://one.example/gone\n"
MISSING_AND_GONE = REQUIRED + "  gone: http://one.example/gone\n"
LATER = """\
sources:
  later: {url: "http://one.example/page", skip: not yet}
"""
N, Q, R = Exit.NOT_CAPTURED, Exit.QUOTE_MISSING, Exit.RETRY


@dataclass(frozen=True)
class Case:
    sources: str
    exits: tuple[Exit, ...] = ()
    exit: Exit = Exit.OK
    strict: bool = False
    runs: int = 1


EXITS = {
    "all is captured": Case(ONE),
    "a source is gone": Case(GONE, (N,), N),
    "it was gone the last time": Case(GONE, runs=2),
    "old news under --strict": Case(GONE, (N,), N, strict=True, runs=2),
    "it was expected": Case(EXPECTED),
    "what was expected under --strict": Case(EXPECTED, (N,), N, strict=True),
    "words that need not be there": Case(OPTIONAL),
    "required words are not there": Case(REQUIRED, (N, Q), Q),
    "required words were not there before": Case(REQUIRED, runs=2),
    "under --strict all words are required": Case(OPTIONAL, (N, Q), Q, strict=True),
    "a server asks to wait an hour": Case(BUSY, (R,), R),
    "it asks again": Case(BUSY, (R,), R, runs=2),
    "a server asks to wait under --strict": Case(BUSY, (R,), R, strict=True),
    "one must wait and one is gone": Case(BUSY_AND_GONE, (N, R), N),
    "words and a source": Case(MISSING_AND_GONE, (N, Q), Q),
    "nothing to visit": Case(LATER),
}


@pytest.mark.parametrize("case", EXITS.values(), ids=EXITS)
def test_a_run_exits_by_what_is_news(desk, pages, case):
    pages["/busy"] = answer(b"busy", status="503 Busy", Retry_After="3600")
    for _ in range(case.runs):
        outcome = desk.run(case.sources, strict=case.strict)
    assert outcome.told["exits"] == [int(code) for code in case.exits]
    assert outcome.exit is case.exit
    assert outcome.told["exit"] == int(case.exit)


def test_one_run_is_told_as_it_is_and_several_as_a_list(desk):
    first, second = desk.run(ONE), desk.run(GONE)
    assert outcomes.together([first]) is first.told
    told = outcomes.together([first, second])
    assert told == {"runs": [first.told, second.told], "exit": 6}


# -------------------------------------------------------------------- what was ordered


def test_only_the_sources_that_are_named_are_visited(desk):
    outcome = desk.run(only=("gone", "later"))
    assert [one["id"] for one in outcome.told["sources"]] == ["gone", "later"]
    assert set(desk.origin.requests) == {"/robots.txt", "/gone"}


def test_an_unknown_source_ends_the_run_before_it_begins(desk):
    with pytest.raises(UsageError, match="no such source"):
        desk.run(only=("gnoe",))
    assert desk.bags() == []
    assert desk.origin.requests == []
    assert desk.own("staging") == []


def test_a_secret_that_is_not_to_be_had_is_told_before_anything_is_fetched(desk):
    sources = ONE + (
        "  closed:\n    url: http://two.example/page\n"
        "    headers: {Authorization: env:NOT_SET_ANYWHERE}\n"
    )
    with pytest.raises(UsageError, match="NOT_SET_ANYWHERE"):
        desk.run(sources)
    assert desk.origin.requests == []
    assert desk.own("staging") == []


def test_the_document_file_is_kept_in_the_run_bag(desk):
    (desk.root / "letter.TXT").write_bytes(b"A letter.\n")
    head = HEAD + "document: {title: A letter, file: letter.TXT}\n"
    outcome = desk.run(ONE, head)
    file = outcome.run_bag / f"{keeper.DOCUMENT_FOLDER}/document.txt"
    assert file.read_bytes() == b"A letter.\n"
    assert validate(outcome.run_bag).findings == ()


def test_a_document_file_that_is_lost_meanwhile_is_named(desk):
    letter = desk.root / "letter.txt"
    letter.write_bytes(b"A letter.\n")
    read_in = desk.manifest(ONE, HEAD + "document: {title: L, file: letter.txt}\n")
    letter.unlink()
    with (
        closing(desk.network()) as network,
        closing(desk.store()) as store,
        pytest.raises(StorageError, match=r"letter\.txt"),
    ):
        job.run(
            read_in, order=job.Order(), store=store, network=network, progress=Heard()
        )
    assert desk.origin.requests == []


def test_bags_are_made_with_the_algorithms_that_are_asked_for(desk):
    head = HEAD + "package: {algorithms: [sha512]}\n"
    desk.run(ONE, head)
    outcome = desk.run(SIX, head)
    for bag in desk.bags():
        assert {one.name for one in bag.glob("*manifest-*")} == {
            "manifest-sha512.txt",
            "tagmanifest-sha512.txt",
        }
        assert validate(bag).findings == ()
        assert bagit.Bag(str(bag)).validate()
    assert all(list(bag["tagmanifest"]) == ["sha512"] for bag in outcome.told["bags"])


def test_what_the_manifest_adds_to_bag_info_is_in_every_bag(desk):
    desk.run(ONE, HEAD + "package: {info: {Source-Organization: The Harbour}}\n")
    for bag in desk.bags():
        assert bagit.Bag(str(bag)).info["Source-Organization"] == "The Harbour"


def test_what_the_operator_opened_is_in_the_provenance(desk, authority):
    rule = ConnectTo(host="one.example", to_host="127.0.0.1", to_port=desk.origin.port)
    policy = Policy(allow=(origins.LOOPBACK,), connect_to=(rule,))
    outcome = desk.run(ONE, policy=policy, cacert=authority.path)
    environment = json.loads(
        metadata(outcome.run_bag, "submissionDocumentation/environment.json")
    )
    assert environment["settings"] == {
        "allow-address": "127.0.0.1/32",
        "connect-to": str(rule),
        "cacert": str(digest_of(authority.path.read_bytes())),
    }
    assert environment["environment"]["python"].startswith("3.")


def test_the_door_is_opened_as_far_as_manifest_and_operator_say(desk):
    read_in = desk.manifest("sources: {a: 'http://one.example:8080/'}\n")
    order = job.Order(policy=Policy(allow=(origins.LOOPBACK,)))
    with closing(job.network_for(read_in, order, desk.clock)) as network:
        assert network.reach.policy.named == {("one.example", 8080)}
        assert network.reach.policy.allow == (origins.LOOPBACK,)


def test_roots_that_are_none_are_refused(desk):
    order = job.Order(cacert=desk.root / "absent.pem")
    with pytest.raises(UsageError, match=r"absent\.pem"):
        job.network_for(desk.manifest(ONE), order, desk.clock)


# --------------------------------------------------------------- hosts beside each other

TWO_HOSTS = """\
sources:
  a1: {url: "http://one.example/a1", robots: ignore}
  a2: {url: "http://one.example/a2", robots: ignore}
  b1: {url: "http://two.example/b1", robots: ignore}
  b2: {url: "http://two.example/b2", robots: ignore}
"""


def test_two_hosts_are_visited_at_the_same_time(desk, pages):
    met = threading.Barrier(2)

    def together(connection: socket.socket) -> None:
        met.wait(120)  # broken, and so a failure, unless the other host is asked too
        connection.sendall(PAGE)

    pages.update({f"/{name}": together for name in ("a1", "a2", "b1", "b2")})
    outcome = desk.run(TWO_HOSTS)
    assert outcome.told["counts"] == {"captured": 4}


def test_one_host_is_never_asked_twice_at_the_same_time(desk, pages):
    lock, most, under_way = threading.Lock(), 0, 0
    other_host = threading.Event()

    def counted(connection: socket.socket) -> None:
        nonlocal most, under_way
        with lock:
            under_way += 1
            most = max(most, under_way)
        other_host.wait(10)  # time enough for a second visit to begin
        connection.sendall(PAGE)
        with lock:
            under_way -= 1

    def free(connection: socket.socket) -> None:
        connection.sendall(PAGE)
        other_host.set()

    pages.update({"/a1": counted, "/a2": counted, "/b1": answer(b"b"), "/b2": free})
    outcome = desk.run(TWO_HOSTS)
    assert outcome.told["counts"] == {"captured": 4}
    assert most == 1
    visits = desk.heard.visits
    assert visits.index("a1") < visits.index("a2")


# ---------------------------------------------------------------------- what goes wrong

THREE_HOSTS = """\
sources:
  page: http://one.example/page
  bad: http://two.example/page
  worse: http://two.example/gone
  good: http://three.example/page
"""


class Faulty(Network):
    """A network with a fault that nobody foresaw, on one path."""

    fault: BaseException = KeyError("unforeseen")
    path = "two.example/page"

    def fetch(self, order):
        if self.path in order.url:
            raise self.fault
        return super().fetch(order)


def faulty(desk: Desk, fault: BaseException, path: str) -> None:
    made = desk.network

    def network() -> Network:
        whole = made()
        one = Faulty(
            clock=whole.clock, policy=whole.reach.policy, tls=whole.reach.trust
        )
        one.fault, one.path = fault, path
        return one

    desk.network = network  # type: ignore[method-assign]


def test_a_source_that_crashes_harms_no_other(desk):
    faulty(desk, KeyError("unforeseen"), "two.example/page")
    outcome = desk.run(THREE_HOSTS)
    sources = {one["id"]: one for one in outcome.told["sources"]}
    assert [sources[name]["verdict"] for name in ("page", "bad", "worse", "good")] == [
        "captured",
        "failed",
        "refused",
        "captured",
    ]
    assert sources["bad"]["reasons"] == ["internal-error"]
    assert "KeyError" in sources["bad"]["detail"]
    assert "unforeseen" in sources["bad"]["detail"]
    assert outcome.exit is Exit.NOT_CAPTURED


def test_a_crash_is_packed_as_a_bag_of_metadata_that_every_tool_accepts(desk, shared):
    from lxml import etree

    faulty(desk, ValueError("odd"), "two.example/page")
    outcome = desk.run(THREE_HOSTS)
    (bag,) = (Path(b["path"]) for b in outcome.told["bags"] if b["source"] == "bad")
    assert not (bag / "data/objects").exists()
    assert validate(bag).findings == ()
    assert bagit.Bag(str(bag)).validate()
    (event, *_) = map(json.loads, metadata(bag, "events.jsonl").splitlines())
    assert (event["type"], event["outcome"]) == ("capture", "failed")
    assert "ValueError: odd" in event["detail"]
    ET.parse(bag / "data/metadata/premis.xml")
    file = shared / "data" / "xsd" / "premis.xsd"
    schema = etree.XMLSchema(etree.parse(file))
    schema.assertValid(etree.parse(bag / "data/metadata/premis.xml"))


def test_what_a_crash_left_half_written_is_set_aside_not_deleted(desk):
    faulty(desk, ValueError("odd"), "two.example/page")
    outcome = desk.run(THREE_HOSTS)
    assert desk.own("staging") == []
    (aside,) = desk.own("quarantine")
    held = {bag["id"] for bag in outcome.told["bags"]}
    assert aside.startswith("case_bad_")
    assert aside not in held
    warc = desk.archive / ".muniment/quarantine" / aside / keeper.WARC_PATH
    assert b"plan-digest" in gzip.decompress(warc.read_bytes())
    assert any(aside in sentence for sentence in desk.heard.sentences)


def test_a_source_that_crashed_is_visited_again_and_found(desk):
    whole = desk.network
    faulty(desk, ValueError("odd"), "one.example/page")
    assert desk.run(ONE).exit is Exit.NOT_CAPTURED
    desk.network = whole  # type: ignore[method-assign]
    outcome = desk.run(ONE)
    (source,) = outcome.told["sources"]
    assert (source["verdict"], source["change"]) == ("captured", "back")


def test_a_cookie_made_to_break_requests_breaks_no_run(desk, pages):
    hostile = answer(b'<p><img src="/dot.png">', Set_Cookie="a=b\0c; Path=/")
    pages["/page"] = hostile
    outcome = desk.run("sources: {a: 'http://one.example/page', b: 'http://two.example/gone'}\n")  # fmt: skip
    assert {one["id"] for one in outcome.told["sources"]} == {"a", "b"}
    assert len(desk.bags()) == 3


@pytest.mark.parametrize("after", [1, 3], ids=["half way", "at the end"])
def test_an_interrupted_run_keeps_the_bags_it_made(desk, after):
    class Interrupting(Heard):
        def kept(self, capture, change):
            super().kept(capture, change)
            if len(self.outcomes) == after:
                raise KeyboardInterrupt

    read_in = desk.manifest(THREE_HOSTS.replace("  worse: http://two.example/gone\n", ""))  # fmt: skip
    heard = Interrupting()
    with (
        closing(desk.network()) as network,
        closing(desk.store()) as store,
        pytest.raises(InterruptedRunError) as stopped,
    ):
        job.run(
            read_in, order=job.Order(), store=store, network=network, progress=heard
        )
    assert stopped.value.exit is Exit.INTERRUPTED
    assert "case_run_" in str(stopped.value)
    kept = desk.bags()
    assert len(kept) >= 1
    assert all(validate(bag).ok for bag in kept)
    told = stopped.value.details()["bags"]
    assert [one["path"] for one in told] == [path for _, path in stopped.value.bags]
    assert {Path(one["path"]) for one in told} == set(kept)
    outcome = desk.run(THREE_HOSTS)
    assert outcome.told["counts"]["refused"] == 1
    assert set(kept) <= set(desk.bags())
    assert desk.own("staging") == []


@pytest.fixture
def slow(tmp_path: Path) -> Iterator["Slow"]:
    """A real run of two sources on one host, waiting for the first of them."""
    asked, may_go = threading.Event(), threading.Event()

    def answered_late(connection: socket.socket) -> None:
        asked.set()
        may_go.wait(120)
        connection.sendall(PAGE)

    with Origin({"/slow": answered_late, "/never": PAGE}) as origin:
        (tmp_path / "case.yaml").write_text(
            "version: 1\nid: case\ndefaults: {robots: ignore, delay: 0s}\nsources:\n"
            "  slow: http://one.example/slow\n  never: http://one.example/never\n"
        )
        rule = f"one.example:80:127.0.0.1:{origin.port}"
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pipeline.cli",
                "run",
                "case.yaml",
                "--archive",
                "archive",
                "--connect-to",
                rule,
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert asked.wait(120)
            yield Slow(process=process, may_go=may_go, origin=origin)
            may_go.set()
            process.kill()


@dataclass
class Slow:
    process: "subprocess.Popen[str]"
    may_go: threading.Event
    origin: Origin

    def interrupted(self) -> str:
        """Send Ctrl-C and read what is said until the run says that it stops."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        said = ""
        while "stopping" not in said:
            said = self.process.stderr.readline()
            assert said, "it ended without a word"
        return said


def test_ctrl_c_ends_the_exchange_under_way_and_begins_no_other(slow):
    assert "a second Ctrl-C stops at once" in slow.interrupted()
    slow.may_go.set()
    _, said = slow.process.communicate(timeout=120)
    assert slow.process.returncode == 11
    assert "was interrupted with 0 of 2 sources done; the bags it made are kept" in said
    assert "Traceback" not in said
    assert slow.origin.requests == ["/slow"]


def test_a_second_ctrl_c_does_not_wait_for_the_exchange_under_way(slow):
    slow.interrupted()
    slow.process.send_signal(signal.SIGINT)
    _, said = slow.process.communicate(timeout=120)  # the server never answers
    assert slow.process.returncode == 11
    assert "Traceback" not in said


WORKER = """
import sys
from pathlib import Path
from pipeline.clock import SystemClock
from pipeline.holdings.store import Store
with Store.open(Path(sys.argv[1]), SystemClock()).lock("run of another"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_an_archive_that_another_process_holds_is_not_touched(desk):
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(desk.archive)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError) as locked:
            desk.run(ONE)
        other.communicate("go\n")
    assert locked.value.exit is Exit.RETRY
    assert "run of another" in str(locked.value)
    assert str(other.pid) in str(locked.value)
    assert desk.origin.requests == []
    assert desk.run(ONE).exit is Exit.OK


class Full(Careless):
    """A disk that is full when a bag is to be put in its place."""

    def rename(self, old: Path, new: Path) -> None:
        if "case_page" in new.name and ".muniment" not in new.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(new))
        super().rename(old, new)


def test_a_disk_that_fills_half_way_is_told_with_the_bags_kept_before(desk):
    desk.disk = Full()
    with pytest.raises(StorageError) as full:
        desk.run(
            "sources:\n  first: http://one.example/page\n"
            "  page: http://one.example/other\n"
        )
    (kept,) = desk.bags()
    assert full.value.details() == {"bags": [{"id": kept.name, "path": str(kept)}]}


def test_a_full_disk_is_told_with_its_path_and_loses_nothing(desk):
    desk.disk = Full()
    with pytest.raises(StorageError) as full:
        desk.run(ONE)
    assert full.value.exit is Exit.STORAGE
    assert "case_page" in str(full.value)
    assert "No space left" in str(full.value)
    assert desk.bags() == []
    assert len(desk.own("staging")) == 2  # the bag, and the journal of the run
    desk.disk = Careless()
    assert desk.run(ONE).exit is Exit.OK
    assert desk.own("staging") == []
    assert desk.own("quarantine") == []  # what was packed needed but its place


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
    )
    if not mounted or mounted.returncode:
        pytest.skip("no small file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


# The spool of the answer that found no room is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_system_without_room_ends_the_run_and_names_the_file(desk, pages, tiny):
    pages["/page"] = answer(os.urandom(3_000_000), "image/png")
    desk.root = tiny
    with pytest.raises(StorageError, match=str(tiny)):
        desk.run(ONE)
    gc.collect()
    assert desk.bags() == []


# --------------------------------------------------------------------------- decisions


def test_a_bag_is_named_for_people(desk):
    name = identity.bag_name("job", "page", desk.clock.now(), "1a2b3c4d-xxxx")
    assert name == "job_page_20260924t031700z_1a2b3c4d"


def test_what_is_not_installed_is_not_named(monkeypatch):
    monkeypatch.setattr(identity, "STANDS_ON", ("requests", "no-such-part"))
    names = [name for name, _ in identity.environment()]
    assert names == ["python", "system", "muniment", "requests"]


# ------------------------------------------------------------------------ the custody log


def test_the_run_bag_tells_the_head_of_the_log_before_it(desk):
    outcome = desk.run(ONE)
    with closing(desk.store()) as store:
        lines = [one.line for one in store.log.read()]
    assert len(lines) == 2  # the source's bag, the run's bag
    head = Tree(map(leaf_of, lines)).head(1)
    assert outcome.told["custody"] == head_json(head)
    told = json.loads(metadata(outcome.run_bag, "run.json"))
    assert told["custody"] == head_json(head)


def test_a_run_signs_the_log_when_all_is_kept(desk, tmp_path):
    desk.keys = tmp_path / "keys"
    desk.run(ONE)
    desk.run(SIX)
    told = examine(desk.archive)
    assert (told.ok, told.checkpoints) == (True, 2)  # one a run
    assert desk.heard.sentences == []


def test_a_run_whose_log_cannot_be_signed_keeps_its_bags_and_says_so(desk):
    desk.keys = desk.archive / "keys"
    assert desk.run(ONE).told["counts"] == {"captured": 1}
    (said,) = desk.heard.sentences
    assert said.startswith("no checkpoint of the custody log was made: ")
    assert len(desk.bags()) == 2
