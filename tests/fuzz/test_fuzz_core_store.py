"""Files we wrote: every change is found. None of it reaches HDF5."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroai_datasets import ArrayStimulus, DamagedFileError, Recording
from neuroai_datasets.integrity import BLOCK, seal, verify


def small_recording() -> Recording:
    rng = np.random.default_rng(0)
    return Recording.from_arrays(
        rng.normal(size=(30, 20)).astype(np.float32),
        name="small",
        stimulus=ArrayStimulus(rng.integers(0, 256, (30, 5, 5)).astype(np.uint8)),
        rois={"V1": np.arange(20) < 9, "none": np.zeros(20, dtype=bool)},
        repeats=rng.normal(size=(3, 30, 20)),
        attrs={"licence": "CC0"},
    )


def read_everything(path: Path) -> dict[str, Any]:
    recording = Recording.open(path)
    content: dict[str, Any] = {"attrs": dict(recording.attrs)}
    for node in recording.tree.subtree:
        for name, variable in node.variables.items():
            values = variable.values
            content[f"{node.path}/{name}"] = values.tolist() if values.dtype == object else values.tobytes()
    return content


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return small_recording().save(tmp_path / "small.h5", include_stimulus=True)


@pytest.mark.parametrize("n", [3000])
def test_mutants_of_our_store_are_all_refused(sealed: Path, survive: Any, n: int) -> None:
    counts = survive(sealed.read_bytes(), ".h5", read_everything, n)
    assert counts["changed"] == 0
    # Only mutants that happen to equal the file (zeroed zeros) may be read.
    assert counts["refused"] + counts["same"] == n


def flips(size: int, n: int) -> Iterator[tuple[int, int]]:
    rng = np.random.default_rng(4)
    for position in rng.choice(size, size=n, replace=n > size):
        yield int(position), int(rng.integers(8))


def count_detected(path: Path, n: int) -> int:
    detected = 0
    with path.open("r+b", buffering=0) as stream:
        for position, bit in flips(path.stat().st_size, n):
            stream.seek(position)
            byte = stream.read(1)[0]
            stream.seek(position)
            stream.write(bytes([byte ^ (1 << bit)]))
            try:
                read_everything(path)
            except DamagedFileError:
                detected += 1
            stream.seek(position)
            stream.write(bytes([byte]))
    read_everything(path)
    return detected


def test_every_one_of_1000_single_bit_flips_is_detected(sealed: Path) -> None:
    assert count_detected(sealed, 1000) == 1000


@pytest.mark.slow
def test_every_one_of_10000_single_bit_flips_is_detected(sealed: Path) -> None:
    assert count_detected(sealed, 10_000) == 10_000


def test_bit_flips_in_any_block_of_a_large_file_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(np.random.default_rng(5).bytes(2 * BLOCK + 12345))
    seal(path)
    assert verify(path) == 2 * BLOCK + 12345
    for position in (0, BLOCK - 1, BLOCK, 2 * BLOCK, 2 * BLOCK + 12344, path.stat().st_size - 1):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        damaged = tmp_path / "damaged.bin"
        damaged.write_bytes(data)
        with pytest.raises(DamagedFileError, match=r"damaged\.bin"):
            verify(damaged)


def test_truncation_is_found_on_opening(sealed: Path, tmp_path: Path) -> None:
    data = sealed.read_bytes()
    cut = tmp_path / "cut.h5"
    for percent in range(100):
        cut.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(DamagedFileError, match=r"cut\.h5"):
            Recording.open(cut)
