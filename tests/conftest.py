"""What several tests stand on."""

from pathlib import Path

import origins
import pytest
from certificates import Authority
from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    return Authority.made(folder)


@pytest.fixture
def network():
    """Make networks that reach loopback alone, and hang up at the end."""
    made = []

    def make(*arguments, **options):
        made.append(origins.network(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Third-party recordings and suites, which stand beside the checkout."""
    import os

    place = Path(
        os.environ.get("MUNIMENT_SHARED", Path(__file__).parents[2] / "shared")
    )
    if not place.is_dir():
        pytest.skip(f"third-party data is not at {place}; set MUNIMENT_SHARED")
    return place
