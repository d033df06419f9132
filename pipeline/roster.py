"""The roster: the manifests that a person keeps in a folder, and how each job stands.

A manifest that is wrong keeps no other from its turn; it is told. Two manifests of one
name would share a history, so that neither is taken.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from pipeline.errors import UsageError
from pipeline.holdings.catalogue import Catalogue
from pipeline.intake import manifest
from pipeline.intake.problem import Problem
from pipeline.model import Manifest, Operator, Severity
from pipeline.schedule import Standing, standing, trusted_until

ENDINGS = {".yaml", ".yml"}


class Roster(Struct, frozen=True, kw_only=True):
    """The manifests of some folders, in the order of their names."""

    manifests: tuple[Manifest, ...]
    problems: tuple[Problem, ...] = ()
    wrong: tuple[str, ...] = ()  # what is wrong with the folder, a sentence each

    @property
    def ok(self) -> bool:
        """Tell whether every manifest could be taken."""
        wrong = (one for one in self.problems if one.severity is Severity.ERROR)
        return not self.wrong and not any(wrong)

    def standings(
        self, catalogue: Catalogue | None, now: datetime
    ) -> tuple[Standing, ...]:
        """Tell how each scheduled job stands; without a catalogue, none was run.

        Raises StorageError where the catalogue can't be read.
        """
        until = trusted_until(now)
        found = (
            standing(
                one,
                catalogue.attendance(one.id, until=until) if catalogue else (),
                now,
            )
            for one in self.manifests
        )
        return tuple(one for one in found if one)

    def of(self, standings: Iterable[Standing]) -> tuple[Manifest, ...]:
        """Return the manifests of jobs."""
        wanted = {one.job for one in standings}
        return tuple(one for one in self.manifests if one.id in wanted)

    def told(self, standings: Iterable[Standing]) -> dict[str, object]:
        """Tell the jobs as JSON, with what is wrong."""
        scheduled = [one.told() for one in standings]
        names = {one["job"] for one in scheduled}
        return {
            "jobs": scheduled,
            "unscheduled": [one.id for one in self.manifests if one.id not in names],
            "wrong": list(self.wrong),
            **manifest.problems_as_json(self.problems),
        }


def call(
    places: Iterable[str], *, operator: Operator, environ: Mapping[str, str]
) -> Roster:
    """Read the manifests that are named, and those of folders that are.

    Raises UsageError for a path that is not there.
    """
    read: list[Manifest] = []
    problems: list[Problem] = []
    for path in _files(places):
        taken, found = manifest.check(path, operator=operator, environ=environ)
        problems += found
        if taken:
            read.append(taken)
    names = Counter(one.id for one in read)
    twice = {name for name, count in names.items() if count > 1}
    return Roster(
        manifests=tuple(one for one in read if one.id not in twice),
        problems=tuple(problems),
        wrong=tuple(_shared(name, read) for name in sorted(twice)),
    )


def _shared(name: str, read: Iterable[Manifest]) -> str:
    files = ", ".join(str(one.path) for one in read if one.id == name)
    return f"{name}: several manifests have this id, and none of them is run: {files}"


def _files(places: Iterable[str]) -> Iterator[Path]:
    """Name each file once: what is named, and all below a folder."""
    seen: set[Path] = set()
    for place in map(Path, places):
        if not place.exists():
            raise UsageError(f"{place}: there is no such file or folder")
        for path in _of_folder(place) if place.is_dir() else (place,):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _of_folder(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        is_hidden = any(part.startswith(".") for part in parts)
        if path.suffix in ENDINGS and not is_hidden and path.is_file():
            yield path
