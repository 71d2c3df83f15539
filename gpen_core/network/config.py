"""The hyperparameters of a GPEN network and how they are read off a state dict.

Network: T. Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild",
CVPR 2021.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from torch import Tensor

from ..errors import CheckpointMismatchError, NotGpenError

SUPPORTED_SIZES = (256, 512, 1024, 2048)
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)

_WIDE_CHANNELS = 512  # at 4x4 to 32x32
_USUAL_DENOMINATORS = (1, 2, 4, 8, 16, 32, 64, 5, 10, 20, 100)  # of factors that people type
_MULTIPLIED_CHANNELS = {64: 256, 128: 128, 256: 64, 512: 32, 1024: 16, 2048: 8}


@dataclass(frozen=True)
class GpenConfig:
    """Everything that tells one GPEN network from another."""

    size: int
    """Height and width of the input and the output, in pixels."""
    channel_multiplier: float = 2
    """Factor on the channels at 64x64 and above. 2 in the published 512, 1024 and 2048 models."""
    narrow: float = 1
    """Factor on all channels. 1 in the published 512, 1024 and 2048 models, 0.5 in the 256 one."""
    n_mlp: int = 8
    """Number of linear layers in the style network."""
    style_dim: int = 512
    """Length of the style vector."""
    concat: bool = True
    """Encoder features are concatenated to the decoder's (all published models) or added."""

    def channels(self, resolution: int) -> int:
        """Channels of encoder and decoder at one resolution, before any concatenation."""
        if resolution in _MULTIPLIED_CHANNELS:
            base = _MULTIPLIED_CHANNELS[resolution] * self.channel_multiplier * self.narrow
        else:
            base = _WIDE_CHANNELS * self.narrow
        return math.floor(base + 1e-6)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the decoder, from 4 to ``size``."""
        return tuple(2**k for k in range(2, self.size.bit_length()))

    @property
    def injected_width(self) -> int:
        """Channels after injection, as a multiple of those before it."""
        return 2 if self.concat else 1

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for metadata and JSON."""
        return asdict(self)


def expected_shapes(config: GpenConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in the published state dict of a network.

    The ``*.kernel`` buffers are included: the published files store the FIR filter once per layer.
    """
    size, style_dim, width = config.size, config.style_dim, config.injected_width
    shapes: dict[str, tuple[int, ...]] = {}

    for i in range(1, config.n_mlp + 1):
        shapes[f"generator.style.{i}.weight"] = (style_dim, style_dim)
        shapes[f"generator.style.{i}.bias"] = (style_dim,)
    shapes["generator.input.input"] = (1, config.channels(4), 4, 4)

    def add_styled_conv(name: str, in_chs: int, out_chs: int, upsample: bool) -> None:
        shapes[f"{name}.conv.weight"] = (1, out_chs, in_chs, 3, 3)
        shapes[f"{name}.conv.modulation.weight"] = (in_chs, style_dim)
        shapes[f"{name}.conv.modulation.bias"] = (in_chs,)
        if upsample:
            shapes[f"{name}.conv.blur.kernel"] = (4, 4)
        shapes[f"{name}.noise.weight"] = (1,)
        shapes[f"{name}.activate.bias"] = (out_chs * width,)

    def add_to_rgb(name: str, in_chs: int, upsample: bool) -> None:
        shapes[f"{name}.bias"] = (1, 3, 1, 1)
        if upsample:
            shapes[f"{name}.upsample.kernel"] = (4, 4)
        shapes[f"{name}.conv.weight"] = (1, 3, in_chs, 1, 1)
        shapes[f"{name}.conv.modulation.weight"] = (in_chs, style_dim)
        shapes[f"{name}.conv.modulation.bias"] = (in_chs,)

    in_chs = config.channels(4)
    add_styled_conv("generator.conv1", in_chs, in_chs, upsample=False)
    in_chs *= width
    add_to_rgb("generator.to_rgb1", in_chs, upsample=False)
    for i, resolution in enumerate(config.resolutions[1:]):
        out_chs = config.channels(resolution)
        add_styled_conv(f"generator.convs.{2 * i}", in_chs, out_chs, upsample=True)
        in_chs = out_chs * width
        add_styled_conv(f"generator.convs.{2 * i + 1}", in_chs, out_chs, upsample=False)
        add_to_rgb(f"generator.to_rgbs.{i}", in_chs, upsample=True)

    shapes["ecd0.0.0.weight"] = (config.channels(size), 3, 1, 1)
    shapes["ecd0.0.1.bias"] = (config.channels(size),)
    for k in range(1, len(config.resolutions)):
        in_chs, out_chs = config.channels(size >> (k - 1)), config.channels(size >> k)
        shapes[f"ecd{k}.0.0.kernel"] = (4, 4)
        shapes[f"ecd{k}.0.1.weight"] = (out_chs, in_chs, 3, 3)
        shapes[f"ecd{k}.0.2.bias"] = (out_chs,)
    shapes["final_linear.0.weight"] = (style_dim, config.channels(4) * 16)
    shapes["final_linear.0.bias"] = (style_dim,)
    return shapes


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
            "The file is damaged or of a variant that is not known."
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
            if size >> k in _MULTIPLIED_CHANNELS:
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
    narrow = _simplest_between(Fraction(wide, _WIDE_CHANNELS), Fraction(wide + 1, _WIDE_CHANNELS))
    low = max(Fraction(count, _MULTIPLIED_CHANNELS[r]) for r, count in multiplied.items())
    high = min(Fraction(count + 1, _MULTIPLIED_CHANNELS[r]) for r, count in multiplied.items())
    if wide < 1 or low >= high:
        raise CheckpointMismatchError(
            f"{name}: expected channel counts in GPEN's proportions, got {wide} at 4x4 and "
            f"{', '.join(f'{count} at {r}' for r, count in multiplied.items())}. "
            "The file is damaged or of a variant that is not known."
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
            "The file is of a variant that is not known."
        )


_FOREIGN_MARKS = {
    "GFPGAN": ("stylegan_decoder.", "toRGB.", "conv_body_first."),
    "CodeFormer": ("quantize.embedding.", "idx_pred_layer."),
    "RestoreFormer": ("quantize.", "encoder.conv_in."),
    "RetinaFace": ("ClassHead.", "BboxHead."),
    "ParseNet": ("out_mask_conv.",),
    "BiSeNet": ("cp.resnet.",),
    "ESRGAN": ("RRDB_trunk.", "body.0.rdb1.", "model.1.sub."),
    "Stable Diffusion": ("model.diffusion_model.", "first_stage_model."),
}


def _describe_foreign(state_dict: Mapping[str, Tensor]) -> str:
    for model, marks in _FOREIGN_MARKS.items():
        if any(key.startswith(marks) for key in state_dict):
            return f"a {model} model"
    first = next(iter(state_dict), None)
    return (
        "an empty file" if first is None else f"{len(state_dict)} tensors beginning with {first!r}"
    )
