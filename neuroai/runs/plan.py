"""What a run would take, said before it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroai.errors import MemoryBudgetError
from neuroai.runs.config import EncodeConfig
from neuroai.runs.facts import available_bytes
from neuroai.runs.inputs import Inputs
from neuroai.runs.parsing import as_bytes, split_readout

#: Floating-point operations a second that one plain core reaches in matrix products, roughly.
_SPEED = 2e10
#: Passes over the data that a trained readout makes, roughly.
_PASSES = {"attention": 60, "gaussian": 200, "factorised": 60}


@dataclass(frozen=True)
class Plan:
    """Shapes, memory, time and files of a run.

    Parameters
    ----------
    n_samples, n_targets : int
        Size of the responses.
    features : dict of str to tuple
        Shape (channels, height, width) of each feature space.
    folds : int
        Number of fits, the last one to all rows apart.
    peak_bytes : int
        Estimated peak of the arrays.
    seconds : float
        Estimated time of the fits on one core, good to a factor of about 5.
    files : list of Path
        What will be written.
    """

    n_samples: int
    n_targets: int
    features: dict[str, tuple[int, int, int]]
    folds: int
    peak_bytes: int
    seconds: float
    files: list[Path]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "n_samples": self.n_samples,
            "n_targets": self.n_targets,
            "features": {name: list(shape) for name, shape in self.features.items()},
            "folds": self.folds,
            "peak_mib": round(self.peak_bytes / 2**20, 3),
            "seconds": round(self.seconds, 3),
            "files": [str(path) for path in self.files],
        }

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in self.features.items())
        return (
            f"samples   {self.n_samples}\ntargets   {self.n_targets}\nfeatures  {shapes}\n"
            f"fits      {self.folds} folds + 1 on all rows\n"
            f"memory    about {self.peak_bytes / 2**20:.0f} MiB of arrays\n"
            f"time      about {self.seconds:.0f} s on one core, once features are there\n"
            "writes    " + "\n          ".join(str(path) for path in self.files)
        )


def make_plan(inputs: Inputs, config: EncodeConfig, out: Path) -> Plan:
    """Estimate what a run takes.

    Parameters
    ----------
    inputs : Inputs
        Features and responses.
    config : EncodeConfig
        Names the readout.
    out : Path
        The run directory.

    Returns
    -------
    Plan
    """
    n, v = inputs.responses.shape
    sizes = {maps.name: maps.shape[1:] for maps in inputs.features}
    p = max(channels * height * width for channels, height, width in sizes.values())
    fits = len(inputs.folds.splits) + 1
    small = min(n, p)
    readout = split_readout(config.readout)[0]
    flops = 2.0 * n * p * small + 2.0 * n * small * v * 12 + 2.0 * n * p * v
    if readout in _PASSES:
        flops = 6.0 * n * p * v * _PASSES[readout] / 10 + 2e9 * _PASSES[readout]
    held = 4 * (2 * n * p + small * small * 2 + (p + small) * v + 4 * n * v) * len(sizes)
    names = ("config.toml", "result.json", "result.nc", "model/", "figures/", "report.html", "manifest.json")
    return Plan(n, v, sizes, fits - 1, held, fits * flops / _SPEED, [out / name for name in names])


def check_memory(plan: Plan, config: EncodeConfig) -> None:
    """Refuse a run that its budget, or this machine, cannot hold, before anything large is allocated.

    Raises
    ------
    MemoryBudgetError
        With what is needed, what there is, and what to do.
    """
    budget, free = as_bytes(config.memory), available_bytes()
    limit = budget if free is None else min(budget, free)
    if plan.peak_bytes > limit:
        which = "the budget (--memory)" if limit == budget else "free memory"
        raise MemoryBudgetError(
            f"the fit needs about {plan.peak_bytes / 2**20:.0f} MiB of arrays, more than {which} of "
            f"{limit / 2**20:.0f} MiB; raise --memory, select fewer targets, or use smaller features"
        )
