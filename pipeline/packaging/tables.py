"""metadata.csv, rights.csv and identifiers.json, in the forms Archivematica reads.

Archivematica matches the rows of both tables with the path a file had on arrival, so
that in a bag they begin with ``data/``; it matches identifiers.json after it has moved
``data/objects`` to ``objects``, so that there they do not. Both are as its code has it.
A title or an author may begin with ``=`` or ``@``: the cells are data, see
``pipeline.packaging.rendering``.
"""

from collections.abc import Iterable

from pipeline.clock import stamp
from pipeline.model import Accession, Artefact, Run
from pipeline.packaging.account import terms_of
from pipeline.packaging.rendering import Json, Rendering, csv_file, readable

METADATA_PATH = "data/metadata/metadata.csv"
RIGHTS_PATH = "data/metadata/rights.csv"
RIGHTS_COLUMNS = (
    "file",
    "basis",
    "status",
    "determination_date",
    "jurisdiction",
    "start_date",
    "end_date",
    "terms",
    "citation",
    "note",
    "grant_act",
    "grant_restriction",
    "grant_start_date",
    "grant_end_date",
    "grant_note",
    "doc_id_type",
    "doc_id_value",
    "doc_id_role",
)


def metadata_csv(accession: Accession) -> Rendering:
    """Describe each file of a source's bag in Dublin Core."""
    capture, source = accession.capture, accession.capture.source
    columns = (
        ("dc.title", source.title or capture.page_title or source.url),
        *(("dc.creator", author) for author in source.author or ("",)),
        ("dc.publisher", source.publisher),
        ("dc.date", source.published),
        ("dc.identifier", f"{accession.run.job}/{source.id}"),
        ("dc.source", source.url),
        ("dc.language", source.lang),
        ("dc.rights", source.rights),
        ("dcterms.created", stamp(capture.started)),
        ("dcterms.isPartOf", accession.bag),
    )
    return _metadata(columns, capture.artefacts)


def run_metadata_csv(run: Run, files: Iterable[Artefact]) -> Rendering:
    """Describe each file of a run's own bag in Dublin Core."""
    columns = (
        ("dc.title", run.title or run.job),
        ("dc.creator", run.operator.organisation or run.operator.name),
        ("dc.identifier", run.id),
        ("dc.source", run.document.url if run.document else ""),
        ("dcterms.created", stamp(run.started)),
    )
    return _metadata(columns, files)


def rights_csv(accession: Accession) -> Rendering:
    """State for each file who may see it, and what the manifest says of rights.

    It is always made: ``access`` always has a value, and an archive that holds a
    copy must not take silence for leave to publish.
    """
    terms = terms_of(accession)
    stated = {
        "basis": "policy",
        "note": terms.rights,
        "grant_act": "disseminate",
        "grant_restriction": terms.restriction,
        "grant_start_date": terms.since.date().isoformat(),
        "grant_end_date": "open",
        "grant_note": terms.note,
    }
    rows = [
        [artefact.path, *(stated.get(column, "") for column in RIGHTS_COLUMNS[1:])]
        for artefact in accession.capture.artefacts
    ]
    return csv_file(RIGHTS_PATH, RIGHTS_COLUMNS, rows)


def identifiers_json(accession: Accession) -> Json:
    """Bind our own names to the package and to each of its files."""
    run, source = accession.run, accession.capture.source
    package = {
        "Muniment bag": accession.bag,
        "Muniment source": f"{run.job}/{source.id}",
        "Muniment run": run.id,
    }
    files = {
        artefact.path.removeprefix("data/"): {
            "Muniment file": f"{accession.bag}/{artefact.path}"
        }
        for artefact in accession.capture.artefacts
    }
    return [_bound(path, names) for path, names in {"": package, **files}.items()]


def _bound(path: str, names: dict[str, str]) -> Json:
    return {
        "file": readable(path),
        "identifiers": [
            {"identifierType": kind, "identifier": readable(name)}
            for kind, name in names.items()
        ],
    }


def _metadata(
    columns: tuple[tuple[str, str], ...], files: Iterable[Artefact]
) -> Rendering:
    header = ["filename", *(name for name, _ in columns), "dc.format"]
    values = [value for _, value in columns]
    rows = [[file.path, *values, file.media_type] for file in files]
    return csv_file(METADATA_PATH, header, rows)
