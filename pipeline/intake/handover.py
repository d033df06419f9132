"""What a deposit needs to be told, and what means nothing to it (pure).

Each kind of target has fields that it cannot do without and fields that it understands;
any other is refused, never ignored. An address is judged by its form alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from pipeline.intake.secrecy import is_reference
from pipeline.intake.terms import Unfit, line, shown
from pipeline.model import Party

ALWAYS = frozenset({"to", "when"})
S3_URL = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#\s]*)?"
SFTP_URL = r"sftp://([^/?#\s:@]+@)?(\[[0-9a-f:]+\]|[^/?#\s:@]+)(:[0-9]{1,5})?/[^?#\s]*"
WEB_URL = r"https?://[^/?#\s@]+(/[^?#\s]*)?"
HOST_KEY = r"[a-z0-9@.-]+ [A-Za-z0-9+/]{32,}={0,2}"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Needs(Struct, frozen=True, kw_only=True):
    """The fields of one kind of target."""

    must: tuple[str, ...]
    may: tuple[str, ...] = ()
    url: str = ""  # its form; "" = a folder
    like: str = ""


NEEDS: Mapping[Party, Needs] = {
    Party.FOLDER: Needs(must=("url",), may=("layout", "rate"), like="/mnt/second-disk"),
    Party.S3: Needs(
        must=("url", "secret"),
        may=("user", "endpoint", "region", "retain", "layout", "rate"),
        url=S3_URL,
        like="s3://bucket/folder",
    ),
    Party.SFTP: Needs(
        must=("url", "secret", "host_key"),
        may=("user", "layout", "rate"),
        url=SFTP_URL,
        like="sftp://me@host.example/folder",
    ),
    Party.ARCHIVEMATICA: Needs(
        must=("url", "secret", "drop", "location"),
        may=("user", "processing", "rate"),
        url=WEB_URL,
        like="https://archivematica.example",
    ),
    Party.INTERNET_ARCHIVE: Needs(
        must=("secret",),
        may=("url", "user", "collection", "rate"),
        url=WEB_URL,
        like="https://s3.us.archive.org",
    ),
    Party.DSPACE: Needs(must=("url",), may=("rate",), like="/srv/dspace/import"),
    Party.COMMAND: Needs(must=("command",), may=("read", "secret", "layout")),
}


def complaints(values: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Tell what is wrong with a deposit: the field, the complaint, what to do."""
    party = values.get("to")
    if not isinstance(party, Party):
        return
    needs = NEEDS[party]
    for name in needs.must:
        if name not in values:
            yield "to", f'"{name}" is missing, and {party} needs it', f"add {name}"
    for name in values.keys() - ALWAYS - {*needs.must, *needs.may}:
        known = ", ".join((*needs.must, *needs.may))
        message = f"it means nothing to {party}"
        yield name, message, f"remove the line; {party} knows {known}"
    url = values.get("url")
    if isinstance(url, str) and needs.url and not re.fullmatch(needs.url, url):
        yield "url", f"{shown(url)} is no address of {party}", f"like {needs.like}"
    if isinstance(url, str) and not needs.url and "://" in url:
        yield "url", f"{shown(url)} is no folder", f"like {needs.like}"


def reference(text: str) -> str:
    """Take the place where a secret is kept."""
    if not is_reference(text):
        message = "a secret is not written out; only where it is kept"
        raise Unfit(message, "write env:NAME or file:PATH")
    return text


def user(text: str) -> str:
    """Take the name of a user, or the place where it is kept."""
    if text.startswith(("env:", "file:")):
        return reference(text)
    return line(text)


class Form(Struct, frozen=True):
    """A term that is known by its form."""

    form: str
    wanted: str
    like: str

    def __call__(self, text: str) -> str:
        """Take a text of this form."""
        if not re.fullmatch(self.form, text):
            raise Unfit(f"{shown(text)} is not {self.wanted}", f"like {self.like}")
        return text


def variables(values: Mapping[str, object]) -> Iterable[str]:
    """List the environment variables that a deposit refers to."""
    told = (values.get("secret"), values.get("user"))
    return tuple(
        one.removeprefix("env:")
        for one in told
        if isinstance(one, str) and one.startswith("env:")
    )
