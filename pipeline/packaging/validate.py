"""What is wrong with a bag: every finding, with its clause, and never a crash.

A bag is a stranger's. It is walked and read beneath one directory descriptor, no link
is followed, nothing but regular files is opened, memory grows with the number of paths
alone, and what cannot be read is a finding like any other. In a bag of ours its WARC
is read record by record as well, and its descriptions must lead to what is there; what
a profile asks is asked at every level. Checks of seals and of the custody log stand
elsewhere and add to the findings.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pipeline.errors import StorageError
from pipeline.model import Finding, Level, Severity
from pipeline.packaging import conformity, label, references, tagfiles, warccheck
from pipeline.packaging.agreement import Progress, check_digests
from pipeline.packaging.completeness import (
    Holdings,
    check_algorithms,
    check_completeness,
    check_names,
)
from pipeline.packaging.contents import (
    ABSENT,
    PAYLOAD,
    WHOLE,
    Column,
    Inventory,
    survey,
)
from pipeline.packaging.encoding import Recoder, lines
from pipeline.packaging.listing import Reader
from pipeline.packaging.names import show
from pipeline.packaging.profile import IDENTIFIER, Profile
from pipeline.packaging.rules import Verdicts
from pipeline.packaging.tree import Folder, Tree
from pipeline.packaging.walk import opened, reason

_OURS = (  # the first two, and one of the others
    warccheck.WARC_PATH.encode(),
    warccheck.INDEX_PATH.encode(),
    warccheck.CAPTURE_PATH.encode(),
    warccheck.RUN_PATH.encode(),
)
LARGEST_DECLARATION = 1 << 12  # bytes; two lines take sixty


class Report(Struct, frozen=True, kw_only=True):
    """What a bag is, as far as it was read, and everything found wrong with it."""

    path: Path
    level: Level
    ok: bool = False
    version: str = ""
    algorithms: tuple[str, ...] = ()  # of the payload manifests
    files: int = 0  # payload files on disk
    bytes: int = 0
    findings: tuple[Finding, ...] = ()  # errors first


def _silent(_done: int, _total: int) -> None:
    pass


def validate(
    path: Path,
    *,
    level: Level = Level.FULL,
    profile: Profile | None = None,
    strict_profile: bool = False,
    limit: int = 10_000,
    progress: Progress = _silent,
) -> Report:
    """Check a bag in a folder and report everything that is wrong with it.

    ``profile`` is what the bag is held to as well; our own, or ``strict_profile``,
    makes errors of what our own bags never have. ``progress`` hears of bytes digested
    and bytes to digest. ``limit`` bounds the findings; what is left out is counted in
    one more, ``limit``.
    """
    verdicts = Verdicts(limit=limit, strict=strict_profile or is_ours(profile))
    report = Report(path=path, level=level)
    try:
        with opened(path) as root:
            tree = Folder(root)
            report = check(tree, report, verdicts, progress, profile=profile)
    except OSError as error:
        message = f"expected a folder to look into, found: {reason(error)}"
        verdicts.add("not-a-bag", "", message)
    return concluded(report, verdicts)


def check(
    tree: Tree,
    report: Report,
    verdicts: Verdicts,
    progress: Progress = _silent,
    *,
    profile: Profile | None = None,
    serialization: str = "",
) -> Report:
    """Check a bag as deeply as a report says, wherever its files stand.

    ``serialization`` is the media type of the one file it stands in, if it does. The
    findings go into ``verdicts``, to be ``concluded``; what the bag is comes back.
    """
    bag = _Bag(tree, verdicts)
    bag.check(report.level, progress)
    if profile is not None:
        facts = bag.facts(profile, serialization)
        verdicts.extend(conformity.check(profile, facts))
    return bag.told(report)


def is_ours(profile: Profile | None) -> bool:
    """Tell whether a profile is our own, under which more is an error."""
    return profile is not None and profile.about.identifier == label.PROFILE


def concluded(report: Report, verdicts: Verdicts) -> Report:
    """Return a report with its findings and the verdict that they come to."""
    findings = verdicts.findings()
    is_sound = not any(one.severity is Severity.ERROR for one in findings)
    return replace(report, ok=is_sound, findings=findings)


def report_json(report: Report) -> dict[str, object]:
    """Tell a report in the shape that ``verify --json`` promises for each bag."""
    return {
        "path": str(report.path.absolute()),
        "ok": report.ok,
        "level": str(report.level),
        "version": report.version,
        "algorithms": list(report.algorithms),
        "files": report.files,
        "bytes": report.bytes,
        "findings": [
            {
                "code": one.code,
                "severity": str(one.severity),
                "path": one.path,
                "message": one.message,
                "clause": one.clause,
            }
            for one in report.findings
        ],
    }


class _Bag:
    """A bag while it is being checked: what is known of it so far."""

    def __init__(self, tree: Tree, verdicts: Verdicts) -> None:
        self._tree = tree
        self._verdicts = verdicts
        self._inventory = survey(tree.entries(), verdicts)
        self._manifests = _manifests(self._inventory)
        self._declared = self._declaration()
        self._files, self._bytes = self._extent()
        self._tags: tagfiles.Tags = ()
        self._fetches: dict[int, int | None] = {}

    def check(self, level: Level, progress: Progress) -> None:
        """Check as deeply as asked."""
        self._require_parts()
        self._check_info(level)
        if level is Level.OXUM:
            return
        strict, keep = self._declared.is_strict, level is Level.FULL
        reader = Reader(self._inventory, self._verdicts, strict=strict, keep=keep)
        held = Holdings(
            inventory=self._inventory,
            columns=tuple(self._column(reader, one) for one in self._manifests),
            fetches=reader.fetches(self._lines("fetch.txt")),
            strict=strict,
        )
        self._fetches = held.fetches
        check_algorithms(held, self._verdicts)
        check_completeness(held, self._verdicts)
        check_names(self._inventory, self._verdicts)
        if level is Level.FULL:
            check_digests(self._tree, held, self._verdicts, progress)
            if self._is_one_of_ours():
                self._verdicts.extend(warccheck.check_bag(self._tree))
                found = references.check_bag(self._tree, partial(_known, held))
                self._verdicts.extend(found)
            if self.names_our_profile:
                self._verdicts.extend(references.check_label(self._tree, self._tags))
            self._check_other_warcs()

    def _check_other_warcs(self) -> None:
        """Read WARCs that are not ours as far as to see that they are whole."""
        own = warccheck.WARC_PATH.encode() if self._is_one_of_ours() else b""
        for path in self._there():
            if path.endswith(b".warc.gz") and path.startswith(PAYLOAD) and path != own:
                name = os.fsdecode(path)
                found = warccheck.check_strangers(self._tree, name)
                self._verdicts.extend(found)

    def facts(self, profile: Profile, serialization: str) -> conformity.Facts:
        """Tell what a profile may ask; payload still to be fetched counts as there."""
        held = self._inventory
        fetched = (held.paths[row] for row in self._fetches if held.sizes[row] < 0)
        return conformity.Facts(
            version=self._declared.version,
            info=self._tags,
            info_file=self._declared.info_file,
            other_info=tuple(self._other_info(profile)),
            manifests=self._algorithms(is_tag=False),
            tag_manifests=self._algorithms(is_tag=True),
            tag_files=(one for one in self._there() if not one.startswith(PAYLOAD)),
            payload=(one for one in self._there() if one.startswith(PAYLOAD)),
            folders=held.folders,
            fetch=fetched if held.is_present(b"fetch.txt") else None,
            files=self._files,
            bytes=self._bytes,
            serialization=serialization,
        )

    def told(self, report: Report) -> Report:
        """Tell in a report what the bag is."""
        payload = sorted({*self._algorithms(is_tag=False)})
        return replace(
            report,
            version=self._declared.version,
            algorithms=tuple(show(one.encode()) for one in payload),
            files=self._files,
            bytes=self._bytes,
        )

    @property
    def names_our_profile(self) -> bool:
        """Tell whether the bag says that it is as our own bags are."""
        return label.PROFILE in tagfiles.tagged(self._tags, IDENTIFIER)

    def _is_one_of_ours(self) -> bool:
        """Tell a bag that we made: by its profile, or by what stands in it."""
        if self.names_our_profile:
            return True
        is_here = [self._inventory.is_present(path) for path in _OURS]
        return all(is_here[:2]) and any(is_here[2:])

    def _there(self) -> Iterator[bytes]:
        """Yield the paths of the files that stand in the bag."""
        rows = zip(self._inventory.paths, self._inventory.sizes, strict=True)
        return (path for path, size in rows if size != ABSENT)

    def _algorithms(self, *, is_tag: bool) -> tuple[str, ...]:
        return tuple(one.algorithm for one in self._manifests if one.is_tag is is_tag)

    # -------------------------------------------------------------- tag files

    def _declaration(self) -> tagfiles.Declaration:
        try:
            pieces = self._tree.pieces(b"bagit.txt", most=LARGEST_DECLARATION)
            data = b"".join(pieces)
        except FileNotFoundError:
            self._verdicts.add("not-a-bag", "bagit.txt", "there is no bagit.txt")
            return tagfiles.Declaration()
        except OSError as error:
            message = f"cannot be read: {reason(error)}"
            self._verdicts.add("not-a-bag", "bagit.txt", message)
            return tagfiles.Declaration()
        declared, findings = tagfiles.parse_declaration(data)
        self._verdicts.extend(findings)
        return declared

    def _extent(self) -> tuple[int, int]:
        sizes = [
            size
            for path, size in zip(
                self._inventory.paths, self._inventory.sizes, strict=True
            )
            if path.startswith(PAYLOAD)
        ]
        return len(sizes), sum(sizes)

    def _require_parts(self) -> None:
        if b"data" not in self._inventory.folders:  # RFC 8493 2.1.2
            self._verdicts.add("not-a-bag", "data", "there is no folder data/")
        if not any(not one.is_tag for one in self._manifests):  # RFC 8493 2.1.3
            self._verdicts.add("not-a-bag", "", "there is no payload manifest")

    def _column(self, reader: Reader, name: tagfiles.ManifestName) -> Column:
        return reader.read(name, self._lines(name.file))

    def _lines(self, file: str, *, most: int | None = None) -> Iterator[bytes]:
        """Yield the lines of a tag file, nothing where there is none."""
        if not self._inventory.is_present(os.fsencode(file)):
            return
        recoder, shown = Recoder(self._declared.codec), show(os.fsencode(file))
        try:
            pieces = self._tree.pieces(os.fsencode(file), most=most)
            yield from lines(recoder.recode(pieces))
        except OSError as error:
            message = f"cannot be read: {reason(error)}"
            self._verdicts.add("tag-missing-file", shown, message)
        self._say_encoding(shown, recoder)

    def _say_encoding(self, file: str, recoder: Recoder) -> None:
        if recoder.is_broken:
            message = f"it is not {show(self._declared.encoding.encode())}"
            self._verdicts.add("encoding", file, message)
        if recoder.has_bom:
            severity = Severity.ERROR if self._declared.is_strict else Severity.WARNING
            message = "it begins with a byte order mark, which UTF-8 must not"
            self._verdicts.add("encoding", file, message, severity=severity)

    # --------------------------------------------------------------- metadata

    def _other_info(self, profile: Profile) -> Iterator[tuple[str, tagfiles.Tags]]:
        """Read the further tag files that a profile has rules for."""
        for file, _ in profile.other_info:
            if self._inventory.is_present(os.fsencode(file)):
                yield file, self._parsed(file)

    def _parsed(self, file: str) -> tagfiles.Tags:
        tags, findings = tagfiles.parse_info(
            self._lines(file, most=tagfiles.LARGEST_INFO),
            file=file,
            strict=self._declared.is_strict,
        )
        self._verdicts.extend(findings)
        return tags

    def _check_info(self, level: Level) -> None:
        file = self._declared.info_file
        row = self._inventory.row(file.encode())
        if row is not None and self._inventory.sizes[row] > tagfiles.LARGEST_INFO:
            message = f"only its first {tagfiles.LARGEST_INFO:,} bytes were read"
            self._verdicts.add("limit", file, message)
        self._tags = tags = self._parsed(file)
        self._check_oxum(tags, file, level)
        for count in tagfiles.tagged(tags, "Bag-Count"):
            if odd := tagfiles.bad_count(count):
                self._verdicts.add("bag-count", file, odd)

    def _check_oxum(self, tags: tagfiles.Tags, file: str, level: Level) -> None:
        stated = tagfiles.tagged(tags, "Payload-Oxum")
        for one in stated:
            if tagfiles.parse_oxum(one) != (self._bytes, self._files):
                found = f"the payload is {self._bytes}.{self._files}"
                message = f"Payload-Oxum is '{show(one.encode())}', {found}"
                self._verdicts.add("oxum-mismatch", file, message)
        if not stated and level is Level.OXUM:
            message = "there is no Payload-Oxum to check; ask for level complete"
            self._verdicts.add("oxum-mismatch", file, message)


def _known(held: Holdings, path: str) -> references.Known | None:
    """Tell what is known of a file of the bag, if it is there."""
    name = path.encode(errors="surrogateescape")
    row = held.inventory.row(name)
    if row is None or not held.inventory.is_present(name):
        return None
    columns = [one for one in held.columns if one.states[row] == WHOLE]
    return references.Known(
        size=held.inventory.sizes[row],
        digests={one.name.algorithm: one.digest(row).hex() for one in columns},
    )


def _manifests(inventory: Inventory) -> tuple[tagfiles.ManifestName, ...]:
    """List the manifests that stand at the top of a bag."""
    files = sorted(path for path in inventory.paths if b"/" not in path)
    found = (tagfiles.parse_manifest_name(os.fsdecode(one)) for one in files)
    return tuple(one for one in found if one)


def find_bags(folder: Path) -> Iterator[Path]:
    """Yield every bag in a folder, or what passes for one, in order.

    A bag is known by bagit.txt, data/, bag-info.txt or a manifest. No bag is looked
    for inside a bag, through a link, or in ``.muniment``. Raises StorageError.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        entries = _entries(here)
        if any(_marks_a_bag(one) for one in entries):
            yield here
        else:
            below = (one for one in entries if one.is_dir(follow_symlinks=False))
            waiting += [here / one.name for one in below if one.name != ".muniment"]


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    """List a folder backwards, so that a stack gives it back in order."""
    try:
        with os.scandir(folder) as listed:
            return sorted(listed, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        raise StorageError.at(folder, error) from error


def _marks_a_bag(entry: "os.DirEntry[str]") -> bool:
    if entry.name == "data":
        return entry.is_dir()
    name = tagfiles.parse_manifest_name(entry.name)
    return entry.name in ("bagit.txt", "bag-info.txt") or bool(name and not name.is_tag)
