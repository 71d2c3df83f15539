"""Getting model files: whole and checked, or not at all."""
