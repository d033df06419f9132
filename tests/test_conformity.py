"""A bag beside its profile: each rule kept and broken, and our own bags."""

import os
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from samples import ACCESSION, RUN, at

from pipeline.fixity import write_file
from pipeline.model import Severity
from pipeline.packaging import bag, tagfiles
from pipeline.packaging.conformity import Facts, check
from pipeline.packaging.label import bag_info, run_bag_info
from pipeline.packaging.profile import (
    About,
    Choice,
    Profile,
    Serialization,
    TagRule,
    load,
)
from pipeline.packaging.rules import PROFILE
from pipeline.packaging.walk import Kind, opened, walk

IDENTIFIER = "http://example.org/profile-v1.json"
NAMED = ("BagIt-Profile-Identifier", IDENTIFIER)
PLAIN = Profile(
    name="told",
    about=About(
        identifier=IDENTIFIER,
        version="1",
        source_organization="Example Archive",
        external_description="Letters",
        specification=(1, 4, 0),
    ),
    accept_versions=("0.97", "1.0"),
)
FACTS = Facts(
    version="1.0",
    info=(NAMED, ("Title", "A")),
    manifests=("sha256", "sha512"),
    tag_manifests=("sha512",),
    tag_files=(b"bagit.txt", b"bag-info.txt", b"manifest-sha512.txt", b"notes/why.txt"),
    payload=(b"data/src/a.c", b"data/b"),
    folders=(b"data", b"data/src"),
    files=2,
    bytes=9,
)


def tags(**rule):
    return {"bag_info": (TagRule(label="Title", **rule),)}


def other(**rule):
    rules = (TagRule(label="Shelf", **rule),)
    return {"other_info": (("example-info.txt", rules),)}


def shelved(*values):
    return {"other_info": (("example-info.txt", tuple(zip(repeat("Shelf"), values))),)}


def titled(*values):
    return {"info": (NAMED, *(("Title", value) for value in values))}


def one_of(name, *allowed):
    return {name: Choice(allowed=allowed)}


def all_of(name, *required):
    return {name: Choice(required=required)}


FREE = {"bag_info": (TagRule(label="bagit-profile-identifier"),)}
ANEW = {"unknown": (("Data-Empty", "true"), ("Colour", '"blue"'))}
ZIP = {"accept_serialization": ("application/zip", "application/tar")}
NEVER = {"serialization": Serialization.FORBIDDEN}
ALWAYS = ZIP | {"serialization": Serialization.REQUIRED}
NO_FETCH = {"allow_fetch": False}
FETCH = {"fetch_required": True}
EMPTY = {"data_empty": True}
ONCE = tags(repeatable=False)
AB = tags(values=("A", "B"))

