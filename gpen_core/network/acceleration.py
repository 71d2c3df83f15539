"""Which way the network takes on a device: kernels where they work, else eager.

What does not work is found out on first use, said once in the log, and not tried again.
``GPEN_EAGER=1`` in the environment switches them off.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .fused import twins
from .fused.forward import kernels

if TYPE_CHECKING:
    from .generator import GpenGenerator

EAGER_VARIABLE = "GPEN_EAGER"

_logger = logging.getLogger(__name__)

# The oldest that Triton compiles for: Turing, and Ampere for bfloat16.
_MIN_CAPABILITY = {
    torch.float32: (7, 5),
    torch.float16: (7, 5),
    torch.bfloat16: (8, 0),
}
_MAX_KERNEL_ERROR = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}

_kernels_work: dict[tuple[torch.device, torch.dtype], bool] = {}
_said: set[str] = set()


def run(network: GpenGenerator, forward: Callable[[Tensor], Tensor], crops: Tensor) -> Tensor:
    """``forward(crops)``, the fastest way that works.

    Args:
        network: Whose weights ``forward`` reads.
        forward: The network's pass, whose layers ask ``uses_kernels``.
        crops: (N, 3, S, S) on the network's device, N > 0.
    """
    if crops.device.type != "cuda" or _is_switched_off():
        return forward(crops)
    with torch.cuda.device(crops.device):
        for dtype in network.conv_dtypes:
            check_kernels(crops.device, dtype)
        try:
            return forward(crops)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # Triton's failures have no common base
            if not _give_up_kernels(error):
                raise
        return forward(crops)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Convolve float32 in float32: by default a GPU does it in TF32, no more exact than float16."""
    try:
        rounds = torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the host has set it for each kind of layer: its choice
        rounds = False
    if rounds:
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if rounds:
            torch.backends.cudnn.allow_tf32 = True


def uses_kernels(x: Tensor) -> bool:
    """Whether layers shall take the way of ``fused.forward`` for this map."""
    return x.is_cuda and _kernels_work.get((x.device, x.dtype), False) and not _is_switched_off()


def check_kernels(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernels work on a CUDA device; tries them the first time."""
    key = (device, dtype)
    if key not in _kernels_work:
        reason = _why_not(device, dtype)
        if reason is None:
            try:
                _compare_with_twins(device, dtype)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:  # noqa: BLE001, no C compiler, old driver, old Triton ...
                reason = _first_line(error)
        _kernels_work[key] = reason is None
        if reason is not None:
            _say(f"fused kernels are not used on {device} in {dtype}: {reason}.")
    return _kernels_work[key]


def _is_switched_off() -> bool:
    return os.environ.get(EAGER_VARIABLE, "0") not in ("", "0")


def _why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    if torch.version.cuda is None:
        return "they are for NVIDIA devices"
    wanted, capability = _MIN_CAPABILITY.get(dtype), torch.cuda.get_device_capability(device)
    if wanted is None:
        return "there are none for it"
    if capability < wanted:
        return f"its compute capability is {capability}, below {wanted}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return None


def _compare_with_twins(device: torch.device, dtype: torch.dtype) -> None:
    """Run each kernel on small maps; raise if it fails or differs from what defines it.

    The twins run on the CPU, where no float32 is rounded to TF32.
    """
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        values = torch.randn(shape, generator=generator).to(dtype)
        return twins.channels_last(values) if len(shape) == 4 else values

    def on_device(value: object) -> object:
        if isinstance(value, twins.Injection):
            bias = None if value.bias is None else value.bias.to(device)
            return twins.Injection(value.features.to(device), value.strength, bias)
        return value.to(device) if isinstance(value, Tensor) else value

    n, chs, height, width = 2, 16, 66, 6
    y, bias, scale = random(n, chs, height, width), random(chs), random(n, chs, dtype=torch.float32)
    concatenated = twins.Injection(random(n, chs, height, width), 0.5, random(chs))
    added = twins.Injection(random(n, chs, height - 1, width - 1), 0.5, None)
    rgb_weights = random(n, 3, chs, dtype=torch.float32)
    previous = random(n, 3, height // 2, width // 2, dtype=torch.float32)
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("activate", (y, bias, scale, concatenated)),
        ("activate", (y, bias)),
        ("blur_activate", (y, bias, scale, added)),
        ("blur", (y,)),
        ("from_rgb", (random(n, 3, height, width), random(chs, 3, 1, 1), bias)),
        ("to_rgb", (y, rgb_weights, random(3), previous)),
    ]
    for name, arguments in calls:
        expected = getattr(twins, name)(*arguments).float()
        actual = getattr(kernels(), name)(*map(on_device, arguments)).float().cpu()
        error = float((actual - expected).norm() / expected.norm())
        if not error <= _MAX_KERNEL_ERROR[dtype]:
            raise ArithmeticError(f"the kernel {name!r} is off by {error:.1e}")


def _give_up_kernels(error: Exception) -> bool:
    """Use no kernels from now on; False if none were in use, so that it was not their fault."""
    if not any(_kernels_work.values()):
        return False
    _kernels_work.update(dict.fromkeys(_kernels_work, False))
    _say(f"fused kernels are not used any more: {_first_line(error)}.")
    return True


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _say(message: str) -> None:
    if message not in _said:
        _said.add(message)
        _logger.info("GPEN: %s The network runs without.", message)
