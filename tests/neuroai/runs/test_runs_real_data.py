"""Commands with their defaults on the shipped recordings, against the published baselines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroai

#: Median r over neurons of kernel ridge on EfficientNet-Lite0 block 7 (README of the shipped recordings).
V4_TABLE = {
    "190923": 0.592,
    "190925": 0.725,
    "190929": 0.602,
    "210224": 0.521,
    "210225": 0.488,
    "210322": 0.449,
    "210325": 0.564,
}


@pytest.fixture
def encode(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Encode without p-values, into an empty folder."""
    monkeypatch.setenv("NEUROAI_DATA", str(data_root))
    return lambda name, **options: (
        neuroai.encode(name, out=tmp_path / "run", permutations=0, **options).summary
    )


def test_haxby_slice(encode: Callable[..., Any]) -> None:
    found = encode("haxby2001")
    assert found["n_targets"] == 530
    assert found["median_r"] >= 0.066
    assert found["p95_r"] >= 0.278


def test_haxby_slice_with_the_published_design(encode: Callable[..., Any]) -> None:
    """Without the time derivative: the numbers of the README."""
    found = encode("haxby2001", features="events-hrf")
    assert found["median_r"] == pytest.approx(0.066, abs=0.001)
    assert found["p95_r"] == pytest.approx(0.278, abs=0.002)


def test_event_related_series(encode: Callable[..., Any]) -> None:
    assert encode("fmri_timeseries")["median_r"] >= 0.437


def test_dendrite(encode: Callable[..., Any]) -> None:
    found = encode("rgc_dendrite")
    assert found["mean_r"] >= 0.315
    assert found["alphas_at_edge"] == 0


@pytest.mark.parametrize(
    "session",
    [s if s == "210325" else pytest.param(s, marks=pytest.mark.slow) for s in V4_TABLE],
)
def test_v4_session(session: str, encode: Callable[..., Any]) -> None:
    found = encode("v4_images", session=session, features="efficientnet-lite0:7", readout="ridge")
    assert found["median_r"] >= V4_TABLE[session]
    assert found["n_samples"] == (900 if session == "190925" else found["n_samples"])


def test_second_showings_stay_on_request(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroai.runs.encode import resolve_options

    monkeypatch.setenv("NEUROAI_DATA", str(data_root))
    chosen = [
        resolve_options("v4_images", session="190925", **flags)[0].selection.get("images")
        for flags in ({}, {"images": "all"})
    ]
    assert chosen == ["first900", "all"]
    assert "images" not in resolve_options("v4_images", session="210325")[0].selection


@pytest.mark.slow
@pytest.mark.parametrize("session", V4_TABLE)
def test_table_is_reproduced_by_its_own_protocol(
    session: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds of numpy's legacy generator, every k-th picture; z-scored features; leave-one-out; float64."""
    from neuroai.encoders import RidgeCV
    from neuroai.encoders.features import extract
    from neuroai.encoders.scores import pearson_r
    from neuroai_datasets.loading import load

    monkeypatch.setenv("NEUROAI_DATA", str(data_root))
    images = {"images": "first900"} if session == "190925" else {}
    recording = load("v4_images", session=session, **images)
    assert recording.stimulus is not None
    assert recording.responses is not None
    maps = np.asarray(extract(recording.stimulus, "efficientnet-lite0:7").flat, dtype=np.float64)
    x = maps[recording.responses["stimulus"].values]
    x = (x - x.mean(0)) / x.std(0) / np.sqrt(x.shape[1])
    y = np.asarray(recording.responses.values, dtype=np.float64)
    predicted, order = np.empty_like(y), np.random.RandomState(0).permutation(len(y))
    for fold in range(5):
        test = order[fold::5]
        train = np.setdiff1d(order, test)
        model = RidgeCV(np.logspace(-3, 2, 8), cv="loo").fit(x[train], y[train])
        predicted[test] = model.predict(x[test])
    assert np.median(pearson_r(y, predicted)) == pytest.approx(V4_TABLE[session], abs=0.003)


@pytest.mark.parametrize(("image", "published"), [("1slice", 0.641), ("25mm", 0.328)])
def test_decoding_by_the_published_protocol(
    image: str, published: float, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block means from onset + 5 s to end + 5 s."""
    monkeypatch.setenv("NEUROAI_DATA", str(data_root))
    found = neuroai.decode("haxby2001", tail=5, image=image, out=tmp_path / "run").summary
    assert found["accuracy"] == pytest.approx(published, abs=0.001)


def test_decoding_by_default(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plateau alone decodes better; the run holds the confusions and opens again."""
    monkeypatch.setenv("NEUROAI_DATA", str(data_root))
    run = neuroai.decode("haxby2001", out=tmp_path / "run")
    assert run.summary["accuracy"] >= 0.641
    assert run.summary["chance"] == 0.125
    assert run.summary["n_blocks"] == np.sum(run.summary["confusion"]) == 64
    assert (run.path / "figures" / "confusion.svg").is_file()
    assert "Confusions" in run.report.read_text(encoding="utf-8")
    assert neuroai.decode("haxby2001", out=tmp_path / "run").summary == run.summary
