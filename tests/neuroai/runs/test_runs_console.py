"""Progress off a terminal: few lines, on the given stream alone."""

import io

import pytest

from neuroai.runs.console import LineProgress, NoProgress, for_stream


def test_at_most_one_line_every_thirty_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now, stream = [0.0], io.StringIO()
    with LineProgress(stream, clock=lambda: now[0]) as progress:
        for step in range(1000):
            now[0] = step * 0.1
            progress("fold", step, 1000)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4  # at 0, 30, 60 and 90 s
    assert lines[0].endswith("fold: 0 of 1000")
    assert capsys.readouterr().out == ""


def test_choice_follows_the_stream() -> None:
    assert isinstance(for_stream(quiet=True), NoProgress)
    assert isinstance(for_stream(quiet=False, stream=io.StringIO()), LineProgress)
