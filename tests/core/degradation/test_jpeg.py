"""JPEG, beside two other encoders."""

import io

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from gpen_core.degradation.jpeg import Jpeg
from gpen_core.errors import TensorSpecError
from support.stages import apply, bytes_of, picture


def _pillow(samples, quality):
    file = io.BytesIO()
    Image.fromarray(samples.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


@pytest.mark.parametrize("quality", [5, 40, 95])
def test_jpeg_is_pillows_and_torchvisions_at_the_same_quality(quality):
    pixels = picture(45, 61)  # not whole blocks
    compressed = apply(Jpeg(quality), pixels)
    assert torch.equal(bytes_of(compressed), _pillow(bytes_of(pixels), quality))
    encoded = torchvision.io.encode_jpeg(bytes_of(pixels), quality)
    assert torch.equal(bytes_of(compressed), torchvision.io.decode_jpeg(encoded))


def test_the_grid_of_blocks_can_be_moved():
    pixels = picture(48, 64)
    shifted = apply(Jpeg(20, shift=4), pixels)
    padded = torch.nn.functional.pad(pixels[None], (4, 0, 4, 0), "replicate")[0]
    assert torch.equal(bytes_of(shifted), _pillow(bytes_of(padded), 20)[:, 4:, 4:])
    assert not torch.equal(shifted, apply(Jpeg(20), pixels))


def test_a_picture_too_long_for_jpeg_is_refused():
    with pytest.raises(TensorSpecError, match="at most 65500 pixels for JPEG"):
        apply(Jpeg(50), torch.zeros(3, 1, 65501))
