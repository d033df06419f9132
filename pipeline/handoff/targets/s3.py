"""An S3 bucket: each item an object, made only where there is none.

What is large goes in parts, each with its SHA-256; parts that the server confirmed are
not sent again. No setting of this machine is read but what is handed in: no profile,
no proxy, no other endpoint. That an answer says 200 proves nothing here.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as Unconnected
from msgspec import Struct

from pipeline.clock import Clock
from pipeline.fixity import PIECE
from pipeline.handoff.consignment import Item, hashed
from pipeline.handoff.target import (
    AbsentError,
    DepositError,
    TakenError,
    TransientError,
)

PART = 5 << 20  # bytes, the least that S3 takes; a multiple where 10,000 are too few
MOST_PARTS = 9_000
PASSING = frozenset({"SlowDown", "RequestTimeout", "ConditionalRequestConflict"})
TAKEN = frozenset({"PreconditionFailed"})
ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
SERVER_FAULT = 500
OWN = {  # in place of this machine's: no file, no variable, a default
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
TOLD = ("ETag", "VersionId", "ChecksumSHA256", "ServerSideEncryption")


class Server(Struct, frozen=True, kw_only=True):
    """Where a bucket is, and who knocks."""

    bucket: str
    prefix: str = ""  # with a slash at its end, or empty
    endpoint: str = ""  # "" = Amazon's
    region: str = ""
    access: str
    secret: str

    def __repr__(self) -> str:
        return f"Server({self.bucket})"

    def client(self) -> Any:
        """Open a client; nothing is asked yet."""
        core = botocore.session.Session(session_vars=OWN)
        return boto3.Session(botocore_session=core).client(
            "s3",
            endpoint_url=self.endpoint or None,
            region_name=self.region or "us-east-1",
            aws_access_key_id=self.access,
            aws_secret_access_key=self.secret,
            config=Config(
                retries={"total_max_attempts": 1},  # patience is for ``Retried``
                connect_timeout=15,
                read_timeout=60,
                proxies={},
                ignore_configured_endpoint_urls=True,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if self.endpoint else "auto"},
            ),
        )


class S3:
    """A bucket, or a folder of one."""

    def __init__(
        self, server: Server, *, clock: Clock, retain: timedelta | None = None
    ) -> None:
        self._server = server
        self._clock = clock
        self._retain = retain
        self._client = server.client()

    @property
    def location(self) -> str:
        """Tell where it is."""
        one = self._server
        at = f" at {one.endpoint}" if one.endpoint else ""
        return f"s3://{one.bucket}/{one.prefix}{at}"

    def preflight(self) -> None:
        """Raise DepositError where there is no bucket for us."""
        with self._told(self._server.bucket):
            self._client.head_bucket(Bucket=self._server.bucket)

    def put(self, transfer: str, item: Item) -> str:
        """Make one object, in parts where it is large."""
        with self._told(item.path):
            if (there := self._there(item.path)) is not None:
                self._require_same(item, there)
                return ""
            send = self._whole if item.size <= PART else self._in_parts
            answer = send(transfer, item)
            self._require_locked(item.path)
        return f"{item.path} {_line(answer)}"

    def read(self, path: str, *, transfer: str = "") -> Iterator[bytes]:
        """Yield the bytes of an object."""
        del transfer  # nothing stands aside
        with self._told(path):
            body = self._client.get_object(**self._named(path))["Body"]
            try:
                yield from body.iter_chunks(PIECE)
            finally:
                body.close()

    def publish(self, transfer: str, names: tuple[str, ...]) -> str:
        """Nothing stands aside: an object has its name once it is whole."""
        del transfer, names
        return ""

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    # -------------------------------------------------------------------- one object

    def _named(self, path: str) -> dict[str, Any]:
        return {"Bucket": self._server.bucket, "Key": self._server.prefix + path}

    def _made(self, transfer: str, item: Item) -> dict[str, Any]:
        """Tell what an object is made with."""
        fields = {
            **self._named(item.path),
            "Metadata": {
                "muniment-sha256": item.digest.hex,
                "muniment-transfer": transfer,
            },
        }
        if self._retain is not None:
            fields["ObjectLockMode"] = "GOVERNANCE"
            fields["ObjectLockRetainUntilDate"] = self._clock.now() + self._retain
        return fields

    def _there(self, path: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._client.head_object(**self._named(path))
        except ClientError as error:
            if _code(error) in ABSENT:
                return None
            raise
        return found

    def _require_same(self, item: Item, there: Mapping[str, Any]) -> None:
        """Leave what an earlier attempt made; refuse anything else."""
        if there["ContentLength"] == item.size:
            told = there.get("Metadata", {}).get("muniment-sha256")
            if (
                told == item.digest.hex
                or hashed(self.read(item.path))[1] == item.digest
            ):
                return
        raise self._taken(item.path)

    def _taken(self, path: str) -> TakenError:
        return TakenError(
            f"{self.location}: {path} stands already with other bytes, and nothing is"
            " replaced there; look what it is, move it away, and retry"
        )

    def _require_locked(self, path: str) -> None:
        if self._retain is None:
            return
        until = (self._there(path) or {}).get("ObjectLockRetainUntilDate")
        if until is None or until <= self._clock.now():
            raise DepositError(
                f"{self.location}: {path} was to be kept from deletion, and is not;"
                " make the bucket with Object Lock, or take `retain` out"
            )

    def _whole(self, transfer: str, item: Item) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._client.put_object(
            **self._made(transfer, item),
            Body=b"".join(item.read(0)),
            IfNoneMatch="*",
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=base64.b64encode(bytes.fromhex(item.digest.hex)).decode(),
        )
        return answer

    # ---------------------------------------------------------------------- in parts

    def _in_parts(self, transfer: str, item: Item) -> Mapping[str, Any]:
        named = self._named(item.path)
        upload, kept = self._unfinished(item)
        if not upload:
            begun = self._client.create_multipart_upload(
                **self._made(transfer, item), ChecksumAlgorithm="SHA256"
            )
            upload = begun["UploadId"]
        named["UploadId"] = upload
        sent = []
        for number, data in enumerate(parts(item), start=1):
            checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
            tag = kept[number - 1] if number <= len(kept) else ""
            if not tag:
                answer = self._client.upload_part(
                    **named, PartNumber=number, Body=data, ChecksumSHA256=checksum
                )
                tag = answer["ETag"]
            part = {"PartNumber": number, "ETag": tag, "ChecksumSHA256": checksum}
            sent.append(part)
            del data  # before the next is gathered
        answer = self._client.complete_multipart_upload(
            **named, MultipartUpload={"Parts": sent}, IfNoneMatch="*"
        )
        return dict(answer)

    def _unfinished(self, item: Item) -> tuple[str, list[str]]:
        """Find an upload that holds the beginning of an item; its parts' ETags."""
        named = self._named(item.path)
        best: tuple[str, list[str]] = ("", [])
        try:
            found = self._client.list_multipart_uploads(
                Bucket=named["Bucket"], Prefix=named["Key"]
            )
        except ClientError as error:
            if _code(error) == "AccessDenied":  # a key that may put, and no more
                return best
            raise
        for one in found.get("Uploads", ()):
            if one["Key"] == named["Key"]:
                tags = self._confirmed(item, one["UploadId"])
                if tags is not None and (not best[0] or len(tags) > len(best[1])):
                    best = (one["UploadId"], tags)
        return best

    def _confirmed(self, item: Item, upload: str) -> list[str] | None:
        """List the ETags of the first parts; None where they are of other bytes."""
        listed = self._client.get_paginator("list_parts").paginate(
            **self._named(item.path), UploadId=upload
        )
        held = [part for page in listed for part in page.get("Parts", ())]
        tags = []
        for number, (part, data) in enumerate(zip(held, parts(item), strict=False), 1):
            if part["PartNumber"] != number or not _is_of(part, data):
                return None
            tags.append(part["ETag"])
        return tags

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Tell what the server or the line runs into."""
        where = f"{self.location}: {path}"
        try:
            yield
        except ClientError as error:
            code = _code(error)
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in TAKEN:
                raise self._taken(path) from None
            if code in ABSENT:
                raise AbsentError(f"{where}: it is not there; {_why(error)}") from None
            if status >= SERVER_FAULT or code in PASSING:
                message = f"{where}: {_why(error)}; retry, or look after the server"
                raise TransientError(message) from None
            raise DepositError(
                f"{where}: the server refuses: {_why(error)}; look at the bucket, the"
                " key and what it may do"
            ) from None
        except (Unconnected, HTTPClientError, BotoCoreError) as error:
            raise TransientError(
                f"{where}: {error}; see whether the server is up, and retry"
            ) from None


def parts(item: Item) -> Iterator[bytes]:
    """Cut an item into parts, of the same size each time it is cut."""
    size = PART * -(-item.size // (PART * MOST_PARTS))
    held: list[bytes] = []
    missing = size
    for piece in item.read(0):
        view = memoryview(piece)
        while len(view) >= missing:
            held.append(bytes(view[:missing]))
            part = b"".join(held)
            held.clear()
            view, missing = view[missing:], size
            yield part
            del part  # the next is gathered without it
        if view:
            held.append(bytes(view))
            missing -= len(view)
    if held:
        yield b"".join(held)


def _is_of(part: Mapping[str, Any], data: bytes) -> bool:
    """Tell whether a part that the server lists has these bytes."""
    if part["Size"] != len(data):
        return False
    if told := part.get("ChecksumSHA256"):
        return base64.b64encode(hashlib.sha256(data).digest()).decode() == str(told)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return md5 == str(part["ETag"]).strip('"')


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _why(error: ClientError) -> str:
    told = error.response.get("Error", {})
    return f"{told.get('Code', 'no code')} {told.get('Message', '')}".strip()


def _line(answer: Mapping[str, Any]) -> str:
    """Tell what a server said of an object it made."""
    return " ".join(f"{name}={answer[name]}" for name in TOLD if answer.get(name))
