"""From joined predictions to scores, their ceilings and their significance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.runs.analysis import responses_of
from neuroai.runs.config import EncodeConfig
from neuroai.runs.inputs import Inputs

if TYPE_CHECKING:
    import xarray as xr

    from neuroai.encoders.readouts.base import Readout
    from neuroai.encoders.result import EncodingResult

Array = NDArray[np.float64]

#: Seconds that stay together when a series is permuted.
_SERIES_BLOCK = 20.0
#: Blocks that trials are permuted in, at most: the cost grows with their square.
_MOST_BLOCKS = 400


def score(
    inputs: Inputs, predictions: NDArray[np.float32], readout: "Readout", config: EncodeConfig
) -> "EncodingResult":
    """Score predictions of rows that no model was fitted to.

    Parameters
    ----------
    inputs : Inputs
        Measured responses and folds.
    predictions : array of shape (n_samples, n_targets)
        Joined over folds.
    readout : Readout
        Fitted to every row; its penalties are reported.
    config : EncodeConfig
        ``score``: "joined" correlates over all tested rows at once, "fold" averages the correlations
        of the folds. ``permutations`` and ``seed``.

    Returns
    -------
    EncodingResult
        With the recording's coordinates of the targets, and a unique ``name`` for each.
    """
    from neuroai.encoders.ceilings import noise_ceiling
    from neuroai.encoders.result import EncodingResult
    from neuroai.encoders.scores import pearson_r, r2_score

    rows = inputs.folds.tested
    measured, predicted = inputs.responses[rows], predictions[rows]
    if config.score == "fold":
        parts = [test for _, test in inputs.folds.splits]
        r = np.mean([pearson_r(inputs.responses[test], predictions[test]) for test in parts], axis=0)
        r2 = np.mean([r2_score(inputs.responses[test], predictions[test]) for test in parts], axis=0)
    else:
        r, r2 = pearson_r(measured, predicted), r2_score(measured, predicted)
    repeats = inputs.recording.repeats
    ceiling = None if repeats is None else noise_ceiling(repeats.values[:, rows])
    p, q = _significance(inputs, measured, predicted, config)
    alpha, alphas = _penalties(readout, measured.shape[1])
    return EncodingResult.from_scores(
        r,
        r2,
        ceiling=ceiling,
        p=p,
        q=q,
        alpha=alpha,
        # A single penalty was not chosen, so it lies at no edge.
        alphas=alphas if len(alphas) > 1 else None,
        coords=_coordinates(inputs),
    )


def joined_result(parts: "Sequence[EncodingResult]", inputs: Inputs) -> "EncodingResult":
    """Join the scores of blocks of targets: false discoveries and names are told over all of them."""
    import xarray as xr

    from neuroai.encoders.result import EncodingResult
    from neuroai.encoders.statistics import fdr

    dataset = xr.concat([part.dataset for part in parts], "target", combine_attrs="override")
    if "p" in dataset:
        dataset["q"] = ("target", fdr(dataset["p"].values))
    return EncodingResult(dataset.assign_coords({k: ("target", v) for k, v in _coordinates(inputs).items()}))


def _coordinates(inputs: Inputs) -> dict[str, NDArray[Any]]:
    from neuroai.encoders.result import SCORES

    responses = responses_of(inputs.recording)
    coords = {
        # A simulator's own "ceiling" must not hide the estimated one.
        f"known_{name}" if name in SCORES else str(name): coord.values
        for name, coord in responses.coords.items()
        if coord.dims == ("target",) and name != "target"
    }
    return {**coords, "name": np.array(target_names(responses), dtype=object)}


def target_names(responses: "xr.DataArray") -> list[str]:
    """Name each target: by a coordinate whose labels are all different, else by number."""
    for key in ("name", "label", "target", "unit", "roi"):
        if key in responses.coords and responses.coords[key].dtype.kind in "OUST":
            names = [str(name) for name in responses.coords[key].values]
            if len(set(names)) == len(names):
                return names
    return [f"target {index}" for index in range(responses.sizes["target"])]


def _significance(
    inputs: Inputs, measured: NDArray[Any], predicted: NDArray[Any], config: EncodeConfig
) -> tuple[Array | None, Array | None]:
    from neuroai.encoders.statistics import fdr, permutation_p

    if config.permutations == 0:
        return None, None
    period = inputs.recording.period
    block = -(-len(measured) // _MOST_BLOCKS) if period is None else round(_SERIES_BLOCK / period)
    runs = None if inputs.runs is None else inputs.runs[inputs.folds.tested]
    shortest = len(measured) if runs is None else int(np.unique(runs, return_counts=True)[1].min())
    p = permutation_p(
        measured,
        predicted,
        n_permutations=config.permutations,
        block=int(np.clip(block, 1, max(shortest // 4, 1))),
        groups=runs,
        seed=config.seed,
    )
    return p, fdr(p)


def _penalties(readout: "Readout", n_targets: int) -> tuple[Array | None, tuple[float, ...]]:
    from neuroai.encoders.scores import as_numpy

    alpha = getattr(readout, "alpha_", None)
    if alpha is None:
        return None, ()
    values = as_numpy(alpha).astype(np.float64).ravel()
    grid = getattr(readout, "alphas_", None)
    if grid is None:
        grid = getattr(readout, "alphas", None)
    tried = () if grid is None else tuple(float(value) for value in as_numpy(grid).ravel())
    return (np.full(n_targets, values[0]) if values.size == 1 else values), tried
