"""Tokens: the published worked example, round trips, alignment of behaviour and video, damaged input."""

from dataclasses import replace

import numpy as np
import pytest

from neuroai.datasets import ArrayStimulus, Recording, simulate_spikes
from neuroai.errors import ConfigError, DataError, UnitError
from neuroai.neuroformer import Modality, NeuroformerConfig, Video, windows_of
from neuroai.neuroformer.ahead import last_before
from neuroai.neuroformer.alignment import Clock


def config(n_units=4, **options):
    return NeuroformerConfig(sessions={"a": n_units}, **options)


def example(block=8):
    """Neuron 1 at bin 16; 2 at 20; 0 twice and 1 once at 22; 3 at 24 (specification, worked example)."""
    counts = np.zeros((25, 4), dtype=int)
    counts[16, 1] = counts[20, 2] = counts[22, 1] = counts[24, 3] = 1
    counts[22, 0] = 2
    recording = Recording.from_arrays(counts, name="example", period=0.01)
    published = replace(NeuroformerConfig.compatibility(4), max_spikes=block - 2, max_past_spikes=block - 2)
    return recording, published


def test_worked_example():
    recording, published = example()
    batch = windows_of(recording, published)[[4]]
    assert batch.past.unit.tolist() == [4, 1, 5, 6, 6, 6, 6, 6]
    assert batch.past.bin.tolist() == [0, 1, 7, 8, 8, 8, 8, 8]
    assert batch.current.unit.tolist() == [4, 2, 0, 0, 1, 3, 5, 6]
    assert batch.current.bin.tolist() == [0, 0, 2, 2, 2, 4, 7, 8]
    assert batch.next_unit.tolist() == [2, 0, 0, 1, 3, 5, 6, 6]
    assert batch.next_bin.tolist() == [0, 2, 2, 2, 4, 7, 8, 8]


def test_packed_form_holds_no_padding():
    recording, _ = example()
    batch = windows_of(recording, config(past=0.05))[[3, 4]]
    assert batch.current.unit.tolist() == [4, 1, 4, 2, 0, 0, 1, 3]
    assert batch.next_unit.tolist() == [1, 5, 2, 0, 0, 1, 3, 5]
    assert batch.past.unit.tolist() == [4, 4, 1]
    assert batch.current.layout.lengths().tolist() == [2, 6]
    assert batch.n_spikes == 6


def test_truncation_keeps_the_last_spikes_and_is_counted():
    recording, published = example(block=5)
    windows = windows_of(recording, published)
    assert windows[[4]].current.unit.tolist() == [4, 0, 1, 3, 5]
    assert windows.report.truncated == 2
    assert windows.report.n_spikes == 6


@pytest.mark.parametrize("bin_width", [0.01, 0.025])
def test_round_trip_to_the_raster(bin_width):
    """Tokens of all windows, put back on the grid, are the counts of the data layer."""
    recording = simulate_spikes(7, 12.0, peak_rate=80, seed=3)
    windows = windows_of(recording, config(7, bin_width=bin_width, window=0.05, past=0.1))
    batch = windows[np.arange(len(windows))]
    spike = (batch.current.unit < 7).numpy()
    raster = np.zeros((len(windows), windows.config.window_bins, 7), dtype=int)
    where = batch.current.layout.window.numpy()[spike]
    np.add.at(raster, (where, batch.current.bin.numpy()[spike], batch.current.unit.numpy()[spike]), 1)
    start = float(windows.start[0])
    stop = float(windows.stop[-1])
    expected = recording.spikes.bin(bin_width, start, stop)
    assert (raster.reshape(-1, 7) == expected).all()
    assert (windows.counts().reshape(-1, 7) == expected).all()
    assert windows.report.n_spikes + windows.report.outside == recording.spikes.n_spikes


def test_tokens_are_ordered_by_bin_then_unit():
    windows = windows_of(simulate_spikes(9, 10.0, peak_rate=100), config(9, window=0.1, past=0.0))
    batch = windows[np.arange(len(windows))]
    same = batch.current.layout.window.diff() == 0
    inside = same & (batch.current.unit[:-1] < 9)
    key = batch.current.bin * 9 + batch.current.unit
    assert (key.diff()[inside] >= 0).all()


def test_past_stops_at_the_start_of_a_run():
    counts = np.ones((20, 1), dtype=int)
    recording = Recording.from_arrays(counts, name="runs", period=0.01, runs=np.repeat([0, 1], 10))
    windows = windows_of(recording, config(1, past=0.05))
    lengths = windows[np.arange(len(windows))].past.layout.lengths().tolist()
    assert lengths == [1, 6, 1, 6]
    assert windows[[3]].past.bin.tolist() == [0, 0, 1, 2, 3, 4]


