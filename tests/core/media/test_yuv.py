import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.errors import MediaError
from gpen_core.media.yuv import YuvCoding, is_planar_yuv, read_planes, write_planes

FORMATS = [
    "gray", "gray10le", "yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p",
    "yuvj420p", "yuv420p10le", "yuv422p10le", "yuv444p12le",
]  # fmt: skip


def noise_frame(name, height=20, width=28, seed=0, colorspace=1, color_range=1):
    frame = av.VideoFrame(width, height, name)
    frame.colorspace, frame.color_range = colorspace, color_range
    rng = np.random.default_rng(seed)
    top = 2 ** frame.format.components[0].bits
    write_planes(frame, [rng.integers(0, top, p.shape, p.dtype) for p in read_planes(frame)])
    return frame


# The corners of the colour cube in 8 bits, from BT.601 table 3 and BT.709 section 3.4 by hand:
# 16 + 219 * luma and 128 + 224 * chroma.
@pytest.mark.parametrize(
    ("colorspace", "color_range", "sample", "rgb"),
    [
        (6, 1, (81, 90, 240), (1, 0, 0)),
        (6, 1, (145, 54, 34), (0, 1, 0)),
        (6, 1, (41, 240, 110), (0, 0, 1)),
        (1, 1, (63, 102, 240), (1, 0, 0)),
        (1, 1, (173, 42, 26), (0, 1, 0)),
        (1, 1, (32, 240, 118), (0, 0, 1)),
        (6, 2, (76, 85, 255), (1, 0, 0)),
        (1, 1, (16, 128, 128), (0, 0, 0)),
        (1, 1, (235, 128, 128), (1, 1, 1)),
        (1, 2, (255, 128, 128), (1, 1, 1)),
        (1, 2, (64, 128, 128), (64 / 255, 64 / 255, 64 / 255)),  # limited would be 0.22
        (2, 1, (81, 90, 240), (1, 0, 0)),  # small and unnamed: BT.601
    ],
)
def test_colours_of_each_matrix_and_range_are_those_of_the_standard(
    colorspace, color_range, sample, rgb
):
    frame = av.VideoFrame(8, 4, "yuv444p")
    frame.colorspace, frame.color_range = colorspace, color_range
    write_planes(frame, [np.full((4, 8), value, np.uint8) for value in sample])
    shown = YuvCoding.of_frame(frame).to_rgb(read_planes(frame))
    expected = torch.tensor(rgb, dtype=torch.float32)[:, None, None].expand(3, 4, 8)
    torch.testing.assert_close(shown, expected, rtol=0, atol=0.0065)  # rounding of the samples


def test_a_large_video_without_a_matrix_is_bt709():
    small, large = (av.VideoFrame(*size, "yuv420p") for size in ((720, 576), (1280, 720)))
    assert YuvCoding.of_frame(small).kr == 0.299
    assert YuvCoding.of_frame(large).kr == 0.2126


@pytest.mark.parametrize("name", FORMATS)
def test_no_change_leaves_every_sample_of_noise_alone(name):
    frame = noise_frame(name)
    planes = read_planes(frame)
    coding = YuvCoding.of_frame(frame)
    rgb = coding.to_rgb(planes)
    assert rgb.shape == (3, 20, 28)
    assert 0 <= rgb.min() <= rgb.max() <= 1
    for plane, same in zip(planes, coding.add_change(planes, torch.zeros_like(rgb)), strict=True):
        assert same.dtype == plane.dtype
        np.testing.assert_array_equal(same, plane)


