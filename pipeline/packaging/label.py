"""bag-info.txt: what stands on the outside of a bag.

The order is kept: the fields of the Beyond the Repository profile, then how the bag
stands to its run, then what it is evidence of. Empty fields are left out; every value
is one line. ``package.info`` of the manifest may say who sends the bag and may add
fields; it may not restate what the program itself states as fact (``FACTS`` and
``Evidence-*``): such a field is left out.
"""

from datetime import UTC, datetime

from pipeline.clock import stamp
from pipeline.model import Accession, Document, Operator, Previous, Run
from pipeline.packaging.rendering import one_line

Info = tuple[tuple[str, str], ...]

PROFILE = "urn:muniment:bagit-profile:1"  # our own; a test holds it against its file

SIGNER = "Evidence-Signer"  # the fingerprint of whoever seals the bag

SENDER = (  # the Beyond the Repository profile 1.0, in its order
    "Source-Organization",
    "Organization-Address",
    "Contact-Name",
    "Contact-Phone",
    "Contact-Email",
    "External-Description",
    "Bagging-Date",
    "Internal-Sender-Identifier",
    "Internal-Sender-Description",
    "Payload-Identifier",
    "Bag-Producing-Organization",
)
FACTS = (
    "Bagging-Date",
    "Bag-Size",
    "Payload-Oxum",
    "External-Identifier",
    "Bag-Group-Identifier",
    "Bag-Count",
    "Bag-Software-Agent",
    "BagIt-Profile-Identifier",
)


def bag_info(
    accession: Accession, *, info: Info = (), number: int | None = None
) -> Info:
    """Label a source's bag; ``number`` is its place among the bags of its run.

    How many bags a run will make is not known while it is under way, so that a source's
    bag says ``3 of ?`` (RFC 8493 2.2.2) and the run's own bag, the last, says of how
    many. ``info`` is the manifest's ``package.info``.
    """
    capture, run = accession.capture, accession.run
    source = capture.source
    return _in_order(
        sender=(
            *_sender(run.operator),
            ("External-Description", f"Web capture of {source.title or source.url}"),
            ("Bagging-Date", _day(accession.packed_at)),
            ("Internal-Sender-Identifier", accession.bag),
        ),
        facts=(
            ("External-Identifier", f"{run.job}/{source.id}"),
            ("Bag-Group-Identifier", run.id),
            ("Bag-Count", f"{number} of ?" if number else ""),
            ("Bag-Software-Agent", run.software),
            ("BagIt-Profile-Identifier", PROFILE),
            ("Evidence-Citing-Document", _cited_by(run.document)),
            ("Evidence-Source-URL", source.url),
            ("Evidence-Captured-At", stamp(capture.started)),
            ("Evidence-Verdict", capture.verdict.value),
            (SIGNER, run.signer),
            ("Evidence-Access", source.access.value),
            ("Evidence-Rights", source.rights),
            *_chain(accession.previous),
        ),
        info=info,
    )


def run_bag_info(run: Run, *, packed_at: datetime, info: Info = (), bags: int) -> Info:
    """Label a run's own bag, the last of ``bags``."""
    return _in_order(
        sender=(
            *_sender(run.operator),
            ("External-Description", f"Record of one run of {run.title or run.job}"),
            ("Bagging-Date", _day(packed_at)),
            ("Internal-Sender-Identifier", run.id),
        ),
        facts=(
            ("External-Identifier", f"{run.job}/run"),
            ("Bag-Group-Identifier", run.id),
            ("Bag-Count", f"{bags} of {bags}"),
            ("Bag-Software-Agent", run.software),
            ("BagIt-Profile-Identifier", PROFILE),
            ("Evidence-Citing-Document", _cited_by(run.document)),
            ("Evidence-Captured-At", stamp(run.started)),
            (SIGNER, run.signer),
        ),
        info=info,
    )


def _sender(operator: Operator) -> Info:
    return (
        ("Source-Organization", operator.organisation or operator.name),
        ("Contact-Name", operator.name),
        ("Contact-Email", operator.contact if "@" in operator.contact else ""),
    )


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _cited_by(document: Document | None) -> str:
    if document is None:
        return ""
    place = document.url or document.file
    if document.title and place:
        return f"{document.title} <{place}>"
    return document.title or place


def _chain(previous: Previous | None) -> Info:
    if previous is None:
        return ()
    digest = previous.tagmanifest
    known = digest.hex if digest and digest.algorithm == "sha512" else ""
    return (
        ("Evidence-Previous-Bag", previous.bag),
        ("Evidence-Previous-Tagmanifest-SHA512", known),
    )


def _in_order(*, sender: Info, facts: Info, info: Info) -> Info:
    """Let ``info`` speak for the sender where it does, and add what it adds."""
    given = [(_field(name), value) for name, value in info]
    said = {name.casefold() for name, _ in given}
    ours = [pair for pair in sender if pair[0].casefold() not in said or _is_fact(pair)]
    added = [pair for pair in given if not _is_fact(pair)]
    places = {name.casefold(): place for place, name in enumerate(SENDER)}
    about = [p for p in (*ours, *added) if p[0].casefold() in places]
    about.sort(key=lambda pair: places[pair[0].casefold()])
    rest = [pair for pair in added if pair[0].casefold() not in places]
    lines = ((name, one_line(value)) for name, value in (*about, *facts, *rest))
    return tuple((name, value) for name, value in lines if name and value)


def _field(name: str) -> str:
    # RFC 8493 2.2.2: a label holds no colon and no white space at its ends
    return one_line(name.replace(":", " "))


def _is_fact(pair: tuple[str, str]) -> bool:
    name = pair[0].casefold()
    return name.startswith("evidence-") or name in {fact.casefold() for fact in FACTS}
