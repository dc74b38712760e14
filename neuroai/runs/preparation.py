"""Preparation of responses before a fit: drifts and scale, each run by itself."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def prepare_responses(
    responses: ArrayLike,
    runs: ArrayLike | None = None,
    *,
    detrend: str = "none",
    standardise: str = "none",
) -> NDArray[np.floating]:
    """Take drifts out of responses and scale them, run by run.

    Parameters
    ----------
    responses : array of shape (n_samples, n_targets)
        Finite numbers.
    runs : int array of shape (n_samples,), optional
        Run of each sample; one run when left out.
    detrend : str
        "none", or a kind of :func:`neuroai.encoders.preprocess.detrend`.
    standardise : {"none", "run"}
        Whether to scale each run to mean 0 and variance 1.

    Returns
    -------
    array of shape (n_samples, n_targets)
        A copy in the dtype of ``responses``; after either step a target that is constant in a run (its
        maximum equals its minimum) is 0 there.

    Notes
    -----
    No run sees another, so a leave-one-run-out split stays clean. Within a single series the fit of
    the drift uses every sample, also those of a test block.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.arange(6.0)[:, None]
    >>> bool(np.allclose(prepare_responses(ramp, detrend="linear"), 0))
    True
    """
    from neuroai.encoders import preprocess

    prepared = np.array(responses)
    if detrend != "none":
        prepared = preprocess.detrend(prepared, detrend, runs=runs)
    if standardise == "run":
        prepared = preprocess.zscore(prepared, runs=runs)
    return prepared
