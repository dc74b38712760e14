"""Spikes, bins, units, events, intervals: exactness and planted defects."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroai_datasets import DataError, SpikeTrains, UnitError, bin_spikes, to_seconds
from neuroai_datasets.checks import check_affines, check_events, check_labels, check_tr
from neuroai_datasets.intervals import Intervals


def session(seed: int = 0, seconds: float = 1800.0, n_units: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.5, 20, n_units)
    ticks = [np.unique(rng.integers(0, int(seconds * 30_000), int(seconds * rate))) for rate in rates]
    return [t / 30_000 for t in ticks]


@pytest.mark.parametrize("unit", ["ms", "us", "samples@30000"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("seconds", [120.0, 1800.0, 7200.0])
def test_times_in_another_unit_are_recognised(unit: str, seed: int, seconds: float) -> None:
    per_second = {"ms": 1e3, "us": 1e6, "samples@30000": 3e4}[unit]
    trains = session(seed, seconds)
    stored = [t * per_second for t in trains]
    if unit.startswith("samples"):
        stored = [np.rint(t) for t in stored]
    with pytest.raises(UnitError, match=f"unit='{unit}'"):
        SpikeTrains.from_units(stored)
    found = SpikeTrains.from_units(stored, unit=unit)
    for i, train in enumerate(trains):
        np.testing.assert_allclose(found.unit(i), train, rtol=1e-12)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("seconds", [5.0, 60.0, 7200.0])
def test_no_false_alarm_for_seconds(seed: int, seconds: float) -> None:
    assert SpikeTrains.from_units(session(seed, seconds)).n_units == 5


def test_units_of_time() -> None:
    assert to_seconds([1, 2], "min").tolist() == [60, 120]
    assert to_seconds(np.arange(1000), "ms").tolist() == [k / 1000 for k in range(1000)]
    with pytest.raises(UnitError, match="'fortnight' is not known"):
        to_seconds([1], "fortnight")


def plant(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    times = np.unique(rng.uniform(0, 600, int(rng.integers(30, 300))))
    at = int(rng.integers(2, len(times) - 2))
    if kind == "nan":
        times[at] = rng.choice([np.nan, np.inf])
        return times, f"first at index {at}"
    if kind == "negative":
        times[at] = -1.0
        return times, f"first -1.0 s at index {at}"
    if kind == "duplicate":
        times[at] = times[at - 1]
        return times, f"at index {at}"
    if kind == "unsorted":
        times[[at, at + 1]] = times[[at + 1, at]]
        return times, f"first at index {at + 1}"
    half = len(times) // 2
    return np.concatenate([times[:half], times[half:] - times[half]]), f"restart at index {half}"


@pytest.mark.parametrize("kind", ["nan", "negative", "duplicate", "unsorted", "reset"])
def test_1000_planted_defects_are_all_found(kind: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        times, where = plant(kind, rng)
        with pytest.raises(DataError, match=f"unit 1: .*{where}"):
            SpikeTrains.from_units([np.array([1.5]), times])


def test_repairs_are_explicit() -> None:
    rng = np.random.default_rng(1)
    times, _ = plant("unsorted", rng)
    assert SpikeTrains.from_units([times], repair="sort").unit(0).tolist() == sorted(times)
    times, _ = plant("reset", rng)
    with pytest.raises(DataError, match="restart"):
        SpikeTrains.from_units([times], repair="sort")
    times, _ = plant("duplicate", rng)
    assert SpikeTrains.from_units([times], resolution=1e-3).n_spikes == len(times)
    assert SpikeTrains.from_units([[-0.5, 0.5]], interval=(-1, 1)).n_spikes == 2
    with pytest.raises(DataError, match="outside the interval"):
        SpikeTrains.from_units([[0.5, 1.5]], interval=(0, 1))


def exact_counts(times: np.ndarray, width: Fraction, start: Fraction, n_bins: int) -> list[int]:
    """Bins of spikes given as whole nanoseconds, in exact arithmetic."""
    counts = [0] * n_bins
    for t in times:
        bin_ = (Fraction(round(float(t) * 1_000_000_000), 1_000_000_000) - start) // width
        if 0 <= bin_ < n_bins:
            counts[int(bin_)] += 1
    return counts


@settings(deadline=None, max_examples=80)
@given(
    width=st.sampled_from(
        [Fraction(1, 10_000), Fraction(1, 1000), Fraction(1, 40), Fraction(3, 10), Fraction(10)]
    ),
    start=st.integers(-50, 50),
    n_bins=st.integers(1, 200),
    seed=st.integers(0, 1000),
)
def test_binning_is_exact(width: Fraction, start: int, n_bins: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    origin = Fraction(start, 10)
    # Half of the spikes lie on edges, as multiples of a decimal width that floats cannot hold.
    on_edges = np.array([float(origin) + k * float(width) for k in rng.integers(-3, n_bins + 3, 100)])
    inside = float(origin) + rng.uniform(-1, n_bins + 1, 100) * float(width)
    times = np.sort(np.concatenate([on_edges, inside]))
    trains = SpikeTrains(times, np.array([200]), interval=(-1e4, 1e4))
    stop = float(origin + n_bins * width)
    found = trains.bin(float(width), float(origin), stop)
    assert found[:, 0].tolist() == exact_counts(times, width, origin, n_bins)
    # Conservation: what is inside is counted once.
    ticks = np.rint(times * 1e9)
    inside_ticks = (ticks >= round(float(origin) * 1e9)) & (ticks < round(stop * 1e9))
    assert found.sum() == inside_ticks.sum()


def test_ten_million_spikes_on_edges_none_misplaced() -> None:
    # floor(t / dt) misplaces 731 of the first 100,000.
    k = np.arange(10_000_000)
    counts = bin_spikes(k * 1e-3, np.arange(10_000_001) * 1e-3)
    assert counts.min() == counts.max() == 1
    k = np.arange(1_000_000)
    assert (bin_spikes(k / 30_000, np.arange(1_000_001) * (1 / 30_000)) == 1).all()


def test_bins_shift_with_the_spikes() -> None:
    times = np.sort(np.random.default_rng(0).integers(0, 10**9, 500)) / 1e6
    trains = SpikeTrains(times, np.array([500]))
    shifted = SpikeTrains(times + 7.25, np.array([500]))
    np.testing.assert_array_equal(trains.bin(0.1, 0, 1000), shifted.bin(0.1, 7.25, 1007.25))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.bin(0.0, 0, 1), "width"),
        (lambda s: s.bin(2.0, 0, 1), "no bin"),
        (lambda s: s.bin([1.0, 0.5]), "ascend"),
        (lambda s: s.bin([0.0, 1.0], 0, 1), "both"),
        (lambda s: s.bin(np.nan, 0, 1), "finite"),
    ],
)
def test_bad_bins(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call(SpikeTrains.from_units([[0.1]]))


def test_spike_trains_disagreeing_with_counts() -> None:
    with pytest.raises(DataError, match="add up to 3"):
        SpikeTrains(np.array([0.1, 0.2]), np.array([3]))
    with pytest.raises(DataError, match="float64"):
        SpikeTrains(np.array([0.1], dtype=np.float32), np.array([1]))


CLEAN_RUNS = [
    # (onset, duration, run duration, TR)
    (np.arange(8) * 36.0 + 15, np.full(8, 22.5), 302.5, 2.5),
    (np.array([0.0]), np.array([0.0]), 10.0, 2.0),
    (np.arange(0, 300, 4.0), np.full(75, 3.0), 301.6, 1.6),
    (np.arange(100) * 2.5, np.full(100, 2.5), 250.0, 2.5),
    (np.arange(0, 600, 0.9), np.full(667, 0.1), 601.0, 0.8),
    (np.array([1, 2, 3, 4, 5, 250.0]), np.ones(6), 302.0, 2.0),
    (np.array([12.3, 12.3, 40.0]), np.array([1.0, 1.0, 1.0]), 60.0, 1.5),
    (np.arange(30) * 10.0, np.full(30, 1.0), 300.0, 1.0),
    (np.array([5.0, 6.0, 7.0]), np.ones(3), 900.0, 2.0),
    (np.linspace(0, 1490, 200), np.full(200, 1.49), 1500.0, 1.49),
]


@pytest.mark.parametrize("case", range(len(CLEAN_RUNS)))
def test_clean_events_raise_no_alarm(case: int) -> None:
    onset, duration, run, tr = CLEAN_RUNS[case]
    assert check_events(onset, duration, run, "clean.tsv", tr=tr).n_events == len(onset)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"onset": [-2.0, 5.0]}, DataError, r"negative, first -2 s in row 0"),
        ({"onset": [5.0, 400.0]}, DataError, "1 of 2 events start after the run's end"),
        ({"onset": [15000.0, 250000.0]}, UnitError, "probably milliseconds"),
        ({"onset": [np.nan, 5.0]}, DataError, "missing or infinite, first in row 0"),
        ({"onset": [5.0, np.inf]}, DataError, "first in row 1"),
        ({"duration": [-1.0, 1.0]}, DataError, "duration are negative"),
        ({"duration": [1.0, 22500.0]}, DataError, "end after the run's end"),
        ({"onset": [300.0, 5.0], "duration": [10.0, 1.0]}, DataError, "end after the run's end"),
        ({"onset": [], "duration": []}, DataError, "no events"),
        ({"onset": [1.0]}, DataError, "one length"),
        ({"run_duration": 0.0}, DataError, "expected more than 0"),
        ({"run_duration": np.nan}, DataError, "expected more than 0"),
        ({"onset": np.arange(8) * 0.03, "duration": np.zeros(8)}, UnitError, "kiloseconds"),
        ({"onset": np.arange(0, 120, 1.0), "duration": np.ones(120), "tr": 2.5}, UnitError, "volume numbers"),
        ({"trial_type": ["a"]}, DataError, "trial_type"),
    ],
)
def test_misaligned_events_are_flagged(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    options: dict[str, Any] = {
        "onset": [0.0, 30.0],
        "duration": [1.0, 1.0],
        "run_duration": 302.5,
        "where": "events.tsv",
    }
    with pytest.raises(error, match=message) as caught:
        check_events(**(options | changes))
    assert "events.tsv" in str(caught.value)


def test_duplicated_events_are_counted_and_kept() -> None:
    report = check_events([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], 10.0, "e", trial_type=["a", "a", "b"])
    assert (report.n_events, report.duplicates) == (3, 1)


@pytest.mark.parametrize(
    ("tr", "sidecar", "error", "message"),
    [
        (2500.0, None, UnitError, "tr=2.5"),
        (0.0025, None, UnitError, "less than 0.05"),
        (0.0, None, UnitError, "above 0"),
        (np.nan, None, UnitError, "above 0"),
        (2.0, 2.5, DataError, "2 s in the header but 2.5 s in the sidecar"),
        (2.0, 2000.0, UnitError, "sidecar's TR is 2000"),
    ],
)
def test_repetition_times(tr: float, sidecar: float | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_tr(tr, "bold.nii.gz", sidecar=sidecar)


def test_sidecar_is_preferred_to_the_rounded_header() -> None:
    assert check_tr(float(np.float32(1.35)), "b", sidecar=1.35) == 1.35


@pytest.mark.parametrize("flip", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2), "swap"])
def test_flipped_volumes_are_refused(flip: Any) -> None:
    affine = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    other = affine.copy()
    if flip == "swap":
        other[:, [0, 1]] = other[:, [1, 0]]
    else:
        for axis in flip:
            other[axis, axis] *= -1
    check_affines(affine, affine + 1e-4, "mask and bold")
    with pytest.raises(DataError, match=r"orientations RAS and (?!RAS)"):
        check_affines(affine, other, "mask and bold")


def test_atlas_labels_do_not_alias() -> None:
    assert check_labels(np.array([150, 256, 40000], dtype=np.uint16), "atlas").tolist() == [150, 256, 40000]
    with pytest.raises(DataError, match=r"1 labels are not whole numbers, first 1\.5"):
        check_labels([1.0, 1.5], "atlas")


def test_intervals() -> None:
    runs = Intervals(np.array([0.0, 5.0]), np.array([5.0, 8.0]))
    assert runs.index([-1, 0, 4.9, 5.0, 8.0]).tolist() == [-1, 0, 0, 1, -1]
    assert runs.duration().tolist() == [5, 3]
    with pytest.raises(DataError, match="interval 0 is empty"):
        Intervals(np.array([1.0]), np.array([1.0]))
    with pytest.raises(DataError, match="starts before"):
        Intervals(np.array([0.0, 4.0]), np.array([5.0, 8.0]))
