"""Networks recognized by their weights."""

from pathlib import Path

import pytest
import torch

from gpen_core.checkpoints.strict_load import load_weights, recognize
from gpen_core.errors import CheckpointMismatchError

PATH = Path("folder/file.pth")
SIGNATURES = {"small": "head.weight", "large": "body.weight"}


def test_a_network_is_recognized_by_the_tensor_that_it_alone_has():
    assert recognize({"x": 0, "body.weight": 0}, PATH, kind="net", signatures=SIGNATURES) == "large"


@pytest.mark.parametrize("tensors", [{}, {"other": torch.zeros(1)}])
def test_weights_of_no_network_are_refused_by_what_they_begin_with(tensors):
    with pytest.raises(CheckpointMismatchError) as raised:
        recognize(tensors, PATH, kind="face detector", signatures=SIGNATURES)
    message = str(raised.value)
    assert message.startswith("file.pth: expected a face detector (small or large), got")
    assert f"{len(tensors)} tensors beginning with {next(iter(tensors), '')!r}" in message


def test_weights_are_taken_over():
    network = torch.nn.Linear(2, 3)
    tensors = {"weight": torch.ones(3, 2), "bias": torch.arange(3.0)}
    load_weights(network, tensors, PATH, "linear")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in tensors.items())


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.ones(3, 2)}, "1 missing and 0 unexpected, such as 'bias'"),
        (
            {"weight": torch.ones(3, 2), "bias": torch.ones(3), "more": torch.ones(1)},
            "0 missing and 1 unexpected, such as 'more'",
        ),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(3)}, r"'weight' of shape \(3, 2\), got"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(tensors, message):
    network = torch.nn.Linear(2, 3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointMismatchError, match=f"file.pth: expected .*{message}"):
        load_weights(network, tensors, PATH, "linear")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
