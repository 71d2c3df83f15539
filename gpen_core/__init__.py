"""Blind face restoration with GPEN, in plain PyTorch.

Images are (B, C, H, W) floating, RGB or RGBA, in [0, 1]; [-1, 1] exists only inside the network.
Points are x, y in pixels with pixel centres at integer + 0.5.
"""

from .blending.settings import BlendSettings, FineGrain, MaskShape
from .checkpoints.checkpoint import convert_checkpoint, load_model, load_state_dict, save_checkpoint
from .degradation import DEGRADE_PRESETS, DegradeSettings, degrade
from .faces.detection import detect_faces, load_detector
from .faces.faces import Faces
from .faces.retinaface import FaceDetector
from .faces.search import search_faces
from .geometry.alignment import Template
from .network.config import GpenConfig, detect_config
from .network.generator import GpenGenerator
from .pipeline import RestoreResult, crop_faces, paste_faces, restore_crops, restore_faces

__all__ = [
    "DEGRADE_PRESETS",
    "BlendSettings",
    "DegradeSettings",
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
    "degrade",
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
