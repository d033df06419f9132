"""What our own descriptions of a bag lead to, and what is said where they do not."""

import defects
import pytest
import samples
from defects import CSV, PREMIS, TABLE_OF_FILES, XML, named
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.packaging import references
from pipeline.packaging.names import show
from pipeline.packaging.provenance import describe
from pipeline.packaging.references import Known, check_premis, check_table
from pipeline.packaging.rules import METADATA

LETTER = Known(size=9, digests={"sha256": defects.A_DIGEST.decode()})
RIGHTS = "data/metadata/rights.csv"


def find(path: str) -> Known | None:
    return LETTER if path == "data/letter.txt" else None


def told(xml: bytes) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in check_premis(xml, find)]


def told_of_table(data: bytes, path: str = CSV) -> list[tuple[str, str]]:
    return [(one.code, one.message) for one in check_table(path, data, find)]


def test_nothing_is_wrong_with_descriptions_that_are_right():
    assert told(PREMIS) == []
    assert told_of_table(TABLE_OF_FILES) == []
    assert told_of_table(b"file,basis\r\ndata/letter.txt,policy\r\n", RIGHTS) == []


def test_nothing_is_wrong_with_the_descriptions_that_we_write():
    files = {one.path: one for one in samples.ACCESSION.capture.artefacts}
    told = describe(samples.ACCESSION, plan=b"{}", uuid=samples.counting())
    rendered = {one.path: one.data for one in told}

    def held(path: str) -> Known | None:
        file = files.get(path)
        digests = {one.algorithm: one.hex for one in file.digests} if file else {}
        return Known(size=file.size, digests=digests) if file else None

    assert not [*check_premis(rendered[XML], held)]
    for path in references.TABLES:
        assert not [*check_table(path, rendered[path], held)]


def swapped(old: bytes, new: bytes) -> bytes:
    assert old in PREMIS
    return PREMIS.replace(old, new, 1)


def last(old: bytes, new: bytes) -> bytes:
    head, _, tail = PREMIS.rpartition(old)
    return head + new + tail


ODD = {
    "a torn end": (PREMIS[:-5], "premis-malformed", "not read: "),
    "no XML": (b"\x00\x01", "premis-malformed", "not read: "),
    "nothing": (b"", "premis-malformed", "not read: no element found"),
    "a document type": (
        swapped(b"?>\n", b"?>\n<!DOCTYPE premis>\n"),
        "premis-malformed", "not read: it declares a document type",
    ),
    "an entity from outside": (
        swapped(b"?>\n", b'?>\n<!DOCTYPE p [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n'),
        "premis-malformed", "not read: it declares a document type",
    ),
    "another root": (
        b"<html/>", "premis-malformed", "not read: its root is html, expected PREMIS 3",
    ),
    "no end to its depth": (
        swapped(b"<event>", b"<event>" + b"<x>" * 200),
        "premis-malformed", "not read: elements stand deeper than 100",
    ),
    "an identifier without a value": (
        swapped(b">letter<", b"><"),
        "premis-malformed", "the identifier of an object lacks its type or value",
    ),
    "a file without a path": (
        swapped(b"<originalName>data/letter.txt</originalName>", b""),
        "premis-malformed", "it describes a file without originalName",
    ),
    "two agents of one name": (
        swapped(b"<agent>", f"<agent>{named('agentIdentifier', 'us')}</agent><agent>".encode()),
        "premis-reference", "the agent local 'us' is there twice",
    ),
    "an object that is not there": (
        last(b">letter<", b">other<"),
        "premis-reference",
        "it links to the object local 'other', which it does not describe",
    ),
    "an identifier of another type": (
        swapped(b"<eventIdentifierType>UUID", b"<eventIdentifierType>ULID"),
        "premis-reference",
        "it links to the event UUID 'pack', which it does not describe",
    ),
    "a name that turns the line": (
        last(b">letter<", "\u202eletter<".encode().join([b">", b""])),
        "premis-reference",
        "it links to the object local '\\u202eletter', which it does not describe",
    ),
    "a file that is not there": (
        swapped(b"data/letter.txt", b"data/../../etc/passwd"),
        "premis-reference",
        "it describes data/../../etc/passwd, which is no file of the bag",
    ),
    "another size": (
        swapped(b">9<", b">9.0<"),
        "premis-fixity", "it says data/letter.txt has 9.0 bytes, found 9",
    ),
    "another digest": (
        swapped(defects.A_DIGEST, b"abc"),
        "premis-fixity",
        f"it says SHA-256 of data/letter.txt is abc, the manifest {defects.A_DIGEST.decode()}",
    ),
    "no digest at all": (
        PREMIS[: PREMIS.index(b"<fixity>")] + PREMIS[PREMIS.index(b"<size>") :],
        "premis-fixity", "it says nothing of the fixity of data/letter.txt",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("xml", "code", "message"), ODD.values(), ids=ODD)
def test_what_is_odd_in_premis_is_named(xml, code, message):
    found = told(xml)
    assert code in {one for one, _ in found}
    assert any(words.startswith(message) for _, words in found), found


def test_a_digest_in_capitals_and_of_an_algorithm_not_listed_is_no_fault():
    xml = swapped(defects.A_DIGEST, defects.A_DIGEST.upper())
    assert told(xml) == []
    assert told(swapped(b"SHA-256", b"BLAKE3")) == []


def test_an_object_that_is_no_file_needs_no_path():
    more = f'<object xsi:type="representation">{named("objectIdentifier", "bag")}</object><event>'
    assert told(swapped(b"<event>", more.encode())) == []


def test_elements_of_another_namespace_say_nothing():
    more = '<x xmlns="urn:x"><linkingAgentIdentifier/></x>'
    assert told(swapped(b"<agentName>", f"{more}<agentName>".encode())) == []


def test_a_billion_laughs_are_refused_before_they_are_laughed():
    laughs = b"".join(
        b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12)
    )
    xml = b'<!DOCTYPE x [<!ENTITY l0 "ha">' + laughs + b"]><x>&l11;</x>"
    assert [code for code, _ in told(xml)] == ["premis-malformed"]


