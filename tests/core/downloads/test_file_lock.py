import subprocess
import sys
import threading

import pytest

from environment import REPOSITORY
from gpen_core.downloads.file_lock import locked


class GivenUpError(Exception):
    pass


def give_up():
    raise GivenUpError


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    with locked(path, give_up), pytest.raises(GivenUpError), locked(path, give_up):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(path, give_up):
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(GivenUpError), locked(tmp_path / "lock", give_up):
        raise GivenUpError
    assert list(tmp_path.iterdir()) == []


def test_another_path_to_the_same_file_is_the_same_lock(tmp_path):
    (tmp_path / "inside").mkdir()
    with (
        locked(tmp_path / "model", give_up),
        pytest.raises(GivenUpError),
        locked(tmp_path / "inside" / ".." / "model", give_up),
    ):
        pass


def test_another_file_is_another_lock(tmp_path):
    with locked(tmp_path / "model", give_up), locked(tmp_path / "other", give_up):
        pass


def test_another_process_is_kept_out_until_the_holder_dies(tmp_path):
    script = (
        "import sys; from pathlib import Path; from gpen_core.downloads.file_lock import locked\n"
        "with locked(Path(sys.argv[1]), lambda: None): print('in', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", script, str(tmp_path / "model")],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"in\n"
        with pytest.raises(GivenUpError), locked(tmp_path / "model", give_up):
            pass
        holder.kill()
        holder.wait()
    with locked(tmp_path / "model", give_up):
        pass


def test_many_threads_are_inside_one_at_a_time(tmp_path):
    inside, most = [], []
    pause = threading.Event()

    def enter():
        with locked(tmp_path / "lock", lambda: pause.wait(0.001)):
            inside.append(1)
            most.append(len(inside))
            pause.wait(0.002)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 20
    assert list(tmp_path.iterdir()) == []
