"""Bags made by hand, with hashlib and nothing of ours, to be broken by the tests."""

import hashlib
import os
from pathlib import Path

ALGORITHMS = ("sha256", "sha512")
FILES = {b"data/letter.txt": b"a letter\n", b"data/photos/cat.jpg": b"a cat\n"}
TAGS = {b"notes/why.txt": b"kept because it is cited\n"}
INFO = b"Bagging-Date: 2026-09-24\nExternal-Identifier: example\n"


def put(folder: Path, path: bytes, data: bytes) -> None:
    """Write a file under a name that may be any bytes."""
    file = folder / os.fsdecode(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def get(folder: Path, path: str) -> bytes:
    return (folder / path).read_bytes()


def append(folder: Path, path: str, data: bytes) -> None:
    with (folder / path).open("ab") as stream:
        stream.write(data)


def swap(folder: Path, path: str, old: bytes, new: bytes) -> None:
    data = get(folder, path)
    assert old in data, f"{old!r} is not in {path}"
    put(folder, path.encode(), data.replace(old, new))


def line(algorithm: str, data: bytes, path: bytes) -> bytes:
    return hashlib.new(algorithm, data).hexdigest().encode() + b"  " + path + b"\n"


def encoded(path: bytes) -> bytes:
    return path.replace(b"%", b"%25").replace(b"\n", b"%0A").replace(b"\r", b"%0D")


def manifest(folder: Path, algorithm: str, files: dict[bytes, bytes]) -> None:
    lines = (line(algorithm, files[path], encoded(path)) for path in sorted(files))
    put(folder, b"manifest-%s.txt" % algorithm.encode(), b"".join(lines))


def sound(
    folder: Path,
    *,
    version: str = "1.0",
    files: dict[bytes, bytes] = FILES,
    algorithms: tuple[str, ...] = ALGORITHMS,
    info: bytes = INFO,
    tags: dict[bytes, bytes] = TAGS,
) -> Path:
    """Lay out a bag with nothing wrong in it."""
    put(
        folder,
        b"bagit.txt",
        b"BagIt-Version: %s\nTag-File-Character-Encoding: UTF-8\n" % version.encode(),
    )
    oxum = b"Payload-Oxum: %d.%d\n" % (sum(map(len, files.values())), len(files))
    put(folder, b"bag-info.txt", info + oxum)
    (folder / "data").mkdir()
    for path, data in (files | tags).items():
        put(folder, path, data)
    for one in algorithms:
        manifest(folder, one, files)
    return seal(folder, algorithms)


def seal(folder: Path, algorithms: tuple[str, ...] = ALGORITHMS) -> Path:
    """Write tag manifests that agree with the tag files as they are now."""
    for one in algorithms:
        (folder / f"tagmanifest-{one}.txt").unlink(missing_ok=True)
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and path.relative_to(folder).parts[0] != "data"
        and not path.name.startswith(("tagmanifest-", "seal-"))
    )
    for one in algorithms:
        lines = (
            line(one, path.read_bytes(), encoded(os.fsencode(path.relative_to(folder))))
            for path in found
        )
        put(folder, b"tagmanifest-%s.txt" % one.encode(), b"".join(lines))
    return folder
