import importlib.util
import re

import pytest
import torch
from safetensors.torch import save_file
from torchvision.transforms.functional import normalize

from gpen_core.blending.face_mask import region_mask
from gpen_core.checkpoints.registry import PARSER_MODELS
from gpen_core.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    NonFiniteOutputError,
    SettingError,
    TensorSpecError,
    UnsafeCheckpointError,
)
from gpen_core.faces.parsing import (
    FACE_REGIONS,
    PARSER_NAMES,
    REGIONS,
    FaceParser,
    FaceRegion,
    load_parser,
    parse_faces,
)
from gpen_core.monitor import Monitor
from support.hostile import Bomb

PARSENET, BISENET = "parsenet", "bisenet"
# As facexlib's repository lists them in inference/inference_parsing_parsenet.py and
# inference/inference_parsing.py.
LABELS = {
    PARSENET: "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip "
    "hair hat ear_r neck_l neck cloth",
    BISENET: "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip "
    "l_lip neck neck_l cloth hair hat",
}
REGION_OF_LABEL = {
    "background": "background",
    "skin": "skin",
    "nose": "nose",
    "eye_g": "glasses",
    "l_eye": "eyes",
    "r_eye": "eyes",
    "l_brow": "brows",
    "r_brow": "brows",
    "l_ear": "ears",
    "r_ear": "ears",
    "mouth": "mouth",
    "u_lip": "lips",
    "l_lip": "lips",
    "hair": "hair",
    "hat": "hat",
    "ear_r": "earring",
    "neck_l": "necklace",
    "neck": "neck",
    "cloth": "cloth",
}
# facexlib normalises so: utils/face_restoration_helper.py and inference/inference_parsing.py.
MEAN_STD = {
    PARSENET: ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    BISENET: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def regions_of(name):
    """The region of each of the 19 labels."""
    return [FaceRegion(REGION_OF_LABEL[label]) for label in LABELS[name].split()]


def network_of_facexlib(name):
    from facexlib.parsing.bisenet import BiSeNet
    from facexlib.parsing.parsenet import ParseNet

    return ParseNet(512, 512, parsing_ch=19) if name == PARSENET else BiSeNet(num_class=19)


@pytest.fixture(scope="module")
def references():
    """facexlib's own networks with random weights, those of the last layer large: clear answers."""
    torch.manual_seed(0)
    networks = {name: network_of_facexlib(name).eval() for name in PARSER_NAMES}
    with torch.no_grad():
        networks[PARSENET].out_mask_conv.conv2d.weight.mul_(30)
        networks[BISENET].conv_out.conv_out.weight.mul_(30)
    return networks


@pytest.fixture(scope="module")
def paths(references, tmp_path_factory):
    """Their checkpoints, one with the prefix that training leaves."""
    folder = tmp_path_factory.mktemp("parsing")
    for name, network in references.items():
        prefix = "module." if name == BISENET else ""
        state_dict = {prefix + key: value for key, value in network.state_dict().items()}
        torch.save(state_dict, folder / PARSER_MODELS[name].filename)
    return {name: folder / PARSER_MODELS[name].filename for name in PARSER_NAMES}


@pytest.fixture(scope="module")
def parsers(paths):
    return {name: load_parser(path) for name, path in paths.items()}


class ByColor(torch.nn.Module):
    """A stand-in network: where red is high it is sure of one label, where blue is of another."""

    def __init__(self, of_red, of_blue):
        super().__init__()
        self.of_red, self.of_blue = of_red, of_blue
        self.gain = torch.nn.Parameter(torch.tensor(100.0))
        self.inputs = []

    def forward(self, x):
        self.inputs.append(x)
        logits = torch.full((len(x), 19, *x.shape[2:]), -200.0)
        logits[:, self.of_red] = x[:, 0] * self.gain
        logits[:, self.of_blue] = x[:, 2] * self.gain
        return logits, None


def parser_by_color(name, red, blue):
    parser = FaceParser(name)
    labels = LABELS[name].split()
    parser.network = ByColor(labels.index(red), labels.index(blue))
    return parser


@pytest.fixture
def small(monkeypatch):
    """Parsing at 64 pixels, where a stand-in does not mind and 512 would only take time."""
    monkeypatch.setattr("gpen_core.faces.parsing.PARSING_SIZE", 64)


def halves(size, count=1):
    """Crops whose left three quarters are red and whose rest is blue."""
    crops = torch.zeros(count, 3, size, size)
    crops[:, 0, :, : size * 3 // 4] = 1
    crops[:, 2, :, size * 3 // 4 :] = 1
    return crops


def random_crops(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


# Labels


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_parser_sums_the_labels_of_each_region(name):
    """Each of the 19 labels in turn is the certain one."""
    parser = FaceParser(name)

    class Diagonal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, x):
            return 1000 * torch.eye(19)[None, :, None, :], None  # pixel i is label i

    parser.network = Diagonal()
    with torch.no_grad():
        probabilities = parser(torch.zeros(1, 3, 1, 19))
    assert probabilities.shape == (1, len(REGIONS), 1, 19)
    found = [REGIONS[i] for i in probabilities[0, :, 0].argmax(0)]
    assert found == regions_of(name)
    assert set(probabilities.unique().tolist()) == {0.0, 1.0}


def test_parser_labels_agree_with_the_mask_of_facexlib():
    """What facexlib pastes with ParseNet: all of the head but the hat, not neck and clothes."""
    # Read and not imported: that would bring in the helper's own dependencies.
    source = importlib.util.find_spec("facexlib.utils.face_restoration_helper").origin
    with open(source) as file:  # noqa: PTH123
        (colors,) = re.findall(r"MASK_COLORMAP = \[([\d, ]+)\]", file.read())
    pasted = [color != "0" for color in colors.split(", ")]
    left_out = {
        FaceRegion.BACKGROUND,
        FaceRegion.HAT,
        FaceRegion.NECKLACE,
        FaceRegion.NECK,
        FaceRegion.CLOTH,
    }
    assert pasted == [region not in left_out for region in regions_of(PARSENET)]


def test_parsers_know_all_regions():
    for name in PARSER_NAMES:
        assert set(regions_of(name)) == set(REGIONS)
    assert len(REGIONS) == 15
    assert set(FACE_REGIONS) < set(REGIONS)
    assert not {FaceRegion.HAIR, FaceRegion.GLASSES, FaceRegion.BACKGROUND} & set(FACE_REGIONS)


# The networks


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_parser_runs_like_facexlib(name, parsers, references):
    crops = random_crops(2, 32)
    with torch.no_grad():
        labels = references[name](normalize(crops, *MEAN_STD[name]))[0].softmax(1)
        expected = torch.zeros(2, len(REGIONS), 32, 32)
        for label, region in enumerate(regions_of(name)):
            expected[:, REGIONS.index(region)] += labels[:, label]
        probabilities = parsers[name](crops)
        swapped = parsers[name](crops.flip(1))
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)
    assert probabilities.std(0).max() > 0.01
    assert not torch.allclose(probabilities, swapped, atol=1e-3)


def test_parser_normalises_as_facexlib_does():
    """facexlib's helper holds ParseNet's numbers; BiSeNet's are those of ImageNet."""
    source = importlib.util.find_spec("facexlib.utils.face_restoration_helper").origin
    with open(source) as file:  # noqa: PTH123
        assert "normalize(face_input, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)" in file.read()
    crops = random_crops(1, 32)
    for name in PARSER_NAMES:
        parser = parser_by_color(name, "skin", "hair")
        parser(crops)
        expected = normalize(crops, *MEAN_STD[name])
        torch.testing.assert_close(parser.network.inputs[0], expected)


def test_parse_faces_with_a_real_network_gives_probabilities(parsers):
    parsed = parse_faces(random_crops(1, 256), parsers[BISENET])
    assert parsed.shape == (1, 15, 512, 512)
    assert parsed.dtype == torch.float32
    torch.testing.assert_close(parsed.sum(1), torch.ones(1, 512, 512))
    assert parsed.min() >= 0


# Crops in, regions out


@pytest.mark.parametrize("name", PARSER_NAMES)
@pytest.mark.parametrize("size", [64, 512, 1024])
def test_parse_faces_puts_regions_where_they_are(name, size):
    parsed = parse_faces(halves(size), parser_by_color(name, "l_brow", "hair"))
    edge = 512 // size + 2  # pixels that interpolation mixes
    assert parsed.shape == (1, len(REGIONS), 512, 512)
    brows, hair = (parsed[0, REGIONS.index(r)] for r in (FaceRegion.BROWS, FaceRegion.HAIR))
    assert bool((brows[:, : 384 - edge] > 0.99).all())
    assert bool((brows[:, 384 + edge :] < 0.01).all())
    torch.testing.assert_close(brows + hair, torch.ones(512, 512))
    # The edge itself is where both are as likely: between pixel 383 and 384.
    torch.testing.assert_close(brows[:, 383], hair[:, 384], atol=1e-3, rtol=0)


def test_parse_faces_antialiases(small):
    """Every third column white is a third grey at a third of the size."""
    crops = torch.zeros(1, 3, 192, 192)
    crops[..., 1::3] = 1  # just where plain bilinear sampling looks
    parser = parser_by_color(PARSENET, "skin", "hair")
    parse_faces(crops, parser)
    (seen,) = parser.network.inputs
    grey = seen[..., 2:-2] / 2 + 0.5  # without ParseNet's normalisation
    torch.testing.assert_close(grey, torch.full_like(grey, 1 / 3), atol=0.01, rtol=0)


@pytest.mark.parametrize("max_batch", [1, 2, 3, 100])
def test_parse_faces_of_a_batch_equals_single_runs(max_batch, small):
    crops = random_crops(5, 48)
    expected = torch.cat(
        [parse_faces(crop[None], parser_by_color(BISENET, "skin", "hair")) for crop in crops]
    )
    parser = parser_by_color(BISENET, "skin", "hair")
    torch.testing.assert_close(parse_faces(crops, parser, max_batch=max_batch), expected)
    sizes = [len(x) for x in parser.network.inputs]
    assert max(sizes) == min(max_batch, 5)
    assert sum(sizes) == 5


def test_parse_faces_of_no_crops_is_empty():
    done = []
    parsed = parse_faces(
        torch.zeros(0, 3, 64, 64),
        parser_by_color(PARSENET, "skin", "hair"),
        monitor=Monitor(on_progress=lambda *n: done.append(n)),
    )
    assert parsed.shape == (0, len(REGIONS), 512, 512)
    assert region_mask(parsed, FACE_REGIONS, 0.05).shape == (0, 512, 512)
    assert done == []


def test_parse_faces_reports_progress_and_asks_for_interruption(small):
    events = []
    parse_faces(
        halves(8, 5),
        parser_by_color(PARSENET, "skin", "hair"),
        max_batch=2,
        monitor=Monitor(
            on_progress=lambda done, total: events.append((done, total)),
            check_interrupt=lambda: events.append("asked"),
        ),
    )
    assert events == ["asked", (2, 5), "asked", (4, 5), "asked", (5, 5)]


def test_parse_faces_takes_every_float_type_and_leaves_the_input_alone(small):
    parser = parser_by_color(PARSENET, "skin", "hair")
    expected = parse_faces(halves(64), parser)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        crops = halves(64).to(dtype)
        copy = crops.clone()
        parsed = parse_faces(crops, parser)
        assert parsed.dtype == torch.float32
        torch.testing.assert_close(parsed, expected, atol=0.01, rtol=0)
        assert torch.equal(crops, copy)
    loud = torch.where(halves(64) == 1, 1.5, 0)
    torch.testing.assert_close(parse_faces(loud, parser), expected)
    assert parser.network.inputs[-1].max() <= 1
    assert not parse_faces(halves(8).requires_grad_(), parser).requires_grad


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (torch.zeros(3, 8, 8), r"got \(3, 8, 8\)\. Give aligned RGB"),
        (torch.zeros(1, 3, 8, 9), r"got \(1, 3, 8, 9\)\. Give aligned RGB"),
        (torch.zeros(1, 3, 0, 0), "Give aligned RGB"),
        (torch.zeros(1, 8, 8, 3), r"crops\.movedim\(-1, 1\)"),
        (torch.zeros(1, 4, 8, 8), r"alpha channel out: crops\[:, :3\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"got torch\.uint8\. .*crops / 255"),
    ],
)
def test_parse_faces_of_a_wrong_tensor_raises(crops, message):
    with pytest.raises(TensorSpecError, match=f"crops: expected .*{message}"):
        parse_faces(crops, parser_by_color(PARSENET, "skin", "hair"))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_parse_faces_names_the_crop_that_is_not_finite(value, small):
    crops = halves(32, 3)
    crops[2, 1, 5, 5] = value
    with pytest.raises(TensorSpecError, match=r"NaN or infinity in crop 2 "):
        parse_faces(crops, parser_by_color(PARSENET, "skin", "hair"), max_batch=2)


def test_parse_faces_with_damaged_weights_raises(small):
    parser = parser_by_color(PARSENET, "skin", "hair")
    parser.network.gain.data.fill_(torch.nan)
    with pytest.raises(NonFiniteOutputError, match="parser: expected finite probabilities"):
        parse_faces(halves(32), parser)


def test_parse_faces_with_a_wrong_option_raises():
    with pytest.raises(SettingError, match="max_batch: expected at least 1, got 0"):
        parse_faces(halves(32), parser_by_color(PARSENET, "skin", "hair"), max_batch=0)


def test_region_mask_is_made_of_what_was_parsed():
    parser = parser_by_color(BISENET, "nose", "hat")
    mask = region_mask(parse_faces(halves(128), parser), FACE_REGIONS, 0.02)
    assert mask.shape == (1, 512, 512)
    assert mask[0, 256, 300] > 0.99
    assert mask[0, 256, 470] < 0.01


# The parser as a module


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_parser_is_a_plain_module(name, paths, parsers):
    parser = load_parser(paths[name])
    assert not parser.training
    assert not any(module.training for module in parser.modules())
    assert not any(parameter.requires_grad for parameter in parser.parameters())
    assert not hasattr(parser, "device")
    parser.device = torch.device("cpu")  # ComfyUI's ModelPatcher does
    crops = random_crops(1, 32)
    expected = parsers[name](crops)
    double = parser.double()(crops)
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_parser_leaves_no_tensor_behind_when_moved(name, paths):
    moved = load_parser(paths[name], device="meta")
    for module in moved.modules():
        for key, value in vars(module).items():
            assert not isinstance(value, torch.Tensor), key
    assert moved(torch.zeros(1, 3, 64, 64, device="meta")).shape == (1, len(REGIONS), 64, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", PARSER_NAMES)
def test_parse_faces_on_a_gpu_agrees_with_the_cpu(name, paths, parsers):
    on_gpu = load_parser(paths[name], device="cuda")
    crops = random_crops(1, 512)
    from_cpu = parse_faces(crops, on_gpu)
    assert from_cpu.device.type == "cpu"
    torch.testing.assert_close(from_cpu, parse_faces(crops, parsers[name]), atol=0.02, rtol=0)
    from_gpu = parse_faces(crops.cuda(), on_gpu)
    assert from_gpu.device.type == "cuda"
    mask = region_mask(from_gpu, FACE_REGIONS, 0.05)
    torch.testing.assert_close(
        mask.cpu(), region_mask(from_cpu, FACE_REGIONS, 0.05), atol=0.01, rtol=0
    )


# Loading


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_load_parser_takes_the_weights_of_the_file(name, parsers, references):
    loaded, saved = parsers[name].network.state_dict(), references[name].state_dict()
    assert list(loaded) == list(saved)
    for key, value in saved.items():
        assert torch.equal(loaded[key], value)


def test_load_parser_reads_safetensors(references, tmp_path):
    path = tmp_path / "parser.safetensors"
    state_dict = references[BISENET].state_dict()
    save_file(state_dict, path)
    loaded = load_parser(path).network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state_dict.items())


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_load_parser_is_silent_offline_and_leaves_random_numbers_alone(
    name, paths, recwarn, capfd, caplog, monkeypatch
):
    def refuse(*_args, **_kwargs):
        raise AssertionError("asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    state = torch.get_rng_state()
    load_parser(paths[name])
    assert torch.equal(torch.get_rng_state(), state)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_load_parser_of_a_missing_file_names_the_path(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=str(tmp_path / "none.pth")):
        load_parser(tmp_path / "none.pth")


def test_load_parser_refuses_code(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"body": Bomb(tmp_path / "marker")}, path)
    with pytest.raises(UnsafeCheckpointError):
        load_parser(path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", PARSER_NAMES)
def test_load_parser_takes_what_the_file_holds(name, parsers):
    assert parsers[name].name == name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("ffm.conv1.weight"), "1 missing and 0 unexpected, such as 'ffm.conv1"),
        (lambda d: d.update(more=torch.zeros(1)), "0 missing and 1 unexpected, such as 'more'"),
        (
            lambda d: d.update({"conv_out.conv_out.weight": torch.zeros(11, 256, 1, 1)}),
            r"tensor 'conv_out.conv_out.weight' of shape \(19, 256, 1, 1\), got \(11, 256, 1, 1\)",
        ),
    ],
)
def test_load_parser_of_a_changed_checkpoint_says_what(change, message, references, tmp_path):
    state_dict = dict(references[BISENET].state_dict())
    change(state_dict)
    torch.save(state_dict, tmp_path / "changed.pth")
    with pytest.raises(CheckpointMismatchError, match=f"changed.pth: expected .*{message}"):
        load_parser(tmp_path / "changed.pth")


def test_load_parser_of_another_model_says_so(tmp_path):
    torch.save({"body.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatchError, match=r"got another model: 1 tensors .*'body\.w"):
        load_parser(tmp_path / "other.pth")
