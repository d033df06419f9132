"""The rules a bag is judged by: every finding code with its clause and its weight.

A ``Verdicts`` collects findings, all of them while they are few, a fair share of
each code and a count of the rest when they are many, so that a hostile bag can make a
report neither endless nor one-sided.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct

from pipeline.model import Finding, Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING


class Rule(Struct, frozen=True, kw_only=True):
    """What a code means: the clause it enforces and how much it weighs by default."""

    clause: str
    meaning: str
    severity: Severity = ERROR
    strict: bool = False  # an error under our own profile


BAG = {
    "not-a-bag": Rule(clause="RFC 8493 2.1", meaning="a required element is absent"),
    "bagit-txt": Rule(
        clause="RFC 8493 2.1.1", meaning="the declaration is not exactly its two lines"
    ),
    "encoding": Rule(
        clause="RFC 8493 2.3", meaning="tag files in an odd, unknown or wrong encoding"
    ),
    "bag-info": Rule(clause="RFC 8493 2.2.2", meaning="a malformed metadata line"),
    "missing-file": Rule(
        clause="RFC 8493 3", meaning="a listed payload file is absent"
    ),
    "unlisted-file": Rule(
        clause="RFC 8493 3", meaning="a payload file stands in no payload manifest"
    ),
    "digest-mismatch": Rule(
        clause="RFC 8493 3", meaning="a payload file is not what its manifest says"
    ),
    "size-mismatch": Rule(
        clause="RFC 8493 2.2.3",
        meaning="a payload file has another size than stated, or changed while read",
    ),
    "tag-missing-file": Rule(
        clause="RFC 8493 3", meaning="a tag file that a tag manifest lists is absent"
    ),
    "tag-unlisted-file": Rule(
        clause="RFC 8493 2.2.1",
        meaning="a tag file is absent from a tag manifest",
        severity=WARNING,
        strict=True,
    ),
    "tag-digest-mismatch": Rule(
        clause="RFC 8493 3", meaning="a tag file is not what its tag manifest says"
    ),
    "tag-size-mismatch": Rule(
        clause="RFC 8493 2.2.4", meaning="a tag file changed while it was read"
    ),
    "incomplete-manifest": Rule(
        clause="RFC 8493 2.1.3", meaning="a manifest leaves out what it must list"
    ),
    "malformed-line": Rule(
        clause="RFC 8493 2.1.3", meaning="a manifest line that is no entry"
    ),
    "duplicate-entry": Rule(
        clause="RFC 8493 2.1.3", meaning="a file stands twice in one manifest"
    ),
    "unknown-algorithm": Rule(
        clause="RFC 8493 2.4", meaning="a manifest whose digests cannot be computed"
    ),
    "weak-algorithm": Rule(
        clause="RFC 8493 2.4",
        meaning="nothing stronger than md5 or sha1",
        severity=WARNING,
    ),
    "oxum-mismatch": Rule(
        clause="RFC 8493 2.2.2", meaning="Payload-Oxum and the payload disagree"
    ),
    "bag-count": Rule(
        clause="RFC 8493 2.2.2", meaning="Bag-Count is not 'N of T'", severity=WARNING
    ),
    "unsafe-path": Rule(clause="RFC 8493 5.1", meaning="a path that leads elsewhere"),
    "special-file": Rule(
        clause="RFC 8493 5.1", meaning="a link, fifo, device or socket"
    ),
    "case-collision": Rule(
        clause="RFC 8493 6.1.1.3",
        meaning="names that differ in case alone",
        severity=WARNING,
    ),
    "unicode-collision": Rule(
        clause="RFC 8493 6.1.1.3",
        meaning="names that differ in Unicode form alone",
        severity=WARNING,
    ),
    "percent-encoding": Rule(
        clause="RFC 8493 2.1.3",
        meaning="a path whose % signs are not as they should be",
        severity=WARNING,
    ),
    "portable-name": Rule(
        clause="RFC 8493 6.1.2",
        meaning="a name that other systems will not take",
        severity=WARNING,
    ),
    "fetch-line": Rule(
        clause="RFC 8493 2.2.3", meaning="a malformed line in fetch.txt"
    ),
    "fetch-refused": Rule(
        clause="RFC 8493 5.2",
        meaning="an address that would not be fetched",
        severity=WARNING,
    ),
    "fetch-missing": Rule(
        clause="RFC 8493 2.2.3", meaning="a payload file still to be fetched"
    ),
    "limit": Rule(clause="RFC 8493 5", meaning="a limit of this reader was reached"),
    "serialization": Rule(
        clause="RFC 8493 4",
        meaning="an archive file that is not one folder, or may be read in two ways",
    ),
}

WARC = {  # of our own bags
    "warc-junk": Rule(
        clause="WARC 1.1 D.2", meaning="bytes that belong to no gzip member"
    ),
    "warc-gzip": Rule(
        clause="RFC 1952 2.3", meaning="a gzip member that is not in canonical form"
    ),
    "warc-damaged": Rule(
        clause="RFC 1952 2.3.1",
        meaning="a member that cannot be inflated, or whose CRC or size is wrong",
    ),
    "warc-truncated": Rule(
        clause="RFC 1952 2.2", meaning="the file ends before it should"
    ),
    "warc-framing": Rule(
        clause="WARC 1.1 4", meaning="a member that is not exactly one whole record"
    ),
    "warc-field": Rule(
        clause="WARC 1.1 5", meaning="a field absent, repeated or malformed"
    ),
    "warc-record-id": Rule(clause="WARC 1.1 5.2", meaning="two records of one name"),
    "warc-block-digest": Rule(
        clause="WARC 1.1 5.8", meaning="a block is not what its digest says"
    ),
    "warc-payload-digest": Rule(
        clause="WARC 1.1 5.9", meaning="a payload is not what its digest says"
    ),
    "warc-reference": Rule(
        clause="WARC 1.1 5.7", meaning="a record named by another is not there"
    ),
    "warc-warcinfo": Rule(
        clause="WARC 1.1 6.2", meaning="the first record does not describe the file"
    ),
    "warc-revisit": Rule(
        clause="WARC 1.1 6.7.2", meaning="a revisit that is not as its profile wants"
    ),
    "warc-index": Rule(
        clause="CDXJ 0.1.0", meaning="index.cdxj and the WARC tell different things"
    ),
    "warc-capture": Rule(
        clause="muniment-capture/1",
        meaning="capture.json, or run.json, and the WARC tell different things",
    ),
    "warc-limit": Rule(clause="WARC 1.1 4", meaning="a limit of this reader"),
}


def _agreed(field: str, meaning: str, severity: Severity = ERROR) -> Rule:
    clause = f"BagIt Profiles 1.4.0, {field}"
    return Rule(clause=clause, meaning=meaning, severity=severity)


PROFILE = {
    "profile-identifier": _agreed(
        "BagIt-Profile-Identifier", "bag-info.txt does not name the profile"
    ),
    "profile-version": _agreed(
        "Accept-BagIt-Version", "a version of BagIt not accepted"
    ),
    "profile-serialization": _agreed(
        "Serialization", "one file where a folder is wanted, or the other way round"
    ),
    "profile-accept-serialization": _agreed(
        "Accept-Serialization", "one file, of a format not accepted"
    ),
    "profile-fetch-allowed": _agreed("Allow-Fetch.txt", "fetch.txt, which is refused"),
    "profile-fetch-required": _agreed("Fetch.txt-Required", "no fetch.txt"),
    "profile-data-empty": _agreed("Data-Empty", "a payload, which is refused"),
    "profile-bag-info-required": _agreed("Bag-Info", "a required label is absent"),
    "profile-bag-info-recommended": _agreed(
        "Bag-Info", "a recommended label is absent", WARNING
    ),
    "profile-bag-info-value": _agreed("Bag-Info", "a value that is not accepted"),
    "profile-bag-info-repeatable": _agreed("Bag-Info", "a label that stands twice"),
    "profile-manifest-required": _agreed("Manifests-Required", "a manifest is absent"),
    "profile-manifest-allowed": _agreed("Manifests-Allowed", "a manifest is refused"),
    "profile-tag-manifest-required": _agreed(
        "Tag-Manifests-Required", "a tag manifest is absent"
    ),
    "profile-tag-manifest-allowed": _agreed(
        "Tag-Manifests-Allowed", "a tag manifest is refused"
    ),
    "profile-tag-file-required": _agreed("Tag-Files-Required", "a tag file is absent"),
    "profile-tag-file-allowed": _agreed("Tag-Files-Allowed", "a tag file is refused"),
    "profile-payload-required": _agreed(
        "Payload-Files-Required", "a payload file or folder is absent"
    ),
    "profile-payload-allowed": _agreed(
        "Payload-Files-Allowed", "a payload file is refused"
    ),
    "profile-dormant-field": _agreed(
        "BagIt-Profile-Version",
        "a rule of the profile that is newer than the version it declares",
        WARNING,
    ),
}

METADATA = {  # of our own bags
    "premis-malformed": Rule(
        clause="PREMIS 3.0, schema", meaning="premis.xml is not PREMIS as we write it"
    ),
    "premis-reference": Rule(
        clause="PREMIS 3.0, identifiers",
        meaning="premis.xml links to, or describes, what is not there",
    ),
    "premis-fixity": Rule(
        clause="PREMIS 3.0, fixity",
        meaning="premis.xml tells other sizes or digests than the bag",
    ),
    "metadata-malformed": Rule(
        clause="RFC 4180 2", meaning="metadata.csv or rights.csv is no such table"
    ),
    "metadata-reference": Rule(
        clause="Archivematica, metadata.csv",
        meaning="a row of metadata.csv or rights.csv is of no file of the bag",
    ),
    "label-mismatch": Rule(
        clause="muniment-capture/1",
        meaning="bag-info.txt and capture.json, or run.json, tell different things",
    ),
}

RULES = BAG | WARC | PROFILE | METADATA


def finding(
    code: str, path: str, message: str, *, severity: Severity | None = None
) -> Finding:
    """Make a finding with the clause of its code, and its weight unless told."""
    rule = RULES[code]
    return Finding(
        code=code,
        severity=severity or rule.severity,
        path=path,
        message=message,
        clause=rule.clause,
    )


class Verdicts:
    """Findings as they are made: some of each code kept, the rest counted."""

    def __init__(self, *, limit: int, strict: bool = False) -> None:
        self._limit = max(limit, 1)
        self._strict = strict
        self._kept: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
        self._made: Counter[tuple[Severity, str]] = Counter()

    def add(
        self, code: str, path: str, message: str, *, severity: Severity | None = None
    ) -> None:
        """Note one finding."""
        if self._strict and RULES[code].strict:
            severity = ERROR
        key = (severity or RULES[code].severity, code)
        self._made[key] += 1
        if len(self._kept[key]) < self._limit:
            self._kept[key].append(finding(code, path, message, severity=severity))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Note findings made elsewhere."""
        for one in findings:
            self.add(one.code, one.path, one.message, severity=one.severity)

    def findings(self) -> tuple[Finding, ...]:
        """Return what was found, errors first, and what was left out, in words."""
        sizes = {key: len(kept) for key, kept in self._kept.items()}
        shares = _shares(sizes, self._limit)
        kept = [one for key, share in shares.items() for one in self._kept[key][:share]]
        kept += self._left_out(shares)
        return tuple(sorted(kept, key=_order))

    def _left_out(self, shares: dict[tuple[Severity, str], int]) -> list[Finding]:
        more = {
            key: made - shares[key]
            for key, made in self._made.items()
            if made > shares[key]
        }
        if not more:
            return []
        counts = ", ".join(f"{count} of {code}" for (_, code), count in more.items())
        message = f"the report holds {self._limit} findings; left out: {counts}"
        worst = min(severity for severity, _ in more)  # "error" < "warning"
        return [finding("limit", "", message, severity=worst)]


def _shares(
    sizes: dict[tuple[Severity, str], int], limit: int
) -> dict[tuple[Severity, str], int]:
    """Share the room among codes: errors before warnings, small heaps whole."""
    shares: dict[tuple[Severity, str], int] = {}
    for severity in (ERROR, WARNING):
        heaps = sorted((n, key) for key, n in sizes.items() if key[0] is severity)
        for place, (n, key) in enumerate(heaps):
            shares[key] = min(n, max(limit, 0) // (len(heaps) - place))
            limit -= shares[key]
    return shares


def _order(one: Finding) -> tuple[bool, str, str, str]:
    return (one.severity is not ERROR, one.path, one.code, one.message)
