"""The plain published formulation of GPEN: the reference of the fast network, and what is exported.

Nothing is folded or rearranged: each sample gets its own modulated weights through a grouped
convolution, and FIR filtering stuffs zeros, pads and convolves, as in the paper's own code.
Parameter and buffer names are those of the published checkpoints.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpen_core.network.config import FIR_TAPS, GpenConfig, expected_shapes

LEAKY_SLOPE = 0.2
STYLE_LR = 0.01
EPSILON = 1e-8


def fir_kernel(gain: float = 1.0) -> Tensor:
    """Outer product of the taps, (4, 4), with sum ``gain``."""
    taps = torch.tensor(FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum() * gain


def static_shape(values: Tensor) -> tuple[int, ...]:
    """The shape as plain integers, which tracing turns into constants of the exported graph."""
    return tuple(int(length) for length in values.shape)


def upfirdn2d(images: Tensor, kernel: Tensor, up: int, pads: tuple[int, int]) -> Tensor:
    """Stuff zeros, pad both axes by ``pads`` (before, after), then convolve. (N, C, H, W)."""
    batch, channels, height, width = static_shape(images)
    images = images.reshape(batch, channels, height, 1, width, 1)
    images = F.pad(images, (0, up - 1, 0, 0, 0, up - 1))
    images = images.reshape(batch * channels, 1, height * up, width * up)
    images = F.pad(images, (*pads, *pads))
    images = F.conv2d(images, torch.flip(kernel, (0, 1))[None, None])
    return images.reshape(batch, channels, *static_shape(images)[2:])


class Blur(nn.Module):
    def __init__(self, pads: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.pads = pads
        self.register_buffer("kernel", fir_kernel(gain))

    def forward(self, images: Tensor) -> Tensor:
        return upfirdn2d(images, self.kernel, 1, self.pads)


class Upsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(4.0))

    def forward(self, images: Tensor) -> Tensor:
        return upfirdn2d(images, self.kernel, 2, (2, 1))


class Activation(nn.Module):
    """Bias, leaky ReLU, times sqrt(2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> Tensor:
        bias = self.bias.view(1, -1, *[1] * (values.ndim - 2))
        return F.leaky_relu(values + bias, LEAKY_SLOPE) * math.sqrt(2)


class EqualConv(nn.Module):
    def __init__(self, in_chs: int, out_chs: int, size: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_chs, in_chs, size, size))
        self.scale = 1 / math.sqrt(in_chs * size**2)
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(images, self.weight * self.scale, stride=self.stride)


class EqualLinear(nn.Module):
    def __init__(self, in_chs: int, out_chs: int, lr: float = 1.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_chs, in_chs) / lr)
        self.bias = nn.Parameter(torch.zeros(out_chs))
        self.scale = lr / math.sqrt(in_chs)
        self.lr = lr
        self.activate = activate

    def forward(self, values: Tensor) -> Tensor:
        if not self.activate:
            return F.linear(values, self.weight * self.scale, self.bias * self.lr)
        values = F.linear(values, self.weight * self.scale)
        return F.leaky_relu(values + self.bias * self.lr, LEAKY_SLOPE) * math.sqrt(2)


