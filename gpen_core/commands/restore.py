"""``restore INPUT... --output DIR``: restore faces in pictures, folders and videos."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import (
    BUNDLED_RESTORER,
    CheckpointMismatchError,
    GpenError,
    Job,
    LoadedRestorer,
    Monitor,
    Restorer,
    VideoEncoding,
    load_detector,
    load_largest,
    load_model,
    parse_indices,
    restore_picture,
    restore_video,
)
from .batch import INTERRUPTED, NOT_STARTED, Report, plan_batch, run_batch
from .devices import AUTO, choose_device, choose_dtype
from .progress import Progress
from .restore_arguments import (
    EPILOG,
    add_arguments,
    encoding_from,
    find_detector,
    find_models,
    settings_from,
)


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser(
        "restore",
        description="Restore the faces in pictures, folders and videos.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore every input; the exit status is that of the help text."""
    try:
        plan = plan_batch(options)
        restorer, encoding, loaded = _prepare(options)
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return NOT_STARTED
    except KeyboardInterrupt:
        return INTERRUPTED
    if plan.jobs and not options.quiet:
        beyond = (
            "gpen download fetches the published ones." if loaded.path == BUNDLED_RESTORER else ""
        )
        about = filter(None, (f"Restoring with {loaded.name}.", loaded.notice, beyond))
        print(*about, file=sys.stderr)
    work = partial(_restore, restorer=restorer, encoding=encoding, smoothing=options.smoothing)
    return run_batch(
        plan,
        options,
        work,
        done="restored",
        about={"model": str(loaded.path), "notice": loaded.notice},
        describe=_faces,
        on_no_memory="Use a smaller --max-megapixels",
    )


def _prepare(options: argparse.Namespace) -> tuple[Restorer, VideoEncoding, LoadedRestorer]:
    parse_indices(options.faces)
    settings = settings_from(options)
    encoding = encoding_from(options)
    device = choose_device(options.device)
    loaded = _load(find_models(options), device, options)
    detector_name, detector_path = find_detector(options, loaded.path)
    detector = load_detector(detector_path, device)
    if detector_path and detector_name and detector.name != detector_name:
        raise CheckpointMismatchError(
            f"{detector_path.name}: expected the weights of {detector_name}, got those of "
            f"{detector.name}. Choose that with --detector, or name another file."
        )
    restorer = Restorer(
        model=loaded.network,
        detector=detector,
        max_batch=options.batch,
        **settings,
    )
    return restorer, encoding, loaded


def _load(files: list[Path], device: torch.device, options: argparse.Namespace) -> LoadedRestorer:
    dtype = choose_dtype(options.dtype, device)
    if options.model == AUTO:
        return load_largest(files, device, dtype)
    return LoadedRestorer(load_model(files[0], device, dtype), files[0])


def _restore(
    job: Job, progress: Progress, *, restorer: Restorer, encoding: VideoEncoding, smoothing: float
) -> Report:
    """Restore one file."""
    if not job.is_video:
        picture = restore_picture(job.source, job.target, restorer)
        return {"faces": picture.n_faces, "height_width": picture.size}
    video = restore_video(
        job.source,
        job.target,
        replace(restorer, monitor=Monitor(progress.frames)),
        encoding=encoding,
        smoothing=smoothing,
    )
    return {
        "faces": video.n_faces,
        "height_width": video.size,
        "frames": video.n_frames,
        "codec": video.codec,
        "pixel_format": video.pixel_format,
        "left_out": video.left_out,
    }


def _faces(report: Report) -> str:
    n_faces = report["faces"]
    faces = "no face" if n_faces == 0 else "1 face" if n_faces == 1 else f"{n_faces} faces"
    return f"{faces} in {report['frames']} frames" if "frames" in report else faces
