"""What is planted in the simulated cortex can be recomputed from what is stored, and is what it claims."""

import numpy as np
import pytest
import torch

from neuroai_datasets.errors import DataError
from neuroai_datasets.recording import Recording
from neuroai_datasets.simulators import photograph_crops, planted_features, simulate_visual_cortex
from neuroai_datasets.stimulus import ArrayStimulus


def test_signal_is_the_stated_equation() -> None:
    recording = simulate_visual_cortex(80, 25, routing="content", gain=2.0, seed=3)
    truth = recording.tree["truth"]
    features, queries = truth["features"].values.astype(float), truth["queries"].values
    tokens = features.reshape(80, 12, 64)
    signal = np.zeros((80, 25))
    for v in range(25):
        for r in np.flatnonzero(truth["regions"].values[:, v]):
            match = np.exp(2.0 * np.einsum("c,nci->ni", queries[r], tokens))
            attended = np.einsum("ni,nci->nc", match / match.sum(1, keepdims=True), tokens)
            signal[:, v] += attended @ truth["readout"].values[v]
    signal -= signal.mean(axis=0)
    np.testing.assert_allclose(signal, truth["signal"].values, atol=1e-6)
    np.testing.assert_allclose(signal.std(axis=0), 1)


def test_static_signal_is_linear_in_the_stored_fields() -> None:
    truth = simulate_visual_cortex(80, 25, routing="static", seed=3).tree["truth"]
    weights = np.einsum("vc,vij->vcij", truth["readout"].values, truth["fields"].values)
    signal = np.einsum("ncij,vcij->nv", truth["features"].values.astype(float), weights)
    np.testing.assert_allclose(signal - signal.mean(axis=0), truth["signal"].values, atol=1e-6)
    np.testing.assert_allclose(truth["fields"].values.sum(axis=(1, 2)), 1)


def test_shared_fields_are_one_a_region() -> None:
    truth = simulate_visual_cortex(60, 40, routing="static", fields="region").tree["truth"]
    single = truth["regions"].values.sum(axis=0) == 1
    maps = truth["fields"].values[single].reshape(single.sum(), -1)
    assert len(np.unique(maps.round(12), axis=0)) == 5


def test_what_is_read_does_not_tell_where() -> None:
    truth = simulate_visual_cortex(60, 40, routing="content").tree["truth"]
    alignment = np.abs(truth["queries"].values @ truth["readout"].values.T)
    assert alignment[truth["regions"].values].max() < 1e-10


def test_regions_overlap_one_is_empty_and_some_targets_are_in_none() -> None:
    recording = simulate_visual_cortex(60, 100)
    members = recording.rois.values
    names = list(recording.rois["roi"].values)
    assert members[names.index("mTL-words")].sum() == 0
    assert (members[names.index("FFA")] & members[names.index("PPA")]).sum() >= 3
    assert (~members.any(axis=0)).sum() >= 10
    assert set(recording.responses["hemisphere"].values) == {"L", "R"}
    assert {"early", "ventral"} <= set(recording.responses["stream"].values)


def test_responses_are_the_mean_of_repeats_and_features_follow_from_the_pictures() -> None:
    recording = simulate_visual_cortex(60, 20, n_repeats=4, seed=9)
    np.testing.assert_allclose(recording.responses.values, recording.repeats.values.mean(axis=0), atol=1e-5)
    pictures = recording.stimulus[:]
    np.testing.assert_allclose(
        planted_features(pictures, 12, 8), recording.tree["truth"]["features"].values, atol=1e-5
    )


