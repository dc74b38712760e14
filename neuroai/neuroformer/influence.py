"""Who drives whom, as the model has it: rows are targets, columns are sources."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.datasets import Recording
from neuroai.errors import ConfigError
from neuroai.neuroformer.batch import Batch, Stream
from neuroai.neuroformer.blocks import Block
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.layout import Layout
from neuroai.neuroformer.likelihood import batches_of
from neuroai.neuroformer.model import Neuroformer
from neuroai.neuroformer.windows import Windows

__all__ = ["connectivity"]

Matrix = npt.NDArray[np.float64]


@torch.no_grad()
def connectivity(
    model: Neuroformer,
    recording: Recording | Windows,
    *,
    method: Literal["attention", "response"] = "attention",
    normalise: bool = True,
    n_windows: int = 16,
    batch_size: int = 256,
) -> Matrix:
    r"""Directed functional connectivity.

    Parameters
    ----------
    model : Neuroformer
    recording : Recording or Windows
        Spikes to read the model on.
    method : {"attention", "response"}
        ``"attention"``: roll-out of the attention from the current to the past window,

        .. math:: R_l = (R_{l-1} + A_l) / (1 + \textstyle\sum A_l), \qquad
                  C_{ij} = \sum_k [y_k = i] \sum_m [s_m = j]\, R_{km}

        with :math:`A_l` the largest head's weights, :math:`y_k` what follows token k and :math:`s_m` the unit
        of past spike m. Attention at k is spent before :math:`y_k` is known, so it says which sources matter
        rather than for whom. ``"response"``: one spike of unit j is added to the past of recorded windows at
        each lag, and the change of unit i's log intensity in the next bin (log probability of the next unit,
        for a categorical readout) is averaged over windows and lags: specific to target and source, signed.
    normalise : bool
        Attention: divide by the number of times that i followed with j in the past.
    n_windows : int
        Response: recorded windows that are probed.
    batch_size : int
        Windows at a time.

    Returns
    -------
    ndarray of float64 (n_units, n_units)
        Attention: shares, 0 or above; response: change of a log intensity, either sign.

    Raises
    ------
    ConfigError
        For a model without a past, an unknown method, or numbers below 1.

    Notes
    -----
    Attention: one pass over the windows, explicit maps of the past layers. Response:
    ``n_windows * past_bins * n_units`` windows of one current token. Memory: a batch, and two (attention)
    or one matrix of all pairs of units.

    References
    ----------
    Roll-out: Abnar & Zuidema (2020); its use here: Antoniades et al. (2024). Division by co-occurrence and
    the response are this project's.

    Examples
    --------
    >>> from neuroai.datasets import simulate_spikes
    >>> from neuroai.neuroformer import NeuroformerConfig
    >>> recording = simulate_spikes(5, 20.0)
    >>> model = Neuroformer(NeuroformerConfig(sessions={"a": 5}, width=16, heads=2))
    >>> connectivity(model, recording, method="response", n_windows=2).shape
    (5, 5)
    """
    if n_windows < 1 or batch_size < 1:
        raise ConfigError(f"n_windows {n_windows}, batch_size {batch_size}: expected at least 1")
    windows = recording if isinstance(recording, Windows) else model.windows(recording)
    if model.config.past_bins == 0 or model.config.past_layers == 0:
        raise ConfigError("the model reads no past: train it with past > 0 and past_layers > 0")
    model.eval()
    if method == "attention":
        return _attention(model, windows, normalise, batch_size)
    if method == "response":
        return _response(model, windows, n_windows, batch_size)
    raise ConfigError(f"method = {method!r}: expected 'attention' or 'response'")


def _attention(model: Neuroformer, windows: Windows, normalise: bool, batch_size: int) -> Matrix:
    n = windows.events.n_units
    device = model.units.symbols.device
    total = torch.zeros(n * n, dtype=torch.float64, device=device)
    together = torch.zeros_like(total)
    for _, batch in batches_of(model, windows, batch_size):
        now, past = batch.current.layout, batch.past.layout
        target = now.pad(torch.where(batch.next_unit < n, batch.next_unit, -1) + 1) - 1
        source = past.pad(torch.where(batch.past.unit < n, batch.past.unit, -1) + 1) - 1
        pairs = (target[:, :, None] >= 0) & (source[:, None, :] >= 0)
        cell = (target[:, :, None] * n + source[:, None, :])[pairs]
        total.index_add_(0, cell, _rollout(model, batch)[pairs].double())
        together.index_add_(0, cell, torch.ones_like(cell, dtype=torch.float64))
    scaled = total / together.clamp(min=1) if normalise else total
    return np.asarray(scaled.reshape(n, n).cpu().numpy())


def _rollout(model: Neuroformer, batch: Batch) -> Tensor:
    """Attention to each past token over all layers, (n_windows, longest current, longest past)."""
    x, layout = model.embed(model.units, batch.session, batch.current), batch.current.layout
    for block in model.encoder:
        x = block(x, layout, causal=True)
    source = model.sources(batch)["past"]
    rolled: Tensor = x.new_zeros(())
    for block in model.past:
        assert isinstance(block, Block)
        weights = block.map(x, layout, source).amax(1)
        rolled = (rolled + weights) / (1 + weights.sum(-1, keepdim=True))
        x = block(x, layout, source)
    return rolled


def _response(model: Neuroformer, windows: Windows, n_windows: int, batch_size: int) -> Matrix:
    n, lags = windows.events.n_units, model.config.past_bins
    if model.config.padded:
        raise ConfigError("the response needs packed windows: use method='attention' for the published form")
    # Evenly spread over the recording, behind the first past window.
    chosen = np.unique(np.linspace(len(windows) // 10, len(windows) - 1, n_windows).astype(np.int64))
    out = np.zeros((n, n))
    per_batch = max(1, batch_size * 8 // len(chosen))
    silent = _outlook(model, _starts(windows, chosen, np.array([-1]), 0))[:, None]
    for lag in range(lags):
        for first in range(0, n, per_batch):
            units = np.arange(first, min(first + per_batch, n))
            seen = _outlook(model, _starts(windows, chosen, units, lag))
            out[:, units] += (seen.reshape(len(chosen), len(units), n) - silent).mean(
                0
            ).T.double().cpu().numpy() / lags
    return out


def _starts(windows: Windows, chosen: npt.NDArray[np.int64], units: npt.NDArray[np.int64], lag: int) -> Batch:
    """Every chosen window with each unit's added spike, reduced to its start symbol; unit -1 adds none."""
    batch = windows[np.repeat(chosen, len(units))]
    past, ends = batch.past, batch.past.layout.offsets[1:].numpy()
    added = np.tile(units, len(chosen))
    real = added >= 0
    unit = np.insert(past.unit.numpy(), ends[real], added[real])
    bins = np.insert(past.bin.numpy(), ends[real], windows.config.past_bins - 1 - lag)
    layout = Layout.of(past.layout.lengths().numpy() + real)
    start = torch.full((len(batch),), windows.events.n_units)
    nothing = torch.zeros_like(start)
    return Batch(
        batch.session,
        Stream(start, nothing, Layout.of(np.ones(len(batch), dtype=np.int64))),
        Stream(torch.from_numpy(unit), torch.from_numpy(bins), layout),
        start,
        nothing,
        inputs=batch.inputs,
    )


def _outlook(model: Neuroformer, batch: Batch) -> Tensor:
    """Log intensity of each unit in the first bin (n_rows, n_units), or log probability of being next."""
    batch = batch.to(model.units.symbols.device)
    tokens = model.encode(batch).tokens
    if isinstance(model.readout, IntensityReadout):
        unit, bins = model.readout.log_intensity(tokens, batch.session, model.units)
        return unit + bins[:, :1]
    unit, _ = model.readout.log_parts(tokens, batch.session)
    return unit[:, : model.config.sessions[batch.session]]
