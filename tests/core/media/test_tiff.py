"""TIFF files of our own, read by others."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from gpen_core.media.tiff import encode_tiff


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_samples_come_back_and_tags_are_kept(tmp_path, compression, n_channels, dtype):
    path = tmp_path / "source.tif"
    tifffile.imwrite(path, np.zeros((3, 4), dtype), compression=compression, description="by hand")
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 7, n_channels), dtype)
    with Image.open(path) as source:
        data = encode_tiff(samples, source)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (page,) = file.pages
        np.testing.assert_array_equal(page.asarray().reshape(samples.shape), samples)
        assert page.tags["ImageDescription"].value == "by hand"
        assert (page.compression != 1) == (compression is not None)
        assert [int(kind) for kind in page.extrasamples] == [2] * (n_channels in (2, 4))
