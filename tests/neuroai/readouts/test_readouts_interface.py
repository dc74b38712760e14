"""What every static readout promises: kinds of input, errors, layers, folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from neuroai.encoders.readouts import READOUTS, make_readout
from neuroai.encoders.readouts.base import Readout, layer_weights
from neuroai.errors import CheckpointError, ConfigError, DataError, ShapeError

STATIC = {
    "ridge": {},
    "pca-ridge": {},
    "factorised": {"coherences": (0.3,), "max_iterations": 2},
    "gaussian": {"coherences": (0.5,), "sizes": (0.5, 1.0)},
}


@pytest.fixture(params=sorted(STATIC))
def readout(request: pytest.FixtureRequest) -> Readout:
    return make_readout(request.param, **STATIC[request.param])


@pytest.fixture(scope="module")
def population() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((120, 4, 5, 6))
    field = np.zeros((5, 6))
    field[1:3, 2:5] = 1 / 6
    pooled = np.einsum("ncij,ij->nc", maps, field)
    responses = pooled @ rng.standard_normal((4, 3)) + 0.05 * rng.standard_normal((120, 3))
    return maps, responses


def test_registry_names_every_readout_and_builds_by_name() -> None:
    assert sorted(READOUTS) == ["attention", "factorised", "gaussian", "pca-ridge", "ridge"]
    assert {name: READOUTS[name].name for name in STATIC} == {name: name for name in STATIC}
    with pytest.raises(ConfigError, match=r"no readout 'rigde'.*ridge"):
        make_readout("rigde")
    with pytest.raises(ConfigError, match=r"no option 'alfas'.*alphas"):
        make_readout("ridge", alfas=[1.0])


def test_numpy_and_torch_agree_and_come_back_as_they_went_in(readout: Readout, population: Any) -> None:
    maps, responses = population
    from_numpy = clone(readout).fit(maps, responses)
    from_torch = clone(readout).fit(torch.tensor(maps), torch.tensor(responses))
    prediction = from_numpy.predict(maps)
    assert isinstance(prediction, np.ndarray)
    assert prediction.dtype == np.float64
    tensor = from_torch.predict(torch.tensor(maps))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(tensor.numpy(), prediction, atol=1e-8)
    assert isinstance(from_numpy.receptive_fields_, np.ndarray)
    assert isinstance(from_torch.receptive_fields_, torch.Tensor)
    single = clone(readout).fit(maps.astype(np.float32), responses.astype(np.float32))
    assert single.predict(maps.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.predict(maps), prediction, atol=2e-2)


def test_half_precision_and_integer_maps_are_widened(readout: Readout, population: Any) -> None:
    maps, responses = population
    half = clone(readout).fit(maps.astype(np.float16), responses)
    assert half.predict(maps.astype(np.float16)).dtype == np.float32
    whole = np.round(maps * 10).astype(np.int16)
    assert clone(readout).fit(whole, responses).score(whole, responses) > 0.5


def test_receptive_fields_are_distributions_over_the_map(readout: Readout, population: Any) -> None:
    maps, responses = population
    fields = readout.fit(maps, responses).receptive_fields_
    assert fields.shape == (3, 5, 6)
    assert (fields >= 0).all()
    np.testing.assert_allclose(fields.sum((1, 2)), 1, rtol=1e-6)


def test_predicts_planted_population_and_scores_like_scikit_learn(readout: Readout, population: Any) -> None:
    from sklearn.metrics import r2_score

    maps, responses = population
    readout.fit(maps[:100], responses[:100])
    score = readout.score(maps[100:], responses[100:])
    assert score == pytest.approx(r2_score(responses[100:], readout.predict(maps[100:])), abs=1e-9)
    assert readout.validation_r_.shape == (3,)
    if readout.name in ("factorised", "gaussian"):
        assert score > 0.8


def test_vectors_are_maps_of_one_position(readout: Readout) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((150, 6))
    y = x @ rng.standard_normal((6, 2)) + 0.1 * rng.standard_normal((150, 2))
    readout.fit(x, y)
    assert readout.score(x, y) > 0.9
    np.testing.assert_allclose(readout.predict(x), readout.predict(x[:, :, None, None]))
    np.testing.assert_allclose(readout.receptive_fields_, np.ones((2, 1, 1)), rtol=1e-6)


def test_constant_targets_and_constant_features_do_no_harm(readout: Readout, population: Any) -> None:
    maps, responses = population
    maps, responses = maps.copy(), responses.copy()
    maps[:, 0] = 7.0
    responses[:, 1] = 3.0
    readout.fit(maps, responses)
    prediction = readout.predict(maps)
    assert np.isfinite(prediction).all()
    np.testing.assert_allclose(prediction[:, 1], 3.0, atol=1e-6)
    assert np.isfinite(readout.score(maps, responses))


def test_same_input_same_numbers(readout: Readout, population: Any) -> None:
    maps, responses = population
    first, second = clone(readout).fit(maps, responses), clone(readout).fit(maps, responses)
    np.testing.assert_array_equal(first.predict(maps), second.predict(maps))


def test_layers_get_weights_that_sum_to_one(readout: Readout, population: Any) -> None:
    maps, responses = population
    noise = np.random.default_rng(2).standard_normal((120, 3, 2, 2))
    readout.fit([noise, maps], responses)
    weights = readout.layer_weights_
    assert weights.shape == (3, 2)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-9)
    assert (weights[:, 1] > 0.9).all()
    parts = [layer.predict(x) for layer, x in zip(readout.layers_, [noise, maps], strict=True)]
    np.testing.assert_allclose(
        readout.predict([noise, maps]), parts[0] * weights[:, 0] + parts[1] * weights[:, 1], rtol=1e-6
    )
    with pytest.raises(ShapeError, match="1 layers; this readout was fitted on 2"):
        readout.predict([maps])
    with pytest.raises(AttributeError, match="layers_"):
        _ = readout.receptive_fields_


def test_layer_weights_are_a_softmax_of_correlations() -> None:
    weights = layer_weights(torch.tensor([[0.50, 0.45], [float("nan"), 0.0]], dtype=torch.float64))
    np.testing.assert_allclose(weights[0, 0] / weights[0, 1], np.exp(40 * 0.05), rtol=1e-9)
    np.testing.assert_allclose(weights[1], [0.5, 0.5])


@pytest.mark.parametrize("layers", [False, True])
def test_folder_round_trip(readout: Readout, population: Any, tmp_path: Path, layers: bool) -> None:
    maps, responses = population
    features = [maps, maps[:, :2, :3, :3]] if layers else maps
    readout.fit(features, responses)
    readout.save(tmp_path / "model")
    loaded = type(readout).load(tmp_path / "model")
    assert type(loaded) is type(readout)
    np.testing.assert_array_equal(loaded.predict(features), readout.predict(features))
    assert json.loads((tmp_path / "model" / "readout.json").read_text())["readout"] == readout.name
    assert loaded.get_params().keys() == readout.get_params().keys()
    if not layers:
        np.testing.assert_array_equal(loaded.receptive_fields_, readout.receptive_fields_)
    assert type(Readout.load(tmp_path / "model")) is type(readout)
    loaded.fit(features, responses)
    np.testing.assert_array_equal(loaded.predict(features), readout.predict(features))


def test_damaged_folders_are_refused(population: Any, tmp_path: Path) -> None:
    maps, responses = population
    folder = tmp_path / "model"
    with pytest.raises(CheckpointError, match="missing"):
        READOUTS["ridge"].load(folder)
    make_readout("ridge").fit(maps, responses).save(folder)
    with pytest.raises(CheckpointError, match=r"holds a 'ridge' readout; expected 'factorised'"):
        READOUTS["factorised"].load(folder)
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        READOUTS["ridge"].load(folder)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "readout.json").write_text("[1, 2")
    with pytest.raises(CheckpointError, match="damaged"):
        READOUTS["ridge"].load(folder)
    (folder / "readout.json").write_text('{"format": 1, "readout": "ridge"}')
    with pytest.raises(CheckpointError, match="'options'"):
        READOUTS["ridge"].load(folder)


def test_input_errors_say_what_was_found(readout: Readout, population: Any) -> None:
    maps, responses = population
    broken = maps.copy()
    broken[3, 1, 2, 0] = np.nan
    with pytest.raises(DataError, match=r"features holds 1 NaN.*\(3, 1, 2, 0\)"):
        readout.fit(broken, responses)
    with pytest.raises(DataError, match=r"responses holds 120 NaN"):
        readout.fit(maps, np.full((120, 1), np.inf))
    with pytest.raises(ShapeError, match=r"\(120, 4, 5\)"):
        readout.fit(maps[..., 0], responses)
    with pytest.raises(ShapeError, match=r"\(100, 3\).*120 samples"):
        readout.fit(maps, responses[:100])
    with pytest.raises(ShapeError, match="at least one entry"):
        readout.fit(maps[:, :0], responses)
    with pytest.raises(ShapeError, match=r"groups have shape \(5,\)"):
        readout.fit(maps, responses, groups=np.arange(5))
    with pytest.raises(DataError, match="dtype"):
        readout.fit(maps.astype(str), responses)
    with pytest.raises(ShapeError, match="empty list"):
        readout.fit([], responses)
    with pytest.raises(ShapeError, match=r"features\[1\] has 50 samples"):
        readout.fit([maps, maps[:50]], responses)
    with pytest.raises(NotFittedError, match="call fit"):
        readout.predict(maps)
    readout.fit(maps, responses)
    with pytest.raises(ShapeError, match=r"\(2, 5, 6\).*fitted on \(4, 5, 6\)"):
        readout.predict(maps[:, :2])
    with pytest.raises(ShapeError, match="fitted on 3"):
        readout.score(maps, responses[:, :2])


@pytest.mark.parametrize(
    "groups", [np.repeat(np.arange(60), 2), np.repeat([0, 1, 2], 40), np.zeros(120, int)]
)
def test_groups_of_any_size_are_held_out_whole(readout: Readout, population: Any, groups: Any) -> None:
    maps, responses = population
    readout.fit(maps, responses, groups=groups)
    assert np.isfinite(readout.predict(maps)).all()


def test_repeats_do_not_leak_into_inner_choices(readout: Readout) -> None:
    """Noise shown twice: without groups the twin gives the answer away, with groups nothing is learnt."""
    rng = np.random.default_rng(3)
    maps = np.repeat(rng.standard_normal((60, 40, 3, 3)), 2, axis=0)
    responses = np.repeat(rng.standard_normal((60, 5)), 2, axis=0)
    order = rng.permutation(120)
    groups = np.repeat(np.arange(60), 2)[order]
    leaky = clone(readout).fit(maps[order], responses[order])
    honest = clone(readout).fit(maps[order], responses[order], groups=groups)
    assert np.median(leaky.validation_r_) > 0.5
    assert np.median(honest.validation_r_) < 0.35


def test_progress_is_reported_to_the_end(readout: Readout, population: Any) -> None:
    maps, responses = population
    seen: list[tuple[str, int, int]] = []
    readout.fit(maps, responses, progress=lambda *step: seen.append(step))
    assert seen
    assert all(0 <= done <= total for _, done, total in seen)
    assert seen[-1][1] == seen[-1][2]
