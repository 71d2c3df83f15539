"""Which network a state dict holds: the configuration, read off its keys and shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction

from torch import Tensor

from ..errors import CheckpointMismatchError, NotGpenError
from .config import (
    MULTIPLIED_CHANNELS,
    SUPPORTED_SIZES,
    WIDE_CHANNELS,
    GpenConfig,
    expected_shapes,
)

_USUAL_DENOMINATORS = (1, 2, 4, 8, 16, 32, 64, 5, 10, 20, 100)  # of factors that people type


def detect_config(state_dict: Mapping[str, Tensor], name: str = "state dict") -> GpenConfig:
    """Read the configuration off the keys and shapes of a published state dict.

    Args:
        state_dict: Names and tensors, without wrapper or prefix. Not modified.
        name: What to call it in error messages.

    Raises:
        NotGpenError: The keys are not those of a GPEN network.
        CheckpointMismatchError: They are, but tensors are missing, superfluous or misshapen.
    """
    required = (
        "generator.input.input",
        "generator.conv1.activate.bias",
        "ecd0.0.0.weight",
        "final_linear.0.weight",
    )
    missing = [key for key in required if key not in state_dict]
    if missing:
        raise NotGpenError(
            f"{name}: expected a GPEN network, got {_describe_foreign(state_dict)} "
            f"(no {missing[0]!r} in it). Choose a GPEN checkpoint, such as GPEN-BFR-512.pth or "
            "GPEN-BFR-2048.onnx."
        )
    config = _read_config(state_dict, name)
    _check_shapes(state_dict, config, name)
    return config


def _read_config(state_dict: Mapping[str, Tensor], name: str) -> GpenConfig:
    n_down = 0
    while f"ecd{n_down + 1}.0.1.weight" in state_dict:
        n_down += 1
    size = 4 << n_down
    if size not in SUPPORTED_SIZES:
        raise CheckpointMismatchError(
            f"{name}: expected a network of size {', '.join(map(str, SUPPORTED_SIZES))}, got "
            f"{n_down} downsampling blocks, which make {size}. "
            "The file is damaged or of an unknown variant."
        )
    n_mlp = 0
    while f"generator.style.{n_mlp + 1}.weight" in state_dict:
        n_mlp += 1
    try:
        wide = state_dict["generator.input.input"].shape[1]
        bias_length = state_dict["generator.conv1.activate.bias"].shape[0]
        style_dim = state_dict["final_linear.0.weight"].shape[0]
        multiplied = {size: state_dict["ecd0.0.0.weight"].shape[0]}
        for k in range(1, n_down):
            if size >> k in MULTIPLIED_CHANNELS:
                multiplied[size >> k] = state_dict[f"ecd{k}.0.1.weight"].shape[0]
    except (IndexError, KeyError) as error:
        raise CheckpointMismatchError(
            f"{name}: expected the tensors of a GPEN network, got one missing or of the wrong "
            f"rank ({error}). The file is damaged; download it again."
        ) from error
    narrow, channel_multiplier = _channel_factors(wide, multiplied, name)
    return GpenConfig(
        size=size,
        channel_multiplier=channel_multiplier,
        narrow=narrow,
        n_mlp=n_mlp,
        style_dim=style_dim,
        concat=bias_length == 2 * wide,
    )


def _channel_factors(wide: int, multiplied: Mapping[int, int], name: str) -> tuple[float, float]:
    """The simplest (narrow, channel_multiplier) whose floored channel counts are the given ones.

    Channel counts are floored products, so each one bounds its factor from both sides.
    """
    narrow = _simplest_between(Fraction(wide, WIDE_CHANNELS), Fraction(wide + 1, WIDE_CHANNELS))
    low = max(Fraction(count, MULTIPLIED_CHANNELS[r]) for r, count in multiplied.items())
    high = min(Fraction(count + 1, MULTIPLIED_CHANNELS[r]) for r, count in multiplied.items())
    if wide < 1 or low >= high:
        raise CheckpointMismatchError(
            f"{name}: expected channel counts in GPEN's proportions, got {wide} at 4x4 and "
            f"{', '.join(f'{count} at {r}' for r, count in multiplied.items())}. "
            "The file is damaged or of an unknown variant."
        )
    return _plain(narrow), _plain(_simplest_between(low / narrow, high / narrow))


def _plain(value: Fraction) -> float:
    return value.numerator if value.denominator == 1 else float(value)


def _simplest_between(low: Fraction, high: Fraction) -> Fraction:
    """The likeliest fraction in ``[low, high)``: of a usual denominator, else of the smallest."""
    for denominator in itertools.chain(_USUAL_DENOMINATORS, itertools.count(1)):
        candidate = Fraction(math.ceil(low * denominator), denominator)
        if candidate < high:
            return candidate
    raise AssertionError("an interval of positive length holds a fraction")


def _check_shapes(state_dict: Mapping[str, Tensor], config: GpenConfig, name: str) -> None:
    expected = expected_shapes(config)
    for key, shape in expected.items():
        if key not in state_dict:
            if key.endswith(".kernel"):
                continue  # a constant of the architecture; some tools drop buffers
            raise CheckpointMismatchError(
                f"{name}: expected tensor {key!r}, got none. "
                "The file is damaged or truncated; download it again."
            )
        found = tuple(state_dict[key].shape)
        if found != shape:
            raise CheckpointMismatchError(
                f"{name}: expected tensor {key!r} of shape {shape}, got {found}. "
                "The file is damaged or of another model; download it again or choose another."
            )
    unknown = [key for key in state_dict if key not in expected]
    if unknown:
        raise CheckpointMismatchError(
            f"{name}: expected only the tensors of a GPEN-{config.size} network, got "
            f"{len(unknown)} more, such as {unknown[0]!r}. "
            "The file is of an unknown variant."
        )


_FOREIGN_MARKS = {
    "a GFPGAN model": ("stylegan_decoder.", "toRGB.", "conv_body_first."),
    "a CodeFormer model": ("quantize.embedding.", "idx_pred_layer."),
    "a RestoreFormer model": ("quantize.", "encoder.conv_in."),
    "a RetinaFace model": ("ClassHead.", "BboxHead."),
    "a ParseNet model": ("out_mask_conv.",),
    "a BiSeNet model": ("cp.resnet.",),
    "an ESRGAN model": ("RRDB_trunk.", "body.0.rdb1.", "model.1.sub."),
    "a Stable Diffusion model": ("model.diffusion_model.", "first_stage_model."),
    "a discriminator, which judges faces while a GPEN is trained": ("final_conv.0.",),
}


def _describe_foreign(state_dict: Mapping[str, Tensor]) -> str:
    for model, marks in _FOREIGN_MARKS.items():
        if any(key.startswith(marks) for key in state_dict):
            return model
    first = next(iter(state_dict), None)
    return (
        "an empty file" if first is None else f"{len(state_dict)} tensors beginning with {first!r}"
    )
