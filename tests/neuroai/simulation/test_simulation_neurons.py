"""Single neurons: propagators, PSPs, delays, refractoriness, against closed forms and adaptive solvers."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from neuroai.errors import ConfigError
from neuroai.simulation import (
    ALIF,
    COBA,
    HH,
    AdEx,
    Izhikevich,
    LIFAlpha,
    LIFDelta,
    LIFExp,
    Network,
    OneToOne,
    Population,
    Projection,
    SpikeSource,
)
from neuroai.simulation.build import lay_out
from neuroai.simulation.propagators import (
    alpha_peak_current,
    alpha_propagator,
    exponential_peak_current,
    exponential_propagator,
    membrane_propagator,
)
from neuroai_kernels.neuron_update import NeuronState, PopulationTable, neuron_update

H, TAU_M, TAU_S, C = 1e-4, 10e-3, 0.5e-3, 250.0


def test_propagators_equal_the_matrix_exponential() -> None:
    ms = 1e3
    a = np.array([[-1 / (TAU_S * ms), 0, 0], [1 / C, -1 / (TAU_M * ms), 1 / C], [0, 0, 0]])
    exact = expm(a * H * ms)
    p22, p20 = membrane_propagator(H, TAU_M, C)
    p11, p21 = exponential_propagator(H, TAU_M, TAU_S, C)
    for found, expected in ((p11, exact[0, 0]), (p21, exact[1, 0]), (p22, exact[1, 1]), (p20, exact[1, 2])):
        assert abs(found - expected) < 1e-12
    # Published coefficients.
    assert p11 == pytest.approx(0.8187307531, abs=1e-10)
    assert p22 == pytest.approx(0.9900498337, abs=1e-10)
    assert p21 == pytest.approx(3.606717e-4, abs=1e-10)
    assert p20 == pytest.approx(3.980066e-4, abs=1e-10)


@pytest.mark.parametrize("tau_s", [TAU_M, TAU_M * (1 + 5e-4), TAU_M * (1 - 2e-3)])
def test_equal_time_constants_have_their_limit(tau_s: float) -> None:
    a = np.array([[-1e-3 / tau_s, 0], [1 / C, -1e-3 / TAU_M]])
    assert exponential_propagator(H, TAU_M, tau_s, C)[1] == pytest.approx(expm(a * 0.1)[1, 0], rel=1e-5)


def test_published_synaptic_strengths() -> None:
    assert exponential_peak_current(0.15, TAU_M, TAU_S, C) == pytest.approx(87.808494, abs=1e-6)
    assert alpha_peak_current(0.1, 20e-3, TAU_S, C) == pytest.approx(20.680155, abs=1e-6)


def in_double(neuron: object, steps: int, **population: object) -> np.ndarray:
    """Potential of one neuron at every step, in float64, by the reference."""
    layout = lay_out(Network([Population("one", 1, neuron, **population)], dt=H))  # type: ignore[arg-type]
    table = layout.populations
    row = dict(neuron.coefficients(H))  # type: ignore[attr-defined]
    double = PopulationTable(
        table.bounds, table.kinds, table.channels, exact_row(layout, row, population), table.thresholds
    )
    state = NeuronState(layout.initial.variables.double(), layout.initial.free_at.clone())
    arrivals, found = torch.zeros(2, 1, dtype=torch.float64), np.empty(steps)
    for step in range(steps):
        neuron_update(state, double, arrivals, step=step, implementation="cpu")
        found[step] = state.variables[0, 0]
    return found


def exact_row(layout, row, population) -> torch.Tensor:  # type: ignore[no-untyped-def]
    from neuroai_kernels.neuron_update import COEFFICIENTS, PREFIX, Kind

    names = (*PREFIX, *COEFFICIENTS[Kind(int(layout.populations.kinds[0]))])
    found = layout.populations.coefficients.double()
    for name, value in row.items():
        if name in names:
            found[0, names.index(name)] = value
    found[0, names.index("drive")] = row["current_gain"] * population.get("current", 0.0)
    return found


@pytest.mark.parametrize(
    ("neuron", "start", "matrix"),
    [
        (LIFDelta(), {}, None),
        (LIFExp(tau_syn=(0.5e-3, 3e-3)), {"i_0": 300.0, "i_1": -100.0}, "exp"),
        (LIFAlpha(tau_syn=(0.5e-3,)), {"rise_0": 500.0, "i_0": 20.0}, "alpha"),
    ],
)
def test_exact_models_match_the_matrix_exponential_over_ten_thousand_steps(neuron, start, matrix) -> None:  # type: ignore[no-untyped-def]
    steps, current = 10_000, 300.0
    found = in_double(neuron, steps, current=current, initial=start)
    t = (np.arange(steps) + 1) * H
    v = current * TAU_M * 1e3 / C * -np.expm1(-t / TAU_M)
    if matrix == "exp":
        for tau, i in zip(neuron.tau_syn, (300.0, -100.0), strict=True):
            scale = i * TAU_M * tau / (tau - TAU_M) * 1e3 / C
            v += scale * (np.exp(-t / tau) - np.exp(-t / TAU_M))
    if matrix == "alpha":
        found, v = found[::50], v[::50]
        v += np.array([alpha_propagator(s, TAU_M, TAU_S, C)[2, :2] @ [500.0, 20.0] for s in t[::50]])
    np.testing.assert_allclose(found, v, rtol=1e-11)


def test_single_precision_stays_within_its_own_rounding() -> None:
    """Near rest the increment of a step falls below half a unit in the last place: 1e-5, not 1e-6."""
    network = Network([Population("one", 1, LIFDelta(), current=300.0)], dt=H)
    simulation = network.simulation()
    simulation.run(0.4)
    exact = 300.0 * TAU_M * 1e3 / C * -np.expm1(-0.4 / TAU_M)
    assert float(simulation.engine.variables[0, 0]) == pytest.approx(exact, rel=1e-5)


def through_one_synapse(
    neuron: object, weight: float, delay: float, steps: int, channel: int = 0
) -> np.ndarray:
    """Potential above rest after each step; the source spikes at time 0."""
    network = Network(
        [Population("one", 1, neuron)],  # type: ignore[arg-type]
        [Projection("in", "one", OneToOne(), weight, delay)],
        [SpikeSource("in", [[0.0]])],
        dt=H,
    )
    simulation, found = network.simulation(), np.empty(steps)
    for step in range(steps):
        simulation.step()
        found[step] = simulation.engine.variables[0, 0]
    return found


def test_one_spike_through_one_synapse_gives_the_psp_asked_for() -> None:
    weight = exponential_peak_current(0.15, TAU_M, TAU_S, C)
    potential = through_one_synapse(LIFExp(), weight, 1e-4, 60)
    # Arrives at 0.1 ms, peaks 1.5767 ms later: on the grid at 1.6 ms.
    assert potential.max() == pytest.approx(0.15, abs=1e-4)
    assert (potential.argmax() + 1) * H == pytest.approx(1e-4 + 1.6e-3)


@pytest.mark.parametrize("steps", [*range(1, 64), 100, 255])
def test_spikes_arrive_exactly_at_their_delay(steps: int) -> None:
    potential = through_one_synapse(LIFDelta(), 1.0, steps * H, steps + 1)
    # Source at time 0 is step -1: it acts on the update of step d - 1, at time d.
    assert not potential[: steps - 1].any()
    assert potential[steps - 1] == pytest.approx(1.0)


def test_delays_wrap_around_the_ring_at_any_time() -> None:
    times = np.array([0.0, 3e-3, 6.3e-3, 6.4e-3, 12.7e-3])
    network = Network(
        [Population("one", 1, LIFDelta(tau_m=1e3))],
        [Projection("in", "one", OneToOne(), 1.0, 6.3e-3)],
        [SpikeSource("in", [times])],
        dt=H,
    )
    simulation, found = network.simulation(), []
    for _ in range(250):
        simulation.step()
        found.append(float(simulation.engine.variables[0, 0]))
    arrived = np.flatnonzero(np.diff([0.0, *found]) > 0.5) + 1
    np.testing.assert_array_equal(arrived, np.rint((times + 6.3e-3) / H))


def test_constant_drive_gives_the_interval_of_the_closed_form() -> None:
    recording = Network([Population("one", 1, LIFExp(), current=1000.0)], dt=H).run(0.1)
    assert recording.spikes is not None
    intervals = np.diff(recording.spikes.unit(0))
    # t_ref + tau ln(R I / (R I - 15)) = 2 + 4.70004 ms, rounded up to the grid of 0.1 ms.
    free = np.ceil(10.0 * np.log(40 / 25) / 0.1) * 0.1
    np.testing.assert_allclose(intervals * 1e3, 2.0 + free, atol=1e-9)


def spikes_of(neuron: object, seconds: float, **population: object) -> np.ndarray:
    recording = Network([Population("one", 1, neuron, **population)], dt=H).run(seconds)  # type: ignore[arg-type]
    assert recording.spikes is not None
    return recording.spikes.unit(0)


def solved(derivative, start, reset, threshold, refractory, seconds) -> list[float]:  # type: ignore[no-untyped-def]
    """Spike times by an adaptive solver, ms."""
    times, now, state = [], 0.0, np.array(start)
    crossing = lambda t, y: y[0] - threshold  # noqa: E731
    crossing.terminal, crossing.direction = True, 1  # type: ignore[attr-defined]
    while now < seconds * 1e3:
        out = solve_ivp(
            derivative, (now, seconds * 1e3), state, "DOP853", events=crossing, rtol=1e-8, atol=1e-8
        )
        now, state = out.t[-1], out.y[:, -1]
        if out.status != 1:
            break
        times.append(now)
        state = reset(state)
        if refractory:
            held = solve_ivp(
                lambda t, y: np.append(0.0, derivative(t, y)[1:]), (now, now + refractory), state, rtol=1e-8
            )
            now, state = held.t[-1], held.y[:, -1]
    return times


def test_adaptive_exponential_spikes_when_an_adaptive_solver_says() -> None:
    n = AdEx()

    def derivative(t: float, y: np.ndarray) -> list[float]:
        v, w = y
        leak = -n.g_leak * (v - n.rest) + n.g_leak * n.delta_t * np.exp(min((v - n.v_t) / n.delta_t, 30.0))
        return [(leak - w + 1200.0) / n.capacitance, (n.a * (v - n.rest) - w) / (n.tau_w * 1e3)]

    expected = solved(derivative, [n.rest, 0.0], lambda y: np.array([n.reset, y[1] + n.b]), n.v_peak, 0, 0.1)
    found = spikes_of(n, 0.1, current=1200.0) * 1e3
    assert len(found) == len(expected) > 3
    # At most one step a spike: rounding up to the grid alone adds half a step each time.
    assert (np.abs(found - expected) <= 0.1 * (np.arange(len(found)) + 1)).all()


def test_conductance_neuron_spikes_when_an_adaptive_solver_says() -> None:
    n = COBA()

    def derivative(t: float, y: np.ndarray) -> list[float]:
        v, g_e, g_i = y
        inward = n.g_leak * (n.rest - v) + g_e * (0.0 - v) + g_i * (-80.0 - v) + 150.0
        return [inward / n.capacitance, -g_e / 5.0, -g_i / 10.0]

    start = [n.rest, 30.0, 20.0]
    expected = solved(derivative, start, lambda y: np.array([n.reset, *y[1:]]), n.threshold, 5.0, 0.1)
    found = spikes_of(n, 0.1, current=150.0, initial={"g_e": 30.0, "g_i": 20.0}) * 1e3
    assert len(found) == len(expected) > 3
    assert (np.abs(found - expected) <= 0.1 * (np.arange(len(found)) + 1)).all()


def test_hodgkin_huxley_spikes_when_an_adaptive_solver_says() -> None:
    cell = HH()

    def gates(u: float) -> list[tuple[float, float]]:
        return [
            (0.32 * (13 - u) / np.expm1((13 - u) / 4), 0.28 * (u - 40) / np.expm1((u - 40) / 5)),
            (0.128 * np.exp((17 - u) / 18), 4 / (1 + np.exp((40 - u) / 5))),
            (0.032 * (15 - u) / np.expm1((15 - u) / 5), 0.5 * np.exp((10 - u) / 40)),
        ]

    def derivative(t: float, y: np.ndarray) -> list[float]:
        v, m, h, n = y
        inward = 10.0 * (-60.0 - v) + 20e3 * m**3 * h * (50.0 - v) + 6e3 * n**4 * (-90.0 - v) + 500.0
        moved = [a * (1 - x) - b * x for (a, b), x in zip(gates(v + 63.0), (m, h, n), strict=True)]
        return [inward / 200.0, *moved]

    expected, now, state = [], 0.0, np.array([-60.0, 0.0, 1.0, 0.0])
    while now < 100:  # every crossing of -20 mV from below
        up = lambda t, y: y[0] + 20.0  # noqa: E731
        up.terminal, up.direction = True, 1  # type: ignore[attr-defined]
        out = solve_ivp(derivative, (now, 100), state, "LSODA", events=up, rtol=1e-8, atol=1e-8)
        now, state = out.t[-1], out.y[:, -1]
        if out.status == 1:
            expected.append(now)
            out = solve_ivp(derivative, (now, now + 0.5), state, "LSODA", rtol=1e-8, atol=1e-8)
            now, state = out.t[-1], out.y[:, -1]
    errors = []
    for dt in (1e-4, 1e-5):  # substeps of 0.05 ms and 0.01 ms: of first order
        recording = Network([Population("one", 1, cell, current=500.0)], dt=dt).run(0.1)
        assert recording.spikes is not None
        period = np.diff(recording.spikes.unit(0)).mean() * 1e3
        errors.append(abs(period / np.diff(expected).mean() - 1))
    assert errors[0] < 0.06
    assert errors[1] < 0.015


def test_regular_spiking_izhikevich_neuron_adapts() -> None:
    recording = Network([Population("one", 1, Izhikevich(), current=10.0)], dt=1e-3).run(1.0)
    assert recording.spikes is not None
    intervals = np.diff(recording.spikes.unit(0))
    assert 15 < len(intervals) < 40
    assert intervals[0] < intervals[-1]


def test_adaptive_threshold_slows_firing() -> None:
    fast, slow = (spikes_of(ALIF(beta=beta), 1.0, current=200.0) for beta in (0.0, 1800.0))
    assert len(slow) < len(fast) / 1.5
    assert np.diff(slow)[0] < np.diff(slow)[-1]


def test_constants_without_meaning_are_refused() -> None:
    with pytest.raises(ConfigError, match="tau_m"):
        LIFExp(tau_m=0.0)
    with pytest.raises(ConfigError, match="reset"):
        LIFExp(reset=-40.0)
    with pytest.raises(ConfigError, match="time constants"):
        LIFExp(tau_syn=(1e-3, 1e-3, 1e-3))
