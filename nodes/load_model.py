"""Checkpoint -> GPEN_MODEL."""

from __future__ import annotations

from comfy_api.latest import io

from .host import AUTO, DTYPES, checkpoint_path, host_model, list_checkpoints
from .types import CATEGORY, GpenModelSocket


class GpenLoadModel(io.ComfyNode):
    """Load a GPEN checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return io.Schema(
            node_id="GPEN_LoadModel",
            display_name="Load GPEN Model",
            category=CATEGORY,
            description=(
                "Loads a GPEN checkpoint (.pth, .pt, .bin, .safetensors or .onnx). Size and "
                "variant are read off the weights; the file's name does not matter."
            ),
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=list_checkpoints(),
                    tooltip=(
                        "Checkpoint file in models/facerestore_models or models/gpen. Published "
                        "models that are not there yet stand at the end of the list; choosing one "
                        "tells where to get it."
                    ),
                ),
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *DTYPES],
                    default=AUTO,
                    tooltip=(
                        "Precision of the network. auto: fp16 or bf16 where the device is fast "
                        "at it, else fp32. fp32 is the most exact and takes twice the memory."
                    ),
                ),
            ],
            outputs=[
                GpenModelSocket.Output(
                    "model",
                    display_name="GPEN_MODEL",
                    tooltip="The network, for Restore Faces (GPEN).",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, dtype: str) -> tuple[str, int]:
        """Load again when the file has changed."""
        try:
            return dtype, checkpoint_path(model_name).stat().st_mtime_ns
        except FileNotFoundError:
            return dtype, 0  # execute says what is missing

    @classmethod
    def execute(cls, model_name: str, dtype: str) -> io.NodeOutput:
        """Load the model."""
        return io.NodeOutput(host_model(model_name, dtype))
