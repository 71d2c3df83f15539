"""Networks that are exported to ONNX, and the weights that have to come back."""

import torch

from gpen_core.network.config import GpenConfig, expected_shapes
from gpen_core.network.detect import detect_config

from .reference_gpen import ReferenceGpen, moved_state_dict

TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}

SMALL = GpenConfig(256, channel_multiplier=1, narrow=1 / 64, n_mlp=3, style_dim=12)
ADDING = GpenConfig(512, channel_multiplier=2, narrow=1 / 64, n_mlp=1, style_dim=12, concat=False)
EXPORTS = {
    "concat-11": (SMALL, {"opset": 11}),
    "add-13": (ADDING, {"opset": 13, "dynamic_batch": True}),
    "concat-17": (SMALL, {"opset": 17}),
    "unfolded-15": (SMALL, {"opset": 15, "fold_constants": False}),
}


def published(config: GpenConfig) -> dict[str, torch.Tensor]:
    """Random weights, the FIR filters too, so that one flipped or swapped for another shows."""
    state_dict = moved_state_dict(config, seed=config.size)
    generator = torch.Generator().manual_seed(1)
    for name in state_dict:
        if name.endswith(".kernel"):
            state_dict[name] = torch.rand(4, 4, generator=generator)
    return state_dict


def network_of(config: GpenConfig) -> ReferenceGpen:
    network = ReferenceGpen(config)
    network.load_state_dict(published(config))
    return network.eval()


def assert_same_weights(actual, wanted, tolerance: float = TOLERANCE[torch.float32]) -> None:
    assert list(actual) == list(expected_shapes(detect_config(actual)))
    assert set(actual) == set(wanted)
    for name, tensor in actual.items():
        assert tensor.dtype == torch.float32, name
        assert tensor.shape == wanted[name].shape, name
        assert tensor.is_contiguous(), name
        error = float((tensor - wanted[name]).norm() / wanted[name].norm())
        assert error <= tolerance, f"{name} is off by {error:.2e}"
