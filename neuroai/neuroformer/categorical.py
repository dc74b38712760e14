"""Published readout: a softmax over units and symbols, and one over time bins and symbols."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from neuroai.neuroformer.batch import Batch
from neuroai.neuroformer.config import NeuroformerConfig
from neuroai.neuroformer.embeddings import Units

__all__ = ["CategoricalReadout", "ordered_log_prob"]


class CategoricalReadout(nn.Module):
    """Linear heads without bias for the next unit and the next bin.

    Parameters
    ----------
    config : NeuroformerConfig

    Notes
    -----
    Source: Antoniades et al. (2024). Loss: ``unit_weight`` times one cross-entropy plus ``bin_weight`` times
    the other, padding left out, EOS a target in both.
    """

    def __init__(self, config: NeuroformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        heads = {s: nn.Linear(width, n + 3, bias=False) for s, n in config.sessions.items()}
        self.unit = nn.ModuleDict(heads)
        self.bin = nn.Linear(width, config.n_symbols + 3, bias=False)

    def add(self, session: str, n_units: int) -> None:
        """Make room for one more session."""
        head = nn.Linear(self.config.width, n_units + 3, bias=False, device=self.bin.weight.device)
        nn.init.normal_(head.weight, std=0.02)
        self.unit[session] = head

    def losses(self, h: Tensor, batch: Batch, units: Units) -> dict[str, Tensor]:
        """Return weighted cross-entropies."""
        n = units.table[batch.session].shape[0]
        unit = cross_entropy(self.unit[batch.session](h).float(), batch.next_unit, ignore_index=n + 2)
        symbols = self.config.n_symbols
        bins = cross_entropy(self.bin(h).float(), batch.next_bin, ignore_index=symbols + 2)
        return {"unit": self.config.unit_weight * unit, "bin": self.config.bin_weight * bins}

    def log_parts(self, h: Tensor, session: str) -> tuple[Tensor, Tensor]:
        """Log softmax over units and symbols (n, N + 3), and over bins and symbols (n, B + 3)."""
        dtype = torch.promote_types(h.dtype, torch.float32)
        h = h.to(self.bin.weight.dtype)
        unit, bins = self.unit[session](h), self.bin(h)
        return unit.to(dtype).log_softmax(-1), bins.to(dtype).log_softmax(-1)

    def log_prob(self, h: Tensor, batch: Batch, units: Units) -> Tensor:
        """Log probability of what follows each token among what may follow, nats; 0 at padding."""
        n = units.table[batch.session].shape[0]
        unit, bins = self.log_parts(h, batch.session)
        start = batch.current.unit >= n
        at_unit = torch.where(start, 0, batch.current.unit)
        at_bin = torch.where(start, 0, batch.current.bin)
        ended = torch.where(batch.next_unit == n + 1, n, batch.next_unit)
        b = self.config.window_bins
        value = ordered_log_prob(unit, bins[:, :b], n, at_bin, at_unit, batch.next_bin, ended)
        return torch.where(batch.next_unit == n + 2, 0.0, value)


def ordered_log_prob(
    unit: Tensor, bins: Tensor, n: int, at_bin: Tensor, at_unit: Tensor, next_bin: Tensor, next_unit: Tensor
) -> Tensor:
    r"""Log probability of the next (bin, unit), renormalised to what the order of tokens allows.

    .. math:: P(b, j) = \frac{p_b\, q_j}{q_\mathrm{EOS} + \sum_{(b', j') \ge (b_0, j_0)} p_{b'} q_{j'}}

    Unit and bin are independent in the published model, which gives weight to patterns that cannot be written
    down: earlier bins, smaller units of the same bin. Without renormalisation its token cross-entropy is no
    likelihood of the spikes.

    Parameters
    ----------
    unit : Tensor (n_tokens, N + 3)
    bins : Tensor (n_tokens, B)
        Log probabilities.
    n : int
        N; ``next_unit == n`` is the end.
    at_bin, at_unit, next_bin, next_unit : Tensor of int64 (n_tokens,)

    Returns
    -------
    Tensor (n_tokens,), nats
    """
    q, p = unit.exp(), bins.exp()
    zero = (1, 0)
    below = torch.nn.functional.pad(q[:, :n].cumsum(1), zero)
    before = torch.nn.functional.pad(p.cumsum(1), zero)
    here, later = at_bin[:, None], (at_bin + 1)[:, None]
    after = before[:, -1] - before.gather(1, later)[:, 0]
    left = below[:, -1] - below.gather(1, at_unit[:, None])[:, 0]
    allowed = after * below[:, -1] + p.gather(1, here)[:, 0] * left + q[:, n + 1]
    end = next_unit >= n
    cell = bins.gather(1, torch.where(end, 0, next_bin)[:, None])[:, 0]
    fires = cell + unit.gather(1, torch.where(end, 0, next_unit)[:, None])[:, 0]
    return torch.where(end, unit[:, n + 1], fires) - allowed.log()
