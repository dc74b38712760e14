"""Spiking networks as torch modules: trained through surrogate gradients, sparse, with delays.

Each is a composition of primitives: `neuron_scan` holds the time loop, `event_matmul` the sparse product,
`linear_scan` the readout. Time is the first dimension throughout.
"""

from math import exp
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from neuroai.errors import ConfigError
from neuroai.kernels import (
    Adaptation,
    ShapeError,
    Surrogate,
    SynapseIndex,
    event_matmul,
    linear_scan,
    neuron_scan,
)

__all__ = ["LeakyReadout", "NeuronSettings", "RecurrentSpikingLayer", "SpikingLayer", "SpikingState"]


class NeuronSettings(NamedTuple):
    r"""Neurons of a layer.

    Attributes
    ----------
    tau : float
        Membrane time constant, seconds.
    period : float
        Seconds a step.
    threshold : float
    reset : {"hard", "soft"}
    surrogate : str or Surrogate
    adaptation : float
        :math:`\beta`: how far a unit of adaptation raises the threshold; 0 for none.
    tau_adaptation : float
        Its time constant, seconds.
    detach_reset : bool
    """

    tau: float = 20e-3
    period: float = 1e-3
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "soft"
    surrogate: str | Surrogate = "fast_sigmoid"
    adaptation: float = 0.0
    tau_adaptation: float = 200e-3
    detach_reset: bool = False

    def run(self, currents: Tensor, state: "SpikingState | None") -> tuple[Tensor, Tensor, Tensor]:
        """Spikes, potential and adaptation after ``currents`` (T, B, N)."""
        rise = Adaptation(self.adaptation, exp(-self.period / self.tau_adaptation))
        return neuron_scan(
            currents,
            None if state is None else state.v,
            None if state is None else state.b,
            decay=exp(-self.period / self.tau),
            threshold=self.threshold,
            reset=self.reset,
            surrogate=self.surrogate,
            detach_reset=self.detach_reset,
            adaptation=rise if self.adaptation else None,
        )


class SpikingState(NamedTuple):
    """Where a layer stands: pass it on, and a long recording may be run in parts.

    Attributes
    ----------
    v, b : tensors (B, N)
        Potential and adaptation.
    underway : tensor (D, B, N), or None
        What spikes already sent will add in each of the next D steps.
    """

    v: Tensor
    b: Tensor
    underway: Tensor | None = None


class SpikingLayer(nn.Module):
    """Dense weights into spiking neurons.

    Parameters
    ----------
    n_in, n_units : int
    neurons : NeuronSettings, optional

    Attributes
    ----------
    weight : Linear
        Initial weights let white input of variance 1 reach threshold now and then.

    Examples
    --------
    >>> layer = SpikingLayer(10, 4)
    >>> spikes, state = layer(torch.ones(25, 3, 10))
    >>> tuple(spikes.shape), tuple(state.v.shape)
    ((25, 3, 4), (3, 4))
    """

    def __init__(self, n_in: int, n_units: int, neurons: NeuronSettings | None = None) -> None:
        super().__init__()
        self.neurons = neurons or NeuronSettings()
        self.weight = nn.Linear(n_in, n_units)
        # A leaky average shrinks white input by sqrt((1 - a) / (1 + a)).
        a = exp(-self.neurons.period / self.neurons.tau)
        scale = self.neurons.threshold * ((1 + a) / (1 - a) / n_in) ** 0.5
        nn.init.normal_(self.weight.weight, std=scale)

    def forward(self, x: Tensor, state: SpikingState | None = None) -> tuple[Tensor, SpikingState]:
        """(T, B, n_in) to spikes (T, B, n_units) and the state after them."""
        spikes, v, b = self.neurons.run(self.weight(x), state)
        return spikes, SpikingState(v, b)


class LeakyReadout(nn.Module):
    r"""Leaky averages of weighted spikes: :math:`y_t = a y_{t-1} + (1 - a)(W z_t + c)`.

    Parameters
    ----------
    n_in, n_out : int
    tau, period : float
        Seconds.

    Examples
    --------
    >>> tuple(LeakyReadout(4, 2)(torch.zeros(25, 3, 4)).shape)
    (25, 3, 2)
    """

    def __init__(self, n_in: int, n_out: int, *, tau: float = 20e-3, period: float = 1e-3) -> None:
        super().__init__()
        self.weight = nn.Linear(n_in, n_out)
        self.decay = exp(-period / tau)

    def forward(self, spikes: Tensor) -> Tensor:
        """(T, B, n_in) to (T, B, n_out)."""
        return linear_scan(self.decay, (1 - self.decay) * self.weight(spikes))


