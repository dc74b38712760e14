"""Every analysis runs on its small settings and ends in a figure and a number."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def run_small(repository: Path, tmp_path: Path):
    """Run a script of ``analyses/`` as a process; what it printed."""

    def run(name: str, **environment: str) -> str:
        settings = {"NEUROAI_SMALL": "1", "NEUROAI_FIGURES": str(tmp_path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(repository / "analyses" / f"{name}.py")],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=tmp_path,
            env=os.environ | settings | environment,
        )
        assert done.returncode == 0, done.stderr
        figure = tmp_path / f"{name}.png"
        assert figure.read_bytes().startswith(b"\x89PNG")
        return done.stdout

    return run


def number(pattern: str, text: str) -> float:
    found = re.search(pattern + r"([-+]?\d\.\d+)", text)
    assert found, text
    return float(found[1])


def test_attention_helps_with_content_routing_and_not_with_static_fields(run_small) -> None:
    printed = run_small("planted_routing")
    assert number(r"content routing: attention - factorised = ", printed) >= 0.10
    assert number(r"static fields:   attention - factorised = ", printed) <= 0.01


def test_haxby_category_maps_replicate(run_small, data_root: Path) -> None:
    printed = run_small("haxby_category_maps", NEUROAI_DATA=str(data_root))
    assert number(r"identification of categories from maps: ", printed) > 0.6
    assert number(r"median r ", printed) >= 0.066


def test_noise_wipes_out_the_least_recent_memory_only(run_small) -> None:
    printed = run_small("dendrites_forgetting")
    assert number(r"least-useful  predicted 1.000 before the noise, ", printed) == 1
    assert number(r"least-recent  predicted 1.000 before the noise, ", printed) < 0.1


def test_published_networks_fire_as_published(run_small) -> None:
    printed = run_small("simulation_networks")
    assert abs(number(r"balanced network: largest deviation from theory = ", printed)) < 0.05
    assert abs(number(r"microcircuit: largest deviation from known rates = ", printed)) < 0.2
    assert number(r"coefficient of variation, 1 to 2 s = ", printed) > 0.03


@pytest.mark.slow
def test_spike_baselines_reach_what_is_published(run_small, data_root: Path) -> None:
    printed = run_small("spikes_baselines", NEUROAI_DATA=str(data_root))
    error = re.search(r"median error ([\d.]+) px", printed)
    assert error is not None
    assert float(error[1]) < 41
    assert number(r"session 1: best of the rates .*, ", printed) > 0.044


@pytest.mark.slow
def test_delays_help_a_spiking_network_to_tell_lags(run_small) -> None:
    printed = run_small("simulation_surrogate_training")
    assert number(r"delays - no delays \(fast sigmoid\) = ", printed) >= 0.05
    assert number(r"arctan: .*30, ", printed) >= 0.9


@pytest.mark.slow
def test_a_transformer_finds_the_hubs_of_a_circuit(run_small) -> None:
    printed = run_small("neuroformer_hub")
    assert number(r"attention: AUROC ", printed) > number(r"zero-lag correlation: AUROC ", printed)
    assert number(r"lagged covariance: AUROC ", printed) > 0.99


@pytest.mark.slow
def test_few_labels_decode_place_cells(run_small) -> None:
    printed = run_small("neuroformer_fewshot")
    best = number(r"blocked pretrained: .*100 %: ", printed)
    assert best < number(r"blocked ridge: .*100 %: ", printed)


@pytest.mark.slow
def test_a_stimulus_is_worth_its_bits(run_small) -> None:
    printed = run_small("neuroformer_modalities")
    assert number(r"with stimulus: simulated ", printed) > number(r"spikes: simulated ", printed) + 0.05
    assert number(r"with stimulus: simulated ", printed) < number(r"true rates: simulated ", printed)
