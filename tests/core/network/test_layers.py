"""Layers by themselves."""

import pytest
import torch

from gpen_core.network.layers import StyledConv
from gpen_core.network.ops.shared import Injection


@pytest.mark.parametrize("upsample", [False, True])
def test_styled_conv_gives_the_same_with_scaled_weights_and_scaled_activations(upsample):
    torch.manual_seed(0)
    conv = StyledConv(6, 5, 16, upsample, concat=True, dtype=torch.float32)
    for weight in conv.parameters():
        weight.normal_()
    weight = conv.weight.transpose(0, 1) if upsample else conv.weight
    conv.energy.copy_(weight.square().sum(dim=(2, 3)))
    conv.epsilon.fill_(1e-8)
    x, style = torch.randn(2, 6, 7, 9), torch.randn(2, 16)
    size = (14, 18) if upsample else (7, 9)
    injection = Injection(torch.randn(2, 5, *size), 0.5, torch.randn(5))
    # It scales what is smaller beside a map of ``n`` pixels.
    by_weights, by_activations = (conv._modulated(style, n)(x, injection) for n in (10**6, 1))
    torch.testing.assert_close(by_weights, by_activations, rtol=1e-4, atol=1e-5)
