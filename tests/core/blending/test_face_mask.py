import pytest
import torch

from gpen_core import REGIONS, FaceRegion, Faces, Monitor, restore_faces
from gpen_core.blending.face_mask import face_masks, parse_regions
from gpen_core.blending.settings import BlendSettings, MaskShape
from gpen_core.errors import TensorSpecError
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
