"""The attention readout as users meet it."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from sklearn.base import clone

from neuroai.encoders.readouts.attention import AttentionReadout
from neuroai.encoders.readouts.factorised import FactorisedReadout
from neuroai.errors import CheckpointError, ConfigError, ShapeError

SMALL = {"d_model": 16, "n_heads": 2, "d_ffn": 16, "epochs": 3, "n_members": 2}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 5, 4, 3)).astype(np.float32), rng.normal(size=(60, 7)).astype(np.float32)


def planted_routing(n_images, n_targets, seed):
    """Each region looks where its cue is strongest and reads other channels there."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(n_images, 8, 6, 6))
    region = np.arange(n_targets) * 3 // n_targets
    cue = np.eye(8)[:3]  # region r looks at channel r
    logits = 3 * np.einsum("rc,nchw->nrhw", cue, maps).reshape(n_images, 3, -1)
    attention = np.exp(logits - logits.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    tokens = np.einsum("nri,nci->nrc", attention, maps.reshape(n_images, 8, -1))
    weights = rng.normal(size=(n_targets, 8)) * (np.arange(8) >= 3)
    signal = np.einsum("vc,nvc->nv", weights, tokens[:, region])
    signal /= signal.std(0)
    noise = rng.normal(size=signal.shape) * 0.5
    rois = {f"R{r}": region == r for r in range(3)}
    return maps.astype(np.float32), (signal + noise).astype(np.float32), 1 / 1.25, rois, attention


def test_content_dependent_routing_is_learned():
    """Asked: at least 0.10 in r2 over ceiling above the factorised readout."""
    maps, responses, ceiling, rois, attention = planted_routing(600, 18, 0)
    train, test = slice(0, 450), slice(450, None)
    accuracy = {}
    attending = AttentionReadout(rois=rois, n_members=1, epochs=25)
    for readout in (attending, FactorisedReadout()):
        prediction = readout.fit(maps[train], responses[train]).predict(maps[test])
        r = [np.corrcoef(y, p)[0, 1] for y, p in zip(responses[test].T, prediction.T, strict=True)]
        accuracy[readout.name] = float(np.mean(np.square(np.maximum(r, 0)) / ceiling))
    assert accuracy["attention"] >= accuracy["factorised"] + 0.10
    found = attending.attention(maps[test]).reshape(150, 3, -1)
    for region in range(3):
        assert np.corrcoef(found[:, region].ravel(), attention[test][:, region].ravel())[0, 1] > 0.5


def test_interface(data):
    maps, responses = data
    readout = AttentionReadout(**SMALL)
    prediction = readout.fit(maps, responses).predict(maps)
    assert prediction.shape == (60, 7)
    assert prediction.dtype == np.float32
    assert readout.validation_r_.shape == (7,)
    attention = readout.attention(maps[:5])
    assert attention.shape == (5, 7, 4, 3)
    np.testing.assert_allclose(attention.sum((2, 3)), 1, rtol=1e-5)
    assert isinstance(readout.score(maps, responses), float)
    tensor = readout.predict(torch.from_numpy(maps))
    np.testing.assert_array_equal(tensor.numpy(), prediction)


def test_same_seed_same_numbers_other_seed_other_numbers(data):
    maps, responses = data
    readout = AttentionReadout(**SMALL)
    first = readout.fit(maps, responses).predict(maps)
    np.testing.assert_array_equal(clone(readout).fit(maps, responses).predict(maps), first)
    other = clone(readout).set_params(seed=1).fit(maps, responses).predict(maps)
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_regions_overlapping_empty_and_none(data, combine):
    maps, responses = data
    rois = {
        "V1": [1, 1, 1, 0, 0, 0, 0],
        "FFA": [0, 0, 1, 1, 0, 0, 0],
        "mTL": [0] * 7,
    }
    readout = AttentionReadout(rois=rois, combine=combine, **SMALL).fit(maps, responses)
    assert readout.query_names_ == ("V1", "FFA", "none")
    assert readout.empty_rois_ == ("mTL",)
    assert readout.attention(maps).shape == (60, 3, 4, 3)
    assert np.isfinite(readout.predict(maps)).all()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"queries": "roi"}, ("none",)),
        ({"queries": "hemisphere", "hemisphere": list("lllrrrr")}, ("l", "r")),
        (
            {"queries": "stream", "rois": {"early": [1] * 3 + [0] * 4, "V1": [1] * 7}},
            ("early", "none"),
        ),
        (
            {"rois": {"early": [1] * 5 + [0] * 2}, "hemisphere": list("lllrrrr")},
            ("l/early", "r/early", "r/none"),
        ),
        ({"queries": "vertex"}, ()),
    ],
)
def test_query_modes_survive_saving(tmp_path, data, options, names):
    maps, responses = data
    readout = AttentionReadout(**options, **SMALL).fit(maps, responses)
    assert readout.query_names_ == names
    readout.save(tmp_path)
    loaded = AttentionReadout.load(tmp_path)
    assert loaded.query_names_ == names
    np.testing.assert_array_equal(loaded.predict(maps), readout.predict(maps))
    np.testing.assert_array_equal(loaded.attention(maps), readout.attention(maps))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_saved_parts_must_fit_together(tmp_path, data):
    readout = AttentionReadout(**SMALL).fit(*data)
    readout.save(tmp_path)
    text = json.loads((tmp_path / "readout.json").read_text())
    text["options"]["d_ffn"] = 17
    (tmp_path / "readout.json").write_text(json.dumps(text))
    with pytest.raises(CheckpointError, match="fit together"):
        AttentionReadout.load(tmp_path)


