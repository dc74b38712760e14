r"""Noise ceilings from repeated presentations.

Every estimator here answers one question, *which share of the variance of the
response averaged over repeats is signal?*, and so bounds the **squared**
correlation of any model with that average. The bound on the correlation itself
is its square root.

Repeats are arrays (n_repeats, n_samples, n_targets); a missing presentation is
NaN. With :math:`k_i` repeats of sample i, averaging leaves the share
:math:`h = \langle 1/k_i \rangle` of the noise variance (1/m when all have m).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders._repeats import Repeats, by_block, checked_repeats
from neuroai.encoders.power import signal_power
from neuroai.encoders.scores import Float, as_numpy, pearson_r, target_blocks
from neuroai.errors import ConfigError


def noise_ceiling(repeats: Any, method: str = "nsd", **options: Any) -> Float:
    r"""Ceiling on the squared correlation with the mean over repeats, one a target.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets), any real dtype; NaN where a presentation is missing.
    method
        * "nsd": :math:`\mathrm{ncsnr}^2/(\mathrm{ncsnr}^2 + h)`, see :func:`ncsnr`;
        * "explainable-variance": bias-corrected over raw :func:`explainable_variance`;
        * "signal-power": :func:`signal_power` over the variance of the mean;
        * "split-half": Spearman-Brown corrected reliability, see :func:`split_half`.
    **options
        Passed on: ``n_splits`` and ``seed`` of "split-half".

    Returns
    -------
    array of shape (n_targets,), float64
        In [0, 1]; NaN where a target is constant, not finite, or never repeated.

    Raises
    ------
    ConfigError
        For an unknown method.
    ShapeError
        If ``repeats`` is not three-dimensional, or no sample has two presentations.

    Notes
    -----
    One pass over the data by blocks of targets; "split-half" makes ``n_splits`` passes.

    References
    ----------
    Allen et al. (2022), "A massive 7T fMRI dataset", Methods (nsd); Sahani & Linden (2003) and
    Schoppe et al. (2016) (signal power); Hsu, Borst & Theunissen (2004).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.standard_normal((5000, 1)) * 0.8
    >>> repeats = signal + 0.6 * rng.standard_normal((3, 5000, 1))
    >>> bool(abs(noise_ceiling(repeats)[0] - 0.842) < 0.02)
    True
    """
    try:
        estimate = CEILINGS[method]
    except KeyError:
        raise ConfigError(
            f"ceiling method {method!r} is unknown; choose one of: {', '.join(CEILINGS)}"
        ) from None
    return np.clip(estimate(repeats, **options), 0.0, 1.0)


def ncsnr(repeats: Any) -> Float:
    r"""Noise-ceiling signal-to-noise ratio :math:`\sigma_\mathrm{signal}/\sigma_\mathrm{noise}`.

    With presentations z-scored over all samples and repeats, the noise variance is the mean over
    samples of the variance over repeats (ddof 1), and the signal variance what is left of 1,
    at least 0.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing. Samples with one presentation
        count towards the total variance only.

    Returns
    -------
    array of shape (n_targets,), float64
        Zero or more; infinite without any noise; NaN where undefined.

    Raises
    ------
    ShapeError
        As :func:`noise_ceiling`.

    Notes
    -----
    The noise variance is the mean over samples with two or more presentations.

    References
    ----------
    Allen et al. (2022), Nature Neuroscience 25, Methods.

    Examples
    --------
    >>> import numpy as np
    >>> ncsnr(np.array([[[1.0], [2.0]], [[1.0], [2.0]]]))
    array([inf])
    """

    def estimate(block: Repeats) -> Float:
        signal = np.maximum(0.0, block.total_variance - block.noise_variance)
        return np.sqrt(signal / block.noise_variance)

    return by_block(repeats, estimate)


def explainable_variance(repeats: Any, *, bias_correction: bool = True) -> Float:
    r"""Share of the variance of *single* presentations that repeats share.

    .. math:: \mathrm{ev} = \frac{\mathrm{var}_t(\bar y)}{\langle \mathrm{var}_t(y_r) \rangle_r},
              \qquad \mathrm{ev}_c = \frac{\mathrm{ev} - h}{1 - h}

    on series z-scored per repeat, ddof 1. For m complete repeats the correction is the usual
    :math:`\mathrm{ev} - (1 - \mathrm{ev})/(m - 1)`.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing.
    bias_correction
        Whether to subtract what averaged noise adds.

    Returns
    -------
    array of shape (n_targets,), float64
        At most 1; the corrected value may be below zero; NaN where undefined.

    Raises
    ------
    ShapeError
        As :func:`noise_ceiling`.

    Notes
    -----
    Linear in the size of the input.

    References
    ----------
    Dupré la Tour, Visconti di Oleggio Castello & Gallant (2025), "The Voxelwise Encoding Model framework".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> signal, noise = rng.standard_normal((4000, 1)), rng.standard_normal((10, 4000, 1))
    >>> repeats = np.sqrt(0.2) * signal + np.sqrt(0.8) * noise
    >>> explainable_variance(repeats).round(2), explainable_variance(repeats, bias_correction=False).round(2)
    (array([0.2]), array([0.28]))
    """

    def estimate(block: Repeats) -> Float:
        standardised = block.standardised_per_repeat()
        ev = standardised.mean_variance / standardised.single_variance
        return (ev - block.h) / (1.0 - block.h) if bias_correction else ev

    return by_block(repeats, estimate)


def split_half(repeats: Any, *, n_splits: int = 50, seed: int = 0) -> Float:
    r"""Reliability of the mean over repeats: split-half correlation, Spearman-Brown corrected.

    Each sample's presentations are halved at random, both halves averaged and correlated over
    samples; with :math:`\bar\rho` the mean over splits, the reliability is :math:`2\bar\rho/(1+\bar\rho)`.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing. Samples presented once are left out.
    n_splits
        Number of random splits, 1 or more.
    seed
        Same seed, same splits.

    Returns
    -------
    array of shape (n_targets,), float64
        At most 1; a ceiling on r squared (its root bounds r). NaN where undefined.

    Raises
    ------
    ShapeError
        As :func:`noise_ceiling`.

    Notes
    -----
    Linear in ``n_splits`` times the size of the input. Correlations are averaged before the
    correction, which is convex and would turn their noise into bias.

    References
    ----------
    Spearman (1910); Brown (1910).

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(6.0)[None, :, None] + np.zeros((4, 1, 1))
    >>> split_half(y, n_splits=2)
    array([1.])
    """
    repeats = checked_repeats(repeats)
    if n_splits < 1:
        raise ConfigError(f"n_splits is {n_splits}; it must be 1 or more")
    n_repeats, n_samples, n_targets = repeats.shape
    reliability = np.empty(n_targets)
    for targets in target_blocks(n_repeats * n_samples, n_targets, arrays=6):
        rng = np.random.default_rng(seed)
        y = as_numpy(repeats[:, :, targets]).astype(np.float64)
        y = y[:, np.isfinite(y).sum(0).max(1) > 1]
        rho = np.mean([_half_correlation(y, rng) for _ in range(n_splits)], axis=0)
        with np.errstate(all="ignore"):
            reliability[targets] = 2.0 * rho / (1.0 + rho)
    return reliability


#: Methods of :func:`noise_ceiling`: each maps repeats to a ceiling on r squared.
CEILINGS: dict[str, Callable[..., Float]] = {}


def _nsd(repeats: Any) -> Float:
    snr2 = ncsnr(repeats) ** 2
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(snr2), 1.0, snr2 / (snr2 + by_block(repeats, lambda block: block.h)))


def _explainable(repeats: Any) -> Float:
    with np.errstate(all="ignore"):
        return explainable_variance(repeats) / explainable_variance(repeats, bias_correction=False)


def _power_share(repeats: Any) -> Float:
    with np.errstate(all="ignore"):
        return signal_power(repeats) / by_block(repeats, lambda block: block.mean_variance)


CEILINGS.update(
    {
        "nsd": _nsd,
        "explainable-variance": _explainable,
        "signal-power": _power_share,
        "split-half": split_half,
    }
)


def _half_correlation(y: Float, rng: np.random.Generator) -> Float:
    """Correlation over samples of the means of two random halves of the presentations."""
    present = np.isfinite(y)
    # The same missing pattern for all targets (the usual case) needs one draw for all of them.
    shared = bool((present == present[:, :, :1]).all())
    mask = present[:, :, :1] if shared else present
    keys = np.where(mask, rng.random(y.shape[:2])[:, :, None], np.inf)
    rank = keys.argsort(axis=0).argsort(axis=0)
    n_first = mask.sum(0) // 2
    first, second = mask & (rank < n_first), mask & (rank >= n_first)
    if shared:
        return np.asarray(pearson_r(_masked_mean(y, first), _masked_mean(y, second)))
    usable = mask.sum(0) > 1
    return np.array(
        [
            pearson_r(
                *(_masked_mean(y[:, rows, v : v + 1], half[:, rows, v : v + 1]) for half in (first, second))
            )[0]
            if (rows := usable[:, v]).sum() > 1
            else np.nan
            for v in range(y.shape[2])
        ]
    )


def _masked_mean(y: Float, mask: NDArray[np.bool_]) -> Float:
    return np.asarray(np.where(mask, y, 0.0).sum(0) / mask.sum(0))
