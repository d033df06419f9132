"""What the tests of deposits stand on: bags to hand over, and targets of every kind."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import shelf
from baggery import sound
from msgspec.structs import replace

from pipeline.handoff.consignment import Consignment, Layout
from pipeline.handoff.copies import Copies
from pipeline.handoff.targets.folder import Folder
from pipeline.handoff.wrapping import Retried, Verified
from pipeline.packaging import bag as bags

NONCE = "0123456789abcdef0123456789abcdef"
LONG = bytes(range(256)) * 12_000  # three pieces and a bit


class Clock(shelf.TickingClock):
    """Waits for nothing, and notes how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def sleep(self, seconds, until=None):
        self.waited.append(seconds)

    def jitter(self):
        return 0.0

    def uuid(self):
        return "00000000-0000-4000-8000-000000000000"


def consignment(folder: Path, *names: str, nonce: str = NONCE, **options: Any):
    """Bags made by hand, ready to be handed over; the first has a long file."""
    made = []
    for name in names or ("toll_run", "toll_report"):
        place = folder / name
        if not place.is_dir():
            files = {b"data/letter.txt": name.encode(), b"data/a/long.bin": LONG}
            sound(place, files=files if not made else {b"data/b.txt": b"b\n"})
        made.append(bags.read(place))
    return Consignment(nonce=nonce, bags=tuple(made), **options)


def fill(store) -> None:
    """Put the bag of a source and the bag of its run into an archive."""
    with store.lock("test"):
        told = shelf.accession()
        folder = store.stage(told.bag)
        made, run = shelf.pack(folder, told), told.run
        store.accession(folder, made, job="toll", run=run.id, started=run.started)
        folder = store.stage(shelf.run_id(0))
        made = shelf.pack_run(folder, 0, [shelf.outcome("report", "captured", "first")])
        store.accession(folder, made, job="toll", run=made.id, started=run.started)


@dataclass(kw_only=True)
class Bench:
    """A target with its other side in reach of the test."""

    target: Any
    held: Callable[[], dict[str, bytes]]  # what stands there for others to see
    put: Callable[[str, bytes], None]  # something stands there before us
    spoil: Callable[[str], None]  # one byte of something there changes
    lose: Callable[[str], None]
    server: Any = None  # is closed in the end
    cut: Callable[[], None] | None = None  # breaks the next attempt, where we can't
    exempt: dict[str, str] = field(default_factory=dict)  # promise: why it makes none


def tree(root: Path) -> dict[str, bytes]:
    """Every visible file beneath a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.relative_to(root).parts[0].startswith(".")
    }


def on_disk(root: Path, target: Any, **options: Any) -> Bench:
    """A bench whose other side is a folder."""

    def put(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)

    def spoil(path: str) -> None:
        data = bytearray((root / path).read_bytes())
        data[len(data) // 2] ^= 1
        (root / path).write_bytes(data)

    return Bench(
        target=target,
        held=lambda: tree(root),
        put=put,
        spoil=spoil,
        lose=lambda path: (root / path).unlink(),
        **options,
    )


def folder(tmp_path: Path, layout: Layout = Layout.TREE) -> Bench:
    root = tmp_path / "second disk"
    root.mkdir(exist_ok=True)
    target = Copies(
        name="disk",
        kind="folder",
        place=Verified(Folder(root)),
        layout=layout,
        clock=Clock(),
    )
    return on_disk(root, target)


class Watched:
    """A consignment that counts what is read of it to be sent, and may break off."""

    def __init__(self, whole: Consignment, *, most: float = float("inf")) -> None:
        self.whole, self.most = whole, most
        self.read: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def items(self, layout: Layout):
        for one in self.whole.items(layout):
            yield replace(one, read=partial(self._read, one))

    def _read(self, item, offset):
        for piece in item.read(offset):
            self.most -= len(piece)
            if self.most < 0:
                raise CutError("the line was cut")
            self.read[item.path] = self.read.get(item.path, 0) + len(piece)
            yield piece


class CutError(Exception):
    """What ends a transfer in its middle, as a power cut would."""


def s3(tmp_path: Path, moto: Any, layout: Layout = Layout.TREE) -> Bench:
    import buckets

    from pipeline.handoff.targets.s3 import S3

    bucket = buckets.safe(f"{tmp_path.name}-{layout}")
    client = moto.bucket(bucket)
    clock = Clock()
    target = Copies(
        name="vault",
        kind="s3",
        place=Verified(Retried(S3(moto.server(bucket), clock=clock), clock)),
        layout=layout,
        clock=clock,
    )

    def held():
        found = buckets.keys(client, bucket)
        return {k.removeprefix("toll/"): buckets.body(client, bucket, k) for k in found}

    def put(path, data):
        client.put_object(Bucket=bucket, Key=f"toll/{path}", Body=data)

    def spoil(path):
        data = bytearray(buckets.body(client, bucket, f"toll/{path}"))
        data[len(data) // 2] ^= 1
        put(path, bytes(data))

    def lose(path):
        client.delete_object(Bucket=bucket, Key=f"toll/{path}")

    return Bench(target=target, held=held, put=put, spoil=spoil, lose=lose)


def sftp(tmp_path: Path, sshd: Any, layout: Layout = Layout.TREE) -> Bench:
    from pipeline.handoff.targets.sftp import Sftp

    root = tmp_path / "far away"
    root.mkdir(exist_ok=True)
    clock = Clock()
    target = Copies(
        name="far",
        kind="sftp",
        place=Verified(Retried(Sftp(sshd.login(root)), clock)),
        layout=layout,
        clock=clock,
    )
    return on_disk(root, target)


KEEPS = """\
if [ -e "$0/../cut" ]; then
  rm "$0/../cut"; mkdir "$0/$2"; cp "$1/bagit.txt" "$0/$2"; echo cut >&2; exit 1
