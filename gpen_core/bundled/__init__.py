"""Model files that come with the package; README.md beside them says where they are from."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

BUNDLED_DETECTOR = _FOLDER / "retinaface_mobile0.25.safetensors"
"""The weights of the face detector ``retinaface_mobile0.25``."""

BUNDLED_RESTORER = _FOLDER / "GPEN-small-256.safetensors"
"""A small GPEN network for faces that are mildly damaged."""