def test_series_of_counts_equals_its_spikes():
    recording = simulate_spikes(5, 10.0, seed=1)
    start = np.floor(recording.spikes.span()[0] / 0.01) * 0.01
    counts = recording.spikes.bin(0.01, start, start + 9.5)
    series = Recording.from_arrays(counts, name="counts", period=0.01)
    a, b = windows_of(recording, config(5)), windows_of(series, config(5))
    index = np.arange(100)
    assert a[index].current.unit.tolist() == b[index].current.unit.tolist()
    assert a[index].past.bin.tolist() == b[index].past.bin.tolist()


def test_coarser_bins_add_up_finer_ones():
    recording, _ = example()
    windows = windows_of(recording, config(bin_width=0.05, window=0.05, past=0.05))
    assert windows[[4]].current.unit.tolist() == [4, 0, 0, 1, 2, 3]


def test_activity_becomes_events_with_amplitudes():
    activity = np.zeros((10, 2), dtype=np.float32)
    activity[6, 1], activity[7, 0] = 0.5, 2.5
    recording = Recording.from_arrays(activity, name="calcium", period=0.05)
    options = {"bin_width": 0.05, "window": 0.25, "past": 0.25}
    batch = windows_of(recording, config(2, amplitudes=True, **options))[[1]]
    assert batch.current.unit.tolist() == [2, 1, 0]
    assert batch.current.amplitude.tolist() == [0.0, 0.5, 2.5]
    assert batch.next_amplitude.tolist()[:2] == [0.5, 2.5]
    with pytest.raises(DataError, match=r"1 responses are not counts.*0\.5.*amplitudes=True"):
        windows_of(recording.select(samples=slice(0, 7)), config(2, **options))


def test_inputs_never_come_from_behind_the_start_of_the_window():
    """Causal alignment: the newest sample at or before the start; ``window``: before the end."""
    time = np.arange(0, 2, 0.02)
    recording = Recording.from_spikes(
        [[0.1, 1.9]], name="b", behaviour={"clock": (time, time)}, interval=(0.0, 2.0)
    )
    for alignment, offset in (("causal", 0.0), ("window", 0.05)):
        modality = Modality("clock", samples=3, period=0.05, alignment=alignment)
        windows = windows_of(recording, config(1, modalities=(modality,)))
        read = windows[np.arange(len(windows))].inputs["clock"][:, :, 0].numpy()
        limit = windows.start[:, None] + offset - np.array([0.1, 0.05, 0.0])
        assert (read <= limit + 1e-6).all()
        assert (read > limit - 0.02 - 1e-6).all()
        assert windows.report.missing["clock"] == {"causal": 2, "window": 1}[alignment]


def test_frames_of_another_rate_are_held_and_said():
    frames = ArrayStimulus(np.arange(60, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 6), dtype=np.uint8))
    video = Modality(
        "video", kind="video", samples=2, period=0.05, frame=(4, 6), patch=(1, 2, 2), stride=(1, 2, 2)
    )
    recording = Recording.from_spikes([[0.1, 1.9]], name="v", interval=(0.0, 2.0))
    windows = windows_of(
        recording, config(1, modalities=(video,)), video={"video": Video(frames, np.arange(60) / 30)}
    )
    shown = windows[np.arange(len(windows))].inputs["video"][:, :, 0, 0].numpy() * 255
    expected = np.floor((windows.start[:, None] - [0.05, 0.0]) * 30 + 1e-6)
    assert np.allclose(shown, expected)
    assert any("every 0.03333 s, read every 0.05 s" in note for note in windows.report.notes)


def test_video_comes_from_events_of_the_recording():
    frames = ArrayStimulus(
        np.arange(3, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), dtype=np.float32)
    )
    events = {"onset": np.array([0.0, 0.5, 1.0]), "stimulus": np.array([2, 0, 1])}
    recording = Recording.from_spikes(
        [[0.1, 1.4]], name="v", interval=(0, 1.4), events=events, stimulus=frames
    )
    video = Modality("film", kind="video", period=0.5, frame=(2, 2))
    batch = windows_of(recording, config(1, modalities=(video,)))[[0, 15]]
    assert batch.inputs["film"][:, 0, 0, 0].tolist() == [2.0, 0.0]
    plain = Recording.from_spikes([[0.1, 1.4]], name="v", interval=(0, 1.4))
    with pytest.raises(DataError, match="no video with times"):
        windows_of(plain, config(1, modalities=(video,)))


