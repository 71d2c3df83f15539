"""What happens to a restored crop before it is pasted: colours and likeness of the input."""

from __future__ import annotations

from torch import Tensor

from .color_match import match_color, sample_stride
from .detail import blend_detail
from .face_mask import crop_mask
from .settings import BlendSettings


def finish_crops(before: Tensor, after: Tensor, settings: BlendSettings) -> Tensor:
    """Bring restored crops closer to the crops they were made from.

    Args:
        before: (N, 3, S, S) float32 RGB in [0, 1], as given to the network.
        after: The same, as the network returned them. May be written to.
        settings: ``color``, ``detail`` and ``detail_size`` say how much; what is pasted counts.

    Returns:
        ``after`` itself, changed.
    """
    if settings.color > 0:
        size = after.shape[-1]
        weights = crop_mask(size, settings, after.device, sample_stride(size))
        weights = weights.expand(len(after), -1, -1)
        match_color(after, before, weights, settings.color, out=after)
    if settings.detail > 0:
        blend_detail(after, before, settings.detail_size, settings.detail, out=after)
    return after
