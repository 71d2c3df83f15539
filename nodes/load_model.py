"""Checkpoint -> GPEN_MODEL."""

from __future__ import annotations

from comfy_api.latest import io

from ..gpen_core import DTYPES
from .host import AUTO
from .models import (
    absent_checkpoints,
    downloads_are_allowed,
    files_behind,
    host_model,
    list_checkpoints,
)
from .schema import node_schema
from .types import GpenModelSocket
from .widget_values import checks_widgets


class GpenLoadModel(io.ComfyNode):
    """Load a GPEN checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        model_name = io.Combo.Input(
            "model_name",
            options=list_checkpoints(),
            default=AUTO,
            tooltip=(
                "auto: the largest GPEN checkpoint in models/facerestore_models or models/gpen, "
                "else the small one that comes with the pack; the node says which, and nothing is "
                "downloaded. GPEN-small-256 (bundled): that small one. Published models that are "
                "not on disk are at the end of the list; choosing one downloads it."
            ),
        )
        # For the web page, which shows the notes: the values stay plain file names, so that a
        # saved workflow holds before and after the file has come.
        model_name.extra_dict = {"gpen_absent": absent_checkpoints()}
        return node_schema(
            node_id="GPEN_LoadModel",
            search_aliases=[
                "gpen checkpoint",
                "gpen loader",
                "gan prior embedded network",
                "face restoration model",
                "gpen-bfr",
            ],
            display_name="Load GPEN Model",
            description=(
                "Loads a GPEN checkpoint (.pth, .pt, .bin, .safetensors or .onnx). Size and "
                "variant are detected from the weights; the file name does not matter."
            ),
            inputs=[
                model_name,
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *DTYPES],
                    default=AUTO,
                    tooltip=(
                        "Precision of the network. auto: fp16 or bf16 where the device is fast "
                        "at it, else fp32. fp32 is the most exact and takes twice the memory."
                    ),
                ),
                io.Boolean.Input(
                    "download",
                    default=downloads_are_allowed(),
                    optional=True,
                    tooltip=(
                        "Whether a published model that is not on disk is downloaded into "
                        "models/facerestore_models when the workflow runs. Off: the node says "
                        "where to get it. The environment variable GPEN_DOWNLOAD=0 turns it off "
                        "for all nodes."
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
    def fingerprint_inputs(
        cls, model_name: str, dtype: str, download: bool = True
    ) -> tuple[object, ...]:
        """Load again when the file has changed, or when auto would take another."""
        return dtype, *((str(path), path.stat().st_mtime_ns) for path in files_behind(model_name))

    @classmethod
    @checks_widgets
    def execute(cls, model_name: str, dtype: str, download: bool = True) -> io.NodeOutput:
        """Load the model."""
        return io.NodeOutput(host_model(model_name, dtype, download))
