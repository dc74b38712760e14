"""Recording: constructors, selection, defects, words."""

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroai_datasets import ArrayStimulus, DataError, Recording, UnitError, to_float

RNG = np.random.default_rng(0)


def volume(n_targets: int) -> np.ndarray:
    mask = np.zeros((3, 4, 5), dtype=bool)
    mask.reshape(-1)[RNG.choice(60, n_targets, replace=False)] = True
    return mask


def make(**changes: Any) -> Recording:
    options: dict[str, Any] = {
        "responses": RNG.normal(size=(8, 6)).astype(np.float32),
        "name": "toy",
        "period": 2.0,
        "runs": [1] * 4 + [2] * 4,
        "target_coords": {"roi": list("aabbcc"), "x": np.arange(6.0)},
        "rois": {"A": [1, 1, 0, 0, 0, 0], "all": np.ones(6, bool), "none": np.zeros(6, bool)},
        "repeats": RNG.normal(size=(3, 8, 6)),
        "events": {"onset": [0.0, 3.0], "duration": [1.0, 1.0], "trial_type": ["u", "v"], "run": [1, 2]},
        "behaviour": {"position": ([0.0, 1.0], [[1, 2], [3, 4]])},
        "mask": volume(6),
        "affine": np.diag([2.0, 2, 2, 1]),
    }
    return Recording.from_arrays(**(options | changes))


def test_series() -> None:
    r = make()
    assert r.responses is not None
    assert (r.sampling, r.period, r.n_samples, r.n_targets) == ("series", 2.0, 8, 6)
    assert r.responses.dims == ("sample", "target")
    assert r.responses.dtype == np.float32
    # Times count from the start of each run.
    assert r.responses["time"].values.tolist() == [0, 2, 4, 6] * 2
    assert r.runs is not None
    assert r.runs["label"].values.tolist() == [1, 2]
    assert r.runs["stop"].values.tolist() == [8, 8]
    assert r.rois is not None
    assert r.rois.sum("target").values.tolist() == [2, 6, 0]
    assert r.events is not None
    assert r.events["trial_type"].values.tolist() == ["u", "v"]
    assert list(r.behaviour) == ["position"]
    assert r.spikes is None


def test_events_that_end_before_they_start_are_refused() -> None:
    events = {"onset": [0.0, 2.0], "duration": [1.0, -1.0]}
    with pytest.raises(DataError, match="1 events last less than 0 s, first event 1"):
        Recording.from_arrays(np.eye(4), name="t", period=1.0, events=events)


@pytest.mark.parametrize("interval", [(0.0, np.nan), (0.0, np.inf), (3.0, 0.0)])
def test_intervals_are_finite_and_in_order(interval: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="finite seconds, in this order"):
        Recording.from_spikes([[]], name="s", interval=interval)


def test_trials_take_pictures_in_order_when_lengths_agree() -> None:
    pictures = ArrayStimulus(np.zeros((4, 2, 2), np.uint8))
    r = Recording.from_arrays(np.eye(4), name="t", stimulus=pictures)
    assert r.sampling == "trial"
    assert r.period is None
    assert r.responses is not None
    assert r.responses["stimulus"].values.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="5 trials but 4 stimuli"):
        Recording.from_arrays(np.eye(5), name="t", stimulus=pictures)
    with pytest.raises(DataError, match=r"-1 \(none\) or 0 to 3"):
        Recording.from_arrays(np.eye(2), name="t", stimulus=pictures, stimulus_index=[0, 4])


