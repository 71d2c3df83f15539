"""Everything the pack asks of ComfyUI: folders, devices, memory, progress, interruption, layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from server import PromptServer
from torch import Tensor, nn

from ..gpen_core import FaceDetector, GpenGenerator, load_detector, load_model
from ..gpen_core.blending.parsing import FaceParser, load_parser
from ..gpen_core.checkpoints.checkpoint import CHECKPOINT_SUFFIXES, read_notice
from ..gpen_core.checkpoints.registry import DETECTOR_MODELS, GPEN_MODELS, PARSER_MODELS, KnownModel
from ..gpen_core.errors import CheckpointError, CheckpointNotFoundError, TensorSpecError
from .types import HostedModel

CHECKPOINT_FOLDERS = ("facerestore_models", "gpen")
DETECTION_FOLDER = "facedetection"

AUTO = "auto"
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_MAX_FACES_AT_ONCE = 16
_SHARE_OF_FREE_MEMORY = 0.7


def register_model_folders() -> None:
    """Add the folders to ComfyUI's, beside what users and other packs have added."""
    for name in (*CHECKPOINT_FOLDERS, DETECTION_FOLDER):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))


def list_checkpoints() -> list[str]:
    """Names to choose from: GPEN-like files on disk, other files, known models not on disk."""
    found = {
        name
        for folder in CHECKPOINT_FOLDERS
        for name in folder_paths.get_filename_list(folder)
        if name.lower().endswith(CHECKPOINT_SUFFIXES)
    }
    known = [model.filename for model in GPEN_MODELS]

    def rank(name: str) -> tuple[bool, str]:
        return ("gpen" not in name.lower() and name not in known, name.lower())

    return [*sorted(found, key=rank), *(name for name in known if name not in found)]


def checkpoint_path(name: str) -> Path:
    """Where a checkpoint of ``list_checkpoints`` lies.

    Raises:
        CheckpointNotFoundError: Nowhere.
    """
    return _find_file(name, CHECKPOINT_FOLDERS, _known_checkpoint(name))


def _known_checkpoint(name: str) -> KnownModel | None:
    return next((model for model in GPEN_MODELS if model.filename == name), None)


def choose_detector(choice: str) -> str:
    """The detector of a widget's value; ``auto`` is the best one whose file is there."""
    if choice != AUTO:
        return choice
    by_quality = list(DETECTOR_MODELS)
    for name in by_quality:
        if folder_paths.get_full_path(DETECTION_FOLDER, DETECTOR_MODELS[name].filename):
            return name
    return by_quality[0]  # whose absence is then reported


def auxiliary_path(known: KnownModel) -> Path:
    """Where the weights of a detector or parser lie.

    Raises:
        CheckpointNotFoundError: Nowhere.
    """
    return _find_file(known.filename, (DETECTION_FOLDER,), known)


def _find_file(name: str, folders: tuple[str, ...], known: KnownModel | None) -> Path:
    for folder in folders:
        path = folder_paths.get_full_path(folder, name)
        if path is not None:
            return Path(path)
    searched = [path for folder in folders for path in folder_paths.get_folder_paths(folder)]
    remedy = (
        f"Get it from {known.url} and put it into {searched[0]}"
        if known is not None
        else "Put the file back, or choose another"
    )
    raise CheckpointNotFoundError(
        f"{name}: expected in {' or '.join(searched)}, found in none. {remedy}; "
        "then press R in ComfyUI to refresh the list."
    )


@contextmanager
def _locating(path: Path, known: KnownModel | None) -> Iterator[None]:
    """Add to errors of reading a file where it lies, and where to get it if that is known."""
    try:
        yield
    except CheckpointError as error:
        source = f" It can be had from {known.url}." if known is not None else ""
        raise type(error)(f"{error} The file is {path}.{source}") from error


def choose_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The dtype of a widget's value; ``auto`` follows ComfyUI's rules for the device."""
    if choice != AUTO:
        return DTYPES[choice]
    if mm.should_use_fp16(device):
        return torch.float16
    if mm.should_use_bf16(device):
        return torch.bfloat16
    return torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """The widget's word for a dtype."""
    return next(name for name, value in DTYPES.items() if value == dtype)


def host_model(name: str, dtype_choice: str) -> HostedModel:
    """Load a checkpoint and hand it to ComfyUI's memory management."""
    device = mm.get_torch_device()
    path = checkpoint_path(name)
    with _locating(path, _known_checkpoint(name)):
        network = load_model(path, dtype=choose_dtype(dtype_choice, device))
    patcher = ModelPatcher(network, device, mm.unet_offload_device())
    return HostedModel(name, read_notice(path), patcher)