fi
cp -rn "$1" "$0/" && printf '{"location": "file://%s"}' "$0"
"""


def command(tmp_path: Path, layout: Layout = Layout.TREE) -> Bench:
    from pipeline.handoff.targets.command import Command, Program

    root = tmp_path / "kept by a program"
    root.mkdir(exist_ok=True)
    program = Program(
        command=("sh", "-c", KEEPS, str(root), "{bag}", "{name}"),
        read=("cat", f"{root}/{{file}}"),
        environ={"PATH": os.environ["PATH"]},
        layout=layout,
    )
    target = Command(
        name="ours", program=program, clock=Clock(), work=tmp_path / "work"
    )
    is_tree = layout is Layout.TREE  # then it is the program that reads the bag
    return on_disk(root, target, cut=(tmp_path / "cut").touch if is_tree else None)


def archivematica(tmp_path: Path, archive: Any = None) -> Bench:
    import archives

    from pipeline.handoff.targets.archivematica import Archivematica, Pipeline

    root = tmp_path / "transfer source"
    root.mkdir(exist_ok=True)
    archive = archive or archives.Archivematica(root)
    pipeline = Pipeline(
        url=archive.url,
        user=archives.USER,
        key=archives.KEY,
        location=archives.LOCATION,
    )
    clock = Clock()
    target = Archivematica(pipeline, dropped(root, "am", "archivematica"), clock)
    return on_disk(root, target, server=archive)


def dropped(root: Path, name: str, kind: str) -> Copies:
    return Copies(
        name=name,
        kind=kind,
        place=Verified(Folder(root)),
        layout=Layout.TREE,
        clock=Clock(),
    )


def dspace(tmp_path: Path) -> Bench:
    from pipeline.handoff.targets.dspace import Dspace

    root = tmp_path / "imports"
    root.mkdir(exist_ok=True)
    return on_disk(root, Dspace(dropped(root, "dspace", "dspace")))


def internet_archive(tmp_path: Path, archive: Any = None) -> Bench:
    import archives

    from pipeline.handoff.targets.internet_archive import Account, InternetArchive

    archive = archive or archives.InternetArchive()
    account = Account(
        url=archive.url,
        access=archives.ACCESS,
        secret=archives.SECRET,
        collection="test_collection",
    )
    item = "/toll_run/"

    def spoil(path: str) -> None:
        data = bytearray(archive.kept[item + path])
        data[len(data) // 2] ^= 1
        archive.kept[item + path] = bytes(data)

    return Bench(
        target=InternetArchive("ia", account, Clock()),
        held=lambda: {p.removeprefix(item): d for p, d in archive.kept.items()},
        put=lambda path, data: archive.kept.update({item + path: data}),
        spoil=spoil,
        lose=lambda path: archive.kept.pop(item + path),
        server=archive,
    )
