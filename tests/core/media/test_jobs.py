import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpen_core.media import plan_jobs

NAMES = [
    "a.png",
    "a.jpg",
    "A.png",
    "b.mp4",
    "notes.txt",
    "sub/a.png",
    "sub/c.tif",
    "sub/deep/d.webp",
]


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def targets(plan, output):
    return [str(job.target.relative_to(output)) for job in plan.jobs]


def test_a_folder_is_mirrored_and_other_files_are_counted(tmp_path):
    folder = make(
        tmp_path / "in", "b.png", "a.MP4", "x.txt", "y.txt", "README", ".hidden.png", "s/c.jpg"
    )
    plan = plan_jobs([folder], tmp_path / "out")
    assert targets(plan, tmp_path / "out") == ["a.MP4", "b.png"]
    assert [job.is_video for job in plan.jobs] == [True, False]
    assert plan.ignored == {".txt": 2, "README": 1}
    assert plan.errors == []
    deep = plan_jobs([folder], tmp_path / "out", is_recursive=True)
    assert targets(deep, tmp_path / "out") == ["a.MP4", "b.png", "s/c.jpg"]


def test_outputs_inside_the_input_folder_are_not_inputs(tmp_path):
    folder = make(tmp_path / "in", "a.png", "out/a.png", "out/s/b.png", ".git/c.png")
    plan = plan_jobs([folder], folder / "out", is_recursive=True, overwrite=True)
    assert [job.source for job in plan.jobs] == [folder / "a.png"]


def test_an_input_is_never_overwritten(tmp_path):
    folder = make(tmp_path / "in", "a.png", "b.png")
    for options in ({"overwrite": True}, {"keep_existing": True}, {}):
        plan = plan_jobs([folder], folder, **options)
        assert plan.jobs == plan.done == []
        assert len(plan.errors) == 2
        assert "would overwrite the input" in plan.errors[0].message
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert plan_jobs([folder], link, overwrite=True).jobs == []


def test_two_inputs_never_share_an_output_whatever_the_file_system(tmp_path):
    make(tmp_path, "one/a.png", "two/a.png", "three/A.PNG")
    inputs = [tmp_path / "one/a.png", tmp_path / "two/a.png", tmp_path / "three/A.PNG"]
    plan = plan_jobs(inputs, tmp_path / "out", overwrite=True)
    assert [job.source for job in plan.jobs] == inputs[:1]
    assert [error.source for error in plan.errors] == inputs[1:]
    assert "different folders" in plan.errors[0].message


def test_an_input_given_twice_is_restored_once(tmp_path):
    folder = make(tmp_path / "in", "a.png")
    plan = plan_jobs([folder / "a.png", folder, folder / "a.png"], tmp_path / "out")
    assert targets(plan, tmp_path / "out") == ["a.png"]
    assert plan.errors == []


def test_outputs_that_are_there_are_errors_kept_or_written_anew(tmp_path):
    folder, output = make(tmp_path / "in", "a.png", "b.png"), make(tmp_path / "out", "a.png")
    plan = plan_jobs([folder], output)
    assert targets(plan, output) == ["b.png"]
    assert "--resume" in plan.errors[0].message
    plan = plan_jobs([folder], output, keep_existing=True)
    assert (targets(plan, output), len(plan.done), plan.errors) == (["b.png"], 1, [])
    plan = plan_jobs([folder], output, overwrite=True)
    assert (targets(plan, output), plan.errors) == (["a.png", "b.png"], [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.png", "expected a file or folder, got none"),
        ("a.gif", "Convert it to one of these"),
        ("a", "got no suffix"),
        ("texts", "got 1 of other kinds. Give --recursive"),
        ("empty", "got none. Give --recursive"),
    ],
)
def test_an_input_that_is_none_is_an_error_with_a_remedy(tmp_path, name, words):
    make(tmp_path, "a.gif", "a", "texts/a.txt", "texts/s/a.png")
    (tmp_path / "empty").mkdir()
    plan = plan_jobs([tmp_path / name], tmp_path / "out")
    assert plan.jobs == []
    assert [words in error.message for error in plan.errors] == [True]
    assert str(tmp_path / name) in plan.errors[0].message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    inputs=st.lists(st.sampled_from([".", "sub", "sub/deep", *NAMES]), min_size=1, max_size=4),
    output=st.sampled_from([".", "sub", "out", "sub/out"]),
    existing=st.sets(st.sampled_from(["a.png", "sub/a.png", "c.tif"])),
    options=st.sampled_from([{}, {"overwrite": True}, {"keep_existing": True}]),
    is_recursive=st.booleans(),
)
def test_every_input_is_accounted_for_once_and_none_is_a_target(
    tmp_path_factory, inputs, output, existing, options, is_recursive
):
    root = make(tmp_path_factory.mktemp("jobs"), *NAMES)
    make(root / output, *(existing if output.endswith("out") else ()))
    plan = plan_jobs(
        [root / name for name in inputs], root / output, is_recursive=is_recursive, **options
    )
    planned = [job.source for job in (*plan.jobs, *plan.done)]
    handled = planned + [error.source for error in plan.errors]
    assert len(set(handled)) == len(handled)
    job_targets = [os.path.realpath(job.target) for job in (*plan.jobs, *plan.done)]
    assert len({target.casefold() for target in job_targets}) == len(job_targets)
    assert not {target.casefold() for target in job_targets} & {
        os.path.realpath(source).casefold() for source in handled
    }
    if not options:
        assert not any(job.target.exists() for job in plan.jobs)
