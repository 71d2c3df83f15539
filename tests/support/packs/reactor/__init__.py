"""A stand-in for ReActor: the same nodes, sockets and quirks, and a swap that needs no model.

Quirks, read in ReActor's nodes.py: 8 bits inside, truncated; a list that is shorter by the frames
that a filter flags, one black 512x512 image for the original too if it flags all; switched off it
returns the input and the face model alone. A frame is flagged here if its first pixel is red.
The folders of facerestore_models are replaced at import, without those that users added.
"""

import importlib.util
from pathlib import Path

import folder_paths
import numpy as np
import torch
from facexlib.detection.retinaface import RetinaFace
from safetensors.torch import load_file

folder_paths.folder_names_and_paths["facerestore_models"] = (
    [str(Path(folder_paths.models_dir) / "facerestore_models")],
    folder_paths.supported_pt_extensions,
)

_FILE = Path(__file__).resolve().parents[2] / "geometric_swap.py"
_SPEC = importlib.util.spec_from_file_location("geometric_swap", _FILE)
geometric_swap = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(geometric_swap)

_REPOSITORY = Path(__file__).resolve().parents[4]
_WEIGHTS = _REPOSITORY / "gpen_core" / "bundled" / "retinaface_mobile0.25.safetensors"

ORDERS = ["left-right", "right-left", "top-bottom", "bottom-top", "small-large", "large-small"]
GENDERS = ["no", "female", "male"]


def find_faces(picture: np.ndarray) -> np.ndarray:
    network = RetinaFace("mobile0.25", device="cpu")
    network.load_state_dict(load_file(_WEIGHTS))
    with torch.no_grad():
        return network.eval().detect_faces(picture[..., ::-1].astype(np.float32), 0.8)


def to_8_bits(images: torch.Tensor) -> list[np.ndarray]:
    return [(image[..., :3].cpu().numpy() * 255).astype(np.uint8) for image in images]


def to_images(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def is_flagged(picture: np.ndarray) -> bool:
    return tuple(picture[0, 0]) == (255, 0, 0)


class ReActorFaceSwap:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "enabled": ("BOOLEAN", {"default": True, "label_off": "OFF", "label_on": "ON"}),
                "input_image": ("IMAGE",),
                "swap_model": (["inswapper_128.onnx"],),
                "facedetection": (
                    ["retinaface_resnet50", "retinaface_mobile0.25", "YOLOv5l", "YOLOv5n"],
                ),
                "face_restore_model": (["none", "GPEN-BFR-512.onnx"],),
                "face_restore_visibility": (
                    "FLOAT",
                    {"default": 1, "min": 0.1, "max": 1, "step": 0.05},
                ),
                "codeformer_weight": (
                    "FLOAT",
                    {"default": 0.5, "min": 0.0, "max": 1, "step": 0.05},
                ),
                "detect_gender_input": (GENDERS, {"default": "no"}),
                "detect_gender_source": (GENDERS, {"default": "no"}),
                "input_faces_index": ("STRING", {"default": "0"}),
                "source_faces_index": ("STRING", {"default": "0"}),
                "console_log_level": ([0, 1, 2], {"default": 1}),
            },
            "optional": {
                "source_image": ("IMAGE",),
                "face_model": ("FACE_MODEL",),
                "face_boost": ("FACE_BOOST",),
            },
            "hidden": {"faces_order": "FACES_ORDER"},
        }

    RETURN_TYPES = ("IMAGE", "FACE_MODEL", "IMAGE")
    RETURN_NAMES = ("SWAPPED_IMAGE", "FACE_MODEL", "ORIGINAL_IMAGE")
    FUNCTION = "execute"
    CATEGORY = "ReActor"

    def execute(
        self,
        enabled,
        input_image,
        input_faces_index="0",
        source_faces_index="0",
        source_image=None,
        face_model=None,
        faces_order=("large-small", "large-small"),
        **_widgets,
    ):
        if not enabled or (source_image is None and face_model is None):
            return (input_image, face_model)
        pictures = [p for p in to_8_bits(input_image) if not is_flagged(p)]
        if not pictures:
            black = torch.zeros(1, 512, 512, 3)
            return (black, None, black)
        (source,) = to_8_bits(source_image[:1])
        source_faces = find_faces(source)
        indices = [int(i) for i in input_faces_index.split(",")]
        source_indices = [int(i) for i in source_faces_index.split(",")]
        source_indices += [source_indices[0]] * (len(indices) - len(source_indices))
        swapped = [
            geometric_swap.swap_faces(
                picture,
                find_faces(picture),
                source,
                source_faces,
                indices,
                source_indices,
                tuple(faces_order or ("large-small", "large-small")),
            )
            for picture in pictures
        ]
        return (to_images(swapped), face_model or "face of the source", input_image)


class ReActorFaceSwapOpt:
    @classmethod
    def INPUT_TYPES(cls):
        types = ReActorFaceSwap.INPUT_TYPES()
        names = [
            "enabled",
            "input_image",
            "swap_model",
            "facedetection",
            "face_restore_model",
            "face_restore_visibility",
            "codeformer_weight",
        ]
        return {
            "required": {name: types["required"][name] for name in names},
            "optional": {
                "source_image": ("IMAGE",),
                "face_model": ("FACE_MODEL",),
                "options": ("OPTIONS",),
                "face_boost": ("FACE_BOOST",),
            },
        }

    RETURN_TYPES = ReActorFaceSwap.RETURN_TYPES
    RETURN_NAMES = ReActorFaceSwap.RETURN_NAMES
    FUNCTION = "execute"
    CATEGORY = "ReActor"

    def execute(self, options=None, **inputs):
        options = options or {}
        orders = (
            options.get("input_faces_order", "large-small"),
            options.get("source_faces_order", "large-small"),
        )
        return ReActorFaceSwap().execute(
            **inputs,
            input_faces_index=options.get("input_faces_index", "0"),
            source_faces_index=options.get("source_faces_index", "0"),
            faces_order=orders,
        )


class ReActorOptions:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "input_faces_order": (ORDERS, {"default": "large-small"}),
                "input_faces_index": ("STRING", {"default": "0"}),
                "detect_gender_input": (GENDERS, {"default": "no"}),
                "source_faces_order": (ORDERS, {"default": "large-small"}),
                "source_faces_index": ("STRING", {"default": "0"}),
                "detect_gender_source": (GENDERS, {"default": "no"}),
                "console_log_level": ([0, 1, 2], {"default": 1}),
                "restore_swapped_only": ("BOOLEAN", {"default": True}),
            }
        }

    RETURN_TYPES = ("OPTIONS",)
    FUNCTION = "execute"
    CATEGORY = "ReActor"

    def execute(self, **options):
        return (options,)


NODE_CLASS_MAPPINGS = {
    "ReActorFaceSwap": ReActorFaceSwap,
    "ReActorFaceSwapOpt": ReActorFaceSwapOpt,
    "ReActorOptions": ReActorOptions,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "ReActorFaceSwap": "ReActor 🌌 Fast Face Swap",
    "ReActorFaceSwapOpt": "ReActor 🌌 Fast Face Swap [OPTIONS]",
    "ReActorOptions": "ReActor 🌌 Options",
}
