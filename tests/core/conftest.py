"""Networks that several test files use."""

import pytest

from gpen_core.network.config import GpenConfig
from gpen_core.network.generator import GpenGenerator
from gpen_core.network.synthetic import identity_state_dict, random_state_dict

CONFIG = GpenConfig(256, 1, 0.0625)


@pytest.fixture(scope="session")
def identity() -> GpenGenerator:
    """A network of 256 pixels that returns its input."""
    return GpenGenerator.from_state_dict(identity_state_dict(CONFIG))


@pytest.fixture(scope="session")
def random_network() -> GpenGenerator:
    """A network of 256 pixels that changes everything."""
    return GpenGenerator.from_state_dict(random_state_dict(CONFIG))
