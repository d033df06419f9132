"""The Berkeley Protocol's collection items: DESIGN.md's table, held to real captures."""

import ipaddress
import json
import re
from contextlib import closing
from datetime import datetime
from pathlib import Path

import origins
import pytest
from origins import Origin, answer
from test_job import Heard

from pipeline import job, keeper
from pipeline.capture.address import ConnectTo, Policy
from pipeline.capture.visit import PRODUCT
from pipeline.clock import SystemClock
from pipeline.fixity import digest_of
from pipeline.holdings.store import Store
from pipeline.intake import manifest
from pipeline.warc import read

DESIGN = Path(__file__).parents[1] / "pipeline" / "DESIGN.md"
HEADING = "## Berkeley Protocol: where each collection item stands"
BODY = (
    b"<title>A title</title><p>The words that are cited.</p>"
    b"<img src=/dot.png><img src=/none.png>"
)
PAGES = {
    "/robots.txt": answer(b"", "text/plain"),
    "/old": origins.redirect("/page"),
    "/page": answer(BODY, Date="Mon, 23 Nov 2026 03:00:00 GMT"),
    "/other": answer(b"<p>Another form of it."),
    "/dot.png": answer(b"\x89PNG\r\n\x1a\n", "image/png"),
}
CASE = """\
version: 1
id: case
operator: {name: A. Archivist, organisation: The Archive, contact: a@case.example, ip: 192.0.2.7}
document: {title: What is cited}
defaults: {delay: 0s, requisite_delay: 0s, retries: 0, timeout: 5s}
sources:
  good:
    url: https://localhost/old
    also: ["https://localhost/other"]
    title: Given title
    publisher: A Publisher
    author: [An Author]
    published: 2026-01-02
    role: official
    note: to be read with care
    quotes: [The words that are cited]
  bad: {url: "https://bad.example/page", tls: record}
"""


@pytest.fixture(scope="module")
def bags(tmp_path_factory, authority):
    root, clock = tmp_path_factory.mktemp("coverage"), SystemClock()
    file = root / "case.yaml"
    file.write_text(CASE)
    with (
        Origin(PAGES, tls=authority.server("localhost")) as good,
        Origin(PAGES, tls=authority.server("bad.example", expired=True)) as bad,
        closing(Store.open(root / "archive", clock)) as store,
    ):
        rules = tuple(
            ConnectTo(host=name, to_host=to, to_port=site.port)
            for name, to, site in (
                ("localhost", "localhost", good),
                ("bad.example", "127.0.0.1", bad),
            )
        )
        policy = Policy(connect_to=rules)
        with closing(
            origins.network(clock, policy=policy, cacert=authority.path)
        ) as network:
            outcome = job.run(
                manifest.read(file),
                order=job.Order(policy=policy),
                store=store,
                network=network,
                progress=Heard(),
            )
        yield {one["source"]: Path(one["path"]) for one in outcome.told["bags"]}


@pytest.fixture(scope="module")
def captures(bags):
    return [
        json.loads((bags[name] / "data/metadata/capture.json").read_bytes())
        for name in ("good", "bad")
    ]


@pytest.fixture(scope="module")
def records(bags):
    """The records of both WARCs, by id."""
    return {
        dict(one.fields)["WARC-Record-ID"]: one.type
        for bag in bags.values()
        for one in read(bag / keeper.WARC_PATH)
    }


def table() -> list[str]:
    text = DESIGN.read_text().partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 10
    return [path for row in rows for path in re.findall(r"`([^`]+)`", row[2])]


def values(told, path):
    """Every value at a path; KeyError where one is not there."""
    found = [told]
    for name in path.split("."):
        found = [one[name.removesuffix("[]")] for one in found if one is not None]
        if name.endswith("[]"):
            found = [one for many in found for one in many]
    return found


def is_text(found) -> bool:
    return any(found) and all(isinstance(one, str) for one in found)


def holds(*wanted):
    return lambda found: set(wanted) <= set(found)


def is_time(found) -> bool:
    return bool(found) and all(datetime.fromisoformat(one).tzinfo for one in found)


def is_address(found) -> bool:
    return bool(found) and all(ipaddress.ip_address(one).is_loopback for one in found)


def is_count(found) -> bool:
    return bool(found) and all(type(one) is int and one > 0 for one in found)


def is_digest(found) -> bool:
    return any(found) and all(
        re.fullmatch("sha256:[0-9a-f]{64}", one) for one in found if one
    )


