"""Memory that detector and parser take, and what they do where it is short."""

import pytest
import torch

from gpen_core.errors import DeviceMemoryError
from gpen_core.faces.detection import detect_faces
from gpen_core.faces.parsing import PARSER_NAMES, FaceParser, parse_faces
from gpen_core.faces.retinaface import DETECTOR_NETWORKS, FaceDetector
from gpen_core.faces.search import search_bytes, search_faces
from gpen_core.faces.settings import Rotations, Scales, SearchSettings
from support.faces import assert_same_faces
from support.live_memory import LiveMemory


@torch.no_grad()
def peak_of(network, shape):
    """Of one call in bytes, counted with tensors that have no values."""
    network = network.to("meta")
    with LiveMemory() as memory:
        network(torch.empty(shape, device="meta"))
    return memory.peak_bytes


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_a_parser_takes_as_much_memory_for_each_face_as_it_says(name):
    parser = FaceParser(name)
    assert peak_of(parser, (3, 3, 512, 512)) == pytest.approx(
        3 * parser.activation_bytes(), rel=0.02
    )


@pytest.mark.parametrize("name", DETECTOR_NETWORKS)
@pytest.mark.parametrize("shape", [(1, 3, 640, 960), (4, 3, 480, 480)])
def test_a_detector_takes_as_much_memory_for_each_pixel_as_it_says(name, shape):
    detector = FaceDetector(name)
    pixels = shape[0] * shape[2] * shape[3]
    assert peak_of(detector, shape) == pytest.approx(detector.activation_bytes(pixels), rel=0.02)


@pytest.fixture
def cramp(monkeypatch):
    """Let the device have room for so many at once; returns how many are tried."""

    def cramp(kind, room):
        forward, sizes = kind.forward, []

        def cramped(self, batch):
            sizes.append(len(batch))
            if len(batch) > room:
                raise torch.cuda.OutOfMemoryError
            return forward(self, batch)

        monkeypatch.setattr(kind, "forward", cramped)
        return sizes

    return cramp


@pytest.fixture
def images(astronaut):
    """Five that differ, one without a face."""
    small = torch.nn.functional.interpolate(astronaut, size=(256, 256), mode="area")
    return torch.cat([small, small.flip(-1), torch.zeros_like(small), small / 2, small])


def test_images_that_do_not_fit_are_searched_in_halves(images, detector, cramp, monkeypatch):
    expected = detect_faces(images, detector)
    assert len(expected) == 4
    monkeypatch.setattr("gpen_core.faces.detection._CPU_CHUNK_PIXELS", 10**9)
    sizes = cramp(FaceDetector, 1)
    assert_same_faces(detect_faces(images, detector), expected)
    assert sizes == [5, 2, 1, 1, 3, 1, 2, 1, 1]


def test_an_image_that_does_not_fit_says_what_to_do(images, detector, cramp):
    cramp(FaceDetector, 0)
    with pytest.raises(DeviceMemoryError, match=r"256x256.*less than the 4 MB.*detection_size"):
        detect_faces(images, detector)


def test_faces_that_do_not_fit_are_parsed_in_halves(cramp, monkeypatch):
    parser = FaceParser("bisenet")
    monkeypatch.setattr(FaceParser, "forward", lambda _, crops: crops.repeat(1, 5, 1, 1))
    crops = torch.rand(3, 3, 32, 32)
    expected = parse_faces(crops, parser)
    sizes = cramp(FaceParser, 1)
    assert torch.equal(parse_faces(crops, parser), expected)
    assert sizes == [3, 1, 2, 1, 1]
    cramp(FaceParser, 0)
    with pytest.raises(DeviceMemoryError, match="less than the 77 MB"):
        parse_faces(crops, parser)


@pytest.mark.parametrize("scales", Scales)
@pytest.mark.parametrize("shape", [(1, 3, 400, 600), (3, 3, 300, 700), (9, 3, 200, 200)])
def test_a_search_gives_the_network_no_more_pixels_than_memory_is_asked_for(
    detector, shape, scales, monkeypatch
):
    monkeypatch.setattr("gpen_core.faces.detection._CPU_CHUNK_PIXELS", 200_000)
    monkeypatch.setattr("gpen_core.faces.search._CHUNK_PIXELS", 200_000)
    settings = SearchSettings(256, scales=scales, rotations=Rotations.OFF)
    calls = []
    handle = detector.register_forward_pre_hook(
        lambda _, args: calls.append(args[0].shape[0] * args[0].shape[2] * args[0].shape[3])
    )
    search_faces(torch.zeros(shape), detector, settings)
    handle.remove()
    asked = search_bytes(detector, shape, settings)
    needed = detector.activation_bytes(max(calls))
    assert needed * 0.98 <= asked <= needed * 1.5
