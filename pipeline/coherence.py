"""Whether log, catalogue, records of checks and receipts tell of one archive.

None of them is believed more than the log, and the log itself is examined elsewhere.
What a bag is, and whether it is there, is left to whoever inspects bags.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from pipeline.errors import PipelineError
from pipeline.holdings import receipts
from pipeline.holdings.ledger import finding
from pipeline.holdings.store import INDEX, Store
from pipeline.holdings.survey import Survey
from pipeline.model import Finding, Severity

MOST = 20  # of one kind about the catalogue; the rest are counted
CATALOGUE = "Muniment: the catalogue tells what the bags and the log do"
PIECE = 1 << 20


def findings(store: Store, survey: Survey, here: Collection[str]) -> Iterator[Finding]:
    """Hold the log against what stands beside the bags; ``here`` are their paths."""
    yield from _bounded(catalogue_findings(store.root, survey, here))
    yield from _bounded(record_findings(store.root, survey))
    yield from receipt_findings(store, survey)


def receipt_findings(store: Store, survey: Survey) -> Iterator[Finding]:
    """Say which receipts are damaged, replayed, gone or not in the log."""
    paths = tuple(store.receipts.paths())
    for one in receipts.judge(paths, frozenset(survey.receipts.values())):
        where = one.path
        with suppress(ValueError):
            where = Path(where).relative_to(store.root).as_posix()
        yield replace(one, path=where)
    for path in survey.receipts:
        if not (store.root / path).is_file():
            yield Finding(
                code="receipt-missing",
                severity=Severity.ERROR,
                path=path,
                message="the custody log has this receipt, and it is not there; bring "
                "it back from a copy",
                clause=receipts.CLAUSE,
            )


def catalogue_findings(
    root: Path, survey: Survey, here: Collection[str]
) -> Iterator[Finding]:
    """Say where the catalogue is absent, behind, or at odds with the log."""
    try:
        catalogue = Store.reading(root)
    except PipelineError as error:
        if survey.bags:
            yield _of_catalogue(str(error))
        return
    try:
        listed = set()
        for path, digests in catalogue.places():
            listed.add(path)
            book = survey.bags.get(path)
            if book is not None and {*book.tagmanifests} != {*digests}:
                message = f"{path}: it names other digests than the log does"
                yield _of_catalogue(message, Severity.ERROR)
            elif path not in here and (book is None or book.is_aside):
                yield _of_catalogue(f"{path}: it lists a bag that is not there")
        for path in here:
            if path not in listed:
                yield _of_catalogue(f"{path}: it does not list this bag")
    except PipelineError as error:
        yield _of_catalogue(str(error))
    finally:
        catalogue.close()


def record_findings(root: Path, survey: Survey) -> Iterator[Finding]:
    """Say which records of fixity checks are not those that the log names."""
    for place, digest in survey.records.items():
        if digest is None:
            continue
        made = hashlib.new(digest.algorithm)
        try:
            with (root / place).open("rb") as file:
                for piece in iter(lambda: file.read(PIECE), b""):
                    made.update(piece)
            told = f"{digest.algorithm}:{made.hexdigest()}"
        except OSError as error:
            told = f"none: {error.strerror}"
        if told != str(digest):
            message = f"the log has {digest}, found {told}; bring it back from a copy"
            yield finding("ledger-checks", place, message)


def _of_catalogue(message: str, severity: Severity = Severity.WARNING) -> Finding:
    advice = "`muniment catalogue rebuild` makes it anew"
    told = message if "rebuild" in message else f"{message}; {advice}"
    return Finding(
        code="catalogue",
        severity=severity,
        path=f".muniment/{INDEX}",
        message=told,
        clause=CATALOGUE,
    )


def _bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Let the first of each severity through, and count the rest in one more."""
    counts: dict[Severity, int] = {}
    last: dict[Severity, Finding] = {}
    for one in findings:
        counts[one.severity] = counts.get(one.severity, 0) + 1
        last[one.severity] = one
        if counts[one.severity] <= MOST:
            yield one
    for severity, count in counts.items():
        if count > MOST:
            message = f"and {count - MOST} more like these"
            yield replace(last[severity], path="", message=message)
