"""The plan: what it commits to, what it hides, and how it divides the work."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline import plan
from pipeline.errors import UsageError
from pipeline.fixity import digest_of
from pipeline.holdings.merkle import Head, is_included, leaf_of
from pipeline.model import Engine, Identify, Manifest, Quote, Source

MANIFEST_DIGEST = digest_of(b"version: 1\n")
PAGE = Source(id="page", url="http://one.example/page#part", title="A page")
OTHER = Source(id="other", url="http://two.example:8080/secret-place", note="wary")
THIRD = Source(id="third", url="http://ONE.example/third", quotes=(Quote(text="a"),))
LATER = Source(id="later", url="https://three.example/", skip="address unsure")


def entry(source: Source, salt: bytes = b"") -> plan.Entry:
    return plan.Entry(source=source, salt=salt or source.id.encode().ljust(32, b"."))


def plan_of(*sources: Source) -> plan.Plan:
    return plan.Plan(
        run="case_run_x",
        job="case",
        manifest=MANIFEST_DIGEST,
        entries=tuple(entry(source) for source in sources),
    )


def manifest_of(*sources: Source, contact: str = "") -> Manifest:
    return Manifest(
        id="case",
        sources=sources,
        path=Path("case.yaml"),
        text=b"version: 1\n",
        digest=MANIFEST_DIGEST,
        contact=contact,
    )


# --------------------------------------------------------------------------- commitment


def recomputed(value: object) -> str:
    """Digest a value as a stranger would who knows no code of ours."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{text}\n".encode("ascii")).hexdigest()


def climbed(seen: dict) -> str:
    """Compute the root as a stranger would, from one bag's plan.json (RFC 9162)."""
    text = json.dumps(seen["entry"], sort_keys=True, separators=(",", ":"))
    root = hashlib.sha256(b"\0" + text.encode("ascii") + b"\n").digest()
    place, last = seen["index"], seen["commitment"]["size"] - 1
    for one in map(bytes.fromhex, seen["proof"]):
        while not place & 1 and place == last:  # no neighbour on this level
            place, last = place >> 1, last >> 1
        pair = one + root if place & 1 else root + one
        root = hashlib.sha256(b"\1" + pair).digest()
        place, last = place >> 1, last >> 1
    return root.hex()


def test_each_entry_is_digested_once_however_many_bags_ask(monkeypatch):
    made = plan_of(*(Source(id=f"s{n}", url=PAGE.url) for n in range(10)))
    told = []
    monkeypatch.setattr(plan, "canonical", lambda value: told.append(value) or b"")
    for one in made.entries:
        made.seen_by(one)
    assert len(told) == 10  # what is asked for, and no entry beside it


def test_an_entry_is_shown_to_belong_to_the_plan_from_the_bag_alone():
    made = plan_of(PAGE, OTHER, THIRD)
    for number, one in enumerate(made.entries):
        seen = json.loads(made.seen_by(one))
        assert seen["index"] == number
        assert climbed(seen) == seen["commitment"]["root"]


@settings(max_examples=25)
@given(st.integers(1, 70), st.data())
def test_a_place_is_proven_in_a_plan_of_any_length_and_no_other_place(size, data):
    made = plan_of(*(replace(PAGE, id=f"s{n}") for n in range(size)))
    at = data.draw(st.integers(0, size - 1))
    seen = json.loads(made.seen_by(made.entries[at]))
    proof = tuple(map(bytes.fromhex, seen["proof"]))
    head = Head(size=size, root=bytes.fromhex(seen["commitment"]["root"]))
    leaf = leaf_of(plan.canonical(seen["entry"]))
    proven = [place for place in range(size) if is_included(leaf, place, proof, head)]
    assert proven == [at]
    assert climbed(seen) == seen["commitment"]["root"]


def test_what_a_bag_carries_does_not_grow_with_the_plan():
    few, many = (
        made.seen_by(made.entries[7])
        for made in (
            plan_of(*(replace(PAGE, id=f"s{n:04}") for n in range(size)))
            for size in (10, 1000)
        )
    )
    assert len(many) < len(few) + 700


def test_the_digest_of_the_plan_is_recomputed_from_any_bag_of_the_run():
    made = plan_of(PAGE, OTHER)
    files = [made.whole(), *(made.seen_by(one) for one in made.entries)]
    digests = {recomputed(json.loads(file)["commitment"]) for file in files}
    assert digests == {made.digest().hex}
    assert made.digest().algorithm == "sha256"


def test_a_bag_holds_nothing_of_the_other_entries_but_salted_digests():
    made = plan_of(PAGE, OTHER, THIRD)
    seen = made.seen_by(made.entries[0])
    for other in made.entries[1:]:
        for word in (other.source.id, other.source.url, other.salt.hex()):
            assert word.encode() not in seen


def test_equal_entries_are_hidden_by_their_salts():
    assert entry(PAGE, b"1" * 32).leaf() != entry(replace(PAGE), b"2" * 32).leaf()


def test_the_run_bag_holds_every_entry_in_order():
    whole = json.loads(plan_of(PAGE, OTHER).whole())
    assert [one["id"] for one in whole["entries"]] == ["page", "other"]
    first, second = (leaf_of(plan.canonical(one)) for one in whole["entries"])
    root = hashlib.sha256(b"\1" + first + second).hexdigest()
    assert (whole["commitment"]["size"], whole["commitment"]["root"]) == (2, root)
    assert whole["commitment"]["manifest"] == str(MANIFEST_DIGEST)
    assert whole["commitment"]["format"] == plan.FORMAT


