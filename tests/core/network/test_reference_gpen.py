"""The reference network that other tests compare with, against outputs of the authors' own."""

import numpy as np
import pytest
import torch

from gpen_core.checkpoints.onnx.weights import read_onnx_state_dict
from gpen_core.network.config import GpenConfig, expected_shapes
from gpen_core.network.detect import detect_config
from support.reference_gpen import ReferenceGpen, moved_state_dict, random_reference

# The stored outputs were computed in float32 with sums in another order.
TOLERANCE = 5e-6


@pytest.mark.parametrize("name", ["gpen_256_cm1_narrow0125", "gpen_512_cm2_narrow00625"])
@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
def test_reference_network_equals_golden_outputs(test_data, name, suffix):
    path = test_data / "golden" / f"{name}{suffix}"
    if not path.exists():
        pytest.skip(f"there is no {path.name}")
    if suffix == ".onnx":
        state_dict = read_onnx_state_dict(path)
    else:
        state_dict = torch.load(path, weights_only=True)
    network = ReferenceGpen(detect_config(state_dict))
    network.load_state_dict(state_dict)
    with np.load(path.with_name(f"{name}_io.npz")) as arrays:
        images = torch.from_numpy(arrays["input_u8"])[:1] / 255 * 2 - 1
        wanted = torch.from_numpy(arrays["output"])[:1]

    with torch.no_grad():
        actual = network(images)

    assert (actual - wanted).norm() <= TOLERANCE * wanted.norm()


@pytest.mark.parametrize("concat", [True, False])
def test_reference_network_has_the_published_names_and_shapes(concat):
    config = GpenConfig(256, 1, 1 / 64, n_mlp=2, style_dim=12, concat=concat)
    network = random_reference(config)

    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

    assert shapes == expected_shapes(config)
    for name, tensor in moved_state_dict(config).items():
        assert tensor.abs().min() > 0, name
    assert network(torch.zeros(2, 3, 256, 256)).shape == (2, 3, 256, 256)
