"""The one ComfyUI server that host and browser tests share: starting it is most of their time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from comfy_server import PACK_NAME, ComfyServer
from environment import REPOSITORY
from gpen_core.checkpoints.checkpoint import NOTICE_KEY, save_checkpoint
from gpen_core.faces.parsing import FaceParser
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict, random_state_dict
from support.crowd import crowd
from support.hostile import Bomb
from support.networks import IDENTITY_NOTICE

STAND_INS = Path(__file__).resolve().parent / "packs"


def doubling_upscale_model() -> dict[str, torch.Tensor]:
    """A Real-ESRGAN Compact network that adds nothing: its input with every pixel doubled."""
    return {
        "body.0.weight": torch.zeros(8, 3, 3, 3),
        "body.0.bias": torch.zeros(8),
        "body.1.weight": torch.zeros(8),
        "body.2.weight": torch.zeros(8, 8, 3, 3),
        "body.2.bias": torch.zeros(8),
        "body.3.weight": torch.zeros(8),
        "body.4.weight": torch.zeros(12, 8, 3, 3),
        "body.4.bias": torch.zeros(12),
    }


@pytest.fixture(scope="session")
def bomb_marker(tmp_path_factory) -> Path:
    """The file that appears if the code in hostile.pth is ever run."""
    return tmp_path_factory.mktemp("bomb") / "executed"


@pytest.fixture(scope="session")
def synthetic_models(tmp_path_factory, bomb_marker) -> Path:
    """A ComfyUI models folder with checkpoints that nobody trained, good and bad."""
    folder = tmp_path_factory.mktemp("models")
    gpen, shared = folder / "gpen", folder / "facerestore_models"
    gpen.mkdir()
    shared.mkdir()
    identity = identity_state_dict(GpenConfig(512, 2, 0.0625))
    random = random_state_dict(GpenConfig(256, 1, 0.0625))
    save_checkpoint(identity, gpen / "GPEN-identity-512.safetensors", {NOTICE_KEY: IDENTITY_NOTICE})
    torch.save(random, shared / "GPEN-random-256.pth")
    torch.save({**random, "bomb": Bomb(bomb_marker)}, shared / "hostile.pth")
    torch.save({"params_ema": {"stylegan_decoder.x": torch.zeros(1)}}, shared / "GFPGANv1.4.pth")
    whole = (gpen / "GPEN-identity-512.safetensors").read_bytes()
    (shared / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    (shared / "notes.txt").write_text("not a checkpoint")
    (folder / "facedetection").mkdir()
    torch.manual_seed(0)
    parser = FaceParser("bisenet").network.state_dict()
    weights = {
        key: torch.ones(w.shape) if key.endswith("running_var") else torch.randn(w.shape) * 0.1
        for key, w in parser.items()
    }
    torch.save(weights, folder / "facedetection" / "parsing_bisenet.pth")
    (folder / "upscale_models").mkdir()
    torch.save(doubling_upscale_model(), folder / "upscale_models" / "double.pth")
    return folder


@pytest.fixture(scope="session")
def model_folders(synthetic_models) -> list[Path]:
    """The synthetic models, and those of GPEN_MODELS_DIR if it is set."""
    named = os.environ.get("GPEN_MODELS_DIR")
    return [synthetic_models, *([Path(named)] if named else [])]


@pytest.fixture(scope="session")
def packs() -> dict[str, Path]:
    """The pack, and stand-ins for ReActor and VideoHelperSuite."""
    return {
        PACK_NAME: REPOSITORY,
        "comfyui-reactor": STAND_INS / "reactor",
        "comfyui-videohelpersuite": STAND_INS / "video_helper",
    }


@pytest.fixture(scope="session")
def comfy(model_folders, packs) -> Iterator[ComfyServer]:
    """A running ComfyUI with the packs, on the CPU, that downloads nothing."""
    with ComfyServer(models=model_folders, packs=packs, variables={"GPEN_DOWNLOAD": "0"}) as server:
        yield server


@pytest.fixture(scope="module")
def astronaut_name(comfy, astronaut_pixels) -> str:
    """Under which LoadImage finds the photo of the astronaut."""
    return comfy.upload_image(astronaut_pixels, "astronaut.png")


@pytest.fixture(scope="module")
def crowd_name(comfy) -> str:
    """Under which LoadImage finds the group photo."""
    return comfy.upload_image(crowd(), "crowd.png")
