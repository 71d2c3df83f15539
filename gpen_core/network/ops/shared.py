"""What the implementations of the operations have in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class KernelError(RuntimeError):
    """A kernel could not be compiled or started."""


@dataclass(frozen=True)
class Injection:
    """Encoder features on their way into a decoder map."""

    features: Tensor
    """(N, O, H, W), dtype of the decoder map. Height and width are those of the result."""
    strength: float
    """Factor on the features."""
    bias: Tensor | None
    """(O,): features are concatenated and activated with it. None: they are added."""
    first_row: int = 0
    """Row of the convolution's result at which the features begin; 0 for whole maps, for which
    alone kernels exist."""

    def for_face(self, i: int) -> Injection:
        """That of one face."""
        return Injection(self.features[i : i + 1], self.strength, self.bias, self.first_row)

    def empty_result(self) -> Tensor:
        """An uninitialised channels-last map for the features and what they are injected into."""
        n, n_chs, height, width = self.features.shape
        return torch.empty(
            (n, n_chs if self.bias is None else 2 * n_chs, height, width),
            dtype=self.features.dtype,
            device=self.features.device,
            memory_format=torch.channels_last,
        )
