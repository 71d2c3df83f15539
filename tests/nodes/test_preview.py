import dataclasses
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from support.faces import faces_at
from support.stand_in_gpu import stand_in_gpu


@pytest.fixture
def preview(pack, tmp_path, monkeypatch):
    """The module that writes the pictures, into a temporary folder of this test alone."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))
    return sys.modules["gpen_pack.nodes.preview"]


@pytest.fixture
def progress(pack):
    return sys.modules["gpen_pack.nodes.progress"]


def pixels(folder, picture: dict) -> np.ndarray:
    with Image.open(folder / picture["filename"]) as image:
        return np.asarray(image)


def pack_faces(faces):
    """The pack has a copy of gpen_core of its own."""
    return sys.modules["gpen_pack.gpen_core"].Faces(
        faces.image_index, faces.boxes, faces.landmarks, faces.scores
    )


def no_faces():
    return sys.modules["gpen_pack.gpen_core"].Faces.empty()


def test_before_and_after_are_written_without_alpha_and_without_loss(preview, tmp_path):
    levels = torch.randint(0, 256, (2, 2, 4, 9, 7))
    before, after = (levels / 255).float()
    ui = preview.before_after_ui(before, after, pack_faces(faces_at((1, 1.0, 2.0, 4.0))), "done")
    assert ui["text"] == ("done",)
    (shown,) = ui["gpen_compare"]
    assert [len(frame["faces"]) for frame in shown["frames"]] == [0, 1]
    for index, frame in enumerate(shown["frames"]):
        for name, expected in zip(("before", "after"), levels, strict=True):
            actual = pixels(tmp_path, frame[name])
            np.testing.assert_array_equal(actual, expected[index, :3].permute(1, 2, 0))


def test_equal_batches_are_written_once(preview, tmp_path):
    images = torch.rand(2, 3, 8, 8)
    preview.before_after_ui(images, images, no_faces(), "")
    assert len(list(tmp_path.iterdir())) == 2


def test_pictures_beyond_the_limit_are_shrunk_and_say_their_true_size(
    preview, tmp_path, monkeypatch
):
    monkeypatch.setattr(preview, "_MAX_PIXELS", 2000)
    images = torch.zeros(2, 3, 40, 60)
    images[..., 30:] = 1
    ui = preview.before_after_ui(images, images.clone(), no_faces(), "")
    frames = ui["gpen_compare"][0]["frames"]
    assert {(frame["height"], frame["width"]) for frame in frames} == {(40, 60)}
    sent = [pixels(tmp_path, frame[name]) for frame in frames for name in ("before", "after")]
    assert 1700 < sum(picture.shape[0] * picture.shape[1] for picture in sent) <= 2000
    height, width = sent[0].shape[:2]
    assert width / height == pytest.approx(1.5, abs=0.1)
    assert sent[0][:, : width // 2 - 1].max() == 0
    assert sent[0][:, width // 2 + 1 :].min() == 255


def test_faces_are_shown_on_the_pictures_that_came_with_them(preview, tmp_path):
    images = torch.rand(2, 3, 8, 8)
    hosted = preview.host_faces(images, pack_faces(faces_at((1, 1.0, 2.0, 4.0))))
    widgets = {"order": "left-right", "indices": "0", "min_size": 1, "min_score": 0.5}
    (run,) = preview.numbered_faces_ui(hosted, "Kept.", **widgets)["gpen_faces"]
    assert run | widgets | {"total": 2} == run
    assert [len(frame["faces"]) for frame in run["frames"]] == [0, 1]
    assert run["frames"][1]["faces"][0]["numbers"]["left-right"] == 0
    assert pixels(tmp_path, run["frames"][1]["picture"]).shape == (8, 8, 3)
    assert len(list(tmp_path.iterdir())) == 2  # shown twice, written once
    preview.numbered_faces_ui(dataclasses.replace(hosted, faces=no_faces()), "None.")
    assert len(list(tmp_path.iterdir())) == 2


def test_previews_that_are_off_cost_nothing(progress, monkeypatch):
    from comfy.cli_args import LatentPreviewMethod, args

    monkeypatch.setattr(args, "preview_method", LatentPreviewMethod.NoPreviews)
    assert progress.face_monitor(3).on_crop is progress.node_monitor(3).on_crop


def test_previews_are_shrunk_sent_with_the_bar_and_not_too_often(progress, monkeypatch):
    import comfy.utils
    from comfy.cli_args import LatentPreviewMethod, args

    sent = []
    monkeypatch.setattr(args, "preview_method", LatentPreviewMethod.Latent2RGB)
    monkeypatch.setattr(args, "preview_size", 32)
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda done, total, shown, **_: sent.append((done, shown))
    )
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = progress.face_monitor(3)
    for done in (1, 2, 3):
        bar.on_crop(torch.full((3, 64, 64), done / 10))
        bar.on_progress(done, 3)
        now[0] += 0.15
    (_, first), (_, second), (_, third) = sent
    assert second is None  # too soon after the first
    for shown, level in ((first, 26), (third, 76)):
        kind, image, size = shown
        assert (kind, size, image.size) == ("JPEG", 32, (32, 32))
        assert image.getextrema() == ((level, level),) * 3


def test_previews_of_any_size_are_shrunk_on_any_device(progress):
    with stand_in_gpu(is_apple=True):
        crop = torch.full((3, 80, 80), 0.5).to("cuda")
        assert progress._thumbnail(crop, 32).size == (26, 26)
        assert progress._thumbnail(crop, 512).size == (80, 80)
