"""Seeded mutants of valid files, and the loop that feeds them to a reader. Shared as fixtures."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroai_datasets.errors import DataError

Mutate = Callable[..., Iterator[bytes]]
Survive = Callable[..., Counter[str]]


def mutants(data: bytes, n: int, seed: int = 1) -> Iterator[bytes]:
    """``n`` mutants: 1-8 bit flips, 1-16 byte overwrites, truncation, zeroed runs, inserted runs."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        out = bytearray(data)
        kind = int(rng.integers(5))
        at = int(rng.integers(len(out)))
        run = int(rng.integers(1, 65))
        if kind == 0:
            for position in rng.integers(len(out), size=rng.integers(1, 9)):
                out[position] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            for position in rng.integers(len(out), size=rng.integers(1, 17)):
                out[position] = int(rng.integers(256))
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            out[at : at + run] = bytes(len(out[at : at + run]))
        else:
            out[at:at] = rng.bytes(run)
        yield bytes(out)


@pytest.fixture(scope="session")
def mutate() -> Mutate:
    """``mutate(data, n, seed=1)`` yields seeded mutants of a file's bytes."""
    return mutants


@pytest.fixture
def survive(tmp_path: Path) -> Survive:
    """``survive(data, suffix, read, n, limit=...)`` feeds ``n`` mutants to ``read(path)``.

    Any exception that is not a ``DataError`` fails the test, as does a read that takes longer than ``limit``
    seconds. Returned are the numbers of ``"refused"``, ``"same"`` and ``"changed"`` results (``read`` returns
    something comparable).
    """

    def run(
        data: bytes,
        suffix: str,
        read: Callable[[Path], object],
        n: int,
        *,
        seed: int = 1,
        limit: float = 10.0,
    ) -> Counter[str]:
        path = tmp_path / f"mutant{suffix}"
        path.write_bytes(data)
        expected = read(path)
        counts: Counter[str] = Counter()
        for number, mutant in enumerate(mutants(data, n, seed)):
            path.unlink()
            path.write_bytes(mutant)
            start = time.monotonic()
            try:
                found = read(path)
            except DataError as error:
                counts["refused"] += 1
                if str(path) not in str(error):
                    pytest.fail(f"mutant {number}: the message does not name the file: {error}")
            except Exception as error:
                pytest.fail(f"mutant {number}: foreign {type(error).__name__}: {error}")
            else:
                counts["same" if found == expected else "changed"] += 1
            assert time.monotonic() - start < limit, f"mutant {number} took longer than {limit} s"
        return counts

    return run
