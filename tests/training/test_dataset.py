"""Faces out of photos, and views of them."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import gpen_core
from gpen_core.geometry.alignment import Template, template_landmarks
from training.dataset import (
    MARGIN,
    OVERSAMPLING,
    align_photos,
    hold_out,
    list_photos,
    load_faces,
    random_views,
    read_photo,
)


@pytest.fixture
def photos(tmp_path):
    """A folder with a face, a picture without one, a damaged picture and a text."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()).save(folder / "below" / "face.png")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "black.png")
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_photos_are_listed_in_an_order_that_names_do_not_change(photos):
    before = [file.read_bytes() for file in list_photos(photos)]
    (photos / "black.png").rename(photos / "zzz.PNG")

    assert [file.read_bytes() for file in list_photos(photos)] == before
    assert len(before) == 3


def test_held_out_photos_are_not_trained_on(photos):
    listed = list_photos(photos)
    training, held = hold_out(listed, 1)

    assert held == listed[:1]
    assert training == listed[1:]
    assert hold_out(listed, 9) == ([], listed)


def test_a_stored_face_has_its_landmarks_where_the_template_has_them(photos, detector, tmp_path):
    faces = load_faces(list_photos(photos), detector, 256, tmp_path / "cache", lambda _: None)

    found = gpen_core.detect_faces(faces / 255, detector)

    wanted = (template_landmarks(Template.FFHQ, 256) + 256 * MARGIN) * OVERSAMPLING
    # Of 126 pixels between the eyes: nobody has quite the face of the template.
    assert (found.landmarks[0] - wanted).norm(dim=1).mean() < 15


def test_without_its_margin_a_stored_face_is_what_the_network_gets(
    photos, detector, astronaut, tmp_path
):
    (stored,) = load_faces(list_photos(photos), detector, 128, tmp_path / "cache", lambda _: None)
    border = round(256 * MARGIN)

    (wanted,) = align_photos([astronaut, astronaut * 0], detector, 256)

    inner = stored[:, border : border + 256, border : border + 256] / 255
    assert (inner - wanted).abs().max() <= 0.51 / 255  # half a step, and rounding of places


def test_photos_are_read_in_colour_without_alpha(tmp_path):
    Image.new("LA", (20, 30), (128, 7)).save(tmp_path / "grey.png")

    assert torch.equal(read_photo(tmp_path / "grey.png"), torch.full((1, 3, 30, 20), 128 / 255))


def test_only_photos_with_a_face_are_loaded_and_the_others_are_named(photos, detector, tmp_path):
    said = []

    faces = load_faces(list_photos(photos), detector, 64, tmp_path / "cache", said.append)

    side = round(64 * OVERSAMPLING * (1 + 2 * MARGIN))
    assert faces.shape == (1, 3, side, side)
    assert faces.dtype == torch.uint8
    assert [line.split(":")[0] for line in sorted(said)] == ["black.png", "damaged.jpg"]


def test_faces_are_found_once(photos, detector, tmp_path):
    first = load_faces(list_photos(photos), detector, 64, tmp_path / "cache", lambda _: None)

    again = load_faces(list_photos(photos), None, 64, tmp_path / "cache", lambda _: None)

    assert torch.equal(first, again)


def test_photos_are_read_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(skimage.data.astronaut()[:, :300]).save(tmp_path / "a.jpg", exif=exif)

    assert read_photo(tmp_path / "a.jpg").shape == (1, 3, 300, 512)


def test_views_follow_from_the_draws_and_differ_from_each_other(faces):
    first, again, other = (
        random_views(faces, 128, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )

    assert first.shape == (2, 3, 128, 128)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_view_that_is_not_moved_is_the_middle_of_the_face(faces, monkeypatch):
    for name in ("MAX_TURN_DEGREES", "MAX_ZOOM", "MAX_SHIFT"):
        monkeypatch.setattr(f"training.dataset.{name}", 0.0)
    side = faces.shape[3]
    size = round(side / (1 + 2 * MARGIN))
    border = (side - size) // 2
    inner = faces[:, :, border : border + size, border : border + size].float() / 255
    middle = torch.nn.functional.avg_pool2d(inner, OVERSAMPLING)

    views = random_views(faces, size // OVERSAMPLING, torch.Generator().manual_seed(0))

    for view, face in zip(views, middle, strict=True):
        distance = min((view - other).abs().max() for other in (face, face.flip(2)))
        assert distance < 1e-4
