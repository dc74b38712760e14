"""Sorting by digits against numpy's stable sort, over signs, ties, sizes and types."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.stable_order import stable_order


def samples(n: int) -> list[NDArray[Any]]:
    rng = np.random.default_rng(n)
    return [
        rng.standard_normal(n) * 10.0 ** rng.integers(-300, 300, n),
        np.round(rng.standard_normal(n), 1),
        np.where(rng.random(n) < 0.5, -0.0, 0.0),
        rng.integers(-9, 9, n),
        rng.integers(-(2**62), 2**62, n),
        np.arange(n)[::-1].astype(np.float32),
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 257, 5000])
def test_order_is_the_one_of_numpy(n: int) -> None:
    for values in samples(n):
        given = values.copy()
        for implementation in ("cpu", "reference", None):
            found = stable_order(values, implementation=implementation)
            np.testing.assert_array_equal(found, np.argsort(values, kind="stable"))
        np.testing.assert_array_equal(values, given)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="finite"):
        stable_order([1.0, np.nan])
    with pytest.raises(ShapeError, match="vector"):
        stable_order(np.zeros((2, 2)))
