"""From a checkpoint file to a network, and back to a file.

A checkpoint is the file, a state dict the mapping of names to tensors in it. Inside the core a
state dict always has the published names, whatever the file looked like.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ..bundled import BUNDLED_RESTORER
from ..errors import CheckpointError, CheckpointNotFoundError
from ..files import complete_file
from ..network.build import build_model
from ..network.config import UNUSED_PREFIX, GpenConfig, expected_shapes, published_fir_kernel
from ..network.detect import detect_config
from ..network.generator import GpenGenerator
from .onnx.weights import read_onnx_state_dict
from .safe_load import read_tensors

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".onnx")
CONFIG_KEY = "gpen_config"
"""Key of the configuration, as JSON, in the metadata of a .safetensors file."""
NOTICE_KEY = "notice"
"""Key of a sentence or two in the same metadata that users of the network should know."""


def load_model(
    path: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> GpenGenerator:
    """Load a GPEN network; size, widths and variant are detected from its weights.

    Args:
        path: A .pth, .pt, .bin, .safetensors or .onnx file. Nothing in it is executed. None: the
            small network that comes with the package.
        device: Where to put the network.
        dtype: What to run the convolutions in: float32, float16 or bfloat16, which is float16 up
            to 128 pixels. On a CPU all float16 is computed in float32.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointReadError: The file is damaged or of a kind that is not read.
        UnsafeCheckpointError: The file asks to run code. Nothing in it was run.
        NotGpenError: The file holds another model.
        CheckpointMismatchError: Tensors are missing, misshapen or not finite.
    """
    path = BUNDLED_RESTORER if path is None else Path(path)
    return build_model(_read(path), dtype, path.name).to(device)


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the published state dict out of any checkpoint file.

    Returns:
        Names and tensors as published and in that order, on the CPU, dtypes as stored (float32
        from .onnx). The ``*.kernel`` buffers, constants of the architecture, only where the file
        has them.

    Raises:
        CheckpointError: As for ``load_model``.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], GpenConfig]:
    """Read the published state dict, and detect the configuration of its network.

    Returns:
        Names and tensors as from ``load_state_dict``, and the configuration.

    Raises:
        CheckpointError: As for ``load_model``.
    """
    state_dict = _read(Path(path))
    config = detect_config(state_dict, Path(path).name)
    in_order = (name for name in expected_shapes(config) if name in state_dict)
    return {name: state_dict[name] for name in in_order}, config


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file under their published names, whatever network they are of."""
    if not path.exists():
        raise CheckpointNotFoundError(
            f"{path.name}: expected a file at {path}, got none. "
            "Check the name, or download it into that folder."
        )
    if path.suffix.lower() == ".onnx":
        return read_onnx_state_dict(path)
    return {k: v for k, v in read_tensors(path).items() if not k.startswith(UNUSED_PREFIX)}


def save_checkpoint(
    state_dict: Mapping[str, Tensor],
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
) -> GpenConfig:
    """Write a published state dict as .safetensors, the configuration in the metadata.

    The file appears under its name only once it is complete. FIR filters that the state dict
    lacks are added.

    Args:
        state_dict: Names and tensors as published.
        path: Where to; must end in .safetensors.
        metadata: More keys for the file's metadata.

    Returns:
        The configuration that was detected and stored.

    Raises:
        CheckpointError: The path ends otherwise, or the state dict is not that of a GPEN network.
        OSError: The file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    config = detect_config(state_dict, path.name)
    _write(state_dict, config, path, metadata or {})
    return config


def _write(
    state_dict: Mapping[str, Tensor], config: GpenConfig, path: Path, metadata: Mapping[str, str]
) -> None:
    if path.suffix.lower() != ".safetensors":
        raise CheckpointError(
            f"{path.name}: expected a name ending in .safetensors, got {path.suffix!r}. Rename it."
        )
    filters = {k: published_fir_kernel(k) for k in expected_shapes(config) if k.endswith(".kernel")}
    stored = {"format": "pt", CONFIG_KEY: json.dumps(config.to_dict()), **metadata}
    tensors = {k: v.detach().cpu().contiguous() for k, v in {**filters, **state_dict}.items()}
    with complete_file(path) as partial:
        safetensors.torch.save_file(tensors, partial, metadata=stored)


def read_notice(path: str | Path) -> str:
    """What users should know, as a safetensors file says in its metadata, or nothing."""
    return read_metadata(path).get(NOTICE_KEY, "")


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors; none of any other file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return {}  # of another format, or damaged, which loading it reports


def convert_checkpoint(source: str | Path, target: str | Path) -> GpenConfig:
    """Read any GPEN checkpoint and write it as .safetensors.

    Returns:
        The configuration of the network.

    Raises:
        CheckpointError: As for ``load_model`` and ``save_checkpoint``.
        OSError: The target cannot be written.
    """
    metadata = {"converted_from": Path(source).name}
    state_dict, config = read_checkpoint(source)
    if notice := read_notice(source):
        metadata[NOTICE_KEY] = notice
    _write(state_dict, config, Path(target), metadata)
    return config
