"""Cutting crops out, and the network on them."""

import pytest
import torch

import gpen_core
from gpen_core import Monitor, RunOptions, resize
from gpen_core.errors import DeviceMemoryError, NonFiniteOutputError
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from support.faces import PLACES, batch, faces_at
from support.geometry import smooth

CONFIG = GpenConfig(256, 1, 0.0625)


def test_an_aligned_picture_is_its_own_crop(identity):
    images = smooth(256)[None]
    result = gpen_core.restore_faces(
        images, faces_at((0, 0.0, 0.0, 256.0)), identity, run=RunOptions(keep_crops=True)
    )
    torch.testing.assert_close(result.crops[0], images[0], rtol=0, atol=1e-4)


def test_a_network_that_overflows_is_reported_and_not_pasted():
    state_dict = identity_state_dict(CONFIG)
    state_dict["ecd0.0.1.bias"].fill_(1e30)
    network = gpen_core.build_model(state_dict)
    network.to_rgbs[-1].weight.fill_(1e30)
    with pytest.raises(NonFiniteOutputError, match="fp32"):
        gpen_core.restore_faces(batch(), faces_at(*PLACES), network)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, ...)"),
        RuntimeError("Could not allocate tensor. There is not enough GPU video memory available!"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=["cuda", "mps", "directml", "cudnn"],
)
def test_a_batch_that_does_not_fit_is_halved_down_to_one_face(identity, monkeypatch, error):
    forward, sizes = type(identity).forward, []

    def cramped(self, crops):
        sizes.append(len(crops))
        if len(crops) > 1:
            raise error
        return forward(self, crops)

    monkeypatch.setattr(type(identity), "forward", cramped)
    result = gpen_core.restore_faces(
        batch(), faces_at(*PLACES), identity, run=RunOptions(max_batch=4)
    )
    torch.testing.assert_close(result.images, batch(), rtol=0, atol=1e-6)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]


def test_a_face_that_does_not_fit_says_what_to_do(identity, monkeypatch):
    def full(_self, _crops):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(type(identity), "forward", full)
    with pytest.raises(DeviceMemoryError, match="smaller model") as raised:
        gpen_core.restore_faces(batch(), faces_at(*PLACES), identity)
    # ComfyUI frees its models when it sees this one.
    assert isinstance(raised.value, torch.cuda.OutOfMemoryError)


def test_another_error_of_the_network_is_passed_on(identity, monkeypatch):
    def broken(_self, _crops):
        raise RuntimeError("something else")

    monkeypatch.setattr(type(identity), "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        gpen_core.restore_faces(batch(), faces_at(*PLACES), identity, run=RunOptions(max_batch=4))


def test_no_faces_make_no_crops():
    faces = gpen_core.Faces.empty()
    crops = gpen_core.crop_faces(batch(), faces, 64)
    assert crops.shape == (0, 3, 64, 64)
    assert torch.equal(gpen_core.paste_faces(batch(), faces, crops).images, batch())


def test_crops_of_any_size_go_through_the_network_some_at_a_time(random_network):
    crops = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    events = []
    monitor = Monitor(
        on_progress=lambda *progress: events.append(progress),
        on_crop=lambda crop: events.append(tuple(crop.shape)),
        check_interrupt=lambda: events.append("check"),
    )
    restored = gpen_core.restore_crops(crops, random_network, max_batch=2, monitor=monitor)
    shape = (3, 256, 256)
    assert events == ["check", shape, (1, 3), shape, (2, 3), "check", shape, (3, 3)]
    together = gpen_core.restore_crops(resize(crops, (256, 256)), random_network)
    torch.testing.assert_close(restored, together, rtol=0, atol=1e-5)
    assert gpen_core.restore_crops(crops[:0], random_network).shape == (0, *shape)
