"""``neuroai compare``: runs on the same targets, side by side and in pairs."""

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError, DataError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out

Array = NDArray[np.float64]

_DRAWS, _LEVEL, _MOST_FLIPS = 2000, 0.95, 2000

_METHODS = (
    "Every run was scored on the same targets. Intervals are 95 % percentile intervals over {draws} "
    "bootstrap draws of targets (seed {seed}); for pairs, of the paired differences in r. P-values are "
    "two-sided, from {draws} random sign flips of the paired differences. Targets are treated as "
    "exchangeable: neighbouring voxels share noise, so for volumes the true uncertainty is larger."
)


def compare(
    *runs: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, seed: int = 0
) -> directory.Run:
    r"""Compare runs target by target.

    With :math:`d_v = r_v^{(2)} - r_v^{(1)}` over targets that are defined in both runs, a pair is told
    as the mean of d, its bootstrap interval, and a sign-flip p-value

    .. math:: p = \frac{1 + \sum [|\overline{s \odot d}| \ge |\bar d|]}{1 + N}, \quad s_v = \pm 1

    Parameters
    ----------
    *runs : paths
        Two or more run directories of the same recording and targets.
    out : path, optional
        Directory of the comparison; default ``runs/compare-DIGEST``.
    seed : int
        Of the bootstrap and of the sign flips.

    Returns
    -------
    Run
        ``.summary`` holds ``runs`` (name, median_r, interval) and ``pairs``; ``.report`` the page.

    Raises
    ------
    ConfigError
        For fewer than two runs, or a directory given twice.
    DataError
        If the runs are not of the same targets.

    Notes
    -----
    Time and memory grow with draws x targets x runs; blocks of draws keep memory small.

    References
    ----------
    Efron & Tibshirani (1993), chapters 13 and 15.
    """
    if len(runs) < 2:
        raise ConfigError(f"found {len(runs)} run to compare; give two or more run directories")
    _all_differ(runs)
    opened = [directory.open_run(run) for run in runs]
    datasets = [_scores(run) for run in opened]
    scores = _aligned(opened, datasets)
    config = {"runs": [run.path.name for run in opened], "seed": seed}

    def work(partial: Path) -> Outcome:
        return _compared(opened, _names(opened), scores, _median_ceiling(datasets), seed)

    content = [str(run.manifest["files"]["result.nc"]["sha256"]) for run in opened]
    return carry_out("compare", "", config, work, content=content, out=out)


def paired_difference(first: Array, second: Array, *, seed: int = 0) -> dict[str, float]:
    """Compare two runs over the targets that are defined in both.

    Parameters
    ----------
    first, second : arrays of shape (n_targets,)
        Scores; NaN where undefined.
    seed : int
        Of the bootstrap and of the sign flips.

    Returns
    -------
    dict
        ``difference`` (mean of second - first), ``low``, ``high``, ``p``, ``better`` (share of targets
        where the second is higher) and ``n``.

    Examples
    --------
    >>> import numpy as np
    >>> found = paired_difference(np.zeros(50), np.full(50, 0.1))
    >>> round(found["difference"], 3), found["n"], found["p"] < 0.01
    (0.1, 50, True)
    """
    both = np.isfinite(first) & np.isfinite(second)
    difference = second[both] - first[both]
    if difference.size == 0:
        return {**dict.fromkeys(("difference", "low", "high", "p", "better"), float("nan")), "n": 0}
    low, high = _interval(difference, np.mean, seed)
    rng = np.random.default_rng(seed)
    observed = abs(float(difference.mean()))
    flipped = [
        abs(float((difference * rng.choice((-1.0, 1.0), difference.size)).mean())) for _ in range(_MOST_FLIPS)
    ]
    exceeding = sum(value >= observed - 1e-15 for value in flipped)
    return {
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "p": float((1 + exceeding) / (1 + _MOST_FLIPS)),
        "better": float((difference > 0).mean()),
        "n": int(difference.size),
    }


