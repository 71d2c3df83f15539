import itertools
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from gpen_core import BlendSettings, Monitor
from gpen_core.blending.canvas import CanvasSettings
from gpen_core.errors import MediaError
from gpen_core.media import VideoCodec, VideoEncoding, restore_video
from gpen_core.media import videos as videos_module
from gpen_core.media.yuv import read_planes
from support.media import (
    FACE,
    HEIGHT,
    TIME_BASE,
    WIDTH,
    frame_psnr,
    frame_samples,
    read_frames,
    read_packets,
    write_video,
)

TIMES = (0, 3600, 7200, 14400, 18000, 27000)  # of write_video


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """Four frames at a time, so that every clip is worked on in parts."""
    monkeypatch.setattr(videos_module, "_CHUNK_FRAMES", 4)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_frames_times_sound_and_tags_are_kept(tmp_path, identity_restorer, suffix):
    source = write_video(tmp_path / f"a{suffix}")
    target = tmp_path / "out" / f"a{suffix}"
    report = restore_video(source, target, identity_restorer, smoothing=0.5)
    assert (report.n_frames, report.n_faces) == (6, 6)
    assert report.left_out == ()
    before, after = read_frames(source), read_frames(target)
    assert [f.pts * f.time_base for f in after] == [f.pts * f.time_base for f in before]
    assert [(f.width, f.height, f.format.name) for f in after] == [(WIDTH, HEIGHT, "yuv420p")] * 6
    assert min(itertools.starmap(frame_psnr, zip(before, after, strict=True))) > 45
    assert read_packets(target, "audio") == read_packets(source, "audio")
    with av.open(str(source)) as a, av.open(str(target)) as b:
        assert a.streams.video[0].duration == b.streams.video[0].duration
        assert b.streams.audio[0].metadata == a.streams.audio[0].metadata
        if suffix != ".ts":
            assert b.metadata["title"] == "A clip"
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name]


def test_with_a_lossless_encoder_an_identity_network_changes_no_sample(tmp_path, identity_restorer):
    source, target = write_video(tmp_path / "a.mkv"), tmp_path / "b.mkv"
    restore_video(source, target, identity_restorer, encoding=VideoEncoding(VideoCodec.FFV1))
    for before, after in zip(read_frames(source), read_frames(target), strict=True):
        np.testing.assert_array_equal(after.to_ndarray(), before.to_ndarray())


def test_only_the_face_changes_and_in_every_frame(tmp_path, random_restorer):
    source, target = write_video(tmp_path / "a.mkv"), tmp_path / "b.mkv"
    restore_video(source, target, random_restorer, encoding=VideoEncoding(VideoCodec.FFV1))
    x, y, size = map(int, FACE)
    for before, after in zip(read_frames(source), read_frames(target), strict=True):
        luma = slice(0, HEIGHT)
        changed = before.to_ndarray()[luma] != after.to_ndarray()[luma]
        assert changed[y + 20 : y + 40, x + 20 : x + 40].mean() > 0.9
        changed[y : y + size, x : x + size] = False
        assert not changed.any()


def test_a_video_without_faces_is_encoded_as_it_is(tmp_path, identity_restorer, monkeypatch):
    from gpen_core import Faces

    monkeypatch.setattr(type(identity_restorer), "find", lambda self, images: Faces.empty())
    source, target = write_video(tmp_path / "a.mkv"), tmp_path / "b.mkv"
    encoding = VideoEncoding(VideoCodec.FFV1)
    assert restore_video(source, target, identity_restorer, encoding=encoding).n_faces == 0
    for before, after in zip(read_frames(source), read_frames(target), strict=True):
        np.testing.assert_array_equal(after.to_ndarray(), before.to_ndarray())


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p", "yuv444p"])
def test_bits_and_chroma_are_kept(tmp_path, identity_restorer, pixel_format):
    source = write_video(tmp_path / "a.mkv", pixel_format=pixel_format)
    report = restore_video(source, tmp_path / "b.mkv", identity_restorer)
    assert report.pixel_format == pixel_format
    after = read_frames(tmp_path / "b.mkv")
    assert min(itertools.starmap(frame_psnr, zip(read_frames(source), after, strict=True))) > 45


