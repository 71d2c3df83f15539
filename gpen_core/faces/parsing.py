"""Which pixels of a face crop are skin, eyes, hair and so on: facexlib's two parsing networks.

ParseNet is from PSFRGAN (C. Chen et al., "Progressive Semantic-Aware Style Transformation for Blind
Face Restoration", CVPR 2021), BiSeNet from C. Yu et al., "BiSeNet: Bilateral Segmentation Network
for Real-time Semantic Segmentation", ECCV 2018. Both were trained on CelebAMask-HQ. The layers are
facexlib's, so that its checkpoints load; everything around them is done here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoints.safe_load import read_tensors
from ..checkpoints.strict_load import load_weights, recognize
from ..errors import NonFiniteOutputError, SettingError, TensorSpecError
from ..geometry.resizing import resize
from ..images.batches import run_in_parts
from ..images.validation import check_finite
from ..monitor import SILENT, Monitor
from ..settings import Choice

PARSING_SIZE = 512
"""Height and width in pixels of the crops that the networks were trained on."""
DEFAULT_MAX_BATCH = 4


class FaceRegion(Choice):
    """Part of a face crop. Together the regions make up the whole crop."""

    BACKGROUND = "background"
    """Everything else, a hand before the face included."""
    SKIN = "skin"
    """Of the face, cheeks to forehead."""
    BROWS = "brows"
    EYES = "eyes"
    GLASSES = "glasses"
    """Frames and lenses, with what is seen through them."""
    NOSE = "nose"
    MOUTH = "mouth"
    """Between the lips: teeth and tongue."""
    LIPS = "lips"
    EARS = "ears"
    EARRING = "earring"
    HAIR = "hair"
    HAT = "hat"
    NECK = "neck"
    NECKLACE = "necklace"
    CLOTH = "cloth"


REGIONS = tuple(FaceRegion)
"""The order of the regions in the result of ``parse_faces``."""
FACE_REGIONS = (
    FaceRegion.SKIN,
    FaceRegion.BROWS,
    FaceRegion.EYES,
    FaceRegion.NOSE,
    FaceRegion.MOUTH,
    FaceRegion.LIPS,
)
"""The face alone: no hair, nothing that is worn, nothing before it."""


@dataclass(frozen=True)
class _Spec:
    """What differs between the two networks."""

    mean: tuple[float, float, float]  # of RGB in [0, 1], subtracted
    std: tuple[float, float, float]  # divided by
    labels: dict[FaceRegion, tuple[int, ...]]  # the network's labels of each region
    signature: str  # a tensor that the other network does not have
    activation_bytes: int  # most that is alive of one face in float32, counted tensor by tensor


_N_LABELS = 19
_SPECS = {
    # Normalisation: facexlib 0.3.0, utils/face_restoration_helper.py:306. The 19 labels in order:
    # facexlib's repository, inference/inference_parsing_parsenet.py: background, skin, nose, eye_g,
    # l_eye, r_eye, l_brow, r_brow, l_ear, r_ear, mouth, u_lip, l_lip, hair, hat, ear_r, neck_l,
    # neck, cloth.
    "parsenet": _Spec(
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        labels={
            FaceRegion.BACKGROUND: (0,),
            FaceRegion.SKIN: (1,),
            FaceRegion.NOSE: (2,),
            FaceRegion.GLASSES: (3,),
            FaceRegion.EYES: (4, 5),
            FaceRegion.BROWS: (6, 7),
            FaceRegion.EARS: (8, 9),
            FaceRegion.MOUTH: (10,),
            FaceRegion.LIPS: (11, 12),
            FaceRegion.HAIR: (13,),
            FaceRegion.HAT: (14,),
            FaceRegion.EARRING: (15,),
            FaceRegion.NECKLACE: (16,),
            FaceRegion.NECK: (17,),
            FaceRegion.CLOTH: (18,),
        },
        signature="out_mask_conv.conv2d.weight",
        activation_bytes=391 * 2**20,
    ),
    # Both: facexlib's repository, inference/inference_parsing.py, which agrees with test.py and
    # face_dataset.py of zllrunning/face-parsing.PyTorch, where the network was trained: background,
    # skin, l_brow, r_brow, l_eye, r_eye, eye_g, l_ear, r_ear, ear_r, nose, mouth, u_lip, l_lip,
    # neck, neck_l, cloth, hair, hat.
    "bisenet": _Spec(
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        labels={
            FaceRegion.BACKGROUND: (0,),
            FaceRegion.SKIN: (1,),
            FaceRegion.BROWS: (2, 3),
            FaceRegion.EYES: (4, 5),
            FaceRegion.GLASSES: (6,),
            FaceRegion.EARS: (7, 8),
            FaceRegion.EARRING: (9,),
            FaceRegion.NOSE: (10,),
            FaceRegion.MOUTH: (11,),
            FaceRegion.LIPS: (12, 13),
            FaceRegion.NECK: (14,),
            FaceRegion.NECKLACE: (15,),
            FaceRegion.CLOTH: (16,),
            FaceRegion.HAIR: (17,),
            FaceRegion.HAT: (18,),
        },
        signature="cp.resnet.conv1.weight",
        activation_bytes=77 * 2**20,
    ),
}

PARSER_NAMES = tuple(_SPECS)
"""Names of the parsers."""


class FaceParser(nn.Module):
    """A parsing network with its preprocessing. A plain module: the caller moves and casts it."""

    def __init__(self, name: str) -> None:
        """Build the network without weights.

        Args:
            name: One of ``PARSER_NAMES``.
        """
        super().__init__()
        self.name = name
        self.network = _build_network(name)
        self.eval()

    def activation_bytes(self) -> int:
        """How much memory one face takes while it is processed, without the weights."""
        return _SPECS[self.name].activation_bytes

    def forward(self, crops: Tensor) -> Tensor:
        """Run the network.

        Args:
            crops: (N, 3, H, W) floating point RGB in [0, 1], on the parser's device. H and W are
                multiples of 32; the networks know faces in crops of ``PARSING_SIZE``.

        Returns:
            (N, len(REGIONS), H, W) float32 probabilities in the order of ``REGIONS``, which sum
            to 1. They do not depend on which network it is, other than by its judgement.
        """
        spec = _SPECS[self.name]
        weight = next(self.parameters())
        # No buffers: ComfyUI's layer-by-layer loading moves only modules that have parameters.
        mean = torch.tensor(spec.mean, device=crops.device).view(3, 1, 1)
        std = torch.tensor(spec.std, device=crops.device).view(3, 1, 1)
        logits = self.network(((crops.float() - mean) / std).to(weight.dtype))[0]
        probabilities = logits.float().softmax(dim=1)  # [N, 19, H, W]
        return torch.stack([probabilities[:, spec.labels[r]].sum(1) for r in REGIONS], dim=1)


def load_parser(path: str | Path, device: torch.device | str = "cpu") -> FaceParser:
    """Load a face parser; which one it is, is detected from its weights.

    Args:
        path: A checkpoint, such as facexlib's parsing_parsenet.pth or parsing_bisenet.pth; the
            same tensors as .safetensors do as well.
        device: Where to put it.

    Returns:
        The parser in float32, in evaluation mode, without gradients.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointReadError: It cannot be read; ``UnsafeCheckpointError`` if it is not safe to.
        CheckpointMismatchError: It holds another model.
    """
    path = Path(path)
    tensors = read_tensors(path)
    signatures = {name: spec.signature for name, spec in _SPECS.items()}
    name = recognize(tensors, path, kind="face parser", signatures=signatures)
    parser = FaceParser(name)
    load_weights(parser.network, tensors, path, name)
    return parser.requires_grad_(False).to(device)


@torch.no_grad()
def parse_faces(
    crops: Tensor,
    parser: FaceParser,
    *,
    max_batch: int = DEFAULT_MAX_BATCH,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Find out how likely each pixel belongs to each region.

    Probabilities and not labels, because they add up: a pixel that is either skin or nose is
    certain to be face, and the mask of a region has soft edges from the start.

    Args:
        crops: (N, 3, S, S) floating point RGB in [0, 1], aligned faces of any size, on any device.
            Not modified. They are resized to ``PARSING_SIZE``, with antialiasing.
        parser: From ``load_parser``.
        max_batch: Faces in one call of the network. Where they do not fit into the device's
            memory together, they are halved until they do.
        monitor: Told of progress in faces.

    Returns:
        (N, len(REGIONS), 512, 512) float32 on the crops' device, in the order of ``REGIONS``, for
        ``region_mask``: the probabilities of each pixel sum to 1. 16 MB a face.

    Raises:
        TensorSpecError: ``crops`` is of another shape or dtype, or has NaN or infinity in it.
        NonFiniteOutputError: The network returned NaN or infinity.
        DeviceMemoryError: Not even one face fits.
        SettingError: ``max_batch`` is out of range.
    """
    _check_crops(crops)
    if max_batch < 1:
        raise SettingError(f"max_batch: expected at least 1, got {max_batch}. Try 4.")
    device = next(parser.parameters()).device
    count = len(crops)
    too_little = (
        "parser: expected memory for one face, got less than the "
        f"{parser.activation_bytes() / 2**20:.0f} MB it takes. Close what else uses the device."
    )
    parsed = torch.empty(
        (count, len(REGIONS), PARSING_SIZE, PARSING_SIZE), dtype=torch.float32, device=crops.device
    )
    for start in range(0, count, max_batch):
        monitor.check_interrupt()
        chunk = crops[start : start + max_batch]
        check_finite(chunk, start, subject="crop")
        resized = resize(chunk.float(), (PARSING_SIZE, PARSING_SIZE), "bilinear").clamp(0, 1)
        probabilities = torch.cat(run_in_parts(parser, resized.to(device), too_little))
        if not bool(probabilities.isfinite().all()):
            raise NonFiniteOutputError(
                "parser: expected finite probabilities, got NaN or infinity. "
                "Use it in float32; if it is, the weights are damaged."
            )
        parsed[start : start + max_batch] = probabilities
        monitor.on_progress(start + len(chunk), count)
    return parsed


