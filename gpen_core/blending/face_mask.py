"""Masks of faces in their images: by shape, and by what a face parser found in the crops."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import SettingError, TensorSpecError
from ..faces.faces import Faces
from ..faces.parsing import (
    DEFAULT_MAX_BATCH,
    PARSING_SIZE,
    REGIONS,
    FaceParser,
    FaceRegion,
    parse_faces,
)
from ..geometry.alignment import Template, align_faces, invert_affine
from ..geometry.warping import footprint, pixel_centres, warp_mask
from ..images.validation import check_images
from ..monitor import SILENT, Monitor
from .crops import CropPlan
from .masks import Padding, box_mask, ellipse_mask, intersect, soften
from .settings import BlendSettings, MaskShape


def shape_mask(points: Tensor, shape: MaskShape | str, padding: Padding, feather: float) -> Tensor:
    """The mask of a shape at points of the crop; see ``masks`` for the arguments."""
    if MaskShape(shape) is MaskShape.ELLIPSE:
        return ellipse_mask(points, padding, feather)
    return box_mask(points, padding, feather)


def crop_mask(
    size: int, settings: BlendSettings, device: torch.device | str, stride: int = 1
) -> Tensor:
    """The mask of the settings' shape over a crop, float32, of every ``stride``-th pixel."""
    centres = (torch.arange(0, size, stride, device=device) + 0.5) / size
    points = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    return shape_mask(points, settings.shape, settings.padding, settings.feather)


def face_masks(
    faces: Faces,
    size: tuple[int, int, int],
    *,
    template: Template | str = Template.FFHQ,
    shape: MaskShape | str = MaskShape.BOX,
    padding: Padding = BlendSettings.padding,
    feather: float = BlendSettings.feather,
    crop_masks: Tensor | None = None,
) -> Tensor:
    """The mask of all faces of each image.

    Args:
        faces: Where the faces are.
        size: Number of images, and their height and width in pixels.
        template: How faces sit in their crops.
        shape: Outline within the crop.
        padding: Strip along the crop's edges, as fractions of the crop.
        feather: Width of the soft edge, as a fraction of the crop.
        crop_masks: (N, S, S) floating in [0, 1], a mask in the crop of each face; only what is in
            the shape and in this too is masked.

    Returns:
        (B, H, W) float32 in [0, 1] of that size, on the faces' device; the largest where faces
        overlap.

    Raises:
        TensorSpecError: There is not one crop mask a face.
    """
    if crop_masks is not None and (crop_masks.ndim != 3 or len(crop_masks) != len(faces)):
        raise TensorSpecError(
            f"crop_masks: expected ({len(faces)}, S, S), one a face, got "
            f"{tuple(crop_masks.shape)}. Parse the crops of these very faces."
        )
    masks = torch.zeros(size, device=faces.device)
    # The crop is taken as the unit square: its size in pixels does not matter.
    image_to_crop = align_faces(faces.landmarks, Template(template), 1)
    for i, image in enumerate(faces.image_index.tolist()):
        region = footprint(invert_affine(image_to_crop[i]), 1, size[1:])
        if not region.height or not region.width:
            continue
        points = pixel_centres(region, image_to_crop[i], faces.device)
        mask = shape_mask(points, shape, padding, feather)
        if crop_masks is not None:
            parsed = warp_mask(crop_masks[i].to(mask), 1, image_to_crop[i], region)
            mask = intersect(mask, parsed)
        in_image = region.of(masks[image])
        in_image.copy_(torch.maximum(in_image, mask))
    return masks


