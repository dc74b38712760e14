r"""Expected counts one bin ahead, from the model's features and from traces that spikes leave.

An intensity after a spike is trained only up to the next spike: of the units that come later in the order it
has seen nothing. A rate at the start of a bin needs all units at once, and how long ago each of them fired.
It therefore has a readout, and a loss, of its own:

.. math:: \log r_{bj} = \beta_j + u_j^T z_b + \sum_k a_{kj} \log(1 + s_{kbj}), \qquad
          z_b = \mathrm{MLP}(h_b, \mathrm{time}_b, \textstyle\sum_j s_{kbj} u_j), \qquad
          s_{kbj} = \sum_{t < b} e^{-(b - 1 - t) / \tau_k} y_{tj}

with :math:`h_b` the features at the last token before bin b, :math:`y_{tj}` the recorded counts and
:math:`s` their exponential traces. The loss is the Poisson likelihood of the bin's counts.
"""

import torch
from torch import Tensor, nn

from neuroai.neuroformer.batch import Batch, Stream
from neuroai.neuroformer.config import NeuroformerConfig
from neuroai.neuroformer.embeddings import Units, WaveTime

__all__ = ["RateReadout", "last_before", "recent_counts", "traces"]

_N_TRACES = 4
_GAIN = 50.0  # embeddings start at a standard deviation of 0.02: traces at one a spike


class RateReadout(nn.Module):
    """Log expected counts of all units in each bin, given all spikes of earlier bins; see the module.

    Parameters
    ----------
    config : NeuroformerConfig

    Notes
    -----
    Starts at constant rates. O(windows * bins * (bins + past bins + width) * units) time.
    """

    def __init__(self, config: NeuroformerConfig) -> None:
        super().__init__()
        width = config.width
        self.time = WaveTime(width, config.window_bins)
        self.hidden = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear((2 + _N_TRACES) * width, 2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
            nn.Dropout(config.dropout),
        )
        self.mix = nn.Linear(width, width, bias=False)
        self.base = nn.ParameterDict()
        self.own = nn.ParameterDict()
        for session, n_units in config.sessions.items():
            self.add(session, n_units)
        self.n_bins, self.past_bins = config.window_bins, config.past_bins
        gain = _GAIN / _constants(config.past_bins + config.window_bins).sqrt()[:, None, None]
        self.register_buffer("gain", gain, persistent=False)
        self.register_buffer("kernel", _kernel(config.past_bins, config.window_bins), persistent=False)

    def start(self) -> None:
        """Zero the weights that make rates vary."""
        nn.init.zeros_(self.mix.weight)

    def add(self, session: str, n_units: int) -> None:
        """Make room for one more session."""
        device = self.mix.weight.device
        self.base[session] = nn.Parameter(torch.full((n_units,), -4.0, device=device))
        self.own[session] = nn.Parameter(torch.zeros(_N_TRACES, n_units, device=device))

    def forward(self, h: Tensor, batch: Batch, units: Units) -> Tensor:
        """Log expected counts (n_windows, n_bins, n_units) from token features (n_tokens, width)."""
        table = units.table[batch.session]
        n = table.shape[0]
        s = traces(recent_counts(batch, n, self.past_bins, self.n_bins), torch.as_tensor(self.kernel))
        at = h[last_before(batch, self.n_bins)].reshape(len(batch), self.n_bins, -1)
        time = self.time(torch.arange(self.n_bins, device=h.device)).expand_as(at)
        seen = (torch.as_tensor(self.gain) * (s.to(table.dtype) @ table)).movedim(1, 2).flatten(2)
        z = self.mix(self.hidden(torch.cat([at, time, seen], dim=2)))
        own = torch.einsum("wkbj,kj->wbj", s.log1p(), self.own[batch.session])
        out: Tensor = (z @ table.T).float() + own.float() + self.base[batch.session].float()
        return out

    def loss(self, h: Tensor, batch: Batch, units: Units) -> Tensor:
        """Negative Poisson log-likelihood of the counts, without factorials, nats a token."""
        log_rate: Tensor = self(h, batch, units)
        counts = recent_counts(batch, log_rate.shape[2], 0, self.n_bins)
        surprise: Tensor = (log_rate.exp() - counts * log_rate).sum((1, 2))
        if batch.recorded is not None:
            surprise = torch.where(batch.recorded, surprise, 0.0)
        return surprise.sum() / batch.n_tokens


def last_before(batch: Batch, n_bins: int) -> Tensor:
    """Last token of each window before each bin, (n_windows * n_bins,)."""
    layout = batch.current.layout
    n = layout.n_windows
    first = layout.offsets[:-1].long()
    seen = torch.zeros(n, n_bins + 1, dtype=torch.int64, device=first.device)
    start = torch.arange(len(batch.current.bin), device=first.device) == first[layout.window]
    weight = (~start).long()
    seen.index_put_((layout.window, batch.current.bin.clamp(max=n_bins - 1) + 1), weight, accumulate=True)
    return (first[:, None] + seen.cumsum(1)[:, :-1]).flatten()


def recent_counts(batch: Batch, n_units: int, past_bins: int, n_bins: int) -> Tensor:
    """Counts (n_windows, past_bins + n_bins, n_units), float32; without past bins, of the window alone."""
    shape = (len(batch), past_bins + n_bins, n_units)
    counts = torch.zeros(shape, device=batch.current.unit.device)
    streams: list[tuple[Stream, int]] = [(batch.current, past_bins)]
    if past_bins:
        streams.append((batch.past, 0))
    for stream, first in streams:
        spike = (stream.unit < n_units).to(counts.dtype)
        unit = stream.unit.clamp(max=n_units - 1)
        counts.index_put_((stream.layout.window, stream.bin + first, unit), spike, accumulate=True)
    return counts


def traces(counts: Tensor, kernel: Tensor) -> Tensor:
    """Exponential traces (n_windows, n_traces, n_bins, n_units) of counts (n_windows, all bins, n_units).

    Examples
    --------
    >>> kernel = _kernel(0, 2)
    >>> traces(torch.tensor([[[3.0], [1.0]]]), kernel)[0, :, :, 0].tolist()[0]
    [0.0, 3.0]
    """
    return torch.einsum("wtj,kbt->wkbj", counts, kernel)


def _constants(n_bins: int) -> Tensor:
    """Time constants (n_traces,) in bins, from one to half of all bins."""
    return torch.tensor([max(2.0, n_bins / 2) ** (k / (_N_TRACES - 1)) for k in range(_N_TRACES)])


def _kernel(past_bins: int, n_bins: int) -> Tensor:
    """Weight (n_traces, n_bins, past_bins + n_bins) of each bin in the trace at the start of each bin."""
    total = past_bins + n_bins
    age = (torch.arange(n_bins)[:, None] + past_bins - 1 - torch.arange(total)).float()
    decay = torch.exp(-age.clamp(min=0) / _constants(total)[:, None, None])
    return torch.where(age >= 0, decay, torch.zeros(()))
