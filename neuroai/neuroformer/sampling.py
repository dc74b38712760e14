"""Draw the next spike of many windows at once."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.neuroformer.intensity import IntensityReadout
from neuroai.neuroformer.model import Neuroformer

__all__ = ["Sampling", "State", "draw", "keep_likely"]


@dataclass(frozen=True)
class Sampling:
    """How to draw.

    Attributes
    ----------
    temperature : float
        Probabilities are raised to ``1 / temperature`` and renormalised; 1 draws from the model.
    top_k : int, optional
        Only the ``top_k`` likeliest.
    top_p : float
        Only the likeliest that together reach this probability, before the temperature.
    ordered : bool
        Never an earlier bin, nor a smaller unit within a bin. The intensity readout is ordered by nature.
    refractory : float
        Seconds after a spike in which its unit stays silent; one bin forbids repeats within a bin.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    ordered: bool = True
    refractory: float = 0.0

    def __post_init__(self) -> None:
        few = self.top_k is not None and self.top_k < 1
        scales = 0 < self.temperature < math.inf and 0 <= self.refractory < math.inf
        if not scales or not 0 < self.top_p <= 1 or few:
            raise ConfigError(
                f"temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}, refractory "
                f"{self.refractory}: expected above 0, at least 1, above 0 up to 1, at least 0"
            )

    @property
    def plain(self) -> bool:
        """Draws from the model as it is."""
        filtered = self.top_k is not None or self.top_p < 1 or self.temperature != 1
        return not filtered and self.refractory == 0


@dataclass
class State:
    """Where each row is.

    Attributes
    ----------
    unit, bin : Tensor of int64 (n_rows,)
        Last token; N is the start.
    last : Tensor of int64 (n_rows, N) or None
        Bin of each unit's last spike, negative in the past; kept for a refractory time only.
    """

    unit: Tensor
    bin: Tensor
    last: Tensor | None

    def take(self, rows: Tensor) -> "State":
        """Keep some rows."""
        return State(self.unit[rows], self.bin[rows], None if self.last is None else self.last[rows])


