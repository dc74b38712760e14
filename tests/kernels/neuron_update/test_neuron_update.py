"""The compiled update against the reference, and the reference against closed forms and distributions."""

import numpy as np
import pytest
import torch
from scipy import stats

from neuroai_kernels import ShapeError
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

COMMON = {"threshold": 15.0, "reset": 0.0, "refractory": 3.0, "drive": 0.02, "current_gain": 4e-4}
MEMBRANE = {
    "g_l": 10.0,
    "e_l": -60.0,
    "e_e": 0.0,
    "e_i": -80.0,
    "decay_e": 0.98,
    "decay_i": 0.99,
    "step_over_c": 1e-4 * 1e3 / 200,
}
ALPHA = {"p11": 0.8, "p21": 0.08, "p31": 2e-5, "p32": 4e-4, "scale": 5.4}
# Coefficients, arrivals' mean and standard deviation, start of v.
CASES = {
    Kind.LIF_DELTA: (COMMON | {"p22": 0.99}, (0.2, 1.0), 0.0),
    Kind.LIF_EXP: (
        COMMON | {"p22": 0.99, "p11_0": 0.8, "p21_0": 4e-4, "p11_1": 0.9, "p21_1": 3e-4},
        (80.0, 300.0),
        0.0,
    ),
    Kind.LIF_ALPHA: (
        COMMON | {f"{name}_{c}": value for c in (0, 1) for name, value in ALPHA.items()} | {"p22": 0.99},
        (30.0, 100.0),
        0.0,
    ),
    Kind.LIF_COBA: (
        COMMON | MEMBRANE | {"threshold": -50.0, "reset": -60.0, "current_gain": 1.0},
        (2.0, 1.0),
        -60.0,
    ),
    Kind.ALIF: (COMMON | {"p22": 0.99, "rho": 0.995, "beta": 1.8, "gain": 1e-3}, (1200.0, 300.0), 0.0),
    Kind.ADEX: (
        COMMON
        | MEMBRANE
        | {"threshold": 0.0, "reset": -60.0, "current_gain": 1.0, "delta_t": 2.0, "v_t": -50.4, "a": 4.0}
        | {"b": 80.5, "w_decay": 0.999, "substeps": 2.0},
        (3.0, 1.0),
        -60.0,
    ),
    Kind.IZHIKEVICH: (
        COMMON
        | {"threshold": 30.0, "reset": -65.0, "current_gain": 1.0, "a": 0.02, "b": 0.2, "d": 8.0}
        | {"step_ms": 1.0, "halves": 2.0},
        (8.0, 6.0),
        -65.0,
    ),
    Kind.HH: (
        COMMON
        | MEMBRANE
        | {"threshold": -20.0, "current_gain": 1.0, "g_na": 20e3, "g_k": 6e3, "e_na": 50.0, "e_k": -90.0}
        | {"v_t": -63.0, "step_ms": 0.05, "substeps": 2.0, "step_over_c": 0.05 / 200},
        (2.0, 1.0),
        -60.0,
    ),
}
# Kinds whose step uses no exponential: equal bit by bit.
EXACT = (Kind.LIF_DELTA, Kind.LIF_EXP, Kind.LIF_ALPHA, Kind.ALIF)


