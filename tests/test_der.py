"""DER read strictly: one value has one form."""

import contextlib
from datetime import UTC, datetime

import pytest
from cryptography.x509 import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sealing import der

ODD = {
    "nothing": b"",
    "a tag alone": b"\x02",
    "cut short": b"\x02\x02\x01",
    "something behind": b"\x02\x01\x01\x00",
    "an indefinite length": b"\x30\x80\x00\x00",
    "a length that is longer than needed": b"\x04\x81\x01a",
    "a length with a zero in front": b"\x04\x82\x00\x80" + b"a" * 128,
    "a length of five bytes": b"\x04\x85\x01\x00\x00\x00\x00",
    "a length that is cut short": b"\x04\x82\x01",
    "a length beyond any use": b"\x04\x84\x7f\xff\xff\xff",
    "a tag of several bytes": b"\x1f\x81\x01\x00",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_is_not_der_is_refused(data):
    with pytest.raises(ValueError, match="DER"):
        der.read(data)


@pytest.mark.parametrize(
    "data", [b"\x02\x00", b"\x02\x02\x00\x01", b"\x02\x02\xff\x80"]
)
def test_an_integer_has_one_form(data):
    with pytest.raises(ValueError, match="an integer that is not DER"):
        der.read(data).number()


@given(st.integers(-(2**200), 2**200))
def test_integers_come_back(number):
    assert der.read(der.integer(number)).number() == number


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_written_is_read(items):
    value = der.read(der.sequence(*(der.tlv(der.OCTETS, one) for one in items)))
    assert [one.must(der.OCTETS) for one in value.parts(der.SEQUENCE)] == items


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_whatever_comes_is_read_to_the_byte_or_refused(data):
    with contextlib.suppress(ValueError):
        assert der.read(data).raw == data


def test_a_set_is_sorted():
    assert (
        der.set_of((b"\x02\x01\x02", b"\x02\x01\x01"))
        == b"\x31\x06\x02\x01\x01\x02\x01\x02"
    )


def test_a_value_of_another_tag_is_refused():
    with pytest.raises(ValueError, match="where"):
        der.read(der.integer(1)).parts()
    with pytest.raises(ValueError, match="where"):
        der.read(der.sequence()).parts(der.SET)
    with pytest.raises(ValueError, match="where"):
        der.read(der.integer(1)).must(der.OCTETS)


def test_identifiers_are_written_as_others_write_them():
    from cryptography.x509 import Name, NameAttribute

    name = Name([NameAttribute(ObjectIdentifier("2.5.4.3"), "x")]).public_bytes()
    assert der.oid("2.5.4.3") in name
    assert der.oid("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"


def test_a_time_has_two_digits_of_its_year_until_2049():
    assert der.time(datetime(2049, 1, 2, tzinfo=UTC)).endswith(b"490102000000Z")
    assert der.time(datetime(2050, 1, 2, tzinfo=UTC))[0] == der.GENERALIZED_TIME


@pytest.mark.parametrize(
    "told", ["2.16.840.1.101.3.4.2.127", "1.3.14.3.2.26", "2.999.3", "0.0"]
)
def test_an_object_identifier_is_spelt_as_it_was_written(told):
    assert der.dotted(der.read(der.oid(told)).must(der.OID)) == told
