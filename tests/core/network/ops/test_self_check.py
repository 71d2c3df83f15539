from types import SimpleNamespace

import pytest
import torch

from gpen_core.network.ops import reference
from gpen_core.network.ops.self_check import compare

CPU = torch.device("cpu")
OPERATIONS = ["from_rgb", "blur", "convolve_down", "convolve", "convolve_up", "to_rgb"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_reference_agrees_with_itself_in_every_dtype(dtype):
    compare(reference, reference, CPU, dtype)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_that_is_off_is_found(name):
    exact = getattr(reference, name)
    kernels = SimpleNamespace(**{other: getattr(reference, other) for other in OPERATIONS})
    setattr(kernels, name, lambda *arguments: exact(*arguments) * 1.05)
    with pytest.raises(ArithmeticError, match=rf"'{name}' is off by 5\.\de-02"):
        compare(kernels, reference, CPU, torch.bfloat16)
