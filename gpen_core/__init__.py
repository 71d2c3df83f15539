"""Blind face restoration with GPEN, in plain PyTorch.

Images are (B, C, H, W) floating, RGB or RGBA, in [0, 1]; [-1, 1] exists only inside the network.
Points are x, y in pixels with pixel centres at integer + 0.5.
"""

from .alignment import Template
from .checkpoint import convert_checkpoint, load_model, load_state_dict, save_checkpoint
from .config import GpenConfig, detect_config
from .detection import detect_faces, load_detector
from .face_search import search_faces
from .faces import Faces
from .generator import GpenGenerator
from .pipeline import RestoreResult, crop_faces, paste_faces, restore_crops, restore_faces
from .retinaface import FaceDetector
from .settings import BlendSettings, FineGrain, MaskShape

__all__ = [
    "BlendSettings",
    "FaceDetector",
    "Faces",
    "FineGrain",
    "GpenConfig",
    "GpenGenerator",
    "MaskShape",
    "RestoreResult",
    "Template",
    "convert_checkpoint",
    "crop_faces",
    "detect_config",
    "detect_faces",
    "load_detector",
    "load_model",
    "load_state_dict",
    "paste_faces",
    "restore_crops",
    "restore_faces",
    "save_checkpoint",
    "search_faces",
]
