"""How alike two pictures are, and what traces a restoration left in one."""

from .compare import Comparison, Similarity, compare_images
from .landmarks import landmark_error
from .report import describe_comparison
from .traces import flicker, seam

__all__ = [
    "Comparison",
    "Similarity",
    "compare_images",
    "describe_comparison",
    "flicker",
    "landmark_error",
    "seam",
]
