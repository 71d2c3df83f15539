import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.errors import FrameMatchError, TensorSpecError
from gpen_core.swaps.frames import fill_in_dropped, is_withheld, match_frames
from support.geometry import smooth


def clip(n_frames: int, size: int = 64) -> torch.Tensor:
    """A smooth picture that moves by a few pixels a frame."""
    wide = smooth(size * 2)
    return torch.stack([wide[:, 5 * i : 5 * i + size, :size] for i in range(n_frames)])


def swapped(frames: torch.Tensor) -> torch.Tensor:
    """Two fifths of each frame covered by something else."""
    result = frames.clone()
    side = int(frames.shape[-1] * 0.63)
    result[..., 10 : 10 + side, 10 : 10 + side] = 1 - result[..., 10 : 10 + side, 10 : 10 + side]
    return result


@given(kept=st.sets(st.integers(0, 9), min_size=1, max_size=9))
def test_frames_that_were_dropped_are_found_out(kept):
    originals = clip(10)
    wanted = sorted(kept)
    assert match_frames(originals, swapped(originals[wanted])) == wanted


def test_frames_of_another_size_with_noise_are_matched():
    originals = clip(8)
    kept = [0, 2, 3, 7]
    small = F.interpolate(swapped(originals[kept]), (48, 48), mode="area")
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0)) * 0.02
    assert match_frames(originals, small + noise) == kept


def test_equally_many_frames_are_not_compared():
    assert match_frames(torch.zeros(3, 3, 8, 8), torch.ones(3, 3, 16, 16)) == [0, 1, 2]


def test_frames_that_look_alike_keep_their_order():
    still = clip(1).expand(6, -1, -1, -1)
    matched = match_frames(still, still[:4])
    assert matched == sorted(set(matched))
    assert len(matched) == 4


def test_a_still_ending_does_not_hide_what_was_dropped_before_it():
    a, b, c = clip(11)[[0, 5, 10]]
    originals = torch.stack([a, b, c, c, c])
    matched = match_frames(originals, torch.stack([b, c, c]))
    assert matched[0] == 1
    assert matched[1:] in ([2, 3], [2, 4], [3, 4])


def test_one_original_stands_for_all_frames_that_show_it():
    original = clip(1)
    assert match_frames(original, swapped(original).expand(3, -1, -1, -1)) == [0, 0, 0]
    with pytest.raises(FrameMatchError, match=r"1 \(frame 1\) of these look like none"):
        match_frames(original, torch.cat([original, 1 - original]))


def test_more_swapped_frames_than_originals_are_refused():
    with pytest.raises(FrameMatchError, match=r"expected at least as many frames .* 3, got 2"):
        match_frames(clip(2), clip(3))


def test_frames_of_another_clip_are_refused_and_named():
    originals = clip(6)
    others = torch.stack([originals[0], 1 - originals[1], originals[4]])
    with pytest.raises(FrameMatchError, match=r"frame 1\).*ReActor leaves out the frames"):
        match_frames(originals, others)


def test_what_is_no_image_is_refused():
    with pytest.raises(TensorSpecError, match="images"):
        match_frames(torch.zeros(2, 3, 8), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (torch.zeros(1, 3, 512, 512), True),
        (torch.zeros(2, 3, 512, 512), False),
        (torch.zeros(1, 3, 512, 640), False),
        (torch.full((1, 3, 512, 512), 1 / 255), False),
    ],
)
def test_only_the_one_black_image_is_taken_for_a_refusal(image, expected):
    assert is_withheld(image) is expected


def test_dropped_frames_are_filled_in_at_their_places():
    originals = clip(5, size=32)
    images, masks = torch.rand(2, 4, 64, 64), torch.rand(2, 64, 64)
    filled, filled_masks = fill_in_dropped(images, masks, originals, [1, 4])
    assert torch.equal(filled[[1, 4]], images)
    assert torch.equal(filled_masks[[1, 4]], masks)
    assert not filled_masks[[0, 2, 3]].any()
    assert (filled[[0, 2, 3], 3] == 1).all()  # the originals have no alpha
    small = F.interpolate(filled[[0, 2, 3], :3], (32, 32), mode="area")
    torch.testing.assert_close(small, originals[[0, 2, 3]], rtol=0, atol=0.02)


def test_filled_in_frames_of_the_same_size_are_the_originals_bit_for_bit():
    originals = clip(3)
    filled, _ = fill_in_dropped(originals[:1], torch.zeros(1, 64, 64), originals, [0])
    assert torch.equal(filled, originals)
