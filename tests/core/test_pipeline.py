import pytest
import torch

import gpen_core
from gpen_core import RunOptions
from gpen_core.blending.settings import BlendSettings
from gpen_core.errors import DeviceMemoryError, NonFiniteOutputError, TensorSpecError
from gpen_core.faces.faces import Faces
from gpen_core.geometry.alignment import template_landmarks
from gpen_core.monitor import Monitor
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from support.faces import PLACES, batch, faces_at
from support.geometry import noise, smooth
from support.metrics import psnr

CONFIG = GpenConfig(256, 1, 0.0625)


@pytest.mark.parametrize("template", gpen_core.Template)
@pytest.mark.parametrize("n_channels", [3, 4])
def test_the_identity_network_gives_back_the_input(identity, template, n_channels):
    images = batch(n_channels)
    settings = BlendSettings(template=template)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), identity, settings=settings)
    torch.testing.assert_close(result.images, images, rtol=0, atol=1e-6)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert psnr(result.images[inside], images[inside]) > 120
    assert torch.equal(result.images[~inside], images[~inside])


def test_a_network_that_changes_pixels_changes_only_those_in_the_mask(random_network):
    images = batch(4)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert torch.equal(result.images[~inside], images[~inside])
    assert torch.equal(result.images[:, 3], images[:, 3])  # alpha
    assert torch.equal(result.images[2], images[2])  # no face in it
    for i in (0, 1):
        assert (result.images[i] - images[i]).abs().max() > 0.1
    assert result.images.min() >= 0
    assert result.images.max() <= 1


def test_blend_of_zero_gives_the_input_bit_for_bit(random_network):
    images = batch(4)
    settings = BlendSettings(blend=0)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network, settings=settings)
    assert torch.equal(result.images, images)
    assert result.masks.max() == 1  # where it would have been


def test_the_input_is_not_modified(random_network):
    images = batch()
    before = images.clone()
    gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    assert torch.equal(images, before)


@pytest.mark.parametrize("fine_grain", gpen_core.FineGrain)
def test_crops_that_are_pasted_are_not_modified(fine_grain):
    images, faces = batch(), faces_at(*PLACES)
    crops = gpen_core.crop_faces(images, faces, 128).flip(-1)
    given = crops.clone()
    settings = gpen_core.BlendSettings(color=1.0, detail=0.5, grain=1.0, fine_grain=fine_grain)
    gpen_core.paste_faces(images, faces, crops, settings=settings)
    assert torch.equal(crops, given)


def test_crops_that_are_kept_are_those_of_the_network_alone(random_network):
    images, faces = batch(), faces_at(*PLACES)
    settings = gpen_core.BlendSettings(color=1.0, detail=0.5, grain=1.0)
    result = gpen_core.restore_faces(
        images, faces, random_network, settings=settings, run=RunOptions(keep_crops=True)
    )
    crops = gpen_core.crop_faces(images, faces, 256)
    torch.testing.assert_close(result.crops, crops, rtol=0, atol=0)
    expected = random_network(crops * 2 - 1) / 2 + 0.5
    torch.testing.assert_close(result.restored_crops, expected.clamp(0, 1), rtol=0, atol=1e-4)
    assert expected.min() < -0.01  # so that it matters whether they are brought into range


def test_no_faces_give_back_the_images(random_network):
    images = batch()
    result = gpen_core.restore_faces(
        images, Faces.empty(), random_network, run=RunOptions(keep_crops=True)
    )
    assert torch.equal(result.images, images)
    assert not result.masks.any()
    assert result.crops.shape == (0, 3, 256, 256)


def test_no_images_give_no_images(random_network):
    images = torch.zeros(0, 3, 8, 8)
    assert gpen_core.restore_faces(images, Faces.empty(), random_network).images.shape[0] == 0


@pytest.mark.parametrize("max_batch", [2, 3, 8])
def test_the_batch_size_makes_no_difference(random_network, max_batch):
    images, faces = batch(), faces_at(*PLACES)
    one = gpen_core.restore_faces(images, faces, random_network, run=RunOptions(keep_crops=True))
    many = gpen_core.restore_faces(
        images, faces, random_network, run=RunOptions(keep_crops=True, max_batch=max_batch)
    )
    torch.testing.assert_close(many.images, one.images, rtol=0, atol=2e-5)
    torch.testing.assert_close(many.restored_crops, one.restored_crops, rtol=0, atol=2e-4)
    assert torch.equal(many.masks, one.masks)
    assert torch.equal(many.crops, one.crops)


