"""S3: what is confirmed is not sent again, no lie is believed, nothing else is asked."""

from datetime import timedelta

import buckets
import pytest
from buckets import LIES, Liar, Moto
from depositing import NONCE, Clock, consignment

pytest.importorskip("moto", reason="pip install 'muniment[test]'")

from pipeline.clock import SystemClock
from pipeline.handoff.consignment import Layout, item
from pipeline.handoff.copies import Copies
from pipeline.handoff.target import DepositError, TakenError, TransientError
from pipeline.handoff.targets import s3
from pipeline.handoff.targets.s3 import S3, Server, parts
from pipeline.handoff.wrapping import Retried, Verified


@pytest.fixture(scope="module")
def moto():
    server = Moto()
    yield server
    server.close()


@pytest.fixture
def small_parts(monkeypatch):
    """Parts so small that a test's bag has several; S3's least is 5 MiB."""
    monkeypatch.setattr(s3, "PART", 5 << 20)


LARGE = b"".join(bytes([n]) * (1 << 20) for n in range(18))


def large(watched=None):
    def read(offset):
        for at in range(offset, len(LARGE), 1 << 20):
            if watched is not None:
                watched.append(at)
            yield LARGE[at : at + (1 << 20)]

    return item("toll_run/data/large.bin", len(LARGE), read)


class Flaky:
    """A client that breaks off after so many parts, and counts those it sent."""

    def __init__(self, client, most: float = float("inf")) -> None:
        self._client, self.most, self.sent = client, most, []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def upload_part(self, **fields):
        if len(self.sent) >= self.most:
            raise s3.Unconnected(error="cut")
        self.sent.append(fields["PartNumber"])
        return self._client.upload_part(**fields)


def place(moto, bucket, **options):
    return S3(moto.server(bucket), clock=Clock(), **options)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_no_part_that_was_confirmed_is_sent_again(moto, small_parts, after):
    bucket = f"parts-{after}"
    client = moto.bucket(bucket)
    one = place(moto, bucket)
    one._client = Flaky(one._client, after)
    with pytest.raises(TransientError):
        one.put(NONCE, large())
    again = place(moto, bucket)
    again._client = Flaky(again._client)
    again.put(NONCE, large())
    assert again._client.sent == [n for n in range(1, 5) if n > after]
    assert buckets.body(client, bucket, "toll/toll_run/data/large.bin") == LARGE


def test_parts_of_other_bytes_are_not_gone_on_with(moto, small_parts):
    client = moto.bucket("others")
    key = "toll/toll_run/data/large.bin"
    upload = client.create_multipart_upload(Bucket="others", Key=key)["UploadId"]
    client.upload_part(
        Bucket="others", Key=key, UploadId=upload, PartNumber=1, Body=bytes(5 << 20)
    )
    one = place(moto, "others")
    one._client = Flaky(one._client)
    one.put(NONCE, large())
    assert one._client.sent == [1, 2, 3, 4]
    assert buckets.body(client, "others", key) == LARGE


def test_an_object_that_comes_between_is_not_replaced(moto, small_parts, monkeypatch):
    client = moto.bucket("race")
    one = place(moto, "race")
    monkeypatch.setattr(
        one, "_there", lambda _: None
    )  # it was not there when we looked
    client.put_object(Bucket="race", Key="toll/toll_run/data/small", Body=b"theirs")
    with pytest.raises(TakenError):
        one.put(NONCE, item("toll_run/data/small", 4, lambda _: iter([b"ours"])))
    assert buckets.body(client, "race", "toll/toll_run/data/small") == b"theirs"


def test_an_object_is_kept_from_deletion_where_that_is_asked(moto):
    client = moto.bucket("locked", lock=True)
    server = moto.server("locked")
    one = S3(server, clock=SystemClock(), retain=timedelta(days=30))
    one.put(NONCE, item("toll_run/a", 1, lambda _: iter([b"a"])))
    head = client.head_object(Bucket="locked", Key="toll/toll_run/a")
    assert head["ObjectLockMode"] == "GOVERNANCE"


def test_a_bucket_that_cannot_lock_is_told(moto):
    moto.bucket("open")
    one = place(moto, "open", retain=timedelta(days=30))
    with pytest.raises(DepositError, match=r"[Ll]ock"):
        one.put(NONCE, item("toll_run/a", 1, lambda _: iter([b"a"])))


def test_a_bucket_that_is_not_there_is_told(moto):
    with pytest.raises(DepositError, match="nowhere"):
        place(moto, "nowhere").preflight()


def test_a_server_that_is_not_there_may_come_back():
    server = Server(bucket="b", endpoint="http://127.0.0.1:9", access="a", secret="b")
    with pytest.raises(TransientError, match="whether the server is up"):
        S3(server, clock=Clock()).preflight()


def test_every_item_is_cut_in_the_same_way(small_parts):
    sizes = [len(part) for part in parts(large())]
    assert sizes == [5 << 20, 5 << 20, 5 << 20, 3 << 20]
    assert b"".join(parts(large())) == LARGE


def test_what_is_too_large_for_ten_thousand_parts_gets_larger_ones(monkeypatch):
    monkeypatch.setattr(s3, "PART", 1000)
    monkeypatch.setattr(s3, "MOST_PARTS", 3)
    data = bytes(6001)
    cut = list(parts(item("x", len(data), lambda _: iter([data]))))
    assert [len(part) for part in cut] == [3000, 3000, 1]


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("lie", LIES)
def test_no_lie_gets_a_receipt(tmp_path, small_parts, lie, layout):
    liar = Liar(lie)
    server = Server(bucket="b", endpoint=liar.endpoint, access="a", secret="b")
    clock = Clock()
    target = Copies(
        name="liar",
        kind="s3",
        place=Verified(Retried(S3(server, clock=clock), clock)),
        layout=layout,
        clock=clock,
    )
    with pytest.raises(DepositError):
        target.deposit(consignment(tmp_path))
    liar.close()


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_about_parts_gets_a_receipt(small_parts, lie):
    liar = Liar(lie)
    server = Server(bucket="b", endpoint=liar.endpoint, access="a", secret="b")
    clock = Clock()
    with pytest.raises(DepositError):
        Verified(Retried(S3(server, clock=clock), clock, attempts=2)).put(
            NONCE, large()
        )
    liar.close()


def test_this_machines_own_settings_are_not_asked(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[default]\nendpoint_url = http://evil.example\nregion = xx\n"
    )
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://evil.example")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example")
    client = Server(bucket="b", access="a", secret="b").client()
    assert client.meta.endpoint_url == "https://s3.amazonaws.com"
    assert client.meta.region_name == "us-east-1"
    assert "AKID" not in repr(Server(bucket="b", access="AKID", secret="hidden"))
