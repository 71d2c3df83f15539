"""Model files: reading them safely and writing them."""
