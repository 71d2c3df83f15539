import io

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from gpen_core.errors import MediaError
from gpen_core.media import read_picture, restore_picture, write_picture
from support.media import FACE, HEIGHT, WIDTH, frame_samples, picture_samples, png_chunk, png_file

LOSSLESS = [
    (".png", np.uint8, 1), (".png", np.uint8, 2), (".png", np.uint8, 3), (".png", np.uint8, 4),
    (".png", np.uint16, 1), (".png", np.uint16, 2), (".png", np.uint16, 3), (".png", np.uint16, 4),
    (".tif", np.uint8, 1), (".tif", np.uint8, 3), (".tif", np.uint8, 4),
    (".tif", np.uint16, 1), (".tif", np.uint16, 3), (".tif", np.uint16, 4),
    (".bmp", np.uint8, 1), (".bmp", np.uint8, 3), (".bmp", np.uint8, 4),
    (".webp", np.uint8, 3), (".webp", np.uint8, 4),
]  # fmt: skip
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rating>5</rating></x:xmpmeta>'


def save_lossless(path, samples):
    """Written by others than the code under test."""
    if path.suffix == ".png":
        path.write_bytes(png_file(samples))
    elif path.suffix == ".webp":
        Image.fromarray(samples).save(path, lossless=True, exact=True)
    elif path.suffix == ".tif":
        alpha = {"extrasamples": "unassalpha"} if samples.shape[2] in (2, 4) else {}
        photometric = "rgb" if samples.shape[2] >= 3 else "minisblack"
        tifffile.imwrite(path, samples, photometric=photometric, **alpha)
    else:
        bgr = samples if samples.shape[2] < 3 else samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]
        assert cv2.imwrite(str(path), bgr)


def load_lossless(path):
    """The samples as OpenCV reads them, in RGB order; grey with alpha comes as RGBA."""
    if path.suffix == ".tif":
        samples = tifffile.imread(path)
        return samples if samples.ndim == 3 else samples[:, :, None]
    samples = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if samples.ndim == 2:
        return samples[:, :, None]
    return samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]


@pytest.mark.parametrize(("suffix", "dtype", "n_channels"), LOSSLESS)
def test_lossless_pictures_come_back_bit_identical_from_an_identity_network(
    tmp_path, identity_restorer, suffix, dtype, n_channels
):
    source, target = tmp_path / f"a{suffix}", tmp_path / "out" / f"a{suffix}"
    samples = picture_samples(dtype, n_channels)
    save_lossless(source, samples)
    report = restore_picture(source, target, identity_restorer)
    assert report.n_faces == 1
    assert report.size == (HEIGHT, WIDTH)
    restored = load_lossless(target)
    assert restored.dtype == dtype
    expected = samples if n_channels != 2 else samples[:, :, [0, 0, 0, 1]]
    np.testing.assert_array_equal(restored, expected)
    assert Image.open(target).mode == Image.open(source).mode


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from(LOSSLESS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_pictures_of_any_size_are_written_as_they_were_read(tmp_path, case, height, width, seed):
    suffix, dtype, n_channels = case
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, top, (height, width, n_channels), dtype, endpoint=True)
    source, target = tmp_path / f"b{suffix}", tmp_path / f"c{suffix}"
    save_lossless(source, samples)
    picture = read_picture(source)
    assert picture.pixels.shape == (1, 4 if n_channels in (2, 4) else 3, height, width)
    write_picture(target, picture, picture.pixels)
    np.testing.assert_array_equal(load_lossless(target), load_lossless(source))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_the_face_changes_and_alpha_never_does(tmp_path, random_restorer, dtype):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    samples = picture_samples(dtype, 4)
    source.write_bytes(png_file(samples))
    restore_picture(source, target, random_restorer)
    restored = load_lossless(target)
    np.testing.assert_array_equal(restored[:, :, 3], samples[:, :, 3])
    x, y, size = map(int, FACE)
    changed = (restored != samples).any(axis=2)
    assert changed[y + 20 : y + 40, x + 20 : x + 40].mean() > 0.99
    changed[y : y + size, x : x + size] = False
    assert not changed.any()


