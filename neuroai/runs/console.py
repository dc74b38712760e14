"""Progress for people: a bar on a terminal, a plain line now and then elsewhere; never on stdout."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

Progress = Callable[[str, int, int], None]

#: Seconds after which a plain line is due, and seconds that two of them are at least apart.
LINE_EVERY, LINE_PAUSE = 30.0, 1.0


class LineProgress:
    """Plain log lines: a stage's start, each tenth of it or 30 s, and where the last one ended.

    Lines are a second apart, the first of a stage and the last of all excepted: a stage of many short passes
    does not fill the log.

    Parameters
    ----------
    stream : TextIO
        Where to write.
    every : float
        Seconds after which a line is due whatever was done.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, stream: TextIO, *, every: float = LINE_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.every, self.clock = stream, every, clock
        self.last = self.start = clock()
        self.tenths: dict[str, int] = {}
        self.waiting: tuple[str, int, int] | None = None

    def __enter__(self) -> "LineProgress":
        self.last = self.start = self.clock()
        return self

    def __exit__(self, *error: object) -> None:
        """Tell where the last stage ended, if no line said so."""
        if self.waiting is not None:
            self._tell(*self.waiting)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` parts of a stage are finished."""
        name, waited = stage.partition(": ")[0], self.clock() - self.last
        moved = self.tenths.get(name) != _tenth(done, total)
        if name not in self.tenths or (moved and waited >= LINE_PAUSE) or waited >= self.every:
            self._tell(stage, done, total)
        else:
            self.waiting = (stage, done, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        self.last = now = self.clock()
        self.tenths[stage.partition(": ")[0]] = _tenth(done, total)
        self.waiting = None
        print(f"[{now - self.start:6.0f} s] {stage}: {done} of {total}", file=self.stream, flush=True)


def _tenth(done: int, total: int) -> int:
    return 10 * done // max(total, 1)


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
