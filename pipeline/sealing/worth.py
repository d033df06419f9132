"""What a bag's seals are worth: demands, findings and their clauses, times, words.

Values alone; ``assurance`` comes to them.
"""

from msgspec import Struct

from pipeline.clock import stamp
from pipeline.model import Digest, Finding, Severity
from pipeline.sealing.token import Proof

CLAUSES = {
    "seal-missing": "Muniment seal 1",
    "seal-file": "Muniment seal 1",
    "seal-removed": "Muniment custody log",
    "seal-statement": "Muniment seal 2",
    "seal-subject": "Muniment seal 2",
    "seal-digest": "RFC 4998 5.3",
    "seal-signature": "RFC 5652 5.6",
    "seal-signer": "Muniment seal 3",
    "seal-token": "RFC 3161 2.2",
    "seal-chain": "RFC 3161 2.4.1",
    "seal-pending": "Muniment seal 4",
    "seal-untrusted": "Muniment seal 4",
    "seal-timestamps": "Muniment seal 4",
    "seal-start": "Muniment seal 4",
    "seal-clock": "Muniment seal 5",
    "seal-expired": "RFC 4998 5.2",
    "seal-expiring": "RFC 4998 5.2",
}


def finding(
    code: str, path: str, message: str, *, severity: Severity = Severity.ERROR
) -> Finding:
    """Make a finding with the clause of its code."""
    return Finding(
        code=code, severity=severity, path=path, message=message, clause=CLAUSES[code]
    )


class Demand(Struct, frozen=True, kw_only=True):
    """What a verifier asks of the seals of a bag beyond that they are sound."""

    seal: bool = False
    timestamps: int = 0  # accepted tokens, by as many authorities
    signer: str = ""  # a fingerprint, with or without colons and "sha256:"


class Judged(Struct, frozen=True, kw_only=True):
    """One seal of a bag, as far as it can be believed."""

    number: int
    signer: str = ""  # whose certificate, and what it is worth
    fingerprint: Digest | None = None
    is_signed: bool = False  # the signature is sound, whoever made it
    proofs: tuple[Proof, ...] = ()
    begun: tuple[Proof, ...] = ()  # when the plan stood, before the first request
    pending: tuple[str, ...] = ()
    is_tested: bool = False  # its statement says that the tool passed its self-test

    def witnesses(self) -> int:
        """Count the accepted tokens, those of one certificate as one."""
        return len({one.token.fingerprint for one in self.proofs})

    def told(self) -> dict[str, object]:
        """Tell the seal as JSON."""
        return {
            "seal": self.number,
            "signer": self.signer,
            "fingerprint": str(self.fingerprint or ""),
            "signature": self.is_signed,
            "pending": list(self.pending),
            "self_test": self.is_tested,
            "times": [one.told() for one in self.proofs],
            "begun": [one.told() for one in self.begun],
        }


class Assurance(Struct, frozen=True, kw_only=True):
    """The seals of a bag, and everything that is wrong with them."""

    seals: tuple[Judged, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell that nothing found is an error."""
        return not any(one.severity is Severity.ERROR for one in self.findings)

    def told(self) -> list[dict[str, object]]:
        """Tell the seals as JSON."""
        return [one.told() for one in self.seals]

    def sentence(self) -> str:
        """Say in one line by whom and when, and what is not asserted."""
        signed = [one for one in self.seals if one.is_signed]
        if not signed:
            return "not sealed; time asserted by this machine only"
        own = [one for one in signed if one.fingerprint == signed[0].fingerprint]
        proofs = [proof for one in own for proof in one.proofs]
        who = f"sealed by {signed[0].signer} ({signed[0].fingerprint})"
        if signed[0].is_tested:
            who = f"{who}, the tool tested in the same run"
        if not proofs:
            return f"{who}; time asserted by this machine only"
        by = ", ".join(
            f"{one.token.authority} at {stamp(one.token.at)} ({one.basis})"
            for one in proofs
        )
        told = f"{who}; existed by the word of {by}"
        begun = max((p.token.at for one in own for p in one.begun), default=None)
        if begun is None:
            return told
        return f"{told}; not before {stamp(begun)}, when its plan was stamped"
