import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from gpen_core.errors import DegenerateLandmarksError, TensorSpecError
from gpen_core.geometry.alignment import (
    Template,
    align_faces,
    invert_affine,
    similarity_from_landmarks,
    template_landmarks,
    transform_points,
)


@given(
    scale=st.floats(0.01, 100),
    angle=st.floats(-math.pi, math.pi),
    shift=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)
def test_similarity_from_landmarks_finds_the_transform_that_made_the_points(scale, angle, shift):
    source = template_landmarks(Template.FFHQ, 512)[None]
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]], dtype=torch.float64)
    target = transform_points(source[0], matrix)
    torch.testing.assert_close(
        similarity_from_landmarks(source, target)[0], matrix, rtol=1e-9, atol=1e-6
    )


@given(seed=st.integers(0, 10_000))
def test_similarity_from_landmarks_agrees_with_scikit_image_on_points_that_do_not_fit(seed):
    generator = np.random.default_rng(seed)
    target = template_landmarks(Template.GPEN, 512).numpy()
    source = target * 0.3 + generator.normal(0, 10, target.shape)
    expected = SimilarityTransform.from_estimate(source, target).params[:2]
    found = similarity_from_landmarks(torch.from_numpy(source)[None], torch.from_numpy(target))
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-6)


def test_similarity_from_landmarks_handles_each_face_by_itself():
    target = template_landmarks(Template.FFHQ, 512)
    sources = torch.stack([target * 0.5, target + 7, target.flip(-1) + 3])
    together = similarity_from_landmarks(sources, target)
    for i in range(3):
        alone = similarity_from_landmarks(sources[i : i + 1], target)[0]
        torch.testing.assert_close(together[i], alone)


def test_similarity_from_landmarks_refuses_coinciding_points():
    with pytest.raises(DegenerateLandmarksError, match="face 1"):
        similarity_from_landmarks(
            torch.stack([template_landmarks(Template.FFHQ, 64), torch.ones(5, 2).double()]),
            template_landmarks(Template.FFHQ, 64),
        )


@pytest.mark.parametrize("shape", [(5, 2), (1, 1, 2), (1, 5, 3)])
def test_similarity_from_landmarks_refuses_other_shapes(shape):
    with pytest.raises(TensorSpecError):
        similarity_from_landmarks(torch.rand(shape), torch.rand(shape[-2:]))


@pytest.mark.parametrize("template", Template)
def test_template_landmarks_scale_with_the_crop(template):
    torch.testing.assert_close(
        template_landmarks(template, 2048), 4 * template_landmarks(template, 512)
    )


def test_template_landmarks_have_their_published_values():
    ffhq = template_landmarks(Template.FFHQ, 512)
    assert ffhq[0].tolist() == pytest.approx([192.98138, 239.94708])
    assert ffhq[4].tolist() == pytest.approx([313.08905, 371.15118])
    # (x + 8 + 28) * 512 / 168 and (y + 28) * 512 / 168 of the 96x112 points
    gpen = template_landmarks(Template.GPEN, 512)
    assert gpen[0].tolist() == pytest.approx([66.2946 * 512 / 168, 79.6963 * 512 / 168])


def test_the_gpen_template_shows_more_of_the_head_than_ffhq():
    def distance_of_eyes(template):
        points = template_landmarks(template, 512)
        return float((points[1] - points[0]).norm())

    assert distance_of_eyes(Template.GPEN) < distance_of_eyes(Template.FFHQ)


def test_align_faces_puts_the_landmarks_onto_the_template():
    landmarks = template_landmarks(Template.FFHQ, 512).float()[None] * 0.2 + 30
    image_to_crop = align_faces(landmarks, Template.FFHQ, 1024)
    assert image_to_crop.dtype == torch.float64
    torch.testing.assert_close(
        transform_points(landmarks[0].double(), image_to_crop[0]),
        template_landmarks(Template.FFHQ, 1024),
        rtol=0,
        atol=1e-3,
    )


def test_align_faces_of_no_faces_is_no_matrices():
    assert align_faces(torch.zeros(0, 5, 2), Template.FFHQ, 512).shape == (0, 2, 3)


def test_invert_affine_undoes_a_transform():
    matrix = torch.tensor([[[3.0, -1.0, 20.0], [1.0, 3.0, -5.0]]], dtype=torch.float64)
    points = torch.rand(4, 2, dtype=torch.float64)
    there = transform_points(points, matrix[0])
    torch.testing.assert_close(transform_points(there, invert_affine(matrix)[0]), points)
