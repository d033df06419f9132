"""Seals judged in one file as they are in a folder, and when a bag is received."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sealing_cases
import shelf as shelves
from sealing_cases import CASES
from timekeeping import OPENSSL

from pipeline.errors import PipelineError
from pipeline.handoff.receive import receive, received_json
from pipeline.holdings.store import Store
from pipeline.model import Level, Severity
from pipeline.packaging.parcel import Form
from pipeline.packaging.serial import validate_serial, write
from pipeline.packaging.validate import validate
from pipeline.sealbook import Judge
from pipeline.sealing import assurance
from pipeline.sealing.worth import Demand

pytestmark = pytest.mark.skipif(not OPENSSL, reason="openssl answers for the authority")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sealing_cases.scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def it(original, tmp_path):
    return original.copy(tmp_path / "copy")


def judge(it, **options) -> Judge:
    given = {"authorities": it.authorities, "demand": it.demand, "now": datetime.now(UTC)}  # fmt: skip
    return Judge(**given | options)


def packed(it, form: Form) -> Path:
    out = it.folder / f"sent.{form}"
    write(it.bag, out, form)
    return out


@pytest.mark.parametrize("form", Form)
def test_a_sealed_bag_in_one_file_meets_every_demand(it, form):
    report, found = judge(it).of(validate_serial(packed(it, form)))
    assert report.ok
    assert report.findings == ()
    assert found.seals[0].witnesses() == 2
    assert "A. Archivist" in found.sentence()


def judged(found) -> set[tuple[str, str]]:
    """The findings about seals, by code and path."""
    _, assured = found
    return {(one.code, one.path) for one in assured.findings} if assured else set()


@pytest.mark.parametrize("name", CASES)
def test_whatever_is_done_to_a_bag_is_found_in_one_file_as_in_a_folder(it, name):
    CASES[name].attack(it)
    # odd and even, so that each form has its share
    form = list(Form)[list(CASES).index(name) % len(Form)]
    try:
        file = packed(it, form)
    except PipelineError:  # what can't be handed on has no form
        return
    ours = judge(it)
    assert judged(ours.of(validate_serial(file))) == judged(ours.of(validate(it.bag)))


def test_a_list_of_digests_is_held_to_what_stands_in_the_file(it):
    from pipeline.sealing import seal
    from pipeline.sealing.seal import Facts, Signing

    signing = Signing(identity=it.signer, clock=sealing_cases.CLOCK)
    seal.seal(it.bag, signing, Facts(), migrate=True)
    assert judge(it).of(validate_serial(packed(it, Form.ZIP)))[0].ok
    (it.bag / "data/letter.txt").write_bytes(b"another letter")
    report, _ = judge(it).of(validate_serial(packed(it, Form.TAR)))
    assert "seal-digest" in {one.code for one in report.findings}


def test_a_bag_without_seals_in_one_file_is_told_as_before(it):
    it.unseal()
    file = packed(it, Form.TAR)
    ours = judge(it, demand=Demand())
    # bag-info.txt of the scene announces no signer
    report = validate_serial(file)
    assert ours.of(report) == (report, None)
    report, _ = judge(it, demand=Demand(seal=True)).of(report)
    assert [one.code for one in report.findings] == ["seal-missing"]


def test_what_is_rejected_whole_is_not_judged(it, tmp_path):
    file = tmp_path / "no.tar"
    file.write_bytes(b"no tar")
    report = validate_serial(file, level=Level.OXUM)
    assert judge(it).of(report) == (report, None)


# ------------------------------------------------------------------------- receiving


@pytest.fixture
def store(tmp_path):
    with closing(Store.open(tmp_path / "archive", shelves.TickingClock())) as one:
        yield one


def taken(it, store: Store, form: Form, authorities):
    def assay(bag: Path):
        return assurance.judge(bag, authorities=authorities, now=datetime.now(UTC))

    clock = shelves.TickingClock()
    return receive(packed(it, form), store=store, clock=clock, judge=assay)


def test_the_seals_of_a_bag_that_is_received_are_told(it, store):
    one = taken(it, store, Form.TAR, it.authorities)
    assert one.is_kept
    assert len(one.seals.seals[0].proofs) == 2
    assert received_json(one)["seals"][0]["signature"] is True
    assert sorted(path.name for path in one.path.glob("seal-*")) == sorted(
        path.name for path in it.bag.glob("seal-*")
    )


def test_a_timestamp_whose_authority_nobody_pinned_here_is_said(it, store):
    one = taken(it, store, Form.ZIP, ())
    assert one.is_kept
    assert {found.code for found in one.report.findings} == {"seal-untrusted"}
    assert all(found.severity is Severity.WARNING for found in one.report.findings)
    assert "no roots are configured here" in one.report.findings[0].message
    assert "time asserted by this machine only" in one.seals.sentence()


def test_a_bag_whose_seal_does_not_hold_is_set_aside(it, store):
    sealing_cases.flip("seal-0001.json.p7s", 0.9)(it)
    one = taken(it, store, Form.TAR_GZ, it.authorities)
    assert not one.is_kept
    assert "seal-signature" in {found.code for found in one.report.findings}
    assert (one.path / "findings.json").read_text().count("seal-signature") >= 1
