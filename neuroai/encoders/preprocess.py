"""Drifts and scale of time series, run by run."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.encoders.scores import Float, as_numpy, is_constant, target_blocks
from neuroai.errors import ConfigError, ShapeError
from neuroai_datasets.delays import run_borders


def detrend(
    y: Any, kind: str = "linear", *, runs: Any = None, period: float | None = None, cutoff: float = 128.0
) -> NDArray[Any]:
    r"""Take slow drifts out of series, by least squares within each run.

    .. math:: y \leftarrow y - Q Q^\top y, \quad Q \text{ an orthonormal basis of the drifts of the run}

    Parameters
    ----------
    y
        (n_samples, n_columns), finite.
    kind
        "constant", "linear", "polynomial:ORDER", or "cosine": discrete cosines slower than ``cutoff``.
        All include the constant.
    runs
        (n_samples,) run of each row; None is one run.
    period
        Seconds between samples; needed by "cosine".
    cutoff
        Shortest period in seconds of a drift, for "cosine".

    Returns
    -------
    array of shape (n_samples, n_columns)
        A copy in the dtype of ``y`` (float64 for integers), computed in float64; a column that is constant
        in a run (maximum equals minimum) is 0 there.

    Raises
    ------
    ConfigError
        For an unknown kind, or "cosine" without a period.
    ShapeError
        If ``y`` is not two-dimensional or a run is too short for the basis.

    Notes
    -----
    No run sees another: leave-one-run-out splits stay clean. Within one run the fit sees every row, so
    cross-validation inside a run should use few drift terms. Linear in the size of the input.

    References
    ----------
    Holmes et al. (1997), for the cosine basis.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.arange(6.0)[:, None]
    >>> bool(np.allclose(detrend(ramp), 0))
    True
    """
    y = _table(y)
    out = np.empty(y.shape, y.dtype if y.dtype.kind == "f" else np.float64)
    for start, stop in run_borders(len(y), runs):
        basis = drift_basis(stop - start, kind, period=period, cutoff=cutoff)
        for columns in target_blocks(stop - start, y.shape[1]):
            part = y[start:stop, columns].astype(np.float64)
            left = part - basis @ (basis.T @ part)
            # What rounding leaves of a constant must not be scaled up to a signal afterwards.
            out[start:stop, columns] = np.where(is_constant(part), 0.0, left)
    return out


def drift_basis(
    n_samples: int, kind: str = "linear", *, period: float | None = None, cutoff: float = 128.0
) -> Float:
    """Orthonormal drifts of one run, (n_samples, n_terms), float64; see :func:`detrend`.

    Examples
    --------
    >>> drift_basis(121, "cosine", period=2.5, cutoff=128.0).shape
    (121, 5)
    """
    name, _, order = kind.partition(":")
    if name == "cosine" and not order:
        if period is None or not 0 < period < cutoff:
            raise ConfigError(f"cosine drifts need 0 < period < cutoff; found {period} s and {cutoff} s")
        n_terms = 1 + int(2 * n_samples * period / cutoff)
        basis = np.cos(np.pi * np.outer(np.arange(n_samples) + 0.5, np.arange(n_terms)) / n_samples)
    elif (name in ("constant", "linear") and not order) or (name == "polynomial" and order.isdigit()):
        n_terms = 1 + {"constant": 0, "linear": 1}.get(name, int(order or 0))
        basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, n_samples), n_terms - 1)
    else:
        raise ConfigError(
            f"detrending {kind!r} is unknown; choose constant, linear, polynomial:ORDER or cosine"
        )
    if n_terms >= n_samples:
        raise ShapeError(f"a run of {n_samples} samples is too short for {n_terms} drift terms of {kind!r}")
    return np.asarray(np.linalg.qr(basis)[0])


def zscore(y: Any, *, runs: Any = None) -> NDArray[Any]:
    r"""Scale each column to mean 0 and variance 1 within each run.

    .. math:: y \leftarrow (y - \bar y_\mathrm{run}) / s_\mathrm{run}

    Parameters
    ----------
    y
        (n_samples, n_columns), finite.
    runs
        (n_samples,) run of each row; None is one run.

    Returns
    -------
    array of shape (n_samples, n_columns)
        A copy in the dtype of ``y``; a column that is constant in a run (maximum equals minimum) is 0 there.

    Raises
    ------
    ShapeError
        If ``y`` is not two-dimensional.

    Notes
    -----
    Linear in the size of the input; computed in float64 (ddof 0). After averaging repeats, z-score again.

    Examples
    --------
    >>> import numpy as np
    >>> zscore(np.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    y = _table(y)
    out = np.empty(y.shape, y.dtype if y.dtype.kind == "f" else np.float64)
    for start, stop in run_borders(len(y), runs):
        for columns in target_blocks(stop - start, y.shape[1]):
            part = y[start:stop, columns].astype(np.float64)
            sd = part.std(0)
            flat = is_constant(part) | (sd == 0)
            out[start:stop, columns] = np.where(flat, 0.0, (part - part.mean(0)) / np.where(flat, 1.0, sd))
    return out


def _table(y: Any) -> NDArray[Any]:
    table = as_numpy(y)
    if table.ndim != 2:
        raise ShapeError(f"series have shape {table.shape}; expected (n_samples, n_columns)")
    return table
