"""Write TIFF files of 8 and 16 bits with the tags of another: Pillow has no 16-bit RGB."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_UNCOMPRESSED, _DEFLATE = 1, 8
_HORIZONTAL_DIFFERENCES = 2
_UNASSOCIATED_ALPHA = 2
_GREY, _RGB = 1, 2

# How the old samples were stored, or where: rewritten, or without meaning in the new file.
_STRUCTURE = {
    254, 255,  # subfile type
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284,  # size, samples, strips
    317, 320, 322, 323, 324, 325,  # predictor, palette, tiles
    330, 338, 339,  # sub-files, extra samples, sample format
    340, 341, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532,  # JPEG and YCbCr
}  # fmt: skip
_SUB_DIRECTORIES = (34665, 34853)  # EXIF and GPS


def encode_tiff(samples: npt.NDArray[Any], source: TiffImagePlugin.TiffImageFile) -> bytes:
    """One page as a TIFF file.

    Args:
        samples: (H, W, C) uint8 or uint16; C is 1 for grey, 2 with alpha, 3 for RGB, 4 with alpha.
        source: Where the tags come from. Compressed losslessly if it is compressed.
    """
    height, width, n_channels = samples.shape
    has_alpha = n_channels in (2, 4)
    is_compressed = source.tag_v2.get(259, _UNCOMPRESSED) != _UNCOMPRESSED

    directory = ImageFileDirectory_v2()
    exif = source.getexif()
    for tag, value in source.tag_v2.items():
        if tag in _SUB_DIRECTORIES:
            directory[tag] = exif.get_ifd(tag)
        elif tag not in _STRUCTURE:
            directory.tagtype[tag] = source.tag_v2.tagtype[tag]
            directory[tag] = value

    data = _strip(samples, is_compressed)
    directory[256], directory[257] = width, height
    directory[258] = (samples.itemsize * 8,) * n_channels
    directory[259] = _DEFLATE if is_compressed else _UNCOMPRESSED
    directory[262] = _RGB if n_channels >= 3 else _GREY
    directory[277] = n_channels
    directory[278] = height
    directory[273], directory[279] = (0,), (len(data),)  # the offset counts from the directory
    if is_compressed:
        directory[317] = _HORIZONTAL_DIFFERENCES
    if has_alpha:
        directory[338] = _UNASSOCIATED_ALPHA
    file = io.BytesIO()
    directory.save(file)
    file.write(data)
    return file.getvalue()


def _strip(samples: npt.NDArray[Any], is_compressed: bool) -> bytes:
    little_endian = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    if not is_compressed:
        return little_endian.tobytes()
    # Differences wrap around, as the format wants it.
    first = np.zeros_like(little_endian[:, :1])
    return zlib.compress(np.diff(little_endian, axis=1, prepend=first).tobytes())
