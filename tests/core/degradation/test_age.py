"""What age does to a picture."""

import pytest
import torch

from gpen_core.degradation.age import AgeSettings, Dust, Fade, Mark, Scratches, Sepia
from gpen_core.degradation.pipeline import draw_steps
from gpen_core.degradation.settings import DegradeSettings
from support.stages import apply, even


def test_sepia_turns_white_into_brown_light_and_keeps_black():
    brown = apply(Sepia(), torch.tensor([0.0, 0.5]).expand(3, 1, 2).contiguous())
    torch.testing.assert_close(brown[:, 0, 1], torch.tensor([1.351, 1.203, 0.937]) / 2)
    assert not brown[:, 0, 0].any()


def test_fading_brings_black_and_white_nearer():
    faded = apply(Fade(0.6, 0.1), torch.tensor([0.0, 0.5, 1.0]).expand(3, 1, 3).contiguous())
    torch.testing.assert_close(faded[0, 0], torch.tensor([0.28, 0.55, 0.82]))


@pytest.mark.parametrize("width", [0.4, 1.0, 3.0])
def test_a_scratch_covers_its_width_at_its_opacity(width):
    mark = Mark((0.513, -1.0), (0.513, 2.0), width, 0.8, is_white=True)
    scratched = apply(Scratches((mark,)), even(0.0, 512, 600))
    rows = scratched.sum(dim=2)
    torch.testing.assert_close(rows, torch.full_like(rows, 0.8 * width), atol=1e-4, rtol=0)
    columns = scratched[0].sum(dim=0).nonzero().flatten() + 0.5
    assert columns.mean() == pytest.approx(0.513 * 600, abs=0.5)


def test_a_black_scratch_lets_through_what_it_does_not_cover():
    mark = Mark((0.5, -1.0), (0.5, 2.0), 2.0, 0.8, is_white=False)
    scratched = apply(Scratches((mark,)), even(0.5, 512, 512))
    torch.testing.assert_close(scratched[:, :, 255:257], even(0.1, 512, 2))
    assert torch.equal(scratched[:, :, 257:], even(0.5, 512, 255))


def test_marks_scale_with_the_picture_and_may_lie_outside():
    mark = Mark((-0.5, 0.3), (1.5, 0.3), 4.0, 1.0, is_white=True)
    covered = [apply(Scratches((mark,)), even(0.0, n, n)).mean() for n in (256, 512, 1024)]
    torch.testing.assert_close(covered[1:], covered[:1] * 2, atol=1e-4, rtol=0)
    outside = Mark((2.0, 2.0), (3.0, 3.0), 4.0, 1.0, is_white=True)
    before = Mark((-3.0, -3.0), (-2.0, -2.0), 4.0, 1.0, is_white=True)
    assert not apply(Scratches((outside, before)), even(0.0)).any()


def test_dust_is_white_and_black_and_covers_little():
    dusty = apply(Dust(60, (1.0, 4.0)), even(0.5, 512, 512))
    changed = (dusty != 0.5)[0].float().mean()
    assert 0.0005 < changed < 0.01
    assert dusty.max() > 0.7
    assert dusty.min() < 0.3


def test_scratches_stay_on_all_frames_and_dust_does_not():
    settings = DegradeSettings(age=AgeSettings(scratches=(3, 3), dust=(20, 20)))
    scratches, dust = draw_steps(settings, (512, 512), seed=0)
    assert len(scratches.marks) == 3
    pixels = even(0.5)
    assert torch.equal(apply(scratches, pixels, seed=1), apply(scratches, pixels, seed=2))
    assert not torch.equal(apply(dust, pixels, seed=1), apply(dust, pixels, seed=2))