def _interval(values: Array, statistic: Any, seed: int) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if defined.size == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = [float(statistic(defined[rng.integers(0, defined.size, defined.size)])) for _ in range(_DRAWS)]
    edge = 100 * (1 - _LEVEL) / 2
    low, high = np.percentile(drawn, [edge, 100 - edge])
    return float(low), float(high)


def _compared(
    opened: Sequence[directory.Run], names: Sequence[str], scores: Array, ceiling: float | None, seed: int
) -> Outcome:
    from neuroai.report import comparison_page
    from neuroai.report.comparison import Comparison

    intervals = np.array([_interval(row, np.median, seed) for row in scores])
    pairs = [
        {"first": a, "second": b, **paired_difference(scores[a], scores[b], seed=seed)}
        for a, b in combinations(range(len(names)), 2)
    ]
    medians = [float(np.nanmedian(row)) if np.isfinite(row).any() else float("nan") for row in scores]
    summary = {
        "recording": opened[0].summary.get("recording"),
        "runs": [
            {"name": name, "median_r": median, "interval": list(interval)}
            for name, median, interval in zip(names, medians, intervals.tolist(), strict=True)
        ],
        "pairs": [
            {**pair, "first": names[int(pair["first"])], "second": names[int(pair["second"])]}
            for pair in pairs
        ],
    }
    content = Comparison(
        names=names,
        scores=scores,
        intervals=intervals,
        pairs=pairs,
        summaries=[run.summary for run in opened],
        methods=_METHODS.format(draws=_DRAWS, seed=seed),
        ceiling=ceiling,
        licence=str(opened[0].manifest.get("data", {}).get("licence", "")),
    )
    return Outcome(summary, [content.methods], lambda complete: comparison_page(content))


def _all_differ(runs: Sequence[str | os.PathLike[str]]) -> None:
    """Refuse a directory given twice; two directories with the same scores are a fair question."""
    given: dict[Path, str] = {}
    for run in runs:
        place = Path(run).resolve()
        if place in given:
            raise ConfigError(
                f"{given[place]} and {run} are the same run, and a run never differs from itself; "
                "give each run directory once"
            )
        given[place] = str(run)


def _scores(run: directory.Run) -> Any:
    from neuroai_datasets.store import open_tree

    directory.must_be(run, "encode")
    return open_tree(run.path / "result.nc").to_dataset()


def _aligned(opened: Sequence[directory.Run], datasets: Sequence[Any]) -> Array:
    names = [[str(name) for name in dataset["name"].values] for dataset in datasets]
    for run, own in zip(opened[1:], names[1:], strict=True):
        if own != names[0]:
            raise DataError(
                f"{run.path} has {len(own)} targets, {opened[0].path} has {len(names[0])}, or others; "
                "only runs on the same targets can be compared"
            )
    selections = {(run.summary.get("recording"), str(run.summary.get("selection"))) for run in opened}
    if len(selections) > 1:
        told = "; ".join(f"{name} {selection}" for name, selection in sorted(selections, key=str))
        raise DataError(f"the runs are of different recordings ({told}); their targets are not the same")
    return np.stack([np.asarray(dataset["r"].values, dtype=np.float64) for dataset in datasets])


def _median_ceiling(datasets: Sequence[Any]) -> float | None:
    if "ceiling" not in datasets[0]:
        return None
    ceiling = np.asarray(datasets[0]["ceiling"].values, dtype=np.float64)
    defined = ceiling[np.isfinite(ceiling)]
    return float(np.sqrt(np.median(defined))) if defined.size else None


def _names(opened: Sequence[directory.Run]) -> list[str]:
    """Name runs by what differs between them: kind of readout, readout, features, or the directory."""
    kinds = [str(run.summary.get("readout")).partition(":")[0] for run in opened]
    if len(set(kinds)) == len(kinds):
        return kinds
    for keys in (("readout",), ("features",), ("readout", "features")):
        names = [" · ".join(str(run.summary.get(key)) for key in keys) for run in opened]
        if len(set(names)) == len(names):
            return names
    return [f"{run.path.parent.name}/{run.path.name}" for run in opened]