@given(
    name=st.sampled_from(FORMATS),
    height=st.integers(4, 17),
    width=st.integers(4, 17),
    red=st.floats(0.2, 0.8),
    blue=st.floats(0.2, 0.8),
)
def test_an_even_change_arrives_in_frames_of_any_size(name, height, width, red, blue):
    frame = av.VideoFrame(width, height, name)
    frame.colorspace, frame.color_range = 1, 1
    coding = YuvCoding.of_frame(frame)
    wanted = torch.tensor([red, 0.5, blue])[:, None, None].expand(3, height, width)
    planes = coding.add_change(coding.black(height, width), wanted)
    assert [p.shape for p in planes] == [p.shape for p in read_planes(frame)]
    write_planes(frame, planes)
    shown = coding.to_rgb(read_planes(frame))
    if coding.chroma_shifts is None:
        wanted = (
            (wanted * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None])
            .sum(0)
            .expand(3, -1, -1)
        )
    torch.testing.assert_close(shown, wanted, rtol=0, atol=0.0065)


def test_chroma_lies_on_the_left_luma_sample_and_between_rows():
    # A ramp of chroma is a straight line at its samples' places: luma columns 0, 2, 4 ...
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.colorspace, frame.color_range = 1, 1
    ramp = np.broadcast_to(np.arange(100, 132, 4, dtype=np.uint8), (8, 8))
    for across in (True, False):
        chroma = ramp if across else ramp.T
        write_planes(frame, [np.full((16, 16), 126, np.uint8), chroma, np.full((8, 8), 128)])
        blue = YuvCoding.of_frame(frame).to_rgb(read_planes(frame))[2]
        line = blue[8] if across else blue[:, 8]
        place = torch.arange(16.0) / 2 if across else (torch.arange(16) + 0.5) / 2 - 0.5
        expected = (126 - 16) / 219 + 2 * (1 - 0.0722) * (100 + 4 * place - 128) / 224
        torch.testing.assert_close(line[1:-2], expected[1:-2], rtol=0, atol=1e-5)


def test_a_change_is_put_where_the_chroma_samples_lie():
    frame = av.VideoFrame(32, 4, "yuv422p")
    frame.colorspace, frame.color_range = 1, 1
    coding = YuvCoding.of_frame(frame)
    ramp = torch.arange(32.0).expand(4, 32) / 32
    chroma = coding.add_change(coding.black(4, 32), torch.stack([0 * ramp, 0 * ramp, ramp]))[1]
    expected = 128 + 224 * torch.arange(0, 32, 2) / 32 / 2  # at luma columns 0, 2, 4 ...
    np.testing.assert_allclose(chroma[1, 1:], expected[1:], atol=0.5)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_a_smooth_change_comes_back_as_it_was_made(name):
    frame = av.VideoFrame(64, 48, name)
    frame.colorspace, frame.color_range = 1, 1
    coding = YuvCoding.of_frame(frame)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    wanted = torch.stack([0.5 + 0.3 * torch.sin(x / 20 + c) * torch.cos(y / 15) for c in range(3)])
    shown = coding.to_rgb(coding.add_change(coding.black(48, 64), wanted))
    assert (shown - wanted)[:, 2:-2, 2:-2].abs().max() < 0.012


def test_planes_are_read_and_written_without_the_padding_of_rows():
    frame = noise_frame("yuv420p10le", height=6, width=10)
    planes = [plane.copy() for plane in read_planes(frame)]
    assert [plane.shape for plane in planes] == [(6, 10), (3, 5), (3, 5)]
    assert frame.planes[0].line_size > 20
    other = av.VideoFrame(10, 6, "yuv420p10le")
    write_planes(other, planes)
    np.testing.assert_array_equal(other.to_ndarray(), frame.to_ndarray())


def test_formats_that_are_not_planar_yuv_are_told_apart():
    assert all(map(is_planar_yuv, FORMATS))
    others = ("nv12", "rgb24", "gbrp", "yuva420p", "yuv420p10be", "pal8", "p010le", "ya8")
    assert not any(map(is_planar_yuv, others))


def test_an_unknown_colour_matrix_is_refused():
    frame = av.VideoFrame(8, 8, "yuv420p")
    frame.colorspace = 8  # YCgCo
    with pytest.raises(MediaError, match=r"number 8"):
        YuvCoding.of_frame(frame)