KEPT = {  # what the profile says, what the bag is
    "a profile that says nothing more": ({}, {}),
    "one of several profiles named": (
        {},
        {"info": (("BagIt-Profile-Identifier", "urn:x:other"), NAMED)},
    ),
    "a profile named in another case": (
        {},
        {"info": (("bagit-profile-identifier", IDENTIFIER),)},
    ),
    "any version that is accepted": ({}, {"version": "0.97"}),
    "a folder where it may be either": (ZIP, {}),
    "a folder where it must be": (NEVER, {}),
    "one file where it may be": (ZIP, {"serialization": "application/zip"}),
    "one file where it must be": (ALWAYS, {"serialization": "application/zip"}),
    "a format by its other name": (ZIP, {"serialization": "application/x-tar"}),
    "a format with a parameter": (ZIP, {"serialization": "Application/ZIP; x=1"}),
    "any format where none is asked for": ({}, {"serialization": "image/png"}),
    "a form that is not to be judged": (ALWAYS, {"serialization": None}),
    "fetch.txt where it may be": ({}, {"fetch": ()}),
    "fetch.txt where it must be": (FETCH, {"fetch": ()}),
    "no fetch.txt where it must not be": (NO_FETCH, {}),
    "no payload": (EMPTY, {"files": 0, "bytes": 0}),
    "one file of no bytes": (EMPTY, {"files": 1, "bytes": 0}),
    "a required label": (tags(required=True), {}),
    "a required label in another case": (
        tags(required=True),
        {"info": (NAMED, ("TITLE", "A"))},
    ),
    "a recommended label": (tags(recommended=True), {}),
    "a value of the list": (AB, titled("A", "B")),
    "no value of the list": (AB, {"info": (NAMED,)}),
    "a label once": (ONCE, {}),
    "a label twice": (tags(), titled("A", "A")),
    "an empty value": (tags(), titled("")),
    "rules for a tag file that is not there": (other(required=True), {}),
    "a required label of another tag file": (other(required=True), shelved("7")),
    "the manifests": (all_of("manifests", "sha512"), {}),
    "the manifests that may be": (one_of("manifests", "sha512", "sha256", "md5"), {}),
    "the tag manifests": (all_of("tag_manifests", "sha512"), {}),
    "the tag manifests that may be": (one_of("tag_manifests", "sha512"), {}),
    "the tag files": (all_of("tag_files", "notes/why.txt", "bag-info.txt"), {}),
    "the tag files that may be": (one_of("tag_files", "notes/*"), {}),
    "the payload": (all_of("payload_files", "data/b", "data/src/"), {}),
    "payload that is still to be fetched": (
        all_of("payload_files", "data/c"),
        {"fetch": (b"data/c",)},
    ),
    "a payload folder with a folder in it": (
        all_of("payload_files", "data/sub/"),
        {"folders": (b"data", b"data/sub", b"data/sub/sub")},
    ),
    "the payload that may be": (one_of("payload_files", "data/b", "data/src/*"), {}),
    "no payload that may not be": (one_of("payload_files"), {"payload": ()}),
}

