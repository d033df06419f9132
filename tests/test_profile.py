"""BagIt profiles, read: the shipped ones, the four versions, and whatever is none."""

import copy
import json
import os
import string
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.model import Access, Verdict
from pipeline.packaging.label import PROFILE
from pipeline.packaging.profile import (
    LARGEST,
    SHIPPED,
    About,
    Choice,
    Profile,
    Serialization,
    TagRule,
    covering,
    load,
    parse,
)

SHARED = Path(os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared"))
BTR = SHARED / "data" / "profiles" / "btr-bagit-profile-1.0.json"

ABOUT = {
    "BagIt-Profile-Identifier": "http://example.org/profile-v1.json",
    "BagIt-Profile-Version": "1.4.0",
    "Source-Organization": "Example Archive",
    "External-Description": "Letters",
    "Version": "1",
}
LEAST = {"BagIt-Profile-Info": ABOUT, "Accept-BagIt-Version": ["1.0"]}
FULL = LEAST | {
    "BagIt-Profile-Info": ABOUT
    | {
        "Contact-Name": "The reading room",
        "Contact-Email": "room@example.org",
        "Contact-Phone": "7",
        "Colour": "blue",
    },
    "Bag-Info": {
        "Title": {
            "required": True,
            "recommended": True,
            "values": ["A", "B"],
            "repeatable": False,
            "emptyOk": False,
            "description": "what it is",
            "help": 1,
        },
        "Note": {},
    },
    "Other-Info": [{"Example-Info": {"Shelf": {"required": True}}}],
    "Manifests-Required": ["SHA-512"],
    "Manifests-Allowed": ["sha512", "sha256"],
    "Tag-Manifests-Required": ["sha256"],
    "Tag-Manifests-Allowed": ["sha256"],
    "Allow-Fetch.txt": True,
    "Fetch.txt-Required": True,
    "Data-Empty": True,
    "Serialization": "required",
    "Accept-Serialization": ["application/zip"],
    "Tag-Files-Required": ["notes/why.txt"],
    "Tag-Files-Allowed": ["notes/*"],
    "Payload-Files-Required": ["data/src/"],
    "Payload-Files-Allowed": ["data/*"],
    "Colour": {"of": "tape"},
}


def told(fields: object) -> Profile:
    return parse(json.dumps(fields).encode(), name="told")


def with_field(key: str, value: object, *, base: dict = LEAST) -> dict:
    """Set a field, given from the top with dots; a value of ``...`` takes it out."""
    fields = copy.deepcopy(base)
    *above, last = key.split(" > ")
    place = fields
    for part in above:
        place = place.setdefault(part, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return fields


# ---------------------------------------------------------------------------- reading


def test_every_field_of_the_specification_is_read():
    assert told(FULL) == Profile(
        name="told",
        about=About(
            identifier="http://example.org/profile-v1.json",
            version="1",
            source_organization="Example Archive",
            external_description="Letters",
            contact_name="The reading room",
            contact_email="room@example.org",
            contact_phone="7",
            specification=(1, 4, 0),
            unknown=(("Colour", '"blue"'),),
        ),
        bag_info=(
            TagRule(
                label="Title",
                required=True,
                recommended=True,
                values=("A", "B"),
                repeatable=False,
                empty_ok=False,
                description="what it is",
                unknown=(("help", "1"),),
            ),
            TagRule(label="Note"),
        ),
        other_info=(("example-info.txt", (TagRule(label="Shelf", required=True),)),),
        manifests=Choice(required=("sha512",), allowed=("sha512", "sha256")),
        tag_manifests=Choice(required=("sha256",), allowed=("sha256",)),
        tag_files=Choice(required=("notes/why.txt",), allowed=("notes/*",)),
        payload_files=Choice(required=("data/src/",), allowed=("data/*",)),
        allow_fetch=True,
        fetch_required=True,
        data_empty=True,
        serialization=Serialization.REQUIRED,
        accept_serialization=("application/zip",),
        accept_versions=("1.0",),
        unknown=(("Colour", '{"of": "tape"}'),),
    )


def test_what_is_not_said_is_as_the_specification_says():
    profile = told(LEAST)
    assert profile == Profile(
        name="told", about=profile.about, accept_versions=("1.0",)
    )


SINCE = {
    "Tag-Files-Allowed": ("1.2.0", ["*"]),
    "Manifests-Allowed": ("1.3.0", ["sha512"]),
    "Tag-Manifests-Allowed": ("1.3.0", ["sha512"]),
    "Fetch.txt-Required": ("1.4.0", True),
    "Data-Empty": ("1.4.0", True),
    "Payload-Files-Required": ("1.4.0", ["data/a"]),
    "Payload-Files-Allowed": ("1.4.0", ["data/*"]),
}
BEFORE = {"1.2.0": "1.1.0", "1.3.0": "1.2.0", "1.4.0": "1.3.0"}


def declaring(version: str, key: str) -> Profile:
    fields = with_field("BagIt-Profile-Info > BagIt-Profile-Version", version)
    return told(fields | {key: SINCE[key][1]})


@pytest.mark.parametrize("key", SINCE)
def test_a_field_binds_in_the_version_that_brought_it(key):
    profile = declaring(SINCE[key][0], key)
    assert (profile.dormant, profile.unknown) == ((), ())


@pytest.mark.parametrize("key", SINCE)
def test_a_field_is_dormant_in_the_version_before(key):
    profile = declaring(BEFORE[SINCE[key][0]], key)
    assert profile.dormant == (key,)
    assert profile.unknown == ((key, json.dumps(SINCE[key][1])),)


@pytest.mark.parametrize("version", ["", ...])
def test_a_profile_that_declares_no_version_is_of_1_1_0(version):
    fields = with_field("BagIt-Profile-Info > BagIt-Profile-Version", version)
    assert told(fields).about.specification == (1, 1, 0)


def test_a_later_minor_version_is_read_as_far_as_it_is_known():
    fields = with_field("BagIt-Profile-Info > BagIt-Profile-Version", "1.5")
    assert told(fields | {"Data-Empty": True, "New": 1}).unknown == (("New", "1"),)


def test_a_byte_order_mark_does_no_harm():
    assert parse(b"\xef\xbb\xbf" + json.dumps(LEAST).encode(), name="told") == told(
        LEAST
    )


# -------------------------------------------------------------------------- malformed

MALFORMED = {
    "no description of itself": ("BagIt-Profile-Info", ...),
    "itself described by a string": ("BagIt-Profile-Info", "mine"),
    "no identifier": ("BagIt-Profile-Info > BagIt-Profile-Identifier", ...),
    "a blank identifier": ("BagIt-Profile-Info > BagIt-Profile-Identifier", " "),
    "no organization": ("BagIt-Profile-Info > Source-Organization", ...),
    "no description": ("BagIt-Profile-Info > External-Description", ...),
    "no version of its own": ("BagIt-Profile-Info > Version", ...),
    "a version that is a number": ("BagIt-Profile-Info > Version", 1.2),
    "a specification not written yet": (
        "BagIt-Profile-Info > BagIt-Profile-Version", "2.0",
    ),
    "a specification that is no version": (
        "BagIt-Profile-Info > BagIt-Profile-Version", "1.x",
    ),
    "a contact that is a list": ("BagIt-Profile-Info > Contact-Name", ["A"]),
    "labels in a list": ("Bag-Info", ["Title"]),
    "a label with a list": ("Bag-Info > Title", ["required"]),
    "a label with nothing": ("Bag-Info > Title", None),
    "required in words": ("Bag-Info > Title > required", "true"),
    "recommended in words": ("Bag-Info > Title > recommended", "yes"),
    "repeatable in numbers": ("Bag-Info > Title > repeatable", 1),
    "empty in words": ("Bag-Info > Title > emptyOk", "no"),
    "values in a string": ("Bag-Info > Title > values", "A"),
    "a value that is a number": ("Bag-Info > Title > values", ["A", 1]),
    "a description that is a number": ("Bag-Info > Title > description", 1),
    "other labels not in a list": ("Other-Info", {"Example-Info": {}}),
    "other labels that are strings": ("Other-Info", ["Example-Info"]),
    "other labels of a string": ("Other-Info", [{"Example-Info": "Title"}]),
    "manifests in a string": ("Manifests-Required", "sha512"),
    "a manifest that is a number": ("Manifests-Required", [512]),
    "no manifest at all": ("Manifests-Allowed", []),
    "tag manifests in a string": ("Tag-Manifests-Allowed", "sha512"),
    "fetch.txt in words": ("Allow-Fetch.txt", "false"),
    "fetch.txt required in words": ("Fetch.txt-Required", "false"),
    "emptiness in words": ("Data-Empty", "true"),
    "serialization that is true": ("Serialization", True),
    "serialization in other words": ("Serialization", "never"),
    "no version of BagIt": ("Accept-BagIt-Version", ...),
    "an empty list of versions of BagIt": ("Accept-BagIt-Version", []),
    "a version of BagIt that is a number": ("Accept-BagIt-Version", [1.0]),
    "tag files in a string": ("Tag-Files-Required", "a.txt"),
    "allowed tag files in a string": ("Tag-Files-Allowed", "*"),
    "payload in a string": ("Payload-Files-Required", "data/a"),
    "a required path outside the payload": ("Payload-Files-Required", ["a"]),
    "an allowed folder without its asterisk": ("Payload-Files-Allowed", ["data/a/"]),
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_profile_is_refused_by_its_key(key, value):
    with pytest.raises(UsageError) as caught:
        told(with_field(key, value))
    assert str(caught.value).startswith("profile 'told': ")
    assert key.rpartition(" > ")[2] in str(caught.value)


CONTRADICTIONS = {
    "a manifest required and refused": (
        {"Manifests-Required": ["md5"], "Manifests-Allowed": ["sha512"]},
        "Manifests-Allowed",
    ),
    "a tag manifest required and refused": (
        {"Tag-Manifests-Required": ["md5"], "Tag-Manifests-Allowed": []},
        "Tag-Manifests-Allowed",
    ),
    "a tag file required and refused": (
        {"Tag-Files-Required": ["a.txt"], "Tag-Files-Allowed": ["b*"]},
        "Tag-Files-Allowed",
    ),
    "a payload folder required and refused": (
        {"Payload-Files-Required": ["data/a/"], "Payload-Files-Allowed": ["data/b/*"]},
        "Payload-Files-Allowed",
    ),
    "fetch.txt required and refused": (
        {"Allow-Fetch.txt": False, "Fetch.txt-Required": True},
        "Fetch.txt-Required",
    ),
    "one file required of no format": (
        {"Serialization": "required"},
        "Accept-Serialization",
    ),
    "one file allowed of no format": (
        {"Serialization": "optional", "Accept-Serialization": []},
        "Accept-Serialization",
    ),
}


@pytest.mark.parametrize(
    ("fields", "key"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_a_profile_that_contradicts_itself_is_refused(fields, key):
    with pytest.raises(UsageError, match=f"profile 'told': {key}: expected "):
        told(LEAST | fields)


def test_where_one_file_is_refused_no_format_is_asked_for():
    assert told(LEAST | {"Serialization": "forbidden"}).accept_serialization == ()


BROKEN = {
    "nothing": b"",
    "no JSON": b"BagIt-Profile-Info: mine",
    "a list": b"[]",
    "not UTF-8": b'{"\xff": 1}',
    "half of a character": b'{"\\ud800": 1}',
    "a number too long to read": b"[" + b"1" * 5000 + b"]",
    "brackets a hundred thousand deep": b"[" * 100_000,
    "a key twice": b'{"Bag-Info": {}, "Bag-Info": {}}',
    "a long list": b"[" + b"1," * 500 + b"1]",
    "too large": b" " * (LARGEST + 1),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_profile_is_refused(data):
    with pytest.raises(UsageError, match="profile 'told'"):
        parse(data, name="told")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(sorted(FULL))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=4), st.booleans(), JSON)
def test_no_json_raises_anything_but_a_usage_error(fields, whole, inner):
    told_fields = (FULL if whole else LEAST) | fields
    if isinstance(inner, dict):
        told_fields = told_fields | {"Bag-Info": {"Title": inner}}
    try:
        assert told(told_fields).name == "told"
    except UsageError as error:
        assert "told" in str(error)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=200) | st.text(string.printable).map(str.encode))
def test_no_bytes_raise_anything_but_a_usage_error(data):
    with pytest.raises(UsageError):
        parse(data, name="told")


# ---------------------------------------------------------------------------- loading


def test_a_profile_is_read_from_a_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(LEAST))
    assert load(str(file)).about.source_organization == "Example Archive"


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return str(folder / "pipe")


def unreadable(folder: Path) -> str:
    (folder / "loop").symlink_to("loop")
    return str(folder / "loop")


NOWHERE = {
    "a name nobody knows": lambda _: "unheard-of",
    "a folder": str,
    "a fifo": fifo,
    "a link to itself": unreadable,
    "nothing": lambda _: "",
    "a name with a NUL": lambda _: "a\0b",
    "a name that is not Unicode": lambda _: "\ud800",
    "a name that is too long": lambda _: "a" * 5000,
}


@pytest.mark.parametrize("name", NOWHERE.values(), ids=NOWHERE.keys())
def test_what_is_no_file_is_refused(name, tmp_path):
    with pytest.raises(UsageError):
        load(name(tmp_path))


def test_a_name_nobody_knows_is_answered_with_those_that_are():
    with pytest.raises(UsageError, match="muniment, btr, aptrust"):
        load("unheard-of")


def test_a_malformed_file_is_named(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(with_field("Data-Empty", 1)))
    with pytest.raises(UsageError, match=r"mine\.json': Data-Empty: expected true or"):
        load(str(file))


# --------------------------------------------------------------------------- patterns

COVERED = {
    "the same": ("a/b.txt", "a/b.txt", True),
    "another": ("a/b.txt", "a/b_txt", False),
    "longer": ("a/b", "a/bc", False),
    "an asterisk across folders": ("data/*", "data/a/b", True),
    "an asterisk for nothing": ("data/*", "data/", True),
    "an asterisk amid": ("a*c*e", "abcde", True),
    "an asterisk amid, out of order": ("a*c*e", "aece_", False),
    "two parts that may not share": ("ab*ba", "aba", False),
    "an asterisk over a line break": ("a*b", "a\nb", True),
    "a question mark is itself": ("a?", "ab", False),
    "a bracket is itself": ("[ab]", "a", False),
    "other scripts": ("ä*", "äö", True),
}


@pytest.mark.parametrize(
    ("pattern", "path", "fits"), COVERED.values(), ids=COVERED.keys()
)
def test_a_pattern_covers(pattern, path, fits):
    assert bool(covering([pattern])(path.encode())) is fits


def test_no_pattern_covers_nothing_and_none_stated_covers_all():
    assert not covering([])(b"a")
    assert covering(None)(b"a")


def test_no_pattern_is_slow():
    is_covered = covering(["*a" * 40 + "b"])
    assert not is_covered(b"a" * 20_000)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_covers_what_trying_everything_finds(pattern, path):
    def fits(pattern: str, path: str) -> bool:
        if not pattern:
            return not path
        if pattern[0] == "*":
            return any(fits(pattern[1:], path[n:]) for n in range(len(path) + 1))
        return path[:1] == pattern[0] and fits(pattern[1:], path[1:])

    assert bool(covering([pattern])(path.encode())) is fits(pattern, path)


# ------------------------------------------------------------------ what comes with us


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_has_no_field_that_binds_nobody(name):
    profile = load(name)
    assert (profile.name, profile.unknown, profile.about.unknown) == (name, (), ())


def test_our_bags_name_our_profile():
    assert load("muniment").about.identifier == PROFILE


@pytest.mark.parametrize(
    ("label", "words"), [("Evidence-Verdict", Verdict), ("Evidence-Access", Access)]
)
def test_our_profile_knows_every_word_we_write(label, words):
    (rule,) = [one for one in load("muniment").bag_info if one.label == label]
    assert {*rule.values} == {*words}


def test_the_btr_profile_has_the_rules_of_the_original():
    if not BTR.exists():
        pytest.skip("the BTR profile is not here; MUNIMENT_SHARED may name its place")

    def bare(profile: Profile) -> dict:
        fields = {name: getattr(profile, name) for name in Profile.__slots__}
        rules = (
            {name: getattr(rule, name) for name in TagRule.__slots__}
            | {"description": ""}
            for rule in profile.bag_info
        )
        about = {
            name: getattr(profile.about, name)
            for name in About.__slots__
            if name != "external_description"
        }
        return fields | {"bag_info": list(rules), "about": about, "name": ""}

    assert bare(load("btr")) == bare(load(str(BTR)))


def test_aptrust_has_rules_for_a_tag_file_of_its_own():
    ((file, rules),) = load("aptrust").other_info
    assert file == "aptrust-info.txt"
    assert [one.label for one in rules if one.required] == [
        "Title",
        "Access",
        "Storage-Option",
    ]


def test_the_profiles_are_packed_with_the_program(tmp_path):
    root = str(Path(__file__).parents[1])
    (wheel,) = WheelBuilder(root).build(directory=str(tmp_path))
    (sdist,) = SdistBuilder(root).build(directory=str(tmp_path))
    files = {f"pipeline/packaging/profiles/{file}" for file in SHIPPED.values()}
    with zipfile.ZipFile(wheel) as packed:
        assert files <= {*packed.namelist()}
    with tarfile.open(sdist) as packed:
        assert files <= {name.partition("/")[2] for name in packed.getnames()}
