"""What a model says about spikes that were recorded: exact likelihoods and expected counts."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from neuroai.errors import ConfigError, DataError
from neuroai.neuroformer.ahead import last_before
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.model import Neuroformer
from neuroai.neuroformer.windows import Windows

__all__ = ["batches_of", "event_log_likelihood", "rates"]


def batches_of(
    model: Neuroformer, windows: Windows, batch_size: int
) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
    """Yield window numbers and their batch, on the model's device.

    Parameters
    ----------
    model : Neuroformer
    windows : Windows
    batch_size : int
        Windows at a time; the last batch may be smaller.

    Yields
    ------
    index : ndarray of int64 (n,)
    batch : Batch

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> windows = model.windows(simulate_spikes(5, 20.0))
    >>> [len(index) for index, _ in batches_of(model, windows, 300)]
    [300, 98]
    """
    device = model.units.symbols.device
    for start in range(0, len(windows), batch_size):
        index = np.arange(start, min(start + batch_size, len(windows)))
        yield index, windows[index].to(device)


@torch.no_grad()
def event_log_likelihood(
    model: Neuroformer, windows: Windows, *, batch_size: int = 64
) -> npt.NDArray[np.float64]:
    r"""Exact log-probability of the spike pattern of each window, given the past and the inputs.

    .. math:: \log P(y) = \sum_k \log P(b_k, j_k \mid \text{spikes before it}) + \log P(\text{end})

    Parameters
    ----------
    model : Neuroformer
        Intensity readout: its own likelihood. Categorical readout: renormalised to the order of tokens, see
        :func:`~neuroai.neuroformer.categorical.ordered_log_prob`.
    windows : Windows
    batch_size : int
        Windows at a time.

    Returns
    -------
    ndarray of float64 (n_windows,), nats
        A probability of the counts (bin, unit) of the window: compares with the Poisson log-likelihood of the
        same bins, factorials included.

    Raises
    ------
    DataError
        If spikes were truncated: their probability would be missing.

    Notes
    -----
    One pass of the model; the sum is in float64. Memory: a batch.

    References
    ----------
    Daley & Vere-Jones (2003), chapter 7, for the likelihood of a point process in its history; the tokens are
    those of Antoniades et al. (2024).

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> windows = model.windows(simulate_spikes(5, 20.0))
    >>> nats = event_log_likelihood(model, windows)
    >>> nats.shape, bool((nats < 0).all())
    ((398,), True)
    """
    if windows.report.truncated:
        raise DataError(
            f"{windows.report.truncated} spikes were truncated, so windows have no likelihood: use "
            "max_spikes=None or shorter windows"
        )
    model.eval()
    out = np.empty(len(windows))
    for index, batch in batches_of(model, windows, batch_size):
        tokens = model.encode(batch).tokens.double()
        value = model.readout.log_prob(tokens, batch, model.units)
        total = value.new_zeros(len(batch)).index_add(0, batch.current.layout.window, value)
        out[index] = total.cpu().numpy()
    return out


@torch.no_grad()
def rates(
    model: Neuroformer,
    windows: Windows,
    *,
    n_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> npt.NDArray[np.float32]:
    """Expected counts of each bin and unit.

    Parameters
    ----------
    model : Neuroformer
    windows : Windows
    n_samples : int, optional
        Default: one bin ahead, the conditional intensity at the start of each bin given all recorded spikes
        of earlier bins, as a GLM with spike history states it (intensity readout). With a number: the mean
        over that many generated patterns of each window, given only what came before the window.
    seed : int
        Of the samples.
    batch_size : int

    Returns
    -------
    ndarray of float32 (n_windows, n_bins, n_units)

    Raises
    ------
    ConfigError
        For a categorical readout without ``n_samples``: it states no rates.

    Notes
    -----
    One bin ahead: one pass of the model. Samples: ``n_samples`` passes a spike, with a cache.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> rates(model, model.windows(simulate_spikes(5, 20.0))).shape
    (398, 5, 5)
    """
    if n_samples is not None:
        from neuroai.neuroformer.generation import generate

        return generate(model, windows, n_samples=n_samples, seed=seed, batch_size=batch_size).mean_counts()
    if not isinstance(model.readout, IntensityReadout):
        raise ConfigError("a categorical readout states no rates: give n_samples=100 or more")
    model.eval()
    parts = [_ahead(model, batch) for _, batch in batches_of(model, windows, batch_size)]
    return np.concatenate(parts)


def _ahead(model: Neuroformer, batch: Batch) -> npt.NDArray[np.float32]:
    assert isinstance(model.readout, IntensityReadout)
    features = model.encode(batch).tokens
    if model.readout.ahead is not None:
        return np.asarray(model.readout.ahead(features, batch, model.units).exp().cpu().numpy())
    tokens = features[last_before(batch, model.config.window_bins)]
    unit, bins = model.readout.log_intensity(tokens, batch.session, model.units)
    n = model.config.window_bins
    own = bins.reshape(-1, n, n).diagonal(dim1=1, dim2=2)
    ahead = (unit.reshape(-1, n, unit.shape[1]) + own[:, :, None]).exp()
    return np.asarray(ahead.float().cpu().numpy())
