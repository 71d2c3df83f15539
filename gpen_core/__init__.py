"""Blind face restoration with GPEN, in plain PyTorch.

Images are (B, C, H, W) floating, RGB or RGBA, in [0, 1]; [-1, 1] exists only inside the network.
Points are x, y in pixels with pixel centres at integer + 0.5.

Everything public is here; docs/api.md shows it at work.
"""

import ast
import importlib
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blending.canvas import (
        MAX_SCALE,
        CanvasSettings,
        CanvasSize,
        canvas_scale,
        enlarge,
        enlarged_size,
    )
    from .blending.face_mask import box_masks, face_masks, parse_regions, region_mask
    from .blending.masks import intersect
    from .blending.settings import BlendSettings, FineGrain, MaskShape
    from .bundled import BUNDLED_DETECTOR, BUNDLED_RESTORER
    from .checkpoints.checkpoint import (
        CHECKPOINT_SUFFIXES,
        NOTICE_KEY,
        convert_checkpoint,
        load_model,
        load_state_dict,
        read_checkpoint,
        read_notice,
        save_checkpoint,
    )
    from .checkpoints.registry import (
        BEST_DETECTOR,
        DETECTOR_MODELS,
        GPEN_MODELS,
        KNOWN_MODELS,
        PARSER_MODELS,
        KnownModel,
        file_sha256,
        find_known,
    )
    from .checkpoints.restorers import (
        BUNDLED_NAME,
        CHECKPOINT_FOLDERS,
        LoadedRestorer,
        load_largest,
        rank_restorers,
    )
    from .comparison import (
        Comparison,
        Similarity,
        compare_images,
        describe_comparison,
        flicker,
        landmark_error,
        seam,
    )
    from .degradation import (
        DEGRADE_PRESETS,
        AgeSettings,
        BlurKind,
        BlurSettings,
        ColorSettings,
        DegradeSettings,
        Interpolation,
        JpegSettings,
        MotionSettings,
        NoiseKind,
        NoiseSettings,
        ResizeBackSettings,
        ResizeSettings,
        SharpenSettings,
        SincSettings,
        SizeChange,
        TiltSettings,
        degrade,
        draw_steps,
        find_preset,
        setting_paths,
    )
    from .downloads.download import MIRROR_VARIABLE, download, target_path
    from .errors import (
        CheckpointError,
        CheckpointMismatchError,
        CheckpointNotFoundError,
        CheckpointReadError,
        DegenerateLandmarksError,
        DegradeSettingsError,
        DeviceMemoryError,
        DownloadError,
        FrameMatchError,
        GpenError,
        MediaError,
        NonFiniteOutputError,
        NotGpenError,
        SelectionError,
        SettingError,
        TensorSpecError,
        UnreachableError,
        UnsafeCheckpointError,
    )
    from .faces.annotation import draw_faces
    from .faces.clip import DEFAULT_SMOOTHING, stabilize_faces
    from .faces.detection import detect_faces, load_detector
    from .faces.faces import Faces, long_sides
    from .faces.parsing import (
        FACE_REGIONS,
        PARSER_NAMES,
        PARSING_SIZE,
        REGIONS,
        FaceParser,
        FaceRegion,
        load_parser,
        parse_faces,
    )
    from .faces.retinaface import FaceDetector
    from .faces.search import search_bytes, search_faces
    from .faces.selection import FaceOrder, number_faces, parse_indices, select_faces
    from .faces.settings import (
        DEFAULT_DETECTION_SIZE,
        DEFAULT_THRESHOLD,
        Rotations,
        Scales,
        SearchSettings,
    )
    from .files import complete_file
    from .geometry.alignment import Template, align_faces, template_landmarks
    from .geometry.resizing import resize
    from .geometry.warping import crop_image
    from .media import (
        PICTURE_SUFFIXES,
        DegradeReport,
        Job,
        JobError,
        Picture,
        PictureReport,
        Plan,
        VideoCodec,
        VideoEncoding,
        VideoReport,
        degrade_picture,
        plan_jobs,
        read_picture,
        restore_picture,
        restore_video,
        write_picture,
    )
    from .monitor import Monitor
    from .network.build import build_model
    from .network.config import SUPPORTED_SIZES, GpenConfig
    from .network.detect import detect_config
    from .network.generator import GpenGenerator
    from .network.precision import DTYPES
    from .network.synthetic import identity_state_dict, random_state_dict
    from .pipeline import (
        RestoreResult,
        RunOptions,
        crop_faces,
        faces_that_fit,
        paste_faces,
        restore_crops,
        restore_faces,
    )
    from .restorer import Restorer
    from .settings import pick_settings
    from .swaps.blend import SwapResult, blend_swap
    from .swaps.frames import fill_in_dropped, is_withheld, match_frames
    from .swaps.pairs import SwapPairs
    from .swaps.settings import SwapSettings


