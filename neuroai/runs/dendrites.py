"""``neuroai dendrites theory`` and ``design``: errors of segments, and segments for given errors."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.analysis import Outcome, carry_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuroai.report.page import Page

Whole = int | Sequence[int]
Real = float | Sequence[float]

_MOST_SETTINGS = 100_000
# Rows of a table that a reader can use; result.nc holds all.
_MOST_ROWS = 200
_TOLD = (
    "Exact hypergeometric tails in log space. Test patterns are uniform over all patterns of a active cells "
    "among n; a segment samples s cells of its pattern, and spikes at theta active synapses. Noise replaces "
    "a share of the pattern's cells by others. Several patterns on one segment: the exact distribution of "
    "the size of their union. For correlated data chance matches are more frequent. (Ahmad & Hawkins 2015, "
    "2016.)"
)


def dendrites_theory(
    *,
    n: Whole = 10_000,
    a: Whole = 200,
    s: Whole = 20,
    theta: Whole = 10,
    noise: Real = 0.3,
    patterns: Whole = 1,
    out: str | os.PathLike[str] | None = None,
) -> directory.Run:
    """Errors of dendritic segments for every combination of the settings, and write a run directory.

    Parameters
    ----------
    n, a : int or sequence of int
        Cells; active cells of a pattern.
    s, theta : int or sequence of int
        Synapses of a segment; active ones at which it spikes.
    noise : float or sequence of float
        Share of the stored pattern's cells that are replaced, 0..1.
    patterns : int or sequence of int
        Patterns on one segment.
    out : path, optional
        The run directory; default ``runs/dendrites-theory-DIGEST``.

    Returns
    -------
    Run
        ``.summary`` holds the first setting with ``false_match``, ``log10_false_match``, ``miss`` and
        ``optimal_threshold``; ``settings`` holds a record for each, ``result.nc`` the same as arrays.

    Raises
    ------
    ConfigError
        For impossible settings (such as theta above s, or a above n), or more than 100,000 combinations.

    Notes
    -----
    About 5 million settings a second, those with unions of patterns excepted.

    References
    ----------
    Ahmad, Hawkins (2016), arXiv:1601.00720.

    Examples
    --------
    >>> import tempfile
    >>> run = dendrites_theory(n=[1000, 10_000], out=tempfile.mkdtemp() + "/run")
    >>> [f"{setting['false_match']:.5e}" for setting in run.summary["settings"]]
    ['2.33742e-03', '1.27006e-12']
    """
    given: dict[str, Any] = {"n": n, "a": a, "s": s, "theta": theta, "noise": noise, "patterns": patterns}
    lists = {name: list(value) if isinstance(value, Sequence) else [value] for name, value in given.items()}
    for name, values in lists.items():
        if not values:
            raise ConfigError(f"{name} is empty: expected at least one value")
    count = 1
    for values in lists.values():
        count *= len(values)
    if count > _MOST_SETTINGS:
        raise ConfigError(f"{count} combinations of settings: expected at most {_MOST_SETTINGS}")
    records = _errors(list(itertools.product(*lists.values())))
    return carry_out("dendrites-theory", "", lists, lambda _: _outcome(records, lists), out=out)


def dendrites_design(
    *,
    n: int = 10_000,
    a: int = 200,
    false_match: float = 1e-9,
    miss: float = 1e-3,
    noise: float = 0.3,
    max_synapses: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> directory.Run:
    """Smallest segment that meets bounds on its errors, and write a run directory.

    Parameters
    ----------
    n, a : int
        Cells; active cells of a pattern.
    false_match, miss : float
        Largest probabilities of a match with a random pattern, and of a miss of the stored one.
    noise : float
        Share of the stored pattern's cells that are replaced.
    max_synapses : int, optional
        Largest segment considered; ``a`` by default.
    out : path, optional
        The run directory; default ``runs/dendrites-design-DIGEST``.

    Returns
    -------
    Run
        ``.summary`` holds ``synapses``, ``threshold``, ``false_match``, ``miss``.

    Raises
    ------
    ConfigError
        If no segment meets the bounds, or an argument is out of range.

    Examples
    --------
    >>> import tempfile
    >>> summary = dendrites_design(out=tempfile.mkdtemp() + "/run").summary
    >>> summary["synapses"], summary["threshold"]
    (22, 9)
    """
    from neuroai.dendrites import theory

    found = theory.design(n, a, false_match=false_match, miss=miss, noise=noise, max_synapses=max_synapses)
    config = {
        "n": n, "a": a, "false_match": false_match, "miss": miss, "noise": noise, "max_synapses": max_synapses
    }  # fmt: skip
    records = _errors([(n, a, int(found.synapses), int(found.threshold), noise, 1)])
    asked = {"asked": {"false_match": false_match, "miss": miss}}
    return carry_out("dendrites-design", "", config, lambda _: _outcome(records, config, asked), out=out)


def _errors(settings: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A record a setting."""
    import numpy as np

    from neuroai.dendrites import theory

    n, a, s, theta, noise, patterns = (np.array(column) for column in zip(*settings, strict=True))
    log10 = np.atleast_1d(theory.log10_union_false_match_probability(n, a, s, theta, patterns))
    miss = np.atleast_1d(theory.miss_probability(s, theta, noise, active=a))
    best = np.atleast_1d(theory.optimal_threshold(n, a, s, noise))
    names = ("n", "a", "synapses", "threshold", "noise", "patterns")
    return [
        dict(zip(names, setting, strict=True))
        | {
            "false_match": float(10.0 ** log10[i]),
            "log10_false_match": float(log10[i]),
            "miss": float(miss[i]),
            "optimal_threshold": int(best[i]),
        }
        for i, setting in enumerate(settings)
    ]


