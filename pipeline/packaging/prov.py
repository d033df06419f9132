"""PROV-JSON of an account: which act made which file out of what, and who acted.

Files are named by ``arcp:`` addresses within the bag (the Archive and Package scheme,
made for naming what stands inside a bag wherever the bag lies), acts by their UUIDs.
"""

from itertools import pairwise
from urllib.parse import quote

from pipeline.clock import stamp
from pipeline.model import Artefact, Event, EventType
from pipeline.packaging.account import Account, Agent, AgentKind, made, origins, touched
from pipeline.packaging.rendering import Json, readable

SUBJECT = "bag:subject"
BAG = "bag:bag"
PROV_TYPES = {
    AgentKind.PERSON: "prov:Person",
    AgentKind.ORGANIZATION: "prov:Organization",
    AgentKind.SOFTWARE: "prov:SoftwareAgent",
}


def prov_json(account: Account) -> dict[str, Json]:
    """Tell the account as PROV-JSON (W3C member submission of 24 April 2013)."""
    return {
        "prefix": {"bag": f"arcp://name,{quote(account.bag)}/", "uuid": "urn:uuid:"},
        "entity": _entities(account),
        "activity": {_activity(event): _act(event) for event in account.events},
        "agent": {_agent(agent.kind): _actor(agent) for agent in account.agents},
        **_relations(account),
    }


def _entities(account: Account) -> Json:
    title = account.title or account.identifiers[0][1]
    value = account.identifiers[-1][1]
    return {
        SUBJECT: {"prov:label": readable(title), "prov:value": readable(value)},
        BAG: {"prov:label": account.bag, "prov:type": _name("prov:Collection")},
        **{
            _entity(file): {"prov:label": readable(file.path)} for file in account.files
        },
    }


def _relations(account: Account) -> dict[str, Json]:
    """Count off the relations of each kind, leaving out kinds without any."""
    kinds: dict[str, list[dict[str, Json]]] = {
        "wasGeneratedBy": _generations(account),
        "used": _usages(account),
        "wasAssociatedWith": _associations(account),
        "actedOnBehalfOf": _delegations(account),
        "wasDerivedFrom": _derivations(account),
        "hadMember": [
            {"prov:collection": BAG, "prov:entity": _entity(file)}
            for file in account.files
        ],
    }
    return {
        kind: {f"_:{kind}{n}": row for n, row in enumerate(rows, 1)}
        for kind, rows in kinds.items()
        if rows
    }


def _generations(account: Account) -> list[dict[str, Json]]:
    made_files = [
        (_entity(file), event)
        for event in account.events
        for file in made(account, event)
    ]
    packed = [(BAG, e) for e in account.events if e.type is EventType.PACKAGE]
    return [
        {
            "prov:entity": entity,
            "prov:activity": _activity(event),
            "prov:time": stamp(event.at),
        }
        for entity, event in (*made_files, *packed)
    ]


def _usages(account: Account) -> list[dict[str, Json]]:
    return [
        {"prov:activity": _activity(event), "prov:entity": entity}
        for event in account.events
        for entity in _used(account, event)
    ]


def _used(account: Account, event: Event) -> tuple[str, ...]:
    if event.type is EventType.CAPTURE:
        return (SUBJECT,)
    results, known = made(account, event), origins(account)
    used = [file for file in touched(account, event) if file not in results]
    used += [known[file.path] for file in results if file.path in known]
    return tuple(dict.fromkeys(_entity(file) for file in used))


def _associations(account: Account) -> list[dict[str, Json]]:
    return [
        {"prov:activity": _activity(event), "prov:agent": _agent(agent.kind)}
        for event in account.events
        for agent in account.agents
    ]


def _delegations(account: Account) -> list[dict[str, Json]]:
    """Let the software act for the person, and the person for the organisation."""
    ladder = (AgentKind.SOFTWARE, AgentKind.PERSON, AgentKind.ORGANIZATION)
    present = {agent.kind for agent in account.agents}
    kinds = [kind for kind in ladder if kind in present]
    return [
        {"prov:delegate": _agent(low), "prov:responsible": _agent(high)}
        for low, high in pairwise(kinds)
    ]


def _derivations(account: Account) -> list[dict[str, Json]]:
    known = origins(account)
    return [
        {
            "prov:generatedEntity": _entity(file),
            "prov:usedEntity": _entity(known[file.path]),
        }
        for file in account.files
        if file.path in known
    ]


def _act(event: Event) -> Json:
    moment = stamp(event.at)
    return {
        "prov:startTime": moment,
        "prov:endTime": moment,
        "prov:label": event.type.value,
    }


def _actor(agent: Agent) -> Json:
    label = f"{agent.name} {agent.version}".rstrip()
    return {"prov:type": _name(PROV_TYPES[agent.kind]), "prov:label": readable(label)}


def _name(qualified: str) -> Json:
    return {"$": qualified, "type": "prov:QUALIFIED_NAME"}


def _entity(file: Artefact) -> str:
    return f"bag:{quote(readable(file.path))}"


def _activity(event: Event) -> str:
    return f"uuid:{quote(readable(event.id))}"


def _agent(kind: AgentKind) -> str:
    return f"bag:agent/{kind.value}"
