"""The network on another device than the images, and everything on it: a stand-in for a GPU."""

import copy
import dataclasses
from dataclasses import replace

import pytest
import torch

import gpen_core
from gpen_core import RunOptions, SwapPairs
from gpen_core.blending.canvas import enlarge
from gpen_core.blending.face_mask import face_masks, region_mask
from gpen_core.comparison import compare_images
from gpen_core.faces.annotation import draw_faces
from gpen_core.faces.clip import stabilize_faces
from gpen_core.faces.parsing import FaceParser, parse_faces
from gpen_core.faces.selection import FaceOrder, number_faces, select_faces
from gpen_core.faces.settings import Scales, SearchSettings
from gpen_core.swaps.blend import blend_swap
from gpen_core.swaps.frames import match_frames
from support.faces import PLACES, batch, faces_at
from support.geometry import smooth
from support.stand_in_gpu import DEVICE, stand_in_gpu

ALL_BLENDING = gpen_core.BlendSettings(shape="ellipse", color=1.0, detail=0.5, grain=1.0)
SETTINGS = {"defaults": gpen_core.BlendSettings(), "all": ALL_BLENDING}
WHERE = pytest.mark.parametrize("where", ["cpu", DEVICE], ids=["images-cpu", "images-device"])
BOOKKEEPING_BYTES = 2**15
"""What single numbers, small matrices and the cells of colours that are compared are less than."""


@pytest.fixture(params=["nvidia", "apple"])
def kind(request):
    return request.param


@pytest.fixture
def crossings(kind):
    with stand_in_gpu(is_apple=kind == "apple") as counted:
        yield counted


@pytest.fixture
def network(random_network, crossings):
    return copy.deepcopy(random_network).to(DEVICE)


@pytest.fixture
def detector(detector, crossings):
    return copy.deepcopy(detector)


@pytest.fixture
def parser(crossings):
    """One that sees regions where no face is."""
    torch.manual_seed(0)
    parser = FaceParser("parsenet")
    parser.network = torch.nn.Sequential(torch.nn.Conv2d(3, 19, 1), AsTuple())
    return parser.requires_grad_(False)


class AsTuple(torch.nn.Module):
    def forward(self, x):
        return (10 * x,)


def assert_close(actual, expected, tolerance):
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=tolerance)


def assert_faces_equal(actual, expected, where):
    assert actual.device == torch.device(where)
    assert torch.equal(actual.image_index.cpu(), expected.image_index)
    assert_close(actual.boxes, expected.boxes, 1e-4)
    assert_close(actual.landmarks, expected.landmarks, 1e-4)


@pytest.mark.parametrize(("settings", "max_batch"), [("defaults", 1), ("defaults", 4), ("all", 1)])
@WHERE
def test_restore_faces_gives_what_the_cpu_gives(
    random_network, network, where, settings, max_batch
):
    images, faces = batch(4), faces_at(*PLACES)
    run = RunOptions(max_batch, keep_crops=True)
    expected = gpen_core.restore_faces(
        images, faces, random_network, settings=SETTINGS[settings], run=replace(run, max_batch=1)
    )
    result = gpen_core.restore_faces(
        images.to(where), faces.to(where), network, settings=SETTINGS[settings], run=run
    )
    for name, tolerance in {"images": 5e-5, "masks": 1e-6, "restored_crops": 1e-5}.items():
        actual = getattr(result, name)
        assert actual.device == torch.device(where)
        assert_close(actual, getattr(expected, name), tolerance)


@pytest.mark.parametrize("kind", ["nvidia"])  # Apple's have the memory of the CPU
@pytest.mark.parametrize("settings", SETTINGS)
def test_restore_faces_moves_only_what_lies_under_a_face(network, crossings, settings):
    face_px = 100
    faces = faces_at((0, 70.0, 60.0, float(face_px)))
    counted = []
    for height, width in ((240, 300), (480, 600)):
        images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
        crossings.clear()
        gpen_core.restore_faces(images, faces, network, settings=SETTINGS[settings])
        counted.append((sum(crossings.to_device), sum(crossings.to_host)))
        pictures = [n for n in crossings.to_host if n > BOOKKEEPING_BYTES]
        plane = 4 * (face_px + 2) ** 2
        assert sorted(pictures) == [plane, 3 * plane]  # the mask and the change
        # Each is waited for: whether all is finite, and six rounds of matching colours.
        assert len(crossings.to_host) <= 12
    assert counted[0] == counted[1]


@pytest.mark.parametrize("kind", ["apple"])
def test_resampling_on_the_cpu_is_said_once(crossings, caplog):
    with caplog.at_level("INFO"):
        for _ in range(2):
            gpen_core.crop_faces(batch().to(DEVICE), faces_at(*PLACES), 128)
    assert [record.getMessage() for record in caplog.records] == [
        "GPEN: faces are cut out and put back on the CPU: MPS: Unsupported Border padding mode"
    ]


@WHERE
def test_crop_and_paste_faces_give_what_the_cpu_gives(crossings, where):
    images, faces = batch(), faces_at(*PLACES)
    crops = gpen_core.crop_faces(images, faces, 128)
    pasted = gpen_core.paste_faces(images, faces, crops.flip(-1), settings=ALL_BLENDING)
    on_device = gpen_core.crop_faces(images.to(where), faces.to(where), 128, device=DEVICE)
    assert_close(on_device, crops, 1e-6)
    result = gpen_core.paste_faces(
        images.to(where),
        faces.to(where),
        on_device.flip(-1).to(DEVICE),
        settings=ALL_BLENDING,
        user_masks=torch.ones(1, 120, 120).to(where),
    )
    assert_close(result.images, pasted.images, 1e-5)


