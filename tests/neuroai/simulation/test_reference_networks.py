"""Published networks fire at their published rates."""

import warnings

import numpy as np
import pytest

from neuroai.errors import ConfigError
from neuroai.simulation import Network
from neuroai.simulation.models import brunel, potjans_diesmann, vogels_abbott
from neuroai.simulation.models.potjans_diesmann import WeakDriveWarning, _constant_currents
from neuroai.simulation.models.references import reference_rates
from neuroai.simulation.simulation import SilentPopulationWarning
from neuroai.simulation.statistics import firing
from neuroai.simulation.theory import brunel_rate, siegert_rate


def rates(network: Network, seconds: float, start: float) -> dict[str, float]:
    found = firing(network.run(seconds), start=start)
    return {name: float(one.rates.mean()) for name, one in found.items()}


def check(name: str, options: dict[str, object], found: dict[str, float]) -> None:
    reference = reference_rates(name, options)
    assert reference is not None
    for population, rate in reference.rates.items():
        assert found[population] == pytest.approx(rate, rel=reference.tolerance[population]), population


def test_a_tenth_of_the_microcircuit() -> None:
    recording = potjans_diesmann(0.1, seed=1).run(2.5)
    found = firing(recording, start=0.5)
    check("potjans-diesmann", {"scale": 0.1}, {name: float(one.rates.mean()) for name, one in found.items()})
    # From 2 s: mean CV 0.65 to 0.74.
    cvs = [np.nanmean(one.cvs) for one in found.values()]
    assert 0.6 < min(cvs) < max(cvs) < 0.8


def test_constant_drive_at_a_tenth_is_too_weak_and_says_so() -> None:
    with pytest.warns(WeakDriveWarning, match="rheobase"):
        network = potjans_diesmann(0.1, "dc", seed=1)
    with pytest.warns(SilentPopulationWarning, match="never fired"):
        recording = network.run(1.0)
    found = firing(recording, start=0.2)
    assert found["L6I"].rates.mean() == pytest.approx(3.43, rel=0.1)
    assert sum(one.rates.sum() for name, one in found.items() if name != "L6I") < 50


def test_constant_currents_are_the_published_ones() -> None:
    psc = 87.808494
    full = [561.97, 526.85, 737.59, 667.34, 702.47, 667.34, 1018.58, 737.59]
    np.testing.assert_allclose(_constant_currents(1.0, "dc", psc), full, atol=0.01)
    extra = [29.04, 112.37, 112.97, 114.99, 125.42, 151.68, 43.85, 153.71]
    np.testing.assert_allclose(_constant_currents(0.1, "poisson", psc), extra, atol=0.01)
    total = [206.75, 278.98, 346.22, 326.02, 347.56, 362.72, 365.95, 386.96]
    np.testing.assert_allclose(_constant_currents(0.1, "dc", psc), total, atol=0.01)


@pytest.mark.parametrize("kind", ["cuba", "coba"])
@pytest.mark.parametrize("form", ["nest", "brian"])
def test_vogels_abbott_in_both_forms(kind: str, form: str) -> None:
    # Chaotic and finite: the mean of four seeds, less networks that were never kicked into activity or died.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SilentPopulationWarning)
        runs = [rates(vogels_abbott(kind, form, seed=seed), 1.1, 0.1) for seed in range(4)]  # type: ignore[arg-type]
    alive = [run for run in runs if run["E"] > 1]
    assert len(alive) >= 3
    found = {name: float(np.mean([run[name] for run in alive])) for name in runs[0]}
    check("vogels-abbott", {"kind": kind, "form": form}, found)


@pytest.mark.parametrize("synapse", ["delta", pytest.param("alpha", marks=pytest.mark.slow)])
def test_brunel_fires_as_theory_and_nest_say(synapse: str) -> None:
    check("brunel", {"synapse": synapse}, rates(brunel(seed=1, synapse=synapse), 1.0, 0.2))  # type: ignore[arg-type]


def test_theory_reproduces_published_rates() -> None:
    assert brunel_rate() == pytest.approx(32.03, abs=0.005)
    assert brunel_rate(reset=10.0) == pytest.approx(37.95, abs=0.005)
    # Without noise: the closed form of the interval.
    mean, interval = 40.0, 2e-3 + 10e-3 * np.log(40 / 25)
    assert siegert_rate(mean, 0.05, 10e-3, 15.0, 0.0, 2e-3) == pytest.approx(1 / interval, rel=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: potjans_diesmann(0.0),
        lambda: potjans_diesmann(drive="ac"),  # type: ignore[arg-type]
        lambda: brunel(5),
        lambda: brunel(synapse="gaussian"),  # type: ignore[arg-type]
        lambda: vogels_abbott("cuba", "neuron"),  # type: ignore[arg-type]
    ],
)
def test_unknown_options_are_refused(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="expected"):
        wrong()
