"""Scores of every target with their coordinates, as one labelled data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroai.encoders.scores import Float, r2_over_ceiling
from neuroai.errors import ShapeError

if TYPE_CHECKING:
    import xarray as xr

#: Variables of a result, in this order; what is unknown is left out.
SCORES = ("r", "r2", "ceiling", "r2_over_ceiling", "p", "q", "alpha")


@dataclass(frozen=True)
class EncodingResult:
    """Per-target scores around an :class:`xarray.Dataset` of dimension ``target``.

    Parameters
    ----------
    dataset
        Variables ``r``, ``r2`` and, where known, ``ceiling`` (on r squared), ``r2_over_ceiling``, ``p``,
        ``q``, ``alpha``; coordinates of the targets (``roi``, ``x``, ``y``, ``z``, ...);
        attributes of the run.

    Examples
    --------
    >>> import numpy as np
    >>> result = EncodingResult.from_scores([0.5, 0.3, np.nan], alpha=[1, 10, 1], alphas=[1, 10, 100])
    >>> summary = result.summary()
    >>> summary["median_r"], summary["n_undefined"], summary["alphas_at_edge"]
    (0.4, 1, 0.5)
    """

    dataset: "xr.Dataset"

    @classmethod
    def from_scores(
        cls,
        r: Any,
        r2: Any = None,
        *,
        ceiling: Any = None,
        p: Any = None,
        q: Any = None,
        alpha: Any = None,
        alphas: Sequence[float] | None = None,
        coords: Mapping[str, Any] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> "EncodingResult":
        """Gather scores; the share of the ceiling follows from ``r`` and ``ceiling``.

        Parameters
        ----------
        r, r2, ceiling, p, q, alpha
            (n_targets,); None is left out. ``ceiling`` bounds the squared correlation.
        alphas
            The grid that ``alpha`` was chosen from.
        coords
            Coordinates of the targets, each (n_targets,).
        attrs
            Attributes of the data set.

        Raises
        ------
        ShapeError
            If an array has not one value a target.
        """
        import xarray as xr

        values = {"r": r, "r2": r2, "ceiling": ceiling, "p": p, "q": q, "alpha": alpha}
        if ceiling is not None:
            values["r2_over_ceiling"] = r2_over_ceiling(np.asarray(r, float), np.asarray(ceiling, float))
        arrays = {name: np.asarray(v, np.float64) for name, v in values.items() if v is not None}
        labels = {name: np.asarray(v) for name, v in (coords or {}).items()}
        for name, array in (*arrays.items(), *labels.items()):
            if array.shape != arrays["r"].shape:
                raise ShapeError(
                    f"{name} has shape {array.shape}; expected one value a target: {arrays['r'].shape}"
                )
        attributes = dict(attrs or {})
        if alphas is not None:
            attributes["alphas"] = [float(a) for a in alphas]
        return cls(
            xr.Dataset(
                {name: ("target", arrays[name]) for name in SCORES if name in arrays},
                coords={name: ("target", label) for name, label in labels.items()},
                attrs=attributes,
            )
        )

    def summary(self) -> dict[str, Any]:
        """Numbers over the targets whose score is defined.

        Returns
        -------
        dict
            ``median_r``, ``mean_r``, ``p95_r``, ``n_targets``, ``n_undefined``, ``alphas_at_edge`` (share of
            defined targets; None without alphas); with ceilings ``median_r2_over_ceiling`` and
            ``median_ceiling``; with q-values ``n_significant`` (q <= 0.05). A number over no target is None.
        """
        r = self._values("r")
        defined = np.isfinite(r)
        out: dict[str, Any] = {
            "median_r": _over(np.median, r),
            "mean_r": _over(np.mean, r),
            "p95_r": _over(lambda x: np.percentile(x, 95), r),
            "n_targets": int(r.size),
            "n_undefined": int(r.size - defined.sum()),
            "alphas_at_edge": self._alphas_at_edge(defined),
        }
        if "r2" in self.dataset:
            out["median_r2"] = _over(np.median, self._values("r2"))
        if "ceiling" in self.dataset:
            out["median_r2_over_ceiling"] = _over(np.median, self._values("r2_over_ceiling"))
            out["median_ceiling"] = _over(np.median, self._values("ceiling"))
        if "q" in self.dataset:
            out["n_significant"] = int((self._values("q") <= 0.05).sum())
        return out

    def _alphas_at_edge(self, defined: Any) -> float | None:
        grid = self.dataset.attrs.get("alphas")
        if grid is None or "alpha" not in self.dataset or not defined.any():
            return None
        edges = [min(grid), max(grid)]
        close = np.isclose(self._values("alpha")[defined, None], edges, rtol=1e-6).any(1)
        return float(close.mean())

    def _values(self, name: str) -> Float:
        return np.asarray(self.dataset[name].values, np.float64)


def _over(statistic: Any, values: Float) -> float | None:
    defined = values[np.isfinite(values)]
    return float(statistic(defined)) if defined.size else None