def _check_crops(crops: Tensor) -> None:
    shape = tuple(crops.shape)
    if crops.ndim != 4 or shape[1] != 3 or shape[2] != shape[3] or shape[2] == 0:
        hint = "Give aligned RGB crops, channels first."
        if crops.ndim == 4 and shape[3] == 3:
            hint = "Put the channels first: crops.movedim(-1, 1)."
        elif crops.ndim == 4 and shape[1] == 4:
            hint = "Leave the alpha channel out: crops[:, :3]."
        raise TensorSpecError(f"crops: expected (N, 3, S, S), got {shape}. {hint}")
    if not crops.is_floating_point():
        raise TensorSpecError(
            f"crops: expected floating point in [0, 1], got {crops.dtype}. "
            "Convert 8-bit images with crops / 255."
        )


def _build_network(name: str) -> nn.Module:
    # Imported here: facexlib brings in OpenCV, numba and scipy, which takes seconds. Its networks
    # take no weights from anywhere when they are built; its ``init_parsing_model`` would.
    from facexlib.parsing.bisenet import BiSeNet
    from facexlib.parsing.parsenet import ParseNet

    # On "meta" the weights are not drawn: no time lost, global random state untouched.
    with torch.device("meta"):
        if name == "parsenet":
            network = ParseNet(in_size=PARSING_SIZE, out_size=PARSING_SIZE, parsing_ch=_N_LABELS)
        else:
            network = BiSeNet(num_class=_N_LABELS)
    return cast(nn.Module, network.to_empty(device="cpu"))