def test_behaviour_shorter_than_the_spikes_is_counted():
    time = np.arange(0, 1, 0.05)
    recording = Recording.from_spikes(
        [[0.1, 3.9]], name="short", behaviour={"speed": (time, time)}, interval=(0.0, 4.0)
    )
    as_input = windows_of(recording, config(1, modalities=(Modality("speed"),)))
    assert as_input.report.missing["speed"] == 80 - len(as_input) > 50
    as_target = windows_of(recording, config(1, modalities=(Modality("speed", role="target"),)))
    assert len(as_target) == 80
    missing = np.isnan(as_target[np.arange(80)].targets["speed"].numpy()).sum()
    assert as_target.report.missing["speed (target)"] == missing > 50


def test_silent_units_keep_their_place():
    recording = Recording.from_spikes([[0.1, 0.2], [], [0.3]], name="silent", interval=(0.0, 1.0))
    windows = windows_of(recording, config(3))
    assert windows.report.silent_units == 1
    assert windows.events.n_units == 3


DAMAGE = {
    "unsorted": ([[0.3, 0.1, 0.5]], DataError, "descend"),
    "negative": ([[-0.1, 0.1]], DataError, "negative"),
    "duplicated": ([[0.1, 0.1]], DataError, "duplicated"),
    "milliseconds": ([np.arange(0, 90_000, 137.3)], UnitError, "unit='ms'"),
    "not finite": ([[0.1, np.nan]], DataError, "NaN"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_spike_times_never_become_tokens(kind):
    times, error, text = DAMAGE[kind]
    with pytest.raises(error, match=text):
        windows_of(Recording.from_spikes(times, name="damaged"), config(1))


def test_what_cannot_be_cut_is_refused():
    recording = simulate_spikes(3, 5.0)
    with pytest.raises(DataError, match=r"3 units, session 'a' of the model has 4"):
        windows_of(recording, config(4))
    with pytest.raises(DataError, match="no behaviour 'speed'; there is: position"):
        windows_of(recording, config(3, modalities=(Modality("speed"),)))
    with pytest.raises(DataError, match="no run is as long"):
        windows_of(recording, config(3, window=60.0))
    with pytest.raises(DataError, match=r"the model knows a, b: name one"):
        windows_of(recording, NeuroformerConfig(sessions={"a": 3, "b": 2}))
    with pytest.raises(DataError, match="not trials"):
        windows_of(Recording.from_arrays(np.ones((3, 3)), name="trials"), config(3))
    with pytest.raises(DataError, match=r"not whole multiples of its period of 0\.02"):
        windows_of(Recording.from_arrays(np.ones((30, 3)), name="slow", period=0.02), config(3))
    late = Recording.from_spikes([[0.1, 1.0]], name="l", behaviour={"x": ([50.0, 51.0], [1, 2])})
    with pytest.raises(DataError, match="has no value in any window"):
        windows_of(late, config(1, modalities=(Modality("x"),)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"window": 0.055}, "not a whole number of bins"),
        ({"window": float("nan")}, "window = nan s is not a whole number of bins"),
        ({"bin_width": 1e-12}, "expected 1e-06 s or more"),
        ({"bin_width": float("nan")}, "bin_width = nan s"),
        ({"past_layers": -1}, "found {'past_layers': -1}: expected 0 or more layers"),
        ({"heads": 3}, "heads that divide"),
        ({"padded": True}, "need max_spikes"),
        ({"contrastive": ("video",)}, "the model reads none"),
        ({"modalities": (Modality("x"), Modality("x"))}, "twice"),
    ],
)
def test_configurations_that_cannot_be(options, text):
    with pytest.raises(ConfigError, match=text):
        config(**options)


def test_configuration_survives_json():
    import json

    published = NeuroformerConfig.compatibility(20, video=True, behaviour=("speed",))
    assert NeuroformerConfig.from_dict(json.loads(json.dumps(published.to_dict()))) == published
    with pytest.raises(ConfigError, match="unknown options"):
        NeuroformerConfig.from_dict({"depth": 3})


def test_newest_sample_of_each_run():
    clock = Clock(np.array([0.0, 0.1, 0.0, 0.1]), np.array([0, 0, 1, 1]))
    found = clock.last(np.array([0, 1, 1, 2]), np.array([0.05, 0.05, -0.01, 0.05]))
    assert found.tolist() == [0, 2, -1, -1]


def test_last_token_before_each_bin():
    recording, _ = example()
    batch = windows_of(recording, config(past=0.05))[[3, 4]]
    # Window 3: SOS, then unit 1 in bin 1. Window 4 begins at token 2: bins 0, 2, 2, 2, 4.
    assert last_before(batch, 5).tolist() == [0, 0, 1, 1, 1, 2, 3, 3, 6, 6]
