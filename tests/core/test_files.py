import pytest

from gpen_core.files import complete_file


def test_a_file_takes_the_place_of_the_old_one_in_one_step(tmp_path):
    target, other_name = tmp_path / "a.txt", tmp_path / "old.txt"
    target.write_text("old")
    other_name.hardlink_to(target)
    with complete_file(target) as partial:
        partial.write_text("new")
        assert partial.suffix == target.suffix
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert other_name.read_text() == "old"  # whoever has it open reads on undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "old.txt"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with complete_file(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_folders_are_made_and_what_a_killed_process_left_is_overwritten(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    with complete_file(target) as partial:
        partial.write_text("first")
    partial.write_text("left by a killed process, and longer")
    with complete_file(target) as again:
        assert again == partial
        again.write_text("second")
    assert target.read_text() == "second"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]
