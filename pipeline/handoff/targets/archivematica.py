"""Archivematica: each bag a transfer of its own, watched until it is stored as an AIP.

The bags are put where Archivematica takes transfers from, read back and hashed; then
each is started as an unzipped bag over its API. What it calls a transfer is noted at
once, so that no bag is started twice. What it stores it makes of what it received: the
receipt binds the latter, says so, and holds its own words about the former.
"""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.handoff.call import Caller
from pipeline.handoff.consignment import Consignment
from pipeline.handoff.copies import MOST_ANSWER, Copies, finding
from pipeline.handoff.target import AbsentError, DepositError, TransientError
from pipeline.model import Bag, Finding, Receipt

TYPE = "unzipped bag"
FIRST_WAIT, LONGEST_WAIT = 2.0, 30.0  # seconds between two looks
PATIENCE = 900.0  # seconds of waiting for one bag, then ``--retry`` goes on
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DONE, WORKING, ASKING = "COMPLETE", "PROCESSING", "USER_INPUT"
BACKLOG = "BACKLOG"
NOT_YET = 400  # what it answers of a transfer that it has only just begun
DENIED = frozenset({401, 403})
CREATED = frozenset({200, 201, 202})


class Pipeline(Struct, frozen=True, kw_only=True):
    """One Archivematica, and how it is to take what comes from us."""

    url: str
    user: str
    key: str
    location: str  # the UUID of the folder that transfers are taken from
    processing: str = ""  # the name of a processing configuration

    def __repr__(self) -> str:
        return f"Pipeline({self.url})"

    def caller(self) -> Caller:
        """Open a line to its API; nothing is asked yet."""
        headers = {"Authorization": f"ApiKey {self.user}:{self.key}"}
        return Caller(self.url, headers)


