import pytest

from gpen_core.__main__ import main


def test_bench_prints_a_line_for_each_dtype_of_a_checkpoint(checkpoint, capsys):
    arguments = ["bench", "--model", str(checkpoint), "--device", "cpu", "--runs", "1"]
    assert main([*arguments, "--dtype", "fp32", "bf16", "--batch", "2"]) == 0
    heading, columns, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading[-3:] == ["2", "at", "once"]
    assert columns == ["size", "dtype", "ms/face", "faces/s"]
    assert [line[:2] for line in lines] == [["256", "fp32"], ["256", "bf16"]]
    for _, _, milliseconds, rate in lines:
        assert float(milliseconds) * float(rate) == pytest.approx(1000, rel=0.01)


def test_bench_times_random_weights_of_the_published_width(capsys):
    assert main(["bench", "--size", "256", "--device", "cpu", "--runs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["256", "fp32"]


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--batch", "-1"], ["--size", "300"]])
def test_bench_refuses_numbers_that_make_no_sense(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["bench", *arguments])
    assert arguments[0] in capsys.readouterr().err
