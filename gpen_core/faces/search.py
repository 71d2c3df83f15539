"""Find the faces that one look misses: very small and very large ones, and tilted ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..geometry.alignment import transform_points
from ..geometry.resizing import resize
from ..monitor import SILENT, Monitor
from .detection import (
    DEFAULT_MAX_BATCH,
    copy_ratio,
    detect_faces,
    scaled_size,
)
from .faces import Faces, long_sides
from .retinaface import FaceDetector
from .settings import Rotations, Scales, SearchSettings
from .straightening import are_upright, straighten_faces

_SMALL_COPY = 2.0  # of the standard copy
_LARGE_COPY = 0.5
_FACTORS = {
    Scales.STANDARD: (),
    Scales.SMALL: (_SMALL_COPY,),
    Scales.LARGE: (_LARGE_COPY,),
    Scales.ALL: (_LARGE_COPY, _SMALL_COPY),
}
_MAX_COPY_PIXELS = 16_000_000  # bounds the memory of one call of the network
_CHUNK_PIXELS = 6_000_000
_MAX_SMALL_PX = 128  # long side in the enlarged copy; larger ones the standard copy finds
_MIN_LARGE_SHARE = 0.4  # of the picture's short side
# From here on the largest anchor is outgrown and parts of a face are found as faces: in its area
# the smaller copy is believed.
_FILLING_SHARE = 0.6
_PART_SHARE = 0.5  # of a part's area inside the whole face
# A turned or enlarged picture gives every texture another chance to look like a face.
_RETRY_THRESHOLD = 0.9
_SAME_OVERLAP = 0.4
_SAME_DISTANCE = 0.5  # of centres, in long sides of the smaller face
_FACES_AT_ONCE = 8  # whose views are in memory together


@torch.no_grad()
def search_faces(
    images: Tensor,
    detector: FaceDetector,
    settings: SearchSettings | None = None,
    *,
    max_batch: int = DEFAULT_MAX_BATCH,
    monitor: Monitor = SILENT,
) -> Faces:
    """Find the faces in a batch of images, hard ones too.

    A sure and upright face of the standard copy stays exactly what ``detect_faces`` gives, unless
    it fills the picture. A face in several copies is returned once.

    Args:
        images: (B, C, H, W) floating point RGB or RGBA in [0, 1]; alpha is ignored. Any device.
        detector: From ``load_detector``.
        settings: How to look; the defaults of ``SearchSettings`` if None. With scales and
            rotations off this is ``detect_faces``.
        max_batch: Images in one call of the network; large ones go in smaller numbers.
        monitor: Told of progress in steps: one for each image and each copy of it that may be
            searched, one more where tilted faces are turned upright.

    Returns:
        Faces by image, those of one image by falling score, on the images' device, in pixels of
        ``images``, pixel centres at integer + 0.5. Landmarks of a tilted face keep their order:
        first the eye on the left of the face turned upright. Its box is the upright one around
        the oval that fills the tilted one.

    Raises:
        TensorSpecError: ``images`` is of another shape or dtype, or has NaN or infinity in it.
        SettingError: Another argument is out of range.
    """
    settings = settings or SearchSettings()
    factors = _FACTORS[settings.scales]
    quarters = () if settings.rotations is Rotations.OFF else (1, 2, 3)
    count = images.shape[0] if images.ndim else 0
    report = _Progress(monitor, count * (1 + len(factors) + len(quarters) + bool(quarters)))
    search = _Search(images, detector, settings, max_batch, monitor)

    faces = search.standard(report)
    if factors:
        copies = {factor: search.scaled(factor, report) for factor in factors}
        faces = join_scales(faces, copies, images.shape[-2:])
    if quarters:
        which = torch.arange(count)
        if settings.rotations is Rotations.WHEN_NONE:
            which = (faces.count_per_image(count) == 0).nonzero().flatten()
        turned = [search.turned(quarter, which, report) for quarter in quarters]
        faces = search.straightened(faces, Faces.concatenate(turned), report)
    if factors or quarters:
        by_score = torch.argsort(faces.scores, descending=True, stable=True)
        faces = faces.select(by_score).sorted_by_image()
    if settings.min_face_size:
        faces = faces.select(long_sides(faces.boxes) >= settings.min_face_size)
    return faces.to(images.device)


def search_bytes(
    detector: FaceDetector,
    image_shape: Sequence[int],
    settings: SearchSettings,
    max_batch: int = DEFAULT_MAX_BATCH,
) -> int:
    """About how much memory ``search_faces`` takes on a GPU, without the detector's weights.

    Args:
        detector: What it searches with.
        image_shape: (B, C, H, W).
        settings: How it looks.
        max_batch: Images in one call of the network.
    """
    count, _, height, width = image_shape
    pixels = height * width * copy_ratio(height, width, settings.detection_size) ** 2
    largest = [pixels]
    if _SMALL_COPY in _FACTORS[settings.scales]:
        largest.append(min(_SMALL_COPY**2 * pixels, _MAX_COPY_PIXELS))
    together = min(count, max_batch)
    calls = (max(one, min(together * one, _CHUNK_PIXELS)) for one in largest)
    return detector.activation_bytes(math.ceil(max(calls)))


class _Progress:
    """Counts the steps of several passes as those of one."""

    def __init__(self, monitor: Monitor, total: int) -> None:
        self._monitor, self._total, self._done = monitor, total, 0

    def advance(self, steps: int) -> None:
        self._done += steps
        if steps:
            self._monitor.on_progress(self._done, self._total)


class _Search:
    """The passes over one batch. Their faces are on the CPU: few, and looked at one by one."""

    def __init__(
        self,
        images: Tensor,
        detector: FaceDetector,
        settings: SearchSettings,
        max_batch: int,
        monitor: Monitor,
    ) -> None:
        self._images, self._detector = images, detector
        self._detection_size, self._threshold = settings.detection_size, settings.threshold
        self._retry_threshold = max(settings.threshold, _RETRY_THRESHOLD)
        self._max_batch, self._monitor = max_batch, monitor.without_progress()

    def standard(self, report: _Progress) -> Faces:
        """The faces that ``detect_faces`` finds."""
        previous = 0

        def advance(done: int, _total: int) -> None:
            nonlocal previous
            report.advance(done - previous)
            previous = done

        return detect_faces(
            self._images,
            self._detector,
            detection_size=self._detection_size,
            threshold=self._threshold,
            max_batch=self._max_batch,
            monitor=replace(self._monitor, on_progress=advance),
        ).to("cpu")

    def scaled(self, factor: float, report: _Progress) -> Faces:
        """The faces in a copy of another size, each in the range where that copy is reliable."""
        size, ratio = self._copy_size(factor)
        # The copy for large faces is the surer one, so it needs no higher threshold.
        threshold = self._threshold if factor < 1 else self._retry_threshold
        which = torch.arange(len(self._images))
        faces = self._detect_copies(which, size, 0, threshold, report)
        sides = long_sides(faces.boxes)
        if factor > 1:
            return faces.select(sides * ratio <= _MAX_SMALL_PX)
        return faces.select(sides >= _MIN_LARGE_SHARE * min(self._images.shape[-2:]))

    def turned(self, quarter: int, which: Tensor, report: _Progress) -> Faces:
        """The faces in copies of some images turned anticlockwise by ``quarter`` right angles."""
        size, _ = self._copy_size(1.0)
        faces = self._detect_copies(which, size, quarter, self._retry_threshold, report)
        report.advance(len(self._images) - len(which))
        return faces

    def straightened(self, faces: Faces, turned: Faces, report: _Progress) -> Faces:
        """All faces once, the tilted ones detected again upright.

        Args:
            faces: From upright copies: kept as they are where that fails.
            turned: From turned copies: left out where that fails.
            report: Of progress.
        """
        everything = Faces.concatenate([faces, turned])
        first = _distinct(everything)
        everything, is_turned = everything.select(first), first >= len(faces)
        is_done = ~is_turned & are_upright(everything)
        parts = [everything.select(is_done)]
        rows = (~is_done).nonzero().flatten()
        n_images, reported = len(self._images), 0
        for start in range(0, len(rows), _FACES_AT_ONCE):
            chunk = rows[start : start + _FACES_AT_ONCE]
            straight = straighten_faces(
                self._images,
                everything.select(chunk),
                self._detector,
                threshold=self._threshold,
                max_batch=self._max_batch,
                monitor=self._monitor,
            )
            for row, face in zip(chunk.tolist(), straight, strict=True):
                if face is not None:
                    parts.append(face)
                elif not is_turned[row]:
                    parts.append(everything.select([row]))
            done = n_images * (start + len(chunk)) // len(rows)
            report.advance(done - reported)
            reported = done
        report.advance(n_images - reported)
        result = Faces.concatenate(parts)
        return result.select(_distinct(result))

    def _copy_size(self, factor: float) -> tuple[tuple[int, int], float]:
        """Height and width of a copy, and its pixels per pixel of the image."""
        height, width = self._images.shape[-2:]
        ratio = factor * copy_ratio(height, width, self._detection_size)
        if factor > 1:
            ratio = min(ratio, math.sqrt(_MAX_COPY_PIXELS / (height * width)))
        return scaled_size(height, width, ratio), ratio

    def _detect_copies(
        self,
        which: Tensor,
        size: tuple[int, int],
        quarter: int,
        threshold: float,
        report: _Progress,
    ) -> Faces:
        """The faces in resized, turned copies of some images, in pixels of the images."""
        chunk = max(1, min(self._max_batch, _CHUNK_PIXELS // (size[0] * size[1])))
        back = copy_to_image(size, tuple(self._images.shape[-2:]), quarter)
        parts = [Faces.empty()]
        for start in range(0, len(which), chunk):
            rows = which[start : start + chunk]
            copies = self._images[rows.to(self._images.device), :3].float()
            copies = resize(copies, size, "bilinear")
            faces = detect_faces(
                torch.rot90(copies, quarter, (-2, -1)),
                self._detector,
                detection_size=0,
                threshold=threshold,
                max_batch=self._max_batch,
                monitor=self._monitor,
            ).to("cpu")
            corners = transform_points(faces.boxes.view(-1, 2, 2), back)
            parts.append(
                Faces(
                    image_index=rows[faces.image_index],
                    boxes=torch.cat((corners.amin(1), corners.amax(1)), dim=1),
                    landmarks=transform_points(faces.landmarks, back),
                    scores=faces.scores,
                )
            )
            report.advance(len(rows))
        return Faces.concatenate(parts)


def copy_to_image(size: tuple[int, int], image_size: tuple[int, ...], quarter: int) -> Tensor:
    """(2, 3) float32 from the pixels of a resized copy, turned by ``rot90``, to the image's."""
    height, width = size
    # A quarter turn anticlockwise takes (x, y) to (y, width - x).
    unturn = {
        0: ((1, 0, 0), (0, 1, 0)),
        1: ((0, -1, width), (1, 0, 0)),
        2: ((-1, 0, width), (0, -1, height)),
        3: ((0, 1, 0), (-1, 0, height)),
    }[quarter]
    scale = torch.tensor([image_size[1] / width, image_size[0] / height])
    return torch.tensor(unturn, dtype=torch.float32) * scale[:, None]


