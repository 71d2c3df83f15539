"""The way of the data, align -> network -> blend -> composite: the order and no arithmetic."""

from .crops import crop_faces, faces_that_fit, restore_crops
from .loop import FaceCompositor, RunOptions, composite_faces
from .restore import RestoreResult, paste_faces, restore_faces

__all__ = [
    "FaceCompositor",
    "RestoreResult",
    "RunOptions",
    "composite_faces",
    "crop_faces",
    "faces_that_fit",
    "paste_faces",
    "restore_crops",
    "restore_faces",
]
