r"""Next spike from conditional intensities: an exact likelihood of who fires when.

The cells of a window, (bin, unit), are put in order: bin after bin, unit after unit. After each spike the
model states an intensity for every cell that is still to come,

.. math:: \lambda_{bj} = \exp(\beta_j + u_j^T W h + c_b(h)),

with :math:`h` the features at that spike, :math:`u_j` the unit's embedding and :math:`\beta_j` its log rate
a bin. The next event is in cell (b, j) if the cells in between stay silent and this one does not:

.. math:: \log P(b, j) = \log(1 - e^{-\lambda_{bj}}) - \sum_{\text{cells before } (b, j)} \lambda,
          \qquad \log P(\text{end}) = -\sum_{\text{all cells left}} \lambda

A cell may fire again, so counts above one are allowed. The probabilities of all spike patterns of a window
add up to one: its log-likelihood compares with that of a Poisson model of the same bins, nat by nat. With
``W = 0`` and ``c = 0`` it is the model of constant rates.
"""

import torch
from torch import Tensor, nn

from neuroai.neuroformer.ahead import RateReadout
from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.config import NeuroformerConfig
from neuroai.neuroformer.embeddings import Units

__all__ = ["IntensityReadout", "next_spike_log_prob"]

_FAINT = -30.0  # log intensity below which a cell counts as silent for ever


class IntensityReadout(nn.Module):
    """Log intensities of units and bins; see the module's equation.

    Parameters
    ----------
    config : NeuroformerConfig

    Notes
    -----
    Starts at constant rates. O(n_tokens * (units + bins)) time and memory beside the product W h.
    """

    def __init__(self, config: NeuroformerConfig) -> None:
        super().__init__()
        self.mix = nn.Linear(config.width, config.width, bias=False)
        self.bins = nn.Linear(config.width, config.window_bins)
        self.base = nn.ParameterDict({s: torch.full((n,), -4.0) for s, n in config.sessions.items()})
        self.ahead = RateReadout(config) if config.rate_weight else None
        self.rate_weight = config.rate_weight
        self.amplitude = nn.Linear(config.width, config.width) if config.amplitudes else None
        self.spread = nn.Parameter(torch.zeros(())) if config.amplitudes else None

    def start(self) -> None:
        """Zero the weights that make rates vary."""
        for parameter in (self.mix.weight, self.bins.weight, self.bins.bias):
            nn.init.zeros_(parameter)
        if self.ahead is not None:
            self.ahead.start()

    def add(self, session: str, n_units: int) -> None:
        """Make room for one more session."""
        self.base[session] = nn.Parameter(torch.full((n_units,), -4.0, device=self.bins.weight.device))
        if self.ahead is not None:
            self.ahead.add(session, n_units)

    @torch.no_grad()
    def set_rates(self, session: str, counts_per_bin: Tensor) -> None:
        """Start the units of a session at their mean counts a bin (a unit without spikes: 1e-4)."""
        self.base[session].copy_(counts_per_bin.clamp(min=1e-4).log())
        if self.ahead is not None:
            self.ahead.base[session].copy_(self.base[session])

    def log_intensity(self, h: Tensor, session: str, units: Units) -> tuple[Tensor, Tensor]:
        """Parts of units (n, n_units) and bins (n, n_bins): their sum is the log intensity of a cell."""
        dtype = torch.promote_types(h.dtype, torch.float32)
        h = h.to(dtype)
        with torch.autocast(h.device.type, enabled=False):
            mixed = h @ self.mix.weight.to(dtype).T
            unit = mixed @ units.table[session].to(dtype).T + self.base[session].to(dtype)
            bins = h @ self.bins.weight.to(dtype).T + self.bins.bias.to(dtype)
        return unit, bins

    def log_prob(self, h: Tensor, batch: Batch, units: Units) -> Tensor:
        """Log probability of what follows each token, nats (n_tokens,)."""
        unit, bins = self.log_intensity(h, batch.session, units)
        n = unit.shape[1]
        start = batch.current.unit >= n
        at_unit = torch.where(start, 0, batch.current.unit)
        at_bin = torch.where(start, 0, batch.current.bin)
        return next_spike_log_prob(unit, bins, at_bin, at_unit, batch.next_bin, batch.next_unit)

    def losses(self, h: Tensor, batch: Batch, units: Units) -> dict[str, Tensor]:
        """Mean negative log probability a token, of spikes and of counts; that of the amplitudes a spike."""
        parts = {"spikes": -batch.token_mean(self.log_prob(h, batch, units))}
        if self.ahead is not None:
            parts["rates"] = self.rate_weight * self.ahead.loss(h, batch, units)
        if self.amplitude is not None and batch.next_amplitude is not None:
            parts["amplitude"] = self._amplitude_loss(h, batch, units)
        return parts

    def log_amplitude(self, h: Tensor, session: str, unit: Tensor, units: Units) -> Tensor:
        """Mean log amplitude of an event of ``unit`` (n,) at features (n, width)."""
        assert self.amplitude is not None
        mean: Tensor = (self.amplitude(h).float() * units.table[session][unit].float()).sum(-1)
        return mean

    def _amplitude_loss(self, h: Tensor, batch: Batch, units: Units) -> Tensor:
        """Log-normal."""
        assert batch.next_amplitude is not None
        assert self.spread is not None
        spike = batch.next_unit < units.table[batch.session].shape[0]
        mean = self.log_amplitude(h, batch.session, torch.where(spike, batch.next_unit, 0), units)
        error = (batch.next_amplitude.clamp(min=1e-6).log() - mean) / self.spread.exp()
        surprise: Tensor = torch.where(spike, 0.5 * error.square() + self.spread, 0.0)
        mean_surprise: Tensor = surprise.sum() / spike.sum().clamp(min=1)
        return mean_surprise


