"""How many bytes one pass of the network moves through memory, and how fast the memory is."""

from __future__ import annotations

import torch

from gpen_core import GpenConfig


def bytes_moved(config: GpenConfig, itemsize: int, n_faces: int) -> int:
    """Each map read once and written once by each step of the fused network; weights once.

    What a cache of the device keeps from one step to the next is counted all the same, so small
    networks may take less time than this makes.
    """
    maps, width = 0, config.injected_width

    def add(*sizes: tuple[int, int]) -> None:
        nonlocal maps
        maps += sum(chs * resolution * resolution for chs, resolution in sizes)

    size = config.size
    weights = 3 * config.channels(size)
    add((3, size), (config.channels(size), size))  # from RGB
    for resolution in reversed(config.resolutions[:-1]):
        in_chs, out_chs = config.channels(2 * resolution), config.channels(resolution)
        add((in_chs, 2 * resolution), (in_chs, 2 * resolution + 1))  # blur
        add((in_chs, 2 * resolution + 1), (out_chs, resolution))  # convolution
        add((out_chs, resolution), (out_chs, resolution))  # bias and activation
        weights += 9 * in_chs * out_chs
    in_chs = config.channels(4)
    for i, resolution in enumerate(config.resolutions):
        chs = config.channels(resolution)
        for upsample in (True, False) if i else (False,):
            source = resolution // 2 if upsample else resolution
            convolved = resolution + 1 if upsample else resolution
            add((in_chs, source), (chs, convolved))  # convolution
            add((chs, convolved), (chs, resolution), (chs * width, resolution))  # all that follows
            weights += 9 * in_chs * chs
            in_chs = chs * width
        add((in_chs, resolution))  # to RGB
    rgb = sum(3 * resolution**2 * 4 * 5 // 4 for resolution in config.resolutions)
    return n_faces * (maps * itemsize + rgb) + weights * itemsize


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy of 2 GB reads and writes, the best of ten."""
    source = torch.empty(2**31, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return 2 * source.numel() / min(times)
