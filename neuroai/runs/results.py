"""``result.nc``: the scores of every target, and what the report draws, in one checksummed file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroai.report.content import Attention, EncodingContent, Examples, Fields
from neuroai.runs.analysis import responses_of
from neuroai.runs.inputs import Inputs
from neuroai.runs.scoring import target_names

if TYPE_CHECKING:
    import xarray as xr

    from neuroai.encoders.features import FeatureMaps
    from neuroai.encoders.readouts.base import Readout
    from neuroai.encoders.result import EncodingResult

#: Targets and stimuli shown as examples.
_SHOWN_TARGETS, _SHOWN_FIELDS, _SHOWN_IMAGES, _THUMBNAIL = 6, 18, 6, 96
_MOST_QUERIES = 8


def build_tree(
    inputs: Inputs, predictions: NDArray[np.float32], scores: "EncodingResult", readout: "Readout | None"
) -> "xr.DataTree":
    """Collect the per-target result as a tree.

    Parameters
    ----------
    inputs, predictions, scores, readout
        Of the run; without a readout (a fit in blocks of targets) there are no receptive fields.

    Returns
    -------
    xarray.DataTree
        Root: ``r``, ``r2``, ``ceiling``, ``p``, ``q``, ``alpha`` over ``target``, with the recording's
        target coordinates. Groups, where there is something: ``rois``, ``volume``, ``examples``,
        ``fields``, ``attention``.
    """
    import xarray as xr

    from neuroai.encoders.scores import as_numpy

    groups: dict[str, xr.Dataset] = {"/": scores.dataset}
    r = np.asarray(scores.dataset["r"].values, dtype=np.float64)
    rois, mask = inputs.recording.rois, inputs.recording.mask
    if rois is not None:
        groups["/rois"] = xr.Dataset(
            {"membership": (("roi", "target"), rois.values)}, {"roi": rois["roi"].values}
        )
    if mask is not None:
        groups["/volume"] = xr.Dataset({"mask": (("x", "y", "z"), mask)})
    groups["/examples"] = _examples(inputs, predictions, r)
    fields = getattr(_main_layer(inputs, readout)[0], "receptive_fields_", None)
    if fields is not None and as_numpy(fields)[0].size > 1:
        best = _ranked(r)[:_SHOWN_FIELDS]
        maps = as_numpy(fields)[best].astype(np.float32)
        groups["/fields"] = xr.Dataset({"index": ("shown", best), "maps": (("shown", "row", "column"), maps)})
    pictures = _pictures(inputs, readout, r)
    if pictures is not None:
        groups["/attention"] = pictures
    return xr.DataTree.from_dict(groups)


def read_content(
    path: Path,
    *,
    summary: dict[str, Any],
    config: str,
    facts: dict[str, Any],
    data: dict[str, Any],
    methods: list[str],
) -> EncodingContent:
    """Read ``result.nc`` into what a report is drawn from.

    Raises
    ------
    DamagedFileError
        If the file was changed.
    """
    from neuroai_datasets.store import open_tree

    tree = open_tree(path)
    root = tree.to_dataset()

    def column(name: str) -> NDArray[np.float64] | None:
        return np.asarray(root[name].values, dtype=np.float64) if name in root else None

    r, r2 = column("r"), column("r2")
    assert r is not None  # written by build_tree
    assert r2 is not None
    return EncodingContent(
        summary=summary,
        config=config,
        facts=facts,
        data=data,
        methods=methods,
        target_names=[str(name) for name in root["name"].values],
        r=r,
        r2=r2,
        ceiling=column("ceiling"),
        p=column("p"),
        q=column("q"),
        alpha=column("alpha"),
        alphas=tuple(float(value) for value in np.atleast_1d(root.attrs.get("alphas", ()))),
        rois=_read_rois(tree),
        mask=np.asarray(tree["volume"]["mask"].values, dtype=bool) if "volume" in tree.children else None,
        positions=_read_positions(root),
        examples=_read_examples(tree),
        fields=_read_fields(tree),
        attention=_read_attention(tree),
    )


def _examples(inputs: Inputs, predictions: NDArray[np.float32], r: NDArray[np.float64]) -> "xr.Dataset":
    import xarray as xr

    order, rows = _ranked(r), inputs.folds.tested
    third = _SHOWN_TARGETS // 3
    middle = max(order.size // 2 - third // 2, 0)
    shown = np.unique(np.r_[np.arange(third), middle + np.arange(third), order.size - 1 - np.arange(third)])
    shown = order[shown[(shown >= 0) & (shown < order.size)]] if order.size else order
    dims = ("shown", "row")
    data: dict[str, Any] = {
        "index": ("shown", shown),
        "measured": (dims, inputs.select(shown).responses[rows].T.astype(np.float32)),
        "predicted": (dims, predictions[np.ix_(rows, shown)].T),
    }
    responses = inputs.recording.responses
    if inputs.recording.period is not None and responses is not None:
        # Times start again in every run; a trace over runs is drawn on one axis.
        data["time"] = ("row", rows * inputs.recording.period)
    return xr.Dataset(data)


def _pictures(inputs: Inputs, readout: "Readout | None", r: NDArray[np.float64]) -> "xr.Dataset | None":
    """A few stimuli as small pictures, with the attention over them where the readout has one."""
    import xarray as xr

    from neuroai.encoders.scores import as_numpy

    recording = inputs.recording
    if (
        recording.stimulus is None
        or recording.responses is None
        or "stimulus" not in recording.responses.coords
    ):
        return None
    index = np.asarray(recording.responses.coords["stimulus"].values)
    rows = np.unique(np.linspace(0, len(index) - 1, _SHOWN_IMAGES).astype(int))
    images = np.stack([_small(recording.stimulus[int(index[row])]) for row in rows])
    readout, features = _main_layer(inputs, readout)
    attention = getattr(readout, "attention", None)
    if readout is None or attention is None:
        maps, names = np.zeros((len(rows), 0, 1, 1), np.float32), []
    else:
        found = as_numpy(attention(features[rows])).astype(np.float32)
        maps = found.reshape(len(rows), -1, *found.shape[-2:])
        chosen = _chosen_queries(maps.shape[1], inputs, readout, r)
        maps, names = maps[:, [place for place, _ in chosen]], [name for _, name in chosen]
    return xr.Dataset(
        {
            "images": (("image", "pixel_row", "pixel_column", "colour")[: images.ndim], images),
            "maps": (("image", "query", "row", "column"), maps),
        },
        {"query": np.array(names, dtype=object)} if names else {},
    )


def _main_layer(inputs: Inputs, readout: "Readout | None") -> "tuple[Readout | None, FeatureMaps]":
    """Return readout and features of the layer that weighs most: it stands for an ensemble in figures."""
    from neuroai.encoders.scores import as_numpy

    layers = getattr(readout, "layers_", None)
    if readout is None or not layers:
        return readout, inputs.features[0]
    main = int(as_numpy(readout.layer_weights_).mean(0).argmax())
    return layers[main], inputs.features[main]


def _chosen_queries(
    n_queries: int, inputs: Inputs, readout: "Readout", r: NDArray[np.float64]
) -> list[tuple[int, str]]:
    """Queries to show: those with names, else those of the best targets."""
    names = getattr(readout, "query_names_", ())
    if len(names) == n_queries:
        return [(place, str(name)) for place, name in enumerate(names)][:_MOST_QUERIES]
    targets = target_names(responses_of(inputs.recording))
    return [(int(place), targets[place]) for place in _ranked(r)[:_MOST_QUERIES]]


def _small(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Reduce a picture to bytes with at most 96 pixels a side, by skipping pixels."""
    from neuroai.plotting.fields import as_picture

    step = max(1, -(-max(image.shape[:2]) // _THUMBNAIL))
    picture = as_picture(np.asarray(image)[::step, ::step])
    small: NDArray[np.uint8] = np.round(picture * 255).astype(np.uint8)
    return small


def _ranked(r: NDArray[np.float64]) -> NDArray[np.int64]:
    """Targets with a defined score, best first."""
    defined = np.flatnonzero(np.isfinite(r))
    return defined[np.argsort(-r[defined], kind="stable")]


def _read_rois(tree: "xr.DataTree") -> dict[str, NDArray[np.bool_]]:
    if "rois" not in tree.children:
        return {}
    group = tree["rois"].to_dataset()
    names, members = group["roi"].values, np.asarray(group["membership"].values, dtype=bool)
    return {str(name): row for name, row in zip(names, members, strict=True)}


def _read_positions(root: "xr.Dataset") -> NDArray[np.float64] | None:
    if not {"x", "y"} <= set(root.coords):
        return None
    places = np.stack([root["x"].values, root["y"].values], axis=1).astype(np.float64)
    return places if np.isfinite(places).all() else None


def _read_examples(tree: "xr.DataTree") -> Examples | None:
    group = tree["examples"].to_dataset()
    times = np.asarray(group["time"].values, dtype=np.float64) if "time" in group else None
    measured, predicted = (np.asarray(group[name].values, np.float64) for name in ("measured", "predicted"))
    return Examples(np.asarray(group["index"].values, np.int64), measured, predicted, times)


def _read_fields(tree: "xr.DataTree") -> Fields | None:
    if "fields" not in tree.children:
        return None
    group = tree["fields"].to_dataset()
    return Fields(np.asarray(group["index"].values, np.int64), np.asarray(group["maps"].values, np.float64))


def _read_attention(tree: "xr.DataTree") -> Attention | None:
    if "attention" not in tree.children:
        return None
    group = tree["attention"].to_dataset()
    names = [str(name) for name in group["query"].values] if group.sizes["query"] else []
    return Attention(group["images"].values, np.asarray(group["maps"].values, np.float64), names)