def test_samples_are_rounded_to_the_nearest(tmp_path):
    source = tmp_path / "a.png"
    source.write_bytes(png_file(picture_samples(np.uint8, 3)))
    picture = read_picture(source)
    for value, expected in ((100.49, 100), (100.51, 101), (-3.0, 0), (300.0, 255)):
        write_picture(tmp_path / "b.png", picture, torch.full_like(picture.pixels, value / 255))
        assert (load_lossless(tmp_path / "b.png") == expected).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_turned_pictures_are_upright_for_the_work_and_stored_as_before(
    tmp_path, orientation, suffix
):
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(picture_samples(np.uint8, 3)).save(source, exif=exif)
    picture = read_picture(source)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(source)))
    shown = (picture.pixels[0].permute(1, 2, 0) * 255).round().byte().numpy()
    np.testing.assert_array_equal(shown, upright)
    write_picture(target, picture, picture.pixels)
    assert Image.open(target).getexif()[274] == orientation
    assert Image.open(target).size == Image.open(source).size
    if suffix != ".jpg":
        np.testing.assert_array_equal(load_lossless(target), load_lossless(source))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_its_metadata_byte_for_byte(tmp_path, identity_restorer, dtype):
    exif = Image.Exif()
    exif[271] = "Camera"
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", '{"3": "workflow"}')
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    carrier = tmp_path / "carrier.png"
    Image.new("RGB", (1, 1)).save(
        carrier, exif=exif, icc_profile=SRGB, dpi=(300, 300), pnginfo=info
    )
    data = carrier.read_bytes()
    chunks = [
        png_chunk(b"vpAg", b"private, safe to copy"),
        png_chunk(b"vpAG", b"private, of these pixels only"),
        png_chunk(b"caBX", b"a signature of these pixels"),
        *(
            data[i - 4 : i + 8 + int.from_bytes(data[i - 4 : i], "big")]
            for i in _chunk_starts(data)
        ),
    ]
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(png_file(picture_samples(dtype, 3), *chunks))
    restore_picture(source, target, identity_restorer)
    before, after = Image.open(source), Image.open(target)
    before.load()
    after.load()
    assert after.info == before.info
    assert after.text["prompt"] == '{"3": "workflow"}'
    assert after.info["icc_profile"] == SRGB
    assert after.getexif()[271] == "Camera"
    assert after.info["dpi"][0] == pytest.approx(300, abs=0.01)
    written = target.read_bytes()
    assert all(chunk in written for chunk in (chunks[0], *chunks[3:]))
    assert chunks[1] not in written
    assert chunks[2] not in written


def _chunk_starts(data):
    return [
        data.index(name) for name in (b"iCCP", b"pHYs", b"eXIf", b"tEXt", b"iTXt") if name in data
    ]


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_written_with_its_own_tables_and_metadata(
    tmp_path, identity_restorer, subsampling, progressive
):
    exif = Image.Exif()
    exif[271], exif[274] = "Camera", 1
    exif.get_ifd(34665)[37386] = 50.0
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    picture = Image.fromarray(frame_samples(0))
    picture.save(
        source, quality=83, subsampling=subsampling, progressive=progressive, exif=exif,
        icc_profile=SRGB, xmp=XMP, comment=b"a comment", dpi=(240, 240),
    )  # fmt: skip
    restore_picture(source, target, identity_restorer)
    before, after = Image.open(source), Image.open(target)
    assert after.quantization == before.quantization
    assert after.layer == before.layer  # with the sampling factors
    assert ("progressive" in after.info) == progressive
    for key in ("exif", "icc_profile", "xmp", "comment", "dpi"):
        assert after.info[key] == before.info[key]
    error = np.asarray(after).astype(float) - np.asarray(before)
    assert np.square(error).mean() < 255**2 / 10**3.8  # 38 dB


def test_grey_jpeg_stays_grey(tmp_path, random_restorer):
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(picture_samples(np.uint8, 1)[:, :, 0]).save(source)
    restore_picture(source, target, random_restorer)
    assert Image.open(target).mode == "L"


def test_webp_keeps_metadata_and_whether_it_is_lossless(tmp_path, identity_restorer):
    exif = Image.Exif()
    exif[271] = "Camera"
    picture = Image.fromarray(picture_samples(np.uint8, 4))
    for lossless, codec in ((True, b"VP8L"), (False, b"VP8 ")):
        source, target = tmp_path / "a.webp", tmp_path / "b.webp"
        picture.save(source, lossless=lossless, exif=exif, icc_profile=SRGB, xmp=XMP)
        restore_picture(source, target, identity_restorer)
        before, after = Image.open(source), Image.open(target)
        assert codec in target.read_bytes()
        for key in ("exif", "icc_profile", "xmp"):
            assert after.info[key] == before.info[key]
        np.testing.assert_array_equal(np.asarray(after)[..., 3], np.asarray(before)[..., 3])


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_keeps_its_tags(tmp_path, identity_restorer, compression, dtype):
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    tags = [(700, "B", len(XMP), XMP, True), (315, "s", 0, "Artist", True)]
    tifffile.imwrite(
        source, picture_samples(dtype, 3), photometric="rgb", compression=compression,
        iccprofile=SRGB, resolution=(300, 300), resolutionunit=2, description="Words",
        software="Camera", extratags=tags, byteorder=">",
    )  # fmt: skip
    restore_picture(source, target, identity_restorer)
    before, after = tifffile.TiffFile(source).pages[0], tifffile.TiffFile(target).pages[0]
    for tag in (270, 282, 283, 296, 305, 315, 700, 34675):
        assert after.tags[tag].value == before.tags[tag].value, tag
    assert (after.compression == 1) == (compression is None)
    np.testing.assert_array_equal(after.asarray(), before.asarray())


