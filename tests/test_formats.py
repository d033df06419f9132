"""What the files of a bag are, by our own rule."""

import gzip
import io

from samples import CAPTURE, PAGE, PICTURE, TEXT, WARC, record
from warcio.warcwriter import WARCWriter

from pipeline.packaging.formats import format_of, formats_json


def test_a_warc_is_a_warc_and_not_gzip():
    assert (format_of(WARC).name, format_of(WARC).puid) == ("WARC", "fmt/1281")


def test_any_other_file_is_what_it_was_written_as():
    assert format_of(TEXT).name == TEXT.media_type


def test_no_pronom_identifier_is_claimed_where_none_is_certain():
    told = formats_json(CAPTURE.artefacts, ())
    assert [file["pronom"] for file in told["files"]] == ["fmt/1281", None]


def test_a_payload_is_told_with_the_type_it_was_served_as():
    told = formats_json((), (PAGE, PICTURE))
    assert told["payloads"] == [
        {"url": PAGE.url, "record": record(6).id, "served": "text/html; charset=utf-8"}
    ]


def test_the_rule_that_is_written_down_holds_for_a_warc_of_another_writer():
    made = io.BytesIO()
    writer = WARCWriter(made, gzip=True, warc_version="1.1")
    writer.write_record(writer.create_warcinfo_record("a.warc.gz", {"software": "x"}))
    assert gzip.decompress(made.getvalue()).startswith(b"WARC/1.1\r\n")