class Archivematica:
    """A target that makes AIPs of bags."""

    def __init__(self, pipeline: Pipeline, drop: Copies, clock: Clock) -> None:
        self.name = drop.name
        self._pipeline = pipeline
        self._drop = drop  # where transfers are taken from
        self._clock = clock
        self._caller = pipeline.caller()

    def preflight(self) -> None:
        """Raise DepositError where the folder or the key is none."""
        self._drop.preflight()
        path = "/api/processing-configuration/"
        answer = self._caller.ask("GET", path)
        if answer.status in DENIED:
            self._caller.require(answer.status, path, answer.said)
        named = self._pipeline.processing
        if named and answer.status == 200:  # noqa: PLR2004 - OK
            self._require_processing(named, answer.body)

    def deposit(self, consignment: Consignment) -> Receipt:
        """Put the bags, start each that was not started, and see each stored."""
        receipt = self._drop.deposit(consignment)
        begun = _noted(consignment.accepted)
        for bag in consignment.bags:
            if not begun.get(bag.id):
                begun[bag.id] = self._start(bag, consignment)
                consignment.note(f"{bag.id}={begun[bag.id]}")
        told: dict[str, Any] = {}
        for bag in consignment.bags:
            forget = lambda name=bag.id: consignment.note(f"{name}=")  # noqa: E731
            told[bag.id] = self._stored(bag.id, begun[bag.id], forget)
        return replace(
            receipt,
            location=f"{self._pipeline.url} from {receipt.location}",
            transforms=True,
            answer=_answer(told),
        )

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Ask whether each AIP is stored; hash what still stands where it was put."""
        aips = _stored(receipt)
        found = [one for bag, aip in aips for one in self._asked(bag, aip)]
        for bag in receipt.bags:
            if self._stands(receipt, bag.bag):
                mine = _of(receipt, bag.bag)
                found += self._drop.verify(replace(receipt, received=mine))
        return tuple(found)

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Bring back what still stands where it was put, if it does."""
        if not self._stands(receipt, bag):
            raise AbsentError(
                f"{bag}: it stands no longer where {self._pipeline.url} took it from,"
                " and an AIP is not this bag; ask there for the AIP in the receipt"
            )
        return self._drop.fetch(receipt, bag, into)

    def close(self) -> None:
        """Hang up."""
        self._caller.close()
        self._drop.close()

    # ------------------------------------------------------------------------- the API

    def _require_processing(self, named: str, body: bytes) -> None:
        known = json.loads(body).get("processing_configurations", [])
        if known and named not in known:
            raise DepositError(
                f"{self._pipeline.url}: expected a processing configuration {named},"
                f" found {', '.join(map(str, known))}; it would silently take another"
            )

    def _start(self, bag: Bag, consignment: Consignment) -> str:
        """Start a transfer and return its UUID; an answer that is lost starts none."""
        path = f"{self._pipeline.location}:{bag.id}"
        body = {
            "name": bag.id,
            "type": TYPE,
            "path": base64.b64encode(path.encode()).decode(),
            "processing_config": self._pipeline.processing or "automated",
            "auto_approve": True,
            "accession": consignment.bags[0].id,
        }
        lines = consignment.accepted.splitlines()
        attempt = sum(line.startswith(f"{bag.id}=") for line in lines)
        told, answer = self._caller.ask_json(
            "POST",
            "/api/v2beta/package/",
            body=json.dumps(body).encode(),
            headers={"Idempotency-Key": f"{consignment.nonce}-{bag.id}-{attempt}"},
        )
        if answer.status not in CREATED or told.get("error"):
            raise DepositError(
                f"{self._pipeline.url}: {bag.id} is not taken, with status"
                f" {answer.status}: {answer.said}; look at the key, the location and"
                " the processing configuration"
            )
        uuid = told.get("id")
        if not isinstance(uuid, str) or not UUID.fullmatch(uuid):
            raise DepositError(
                f"{self._pipeline.url}: expected the UUID of a transfer, found"
                f" {answer.said}; see whether the address is right"
            )
        return uuid

    def _stored(
        self, bag: str, transfer: str, forget: Callable[[], None]
    ) -> dict[str, Any]:
        """Wait until a bag is an AIP in store; return what was said of it."""
        told = self._ended("transfer", transfer, bag, forget)
        aip = told.get("sip_uuid")
        if aip == BACKLOG:
            raise TransientError(
                f"{self._pipeline.url}: {bag} stands in the backlog as {transfer};"
                " arrange it there, then retry"
            )
        if not isinstance(aip, str) or not UUID.fullmatch(aip):
            raise DepositError(
                f"{self._pipeline.url}: expected the UUID of an AIP of {bag}, found"
                f" {aip!r}; look at the transfer {transfer} there"
            )
        return {"transfer": told, "ingest": self._ended("ingest", aip, bag, forget)}

    def _ended(
        self, unit: str, uuid: str, bag: str, forget: Callable[[], None]
    ) -> dict[str, Any]:
        """Look again and again until a transfer or an ingest is done."""
        where, wait, waited = f"{self._pipeline.url}: {bag}", FIRST_WAIT, 0.0
        while True:
            told = self._status(unit, uuid)
            status = told.get("status", WORKING)
            if status == DONE:
                return told
            if status == ASKING:
                raise TransientError(
                    f"{where}: its {unit} {uuid} waits for a decision of a person;"
                    " decide there, or name a `processing` that decides, and retry"
                )
            if status != WORKING:
                forget()
                raise DepositError(
                    f"{where}: its {unit} {uuid} came to {status} at"
                    f" {told.get('microservice', 'no step')!r}; look there why."
                    " A retry starts it anew"
                )
            if waited >= PATIENCE:
                raise TransientError(
                    f"{where}: its {unit} {uuid} is still at work, at"
                    f" {told.get('microservice', 'its beginning')!r}; retry later, and"
                    " it is asked for again"
                )
            self._clock.sleep(wait)
            waited += wait
            wait = min(wait * 2, LONGEST_WAIT)

    def _status(self, unit: str, uuid: str) -> dict[str, Any]:
        """Ask how far something is; nothing is said of it while it only begins."""
        path = f"/api/{unit}/status/{quote(uuid)}/"
        told, answer = self._caller.ask_json("GET", path)
        if answer.status == NOT_YET:
            return {}
        self._caller.require(answer.status, path, answer.said)
        if told.get("error") or told.get("uuid") != uuid:
            raise DepositError(
                f"{self._pipeline.url}{path}: expected word of {uuid}, found"
                f" {answer.said}; see whether the address is right"
            )
        return told

    # ----------------------------------------------------------------------- a receipt

    def _asked(self, bag: str, aip: str) -> tuple[Finding, ...]:
        """Say what is wrong with an AIP, as far as we are told."""
        told = self._status("ingest", aip)
        if (status := told.get("status", "nothing")) == DONE:
            return ()
        message = f"expected the AIP {aip} in store, found it {status}"
        return (finding("copy-missing", bag, message),)

    def _stands(self, receipt: Receipt, bag: str) -> bool:
        """Tell whether anything of a bag stands where it was put."""
        for one in _of(receipt, bag):
            try:
                next(iter(self._drop.place.read(one.path)), b"")
            except DepositError:
                continue
            return True
        return False


def _of(receipt: Receipt, bag: str) -> tuple[Any, ...]:
    return tuple(one for one in receipt.received if one.path.split("/")[0] == bag)


def _noted(accepted: str) -> dict[str, str]:
    """Read what earlier attempts noted: bags, and what they are called there."""
    lines = (line.partition("=") for line in accepted.splitlines())
    return {bag: uuid for bag, _, uuid in lines}


def _answer(told: dict[str, Any]) -> str:
    """Write what was said of each bag; of very many only what their AIPs are called."""
    text = json.dumps(told, indent=1)
    if len(text) <= MOST_ANSWER:
        return text
    few = {
        bag: {"ingest": {"uuid": one["ingest"]["uuid"]}} for bag, one in told.items()
    }
    return json.dumps(few)


def _stored(receipt: Receipt) -> list[tuple[str, str]]:
    """Read which AIPs a receipt tells of. Raises DepositError for one of none."""
    try:
        told = json.loads(receipt.answer)
        return [(bag, str(one["ingest"]["uuid"])) for bag, one in told.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DepositError(
            f"receipt {receipt.nonce} of {receipt.target} tells of no AIP"
        ) from None
