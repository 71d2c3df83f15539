"""Train a small GPEN network, or go on training any GPEN checkpoint, on a folder of photos.

``python -m training --help`` says how; README.md says what to expect.
"""
