"""The loop over the faces of a batch: changed in chunks, written image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

from ..blending.compositing import FaceChange
from ..blending.crops import CropPlan
from ..monitor import SILENT, Monitor

Change = TypeVar("Change", bound=FaceChange, contravariant=True)


@dataclass(frozen=True)
class RunOptions:
    """How one call is carried out. Of what it returns, only the grain depends on any of it."""

    max_batch: int = 1
    """Faces that go through the network together; bounds the memory."""
    keep_crops: bool = False
    """Return the crops before and after the network too."""
    seed: int = 0
    """Of the grain of the first image; each further one counts on. For a clip in parts."""
    monitor: Monitor = SILENT
    """Told of progress in faces, and shown each restored crop."""


class FaceCompositor(Protocol[Change]):
    """Collects the changed faces of one image and writes them into it together."""

    def add_(self, change: Change) -> None:
        """Keep one face; its ``before`` may be lost."""

    def finish(self) -> None:
        """Write all of them."""


def composite_faces(
    plan: CropPlan,
    change_faces: Callable[[list[int]], Iterable[Change]],
    open_image: Callable[[int], FaceCompositor[Change]],
    run: RunOptions,
) -> None:
    """Change faces chunk by chunk, and write each image once the last of its faces is changed.

    Args:
        plan: The faces, in the order of their images.
        change_faces: Changes the faces of these numbers, and gives them in this order.
        open_image: What writes the faces of the image of this number.
        run: How the work is carried out.
    """

    def changes() -> Iterator[tuple[int, Change]]:
        for chunk in plan.chunks(run.max_batch):
            run.monitor.check_interrupt()
            yield from zip((plan.image_index[i] for i in chunk), change_faces(chunk), strict=True)

    n_done = 0
    for image, of_image in groupby(changes(), key=itemgetter(0)):
        compositor = open_image(image)
        for _, change in of_image:
            run.monitor.on_crop(change.after)
            compositor.add_(change)
            n_done += 1
            run.monitor.on_progress(n_done, len(plan.image_index))
        compositor.finish()
