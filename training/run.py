"""A run of training in a folder: it continues from its state, logs, draws sheets and exports."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import gpen_core
from gpen_core import NOTICE_KEY, resize

from .damage import damage
from .dataset import MARGIN, OVERSAMPLING, hold_out, list_photos, load_faces
from .errors import TrainingError
from .evaluation import SIZE_PX, damage_crops, measure_restoration, with_network
from .start import start_from_identity
from .trainer import Recipe, Trainer

STATE_FILE, LOG_FILE, SHEET_FOLDER = "state.pt", "log.csv", "sheets"
SAVE_EVERY_S = 300.0
SHEET_FACES = 8


@dataclass(frozen=True)
class Plan:
    """What a run is given, besides the recipe."""

    photos: Path
    """Folder of photos, those in folders below it too."""
    output: Path
    """Folder of the run: state, log, sheets and the network."""
    name: str
    """Of the network; the file is called so."""
    config: gpen_core.GpenConfig
    """Of a new network; a checkpoint brings its own."""
    start: Path | None = None
    """Checkpoint to go on from; None: from the identity."""
    held_out: int = 40
    """Photos that are only measured on."""
    device: str = "cpu"
    report_every: int = 200
    """Pictures between lines of the log."""
    measure_every: int = 4000
    """Pictures between sheets."""


def train(plan: Plan, recipe: Recipe, say: Callable[[str], None] = print) -> Path:
    """Train until the recipe's pictures are seen, or until interrupted, and export.

    A run whose folder holds a state continues from it.

    Returns:
        The exported network, .safetensors in float16.

    Raises:
        TrainingError: There are too few photos, or the state is of another network.
        CheckpointError: The checkpoint to start from cannot be read.
        OSError: The folder cannot be written.
    """
    plan.output.mkdir(parents=True, exist_ok=True)
    weights, config = _start(plan, recipe)
    training, held = _faces(plan, config.size, say)
    trainer = Trainer(weights, config, recipe, training.to(plan.device), damage)
    state = plan.output / STATE_FILE
    if state.is_file():
        _resume(trainer, state)
        say(f"Going on from {trainer.done:,} pictures.")
    views = _centre(held, config.size)
    clock, saved_at, before = time.process_time(), time.monotonic(), trainer.seconds
    with _stopping() as stopped, _Log(plan.output / LOG_FILE) as log:
        while trainer.done < recipe.pictures and not stopped():
            log.add(trainer.step())
            trainer.seconds = before + time.process_time() - clock
            is_measured = trainer.done % plan.measure_every < recipe.batch and len(views) > 0
            if is_measured:
                log.add_figures(_measure(trainer, views, plan.output / SHEET_FOLDER))
            if is_measured or trainer.done % plan.report_every < recipe.batch:
                say(log.write(trainer.done, trainer.seconds, trainer.pace))
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                trainer.save(state)
                saved_at = time.monotonic()
    trainer.save(state)
    return export(trainer, plan, len(training))


def export(trainer: Trainer, plan: Plan, n_photos: int) -> Path:
    """Write the averaged weights as an ordinary checkpoint that says where they are from."""
    metadata = {
        NOTICE_KEY: _notice(plan),
        "gpen_task": "restoration",
        "recipe": json.dumps(dataclasses.asdict(trainer.recipe)),
        "commit": _commit(),
        "photos": str(n_photos),
        "pictures_seen": str(trainer.done),
        "cpu_seconds": f"{trainer.seconds:.0f}",
        "seed": str(trainer.recipe.seed),
    }
    path = plan.output / f"{plan.name}.safetensors"
    half = {name: w.detach().half() for name, w in trainer.average.items()}
    gpen_core.save_checkpoint(half, path, metadata)
    return path


def _notice(plan: Plan) -> str:
    if plan.start is not None:
        return f"{plan.name} was trained further from {plan.start.name}."
    return (
        f"{plan.name} is a small network for mild damage, not one of the published GPEN "
        "checkpoints. Those restore much more: choose GPEN-BFR-512 or a larger one."
    )


def _start(plan: Plan, recipe: Recipe) -> tuple[dict[str, Tensor], gpen_core.GpenConfig]:
    if plan.start is None:
        return start_from_identity(plan.config, recipe.seed), plan.config
    loaded = gpen_core.load_state_dict(plan.start)
    weights = {name: tensor.float().clone() for name, tensor in loaded.items()}
    return weights, gpen_core.detect_config(weights, plan.start.name)


def _resume(trainer: Trainer, state: Path) -> None:
    try:
        trainer.resume(state)
    except (KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{state}: expected the state of a run of the same network, got {error}. "
            "Name another --output, or delete the file to start over."
        ) from error


def _faces(plan: Plan, size: int, say: Callable[[str], None]) -> tuple[Tensor, Tensor]:
    """Those to train on and those held out, as ``load_faces`` returns them."""
    photos, held = hold_out(list_photos(plan.photos), plan.held_out)
    if not photos:
        raise TrainingError(
            f"{plan.photos}: expected more than the {plan.held_out} photos that are held out, got "
            f"{len(held)}. Add photos; or hold out fewer, with --held-out."
        )
    detector = gpen_core.load_detector(device=plan.device)
    cache = plan.output / "faces"
    say(f"{len(photos)} photos to train on, {len(held)} held out.")
    training, measured = (load_faces(p, detector, size, cache, say) for p in (photos, held))
    if not len(training):
        raise TrainingError(f"{plan.photos}: expected photos of faces, got none. Add some.")
    return training, measured


def _centre(faces: Tensor, size: int) -> Tensor:
    """The faces as the network is used on them: no turn, no shift. (N, 3, S, S) in [0, 1]."""
    border = round(size * OVERSAMPLING * MARGIN)
    inner = slice(border, border + size * OVERSAMPLING)
    return F.avg_pool2d(faces[:, :, inner, inner].float() / 255, OVERSAMPLING)


@torch.no_grad()
def _measure(trainer: Trainer, faces: Tensor, folder: Path) -> dict[str, float]:
    """What the average reaches on held-out faces, and a sheet of some.

    The sheet has a row each of faces damaged, restored and true, always with the same damage.
    """
    network = gpen_core.build_model({name: w.detach().cpu() for name, w in trainer.average.items()})
    restore, crops = with_network(network), resize(faces, (SIZE_PX, SIZE_PX)).clamp(0, 1)
    measured = measure_restoration(restore, crops, None)
    shown = crops[:SHEET_FACES]
    damaged = damage_crops(shown)
    rows = [torch.cat(list(row), dim=2) for row in (damaged, restore(damaged), shown)]
    pixels = (torch.cat(rows, dim=1) * 255).round().byte().permute(1, 2, 0).numpy()
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / f"{trainer.done:09d}.png")
    return {
        "psnr_gain": measured.restored.psnr - measured.damaged.psnr,
        "ssim_gain": measured.restored.ssim - measured.damaged.ssim,
        "sharpness": measured.restored.sharpness,
        "clean_psnr": measured.clean.psnr,
    }


class _Log:
    """Mean losses between lines, as CSV; a run that goes on appends."""

    _LOSSES = ("fidelity", "energy", "texture", "critic")
    _FIGURES = ("psnr_gain", "ssim_gain", "sharpness", "clean_psnr")
    _COLUMNS = ("pictures", "cpu_seconds", "pace", *_LOSSES, *_FIGURES)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._figures: dict[str, float] = {}

    def __enter__(self) -> _Log:
        is_new = not self._path.is_file()
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, self._COLUMNS)
        if is_new:
            self._writer.writeheader()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, losses: dict[str, float]) -> None:
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss
        self._steps += 1

    def add_figures(self, figures: dict[str, float]) -> None:
        self._figures = figures

    def write(self, pictures: int, seconds: float, pace: float) -> str:
        """Write a line and start over; the line in words."""
        means = {name: total / self._steps for name, total in self._sums.items()}
        numbers = {"cpu_seconds": seconds, "pace": pace, **means, **self._figures}
        texts = {name: f"{number:.5g}" for name, number in numbers.items()}
        self._writer.writerow({"pictures": pictures, **texts})
        self._file.flush()
        self._sums, self._steps, self._figures = {}, 0, {}
        return f"{pictures:,} pictures, " + ", ".join(
            f"{name.replace('_', ' ')} {text}" for name, text in texts.items()
        )


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: the current step is finished and nothing is lost."""
    came = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _commit() -> str:
    """The commit of the code, or nothing where it does not lie in a git repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return found.stdout.strip()
