"""The benches of bags: making and checking them, beside bagit and openssl.

The bags are made with nobody's tool (RFC 8493, 2.1 and 2.2), the same in every run.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benches import MUNIMENT, Sizes, absent, bagit, nothing
from contest import MB, Bench, Contender, Want
from measure import Step, WrongError

ALGORITHMS = ("sha256", "sha512")
PIECE = 1_000_000
SEVERAL = 8
FOLDER = 1_000  # files in one folder


def payload(folder: Path, sizes: Mapping[str, int]) -> Iterator[tuple[str, list[str]]]:
    """Write files that differ; yield each path with its digests."""
    for number, (name, size) in enumerate(sizes.items()):
        hashes = [hashlib.new(algorithm) for algorithm in ALGORITHMS]
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, size, PIECE):
                seed = f"{number} {start}".encode()
                piece = (hashlib.sha256(seed).digest() * (PIECE // 32))[: size - start]
                file.write(piece)
                for one in hashes:
                    one.update(piece)
        yield name, [one.hexdigest() for one in hashes]


def bag(folder: Path, sizes: Mapping[str, int], algorithms: int = 2) -> Path:
    """Make a bag of files of these sizes, with the first or both algorithms.

    Lines are written as they come: a child's peak is told from its parent's upwards.
    """
    names = ALGORITHMS[:algorithms]
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        lists = [
            stack.enter_context((folder / f"manifest-{name}.txt").open("w"))
            for name in names
        ]
        for path, digests in payload(folder / "data", sizes):
            for file, digest in zip(lists, digests, strict=False):
                file.write(f"{digest}  data/{path}\n")
    oxum = f"{sum(sizes.values())}.{len(sizes)}"
    declared = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
    (folder / "bagit.txt").write_text(declared, "utf-8")
    (folder / "bag-info.txt").write_text(f"Payload-Oxum: {oxum}\n", "utf-8")
    tags = sorted(path for path in folder.iterdir() if path.is_file())
    for algorithm in names:
        tagged = ""
        for path in tags:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, algorithm).hexdigest()
            tagged += f"{digest}  {path.name}\n"
        (folder / f"tagmanifest-{algorithm}.txt").write_text(tagged, "utf-8")
    return folder


# ------------------------------------------------------------------------- contenders


def _verify(folder: Path, idle: Path, *options: str) -> Contender:
    def steps(chosen: Path) -> Callable[[Path], Sequence[Step]]:
        command = (*MUNIMENT, "verify", str(chosen), "--json", *options)
        return lambda _: [Step(argv=command)]

    def prove(home: Path) -> None:
        said = json.loads((home / "stdout").read_text("utf-8"))
        if not said["ok"] or len(said["bags"]) != 1:
            raise WrongError(f"the bag at {folder} is whole, and verify says {said}")

    return Contender(
        name="muniment verify",
        steps=steps(folder),
        proof=prove,
        idle=steps(idle),
        absent=absent("muniment"),
    )


def _bagit(name: str, folder: Path, idle: Path, *options: str) -> Contender:
    return Contender(
        name=name,
        steps=lambda _: [bagit("--validate", *options, str(folder))],
        proof=nothing,
        idle=lambda _: [bagit("--validate", *options, str(idle))],
        absent=absent("bagit"),
    )


def _openssl(folder: Path) -> Contender:
    """Digest every file twice with openssl on two cores: as fast as it goes."""
    script = (
        f"for a in {' '.join(ALGORITHMS)}; do for f in {folder}/data/*; do "
        'echo "$a $f"; done; done | sort -r | xargs -P 2 -L 1 '
        'sh -c \'exec openssl dgst "-$0" "$1"\''
    )
    return Contender(
        name="openssl dgst",
        steps=lambda _: [Step(argv=("sh", "-c", script))],
        proof=nothing,
        absent=absent("openssl"),
    )


# ------------------------------------------------------------------------------ benches


def _small_bag(home: Path) -> Path:
    return bag(home / "idle", {"one.txt": 10})


def one_large(home: Path, sizes: Sizes) -> Bench:
    """Check a bag of one large file."""
    whole, idle = bag(home / "large", {"large.bin": sizes.large}), _small_bag(home)
    return Bench(
        name="validate-2g",
        job=f"a bag of one file of {sizes.large / MB:,.0f} MB, every digest",
        amount=sizes.large / MB,
        unit="MB/s",
        contenders=(
            _verify(whole, idle),
            _bagit("bagit", whole, idle),
        ),
        wants=(Want(contender="muniment verify", against="bagit", at_least=1.35),),
        rounds=5,
    )


def several_large(home: Path, sizes: Sizes) -> Bench:
    """Check a bag of eight large files."""
    files = {f"{number}.bin": sizes.several for number in range(SEVERAL)}
    whole, idle = bag(home / "several", files), _small_bag(home)
    return Bench(
        name="validate-8x256",
        job=f"a bag of {SEVERAL} files of {sizes.several / MB:,.0f} MB, every digest",
        amount=SEVERAL * sizes.several / MB,
        unit="MB/s",
        contenders=(
            _verify(whole, idle),
            _bagit("bagit", whole, idle),
            _bagit("bagit, 2 processes", whole, idle, "--processes", "2"),
            _openssl(whole),
        ),
        wants=(
            Want(contender="muniment verify", against="bagit", at_least=1.8),
            Want(
                contender="muniment verify", against="bagit, 2 processes", at_least=0.95
            ),
            Want(
                contender="muniment verify",
                against="openssl dgst",
                at_least=0.85,
                at_work=True,
            ),
        ),
        rounds=5,
    )


def many_small(home: Path, sizes: Sizes) -> Bench:
    """Check a bag of many small files."""
    files = {f"{n // FOLDER:03d}/{n:06d}.txt": 2_000 for n in range(sizes.files)}
    whole, idle = bag(home / "small", files), _small_bag(home)
    return Bench(
        name="validate-100000",
        job=f"a bag of {sizes.files:,} files of 2 kB, every digest",
        amount=sizes.files,
        unit="files/s",
        contenders=(_verify(whole, idle), _bagit("bagit", whole, idle)),
        wants=(
            Want(contender="muniment verify", against="bagit", at_least=5),
            Want(contender="muniment verify", against="bagit", memory=0.5),
        ),
        rounds=5,
    )


def many_entries(home: Path, sizes: Sizes) -> Bench:
    """Look for every file of a very long manifest."""
    files = {f"{n // FOLDER:04d}/{n:07d}": 0 for n in range(sizes.entries)}
    whole, idle = bag(home / "entries", files, algorithms=1), _small_bag(home)
    return Bench(
        name="complete-1000000",
        job=f"a bag of {sizes.entries:,} empty files, every name",
        amount=sizes.entries,
        unit="names/s",
        contenders=(_verify(whole, idle, "--level", "complete"),),
        wants=(
            Want(contender="muniment verify", seconds=30),
            Want(contender="muniment verify", resident=300),
        ),
        rounds=3,
    )


def make_bag(home: Path, sizes: Sizes) -> Bench:
    """Make a bag from a folder that is left as it is."""
    source = home / "source"
    files = {f"{n // FOLDER:03d}/{n:06d}.txt": 2_000 for n in range(sizes.files // 10)}
    files |= {f"large/{n}.bin": sizes.several for n in range(2)}
    for _ in payload(source, files):
        pass
    empty = home / "nothing"
    for _ in payload(empty, {"one.txt": 10}):
        pass

    def ours(folder: Path, into: Path) -> list[Step]:
        return [Step(argv=(*MUNIMENT, "bag", str(folder), "--into", str(into / "bag")))]

    def theirs(folder: Path, into: Path) -> list[Step]:
        copy = Step(argv=("cp", "-a", str(folder), str(into / "bag")))
        return [copy, bagit("--sha256", "--sha512", str(into / "bag"))]

    def prove(folder: Path) -> None:
        count = sum(len(names) for _, _, names in os.walk(folder / "bag" / "data"))
        if count != len(files):
            raise WrongError(f"{count} files of {len(files)} are in the bag")

    return Bench(
        name="bag",
        job=f"a bag made of {len(files):,} files, "
        f"{sum(files.values()) / MB:,.0f} MB, the folder left as it is",
        amount=sum(files.values()) / MB,
        unit="MB/s",
        contenders=(
            Contender(
                name="muniment bag",
                steps=lambda folder: ours(source, folder),
                proof=prove,
                idle=lambda folder: ours(empty, folder),
                absent=absent("muniment"),
            ),
            Contender(
                name="cp -a, bagit",
                steps=lambda folder: theirs(source, folder),
                proof=prove,
                idle=lambda folder: theirs(empty, folder),
                absent=absent("bagit"),
            ),
        ),
        wants=(Want(contender="muniment bag", against="cp -a, bagit", at_least=1),),
        rounds=5,
    )


BENCHES = {
    "validate-2g": one_large,
    "validate-8x256": several_large,
    "validate-100000": many_small,
    "complete-1000000": many_entries,
    "bag": make_bag,
}
