"""The defect suite: for every finding code bags that have just that defect.

``CASES`` builds each bag by name, ``<code>_<what>``. What git holds on every system also
stands in ``tests/bags``, for other validators to try. The table in ``tests/README.md``
sets beside each other what we find and what bagit finds.

    python tests/defects.py --write      # regenerate tests/bags and the table
"""

import argparse
import hashlib
import io
import logging
import os
import re
import shutil
import signal
import socket
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bagit
from baggery import (
    ALGORITHMS,
    FILES,
    INFO,
    append,
    get,
    line,
    put,
    seal,
    sound,
    swap,
)

from pipeline.model import Level, Severity
from pipeline.packaging.serial import validate_serial
from pipeline.packaging.validate import Report, validate

HERE = Path(__file__).parent
Act = Callable[[Path], object]


def nothing(_bag: Path) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Case:
    """One broken bag: how it is made, and all that is to be found in it.

    A sound bag is laid out, edited, its tag manifests are made to agree, and what they
    must not agree with is done after.
    """

    edit: Act = nothing
    after: Act = nothing
    errors: str = ""
    warns: str = ""
    at: str | None = None  # the path that the finding named by the case is about
    base: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    during: Act = nothing  # done while the bag is being read
    pack: Callable[[Path], bytes] | None = None  # makes an archive file of it
    git: bool = True  # git holds it, on every system

    def build(self, bag: Path) -> Path:
        sound(bag, **self.base)
        self.edit(bag)
        if bag.is_dir():
            seal(bag, self.base.get("algorithms", ALGORITHMS))
        self.after(bag)
        if self.pack:
            data = self.pack(bag)
            shutil.rmtree(bag)
            bag.write_bytes(data)
        return bag

    def judge(self, bag: Path) -> Report:
        """Check the bag, doing meanwhile what is to be done while it is read."""
        acts = iter((self.during,))

        def progress(_done: int, _total: int) -> None:
            next(acts, nothing)(bag)

        judge = validate_serial if self.pack else validate
        return judge(bag, progress=progress, **self.options)


def both(path: bytes, data: bytes = b"x\n", *, prefix: bytes = b"") -> Act:
    """Add a line for some path to both payload manifests."""

    def edit(bag: Path) -> None:
        for one in ALGORITHMS:
            append(bag, f"manifest-{one}.txt", prefix + line(one, data, path))

    return edit


def tags(path: bytes, data: bytes = b"x\n") -> Act:
    """Add a line to both tag manifests."""

    def edit(bag: Path) -> None:
        for one in ALGORITHMS:
            append(bag, f"tagmanifest-{one}.txt", line(one, data, path))

    return edit


def write(path: str, data: bytes) -> Act:
    return lambda bag: put(bag, os.fsencode(path), data)


def remove(path: str) -> Act:
    return lambda bag: (bag / path).unlink()


def declare(text: bytes) -> Act:
    return write("bagit.txt", text)


def replace(path: str, old: bytes, new: bytes) -> Act:
    return lambda bag: swap(bag, path, old, new)


def add(path: str, data: bytes) -> Act:
    return lambda bag: append(bag, path, data)


def several(*acts: Act) -> Act:
    return lambda bag: [act(bag) for act in acts]


def files(*paths: bytes) -> dict[str, Any]:
    """A base with more payload, all of it listed."""
    return {"files": FILES | {path: b"of " + path for path in paths}}


def fetch(text: bytes) -> Act:
    return write("fetch.txt", text)


def tarred(*members: tuple[str, str]) -> Callable[[Path], bytes]:
    """Make a tar of parts of a bag, each under some name."""

    def pack(bag: Path) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, path in members:
                archive.add(bag / path, name)
        return out.getvalue()

    return pack


def link(path: str, to: str) -> Act:
    return lambda bag: (bag / path).symlink_to(to)


def elsewhere(bag: Path) -> Path:
    """Name a file beside the bag, outside of it."""
    return bag.with_name(f"{bag.name}.outside")


def link_outside(bag: Path) -> None:
    elsewhere(bag).write_bytes(b"a letter\n")
    (bag / "data/letter.txt").unlink()
    (bag / "data/letter.txt").symlink_to(elsewhere(bag))


def hard_link(bag: Path) -> None:
    os.link(bag / "data/letter.txt", elsewhere(bag))


