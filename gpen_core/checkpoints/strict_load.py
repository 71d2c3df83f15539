"""Recognize facexlib's networks by their weights, and load these without leaving any out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..errors import CheckpointMismatchError


def recognize(
    tensors: Mapping[str, Tensor], path: Path, *, kind: str, signatures: Mapping[str, str]
) -> str:
    """Which network tensors are the weights of.

    Args:
        tensors: From ``read_tensors``.
        path: The file that they are from, for messages.
        kind: What the networks are, for messages, such as "face detector".
        signatures: For each network, the name of a tensor that only it has.

    Returns:
        A key of ``signatures``.

    Raises:
        CheckpointMismatchError: They are of none of these networks.
    """
    for name, key in signatures.items():
        if key in tensors:
            return name
    raise CheckpointMismatchError(
        f"{path.name}: expected a {kind} ({' or '.join(signatures)}), got another model: "
        f"{len(tensors)} tensors beginning with {next(iter(tensors), '')!r}. "
        f"Choose the file of a {kind}."
    )


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load tensors into a network, every name and shape matching.

    Args:
        network: Takes the weights.
        tensors: From ``read_tensors``.
        path: The file that they are from, for messages.
        name: Of the network, for messages.

    Raises:
        CheckpointMismatchError: They are not its weights.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    missing = [key for key in expected if key not in found]
    unknown = [key for key in found if key not in expected]
    if missing or unknown:
        raise CheckpointMismatchError(
            f"{path.name}: expected the {len(expected)} tensors of {name}, got {len(missing)} "
            f"missing and {len(unknown)} unexpected, such as {(missing or unknown)[0]!r}. "
            "The file is damaged or of an unknown variant; download it again."
        )
    for key, shape in expected.items():
        if found[key] != shape:
            raise CheckpointMismatchError(
                f"{path.name}: expected tensor {key!r} of shape {shape}, got {found[key]}. "
                "The file is damaged or of an unknown variant; download it again."
            )
    network.load_state_dict(tensors)