def _outcome(
    records: list[dict[str, Any]], config: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> Outcome:
    import xarray as xr

    from neuroai.report.dendrites import segment_page
    from neuroai.report.page import Table
    from neuroai.runs.toml_text import dumps

    summary = {**records[0], **(more or {}), "settings": records}
    table = Table(
        list(records[0]),
        [list(record.values()) for record in records[:_MOST_ROWS]],
        f"Settings, the first {_MOST_ROWS} of {len(records)}." if len(records) > _MOST_ROWS else "Settings.",
    )
    by_threshold, by_size = _curves(records[0])
    kept = {key: value for key, value in config.items() if value is not None}

    def page(complete: Mapping[str, Any]) -> "Page":
        return segment_page(
            complete, [_TOLD], dumps(kept), by_threshold=by_threshold, by_size=by_size, settings=table
        )

    columns = {name: ("setting", [record[name] for record in records]) for name in records[0]}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(columns)})
    return Outcome(summary, [_TOLD], page, {"title": "Theory of dendritic segments"}, tree)


Curves = dict[str, tuple["NDArray[np.int64]", "NDArray[np.float64]"]]


def _curves(first: Mapping[str, Any]) -> tuple[Curves, Curves]:
    """Errors around one setting: against the threshold, and against the size of the population."""
    import numpy as np

    from neuroai.dendrites import theory

    n, a, s, theta = (first[name] for name in ("n", "a", "synapses", "threshold"))
    levels = np.arange(1, s + 1)
    union = theory.union_false_match_probability(n, a, s, levels, first["patterns"])
    by_threshold = {
        "chance match": (levels, union),
        f"miss, {first['noise']:.0%} noise": (
            levels,
            theory.miss_probability(s, levels, first["noise"], active=a),
        ),
    }
    sizes = np.unique(np.geomspace(max(a, s), 100 * max(a, s), 60).astype(np.int64))
    share = np.maximum(1, np.rint(sizes * (a / n))).astype(np.int64)
    by_size = {
        f"{a:,} active": (sizes, theory.false_match_probability(sizes, a, s, theta)),
        f"{a / n:.2%} active": (sizes, theory.false_match_probability(sizes, share, s, theta)),
    }
    return by_threshold, by_size
