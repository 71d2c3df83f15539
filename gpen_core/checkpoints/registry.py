"""The published model files: where they come from, and how they are recognised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..monitor import SILENT, Monitor

_REACTOR = (
    "https://huggingface.co/datasets/Gourieff/ReActor/resolve/main/models/facerestore_models/"
)
_FACEFUSION = "https://huggingface.co/facefusion/models-3.0.0/resolve/main/"
_VISOMASTER = "https://github.com/visomaster/visomaster-assets/releases/download/v0.1.0/"
_FACE_UPSCALERS = "https://huggingface.co/netrunner-exe/Face-Upscalers-onnx/resolve/main/"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/"
_MODELSCOPE = (
    "https://modelscope.cn/models/iic/cv_gpen_image-portrait-enhancement-hires/resolve/master/"
)

GPEN_LICENSE = "non-commercial use only"
FACEXLIB_LICENSE = "MIT"


@dataclass(frozen=True)
class KnownModel:
    """One published file. Hashes were recorded by the projects that distribute it."""

    filename: str
    url: str
    sha256: str | None = None
    """Lower-case hexadecimal; None where nobody published it."""
    n_bytes: int | None = None
    license: str = GPEN_LICENSE
    also: tuple[str, ...] = ()
    """SHA-256 of other files that were published under this name."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """All that a file of this name may have."""
        return self.also if self.sha256 is None else (self.sha256, *self.also)


GPEN_MODELS = (
    KnownModel(
        "GPEN-BFR-2048.onnx",
        _REACTOR + "GPEN-BFR-2048.onnx",
        "d0229ff43f979c360bd19daa9cd0ce893722d59f41a41822b9223ebbe4f89b3e",
    ),
    KnownModel(
        "GPEN-BFR-1024.onnx",
        _REACTOR + "GPEN-BFR-1024.onnx",
        "cec8892093d7b99828acde97bf231fb0964d3fb11b43f3b0951e36ef1e192a3e",
    ),
    KnownModel(
        "GPEN-BFR-512.onnx",
        _REACTOR + "GPEN-BFR-512.onnx",
        "bf80acb8e91ba8852e3f012505be2c3b6cd6b3eed5ec605e3db87863c4e74d4e",
        284244491,
        # Of VisoMaster's release v0.1.0, 284,250,449 bytes.
        also=("0960f836488735444d508b588e44fb5dfd19c68fde9163ad7878aa24d1d5115e",),
    ),
    KnownModel(
        "GPEN-BFR-256.onnx",
        _VISOMASTER + "GPEN-BFR-256.onnx",
        "aa5bd3ab238640a378c59e4a560f7a7150627944cf2129e6311ae4720e833271",
        75715262,
    ),
    KnownModel(
        "GPEN-BFR-256.fp16.onnx",
        _FACE_UPSCALERS + "GPEN-BFR-256.fp16.onnx",
        "30cdded7d14c4dff777856e3a32251849e2e46efeee2650ced2ef5b7d8116a2a",
    ),
    KnownModel(
        "gpen_bfr_2048.onnx",
        _FACEFUSION + "gpen_bfr_2048.onnx",
        "66d12a637118d71b00f5a290b8dac13c81c1c0326a127a1978799c6e17bb8d1f",
        285582766,
    ),
    KnownModel(
        "gpen_bfr_1024.onnx",
        _FACEFUSION + "gpen_bfr_1024.onnx",
        "bcd31aa52110a2005efc96abbab4546d57e42482648f08715b552423d96b381b",
        285203703,
    ),
    KnownModel(
        "gpen_bfr_512.onnx",
        _FACEFUSION + "gpen_bfr_512.onnx",
        "d5f066b9068a8b74217f9712e28e875a6144629b108a6f7355acbdb3a2832c54",
        284340240,
    ),
    KnownModel(
        "gpen_bfr_256.onnx",
        _FACEFUSION + "gpen_bfr_256.onnx",
        "bad8bf0426873828df2dbf4e3b3d9ababba9da7965b8b72426569486f7ae5c25",
        75792988,
    ),
    KnownModel("pytorch_model-2048.pt", _MODELSCOPE + "pytorch_model-2048.pt"),
    KnownModel("pytorch_model.pt", _MODELSCOPE + "pytorch_model.pt"),
    KnownModel(
        "GPEN-BFR-512.pth",
        "https://huggingface.co/akhaliq/GPEN-BFR-512/resolve/main/GPEN-BFR-512.pth",
        "f1002c41add95b0decad69604d80455576f7187dd99ca16bd611bcfd44c10b51",
        284085738,
    ),
)

BEST_DETECTOR = "retinaface_resnet50"
"""Of ``DETECTOR_MODELS``, the one that misses the fewest faces."""

DETECTOR_MODELS = {
    BEST_DETECTOR: KnownModel(
        "detection_Resnet50_Final.pth",
        _FACEXLIB + "v0.1.0/detection_Resnet50_Final.pth",
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        109497761,  # RetinaFace-R50.pth of the authors of GPEN is the same file
        FACEXLIB_LICENSE,
    ),
    "retinaface_mobile0.25": KnownModel(
        "detection_mobilenet0.25_Final.pth",
        _FACEXLIB + "v0.1.0/detection_mobilenet0.25_Final.pth",
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        1789735,
        FACEXLIB_LICENSE,
    ),
}

PARSER_MODELS = {
    "parsenet": KnownModel(
        "parsing_parsenet.pth",
        _FACEXLIB + "v0.2.2/parsing_parsenet.pth",
        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
        85331193,
        FACEXLIB_LICENSE,
    ),
    "bisenet": KnownModel(
        "parsing_bisenet.pth",
        _FACEXLIB + "v0.2.0/parsing_bisenet.pth",
        "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
        license=FACEXLIB_LICENSE,
    ),
}

KNOWN_MODELS = (*GPEN_MODELS, *DETECTOR_MODELS.values(), *PARSER_MODELS.values())
"""All of them; no two have the same name."""


def find_known(filename: str) -> KnownModel | None:
    """The published file of this name."""
    return next((model for model in KNOWN_MODELS if model.filename == filename), None)


def file_sha256(path: Path, monitor: Monitor = SILENT) -> str:
    """The hash of a file, in lower-case hexadecimal.

    Args:
        path: Any file.
        monitor: Asked for interruption now and then; progress is not reported.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**22):
            digest.update(block)
            monitor.check_interrupt()
    return digest.hexdigest()
