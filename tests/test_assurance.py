"""What our verifier says of a sealed bag that someone has been at."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sealing_cases
from cryptography.x509.oid import ExtendedKeyUsageOID
from sealing_cases import CASES, IN_A_DAY
from timekeeping import OPENSSL

from pipeline.model import Digest, Severity
from pipeline.packaging.validate import validate
from pipeline.sealing import worth
from pipeline.sealing.assurance import judge
from pipeline.sealing.worth import Demand

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sealing_cases.scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def it(original, tmp_path):
    return original.copy(tmp_path / "copy")


def now() -> datetime:
    return datetime.now(UTC)


def judged(it, **options):
    options = {
        "authorities": it.authorities,
        "now": now(),
        "demand": it.demand,
        **options,
    }
    return judge(it.bag, **options)


def errors(it, **options) -> set[str]:
    found = (*judged(it, **options).findings, *validate(it.bag).findings)
    return {one.code for one in found if one.severity is Severity.ERROR}


def test_a_sealed_bag_meets_every_demand(it):
    found = judged(it)
    assert found.findings == ()
    assert found.seals[0].witnesses() == 2
    assert "A. Archivist" in found.sentence()


# What needs a demand, or the archive's log, to be missed; the rest a bag tells by itself.
MISSED = {"seal-missing", "seal-timestamps", "seal-signer", "seal-removed"}
ALONE = {
    name: case
    for name, case in CASES.items()
    if case.code not in MISSED and case.scene is sealing_cases.scene
}


@pytest.mark.parametrize("case", ALONE.values(), ids=ALONE)
def test_nearly_all_of_it_is_found_without_any_demand(case, it):
    case.attack(it)
    assert (case.code in errors(it, demand=None)) is bool(case.code)


def test_a_finding_has_its_clause():
    codes = {case.code for case in CASES.values() if case.code.startswith("seal-")}
    assert codes <= worth.CLAUSES.keys()


def test_a_signer_whose_certificate_ended_is_believed_at_the_tokens_time(tmp_path):
    it = sealing_cases.expired_signer(tmp_path / "scene")
    assert errors(it, now=now() + IN_A_DAY) == set()
    assert errors(it, now=now() + IN_A_DAY, authorities=[], demand=None) == {
        "seal-expired"
    }


def test_without_pinned_roots_no_time_is_believed(it):
    found = judged(it, authorities=[], demand=None)
    assert found.ok
    assert [one.code for one in found.findings] == ["seal-untrusted"] * 2
    assert found.seals[0].proofs == ()
    assert "time asserted by this machine only" in found.sentence()
    assert "seal-timestamps" in errors(it, authorities=[])


def test_the_log_misses_a_token_that_was_taken_away(it):
    logged = {"seal-0001.one.tsr": Digest("sha256", "00" * 32), "seal-0002.json": Digest("sha256", "00" * 32)}  # fmt: skip
    found = judged(it, logged=logged)
    assert [one.code for one in found.findings] == ["seal-removed"] * 2


def test_a_certificate_that_ends_within_a_year_is_told(it):
    later = now() + timedelta(days=9 * 365 - 100)
    found = judged(it, now=later)
    assert found.ok
    assert {one.code for one in found.findings} == {"seal-expiring"}


def test_a_fingerprint_may_be_written_as_openssl_prints_it(it):
    plain = it.signer.fingerprint.hex.upper()
    colons = ":".join(plain[i : i + 2] for i in range(0, 64, 2))
    assert judged(it, demand=Demand(signer=colons)).ok
    assert not judged(it, demand=Demand(signer="00" + plain[2:])).ok


@pytest.mark.parametrize(
    ("purposes", "critical"),
    [
        ([ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([ExtendedKeyUsageOID.TIME_STAMPING], False),
        ((), True),
    ],
)
def test_a_certificate_is_for_timestamping_alone_and_critically(it, purposes, critical):
    from pipeline.sealing import token

    certificate = it.one.house.certified("odd", it.signer.key, purposes=purposes, critical=critical)  # fmt: skip
    with pytest.raises(ValueError, match="its certificate"):
        token.require_timestamping(certificate)


def test_every_finding_is_told_in_the_archives_page():
    page = (Path(__file__).parents[1] / "archive/README.md").read_text("utf-8")
    listed = re.findall(r"^\| `(seal-[a-z]+)` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(worth.CLAUSES)


def test_a_seal_that_somebody_adds_stands_in_for_no_timestamp(it):
    for path in it.bag.glob("seal-0001.two.*"):
        path.unlink()
    it.seal(signer=sealing_cases.stranger(it))
    found = judged(it)
    assert [one.code for one in found.findings if one.severity == "error"] == ["seal-timestamps"]  # fmt: skip
    assert found.seals[1].witnesses() == 2
    assert "two at" not in found.sentence()
