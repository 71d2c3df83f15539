"""Whether kernels compute on a device what the reference computes."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..precision import full_float32
from .shared import Injection

_MAX_ERROR = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def compare(
    kernels: ModuleType, reference: ModuleType, device: torch.device, dtype: torch.dtype
) -> None:
    """Run every operation on small maps by both; raise if one fails or differs.

    Args:
        kernels: The operations, on the device and in the dtype.
        reference: The reference operations, run on the CPU in float32.
        device: Where the kernels are to work.
        dtype: What in: float32, float16 or bfloat16.

    Raises:
        ArithmeticError: A result is off by more than rounding.
    """
    for name, arguments in _calls(dtype):
        expected: Tensor = getattr(reference, name)(*_to(arguments, torch.float32))
        with full_float32(device):
            result: Tensor = getattr(kernels, name)(*_to(arguments, device))
        error = float((result.float().cpu() - expected).norm() / expected.norm())
        if not error <= _MAX_ERROR[dtype]:
            raise ArithmeticError(f"the kernel of {name!r} is off by {error:.1e}")


def _calls(dtype: torch.dtype) -> list[tuple[str, list[Any]]]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        values = torch.randn(shape, generator=generator).to(dtype)
        return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values

    n, n_chs, height, width = 2, 16, 66, 6  # the filter has a way for 64 rows and more
    x, half = random(n, n_chs, height, width), random(n, n_chs, height // 2, width // 2)
    weight, bias = random(n_chs, n_chs, 3, 3), random(n_chs)
    scale = random(n, n_chs, dtype=torch.float32)
    added = Injection(random(n, n_chs, height, width), 0.5, None)
    concatenated = replace(added, bias=random(n_chs))
    weights = random(n, 3, n_chs, dtype=torch.float32)
    previous = random(n, 3, height // 2, width // 2, dtype=torch.float32)
    return [
        ("from_rgb", [random(n, 3, height, width), random(n_chs, 3, 1, 1), bias]),
        ("blur", [x]),
        ("convolve_down", [x, weight, bias]),
        ("convolve", [x, weight, bias, concatenated, scale]),
        ("convolve_up", [half, weight, bias, concatenated]),
        ("convolve_up", [half, weight, bias, added, scale]),
        ("to_rgb", [x, weights, random(3), previous]),
    ]


def _to(arguments: list[Any], where: torch.device | torch.dtype) -> list[Any]:
    """Tensors and injections, moved or converted."""

    def moved(value: Any) -> Any:
        if isinstance(value, Injection):
            bias = None if value.bias is None else value.bias.to(where)
            return replace(value, features=value.features.to(where), bias=bias)
        return value.to(where)

    return [moved(value) for value in arguments]
