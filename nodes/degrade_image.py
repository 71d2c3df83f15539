"""IMAGE -> the same image damaged on purpose, to try restorers on."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    DEGRADE_PRESETS,
    DegradeSettings,
    DegradeSettingsError,
    degrade,
    draw_steps,
    find_preset,
)
from .host import (
    show_text_in_running_node,
    to_channels_first,
    to_channels_last,
)
from .progress import node_monitor
from .schema import node_schema
from .widget_values import checks_widgets

CUSTOM = "custom"
_AS_PRESET = "Empty: as in the preset."
_MAX_SEED = 2**64 - 1

CHANGES = {
    "grey": ("color.grey", "Probability that the picture becomes grey, 0 to 1."),
    "color_shift": (
        "color.shift",
        "How far red, green and blue are moved up or down, in 8-bit steps, such as 5 or 0-20. 0: "
        "not at all.",
    ),
    "brightness": ("color.brightness", "Brightness factor, such as 0.5-1.5. 1: unchanged."),
    "contrast": ("color.contrast", "Contrast factor, such as 0.5-1.5. 1: unchanged."),
    "saturation": (
        "color.saturation",
        "Saturation factor, such as 0-1.5. 0: grey. 1: unchanged.",
    ),
    "blur": (
        "blur.sigma",
        "Sigma of the blur, in pixels of a 512-pixel picture, such as 3 or 0.5-4. 0: none.",
    ),
    "blur_kinds": (
        "blur.kinds",
        "Shapes of the blur with their weights, such as gaussian 0.7, anisotropic 0.3. There are "
        "also generalized, plateau and sinc.",
    ),
    "motion": (
        "motion.length",
        "Length of a straight motion blur, in pixels of a 512-pixel picture, such as 5-15. 1: "
        "none.",
    ),
    "downscale": (
        "resize.factor",
        "What the sides are divided by, such as 4 or 1-8; at the end the picture is enlarged to "
        "its old size. 1: not shrunk.",
    ),
    "interpolation": (
        "resize.interpolation",
        "How it is shrunk, with weights, such as area 0.5, bilinear 0.5. There are also bicubic "
        "and nearest.",
    ),
    "tilt": (
        "tilt.degrees",
        "Angle in degrees by which the picture is turned and turned back, such as 0-15. 0: not "
        "turned.",
    ),
    "noise": (
        "noise.sigma",
        "Sigma of Gaussian noise and speckle in 8-bit steps, such as 10 or 0-20. 0: none.",
    ),
    "noise_kinds": (
        "noise.kinds",
        "Kinds of noise with their weights, such as gaussian 0.5, poisson 0.5. There are also "
        "speckle and salt and pepper.",
    ),
    "poisson": (
        "noise.poisson",
        "Factor of Poisson noise, such as 0.05-3; for poisson in noise_kinds. 0: none.",
    ),
    "salt_and_pepper": (
        "noise.amount",
        "Share of values that become white or black, such as 0.01; for salt and pepper in "
        "noise_kinds. 0: none.",
    ),
    "grey_noise": ("noise.grey", "Probability that the noise has no colour, 0 to 1."),
    "sharpen": (
        "sharpen.amount",
        "How much fine detail is exaggerated before JPEG, such as 0-0.6. 0: not at all.",
    ),
    "jpeg": ("jpeg.quality", "JPEG quality, such as 40 or 30-80. 100: not compressed."),
    "blur_2": (
        "blur_2.sigma",
        "Sigma of a second blur after JPEG, in pixels of a 512-pixel picture, such as 0.2-1.5. "
        "0: none.",
    ),
    "downscale_2": (
        "resize_2.factor",
        "What the sides of the whole picture are divided by the second time, such as 4. 1: the "
        "size is kept.",
    ),
    "noise_2": (
        "noise_2.sigma",
        "Sigma of a second noise in 8-bit steps, such as 0-20. 0: none.",
    ),
    "jpeg_2": ("jpeg_2.quality", "Quality of a second JPEG, such as 30-80. 100: not compressed."),
    "sinc": (
        "sinc.probability",
        ("Probability of a filter that causes ringing beside edges, 0 to 1."),
    ),
    "sepia": ("age.sepia", "Probability that the picture becomes brown, 0 to 1."),
    "fade": (
        "age.contrast",
        ("Contrast that is left in an old print, such as 0.6-0.9. 1: not faded."),
    ),
    "black_lift": ("age.black", "How far black has become grey, such as 0.02-0.08. 0: not at all."),
    "scratches": (
        "age.scratches",
        "How many scratches, such as 0-6; the same on all frames of a clip. 0: none.",
    ),
    "dust": (
        "age.dust",
        ("How many specks of dust, such as 0-60; different on each frame. 0: none."),
    ),
}
"""Of each widget: the setting that it changes, and what it is."""


class GpenDegrade(io.ComfyNode):
    """Damage pictures on purpose. The work is done in gpen_core."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_Degrade",
            search_aliases=["blur", "noise", "jpeg", "damage", "old photo", "compression"],
            display_name="Degrade Image (GPEN)",
            description=(
                "Damages pictures as cameras, networks and time do: blur, loss of resolution, "
                "noise, JPEG, scratches. For testing and training restorers."
            ),
            shown=(
                "preset",
                "strength",
                "seed",
                "same_for_all",
            ),
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="One image or a batch, RGB or RGBA. Size and alpha are kept.",
                ),
                io.Combo.Input(
                    "preset",
                    options=[*DEGRADE_PRESETS, CUSTOM],
                    default="gfpgan",
                    tooltip=(
                        "What is done. gpen, gfpgan, codeformer, codeformer-light, real-esrgan: "
                        "what these networks were trained to undo. old photo, webcam, swap-128: "
                        "what people want restored. custom: only what is set below."
                    ),
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How strong the damage is, in every respect. 0: the image is unchanged, "
                        "bit for bit. 1: as the preset says."
                    ),
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=_MAX_SEED,
                    step=1,
                    control_after_generate=True,
                    tooltip=(
                        "Decides everything that is left to chance. The same seed gives the "
                        "same damage."
                    ),
                ),
                io.Boolean.Input(
                    "same_for_all",
                    default=False,
                    tooltip=(
                        "On for the frames of a clip: all are damaged alike, each with its own "
                        "noise and dust. Off: each image in its own way."
                    ),
                ),
                *(_change_input(name, tooltip) for name, (_, tooltip) in CHANGES.items()),
            ],
            outputs=[
                io.Image.Output(
                    "degraded",
                    display_name="image",
                    tooltip="The damaged images, with the size, number and order of the input.",
                ),
                io.String.Output(
                    "text",
                    display_name="text",
                    tooltip="What was done to the first image, step by step.",
                ),
            ],
        )

    @classmethod
    @checks_widgets
    def execute(
        cls,
        image: Tensor,
        preset: str,
        strength: float,
        seed: int,
        same_for_all: bool,
        **changes: str,
    ) -> io.NodeOutput:
        """Damage the images."""
        settings = DegradeSettings() if preset == CUSTOM else find_preset(preset)
        for name, text in changes.items():
            if text.strip():
                settings = _changed(settings, name, text)
        images = to_channels_first(image)
        degraded = degrade(
            images,
            settings,
            seed=seed,
            strength=strength,
            same_for_all=same_for_all,
            monitor=node_monitor(len(images)),
        )
        steps = draw_steps(
            settings, (images.shape[2], images.shape[3]), seed=seed, strength=strength
        )
        text = "; ".join(map(str, steps)) or "nothing was done"
        show_text_in_running_node(text)
        return io.NodeOutput(to_channels_last(degraded), text)


def _changed(settings: DegradeSettings, name: str, text: str) -> DegradeSettings:
    path, _ = CHANGES[name]
    try:
        return settings.changed({path: text})
    except DegradeSettingsError as error:  # by the name that the user sees
        raise DegradeSettingsError(f"{name}{str(error).removeprefix(path)}") from error


def _change_input(name: str, tooltip: str) -> io.Input:
    """A number or range that stands in for the preset's."""
    return io.String.Input(name, default="", tooltip=f"{tooltip} {_AS_PRESET}")
