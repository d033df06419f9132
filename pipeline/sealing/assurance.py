"""The seals of a bag judged: what is wrong, who signed, what time is proven by whom.

    1. the seals are numbered from 1 without a gap, and no file among them is foreign;
    2. each statement is of this bag, and its subject is what stands in the bag;
    3. each signature is over its statement, by the signer that the statement names;
    4. each token is over its signature, answers its query, and leads to a root that
       this machine's configuration pins; nothing in the bag is ever taken for a root;
    5. a certificate is good at a time that is proven: today, or by a later seal.

A token whose authority's certificate has ended since counts only where a later seal
proves that it existed before that day; the basis is told with every time. Revocation is
not looked up. What the payload is worth, ``packaging.validate`` says.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from msgspec import Struct, field

from pipeline.clock import stamp
from pipeline.errors import FixityError
from pipeline.fixity import digest_of
from pipeline.model import Digest, Finding, Severity
from pipeline.packaging import bag as bags
from pipeline.packaging.label import SIGNER
from pipeline.packaging.tagfiles import tagged
from pipeline.packaging.tree import Folder, Tree
from pipeline.packaging.walk import names, opened, reason
from pipeline.sealing import (
    bracket,
    expiry,
    keys,
    migration,
    shelf,
    signature,
    skew,
    statement,
    token,
)
from pipeline.sealing.shelf import Shelf, name_of
from pipeline.sealing.statement import Statement, Subject
from pipeline.sealing.token import Authority, Proof, Token
from pipeline.sealing.worth import Assurance, Demand, Judged, finding


class _Read(Struct, frozen=True, kw_only=True):
    """One seal whose statement and signature were read."""

    said: Statement
    certificate: x509.Certificate | None
    tokens: tuple[Token, ...]


def judge(
    path: Path,
    *,
    authorities: Sequence[Authority] = (),
    now: datetime,
    demand: Demand | None = None,
    logged: Mapping[str, Digest] | None = None,
) -> Assurance:
    """Judge every seal of a bag. Raises FixityError where no folder can be read.

    ``authorities`` are those whose roots are pinned here. ``logged`` holds what the
    custody log says was added, by file name with its sha256.
    """
    try:
        with opened(path) as root:
            return judge_in(
                path,
                Folder(root),
                names(root),
                authorities=authorities,
                now=now,
                demand=demand,
                logged=logged,
            )
    except OSError as error:
        raise FixityError(
            f"{path}: expected a bag with its seals, found {reason(error)}"
        ) from error


def judge_in(
    path: Path,
    tree: Tree,
    top: Iterable[str],
    *,
    authorities: Sequence[Authority] = (),
    now: datetime,
    demand: Demand | None = None,
    logged: Mapping[str, Digest] | None = None,
) -> Assurance:
    """Judge every seal of a bag that is open, be it in a folder or in one file.

    ``top`` are the names at its top.
    """
    held = shelf.read_in(path, tree, top)
    trusted = {one.name: one for one in authorities}
    judgement = _Judgement(held, tree, trusted, now)
    return judgement.concluded(demand or Demand(), logged or {})


class _Judgement(Struct):
    """A bag's seals while they are being judged."""

    held: Shelf
    tree: Tree
    trusted: Mapping[str, Authority]
    now: datetime
    findings: list[Finding] = field(default_factory=list)
    believed: dict[str, datetime] = field(default_factory=dict)  # by file: proven at

    def say(
        self, code: str, path: str, message: str, weight: Severity = Severity.ERROR
    ) -> None:
        self.findings.append(finding(code, path, message, severity=weight))

    # -------------------------------------------------------------- all seals

    def concluded(self, demand: Demand, logged: Mapping[str, Digest]) -> Assurance:
        numbers = self.held.numbers()
        for name, why in self.held.unreadable.items():
            self.say("seal-file", name, f"cannot be read: {why}")
        for number in range(1, max(numbers, default=0)):
            if number not in numbers:
                self.say("seal-missing", name_of(number, "json"), "this seal is gone")
        self._require_logged(logged)
        read = {number: self._read(number) for number in numbers}
        self._require_known(read)
        # From the last to the first: what a later seal proves carries the earlier.
        judged = [self._proven(number, read[number]) for number in reversed(numbers)]
        seals = tuple(reversed(judged))
        self._require(demand, seals)
        self._require_announced(seals)
        self.findings.sort(key=lambda one: (one.severity != "error", one.path))
        return Assurance(seals=seals, findings=tuple(self.findings))

    def _require_logged(self, logged: Mapping[str, Digest]) -> None:
        for name, digest in logged.items():
            data = self.held.files.get(name)
            if data is None:
                message = "the custody log says that it was added, and it is gone"
                self.say("seal-removed", name, message)
            elif digest_of(data, digest.algorithm) != digest:
                message = f"the custody log has it as {digest}, and it is another"
                self.say("seal-removed", name, message)

    def _require_known(self, read: Mapping[int, _Read | None]) -> None:
        known = set()
        for number, one in read.items():
            known |= {name_of(number, "json"), name_of(number, "json.p7s")}
            known |= {name_of(number, migration.LISTING)}
            for name in one.said.authorities if one else ():
                known |= {
                    name_of(number, f"{name}{e}") for e in (".tsq", ".tsr", ".pem")
                }
        for name in sorted(self.held.files.keys() - known):
            if read.get(int(name[5:9])):  # of a seal that can't be read, who knows
                self.say("seal-file", name, "it belongs to no part of its seal")

    def _require(self, demand: Demand, seals: Sequence[Judged]) -> None:
        signed = [one for one in seals if one.is_signed]
        if demand.seal and not signed:
            self.say("seal-missing", "", "a seal is required, and there is none")
        # Whoever adds a seal of their own can have it stamped: that proves no more.
        own = (one for one in signed if one.fingerprint == signed[0].fingerprint)
        most = max((one.witnesses() for one in own), default=0)
        if most < demand.timestamps:
            message = f"{demand.timestamps} timestamps are required, {most} accepted"
            self.say("seal-timestamps", "", message)
        if demand.signer:
            wanted = demand.signer.lower().removeprefix("sha256:").replace(":", "")
            self._require_signer(wanted, seals, "is required")

    def _require_announced(self, seals: Sequence[Judged]) -> None:
        """Hold the seals against the signer that the bag's own metadata announces."""
        try:
            told = tagged(bags.info_in(self.held.path, self.tree), SIGNER)
        except FixityError:  # validate has more to say about it
            return
        for one in told:
            wanted = one.strip().removeprefix("sha256:")
            self._require_signer(
                wanted, seals[:1], f"is what bag-info.txt says ({SIGNER})"
            )

    def _require_signer(self, wanted: str, seals: Sequence[Judged], why: str) -> None:
        """Require that the first seal is by someone; a renewal may be by another."""
        if not any(one.is_signed for one in seals):
            message = f"the signer {wanted} {why}, and no seal holds"
            self.say("seal-missing", "", message)
            return
        found = seals[0].fingerprint if seals else None
        if _bytes(found) != wanted:
            message = f"the signer {wanted} {why}, and it was {_bytes(found)}"
            self.say("seal-signer", name_of(1, "json.p7s"), message)

    # --------------------------------------------------------------- one seal

    def _read(self, number: int) -> _Read | None:
        """Read a seal and check all of it but its times."""
        name = name_of(number, "json")
        clear = self.held.files.get(name)
        if clear is None:
            self.say("seal-missing", name, "the statement of this seal is gone")
            return None
        try:
            said = statement.parse(clear)
        except ValueError as error:
            self.say("seal-statement", name, str(error))
            self._verified(f"{name}.p7s", clear)
            return None
        self._require_subject(name, number, said)
        certificate = self._verified(f"{name}.p7s", clear)
        if certificate and keys.fingerprint(certificate) != said.signer:
            message = f"the statement names {said.signer}, and another signed"
            self.say("seal-signer", f"{name}.p7s", message)
            certificate = None
        found = (self._token(number, one, f"{name}.p7s") for one in said.authorities)
        tokens = tuple(one for one in found if one)
        return _Read(said=said, certificate=certificate, tokens=tokens)

    def _require_subject(self, name: str, number: int, said: Statement) -> None:
        if said.number != number:
            message = f"it is seal {said.number}, and stands as seal {number}"
            self.say("seal-statement", name, message)
        due = {one.name: one for one in self.held.tagmanifests}
        due |= {one.name: one for one in self.held.before(number)}
        listing = name_of(number, migration.LISTING)
        if listing in self.held.files:
            due[listing] = Subject.of(listing, self.held.files[listing])
            self._require_listed(listing, number)
        sealed = {one.name: one for one in said.subjects}
        for path in sorted({*due, *sealed}):
            if problem := _difference(sealed.get(path), due.get(path)):
                self.say("seal-subject", path, f"{name} {problem}")

    def _require_listed(self, listing: str, number: int) -> None:
        """Hold the bag against the list of digests that came with a renewal."""
        try:
            listed = self.held.files[listing]
            for path, how in migration.differences(
                self.held.path, self.tree, number, listed
            ):
                self.say("seal-digest", path, f"{listing}: it {how}")
        except FixityError as error:
            self.say("seal-digest", listing, str(error))

    def _verified(self, place: str, clear: bytes) -> x509.Certificate | None:
        """Verify the signature over a statement; None where it does not hold."""
        signed = self.held.files.get(place)
        if signed is None:
            self.say("seal-signature", place, "the signature of this seal is gone")
            return None
        try:
            return signature.verify(clear, signed)
        except ValueError as error:
            self.say("seal-signature", place, str(error))
            return None

    def _token(self, number: int, authority: str, signed: str) -> Token | None:
        """Judge one token by the roots that are pinned here; None for no proof."""
        name = name_of(number, authority)
        answer = self.held.files.get(f"{name}.tsr")
        if answer is None:
            message = f"{authority} was asked, and its timestamp is not here"
            self.say("seal-pending", f"{name}.tsr", message, Severity.WARNING)
            return None
        asked = self.held.files.get(f"{name}.tsq", b"")
        try:
            if self.held.files.get(f"{name}.pem") != token.chain_of(answer):
                message = (
                    "it does not hold the certificates of its token, and only these"
                )
                self.say("seal-chain", f"{name}.pem", message)
            if trusted := self.trusted.get(authority):
                data = self.held.files.get(signed, b"")
                return token.judge(answer, data, asked=asked, authority=trusted)
            at, whose = token.peek(answer)
        except ValueError as error:
            self.say("seal-token", f"{name}.tsr", str(error))
            return None
        message = (
            f"it claims {stamp(at)} by {whose}; no roots are configured here for "
            f"{authority}, so that nothing is believed"
        )
        self.say("seal-untrusted", f"{name}.tsr", message, Severity.WARNING)
        return None

    # ------------------------------------------------------------------ times

    def _proven(self, number: int, read: _Read | None) -> Judged:
        """Decide which times of a seal count; later seals have been judged."""
        if read is None:
            return Judged(number=number)
        found = (self._proof(number, one) for one in read.tokens)
        proofs = tuple(one for one in found if one)
        self._require_clock(number, read.said, proofs)
        is_signed = self._is_in_time(number, read.certificate, proofs)
        if is_signed:
            self._believe(number, read.said.subjects, proofs)
        names = {one.authority for one in read.tokens}
        certificate = read.certificate
        return Judged(
            number=number,
            signer=keys.told(certificate) if certificate else "",
            fingerprint=keys.fingerprint(certificate) if certificate else None,
            is_signed=is_signed,
            proofs=proofs if is_signed else (),
            begun=self._begun(read.said, proofs) if is_signed else (),
            pending=tuple(one for one in read.said.authorities if one not in names),
            is_tested=_is_tested(read.said),
        )

    def _require_clock(
        self, number: int, said: Statement, proofs: Sequence[Proof]
    ) -> None:
        """Notice a machine that told the time of its bags by a clock that was off."""
        ahead = skew.machine_ahead(said.facts, [one.token.at for one in proofs])
        if abs(ahead) > skew.FAR:
            seconds = abs(ahead).total_seconds()
            where = "ahead of" if ahead > timedelta() else "behind"
            message = (
                f"the machine that sealed had its clock {seconds:.0f} seconds {where} "
                "those of others; the times that the bag tells are off by as much"
            )
            self.say("seal-clock", name_of(number, "json"), message, Severity.WARNING)

    def _begun(self, said: Statement, proofs: Sequence[Proof]) -> tuple[Proof, ...]:
        """Judge the timestamps of the plan, which the seal covers."""
        found = bracket.judge(
            self.tree,
            said,
            trusted=self.trusted,
            now=self.now,
            sealed_by=min((one.token.at for one in proofs), default=None),
        )
        good = []
        for one in found:
            if isinstance(one, Proof):
                good.append(one)
            else:
                self.say("seal-start", one.path, one.message)
        return tuple(good)

    def _proof(self, number: int, one: Token) -> Proof | None:
        name = name_of(number, f"{one.authority}.tsr")
        if one.expires >= self.now:
            if name not in self.believed:
                end = expiry.Ending(
                    carries=expiry.Carries.TIMESTAMP,
                    whose=one.signer,
                    fingerprint=one.fingerprint,
                    ends=one.expires,
                    bags=(self.held.path,),
                )
                self._warn(name, end)
            return Proof(token=one, basis="its certificate is valid today")
        later = self.believed.get(name)
        if later and later <= one.expires:
            basis = (
                f"its certificate ended {stamp(one.expires)}; a later seal proves that "
                f"the token existed by {stamp(later)}"
            )
            return Proof(token=one, basis=basis)
        message = (
            f"the certificate of {one.signer} ended {stamp(one.expires)}, and no later "
            "seal proves that the token existed before"
        )
        self.say("seal-expired", name, message)
        return None

    def _is_in_time(
        self, number: int, signer: x509.Certificate | None, proofs: Iterable[Proof]
    ) -> bool:
        """Tell whether the signer's certificate was valid when it is proven to sign."""
        if signer is None:
            return False
        later = self.believed.get(name_of(number, "json.p7s"), self.now)
        at = min((*(one.token.at for one in proofs), later))
        if signer.not_valid_before_utc <= at <= signer.not_valid_after_utc:
            if at == self.now:  # nobody proves that it was signed before
                carries = expiry.Carries.SIGNATURE
                own = expiry.ending(carries, signer, self.held.path)
                self._warn(name_of(number, "json.p7s"), own)
            return True
        begin, end = signer.not_valid_before_utc, signer.not_valid_after_utc
        message = (
            f"the signer's certificate holds from {stamp(begin)} to {stamp(end)}, and "
            f"the signature is not proven to be older than {stamp(at)}"
        )
        self.say("seal-expired", name_of(number, "json.p7s"), message)
        return False

    def _warn(self, path: str, end: expiry.Ending) -> None:
        if end.is_near(self.now):
            said = end.sentence(self.now)
            self.say("seal-expiring", path, said, Severity.WARNING)

    def _believe(
        self, number: int, subjects: Iterable[Subject], proofs: Iterable[Proof]
    ) -> None:
        """Note that what a seal covers existed at the earliest time it proves."""
        at = min((one.token.at for one in proofs), default=None)
        if at is None or any(
            one.code == "seal-subject" and one.message.startswith(name_of(number, ""))
            for one in self.findings
        ):
            return
        for one in subjects:
            self.believed[one.name] = min(at, self.believed.get(one.name, at))


def _is_tested(said: Statement) -> bool:
    """Tell whether a statement says that the tool was tried and found right."""
    told = said.facts.get("self_test")
    return isinstance(told, dict) and told.get("passed") is True


def _bytes(digest: Digest | None) -> str:
    return digest.hex if digest else ""


def _difference(sealed: Subject | None, found: Subject | None) -> str:
    """Say how a sealed file and the file that stands there differ, if they do."""
    if found is None:
        return "covers it, and it is gone"
    if sealed is None:
        return "does not cover it, and it stands in the bag"
    if set(sealed.digests) != set(found.digests):
        return "covers it with other bytes than it has"
    return ""
