import pytest
import torch
from torch.nn import functional as F

from gpen_core import REGIONS, FaceRegion, Faces, Monitor, restore_faces
from gpen_core.blending.face_mask import face_masks, parse_regions, region_mask
from gpen_core.blending.settings import BlendSettings, MaskShape
from gpen_core.errors import SettingError, TensorSpecError
from gpen_core.faces.parsing import FACE_REGIONS
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from support.faces import PLACES, batch, faces_at


@pytest.mark.parametrize("shape", MaskShape)
def test_face_masks_are_those_that_restore_faces_pastes_with(shape):
    network = build_model(identity_state_dict(GpenConfig(256, 1, 0.0625)))
    faces = faces_at(*PLACES)
    settings = BlendSettings(shape=shape, padding=0.05, feather=0.2)
    result = restore_faces(batch(), faces, network, settings=settings)
    masks = face_masks(faces, (3, 120, 120), shape=shape, padding=0.05, feather=0.2)
    torch.testing.assert_close(masks, result.masks, rtol=0, atol=1e-5)
    assert not masks[2].any()


def test_an_ellipse_lies_within_the_box():
    faces = faces_at(*PLACES)
    box, ellipse = (face_masks(faces, (3, 120, 120), shape=s, feather=0) for s in MaskShape)
    assert bool((ellipse <= box).all())
    assert ellipse.sum() < box.sum()


def test_crop_masks_land_on_their_part_of_the_face():
    faces = faces_at((0, 20.0, 40.0, 80.0))
    crop_masks = torch.zeros(1, 16, 16)
    crop_masks[:, 8:, :4] = 1  # lower left: a half and a quarter of the crop
    masks = face_masks(faces, (1, 200, 200), padding=0, feather=0, crop_masks=crop_masks)
    # A pixel of these masks is five of the image: edges are interpolated over so many.
    assert bool((masks[0, 83:117, 23:37] > 0.99).all())
    masks[0, 77:123, 17:43] = 0
    assert masks.max() < 0.02


def test_one_padding_for_each_side():
    faces = faces_at((0, 0.0, 0.0, 100.0))
    mask = face_masks(faces, (1, 100, 100), padding=(0.1, 0.2, 0.3, 0.4), feather=0)[0]
    rows, columns = mask.amax(1).nonzero().flatten(), mask.amax(0).nonzero().flatten()
    assert (columns.min().item(), columns.max().item()) == (10, 69)
    assert (rows.min().item(), rows.max().item()) == (20, 59)


def test_face_masks_refuse_crop_masks_of_other_faces():
    with pytest.raises(TensorSpecError, match=r"\(4, S, S\)"):
        face_masks(faces_at(*PLACES), (3, 9, 9), crop_masks=torch.zeros(3, 8, 8))


def test_no_faces_make_empty_masks():
    assert face_masks(Faces.empty(), (2, 5, 7)).shape == (2, 5, 7)


