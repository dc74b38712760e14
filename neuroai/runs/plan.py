"""What a run would take, said before it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroai.errors import ConfigError, MemoryBudgetError
from neuroai.runs.config import EncodeConfig
from neuroai.runs.facts import available_bytes
from neuroai.runs.inputs import Inputs
from neuroai.runs.parsing import as_bytes, split_readout
from neuroai.runs.sharding import n_processes

#: Floating-point operations a second that one plain core reaches in matrix products, roughly.
_SPEED = 2e10
#: Passes over the data that a trained readout makes, roughly.
_PASSES = {"attention": 60, "gaussian": 200, "factorised": 60}
#: Readouts whose targets know nothing of each other, so that blocks of targets give the same result.
_BY_TARGET = ("ridge", "pca-ridge")


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
        Estimated peak of the arrays of a fit to all targets at once.
    bytes_a_target : int
        Share of it that grows with each target.
    in_blocks : bool
        Whether the readout can be fitted to blocks of targets, one after another, with the same result.
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
    bytes_a_target: int
    in_blocks: bool
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
    n, v = inputs.shape
    sizes = {maps.name: maps.shape[1:] for maps in inputs.features}
    p = max(channels * height * width for channels, height, width in sizes.values())
    fits = len(inputs.folds.splits) + 1
    small = min(n, p)
    readout = split_readout(config.readout)[0]
    flops = 2.0 * n * p * small + 2.0 * n * small * v * 12 + 2.0 * n * p * v
    if readout in _PASSES:
        flops = 6.0 * n * p * v * _PASSES[readout] / 10 + 2e9 * _PASSES[readout]
    repeats = inputs.recording.repeats
    shared = 4 * (2 * n * p + small * small * 2) * len(sizes)
    each = 4 * (p + small + 4 * n) * len(sizes) + (0 if repeats is None else 8 * n * repeats.shape[0])
    names = ("config.toml", "result.json", "result.nc", "model/", "figures/", "report.html", "manifest.json")
    files = [out / name for name in names]
    in_blocks = readout in _BY_TARGET
    return Plan(n, v, sizes, fits - 1, shared + each * v, each, in_blocks, fits * flops / _SPEED, files)


def targets_at_once(plan: Plan, config: EncodeConfig) -> int:
    """Return how many targets are fitted at once under the budget and the free memory of this machine.

    Raises
    ------
    ConfigError
        If workers are to share targets that are fitted together.
    MemoryBudgetError
        Before anything large is allocated: with what is needed, what there is, and what to do.
    """
    budget, free = as_bytes(config.memory), available_bytes()
    limit = budget if free is None else min(budget, free // n_processes(config.workers))
    if config.workers != "1" and not plan.in_blocks:
        raise ConfigError(
            f"--workers {config.workers} shares targets out, but {config.readout} fits them together; "
            f"leave it out, or use one of: {', '.join(_BY_TARGET)}"
        )
    if plan.peak_bytes <= limit:
        return plan.n_targets
    shared = plan.peak_bytes - plan.n_targets * plan.bytes_a_target
    width = max(limit - shared, 0) // plan.bytes_a_target
    if plan.in_blocks and width:
        # Blocks of equal width: the last one is not left with a few targets.
        return -(-plan.n_targets // -(-plan.n_targets // width))
    which = "the budget (--memory)" if limit == budget else "free memory"
    others = "" if plan.in_blocks else ", use ridge or pca-ridge (which go on in blocks of targets)"
    needed = shared + plan.bytes_a_target if plan.in_blocks else plan.peak_bytes
    raise MemoryBudgetError(
        f"the fit needs {'at least' if plan.in_blocks else 'about'} {_amount(needed)} of arrays, more than "
        f"{which} of {_amount(limit)}; raise --memory, select fewer targets{others}, or use smaller features"
    )


def _amount(count: int) -> str:
    return f"{count / 2**20:.4g} MiB"
