"""README.txt: what a bag is, how to check it and how to replay it, in plain words.

ASCII, at most 72 columns, and nothing in it to run but the commands that every system
brings along: they work as they stand, from inside the bag's folder. A name that ASCII
cannot spell is looked up where it stands in full.
"""

import textwrap
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from pipeline.clock import stamp
from pipeline.fixity import ALGORITHMS
from pipeline.model import Accession, Document, Run, Verdict
from pipeline.packaging.account import WARC_PATH
from pipeline.packaging.rendering import one_line

WIDTH = 72
ASSERTED = "(time asserted by this machine only)"
STAMPED = "(by this machine; seal-0001.*.tsr, if here, say it by others)"
ELSEWHERE = "(not in ASCII; see {})"
CAPTURE_PATH = "data/metadata/capture.json"
RUN_PATH = "data/metadata/run.json"
PUNCTUATION = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
        "\u00a0": " ",
    }
)
MEANINGS = {
    Verdict.CAPTURED: "The source was captured.",
    Verdict.PARTIAL: "The source was captured in part: it was cut short.",
    Verdict.SUSPECT: "Something was captured that may not be the source itself.",
    Verdict.REFUSED: "The server refused the source. Its answer was kept.",
    Verdict.FAILED: "No answer was had. The attempts were kept.",
    Verdict.UNCHANGED: "The source was as at the visit before.",
    Verdict.SKIPPED: "The source was not visited.",
}
RECORDS = {
    CAPTURE_PATH: "the whole story of this capture in one file",
    "data/metadata/premis.xml": "the same for repositories (PREMIS 3.0)",
    "data/metadata/prov.json": "which act made which file (PROV-JSON)",
    "data/metadata/metadata.csv": "description (Dublin Core); cells are data",
    "data/metadata/rights.csv": "who may see the bag; cells are data",
}
RUN_RECORDS = {
    RUN_PATH: "the outcome of every source of the run",
    "data/metadata/submissionDocumentation/manifest.yaml": "the manifest as written",
    "data/metadata/submissionDocumentation/plan.json": "the plan, made beforehand",
    "data/metadata/premis.xml": "the same for repositories (PREMIS 3.0)",
}
NOT_ASSERTED = (
    (
        "That what the source says is true. A quote that was found shows that the "
        "words stand on the page, no more."
    ),
    (
        "That whoever ran the server is who the page says it is. Addresses and "
        "certificates are recorded as they were met, no more."
    ),
    "That another visitor, at another time or place, was shown the same.",
)
UNSTAMPED = "That the times are right: they are asserted by this machine only."
STAMPABLE = (
    "That the times of single acts are right: they are this machine's. A timestamp "
    "shows that the whole bag stood at its time, and no more."
)
UNSIGNED = "Who packed this bag. The digests show that it is as it was packed."
SIGNED = (
    "That the name in the certificate is the name of whoever packed this bag. "
    "Compare the fingerprint with one that you had from them."
)


def readme(accession: Accession, *, algorithms: tuple[str, ...] = ALGORITHMS) -> bytes:
    """Write the README.txt of a source's bag with manifests of these algorithms."""
    capture, run = accession.capture, accession.run
    source = capture.source
    facts = {
        "Bag": accession.bag,
        "Source": f"{run.job}/{source.id}",
        "Title": _ascii(source.title or capture.page_title, CAPTURE_PATH),
        "Address": _url(source.url),
        "Cited by": _cited_by(run.document, CAPTURE_PATH),
        "Verdict": capture.verdict.value,
        "Reasons": ", ".join(capture.reasons),
        "Begun": stamp(capture.started),
        "Ended": stamp(capture.ended),
        "": STAMPED if run.authorities else ASSERTED,
        "Kept by": _operator(run, CAPTURE_PATH),
        "Software": _ascii(run.software, CAPTURE_PATH),
    }
    files = {
        _url(artefact.path): _ascii(artefact.media_type, CAPTURE_PATH)
        for artefact in capture.artefacts
    }
    return _page(
        "A WEB SOURCE, KEPT AS EVIDENCE",
        _wrapped(
            "This folder is a bag (BagIt, RFC 8493). It keeps one web source that a "
            "document cites, as it was met at one visit."
        ),
        _table(facts),
        _wrapped(MEANINGS[capture.verdict]),
        "WHAT IS IN IT",
        _table({**files, **RECORDS}),
        *_checks(algorithms),
        *_seals(run),
        *(_replay(capture.final_url or source.url) if WARC_PATH in files else ()),
        *_limits(run),
    )


