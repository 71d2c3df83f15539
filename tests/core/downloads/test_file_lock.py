import threading

import pytest

from gpen_core.downloads import file_lock
from gpen_core.downloads.file_lock import locked


class GivenUpError(Exception):
    pass


def give_up():
    raise GivenUpError


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path):
    path = tmp_path / "lock"
    with locked(path, give_up):
        with pytest.raises(GivenUpError), locked(path, give_up):
            pass
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
    with locked(path, give_up):
        pass


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(GivenUpError), locked(tmp_path / "lock", give_up):
        raise GivenUpError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_goes_before_it_is_held_is_taken_anew(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    real, tries, waits = file_lock._try_lock, [], []

    def slow(descriptor):
        if not tries:
            path.unlink()  # as the one does that holds it, when done
        tries.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(file_lock, "_try_lock", slow)
    with locked(path, lambda: waits.append(1)):
        assert path.exists()
    assert len(tries) == 2
    assert len(waits) == 1


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
