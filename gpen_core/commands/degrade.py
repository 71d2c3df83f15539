"""``degrade INPUT... --output DIR --preset NAME``: damage pictures on purpose."""

from __future__ import annotations

import argparse
import sys
import textwrap
from functools import partial
from typing import Any

from .. import (
    DEGRADE_PRESETS,
    DegradeSettings,
    GpenError,
    Job,
    MediaError,
    degrade_picture,
    find_preset,
    setting_paths,
)
from .argument_types import share, whole
from .batch import NOT_STARTED, Report, add_batch_arguments, plan_batch, run_batch
from .progress import Progress

_CUSTOM = "custom"
_PRESETS = {name.replace(" ", "-"): name for name in (*DEGRADE_PRESETS, _CUSTOM)}

_SETTINGS = textwrap.fill(
    ", ".join(setting_paths()), 100, initial_indent="  ", subsequent_indent="  "
)
EPILOG = f"""\
Pictures (PNG, JPEG, WebP, TIFF, BMP) are written in their own format with 8 or 16 bits, alpha and
metadata; a JPEG is therefore compressed once more, and grey pictures stay grey. A folder is
mirrored in the output. The damage to a picture depends on the seed and its name alone.

settings:
{_SETTINGS}
Each takes a number, a range such as 30-60 from which values are drawn evenly, or kinds with
weights such as "gaussian 0.7, sinc 0.3". Pixels are those of a picture with a short side of 512.

exit status:
  0    everything was damaged, or existed already with --resume
  1    some inputs failed, each with a line on stderr; all others were damaged
  2    nothing was started: wrong arguments
  130  interrupted with Ctrl-C
"""


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser(
        "degrade",
        description="Damage pictures on purpose, to test or train restorers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_batch_arguments(parser)
    group = parser.add_argument_group("what is done")
    group.add_argument(
        "--preset",
        choices=_PRESETS,
        default="gfpgan",
        help="custom: only what --set gives (default: %(default)s)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="replaces one of the preset's, such as jpeg.quality=30-60; may be repeated",
    )
    group.add_argument(
        "--strength",
        type=share,
        default=1.0,
        metavar="X",
        help="how strong the damage is; 0: none (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="decides everything random (default: %(default)s)",
    )
    group.add_argument(
        "--same-for-all",
        action="store_true",
        help="for the frames of a clip: damage all alike, each with its own noise and dust",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Damage every input; the exit status is that of the help text."""
    try:
        settings = _settings_from(options)
        plan = plan_batch(options)
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    return run_batch(
        plan,
        options,
        partial(_degrade, settings=settings, options=options),
        done="degraded",
        about={"preset": options.preset, "seed": options.seed, "strength": options.strength},
        describe=lambda report: "; ".join(report["steps"]) or "unchanged",
        on_no_memory="Use a smaller picture",
    )


def _settings_from(options: argparse.Namespace) -> DegradeSettings:
    name = _PRESETS[options.preset]
    settings = DegradeSettings() if name == _CUSTOM else find_preset(name)
    for change in options.set:
        path, _, text = change.partition("=")
        settings = settings.changed({path.strip(): text})
    return settings


def _degrade(
    job: Job, _: Progress, *, settings: DegradeSettings, options: argparse.Namespace
) -> Report:
    """Damage one file."""
    if job.is_video:
        raise MediaError(
            f"{job.source}: expected a picture, got a video. Write its frames as pictures first, "
            "and give them with --same-for-all."
        )
    report = degrade_picture(
        job.source,
        job.target,
        settings,
        seed=options.seed,
        strength=options.strength,
        same_for_all=options.same_for_all,
    )
    return {"steps": report.steps, "height_width": report.size}