class RedIsSkin(torch.nn.Module):
    """A parser that takes red for skin."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def activation_bytes(self):
        return 1

    def forward(self, crops):
        parsed = torch.zeros(len(crops), len(REGIONS), *crops.shape[2:])
        parsed[:, REGIONS.index(FaceRegion.SKIN)] = crops[:, 0]
        parsed[:, REGIONS.index(FaceRegion.BACKGROUND)] = 1 - crops[:, 0]
        return parsed


def test_regions_are_parsed_some_faces_at_a_time_and_come_in_the_order_of_the_faces():
    reds = torch.tensor([0.0, 0.25, 1.0])
    images = torch.zeros(3, 3, 40, 40)
    images[:, 0] = reds[:, None, None]
    owners = [2, 0, 1, 2, 0]
    faces = faces_at(*[(image, 10.0, 10.0, 20.0) for image in owners])
    steps = []
    monitor = Monitor(lambda *done: steps.append(done))
    masks = parse_regions(images, faces, RedIsSkin(), ["skin"], 0, monitor=monitor)
    assert steps == [(4, 5), (5, 5)]
    expected = reds[owners][:, None, None].expand_as(masks)
    torch.testing.assert_close(masks, expected, rtol=0, atol=1e-5)


# Masks of regions


def one_hot(labels):
    """Probabilities of a map of region numbers (N, h, w)."""
    return F.one_hot(labels, len(REGIONS)).movedim(-1, 1).float()


def numbered(height=40, width=60):
    """Each region in four columns."""
    return (torch.arange(width) // 4).expand(1, height, width)


@pytest.mark.parametrize("region", REGIONS)
def test_region_mask_is_of_the_region(region):
    labels = numbered()
    expected = (labels == REGIONS.index(region)).float()
    assert torch.equal(region_mask(one_hot(labels), [region], 0), expected)
    assert torch.equal(region_mask(one_hot(labels), region.value, 0), expected)


def test_region_mask_of_several_regions_is_their_union():
    labels = numbered()
    mask = region_mask(one_hot(labels), ["skin", FaceRegion.NOSE, "skin"], 0)
    expected = (labels == REGIONS.index(FaceRegion.SKIN)) | (
        labels == REGIONS.index(FaceRegion.NOSE)
    )
    assert torch.equal(mask, expected.float())
    faint = region_mask(one_hot(labels) / 4, ["skin", FaceRegion.NOSE, "skin"], 0)
    assert torch.equal(faint, expected / 4)


def test_region_mask_of_all_regions_is_one_everywhere():
    parsed = torch.rand(2, len(REGIONS), 20, 30, generator=torch.Generator().manual_seed(0))
    mask = region_mask(parsed.softmax(1), REGIONS, 0.2)
    torch.testing.assert_close(mask, torch.ones(2, 20, 30))
    assert mask.max() <= 1


def test_region_mask_is_certain_where_only_the_part_of_the_face_is_not():
    parsed = torch.zeros(1, len(REGIONS), 8, 8)
    parsed[:, REGIONS.index(FaceRegion.SKIN)] = parsed[:, REGIONS.index(FaceRegion.NOSE)] = 0.5
    assert bool((region_mask(parsed, FACE_REGIONS, 0.1) > 0.999).all())


@pytest.mark.parametrize("size", [64, 512])
def test_region_mask_ramps_over_the_feather_at_any_size(size):
    labels = (torch.arange(size) >= size // 2).long().expand(1, size, size)  # background, skin
    assert REGIONS[:2] == (FaceRegion.BACKGROUND, FaceRegion.SKIN)
    mask = region_mask(one_hot(labels), [FaceRegion.SKIN], 0.25)[0]
    start, end = size * 3 // 8, size * 5 // 8
    assert not mask[:, :start].any()
    torch.testing.assert_close(mask[:, end:], torch.ones(size, size - end))
    position = (torch.arange(size // 4) + 0.5) / (size // 4)
    ramp = (3 * position**2 - 2 * position**3).expand(size, -1)
    torch.testing.assert_close(mask[:, start:end], ramp)


def test_region_mask_with_a_wrong_argument_raises():
    parsed = one_hot(numbered())
    with pytest.raises(TensorSpecError, match=r"parsed: expected \(N, 15, h, w\).*got \(1, 19, 4"):
        region_mask(torch.zeros(1, 19, 4, 4), FACE_REGIONS, 0.1)
    with pytest.raises(TensorSpecError, match=r"got \(15, 4, 4\)"):
        region_mask(torch.zeros(15, 4, 4), FACE_REGIONS, 0.1)
    with pytest.raises(TensorSpecError, match=r"torch\.int64"):
        region_mask(parsed.long(), FACE_REGIONS, 0.1)
    with pytest.raises(SettingError, match=r"regions: expected some of background, .*got 'beard'"):
        region_mask(parsed, ["skin", "beard"], 0.1)
    with pytest.raises(SettingError, match=r"regions: .* got 'beard'"):
        region_mask(parsed, "beard", 0.1)
    with pytest.raises(SettingError, match=r"regions: expected .*got none"):
        region_mask(parsed, [], 0.1)
    with pytest.raises(SettingError, match="feather: expected"):
        region_mask(parsed, FACE_REGIONS, -0.1)