class RecurrentSpikingLayer(nn.Module):
    r"""Spiking neurons that reach each other through sparse synapses with delays.

    .. math:: I_{t, j} = x_{t, j} + \sum_{k : i \to j} w_k\, z_{t - d_k, i}

    Parameters
    ----------
    sources, targets : integer tensors (nnz,)
    delays : integer tensor (nnz,)
        Steps, at least 1.
    weights : floating tensor (nnz,)
        Initial.
    n_units : int
    neurons : NeuronSettings, optional

    Attributes
    ----------
    weight : Parameter (nnz,)
        In the order of ``sources``, ``targets`` and ``delays``, which are kept sorted.

    Raises
    ------
    ConfigError
        If a delay is below 1: a spike cannot arrive in the step that makes it.
    ShapeError
        If lists differ in length or a neuron is outside 0..n_units-1.

    Notes
    -----
    Neurons run for the shortest delay at a time; then their spikes are sent, all delays in one product whose
    targets are (delay, neuron). Backward reads what is underway in reverse: the gradient of a spike gathers
    those of the currents that it reached d steps later. Kept for backward: the input, spikes, and one state a
    stretch; weights get gradients at the synapses only.

    Examples
    --------
    >>> one = torch.tensor([0])
    >>> layer = RecurrentSpikingLayer(one, one + 1, one + 3, torch.tensor([30.0]), n_units=2)
    >>> x = torch.zeros(8, 1, 2)
    >>> x[1, 0, 0] = 30.0
    >>> spikes, _ = layer(x)
    >>> torch.nonzero(spikes[:, 0]).tolist()
    [[1, 0], [4, 1]]
    """

    sources: Tensor
    targets: Tensor
    delays: Tensor
    indptr: Tensor
    indices: Tensor

    def __init__(
        self,
        sources: Tensor,
        targets: Tensor,
        delays: Tensor,
        weights: Tensor,
        n_units: int,
        neurons: NeuronSettings | None = None,
    ) -> None:
        super().__init__()
        if not sources.shape == targets.shape == delays.shape == weights.shape or sources.ndim != 1:
            raise ShapeError(
                f"sources {tuple(sources.shape)}, targets {tuple(targets.shape)}, delays "
                f"{tuple(delays.shape)} and weights {tuple(weights.shape)}: expected (nnz,) four times"
            )
        if len(delays) and int(delays.min()) < 1:
            raise ConfigError(
                f"a delay of {int(delays.min())} steps: expected at least 1, as a spike cannot arrive in the "
                "step that makes it"
            )
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < n_units:
            raise ShapeError(
                f"targets lie in {int(targets.min())}..{int(targets.max())}: expected 0..{n_units - 1}"
            )
        self.neurons, self.n_units = neurons or NeuronSettings(), n_units
        self.shortest, self.longest = (int(f(delays)) if len(delays) else 1 for f in (torch.min, torch.max))
        places = (delays.long() - 1) * n_units + targets
        order = torch.argsort(sources.long() * (n_units * self.longest) + places, stable=True)
        index = SynapseIndex.of_pairs(sources, places, n_units, n_units * self.longest)
        for name, values in (("sources", sources), ("targets", targets), ("delays", delays)):
            self.register_buffer(name, values[order])
        self.register_buffer("indptr", index.indptr, persistent=False)
        self.register_buffer("indices", index.indices, persistent=False)
        self._index: SynapseIndex | None = index
        self.weight = nn.Parameter(weights[order].clone())

    def _synapses(self) -> SynapseIndex:
        """The synapses where the module is."""
        if self._index is None or self._index.indptr.device != self.indptr.device:
            self._index = SynapseIndex(self.indptr, self.indices, self.n_units * self.longest)
        return self._index

    def _send(self, spikes: Tensor) -> Tensor:
        """What a stretch of spikes (m, B, N) adds in the steps after it, (D, B, N)."""
        arrivals = event_matmul(spikes, self._synapses(), self.weight)
        n_stretch = len(spikes)
        arrivals = arrivals.view(n_stretch, -1, self.longest, self.n_units).transpose(1, 2)
        # Spike s of the stretch with delay d lands s + d - m steps after its end.
        landed = sum(
            nn.functional.pad(part, (0, 0, 0, 0, s, n_stretch - 1 - s)) for s, part in enumerate(arrivals)
        )
        assert isinstance(landed, Tensor)
        return landed[n_stretch - 1 :]

    def forward(self, x: Tensor, state: SpikingState | None = None) -> tuple[Tensor, SpikingState]:
        """Currents (T, B, N) to spikes (T, B, N) and the state after them."""
        if x.ndim != 3 or x.shape[-1] != self.n_units:
            raise ShapeError(f"x has shape {tuple(x.shape)}: expected (T, B, {self.n_units})")
        if state is None:
            rest = x.new_zeros(x.shape[1:])
            state = SpikingState(rest, rest, x.new_zeros((self.longest, *x.shape[1:])))
        every = []
        for stretch in torch.split(x, self.shortest):
            n_stretch, underway = len(stretch), state.underway
            assert underway is not None
            spikes, v, b = self.neurons.run(stretch + underway[:n_stretch], state)
            ahead = nn.functional.pad(underway[n_stretch:], (0, 0, 0, 0, 0, n_stretch))
            state = SpikingState(v, b, ahead + self._send(spikes))
            every.append(spikes)
        return torch.cat(every), state
