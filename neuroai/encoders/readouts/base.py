"""The one interface of all readouts: from feature maps to responses of many targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from torch import Tensor

from neuroai.encoders.readouts.inputs import (
    Array,
    Features,
    HasMaps,
    as_groups,
    as_maps,
    as_responses,
    is_layers,
    uses_torch,
)
from neuroai.encoders.readouts.persistence import read_folder, write_folder
from neuroai.errors import ShapeError

#: Called as ``progress(stage, done, total)``.
Progress: TypeAlias = Callable[[str, int, int], None] | None

#: Softmax sharpness of layer weights over validation correlations (Adeli, Minni and Kriegeskorte 2025).
LAYER_SHARPNESS = 40.0


class Readout(BaseEstimator, ABC):
    r"""Base of all readouts: ``yhat[n, v] = f_v(features[n])`` for targets ``v``.

    With a list of layers, one readout is fitted a layer and the predictions are mixed with weights of each
    target that sum to one, ``s[v, l] = softmax_l(40 c[v, l])``, where ``c`` is the correlation of predictions
    of held-out training rows with the responses.

    A subclass sets ``name`` and ``fitted_arrays`` and writes :meth:`_fit_maps` and :meth:`_predict_maps`; it
    keeps everything that predictions need in attributes named by ``fitted_arrays`` (None is allowed), and its
    options in ``__init__`` arguments of the same name, as scikit-learn asks.

    Attributes
    ----------
    validation_r_ : array (v,)
        Correlation on held-out training rows; NaN for constant targets. With layers: (v, L).
    layers_ : list of readouts
        Only after fitting on a list: one a layer.
    layer_weights_ : array (v, L)
        Only after fitting on a list: rows sum to 1.
    """

    name: ClassVar[str]
    fitted_arrays: ClassVar[tuple[str, ...]]

    # -- what a readout writes

    @abstractmethod
    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        """Fit to maps (n, C, H, W), responses (n, v); return correlations on held-out training rows (v,)."""

    @abstractmethod
    def _predict_maps(self, maps: Tensor) -> Tensor:
        """Predictions (n, v) for maps (n, C, H, W) of the fitted shape."""

    # -- the interface

    def fit(
        self, features: Features, responses: Array, *, groups: Array | None = None, progress: Progress = None
    ) -> Self:
        """Fit all targets.

        Parameters
        ----------
        features : array (n, C, H, W) or (n, p), FeatureMaps, or a list of them (layers)
            Finite real numbers; vectors are maps of one position. float64 is computed in float64, all other
            dtypes in float32.
        responses : array (n, v) or (n,)
            Finite real numbers, one row a sample.
        groups : array (n,), optional
            Labels of samples that must stay together in the inner cross-validation: the stimulus of each
            presentation, or the run of each volume.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        self

        Raises
        ------
        ShapeError, DataError
            Inputs that do not fit together, or NaN, infinite or non-numeric values.
        """
        layers = _as_layers(features)
        targets = as_responses(responses, layers[0].shape[0])
        labels = as_groups(groups, layers[0].shape[0])
        self._numpy = not uses_torch(features)
        self.n_targets_ = int(targets.shape[1])
        if not is_layers(features):
            self.layers_: list[Self] | None = None
            self.map_shape_ = tuple(int(size) for size in layers[0].shape[1:])
            self._keep(
                "validation_r_", self._fit_maps(layers[0], targets.to(layers[0].dtype), labels, progress)
            )
            return self
        self.layers_ = []
        for done, maps in enumerate(layers):
            self.layers_.append(clone(self).fit(maps, targets, groups=labels, progress=progress))
            if progress is not None:
                progress("layers", done + 1, len(layers))
        scores = torch.stack([torch.as_tensor(layer.validation_r_) for layer in self.layers_], dim=1)
        self._keep("validation_r_", scores)
        self._keep("layer_weights_", layer_weights(scores))
        return self

    def predict(self, features: Features) -> Array:
        """Predicted responses (n, v), of the kind (numpy or torch) of ``features``.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        ShapeError
            Maps of another shape, or another number of layers, than fitted.
        """
        self._check_fitted()
        layers = _as_layers(features)
        if self.layers_ is None:
            if is_layers(features) and len(layers) != 1:
                raise ShapeError(
                    f"predict got {len(layers)} layers; this {self.name} readout was fitted on one array."
                )
            prediction = self._predict_checked(layers[0])
        else:
            if len(layers) != len(self.layers_):
                raise ShapeError(
                    f"predict got {len(layers)} layers; this readout was fitted on {len(self.layers_)}."
                )
            weights = torch.as_tensor(self.layer_weights_).to(layers[0])
            parts = zip(self.layers_, layers, weights.T, strict=True)
            prediction = sum(
                (layer._predict_checked(maps).to(weights) * share for layer, maps, share in parts),
                start=torch.zeros(1).to(weights),
            )
        return prediction if uses_torch(features) else prediction.cpu().numpy()

    def score(self, features: Features, responses: Array) -> float:
        """Mean over targets of ``r2 = 1 - sum (y - yhat)^2 / sum (y - mean y)^2``.

        Constant targets are left out; NaN when every target is constant.
        """
        prediction = torch.as_tensor(self.predict(features))
        truth = as_responses(responses, prediction.shape[0]).to(prediction)
        if truth.shape != prediction.shape:
            raise ShapeError(
                f"responses have {truth.shape[1]} targets; this readout was fitted on {self.n_targets_}."
            )
        varies = truth.amax(0) != truth.amin(0)
        total = (truth - truth.mean(0)).square().sum(0)[varies]
        return float((1 - (truth - prediction).square().sum(0)[varies] / total).mean())

    def save(self, folder: str | Path) -> None:
        """Write ``readout.json`` and ``weights.safetensors`` into ``folder`` (made when missing), atomically.

        Options that JSON cannot hold (splitter objects) are not kept: they matter only to another fit.
        """
        self._check_fitted()
        write_folder(Path(folder), self._description(), self._state())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            A file is missing or damaged, or holds another kind of readout.
        """
        from neuroai.encoders.readouts.registry import READOUTS

        description, arrays = read_folder(Path(folder), cls.name if "name" in vars(cls) else None)
        readout = READOUTS[description["readout"]](**description["options"])
        readout._restore(description, arrays)
        return cast("Self", readout)

    # -- helpers for subclasses

    def _keep(self, name: str, tensor: Tensor | None) -> None:
        """Set a fitted array, as numpy when the readout was fitted on numpy."""
        # Contiguous, so that a loaded readout computes in the same order, to the last bit.
        setattr(self, name, None if tensor is None else self._native(tensor.contiguous()))

    def _native(self, tensor: Tensor) -> Array:
        """Return a tensor as numpy when the readout was fitted on numpy."""
        return tensor.cpu().numpy() if self._numpy else tensor

    def _fitted(self, name: str, like: Tensor) -> Tensor:
        """Return a fitted array as a tensor of the device and dtype of ``like``."""
        return torch.as_tensor(getattr(self, name)).to(like)

    def _check_fitted(self) -> None:
        if not hasattr(self, "validation_r_"):
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted; call fit(features, responses) first."
            )

    def _check_single(self) -> None:
        self._check_fitted()
        if self.layers_ is not None:
            raise AttributeError("this readout was fitted on layers; ask each of layers_ instead")

    def _predict_checked(self, maps: Tensor) -> Tensor:
        if tuple(maps.shape[1:]) != self.map_shape_:
            raise ShapeError(
                f"features have maps of shape {tuple(maps.shape[1:])}; this {self.name} readout was fitted "
                f"on {self.map_shape_} (channels, height, width)."
            )
        return self._predict_maps(maps)

    # -- persistence

    def _description(self) -> dict[str, Any]:
        return {
            "readout": self.name,
            "options": {key: _plain(value) for key, value in self.get_params(deep=False).items()},
            "numpy": self._numpy,
            "n_targets": self.n_targets_,
            "layers": None if self.layers_ is None else [list(layer.map_shape_) for layer in self.layers_],
            "map_shape": None if self.layers_ is not None else list(self.map_shape_),
        }

    def _state(self) -> dict[str, Tensor]:
        names = (
            ("validation_r_", "layer_weights_")
            if self.layers_ is not None
            else ("validation_r_", *self.fitted_arrays)
        )
        state = {
            name: torch.as_tensor(getattr(self, name)) for name in names if getattr(self, name) is not None
        }
        for index, layer in enumerate(self.layers_ or ()):
            state.update({f"layers.{index}.{key}": value for key, value in layer._state().items()})
        return state

    def _restore(self, description: dict[str, Any], arrays: dict[str, Tensor]) -> None:
        self._numpy, self.n_targets_ = bool(description["numpy"]), int(description["n_targets"])
        shapes = description["layers"]
        names = ("validation_r_", *(self.fitted_arrays if shapes is None else ("layer_weights_",)))
        for name in names:
            self._keep(name, arrays.get(name))
        self.layers_ = None
        if shapes is None:
            self.map_shape_ = tuple(int(size) for size in description["map_shape"])
            return
        self.layers_ = []
        for index, shape in enumerate(shapes):
            prefix = f"layers.{index}."
            part = {
                key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
            }
            layer = clone(self)
            layer._restore({**description, "layers": None, "map_shape": shape}, part)
            self.layers_.append(layer)


