"""How faithful the pre- and post-processing is, beside facexlib's helper in the same run.

    python benchmarks/fidelity.py [--sizes 256 512 1024 2048]
    python benchmarks/fidelity.py --frames 2000    # memory over that many frames of 720p, alone

Pictures: scikit-image's astronaut, and with GPEN_TEST_DATA the Solvay conference of 1927, as it is
and enlarged four times. The network is an identity checkpoint, so what differs from the input is
what cropping, colour, mask and pasting do to it.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from clips import clip_table, memory_over_frames
from peer import peer_paste, to_bgr
from PIL import Image
from swaps import swap_tables
from torch import Tensor

import gpen_core
from gpen_core import (
    GpenConfig,
    Scales,
    SearchSettings,
    Template,
    align_faces,
    box_masks,
    compare_images,
    identity_state_dict,
    template_landmarks,
)
from gpen_core.geometry.alignment import invert_affine
from gpen_core.geometry.warping import footprint, pixel_centres

NARROW = {256: (1, 0.0625), 512: (2, 0.0625), 1024: (2, 0.125), 2048: (2, 0.1875)}
CHIRP_SIZE_PX = 2048


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(NARROW))
    parser.add_argument("--frames", type=int, help="only run this many frames of 720p")
    options = parser.parse_args()
    if options.frames:
        memory_over_frames(options.frames)
        return
    detector = gpen_core.load_detector()
    photos = {
        name: (image, gpen_core.detect_faces(image, detector)) for name, image in _photos().items()
    }
    _identity_table(photos, options.sizes)
    _chirp_table(photos)
    _color_table(*photos["astronaut"])
    _grain_table()
    _tilt_table(photos["astronaut"][0], detector)
    swap_tables(photos, detector)
    clip_table(*photos["astronaut"])


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
        network = gpen_core.build_model(state_dict)
        for name, (image, faces) in photos.items():
            started = time.perf_counter()
            result = gpen_core.restore_faces(image, faces, network)
            seconds = time.perf_counter() - started
            peer = peer_paste(image, faces, size, lambda crop: crop)
            inside = box_masks(faces, 1, (image.shape[2], image.shape[3]))[0] > 0
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
        peer = peer_paste(image, face, CHIRP_SIZE_PX, lambda _: to_bgr(chirp))
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


def _color_table(image: Tensor, faces: gpen_core.Faces) -> None:
    print("\nMean CIEDE2000 to the input inside the mask, of a face restored with a colour cast")
    print(f"{'cast':<12}{'color 0':>9}{'color 1':>9}")
    crops = gpen_core.crop_faces(image, faces, 512)
    casts = {"warm": (1.1, 1.0, 0.8), "cold": (0.85, 1.0, 1.15), "dark": (0.7, 0.7, 0.7)}
    for name, gains in casts.items():
        cast = (crops * torch.tensor(gains).view(3, 1, 1)).clamp(0, 1)
        differences = []
        for color in (0.0, 1.0):
            settings = gpen_core.BlendSettings(color=color)
            result = gpen_core.paste_faces(image, faces, cast, settings=settings)
            inside = (result.masks > 0.5).float()
            compared = compare_images(image, result.images, inside)
            differences.append(compared.region.color_error)
        print(f"{name:<12}{differences[0]:>9.2f}{differences[1]:>9.2f}")


def _grain_table() -> None:
    print("\nNoise inside a face restored smooth, as a share of the noise around it")
    print(f"{'sigma':<12}{'grain 0':>9}{'grain 1':>9}")
    size = 400
    for sigma in (0.01, 0.02, 0.05, 0.08):
        generator = torch.Generator().manual_seed(0)
        image = 0.5 + sigma * torch.randn(1, 3, size, size, generator=generator)
        landmarks = template_landmarks(Template.FFHQ, 160).float()[None] + 120
        faces = gpen_core.Faces(
            image_index=torch.zeros(1, dtype=torch.int64),
            boxes=torch.tensor([[120.0, 120.0, 280.0, 280.0]]),
            landmarks=landmarks,
            scores=torch.ones(1),
        )
        shares = []
        for grain in (0.0, 1.0):
            settings = gpen_core.BlendSettings(grain=grain, fine_grain="replace")
            smooth = torch.full((1, 3, 512, 512), 0.5)
            result = gpen_core.paste_faces(image, faces, smooth, settings=settings)
            inside, outside = result.masks[0] == 1, result.masks[0] == 0
            pixels = result.images[0]
            shares.append(float(pixels[:, inside].std() / pixels[:, outside].std()))
        print(f"{sigma:<12}{shares[0]:>9.3f}{shares[1]:>9.3f}")


def _tilt_table(image: Tensor, detector: gpen_core.FaceDetector) -> None:
    print("\nThe astronaut turned: faces found, and the worst landmark in % of the box's diagonal")
    print(f"{'degrees':<12}{'plain':>6}{'%':>7}{'search':>8}{'%':>7}")
    upright = gpen_core.detect_faces(image, detector)
    diagonal = float((upright.boxes[0, 2:] - upright.boxes[0, :2]).norm())
    size = 726  # holds the picture at any angle
    for degrees in range(0, 360, 15):
        angle = math.radians(degrees)
        turn = torch.tensor(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
            dtype=torch.float64,
        )
        to_turned = np.hstack([turn.numpy(), [[0.0], [0.0]]])
        centre = np.array([256.0, 256.0])
        to_turned[:, 2] = size / 2 - to_turned[:, :2] @ centre
        half_pixel = to_turned.copy()  # OpenCV counts pixel centres as whole numbers
        half_pixel[:, 2] += to_turned[:, :2] @ [0.5, 0.5] - 0.5
        turned = cv2.warpAffine(
            image[0].permute(1, 2, 0).numpy(), half_pixel, (size, size), flags=cv2.INTER_CUBIC
        )
        picture = torch.from_numpy(turned).permute(2, 0, 1)[None].clamp(0, 1)
        truth = upright.landmarks[0].double() @ turn.T + torch.from_numpy(to_turned[:, 2])
        cells = []
        for found in (
            gpen_core.detect_faces(picture, detector),
            gpen_core.search_faces(picture, detector, SearchSettings(scales=Scales.STANDARD)),
        ):
            error = math.nan
            if len(found):
                error = float((found.landmarks[0] - truth).norm(dim=1).max()) / diagonal * 100
            cells.append((len(found), error))
        (plain, plain_error), (searched, error) = cells
        print(f"{degrees:<12}{plain:>6}{plain_error:>7.1f}{searched:>8}{error:>7.1f}")


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


def _psnr(actual: Tensor, expected: Tensor) -> float:
    error = float((actual.double() - expected.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


if __name__ == "__main__":
    main()
