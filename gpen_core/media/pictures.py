"""Read and write picture files so that what is not restored stays as it was.

Samples keep their 8 or 16 bits, alpha is kept, and metadata goes along byte for byte. Pixels are
turned upright for the work and turned back for the file, so its orientation tag stays true.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from ..errors import MediaError
from ..files import complete_file
from ..images.samples import Samples, to_pixels, to_samples
from .picture_metadata import copy_jpeg_segments, copy_png_chunks
from .tiff import encode_tiff

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp")

_FORMATS = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "MPO": "JPEG",
    "WEBP": "WEBP",
    "TIFF": "TIFF",
    "BMP": "BMP",
}
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B")
_ORIENTATION_TAG = 274
# What brings the pixels upright: quarter turns anticlockwise, after mirroring left and right.
_UPRIGHT = {
    1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True),
    5: (1, True), 6: (3, False), 7: (3, True), 8: (1, False),
}  # fmt: skip
_WEBP_QUALITY = 95  # of lossy files, which do not say what theirs was
_BMP_DENSITY = slice(38, 46)  # pixels per metre, in the header


@dataclass(frozen=True)
class Picture:
    """A picture from a file, and what is needed to write it back in the same way."""

    pixels: Tensor
    """(1, 3 or 4, H, W) float32 RGB or RGBA in [0, 1], upright. Grey is in all three channels."""
    format: str
    """PNG, JPEG, WEBP, TIFF or BMP."""
    bits: int
    """8 or 16 for each sample."""
    is_grey: bool
    orientation: int
    """The EXIF tag, 1 to 8."""
    source: bytes
    """The file as it was read."""


def read_picture(path: str | Path) -> Picture:
    """Read a picture file.

    Args:
        path: PNG, JPEG, WebP, TIFF or BMP; grey, palette or RGB, with or without alpha.

    Raises:
        MediaError: It is damaged, or of a kind that cannot be written back without loss: CMYK,
            animated, of several pages, with samples of neither 8 nor 16 bits or extra channels.
        OSError: It cannot be read.
    """
    path = Path(path)
    source = path.read_bytes()
    try:
        with Image.open(io.BytesIO(source)) as image:
            _check_kind(path, image)
            bits = _bits(path, image, source)
            tag = image.getexif().get(_ORIENTATION_TAG, 1)
            orientation = tag if tag in _UPRIGHT else 1
            # Also for the files that OpenCV decodes, which would return a part of a damaged one.
            image.load()
            samples = _decode_16_bits(path, source) if bits == 16 else _decode_8_bits(image)
            is_upright = image.format == "TIFF" and bits == 8  # Pillow has turned it
            return Picture(
                pixels=_upright_pixels(samples, 1 if is_upright else orientation),
                format=_FORMATS[str(image.format)],
                bits=bits,
                is_grey=samples.shape[2] < 3,
                orientation=orientation,
                source=source,
            )
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, MediaError):
            raise
        if isinstance(error, UnidentifiedImageError):  # its words name an object in memory
            error = ValueError("of no format that is known")
        raise MediaError(
            f"{path.name}: expected a whole picture file, got one that cannot be decoded "
            f"({error}). Open it in an image editor and save it again."
        ) from error


def write_picture(path: str | Path, picture: Picture, pixels: Tensor) -> None:
    """Write pixels as the picture was stored; the file appears once it is complete.

    Args:
        path: Where to. The format is that of ``picture``, whatever the suffix.
        picture: From ``read_picture``. JPEG is written with its quantization tables and chroma
            subsampling, WebP lossless if it was and otherwise at quality 95; samples have its bits.
        pixels: (1, 3 or 4, H, W) floating RGB or RGBA in [0, 1], upright, of any size.

    Raises:
        OSError: The file cannot be written.
    """
    data = _ENCODERS[picture.format](_stored_samples(pixels, picture), picture.source)
    with complete_file(Path(path)) as partial:
        partial.write_bytes(data)


def _check_kind(path: Path, image: ImageFile.ImageFile) -> None:
    if image.format not in _FORMATS:
        raise MediaError(
            f"{path.name}: expected PNG, JPEG, WebP, TIFF or BMP, got {image.format}. "
            "Convert it to one of these."
        )
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":  # whose others are previews
        remedy = "Save its pages one by one" if image.format == "TIFF" else "Convert it to a video"
        raise MediaError(f"{path.name}: expected one picture, got {n_frames} frames. {remedy}.")
    n_stored = (
        len(image.tag_v2.get(258, (0,))) if isinstance(image, TiffImagePlugin.TiffImageFile) else 0
    )
    if image.mode not in _MODES or n_stored > max(1, len(image.getbands())):
        what = image.mode if image.mode not in _MODES else f"{n_stored} channels"
        raise MediaError(
            f"{path.name}: expected grey or RGB samples of 8 or 16 bits, with or without alpha, "
            f"got {what}. Convert it to RGB in an image editor."
        )


def _bits(path: Path, image: ImageFile.ImageFile, source: bytes) -> int:
    bits = 8
    if image.format == "PNG":
        bits = source[24]  # of the header
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        bits = tags.get(258, (1,))[0]
        # OpenCV gives the samples of 16 bits as they are stored, whatever they mean.
        means_plain = tags.get(262) in (1, 2) and tags.get(338, (2,))[0] != 1
        if bits > 8 and (bits != 16 or set(tags.get(339, (1,))) != {1} or not means_plain):
            raise MediaError(
                f"{path.name}: expected unsigned samples of 8 or 16 bits and straight alpha, got "
                "others. Convert it to 16 bits in an image editor."
            )
    return 16 if bits == 16 else 8


def _decode_8_bits(image: Image.Image) -> Samples:
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        mode += "A"
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    return samples[:, :, None] if samples.ndim == 2 else samples


def _decode_16_bits(path: Path, source: bytes) -> Samples:
    samples = cv2.imdecode(np.frombuffer(source, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise MediaError(
            f"{path.name}: expected samples of 16 bits that can be decoded, got others. "
            "Save it again in an image editor, or with 8 bits."
        )
    if samples.ndim == 2:
        return samples[:, :, None]
    return np.concatenate([samples[:, :, 2::-1], samples[:, :, 3:]], axis=2)  # from BGR


def _upright_pixels(samples: Samples, orientation: int) -> Tensor:
    stored = to_pixels(samples)
    quarters, is_mirrored = _UPRIGHT[orientation]
    mirrored = stored.flip(-1) if is_mirrored else stored
    return torch.rot90(mirrored, quarters, (-2, -1)).contiguous()


def _stored_samples(pixels: Tensor, picture: Picture) -> Samples:
    quarters, is_mirrored = _UPRIGHT[picture.orientation]
    stored = torch.rot90(pixels, -quarters, (-2, -1))
    stored = stored.flip(-1) if is_mirrored else stored
    dtype = np.uint16 if picture.bits == 16 else np.uint8
    return to_samples(stored, dtype, is_grey=picture.is_grey)


def _encode_png(samples: Samples, source: bytes) -> bytes:
    if samples.dtype == np.uint8:
        return copy_png_chunks(source, _encode_with_pillow(samples, "PNG"))
    return copy_png_chunks(source, _encode_with_opencv(samples, ".png"))


def _encode_jpeg(samples: Samples, source: bytes) -> bytes:
    with Image.open(io.BytesIO(source)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        subsampling = JpegImagePlugin.get_sampling(image)
        encoded = _encode_with_pillow(
            samples,
            "JPEG",
            qtables=image.quantization,
            subsampling=subsampling if subsampling >= 0 else 0,
            progressive="progressive" in image.info,
            optimize=True,
        )
    return copy_jpeg_segments(source, encoded)


def _encode_webp(samples: Samples, source: bytes) -> bytes:
    with Image.open(io.BytesIO(source)) as image:
        kept = {key: image.info[key] for key in ("exif", "icc_profile", "xmp") if key in image.info}
    is_lossless = b"VP8L" in (source[12:16], *_riff_names(source))
    colors = samples if samples.shape[2] >= 3 else np.repeat(samples[:, :, :1], 3, axis=2)
    return _encode_with_pillow(
        colors, "WEBP", lossless=is_lossless, exact=True, quality=_WEBP_QUALITY, **kept
    )


def _riff_names(source: bytes) -> list[bytes]:
    names, start = [], 12
    while start + 8 <= len(source):
        names.append(source[start : start + 4])
        length = int.from_bytes(source[start + 4 : start + 8], "little")
        start += 8 + length + length % 2
    return names


def _encode_tiff(samples: Samples, source: bytes) -> bytes:
    with Image.open(io.BytesIO(source)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        return encode_tiff(samples, image)


def _encode_bmp(samples: Samples, source: bytes) -> bytes:
    encoded = bytearray(_encode_with_opencv(samples, ".bmp"))
    if int.from_bytes(source[14:18], "little") >= 40:  # older headers have no density
        encoded[_BMP_DENSITY] = source[_BMP_DENSITY]
    return bytes(encoded)


def _encode_with_pillow(samples: Samples, format_name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    plane = samples[:, :, 0] if samples.shape[2] == 1 else samples
    Image.fromarray(plane).save(file, format_name, **options)
    return file.getvalue()


def _encode_with_opencv(samples: Samples, suffix: str) -> bytes:
    if samples.shape[2] >= 3:
        samples = np.concatenate([samples[:, :, 2::-1], samples[:, :, 3:]], axis=2)
    _, encoded = cv2.imencode(suffix, samples)
    return bytes(encoded.tobytes())


_ENCODERS: dict[str, Callable[[Samples, bytes], bytes]] = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "WEBP": _encode_webp,
    "TIFF": _encode_tiff,
    "BMP": _encode_bmp,
}
