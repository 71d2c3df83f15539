"""How faithful the way around the network is, beside facexlib's helper in the same run.

    python benchmarks/fidelity.py [--models MODELS] [--sizes 256 512 1024 2048]

Pictures: scikit-image's astronaut, and with GPEN_TEST_DATA the Solvay conference of 1927, as it is
and enlarged four times. The network is an identity checkpoint, so what differs from the input is
what the way around the network does to it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from facexlib.utils.face_restoration_helper import FaceRestoreHelper
from PIL import Image
from torch import Tensor

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import gpen_core
from gpen_core.alignment import Template, align_faces, invert_affine
from gpen_core.config import GpenConfig
from gpen_core.resampling import footprint, pixel_centres
from gpen_core.synthetic import identity_state_dict

NARROW = {256: (1, 0.0625), 512: (2, 0.0625), 1024: (2, 0.125), 2048: (2, 0.1875)}
CHIRP_SIZE_PX = 2048


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


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, default=os.environ.get("GPEN_MODELS_DIR"))
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(NARROW))
    options = parser.parse_args()
    if options.models is None:
        parser.error("name a ComfyUI models folder with facedetection/ in it by --models")
    file = Path(options.models) / "facedetection" / "detection_mobilenet0.25_Final.pth"
    detector = gpen_core.load_detector("retinaface_mobile0.25", file)
    photos = {
        name: (image, gpen_core.detect_faces(image, detector)) for name, image in _photos().items()
    }
    _identity_table(photos, options.sizes)
    _chirp_table(photos)


def _photos() -> dict[str, Tensor]:
    """(1, 3, H, W) float32 pictures of 8-bit values."""
    pictures = {"astronaut": skimage.data.astronaut()}
    data = os.environ.get("GPEN_TEST_DATA")
    if data:
        with Image.open(Path(data) / "images" / "Solvay_conference_1927.png") as image:
            solvay = np.asarray(image.convert("RGB"))
        pictures["Solvay"] = solvay
        pictures["Solvay 4x"] = cv2.resize(solvay, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    return {
        name: torch.from_numpy(np.array(p)).permute(2, 0, 1)[None] / 255
        for name, p in pictures.items()
    }


def _identity_table(photos: dict[str, tuple[Tensor, gpen_core.Faces]], sizes: list[int]) -> None:
    print(
        "\nPSNR in dB inside the face boxes, and pixels changed outside the mask; identity network"
    )
    print(
        f"{'picture':<12}{'faces':>6}{'size':>6}{'ours':>8}{'facexlib':>10}{'outside':>9}{'s':>7}"
    )
    for size in sizes:
        multiplier, narrow = NARROW[size]
        state_dict = identity_state_dict(GpenConfig(size, multiplier, narrow))
        network = gpen_core.GpenGenerator.from_state_dict(state_dict)
        for name, (image, faces) in photos.items():
            started = time.perf_counter()
            result = gpen_core.restore_faces(image, network, faces)
            seconds = time.perf_counter() - started
            peer = _peer_paste(image, faces, size, lambda crop: crop)
            inside = _inside_boxes(image, faces)
            outside = (result.masks == 0)[:, None].expand_as(image)
            n_changed = int((result.images[outside] != image[outside]).sum())
            print(
                f"{name:<12}{len(faces):>6}{size:>6}"
                f"{_psnr(result.images[0][:, inside], image[0][:, inside]):>8.1f}"
                f"{_psnr(peer[:, inside], image[0][:, inside]):>10.1f}{n_changed:>9}{seconds:>7.1f}"
            )


def _chirp_table(photos: dict[str, tuple[Tensor, gpen_core.Faces]]) -> None:
    print("\nPSNR in dB of a 2048 chirp pasted on the first face, against an exact area average")
    print(f"{'picture':<12}{'scale':>7}{'ours':>8}{'facexlib':>10}")
    chirp = _chirp()
    settings = gpen_core.BlendSettings(padding=0, feather=0, fine_grain="replace")
    for name, (image, faces) in photos.items():
        face = faces.select([0])
        pasted = gpen_core.paste_faces(image, face, chirp[None], settings=settings)
        peer = _peer_paste(image, face, CHIRP_SIZE_PX, lambda _: _to_bgr(chirp))
        image_to_crop = align_faces(face.landmarks, Template.FFHQ, CHIRP_SIZE_PX)[0]
        region = footprint(invert_affine(image_to_crop), CHIRP_SIZE_PX, image.shape[2:])
        centres = pixel_centres(region, image_to_crop, chirp.device) / CHIRP_SIZE_PX
        middle = ((centres > 0.3) & (centres < 0.7)).all(dim=-1)  # where both masks are whole
        exact = _area_average(chirp, image_to_crop, region)[:, middle]
        scale = 1 / float(torch.linalg.det(image_to_crop[:, :2]).sqrt())
        print(
            f"{name:<12}{scale:>7.3f}"
            f"{_psnr(region.of(pasted.images[0])[:, middle], exact):>8.1f}"
            f"{_psnr(region.of(peer)[:, middle], exact):>10.1f}"
        )


def _chirp() -> Tensor:
    """Rings that grow finer outward, to four pixels a period at the edge's middle."""
    axis = torch.arange(CHIRP_SIZE_PX) + 0.5 - CHIRP_SIZE_PX / 2
    squared = axis[:, None].square() + axis.square()
    rings = 0.5 + 0.5 * torch.cos(2 * math.pi * 0.25 * squared / CHIRP_SIZE_PX)
    return rings.expand(3, -1, -1).contiguous()


def _area_average(source: Tensor, image_to_crop: Tensor, region: object, n: int = 96) -> Tensor:
    """Each image pixel as the mean of n x n nearest pixels of the crop."""
    rows = []
    offsets = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x = (region.left + torch.arange(region.width)[:, None] + offsets).flatten()
    for row in range(region.top, region.bottom):
        y = row + offsets
        points = torch.stack(torch.broadcast_tensors(x[None], y[:, None]), -1)
        points = points @ image_to_crop[:, :2].T + image_to_crop[:, 2]
        grid = (points * (2 / source.shape[-1]) - 1).float()[None]
        sampled = F.grid_sample(source[None], grid, mode="nearest", align_corners=False)
        rows.append(F.avg_pool2d(sampled[0], n))
    return torch.cat(rows, dim=1)


def _peer_paste(
    image: Tensor, faces: gpen_core.Faces, size: int, restore: Callable[[np.ndarray], np.ndarray]
) -> Tensor:
    """Facexlib's result for one picture, (3, H, W) in [0, 1]."""
    peer = Peer(_to_bgr(image[0]), faces.landmarks.double().numpy(), size)
    peer.restored_faces = [restore(crop) for crop in peer.cropped_faces]
    pasted = peer.paste_faces_to_input_image()[..., ::-1].copy()
    return torch.from_numpy(pasted).permute(2, 0, 1) / 255


def _to_bgr(image: Tensor) -> np.ndarray:
    pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels[..., ::-1])


def _inside_boxes(image: Tensor, faces: gpen_core.Faces) -> Tensor:
    inside = torch.zeros(image.shape[2:], dtype=torch.bool)
    for left, top, right, bottom in faces.boxes.round().long().clamp_min(0).tolist():
        inside[top:bottom, left:right] = True
    return inside


def _psnr(actual: Tensor, expected: Tensor) -> float:
    error = float((actual.double() - expected.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


if __name__ == "__main__":
    main()
