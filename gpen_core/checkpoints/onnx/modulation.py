"""Takes the modulated convolutions of an ONNX graph apart.

Two forms of them are exported. In the authors' the style multiplies the weight, which is then
normalised over its inputs. In the other, made for TensorRT, which wants constant weights, the style
multiplies what is convolved, and the norm what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .graph import OnnxNode
from .trace import REARRANGING, Tracer, UnmatchedError, spread, uniform

_MAX_PRODUCT_NODES = 48


@dataclass(frozen=True)
class ModulatedConv:
    """What a modulated convolution is made of."""

    weight: Tensor
    """[O, I, k, k], the factor of the equalised learning rate in it."""
    style: str
    """The value that modulates it, (N, I)."""
    source: str
    """What is convolved."""
    gain: float
    """Factor of the convolution's output that stands outside of the norm."""
    bias: Tensor | None
    """(O,), or (1,) if the same for all; added after ``gain``."""
    is_demodulated: bool


@dataclass(frozen=True)
class _Product:
    weight: Tensor
    gain: float
    style: str
    is_demodulated: bool
    is_swapped: bool


def decompose(tracer: Tracer, value: str, name: str, bias_name: str) -> ModulatedConv:
    """Find the modulated convolution that makes a value, perhaps scaled and shifted.

    Args:
        tracer: Of the graph.
        value: Output of the convolution.
        name: Of the convolution, as published, for error messages.
        bias_name: Of the bias that is added, as published.

    Raises:
        UnmatchedError: There is none, or it lacks a weight.
    """
    weight_name = f"{name}.weight"
    out = tracer.trace(value, bias_name)
    unnormalised = tracer.unnormalised(out.value)
    inner = out if unnormalised is None else tracer.trace(unnormalised[0], weight_name)
    conv = tracer.node(inner.value, weight_name, "Conv", "ConvTranspose")
    is_transposed = conv.op_type == "ConvTranspose"
    gain = out.gain if unnormalised is None else out.gain * inner.gain
    source = conv.inputs[0]
    if tracer.constants.is_signal(conv.inputs[1]):
        product = _product(tracer, conv.inputs[1], weight_name)
        weight = _filters(product, product.is_swapped ^ is_transposed, weight_name)
    else:
        modulated = tracer.trace(source, weight_name)
        if modulated.shift is not None:
            raise UnmatchedError(weight_name, "features times a style", "a shift of them")
        gain *= modulated.gain
        source, style = _styled(tracer, modulated.value, f"{name}.modulation.weight")
        constant = tracer.tensor(conv.inputs[1], weight_name)
        product = _Product(constant, 1.0, style, unnormalised is not None, False)
        weight = _filters(product, is_transposed, weight_name)
        if unnormalised is not None:
            # The norm is that of the published weight; what is convolved may lack its factor.
            convolved = weight.flatten()
            normed = _product(tracer, unnormalised[1], weight_name)
            weight = _filters(normed, normed.is_swapped, weight_name)
            energy = float(weight.flatten().dot(weight.flatten()))
            if weight.numel() != convolved.numel() or not energy:
                raise UnmatchedError(
                    weight_name, "the weight that is convolved", "another in the norm"
                )
            gain *= float(convolved.dot(weight.flatten())) / energy
    bias = out.shift
    has_own_bias = len(conv.inputs) > 2 and bool(conv.inputs[2])
    if unnormalised is not None and (has_own_bias or inner.shift is not None):
        raise UnmatchedError(bias_name, "a bias outside of the norm", "one inside of it")
    if has_own_bias:
        own = tracer.tensor(conv.inputs[2], bias_name).flatten() * out.gain
        bias = own if bias is None else own + spread(bias, len(own), bias_name)
    return ModulatedConv(weight, product.style, source, gain, bias, product.is_demodulated)


def _styled(tracer: Tracer, value: str, weight_name: str) -> tuple[str, str]:
    """Signal and style of a product of the two."""
    node = tracer.node(value, weight_name, "Mul")
    for source, style in (node.inputs[:2], node.inputs[1::-1]):
        made = tracer.graph.producers.get(tracer.trace(style, None).value)
        if made is not None and made.op_type in ("Gemm", "MatMul"):
            return source, style
    raise UnmatchedError(weight_name, "a product with a style", tracer.describe(value))


def _product(tracer: Tracer, value: str, weight_name: str) -> _Product:
    """Take the weight of a modulated convolution apart: one tensor, one style, scalars, a norm."""
    pending = [(value, False)]
    weights: list[tuple[Tensor, bool]] = []
    styles: list[str] = []
    gain, is_demodulated = 1.0, False
    for _ in range(_MAX_PRODUCT_NODES):
        if not pending:
            break
        value, is_swapped = pending.pop()
        node = tracer.graph.producers.get(value)
        unnormalised = tracer.unnormalised(value)
        if tracer.constants.is_constant(value):
            tensor = tracer.constants.evaluate(value)
            factor = uniform(tensor) if tensor.numel() == 1 else None
            if factor is None:
                weights.append((tensor, is_swapped))
            else:
                gain *= factor
        elif node is None:
            raise UnmatchedError(weight_name, "a constant", tracer.describe(value), is_missing=True)
        elif unnormalised is not None:
            is_demodulated = True
            pending.append((unnormalised[0], is_swapped))
        elif node.op_type in REARRANGING:
            pending.append((node.inputs[0], is_swapped ^ _swaps_channels(node)))
        elif node.op_type == "Mul":
            pending += [(operand, is_swapped) for operand in node.inputs]
        else:
            styles.append(value)
    if pending or len(weights) != 1 or len(styles) != 1:
        got = f"{len(weights)} tensors and {len(styles)} styles"
        raise UnmatchedError(weight_name, "the product of one tensor and one style", got)
    ((weight, is_swapped),) = weights
    return _Product(weight, gain, styles[0], is_demodulated, is_swapped)


def _swaps_channels(node: OnnxNode) -> bool:
    """A ``Transpose`` of (..., O, I, k, k) that exchanges O and I."""
    axes = node.integers("perm") or ()
    rank = len(axes)
    if node.op_type != "Transpose" or rank < 4 or sorted(axes) != list(range(rank)):
        return False
    return axes.index(rank - 3) < axes.index(rank - 4)


def _filters(product: _Product, is_swapped: bool, weight_name: str) -> Tensor:
    """The tensor of a product with its scalar factors, [O, I, k, k]."""
    weight = product.weight
    if weight.ndim < 4 or weight.shape[:-4].numel() != 1:
        raise UnmatchedError(weight_name, "a tensor of (1, O, I, k, k)", str(tuple(weight.shape)))
    weight = weight.reshape(weight.shape[-4:])
    if is_swapped:
        weight = weight.transpose(0, 1)
    return weight if product.gain == 1 else weight * product.gain
