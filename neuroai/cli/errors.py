"""Exit codes: 0 done, 1 a bug of ours, 2 usage, 3 bad data, 4 out of memory or disk, 5 interrupted."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)

#: What the command line library makes of Ctrl-C.
_TYPER_INTERRUPTED = 130

USAGE, BAD_DATA, EXHAUSTED, INTERRUPTED, BUG = 2, 3, 4, 5, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after ``neuroai``; those of this process when left out.

    Returns
    -------
    int
        Exit code. A failure is told in at most three lines on stderr, a bug with its traceback.

    Notes
    -----
    SIGTERM, with which a cluster ends a job, stops a command as Ctrl-C does: what is finished is kept.

    Examples
    --------
    >>> main(["--version"])
    neuroai ...
    0
    """
    from neuroai.cli.app import app

    try:
        with _terminated_as_interrupted():
            code = app(list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        if code == _TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except SystemExit as error:
        # The command line library leaves this way when the reader of a pipe has gone: nobody is left to tell.
        return 0 if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    except (Exception, KeyboardInterrupt) as error:
        code, lines = explain(error)
        if code == BUG:
            import traceback

            traceback.print_exc()
        for line in lines:
            print(line, file=sys.stderr)
        return code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let whoever handles SIGINT handle SIGTERM too.

    Not among the ranks of torchrun: it terminates those that wait for a lost one, and they must go at once.
    """
    if threading.current_thread() is not threading.main_thread() or "TORCHELASTIC_RUN_ID" in os.environ:
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def explain(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code of an exception, and what to tell the user.

    Examples
    --------
    >>> explain(MemoryError())[0], explain(KeyError("x"))[0], explain(KeyboardInterrupt())[0]
    (4, 1, 5)
    """
    code = _code(error)
    if code == BUG:
        return code, [f"neuroai failed on something it did not expect: {type(error).__name__}: {error}"]
    message = _message(error)
    if not message:  # the help was shown instead
        return code, []
    return code, [f"error: {message}" if code != INTERRUPTED else message]


def _code(error: BaseException) -> int:
    from neuroai.errors import CheckpointError, ConfigError, DataError, InterruptedRunError, ShapeError

    # typer 0.24 and later carry their own copy of click: told apart by name, not by class.
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, (KeyboardInterrupt, InterruptedRunError)) or "Abort" in names:
        return INTERRUPTED
    if isinstance(error, ConfigError) or names & {"UsageError", "ClickException"}:
        return USAGE
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return EXHAUSTED
    if any(_is_full(one) for one in (error, error.__cause__)):
        return EXHAUSTED
    if isinstance(error, (DataError, ShapeError, CheckpointError, OSError)):
        return BAD_DATA
    return BUG


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk had no room left; safetensors tells the number of the system's error in words alone."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = type(error).__name__ == "SafetensorError"
    return told and any(f"os error {number})" in str(error) for number in _FULL)


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if hasattr(error, "format_message"):
        command = getattr(getattr(error, "ctx", None), "command_path", "")
        told = str(error.format_message())
        return f"{told} See `{command} --help`." if told and command else told
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory; give --memory, select fewer targets, or use smaller features"
    if isinstance(error, OSError) and error.strerror:
        places = [str(name) for name in (error.filename2 or error.filename,) if name is not None]
        return ": ".join([*places, error.strerror])
    return str(error)