def test_same_seed_same_numbers_other_seed_others() -> None:
    one, two, other = (simulate_visual_cortex(50, 20, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(one.responses.values, two.responses.values)
    assert not np.array_equal(one.responses.values, other.responses.values)


def test_own_pictures() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, size=(50, 100, 100, 3)).astype(np.uint8)
    recording = simulate_visual_cortex(50, 20, stimulus=ArrayStimulus(pictures))
    assert len(recording.stimulus) == 50
    with pytest.raises(DataError, match="50 pictures"):
        simulate_visual_cortex(60, 20, stimulus=ArrayStimulus(pictures))
    with pytest.raises(DataError, match="square"):
        simulate_visual_cortex(50, 20, stimulus=ArrayStimulus(pictures[:, :, :90]))


def test_saved_and_opened_with_its_truth(tmp_path) -> None:
    recording = simulate_visual_cortex(50, 20)
    recording.save(tmp_path / "r.h5")
    back = Recording.open(tmp_path / "r.h5")
    for name in ("features", "attention", "readout", "signal", "ceiling"):
        assert np.array_equal(back.tree["truth"][name].values, recording.tree["truth"][name].values)
    part = recording.select(samples=np.arange(10), targets=np.arange(5))
    assert part.tree["truth"]["signal"].shape == (10, 5)
    assert part.tree["truth"]["features"].shape[0] == 50


def test_features_are_white_and_pictures_vary() -> None:
    pictures = photograph_crops(200, seed=1)
    assert len({picture.tobytes() for picture in pictures}) == 200
    flat = planted_features(pictures).transpose(0, 2, 3, 1).reshape(-1, 16).astype(float)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(flat.T, ddof=0), np.eye(16), atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"n_images": 10},
        {"n_targets": 3},
        {"n_repeats": 0},
        {"routing": "dynamic"},
        {"fields": "voxel"},
        {"noise": -1.0},
        {"noise": np.nan},
        {"n_channels": 0},
        {"grid": 0},
    ],
)
def test_arguments_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(DataError):
        simulate_visual_cortex(**({"n_images": 50, "n_targets": 20} | change))


def test_flat_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="varied"):
        planted_features(np.full((10, 64, 64, 3), 7, np.uint8))
    with pytest.raises(DataError, match="cells"):
        planted_features(np.zeros((10, 60, 60, 3)), grid=8)


def squared_over_ceiling(prediction: np.ndarray, y: np.ndarray, ceiling: np.ndarray) -> float:
    r = np.array([np.corrcoef(p, q)[0, 1] for p, q in zip(prediction.T, y.T, strict=True)])
    return float((np.clip(r, 0, None) ** 2 / ceiling).mean())


def fit(recording: Recording, kind: str, steps: int = 400) -> float:
    """A bare attention or factorised readout, trained on 80 %, scored on the rest."""
    torch.manual_seed(0)
    truth = recording.tree["truth"]
    features = torch.tensor(truth["features"].values)
    x = features.flatten(2).transpose(1, 2)
    y = torch.tensor(recording.responses.values)
    n, n_cells, n_channels = x.shape
    n_train, n_targets = int(0.8 * n), y.shape[1]
    members = torch.tensor(truth["regions"].values.astype(np.float32))
    w = torch.nn.Parameter(0.1 * torch.randn(n_targets, n_channels))
    rows = len(members) if kind == "attention" else n_targets
    place = torch.nn.Parameter(torch.zeros(rows, n_cells))
    query = torch.nn.Parameter(0.1 * torch.randn(rows, n_channels))
    learned = [w, place, *([query] if kind == "attention" else [])]
    optimiser = torch.optim.Adam(learned, lr=1e-2)

    def predict(x: torch.Tensor) -> torch.Tensor:
        if kind == "factorised":
            return torch.einsum("nic,vi,vc->nv", x, torch.softmax(place, -1), w)
        routed = torch.softmax(torch.einsum("nic,rc->nri", x, query) + place, -1) @ x
        return torch.einsum("nrc,vc,rv->nv", routed, w, members)

    for _ in range(steps):
        batch = torch.randint(n_train, (128,))
        loss = (predict(x[batch]) - y[batch]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        prediction = predict(x[n_train:]).numpy()
    return squared_over_ceiling(prediction, y[n_train:].numpy(), truth["ceiling"].values)


def test_content_routing_needs_attention() -> None:
    recording = simulate_visual_cortex(1000, 100, routing="content")
    attention, factorised = fit(recording, "attention"), fit(recording, "factorised")
    assert attention > 0.9
    assert attention - factorised >= 0.3


def test_static_fields_do_not() -> None:
    shared = simulate_visual_cortex(2000, 60, routing="static", fields="region", noise=0.5)
    attention, factorised = fit(shared, "attention"), fit(shared, "factorised")
    assert factorised > 0.9
    assert abs(factorised - attention) <= 0.01
    own = simulate_visual_cortex(1000, 60, routing="static", fields="target")
    assert fit(own, "factorised") > fit(own, "attention") + 0.2
