"""The modules of ``js/lib/`` that need no page, in Node.js."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.test.js"))
# One that pip has installed lies beside Python.
BESIDE_PYTHON = str(Path(sys.executable).parent)
NODE = shutil.which("node", path=os.pathsep.join((BESIDE_PYTHON, os.environ["PATH"])))


@pytest.mark.skipif(NODE is None, reason="no Node.js")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_case_of_the_file_passes(file):
    result = subprocess.run([NODE, "--test", file], capture_output=True, text=True)  # noqa: S603
    assert result.returncode == 0, result.stdout + result.stderr
