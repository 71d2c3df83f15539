"""Which way is taken, on a device that only claims to be one."""

import contextlib
import logging
import sys

import pytest
import torch

from gpen_core.network import acceleration
from gpen_core.network.acceleration import (
    check_kernels,
    full_float32,
    run,
    uses_kernels,
)
from gpen_core.network.config import GpenConfig
from gpen_core.network.fused import twins
from gpen_core.network.generator import GpenGenerator

DEVICE = torch.device("cuda", 0)


class ClaimsToBeOnCuda(torch.Tensor):
    """A CPU tensor that says it is on a CUDA device."""

    device = DEVICE
    is_cuda = True


def on_cuda(n=1, dtype=torch.float32):
    return torch.zeros(n, 3, 4, 4, dtype=dtype).as_subclass(ClaimsToBeOnCuda)


@pytest.fixture(autouse=True)
def _capable_device(monkeypatch):
    """A CUDA device of a capable kind, with nothing found out about it yet."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(acceleration, "_kernels_work", {})
    monkeypatch.setattr(acceleration, "_said", set())
    monkeypatch.setattr(acceleration, "_compare_with_twins", lambda device, dtype: None)
    monkeypatch.delenv("GPEN_EAGER", raising=False)


@pytest.fixture
def cudnn():
    """Its settings, which are PyTorch's again afterwards."""
    allowed = torch.backends.cudnn.allow_tf32
    yield torch.backends.cudnn
    torch.backends.cudnn.allow_tf32 = allowed


def raise_error(error):
    def forward(*arguments):
        raise error

    return forward


def test_run_on_a_cpu_calls_forward_and_tries_nothing(random_network, caplog):
    with caplog.at_level(logging.INFO):
        assert torch.equal(run(random_network, lambda x: x + 1, torch.zeros(1)), torch.ones(1))
    assert not acceleration._kernels_work
    assert not caplog.records


@pytest.mark.parametrize("allowed", [True, False])
def test_full_float32_gives_back_what_it_found_even_after_an_error(cudnn, allowed):
    cudnn.allow_tf32 = allowed
    seen = []

    def fail():
        seen.append(cudnn.allow_tf32)
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), full_float32():
        fail()
    assert seen == [False]
    assert cudnn.allow_tf32 == allowed


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch before 2.9")
@pytest.mark.parametrize("precisions", [("ieee", "tf32"), ("tf32", "ieee")])
def test_full_float32_leaves_alone_what_the_host_chose_for_each_kind_of_layer(cudnn, precisions):
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = precisions
    with full_float32():
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == precisions
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == precisions


def test_check_kernels_of_a_capable_device_is_true_once_they_agree_with_their_twins():
    assert not uses_kernels(on_cuda())
    assert check_kernels(DEVICE, torch.float32)
    assert uses_kernels(on_cuda())
    assert not uses_kernels(on_cuda(dtype=torch.float16))  # not tried yet
    assert not uses_kernels(torch.zeros(1))


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
def test_check_kernels_asks_for_a_capability_that_triton_compiles_for(
    monkeypatch, capability, dtype, expected
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert check_kernels(DEVICE, dtype) is expected


def test_check_kernels_without_triton_is_false_and_said_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO):
        assert not check_kernels(DEVICE, torch.float16)
        assert not check_kernels(DEVICE, torch.float16)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "Triton is not installed" in caplog.text


def test_check_kernels_is_false_where_they_do_not_compile(monkeypatch, caplog):
    error = RuntimeError("Failed to find C compiler.\nSet CC.")
    monkeypatch.setattr(acceleration, "_compare_with_twins", raise_error(error))
    with caplog.at_level(logging.INFO):
        assert not check_kernels(DEVICE, torch.float16)
    assert "torch.float16: Failed to find C compiler. The network runs without." in caplog.text


def test_compare_with_twins_refuses_a_kernel_that_is_off(monkeypatch):
    monkeypatch.undo()  # the real one
    monkeypatch.setattr(acceleration, "kernels", lambda: twins)
    acceleration._compare_with_twins(torch.device("cpu"), torch.float16)

    class Off:
        def __getattr__(self, name):
            return lambda *arguments: getattr(twins, name)(*arguments) * 1.01

    monkeypatch.setattr(acceleration, "kernels", Off)
    with pytest.raises(ArithmeticError, match=r"'activate' is off by 1\.0e-02"):
        acceleration._compare_with_twins(torch.device("cpu"), torch.float16)


def test_run_with_eager_wanted_tries_nothing(monkeypatch, random_network):
    check_kernels(DEVICE, torch.float32)
    monkeypatch.setenv("GPEN_EAGER", "1")
    assert not uses_kernels(on_cuda())
    monkeypatch.setattr(acceleration, "check_kernels", raise_error(AssertionError()))
    assert run(random_network, lambda x: "eager", on_cuda()) == "eager"


def test_run_tries_the_kernels_in_every_dtype_of_the_network():
    network = GpenGenerator(GpenConfig(256, 1, 0.0625), torch.bfloat16)
    run(network, lambda x: x, on_cuda())
    assert acceleration._kernels_work == {
        (DEVICE, torch.float16): True,
        (DEVICE, torch.bfloat16): True,
    }


def test_run_goes_on_eagerly_where_a_kernel_fails_on_first_use(random_network, caplog):
    def forward(crops):
        if uses_kernels(crops):
            raise ValueError("out of resource: shared memory")
        return "eager"

    with caplog.at_level(logging.INFO):
        assert run(random_network, forward, on_cuda()) == "eager"
        assert run(random_network, forward, on_cuda()) == "eager"
    assert not uses_kernels(on_cuda())
    assert caplog.text.count("out of resource") == 1


def test_run_passes_errors_on_that_are_not_the_kernels_fault(monkeypatch, random_network):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    tries = []

    def forward(crops):
        tries.append(crops)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(random_network, forward, on_cuda())
    assert len(tries) == 1


def test_check_kernels_without_memory_to_try_them_finds_nothing_out(monkeypatch):
    out_of_memory = torch.cuda.OutOfMemoryError("out of memory")
    monkeypatch.setattr(acceleration, "_compare_with_twins", raise_error(out_of_memory))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        check_kernels(DEVICE, torch.float16)
    monkeypatch.setattr(acceleration, "_compare_with_twins", lambda device, dtype: None)
    assert check_kernels(DEVICE, torch.float16)


def test_run_out_of_memory_does_not_blame_the_kernels(random_network):
    out_of_memory = torch.cuda.OutOfMemoryError("out of memory")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(random_network, raise_error(out_of_memory), on_cuda())
    assert uses_kernels(on_cuda())
