"""Pre- and post-processing on a device, for ``gpu.py``: cropping, colour, mask and pasting."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import gpen_core
from gpen_core import GpenConfig, template_landmarks

IMAGE_PX = 1024
TILT = torch.tensor([[0.996, -0.087], [0.087, 0.996]], dtype=torch.float64)  # 5 degrees
FACE_SHARE = 0.75  # of the image's width that the crop covers
SETTINGS = {
    "defaults": gpen_core.BlendSettings(),
    "ellipse, color": gpen_core.BlendSettings(shape=gpen_core.MaskShape.ELLIPSE, color=1.0),
    "and detail and grain": gpen_core.BlendSettings(
        shape=gpen_core.MaskShape.ELLIPSE, color=1.0, detail=0.5, grain=1.0
    ),
}


class Stand(nn.Module):
    """In the network's place: what it returns was made before."""

    def __init__(self, config: GpenConfig, device: torch.device) -> None:
        """Make it."""
        super().__init__()
        self.config = config
        made = torch.rand(1, 3, config.size, config.size, device=device) - 0.5
        self.restored = nn.Parameter(made.contiguous(memory_format=torch.channels_last))

    def forward(self, crops: Tensor) -> Tensor:
        """A copy, because the pipeline writes to it: a pass over the memory, counted as around."""
        return self.restored.detach().clone()


class Around:
    """Restores the face of an image that is on the device already, but for the network."""

    def __init__(
        self, config: GpenConfig, settings: gpen_core.BlendSettings, device: torch.device
    ) -> None:
        """Prepare one face."""
        self.network = Stand(config, device)
        self.settings = settings
        landmarks = template_landmarks(gpen_core.Template.FFHQ, 1) - 0.5
        landmarks = (landmarks @ TILT.T * FACE_SHARE + 0.5) * IMAGE_PX
        self.faces = gpen_core.Faces(
            image_index=torch.zeros(1, dtype=torch.int64),
            boxes=torch.cat([landmarks.amin(0), landmarks.amax(0)])[None].float(),
            landmarks=landmarks[None].float(),
            scores=torch.ones(1),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """(1, 3, IMAGE_PX, IMAGE_PX) to the same."""
        return gpen_core.restore_faces(
            images,
            self.faces,
            self.network,  # type: ignore[arg-type]
            settings=self.settings,
        ).images


def image(device: torch.device) -> Tensor:
    """(1, 3, IMAGE_PX, IMAGE_PX) in [0, 1] in ComfyUI's memory order."""
    pixels = torch.rand(1, IMAGE_PX, IMAGE_PX, 3, generator=torch.Generator().manual_seed(0))
    return pixels.to(device).permute(0, 3, 1, 2)
