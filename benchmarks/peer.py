"""facexlib's FaceRestoreHelper, the pre- and post-processing that most peers share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from facexlib.utils.face_restoration_helper import FaceRestoreHelper
from torch import Tensor

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import gpen_core


class Peer(FaceRestoreHelper):
    """facexlib's helper with faces and crops given, so that it needs no weights."""

    def __init__(self, image: np.ndarray, landmarks: np.ndarray, size: int) -> None:
        """Align the faces of a BGR uint8 image."""
        self.upscale_factor, self.face_size, self.use_parse = 1, (size, size), False
        self.pad_blur = False
        self.face_template = np.array(
            [
                [192.98138, 239.94708],
                [318.90277, 240.1936],
                [256.63416, 314.01935],
                [201.26117, 371.41043],
                [313.08905, 371.15118],
            ]
        ) * (size / 512)
        self.clean_all()
        self.input_img = image
        # The helper counts pixel centres as whole numbers.
        self.all_landmarks_5 = list(landmarks - 0.5)
        self.align_warp_face()
        self.get_inverse_affine()


def peer_paste(
    image: Tensor, faces: gpen_core.Faces, size: int, restore: Callable[[np.ndarray], np.ndarray]
) -> Tensor:
    """Facexlib's result for one picture, (3, H, W) in [0, 1]."""
    peer = Peer(to_bgr(image[0]), faces.landmarks.double().numpy(), size)
    peer.restored_faces = [restore(crop) for crop in peer.cropped_faces]
    pasted = peer.paste_faces_to_input_image()[..., ::-1].copy()
    return torch.from_numpy(pasted).permute(2, 0, 1) / 255


def to_bgr(image: Tensor) -> np.ndarray:
    """(3, H, W) RGB in [0, 1] as OpenCV has it: (H, W, 3) BGR uint8."""
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels[..., ::-1])