def row(kind: Kind, values: dict[str, float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    names = (*PREFIX, *COEFFICIENTS[kind])
    found = torch.zeros(WIDTH, dtype=dtype)
    for name, value in values.items():
        found[names.index(name)] = value
    return found


def table(
    kinds: list[Kind], sizes: list[int], rows: list[torch.Tensor], mean: float = 0.0
) -> PopulationTable:
    limits = poisson_thresholds(mean) if mean else np.empty(0, np.uint32)
    padded = np.full((len(kinds), -(-len(limits) // 4) * 4), 0xFFFFFFFF, np.uint32)
    padded[:, : len(limits)] = limits
    return PopulationTable(
        torch.tensor(np.cumsum([0, *sizes])),
        torch.tensor([int(kind) for kind in kinds], dtype=torch.int32),
        torch.tensor(
            [1 + (len(VARIABLES[kind]) > 2 and kind != Kind.ALIF) for kind in kinds], dtype=torch.int32
        ),
        torch.stack(rows),
        torch.from_numpy(padded),
    )


def start(kinds: list[Kind], sizes: list[int], dtype: torch.dtype) -> NeuronState:
    v = [torch.full((size,), CASES[kind][2], dtype=dtype) for kind, size in zip(kinds, sizes, strict=True)]
    state = torch.zeros(6, sum(sizes), dtype=dtype)
    state[0] = torch.cat(v)
    return NeuronState(state, torch.zeros(sum(sizes), dtype=torch.int32))


def run(kinds: list[Kind], sizes: list[int], dtype: torch.dtype, form: str, steps: int = 150):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    populations = table(kinds, sizes, [row(kind, CASES[kind][0], dtype) for kind in kinds])
    state, spikes = start(kinds, sizes, dtype), []
    mean, sd = (np.repeat([CASES[kind][1][i] for kind in kinds], sizes) for i in (0, 1))
    spread = 2 if Kind.IZHIKEVICH in kinds else 30
    current = torch.from_numpy(rng.normal(0, spread, sum(sizes))).to(dtype)
    for step in range(steps):
        arrivals = torch.from_numpy(np.abs(rng.normal(mean, sd, (2, sum(sizes)))) / 3).to(dtype)
        options = {"step": step, "current": current, "implementation": form}
        spikes.append(neuron_update(state, populations, arrivals, **options).tolist())  # type: ignore[arg-type]
        assert not arrivals.any()
    return state, spikes


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_update_equals_the_reference(kind: Kind, dtype: torch.dtype) -> None:
    size = 131
    (plain, expected), (state, spikes) = (run([kind], [size], dtype, form) for form in ("reference", "cpu"))
    assert sum(map(len, expected)) > 20
    if kind in EXACT or dtype == torch.float64:
        tolerance = 0.0 if kind in EXACT else 1e-9
        assert spikes == expected
        torch.testing.assert_close(state.variables, plain.variables, rtol=tolerance, atol=tolerance)
        assert torch.equal(state.free_at, plain.free_at)
    else:  # another exponential: last bits differ, and so may the step of a spike near threshold
        assert abs(sum(map(len, spikes)) - sum(map(len, expected))) <= 2


def test_populations_of_several_models_share_one_call() -> None:
    kinds, sizes = [Kind.LIF_EXP, Kind.LIF_DELTA, Kind.ALIF, Kind.LIF_ALPHA], [5, 1, 1030, 70]
    plain, expected = run(kinds, sizes, torch.float32, "reference", 60)
    state, spikes = run(kinds, sizes, torch.float32, "cpu", 60)
    assert spikes == expected
    assert torch.equal(state.variables, plain.variables)


@pytest.mark.parametrize("form", ["reference", "cpu"])
def test_refractory_neurons_stay_at_reset_for_the_given_steps(form: str) -> None:
    values = COMMON | {"p22": 1.0, "drive": 6.0, "refractory": 4.0}
    populations = table([Kind.LIF_DELTA], [2], [row(Kind.LIF_DELTA, values)])
    state, arrivals, found = start([Kind.LIF_DELTA], [2], torch.float32), torch.zeros(1, 2), []
    for step in range(20):
        found += [step] * len(neuron_update(state, populations, arrivals, step=step, implementation=form))  # type: ignore[arg-type]
    # 6, 12, 18 >= 15: three steps to threshold, four at reset, again.
    assert found == [2, 2, 9, 9, 16, 16]


@pytest.mark.parametrize("mean", [0.01, 1.2, 2.32, 40.0])
def test_poisson_counts_follow_their_distribution(mean: float) -> None:
    values = {"threshold": 1e9, "p22": 0.0, "poisson_weight": 1.0}
    n, steps = 501, 40
    populations = table([Kind.LIF_DELTA], [n], [row(Kind.LIF_DELTA, values)], mean)
    counts = np.empty((steps, n))
    state, arrivals = start([Kind.LIF_DELTA], [n], torch.float32), torch.zeros(1, n)
    for step in range(steps):
        neuron_update(state, populations, arrivals, step=step, seed=7)
        counts[step] = state.variables[0]
    largest = int(stats.poisson.ppf(0.999, mean))
    observed = np.bincount(np.minimum(counts, largest).astype(int).ravel(), minlength=largest + 1)
    expected = stats.poisson.pmf(np.arange(largest + 1), mean)
    expected[-1] += 1 - expected.sum()
    some = expected * counts.size > 5
    statistic = ((observed - expected * counts.size) ** 2 / (expected * counts.size))[some].sum()
    assert stats.chi2.sf(statistic, some.sum() - 1) > 1e-3
    assert abs(np.corrcoef(counts[:-1].ravel(), counts[1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(counts[:, :-1].ravel(), counts[:, 1:].ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("first", [0, 3, 5])
def test_random_numbers_belong_to_the_neuron_not_to_the_block(first: int) -> None:
    """A population that starts anywhere draws what the same neurons draw in another division."""
    values = {"threshold": 1e9, "p22": 0.0, "poisson_weight": 1.0, "noise": 2.0}
    rows = [row(Kind.LIF_DELTA, values)]
    whole, parts = (
        table([Kind.LIF_DELTA] * len(sizes), sizes, rows * len(sizes), 1.5)
        for sizes in ([1100], [size for size in (first, 1100 - first) if size])
    )
    found = []
    for populations, form in ((whole, "cpu"), (parts, "cpu"), (parts, "reference")):
        state = NeuronState(torch.zeros(1, 1100), torch.zeros(1100, dtype=torch.int32))
        neuron_update(state, populations, torch.zeros(1, 1100), step=12, seed=2**40 + 5, implementation=form)  # type: ignore[arg-type]
        found.append(state.variables)
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], rtol=1e-6, atol=1e-6)


def test_noise_is_standard_normal() -> None:
    values = {"threshold": 1e9, "p22": 0.0, "noise": 1.0}
    populations = table([Kind.LIF_DELTA], [4000], [row(Kind.LIF_DELTA, values, torch.float64)])
    state = NeuronState(torch.zeros(1, 4000, dtype=torch.float64), torch.zeros(4000, dtype=torch.int32))
    neuron_update(state, populations, torch.zeros(1, 4000, dtype=torch.float64), step=0, seed=1)
    assert stats.kstest(state.variables[0].numpy(), "norm").pvalue > 1e-3


def test_integer_arrivals_count_in_quanta() -> None:
    from neuroai_kernels.neuron_update.cpu import key_words, update_populations

    values = {"threshold": 1e9, "p22": 0.0}
    t = table([Kind.LIF_DELTA], [3], [row(Kind.LIF_DELTA, values)])
    variables, slot = np.zeros((1, 3), np.float32), np.array([3, -1, 0], np.int32)
    parts = (t.bounds, t.kinds, t.channels, t.coefficients, t.thresholds)
    update_populations(
        *(part.numpy() for part in parts), variables, np.zeros(3, np.int32), slot, np.float32(0.25),
        np.empty(0, np.float32), 0, *key_words(0), np.empty(3, np.int32),
    )  # fmt: skip
    assert variables[0].tolist() == [0.75, -0.25, 0.0]
    assert not slot.any()


def test_shapes_that_do_not_fit_are_refused() -> None:
    populations = table([Kind.LIF_DELTA], [3], [row(Kind.LIF_DELTA, COMMON)])
    state = NeuronState(torch.zeros(1, 4), torch.zeros(4, dtype=torch.int32))
    with pytest.raises(ShapeError, match="3 neurons"):
        neuron_update(state, populations, torch.zeros(1, 3), step=0)
    state = NeuronState(torch.zeros(1, 3), torch.zeros(3, dtype=torch.int32))
    with pytest.raises(ShapeError, match="current"):
        neuron_update(state, populations, torch.zeros(1, 3), step=0, current=torch.zeros(2))
