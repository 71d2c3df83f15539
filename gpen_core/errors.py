"""Errors of the core. Each derives from ``GpenError`` and from the built-in it specialises.

Messages read ``<subject>: expected <spec>, got <actual>. <what to do>``.

    GpenError
    |-- TensorSpecError (ValueError)
    |-- DegenerateLandmarksError (ValueError)
    |-- SettingError (ValueError)
    |   |-- DegradeSettingsError
    |   `-- SelectionError
    |-- CheckpointError (ValueError)
    |   |-- CheckpointNotFoundError (FileNotFoundError)
    |   |-- CheckpointReadError
    |   |   `-- UnsafeCheckpointError
    |   |-- NotGpenError
    |   `-- CheckpointMismatchError
    |-- DownloadError (OSError)
    |   `-- UnreachableError (ConnectionError)
    |-- MediaError (ValueError)
    |-- FrameMatchError (ValueError)
    |-- NonFiniteOutputError (ArithmeticError)
    `-- DeviceMemoryError (torch.cuda.OutOfMemoryError)
"""

from __future__ import annotations

import torch


class GpenError(Exception):
    """Base of every error that ``gpen_core`` raises on purpose."""


class TensorSpecError(GpenError, ValueError):
    """A tensor has the wrong shape, dtype, device or contents."""


class DegenerateLandmarksError(GpenError, ValueError):
    """Landmarks from which no similarity transform follows: all points coincide."""


class SettingError(GpenError, ValueError):
    """A number outside its limits, or a word that is none of the choices."""


class DegradeSettingsError(SettingError):
    """A setting of a degradation that is unknown or outside its limits."""


class SelectionError(SettingError):
    """A list of face numbers that cannot be read."""


class CheckpointError(GpenError, ValueError):
    """A model file that cannot be used. The subclasses say why."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no file at the path."""


class CheckpointReadError(CheckpointError):
    """The file is damaged, truncated, or of a kind that is not read."""


class UnsafeCheckpointError(CheckpointReadError):
    """The file asks for more than tensors. It was refused and nothing in it was run."""


class NotGpenError(CheckpointError):
    """The file holds a state dict, but not one of a GPEN network."""


class CheckpointMismatchError(CheckpointError):
    """The file holds a GPEN network with tensors missing or of the wrong shape."""


class DownloadError(GpenError, OSError):
    """A published file could not be downloaded. The message says where to get and put it."""


class UnreachableError(DownloadError, ConnectionError):
    """There is no network, or the other side does not answer."""


class NonFiniteOutputError(GpenError, ArithmeticError):
    """The network returned NaN or infinity."""


class FrameMatchError(GpenError, ValueError):
    """The frames of a swap are not those of the original."""


class DeviceMemoryError(GpenError, torch.cuda.OutOfMemoryError):
    """Not even one face or image fits into the device's memory."""


class MediaError(GpenError, ValueError):
    """A picture or video file that cannot be read, or not written back without loss."""


_OUT_OF_MEMORY = (
    "out of memory",
    "not enough GPU video memory",  # DirectML
    "STATUS_ALLOC_FAILED",  # cuDNN and cuBLAS
    "miopenStatusAllocFailed",
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device ran out of memory. Some libraries say so in the message only."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)
