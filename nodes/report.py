"""What the restoring nodes return beside the image: the faces they restored, and a text."""

from __future__ import annotations

from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from .host import device_of, dtype_name, to_channels_last
from .types import HostedModel


def count_text(n_faces: int, n_images: int) -> str:
    """'3 faces in 2 images', in proper English."""
    faces = "1 face" if n_faces == 1 else f"{n_faces} faces"
    return f"{faces} in {'1 image' if n_images == 1 else f'{n_images} images'}"


def restored_text(model: HostedModel, what: str, seconds: float) -> str:
    """What was restored with which network, how and how fast, and what users should know of it."""
    network = model.network
    return (
        f"Restored {what} with {model.name} at {network.config.size} px "
        f"({dtype_name(network.dtype)} on {device_of(network)}, {seconds:.1f} s). "
        f"{model.notice}"
    ).strip()


def crop_outputs(
    before: Tensor | None, after: Tensor | None, node_name: str, *, wanted: bool
) -> tuple[object, object]:
    """The crops as IMAGEs, or what stops the nodes behind the sockets and only those."""
    if not wanted:
        message = f"Turn on output_crops in {node_name} to get the faces before and after."
        return ExecutionBlocker(message), ExecutionBlocker(message)
    if before is None or after is None or not len(before):
        return ExecutionBlocker(None), ExecutionBlocker(None)
    return to_channels_last(before), to_channels_last(after)
