"""Blind face restoration with GPEN, in plain PyTorch.

Images are (B, C, H, W) floating, RGB or RGBA, in [0, 1]; [-1, 1] exists only inside the network.
Points are x, y in pixels with pixel centres at integer + 0.5.

Everything public is here; docs/api.md shows it at work.
"""

import importlib
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blending.canvas import MAX_SCALE as MAX_SCALE
    from .blending.canvas import CanvasSettings as CanvasSettings
    from .blending.canvas import CanvasSize as CanvasSize
    from .blending.canvas import canvas_scale as canvas_scale
    from .blending.canvas import enlarge as enlarge
    from .blending.canvas import enlarged_size as enlarged_size
    from .blending.face_mask import box_masks as box_masks
    from .blending.face_mask import face_masks as face_masks
    from .blending.face_mask import parse_regions as parse_regions
    from .blending.face_mask import region_mask as region_mask
    from .blending.masks import intersect as intersect
    from .blending.settings import BlendSettings as BlendSettings
    from .blending.settings import FineGrain as FineGrain
    from .blending.settings import MaskShape as MaskShape
    from .bundled import BUNDLED_DETECTOR as BUNDLED_DETECTOR
    from .bundled import BUNDLED_RESTORER as BUNDLED_RESTORER
    from .checkpoints.checkpoint import CHECKPOINT_SUFFIXES as CHECKPOINT_SUFFIXES
    from .checkpoints.checkpoint import NOTICE_KEY as NOTICE_KEY
    from .checkpoints.checkpoint import convert_checkpoint as convert_checkpoint
    from .checkpoints.checkpoint import load_model as load_model
    from .checkpoints.checkpoint import load_state_dict as load_state_dict
    from .checkpoints.checkpoint import read_checkpoint as read_checkpoint
    from .checkpoints.checkpoint import read_notice as read_notice
    from .checkpoints.checkpoint import save_checkpoint as save_checkpoint
    from .checkpoints.registry import BEST_DETECTOR as BEST_DETECTOR
    from .checkpoints.registry import DETECTOR_MODELS as DETECTOR_MODELS
    from .checkpoints.registry import GPEN_MODELS as GPEN_MODELS
    from .checkpoints.registry import KNOWN_MODELS as KNOWN_MODELS
    from .checkpoints.registry import PARSER_MODELS as PARSER_MODELS
    from .checkpoints.registry import KnownModel as KnownModel
    from .checkpoints.registry import file_sha256 as file_sha256
    from .checkpoints.registry import find_known as find_known
    from .checkpoints.restorers import BUNDLED_NAME as BUNDLED_NAME
    from .checkpoints.restorers import CHECKPOINT_FOLDERS as CHECKPOINT_FOLDERS
    from .checkpoints.restorers import LoadedRestorer as LoadedRestorer
    from .checkpoints.restorers import load_largest as load_largest
    from .checkpoints.restorers import rank_restorers as rank_restorers
    from .comparison import Comparison as Comparison
    from .comparison import Similarity as Similarity
    from .comparison import compare_images as compare_images
    from .comparison import describe_comparison as describe_comparison
    from .comparison import flicker as flicker
    from .comparison import landmark_error as landmark_error
    from .comparison import seam as seam
    from .degradation import DEGRADE_PRESETS as DEGRADE_PRESETS
    from .degradation import AgeSettings as AgeSettings
    from .degradation import BlurKind as BlurKind
    from .degradation import BlurSettings as BlurSettings
    from .degradation import ColorSettings as ColorSettings
    from .degradation import DegradeSettings as DegradeSettings
    from .degradation import Interpolation as Interpolation
    from .degradation import JpegSettings as JpegSettings
    from .degradation import MotionSettings as MotionSettings
    from .degradation import NoiseKind as NoiseKind
    from .degradation import NoiseSettings as NoiseSettings
    from .degradation import ResizeBackSettings as ResizeBackSettings
    from .degradation import ResizeSettings as ResizeSettings
    from .degradation import SharpenSettings as SharpenSettings
    from .degradation import SincSettings as SincSettings
    from .degradation import SizeChange as SizeChange
    from .degradation import TiltSettings as TiltSettings
    from .degradation import degrade as degrade
    from .degradation import draw_steps as draw_steps
    from .degradation import find_preset as find_preset
    from .degradation import setting_paths as setting_paths
    from .downloads.download import MIRROR_VARIABLE as MIRROR_VARIABLE
    from .downloads.download import download as download
    from .downloads.download import target_path as target_path
    from .errors import CheckpointError as CheckpointError
    from .errors import CheckpointMismatchError as CheckpointMismatchError
    from .errors import CheckpointNotFoundError as CheckpointNotFoundError
    from .errors import CheckpointReadError as CheckpointReadError
    from .errors import DegenerateLandmarksError as DegenerateLandmarksError
    from .errors import DegradeSettingsError as DegradeSettingsError
    from .errors import DeviceMemoryError as DeviceMemoryError
    from .errors import DownloadError as DownloadError
    from .errors import FrameMatchError as FrameMatchError
    from .errors import GpenError as GpenError
    from .errors import MediaError as MediaError
    from .errors import NonFiniteOutputError as NonFiniteOutputError
    from .errors import NotGpenError as NotGpenError
    from .errors import SelectionError as SelectionError
    from .errors import SettingError as SettingError
    from .errors import TensorSpecError as TensorSpecError
    from .errors import UnreachableError as UnreachableError
    from .errors import UnsafeCheckpointError as UnsafeCheckpointError
    from .faces.annotation import draw_faces as draw_faces
    from .faces.clip import DEFAULT_SMOOTHING as DEFAULT_SMOOTHING
    from .faces.clip import stabilize_faces as stabilize_faces
    from .faces.detection import detect_faces as detect_faces
    from .faces.detection import load_detector as load_detector
    from .faces.faces import Faces as Faces
    from .faces.faces import long_sides as long_sides
    from .faces.parsing import FACE_REGIONS as FACE_REGIONS
    from .faces.parsing import PARSER_NAMES as PARSER_NAMES
    from .faces.parsing import PARSING_SIZE as PARSING_SIZE
    from .faces.parsing import REGIONS as REGIONS
    from .faces.parsing import FaceParser as FaceParser
    from .faces.parsing import FaceRegion as FaceRegion
    from .faces.parsing import load_parser as load_parser
    from .faces.parsing import parse_faces as parse_faces
    from .faces.retinaface import FaceDetector as FaceDetector
    from .faces.search import search_bytes as search_bytes
    from .faces.search import search_faces as search_faces
    from .faces.selection import FaceOrder as FaceOrder
    from .faces.selection import number_faces as number_faces
    from .faces.selection import parse_indices as parse_indices
    from .faces.selection import select_faces as select_faces
    from .faces.settings import DEFAULT_DETECTION_SIZE as DEFAULT_DETECTION_SIZE
    from .faces.settings import DEFAULT_THRESHOLD as DEFAULT_THRESHOLD
    from .faces.settings import Rotations as Rotations
    from .faces.settings import Scales as Scales
    from .faces.settings import SearchSettings as SearchSettings
    from .files import complete_file as complete_file
    from .geometry.alignment import Template as Template
    from .geometry.alignment import align_faces as align_faces
    from .geometry.alignment import template_landmarks as template_landmarks
    from .geometry.resizing import resize as resize
    from .geometry.warping import crop_image as crop_image
    from .images.srgb import luma as luma
    from .media import PICTURE_SUFFIXES as PICTURE_SUFFIXES
    from .media import DegradeReport as DegradeReport
    from .media import Job as Job
    from .media import JobError as JobError
    from .media import Picture as Picture
    from .media import PictureReport as PictureReport
    from .media import Plan as Plan
    from .media import VideoCodec as VideoCodec
    from .media import VideoEncoding as VideoEncoding
    from .media import VideoReport as VideoReport
    from .media import degrade_picture as degrade_picture
    from .media import plan_jobs as plan_jobs
    from .media import read_picture as read_picture
    from .media import restore_picture as restore_picture
    from .media import restore_video as restore_video
    from .media import write_picture as write_picture
    from .monitor import Monitor as Monitor
    from .network.build import build_model as build_model
    from .network.config import SUPPORTED_SIZES as SUPPORTED_SIZES
    from .network.config import GpenConfig as GpenConfig
    from .network.detect import detect_config as detect_config
    from .network.generator import GpenGenerator as GpenGenerator
    from .network.precision import DTYPES as DTYPES
    from .network.synthetic import identity_state_dict as identity_state_dict
    from .network.synthetic import random_state_dict as random_state_dict
    from .pipeline import RestoreResult as RestoreResult
    from .pipeline import RunOptions as RunOptions
    from .pipeline import crop_faces as crop_faces
    from .pipeline import faces_that_fit as faces_that_fit
    from .pipeline import paste_faces as paste_faces
    from .pipeline import restore_crops as restore_crops
    from .pipeline import restore_faces as restore_faces
    from .restorer import Restorer as Restorer
    from .settings import pick_settings as pick_settings
    from .swaps.blend import SwapResult as SwapResult
    from .swaps.blend import blend_swap as blend_swap
    from .swaps.frames import fill_in_dropped as fill_in_dropped
    from .swaps.frames import is_withheld as is_withheld
    from .swaps.frames import match_frames as match_frames
    from .swaps.pairs import SwapPairs as SwapPairs
    from .swaps.settings import SwapSettings as SwapSettings

