"""The Triton form of the fused update against the specification, model by model."""

import numpy as np
import pytest
import torch

from neuroai_kernels.neuron_update import (
    COEFFICIENTS,
    PREFIX,
    VARIABLES,
    WIDTH,
    Kind,
    NeuronState,
    PopulationTable,
    neuron_update,
    poisson_thresholds,
)

pytestmark = pytest.mark.usefixtures("triton_interpreter")

_SHARED = {"threshold": 15.0, "reset": 0.0, "refractory": 3, "drive": 0.2, "current_gain": 4e-4}
_CONDUCTANCES = {
    "threshold": -50.0, "reset": -60.0, "g_l": 10.0, "e_l": -60.0, "e_e": 0.0, "e_i": -80.0,
    "decay_e": 0.98, "decay_i": 0.99, "step_over_c": 5e-4, "drive": 130.0, "current_gain": 1.0,
}  # fmt: skip
MODELS = {
    Kind.LIF_DELTA: {"p22": 0.99},
    Kind.LIF_EXP: {"p22": 0.99, "p11_0": 0.82, "p21_0": 0.4, "p11_1": 0.9, "p21_1": 0.3},
    Kind.LIF_ALPHA: {"p22": 0.99}
    | {f"{k}_{c}": v for c in (0, 1) for k, v in
       (("p11", 0.82), ("p21", 0.1), ("p31", 0.02), ("p32", 0.4), ("scale", 1.5))},
    Kind.LIF_COBA: _CONDUCTANCES,
    Kind.ALIF: {"threshold": 1.0, "p22": 0.95, "rho": 0.99, "beta": 0.3, "gain": 0.05, "drive": 0.06},
    Kind.ADEX: _CONDUCTANCES
    | {"threshold": 0.0, "delta_t": 2.0, "v_t": -50.4, "a": 4.0, "b": 80.5, "w_decay": 0.999, "substeps": 3,
       "drive": 500.0},
    Kind.IZHIKEVICH: {"threshold": 30.0, "reset": -65.0, "a": 0.02, "b": 0.2, "d": 8.0, "step_ms": 1.0,
                      "halves": 2, "drive": 10.0, "current_gain": 1.0},
    Kind.HH: _CONDUCTANCES
    | {"threshold": -20.0, "g_na": 2e4, "g_k": 6e3, "e_na": 50.0, "e_k": -90.0, "v_t": -63.0, "step_ms": 0.05,
       "step_over_c": 2.5e-4, "substeps": 2, "drive": 500.0},
}  # fmt: skip
EXACT = {Kind.LIF_DELTA, Kind.LIF_EXP, Kind.LIF_ALPHA, Kind.ALIF, Kind.IZHIKEVICH}


def population_table(kinds, sizes, channels, **prefix):
    rows = torch.zeros(len(kinds), WIDTH)
    for row, kind in zip(rows, kinds, strict=True):
        values = {**_SHARED, **MODELS[kind], **prefix}
        for place, name in enumerate((*PREFIX, *COEFFICIENTS[kind])):
            row[place] = values.get(name, 0.0)
    thresholds = np.full((len(kinds), 40), 0xFFFFFFFF, np.uint32)
    for row in thresholds:
        entries = poisson_thresholds(1.7)
        row[: len(entries)] = entries
    bounds = torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int64)
    kinds = torch.tensor([int(k) for k in kinds], dtype=torch.int32)
    return PopulationTable(
        bounds, kinds, torch.tensor(channels, dtype=torch.int32), rows, torch.from_numpy(thresholds)
    )


def start(table, kinds, seed=0):
    rng = np.random.default_rng(seed)
    n = int(table.bounds[-1])
    variables = torch.zeros(max(len(VARIABLES[k]) for k in kinds), n)
    for number, kind in enumerate(kinds):
        here = slice(int(table.bounds[number]), int(table.bounds[number + 1]))
        reset = float(table.coefficients[number, 1])
        threshold = -21.0 if kind == Kind.HH else float(table.coefficients[number, 0])
        size = here.stop - here.start
        variables[0, here] = torch.from_numpy(rng.uniform(reset, threshold, size).astype(np.float32))
        if kind == Kind.HH:
            variables[3:5, here] = 0.5
    return NeuronState(variables, torch.zeros(n, dtype=torch.int32))


def run_both(kinds, sizes, channels, steps, arrives, current=None, **prefix):
    table = population_table(kinds, sizes, channels, **prefix)
    expected, found = start(table, kinds), start(table, kinds)
    n, total = int(table.bounds[-1]), 0
    for step in range(steps):
        rng = np.random.default_rng(step)
        arrivals = torch.from_numpy(rng.poisson(0.3, (2, n)).astype(np.float32)) * arrives
        other = arrivals.clone()
        spikes = [
            neuron_update(state, table, into, step=step, seed=5, current=current, implementation=form)
            for state, into, form in ((expected, arrivals, "reference"), (found, other, "gpu"))
        ]
        assert sorted(spikes[1].tolist()) == spikes[0].tolist()
        total += len(spikes[0])
        assert not other[: int(max(channels))].any()
        assert torch.equal(found.free_at, expected.free_at)
    return expected.variables, found.variables, total


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
@pytest.mark.parametrize("sizes", [(5, 777), (530, 3)], ids=["long", "short"])
def test_every_model(kind, sizes):
    two = kind not in (Kind.LIF_DELTA, Kind.ALIF, Kind.IZHIKEVICH)
    expected, found, total = run_both([kind, kind], sizes, [1 + two, 1 + two], 12, 1.5)
    assert total > 0
    if kind in EXACT:
        assert torch.equal(found, expected)
        return
    if kind == Kind.ADEX:
        # Above its threshold the exponential runs away and multiplies rounding errors.
        slow = expected[0] < -45
        assert int(slow.sum()) > len(slow) // 2
        expected, found = expected[:, slow], found[:, slow]
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def test_populations_of_different_kinds_and_channels():
    kinds = [Kind.LIF_EXP, Kind.IZHIKEVICH, Kind.LIF_EXP]
    expected, found, total = run_both(kinds, (7, 6, 9), [2, 1, 1], 20, 2.0)
    assert total > 0
    assert torch.equal(found, expected)


@pytest.mark.parametrize("channel", [0, 1])
def test_drive_noise_and_current(channel):
    current = torch.linspace(-300, 900, 45)
    expected, found, total = run_both(
        [Kind.LIF_EXP, Kind.LIF_EXP], (22, 23), [2, 2], 12, 0.5, current,
        poisson_weight=1.25, poisson_channel=channel, noise=0.1,
    )  # fmt: skip
    assert total > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_drive_alone_is_exact():
    expected, found, total = run_both([Kind.LIF_EXP], (1030,), [1], 10, 0.0, poisson_weight=1.25)
    assert total > 0
    assert torch.equal(found, expected)
