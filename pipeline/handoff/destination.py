"""From what a manifest or the configuration says to a target that can be driven.

Secrets are looked up here, at the last moment, and masked in whatever a target says:
its answers, its errors, its tracebacks. A kind of target whose optional part is not
installed is told with the command that installs it.
"""

import base64
import html
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.disk import small_file
from pipeline.errors import MissingExtraError, PipelineError, UsageError
from pipeline.handoff.consignment import Consignment, Layout
from pipeline.handoff.copies import Copies
from pipeline.handoff.target import DepositError, Place, Target
from pipeline.handoff.wrapping import Paced, Retried, Verified
from pipeline.holdings.room import OWN
from pipeline.intake.manifest import deposits_in, deposits_of
from pipeline.model import Deposit, Finding, Manifest, Party, Receipt, When

LARGEST_SECRET = 1 << 16
MASK = "***"
SSH_PORT = 22
PIECE = 8  # characters of one that are told by nobody either
LONGEST_PART = 1 << 10
SHORTEST = 4  # characters; what is shorter hides nothing and would mask every text
EXTRAS = {Party.S3: ("boto3", "s3"), Party.SFTP: ("paramiko", "sftp")}
USUAL = {  # what the users of each are used to
    Party.FOLDER: Layout.TREE,
    Party.SFTP: Layout.TREE,
    Party.S3: Layout.TREE,
    Party.COMMAND: Layout.TREE,
}


class Credentials(Struct, frozen=True, kw_only=True):
    """Who deposits, and the secret of theirs."""

    user: str = ""
    secret: str = ""

    def pair(self) -> tuple[str, str]:
        """Part a secret that names its user as well: ``user:secret``."""
        if self.user or ":" not in self.secret:
            return self.user, self.secret
        user, _, secret = self.secret.partition(":")
        return user, secret

    def mask(self, text: str) -> str:
        """Hide the secret, wherever it stands in a text, and in whatever spelling."""
        told = {self.secret, *self.pair()[1:], *self.secret.splitlines()}
        told |= {":".join(self.pair())}  # as it goes into a header
        known = {form for one in told for form in _spelt(one)}
        cut = {part for one in known for part in _parts(one, text)}
        for one in sorted(known | cut, key=len, reverse=True):
            text = text.replace(one, MASK)
        return text

    def __repr__(self) -> str:
        return "Credentials(***)"


def _parts(secret: str, text: str) -> Iterator[str]:
    """Yield what may be left of a secret where a text was cut in its middle."""
    sizes = range(PIECE, min(len(secret), LONGEST_PART))
    if len(secret) > PIECE and secret[:PIECE] in text:
        yield from (secret[:size] for size in sizes)
    if len(secret) > PIECE and secret[-PIECE:] in text:
        yield from (secret[-size:] for size in sizes)


