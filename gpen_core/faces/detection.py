"""Find faces: scaled copies of the images through RetinaFace, batched, decoded on the device."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from ..bundled import BUNDLED_DETECTOR
from ..checkpoints.safe_load import read_tensors
from ..checkpoints.strict_load import load_weights, recognize
from ..errors import SettingError, TensorSpecError
from ..geometry.resizing import resize
from ..images.batches import run_in_parts
from ..images.validation import check_finite, check_images
from ..monitor import SILENT, Monitor
from .faces import Faces
from .retinaface import (
    FaceDetector,
    RawFaces,
    decode_boxes,
    decode_landmarks,
    make_anchors,
)
from .settings import DEFAULT_DETECTION_SIZE, DEFAULT_THRESHOLD

DEFAULT_MAX_BATCH = 8

_SIGNATURES = {
    "retinaface_mobile0.25": "body.stage1.0.0.weight",
    "retinaface_resnet50": "body.layer1.0.conv1.weight",
}

_NMS_OVERLAP = 0.4  # the value of the published evaluation and of facexlib
_MAX_ASPECT = 8  # the long side of the copy, in detection sizes
# Pixels in one call of the network: eight 16:9 frames at 640; on a CPU what its caches take, which
# was measured twice as fast for each frame.
_CHUNK_PIXELS = 6_000_000
_CPU_CHUNK_PIXELS = 1_000_000

logger = logging.getLogger(__name__)


def load_detector(
    path: str | Path | None = None, device: torch.device | str = "cpu"
) -> FaceDetector:
    """Load a face detector; which one it is, is detected from its weights.

    Args:
        path: A checkpoint, such as facexlib's detection_mobilenet0.25_Final.pth or
            detection_Resnet50_Final.pth; the same tensors as .safetensors do as well. None: the
            bundled retinaface_mobile0.25.
        device: Where to put it.

    Returns:
        The detector in float32, in evaluation mode, without gradients.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointReadError: It cannot be read; ``UnsafeCheckpointError`` if it is not safe to.
        CheckpointMismatchError: It holds another model.
    """
    path = BUNDLED_DETECTOR if path is None else Path(path)
    tensors = read_tensors(path)
    name = recognize(tensors, path, kind="face detector", signatures=_SIGNATURES)
    detector = FaceDetector(name)
    load_weights(detector.network, tensors, path, name)
    return detector.requires_grad_(False).to(device)


@torch.no_grad()
def detect_faces(
    images: Tensor,
    detector: FaceDetector,
    *,
    detection_size: int = DEFAULT_DETECTION_SIZE,
    threshold: float = DEFAULT_THRESHOLD,
    max_batch: int = DEFAULT_MAX_BATCH,
    monitor: Monitor = SILENT,
) -> Faces:
    """Find the faces in a batch of images.

    Args:
        images: (B, C, H, W) floating point RGB or RGBA in [0, 1]; alpha is ignored. On any device:
            only the scaled copy is moved to the detector's.
        detector: From ``load_detector``.
        detection_size: The copy that is searched has a short side of at most this many pixels, and
            a long side of at most 8 times that. Larger finds smaller faces and takes longer;
            smaller is surer of faces that fill the image. 0: full resolution.
        threshold: The minimum score of a face, in [0, 1]. Lower finds more, some of them false.
        max_batch: Images in one call of the network; large ones go in smaller numbers. Where they
            do not fit into the device's memory together, they are halved until they do.
        monitor: Told of progress in images.

    Returns:
        Faces by image, those of one image by falling score, on the images' device. Boxes and
        landmarks in pixels of ``images``, pixel centres at integer + 0.5; boxes and landmarks of
        a face at the border may lie outside. No face is a result: ``len(faces) == 0``.

    Raises:
        TensorSpecError: ``images`` is of another shape or dtype, or has NaN or infinity in it.
        SettingError: Another argument is out of range.
        DeviceMemoryError: Not even one image fits.
    """
    _check_arguments(images, detection_size, threshold, max_batch)
    count, _, height, width = images.shape
    copy_size = scaled_size(height, width, copy_ratio(height, width, detection_size))
    device = next(detector.parameters()).device
    pixels = _CPU_CHUNK_PIXELS if device.type == "cpu" else _CHUNK_PIXELS
    chunk = max(1, min(max_batch, pixels // (copy_size[0] * copy_size[1])))
    anchors = make_anchors(*copy_size, device=device)
    # Each axis on its own: rounding the copy's size to whole pixels bends the aspect a little.
    scale = torch.tensor((width / copy_size[1], height / copy_size[0]), device=device)

    parts = [Faces.empty(images.device)]
    for start in range(0, count, chunk):
        monitor.check_interrupt()
        colors = images[start : start + chunk, :3]
        check_finite(colors, start)
        copies = resize(colors.float(), copy_size, "bilinear").clamp(0, 1).to(device)
        parts.append(_detect(copies, start, detector, anchors, scale, threshold).to(images.device))
        monitor.on_progress(min(start + chunk, count), count)
    faces = Faces.concatenate(parts)
    logger.debug("%d faces in %d images, searched at %dx%d", len(faces), count, *copy_size[::-1])
    return faces


def _detect(
    copies: Tensor,
    first_index: int,
    detector: FaceDetector,
    anchors: Tensor,
    scale: Tensor,
    threshold: float,
) -> Faces:
    """The faces in one chunk of copies, in pixels of the images they were made from."""
    from torchvision.ops import batched_nms  # here, so that importing the package stays quick

    height, width = copies.shape[-2:]
    too_little = (
        f"detector: expected memory for one image of {width}x{height} pixels, got less than the "
        f"{detector.activation_bytes(height * width) / 2**20:.0f} MB it takes. Lower "
        "detection_size, or close what else uses the device."
    )
    parts = run_in_parts(detector, copies, too_little)
    raw = parts[0] if len(parts) == 1 else RawFaces(*map(torch.cat, zip(*parts, strict=True)))
    if not bool(raw.scores.isfinite().all()):
        raise TensorSpecError(
            "detector: expected finite scores, got NaN or infinity. "
            "Use it in float32; if it is, the weights are damaged."
        )
    image_index, anchor_index = (raw.scores > threshold).nonzero(as_tuple=True)
    scores = raw.scores[image_index, anchor_index]
    near = anchors[anchor_index]
    boxes = decode_boxes(raw.box_offsets[image_index, anchor_index], near)
    kept = batched_nms(boxes, scores, image_index, _NMS_OVERLAP)  # by falling score
    kept = kept[torch.argsort(image_index[kept], stable=True)]
    landmarks = decode_landmarks(
        raw.landmark_offsets[image_index[kept], anchor_index[kept]], near[kept]
    )
    return Faces(
        image_index=image_index[kept] + first_index,
        boxes=boxes[kept] * scale.repeat(2),
        landmarks=landmarks * scale,
        scores=scores[kept],
    )


def copy_ratio(height: int, width: int, detection_size: int) -> float:
    """Pixels of the copy that ``detect_faces`` searches per pixel of the image, at most 1."""
    if detection_size == 0:
        return 1.0
    short, long = sorted((height, width))
    return min(1.0, detection_size / short, _MAX_ASPECT * detection_size / long)


def scaled_size(height: int, width: int, ratio: float) -> tuple[int, int]:
    """Height and width of a copy, in whole pixels."""
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def _check_arguments(images: Tensor, detection_size: int, threshold: float, max_batch: int) -> None:
    check_images(images)
    if detection_size < 0:
        raise SettingError(
            "detection_size: expected a number of pixels, or 0 for full resolution, "
            f"got {detection_size}. 640 suits most images."
        )
    if not 0 <= threshold <= 1:
        raise SettingError(f"threshold: expected a score in [0, 1], got {threshold}. Try 0.8.")
    if max_batch < 1:
        raise SettingError(f"max_batch: expected at least 1, got {max_batch}. Try 8.")
