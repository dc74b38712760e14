"""Local full precision: settings change inside, and are what they were outside."""

from collections.abc import Callable, Iterator

import pytest
import torch

from neuroai.encoders._ridge.precision import full_float32

CUDA = torch.device("cuda")


def settings() -> tuple[str, str, str]:
    return (
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.mkldnn.matmul.fp32_precision,
        str(_try(lambda: torch.backends.cuda.matmul.allow_tf32)),
    )


def _try(read: Callable[[], object]) -> object:
    try:
        return read()
    except RuntimeError:
        return "mixed"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize("how", ["default", "high", "medium", "allow", "new", "mixed"])
def test_settings_come_back(how: str) -> None:
    if how in ("high", "medium"):
        torch.set_float32_matmul_precision(how)
    elif how == "allow":
        torch.backends.cuda.matmul.allow_tf32 = True
    elif how == "new":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    elif how == "mixed":
        torch.set_float32_matmul_precision("high")
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    before = settings()
    with full_float32(CUDA):
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        with full_float32(CUDA):
            pass
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert settings() == before
    with pytest.raises(KeyError), full_float32(CUDA):
        raise KeyError
    assert settings() == before


def test_nothing_is_touched_on_the_cpu() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with full_float32(torch.device("cpu")):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