def test_the_order_of_the_faces_is_that_of_the_crops_and_of_nothing_else(random_network):
    images, faces = batch(), faces_at(*PLACES)
    turned = faces.select([3, 2, 1, 0])
    first = gpen_core.restore_faces(images, faces, random_network, run=RunOptions(keep_crops=True))
    second = gpen_core.restore_faces(
        images, turned, random_network, run=RunOptions(keep_crops=True)
    )
    torch.testing.assert_close(second.images, first.images, rtol=0, atol=1e-6)
    assert torch.equal(second.crops.flip(0), first.crops)
    torch.testing.assert_close(
        second.restored_crops.flip(0), first.restored_crops, rtol=0, atol=2e-4
    )


def test_an_aligned_picture_is_its_own_crop(identity):
    images = smooth(256)[None]
    result = gpen_core.restore_faces(
        images, faces_at((0, 0.0, 0.0, 256.0)), identity, run=RunOptions(keep_crops=True)
    )
    torch.testing.assert_close(result.crops[0], images[0], rtol=0, atol=1e-4)


def test_progress_comes_with_every_face_and_interruption_with_every_chunk(identity):
    events = []
    gpen_core.restore_faces(
        batch(),
        faces_at(*PLACES),
        identity,
        run=RunOptions(
            max_batch=3,
            monitor=Monitor(
                on_progress=lambda *progress: events.append(progress),
                on_crop=lambda crop: events.append(tuple(crop.shape)),
                check_interrupt=lambda: events.append("check"),
            ),
        ),
    )
    size = identity.config.size
    shown = (3, size, size)
    first = ["check", shown, (1, 4), shown, (2, 4), shown, (3, 4)]
    assert events == [*first, "check", shown, (4, 4)]


def test_an_interruption_stops_the_work(identity):
    class StopError(Exception):
        pass

    def stop():
        raise StopError

    with pytest.raises(StopError):
        gpen_core.restore_faces(
            batch(),
            faces_at(*PLACES),
            identity,
            run=RunOptions(monitor=Monitor(check_interrupt=stop)),
        )


def test_a_network_that_overflows_is_reported_and_not_pasted():
    state_dict = identity_state_dict(CONFIG)
    state_dict["ecd0.0.1.bias"].fill_(1e30)
    network = gpen_core.build_model(state_dict)
    network.to_rgbs[-1].weight.fill_(1e30)
    with pytest.raises(NonFiniteOutputError, match="fp32"):
        gpen_core.restore_faces(batch(), faces_at(*PLACES), network)


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (torch.zeros(1, 1, 9, 9), "Repeat the grey channel"),
        (torch.zeros(1, 2, 9, 9), "RGB or RGBA"),
        (torch.zeros(3, 9, 9), "batch axis"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "images / 255"),
    ],
)
def test_images_of_another_kind_are_refused(identity, images, remedy):
    with pytest.raises(TensorSpecError, match=remedy):
        gpen_core.restore_faces(images, Faces.empty(), identity)


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


def test_pixels_that_are_not_finite_are_refused(identity):
    images = batch()
    images[1, 0, 50, 60] = float("nan")
    with pytest.raises(TensorSpecError, match="face 0 of image 1"):
        gpen_core.restore_faces(images, faces_at((1, 20.0, 20.0, 80.0)), identity)


def test_faces_of_another_batch_are_refused(identity):
    with pytest.raises(TensorSpecError, match="below 3"):
        gpen_core.restore_faces(batch(), faces_at((3, 0.0, 0.0, 50.0)), identity)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tiny_images_come_back(identity, size):
    images = noise(size)[None]
    result = gpen_core.restore_faces(images, faces_at((0, 0.0, 0.0, float(size))), identity)
    torch.testing.assert_close(result.images, images, rtol=0, atol=1e-6)


def test_half_precision_images_keep_their_dtype_and_their_bits(random_network):
    images = batch().half()
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert result.images.dtype == torch.float16
    assert torch.equal(result.images[~inside], images[~inside])


def test_a_real_face_is_found_aligned_and_given_back(identity, detector, astronaut):
    faces = gpen_core.detect_faces(astronaut, detector)
    assert len(faces) == 1
    result = gpen_core.restore_faces(astronaut, faces, identity, run=RunOptions(keep_crops=True))
    torch.testing.assert_close(result.images, astronaut, rtol=0, atol=1e-6)
    # In the crop the face is where the template wants it: found there again, at those points.
    again = gpen_core.detect_faces(result.crops, detector)
    expected = template_landmarks(gpen_core.Template.FFHQ, 256).float()
    assert (again.landmarks[0] - expected).norm(dim=1).max() < 0.05 * 256