def _read_version() -> str:
    """From the project file of the repository or the pack, or of what was installed."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if not project.is_file():
        return metadata.version("gpen-face-restore")
    found = re.search(r'^version = "(.+)"$', project.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else "unknown"


__version__ = _read_version()


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: PyTorch takes seconds, OpenCV and PyAV more, and neither
    # a list of commands nor a caller without files has to wait for them.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_homes()[name], __name__), name)
    globals()[name] = value
    return value


@cache
def _homes() -> dict[str, str]:
    """The module of every public name, as the imports for type checkers state it."""
    tree = ast.parse(Path(__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    return {alias.name: f".{node.module}" for node in imports for alias in node.names}


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "BEST_DETECTOR",
    "BUNDLED_DETECTOR",
    "BUNDLED_NAME",
    "BUNDLED_RESTORER",
    "CHECKPOINT_FOLDERS",
    "CHECKPOINT_SUFFIXES",
    "DEFAULT_DETECTION_SIZE",
    "DEFAULT_SMOOTHING",
    "DEFAULT_THRESHOLD",
    "DEGRADE_PRESETS",
    "DETECTOR_MODELS",
    "DTYPES",
    "FACE_REGIONS",
    "GPEN_MODELS",
    "KNOWN_MODELS",
    "MAX_SCALE",
    "MIRROR_VARIABLE",
    "NOTICE_KEY",
    "PARSER_MODELS",
    "PARSER_NAMES",
    "PARSING_SIZE",
    "PICTURE_SUFFIXES",
    "REGIONS",
    "SUPPORTED_SIZES",
    "AgeSettings",
    "BlendSettings",
    "BlurKind",
    "BlurSettings",
    "CanvasSettings",
    "CanvasSize",
    "CheckpointError",
    "CheckpointMismatchError",
    "CheckpointNotFoundError",
    "CheckpointReadError",
    "ColorSettings",
    "Comparison",
    "DegenerateLandmarksError",
    "DegradeReport",
    "DegradeSettings",
    "DegradeSettingsError",
    "DeviceMemoryError",
    "DownloadError",
    "FaceDetector",
    "FaceOrder",
    "FaceParser",
    "FaceRegion",
    "Faces",
    "FineGrain",
    "FrameMatchError",
    "GpenConfig",
    "GpenError",
    "GpenGenerator",
    "Interpolation",
    "Job",
    "JobError",
    "JpegSettings",
    "KnownModel",
    "LoadedRestorer",
    "MaskShape",
    "MediaError",
    "Monitor",
    "MotionSettings",
    "NoiseKind",
    "NoiseSettings",
    "NonFiniteOutputError",
    "NotGpenError",
    "Picture",
    "PictureReport",
    "Plan",
    "ResizeBackSettings",
    "ResizeSettings",
    "RestoreResult",
    "Restorer",
    "Rotations",
    "RunOptions",
    "Scales",
    "SearchSettings",
    "SelectionError",
    "SettingError",
    "SharpenSettings",
    "Similarity",
    "SincSettings",
    "SizeChange",
    "SwapPairs",
    "SwapResult",
    "SwapSettings",
    "Template",
    "TensorSpecError",
    "TiltSettings",
    "UnreachableError",
    "UnsafeCheckpointError",
    "VideoCodec",
    "VideoEncoding",
    "VideoReport",
    "__version__",
    "align_faces",
    "blend_swap",
    "box_masks",
    "build_model",
    "canvas_scale",
    "compare_images",
    "complete_file",
    "convert_checkpoint",
    "crop_faces",
    "crop_image",
    "degrade",
    "degrade_picture",
    "describe_comparison",
    "detect_config",
    "detect_faces",
    "download",
    "draw_faces",
    "draw_steps",
    "enlarge",
    "enlarged_size",
    "face_masks",
    "faces_that_fit",
    "file_sha256",
    "fill_in_dropped",
    "find_known",
    "find_preset",
    "flicker",
    "identity_state_dict",
    "intersect",
    "is_withheld",
    "landmark_error",
    "load_detector",
    "load_largest",
    "load_model",
    "load_parser",
    "load_state_dict",
    "long_sides",
    "match_frames",
    "number_faces",
    "parse_faces",
    "parse_indices",
    "parse_regions",
    "paste_faces",
    "pick_settings",
    "plan_jobs",
    "random_state_dict",
    "rank_restorers",
    "read_checkpoint",
    "read_notice",
    "read_picture",
    "region_mask",
    "resize",
    "restore_crops",
    "restore_faces",
    "restore_picture",
    "restore_video",
    "save_checkpoint",
    "seam",
    "search_bytes",
    "search_faces",
    "select_faces",
    "setting_paths",
    "stabilize_faces",
    "target_path",
    "template_landmarks",
    "write_picture",
]
