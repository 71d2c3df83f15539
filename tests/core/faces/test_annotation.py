import torch

from gpen_core.faces.annotation import draw_faces
from gpen_core.faces.faces import Faces


def one_face(image: int = 1) -> Faces:
    return Faces(
        image_index=torch.tensor([image]),
        boxes=torch.tensor([[20.0, 30.0, 60.0, 80.0]]),
        landmarks=torch.tensor([[[30.0, 45], [50, 45], [40, 55], [32, 68], [48, 68]]]),
        scores=torch.ones(1),
    )


def test_draw_faces_draws_on_the_image_of_the_face_only():
    images = torch.full((2, 4, 100, 120), 0.4)
    drawn = draw_faces(images, one_face())
    assert drawn.shape == (2, 3, 100, 120)
    assert torch.equal(drawn[0], images[0, :3])
    green, yellow = torch.tensor([80, 220, 100]) / 255, torch.tensor([255, 200, 0]) / 255
    torch.testing.assert_close(drawn[1, :, 60, 20], green)  # the box's left edge
    torch.testing.assert_close(drawn[1, :, 55, 40], yellow)  # the nose
    torch.testing.assert_close(drawn[1, :, 90, 100], torch.full((3,), 0.4))


def test_draw_faces_leaves_its_input_alone_and_takes_no_faces():
    images = torch.full((1, 3, 50, 50), 0.3)
    assert torch.equal(draw_faces(images, Faces.empty()), images)
    draw_faces(images, one_face(0))
    assert bool((images == 0.3).all())
