import pytest
import torch

from gpen_core.errors import SettingError
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.detect import detect_config
from gpen_core.network.synthetic import identity_state_dict, random_state_dict

# As narrow as three channels at full resolution allow.
NARROW = [
    GpenConfig(256, 1, 0.0625),
    GpenConfig(512, 2, 0.0625),
    GpenConfig(1024, 2, 0.125),
    GpenConfig(2048, 2, 0.1875),
]


@pytest.mark.parametrize("config", NARROW, ids=lambda config: str(config.size))
def test_identity_state_dict_makes_the_network_return_its_input(config):
    network = build_model(identity_state_dict(config))
    generator = torch.Generator().manual_seed(0)
    crops = torch.rand(1, 3, config.size, config.size, generator=generator) * 2.4 - 1.2
    torch.testing.assert_close(network(crops), crops, rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [GpenConfig(256, 1, 0.03), GpenConfig(256, concat=False)])
def test_identity_state_dict_refuses_networks_without_a_way_around_the_decoder(config):
    with pytest.raises(SettingError, match="concat"):
        identity_state_dict(config)


def test_random_state_dict_is_complete_and_repeatable():
    config = GpenConfig(256, 1, 0.125)
    state_dict, again = random_state_dict(config, 3), random_state_dict(config, 3)
    assert detect_config(state_dict) == config
    assert all(torch.equal(state_dict[key], again[key]) for key in state_dict)
    other = random_state_dict(config, 4)
    assert not torch.equal(state_dict["ecd0.0.0.weight"], other["ecd0.0.0.weight"])
