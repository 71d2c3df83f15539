"""Masks of faces in their images: by shape, and by what a face parser found in the crops."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import TensorSpecError
from ..faces.faces import Faces
from .alignment import Template, align_faces, invert_affine
from .masks import Padding, box_mask, ellipse_mask, intersect
from .resampling import footprint, pixel_centres, warp_mask
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
    n_images: int,
    image_size: tuple[int, int],
    *,
    template: Template | str = Template.FFHQ,
    shape: MaskShape | str = MaskShape.BOX,
    padding: Padding = 0.02,
    feather: float = 0.12,
    crop_masks: Tensor | None = None,
) -> Tensor:
    """The mask of all faces of each image.

    Args:
        faces: Where the faces are.
        n_images: Number of images.
        image_size: Their height and width in pixels.
        template: How faces sit in their crops.
        shape: Outline within the crop.
        padding: Strip along the crop's edges, as fractions of the crop.
        feather: Width of the soft edge, as a fraction of the crop.
        crop_masks: (N, S, S) floating in [0, 1], a mask in the crop of each face; only what is in
            the shape and in this too is masked.

    Returns:
        (n_images, H, W) float32 in [0, 1], on the faces' device; the largest where faces overlap.

    Raises:
        TensorSpecError: There is not one crop mask a face.
    """
    if crop_masks is not None and (crop_masks.ndim != 3 or len(crop_masks) != len(faces)):
        raise TensorSpecError(
            f"crop_masks: expected ({len(faces)}, S, S), one a face, got "
            f"{tuple(crop_masks.shape)}. Parse the crops of these very faces."
        )
    masks = torch.zeros((n_images, *image_size), device=faces.device)
    # The crop is taken as the unit square: its size in pixels does not matter.
    image_to_crop = align_faces(faces.landmarks, Template(template), 1)
    for i, image in enumerate(faces.image_index.tolist()):
        region = footprint(invert_affine(image_to_crop[i]), 1, image_size)
        if not region.height or not region.width:
            continue
        points = pixel_centres(region, image_to_crop[i], faces.device)
        mask = shape_mask(points, shape, padding, feather)
        if crop_masks is not None:
            parsed = warp_mask(crop_masks[i].to(mask), 1, image_to_crop[i], region)
            mask = intersect(mask, parsed)
        here = region.of(masks[image])
        here.copy_(torch.maximum(here, mask))
    return masks