def test_tiff_keeps_its_exif_directory(tmp_path, identity_restorer):
    made, exif = Image.Exif(), Image.Exif()
    made.get_ifd(34665).update({37386: 50.0, 36867: "2020:01:02 03:04:05"})
    exif.load(made.tobytes())  # Pillow writes into TIFF what it has read only
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    Image.fromarray(picture_samples(np.uint8, 3)).save(source, exif=exif)
    restore_picture(source, target, identity_restorer)
    kept = Image.open(target).getexif().get_ifd(34665)
    assert kept == {37386: 50.0, 36867: "2020:01:02 03:04:05"}


def test_bmp_keeps_its_density(tmp_path, identity_restorer):
    source, target = tmp_path / "a.bmp", tmp_path / "b.bmp"
    Image.fromarray(picture_samples(np.uint8, 3)).save(source, dpi=(150, 150))
    restore_picture(source, target, identity_restorer)
    assert Image.open(target).info["dpi"] == Image.open(source).info["dpi"]


@pytest.mark.parametrize("transparency", [None, 7])
def test_palette_pictures_become_the_colours_they_show(tmp_path, identity_restorer, transparency):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    palette = Image.fromarray(picture_samples(np.uint8, 3)).quantize(32)
    options = {} if transparency is None else {"transparency": transparency}
    palette.save(source, **options)
    restore_picture(source, target, identity_restorer)
    mode = "RGB" if transparency is None else "RGBA"
    assert Image.open(target).mode == mode
    shown = np.asarray(Image.open(source).convert(mode))
    np.testing.assert_array_equal(np.asarray(Image.open(target)), shown)


def test_pictures_of_one_bit_become_grey(tmp_path, identity_restorer):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(picture_samples(np.uint8, 1)[:, :, 0]).convert("1").save(source)
    restore_picture(source, target, identity_restorer)
    expected = np.asarray(Image.open(source).convert("L"))
    np.testing.assert_array_equal(np.asarray(Image.open(target)), expected)


def test_an_enlarged_picture_has_the_size_that_is_reported(tmp_path, identity_restorer):
    from dataclasses import replace

    from gpen_core.blending.canvas import CanvasSettings

    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(png_file(picture_samples(np.uint16, 3)))
    enlarging = replace(identity_restorer, canvas=CanvasSettings("scale", 2.5))
    report = restore_picture(source, target, enlarging)
    assert report.size == (180, 240)
    assert load_lossless(target).shape == (180, 240, 3)
    assert load_lossless(target).dtype == np.uint16


def _animation(path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _float_tiff(path):
    Image.fromarray(np.zeros((8, 8), np.float32)).save(path)


def _truncated(path):
    data = png_file(picture_samples(np.uint16, 3))
    path.write_bytes(data[: len(data) // 2])


def _truncated_jpeg(path):
    file = io.BytesIO()
    Image.fromarray(picture_samples(np.uint8, 3)).save(file, "JPEG")
    path.write_bytes(file.getvalue()[:2000])


@pytest.mark.parametrize(
    ("name", "write", "remedy"),
    [
        ("a.png", _animation, "Convert it to a video"),
        ("a.webp", _animation, "Convert it to a video"),
        ("a.tif", _animation, "Save its pages one by one"),
        ("a.jpg", lambda p: Image.new("CMYK", (8, 8)).save(p), "Convert it to RGB"),
        ("a.tif", lambda p: Image.new("LAB", (8, 8)).save(p), "Convert it to RGB"),
        ("a.tif", _float_tiff, "Convert it to"),
        ("a.png", _truncated, "save it again"),
        ("a.jpg", _truncated_jpeg, "save it again"),
        ("a.png", lambda p: p.write_bytes(b"no picture"), "save it again"),
        ("a.png", lambda p: p.write_bytes(b""), "save it again"),
        ("a.png", lambda p: Image.new("P", (8, 8)).save(p, "GIF"), "Convert it to one of these"),
    ],
)
def test_a_picture_that_cannot_be_kept_is_refused_with_a_remedy(tmp_path, name, write, remedy):
    path = tmp_path / name
    write(path)
    with pytest.raises(MediaError, match=remedy) as error:
        read_picture(path)
    assert name in str(error.value)


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path, identity_restorer):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(png_file(picture_samples(np.uint8, 3)))
    target.mkdir()
    with pytest.raises(OSError, match=r"b\.png"):
        restore_picture(source, target, identity_restorer)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]
