"""What a comparison found, in words."""

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
        sentences.append(f"Inside: {_measures(comparison.region)}")
    elif has_region:
        sentences.append("There is nothing inside: no face, or an empty mask.")
    if comparison.landmark_error is not None and comparison.whole.psnr != math.inf:
        sentences.append(
            f"Landmarks are off by {comparison.landmark_error:.1f} % of the distance of the eyes."
        )
    return " ".join(sentences)


def _measures(similarity: Similarity) -> str:
    if similarity.psnr == math.inf:
        return "equal to the last bit."
    return (
        f"PSNR {similarity.psnr:.2f} dB, SSIM {similarity.ssim:.4f}, "
        f"MS-SSIM {similarity.ms_ssim:.4f}, sharpness {similarity.sharpness:.2f}, "
        f"colour error {similarity.color_error:.2f}."
    )