def test_layers_are_mixed_with_weights_that_sum_to_one(tmp_path, data):
    maps, responses = data
    layers = [maps, maps[:, :3, :2, :2].copy()]
    readout = AttentionReadout(**SMALL).fit(layers, responses)
    np.testing.assert_allclose(readout.layer_weights_.sum(1), 1, rtol=1e-6)
    readout.save(tmp_path)
    np.testing.assert_array_equal(AttentionReadout.load(tmp_path).predict(layers), readout.predict(layers))
    with pytest.raises(ConfigError, match="layers_"):
        readout.attention(layers)
    assert readout.layers_[1].attention(layers[1]).shape == (60, 7, 2, 2)


def test_vectors_constant_targets_and_float64(data):
    maps, responses = data
    responses = responses.astype(np.float64)
    responses[:, 2] = 4.0
    readout = AttentionReadout(**SMALL).fit(maps[:, :, 0, 0].astype(np.float64), responses)
    prediction = readout.predict(maps[:, :, 0, 0].astype(np.float64))
    assert prediction.dtype == np.float64
    np.testing.assert_allclose(prediction[:, 2], 4.0, atol=0.5)
    assert np.isnan(readout.validation_r_[2])
    assert np.isfinite(np.delete(readout.validation_r_, 2)).all()


def test_groups_stay_together(data):
    readout = AttentionReadout(**SMALL)
    groups = np.arange(60) // 5
    for part in readout._held_out(60, groups):
        assert 0 < part.sum() < 30
        assert not set(groups[part]) & set(groups[~part])
    distinct = {tuple(part) for part in AttentionReadout(n_members=9)._held_out(60, None)}
    assert len(distinct) == 9


@pytest.mark.parametrize(
    ("options", "rows", "error", "text"),
    [
        ({"validation": 0.0}, 60, ConfigError, "validation"),
        ({"n_members": 0}, 60, ConfigError, "member"),
        ({"queries": "hemisphere"}, 60, ConfigError, "hemisphere"),
        ({"rois": {"V1": [1, 0]}}, 60, ShapeError, "V1"),
        ({}, 3, ShapeError, "at least 4"),
    ],
)
def test_errors(data, options, rows, error, text):
    maps, responses = data
    with pytest.raises(error, match=text):
        AttentionReadout(**{**SMALL, **options}).fit(maps[:rows], responses[:rows])


def test_progress_counts_all_members(data):
    seen = []
    AttentionReadout(**SMALL).fit(*data, progress=lambda *state: seen.append(state))
    stages, done, totals = zip(*seen, strict=True)
    assert set(stages) == {"attention"}
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1]


def test_a_killed_fit_resumes_exactly(tmp_path, data):
    maps, responses = data
    options = SMALL | {"epochs": 12}
    expected = AttentionReadout(**options).fit(maps, responses).predict(maps)
    rng = random.Random(0)
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                AttentionReadout(**options, checkpoints=tmp_path).fit(maps, responses)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    resumed = AttentionReadout(**options, checkpoints=tmp_path).fit(maps, responses)
    np.testing.assert_array_equal(resumed.predict(maps), expected)
