"""Running a network on as much of a batch at once as fits into the memory of its device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from ..errors import DeviceMemoryError, is_out_of_memory

Result = TypeVar("Result")


def run_in_parts(run: Callable[[Tensor], Result], batch: Tensor, too_little: str) -> list[Result]:
    """What a network makes of a batch: of all of it, or of its halves if it does not fit.

    Args:
        run: Calls the network.
        batch: (N, ...), N at least 1.
        too_little: Message of the error where not even one fits.

    Returns:
        The results of the parts of the batch, in order.

    Raises:
        DeviceMemoryError: Not even one fits.
    """
    try:
        return [run(batch)]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) < 2:
            raise DeviceMemoryError(too_little) from error
    # Here, where the error no longer holds on to the memory.
    half = len(batch) // 2
    return [
        *run_in_parts(run, batch[:half], too_little),
        *run_in_parts(run, batch[half:], too_little),
    ]
