"""What is wrong with a bag: every finding, with its clause, and never a crash.

A bag is a stranger's. It is walked and read beneath one directory descriptor, no link
is followed, nothing but regular files is opened, memory grows with the number of paths
alone, and what cannot be read is a finding like any other. Checks of seals, of the
custody log and of WARC files stand elsewhere and add to the findings.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.model import Finding, Level, Severity
from pipeline.packaging import tagfiles
from pipeline.packaging.completeness import (
    Holdings,
    check_algorithms,
    check_completeness,
    check_names,
)
from pipeline.packaging.contents import PAYLOAD, Column, Listed, survey
from pipeline.packaging.hashing import LARGE, Failure, Job, Outcome, digest_files
from pipeline.packaging.listing import Reader
from pipeline.packaging.names import show
from pipeline.packaging.rules import Verdicts
from pipeline.packaging.walk import chunks, file_beneath, opened

LARGEST_INFO = 1 << 24  # bytes of bag-info.txt that are read
LARGEST_DECLARATION = 1 << 12
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
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
    strict_profile: bool = False,
    limit: int = 10_000,
    progress: Progress = _silent,
) -> Report:
    """Check a bag and report everything that is wrong with it.

    ``progress`` hears of bytes digested and bytes to digest. ``limit`` bounds the
    findings; what is left out is counted in one more, ``limit``.
    """
    verdicts = Verdicts(limit=limit, strict=strict_profile)
    report = Report(path=path, level=level)
    try:
        with opened(path) as root:
            bag = _Bag(root, verdicts)
            bag.check(level, progress)
            report = bag.report(path, level)
    except OSError as error:
        why = error.strerror or type(error).__name__
        verdicts.add("not-a-bag", "", f"expected a folder to look into, found: {why}")
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

    def __init__(self, root: int, verdicts: Verdicts) -> None:
        self._root = root
        self._verdicts = verdicts
        self._inventory = survey(root, verdicts)
        self._declared = self._declaration()
        self._files, self._bytes = self._extent()
        self._columns: tuple[Column, ...] = ()

    def check(self, level: Level, progress: Progress) -> None:
        """Check as deeply as asked."""
        self._require_parts()
        self._check_info(level)
        if level is Level.OXUM:
            return
        strict = self._declared.is_strict
        reader = Reader(self._inventory, self._verdicts, strict=strict)
        self._columns = tuple(self._column(reader, one) for one in self._manifests())
        held = Holdings(
            inventory=self._inventory,
            columns=self._columns,
            fetches=reader.fetches(self._lines("fetch.txt")),
            strict=strict,
        )
        check_algorithms(held, self._verdicts)
        check_completeness(held, self._verdicts)
        check_names(self._inventory, self._verdicts)
        if level is Level.FULL:
            self._check_digests(progress)

    def report(self, path: Path, level: Level) -> Report:
        """Tell what is known, but for the findings."""
        payload = {one.algorithm for one in self._manifests() if not one.is_tag}
        return Report(
            path=path,
            level=level,
            version=self._declared.version,
            algorithms=tuple(sorted(payload)),
            files=self._files,
            bytes=self._bytes,
        )

    # -------------------------------------------------------------- tag files

    def _declaration(self) -> tagfiles.Declaration:
        try:
            with file_beneath(self._root, b"bagit.txt") as descriptor:
                data = os.read(descriptor, LARGEST_DECLARATION)
        except OSError as error:
            why = error.strerror or "it is no regular file"
            self._verdicts.add("not-a-bag", "bagit.txt", f"no declaration: {why}")
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
        if not any(not one.is_tag for one in self._manifests()):  # RFC 8493 2.1.3
            self._verdicts.add("not-a-bag", "", "there is no payload manifest")

    def _manifests(self) -> list[tagfiles.ManifestName]:
        files = sorted(path for path in self._inventory.paths if b"/" not in path)
        found = (tagfiles.parse_manifest_name(os.fsdecode(one)) for one in files)
        return [one for one in found if one]

    def _column(self, reader: Reader, name: tagfiles.ManifestName) -> Column:
        return reader.read(name, self._lines(name.file))

    def _lines(self, file: str, *, most: int | None = None) -> Iterator[bytes]:
        """Yield the lines of a tag file, nothing where there is none."""
        if not self._inventory.is_present(os.fsencode(file)):
            return
        recoder = tagfiles.Recoder(self._declared.codec)
        try:
            with file_beneath(self._root, os.fsencode(file)) as descriptor:
                pieces = recoder.recode(chunks(descriptor, most=most))
                yield from tagfiles.lines(pieces)
        except OSError as error:
            why = error.strerror or "it is no regular file"
            self._verdicts.add("tag-missing-file", file, f"cannot be read: {why}")
        self._say_encoding(file, recoder)

    def _say_encoding(self, file: str, recoder: tagfiles.Recoder) -> None:
        if recoder.is_broken:
            message = f"it is not {show(self._declared.encoding.encode())}"
            self._verdicts.add("encoding", file, message)
        if recoder.has_bom:
            severity = Severity.ERROR if self._declared.is_strict else Severity.WARNING
            message = "it begins with a byte order mark, which UTF-8 must not"
            self._verdicts.add("encoding", file, message, severity=severity)

    # --------------------------------------------------------------- metadata

    def _check_info(self, level: Level) -> None:
        file = self._declared.info_file
        row = self._inventory.row(file.encode())
        if row is not None and self._inventory.sizes[row] > LARGEST_INFO:
            message = f"only its first {LARGEST_INFO:,} bytes were read"
            self._verdicts.add("limit", file, message)
        tags, findings = tagfiles.parse_info(
            self._lines(file, most=LARGEST_INFO),
            file=file,
            strict=self._declared.is_strict,
        )
        self._verdicts.extend(findings)
        self._check_oxum(tags, file, level)
        for count in tagfiles.tagged(tags, "Bag-Count"):
            if reason := tagfiles.bad_count(count):
                self._verdicts.add("bag-count", file, reason)

    def _check_oxum(self, tags: tagfiles.Tags, file: str, level: Level) -> None:
        stated = tagfiles.tagged(tags, "Payload-Oxum")
        found = f"{self._bytes}.{self._files}"
        for one in stated:
            if one != found:
                message = f"Payload-Oxum is {show(one.encode())!r}, the payload {found}"
                self._verdicts.add("oxum-mismatch", file, message)
        if not stated and level is Level.OXUM:
            message = (
                "there is no Payload-Oxum to check; ask for level complete or full"
            )
            self._verdicts.add("oxum-mismatch", file, message)

    # ---------------------------------------------------------------- digests

    def _check_digests(self, progress: Progress) -> None:
        rows = range(len(self._inventory))
        sizes = self._inventory.sizes
        large = [job for row in rows if sizes[row] >= LARGE and (job := self._job(row))]
        small = (
            job for row in rows if 0 <= sizes[row] < LARGE and (job := self._job(row))
        )
        total, done = sum(size for size in sizes if size > 0), 0
        progress(done, total)
        for outcome in digest_files(self._root, large, small):
            self._judge(outcome)
            done += outcome.size
            progress(done, total)

    def _job(self, row: int) -> Job | None:
        hashes = {
            one.hash: None for one in self._columns if one.state(row) == Listed.WHOLE
        }
        if not hashes:
            return None
        path, size = self._inventory.paths[row], self._inventory.sizes[row]
        return Job(row, path, size, tuple(hashes))

    def _judge(self, outcome: Outcome) -> None:
        path = self._inventory.paths[outcome.row]
        tag = "" if path.startswith(PAYLOAD) else "tag-"
        if outcome.failure:
            code, message = _FAILURES[outcome.failure]
            code = code if code == "special-file" else tag + code
            self._verdicts.add(code, show(path), f"{message}: {outcome.reason}")
            return
        size = self._inventory.sizes[outcome.row]
        if outcome.size != size:
            message = (
                f"{size} bytes when it was listed, {outcome.size} when it was read"
            )
            self._verdicts.add(f"{tag}size-mismatch", show(path), message)
        self._compare(outcome, f"{tag}digest-mismatch", show(path))

    def _compare(self, outcome: Outcome, code: str, path: str) -> None:
        found = dict(outcome.digests)
        for column in self._columns:
            if column.state(outcome.row) != Listed.WHOLE:
                continue
            expected = column.digest(outcome.row)
            if found[column.hash] != expected:
                message = (
                    f"{column.name.file} says {expected.hex()},"
                    f" found {found[column.hash].hex()}"
                )
                self._verdicts.add(code, path, message)


_FAILURES = {
    Failure.GONE: ("missing-file", "it vanished while the bag was read"),
    Failure.IRREGULAR: ("special-file", "something else took its place"),
    Failure.UNREADABLE: ("digest-mismatch", "not verified, it cannot be read"),
}


def find_bags(folder: Path) -> Iterator[Path]:
    """Yield every bag in a folder, or what passes for one, in order.

    A bag is known by bagit.txt, data/, bag-info.txt or a manifest. No bag is looked
    for inside a bag, through a link, or in ``.muniment``. Raises StorageError.
    """
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        if any(_marks_a_bag(entry) for entry in entries):
            yield folder
            return
    except OSError as error:
        raise StorageError.at(folder, error) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and entry.name != ".muniment":
            yield from find_bags(folder / entry.name)


def _marks_a_bag(entry: "os.DirEntry[str]") -> bool:
    if entry.name == "data":
        return entry.is_dir()
    name = tagfiles.parse_manifest_name(entry.name)
    return entry.name in ("bagit.txt", "bag-info.txt") or bool(name and not name.is_tag)
