"""Float32 products that are float32: no reduced-precision matrix units behind the caller's back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class _Settings:
    cuda: str
    mkldnn: str
    legacy: str | None


_lock = threading.Lock()
_inside = 0
_saved: _Settings | None = None


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Products of float32 matrices on CUDA keep 24-bit mantissas inside; the settings come back as they were.

    TF32 rounds the inputs of every product to 11 bits, which alone moves ridge coefficients by 1e-4 to 3e-4
    relative. Some builds and containers switch it on for the whole process.

    Parameters
    ----------
    device : torch.device
        Nothing is touched unless it is a CUDA device.

    Notes
    -----
    The settings belong to the process: other threads multiply in full precision meanwhile. Fits that overlap
    in several threads share one change, undone by the last. ``NVIDIA_TF32_OVERRIDE=1`` in the environment
    cannot be overruled from here.
    """
    if device.type != "cuda":
        yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()


def _matmul(backend: str) -> Any:
    """Settings of a backend's matrix products (typed by hand: the stubs leave some out)."""
    return getattr(torch.backends, backend).matmul


def _enter() -> None:
    global _inside, _saved
    with _lock:
        _inside += 1
        if _inside > 1:
            return
        cuda, mkldnn = _matmul("cuda"), _matmul("mkldnn")
        saved = _Settings(cuda.fp32_precision, mkldnn.fp32_precision, None)
        # The older switch must agree with the newer, or products raise; it cannot be read (RuntimeError)
        # where someone has already set the two apart.
        with suppress(RuntimeError):
            if cuda.allow_tf32:
                saved.legacy = "high"
                with suppress(RuntimeError):
                    saved.legacy = torch.get_float32_matmul_precision()
                cuda.allow_tf32 = False
        cuda.fp32_precision = "ieee"
        _saved = saved


def _leave() -> None:
    global _inside, _saved
    with _lock:
        _inside -= 1
        if _inside or _saved is None:
            return
        if _saved.legacy is not None:
            torch.set_float32_matmul_precision(_saved.legacy)
        _matmul("cuda").fp32_precision = _saved.cuda
        _matmul("mkldnn").fp32_precision = _saved.mkldnn
        _saved = None
