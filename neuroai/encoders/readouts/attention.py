"""Attention-routed readout: where a target reads from follows the image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.encoders.attention import AttentionEncoder, DecoderShape, QueryLayout, query_layout
from neuroai.encoders.attention.fitting import FitOptions, fit_encoder, predict_in_batches
from neuroai.encoders.attention.head import Combine
from neuroai.encoders.attention.queries import QueryKind
from neuroai.encoders.readouts.base import Features, Progress, Readout
from neuroai.encoders.readouts.inputs import Array, as_maps, is_layers, uses_torch
from neuroai.errors import CheckpointError, ConfigError, ShapeError
from neuroai.training.streams import stream_seed
from neuroai_datasets.splits import kfold

__all__ = ["AttentionReadout"]


class AttentionReadout(Readout):
    r"""Learned queries attend over the feature map; each target reads its own queries' tokens linearly.

    .. math:: \hat y_v = w_v \cdot \frac{1}{m_v} \sum_{r \ni v} t_r(M) + b_v, \quad
              t_r(M) = \mathrm{decoder}(E_r,\; M + P,\; M)

    A few encoders are trained on different held-out parts and seeds, and their predictions averaged.

    Parameters
    ----------
    queries : {"roi", "stream", "hemisphere", "vertex"}, optional
        What shares a query (see :func:`~neuroai.encoders.attention.queries.query_layout`). Default: "roi"
        if ``rois`` are given, else "vertex", one query a target.
    rois : mapping of name to array of bool (v,), or DataArray ("roi", "target"), optional
        Regions; they may overlap or be empty. Targets in none share a query of their own.
    hemisphere : array of str (v,), optional
        Gives each hemisphere its own queries.
    combine : {"mean", "sum"}, default "mean"
        How a target in several regions joins their tokens: "mean" keeps the scale; "sum" is the published
        form.
    d_model, n_heads, d_ffn : int
        Sizes of the decoder layer. The published ones are 768, 16 and 1024; the defaults suit recordings of
        a few hundred to a few thousand images.
    dropout, channel_dropout : float
        Probability of dropping attention weights and residual branches; share of feature channels dropped in
        each training image.
    learning_rate, weight_decay : float
        AdamW. Published: 5e-4 and 1e-4.
    batch_size, epochs, patience : int
        Training stops after ``patience`` epochs without a better held-out correlation.
    validation : float, default 0.15
        Share of the training rows (whole groups) that chooses the epoch.
    n_members : int, default 2
        Encoders averaged.
    seed : int, default 0
        Same seed, data, machine and thread count: same predictions.
    checkpoints : path, optional
        Folder in which an interrupted fit leaves its state; fitting again with it resumes exactly.

    Attributes
    ----------
    members_ : list of AttentionEncoder
    query_names_ : tuple of str
        Queries that some target reads; empty for vertex queries, where query ``v`` is that of target ``v``.
    empty_rois_ : tuple of str
        Regions without targets, which have no query.
    validation_r_ : array (v,)
        Mean over members of the correlation on their held-out rows.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), "Transformer brain encoders explain human high-level visual
    responses".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> maps, responses = rng.normal(size=(40, 4, 3, 3)), rng.normal(size=(40, 5))
    >>> rois = {"V1": [1, 1, 0, 0, 0], "V4": [0, 1, 1, 0, 0]}
    >>> readout = AttentionReadout(rois=rois, d_model=8, n_heads=2, epochs=2, n_members=1)
    >>> readout.fit(maps, responses).predict(maps).shape, readout.attention(maps).shape
    ((40, 5), (40, 3, 3, 3))
    """

    name: ClassVar[str] = "attention"
    fitted_arrays: ClassVar[tuple[str, ...]] = (
        "membership_",
        "map_mean_",
        "map_scale_",
        "response_mean_",
        "response_scale_",
    )

    def __init__(
        self,
        queries: QueryKind | None = None,
        rois: Mapping[str, npt.ArrayLike] | None = None,
        hemisphere: npt.ArrayLike | None = None,
        *,
        combine: Combine = "mean",
        d_model: int = 96,
        n_heads: int = 2,
        d_ffn: int = 32,
        dropout: float = 0.2,
        channel_dropout: float = 0.1,
        learning_rate: float = 6e-3,
        weight_decay: float = 1.0,
        batch_size: int = 64,
        epochs: int = 40,
        patience: int = 15,
        validation: float = 0.15,
        n_members: int = 2,
        seed: int = 0,
        checkpoints: str | Path | None = None,
    ) -> None:
        self.queries, self.rois, self.hemisphere, self.combine = queries, rois, hemisphere, combine
        self.d_model, self.n_heads, self.d_ffn = d_model, n_heads, d_ffn
        self.dropout, self.channel_dropout = dropout, channel_dropout
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.batch_size, self.epochs, self.patience = batch_size, epochs, patience
        self.validation, self.n_members, self.seed = validation, n_members, seed
        self.checkpoints = checkpoints

    def attention(self, features: Features) -> Array:
        """Where each query looks in each image, averaged over heads and members.

        Parameters
        ----------
        features : array (n, C, H, W) or FeatureMaps

        Returns
        -------
        array (n, Q, H, W)
            Each map sums to 1. ``Q`` are :attr:`query_names_`, or the targets for vertex queries.

        Raises
        ------
        ConfigError
            If the readout was fitted on several layers: ask one of ``layers_``.
        """
        self._check_fitted()
        if self.layers_ is not None or is_layers(features):
            raise ConfigError("attention maps belong to one layer: call attention() of a readout in layers_")
        maps = as_maps(cast("Any", features))
        scaled = self._scaled(maps)
        with torch.no_grad():
            # One image at a time: with vertex queries an image's maps alone can be large.
            total = torch.stack(
                [
                    torch.stack([member.attention(image[None])[0] for member in self._members(maps)]).mean(0)
                    for image in scaled
                ]
            )
        return total if uses_torch(features) else total.cpu().numpy()

    def _fit_maps(self, maps: Tensor, responses: Tensor, groups: Any, progress: Progress) -> Tensor:
        parts = self._held_out(len(maps), groups)
        layout = self._layout(responses.shape[1])
        self.query_names_ = layout.names
        self._keep("membership_", torch.from_numpy(layout.membership))
        self._keep("map_mean_", maps.mean((0, 2, 3))[:, None, None])
        self._keep("map_scale_", _spread(maps.transpose(0, 1).flatten(1).T)[:, None, None])
        self._keep("response_mean_", responses.mean(0))
        self._keep("response_scale_", _spread(responses))
        standard = (responses - responses.mean(0)) / self._fitted("response_scale_", responses)
        scaled, options = self._scaled(maps), self._options()
        self.members_: list[AttentionEncoder] = []
        scores = []
        for index, part in enumerate(parts):
            member = self._encoder(layout, tuple(maps.shape[1:]))

            def report(stage: str, done: int, total: int, index: int = index) -> None:
                if progress is not None:
                    progress(self.name, index * total + done, len(parts) * total)

            r = fit_encoder(
                member,
                scaled,
                standard,
                torch.from_numpy(part).to(maps.device),
                options,
                seed=stream_seed(self.seed, index),
                folder=None if self.checkpoints is None else Path(self.checkpoints) / f"member-{index}",
                progress=report,
            )
            scores.append(r)
            self.members_.append(member.eval().requires_grad_(False))
        return torch.stack(scores).nanmean(0)

    def _predict_maps(self, maps: Tensor) -> Tensor:
        scaled = self._scaled(maps)
        mean = torch.stack([predict_in_batches(member, scaled) for member in self._members(maps)]).mean(0)
        return mean * self._fitted("response_scale_", mean) + self._fitted("response_mean_", mean)

    def _scaled(self, maps: Tensor) -> Tensor:
        return (maps - self._fitted("map_mean_", maps)) / self._fitted("map_scale_", maps)

    def _members(self, like: Tensor) -> list[AttentionEncoder]:
        return [member.to(like.device, like.dtype) for member in self.members_]

    def _layout(self, n_targets: int) -> QueryLayout:
        kind = self.queries or ("vertex" if self.rois is None else "roi")
        layout = query_layout(kind, n_targets, rois=self.rois, hemisphere=self.hemisphere)
        if kind == "vertex":
            self.empty_rois_: tuple[str, ...] = ()
            return layout
        used = layout.without_empty()
        self.empty_rois_ = tuple(name for name in layout.names if name not in used.names)
        return used

    def _encoder(self, layout: QueryLayout, map_shape: tuple[int, ...]) -> AttentionEncoder:
        shape = DecoderShape(self.d_model, self.n_heads, self.d_ffn, self.dropout)
        channels, height, width = map_shape
        return AttentionEncoder(layout, channels, height, width, shape, self.combine)

    def _options(self) -> FitOptions:
        return FitOptions(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            epochs=self.epochs,
            patience=self.patience,
            channel_dropout=self.channel_dropout,
        )

    def _held_out(self, n_samples: int, groups: npt.NDArray[Any] | None) -> list[npt.NDArray[np.bool_]]:
        """Rows held out by each member: a new fold each, a new partition once all folds were used."""
        if not 0 < self.validation <= 0.5 or self.n_members < 1:
            raise ConfigError(
                f"validation={self.validation}, n_members={self.n_members}: "
                "expected a share in (0, 0.5] and at least one member"
            )
        n_groups = n_samples if groups is None else len(np.unique(groups))
        if n_groups < 4:
            raise ShapeError(
                f"{n_groups} {'samples' if groups is None else 'groups'} are too few to hold a part out: "
                "the attention readout needs at least 4"
            )
        n_folds = min(round(1 / self.validation), n_groups // 2)
        parts: list[npt.NDArray[np.bool_]] = []
        while len(parts) < self.n_members:
            for _, test in kfold(n_samples, n_folds, groups=groups, seed=self.seed + len(parts)):
                parts.append(np.isin(np.arange(n_samples), test))
        return parts[: self.n_members]

    # -- persistence

    def _description(self) -> dict[str, Any]:
        description = super()._description()
        # Targets' memberships are kept as an array; as text they would take megabytes.
        description["options"] |= {"rois": None, "hemisphere": None, "checkpoints": None}
        fitted = self if self.layers_ is None else self.layers_[0]
        kind = fitted.queries or ("vertex" if not fitted.query_names_ else "roi")
        return description | {
            "query_kind": kind,
            "query_names": list(fitted.query_names_),
            "empty_rois": list(fitted.empty_rois_),
        }

    def _state(self) -> dict[str, Tensor]:
        state = super()._state()
        if self.layers_ is None:
            for index, member in enumerate(self.members_):
                state |= {f"members.{index}.{key}": value for key, value in member.state_dict().items()}
        return state

    def _restore(self, description: dict[str, Any], arrays: dict[str, Tensor]) -> None:
        super()._restore(description, arrays)
        if self.layers_ is not None:
            return
        try:
            self.query_names_ = tuple(description["query_names"])
            self.empty_rois_ = tuple(description["empty_rois"])
            membership = arrays["membership_"].numpy().reshape(-1, self.n_targets_)
            layout = QueryLayout(description["query_kind"], self.query_names_, membership)
            self.members_ = [
                self._restored_member(layout, arrays, f"members.{index}.") for index in range(self.n_members)
            ]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"the saved attention readout does not fit together ({error}); fit and save it again"
            ) from error

    def _restored_member(
        self, layout: QueryLayout, arrays: dict[str, Tensor], prefix: str
    ) -> AttentionEncoder:
        weights = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        member = self._encoder(layout, self.map_shape_)
        member.load_state_dict(weights)
        return member.eval().requires_grad_(False)


def _spread(values: Tensor) -> Tensor:
    """Standard deviation of each column, 1 where nothing varies."""
    scale = values.std(0, correction=0)
    return torch.where(values.amax(0) == values.amin(0), torch.ones_like(scale), scale)
