"""What the pack asks of ComfyUI, but for model files: memory, texts, layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.model_management as mm
import torch
import torch.nn.functional as F
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor, nn

from ..gpen_core import DTYPES, TensorSpecError, faces_that_fit
from .types import Hosted, HostedModel

AUTO = "auto"


def choose_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The dtype of a widget's value; ``auto`` follows ComfyUI's rules for the device."""
    if choice != AUTO:
        return DTYPES[choice]
    if mm.should_use_fp16(device):
        return torch.float16
    if mm.should_use_bf16(device):
        return torch.bfloat16
    return torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """The widget's word for a dtype."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def load_together(*networks: Hosted[Any]) -> None:
    """Move networks to the devices they compute on, with memory free for any of them to work.

    All that work side by side come in one call: where memory is short, ComfyUI takes off the
    device what another call has put there.
    """
    if not networks:
        return
    # The networks are small and their layers are not ComfyUI's, which alone can stay offloaded in
    # part: load them whole. With --novram ComfyUI loads nothing, so they are moved here.
    mm.load_models_gpu(
        [hosted.patcher for hosted in networks],
        memory_required=max(hosted.working_bytes for hosted in networks),
        force_full_load=True,
    )
    for hosted in networks:
        hosted.network.to(hosted.patcher.load_device)


def device_of(network: nn.Module) -> torch.device:
    """Where the weights of a network are."""
    return next(network.parameters()).device


def faces_at_once(model: HostedModel) -> int:
    """How many faces fit through the network together in the memory that is free now."""
    device = device_of(model.network)
    if mm.is_device_cpu(device):
        return 1  # more would only take more memory
    # Newer hosts can give back what models that are loaded bit by bit hold on the device.
    get_free_memory = getattr(model.patcher, "get_free_memory", mm.get_free_memory)
    return faces_that_fit(model.network, get_free_memory(device))


def show_text(text: str, node_id: str | None) -> None:
    """Show a line of text in the node."""
    if node_id is not None and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text, node_id)


def show_text_in_running_node(text: str) -> None:
    """Show a line of text in the node that is being executed."""
    context = get_executing_context()
    show_text(text, None if context is None else context.node_id)


def send_event(name: str, data: Mapping[str, str]) -> None:
    """Tell every open web page."""
    server = getattr(PromptServer, "instance", None)  # not there before the server is
    if server is not None:
        server.send_sync(name, data)


def to_channels_first(image: Tensor) -> Tensor:
    """IMAGE (B, H, W, C) -> a (B, C, H, W) view.

    Raises:
        TensorSpecError: It is not an IMAGE of 3 or 4 channels.
    """
    if image.ndim != 4 or image.shape[3] not in (3, 4):
        raise TensorSpecError(
            f"image: expected (B, H, W, 3) RGB or (B, H, W, 4) RGBA, got {tuple(image.shape)}. "
            "Convert a mask or a grey image with ComfyUI's 'Convert Mask to Image' node."
        )
    return image.permute(0, 3, 1, 2)


def to_channels_last(images: Tensor) -> Tensor:
    """(B, C, H, W) -> a contiguous IMAGE (B, H, W, C)."""
    return images.permute(0, 2, 3, 1).contiguous()


def fit_masks(mask: Tensor | None, images: Tensor) -> Tensor | None:
    """A MASK (B, H, W) or (H, W), resized to (B, C, H', W') images where it differs.

    Raises:
        TensorSpecError: It is neither one mask nor one for each image.
    """
    if mask is None:
        return None
    masks = mask[None] if mask.ndim == 2 else mask
    if masks.ndim != 3 or len(masks) not in (1, len(images)):
        raise TensorSpecError(
            f"mask: expected one mask or {len(images)}, one for each image, got "
            f"{tuple(mask.shape)}. Repeat or choose masks to match."
        )
    if masks.shape[1:] != images.shape[2:]:
        masks = F.interpolate(masks[:, None].float(), images.shape[2:], mode="bilinear")[:, 0]
    return masks