def _spelt(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and as addresses, headers, JSON and XML spell it."""
    if len(secret) < SHORTEST:
        return
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", "\\/")
    yield html.escape(secret)
    yield repr(secret)[1:-1]


def credentials_of(told: Deposit, environ: Mapping[str, str]) -> Credentials:
    """Look up what a deposit refers to. Raises UsageError for what leads nowhere."""
    return Credentials(
        user=_looked_up(told, "user", environ),
        secret=_looked_up(told, "secret", environ),
    )


def _looked_up(told: Deposit, name: str, environ: Mapping[str, str]) -> str:
    text: str = getattr(told, name)
    kind, colon, where = text.partition(":")
    if not colon or kind not in ("env", "file"):
        return text
    field = f"deposit.{told.name}.{name}"
    try:
        if kind == "env":
            value = environ[where]
        else:
            value = small_file(path_of(told, where), LARGEST_SECRET).decode()
    except KeyError:
        message = f"{field}: the environment has no {where}; set it and retry"
        raise UsageError(message) from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        message = f"{field}: {where} can't be read as text: {why}"
        raise UsageError(message) from None
    if not value.strip():
        raise UsageError(f"{field}: {kind}:{where} is empty; set it and retry")
    return value.strip()


def path_of(told: Deposit, text: str) -> Path:
    """Find a path that a deposit names, leaning on where it was written.

    Raises UsageError for a relative one that nothing is known to lean on.
    """
    path = Path(text.removeprefix("file://")).expanduser()
    if not path.is_absolute() and not told.base.is_absolute():
        raise UsageError(
            f"deposit.{told.name}: {text} is relative to a manifest, and only its copy"
            " in the run's bag is at hand; name the manifest with --manifest, or set"
            f" [deposit.{told.name}] in muniment.toml"
        )
    return told.base / path


def known(
    config: Config, manifests: Iterable[Manifest] = (), copies: Iterable[Path] = ()
) -> dict[str, Deposit]:
    """Gather deposits by name.

    The configuration goes before a manifest, and that before its copy in a run's bag.
    What a manifest names is done by its runs where nothing else is said; what only the
    configuration names is not. Raises UsageError.
    """
    copied = (one for copy in copies if copy.is_file() for one in deposits_in(copy))
    named = (one for read in manifests for one in read.deposits)
    found = {one.name: _said(one, When.COMPLETE) for one in (*copied, *named)}
    if config.deposits is not None:
        for one in deposits_of(config.deposits.text, config.deposits.folder):
            before = found.get(one.name)
            when = (before and before.when) or When.MANUAL
            found[one.name] = _said(one, when)
    return found


def _said(told: Deposit, when: When) -> Deposit:
    return told if told.when else replace(told, when=when)


def chosen(deposits: Mapping[str, Deposit], names: Iterable[str]) -> list[Deposit]:
    """Pick deposits by name. Raises UsageError, which names those there are."""
    for name in names:
        if name not in deposits:
            there = ", ".join(sorted(deposits)) or "none"
            raise UsageError(
                f"{name}: no deposit of this name is configured; there are: {there}."
                f" Write [deposit.{name}] in muniment.toml, or name a --manifest"
            )
    return [deposits[name] for name in dict.fromkeys(names)]


def target_of(
    told: Deposit, *, environ: Mapping[str, str], clock: Clock, work: Path
) -> Target:
    """Make the target that a deposit names; nothing is connected to yet.

    ``work`` is a folder for what has to stand on disk on its way. Raises UsageError
    for a secret that is not to be had, MissingExtraError.
    """
    keys = credentials_of(told, environ)
    _require_extra(told)
    return Discreet(target=_MAKERS[told.to](told, keys, clock, work), keys=keys)


def _require_extra(told: Deposit) -> None:
    module, extra = EXTRAS.get(told.to, ("", ""))
    try:
        if module:
            import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"deposit.{told.name}: {told.to} needs {module}, which is not installed;"
            f" pip install 'muniment[{extra}]'"
        ) from error


Maker = Callable[[Deposit, Credentials, Clock, Path], Target]


def wrapped(told: Deposit, place: Place, clock: Clock) -> Place:
    """Give a place patience, a pace where one is set, and a second look."""
    paced = Paced(place, clock, told.rate) if told.rate else place
    return Verified(Retried(paced, clock))


def _copies(told: Deposit, place: Place, clock: Clock) -> Target:
    layout = Layout(told.layout) if told.layout else USUAL[told.to]
    return Copies(
        name=told.name,
        kind=told.to.value,
        place=wrapped(told, place, clock),
        layout=layout,
        clock=clock,
    )


def _folder(told: Deposit, _: Credentials, clock: Clock, __: Path) -> Target:
    from pipeline.handoff.targets.folder import Folder  # noqa: PLC0415 - as it is asked

    return _copies(told, Folder(path_of(told, told.url)), clock)


def _s3(told: Deposit, keys: Credentials, clock: Clock, _: Path) -> Target:
    from pipeline.handoff.targets.s3 import S3, Server  # noqa: PLC0415 - likewise

    access, secret = keys.pair()
    bucket, _slash, prefix = told.url.removeprefix("s3://").partition("/")
    server = Server(
        bucket=bucket,
        prefix=f"{prefix.strip('/')}/" if prefix.strip("/") else "",
        endpoint=told.endpoint,
        region=told.region,
        access=access,
        secret=secret,
    )
    return _copies(told, S3(server, clock=clock, retain=told.retain), clock)


def _sftp(told: Deposit, keys: Credentials, clock: Clock, _: Path) -> Target:
    from pipeline.handoff.targets.sftp import Login, Sftp  # noqa: PLC0415 - likewise

    parts = urlsplit(told.url)
    named = keys.user or unquote(parts.username or "")
    user, secret = (named, keys.secret) if named else keys.pair()
    login = Login(
        host=parts.hostname or "",
        port=parts.port or SSH_PORT,
        folder=unquote(parts.path),
        host_key=told.host_key,
        user=user,
        secret=secret,
    )
    return _copies(told, Sftp(login), clock)


def _archivematica(told: Deposit, keys: Credentials, clock: Clock, _: Path) -> Target:
    from pipeline.handoff.targets.archivematica import (  # noqa: PLC0415 - likewise
        Archivematica,
        Pipeline,
    )

    user, key = keys.pair()
    pipeline = Pipeline(
        url=told.url.rstrip("/"),
        user=user,
        key=key,
        location=told.location,
        processing=told.processing,
    )
    return Archivematica(pipeline, _dropped(told, told.drop, clock), clock)


def _internet_archive(
    told: Deposit, keys: Credentials, clock: Clock, _: Path
) -> Target:
    from pipeline.handoff.targets.internet_archive import (  # noqa: PLC0415 - likewise
        USUAL as ADDRESS,
    )
    from pipeline.handoff.targets.internet_archive import (  # noqa: PLC0415 - likewise
        Account,
        InternetArchive,
    )

    access, secret = keys.pair()
    account = Account(
        url=told.url or ADDRESS,
        access=access,
        secret=secret,
        collection=told.collection,
    )
    return InternetArchive(told.name, account, clock, rate=told.rate or 0)


def _dspace(told: Deposit, _: Credentials, clock: Clock, __: Path) -> Target:
    from pipeline.handoff.targets.dspace import Dspace  # noqa: PLC0415 - likewise

    return Dspace(_dropped(told, told.url, clock))


def _dropped(told: Deposit, folder: str, clock: Clock) -> Copies:
    """Make copies in a folder that another program takes them from."""
    from pipeline.handoff.targets.folder import Folder  # noqa: PLC0415 - likewise

    return Copies(
        name=told.name,
        kind=told.to.value,
        place=wrapped(told, Folder(path_of(told, folder)), clock),
        layout=Layout.TREE,
        clock=clock,
    )


def _command(told: Deposit, keys: Credentials, clock: Clock, work: Path) -> Target:
    from pipeline.handoff.targets.command import Command, Program  # noqa: PLC0415

    program = Program(
        command=_words(told, told.command),
        read=_words(told, told.read),
        environ=dict(os.environ),
        secret=keys.secret,
        layout=Layout(told.layout) if told.layout else USUAL[told.to],
    )
    return Command(name=told.name, program=program, clock=clock, work=work)


def _words(told: Deposit, words: tuple[str, ...]) -> tuple[str, ...]:
    """Find a program that is named by a path beside what names it."""
    if words and "/" in words[0]:
        return (str(path_of(told, words[0])), *words[1:])
    return words


_MAKERS: Mapping[Party, Maker] = {
    Party.FOLDER: _folder,
    Party.S3: _s3,
    Party.SFTP: _sftp,
    Party.ARCHIVEMATICA: _archivematica,
    Party.INTERNET_ARCHIVE: _internet_archive,
    Party.DSPACE: _dspace,
    Party.COMMAND: _command,
}


class Discreet(Struct, frozen=True, kw_only=True):
    """A target that tells nobody its secret, whatever it says or how it fails."""

    target: Target
    keys: Credentials

    @property
    def name(self) -> str:
        """What the target is called."""
        return self.target.name

    def preflight(self) -> None:
        """Ask the target."""
        with self._discreetly():
            self.target.preflight()

    def deposit(self, consignment: Consignment) -> Receipt:
        """Hand over, and mask the answer and what is to be noted of it."""
        mask = self.keys.mask
        noted = replace(consignment, note=lambda text: consignment.note(mask(text)))
        with self._discreetly():
            receipt = self.target.deposit(noted)
        return replace(
            receipt, answer=mask(receipt.answer), location=mask(receipt.location)
        )

    def verify(self, receipt: Receipt) -> tuple[Finding, ...]:
        """Ask the target, and mask what it says."""
        with self._discreetly():
            found = self.target.verify(receipt)
        return tuple(replace(one, message=self.keys.mask(one.message)) for one in found)

    def fetch(self, receipt: Receipt, bag: str, into: Path) -> Path:
        """Ask the target."""
        with self._discreetly():
            return self.target.fetch(receipt, bag, into)

    def close(self) -> None:
        """Hang up."""
        with self._discreetly():
            self.target.close()

    @contextmanager
    def _discreetly(self) -> Iterator[None]:
        try:
            yield
        except PipelineError as error:
            told = type(error)(self.keys.mask(str(error)))
            raise told.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001 - one target harms no other
            text = f"{type(error).__name__}: {error}"
            raise DepositError(
                f"{self.name}: {self.keys.mask(text)}; a fault of Muniment or of what"
                " it stands on, what was confirmed stays there"
            ) from None


def opened(
    told: Iterable[Deposit], *, environ: Mapping[str, str], clock: Clock, root: Path
) -> Iterator[Target]:
    """Make targets one after the other; one that can't be made fails when it is asked.

    What a target needs on disk on its way stands in the archive's own work folder,
    which is cleared first.
    """
    work = root / OWN / "work"
    shutil.rmtree(work, ignore_errors=True)
    for one in told:
        try:
            yield target_of(one, environ=environ, clock=clock, work=work)
        except UsageError as error:
            yield Absent(name=one.name, error=error)


class Absent(Struct, frozen=True, kw_only=True):
    """A target that could not be made: its secret or what it stands on is not there."""

    name: str
    error: UsageError

    def preflight(self) -> None:
        """Tell why."""
        raise DepositError(str(self.error))

    def deposit(self, _: Consignment) -> Receipt:
        """Tell why."""
        raise DepositError(str(self.error))

    def verify(self, _: Receipt) -> tuple[Finding, ...]:
        """Tell why."""
        raise DepositError(str(self.error))

    def fetch(self, _receipt: Receipt, _bag: str, _into: Path) -> Path:
        """Tell why."""
        raise DepositError(str(self.error))

    def close(self) -> None:
        """Nothing was opened."""
