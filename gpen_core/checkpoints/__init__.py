"""Model files: reading them safely, writing them, and where they come from."""
