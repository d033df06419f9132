"""What a run says of itself: its names, what it runs on, its WARCs' first record.

Pure but for the environment, which is read once a run. Everything here goes into bags
and is told to courts: a name is for people, a version is what was really installed.
"""

import platform
from datetime import datetime
from importlib import metadata

from pipeline import __version__
from pipeline.model import Manifest, Run, Source
from pipeline.plan import Plan

SOFTWARE = f"Muniment {__version__}"
STANDS_ON = (  # whose versions a court may ask for
    "requests",
    "urllib3",
    "certifi",
    "cryptography",
    "rfc3161-client",
    "warcio",
    "isal",
    "selectolax",
    "tinycss2",
    "ada-url",
    "protego",
    "brotli",
)


def bag_name(job: str, source: str, moment: datetime, uuid: str) -> str:
    """Name a bag; names are for people and are never parsed."""
    return f"{job}_{source}_{moment:%Y%m%dt%H%M%Sz}_{uuid[:8]}"


def run_of(
    manifest: Manifest,
    plan: Plan,
    started: datetime,
    settings: tuple[tuple[str, str], ...],
) -> Run:
    """Gather what every bag will say of the run."""
    return Run(
        id=plan.run,
        job=manifest.id,
        started=started,
        software=SOFTWARE,
        plan=plan.digest(),
        manifest=manifest.digest,
        title=manifest.title,
        document=manifest.document,
        operator=manifest.operator,
        environment=environment(),
        settings=settings,
    )


def environment() -> tuple[tuple[str, str], ...]:
    """Name what runs: the interpreter, the system, every part we stand on."""
    parts = [
        ("python", platform.python_version()),
        ("system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("muniment", __version__),
    ]
    for name in STANDS_ON:
        try:
            parts.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:  # optional
            continue
    return tuple(parts)


def warcinfo(run: Run, source: Source, contact: str) -> tuple[tuple[str, str], ...]:
    """Say in the WARC's first record what it is part of (WARC 1.1, 6.2)."""
    pairs = (
        ("software", run.software),
        ("format", "WARC File Format 1.1"),
        ("conformsTo", "http://iipc.github.io/warc-specifications/"),
        ("operator", ", ".join(filter(None, (run.operator.name, contact)))),
        ("isPartOf", run.id),
        ("description", f"{run.job}/{source.id}"),
        ("robots", source.robots.value),
        ("plan-digest", str(run.plan)),
        ("manifest-digest", str(run.manifest)),
    )
    return tuple((name, value) for name, value in pairs if value)
