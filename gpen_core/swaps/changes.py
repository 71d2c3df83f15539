"""Which faces a swap changed, and where.

Both pictures are brought to the same small crop of a face and compared there, cell by cell, where
the noise of 8 bits, of JPEG and of a resized picture averages out. What is left of it is known from
the rest of the picture, which the swap did not touch: a face must differ by more than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blending.masks import soften
from ..faces.faces import Faces
from ..geometry.alignment import Template, align_faces, invert_affine, scale_of
from ..geometry.warping import crop_image, footprint

CHANGE_MAP_PX = 64
"""Height and width of a map of what was changed, over the crop of a face."""
_CELLS = 16  # along each axis of the crop; faces are judged by the differences of their means
# The rectangle that an FFHQ crop's face fills, brows to chin, in cells.
_FACE_ROWS, _FACE_COLUMNS = slice(4, 13), slice(4, 12)
_THIRD = 3  # cells
# A swap reaches 20 / 255 on faces of 30 pixels, an untouched face at most 2.5 / 255 after JPEG at
# quality 20 or a quarter of the pixels.
_MIN_CHANGE = 4 / 255
_ABOVE_NOISE = 2.5  # times the difference that a tenth of the rest of the picture exceeds
_NOISE_QUANTILE = 0.9
_MIN_BACKGROUND_CELLS = 64
_MAX_SAMPLES = 2**18
_MIN_TOUCH = 3 / 255
_TOUCH_BLUR = 0.03  # of the crop
_TOUCH_GAP = 0.08  # of the crop; what is alike by chance inside a changed face counts as changed


@dataclass(frozen=True)
class SwapChanges:
    """What a swap did to each of N faces."""

    is_swapped: Tensor
    """(N,) bool on the CPU: the face was changed by more than the noise."""
    strength: Tensor
    """(N,) float32 on the CPU: rms difference in the least changed third of the face, of its top,
    bottom, left and right one; of colours in [0, 1]."""
    maps: Tensor
    """(N, 64, 64) float32 in [0, 1] on the device asked for: where the crop was changed."""


def find_changes(
    original: Tensor,
    swapped: Tensor,
    faces: Faces,
    template: Template | str = Template.FFHQ,
    device: torch.device | str | None = None,
) -> SwapChanges:
    """Compare the faces of one image before and after a swap.

    Args:
        original: (C, H, W) floating, C >= 3, RGB first, in [0, 1].
        swapped: Same size, device and range.
        faces: Of this image alone; ``image_index`` is not looked at.
        template: How crops are cut.
        device: Where to resample; that of the images if None.
    """
    device = device or swapped.device
    if not len(faces):
        empty = torch.empty(0)
        return SwapChanges(empty.bool(), empty, torch.empty(0, CHANGE_MAP_PX, CHANGE_MAP_PX))
    matrices = align_faces(faces.landmarks, Template(template), CHANGE_MAP_PX)
    difference = swapped[:3].float() - original[:3].float()
    background = _Background(difference, matrices)
    difference -= background.offset()[:, None, None]
    crops = torch.stack([crop_image(difference, m, CHANGE_MAP_PX, device) for m in matrices])
    cells = F.avg_pool2d(crops, CHANGE_MAP_PX // _CELLS)[..., _FACE_ROWS, _FACE_COLUMNS]
    # The swap of a face beside this one may reach into it, but not across it.
    energy = cells.square().mean(dim=1)
    parts = [energy[:, :_THIRD], energy[:, -_THIRD:], energy[:, :, :_THIRD], energy[:, :, -_THIRD:]]
    strength = torch.stack([part.mean(dim=(1, 2)) for part in parts]).amin(dim=0).sqrt().cpu()

    scales = scale_of(matrices)  # map pixels an image pixel
    cell_px = (CHANGE_MAP_PX / _CELLS / scales).tolist()
    noise = torch.tensor([background.noise(px) for px in cell_px])
    fine_noise = torch.tensor([background.noise(1 / s) for s in scales.tolist()]).to(device)

    fine_energy = crops.square().mean(dim=1).clamp(0, 1)
    blurred = soften(fine_energy, _TOUCH_BLUR).sqrt()
    minimum = (_ABOVE_NOISE * fine_noise).clamp_min(_MIN_TOUCH)
    maps = (blurred > minimum[:, None, None]).float()
    closed = soften(soften(maps, 0, _TOUCH_GAP), 0, -_TOUCH_GAP)
    return SwapChanges(strength > (_ABOVE_NOISE * noise).clamp_min(_MIN_CHANGE), strength, closed)


class _Background:
    """The difference between two pictures away from all faces."""

    def __init__(self, difference: Tensor, image_to_crop: Tensor) -> None:
        self._difference = difference
        size = (difference.shape[1], difference.shape[2])
        self._is_face = torch.zeros(1, *size, device=difference.device)
        for matrix in invert_affine(image_to_crop):
            footprint(matrix, CHANGE_MAP_PX, size).of(self._is_face).fill_(1)
        self._measured: dict[int, float] = {}

    def offset(self) -> Tensor:
        """(3,) median difference: of a picture whose colours were changed as a whole."""
        free = _thinned(self._difference[:, self._is_face[0] == 0])
        if free.shape[1] < _MIN_BACKGROUND_CELLS:
            return self._difference.new_zeros(3)
        return free.median(dim=1).values

    def noise(self, cell_px: float) -> float:
        """What the means of a tenth of the cells differ by; 0 where too few cells are left.

        Not their rms: a swapped face that is not among those given must not count as noise.
        """
        cell = 2 ** max(0, round(math.log2(cell_px)))
        if cell not in self._measured:
            self._measured[cell] = self._measure(cell)
        return self._measured[cell]

    def _measure(self, cell: int) -> float:
        if min(self._difference.shape[1:]) < cell:
            return 0.0
        is_free = F.max_pool2d(self._is_face[None], cell)[0, 0] == 0
        if int(is_free.sum()) < _MIN_BACKGROUND_CELLS:
            return 0.0
        means = _thinned(F.avg_pool2d(self._difference[None], cell)[0][:, is_free])
        return float(means.square().mean(dim=0).sqrt().quantile(_NOISE_QUANTILE))


def _thinned(values: Tensor) -> Tensor:
    """Some of (3, K) values, evenly spread: bounds the time of sorting them."""
    return values[:, :: max(1, values.shape[1] // _MAX_SAMPLES)]
