"""Load the weights of facexlib's networks, and say which other one a file holds instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..errors import CheckpointMismatchError


def recognize(tensors: Mapping[str, Tensor], signatures: Mapping[str, str]) -> str | None:
    """Which network tensors are the weights of.

    Args:
        tensors: From ``read_tensors``.
        signatures: For each network, the name of a tensor that only it has.

    Returns:
        A key of ``signatures``; None if they are of none of these networks.
    """
    return next((name for name, key in signatures.items() if key in tensors), None)


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    name: str,
    kind: str,
    signatures: Mapping[str, str],
) -> None:
    """Load tensors into a network, every name and shape matching.

    Args:
        network: Takes the weights.
        tensors: From ``read_tensors``.
        path: The file that they are from, for messages.
        name: Of the network, a key of ``signatures``.
        kind: What networks of these names are, for messages, such as "face detector".
        signatures: For each network of the kind, the name of a tensor that only it has.

    Raises:
        CheckpointMismatchError: They are of another model.
    """
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    other = recognize(tensors, signatures)
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
