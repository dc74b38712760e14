"""Moments of repeated presentations, by blocks of targets, missing ones left out."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders.scores import Float, as_numpy, target_blocks
from neuroai.errors import ShapeError


class Repeats:
    """Moments of one block of targets, missing presentations left out."""

    def __init__(self, y: Float) -> None:
        self.y = y
        self.present = np.isfinite(y)
        self.n = self.present.sum(0)  # (n_samples, n_targets)

    @property
    def h(self) -> Float:
        """Share of the noise variance left in the mean over repeats."""
        moment: Float = np.mean(1.0 / self.n, axis=0, where=self.n > 0)
        return moment

    @property
    def mean(self) -> Float:
        """Mean over the presentations of each sample."""
        moment: Float = np.mean(self.y, axis=0, where=self.present)
        return moment

    @property
    def mean_variance(self) -> Float:
        """Variance over samples of the mean over repeats."""
        moment: Float = np.var(self.mean, axis=0, ddof=1, where=self.n > 0)
        return moment

    @property
    def single_variance(self) -> Float:
        """Variance over samples within a repeat, averaged over the repeats that have two samples."""
        variance = np.var(self.y, axis=1, ddof=1, where=self.present)
        moment: Float = np.mean(variance, axis=0, where=self.present.sum(1) > 1)
        return moment

    @property
    def total_variance(self) -> Float:
        """Variance over all presentations."""
        moment: Float = np.var(self.y, axis=(0, 1), where=self.present)
        return moment

    @property
    def noise_variance(self) -> Float:
        """Variance over repeats (ddof 1), averaged over the samples that have two."""
        moment: Float = np.mean(np.var(self.y, axis=0, ddof=1, where=self.present), axis=0, where=self.n > 1)
        return moment

    def standardised_per_repeat(self) -> "Repeats":
        """Z-score each repeat over its samples (ddof 1)."""
        mean = np.mean(self.y, axis=1, keepdims=True, where=self.present)
        sd = np.std(self.y, axis=1, keepdims=True, ddof=1, where=self.present)
        return Repeats((self.y - mean) / np.where(sd > 0, sd, np.nan))


def checked_repeats(repeats: Any) -> Any:
    """Refuse what is not (n_repeats >= 2, n_samples, n_targets)."""
    if len(repeats.shape) != 3:
        raise ShapeError(
            f"repeats have shape {tuple(repeats.shape)}; expected (n_repeats, n_samples, n_targets)"
        )
    if repeats.shape[0] < 2:
        raise ShapeError(
            f"repeats hold {repeats.shape[0]} presentation a sample; a ceiling needs two or more"
        )
    return repeats


def _blocks(repeats: Any) -> Iterator[tuple[slice, Float]]:
    n_repeats, n_samples, n_targets = repeats.shape
    for targets in target_blocks(n_repeats * n_samples, n_targets, arrays=4):
        yield targets, as_numpy(repeats[:, :, targets]).astype(np.float64)


def by_block(repeats: Any, estimate: Callable[[Repeats], Float]) -> Float:
    """Estimate target by target; NaN where a target is constant or never repeated."""
    repeats = checked_repeats(repeats)
    result = np.full(repeats.shape[2], np.nan)
    repeated = False
    for targets, y in _blocks(repeats):
        block = Repeats(y)
        usable = (block.n > 1).any(0) & _varies(y)
        repeated |= bool((block.n > 1).any())
        with np.errstate(all="ignore"):
            result[targets] = np.where(usable, _quiet(estimate, block), np.nan)
    if not repeated:
        raise ShapeError("no sample has two presentations: a noise ceiling needs repeats")
    return result


def _quiet(estimate: Callable[[Repeats], Float], block: Repeats) -> Float:
    """Evaluate with numpy's notices on empty means off: such targets are NaN by design."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return estimate(block)


def _varies(y: Float) -> NDArray[np.bool_]:
    finite = np.isfinite(y)
    high = np.max(y, axis=(0, 1), where=finite, initial=-np.inf)
    low = np.min(y, axis=(0, 1), where=finite, initial=np.inf)
    varies: NDArray[np.bool_] = high > low
    return varies