def parse_regions(
    images: Tensor,
    faces: Faces,
    parser: FaceParser,
    regions: Iterable[FaceRegion | str],
    feather: float,
    *,
    template: Template | str = Template.FFHQ,
    monitor: Monitor = SILENT,
) -> Tensor:
    """A soft mask of some regions of each face, in its crop.

    Args:
        images: (B, C, H, W) floating RGB or RGBA in [0, 1].
        faces: Where the faces are.
        parser: From ``load_parser``.
        regions: Which to include, such as ``FACE_REGIONS``; more than once is once.
        feather: Width of the ramp across the edge, as a fraction of the crop.
        template: How faces sit in their crops.
        monitor: Told of progress in faces.

    Returns:
        (N, ``PARSING_SIZE``, ``PARSING_SIZE``) float32 in [0, 1] on the images' device, for
        ``face_masks``.

    Raises:
        TensorSpecError: The images are of another shape or dtype, pixels are not finite, or a face
            points to no image.
        NonFiniteOutputError: The parser returned NaN or infinity.
        SettingError: As for ``region_mask``.
    """
    check_images(images)
    faces.count_per_image(len(images))
    plan = CropPlan(faces, PARSING_SIZE, template)
    device, names = next(parser.parameters()).device, list(regions)
    masks = images.new_zeros((len(faces), PARSING_SIZE, PARSING_SIZE), dtype=torch.float32)
    n_done = 0
    for chunk in plan.chunks(DEFAULT_MAX_BATCH):
        monitor.check_interrupt()
        parsed = parse_faces(plan.crop(images, chunk, device), parser)
        masks[chunk] = region_mask(parsed, names, feather).to(masks)
        n_done += len(chunk)
        monitor.on_progress(n_done, len(faces))
    return masks


def region_mask(parsed: Tensor, regions: Iterable[FaceRegion | str], feather: float) -> Tensor:
    """A soft mask of some regions of each face.

    Args:
        parsed: (N, len(REGIONS), h, w) floating probabilities from ``parse_faces``.
        regions: Which to include, such as ``FACE_REGIONS``; more than once is once.
        feather: Width of the ramp across the edge, as a fraction of the crop. 0 leaves the edges
            as the network sees them. facexlib blurs its own masks about as much as 0.14 does.

    Returns:
        (N, h, w) in [0, 1], dtype and device of ``parsed``, over the whole of the crop.

    Raises:
        TensorSpecError: ``parsed`` has another shape or dtype.
        SettingError: No region is given or one is not known, or another argument is out of range.
    """
    if parsed.ndim != 4 or parsed.shape[1] != len(REGIONS) or not parsed.is_floating_point():
        raise TensorSpecError(
            f"parsed: expected (N, {len(REGIONS)}, h, w) floating, got {tuple(parsed.shape)} "
            f"{parsed.dtype}. Give the result of parse_faces."
        )
    if not feather >= 0:
        raise SettingError(
            f"feather: expected a fraction of the crop of at least 0, got {feather}. Try 0.05."
        )
    mask = parsed[:, _region_indices(regions)].sum(1)
    return soften(mask, feather / 2)


def _region_indices(regions: Iterable[FaceRegion | str]) -> list[int]:
    """Places of the regions in ``REGIONS``, each once."""
    known = [region.value for region in REGIONS]
    # A single name is itself an iterable, of its letters.
    names = [regions] if isinstance(regions, str) else list(regions)
    for name in names:
        if name not in known:
            raise SettingError(
                f"regions: expected some of {', '.join(known)}, got {name!r}. Choose from these."
            )
    if not names:
        raise SettingError(
            f"regions: expected some of {', '.join(known)}, got none. Choose from these."
        )
    return sorted({known.index(name) for name in names})


def box_masks(
    faces: Faces, n_images: int, size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Masks that are 1 inside the boxes of the faces.

    Args:
        faces: Where the faces are.
        n_images: Number of masks.
        size: Height and width of the masks in pixels.
        scale: What to multiply x and y of the boxes with.

    Returns:
        (n_images, H, W) float32, 0 or 1, on the CPU.

    Raises:
        TensorSpecError: A face points to no image.
    """
    faces.count_per_image(n_images)
    masks = torch.zeros((n_images, *size))
    factors = torch.tensor([*scale, *scale])
    for index, box in zip(faces.image_index.tolist(), faces.boxes.cpu() * factors, strict=True):
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in box.tolist())
        masks[index, y0:y1, x0:x1] = 1
    return masks
