"""Batched streams against the compiled memory of one stream: the same synapses, integers equal."""

import numpy as np
import pytest
import torch

from neuroai.dendrites.sequence_memory import SequenceMemory
from neuroai.dendrites.streams import SequenceStreams
from neuroai.errors import ConfigError
from neuroai_kernels.segment_memory import draw_key

SETTINGS = {
    "n_columns": 128, "cells_per_column": 4, "activation_threshold": 6, "min_threshold": 4,
    "max_new_synapses": 8, "max_synapses": 10, "decrement": 0.02, "max_segments": 2048, "seed": 5,
}  # fmt: skip


def make_streams(n_streams, n_sequences=4, length=5, seed=0):
    rng = np.random.default_rng(seed)
    order = rng.random((n_streams, n_sequences, length, 128)).argsort(-1)[..., :10]
    return np.sort(order, axis=-1)


def segments_of(memory):
    arrays = memory.store.arrays
    found = []
    for place in np.flatnonzero(arrays.cell >= 0):
        n = arrays.n_synapses[place]
        pairs = zip(
            arrays.presynaptic[place, :n].tolist(), arrays.permanence[place, :n].tolist(), strict=True
        )
        found.append((int(arrays.cell[place]), dict(pairs)))
    return found


@pytest.mark.parametrize("punishment", [0.0, 0.01])
def test_every_stream_learns_what_a_single_memory_learns(punishment):
    memories = [SequenceMemory(**SETTINGS, punishment=punishment) for _ in range(3)]
    streams = SequenceStreams(3, memories[0].settings)
    inputs = make_streams(3)
    for epoch in range(6):
        for sequence in range(4):
            if epoch % 2 == 0:
                streams.reset()
            for element in range(5):
                anomaly = streams.step(torch.from_numpy(inputs[:, sequence, element]))
                predicted = streams.predicted_columns
                for index, memory in enumerate(memories):
                    if epoch % 2 == 0 and element == 0:
                        memory.reset()
                    found = memory.step(inputs[index, sequence, element])
                    assert found.anomaly == pytest.approx(anomaly[index].item(), abs=1e-6)
                    np.testing.assert_array_equal(
                        memory.predicted_columns, predicted[index].nonzero()[:, 0].numpy()
                    )
    for index, memory in enumerate(memories):
        assert streams.synapses(index) == segments_of(memory)
        assert int(streams.n_synapses[index]) == memory.n_synapses


def test_streams_from_a_memory_share_it_until_they_learn():
    memory = SequenceMemory(**SETTINGS)
    (sequences,) = make_streams(1)
    for _ in range(6):
        for sequence in sequences:
            memory.reset()
            for columns in sequence:
                memory.step(columns)
    streams = SequenceStreams.from_memory(memory, 4)
    shared = streams._sources.shape[0]
    streams.reset()
    memory.reset()
    for element in range(5):
        columns = torch.from_numpy(sequences[:, element])
        anomaly = streams.step(columns, learn=False)
        assert memory.step(sequences[2, element], learn=False).anomaly == anomaly[2].item()
        assert anomaly.tolist() == ([1.0] * 4 if element == 0 else [0.0] * 4)
    assert shared == 1
    streams.reset()
    memory.reset()
    for element in range(5):
        streams.step(torch.from_numpy(sequences[:, element]))
        memory.step(sequences[3, element])
    assert streams.synapses(3) == segments_of(memory)


def test_a_full_batch_drops_the_least_useful_and_keeps_old_memory():
    memory = SequenceMemory(**SETTINGS | {"max_segments": 400})
    streams = SequenceStreams(2, memory.settings)
    inputs = torch.from_numpy(make_streams(2, 2))

    def epoch(learn):
        found = []
        for sequence in inputs.unbind(1):
            streams.reset()
            found += [streams.step(columns, learn=learn) for columns in sequence.unbind(1)][1:]
        return torch.stack(found).mean(0).tolist()

    for _ in range(8):
        epoch(True)
    assert epoch(False) == [0.0, 0.0]
    streams.reset()
    for columns in torch.from_numpy(make_streams(2, 1, 200, seed=3))[:, 0].unbind(1):
        streams.step(columns)
    assert int(streams.n_segments.max()) <= 400
    # Noise wears single synapses of memories that it happens to match.
    assert max(epoch(False)) < 0.05


def test_draws_are_those_of_the_compiled_code():
    from neuroai.dendrites.streams_learning import draw_keys

    salts, items = np.random.default_rng(0).integers(0, 2**32, (2, 100))
    expected = [draw_key(int(salt), int(item)) for salt, item in zip(salts, items, strict=True)]
    assert draw_keys(torch.from_numpy(salts), torch.from_numpy(items)).tolist() == expected


def test_bad_input():
    memory = SequenceMemory(**SETTINGS)
    streams = SequenceStreams(2, memory.settings)
    for columns in (
        torch.zeros(3, 2, dtype=torch.int64),
        torch.zeros(2, 2),
        torch.tensor([[1, 1], [2, 3]]),
        torch.tensor([[1, 128], [2, 3]]),
        torch.zeros(2, dtype=torch.int64),
    ):
        with pytest.raises(ConfigError):
            streams.step(columns)
    with pytest.raises(ConfigError, match="n_streams"):
        SequenceStreams(0, memory.settings)
    with pytest.raises(ConfigError, match="limits"):
        SequenceStreams(2**20, memory.settings)
    assert streams.step(torch.zeros(2, 0, dtype=torch.int64)).tolist() == [0.0, 0.0]
