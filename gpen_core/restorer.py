"""Restoring in one call: networks and settings in one object, from image to image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from .blending.canvas import CanvasSettings, canvas_scale, enlarge, enlarged_size
from .blending.settings import BlendSettings
from .checkpoints.checkpoint import load_model
from .errors import TensorSpecError
from .faces.detection import load_detector
from .faces.faces import Faces
from .faces.retinaface import FaceDetector
from .faces.search import search_faces
from .faces.selection import FaceOrder, select_faces
from .faces.settings import SearchSettings
from .images.samples import Samples, to_pixels, to_samples
from .monitor import SILENT, Monitor
from .network.generator import GpenGenerator
from .pipeline import RunOptions, faces_that_fit, restore_faces

if TYPE_CHECKING:
    from PIL import Image

    ImageT = TypeVar("ImageT", Image.Image, Samples, Tensor)
    Network = TypeVar("Network", GpenGenerator, FaceDetector)

    class _Loaded(Generic[Network]):
        """The type of a field that is given as a network or a checkpoint and read as a network."""

        def __get__(self, restorer: Restorer, owner: type[Restorer]) -> Network: ...
        def __set__(self, restorer: Restorer, value: Network | str | Path | None) -> None: ...


_BUNDLED: Any = None
_MODES = ("L", "LA", "RGB", "RGBA")
_BRIGHTEST = 2.0


@dataclass(frozen=True)
class Restorer:
    """Finds the faces of images, restores them and blends them back.

    Raises:
        CheckpointError: A file holds no such network; ``CheckpointNotFoundError`` if it is not
            there.
    """

    model: _Loaded[GpenGenerator] = _BUNDLED
    """The network that restores, or its checkpoint; None: the one that comes with the package."""
    detector: _Loaded[FaceDetector] = _BUNDLED
    """The network that finds faces, or its checkpoint; None: the one that comes along."""
    device: torch.device | str | None = None
    """Where what is loaded is put. None: where the model is, if it is given as a network, else on
    the CPU."""
    search: SearchSettings = field(default_factory=SearchSettings)
    order: FaceOrder = FaceOrder.LARGE_SMALL
    """How ``indices`` counts the faces of an image."""
    indices: str = ""
    """Which faces to restore, such as "0,2-3"; empty for all."""
    blending: BlendSettings = field(default_factory=BlendSettings)
    canvas: CanvasSettings = field(default_factory=CanvasSettings)
    max_batch: int | None = None
    """Faces that go through the network together; None: as many as fit into the memory that is
    free, on CUDA, and else one."""
    monitor: Monitor = SILENT

    def __post_init__(self) -> None:
        """Load what is given as a file."""
        model: GpenGenerator | str | Path | None = self.model
        detector: FaceDetector | str | Path | None = self.detector
        if not isinstance(model, GpenGenerator):
            model = load_model(model, self.device or "cpu")
        if not isinstance(detector, FaceDetector):
            detector = load_detector(detector, self.device or next(model.parameters()).device)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "detector", detector)

    def __call__(self, image: ImageT) -> ImageT:
        """Restore the faces of an image, or of each image of a batch.

        Args:
            image: One of these. It is not modified.
                A Pillow image of mode RGB, RGBA, L or LA.
                A NumPy array, (H, W) or (H, W, C) with C = 1 to 4: grey or RGB, with or without
                alpha; uint8, uint16, or floating in [0, 1].
                A tensor, (C, H, W) or (B, C, H, W) with C = 3 or 4: RGB or RGBA, floating in
                [0, 1], on any device.

        Returns:
            The same kind, mode or dtype, and shape; enlarged where ``canvas`` says so. Outside the
            faces, samples are those of the input, bit for bit, unless it is enlarged.

        Raises:
            TensorSpecError: It is none of these, or pixels are not finite.
            NonFiniteOutputError: The network returned NaN or infinity.
        """
        if isinstance(image, Tensor):
            return self._restore_tensor(image)
        if isinstance(image, np.ndarray):
            if image.ndim == 2:
                return self._restore_samples(image[:, :, None])[:, :, 0]
            return self._restore_samples(image)
        from PIL import Image  # here, so that importing the package stays quick

        if not isinstance(image, Image.Image):
            raise TensorSpecError(
                "image: expected a Pillow image, a NumPy array or a tensor, got "
                f"{type(image).__name__}. Open a file with PIL.Image.open, or restore it with "
                "gpen_core.restore_picture."
            )
        if image.mode not in _MODES:
            raise TensorSpecError(
                f"image: expected a Pillow image of mode L, LA, RGB or RGBA, got {image.mode}. "
                "Convert it with image.convert('RGB'), or 16 bits with np.asarray(image)."
            )
        restored = Image.fromarray(self(np.asarray(image)))
        restored.info = image.info.copy()
        return restored

    def _restore_tensor(self, images: Tensor) -> Tensor:
        if images.ndim == 3 and images.shape[0] not in (3, 4) and images.shape[2] in (3, 4):
            raise TensorSpecError(
                f"image: expected (C, H, W) or (B, C, H, W), got {tuple(images.shape)}. Put the "
                "channels first: image.movedim(-1, 0)."
            )
        if images.ndim == 3:
            return self._restore_tensor(images[None])[0]
        pixels = images.float() if images.is_floating_point() else images
        restored = self._restore(pixels)
        if restored.shape != images.shape:
            return restored.to(images.dtype)
        return torch.where(restored == pixels, images, restored.to(images.dtype))

    def _restore_samples(self, samples: Samples) -> Samples:
        pixels = to_pixels(samples)
        is_grey = samples.shape[2] < 3
        restored = to_samples(self._restore(pixels), samples.dtype, is_grey=is_grey)
        if restored.shape != samples.shape:
            return restored
        before = to_samples(pixels, samples.dtype, is_grey=is_grey)
        return np.where(restored == before, samples, restored)

    def _restore(self, images: Tensor) -> Tensor:
        # Upscalers overshoot a little; twice as bright as white is another scale.
        highest = float(images.max()) if images.numel() else 0.0
        if images.is_floating_point() and highest > _BRIGHTEST:
            raise TensorSpecError(
                f"image: expected floating samples in [0, 1], got up to {highest:g}. Divide by "
                "255, or by what white is."
            )
        faces = self.find(images)
        factor = self.canvas_factor(faces, (images.shape[2], images.shape[3]))
        return self.restore(images, faces, factor=factor)

    def find(self, images: Tensor) -> Faces:
        """The chosen faces of (B, C, H, W) images in [0, 1]."""
        faces = search_faces(images, self.detector, self.search, monitor=self.monitor)
        return select_faces(faces, order=self.order, indices=self.indices)

    def canvas_factor(self, faces: Faces, image_size: tuple[int, int]) -> float:
        """By how much to enlarge images of (height, width) with these faces, from 1 to 8."""
        crop_size, template = self.model.config.size, self.blending.template
        return canvas_scale(faces, image_size, crop_size, self.canvas, template=template)

    def output_size(
        self, image_size: tuple[int, int], factor: float, step: int = 1
    ) -> tuple[int, int]:
        """Height and width that ``restore`` gives an image of (height, width)."""
        if factor == 1:
            return image_size
        height, width = (-(-length // step) * step for length in enlarged_size(image_size, factor))
        return height, width

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
            size = self.output_size((images.shape[2], images.shape[3]), factor, step)
            canvas = enlarge(images, *size)
        max_batch = self.max_batch or faces_that_fit(self.model)
        run = RunOptions(max_batch, seed=seed, monitor=self.monitor)
        return restore_faces(
            images, faces, self.model, settings=self.blending, into=canvas, run=run
        ).images
