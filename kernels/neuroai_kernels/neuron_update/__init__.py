"""One step of every neuron: drive, synapses, integration, threshold, refractoriness, list of spikes."""

from torch import Tensor

from neuroai_kernels._dispatch import Implementation, choose
from neuroai_kernels.errors import ShapeError
from neuroai_kernels.neuron_update.table import (
    COEFFICIENTS,
    HELD,
    PREFIX,
    VARIABLES,
    WIDTH,
    Kind,
    NeuronState,
    PopulationTable,
    poisson_thresholds,
)

__all__ = [
    "COEFFICIENTS",
    "HELD",
    "PREFIX",
    "VARIABLES",
    "WIDTH",
    "Kind",
    "NeuronState",
    "PopulationTable",
    "neuron_update",
    "poisson_thresholds",
]


def neuron_update(
    state: NeuronState,
    table: PopulationTable,
    arrivals: Tensor,
    *,
    step: int,
    seed: int = 0,
    current: Tensor | None = None,
    implementation: Implementation | None = None,
) -> Tensor:
    """Advance all populations by one step, in place, and list the neurons that spike.

    For each neuron: arrivals of its channels (Poisson events of the population's drive added), potential and
    slow variables one step on, synapses decayed and arrivals added, threshold, reset, refractoriness; the
    arrivals are zeroed for their next use. `reference.py` has the equations.

    Parameters
    ----------
    state : NeuronState
        Changed in place.
    table : PopulationTable
        Kinds and coefficients of the populations.
    arrivals : float tensor (channels, n)
        What synapses deliver in this step; zeroed.
    step : int
        Number of the step, which is also the last counter word of its random numbers.
    seed : int
        Key of the random numbers; 64 bits.
    current : float tensor (n,), optional
        Extra current of each neuron, pA.
    implementation : {"reference", "cpu", "gpu"}, optional
        By device when left out.

    Returns
    -------
    int32 tensor (n_spikes,)
        Neurons that spike; their time is ``(step + 1) h``. Ascending on the CPU, any order on a GPU.

    Raises
    ------
    ShapeError
        If state, table and arrivals are not of the same neurons.

    Notes
    -----
    O(n). In float32 with synaptic decay 0.5 to 2 ns a neuron on one core; each of the two loops that a
    current-based model needs moves each byte of the state once.

    Examples
    --------
    A unit that its Poisson drive of 2 events a step brings to threshold 3 every other step or so:

    >>> import torch
    >>> row = torch.zeros(1, WIDTH)
    >>> row[0, [0, 5, 8]] = torch.tensor([3.0, 1.0, 1.0])  # threshold, Poisson weight, no leak
    >>> thresholds = torch.from_numpy(poisson_thresholds(2.0))[None]
    >>> one = torch.ones(1, dtype=torch.int32)
    >>> table = PopulationTable(torch.tensor([0, 1]), 0 * one, one, row, thresholds)
    >>> state = NeuronState(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int32))
    >>> arrivals = torch.zeros(1, 1)
    >>> sum(len(neuron_update(state, table, arrivals, step=k, seed=1)) for k in range(100)) in range(40, 60)
    True
    """
    n = int(table.bounds[-1])
    if state.variables.shape[1:] != (n,) or state.free_at.shape != (n,) or arrivals.shape[1:] != (n,):
        raise ShapeError(
            f"state {tuple(state.variables.shape)}, free_at {tuple(state.free_at.shape)} and arrivals "
            f"{tuple(arrivals.shape)}: expected (variables, n), (n,) and (channels, n) for the "
            f"{n} neurons of the table"
        )
    if current is not None and current.shape != (n,):
        raise ShapeError(f"current has shape {tuple(current.shape)}: expected ({n},)")
    form = choose(state.variables, implementation)
    if form == "gpu":
        from neuroai_kernels.neuron_update.gpu import neuron_update_gpu as update
    elif form == "cpu":
        from neuroai_kernels.neuron_update.cpu import neuron_update_cpu as update
    else:
        from neuroai_kernels.neuron_update.reference import neuron_update_reference as update
    return update(state, table, arrivals, step, seed, current)
