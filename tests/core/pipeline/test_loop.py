"""The loop over faces: chunks, order, progress and interruption."""

import pytest
import torch

import gpen_core
from gpen_core import Monitor, RunOptions
from support.faces import PLACES, batch, faces_at


@pytest.mark.parametrize("max_batch", [2, 3, 8])
def test_the_batch_size_makes_no_difference(random_network, max_batch):
    images, faces = batch(), faces_at(*PLACES)
    one = gpen_core.restore_faces(images, faces, random_network, run=RunOptions(keep_crops=True))
    many = gpen_core.restore_faces(
        images, faces, random_network, run=RunOptions(keep_crops=True, max_batch=max_batch)
    )
    torch.testing.assert_close(many.images, one.images, rtol=0, atol=2e-5)
    torch.testing.assert_close(many.restored_crops, one.restored_crops, rtol=0, atol=2e-4)
    assert torch.equal(many.masks, one.masks)
    assert torch.equal(many.crops, one.crops)


def test_the_order_of_the_faces_is_that_of_the_crops_and_of_nothing_else(random_network):
    images, faces = batch(), faces_at(*PLACES)
    turned = faces.select([3, 2, 1, 0])
    first = gpen_core.restore_faces(images, faces, random_network, run=RunOptions(keep_crops=True))
    second = gpen_core.restore_faces(
        images, turned, random_network, run=RunOptions(keep_crops=True)
    )
    torch.testing.assert_close(second.images, first.images, rtol=0, atol=1e-6)
    assert torch.equal(second.crops.flip(0), first.crops)
    torch.testing.assert_close(
        second.restored_crops.flip(0), first.restored_crops, rtol=0, atol=2e-4
    )


def test_progress_comes_with_every_face_and_interruption_with_every_chunk(identity):
    events = []
    gpen_core.restore_faces(
        batch(),
        faces_at(*PLACES),
        identity,
        run=RunOptions(
            max_batch=3,
            monitor=Monitor(
                on_progress=lambda *progress: events.append(progress),
                on_crop=lambda crop: events.append(tuple(crop.shape)),
                check_interrupt=lambda: events.append("check"),
            ),
        ),
    )
    size = identity.config.size
    shown = (3, size, size)
    first = ["check", shown, (1, 4), shown, (2, 4), shown, (3, 4)]
    assert events == [*first, "check", shown, (4, 4)]


def test_an_interruption_stops_the_work(identity):
    class StopError(Exception):
        pass

    def stop():
        raise StopError

    with pytest.raises(StopError):
        gpen_core.restore_faces(
            batch(),
            faces_at(*PLACES),
            identity,
            run=RunOptions(monitor=Monitor(check_interrupt=stop)),
        )