def test_frames_of_odd_size_are_encoded_with_more_chroma(tmp_path, identity_restorer):
    odd = tmp_path / "a.mkv"
    with av.open(str(odd), "w") as output:
        stream = output.add_stream("ffv1", rate=25, width=95, height=71, pix_fmt="yuv420p")
        for i in range(6):
            picture = av.VideoFrame.from_ndarray(frame_samples(i)[:71, :95].copy(), "rgb24")
            output.mux(stream.encode(picture.reformat(format="yuv420p")))
        output.mux(stream.encode(None))
    report = restore_video(odd, tmp_path / "b.mkv", identity_restorer)
    assert (report.size, report.pixel_format) == ((71, 95), "yuv444p")
    lossless = VideoEncoding(VideoCodec.FFV1)
    report = restore_video(odd, tmp_path / "c.mkv", identity_restorer, encoding=lossless)
    assert report.pixel_format == "yuv420p"
    for before, after in zip(read_frames(odd), read_frames(tmp_path / "c.mkv"), strict=True):
        for old, new in zip(read_planes(before), read_planes(after), strict=True):
            np.testing.assert_array_equal(new, old)


def test_grey_videos_stay_grey(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", codec="ffv1", pixel_format="gray")
    encoding = VideoEncoding(VideoCodec.FFV1)
    report = restore_video(source, tmp_path / "b.mkv", identity_restorer, encoding=encoding)
    assert report.pixel_format == "gray"
    for before, after in zip(read_frames(source), read_frames(tmp_path / "b.mkv"), strict=True):
        np.testing.assert_array_equal(after.to_ndarray(), before.to_ndarray())


@pytest.mark.parametrize("colorspace", [1, 5])
@pytest.mark.parametrize("color_range", [1, 2])
def test_the_colour_coding_is_kept(tmp_path, identity_restorer, colorspace, color_range):
    source = write_video(tmp_path / "a.mp4", colorspace=colorspace, color_range=color_range)
    restore_video(source, tmp_path / "b.mp4", identity_restorer)
    for frame in read_frames(tmp_path / "b.mp4"):
        assert (frame.colorspace, frame.color_range) == (colorspace, color_range)
        assert (frame.color_primaries, frame.color_trc) == (1, 1)


def test_rgb_videos_are_encoded_with_the_colours_they_show(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0")
    report = restore_video(source, tmp_path / "b.mkv", identity_restorer)
    assert report.pixel_format == "yuv444p"
    for before, after in zip(read_frames(source), read_frames(tmp_path / "b.mkv"), strict=True):
        error = before.to_ndarray(format="rgb24").astype(float) - after.to_ndarray(format="rgb24")
        assert np.abs(error).mean() < 2


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_turned_videos_stay_turned_and_are_upright_for_the_work(
    tmp_path, random_restorer, monkeypatch, degrees
):
    shapes = []
    find = type(random_restorer).find

    def find_and_note(self, images):
        shapes.append(tuple(images.shape[2:]))
        return find(self, images)

    monkeypatch.setattr(type(random_restorer), "find", find_and_note)
    source, target = write_video(tmp_path / "a.mp4", degrees=degrees), tmp_path / "b.mp4"
    restore_video(source, target, random_restorer)
    assert set(shapes) == {(HEIGHT, WIDTH) if degrees == 180 else (WIDTH, HEIGHT)}
    x, y, size = (int(v) for v in FACE)
    for before, after in zip(read_frames(source), read_frames(target), strict=True):
        assert after.rotation == before.rotation != 0
        changed = np.abs(before.to_ndarray().astype(int) - after.to_ndarray())[:HEIGHT] > 20
        shown = np.rot90(changed, round(after.rotation / 90))
        assert shown[y + 20 : y + 40, x + 20 : x + 40].mean() > 0.5
        shown[y - 6 : y + size + 6, x - 6 : x + size + 6] = False
        assert shown.mean() < 0.01


def test_subtitles_are_copied(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", has_subtitles=True)
    restore_video(source, tmp_path / "b.mkv", identity_restorer)
    subtitles = read_packets(tmp_path / "b.mkv", "subtitle")
    assert subtitles == read_packets(source, "subtitle") == [(Fraction(20, 1000), b"Hello")]


def test_a_cover_picture_is_copied_and_not_taken_for_the_video(tmp_path, identity_restorer):
    plain, source, target = (tmp_path / name for name in ("plain.mp4", "a.mp4", "b.mp4"))
    write_video(plain, has_sound=False)
    cover = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    cover.save(tmp_path / "cover.jpg")
    with av.open(str(source), "w") as output, av.open(str(plain)) as container:
        picture = output.add_stream("mjpeg", rate=1, width=8, height=8, pix_fmt="yuvj420p")
        picture.disposition = av.stream.Disposition.attached_pic
        copy = output.add_stream_from_template(container.streams.video[0])
        frame = av.VideoFrame.from_image(cover).reformat(format="yuvj420p")
        output.mux([*picture.encode(frame), *picture.encode(None)])
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    assert restore_video(source, target, identity_restorer).n_frames == 6
    with av.open(str(source)) as before, av.open(str(target)) as after:
        for a, b in zip(before.streams, after.streams, strict=True):
            assert (a.disposition, a.codec_context.name) == (b.disposition, b.codec_context.name)
        first, second = (
            [bytes(p) for p in c.demux() if p.size and p.stream.codec_context.name == "mjpeg"]
            for c in (before, after)
        )
    assert first == second
    assert len(first) == 1


def test_frames_outside_an_edit_are_left_out_as_players_do(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mp4", times=tuple(range(-14400, 21600, 3600)))
    shown = read_frames(source)
    assert len(shown) == 6  # of ten that are stored
    restore_video(source, tmp_path / "b.mp4", identity_restorer)
    after = read_frames(tmp_path / "b.mp4")
    assert [f.time for f in after] == [f.time for f in shown]


def test_an_enlarged_video_keeps_frames_and_times(tmp_path, identity_restorer):
    source, target = write_video(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    enlarging = replace(identity_restorer, canvas=CanvasSettings("scale", 1.53))
    report = restore_video(source, target, enlarging)
    assert report.size == (110, 148)  # 110.2 x 146.9, up to even numbers
    after = read_frames(target)
    assert [frame.pts * frame.time_base for frame in after] == [t * TIME_BASE for t in TIMES]
    small = [f.reformat(width=WIDTH, height=HEIGHT, format="yuv420p") for f in after]
    assert min(itertools.starmap(frame_psnr, zip(read_frames(source), small, strict=True))) > 33


def test_the_mpeg4_encoder_and_quality_are_taken(tmp_path, identity_restorer):
    times = tuple(range(0, 60000, 10000))
    source = write_video(tmp_path / "a.mkv", times=times)
    sizes = []
    for crf in (2, 20):
        encoding = VideoEncoding(VideoCodec.MPEG4, crf)
        assert restore_video(source, tmp_path / "b.mkv", identity_restorer, encoding=encoding)
        sizes.append((tmp_path / "b.mkv").stat().st_size)
        assert len(read_frames(tmp_path / "b.mkv")) == 6
    assert sizes[0] > 1.2 * sizes[1]
    for codec, crf in ((VideoCodec.MPEG4, 32), (VideoCodec.H264, -1), (VideoCodec.H264, 52)):
        with pytest.raises(MediaError, match="crf: expected"):
            VideoEncoding(codec, crf)


@pytest.mark.parametrize("damage", ["flipped", "cut", "text"])
def test_a_damaged_video_is_refused_and_leaves_nothing(tmp_path, identity_restorer, damage):
    source, target = (
        write_video(tmp_path / "a.mp4", times=tuple(range(0, 108000, 3600))),
        tmp_path / "b.mp4",
    )
    data = bytearray(source.read_bytes())
    start = data.index(b"mdat") + 4
    if damage == "flipped":
        data[start + 3000 : start + 6000] = bytes(
            b ^ 0x55 for b in data[start + 3000 : start + 6000]
        )
    elif damage == "cut":
        moov = data.index(b"moov") - 4
        # The index before the data, as streamed files have it, and then the end missing.
        assert moov > start
        with (
            av.open(str(source)) as a,
            av.open(str(tmp_path / "c.mp4"), "w", options={"movflags": "faststart"}) as b,
        ):
            copy = b.add_stream_from_template(a.streams.video[0])
            for packet in a.demux(a.streams.video[0]):
                if packet.size:
                    packet.stream = copy
                    b.mux(packet)
        data = (tmp_path / "c.mp4").read_bytes()[:-4000]
    else:
        data = b"This is no video. " * 100
    source.write_bytes(data)
    with pytest.raises(MediaError, match=r"a\.mp4: expected a (whole video|video file)"):
        restore_video(source, target, identity_restorer)
    assert not target.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_video_cut_between_two_frames_is_refused(tmp_path, identity_restorer):
    """Nothing in it is damaged; only what was announced is missing."""
    whole, source = tmp_path / "whole.mp4", tmp_path / "a.mp4"
    with (
        av.open(str(write_video(tmp_path / "a.mkv", has_sound=False))) as a,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as b,
    ):
        copy = b.add_stream_from_template(a.streams.video[0])
        for packet in a.demux(a.streams.video[0]):
            if packet.size:
                packet.stream = copy
                b.mux(packet)
    with av.open(str(whole)) as container:
        starts = sorted(packet.pos for packet in container.demux() if packet.size)
    source.write_bytes(whole.read_bytes()[: starts[-1]])
    with pytest.raises(MediaError, match=r"6 frames announced, 5 there"):
        restore_video(source, tmp_path / "b.mp4", identity_restorer)


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "ffv1"), (".webm", "libvpx-vp9")])
def test_a_matroska_file_that_ends_early_is_refused(tmp_path, identity_restorer, suffix, codec):
    source = write_video(tmp_path / f"a{suffix}", codec=codec, has_sound=False)
    data = source.read_bytes()
    with av.open(str(source)) as container:
        starts = sorted(packet.pos for packet in container.demux() if packet.size)
    for end in (*starts[1:], starts[-1] + 10):
        source.write_bytes(data[:end])
        with pytest.raises(MediaError, match="expected a whole video"):
            restore_video(source, tmp_path / "b.mkv", identity_restorer)


def test_a_last_frame_that_is_shown_for_long_is_no_damage(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", times=(0, 3600, 7200), has_sound=False)
    slow = tmp_path / "slow.mkv"
    with av.open(str(source)) as a, av.open(str(slow), "w") as b:
        copy = b.add_stream_from_template(a.streams.video[0])
        for packet in a.demux(a.streams.video[0]):
            if packet.size:
                packet.stream = copy
                packet.duration = 3000 if packet.pts == 80 else packet.duration
                b.mux(packet)
    with av.open(str(slow)) as container:
        assert container.streams.video[0].metadata["DURATION"].startswith("00:00:03.08")
    assert restore_video(slow, tmp_path / "b.mkv", identity_restorer).n_frames == 3


def test_damage_that_decoders_conceal_is_refused(tmp_path, identity_restorer):
    """What H.265's decoder does with it by default is to leave frames out."""
    source = write_video(
        tmp_path / "a.mkv", codec="libx265", times=tuple(range(0, 108000, 3600)), has_sound=False
    )
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        starts = sorted(packet.pos for packet in container.demux() if packet.size)
    for start in starts[5], starts[9]:
        data[start + 14] ^= 0xFF  # early in the slice, behind the headers
    source.write_bytes(data)
    assert len(read_frames(source)) < 30
    with pytest.raises(MediaError, match="expected a whole video"):
        restore_video(source, tmp_path / "b.mkv", identity_restorer)


def test_the_grain_does_not_depend_on_the_parts_a_video_is_worked_on_in(
    tmp_path, random_restorer, monkeypatch
):
    restorer = replace(random_restorer, blending=BlendSettings(grain=1.0))
    times = tuple(range(0, 21600, 3600))
    source = tmp_path / "a.mkv"
    noisy = np.random.default_rng(0)
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for i, _ in enumerate(times):
            samples = noisy.normal(frame_samples(i), 12).clip(0, 255).astype(np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(samples, "rgb24")))
        output.mux(stream.encode(None))
    encoding = VideoEncoding(VideoCodec.FFV1)
    results = []
    for n_frames in (2, 6):
        monkeypatch.setattr(videos_module, "_CHUNK_FRAMES", n_frames)
        restore_video(source, tmp_path / "b.mkv", restorer, encoding=encoding)
        results.append([frame.to_ndarray() for frame in read_frames(tmp_path / "b.mkv")])
    for parts, whole in zip(*results, strict=True):
        np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("n_done", [0, 4, 6, 10])  # of six frames, each found and restored
def test_an_interruption_leaves_what_was_there(tmp_path, identity_restorer, n_done):
    source, target = write_video(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    target.write_bytes(b"an older result")

    counts = [0]

    def interrupt():
        if counts[-1] == n_done:
            raise KeyboardInterrupt

    monitor = Monitor(lambda done, _: counts.append(done), check_interrupt=interrupt)
    with pytest.raises(KeyboardInterrupt):
        restore_video(source, target, replace(identity_restorer, monitor=monitor))
    assert target.read_bytes() == b"an older result"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_progress_counts_every_frame_twice(tmp_path, identity_restorer):
    calls = []
    source = write_video(tmp_path / "a.mp4")
    monitor = Monitor(lambda done, total: calls.append((done, total)))
    restore_video(source, tmp_path / "b.mp4", replace(identity_restorer, monitor=monitor))
    assert calls == [(4, 12), (6, 12), (10, 12), (12, 12)]


def test_a_container_that_cannot_hold_the_codec_is_named(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", has_sound=False)
    encoding = VideoEncoding(VideoCodec.H264)
    with pytest.raises(MediaError, match="webm: expected a container for libx264"):
        restore_video(source, tmp_path / "b.webm", identity_restorer, encoding=encoding)
    restore_video(source, tmp_path / "b.webm", identity_restorer)  # chooses one that fits
    assert len(read_frames(tmp_path / "b.webm")) == 6


def test_a_video_with_alpha_is_refused(tmp_path, identity_restorer):
    source = write_video(tmp_path / "a.mkv", codec="ffv1", pixel_format="yuva420p")
    with pytest.raises(MediaError, match="without alpha"):
        restore_video(source, tmp_path / "b.mkv", identity_restorer)


def test_an_old_pyav_is_named_with_the_remedy(tmp_path, identity_restorer, monkeypatch):
    source = write_video(tmp_path / "a.mkv")
    monkeypatch.setattr(av, "__version__", "17.1.0")
    with pytest.raises(MediaError, match=r"PyAV 18 or newer.*got 17\.1\.0.*--upgrade av"):
        restore_video(source, tmp_path / "b.mkv", identity_restorer)


def test_a_sound_file_is_no_video(tmp_path, identity_restorer):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        frame.rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match="expected a video stream, got none"):
        restore_video(tmp_path / "a.mp4", tmp_path / "b.mp4", identity_restorer)
