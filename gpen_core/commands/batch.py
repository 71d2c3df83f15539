"""What commands share that make a file of each of many: arguments, progress, exit status."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from .. import GpenError, Job, Plan, plan_jobs
from .progress import Progress

SOME_FAILED, NOT_STARTED, INTERRUPTED = 1, 2, 130

Report: TypeAlias = dict[str, Any]
"""What was done to a file, for the summary."""


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is read, where it is written to, and what is printed."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="file or folder")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to write")
    parser.add_argument("--recursive", action="store_true", help="include subfolders")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="keep existing outputs, and make the others"
    )
    existing.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def plan_batch(options: argparse.Namespace) -> Plan:
    """Decide what to do with every input."""
    return plan_jobs(
        options.inputs,
        options.output,
        is_recursive=options.recursive,
        keep_existing=options.resume,
        overwrite=options.overwrite,
    )


def run_batch(
    plan: Plan,
    options: argparse.Namespace,
    work: Callable[[Job, Progress], Report],
    *,
    done: str,
    about: Report,
    describe: Callable[[Report], str],
    on_no_memory: str,
) -> int:
    """Work through a plan; what fails does not stop the others.

    Args:
        plan: What to do.
        options: With the arguments of ``add_batch_arguments``.
        work: Makes the file of a job.
        done: What is done to files, as in "restored".
        about: What the summary begins with.
        describe: Makes a report the line that is printed.
        on_no_memory: What to do where memory runs out and the error does not say so.

    Returns:
        The exit status.
    """
    summary = about | {
        done: [],
        "kept": [str(job.target) for job in plan.done],
        "failed": [{"input": str(e.source), "error": e.message} for e in plan.errors],
        "ignored": dict(plan.ignored),
        "interrupted": False,
    }
    is_quiet = options.quiet or options.json
    with Progress(len(plan.jobs), is_quiet) as progress:
        for problem in plan.errors:
            progress.say(problem.message, is_error=True)
        try:
            for job in plan.jobs:
                started = time.monotonic()
                try:
                    report = work(job, progress)
                except (GpenError, OSError, MemoryError, RuntimeError) as error:  # PyTorch's too
                    message = str(error) or f"not enough memory. {on_no_memory}"
                    line = message if job.source.name in message else f"{job.source}: {message}"
                    summary["failed"].append({"input": str(job.source), "error": line})
                    progress.say(line, is_error=True)
                else:
                    files = {"input": str(job.source), "output": str(job.target)}
                    seconds = {"seconds": round(time.monotonic() - started, 3)}
                    summary[done].append(files | report | seconds)
                    if not is_quiet:
                        progress.say(f"{job.target}: {describe(report)}")
                    for stream in report.get("left_out", ()):
                        line = f"{job.source}: {stream} is left out of the output"
                        progress.say(line, is_error=True)
                progress.file_done()
        except KeyboardInterrupt:
            summary["interrupted"] = True
            progress.say("Interrupted. --resume continues from here.", is_error=True)
    if options.json:
        print(json.dumps(summary, indent=2))
    elif not options.quiet:
        print(_describe(summary, done))
    if summary["interrupted"]:
        return INTERRUPTED
    return SOME_FAILED if summary["failed"] else 0


def _describe(summary: Report, done: str) -> str:
    reports = summary[done]
    parts = [f"{_files(len(reports))} {done}"]
    if any("faces" in report for report in reports):
        n_with_faces = sum(report["faces"] > 0 for report in reports)
        parts = [f"{_files(len(reports))}, {n_with_faces} with faces"]
    if summary["kept"]:
        parts.append(f"{_files(len(summary['kept']))} already there")
    if summary["ignored"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary["ignored"].items()))
        parts.append(f"{_files(sum(summary['ignored'].values()))} of other kinds skipped ({kinds})")
    if summary["failed"]:
        parts.append(f"{len(summary['failed'])} failed")
    return "; ".join(parts) + "."


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
