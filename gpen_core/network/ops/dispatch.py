"""Which implementation of an operation runs: kernels where they work, else PyTorch.

Whether they work is found out on first use, on each device and for each dtype. What does not work
is said once in the log and not tried again. ``GPEN_EAGER=1`` in the environment switches them off.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from ...errors import is_out_of_memory
from .self_check import compare
from .shared import KernelError

EAGER_VARIABLE = "GPEN_EAGER"

_logger = logging.getLogger(__name__)

# The oldest that Triton compiles for: Turing, and Ampere for bfloat16.
_MIN_CAPABILITY = {
    torch.float32: (7, 5),
    torch.float16: (7, 5),
    torch.bfloat16: (8, 0),
}


class Dispatcher:
    """Runs operations, and remembers where kernels work.

    Args:
        reference: The operations in PyTorch.
        load_kernels: What imports the same operations by kernels, and Triton with them.
    """

    def __init__(self, reference: ModuleType, load_kernels: Callable[[], ModuleType]) -> None:
        self._reference = reference
        self._load_kernels = load_kernels
        self._faults: dict[tuple[torch.device, torch.dtype], str | None] = {}

    def run(self, name: str, x: Tensor, *arguments: object) -> Tensor:
        """The operation of that name, on the device and in the dtype of ``x``."""
        if x.is_cuda and self.kernels_work(x.device, x.dtype):
            try:
                by_kernels: Tensor = getattr(self._load_kernels(), name)(x, *arguments)
            except KernelError as error:
                self._note(x.device, x.dtype, _first_line(error))
            else:
                return by_kernels
        result: Tensor = getattr(self._reference, name)(x, *arguments)
        return result

    def kernels_work(self, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether the kernels work on a CUDA device; tries them the first time."""
        if os.environ.get(EAGER_VARIABLE, "0") not in ("", "0"):
            return False
        if (device, dtype) not in self._faults:
            self._note(device, dtype, _why_not(device, dtype) or self._try(device, dtype))
        return self._faults[device, dtype] is None

    def _try(self, device: torch.device, dtype: torch.dtype) -> str | None:
        try:
            compare(self._load_kernels(), self._reference, device, dtype)
        except Exception as error:  # no C compiler, old driver, old Triton ...
            if is_out_of_memory(error):
                raise  # which says nothing about them
            return _first_line(error)
        return None

    def _note(self, device: torch.device, dtype: torch.dtype, fault: str | None) -> None:
        is_known = self._faults.get((device, dtype)) is not None  # of another thread
        self._faults[device, dtype] = fault
        if fault is not None and not is_known:
            _logger.info("GPEN: kernels are not used on %s in %s: %s.", device, dtype, fault)


def _why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    if torch.version.cuda is None:
        return "they are for NVIDIA devices"
    minimum, capability = _MIN_CAPABILITY.get(dtype), torch.cuda.get_device_capability(device)
    if minimum is None:
        return "there are none for it"
    if capability < minimum:
        return f"its compute capability is {capability}, below {minimum}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
