"""Which model files are known, which are there, and how to get the others."""