def test_selection_follows_everywhere() -> None:
    r = make()
    s = r.select(samples=[5, 0], targets=[4, 1])
    assert r.responses is not None
    assert s.responses is not None
    assert s.rois is not None
    assert s.repeats is not None
    assert r.repeats is not None
    np.testing.assert_array_equal(s.responses.values, r.responses.values[[5, 0]][:, [4, 1]])
    np.testing.assert_array_equal(s.repeats.values, r.repeats.values[:, [5, 0]][:, :, [4, 1]])
    assert s.responses["roi"].values.tolist() == ["c", "a"]
    assert s.rois.sel(roi="A").values.tolist() == [False, True]
    # Values of the selected targets land in the same voxels as before.
    whole = r.to_nifti(np.arange(1, 7)).get_fdata()
    part = s.to_nifti([5, 2]).get_fdata()
    np.testing.assert_array_equal(part, np.where(np.isin(whole, [5, 2]), whole, 0))
    assert s.mask is not None
    assert s.mask.sum() == 2
    np.testing.assert_array_equal(
        r.select(targets=np.arange(6) > 2).responses.values,  # type: ignore[union-attr]
        r.select(targets=slice(3, None)).responses.values,  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("selection", "message"),
    [({"samples": [8]}, "there are 8"), ({"targets": [True]}, "expected 6"), ({"samples": [0.5]}, "float64")],
)
def test_selection_out_of_range(selection: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make().select(**selection)


@settings(deadline=None, max_examples=30)
@given(
    bad=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=6, unique=True),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_nan_is_named_or_masked(bad: list[tuple[int, int]], value: float) -> None:
    y = np.random.default_rng(1).normal(size=(8, 6))
    for where in bad:
        y[where] = value
    targets = sorted({t for _, t in bad})
    first_sample = min(s for s, _ in bad)
    with pytest.raises(
        DataError, match=rf"{len(bad)} NaN or Inf in {len(targets)} of 6 targets; first"
    ) as caught:
        make(responses=y)
    assert f"first target {targets[0]}" in str(caught.value).replace("\n", " ")
    assert f"first sample {first_sample}" in str(caught.value)
    if len(targets) == 6:
        with pytest.raises(DataError, match="nothing would be left"):
            make(responses=y, nan_policy="mask")
        return
    r = make(responses=y, nan_policy="mask")
    assert r.responses is not None
    np.testing.assert_array_equal(r.responses.values, np.delete(y, targets, axis=1))
    assert len(r.attrs["repairs"]) == 1
    assert f"dropped {len(targets)} of 6" in r.attrs["repairs"][0]
    assert r.mask is not None
    assert r.mask.sum() == 6 - len(targets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_constant_targets_are_counted(dtype: Any) -> None:
    # 1000.1 in float32 has a standard deviation that is not 0: constancy is max == min.
    y = (RNG.normal(size=(1001, 5)) * 100).astype(dtype)
    y[:, [1, 4]] = dtype(1000.1)
    r = Recording.from_arrays(y, name="c", period=1.0)
    assert r.responses is not None
    assert r.responses.attrs["n_constant"] == 2
    assert "2 targets constant" in repr(r)


DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float16, np.float32, np.float64]


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(DTYPES),
    scale=st.floats(1e-4, 1e3),
    offset=st.floats(-100, 100),
    seed=st.integers(0, 1000),
)
def test_scaling_matches_float64(dtype: Any, scale: float, offset: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        stored = rng.integers(info.min, info.max, size=200, dtype=dtype, endpoint=True)
    else:
        stored = rng.normal(size=200).astype(dtype)
    exact = stored.astype(np.float64) * scale + offset
    found = to_float(stored, scale, offset)
    assert found.dtype in (np.float32, np.float64)
    error = np.abs(found - exact) / np.maximum(np.abs(exact), 1e-30)
    assert error.max() <= 1e-6


def test_16_bit_integers_need_a_scale() -> None:
    betas = np.array([[300, -600]], dtype=np.int16)
    with pytest.raises(DataError, match="betas is stored as int16 without a scale"):
        to_float(betas, what="betas")
    np.testing.assert_allclose(to_float(betas, scale=1 / 300), [[1, -2]], rtol=1e-7)
    assert to_float(betas, scale=1).dtype == np.float32
    for scale in (0, np.nan, np.inf):
        with pytest.raises(DataError, match="cannot be applied"):
            to_float(betas, scale=scale)


def test_large_integers_stay_exact() -> None:
    assert to_float(np.array([2**24 + 1])).tolist() == [2**24 + 1]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"responses": np.zeros(5)}, DataError, r"shape \(5,\)"),
        ({"responses": np.zeros((0, 5))}, DataError, "nothing to fit"),
        ({"responses": np.array([["a"]])}, DataError, "real numbers"),
        ({"responses": np.zeros((8, 6), complex)}, DataError, "real numbers"),
        ({"period": 0}, UnitError, "above 0"),
        ({"period": np.nan}, UnitError, "above 0"),
        ({"runs": [1, 2]}, DataError, r"expected \(8,\)"),
        ({"times": [0, 1, 1, 2, 0, 1, 2, 3]}, DataError, "first at sample 2"),
        ({"rois": {"A": [1, 0]}}, DataError, r"rois\['A'\]"),
        ({"rois": {"A": [1, 0, 2, 0, 0, 0]}}, DataError, "booleans"),
        ({"repeats": np.zeros((2, 6, 8))}, DataError, r"\(n_repeats, 8, 6\)"),
        ({"repeats": np.full((2, 8, 6), np.inf)}, DataError, "96 Inf"),
        ({"mask": np.ones((2, 2, 2))}, DataError, "8 voxels but there are 6 targets"),
        ({"affine": np.zeros((4, 4))}, DataError, "invertible"),
        ({"affine": np.full((4, 4), np.nan)}, DataError, "invertible"),
        ({"events": {"duration": [1]}}, DataError, "'onset'"),
        ({"events": {"onset": [np.nan]}}, DataError, "first at event 0"),
        ({"target_coords": {"run": np.zeros(6)}}, DataError, "may not be called"),
        ({"behaviour": {"v": ([1, 0], [1, 2])}}, DataError, "ascend"),
        ({"nan_policy": "zero"}, DataError, "'raise' or 'mask'"),
        ({"name": ""}, DataError, "needs a name"),
    ],
)
def test_defects_are_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)


