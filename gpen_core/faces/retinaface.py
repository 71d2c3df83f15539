"""RetinaFace: the network, its anchors, and how its outputs become boxes and landmarks.

J. Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020.
The layers are facexlib's, so that its checkpoints load; everything around them is done here.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

DETECTOR_NETWORKS = {
    "retinaface_mobile0.25": "mobile0.25",
    "retinaface_resnet50": "resnet50",
}
"""Names of the detectors, each with facexlib's name of the backbone."""

# Stride of each feature map, and the sizes of the two square anchors in each of its cells, pixels.
_LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
_CENTER_VARIANCE = 0.1
_SIZE_VARIANCE = 0.2
_MEAN_BGR = (104.0, 117.0, 123.0)
# Most that is alive for each pixel of the image in float32, counted tensor by tensor.
_BYTES_PER_PIXEL = {"retinaface_mobile0.25": 64, "retinaface_resnet50": 233}
_MAX_LOG_SCALE = math.log(1000.0)  # an anchor grows at most so much: no infinity from wild weights


class RawFaces(NamedTuple):
    """Outputs of the network for B images with P anchors each, float32."""

    scores: Tensor
    """(B, P) in [0, 1]."""
    box_offsets: Tensor
    """(B, P, 4) relative to the anchors."""
    landmark_offsets: Tensor
    """(B, P, 10) relative to the anchors."""


class FaceDetector(nn.Module):
    """RetinaFace with its preprocessing. A plain module: the caller moves and casts it."""

    def __init__(self, name: str) -> None:
        """Build the network without weights.

        Args:
            name: A key of ``DETECTOR_NETWORKS``.
        """
        super().__init__()
        self.name = name
        self.network = _build_network(DETECTOR_NETWORKS[name])
        self.eval()

    def activation_bytes(self, pixels: int) -> int:
        """How much memory images of so many pixels take in one call, without the weights."""
        return pixels * _BYTES_PER_PIXEL[self.name]

    def forward(self, images: Tensor) -> RawFaces:
        """Run the network.

        Args:
            images: (B, 3, H, W) floating point RGB in [0, 1], on the detector's device. Any size
                of at least one pixel: the feature maps lie on each other without padding.

        Returns:
            Scores and offsets for the anchors of ``make_anchors(H, W)``, in that order.
        """
        weight = next(self.parameters())
        # No buffer: ComfyUI's layer-by-layer loading moves only modules that have parameters.
        mean = torch.tensor(_MEAN_BGR, device=images.device).view(3, 1, 1)
        inputs = (images.flip(1) * 255 - mean).to(weight.dtype)
        box_offsets, probabilities, landmark_offsets = self.network(inputs)
        return RawFaces(
            scores=probabilities[..., 1].float(),
            box_offsets=box_offsets.float(),
            landmark_offsets=landmark_offsets.float(),
        )


def make_anchors(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """The anchors of an image, in the order of the network's outputs.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        device: Where to make them.

    Returns:
        (P, 4) float32: centre x, centre y, width, height in pixels.
    """
    levels = []
    for stride, sizes in _LEVELS:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) * stride
        size = torch.tensor(sizes, device=device, dtype=torch.float32)
        y, x, size = torch.meshgrid(y, x, size, indexing="ij")
        levels.append(torch.stack((x, y, size, size), dim=-1).view(-1, 4))
    return torch.cat(levels)


def decode_boxes(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Boxes from the network's offsets.

    Args:
        offsets: (..., 4) float32: shift of the centre and log scale, each divided by its variance.
        anchors: (..., 4) float32 from ``make_anchors``.

    Returns:
        (..., 4) float32: x0, y0, x1, y1 in pixels.
    """
    centers, sizes = anchors[..., :2], anchors[..., 2:]
    centers = centers + offsets[..., :2] * _CENTER_VARIANCE * sizes
    halves = sizes / 2 * (offsets[..., 2:] * _SIZE_VARIANCE).clamp(max=_MAX_LOG_SCALE).exp()
    return torch.cat((centers - halves, centers + halves), dim=-1)


def decode_landmarks(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Landmarks from the network's offsets.

    Args:
        offsets: (..., 10) float32: shifts from the anchor's centre, divided by the variance.
        anchors: (..., 4) float32 from ``make_anchors``.

    Returns:
        (..., 5, 2) float32: x, y in pixels.
    """
    centers, sizes = anchors[..., None, :2], anchors[..., None, 2:]
    return centers + offsets.view(*offsets.shape[:-1], 5, 2) * _CENTER_VARIANCE * sizes


def _build_network(network_name: str) -> nn.Module:
    # Imported here: facexlib brings in OpenCV, numba and scipy, which takes seconds.
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings(), torch.device("meta"):
        # torchvision warns about the ``pretrained=False`` that facexlib passes.
        warnings.filterwarnings("ignore", module="torchvision")
        # On "meta" the weights are not drawn: no time lost, global random state untouched.
        network = RetinaFace(network_name=network_name, device=torch.device("meta"))
    for name in ("mean_tensor", "device"):  # unused by forward, and not moved by ``.to()``
        vars(network).pop(name, None)
    return cast(nn.Module, network.to_empty(device="cpu"))
