"""Networks, and a server to download from, that several test files use."""

import pytest

from gpen_core.downloads import download, http_stream
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.generator import GpenGenerator
from gpen_core.network.synthetic import identity_state_dict, random_state_dict
from support.downloads import CONTENT, PATH
from support.file_server import file_server

CONFIG = GpenConfig(256, 1, 0.0625)


@pytest.fixture(scope="session")
def identity() -> GpenGenerator:
    """A network of 256 pixels that returns its input."""
    return build_model(identity_state_dict(CONFIG))


@pytest.fixture(scope="session")
def random_network() -> GpenGenerator:
    """A network of 256 pixels that changes everything."""
    return build_model(random_state_dict(CONFIG))


@pytest.fixture
def site(monkeypatch):
    """A server with one file, and downloads that wait for nothing longer than they need to."""
    monkeypatch.setattr(download, "RETRY_DELAYS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(http_stream, "RESPONSE_TIMEOUT_S", 5.0)
    monkeypatch.setattr(http_stream, "POLL_INTERVAL_S", 0.02)
    with file_server() as server:
        server.files[PATH] = CONTENT
        yield server


@pytest.fixture
def folder(tmp_path):
    """Where to download to; not there yet."""
    return tmp_path / "models"
