"""Progress off a terminal: few lines, on the given stream alone."""

import io

import pytest

from neuroai.runs.console import LineProgress, NoProgress, for_stream


def told(calls: list[tuple[float, str, int, int]]) -> list[str]:
    """Lines for calls at given seconds."""
    now, stream = [0.0], io.StringIO()
    with LineProgress(stream, clock=lambda: now[0]) as progress:
        for seconds, stage, done, total in calls:
            now[0] = seconds
            progress(stage, done, total)
    return stream.getvalue().splitlines()


def test_a_line_each_tenth_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told([(step * 0.1, "fold", step, 1000) for step in range(1001)])
    assert [line.split()[-3] for line in lines] == [str(n) for n in range(0, 1001, 100)]
    assert lines[-1] == "[   100 s] fold: 1000 of 1000"
    assert capsys.readouterr().out == ""


def test_a_slow_stage_is_told_every_thirty_seconds() -> None:
    lines = told([(10.0 * step, "train", step, 100_000) for step in range(13)])
    assert [line.split()[-3] for line in lines] == ["0", "3", "6", "9", "12"]


def test_the_end_of_a_short_command_is_told() -> None:
    """Of eight parts in three quarters of a second the log is not left at "0 of 8"."""
    lines = told([(0.1 * step, "run", step, 8) for step in range(9)])
    assert [line.split()[-3] for line in lines] == ["0", "8"]


def test_many_short_passes_do_not_fill_the_log() -> None:
    calls = []
    for fold in range(100):
        calls += [(0.1 * fold, "folds", fold, 100)]
        calls += [(0.1 * fold + 0.02 * part, f"fit: fold {fold}", part, 3) for part in range(4)]
    lines = told(calls)
    assert sum("fit" in line for line in lines) <= 11
    assert len(lines) <= 22
    assert lines[-1].endswith("fit: fold 99: 3 of 3")


def test_choice_follows_the_stream() -> None:
    assert isinstance(for_stream(quiet=True), NoProgress)
    assert isinstance(for_stream(quiet=False, stream=io.StringIO()), LineProgress)