def layer_weights(scores: Tensor, sharpness: float = LAYER_SHARPNESS) -> Tensor:
    """Weights of layers for every target, ``softmax_l(sharpness * scores[v, l])``; NaN scores count as 0.

    Examples
    --------
    >>> layer_weights(torch.tensor([[0.5, 0.5], [0.9, 0.1]])).sum(1)
    tensor([1., 1.])
    """
    return torch.softmax(sharpness * torch.nan_to_num(scores), dim=1)


def _as_layers(features: Features) -> list[Tensor]:
    if not is_layers(features):
        return [as_maps(cast("Array | HasMaps", features))]
    sequence = cast("Sequence[Array | HasMaps]", features)
    if not sequence:
        raise ShapeError("features is an empty list; expected at least one layer.")
    layers = [as_maps(layer, f"features[{index}]") for index, layer in enumerate(sequence)]
    for index, layer in enumerate(layers):
        if layer.shape[0] != layers[0].shape[0]:
            raise ShapeError(
                f"features[{index}] has {layer.shape[0]} samples and features[0] has {layers[0].shape[0]}; "
                "expected the same samples in every layer."
            )
    return layers


def _plain(value: Any) -> Any:
    """Return an option as JSON holds it; None stands for what it cannot hold."""
    if isinstance(value, (np.ndarray, Tensor)):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return None


__all__ = ["Array", "Features", "Progress", "Readout", "layer_weights"]