ALTERED = {
    "an entry more": plan_of(PAGE, OTHER, THIRD),
    "an entry less": plan_of(PAGE),
    "another order": plan_of(OTHER, PAGE),
    "another address": plan_of(replace(PAGE, url="http://one.example/b"), OTHER),
    "a quote that became required": plan_of(
        PAGE, replace(OTHER, quotes=(Quote(text="x", required=True),))
    ),
    "another manifest": replace(plan_of(PAGE, OTHER), manifest=digest_of(b"other")),
    "another run": replace(plan_of(PAGE, OTHER), run="case_run_y"),
}


@pytest.mark.parametrize("other", ALTERED.values(), ids=ALTERED)
def test_no_two_plans_have_one_digest(other):
    assert other.digest() != plan_of(PAGE, OTHER).digest()


@settings(max_examples=30)
@given(st.text(max_size=20), st.binary(min_size=32, max_size=32))
def test_any_words_survive_in_the_plan_and_are_plain_ascii(title, salt):
    one = entry(replace(PAGE, title=title), salt)
    told = plan.canonical(one.told())
    assert told.isascii()
    assert leaf_of(plan.canonical(json.loads(told))) == one.leaf()
    assert bytes.fromhex(json.loads(told)["salt"]) == salt


def test_the_yaml_of_an_entry_is_not_told_twice():
    assert "entry" not in entry(replace(PAGE, entry="url: x")).told()


# ----------------------------------------------------------------------------- choosing


def test_all_sources_are_chosen_unless_some_are_named():
    manifest = manifest_of(PAGE, OTHER, THIRD)
    assert plan.chosen(manifest) == (PAGE, OTHER, THIRD)
    assert plan.chosen(manifest, ("third", "page")) == (PAGE, THIRD)


def test_a_source_that_the_manifest_lacks_is_refused_with_those_it_has():
    with pytest.raises(UsageError) as refused:
        plan.chosen(manifest_of(PAGE, OTHER), ("page", "pgae"))
    assert "--only pgae: case.yaml has no such source" in str(refused.value)
    assert "other, page" in str(refused.value)


def test_a_shard_is_a_host_and_keeps_the_order_of_its_sources():
    entries = plan_of(PAGE, OTHER, THIRD).entries
    found = [[one.source.id for one in line] for line in plan.shards(entries)]
    assert found == [["page", "third"], ["other"]]


@settings(max_examples=30)
@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_shards_lose_no_source_and_mix_no_hosts(hosts):
    entries = [
        entry(Source(id=f"s{n}", url=f"http://{host}.example/{n}"))
        for n, host in enumerate(hosts)
    ]
    lines = plan.shards(entries)
    assert sorted(e.source.id for line in lines for e in line) == sorted(
        e.source.id for e in entries
    )
    assert all(len({plan.host_of(e.source) for e in line}) == 1 for line in lines)
    assert len(lines) == len(set(hosts))


PORTS = {
    "no port is named": (("http://a.example/",), set()),
    "the usual one is no news": (("http://a.example:80/",), set()),
    "a port of its own": (("http://a.example:8080/x",), {("a.example", 8080)}),
    "an alternate's counts too": (
        ("http://a.example/", "https://B.example:8443/"),
        {("b.example", 8443)},
    ),
    "an address in brackets": (("http://[2001:db8::1]:81/",), {("2001:db8::1", 81)}),
    "a host in another script": (
        ("http://bücher.example:81/",),
        {("xn--bcher-kva.example", 81)},
    ),
}


@pytest.mark.parametrize(("urls", "expected"), PORTS.values(), ids=PORTS)
def test_the_ports_that_a_manifest_names_are_opened_for_that_host(urls, expected):
    source = Source(id="s", url=urls[0], also=urls[1:])
    assert plan.named_ports([source]) == expected


def test_strictly_every_quote_is_required():
    source = replace(THIRD, quotes=(Quote(text="a"), Quote(text="b", required=True)))
    assert [quote.required for quote in plan.strictly(source).quotes] == [True, True]
    assert plan.strictly(source).url == source.url


# ------------------------------------------------------------------------------ preview


def test_a_preview_has_the_shape_of_the_contract():
    delayed = replace(PAGE, delay=timedelta(milliseconds=1500), capture=Engine.HTTP)
    told = plan.preview(manifest_of(delayed, OTHER), (delayed, OTHER))
    assert json.loads(json.dumps(told)) == told
    assert (told["job"], told["hosts"], told["deposits"]) == ("case", 2, [])
    contract = {
        "id": "page",
        "url": "http://one.example/page#part",
        "host": "one.example",
        "engine": "http",
        "delay": 1.5,
    }
    assert contract.items() <= told["sources"][0].items()


def test_the_engine_is_the_one_that_will_visit():
    assert plan.engine_of(PAGE) is Engine.HTTP
    assert plan.engine_of(replace(PAGE, capture=Engine.BROWSER)) is Engine.BROWSER


def test_a_skipped_source_is_listed_and_its_host_is_not_counted():
    told = plan.preview(manifest_of(PAGE, LATER), (PAGE, LATER))
    assert told["hosts"] == 1
    assert told["sources"][1]["skip"] == "address unsure"


def test_each_way_we_name_ourselves_is_told_once():
    known = replace(OTHER, identify=Identify.CONTACT)
    manifest = manifest_of(PAGE, known, THIRD, contact="desk@one.example")
    first, second = plan.user_agents(manifest, manifest.sources)
    assert "desk@one.example" not in first
    assert "desk@one.example" in second
