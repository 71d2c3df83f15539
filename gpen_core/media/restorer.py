"""Everything that restoring needs besides the images: networks and settings in one struct."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..blending.canvas import CanvasSettings, canvas_scale, enlarge, enlarged_size
from ..blending.settings import BlendSettings
from ..faces.faces import Faces
from ..faces.retinaface import FaceDetector
from ..faces.search import search_faces
from ..faces.selection import FaceOrder, select_faces
from ..faces.settings import SearchSettings
from ..monitor import SILENT, Monitor
from ..network.generator import GpenGenerator
from ..pipeline import RunOptions, restore_faces


@dataclass(frozen=True)
class Restorer:
    """Networks and settings, for any number of pictures and videos."""

    model: GpenGenerator
    detector: FaceDetector
    search: SearchSettings = field(default_factory=SearchSettings)
    order: FaceOrder = FaceOrder.LARGE_SMALL
    """How ``indices`` counts the faces of an image."""
    indices: str = ""
    """Which faces to restore, such as "0,2-3"; empty for all."""
    blending: BlendSettings = field(default_factory=BlendSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)
    max_batch: int = 1
    """Faces that go through the network together."""
    monitor: Monitor = SILENT

    def find(self, images: Tensor) -> Faces:
        """The chosen faces of (B, C, H, W) images in [0, 1]."""
        faces = search_faces(images, self.detector, self.search, monitor=self.monitor)
        return select_faces(faces, order=self.order, indices=self.indices)

    def canvas_factor(self, faces: Faces, image_size: tuple[int, int]) -> float:
        """By how much to enlarge images of (height, width) with these faces, from 1 to 8."""
        return canvas_scale(
            faces,
            image_size,
            self.model.config.size,
            self.canvas,
            template=self.blending.template,
        )

    def restore(
        self, images: Tensor, faces: Faces, *, factor: float = 1.0, step: int = 1, seed: int = 0
    ) -> Tensor:
        """The images with restored faces.

        Args:
            images: (B, C, H, W) floating RGB or RGBA in [0, 1].
            faces: Of these images.
            factor: From ``canvas_factor``.
            step: Enlarged heights and widths are multiples of this, in pixels.
            seed: Of the grain of the first image; each further one counts on.

        Returns:
            (B, C, H', W'), enlarged by the factor.
        """
        canvas = None
        if factor > 1:
            size = enlarged_size((images.shape[2], images.shape[3]), factor)
            height, width = (-(-length // step) * step for length in size)
            canvas = enlarge(images, height, width)
        return restore_faces(
            images,
            faces,
            self.model,
            settings=self.blending,
            canvas=canvas,
            run=RunOptions(self.max_batch, seed=seed, monitor=self.monitor),
        ).images