def test_spike_recording() -> None:
    r = Recording.from_spikes(
        [[0.1, 0.5], [], [0.2, 0.3, 0.4]], name="s", unit_coords={"depth": [1.0, 2, 3]}, interval=(0, 1)
    )
    assert r.spikes is not None
    assert r.sampling == "series"
    assert r.n_targets == 3
    assert r.spikes.span() == (0.0, 1.0)
    s = r.select(targets=[2, 0])
    assert s.spikes is not None
    assert [u.tolist() for u in s.spikes] == [[0.2, 0.3, 0.4], [0.1, 0.5]]
    assert s.units is not None
    assert s.units["depth"].values.tolist() == [3, 1]
    with pytest.raises(DataError, match="no axis 'sample'"):
        r.select(samples=[0])
    sorted_ = Recording.from_spikes([[0.5, 0.1]], name="s", repair="sort")
    assert "sort" in sorted_.attrs["repairs"][0]


def test_lazy_responses_are_read_in_blocks_only() -> None:
    class Source:
        """Counts what is read of it."""

        shape = (4000, 300)
        dtype = np.dtype(np.int16)

        def __init__(self) -> None:
            self.values = np.random.default_rng(2).integers(-300, 300, self.shape).astype(np.int16)
            self.read: list[tuple[int, int]] = []

        def __getitem__(self, key: Any) -> np.ndarray:
            assert all(isinstance(k, slice) for k in key), "lazy sources are read in contiguous slices"
            self.read.append(key[0].indices(4000)[:2])
            return self.values[key]

    source = Source()
    r = Recording.from_arrays(source, name="lazy", period=1.0)
    assert r.responses is not None
    assert not r.responses.variable._in_memory
    assert r.responses.dtype == np.float32
    source.read.clear()
    rows = [3900, 10, 11, 3901]
    found = r.select(samples=rows, targets=[7, 5]).responses
    assert source.read == []
    assert found is not None
    np.testing.assert_array_equal(found.values, source.values[rows][:, [7, 5]])
    assert sorted(source.read) == [(10, 12), (3900, 3902)]


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


def test_words_are_escaped_in_notebooks() -> None:
    evil = "<script>alert(1)</script>"
    r = Recording.from_arrays(np.eye(2), name=evil, rois={evil: [1, 0]}, attrs={"subject": '"><img src=x>'})
    parser = Tags()
    parser.feed(r._repr_html_())
    assert parser.tags == {"table", "caption", "tbody", "tr", "th", "td"}
    assert "2 samples x 2 targets" in repr(r)


def test_nifti_needs_a_volume() -> None:
    with pytest.raises(DataError, match="no mask"):
        Recording.from_arrays(np.eye(3), name="n").to_nifti([1, 2, 3])
    image = make().to_nifti(np.ones((5, 6)))
    assert image.shape == (3, 4, 5, 5)
    assert image.header.get_zooms()[3] == 2.0
