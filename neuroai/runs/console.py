"""Progress for people: a bar on a terminal, a plain line now and then elsewhere; never on stdout."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

Progress = Callable[[str, int, int], None]

#: Seconds between two plain lines.
LINE_EVERY = 30.0


class LineProgress:
    """Plain log lines: a stage's start and end, and at most one line every 30 s between.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    every : float
        Seconds between two lines.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, stream: TextIO, *, every: float = LINE_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.every, self.clock = stream, every, clock
        self.last = self.start = clock() - every

    def __enter__(self) -> "LineProgress":
        self.start = self.clock()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` parts of a stage are finished."""
        now = self.clock()
        if now - self.last < self.every:
            return
        self.last = now
        print(f"[{now - self.start:6.0f} s] {stage}: {done} of {total}", file=self.stream, flush=True)


class BarProgress:
    """One bar a stage with an estimate of the time left, drawn by rich on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> "BarProgress":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` parts of a stage are finished.

        What follows a colon in ``stage`` may change from call to call: it is shown beside the same bar.
        """
        name = stage.partition(": ")[0]
        if name not in self.tasks:
            self.tasks[name] = self.bars.add_task(stage, total=total)
        self.bars.update(self.tasks[name], completed=done, total=total, description=stage)


class NoProgress:
    """Report nothing, as a context."""

    def __enter__(self) -> "NoProgress":
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` parts of a stage are finished."""


def for_stream(*, quiet: bool, stream: TextIO | None = None) -> BarProgress | LineProgress | NoProgress:
    """Choose how to report: nothing when quiet, a bar on a terminal, lines elsewhere."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return NoProgress()
    return BarProgress() if stream.isatty() else LineProgress(stream)