_HOMES = {
    name: module
    for module, names in {
        ".blending.canvas": (
            "MAX_SCALE CanvasSettings CanvasSize canvas_scale enlarge enlarged_size"
        ),
        ".blending.face_mask": "box_masks face_masks parse_regions region_mask",
        ".blending.masks": "intersect",
        ".blending.settings": "BlendSettings FineGrain MaskShape",
        ".bundled": "BUNDLED_DETECTOR BUNDLED_RESTORER",
        ".checkpoints.checkpoint": (
            "CHECKPOINT_SUFFIXES NOTICE_KEY convert_checkpoint load_model load_state_dict "
            "read_checkpoint read_notice save_checkpoint"
        ),
        ".checkpoints.registry": (
            "BEST_DETECTOR DETECTOR_MODELS GPEN_MODELS KNOWN_MODELS PARSER_MODELS KnownModel "
            "file_sha256 find_known"
        ),
        ".checkpoints.restorers": (
            "BUNDLED_NAME CHECKPOINT_FOLDERS LoadedRestorer load_largest rank_restorers"
        ),
        ".comparison": (
            "Comparison Similarity compare_images describe_comparison flicker landmark_error seam"
        ),
        ".degradation": (
            "DEGRADE_PRESETS AgeSettings BlurKind BlurSettings ColorSettings DegradeSettings "
            "Interpolation JpegSettings MotionSettings NoiseKind NoiseSettings "
            "ResizeBackSettings ResizeSettings SharpenSettings SincSettings SizeChange "
            "TiltSettings degrade draw_steps find_preset setting_paths"
        ),
        ".downloads.download": "MIRROR_VARIABLE download target_path",
        ".errors": (
            "CheckpointError CheckpointMismatchError CheckpointNotFoundError "
            "CheckpointReadError DegenerateLandmarksError DegradeSettingsError "
            "DeviceMemoryError DownloadError FrameMatchError GpenError MediaError "
            "NonFiniteOutputError NotGpenError SelectionError SettingError TensorSpecError "
            "UnreachableError UnsafeCheckpointError"
        ),
        ".faces.annotation": "draw_faces",
        ".faces.clip": "DEFAULT_SMOOTHING stabilize_faces",
        ".faces.detection": "detect_faces load_detector",
        ".faces.faces": "Faces long_sides",
        ".faces.parsing": (
            "FACE_REGIONS PARSER_NAMES PARSING_SIZE REGIONS FaceParser FaceRegion load_parser "
            "parse_faces"
        ),
        ".faces.retinaface": "FaceDetector",
        ".faces.search": "search_bytes search_faces",
        ".faces.selection": "FaceOrder number_faces parse_indices select_faces",
        ".faces.settings": (
            "DEFAULT_DETECTION_SIZE DEFAULT_THRESHOLD Rotations Scales SearchSettings"
        ),
        ".files": "complete_file",
        ".geometry.alignment": "Template align_faces template_landmarks",
        ".geometry.resizing": "resize",
        ".geometry.warping": "crop_image",
        ".images.srgb": "luma",
        ".media": (
            "PICTURE_SUFFIXES DegradeReport Job JobError Picture PictureReport Plan "
            "VideoCodec VideoEncoding VideoReport degrade_picture plan_jobs read_picture "
            "restore_picture restore_video write_picture"
        ),
        ".monitor": "Monitor",
        ".network.build": "build_model",
        ".network.config": "SUPPORTED_SIZES GpenConfig",
        ".network.detect": "detect_config",
        ".network.generator": "GpenGenerator",
        ".network.precision": "DTYPES",
        ".network.synthetic": "identity_state_dict random_state_dict",
        ".pipeline": (
            "RestoreResult RunOptions crop_faces faces_that_fit paste_faces restore_crops "
            "restore_faces"
        ),
        ".restorer": "Restorer",
        ".settings": "pick_settings",
        ".swaps.blend": "SwapResult blend_swap",
        ".swaps.frames": "fill_in_dropped is_withheld match_frames",
        ".swaps.pairs": "SwapPairs",
        ".swaps.settings": "SwapSettings",
    }.items()
    for name in names.split()
}
"""The module of every public name: what the imports for type checkers say, also without source."""

_PROJECT = "gpen-face-restore"


def _read_version() -> str:
    """From the project file of the repository or the pack, or of what was installed."""
    package = Path(__file__).resolve().parent
    project = package.parent / "pyproject.toml"
    text = project.read_text("utf-8") if project.is_file() else ""
    if f'\nname = "{_PROJECT}"\n' in text:  # a copy may lie in another project
        found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
        return found[1] if found else "unknown"
    try:
        installed = metadata.distribution(_PROJECT)
    except metadata.PackageNotFoundError:
        return "unknown"
    is_this = Path(str(installed.locate_file(package.name))).resolve() == package
    return installed.version if is_this else "unknown"


__version__ = _read_version()

if not TYPE_CHECKING:  # type checkers take the imports above
    __all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Imported when it is first asked for: PyTorch takes seconds, OpenCV and PyAV more, and neither
    # a list of commands nor a caller without files has to wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *_HOMES]
