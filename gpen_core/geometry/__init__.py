"""Where faces lie and how pixels move: alignment, warping and resizing."""