def join_scales(standard: Faces, copies: dict[float, Faces], image_size: tuple[int, ...]) -> Faces:
    """The faces of the copies of all sizes, each once."""
    small = copies.get(_SMALL_COPY, Faces.empty())
    large = copies.get(_LARGE_COPY, Faces.empty())
    fills = long_sides(large.boxes) >= _FILLING_SHARE * min(image_size)
    filling, large = large.select(fills), large.select(~fills)
    rest = Faces.concatenate([standard, small])
    rest = rest.select(~_are_parts(rest, filling))
    # The first of two candidates stays, so the surest copy comes first.
    faces = Faces.concatenate([filling, rest, large])
    return faces.select(_distinct(faces))


def _are_parts(faces: Faces, wholes: Faces) -> Tensor:
    """(N,) bool: which faces lie mostly inside a whole one of the same image."""
    are_parts = torch.zeros(len(faces), dtype=torch.bool)
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    for index, box in zip(wholes.image_index, wholes.boxes, strict=True):
        low = torch.maximum(faces.boxes[:, :2], box[:2])
        high = torch.minimum(faces.boxes[:, 2:], box[2:])
        inside = (high - low).clamp(min=0).prod(1)
        are_parts |= (faces.image_index == index) & (inside > _PART_SHARE * areas)
    return are_parts


def _distinct(faces: Faces) -> Tensor:
    """(M,) indices of the faces that are not the same as an earlier one that stays, ascending."""
    from torchvision.ops import box_iou  # here, so that importing the package stays quick

    kept: list[int] = []
    for index in sorted(set(faces.image_index.tolist())):
        rows = (faces.image_index == index).nonzero().flatten()
        boxes = faces.boxes[rows]
        centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, long_sides(boxes)
        reach = _SAME_DISTANCE * torch.minimum(sides[:, None], sides)
        same = (torch.cdist(centers, centers) < reach) | (box_iou(boxes, boxes) > _SAME_OVERLAP)
        stay: list[int] = []
        for row in range(len(rows)):
            if not bool(same[row, stay].any()):
                stay.append(row)
        kept += rows[stay].tolist()
    return torch.tensor(sorted(kept), dtype=torch.int64)
