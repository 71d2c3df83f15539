"""Load the weights of facexlib's networks, and say which other one a file holds instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ..errors import CheckpointMismatchError
from .safe_load import read_tensors


def load_weights(
    network: nn.Module, path: Path, *, name: str, kind: str, signatures: Mapping[str, str]
) -> None:
    """Load a file into a network, every name and shape matching.

    Args:
        network: Takes the weights.
        path: A .pth, .pt, .bin or .safetensors file.
        name: Of the network, a key of ``signatures``.
        kind: What networks of these names are, for messages, such as "face detector".
        signatures: For each network of the kind, the name of a tensor that only it has.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointReadError: It cannot be read; ``UnsafeCheckpointError`` if it is not safe to.
        CheckpointMismatchError: It holds another model.
    """
    tensors = read_tensors(path)
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    other = next((other for other, key in signatures.items() if key in found), None)
    if other and other != name:
        raise CheckpointMismatchError(
            f"{path.name}: expected the weights of {name}, got those of {other}. "
            f"Choose {other}, or the other file."
        )
    missing = [key for key in expected if key not in found]
    unknown = [key for key in found if key not in expected]
    if missing and not other:
        raise CheckpointMismatchError(
            f"{path.name}: expected the {kind} {name}, got another model: {len(found)} tensors "
            f"beginning with {next(iter(found))!r}, none named {missing[0]!r}. "
            f"Choose the file of a {kind}."
        )
    if missing or unknown:
        raise CheckpointMismatchError(
            f"{path.name}: expected the {len(expected)} tensors of {name}, got {len(missing)} "
            f"missing and {len(unknown)} superfluous, such as {(missing or unknown)[0]!r}. "
            "The file is damaged or of a variant that is not known; download it again."
        )
    for key, shape in expected.items():
        if found[key] != shape:
            raise CheckpointMismatchError(
                f"{path.name}: expected tensor {key!r} of shape {shape}, got {found[key]}. "
                "The file is damaged or of a variant that is not known; download it again."
            )
    network.load_state_dict(tensors)
