"""Who computes an operation, on a device that only claims to be one."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from gpen_core.network.ops import dispatch as dispatch_module
from gpen_core.network.ops.dispatch import Dispatcher
from gpen_core.network.ops.shared import KernelError
from support.stand_in_gpu import DEVICE, ClaimsToBeOnCuda

REFERENCE = SimpleNamespace(blur=lambda x: "reference")


def on_cuda(dtype=torch.float32):
    return torch.zeros(1, dtype=dtype).as_subclass(ClaimsToBeOnCuda)


def failing(error):
    def fail(*arguments):
        raise error

    return fail


def kernels_of(blur):
    return Dispatcher(REFERENCE, lambda: SimpleNamespace(blur=blur))


@pytest.fixture
def dispatch():
    return kernels_of(lambda x: "kernels")


@pytest.fixture(autouse=True)
def _capable_device(monkeypatch):
    """A CUDA device of a capable kind, on which the kernels compute what they should."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(dispatch_module, "compare", lambda *arguments: None)
    monkeypatch.setattr(dispatch_module.importlib.util, "find_spec", lambda name: "found")
    monkeypatch.delenv("GPEN_EAGER", raising=False)


def test_maps_on_a_cpu_take_the_reference_and_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(dispatch_module, "compare", failing(AssertionError()))
    dispatch = Dispatcher(REFERENCE, failing(AssertionError()))
    assert dispatch.run("blur", torch.zeros(1)) == "reference"


def test_maps_on_a_capable_device_take_the_kernels_after_one_check(monkeypatch, dispatch):
    checked = []
    monkeypatch.setattr(dispatch_module, "compare", lambda *arguments: checked.append(arguments))
    assert dispatch.run("blur", on_cuda()) == "kernels"
    assert dispatch.run("blur", on_cuda()) == "kernels"
    assert dispatch.run("blur", on_cuda(torch.float16)) == "kernels"
    assert [arguments[2:] for arguments in checked] == [
        (DEVICE, torch.float32),
        (DEVICE, torch.float16),
    ]


@pytest.mark.parametrize(
    ("capability", "dtype", "expected"),
    [
        ((7, 0), torch.float16, False),
        ((7, 5), torch.float16, True),
        ((7, 5), torch.bfloat16, False),
        ((8, 0), torch.bfloat16, True),
        ((12, 0), torch.float32, True),
        ((9, 0), torch.float64, False),
    ],
)
def test_kernels_ask_for_a_capability_that_triton_compiles_for(
    monkeypatch, dispatch, capability, dtype, expected
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert dispatch.kernels_work(DEVICE, dtype) is expected


def test_missing_triton_is_said_once(monkeypatch, dispatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setattr(dispatch_module.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        assert dispatch.run("blur", on_cuda()) == "reference"
        assert dispatch.run("blur", on_cuda()) == "reference"
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "Triton is not installed" in caplog.text


def test_kernels_that_do_not_compile_are_not_used(monkeypatch, dispatch, caplog):
    error = RuntimeError("Failed to find C compiler.\nSet CC.")
    monkeypatch.setattr(dispatch_module, "compare", failing(error))
    with caplog.at_level(logging.INFO):
        assert dispatch.run("blur", on_cuda(torch.float16)) == "reference"
    assert "cuda:0 in torch.float16: Failed to find C compiler." in caplog.text


def test_no_memory_to_try_the_kernels_says_nothing_about_them(monkeypatch, dispatch):
    out_of_memory = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    monkeypatch.setattr(dispatch_module, "compare", failing(out_of_memory))
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        dispatch.kernels_work(DEVICE, torch.float16)
    monkeypatch.setattr(dispatch_module, "compare", lambda *arguments: None)
    assert dispatch.kernels_work(DEVICE, torch.float16)


def test_eager_environment_switches_the_kernels_off(monkeypatch, dispatch):
    assert dispatch.run("blur", on_cuda()) == "kernels"
    monkeypatch.setenv("GPEN_EAGER", "1")
    assert dispatch.run("blur", on_cuda()) == "reference"


def test_kernel_that_fails_later_is_replaced_there_alone_and_said_once(caplog):
    tries = []

    def blur(x):
        if x.dtype == torch.float16:
            tries.append(x)
            raise KernelError("out of resource: shared memory")
        return "kernels"

    dispatch = kernels_of(blur)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert dispatch.run("blur", on_cuda(torch.float16)) == "reference"
    assert len(tries) == 1
    assert caplog.text.count("out of resource") == 1
    assert dispatch.run("blur", on_cuda()) == "kernels"


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("full"), RuntimeError("cuDNN")])
def test_errors_that_are_not_the_kernels_fault_pass_and_leave_them_in_use(error):
    dispatch = kernels_of(failing(error))
    with pytest.raises(type(error)):
        dispatch.run("blur", on_cuda())
    assert dispatch.kernels_work(DEVICE, torch.float32)


def test_fault_that_two_threads_meet_at_once_is_said_once(caplog):
    met = []

    def blur(x):
        met.append(x)
        if len(met) == 1:
            dispatch.run("blur", x)  # as another thread might, meanwhile
        raise KernelError("out of resource: shared memory")

    dispatch = kernels_of(blur)
    with caplog.at_level(logging.INFO):
        assert dispatch.run("blur", on_cuda()) == "reference"
    assert len(met) == 2
    assert len(caplog.records) == 1
