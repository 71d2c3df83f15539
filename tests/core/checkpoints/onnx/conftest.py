"""Exports of small networks, made once."""

from pathlib import Path

import onnx
import onnxsim
import pytest
import torch

from gpen_core.checkpoints.checkpoint import load_state_dict
from support.onnx_export import export_onnx
from support.onnx_networks import EXPORTS, network_of


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Path of one of EXPORTS, made once."""
    folder = tmp_path_factory.mktemp("onnx")

    def export(name: str) -> Path:
        config, options = EXPORTS[name]
        path = folder / f"{name}.onnx"
        if not path.exists():
            export_onnx(network_of(config), path, size=config.size, **options)
        return path

    return export


@pytest.fixture
def small(exported) -> onnx.ModelProto:
    """A fresh copy of one export to operate on."""
    return onnx.load(exported("concat-17"))


@pytest.fixture(scope="session")
def simplified_bytes(exported) -> bytes:
    return onnxsim.simplify(onnx.load(exported("concat-17")))[0].SerializeToString()


@pytest.fixture
def simplified(simplified_bytes) -> onnx.ModelProto:
    """The same after onnxsim."""
    return onnx.ModelProto.FromString(simplified_bytes)


@pytest.fixture
def read(tmp_path):
    def read_model(model: onnx.ModelProto) -> dict[str, torch.Tensor]:
        onnx.save(model, tmp_path / "model.onnx")
        return load_state_dict(tmp_path / "model.onnx")

    return read_model