def next_spike_log_prob(
    unit: Tensor, bins: Tensor, at_bin: Tensor, at_unit: Tensor, next_bin: Tensor, next_unit: Tensor
) -> Tensor:
    """Log probability that the next event is in the given cell.

    Parameters
    ----------
    unit : Tensor (n, n_units)
    bins : Tensor (n, n_bins)
        Log intensity of cell (b, j): ``bins[:, b] + unit[:, j]``.
    at_bin, at_unit : Tensor of int64 (n,)
        Cell of the last event, the first of those left; (0, 0) at the start.
    next_bin, next_unit : Tensor of int64 (n,)
        Cell of the next event; a unit of ``n_units`` or more is the end.

    Returns
    -------
    Tensor (n,), nats

    Examples
    --------
    >>> unit, bins = torch.zeros(1, 2), torch.zeros(1, 1)  # two cells of intensity 1
    >>> cell = lambda i: torch.tensor([i])
    >>> p = [next_spike_log_prob(unit, bins, cell(0), cell(0), cell(0), cell(j)).exp() for j in (0, 1, 3)]
    >>> round(float(sum(p)), 6)
    1.0
    """
    n, b = unit.shape[1], bins.shape[1]
    end = next_unit >= n
    to_unit, to_bin = torch.where(end, 0, next_unit), torch.where(end, b, next_bin)
    weight = unit.exp()
    below = torch.nn.functional.pad(weight.cumsum(1), (1, 0))
    height = torch.nn.functional.pad(bins, (0, 1), value=_FAINT)
    before = torch.nn.functional.pad(bins.exp().cumsum(1), (1, 0))

    def measure(at_bin: Tensor, at_unit: Tensor) -> Tensor:
        """Intensity of all cells before this one."""
        full = below[:, -1] * before.gather(1, at_bin[:, None])[:, 0]
        rest = height.gather(1, at_bin[:, None])[:, 0].exp() * below.gather(1, at_unit[:, None])[:, 0]
        return full + rest

    silent = measure(to_bin, to_unit) - measure(at_bin, at_unit)
    cell = height.gather(1, to_bin[:, None])[:, 0] + unit.gather(1, to_unit[:, None])[:, 0]
    fires = torch.log(-torch.expm1(-cell.clamp(min=_FAINT).exp()))
    return torch.where(end, 0.0, fires) - silent
