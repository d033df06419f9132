"""The benches and their contenders: what is run, and how its work is proved.

Every peer gets the options that make it fastest here while it does the same job: WARC
compressed and digested, bodies thrown away, no log kept.
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contest import MB, Bench, Contender, Want
from measure import Step, WrongError, run
from origin import HOST, Origin, nginx

HERE = Path(__file__).parent
PYTHON = sys.executable
PROGRAM = Path(PYTHON).with_name("muniment")  # as a person runs it
MUNIMENT = (str(PROGRAM),) if PROGRAM.exists() else (PYTHON, "-m", "pipeline.cli")
SHARED_MEMORY = Path("/dev/shm")

BAD_MANIFEST = """\
version: 1
id: Not An Id
sources:
  one: {url: "ftp://example.org/", capture: browsr}
  two: {url: https://example.org/, delay: soon}
  three: {ulr: https://example.org/}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much work there is."""

    requisites: int = 3_000
    body: int = 300 * MB
    files: int = 100_000  # of 2 kB
    large: int = 2_000 * MB  # one file
    several: int = 256 * MB  # each of eight files
    entries: int = 1_000_000  # of a manifest


# ------------------------------------------------------------------------------- peers


@cache
def versions() -> dict[str, str]:
    """Name every part that is measured, with its version; "" for what is absent."""
    return {
        "muniment": _distribution("muniment"),
        "nginx": _program([nginx(), "-v"]) if nginx() else "",
        "wget": _program(["wget", "--version"]) if shutil.which("wget") else "",
        "warcio": _distribution("warcio"),
        "bagit": _distribution("bagit"),
        "openssl": _program(["openssl", "version"]) if shutil.which("openssl") else "",
    }


def _distribution(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _program(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    first = (done.stdout + done.stderr).splitlines()[0]
    first = first.removeprefix("nginx version: nginx/").removeprefix("OpenSSL ")
    return first.split("Wget ")[-1].split()[0]


def absent(*names: str) -> str:
    found = versions()
    return ", ".join(name for name in names if not found[name])


def bagit(*arguments: str) -> Step:
    return Step(argv=(PYTHON, "-m", "bagit", "--quiet", *arguments))


# ---------------------------------------------------------------- fetching and packing


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is fetched: the list for those who take one, the source for us."""

    origin: Origin
    paths: tuple[str, ...]
    responses: int  # that a WARC must hold at least
    payload: int  # bytes that they must hold at least

    def wget(self, folder: Path) -> Step:
        """Fetch the list into a WARC, as fast as wget can."""
        (folder / "list").write_text(self.origin.addresses(self.paths), "utf-8")
        (folder / "job").mkdir()
        memory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else folder
        return Step(
            argv=(
                *("wget", "--no-config", "--quiet", "--no-hsts", "--no-cookies"),
                *("--output-document=/dev/null", "--input-file=list"),
                *("--warc-file=job/wget", "--no-warc-keep-log"),
                f"--warc-tempdir={memory}",
            )
        )

    def warcio(self, folder: Path) -> Step:
        """Fetch the list into a WARC with warcio and requests."""
        (folder / "list").write_text(self.origin.addresses(self.paths), "utf-8")
        (folder / "job").mkdir()
        script = str(HERE / "warcio_fetch.py")
        return Step(argv=(PYTHON, script, "list", "job/warcio.warc.gz"))

    def fetch(self, folder: Path) -> Step:
        """Visit the first path with our own engine, and nothing more."""
        url = f"http://{HOST}{self.paths[0]}"
        script = str(HERE / "fetch_only.py")
        return Step(argv=(PYTHON, script, url, self.origin.connect_to, "job"))

    def muniment(self, folder: Path) -> Step:
        """Run a manifest of one source from its first request to the last fsync."""
        (folder / "bench.yaml").write_text(
            "version: 1\nid: bench\nsources:\n  page:\n"
            f"    url: http://{HOST}{self.paths[0]}\n"
            "    delay: 0s\n    requisite_delay: 0s\n    max_requisites: 5000\n",
            "utf-8",
        )
        options = ("--connect-to", self.origin.connect_to)
        options += ("--allow-address", "127.0.0.0/8", "--json")
        return Step(argv=(*MUNIMENT, "--archive", "job", "run", "bench.yaml", *options))

    def prove(self, folder: Path) -> None:
        """Count what the WARC files of a round hold."""
        names = sorted(str(path) for path in (folder / "job").rglob("*.warc.gz"))
        run(Step(argv=(PYTHON, str(HERE / "tally.py"), *names)), folder)
        found = [int(one) for one in (folder / "stdout").read_text("utf-8").split()]
        if found[0] < self.responses or found[1] < self.payload:
            raise WrongError(
                f"{names} hold {found}, not {self.responses, self.payload}"
            )

    def prove_bag(self, folder: Path) -> None:
        """Count what the WARC files hold, and look for both manifests."""
        self.prove(folder)
        for name in ("manifest-sha256.txt", "manifest-sha512.txt"):
            if not any((folder / "job").rglob(name)):
                raise WrongError(f"no {name} under {folder / 'job'}")

    def prove_run(self, folder: Path) -> None:
        """Read what the run said, then look into its bags."""
        said = json.loads((folder / "stdout").read_text("utf-8"))
        (source,) = said["sources"]
        if source["verdict"] != "captured" or source["requisites"]["missing"]:
            raise WrongError(f"the run tells of {source}")
        self.prove_bag(folder)


def _errands(errand: Errand, idle: Errand) -> tuple[Contender, ...]:
    """Everyone who can do an errand; the idle one is what they do at rest."""

    def contender(
        name: str,
        does: Callable[[Errand, Path], Sequence[Step]],
        proof: Callable[[Path], None],
        *needs: str,
    ) -> Contender:
        return Contender(
            name=name,
            steps=lambda folder: does(errand, folder),
            proof=proof,
            idle=lambda folder: does(idle, folder),
            absent=absent("nginx", *needs),
        )

    bagged = bagit("--sha256", "--sha512", "job")
    return (
        contender(
            "muniment fetch", lambda e, f: [e.fetch(f)], errand.prove, "muniment"
        ),
        contender("wget", lambda e, f: [e.wget(f)], errand.prove, "wget"),
        contender("warcio", lambda e, f: [e.warcio(f)], errand.prove, "warcio"),
        contender(
            "muniment run", lambda e, f: [e.muniment(f)], errand.prove_run, "muniment"
        ),
        contender(
            "wget, bagit",
            lambda e, f: [e.wget(f), bagged],
            errand.prove_bag,
            "wget",
            "bagit",
        ),
    )


def page(origin: Origin) -> Bench:
    """One page and all that it needs."""
    count = len(origin.paths)
    errand = Errand(
        origin=origin, paths=origin.paths, responses=count, payload=count * 2_000
    )
    idle = Errand(origin=origin, paths=("/small.bin",), responses=1, payload=1_000)
    return Bench(
        name="page-3000",
        job=f"one page with {count - 1:,} small requisites",
        amount=count,
        unit="requests/s",
        contenders=_errands(errand, idle),
        wants=(
            Want(
                contender="muniment fetch", against="wget", at_least=1.3, at_work=True
            ),
            Want(
                contender="muniment fetch", against="warcio", at_least=2.2, at_work=True
            ),
            Want(contender="muniment fetch", resident=150),
            Want(contender="muniment run", against="wget, bagit", at_least=1.3),
            Want(contender="muniment run", resident=150),
        ),
        rounds=5,
    )


def body(origin: Origin) -> Bench:
    """One large body."""
    errand = Errand(
        origin=origin, paths=("/body.bin",), responses=1, payload=origin.body
    )
    idle = Errand(origin=origin, paths=("/small.bin",), responses=1, payload=1_000)
    return Bench(
        name="body-300",
        job=f"one incompressible body of {origin.body / MB:,.0f} MB",
        amount=origin.body / MB,
        unit="MB/s",
        contenders=_errands(errand, idle),
        wants=(
            Want(contender="muniment fetch", against="wget", at_least=4),
            Want(contender="muniment fetch", growth=32),
            Want(contender="muniment run", against="wget, bagit", at_least=4),
            Want(contender="muniment run", growth=32),
        ),
        rounds=3,
    )


# -------------------------------------------------------------------------------- start


def start(home: Path) -> Bench:
    """What a person waits for before anything happens."""
    bad = home / "bad.yaml"
    bad.write_text(BAD_MANIFEST, "utf-8")

    def contender(name: str, exit: int, *arguments: str) -> Contender:  # noqa: A002 - it is one
        step = Step(argv=(*MUNIMENT, *arguments), exit=exit)
        return Contender(
            name=name,
            steps=lambda _: [step],
            proof=nothing,
            absent=absent("muniment"),
        )

    return Bench(
        name="start",
        job="the time until the command line has answered",
        amount=1,
        unit="starts/s",
        contenders=(
            contender("muniment --help", 0, "--help"),
            contender("muniment check", 4, "check", str(bad)),
        ),
        wants=(
            Want(contender="muniment --help", seconds=0.25),
            Want(contender="muniment check", seconds=0.5),
        ),
        rounds=9,
    )


def nothing(_: Path) -> None:
    """The exit status was proof enough."""
