"""The setup's decisions; what it installs is seen by every other test."""

import pytest

import environment
from environment import SetupError, Step, host_folder, set_up


def test_host_folder_without_variable_is_the_bundled_one(monkeypatch):
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    assert host_folder() == environment.BUNDLED_HOST


def test_host_folder_takes_the_named_comfyui(monkeypatch, tmp_path):
    for name in ("main.py", "folder_paths.py", "requirements.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    assert host_folder() == tmp_path


def test_host_folder_that_is_no_comfyui_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path))
    with pytest.raises(SetupError, match=r"no main\.py in it"):
        host_folder()


@pytest.fixture
def sandbox(monkeypatch, tmp_path):
    """Setup with its files in a folder of its own; the steps are the test's to choose."""
    for name in ("VENV_STAMPS", "WORK_FOLDER"):
        monkeypatch.setattr(environment, name, tmp_path / name)
    monkeypatch.setattr(environment, "LOG_FILE", tmp_path / "WORK_FOLDER" / "setup.log")
    monkeypatch.setattr(environment, "CONSTRAINTS_FILE", tmp_path / "WORK_FOLDER" / "c.txt")
    python = tmp_path / "python"
    python.touch()
    monkeypatch.setattr(environment, "VENV_PYTHON", python)

    def use(*steps):
        monkeypatch.setattr(environment, "_steps", lambda _with_tests: list(steps))
        return tmp_path

    return use


def test_set_up_runs_a_step_once_and_again_when_its_key_changes(sandbox):
    ran = []
    folder = sandbox()

    def step(key):
        return Step("step", folder / "VENV_STAMPS" / "step", key, lambda: ran.append(key))

    for key in ("a", "a", "b"):
        sandbox(step(key))
        set_up(with_tests=False)
    assert ran == ["a", "b"]


def test_set_up_runs_everything_again_without_python(sandbox):
    ran = []
    folder = sandbox()
    sandbox(Step("step", folder / "VENV_STAMPS" / "step", "a", lambda: ran.append(1)))
    set_up(with_tests=False)
    (folder / "python").unlink()
    set_up(with_tests=False)
    assert ran == [1, 1]


def test_set_up_failure_names_step_command_and_output_and_leaves_no_stamp(sandbox, capsys):
    folder = sandbox()
    command = ["sh", "-c", "echo some reason; exit 3"]
    stamp = folder / "VENV_STAMPS" / "step"
    sandbox(Step("my step", stamp, "a", lambda: environment._run(command)))
    with pytest.raises(SetupError, match=r"my step: exit status 3 of\n  sh -c(.|\n)*some reason"):
        set_up(with_tests=False)
    assert "my step ... failed" in capsys.readouterr().out
    assert not stamp.exists()
