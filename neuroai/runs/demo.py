"""``neuroai demo``: a whole analysis on input that comes with the package, in under a minute, offline."""

import os
from collections.abc import Callable
from pathlib import Path

from neuroai.errors import ConfigError
from neuroai.runs import directory
from neuroai.runs.compare import compare
from neuroai.runs.encode import encode

Progress = Callable[[str, int, int], None]

#: Readouts of the demo, quickest first; the attention encoder is kept small.
READOUTS = {
    "ridge": "ridge",
    "factorised": "factorised",
    "attention": "attention:epochs=30,n_members=1,d_model=32",
}
_IMAGES, _TARGETS, _REPEATS, _NOISE = 360, 48, 3, 1.0


def demo(
    what: str = "encode",
    *,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> directory.Run:
    """Simulate a visual cortex with content-dependent routing, fit three readouts, compare them.

    Parameters
    ----------
    what : str
        ``encode``, or ``whitening``: local whitening of patches of photographs, ``simulate``: a tenth of
        the cortical microcircuit, or ``spikes``: a transformer over the spikes of simulated place cells.
    out : path, optional
        Folder of the runs; default ``runs/demo-WHAT``.
    seed : int
        Of the simulation and of the fits.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Run
        The comparison; the three runs lie beside it.

    Raises
    ------
    ConfigError
        For an unknown demo.

    Notes
    -----
    Pictures are crops of photographs that scikit-image and scikit-learn ship. The readouts see the
    feature map that the simulation was built on, so that what differs is the routing alone.
    """
    if what == "whitening":
        from neuroai.runs.whiten import demo_whitening

        return demo_whitening(out=out, seed=seed, progress=progress)
    if what == "simulate":
        from neuroai.runs.simulate import demo_simulation

        return demo_simulation(out=out, seed=seed, progress=progress)
    if what == "spikes":
        from neuroai.runs.spikes_train import demo_spikes

        return demo_spikes(out=out, seed=seed, progress=progress)
    if what == "dendrites":
        from neuroai.runs.dendrites_learning import demo_dendrites

        return demo_dendrites(out=out, seed=seed, progress=progress)
    if what != "encode":
        known = "dendrites, encode, simulate, spikes, whitening"
        raise ConfigError(f"found the demo {what!r}; there are: {known}")
    from neuroai.encoders.features import FeatureMaps
    from neuroai_datasets.simulators import simulate_visual_cortex

    folder = Path(out) if out is not None else Path("runs") / "demo-encode"
    recording = simulate_visual_cortex(_IMAGES, _TARGETS, n_repeats=_REPEATS, noise=_NOISE, seed=seed)
    planted = FeatureMaps(recording.tree["truth"].to_dataset()["features"].values, "planted")
    runs = []
    for number, (name, readout) in enumerate(READOUTS.items()):
        if progress is not None:
            progress("demo", number, len(READOUTS))
        runs.append(
            encode(
                recording,
                features=planted,
                readout=readout,
                out=folder / name,
                cv=3,
                seed=seed,
                progress=progress,
            )
        )
    return compare(*(run.path for run in runs), out=folder / "comparison", seed=seed)
