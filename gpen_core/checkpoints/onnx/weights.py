"""Reads the weights of a GPEN network out of an ONNX export, as the published state dict.

ONNX files of GPEN keep the weights, but folded: the factors of the equalised learning rate are in
them, biases have moved into convolutions, names are generated. The network is walked backwards,
from the image it makes through the decoder to its constant input, and from what is injected
there through the encoder to the image it gets. What a tensor is follows from where it stands.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointMismatchError, NotGpenError
from ...network.config import ACTIVATION_GAIN, STYLE_LEARNING_RATE
from .graph import OnnxGraph, OnnxNode, read_onnx_graph
from .modulation import decompose
from .trace import Traced, Tracer, UnmatchedError, spread

# float16 files round sqrt(2) to 1.4140625, which is off by a ten-thousandth.
_GAIN_TOLERANCE = 2e-3


def read_onnx_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the published state dict of a GPEN network out of an ONNX file.

    Args:
        path: An export of any opset, raw or simplified, in float32 or float16.

    Returns:
        Published names and shapes; float32, on the CPU. ``detect_config`` has yet to judge them.

    Raises:
        CheckpointNotFoundError: There is no file at the path.
        CheckpointReadError: The file is damaged, truncated or not ONNX, or keeps its weights in
            another file.
        NotGpenError: The graph is that of another network.
        CheckpointMismatchError: It is GPEN's, but a weight is missing, or of the wrong shape.
    """
    graph = read_onnx_graph(path)
    reader = _GpenReader(graph)
    try:
        reader.read()
    except UnmatchedError as error:
        is_gpen = any(name.endswith("activate.bias") for name in reader.state_dict)
        if is_gpen or error.is_missing:
            raise CheckpointMismatchError(
                f"{graph.name}: expected {error.expected} for {error.weight_name!r}, got "
                f"{error.got}. The file is damaged or of an unknown variant; try another export."
            ) from error
        raise NotGpenError(
            f"{graph.name}: expected the graph of a GPEN network, got {_describe(graph)} "
            f"(at {error.weight_name!r}: {error.got} instead of {error.expected}). "
            "Choose a GPEN model, such as GPEN-BFR-512.onnx."
        ) from error
    return reader.state_dict


def _describe(graph: OnnxGraph) -> str:
    counts = Counter(node.op_type for node in graph.nodes)
    common = ", ".join(f"{count} {op_type}" for op_type, count in counts.most_common(4))
    fed = ", ".join(f"{name!r} {list(dims)}" for name, dims in list(graph.inputs.items())[:3])
    return f"{len(graph.nodes)} nodes ({common}) on {fed or 'no input'}"


@dataclass(frozen=True)
class _InputLayer:
    """The layer whose output goes into another."""

    layer: str
    gain: float
    """What the value is, divided by what the network would make it there."""
    is_normalised: bool = False
    """``PixelNorm`` stands between."""


