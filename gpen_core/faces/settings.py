"""How faces are searched for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import SettingError
from ..settings import Choice

# Measured with mobile0.25 on photographs. At 640 a face that fills the picture is found once; from
# 720 on parts of it are found as faces of their own.
DEFAULT_DETECTION_SIZE = 640
# Faces of 24 pixels and more score at least 0.84; animals and textures at 640 at most 0.76.
DEFAULT_THRESHOLD = 0.8


class Scales(Choice):
    """The copies of the picture that are searched besides the standard one."""

    STANDARD = "standard"
    """None."""
    SMALL = "also small"
    """One twice as large: faces down to half the size. Five times the work."""
    LARGE = "also large"
    """One half as large: faces that fill the picture or reach out of it. A quarter more work."""
    ALL = "all"
    """Both."""


class Rotations(Choice):
    """What is done for tilted faces, beyond what is found without."""

    OFF = "off"
    """Nothing. Landmarks of faces tilted by more than 30 degrees are wrong."""
    WHEN_NONE = "when none is found"
    """Tilted faces that were found are detected again upright; a picture in which none was found
    is searched in quarter turns."""
    ALWAYS = "always"
    """As ``WHEN_NONE``, but every picture is searched in quarter turns. Four times the work."""


@dataclass(frozen=True)
class SearchSettings:
    """How ``search_faces`` looks for faces, and which it returns."""

    detection_size: int = DEFAULT_DETECTION_SIZE
    """Short side of the standard copy in pixels; see ``detect_faces``."""
    threshold: float = DEFAULT_THRESHOLD
    """The minimum score of a face, in [0, 1]. A face that only an enlarged or turned copy shows
    needs 0.9 at least."""
    scales: Scales = Scales.LARGE
    """Copies of which sizes are searched."""
    rotations: Rotations = Rotations.WHEN_NONE
    """What is done for tilted faces. Turned copies are of the standard size."""
    min_face_size: float = 0
    """Faces whose box has a smaller long side, in pixels of the image, are left out."""

    def __post_init__(self) -> None:
        """Check what ``detect_faces`` does not.

        Raises:
            SettingError: There is no such option, or ``min_face_size`` is out of range.
        """
        object.__setattr__(self, "scales", Scales(self.scales))
        object.__setattr__(self, "rotations", Rotations(self.rotations))
        if not 0 <= self.min_face_size < math.inf:
            raise SettingError(
                "min_face_size: expected a number of pixels, at least 0, got "
                f"{self.min_face_size}. 0 keeps all faces."
            )
