"""``compare BEFORE AFTER``: measure how alike two pictures are."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import (
    Similarity,
    box_masks,
    compare_images,
    describe_comparison,
    detect_faces,
    load_detector,
    read_picture,
    resize,
)
from .devices import AUTO, choose_device

_LEGEND = (
    "The higher PSNR, SSIM and MS-SSIM and the lower the errors, the more alike they are; a "
    "sharpness of 1 is as sharp as before, less is softer."
)


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser(
        "compare",
        description="Print PSNR, SSIM, MS-SSIM, sharpness, colour and landmark error.",
    )
    parser.add_argument("before", type=Path, help="picture; resized if AFTER has another size")
    parser.add_argument("after", type=Path, help="picture")
    parser.add_argument(
        "--faces", action="store_true", help="also measure inside the boxes of the faces of BEFORE"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print how alike the pictures are."""
    device = choose_device(AUTO)
    before, after = (read_picture(path).pixels for path in (options.before, options.after))
    size = (after.shape[2], after.shape[3])
    is_resized = before.shape[2:] != size
    before = resize(before, size)
    detector = load_detector(device=device)
    region = None
    if options.faces:
        region = box_masks(detect_faces(before, detector), 1, size)
    compared = compare_images(before, after, region, detector=detector, device=device)
    if options.json:
        inside = compared.region
        found = {
            "before": str(options.before),
            "after": str(options.after),
            "height_width": size,
            "before_was_resized": is_resized,
            "whole": _figures(compared.whole),
            "inside_faces": None if inside is None else _figures(inside),
            "landmark_error": compared.landmark_error,
        }
        print(json.dumps(found, indent=2, allow_nan=False))
        return 0
    if is_resized:
        print(f"{options.before} was resized to {size[1]} x {size[0]}, the size of the other.")
    print(describe_comparison(compared, has_region=options.faces))
    if compared.whole.psnr < math.inf:
        print(_LEGEND)
    return 0


def _figures(similarity: Similarity) -> dict[str, float | None]:
    """JSON has no infinity: a PSNR of equal pictures, or detail where there was none, is null."""
    figures: dict[str, float] = asdict(similarity)
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
