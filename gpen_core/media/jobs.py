"""Which file is made into which: folders mirrored, nothing overwritten by mistake."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .pictures import PICTURE_SUFFIXES
from .video_input import VIDEO_SUFFIXES


@dataclass(frozen=True)
class Job:
    """One file, and the one to make of it."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its suffix; else it is a picture."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class JobError:
    """An input of which nothing can be made, found before any work."""

    source: Path
    message: str


@dataclass
class Plan:
    """What is to be done about all inputs."""

    jobs: list[Job] = field(default_factory=list)
    done: list[Job] = field(default_factory=list)
    """Those whose outputs exist already; they are left alone."""
    errors: list[JobError] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """Files in folders that are neither pictures nor videos: how many of each suffix."""


def plan_jobs(
    inputs: Iterable[str | Path],
    output: str | Path,
    *,
    is_recursive: bool = False,
    keep_existing: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Decide what to work on and where to write it.

    A file goes into ``output`` under its own name, a file from a folder given goes under its path
    in that folder. Hidden files and what lies in ``output`` is passed over in folders.

    Args:
        inputs: Files and folders.
        output: The folder to write into.
        is_recursive: Look into the folders of folders.
        keep_existing: Existing outputs are kept, and their jobs are done.
        overwrite: Existing outputs are replaced. With neither option they are errors.
    """
    plan = Plan()
    output = Path(output)
    owners: dict[str, Path] = {}
    sources = list(_sources(inputs, output, is_recursive, plan))
    originals = {_key(source) for source, _ in sources}
    for source, relative in sources:
        job = Job(source, output / relative)
        key = _key(job.target)
        if key in originals:
            problem = f"it would overwrite the input {job.target}. Choose another --output"
        elif key in owners:
            problem = f"{owners[key]} is written there too. Write them to different folders"
        elif job.target.is_dir():
            problem = "it is a folder. Choose another --output"
        elif job.target.exists() and keep_existing:
            plan.done.append(job)
            owners[key] = source
            continue
        elif job.target.exists() and not overwrite:
            problem = "it exists. Give --resume to keep it or --overwrite to replace it"
        else:
            owners[key] = source
            plan.jobs.append(job)
            continue
        plan.errors.append(
            JobError(source, f"{source}: expected to write {job.target}, but {problem}.")
        )
    return plan


def _key(path: Path) -> str:
    """A key that all names of one file share, also where file systems ignore case."""
    return str(path.resolve()).casefold()


def _sources(
    inputs: Iterable[str | Path], output: Path, is_recursive: bool, plan: Plan
) -> Iterator[tuple[Path, Path]]:
    """Every file to work on, and its path below the output folder."""
    seen: set[str] = set()
    for given in map(Path, inputs):
        is_folder = given.is_dir()
        found = list(_files(given, output, is_recursive)) if is_folder else [given]
        for source in found:
            if _key(source) in seen:
                continue
            seen.add(_key(source))
            if source.is_file() and _is_media(source):
                yield source, source.relative_to(given) if is_folder else Path(source.name)
            elif is_folder:
                plan.ignored[source.suffix.lower() or source.name] += 1
            else:
                plan.errors.append(_unusable(source))
        if is_folder and not any(map(_is_media, found)) and _key(given) not in seen:
            seen.add(_key(given))
            others = f"{len(found)} of other kinds" if found else "none"
            hint = "Choose another" if is_recursive else "Give --recursive to include subfolders"
            message = f"{given}: expected pictures or videos in it, got {others}. {hint}."
            plan.errors.append(JobError(given, message))


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)


def _unusable(source: Path) -> JobError:
    if not source.exists():
        return JobError(source, f"{source}: expected a file or folder, got none. Check the name.")
    kinds = " ".join((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES))
    return JobError(
        source,
        f"{source}: expected a picture or video ({kinds}), got {source.suffix or 'no suffix'}. "
        "Convert it to one of these first.",
    )


def _files(folder: Path, output: Path, is_recursive: bool) -> Iterator[Path]:
    """The files of a folder in order, without hidden ones and what is in the output folder."""
    own = output.resolve()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if is_recursive and not name.startswith(".") and (Path(parent) / name).resolve() != own
        )
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))
