import json

import pytest

from gpen_core.__main__ import main
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import read_notice


def test_info_says_what_a_checkpoint_is(checkpoint, capsys):
    assert main(["info", str(checkpoint), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == 256
    assert found["narrow"] == 0.0625
    assert found["published_as"] is None
    assert len(found["sha256"]) == 64
    assert main(["info", str(checkpoint)]) == 0
    assert "not published" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["bundled"]])
def test_info_without_a_file_tells_about_the_bundled_network(arguments, capsys):
    assert main(["info", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(BUNDLED_RESTORER)
    assert found["size"] == 256
    assert found["dtype"] == "float16"
    assert found["notice"] == read_notice(BUNDLED_RESTORER)
    assert main(["info", *arguments]) == 0
    assert read_notice(BUNDLED_RESTORER) in capsys.readouterr().out
