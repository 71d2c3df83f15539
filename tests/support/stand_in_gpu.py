"""A device that is not there: tensors on the CPU that claim to be on it.

Values are computed on the CPU, so that results can be compared. What a real device would refuse is
refused: tensors of two devices in one operation, NumPy, and on Apple's what those cannot do. What
crosses over is counted. It is slow, and says nothing about kernels, memory or time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda", 0)

_COPY = torch.ops.aten._to_copy.default
_COPY_INTO = torch.ops.aten.copy_.default
_READ_NUMBER = torch.ops.aten._local_scalar_dense.default
_INDEXING = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
}
_ANTIALIASED = {
    torch.ops.aten._upsample_bilinear2d_aa.default,
    torch.ops.aten._upsample_bicubic2d_aa.default,
}


@dataclass
class Crossings:
    """What went from one device to the other, in bytes, one number for each copy."""

    to_device: list[int] = field(default_factory=list)
    to_host: list[int] = field(default_factory=list)
    """Values that were read one by one count too."""

    def clear(self) -> None:
        """Forget all so far."""
        self.to_device.clear()
        self.to_host.clear()


class OnStandIn(Tensor):
    """A tensor that claims to be on ``DEVICE``."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnStandIn:
        claiming: OnStandIn = Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )
        claiming.values = values
        return claiming

    def __repr__(self, **_: Any) -> str:
        return f"OnStandIn({self.values!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> Any:
        raise RuntimeError("a tensor of the stand-in is used outside of stand_in_gpu()")


class ClaimsToBeOnCuda(Tensor):
    """A tensor that says it is on ``DEVICE``, for code that asks where and computes nothing."""

    device = DEVICE
    is_cuda = True


class _Dispatch(TorchDispatchMode):
    def __init__(self, crossings: Crossings, *, is_apple: bool) -> None:
        super().__init__()
        self._crossings = crossings
        self._is_apple = is_apple

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        claiming = [x for x in tensors if isinstance(x, OnStandIn)]
        wanted = kwargs.get("device")
        if wanted is not None:
            is_on_device = torch.device(wanted).type == DEVICE.type
            kwargs["device"] = torch.device("cpu")
        elif operation is _COPY_INTO:
            is_on_device = isinstance(args[0], OnStandIn)
        else:
            is_on_device = bool(claiming)

        if operation in (_COPY, _COPY_INTO):
            self._count(tensors[-1], is_on_device)
        elif operation is _READ_NUMBER and claiming:
            self._count(tensors[-1], is_on_device=False)
        elif claiming:
            _check_one_device(operation, args, tensors)
            if self._is_apple:
                _check_apple(operation, args)

        # Results that are one of the arguments stay the very object that they were.
        known = {id(x.values): x for x in claiming}
        result = operation(*tree_map(_values, args), **tree_map(_values, kwargs))

        def claim(x: Any) -> Any:
            if not isinstance(x, Tensor) or not is_on_device:
                return x
            if x.dtype == torch.float64 and self._is_apple:
                raise TypeError(f"{operation}: the device has no float64")
            return known[id(x)] if id(x) in known else OnStandIn(x)

        return tree_map(claim, result)

    def _count(self, source: Tensor, is_on_device: bool) -> None:
        if isinstance(source, OnStandIn) and not is_on_device:
            self._crossings.to_host.append(source.nbytes)
        elif is_on_device and not isinstance(source, OnStandIn):
            self._crossings.to_device.append(source.nbytes)


def _check_one_device(operation: Any, args: Any, tensors: list[Tensor]) -> None:
    if operation in _INDEXING:  # by indices on either device
        tensors = [x for x in tensors if not any(x is index for index in args[1])]
    # A single number on the CPU goes to any device with the call.
    strays = [x for x in tensors if not isinstance(x, OnStandIn) and x.ndim]
    if strays:
        shapes = ", ".join(str(tuple(x.shape)) for x in strays)
        raise RuntimeError(f"{operation}: {shapes} on the CPU, the others on {DEVICE}")


def _check_apple(operation: Any, args: Any) -> None:
    """Refuse what their GPUs could not do in PyTorch 2.4 to 2.12, float64 aside."""
    if operation is torch.ops.aten.grid_sampler_2d.default and args[2:4] != (0, 0):
        raise RuntimeError("MPS: Unsupported Border padding mode")
    if operation in _ANTIALIASED:
        raise NotImplementedError("The operator is not currently implemented for the MPS device")
    if operation is torch.ops.aten._adaptive_avg_pool2d.default:
        sizes = zip(args[0].shape[-2:], args[1], strict=True)
        if any(size % wanted for size, wanted in sizes):
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes")


class _MakeTensors(TorchFunctionMode):
    """Makes tensors of Python numbers on the CPU and moves them: PyTorch would allocate first."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor):
            device = kwargs.pop("device", None)
            return function(*args, **kwargs).to(device)
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _without_lists(args[1]), *args[2:])
        return function(*args, **kwargs)


def _without_lists(index: Any) -> Any:
    """An index with tensors for lists of numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    tensors = tuple(
        torch.tensor(x, dtype=None if x else torch.int64) if isinstance(x, list | tuple) else x
        for x in parts
    )
    return tensors if isinstance(index, tuple) else tensors[0]


def _values(x: Any) -> Any:
    return x.values if isinstance(x, OnStandIn) else x


@contextlib.contextmanager
def stand_in_gpu(*, is_apple: bool = False) -> Iterator[Crossings]:
    """Let ``.to("cuda")`` work for everything inside, eagerly.

    Args:
        is_apple: Whether the device refuses what Apple's refuse.
    """
    torch._C._ensureCUDADeviceGuardSet()
    crossings = Crossings()
    with (
        patch.object(torch.cuda, "_lazy_init", lambda: None),
        patch.dict("os.environ", {"GPEN_EAGER": "1"}),
        # Modules that move get new parameters: the old ones cannot become tensors of this kind.
        patch.object(torch.__future__, "_overwrite_module_params_on_conversion", True),
        torch.backends.cudnn.flags(enabled=False),
        _MakeTensors(),
        _Dispatch(crossings, is_apple=is_apple),
    ):
        _forget_devices()
        yield crossings
    _forget_devices()


def _forget_devices() -> None:
    """What was found out about one stand-in does not hold for the next."""
    for name, module in list(sys.modules.items()):
        if name.endswith("gpen_core.geometry.warping"):  # the pack has one of its own
            module._has_sampling.cache_clear()
