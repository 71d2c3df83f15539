"""Model files: which are published, which one to take, reading them safely and writing them."""
