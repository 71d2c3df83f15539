"""A face swap without a swapper: another person's face, moved onto the target by its landmarks.

It goes through the 128-pixel crop that ReActor's model works in, so the result is as soft as a
real swap, and comes back as 8 bits.
"""

from collections.abc import Sequence

import cv2
import numpy as np

# The ArcFace points of a 112-pixel crop, moved into the middle of 128 pixels.
TEMPLATE = np.array(
    [[46.29, 51.70], [81.53, 51.50], [64.03, 71.74], [49.55, 92.37], [78.73, 92.20]], np.float32
)
CROP_PX = 128


def swap_face(
    target: np.ndarray, landmarks: np.ndarray, source: np.ndarray, source_landmarks: np.ndarray
) -> np.ndarray:
    """Put a face on another.

    Args:
        target: (H, W, 3) uint8 or float in [0, 255].
        landmarks: (5, 2) of the face to cover, in pixels with centres at whole numbers.
        source: (H', W', 3) likewise.
        source_landmarks: (5, 2) of the face to take.

    Returns:
        (H, W, 3) float64 in [0, 255].
    """
    to_crop = similarity(landmarks)
    face = cv2.warpAffine(
        source, similarity(source_landmarks), (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    mask = cv2.GaussianBlur(white_box(), (0, 0), 4)
    height, width = target.shape[:2]
    back = cv2.invertAffineTransform(to_crop)
    face = cv2.warpAffine(face, back, (width, height), borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(mask, back, (width, height))[..., None]
    return target * (1 - share) + face * share


def similarity(landmarks: np.ndarray) -> np.ndarray:
    """(2, 3) from the picture to the crop."""
    matrix, _ = cv2.estimateAffinePartial2D(
        np.asarray(landmarks, np.float32), TEMPLATE, method=cv2.LMEDS
    )
    return matrix


def white_box(margin: int = 16) -> np.ndarray:
    """(128, 128) float64: 1 inside a margin."""
    box = np.zeros((CROP_PX, CROP_PX))
    box[margin:-margin, margin:-margin] = 1
    return box


def order_faces(boxes: np.ndarray, order: str) -> list[int]:
    """Numbers of (N, 4) boxes in one of ReActor's orders."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keys = {
        "left-right": boxes[:, 0],
        "right-left": -boxes[:, 0],
        "top-bottom": boxes[:, 1],
        "bottom-top": -boxes[:, 1],
        "small-large": area,
        "large-small": -area,
    }
    return np.argsort(keys[order], kind="stable").tolist()


def swap_faces(
    target: np.ndarray,
    target_faces: np.ndarray,
    source: np.ndarray,
    source_faces: np.ndarray,
    indices: Sequence[int],
    source_indices: Sequence[int],
    orders: tuple[str, str] = ("large-small", "large-small"),
) -> np.ndarray:
    """Swap some of the faces of a picture, as ReActor numbers them.

    Args:
        target: (H, W, 3) uint8.
        target_faces: (N, 15) rows of facexlib's detector: box, score, landmarks.
        source: (H', W', 3) uint8.
        source_faces: The same of the source.
        indices: Which faces of the target.
        source_indices: The face of the source for each of them.
        orders: How the faces of target and source are counted.

    Returns:
        (H, W, 3) uint8, truncated.
    """
    faces = target_faces[order_faces(target_faces[:, :4], orders[0])]
    sources = source_faces[order_faces(source_faces[:, :4], orders[1])]
    result = target.astype(np.float64)
    for index, source_index in zip(indices, source_indices, strict=False):
        if index < len(faces) and source_index < len(sources):
            result = swap_face(
                result,
                faces[index, 5:].reshape(5, 2),
                source,
                sources[source_index, 5:].reshape(5, 2),
            )
    return np.clip(result, 0, 255).astype(np.uint8)