def draw(
    model: Neuroformer, h: Tensor, session: str, state: State, how: Sampling, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the next unit and bin of each row; unit N + 1 is the end.

    Parameters
    ----------
    model : Neuroformer
    h : Tensor (n_rows, width)
    session : str
    state : State
    how : Sampling
    generator : torch.Generator
        On the model's device.

    Returns
    -------
    unit, bin : Tensor of int64 (n_rows,)

    Notes
    -----
    Plain draws from intensities: O(units + bins) a row; filtered ones O(units * bins).
    """
    n = model.config.sessions[session]
    start = state.unit >= n
    at_unit, at_bin = torch.where(start, 0, state.unit), torch.where(start, 0, state.bin)
    if isinstance(model.readout, IntensityReadout):
        unit, bins = model.readout.log_intensity(h, session, model.units)
        if how.plain:
            return _first_arrival(unit, bins, at_bin, at_unit, generator)
        cells = _intensity_cells(unit, bins, at_bin, at_unit, _resting(model, state, how))
        return _split(_choose(cells, how, generator), n, model.config.window_bins)
    unit, bins = model.readout.log_parts(h, session)
    if not how.ordered and how.refractory == 0:
        return _independent(unit, bins, n, model.config.window_bins, how, generator)
    cells = _softmax_cells(
        unit, bins, n, at_bin, at_unit, model.config.window_bins, _resting(model, state, how), how
    )
    return _split(_choose(cells, how, generator), n, model.config.window_bins)


def _first_arrival(
    unit: Tensor, bins: Tensor, at_bin: Tensor, at_unit: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Walk an exponential amount of intensity on from the last cell: exact, without a table of cells."""
    n, n_bins = unit.shape[1], bins.shape[1]
    below = torch.nn.functional.pad(unit.exp().cumsum(1), (1, 0))
    before = torch.nn.functional.pad(bins.exp().cumsum(1), (1, 0))
    amount = torch.empty_like(bins[:, 0]).exponential_(generator=generator)
    passed = below[:, -1] * _at(before, at_bin) + _at(bins, at_bin).exp() * _at(below, at_unit)
    goal = (passed + amount) / below[:, -1]
    next_bin = torch.searchsorted(before[:, 1:].contiguous(), goal[:, None], right=True)[:, 0]
    end = next_bin >= n_bins
    next_bin = torch.where(end, 0, next_bin)
    rest = (goal - _at(before, next_bin)) * below[:, -1] / _at(bins, next_bin).exp()
    next_unit = torch.searchsorted(below[:, 1:].contiguous(), rest[:, None], right=True)[:, 0].clamp(
        max=n - 1
    )
    # Rounding must not step back behind the last cell.
    same = (next_bin == at_bin) & ~end
    next_unit = torch.where(same, torch.maximum(next_unit, at_unit), next_unit).clamp(max=n - 1)
    return torch.where(end, n + 1, next_unit), next_bin


def _at(table: Tensor, index: Tensor) -> Tensor:
    return table.gather(1, index[:, None])[:, 0]


def _order(n: int, n_bins: int, at_bin: Tensor, at_unit: Tensor) -> Tensor:
    """Boolean (n_rows, bins * units): cells from the last one on."""
    cell = torch.arange(n * n_bins, device=at_bin.device)
    return cell >= (at_bin * n + at_unit)[:, None]


def _resting(model: Neuroformer, state: State, how: Sampling) -> Tensor | None:
    """Boolean (n_rows, bins * units): cells within the refractory time of the unit's last spike."""
    if how.refractory == 0 or state.last is None:
        return None
    span = max(1, round(how.refractory / model.config.bin_width))
    bins = torch.arange(model.config.window_bins, device=state.last.device)
    return (bins[:, None] - state.last[:, None] < span).flatten(1)


def _intensity_cells(
    unit: Tensor, bins: Tensor, at_bin: Tensor, at_unit: Tensor, resting: Tensor | None
) -> Tensor:
    """Log probability of each cell, and of the end: (n_rows, bins * units + 1)."""
    rate = (bins[:, :, None] + unit[:, None]).exp().flatten(1)
    allowed = _order(unit.shape[1], bins.shape[1], at_bin, at_unit)
    rate = torch.where(allowed if resting is None else allowed & ~resting, rate, 0.0)
    passed = rate.cumsum(1)
    fires = torch.log(-torch.expm1(-rate)) - (passed - rate)
    return torch.cat([fires, -passed[:, -1:]], dim=1)


def _softmax_cells(
    unit: Tensor,
    bins: Tensor,
    n: int,
    at_bin: Tensor,
    at_unit: Tensor,
    n_bins: int,
    resting: Tensor | None,
    how: Sampling,
) -> Tensor:
    """The same for the published readout."""
    cells = (bins[:, :n_bins, None] + unit[:, None, :n]).flatten(1)
    forbidden = resting if resting is not None else torch.zeros_like(cells, dtype=torch.bool)
    if how.ordered:
        forbidden = forbidden | ~_order(n, n_bins, at_bin, at_unit)
    cells = cells.masked_fill(forbidden, -torch.inf)
    return torch.cat([cells, unit[:, n + 1 : n + 2]], dim=1).log_softmax(1)


def _split(cell: Tensor, n: int, n_bins: int) -> tuple[Tensor, Tensor]:
    """Cell number to unit and bin; the last is the end."""
    end = cell == n * n_bins
    return torch.where(end, n + 1, cell % n), torch.where(end, 0, cell // n)


def _independent(
    unit: Tensor, bins: Tensor, n: int, n_bins: int, how: Sampling, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Published sampler: unit and bin apart, in any order."""
    start = torch.zeros(n + 3, dtype=torch.bool, device=unit.device)
    start[n] = True
    next_unit = _choose(unit.masked_fill(start, -torch.inf), how, generator)
    next_bin = _choose(bins[:, :n_bins].log_softmax(1), how, generator)
    return torch.where(next_unit >= n, n + 1, next_unit), next_bin


def keep_likely(log_p: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """Mask all but the likeliest choices of each row with -inf.

    Examples
    --------
    >>> p = torch.tensor([[0.5, 0.3, 0.2]])
    >>> keep_likely(p.log(), None, 0.7).isfinite().tolist(), keep_likely(p.log(), 1, 1.0).isfinite().tolist()
    ([[True, True, False]], [[True, False, False]])
    """
    if top_k is not None and top_k < log_p.shape[1]:
        least = log_p.topk(top_k, dim=1).values[:, -1:]
        log_p = log_p.masked_fill(log_p < least, -torch.inf)
    if top_p < 1:
        ordered, place = log_p.sort(dim=1, descending=True)
        p = ordered.softmax(1)
        beyond = p.cumsum(1) - p >= top_p
        log_p = log_p.masked_fill(beyond.scatter(1, place, beyond), -torch.inf)
    return log_p


def _choose(log_p: Tensor, how: Sampling, generator: torch.Generator) -> Tensor:
    """One choice a row: the largest of independent Gumbel-shifted log probabilities."""
    kept = keep_likely(log_p, how.top_k, how.top_p) / how.temperature
    waiting = torch.empty_like(kept).exponential_(generator=generator)
    return (kept - waiting.log()).argmax(1)
