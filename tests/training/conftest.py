"""A network small enough to train a step in a test, and faces to train it on."""

import pytest
import skimage.data
import torch

from gpen_core.network.config import GpenConfig
from training.dataset import MARGIN, OVERSAMPLING

CONFIG = GpenConfig(256, 1, 1 / 8, n_mlp=2, style_dim=16)


@pytest.fixture
def faces():
    """(2, 3, S, S) uint8 as ``load_faces`` returns them: parts of a photo, which will do."""
    side = round(CONFIG.size * OVERSAMPLING * (1 + 2 * MARGIN))
    photo = torch.tensor(skimage.data.astronaut()).permute(2, 0, 1)[None]
    face = torch.nn.functional.interpolate(photo[..., :400, 50:450].float(), (side, side))
    return torch.cat((face, face.flip(3))).byte()