class _GpenReader:
    """One walk through one graph. Each method reads one part of the network into ``state_dict``.

    A layer is identified by the value that goes into its leaky ReLU. Between there and the next
    layer is a factor of sqrt(2); any deviation from that goes into the next layer's weight, so that
    the network stays the same function even where a factor was folded into a tensor.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.state_dict: dict[str, Tensor] = {}
        self._graph = graph
        self._tracer = Tracer(graph)
        self._style: str | None = None
        """The last layer of the style network."""
        self._features: dict[int, str] = {}
        """The layer of the encoder that is injected at each level; level 0 is the full size."""

    def read(self) -> None:
        """Read everything.

        Raises:
            UnmatchedError: A part of the network is not found.
        """
        images, skips = self._rgb_images()
        lowest = len(images) - 1
        layer: str | None = None
        for level, (image, skip) in enumerate(zip(images, skips, strict=True)):
            i = lowest - 1 - level
            name = f"generator.to_rgbs.{i}" if i >= 0 else "generator.to_rgb1"
            shown = self._to_rgb(name, image, skip)
            if layer not in (None, shown):
                raise UnmatchedError(name, "the features of its resolution", "others")
            layer = shown
            if i >= 0:
                layer = self._styled_conv(f"generator.convs.{2 * i + 1}", layer, level)
                layer = self._styled_conv(f"generator.convs.{2 * i}", layer, level, upsample=True)
            else:
                self._styled_conv("generator.conv1", layer, level)
        self._encoder(self._style_network(), lowest)

    # --- Decoder ---------------------------------------------------------------------------

    def _rgb_images(self) -> tuple[list[str], list[OnnxNode | None]]:
        """What adds up to the output, largest first, and the upsampling of all that lies below."""
        images: list[str] = []
        skips: list[OnnxNode | None] = []
        value = self._graph.outputs[0]
        while True:
            total = self._tracer.trace(value, None)
            branches = self._skip_and_image(total.value)
            if branches is None:
                break
            if images:  # around the whole there may be a conversion to another range
                self._check_plain(total, "generator.to_rgbs")
            skip, image = branches
            images.append(image)
            skips.append(skip)
            value = skip.inputs[0]
        if not images:
            got = self._tracer.describe(total.value)
            raise UnmatchedError("generator.to_rgbs", "a sum with an upsampled image", got)
        return [*images, value], [*skips, None]

    def _skip_and_image(self, value: str) -> tuple[OnnxNode, str] | None:
        """The upsampling, and what is added to it, in a sum of the two."""
        node = self._graph.producers.get(value)
        if node is None or node.op_type != "Add" or len(node.inputs) != 2:
            return None
        for operand, other in (node.inputs, node.inputs[::-1]):
            end = self._tracer.trace(operand, None)
            skip = self._tracer.fir(end.value)
            if skip is not None:
                self._check_plain(end, "generator.to_rgbs")
                return skip, other
        return None

    def _to_rgb(self, name: str, image: str, skip: OnnxNode | None) -> str:
        """Returns the layer that is shown."""
        layer, bias = self._modulated_conv(f"{name}.conv", image, 1.0, f"{name}.bias")
        bias = spread(bias, 3, f"{name}.bias")
        self._keep(f"{name}.bias", bias.reshape(1, 3, 1, 1))
        if skip is not None:
            self._fir(f"{name}.upsample.kernel", skip)
        return layer

    def _styled_conv(self, name: str, layer: str, level: int, upsample: bool = False) -> str:
        """Returns the input layer, or the constant input."""
        tracer, bias_name = self._tracer, f"{name}.activate.bias"
        total = tracer.trace(layer, bias_name)
        injection = tracer.node(total.value, f"{name}.noise.weight", "Concat", "Add")
        is_concat = injection.op_type == "Concat"
        decoded, injected = injection.inputs[:2]
        if not is_concat and self._input_layer(decoded, None) is not None:
            decoded, injected = injected, decoded
        feature = self._input_layer(injected, f"{name}.noise.weight")
        if feature is None or feature.layer != self._features.setdefault(level, feature.layer):
            got = tracer.describe(injected)
            raise UnmatchedError(f"{name}.noise.weight", "an encoder map of its resolution", got)

        if upsample:
            filtered = tracer.trace(decoded, bias_name)
            self._check_plain(filtered, f"{name}.conv.blur.kernel")
            fir = tracer.fir(filtered.value)
            if fir is None:
                got = tracer.describe(filtered.value)
                raise UnmatchedError(f"{name}.conv.blur.kernel", "a FIR filter", got)
            self._fir(f"{name}.conv.blur.kernel", fir)
            decoded = fir.inputs[0]
        input_layer, bias = self._modulated_conv(f"{name}.conv", decoded, total.gain, bias_name)

        out_chs = self.state_dict[f"{name}.conv.weight"].shape[1]
        bias = spread(bias * total.gain, out_chs, bias_name)
        if is_concat:
            bias = torch.cat((bias, torch.zeros(out_chs)))
        if total.shift is not None:
            bias = bias + spread(total.shift, len(bias), bias_name)
        self._keep(bias_name, bias)
        self._keep(f"{name}.noise.weight", torch.tensor([feature.gain * total.gain]))
        return input_layer

    def _modulated_conv(
        self, name: str, value: str, gain: float, bias_name: str
    ) -> tuple[str, Tensor]:
        """Read weight and modulation of the convolution that makes ``value``.

        Args:
            name: Of the convolution, as published.
            value: Its output, perhaps scaled and shifted.
            gain: Factor that still follows.
            bias_name: What it is shifted by.

        Returns:
            The input layer, or the constant input; and the shift, (C,) or (1,).
        """
        conv = decompose(self._tracer, value, name, bias_name)
        style = self._linear(f"{name}.modulation", conv.style)
        if style != (self._style or style):
            raise UnmatchedError(f"{name}.modulation.weight", "the one style vector", "another")
        self._style = style

        gain *= conv.gain
        input_layer = self._input_layer(conv.source, f"{name}.weight")
        if input_layer is not None:
            layer, gain = input_layer.layer, _snapped(gain * input_layer.gain)
        else:
            layer, gain = self._constant_input(conv.source, name, gain), 1.0
        if conv.is_demodulated and gain != 1:
            got = f"{gain:.4f} times as much"  # which no weight could make good, being normalised
            raise UnmatchedError(f"{name}.weight", "features as the input layer makes them", got)
        scale = gain * math.sqrt(math.prod(conv.weight.shape[1:]))
        self._keep(f"{name}.weight", conv.weight[None], scale)
        return layer, torch.zeros(1) if conv.bias is None else conv.bias

    def _constant_input(self, value: str, name: str, gain: float) -> str:
        weight_name = "generator.input.input"
        constant = self._tracer.trace(value, weight_name)
        if self._tracer.constants.is_signal(constant.value):
            got = self._tracer.describe(constant.value)
            raise UnmatchedError(f"{name}.weight", "an input layer", got)
        values = self._tracer.tensor(constant.value, weight_name)
        if values.numel() % 16:
            raise UnmatchedError(weight_name, "a tensor of (1, C, 4, 4)", str(tuple(values.shape)))
        self._keep(weight_name, values.reshape(1, -1, 4, 4), gain * constant.gain)
        return constant.value

    def _fir(self, name: str, node: OnnxNode) -> None:
        """Read the filter of ``Tracer.fir``, the same for each channel."""
        kernel = self._tracer.tensor(node.inputs[1], name)
        if kernel.ndim != 4 or kernel.shape[1:] != (1, 4, 4):
            raise UnmatchedError(name, "a filter of (C, 1, 4, 4)", str(tuple(kernel.shape)))
        # ``Conv`` correlates, while the published filter is convolved with.
        self._keep(
            name, kernel[0, 0] if node.op_type == "ConvTranspose" else kernel[0, 0].flip(0, 1)
        )

    # --- Style, code, encoder --------------------------------------------------------------

    def _style_network(self) -> str:
        """Returns the lowest layer of the encoder."""
        weight_name = "generator.style"
        if self._style is None:
            raise UnmatchedError(weight_name, "modulated convolutions", "none")
        layers = [self._style]
        while True:
            linear = self._tracer.trace(layers[-1], None)
            node = self._tracer.node(linear.value, weight_name, "Gemm", "MatMul")
            input_layer = self._input_layer(
                next(iter(self._tracer.constants.signals(node)), ""), None
            )
            if input_layer is None:
                raise UnmatchedError(
                    weight_name, "a normalised code", self._tracer.describe(linear.value)
                )
            if input_layer.is_normalised:
                break
            layers.append(input_layer.layer)
        for i, layer in enumerate(reversed(layers)):
            code = self._linear(f"generator.style.{i + 1}", layer, STYLE_LEARNING_RATE)
            if i == 0:
                lowest = self._linear("final_linear.0", code)
        return lowest

    def _linear(self, name: str, value: str, learning_rate: float = 1.0) -> str:
        """Read the linear layer that makes a value. Returns the input layer, past any norm."""
        tracer, weight_name = self._tracer, f"{name}.weight"
        out = tracer.trace(value, f"{name}.bias")
        node = tracer.node(out.value, weight_name, "Gemm", "MatMul")
        is_left = tracer.constants.is_signal(node.inputs[1])
        signal, matrix = node.inputs[1::-1] if is_left else node.inputs[:2]
        weight = tracer.tensor(matrix, weight_name)
        if weight.ndim != 2:
            raise UnmatchedError(weight_name, "a matrix", f"a tensor of {tuple(weight.shape)}")
        is_transposed = bool(node.integer("transA" if is_left else "transB", 0))
        if is_left == is_transposed:
            weight = weight.t()  # [out, in]
        bias = torch.zeros(1) if out.shift is None else out.shift
        bias = spread(bias, len(weight), f"{name}.bias")
        if len(node.inputs) > 2 and node.inputs[2]:
            own = tracer.tensor(node.inputs[2], f"{name}.bias").flatten()
            factor = out.gain * node.number("beta", 1.0)
            bias = bias + spread(own, len(weight), f"{name}.bias") * factor
        input_layer = self._input_layer(signal, weight_name)
        if input_layer is None:
            raise UnmatchedError(weight_name, "an input layer", tracer.describe(signal))
        gain = out.gain * node.number("alpha", 1.0) * _snapped(input_layer.gain)
        self._keep(weight_name, weight, gain * math.sqrt(weight.shape[1]) / learning_rate)
        self._keep(f"{name}.bias", bias, 1 / learning_rate)
        return input_layer.layer

    def _encoder(self, layer: str, lowest: int) -> None:
        tracer = self._tracer
        for k in range(lowest, -1, -1):
            name, last = (f"ecd{k}.0.1", f"ecd{k}.0.2") if k else ("ecd0.0.0", "ecd0.0.1")
            if self._features[k] != layer:
                raise UnmatchedError(f"{name}.weight", "the map that is injected", "another")
            out = tracer.trace(layer, f"{last}.bias")
            conv = tracer.node(out.value, f"{name}.weight", "Conv")
            weight = tracer.tensor(conv.inputs[1], f"{name}.weight")
            if weight.ndim != 4:
                raise UnmatchedError(f"{name}.weight", "filters", f"{tuple(weight.shape)}")
            bias = torch.zeros(1) if out.shift is None else out.shift
            bias = spread(bias, len(weight), f"{last}.bias")
            if len(conv.inputs) > 2 and conv.inputs[2]:
                own = tracer.tensor(conv.inputs[2], f"{last}.bias").flatten() * out.gain
                bias = bias + spread(own, len(weight), f"{last}.bias")
            source = tracer.trace(conv.inputs[0], f"{name}.weight")
            gain = out.gain
            if k:
                fir = tracer.fir(source.value)
                if fir is None:
                    got = tracer.describe(source.value)
                    raise UnmatchedError(f"ecd{k}.0.0.kernel", "a FIR filter", got)
                input_layer = self._input_layer(fir.inputs[0], f"{name}.weight")
                if input_layer is None:
                    got = tracer.describe(fir.inputs[0])
                    raise UnmatchedError(f"{name}.weight", "an input layer", got)
                self._fir(f"ecd{k}.0.0.kernel", fir)
                layer = input_layer.layer
                gain *= _snapped(source.gain * input_layer.gain)
            elif source.value not in self._graph.inputs:
                raise UnmatchedError("the image", "the input", tracer.describe(source.value))
            scale = gain * math.sqrt(math.prod(weight.shape[1:]))
            self._keep(f"{name}.weight", weight, scale)
            self._keep(f"{last}.bias", bias)

    # --- Common ----------------------------------------------------------------------------

    def _input_layer(self, value: str, weight_name: str | None) -> _InputLayer | None:
        """The layer that makes a value, perhaps normalised; None if it is no activated layer."""
        traced = self._tracer.trace(value, weight_name)
        unnormalised = self._tracer.unnormalised(traced.value)
        if unnormalised is not None:
            code = self._tracer.trace(unnormalised[0], weight_name)
            input_layer = self._activated(code.value, weight_name)
            # The norm takes any factor before it out again.
            return input_layer and _InputLayer(input_layer.layer, traced.gain, is_normalised=True)
        input_layer = (
            None if traced.shift is not None else self._activated(traced.value, weight_name)
        )
        return input_layer and _InputLayer(input_layer.layer, input_layer.gain * traced.gain)

    def _activated(self, value: str, weight_name: str | None) -> _InputLayer | None:
        activation = self._tracer.leaky_relu(value)
        if activation is None:
            return None
        source, gain = activation
        # Leaky ReLU lets positive factors through, so that it does not matter where they stand.
        before = self._tracer.trace(source, weight_name, past_shifts=False)
        if before.gain < 0:
            return _InputLayer(source, gain / ACTIVATION_GAIN)
        return _InputLayer(before.value, before.gain * gain / ACTIVATION_GAIN)

    def _check_plain(self, traced: Traced, weight_name: str) -> None:
        if _snapped(traced.gain) != 1 or traced.shift is not None:
            got = f"a factor of {traced.gain:.4f}" if traced.shift is None else "a shift"
            raise UnmatchedError(weight_name, "an image as it is", got)

    def _keep(self, name: str, tensor: Tensor, factor: float = 1.0) -> None:
        # NumPy, because one pass over memory gains nothing from torch's threads; on a busy machine
        # they wait for each other for longer than the pass takes.
        kept = np.empty(tensor.shape, np.float32)
        np.multiply(tensor.numpy(), factor, out=kept)
        self.state_dict[name] = torch.from_numpy(kept)


def _snapped(gain: float) -> float:
    return 1.0 if abs(gain - 1) < _GAIN_TOLERANCE else gain
