"""Counted inversions: the compiled form against all pairs compared, and against Kendall's tau of scipy."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from neuroai_kernels.errors import ShapeError
from neuroai_kernels.inversions import inversions


@pytest.mark.parametrize("n", [2, 3, 17, 64, 501])
@pytest.mark.parametrize("largest", [1, 2, 9, 1000])
def test_compiled_form_counts_what_the_reference_counts(n: int, largest: int) -> None:
    ranks = np.random.default_rng(n).integers(0, largest + 1, n)
    assert inversions(ranks) == inversions(ranks, implementation="reference")


def test_extreme_orders() -> None:
    n = 5000
    assert inversions(np.arange(n)) == 0
    assert inversions(np.arange(n)[::-1]) == n * (n - 1) // 2
    assert inversions(np.zeros(n, dtype=int)) == 0
    assert inversions([]) == inversions([4]) == 0


def test_permutations_give_the_tau_of_scipy() -> None:
    n = 20_000
    order = np.random.default_rng(1).permutation(n)
    tau = 1 - 4 * inversions(order) / (n * (n - 1))
    assert tau == pytest.approx(kendalltau(np.arange(n), order).statistic, abs=1e-12)


def test_errors() -> None:
    with pytest.raises(ShapeError, match="integers"):
        inversions([0.5, 1.0])
    with pytest.raises(ShapeError, match="start at 0"):
        inversions([-1, 2])
