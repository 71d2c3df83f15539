from dataclasses import replace

import pytest
import torch

import gpen_core
from gpen_core.comparison import compare_images, landmark_error
from gpen_core.faces.faces import Faces
from support.faces import faces_at


def moved(faces: Faces, x: float, y: float) -> Faces:
    return replace(faces, landmarks=faces.landmarks + torch.tensor([x, y]))


def eye_distance(faces: Faces, row: int) -> float:
    return float((faces.landmarks[row, 1] - faces.landmarks[row, 0]).norm())


def test_a_shift_counts_in_percent_of_the_eye_distance():
    faces = faces_at((0, 10.0, 10.0, 100.0))
    shift = 0.1 * eye_distance(faces, 0)
    assert landmark_error(faces, faces) == 0
    assert landmark_error(faces, moved(faces, 0.6 * shift, 0.8 * shift)) == pytest.approx(10)


def test_the_error_is_the_mean_over_landmarks_and_faces():
    faces = faces_at((0, 10.0, 10.0, 100.0), (1, 10.0, 10.0, 200.0))
    landmarks = faces.landmarks.clone()
    landmarks[1, 2, 0] += 0.5 * eye_distance(faces, 1)  # the nose of the second
    assert landmark_error(faces, replace(faces, landmarks=landmarks)) == pytest.approx(5)


def test_faces_are_matched_whatever_their_order():
    faces = faces_at((0, 10.0, 10.0, 60.0), (0, 90.0, 20.0, 50.0), (1, 10.0, 10.0, 60.0))
    assert landmark_error(faces, faces.select([2, 1, 0])) == 0


def test_only_faces_that_are_in_both_count():
    faces = faces_at((0, 10.0, 10.0, 60.0), (0, 90.0, 20.0, 50.0))
    assert landmark_error(faces, faces.select([1])) == 0
    assert landmark_error(faces.select([0]), faces.select([1])) is None
    assert landmark_error(faces, Faces.empty()) is None
    assert landmark_error(Faces.empty(), faces) is None
    elsewhere = replace(faces, image_index=faces.image_index + 1)
    assert landmark_error(faces, elsewhere) is None


def test_a_stranger_far_away_does_not_draw_a_face_from_its_own_place():
    small, large, stranger = (0, 10.0, 10.0, 20.0), (0, 60.0, 10.0, 100.0), (0, 900.0, 10.0, 60.0)
    # In eye distances the stranger is so much nearer to the large face than to the small one
    # that all together the wrong pairs would be closer.
    assert landmark_error(faces_at(small, large), faces_at(stranger, large)) == 0


def test_compare_images_measures_landmarks_where_there_is_a_face(detector, astronaut):
    compared = compare_images(astronaut, astronaut, detector=detector)
    assert compared.landmark_error == 0
    shifted = astronaut.roll(4, dims=3)
    faces = gpen_core.detect_faces(astronaut, detector)
    measured = compare_images(astronaut, shifted, detector=detector).landmark_error
    assert measured == pytest.approx(4 / eye_distance(faces, 0) * 100, rel=0.15)
    assert compare_images(astronaut, shifted).landmark_error is None
    assert compare_images(astronaut * 0, shifted, detector=detector).landmark_error is None


def test_compare_images_measures_the_landmarks_of_faces_in_the_region_only(detector, astronaut):
    around = torch.zeros(1, 512, 512)
    around[:, :, 128:384] = 1
    for region, expected in ((around, 0), (1 - around, None)):
        compared = compare_images(astronaut, astronaut, region, detector=detector)
        assert compared.landmark_error == expected