ERROR, WARNING = Severity.ERROR, Severity.WARNING
BROKEN = {  # the code, what the profile says, what the bag is, the path
    "no profile named": ("profile-identifier", {}, {"info": ()}, "bag-info.txt"),
    "another profile named": (
        "profile-identifier",
        {},
        {"info": (("BagIt-Profile-Identifier", "urn:x"),)},
        "bag-info.txt",
    ),
    "no profile named, in the file of its time": (
        "profile-identifier",
        {},
        {"info": (), "info_file": "package-info.txt"},
        "package-info.txt",
    ),
    "no profile named, which is not required": (
        "profile-identifier",
        FREE,
        {"info": ()},
        "bag-info.txt",
    ),
    "a version that is not accepted": (
        "profile-version",
        {},
        {"version": "0.96"},
        "bagit.txt",
    ),
    "a folder where one file must be": ("profile-serialization", ALWAYS, {}, ""),
    "one file where a folder must be": (
        "profile-serialization",
        NEVER | ZIP,
        {"serialization": "application/zip"},
        "",
    ),
    "a format that is not accepted": (
        "profile-accept-serialization",
        ZIP,
        {"serialization": "application/gzip"},
        "",
    ),
    "fetch.txt that must not be": (
        "profile-fetch-allowed",
        NO_FETCH,
        {"fetch": ()},
        "fetch.txt",
    ),
    "no fetch.txt that must be": ("profile-fetch-required", FETCH, {}, "fetch.txt"),
    "a payload where none must be": ("profile-data-empty", EMPTY, {}, "data"),
    "one file with a byte where none must be": (
        "profile-data-empty",
        EMPTY,
        {"files": 1, "bytes": 1},
        "data",
    ),
    "two empty files where none must be": (
        "profile-data-empty",
        EMPTY,
        {"files": 2, "bytes": 0},
        "data",
    ),
    "a required label absent": (
        "profile-bag-info-required",
        tags(required=True),
        {"info": (NAMED,)},
        "bag-info.txt",
    ),
    "a recommended label absent": (
        "profile-bag-info-recommended",
        tags(recommended=True),
        {"info": (NAMED,)},
        "bag-info.txt",
    ),
    "one value of two not on the list": (
        "profile-bag-info-value",
        AB,
        titled("A", "a"),
        "bag-info.txt",
    ),
    "a required label empty": (
        "profile-bag-info-value",
        tags(required=True),
        titled(" "),
        "bag-info.txt",
    ),
    "a label empty that must not be": (
        "profile-bag-info-value",
        tags(empty_ok=False),
        titled(""),
        "bag-info.txt",
    ),
    "a label twice": (
        "profile-bag-info-repeatable",
        ONCE,
        {"info": (NAMED, ("Title", "A"), ("title", "A"))},
        "bag-info.txt",
    ),
    "a label of another tag file absent": (
        "profile-bag-info-required",
        other(required=True),
        {"other_info": (("example-info.txt", ()),)},
        "example-info.txt",
    ),
    "a label of another tag file not on the list": (
        "profile-bag-info-value",
        other(values=("7",)),
        shelved("8"),
        "example-info.txt",
    ),
    "a manifest absent": (
        "profile-manifest-required",
        all_of("manifests", "md5"),
        {},
        "manifest-md5.txt",
    ),
    "a manifest refused": (
        "profile-manifest-allowed",
        one_of("manifests", "sha512"),
        {},
        "manifest-sha256.txt",
    ),
    "a tag manifest absent": (
        "profile-tag-manifest-required",
        all_of("tag_manifests", "sha256"),
        {},
        "tagmanifest-sha256.txt",
    ),
    "every tag manifest refused": (
        "profile-tag-manifest-allowed",
        one_of("tag_manifests"),
        {},
        "tagmanifest-sha512.txt",
    ),
    "a tag file absent": (
        "profile-tag-file-required",
        all_of("tag_files", "notes/how.txt"),
        {},
        "notes/how.txt",
    ),
    "a tag file refused": (
        "profile-tag-file-allowed",
        one_of("tag_files", "*.xml"),
        {},
        "notes/why.txt",
    ),
    "a manifest's name in a folder is no manifest": (
        "profile-tag-file-allowed",
        one_of("tag_files", "*.xml"),
        {"tag_files": (b"bagit.txt", b"notes/manifest-md5.txt")},
        "notes/manifest-md5.txt",
    ),
    "a payload file absent": (
        "profile-payload-required",
        all_of("payload_files", "data/src/b.c"),
        {},
        "data/src/b.c",
    ),
    "a payload folder that is empty": (
        "profile-payload-required",
        all_of("payload_files", "data/sub/"),
        {"folders": (b"data", b"data/sub")},
        "data/sub/",
    ),
    "a payload file where a folder must be": (
        "profile-payload-required",
        all_of("payload_files", "data/b/"),
        {},
        "data/b/",
    ),
    "a payload folder where a file must be": (
        "profile-payload-required",
        all_of("payload_files", "data/src"),
        {},
        "data/src",
    ),
    "a payload file refused": (
        "profile-payload-allowed",
        one_of("payload_files", "data/src/*"),
        {},
        "data/b",
    ),
    "a payload file refused that is still to be fetched": (
        "profile-payload-allowed",
        one_of("payload_files", "data/src/*", "data/b"),
        {"fetch": (b"data/c\xff",)},
        "data/c\\xff",
    ),
    "a rule that is newer than its profile": ("profile-dormant-field", ANEW, {}, ""),
}
WARNINGS = {
    "no profile named, which is not required",
    "a recommended label absent",
    "a required label empty",
    "a rule that is newer than its profile",
}


@pytest.mark.parametrize(("rules", "facts"), KEPT.values(), ids=KEPT.keys())
def test_a_bag_may_have(rules, facts):
    assert check(replace(PLAIN, **rules), replace(FACTS, **facts)) == ()


