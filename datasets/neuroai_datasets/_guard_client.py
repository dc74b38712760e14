"""The parent's side of the guard: one reusable child, killed when its time is up and started anew."""

import atexit
import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DamagedFileError, UnsafeFileError

TIME_LIMIT = 5.0
START_LIMIT = 120.0
MEMORY_LIMIT = 4 << 30
WAITING_FACTOR = 6
BYTES_PER_SECOND = 20e6


class _Clock:
    """How long a child may take, in its own CPU seconds where the system tells them.

    A busy machine thus refuses no file. Waiting itself ends after six times the limit, whatever the
    child does.
    """

    def __init__(self, pid: int, limit: float) -> None:
        self._pid = pid
        self._limit = limit
        self._start = time.monotonic()
        self._cpu_start = self._cpu()

    def extend(self, seconds: float) -> None:
        """Allow more time."""
        self._limit += seconds

    def wait(self, descriptor: int) -> None:
        """Wait until something can be read; TimeoutError when time is up."""
        while not select.select([descriptor], [], [], self._next_look())[0]:
            waited = time.monotonic() - self._start
            used = waited if self._cpu_start is None else (self._cpu() or 0.0) - self._cpu_start
            if used >= self._limit or waited >= WAITING_FACTOR * self._limit:
                raise TimeoutError

    def _next_look(self) -> float:
        remaining = self._start + self._limit - time.monotonic()
        return remaining if remaining > 0 else 0.1

    def _cpu(self) -> float | None:
        """CPU seconds of the child, from /proc; None where there is none."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """A child process that reads foreign files, restarted after it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()
        self.starts = 0

    def request(self, payload: dict[str, Any], limit: float) -> tuple[Any, list[bytes]]:
        """Send one request and wait for its answer at most ``limit`` seconds of the child's CPU time."""
        where = payload["path"]
        with self._lock:
            process = self._ready()
            text = json.dumps(payload).encode()
            clock = _Clock(process.pid, limit)
            try:
                assert process.stdin is not None
                process.stdin.write(struct.pack("<q", len(text)) + text)
                process.stdin.flush()
                header = json.loads(self._receive_sized(process, clock))
                sizes = header.get("blobs", [])
                clock.extend(sum(sizes) / BYTES_PER_SECOND)
                blobs = [self._receive(process, n, clock) for n in sizes]
            except TimeoutError:
                self._kill()
                raise DamagedFileError(
                    f"{where}: reading did not end within {limit:.3g} s: the file is damaged, or needs a "
                    "larger time_limit="
                ) from None
            except (EOFError, BrokenPipeError, json.JSONDecodeError):
                code = self._kill()
                raise DamagedFileError(
                    f"{where}: the reading library crashed on this file (exit {code})"
                ) from None
            except BaseException:
                self._kill()  # an answer that was not taken would be read as the next one's
                raise
        if header["ok"]:
            return header["result"], blobs
        kind = UnsafeFileError if header["kind"] == "unsafe" else DamagedFileError
        raise kind(f"{where}: {header['message']}")

    def close(self) -> None:
        """End the child."""
        if self._process is not None and self._owner == os.getpid():
            self._kill()

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner != os.getpid():
            # Inherited through a fork: the child belongs to the parent process, only the pipes are let go.
            self._process.returncode = 0
            self._close_pipes(self._process)
            self._process = None
        if self._process is not None and self._process.poll() is not None:
            self._kill()
        if self._process is None:
            environment = {k: v for k, v in os.environ.items() if not k.startswith("HDF5_PLUGIN")}
            # "::" turns HDF5's loading of plug-ins off.
            environment |= {"HDF5_PLUGIN_PRELOAD": "::", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                # -P: modules in the current folder, which may hold foreign files, are not imported.
                [sys.executable, "-P", "-m", "neuroai_datasets._guard", str(MEMORY_LIMIT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._owner = os.getpid()
            self.starts += 1
            try:
                self._receive_sized(self._process, _Clock(self._process.pid, START_LIMIT))
            except (EOFError, TimeoutError):
                code = self._kill()
                raise RuntimeError(
                    f"the process that reads foreign files did not start (exit {code}): "
                    f"try `{sys.executable} -P -m neuroai_datasets._guard {MEMORY_LIMIT}`"
                ) from None
        return self._process

    def _kill(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        self._close_pipes(process)
        return code

    @staticmethod
    def _close_pipes(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                # What was not yet sent is of no use to a child that is gone.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _receive_sized(self, process: subprocess.Popen[bytes], clock: "_Clock") -> bytes:
        return self._receive(process, struct.unpack("<q", self._receive(process, 8, clock))[0], clock)

    @staticmethod
    def _receive(process: subprocess.Popen[bytes], n: int, clock: "_Clock") -> bytes:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        out = bytearray()
        while len(out) < n:
            clock.wait(descriptor)
            part = os.read(descriptor, min(n - len(out), 1 << 20))
            if not part:
                raise EOFError
            out += part
        return bytes(out)


worker = Worker()
if hasattr(os, "register_at_fork"):
    # Another thread may have held the lock at the moment of the fork.
    os.register_at_fork(after_in_child=lambda: setattr(worker, "_lock", threading.Lock()))
atexit.register(worker.close)


def unpack_array(entry: dict[str, Any], blobs: list[bytes]) -> npt.NDArray[Any]:
    """The array that :func:`neuroai_datasets._guard.pack_array` described."""
    shape = tuple(entry["shape"])
    if "text" in entry:
        out = np.empty(len(entry["text"]), dtype=object)
        out[:] = entry["text"]
        return out.reshape(shape)
    return np.frombuffer(bytearray(blobs[entry["blob"]]), dtype=to_dtype(entry["descr"])).reshape(shape)


def to_dtype(descr: Any) -> np.dtype[Any]:
    """A dtype from its JSON description."""
    return np.dtype(object) if descr == "str" else np.lib.format.descr_to_dtype(_tuples(descr))


def _tuples(descr: Any) -> Any:
    if isinstance(descr, list):
        return [
            tuple(_tuples(p) if isinstance(p, list) and i == 1 else _as_shape(p) for i, p in enumerate(f))
            for f in descr
        ]
    return descr


def _as_shape(part: Any) -> Any:
    return tuple(part) if isinstance(part, list) else part
