"""PREMIS 3.0 of an account: what a repository keeps of a thing, its acts and actors.

The source is an intellectual entity, the capture a representation of it, and every
file of ``data/objects`` a file with fixity, size and format. Terms carry the address
they have in the vocabularies of the Library of Congress.

Archivematica reads events out of this file and turns it down whole unless each file
gives its path in the transfer as original name, each event links to a file and to an
agent, and no event links to anything else. So an event links to files alone, and the
representation links to the event. The prefix ``premis:`` is part of that agreement.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from xml.etree.ElementTree import Element

from pipeline.clock import stamp
from pipeline.model import Artefact, Digest, Event, EventType
from pipeline.packaging.account import (
    Account,
    Agent,
    AgentKind,
    Terms,
    made,
    origins,
    touched,
)
from pipeline.packaging.formats import format_of
from pipeline.packaging.rendering import Rendering, xml_text

NAMESPACE = "http://www.loc.gov/premis/v3"
SCHEMA = "http://www.loc.gov/standards/premis/v3/premis.xsd"
VOCABULARY = "http://id.loc.gov/vocabulary/preservation"

EVENT_CODES = {
    EventType.CAPTURE: "cap",
    EventType.DIGEST: "mes",
    EventType.FORMAT: "for",
    EventType.CREATION: "cre",
    EventType.PACKAGE: "ipc",
    EventType.METADATA: "mee",
    EventType.TRANSFER: "tra",
}
OUTCOME_CODES = {"success": "suc", "failure": "fai", "warning": "war"}
AGENT_CODES = {
    AgentKind.PERSON: "per",
    AgentKind.ORGANIZATION: "org",
    AgentKind.SOFTWARE: "sof",
}
DIGEST_CODES = {"md5": "md5", "sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}
DIGEST_LABELS = {"sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}
RELATIONS = {
    "is Represented By": ("structural", "str", "isr"),
    "represents": ("structural", "str", "rep"),
    "has Part": ("structural", "str", "hsp"),
    "is Part Of": ("structural", "str", "isp"),
    "has Source": ("derivation", "der", "hss"),
    "is Source Of": ("derivation", "der", "iso"),
}


def premis_xml(path: str, account: Account) -> Rendering:
    """Render the account as a PREMIS document."""
    root = Element(
        "premis:premis",
        {
            "xmlns:premis": NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{NAMESPACE} {SCHEMA}",
            "version": "3.0",
        },
    )
    root.append(_entity(account))
    root.append(_representation(account))
    root.extend(_files(account))
    root.extend(_event(account, event) for event in account.events)
    root.extend(_agent(agent) for agent in account.agents)
    if account.terms:
        root.append(_rights(account, account.terms))
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return Rendering(path=path, data=data + b"\n", media_type="application/xml")


def _entity(account: Account) -> Element:
    entity = _object("intellectualEntity", account.identifiers)
    if account.title:
        title = _add(entity, "significantProperties")
        _add(title, "significantPropertiesType", "title")
        _add(title, "significantPropertiesValue", account.title)
    _relate(entity, "is Represented By", [account.bag])
    return entity


def _representation(account: Account) -> Element:
    bag = _object("representation", [("local", account.bag)])
    _relate(bag, "represents", [account.identifiers[0][1]])
    _relate(bag, "has Part", [_file_id(account, file.path) for file in account.files])
    _link_acts(bag, account, [event.id for event in account.events])
    return bag


def _files(account: Account) -> Iterable[Element]:
    sources = origins(account)
    derived: dict[str, list[str]] = {}
    for path, source in sources.items():
        derived.setdefault(source.path, []).append(_file_id(account, path))
    acts: dict[str, list[str]] = {}
    for event in account.events:
        for file in touched(account, event):
            acts.setdefault(file.path, []).append(event.id)
    for file in account.files:
        element = _object("file", [("local", _file_id(account, file.path))])
        _characteristics(element, file)
        _add(element, "originalName", file.path)
        _relate(element, "is Part Of", [account.bag])
        source_id = [_file_id(account, s.path) for s in [sources.get(file.path)] if s]
        _relate(element, "has Source", source_id)
        _relate(element, "is Source Of", derived.get(file.path, []))
        _link_acts(element, account, acts.get(file.path, []))
        yield element


def _link_acts(element: Element, account: Account, event_ids: Iterable[str]) -> None:
    for event_id in event_ids:
        _identify(element, "linkingEventIdentifier", "UUID", event_id)
    if account.terms:
        name = "linkingRightsStatementIdentifier"
        _identify(element, name, "local", _rights_id(account))


def _characteristics(parent: Element, file: Artefact) -> None:
    element = _add(parent, "objectCharacteristics")
    for digest in file.digests:
        _fixity(element, digest)
    _add(element, "size", str(file.size))
    known = format_of(file)
    described = _add(element, "format")
    designation = _add(described, "formatDesignation")
    _add(designation, "formatName", known.name)
    if known.version:
        _add(designation, "formatVersion", known.version)
    if known.puid:
        registry = _add(described, "formatRegistry")
        _add(registry, "formatRegistryName", "PRONOM")
        _add(registry, "formatRegistryKey", known.puid)
    if known.note:
        _add(described, "formatNote", known.note)


def _fixity(parent: Element, digest: Digest) -> None:
    fixity = _add(parent, "fixity")
    label = DIGEST_LABELS.get(digest.algorithm, digest.algorithm.upper())
    code = DIGEST_CODES.get(digest.algorithm, "")
    _term(fixity, "messageDigestAlgorithm", label, "cryptographicHashFunctions", code)
    _add(fixity, "messageDigest", digest.hex)


def _event(account: Account, event: Event) -> Element:
    element = Element("premis:event")
    _identify(element, "eventIdentifier", "UUID", event.id)
    code = EVENT_CODES[event.type]
    _term(element, "eventType", event.type.value, "eventType", code)
    _add(element, "eventDateTime", stamp(event.at))
    if event.detail:
        _add(_add(element, "eventDetailInformation"), "eventDetail", event.detail)
    outcome = _add(element, "eventOutcomeInformation")
    code = OUTCOME_CODES.get(event.outcome, "")
    _term(outcome, "eventOutcome", event.outcome, "eventOutcome", code)
    for agent in account.agents:
        _link_agent(element, agent)
    results = made(account, event)
    for file in touched(account, event):
        file_id = _file_id(account, file.path)
        link = _identify(element, "linkingObjectIdentifier", "local", file_id)
        label, code = ("outcome", "out") if file in results else ("source", "sou")
        _term(link, "linkingObjectRole", label, "eventRelatedObjectRole", code)
    return element


def _link_agent(event: Element, agent: Agent) -> None:
    link = _identify(event, "linkingAgentIdentifier", "local", agent.id)
    software = agent.kind is AgentKind.SOFTWARE
    label, code = ("executing program", "exe") if software else ("implementer", "imp")
    _term(link, "linkingAgentRole", label, "eventRelatedAgentRole", code)


def _agent(agent: Agent) -> Element:
    element = Element("premis:agent")
    _identify(element, "agentIdentifier", "local", agent.id)
    _add(element, "agentName", agent.name)
    code = AGENT_CODES[agent.kind]
    _term(element, "agentType", agent.kind.value, "agentType", code)
    if agent.version:
        _add(element, "agentVersion", agent.version)
    for note in agent.notes:
        _add(element, "agentNote", note)
    return element


def _rights(account: Account, terms: Terms) -> Element:
    rights = Element("premis:rights")
    statement = _add(rights, "rightsStatement")
    _identify(statement, "rightsStatementIdentifier", "local", _rights_id(account))
    _term(statement, "rightsBasis", "other", "rightsBasis", "oth")
    other = _add(statement, "otherRightsInformation")
    _add(other, "otherRightsBasis", "policy")
    if terms.rights:
        _add(other, "otherRightsNote", terms.rights)
    granted = _add(statement, "rightsGranted")
    _add(granted, "act", "disseminate")
    _add(granted, "restriction", terms.restriction)
    _add(_add(granted, "termOfGrant"), "startDate", terms.since.date().isoformat())
    _add(granted, "rightsGrantedNote", terms.note)
    file_ids = (_file_id(account, file.path) for file in account.files)
    for object_id in (account.bag, *file_ids):
        _identify(statement, "linkingObjectIdentifier", "local", object_id)
    return rights


def _file_id(account: Account, path: str) -> str:
    return f"{account.bag}/{path}"


def _rights_id(account: Account) -> str:
    return f"{account.bag}/rights"


def _object(kind: str, identifiers: Iterable[tuple[str, str]]) -> Element:
    element = Element("premis:object", {"xsi:type": f"premis:{kind}"})
    for id_type, value in identifiers:
        _identify(element, "objectIdentifier", id_type, value)
    return element


def _relate(parent: Element, relation: str, object_ids: list[str]) -> None:
    if not object_ids:
        return
    label, type_code, code = RELATIONS[relation]
    element = _add(parent, "relationship")
    _term(element, "relationshipType", label, "relationshipType", type_code)
    _term(element, "relationshipSubType", relation, "relationshipSubType", code)
    for object_id in object_ids:
        _identify(element, "relatedObjectIdentifier", "local", object_id)


def _identify(parent: Element, name: str, id_type: str, value: str) -> Element:
    element = _add(parent, name)
    _add(element, f"{name}Type", id_type)
    _add(element, f"{name}Value", value)
    return element


def _term(parent: Element, name: str, label: str, vocabulary: str, code: str) -> None:
    term = _add(parent, name, label)
    if code:
        term.set("authority", vocabulary)
        term.set("authorityURI", f"{VOCABULARY}/{vocabulary}")
        term.set("valueURI", f"{VOCABULARY}/{vocabulary}/{code}")


def _add(parent: Element, name: str, text: str = "") -> Element:
    element = ET.SubElement(parent, f"premis:{name}")
    if text:
        element.text = xml_text(text)
    return element
