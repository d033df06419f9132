"""The main job on real pages: recordings served on loopback as if they were live."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline import warc

HTML = b"text/html"


@pytest.fixture(scope="module")
def origin(shared, tmp_path_factory):
    """The recorded pages, and the options that lead a run to them."""
    tool = shared / "tools" / "origin.py"
    recordings = sorted((shared / "data" / "real").glob("*.gz"))
    place = importlib.util.spec_from_file_location("origin", tool)
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    roots = tmp_path_factory.mktemp("origin") / "ca.pem"
    command = [
        sys.executable,
        tool,
        *recordings,
        "--http",
        "0",
        "--https",
        "0",
        "--ca",
        roots,
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        ready = json.loads(server.stdout.readline())
        yield (
            module.recorded(recordings),
            [
                *("--connect-to", f":80:127.0.0.1:{ready['http']}"),
                *("--connect-to", f":443:127.0.0.1:{ready['https']}"),
                *("--cacert", str(roots)),
            ],
        )
        server.terminate()


def is_page(url, raw):
    """Tell what origin.py --list calls a page; a tracker that answers 204 is none."""
    is_html = HTML in raw[:2000].lower() and raw.split()[1] != b"204"
    return is_html and urlsplit(url).scheme in ("http", "https")


@pytest.fixture(scope="module")
def kept(origin, tmp_path_factory):
    """One run over every recorded page: its outcome, and where it was kept."""
    pages, options = origin
    folder = tmp_path_factory.mktemp("recordings")
    urls = {
        f"{scheme}://{host}{path}": raw for (scheme, host, path), raw in pages.items()
    }
    wanted = [url for url, raw in urls.items() if is_page(url, raw)]
    manifest = folder / "real.yaml"
    lines = [
        "version: 1",
        "id: real",
        "defaults: {delay: 0s, requisite_delay: 0s}",
        "sources:",
    ]
    lines += [f"  page-{n}: {json.dumps(url)}" for n, url in enumerate(wanted)]
    manifest.write_text("\n".join(lines) + "\n")
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "--archive",
        str(folder / "archive"),
    ]
    command += ["--json", "run", str(manifest), *options]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return urls, json.loads(done.stdout)


def test_every_recorded_page_is_captured(kept):
    _, outcome = kept
    assert outcome["sources"]
    assert {
        s["id"]: s["verdict"] for s in outcome["sources"] if s["verdict"] != "captured"
    } == {}


def responses(outcome):
    for bag in outcome["bags"]:
        for record in warc.read(Path(bag["path"]) / "data/objects/capture.warc.gz"):
            if record.type == "response":
                yield record.field("WARC-Target-URI"), record.block


def test_every_response_is_what_the_origin_sent_byte_for_byte(kept):
    urls, outcome = kept
    compared = 0
    for url, block in responses(outcome):
        if url in urls:
            assert block == urls[url], url
            compared += 1
        else:
            assert block.startswith(b"HTTP/1.1 404 Not Found\r\n"), url
    assert compared > len(outcome["bags"])


def test_requisites_are_kept_where_recorded_and_listed_where_not(kept):
    urls, outcome = kept
    for source in outcome["sources"]:
        needed = source["requisites"]
        assert needed["kept"] + len(needed["missing"]) == needed["wanted"]
        whole = {url for url, raw in urls.items() if raw.split()[1].startswith(b"2")}
        assert not set(needed["missing"]) & whole, source["url"]
    assert sum(s["requisites"]["kept"] for s in outcome["sources"]) > 100
