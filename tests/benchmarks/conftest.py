"""The scripts of ``benchmarks/``, importable by name."""

import sys

from environment import REPOSITORY

# Appended, so that no script shadows a library.
sys.path.append(str(REPOSITORY / "benchmarks"))