@lru_cache(maxsize=4)
def _host_file(
    load: Callable[[str, Path], nn.Module], name: str, path: Path, _modified_ns: int
) -> ModelPatcher:
    """A small network in ComfyUI's memory management; read from disk once."""
    return ModelPatcher(load(name, path), mm.get_torch_device(), mm.unet_offload_device())


def _auxiliary(
    load: Callable[[str, Path], nn.Module], name: str, known: KnownModel
) -> ModelPatcher:
    path = auxiliary_path(known)
    with _locating(path, known):
        return _host_file(load, name, path, path.stat().st_mtime_ns)


def _load(patcher: ModelPatcher, memory_required: int) -> nn.Module:
    # The networks are small and their layers are not ComfyUI's, which alone can stay offloaded in
    # part: load them whole. --novram loads nothing by itself, so that is made up for here.
    mm.load_models_gpu([patcher], memory_required=memory_required, force_full_load=True)
    model: nn.Module = patcher.model
    return model.to(patcher.load_device)


def load_detector_on_device(choice: str) -> FaceDetector:
    """The detector of a widget's value, on the device it computes on."""
    name = choose_detector(choice)
    patcher = _auxiliary(load_detector, name, DETECTOR_MODELS[name])
    detector = _load(patcher, memory_required=2**29)
    assert isinstance(detector, FaceDetector)
    return detector


def load_parser_on_device(name: str) -> FaceParser:
    """A face parser, on the device it computes on."""
    patcher = _auxiliary(load_parser, name, PARSER_MODELS[name])
    parser = _load(patcher, memory_required=2**31)
    assert isinstance(parser, FaceParser)
    return parser


def load_network_on_device(model: HostedModel) -> GpenGenerator:
    """The network, on the device it computes on, with memory free for one face at least."""
    network = _load(model.patcher, memory_required=model.network.activation_bytes())
    assert isinstance(network, GpenGenerator)
    return network


@contextmanager
def network_on_device(model: HostedModel) -> Iterator[GpenGenerator]:
    """The network of ``load_network_on_device``, without the memory of its CUDA graphs afterwards.

    Nothing tells ComfyUI of that memory: it would take it for free.
    """
    network = load_network_on_device(model)
    try:
        yield network
    finally:
        network.release_graphs()


def faces_at_once(model: HostedModel) -> int:
    """How many faces fit through the network together in the memory that is free now."""
    device = model.patcher.load_device
    if mm.is_device_cpu(device):
        return 1  # more would only take more memory
    free = mm.get_free_memory(device) * _SHARE_OF_FREE_MEMORY
    return max(1, min(_MAX_FACES_AT_ONCE, int(free / model.network.activation_bytes())))


def progress_bar(total: int) -> Callable[[int, int], None]:
    """A callback that moves the node's progress bar."""
    bar = comfy.utils.ProgressBar(total)

    def update(done: int, total: int) -> None:
        bar.update_absolute(done, total)

    return update


def check_interrupt() -> None:
    """Raise if the user has cancelled the prompt."""
    mm.throw_exception_if_processing_interrupted()


def show_text(text: str, node_id: str | None) -> None:
    """Show a line of text in the node."""
    if node_id is not None and PromptServer.instance is not None:
        PromptServer.instance.send_progress_text(text, node_id)


def to_channels_first(image: Tensor) -> Tensor:
    """IMAGE (B, H, W, C) -> a (B, C, H, W) view.

    Raises:
        TensorSpecError: It is not an IMAGE of 3 or 4 channels.
    """
    if image.ndim != 4 or image.shape[3] not in (3, 4):
        raise TensorSpecError(
            f"image: expected (B, H, W, 3) RGB or (B, H, W, 4) RGBA, got {tuple(image.shape)}. "
            "Convert a mask or a grey image with ComfyUI's 'Convert Mask to Image' node."
        )
    return image.permute(0, 3, 1, 2)


def to_channels_last(images: Tensor) -> Tensor:
    """(B, C, H, W) -> a contiguous IMAGE (B, H, W, C)."""
    return images.permute(0, 2, 3, 1).contiguous()


def fit_masks(mask: Tensor | None, images: Tensor) -> Tensor | None:
    """A MASK (B, H, W) or (H, W), resized to (B, C, H', W') images where it differs.

    Raises:
        TensorSpecError: It is neither one mask nor one for each image.
    """
    if mask is None:
        return None
    masks = mask[None] if mask.ndim == 2 else mask
    if masks.ndim != 3 or len(masks) not in (1, len(images)):
        raise TensorSpecError(
            f"mask: expected one mask or {len(images)}, one for each image, got "
            f"{tuple(mask.shape)}. Repeat or choose masks to match."
        )
    if masks.shape[1:] != images.shape[2:]:
        masks = F.interpolate(masks[:, None].float(), images.shape[2:], mode="bilinear")[:, 0]
    return masks