@pytest.mark.parametrize("what", BROKEN)
def test_a_bag_may_not_have(what):
    code, rules, facts, path = BROKEN[what]
    (one,) = check(replace(PLAIN, **rules), replace(FACTS, **facts))
    severity = WARNING if what in WARNINGS else ERROR
    assert (one.code, one.path, one.severity) == (code, path, severity)
    assert one.clause == PROFILE[code].clause
    assert one.message


def test_every_rule_is_broken_by_a_case():
    assert {code for code, *_ in BROKEN.values()} == {*PROFILE}


@pytest.mark.parametrize("code", PROFILE)
def test_every_rule_cites_the_specification(code):
    assert code.startswith("profile-")
    assert PROFILE[code].clause.startswith("BagIt Profiles 1.4.0, ")
    assert PROFILE[code].meaning


def test_everything_is_found_at_once():
    rules = NO_FETCH | EMPTY | ALWAYS | tags(required=True)
    facts = Facts(version="0.9", fetch=(), files=3)
    assert len({one.code for one in check(replace(PLAIN, **rules), facts)}) == 6


def test_of_many_findings_some_are_kept_and_the_rest_are_counted():
    profile = replace(PLAIN, **one_of("payload_files", "data/src/*"))
    payload = (b"data/%d" % n for n in range(1000))
    *kept, last = check(profile, replace(FACTS, payload=payload), most=10)
    assert [one.path for one in kept] == [f"data/{n}" for n in range(10)]
    assert (last.path, last.message) == ("", "990 more such findings")


def test_no_path_is_looked_at_without_a_rule():
    def never():
        raise AssertionError("nobody asked")
        yield b""

    facts = replace(
        FACTS, tag_files=never(), payload=never(), folders=never(), fetch=never()
    )
    assert check(replace(PLAIN, **one_of("tag_files", "a", "*")), facts) == ()


def test_a_message_names_a_few_of_what_is_allowed_and_counts_the_rest():
    rules = tags(values=tuple(str(n) for n in range(100)))
    (one,) = check(replace(PLAIN, **rules), FACTS)
    assert one.message.endswith("10, 11 and 88 more; found 'A'")


TEXT = st.text(st.characters(codec=None), max_size=8)
TAGS = st.lists(st.tuples(TEXT | st.just("Title"), TEXT), max_size=4).map(tuple)
PATHS = st.lists(st.binary(max_size=8), max_size=4)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(TAGS, PATHS, PATHS, TEXT, TEXT)
def test_whatever_a_bag_is_it_can_be_told(info, paths, fetch, version, form):
    facts = Facts(
        version=version,
        info=info,
        tag_files=paths,
        payload=paths,
        fetch=fetch,
        manifests=(version,),
        serialization=form,
    )
    profile = replace(
        PLAIN,
        bag_info=(TagRule(label="Title", required=True, values=("A",)),),
        manifests=Choice(required=("sha512",), allowed=("sha512",)),
        tag_files=Choice(allowed=()),
        payload_files=Choice(required=("data/",), allowed=("data/*",)),
        accept_serialization=("application/zip",),
    )
    for one in check(profile, facts):
        assert one.message.isprintable()
        assert one.path.isprintable()
        assert one.message.encode()


# --------------------------------------------------------------------- bags of our own

DESCRIBED = (  # what bags of sources and of runs both have
    "events.jsonl",
    "metadata.csv",
    "premis.xml",
    "submissionDocumentation/environment.json",
    "submissionDocumentation/plan.json",
)


def written(folder: Path, info, *more: str) -> Path:
    """A bag as a run writes it, whose payload is not what its names say."""
    names = [f"data/metadata/{name}" for name in DESCRIBED]
    names += [f"data/{name}" for name in more]
    payload = [write_file(folder, name, b"of " + name.encode()) for name in names]
    return bag.write(folder, payload=payload, info=info, readme=b"hello\n").path


