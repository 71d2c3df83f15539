"""What everything but the network costs: loading, pre- and post-processing, a whole clip.

    python benchmarks/around.py [--only loading around clip] [--rounds 5]

What is compared takes turns, and the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import peer
import skimage.data
import torch
import torch.nn.functional as F
from around_device import SETTINGS
from contenders import ReferenceGpen, write_checkpoints
from facexlib.utils import face_restoration_helper
from torch import Tensor, nn

import gpen_core
from gpen_core import GpenConfig, random_state_dict

N_FRAMES = 96
CLIP_SIZE_PX = 512
THRESHOLD = 0.97  # facexlib's
FRAMES_AT_ONCE = 16


class Stopwatch:
    """Notes how long a network took the last time."""

    def __init__(self, network: nn.Module) -> None:
        """Watch it."""
        self.seconds = 0.0
        network.register_forward_pre_hook(self._start)
        network.register_forward_hook(self._stop)

    def _start(self, *_: object) -> None:
        self._started = time.perf_counter()

    def _stop(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    tables = {"loading": _loading_table, "around": _around_table, "clip": _clip_table}
    parser.add_argument("--only", choices=list(tables), nargs="+", default=list(tables))
    parser.add_argument("--size", type=int, default=2048, help="of the network in 'around'")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    for name in options.only:
        tables[name](options)


def _loading_table(options: argparse.Namespace) -> None:
    print("\nLoading a checkpoint of full width, beside reading the bytes of the file, cached,")
    print("each in a process of its own, as users load: both get fresh memory from the system")
    print(f"{'file':<14}{'MB':>6}{'read ms':>9}{'load ms':>9}{'ratio':>7}")
    config = GpenConfig.published(512)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoints(config, folder, onnx=True)
        torch.save(random_state_dict(config), folder / "512.pth")
        for suffix in (".pth", ".safetensors", ".onnx"):
            path = folder / f"512{suffix}"
            read, load = _take_turns(
                options.rounds,
                partial(_in_new_process, _seconds_of, "read", path),
                partial(_in_new_process, _seconds_of, "load", path),
            )
            print(
                f"{suffix:<14}{path.stat().st_size / 1e6:>6.0f}{read * 1000:>9.0f}"
                f"{load * 1000:>9.0f}{load / read:>7.2f}",
                flush=True,
            )


def _in_new_process(function: Callable[..., float], *arguments: object) -> float:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _seconds_of(work: str, path: Path) -> float:
    """Of reading or loading a file, once everything else is in place."""
    torch.set_grad_enabled(False)
    torch.ones(10**6).sum()  # starts the threads
    started = time.perf_counter()
    if work == "read":
        path.read_bytes()
    else:
        gpen_core.load_model(path)
    return time.perf_counter() - started


def _around_table(options: argparse.Namespace) -> None:
    size = options.size
    print(f"\nRestoring one face at {size}: seconds in the network, around it, and their ratio")
    print(f"{'picture':<16}{'options':<24}{'network':>9}{'around':>8}{'ratio':>7}")
    network = gpen_core.build_model(random_state_dict(GpenConfig.published(size)))
    stopwatch = Stopwatch(network)
    astronaut = torch.from_numpy(np.array(skimage.data.astronaut())).permute(2, 0, 1)[None] / 255
    # Where RetinaFace finds the face of the astronaut.
    points = [[193.5, 95.6], [240.9, 91.4], [220.4, 118.6], [202.0, 146.3], [243.6, 142.6]]
    for factor in (1, 4):
        image = F.interpolate(astronaut, scale_factor=factor, mode="bicubic").clamp(0, 1)
        image = image.contiguous(memory_format=torch.channels_last)  # as ComfyUI has them
        landmarks = torch.tensor([points]) * factor
        faces = gpen_core.Faces(
            image_index=torch.zeros(1, dtype=torch.int64),
            boxes=torch.cat([landmarks.amin(1), landmarks.amax(1)], dim=1),
            landmarks=landmarks,
            scores=torch.ones(1),
        )
        for name, settings in SETTINGS.items():
            inside, around = [], []
            for turn in range(options.rounds + 1):
                started = time.perf_counter()
                gpen_core.restore_faces(image, faces, network, settings=settings)
                taken = time.perf_counter() - started
                if turn:
                    inside.append(stopwatch.seconds)
                    around.append(taken - stopwatch.seconds)
            net, rest = statistics.median(inside), statistics.median(around)
            print(
                f"{f'astronaut {factor}x':<16}{name:<24}{net:>9.2f}{rest:>8.2f}{rest / net:>7.1%}",
                flush=True,
            )


def _clip_table(options: argparse.Namespace) -> None:
    print(f"\nA clip of {N_FRAMES} frames of {CLIP_SIZE_PX}x{CLIP_SIZE_PX}, one face, GPEN-256")
    print(f"{'pipeline':<28}{'s':>7}{'frames/s':>10}{'faces':>7}")
    config = GpenConfig.published(256)
    state_dict = random_state_dict(config)
    network = gpen_core.build_model(state_dict)
    detector = gpen_core.load_detector()
    plain = ReferenceGpen(config).eval()
    plain.load_state_dict(state_dict)
    helper = _facexlib_helper(detector)
    frames = _pan()
    bgr_frames = [peer.to_bgr(frame) for frame in frames]
    found = {"ours": 0, "facexlib": 0}

    def ours() -> None:
        found["ours"] = 0
        for start in range(0, N_FRAMES, FRAMES_AT_ONCE):
            chunk = frames[start : start + FRAMES_AT_ONCE]
            faces = gpen_core.detect_faces(chunk, detector, threshold=THRESHOLD)
            gpen_core.restore_faces(chunk, faces, network)
            found["ours"] += len(faces)

    def theirs() -> None:
        found["facexlib"] = 0
        for frame in bgr_frames:
            found["facexlib"] += _facexlib_frame(helper, plain, frame)

    seconds = _take_turns(max(1, options.rounds // 2), _timed(ours), _timed(theirs))
    for (name, n_faces), taken in zip(found.items(), seconds, strict=True):
        label = {"ours": "ours", "facexlib": "facexlib's helper, plain"}[name]
        print(f"{label:<28}{taken:>7.1f}{N_FRAMES / taken:>10.1f}{n_faces:>7}")
    print(f"times faster: {seconds[1] / seconds[0]:.2f}")


def _facexlib_helper(
    detector: gpen_core.FaceDetector,
) -> face_restoration_helper.FaceRestoreHelper:
    """The helper with the same detector, and without the parser that it does not use here."""
    file = "detection_mobilenet0.25_Final.pth"
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(face_restoration_helper, "init_parsing_model"),
    ):
        torch.save(detector.network.state_dict(), Path(folder) / file)
        return face_restoration_helper.FaceRestoreHelper(
            1, face_size=256, det_model=detector.name, device="cpu", model_rootpath=folder
        )


def _facexlib_frame(
    helper: face_restoration_helper.FaceRestoreHelper, network: ReferenceGpen, frame: np.ndarray
) -> int:
    """What peers do for each frame; the number of faces."""
    helper.clean_all()
    helper.read_image(frame)
    helper.get_face_landmarks_5(only_center_face=False, eye_dist_threshold=5)
    helper.align_warp_face()
    for crop in helper.cropped_faces:
        rgb = torch.from_numpy(crop[..., ::-1].copy()).permute(2, 0, 1)[None] / 127.5 - 1
        restored = network(rgb)[0].clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
        helper.add_restored_face(restored.permute(1, 2, 0).numpy()[..., ::-1])
    helper.get_inverse_affine(None)
    helper.paste_faces_to_input_image()
    return len(helper.cropped_faces)


def _pan() -> Tensor:
    """The astronaut moving by up to 48 pixels, (N, 3, 512, 512) in [0, 1]."""
    image = torch.from_numpy(np.array(skimage.data.astronaut())).permute(2, 0, 1) / 255
    wide = F.pad(image, (0, N_FRAMES // 2, 0, 0), mode="replicate")
    starts = [i // 2 for i in range(N_FRAMES)]
    return torch.stack([wide[:, :, start : start + CLIP_SIZE_PX] for start in starts])


def _take_turns(rounds: int, *measure: Callable[[], float]) -> list[float]:
    """Median of the seconds that each returns, asked once before and then once a round."""
    seconds: list[list[float]] = [[] for _ in measure]
    for turn in range(rounds + 1):
        for function, taken in zip(measure, seconds, strict=True):
            measured = function()
            if turn:
                taken.append(measured)
    return [statistics.median(taken) for taken in seconds]


def _timed(function: Callable[[], None]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return seconds


if __name__ == "__main__":
    main()
