"""``restore INPUT... --model FILE --output DIR``: restore faces in pictures, folders and videos."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ..checkpoints.checkpoint import load_model, read_notice
from ..errors import GpenError
from ..faces.detection import load_detector
from ..faces.selection import parse_indices
from ..media import Job, Restorer, VideoEncoding, plan_jobs, restore_picture, restore_video
from ..media.jobs import Plan
from .devices import choose_batch, choose_device, choose_dtype
from .progress import Progress
from .restore_arguments import (
    EPILOG,
    add_arguments,
    encoding_from,
    find_detector,
    find_model,
    settings_from,
)

_SOME_FAILED, _NOT_STARTED, _INTERRUPTED = 1, 2, 130


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser(
        "restore",
        help="restore the faces in pictures, folders and videos",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore every input; the exit status is that of the help text."""
    try:
        restorer, encoding, notice = _prepare(options)
        plan = plan_jobs(
            options.inputs,
            options.output,
            is_recursive=options.recursive,
            keep_existing=options.resume,
            overwrite=options.overwrite,
        )
    except (GpenError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return _NOT_STARTED
    except KeyboardInterrupt:
        return _INTERRUPTED
    if notice:
        print(f"Nothing will be restored. {notice}", file=sys.stderr)
    summary: dict[str, Any] = {
        "model": str(find_model(options)),
        "notice": notice,
        "restored": [],
        "kept": [str(job.target) for job in plan.done],
        "failed": [{"input": str(e.source), "error": e.message} for e in plan.errors],
        "ignored": dict(plan.ignored),
        "interrupted": False,
    }
    with Progress(len(plan.jobs), options.quiet or options.json) as progress:
        for problem in plan.errors:
            progress.say(problem.message, is_error=True)
        try:
            _run_jobs(plan, restorer, encoding, options, summary, progress)
        except KeyboardInterrupt:
            summary["interrupted"] = True
            progress.say("Interrupted. --resume goes on from here.", is_error=True)
    if options.json:
        print(json.dumps(summary, indent=2))
    elif not options.quiet:
        print(_describe(summary))
    if summary["interrupted"]:
        return _INTERRUPTED
    return _SOME_FAILED if summary["failed"] else 0


def _prepare(options: argparse.Namespace) -> tuple[Restorer, VideoEncoding, str]:
    parse_indices(options.faces)
    settings = settings_from(options)
    encoding = encoding_from(options)
    path = find_model(options)
    detector_name, detector_path = find_detector(options, path)
    device = choose_device(options.device)
    model = load_model(path, device, choose_dtype(options.dtype, device))
    restorer = Restorer(
        model=model,
        detector=load_detector(detector_name, detector_path, device),
        max_batch=choose_batch(options.batch, model, device),
        **settings,
    )
    return restorer, encoding, read_notice(path)


def _run_jobs(
    plan: Plan,
    restorer: Restorer,
    encoding: VideoEncoding,
    options: argparse.Namespace,
    summary: dict[str, Any],
    progress: Progress,
) -> None:
    for job in plan.jobs:
        started = time.monotonic()
        try:
            report = _restore(job, restorer, encoding, options.smoothing, progress)
        except (GpenError, OSError, MemoryError, RuntimeError) as error:  # PyTorch's too
            message = str(error) or "not enough memory. Use a smaller --max-megapixels"
            line = message if job.source.name in message else f"{job.source}: {message}"
            summary["failed"].append({"input": str(job.source), "error": line})
            progress.say(line, is_error=True)
        else:
            report |= {"seconds": round(time.monotonic() - started, 3)}
            summary["restored"].append(report)
            if not (options.quiet or options.json):
                progress.say(f"{job.target}: {_faces(report)}")
            for stream in report.get("left_out", ()):
                progress.say(f"{job.source}: {stream} does not go into the output", is_error=True)
        progress.file_done()


def _restore(
    job: Job, restorer: Restorer, encoding: VideoEncoding, smoothing: float, progress: Progress
) -> dict[str, Any]:
    """Restore one file; what was done, for the summary."""
    report: dict[str, Any] = {"input": str(job.source), "output": str(job.target)}
    if not job.is_video:
        picture = restore_picture(job.source, job.target, restorer)
        return report | {"faces": picture.n_faces, "height_width": picture.size}
    video = restore_video(
        job.source,
        job.target,
        restorer,
        encoding=encoding,
        smoothing=smoothing,
        on_progress=progress.frames,
    )
    return report | {
        "faces": video.n_faces,
        "height_width": video.size,
        "frames": video.n_frames,
        "codec": video.codec,
        "pixel_format": video.pixel_format,
        "left_out": video.left_out,
    }


def _faces(report: dict[str, Any]) -> str:
    n_faces = report["faces"]
    faces = "no face" if n_faces == 0 else "1 face" if n_faces == 1 else f"{n_faces} faces"
    return f"{faces} in {report['frames']} frames" if "frames" in report else faces


def _describe(summary: dict[str, Any]) -> str:
    parts = [f"{len(summary['restored'])} restored"]
    if summary["kept"]:
        parts.append(f"{len(summary['kept'])} there already")
    if summary["ignored"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary["ignored"].items()))
        parts.append(f"{sum(summary['ignored'].values())} other files passed over ({kinds})")
    if summary["failed"]:
        parts.append(f"{len(summary['failed'])} failed")
    return "; ".join(parts) + "."
