"""Work on many files: what is counted, what is printed, and the exit status."""

import argparse
import json
from pathlib import Path

import pytest

from gpen_core.commands.batch import INTERRUPTED, SOME_FAILED, add_batch_arguments, run_batch
from gpen_core.media.jobs import Job, JobError, Plan


def run(work, *arguments, names=("a.png", "b.png"), **plan):
    """Pretend to restore files."""
    parser = argparse.ArgumentParser()
    add_batch_arguments(parser)
    options = parser.parse_args(["in", "--output", "out", *arguments])
    jobs = [Job(Path("in", name), Path("out", name)) for name in names]
    return run_batch(
        Plan(jobs=jobs, **plan),
        options,
        work,
        done="restored",
        about={"model": "m"},
        describe=lambda report: f"{report['faces']} faces",
        on_no_memory="Lower --batch.",
    )


def test_the_summary_counts_files_with_faces_and_those_skipped(capsys):
    def work(job, _progress):
        return {"faces": int(job.source.name == "a.png")}

    ignored = {"ignored": {".txt": 2}}
    assert run(work, done=[Job(Path("in/c.png"), Path("out/c.png"))], **ignored) == 0
    summary = capsys.readouterr().out.splitlines()[-1]
    assert summary == (
        "2 files, 1 with faces; 1 file already there; 2 files of other kinds skipped (2 .txt)."
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("disk full"), "in/a.png: disk full"),
        (MemoryError(), "in/a.png: not enough memory. Lower --batch."),
    ],
)
def test_a_failure_is_named_and_the_others_are_done(capsys, error, line):
    def work(job, _progress):
        if job.source.name == "a.png":
            raise error
        return {"faces": 1}

    assert run(work, "--json") == SOME_FAILED
    summary = json.loads(capsys.readouterr().out)
    assert summary["model"] == "m"
    assert [report["output"] for report in summary["restored"]] == ["out/b.png"]
    assert summary["failed"] == [{"input": "in/a.png", "error": line}]


def test_a_mistake_of_the_program_is_not_hidden():
    def work(_job, _progress):
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        run(work)


def test_an_input_that_cannot_be_planned_fails_the_batch(capsys):
    assert run(lambda *_: {"faces": 1}, errors=[JobError(Path("in/d"), "in/d: no")]) == SOME_FAILED
    assert "in/d: no" in capsys.readouterr().err


def test_an_interruption_stops_and_says_how_to_continue(capsys):
    def work(_job, _progress):
        raise KeyboardInterrupt

    assert run(work) == INTERRUPTED
    assert "--resume continues" in capsys.readouterr().err