def run_readme(
    run: Run,
    *,
    packed_at: datetime,
    files: Iterable[str] = (),
    algorithms: tuple[str, ...] = ALGORITHMS,
) -> bytes:
    """Write the README.txt of a run's own bag; ``files`` are those in data/objects."""
    facts = {
        "Bag": run.id,
        "Job": run.job,
        "Title": _ascii(run.title, RUN_PATH),
        "Document": _cited_by(run.document, RUN_PATH),
        "Begun": stamp(run.started),
        "Packed": stamp(packed_at),
        "": STAMPED if run.authorities else ASSERTED,
        "Kept by": _operator(run, RUN_PATH),
        "Software": _ascii(run.software, RUN_PATH),
    }
    kept = dict.fromkeys((_url(path) for path in files), "kept in this run")
    return _page(
        "A RUN, AND WHAT CAME OF EVERY SOURCE IN IT",
        _wrapped(
            "This folder is a bag (BagIt, RFC 8493). It records one run over the "
            "sources that a document cites: what was planned and what came of it. "
            "Each source that was kept has a bag of its own."
        ),
        _table(facts),
        "WHAT IS IN IT",
        _table({**kept, **RUN_RECORDS}),
        *_checks(algorithms),
        *_seals(run),
        *_limits(run),
    )


def _checks(algorithms: tuple[str, ...]) -> tuple[str, ...]:
    lists = [
        (kind, name) for name in algorithms for kind in ("manifest", "tagmanifest")
    ]
    names = [f"{kind}-{name}.txt" for kind, name in lists]
    last = algorithms[0]
    return (
        "HOW TO CHECK IT",
        _wrapped("Open a terminal in this folder. On Linux:"),
        _commands(
            f"{name}sum -c {file}" for (_, name), file in zip(lists, names, strict=True)
        ),
        _wrapped("On macOS:"),
        _commands(
            f"shasum -a {name.removeprefix('sha')} -c {file}"
            for (_, name), file in zip(lists, names, strict=True)
            if name.startswith("sha")
        ),
        _wrapped(
            "Every line must end in OK. To see that no file was added to data, "
            "compare two numbers, which must be the same:"
        ),
        _commands(("find data -type f | wc -l", f"wc -l < manifest-{last}.txt")),
        _wrapped("On Windows, in PowerShell:"),
        _commands(
            (
                "Get-ChildItem -Recurse -File data |",
                f"  Get-FileHash -Algorithm {last.upper()} | Format-List",
                f"Get-FileHash -Algorithm {last.upper()} *.txt | Format-List",
            )
        ),
        _wrapped(
            f"and compare with the lines of manifest-{last}.txt and "
            f"tagmanifest-{last}.txt; capital letters make no difference."
        ),
    )


def _replay(url: str) -> tuple[str, ...]:
    return (
        "HOW TO REPLAY IT",
        _wrapped(
            f"{WARC_PATH} holds the requests and the answers, byte for byte, as "
            "WARC 1.1 (ISO 28500); secrets in requests are masked at equal length, "
            "and an answer that was cut short is marked. Any player of WARC files "
            "opens it and shows the page at this address:"
        ),
        _wrapped(_url(url), indent="    "),
    )


