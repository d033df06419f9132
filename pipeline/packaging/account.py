"""An account of a bag: its subject, its files, what was done and by whom.

PREMIS and PROV are two renderings of the same account, so that they cannot disagree.
It resolves what an event names: a path is that file, a record id is the WARC that
holds the record, and an event that names nothing of the bag concerns what was captured.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from pipeline.model import Access, Accession, Artefact, Event, EventType, Run

WARC_PATH = "data/objects/capture.warc.gz"
_RESTRICTIONS = {
    Access.OPEN: ("Allow", "anyone may see the bag"),
    Access.INTERNAL: ("Conditional", "only those who keep it may see the bag"),
    Access.RESTRICTED: ("Disallow", "only those the operator names may see the bag"),
}


class AgentKind(StrEnum):
    """What an agent is, by the labels of the Library of Congress vocabulary."""

    PERSON = "person"
    ORGANIZATION = "organization"
    SOFTWARE = "software"


class Agent(Struct, frozen=True, kw_only=True):
    """Who or what acted; there is at most one of each kind."""

    kind: AgentKind
    name: str
    version: str = ""
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name the agent apart from agents of other kinds and versions."""
        return f"{self.kind}:{self.name} {self.version}".rstrip()


class Terms(Struct, frozen=True, kw_only=True):
    """What the operator says of rights, and who may see the bag."""

    access: Access
    rights: str
    since: datetime

    @property
    def restriction(self) -> str:
        """Say it in Archivematica's words: Allow, Conditional or Disallow."""
        return _RESTRICTIONS[self.access][0]

    @property
    def note(self) -> str:
        """Say it in a sentence."""
        return f"{self.access}: {_RESTRICTIONS[self.access][1]}"


class Account(Struct, frozen=True, kw_only=True):
    """What a bag is of, what it holds, what was done and by whom."""

    bag: str
    identifiers: tuple[tuple[str, str], ...]  # of the subject: type and value
    title: str
    files: tuple[Artefact, ...]
    events: tuple[Event, ...]
    agents: tuple[Agent, ...]
    terms: Terms | None = None


def account_of(accession: Accession, events: tuple[Event, ...] = ()) -> Account:
    """Give the account of a source's bag, with these events after the visit's own."""
    source, run = accession.capture.source, accession.run
    return Account(
        bag=accession.bag,
        identifiers=(("local", f"{run.job}/{source.id}"), ("URL", source.url)),
        title=source.title,
        files=accession.capture.artefacts,
        events=(*accession.capture.events, *events),
        agents=agents_of(run),
        terms=terms_of(accession),
    )


def run_account(
    run: Run, files: tuple[Artefact, ...], events: tuple[Event, ...]
) -> Account:
    """Give the account of a run's own bag."""
    return Account(
        bag=run.id,
        identifiers=(("local", f"{run.job}/run"),),
        title=run.title,
        files=files,
        events=events,
        agents=agents_of(run),
    )


def terms_of(accession: Accession) -> Terms:
    """Gather what the manifest says of rights and access."""
    source = accession.capture.source
    return Terms(access=source.access, rights=source.rights, since=accession.packed_at)


def agents_of(run: Run) -> tuple[Agent, ...]:
    """Name who is known to have acted: a person, an organisation, and the software."""
    named = (
        Agent(kind=AgentKind.PERSON, name=run.operator.name),
        Agent(kind=AgentKind.ORGANIZATION, name=run.operator.organisation),
        _software(run),
    )
    return tuple(agent for agent in named if agent.name)


def _software(run: Run) -> Agent:
    name, _, version = run.software.rpartition(" ")
    agent = Agent(
        kind=AgentKind.SOFTWARE,
        name=name or run.software,
        notes=tuple(f"{part} {number}" for part, number in run.environment),
    )
    return replace(agent, version=version) if name else agent


def touched(account: Account, event: Event) -> tuple[Artefact, ...]:
    """Find the files an event concerns, each once."""
    files = {file.path: file for file in account.files}
    paths = dict.fromkeys(_path(name) for name in event.objects)
    return tuple(files[path] for path in paths if path in files) or captured(account)


def made(account: Account, event: Event) -> tuple[Artefact, ...]:
    """Find the files that came of an act: a capture's own, or derived ones' making."""
    if event.type not in (EventType.CAPTURE, EventType.CREATION):
        return ()
    derived = event.type is EventType.CREATION
    return tuple(f for f in touched(account, event) if bool(f.derived_from) is derived)


def captured(account: Account) -> tuple[Artefact, ...]:
    """Find the files that came over the wire and were not derived from others."""
    return tuple(file for file in account.files if not file.derived_from)


def origins(account: Account) -> dict[str, Artefact]:
    """Find, by the path of each derived file, the file of the bag it came from."""
    files = {file.path: file for file in account.files}
    return {
        file.path: files[path]
        for file in account.files
        if (path := _path(file.derived_from)) in files and path != file.path
    }


def _path(name: str) -> str:
    # a record id reads <urn:uuid:...>; every record stands in the one WARC
    return WARC_PATH if name.strip("<>").startswith("urn:") else name
