import gpen_core
from gpen_core.__main__ import main


def test_convert_writes_a_file_that_loads(checkpoint, tmp_path, capsys):
    target = tmp_path / "model.safetensors"
    assert main(["convert", str(checkpoint), str(target)]) == 0
    assert "GPEN-256" in capsys.readouterr().out
    assert gpen_core.load_model(target).config == gpen_core.load_model(checkpoint).config