SENSE = {
    "source.url": holds("https://localhost/old", "https://bad.example/page"),
    "source.also[]": holds("https://localhost/other"),
    "final_url": holds("https://localhost/page"),
    "redirects[].url": holds("https://localhost/old"),
    "redirects[].status": holds(302),
    "redirects[].location": holds("https://localhost/page"),
    "exchanges[].purpose": holds("document", "requisite", "robots", "alternate"),
    "exchanges[].response.offset": is_count,
    "exchanges[].response.length": is_count,
    "artefacts[].path": holds("data/objects/rendered/page.txt"),
    "artefacts[].media_type": holds("text/plain; charset=utf-8"),
    "artefacts[].derived_from": lambda found: any("urn:uuid:" in one for one in found),
    "artefacts[].digests": lambda found: all(
        {"sha256", "sha512"} <= set(one) for one in found
    ),
    "requisites.wanted": holds(2),
    "requisites.kept": holds(1),
    "requisites.missing[]": holds("https://localhost/none.png"),
    "exchanges[].referrer": holds("https://localhost/page"),
    "page_title": holds("A title"),
    "exchanges[].media_type": holds("text/html", "image/png"),
    "exchanges[].status": holds(200, 302, 404),
    "exchanges[].date": lambda found: is_time([one for one in found if one]),
    "document.title": holds("What is cited"),
    "source.title": holds("Given title"),
    "source.publisher": holds("A Publisher"),
    "source.author[]": holds("An Author"),
    "source.published": holds("2026-01-02"),
    "source.role": holds("official"),
    "source.note": holds("to be read with care"),
    "quotes[].text": holds("The words that are cited"),
    "quotes[].found": holds(True),
    "quotes[].selector.exact": holds("The words that are cited"),
    "notes[]": holds("robots.txt permits it"),
    "previous": holds(None),
    "change": holds("first"),
    "operator.name": holds("A. Archivist"),
    "operator.organisation": holds("The Archive"),
    "operator.contact": holds("a@case.example"),
    "operator.ip": holds("192.0.2.7"),
    "software": lambda found: all(one.startswith("Muniment ") for one in found),
    "environment": lambda found: all(one["python"] for one in map(dict, found)),
    "settings": lambda found: any("connect-to" in str(one) for one in found),
    "plan": is_digest,
    "job": holds("case"),
    "run": lambda found: all(one.startswith("case_run_") for one in found),
    "user_agent": lambda found: all(one.startswith(PRODUCT) for one in found),
    "exchanges[].ip": is_address,
    "exchanges[].port": is_count,
    "exchanges[].dns[]": is_address,
    "connections[].asked": holds("localhost"),
    "connections[].dns[]": is_address,
    "connections[].ip": is_address,
    "connections[].port": is_count,
    "connections[].host": holds("localhost", "bad.example"),
    "connections[].tls": holds("tls/1.3"),
    "connections[].cipher": is_text,
    "connections[].verification": holds("valid", "invalid"),
    "connections[].error": holds("", "CERT_HAS_EXPIRED"),
    "connections[].root.digest": is_digest,
    "connections[].trusted_by": lambda found: any("--cacert" in one for one in found),
    "connections[].certificates[].digest": is_digest,
    "connections[].certificates[].subject": holds("CN=localhost", "CN=bad.example"),
    "connections[].certificates[].valid_until": is_time,
    "connections[].scts": lambda found: all(isinstance(one, list) for one in found),
    "started": is_time,
    "ended": is_time,
    "exchanges[].started": is_time,
    "exchanges[].seconds": lambda found: all(one > 0 for one in found),
    "connections[].started": is_time,
    "payload": holds(str(digest_of(BODY))),
    "exchanges[].payload": is_digest,
}
RECORDS = {
    "exchanges[].response.record": "response",
    "exchanges[].request.record": "request",
    "connections[].lookup.record": "resource",
    "connections[].chain.record": "metadata",
}


def test_every_path_of_the_table_is_looked_at_here():
    assert sorted(table()) == sorted([*SENSE, *RECORDS])


@pytest.mark.parametrize("path", SENSE)
def test_what_the_table_names_stands_there(captures, path):
    found = [one for told in captures for one in values(told, path)]
    assert SENSE[path](found), found


@pytest.mark.parametrize("path", RECORDS)
def test_a_record_that_the_table_leads_to_stands_in_the_warc(captures, records, path):
    found = [one for told in captures for one in values(told, path)]
    assert found
    assert {records[one] for one in found} == {RECORDS[path]}