TABLES = {
    "nothing": (b"", "metadata-malformed", "its header does not begin with filename"),
    "no header": (
        b"data/letter.txt,x\n",
        "metadata-malformed", "its header does not begin with filename",
    ),
    "a column without a name": (
        b"filename,\ndata/letter.txt,x\n",
        "metadata-malformed", "its header does not begin with filename",
    ),
    "no column but the name": (
        b"filename\ndata/letter.txt\n",
        "metadata-malformed", "its header does not begin with filename",
    ),
    "a blank line": (
        b"filename,dc.title\n\ndata/letter.txt,x\n",
        "metadata-malformed", "line 2: 0 cells under 2 columns",
    ),
    "a quote without end": (
        b'filename,dc.title\ndata/letter.txt,"x\n',
        "metadata-malformed", "not read to its end: ",
    ),
    "bytes that are no UTF-8": (
        b"filename,dc.title\n\xff,x\n", "metadata-malformed", "not read to its end: ",
    ),
    "a byte order mark": (
        b"\xef\xbb\xbffilename,dc.title\n",
        "metadata-malformed", "its header does not begin with filename",
    ),
    "a file that is not there": (
        b"filename,dc.title\nobjects/letter.txt,x\n",
        "metadata-reference", "line 2: objects/letter.txt is no file of the bag",
    ),
    "a file twice": (
        TABLE_OF_FILES + b"data/letter.txt,x\n",
        "metadata-reference", "line 3: data/letter.txt has a row already",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "code", "message"), TABLES.values(), ids=TABLES)
def test_what_is_odd_in_a_table_is_named(data, code, message):
    ((found, words),) = told_of_table(data)
    assert found == code
    assert words.startswith(message)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(PREMIS)))
def test_no_bytes_crash_the_reader(noise, at):
    for found in (
        check_premis(PREMIS[:at] + noise + PREMIS[at:], find),
        check_premis(noise, find),
        check_table(CSV, TABLE_OF_FILES + noise, find),
        check_table(CSV, noise, find),
    ):
        for one in found:
            assert one.code in METADATA
            assert one.message == show(one.message.encode(errors="surrogatepass"))


class Shelf:
    """A tree of files in memory."""

    def __init__(self, **files: bytes | OSError) -> None:
        self._files = {
            f"data/metadata/{k.replace('_', '.')}": v for k, v in files.items()
        }

    def entries(self):
        return iter(())

    def digests(self, large, small):
        return iter(())

    def pieces(self, path, *, most=None):
        found = self._files.get(path.decode(), FileNotFoundError())
        if isinstance(found, OSError):
            raise found
        yield found[:most]


def test_the_descriptions_that_a_bag_has_are_read():
    shelf = Shelf(premis_xml=b"<html/>", rights_csv=b"no header\n")
    assert [(one.code, one.path) for one in references.check_bag(shelf, find)] == [
        ("premis-malformed", XML), ("metadata-malformed", RIGHTS),
    ]  # fmt: skip


def test_a_bag_without_descriptions_is_not_blamed_for_them():
    assert not [*references.check_bag(Shelf(), find)]


def test_a_description_that_cannot_be_read_is_named():
    shelf = Shelf(premis_xml=PermissionError(13, "Permission denied"))
    (one,) = references.check_bag(shelf, find)
    assert (one.code, one.message) == (
        "premis-malformed", "cannot be read: Permission denied",
    )  # fmt: skip


def test_a_description_without_end_is_not_read(monkeypatch):
    monkeypatch.setattr(references, "LARGEST", 10)
    shelf = Shelf(metadata_csv=b"x" * 20)
    (one,) = references.check_bag(shelf, find)
    assert (one.code, one.path) == ("limit", CSV)
    assert one.message == "it is larger than 10 bytes and was not read"
