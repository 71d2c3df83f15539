"""What smoothing does to a clip, and the memory that many frames take."""

from __future__ import annotations

import resource
import time

import numpy as np
import peer  # noqa: F401 puts gpen_core on the path
import skimage.data
import torch
from torch import Tensor

import gpen_core
from gpen_core import GpenConfig, identity_state_dict, stabilize_faces

N_FRAMES = 48
PAN_PX = 3.7
CHUNK = 20
STRENGTHS = (0.0, 0.5, 1.0)


def clip_table(image: Tensor, faces: gpen_core.Faces) -> None:
    """Still and panning clips of one face whose landmarks get a pixel of noise."""
    print("\n48 frames with 1 pixel of noise on the landmarks: temporal standard deviation inside")
    print("the aligned crop of a still face; error of the landmarks of a pan of 3.7 pixels a frame")
    print(f"{'smoothing':<12}{'std':>8}{'ratio':>7}{'pan rms':>9}{'max':>6}{'max, no noise':>15}")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(N_FRAMES, 5, 2, generator=generator)
    pan = torch.zeros(N_FRAMES, 5, 2)
    pan[:, :, 0] = PAN_PX * torch.arange(N_FRAMES)[:, None]
    still_std = 0.0
    for strength in STRENGTHS:
        still = stabilize_faces(_clip(faces, noise), N_FRAMES, strength)
        one_image = gpen_core.Faces(
            torch.zeros_like(still.image_index), still.boxes, still.landmarks, still.scores
        )
        crops = gpen_core.crop_faces(image, one_image, 256)
        std = float(crops[:, :, 64:192, 64:192].std(dim=0).mean())
        still_std = still_std or std
        panned = stabilize_faces(_clip(faces, noise + pan), N_FRAMES, strength).landmarks
        exact = stabilize_faces(_clip(faces, pan), N_FRAMES, strength).landmarks
        truth = faces.landmarks[:1] + pan
        error, clean = (panned - truth).norm(dim=2), (exact - truth).norm(dim=2)
        print(
            f"{strength:<12}{std:>8.4f}{still_std / std:>7.1f}"
            f"{float(error.square().mean().sqrt()):>9.2f}{float(error.max()):>6.2f}"
            f"{float(clean.max()):>15.4f}"
        )


def _clip(faces: gpen_core.Faces, shifts: Tensor) -> gpen_core.Faces:
    n_frames = len(shifts)
    return gpen_core.Faces(
        image_index=torch.arange(n_frames),
        boxes=faces.boxes[:1] + shifts.mean(1).repeat(1, 2),
        landmarks=faces.landmarks[:1] + shifts,
        scores=faces.scores[:1].expand(n_frames).clone(),
    )


def memory_over_frames(n_frames: int) -> None:
    """Restore a clip of 720p in chunks and print the memory as it goes."""
    state_dict = identity_state_dict(GpenConfig(256, 1, 0.0625))
    network = gpen_core.build_model(state_dict)
    astronaut = torch.from_numpy(np.array(skimage.data.astronaut())).permute(2, 0, 1) / 255
    template = gpen_core.Template.FFHQ
    from gpen_core import template_landmarks

    landmarks = template_landmarks(template, 180).float() + torch.tensor([140.0, 25.0])
    print(f"{'frames':<12}{'peak MB':>9}{'s':>7}   in chunks of {CHUNK}")
    started = time.perf_counter()
    for start in range(0, n_frames, CHUNK):
        frames = torch.zeros(CHUNK, 3, 720, 1280)
        frames[:, :, 100:612, 300:812] = astronaut
        faces = gpen_core.Faces(
            image_index=torch.arange(CHUNK),
            boxes=torch.tensor([[440.0, 125.0, 620.0, 305.0]]).expand(CHUNK, 4).clone(),
            landmarks=(landmarks + torch.tensor([300.0, 100.0])).expand(CHUNK, 5, 2).clone(),
            scores=torch.ones(CHUNK),
        )
        gpen_core.restore_faces(frames, faces, network)
        done = start + CHUNK
        if done in (CHUNK, 5 * CHUNK) or done % (25 * CHUNK) == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print(f"{done:<12}{peak:>9.0f}{time.perf_counter() - started:>7.1f}", flush=True)
