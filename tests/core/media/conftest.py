"""Restorers that know where the faces are."""

import pytest

from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict, random_state_dict
from gpen_core.restorer import Restorer
from support.media import KnownFaces

CONFIG = GpenConfig(256, 1, 0.0625)


@pytest.fixture(scope="session")
def identity_restorer(detector) -> Restorer:
    """Restores one face in each image to what it was."""
    network = build_model(identity_state_dict(CONFIG))
    return KnownFaces(network, detector)


@pytest.fixture(scope="session")
def random_restorer(detector) -> Restorer:
    """Changes one face in each image beyond recognition."""
    network = build_model(random_state_dict(CONFIG))
    return KnownFaces(network, detector)
