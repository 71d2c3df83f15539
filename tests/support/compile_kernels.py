"""Compile every kernel for NVIDIA devices; it takes none.

python tests/support/compile_kernels.py [CAPABILITY DTYPE]    # 90 fp16; all without
"""

import itertools
import sys
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

sys.path.append(str(Path(__file__).resolve().parents[2]))

from gpen_core.network.ops import kernels

# (compute capability, dtype of the maps)
TARGETS = [(75, "fp16"), (80, "bf16"), (90, "fp16"), (90, "bf16"), (90, "fp32")]
FLOAT32 = ("scale_ptr", "weights_ptr", "previous_ptr")
ALIGNED = ("n_chs", "width")  # beside the pointers, multiples of 16

FILTERS = [
    {"FILTERED": False, "PADDING": 0, "GAIN": 1.0, "ROWS": 1, "height": 1, "in_height": 1},
    {"FILTERED": True, "PADDING": 1, "GAIN": 4.0, "ROWS": 4},
    {"FILTERED": True, "PADDING": 2, "GAIN": 1.0, "ROWS": 1},
]
FINISHES = [{"MODE": mode, "SCALED": mode > 0} for mode in range(4)]


def compile_kernel(kernel, capability: int, dtype: str, constants: dict, **types: str) -> None:
    def type_of(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name in types:
            return types[name]
        if name.endswith("_ptr"):
            return "*fp32" if name in FLOAT32 else f"*{dtype}"
        return "fp32" if name == "strength" else "i32"

    names = kernel.arg_names
    is_aligned = {name: name.endswith("_ptr") or name in ALIGNED for name in names}
    source = ASTSource(
        fn=kernel,
        signature={name: type_of(name) for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(n),): [["tt.divisibility", 16]] for n in names if is_aligned[n]},
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    assert len(compiled.asm["cubin"]) > 0
    print(kernel.fn.__name__, capability, dtype, constants, flush=True)  # noqa: T201


def main() -> None:
    targets = [(int(sys.argv[1]), sys.argv[2])] if len(sys.argv) > 2 else TARGETS
    for capability, dtype in targets:
        for extra, finish in itertools.product(FILTERS, FINISHES):
            constants = {**extra, **finish, "SLOPE": 0.2, "BLOCK_W": 64, "BLOCK_C": 16}
            compile_kernel(kernels.map_kernel, capability, dtype, constants)
        tile = {"BLOCK_P": 128, "BLOCK_C": 16}
        for stride in ("stride_c", "stride_w"):  # the one that is 1
            constants = {"SLOPE": 0.2, stride: 1, **tile}
            compile_kernel(kernels.from_rgb_kernel, capability, dtype, constants)
        for has_previous in (False, True):
            constants = {"HAS_PREVIOUS": has_previous, "N_BLOCKS": 4, **tile}
            compile_kernel(kernels.to_rgb_kernel, capability, dtype, constants, out_ptr="*fp32")


if __name__ == "__main__":
    main()
