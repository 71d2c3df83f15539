import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from gpen_core.errors import CheckpointMismatchError, NotGpenError
from gpen_core.network.config import SUPPORTED_SIZES, GpenConfig, expected_shapes
from gpen_core.network.detect import detect_config

PUBLISHED = [GpenConfig.published(size) for size in SUPPORTED_SIZES]


def empty_state_dict(config: GpenConfig) -> dict[str, torch.Tensor]:
    """Tensors that have a shape and no memory."""
    return {key: torch.empty(s, device="meta") for key, s in expected_shapes(config).items()}


@pytest.mark.parametrize("config", PUBLISHED, ids=lambda config: str(config.size))
def test_detect_config_finds_the_published_configurations(config):
    assert detect_config(empty_state_dict(config)) == config


def test_expected_shapes_count_the_published_parameters():
    # 71 million, 285 MB in float32, as the published 512, 1024 and 2048 models.
    shapes = expected_shapes(GpenConfig(2048)).values()
    assert sum(torch.Size(shape).numel() for shape in shapes) * 4 == pytest.approx(285e6, rel=0.01)


@pytest.mark.parametrize(
    "config",
    [
        GpenConfig(256, 1, 0.125),
        GpenConfig(256, 1, 0.5, concat=False),
        GpenConfig(512, 2, 0.0625),
        GpenConfig(1024, 4, 0.25, n_mlp=4),
        GpenConfig(2048, 2, 0.3, style_dim=128),
        GpenConfig(256, 0.5, 0.75, n_mlp=1, style_dim=64, concat=False),
    ],
    ids=str,
)
def test_detect_config_finds_every_parameter(config):
    assert detect_config(empty_state_dict(config)) == config


@given(
    size=st.sampled_from([256, 512, 1024, 2048]),
    channel_multiplier=st.floats(0.1, 8),
    narrow=st.floats(0.02, 2),
)
def test_detect_config_reproduces_any_floored_channel_counts(size, channel_multiplier, narrow):
    config = GpenConfig(size, channel_multiplier, narrow)
    assume(min(config.channels(r) for r in config.resolutions) >= 1)
    detected = detect_config(empty_state_dict(config))
    assert expected_shapes(detected) == expected_shapes(config)


def test_detect_config_does_not_need_the_filter_buffers():
    state_dict = empty_state_dict(GpenConfig(256))
    without = {key: value for key, value in state_dict.items() if not key.endswith(".kernel")}
    assert detect_config(without) == GpenConfig(256)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["stylegan_decoder.constant_input.weight", "conv_body_first.weight"], "GFPGAN"),
        (["quantize.embedding.weight", "encoder.blocks.0.weight"], "CodeFormer"),
        (["ClassHead.0.conv1x1.weight", "body.stage1.0.0.weight"], "RetinaFace"),
        (["something.else"], "something.else"),
        ([], "an empty file"),
    ],
)
def test_detect_config_says_which_other_model_it_was_given(keys, named):
    with pytest.raises(NotGpenError, match=named) as raised:
        detect_config({key: torch.zeros(1) for key in keys}, "face.pth")
    assert "face.pth" in str(raised.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.pop("generator.convs.3.activate.bias"), "generator.convs.3.activate.bias"),
        (lambda d: d.update({"ecd2.0.2.bias": torch.zeros(7)}), "ecd2.0.2.bias"),
        (lambda d: d.update({"generator.extra": torch.zeros(1)}), "generator.extra"),
        (lambda d: d.update({"ecd0.0.0.weight": torch.zeros(1000, 3, 1, 1)}), "proportions"),
        (lambda d: d.update({"generator.input.input": torch.zeros(1)}), "rank"),
        (lambda d: d.pop("ecd6.0.1.weight"), "downsampling blocks"),
    ],
)
def test_detect_config_names_what_is_wrong_with_a_gpen_state_dict(change, named):
    state_dict = empty_state_dict(GpenConfig(256))
    change(state_dict)
    with pytest.raises(CheckpointMismatchError, match=named):
        detect_config(state_dict)