@WHERE
def test_a_canvas_is_enlarged_and_painted_where_the_images_are(random_network, network, where):
    images, faces = batch(), faces_at(*PLACES)
    canvas = enlarge(images, 240, 250)
    expected = gpen_core.restore_faces(images, faces, random_network, into=canvas)
    canvas = enlarge(images.to(where), 240, 250)
    result = gpen_core.restore_faces(images.to(where), faces, network, into=canvas)
    assert_close(result.images, expected.images, 5e-5)


@WHERE
@pytest.mark.parametrize("rotations", ["off", "always"])
def test_search_faces_finds_what_the_cpu_finds(detector, astronaut, where, rotations):
    images = torch.cat([astronaut, astronaut.rot90(1, (2, 3))])
    settings = SearchSettings(detection_size=320, scales=Scales.SMALL, rotations=rotations)
    expected = gpen_core.search_faces(images, detector, settings)
    faces = gpen_core.search_faces(images.to(where), copy.deepcopy(detector).to(DEVICE), settings)
    assert len(faces) >= 1
    assert_faces_equal(faces, expected, where)


def test_faces_of_a_clip_may_lie_on_the_device(crossings):
    places = [(i, 10.0 + 3 * (i % 3), 20.0, 80.0) for i in range(12) if i != 6]
    faces = faces_at(*places)
    on_device = faces.to(DEVICE)
    expected = stabilize_faces(faces, 12, 0.5)
    assert len(expected) == 12
    assert_faces_equal(stabilize_faces(on_device, 12, 0.5), expected, DEVICE)
    for order in FaceOrder:
        expected = select_faces(faces, order=order, indices="0", largest_only=True)
        selected = select_faces(on_device, order=order, indices="0", largest_only=True)
        assert_faces_equal(selected, expected, DEVICE)
        assert number_faces(on_device, order=order).tolist() == [0] * 11
    images = torch.zeros(12, 3, 64, 64)
    assert_close(draw_faces(images.to(DEVICE), on_device), draw_faces(images, faces), 0)


@WHERE
def test_parsed_masks_are_what_the_cpu_gives(parser, where):
    images, faces = batch(), faces_at(*PLACES)
    crops = gpen_core.crop_faces(images, faces, 64)

    def masks(crops, faces, parser):
        parsed = region_mask(parse_faces(crops, parser), ["skin", "hair"], feather=0.04)
        return face_masks(faces, (len(images), 120, 120), shape="ellipse", crop_masks=parsed)

    expected = masks(crops, faces, parser)
    actual = masks(crops.to(where), faces.to(where), copy.deepcopy(parser).to(DEVICE))
    assert actual.device == torch.device(where)
    assert_close(actual, expected, 1e-5)


@WHERE
def test_blend_swap_gives_what_the_cpu_gives(random_network, network, parser, where):
    originals = smooth(160).expand(3, -1, -1, -1).clone()
    swapped = originals[1:].clone()
    swapped[0, :, 50:105, 52:108] = smooth(160).roll(4, 2)[:, 50:105, 52:108]
    faces = faces_at((0, 30.0, 20.0, 100.0), (1, 20.0, 40.0, 90.0))
    user_masks = torch.ones(1, 160, 160)
    expected = blend_swap(
        SwapPairs(originals[1:], swapped),
        faces,
        random_network,
        parser=parser,
        user_masks=user_masks,
    )
    assert len(expected.faces) == 1
    frames = match_frames(originals[1:].to(where), swapped.to(where))
    assert frames == [0, 1]
    result = blend_swap(
        SwapPairs(originals[1:].to(where), swapped.to(where), frames),
        faces.to(where),
        network,
        parser=copy.deepcopy(parser).to(DEVICE),
        user_masks=user_masks.to(where),
    )
    assert result.images.device == torch.device(where)
    assert_close(result.images, expected.images, 1e-4)


@WHERE
def test_compare_images_measures_what_the_cpu_measures(crossings, where):
    before, after = batch(4), batch(4).flip(-1)
    region = torch.zeros(1, 120, 120)
    region[:, 30:90, 20:80] = 1
    expected = compare_images(before, after, region)
    actual = compare_images(before.to(where), after.to(where), region.to(where), device=DEVICE)
    for name in ("whole", "region"):
        measured = dataclasses.asdict(getattr(expected, name))
        assert dataclasses.asdict(getattr(actual, name)) == pytest.approx(measured, rel=1e-5)


def test_the_stand_in_refuses_what_a_device_would_refuse():
    numbers = torch.arange(3.0)
    with stand_in_gpu(is_apple=True) as crossings:
        on_device = numbers.to(DEVICE)
        with pytest.raises(RuntimeError, match="on the CPU, the others on cuda"):
            on_device + numbers
        with pytest.raises(TypeError, match="no float64"):
            on_device.double()
        with pytest.raises(TypeError, match="numpy"):
            on_device.numpy()
        assert (on_device + torch.tensor(1.0)).tolist() == [1, 2, 3]
        assert float(on_device[2]) == 2
    assert crossings.to_device == [12]
    assert crossings.to_host == [12, 4]
