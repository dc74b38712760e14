"""Saved memories: damage and foreign files are named, nothing is left half-written."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from neuroai.dendrites import population_files
from neuroai.dendrites.population import Population
from neuroai.dendrites.sequence_memory import SequenceMemory
from neuroai.dendrites.spatial_pooler import SpatialPooler
from neuroai.errors import CheckpointError


@pytest.fixture
def saved(tmp_path):
    population = Population(n_neurons=2, n_inputs=100, seed=1)
    population.learn(range(30), [0, 1])
    population.save(tmp_path / "population.safetensors")
    return tmp_path / "population.safetensors"


def test_every_flipped_byte_is_noticed(saved):
    content = saved.read_bytes()
    original = Population.load(saved)
    places = np.random.default_rng(0).permutation(len(content))[:200]
    for place in [*places, 0, 8, len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        saved.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError, match=r"population\.safetensors"):
            Population.load(saved)
    saved.write_bytes(content)
    assert Population.load(saved).n_synapses == original.n_synapses


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_files(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="cannot be read"):
        Population.load(saved)


def test_foreign_files(saved, tmp_path):
    with pytest.raises(CheckpointError, match="holds a Population; expected a SequenceMemory"):
        SequenceMemory.load(saved)
    with pytest.raises(CheckpointError, match="cannot be read"):
        SpatialPooler.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read"):
        SpatialPooler.load(tmp_path)
    save_file({"x": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="format None"):
        Population.load(tmp_path / "weights.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Population.load(tmp_path / "text")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    content = saved.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(population_files.os, "replace", full_disk)
    with pytest.raises(CheckpointError, match="no space left"):
        Population(n_neurons=1, n_inputs=50).save(saved)
    assert saved.read_bytes() == content
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(CheckpointError, match="could not be written"):
        Population(n_neurons=1, n_inputs=50).save(saved.parent / "no" / "such" / "folder")


def test_pooler_file_of_other_sizes(tmp_path):
    pooler = SpatialPooler(n_inputs=40, n_columns=50, density=0.1)
    pooler.save(tmp_path / "pooler")
    settings, tensors = population_files.read_memory(tmp_path / "pooler", "SpatialPooler")
    for change in ({"n_inputs": 41}, {"permanence_dtype": "uint8"}):
        population_files.write_memory(tmp_path / "other", "SpatialPooler", settings | change, tensors)
        with pytest.raises(CheckpointError, match="'permanence'; expected"):
            SpatialPooler.load(tmp_path / "other")
    population_files.write_memory(tmp_path / "other", "SpatialPooler", settings | {"density": 0}, tensors)
    with pytest.raises(CheckpointError, match="density"):
        SpatialPooler.load(tmp_path / "other")
