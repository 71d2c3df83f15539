"""The source is never written over, by whatever path it is named."""

import pytest
import skimage.data
from PIL import Image

import gpen_core

KINDS = ["restore_picture", "degrade_picture", "restore_video"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_never_overwritten(tmp_path, identity_restorer, kind):
    source = tmp_path / ("a.mp4" if kind == "restore_video" else "a.png")
    Image.fromarray(skimage.data.astronaut()[:64, :64]).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(source)
    before = source.read_bytes()
    same = tmp_path / "folder" / ".." / source.name
    (tmp_path / "folder").mkdir()
    what = gpen_core.DEGRADE_PRESETS["webcam"] if kind == "degrade_picture" else identity_restorer
    seed = {"seed": 0} if kind == "degrade_picture" else {}
    with pytest.raises(gpen_core.MediaError, match="expected another file than the source"):
        getattr(gpen_core, kind)(source, same, what, **seed)
    assert source.read_bytes() == before