def _seals(run: Run) -> tuple[str, ...]:
    """Say how openssl alone checks who sealed the bag, and when."""
    if not run.signer:
        return ()
    who = run.signer.removeprefix("sha256:")
    return (
        "HOW TO CHECK ITS SEAL",
        _wrapped(
            "seal-0001.json names the digests of the tag manifests. Whoever packed the "
            "bag signed it with the certificate of this SHA-256 fingerprint:"
        ),
        _commands((who[:32], who[32:])),
        _wrapped("Print whose signature it is, and compare; then check it:"),
        _commands(
            (
                "openssl pkcs7 -inform DER -in seal-0001.json.p7s \\",
                "  -print_certs -out signer.pem",
                "openssl x509 -in signer.pem -noout -subject \\",
                "  -fingerprint -sha256",
                "openssl cms -verify -binary -cades -inform DER \\",
                "  -content seal-0001.json -in seal-0001.json.p7s \\",
                "  -CAfile signer.pem -out /dev/null",
                "sha256sum tagmanifest-*.txt | cut -d' ' -f1 | \\",
                "  grep -c -F -f - seal-0001.json",
            )
        ),
        _wrapped(
            "The last line must print the number of tag manifests. Delete signer.pem, "
            "which is no part of the bag."
        ),
        *_stamps(run.authorities),
    )


def _stamps(authorities: tuple[str, ...]) -> tuple[str, ...]:
    if not authorities:
        return ()
    return (
        _wrapped(
            f"Timestamps were asked of {', '.join(authorities)}. For each, get the "
            "root certificate from the authority itself, never from this bag; then:"
        ),
        _commands(
            (
                "openssl ts -verify -data seal-0001.json.p7s \\",
                "  -in seal-0001.NAME.tsr -CAfile ROOT.pem \\",
                "  -untrusted seal-0001.NAME.pem",
                "openssl ts -reply -in seal-0001.NAME.tsr -text",
            )
        ),
        _wrapped(
            "The plan of the run was stamped before its first request, in "
            "data/metadata/submissionDocumentation: commitment.json is the data, "
            "plan.NAME.tsr the timestamp. Its SHA-256 stands in every WARC."
        ),
    )


def _limits(run: Run) -> tuple[str, ...]:
    lines = (
        *NOT_ASSERTED,
        STAMPABLE if run.authorities else UNSTAMPED,
        SIGNED if run.signer else UNSIGNED,
    )
    return (
        "WHAT IS NOT ASSERTED",
        "\n".join(_wrapped(line, first="- ", indent="  ") for line in lines),
    )


def _page(*blocks: str) -> bytes:
    return ("\n\n".join(block for block in blocks if block) + "\n").encode("ascii")


def _table(rows: dict[str, str]) -> str:
    """Set names beside values, or above them where the names are long."""
    known = {name: value for name, value in rows.items() if value}
    wide = max(len(name) for name in known)
    if wide <= len("Document"):
        return "\n".join(
            _wrapped(value, first=f"  {name:<10}", indent=" " * 12)
            for name, value in known.items()
        )
    return "\n".join(
        _wrapped(name, first="  ", indent="  ")
        + "\n"
        + _wrapped(value, indent="      ")
        for name, value in known.items()
    )


def _wrapped(text: str, *, indent: str = "", first: str | None = None) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _commands(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _cited_by(document: Document | None, elsewhere: str) -> str:
    if document is None:
        return ""
    return ", ".join(
        part for part in (_ascii(document.title, elsewhere), _url(document.url)) if part
    )


def _operator(run: Run, elsewhere: str) -> str:
    named = (run.operator.name, run.operator.organisation)
    return _ascii(", ".join(name for name in named if name), elsewhere)


def _ascii(text: str, elsewhere: str) -> str:
    plain = one_line(text).translate(PUNCTUATION)
    return plain if plain.isascii() else ELSEWHERE.format(elsewhere)


def _url(url: str) -> str:
    plain = one_line(url)
    return "".join(c if c.isascii() and c != " " else quote(c) for c in plain)