def facts_of(folder: Path, **more) -> Facts:
    """Look at a bag on disk as a validator does."""
    with opened(folder) as root:
        entries = list(walk(root))
    files = [one for one in entries if one.kind is Kind.FILE]
    payload = [one for one in files if one.path.startswith(b"data/")]
    tag_files = [one.path for one in files if one not in payload]
    named = [tagfiles.parse_manifest_name(os.fsdecode(path)) for path in tag_files]
    return Facts(
        version="1.0",
        info=bag.info(folder),
        manifests=tuple(one.algorithm for one in named if one and not one.is_tag),
        tag_manifests=tuple(one.algorithm for one in named if one and one.is_tag),
        tag_files=tag_files,
        payload=[one.path for one in payload],
        folders=[one.path for one in entries if one.kind is Kind.FOLDER],
        files=len(payload),
        bytes=sum(one.size for one in payload),
        **more,
    )


@pytest.fixture
def sourced(tmp_path):
    info = bag_info(ACCESSION, number=3)
    return written(tmp_path / "source", info, "objects/capture.warc.gz")


@pytest.fixture
def running(tmp_path):
    info = run_bag_info(RUN, packed_at=at(60), bags=4)
    return written(tmp_path / "run", info, "metadata/run.json")


@pytest.mark.parametrize("kind", ["sourced", "running"])
def test_a_bag_of_ours_is_what_our_profile_says(kind, request):
    facts = facts_of(request.getfixturevalue(kind))
    assert check(load("muniment"), facts) == ()


def test_a_seal_may_be_added_and_nothing_else(sourced):
    (sourced / "seal-0001.json").write_bytes(b"{}")
    (sourced / "note.txt").write_bytes(b"")
    (one,) = check(load("muniment"), facts_of(sourced))
    assert (one.code, one.path) == ("profile-tag-file-allowed", "note.txt")


def test_a_bag_of_ours_lacks_of_btr_its_name_and_what_we_do_not_know(sourced):
    findings = check(load("btr"), facts_of(sourced))
    assert [one.code for one in findings if one.severity is ERROR] == [
        "profile-identifier"
    ]
    labels = [one.message.split("'")[1] for one in findings[1:]]
    assert labels == [
        "Organization-Address",
        "Internal-Sender-Description",
        "Bag-Producing-Organization",
    ]


def test_a_bag_of_ours_without_an_operator_lacks_what_btr_requires(tmp_path):
    accession = replace(ACCESSION, run=replace(RUN, operator=type(RUN.operator)()))
    folder = written(tmp_path / "bag", bag_info(accession, number=3))
    required = [
        one.message
        for one in check(load("btr"), facts_of(folder))
        if one.code == "profile-bag-info-required"
    ]
    assert required == ["expected 'Source-Organization', found none"]


def test_a_bag_of_ours_lacks_much_of_what_aptrust_wants(sourced):
    findings = check(load("aptrust"), facts_of(sourced))
    assert {one.code for one in findings if one.severity is ERROR} == {
        "profile-serialization",
        "profile-manifest-required",
        "profile-tag-file-required",
    }


APTRUST = {
    "all that is wanted": (
        (("Title", "A"), ("Access", "Institution"), ("Storage-Option", "Standard")),
        set(),
    ),
    "no title": (
        (("Title", ""), ("Access", "Restricted"), ("Storage-Option", "Wasabi-TX")),
        {"profile-bag-info-value"},
    ),
    "access for all": (
        (("Title", "A"), ("Access", "Public"), ("Storage-Option", "Standard")),
        {"profile-bag-info-value"},
    ),
    "nothing": ((), {"profile-bag-info-required"}),
}


@pytest.mark.parametrize(("said", "codes"), APTRUST.values(), ids=APTRUST.keys())
def test_what_aptrust_wants_to_be_told(said, codes):
    facts = Facts(
        version="1.0",
        info=(("Source-Organization", "Example Archive"),),
        other_info=(("aptrust-info.txt", said),),
        manifests=("md5", "sha256"),
        tag_files=(b"aptrust-info.txt",),
        serialization="application/x-tar",
    )
    found = check(load("aptrust"), facts)
    assert {one.code for one in found if one.severity is ERROR} == codes
