"""The text of a comparison."""

from __future__ import annotations

import math

from .compare import Comparison, Similarity


def describe_comparison(comparison: Comparison, *, has_region: bool) -> str:
    """One sentence each for the whole images, the region and the faces.

    Args:
        comparison: From ``compare_images``.
        has_region: Whether it was given a region.
    """
    sentences = [f"Whole image: {_measures(comparison.whole)}"]
    if comparison.region is not None:
        sentences.append(f"Inside mask or faces: {_measures(comparison.region)}")
    elif has_region:
        sentences.append("There is nothing inside: no face, or an empty mask.")
    if comparison.whole.psnr == math.inf:
        return " ".join(sentences)
    if comparison.landmark_error is not None:
        sentences.append(
            f"Landmarks are off by {comparison.landmark_error:.1f} % of the distance between the "
            "eyes."
        )
    return " ".join(sentences)


def _measures(similarity: Similarity) -> str:
    if similarity.psnr == math.inf:
        return "equal, bit for bit."
    return (
        f"PSNR {similarity.psnr:.2f} dB, SSIM {similarity.ssim:.4f}, "
        f"MS-SSIM {similarity.ms_ssim:.4f}, sharpness {similarity.sharpness:.2f}, "
        f"colour error {similarity.color_error:.2f}."
    )
