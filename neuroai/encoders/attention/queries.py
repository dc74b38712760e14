"""Which queries an encoder has, and which targets read which query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from neuroai.errors import ConfigError, ShapeError

__all__ = ["NONE", "STREAMS", "QueryKind", "QueryLayout", "query_layout"]

QueryKind: TypeAlias = Literal["roi", "stream", "hemisphere", "vertex"]

#: Name of the query of the targets that belong to none of the regions.
NONE = "none"

#: The streams atlas: early visual cortex and six cortical streams.
STREAMS = ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal")


@dataclass(frozen=True)
class QueryLayout:
    """Names of the queries and the targets that read them.

    Attributes
    ----------
    kind : {"roi", "stream", "hemisphere", "vertex"}
    names : tuple of str, length Q
        For vertex queries empty: query ``v`` is that of target ``v``.
    membership : array of bool, shape (Q, V)
        For vertex queries of shape (0, V). Rows may overlap and may be empty; every target has a query.
    """

    kind: QueryKind
    names: tuple[str, ...]
    membership: npt.NDArray[np.bool_]

    @property
    def n_targets(self) -> int:
        """Number of targets V."""
        return int(self.membership.shape[1])

    @property
    def n_queries(self) -> int:
        """Number of queries Q: one a target for vertex queries."""
        return self.n_targets if self.kind == "vertex" else len(self.names)

    def without_empty(self) -> "QueryLayout":
        """Drop the queries that no target reads: they could never be trained."""
        used = np.flatnonzero(self.membership.any(axis=1))
        return QueryLayout(self.kind, tuple(self.names[i] for i in used), self.membership[used])


def query_layout(
    kind: QueryKind,
    n_targets: int,
    *,
    rois: Mapping[str, npt.ArrayLike] | None = None,
    hemisphere: npt.ArrayLike | None = None,
) -> QueryLayout:
    """Lay out queries over targets.

    Parameters
    ----------
    kind : {"roi", "stream", "hemisphere", "vertex"}
        "roi": one query a region, and one for the targets in none. "stream": the same over those regions
        whose names are in :data:`STREAMS`. "hemisphere": one query a hemisphere. "vertex": one a target.
    n_targets : int
    rois : mapping of name to array of bool (V,), or DataArray ("roi", "target"), optional
        Regions, which may overlap or be empty. None stands for no region: all targets share one query.
    hemisphere : array of str (V,), optional
        With it every region query becomes one a hemisphere, named ``"left/V1"``.

    Returns
    -------
    QueryLayout

    Raises
    ------
    ShapeError
        If a region or ``hemisphere`` does not have one entry a target.
    ConfigError
        If ``kind`` is unknown or lacks what it needs.

    Examples
    --------
    >>> layout = query_layout("roi", 3, rois={"V1": [1, 1, 0], "FFA": [0, 0, 0]})
    >>> layout.names, layout.membership.astype(int).tolist()
    (('V1', 'FFA', 'none'), [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    """
    sides = _sides(hemisphere, n_targets)
    if kind == "vertex":
        return QueryLayout(kind, (), np.zeros((0, n_targets), dtype=bool))
    if kind == "hemisphere":
        if sides is None:
            raise ConfigError("hemisphere queries need `hemisphere`: one label a target, such as 'left'")
        return QueryLayout(kind, tuple(sides), np.stack(list(sides.values())))
    if kind not in ("roi", "stream"):
        raise ConfigError(f"queries={kind!r}: expected 'roi', 'stream', 'hemisphere' or 'vertex'")
    regions = _regions(rois, n_targets)
    if kind == "stream":
        regions = {name: mask for name, mask in regions.items() if name in STREAMS}
        if not regions:
            raise ConfigError(f"stream queries need regions named as in {STREAMS}; `rois` has none of them")
    if sides is not None:
        regions = {
            f"{side}/{name}": mask & where
            for side, where in sides.items()
            for name, mask in _with_none(regions, where).items()
        }
    else:
        regions = _with_none(regions, np.ones(n_targets, dtype=bool))
    return QueryLayout(kind, tuple(regions), np.stack(list(regions.values())))


def _with_none(
    regions: Mapping[str, npt.NDArray[np.bool_]], where: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.bool_]]:
    covered = np.zeros_like(where)
    for mask in regions.values():
        covered |= mask
    rest = where & ~covered
    return {**regions, NONE: rest} if rest.any() else dict(regions)


def _regions(rois: Mapping[str, npt.ArrayLike] | None, n_targets: int) -> dict[str, npt.NDArray[np.bool_]]:
    if rois is None:
        return {}
    masks = {name: np.asarray(mask) for name, mask in _items(rois)}
    for name, mask in masks.items():
        if mask.shape != (n_targets,) or not np.isin(mask, (0, 1)).all():
            raise ShapeError(
                f"region {name!r} has shape {mask.shape} and dtype {mask.dtype}; "
                f"expected one true or false entry for each of {n_targets} targets"
            )
    return {name: mask.astype(bool) for name, mask in masks.items()}


def _items(rois: Any) -> list[tuple[str, Any]]:
    """Pairs of name and mask of a mapping or of a DataArray with dimensions ("roi", "target")."""
    if isinstance(rois, Mapping):
        return [(str(name), mask) for name, mask in rois.items()]
    return [(str(name), mask) for name, mask in zip(rois["roi"].values, rois.values, strict=True)]


def _sides(hemisphere: npt.ArrayLike | None, n_targets: int) -> dict[str, npt.NDArray[np.bool_]] | None:
    if hemisphere is None:
        return None
    labels = np.asarray(hemisphere).astype(str)
    if labels.shape != (n_targets,):
        raise ShapeError(f"hemisphere has shape {labels.shape}; expected one label for {n_targets} targets")
    return {str(side): labels == side for side in np.unique(labels)}
