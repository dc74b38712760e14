"""Ensembles of encoders over layers and runs, with weights that sum to one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from neuroai.encoders.readouts.base import LAYER_SHARPNESS, layer_weights
from neuroai.errors import ShapeError

__all__ = ["ensemble_layers"]


def ensemble_layers(
    predictions: Sequence[Sequence[Tensor]],
    validation_r: Sequence[Sequence[Tensor]],
    *,
    sharpness: float = LAYER_SHARPNESS,
) -> tuple[Tensor, Tensor]:
    r"""Average runs and mix layers, each target by how well each layer was validated.

    .. math::
        c_{lv} = \frac1R \sum_r c_{rlv}, \quad
        s_{vl} = \mathrm{softmax}_l(40\, c_{lv}), \quad
        \hat y_{nv} = \sum_l s_{vl} \frac1R \sum_r \hat y_{rlnv}

    Parameters
    ----------
    predictions : sequence over layers of sequences over runs of Tensor, shape (n, v)
    validation_r : sequence over layers of sequences over runs of Tensor, shape (v,)
        Correlations on held-out rows; NaN (a constant target) is left out, and counts as 0 if all are.
    sharpness : float, default 40

    Returns
    -------
    prediction : Tensor, shape (n, v)
    weights : Tensor, shape (v, L)
        Rows sum to 1. (The published weights sum to the number of runs, which leaves correlations as they
        are but is wrong for squared errors.)

    Raises
    ------
    ShapeError
        If a layer has no run, or not as many scores as predictions.

    References
    ----------
    Adeli, Minni & Kriegeskorte (2025), public code.

    Examples
    --------
    >>> import torch
    >>> y = torch.ones(2, 1)
    >>> r = torch.tensor([0.5])
    >>> mixed, weights = ensemble_layers([[y, y], [3 * y]], [[r, r], [r]])
    >>> mixed[0].item(), weights.tolist()
    (2.0, [[0.5, 0.5]])
    """
    sizes = [(len(runs), len(scores)) for runs, scores in zip(predictions, validation_r, strict=False)]
    if len(predictions) != len(validation_r) or any(a != b or a == 0 for a, b in sizes):
        raise ShapeError(
            f"{len(predictions)} layers of predictions, {len(validation_r)} of scores, runs of each: "
            f"{sizes}; expected one score array for each prediction and at least one run a layer"
        )
    scores = torch.stack([torch.stack(list(layer)).nanmean(0) for layer in validation_r], dim=1)
    weights = layer_weights(scores, sharpness)
    means = torch.stack([torch.stack(list(layer)).mean(0) for layer in predictions])
    return torch.einsum("vl,lnv->nv", weights.to(means), means), weights