class PixelNorm(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values * torch.rsqrt(torch.mean(values**2, dim=1, keepdim=True) + EPSILON)


class ModulatedConv(nn.Module):
    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        size: int,
        style_dim: int,
        demodulate: bool = True,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_chs, in_chs, size, size))
        self.modulation = EqualLinear(style_dim, in_chs)
        self.scale = 1 / math.sqrt(in_chs * size**2)
        self.demodulate = demodulate
        self.upsample = upsample
        if upsample:
            self.blur = Blur((1, 1), gain=4.0)

    def forward(self, images: Tensor, style: Tensor) -> Tensor:
        batch, in_chs, height, width = static_shape(images)
        _, out_chs, _, size, _ = static_shape(self.weight)
        style = self.modulation(style).view(batch, 1, in_chs, 1, 1)
        weight = self.scale * self.weight * style  # [B, O, I, k, k]
        if self.demodulate:
            norm = torch.rsqrt(weight.pow(2).sum((2, 3, 4)) + EPSILON)
            weight = weight * norm.view(batch, out_chs, 1, 1, 1)
        images = images.reshape(1, batch * in_chs, height, width)
        if self.upsample:
            weight = weight.transpose(1, 2).reshape(batch * in_chs, out_chs, size, size)
            images = F.conv_transpose2d(images, weight, stride=2, groups=batch)
        else:
            weight = weight.reshape(batch * out_chs, in_chs, size, size)
            images = F.conv2d(images, weight, padding=size // 2, groups=batch)
        images = images.reshape(batch, out_chs, *static_shape(images)[2:])
        return self.blur(images) if self.upsample else images


class Injection(nn.Module):
    """Bring in the encoder's features, in the place where StyleGAN2 adds noise."""

    def __init__(self, concat: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.concat = concat

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        if self.concat:
            return torch.cat((images, self.weight * features), dim=1)
        return images + self.weight * features


class StyledConv(nn.Module):
    def __init__(self, config: GpenConfig, in_chs: int, out_chs: int, upsample: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_chs, out_chs, 3, config.style_dim, upsample=upsample)
        self.noise = Injection(config.concat)
        self.activate = Activation(out_chs * config.injected_width)

    def forward(self, images: Tensor, style: Tensor, features: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(images, style), features))


class ToRgb(nn.Module):
    def __init__(self, config: GpenConfig, in_chs: int, upsample: bool) -> None:
        super().__init__()
        if upsample:
            self.upsample = Upsample()
        self.conv = ModulatedConv(in_chs, 3, 1, config.style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, images: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        rgb = self.conv(images, style) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class ConstantInput(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        return self.input.repeat(batch, 1, 1, 1)


class Generator(nn.Module):
    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        dim, width = config.style_dim, config.injected_width
        layers = [EqualLinear(dim, dim, STYLE_LR, activate=True) for _ in range(config.n_mlp)]
        self.style = nn.Sequential(PixelNorm(), *layers)
        in_chs = config.channels(4)
        self.input = ConstantInput(in_chs)
        self.conv1 = StyledConv(config, in_chs, in_chs, upsample=False)
        in_chs *= width
        self.to_rgb1 = ToRgb(config, in_chs, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for resolution in config.resolutions[1:]:
            out_chs = config.channels(resolution)
            self.convs.append(StyledConv(config, in_chs, out_chs, upsample=True))
            in_chs = out_chs * width
            self.convs.append(StyledConv(config, in_chs, out_chs, upsample=False))
            self.to_rgbs.append(ToRgb(config, in_chs, upsample=True))

    def forward(self, code: Tensor, features: list[Tensor]) -> Tensor:
        """Code (N, style_dim) and encoder features, deepest first, to images (N, 3, S, S)."""
        n_latent = len(self.convs) + 2
        latent = self.style(code).unsqueeze(1).repeat(1, n_latent, 1)
        images = self.conv1(self.input(static_shape(code)[0]), latent[:, 0], features[0])
        rgb = self.to_rgb1(images, latent[:, 1])
        for i, to_rgb in enumerate(self.to_rgbs):
            images = self.convs[2 * i](images, latent[:, 2 * i + 1], features[i + 1])
            images = self.convs[2 * i + 1](images, latent[:, 2 * i + 2], features[i + 1])
            rgb = to_rgb(images, latent[:, 2 * i + 3], rgb)
        return rgb


class ReferenceGpen(nn.Module):
    """RGB images (N, 3, S, S) in [-1, 1] to the same, by the plain formulation."""

    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        self.config = config
        self.n_levels = len(config.resolutions)
        chs = config.channels(config.size)
        first = nn.Sequential(EqualConv(3, chs, 1, stride=1), Activation(chs))
        self.ecd0 = nn.Sequential(first)
        for k in range(1, self.n_levels):
            in_chs, chs = chs, config.channels(config.size >> k)
            conv = EqualConv(in_chs, chs, 3, stride=2)
            block = nn.Sequential(Blur((2, 2)), conv, Activation(chs))
            setattr(self, f"ecd{k}", nn.Sequential(block))
        linear = EqualLinear(chs * 16, config.style_dim, activate=True)
        self.final_linear = nn.Sequential(linear)
        self.generator = Generator(config)

    def forward(self, images: Tensor) -> Tensor:
        features = []
        for k in range(self.n_levels):
            images = getattr(self, f"ecd{k}")(images)
            features.append(images)
        code = self.final_linear(images.reshape(static_shape(images)[0], -1))
        return self.generator(code, features[::-1])


def moved_state_dict(config: GpenConfig, seed: int = 0) -> dict[str, Tensor]:
    """A published state dict of random weights, all moved far from where training starts."""
    generator = torch.Generator().manual_seed(seed)
    state_dict = {}
    for name, shape in expected_shapes(config).items():
        values = torch.randn(shape, generator=generator)
        if name.endswith(".kernel"):
            values = fir_kernel(1.0 if name.startswith("ecd") else 4.0)
        elif ".style." in name:
            values = values / STYLE_LR if name.endswith(".weight") else values * 10
        elif name.endswith("modulation.bias"):
            values = 1 + 0.2 * values
        elif name.endswith("bias"):
            values = 0.2 * values
        elif name.endswith("noise.weight"):
            values = 0.3 + values.abs()
        state_dict[name] = values
    return state_dict


def random_reference(config: GpenConfig, seed: int = 0) -> ReferenceGpen:
    """The reference network with the weights of ``moved_state_dict``, in evaluation mode."""
    network = ReferenceGpen(config)
    network.load_state_dict(moved_state_dict(config, seed))
    return network.eval()
