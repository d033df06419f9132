"""What a whole run may take, and that one bad source never harms another."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import origins
from hostile_web import CASES, served
from origins import Origin, answer

from pipeline import job
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.robots import Robots
from pipeline.capture.visit import Task, visit
from pipeline.clock import SystemClock
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.model import RobotsPolicy, Source

HEAD = """\
version: 1
id: case
title: The case
contact: desk@case.example
operator: {name: A. Archivist, organisation: The Archive}
defaults: {delay: 0s, requisite_delay: 0s, retries: 0, timeout: 1s, deadline: 4s, max_size: 2MB}
sources:
"""
PAGE = answer(b"<!doctype html><title>A page</title><p>Some words.<img src=/dot.gif>")
HARMLESS = {"/page": PAGE, "/dot.gif": answer(b"GIF89a", kind="image/gif"), "/robots.txt": answer(b"")}  # fmt: skip
BAD = [
    "a million subresources",
    "infinite body",
    "endless headers",
    "endless 1xx",
    "trailers without end",
    "gzip bomb",
    "brotli bomb",
    "body drip",
    "header drip",
    "silence",
    "reset in the body",
    "random bytes",
    "redirect loop",
    "redirect to cloud metadata",
    "redirects ever further",
    "a flood of cookies",
    "style sheets without end",
    "pictures that never come",
    "formatting that multiplies",
    "robots.txt without end",
]


class Counting:
    """Progress that counts, and looks at the files that are open."""

    def __init__(self):
        self.verdicts, self.most = {}, 0

    def planned(self, *_):
        self.look()

    def said(self, sentence):
        pass

    def visiting(self, source):
        self.look()

    def kept(self, capture, change):
        self.verdicts[capture.source.id] = str(capture.verdict)
        self.look()

    def look(self):
        self.most = max(self.most, open_files())


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def a_run(root, hosts):
    """Run a manifest of one page on each host; return what was seen of it."""
    root.mkdir()
    file = root / "case.yaml"
    lines = (f"  {name}: http://{name}.example/page\n" for name in hosts)
    file.write_text(HEAD + "".join(lines), "utf-8")
    rules = tuple(
        ConnectTo(host=f"{name}.example", port=80, to_host="127.0.0.1", to_port=site.port)
        for name, site in hosts.items()
    )  # fmt: skip
    clock, seen = SystemClock(), Counting()
    network = origins.network(clock, policy=Policy(connect_to=rules))
    store = Store.open(root / "archive", clock)
    with closing(network), closing(store):
        job.run(manifest.read(file), order=job.Order(), store=store, network=network, progress=seen)  # fmt: skip
        bags = list(store.bags())
    return seen, bags


def server(case):
    return Origin(served(case))


def payloads(bags):
    """Name what the captured pages of a run came to."""
    for bag in bags:
        story = bag / "data/metadata/capture.json"
        if story.exists():
            told = json.loads(story.read_bytes())
            if told["verdict"] == "captured":
                yield told["source"]["id"], told["payload"], told["requisites"]["kept"]


def test_bad_sources_harm_no_good_one(tmp_path):
    with ExitStack() as stack:
        good = {f"good{n}": stack.enter_context(Origin(HARMLESS)) for n in range(20)}
        _, bags = a_run(tmp_path / "alone", good)
        alone = sorted(payloads(bags))
        bad = {f"bad{n}": stack.enter_context(server(CASES[name])) for n, name in enumerate(BAD)}  # fmt: skip
        pairs = zip(bad.items(), good.items(), strict=True)
        before, began = open_files(), time.monotonic()
        seen, bags = a_run(tmp_path / "beside", dict(one for pair in pairs for one in pair))  # fmt: skip
        seconds = time.monotonic() - began
    beside = sorted(one for one in payloads(bags) if one[0] in good)
    assert beside == alone
    assert len(alone) == 20
    assert len(bags) == 41  # one of every source, whatever became of it, and the run's
    assert Counter(seen.verdicts.values())["captured"] >= 20
    assert seconds < 300  # no hang; alone it takes 12
    assert seen.most < before + 16 * 8  # workers; a WARC, a spool, sockets of each


def test_ten_threads_at_one_bad_host_each_get_what_it_gave_them(network, tmp_path):
    door, robots = network(SystemClock()), Robots()
    case = CASES["missing last chunk"]

    def one(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = Source(id="one", url=f"{site.url}/{number}", timeout=timedelta(seconds=2), retries=0, delay=timedelta(0), robots=RobotsPolicy.RECORD)  # fmt: skip
        return visit(Task(source=source, folder=folder, about=()), network=door, robots=robots)  # fmt: skip

    with server(case) as site, ThreadPoolExecutor(10) as pool:
        homes = list(pool.map(one, range(10)))
        assert Counter(site.requests) == Counter(["/robots.txt", *(f"/{n}" for n in range(10))])  # fmt: skip
    assert {home.capture.reasons for home in homes} == {case.reasons}


def grown(count):
    script = Path(__file__).parent / "bench" / "many_sources.py"
    env = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run([sys.executable, script, str(count)], env=env, capture_output=True, check=True)  # fmt: skip
    told = json.loads(done.stdout)
    assert told["captured"] == count
    return told


def test_a_run_of_ten_times_the_sources_takes_no_more_memory_or_files():
    few, many = grown(30), grown(300)
    assert many["grew"] < few["grew"] + 12  # MiB; 10 KB a source are its outcome
    assert many["files"] < 100