def listen(bag: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(bag / "data", os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)


def deep(bag: Path) -> None:
    (bag / ("data/" + "d/" * 600)).mkdir(parents=True)


def move_data(bag: Path) -> None:
    (bag / "data").rename(bag / "notes/data")
    (bag / "data").symlink_to("notes/data")


def to_file(bag: Path) -> None:
    shutil.rmtree(bag)
    bag.write_bytes(b"not even a folder")


NFC, NFD = "data/Zo\u00eb.txt".encode(), "data/Zoe\u0308.txt".encode()
UTF8 = b"Tag-File-Character-Encoding: UTF-8\n"
ONE_OF_TWO = replace("manifest-sha512.txt", line("sha512", b"a cat\n", b"data/photos/cat.jpg"), b"")  # fmt: skip
LETTER = line("sha256", b"a letter\n", b"data/letter.txt")
DRAFT = {"version": "0.97"}
MD5 = {"algorithms": ("md5",)}

XML, CSV = "data/metadata/premis.xml", "data/metadata/metadata.csv"
A_DIGEST = hashlib.sha256(b"a letter\n").hexdigest().encode()


def named(name: str, value: str, sort: str = "local") -> str:
    """An identifier as PREMIS writes it."""
    return f"<{name}><{name}Type>{sort}</{name}Type><{name}Value>{value}</{name}Value></{name}>\n"


PREMIS = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<premis xmlns="http://www.loc.gov/premis/v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0">
<object xsi:type="file">
{named("objectIdentifier", "letter")}<objectCharacteristics>
<fixity><messageDigestAlgorithm>SHA-256</messageDigestAlgorithm><messageDigest>{A_DIGEST.decode()}</messageDigest></fixity>
<size>9</size>
<format><formatDesignation><formatName>text</formatName></formatDesignation></format>
</objectCharacteristics>
<originalName>data/letter.txt</originalName>
{named("linkingEventIdentifier", "pack", "UUID")}</object>
<event>
{named("eventIdentifier", "pack", "UUID")}<eventType>packing</eventType>
<eventDateTime>2026-09-24T12:00:00Z</eventDateTime>
{named("linkingAgentIdentifier", "us")}{named("linkingObjectIdentifier", "letter")}</event>
<agent>
{named("agentIdentifier", "us")}<agentName>us</agentName><agentType>person</agentType>
</agent>
</premis>
""".encode()
LAUGHS = (
    b"""<!DOCTYPE premis [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n"""
)
TABLE_OF_FILES = b'"filename","dc.title"\n"data/letter.txt","A letter"\n'


def described(xml: bytes = PREMIS, *, csv: bytes = TABLE_OF_FILES) -> dict[str, Any]:
    """A base that passes for a bag of ours, with what describes its files."""
    return {
        "info": INFO + b"BagIt-Profile-Identifier: urn:muniment:bagit-profile:1\n",
        "files": FILES | {XML.encode(): xml, CSV.encode(): csv},
    }


STORY = b"""{"bag": "one", "job": "case", "run": "run", "verdict": "captured",
 "started": "2026-09-24T03:17:00.000000Z",
 "source": {"id": "page", "url": "http://one.example/"}}
"""


def labelled(label: bytes) -> dict[str, Any]:
    """A base that passes for a bag of ours, with a story, and a label outside it."""
    base = described()
    base["info"] += label
    base["files"] |= {b"data/metadata/capture.json": STORY}
    return base


CASES: dict[str, Case] = {
    # ------------------------------------------------------------- the bag as a whole
    "not-a-bag_no-declaration": Case(
        edit=remove("bagit.txt"), errors="not-a-bag", at="bagit.txt"
    ),
    "not-a-bag_no-payload-folder": Case(
        edit=lambda bag: shutil.rmtree(bag / "data"),
        errors="not-a-bag",
        at="data",
        base={"files": {}},
    ),
    "not-a-bag_no-payload-manifest": Case(
        edit=several(remove("manifest-sha256.txt"), remove("manifest-sha512.txt")),
        errors="not-a-bag",
        at="",
    ),
    "not-a-bag_a-file": Case(edit=to_file, errors="not-a-bag", at="", git=False),
    "bagit-txt_third-line": Case(
        edit=add("bagit.txt", b"Note: hello\n"), errors="bagit-txt"
    ),
    "bagit-txt_one-line": Case(
        edit=declare(b"BagIt-Version: 1.0\n"), errors="bagit-txt"
    ),
    "bagit-txt_empty": Case(edit=declare(b""), errors="bagit-txt"),
    "bagit-txt_wrong-order": Case(
        edit=declare(UTF8 + b"BagIt-Version: 1.0\n"), errors="bagit-txt"
    ),
    "bagit-txt_byte-order-mark": Case(
        edit=declare(b"\xef\xbb\xbfBagIt-Version: 1.0\n" + UTF8), errors="bagit-txt"
    ),
    "bagit-txt_space-before-colon": Case(
        edit=declare(b"BagIt-Version : 1.0\n" + UTF8), errors="bagit-txt"
    ),
    "bagit-txt_spaces-in-a-draft": Case(
        edit=declare(b"BagIt-Version :  0.97\n" + UTF8 + b"\n"), warns="bagit-txt"
    ),
    "bagit-txt_unknown-version": Case(
        edit=declare(b"BagIt-Version: 2.0\n" + UTF8), errors="bagit-txt"
    ),
    "bagit-txt_not-utf-8": Case(
        edit=declare(b"BagIt-Version: 1.0\xff\n" + UTF8), errors="bagit-txt"
    ),
    "encoding_rot13": Case(
        edit=replace("bagit.txt", b"UTF-8", b"rot13"), errors="encoding", at="bagit.txt"
    ),
    "encoding_utf-7": Case(
        edit=replace("bagit.txt", b"UTF-8", b"UTF-7"), errors="encoding"
    ),
    "encoding_unknown": Case(
        edit=replace("bagit.txt", b"UTF-8", b"UTF-8-but-better"), errors="encoding"
    ),
    "encoding_latin-1": Case(
        edit=replace("bagit.txt", b"UTF-8", b"ISO-8859-1"), warns="encoding"
    ),
    "encoding_not-as-declared": Case(
        edit=replace("bagit.txt", b"UTF-8", b"US-ASCII"),
        base={"info": INFO + "Contact-Name: Zo\u00eb\n".encode()},
        errors="encoding",
        warns="encoding",
        at="bag-info.txt",
    ),
    "encoding_not-utf-8": Case(
        base={"info": INFO + b"Contact-Name: Zo\xeb\n"},
        errors="encoding",
        at="bag-info.txt",
    ),
    "encoding_byte-order-mark": Case(
        edit=replace("manifest-sha256.txt", LETTER, b"\xef\xbb\xbf" + LETTER),
        errors="encoding",
        at="manifest-sha256.txt",
    ),
    "encoding_byte-order-mark-in-a-draft": Case(
        base=DRAFT,
        edit=replace("manifest-sha256.txt", LETTER, b"\xef\xbb\xbf" + LETTER),
        warns="encoding",
    ),
    "bag-info_no-colon": Case(
        base={"info": INFO + b"Contact-Name Zoe\n"}, errors="bag-info"
    ),
    "bag-info_no-space": Case(
        base={"info": INFO + b"Contact-Name:Zoe\n"}, errors="bag-info"
    ),
    "bag-info_space-before-colon": Case(
        base={"info": INFO + b"Contact-Name : Zoe\n"}, errors="bag-info"
    ),
    "bag-info_continues-nothing": Case(
        base={"info": b"  all alone\n"}, errors="bag-info"
    ),
    "bag-info_nul": Case(base={"info": b"Contact-Name: Zoe\0\n"}, errors="bag-info"),
    "bag-info_two-oxums": Case(
        base={"info": b"Payload-Oxum: 15.2\n"}, errors="bag-info", at="bag-info.txt"
    ),
    "bag-info_two-dates": Case(
        base={"info": INFO + b"Bagging-Date: 2026-09-25\n"}, warns="bag-info"
    ),
    "bag-info_no-date": Case(
        base={"info": b"Bagging-Date: yesterday\n"}, warns="bag-info"
    ),
    "bag-info_blank-line": Case(base={"info": INFO + b"\n"}, warns="bag-info"),
    # ------------------------------------------------------------------- the payload
    "missing-file_never-there": Case(
        edit=both(b"data/gone.txt"), errors="missing-file", at="data/gone.txt"
    ),
    "missing-file_listed-in-one": Case(
        edit=add("manifest-sha256.txt", line("sha256", b"x\n", b"data/gone.txt")),
        errors="missing-file",
        at="data/gone.txt",
    ),
    "missing-file_removed": Case(
        edit=remove("data/letter.txt"),
        errors="missing-file oxum-mismatch",
        at="data/letter.txt",
    ),
    "missing-file_while-reading": Case(
        during=remove("data/letter.txt"),
        errors="missing-file",
        at="data/letter.txt",
        git=False,
    ),
    "unlisted-file_added": Case(
        edit=write("data/more.txt", b"more\n"),
        errors="unlisted-file oxum-mismatch",
        at="data/more.txt",
    ),
    "unlisted-file_hidden": Case(
        edit=write("data/photos/.cache", b""),
        errors="unlisted-file oxum-mismatch",
        at="data/photos/.cache",
    ),
    "digest-mismatch_one-bit": Case(
        edit=write("data/letter.txt", b"a lettes\n"),
        errors="digest-mismatch",
        at="data/letter.txt",
    ),
    "digest-mismatch_in-one-of-two": Case(
        edit=replace(
            "manifest-sha512.txt", line("sha512", b"a cat\n", b"")[:8], b"00000000"
        ),
        errors="digest-mismatch",
        at="data/photos/cat.jpg",
    ),
    "digest-mismatch_swapped": Case(
        base={"files": {b"data/one.txt": b"one\n", b"data/two.txt": b"two\n"}},
        edit=several(write("data/one.txt", b"two\n"), write("data/two.txt", b"one\n")),
        errors="digest-mismatch",
        at="data/one.txt",
    ),
    "digest-mismatch_upper-case-is-none": Case(
        edit=lambda bag: put(
            bag,
            b"manifest-sha256.txt",
            b"".join(
                one[:64].upper() + one[64:]
                for one in get(bag, "manifest-sha256.txt").splitlines(keepends=True)
            ),
        ),
        after=write("data/letter.txt", b"A letter\n"),
        errors="digest-mismatch",
        at="data/letter.txt",
    ),
    "size-mismatch_fetch-says-more": Case(
        edit=fetch(b"https://example.org/letter.txt 10 data/letter.txt\n"),
        errors="size-mismatch",
        at="data/letter.txt",
    ),
    "size-mismatch_while-reading": Case(
        during=add("data/letter.txt", b"and more\n"),
        errors="size-mismatch digest-mismatch",
        at="data/letter.txt",
        git=False,
    ),
    # ------------------------------------------------------------------- the tag files
    "tag-missing-file_metadata": Case(
        after=remove("bag-info.txt"), errors="tag-missing-file", at="bag-info.txt"
    ),
    "tag-missing-file_in-a-folder": Case(
        after=remove("notes/why.txt"), errors="tag-missing-file", at="notes/why.txt"
    ),
    "tag-unlisted-file_added": Case(
        after=write("notes/later.txt", b"later\n"),
        warns="tag-unlisted-file",
        at="notes/later.txt",
    ),
    "tag-unlisted-file_in-one-of-two": Case(
        after=replace(
            "tagmanifest-sha512.txt",
            line("sha512", b"kept because it is cited\n", b"notes/why.txt"),
            b"",
        ),
        warns="tag-unlisted-file",
        at="notes/why.txt",
    ),
    "tag-unlisted-file_our-profile": Case(
        after=write("notes/later.txt", b"later\n"),
        errors="tag-unlisted-file",
        options={"strict_profile": True},
    ),
    "tag-digest-mismatch_metadata": Case(
        after=replace("bag-info.txt", b"example", b"another"),
        errors="tag-digest-mismatch",
        at="bag-info.txt",
    ),
    "tag-digest-mismatch_manifest": Case(
        after=replace("manifest-sha256.txt", b"  data/letter", b" data/letter"),
        errors="tag-digest-mismatch",
        at="manifest-sha256.txt",
    ),
    "tag-digest-mismatch_in-one-of-two": Case(
        after=replace(
            "tagmanifest-sha256.txt",
            line("sha256", b"kept because it is cited\n", b"")[:8],
            b"00000000",
        ),
        errors="tag-digest-mismatch",
        at="notes/why.txt",
    ),
    "tag-size-mismatch_while-reading": Case(
        during=add("notes/why.txt", b"and more\n"),
        errors="tag-size-mismatch tag-digest-mismatch",
        at="notes/why.txt",
        git=False,
    ),
    "tag-size-mismatch_shrunk": Case(
        during=write("notes/why.txt", b"kept\n"),
        errors="tag-size-mismatch tag-digest-mismatch",
        at="notes/why.txt",
        git=False,
    ),
    # ------------------------------------------------------------------- the manifests
    "incomplete-manifest_one-of-two": Case(
        edit=ONE_OF_TWO, errors="incomplete-manifest", at="data/photos/cat.jpg"
    ),
    "incomplete-manifest_emptied": Case(
        edit=write("manifest-sha512.txt", b""),
        errors="incomplete-manifest",
        at="data/letter.txt",
    ),
    "incomplete-manifest_allowed-in-a-draft": Case(
        base=DRAFT, edit=ONE_OF_TWO, warns="incomplete-manifest"
    ),
    "incomplete-manifest_tag-manifest": Case(
        after=lambda bag: swap(
            bag,
            "tagmanifest-sha256.txt",
            line("sha256", get(bag, "manifest-sha512.txt"), b"manifest-sha512.txt"),
            b"",
        ),
        errors="incomplete-manifest",
        at="manifest-sha512.txt",
    ),
    "malformed-line_junk": Case(
        edit=add("manifest-sha256.txt", b"this is no entry\n"),
        errors="malformed-line",
        at="manifest-sha256.txt",
    ),
    "malformed-line_comment": Case(
        edit=add("manifest-sha256.txt", b"# made by hand\n"), errors="malformed-line"
    ),
    "malformed-line_nul": Case(
        edit=both(b"data/photos\0/cat.jpg"), errors="malformed-line"
    ),
    "malformed-line_no-path": Case(
        edit=add("manifest-sha256.txt", b"0" * 64 + b"  \n"), errors="malformed-line"
    ),
    "malformed-line_short-digest": Case(
        edit=replace("manifest-sha256.txt", LETTER, LETTER[1:]),
        errors="malformed-line",
        at="data/letter.txt",
    ),
    "malformed-line_folder": Case(
        edit=both(b"data/photos"), errors="malformed-line", at="data/photos"
    ),
    "malformed-line_endless": Case(
        edit=add("manifest-sha256.txt", b"0" * 64 + b"  data/" + b"n" * (1 << 20)),
        errors="malformed-line",
        git=False,
    ),
    "malformed-line_payload-among-tags": Case(
        after=tags(b"data/letter.txt", b"a letter\n"),
        errors="malformed-line",
        at="data/letter.txt",
    ),
    "malformed-line_tag-manifest-in-another": Case(
        after=lambda bag: append(
            bag,
            "tagmanifest-sha256.txt",
            line(
                "sha256", get(bag, "tagmanifest-sha512.txt"), b"tagmanifest-sha512.txt"
            ),
        ),
        errors="malformed-line",
        at="tagmanifest-sha512.txt",
    ),
    "malformed-line_nothing-named": Case(
        after=tags(b"./"), errors="malformed-line", at="./", warns="malformed-line"
    ),
    "malformed-line_blank": Case(
        edit=add("manifest-sha256.txt", b"\n\n"), warns="malformed-line"
    ),
    "malformed-line_md5sum-star": Case(
        edit=replace("manifest-sha256.txt", b"  data/letter", b" *data/letter"),
        warns="malformed-line",
        at="manifest-sha256.txt",
    ),
    "malformed-line_dot-slash": Case(
        edit=replace("manifest-sha256.txt", b"  data/letter", b"  ./data/letter"),
        warns="malformed-line",
    ),
    "malformed-line_gnu-backslash": Case(
        base=files(b"data/back\\slash.txt"),
        edit=lambda bag: [
            swap(
                bag,
                f"manifest-{one}.txt",
                line(one, b"of data/back\\slash.txt", b"data/back\\slash.txt"),
                b"\\"
                + line(one, b"of data/back\\slash.txt", b"data/back\\\\slash.txt"),
            )
            for one in ALGORITHMS
        ],
        warns="malformed-line portable-name",
        git=False,
    ),
    "duplicate-entry_same-digest": Case(
        edit=add("manifest-sha256.txt", LETTER),
        errors="duplicate-entry",
        at="data/letter.txt",
    ),
    "duplicate-entry_other-digest": Case(
        edit=add("manifest-sha256.txt", line("sha256", b"x\n", b"data/letter.txt")),
        errors="duplicate-entry",
        at="data/letter.txt",
    ),
    "duplicate-entry_in-two-spellings": Case(
        edit=add(
            "manifest-sha256.txt", line("sha256", b"a letter\n", b"data//letter.txt")
        ),
        errors="duplicate-entry",
        warns="malformed-line",
        at="data/letter.txt",
    ),
    "duplicate-entry_same-digest-in-a-draft": Case(
        base=DRAFT, edit=add("manifest-sha256.txt", LETTER), warns="duplicate-entry"
    ),
    "duplicate-entry_other-digest-in-a-draft": Case(
        base=DRAFT,
        edit=add("manifest-sha256.txt", line("sha256", b"x\n", b"data/letter.txt")),
        errors="duplicate-entry",
    ),
    "duplicate-entry_tag-file": Case(
        after=tags(b"notes/why.txt"), errors="duplicate-entry", at="notes/why.txt"
    ),
    "unknown-algorithm_alone": Case(
        edit=several(
            remove("manifest-sha256.txt"),
            lambda bag: (bag / "manifest-sha512.txt").rename(
                bag / "manifest-whirlpool.txt"
            ),
        ),
        errors="unknown-algorithm",
        at="manifest-whirlpool.txt",
    ),
    "unknown-algorithm_beside-another": Case(
        edit=lambda bag: (bag / "manifest-sha512.txt").rename(
            bag / "manifest-whirlpool.txt"
        ),
        warns="unknown-algorithm",
        at="manifest-whirlpool.txt",
    ),
    "unknown-algorithm_not-normalised": Case(
        edit=lambda bag: (bag / "manifest-sha512.txt").rename(
            bag / "manifest-SHA-512.txt"
        ),
        warns="unknown-algorithm",
        at="manifest-SHA-512.txt",
    ),
    "weak-algorithm_md5": Case(base=MD5, warns="weak-algorithm", at="manifest-md5.txt"),
    "weak-algorithm_md5-and-sha1": Case(
        base={"algorithms": ("md5", "sha1")}, warns="weak-algorithm"
    ),
    "weak-algorithm_tag-files-alone": Case(
        after=several(
            remove("tagmanifest-sha256.txt"),
            remove("tagmanifest-sha512.txt"),
            lambda bag: seal(bag, ("md5",)),
        ),
        warns="weak-algorithm",
        at="tagmanifest-md5.txt",
    ),
    # ---------------------------------------------------------------------- bag-info.txt
    "oxum-mismatch_octets": Case(
        edit=replace("bag-info.txt", b"15.2", b"14.2"), errors="oxum-mismatch"
    ),
    "oxum-mismatch_files": Case(
        edit=replace("bag-info.txt", b"15.2", b"15.3"), errors="oxum-mismatch"
    ),
    "oxum-mismatch_malformed": Case(
        edit=replace("bag-info.txt", b"15.2", b"15 octets"), errors="oxum-mismatch"
    ),
    "oxum-mismatch_none-to-check": Case(
        edit=replace("bag-info.txt", b"Payload-Oxum: 15.2\n", b""),
        errors="oxum-mismatch",
        options={"level": Level.OXUM},
    ),
    "bag-count_words": Case(
        base={"info": b"Bag-Count: one of two\n"}, warns="bag-count"
    ),
    "bag-count_past-the-end": Case(
        base={"info": b"Bag-Count: 4 of 3\n"}, warns="bag-count"
    ),
    "bag-count_zero": Case(base={"info": b"Bag-Count: 0 of ?\n"}, warns="bag-count"),
    # ----------------------------------------------------------------------------- paths
    "unsafe-path_absolute": Case(
        edit=both(b"/etc/passwd"), errors="unsafe-path", at="/etc/passwd"
    ),
    "unsafe-path_climbs": Case(edit=both(b"data/../../x"), errors="unsafe-path"),
    "unsafe-path_home": Case(edit=both(b"~/x"), errors="unsafe-path"),
    "unsafe-path_home-of-root": Case(edit=both(b"~root/x"), errors="unsafe-path"),
    "unsafe-path_drive": Case(edit=both(b"C:\\Windows\\x"), errors="unsafe-path"),
    "unsafe-path_backslashes": Case(
        edit=both(b"data\\..\\..\\x"), errors="unsafe-path"
    ),
    "unsafe-path_another-machine": Case(
        edit=both(b"\\\\?\\UNC\\x"), errors="unsafe-path"
    ),
    "unsafe-path_variable": Case(edit=both(b"%HomeDrive%\\x"), errors="unsafe-path"),
    "unsafe-path_outside-data": Case(
        edit=both(b"notes/why.txt", b"kept because it is cited\n"), errors="unsafe-path"
    ),
    "unsafe-path_in-a-tag-manifest": Case(
        after=tags(b"../bag-info.txt"), errors="unsafe-path", at="../bag-info.txt"
    ),
    "unsafe-path_in-fetch": Case(
        edit=fetch(b"https://example.org/x - data/../../x\n"), errors="unsafe-path"
    ),
    "special-file_link-outside": Case(
        edit=link_outside,
        errors="special-file oxum-mismatch",
        at="data/letter.txt",
        git=False,
    ),
    "special-file_link-to-its-twin": Case(
        base={"files": FILES | {b"data/other.txt": b"a letter\n"}},
        edit=several(remove("data/other.txt"), link("data/other.txt", "letter.txt")),
        errors="special-file oxum-mismatch",
        at="data/other.txt",
        git=False,
    ),
    "special-file_link-to-a-folder": Case(
        edit=link("data/more", "photos"),
        errors="special-file",
        at="data/more",
        git=False,
    ),
    "special-file_link-for-data": Case(
        edit=move_data,
        errors="special-file not-a-bag missing-file oxum-mismatch",
        at="data",
        git=False,
    ),
    "special-file_link-for-a-manifest": Case(
        after=several(
            lambda bag: (bag / "manifest-sha256.txt").rename(bag / "notes/real"),
            link("manifest-sha256.txt", "notes/real"),
        ),
        errors="special-file",
        warns="tag-unlisted-file",
        at="manifest-sha256.txt",
        git=False,
    ),
    "special-file_fifo": Case(
        edit=several(
            remove("data/letter.txt"), lambda bag: os.mkfifo(bag / "data/letter.txt")
        ),
        errors="special-file oxum-mismatch",
        at="data/letter.txt",
        git=False,
    ),
    "special-file_fifo-for-bagit-txt": Case(
        after=several(remove("bagit.txt"), lambda bag: os.mkfifo(bag / "bagit.txt")),
        errors="special-file not-a-bag",
        at="bagit.txt",
        git=False,
    ),
    "special-file_socket": Case(
        edit=listen, errors="special-file", at="data/socket", git=False
    ),
    "special-file_hard-link": Case(
        edit=hard_link, warns="special-file", at="data/letter.txt", git=False
    ),
    "special-file_while-reading": Case(
        during=several(
            remove("data/letter.txt"), link("data/letter.txt", "photos/cat.jpg")
        ),
        errors="special-file",
        at="data/letter.txt",
        git=False,
    ),
    # ----------------------------------------------------------------------------- names
    "case-collision_files": Case(
        base=files(b"data/LETTER.txt"), warns="case-collision", git=False
    ),
    "case-collision_folders": Case(
        base=files(b"data/PHOTOS/dog.jpg"), warns="case-collision", git=False
    ),
    "case-collision_file-and-folder": Case(
        base=files(b"data/Photos"), warns="case-collision", git=False
    ),
    "unicode-collision_twins": Case(
        base=files(NFC, NFD), warns="unicode-collision", git=False
    ),
    "unicode-collision_missing-twin": Case(
        base={"files": FILES | {NFC: b"Zo\xc3\xab", NFD: b"Zo\xc3\xab"}},
        edit=several(
            remove(os.fsdecode(NFD)), replace("bag-info.txt", b"23.4", b"19.3")
        ),
        errors="missing-file",
        warns="unicode-collision",
        git=False,
    ),
    "unicode-collision_altered-twin": Case(
        base=files(NFC, NFD),
        after=lambda bag: put(bag, NFD, get(bag, os.fsdecode(NFC)) + b"."),
        errors="digest-mismatch",
        warns="unicode-collision",
        git=False,
    ),
    "unicode-collision_renamed-on-the-way": Case(
        base=files(NFC),
        after=lambda bag: (bag / os.fsdecode(NFC)).rename(bag / os.fsdecode(NFD)),
        warns="unicode-collision",
        git=False,
    ),
    "unicode-collision_unlisted-twin": Case(
        base=files(NFC),
        after=lambda bag: put(bag, NFD, b""),
        errors="unlisted-file oxum-mismatch",
        warns="unicode-collision",
        git=False,
    ),
    "percent-encoding_read-literally": Case(
        edit=several(
            write("data/100%25.txt", b"x\n"),
            both(b"data/100%25.txt"),
            replace("bag-info.txt", b"15.2", b"17.3"),
        ),
        warns="percent-encoding",
        at="data/100%25.txt",
    ),
    "percent-encoding_bare": Case(
        edit=several(
            write("data/100%.txt", b"x\n"),
            both(b"data/100%.txt"),
            replace("bag-info.txt", b"15.2", b"17.3"),
        ),
        warns="percent-encoding",
        at="data/100%.txt",
    ),
    "percent-encoding_decoded-in-a-draft": Case(
        base=DRAFT | files(b"data/two\nlines.txt"),
        warns="percent-encoding portable-name",
        git=False,
    ),
    "portable-name_reserved": Case(
        base=files(b"data/con.txt"), warns="portable-name", at="data/con.txt", git=False
    ),
    "portable-name_dot-at-the-end": Case(
        base=files(b"data/end."), warns="portable-name", git=False
    ),
    "portable-name_question-mark": Case(
        base=files(b"data/why?"), warns="portable-name", git=False
    ),
    "portable-name_line-feed": Case(
        base=files(b"data/a\nb"), warns="portable-name", git=False
    ),
    "portable-name_long": Case(
        base=files(b"data/" + b"long/" * 60 + b"x"), warns="portable-name", git=False
    ),
    "portable-name_desktop": Case(base=files(b"data/Thumbs.db"), warns="portable-name"),
    "portable-name_not-utf-8": Case(
        base=files(b"data/Zo\xeb"),
        errors="encoding",
        warns="portable-name",
        at="data/Zo\\xeb",
        git=False,
    ),
    # ------------------------------------------------------------------------- fetch.txt
    "fetch-line_junk": Case(
        edit=fetch(b"fetch me\n"), errors="fetch-line", at="fetch.txt"
    ),
    "fetch-line_no-length": Case(
        edit=fetch(b"https://example.org/letter.txt many data/letter.txt\n"),
        errors="fetch-line",
    ),
    "fetch-line_relative-address": Case(
        edit=fetch(b"letter.txt - data/letter.txt\n"), errors="fetch-line"
    ),
    "fetch-line_unlisted-target": Case(
        edit=fetch(b"https://example.org/x - data/x.txt\n"),
        errors="fetch-line",
        at="data/x.txt",
    ),
    "fetch-line_tag-file": Case(
        edit=fetch(b"https://example.org/why.txt - notes/why.txt\n"),
        errors="fetch-line",
    ),
    "fetch-line_dot-slash": Case(
        edit=fetch(b"https://example.org/letter.txt - ./data/letter.txt\n"),
        warns="fetch-line",
        at="fetch.txt",
    ),
    "fetch-line_twice": Case(
        edit=fetch(b"https://example.org/letter.txt - data/letter.txt\n" * 2),
        errors="fetch-line",
        at="data/letter.txt",
    ),
    "fetch-refused_scheme": Case(
        edit=fetch(b"file:///etc/passwd - data/letter.txt\n"),
        warns="fetch-refused",
        at="data/letter.txt",
    ),
    "fetch-refused_loopback": Case(
        edit=fetch(b"http://127.0.0.1/x - data/letter.txt\n"), warns="fetch-refused"
    ),
    "fetch-refused_private": Case(
        edit=fetch(b"http://[fd00::1]/x - data/letter.txt\n"), warns="fetch-refused"
    ),
    "fetch-refused_localhost": Case(
        edit=fetch(b"http://localhost:8080/x - data/letter.txt\n"),
        warns="fetch-refused",
    ),
    "fetch-missing_one": Case(
        edit=several(
            both(b"data/gone.txt"),
            fetch(b"https://example.org/gone.txt 2 data/gone.txt\n"),
        ),
        errors="fetch-missing",
        at="data/gone.txt",
    ),
    "fetch-missing_all": Case(
        edit=several(
            remove("data/letter.txt"),
            remove("data/photos/cat.jpg"),
            write("data/photos/.keep", b""),
            both(b"data/photos/.keep", b""),
            replace("bag-info.txt", b"15.2", b"0.1"),
            fetch(
                b"https://example.org/letter.txt - data/letter.txt\n"
                b"https://example.org/cat.jpg - data/photos/cat.jpg\n"
            ),
        ),
        errors="fetch-missing",
        at="data/letter.txt",
    ),
    # ---------------------------------------------------------------------- descriptions
    "premis-malformed_not-well-formed": Case(
        base=described(PREMIS.removesuffix(b">\n")), errors="premis-malformed", at=XML
    ),
    "premis-malformed_entities": Case(
        base=described(PREMIS.replace(b"?>\n", b"?>\n" + LAUGHS, 1)),
        errors="premis-malformed",
        at=XML,
    ),
    "premis-malformed_another-schema": Case(
        base=described(PREMIS.replace(b"premis/v3", b"premis/v2")),
        errors="premis-malformed",
    ),
    "premis-reference_event": Case(
        base=described(PREMIS.replace(b">pack<", b">unpack<", 1)),
        errors="premis-reference",
        at=XML,
    ),
    "premis-reference_agent": Case(
        base=described(PREMIS.replace(b">us<", b">them<", 1)),
        errors="premis-reference",
    ),
    "premis-reference_file": Case(
        base=described(PREMIS.replace(b"data/letter.txt", b"data/latter.txt")),
        errors="premis-reference",
    ),
    "premis-fixity_digest": Case(
        base=described(PREMIS.replace(A_DIGEST, b"0" * 64)),
        errors="premis-fixity",
        at=XML,
    ),
    "premis-fixity_size": Case(
        base=described(PREMIS.replace(b">9<", b">8<")), errors="premis-fixity"
    ),
    "label-mismatch_verdict": Case(
        base=labelled(b"Evidence-Verdict: refused\n"),
        errors="label-mismatch",
        at="bag-info.txt",
    ),
    "label-mismatch_another-source": Case(
        base=labelled(b"External-Identifier: case/other\n"), errors="label-mismatch"
    ),
    "metadata-malformed_header": Case(
        base=described(csv=b'"data/letter.txt","A letter"\n'),
        errors="metadata-malformed",
        at=CSV,
    ),
    "metadata-malformed_cells": Case(
        base=described(csv=TABLE_OF_FILES.replace(b',"A letter"', b"")),
        errors="metadata-malformed",
    ),
    "metadata-reference_gone": Case(
        base=described(csv=TABLE_OF_FILES.replace(b"letter.txt", b"latter.txt")),
        errors="metadata-reference",
        at=CSV,
    ),
    "metadata-reference_twice": Case(
        base=described(csv=TABLE_OF_FILES + TABLE_OF_FILES.splitlines()[1] + b"\n"),
        errors="metadata-reference",
    ),
    # ---------------------------------------------------------------------------- limits
    "limit_findings": Case(
        edit=lambda bag: [both(b"data/gone-%d.txt" % n)(bag) for n in range(50)],
        errors="limit missing-file",
        options={"limit": 10},
        at="",
    ),
    "limit_metadata": Case(
        base={"info": b"Note: %s\n" % (b"n" * 1000) * 1100}, errors="limit", git=False
    ),
    "limit_depth": Case(edit=deep, errors="limit", git=False),
    # -------------------------------------------------------------------- archive files
    "serialization_two-folders": Case(
        pack=tarred(("bag", ""), ("other", "notes")),
        errors="serialization",
        at="other",
        git=False,
    ),
    "serialization_twice-there": Case(
        pack=tarred(("bag", ""), ("bag/bagit.txt", "bag-info.txt")),
        errors="serialization",
        at="bag/bagit.txt",
        git=False,
    ),
}


# ------------------------------------------------------------- what bagit says of them


class HangsError(Exception):
    """The second opinion did not come in time."""


@contextmanager
def in_time(seconds: float) -> Iterator[None]:
    """Interrupt whatever waits, a fifo included; of the main thread only."""

    def ring(_signal: int, _frame: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Heard(logging.Handler):
    """Counts the warnings that bagit logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, _record: logging.LogRecord) -> None:
        self.count += 1


def second_opinion(bag: Path, *, fast: bool = False) -> str:
    """Ask bagit about a bag: valid, invalid and why, or what became of it."""
    heard = Heard()
    logger = logging.getLogger("bagit")
    logger.addHandler(heard)
    logger.propagate = False
    try:
        with in_time(3), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bagit.Bag(str(bag)).validate(fast=fast)
    except bagit.BagError as error:
        return f"invalid: {_words(error, bag)}"
    except HangsError:
        return "hangs"
    except Exception as error:  # noqa: BLE001 - that it crashes is the finding
        return f"crashes: {type(error).__name__}"
    finally:
        logger.removeHandler(heard)
        logger.propagate = True
    return "valid, with a warning" if heard.count else "valid"


def _words(error: bagit.BagError, bag: Path) -> str:
    details = sorted(map(str, getattr(error, "details", ())))
    first = getattr(error, "message", "") or str(error)
    words = f"{first}: {details[0]}" if details else first
    words = words.replace(f"{bag}/", "").replace(str(bag), "the bag")
    words = re.sub(r"[0-9a-f]{32,}", "...", words.encode("unicode_escape").decode())
    words = re.sub(r"sha(256|512)", "sha*", words)  # it takes them in no order
    return words if len(words) <= 90 else words[:87] + "..."


# ------------------------------------------------------------ the suite and its table

TABLE = HERE / "README.md"
START, END = (
    "<!-- defects: python tests/defects.py --write -->",
    "<!-- end of defects -->",
)


def told(report: Report) -> str:
    """Write what we find in a cell: codes, errors first."""
    found: dict[Severity, dict[str, None]] = {one: {} for one in Severity}
    for one in report.findings:
        found[one.severity][f"`{one.code}`"] = None
    errors, warned = found[Severity.ERROR], found[Severity.WARNING]
    words = f"invalid: {', '.join(errors)}" if errors else "valid"
    return words + (f"; warns: {', '.join(warned)}" if warned else "")


def table(folder: Path) -> str:
    """Build every case in a folder, ask both validators, and lay out the answers."""
    rows = [
        f"{START}",
        f"| defect | Muniment | bagit {bagit.VERSION} |",
        "|---|---|---|",
    ]
    for name, one in CASES.items():
        bag = one.build(folder / name)
        fast = one.options.get("level") is Level.OXUM
        if one.during is nothing:
            other = second_opinion(bag, fast=fast)
        else:
            other = "(the bag changes while we read it)"
        ours = told(one.judge(bag))
        rows.append(f"| {name} | {ours} | {other.replace('|', chr(92) + '|')} |")
    return "\n".join([*rows, END])


def written_table() -> str:
    """Return the table as it stands in the README."""
    text = TABLE.read_text("utf-8")
    return text[text.index(START) : text.index(END) + len(END)]


def published() -> dict[str, Case]:
    """Choose the cases that stand in tests/bags: two of each code, where git can."""
    chosen: dict[str, Case] = {}
    for name, one in CASES.items():
        code = name.partition("_")[0]
        if one.git and sum(1 for other in chosen if other.startswith(f"{code}_")) < 2:
            chosen[name] = one
    return chosen


def write_all() -> None:
    """Regenerate the folders and the table."""
    for old in (HERE / "bags").glob("*_*"):
        shutil.rmtree(old)
    for name, one in published().items():
        one.build(HERE / "bags" / name)
    with tempfile.TemporaryDirectory() as folder:
        new = table(Path(folder))
    TABLE.write_text(TABLE.read_text("utf-8").replace(written_table(), new), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="regenerate bags and table"
    )
    parser.add_argument(
        "--into", type=Path, help="build the whole suite in a new folder"
    )
    chosen = parser.parse_args()
    if chosen.into:
        for name, one in CASES.items():
            one.build(chosen.into / name)
    if chosen.write:
        write_all()


if __name__ == "__main__":
    main()
